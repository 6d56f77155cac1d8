//! The object's turns on a real SQLite, and a small world of objects that deliver to each other.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    auth::{Grant, Unverified},
    error::Code,
    event::Args,
    event_webhook::Post,
    hub::{DisconnectReason, Flush, Frame},
    limits::{
        MAX_UNREAD_BYTES, MEASURE_EVERY_BYTES, OUTBOX_MAX_RETRY_MS, OUTBOX_RETRY_MS,
        OUTBOX_TRIES_IN_ORDER, PRESENCE_GRACE_MS, READ_TIMEOUT_MS, SETTLE_TIMEOUT_MS, TYPING_MS,
    },
    names::{Offset, UserId},
    storage::{Row, Value, memory::Memory},
    twilio::rest::{Answer, Call},
    wire::{Caller, Connect, Item, Parcel, Request},
};

mod backend;
mod backup;
mod beat;
mod limits;
mod lines;
mod simulation;
mod socket_io;
mod tokens;
mod versions;
mod watch;
mod world;

/// SQLite that fails the n-th statement from now, if told to.
struct Failing {
    sql: Memory,
    fail_in: Cell<Option<u32>>,
}

impl Sql for Failing {
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError> {
        if let Some(left) = self.fail_in.get() {
            self.fail_in.set(left.checked_sub(1));
            if left == 0 {
                return Err(StorageError::Sqlite("disk full".to_owned()));
            }
        }
        self.sql.run(statement, parameters)
    }
}

/// One object and what its shell keeps: the disk, the sockets' attachments, what they were sent.
struct Shell {
    name: RoomName,
    environment: Rc<Environment>,
    disk: Failing,
    object: Option<Object>,
    attachments: BTreeMap<ConnectionId, Attachment>,
    /// A socket that is closing, whose close event is still to come.
    closing: ConnectionId,
    received: HashMap<ConnectionId, Vec<String>>,
    closed: HashMap<ConnectionId, DisconnectReason>,
    replies: HashMap<RequestId, Result<String, Refusal>>,
    deliveries: Vec<Delivery>,
    /// What it posts to a backend.
    posts: Vec<Post>,
    /// What it asks of Twilio.
    twilio: Vec<(room::Job, Call)>,
    polls: HashMap<RequestId, Polled>,
    calls: Vec<(CallId, RoomName, String)>,
    /// The tokens that it has checked.
    verifies: Vec<(CallId, Unverified<'static>)>,
    auto_response: Option<AutoResponse>,
    /// Of whom it wants to know how much waits for them.
    measures: Vec<ConnectionId>,
    /// Who waits for what its memory alone knows of.
    awaits: BTreeSet<ConnectionId>,
    /// The rooms into which sockets are on their way, or out of which.
    moving: BTreeSet<RoomName>,
    /// The last `Wake`, as (timer, alarm).
    wake: (Option<Timestamp>, Option<Timestamp>),
    now: Timestamp,
    requests: u64,
    /// Which of its lives it is in: each has a seed of its own.
    life: u32,
    /// Tells its seeds from those of other shells.
    number: u8,
    /// When the runtime last answered a WebSocket by itself.
    heard: BTreeMap<ConnectionId, Timestamp>,
}

fn environment(vars: &[(&str, &str)]) -> Rc<Environment> {
    let config = Config::read(|name| {
        let set = vars
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| (*v).to_owned());
        set.or_else(|| (name == "JWT_SECRET").then(|| SECRET.to_owned()))
    })
    .unwrap();
    let keys = Keys::new(&config.auth).unwrap();
    Rc::new(Environment { config, keys })
}

const SECRET: &str = "a secret of the tests, of more than 32 bytes";
const T0: Timestamp = Timestamp(1_767_607_200_000);

fn claims(user: &str) -> Claims {
    Claims {
        user: UserId::text(user).unwrap(),
        name: None,
        role: None,
        rooms: vec![Grant::parse("*").unwrap()],
        rooms_read: vec![],
        expires_at: T0.plus(3_600_000),
    }
}

fn caller(user: &str) -> Caller {
    Caller {
        claims: claims(user),
        access: Access::Full,
    }
}

impl Shell {
    fn new(room: &str) -> Self {
        Self::with(room, &[])
    }

    fn with(room: &str, vars: &[(&str, &str)]) -> Self {
        Self {
            name: RoomName::parse(room).unwrap(),
            environment: environment(vars),
            disk: Failing {
                sql: Memory::new(),
                fail_in: Cell::new(None),
            },
            object: None,
            attachments: BTreeMap::new(),
            closing: ConnectionId::default(),
            received: HashMap::new(),
            closed: HashMap::new(),
            replies: HashMap::new(),
            deliveries: vec![],
            posts: vec![],
            twilio: vec![],
            polls: HashMap::new(),
            calls: vec![],
            verifies: vec![],
            auto_response: None,
            measures: vec![],
            awaits: BTreeSet::new(),
            moving: BTreeSet::new(),
            wake: (None, None),
            now: T0,
            requests: 0,
            life: 0,
            number: 7,
            heard: BTreeMap::new(),
        }
    }

    fn seed(&self) -> Seed {
        let mut seed = [7; 32];
        seed[0] = self.number;
        for (byte, life) in seed.iter_mut().skip(1).zip(self.life.to_le_bytes()) {
            *byte ^= life;
        }
        seed
    }

    /// What the durable layer does: one transaction, then the outputs in order.
    fn turn(&mut self, inputs: Vec<Input>) -> Result<Vec<Output>, StorageError> {
        self.disk.sql.0.execute_batch("BEGIN").unwrap();
        let result = self.transact(inputs);
        match &result {
            Ok(_) => self.disk.sql.0.execute_batch("COMMIT").unwrap(),
            Err(_) => {
                self.disk.sql.0.execute_batch("ROLLBACK").unwrap();
                self.object = None;
                self.awaits.clear();
                self.moving.clear();
            }
        }
        let outputs = result?;
        for output in &outputs {
            if let Output::Accept { attachment, .. } = output {
                // What one of that number was sent in another life is nobody's.
                self.received.remove(&attachment.connection);
            }
            match output {
                Output::Accept { attachment, .. } | Output::Attach(attachment) => {
                    let kept = Attachment::from_json(&attachment.to_json()).unwrap();
                    self.attachments.insert(attachment.connection, kept);
                }
                Output::Send(flush) => {
                    for connection in &flush.connections {
                        assert!(self.attachments.contains_key(connection), "sent to nobody");
                        let frames = flush.frames.iter().map(as_text);
                        self.received.entry(*connection).or_default().extend(frames);
                    }
                }
                Output::Close { connection, reason } => {
                    self.attachments.remove(connection);
                    self.closed.insert(*connection, *reason);
                }
                Output::Reply { request, answer } => {
                    assert!(self.replies.insert(*request, answer.clone()).is_none());
                }
                Output::Deliver { delivery, .. } => self.deliveries.push(delivery.clone()),
                Output::Post(post) => self.posts.push(post.clone()),
                Output::Twilio { job, call } => self.twilio.push((*job, call.clone())),
                Output::Poll { request, answer } => {
                    assert!(self.polls.insert(*request, answer.clone()).is_none());
                }
                Output::Ask { call, object, body } => {
                    self.calls.push((*call, object.clone(), body.to_string()));
                }
                Output::Verify { call, token } => self.verifies.push((*call, token.clone())),
                Output::Measure(connections) => self.measures.extend(connections),
                Output::AutoResponse(which) => self.auto_response = Some(*which),
                Output::Moves { room, under_way } => {
                    let changed = if *under_way {
                        self.moving.insert(room.clone())
                    } else {
                        self.moving.remove(room)
                    };
                    assert!(changed, "only changes are told");
                }
                Output::Awaits { connection, awaits } => {
                    let changed = if *awaits {
                        self.awaits.insert(*connection)
                    } else {
                        self.awaits.remove(connection)
                    };
                    assert!(changed, "only changes are told");
                }
                Output::Wake { timer, alarm } => {
                    self.wake = (timer.or(self.wake.0), alarm.or(self.wake.1));
                }
            }
        }
        Ok(outputs)
    }

