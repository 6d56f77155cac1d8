//! The room's ordered log, its dedupe keys, and what is pruned of them.

use std::{cell::Cell, collections::HashMap};

use serde_json::value::RawValue;

use crate::{
    config::HistoryConfig,
    event::{Args, Publication},
    limits::{DEDUPE_MIN_AGE_MS, MAX_REPLAY, MAX_SQL_PARAMETERS, PRUNE_SLACK, SWEEP_EVERY_MS},
    names::{Offset, Timestamp},
    storage::{
        self, Row, Sql, StorageError, Value, count, insert_all, optional_text, text, unsigned,
    },
};

/// Pages and replays stop at so many bytes of arguments, whatever the limit: 200 messages of 1 MB
/// would not fit the isolate.
const MAX_PAGE_BYTES: u64 = 4_000_000;
const MAX_REPLAY_BYTES: u64 = 16_000_000;
/// Rows read at a time while paging, so that a page of large messages is never read whole.
const CHUNK: u32 = 25;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The cached ends of the log, how long it may get, and what this turn adds to it: its rows are
/// written together, before anything is read and at the turn's end.
pub struct Log {
    head: Offset,
    /// The oldest publication that is kept, and when it was accepted.
    oldest: Option<(Offset, Timestamp)>,
    /// When it was last swept; not known before it is due.
    swept_at: Option<Timestamp>,
    history: HistoryConfig,
    rows: Cell<Vec<Value>>,
    dedupe_rows: Cell<Vec<Value>>,
    /// Where the keys went that this turn has looked up or given out.
    keys: HashMap<String, Option<Offset>>,
}

/// The columns that `rows` and `dedupe_rows` have.
const INSERT: (&str, usize) = (
    "INSERT INTO log (offset, namespace, event, args, sender, at, audience) VALUES ",
    7,
);
const INSERT_DEDUPE: (&str, usize) = ("INSERT INTO dedupe (key, offset, at) VALUES ", 3);

/// Which page of the history; offsets are exclusive. Without `after`, the newest.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only what is newer.
    pub after: Option<Offset>,
    /// Only what is older.
    pub before: Option<Offset>,
    /// How many at most.
    pub limit: u32,
    /// Only events of these one or two names.
    pub events: Option<(&'static str, &'static str)>,
}

/// One page, ascending.
pub type Paging = Vec<Publication>;

impl Log {
    pub fn open(sql: &dyn Sql, history: HistoryConfig) -> Result<Self, StorageError> {
        // The newest row is never pruned, so the head survives in it.
        let head = sql.run("SELECT offset FROM log ORDER BY offset DESC LIMIT 1", &[])?;
        let head = match head.first() {
            Some(row) => Offset(row.unsigned(0, "offset")?),
            None => Offset::default(),
        };
        let mut log = Self {
            head,
            oldest: None,
            swept_at: None,
            history,
            rows: Cell::default(),
            dedupe_rows: Cell::default(),
            keys: HashMap::new(),
        };
        log.reload_oldest(sql)?;
        Ok(log)
    }

    fn reload_oldest(&mut self, sql: &dyn Sql) -> Result<(), StorageError> {
        let rows = sql.run("SELECT offset, at FROM log ORDER BY offset LIMIT 1", &[])?;
        self.oldest = match rows.first() {
            Some(row) => Some((
                Offset(row.unsigned(0, "offset")?),
                Timestamp(row.unsigned(1, "at")?),
            )),
            None => None,
        };
        Ok(())
    }

    pub fn head(&self) -> Offset {
        self.head
    }

    /// Where the events of these keys went, in one query for all of them: [`Self::find_duplicate`] knows
    /// it for the rest of the turn.
    pub fn look_up(&mut self, sql: &dyn Sql, keys: Vec<String>) -> Result<(), StorageError> {
        for keys in keys.chunks(MAX_SQL_PARAMETERS) {
            let marks = vec!["?"; keys.len()].join(", ");
            let statement = format!("SELECT key, offset FROM dedupe WHERE key IN ({marks})");
            let parameters: Vec<Value> = keys.iter().map(text).collect();
            self.keys.extend(keys.iter().map(|key| (key.clone(), None)));
            for row in sql.run(&statement, &parameters)? {
                let offset = Offset(row.unsigned(1, "dedupe")?);
                self.keys
                    .insert(row.text(0, "dedupe")?.to_owned(), Some(offset));
            }
        }
        Ok(())
    }

    pub fn find_duplicate(&self, sql: &dyn Sql, key: &str) -> Result<Option<Offset>, StorageError> {
        if let Some(known) = self.keys.get(key) {
            return Ok(*known);
        }
        let rows = sql.run("SELECT offset FROM dedupe WHERE key = ?", &[text(key)])?;
        rows.first()
            .map(|row| row.unsigned(0, "dedupe").map(Offset))
            .transpose()
    }

