//! What a run did and what it cost, in the platform's units.

use std::fmt;

use crate::{costs::Costs, world::World};

/// Figures of a part of a run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// What the platform counts.
    pub costs: Costs,
    /// Messages that were accepted, to be kept.
    pub accepted: u64,
    /// Messages that clients saw, all together.
    pub delivered: u64,
    /// Rows written by lobbies.
    pub lobby_rows: u64,
    /// Rows written by rooms.
    pub room_rows: u64,
    /// Sessions that went on after a cut.
    pub recovered: u64,
    /// Sessions that had to begin anew.
    pub not_recovered: u64,
    /// Objects at the end.
    pub objects: u64,
    /// Virtual time, in ms.
    pub ms: u64,
}

impl Figures {
    /// So far.
    pub fn of(world: &World) -> Self {
        let ledger = &world.ledger;
        let accepted = ledger.messages.iter().filter(|m| m.accepted.is_some());
        Self {
            costs: world.costs.clone(),
            accepted: accepted.count() as u64,
            delivered: ledger.delivered,
            lobby_rows: world.rows_written(true),
            room_rows: world.rows_written(false),
            recovered: ledger.recovered,
            not_recovered: ledger.not_recovered,
            objects: world.awake().1 as u64,
            ms: world.now().0,
        }
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(mut self, before: &Self) -> Self {
        for (kind, count) in &mut self.costs.hops {
            *count -= before.costs.hops.get(kind).copied().unwrap_or_default();
        }
        let (costs, then) = (&mut self.costs, &before.costs);
        costs.turns -= then.turns;
        costs.wakes -= then.wakes;
        costs.timers -= then.timers;
        costs.alarms -= then.alarms;
        costs.beats -= then.beats;
        costs.alarms_set -= then.alarms_set;
        costs.crashes -= then.crashes;
        costs.falls -= then.falls;
        costs.sleeps -= then.sleeps;
        costs.frames -= then.frames;
        self.accepted -= before.accepted;
        self.delivered -= before.delivered;
        self.lobby_rows -= before.lobby_rows;
        self.room_rows -= before.room_rows;
        self.recovered -= before.recovered;
        self.not_recovered -= before.not_recovered;
        self.ms -= before.ms;
        self
    }

    /// The run is over: what counts up to its end.
    pub fn finish(&mut self, world: &World) {
        self.costs.beats = world.costs.beats;
        self.recovered = world.ledger.recovered;
        self.not_recovered = world.ledger.not_recovered;
        self.objects = world.awake().1 as u64;
    }
}

/// `a / b`, for people.
fn per(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            costs,
            accepted,
            delivered,
            ..
        } = self;
        let hops = costs.all_hops();
        writeln!(
            f,
            "{accepted} messages accepted, {delivered} seen in {:.0} s of simulated time; {} objects; {} turns",
            self.ms as f64 / 1000.0,
            self.objects,
            costs.turns
        )?;
        writeln!(
            f,
            "{} processes died, {} turns panicked, {} objects slept, {} woke; of {} sessions that were cut {} went on",
            costs.crashes,
            costs.falls,
            costs.sleeps,
            costs.wakes,
            self.recovered + self.not_recovered,
            self.recovered
        )?;
        writeln!(
            f,
            "requests between objects: {hops} ({}): {:.3} a message, {:.5} a delivery",
            costs
                .hops
                .iter()
                .map(|(kind, count)| format!("{kind} {count}"))
                .collect::<Vec<_>>()
                .join(", "),
            per(hops, *accepted),
            per(hops, *delivered)
        )?;
        writeln!(
            f,
            "rows written a message: {:.2} in rooms, {:.2} in lobbies",
            per(self.room_rows, *accepted),
            per(self.lobby_rows, *accepted)
        )?;
        write!(
            f,
            "alarms: {} rang, {} set (a row each); to the end, {} that woke nothing",
            costs.alarms, costs.alarms_set, costs.beats
        )
    }
}
