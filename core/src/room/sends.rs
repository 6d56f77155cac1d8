//! A line's queue: what is to be sent, strictly in order, one at a time and at a bounded rate; and
//! what nobody knows of whether it was, which is asked for and never sent again.
//!
//! Twilio has no idempotency. So an entry is marked as tried, and that is committed, before it is
//! handed over: an object that was killed meanwhile finds the mark and does not send it twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    deadlines::Deadlines,
    limits::{
        ASK_AFTER_MS, MAX_QUEUED_SENDS, SEND_GIVE_UP_MS, SEND_LOST_MS, SEND_MAX_PAUSE_MS,
        SEND_MAX_RETRY_MS, SEND_RETRY_MS, backoff,
    },
    names::{RoomName, Timestamp},
    storage::{Sql, StorageError, json, text, unsigned},
    twilio::outbound::Outgoing,
};

/// The id of an entry: its row.
pub type SendId = u64;

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It waits for its turn.
    Waiting,
    /// It was handed to Twilio.
    Tried(Timestamp),
    /// It was, and what came of it is not known; asked for so many times.
    Unknown(Timestamp, usize),
}

/// What is kept in memory of one; the message itself is read when it is needed.
#[derive(Debug, Clone, Copy)]
struct Entry {
    state: State,
    since: Timestamp,
    due: Timestamp,
    attempts: u32,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Send it.
    Send(SendId),
    /// Ask what became of it.
    Ask(SendId),
}

impl Job {
    /// The entry.
    pub const fn id(self) -> SendId {
        match self {
            Self::Send(id) | Self::Ask(id) => id,
        }
    }
}

/// The queue.
#[derive(Default)]
pub struct Sends {
    entries: BTreeMap<SendId, Entry>,
    /// Those that are not unknown, in order. The first alone may have been tried.
    queue: BTreeSet<SendId>,
    /// When to ask about those that are, but for those that are asked about.
    unknown: Deadlines<SendId>,
    last_id: SendId,
    in_flight: BTreeSet<SendId>,
    last_try: Timestamp,
    /// How many tries in a row came to nothing that is known, and until when that holds the others up:
    /// where Twilio is down, not everything that waits becomes unknown.
    unclear: u32,
    resumes: Timestamp,
}

impl Sends {
    /// Reads the stored entries; none of them is in flight after a wake.
    pub fn load(sql: &dyn Sql) -> Result<Self, StorageError> {
        const WHAT: &str = "message to send";
        let mut sends = Self::default();
        let rows = sql.run(
            "SELECT id, at, due_at, attempts, tried_at, asks FROM sends",
            &[],
        )?;
        for row in rows {
            let id = row.unsigned(0, WHAT)?;
            let tried_at = row.optional(4, WHAT)?.map(Timestamp);
            let asks = row.optional(5, WHAT)?;
            let small = |n: u64| usize::try_from(n).map_err(|_| StorageError::Corrupt(WHAT));
            let state = match (tried_at, asks) {
                (None, _) => State::Waiting,
                (Some(at), None) => State::Tried(at),
                (Some(at), Some(asks)) => State::Unknown(at, small(asks)?),
            };
            let entry = Entry {
                state,
                since: Timestamp(row.unsigned(1, WHAT)?),
                due: Timestamp(row.unsigned(2, WHAT)?),
                attempts: u32::try_from(row.unsigned(3, WHAT)?).unwrap_or(u32::MAX),
            };
            sends.last_try = sends.last_try.max(tried_at.unwrap_or_default());
            sends.last_id = sends.last_id.max(id);
            sends.entries.insert(id, entry);
            sends.index(id);
        }
        Ok(sends)
    }

    fn index(&mut self, id: SendId) {
        let entry = self.entries.get(&id);
        let is_unknown = |entry: &&Entry| matches!(entry.state, State::Unknown(..));
        if entry.is_some_and(|entry| !is_unknown(&entry)) {
            self.queue.insert(id);
        } else {
            self.queue.remove(&id);
        }
        let unknown = entry
            .filter(is_unknown)
            .filter(|_| !self.in_flight.contains(&id));
        self.unknown.set(&id, unknown.map(|entry| entry.due));
    }

