//! Engine.IO v4: sessions as they are opened, polled, posted to, upgraded, kept alive and closed.

use super::{AutoResponse, Object, Output, Polled, RequestId};
use crate::{
    config::Config,
    engine_io::{Error, Handshake, Packet, decode_payload},
    error::{Code, Refusal},
    hub::{
        Attachment, Connection, ConnectionId, DisconnectReason, Frame, PingTimers, Session,
        SocketKey, Wire,
    },
    limits::{ATTACHMENTS_TIMEOUT_MS, CLOSED_SESSION_MS, MAX_SESSIONS, MIN_ALARM_INTERVAL_MS},
    names::{RoomName, Timestamp},
    storage::{Sql, StorageError, text},
    wire::{Door, EngineRequest, Method},
};

/// What a polling session may be upgraded to.
const UPGRADES: &[&str] = &["websocket"];

/// When sessions are pinged. From [`MIN_ALARM_INTERVAL_MS`] on all of the object's together, by its
/// alarm, at instants that need not be remembered: multiples of the interval, shifted by the object's
/// name so that not all objects beat at once. Shorter intervals are timers of each session.
pub(super) struct Heartbeat {
    interval: u64,
    timeout: u64,
    /// The alarm's: not below [`MIN_ALARM_INTERVAL_MS`].
    period: u64,
    phase: u64,
    next: Timestamp,
    /// Nothing but an alarm has happened since the object woke.
    fresh: bool,
}

impl Heartbeat {
    pub fn new(config: &Config, name: &RoomName, now: Timestamp) -> Self {
        let interval = config.ping_interval_ms.max(1);
        let period = interval.max(MIN_ALARM_INTERVAL_MS);
        let phase = name.as_str().bytes().fold(0_u64, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        });
        let mut heartbeat = Self {
            interval,
            timeout: config.ping_timeout_ms,
            period,
            phase: phase.checked_rem(period).unwrap_or_default(),
            next: now,
            fresh: true,
        };
        heartbeat.next = heartbeat.after(now);
        heartbeat
    }

    pub const fn is_by_alarm(&self) -> bool {
        self.interval >= MIN_ALARM_INTERVAL_MS
    }

    /// The first beat after `now`.
    fn after(&self, now: Timestamp) -> Timestamp {
        let since = now.0.saturating_sub(self.phase).checked_rem(self.period);
        now.plus(self.period.saturating_sub(since.unwrap_or_default()))
    }

    /// The object woke up by its alarm: which beat that is for is not remembered, but a beat that is
    /// half an interval past is over.
    pub fn woken_by_alarm(&mut self, now: Timestamp) {
        let late = self
            .period
            .saturating_sub(self.next.0.saturating_sub(now.0));
        if self.fresh && self.next > now && late < self.period.div_euclid(2) {
            self.next = now;
        }
        self.fresh = false;
    }

    /// The next beat.
    pub const fn next(&self) -> Timestamp {
        self.next
    }

    /// Whether a session that was last heard of `at` is dead.
    pub fn is_dead(&self, at: Timestamp, now: Timestamp) -> bool {
        at.plus(self.patience()) <= now
    }

    /// After this long without a sign of life a session is dead.
    const fn patience(&self) -> u64 {
        self.interval.saturating_add(self.timeout)
    }

    /// A wire that is cut is found to be so within this.
    pub const fn notices_within(&self) -> u64 {
        self.patience().saturating_add(self.period)
    }

    /// The timers of each session, where they have any.
    pub fn timers(&self) -> Option<PingTimers> {
        (!self.is_by_alarm()).then_some(PingTimers {
            interval_ms: self.interval,
            timeout_ms: self.timeout,
        })
    }
}

