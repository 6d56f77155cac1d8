//! A room's whole state as rows, a page at a time, and back into a room that nobody has used.
//!
//! A page is made in one turn. The log's pages may follow each other while the room goes on, for what is in a
//! log stays as it is; from the page on that has the rest, with the log's end in it, nothing may change until
//! all has been read: the cursor says so, and whoever asks with one that is stale begins again where the log
//! ended. A room that fits into a page is never in the way of anybody.
//!
//! While a room is restored it is nobody's: [`is_restoring`] is asked before it wakes.

use serde::{Deserialize, Serialize};

use super::{
    READABLE_BY, Row, SCHEMA_VERSION, Sql, StorageError, Value, exists, forget_meta, insert_all,
    meta, migrate, set_meta, text, unsigned,
};
use crate::{
    error::{Code, Refusal},
    limits::MAX_BACKUP_PAGE_BYTES,
    names::{Epoch, RoomName, Timestamp},
};

/// A table that is backed up: its name, its order, its columns. A later version appends columns, so that the
/// rows of an earlier one are shorter.
type Table = (&'static str, &'static str, &'static [&'static str]);

/// The log first: see above.
const TABLES: &[Table] = &[
    (
        "log",
        "offset",
        &[
            "offset",
            "namespace",
            "event",
            "args",
            "sender",
            "at",
            "audience",
        ],
    ),
    ("dedupe", "key", &["key", "offset", "at"]),
    ("members", "user", &["user", "since"]),
    ("followers", "user, room", &["user", "room"]),
    ("state", "key", &["key", "json"]),
    (
        "outbox",
        "id",
        &["id", "target", "parcel", "due_at", "attempts", "at"],
    ),
    (
        "notifications",
        "id",
        &["id", "offset", "json", "state", "about", "about_offset"],
    ),
    (
        "messages",
        "id",
        &[
            "id",
            "offset",
            "at",
            "user",
            "hash",
            "media",
            "announced",
            "status",
            "sid",
            "error_code",
            "error_message",
        ],
    ),
    (
        "conversations",
        "contact",
        &["contact", "rank", "unread", "assigned_to", "json"],
    ),
    (
        "sends",
        "id",
        &[
            "id", "outgoing", "at", "due_at", "attempts", "tried_at", "asks",
        ],
    ),
    ("lines", "number", &["number"]),
];

/// Whose sockets are here: those of the server that they are connected to, and of no other one.
const CONNECTED: [&str; 4] = ["roster", "links", "sockets", "doors"];

/// Rows read at a time.
const CHUNK: usize = 50;

/// How far a restore is: the number of the page that is next.
const RESTORING: &str = "restoring";

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    table: usize,
    /// In the log the last offset, else how many rows.
    after: u64,
    /// What the room's state was called, once nothing may change any more.
    state: String,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        Some(Self {
            table: parts.next()?.parse().ok()?,
            after: parts.next()?.parse().ok()?,
            state: parts.next()?.to_owned(),
        })
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.table, self.after, self.state)
    }
}

/// A row, after its table's name.
type NamedRow = (String, Vec<Value>);

/// A page.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Its rows.
    pub rows: Vec<NamedRow>,
    /// Where the next one begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The page after `cursor`. `state` names the room's state: another name, and something may have changed.
