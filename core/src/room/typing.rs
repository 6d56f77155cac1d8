//! Who is typing. It lives in memory alone: it is over in three seconds anyway.

use std::collections::HashMap;

use crate::{
    deadlines::Deadlines,
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
}

/// Those who type.
#[derive(Debug, Default)]
pub struct Typing {
    typists: HashMap<String, Typist>,
    ends: Deadlines<String>,
}

impl Typing {
    /// `user` types, or stops.
    pub fn set(&mut self, now: Timestamp, user: &UserId, from: Origin, is_typing: bool) {
        if is_typing {
            let (key, user) = (user.as_str().to_owned(), user.clone());
            self.ends.set(&key, Some(now.plus(TYPING_MS)));
            self.typists.insert(key, Typist { user, from });
        } else {
            self.remove(user);
        }
    }

    fn remove(&mut self, user: &UserId) {
        if let Some((key, _)) = self.typists.remove_entry(user.as_str()) {
            self.ends.remove(&key);
        }
    }

    /// `user`'s wire is gone; true if they were typing on it.
    pub fn gone(&mut self, user: &UserId, from: &Origin) -> bool {
        let typist = self.typists.get(user.as_str());
        let was_typing = typist.is_some_and(|typist| typist.from == *from);
        if was_typing {
            self.remove(user);
        }
        was_typing
    }

    /// Those who stopped by themselves.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Typist> {
        let over = self.ends.take_due(now).into_iter();
        over.filter_map(|user| self.typists.remove(&user)).collect()
    }

    /// When the next one stops.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.ends.next()
    }
}
