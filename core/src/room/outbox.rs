//! What must still reach other rooms, or a backend. An entry is committed with the publication that
//! caused it and deleted once it has arrived; a room accepts it once, by its dedupe key. Entries for one
//! room go out in order, those that are due together in one request; those for a backend one by one.
//! One that its room cannot take (it may make it panic) holds up the others for so long and no longer: after
//! [`OUTBOX_TRIES_IN_ORDER`] tries it goes *alone*, out of order, whenever it is due.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    deadlines::Deadlines,
    limits::{
        EVENT_WEBHOOK_GIVE_UP_MS, MAX_TIMER_MS, OUTBOX_IN_FLIGHT, OUTBOX_MAX_RETRY_MS,
        OUTBOX_RETRY_MS, OUTBOX_TRIES_IN_ORDER, backoff,
    },
    names::{RoomName, Timestamp},
    storage::{Sql, StorageError, text, unsigned},
    wire::Parcel,
};

/// The id of an entry: its row.
pub type EntryId = u64;

/// Where an entry goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Another room.
    Room(RoomName),
    /// `EVENT_WEBHOOK_URL`.
    EventWebhook,
}

const EVENT_WEBHOOK: &str = "event-webhook";

impl Target {
    /// As it is stored. Rooms' names have a colon.
    fn parse(text: &str) -> Option<Self> {
        match text {
            EVENT_WEBHOOK => Some(Self::EventWebhook),
            room => RoomName::parse(room).ok().map(Self::Room),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => room.fmt(f),
            Self::EventWebhook => f.write_str(EVENT_WEBHOOK),
        }
    }
}

struct Entry {
    target: Target,
    parcel: Parcel,
    since: Timestamp,
    due: Timestamp,
    attempts: u64,
}

impl Entry {
    /// Whether it goes out of order.
    fn is_alone(&self) -> bool {
        self.attempts >= OUTBOX_TRIES_IN_ORDER && matches!(self.target, Target::Room(_))
    }
}

/// The entries of one target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Queue {
    in_order: BTreeSet<EntryId>,
    /// Those that go out of order, by when they are due.
    alone: BTreeSet<(Timestamp, EntryId)>,
}

impl Queue {
    fn insert(&mut self, id: EntryId, entry: &Entry) {
        if entry.is_alone() {
            self.alone.insert((entry.due, id));
        } else {
            self.in_order.insert(id);
        }
    }

    fn remove(&mut self, id: EntryId, entry: &Entry) {
        self.in_order.remove(&id);
        self.alone.remove(&(entry.due, id));
    }

    fn is_empty(&self) -> bool {
        self.in_order.is_empty() && self.alone.is_empty()
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// To whom.
    pub target: Target,
    /// The entries that it carries.
    pub entries: Vec<EntryId>,
    /// What they say, in order.
    pub parcels: Vec<Parcel>,
}

/// The entries, all of them in memory: they are few and short-lived.
#[derive(Default)]
pub struct Outbox {
    entries: BTreeMap<EntryId, Entry>,
    /// The entries of each target.
    queues: BTreeMap<Target, Queue>,
    /// When the first entry of each is due, but for those that are in flight.
    due: Deadlines<Target>,
    last_id: EntryId,
    in_flight: BTreeSet<Target>,
}

impl Outbox {
    /// Reads the stored entries; none of them is in flight after a wake.
    pub fn load(sql: &dyn Sql) -> Result<Self, StorageError> {
        let corrupt = || StorageError::Corrupt("outbox entry");
        let mut outbox = Self::default();
        let rows = sql.run(
            "SELECT id, target, parcel, due_at, attempts, at FROM outbox",
            &[],
        )?;
        for row in rows {
            let id = row.unsigned(0, "outbox entry")?;
            let entry = Entry {
                target: Target::parse(row.text(1, "outbox entry")?).ok_or_else(corrupt)?,
                parcel: row.json(2, "outbox entry")?,
                due: Timestamp(row.unsigned(3, "outbox entry")?),
                attempts: row.unsigned(4, "outbox entry")?,
                since: Timestamp(row.unsigned(5, "outbox entry")?),
            };
            outbox.insert(id, entry);
            outbox.last_id = outbox.last_id.max(id);
        }
        Ok(outbox)
    }

    fn insert(&mut self, id: EntryId, entry: Entry) {
        let target = entry.target.clone();
        let queue = self.queues.entry(target.clone()).or_default();
        queue.insert(id, &entry);
        self.entries.insert(id, entry);
        self.index(&target);
    }

    fn index(&mut self, target: &Target) {
        let queue = self.queues.get(target);
        let queue = queue.filter(|_| !self.in_flight.contains(target));
        let due = queue.and_then(|queue| {
            let first = queue.in_order.first();
            let in_order = first.and_then(|id| self.entries.get(id)).map(|e| e.due);
            let alone = queue.alone.first().map(|(due, _)| *due);
            in_order.into_iter().chain(alone).min()
        });
        self.due.set(target, due);
    }

    /// Keeps `parcel` until `target` has it.
    pub fn push(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        target: Target,
        parcel: Parcel,
    ) -> Result<(), StorageError> {
        self.last_id = self.last_id.saturating_add(1);
        let json = serde_json::to_string(&parcel).map_err(|_| StorageError::Corrupt("parcel"))?;
        sql.run(
            "INSERT INTO outbox (id, target, parcel, due_at, attempts, at)
             VALUES (?, ?, ?, ?4, 0, ?4)",
            &[
                unsigned(self.last_id),
                text(target.to_string()),
                text(json),
                unsigned(now.0),
            ],
        )?;
        let entry = Entry {
            target,
            parcel,
            since: now,
            due: now,
            attempts: 0,
        };
        self.insert(self.last_id, entry);
        Ok(())
    }

