//! A token bucket, in memory: a connection that hibernates comes back with a full one.

use crate::{config::RateConfig, names::Timestamp};

/// Thousandths of an event, so that a slow refill is not lost to rounding.
const MILLI: u64 = 1000;

/// How many events a connection may still send.
#[derive(Debug, Default)]
pub struct Bucket {
    /// What is left, in thousandths; none before the first event.
    left: Option<u64>,
    at: Timestamp,
}

impl Bucket {
    /// Takes one event; false if there is none left.
    pub fn take(&mut self, now: Timestamp, rate: RateConfig) -> bool {
        let full = u64::from(rate.burst).saturating_mul(MILLI);
        let elapsed_ms = now.0.saturating_sub(self.at.0);
        // events/s × ms = thousandths of an event
        let refill = elapsed_ms.saturating_mul(u64::from(rate.events_per_second));
        let left = self
            .left
            .map_or(full, |left| left.saturating_add(refill).min(full));
        self.at = now;
        self.left = Some(left.saturating_sub(if left >= MILLI { MILLI } else { 0 }));
        left >= MILLI
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = RateConfig {
            events_per_second: 2,
            burst: 3,
        };
        let mut bucket = Bucket::default();
        for (at, ok) in [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (499, false),
            (500, true),
            (500, false),
            (9_000, true),
        ] {
            assert_eq!(bucket.take(Timestamp(at), rate), ok, "at {at}");
        }
    }
}
