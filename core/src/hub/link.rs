//! The lobby's end of its links: for each room that its sockets have joined, how far they have come,
//! and what the room is still to be asked. One request a link and turn; while one is under way the
//! next turn's ops wait for it, so a room does them in the order in which the sockets wanted them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
};

use super::{Move, SocketKey, Wait};
use crate::{
    deadlines::Deadlines,
    event::{Args, Publication},
    limits::{LINK_GIVE_UP_MS, LINK_MAX_RETRY_MS, LINK_RETRY_MS, MAX_LINK_OPS, backoff},
    names::{Epoch, RoomName, StreamPosition, Timestamp, UserId},
    wire::{Audience, Entry, Newest, Notice, Op},
};

/// Why a socket joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Its namespace joins it when it connects.
    Connect,
    /// It was in the room when it was cut, where it had come in so.
    Recover(Entry),
    /// Its client asked, with this event and ack id.
    Asked {
        /// The event.
        event: String,
        /// The ack that it wants.
        ack: Option<u64>,
    },
}

/// Who waits for the answer to an op.
#[derive(Debug, Clone)]
pub enum Waiter {
    /// A socket that joins.
    Join {
        /// Which.
        socket: SocketKey,
        /// Why.
        purpose: Purpose,
    },
    /// A socket that sent an event.
    Event {
        /// Which.
        socket: SocketKey,
        /// What.
        event: String,
        /// The ack that it wants.
        ack: Option<u64>,
    },
    /// A leave, which must arrive.
    Leave,
    /// Nobody.
    Nobody,
    /// The link itself, which noticed a gap.
    Pull,
}

impl Waiter {
    /// The socket whose client waits.
    pub const fn socket(&self) -> Option<SocketKey> {
        match self {
            Self::Join { socket, .. }
            | Self::Event {
                socket,
                ack: Some(_),
                ..
            } => Some(*socket),
            Self::Event { .. } | Self::Leave | Self::Nobody | Self::Pull => None,
        }
    }
}

/// An op that waits, or is under way.
#[derive(Debug)]
pub struct Pending {
    /// What.
    pub op: Op,
    /// For whom.
    pub waiter: Waiter,
    since: Timestamp,
    /// What is known by it being there.
    _tokens: Tokens,
}

/// What is known as long as an op has no answer: who waits, and that somebody is on their way.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Who waits.
    pub wait: Option<Wait>,
    /// That they are on their way.
    pub moves: Option<Move>,
}

impl Pending {
    /// Whether it may be tried again after a failure that may have come after the deed.
    fn may_repeat(&self, now: Timestamp) -> bool {
        let young = now < self.since.plus(LINK_GIVE_UP_MS);
        match &self.op {
            Op::Leave { .. } => true,
            Op::Join { .. } | Op::Pull { .. } => young,
            Op::Ask { .. } | Op::Answers { .. } => false,
            // Twice is once where the sender gave it an id.
            Op::Event { id, .. } => young && id.is_some(),
        }
    }
}

/// One link.
#[derive(Debug, Default)]
pub struct Link {
    /// How far this object's sockets have come; none before the first answer.
    pub position: Option<StreamPosition>,
    ops: VecDeque<Pending>,
    under_way: VecDeque<Pending>,
    /// How many joins of each user are among those, and how many leaves that end the link.
    joins: HashMap<String, usize>,
    ends: usize,
    attempts: u32,
    not_before: Timestamp,
    /// What came too early: before the first answer, or behind a gap.
    pub early: Vec<(Epoch, Notice)>,
    /// What was delivered while joins were under way: they may have been answered before it.
    pub recent: VecDeque<Rc<Publication>>,
    /// Likewise who came and who went: an answer that is slower lists who was there before.
    pub diffs: VecDeque<(Args, Audience)>,
    /// A gap is being pulled.
    pub is_pulling: bool,
    /// The room's pushes.
    pub pushes: Newest,
    /// The room must be told whom this object holds there: an earlier machine may have asked otherwise.
    pub is_in_doubt: bool,
}

impl Link {
    /// Whether the room knows that this object has sockets there, and will go on knowing it: a socket
    /// more need not be said.
    pub fn is_held(&self) -> bool {
        self.position.is_some() && self.ends == 0
    }

    /// The room has been left. Unless a join came with that, it tells this object nothing until the next.
    pub fn left(&mut self) {
        let mut with_it = self.under_way.iter();
        if !with_it.any(|pending| matches!(pending.op, Op::Join { .. })) {
            self.position = None;
        }
    }

    /// Whether a join of this user is not answered yet.
    pub fn has_joining(&self, user: &UserId) -> bool {
        self.joins.contains_key(user.as_str())
    }

    /// Whether any join is not answered yet.
    pub fn is_joining(&self) -> bool {
        !self.joins.is_empty()
    }

    fn count(&mut self, op: &Op) {
        match op {
            Op::Join { user, .. } => {
                let count = self.joins.entry(user.as_str().to_owned()).or_default();
                *count = count.saturating_add(1);
            }
            Op::Leave { last: true, .. } => self.ends = self.ends.saturating_add(1),
            _ => {}
        }
    }

    fn uncount(&mut self, op: &Op) {
        match op {
            Op::Join { user, .. } => {
                let count = self.joins.get_mut(user.as_str());
                let left = count.map_or(0, |count| {
                    *count = count.saturating_sub(1);
                    *count
                });
                if left == 0 {
                    self.joins.remove(user.as_str());
                }
            }
            Op::Leave { last: true, .. } => self.ends = self.ends.saturating_sub(1),
            _ => {}
        }
    }

