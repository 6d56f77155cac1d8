//! Who is typing. It lives in memory alone: it is over in three seconds anyway.

use std::collections::HashMap;

use crate::{
    limits::TYPING_MS,
    names::{Timestamp, UserId},
    object::Origin,
};

/// Someone who types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typist {
    /// Who.
    pub user: UserId,
    /// On which wire; it is not told of itself.
    pub from: Origin,
    until: Timestamp,
}

/// Those who type.
#[derive(Debug, Default)]
pub struct Typing {
    typists: HashMap<String, Typist>,
}

impl Typing {
    /// `user` types, or stops.
    pub fn set(&mut self, now: Timestamp, user: &UserId, from: Origin, is_typing: bool) {
        if is_typing {
            let typist = Typist {
                user: user.clone(),
                from,
                until: now.plus(TYPING_MS),
            };
            self.typists.insert(user.as_str().to_owned(), typist);
        } else {
            self.typists.remove(user.as_str());
        }
    }

    /// `user`'s wire is gone; true if they were typing on it.
    pub fn gone(&mut self, user: &UserId, from: &Origin) -> bool {
        let typist = self.typists.get(user.as_str());
        typist.is_some_and(|typist| typist.from == *from)
            && self.typists.remove(user.as_str()).is_some()
    }

    /// Those who stopped by themselves.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Typist> {
        let over: Vec<Typist> = self
            .typists
            .values()
            .filter(|typist| typist.until <= now)
            .cloned()
            .collect();
        for typist in &over {
            self.typists.remove(typist.user.as_str());
        }
        over
    }

    /// When the next one stops.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.typists.values().map(|typist| typist.until).min()
    }
}
