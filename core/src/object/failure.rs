//! What is said when storage fails a turn.
//!
//! All that the turn wrote is undone, and the machine goes, for its memory is ahead of storage. So goes
//! what memory alone knew: whoever waits for it would wait for ever, and is told, or sent away to come
//! back and recover.

use std::collections::BTreeSet;

use super::{Input, Object, Output, RequestId};
use crate::{
    engine_io,
    error::{Code, Refusal},
    hub::{ConnectionId, DisconnectReason, SocketKey, Wire, plain},
    limits::SCHEMA_NEWER_RETRY_MS,
    names::Timestamp,
    socket_io,
};

impl Object {
    /// Storage has failed a turn of these inputs, and this machine goes. What is to be done: those are
    /// sent away who wait for what only it knew of, but for what a turn of several inputs began, for those
    /// are tried again one by one; and who sent the one that failed alone is told.
    pub fn failed(mut self, now: Timestamp, inputs: &[Input], refusal: &Refusal) -> Vec<Output> {
        // What the turn had to say has not happened.
        drop(self.hub.flush());
        let mut forsaken: BTreeSet<_> = self.hub.awaited.since_last_turn().collect();
        let mut out = Vec::new();
        if let [one] = inputs {
            out.extend(self.undone(now, one, refusal, &mut forsaken));
        }
        out.extend(self.hub.flush().into_iter().map(Output::Send));
        let has_socket = |id: &ConnectionId| {
            let connection = self.hub.get(*id);
            connection.is_some_and(|c| !matches!(c.attachment.wire, Wire::Polling(_)))
        };
        let close = forsaken.into_iter().filter(has_socket);
        out.extend(close.map(send_away));
        out
    }

    /// Tells who sent this, on the wire that it came on.
    fn undone(
        &mut self,
        now: Timestamp,
        input: &Input,
        refusal: &Refusal,
        forsaken: &mut BTreeSet<ConnectionId>,
    ) -> Option<Output> {
        let (Input::Text { connection, .. } | Input::Binary { connection, .. }) = input else {
            return input.undone(now, refusal);
        };
        let text = match input {
            Input::Text { text, .. } => text,
            _ => "",
        };
        if self
            .hub
            .get(*connection)
            .is_some_and(|c| c.plain().is_some())
        {
            let id = plain::decode(text).id;
            self.hub
                .send(*connection, plain::error(id.as_deref(), refusal));
        } else if let Some((key, event, ack)) = self.event_of(*connection, text) {
            self.refuse_undone(key, &event, ack, refusal);
        } else {
            forsaken.insert(*connection);
        }
        None
    }

    /// The event that a text frame is, and whose.
    fn event_of(
        &self,
        connection: ConnectionId,
        text: &str,
    ) -> Option<(SocketKey, String, Option<u64>)> {
        let sid = self.hub.get(connection)?.attachment.sid()?;
        let session = self.hub.sessions.get(sid)?;
        let engine_io::Packet::Message(message) = engine_io::Packet::decode(text).ok()? else {
            return None;
        };
        let config = &self.environment.config;
        let mut decoder = socket_io::Decoder::default();
        let packet = config
            .parser
            .text(&mut decoder, &message, config.max_payload_bytes);
        let Ok(Some(socket_io::Packet::Event {
            namespace,
            id,
            event,
            ..
        })) = packet
        else {
            return None;
        };
        Some((*session.sockets.get(&namespace)?, event, id))
    }
}

impl Input {
    /// The request that it is.
    pub const fn request(&self) -> Option<RequestId> {
        match self {
            Self::Open { request, .. }
            | Self::Request { request, .. }
            | Self::Engine { request, .. } => Some(*request),
            _ => None,
        }
    }

    /// What its sender is told whom this has stopped, where there is no machine that knows the wire: nothing
    /// of it has happened.
    pub fn undone(&self, now: Timestamp, refusal: &Refusal) -> Option<Output> {
        match self {
            // The version that can ring it is to find it.
            Self::Alarm { .. } if refusal.code == Code::SchemaNewer => Some(Output::Wake {
                timer: None,
                alarm: Some(now.plus(SCHEMA_NEWER_RETRY_MS)),
            }),
            Self::Text { connection, .. } | Self::Binary { connection, .. } => {
                Some(send_away(*connection))
            }
            _ => self.request().map(|request| Output::Reply {
                request,
                answer: Err(refusal.clone()),
            }),
        }
    }
}

/// It comes back.
const fn send_away(connection: ConnectionId) -> Output {
    Output::Close {
        connection,
        reason: DisconnectReason::ServerRestarting,
    }
}
