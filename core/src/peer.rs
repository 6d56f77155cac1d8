//! What two objects say to each other on a WebSocket of their own, and when such a socket is worth
//! having. A question on it costs an eighth of a request's CPU and a twentieth of its price, but
//! while it is open the one who asks cannot hibernate.
//!
//! ```text
//! question   {number}\n{the JSON of a wire::Request}
//! answer     {number}\n{JSON}
//!            {number}\n                                where it was refused, or there is none
//! ```

use crate::{
    limits::{PEER_SOCKET_AFTER, PEER_WINDOW_MS},
    names::Timestamp,
};

/// The header of the upgrade request that opens a peer socket; set by an object alone, like
/// [`CONNECT_HEADER`](crate::wire::CONNECT_HEADER).
pub const PEER_HEADER: &str = "x-dialtone-peer";

/// A question or an answer.
pub fn frame(number: u64, json: &str) -> String {
    format!("{number}\n{json}")
}

/// Reads one: its number, and what is not empty of the rest.
pub fn parse(frame: &str) -> Option<(u64, Option<&str>)> {
    let (number, json) = frame.split_once('\n')?;
    Some((number.parse().ok()?, (!json.is_empty()).then_some(json)))
}

/// How often another object was asked lately.
#[derive(Debug, Default, Clone, Copy)]
pub struct Traffic {
    asked: u32,
    since: Timestamp,
    /// How often in the window before this one.
    before: u32,
}

impl Traffic {
    /// It is asked once more. Says whether a socket is worth it.
    pub fn asks(&mut self, now: Timestamp) -> bool {
        self.roll(now);
        self.asked = self.asked.saturating_add(1);
        self.is_busy()
    }

    /// So little was asked lately that a socket is not worth it any more.
    pub fn is_over(&mut self, now: Timestamp) -> bool {
        self.roll(now);
        !self.is_busy()
    }

    fn roll(&mut self, now: Timestamp) {
        if now < self.since.plus(PEER_WINDOW_MS) {
            return;
        }
        let is_next = now < self.since.plus(2 * PEER_WINDOW_MS);
        self.before = if is_next { self.asked } else { 0 };
        self.asked = 0;
        self.since = now;
    }

    const fn is_busy(&self) -> bool {
        self.asked >= PEER_SOCKET_AFTER || self.before >= PEER_SOCKET_AFTER
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        for (text, expected) in [
            ("7\n{}", Some((7, Some("{}")))),
            ("7\n", Some((7, None))),
            ("7\n{\"a\":\"\\n\"}\n", Some((7, Some("{\"a\":\"\\n\"}\n")))),
            ("7", None),
            ("\n{}", None),
            ("-1\n{}", None),
            ("x\n{}", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(frame(7, "{}"), "7\n{}");
        assert_eq!(frame(7, ""), "7\n");
    }

    #[test]
    fn a_socket_is_worth_it_while_much_is_asked() {
        let worth = |every_ms: u64, times: u64| {
            let mut traffic = Traffic::default();
            let asks = (0..times).map(|n| traffic.asks(Timestamp(1_000_000 + n * every_ms)));
            asks.filter(|worth| *worth).count()
        };
        let first = PEER_SOCKET_AFTER as usize - 1;
        assert_eq!(worth(1, 5_000), 5_000 - first, "for as long as it goes on");
        assert_eq!(worth(50, 100), 100 - first);
        assert_eq!(
            worth(PEER_WINDOW_MS / 4, 100),
            0,
            "four a second are not much"
        );
        assert_eq!(worth(PEER_WINDOW_MS, 100), 0);
    }

    #[test]
    fn it_is_over_when_little_was_asked_for_a_while() {
        let mut traffic = Traffic::default();
        let start = Timestamp(1_000_000);
        assert!(traffic.is_over(start));
        for _ in 0..PEER_SOCKET_AFTER {
            traffic.asks(start);
        }
        assert!(!traffic.is_over(start.plus(PEER_WINDOW_MS)));
        traffic.asks(start.plus(PEER_WINDOW_MS));
        assert!(traffic.is_over(start.plus(2 * PEER_WINDOW_MS)));
    }

    proptest! {
        #[test]
        fn no_frame_panics(text in ".{0,100}") {
            parse(&text);
        }
    }
}
