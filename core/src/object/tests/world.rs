//! Objects that ask each other over a network that can be told to fail, and Socket.IO clients that
//! do what the stock one does.

use std::collections::{BTreeSet, VecDeque};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::*;
use crate::auth::TokenError;
use crate::wire::{Door, EngineRequest, Method};

/// What becomes of a call from one object to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Work,
    /// It never arrives.
    Fail,
    /// It does its work, and the answer is lost.
    LoseAnswer,
    /// It arrives when it is released.
    HoldRequest,
    /// The answer arrives when it is released.
    HoldAnswer,
}

#[derive(Debug)]
enum What {
    Ask(CallId),
    Deliver(Delivery),
}

#[derive(Debug)]
enum Stage {
    Asked,
    Doing { request: RequestId, life: u32 },
    Answered(Option<String>),
}

#[derive(Debug)]
struct InFlight {
    from: String,
    life: u32,
    to: String,
    what: What,
    body: Request,
    fate: Fate,
    held: bool,
    stage: Stage,
}

/// A token that the runtime checks.
#[derive(Debug)]
struct Check {
    from: String,
    life: u32,
    call: CallId,
    verdict: Result<Claims, TokenError>,
    held: bool,
}

/// A call that was made, as tests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub from: String,
    pub to: String,
    pub body: String,
}

/// Objects by name, and what is under way between them.
pub struct Cluster {
    shells: BTreeMap<String, Shell>,
    environment: Rc<Environment>,
    in_flight: Vec<InFlight>,
    /// Where the tests do not check tokens themselves: those that are being checked.
    pub checks_tokens: bool,
    checks: Vec<Check>,
    pub now: Timestamp,
    /// What becomes of the next calls; those after them work.
    pub fates: VecDeque<Fate>,
    /// What becomes of calls from one object to another, for as long as it stands here.
    pub rules: Vec<(String, String, Fate)>,
    /// All calls that were made.
    pub made: Vec<Made>,
    /// Connections whose clients are cut: they answer no ping.
    silent: BTreeSet<(String, ConnectionId)>,
    /// Wires that nobody reads for now: they answer no ping either.
    pub unread: BTreeSet<(String, ConnectionId)>,
    /// Pings that are to be answered by clients themselves.
    pongs: Vec<(String, ConnectionId)>,
    /// How often any object has been woken by each cause.
    pub timers: u32,
    pub alarms: u32,
    /// How many of the alarms were but pings.
    pub beats: u32,
}

impl Cluster {
    pub fn new(vars: &[(&str, &str)]) -> Self {
        Self {
            shells: BTreeMap::new(),
            environment: environment(vars),
            in_flight: vec![],
            checks_tokens: false,
            checks: vec![],
            now: T0,
            fates: VecDeque::new(),
            rules: vec![],
            made: vec![],
            silent: BTreeSet::new(),
            unread: BTreeSet::new(),
            pongs: vec![],
            timers: 0,
            alarms: 0,
            beats: 0,
        }
    }

    pub fn shell(&mut self, name: &str) -> &mut Shell {
        let number = u8::try_from(self.shells.len()).unwrap();
        let (environment, now) = (&self.environment, self.now);
        let shell = self.shells.entry(name.to_owned()).or_insert_with(|| {
            let mut shell = Shell::new(name);
            shell.environment = Rc::clone(environment);
            shell.number = number;
            shell
        });
        shell.now = now;
        shell
    }

    pub fn names(&self) -> Vec<String> {
        self.shells.keys().cloned().collect()
    }

    /// Whether the server has this WebSocket.
    pub fn is_open(&self, (object, connection): &(String, ConnectionId)) -> bool {
        let shell = self.shells.get(object);
        shell.is_some_and(|shell| shell.attachments.contains_key(connection))
    }

    pub fn turn(&mut self, name: &str, inputs: Vec<Input>) -> Vec<Output> {
        let outputs = self.shell(name).turn(inputs).unwrap();
        for output in &outputs {
            let Output::Send(flush) = output else {
                continue;
            };
            let pings = flush.frames.iter().filter(|frame| as_text(frame) == "2");
            for id in pings.flat_map(|_| &flush.connections) {
                self.pinged(name, *id);
            }
        }
        outputs
    }