    pub fn append(
        &mut self,
        namespace: &str,
        publication: &Publication,
        offset: Offset,
        dedupe: Option<String>,
    ) {
        let sender = publication
            .sender
            .as_ref()
            .and_then(|s| serde_json::to_string(s).ok());
        let audience = Some(&publication.audience).filter(|audience| !audience.is_everyone());
        let audience = audience.and_then(|audience| serde_json::to_string(audience).ok());
        self.rows.get_mut().extend([
            unsigned(offset.0),
            text(namespace),
            text(publication.event.as_str()),
            text(publication.args.to_array()),
            sender.map_or(Value::Null, Value::Text),
            unsigned(publication.at.0),
            audience.map_or(Value::Null, Value::Text),
        ]);
        if let Some(key) = dedupe {
            self.dedupe_rows.get_mut().extend([
                text(key.as_str()),
                unsigned(offset.0),
                unsigned(publication.at.0),
            ]);
            self.keys.insert(key, Some(offset));
        }
        self.head = offset;
        if self.oldest.is_none() {
            self.oldest = Some((offset, publication.at));
        }
    }

    pub fn write(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        insert_all(sql, INSERT, &self.rows.take())?;
        insert_all(sql, INSERT_DEDUPE, &self.dedupe_rows.take())
    }

    /// The end of a turn.
    pub fn commit(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        self.keys.clear();
        self.write(sql)?;
        self.prune_by_count(sql, now)
    }

    fn prune_by_count(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        let Some((oldest, _)) = self.oldest else {
            return Ok(());
        };
        let kept = self.head.0.saturating_sub(oldest.0).saturating_add(1);
        // The slack never makes a small history keep much more than it was told to.
        let slack = PRUNE_SLACK.min(self.history.max_messages);
        if kept <= self.history.max_messages.saturating_add(slack) {
            return Ok(());
        }
        let last = Offset(self.head.0.saturating_sub(self.history.max_messages.max(1)));
        self.delete_through(sql, now, last)
    }

    pub fn prune_by_age(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        if self.prune_at().is_none_or(|due| due > now) {
            return Ok(());
        }
        self.write(sql)?;
        let cutoff = now.minus(self.max_age_ms());
        let rows = sql.run(
            "SELECT offset FROM log WHERE at <= ? AND offset < ? ORDER BY offset DESC LIMIT 1",
            &[unsigned(cutoff.0), unsigned(self.head.0)],
        )?;
        match rows.first() {
            Some(row) => {
                let last = Offset(row.unsigned(0, "offset")?);
                self.delete_through(sql, now, last)
            }
            None => Ok(()),
        }
    }

    fn delete_through(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        last: Offset,
    ) -> Result<(), StorageError> {
        sql.run("DELETE FROM log WHERE offset <= ?", &[unsigned(last.0)])?;
        self.sweep(sql, now, last)?;
        self.reload_oldest(sql)
    }

    /// Deletes what is kept of publications that are gone: for that the whole of it is walked.
    fn sweep(&mut self, sql: &dyn Sql, now: Timestamp, last: Offset) -> Result<(), StorageError> {
        const KEY: &str = "swept";
        let swept = match self.swept_at {
            Some(at) => at,
            None => {
                let at = storage::meta(sql, KEY)?.and_then(|at| at.parse().ok());
                Timestamp(at.unwrap_or_default())
            }
        };
        let is_due = swept.plus(SWEEP_EVERY_MS) <= now;
        self.swept_at = Some(if is_due { now } else { swept });
        if !is_due {
            return Ok(());
        }
        let kept_for = [unsigned(last.0), unsigned(now.minus(DEDUPE_MIN_AGE_MS).0)];
        for statement in [
            "DELETE FROM dedupe WHERE offset <= ? AND at <= ?",
            "DELETE FROM messages WHERE offset <= ? AND at <= ?",
        ] {
            sql.run(statement, &kept_for)?;
        }
        storage::set_meta(sql, KEY, &now.0.to_string())
    }

    /// The newest row stays for the head's sake, so a log of one row has nothing to prune.
    pub fn prune_at(&self) -> Option<Timestamp> {
        let (oldest, at) = self.oldest?;
        (oldest < self.head).then(|| at.plus(self.max_age_ms()))
    }

    fn max_age_ms(&self) -> u64 {
        self.history.max_age_days.saturating_mul(DAY_MS)
    }

