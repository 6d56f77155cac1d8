//! Who watches this object's sockets, and what they are still to be told; and the admins here, with what
//! is gathered for them. Where nobody watches all of it is empty. Who watches from elsewhere is stored:
//! an object that has slept goes on telling them. All are few, so they are lists.

use super::SocketKey;
use crate::{
    limits::{LINK_MAX_RETRY_MS, LINK_RETRY_MS, MAX_CHANGES, MAX_WATCHERS, NEWS_ATTEMPTS, backoff},
    names::{RoomName, Timestamp},
    storage::{self, Sql, StorageError},
    wire::{Kept, News, Pushed},
};

const KEY: &str = "watchers";

/// What an object knows of watching and being watched.
#[derive(Default)]
pub struct Watch {
    /// This object's own sockets that watch.
    pub admins: Vec<SocketKey>,
    /// The other objects that have such.
    watchers: Vec<Watcher>,
    /// What has happened in this turn, and the number of the last of it.
    changes: Vec<Kept>,
    last: u64,
    /// The last change of each object that the admins here know of.
    known: Vec<(RoomName, u64)>,
    /// What is gathered for them.
    gathering: Option<Gathering>,
}

/// Another object, from which this one is watched.
struct Watcher {
    name: RoomName,
    /// What it is still to be told.
    waiting: Vec<Kept>,
    /// Something did not arrive.
    lost: bool,
    /// News are under way; since then it has begun to watch anew.
    under_way: bool,
    began_anew: bool,
    attempts: u32,
    not_before: Timestamp,
}

impl Watcher {
    const fn new(name: RoomName) -> Self {
        Self {
            name,
            waiting: Vec::new(),
            lost: false,
            under_way: false,
            began_anew: false,
            attempts: 0,
            not_before: Timestamp(0),
        }
    }

    /// When it is told.
    fn due(&self) -> Option<Timestamp> {
        let tries = self.lost && self.attempts < NEWS_ATTEMPTS;
        (!self.under_way && (tries || !self.waiting.is_empty())).then_some(self.not_before)
    }
}

/// What all objects hold, as far as they have said.
#[derive(Default)]
struct Gathering {
    /// Which one it is.
    number: u64,
    waits_for: Vec<RoomName>,
    all: Vec<Kept>,
    /// What has happened meanwhile, and how much that is.
    held: Vec<News>,
    held_events: usize,
}

impl Watch {
    /// As it was stored. Numbers go on above those that any earlier life of the object gave.
    pub fn load(sql: &dyn Sql, now: Timestamp) -> Result<Self, StorageError> {
        let mut watch = Self {
            last: now.0.saturating_mul(1000),
            ..Self::default()
        };
        if let Some(names) = storage::meta(sql, KEY)? {
            for name in names.split(' ') {
                let name = RoomName::parse(name).map_err(|_| StorageError::Corrupt(KEY))?;
                watch.watchers.push(Watcher::new(name));
            }
        }
        Ok(watch)
    }

    fn store(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        if self.watchers.is_empty() {
            return storage::forget_meta(sql, KEY);
        }
        let mut names = String::new();
        for watcher in &self.watchers {
            if !names.is_empty() {
                names.push(' ');
            }
            names.push_str(watcher.name.as_str());
        }
        storage::set_meta(sql, KEY, &names)
    }

    fn watcher(&mut self, name: &RoomName) -> Option<&mut Watcher> {
        self.watchers.iter_mut().find(|w| w.name == *name)
    }

    /// Whether anyone wants to know.
    pub const fn is_watched(&self) -> bool {
        !self.admins.is_empty() || !self.watchers.is_empty()
    }

    // ── Being watched ──

    /// Something has happened to a socket here, and is watched.
    pub fn note(&mut self, change: Kept) {
        self.last = self.last.saturating_add(1);
        self.changes.push(change);
    }

    /// Whether anything has happened in this turn.
    pub const fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The number of the last change.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// An admin there has been given all that is here; false if too many others watch.
    pub fn watched_by(&mut self, sql: &dyn Sql, by: &RoomName) -> Result<bool, StorageError> {
        if let Some(watcher) = self.watcher(by) {
            watcher.waiting.clear();
            watcher.lost = false;
            watcher.began_anew = watcher.under_way;
            return Ok(true);
        }
        if self.watchers.len() >= MAX_WATCHERS {
            return Ok(false);
        }
        self.watchers.push(Watcher::new(by.clone()));
        self.store(sql)?;
        Ok(true)
    }

    /// What has happened in this turn goes to the other objects with the next news; given back for the
    /// admins here.
    pub fn take_changes(&mut self) -> Vec<Kept> {
        let changes = std::mem::take(&mut self.changes);
        for watcher in &mut self.watchers {
            watcher.waiting.extend_from_slice(&changes);
            if watcher.waiting.len() > MAX_CHANGES {
                watcher.waiting.clear();
                watcher.lost = true;
            }
        }
        changes
    }

