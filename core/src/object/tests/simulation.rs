//! Lobbies, rooms and clients in random trouble, from one seed: what clients see and what rooms keep
//! must be what DESIGN §3 says.

use std::collections::BTreeSet;

use super::{
    world::{Client, Cluster, Fate, Heard, open_token},
    *,
};
use crate::emit::Batch;

const LOBBIES: [&str; 2] = ["lobby:0", "lobby:1"];
const ROOMS: [&str; 2] = ["chat:0", "chat:1"];
const EVERYONE: &str = "all:chat";
/// To which rooms a backend emits.
const TARGETS: [&[&str]; 4] = [
    &["*"],
    &["chat:0", "chat:1"],
    &["*", "chat:0"],
    &["chat:1", "*"],
];
/// Two of them are another tab of the first two. Every second one's token the runtime checks.
const USERS: [&str; 6] = ["ann", "bob", "cem", "dia", "ann", "bob"];

#[derive(Debug, Clone)]
enum Step {
    Connect {
        client: usize,
        lobby: usize,
    },
    Join {
        client: usize,
        room: usize,
    },
    Leave {
        client: usize,
        room: usize,
    },
    Send {
        client: usize,
        room: usize,
    },
    Retry {
        client: usize,
    },
    Cut {
        client: usize,
        noticed: bool,
    },
    /// It connects and is cut before it has read a word of the answer.
    Glimpse {
        client: usize,
        lobby: usize,
    },
    /// It reads nothing until told again.
    Deaf {
        client: usize,
    },
    Notice,
    /// A backend emits news; its rooms hear of it one after the other, perhaps much later.
    Emit {
        targets: usize,
        reversed: bool,
    },
    /// One of those rooms does.
    Bring,
    Evict {
        object: usize,
    },
    Crash {
        object: usize,
    },
    Trouble(Vec<Fate>),
    Release(usize),
    Pass(u64),
}

fn sim_step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        Just(Fate::Work),
        Just(Fate::Fail),
        Just(Fate::LoseAnswer),
        Just(Fate::HoldRequest),
        Just(Fate::HoldAnswer),
    ];
    let pair = || (0..USERS.len(), 0..2_usize);
    prop_oneof![
        5 => pair().prop_map(|(client, lobby)| Step::Connect { client, lobby }),
        5 => pair().prop_map(|(client, room)| Step::Join { client, room }),
        1 => pair().prop_map(|(client, room)| Step::Leave { client, room }),
        8 => pair().prop_map(|(client, room)| Step::Send { client, room }),
        1 => (0..USERS.len()).prop_map(|client| Step::Retry { client }),
        3 => (0..USERS.len(), any::<bool>()).prop_map(|(client, noticed)| Step::Cut { client, noticed }),
        1 => pair().prop_map(|(client, lobby)| Step::Glimpse { client, lobby }),
        2 => (0..USERS.len()).prop_map(|client| Step::Deaf { client }),
        1 => Just(Step::Notice),
        3 => (0..TARGETS.len(), any::<bool>()).prop_map(|(targets, reversed)| Step::Emit { targets, reversed }),
        4 => Just(Step::Bring),
        1 => (0..5_usize).prop_map(|object| Step::Evict { object }),
        1 => (0..5_usize).prop_map(|object| Step::Crash { object }),
        3 => proptest::collection::vec(fate, 1..4).prop_map(Step::Trouble),
        3 => (0..4_usize).prop_map(Step::Release),
        2 => prop_oneof![0..1_000_u64, 1_000..30_000_u64, Just(130_000)].prop_map(Step::Pass),
    ]
}

/// What a client is waiting to hear.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Join(usize),
    Leave(usize),
    Send(usize, u64),
}

/// What a client's app knows of its place in a room.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    Out,
    /// It hears next what follows one of these.
    In(Vec<u64>),
    /// An ack was lost: it may be there.
    MayBe,
}

struct Person {
    client: Client,
    wanted: BTreeMap<u64, Wanted>,
    places: Vec<Place>,
    /// A leave was not acked: it may have gone.
    unsure: Vec<bool>,
    is_deaf: bool,
    /// Messages that were not acked.
    unacked: Vec<(usize, u64)>,
    /// News that it must hear; whether as one of everyone.
    expects: BTreeMap<u64, bool>,
    /// News that it has heard.
    news: BTreeSet<u64>,
    /// It left a room while these were on their way: it may hear those twice.
    left_during: u64,
}