    fn transact(&mut self, inputs: Vec<Input>) -> Result<Vec<Output>, StorageError> {
        let seed = self.seed();
        let object = match &mut self.object {
            Some(object) => object,
            none => none.insert(Object::open(
                &self.disk,
                Rc::clone(&self.environment),
                self.name.clone(),
                seed,
                self.now,
                self.attachments.values().cloned().collect(),
                self.closing,
            )?),
        };
        let outputs = object.turn(&self.disk, self.now, &inputs)?;
        object.hub.check();
        object.room.roster.check();
        object.room.links.check();
        object.room.outbox.check();
        object.room.sends.check();
        Ok(outputs)
    }

    /// It is evicted: only the disk and the sockets' attachments stay.
    fn evict(&mut self) {
        self.object = None;
        self.awaits.clear();
        self.moving.clear();
        self.life += 1;
        // Timers do not outlive it; the alarm does.
        self.wake.0 = None;
    }

    /// The alarm rings while it sleeps: whom it may just ping, and when the alarm rings next.
    fn beat(&mut self) -> Option<(Vec<ConnectionId>, Timestamp)> {
        let engines = self.attachments.values().filter(|a| a.sid().is_some());
        let engines: Vec<ConnectionId> = engines.map(|a| a.connection).collect();
        let heard: Vec<Option<Timestamp>> = engines
            .iter()
            .map(|id| self.heard.get(id).copied())
            .collect();
        let config = &self.environment.config;
        let next = beat(&self.disk, config, &self.name, self.now, &heard);
        Some((engines, next.unwrap()?))
    }

    fn open_input(&mut self, user: &str, since: Option<&str>) -> Input {
        self.requests += 1;
        let connect = Connect {
            caller: caller(user),
            since: since.map(str::to_owned),
            batch: false,
        };
        Input::Open {
            request: RequestId(self.requests),
            connect: Box::new(connect),
        }
    }

    fn join(&mut self, user: &str) -> ConnectionId {
        self.join_since(user, None)
    }

    fn join_since(&mut self, user: &str, since: Option<&str>) -> ConnectionId {
        let input = self.open_input(user, since);
        let outputs = self.turn(vec![input]).unwrap();
        let accepted = outputs.iter().find_map(|output| match output {
            Output::Accept { attachment, .. } => Some(attachment.connection),
            _ => None,
        });
        accepted.expect("accepted")
    }

    fn send(&mut self, connection: ConnectionId, frame: Json) {
        self.turn(vec![text(connection, frame)]).unwrap();
    }

    fn ask(&mut self, body: Request) -> Result<Json, Refusal> {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.turn(vec![Input::Request {
            request,
            body: Box::new(body),
        }])
        .unwrap();
        self.replies[&request]
            .clone()
            .map(|json| serde_json::from_str(&json).unwrap())
    }

    /// All frames that a connection got since the last call.
    fn take(&mut self, connection: ConnectionId) -> Vec<Json> {
        let frames = self.received.remove(&connection).unwrap_or_default();
        frames
            .iter()
            .map(|frame| serde_json::from_str(frame).unwrap())
            .collect()
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.turn(vec![Input::Timer, Input::Alarm { heard: vec![] }])
            .unwrap();
    }
}

/// A frame as text; a binary one in base64 after `b`.
fn as_text(frame: &Frame) -> String {
    match frame {
        Frame::Text(text) => text.to_string(),
        Frame::Binary(bytes) => crate::engine_io::Packet::Binary(bytes.to_vec()).encode(),
    }
}

fn text(connection: ConnectionId, frame: Json) -> Input {
    Input::Text {
        connection,
        text: frame.to_string(),
    }
}

fn events(frames: &[Json]) -> Vec<&str> {
    frames
        .iter()
        .filter_map(|frame| frame["event"].as_str())
        .collect()
}

#[test]
fn a_turn_is_one_run_of_sends_and_each_frame_is_encoded_once() {
    let mut shell = Shell::new("demo:1");
    let (a, b, c) = (shell.join("a"), shell.join("b"), shell.join("c"));
    let outputs = shell
        .turn(vec![
            text(a, json!({"event": "x", "data": 1, "id": "1"})),
            text(b, json!({"event": "y", "data": 2})),
        ])
        .unwrap();
    let sends: Vec<&Flush> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send(flush) => Some(flush),
            _ => None,
        })
        .collect();
    let of = |id| {
        *sends
            .iter()
            .find(|flush| flush.connections.contains(&id))
            .unwrap()
    };
    assert_eq!(sends.len(), 3, "one group each: {sends:?}");
    assert_eq!(of(a).frames.len(), 2, "the ack, then y: {:?}", of(a).frames);
    assert_eq!(of(b).frames.len(), 1);
    assert_eq!(of(c).frames.len(), 2);
    assert!(
        of(c).frames[0].address() == of(b).frames[0].address(),
        "x is encoded once"
    );
    assert!(
        of(c).frames[1].address() == of(a).frames[1].address(),
        "y is encoded once"
    );
}

#[test]
fn everyone_else_with_the_same_frames_is_one_group() {
    let mut shell = Shell::new("demo:1");
    let ids: Vec<ConnectionId> = (0..50).map(|n| shell.join(&format!("u{n}"))).collect();
    let outputs = shell
        .turn(vec![text(ids[0], json!({"event": "x", "data": 1}))])
        .unwrap();
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    assert!(matches!(&outputs[0], Output::Send(flush) if flush.connections == ids[1..]));
}

#[test]
fn a_batched_socket_gets_a_turn_as_lines_of_one_frame() {
    let mut shell = Shell::new("demo:1");
    let a = shell.join("a");
    let connect = Connect {
        caller: caller("b"),
        since: None,
        batch: true,
    };
    let input = Input::Open {
        request: RequestId(99),
        connect: Box::new(connect),
    };
    shell.turn(vec![input]).unwrap();
    let b = *shell.attachments.keys().last().unwrap();
    shell.received.clear();
    let pretty = "{\"event\":\"y\",\"data\":{\n \"n\": 2\r\n}}".to_owned();
    shell
        .turn(vec![
            text(a, json!({"event": "x", "data": 1})),
            Input::Text {
                connection: a,
                text: pretty,
            },
        ])
        .unwrap();
    let frames = &shell.received[&b];
    assert_eq!(frames.len(), 1);
    let lines: Vec<Json> = frames[0]
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events(&lines), ["x", "y"]);
}

