//! How many there are of each of some things, counted by tokens that are kept with what is known of each.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    hash::Hash,
    rc::Rc,
};

#[derive(Debug)]
struct Counts<K> {
    counts: HashMap<K, usize>,
    changed: BTreeSet<K>,
}

/// The counts.
#[derive(Debug)]
pub struct Tally<K>(Rc<RefCell<Counts<K>>>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Counts {
            counts: HashMap::new(),
            changed: BTreeSet::new(),
        })))
    }
}

/// One, until it is dropped.
#[derive(Debug)]
pub struct Token<K: Clone + Ord + Hash> {
    key: K,
    counts: Rc<RefCell<Counts<K>>>,
}

impl<K: Clone + Ord + Hash> Drop for Token<K> {
    fn drop(&mut self) {
        let Ok(mut counts) = self.counts.try_borrow_mut() else {
            return;
        };
        if let Some(count) = counts.counts.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.counts.remove(&self.key);
                counts.changed.insert(self.key.clone());
            }
        }
    }
}

impl<K: Clone + Ord + Hash> Tally<K> {
    /// One more.
    pub fn token(&self, key: K) -> Token<K> {
        let mut counts = self.0.borrow_mut();
        let count = counts.counts.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        if *count == 1 {
            counts.changed.insert(key.clone());
        }
        Token {
            key,
            counts: Rc::clone(&self.0),
        }
    }

    /// Whether there is any.
    pub fn has(&self, key: &K) -> bool {
        self.0.borrow().counts.contains_key(key)
    }

    /// As if it had changed.
    pub fn touch(&self, key: K) {
        self.0.borrow_mut().changed.insert(key);
    }

    /// Those of which there is one where there was none since this was last asked, or the other way round,
    /// if only for a while.
    pub fn take_changed(&self) -> BTreeSet<K> {
        std::mem::take(&mut self.0.borrow_mut().changed)
    }
}
