//! The room machine: one room's ordered log, its members, its roster, and what it passes on.
//!
//! Invariants (README, Architecture): a publication is in the log before anyone hears of it; offsets
//! go 1, 2, 3… without gaps; a sender's id is accepted once. All writes of a turn commit together,
//! so an error here undoes the turn and the shell builds the machine anew.

mod conversations;
mod kept;
mod links;
mod log;
mod members;
mod messages;
mod notifications;
mod outbox;
mod roster;
mod sends;
mod typing;

use std::{collections::BTreeSet, rc::Rc};

pub use conversations::{Conversation, Conversations};
pub use links::Links;
pub use log::{Page, Paging};
pub use messages::{INBOUND, Message, OUTBOUND, STATUS};
pub use outbox::{Delivery, EntryId, Outbox, Target};
pub use roster::{Diff, LOCAL, Person, Roster};
pub use sends::{Job, SendId, Sends};
pub use typing::Typing;

use crate::{
    config::HistoryConfig,
    event::{Args, Publication},
    names::{Epoch, Offset, RoomName, StreamPosition, Timestamp, UserId},
    namespaces::{self, Kind, PassOn},
    storage::{self, RowCount, Sql, StorageError},
    twilio::outbound::Outgoing,
    wire::{About, Accepted, Audience, Item, Parcel},
};

/// One room. Its state is SQLite's; what is here is the part that every turn needs.
pub struct Room {
    /// The room's name.
    pub name: RoomName,
    /// Its kind.
    pub kind: &'static dyn Kind,
    /// Its life.
    pub epoch: Epoch,
    /// Who is here.
    pub roster: Roster,
    /// Who is typing.
    pub typing: Typing,
    /// What must still reach other rooms.
    pub outbox: Outbox,
    /// What must still be sent by Twilio.
    pub sends: Sends,
    /// The other objects whose sockets are here.
    pub links: Links,
    log: log::Log,
    member_counts: members::Counts,
    kept: kept::Cache,
    conversation_count: RowCount,
}

/// Under which key an event is accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dedupe {
    /// A client's own message id: it counts for that user alone, in this room alone.
    Client {
        /// Whose.
        user: UserId,
        /// Which.
        id: String,
    },
    /// A key that means the same in every room: a webhook's SID.
    Global(String),
}

impl Dedupe {
    /// The key as it is stored. The length keeps `("a:b", "c")` and `("a", "b:c")` apart.
    fn key(&self) -> String {
        match self {
            Self::Client { user, id } => format!("c:{}:{user}:{id}", user.as_str().len()),
            Self::Global(key) => format!("g:{key}"),
        }
    }
}

/// Where an event comes from, and for whom it is.
#[derive(Debug, Clone, Default)]
pub struct From {
    /// Whose it is; none where a backend or a webhook sent it.
    pub sender: Option<UserId>,
    /// Who gets it.
    pub audience: Audience,
    /// The publication that it tells of.
    pub about: Option<About>,
    /// What the line is to send of it.
    pub outgoing: Option<Box<Outgoing>>,
}

/// What became of an event that was to be published.
#[derive(Debug)]
pub enum Outcome {
    /// New: everyone is to hear of it.
    New(Rc<Publication>),
    /// It was accepted before, at this offset.
    Duplicate(Offset),
    /// It changes nothing.
    Unchanged,
    /// What it is about is not there.
    NotFound,
}

impl Room {
    /// Opens the room's storage, migrating it where that is due.
    pub fn open(
        sql: &dyn Sql,
        name: RoomName,
        fresh_epoch: Epoch,
        history: HistoryConfig,
    ) -> Result<Self, StorageError> {
        let epoch = storage::migrate(sql, &name, fresh_epoch.as_str())?;
        let log = log::Log::open(sql, history)?;
        let kind = namespaces::kind_of(&name);
        Ok(Self {
            kind,
            epoch: Epoch::stored(epoch),
            roster: Roster::load(sql)?,
            typing: Typing::default(),
            outbox: Outbox::load(sql)?,
            // Lines alone have any: the others' wakes need no query for them.
            sends: if kind.is_listed() {
                Sends::load(sql)?
            } else {
                Sends::default()
            },
            links: Links::load(sql, log.head())?,
            log,
            member_counts: members::Counts::default(),
            kept: kept::Cache::default(),
            conversation_count: RowCount::of("SELECT COUNT(*) FROM conversations"),
            name,
        })
    }