pub fn page(
    sql: &dyn Sql,
    cursor: Option<&str>,
    state: &str,
) -> Result<Result<Page, Refusal>, StorageError> {
    let cursor = match cursor.map(Cursor::parse) {
        Some(None) => {
            let message = "`cursor` is one that a page came with";
            return Ok(Err(Refusal::bad_request(message)));
        }
        Some(Some(cursor)) => cursor,
        None => Cursor {
            table: 0,
            after: 0,
            state: String::new(),
        },
    };
    if cursor.table > 0 && cursor.state != state {
        let message = "the room has changed; go on after the last row of its log";
        return Ok(Err(Refusal::new(Code::Conflict, message)));
    }
    let (mut rows, mut bytes, mut after) = (Vec::new(), 0_usize, cursor.after);
    for (table, (name, order, columns)) in TABLES.iter().enumerate().skip(cursor.table) {
        let columns = columns.join(", ");
        let is_log = table == 0;
        let which = if is_log {
            format!("WHERE offset > ? ORDER BY {order} LIMIT {CHUNK}")
        } else {
            format!("ORDER BY {order} LIMIT {CHUNK} OFFSET ?")
        };
        let select = format!("SELECT {columns} FROM {name} {which}");
        loop {
            if bytes > MAX_BACKUP_PAGE_BYTES {
                let state = if is_log { "" } else { state }.to_owned();
                let cursor = Cursor {
                    table,
                    after,
                    state,
                };
                let cursor = Some(cursor.text());
                return Ok(Ok(Page { rows, cursor }));
            }
            let chunk = sql.run(&select, &[unsigned(after)])?;
            let count = chunk.len();
            for row in chunk {
                bytes = bytes.saturating_add(size(&row));
                after = match is_log {
                    true => row.unsigned(0, "offset")?,
                    false => after.saturating_add(1),
                };
                rows.push(((*name).to_owned(), row.0));
            }
            if count < CHUNK {
                break;
            }
        }
        after = 0;
    }
    Ok(Ok(Page { rows, cursor: None }))
}

fn size(row: &Row) -> usize {
    let sizes = row.0.iter().map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Null | Value::Integer(_) => 8,
    });
    sizes.sum()
}

/// A page that comes back: `PUT /rooms/{room}/backup`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restore {
    /// The version of the schema that its rows have.
    pub schema: i64,
    /// The room's life.
    pub epoch: Epoch,
    /// When the backup was made.
    pub at: Timestamp,
    /// Its number, from 0.
    pub page: u64,
    /// With this one the room is whole, and open.
    #[serde(default)]
    pub last: bool,
    /// Its rows.
    #[serde(default)]
    pub rows: Vec<NamedRow>,
}

/// Whether the room is being restored, so that nobody else may use it.
pub fn is_restoring(sql: &dyn Sql) -> Result<bool, StorageError> {
    Ok(exists(sql)? && meta(sql, RESTORING)?.is_some())
}

/// Takes a page. The first may come again, and begins anew; so may the one before the next, should its answer
/// have been lost.
pub fn restore(
    sql: &dyn Sql,
    room: &RoomName,
    restore: &Restore,
) -> Result<Result<(), Refusal>, StorageError> {
    if !(READABLE_BY..=SCHEMA_VERSION).contains(&restore.schema) {
        let message = format!(
            "`schema` is {}: this version restores {READABLE_BY} to {SCHEMA_VERSION}",
            restore.schema
        );
        return Ok(Err(Refusal::invalid(message)));
    }
    let rows = match find_tables(restore) {
        Ok(rows) => rows,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let next: Option<u64> = match exists(sql)?.then(|| meta(sql, RESTORING)).transpose()? {
        Some(Some(next)) => Some(
            next.parse()
                .map_err(|_| StorageError::Corrupt("restoring"))?,
        ),
        _ => None,
    };
    match (next, restore.page) {
        (None, 0) => {
            migrate(sql, room, restore.epoch.as_str())?;
            if is_used(sql)? {
                let message =
                    "only a room that nobody has used, and that nobody is in, is restored";
                return Ok(Err(Refusal::new(Code::Conflict, message)));
            }
        }
        (Some(_), 0) => {
            for (table, ..) in TABLES {
                sql.run(&format!("DELETE FROM {table}"), &[])?;
            }
        }
        (Some(next), page) if page == next => {}
        (Some(next), page) if page.saturating_add(1) == next && !restore.last => return Ok(Ok(())),
        _ => return Ok(Err(begin_again("this is not the `page` that comes next"))),
    }
    for ((table, columns), values) in rows {
        let insert = format!("INSERT INTO {table} ({}) VALUES ", columns.join(", "));
        insert_all(sql, (&insert, columns.len()), &values)?;
    }
    set_meta(sql, "epoch", restore.epoch.as_str())?;
    let next = restore.page.saturating_add(1);
    set_meta(sql, RESTORING, &next.to_string())?;
    if restore.last && !is_whole(sql)? {
        return Ok(Err(begin_again("the log has gaps")));
    }
    if restore.last {
        send_nothing_twice(sql, restore.at)?;
        forget_meta(sql, RESTORING)?;
    }
    Ok(Ok(()))
}

fn begin_again(why: &str) -> Refusal {
    Refusal::new(Code::Conflict, format!("{why}; begin again with page 0"))
}

/// The values of all rows of one table that follow each other.
type Run<'a> = ((&'static str, &'static [&'static str]), Vec<Value>);