    /// A client is pinged: it answers, or the runtime does as soon as it has.
    fn pinged(&mut self, name: &str, id: ConnectionId) {
        let of = (name.to_owned(), id);
        if self.silent.contains(&of) || self.unread.contains(&of) {
            return;
        }
        let now = self.now;
        let shell = self.shell(name);
        if shell.auto_response == Some(AutoResponse::Engine) {
            shell.heard.insert(id, now);
        } else {
            self.pongs.push(of);
        }
    }

    /// The alarm rings. An object that sleeps may but ping, as the durable layer does it.
    fn alarm(&mut self, name: &str) {
        self.alarms += 1;
        let shell = self.shell(name);
        shell.wake.1 = None;
        if shell.object.is_none()
            && let Some((pinged, next)) = shell.beat()
        {
            shell.wake.1 = Some(next);
            self.beats += 1;
            for id in pinged {
                let received = &mut self.shell(name).received;
                received.entry(id).or_default().push("2".to_owned());
                self.pinged(name, id);
            }
            return;
        }
        let shell = self.shell(name);
        let heard = shell.heard.iter().map(|(id, at)| (*id, *at));
        let heard = heard.filter(|(id, _)| shell.attachments.contains_key(id));
        let heard = heard.collect();
        self.turn(name, vec![Input::Alarm { heard }]);
    }

    /// A question from outside, answered when all has come to rest.
    pub fn ask(&mut self, name: &str, body: Request) -> Result<Json, Refusal> {
        let request = self.next_request(name);
        let body = Box::new(body);
        self.turn(name, vec![Input::Request { request, body }]);
        self.settle();
        let answer = self.shell(name).replies.remove(&request);
        let answer = answer.expect("answered");
        answer.map(|json| serde_json::from_str(&json).unwrap())
    }

    /// A backend's publication.
    pub fn publish(&mut self, room: &str, event: &str, data: Json) {
        let item = Item {
            event: event.to_owned(),
            args: Args::of(&data),
            ..Item::default()
        };
        let request = self.next_request(room);
        let body = Box::new(Request::Deliver {
            parcels: vec![Parcel::Event(item)],
        });
        self.turn(room, vec![Input::Request { request, body }]);
        self.settle();
    }

    pub fn next_request(&mut self, name: &str) -> RequestId {
        let shell = self.shell(name);
        shell.requests += 1;
        RequestId(shell.requests + 1_000_000)
    }

    fn fate(&mut self, from: &str, to: &str) -> Fate {
        let rule = self.rules.iter().find(|(f, t, _)| f == from && t == to);
        match rule {
            Some((_, _, fate)) => *fate,
            None => self.fates.pop_front().unwrap_or(Fate::Work),
        }
    }

    fn collect(&mut self) {
        for from in self.names() {
            if self.checks_tokens {
                self.collect_checks(&from);
            }
            let shell = self.shell(&from);
            let (calls, deliveries) = (
                std::mem::take(&mut shell.calls),
                std::mem::take(&mut shell.deliveries),
            );
            let life = shell.life;
            let asks = calls.into_iter().map(|(call, to, body)| {
                let request: Request = serde_json::from_str(&body).unwrap();
                (What::Ask(call), to.to_string(), body, request)
            });
            let brought = deliveries.into_iter().map(|delivery| {
                let request = Request::Deliver {
                    parcels: delivery.parcels.clone(),
                };
                let body = serde_json::to_string(&request).unwrap();
                let to = delivery.target.to_string();
                (What::Deliver(delivery), to, body, request)
            });
            for (what, to, json, body) in asks.chain(brought).collect::<Vec<_>>() {
                let fate = self.fate(&from, &to);
                self.made.push(Made {
                    from: from.clone(),
                    to: to.clone(),
                    body: json,
                });
                self.in_flight.push(InFlight {
                    from: from.clone(),
                    life,
                    to,
                    what,
                    body,
                    fate,
                    held: fate == Fate::HoldRequest,
                    stage: Stage::Asked,
                });
            }
        }
    }

