//! The hub machine: the connections that this object holds and what goes out on each.
//!
//! A *connection* is one wire. On it speaks a plain socket, or an Engine.IO [`Session`], which
//! carries Socket.IO [`Socket`]s; those have joined rooms, here or over a [`Link`].
//!
//! Frames are kept once for all sockets and handed over at the end of the turn, grouped by sockets
//! that get the same ones: a broadcast is one frame and one list of sockets, and each socket has one
//! run of sends. What must survive hibernation is in each socket's [`Attachment`].

mod awaited;
mod connection;
mod disconnect;
mod journal;
mod link;
pub mod lobby;
pub mod plain;
mod rate;
mod runs;
mod session;
mod socket;
mod tally;
mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

pub use awaited::{Awaited, Move, Moves, Wait, Who};
pub use connection::{Attachment, Connection, Plain, Wire, end_of};
pub use disconnect::{DisconnectReason, echo_of};
pub use journal::Journal;
pub use link::{Link, Links, Pending, Purpose, Tokens, Waiter};
use runs::{Append, Run, Runs};
pub use session::{Knocking, PingTimers, Session, Sessions};
pub use socket::{
    Asked, AskedBy, Auth, Floor, Held, Membership, Record, Recovery, Sent, Socket, SocketKey,
    Sockets, Stage,
};
pub use watch::Watch;

use crate::{
    deadlines::Deadlines,
    limits::{MAX_CONNECTIONS_PER_ROOM, MAX_CONNECTIONS_PER_USER, MEASURE_EVERY_BYTES},
    metrics::count_of,
    names::{Timestamp, UserId},
    socket_io::Message,
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

/// A request of the shell's that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A WebSocket frame. The same `Rc` stands for the same frame wherever it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text(Rc<str>),
    /// Binary.
    Binary(Rc<[u8]>),
}

impl Frame {
    /// Its bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What tells it from another frame of the turn.
    pub fn address(&self) -> *const u8 {
        match self {
            Self::Text(text) => text.as_ptr(),
            Self::Binary(bytes) => bytes.as_ptr(),
        }
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<Message> for Frame {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => text.into(),
            Message::Binary(bytes) => bytes.into(),
        }
    }
}

/// Frames of one turn for sockets that all get the same ones, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flush {
    /// To whom.
    pub connections: Vec<ConnectionId>,
    /// What.
    pub frames: Vec<Frame>,
}

/// A `?batch=1` frame is at most about so long; more objects go into the next one.
const MAX_BATCH_BYTES: usize = 256 * 1024;

/// The connections, and the frames of this turn.
#[derive(Default)]
pub struct Hub {
    connections: BTreeMap<ConnectionId, Connection>,
    /// When their tokens run out. Those that may have been changed are looked at again first.
    expiries: Deadlines<ConnectionId>,
    touched: Vec<ConnectionId>,
    last_id: u32,
    /// How many plain connections each user has, and all have.
    users: HashMap<String, usize>,
    plain: usize,
    runs: Runs,
    /// Those that get something in this turn.
    pending: Vec<ConnectionId>,
    /// How many frames were put into queues of polling sessions.
    polled: u64,
    /// Those of the last flush of which is to be measured how much waits for them.
    unmeasured: Vec<ConnectionId>,
    /// The Engine.IO sessions, by sid.
    pub sessions: Sessions,
    /// The Socket.IO sockets.
    pub sockets: Sockets,
    /// The rooms elsewhere that they are in.
    pub links: Links,
    /// Who watches them, and the admins among them.
    pub watch: Watch,
    /// Whose clients wait for what this object's memory alone knows of.
    pub awaited: Awaited,
    /// The rooms to and from which sockets are on their way.
    pub moves: Moves,
}

impl Hub {
    /// One without connections, whose sessions will have these timers, if any.
    pub fn new(timers: Option<PingTimers>) -> Self {
        Self {
            sessions: Sessions::new(timers),
            ..Self::default()
        }
    }

    /// A socket's client waits, until this is dropped.
    pub fn wait(&self, key: SocketKey) -> Option<Wait> {
        let session = &self.sockets.get(key)?.record.session;
        self.wait_of_session(session)
    }

    /// A session's client waits, until this is dropped.
    pub fn wait_of_session(&self, sid: &str) -> Option<Wait> {
        let sid = Rc::clone(&self.sessions.get(sid)?.sid);
        Some(self.awaited.wait(Who::Session(sid)))
    }

