//! What must still reach other rooms. An entry is committed with the publication that caused it and
//! deleted once the other room has answered; that room accepts it once, by its dedupe key. Entries
//! for one room go out in order, those that are due together in one request.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    limits::{MAX_TIMER_MS, OUTBOX_IN_FLIGHT, OUTBOX_MAX_RETRY_MS, OUTBOX_RETRY_MS},
    names::{RoomName, Timestamp},
    storage::{Sql, StorageError, text, unsigned},
    wire::Parcel,
};

/// The id of an entry: its row.
pub type EntryId = u64;

struct Entry {
    room: RoomName,
    parcel: Parcel,
    due: Timestamp,
    attempts: u64,
}

/// One request to another room.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// To whom.
    pub room: RoomName,
    /// The entries that it carries.
    pub entries: Vec<EntryId>,
    /// What they say, in order.
    pub parcels: Vec<Parcel>,
}

/// The entries, all of them in memory: they are few and short-lived.
#[derive(Default)]
pub struct Outbox {
    entries: BTreeMap<EntryId, Entry>,
    last_id: EntryId,
    in_flight: BTreeSet<RoomName>,
}

impl Outbox {
    /// Reads the stored entries; none of them is in flight after a wake.
    pub fn load(sql: &dyn Sql) -> Result<Self, StorageError> {
        let corrupt = || StorageError::Corrupt("outbox entry");
        let mut outbox = Self::default();
        for row in sql.run("SELECT id, room, parcel, due_at, attempts FROM outbox", &[])? {
            let id = row.unsigned(0, "outbox entry")?;
            let entry = Entry {
                room: RoomName::parse(row.text(1, "outbox entry")?).map_err(|_| corrupt())?,
                parcel: serde_json::from_str(row.text(2, "outbox entry")?)
                    .map_err(|_| corrupt())?,
                due: Timestamp(row.unsigned(3, "outbox entry")?),
                attempts: row.unsigned(4, "outbox entry")?,
            };
            outbox.entries.insert(id, entry);
            outbox.last_id = outbox.last_id.max(id);
        }
        Ok(outbox)
    }

    /// Keeps `parcel` until `room` has it.
    pub fn push(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: RoomName,
        parcel: Parcel,
    ) -> Result<(), StorageError> {
        self.last_id = self.last_id.saturating_add(1);
        let json = serde_json::to_string(&parcel).map_err(|_| StorageError::Corrupt("parcel"))?;
        sql.run(
            "INSERT INTO outbox (id, room, parcel, due_at, attempts) VALUES (?, ?, ?, ?, 0)",
            &[
                unsigned(self.last_id),
                text(room.as_str()),
                text(json),
                unsigned(now.0),
            ],
        )?;
        self.entries.insert(
            self.last_id,
            Entry {
                room,
                parcel,
                due: now,
                attempts: 0,
            },
        );
        Ok(())
    }

    /// The id of the newest entry.
    pub fn last_id(&self) -> EntryId {
        self.last_id
    }

    /// The entries made after `id`.
    pub fn after(&self, id: EntryId) -> BTreeSet<EntryId> {
        self.entries
            .range(id.saturating_add(1)..)
            .map(|(id, _)| *id)
            .collect()
    }

    /// What goes out now: for each room that is due and not in flight, its entries in order.
    pub fn deliveries(&mut self, now: Timestamp) -> Vec<Delivery> {
        let mut deliveries: BTreeMap<&RoomName, Delivery> = BTreeMap::new();
        let mut held: BTreeSet<&RoomName> = BTreeSet::new();
        for (id, entry) in &self.entries {
            // An entry that waits for its retry holds back those behind it: order is kept.
            if entry.due > now || held.contains(&entry.room) {
                held.insert(&entry.room);
                continue;
            }
            if self.in_flight.contains(&entry.room) {
                continue;
            }
            let room_for_one_more =
                self.in_flight.len().saturating_add(deliveries.len()) < OUTBOX_IN_FLIGHT;
            if !room_for_one_more && !deliveries.contains_key(&entry.room) {
                continue;
            }
            let delivery = deliveries.entry(&entry.room).or_insert_with(|| Delivery {
                room: entry.room.clone(),
                entries: Vec::new(),
                parcels: Vec::new(),
            });
            delivery.entries.push(*id);
            delivery.parcels.push(entry.parcel.clone());
        }
        let deliveries: Vec<Delivery> = deliveries.into_values().collect();
        self.in_flight
            .extend(deliveries.iter().map(|delivery| delivery.room.clone()));
        deliveries
    }

    /// `room` has answered for these entries: it has them, or they are tried again later.
    pub fn answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        entries: &[EntryId],
        delivered: bool,
    ) -> Result<(), StorageError> {
        self.in_flight.remove(room);
        for id in entries {
            if delivered {
                self.entries.remove(id);
                sql.run("DELETE FROM outbox WHERE id = ?", &[unsigned(*id)])?;
            } else if let Some(entry) = self.entries.get_mut(id) {
                let doublings = u32::try_from(entry.attempts.min(20)).unwrap_or_default();
                let wait = OUTBOX_RETRY_MS.saturating_mul(2_u64.saturating_pow(doublings));
                entry.attempts = entry.attempts.saturating_add(1);
                entry.due = now.plus(wait.min(OUTBOX_MAX_RETRY_MS));
                sql.run(
                    "UPDATE outbox SET due_at = ?, attempts = ? WHERE id = ?",
                    &[
                        unsigned(entry.due.0),
                        unsigned(entry.attempts),
                        unsigned(*id),
                    ],
                )?;
            }
        }
        Ok(())
    }

    /// When to look again. What is in flight is looked at again too, should its answer never come
    /// because the object was killed: that is what the alarm is for.
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.entries
            .values()
            .map(|entry| {
                if entry.due <= now {
                    now.plus(MAX_TIMER_MS)
                } else {
                    entry.due
                }
            })
            .min()
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
