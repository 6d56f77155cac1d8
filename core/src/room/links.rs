//! The room's end of its links: the lobbies (and other objects) whose Socket.IO sockets have joined,
//! and what each must still be told. One request a link and turn; while one is under way the next
//! turn's notices wait for it. A push that fails is not sent again as it was: the lobby is told the
//! newest offset and pulls what it missed.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::{
    limits::{LINK_CONFIRM_MS, LINK_MAX_RETRY_MS, LINK_RETRY_MS, MAX_LINK_NOTICES, backoff},
    names::{Offset, RoomName, Timestamp},
    storage::{Sql, StorageError, text},
    wire::Notice,
};

#[derive(Debug, Default)]
struct Link {
    pending: Vec<Rc<Notice>>,
    in_flight: bool,
    /// What is under way and must arrive even if this push does not.
    carried: Vec<Rc<Notice>>,
    attempts: u32,
    not_before: Timestamp,
    /// How many notices it was ever given, and how many of those are through.
    given: u64,
    through: u64,
    /// What `through` will be when the push that is under way is.
    through_then: u64,
    /// A socket has joined since the push that is under way was sent.
    joined: bool,
    /// What it was told with an answer, up to this offset, may not have reached it; by then it is to have
    /// said so.
    unsure: Option<(Offset, Timestamp)>,
}

/// The links.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<RoomName, Link>,
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
        for row in sql.run("SELECT object FROM links", &[])? {
            let object =
                RoomName::parse(row.text(0, "link")?).map_err(|_| StorageError::Corrupt("link"))?;
            let mut link = Link::default();
            link.collapse(head);
            links.links.insert(object, link);
        }
        Ok(links)
    }

    /// `object` has sockets here from now on.
    pub fn add(&mut self, sql: &dyn Sql, object: &RoomName) -> Result<(), StorageError> {
        if !self.links.contains_key(object) {
            sql.run(
                "INSERT INTO links (object) VALUES (?)",
                &[text(object.as_str())],
            )?;
            self.links.insert(object.clone(), Link::default());
        }
        if let Some(link) = self.links.get_mut(object) {
            link.joined = true;
        }
        Ok(())
    }

    /// Whether an answer to the push that is under way can say that `object` has none any more: it was
    /// not on its way when a socket joined.
    pub fn may_end(&self, object: &RoomName) -> bool {
        self.links.get(object).is_some_and(|link| !link.joined)
    }

    /// `object` has none any more.
    pub fn remove(&mut self, sql: &dyn Sql, object: &RoomName) -> Result<(), StorageError> {
        if self.links.remove(object).is_some() {
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
        for link in self.links.values_mut() {
            link.pending.push(Rc::clone(&notice));
            link.given = link.given.saturating_add(1);
            if link.pending.len() > MAX_LINK_NOTICES {
                link.collapse(head);
            }
        }
    }

    /// Tells one of those who are linked.
    pub fn tell_one(&mut self, object: &RoomName, notice: Notice) {
        if let Some(link) = self.links.get_mut(object) {
            link.pending.push(Rc::new(notice));
            link.given = link.given.saturating_add(1);
        }
    }

    /// Who is linked.
    pub fn objects(&self) -> impl Iterator<Item = &RoomName> {
        self.links.keys()
    }

    /// `object` has come to `at`, and is being answered: what it would be told by a push can go with the
    /// answer. None where a push is under way, where one must be (it is `settled` that nobody waits for
    /// it, and no notice is of those that must arrive), and where there is nothing to tell.
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
        let link = self.links.get_mut(object)?;
        if let Some((told, _)) = link.unsure.take()
            && at < told
        {
            link.pending.push(Rc::new(Notice::Head(head)));
        }
        let may = settled
            && !link.in_flight
            && !link.pending.is_empty()
            && link.not_before <= now
            && !link.pending.iter().any(|notice| notice.must_arrive());
        may.then(|| {
            link.through = link.given;
            link.unsure = Some((head, now.plus(LINK_CONFIRM_MS)));
            std::mem::take(&mut link.pending)
        })
    }

    /// What goes out now: links that get the same share one push.
    pub fn pushes(&mut self, now: Timestamp, head: Offset) -> Vec<Push> {
        let mut pushes: Vec<Push> = Vec::new();
        for (object, link) in &mut self.links {
            if link.unsure.is_some_and(|(_, by)| by <= now) {
                link.unsure = None;
                link.pending.push(Rc::new(Notice::Head(head)));
            }
            if link.in_flight || link.pending.is_empty() || link.not_before > now {
                continue;
            }
            link.in_flight = true;
            link.joined = false;
            link.through_then = link.given;
            let notices = std::mem::take(&mut link.pending);
            let must = notices.iter().filter(|notice| notice.must_arrive());
            link.carried = must.cloned().collect();
            let same = |push: &&mut Push| {
                push.notices.len() == notices.len()
                    && push
                        .notices
                        .iter()
                        .zip(&notices)
                        .all(|(a, b)| Rc::ptr_eq(a, b))
            };
            match pushes.iter_mut().find(same) {
                Some(push) => push.objects.push(object.clone()),
                None => pushes.push(Push {
                    objects: vec![object.clone()],
                    notices,
                }),
            }
        }
        pushes
    }

    /// `object` has the push, or it failed and is tried again later.
    pub fn pushed(&mut self, now: Timestamp, object: &RoomName, arrived: bool, head: Offset) {
        let Some(link) = self.links.get_mut(object) else {
            return;
        };
        link.in_flight = false;
        let carried = std::mem::take(&mut link.carried);
        if arrived {
            link.through = link.through_then;
            link.attempts = 0;
            link.not_before = Timestamp::default();
            return;
        }
        link.not_before = now.plus(backoff(LINK_RETRY_MS, link.attempts, LINK_MAX_RETRY_MS));
        link.attempts = link.attempts.saturating_add(1);
        link.pending.splice(0..0, carried);
        link.collapse(head);
    }

    /// What every link was given by now and does not have yet.
    pub fn outstanding(&self) -> BTreeMap<RoomName, u64> {
        let behind = self
            .links
            .iter()
            .filter(|(_, link)| link.through < link.given);
        behind
            .map(|(object, link)| (object.clone(), link.given))
            .collect()
    }

    /// Whether `object` has all of its first `given` notices, or is gone.
    pub fn has(&self, object: &RoomName, given: u64) -> bool {
        self.links
            .get(object)
            .is_none_or(|link| link.through >= given)
    }

    /// When to try again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let again = |link: &Link| {
            let waits = !link.in_flight && !link.pending.is_empty();
            waits.then_some(link.not_before)
        };
        self.links
            .values()
            .flat_map(|link| [again(link), link.unsure.map(|(_, by)| by)])
            .flatten()
            .min()
    }
}

impl Link {
    fn collapse(&mut self, head: Offset) {
        self.pending.retain(|notice| notice.must_arrive());
        self.pending.push(Rc::new(Notice::Head(head)));
    }
}