    /// When its next request may go out, if there is anything to ask and none is under way.
    fn due(&self) -> Option<Timestamp> {
        let waits = self.under_way.is_empty() && !self.ops.is_empty();
        waits.then_some(self.not_before)
    }

    /// Whether a request is under way, whose answer may hold what seems to be missing.
    pub fn is_answered_soon(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Whether there is nothing to ask.
    pub fn is_idle(&self) -> bool {
        self.ops.is_empty() && self.under_way.is_empty()
    }
}

/// The links, by room.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<Rc<RoomName>, Link>,
    /// When the requests of those that have something to ask may go out.
    due: Deadlines<Rc<RoomName>>,
}

impl Links {
    /// The link to `room`, if there is one.
    pub fn find(&self, room: &RoomName) -> Option<&Link> {
        self.links.get(room)
    }

    /// The link to `room`, made if there is none.
    pub fn get(&mut self, room: &RoomName) -> &mut Link {
        self.links.entry(Rc::new(room.clone())).or_default()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&RoomName, &mut Link)> {
        self.links.iter_mut().map(|(room, link)| (&**room, link))
    }

    /// The link to `room` is over.
    pub fn remove(&mut self, room: &RoomName) {
        if let Some((room, _)) = self.links.remove_entry(room) {
            self.due.remove(&room);
        }
    }

    /// An op for the next request to `room`; given back if too many wait.
    pub fn ask(
        &mut self,
        now: Timestamp,
        room: &RoomName,
        op: Op,
        waiter: Waiter,
        tokens: Tokens,
    ) -> Result<(), Box<(Op, Waiter)>> {
        let link = self.links.entry(Rc::new(room.clone())).or_default();
        if link.ops.len() >= MAX_LINK_OPS && !matches!(op, Op::Leave { .. }) {
            return Err(Box::new((op, waiter)));
        }
        link.count(&op);
        link.ops.push_back(Pending {
            op,
            waiter,
            since: now,
            _tokens: tokens,
        });
        self.index(room);
        Ok(())
    }

    /// Asks for what came after the place where this object's sockets are; false if that cannot be asked.
    pub fn pull(&mut self, now: Timestamp, room: &RoomName) -> bool {
        let link = self.get(room);
        let Some(since) = link.position.clone() else {
            return false;
        };
        let is_pulling = link.is_pulling
            || self
                .ask(
                    now,
                    room,
                    Op::Pull { since },
                    Waiter::Pull,
                    Tokens::default(),
                )
                .is_ok();
        self.get(room).is_pulling = is_pulling;
        is_pulling
    }

    fn index(&mut self, room: &RoomName) {
        if let Some((room, link)) = self.links.get_key_value(room) {
            self.due.set(room, link.due());
        }
    }

    /// The requests that go out now.
    pub fn requests(&mut self, now: Timestamp) -> Vec<(RoomName, Option<StreamPosition>, Vec<Op>)> {
        let mut requests = Vec::new();
        for room in self.due.take_due(now) {
            if let Some(link) = self.links.get_mut(&room) {
                link.under_way = std::mem::take(&mut link.ops);
                let ops = link.under_way.iter().map(|pending| pending.op.clone());
                requests.push(((*room).clone(), link.position.clone(), ops.collect()));
            }
        }
        requests
    }

    /// `room` has answered: the next op that was under way.
    pub fn answered(&mut self, room: &RoomName) -> Option<Pending> {
        let link = self.links.get_mut(room)?;
        link.attempts = 0;
        let answered = link.under_way.pop_front();
        if let Some(Pending { op, .. }) = &answered {
            link.uncount(op);
        }
        self.index(room);
        answered
    }

    /// `room` did not answer. What may be tried again is, later; what may not is given back.
    pub fn failed(&mut self, now: Timestamp, room: &RoomName) -> Vec<Pending> {
        let Some(link) = self.links.get_mut(room) else {
            return Vec::new();
        };
        link.not_before = now.plus(backoff(LINK_RETRY_MS, link.attempts, LINK_MAX_RETRY_MS));
        link.attempts = link.attempts.saturating_add(1);
        let (again, over): (Vec<_>, Vec<_>) = std::mem::take(&mut link.under_way)
            .into_iter()
            .partition(|pending| pending.may_repeat(now));
        for pending in again.into_iter().rev() {
            link.ops.push_front(pending);
        }
        for Pending { op, .. } in &over {
            link.uncount(op);
        }
        self.index(room);
        over
    }

    /// What is known without a walk is what a walk finds.
    #[cfg(test)]
    pub fn check(&self) {
        let all = self.links.iter();
        self.due
            .check(all.map(|(room, link)| (Rc::clone(room), link.due())));
        for link in self.links.values() {
            let (mut joins, mut ends) = (HashMap::new(), 0);
            for pending in link.under_way.iter().chain(&link.ops) {
                match &pending.op {
                    Op::Join { user, .. } => {
                        *joins.entry(user.as_str().to_owned()).or_default() += 1;
                    }
                    Op::Leave { last: true, .. } => ends += 1,
                    _ => {}
                }
            }
            assert_eq!((&link.joins, link.ends), (&joins, ends));
        }
    }

    /// When to try again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.due.next()
    }
}
