//! One Room object: the hub and the room joined into turns.
//!
//! `turn(now, inputs) → outputs` is the whole of what the object decides. All that arrived since the
//! last turn is handled in order and commits in one transaction; then each socket gets its frames in
//! one run, and each other room one request. The shell in `durable/` carries the outputs out, in
//! order, once the transaction is through.

mod connections;
mod deadlines;
mod events;
mod io;
mod requests;

use std::{collections::BTreeSet, rc::Rc};

pub use io::{Input, Output, RequestId, answer_without_room};

use crate::{
    auth::{Claims, Keys},
    config::Config,
    error::Refusal,
    hub::{Attachment, ConnectionId, Hub},
    names::{Epoch, RoomName, Timestamp},
    room::{self, Delivery, EntryId, Room},
    storage::{Sql, StorageError},
    wire::Access,
};

/// What all objects of an isolate share: the configuration, read once.
#[derive(Debug)]
pub struct Environment {
    /// The configuration.
    pub config: Config,
    /// Its keys.
    pub keys: Keys,
}

/// What a turn did, for `/metrics`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Events accepted into a log.
    pub publications: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events refused.
    pub refusals: u64,
}

/// A reply that waits until other rooms have what it answers for.
struct Settling {
    request: RequestId,
    answer: String,
    waits_for: BTreeSet<EntryId>,
    until: Timestamp,
}

/// The machine.
pub struct Object {
    environment: Rc<Environment>,
    room: Room,
    hub: Hub,
    settling: Vec<Settling>,
    /// Connections opened in this turn.
    fresh: Vec<ConnectionId>,
    out: Vec<Output>,
    timer_set: Option<Timestamp>,
    alarm_set: Option<Timestamp>,
    stats: Stats,
}

/// Who sends an event.
struct Sender<'a> {
    claims: &'a Claims,
    access: Access,
    connection: Option<ConnectionId>,
}

/// A decision that storage may fail to allow.
type Decided<T> = Result<Result<T, Refusal>, StorageError>;

impl Object {
    /// The object as it wakes: its storage and the attachments of its live sockets are all it needs.
    /// `fresh_epoch` is used if the room is new; ids up to `last` are taken, if only by sockets whose
    /// close event is still to come.
    pub fn open(
        sql: &dyn Sql,
        environment: Rc<Environment>,
        name: RoomName,
        fresh_epoch: Epoch,
        now: Timestamp,
        sockets: Vec<Attachment>,
        last: ConnectionId,
    ) -> Result<Self, StorageError> {
        let mut room = Room::open(sql, name, fresh_epoch, environment.config.history)?;
        let mut hub = Hub::default();
        hub.reserve(last);
        for attachment in sockets {
            hub.restore(attachment);
        }
        room.roster.reconcile(sql, now, |user| hub.has_user(user))?;
        Ok(Self {
            environment,
            room,
            hub,
            settling: Vec::new(),
            fresh: Vec::new(),
            out: Vec::new(),
            timer_set: None,
            alarm_set: None,
            stats: Stats::default(),
        })
    }

    /// One turn. On an error everything it wrote must be rolled back and the object opened anew; the
    /// inputs can then be tried one by one, and [`Input::undone`] says what the failing one's sender
    /// is told.
    pub fn turn(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        inputs: &[Input],
    ) -> Result<Vec<Output>, StorageError> {
        for input in inputs {
            self.handle(sql, now, input)?;
        }
        self.tell_presence();
        let mut out = std::mem::take(&mut self.out);
        // Whoever is closed gets what was for them first, and an upgrade is answered before its
        // socket is sent to.
        let (first, last): (Vec<_>, Vec<_>) = out
            .drain(..)
            .partition(|output| matches!(output, Output::Accept { .. } | Output::Attach(_)));
        out.extend(first);
        out.extend(self.hub.flush().into_iter().map(Output::Send));
        out.extend(last);
        out.extend(
            self.room
                .outbox
                .deliveries(now)
                .into_iter()
                .map(Output::Deliver),
        );
        out.extend(self.wake(now));
        Ok(out)
    }

    /// What happened since the last call.
    pub fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }

    fn handle(&mut self, sql: &dyn Sql, now: Timestamp, input: &Input) -> Result<(), StorageError> {
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
            Input::Binary { connection, bytes } => self.binary(sql, now, *connection, *bytes),
            Input::Closed { connection } => self.leave(sql, now, *connection, true),
            Input::Request { request, body } => self.request(sql, now, *request, body),
            Input::Delivered {
                delivery,
                delivered,
            } => {
                let Delivery { room, entries, .. } = delivery;
                self.room
                    .outbox
                    .answered(sql, now, room, entries, *delivered)?;
                self.settle(entries);
                Ok(())
            }
            Input::Timer => {
                self.timer_set = None;
                self.due(sql, now)
            }
            Input::Alarm => {
                self.alarm_set = None;
                self.due(sql, now)
            }
        }
    }

    fn reply(&mut self, request: RequestId, answer: Result<String, Refusal>) {
        self.out.push(Output::Reply { request, answer });
    }
}

#[derive(serde::Serialize)]
struct PresenceState<'a> {
    room: &'a str,
    users: Vec<room::Person>,
}

#[derive(serde::Serialize)]
struct PresenceDiff<'a> {
    room: &'a str,
    #[serde(flatten)]
    diff: &'a room::Diff,
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