    fn collect_checks(&mut self, from: &str) {
        let shell = self.shell(from);
        let life = shell.life;
        for (call, token) in std::mem::take(&mut shell.verifies) {
            let fate = self.fate(from, "runtime");
            let verdict = match fate {
                Fate::Fail => Err(TokenError::NoKeySet),
                _ => Ok(claims_of(&token)),
            };
            self.checks.push(Check {
                from: from.to_owned(),
                life,
                call,
                verdict,
                held: matches!(fate, Fate::HoldRequest | Fate::HoldAnswer),
            });
        }
    }

    /// One step of one call that can take one; false if none can.
    fn step(&mut self) -> bool {
        self.collect();
        for index in 0..self.in_flight.len() {
            let call = &mut self.in_flight[index];
            let (to, fate) = (call.to.clone(), call.fate);
            match &mut call.stage {
                _ if call.held => {}
                Stage::Asked if fate == Fate::Fail => {
                    call.stage = Stage::Answered(None);
                    return true;
                }
                Stage::Asked => {
                    let body = Box::new(call.body.clone());
                    let request = self.next_request(&to);
                    let life = self.shell(&to).life;
                    self.turn(&to, vec![Input::Request { request, body }]);
                    self.in_flight[index].stage = Stage::Doing { request, life };
                    return true;
                }
                Stage::Doing { request, life } => {
                    let (request, life) = (*request, *life);
                    let shell = self.shell(&to);
                    let answer = match shell.replies.remove(&request) {
                        Some(answer) => answer.ok(),
                        None if shell.life != life => None,
                        None => continue,
                    };
                    let call = &mut self.in_flight[index];
                    let answer = answer.filter(|_| fate != Fate::LoseAnswer);
                    call.stage = Stage::Answered(answer);
                    call.held = fate == Fate::HoldAnswer;
                    return true;
                }
                Stage::Answered(_) => {
                    let call = self.in_flight.remove(index);
                    let Stage::Answered(answer) = call.stage else {
                        continue;
                    };
                    // Nobody waits for the answer to a question of a machine that is no more.
                    if self.shell(&call.from).life == call.life {
                        let input = match call.what {
                            What::Ask(call) => Input::Answered { call, answer },
                            What::Deliver(delivery) => Input::Delivered {
                                delivery,
                                delivered: answer.is_some(),
                            },
                        };
                        self.turn(&call.from, vec![input]);
                    }
                    return true;
                }
            }
        }
        if let Some(index) = self.checks.iter().position(|check| !check.held) {
            let check = self.checks.remove(index);
            if self.shell(&check.from).life == check.life {
                let (call, verdict) = (check.call, check.verdict);
                self.turn(&check.from, vec![Input::Verified { call, verdict }]);
            }
            return true;
        }
        let Some((name, connection)) = self.pongs.pop() else {
            return false;
        };
        if self.shell(&name).attachments.contains_key(&connection) {
            let text = "3".to_owned();
            self.turn(&name, vec![Input::Text { connection, text }]);
        }
        true
    }

