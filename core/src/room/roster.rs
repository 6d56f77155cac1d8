//! Who is here: by user, not by socket.
//!
//! A user is held here by one or more *holders*: this object's own sockets ([`LOCAL`]), and the
//! objects that are linked. A user whom nobody holds any more is *leaving* and gone only after a
//! grace, so that a reconnect does not flash. The roster is stored, so that a crash between a socket's
//! end and its close event is noticed. A lobby leaves no ghosts: it stores its sockets, and says which
//! of them are gone when it wakes, and once more when it forgets them.

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use serde::{Deserialize, Serialize};

use crate::{
    deadlines::Deadlines,
    limits::{PRESENCE_GATHER_FROM, PRESENCE_GATHER_MS, PRESENCE_GRACE_MS},
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

/// An entry, and how clients see it, written once.
#[derive(Debug)]
struct Known {
    entry: Entry,
    json: OnceCell<String>,
}

/// The room's roster, with the changes that have not been told yet.
#[derive(Debug, Default)]
pub struct Roster {
    known: HashMap<Rc<str>, Known>,
    /// In the order in which they are listed: who came first first.
    listed: BTreeSet<(Timestamp, Rc<str>)>,
    /// When the graces end.
    leaving: Deadlines<Rc<str>>,
    /// Whom each other object holds.
    held: HashMap<String, BTreeSet<Rc<str>>>,
    /// Changes that were not taken yet.
    diff: Diff,
    /// When any were.
    taken_at: Timestamp,
}

impl Roster {
    /// Reads the stored roster.
    pub fn load(sql: &dyn Sql) -> Result<Self, StorageError> {
        let mut roster = Self::default();
        let rows = sql.run("SELECT entry FROM roster", &[])?;
        roster.known.reserve(rows.len());
        for row in rows {
            roster.keep(row.json(0, "roster entry")?);
        }
        let known = roster.known.iter();
        let listed = known.map(|(user, known)| (known.entry.since, Rc::clone(user)));
        roster.listed = listed.collect();
        Ok(roster)
    }

    fn insert(&mut self, entry: Entry) {
        let since = entry.since;
        let user = self.keep(entry);
        self.listed.insert((since, user));
    }

    /// All but its place in the list.
    fn keep(&mut self, entry: Entry) -> Rc<str> {
        let user: Rc<str> = entry.user.as_str().into();
        let elsewhere = entry.holders.iter().filter(|holder| *holder != LOCAL);
        for holder in elsewhere {
            let held = self.held.entry(holder.clone()).or_default();
            held.insert(Rc::clone(&user));
        }
        self.leaving.set(&user, entry.leaving);
        let json = OnceCell::new();
        self.known.insert(Rc::clone(&user), Known { entry, json });
        user
    }

    fn remove(&mut self, user: &str) -> Option<Entry> {
        let (user, Known { entry, .. }) = self.known.remove_entry(user)?;
        self.leaving.remove(&user);
        for holder in &entry.holders {
            self.let_go(&user, holder);
        }
        self.listed.remove(&(entry.since, user));
        Some(entry)
    }

    fn let_go(&mut self, user: &str, holder: &str) {
        if let Some(held) = self.held.get_mut(holder) {
            held.remove(user);
            if held.is_empty() {
                self.held.remove(holder);
            }
        }
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
        let before = self.known.get(user.as_str()).map(|known| &known.entry);
        let mut entry = before.cloned().unwrap_or_else(|| Entry {
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
        // Another tab of someone who is here is no news, and no row.
        if before == Some(&entry) {
            return Ok(());
        }
        store(sql, &entry)?;
        if before.is_none() {
            self.diff.came(entry.person());
        }
        self.insert(entry);
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
        self.let_go(user.as_str(), holder);
        let Some((user, known)) = self.known.get_key_value(user.as_str()) else {
            return Ok(());
        };
        let mut entry = known.entry.clone();
        entry.holders.remove(holder);
        if entry.holders.is_empty() {
            if !grace {
                let user = Rc::clone(user);
                return self.forget(sql, &user);
            }
            entry.leaving = Some(now.plus(PRESENCE_GRACE_MS));
        }
        if entry != known.entry {
            store(sql, &entry)?;
            self.insert(entry);
        }
        Ok(())
    }

    /// After a wake: local users of whom no socket is left begin to leave.
    pub fn reconcile(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        is_local: impl Fn(&UserId) -> bool,
    ) -> Result<(), StorageError> {
        let entries = self.known.values().map(|known| &known.entry);
        let mut vanished: Vec<UserId> = entries
            .filter(|entry| entry.holders.contains(LOCAL) && !is_local(&entry.user))
            .map(|entry| entry.user.clone())
            .collect();
        // In the order of their hashes no two processes would do the same.
        vanished.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        for user in vanished {
            self.exit(sql, now, &user, LOCAL, true)?;
        }
        Ok(())
    }

    /// Ends the graces that are over.
    pub fn expire(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        for user in self.leaving.take_due(now) {
            self.forget(sql, &user)?;
        }
        Ok(())
    }

    fn forget(&mut self, sql: &dyn Sql, user: &str) -> Result<(), StorageError> {
        if let Some(entry) = self.remove(user) {
            sql.run("DELETE FROM roster WHERE user = ?", &[text(user)])?;
            self.diff.went(entry.person());
        }
        Ok(())
    }

    /// Those who are here, who came first first: a JSON array.
    pub fn people(&self) -> String {
        let mut people = String::from("[");
        for (_, user) in &self.listed {
            let Some(known) = self.known.get(user) else {
                continue;
            };
            if people.len() > 1 {
                people.push(',');
            }
            let json = || serde_json::to_string(&known.entry.person()).unwrap_or_default();
            people.push_str(known.json.get_or_init(json));
        }
        people.push(']');
        people
    }

    /// Whether somebody holds `user` here: one who is leaving is not here any more.
    pub fn is_here(&self, user: &UserId) -> bool {
        let known = self.known.get(user.as_str());
        known.is_some_and(|known| !known.entry.holders.is_empty())
    }

    /// How many of these users (one, or all) other objects hold here.
    pub fn held_elsewhere(&self, user: Option<&UserId>) -> usize {
        let elsewhere = |known: &&Known| known.entry.holders.iter().any(|holder| holder != LOCAL);
        match user {
            Some(user) => self
                .known
                .get(user.as_str())
                .iter()
                .filter(|k| elsewhere(k))
                .count(),
            None => self.known.values().filter(elsewhere).count(),
        }
    }

    /// The users that another object, `holder`, holds.
    pub fn held_by(&self, holder: &str) -> Vec<UserId> {
        let held = self.held.get(holder).into_iter().flatten();
        let known = held.filter_map(|user| self.known.get(user));
        known.map(|known| known.entry.user.clone()).collect()
    }

    /// The changes, once they may be told; in a room of [`PRESENCE_GATHER_FROM`] people and more some
    /// may be gathered.
    pub fn take_diff(&mut self, now: Timestamp) -> Diff {
        if self.diff_due().is_none_or(|due| due > now) {
            return Diff::default();
        }
        self.taken_at = now;
        std::mem::take(&mut self.diff)
    }

    /// When the changes may be told. Everyone hears of each who comes: where many come at once, each
    /// time on its own would be the square of them.
    fn diff_due(&self) -> Option<Timestamp> {
        let people = u64::try_from(self.known.len()).unwrap_or(u64::MAX);
        let gathered = match people {
            0..PRESENCE_GATHER_FROM => 0,
            _ => people.min(PRESENCE_GATHER_MS),
        };
        (!self.diff.is_empty()).then(|| self.taken_at.plus(gathered))
    }

    /// What is known without a walk is what a walk finds.
    #[cfg(test)]
    pub fn check(&self) {
        let all = || self.known.iter();
        let leaving = all().map(|(user, known)| (Rc::clone(user), known.entry.leaving));
        self.leaving.check(leaving);
        let listed = all().map(|(user, known)| (known.entry.since, Rc::clone(user)));
        assert_eq!(self.listed, listed.collect());
        let mut held: HashMap<String, BTreeSet<Rc<str>>> = HashMap::new();
        for (user, known) in all() {
            for holder in known.entry.holders.iter().filter(|h| *h != LOCAL) {
                held.entry(holder.clone())
                    .or_default()
                    .insert(Rc::clone(user));
            }
            let json = serde_json::to_string(&known.entry.person()).unwrap();
            assert!(known.json.get().is_none_or(|known| *known == json));
        }
        assert_eq!(self.held, held);
    }

    /// When the next grace ends, or changes are to be told.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.leaving.next(), self.diff_due()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Diff {
    /// Of one who went and came again, or the other way round, the last counts.
    fn came(&mut self, person: Person) {
        self.leaves.retain(|other| other.user_id != person.user_id);
        self.joins.push(person);
    }

    fn went(&mut self, person: Person) {
        self.joins.retain(|other| other.user_id != person.user_id);
        self.leaves.push(person);
    }

    /// Nobody came or went.
    pub fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.leaves.is_empty()
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

    fn here(roster: &Roster) -> Vec<String> {
        let people: Vec<serde_json::Value> = serde_json::from_str(&roster.people()).unwrap();
        let names = people
            .iter()
            .map(|person| person["userId"].as_str().unwrap().to_owned());
        names.collect()
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
    fn in_a_large_room_changes_are_gathered() {
        let (sql, mut roster) = (sql(), Roster::default());
        let user = |n: u64| UserId::text(&format!("u{n}")).unwrap();
        let enter = |roster: &mut Roster, now, n| {
            let now = Timestamp(now);
            roster.enter(&sql, now, &user(n), None, LOCAL).unwrap();
            roster.take_diff(now)
        };
        // One at a time each is told at once.
        for n in 1..=60 {
            assert_eq!(enter(&mut roster, 1_000 * n, n).joins.len(), 1, "{n}");
        }
        assert!(enter(&mut roster, 60_010, 61).is_empty());
        assert_eq!(roster.next_deadline(), Some(Timestamp(60_061)));
        for n in [61, 1] {
            let now = Timestamp(60_020);
            roster.exit(&sql, now, &user(n), LOCAL, false).unwrap();
        }
        assert!(enter(&mut roster, 60_030, 1).is_empty());
        assert!(enter(&mut roster, 60_040, 62).is_empty());
        let diff = roster.take_diff(Timestamp(60_061));
        assert_eq!(names(&diff.joins), ["u1", "u62"]);
        assert_eq!(names(&diff.leaves), ["u61"]);
        assert_eq!(roster.next_deadline(), None);
    }

    #[test]
    fn a_reconnect_within_the_grace_does_not_flash() {
        let (sql, mut roster) = (sql(), Roster::default());
        let ann = UserId::text("ann").unwrap();
        roster
            .enter(&sql, Timestamp(0), &ann, Some("Ann"), LOCAL)
            .unwrap();
        assert_eq!(names(&roster.take_diff(Timestamp(u64::MAX)).joins), ["ann"]);
        roster
            .exit(&sql, Timestamp(1_000), &ann, LOCAL, true)
            .unwrap();
        roster.expire(&sql, Timestamp(5_999)).unwrap();
        assert!(roster.take_diff(Timestamp(u64::MAX)).is_empty());
        roster
            .enter(&sql, Timestamp(5_999), &ann, None, LOCAL)
            .unwrap();
        assert_eq!(roster.next_deadline(), None);
        roster.expire(&sql, Timestamp(60_000)).unwrap();
        assert!(roster.take_diff(Timestamp(u64::MAX)).is_empty());
        assert_eq!(here(&roster), ["ann"]);
        roster
            .exit(&sql, Timestamp(60_000), &ann, LOCAL, true)
            .unwrap();
        assert_eq!(roster.next_deadline(), Some(Timestamp(65_000)));
        roster.expire(&sql, Timestamp(65_000)).unwrap();
        assert_eq!(
            names(&roster.take_diff(Timestamp(u64::MAX)).leaves),
            ["ann"]
        );
        assert_eq!(Roster::load(&sql).unwrap().people(), "[]");
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
        assert_eq!((roster.held_elsewhere(None), here(&roster).len()), (0, 1));
        assert_eq!(roster.held_by("lobby:0"), []);
        roster.exit(&sql, Timestamp(2), &ann, LOCAL, false).unwrap();
        assert_eq!(roster.people(), "[]");
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
        assert_eq!(names(&woken.take_diff(Timestamp(u64::MAX)).leaves), ["ann"]);
        assert_eq!(here(&woken), ["bob"]);
    }
}
