//! Plain WebSockets as they come, talk and go.

use super::{
    Decided, Object, Origin, Output, RequestId, Sender, events::ephemeral, without_grants,
};
use crate::{
    error::{Code, Refusal},
    hub::{Attachment, Connection, ConnectionId, DisconnectReason, Plain, Wire, plain},
    metrics::{Count, Recovery},
    names::{StreamPosition, Timestamp, UserId},
    namespaces,
    room::LOCAL,
    storage::{Sql, StorageError},
    wire::{Accepted, Connect},
};

impl Object {
    pub(super) fn open_plain(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        connect: &Connect,
    ) -> Decided<()> {
        let claims = &connect.caller.claims;
        if !self.may(sql, &claims.user, connect.caller.access)? {
            return Ok(Err(namespaces::not_yours()));
        }
        if !self.hub.has_room_for(&claims.user) {
            let refusal = Refusal::new(Code::RateLimited, "too many connections to this room");
            return Ok(Err(refusal));
        }
        let since = match connect
            .since
            .as_deref()
            .map(StreamPosition::parse)
            .transpose()
        {
            Ok(since) => since,
            Err(error) => return Ok(Err(Refusal::bad_request(format!("`since`: {error}")))),
        };
        let missed = match &since {
            Some(position) => self.room.since(sql, position)?,
            None => None,
        };
        if let Some(position) = &since {
            let result = match &missed {
                Some(_) => Recovery::Recovered,
                None if position.epoch != self.room.epoch => Recovery::Epoch,
                None if position.offset > self.room.head() => Recovery::Ahead,
                None => Recovery::Pruned,
            };
            self.count(Count::Resumes(result), 1);
        }
        let id = self.hub.next_id();
        let attachment = Attachment {
            connection: id,
            opened_at: now,
            wire: Wire::Plain(Plain {
                claims: without_grants(claims),
                access: connect.caller.access,
                batch: connect.batch,
            }),
        };
        self.hub.insert(id, Connection::new(attachment.clone()));
        self.out.push(Output::Accept {
            request,
            attachment,
            hibernates: true,
        });

        let connected = plain::Connected {
            room: self.room.name.as_str(),
            user_id: &claims.user,
            epoch: self.room.epoch.as_str(),
            offset: self.room.head(),
            recovered: missed.is_some(),
        };
        self.hub.send(id, plain::event("connected", &connected));
        for publication in missed.iter().flatten() {
            if publication.audience.has(&claims.user, "") {
                self.hub.send(id, publication.to_json());
            }
        }
        self.room
            .roster
            .enter(sql, now, &claims.user, claims.name.as_deref(), LOCAL)?;
        if let Some(connection) = self.hub.get_mut(id) {
            connection.is_new = true;
        }
        self.fresh.push(id);
        Ok(Ok(()))
    }

    pub(super) fn leave(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: ConnectionId,
        grace: bool,
    ) -> Result<(), StorageError> {
        // A socket that we closed ourselves has left already.
        let Some(connection) = self.hub.remove(id) else {
            return Ok(());
        };
        let user = match connection.attachment.wire {
            Wire::Plain(plain) => plain.claims.user,
            Wire::Engine { sid, .. } | Wire::Polling(sid) => {
                return self.end_session(sql, now, &sid, grace);
            }
            Wire::Probe(sid) => {
                if let Some(session) = self.hub.sessions.get_mut(&sid)
                    && session.probe == Some(id)
                {
                    session.forget_probe();
                }
                return Ok(());
            }
        };
        // Somebody types on one connection; another tab of theirs does not go on for it.
        if self.room.typing.gone(&user, &Origin::Connection(id)) {
            self.tell_typing(&user, false, &Origin::Nowhere);
        }
        self.exit_here(sql, now, &user, grace)
    }

    /// A user has one connection or socket less in this very room.
    pub(super) fn exit_here(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
        grace: bool,
    ) -> Result<(), StorageError> {
        if self.hub.has_user(user) || self.hub.sockets.has_user(&self.room.name, user) {
            return Ok(());
        }
        self.room.roster.exit(sql, now, user, LOCAL, grace)
    }