struct Simulation {
    cluster: Cluster,
    people: Vec<Person>,
    /// Cut wires of which the server does not know.
    cut: Vec<(String, ConnectionId)>,
    next_message: u64,
    /// Messages that were acked: their room and offset.
    acked: BTreeMap<u64, (usize, u64)>,
    last_news: u64,
    /// What rooms are still to be brought.
    to_bring: Vec<(RoomName, Request)>,
    /// The rooms' offsets that are news.
    news_at: BTreeSet<(usize, u64)>,
}

impl Person {
    fn lost(&mut self) {
        for (_, wanted) in std::mem::take(&mut self.wanted) {
            match wanted {
                Wanted::Join(room) if self.places[room] == Place::Out => {
                    self.places[room] = Place::MayBe;
                }
                Wanted::Leave(room) => self.unsure[room] = true,
                Wanted::Send(room, n) => self.unacked.push((room, n)),
                Wanted::Join(_) => {}
            }
        }
    }

    /// Checks what was heard against what the app knows.
    fn hear(
        &mut self,
        heard: Heard,
        acked: &mut BTreeMap<u64, (usize, u64)>,
        news_at: &BTreeSet<(usize, u64)>,
    ) -> Result<(), String> {
        match heard {
            Heard::Connected { recovered: true } => {}
            Heard::Connected { recovered: false } => {
                self.places = vec![Place::Out; ROOMS.len()];
                self.unsure = vec![false; ROOMS.len()];
                self.expects.clear();
                // It is another socket; its lobby may not have heard yet what the last one had.
                self.news.clear();
            }
            Heard::Ack(id, answer) => {
                let Some(wanted) = self.wanted.remove(&id) else {
                    return Err(format!("an ack that nobody wants: {id} {answer}"));
                };
                let ok = answer["ok"] == true;
                match wanted {
                    Wanted::Join(room) if ok => {
                        let offset = answer["offset"].as_u64().unwrap();
                        let place = &mut self.places[room];
                        match place {
                            Place::In(bases) if self.unsure[room] => bases.push(offset),
                            Place::In(_) => {}
                            // Where it may have been it goes on from there.
                            Place::MayBe => {}
                            Place::Out => *place = Place::In(vec![offset]),
                        }
                        self.unsure[room] = false;
                    }
                    Wanted::Join(_) => {}
                    Wanted::Leave(room) => {
                        self.places[room] = Place::Out;
                        self.unsure[room] = false;
                    }
                    Wanted::Send(room, n) if ok => {
                        let offset = answer["offset"].as_u64().unwrap();
                        if acked
                            .insert(n, (room, offset))
                            .is_some_and(|at| at != (room, offset))
                        {
                            return Err(format!("{n} was acked at two offsets"));
                        }
                    }
                    Wanted::Send(room, n) => self.unacked.push((room, n)),
                }
            }
            Heard::Event(event) if event[0] == "new_message" => {
                let room = format!("chat:{}", event[1]["chatId"].as_str().unwrap());
                let room = ROOMS.iter().position(|r| *r == room).unwrap();
                let (_, offset) = event[1]["id"].as_str().unwrap().rsplit_once('-').unwrap();
                let offset: u64 = offset.parse().unwrap();
                match &mut self.places[room] {
                    Place::In(bases)
                        if bases.iter().any(|base| {
                            (base + 1..offset).all(|n| news_at.contains(&(room, n)))
                        }) =>
                    {
                        *bases = vec![offset];
                    }
                    place @ Place::MayBe => *place = Place::In(vec![offset]),
                    place => return Err(format!("{offset} of {} came in {place:?}", ROOMS[room])),
                }
            }
            Heard::Event(event) if event[0] == "news" => {
                let n = event[1]["n"].as_u64().unwrap();
                self.expects.remove(&n);
                if !self.news.insert(n) && n > self.left_during {
                    return Err(format!("news {n} twice"));
                }
            }
            Heard::Event(_) => {}
        }
        Ok(())
    }
}

