//! What the Worker and other Rooms ask of an object: its part of the HTTP API.

use serde::Serialize;

use super::{Decided, Object, RequestId, Sender};
use crate::{
    error::Refusal,
    hub::{ConnectionId, DisconnectReason},
    names::{Offset, Timestamp, UserId},
    namespaces,
    room::{self, Dedupe, Page},
    storage::{Sql, StorageError},
    wire::{Access, Caller, Item, Membership, Published, Request},
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
        body: Request,
    ) -> Result<(), StorageError> {
        let answer = match body {
            Request::Publish { items } => {
                let before = self.room.outbox.last_id();
                let published = self.publish(sql, now, items)?;
                let passed_on = self.room.outbox.after(before);
                self.reply_when_settled(now, request, to_json(&published), passed_on);
                return Ok(());
            }
            Request::Event {
                caller,
                event,
                args,
                id,
            } => match self.admit(sql, &caller)? {
                Ok(()) => {
                    let Caller { claims, access } = &caller;
                    let sender = Sender {
                        claims,
                        access: *access,
                        connection: None,
                    };
                    self.client_event(sql, now, &sender, &event, args, id.as_deref())?
                        .map(|accepted| to_json(&accepted))
                }
                Err(refusal) => Err(refusal),
            },
            Request::History {
                caller,
                after,
                before,
                limit,
            } => match self.admit(sql, &caller)? {
                Ok(()) => Ok(self.history(
                    sql,
                    &Page {
                        after,
                        before,
                        limit,
                    },
                )?),
                Err(refusal) => Err(refusal),
            },
            Request::Presence { caller } => self.admit(sql, &caller)?.map(|()| {
                to_json(&Users {
                    users: self.room.roster.people(),
                })
            }),
            Request::Members => Ok(self.members(sql)?),
            Request::AddMember { user } => {
                if self.room.add_member(sql, now, &user)? {
                    Ok(self.members(sql)?)
                } else {
                    Err(Refusal::invalid(
                        "the room has as many members as it may have",
                    ))
                }
            }
            Request::RemoveMember { user } => {
                self.room.remove_member(sql, &user)?;
                self.disconnect(sql, now, DisconnectReason::Forbidden, |of, access| {
                    *of == user && access == Access::IfMember
                })?;
                Ok(self.members(sql)?)
            }
            Request::IsMember { user } => Ok(to_json(&Membership {
                member: self.room.is_member(sql, &user)?,
            })),
            Request::Disconnect { user } => {
                let disconnected =
                    self.disconnect(sql, now, DisconnectReason::Kicked, |of, _| {
                        user.as_ref().is_none_or(|user| user == of)
                    })?;
                Ok(to_json(&Disconnected { disconnected }))
            }
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

    fn publish(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        items: Vec<Item>,
    ) -> Result<Published, StorageError> {
        let mut results = Vec::with_capacity(items.len());
        for Item {
            event,
            args,
            dedupe,
        } in items
        {
            let dedupe = dedupe.map(Dedupe::Global);
            let outcome =
                self.room
                    .publish(sql, now, event.clone(), args, None, dedupe.as_ref())?;
            self.tell(&outcome, None);
            results.push(room::accepted(&self.room, &event, &outcome));
        }
        Ok(Published { results })
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
            .filter(|(_, c)| whom(&c.attachment.claims.user, c.attachment.access))
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
