//! A user's notifications, in the user's own room: kept until they are read, so that they outlive any
//! absence. What is read stays listed until it is cleared, and is known for a while after that, so
//! that a tab that comes late with "I have read it" is no error.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use crate::{
    event::raw,
    limits::MAX_NOTIFICATIONS,
    names::{Offset, RoomName},
    storage::{Row, RowCount, Sql, StorageError, Value, count, text, unsigned},
};

/// A notification's fields.
pub type Fields = BTreeMap<String, Box<RawValue>>;

const UNREAD: u64 = 0;
const READ: u64 = 1;
const CLEARED: u64 = 2;

/// How far a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits.
    Unread,
    /// It was read, or cleared.
    Done,
}

/// What is known of the notification `id`, and where it was told.
pub fn find(sql: &dyn Sql, id: &str) -> Result<Option<(State, Offset)>, StorageError> {
    let rows = sql.run(
        "SELECT state, offset FROM notifications WHERE id = ?",
        &[text(id)],
    )?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let state = match row.unsigned(0, "notification")? {
        UNREAD => State::Unread,
        _ => State::Done,
    };
    Ok(Some((state, Offset(row.unsigned(1, "notification")?))))
}

/// Keeps a notification that was told at `offset`. Past [`MAX_NOTIFICATIONS`] the oldest goes, those
/// first that were read.
pub fn keep(
    sql: &dyn Sql,
    rows: &RowCount,
    offset: Offset,
    id: &str,
    mut fields: Fields,
    about: Option<(&RoomName, Offset)>,
) -> Result<(), StorageError> {
    let is_read = fields
        .remove("read")
        .is_some_and(|read| read.get() == "true");
    let json = serde_json::to_string(&fields).map_err(|_| StorageError::Corrupt("notification"))?;
    let (room, room_offset) = match about {
        Some((room, offset)) => (text(room.as_str()), unsigned(offset.0)),
        None => (Value::Null, Value::Null),
    };
    sql.run(
        "INSERT INTO notifications (id, offset, json, state, about, about_offset)
         VALUES (?, ?, ?, ?, ?, ?)",
        &[
            text(id),
            unsigned(offset.0),
            text(json),
            unsigned(if is_read { READ } else { UNREAD }),
            room,
            room_offset,
        ],
    )?;
    rows.add();
    if rows.get(sql)? > MAX_NOTIFICATIONS {
        sql.run(
            "DELETE FROM notifications WHERE id =
                 (SELECT id FROM notifications ORDER BY state = 0, offset LIMIT 1)",
            &[],
        )?;
        rows.deleted(1);
    }
    Ok(())
}

/// `id` has been read.
pub fn read(sql: &dyn Sql, id: &str) -> Result<(), StorageError> {
    set_state(sql, READ, "WHERE id = ?", &[text(id)])
}

/// All are read, and listed no more. False if there were none.
pub fn clear(sql: &dyn Sql) -> Result<bool, StorageError> {
    let any = !sql
        .run("SELECT 1 FROM notifications WHERE state < 2 LIMIT 1", &[])?
        .is_empty();
    set_state(sql, CLEARED, "WHERE state < 2", &[])?;
    Ok(any)
}

fn set_state(
    sql: &dyn Sql,
    state: u64,
    of: &str,
    parameters: &[Value],
) -> Result<(), StorageError> {
    let statement = format!("UPDATE notifications SET state = {state} {of}");
    sql.run(&statement, parameters).map(drop)
}

/// The unread ones that tell of publications of `room`, up to an offset there.
pub fn unread_about(
    sql: &dyn Sql,
    room: &RoomName,
    through: Offset,
) -> Result<Vec<String>, StorageError> {
    sql.run(
        "SELECT id FROM notifications WHERE state = 0 AND about = ? AND about_offset <= ?
         ORDER BY offset",
        &[text(room.as_str()), unsigned(through.0)],
    )?
    .iter()
    .map(|row| row.text(0, "notification").map(str::to_owned))
    .collect()
}

/// The newest `limit` that are unread, or that were not cleared, oldest first.
pub fn list(
    sql: &dyn Sql,
    unread_only: bool,
    limit: u64,
) -> Result<Vec<Box<RawValue>>, StorageError> {
    let states = if unread_only { UNREAD } else { READ };
    let rows = sql.run(
        "SELECT json, state FROM notifications WHERE state <= ? ORDER BY offset DESC LIMIT ?",
        &[unsigned(states), unsigned(limit)],
    )?;
    rows.iter().rev().map(with_state).collect()
}

fn with_state(row: &Row) -> Result<Box<RawValue>, StorageError> {
    let corrupt = || StorageError::Corrupt("notification");
    let mut fields: Fields =
        serde_json::from_str(row.text(0, "notification")?).map_err(|_| corrupt())?;
    let is_read = row.unsigned(1, "notification")? != UNREAD;
    fields.insert("read".to_owned(), raw(is_read.to_string()));
    to_raw_value(&fields).map_err(|_| corrupt())
}

/// How many are unread.
pub fn unread(sql: &dyn Sql) -> Result<u64, StorageError> {
    count(
        sql,
        "SELECT COUNT(*) FROM notifications WHERE state = 0",
        &[],
    )
}
