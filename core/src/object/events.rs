//! A client's event, from a socket or over HTTP: what works in every room, and what its kind decides.

use std::rc::Rc;

use serde::Deserialize;

use super::{Decided, Object, Origin, Sender};
use crate::{
    error::{Code, Refusal},
    event::{self, Args, Publication},
    limits::MAX_LOGGED_BYTES,
    metrics::Count,
    names::{Offset, Timestamp, UserId},
    namespaces::Context,
    room::{self, Dedupe, From, Outcome},
    storage::{Sql, StorageError},
    wire::{Accepted, Access, Audience, Notice},
};

impl Object {
    /// A client's event, from a socket or over HTTP.
    pub(super) fn client_event(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sender: &Sender<'_>,
        event: &str,
        args: &Args,
        id: Option<&str>,
    ) -> Decided<Accepted> {
        if event == "refresh" {
            let refusal = Refusal::new(Code::UnknownEvent, "`refresh` is for live connections");
            return Ok(Err(refusal));
        }
        if event == "mark_read" {
            let read = self.mark_read(sql, now, sender, args)?;
            return Ok(read.map(|()| ephemeral()));
        }
        if sender.access == Access::Read {
            return Ok(Err(Refusal::forbidden(
                "the token lets you read here, not send",
            )));
        }
        if event == "typing" {
            return Ok(self.typing(now, sender, args).map(|()| ephemeral()));
        }
        if let Err(refusal) = event::check_name(event, self.room.kind.server_events()) {
            return Ok(Err(refusal));
        }
        if args.len() > MAX_LOGGED_BYTES {
            let message = format!("an event that is kept has at most {MAX_LOGGED_BYTES} bytes");
            return Ok(Err(Refusal::new(Code::PayloadTooLarge, message)));
        }
        let user = &sender.claims.user;
        let context = Context {
            room: &self.room.name,
            user,
            role: sender.claims.role.as_deref(),
            now,
            epoch: &self.room.epoch,
            next_offset: self.room.head().next(),
        };
        let publish = match self.room.kind.client_event(&context, event, args) {
            Ok(publish) => publish,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(announced) = &publish.announces {
            match self.announced(sql, now, user, announced)? {
                Ok(None) => {}
                Ok(Some(offset)) => {
                    let known = Outcome::Duplicate(offset);
                    self.tell(&known, &Origin::Nowhere);
                    return Ok(Ok(room::accepted(&self.room, event, &known)));
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let dedupe = publish
            .client_id
            .or_else(|| id.map(str::to_owned))
            .map(|id| Dedupe::Client {
                user: user.clone(),
                id,
            });
        let except = match &sender.from {
            _ if publish.to_sender => &Origin::Nowhere,
            from => from,
        };
        let from = From {
            sender: Some(user.clone()),
            audience: except.audience(),
            ..From::default()
        };
        let (event_name, args) = (publish.event, publish.args);
        let outcome = self
            .room
            .publish(sql, now, event_name, args, from, dedupe.as_ref())?;
        if matches!(outcome, Outcome::NotFound) {
            return Ok(Err(Refusal::not_found("there is no such notification")));
        }
        self.tell(&outcome, except);
        Ok(Ok(room::accepted(&self.room, event, &outcome)))
    }

    /// Tells everyone of what was published: plain sockets, Socket.IO sockets here, those elsewhere.
    pub(super) fn tell(&mut self, outcome: &Outcome, except: &Origin) {
        self.tell_latest();
        match outcome {
            Outcome::New(publication) => {
                self.count(Count::Publications, 1);
                self.tell_publication(publication, except, 0);
            }
            Outcome::Duplicate(_) | Outcome::Unchanged | Outcome::NotFound => {
                self.count(Count::Duplicates, 1);
            }
        }
    }

    /// `stands_for`: so many publications just before it that nobody needs to be told of.
    fn tell_publication(
        &mut self,
        publication: &Rc<Publication>,
        except: &Origin,
        stands_for: u64,
    ) {
        if self.hub.has_plain() {
            let audience = &publication.audience;
            let everyone = audience.is_everyone();
            self.hub.send_plain(publication.to_json(), |id, _, plain| {
                *except != Origin::Connection(id)
                    && (everyone || audience.has(&plain.claims.user, ""))
            });
        }
        let (room, epoch) = (self.room.name.clone(), self.room.epoch.clone());
        self.deliver(&room, &epoch, publication);
        let publication = Rc::clone(publication);
        let notice = match stands_for {
            0 => Notice::Publication(publication),
            stands_for => Notice::Latest(publication, stands_for),
        };
        self.room.links.tell(notice, self.room.head());
    }

    /// A publication of which the last in a turn is enough: it waits for the next.
    pub(super) fn tell_as_latest(&mut self, publication: &Rc<Publication>) {
        self.count(Count::Publications, 1);
        let stands_for = match &self.latest {
            Some((last, stands_for))
                if last.event == publication.event && last.audience == publication.audience =>
            {
                stands_for.saturating_add(1)
            }
            _ => {
                self.tell_latest();
                0
            }
        };
        self.latest = Some((Rc::clone(publication), stands_for));
    }

    /// Before anything else is told, and at the end of the turn, the one that waits has its turn.
    pub(super) fn tell_latest(&mut self) {
        if let Some((publication, stands_for)) = self.latest.take() {
            self.tell_publication(&publication, &Origin::Nowhere, stands_for);
        }
    }

    pub(super) fn typing(
        &mut self,
        now: Timestamp,
        sender: &Sender<'_>,
        args: &Args,
    ) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Typing {
            is_typing: bool,
        }
        let Typing { is_typing } = args.read()?;
        let user = &sender.claims.user;
        self.room
            .typing
            .set(now, user, sender.from.clone(), is_typing);
        self.tell_typing(user, is_typing, &sender.from);
        Ok(())
    }

    pub(super) fn tell_typing(&mut self, user: &UserId, is_typing: bool, except: &Origin) {
        let args = self.room.kind.user_typing(&self.room.name, user, is_typing);
        self.tell_ephemeral("user_typing", args, except, except.audience());
    }

    pub(super) fn mark_read(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sender: &Sender<'_>,
        args: &Args,
    ) -> Decided<()> {
        #[derive(Deserialize, Default)]
        struct MarkRead {
            #[serde(default)]
            offset: Option<Offset>,
        }
        let offset = match args {
            Args::Array(_) => None,
            Args::One(data) if data.get() == "null" => None,
            Args::One(_) => match args.read::<MarkRead>() {
                Ok(MarkRead { offset }) => offset,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        let user = &sender.claims.user;
        if let Some(mark) = self.room.mark_read(sql, now, user, offset)? {
            let args = self.room.kind.messages_read(&self.room.name, user, mark);
            let everyone = Audience::default();
            self.tell_ephemeral("messages_read", args, &Origin::Nowhere, everyone);
        }
        if sender.access != Access::Read {
            let head = self.room.head();
            self.line_read(sql, now, offset.unwrap_or(head).min(head))?;
        }
        Ok(Ok(()))
    }

    /// Tells those in the audience of what has no place in the log.
    pub(super) fn tell_ephemeral(
        &mut self,
        event: &str,
        args: Args,
        except: &Origin,
        audience: Audience,
    ) {
        self.tell_latest();
        if self.hub.has_plain() {
            let publication = Publication {
                event: event.to_owned(),
                args: args.clone(),
                sender: None,
                at: Timestamp::default(),
                offset: None,
                audience: Audience::default(),
            };
            self.hub.send_plain(publication.to_json(), |id, _, plain| {
                *except != Origin::Connection(id) && audience.has(&plain.claims.user, "")
            });
        }
        self.tell_sockets(event, args, audience);
    }

    /// The same for Socket.IO sockets alone.
    pub(super) fn tell_sockets(&mut self, event: &str, args: Args, audience: Audience) {
        let room = self.room.name.clone();
        self.deliver_ephemeral(&room, event, &args, &audience);
        let notice = Notice::Ephemeral {
            event: event.to_owned(),
            args,
            audience,
        };
        self.room.links.tell(notice, self.room.head());
    }

    /// Whether someone with this access is really in: membership is the room's to know.
    pub(super) fn may(
        &self,
        sql: &dyn Sql,
        user: &UserId,
        access: Access,
    ) -> Result<bool, StorageError> {
        match access {
            Access::Full | Access::Read | Access::ByOtherRoom => Ok(true),
            Access::IfMember => self.room.is_member(sql, user),
        }
    }
}

/// What is told and not kept.
pub(super) const fn ephemeral() -> Accepted {
    Accepted {
        id: None,
        offset: None,
        duplicate: false,
    }
}
