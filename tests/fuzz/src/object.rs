//! A whole object, on a real SQLite, under a script: a line is a step. Whatever it is told, it must go on to
//! answer a client that behaves.
//!
//! ```text
//! chat:1 msgpack      first: its name, and how packets are written if not as JSON
//! +ann full e:1       a plain socket: whose, what they may do, `?since=`
//! h / u               Engine.IO: a WebSocket of its own; one for the last polling session
//! g / p4…             polling: GET, for a new session where there is none; POST
//! 0{"event":…}        text from the first socket; 1 the second …
//! b0 81a474…          bytes from it, in hexadecimal
//! x0                  it is gone
//! @{"event":{…}}      a request of the Worker's, or of another object's (wire::Request)
//! a{…} / A            what the oldest question to another object is answered; no answer
//! d / D               the oldest parcels have arrived; have not
//! w201 {"sid":…} / W  what Twilio answers; no answer
//! v / V               the oldest token is ann's; is no good
//! t60000              time passes, its timer and its alarm with it
//! z                   it sleeps, and wakes at the next step
//! !log.args=[1        what it has stored is changed behind its back: a table's column
//! &…                  the same turn as the step after it
//! ```

use std::{collections::VecDeque, rc::Rc};

use dialtone_core::{
    auth::{Claims, Grant, TokenError},
    hub::{ConnectionId, Flush, Frame, RequestId},
    names::{RoomName, StreamPosition, Timestamp, UserId},
    object::{CallId, Environment, Input, Output, Polled},
    room::{Delivery, Job},
    storage::{Sql as _, Value, text as text_value},
    twilio::rest::Answer,
    wire::{
        Access, Caller, Connect, Door, EngineRequest, Joined, LinkAnswers, Method, OpAnswer,
        Request,
    },
};
use dialtone_simulation::{
    agenda::T0,
    mutant::Mutant,
    random::Random,
    shell::{Doom, ServerWire, Shell},
    tokens::token,
};

use crate::{text, tokens::environment};

const MAX_STEPS: usize = 100;
const GRANTS: &[&str] = &[
    "chat:*", "ticket:*", "sms:*", "line:*", "job:*", "brand:*", "board:*",
];

/// A script.
pub fn object(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut lines = text.lines();
    let Some(mut stage) = lines.next().and_then(Stage::new) else {
        return;
    };
    stage.play(lines.take(MAX_STEPS));
    stage.still_answers();
    // What it has kept is good, too.
    stage.shell.sleep(None);
    stage.still_answers();
}

/// An object and what it waits for.
pub struct Stage {
    environment: Rc<Environment>,
    shell: Shell<()>,
    now: Timestamp,
    inputs: Vec<Input>,
    sid: Option<String>,
    questions: VecDeque<(CallId, Request)>,
    checks: VecDeque<CallId>,
    deliveries: VecDeque<Delivery>,
    jobs: VecDeque<Job>,
    /// What it has sent since it was last looked at.
    sent: Vec<(ConnectionId, Frame)>,
    /// Its storage was changed behind its back: it may say so, and is then built anew.
    is_spoilt: bool,
}

impl Stage {
    /// The object that a script's first line names.
    pub fn new(line: &str) -> Option<Self> {
        thread_local!(static ENVIRONMENTS: [Rc<Environment>; 2] =
            [environment(&[]), environment(&[("SOCKET_IO_PARSER", "msgpack")])]);
        let (name, parser) = line.split_once(' ').unwrap_or((line, ""));
        let [json, msgpack] = ENVIRONMENTS.with(Clone::clone);
        Some(Self {
            environment: if parser == "msgpack" { msgpack } else { json },
            shell: Shell::new(RoomName::parse(name).ok()?, None, Random::new(1)),
            now: T0,
            inputs: Vec::new(),
            sid: None,
            questions: VecDeque::new(),
            checks: VecDeque::new(),
            deliveries: VecDeque::new(),
            jobs: VecDeque::new(),
            sent: Vec::new(),
            is_spoilt: false,
        })
    }

