//! CONNECT: from the packet to its answer, by way of the rooms that a socket is in from the start.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::{
    Object,
    tokens::{Judged, Verifying},
};
use crate::{
    auth::{Claims, TokenError},
    error::{Code, Refusal},
    hub::{
        AskedBy, Auth, ConnectionId, DisconnectReason, Held, Journal, Purpose, Record, Recovery,
        Session, Socket, SocketKey, Stage,
    },
    limits::MAX_NAMESPACES,
    metrics::{self, Count},
    names::{RoomName, Timestamp, UserId},
    namespaces::{Action, Client, Namespace, heard_in, namespace_of},
    storage::{Sql, StorageError, text},
    wire::Question,
};

#[derive(Serialize)]
struct ConnectErrorData {
    code: &'static str,
}

impl Object {
    pub(super) fn connect(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
        name: &str,
        auth: Option<&serde_json::value::RawValue>,
    ) -> Result<(), StorageError> {
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            return Ok(());
        };
        if session.has_door && session.door.claims.is_none() {
            let claims = sql.run("SELECT claims FROM doors WHERE sid = ?", &[text(sid)])?;
            let claims = claims.first().map(|row| row.json(0, "claims"));
            session.door.claims = claims.transpose()?;
        }
        let (transport, door) = (session.transport, session.door.clone());
        let Some(namespace) = namespace_of(name) else {
            let refusal = Refusal::new(Code::InvalidNamespace, "Invalid namespace");
            self.connect_error(transport, name, &refusal);
            return Ok(());
        };
        if session_is_full(self.hub.sessions.get(sid)) {
            return self.close_session(sql, now, sid, DisconnectReason::ParseError);
        }
        let read = Auth::read(auth);
        // Its page has no other place for it.
        let password = read.password.as_deref().filter(|_| namespace.watches());
        let token = read.token.as_deref().or(password);
        let what_for = || Verifying::Connect {
            sid: sid.to_owned(),
            namespace: name.to_owned(),
            auth: auth.map(ToOwned::to_owned),
        };
        match self.who(now, namespace, &door.claims, token, what_for) {
            Ok(Judged::Good(claims)) => self.connect_as(sql, now, sid, name, claims, auth, read),
            Ok(Judged::Asked(call)) => {
                self.knock(sid, name, call);
                Ok(())
            }
            Err(refusal) => {
                self.connect_error(transport, name, &refusal);
                Ok(())
            }
        }
    }

    /// The same, once it is known whose socket it is.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn connect_as(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
        name: &str,
        claims: Claims,
        auth: Option<&serde_json::value::RawValue>,
        read: Auth,
    ) -> Result<(), StorageError> {
        let Some(session) = self.hub.sessions.get(sid) else {
            return Ok(());
        };
        let (transport, knows_recovery) = (session.transport, session.door.recovery);
        let Some(namespace) = namespace_of(name) else {
            return Ok(());
        };
        let may = namespace.may_connect(&claims);
        let has_room = self.hub.sockets.has_room_for(&claims.user);
        let too_many = || Refusal::new(Code::RateLimited, "too many connections of this user");
        if let Err(refusal) = may.and_then(|()| has_room.then_some(()).ok_or_else(too_many)) {
            self.connect_error(transport, name, &refusal);
            return Ok(());
        }
        let window = self.environment.config.recovery_window_ms;
        let recovery = knows_recovery && window > 0 && !namespace.watches();
        let record = Record {
            id: self.ids.random(),
            pid: recovery.then(|| self.ids.at_home(&self.room.name)),
            session: sid.to_owned(),
            namespace: name.to_owned(),
            claims,
            opened_at: now,
            began: self.journal.last(),
            rooms: BTreeMap::new(),
            lost_at: None,
            moved_to: None,
            came_with: None,
        };
        let key = self.hub.sockets.insert(Socket {
            connection: transport,
            recovery,
            record,
            stage: Stage::Connecting {
                joins: 1,
                recovery: None,
            },
            unstored: Vec::new(),
            held: Vec::new(),
            held_questions: Vec::new(),
            joining: 0,
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
            next_ask: 0,
        });
        if let Some(session) = self.hub.sessions.get_mut(sid) {
            session.sockets.insert(name.to_owned(), key);
            session.connect_by = None;
        }
        match read.pid {
            Some(pid) if recovery => self.recover(sql, now, key, pid, read.offset),
            _ => self.begin(sql, now, key, auth.map(|auth| auth.get())),
        }
    }

    /// Whose socket it is: the CONNECT packet's token, else the handshake's.
    fn who(
        &mut self,
        now: Timestamp,
        namespace: &dyn Namespace,
        door: &Option<Claims>,
        token: Option<&str>,
        what_for: impl FnOnce() -> Verifying,
    ) -> Result<Judged, Refusal> {
        match (token, door) {
            _ if namespace.is_open() => Ok(Judged::Good(anybody())),
            (Some(token), _) => self.judge(now, token, what_for),
            (None, Some(claims)) => Ok(Judged::Good(claims.clone())),
            (None, None) if !self.environment.config.missing().is_empty() => {
                Err(TokenError::NotConfigured.into())
            }
            (None, None) => Err(TokenError::Missing.into()),
        }
    }

    pub(super) fn connect_error(
        &mut self,
        transport: ConnectionId,
        namespace: &str,
        refusal: &Refusal,
    ) {
        self.count_refusal(refusal);
        let data = ConnectErrorData {
            code: refusal.code.as_str(),
        };
        let data = serde_json::value::to_raw_value(&data).ok();
        // The official suite knows the protocol's example alone.
        let data = data.filter(|_| !cfg!(feature = "conformance"));
        let parser = self.environment.config.parser;
        let message =
            namespace_of(namespace).map_or(&*refusal.message, |known| known.says_no(refusal));
        let packet = parser.connect_error(namespace, message, data.as_deref());
        self.hub.send(transport, packet);
    }

    /// A new socket: its namespace says where it is from the start.
    pub(super) fn begin(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        auth: Option<&str>,
    ) -> Result<(), StorageError> {
        let actions = self.with_client(key, now, |namespace, client| {
            namespace.connect(&Client { auth, ..*client })
        });
        let everyone = self
            .namespace(key)
            .filter(|namespace| !namespace.is_open() && !namespace.watches())
            .and_then(|namespace| RoomName::everyone(namespace.name()).ok())
            .map(Action::Join);
        for action in actions.into_iter().flatten().chain(everyone) {
            match action {
                Action::Join(room) => {
                    if let Some(socket) = self.hub.sockets.get_mut(key)
                        && let Stage::Connecting { joins, .. } = &mut socket.stage
                    {
                        *joins = joins.saturating_add(1);
                    }
                    self.join(sql, now, key, &room, Purpose::Connect, None)?;
                }
                Action::Emit { event, args } => self.emit(key, &event, args, true),
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
                Action::Leave(_)
                | Action::EmitVolatile { .. }
                | Action::Send { .. }
                | Action::Offer(_)
                | Action::AskRoom { .. }
                | Action::Ack(_)
                | Action::Administer(_) => {}
            }
        }
        self.one_join_less(sql, now, key)
    }

    /// One of the rooms that a connecting socket waits for has answered; with the last one it is
    /// connected.
    pub(super) fn one_join_less(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return Ok(());
        };
        let Stage::Connecting { joins, recovery } = &mut socket.stage else {
            return Ok(());
        };
        *joins = joins.saturating_sub(1);
        if *joins > 0 {
            return Ok(());
        }
        match recovery.take() {
            Some(Recovery { failed: true, .. }) => self.begin_anew(sql, now, key),
            recovery => self.connected(sql, now, key, recovery),
        }
    }

    /// CONNECT is answered: what a recovered socket missed, the reply, what came meanwhile.
    fn connected(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        recovery: Option<Recovery>,
    ) -> Result<(), StorageError> {
        let parser = self.environment.config.parser;
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return Ok(());
        };
        socket.stage = Stage::Connected;
        socket.store(sql)?;
        socket.unstored.clear();
        let mut held = std::mem::take(&mut socket.held);
        let questions = std::mem::take(&mut socket.held_questions);
        let (connection, record) = (socket.connection, &socket.record);
        let is_for_it = |held: &Held| match &held.of {
            Some((room, audience)) => {
                record.gets(room, heard_in(room, &held.event, audience), audience)
            }
            None => true,
        };
        held.retain(is_for_it);
        let (namespace, id) = (record.namespace.clone(), record.id.clone());
        let (pid, wants_offsets) = (record.pid.clone(), socket.recovery);
        let recovery = recovery.map(|mut recovery| {
            recovery.missed.retain(is_for_it);
            recovery.missed.sort_by_key(|held| held.at);
            recovery
        });
        let offset_of = |journal: &Journal, number| wants_offsets.then(|| journal.offset(number));
        if let Some(Recovery { missed, at, .. }) = recovery {
            self.count(Count::Recoveries(metrics::Recovery::Recovered), 1);
            self.hub.sockets.lost.remove(pid.as_deref().unwrap_or(&id));
            // The client buffers these until CONNECT: it has all of them or none.
            let offset = offset_of(&self.journal, at);
            for Held { event, args, .. } in missed {
                let frames = parser.event(&namespace, None, &event, &args, offset.as_deref());
                self.hub.send_each(&[connection], frames);
            }
        }
        let connect = parser.connect(&namespace, &id, pid.as_deref());
        self.hub.send(connection, connect);
        for Held {
            number,
            event,
            args,
            ..
        } in held
        {
            let offset = offset_of(&self.journal, number);
            let frames = parser.event(&namespace, None, &event, &args, offset.as_deref());
            self.hub.send_each(&[connection], frames);
        }
        for (question, by) in questions {
            self.ask_client(now, key, &question, by);
        }
        self.note_connected(now, key);
        self.go_on_with_waiting(sql, now, key)
    }
}

fn session_is_full(session: Option<&Session>) -> bool {
    session.is_none_or(|session| {
        session.sockets.len().saturating_add(session.knocking.len()) >= MAX_NAMESPACES
    })
}

/// Whoever connects to an open namespace.
fn anybody() -> Claims {
    Claims {
        user: UserId::integer(0),
        name: None,
        role: None,
        rooms: Vec::new(),
        rooms_read: Vec::new(),
        expires_at: Timestamp(8_640_000_000_000_000),
    }
}
