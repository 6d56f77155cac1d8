//! Socket.IO sockets while they are connected: events, acks, rooms, what they are told.

use serde::Serialize;

use super::{Object, links::Route, without_grants};
use crate::{
    error::{Code, Refusal},
    event::{Args, Publication},
    hub::{AskedBy, DisconnectReason, Held, Purpose, Record, Sent, SocketKey, Stage},
    limits::MAX_HELD_EVENTS,
    names::{Epoch, Offset, RoomName, StreamPosition, Timestamp, UserId},
    namespaces::{Action, Client, Namespace, heard_in, namespace_of},
    socket_io::Packet,
    storage::{Sql, StorageError},
    wire::{Accepted, Access, Audience, Joined, Op, Question},
};

/// `{ok: true, …}`.
#[derive(Serialize)]
struct Okay<T> {
    ok: bool,
    #[serde(flatten)]
    more: T,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct AtPosition<'a> {
    room: &'a str,
    #[serde(flatten)]
    position: Option<&'a StreamPosition>,
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    offset: Offset,
    duplicate: bool,
}

#[derive(Serialize)]
struct NotOkay<'a> {
    ok: bool,
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: Code,
    message: &'a str,
}

#[derive(Serialize)]
struct ErrorEvent<'a> {
    message: &'a str,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
}

fn okay(more: impl Serialize) -> Args {
    Args::of(&Okay { ok: true, more })
}

/// A socket's event, for a room where it has this access.
pub(super) fn event_op(
    event: String,
    args: Args,
    id: Option<String>,
) -> impl FnOnce(&Record, Access) -> Op {
    move |record, access| Op::Event {
        claims: Box::new(without_grants(&record.claims)),
        access,
        event,
        args,
        id,
        socket: record.id.clone(),
    }
}

/// What an ack says of an accepted event.
fn okay_accepted(accepted: &Accepted) -> Args {
    match accepted.offset {
        Some(offset) => okay(Stored {
            id: accepted.id.as_deref(),
            offset,
            duplicate: accepted.duplicate,
        }),
        None => okay(Nothing {}),
    }
}

