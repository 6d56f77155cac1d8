//! What core needs of SQLite, and the schema it keeps there.
//!
//! Core owns every statement; `durable/` runs them on the object's database and tests on rusqlite,
//! so the SQL that ships is the SQL that is tested. A storage *error* is never taken for an empty
//! room: it fails the whole turn, which rolls back.

pub mod backup;

use std::cell::Cell;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{Code, Refusal},
    limits::MAX_SQL_PARAMETERS,
    names::RoomName,
};

/// A value that goes into or comes out of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `NULL`.
    Null,
    /// An integer; 2^53 at most, for it crosses JavaScript.
    Integer(i64),
    /// Text.
    Text(String),
}

impl Value {
    /// As JSON.
    pub fn to_json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Integer(integer) => integer.to_string(),
            Self::Text(text) => serde_json::to_string(text).unwrap_or_default(),
        }
    }

    /// From JSON, if it is one of these.
    pub fn from_json(json: &str) -> Option<Self> {
        if json == "null" {
            Some(Self::Null)
        } else if json.starts_with('"') {
            serde_json::from_str(json).ok().map(Self::Text)
        } else {
            json.parse().ok().map(Self::Integer)
        }
    }
}

/// What went wrong in storage. Logged, never shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// SQLite said no.
    #[error("sqlite: {0}")]
    Sqlite(String),
    /// A stored row is not what this version writes.
    #[error("stored {0} cannot be read")]
    Corrupt(&'static str),
    /// The database was written by a later version, and this one cannot go on with it.
    #[error("schema {0} is newer than this version's {SCHEMA_VERSION}")]
    Newer(i64),
    /// The room is not whole yet: it comes from a backup.
    #[error("the room is being restored")]
    Restoring,
}

impl StorageError {
    /// What those are told whom it stopped.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Newer(_) => Refusal::new(
                Code::SchemaNewer,
                "this room was last served by a later version, and waits for it",
            ),
            Self::Restoring => Refusal::new(
                Code::Unavailable,
                "this room is being restored from a backup",
            ),
            Self::Sqlite(_) | Self::Corrupt(_) => Refusal::internal(),
        }
    }
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// Column `index` as an integer.
    pub fn integer(&self, index: usize, what: &'static str) -> Result<i64, StorageError> {
        match self.0.get(index) {
            Some(Value::Integer(integer)) => Ok(*integer),
            _ => Err(StorageError::Corrupt(what)),
        }
    }

    /// Column `index` as a count, an offset or an instant.
    pub fn unsigned(&self, index: usize, what: &'static str) -> Result<u64, StorageError> {
        u64::try_from(self.integer(index, what)?).map_err(|_| StorageError::Corrupt(what))
    }

    /// Column `index` as a count, an offset or an instant, or `NULL`.
    pub fn optional(&self, index: usize, what: &'static str) -> Result<Option<u64>, StorageError> {
        match self.0.get(index) {
            Some(Value::Null) => Ok(None),
            _ => self.unsigned(index, what).map(Some),
        }
    }

    /// Column `index` as JSON of ours.
    pub fn json<T: DeserializeOwned>(
        &self,
        index: usize,
        what: &'static str,
    ) -> Result<T, StorageError> {
        serde_json::from_str(self.text(index, what)?).map_err(|_| StorageError::Corrupt(what))
    }

    /// Column `index` as text.
    pub fn text(&self, index: usize, what: &'static str) -> Result<&str, StorageError> {
        match self.0.get(index) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(StorageError::Corrupt(what)),
        }
    }

    /// Column `index` as text or `NULL`.
    pub fn optional_text(
        &self,
        index: usize,
        what: &'static str,
    ) -> Result<Option<&str>, StorageError> {
        match self.0.get(index) {
            Some(Value::Null) => Ok(None),
            _ => self.text(index, what).map(Some),
        }
    }
}

/// A synchronous SQLite. All that one turn writes commits together.
pub trait Sql {
    /// Runs one statement. A `SELECT` gives its rows, all of them read; nothing else has any.
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError>;
}

/// Inserts `rows`, one after the other in one slice, into as many `columns`, with as few statements as
/// the limit on parameters allows.
pub fn insert_all(
    sql: &dyn Sql,
    (insert, columns): (&str, usize),
    rows: &[Value],
) -> Result<(), StorageError> {
    let columns = columns.max(1);
    let at_once = MAX_SQL_PARAMETERS.div_euclid(columns).max(1);
    for rows in rows.chunks(at_once.saturating_mul(columns)) {
        let marks = format!("({})", vec!["?"; columns].join(", "));
        let marks = vec![marks.as_str(); rows.len().div_euclid(columns)].join(", ");
        sql.run(&format!("{insert}{marks}"), rows)?;
    }
    Ok(())
}

