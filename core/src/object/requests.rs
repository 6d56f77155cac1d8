//! What the Worker and other Rooms ask of an object: its part of the HTTP API.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Decided, Object, Origin, RequestId, Sender, links::ToAnswer};
use crate::{
    error::{Code, Refusal},
    event::{Args, Publication},
    event_webhook,
    hub::{ConnectionId, DisconnectReason},
    names::{Offset, RoomName, Timestamp, UserId},
    namespaces,
    room::{self, Dedupe, EntryId, From, INBOUND, Outcome, Page, Target},
    storage::{Sql, StorageError},
    wire::{
        Accepted, Access, Caller, Item, Membership, Notice, Parcel, Published, Pushed, Request,
        Unread,
    },
};

#[derive(Serialize)]
struct Members {
    members: Vec<room::Member>,
}

#[derive(Serialize)]
struct Notifications {
    notifications: Vec<Box<RawValue>>,
    unread: u64,
}

#[derive(Serialize)]
struct Messages {
    messages: Vec<Box<RawValue>>,
}

/// The answer to who asks for a last status that there is none.
pub(super) fn no_status() -> Refusal {
    Refusal::not_found("nothing has been published here yet")
}

#[derive(Serialize)]
struct Disconnected {
    disconnected: usize,
}

impl Object {
    pub(super) fn request(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        body: &Request,
    ) -> Result<(), StorageError> {
        let answer = match body {
            Request::Deliver { parcels } => {
                let before = self.room.outbox.last_id();
                let published = self.accept(sql, now, parcels)?;
                self.reply_when_settled(now, request, to_json(&published), before);
                return Ok(());
            }
            Request::Event {
                caller,
                event,
                args,
                id,
            } => match self.admit(sql, caller)? {
                Ok(()) => {
                    let Caller { claims, access } = caller;
                    let sender = Sender {
                        claims,
                        access: *access,
                        from: Origin::Nowhere,
                    };
                    self.client_event(sql, now, &sender, event, args, id.as_deref())?
                        .map(|accepted| to_json(&accepted))
                }
                Err(refusal) => Err(refusal),
            },
            Request::History {
                caller,
                after,
                before,
                limit,
            } => match self.admit(sql, caller)? {
                Ok(()) => Ok(self.history(
                    sql,
                    &Page {
                        after: *after,
                        before: *before,
                        limit: *limit,
                        events: None,
                    },
                )?),
                Err(refusal) => Err(refusal),
            },
            Request::Messages {
                caller,
                before,
                limit,
            } => match self.admit(sql, caller)? {
                Ok(()) => self.messages(sql, before.as_deref(), *limit)?,
                Err(refusal) => Err(refusal),
            },
            Request::Latest { caller } => match self.admit(sql, caller)? {
                Ok(()) => match self.room.latest(sql)?.map(|kept| kept.args) {
                    Some(Args::One(data)) => Ok(data.get().to_owned()),
                    Some(Args::Array(_)) | None => Err(no_status()),
                },
                Err(refusal) => Err(refusal),
            },
            Request::Notifications { unread, limit } => {
                let (notifications, unread) = self.room.notifications(sql, *unread, *limit)?;
                Ok(to_json(&Notifications {
                    notifications,
                    unread,
                }))
            }
            Request::Presence { caller } => self
                .admit(sql, caller)?
                .map(|()| format!(r#"{{"users":{}}}"#, self.room.roster.people())),
            Request::Members => Ok(self.members(sql)?),
            Request::AddMember { user } => {
                let before = self.room.outbox.last_id();
                if self.room.add_member(sql, now, user)? {
                    return self.reply_with_members(sql, now, request, before);
                }
                Err(Refusal::invalid(
                    "the room has as many members as it may have",
                ))
            }
            Request::RemoveMember { user } => {
                let before = self.room.outbox.last_id();
                self.room.remove_member(sql, now, user)?;
                self.expel(sql, now, user, Access::IfMember)?;
                self.unassign_all(sql, now, user)?;
                return self.reply_with_members(sql, now, request, before);
            }
            Request::IsMember { user, follower } => self
                .is_member(sql, user, follower.as_ref())?
                .map(|member| Membership { member }.to_json()),
            Request::Disconnect { user } => {
                let reason = match user {
                    Some(user) => {
                        self.room.revoke(sql, user)?;
                        DisconnectReason::Revoked
                    }
                    None => DisconnectReason::Kicked,
                };
                let disconnected = self.disconnect(sql, now, reason, |of, _| {
                    user.as_ref().is_none_or(|user| user == of)
                })?;
                let elsewhere = self.disconnect_sockets(sql, now, user.as_ref())?;
                Ok(to_json(&Disconnected {
                    disconnected: disconnected.saturating_add(elsewhere),
                }))
            }
            Request::Backup { cursor } => self.backup(sql, now, cursor.as_deref())?,
            // A turn of its own has taken it, before there was a machine.
            Request::Restore { .. } => Err(Refusal::internal()),
            Request::Link { from, number, .. } if self.room.links.is_overtaken(from, *number) => {
                // To nobody: whoever asked is no more.
                Err(Refusal::internal())
            }
            Request::Link {
                from,
                number,
                at,
                holds,
                ops,
            } => {
                if let Some(holds) = holds {
                    self.held_by_are(sql, now, from.as_str(), holds)?;
                }
                let answers = self.room_ops(sql, now, from, ops)?;
                self.room.links.arrived(sql, from, *number)?;
                self.link_answers.push(ToAnswer {
                    request,
                    from: from.clone(),
                    at: at.clone(),
                    answers,
                });
                return Ok(());
            }
            Request::Push {
                room,
                epoch,
                number,
                notices,
            } => {
                let linked = self.pushed(sql, now, room, epoch, *number, notices)?;
                Ok(to_json(&Pushed { linked }))
            }
            Request::Recover(recover) => Ok(to_json(&self.give_up(sql, now, recover)?)),
            Request::Watch(by) => self.watched_by(sql, now, by)?,
            Request::News(news) => Ok(self.heard_news(news).to_json()),
            Request::Administer(order) => {
                self.obey(sql, now, order)?;
                Ok("{}".to_owned())
            }
            Request::SendMessage(send) => return self.send_message(sql, now, request, send),
            Request::Conversation {
                caller,
                after,
                before,
                limit,
            } => match self.admit(sql, caller)? {
                Ok(()) => Ok(self.conversation(sql, *after, *before, *limit)?),
                Err(refusal) => Err(refusal),
            },
            Request::Media { caller, which } => match self.admit(sql, caller)? {
                Ok(()) => self.media(sql, which)?.map(|media| to_json(&media)),
                Err(refusal) => Err(refusal),
            },
            Request::Status { id, report } => {
                let before = self.room.outbox.last_id();
                self.report(sql, now, id, std::slice::from_ref(report), false)?;
                self.reply_when_settled(now, request, "{}".to_owned(), before);
                return Ok(());
            }
            Request::Conversations {
                caller,
                cursor,
                limit,
            } => match self.admit(sql, caller)? {
                Ok(()) => self.conversations(sql, cursor.as_deref(), *limit)?,
                Err(refusal) => Err(refusal),
            },
            Request::AssignConversation {
                caller,
                contact,
                user,
            } => self.assign_by(sql, now, caller, contact, user.as_ref())?,
            Request::Lines => Ok(to_json(&self.room.lines(sql)?)),
            Request::Unread => Ok(to_json(&Unread {
                unread: self.room.unread(sql)?,
            })),
        };
        self.reply(request, answer);
        Ok(())
    }

    fn reply_with_members(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        before: EntryId,
    ) -> Result<(), StorageError> {
        let members = self.members(sql)?;
        self.reply_when_settled(now, request, members, before);
        Ok(())
    }

    pub(super) fn admit(&self, sql: &dyn Sql, caller: &Caller) -> Decided<()> {
        let may = self.may(sql, &caller.claims.user, caller.access)?;
        Ok(if may {
            Ok(())
        } else {
            Err(namespaces::not_yours())
        })
    }

    fn accept(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        parcels: &[Parcel],
    ) -> Result<Published, StorageError> {
        let mut results = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            results.push(match parcel {
                Parcel::Event(item) => self.accept_event(sql, now, item)?,
                Parcel::Expel { user } => {
                    self.expel(sql, now, user, Access::ByOtherRoom)?;
                    Accepted::default()
                }
                Parcel::Read { room, through } => {
                    self.read_elsewhere(sql, now, room, *through)?;
                    Accepted::default()
                }
                Parcel::Standing(standing) => {
                    self.conversation_stands(sql, now, standing)?;
                    Accepted::default()
                }
                Parcel::Report {
                    id,
                    reports,
                    asking,
                } => {
                    self.report(sql, now, id, reports, *asking)?;
                    Accepted::default()
                }
                Parcel::Settled { room, id } => {
                    self.room.sends.settled(sql, room, id)?;
                    Accepted::default()
                }
                Parcel::Line { number, listed } => {
                    self.room.line_listed(sql, number, *listed)?;
                    Accepted::default()
                }
            });
        }
        Ok(Published { results })
    }

    fn accept_event(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        item: &Item,
    ) -> Result<Accepted, StorageError> {
        let (event, args) = (item.event.clone(), item.args.clone());
        if item.volatile {
            self.tell_ephemeral(&event, args, &Origin::Nowhere, item.audience.clone());
            return Ok(Accepted::default());
        }
        let from = From {
            sender: item.sender.clone(),
            audience: item.audience.clone(),
            about: item.about.clone(),
            outgoing: None,
        };
        let dedupe = item.dedupe.clone().map(Dedupe::Global);
        let outcome = self
            .room
            .publish(sql, now, event, args, from, dedupe.as_ref())?;
        match &outcome {
            Outcome::New(publication) if item.latest => self.tell_as_latest(publication),
            outcome => self.tell(outcome, &Origin::Nowhere),
        }
        let accepted = room::accepted(&self.room, &item.event, &outcome);
        if let Outcome::New(publication) = &outcome {
            self.message_of_line(sql, now, publication, item)?;
        }
        if let (Outcome::New(_), Some(about)) = (&outcome, &item.about) {
            self.tell_backend(sql, now, item, &about.user)?;
        }
        Ok(accepted)
    }

    /// `EVENT_WEBHOOK_URL` hears, too, of what somebody was not there for.
    fn tell_backend(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        item: &Item,
        user: &UserId,
    ) -> Result<(), StorageError> {
        if self.environment.config.event_webhook.is_none() {
            return Ok(());
        }
        let online = self.room.roster.is_here(user);
        let id = item.dedupe.as_deref().unwrap_or_default();
        let id = format!("{id}:{}", self.room.name.id());
        match event_webhook::parcel(now, item, user, online, &id) {
            Some(parcel) => self
                .room
                .outbox
                .push(sql, now, Target::EventWebhook, parcel),
            None => Ok(()),
        }
    }

    /// This room's user has read another room: so they have the notifications of what happened there.
    fn read_elsewhere(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        through: Offset,
    ) -> Result<(), StorageError> {
        for id in self.room.unread_about(sql, room, through)? {
            let item = Item {
                event: namespaces::NOTIFICATION_READ.to_owned(),
                args: Args::of(&BTreeMap::from([("id", id)])),
                ..Item::default()
            };
            self.accept_event(sql, now, &item)?;
        }
        Ok(())
    }

    /// A page of chat messages, as the seed's clients read them.
    fn messages(&self, sql: &dyn Sql, before: Option<&str>, limit: u32) -> Decided<String> {
        // An offset, or the id of a message.
        let id = format!("{}-", self.room.epoch);
        let offset = before.map(|before| before.strip_prefix(&id).unwrap_or(before).parse());
        let Ok(before) = offset.transpose() else {
            let refusal = Refusal::bad_request("`before` is an offset, or a message's id");
            return Ok(Err(refusal));
        };
        let page = Page {
            after: None,
            before: before.map(Offset),
            limit,
            events: Some((INBOUND, INBOUND)),
        };
        let messages = self.room.history(sql, &page)?;
        let payloads = messages
            .into_iter()
            .filter_map(|message| match message.args {
                Args::One(payload) => Some(payload),
                Args::Array(_) => None,
            });
        Ok(Ok(to_json(&Messages {
            messages: payloads.collect(),
        })))
    }

    fn is_member(
        &self,
        sql: &dyn Sql,
        user: &UserId,
        follower: Option<&RoomName>,
    ) -> Decided<bool> {
        let member = self.room.is_member(sql, user)?;
        if let (true, Some(follower)) = (member, follower)
            && !self.room.follow(sql, user, follower)?
        {
            let message = "too many conversations of this line are open";
            return Ok(Err(Refusal::new(Code::TooManyRooms, message)));
        }
        Ok(Ok(member))
    }

    /// Closes the user's connections that are here on this ground alone.
    fn expel(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
        ground: Access,
    ) -> Result<(), StorageError> {
        let theirs = |of: &UserId, access| of == user && access == ground;
        self.disconnect(sql, now, DisconnectReason::Forbidden, theirs)?;
        let (user, room) = (user.clone(), self.room.name.clone());
        self.expel_sockets(sql, now, &room, &user, ground)?;
        self.room
            .links
            .tell(Notice::Expel { user, ground }, self.room.head());
        Ok(())
    }

    fn history(&self, sql: &dyn Sql, page: &Page) -> Result<String, StorageError> {
        Ok(self.page_of(&self.room.history(sql, page)?))
    }

    /// A page of history, as the HTTP API shows it.
    pub(super) fn page_of(&self, messages: &[Publication]) -> String {
        #[derive(Serialize)]
        struct Head<'a> {
            epoch: &'a str,
            offset: Offset,
        }
        let head = to_json(&Head {
            epoch: self.room.epoch.as_str(),
            offset: self.room.head(),
        });
        let head = head.strip_suffix('}').unwrap_or_default();
        let messages: Vec<String> = messages.iter().map(Publication::to_json).collect();
        format!(r#"{head},"messages":[{}]}}"#, messages.join(","))
    }

    fn members(&self, sql: &dyn Sql) -> Result<String, StorageError> {
        Ok(to_json(&Members {
            members: self.room.members(sql)?,
        }))
    }

    fn disconnect(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        reason: DisconnectReason,
        whom: impl Fn(&UserId, Access) -> bool,
    ) -> Result<usize, StorageError> {
        let ids: Vec<ConnectionId> = self
            .hub
            .iter()
            .filter(|(_, c)| c.plain().is_some_and(|p| whom(&p.claims.user, p.access)))
            .map(|(id, _)| id)
            .collect();
        for id in &ids {
            self.close(sql, now, *id, reason)?;
        }
        Ok(ids.len())
    }
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