impl Simulation {
    fn new() -> Self {
        let client = |(index, user): (usize, &&str)| {
            let mut client = Client::new(user, "/chat");
            if index % 2 == 1 {
                client.token = open_token(user);
            }
            client
        };
        let people = USERS.iter().enumerate().map(|person| Person {
            client: client(person),
            wanted: BTreeMap::new(),
            places: vec![Place::Out; ROOMS.len()],
            unsure: vec![false; ROOMS.len()],
            is_deaf: false,
            unacked: vec![],
            expects: BTreeMap::new(),
            news: BTreeSet::new(),
            left_during: 0,
        });
        let mut cluster = Cluster::new(&[("JWT_JWKS_URL", "https://id.example/jwks")]);
        cluster.checks_tokens = true;
        Self {
            cluster,
            people: people.collect(),
            cut: vec![],
            next_message: 0,
            acked: BTreeMap::new(),
            last_news: 0,
            to_bring: vec![],
            news_at: BTreeSet::new(),
        }
    }

    fn emit(&mut self, targets: &[&str], reversed: bool) {
        self.last_news += 1;
        let n = self.last_news;
        for person in &mut self.people {
            let everyone = targets.contains(&"*");
            let is_in = ROOMS.iter().enumerate().any(|(index, room)| {
                let mut wanted = person.wanted.values();
                let is_leaving = wanted.any(|w| matches!(w, Wanted::Leave(n) if *n == index));
                let is_in = matches!(person.places[index], Place::In(_));
                is_in && !person.unsure[index] && !is_leaving && targets.contains(room)
            });
            if person.client.pid.is_some() && (everyone || is_in) {
                person.expects.insert(n, everyone);
            }
        }
        let body = json!({"namespace": "/chat", "rooms": targets, "event": "news", "data": {"n": n}, "id": n.to_string()});
        let batch = Batch::parse(&body.to_string(), self.cluster.now, "fresh").unwrap();
        let mut requests = batch.requests();
        if reversed {
            requests.reverse();
        }
        self.to_bring.extend(requests);
    }

    fn bring(&mut self) {
        if self.to_bring.is_empty() {
            return;
        }
        let (room, body) = self.to_bring.remove(0);
        let (request, body) = (self.cluster.next_request(room.as_str()), Box::new(body));
        let input = Input::Request { request, body };
        self.cluster.turn(room.as_str(), vec![input]);
        if let Some(index) = ROOMS.iter().position(|r| *r == room.as_str()) {
            let offset = self.head(index);
            self.news_at.insert((index, offset));
        }
    }

