//! The room's end of its links: the lobbies (and other objects) whose Socket.IO sockets have joined,
//! and what each must still be told. One request a link and turn; while one is under way the next
//! turn's notices wait for it. A push that fails is not sent again as it was: the lobby is told the
//! newest offset and pulls what it missed.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::{
    deadlines::Deadlines,
    limits::{LINK_CONFIRM_MS, LINK_MAX_RETRY_MS, LINK_RETRY_MS, MAX_LINK_NOTICES, backoff},
    names::{Offset, RoomName, Timestamp},
    storage::{Sql, StorageError, text, unsigned},
    wire::{Newest, Notice},
};

#[derive(Debug, Default)]
struct Link {
    pending: Vec<Rc<Notice>>,
    /// The number of the push that is under way.
    in_flight: Option<u64>,
    /// What is under way and is brought again if this push does not arrive.
    carried: Vec<Rc<Notice>>,
    attempts: u32,
    not_before: Timestamp,
    /// The number of the first notice that it was given and does not have, and that of the first that
    /// is not under way to it either.
    lacks: Option<u64>,
    waiting: Option<u64>,
    /// Its requests, from that on with which its sockets came; whether that one is to be stored.
    requests: Newest,
    begins: bool,
    /// A socket has joined since the push that is under way was sent.
    joined: bool,
    /// What it was told with an answer, up to this offset, may not have reached it.
    unsure: Option<Offset>,
}

/// The links.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<Rc<RoomName>, Link>,
    /// When the pushes of those that must be told something may go out.
    due: Deadlines<Rc<RoomName>>,
    /// Until when those are to say how far they have come that were told something with an answer.
    unsure: Deadlines<Rc<RoomName>>,
    /// What each that is behind lacks first.
    lacks: Deadlines<Rc<RoomName>, u64>,
    /// How many notices there ever were.
    told: u64,
}

/// One push: the same notices to all these objects.
#[derive(Debug, Clone)]
pub struct Push {
    /// To whom.
    pub objects: Vec<RoomName>,
    /// What, in order.
    pub notices: Vec<Rc<Notice>>,
}

impl Links {
    /// Reads the stored links. Each is told the newest offset once: what was not brought before a
    /// crash is pulled.
    pub fn load(sql: &dyn Sql, head: Offset) -> Result<Self, StorageError> {
        let mut links = Self::default();
        for row in sql.run("SELECT object, begun FROM links", &[])? {
            let object =
                RoomName::parse(row.text(0, "link")?).map_err(|_| StorageError::Corrupt("link"))?;
            let begun = row.optional(1, "link")?;
            let mut link = Link {
                requests: Timestamp(begun.unwrap_or_default()).into(),
                ..Link::default()
            };
            link.collapse(head, Notice::must_arrive);
            let object = Rc::new(object);
            links.due.set(&object, link.due());
            links.links.insert(object, link);
        }
        Ok(links)
    }

    /// A socket of `object`'s comes in; where it knows of no other one of its here, it is the `first`.
    pub fn add(&mut self, object: &RoomName, first: bool) {
        let is_new = !self.links.contains_key(object);
        if is_new {
            self.links.insert(Rc::new(object.clone()), Link::default());
        }
        if let Some(link) = self.links.get_mut(object) {
            link.joined = true;
            link.begins |= is_new || first;
        }
    }

    /// Whether this request of `object`'s arrives after one that it sent later: then a machine sent it that
    /// is no more, and the one after it has said what holds now.
    pub fn is_overtaken(&self, object: &RoomName, request: Option<u64>) -> bool {
        let link = self.links.get(object);
        link.is_some_and(|link| link.requests.is_overtaken(request))
    }

    /// This request of `object`'s has arrived, and done what it wanted; it may have begun the link.
    pub fn arrived(
        &mut self,
        sql: &dyn Sql,
        object: &RoomName,
        request: Option<u64>,
    ) -> Result<(), StorageError> {
        let Some(link) = self.links.get_mut(object) else {
            return Ok(());
        };
        link.requests.arrived(request);
        if std::mem::take(&mut link.begins) {
            let begun = link.requests.sent_at();
            sql.run(
                "INSERT OR REPLACE INTO links (object, begun) VALUES (?, ?)",
                &[text(object.as_str()), unsigned(begun.0)],
            )?;
        }
        Ok(())
    }

