//! The issuer's key set (RFC 7517 §5): which keys it had when it was last seen, and when to look again.
//!
//! One for each isolate; the shell keeps it, does what [`KeySet::next`] says and tells it what came. Keys
//! that were seen once go on working while the issuer cannot be reached: nobody is signed out by its
//! outage. A key that it withdraws is trusted for [`JWKS_MAX_AGE_MS`] more, as long as it can be reached.

use super::jwk::{self, PublicKey};
use crate::{
    limits::{JWKS_LOST_MS, JWKS_MAX_AGE_MS, JWKS_REFRESH_MS, JWKS_RETRY_MS},
    names::Timestamp,
};

/// What is known of the issuer's keys.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<PublicKey>,
    /// When they came; never, so far, if there is no such time.
    came_at: Option<Timestamp>,
    /// When they were last asked for, or had answered. That they came for the first time does not count: a
    /// key that is made right after it need not wait.
    tried_at: Option<Timestamp>,
    /// Since when somebody fetches them.
    fetching_since: Option<Timestamp>,
}

/// What to do before a token is judged by the key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Use,
    /// Fetch it.
    Fetch,
    /// Wait for whoever fetches it.
    Wait,
}

impl KeySet {
    /// The keys, as far as they are known.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Whether there has ever been a set.
    pub const fn is_known(&self) -> bool {
        self.came_at.is_some()
    }

    /// Whether a set must be fetched, or waited for, before a token is judged; `lacks` if the token's key
    /// is not known. Who is told to fetch calls [`KeySet::fetched`] afterwards.
    pub fn next(&mut self, lacks: bool, now: Timestamp) -> Next {
        let passed = |since: Option<Timestamp>, ms| since.is_none_or(|since| since.plus(ms) <= now);
        if !passed(self.fetching_since, JWKS_LOST_MS) {
            // What is known will do for those whose key it has.
            return if lacks { Next::Wait } else { Next::Use };
        }
        let is_due = match self.came_at {
            None => lacks && passed(self.tried_at, JWKS_RETRY_MS),
            came_at => {
                (lacks || passed(came_at, JWKS_MAX_AGE_MS))
                    && passed(self.tried_at, JWKS_REFRESH_MS)
            }
        };
        if !is_due {
            return Next::Use;
        }
        self.tried_at = Some(now);
        self.fetching_since = Some(now);
        Next::Fetch
    }

