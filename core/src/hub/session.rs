//! One Engine.IO session: it survives the upgrade from polling to WebSocket (Engine.IO v4,
//! "Upgrade"), and carries one Socket.IO socket for each namespace.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
};

use super::{ConnectionId, Frame, RequestId, Sent, SocketKey, rate::Bucket};
use crate::{
    deadlines::Deadlines, engine_io, limits::MAX_POLL_BACKLOG_BYTES, names::Timestamp, socket_io,
    wire::Door,
};

/// A CONNECT whose token the runtime checks.
#[derive(Debug)]
pub struct Knocking {
    /// Which question to it that is.
    pub call: u64,
    /// What the client has sent to the namespace since.
    pub waiting: Vec<Sent>,
}

/// A session.
pub struct Session {
    /// Its id, `{object}.{random}`.
    pub sid: Rc<str>,
    /// What its handshake said. After a wake its claims are only where they are stored.
    pub door: Door,
    /// Whether they are stored.
    pub has_door: bool,
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
    /// Those that it may have soon, by namespace.
    pub knocking: BTreeMap<String, Knocking>,
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
    /// It is among those that [`Sessions`] will look at again.
    touched: bool,
    /// It is counted as one on a WebSocket.
    on_websocket: bool,
}

/// Pings where each session has timers of its own.
#[derive(Debug, Clone, Copy)]
pub struct PingTimers {
    /// From the last sign of life to the ping.
    pub interval_ms: u64,
    /// From the ping to the end.
    pub timeout_ms: u64,
}

impl PingTimers {
    /// When the session's ping is due, or its end for want of a pong.
    pub fn deadline(self, session: &Session) -> Timestamp {
        match session.pinged_at {
            Some(pinged_at) => pinged_at.plus(self.timeout_ms),
            None => session.heard_at.plus(self.interval_ms),
        }
    }
}

impl Session {
    /// A session that begins.
    pub fn new(
        sid: Rc<str>,
        door: Door,
        transport: ConnectionId,
        is_polling: bool,
        now: Timestamp,
    ) -> Self {
        Self {
            sid,
            door,
            has_door: false,
            transport,
            is_polling,
            probe: None,
            is_probed: false,
            poll: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            decoder: socket_io::Decoder::default(),
            sockets: BTreeMap::new(),
            knocking: BTreeMap::new(),
            rate: Bucket::default(),
            heard_at: now,
            pinged_at: None,
            connect_by: None,
            upgrade_by: None,
            complete_by: None,
            touched: false,
            on_websocket: false,
        }
    }

