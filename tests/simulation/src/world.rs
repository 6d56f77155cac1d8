//! Objects, clients and what is between them, on one clock. Events go through one queue; nothing runs
//! beside anything else, so a seed gives the same run each time.

mod calls;
mod turns;
mod wires;

use std::{collections::HashMap, rc::Rc};

use dialtone_core::{
    auth::Keys,
    config::Config,
    hub::ConnectionId,
    names::{RoomName, Timestamp},
    object::Environment,
    wire::Request,
};
use serde_json::Value as Json;

pub use calls::{Job, Purpose};

use crate::{
    agenda::Agenda,
    client::{Around, Client, Frames, Say},
    costs::Costs,
    ledger::{ClientId, Ledger, RoomId},
    mutant::Mutant,
    random::Random,
    scenario::{Place, Scenario, Trouble, Watch},
    shell::Shell,
    tokens,
};
use calls::{Call, Waiter};

/// An object of the world.
pub type ObjectId = usize;

/// What happens.
enum What {
    /// The event loop of an object is free.
    Turn(ObjectId),
    /// A timer rings, if it is still set to then.
    Timer(ObjectId, Timestamp),
    /// An alarm does.
    Alarm(ObjectId, Timestamp),
    /// A request reaches an object.
    Arrive(ObjectId, Box<Request>, Waiter),
    /// An answer reaches whoever asked.
    Answer(Call, Option<String>),
    /// The same for somebody outside.
    Told(Job, Option<Result<Json, String>>),
    /// Somebody outside asks.
    Outside(Job),
    /// Frames reach clients.
    Down(ObjectId, Vec<(ClientId, u64, ConnectionId)>, Frames),
    /// A client finds its wire closed.
    Lost(ClientId, u64),
    /// A frame reaches an object.
    Up(ObjectId, ConnectionId, u64, String),
    /// An object finds a wire closed.
    Gone(ObjectId, ConnectionId, u64),
    /// A client connects.
    Dial(ClientId),
    /// A client tries again what was refused.
    GoOn(ClientId, u64),
}

/// All of it.
pub struct World {
    /// What this run is.
    pub scenario: Scenario,
    /// The rooms.
    pub places: Vec<Place>,
    by_name: HashMap<String, RoomId>,
    environment: Rc<Environment>,
    agenda: Agenda<What>,
    /// All chance.
    pub random: Random,
    objects: Vec<Shell<Waiter>>,
    ids: HashMap<String, ObjectId>,
    /// The clients.
    pub clients: Vec<Client>,
    /// What happened.
    pub ledger: Ledger,
    /// What it cost.
    pub costs: Costs,
    /// What goes wrong now.
    pub trouble: Trouble,
    mutant: Option<Mutant>,
    wires_made: u64,
    /// What was answered to questions that the run itself asked.
    answers: HashMap<u64, Json>,
    last_question: u64,
}

impl World {
    /// Nobody has come yet.
    pub fn new(scenario: Scenario, mutant: Option<Mutant>) -> Self {
        let mut random = Random::new(scenario.seed);
        let config = Config::read(|name| (name == "JWT_SECRET").then(|| tokens::SECRET.to_owned()));
        let config = config.unwrap();
        let keys = Keys::new(&config.auth).unwrap();
        let places = scenario.places();
        let by_name = places.iter().zip(0..);
        let by_name = by_name
            .map(|(place, id)| (place.name.clone(), id))
            .collect();
        let mut ledger = Ledger::default();
        let people = scenario.people(&places, &mut random);
        let clients = people.into_iter().enumerate().map(|(id, person)| {
            let granted = person.granted.iter().chain(&person.wants);
            let granted = granted.filter(|room| !person.member_of.contains(room));
            let may: Vec<RoomId> = granted.clone().chain(&person.member_of).copied().collect();
            ledger.may.push(may.into_iter().collect());
            let mut grants: Vec<String> = granted.map(|room| places[*room].name.clone()).collect();
            if mutant == Some(Mutant::EveryoneMayAll) {
                grants = vec!["*".to_owned()];
            }
            let token = tokens::token(&person.user, &grants);
            let claims = tokens::claims(&person.user, &grants);
            Client::new(id, person, token, claims)
        });
        let clients = clients.collect();
        Self {
            places,
            by_name,
            environment: Rc::new(Environment { config, keys }),
            agenda: Agenda::new(),
            random,
            objects: Vec::new(),
            ids: HashMap::new(),
            clients,
            ledger,
            costs: Costs::default(),
            trouble: scenario.trouble,
            mutant,
            wires_made: 0,
            answers: HashMap::new(),
            last_question: 0,
            scenario,
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.agenda.now()
    }

    /// The object of this name, which is made if it is new.
    fn object(&mut self, name: &str) -> ObjectId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.objects.len();
        let seeds = Random::new(self.scenario.seed ^ ((id as u64 + 1) << 32));
        let room = RoomName::parse(name).unwrap();
        self.objects.push(Shell::new(room, self.mutant, seeds));
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// Time goes by.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now().plus(ms);
        while let Some(what) = self.agenda.next(until) {
            self.happen(what);
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Turn(object) => self.turn(object),
            What::Timer(object, at) => self.timer(object, at),
            What::Alarm(object, at) => self.alarm(object, at),
            What::Arrive(object, body, waiter) => self.arrive(object, body, waiter),
            What::Answer(call, answer) => self.answer(call, answer),
            What::Told(job, answer) => self.told(job, answer),
            What::Outside(job) => self.ask_from_outside(job),
            What::Down(object, to, frames) => self.down(object, to, &frames),
            What::Lost(client, serial) => self.lost(client, serial),
            What::Up(object, connection, serial, text) => {
                self.up(object, connection, serial, text);
            }
            What::Gone(object, connection, serial) => self.gone(object, connection, serial),
            What::Dial(client) => self.dial(client),
            What::GoOn(client, serial) => {
                if self.has_wire(client, serial) {
                    self.act(client, |client, around| client.go_on(around));
                }
            }
        }
    }

