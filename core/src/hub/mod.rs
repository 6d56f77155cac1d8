//! The hub machine: the connections that this object holds and what goes out on each.
//!
//! Frames are kept once for all sockets and handed over at the end of the turn, grouped by sockets
//! that get the same ones: a broadcast is one frame and one list of sockets, and each socket has one
//! run of sends. What must survive hibernation is in each socket's [`Attachment`].

mod connection;
mod disconnect;
pub mod plain;
mod rate;

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

pub use connection::{Attachment, Connection};
pub use disconnect::{DisconnectReason, echo_of};

use crate::{
    limits::{MAX_CONNECTIONS_PER_ROOM, MAX_CONNECTIONS_PER_USER},
    names::{Timestamp, UserId},
};

/// One WebSocket of this object, as long as it lives.
#[derive(
    Debug,
    Default,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct ConnectionId(pub u32);

/// Frames of one turn for sockets that all get the same ones, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flush {
    /// To whom.
    pub connections: Vec<ConnectionId>,
    /// What. The same `Rc` stands for the same frame in every group.
    pub frames: Vec<Rc<str>>,
}

/// A `?batch=1` frame is at most about so long; more objects go into the next one.
const MAX_BATCH_BYTES: usize = 256 * 1024;

/// The connections, and the frames of this turn.
#[derive(Default)]
pub struct Hub {
    connections: BTreeMap<ConnectionId, Connection>,
    last_id: u32,
    /// How many connections each user has.
    users: HashMap<String, usize>,
    frames: Vec<Rc<str>>,
}

impl Hub {
    /// Ids up to this one are taken, if only by sockets whose close event is still to come.
    pub fn reserve(&mut self, last: ConnectionId) {
        self.last_id = self.last_id.max(last.0);
    }

    /// A connection whose socket was there before this object woke.
    pub fn restore(&mut self, attachment: Attachment) {
        self.insert(attachment.connection, Connection::new(attachment));
    }

    /// An id for a new connection.
    pub fn next_id(&self) -> ConnectionId {
        ConnectionId(self.last_id.saturating_add(1))
    }

    /// Whether there is room for one more connection of `user`.
    pub fn has_room_for(&self, user: &UserId) -> bool {
        self.connections.len() < MAX_CONNECTIONS_PER_ROOM
            && self
                .users
                .get(user.as_str())
                .is_none_or(|n| *n < MAX_CONNECTIONS_PER_USER)
    }

    /// A new connection.
    pub fn insert(&mut self, id: ConnectionId, connection: Connection) {
        let user = connection.attachment.claims.user.as_str().to_owned();
        let count = self.users.entry(user).or_default();
        *count = count.saturating_add(1);
        self.last_id = self.last_id.max(id.0);
        self.connections.insert(id, connection);
    }

    /// A connection is gone. Says whose it was.
    pub fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        let user = connection.attachment.claims.user.as_str();
        if let Some(count) = self.users.get_mut(user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.users.remove(user);
            }
        }
        Some(connection)
    }

    /// One connection.
    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// One connection, to change it.
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.connections
            .iter()
            .map(|(id, connection)| (*id, connection))
    }

    /// Whether `user` has a connection here.
    pub fn has_user(&self, user: &UserId) -> bool {
        self.users.contains_key(user.as_str())
    }

    /// A frame for one connection.
    pub fn send(&mut self, id: ConnectionId, frame: impl Into<Rc<str>>) {
        let index = self.add_frame(frame.into());
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.pending.push(index);
        }
    }

    /// A frame for all connections for which `wants` says so.
    pub fn send_all(
        &mut self,
        frame: impl Into<Rc<str>>,
        wants: impl Fn(ConnectionId, &Connection) -> bool,
    ) {
        let index = self.add_frame(frame.into());
        for (id, connection) in &mut self.connections {
            if wants(*id, connection) {
                connection.pending.push(index);
            }
        }
    }

    /// What a connection was to get by now; for one that is about to be closed.
    pub fn take_pending(&mut self, id: ConnectionId) -> Option<Flush> {
        let connection = self.connections.get_mut(&id)?;
        let pending = std::mem::take(&mut connection.pending);
        let batch = connection.attachment.batch;
        (!pending.is_empty()).then(|| self.group(&pending, batch, vec![id]))
    }

    fn group(&self, pending: &[u32], batch: bool, connections: Vec<ConnectionId>) -> Flush {
        let frames = pending
            .iter()
            .filter_map(|index| self.frames.get(usize::try_from(*index).ok()?));
        let frames = if batch {
            join_lines(frames)
        } else {
            frames.cloned().collect()
        };
        Flush {
            connections,
            frames,
        }
    }

    fn add_frame(&mut self, frame: Rc<str>) -> u32 {
        let index = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
        self.frames.push(frame);
        index
    }

    /// The turn's frames, grouped by connections that get the same ones.
    pub fn flush(&mut self) -> Vec<Flush> {
        let mut groups: HashMap<(Vec<u32>, bool), Vec<ConnectionId>> = HashMap::new();
        for (id, connection) in &mut self.connections {
            if connection.pending.is_empty() {
                continue;
            }
            let pending = std::mem::take(&mut connection.pending);
            groups
                .entry((pending, connection.attachment.batch))
                .or_default()
                .push(*id);
        }
        let mut flushes: Vec<Flush> = groups
            .into_iter()
            .map(|((pending, batch), connections)| self.group(&pending, batch, connections))
            .collect();
        self.frames.clear();
        flushes.sort_by(|a, b| a.connections.first().cmp(&b.connections.first()));
        flushes
    }

    /// When the first token runs out.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.connections.values().map(Connection::closes_at).min()
    }
}

/// Several objects as one frame, one a line.
fn join_lines<'a>(frames: impl Iterator<Item = &'a Rc<str>>) -> Vec<Rc<str>> {
    let mut joined: Vec<Rc<str>> = Vec::new();
    let mut batch = String::new();
    for frame in frames {
        if !batch.is_empty() && batch.len().saturating_add(frame.len()) > MAX_BATCH_BYTES {
            joined.push(std::mem::take(&mut batch).into());
        }
        if !batch.is_empty() {
            batch.push('\n');
        }
        batch.push_str(frame);
    }
    if !batch.is_empty() {
        joined.push(batch.into());
    }
    joined
}