    pub(super) fn close(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        connection: ConnectionId,
        reason: DisconnectReason,
    ) -> Result<(), StorageError> {
        // Its last frames go out before it is closed: they leave the hub with it otherwise.
        if let Some(frames) = self.hub.take_pending(connection) {
            self.out.push(Output::Send(frames));
        }
        let wire = self.hub.get(connection).map(|c| &c.attachment.wire);
        let is_polling = matches!(wire, Some(Wire::Polling(_)));
        self.leave(sql, now, connection, !reason.is_final())?;
        if !is_polling {
            self.out.push(Output::Close { connection, reason });
        }
        Ok(())
    }

    /// So much waits in the runtime for each of these. It buffers without end for a socket that nobody
    /// reads: who goes on not reading is closed, comes back, and recovers.
    pub(super) fn measured(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        waiting: &[(ConnectionId, usize)],
    ) -> Result<(), StorageError> {
        for (id, bytes) in waiting {
            let connection = self.hub.get_mut(*id);
            if connection.is_some_and(|c| c.is_too_slow(*bytes, now)) {
                self.close(sql, now, *id, DisconnectReason::TooSlow)?;
            }
        }
        Ok(())
    }

    pub(super) fn text(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: ConnectionId,
        text: &str,
    ) -> Result<(), StorageError> {
        let Some(connection) = self.hub.get_mut(id) else {
            return Ok(());
        };
        if text.len() > self.environment.config.max_payload_bytes {
            return self.close(sql, now, id, DisconnectReason::TooBig);
        }
        if let Some(sid) = connection.attachment.sid() {
            let sid = sid.to_owned();
            return self.engine_text(sql, now, id, &sid, text);
        }
        // Answered by the runtime where the object only holds plain sockets; here for the rest.
        if text == "ping" {
            self.hub.send(id, "pong");
            return Ok(());
        }
        let within_rate = connection.rate.take(now, self.environment.config.rate);
        let Some(Plain { claims, access, .. }) = connection.plain().cloned() else {
            return Ok(());
        };
        let frame = plain::decode(text);
        let sender = Sender {
            claims: &claims,
            access,
            from: Origin::Connection(id),
        };
        let decided = match frame.event {
            _ if !within_rate => Err(Refusal::new(
                Code::RateLimited,
                "too many events; slow down",
            )),
            Err(refusal) => Err(refusal),
            Ok(event) if event.event == "refresh" => {
                let id_of = frame.id.as_ref();
                match self.refresh_plain_asked(sql, now, id, id_of, &event.args)? {
                    Some(refreshed) => refreshed.map(|()| ephemeral()),
                    None => return Ok(()),
                }
            }
            Ok(event) => self.client_event(
                sql,
                now,
                &sender,
                &event.event,
                &event.args,
                frame.id.as_deref(),
            )?,
        };
        self.answer_plain(id, frame.id, decided);
        Ok(())
    }

    /// What a plain socket is told of its event.
    pub(super) fn answer_plain(
        &mut self,
        id: ConnectionId,
        client_id: Option<String>,
        decided: Result<Accepted, Refusal>,
    ) {
        match (decided, client_id) {
            (Ok(accepted), Some(client_id)) => {
                self.hub.send(id, plain::ack(&client_id, &accepted));
            }
            (Ok(_), None) => {}
            (Err(refusal), client_id) => {
                self.count_refusal(&refusal);
                self.hub
                    .send(id, plain::error(client_id.as_deref(), &refusal));
            }
        }
    }

    pub(super) fn binary(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: ConnectionId,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        if bytes.len() > self.environment.config.max_payload_bytes {
            return self.close(sql, now, id, DisconnectReason::TooBig);
        }
        let sid = self.hub.get(id).and_then(|c| c.attachment.sid());
        if let Some(sid) = sid.map(str::to_owned) {
            return self.engine_binary(sql, now, id, &sid, bytes);
        }
        let refusal = Refusal::bad_request("a frame is one JSON object, as text");
        self.count_refusal(&refusal);
        self.hub.send(id, plain::error(None, &refusal));
        Ok(())
    }
}