    /// What goes out now.
    pub fn news(&mut self, from: &RoomName, now: Timestamp) -> Vec<(RoomName, News)> {
        let last = self.last;
        let mut all = Vec::new();
        for watcher in &mut self.watchers {
            if watcher.due().is_some_and(|at| at <= now) {
                watcher.under_way = true;
                watcher.began_anew = false;
                let news = News {
                    from: from.clone(),
                    last,
                    events: std::mem::take(&mut watcher.waiting),
                    lost: std::mem::take(&mut watcher.lost),
                };
                all.push((watcher.name.clone(), news));
            }
        }
        all
    }

    /// `by` has answered what it was told, or has not.
    pub fn answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        by: &RoomName,
        answer: Option<Pushed>,
    ) -> Result<(), StorageError> {
        let at = self.watchers.iter().position(|w| w.name == *by);
        let Some((at, watcher)) = at.and_then(|at| Some((at, self.watchers.get_mut(at)?))) else {
            return Ok(());
        };
        watcher.under_way = false;
        match answer {
            Some(Pushed { linked }) => {
                if !linked && !watcher.began_anew {
                    self.watchers.remove(at);
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
        self.watchers.iter().filter_map(Watcher::due).min()
    }

    // ── Watching ──

    /// A socket is gone; it may have been an admin's.
    pub fn gone(&mut self, key: SocketKey) {
        if let Some(at) = self.admins.iter().position(|admin| *admin == key) {
            self.admins.swap_remove(at);
        }
        if self.admins.is_empty() {
            self.gathering = None;
            self.known.clear();
        }
    }

    /// The admins here are to be shown everything: these have to say what they hold.
    pub fn gather(&mut self, number: u64, objects: Vec<RoomName>) {
        let gathering = self.gathering.get_or_insert_default();
        gathering.number = number;
        gathering.waits_for = objects;
        gathering.all.clear();
    }

    /// An object that was asked for this gathering has said what it holds, or has not and that is to be
    /// said.
    pub fn gathered(&mut self, number: u64, object: &RoomName, all: Result<News, Kept>) {
        let Some(gathering) = self.gathering.as_mut().filter(|g| g.number == number) else {
            return;
        };
        if let Some(at) = gathering.waits_for.iter().position(|one| one == object) {
            gathering.waits_for.swap_remove(at);
        }
        match all {
            Ok(mut news) => {
                gathering.all.append(&mut news.events);
                known(&mut self.known, object, news.last);
            }
            Err(warning) => gathering.all.push(warning),
        }
    }

    /// Whether all that were asked have answered.
    pub fn is_gathered(&self) -> bool {
        let gathering = self.gathering.as_ref();
        gathering.is_some_and(|gathering| gathering.waits_for.is_empty())
    }

    /// What was gathered, with what this very object holds, and what is to be told behind it.
    pub fn take_gathered(&mut self, here: News) -> Option<(Vec<Kept>, Vec<Kept>)> {
        let number = self.gathering.as_ref()?.number;
        let name = here.from.clone();
        self.gathered(number, &name, Ok(here));
        let Gathering { all, held, .. } = self.gathering.take()?;
        let mut fresh = Vec::new();
        for news in held {
            fresh.append(&mut self.fresh(news));
        }
        Some((all, fresh))
    }

    /// What the admins here are to be told now of that. None if it must be asked for anew.
    pub fn heard(&mut self, news: News) -> Option<Vec<Kept>> {
        let Some(gathering) = &mut self.gathering else {
            return Some(self.fresh(news));
        };
        gathering.held_events = gathering.held_events.saturating_add(news.events.len());
        gathering.held.push(news);
        if gathering.held_events <= MAX_CHANGES {
            return Some(Vec::new());
        }
        gathering.held_events = 0;
        gathering.held.clear();
        None
    }

    /// What the admins here do not know of yet.
    fn fresh(
        &mut self,
        News {
            from,
            last,
            mut events,
            ..
        }: News,
    ) -> Vec<Kept> {
        let before = known(&mut self.known, &from, last);
        let new = usize::try_from(last.saturating_sub(before)).unwrap_or(usize::MAX);
        events.split_off(events.len().saturating_sub(new))
    }
}

/// The last change of an object that is known of from now on; gives the one before.
fn known(all: &mut Vec<(RoomName, u64)>, object: &RoomName, last: u64) -> u64 {
    match all.iter_mut().find(|(name, _)| name == object) {
        Some((_, known)) => {
            let before = *known;
            *known = last.max(before);
            before
        }
        None => {
            all.push((object.clone(), last));
            0
        }
    }
}
