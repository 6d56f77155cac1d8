//! What this object's Socket.IO sockets were sent, by the object's own numbering: what connection
//! state recovery goes by.
//!
//! Every publication that passes this object on its way to sockets, and every event to one socket
//! alone, has a number. The offset that clients are given (`{object}.{life}.{number}`) names it. A
//! publication's payload is in its room's log, so the journal keeps positions alone: one row a turn.
//! `reached(room, number)` says how far a client was in a room when it had seen that number.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use serde::{Deserialize, Serialize};

use super::socket::Floor;
use crate::{
    event::Args,
    limits::MAX_JOURNAL_ROW_BYTES,
    names::{Epoch, Offset, RoomName, StreamPosition, Timestamp},
    storage::{Sql, StorageError, text, unsigned},
    wire::Direct,
};

/// One or more numbers of the journal. Its JSON is stored: pinned by a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// So many publications of a room, from this offset on; a number each.
    Room(RoomName, Epoch, Offset, u64),
    /// An event to the socket of this id alone.
    Direct(String, String, Args),
    /// One that was too long to be kept.
    Lost(String),
}

impl Entry {
    const fn count(&self) -> u64 {
        match self {
            Self::Room(_, _, _, count) => *count,
            Self::Direct(..) | Self::Lost(_) => 1,
        }
    }
}

/// Publications of one room that have numbers in a row.
#[derive(Debug, Clone)]
struct Run {
    number: u64,
    at: Timestamp,
    epoch: Epoch,
    offset: Offset,
    count: u64,
}

impl Run {
    fn reached(&self, number: u64) -> Floor {
        let more = number
            .saturating_sub(self.number)
            .min(self.count.saturating_sub(1));
        Floor {
            number: self.number.saturating_add(more),
            position: StreamPosition {
                epoch: self.epoch.clone(),
                offset: Offset(self.offset.0.saturating_add(more)),
            },
        }
    }
}

/// The journal: its index in memory, its rows in SQLite.
#[derive(Debug)]
pub struct Journal {
    /// `{object}.{life}.`
    prefix: String,
    /// The last number that was given.
    last: u64,
    /// The first number of `turn`.
    first: u64,
    turn: Vec<Entry>,
    runs: BTreeMap<RoomName, VecDeque<Run>>,
    /// How far sockets were in rooms by the runs that are forgotten.
    reached: BTreeMap<RoomName, Floor>,
    /// When the oldest row was written.
    oldest: Option<Timestamp>,
    /// `runs` and `reached` are what is stored.
    is_loaded: bool,
}

impl Journal {
    /// Reads how far it is.
    pub fn open(sql: &dyn Sql, object: &RoomName, life: &Epoch) -> Result<Self, StorageError> {
        let mut journal = Self {
            prefix: format!("{object}.{life}."),
            last: 0,
            first: 1,
            turn: Vec::new(),
            runs: BTreeMap::new(),
            reached: BTreeMap::new(),
            oldest: None,
            is_loaded: false,
        };
        let newest = sql.run(
            "SELECT first, entries FROM journal ORDER BY first DESC LIMIT 1",
            &[],
        )?;
        if let Some(row) = newest.first() {
            let entries: Vec<Entry> = row.json(1, "journal")?;
            let next = entries
                .iter()
                .map(Entry::count)
                .fold(row.unsigned(0, "journal")?, u64::saturating_add);
            journal.last = next.saturating_sub(1);
            let oldest = sql.run("SELECT at FROM journal ORDER BY first LIMIT 1", &[])?;
            let oldest = oldest.first().map(|row| row.unsigned(0, "journal"));
            journal.oldest = oldest.transpose()?.map(Timestamp);
        }
        journal.first = journal.last.saturating_add(1);
        Ok(journal)
    }

