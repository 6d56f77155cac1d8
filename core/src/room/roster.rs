//! Who is here: by user, not by socket.
//!
//! A user is held here by one or more *holders*: this object's own sockets ([`LOCAL`]), and the
//! objects that are linked. A user whom nobody holds any more is *leaving* and gone only after a
//! grace, so that a reconnect does not flash. The roster is stored, so that a crash between a socket's
//! end and its close event is noticed. A lobby leaves no ghosts: it stores its sockets, and says which
//! of them are gone when it wakes, and once more when it forgets them.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::{
    limits::PRESENCE_GRACE_MS,
    names::{Timestamp, UserId},
    storage::{Sql, StorageError, text},
};

/// The holder that stands for this object's own sockets.
pub const LOCAL: &str = "";

/// Someone who is here, as clients see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    user_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    since: String,
}

impl Person {
    /// Who.
    pub fn user(&self) -> &UserId {
        &self.user_id
    }
}

/// Who came and who went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Those who came.
    pub joins: Vec<Person>,
    /// Those who went.
    pub leaves: Vec<Person>,
}

/// A stored entry. Its JSON is pinned by a test: changing it needs a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    user: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    since: Timestamp,
    holders: BTreeSet<String>,
    /// Nobody holds them; they are gone at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaving: Option<Timestamp>,
}

impl Entry {
    fn person(&self) -> Person {
        Person {
            user_id: self.user.clone(),
            name: self.name.clone(),
            since: self.since.rfc3339(),
        }
    }
}

/// The room's roster, with the changes that have not been told yet.
#[derive(Debug, Default)]
pub struct Roster {
    entries: HashMap<String, Entry>,
    /// Changes since [`Roster::take_diff`].
    diff: Diff,
}

impl Roster {
    /// Reads the stored roster.
    pub fn load(sql: &dyn Sql) -> Result<Self, StorageError> {
        let mut roster = Self::default();
        for row in sql.run("SELECT user, entry FROM roster", &[])? {
            let entry = serde_json::from_str(row.text(1, "roster entry")?)
                .map_err(|_| StorageError::Corrupt("roster entry"))?;
            roster
                .entries
                .insert(row.text(0, "roster entry")?.to_owned(), entry);
        }
        Ok(roster)
    }

    /// `holder` holds `user` from now on.
    pub fn enter(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
        name: Option<&str>,
        holder: &str,
    ) -> Result<(), StorageError> {
        let joined = !self.entries.contains_key(user.as_str());
        let entry = self
            .entries
            .entry(user.as_str().to_owned())
            .or_insert_with(|| Entry {
                user: user.clone(),
                name: None,
                since: now,
                holders: BTreeSet::new(),
                leaving: None,
            });
        if let Some(name) = name {
            entry.name = Some(name.to_owned());
        }
        entry.holders.insert(holder.to_owned());
        entry.leaving = None;
        store(sql, entry)?;
        if joined {
            self.diff.joins.push(entry.person());
        }
        Ok(())
    }

    /// `holder` holds `user` no more. With nobody else holding them they are gone after the grace,
    /// or at once where they were thrown out.
    pub fn exit(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
        holder: &str,
        grace: bool,
    ) -> Result<(), StorageError> {
        let Some(entry) = self.entries.get_mut(user.as_str()) else {
            return Ok(());
        };
        entry.holders.remove(holder);
        if !entry.holders.is_empty() {
            return store(sql, entry);
        }
        if grace {
            entry.leaving = Some(now.plus(PRESENCE_GRACE_MS));
            return store(sql, entry);
        }
        self.forget(sql, user.as_str())
    }

    /// After a wake: local users of whom no socket is left begin to leave.
    pub fn reconcile(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        is_local: impl Fn(&UserId) -> bool,
    ) -> Result<(), StorageError> {
        let vanished: Vec<UserId> = self
            .entries
            .values()
            .filter(|entry| entry.holders.contains(LOCAL) && !is_local(&entry.user))
            .map(|entry| entry.user.clone())
            .collect();
        for user in vanished {
            self.exit(sql, now, &user, LOCAL, true)?;
        }
        Ok(())
    }

    /// Ends the graces that are over.
    pub fn expire(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        let over = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.leaving.is_some_and(|at| at <= now));
        let over: Vec<String> = over.map(|(user, _)| user.clone()).collect();
        for user in over {
            self.forget(sql, &user)?;
        }
        Ok(())
    }

    fn forget(&mut self, sql: &dyn Sql, user: &str) -> Result<(), StorageError> {
        if let Some(entry) = self.entries.remove(user) {
            sql.run("DELETE FROM roster WHERE user = ?", &[text(user)])?;
            self.diff.leaves.push(entry.person());
        }
        Ok(())
    }

    /// Those who are here, who came first first.
    pub fn people(&self) -> Vec<Person> {
        let mut people: Vec<Person> = self.entries.values().map(Entry::person).collect();
        people.sort_by(|a, b| (&a.since, a.user_id.as_str()).cmp(&(&b.since, b.user_id.as_str())));
        people
    }

    /// Whether somebody holds `user` here: one who is leaving is not here any more.
    pub fn is_here(&self, user: &UserId) -> bool {
        let entry = self.entries.get(user.as_str());
        entry.is_some_and(|entry| !entry.holders.is_empty())
    }

    /// How many of these users (one, or all) other objects hold here.
    pub fn held_elsewhere(&self, user: Option<&UserId>) -> usize {
        let wanted = |entry: &&Entry| user.is_none_or(|user| entry.user == *user);
        let elsewhere = |entry: &&Entry| entry.holders.iter().any(|holder| holder != LOCAL);
        self.entries
            .values()
            .filter(wanted)
            .filter(elsewhere)
            .count()
    }

    /// The users that `holder` holds.
    pub fn held_by(&self, holder: &str) -> Vec<UserId> {
        let held = |entry: &&Entry| entry.holders.contains(holder);
        self.entries
            .values()
            .filter(held)
            .map(|entry| entry.user.clone())
            .collect()
    }

    /// How many changes [`Roster::take_diff`] would give: the place from which on someone who was
    /// just given [`Roster::people`] has not heard of them.
    pub fn mark(&self) -> (usize, usize) {
        (self.diff.joins.len(), self.diff.leaves.len())
    }

    /// The changes since the last call.
    pub fn take_diff(&mut self) -> Diff {
        std::mem::take(&mut self.diff)
    }

    /// When the next grace ends.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.entries
            .values()
            .filter_map(|entry| entry.leaving)
            .min()
    }
}

