//! What happened, as people outside can know it: what was sent, what was acknowledged, who was let in
//! where and what they saw. Nothing in here knows how Dialtone works; [`crate::checker`] judges it.

use std::collections::{HashMap, HashSet};

use dialtone_core::names::Timestamp;

/// A room of the scenario.
pub type RoomId = usize;
/// A client of the scenario.
pub type ClientId = usize;
/// A stay in the ledger.
pub type StayId = usize;
/// A session in the ledger.
pub type SessionId = usize;

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is kept: accepted means that nobody who is in the room misses it.
    Kept,
    /// It need not arrive.
    Ephemeral,
    /// For everyone in a namespace, by its index.
    News(usize),
}

/// A message that somebody sent.
#[derive(Debug)]
pub struct Message {
    /// To which room; of no meaning for news.
    pub room: RoomId,
    /// Of which kind.
    pub kind: Kind,
    /// Which client did; none for a backend.
    pub sender: Option<ClientId>,
    /// When it was first sent.
    pub sent_at: Timestamp,
    /// The offset that its acknowledgement said.
    pub accepted: Option<u64>,
}

/// A client's time in a room, from a join to its end, recoveries included.
#[derive(Debug)]
pub struct Stay {
    /// Whose.
    pub client: ClientId,
    /// Where.
    pub room: RoomId,
    /// The newest publication when it came in, as the room's answer said it.
    pub base: Option<u64>,
    /// It came in at this offset or before: the first answer was lost.
    pub at_most: Option<u64>,
    /// The messages that it saw, in order.
    pub seen: Vec<u32>,
    /// Whether it goes on.
    pub is_open: bool,
}

/// A client's time with one session, recoveries included.
#[derive(Debug)]
pub struct Session {
    /// Whose.
    pub client: ClientId,
    /// In which namespace.
    pub namespace: usize,
    /// When its client knew of it.
    pub began: Timestamp,
    /// The news that it saw.
    pub news: Vec<u32>,
    /// Whether it goes on.
    pub is_open: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What was sent, by its number.
    pub messages: Vec<Message>,
    /// All stays.
    pub stays: Vec<Stay>,
    /// All sessions.
    pub sessions: Vec<Session>,
    /// Ephemeral messages that each client saw, connection by connection: they have no place in any
    /// order, so one that is under way while its client moves to another lobby may reach it there too.
    pub ephemeral: HashMap<(ClientId, u64), Vec<u32>>,
    /// The rooms that each client may be in.
    pub may: Vec<HashSet<RoomId>>,
    /// Since when a client may be in a room no longer.
    pub ended: HashMap<(ClientId, RoomId), Timestamp>,
    /// When each room's machine was last built anew, with something that was not told yet perhaps.
    pub died: HashMap<RoomId, Timestamp>,
    /// What was wrong at once.
    pub wrong: Vec<String>,
    /// Acks that nobody waited for any longer.
    pub gave_up: u64,
    /// Messages that were seen, all clients together.
    pub delivered: u64,
    /// Sessions that went on after a cut, and those that did not.
    pub recovered: u64,
    /// See there.
    pub not_recovered: u64,
}

/// How long after a membership's end was answered its news may still reach who was a member: the
/// objects are told over a network that fails.
const ENDING_MS: u64 = 60_000;

impl Ledger {
    /// A new message; its number.
    pub fn send(
        &mut self,
        room: RoomId,
        kind: Kind,
        sender: Option<ClientId>,
        now: Timestamp,
    ) -> u32 {
        self.messages.push(Message {
            room,
            kind,
            sender,
            sent_at: now,
            accepted: None,
        });
        u32::try_from(self.messages.len() - 1).unwrap()
    }

    /// A message was acknowledged, perhaps again.
    pub fn accept(&mut self, n: u32, offset: u64) {
        let message = &mut self.messages[n as usize];
        match message.accepted {
            Some(other) if other != offset => self.wrong.push(format!(
                "message {n} was acknowledged at {other} and at {offset}"
            )),
            _ => message.accepted = Some(offset),
        }
    }

    /// A client comes into a room.
    pub fn enter(&mut self, client: ClientId, room: RoomId) -> StayId {
        if !self.may[client].contains(&room) {
            self.wrong
                .push(format!("client {client} was let into room {room}"));
        }
        self.stays.push(Stay {
            client,
            room,
            base: None,
            at_most: None,
            seen: Vec::new(),
            is_open: true,
        });
        self.stays.len() - 1
    }

    /// A client has a session of its own.
    pub fn begin(&mut self, client: ClientId, namespace: usize, now: Timestamp) -> SessionId {
        self.sessions.push(Session {
            client,
            namespace,
            began: now,
            news: Vec::new(),
            is_open: true,
        });
        self.sessions.len() - 1
    }

    /// A client saw a message, on this stay or outside of any.
    pub fn saw(
        &mut self,
        client: ClientId,
        stay: Option<StayId>,
        session: Option<SessionId>,
        wire: u64,
        n: u32,
    ) {
        self.delivered += 1;
        let Some(message) = self.messages.get(n as usize) else {
            self.wrong
                .push(format!("client {client} saw {n}, which nobody sent"));
            return;
        };
        if let Kind::News(namespace) = message.kind {
            let session = session.and_then(|id| self.sessions.get_mut(id));
            match session {
                Some(session) if session.namespace == namespace => session.news.push(n),
                _ => self
                    .wrong
                    .push(format!("client {client} saw news {n} of another namespace")),
            }
            return;
        }
        let room = message.room;
        if !self.may[client].contains(&room) {
            self.wrong.push(format!(
                "client {client} saw {n} of room {room}, which it may not be in"
            ));
            return;
        }
        if let Some(ended) = self.ended.get(&(client, room)) {
            if message.sent_at > ended.plus(ENDING_MS) {
                self.wrong.push(format!(
                    "client {client} saw {n} of room {room} after its membership had ended"
                ));
            }
            return;
        }
        match stay.map(|id| &mut self.stays[id]) {
            Some(stay) if stay.room == room && stay.is_open => {
                if message.kind == Kind::Kept {
                    stay.seen.push(n);
                } else {
                    self.ephemeral.entry((client, wire)).or_default().push(n);
                }
            }
            _ => self.wrong.push(format!(
                "client {client} saw {n} of room {room}, where it is not"
            )),
        }
    }
}