    /// Reads all of the index, once. Most wakes need none of it.
    fn load(&mut self, sql: &dyn Sql) -> Result<(), StorageError> {
        if self.is_loaded {
            return Ok(());
        }
        self.is_loaded = true;
        let corrupt = || StorageError::Corrupt("journal");
        for row in sql.run("SELECT room, epoch, offset, number FROM reached", &[])? {
            let room = RoomName::parse(row.text(0, "journal")?).map_err(|_| corrupt())?;
            let position = StreamPosition {
                epoch: Epoch::stored(row.text(1, "journal")?.to_owned()),
                offset: Offset(row.unsigned(2, "journal")?),
            };
            let number = row.unsigned(3, "journal")?;
            self.reached.insert(room, Floor { number, position });
        }
        // Where everyone has just come in, most rows are what each was told alone, and that may be long.
        let rows = sql.run(
            r#"SELECT first, at, entries FROM journal WHERE instr(entries, '{"room":[') ORDER BY first"#,
            &[],
        )?;
        for row in rows {
            let (mut number, at) = (row.unsigned(0, "journal")?, row.unsigned(1, "journal")?);
            let entries: Vec<Entry> = row.json(2, "journal")?;
            for entry in &entries {
                self.index(number, Timestamp(at), entry);
                number = number.saturating_add(entry.count());
            }
        }
        Ok(())
    }

    fn index(&mut self, number: u64, at: Timestamp, entry: &Entry) {
        if let Entry::Room(room, epoch, offset, count) = entry {
            self.runs.entry(room.clone()).or_default().push_back(Run {
                number,
                at,
                epoch: epoch.clone(),
                offset: *offset,
                count: *count,
            });
        }
    }

    /// Numbers up to this one were given, if only as the place of a recovery.
    pub fn reserve(&mut self, number: u64) {
        self.last = self.last.max(number);
        self.first = self.last.saturating_add(1);
    }

    /// The last number that was given.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// A number that stands for nothing but a moment between two others.
    pub fn moment(&mut self) -> u64 {
        // A turn's entries have numbers in a row; an empty entry keeps them so.
        self.push(Entry::Lost(String::new()))
    }

    /// A publication is sent to sockets.
    pub fn publication(&mut self, room: &RoomName, epoch: &Epoch, offset: Offset) -> u64 {
        if let Some(Entry::Room(last_room, last_epoch, first, count)) = self.turn.last_mut()
            && last_room == room
            && last_epoch == epoch
            && first.0.saturating_add(*count) == offset.0
        {
            *count = count.saturating_add(1);
            self.last = self.last.saturating_add(1);
            return self.last;
        }
        self.push(Entry::Room(room.clone(), epoch.clone(), offset, 1))
    }

    /// An event is sent to one socket.
    pub fn direct(&mut self, socket: &str, event: &str, args: &Args) -> u64 {
        let entry = if args.len() > MAX_JOURNAL_ROW_BYTES {
            Entry::Lost(socket.to_owned())
        } else {
            Entry::Direct(socket.to_owned(), event.to_owned(), args.clone())
        };
        self.push(entry)
    }

