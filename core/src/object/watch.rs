//! Admins who watch: `/admin`, as npm `@socket.io/admin-ui` speaks it.
//!
//! An admin's object asks each lobby once what it holds. From then on a lobby to which something happens,
//! and which is awake for that, says so. Nobody is asked again, nothing is renewed, and no heartbeat
//! has more to do: who watches while nothing happens costs nothing. What is lost on its way is made good
//! by asking everyone anew.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::{Decided, Object, links::Call, requests::to_json};
use crate::{
    error::{Code, Refusal},
    hub::{DisconnectReason, Session, Socket, SocketKey, Stage},
    limits::{MAX_SHOWN_BYTES, MAX_SHOWN_SOCKETS, MAX_WATCHED_LOBBIES},
    names::{RoomName, Timestamp},
    namespaces::{self, admin},
    storage::{Sql, StorageError},
    wire::{Change, Deed, Heard, News, Order, Request, Watched},
};

impl Object {
    // ── What happens to sockets here ─────────────────────────────────────────────────────────────

    /// A socket is connected.
    pub(super) fn note_connected(&mut self, now: Timestamp, key: SocketKey) {
        let Some(socket) = self.hub.sockets.get(key) else {
            return;
        };
        let is_admin = namespaces::watches(&socket.record.namespace);
        if is_admin {
            self.hub.watch.admins.insert(key);
        }
        if self.hub.watch.is_watched()
            && let Some(shown) = self.shown(key)
        {
            self.hub.watch.note(|| admin::connected(&shown, now));
        }
        if is_admin {
            self.gather();
        }
    }

    /// It has joined a room, or is in it no longer.
    pub(super) fn note_moved(
        &mut self,
        now: Timestamp,
        key: SocketKey,
        room: &RoomName,
        is_in: bool,
    ) {
        if let Some(Socket { record, .. }) = self.hub.sockets.get(key) {
            let (namespace, id) = (&record.namespace, &record.id);
            let moved = || admin::moved(namespace, room, id, is_in, now);
            self.hub.watch.note(moved);
        }
    }

    /// It polls no longer.
    pub(super) fn note_upgraded(&mut self, key: SocketKey) {
        if let Some(Socket { record, .. }) = self.hub.sockets.get(key) {
            let upgraded = || admin::upgraded(&record.namespace, &record.id);
            self.hub.watch.note(upgraded);
        }
    }

    /// A socket as an admin sees it.
    fn shown(&self, key: SocketKey) -> Option<Box<RawValue>> {
        let socket = self.hub.sockets.get(key)?;
        let record = &socket.record;
        let polls = self.hub.sessions.get(&record.session);
        let polls = polls.is_some_and(|session| session.is_polling);
        let rooms = record.rooms.keys();
        let rooms = rooms.filter(|room| !namespaces::is_internal(room));
        let claims = &record.claims;
        Some(admin::socket(&admin::Shown {
            id: &record.id,
            client_id: Session::public_part(&record.session),
            transport: if polls {
                admin::POLLING
            } else {
                admin::WEBSOCKET
            },
            nsp: &record.namespace,
            data: admin::Whose {
                user_id: &claims.user,
                name: claims.name.as_deref(),
                role: claims.role.as_deref(),
            },
            handshake: admin::Handshake {
                address: &self.room.name,
                issued: record.opened_at,
                headers: admin::Nothing {},
                query: admin::Nothing {},
            },
            rooms: rooms.map(RoomName::as_str).collect(),
        }))
    }

    fn stats_of_sessions(&mut self, now: Timestamp) -> Change {
        let (sessions, name) = (&mut self.hub.sessions, &self.room.name);
        let polling = sessions.len().saturating_sub(sessions.on_websocket());
        admin::stats(&admin::Stats {
            server_id: name,
            hostname: name,
            pid: 0,
            uptime: now.0.saturating_sub(self.opened_at.0).div_euclid(1000),
            clients_count: sessions.len(),
            polling_clients_count: polling,
        })
    }

    /// All that is here, as far as it is shown.
    fn all_here(&mut self, now: Timestamp) -> Watched {
        let connected = self.hub.sockets.iter();
        let connected = connected.filter(|(_, s)| matches!(s.stage, Stage::Connected));
        let keys: Vec<SocketKey> = connected.map(|(key, _)| key).collect();
        let first = keys.iter().take(MAX_SHOWN_SOCKETS);
        let sockets = first.filter_map(|key| self.shown(*key)).collect();
        Watched {
            at: self.hub.watch.last(),
            sockets,
            count: keys.len(),
            stats: self.stats_of_sessions(now),
        }
    }

    /// At the end of a turn: what has happened is told to the admins here, and to the objects of others.
    pub(super) fn tell_admins(&mut self, now: Timestamp) {
        if !self.hub.watch.is_watched() {
            return;
        }
        if self.hub.watch.has_changes() {
            let stats = self.stats_of_sessions(now);
            self.hub.watch.note(|| stats);
        }
        let (first, changes) = self.hub.watch.take_changes();
        let name = self.room.name.clone();
        self.show(&name, first, changes);
        self.show_gathered(now);
        for (by, news) in self.hub.watch.news(&name, now) {
            let call = Call::News(by.clone());
            self.ask(by, &Request::News(news), call);
        }
    }

    /// An admin watches from that object: all that is here, and from now on what happens.
    pub(super) fn watched_by(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        by: &RoomName,
    ) -> Decided<String> {
        Ok(if self.hub.watch.watched_by(sql, by)? {
            Ok(to_json(&self.all_here(now)))
        } else {
            let message = "this object is watched from too many others";
            Err(Refusal::new(Code::RateLimited, message))
        })
    }