    /// Everything that is not held goes on until nothing is left to do at this instant.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the objects never come to rest: {:?}", self.in_flight);
    }

    /// What was held goes on: one call, the n-th.
    pub fn release(&mut self, n: usize) {
        self.collect();
        let calls = self.in_flight.iter_mut().map(|call| &mut call.held);
        let checks = self.checks.iter_mut().map(|check| &mut check.held);
        let mut held = calls.chain(checks).filter(|held| **held);
        if let Some(held) = held.nth(n) {
            *held = false;
        }
        self.settle();
    }

    pub fn held(&self) -> usize {
        let checks = self.checks.iter().filter(|check| check.held).count();
        self.in_flight.iter().filter(|call| call.held).count() + checks
    }

    /// No more trouble: what is under way is answered, what is to come works.
    pub fn calm(&mut self) {
        self.fates.clear();
        self.rules.clear();
        self.settle();
        while self.held() > 0 {
            self.release(0);
        }
    }

    /// Time goes by; timers and alarms ring.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.plus(ms);
        self.settle();
        for _ in 0..20_000 {
            let due = self.shells.iter().flat_map(|(name, shell)| {
                let (timer, alarm) = shell.wake;
                let timer = timer.map(|at| (at, name.clone(), true));
                timer
                    .into_iter()
                    .chain(alarm.map(|at| (at, name.clone(), false)))
            });
            let Some((at, name, is_timer)) = due.min().filter(|(at, ..)| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            let shell = self.shell(&name);
            if is_timer {
                shell.wake.0 = None;
                self.timers += 1;
                self.turn(&name, vec![Input::Timer]);
            } else {
                self.alarm(&name);
            }
            self.settle();
        }
        panic!("time stands still at {:?}", self.now);
    }

    /// Whether the runtime may put the object to sleep: it waits for nothing.
    pub fn is_idle(&mut self, name: &str) -> bool {
        self.collect();
        let waits = self.in_flight.iter().any(|call| call.from == name)
            || self.checks.iter().any(|check| check.from == name);
        !waits && self.shell(name).wake.0.is_none()
    }

    /// The object sleeps: its disk and its sockets stay.
    pub fn evict(&mut self, name: &str) {
        self.collect();
        // What it was about to ask it asks no more.
        let asks = |call: &InFlight| call.from == name && matches!(call.stage, Stage::Asked);
        self.in_flight.retain(|call| !asks(call));
        self.shell(name).evict();
    }

    /// Storage takes the machine away: what it has asked goes on, and is answered to nobody.
    pub fn forsake(&mut self, name: &str) {
        self.collect();
        self.shell(name).evict();
    }

    /// The process dies: the sockets are gone too.
    pub fn crash(&mut self, name: &str) {
        self.evict(name);
        let shell = self.shell(name);
        shell.attachments.clear();
        shell.received.clear();
        shell.heard.clear();
        shell.closing = ConnectionId::default();
        self.silent.retain(|(of, _)| of != name);
    }

    /// A socket is found to be gone.
    pub fn notice(&mut self, name: &str, connection: ConnectionId) {
        if !self.silent.remove(&(name.to_owned(), connection)) {
            return;
        }
        let shell = self.shell(name);
        if shell.attachments.remove(&connection).is_some() {
            shell.closing = shell.closing.max(connection);
            self.turn(name, vec![Input::Closed { connection }]);
        }
    }

    pub fn rows(&mut self, name: &str, table: &str) -> i64 {
        let statement = format!("SELECT COUNT(*) FROM {table}");
        let shell = self.shell(name);
        if !crate::storage::exists(&shell.disk).unwrap() {
            return 0;
        }
        let rows = shell.disk.sql.run(&statement, &[]).unwrap();
        rows[0].integer(0, "count").unwrap()
    }

    /// Who the room says is here, as it is stored.
    pub fn roster(&mut self, room: &str) -> Vec<String> {
        self.column(room, "SELECT user FROM roster ORDER BY user")
    }

    /// The first column of a query, as text.
    pub fn column(&mut self, name: &str, query: &str) -> Vec<String> {
        let shell = self.shell(name);
        if !crate::storage::exists(&shell.disk).unwrap() {
            return vec![];
        }
        let rows = shell.disk.sql.run(query, &[]).unwrap();
        let texts = rows.iter().map(|row| row.text(0, "text").unwrap());
        texts.map(str::to_owned).collect()
    }

    /// The calls that were made from one object to another since the last call.
    pub fn take_made(&mut self) -> Vec<(String, String)> {
        let made = std::mem::take(&mut self.made);
        made.into_iter().map(|made| (made.from, made.to)).collect()
    }
}

/// A token as the tests' environment takes it.
pub fn token(payload: &Json) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    let signature = mac.finalize().into_bytes();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token that opens everything for ten days.
pub fn token_of(user: &str) -> String {
    let exp = T0.0 / 1000 + 864_000;
    token(&json!({"sub": user, "exp": exp, "rooms": ["*"]}))
}

/// A token that a public key is to have signed: good, if the runtime says so.
pub fn open_token(user: &str) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let payload = part(json!({"sub": user}).to_string());
    format!("{}.{payload}.c2ln", part(r#"{"alg":"ES256"}"#.to_owned()))
}

/// Whose such a token is: it opens everything for ten days.
fn claims_of(token: &Unverified<'_>) -> Claims {
    let (_, payload) = token.signing_input.split_once('.').unwrap();
    let payload: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    Claims {
        expires_at: T0.plus(864_000_000),
        ..claims(payload["sub"].as_str().unwrap())
    }
}

/// An Engine.IO request without a body.
pub fn engine_request(method: Method, sid: Option<&str>) -> Box<EngineRequest> {
    Box::new(EngineRequest {
        method,
        sid: sid.map(str::to_owned),
        door: Door {
            recovery: true,
            ..Door::default()
        },
    })
}

/// What a client hears, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// CONNECT was answered; whether its last session goes on.
    Connected { recovered: bool },
    /// An event: its name, then its arguments.
    Event(Vec<Json>),
    /// An ack.
    Ack(u64, Json),
}