    /// Whether an answer to this push can say that `object` has none any more: it was not on its way when
    /// a socket joined.
    pub fn may_end(&self, object: &RoomName, push: u64) -> bool {
        let link = self.links.get(object);
        link.is_some_and(|link| link.in_flight == Some(push) && !link.joined)
    }

    /// `object` has none any more.
    pub fn remove(&mut self, sql: &dyn Sql, object: &RoomName) -> Result<(), StorageError> {
        if let Some((key, _)) = self.links.remove_entry(object) {
            self.due.remove(&key);
            self.unsure.remove(&key);
            self.lacks.remove(&key);
            sql.run(
                "DELETE FROM links WHERE object = ?",
                &[text(object.as_str())],
            )?;
        }
        Ok(())
    }

    /// Whether nobody is linked.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Tells everyone who is linked.
    pub fn tell(&mut self, notice: Notice, head: Offset) {
        if self.links.is_empty() {
            return;
        }
        let notice = Rc::new(notice);
        self.told = self.told.saturating_add(1);
        for (object, link) in &mut self.links {
            link.give(self.told, Rc::clone(&notice));
            if link.pending.len() > MAX_LINK_NOTICES {
                link.collapse(head, Notice::must_arrive);
            }
            self.due.set(object, link.due());
            self.lacks.set(object, link.lacks);
        }
    }

    /// Tells one of those who are linked.
    pub fn tell_one(&mut self, object: &RoomName, notice: Notice) {
        if let Some(link) = self.links.get_mut(object) {
            self.told = self.told.saturating_add(1);
            link.give(self.told, Rc::new(notice));
            self.index(object);
        }
    }

    fn index(&mut self, object: &RoomName) {
        if let Some((object, link)) = self.links.get_key_value(object) {
            self.due.set(object, link.due());
            self.lacks.set(object, link.lacks);
        }
    }

    /// Who is linked.
    pub fn objects(&self) -> impl Iterator<Item = &RoomName> {
        self.links.keys().map(|object| &**object)
    }

    /// `object` has come to `at`, and is being answered: what it would be told by a push can go with the
    /// answer. None where a push is under way, where one must be (it is not `settled` that nobody waits
    /// for it, or a notice has no offset to keep it in its place), and where there is nothing to tell.
    ///
    /// An answer may be lost without the room's knowing of it, so the lobby is to say that it has come so
    /// far, with its next request; else it is told the newest offset after [`LINK_CONFIRM_MS`].
    pub fn answered(
        &mut self,
        now: Timestamp,
        object: &RoomName,
        at: Offset,
        head: Offset,
        settled: bool,
    ) -> Option<Vec<Rc<Notice>>> {
        let (key, _) = self.links.get_key_value(object)?;
        let key = Rc::clone(key);
        let link = self.links.get_mut(object)?;
        self.unsure.remove(&key);
        if link.unsure.take().is_some_and(|told| at < told) {
            link.pending.push(Rc::new(Notice::Head(head)));
        }
        let may = settled
            && link.due().is_some_and(|due| due <= now)
            && link.pending.iter().all(|notice| notice.has_place());
        let told = may.then(|| {
            (link.lacks, link.waiting) = (None, None);
            link.unsure = Some(head);
            self.unsure.set(&key, Some(now.plus(LINK_CONFIRM_MS)));
            std::mem::take(&mut link.pending)
        });
        self.index(object);
        told
    }