    /// Its steps.
    pub fn play<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        for line in lines {
            let (line, is_whole) = match line.strip_prefix('&') {
                Some(line) => (line, false),
                None => (line, true),
            };
            self.step(line);
            if is_whole {
                self.turn();
            }
        }
        self.turn();
    }

    fn step(&mut self, line: &str) -> Option<()> {
        let mut characters = line.chars();
        let (kind, rest) = (characters.next()?, characters.as_str());
        let input = match kind {
            '0'..='9' => Input::Text {
                connection: self.wire(kind)?,
                text: rest.to_owned(),
            },
            'b' => {
                let (which, hex) = rest.split_once(' ')?;
                let digits = hex.as_bytes().chunks_exact(2);
                let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                Input::Binary {
                    connection: self.wire(which.chars().next()?)?,
                    bytes: digits.map_while(byte).collect(),
                }
            }
            'x' => {
                let connection = self.wire(rest.chars().next()?)?;
                self.shell.wires.remove(&connection);
                Input::Closed { connection }
            }
            '+' => self.open(rest)?,
            'h' => self.engine(Method::Upgrade, false, ""),
            'u' => self.engine(Method::Upgrade, true, ""),
            'g' => self.engine(Method::Get, true, ""),
            'p' => self.engine(Method::Post, true, rest),
            '@' => Input::Request {
                request: self.shell.wait(()),
                body: serde_json::from_str(rest).ok()?,
            },
            'a' | 'A' => Input::Answered {
                call: self.questions.pop_front()?.0,
                answer: (kind == 'a').then(|| rest.to_owned()),
            },
            'd' | 'D' => Input::Delivered {
                delivery: self.deliveries.pop_front()?,
                delivered: kind == 'd',
            },
            'w' | 'W' => {
                let (status, body) = rest.split_once(' ').unwrap_or((rest, ""));
                let answer = || Answer {
                    status: status.parse().unwrap_or(500),
                    retry_after: status.parse().ok(),
                    body: body.to_owned(),
                };
                Input::Twilio {
                    job: self.jobs.pop_front()?,
                    answer: (kind == 'w').then(answer),
                }
            }
            'v' | 'V' => Input::Verified {
                call: self.checks.pop_front()?,
                verdict: match kind {
                    'v' => Ok(claims("ann")),
                    _ => Err(TokenError::Signature),
                },
            },
            't' => {
                self.turn();
                self.pass(rest.parse().ok()?);
                return Some(());
            }
            'z' => {
                self.turn();
                self.sleep();
                return Some(());
            }
            '!' => {
                self.turn();
                return self.spoil(rest);
            }
            _ => return None,
        };
        self.inputs.push(input);
        Some(())
    }

    /// The nth socket; there may be fewer.
    fn wire(&self, digit: char) -> Option<ConnectionId> {
        let n = usize::try_from(digit.to_digit(10)?).unwrap();
        let wires = &self.shell.wires;
        wires.keys().nth(n.checked_rem(wires.len())?).copied()
    }

    fn open(&mut self, words: &str) -> Option<Input> {
        let mut words = words.split(' ');
        let claims = claims(words.next()?);
        let access = match words.next() {
            Some("read") => Access::Read,
            Some("member") => Access::IfMember,
            Some("other") => Access::ByOtherRoom,
            _ => Access::Full,
        };
        let since = words.next().map(str::to_owned);
        Some(Input::Open {
            request: self.shell.wait(()),
            connect: Box::new(Connect {
                caller: Caller { claims, access },
                batch: since.as_ref().is_some_and(|since| since.len() % 2 == 1),
                since,
            }),
        })
    }

    fn engine(&mut self, method: Method, known: bool, body: &str) -> Input {
        let door = Door {
            recovery: true,
            ..Door::default()
        };
        Input::Engine {
            request: self.shell.wait(()),
            engine: Box::new(EngineRequest {
                method,
                sid: self.sid.clone().filter(|_| known),
                door,
            }),
            body: body.to_owned(),
        }
    }

    /// Time passes; what is due meanwhile happens.
    fn pass(&mut self, ms: u64) {
        let end = self.now.plus(ms.min(40 * 24 * 3_600_000));
        for _ in 0..100 {
            let (timer, alarm) = (self.shell.timer, self.shell.alarm);
            let Some(at) = timer.into_iter().chain(alarm).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if timer == Some(at) {
                self.shell.timer = None;
                self.inputs.push(Input::Timer);
            } else {
                self.shell.alarm = None;
                let heard = self.shell.heard();
                self.inputs.push(Input::Alarm { heard });
            }
            self.turn();
        }
        self.now = self.now.max(end);
    }

    fn sleep(&mut self) {
        self.shell.sleep(None);
        self.questions.clear();
        self.checks.clear();
        self.deliveries.clear();
        self.jobs.clear();
        self.sid = None;
    }

    /// `table.column=value`, in all rows: a number, or text.
    fn spoil(&mut self, change: &str) -> Option<()> {
        let (place, value) = change.split_once('=')?;
        let (table, column) = place.split_once('.')?;
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        if !is_name(table) || !is_name(column) {
            return None;
        }
        let value = value
            .parse()
            .map_or_else(|_| text_value(value), Value::Integer);
        let statement = format!("UPDATE OR IGNORE {table} SET {column} = ?");
        // There may be no such column.
        drop(self.shell.disk.run(&statement, &[value]));
        self.is_spoilt = true;
        self.sleep();
        Some(())
    }

    fn turn(&mut self) {
        // What its outputs push is a turn of its own. Two machines that push for ever would be found here.
        for _ in 0..20 {
            let inputs = std::mem::take(&mut self.inputs);
            if inputs.is_empty() {
                return;
            }
            // It says what it cannot read, as the simulator's mutants may make it; nothing else may fail.
            let mutant = self.is_spoilt.then_some(Mutant::LogRowLost);
            let (environment, now) = (&self.environment, self.now);
            let outputs = self
                .shell
                .transact(environment, now, &inputs, Doom::None, mutant);
            for output in outputs.0 {
                self.carry_out(output);
            }
        }
        panic!("a turn leads to the next for ever");
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Accept {
                request,
                attachment,
                ..
            } => {
                self.answered(request);
                let wire = ServerWire {
                    client: 0,
                    serial: 0,
                    attachment: attachment.to_json(),
                    heard: None,
                };
                self.shell.wires.insert(attachment.connection, wire);
            }
            Output::Attach(attachment) => {
                if let Some(wire) = self.shell.wires.get_mut(&attachment.connection) {
                    wire.attachment = attachment.to_json();
                }
            }
            Output::Send(Flush {
                connections,
                frames,
            }) => {
                let to_each = connections
                    .iter()
                    .flat_map(|c| frames.iter().map(|f| (*c, f.clone())));
                self.sent.extend(to_each);
            }
            Output::Close { connection, .. } => {
                self.shell.wires.remove(&connection);
            }
            Output::Reply { request, answer } => {
                self.answered(request);
                if let Ok(json) = answer {
                    serde_json::from_str::<&serde_json::value::RawValue>(&json).unwrap();
                }
            }
            Output::Poll { request, answer } => {
                self.answered(request);
                if let Polled::Payload(payload) = answer
                    && let Some(json) = payload.strip_prefix('0')
                    && let Ok(json) = serde_json::from_str::<serde_json::Value>(json)
                {
                    self.sid = json["sid"].as_str().map(str::to_owned);
                }
            }
            Output::AutoResponse(which) => self.shell.auto_response = Some(which),
            Output::Awaits { .. } | Output::Moves { .. } => {}
            Output::Measure(of) => {
                let waiting = of.into_iter().map(|connection| (connection, usize::MAX));
                self.inputs.push(Input::Measured(waiting.collect()));
            }
            Output::Ask { call, body, .. } => {
                // Whom it asks must be able to read it.
                let request = serde_json::from_str(&body).unwrap();
                self.questions.push_back((call, request));
            }
            Output::Verify { call, .. } => self.checks.push_back(call),
            Output::Deliver { delivery, .. } => self.deliveries.push_back(delivery),
            Output::Post(post) => self.deliveries.push_back(post.delivery),
            Output::Twilio { job, .. } => self.jobs.push_back(job),
            Output::Wake { timer, alarm } => {
                self.shell.timer = timer.or(self.shell.timer);
                self.shell.alarm = alarm.or(self.shell.alarm);
            }
        }
    }

    /// Nobody is answered twice.
    fn answered(&mut self, request: RequestId) {
        assert!(self.shell.waiting.remove(&request).is_some(), "{request:?}");
    }

    /// A client that behaves comes in, and is answered.
    fn still_answers(&mut self) {
        self.pass(1_000);
        self.shell.wires.clear();
        self.sleep();
        self.sent.clear();
        self.play(
            [
                "+well full",
                r#"0{"event":"typing","data":{"isTyping":false},"id":"well"}"#,
            ]
            .into_iter(),
        );
        self.says("its ack", r#"{"ack":"well""#);
        self.play(["x0", "h"].into_iter());
        self.says("a handshake", "0{");
        if self.environment.config.parser == dialtone_core::socket_io::Parser::Json {
            let connect = format!(r#"040{{"token":"{}"}}"#, token("well", &[]));
            self.play([connect.as_str()].into_iter());
            self.others_answer();
            self.says("a CONNECT", "40{");
        }
        self.play(["x0"].into_iter());
    }

    /// What it has asked other objects is answered as they would.
    fn others_answer(&mut self) {
        for (call, request) in std::mem::take(&mut self.questions) {
            let joined = || OpAnswer::Joined(Joined::at(StreamPosition::parse("e:0").unwrap()));
            let answers = match request {
                Request::Link { ops, .. } => ops.iter().map(|_| joined()).collect(),
                _ => Vec::new(),
            };
            let answers = LinkAnswers {
                answers,
                told: None,
            };
            let answer = serde_json::to_string(&answers).ok();
            self.inputs.push(Input::Answered { call, answer });
        }
        self.turn();
    }

    fn says(&self, what: &str, beginning: &str) {
        let is_it =
            |frame: &Frame| matches!(frame, Frame::Text(text) if text.starts_with(beginning));
        let found = self.sent.iter().any(|(_, frame)| is_it(frame));
        assert!(found, "no answer is {what}: {:?}", self.sent);
    }
}

fn claims(user: &str) -> Claims {
    Claims {
        user: UserId::text(user).unwrap_or_else(|_| UserId::integer(7)),
        name: None,
        role: (user == "root").then(|| "admin".to_owned()),
        rooms: GRANTS
            .iter()
            .map(|grant| Grant::parse(grant).unwrap())
            .collect(),
        rooms_read: Vec::new(),
        expires_at: T0.plus(3_600_000),
    }
}