    /// The newest publication's offset.
    pub fn head(&self) -> Offset {
        self.log.head()
    }

    /// Where this key's event went, if it was accepted before.
    pub fn find_duplicate(
        &self,
        sql: &dyn Sql,
        dedupe: &Dedupe,
    ) -> Result<Option<Offset>, StorageError> {
        self.log.find_duplicate(sql, &dedupe.key())
    }

    /// Accepts an event: into the log, and into the outbox for the rooms that its kind passes it on
    /// to. The same `dedupe` key again is a duplicate and does nothing.
    pub fn publish(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        event: String,
        args: Args,
        from: From,
        dedupe: Option<&Dedupe>,
    ) -> Result<Outcome, StorageError> {
        if let Some(dedupe) = dedupe
            && let Some(offset) = self.find_duplicate(sql, dedupe)?
        {
            return Ok(Outcome::Duplicate(offset));
        }
        let offset = self.log.head().next();
        if let Some(outcome) = self.apply(sql, &event, &args, offset, from.about.as_ref())? {
            return Ok(outcome);
        }
        let publication = Publication {
            event,
            args,
            sender: from.sender,
            at: now,
            offset: Some(offset),
            audience: from.audience,
        };
        let key = dedupe.map(Dedupe::key);
        let namespace = publication.audience.namespace.as_deref();
        self.log.append(
            namespace.unwrap_or(self.kind.namespace_for(&publication.event)),
            &publication,
            offset,
            key,
        );
        self.pass_on(sql, now, &publication, offset, dedupe, from.outgoing)?;
        Ok(Outcome::New(Rc::new(publication)))
    }

    fn pass_on(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        publication: &Publication,
        offset: Offset,
        dedupe: Option<&Dedupe>,
        outgoing: Option<Box<Outgoing>>,
    ) -> Result<(), StorageError> {
        let mut standing = None;
        let targets: BTreeSet<RoomName> = match self.kind.passes_on_to(&self.name, publication) {
            PassOn::Nobody => return Ok(()),
            PassOn::Room(room) => [room].into(),
            PassOn::Line(room) => {
                standing = Some(self.standing(sql)?);
                [room].into()
            }
            PassOn::OwnRooms => members::list(sql)?
                .into_iter()
                .map(|member| member.user_id)
                .chain(publication.sender.clone())
                .filter_map(|user| RoomName::user(&user).ok())
                .collect(),
            PassOn::NotifyAbsentMembers(args) => {
                return self.notify_absent(sql, now, publication, offset, &args);
            }
        };
        // Without a key that other rooms know too, the publication's position is one: it names it
        // for ever.
        let key = match dedupe {
            Some(Dedupe::Global(key)) => key.clone(),
            _ => format!("{}:{}:{offset}", self.name, self.epoch),
        };
        let mut told_in = publication.audience.told_in.clone();
        told_in.push((self.name.clone(), offset));
        for room in targets {
            let item = Item {
                event: publication.event.clone(),
                args: publication.args.clone(),
                dedupe: Some(key.clone()),
                audience: Audience {
                    except_users: publication.audience.except_users.clone(),
                    told_in: told_in.clone(),
                    ..Audience::default()
                },
                sender: publication.sender.clone(),
                standing: standing.clone(),
                outgoing: outgoing.clone(),
                ..Item::default()
            };
            self.outbox
                .push(sql, now, Target::Room(room), Parcel::Event(item))?;
        }
        Ok(())
    }

    /// Where the room stands.
    pub fn position(&self) -> StreamPosition {
        StreamPosition {
            epoch: self.epoch.clone(),
            offset: self.head(),
        }
    }

    /// A page of the log, ascending.
    pub fn history(&self, sql: &dyn Sql, page: &Page) -> Result<Paging, StorageError> {
        self.log.page(sql, page)
    }

