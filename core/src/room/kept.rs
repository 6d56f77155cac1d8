//! What a room keeps besides its log: a last status, notifications, who has read how far, and which
//! absent members are to be told when somebody writes.

use std::cell::OnceCell;

use serde_json::value::RawValue;

use super::{Outcome, Room, Target, members, notifications};
use crate::{
    event::{Args, Publication},
    limits::{MAX_AWAY_NOTIFIED, MAX_NOTIFICATIONS},
    names::{Offset, RoomName, Timestamp, UserId},
    namespaces::{self, Effect},
    storage::{self, RowCount, Sql, StorageError},
    wire::{About, Item, Kept, Parcel},
};

/// What those are told who come in, read once for all of them, and how many notifications there are.
pub struct Cache {
    told: OnceCell<Vec<Kept>>,
    notifications: RowCount,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            told: OnceCell::new(),
            notifications: RowCount::of("SELECT COUNT(*) FROM notifications"),
        }
    }
}

/// The state that is a last status.
const LATEST: &str = "latest";

/// The state that is the offset of the first publication that a user was notified of and has perhaps
/// not read.
fn notified(user: &UserId) -> String {
    format!("notified:{user}")
}

impl Room {
    /// What a publication does to what the room keeps; an outcome where there is nothing to publish.
    pub(super) fn apply(
        &mut self,
        sql: &dyn Sql,
        event: &str,
        args: &Args,
        offset: Offset,
        about: Option<&About>,
    ) -> Result<Option<Outcome>, StorageError> {
        let effect = self.kind.effect(event, args);
        if !matches!(effect, Effect::None | Effect::Heard(_)) {
            self.kept.told.take();
        }
        match effect {
            Effect::None => {}
            Effect::Heard(consent) => self.heard(sql, consent)?,
            Effect::Latest => {
                let kept = Kept {
                    event: event.to_owned(),
                    args: args.clone(),
                };
                storage::set_state(sql, LATEST, &kept)?;
            }
            Effect::Notify(id) => {
                if let Some((_, offset)) = notifications::find(sql, &id)? {
                    return Ok(Some(Outcome::Duplicate(offset)));
                }
                let fields = match args {
                    Args::One(data) => serde_json::from_str(data.get()).unwrap_or_default(),
                    Args::Array(_) => notifications::Fields::default(),
                };
                let about = about.map(|about| (&about.room, about.offset));
                let count = &self.kept.notifications;
                notifications::keep(sql, count, offset, &id, fields, about)?;
            }
            Effect::Read(id) => match notifications::find(sql, &id)? {
                Some((notifications::State::Unread, _)) => notifications::read(sql, &id)?,
                Some((notifications::State::Done, _)) => return Ok(Some(Outcome::Unchanged)),
                None => return Ok(Some(Outcome::NotFound)),
            },
            Effect::Clear => {
                if !notifications::clear(sql)? {
                    return Ok(Some(Outcome::Unchanged));
                }
            }
        }
        Ok(None)
    }

    /// The last status, if there is one.
    pub fn latest(&self, sql: &dyn Sql) -> Result<Option<Kept>, StorageError> {
        storage::state(sql, LATEST)
    }

    /// What those are told who come in: a last status, unread notifications, oldest first.
    pub fn kept(&self, sql: &dyn Sql) -> Result<&[Kept], StorageError> {
        if let Some(told) = self.kept.told.get() {
            return Ok(told);
        }
        let unread = notifications::list(sql, true, MAX_NOTIFICATIONS)?;
        let unread = unread.into_iter().map(|json| Kept {
            event: namespaces::NOTIFICATION.to_owned(),
            args: Args::One(json),
        });
        let told = self.latest(sql)?.into_iter().chain(unread).collect();
        Ok(self.kept.told.get_or_init(|| told))
    }

    /// The newest notifications, oldest first, and how many are unread.
    pub fn notifications(
        &self,
        sql: &dyn Sql,
        unread_only: bool,
        limit: u32,
    ) -> Result<(Vec<Box<RawValue>>, u64), StorageError> {
        Ok((
            notifications::list(sql, unread_only, limit.into())?,
            notifications::unread(sql)?,
        ))
    }

    /// The unread notifications of what happened in `room` up to an offset there.
    pub fn unread_about(
        &self,
        sql: &dyn Sql,
        room: &RoomName,
        through: Offset,
    ) -> Result<Vec<String>, StorageError> {
        notifications::unread_about(sql, room, through)
    }

    /// Members who are not here are notified of a publication, each in their own room; that they were
    /// is remembered until they have read so far.
    pub(super) fn notify_absent(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        publication: &Publication,
        offset: Offset,
        args: &Args,
    ) -> Result<(), StorageError> {
        let is_absent = |user: &UserId| {
            publication.sender.as_ref() != Some(user)
                && publication.audience.has(user, "")
                && !self.roster.is_here(user)
        };
        let members = members::list(sql)?.into_iter().map(|member| member.user_id);
        let absent: Vec<UserId> = members.filter(is_absent).take(MAX_AWAY_NOTIFIED).collect();
        for user in absent {
            let Ok(room) = RoomName::user(&user) else {
                continue;
            };
            let notified = notified(&user);
            if storage::state::<Offset>(sql, &notified)?.is_none() {
                storage::set_state(sql, &notified, &offset)?;
            }
            let item = Item {
                event: namespaces::NOTIFICATION.to_owned(),
                args: args.clone(),
                dedupe: Some(format!("{}:{}:{offset}", self.name, self.epoch)),
                about: Some(About {
                    room: self.name.clone(),
                    offset,
                    user,
                }),
                ..Item::default()
            };
            self.outbox
                .push(sql, now, Target::Room(room), Parcel::Event(item))?;
        }
        Ok(())
    }

    /// Moves a user's read mark forward; an offset past the newest means the newest. Returns the
    /// mark if it moved.
    pub fn mark_read(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
        offset: Option<Offset>,
    ) -> Result<Option<Offset>, StorageError> {
        let offset = offset.unwrap_or(self.head()).min(self.head());
        let key = format!("read:{user}");
        let mark: Offset = storage::state(sql, &key)?.unwrap_or_default();
        if offset <= mark {
            return Ok(None);
        }
        storage::set_state(sql, &key, &offset)?;
        // They were notified of what they have now read.
        let notified = notified(user);
        let since: Option<Offset> = storage::state(sql, &notified)?;
        if let (Some(_), Ok(own)) = (since, RoomName::user(user)) {
            let read = Parcel::Read {
                room: self.name.clone(),
                through: offset,
            };
            self.outbox.push(sql, now, Target::Room(own), read)?;
            if offset == self.head() {
                storage::forget_state(sql, &notified)?;
            }
        }
        Ok(Some(offset))
    }
}