#[test]
fn an_id_is_accepted_once_per_user_even_after_a_wake() {
    let mut shell = Shell::new("demo:1");
    let (a, b) = (shell.join("a"), shell.join("b"));
    shell.take(b);
    let frame = json!({"event": "x", "data": 1, "id": "1"});
    shell.send(a, frame.clone());
    shell.evict();
    shell.send(a, frame.clone());
    let acks: Vec<Json> = shell
        .take(a)
        .into_iter()
        .filter(|frame| !frame["ack"].is_null())
        .collect();
    assert_eq!(
        acks,
        [
            json!({"ack": "1", "offset": 1, "duplicate": false}),
            json!({"ack": "1", "offset": 1, "duplicate": true}),
        ]
    );
    assert_eq!(events(&shell.take(b)), ["x"]);
    // Another user's id of the same name is another id.
    shell.send(b, frame);
    assert_eq!(
        shell.take(b),
        [json!({"ack": "1", "offset": 2, "duplicate": false})]
    );
}

#[test]
fn ids_of_users_with_colons_do_not_meet() {
    let mut shell = Shell::new("demo:1");
    let (a, b) = (shell.join("a:b"), shell.join("a"));
    shell.send(a, json!({"event": "x", "id": "c"}));
    shell.send(b, json!({"event": "x", "id": "b:c"}));
    assert_eq!(shell.take(b).last().unwrap()["duplicate"], json!(false));
}

#[test]
fn presence_is_told_once_a_turn_and_its_newcomers_are_told_once_who_is_here() {
    let mut shell = Shell::new("demo:1");
    let a = shell.join("a");
    shell.take(a);
    let (b, c) = (shell.open_input("b", None), shell.open_input("c", None));
    shell.turn(vec![b, c]).unwrap();
    let ids: Vec<ConnectionId> = shell.attachments.keys().copied().collect();
    let users = |frame: &Json, field: &str| -> Vec<String> {
        let list = frame["data"][field].as_array().unwrap();
        list.iter()
            .map(|user| user["userId"].as_str().unwrap().to_owned())
            .collect()
    };
    let a_got = shell.take(a);
    assert_eq!(events(&a_got), ["presence_diff"]);
    assert_eq!(users(&a_got[0], "joins"), ["b", "c"]);
    for id in &ids[1..] {
        let got = shell.take(*id);
        assert_eq!(events(&got), ["connected", "presence_state"]);
        assert_eq!(users(&got[1], "users"), ["a", "b", "c"]);
    }
}

#[test]
fn a_second_tab_is_no_second_person_and_the_last_one_out_leaves_after_the_grace() {
    let mut shell = Shell::new("demo:1");
    let (a, b1) = (shell.join("a"), shell.join("b"));
    let b2 = shell.join("b");
    shell.take(a);
    shell.turn(vec![Input::Closed { connection: b1 }]).unwrap();
    shell.wait(PRESENCE_GRACE_MS);
    assert!(shell.take(a).is_empty());
    shell.attachments.remove(&b1);
    shell.turn(vec![Input::Closed { connection: b2 }]).unwrap();
    assert!(shell.wake.0.is_some(), "a timer is set");
    shell.wait(PRESENCE_GRACE_MS);
    assert_eq!(events(&shell.take(a)), ["presence_diff"]);
}

#[test]
fn the_late_close_of_a_socket_takes_no_newcomer_with_it() {
    let mut shell = Shell::new("demo:1");
    let (a, b) = (shell.join("a"), shell.join("b"));
    // b closes; the object wakes before the event arrives, and somebody comes in first.
    shell.attachments.remove(&b);
    shell.closing = b;
    shell.evict();
    let c = shell.join("c");
    shell.turn(vec![Input::Closed { connection: b }]).unwrap();
    shell.take(c);
    shell.send(a, json!({"event": "x", "data": 1}));
    assert_eq!(events(&shell.take(c)), ["x"]);
}

#[test]
fn typing_is_over_by_itself_and_with_the_socket() {
    let mut shell = Shell::new("chat:1");
    let (a, b) = (shell.join("a"), shell.join("b"));
    shell.take(b);
    let typing = json!({"event": "typing", "data": {"isTyping": true}});
    shell.send(a, typing.clone());
    shell.wait(TYPING_MS);
    let frames = shell.take(b);
    assert_eq!(
        frames,
        [
            json!({"event": "user_typing", "data": {"userId": "a", "isTyping": true, "chatId": "1"}}),
            json!({"event": "user_typing", "data": {"userId": "a", "isTyping": false, "chatId": "1"}}),
        ]
    );
    shell.send(a, typing);
    shell.turn(vec![Input::Closed { connection: a }]).unwrap();
    assert_eq!(shell.take(b)[1]["data"]["isTyping"], json!(false));
}

#[test]
fn read_marks_never_move_back_and_are_told_when_they_move() {
    let mut shell = Shell::new("demo:1");
    let (a, b) = (shell.join("a"), shell.join("b"));
    for n in 0..5 {
        shell.send(a, json!({"event": "x", "data": n}));
    }
    shell.take(b);
    for (offset, told) in [
        (json!(3), Some(3)),
        (json!(2), None),
        (json!(3), None),
        (json!(99), Some(5)),
        (Json::Null, None),
    ] {
        shell.send(a, json!({"event": "mark_read", "data": {"offset": offset}}));
        let frames = shell.take(b);
        let heard = frames
            .first()
            .map(|frame| frame["data"]["offset"].as_u64().unwrap());
        assert_eq!(heard, told, "{offset}");
    }
    shell.take(a);
    for bad in [
        json!({"offset": -1}),
        json!({"offset": "3"}),
        json!([3]),
        json!("x"),
    ] {
        shell.send(a, json!({"event": "mark_read", "data": bad}));
        assert_eq!(
            shell.take(a)[0]["error"]["code"],
            "invalid_payload",
            "{bad}"
        );
    }
}

#[test]
fn since_gives_all_that_was_missed_or_nothing() {
    let mut shell = Shell::with("demo:1", &[("HISTORY_MAX_MESSAGES", "3")]);
    let a = shell.join("a");
    for n in 1..=8 {
        shell.send(a, json!({"event": "x", "data": n}));
    }
    // Three are kept, and as many again as slack before they are pruned.
    let epoch = "c95f56381ac7d2ae";
    for (since, recovered) in [
        (format!("{epoch}:8"), Some(vec![])),
        (format!("{epoch}:6"), Some(vec![7, 8])),
        (format!("{epoch}:4"), Some(vec![5, 6, 7, 8])),
        (format!("{epoch}:3"), None),
        (format!("{epoch}:0"), None),
        (format!("{epoch}:9"), None),
        ("ffffffffffffffff:6".to_owned(), None),
    ] {
        let id = shell.join_since("b", Some(&since));
        let frames = shell.take(id);
        assert_eq!(
            frames[0]["data"]["recovered"],
            json!(recovered.is_some()),
            "{since}"
        );
        assert_eq!(frames[0]["data"]["offset"], 8, "{since}");
        let replayed: Vec<u64> = frames[1..frames.len() - 1]
            .iter()
            .map(|frame| frame["offset"].as_u64().unwrap())
            .collect();
        assert_eq!(replayed, recovered.unwrap_or_default(), "{since}");
        assert_eq!(frames.last().unwrap()["event"], "presence_state", "{since}");
    }
    let bad = shell.open_input("b", Some("nonsense"));
    shell.turn(vec![bad]).unwrap();
    let refusal = shell.replies[&RequestId(shell.requests)]
        .clone()
        .unwrap_err();
    assert_eq!(refusal.code, Code::BadRequest);
}

