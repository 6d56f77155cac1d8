//! One Room object: the hub and the room joined into turns.
//!
//! `turn(now, inputs) → outputs` is the whole of what the object decides. All that arrived since the
//! last turn is handled in order and commits in one transaction; then each socket gets its frames in
//! one run, and each other room one request. The shell in `durable/` carries the outputs out, in
//! order, once the transaction is through.

mod backup;
mod beat;
mod connect;
mod connections;
mod deadlines;
mod ends;
mod engine;
mod events;
mod failure;
mod falls;
mod ids;
mod io;
mod lines;
mod links;
mod questions;
mod recovery;
mod requests;
mod sockets;
mod tokens;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

pub use backup::{Restoring, restore};
pub use beat::beat;
pub use falls::fell;
pub use ids::{Seed, home_of};
pub use io::{AutoResponse, CallId, Input, Output, Polled, answer_without_room};

pub use crate::hub::RequestId;

use crate::{
    auth::{Claims, Keys},
    config::Config,
    deadlines::Deadlines,
    error::Refusal,
    event::Publication,
    event_webhook,
    hub::{
        Attachment, Connection, ConnectionId, DisconnectReason, Hub, Journal, Wait, Watch, Wire,
    },
    metrics::{Count, Counts, Gauges, count_of},
    names::{RoomName, Timestamp, UserId},
    namespaces::kind_of,
    room::{self, Delivery, EntryId, Room, Target},
    storage::{Sql, StorageError},
    wire::{Access, Audience, before_numbers_of, numbers_from},
};

/// What all objects of an isolate share: the configuration, read once.
#[derive(Debug)]
pub struct Environment {
    /// The configuration.
    pub config: Config,
    /// Its keys.
    pub keys: Keys,
}

/// A reply that waits until other rooms have what it answers for.
struct Settling {
    request: RequestId,
    answer: String,
    waits_for: BTreeSet<EntryId>,
    /// The links must have what they were told up to here.
    told: u64,
    until: Timestamp,
}

/// The machine.
pub struct Object {
    environment: Rc<Environment>,
    room: Room,
    hub: Hub,
    journal: Journal,
    /// The links' positions are those that the journal knows.
    knows_positions: bool,
    ids: ids::Ids,
    calls: HashMap<CallId, (links::Call, Option<Wait>)>,
    last_number: u64,
    /// The tokens that the runtime checks.
    verifying: HashMap<CallId, (tokens::Verifying, Option<Wait>)>,
    /// Questions to everyone in this room.
    questions: BTreeMap<u64, questions::RoomQuestion>,
    /// What this object's sockets say to the questions of rooms.
    gatherings: BTreeMap<(RoomName, u64), questions::Gathering>,
    /// When the questions of this room, and what is said to others', are over.
    questions_end: Deadlines<questions::Gathered>,
    heartbeat: engine::Heartbeat,
    /// Polling sessions that their clients closed: a GET may still be on its way.
    closed_sessions: Deadlines<String>,
    auto_response: Option<AutoResponse>,
    /// When this machine was built: what happened before, it does not remember.
    opened_at: Timestamp,
    settling: Vec<Settling>,
    /// What this turn answers to lobbies, at its end.
    link_answers: Vec<links::ToAnswer>,
    /// A publication that is told at the end of the turn, if none like it follows; for how many before
    /// it it stands.
    latest: Option<(Rc<Publication>, u64)>,
    /// Plain sockets that came in this turn: they are told who is here, not who came.
    fresh: Vec<ConnectionId>,
    /// How many turns it has had that may have changed something.
    turns: u64,
    /// Nothing has happened yet since it woke.
    was_asleep: bool,
    /// It has noted how it sleeps.
    has_note: bool,
    /// Until then nothing goes to others that can wait.
    held_until: Timestamp,
    out: Vec<Output>,
    timer_set: Option<Timestamp>,
    alarm_set: Option<Timestamp>,
    counts: Counts,
}

