//! The lobby's end of its links: for each room that its sockets have joined, how far they have come,
//! and what the room is still to be asked. One request a link and turn; while one is under way the
//! next turn's ops wait for it, so a room does them in the order in which the sockets wanted them.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use super::SocketKey;
use crate::{
    event::Publication,
    limits::{LINK_GIVE_UP_MS, LINK_MAX_RETRY_MS, LINK_RETRY_MS, MAX_LINK_OPS, backoff},
    names::{Epoch, RoomName, StreamPosition, Timestamp, UserId},
    wire::{Entry, Notice, Op},
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

/// An op that waits, or is under way.
#[derive(Debug, Clone)]
pub struct Pending {
    /// What.
    pub op: Op,
    /// For whom.
    pub waiter: Waiter,
    since: Timestamp,
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
    attempts: u32,
    not_before: Timestamp,
    /// What came too early: before the first answer, or behind a gap.
    pub early: Vec<(Epoch, Notice)>,
    /// What was delivered while joins were under way: they may have been answered before it.
    pub recent: VecDeque<Rc<Publication>>,
    /// A gap is being pulled.
    pub is_pulling: bool,
}

impl Link {
    /// Whether the room knows that this object has sockets there, and will go on knowing it: a socket
    /// more need not be said.
    pub fn is_held(&self) -> bool {
        let mut pending = self.under_way.iter().chain(&self.ops);
        let ends = pending.any(|pending| matches!(pending.op, Op::Leave { last: true, .. }));
        self.position.is_some() && !ends
    }

    /// The room has been left. Unless a join came with that, it tells this object nothing until the next.
    pub fn left(&mut self) {
        let mut with_it = self.under_way.iter();
        if !with_it.any(|pending| matches!(pending.op, Op::Join { .. })) {
            self.position = None;
        }
    }

    /// The users of the joins that are not answered yet.
    pub fn joining(&self) -> impl Iterator<Item = &UserId> {
        let pending = self.under_way.iter().chain(&self.ops);
        pending.filter_map(|pending| match &pending.op {
            Op::Join { user, .. } => Some(user),
            _ => None,
        })
    }

    /// Whether any join is not answered yet.
    pub fn is_joining(&self) -> bool {
        self.joining().next().is_some()
    }

    /// An op for the next request; given back if too many wait.
    pub fn ask(&mut self, now: Timestamp, op: Op, waiter: Waiter) -> Result<(), Box<(Op, Waiter)>> {
        if self.ops.len() >= MAX_LINK_OPS && !matches!(op, Op::Leave { .. }) {
            return Err(Box::new((op, waiter)));
        }
        self.ops.push_back(Pending {
            op,
            waiter,
            since: now,
        });
        Ok(())
    }

    /// Asks for what came after the place where this object's sockets are; false if that cannot be asked.
    pub fn pull(&mut self, now: Timestamp) -> bool {
        let Some(since) = self.position.clone() else {
            return false;
        };
        self.is_pulling =
            self.is_pulling || self.ask(now, Op::Pull { since }, Waiter::Pull).is_ok();
        self.is_pulling
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

/// The links.
#[derive(Debug, Default)]
pub struct Links {
    /// By room.
    pub links: BTreeMap<RoomName, Link>,
}

impl Links {
    /// The link to `room`, made if there is none.
    pub fn get(&mut self, room: &RoomName) -> &mut Link {
        self.links.entry(room.clone()).or_default()
    }

    /// The requests that go out now.
    pub fn requests(&mut self, now: Timestamp) -> Vec<(RoomName, Option<StreamPosition>, Vec<Op>)> {
        let mut requests = Vec::new();
        for (room, link) in &mut self.links {
            let free = link.under_way.is_empty() && link.not_before <= now;
            if free && !link.ops.is_empty() {
                link.under_way = std::mem::take(&mut link.ops);
                let ops = link.under_way.iter().map(|pending| pending.op.clone());
                requests.push((room.clone(), link.position.clone(), ops.collect()));
            }
        }
        requests
    }

    /// `room` has answered: the next op that was under way.
    pub fn answered(&mut self, room: &RoomName) -> Option<Pending> {
        let link = self.links.get_mut(room)?;
        link.attempts = 0;
        link.under_way.pop_front()
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
        over
    }

    /// When to try again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.links
            .values()
            .filter(|link| link.under_way.is_empty() && !link.ops.is_empty())
            .map(|link| link.not_before)
            .min()
    }
}