impl Diff {
    /// Nobody came or went.
    pub fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.leaves.is_empty()
    }

    /// What came after a [`Roster::mark`].
    pub fn after(&self, (joins, leaves): (usize, usize)) -> Self {
        Self {
            joins: self.joins.iter().skip(joins).cloned().collect(),
            leaves: self.leaves.iter().skip(leaves).cloned().collect(),
        }
    }
}

fn store(sql: &dyn Sql, entry: &Entry) -> Result<(), StorageError> {
    let json = serde_json::to_string(entry).map_err(|_| StorageError::Corrupt("roster entry"))?;
    sql.run(
        "INSERT OR REPLACE INTO roster (user, entry) VALUES (?, ?)",
        &[text(entry.user.as_str()), text(json)],
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{names::RoomName, storage::memory::Memory};

    fn sql() -> Memory {
        let sql = Memory::new();
        crate::storage::migrate(&sql, &RoomName::parse("demo:1").unwrap(), "e").unwrap();
        sql
    }

    fn names(people: &[Person]) -> Vec<&str> {
        people
            .iter()
            .map(|person| person.user_id.as_str())
            .collect()
    }

    #[test]
    fn the_stored_entry_is_pinned() {
        let entry = Entry {
            user: UserId::integer(7),
            name: Some("Ann".to_owned()),
            since: Timestamp(1),
            holders: BTreeSet::from([LOCAL.to_owned(), "lobby:0".to_owned()]),
            leaving: Some(Timestamp(5)),
        };
        let json = r#"{"user":7,"name":"Ann","since":1,"holders":["","lobby:0"],"leaving":5}"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), json);
        assert_eq!(serde_json::from_str::<Entry>(json).unwrap(), entry);
    }

    #[test]
    fn a_reconnect_within_the_grace_does_not_flash() {
        let (sql, mut roster) = (sql(), Roster::default());
        let ann = UserId::text("ann").unwrap();
        roster
            .enter(&sql, Timestamp(0), &ann, Some("Ann"), LOCAL)
            .unwrap();
        assert_eq!(names(&roster.take_diff().joins), ["ann"]);
        roster
            .exit(&sql, Timestamp(1_000), &ann, LOCAL, true)
            .unwrap();
        roster.expire(&sql, Timestamp(5_999)).unwrap();
        assert!(roster.take_diff().is_empty());
        roster
            .enter(&sql, Timestamp(5_999), &ann, None, LOCAL)
            .unwrap();
        assert_eq!(roster.next_deadline(), None);
        roster.expire(&sql, Timestamp(60_000)).unwrap();
        assert!(roster.take_diff().is_empty());
        assert_eq!(names(&roster.people()), ["ann"]);
        roster
            .exit(&sql, Timestamp(60_000), &ann, LOCAL, true)
            .unwrap();
        assert_eq!(roster.next_deadline(), Some(Timestamp(65_000)));
        roster.expire(&sql, Timestamp(65_000)).unwrap();
        assert_eq!(names(&roster.take_diff().leaves), ["ann"]);
        assert!(Roster::load(&sql).unwrap().people().is_empty());
    }

    #[test]
    fn someone_held_twice_leaves_with_the_last_holder() {
        let (sql, mut roster) = (sql(), Roster::default());
        let ann = UserId::text("ann").unwrap();
        for holder in ["lobby:0", LOCAL] {
            roster
                .enter(&sql, Timestamp(0), &ann, None, holder)
                .unwrap();
        }
        assert_eq!(roster.held_by("lobby:0"), std::slice::from_ref(&ann));
        assert_eq!(roster.held_elsewhere(None), 1);
        roster
            .exit(&sql, Timestamp(1), &ann, "lobby:0", false)
            .unwrap();
        assert_eq!((roster.held_elsewhere(None), roster.people().len()), (0, 1));
        roster.exit(&sql, Timestamp(2), &ann, LOCAL, false).unwrap();
        assert!(roster.people().is_empty());
    }

    #[test]
    fn a_socket_that_vanished_is_closed_in_the_roster_after_a_wake() {
        let sql = sql();
        let (ann, bob) = (UserId::text("ann").unwrap(), UserId::text("bob").unwrap());
        let mut roster = Roster::default();
        roster.enter(&sql, Timestamp(0), &ann, None, LOCAL).unwrap();
        roster.enter(&sql, Timestamp(0), &bob, None, LOCAL).unwrap();
        let mut woken = Roster::load(&sql).unwrap();
        woken
            .reconcile(&sql, Timestamp(10), |user| user.as_str() == "bob")
            .unwrap();
        woken
            .expire(&sql, Timestamp(10 + PRESENCE_GRACE_MS))
            .unwrap();
        assert_eq!(names(&woken.take_diff().leaves), ["ann"]);
        assert_eq!(names(&woken.people()), ["bob"]);
    }
}