/// Who sends an event.
struct Sender<'a> {
    claims: &'a Claims,
    access: Access,
    from: Origin,
}

/// On which wire an event came: it is not told of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// None: HTTP, a webhook, the object itself.
    #[default]
    Nowhere,
    /// A plain WebSocket of this object.
    Connection(ConnectionId),
    /// The Socket.IO socket of this id, wherever it is.
    Socket(String),
}

impl Origin {
    fn audience(&self) -> Audience {
        match self {
            Self::Socket(id) => Audience {
                except_socket: Some(id.clone()),
                ..Audience::default()
            },
            Self::Nowhere | Self::Connection(_) => Audience::default(),
        }
    }
}

/// A decision that storage may fail to allow.
type Decided<T> = Result<Result<T, Refusal>, StorageError>;

impl Object {
    /// The object as it wakes: its storage and the attachments of its live sockets are all it needs.
    /// All ids are made from `seed`; those of connections up to `last` are taken, if only by sockets
    /// whose close event is still to come.
    pub fn open(
        sql: &dyn Sql,
        environment: Rc<Environment>,
        name: RoomName,
        seed: Seed,
        now: Timestamp,
        sockets: Vec<Attachment>,
        last: ConnectionId,
    ) -> Result<Self, StorageError> {
        let mut ids = ids::Ids::new(seed);
        let room = Room::open(sql, name, ids.epoch(), environment.config.history)?;
        beat::awake(sql)?;
        let journal = Journal::open(sql, &room.name, &room.epoch)?;
        let heartbeat = engine::Heartbeat::new(&environment.config, &room.name, now);
        let mut hub = Hub::new(heartbeat.timers());
        hub.reserve(last);
        hub.watch = Watch::load(sql, now)?;
        // An answer to a question of a machine that is no more is nobody's, though it was built in this
        // very millisecond.
        let last_number = before_numbers_of(now, ids.number());
        let mut probes = Vec::new();
        for attachment in sockets {
            if matches!(attachment.wire, Wire::Probe(_)) {
                probes.push(attachment.connection);
            }
            hub.restore(attachment, now);
        }
        let mut object = Self {
            environment,
            room,
            hub,
            journal,
            knows_positions: false,
            ids,
            calls: HashMap::new(),
            last_number,
            verifying: HashMap::new(),
            questions: BTreeMap::new(),
            gatherings: BTreeMap::new(),
            questions_end: Deadlines::default(),
            heartbeat,
            closed_sessions: Deadlines::default(),
            auto_response: None,
            opened_at: now,
            settling: Vec::new(),
            link_answers: Vec::new(),
            latest: None,
            fresh: Vec::new(),
            turns: 0,
            was_asleep: true,
            has_note: false,
            held_until: falls::held_until(sql)?,
            out: Vec::new(),
            timer_set: None,
            alarm_set: None,
            counts: Counts::default(),
        };
        object.restore_sockets(sql, now)?;
        // A session that was polling is gone, and with it what a WebSocket was probed for.
        for probe in probes {
            object.close(sql, now, probe, DisconnectReason::ServerRestarting)?;
        }
        let (hub, room) = (&object.hub, &mut object.room);
        room.roster.reconcile(sql, now, |user| {
            hub.has_user(user) || hub.sockets.has_user(&room.name, user)
        })?;
        Ok(object)
    }