/// A Socket.IO client in one namespace.
pub struct Client {
    pub user: String,
    pub token: String,
    pub namespace: &'static str,
    pub recovery: bool,
    /// The object and the wire that it is on.
    pub at: Option<(String, ConnectionId)>,
    pub connected: bool,
    /// Whether the last CONNECT went on with the last session.
    pub recovered: bool,
    pub id: Option<String>,
    pub pid: Option<String>,
    pub offset: Option<String>,
    buffer: Vec<Vec<Json>>,
    /// The events that it has heard, in order: the name, then the arguments.
    pub events: Vec<Vec<Json>>,
    pub acks: BTreeMap<u64, Json>,
    /// What it was asked, with the ids of the acks.
    pub asked: Vec<(u64, Vec<Json>)>,
    pub refused: Option<Json>,
    next_ack: u64,
    /// What it has heard, in order.
    pub log: Vec<Heard>,
    /// Frames as they came.
    pub frames: Vec<String>,
}

impl Client {
    pub fn new(user: &str, namespace: &'static str) -> Self {
        Self {
            user: user.to_owned(),
            token: token_of(user),
            namespace,
            recovery: true,
            at: None,
            connected: false,
            recovered: false,
            id: None,
            pid: None,
            offset: None,
            buffer: vec![],
            events: vec![],
            acks: BTreeMap::new(),
            asked: vec![],
            refused: None,
            next_ack: 0,
            log: vec![],
            frames: vec![],
        }
    }

    fn prefix(&self) -> String {
        match self.namespace {
            "/" => String::new(),
            namespace => format!("{namespace},"),
        }
    }

    /// A WebSocket and CONNECT, with what it knows of its last session; nothing is read yet.
    pub fn dial(&mut self, cluster: &mut Cluster, object: &str) {
        let request = cluster.next_request(object);
        let mut engine = engine_request(Method::Upgrade, None);
        engine.door.recovery = self.recovery;
        let body = String::new();
        let outputs = cluster.turn(
            object,
            vec![Input::Engine {
                request,
                engine,
                body,
            }],
        );
        let accepted = outputs.iter().find_map(|output| match output {
            Output::Accept { attachment, .. } => Some(attachment.connection),
            _ => None,
        });
        let connection = accepted.expect("accepted");
        cluster.silent.remove(&(object.to_owned(), connection));
        self.at = Some((object.to_owned(), connection));
        let mut auth = json!({"token": self.token});
        if let Some(pid) = &self.pid {
            auth["pid"] = json!(pid);
            if let Some(offset) = &self.offset {
                auth["offset"] = json!(offset);
            }
        }
        self.frame(cluster, &format!("40{}{auth}", self.prefix()));
    }

    /// It connects, and all that this takes comes to rest.
    pub fn connect(&mut self, cluster: &mut Cluster, object: &str) {
        self.dial(cluster, object);
        cluster.settle();
        self.read(cluster);
    }

    pub fn connected(user: &str, namespace: &'static str, cluster: &mut Cluster, at: &str) -> Self {
        let mut client = Self::new(user, namespace);
        client.connect(cluster, at);
        assert!(client.connected, "{user}: {:?}", client.frames);
        client
    }

    /// A text frame, as it is.
    pub fn frame(&mut self, cluster: &mut Cluster, text: &str) {
        if let Some((object, connection)) = &self.at {
            let text = text.to_owned();
            let connection = *connection;
            cluster.turn(&object.clone(), vec![Input::Text { connection, text }]);
        }
    }

    /// An event with an ack, of one argument; returns the ack's id.
    pub fn emit(&mut self, cluster: &mut Cluster, event: &str, data: Json) -> u64 {
        let id = self.next_ack;
        self.next_ack += 1;
        let args = json!([event, data]);
        self.frame(cluster, &format!("42{}{id}{args}", self.prefix()));
        id
    }

