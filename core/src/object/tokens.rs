//! Tokens on live connections: CONNECT's, and those that take over with `refresh`.
//!
//! One that a secret of ours has signed is judged at once. One of a public key is given to the runtime
//! ([`Output::Verify`]), and what it is for goes on with the answer: what a client sends to a namespace
//! that it is not in yet waits, in order; a refresh keeps nobody waiting.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CallId, Decided, Object, Output, events::ephemeral, without_grants};
use crate::{
    auth::{Claims, TokenError, Verdict},
    error::{Code, Refusal},
    event::Args,
    hub::{Auth, ConnectionId, DisconnectReason, Knocking, Sent, SocketKey, Stage, Who, Wire},
    limits::{MAX_HELD_EVENTS, MAX_VERIFYING},
    names::Timestamp,
    namespaces::{self, Admission},
    socket_io::Packet,
    storage::{Sql, StorageError},
    wire::Access,
};

/// What a token is for that the runtime checks.
#[derive(Debug)]
pub(super) enum Verifying {
    /// CONNECT of a session to a namespace.
    Connect {
        sid: String,
        namespace: String,
        auth: Option<Box<RawValue>>,
    },
    /// A socket's `refresh`.
    Socket { key: SocketKey, ack: Option<u64> },
    /// A plain socket's.
    Plain {
        connection: ConnectionId,
        id: Option<String>,
    },
}

/// What there is to say of a token at once.
pub(super) enum Judged {
    /// Whose it is.
    Good(Claims),
    /// The runtime was asked; [`Object::verified`] goes on with what it is for.
    Asked(CallId),
}

/// The argument of `refresh`.
#[derive(Deserialize)]
struct Refresh {
    token: String,
}

impl Object {
    /// Judges a token, or has it checked.
    pub(super) fn judge(
        &mut self,
        now: Timestamp,
        token: &str,
        what_for: impl FnOnce() -> Verifying,
    ) -> Result<Judged, Refusal> {
        let token = match self.environment.keys.begin(token, now)? {
            Verdict::Good(claims) => return Ok(Judged::Good(claims)),
            Verdict::Open(token) => token.into_owned(),
        };
        if self.verifying.len() >= MAX_VERIFYING {
            let busy = "too many tokens are being checked; try again";
            return Err(Refusal::new(Code::RateLimited, busy));
        }
        let call = CallId(self.next_number());
        let what_for = what_for();
        let wait = match &what_for {
            Verifying::Connect { sid, .. } => self.hub.wait_of_session(sid),
            Verifying::Socket { key, .. } => self.hub.wait(*key),
            Verifying::Plain { connection, .. } => {
                Some(self.hub.awaited.wait(Who::Plain(*connection)))
            }
        };
        self.verifying.insert(call, (what_for, wait));
        self.out.push(Output::Verify { call, token });
        Ok(Judged::Asked(call))
    }

    /// The runtime has checked a token.
    pub(super) fn verified(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        call: CallId,
        verdict: &Result<Claims, TokenError>,
    ) -> Result<(), StorageError> {
        match self.verifying.remove(&call).map(|(what_for, _)| what_for) {
            None => Ok(()),
            Some(Verifying::Connect {
                sid,
                namespace,
                auth,
            }) => self.let_in(sql, now, call, &sid, &namespace, auth.as_deref(), verdict),
            Some(Verifying::Socket { key, ack }) => {
                let refreshed = match verdict {
                    Ok(claims) => self.refresh_socket(sql, now, key, claims)?,
                    Err(error) => Err(error.clone().into()),
                };
                self.refresh_answered(key, ack, refreshed);
                Ok(())
            }
            Some(Verifying::Plain { connection, .. }) if self.hub.get(connection).is_none() => {
                Ok(())
            }
            Some(Verifying::Plain { connection, id }) => {
                let refreshed = match verdict {
                    Ok(claims) => self.refresh_plain(sql, now, connection, claims)?,
                    Err(error) => Err(error.clone().into()),
                };
                let accepted = refreshed.map(|()| ephemeral());
                self.answer_plain(connection, id, accepted);
                Ok(())
            }
        }
    }

    // ── CONNECT ──