    /// A client does something, and says what follows.
    pub fn act(&mut self, client: ClientId, act: impl FnOnce(&mut Client, &mut Around<'_>)) {
        let mut around = Around {
            ledger: &mut self.ledger,
            places: &self.places,
            by_name: &self.by_name,
            now: self.agenda.now(),
            say: Vec::new(),
        };
        act(&mut self.clients[client], &mut around);
        for say in around.say {
            match say {
                Say::Text(text) => self.say(client, text),
                Say::Close => self.cut(client),
                Say::TryAgain => {
                    if let Some(wire) = &self.clients[client].wire {
                        self.agenda.after(1_000, What::GoOn(client, wire.serial));
                    }
                }
            }
        }
    }

    /// A room's process has died, or its machine was built anew: diffs of who came and went that it had
    /// committed and not told yet are told to nobody. Who is there it says with the next join or recovery.
    fn forget_views(&mut self, object: ObjectId) {
        let Some(room) = self.by_name.get(self.objects[object].name.as_str()) else {
            return;
        };
        self.ledger.died.insert(*room, self.agenda.now());
        for client in &mut self.clients {
            let seats = client.seats.iter_mut().filter(|seat| seat.room == *room);
            seats.for_each(|seat| seat.view = None);
        }
    }

    /// Says what happens to the client that is watched.
    fn trace(&self, client: ClientId, what: &dyn Fn(&Self) -> String) {
        if self.scenario.watch == Some(Watch::Client(client)) {
            self.print(&format!("client {client} {}", what(self)));
        }
    }

    /// The same of an object.
    fn trace_object(&self, object: ObjectId, what: &dyn Fn(&Self) -> String) {
        if let Some(Watch::Object(name)) = &self.scenario.watch
            && name == self.objects[object].name.as_str()
        {
            self.print(&format!("{name} {}", what(self)));
        }
    }

    fn print(&self, what: &str) {
        println!("{:8} {what}", self.now().0 - crate::agenda::T0.0);
    }

    /// Objects that are awake, and all.
    pub fn awake(&self) -> (usize, usize) {
        let awake = self.objects.iter().filter(|object| object.is_awake());
        (awake.count(), self.objects.len())
    }

    /// Rows that all objects of this kind have written.
    pub fn rows_written(&self, is_lobby: bool) -> u64 {
        let objects = self.objects.iter();
        let of_kind = objects.filter(|object| (object.name.kind() == "lobby") == is_lobby);
        of_kind.map(|object| object.disk.rows_written.get()).sum()
    }

    /// What is set to wake an object: by timers, by alarms; but for those weeks away, which are for what
    /// is too old by then to be kept.
    pub fn wakes(&self) -> (Vec<String>, Vec<String>) {
        let soon = self.now().plus(10 * 24 * 3_600_000);
        let named = |is_set: &dyn Fn(&Shell<Waiter>) -> bool| {
            let objects = self.objects.iter().filter(|object| is_set(object));
            objects.map(|object| object.name.to_string()).collect()
        };
        (
            named(&|object| object.timer.is_some()),
            named(&|object| object.alarm.is_some_and(|at| at < soon)),
        )
    }
}
