//! Connection state recovery: a client comes back with the `pid` of its last session and the last
//! offset that it saw.
//!
//! The object that held the session says which rooms it was in and how far it was in each; those
//! rooms are joined again from there, and what they give is what was missed. That object may be this
//! one or another: the offset names it, or the pid where no offset was seen yet.

use super::{
    Object,
    ids::{home_of, home_of_offset},
    links::Call,
};
use crate::{
    event::Args,
    event::Publication,
    hub::{DisconnectReason, Held, Purpose, Recovery, SocketKey, Stage},
    metrics::{Count, Recovery as Why},
    names::{RoomName, Timestamp},
    storage::{Sql, StorageError},
    wire::{Recover, Recovered, Remains, Request, WasIn},
};

/// How many objects a session is looked for in.
const MAX_HOPS: u32 = 3;

/// The object that gave the client's last offset, or its pid.
fn first_home(pid: &str, offset: Option<&str>) -> Option<RoomName> {
    offset.map_or_else(|| home_of(pid), home_of_offset)
}

impl Object {
    /// A client wants to go on with its session.
    pub(super) fn recover(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        pid: String,
        offset: Option<String>,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(());
        };
        // A client that came here and has seen nothing since still has the offset that it came with.
        let live = self.hub.sockets.of_pid(&pid);
        let live = live.and_then(|key| self.hub.sockets.get(key));
        let here = live.map(|s| &s.record).or(self.hub.sockets.lost.get(&pid));
        let is_here = here.is_some_and(|record| {
            record.moved_to.is_none() && offset.is_some() && record.came_with == offset
        });
        let home = if is_here {
            Some(self.room.name.clone())
        } else {
            first_home(&pid, offset.as_deref())
        };
        let recover = Recover {
            pid,
            offset,
            user: socket.record.claims.user.clone(),
            namespace: socket.record.namespace.clone(),
            to: self.room.name.clone(),
            even_if_moved: false,
        };
        match home {
            Some(home) => self.ask_for_remains(sql, now, key, home, recover, 0),
            None => self.begin_for_want_of(sql, now, key, Why::Unknown),
        }
    }

    fn ask_for_remains(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        home: RoomName,
        recover: Recover,
        hops: u32,
    ) -> Result<(), StorageError> {
        if home == self.room.name {
            let answer = self.give_up(sql, now, &recover)?;
            return self.recover_answered(sql, now, key, recover, hops, Some(answer), true);
        }
        let request = Request::Recover(recover.clone());
        self.ask(home, &request, Call::Recover { key, recover, hops });
        Ok(())
    }

    /// What this object knows of a session that `recover.to` takes over.
    pub(super) fn give_up(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        recover: &Recover,
    ) -> Result<Recovered, StorageError> {
        // The client is back before its loss was noticed.
        if let Some(key) = self.hub.sockets.of_pid(&recover.pid)
            && let Some(socket) = self.hub.sockets.get(key)
            && socket.record.claims.user == recover.user
        {
            let sid = socket.record.session.clone();
            self.close_session(sql, now, &sid, DisconnectReason::Replaced)?;
        }
        let window = self.environment.config.recovery_window_ms;
        let Some(record) = self.hub.sockets.lost.get(&recover.pid) else {
            return Ok(Recovered::Over(Why::Unknown));
        };
        if record.claims.user != recover.user || record.namespace != recover.namespace {
            return Ok(Recovered::Over(Why::Unknown));
        }
        if let Some(object) = &record.moved_to
            && *object != recover.to
            && !recover.even_if_moved
        {
            return Ok(Recovered::Moved(object.clone()));
        }
        let is_over = record.lost_at.is_none_or(|at| at.plus(window) < now);
        // What it has seen here; none if that is nothing, since it connected or came from elsewhere.
        let seen = match &recover.offset {
            None => None,
            offset if *offset == record.came_with => None,
            Some(offset) => match self.journal.number(offset) {
                Some(number) if number <= self.journal.last() => Some(number),
                _ => return Ok(Recovered::Over(Why::Epoch)),
            },
        };
        if is_over {
            return Ok(Recovered::Over(Why::WindowOver));
        }
        let number = seen.unwrap_or(record.began);
        let Some(missed) = self.journal.direct_after(sql, &record.id, number)? else {
            return Ok(Recovered::Over(Why::Pruned));
        };
        let mut rooms = Vec::new();
        for (room, membership) in &record.rooms {
            let position = match seen {
                Some(number) => {
                    let reached = self.journal.reached(sql, room, number)?;
                    membership.reached(number, reached)
                }
                None => membership.floors.first().map(|f| f.position.clone()),
            };
            if let Some(position) = position {
                rooms.push(WasIn {
                    room: room.clone(),
                    position,
                    entry: membership.entry,
                });
            }
        }
        let remains = Remains {
            sid: record.id.clone(),
            number,
            rooms,
            missed,
        };
        if recover.to != self.room.name {
            let mut moved = record.clone();
            moved.moved_to = Some(recover.to.clone());
            moved.store(sql)?;
            self.hub.sockets.lose(moved);
        }
        Ok(Recovered::Found(Box::new(remains)))
    }

    /// `is_own`: the answer is this object's.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn recover_answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        recover: Recover,
        hops: u32,
        answer: Option<Recovered>,
        is_own: bool,
    ) -> Result<(), StorageError> {
        let answer = match answer {
            Some(Recovered::Gone) => Some(Recovered::Over(Why::Unknown)),
            answer => answer,
        };
        match answer {
            Some(Recovered::Found(remains)) => self.go_on(sql, now, key, recover, *remains, is_own),
            Some(Recovered::Moved(to)) if hops < MAX_HOPS => {
                self.ask_for_remains(sql, now, key, to, recover, hops.saturating_add(1))
            }
            // It was cut on its way there.
            Some(Recovered::Over(why)) if hops > 0 && !recover.even_if_moved => {
                match first_home(&recover.pid, recover.offset.as_deref()) {
                    Some(home) => {
                        let recover = Recover {
                            even_if_moved: true,
                            ..recover
                        };
                        self.ask_for_remains(sql, now, key, home, recover, hops)
                    }
                    None => self.begin_for_want_of(sql, now, key, why),
                }
            }
            Some(Recovered::Over(why)) => self.begin_for_want_of(sql, now, key, why),
            Some(Recovered::Moved(_) | Recovered::Gone) | None => {
                self.begin_for_want_of(sql, now, key, Why::Unreachable)
            }
        }
    }

    /// There is nothing to go on with: the socket begins as a new one.
    fn begin_for_want_of(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        why: Why,
    ) -> Result<(), StorageError> {
        self.count(Count::Recoveries(why), 1);
        self.begin(sql, now, key, None)
    }

    /// The session goes on here: its rooms are joined again from where it was.
    fn go_on(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        recover: Recover,
        remains: Remains,
        is_own: bool,
    ) -> Result<(), StorageError> {
        let Remains {
            sid,
            number,
            rooms,
            missed,
        } = remains;
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(());
        };
        let own = (socket.record.session.clone(), socket.record.opened_at);
        let other = self.hub.sockets.of_pid(&recover.pid);
        let other = other.and_then(|other| Some((other, self.hub.sockets.get(other)?)));
        let replaced = match other {
            // Its client was cut while it waited, and came back on another wire that was answered sooner.
            Some((other, _)) if key < other => Some(own.0),
            Some((_, socket)) => Some(socket.record.session.clone()),
            None => {
                let lost = self.hub.sockets.lost.get(&recover.pid);
                let is_late = lost.is_some_and(|r| r.moved_to.is_none() && r.opened_at > own.1);
                is_late.then_some(own.0)
            }
        };
        if let Some(sid) = replaced {
            self.close_session(sql, now, &sid, DisconnectReason::Replaced)?;
        }
        if self.hub.sockets.get(key).is_none() {
            return Ok(());
        }
        let last = self.journal.last();
        // Numbers of another object mean nothing here.
        let here = self.hub.sockets.lost.get(&recover.pid);
        let here = here.filter(|record| is_own && record.moved_to.is_none());
        let (from, began, came_with) = match here {
            Some(record) => (number, record.began, record.came_with.clone()),
            None => {
                // Should it be cut again before it has seen any of this.
                for direct in &missed {
                    self.journal.direct(&sid, &direct.event, &direct.args);
                }
                (last, last, recover.offset)
            }
        };
        // What it missed it has seen only if it comes back with this number, or a later one.
        let at = self.journal.moment();
        self.hub.sockets.rename(key, sid, recover.pid);
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return Ok(());
        };
        socket.record.began = began;
        socket.record.came_with = came_with;
        let missed = missed.into_iter().map(|direct| Held {
            number: at,
            at: direct.at,
            event: direct.event,
            args: direct.args,
            of: None,
        });
        socket.stage = Stage::Connecting {
            // One for now, so that none of the rooms is the last before all have been asked.
            joins: rooms.len().saturating_add(1),
            recovery: Some(Recovery {
                from,
                at,
                missed: missed.collect(),
                failed: false,
            }),
        };
        for WasIn {
            room,
            position,
            entry,
        } in rooms
        {
            let purpose = Purpose::Recover(entry);
            self.join(sql, now, key, &room, purpose, Some(position))?;
        }
        self.one_join_less(sql, now, key)
    }

    /// For a recovering socket, the numbers at which it was where it was, and at which it has what
    /// it missed.
    pub(super) fn recovers_at(&self, key: SocketKey) -> Option<(u64, u64)> {
        match &self.hub.sockets.get(key)?.stage {
            Stage::Connecting { recovery, .. } => recovery.as_ref().map(|r| (r.from, r.at)),
            Stage::Connected => None,
        }
    }

    /// A room has given what a recovering socket missed of it; `recent` went by since.
    pub(super) fn rejoined(
        &mut self,
        key: SocketKey,
        room: &RoomName,
        missed: Option<Vec<Publication>>,
        recent: impl Iterator<Item = Publication>,
    ) {
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return;
        };
        let Stage::Connecting {
            recovery: Some(recovery),
            ..
        } = &mut socket.stage
        else {
            return;
        };
        match missed {
            None => recovery.failed = true,
            Some(missed) => {
                let number = recovery.at;
                let all = missed.into_iter().chain(recent).map(|publication| Held {
                    number,
                    at: publication.at,
                    event: publication.event,
                    args: publication.args,
                    of: Some((room.clone(), publication.audience)),
                });
                recovery.missed.extend(all);
            }
        }
    }

    /// A recovering socket is told this behind what it missed.
    pub(super) fn told_on_recovery(
        &mut self,
        key: SocketKey,
        now: Timestamp,
        event: String,
        args: Args,
    ) {
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return;
        };
        if let Stage::Connecting {
            recovery: Some(recovery),
            ..
        } = &mut socket.stage
        {
            recovery.missed.push(Held {
                number: recovery.at,
                at: now,
                event,
                args,
                of: None,
            });
        }
    }

    /// A recovery that came to nothing: the socket begins as a new one.
    pub(super) fn begin_anew(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
    ) -> Result<(), StorageError> {
        let (id, pid) = (self.ids.random(), self.ids.at_home(&self.room.name));
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return Ok(());
        };
        let old = socket.record.pid.clone();
        let rooms: Vec<RoomName> = socket.record.rooms.keys().cloned().collect();
        let user = socket.record.claims.user.clone();
        for room in rooms {
            self.hub.sockets.leave(key, &room);
            self.leave_room(sql, now, &room, &user, false)?;
        }
        if let Some(record) = old.and_then(|pid| self.hub.sockets.lost.remove(&pid)) {
            record.forget(sql)?;
        }
        self.hub.sockets.rename(key, id, pid);
        if let Some(socket) = self.hub.sockets.get_mut(key) {
            socket.record.began = self.journal.last();
            socket.record.came_with = None;
            socket.held.clear();
            socket.unstored.clear();
            socket.stage = Stage::Connecting {
                joins: 1,
                recovery: None,
            };
        }
        self.begin_for_want_of(sql, now, key, Why::Pruned)
    }
}