    /// The client has said CONNECT, and its token is being checked.
    pub(super) fn knock(&mut self, sid: &str, namespace: &str, call: CallId) {
        if let Some(session) = self.hub.sessions.get_mut(sid) {
            let knocking = Knocking {
                call: call.0,
                waiting: Vec::new(),
            };
            session.knocking.insert(namespace.to_owned(), knocking);
        }
    }

    /// What a client sends to a namespace whose CONNECT is not answered yet.
    pub(super) fn while_knocking(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sid: &str,
        packet: Packet,
        within_rate: bool,
    ) -> Result<(), StorageError> {
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            return Ok(());
        };
        match packet {
            Packet::Disconnect { namespace } => {
                session.knocking.remove(&namespace);
            }
            Packet::Event {
                namespace,
                id,
                event,
                args,
            } => {
                if let Some(knocking) = session.knocking.get_mut(&namespace) {
                    // There is no socket yet that could be told.
                    if !within_rate || knocking.waiting.len() >= MAX_HELD_EVENTS {
                        return self.close_session(sql, now, sid, DisconnectReason::ParseError);
                    }
                    let ack = id;
                    knocking.waiting.push(Sent { event, args, ack });
                }
            }
            Packet::Connect { .. } | Packet::Ack { .. } => {}
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn let_in(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        call: CallId,
        sid: &str,
        namespace: &str,
        auth: Option<&RawValue>,
        verdict: &Result<Claims, TokenError>,
    ) -> Result<(), StorageError> {
        let Some(session) = self.hub.sessions.get_mut(sid) else {
            return Ok(());
        };
        // It may have said goodbye, and come again with another token.
        let is_this = |knocking: &Knocking| knocking.call == call.0;
        if !session.knocking.get(namespace).is_some_and(is_this) {
            return Ok(());
        }
        let knocking = session.knocking.remove(namespace);
        let waiting = knocking.map(|k| k.waiting).unwrap_or_default();
        match verdict {
            Ok(claims) => {
                let read = Auth::read(auth);
                self.connect_as(sql, now, sid, namespace, claims.clone(), auth, read)?;
            }
            // Nobody can say: its client comes back by itself, as to a server that is away. A session
            // that is of use is not ended for it.
            Err(TokenError::NoKeySet)
                if session.sockets.is_empty() && session.knocking.is_empty() =>
            {
                return self.close_session(sql, now, sid, DisconnectReason::ServerRestarting);
            }
            Err(error) => {
                let transport = session.transport;
                self.connect_error(transport, namespace, &error.clone().into());
            }
        }
        for sent in waiting {
            let session = self.hub.sessions.get(sid);
            let Some(session) = session else {
                return Ok(());
            };
            match session.sockets.get(namespace).copied() {
                Some(key) => self.sent(sql, now, key, sent)?,
                // It spoke in a namespace that it is not in.
                None => return self.close_session(sql, now, sid, DisconnectReason::ParseError),
            }
        }
        Ok(())
    }

    // ── `refresh` ──

    /// A socket's `refresh`.
    pub(super) fn refresh_asked(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        ack: Option<u64>,
        args: &Args,
    ) -> Result<(), StorageError> {
        let judged = args.read().and_then(|Refresh { token }| {
            self.judge(now, &token, || Verifying::Socket { key, ack })
        });
        let refreshed = match judged {
            Ok(Judged::Asked(_)) => return Ok(()),
            Ok(Judged::Good(claims)) => self.refresh_socket(sql, now, key, &claims)?,
            Err(refusal) => Err(refusal),
        };
        self.refresh_answered(key, ack, refreshed);
        Ok(())
    }

    fn refresh_answered(
        &mut self,
        key: SocketKey,
        ack: Option<u64>,
        refreshed: Result<(), Refusal>,
    ) {
        match refreshed {
            Ok(()) => self.ack_okay(key, ack),
            Err(refusal) => self.refuse(key, "refresh", ack, &refusal),
        }
    }

    /// A new token on the live connection: the same user's. Sockets in other namespaces that had the same old
    /// one have it too; one whose app gave it another keeps that.
    fn refresh_socket(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        claims: &Claims,
    ) -> Decided<()> {
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(Ok(()));
        };
        let old = socket.record.claims.clone();
        if claims.user != old.user {
            return Ok(Err(another_user()));
        }
        if let Err(refusal) = self.may_connect(key, claims) {
            return Ok(Err(refusal));
        }
        let session = self.hub.sessions.get(&socket.record.session);
        let sockets = session.into_iter().flat_map(|s| s.sockets.values());
        let had_it = sockets.filter(|of| {
            let socket = self.hub.sockets.get(**of);
            socket.is_some_and(|s| matches!(s.stage, Stage::Connected) && s.record.claims == old)
        });
        let had_it: Vec<SocketKey> = had_it.copied().collect();
        for key in had_it {
            if self.may_connect(key, claims).is_ok() {
                self.renew(sql, now, key, claims.clone())?;
            }
        }
        Ok(Ok(()))
    }