impl Object {
    pub(super) fn engine(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        engine: &EngineRequest,
        body: &str,
    ) -> Result<(), StorageError> {
        self.heartbeat.fresh = false;
        match (engine.method, engine.sid.as_deref()) {
            (Method::Post, None) => {
                self.poll_answer(request, Polled::Error(Error::BadHandshakeMethod));
                Ok(())
            }
            (method, None) => self.handshake(sql, now, request, method, &engine.door),
            (method, Some(sid)) => {
                // Expired by the clock, should the timer be late.
                let heartbeat = &self.heartbeat;
                let session = self.hub.sessions.get(sid);
                if session.is_some_and(|s| s.is_polling && heartbeat.is_dead(s.heard_at, now)) {
                    self.close_session(sql, now, sid, DisconnectReason::PingTimeout)?;
                }
                match method {
                    Method::Get => self.get(sql, now, request, sid),
                    Method::Post => self.post(sql, now, request, sid, body),
                    Method::Upgrade => {
                        self.probe(now, request, sid);
                        Ok(())
                    }
                }
            }
        }
    }

    fn poll_answer(&mut self, request: RequestId, answer: Polled) {
        self.out.push(Output::Poll { request, answer });
    }

    fn handshake(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        method: Method,
        door: &Door,
    ) -> Result<(), StorageError> {
        if self.hub.sessions.len() >= MAX_SESSIONS {
            let refusal = Refusal::new(Code::RateLimited, "too many sessions here");
            self.reply(request, Err(refusal));
            return Ok(());
        }
        let sid = self.ids.at_home(&self.room.name);
        let connection = self.hub.next_id();
        let is_polling = method == Method::Get;
        if let Some(claims) = &door.claims {
            let json =
                serde_json::to_string(claims).map_err(|_| StorageError::Corrupt("claims"))?;
            sql.run(
                "INSERT INTO doors (sid, claims) VALUES (?, ?)",
                &[text(sid.as_str()), text(json)],
            )?;
        }
        let config = &self.environment.config;
        let handshake = Handshake {
            sid: &sid,
            upgrades: if is_polling { UPGRADES } else { &[] },
            ping_interval: config.ping_interval_ms,
            ping_timeout: config.ping_timeout_ms,
            max_payload: config.max_payload_bytes,
        };
        let open = handshake.to_packet();
        let for_session = (sid.as_str().into(), door.clone());
        let mut session = Session::new(for_session.0, for_session.1, connection, is_polling, now);
        session.has_door = door.claims.is_some();
        if !door.echo {
            session.connect_by = Some(now.plus(config.connect_timeout_ms));
        }
        self.hub.sessions.insert(session);
        let wire = if is_polling {
            Wire::Polling(sid)
        } else {
            engine_wire(sid, door)
        };
        let attachment = Attachment {
            connection,
            opened_at: now,
            wire,
        };
        self.hub
            .insert(connection, Connection::new(attachment.clone()));
        if is_polling {
            self.poll_answer(request, Polled::Payload(open));
        } else {
            self.out.push(Output::Accept {
                request,
                attachment,
                hibernates: self.heartbeat.is_by_alarm(),
            });
            self.hub.send(connection, open);
        }
        Ok(())
    }