fn find_tables(restore: &Restore) -> Result<Vec<Run<'_>>, Refusal> {
    let epoch = restore.epoch.as_str();
    if !(1..=64).contains(&epoch.len()) || !epoch.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Refusal::invalid("`epoch` is not one"));
    }
    let mut runs: Vec<Run<'_>> = Vec::new();
    for (name, values) in &restore.rows {
        let table = TABLES.iter().find(|(table, ..)| table == name);
        let columns = table.and_then(|(table, _, columns)| {
            let columns = columns.get(..values.len()).filter(|c| !c.is_empty())?;
            Some((*table, columns))
        });
        let Some(columns) = columns else {
            let message = format!("`rows` has one that is none of this version's: {name}");
            return Err(Refusal::invalid(message));
        };
        match runs.last_mut() {
            Some((last, all)) if *last == columns => all.extend(values.iter().cloned()),
            _ => runs.push((columns, values.clone())),
        }
    }
    Ok(runs)
}

fn is_used(sql: &dyn Sql) -> Result<bool, StorageError> {
    let kept = TABLES.iter().map(|(table, ..)| table);
    for table in kept.chain(&CONNECTED) {
        if !sql
            .run(&format!("SELECT 1 FROM {table} LIMIT 1"), &[])?
            .is_empty()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A log has no gaps.
fn is_whole(sql: &dyn Sql) -> Result<bool, StorageError> {
    let rows = sql.run("SELECT MAX(offset) - MIN(offset) + 1 - COUNT(*) FROM log", &[])?;
    Ok(match rows.first().map(|row| row.0.as_slice()) {
        Some([Value::Integer(missing)]) => *missing == 0,
        _ => true,
    })
}

/// What waited to be sent when the backup was made may have been sent since by the server that it was made
/// of: nobody knows, so it is not sent again. In a line it counts as handed over then, and is asked about; in
/// a conversation, whose line need not have heard of it, it is unknown.
fn send_nothing_twice(sql: &dyn Sql, at: Timestamp) -> Result<(), StorageError> {
    sql.run(
        "UPDATE sends SET tried_at = ? WHERE tried_at IS NULL",
        &[unsigned(at.0)],
    )?;
    sql.run(
        "UPDATE messages SET status = 'unknown', error_message = ? WHERE status = 'waiting' AND id IN
             (SELECT json_extract(parcel, '$.event.outgoing.id') FROM outbox)",
        &[text(
            "It waited when the backup was made that this room was restored from; it may or may not have been sent.",
        )],
    )?;
    sql.run(
        "UPDATE outbox SET parcel = json_remove(parcel, '$.event.outgoing')
         WHERE json_extract(parcel, '$.event.outgoing') IS NOT NULL",
        &[],
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{super::memory::Memory, *};

    #[test]
    fn every_table_is_backed_up_whole_or_is_of_this_server_s_connections() {
        let sql = Memory::new();
        migrate(&sql, &RoomName::parse("chat:42").unwrap(), "e").unwrap();
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
        for row in sql.run(tables, &[]).unwrap() {
            let name = row.text(0, "name").unwrap();
            let columns = format!("SELECT name FROM pragma_table_info('{name}') ORDER BY cid");
            let columns = sql.run(&columns, &[]).unwrap();
            let columns: Vec<&str> = columns.iter().map(|c| c.text(0, "name").unwrap()).collect();
            match TABLES.iter().find(|(table, ..)| *table == name) {
                Some((.., kept)) => assert_eq!(columns, *kept, "{name}"),
                None => assert!(
                    ["meta", "journal", "reached"].contains(&name)
                        || CONNECTED.contains(&name),
                    "{name}"
                ),
            }
        }
    }
}