    /// What goes out now, as the turn's push of this number: links that get the same share it.
    pub fn pushes(&mut self, now: Timestamp, head: Offset, number: u64) -> Vec<Push> {
        for object in self.unsure.take_due(now) {
            if let Some(link) = self.links.get_mut(&object) {
                link.unsure = None;
                link.pending.push(Rc::new(Notice::Head(head)));
                self.index(&object);
            }
        }
        let mut pushes: Vec<Push> = Vec::new();
        for object in self.due.take_due(now) {
            let Some(link) = self.links.get_mut(&object) else {
                continue;
            };
            link.in_flight = Some(number);
            link.joined = false;
            link.waiting = None;
            let notices = std::mem::take(&mut link.pending);
            let again = notices.iter().filter(|notice| notice.bears_repeating());
            link.carried = again.cloned().collect();
            let same = |push: &&mut Push| {
                push.notices.len() == notices.len()
                    && push
                        .notices
                        .iter()
                        .zip(&notices)
                        .all(|(a, b)| Rc::ptr_eq(a, b))
            };
            match pushes.iter_mut().find(same) {
                Some(push) => push.objects.push((*object).clone()),
                None => pushes.push(Push {
                    objects: vec![(*object).clone()],
                    notices,
                }),
            }
        }
        pushes
    }

    /// `object` has this push, or it failed and is tried again later. One of a link that has ended, and
    /// begun anew, says nothing.
    pub fn pushed(
        &mut self,
        now: Timestamp,
        object: &RoomName,
        push: u64,
        arrived: bool,
        head: Offset,
    ) {
        let link = self.links.get_mut(object);
        let Some(link) = link.filter(|link| link.in_flight == Some(push)) else {
            return;
        };
        link.in_flight = None;
        let carried = std::mem::take(&mut link.carried);
        if arrived {
            link.lacks = link.waiting;
            link.attempts = 0;
            link.not_before = Timestamp::default();
        } else {
            link.not_before = now.plus(backoff(LINK_RETRY_MS, link.attempts, LINK_MAX_RETRY_MS));
            link.attempts = link.attempts.saturating_add(1);
            link.pending.splice(0..0, carried);
            link.collapse(head, Notice::bears_repeating);
        }
        self.index(object);
    }

    /// The number of the newest notice.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Whether all have what they were told, up to the notice of this number.
    pub fn have(&self, told: u64) -> bool {
        self.lacks.next().is_none_or(|lacks| lacks > told)
    }

    /// What is known without a walk is what a walk finds.
    #[cfg(test)]
    pub fn check(&self) {
        let all = || self.links.iter();
        let due = all().map(|(object, link)| (Rc::clone(object), link.due()));
        self.due.check(due);
        let lacks = all().map(|(object, link)| (Rc::clone(object), link.lacks));
        self.lacks.check(lacks);
    }

    /// When to try again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.due.next(), self.unsure.next()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Link {
    fn give(&mut self, number: u64, notice: Rc<Notice>) {
        self.pending.push(notice);
        self.lacks.get_or_insert(number);
        self.waiting.get_or_insert(number);
    }

    /// When its next push may go out, if it must be told anything and none is under way.
    fn due(&self) -> Option<Timestamp> {
        let waits = self.in_flight.is_none() && !self.pending.is_empty();
        waits.then_some(self.not_before)
    }

    fn collapse(&mut self, head: Offset, stays: fn(&Notice) -> bool) {
        self.pending.retain(|notice| stays(notice));
        self.pending.push(Rc::new(Notice::Head(head)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::Memory;

    /// Found by the simulator: the late answer to a push of before an object had left and come again ended
    /// its new link, and whom it held was gone from the roster.
    #[test]
    fn the_answer_to_a_push_of_an_ended_link_says_nothing_of_its_next_one() {
        let sql = Memory::new();
        let name = |name| RoomName::parse(name).unwrap();
        crate::storage::migrate(&sql, &name("demo:1"), "e").unwrap();
        let (now, lobby, mut links) = (Timestamp(1), name("lobby:0"), Links::default());
        let push = |links: &mut Links, head, number| {
            links.add(&lobby, false);
            links.arrived(&sql, &lobby, None).unwrap();
            links.tell(Notice::Head(Offset(head)), Offset(head));
            links.pushes(now, Offset(head), number);
            number
        };
        let old = push(&mut links, 1, 7);
        links.remove(&sql, &lobby).unwrap();
        let new = push(&mut links, 2, 8);
        assert!(!links.may_end(&lobby, old));
        links.pushed(now, &lobby, old, true, Offset(2));
        assert!(!links.have(links.told()), "the new one is under way");
        assert!(links.may_end(&lobby, new));
        links.pushed(now, &lobby, new, true, Offset(2));
        assert!(links.have(links.told()));
        links.check();
    }
}