    /// Everything after `position`, or none where that cannot be given whole: another epoch, pruned,
    /// not yet reached, or more than a replay may hold.
    pub fn since(
        &self,
        sql: &dyn Sql,
        position: &StreamPosition,
    ) -> Result<Option<Vec<Publication>>, StorageError> {
        if position.epoch == self.epoch {
            self.log.since(sql, position.offset)
        } else {
            Ok(None)
        }
    }

    /// The room's members, those who joined first first.
    pub fn members(&self, sql: &dyn Sql) -> Result<Vec<Member>, StorageError> {
        members::list(sql)
    }

    /// Whether `user` is a member.
    pub fn is_member(&self, sql: &dyn Sql, user: &UserId) -> Result<bool, StorageError> {
        members::contains(sql, user)
    }

    /// Makes `user` a member; false if the room is full.
    pub fn add_member(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
    ) -> Result<bool, StorageError> {
        let is_in = members::add(sql, &self.member_counts, now, user)?;
        if is_in && self.kind.is_listed() {
            self.list_for(sql, now, user, true)?;
        }
        Ok(is_in)
    }

    /// Makes `user` a member no longer, and has the rooms that let them stay on that ground told.
    pub fn remove_member(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
    ) -> Result<(), StorageError> {
        for room in members::remove(sql, &self.member_counts, user)? {
            let parcel = Parcel::Expel { user: user.clone() };
            self.outbox.push(sql, now, Target::Room(room), parcel)?;
        }
        if self.kind.is_listed() {
            self.list_for(sql, now, user, false)?;
        }
        Ok(())
    }

    /// `user`'s connections are revoked: a session that was cut by now is not recovered here.
    pub fn revoke(&self, sql: &dyn Sql, user: &UserId) -> Result<(), StorageError> {
        storage::set_state(sql, &revoked(user), &self.head())
    }

    /// What a session of `user`'s has missed here since it was cut; none too if it was revoked.
    pub fn missed(
        &self,
        sql: &dyn Sql,
        user: &UserId,
        position: &StreamPosition,
    ) -> Result<Option<Vec<Publication>>, StorageError> {
        // Where nothing was said since, nobody can tell a session that came later: it begins anew.
        let revoked_at: Option<Offset> = storage::state(sql, &revoked(user))?;
        if revoked_at.is_some_and(|head| position.offset <= head) {
            return Ok(None);
        }
        self.since(sql, position)
    }

    /// `follower` lets `user` stay because they are a member here. False if too many rooms do so.
    pub fn follow(
        &self,
        sql: &dyn Sql,
        user: &UserId,
        follower: &RoomName,
    ) -> Result<bool, StorageError> {
        members::follow(sql, &self.member_counts, user, follower)
    }

    /// These events may come: where their keys went is looked up for all of them at once.
    pub fn expect(&mut self, sql: &dyn Sql, keys: &[Dedupe]) -> Result<(), StorageError> {
        self.log
            .look_up(sql, keys.iter().map(Dedupe::key).collect())
    }

    /// Writes what this turn has published so far.
    pub fn write(&self, sql: &dyn Sql) -> Result<(), StorageError> {
        self.log.write(sql)
    }

    /// The end of a turn: what it published is written.
    pub fn commit(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        self.log.commit(sql, now)
    }

    /// Deletes what is too old to be kept.
    pub fn prune(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        self.log.prune_by_age(sql, now)
    }

    /// When the log has something to delete next.
    pub fn prune_at(&self) -> Option<Timestamp> {
        self.log.prune_at()
    }
}

pub use members::Member;

/// The state that is how far the room was when a user's connections were revoked last.
fn revoked(user: &UserId) -> String {
    format!("revoked:{}", user.as_str())
}

/// What a sender is told of an accepted event.
pub fn accepted(room: &Room, sent_event: &str, outcome: &Outcome) -> Accepted {
    let (offset, duplicate) = match outcome {
        Outcome::New(publication) => (publication.offset, false),
        Outcome::Duplicate(offset) => (Some(*offset), true),
        Outcome::Unchanged | Outcome::NotFound => (None, true),
    };
    let id = offset.and_then(|offset| room.kind.message_id(sent_event, &room.epoch, offset));
    Accepted {
        id,
        offset,
        duplicate,
    }
}
