//! Requests: between objects, over a network that delays, doubles, loses and fails; and from outside, by
//! a backend that asks again until it is answered.

use std::rc::Rc;

use dialtone_core::{
    emit::Batch,
    names::RoomName,
    object::{CallId, Input, RequestId},
    room::Delivery,
    wire::Request,
};
use serde_json::{Value as Json, json};

use super::{ObjectId, What, World};
use crate::{
    ledger::{ClientId, Kind, RoomId},
    mutant::Mutant,
    scenario::NAMESPACES,
};

/// From here on a request is slow.
const SLOW_MS: u64 = 200;

/// A question of one object to another.
#[derive(Debug, Clone)]
pub struct Call {
    from: ObjectId,
    life: u64,
    what: Asked,
}

#[derive(Debug, Clone)]
enum Asked {
    Question(CallId),
    Delivery(Rc<Delivery>),
}

/// Who waits for an object's answer.
#[derive(Debug, Clone)]
pub enum Waiter {
    /// Another object; whether the answer gets there.
    Object(Call, bool),
    /// A client that wants a WebSocket.
    Client(ClientId, u64),
    /// Somebody outside.
    Outside(Box<Job>),
    /// Nobody: a request that arrived twice.
    Copy(Call),
}

/// What somebody outside wants of a room.
#[derive(Debug, Clone)]
pub struct Job {
    /// Of which.
    pub to: RoomName,
    /// What.
    pub body: Request,
    /// Why.
    pub purpose: Purpose,
}

/// Why somebody outside asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A message is to be accepted.
    Publish(u32),
    /// A message is to be tried, once.
    Try,
    /// Somebody is to be a member.
    Admit,
    /// Somebody is to be a member no more.
    PutOut(ClientId, RoomId),
    /// The run itself wants to know: into its answers, under this.
    Question(u64),
}

impl World {
    fn latency(&mut self) -> u64 {
        // All equally long: in order.
        if self.scenario.trouble.calls_slow == 0 {
            return 5;
        }
        if self.random.per_million(self.trouble.calls_slow) {
            self.random.between(SLOW_MS, 9_000)
        } else {
            self.random.between(1, 12)
        }
    }

    pub(super) fn ask(&mut self, from: ObjectId, call: CallId, to: &RoomName, body: &str) {
        let request: Request = serde_json::from_str(body).unwrap();
        let kind = match &request {
            Request::Link { .. } => "link",
            Request::Push { .. } => "push",
            Request::Recover(_) => "recover",
            _ => "other",
        };
        self.costs.hop(kind);
        self.request(from, Asked::Question(call), to, request);
    }

    pub(super) fn deliver(&mut self, from: ObjectId, to: &RoomName, delivery: Delivery) {
        self.costs.hop("deliver");
        let parcels = delivery.parcels.clone();
        let body = Request::Deliver { parcels };
        self.objects[from].bringing += 1;
        self.request(from, Asked::Delivery(Rc::new(delivery)), to, body);
    }

    fn request(&mut self, from: ObjectId, what: Asked, to: &RoomName, body: Request) {
        self.objects[from].asking += 1;
        let life = self.objects[from].life;
        let call = Call { from, life, what };
        let to = self.object(to.as_str());
        let latency = self.latency();
        let unseen = self.mutant == Some(Mutant::PushUnseen)
            && matches!(body, Request::Push { .. })
            && self.random.below(2) == 0;
        if unseen {
            let done = json!({"linked": true}).to_string();
            self.agenda.after(latency, What::Answer(call, Some(done)));
            return;
        }
        let mut is_answered = true;
        if self.random.per_million(self.trouble.calls_fail) {
            is_answered = false;
            if self.random.below(2) == 0 {
                self.agenda.after(latency, What::Answer(call, None));
                return;
            }
        }
        // The platform brings a request once or not at all, and a link's own count on it; what has a key
        // may come as often as it likes.
        let may_double = matches!(body, Request::Deliver { .. });
        if self.random.per_million(self.trouble.calls_twice) && may_double {
            let body = Box::new(body.clone());
            self.agenda
                .after(latency, What::Arrive(to, body, Waiter::Copy(call.clone())));
        }
        let waiter = Waiter::Object(call, is_answered);
        self.agenda
            .after(latency, What::Arrive(to, Box::new(body), waiter));
    }

    pub(super) fn arrive(&mut self, object: ObjectId, body: Box<Request>, waiter: Waiter) {
        self.trace_object(object, &|world| {
            let from = match &waiter {
                Waiter::Object(call, _) | Waiter::Copy(call) => {
                    world.objects[call.from].name.as_str()
                }
                Waiter::Client(..) | Waiter::Outside(_) => "outside",
            };
            let body = serde_json::to_string(&body).unwrap_or_default();
            format!("<- {from} {body}")
        });
        let request = self.objects[object].wait(waiter);
        self.push(object, Input::Request { request, body });
    }

    /// An object answers.
    pub(super) fn reply(
        &mut self,
        object: ObjectId,
        request: RequestId,
        answer: Result<String, String>,
    ) {
        let Some(waiter) = self.objects[object].waiting.remove(&request) else {
            return;
        };
        self.trace_object(object, &|world| {
            let (to, lost) = match &waiter {
                Waiter::Object(call, is_answered) => {
                    let lost = if *is_answered { "" } else { "LOST " };
                    (world.objects[call.from].name.as_str(), lost)
                }
                Waiter::Copy(call) => (world.objects[call.from].name.as_str(), "LOST "),
                Waiter::Client(..) | Waiter::Outside(_) => ("outside", ""),
            };
            format!("-> {to} {lost}{answer:?}")
        });
        match waiter {
            Waiter::Object(call, is_answered) => {
                let answer = answer.ok().filter(|_| is_answered);
                let answer = match self.mutant {
                    Some(Mutant::MissedLeftOut) => answer.map(|json| without_missed(&json)),
                    _ => answer,
                };
                let latency = self.latency();
                self.agenda.after(latency, What::Answer(call, answer));
            }
            Waiter::Client(client, serial) => {
                self.agenda.after(5, What::Lost(client, serial));
            }
            Waiter::Outside(job) => {
                let answer = answer.map(|json| serde_json::from_str(&json).unwrap_or_default());
                // An answer may be lost on its way out, too.
                let is_lost = self.random.per_million(self.trouble.calls_fail);
                let answer = (!is_lost).then_some(answer);
                self.agenda.after(3, What::Told(*job, answer));
            }
            Waiter::Copy(_) => {}
        }
    }