    /// The issuer's answer; none if it had none in time, or one that is not 200. Says whether it is a key
    /// set: anything else changes nothing.
    pub fn fetched(&mut self, answer: Option<&str>, now: Timestamp) -> bool {
        self.fetching_since = None;
        self.tried_at = Some(now);
        let Some(keys) = answer.and_then(jwk::read_set) else {
            return false;
        };
        if !self.is_known() {
            self.tried_at = None;
        }
        self.keys = keys;
        self.came_at = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: Timestamp = Timestamp(1_767_607_200_000);
    const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// A set that came at `T0`.
    fn known() -> KeySet {
        let mut set = KeySet::default();
        assert_eq!(set.next(true, T0), Next::Fetch);
        assert!(set.fetched(Some(SET), T0));
        set
    }

    #[test]
    fn a_set_is_fetched_when_first_wanted_then_used() {
        let mut set = known();
        for ms in [0, 1, JWKS_MAX_AGE_MS - 1] {
            assert_eq!(set.next(false, T0.plus(ms)), Next::Use, "{ms}");
        }
    }

    #[test]
    fn an_old_set_is_fetched_anew_by_one_while_the_others_go_on() {
        let mut set = known();
        let later = T0.plus(JWKS_MAX_AGE_MS);
        assert_eq!(set.next(false, later), Next::Fetch);
        assert_eq!(set.next(false, later), Next::Use);
        set.fetched(Some(SET), later.plus(50));
        assert_eq!(set.next(false, later.plus(JWKS_MAX_AGE_MS)), Next::Use);
        let again = later.plus(50).plus(JWKS_MAX_AGE_MS);
        assert_eq!(set.next(false, again), Next::Fetch);
    }

    #[test]
    fn a_kid_that_is_missing_is_asked_for_at_most_once_a_minute() {
        let mut set = known();
        let missed = T0.plus(10);
        assert_eq!(set.next(true, missed), Next::Fetch);
        set.fetched(Some(SET), missed);
        for ms in [0, 1, JWKS_REFRESH_MS - 1] {
            assert_eq!(set.next(true, missed.plus(ms)), Next::Use, "{ms}");
        }
        assert_eq!(set.next(true, missed.plus(JWKS_REFRESH_MS)), Next::Fetch);
    }

    #[test]
    fn whoever_needs_what_another_one_fetches_waits_for_it_but_not_for_ever() {
        let mut set = KeySet::default();
        assert_eq!(set.next(true, T0), Next::Fetch);
        assert_eq!(set.next(true, T0), Next::Wait);
        assert_eq!(set.next(true, T0.plus(JWKS_LOST_MS - 1)), Next::Wait);
        assert_eq!(set.next(true, T0.plus(JWKS_LOST_MS)), Next::Fetch);
        assert_eq!(set.next(true, T0.plus(JWKS_LOST_MS)), Next::Wait);
    }

    #[test]
    fn while_the_issuer_is_down_what_is_known_goes_on() {
        let mut set = known();
        let down = T0.plus(JWKS_MAX_AGE_MS);
        assert_eq!(set.next(false, down), Next::Fetch);
        for answer in [None, Some("<html>"), Some("{}"), Some("[[]]"), Some("")] {
            assert!(!set.fetched(answer, down), "{answer:?}");
            assert!(set.is_known() && set.keys().len() == 1, "{answer:?}");
        }
        assert_eq!(set.next(false, down.plus(JWKS_REFRESH_MS - 1)), Next::Use);
        assert_eq!(set.next(false, down.plus(JWKS_REFRESH_MS)), Next::Fetch);
    }

    #[test]
    fn after_a_try_that_took_long_and_failed_nobody_who_waited_tries_again() {
        let mut set = KeySet::default();
        assert_eq!(set.next(true, T0), Next::Fetch);
        let end = T0.plus(10_000);
        assert_eq!(set.next(true, end), Next::Wait);
        set.fetched(None, end);
        assert_eq!(set.next(true, end), Next::Use);
        assert_eq!(set.next(true, end.plus(JWKS_RETRY_MS)), Next::Fetch);
    }

    #[test]
    fn a_set_that_never_came_is_tried_again_soon() {
        let mut set = KeySet::default();
        assert_eq!(set.next(false, T0), Next::Use);
        assert_eq!(set.next(true, T0), Next::Fetch);
        set.fetched(None, T0);
        assert!(!set.is_known());
        assert_eq!(set.next(true, T0.plus(JWKS_RETRY_MS - 1)), Next::Use);
        assert_eq!(set.next(true, T0.plus(JWKS_RETRY_MS)), Next::Fetch);
    }

    #[test]
    fn a_key_that_was_withdrawn_is_gone_with_the_next_set() {
        let mut set = known();
        assert!(set.fetched(Some(r#"{"keys":[]}"#), T0));
        assert!(set.keys().is_empty() && set.is_known());
    }

    proptest! {
        #[test]
        fn no_set_panics(text in any::<String>(), value in "[\\[\\]{}\",:a-z0-9]{0,60}") {
            let mut set = KeySet::default();
            set.fetched(Some(&text), T0);
            set.fetched(Some(&format!(r#"{{"keys":{value}}}"#)), T0);
            set.fetched(Some(&format!(r#"{{"keys":[{value}]}}"#)), T0);
        }

        #[test]
        fn whatever_happens_the_issuer_is_asked_at_most_once_a_minute(
            steps in proptest::collection::vec((0_u64..30_000, any::<bool>(), 0..3_u8), 1..200),
        ) {
            let mut set = known();
            let (mut now, mut fetches) = (T0, Vec::new());
            for (ms, lacks, answer) in steps {
                now = now.plus(ms);
                if set.next(lacks, now) == Next::Fetch {
                    fetches.push(now);
                    match answer {
                        0 => { set.fetched(Some(SET), now); }
                        1 => { set.fetched(None, now); }
                        _ => {} // it never comes back
                    }
                }
            }
            for window in fetches.windows(2) {
                prop_assert!(window[0].plus(JWKS_REFRESH_MS) <= window[1]);
            }
        }
    }
}