    fn send(&mut self, client: usize, room: usize, n: u64) {
        let person = &mut self.people[client];
        let chat = ROOMS[room].strip_prefix("chat:").unwrap();
        let id = format!("{client}-{n}");
        let data = json!({"chatId": chat, "message": n.to_string(), "clientMessageId": id});
        let ack = person.client.emit(&mut self.cluster, "send_message", data);
        person.wanted.insert(ack, Wanted::Send(room, n));
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        let cluster = &mut self.cluster;
        match step {
            Step::Connect { client, lobby } => {
                let person = &mut self.people[*client];
                if person.client.at.is_none() {
                    person.client.dial(cluster, LOBBIES[*lobby]);
                    if let (true, Some(wire)) = (person.is_deaf, &person.client.at) {
                        cluster.unread.insert(wire.clone());
                    }
                }
            }
            Step::Join { client, room } | Step::Leave { client, room } => {
                let person = &mut self.people[*client];
                if person.client.connected {
                    let chat = ROOMS[*room].strip_prefix("chat:").unwrap();
                    let (event, wanted) = match step {
                        Step::Join { .. } => ("join_chat", Wanted::Join(*room)),
                        _ => ("leave_chat", Wanted::Leave(*room)),
                    };
                    // One of these at a time, so that what the app knows is simple to say.
                    let busy = person
                        .wanted
                        .values()
                        .any(|w| !matches!(w, Wanted::Send(..)));
                    if !busy {
                        if matches!(wanted, Wanted::Leave(_)) {
                            person.left_during = self.last_news;
                            person.expects.retain(|_, everyone| *everyone);
                        }
                        let ack = person.client.emit(cluster, event, json!({"chatId": chat}));
                        person.wanted.insert(ack, wanted);
                    }
                }
            }
            Step::Send { client, room } => {
                if self.people[*client].client.connected {
                    self.next_message += 1;
                    self.send(*client, *room, self.next_message);
                }
            }
            Step::Retry { client } => {
                if self.people[*client].client.connected
                    && let Some((room, n)) = self.people[*client].unacked.pop()
                {
                    self.send(*client, room, n);
                }
            }
            Step::Cut { client, noticed } => {
                let person = &mut self.people[*client];
                if let Some((object, connection)) = person.client.cut(cluster) {
                    person.lost();
                    if *noticed {
                        cluster.notice(&object, connection);
                    } else {
                        self.cut.push((object, connection));
                    }
                }
            }
            Step::Glimpse { client, lobby } => {
                let person = &mut self.people[*client];
                if person.client.at.is_none() {
                    person.client.dial(cluster, LOBBIES[*lobby]);
                    cluster.settle();
                    let wire = person.client.cut(cluster).expect("dialed");
                    self.cut.push(wire);
                }
            }
            Step::Deaf { client } => {
                let person = &mut self.people[*client];
                person.is_deaf = !person.is_deaf;
                // A pong comes behind all that was read.
                if let Some(wire) = person.client.at.clone() {
                    if person.is_deaf {
                        cluster.unread.insert(wire);
                    } else {
                        cluster.unread.remove(&wire);
                    }
                }
            }
            Step::Notice => {
                if !self.cut.is_empty() {
                    let (object, connection) = self.cut.remove(0);
                    cluster.notice(&object, connection);
                }
            }
            Step::Emit { targets, reversed } => self.emit(TARGETS[*targets], *reversed),
            Step::Bring => self.bring(),
            Step::Evict { object } => {
                let name = object_named(*object);
                if cluster.is_idle(name) {
                    cluster.evict(name);
                }
            }
            Step::Crash { object } => {
                let name = object_named(*object);
                for person in &mut self.people {
                    if person.client.at.as_ref().is_some_and(|(at, _)| at == name) {
                        person.client.cut(cluster);
                        person.lost();
                    }
                }
                cluster.crash(name);
                self.cut.retain(|(of, _)| of != name);
            }
            Step::Trouble(fates) => cluster.fates.extend(fates),
            Step::Release(n) => cluster.release(*n),
            Step::Pass(ms) => cluster.pass(*ms),
        }
        self.cluster.settle();
        self.listen()
    }

    /// Everyone reads what has come, and whose wire is gone notices.
    fn listen(&mut self) -> Result<(), String> {
        for (index, person) in self.people.iter_mut().enumerate() {
            // Who does not read notices its wire's end all the same.
            let wire = person.client.at.as_ref();
            if person.is_deaf && wire.is_none_or(|wire| self.cluster.is_open(wire)) {
                continue;
            }
            let was_open = person.client.at.is_some();
            person.client.read(&mut self.cluster);
            for heard in std::mem::take(&mut person.client.log) {
                let told = person.hear(heard, &mut self.acked, &self.news_at);
                told.map_err(|error| format!("client {index}: {error}"))?;
            }
            person.client.events.clear();
            person.client.frames.clear();
            person.client.acks.clear();
            if was_open && person.client.at.is_none() {
                person.lost();
            }
        }
        Ok(())
    }

    fn head(&mut self, room: usize) -> u64 {
        u64::try_from(self.cluster.rows(ROOMS[room], "log")).unwrap()
    }

    /// All trouble is over: those who are connected have it all, and are here.
    fn check_at_rest(&mut self) -> Result<(), String> {
        for person in &mut self.people {
            person.is_deaf = false;
            if let Some(wire) = &person.client.at {
                self.cluster.unread.remove(wire);
            }
        }
        // A lobby that crashed while it connected somebody is found out by it.
        self.emit(&["*"], false);
        while !self.to_bring.is_empty() {
            self.bring();
        }
        self.cluster.calm();
        // A wire that was cut unnoticed is found dead by its heartbeat.
        self.cluster.pass(100_000);
        self.listen()?;
        for (index, room) in ROOMS.iter().enumerate() {
            let offset = self.head(index) + 1;
            let chat = room.strip_prefix("chat:").unwrap();
            let data = json!({"chatId": chat, "id": format!("e-{offset}"), "message": "last"});
            self.cluster.publish(room, "new_message", data);
        }
        // A lobby that crashed while it joined is found out by the next thing that it is told.
        self.cluster.pass(10_000);
        self.listen()?;
        for (number, person) in self.people.iter().enumerate() {
            if person.client.connected && !person.expects.is_empty() {
                let expects = &person.expects;
                return Err(format!("client {number} never heard the news {expects:?}"));
            }
        }
        for (index, room) in ROOMS.iter().enumerate() {
            let head = self.head(index);
            let roster = self.cluster.roster(room);
            for (number, person) in self.people.iter().enumerate() {
                let Place::In(bases) = &person.places[index] else {
                    continue;
                };
                if !person.client.connected || person.unsure[index] {
                    continue;
                }
                if *bases != [head] {
                    return Err(format!(
                        "client {number} is at {bases:?} of {head} in {room}"
                    ));
                }
                if !roster.contains(&person.client.user) {
                    return Err(format!("client {number} is not among {roster:?} of {room}"));
                }
            }
            for user in roster {
                let mut people = self.people.iter();
                let here = |p: &Person| {
                    p.client.user == user && p.client.at.is_some() && p.places[index] != Place::Out
                };
                if !people.any(here) {
                    return Err(format!("{user} is a ghost in {room}"));
                }
            }
        }
        Ok(())
    }