    fn get(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        sid: &str,
    ) -> Result<(), StorageError> {
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            // Its client closed it by POST while this GET was on its way.
            let answer = match self.closed_sessions.remove(&sid.to_owned()) {
                Some(until) if until > now => Polled::Payload(Packet::Noop.encode()),
                _ => Polled::Error(Error::SessionIdUnknown),
            };
            self.poll_answer(request, answer);
            return Ok(());
        };
        if !session.is_polling {
            self.poll_answer(request, Polled::Error(Error::BadRequest));
            return Ok(());
        }
        if session.poll.is_some() {
            self.close_session(sql, now, sid, DisconnectReason::ParseError)?;
            self.poll_answer(request, Polled::Error(Error::BadRequest));
            return Ok(());
        }
        session.poll = Some(request);
        // The upgrade waits for this GET to come back.
        if session.is_probed {
            session.queue(Frame::from("6"));
        }
        Ok(())
    }

    fn post(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        sid: &str,
        body: &str,
    ) -> Result<(), StorageError> {
        let error = match self.hub.sessions.get(sid) {
            None => Some(Error::SessionIdUnknown),
            Some(session) if !session.is_polling => Some(Error::BadRequest),
            Some(_) => None,
        };
        if let Some(error) = error {
            self.poll_answer(request, Polled::Error(error));
            return Ok(());
        }
        let Ok(packets) = decode_payload(body) else {
            self.poll_answer(request, Polled::Error(Error::BadRequest));
            return self.close_session(sql, now, sid, DisconnectReason::ParseError);
        };
        self.poll_answer(request, Polled::Ok);
        for packet in packets {
            if !self.hub.sessions.contains(sid) {
                break;
            }
            if matches!(packet, Packet::Close) {
                return self.closed_by_client(sql, now, sid);
            }
            self.packet(sql, now, sid, packet)?;
        }
        Ok(())
    }

    /// A WebSocket for a session that polls: it is probed first.
    fn probe(&mut self, now: Timestamp, request: RequestId, sid: &str) {
        let Some(session) = self.hub.sessions.get(sid) else {
            return self.poll_answer(request, Polled::Error(Error::SessionIdUnknown));
        };
        let is_taken = !session.is_polling || session.probe.is_some();
        let connection = self.hub.next_id();
        let attachment = Attachment {
            connection,
            opened_at: now,
            wire: Wire::Probe(sid.to_owned()),
        };
        if is_taken {
            // As engine.io does: opened, and closed at once.
            self.out.push(Output::Accept {
                request,
                attachment,
                hibernates: false,
            });
            let reason = DisconnectReason::ParseError;
            self.out.push(Output::Close { connection, reason });
            self.hub.reserve(connection);
            return;
        }
        self.hub
            .insert(connection, Connection::new(attachment.clone()));
        let upgrade_by = now.plus(self.environment.config.upgrade_timeout_ms);
        if let Some(session) = self.hub.sessions.get_mut(sid) {
            session.probe = Some(connection);
            session.upgrade_by = Some(upgrade_by);
        }
        self.out.push(Output::Accept {
            request,
            attachment,
            hibernates: self.heartbeat.is_by_alarm(),
        });
    }

    /// A text frame on a session's WebSocket, or on one that it may be upgraded to.
    pub(super) fn engine_text(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        connection: ConnectionId,
        sid: &str,
        text: &str,
    ) -> Result<(), StorageError> {
        self.heartbeat.fresh = false;
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            return self.close(sql, now, connection, DisconnectReason::ServerRestarting);
        };
        if session.probe == Some(connection) {
            match Packet::decode(text) {
                Ok(Packet::Ping(probe)) if probe == "probe" => {
                    self.hub.send(connection, "3probe");
                    if let Some(session) = self.hub.sessions.get_mut(sid) {
                        session.is_probed = true;
                        if session.poll.is_some() && session.queue.is_empty() {
                            session.queue(Frame::from("6"));
                        }
                    }
                    return Ok(());
                }
                Ok(Packet::Upgrade) => {
                    self.upgrade(now, sid, connection);
                    return Ok(());
                }
                _ => {
                    session.forget_probe();
                    return self.close(sql, now, connection, DisconnectReason::ParseError);
                }
            }
        }
        match Packet::decode(text) {
            Ok(Packet::Close) => self.closed_by_client(sql, now, sid),
            Ok(packet) => self.packet(sql, now, sid, packet),
            Err(_) => self.close_session(sql, now, sid, DisconnectReason::ParseError),
        }
    }

    /// A binary frame on a session's WebSocket.
    pub(super) fn engine_binary(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        connection: ConnectionId,
        sid: &str,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let session = self.hub.sessions.get(sid);
        if session.is_none_or(|session| session.transport != connection) {
            return self.close(sql, now, connection, DisconnectReason::ParseError);
        }
        self.packet(sql, now, sid, Packet::Binary(bytes.to_vec()))
    }

    /// The WebSocket takes over from polling: what waited for a GET goes out on it.
    fn upgrade(&mut self, now: Timestamp, sid: &str, connection: ConnectionId) {
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            return;
        };
        let polling = std::mem::replace(&mut session.transport, connection);
        session.is_polling = false;
        session.forget_probe();
        session.queued_bytes = 0;
        session.heard_at = now;
        self.hub.awaited.moved(&session.sid);
        let queue = std::mem::take(&mut session.queue);
        let poll = session.poll.take();
        let wire = engine_wire(sid.to_owned(), &session.door);
        let sockets: Vec<SocketKey> = session.sockets.values().copied().collect();
        if let Some(poll) = poll {
            self.poll_answer(poll, Polled::Payload(Packet::Noop.encode()));
        }
        for key in sockets {
            if let Some(socket) = self.hub.sockets.get_mut(key) {
                socket.connection = connection;
            }
            self.note_upgraded(key);
        }
        self.hub.take_over(polling, connection, queue.into());
        if let Some(connection) = self.hub.get_mut(connection) {
            connection.attachment.wire = wire;
            self.out.push(Output::Attach(connection.attachment.clone()));
        }
    }

    fn packet(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
        packet: Packet<'_>,
    ) -> Result<(), StorageError> {
        let max_bytes = self.environment.config.max_payload_bytes;
        let parser = self.environment.config.parser;
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            return Ok(());
        };
        let decoded = match packet {
            Packet::Pong(_) => {
                session.heard_at = now;
                session.pinged_at = None;
                return Ok(());
            }
            Packet::Noop => return Ok(()),
            Packet::Message(message) if session.door.echo => {
                let transport = session.transport;
                self.hub.send(transport, format!("4{message}"));
                return Ok(());
            }
            Packet::Binary(bytes) if session.door.echo => {
                let transport = session.transport;
                self.hub.send(transport, bytes);
                return Ok(());
            }
            Packet::Message(message) => parser.text(&mut session.decoder, &message, max_bytes),
            Packet::Binary(bytes) => parser.binary(&mut session.decoder, &bytes),
            Packet::Open(_) | Packet::Ping(_) | Packet::Upgrade | Packet::Close => {
                return self.close_session(sql, now, sid, DisconnectReason::ParseError);
            }
        };
        session.complete_by = session
            .decoder
            .is_waiting()
            .then(|| now.plus(ATTACHMENTS_TIMEOUT_MS));
        match decoded {
            Ok(Some(packet)) => self.socket_packet(sql, now, sid, packet),
            Ok(None) => Ok(()),
            Err(_) => self.close_session(sql, now, sid, DisconnectReason::ParseError),
        }
    }

    /// The client says goodbye.
    fn closed_by_client(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
    ) -> Result<(), StorageError> {
        if let Some(session) = self.hub.sessions.get_mut(sid)
            && session.is_polling
        {
            match session.poll.take() {
                Some(poll) => self.poll_answer(poll, Polled::Payload(Packet::Noop.encode())),
                None => {
                    let until = now.plus(CLOSED_SESSION_MS);
                    self.closed_sessions.set(&sid.to_owned(), Some(until));
                }
            }
        }
        self.close_session(sql, now, sid, DisconnectReason::Normal)
    }

    /// Ends a session from our side: its sockets are lost, and may be recovered elsewhere.
    pub(super) fn close_session(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
        reason: DisconnectReason,
    ) -> Result<(), StorageError> {
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            return Ok(());
        };
        let (transport, probe) = (session.transport, session.probe.take());
        if let Some(poll) = session.poll.take() {
            let answer = match reason {
                DisconnectReason::Normal => Packet::Noop,
                _ => Packet::Close,
            };
            self.poll_answer(poll, Polled::Payload(answer.encode()));
        }
        if let Some(probe) = probe {
            self.close(sql, now, probe, reason)?;
        }
        self.close(sql, now, transport, reason)
    }

    /// A session's wire is gone, and the session with it.
    pub(super) fn end_session(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
        grace: bool,
    ) -> Result<(), StorageError> {
        let Some(session) = self.hub.sessions.remove(sid) else {
            return Ok(());
        };
        if let Some(poll) = session.poll {
            self.poll_answer(poll, Polled::Payload(Packet::Close.encode()));
        }
        if session.has_door {
            sql.run("DELETE FROM doors WHERE sid = ?", &[text(sid)])?;
        }
        for key in session.sockets.into_values() {
            self.lose(sql, now, key, grace)?;
        }
        Ok(())
    }

    /// Where packets wait for a GET and one is there, it is answered.
    pub(super) fn answer_polls(&mut self) -> Vec<Output> {
        let max_bytes = self.environment.config.max_payload_bytes;
        let answers = self.hub.sessions.answers(max_bytes).into_iter();
        let answers = answers.map(|(request, payload)| Output::Poll {
            request,
            answer: Polled::Payload(payload),
        });
        answers.collect()
    }

    /// The runtime answered these WebSockets' pongs by itself.
    pub(super) fn heard(&mut self, heard: &[(ConnectionId, Timestamp)]) {
        for (id, at) in heard {
            self.hub.heard(*id, *at);
        }
    }

    /// Pings that are due, and sessions that are dead, late or too slow.
    pub(super) fn sessions_due(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let beat = self.heartbeat.next <= now;
        let timers = self.heartbeat.timers();
        let (mut pinged, mut ended, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        // All are pinged at once; else only those are looked at for which something is due.
        let sids = if beat {
            self.hub.sessions.sids().cloned().collect()
        } else {
            self.hub.sessions.due(now)
        };
        for sid in sids {
            let Some(session) = self.hub.sessions.get_mut(&sid) else {
                continue;
            };
            let over = |by: Option<Timestamp>| by.is_some_and(|by| by <= now);
            let reason = if over(session.connect_by) {
                Some(DisconnectReason::NotConnected)
            } else if over(session.complete_by) {
                Some(DisconnectReason::ParseError)
            } else if session.is_too_slow() {
                Some(DisconnectReason::TooSlow)
            } else if let Some(timers) = timers {
                let late = session.pinged_at.is_some() && timers.deadline(session) <= now;
                late.then_some(DisconnectReason::PingTimeout)
            } else {
                let dead = self.heartbeat.is_dead(session.heard_at, now);
                (beat && dead).then_some(DisconnectReason::PingTimeout)
            };
            let is_due = match timers {
                Some(timers) => session.pinged_at.is_none() && timers.deadline(session) <= now,
                None => beat,
            };
            if let Some(reason) = reason {
                ended.push((sid, reason));
            } else if is_due {
                session.pinged_at = Some(now);
                pinged.push(session.transport);
            }
            if session.upgrade_by.is_some_and(|by| by <= now) {
                probes.extend(session.forget_probe());
            }
        }
        if !pinged.is_empty() {
            self.hub.send_each(&pinged, vec![Frame::from("2")]);
        }
        for probe in probes {
            self.close(sql, now, probe, DisconnectReason::ParseError)?;
        }
        for (sid, reason) in ended {
            self.close_session(sql, now, &sid, reason)?;
        }
        self.closed_sessions.take_due(now);
        if beat {
            self.heartbeat.next = self.heartbeat.after(now);
            self.forget_lost(sql, now)?;
        }
        Ok(())
    }

    /// When the alarm must ring for the sessions, and for what is left of them: also where pings are
    /// timers, for timers do not outlive a crash.
    pub(super) fn beat_deadline(&self) -> Option<Timestamp> {
        let anything = !self.hub.sessions.is_empty()
            || !self.hub.sockets.is_empty()
            || !self.hub.sockets.lost.is_empty();
        anything.then_some(self.heartbeat.next)
    }

    /// What the runtime answers by itself follows what is spoken here.
    pub(super) fn set_auto_response(&mut self) {
        let wanted = if self.heartbeat.is_by_alarm() && self.hub.sessions.on_websocket() > 0 {
            AutoResponse::Engine
        } else {
            AutoResponse::Plain
        };
        if self.auto_response != Some(wanted) {
            self.auto_response = Some(wanted);
            self.out.push(Output::AutoResponse(wanted));
        }
    }
}

/// What a session's WebSocket keeps; the claims are in SQLite, for they may be long.
fn engine_wire(sid: String, door: &Door) -> Wire {
    let door = Door {
        claims: None,
        ..door.clone()
    };
    Wire::Engine { sid, door }
}
