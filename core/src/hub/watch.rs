//! Who watches this object's sockets, and what they are still to be told; and the admins here, with what
//! is gathered for them. Where nobody watches all of it is empty. Who watches from elsewhere is stored:
//! an object that has slept goes on telling them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::SocketKey;
use crate::{
    limits::{
        LINK_MAX_RETRY_MS, LINK_RETRY_MS, MAX_CHANGES, MAX_WATCHERS, REPORT_ATTEMPTS, backoff,
    },
    names::{RoomName, Timestamp},
    storage::{self, Sql, StorageError},
    wire::{Change, Heard, News, Watched},
};

const KEY: &str = "watchers";

/// What an object knows of watching and being watched.
#[derive(Default)]
pub struct Watch {
    /// This object's own sockets that watch.
    pub admins: BTreeSet<SocketKey>,
    /// The other objects that have such.
    watchers: BTreeMap<RoomName, Watcher>,
    /// What has happened in this turn, and the number of the last of it.
    changes: Vec<Change>,
    last: u64,
    /// The last change of each object that the admins here know of.
    known: BTreeMap<RoomName, u64>,
    /// What is gathered for them.
    gathering: Option<Gathering>,
}

/// Another object, from which this one is watched.
#[derive(Default)]
struct Watcher {
    /// What it is still to be told.
    waiting: Vec<Change>,
    /// The number of the last of that.
    last: u64,
    /// Something did not arrive.
    lost: bool,
    /// News are under way; since then it has begun to watch anew.
    under_way: bool,
    began_anew: bool,
    attempts: u32,
    not_before: Timestamp,
}

impl Watcher {
    /// When it is told.
    fn due(&self) -> Option<Timestamp> {
        let tries = self.lost && self.attempts < REPORT_ATTEMPTS;
        (!self.under_way && (tries || !self.waiting.is_empty())).then_some(self.not_before)
    }
}

/// What all objects hold, as far as they have said.
#[derive(Default)]
pub struct Gathering {
    /// Which one it is.
    number: u64,
    waits_for: BTreeSet<RoomName>,
    /// Sockets, and how many there are.
    pub sockets: Vec<Box<RawValue>>,
    /// How many there are.
    pub count: usize,
    /// How the objects are.
    pub stats: Vec<Change>,
    /// Those that have not answered.
    pub silent: Vec<RoomName>,
    /// What has happened meanwhile, where, and with which number.
    held: Vec<(RoomName, u64, Change)>,
}

impl Watch {
    /// As it was stored. Numbers go on above those that any earlier life of the object gave.
    pub fn load(sql: &dyn Sql, now: Timestamp) -> Result<Self, StorageError> {
        let stored = storage::meta(sql, KEY)?;
        let names: Vec<RoomName> = match &stored {
            Some(json) => serde_json::from_str(json).map_err(|_| StorageError::Corrupt(KEY))?,
            None => Vec::new(),
        };
        let watchers = names.into_iter().map(|name| (name, Watcher::default()));
        Ok(Self {
            watchers: watchers.collect(),
            last: now.0.saturating_mul(1000),
            ..Self::default()
        })
    }

    fn store(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        if self.watchers.is_empty() {
            return storage::forget_meta(sql, KEY);
        }
        let names: Vec<&RoomName> = self.watchers.keys().collect();
        let json = serde_json::to_string(&names).map_err(|_| StorageError::Corrupt(KEY))?;
        storage::set_meta(sql, KEY, &json)
    }

    /// Whether anyone wants to know.
    pub fn is_watched(&self) -> bool {
        !self.admins.is_empty() || !self.watchers.is_empty()
    }

    // ── Being watched ──

    /// Something has happened to a socket here.
    pub fn note(&mut self, change: impl FnOnce() -> Change) {
        if self.is_watched() {
            self.last = self.last.saturating_add(1);
            self.changes.push(change());
        }
    }

    /// Whether anything has happened in this turn.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The number of the last change.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// An admin there has been given all that is here; false if too many others watch.
    pub fn watched_by(&mut self, sql: &dyn Sql, by: &RoomName) -> Result<bool, StorageError> {
        let is_new = !self.watchers.contains_key(by);
        if is_new && self.watchers.len() >= MAX_WATCHERS {
            return Ok(false);
        }
        let watcher = self.watchers.entry(by.clone()).or_default();
        watcher.waiting.clear();
        watcher.lost = false;
        watcher.began_anew = watcher.under_way;
        if is_new {
            self.store(sql)?;
        }
        Ok(true)
    }

    /// What has happened in this turn goes to the other objects with the next news; given back with the
    /// first one's number for the admins here.
    pub fn take_changes(&mut self) -> (u64, Vec<Change>) {
        let changes = std::mem::take(&mut self.changes);
        for watcher in self.watchers.values_mut() {
            watcher.last = self.last;
            watcher.waiting.extend(changes.iter().cloned());
            if watcher.waiting.len() > MAX_CHANGES {
                watcher.waiting.clear();
                watcher.lost = true;
            }
        }
        (first_of(self.last, changes.len()), changes)
    }

