//! One Engine.IO session: it survives the upgrade from polling to WebSocket (Engine.IO v4,
//! "Upgrade"), and carries one Socket.IO socket for each namespace.

use std::collections::{BTreeMap, VecDeque};

use super::{ConnectionId, Frame, RequestId, SocketKey, rate::Bucket};
use crate::{engine_io, names::Timestamp, socket_io, wire::Door};

/// A session.
pub struct Session {
    /// Its id, `{object}.{random}`.
    pub sid: String,
    /// What its handshake said.
    pub door: Door,
    /// The wire that it speaks on.
    pub transport: ConnectionId,
    /// Whether that wire is polling.
    pub is_polling: bool,
    /// A WebSocket that it is about to be upgraded to.
    pub probe: Option<ConnectionId>,
    /// It has said so: GETs come back at once, so that it can go on there.
    pub is_probed: bool,
    /// A GET that waits for packets.
    pub poll: Option<RequestId>,
    /// What waits for a GET.
    pub queue: VecDeque<Frame>,
    /// How many bytes that is.
    pub queued_bytes: usize,
    /// The half of a binary packet that has come.
    pub decoder: socket_io::Decoder,
    /// Its sockets, by namespace.
    pub sockets: BTreeMap<String, SocketKey>,
    /// How many events it may still send.
    pub rate: Bucket,
    /// When the client was last heard of.
    pub heard_at: Timestamp,
    /// The ping that it has not answered, where pings are timed.
    pub pinged_at: Option<Timestamp>,
    /// Until when it must have connected to a namespace.
    pub connect_by: Option<Timestamp>,
    /// Until when the upgrade must be through.
    pub upgrade_by: Option<Timestamp>,
    /// Until when the rest of a binary packet must have come.
    pub complete_by: Option<Timestamp>,
}

impl Session {
    /// A session that begins.
    pub fn new(
        sid: String,
        door: Door,
        transport: ConnectionId,
        is_polling: bool,
        now: Timestamp,
    ) -> Self {
        Self {
            sid,
            door,
            transport,
            is_polling,
            probe: None,
            is_probed: false,
            poll: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            decoder: socket_io::Decoder::default(),
            sockets: BTreeMap::new(),
            rate: Bucket::default(),
            heard_at: now,
            pinged_at: None,
            connect_by: None,
            upgrade_by: None,
            complete_by: None,
        }
    }

    /// There is no upgrade under way any more; says which WebSocket it was to.
    pub fn forget_probe(&mut self) -> Option<ConnectionId> {
        self.upgrade_by = None;
        self.is_probed = false;
        self.probe.take()
    }

    /// A packet for the next GET.
    pub fn queue(&mut self, frame: Frame) {
        self.queued_bytes = self.queued_bytes.saturating_add(frame.len());
        self.queue.push_back(frame);
    }

    /// A polling payload of what waits: at least one packet, and about `max_bytes` at most. None if
    /// nothing waits.
    pub fn take_payload(&mut self, max_bytes: usize) -> Option<String> {
        let mut payload = String::new();
        while let Some(frame) = self.queue.front() {
            if !payload.is_empty() {
                if payload.len().saturating_add(frame.len()) > max_bytes {
                    break;
                }
                payload.push('\x1e');
            }
            self.queued_bytes = self.queued_bytes.saturating_sub(frame.len());
            match self.queue.pop_front() {
                Some(Frame::Text(text)) => payload.push_str(&text),
                Some(Frame::Binary(bytes)) => {
                    payload.push_str(&engine_io::Packet::Binary(bytes.to_vec()).encode());
                }
                None => break,
            }
        }
        (!payload.is_empty()).then_some(payload)
    }

    /// When something is due for it, but for the heartbeat.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.connect_by, self.upgrade_by, self.complete_by]
            .into_iter()
            .flatten()
            .min()
    }
}
