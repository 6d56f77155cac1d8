//! A room's whole state as rows, a page at a time, and back into a room that nobody has used.
//!
//! A page is made in one turn. The log's pages may follow each other while the room goes on, for what is in a
//! log stays as it is; from the page on that has the rest, with the log's end in it, nothing may change until
//! all has been read: the cursor says so, and whoever asks with one that is stale begins again where the log
//! ended. A room that fits into a page is never in the way of anybody.
//!
//! While a room is restored it is nobody's: it does not wake.

use serde_json::value::RawValue;

use super::{
    READABLE_BY, SCHEMA_VERSION, Sql, StorageError, Value, exists, forget_meta, insert_all, meta,
    migrate, set_meta, text, unsigned,
};
use crate::{
    error::{Code, Refusal},
    fields::Fields,
    limits::MAX_BACKUP_PAGE_BYTES,
    names::{RoomName, Timestamp},
};

/// A table that is backed up: its name, how many columns are its key, its columns, those of the key first. A
/// later version appends columns, so that the rows of an earlier one are shorter.
type Table = (&'static str, usize, &'static [&'static str]);

/// The log first: see above.
const TABLES: &[Table] = &[
    (
        "log",
        1,
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
    ("dedupe", 1, &["key", "offset", "at"]),
    ("members", 1, &["user", "since"]),
    ("followers", 2, &["user", "room"]),
    ("state", 1, &["key", "json"]),
    (
        "outbox",
        1,
        &["id", "target", "parcel", "due_at", "attempts", "at"],
    ),
    (
        "notifications",
        1,
        &["id", "offset", "json", "state", "about", "about_offset"],
    ),
    (
        "messages",
        1,
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
        1,
        &["contact", "rank", "unread", "assigned_to", "json"],
    ),
    (
        "sends",
        1,
        &[
            "id", "outgoing", "at", "due_at", "attempts", "tried_at", "asks",
        ],
    ),
    ("lines", 1, &["number"]),
];

/// Whose sockets are here: those of the server that they are connected to, and of no other one.
const CONNECTED: [&str; 4] = ["roster", "links", "sockets", "doors"];

/// Rows read at a time.
const CHUNK: usize = 10;

/// How far a restore is: the number of the page that is next.
pub(super) const RESTORING: &str = "restoring";

/// Where a page ended.
#[derive(Debug, Clone, Default)]
struct Cursor {
    table: usize,
    /// The last row's key; none before the first.
    after: Vec<Value>,
    /// What the room's state was called, once nothing may change any more.
    state: String,
}

impl Cursor {
    /// `{table}.{after}.{state}`: there may be a dot in a key, and in nothing else.
    fn parse(text: &str) -> Option<Self> {
        let (table, rest) = text.split_once('.')?;
        let (after, state) = rest.rsplit_once('.')?;
        let table = table.parse().ok()?;
        let after: Vec<Box<RawValue>> = serde_json::from_str(&format!("[{after}]")).ok()?;
        let after = after.iter().map(|value| Value::from_json(value.get()));
        let after: Vec<Value> = after.collect::<Option<_>>()?;
        let (_, key_len, _) = TABLES.get(table)?;
        let is_place = match after.as_slice() {
            // The log's are numbers, and it has been begun.
            after if table == 0 => matches!(after, [Value::Integer(0..)]),
            after => after.is_empty() || after.len() == *key_len,
        };
        is_place.then(|| Self {
            table,
            after,
            state: state.to_owned(),
        })
    }

    fn text(&self) -> String {
        let after: Vec<String> = self.after.iter().map(Value::to_json).collect();
        format!("{}.{}.{}", self.table, after.join(","), self.state)
    }
}

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Its rows, a JSON array: each the table's name, then its values.
    pub rows: String,
    /// Where the next one begins.
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
        None => Cursor::default(),
    };
    if cursor.table > 0 && cursor.state != state {
        let message = "the room has changed; go on after the last row of its log";
        return Ok(Err(Refusal::new(Code::Conflict, message)));
    }
    let (mut rows, mut after) = (String::from("["), cursor.after);
    for (table, (name, key_len, columns)) in TABLES.iter().enumerate().skip(cursor.table) {
        let key = columns.get(..*key_len).unwrap_or_default().join(", ");
        let select = format!("SELECT {} FROM {name}", columns.join(", "));
        let order = format!("ORDER BY {key} LIMIT {CHUNK}");
        loop {
            if rows.len() > MAX_BACKUP_PAGE_BYTES {
                let state = if table == 0 { "" } else { state }.to_owned();
                let cursor = Cursor {
                    table,
                    after,
                    state,
                };
                let cursor = Some(cursor.text());
                rows.push(']');
                return Ok(Ok(Page { rows, cursor }));
            }
            let which = match after.len() {
                0 => String::new(),
                len => format!("WHERE ({key}) > ({})", vec!["?"; len].join(", ")),
            };
            let chunk = sql.run(&format!("{select} {which} {order}"), &after)?;
            for row in &chunk {
                rows.push_str(if rows.len() > 1 { ",[\"" } else { "[\"" });
                rows.push_str(name);
                rows.push('"');
                for value in &row.0 {
                    rows.push(',');
                    rows.push_str(&value.to_json());
                }
                rows.push(']');
            }
            if let Some(last) = chunk.last() {
                after = last.0.iter().take(*key_len).cloned().collect();
            }
            if chunk.len() < CHUNK {
                break;
            }
        }
        after = Vec::new();
    }
    rows.push(']');
    Ok(Ok(Page { rows, cursor: None }))
}

/// A page that comes back: `PUT /rooms/{room}/backup`.
#[derive(Debug)]
pub struct Restore {
    epoch: String,
    at: Timestamp,
    /// Its number, from 0.
    pub page: u64,
    /// With this one the room is whole, and open.
    pub last: bool,
    rows: Vec<Run>,
}

/// The values of all rows of one table that follow each other.
type Run = ((&'static str, &'static [&'static str]), Vec<Value>);

impl Restore {
    /// Reads one: `{schema, epoch, at, page, last?, rows?}`, the first three as a backup has them.
    pub fn parse(json: &RawValue) -> Result<Self, Refusal> {
        let fields = Fields::parse(json, "the body")?;
        let epoch: String = fields.required("epoch", "text")?;
        if !(1..=64).contains(&epoch.len()) || !epoch.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(fields.wrong("epoch", "1 to 64 letters and digits"));
        }
        let schema: i64 = fields.required("schema", "a whole number")?;
        if !(READABLE_BY..=SCHEMA_VERSION).contains(&schema) {
            let known = format!("{READABLE_BY} to {SCHEMA_VERSION} for this version");
            return Err(fields.wrong("schema", &known));
        }
        let rows: Option<Vec<Box<RawValue>>> = fields.optional("rows", "a list")?;
        let mut runs: Vec<Run> = Vec::new();
        for row in rows.unwrap_or_default() {
            let Some((columns, values)) = read_row(&row) else {
                return Err(fields.wrong("rows", "a list of rows that this version knows"));
            };
            match runs.last_mut() {
                Some((last, all)) if *last == columns => all.extend(values),
                _ => runs.push((columns, values)),
            }
        }
        Ok(Self {
            epoch,
            at: Timestamp(fields.required("at", "an instant in milliseconds")?),
            page: fields.required("page", "a whole number")?,
            last: fields
                .optional("last", "true or false")?
                .unwrap_or_default(),
            rows: runs,
        })
    }
}

fn read_row(row: &RawValue) -> Option<Run> {
    let row: Vec<Box<RawValue>> = serde_json::from_str(row.get()).ok()?;
    let (name, values) = row.split_first()?;
    let Value::Text(name) = Value::from_json(name.get())? else {
        return None;
    };
    let (table, _, columns) = TABLES.iter().find(|(table, ..)| *table == name)?;
    let columns = columns.get(..values.len()).filter(|c| !c.is_empty())?;
    let values = values.iter().map(|value| Value::from_json(value.get()));
    Some(((*table, columns), values.collect::<Option<_>>()?))
}

/// Takes a page. The first may come again, and begins anew; so may the one before the next, should its answer
/// have been lost.
pub fn restore(
    sql: &dyn Sql,
    room: &RoomName,
    restore: &Restore,
) -> Result<Result<(), Refusal>, StorageError> {
    let next: Option<u64> = match exists(sql)?.then(|| meta(sql, RESTORING)).transpose()? {
        Some(Some(next)) => Some(
            next.parse()
                .map_err(|_| StorageError::Corrupt("restoring"))?,
        ),
        _ => None,
    };
    match (next, restore.page) {
        (None, 0) => {
            migrate(sql, room, &restore.epoch)?;
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
    for ((table, columns), values) in &restore.rows {
        let insert = format!("INSERT INTO {table} ({}) VALUES ", columns.join(", "));
        insert_all(sql, (&insert, columns.len()), values)?;
    }
    set_meta(sql, "epoch", &restore.epoch)?;
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
    let rows = sql.run(
        "SELECT MAX(offset) - MIN(offset) + 1 - COUNT(*) FROM log",
        &[],
    )?;
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
                    ["meta", "journal", "reached"].contains(&name) || CONNECTED.contains(&name),
                    "{name}"
                ),
            }
        }
    }

    #[test]
    fn each_row_is_in_one_page_whatever_its_key_is() {
        let sql = Memory::new();
        migrate(&sql, &RoomName::parse("chat:42").unwrap(), "e").unwrap();
        let long = "x".repeat(500);
        for n in 0..5_000 {
            // Several rows of one user, so that a page ends among them too.
            let user = text(format!("a.\"{}\",[{long}", n / 7));
            let room = text(format!("sms:+1:{n}"));
            let insert = "INSERT INTO followers (user, room) VALUES (?, ?)";
            sql.run(insert, &[user, room]).unwrap();
        }
        let (mut rows, mut pages, mut cursor) = (Vec::new(), 0, None);
        loop {
            let page = page(&sql, cursor.as_deref(), "1-2").unwrap().unwrap();
            let all: Vec<Vec<String>> = serde_json::from_str(&page.rows).unwrap();
            rows.extend(all);
            pages += 1;
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((rows.len(), pages), (5_000, 3));
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), 5_000);
    }
}
