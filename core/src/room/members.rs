//! Who may join a room. For a phone line these are its assignees.

use serde::Serialize;

use crate::{
    limits::{MAX_FOLLOWERS, MAX_MEMBERS},
    names::{RoomName, Timestamp, UserId},
    storage::{RowCount, Sql, StorageError, text, unsigned},
};

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// Since when, RFC 3339.
    pub since: String,
}

/// How many rows the tables have.
#[derive(Debug)]
pub struct Counts {
    members: RowCount,
    followers: RowCount,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            members: RowCount::of("SELECT COUNT(*) FROM members"),
            followers: RowCount::of("SELECT COUNT(*) FROM followers"),
        }
    }
}

pub fn list(sql: &dyn Sql) -> Result<Vec<Member>, StorageError> {
    sql.run("SELECT user, since FROM members ORDER BY since, user", &[])?
        .iter()
        .map(|row| {
            Ok(Member {
                user_id: UserId::text(row.text(0, "member")?)
                    .map_err(|_| StorageError::Corrupt("member"))?,
                since: Timestamp(row.unsigned(1, "member")?).rfc3339(),
            })
        })
        .collect()
}

pub fn contains(sql: &dyn Sql, user: &UserId) -> Result<bool, StorageError> {
    Ok(!sql
        .run(
            "SELECT 1 FROM members WHERE user = ?",
            &[text(user.as_str())],
        )?
        .is_empty())
}

pub fn add(
    sql: &dyn Sql,
    counts: &Counts,
    now: Timestamp,
    user: &UserId,
) -> Result<bool, StorageError> {
    if contains(sql, user)? {
        return Ok(true);
    }
    if counts.members.get(sql)? >= MAX_MEMBERS {
        return Ok(false);
    }
    sql.run(
        "INSERT INTO members (user, since) VALUES (?, ?)",
        &[text(user.as_str()), unsigned(now.0)],
    )?;
    counts.members.add();
    Ok(true)
}

/// `user` is a member no longer. Gives the rooms that must hear of it.
pub fn remove(
    sql: &dyn Sql,
    counts: &Counts,
    user: &UserId,
) -> Result<Vec<RoomName>, StorageError> {
    if contains(sql, user)? {
        counts.members.deleted(1);
    }
    let user = [text(user.as_str())];
    sql.run("DELETE FROM members WHERE user = ?", &user)?;
    let followers = sql.run("SELECT room FROM followers WHERE user = ?", &user)?;
    sql.run("DELETE FROM followers WHERE user = ?", &user)?;
    counts.followers.deleted(followers.len());
    followers
        .iter()
        .map(|row| {
            RoomName::parse(row.text(0, "follower")?).map_err(|_| StorageError::Corrupt("follower"))
        })
        .collect()
}

/// `room` lets `user` stay because they are a member here. False if there are too many such rooms.
pub fn follow(
    sql: &dyn Sql,
    counts: &Counts,
    user: &UserId,
    room: &RoomName,
) -> Result<bool, StorageError> {
    let row = [text(user.as_str()), text(room.as_str())];
    let known = sql.run("SELECT 1 FROM followers WHERE user = ? AND room = ?", &row)?;
    if !known.is_empty() {
        return Ok(true);
    }
    if counts.followers.get(sql)? >= MAX_FOLLOWERS {
        return Ok(false);
    }
    sql.run("INSERT INTO followers (user, room) VALUES (?, ?)", &row)?;
    counts.followers.add();
    Ok(true)
}