    fn push(&mut self, entry: Entry) -> u64 {
        self.turn.push(entry);
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// When the oldest row was written that is still to be forgotten.
    pub const fn oldest(&self) -> Option<Timestamp> {
        self.oldest
    }

    /// The offset that clients get.
    pub fn offset(&self, number: u64) -> Rc<str> {
        format!("{}{number}", self.prefix).into()
    }

    /// The number of an offset that this object gave.
    pub fn number(&self, offset: &str) -> Option<u64> {
        offset.strip_prefix(&self.prefix)?.parse().ok()
    }

    /// How far a client was in `room` when it had seen `number`, as far as the journal knows, and
    /// since which number.
    pub fn reached(
        &mut self,
        sql: &dyn Sql,
        room: &RoomName,
        number: u64,
    ) -> Result<Option<Floor>, StorageError> {
        self.load(sql)?;
        let run = self.runs.get(room).and_then(|runs| {
            let after = runs.partition_point(|run| run.number <= number);
            runs.get(after.checked_sub(1)?)
        });
        // What is pruned has been seen by everyone who may ask.
        Ok(run
            .map(|run| run.reached(number))
            .or_else(|| self.reached.get(room).cloned()))
    }

    /// How far this object's sockets have come in `room`.
    pub fn latest(
        &mut self,
        sql: &dyn Sql,
        room: &RoomName,
    ) -> Result<Option<StreamPosition>, StorageError> {
        let latest = self.reached(sql, room, u64::MAX)?;
        Ok(latest.map(|floor| floor.position))
    }

    /// What `socket` alone was sent after `number`; none where not all of it was kept.
    pub fn direct_after(
        &self,
        sql: &dyn Sql,
        socket: &str,
        number: u64,
    ) -> Result<Option<Vec<Direct>>, StorageError> {
        let mut found = Vec::new();
        // The row that holds `number` began before it.
        let rows = sql.run(
            "SELECT first, at, entries FROM journal WHERE first >=
                 (SELECT COALESCE(MAX(first), 0) FROM journal WHERE first <= ?) AND entries LIKE ?
             ORDER BY first",
            &[unsigned(number), text(format!("%{socket}%"))],
        )?;
        for row in &rows {
            let mut at_number = row.unsigned(0, "journal")?;
            let at = Timestamp(row.unsigned(1, "journal")?);
            let entries: Vec<Entry> = row.json(2, "journal")?;
            for entry in entries {
                let count = entry.count();
                match entry {
                    Entry::Direct(of, event, args) if of == socket && at_number > number => {
                        found.push(Direct { at, event, args });
                    }
                    Entry::Lost(of) if of == socket && at_number > number => return Ok(None),
                    _ => {}
                }
                at_number = at_number.saturating_add(count);
            }
        }
        Ok(Some(found))
    }

    /// Writes the turn's entries: one row, unless they are too long for one.
    pub fn commit(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        let turn = std::mem::take(&mut self.turn);
        let (mut first, mut number) = (self.first, self.first);
        let mut row = String::new();
        for entry in &turn {
            let json =
                serde_json::to_string(entry).map_err(|_| StorageError::Corrupt("journal"))?;
            if !row.is_empty() && row.len().saturating_add(json.len()) > MAX_JOURNAL_ROW_BYTES {
                insert(sql, first, now, &row)?;
                row.clear();
                first = number;
            }
            row.push(if row.is_empty() { '[' } else { ',' });
            row.push_str(&json);
            // What is not loaded yet is read with the rest.
            if self.is_loaded {
                self.index(number, now, entry);
            }
            number = number.saturating_add(entry.count());
        }
        if !row.is_empty() {
            insert(sql, first, now, &row)?;
            self.oldest = self.oldest.or(Some(now));
        }
        self.first = self.last.saturating_add(1);
        Ok(())
    }

    /// Forgets what is older than `cutoff`. How far rooms were reached by then is kept where sockets
    /// are or were in them; so is the newest row, for the numbers go on from it.
    pub fn prune(
        &mut self,
        sql: &dyn Sql,
        cutoff: Timestamp,
        is_wanted: impl Fn(&RoomName) -> bool,
    ) -> Result<(), StorageError> {
        if self.oldest.is_none_or(|oldest| oldest >= cutoff) {
            return Ok(());
        }
        self.load(sql)?;
        for (room, runs) in &mut self.runs {
            let mut last = None;
            while let Some(run) = runs.front().filter(|run| run.at < cutoff) {
                last = Some(run.reached(u64::MAX));
                runs.pop_front();
            }
            if let (Some(floor), true) = (last, is_wanted(room)) {
                let Floor { number, position } = &floor;
                sql.run(
                    "INSERT OR REPLACE INTO reached (room, epoch, offset, number)
                     VALUES (?, ?, ?, ?)",
                    &[
                        text(room.as_str()),
                        text(position.epoch.as_str()),
                        unsigned(position.offset.0),
                        unsigned(*number),
                    ],
                )?;
                self.reached.insert(room.clone(), floor);
            }
        }
        self.runs.retain(|_, runs| !runs.is_empty());
        let left: Vec<RoomName> = self
            .reached
            .keys()
            .filter(|r| !is_wanted(r))
            .cloned()
            .collect();
        for room in left {
            sql.run("DELETE FROM reached WHERE room = ?", &[text(room.as_str())])?;
            self.reached.remove(&room);
        }
        sql.run(
            "DELETE FROM journal WHERE at < ? AND first < (SELECT MAX(first) FROM journal)",
            &[unsigned(cutoff.0)],
        )?;
        let rows = sql.run("SELECT at FROM journal ORDER BY first LIMIT 1", &[])?;
        let oldest = rows.first().map(|row| row.unsigned(0, "journal"));
        // The one row that always stays is not a reason to come back.
        self.oldest = oldest
            .transpose()?
            .map(Timestamp)
            .filter(|at| *at >= cutoff);
        Ok(())
    }
}

fn insert(sql: &dyn Sql, first: u64, now: Timestamp, entries: &str) -> Result<(), StorageError> {
    sql.run(
        "INSERT INTO journal (first, at, entries) VALUES (?, ?, ?)",
        &[
            unsigned(first),
            unsigned(now.0),
            text(format!("{entries}]")),
        ],
    )
    .map(drop)
}