    /// What may be shown of a session's id: who knows all of it may speak for the client.
    pub fn public_part(sid: &str) -> &str {
        let random = sid.rfind('.').unwrap_or_default().saturating_add(1);
        sid.get(..random.saturating_add(8)).unwrap_or_default()
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

    /// Whether more waits for its next GET than may.
    pub fn is_too_slow(&self) -> bool {
        self.queued_bytes > MAX_POLL_BACKLOG_BYTES
    }

    /// When something is due for it, but for a heartbeat by alarm.
    fn deadline(&self, timers: Option<PingTimers>) -> Option<Timestamp> {
        let ping = timers.map(|timers| timers.deadline(self));
        let slow = self.is_too_slow().then(Timestamp::default);
        [
            self.connect_by,
            self.upgrade_by,
            self.complete_by,
            ping,
            slow,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// The sessions. Questions about all of them are answered without a walk: each one that may have been
/// changed is looked at again first, and no other.
#[derive(Default)]
pub struct Sessions {
    by_sid: HashMap<Rc<str>, Session>,
    timers: Option<PingTimers>,
    touched: Vec<Rc<str>>,
    deadlines: Deadlines<Rc<str>>,
    /// Those whose GET can be answered.
    answerable: Vec<Rc<str>>,
    on_websocket: usize,
}

impl Sessions {
    /// None yet; with these timers, where there are any.
    pub fn new(timers: Option<PingTimers>) -> Self {
        Self {
            timers,
            ..Self::default()
        }
    }

    /// A session that begins.
    pub fn insert(&mut self, mut session: Session) {
        session.touched = true;
        self.touched.push(Rc::clone(&session.sid));
        self.by_sid.insert(Rc::clone(&session.sid), session);
    }

    /// A session is over.
    pub fn remove(&mut self, sid: &str) -> Option<Session> {
        let session = self.by_sid.remove(sid)?;
        self.deadlines.remove(&session.sid);
        let counted = usize::from(session.on_websocket);
        self.on_websocket = self.on_websocket.saturating_sub(counted);
        Some(session)
    }

    /// A session.
    pub fn get(&self, sid: &str) -> Option<&Session> {
        self.by_sid.get(sid)
    }

    /// A session, to change it.
    pub fn get_mut(&mut self, sid: &str) -> Option<&mut Session> {
        let session = self.by_sid.get_mut(sid)?;
        if !session.touched {
            session.touched = true;
            self.touched.push(Rc::clone(&session.sid));
        }
        Some(session)
    }

    /// Whether there is one of this sid.
    pub fn contains(&self, sid: &str) -> bool {
        self.by_sid.contains_key(sid)
    }

    /// The sids of all, sorted: in the order of their hashes no two processes would do the same.
    pub fn sids(&self) -> impl Iterator<Item = &Rc<str>> {
        let mut sids: Vec<&Rc<str>> = self.by_sid.keys().collect();
        sids.sort_unstable();
        sids.into_iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_sid.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_sid.is_empty()
    }

    /// Looks at those again that may have been changed.
    fn look(&mut self) {
        for sid in std::mem::take(&mut self.touched) {
            let Some(session) = self.by_sid.get_mut(&sid) else {
                continue;
            };
            session.touched = false;
            self.deadlines.set(&sid, session.deadline(self.timers));
            match (session.on_websocket, !session.is_polling) {
                (false, true) => self.on_websocket = self.on_websocket.saturating_add(1),
                (true, false) => self.on_websocket = self.on_websocket.saturating_sub(1),
                _ => {}
            }
            session.on_websocket = !session.is_polling;
            if session.poll.is_some() && !session.queue.is_empty() {
                self.answerable.push(sid);
            }
        }
    }

    /// How many are on WebSockets.
    pub fn on_websocket(&mut self) -> usize {
        self.look();
        self.on_websocket
    }

    /// How many poll.
    pub fn polling(&mut self) -> usize {
        self.len().saturating_sub(self.on_websocket())
    }

    /// The GETs that packets wait for, each with its payload of `max_bytes` or so.
    pub fn answers(&mut self, max_bytes: usize) -> Vec<(RequestId, String)> {
        self.look();
        let mut answers = Vec::new();
        for sid in std::mem::take(&mut self.answerable) {
            let Some(session) = self.get_mut(&sid) else {
                continue;
            };
            // It may have been answered otherwise, or have nothing left to say.
            if session.poll.is_some()
                && let Some(payload) = session.take_payload(max_bytes)
                && let Some(request) = session.poll.take()
            {
                answers.push((request, payload));
            }
        }
        answers
    }

    /// When something is due for one, but for a heartbeat by alarm.
    pub fn next_deadline(&mut self) -> Option<Timestamp> {
        self.look();
        self.deadlines.next()
    }

    /// What is known without a walk is what a walk finds.
    #[cfg(test)]
    pub fn check(&mut self) {
        self.look();
        let all = self.by_sid.iter();
        let due = all.map(|(sid, session)| (Rc::clone(sid), session.deadline(self.timers)));
        self.deadlines.check(due);
        let on_websocket = self.by_sid.values().filter(|s| !s.is_polling).count();
        assert_eq!(self.on_websocket, on_websocket);
        let mut polled = self.by_sid.values().filter(|s| s.poll.is_some());
        assert!(polled.all(|session| session.queue.is_empty()));
    }

    /// Those for which something is due.
    pub fn due(&mut self, now: Timestamp) -> Vec<Rc<str>> {
        self.look();
        self.deadlines.due(now).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_waits_for_a_get_and_a_byte_more_is_too_much() {
        let mut session = Session::new(
            "s".into(),
            Door::default(),
            ConnectionId(1),
            true,
            Timestamp(0),
        );
        session.queue(Frame::from("x".repeat(MAX_POLL_BACKLOG_BYTES)));
        assert!(!session.is_too_slow());
        session.queue(Frame::from("x"));
        assert!(session.is_too_slow());
        // The GET takes what it can hold, and then it is not.
        assert!(session.take_payload(10).is_some());
        assert!(!session.is_too_slow());
    }
}