    /// What goes out now.
    pub fn news(&mut self, from: &RoomName, now: Timestamp) -> Vec<(RoomName, News)> {
        let due = self.watchers.iter_mut();
        let due = due.filter(|(_, watcher)| watcher.due().is_some_and(|at| at <= now));
        let news = due.map(|(by, watcher)| {
            watcher.under_way = true;
            watcher.began_anew = false;
            let changes = std::mem::take(&mut watcher.waiting);
            let news = News {
                from: from.clone(),
                first: first_of(watcher.last, changes.len()),
                changes,
                lost: std::mem::take(&mut watcher.lost),
            };
            (by.clone(), news)
        });
        news.collect()
    }

    /// `by` has answered what it was told, or has not.
    pub fn answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        by: &RoomName,
        heard: Option<Heard>,
    ) -> Result<(), StorageError> {
        let Some(watcher) = self.watchers.get_mut(by) else {
            return Ok(());
        };
        watcher.under_way = false;
        match heard {
            Some(Heard { watching }) => {
                if !watching && !watcher.began_anew {
                    self.watchers.remove(by);
                    return self.store(sql);
                }
                watcher.attempts = 0;
            }
            None => {
                let wait = backoff(LINK_RETRY_MS, watcher.attempts, LINK_MAX_RETRY_MS);
                watcher.not_before = now.plus(wait);
                watcher.attempts = watcher.attempts.saturating_add(1);
                watcher.waiting.clear();
                watcher.lost = true;
            }
        }
        Ok(())
    }

    /// When to try again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.watchers.values().filter_map(Watcher::due).min()
    }

    // ── Watching ──

    /// An admin is gone.
    pub fn gone(&mut self, key: SocketKey) {
        if self.admins.remove(&key) && self.admins.is_empty() {
            self.gathering = None;
            self.known.clear();
        }
    }

    /// The admins here are to be shown everything: these have to say what they hold.
    pub fn gather(&mut self, number: u64, objects: BTreeSet<RoomName>) {
        let held = self.gathering.take().map(|g| g.held).unwrap_or_default();
        self.gathering = Some(Gathering {
            number,
            waits_for: objects,
            held,
            ..Gathering::default()
        });
    }

    /// An object that was asked for this gathering has said what it holds, or has not.
    pub fn gathered(&mut self, number: u64, object: &RoomName, watched: Option<Watched>) {
        let Some(gathering) = self.gathering.as_mut().filter(|g| g.number == number) else {
            return;
        };
        gathering.waits_for.remove(object);
        let Some(watched) = watched else {
            gathering.silent.push(object.clone());
            return;
        };
        self.known.insert(object.clone(), watched.at);
        gathering.sockets.extend(watched.sockets);
        gathering.count = gathering.count.saturating_add(watched.count);
        gathering.stats.push(watched.stats);
    }

    /// Whether all that were asked have answered.
    pub fn is_gathered(&self) -> bool {
        let gathering = self.gathering.as_ref();
        gathering.is_some_and(|gathering| gathering.waits_for.is_empty())
    }

    /// What was gathered, with what this very object holds, and what is to be told behind it.
    pub fn take_gathered(
        &mut self,
        name: &RoomName,
        here: Watched,
    ) -> Option<(Gathering, Vec<Change>)> {
        let number = self.gathering.as_ref()?.number;
        self.gathered(number, name, Some(here));
        let mut gathering = self.gathering.take()?;
        let held = std::mem::take(&mut gathering.held).into_iter();
        let held = held.filter_map(|(from, number, change)| self.fresh(&from, number, change));
        let held = held.collect();
        Some((gathering, held))
    }

    /// What the admins here are to be told now, of what has happened at an object. None if that must be
    /// asked for anew.
    pub fn heard(
        &mut self,
        from: &RoomName,
        first: u64,
        changes: Vec<Change>,
    ) -> Option<Vec<Change>> {
        let numbered = (first..).zip(changes);
        if let Some(gathering) = &mut self.gathering {
            let held = numbered.map(|(number, change)| (from.clone(), number, change));
            gathering.held.extend(held);
            if gathering.held.len() <= MAX_CHANGES {
                return Some(Vec::new());
            }
            gathering.held.clear();
            return None;
        }
        let fresh = numbered.filter_map(|(number, change)| self.fresh(from, number, change));
        Some(fresh.collect())
    }

    /// A change that the admins here do not know of yet.
    fn fresh(&mut self, from: &RoomName, number: u64, change: Change) -> Option<Change> {
        let known = self.known.entry(from.clone()).or_default();
        if number <= *known {
            return None;
        }
        *known = number;
        Some(change)
    }
}

/// The number of the first of so many changes.
fn first_of(last: u64, count: usize) -> u64 {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    last.saturating_sub(count).saturating_add(1)
}
