//! A Socket.IO socket: a client in one namespace. What must survive its wire (and this object's
//! sleep) is its [`Record`], one row.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ConnectionId, Move, connection::end_of};
use crate::{
    auth::Claims,
    deadlines::Deadlines,
    event::Args,
    limits::MAX_SOCKETS_PER_USER,
    names::{Offset, RoomName, StreamPosition, Timestamp, UserId},
    storage::{Sql, StorageError, text},
    wire::{Access, Audience, Entry, Question},
};

/// A socket, as long as this object is awake.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey(pub u32);

/// How far a socket had come in a room at a number of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The number.
    pub number: u64,
    /// The position.
    pub position: StreamPosition,
}

/// A room that a socket is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// What the policy gave.
    pub access: Access,
    /// How it came in.
    #[serde(default)]
    pub entry: Entry,
    /// Where it came in, and where it came back after a cut.
    pub floors: Vec<Floor>,
}

impl Membership {
    /// How far a client that has seen `number` is, if the journal says `journal`: that counts where
    /// it is newer than where the socket came in, or came back still having to be sent what it missed.
    pub fn reached(&self, number: u64, journal: Option<Floor>) -> Option<StreamPosition> {
        let floors = self.floors.iter().filter(|floor| floor.number <= number);
        let floor = floors
            .max_by_key(|floor| floor.number)
            .or_else(|| self.floors.first());
        match (floor, journal) {
            (Some(floor), Some(journal))
                if journal.number > floor.number
                    && journal.position.epoch == floor.position.epoch
                    && journal.position.offset > floor.position.offset =>
            {
                Some(journal.position)
            }
            (Some(floor), _) => Some(floor.position.clone()),
            (None, journal) => journal.map(|journal| journal.position),
        }
    }
}

/// What is stored of a socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The socket's id.
    pub id: String,
    /// The secret that recovers it, where its client knows how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// The session that it is on, or was.
    pub session: String,
    /// Its namespace.
    pub namespace: String,
    /// Whose it is, with the grants: rooms are joined over time.
    pub claims: Claims,
    /// When it connected, or its token was refreshed.
    pub opened_at: Timestamp,
    /// The journal's number when it connected.
    pub began: u64,
    /// The rooms that it is in.
    pub rooms: BTreeMap<RoomName, Membership>,
    /// When its wire was lost; it may come back for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<Timestamp>,
    /// The object that it has moved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<RoomName>,
    /// The offset, of another object, that it came here with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_with: Option<String>,
}

impl Record {
    fn key(&self) -> &str {
        self.pid.as_deref().unwrap_or(&self.id)
    }

    /// Writes it.
    pub fn store(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        let json = serde_json::to_string(self).map_err(|_| StorageError::Corrupt("socket"))?;
        sql.run(
            "INSERT OR REPLACE INTO sockets (key, json) VALUES (?, ?)",
            &[text(self.key()), text(json)],
        )
        .map(drop)
    }

    /// Deletes it.
    pub fn forget(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        sql.run("DELETE FROM sockets WHERE key = ?", &[text(self.key())])
            .map(drop)
    }

    /// Whether the socket gets an event that a room of it has in this namespace for an audience.
    pub fn gets(&self, room: &RoomName, namespace: &str, audience: &Audience) -> bool {
        self.namespace == namespace
            && audience.has(&self.claims.user, &self.id)
            && (audience.copies.is_empty() || self.joined_first(&audience.copies) == Some(room))
            && !audience.told_in.iter().any(|(room, offset)| {
                let membership = self.rooms.get(room);
                membership.is_some_and(|membership| membership.entry.offset < *offset)
            })
    }

    /// Of these rooms, the one that the socket joined first: it does not matter in which order they tell
    /// of the same thing, nor what it joins meanwhile.
    fn joined_first<'a>(&self, rooms: &'a [RoomName]) -> Option<&'a RoomName> {
        let joined = rooms
            .iter()
            .filter_map(|room| Some((self.rooms.get(room)?.entry.order, room)));
        joined.min().map(|(_, room)| room)
    }

    /// When its token runs out.
    pub fn closes_at(&self) -> Timestamp {
        end_of(&self.claims, self.opened_at)
    }
}

/// An event that a socket's client sent.
#[derive(Debug)]
pub struct Sent {
    /// Its name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
    /// Under which id it wants an ack.
    pub ack: Option<u64>,
}

/// What its client was asked, and has not answered yet.
#[derive(Debug)]
pub struct Asked {
    /// Who asked.
    pub by: AskedBy,
    /// Until when an answer counts.
    pub until: Timestamp,
}

/// Who asked a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedBy {
    /// Its namespace, which calls it so.
    Namespace(String),
    /// A room, with this question.
    Room(RoomName, u64),
}

