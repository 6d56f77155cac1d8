//! Admins who watch: `/admin`, as npm `@socket.io/admin-ui` speaks it.
//!
//! An admin's object asks each lobby once what it holds. From then on a lobby to which something happens,
//! and which is awake for that, says so. Nobody is asked again, nothing is renewed, and no heartbeat
//! has more to do: who watches while nothing happens costs nothing. What is lost on its way is made good
//! by asking everyone anew.

use super::{Decided, Object, links::Call, requests::to_json};
use crate::{
    error::{Code, Refusal},
    event::Args,
    hub::{DisconnectReason, Record, Session, Socket, SocketKey, Stage},
    limits::{MAX_SHOWN_BYTES, MAX_SHOWN_SOCKETS, MAX_WATCHED_LOBBIES},
    names::{RoomName, Timestamp},
    namespaces::{
        self, Action,
        admin::{self, Deed, Order},
    },
    storage::{Sql, StorageError},
    wire::{Kept, News, Pushed, Request},
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
            self.hub.watch.admins.push(key);
        }
        if self.hub.watch.is_watched()
            && let Some(Args::One(shown)) = self.shown(key).map(|shown| shown.args)
        {
            self.hub.watch.note(admin::connected(&shown, now));
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
        if self.hub.watch.is_watched()
            && let Some(Socket { record, .. }) = self.hub.sockets.get(key)
        {
            let moved = admin::moved(&record.namespace, room, &record.id, is_in, now);
            self.hub.watch.note(moved);
        }
    }

    /// It polls no longer.
    pub(super) fn note_upgraded(&mut self, key: SocketKey) {
        if self.hub.watch.is_watched()
            && let Some(Socket { record, .. }) = self.hub.sockets.get(key)
        {
            let upgraded = admin::upgraded(&record.namespace, &record.id);
            self.hub.watch.note(upgraded);
        }
    }

    /// Its wire is gone, or it is.
    pub(super) fn note_gone(&mut self, now: Timestamp, record: &Record, reason: &str) {
        if self.hub.watch.is_watched() {
            let gone = admin::disconnected(&record.namespace, &record.id, reason, now);
            self.hub.watch.note(gone);
        }
    }

    /// A socket as an admin sees it.
    fn shown(&self, key: SocketKey) -> Option<Kept> {
        let record = &self.hub.sockets.get(key)?.record;
        let session = self.hub.sessions.get(&record.session);
        let mut rooms = "[".to_owned();
        for room in record.rooms.keys() {
            if !namespaces::is_internal(room) {
                if rooms.len() > 1 {
                    rooms.push(',');
                }
                rooms.push('"');
                rooms.push_str(room.as_str());
                rooms.push('"');
            }
        }
        rooms.push(']');
        Some(admin::socket(&admin::Shown {
            id: &record.id,
            client: Session::public_part(&record.session),
            polls: session.is_some_and(|session| session.is_polling),
            namespace: &record.namespace,
            claims: &record.claims,
            home: &self.room.name,
            since: record.opened_at,
            rooms,
        }))
    }

    fn stats_of_sessions(&mut self, now: Timestamp) -> Kept {
        let uptime_s = now.0.saturating_sub(self.opened_at.0).div_euclid(1000);
        let sessions = &mut self.hub.sessions;
        let polling = sessions.polling();
        admin::stats(&self.room.name, uptime_s, sessions.len(), polling)
    }

    /// All that is here, as far as it is shown.
    fn all_here(&mut self, now: Timestamp) -> News {
        let (mut events, mut count) = (Vec::new(), 0_usize);
        for (key, socket) in self.hub.sockets.iter() {
            if matches!(socket.stage, Stage::Connected) {
                count = count.saturating_add(1);
                if count <= MAX_SHOWN_SOCKETS
                    && let Some(shown) = self.shown(key)
                {
                    events.push(shown);
                }
            }
        }
        if count > MAX_SHOWN_SOCKETS {
            events.push(not_all(count, &format!("sockets of {}", self.room.name)));
        }
        events.push(self.stats_of_sessions(now));
        News {
            from: self.room.name.clone(),
            last: self.hub.watch.last(),
            events,
            lost: false,
        }
    }

    /// At the end of a turn: what has happened is told to the admins here, and to the objects of others.
    pub(super) fn tell_admins(&mut self, now: Timestamp) {
        if !self.hub.watch.is_watched() {
            return;
        }
        if self.hub.watch.has_changes() {
            let stats = self.stats_of_sessions(now);
            self.hub.watch.note(stats);
        }
        let events = self.hub.watch.take_changes();
        let name = self.room.name.clone();
        if !self.hub.watch.admins.is_empty() {
            self.show(News {
                from: name.clone(),
                last: self.hub.watch.last(),
                events,
                lost: false,
            });
            self.show_gathered(now);
        }
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

    fn other_lobbies(&self) -> Vec<RoomName> {
        let mut others = Vec::new();
        for number in 0..self.environment.config.lobbies.min(MAX_WATCHED_LOBBIES) {
            let lobby = RoomName::lobby(number);
            if lobby != self.room.name {
                others.push(lobby);
            }
        }
        others
    }

    /// All lobbies are asked what they hold.
    fn gather(&mut self) {
        let (number, lobbies) = (self.next_number(), self.other_lobbies());
        self.hub.watch.gather(number, lobbies.clone());
        for object in lobbies {
            let by = self.room.name.clone();
            let call = Call::Watch {
                object: object.clone(),
                number,
            };
            self.ask(object, &Request::Watch(by), call);
        }
    }

    /// A lobby has said what it holds, or has not.
    pub(super) fn lobby_gathered(&mut self, number: u64, object: &RoomName, news: Option<News>) {
        let warning = || {
            let message = format!("{object} has not said what it holds");
            admin::warning(Code::Unavailable, &message)
        };
        let news = news.ok_or_else(warning);
        self.hub.watch.gathered(number, object, news);
    }

    /// Once all have, the admins here are told it: a list, as far as it goes into one frame, and the
    /// others one by one.
    fn show_gathered(&mut self, now: Timestamp) {
        if !self.hub.watch.is_gathered() {
            return;
        }
        let here = self.all_here(now);
        let Some((all, held)) = self.hub.watch.take_gathered(here) else {
            return;
        };
        let (mut sockets, mut others) = (Vec::new(), Vec::new());
        for kept in all {
            match kept {
                Kept {
                    event,
                    args: Args::One(socket),
                } if event == admin::ALL_SOCKETS => sockets.push(socket),
                other => others.push(other),
            }
        }
        let lobbies = self.environment.config.lobbies;
        if lobbies > MAX_WATCHED_LOBBIES {
            let lobbies = usize::try_from(lobbies).unwrap_or(usize::MAX);
            others.push(not_all(lobbies, "lobbies"));
        }
        if sockets.len() > MAX_SHOWN_SOCKETS {
            others.push(not_all(sockets.len(), "sockets"));
            sockets.truncate(MAX_SHOWN_SOCKETS);
        }
        let most = self.environment.config.max_payload_bytes;
        let most = most.div_euclid(2).min(MAX_SHOWN_BYTES);
        let (list, rest) = admin::all_sockets(&sockets, most);
        self.tell_each_admin(&list);
        for socket in rest {
            self.tell_each_admin(&admin::connected(socket, now));
        }
        self.tell_admins_all(&others);
        self.tell_admins_all(&held);
    }

    fn tell_admins_all(&mut self, events: &[Kept]) {
        for event in events {
            self.tell_each_admin(event);
        }
    }

    fn tell_each_admin(&mut self, Kept { event, args }: &Kept) {
        for key in self.hub.watch.admins.clone() {
            self.emit(key, event, args.clone(), false);
        }
    }

    /// What has happened at an object, this one or another.
    fn show(&mut self, news: News) {
        match self.hub.watch.heard(news) {
            Some(events) => self.tell_admins_all(&events),
            None => self.gather(),
        }
    }

    /// What another object says has happened there.
    pub(super) fn heard_news(&mut self, news: &News) -> Pushed {
        let linked = !self.hub.watch.admins.is_empty();
        if linked {
            self.show(news.clone());
            if news.lost {
                self.gather();
            }
        }
        Pushed { linked }
    }

    // ── What admins want done ────────────────────────────────────────────────────────────────────

    /// An admin's order, carried out here and by every lobby.
    pub(super) fn administer(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        order: Kept,
    ) -> Result<(), StorageError> {
        let request = Request::Administer(order.clone());
        for lobby in self.other_lobbies() {
            self.ask(lobby, &request, Call::Administer);
        }
        self.obey(sql, now, &order)
    }

    /// The same for the sockets here.
    pub(super) fn obey(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        Kept { event, args }: &Kept,
    ) -> Result<(), StorageError> {
        // It was looked at where it came from.
        let Ok(Order {
            namespace,
            whom,
            deed,
        }) = admin::order(event, args)
        else {
            return Ok(());
        };
        let mut keys = Vec::new();
        if let Some(key) = self.hub.sockets.of_id(&whom) {
            keys.push(key);
        } else if let Ok(room) = RoomName::parse(&whom) {
            for (key, _) in self.hub.sockets.members(&room) {
                keys.push(key);
            }
        }
        for key in keys {
            let Some(Socket { record, .. }) = self.hub.sockets.get(key) else {
                continue;
            };
            if record.namespace != namespace {
                continue;
            }
            match &deed {
                Deed::Join(room) => {
                    let join = vec![Action::Join(room.clone())];
                    self.act(sql, now, key, "join", None, join)?;
                }
                Deed::Leave(room) => self.put_out(sql, now, key, room)?,
                Deed::Disconnect => self.disconnect_socket(sql, now, key)?,
                Deed::DisconnectClient => {
                    let sid = record.session.clone();
                    self.disconnect_client(sql, now, &sid)?;
                }
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
        while let Some(session) = self.hub.sessions.get_mut(sid)
            && let Some((_, key)) = session.sockets.pop_first()
        {
            self.disconnect_socket(sql, now, key)?;
        }
        self.close_session(sql, now, sid, DisconnectReason::Kicked)
    }
}

/// Of so many not all are shown.
fn not_all(count: usize, what: &str) -> Kept {
    let message = format!("not all of {count} {what} are shown");
    admin::warning(Code::PayloadTooLarge, &message)
}