    fn may_connect(&self, key: SocketKey, claims: &Claims) -> Result<(), Refusal> {
        match self.namespace(key) {
            Some(namespace) => namespace.may_connect(claims),
            None => Ok(()),
        }
    }

    /// A socket has this token from now on. Rooms that it does not open are left.
    fn renew(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        claims: Claims,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(());
        };
        let mut record = socket.record.clone();
        record.claims = claims;
        record.opened_at = now;
        let mut out = Vec::new();
        let rooms = record.rooms.keys();
        let admissions: Vec<Admission> = rooms.map(|r| self.admission(&record, r)).collect();
        for ((room, membership), admission) in record.rooms.iter_mut().zip(admissions) {
            match admission {
                Admission::Granted(Access::IfMember) if membership.access != Access::IfMember => {
                    out.push(room.clone());
                }
                Admission::Granted(access) => membership.access = access,
                Admission::IfMemberOf(_) if membership.access == Access::ByOtherRoom => {}
                Admission::IfMemberOf(_) | Admission::Refused => out.push(room.clone()),
            }
        }
        if let Some(socket) = self.hub.sockets.get_mut(key) {
            socket.record = record;
            socket.store(sql)?;
        }
        for room in out {
            self.put_out(sql, now, key, &room)?;
        }
        Ok(())
    }

    /// A plain socket's `refresh`; none if the runtime was asked.
    pub(super) fn refresh_plain_asked(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        connection: ConnectionId,
        id: Option<&String>,
        args: &Args,
    ) -> Result<Option<Result<(), Refusal>>, StorageError> {
        let judged = args.read().and_then(|Refresh { token }| {
            let id = id.cloned();
            self.judge(now, &token, || Verifying::Plain { connection, id })
        });
        match judged {
            Ok(Judged::Asked(_)) => Ok(None),
            Ok(Judged::Good(claims)) => self.refresh_plain(sql, now, connection, &claims).map(Some),
            Err(refusal) => Ok(Some(Err(refusal))),
        }
    }

    /// A new token on the live connection: the same user's, and one that still lets them in.
    fn refresh_plain(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        connection: ConnectionId,
        claims: &Claims,
    ) -> Decided<()> {
        let plain = self.hub.get(connection).and_then(|c| c.plain());
        let Some((user, had)) = plain.map(|plain| (&plain.claims.user, plain.access)) else {
            return Ok(Ok(()));
        };
        if claims.user != *user {
            return Ok(Err(another_user()));
        }
        let open_kinds = &self.environment.config.open_kinds;
        let access = match namespaces::admit(claims, &self.room.name, open_kinds) {
            Admission::Granted(access) => access,
            // Another room decides that, and it did when the connection was opened.
            Admission::IfMemberOf(_) if had == Access::ByOtherRoom => had,
            Admission::IfMemberOf(_) | Admission::Refused => {
                return Ok(Err(namespaces::not_yours()));
            }
        };
        if !self.may(sql, &claims.user, access)? {
            return Ok(Err(namespaces::not_yours()));
        }
        if let Some(connection) = self.hub.get_mut(connection)
            && let Wire::Plain(plain) = &mut connection.attachment.wire
        {
            plain.claims = without_grants(claims);
            plain.access = access;
            connection.attachment.opened_at = now;
            self.out.push(Output::Attach(connection.attachment.clone()));
        }
        Ok(Ok(()))
    }
}

fn another_user() -> Refusal {
    Refusal::forbidden("the new token names another user")
}