impl Object {
    pub(super) fn namespace(&self, key: SocketKey) -> Option<&'static dyn Namespace> {
        namespace_of(&self.hub.sockets.get(key)?.record.namespace)
    }

    /// A whole Socket.IO packet of a client's.
    pub(super) fn socket_packet(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
        packet: Packet,
    ) -> Result<(), StorageError> {
        let rate = self.environment.config.rate;
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            return Ok(());
        };
        let counts = matches!(packet, Packet::Connect { .. } | Packet::Event { .. });
        let within_rate = !counts || cfg!(feature = "conformance") || session.rate.take(now, rate);
        let namespace = match &packet {
            Packet::Connect { namespace, auth } => {
                let is_taken = session.sockets.contains_key(namespace)
                    || session.knocking.contains_key(namespace);
                if !within_rate || is_taken {
                    return self.close_session(sql, now, sid, DisconnectReason::ParseError);
                }
                let (namespace, auth) = (namespace.clone(), auth.clone());
                return self.connect(sql, now, sid, &namespace, auth.as_deref());
            }
            Packet::Disconnect { namespace }
            | Packet::Event { namespace, .. }
            | Packet::Ack { namespace, .. } => namespace,
        };
        if session.knocking.contains_key(namespace) {
            return self.while_knocking(sql, now, sid, packet, within_rate);
        }
        // As Node's server does: whoever talks to a namespace that it is not in is confused.
        let Some(key) = session.sockets.get(namespace).copied() else {
            return self.close_session(sql, now, sid, DisconnectReason::ParseError);
        };
        match packet {
            Packet::Connect { .. } => Ok(()),
            Packet::Disconnect { namespace } => {
                if let Some(session) = self.hub.sessions.get_mut(sid) {
                    session.sockets.remove(&namespace);
                }
                // Its client said goodbye: there is nothing to recover.
                self.end_socket(sql, now, key, true)
            }
            Packet::Event {
                id, event, args, ..
            } => {
                if !within_rate {
                    let refusal = Refusal::new(Code::RateLimited, "too many events; slow down");
                    self.refuse(key, &event, id, &refusal);
                    return Ok(());
                }
                let sent = Sent {
                    event,
                    args,
                    ack: id,
                };
                self.sent(sql, now, key, sent)
            }
            Packet::Ack { id, args, .. } => self.client_answered(sql, now, key, id, Some(&args)),
        }
    }

    /// An event to one socket alone; `kept` for those that a recovery is to bring again.
    pub(super) fn emit(&mut self, key: SocketKey, event: &str, args: Args, kept: bool) {
        let parser = self.environment.config.parser;
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return;
        };
        let number = if kept && socket.recovery {
            self.journal.direct(&socket.record.id, event, &args)
        } else {
            self.journal.last()
        };
        if matches!(socket.stage, Stage::Connecting { .. }) {
            socket.held.push(Held {
                number,
                at: Timestamp::default(),
                event: event.to_owned(),
                args,
                of: None,
            });
            return;
        }
        let offset = socket.recovery.then(|| self.journal.offset(number));
        let connection = socket.connection;
        let namespace = &socket.record.namespace;
        let frames = parser.event(namespace, None, event, &args, offset.as_deref());
        self.hub.send_each(&[connection], frames);
    }

    /// An event to one socket, now or never: it has no offset, and is in no journal.
    fn emit_volatile(&mut self, key: SocketKey, event: &str, args: &Args) {
        let parser = self.environment.config.parser;
        let Some(socket) = self.hub.sockets.get(key) else {
            return;
        };
        let session = self.hub.sessions.get(&socket.record.session);
        let is_ready = session.is_some_and(|s| !s.is_polling || s.poll.is_some());
        if is_ready && matches!(socket.stage, Stage::Connected) {
            let frames = parser.event(&socket.record.namespace, None, event, args, None);
            let connection = socket.connection;
            self.hub.send_each(&[connection], frames);
        }
    }

    fn ack(&mut self, key: SocketKey, ack: Option<u64>, args: &Args) {
        let (Some(id), Some(socket)) = (ack, self.hub.sockets.get(key)) else {
            return;
        };
        let parser = self.environment.config.parser;
        let frames = parser.ack(&socket.record.namespace, id, args);
        let connection = socket.connection;
        self.hub.send_each(&[connection], frames);
    }

    /// `{ok: true}`.
    pub(super) fn ack_okay(&mut self, key: SocketKey, ack: Option<u64>) {
        self.ack(key, ack, &okay(Nothing {}));
    }

    /// `{ok: false, error}` to whoever wants an ack, else the event `error`.
    pub(super) fn refuse(
        &mut self,
        key: SocketKey,
        event: &str,
        ack: Option<u64>,
        refusal: &Refusal,
    ) {
        self.count_refusal(refusal);
        let (code, message) = (refusal.code, refusal.message.as_str());
        if ack.is_some() {
            let error = ErrorObject { code, message };
            self.ack(key, ack, &Args::of(&NotOkay { ok: false, error }));
            return;
        }
        self.tell_error(key, Some(event), code, message);
    }

    /// The same of an event that storage has failed: no offset of now means anything later.
    pub(super) fn refuse_undone(
        &mut self,
        key: SocketKey,
        event: &str,
        ack: Option<u64>,
        refusal: &Refusal,
    ) {
        if ack.is_some() {
            return self.refuse(key, event, ack, refusal);
        }
        let payload = ErrorEvent {
            message: &refusal.message,
            code: refusal.code,
            event: Some(event),
        };
        self.emit_volatile(key, "error", &Args::of(&payload));
    }

    /// The event `error`.
    pub(super) fn tell_error(
        &mut self,
        key: SocketKey,
        event: Option<&str>,
        code: Code,
        message: &str,
    ) {
        let payload = ErrorEvent {
            message,
            code,
            event,
        };
        self.emit(key, "error", Args::of(&payload), false);
    }

    /// A room's publication to the sockets here that are in it.
    pub(super) fn deliver(&mut self, room: &RoomName, epoch: &Epoch, publication: &Publication) {
        let Some(offset) = publication.offset else {
            return;
        };
        // In the object's own room there may be nobody who ever asks.
        let number = if *room != self.room.name || self.has_recovery_in(room) {
            self.journal.publication(room, epoch, offset)
        } else {
            self.journal.last()
        };
        let (event, args) = (&publication.event, &publication.args);
        let audience = &publication.audience;
        self.tell_members(room, number, event, args, audience, |after| after < offset);
    }

    fn has_recovery_in(&self, room: &RoomName) -> bool {
        let mut members = self.hub.sockets.members(room);
        members.any(|(key, _)| self.hub.sockets.get(key).is_some_and(|s| s.recovery))
    }

    /// A room's ephemeral event to the sockets here that are in it.
    pub(super) fn deliver_ephemeral(
        &mut self,
        room: &RoomName,
        event: &str,
        args: &Args,
        audience: &Audience,
    ) {
        let number = self.journal.last();
        self.tell_members(room, number, event, args, audience, |_| true);
    }

    /// An event to those of a room's sockets here that it is for, encoded once for those with offsets
    /// and once for those without. `is_new` says whether it is, to one who joined at that offset.
    fn tell_members(
        &mut self,
        room: &RoomName,
        number: u64,
        event: &str,
        args: &Args,
        audience: &Audience,
        is_new: impl Fn(Offset) -> bool,
    ) {
        if !self.hub.sockets.any_in(room) {
            return;
        }
        let parser = self.environment.config.parser;
        let namespace = heard_in(room, event, audience);
        let count = self.hub.sockets.count_in(room);
        let mut plain = Vec::with_capacity(count);
        let mut with_offset = Vec::with_capacity(count);
        let mut held = Vec::new();
        for (key, after) in self.hub.sockets.members(room) {
            let Some(socket) = self.hub.sockets.get(key) else {
                continue;
            };
            if !is_new(after) {
                continue;
            }
            match &socket.stage {
                // In which rooms it is will be known when it is connected.
                Stage::Connecting { .. } => held.push(key),
                Stage::Connected if !socket.record.gets(room, namespace, audience) => {}
                Stage::Connected if socket.recovery => with_offset.push(socket.connection),
                Stage::Connected => plain.push(socket.connection),
            }
        }
        let offset = self.journal.offset(number);
        for (connections, offset) in [(plain, None), (with_offset, Some(&*offset))] {
            if !connections.is_empty() {
                let frames = parser.event(namespace, None, event, args, offset);
                self.hub.send_each(&connections, frames);
            }
        }
        for key in held {
            if let Some(socket) = self.hub.sockets.get_mut(key) {
                socket.held.push(Held {
                    number,
                    at: Timestamp::default(),
                    event: event.to_owned(),
                    args: args.clone(),
                    of: Some((room.clone(), audience.clone())),
                });
            }
        }
    }

    // ── What clients send ──

    pub(super) fn sent(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        sent: Sent,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return Ok(());
        };
        // A client that sends to a room right after it asked to join is in it by then.
        let waits = socket.joining > 0 || matches!(socket.stage, Stage::Connecting { .. });
        if !waits {
            return self.event(sql, now, key, sent);
        }
        if socket.waiting.len() >= MAX_HELD_EVENTS {
            let refusal = Refusal::new(Code::RateLimited, "too many events; slow down");
            self.refuse(key, &sent.event, sent.ack, &refusal);
        } else {
            socket.waiting.push_back(sent);
        }
        Ok(())
    }

    fn event(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        sent: Sent,
    ) -> Result<(), StorageError> {
        let Sent { event, args, ack } = sent;
        if event == "refresh" {
            return self.refresh_asked(sql, now, key, ack, &args);
        }
        match self.with_client(key, now, |n, client| n.event(client, &event, &args)) {
            None => Ok(()),
            Some(Ok(actions)) => self.act(sql, now, key, &event, ack, actions),
            Some(Err(refusal)) => {
                self.refuse(key, &event, ack, &refusal);
                Ok(())
            }
        }
    }

    /// Carries out what a namespace wants; the ack goes with the first action that answers.
    pub(super) fn act(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        event: &str,
        ack: Option<u64>,
        actions: Vec<Action>,
    ) -> Result<(), StorageError> {
        let (mut ack, mut answered) = (ack, false);
        let route = |ack| Route {
            key,
            event: event.to_owned(),
            ack,
        };
        for action in actions {
            match action {
                Action::Join(room) => {
                    answered = true;
                    let purpose = Purpose::Asked {
                        event: event.to_owned(),
                        ack: ack.take(),
                    };
                    if let Some(socket) = self.hub.sockets.get_mut(key) {
                        socket.joining = socket.joining.saturating_add(1);
                    }
                    self.join(sql, now, key, &room, purpose, None)?;
                }
                Action::Leave(room) => {
                    answered = true;
                    let ack = ack.take();
                    self.leave_asked(sql, now, key, event, ack, &room)?;
                }
                Action::Send {
                    room,
                    event: name,
                    args,
                    id,
                } => {
                    answered = true;
                    let route = route(ack.take());
                    self.want_of_joined(sql, now, route, &room, event_op(name, args, id))?;
                }
                Action::Offer(offer) => {
                    answered = true;
                    let route = route(ack.take());
                    self.offer(sql, now, route, offer)?;
                }
                Action::Emit { event, args } => self.emit(key, &event, args, true),
                Action::EmitVolatile { event, args } => self.emit_volatile(key, &event, &args),
                Action::Ask {
                    event,
                    args,
                    timeout_ms,
                    tag,
                } => {
                    let question = Question {
                        event,
                        args,
                        timeout_ms,
                    };
                    self.ask_client(now, key, &question, AskedBy::Namespace(tag));
                }
                Action::AskRoom {
                    room,
                    event: name,
                    args,
                    timeout_ms,
                    tag,
                } => {
                    answered = true;
                    let route = route(ack.take());
                    let question = Question {
                        event: name,
                        args,
                        timeout_ms,
                    };
                    let op = |record: &Record, access| Op::Ask {
                        access,
                        question,
                        socket: record.id.clone(),
                        tag,
                    };
                    self.want_of_joined(sql, now, route, &room, op)?;
                }
                Action::Ack(args) => {
                    answered = true;
                    self.ack(key, ack.take(), &args);
                }
                Action::Administer(order) => self.administer(sql, now, order)?,
            }
        }
        if !answered {
            self.ack(key, ack, &okay(Nothing {}));
        }
        Ok(())
    }

    /// A room has answered an event.
    pub(super) fn event_answered(&mut self, route: &Route, answer: Result<&Accepted, &Refusal>) {
        match answer {
            Ok(accepted) => self.ack(route.key, route.ack, &okay_accepted(accepted)),
            Err(refusal) => self.refuse(route.key, &route.event, route.ack, refusal),
        }
    }

    /// The socket is in a room that its client asked for.
    pub(super) fn joined_asked(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        room: &RoomName,
        ack: Option<u64>,
        joined: &Joined,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return Ok(());
        };
        socket.store(sql)?;
        let answer = AtPosition {
            room: room.as_str(),
            position: Some(&joined.position),
        };
        self.ack(key, ack, &okay(answer));
        let actions = self.with_client(key, now, |namespace, client| {
            namespace.joined(client, room, joined)
        });
        self.act(sql, now, key, "", None, actions.unwrap_or_default())?;
        self.join_is_over(sql, now, key)
    }

    /// What waited for a join goes on.
    pub(super) fn join_is_over(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
    ) -> Result<(), StorageError> {
        if let Some(socket) = self.hub.sockets.get_mut(key) {
            socket.joining = socket.joining.saturating_sub(1);
        }
        self.go_on_with_waiting(sql, now, key)
    }

    /// What waited goes on, until something has to wait again.
    pub(super) fn go_on_with_waiting(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
    ) -> Result<(), StorageError> {
        loop {
            let Some(socket) = self.hub.sockets.get_mut(key) else {
                return Ok(());
            };
            if socket.joining > 0 {
                return Ok(());
            }
            let Some(sent) = socket.waiting.pop_front() else {
                return Ok(());
            };
            self.event(sql, now, key, sent)?;
        }
    }

    /// What the socket's namespace says of its client; none if the socket is gone.
    pub(super) fn with_client<T>(
        &self,
        key: SocketKey,
        now: Timestamp,
        ask: impl FnOnce(&dyn Namespace, &Client<'_>) -> T,
    ) -> Option<T> {
        let namespace = self.namespace(key)?;
        let socket = self.hub.sockets.get(key)?;
        let client = Client {
            claims: &socket.record.claims,
            socket: &socket.record.id,
            auth: None,
            now,
        };
        Some(ask(namespace, &client))
    }

    fn leave_asked(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        event: &str,
        ack: Option<u64>,
        room: &RoomName,
    ) -> Result<(), StorageError> {
        // How far it was there; the link may end with it.
        let link = self.hub.links.find(room);
        let position = match link {
            None if *room == self.room.name => Some(self.room.position()),
            link => link.and_then(|link| link.position.clone()),
        };
        if !self.take_out(sql, now, key, room)? {
            let refusal = Refusal::new(Code::NotInRoom, "not in this room");
            self.refuse(key, event, ack, &refusal);
            return Ok(());
        }
        let answer = AtPosition {
            room: room.as_str(),
            position: position.as_ref(),
        };
        self.ack(key, ack, &okay(answer));
        let actions = self.with_client(key, now, |n, client| n.left(client, room));
        self.act(sql, now, key, "", None, actions.unwrap_or_default())
    }

    /// Takes a socket out of a room; false if it was not in it.
    fn take_out(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        room: &RoomName,
    ) -> Result<bool, StorageError> {
        if !self.hub.sockets.leave(key, room) {
            return Ok(false);
        }
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(false);
        };
        socket.store(sql)?;
        let user = socket.record.claims.user.clone();
        self.note_moved(now, key, room, false);
        self.leave_room(sql, now, room, &user, false)?;
        Ok(true)
    }

    /// A socket may not be in a room any more; its client is told.
    pub(super) fn put_out(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        room: &RoomName,
    ) -> Result<(), StorageError> {
        if self.take_out(sql, now, key, room)? {
            let refusal = Refusal::forbidden(format!("you are no longer in {room}"));
            self.refuse(key, "join", None, &refusal);
            let actions = self.with_client(key, now, |n, client| n.left(client, room));
            self.act(sql, now, key, "", None, actions.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Puts out a user's sockets that are in a room on this ground alone.
    pub(super) fn expel_sockets(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        user: &UserId,
        ground: Access,
    ) -> Result<(), StorageError> {
        let members: Vec<SocketKey> = self.hub.sockets.members(room).map(|(key, _)| key).collect();
        for key in members {
            let Some(socket) = self.hub.sockets.get(key) else {
                continue;
            };
            let access = socket.record.rooms.get(room).map(|m| m.access);
            if socket.record.claims.user == *user && access == Some(ground) {
                self.put_out(sql, now, key, room)?;
            }
        }
        Ok(())
    }

    /// Disconnects the sockets here that are in a room, one user's or all; how many.
    pub(super) fn kick_sockets(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        user: Option<&UserId>,
    ) -> Result<usize, StorageError> {
        let members: Vec<SocketKey> = self.hub.sockets.members(room).map(|(key, _)| key).collect();
        let mut count = 0_usize;
        for key in members {
            let theirs =
                self.hub.sockets.get(key).is_some_and(|socket| {
                    user.is_none_or(|user| socket.record.claims.user == *user)
                });
            if theirs {
                count = count.saturating_add(1);
                self.disconnect_socket(sql, now, key)?;
            }
        }
        if let Some(user) = user {
            self.forget_lost_of(sql, now, room, user)?;
        }
        Ok(count)
    }

    /// Socket.IO's DISCONNECT from our side: its client does not come back by itself.
    pub(super) fn disconnect_socket(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(());
        };
        let (connection, namespace) = (socket.connection, socket.record.namespace.clone());
        let sid = socket.record.session.clone();
        let packet = self.environment.config.parser.disconnect(&namespace);
        self.hub.send(connection, packet);
        if let Some(session) = self.hub.sessions.get_mut(&sid) {
            session.sockets.remove(&namespace);
        }
        self.end_socket(sql, now, key, false)
    }
}
