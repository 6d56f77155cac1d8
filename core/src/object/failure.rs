//! What is said when storage fails a turn.
//!
//! All that the turn wrote is undone, and the machine goes, for its memory is ahead of storage. So goes
//! what memory alone knew: whoever waits for it would wait for ever, and is told, or sent away to come
//! back and recover.

use std::collections::BTreeSet;

use super::{CallId, Input, Object, Output, RequestId, links::Call, tokens::Verifying};
use crate::{
    engine_io,
    error::{Code, Refusal},
    hub::{ConnectionId, DisconnectReason, SocketKey, Wire, plain},
    limits::SCHEMA_NEWER_RETRY_MS,
    names::Timestamp,
    socket_io,
};

/// What had been asked when a turn began.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Began {
    call: u64,
    op: u64,
}

impl Object {
    pub(super) fn note_beginning(&mut self) {
        self.began = Began {
            call: self.last_number,
            op: self.hub.links.asked(),
        };
    }

    /// Storage has failed a turn of these inputs, and this machine goes. What is to be done: those are
    /// sent away who wait for what only it knew of, but for what a turn of several inputs began, for those
    /// are tried again one by one; and who sent the one that failed alone is told.
    pub fn failed(mut self, now: Timestamp, inputs: &[Input], refusal: &Refusal) -> Vec<Output> {
        // What the turn had to say has not happened.
        drop(self.hub.flush());
        let mut forsaken = self.forsaken();
        let mut out = Vec::new();
        if let [one] = inputs {
            out.extend(self.undone(now, one, refusal, &mut forsaken));
        }
        out.extend(self.hub.flush().into_iter().map(Output::Send));
        let is_polling = |id: &ConnectionId| {
            let connection = self.hub.get(*id);
            connection.is_some_and(|c| matches!(c.attachment.wire, Wire::Polling(_)))
        };
        let close = forsaken.into_iter().filter(|id| !is_polling(id));
        out.extend(close.map(send_away));
        out
    }

    /// Those who wait for an answer that came to this machine alone.
    fn forsaken(&self) -> BTreeSet<ConnectionId> {
        let Began { call, op } = self.began;
        let is_old = |id: &CallId| id.0 <= call;
        let of_socket = |key: SocketKey| Some(self.hub.sockets.get(key)?.connection);
        let joins_and_events = self.hub.links.waiting(op).filter_map(of_socket);
        let calls = self.calls.iter().filter(|(id, _)| is_old(id));
        let calls = calls.filter_map(|(_, call)| match call {
            Call::IsMember { key, .. } | Call::Recover { key, .. } => of_socket(*key),
            Call::MaySend { route, .. } => of_socket(route.key),
            Call::Link(_)
            | Call::Push(..)
            | Call::Watch { .. }
            | Call::News(_)
            | Call::Administer => None,
        });
        let verifying = self.verifying.iter().filter(|(id, _)| is_old(id));
        let verifying = verifying.filter_map(|(_, verifying)| match verifying {
            Verifying::Connect { sid, .. } => Some(self.hub.sessions.get(sid)?.transport),
            Verifying::Socket { key, .. } => of_socket(*key),
            Verifying::Plain { connection, .. } => Some(*connection),
        });
        joins_and_events.chain(calls).chain(verifying).collect()
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
