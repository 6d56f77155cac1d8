//! What a run cost, in what the platform counts.

use std::collections::BTreeMap;

/// Counts.
#[derive(Debug, Clone, Default)]
pub struct Costs {
    /// Requests between objects, by what they are for.
    pub hops: BTreeMap<&'static str, u64>,
    /// Turns, each a transaction.
    pub turns: u64,
    /// Objects that were built from what was stored.
    pub wakes: u64,
    /// Timers that rang.
    pub timers: u64,
    /// Alarms that rang.
    pub alarms: u64,
    /// Those of them that woke nothing.
    pub beats: u64,
    /// Alarms that were set: a row each.
    pub alarms_set: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Turns that panicked.
    pub falls: u64,
    /// Objects that were put to sleep.
    pub sleeps: u64,
    /// WebSocket frames sent.
    pub frames: u64,
}

impl Costs {
    /// A request between objects.
    pub fn hop(&mut self, kind: &'static str) {
        *self.hops.entry(kind).or_default() += 1;
    }

    /// All requests between objects.
    pub fn all_hops(&self) -> u64 {
        self.hops.values().sum()
    }
}