    /// Keeps a message until it is sent. False if the queue is full.
    pub fn push(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        outgoing: &Outgoing,
    ) -> Result<bool, StorageError> {
        if self.entries.len() >= MAX_QUEUED_SENDS {
            return Ok(false);
        }
        self.last_id = self.last_id.saturating_add(1);
        sql.run(
            "INSERT INTO sends (id, outgoing, at, due_at, attempts) VALUES (?, ?, ?3, ?3, 0)",
            &[
                unsigned(self.last_id),
                json(outgoing, "message to send")?,
                unsigned(now.0),
            ],
        )?;
        let entry = Entry {
            state: State::Waiting,
            since: now,
            due: now,
            attempts: 0,
        };
        self.entries.insert(self.last_id, entry);
        self.index(self.last_id);
        Ok(true)
    }

    /// The message of an entry.
    pub fn outgoing(&self, sql: &dyn Sql, id: SendId) -> Result<Option<Outgoing>, StorageError> {
        let rows = sql.run("SELECT outgoing FROM sends WHERE id = ?", &[unsigned(id)])?;
        rows.first()
            .map(|row| row.json(0, "message to send"))
            .transpose()
    }

    /// When an entry was handed to Twilio.
    pub fn tried_at(&self, id: SendId) -> Option<Timestamp> {
        match self.entries.get(&id)?.state {
            State::Waiting => None,
            State::Tried(at) | State::Unknown(at, _) => Some(at),
        }
    }

    /// Those that were handed over before the object was killed: what came of them is not known.
    pub fn lost(&self) -> Vec<SendId> {
        let is_tried = |id: &&SendId| {
            let entry = self.entries.get(id);
            entry.is_some_and(|entry| matches!(entry.state, State::Tried(_)))
        };
        let tried = self.queue.iter().take_while(is_tried);
        tried
            .filter(|id| !self.in_flight.contains(id))
            .copied()
            .collect()
    }

    /// When the next one may be sent, if one waits: the oldest, and only if none is under way.
    fn next_send(&self, per_second: u32) -> Option<(SendId, Timestamp)> {
        let id = self.queue.first()?;
        let entry = self.entries.get(id)?;
        let interval = 1000_u64.div_ceil(u64::from(per_second.max(1)));
        match entry.state {
            State::Waiting => {
                let at = entry.due.max(self.last_try.plus(interval));
                Some((*id, at.max(self.resumes)))
            }
            State::Tried(_) | State::Unknown(..) => None,
        }
    }

    /// When Twilio may be asked about the next one, if nobody is asking now.
    fn next_question(&self) -> Option<(SendId, Timestamp)> {
        // At most one message is being sent and one asked about.
        let is_asked = |id: &SendId| !self.queue.contains(id);
        if self.in_flight.iter().any(is_asked) {
            return None;
        }
        let id = *self.unknown.first()?;
        Some((id, self.entries.get(&id)?.due))
    }

    /// What is to be done now: at most one message to send, and one question. What is handed over is
    /// marked.
    pub fn due(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Vec<Job>, StorageError> {
        let send = self.next_send(per_second).filter(|(_, at)| *at <= now);
        let ask = self.next_question().filter(|(_, at)| *at <= now);
        let mut jobs = Vec::new();
        if let Some((id, _)) = send {
            sql.run(
                "UPDATE sends SET tried_at = ? WHERE id = ?",
                &[unsigned(now.0), unsigned(id)],
            )?;
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.state = State::Tried(now);
            }
            self.last_try = now;
            jobs.push(Job::Send(id));
        }
        jobs.extend(ask.map(|(id, _)| Job::Ask(id)));
        for id in jobs.iter().map(|job| job.id()) {
            self.in_flight.insert(id);
            self.index(id);
        }
        Ok(jobs)
    }

    /// It is known what came of it.
    pub fn done(&mut self, sql: &dyn Sql, id: SendId) -> Result<(), StorageError> {
        self.in_flight.remove(&id);
        if let Some(Entry {
            state: State::Tried(_),
            ..
        }) = self.entries.remove(&id)
        {
            self.unclear = 0;
        }
        self.index(id);
        sql.run("DELETE FROM sends WHERE id = ?", &[unsigned(id)])
            .map(drop)
    }