    /// Every acked message is in its room's log once, at its offset; others once at most.
    fn check_logs(&mut self) -> Result<(), String> {
        for (index, room) in ROOMS.iter().enumerate() {
            let rows = self
                .cluster
                .column(room, "SELECT args FROM log ORDER BY offset");
            let mut at: BTreeMap<u64, u64> = BTreeMap::new();
            for (row, offset) in rows.iter().zip(1_u64..) {
                let args: Json = serde_json::from_str(row).unwrap();
                if let Some(Ok(n)) = args[0]["message"].as_str().map(str::parse)
                    && at.insert(n, offset).is_some()
                {
                    return Err(format!("{n} is in {room} twice"));
                }
            }
            for (n, (_, offset)) in self.acked.iter().filter(|(_, (of, _))| *of == index) {
                if at.get(n) != Some(offset) {
                    return Err(format!(
                        "{n} was acked at {offset} and is at {:?}",
                        at.get(n)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Everyone goes: nothing of them is left.
    fn check_nothing_is_left(&mut self) -> Result<(), String> {
        for person in &mut self.people {
            person.client.drop_wire(&mut self.cluster);
        }
        for (object, connection) in std::mem::take(&mut self.cut) {
            self.cluster.notice(&object, connection);
        }
        self.cluster.pass(200_000);
        for room in [ROOMS[0], ROOMS[1], EVERYONE] {
            let roster = self.cluster.roster(room);
            if !roster.is_empty() {
                return Err(format!("{roster:?} are ghosts in {room}"));
            }
            if self.cluster.rows(room, "links") > 0 {
                return Err(format!("{room} is still linked"));
            }
        }
        // Sessions that moved are pointed at for a day.
        self.cluster.now = self.cluster.now.plus(crate::limits::MOVED_SESSION_MS);
        self.cluster.pass(60_000);
        for name in self.cluster.names() {
            for table in ["sockets", "doors"] {
                let rows = self.cluster.rows(&name, table);
                if rows > 0 {
                    return Err(format!("{name} still has {rows} {table}"));
                }
            }
        }
        Ok(())
    }
}

fn object_named(n: usize) -> &'static str {
    [LOBBIES[0], LOBBIES[1], ROOMS[0], ROOMS[1], EVERYONE][n]
}

fn run(steps: &[Step]) -> Result<(), String> {
    let mut simulation = Simulation::new();
    for (number, step) in steps.iter().enumerate() {
        let taken = simulation.take(step);
        taken.map_err(|error| format!("step {number}, {step:?}: {error}"))?;
    }
    simulation.check_at_rest()?;
    simulation.check_logs()?;
    simulation.check_nothing_is_left()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(64),
        failure_persistence: None,
        max_shrink_iters: 60_000,
        ..ProptestConfig::default()
    })]

    /// Invariants 1–4 across objects: whatever happens to them and between them, everyone sees a
    /// room's publications in order, each once; what was acked is kept, once; nobody stays who is gone.
    #[test]
    fn whatever_happens_between_objects_nobody_sees_a_gap_or_a_double(
        steps in proptest::collection::vec(sim_step(), 1..100)
    ) {
        if let Err(error) = run(&steps) {
            prop_assert!(false, "{}\n{:#?}", error, steps);
        }
    }
}
