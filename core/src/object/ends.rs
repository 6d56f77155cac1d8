//! How sockets end, and what is found of them after a wake.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::Object;
use crate::{
    error::Code,
    hub::{DisconnectReason, Record, Socket, SocketKey, Sockets, Stage},
    limits::{LOST_SOCKET_MS, MAX_LOST_SOCKETS, MOVED_SESSION_MS},
    names::{RoomName, Timestamp, UserId},
    namespaces::{self, Action},
    storage::{Sql, StorageError, text},
};

impl Object {
    /// After a wake: the stored sockets whose session still has its WebSocket go on, the others are
    /// lost.
    pub(super) fn restore_sockets(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        for row in sql.run("SELECT sid FROM doors", &[])? {
            let sid = row.text(0, "claims")?;
            match self.hub.sessions.get_mut(sid) {
                Some(session) => session.has_door = true,
                None => drop(sql.run("DELETE FROM doors WHERE sid = ?", &[text(sid)])?),
            }
        }
        let mut lost = Vec::new();
        for record in Sockets::load(sql)? {
            let floors = record.rooms.values().flat_map(|room| &room.floors);
            let numbers = floors.map(|floor| floor.number).chain([record.began]);
            self.journal.reserve(numbers.max().unwrap_or_default());
            let session = self.hub.sessions.get_mut(&record.session);
            match (session, record.lost_at) {
                (Some(session), None) => {
                    for (room, membership) in &record.rooms {
                        if *room != self.room.name {
                            let link = self.hub.links.get(room);
                            let floor = membership.floors.first();
                            let begun = floor.map(|floor| floor.position.clone());
                            link.position = match (link.position.take(), begun) {
                                (Some(a), Some(b)) if a.offset <= b.offset => Some(a),
                                (a, b) => b.or(a),
                            };
                        }
                    }
                    let (namespace, connection) = (record.namespace.clone(), session.transport);
                    let key = self.hub.sockets.insert(Socket {
                        connection,
                        recovery: record.pid.is_some(),
                        record,
                        stage: Stage::Connected,
                        unstored: Vec::new(),
                        held: Vec::new(),
                        held_questions: Vec::new(),
                        joining: 0,
                        waiting: VecDeque::new(),
                        asked: BTreeMap::new(),
                        next_ask: 0,
                    });
                    if namespaces::watches(&namespace) {
                        self.hub.watch.admins.push(key);
                    }
                    session.sockets.insert(namespace, key);
                }
                (_, Some(_)) => self.hub.sockets.lose(record),
                (None, None) => {
                    let mut record = record;
                    record.lost_at = Some(now);
                    record.store(sql)?;
                    self.note_gone(now, &record, "transport close");
                    lost.push(record);
                }
            }
        }
        let timeout = self.environment.config.connect_timeout_ms;
        let sids: Vec<_> = self.hub.sessions.sids().cloned().collect();
        for sid in sids {
            if let Some(session) = self.hub.sessions.get_mut(&sid)
                && session.sockets.is_empty()
                && !session.door.echo
            {
                session.connect_by = Some(session.heard_at.plus(timeout));
            }
        }
        // Once it is known who is still here.
        for record in lost {
            for room in record.rooms.keys() {
                self.leave_room(sql, now, room, &record.claims.user, true)?;
            }
            self.hub.sockets.lose(record);
        }
        Ok(())
    }

    /// After a wake: how far this object's sockets are in the rooms elsewhere.
    pub(super) fn find_positions(&mut self, sql: &dyn Sql) -> Result<(), StorageError> {
        if self.knows_positions {
            return Ok(());
        }
        self.knows_positions = true;
        for (room, link) in self.hub.links.iter_mut() {
            let latest = self.journal.latest(sql, room)?;
            link.position = latest.or(link.position.take());
        }
        Ok(())
    }

    /// A socket's wire is gone. It may come back, here or elsewhere.
    pub(super) fn lose(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        grace: bool,
    ) -> Result<(), StorageError> {
        let Some(Socket {
            mut record, stage, ..
        }) = self.take_away(sql, now, key, grace, "transport close")?
        else {
            return Ok(());
        };
        // Nobody was told of it yet.
        if matches!(stage, Stage::Connecting { .. }) {
            return Ok(());
        }
        if self.hub.sockets.lost.len() >= MAX_LOST_SOCKETS {
            return record.forget(sql);
        }
        record.lost_at = Some(now);
        record.store(sql)?;
        self.hub.sockets.lose(record);
        Ok(())
    }

    /// A socket is over for good. With `grace` its client wanted that.
    pub(super) fn end_socket(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        grace: bool,
    ) -> Result<(), StorageError> {
        let reason = if grace {
            "client namespace disconnect"
        } else {
            "server namespace disconnect"
        };
        match self.take_away(sql, now, key, grace, reason)? {
            Some(socket) => socket.record.forget(sql),
            None => Ok(()),
        }
    }