    /// The same, and what is answered when all has come to rest.
    pub fn call(&mut self, cluster: &mut Cluster, event: &str, data: Json) -> Json {
        let id = self.emit(cluster, event, data);
        cluster.settle();
        self.read(cluster);
        self.acks.remove(&id).unwrap_or_default()
    }

    /// It answers what it was asked.
    pub fn answer(&mut self, cluster: &mut Cluster, id: u64, args: &Json) {
        self.frame(cluster, &format!("43{}{id}{args}", self.prefix()));
        cluster.settle();
    }

    /// Reads what has come; says how many frames.
    pub fn read(&mut self, cluster: &mut Cluster) -> usize {
        let Some((object, connection)) = self.at.clone() else {
            return 0;
        };
        let shell = cluster.shell(&object);
        let frames = shell.received.remove(&connection).unwrap_or_default();
        let is_open = shell.attachments.contains_key(&connection);
        let count = frames.len();
        for frame in frames {
            self.packet(&frame);
            self.frames.push(frame);
        }
        if !is_open {
            self.at = None;
            self.connected = false;
        }
        count
    }

    fn packet(&mut self, frame: &str) {
        let Some(packet) = frame.strip_prefix('4') else {
            return;
        };
        let (kind, rest) = packet.split_at(1);
        let rest = match self.namespace {
            // What a test has sent by hand to another namespace is answered there.
            "/" if rest.starts_with('/') => return,
            "/" => rest,
            namespace => rest.strip_prefix(namespace).expect("the namespace"),
        };
        let rest = rest.strip_prefix(',').unwrap_or(rest);
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (id, rest) = rest.split_at(digits);
        let id = id.parse::<u64>().ok();
        let data: Json = serde_json::from_str(rest).unwrap_or_default();
        match kind {
            "0" => {
                let pid = data["pid"].as_str().map(str::to_owned);
                self.recovered = pid.is_some() && pid == self.pid;
                self.id = data["sid"].as_str().map(str::to_owned);
                self.pid = pid;
                self.connected = true;
                let recovered = self.recovered;
                self.log.push(Heard::Connected { recovered });
                for event in std::mem::take(&mut self.buffer) {
                    self.event(event);
                }
            }
            "1" => self.connected = false,
            "2" => {
                let args = data.as_array().expect("an event").clone();
                match id {
                    Some(id) => self.asked.push((id, args)),
                    None if self.connected => self.event(args),
                    None => self.buffer.push(args),
                }
            }
            "3" => {
                let answer = data[0].clone();
                self.log.push(Heard::Ack(id.unwrap(), answer.clone()));
                assert!(
                    self.acks.insert(id.unwrap(), answer).is_none(),
                    "acked twice"
                );
            }
            "4" => self.refused = Some(data),
            _ => panic!("{frame}"),
        }
    }

    fn event(&mut self, args: Vec<Json>) {
        if self.pid.is_some()
            && let Some(offset) = args.last().and_then(Json::as_str)
        {
            self.offset = Some(offset.to_owned());
        }
        self.log.push(Heard::Event(args.clone()));
        self.events.push(args);
    }

    /// Its wire is cut; what it has not read is lost.
    pub fn cut(&mut self, cluster: &mut Cluster) -> Option<(String, ConnectionId)> {
        let (object, connection) = self.at.take()?;
        self.connected = false;
        self.acks.clear();
        cluster.silent.insert((object.clone(), connection));
        cluster.shell(&object).received.remove(&connection);
        Some((object, connection))
    }

    /// Its wire is cut, and the server knows at once.
    pub fn drop_wire(&mut self, cluster: &mut Cluster) {
        if let Some((object, connection)) = self.cut(cluster) {
            cluster.notice(&object, connection);
            cluster.settle();
        }
    }

    /// The names of the events that it heard since the last call.
    pub fn heard(&mut self, cluster: &mut Cluster) -> Vec<String> {
        self.take(cluster)
            .iter()
            .map(|event| event[0].as_str().unwrap().to_owned())
            .collect()
    }

    /// The events that it heard since the last call.
    pub fn take(&mut self, cluster: &mut Cluster) -> Vec<Vec<Json>> {
        self.read(cluster);
        std::mem::take(&mut self.events)
    }
}