    /// The id of the newest entry.
    pub fn last_id(&self) -> EntryId {
        self.last_id
    }

    /// The entries for rooms made after `id`.
    pub fn after(&self, id: EntryId) -> BTreeSet<EntryId> {
        let newer = self.entries.range(id.saturating_add(1)..);
        newer
            .filter(|(_, entry)| matches!(entry.target, Target::Room(_)))
            .map(|(id, _)| *id)
            .collect()
    }

    /// What goes out now: for each target that is due and not in flight, one that goes alone, or its
    /// entries in order. One that waits for its retry holds back those behind it.
    pub fn deliveries(&mut self, now: Timestamp) -> Vec<Delivery> {
        let free = OUTBOX_IN_FLIGHT.saturating_sub(self.in_flight.len());
        let targets: Vec<Target> = self.due.due(now).take(free).cloned().collect();
        let deliveries = targets.into_iter().map(|target| {
            let (entries, parcels) = self.next_of(&target, now).unzip();
            Delivery {
                target,
                entries,
                parcels,
            }
        });
        let deliveries: Vec<Delivery> = deliveries.collect();
        for Delivery { target, .. } in &deliveries {
            self.in_flight.insert(target.clone());
            self.due.remove(target);
        }
        deliveries
    }

    /// What one request to `target` takes now.
    fn next_of(
        &self,
        target: &Target,
        now: Timestamp,
    ) -> impl Iterator<Item = (EntryId, Parcel)> + use<'_> {
        let queue = self.queues.get(target);
        let alone = queue.and_then(|queue| queue.alone.first());
        let alone = alone.filter(|(due, _)| *due <= now).map(|(_, id)| id);
        let in_order = queue.filter(|_| alone.is_none());
        let in_order = in_order.into_iter().flat_map(|queue| &queue.in_order);
        let at_once = match target {
            Target::Room(_) => usize::MAX,
            Target::EventWebhook => 1,
        };
        let entries = alone.into_iter().chain(in_order);
        let entries = entries.filter_map(|id| Some((*id, self.entries.get(id)?)));
        let due = entries.take_while(move |(_, entry)| entry.due <= now);
        due.map(|(id, entry)| (id, entry.parcel.clone()))
            .take(at_once)
    }

    /// It is known of these entries whether they have arrived. Those that have not are tried again
    /// later, a backend's for [`EVENT_WEBHOOK_GIVE_UP_MS`].
    pub fn answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        target: &Target,
        entries: &[EntryId],
        delivered: bool,
    ) -> Result<(), StorageError> {
        self.in_flight.remove(target);
        for id in entries {
            let entry = self.entries.remove(id);
            let (Some(mut entry), Some(queue)) = (entry, self.queues.get_mut(target)) else {
                continue;
            };
            queue.remove(*id, &entry);
            let is_too_old = *target == Target::EventWebhook
                && entry.since.plus(EVENT_WEBHOOK_GIVE_UP_MS) <= now;
            if delivered || is_too_old {
                sql.run("DELETE FROM outbox WHERE id = ?", &[unsigned(*id)])?;
                continue;
            }
            let attempts = u32::try_from(entry.attempts).unwrap_or(u32::MAX);
            entry.attempts = entry.attempts.saturating_add(1);
            entry.due = now.plus(backoff(OUTBOX_RETRY_MS, attempts, OUTBOX_MAX_RETRY_MS));
            sql.run(
                "UPDATE outbox SET due_at = ?, attempts = ? WHERE id = ?",
                &[
                    unsigned(entry.due.0),
                    unsigned(entry.attempts),
                    unsigned(*id),
                ],
            )?;
            queue.insert(*id, &entry);
            self.entries.insert(*id, entry);
        }
        if self.queues.get(target).is_some_and(Queue::is_empty) {
            self.queues.remove(target);
        }
        self.index(target);
        Ok(())
    }

    /// Something that was in flight may have ended the machine that sent it: what is due counts as tried, so
    /// that it is not tried at once, again and again.
    pub fn interrupted(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        let targets: Vec<Target> = self.due.due(now).cloned().collect();
        for target in targets {
            let entries: Vec<EntryId> = self.next_of(&target, now).map(|(id, _)| id).collect();
            self.answered(sql, now, &target, &entries, false)?;
        }
        Ok(())
    }

    /// When to look again. What is in flight is looked at again too, should its answer never come
    /// because the object was killed: that is what the alarm is for.
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let again = now.plus(MAX_TIMER_MS);
        let in_flight = (!self.in_flight.is_empty()).then_some(again);
        let due = self.due.next().map(|at| if at <= now { again } else { at });
        in_flight.into_iter().chain(due).min()
    }

    /// What is known without a walk is what a walk finds.
    #[cfg(test)]
    pub fn check(&self) {
        let mut queues: BTreeMap<Target, Queue> = BTreeMap::new();
        for (id, entry) in &self.entries {
            let queue = queues.entry(entry.target.clone()).or_default();
            queue.insert(*id, entry);
        }
        assert_eq!(self.queues, queues);
        let due = queues.into_iter().map(|(target, queue)| {
            let in_order = queue.in_order.first().map(|id| self.entries[id].due);
            let alone = queue.alone.first().map(|(due, _)| *due);
            let due = in_order.into_iter().chain(alone).min();
            let due = due.filter(|_| !self.in_flight.contains(&target));
            (target, due)
        });
        self.due.check(due);
    }

    /// Since when the oldest entry waits.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|(_, entry)| entry.since)
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