    /// One turn. On an error everything it wrote must be rolled back and the object opened anew; the
    /// inputs can then be tried one by one. [`Object::failed`] says who is told what.
    pub fn turn(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        inputs: &[Input],
    ) -> Result<Vec<Output>, StorageError> {
        self.last_number = self.last_number.max(numbers_from(now));
        if !inputs.iter().all(Input::only_reads) {
            self.turns = self.turns.saturating_add(1);
        }
        self.take_note_back(sql, inputs)?;
        // Those are many rows, and a heartbeat needs none of them.
        if inputs.iter().any(|input| !input.is_clock()) {
            self.find_positions(sql)?;
        }
        self.expect(sql, inputs)?;
        for input in inputs {
            self.handle(sql, now, input)?;
        }
        self.tell_latest();
        self.tell_presence(now);
        self.tell_admins(now);
        self.room.commit(sql, now)?;
        self.journal.commit(sql, now)?;
        self.set_auto_response();
        let mut out = std::mem::take(&mut self.out);
        // Whoever is closed gets what was for them first, and an upgrade is answered before its
        // socket is sent to.
        let (first, last): (Vec<_>, Vec<_>) = out.drain(..).partition(|output| {
            matches!(
                output,
                Output::AutoResponse(_) | Output::Accept { .. } | Output::Attach(_)
            )
        });
        out.extend(first);
        // Before anything is sent, which may panic.
        let awaited = self.hub.take_awaited().into_iter();
        out.extend(awaited.map(|(connection, awaits)| Output::Awaits { connection, awaits }));
        let moves = self.hub.moves.changes().into_iter();
        let elsewhere = moves.filter(|(room, _)| *room != self.room.name);
        let moves = elsewhere.filter(|(room, _)| kind_of(room).keeps_presence());
        out.extend(moves.map(|(room, under_way)| Output::Moves { room, under_way }));
        let sends = self.hub.flush();
        // Before they are sent more: what was sent before had time to leave.
        let unmeasured = self.hub.take_unmeasured();
        if !unmeasured.is_empty() {
            out.push(Output::Measure(unmeasured));
        }
        out.extend(sends.into_iter().map(Output::Send));
        out.extend(last);
        out.extend(self.answer_polls());
        self.ask_links(now, &mut out);
        if now >= self.held_until {
            self.send_due(sql, now, &mut out)?;
            self.deliver_outbox(sql, now, &mut out)?;
        }
        self.note_sleep(sql, now, inputs)?;
        out.extend(self.wake(now));
        Ok(out)
    }

    /// What has happened since it was last asked, into the isolate's sum.
    pub fn count_into(&mut self, sum: &mut Counts) {
        let polled = self.hub.take_polled();
        self.count(Count::Deliveries, polled);
        sum.sum(&self.counts);
        self.counts = Counts::default();
    }

    /// Which it is.
    pub const fn name(&self) -> &RoomName {
        &self.room.name
    }

    /// What it has open.
    pub fn gauges(&mut self) -> Gauges {
        let sessions = &mut self.hub.sessions;
        let (polling, websocket) = (sessions.polling(), sessions.on_websocket());
        Gauges {
            plain: count_of(self.hub.plain()),
            polling: count_of(polling),
            websocket: count_of(websocket),
            outbox: count_of(self.room.outbox.len()),
            outbox_since: self.room.outbox.oldest(),
            unsent: count_of(self.room.sends.len()),
        }
    }

    fn count(&mut self, count: Count, times: u64) {
        self.counts.add(count, times);
    }

    fn count_refusal(&mut self, refusal: &Refusal) {
        self.count(Count::Refusals(refusal.code), 1);
    }

    /// Looks up the keys that the turn's events seem to have: one query for them all is cheaper than one
    /// each, and a wrong guess costs little.
    fn expect(&mut self, sql: &dyn Sql, inputs: &[Input]) -> Result<(), StorageError> {
        let mut ids = Vec::new();
        for input in inputs {
            match input {
                Input::Text { connection, text } => {
                    let user = self.hub.get(*connection).and_then(|c| self.user_of(c));
                    ids.extend(user.zip(id_in(text)));
                }
                Input::Request { body, .. } => ids.extend(body.ids_of_events()),
                _ => {}
            }
        }
        if ids.len() < 2 {
            return Ok(());
        }
        let keys = ids.into_iter().map(|(user, id)| room::Dedupe::Client {
            user: user.clone(),
            id: id.to_owned(),
        });
        let keys: Vec<room::Dedupe> = keys.collect();
        self.room.expect(sql, &keys)
    }