    /// Twilio did not take it and wants it later. `jitter` is any number. False if it has been tried
    /// for too long.
    pub fn later(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: SendId,
        at_least_ms: u64,
        jitter: u64,
    ) -> Result<bool, StorageError> {
        self.in_flight.remove(&id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return Ok(true);
        };
        // That it waited for others does not count.
        if entry.attempts == 0 {
            entry.since = now;
        } else if entry.since.plus(SEND_GIVE_UP_MS) <= now {
            return Ok(false);
        }
        let wait = backoff(SEND_RETRY_MS, entry.attempts, SEND_MAX_RETRY_MS);
        // Half of it is chance, so that lines do not come back all at once.
        let chance = jitter.checked_rem(wait / 2).unwrap_or_default();
        let wait = (wait / 2).saturating_add(chance);
        entry.state = State::Waiting;
        entry.attempts = entry.attempts.saturating_add(1);
        entry.due = now.plus(wait.max(at_least_ms));
        let entry = *entry;
        self.index(id);
        sql.run(
            "UPDATE sends SET tried_at = NULL, asks = NULL, at = ?, due_at = ?, attempts = ?
             WHERE id = ?",
            &[
                unsigned(entry.since.0),
                unsigned(entry.due.0),
                unsigned(entry.attempts.into()),
                unsigned(id),
            ],
        )?;
        Ok(true)
    }

    /// What came of it is not known, or still not. Nobody asks for ever.
    pub fn unknown(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: SendId,
    ) -> Result<(), StorageError> {
        self.in_flight.remove(&id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return Ok(());
        };
        let (tried_at, asks) = match entry.state {
            State::Waiting => return Ok(()),
            State::Tried(at) => {
                let wait = backoff(SEND_RETRY_MS, self.unclear, SEND_MAX_PAUSE_MS);
                self.unclear = self.unclear.saturating_add(1);
                self.resumes = now.plus(wait);
                (at, 0)
            }
            State::Unknown(at, asks) => (at, asks.saturating_add(1)),
        };
        let Some(wait) = ASK_AFTER_MS.get(asks) else {
            return self.done(sql, id);
        };
        entry.state = State::Unknown(tried_at, asks);
        entry.due = now.plus(*wait);
        let due = entry.due;
        self.index(id);
        let asks = u64::try_from(asks).unwrap_or(u64::MAX);
        sql.run(
            "UPDATE sends SET asks = ?, due_at = ? WHERE id = ?",
            &[unsigned(asks), unsigned(due.0), unsigned(id)],
        )
        .map(drop)
    }

    /// It is known by other means what came of this message.
    pub fn settled(
        &mut self,
        sql: &dyn Sql,
        room: &RoomName,
        message: &str,
    ) -> Result<(), StorageError> {
        let rows = sql.run(
            "SELECT id FROM sends WHERE asks IS NOT NULL
                 AND json_extract(outgoing, '$.room') = ? AND json_extract(outgoing, '$.id') = ?",
            &[text(room.as_str()), text(message)],
        )?;
        for row in rows {
            self.done(sql, row.unsigned(0, "message to send")?)?;
        }
        Ok(())
    }

    /// When to look again.
    pub fn next_deadline(&self, now: Timestamp, per_second: u32) -> Option<Timestamp> {
        let send = self.next_send(per_second).map(|(_, at)| at);
        let ask = self.next_question().map(|(_, at)| at);
        // What is under way is looked at again too, should its answer never come because the object
        // was killed.
        let lost = (!self.in_flight.is_empty()).then(|| now.plus(SEND_LOST_MS));
        [send, ask, lost].into_iter().flatten().min()
    }

    /// What is known without a walk is what a walk finds.
    #[cfg(test)]
    pub fn check(&self) {
        let (mut queue, mut unknown) = (BTreeSet::new(), Vec::new());
        for (id, entry) in &self.entries {
            match entry.state {
                State::Unknown(..) if self.in_flight.contains(id) => {}
                State::Unknown(..) => unknown.push((*id, Some(entry.due))),
                State::Waiting | State::Tried(_) => drop(queue.insert(*id)),
            }
        }
        let tried = |id: &&SendId| !matches!(self.entries[*id].state, State::Waiting);
        assert!(queue.iter().skip(1).find(tried).is_none());
        assert_eq!(self.queue, queue);
        self.unknown.check(unknown.into_iter());
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