    /// Who waits now and did not at the end of the last turn, and the other way round.
    pub fn take_awaited(&mut self) -> Vec<(ConnectionId, bool)> {
        let sessions = &self.sessions;
        let wire_of = |sid: &str| sessions.get(sid).map(|session| session.transport);
        self.awaited.changes(wire_of)
    }

    /// Ids up to this one are taken, if only by sockets whose close event is still to come.
    pub fn reserve(&mut self, last: ConnectionId) {
        self.last_id = self.last_id.max(last.0);
    }

    /// A connection whose socket was there before this object woke. A WebSocket session begins
    /// anew with it; a probe's session is gone, for polling does not outlive a sleep.
    pub fn restore(&mut self, attachment: Attachment, now: Timestamp) {
        if let Wire::Engine { sid, door } = &attachment.wire {
            let (sid, door) = (sid.as_str().into(), door.clone());
            let mut session = Session::new(sid, door, attachment.connection, false, now);
            session.heard_at = attachment.opened_at;
            self.sessions.insert(session);
        }
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
        if let Some(plain) = connection.plain() {
            let user = plain.claims.user.as_str().to_owned();
            let count = self.users.entry(user).or_default();
            *count = count.saturating_add(1);
            self.plain = self.plain.saturating_add(1);
        }
        self.last_id = self.last_id.max(id.0);
        self.touched.push(id);
        self.connections.insert(id, connection);
    }