/// An unsigned number as a parameter.
pub fn unsigned(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A value of ours as JSON, as a parameter.
pub fn json(value: &impl Serialize, what: &'static str) -> Result<Value, StorageError> {
    serde_json::to_string(value)
        .map(Value::Text)
        .map_err(|_| StorageError::Corrupt(what))
}

/// Text as a parameter.
pub fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// The number that a `SELECT COUNT(*)` gives.
pub fn count(sql: &dyn Sql, statement: &str, parameters: &[Value]) -> Result<u64, StorageError> {
    let rows = sql.run(statement, parameters)?;
    let count = rows.first().map(|row| row.unsigned(0, "count"));
    Ok(count.transpose()?.unwrap_or_default())
}

/// How many rows a table has: counted once, and then kept by whoever adds and deletes. SQLite walks the
/// whole table for it.
#[derive(Debug)]
pub struct RowCount {
    statement: &'static str,
    rows: Cell<Option<u64>>,
}

impl RowCount {
    /// What this `SELECT COUNT(*)` gives.
    pub const fn of(statement: &'static str) -> Self {
        Self {
            statement,
            rows: Cell::new(None),
        }
    }

    /// How many there are.
    pub fn get(&self, sql: &dyn Sql) -> Result<u64, StorageError> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let rows = count(sql, self.statement, &[])?;
        self.rows.set(Some(rows));
        Ok(rows)
    }

    /// One was added.
    pub fn add(&self) {
        self.rows
            .set(self.rows.get().map(|rows| rows.saturating_add(1)));
    }

    /// So many were deleted.
    pub fn deleted(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.rows
            .set(self.rows.get().map(|rows| rows.saturating_sub(count)));
    }
}

/// A number or `NULL`, as a parameter.
pub fn optional(number: Option<u64>) -> Value {
    number.map_or(Value::Null, unsigned)
}

/// Text or `NULL`, as a parameter.
pub fn optional_text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.to_owned()))
}

/// The version that this code reads and writes.
pub const SCHEMA_VERSION: i64 = 5;

/// The oldest version whose code may go on with what this one leaves behind: after a rollback it meets
/// it. The previous one, unless the last migration was no mere addition.
///
/// To keep it so a migration only adds: a table, a column that is `NULL` or has a default. The previous
/// version leaves alone what it does not know, inserts rows without it, and ignores a field of stored JSON
/// that it does not know, but loses it where it writes that JSON anew. It cannot read a word that is new
/// (a parcel, a status): those are written one version after they are first read. What is no longer
/// needed is dropped one version after it was last used. Before a version is begun, the one that is left
/// writes its vector (`tests/vectors/schema.mjs`).
pub const READABLE_BY: i64 = 4;

/// What a version of the code knows of the schema.
struct Schema {
    version: i64,
    readable_by: i64,
    /// `[n]` takes a database from version `n` to `n + 1`. Never edit one that has shipped.
    migrations: &'static [&'static [&'static str]],
}

const CURRENT: Schema = Schema {
    version: SCHEMA_VERSION,
    readable_by: READABLE_BY,
    migrations: &[V1, V2, V3, V4, V5],
};

const V1: &[&str] = &[
    // A publication. `args` is a JSON array, `sender` the JSON of a user id.
    "CREATE TABLE log (
        offset INTEGER PRIMARY KEY,
        namespace TEXT NOT NULL,
        event TEXT NOT NULL,
        args TEXT NOT NULL,
        sender TEXT,
        at INTEGER NOT NULL
    )",
    // Which offset a client's message id, a webhook's SID or a backend's key was given.
    "CREATE TABLE dedupe (
        key TEXT PRIMARY KEY,
        offset INTEGER NOT NULL,
        at INTEGER NOT NULL
    ) WITHOUT ROWID",
    // Who may join.
    "CREATE TABLE members (user TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID",
    // Which other rooms let a member stay on the ground of being one here.
    "CREATE TABLE followers (
        user TEXT NOT NULL,
        room TEXT NOT NULL,
        PRIMARY KEY (user, room)
    ) WITHOUT ROWID",
    // Who is here: `entry` is the JSON of roster::Entry.
    "CREATE TABLE roster (user TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID",
    // A kind's latest values: `read:{user}` is how far a user has read, `revoked:{user}` how far the room
    // was when their connections were revoked, `notified:{user}` since when
    // they have notifications of what they have not read, `latest` the last status, `standing` how a
    // conversation stands, `listed` that those who work a line have been told of it.
    "CREATE TABLE state (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID",
    // What must still reach another room: `parcel` is the JSON of wire::Parcel.
    "CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        room TEXT NOT NULL,
        parcel TEXT NOT NULL,
        due_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL
    )",
];