    // ── What the admins here are shown ───────────────────────────────────────────────────────────

    fn other_lobbies(&self) -> BTreeSet<RoomName> {
        let lobbies = self.environment.config.lobbies.min(MAX_WATCHED_LOBBIES);
        let lobbies = (0..lobbies).map(RoomName::lobby);
        lobbies.filter(|lobby| *lobby != self.room.name).collect()
    }

    /// All lobbies are asked what they hold.
    fn gather(&mut self) {
        self.last_call = self.last_call.saturating_add(1);
        let (number, lobbies) = (self.last_call, self.other_lobbies());
        self.hub.watch.gather(number, lobbies.clone());
        for object in lobbies {
            let by = self.room.name.clone();
            let call = Call::Watch {
                object: object.clone(),
                number,
            };
            self.ask(object, &Request::Watch { by }, call);
        }
    }

    /// Once all have said what they hold, the admins here are told it: a list, as far as it goes into one
    /// frame, and the others one by one.
    fn show_gathered(&mut self, now: Timestamp) {
        if !self.hub.watch.is_gathered() {
            return;
        }
        let name = self.room.name.clone();
        let here = self.all_here(now);
        let Some((mut gathering, held)) = self.hub.watch.take_gathered(&name, here) else {
            return;
        };
        gathering.sockets.truncate(MAX_SHOWN_SOCKETS);
        let most = self.environment.config.max_payload_bytes;
        let most = most.div_euclid(2).min(MAX_SHOWN_BYTES);
        let mut bytes = 0_usize;
        let fits = gathering.sockets.iter().take_while(|socket| {
            bytes = bytes.saturating_add(socket.get().len());
            bytes <= most
        });
        let (list, others) = gathering.sockets.split_at(fits.count());
        let others = others.iter().map(|socket| admin::connected(socket, now));
        let all = [admin::all_sockets(list)].into_iter().chain(others);
        for change in all.chain(gathering.stats).chain(held) {
            self.tell_each_admin(&change);
        }
        if gathering.count > gathering.sockets.len() {
            let (shown, count) = (gathering.sockets.len(), gathering.count);
            let message = format!("{shown} of {count} sockets are shown");
            self.warn_admins(Code::PayloadTooLarge, &message);
        }
        if self.environment.config.lobbies > MAX_WATCHED_LOBBIES {
            let message = format!("the first {MAX_WATCHED_LOBBIES} lobbies are shown");
            self.warn_admins(Code::PayloadTooLarge, &message);
        }
        for object in gathering.silent {
            let message = format!("{object} has not said what it holds");
            self.warn_admins(Code::Unavailable, &message);
        }
    }

    fn tell_each_admin(&mut self, Change { event, args }: &Change) {
        let admins: Vec<SocketKey> = self.hub.watch.admins.iter().copied().collect();
        for key in admins {
            self.emit(key, event, args.clone(), false);
        }
    }

    fn warn_admins(&mut self, code: Code, message: &str) {
        let admins: Vec<SocketKey> = self.hub.watch.admins.iter().copied().collect();
        for key in admins {
            self.tell_error(key, None, code, message);
        }
    }

    /// What has happened at an object, this one or another.
    fn show(&mut self, from: &RoomName, first: u64, changes: Vec<Change>) {
        match self.hub.watch.heard(from, first, changes) {
            Some(changes) => changes.iter().for_each(|c| self.tell_each_admin(c)),
            None => self.gather(),
        }
    }

    /// What another object says has happened there.
    pub(super) fn heard_news(&mut self, news: &News) -> Heard {
        let watching = !self.hub.watch.admins.is_empty();
        if watching {
            self.show(&news.from, news.first, news.changes.clone());
            if news.lost {
                self.gather();
            }
        }
        Heard { watching }
    }

    // ── What admins want done ────────────────────────────────────────────────────────────────────

    /// An admin's order, carried out here and by every lobby.
    pub(super) fn administer(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        order: &Order,
    ) -> Result<(), StorageError> {
        for lobby in self.other_lobbies() {
            let request = Request::Administer(order.clone());
            self.ask(lobby, &request, Call::Administer);
        }
        self.obey(sql, now, order)
    }

    /// The same for the sockets here.
    pub(super) fn obey(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        order: &Order,
    ) -> Result<(), StorageError> {
        let sockets = &self.hub.sockets;
        let keys: Vec<SocketKey> = match (sockets.of_id(&order.whom), RoomName::parse(&order.whom))
        {
            (Some(key), _) => vec![key],
            (None, Ok(room)) => sockets.members(&room).map(|(key, _)| key).collect(),
            (None, Err(_)) => Vec::new(),
        };
        for key in keys {
            let Some(Socket { record, .. }) = self.hub.sockets.get(key) else {
                continue;
            };
            if record.namespace != order.namespace {
                continue;
            }
            match &order.deed {
                Deed::Disconnect { client: false } => self.disconnect_socket(sql, now, key)?,
                Deed::Disconnect { client: true } => {
                    let sid = record.session.clone();
                    self.disconnect_client(sql, now, &sid)?;
                }
                Deed::Leave(room) => self.put_out(sql, now, key, room)?,
            }
        }
        Ok(())
    }

    /// All sockets of a session, which do not come back by themselves, and its wire.
    fn disconnect_client(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
    ) -> Result<(), StorageError> {
        let session = self.hub.sessions.get(sid);
        let sockets = session.into_iter().flat_map(|s| s.sockets.values());
        let sockets: Vec<SocketKey> = sockets.copied().collect();
        for key in sockets {
            self.disconnect_socket(sql, now, key)?;
        }
        self.close_session(sql, now, sid, DisconnectReason::Kicked)
    }
}