    /// Its namespace says goodbye, and it is in no room any more.
    fn take_away(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        grace: bool,
        reason: &str,
    ) -> Result<Option<Socket>, StorageError> {
        let actions = self.with_client(key, now, |n, client| n.disconnect(client));
        let sends = actions
            .into_iter()
            .flatten()
            .filter(|a| matches!(a, Action::Send { .. }));
        self.act(sql, now, key, "disconnect", None, sends.collect())?;
        let Some(socket) = self.hub.sockets.remove(key) else {
            return Ok(None);
        };
        if matches!(socket.stage, Stage::Connected) {
            self.note_gone(now, &socket.record, reason);
        }
        self.hub.watch.gone(key);
        for room in socket.record.rooms.keys() {
            self.leave_room(sql, now, room, &socket.record.claims.user, grace)?;
        }
        Ok(Some(socket))
    }

    /// Tokens that have run out.
    pub(super) fn sockets_due(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        for key in self.hub.sockets.expired(now) {
            self.token_expired(sql, now, key)?;
        }
        Ok(())
    }

    /// A socket does not outlive its token. Where it was its session's last one the wire is closed,
    /// so that its client comes back by itself, with a new token if it has one.
    fn token_expired(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(());
        };
        let sid = socket.record.session.clone();
        self.tell_error(key, None, Code::TokenExpired, "the token has expired");
        let sessions = &self.hub.sessions;
        if sessions
            .get(&sid)
            .is_some_and(|session| session.sockets.len() > 1)
        {
            return self.disconnect_socket(sql, now, key);
        }
        self.close_session(sql, now, &sid, DisconnectReason::TokenExpired)
    }

    /// When what is lost is forgotten.
    pub(super) fn lost_until(&self, record: &Record, now: Timestamp) -> Timestamp {
        let window = self.environment.config.recovery_window_ms;
        let ms = match &record.moved_to {
            Some(_) => MOVED_SESSION_MS,
            None if record.pid.is_some() => window.max(LOST_SOCKET_MS),
            None => LOST_SOCKET_MS,
        };
        record.lost_at.unwrap_or(now).plus(ms)
    }

    /// How long the journal is kept: who may still come back was cut at most so long before.
    pub(super) fn journal_ms(&self) -> u64 {
        let slack = self.heartbeat.notices_within().max(LOST_SOCKET_MS);
        let window = self.environment.config.recovery_window_ms;
        window.saturating_add(slack)
    }

    /// Forgets what was lost too long ago, and old numbers. What was lost before this machine was
    /// built may have left its rooms untold: they are told now.
    pub(super) fn forget_lost(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let lost = self.hub.sockets.lost.iter();
        let over = lost.filter(|(_, record)| self.lost_until(record, now) <= now);
        let over: Vec<String> = over.map(|(key, _)| key.clone()).collect();
        for key in over {
            self.forget_one(sql, now, &key)?;
        }
        // What is pruned has been seen by everyone who may still come back: their wires were cut later.
        // When those were cut that a crash took is not known.
        let lost = self.hub.sockets.lost.values();
        let mut by_crash = lost.filter(|record| record.pid.is_some() && record.moved_to.is_none());
        if by_crash.any(|record| record.lost_at.is_some_and(|at| at <= self.opened_at)) {
            return Ok(());
        }
        let cutoff = now.minus(self.journal_ms());
        let lost = self.hub.sockets.lost.values();
        let lost: HashSet<&RoomName> = lost.flat_map(|record| record.rooms.keys()).collect();
        let (links, sockets) = (&self.hub.links, &self.hub.sockets);
        self.journal.prune(sql, cutoff, |room| {
            // To this very object there is no link.
            links.find(room).is_some() || sockets.any_in(room) || lost.contains(room)
        })
    }

    fn forget_one(&mut self, sql: &dyn Sql, now: Timestamp, key: &str) -> Result<(), StorageError> {
        let Some(record) = self.hub.sockets.lost.remove(key) else {
            return Ok(());
        };
        record.forget(sql)?;
        let untold = record.lost_at.is_some_and(|at| at <= self.opened_at);
        for room in record.rooms.keys().filter(|_| untold) {
            self.leave_room(sql, now, room, &record.claims.user, false)?;
        }
        Ok(())
    }

    /// What was lost of a user's sockets in a room does not come back.
    pub(super) fn forget_lost_of(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        user: &UserId,
    ) -> Result<(), StorageError> {
        let lost = self.hub.sockets.lost.iter();
        let theirs = lost
            .filter(|(_, record)| record.claims.user == *user && record.rooms.contains_key(room));
        let theirs: Vec<String> = theirs.map(|(key, _)| key.clone()).collect();
        for key in theirs {
            self.forget_one(sql, now, &key)?;
        }
        Ok(())
    }

    /// The sockets of a room are disconnected, wherever they are; how many users that may be
    /// elsewhere is not known, so those here are counted.
    pub(super) fn disconnect_sockets(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: Option<&UserId>,
    ) -> Result<usize, StorageError> {
        let room = self.room.name.clone();
        let elsewhere = self.room.roster.held_elsewhere(user);
        let notice = crate::wire::Notice::Disconnect {
            user: user.cloned(),
        };
        self.room.links.tell(notice, self.room.head());
        let here = self.kick_sockets(sql, now, &room, user)?;
        Ok(here.saturating_add(elsewhere))
    }
}