/// Socket.IO: the hub's tables, and the room's links.
const V2: &[&str] = &[
    // Its entries have another shape now. Nobody is here while a new version starts.
    "DELETE FROM roster",
    // The Socket.IO socket that sent the event and does not get it itself.
    "ALTER TABLE log ADD COLUMN skip TEXT",
    // The other objects whose sockets have joined this room.
    "CREATE TABLE links (object TEXT PRIMARY KEY) WITHOUT ROWID",
    // A Socket.IO socket: `json` is hub::socket::Record. The key is its pid, or its id without one.
    "CREATE TABLE sockets (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID",
    // The verified token of a handshake, as JSON, as long as its session lives.
    "CREATE TABLE doors (sid TEXT PRIMARY KEY, claims TEXT NOT NULL) WITHOUT ROWID",
    // What this object's sockets were sent in one turn, by the object's own numbering: `entries` is
    // the JSON of hub::journal::Entry.
    "CREATE TABLE journal (first INTEGER PRIMARY KEY, at INTEGER NOT NULL, entries TEXT NOT NULL)",
    // How far this object's sockets are in other rooms, where the journal no longer says it.
    "CREATE TABLE reached (
        room TEXT PRIMARY KEY,
        epoch TEXT NOT NULL,
        offset INTEGER NOT NULL,
        number INTEGER NOT NULL
    ) WITHOUT ROWID",
];

/// Events for some only, to several rooms, and to a backend; notifications.
const V3: &[&str] = &[
    // Who gets a publication, where that is not everyone: the JSON of wire::Audience.
    "ALTER TABLE log ADD COLUMN audience TEXT",
    "UPDATE log SET audience = json_object('except_socket', skip) WHERE skip IS NOT NULL",
    "ALTER TABLE log DROP COLUMN skip",
    // The text of room::Target.
    "ALTER TABLE outbox RENAME COLUMN room TO target",
    // Since when an entry waits.
    "ALTER TABLE outbox ADD COLUMN at INTEGER NOT NULL DEFAULT 0",
    // A user's notifications: `json` is the object without `read`, `state` 0 unread, 1 read, 2 cleared,
    // `about` the room of the publication that it tells of, and its offset there.
    "CREATE TABLE notifications (
        id TEXT PRIMARY KEY,
        offset INTEGER NOT NULL,
        json TEXT NOT NULL,
        state INTEGER NOT NULL,
        about TEXT,
        about_offset INTEGER
    ) WITHOUT ROWID",
    "CREATE INDEX notifications_by_state ON notifications (state, offset)",
];

/// Phone lines: what was sent and what became of it, the list of conversations, the queue.
const V4: &[&str] = &[
    // In a conversation's room: a message that was accepted to be sent. `user` and `media` are JSON,
    // `hash` is the body's; `announced` is whether its sender's client said so itself.
    "CREATE TABLE messages (
        id TEXT PRIMARY KEY,
        offset INTEGER NOT NULL,
        at INTEGER NOT NULL,
        user TEXT NOT NULL,
        hash TEXT NOT NULL,
        media TEXT NOT NULL,
        announced INTEGER NOT NULL,
        status TEXT NOT NULL,
        sid TEXT,
        error_code INTEGER,
        error_message TEXT
    ) WITHOUT ROWID",
    "CREATE INDEX messages_by_sid ON messages (sid) WHERE sid IS NOT NULL",
    // In a line's room: its conversations. `rank` is the offset of the newest message in the line's
    // log, `json` room::Conversation.
    "CREATE TABLE conversations (
        contact TEXT PRIMARY KEY,
        rank INTEGER NOT NULL,
        unread INTEGER NOT NULL,
        assigned_to TEXT,
        json TEXT NOT NULL
    ) WITHOUT ROWID",
    "CREATE INDEX conversations_by_rank ON conversations (rank)",
    // In a line's room: what is to be sent, and what nobody knows of whether it was. `outgoing` is the
    // JSON of twilio::outbound::Outgoing, `tried_at` when it was handed to Twilio, `asks` how often
    // Twilio was asked about it since.
    "CREATE TABLE sends (
        id INTEGER PRIMARY KEY,
        outgoing TEXT NOT NULL,
        at INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        tried_at INTEGER,
        asks INTEGER
    )",
    // In a user's own room: the lines that they work; in `admins:all`: those that there are.
    "CREATE TABLE lines (number TEXT PRIMARY KEY) WITHOUT ROWID",
];