/// How far its connection to the namespace is.
#[derive(Debug)]
pub enum Stage {
    /// CONNECT has been answered.
    Connected,
    /// It is joining its first rooms, or those it was in; so many have not answered.
    Connecting {
        /// How many.
        joins: usize,
        /// It goes on with a session of this socket id; what it missed, so far.
        recovery: Option<Recovery>,
    },
}

/// What a recovery has gathered.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The journal's number at which it was where it was.
    pub from: u64,
    /// The number that stands for having seen what it missed.
    pub at: u64,
    /// What was missed.
    pub missed: Vec<Held>,
    /// A room could not give all of it, or lets the socket in no more.
    pub failed: bool,
}

/// An event for a socket that is not connected yet.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its number in the journal.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Its name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
    /// The room that it comes from, and for whom it is there: with the last of its rooms it is known
    /// whether the socket gets it. None for what is for the socket alone.
    pub of: Option<(RoomName, Audience)>,
}

/// A socket that is connected, or about to be.
#[derive(Debug)]
pub struct Socket {
    /// What is stored of it.
    pub record: Record,
    /// Its session's wire.
    pub connection: ConnectionId,
    /// Whether its client wants offsets.
    pub recovery: bool,
    /// How far it is.
    pub stage: Stage,
    /// The rooms that it is in and that are not stored yet, because it is not connected.
    pub unstored: Vec<Move>,
    /// Events for it that wait until it is connected.
    pub held: Vec<Held>,
    /// Questions to its client that wait as well.
    pub held_questions: Vec<(Question, AskedBy)>,
    /// Joins that its client asked for and that are under way.
    pub joining: usize,
    /// Events that wait for those.
    pub waiting: VecDeque<Sent>,
    /// What its client was asked.
    pub asked: BTreeMap<u64, Asked>,
    /// The id of the next such question.
    pub next_ask: u64,
}

impl Socket {
    /// Writes its record, once it is connected: until then the row is still that of the session that it goes
    /// on with, and has all of its rooms.
    pub fn store(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        match self.stage {
            Stage::Connected => self.record.store(sql),
            Stage::Connecting { .. } => Ok(()),
        }
    }
}

/// The object's sockets, and those that were lost and may come back.
#[derive(Default)]
pub struct Sockets {
    live: BTreeMap<SocketKey, Socket>,
    /// When their tokens run out, and when the first question to each has waited long enough. Those
    /// that may have been changed are looked at again first.
    expiries: Deadlines<SocketKey>,
    questions: Deadlines<SocketKey>,
    touched: Vec<SocketKey>,
    last_key: u32,
    by_id: HashMap<String, SocketKey>,
    by_pid: HashMap<String, SocketKey>,
    /// How many of them each user has.
    users: HashMap<String, usize>,
    rooms: HashMap<RoomName, Members>,
    /// Those without, by pid (or id).
    pub lost: BTreeMap<String, Record>,
}

/// Who is in a room.
#[derive(Default)]
struct Members {
    /// After which offset each wants the room's publications.
    sockets: BTreeMap<SocketKey, Offset>,
    /// How many of them each user has.
    users: HashMap<String, usize>,
}

impl Members {
    fn insert(&mut self, key: SocketKey, user: &UserId, after: Offset) {
        if self.sockets.insert(key, after).is_none() {
            let count = self.users.entry(user.as_str().to_owned()).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn remove(&mut self, key: SocketKey, user: &UserId) {
        if self.sockets.remove(&key).is_none() {
            return;
        }
        if let Some(count) = self.users.get_mut(user.as_str()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.users.remove(user.as_str());
            }
        }
    }
}

impl Sockets {
    /// Reads the stored records. Those whose session is not among the living ones are lost.
    pub fn load(sql: &dyn Sql) -> Result<Vec<Record>, StorageError> {
        sql.run("SELECT json FROM sockets", &[])?
            .iter()
            .map(|row| row.json(0, "socket"))
            .collect()
    }

    /// A socket that begins, or is found again after a wake.
    pub fn insert(&mut self, socket: Socket) -> SocketKey {
        self.last_key = self.last_key.saturating_add(1);
        let key = SocketKey(self.last_key);
        let Record {
            claims, rooms, pid, ..
        } = &socket.record;
        for (room, membership) in rooms {
            let after = membership.floors.last().map(|floor| floor.position.offset);
            self.rooms.entry(room.clone()).or_default().insert(
                key,
                &claims.user,
                after.unwrap_or_default(),
            );
        }
        if let Some(pid) = pid {
            self.by_pid.insert(pid.clone(), key);
        }
        self.by_id.insert(socket.record.id.clone(), key);
        let count = self.users.entry(claims.user.as_str().to_owned());
        let count = count.or_default();
        *count = count.saturating_add(1);
        self.touched.push(key);
        self.live.insert(key, socket);
        key
    }