    /// How many events of this name there are after `offset`.
    pub fn count_after(
        &self,
        sql: &dyn Sql,
        offset: Offset,
        event: &str,
    ) -> Result<u64, StorageError> {
        self.write(sql)?;
        count(
            sql,
            "SELECT COUNT(*) FROM log WHERE offset > ? AND event = ?",
            &[unsigned(offset.0), text(event)],
        )
    }

    pub fn page(&self, sql: &dyn Sql, page: &Page) -> Result<Paging, StorageError> {
        self.write(sql)?;
        let (mut low, mut high) = (
            page.after.unwrap_or_default(),
            page.before
                .unwrap_or(self.head.next())
                .min(self.head.next()),
        );
        let forward = page.after.is_some();
        let statement = if forward {
            "SELECT offset, event, args, sender, at, audience FROM log
             WHERE offset > ?1 AND offset < ?2 AND (?4 IS NULL OR event IN (?4, ?5)) ORDER BY offset LIMIT ?3"
        } else {
            "SELECT offset, event, args, sender, at, audience FROM log
             WHERE offset > ?1 AND offset < ?2 AND (?4 IS NULL OR event IN (?4, ?5))
             ORDER BY offset DESC LIMIT ?3"
        };
        let (mut found, mut bytes, mut wanted) = (Vec::new(), 0_u64, page.limit);
        while wanted > 0 && bytes < MAX_PAGE_BYTES {
            let chunk = wanted.min(CHUNK);
            let rows = sql.run(
                statement,
                &[
                    unsigned(low.0),
                    unsigned(high.0),
                    unsigned(chunk.into()),
                    optional_text(page.events.map(|(one, _)| one)),
                    optional_text(page.events.map(|(_, other)| other)),
                ],
            )?;
            for row in &rows {
                let publication = read_row(row)?;
                let offset = publication.offset.unwrap_or_default();
                if forward {
                    low = offset
                } else {
                    high = offset
                }
                bytes = bytes.saturating_add(row_bytes(row));
                found.push(publication);
            }
            let got = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            if got < chunk {
                break;
            }
            wanted = wanted.saturating_sub(got);
        }
        if !forward {
            found.reverse();
        }
        Ok(found)
    }

    /// The publication at `offset`, if it is kept.
    pub fn at(&self, sql: &dyn Sql, offset: Offset) -> Result<Option<Publication>, StorageError> {
        self.write(sql)?;
        let rows = sql.run(
            "SELECT offset, event, args, sender, at, audience FROM log WHERE offset = ?",
            &[unsigned(offset.0)],
        )?;
        rows.first().map(read_row).transpose()
    }

    pub fn since(
        &self,
        sql: &dyn Sql,
        offset: Offset,
    ) -> Result<Option<Vec<Publication>>, StorageError> {
        if offset > self.head {
            return Ok(None);
        }
        if offset == self.head {
            return Ok(Some(Vec::new()));
        }
        self.write(sql)?;
        let whole = self
            .oldest
            .is_some_and(|(oldest, _)| oldest <= offset.next());
        if !whole || self.head.0.saturating_sub(offset.0) > MAX_REPLAY.into() {
            return Ok(None);
        }
        let size = sql.run(
            "SELECT SUM(LENGTH(args)) FROM log WHERE offset > ?",
            &[unsigned(offset.0)],
        )?;
        let size = size
            .first()
            .map(|row| row.unsigned(0, "size"))
            .transpose()?;
        if size.unwrap_or_default() > MAX_REPLAY_BYTES {
            return Ok(None);
        }
        let rows = sql.run(
            "SELECT offset, event, args, sender, at, audience FROM log WHERE offset > ? ORDER BY offset",
            &[unsigned(offset.0)],
        )?;
        rows.iter()
            .map(read_row)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn row_bytes(row: &Row) -> u64 {
    row.text(2, "args")
        .map_or(0, |args| args.len().try_into().unwrap_or(u64::MAX))
}

fn read_row(row: &Row) -> Result<Publication, StorageError> {
    let args = RawValue::from_string(row.text(2, "args")?.to_owned())
        .map_err(|_| StorageError::Corrupt("args"))?;
    let sender = row
        .optional_text(3, "sender")?
        .map(serde_json::from_str)
        .transpose()
        .map_err(|_| StorageError::Corrupt("sender"))?;
    let audience = row
        .optional_text(5, "audience")?
        .map(serde_json::from_str)
        .transpose()
        .map_err(|_| StorageError::Corrupt("audience"))?;
    Ok(Publication {
        event: row.text(1, "event")?.to_owned(),
        args: Args::from_array(args),
        sender,
        at: Timestamp(row.unsigned(4, "at")?),
        offset: Some(Offset(row.unsigned(0, "offset")?)),
        audience: audience.unwrap_or_default(),
    })
}
