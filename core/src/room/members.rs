//! Who may join a room. For a phone line these are its assignees.

use serde::Serialize;

use crate::{
    limits::MAX_MEMBERS,
    names::{Timestamp, UserId},
    storage::{Sql, StorageError, text, unsigned},
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

pub fn add(sql: &dyn Sql, now: Timestamp, user: &UserId) -> Result<bool, StorageError> {
    if contains(sql, user)? {
        return Ok(true);
    }
    let count = sql.run("SELECT COUNT(*) FROM members", &[])?;
    let count = count
        .first()
        .map(|row| row.unsigned(0, "members"))
        .transpose()?;
    if usize::try_from(count.unwrap_or_default()).is_ok_and(|count| count >= MAX_MEMBERS) {
        return Ok(false);
    }
    sql.run(
        "INSERT INTO members (user, since) VALUES (?, ?)",
        &[text(user.as_str()), unsigned(now.0)],
    )?;
    Ok(true)
}

pub fn remove(sql: &dyn Sql, user: &UserId) -> Result<(), StorageError> {
    sql.run("DELETE FROM members WHERE user = ?", &[text(user.as_str())])
        .map(drop)
}