    /// A connection is gone. Says whose it was.
    pub fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.expiries.remove(&id);
        if let Some(plain) = connection.plain() {
            self.plain = self.plain.saturating_sub(1);
            let user = plain.claims.user.as_str();
            if let Some(count) = self.users.get_mut(user) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.users.remove(user);
                }
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
        if self.touched.last() != Some(&id) {
            self.touched.push(id);
        }
        self.connections.get_mut(&id)
    }

    /// The session on this wire, if it carries one, has shown a sign of life.
    pub fn heard(&mut self, id: ConnectionId, at: Timestamp) {
        let connection = self.connections.get(&id);
        let sid = connection.and_then(|connection| connection.attachment.sid());
        if let Some(session) = sid.and_then(|sid| self.sessions.get_mut(sid)) {
            session.heard_at = session.heard_at.max(at);
        }
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.connections
            .iter()
            .map(|(id, connection)| (*id, connection))
    }

    /// How many plain sockets there are.
    pub const fn plain(&self) -> usize {
        self.plain
    }

    /// How many frames were put into queues of polling sessions since it was last asked.
    pub fn take_polled(&mut self) -> u64 {
        std::mem::take(&mut self.polled)
    }

    /// Whether there is any plain socket.
    pub fn has_plain(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether `user` has a plain socket here.
    pub fn has_user(&self, user: &UserId) -> bool {
        self.users.contains_key(user.as_str())
    }

    /// A frame for one connection.
    pub fn send(&mut self, id: ConnectionId, frame: impl Into<Frame>) {
        self.send_each(&[id], [frame]);
    }

    /// A frame for all plain sockets for which `wants` says so.
    pub fn send_plain(
        &mut self,
        frame: impl Into<Frame>,
        wants: impl Fn(ConnectionId, &Connection, &Plain) -> bool,
    ) {
        let mut append = Append::new(frame.into());
        for (id, connection) in &mut self.connections {
            let plain = connection.plain();
            if plain.is_some_and(|plain| wants(*id, connection, plain)) {
                connection.append(*id, &mut append, &mut self.runs, &mut self.pending);
            }
        }
    }

    /// Frames, one after the other, for these connections; a connection that is named twice gets
    /// them twice.
    pub fn send_each<F: Into<Frame>>(
        &mut self,
        ids: &[ConnectionId],
        frames: impl IntoIterator<Item = F>,
    ) {
        for frame in frames {
            let mut append = Append::new(frame.into());
            for id in ids {
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.append(*id, &mut append, &mut self.runs, &mut self.pending);
                }
            }
        }
    }

    /// The wire `to` goes on for `from`: it gets what waited for a GET, and what `from` was to get in
    /// this turn.
    pub fn take_over(&mut self, from: ConnectionId, to: ConnectionId, queue: Vec<Frame>) {
        let pending = self.connections.remove(&from).map(|c| c.run);
        let pending = self.runs.frames(pending.unwrap_or_default());
        self.send_each(&[to], queue.into_iter().chain(pending));
    }

    /// What a connection was to get by now; for one that is about to be closed.
    pub fn take_pending(&mut self, id: ConnectionId) -> Option<Flush> {
        let connection = self.connections.get_mut(&id)?;
        let run = std::mem::take(&mut connection.run);
        let frames = self.runs.frames(run);
        let frames = framed(frames, connection.is_batched());
        let connections = vec![id];
        (run != 0).then_some(Flush {
            connections,
            frames,
        })
    }

    /// The turn's frames, grouped by WebSockets that get the same ones; those of polling sessions are
    /// put into their queues.
    pub fn flush(&mut self) -> Vec<Flush> {
        let mut groups: HashMap<(Run, bool), (usize, usize)> = HashMap::new();
        let mut flushes: Vec<Flush> = Vec::new();
        for id in std::mem::take(&mut self.pending) {
            // One that is gone, or was sent what it had before it was closed.
            let Some(connection) = self.connections.get_mut(&id).filter(|c| c.run != 0) else {
                continue;
            };
            let run = std::mem::take(&mut connection.run);
            if let Wire::Polling(sid) = &connection.attachment.wire {
                if let Some(session) = self.sessions.get_mut(sid) {
                    let frames = self.runs.frames(run);
                    self.polled = self.polled.saturating_add(count_of(frames.len()));
                    frames.into_iter().for_each(|frame| session.queue(frame));
                }
                continue;
            }
            let batch = connection.is_batched();
            let (group, bytes) = *groups.entry((run, batch)).or_insert_with(|| {
                let frames = framed(self.runs.frames(run), batch);
                let bytes = frames.iter().map(Frame::len);
                let bytes = bytes.fold(0, usize::saturating_add);
                let connections = Vec::new();
                flushes.push(Flush {
                    connections,
                    frames,
                });
                (flushes.len().saturating_sub(1), bytes)
            });
            if let Some(flush) = flushes.get_mut(group) {
                flush.connections.push(id);
            }
            connection.unmeasured_bytes = connection.unmeasured_bytes.saturating_add(bytes);
            let is_much = connection.unmeasured_bytes > MEASURE_EVERY_BYTES;
            if is_much || connection.behind_since.is_some() {
                connection.unmeasured_bytes = 0;
                self.unmeasured.push(id);
            }
        }
        self.runs.clear();
        flushes
    }

    fn look(&mut self) {
        for id in std::mem::take(&mut self.touched) {
            let connection = self.connections.get(&id);
            self.expiries
                .set(&id, connection.and_then(Connection::closes_at));
        }
    }

    /// When the first token runs out.
    pub fn next_expiry(&mut self) -> Option<Timestamp> {
        self.look();
        let sockets = self.sockets.next_expiry();
        self.expiries.next().into_iter().chain(sockets).min()
    }

    /// What is known without a walk is what a walk finds.
    #[cfg(test)]
    pub fn check(&mut self) {
        self.look();
        let all = self.connections.iter();
        self.expiries.check(all.map(|(id, c)| (*id, c.closes_at())));
        assert_eq!(self.plain, self.users.values().sum::<usize>());
        self.sessions.check();
        self.sockets.check();
        self.links.check();
    }

    /// The plain sockets whose token has run out.
    pub fn expired(&mut self, now: Timestamp) -> Vec<ConnectionId> {
        self.look();
        self.expiries.due(now).copied().collect()
    }

    /// The WebSockets of the last flush of which is to be measured how much waits for them.
    pub fn take_unmeasured(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.unmeasured)
    }
}

/// The frames as they are sent; of a `?batch=1` socket several objects as one frame, one a line.
fn framed(frames: Vec<Frame>, batch: bool) -> Vec<Frame> {
    if !batch {
        return frames;
    }
    let mut joined: Vec<Frame> = Vec::new();
    let mut batch = String::new();
    for frame in frames {
        let Frame::Text(frame) = frame else {
            continue;
        };
        if !batch.is_empty() && batch.len().saturating_add(frame.len()) > MAX_BATCH_BYTES {
            joined.push(std::mem::take(&mut batch).into());
        }
        if !batch.is_empty() {
            batch.push('\n');
        }
        batch.push_str(&frame);
    }
    if !batch.is_empty() {
        joined.push(batch.into());
    }
    joined
}