#[test]
fn history_pages_both_ways() {
    let mut shell = Shell::new("demo:1");
    let a = shell.join("a");
    for n in 1..=60 {
        shell.send(a, json!({"event": "x", "data": n}));
    }
    let offset = |n: Option<u64>| n.map(Offset);
    for (after, before, limit, expected) in [
        (None, None, 50, (11..=60).collect::<Vec<u64>>()),
        (None, Some(11), 5, vec![6, 7, 8, 9, 10]),
        (None, Some(3), 50, vec![1, 2]),
        (Some(57), None, 50, vec![58, 59, 60]),
        (Some(0), None, 3, vec![1, 2, 3]),
        (Some(10), Some(13), 50, vec![11, 12]),
        (Some(60), None, 50, vec![]),
        (Some(u64::MAX), None, 50, vec![]),
        (None, Some(0), 50, vec![]),
        (None, Some(u64::MAX), 1, vec![60]),
    ] {
        let request = Request::History {
            caller: caller("b"),
            after: offset(after),
            before: offset(before),
            limit,
        };
        let page = shell.ask(request).unwrap();
        let offsets: Vec<u64> = page["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["offset"].as_u64().unwrap())
            .collect();
        assert_eq!(
            offsets, expected,
            "after {after:?} before {before:?} limit {limit}"
        );
        assert_eq!(
            (page["epoch"].as_str(), page["offset"].as_u64()),
            (Some("c95f56381ac7d2ae"), Some(60))
        );
    }
}

#[test]
fn a_turn_reads_what_it_has_published_and_prunes_all_the_same() {
    let mut shell = Shell::with("demo:1", &[("HISTORY_MAX_MESSAGES", "3")]);
    let a = shell.join("a");
    for n in 1..=7_u64 {
        shell.requests += 1;
        let request = RequestId(shell.requests);
        let history = Request::History {
            caller: caller("b"),
            after: None,
            before: None,
            limit: 9,
        };
        let body = Box::new(history);
        let event = text(a, json!({"event": "x", "data": n}));
        shell
            .turn(vec![event, Input::Request { request, body }])
            .unwrap();
        let page: Json = serde_json::from_str(shell.replies[&request].as_ref().unwrap()).unwrap();
        let messages = page["messages"].as_array().unwrap();
        assert_eq!(messages.last().unwrap()["data"], n);
        let kept = shell.disk.sql.run("SELECT COUNT(*) FROM log", &[]).unwrap();
        // Seven are one past the slack.
        let left = if n == 7 { 3 } else { n };
        assert_eq!(kept[0].unsigned(0, "count").unwrap(), left, "{n}");
    }
}

#[test]
fn what_is_too_old_is_pruned_but_the_newest_and_young_keys_stay() {
    let mut shell = Shell::with("demo:1", &[("HISTORY_MAX_AGE_DAYS", "2")]);
    let a = shell.join("a");
    shell.send(a, json!({"event": "x", "id": "old"}));
    shell.now = shell.now.plus(47 * 3_600_000);
    shell.send(a, json!({"event": "x", "id": "young"}));
    assert!(shell.wake.1.is_some(), "an alarm is set");
    shell.wait(3_600_000);
    let history = |shell: &mut Shell| {
        let caller = caller("b");
        shell
            .ask(Request::History {
                caller,
                after: None,
                before: None,
                limit: 9,
            })
            .unwrap()
    };
    assert_eq!(history(&mut shell)["messages"].as_array().unwrap().len(), 1);
    assert_eq!(shell.object.as_ref().unwrap().room.prune_at(), None);
    // Everything is too old now, but the newest row keeps the offsets going.
    shell.wait(100 * 86_400_000);
    assert_eq!(history(&mut shell)["messages"][0]["offset"], 2);
    let b = shell.join("a");
    shell.send(b, json!({"event": "x", "id": "young"}));
    shell.send(b, json!({"event": "x", "id": "old"}));
    let acks: Vec<Json> = shell
        .take(b)
        .into_iter()
        .filter(|frame| !frame["ack"].is_null())
        .collect();
    assert_eq!(
        acks[0],
        json!({"ack": "young", "offset": 2, "duplicate": true})
    );
    assert_eq!(
        acks[1],
        json!({"ack": "old", "offset": 3, "duplicate": false})
    );
}

#[test]
fn an_id_is_remembered_for_a_day_though_its_message_is_pruned() {
    let mut shell = Shell::with("demo:1", &[("HISTORY_MAX_MESSAGES", "1")]);
    let a = shell.join("a");
    shell.send(a, json!({"event": "x", "id": "first"}));
    let mut ask_again = |hours: u64| {
        shell.now = T0.plus(hours * 3_600_000);
        let b = shell.join("a");
        for _ in 0..3 {
            shell.send(b, json!({"event": "x"}));
        }
        shell.send(b, json!({"event": "x", "id": "first"}));
        let ack = shell.take(b).pop().unwrap();
        ack["duplicate"].as_bool().unwrap()
    };
    assert!(ask_again(0) && ask_again(23));
    // Its row went with the first messages that were pruned after the day was over.
    assert!(!(ask_again(25) && ask_again(26)));
}

#[test]
fn a_token_accepted_within_the_leeway_gives_a_socket_that_lives_as_long() {
    let mut shell = Shell::new("demo:1");
    let mut late = claims("a");
    late.expires_at = T0.minus(1);
    let connect = Connect {
        caller: Caller {
            claims: late,
            access: Access::Full,
        },
        since: None,
        batch: false,
    };
    let input = Input::Open {
        request: RequestId(1),
        connect: Box::new(connect),
    };
    shell.turn(vec![input]).unwrap();
    shell.wait(0);
    assert!(shell.closed.is_empty());
    shell.wait(crate::limits::TOKEN_LEEWAY_MS);
    assert_eq!(shell.closed.len(), 1);
}

#[test]
fn a_socket_does_not_outlive_its_token_unless_it_is_refreshed() {
    let token = |user: &str, ttl_s: u64| {
        use jwt_compact::{
            AlgorithmExt as _, Claims as Jwt, Header,
            alg::{Hs256, Hs256Key},
        };
        let custom = json!({"sub": user, "exp": T0.0 / 1000 + ttl_s, "rooms": ["*"]});
        Hs256
            .token(&Header::empty(), &Jwt::new(custom), &Hs256Key::new(SECRET))
            .unwrap()
    };
    let mut shell = Shell::new("demo:1");
    let (a, b) = (shell.join("a"), shell.join("b"));
    assert_eq!(shell.wake.1, Some(T0.plus(3_600_000)));
    shell.take(a);
    for (sent, code) in [
        (json!({"token": token("b", 7200)}), Some("forbidden")),
        (json!({"token": "garbage"}), Some("unauthorized")),
        (json!({}), Some("invalid_payload")),
        (json!({"token": token("a", 7200)}), None),
    ] {
        shell.send(a, json!({"event": "refresh", "data": sent, "id": "r"}));
        let answer = shell.take(a).remove(0);
        assert_eq!(answer["error"]["code"].as_str(), code, "{answer}");
    }
    shell.evict();
    shell.wait(3_600_000);
    assert_eq!(
        shell.closed,
        HashMap::from([(b, DisconnectReason::TokenExpired)])
    );
    shell.wait(3_600_000);
    assert_eq!(shell.closed[&a], DisconnectReason::TokenExpired);
}

#[test]
fn readers_read_and_members_are_members_until_they_are_not() {
    let mut shell = Shell::new("demo:1");
    let open = |access| Connect {
        caller: Caller {
            claims: claims("m"),
            access,
        },
        since: None,
        batch: false,
    };
    let join = |shell: &mut Shell, access| {
        shell.requests += 1;
        let request = RequestId(shell.requests);
        shell
            .turn(vec![Input::Open {
                request,
                connect: Box::new(open(access)),
            }])
            .unwrap();
        shell
            .replies
            .get(&request)
            .cloned()
            .map(|answer| answer.unwrap_err().code)
    };
    assert_eq!(join(&mut shell, Access::IfMember), Some(Code::Forbidden));
    let user = UserId::text("m").unwrap();
    let added = shell
        .ask(Request::AddMember { user: user.clone() })
        .unwrap();
    assert_eq!(added["members"][0]["userId"], "m");
    assert_eq!(join(&mut shell, Access::IfMember), None);
    assert_eq!(join(&mut shell, Access::Read), None);
    let (member, reader) = (ConnectionId(1), ConnectionId(2));
    shell.take(reader);
    for (event, code) in [
        ("note", Some("forbidden")),
        ("typing", Some("forbidden")),
        ("mark_read", None),
    ] {
        shell.send(reader, json!({"event": event, "id": event}));
        let answer = shell.take(reader).pop().unwrap();
        assert_eq!(answer["error"]["code"].as_str(), code, "{event}");
    }
    let left = shell.ask(Request::RemoveMember { user }).unwrap();
    assert_eq!(left, json!({"members": []}));
    // The reader's grant is not the membership.
    assert_eq!(
        shell.closed,
        HashMap::from([(member, DisconnectReason::Forbidden)])
    );
    assert_eq!(join(&mut shell, Access::IfMember), Some(Code::Forbidden));
}

#[test]
fn a_room_that_strangers_ask_for_is_not_made_for_them() {
    let disk = Memory::new();
    let request = RequestId(1);
    let stranger = || Caller {
        claims: claims("m"),
        access: Access::IfMember,
    };
    let is_member = || Request::IsMember {
        user: UserId::text("m").unwrap(),
        follower: None,
    };
    let history = |caller| Request::History {
        caller,
        after: None,
        before: None,
        limit: 1,
    };
    let ask = |body| Input::Request {
        request,
        body: Box::new(body),
    };
    let open = |caller| Input::Open {
        request,
        connect: Box::new(Connect {
            caller,
            since: None,
            batch: false,
        }),
    };
    for (inputs, answered) in [
        (
            vec![
                open(stranger()),
                ask(Request::Presence { caller: stranger() }),
            ],
            true,
        ),
        (vec![ask(history(stranger())), ask(is_member())], true),
        (vec![open(stranger()), open(caller("granted"))], false),
        (vec![ask(history(caller("granted")))], false),
        (
            vec![ask(Request::AddMember {
                user: UserId::text("m").unwrap(),
            })],
            false,
        ),
        (vec![Input::Alarm { heard: vec![] }], false),
    ] {
        let answers = answer_without_room(&disk, &inputs).unwrap();
        assert_eq!(
            answers.as_ref().map(Vec::len),
            answered.then_some(inputs.len()),
            "{inputs:?}"
        );
        for answer in answers.into_iter().flatten() {
            let Output::Reply { answer, .. } = answer else {
                panic!("{answer:?}")
            };
            let json = answer.map_err(|refusal| refusal.code);
            assert!(matches!(
                json.as_deref(),
                Err(Code::Forbidden) | Ok(r#"{"member":false}"#)
            ));
        }
    }
    assert!(!crate::storage::exists(&disk).unwrap());
    crate::storage::migrate(&disk, &RoomName::parse("demo:1").unwrap(), "e").unwrap();
    assert!(
        answer_without_room(&disk, &[open(stranger())])
            .unwrap()
            .is_none()
    );
}

#[test]
fn who_does_not_read_is_closed_and_who_reads_late_is_not() {
    const OVER: usize = MAX_UNREAD_BYTES + 1;
    // What waits in the runtime at each of these times since the first, and whether it is closed then.
    for (what, measured) in [
        (
            "exactly as much as may wait",
            vec![
                (0, MAX_UNREAD_BYTES, false),
                (READ_TIMEOUT_MS, MAX_UNREAD_BYTES, false),
            ],
        ),
        (
            "more, for less than the time",
            vec![(0, OVER, false), (READ_TIMEOUT_MS - 1, OVER, false)],
        ),
        (
            "more, for the whole time",
            vec![(0, OVER, false), (READ_TIMEOUT_MS, OVER, true)],
        ),
        (
            "more, but it was less in between",
            vec![
                (0, OVER, false),
                (2_000, 10, false),
                (READ_TIMEOUT_MS, OVER, false),
            ],
        ),
        ("more, and measured once only", vec![(0, usize::MAX, false)]),
    ] {
        let mut shell = Shell::new("demo:1");
        let (slow, other) = (shell.join("slow"), shell.join("other"));
        for (at, waiting, is_closed) in measured {
            shell.now = T0.plus(at);
            shell
                .turn(vec![Input::Measured(vec![(slow, waiting), (other, 0)])])
                .unwrap();
            let expected = is_closed.then_some(&DisconnectReason::TooSlow);
            assert_eq!(shell.closed.get(&slow), expected, "{what}, at {at}");
        }
        assert!(!shell.closed.contains_key(&other), "{what}");
        shell.send(other, json!({"event": "note", "id": "n"}));
        assert_eq!(shell.take(other).last().unwrap()["ack"], "n", "{what}");
    }
}

#[test]
fn the_runtime_is_asked_of_a_socket_that_was_sent_much_and_of_no_other() {
    let mut shell = Shell::new("demo:1");
    let (reader, sender) = (shell.join("reader"), shell.join("sender"));
    let half = "x".repeat(MEASURE_EVERY_BYTES / 2);
    let mut measured = |note: &str| {
        shell.send(sender, json!({"event": "note", "data": note}));
        std::mem::take(&mut shell.measures)
    };
    assert!(measured(&half).is_empty());
    assert_eq!(measured(&half), [reader]);
    assert!(measured("little").is_empty(), "it was measured just now");
    // While more waits than may it is measured with whatever it is sent.
    shell
        .turn(vec![Input::Measured(vec![(reader, MAX_UNREAD_BYTES + 1)])])
        .unwrap();
    let mut measured = |note: &str| {
        shell.send(sender, json!({"event": "note", "data": note}));
        std::mem::take(&mut shell.measures)
    };
    assert_eq!(measured("little"), [reader]);
}

#[test]
fn a_turn_that_storage_fails_leaves_nothing_behind() {
    // Whichever statement fails, the turn is undone and the next one goes on from what was committed.
    for fail_in in 0..12 {
        let mut shell = Shell::new("sms:+1555:+1666");
        let a = shell.join("a");
        shell.send(a, json!({"event": "mark_read"}));
        shell.disk.fail_in.set(Some(fail_in));
        let publish = |n: u32| Request::Deliver {
            parcels: vec![Parcel::Event(Item {
                event: "new_message".to_owned(),
                args: Args::of(&json!({"n": n})),
                dedupe: Some(format!("twilio:{n}")),
                ..Item::default()
            })],
        };
        let both = vec![
            Input::Request {
                request: RequestId(50),
                body: Box::new(publish(1)),
            },
            Input::Request {
                request: RequestId(51),
                body: Box::new(publish(2)),
            },
        ];
        let failed = shell.turn(both).is_err();
        shell.disk.fail_in.set(None);
        shell.now = shell.now.plus(SETTLE_TIMEOUT_MS);
        let request = Request::History {
            caller: caller("b"),
            after: None,
            before: None,
            limit: 9,
        };
        let history = shell.ask(request).unwrap();
        let kept = history["messages"].as_array().unwrap().len();
        let outbox = shell
            .disk
            .sql
            .run("SELECT COUNT(*) FROM outbox", &[])
            .unwrap();
        let outbox = outbox[0].unsigned(0, "count").unwrap();
        assert_eq!(
            (kept, outbox),
            if failed { (0, 0) } else { (2, 2) },
            "statement {fail_in}"
        );
        if failed {
            assert_eq!(events(&shell.take(a)), ["connected", "presence_state"]);
            shell.ask_publish(publish(1));
            assert_eq!(events(&shell.take(a)), ["new_message"]);
        }
    }
}

/// What storage fails at its first statement, on a machine that is there.
fn fail(shell: &mut Shell, inputs: &[Input]) -> Vec<Output> {
    let mut machine = shell.object.take().expect("a machine");
    shell.disk.sql.0.execute_batch("BEGIN").unwrap();
    shell.disk.fail_in.set(Some(0));
    let failed = machine.turn(&shell.disk, shell.now, inputs);
    shell.disk.fail_in.set(None);
    shell.disk.sql.0.execute_batch("ROLLBACK").unwrap();
    failed.expect_err("it fails");
    machine.failed(shell.now, inputs, &Refusal::internal())
}

/// The frames that these outputs send, and whom they send away.
fn told(outputs: &[Output]) -> (Vec<String>, Vec<ConnectionId>) {
    let (mut frames, mut away) = (vec![], vec![]);
    for output in outputs {
        match output {
            Output::Send(flush) => frames.extend(flush.frames.iter().map(as_text)),
            Output::Close { connection, reason } => {
                assert_eq!(*reason, DisconnectReason::ServerRestarting);
                away.push(*connection);
            }
            other => panic!("{other:?}"),
        }
    }
    (frames, away)
}

#[test]
fn who_sent_what_storage_could_not_take_is_told_with_its_id() {
    let mut shell = Shell::new("demo:1");
    let a = shell.join("a");
    let message = r#""message":"something went wrong here; it has been logged""#;
    for (frame, told_so) in [
        (
            r#"{"event":"note","id":"c-1"}"#,
            format!(r#"{{"ack":"c-1","error":{{"code":"internal",{message}}}}}"#),
        ),
        (
            r#"{"event":"note"}"#,
            format!(r#"{{"error":{{"code":"internal",{message}}}}}"#),
        ),
    ] {
        let text = frame.to_owned();
        let outputs = fail(
            &mut shell,
            &[Input::Text {
                connection: a,
                text,
            }],
        );
        assert_eq!(told(&outputs), (vec![told_so], vec![]), "{frame}");
        shell.turn(vec![Input::Timer]).unwrap();
    }
    let request = Input::Request {
        request: RequestId(3),
        body: Box::new(Request::Members),
    };
    for undone in [
        request.undone(T0, &Refusal::internal()),
        fail(&mut shell, &[request]).pop(),
    ] {
        let Some(Output::Reply { request, answer }) = undone else {
            panic!("{undone:?}")
        };
        assert_eq!(
            (request, answer.unwrap_err().code),
            (RequestId(3), Code::Internal)
        );
    }
    // Where the machine cannot even be built nobody knows what is spoken on the wire.
    let text = String::new();
    let undone = Input::Text {
        connection: a,
        text,
    }
    .undone(T0, &Refusal::internal());
    assert_eq!(
        told(&undone.into_iter().collect::<Vec<_>>()),
        (vec![], vec![a])
    );
    assert!(
        Input::Closed { connection: a }
            .undone(T0, &Refusal::internal())
            .is_none()
    );
}

impl Shell {
    /// A publication whose answer may have to wait for other rooms.
    fn ask_publish(&mut self, body: Request) {
        self.requests += 1;
        let request = RequestId(self.requests + 1000);
        self.turn(vec![Input::Request {
            request,
            body: Box::new(body),
        }])
        .unwrap();
    }
}

/// Objects by name; deliveries between them are carried by hand.
struct World {
    shells: BTreeMap<String, Shell>,
}

impl World {
    fn new() -> Self {
        Self {
            shells: BTreeMap::new(),
        }
    }

    fn room(&mut self, name: &str) -> &mut Shell {
        self.shells
            .entry(name.to_owned())
            .or_insert_with(|| Shell::new(name))
    }

    /// Somebody works a line from now on, and their room knows.
    fn assign(&mut self, line: &str, user: &str) -> UserId {
        let user = UserId::text(user).unwrap();
        let add = Request::AddMember { user: user.clone() };
        self.room(line).ask_publish(add);
        while self.deliver(1, true) > 0 {}
        user
    }

    /// Carries one round of deliveries, each `times` times; `works` says which arrive.
    fn deliver(&mut self, times: u32, works: bool) -> usize {
        let mut pending = vec![];
        for (name, shell) in &mut self.shells {
            for delivery in std::mem::take(&mut shell.deliveries) {
                pending.push((name.clone(), delivery));
            }
        }
        let count = pending.len();
        for (from, delivery) in pending {
            if works {
                for _ in 0..times {
                    let to = self.room(&delivery.target.to_string());
                    to.ask_publish(Request::Deliver {
                        parcels: delivery.parcels.clone(),
                    });
                }
            }
            let input = Input::Delivered {
                delivery,
                delivered: works,
            };
            self.room(&from).turn(vec![input]).unwrap();
        }
        count
    }
}

fn inbound(sid: &str) -> Request {
    Request::Deliver {
        parcels: vec![Parcel::Event(Item {
            event: "new_message".to_owned(),
            args: Args::of(&json!({"messageSid": sid})),
            dedupe: Some(format!("twilio:{sid}")),
            ..Item::default()
        })],
    }
}

#[test]
fn an_inbound_message_reaches_the_line_and_its_assignees_once_however_often_it_is_delivered() {
    let mut world = World::new();
    for user in ["ann", "bob"] {
        world.assign("line:+1555", user);
    }
    let line = world.room("line:+1555").join("boss");
    let ann = world.room("user:ann").join("ann");
    world.room("line:+1555").take(line);
    world.room("user:ann").take(ann);

    let sms = world.room("sms:+1555:+1666");
    sms.ask_publish(inbound("SM1"));
    let request = RequestId(sms.requests + 1000);
    assert!(!sms.replies.contains_key(&request), "it waits for the line");
    assert_eq!(world.deliver(3, true), 1);
    assert!(
        world.room("sms:+1555:+1666").replies.contains_key(&request),
        "and then it answers"
    );
    assert_eq!(world.deliver(2, true), 2);
    assert_eq!(world.deliver(1, true), 0);
    assert_eq!(
        events(&world.room("line:+1555").take(line)),
        ["new_message", "conversation_updated"]
    );
    assert_eq!(events(&world.room("user:ann").take(ann)), ["new_message"]);

    // The next one goes the same way.
    world.room("sms:+1555:+1666").ask_publish(inbound("SM2"));
    assert_eq!(world.deliver(1, true), 1);
    assert_eq!(world.deliver(1, true), 2);

    // The same webhook again is a duplicate and goes nowhere.
    world.room("sms:+1555:+1666").ask_publish(inbound("SM1"));
    assert_eq!(world.deliver(1, true), 0);
}

fn sids_heard(frames: &[Json]) -> Vec<&str> {
    let messages = frames
        .iter()
        .filter(|frame| frame["event"] == "new_message");
    messages
        .filter_map(|frame| frame["data"]["messageSid"].as_str())
        .collect()
}

/// Carries what `from` has to bring: nothing arrives with which `poison` comes. Gives what was tried.
fn carry(world: &mut World, from: &str, poison: &str) -> Vec<Vec<String>> {
    let mut tried = vec![];
    for delivery in std::mem::take(&mut world.room(from).deliveries) {
        let sid = |parcel: &Parcel| {
            let json = serde_json::to_string(parcel).unwrap();
            let (_, sid) = json.split_once("twilio:").expect("an inbound message");
            sid[..3].to_owned()
        };
        let sids: Vec<String> = delivery.parcels.iter().map(sid).collect();
        let delivered = !sids.iter().any(|sid| sid == poison);
        if delivered {
            let to = world.room(&delivery.target.to_string());
            to.ask_publish(Request::Deliver {
                parcels: delivery.parcels.clone(),
            });
        }
        tried.push(sids);
        let input = Input::Delivered {
            delivery,
            delivered,
        };
        world.room(from).turn(vec![input]).unwrap();
    }
    tried
}

#[test]
fn what_a_room_cannot_take_holds_up_the_rest_for_so_many_tries_and_no_longer() {
    let (sms, line) = ("sms:+1555:+1666", "line:+1555");
    let mut world = World::new();
    let on_line = world.room(line).join("boss");
    world.room(line).take(on_line);
    let mut tries: Vec<(u64, Vec<String>)> = vec![];
    let mut sent = vec![];
    for second in 0..4_000 {
        let shell = world.room(sms);
        shell.now = T0.plus(second * 1_000);
        // The first is the poison; one comes each minute, and goes in order as long as that is tried in order.
        if second % 60 == 0 && second < 1_200 {
            let sid = format!("M{:02}", sent.len());
            shell.ask_publish(inbound(&sid));
            sent.push(sid);
        }
        // It remembers that across a sleep.
        if second % 100 == 0 {
            shell.evict();
        }
        shell.turn(vec![Input::Timer]).unwrap();
        world.room(line).now = T0.plus(second * 1_000);
        let tried = carry(&mut world, sms, "M00").into_iter();
        tries.extend(tried.map(|sids| (second, sids)));
    }
    let frames = world.room(line).take(on_line);
    let heard = sids_heard(&frames);
    assert_eq!(heard, sent[1..], "in order, each once");
    let of_poison = tries.iter().filter(|(_, sids)| sids[0] == "M00");
    let of_poison: Vec<u64> = of_poison.map(|(second, _)| *second).collect();
    assert!(of_poison.len() < 25, "{of_poison:?}");
    let others = tries.iter().find(|(_, sids)| sids[0] != "M00");
    let (first, sids) = others.unwrap();
    let before = of_poison.iter().filter(|second| *second < first).count();
    assert_eq!(before as u64, OUTBOX_TRIES_IN_ORDER);
    assert_eq!(sids.len(), 8, "all that waited, in one");
    let alone = &of_poison[before..];
    let apart = alone.windows(2).map(|pair| (pair[1] - pair[0]) * 1_000);
    assert!(apart.into_iter().all(|ms| ms >= OUTBOX_MAX_RETRY_MS));
}

#[test]
fn those_that_were_tried_with_what_a_room_cannot_take_go_alone_too_and_arrive() {
    let (sms, line) = ("sms:+1555:+1666", "line:+1555");
    let mut world = World::new();
    let on_line = world.room(line).join("boss");
    let shell = world.room(sms);
    let requests = ["M00", "M01", "M02"].map(|sid| {
        shell.requests += 1;
        Input::Request {
            request: RequestId(shell.requests + 1000),
            body: Box::new(inbound(sid)),
        }
    });
    shell.turn(requests.into()).unwrap();
    let mut tries = vec![];
    for second in 0..1_000 {
        let shell = world.room(sms);
        shell.now = T0.plus(second * 1_000);
        shell.turn(vec![Input::Timer]).unwrap();
        tries.extend(carry(&mut world, sms, "M01"));
    }
    let (together, alone): (Vec<_>, Vec<_>) = tries.into_iter().partition(|sids| sids.len() == 3);
    assert_eq!(together.len() as u64, OUTBOX_TRIES_IN_ORDER);
    assert_eq!(alone[..3], [["M00"], ["M01"], ["M02"]]);
    let frames = world.room(line).take(on_line);
    let heard = sids_heard(&frames);
    assert_eq!(heard, ["M00", "M02"]);
}

#[test]
fn what_may_have_ended_the_machine_that_brought_it_counts_as_tried() {
    let sms = "sms:+1555:+1666";
    let mut world = World::new();
    let shell = world.room(sms);
    shell.ask_publish(inbound("SM1"));
    for attempt in 0..5 {
        assert_eq!(shell.deliveries.len(), 1);
        shell.deliveries.clear();
        shell.evict();
        shell
            .turn(vec![Input::Interrupted { rooms: vec![] }])
            .unwrap();
        shell.turn(vec![Input::Timer]).unwrap();
        assert!(shell.deliveries.is_empty(), "not at once");
        shell.now = shell.now.plus(OUTBOX_RETRY_MS << attempt);
        shell.turn(vec![Input::Timer]).unwrap();
    }
    assert_eq!(shell.deliveries.len(), 1);
    // What is not due was not on its way.
    shell
        .turn(vec![Input::Interrupted { rooms: vec![] }])
        .unwrap();
    assert_eq!(world.deliver(1, true), 1);
}

#[test]
fn who_no_longer_works_a_line_is_out_of_its_conversations_and_nobody_else_is() {
    let mut world = World::new();
    let (line, sms) = ("line:+1555", "sms:+1555:+1666");
    let follower = RoomName::parse(sms).unwrap();
    let mut connections = vec![];
    for name in ["ann", "bob"] {
        let user = world.assign(line, name);
        let question = Request::IsMember {
            user,
            follower: Some(follower.clone()),
        };
        assert_eq!(
            world.room(line).ask(question).unwrap(),
            json!({"member": true})
        );
        let mut caller = caller(name);
        caller.access = Access::ByOtherRoom;
        let connect = Box::new(Connect {
            caller,
            since: None,
            batch: false,
        });
        let request = RequestId(500 + connections.len() as u64);
        world
            .room(sms)
            .turn(vec![Input::Open { request, connect }])
            .unwrap();
        connections.push(*world.room(sms).attachments.keys().last().unwrap());
    }
    let granted = world.room(sms).join("ann");
    let ann = UserId::text("ann").unwrap();
    world
        .room(line)
        .ask_publish(Request::RemoveMember { user: ann.clone() });
    let request = RequestId(world.room(line).requests + 1000);
    assert!(
        !world.room(line).replies.contains_key(&request),
        "it waits for the conversation"
    );
    world.room(sms).evict();
    assert_eq!(world.deliver(2, true), 2, "and their own list of lines");
    assert!(world.room(line).replies.contains_key(&request));
    let closed = HashMap::from([(connections[0], DisconnectReason::Forbidden)]);
    assert_eq!(
        world.room(sms).closed,
        closed,
        "not bob, not ann's own grant {granted:?}"
    );
    let stranger = Request::IsMember {
        user: ann,
        follower: Some(follower),
    };
    assert_eq!(
        world.room(line).ask(stranger).unwrap(),
        json!({"member": false})
    );
}

#[test]
fn a_room_that_cannot_be_reached_is_tried_again_in_order_also_after_a_crash() {
    let mut world = World::new();
    let sms = "sms:+1555:+1666";
    let line = world.room("line:+1555").join("boss");
    world.room("line:+1555").take(line);
    world.room(sms).ask_publish(inbound("SM1"));
    let request = RequestId(world.room(sms).requests + 1000);
    assert_eq!(world.deliver(1, false), 1);
    assert!(
        world.room(sms).replies.contains_key(&request),
        "it is committed: that is what counts"
    );
    world.room(sms).ask_publish(inbound("SM2"));
    assert_eq!(
        world.deliver(1, true),
        0,
        "the second waits behind the first"
    );
    world.room(sms).evict();
    assert!(world.room(sms).wake.1.is_some(), "the alarm is set");
    world.room(sms).wait(OUTBOX_RETRY_MS);
    assert_eq!(world.deliver(1, true), 1, "both in one request");
    let frames = world.room("line:+1555").take(line);
    let sids: Vec<&str> = frames
        .iter()
        .filter(|frame| frame["event"] == "new_message")
        .map(|frame| frame["data"]["messageSid"].as_str().unwrap())
        .collect();
    assert_eq!(sids, ["SM1", "SM2"]);
}

#[test]
fn a_webhook_does_not_wait_for_ever_for_a_room_that_does_not_answer() {
    let mut world = World::new();
    let sms = "sms:+1555:+1666";
    world.room(sms).ask_publish(inbound("SM1"));
    let request = RequestId(world.room(sms).requests + 1000);
    let wake = world.room(sms).wake.0.unwrap();
    assert_eq!(wake, T0.plus(SETTLE_TIMEOUT_MS));
    world.room(sms).wait(SETTLE_TIMEOUT_MS);
    assert!(world.room(sms).replies.contains_key(&request));
}

#[test]
fn a_connection_past_the_limit_is_refused_and_the_others_stay() {
    let mut shell = Shell::new("demo:1");
    for _ in 0..crate::limits::MAX_CONNECTIONS_PER_USER {
        shell.join("a");
    }
    let one_more = shell.open_input("a", None);
    shell.turn(vec![one_more]).unwrap();
    let refusal = shell.replies[&RequestId(shell.requests)]
        .clone()
        .unwrap_err();
    assert_eq!(refusal.code, Code::RateLimited);
    shell.join("b");
}

/// What a random run does.
#[derive(Debug, Clone)]
enum Step {
    Join(u8),
    Rejoin(u8),
    Close(u8),
    Send {
        from: u8,
        id: Option<u8>,
        fail_in: Option<u8>,
    },
    Garbage(u8, String),
    Evict,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..5_u8).prop_map(Step::Join),
        2 => (0..5_u8).prop_map(Step::Rejoin),
        1 => any::<u8>().prop_map(Step::Close),
        8 => (any::<u8>(), proptest::option::of(0..20_u8), proptest::option::weighted(0.2, 0..8_u8))
            .prop_map(|(from, id, fail_in)| Step::Send { from, id, fail_in }),
        1 => (any::<u8>(), ".{0,40}").prop_map(|(from, text)| Step::Garbage(from, text)),
        1 => Just(Step::Evict),
        1 => (0..8_000_u16).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Invariants 1–4: whatever happens, offsets are gapless, each id is accepted once, everyone
    /// sees publications in order, each once, and a reconnect gets just what was missed.
    #[test]
    fn whatever_happens_nobody_sees_a_gap_or_a_double(steps in proptest::collection::vec(step(), 1..80)) {
        let mut shell = Shell::new("demo:1");
        // What each user's client has seen of the others' publications, across reconnects.
        let mut seen: HashMap<u8, Vec<u64>> = HashMap::new();
        let mut position: HashMap<u8, u64> = HashMap::new();
        let mut whose: HashMap<ConnectionId, u8> = HashMap::new();
        let mut live: Vec<ConnectionId> = vec![];
        let mut fresh_id = 0;
        shell.turn(vec![]).unwrap();
        let epoch = "c95f56381ac7d2ae";
        for step in steps {
            let pick = |n: u8, live: &[ConnectionId]| live.get(usize::from(n) % live.len().max(1)).copied();
            match step {
                // One connection a user, so that what it saw is simple to say.
                Step::Join(user) | Step::Rejoin(user) if whose.values().any(|u| *u == user) => {}
                Step::Join(user) | Step::Rejoin(user) => {
                    let since = position.get(&user).map(|offset| format!("{epoch}:{offset}"));
                    let id = shell.join_since(&format!("u{user}"), since.as_deref());
                    if since.is_none() {
                        position.insert(user, shell.object.as_ref().unwrap().room.head().0);
                    }
                    whose.insert(id, user);
                    live.push(id);
                }
                Step::Close(n) => if let Some(id) = pick(n, &live) {
                    live.retain(|other| *other != id);
                    whose.remove(&id);
                    shell.attachments.remove(&id);
                    shell.turn(vec![Input::Closed { connection: id }]).unwrap();
                },
                // A disk that is told to fail may fail the turn: then it never was.
                Step::Send { from, id, fail_in } => if let Some(from) = pick(from, &live) {
                    fresh_id += 1;
                    let id = id.map_or(format!("fresh{fresh_id}"), |id| format!("c{id}"));
                    let frame = json!({"event": "x", "data": 1, "id": id});
                    shell.disk.fail_in.set(fail_in.map(u32::from));
                    let _ = shell.turn(vec![text(from, frame.clone()), text(from, frame)]);
                    shell.disk.fail_in.set(None);
                },
                Step::Garbage(from, garbage) => if let Some(from) = pick(from, &live) {
                    shell.turn(vec![Input::Text { connection: from, text: garbage }]).unwrap();
                },
                Step::Evict => shell.evict(),
                Step::Wait(ms) => shell.wait(ms.into()),
            }
            for (id, user) in &whose {
                for frame in shell.received.remove(id).unwrap_or_default() {
                    let Ok(frame) = serde_json::from_str::<Json>(&frame) else { continue };
                    if let Some(offset) = frame["offset"].as_u64() {
                        // An ack of a duplicate names an old offset; anything else must be new.
                        if frame["ack"].is_null() || frame["duplicate"] == false {
                            seen.entry(*user).or_default().push(offset);
                            position.insert(*user, offset);
                        }
                    }
                }
            }
        }
        for (user, offsets) in seen {
            for pair in offsets.windows(2) {
                prop_assert_eq!(pair[1], pair[0] + 1, "user {} saw {:?}", user, offsets);
            }
        }
        let rows = shell.disk.sql.run("SELECT COUNT(*), COALESCE(MAX(offset), 0) FROM log", &[]).unwrap();
        prop_assert_eq!(&rows[0].0[0], &rows[0].0[1], "offsets have no gap");
    }
}
