//! What the Worker and other Rooms ask of an object: its part of the HTTP API.

use serde::Serialize;

use super::{Decided, Object, Origin, RequestId, Sender};
use crate::{
    error::{Code, Refusal},
    hub::{ConnectionId, DisconnectReason},
    names::{Offset, RoomName, Timestamp, UserId},
    namespaces,
    room::{self, Dedupe, From, Page},
    storage::{Sql, StorageError},
    wire::{
        Accepted, Access, Caller, Item, LinkAnswers, Membership, Notice, Parcel, Published, Pushed,
        Request,
    },
};

#[derive(Serialize)]
struct Users {
    users: Vec<room::Person>,
}

#[derive(Serialize)]
struct Members {
    members: Vec<room::Member>,
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
                let pushes = self.room.links.outstanding();
                let passed_on = self.room.outbox.after(before);
                self.reply_when_settled(now, request, to_json(&published), passed_on, pushes);
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
                    },
                )?),
                Err(refusal) => Err(refusal),
            },
            Request::Presence { caller } => self.admit(sql, caller)?.map(|()| {
                to_json(&Users {
                    users: self.room.roster.people(),
                })
            }),
            Request::Members => Ok(self.members(sql)?),
            Request::AddMember { user } => {
                if self.room.add_member(sql, now, user)? {
                    Ok(self.members(sql)?)
                } else {
                    Err(Refusal::invalid(
                        "the room has as many members as it may have",
                    ))
                }
            }
            Request::RemoveMember { user } => {
                let before = self.room.outbox.last_id();
                self.room.remove_member(sql, now, user)?;
                self.expel(sql, now, user, Access::IfMember)?;
                let told = self.room.outbox.after(before);
                let members = self.members(sql)?;
                let pushes = self.room.links.outstanding();
                self.reply_when_settled(now, request, members, told, pushes);
                return Ok(());
            }
            Request::IsMember { user, follower } => self
                .is_member(sql, user, follower.as_ref())?
                .map(|member| Membership { member }.to_json()),
            Request::Disconnect { user } => {
                let disconnected =
                    self.disconnect(sql, now, DisconnectReason::Kicked, |of, _| {
                        user.as_ref().is_none_or(|user| user == of)
                    })?;
                let elsewhere = self.disconnect_sockets(sql, now, user.as_ref())?;
                Ok(to_json(&Disconnected {
                    disconnected: disconnected.saturating_add(elsewhere),
                }))
            }
            Request::Link { from, ops } => {
                let answers = self.room_ops(sql, now, from, ops)?;
                Ok(to_json(&LinkAnswers { answers }))
            }
            Request::Push {
                room,
                epoch,
                notices,
            } => {
                let linked = self.pushed(sql, now, room, epoch, notices)?;
                Ok(to_json(&Pushed { linked }))
            }
            Request::Recover(recover) => Ok(to_json(&self.give_up(sql, now, recover)?)),
        };
        self.reply(request, answer);
        Ok(())
    }

    fn admit(&self, sql: &dyn Sql, caller: &Caller) -> Decided<()> {
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
                Parcel::Event(Item {
                    event,
                    args,
                    dedupe,
                }) => {
                    let dedupe = dedupe.clone().map(Dedupe::Global);
                    let outcome = self.room.publish(
                        sql,
                        now,
                        event.clone(),
                        args.clone(),
                        From::default(),
                        dedupe.as_ref(),
                    )?;
                    self.tell(&outcome, &Origin::Nowhere);
                    room::accepted(&self.room, event, &outcome)
                }
                Parcel::Expel { user } => {
                    self.expel(sql, now, user, Access::ByOtherRoom)?;
                    Accepted {
                        id: None,
                        offset: None,
                        duplicate: false,
                    }
                }
            });
        }
        Ok(Published { results })
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
        let messages: Vec<String> = self
            .room
            .history(sql, page)?
            .iter()
            .map(|message| message.to_json())
            .collect();
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
        Ok(format!(r#"{head},"messages":[{}]}}"#, messages.join(",")))
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

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