    /// Whether there is room for one more socket of `user`.
    pub fn has_room_for(&self, user: &UserId) -> bool {
        let count = self.users.get(user.as_str());
        count.is_none_or(|count| *count < MAX_SOCKETS_PER_USER)
    }

    /// A socket's wire is gone.
    pub fn remove(&mut self, key: SocketKey) -> Option<Socket> {
        let socket = self.live.remove(&key)?;
        self.expiries.remove(&key);
        self.questions.remove(&key);
        let Record {
            id,
            claims,
            rooms,
            pid,
            ..
        } = &socket.record;
        if self.by_id.get(id) == Some(&key) {
            self.by_id.remove(id);
        }
        for room in rooms.keys() {
            self.forget_member(room, key, &claims.user);
        }
        if let Some(count) = self.users.get_mut(claims.user.as_str()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.users.remove(claims.user.as_str());
            }
        }
        if let Some(pid) = pid
            && self.by_pid.get(pid) == Some(&key)
        {
            self.by_pid.remove(pid);
        }
        Some(socket)
    }

    /// The socket is known by another id and pid from now on.
    pub fn rename(&mut self, key: SocketKey, id: String, pid: String) {
        let Some(socket) = self.live.get_mut(&key) else {
            return;
        };
        let old = std::mem::replace(&mut socket.record.id, id.clone());
        if self.by_id.get(&old) == Some(&key) {
            self.by_id.remove(&old);
        }
        self.by_id.insert(id, key);
        let old = socket.record.pid.replace(pid.clone());
        if let Some(old) = old
            && self.by_pid.get(&old) == Some(&key)
        {
            self.by_pid.remove(&old);
        }
        self.by_pid.insert(pid, key);
    }

    /// A record that may be recovered.
    pub fn lose(&mut self, record: Record) {
        self.lost.insert(record.key().to_owned(), record);
    }

    /// The socket joins a room: it gets what comes after the newest of its floors. `entry` is how it
    /// came in, where that was with an earlier wire.
    pub fn join(
        &mut self,
        key: SocketKey,
        room: &RoomName,
        access: Access,
        entry: Option<Entry>,
        floor: Floor,
    ) {
        let Some(socket) = self.live.get_mut(&key) else {
            return;
        };
        let after = floor.position.offset;
        let last = socket.record.rooms.values().map(|m| m.entry.order).max();
        let entry = entry.unwrap_or(Entry {
            order: last.unwrap_or_default().saturating_add(1),
            offset: after,
        });
        let membership = socket
            .record
            .rooms
            .entry(room.clone())
            .or_insert_with(|| Membership {
                access,
                entry,
                floors: Vec::new(),
            });
        membership.access = access;
        membership.floors.push(floor);
        let user = &socket.record.claims.user;
        let members = self.rooms.entry(room.clone()).or_default();
        members.insert(key, user, after);
    }

    /// The socket leaves a room; false if it was not there.
    pub fn leave(&mut self, key: SocketKey, room: &RoomName) -> bool {
        let Some(socket) = self.live.get_mut(&key) else {
            return false;
        };
        let was_there = socket.record.rooms.remove(room).is_some();
        let user = socket.record.claims.user.clone();
        self.forget_member(room, key, &user);
        was_there
    }