    /// The object that was asked is no more.
    pub(super) fn nobody_answers(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Object(call, _) => self.agenda.after(10, What::Answer(call, None)),
            Waiter::Client(client, serial) => self.agenda.after(10, What::Lost(client, serial)),
            Waiter::Outside(job) => self.agenda.after(10, What::Told(*job, None)),
            Waiter::Copy(_) => {}
        }
    }

    pub(super) fn answer(&mut self, call: Call, answer: Option<String>) {
        let shell = &mut self.objects[call.from];
        // Nobody waits for the answer to a question of an object that has been put out.
        if shell.life != call.life {
            return;
        }
        shell.asking -= 1;
        let input = match call.what {
            Asked::Question(call) => Input::Answered { call, answer },
            Asked::Delivery(delivery) => {
                shell.bringing -= 1;
                Input::Delivered {
                    delivery: (*delivery).clone(),
                    delivered: answer.is_some(),
                }
            }
        };
        self.push(call.from, input);
    }

    /// Somebody outside asks a room.
    pub fn outside(&mut self, job: Job) {
        self.agenda.after(1, What::Outside(job));
    }

    pub(super) fn ask_from_outside(&mut self, job: Job) {
        if self.mutant == Some(Mutant::ExpelForgotten) && matches!(job.purpose, Purpose::PutOut(..))
        {
            self.agenda.after(5, What::Told(job, Some(Ok(json!({})))));
            return;
        }
        let object = self.object(job.to.as_str());
        let body = Box::new(job.body.clone());
        if matches!(job.purpose, Purpose::Publish(_))
            && self.random.per_million(self.trouble.calls_twice)
        {
            self.outside(job.clone());
        }
        self.arrive(object, body, Waiter::Outside(Box::new(job)));
    }

    pub(super) fn told(&mut self, job: Job, answer: Option<Result<Json, String>>) {
        match (answer, &job.purpose) {
            (_, Purpose::Try) => {}
            (Some(Ok(_)), Purpose::Admit) => {}
            (Some(Ok(answer)), Purpose::Publish(n)) => {
                let offset = answer["results"][0]["offset"].as_u64();
                self.ledger.accept(*n, offset.unwrap_or_default());
            }
            (Some(Ok(_)), Purpose::PutOut(client, room)) => {
                let now = self.now();
                self.ledger.ended.insert((*client, *room), now);
            }
            (Some(Ok(answer)), Purpose::Question(n)) => {
                self.answers.insert(*n, answer);
            }
            // As a backend does: again, under the same key.
            (None | Some(Err(_)), _) => self.agenda.after(500, What::Outside(job)),
        }
    }

    /// A backend publishes: to a room, or to everyone in a namespace.
    pub fn publish(&mut self, room: RoomId, kind: Kind) {
        let now = self.now();
        let n = self.ledger.send(room, kind, None, now);
        let body = match kind {
            Kind::News(namespace) => {
                json!({"namespace": NAMESPACES[namespace], "event": "news", "data": {"n": n}, "id": format!("b-{n}")})
            }
            Kind::Kept | Kind::Ephemeral => {
                let data = crate::client::note(n, room);
                let place = &self.places[room];
                let mut body = json!({"namespace": NAMESPACES[place.namespace], "room": place.name, "event": "note", "data": data});
                if kind == Kind::Kept {
                    body["id"] = json!(format!("b-{n}"));
                } else {
                    body["volatile"] = json!(true);
                }
                body
            }
        };
        let batch = Batch::parse(&body.to_string(), now, &format!("f-{n}")).unwrap();
        for (to, body) in batch.requests() {
            let purpose = if kind == Kind::Ephemeral {
                Purpose::Try
            } else {
                Purpose::Publish(n)
            };
            self.outside(Job { to, body, purpose });
        }
    }

    /// Asks many rooms, and waits for all their answers.
    pub fn questions(&mut self, asked: Vec<(RoomName, Request)>) -> Vec<Json> {
        let first = self.last_question;
        let count = asked.len() as u64;
        for (to, body) in asked {
            let purpose = Purpose::Question(self.last_question);
            self.last_question += 1;
            self.outside(Job { to, body, purpose });
        }
        for _ in 0..1_000 {
            if (first..first + count).all(|n| self.answers.contains_key(&n)) {
                break;
            }
            self.pass(100);
        }
        let mut answers = Vec::new();
        for n in first..first + count {
            answers.push(self.answers.remove(&n).unwrap_or_default());
        }
        answers
    }
}

/// An answer without what was missed.
fn without_missed(json: &str) -> String {
    fn empty(value: &mut Json) {
        match value {
            Json::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Json::Array(missed) if name == "missed" => missed.clear(),
                        value => empty(value),
                    }
                }
            }
            Json::Array(values) => values.iter_mut().for_each(empty),
            _ => {}
        }
    }
    let mut value: Json = serde_json::from_str(json).unwrap_or_default();
    empty(&mut value);
    value.to_string()
}
