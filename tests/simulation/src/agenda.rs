//! The clock: what happens when. Time is what the next event says; nothing waits for real.

use std::{cmp::Reverse, collections::BinaryHeap};

use dialtone_core::names::Timestamp;

/// When every run begins.
pub const T0: Timestamp = Timestamp(1_767_607_200_000);

/// What is to happen, soonest first; at one instant in the order in which it was planned.
#[derive(Debug)]
pub struct Agenda<T> {
    now: Timestamp,
    heap: BinaryHeap<Reverse<(Timestamp, u64, Slot)>>,
    planned: u64,
    whats: Vec<Option<T>>,
    free: Vec<usize>,
}

/// Where a [`Agenda`] keeps what is to happen, so that the heap moves small entries only.
type Slot = usize;

impl<T> Agenda<T> {
    /// Nothing is to happen.
    pub fn new() -> Self {
        Self {
            now: T0,
            heap: BinaryHeap::new(),
            planned: 0,
            whats: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Something is to happen then, or now if that is over.
    pub fn at(&mut self, at: Timestamp, what: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.whats.push(None);
            self.whats.len() - 1
        });
        self.whats[slot] = Some(what);
        self.planned += 1;
        self.heap
            .push(Reverse((at.max(self.now), self.planned, slot)));
    }

    /// Something is to happen in so many milliseconds.
    pub fn after(&mut self, ms: u64, what: T) {
        self.at(self.now.plus(ms), what);
    }

    /// The next event up to `until`; the clock is then where it is, and at `until` if there is none.
    pub fn next(&mut self, until: Timestamp) -> Option<T> {
        match self.heap.peek() {
            Some(Reverse((at, ..))) if *at <= until => {
                let Reverse((at, _, slot)) = self.heap.pop()?;
                self.now = at;
                self.free.push(slot);
                self.whats[slot].take()
            }
            _ => {
                self.now = self.now.max(until);
                None
            }
        }
    }
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self::new()
    }
}