/// Links outlive the room's sleep whole.
const V5: &[&str] = &[
    // When the request was sent with which the other object's sockets came (its clock, in milliseconds): what
    // it had sent before says nothing of them.
    "ALTER TABLE links ADD COLUMN begun INTEGER",
];

/// Brings the database to [`SCHEMA_VERSION`] and returns the room's epoch, which is `fresh_epoch`
/// when the room is new. One that a later version left behind stays as it is, and is refused where that
/// version says that this one cannot read it; so is one that is being restored.
pub fn migrate(sql: &dyn Sql, room: &RoomName, fresh_epoch: &str) -> Result<String, StorageError> {
    CURRENT.migrate(sql, room, fresh_epoch)
}

impl Schema {
    fn migrate(
        &self,
        sql: &dyn Sql,
        room: &RoomName,
        fresh_epoch: &str,
    ) -> Result<String, StorageError> {
        sql.run(
            "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            &[],
        )?;
        let found = version(sql, "schema")?.unwrap_or_default();
        if found > self.version && version(sql, "readable_by")?.unwrap_or(found) > self.version {
            return Err(StorageError::Newer(found));
        }
        if meta(sql, backup::RESTORING)?.is_some() {
            return Err(StorageError::Restoring);
        }
        if found < self.version {
            let done =
                usize::try_from(found).map_err(|_| StorageError::Corrupt("schema version"))?;
            for statement in self.migrations.iter().skip(done).copied().flatten() {
                sql.run(statement, &[])?;
            }
            set_meta(sql, "schema", &self.version.to_string())?;
            set_meta(sql, "readable_by", &self.readable_by.to_string())?;
        }
        if let Some(epoch) = meta(sql, "epoch")? {
            return Ok(epoch);
        }
        set_meta(sql, "epoch", fresh_epoch)?;
        set_meta(sql, "room", room.as_str())?;
        Ok(fresh_epoch.to_owned())
    }
}

fn version(sql: &dyn Sql, key: &str) -> Result<Option<i64>, StorageError> {
    let parse = |version: String| {
        let version = version.parse();
        version.map_err(|_| StorageError::Corrupt("schema version"))
    };
    meta(sql, key)?.map(parse).transpose()
}

/// Whether the room has ever been used: a database without tables is none.
pub fn exists(sql: &dyn Sql) -> Result<bool, StorageError> {
    let tables = sql.run("SELECT 1 FROM sqlite_master WHERE name = 'meta'", &[])?;
    Ok(!tables.is_empty())
}

/// What is kept of the object itself under `key`.
pub fn meta(sql: &dyn Sql, key: &str) -> Result<Option<String>, StorageError> {
    let rows = sql.run("SELECT value FROM meta WHERE key = ?", &[text(key)])?;
    rows.first()
        .map(|row| row.text(0, "meta").map(str::to_owned))
        .transpose()
}

/// Keeps `value` of the object itself under `key`.
pub fn set_meta(sql: &dyn Sql, key: &str, value: &str) -> Result<(), StorageError> {
    sql.run(
        "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
        &[text(key), text(value)],
    )
    .map(drop)
}

/// Keeps nothing of the object itself under `key` any more.
pub fn forget_meta(sql: &dyn Sql, key: &str) -> Result<(), StorageError> {
    sql.run("DELETE FROM meta WHERE key = ?", &[text(key)])
        .map(drop)
}

/// What the room keeps under `key`.
pub fn state<T: DeserializeOwned>(sql: &dyn Sql, key: &str) -> Result<Option<T>, StorageError> {
    let rows = sql.run("SELECT json FROM state WHERE key = ?", &[text(key)])?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    serde_json::from_str(row.text(0, "state")?)
        .map(Some)
        .map_err(|_| StorageError::Corrupt("state"))
}

/// Keeps `value` under `key`.
pub fn set_state(sql: &dyn Sql, key: &str, value: &impl Serialize) -> Result<(), StorageError> {
    let json = serde_json::to_string(value).map_err(|_| StorageError::Corrupt("state"))?;
    sql.run(
        "INSERT OR REPLACE INTO state (key, json) VALUES (?, ?)",
        &[text(key), text(json)],
    )
    .map(drop)
}

/// Keeps nothing under `key` any more.
pub fn forget_state(sql: &dyn Sql, key: &str) -> Result<(), StorageError> {
    sql.run("DELETE FROM state WHERE key = ?", &[text(key)])
        .map(drop)
}

#[cfg(test)]
pub mod memory;

#[cfg(test)]
mod tests {
    use super::{memory::Memory, *};