    /// Whose connection this is; of several sockets' on it any one's.
    fn user_of<'a>(&'a self, connection: &'a Connection) -> Option<&'a UserId> {
        if let Some(plain) = connection.plain() {
            return Some(&plain.claims.user);
        }
        let session = self.hub.sessions.get(connection.attachment.sid()?)?;
        let socket = self.hub.sockets.get(*session.sockets.values().next()?)?;
        Some(&socket.record.claims.user)
    }

    fn handle(&mut self, sql: &dyn Sql, now: Timestamp, input: &Input) -> Result<(), StorageError> {
        #[cfg(feature = "panics")]
        crate::panics::at_input(input);
        match input {
            Input::Open { request, connect } => {
                match self.open_plain(sql, now, *request, connect)? {
                    Ok(()) => Ok(()),
                    Err(refusal) => {
                        self.reply(*request, Err(refusal));
                        Ok(())
                    }
                }
            }
            Input::Text { connection, text } => self.text(sql, now, *connection, text),
            Input::Binary { connection, bytes } => self.binary(sql, now, *connection, bytes),
            Input::Engine {
                request,
                engine,
                body,
            } => self.engine(sql, now, *request, engine, body),
            Input::Answered { call, answer } => self.answered(sql, now, *call, answer.as_deref()),
            Input::Verified { call, verdict } => self.verified(sql, now, *call, verdict),
            Input::Closed { connection } => self.leave(sql, now, *connection, true),
            Input::Request { request, body } => self.request(sql, now, *request, body),
            Input::Delivered {
                delivery,
                delivered,
            } => {
                let Delivery {
                    target, entries, ..
                } = delivery;
                self.room
                    .outbox
                    .answered(sql, now, target, entries, *delivered)?;
                self.settle(entries);
                Ok(())
            }
            Input::Twilio { job, answer } => self.twilio_answered(sql, now, *job, answer.as_ref()),
            Input::Interrupted { rooms } => self.interrupted(sql, now, rooms),
            Input::Timer => {
                self.timer_set = None;
                self.due(sql, now)
            }
            Input::Measured(waiting) => self.measured(sql, now, waiting),
            Input::Alarm { heard } => {
                self.alarm_set = None;
                self.heard(heard);
                self.heartbeat.woken_by_alarm(now);
                self.due(sql, now)
            }
        }
    }

    /// What is due of the outbox.
    fn deliver_outbox(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), StorageError> {
        let environment = Rc::clone(&self.environment);
        for delivery in self.room.outbox.deliveries(now) {
            match (delivery.target.clone(), &environment.config.event_webhook) {
                (Target::Room(room), _) => out.push(Output::Deliver { room, delivery }),
                (Target::EventWebhook, Some(to)) => {
                    out.push(Output::Post(event_webhook::post(now, to, delivery)));
                }
                // It is not wanted any more.
                (target @ Target::EventWebhook, None) => {
                    let entries = &delivery.entries;
                    self.room
                        .outbox
                        .answered(sql, now, &target, entries, true)?;
                }
            }
        }
        Ok(())
    }

    fn reply(&mut self, request: RequestId, answer: Result<String, Refusal>) {
        self.out.push(Output::Reply { request, answer });
    }
}

#[derive(serde::Serialize)]
struct PresenceDiff<'a> {
    room: &'a str,
    #[serde(flatten)]
    diff: &'a room::Diff,
}

/// What a frame most likely has for an id.
fn id_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(r#""id":""#)?;
    rest.split_once('"').map(|(id, _)| id)
}

/// Grants are for the door; what they gave is kept as [`Access`], so that an attachment stays small.
fn without_grants(claims: &Claims) -> Claims {
    Claims {
        rooms: Vec::new(),
        rooms_read: Vec::new(),
        ..claims.clone()
    }
}

#[cfg(test)]
mod tests;
