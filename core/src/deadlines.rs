//! What is due when, of many things: asked at the end of every turn, so it must not walk them.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use crate::names::Timestamp;

/// When each of some things is due, by the clock or by another count. A change costs O(log n), the
/// question for the first one nothing.
#[derive(Debug)]
pub struct Deadlines<K, At = Timestamp> {
    order: BTreeSet<(At, K)>,
    at: HashMap<K, At>,
}

impl<K, At> Default for Deadlines<K, At> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            at: HashMap::new(),
        }
    }
}

impl<K: Clone + Ord + Hash, At: Copy + Ord> Deadlines<K, At> {
    /// `key` is due then, or never.
    pub fn set(&mut self, key: &K, at: Option<At>) {
        if self.at.get(key).copied() == at {
            return;
        }
        self.remove(key);
        if let Some(at) = at {
            self.order.insert((at, key.clone()));
            self.at.insert(key.clone(), at);
        }
    }

    /// `key` is gone. Says when it was due.
    pub fn remove(&mut self, key: &K) -> Option<At> {
        let (key, at) = self.at.remove_entry(key)?;
        self.order.remove(&(at, key));
        Some(at)
    }

    /// When the first is due.
    pub fn next(&self) -> Option<At> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Which is due first.
    pub fn first(&self) -> Option<&K> {
        self.order.first().map(|(_, key)| key)
    }

    /// Those that are due by `now`, the first first.
    pub fn due(&self, now: At) -> impl Iterator<Item = &K> {
        let due = self.order.iter().take_while(move |(at, _)| *at <= now);
        due.map(|(_, key)| key)
    }

    /// Panics unless it has these, each at its time, and no others.
    #[cfg(test)]
    pub fn check(&self, all: impl Iterator<Item = (K, Option<At>)>)
    where
        K: std::fmt::Debug,
        At: std::fmt::Debug,
    {
        let all: HashMap<K, At> = all.filter_map(|(key, at)| Some((key, at?))).collect();
        assert_eq!(self.at, all);
        let order: BTreeSet<(At, K)> = all.into_iter().map(|(key, at)| (at, key)).collect();
        assert_eq!(self.order, order);
    }

    /// Those that are due by `now`, the first first; they are not due any more.
    pub fn take_due(&mut self, now: At) -> Vec<K> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.order.first()
            && *at <= now
            && let Some((_, key)) = self.order.pop_first()
        {
            self.at.remove(&key);
            due.push(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_says_what_a_walk_would_say(
            changes in prop::collection::vec((0_u8..8, prop::option::of(0_u64..20), 0_u64..20, any::<bool>()), 0..60)
        ) {
            let (mut deadlines, mut all) = (Deadlines::default(), BTreeMap::new());
            for (key, at, now, take) in changes {
                let at = at.map(Timestamp);
                deadlines.set(&key, at);
                match at {
                    Some(at) => drop(all.insert(key, at)),
                    None => drop(all.remove(&key)),
                }
                prop_assert_eq!(deadlines.next(), all.values().min().copied());
                let now = Timestamp(now);
                let mut due: Vec<_> = all.iter().filter(|(_, at)| **at <= now).map(|(k, at)| (*at, *k)).collect();
                due.sort();
                let due: Vec<u8> = due.into_iter().map(|(_, key)| key).collect();
                prop_assert_eq!(deadlines.due(now).copied().collect::<Vec<_>>(), due.clone());
                if take {
                    prop_assert_eq!(deadlines.take_due(now), due);
                    all.retain(|_, at| *at > now);
                }
                deadlines.check(all.iter().map(|(key, at)| (*key, Some(*at))));
            }
        }
    }
}