    fn forget_member(&mut self, room: &RoomName, key: SocketKey, user: &UserId) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.remove(key, user);
            if members.sockets.is_empty() {
                self.rooms.remove(room);
            }
        }
    }

    /// The sockets in a room, with the offset after which each wants its publications.
    pub fn members(&self, room: &RoomName) -> impl Iterator<Item = (SocketKey, Offset)> {
        let members = self.rooms.get(room);
        let sockets = members.into_iter().flat_map(|members| &members.sockets);
        sockets.map(|(key, after)| (*key, *after))
    }

    /// Whose sockets are in the room.
    pub fn users_in(&self, room: &RoomName) -> Vec<UserId> {
        let sockets = self.members(room).filter_map(|(key, _)| self.get(key));
        let users = sockets.map(|socket| &socket.record.claims.user);
        let users: BTreeMap<&str, &UserId> = users.map(|user| (user.as_str(), user)).collect();
        users.into_values().cloned().collect()
    }

    /// How many sockets are in the room.
    pub fn count_in(&self, room: &RoomName) -> usize {
        let members = self.rooms.get(room);
        members.map_or(0, |members| members.sockets.len())
    }

    /// Whether any socket is in the room.
    pub fn any_in(&self, room: &RoomName) -> bool {
        self.rooms.contains_key(room)
    }

    /// The rooms that sockets are in.
    pub fn rooms(&self) -> BTreeSet<RoomName> {
        self.rooms.keys().cloned().collect()
    }

    /// Whether a socket of `user` is in the room.
    pub fn has_user(&self, room: &RoomName, user: &UserId) -> bool {
        let members = self.rooms.get(room);
        members.is_some_and(|members| members.users.contains_key(user.as_str()))
    }

    /// All sockets, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (SocketKey, &Socket)> {
        self.live.iter().map(|(key, socket)| (*key, socket))
    }

    /// A socket.
    pub fn get(&self, key: SocketKey) -> Option<&Socket> {
        self.live.get(&key)
    }

    /// A socket, to change it.
    pub fn get_mut(&mut self, key: SocketKey) -> Option<&mut Socket> {
        if self.touched.last() != Some(&key) {
            self.touched.push(key);
        }
        self.live.get_mut(&key)
    }

    /// Whether no socket has a wire.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The live socket of this id.
    pub fn of_id(&self, id: &str) -> Option<SocketKey> {
        self.by_id.get(id).copied()
    }

    /// The live socket of this pid.
    pub fn of_pid(&self, pid: &str) -> Option<SocketKey> {
        self.by_pid.get(pid).copied()
    }

    fn look(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for key in touched {
            let socket = self.live.get(&key);
            let expiry = socket.map(|socket| socket.record.closes_at());
            let asked = socket.into_iter().flat_map(|socket| socket.asked.values());
            self.expiries.set(&key, expiry);
            self.questions
                .set(&key, asked.map(|asked| asked.until).min());
        }
    }

    /// What is known without a walk is what a walk finds.
    #[cfg(test)]
    pub fn check(&mut self) {
        self.look();
        let all = || self.live.iter();
        let expiries = all().map(|(key, socket)| (*key, Some(socket.record.closes_at())));
        self.expiries.check(expiries);
        let questions = all().map(|(key, socket)| {
            let asked = socket.asked.values().map(|asked| asked.until);
            (*key, asked.min())
        });
        self.questions.check(questions);
        let ids = all().map(|(key, socket)| (socket.record.id.clone(), *key));
        assert_eq!(self.by_id, ids.collect());
        let mut users = HashMap::new();
        for (_, socket) in all() {
            *users
                .entry(socket.record.claims.user.as_str().to_owned())
                .or_default() += 1;
        }
        assert_eq!(self.users, users);
    }

    /// When the first token runs out.
    pub fn next_expiry(&mut self) -> Option<Timestamp> {
        self.look();
        self.expiries.next()
    }

    /// The sockets whose token has run out.
    pub fn expired(&mut self, now: Timestamp) -> Vec<SocketKey> {
        self.look();
        self.expiries.due(now).copied().collect()
    }

    /// When the first question to a client has waited long enough.
    pub fn next_question(&mut self) -> Option<Timestamp> {
        self.look();
        self.questions.next()
    }

    /// The questions to clients that have waited long enough.
    pub fn unanswered(&mut self, now: Timestamp) -> Vec<(SocketKey, u64)> {
        self.look();
        let mut late = Vec::new();
        for key in self.questions.due(now) {
            let asked = self.live.get(key).into_iter().flat_map(|s| &s.asked);
            let over = asked.filter(|(_, asked)| asked.until <= now);
            late.extend(over.map(|(id, _)| (*key, *id)));
        }
        late
    }
}

/// The token and the recovery that a CONNECT packet's `auth` may hold.
#[derive(Debug, Default, Deserialize)]
pub struct Auth {
    /// The token.
    #[serde(default)]
    pub token: Option<String>,
    /// What stands where a person types a password.
    #[serde(default)]
    pub password: Option<String>,
    /// The session to go on with.
    #[serde(default)]
    pub pid: Option<String>,
    /// The last offset that was seen.
    #[serde(default)]
    pub offset: Option<String>,
}

impl Auth {
    /// Reads a CONNECT packet's payload. What is no text is none.
    pub fn read(auth: Option<&RawValue>) -> Self {
        #[derive(Deserialize)]
        struct Lenient {
            #[serde(default)]
            token: serde_json::Value,
            #[serde(default)]
            password: serde_json::Value,
            #[serde(default)]
            pid: serde_json::Value,
            #[serde(default)]
            offset: serde_json::Value,
        }
        let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
        auth.and_then(|auth| serde_json::from_str::<Lenient>(auth.get()).ok())
            .map(|auth| Self {
                token: text(auth.token),
                password: text(auth.password),
                pid: text(auth.pid),
                offset: text(auth.offset),
            })
            .unwrap_or_default()
    }
}