    #[test]
    fn a_room_is_made_once_and_keeps_its_epoch() {
        let (sql, room) = (Memory::new(), RoomName::parse("chat:42").unwrap());
        assert_eq!(migrate(&sql, &room, "first").unwrap(), "first");
        assert_eq!(migrate(&sql, &room, "second").unwrap(), "first");
        for key in ["schema", "readable_by"] {
            set_meta(&sql, key, "99").unwrap();
        }
        assert_eq!(migrate(&sql, &room, "third"), Err(StorageError::Newer(99)));
    }

    #[test]
    fn what_the_second_version_stored_is_read_by_this_one() {
        let (sql, room) = (Memory::new(), RoomName::parse("chat:42").unwrap());
        let run = |statement: &str| sql.run(statement, &[]).unwrap();
        run("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
        for statement in CURRENT.migrations.iter().take(2).copied().flatten() {
            run(statement);
        }
        set_meta(&sql, "schema", "2").unwrap();
        set_meta(&sql, "epoch", "e").unwrap();
        run(
            "INSERT INTO log VALUES (1, '/', 'a', '[]', NULL, 5, 's\"1'), (2, '/', 'b', '[]', NULL, 5, NULL)",
        );
        run("INSERT INTO outbox VALUES (1, 'user:ann', '{}', 7, 0)");
        assert_eq!(migrate(&sql, &room, "fresh").unwrap(), "e");
        let audiences = run("SELECT audience FROM log ORDER BY offset");
        assert_eq!(
            audiences[0].text(0, "audience").unwrap(),
            r#"{"except_socket":"s\"1"}"#
        );
        assert_eq!(audiences[1].optional_text(0, "audience").unwrap(), None);
        let outbox = run("SELECT target, due_at, at FROM outbox");
        assert_eq!(
            outbox[0],
            Row(vec![text("user:ann"), Value::Integer(7), Value::Integer(0)])
        );
        for table in ["messages", "conversations", "sends", "lines"] {
            assert_eq!(run(&format!("SELECT * FROM {table}")), []);
        }
    }

    #[test]
    fn every_version_has_its_migration() {
        assert_eq!(
            i64::try_from(CURRENT.migrations.len()).unwrap(),
            SCHEMA_VERSION
        );
        assert!((1..=SCHEMA_VERSION).contains(&READABLE_BY));
    }

    /// All there is, as SQL.
    fn dump(sql: &Memory) -> Vec<(String, Vec<Row>)> {
        let tables = "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name";
        let tables = sql.run(tables, &[]).unwrap().into_iter();
        let rows = |row: Row| {
            let name = row.text(0, "name").unwrap();
            let rows = sql.run(&format!("SELECT * FROM {name}"), &[]).unwrap();
            (row.text(1, "sql").unwrap().to_owned(), rows)
        };
        tables.map(rows).collect()
    }

    #[test]
    fn a_later_schema_is_gone_on_with_or_left_as_it_is_as_it_says_itself() {
        let room = RoomName::parse("chat:42").unwrap();
        let version = SCHEMA_VERSION + 1;
        let tomorrow = |readable_by| Schema {
            version,
            readable_by,
            migrations: &[
                V1,
                V2,
                V3,
                V4,
                V5,
                &[
                    "CREATE TABLE later (a TEXT)",
                    "ALTER TABLE log ADD COLUMN later TEXT DEFAULT 'x'",
                ],
            ],
        };
        // After a rollback this version goes on, and the later one after it.
        let sql = Memory::new();
        migrate(&sql, &room, "e").unwrap();
        tomorrow(SCHEMA_VERSION).migrate(&sql, &room, "f").unwrap();
        let before = dump(&sql);
        assert_eq!(migrate(&sql, &room, "g").unwrap(), "e");
        assert_eq!(dump(&sql), before, "its schema is not touched");
        assert_eq!(
            tomorrow(SCHEMA_VERSION).migrate(&sql, &room, "h").unwrap(),
            "e"
        );
        assert_eq!(dump(&sql), before, "it migrates once");
        // What is no addition this version cannot go on with, a room that is new among it.
        for is_new in [false, true] {
            let sql = Memory::new();
            if !is_new {
                migrate(&sql, &room, "e").unwrap();
            }
            tomorrow(version).migrate(&sql, &room, "f").unwrap();
            let before = dump(&sql);
            let newer = migrate(&sql, &room, "g").unwrap_err();
            assert_eq!(newer, StorageError::Newer(version));
            assert_eq!(newer.refusal().code, Code::SchemaNewer);
            assert_eq!(dump(&sql), before);
        }
    }
}
