//! Phone lines: what a conversation's room and a line's room do besides what every room does. The
//! conversation owns its messages and what became of each; the line owns its list of conversations,
//! and the queue that goes to Twilio.

use serde::Serialize;

use super::{Decided, Object, Origin, Output, RequestId, requests::to_json};
use crate::{
    error::{Code, Refusal},
    event::{Args, Publication},
    limits::SEND_UNCONFIGURED_MS,
    names::{Offset, Timestamp, UserId},
    namespaces::{self, Announced},
    room::{
        Conversation, Dedupe, From, INBOUND, Job, Message, OUTBOUND, Outcome, Page, STATUS, SendId,
        Target,
    },
    storage::{Sql, StorageError},
    twilio::{
        errors,
        inbound::Address,
        outbound::{Outgoing, hash_of},
        rest::{self, Answer, Verdict},
        segments,
        status::{Report, Status},
    },
    wire::{Access, Caller, Item, Parcel, Queued, Recorded, SendMessage, Standing, WhichMedia},
};

/// Twilio's code for a contact that has opted out.
const UNSUBSCRIBED: u32 = 21610;
/// Twilio's code for too many requests.
const TOO_MANY_REQUESTS: u32 = 20429;

/// `message_updated`, as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outbound<'a> {
    id: &'a str,
    phone_number_id: &'a str,
    from: &'a str,
    to: &'a str,
    body: &'a str,
    media: Vec<Link<'a>>,
    direction: &'static str,
    status: &'static str,
    segments: u32,
    channel: &'a str,
    timestamp: String,
    user_id: &'a UserId,
}

#[derive(Serialize)]
struct Link<'a> {
    url: &'a str,
}

/// What is shown of a message that nobody knows of whether it was sent.
fn unclear() -> Report {
    Report {
        sid: None,
        status: Status::Unknown,
        error_code: None,
        error_message: Some(
            "Twilio did not answer. The message may or may not have been sent; it is not sent again by itself."
                .to_owned(),
        ),
    }
}

fn failed(code: Option<u32>, sentence: &str) -> Report {
    Report {
        sid: None,
        status: Status::Failed,
        error_code: code,
        error_message: Some(sentence.to_owned()),
    }
}

impl Object {
    // ── A conversation's room ──

    /// Accepts a message to be sent. Answered after the commit, and once the line has it.
    pub(super) fn send_message(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        send: &SendMessage,
    ) -> Result<(), StorageError> {
        let before = self.room.outbox.last_id();
        let answer = match self.accept_message(sql, now, send)? {
            Ok(queued) => to_json(&queued),
            Err(refusal) => {
                self.reply(request, Err(refusal));
                return Ok(());
            }
        };
        self.reply_when_settled(now, request, answer, before);
        Ok(())
    }

    fn accept_message(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        send: &SendMessage,
    ) -> Decided<Queued> {
        if let Err(refusal) = self.admit_sender(sql, &send.caller)? {
            return Ok(Err(refusal));
        }
        let (Some(line), Some(contact)) =
            (Address::parse(&send.line), Address::parse(&send.contact))
        else {
            return Ok(Err(Refusal::bad_request("these are not two addresses")));
        };
        let user = &send.caller.claims.user;
        // Other channels have no segments, and neither has a text that comes with a picture.
        let segments = if line.channel() == "sms" && send.media.is_empty() {
            segments::count(&send.body)
        } else {
            1
        };
        let hash = hash_of(&send.body);
        if let Some(known) = self.room.message(sql, &send.id)? {
            let is_same =
                known.user == user.as_str() && known.hash == hash && known.media == send.media;
            return Ok(if is_same {
                Ok(Queued {
                    id: known.id,
                    status: known.report.status.as_str().to_owned(),
                    segments,
                    duplicate: true,
                })
            } else {
                let message = "`id` is that of another message of this conversation";
                Err(Refusal::new(Code::Conflict, message))
            });
        }
        if self.room.standing(sql)?.opted_out {
            return Ok(Err(opted_out()));
        }
        let status = Status::Waiting;
        let args = Args::of(&Outbound {
            id: &send.id,
            phone_number_id: line.as_str(),
            from: line.bare(),
            to: contact.bare(),
            body: &send.body,
            media: send.media.iter().map(|url| Link { url }).collect(),
            direction: "outbound",
            status: status.as_str(),
            segments,
            channel: line.channel(),
            timestamp: now.rfc3339(),
            user_id: user,
        });
        let from = From {
            sender: Some(user.clone()),
            outgoing: Some(Box::new(Outgoing {
                room: self.room.name.clone(),
                id: send.id.clone(),
                from: line.as_str().to_owned(),
                to: contact.as_str().to_owned(),
                body: send.body.clone(),
                media: send.media.clone(),
                callback: send.callback.clone(),
            })),
            ..From::default()
        };
        let outcome = self.publish_ours(sql, now, OUTBOUND, args, from)?;
        let message = Message {
            id: send.id.clone(),
            offset: outcome.offset().unwrap_or_default(),
            user: user.as_str().to_owned(),
            hash,
            media: send.media.clone(),
            report: Report {
                sid: None,
                status,
                error_code: None,
                error_message: None,
            },
        };
        self.room.keep_message(sql, now, &message)?;
        Ok(Ok(Queued {
            id: message.id,
            status: status.as_str().to_owned(),
            segments,
            duplicate: false,
        }))
    }

    /// A client says of itself that it has sent a message: where it is in the log, if it was sent by us.
    pub(super) fn announced(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
        announced: &Announced,
    ) -> Decided<Option<Offset>> {
        let id = announced.id.as_deref();
        let known = self.room.announced(sql, now, user, id, &announced.hash)?;
        if known.is_none() && self.room.standing(sql)?.opted_out {
            return Ok(Err(opted_out()));
        }
        Ok(Ok(known))
    }

    /// What became of a message is known now. `asking`: the line goes on to ask until it is told that
    /// it need not.
    pub(super) fn report(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: &str,
        reports: &[Report],
        asking: bool,
    ) -> Result<(), StorageError> {
        let Some((before, after)) = self.room.reported(sql, id, reports)? else {
            return Ok(());
        };
        if after.report != before.report {
            let args = self.room.status_event(sql, &after)?;
            self.publish_ours(sql, now, STATUS, args, From::default())?;
        }
        let refused = |message: &Message| message.report.error_code == Some(UNSUBSCRIBED);
        if refused(&after) && !refused(&before) && self.room.opt_out(sql)? {
            self.tell_line_standing(sql, now)?;
        }
        let was_unknown = before.report.status == Status::Unknown;
        if after.report.sid.is_some() && (asking || was_unknown) {
            let room = self.room.name.clone();
            let id = id.to_owned();
            self.tell_line(sql, now, Parcel::Settled { room, id })?;
        }
        Ok(())
    }

    /// Somebody who may send here has read so far: so the line has.
    pub(super) fn line_read(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        through: Offset,
    ) -> Result<(), StorageError> {
        let is_conversation = namespaces::line_room_of(&self.room.name).is_some();
        if is_conversation && self.room.line_read(sql, through)? {
            self.tell_line_standing(sql, now)?;
        }
        Ok(())
    }

    fn tell_line_standing(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        let standing = self.room.standing(sql)?;
        self.tell_line(sql, now, Parcel::Standing(standing))
    }

    fn tell_line(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        parcel: Parcel,
    ) -> Result<(), StorageError> {
        match namespaces::line_room_of(&self.room.name) {
            Some(line) => self.room.outbox.push(sql, now, Target::Room(line), parcel),
            None => Ok(()),
        }
    }

    /// A page of messages, each with what became of it.
    pub(super) fn conversation(
        &self,
        sql: &dyn Sql,
        after: Option<Offset>,
        before: Option<Offset>,
        limit: u32,
    ) -> Result<String, StorageError> {
        let page = Page {
            after,
            before,
            limit,
            events: Some((INBOUND, OUTBOUND)),
        };
        let messages = self.room.history(sql, &page)?.into_iter();
        let messages: Result<Vec<Publication>, StorageError> = messages
            .map(|message| self.room.with_status(sql, message))
            .collect();
        Ok(self.page_of(&messages?))
    }

    /// Where a file of an inbound message is.
    pub(super) fn media(&self, sql: &dyn Sql, which: &WhichMedia) -> Decided<Recorded> {
        #[derive(serde::Deserialize)]
        struct Media {
            media: Vec<Recorded>,
        }
        let message = self.room.inbound(sql, &which.sid)?;
        let media = message.and_then(|message| message.args.read::<Media>().ok());
        let one = media.and_then(|Media { media }| media.into_iter().nth(which.index));
        Ok(one.ok_or_else(|| Refusal::not_found("there is no such file in this conversation")))
    }

    // ── A line's room ──

    /// A message of one of this line's conversations was accepted here: into the list, and into the
    /// queue if it is to be sent.
    pub(super) fn message_of_line(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        publication: &Publication,
        item: &Item,
    ) -> Result<(), StorageError> {
        if !self.room.kind.is_listed() {
            return Ok(());
        }
        if let Some(standing) = &item.standing {
            let conversation = self
                .room
                .conversation_heard(sql, now, publication, standing)?;
            self.tell_conversation(sql, now, conversation)?;
        }
        if let Some(outgoing) = &item.outgoing
            && !self.room.sends.push(sql, now, outgoing)?
        {
            let report = failed(
                None,
                "Too many messages wait at this line; it was not sent.",
            );
            self.tell_of(sql, now, outgoing, vec![report], false)?;
        }
        Ok(())
    }

    /// A conversation of this line stands otherwise than before.
    pub(super) fn conversation_stands(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        standing: &Standing,
    ) -> Result<(), StorageError> {
        let conversation = self.room.conversation_stands(sql, standing)?;
        self.tell_conversation(sql, now, conversation)
    }

    fn tell_conversation(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        conversation: Option<Conversation>,
    ) -> Result<(), StorageError> {
        let Some(conversation) = conversation else {
            return Ok(());
        };
        let args = Args::of(&conversation.updated(&self.room.name));
        self.publish_ours(sql, now, "conversation_updated", args, From::default())
            .map(drop)
    }

    /// Gives a conversation to somebody, or to nobody; the list's item as it is then.
    pub(super) fn assign_conversation(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        contact: &str,
        user: Option<&UserId>,
    ) -> Decided<String> {
        let Some((conversation, is_news)) = self.room.assign_conversation(sql, contact, user)?
        else {
            let refusal = Refusal::not_found("this line has no conversation with that contact");
            return Ok(Err(refusal));
        };
        let item = to_json(&conversation);
        if is_news {
            let args = Args::of(&conversation.assigned(&self.room.name));
            self.publish_ours(sql, now, "conversation_assigned", args, From::default())?;
            self.tell_conversation(sql, now, Some(conversation))?;
        }
        Ok(Ok(item))
    }

    /// Somebody works this line no longer: what was theirs is nobody's.
    pub(super) fn unassign_all(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        user: &UserId,
    ) -> Result<(), StorageError> {
        for contact in self.room.conversations_of(sql, user)? {
            // It is there: it was found a moment ago.
            drop(self.assign_conversation(sql, now, &contact, None)?);
        }
        Ok(())
    }

    /// What goes to Twilio now.
    pub(super) fn send_due(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), StorageError> {
        if self.room.sends.is_empty() {
            return Ok(());
        }
        for id in self.room.sends.lost() {
            if let Some(outgoing) = self.room.sends.outgoing(sql, id)? {
                self.unknown(sql, now, id, &outgoing)?;
            }
        }
        let environment = std::rc::Rc::clone(&self.environment);
        let config = &environment.config;
        let per_second = config.line_messages_per_second;
        for job in self.room.sends.due(sql, now, per_second)? {
            let Some(outgoing) = self.room.sends.outgoing(sql, job.id())? else {
                continue;
            };
            let call = match job {
                Job::Send(_) => rest::create(&config.twilio, &outgoing),
                Job::Ask(_) => rest::list(&config.twilio, &outgoing),
            };
            match (call, job) {
                (Some(call), _) => out.push(Output::Twilio { job, call }),
                // There are no credentials any more.
                (None, Job::Send(id)) => {
                    let over = failed(None, "Twilio is not configured here; it was not sent.");
                    self.send_later(sql, now, id, &outgoing, SEND_UNCONFIGURED_MS, over)?;
                }
                (None, Job::Ask(id)) => self.room.sends.unknown(sql, now, id)?,
            }
        }
        Ok(())
    }

    /// Twilio has answered, or has not.
    pub(super) fn twilio_answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        job: Job,
        answer: Option<&Answer>,
    ) -> Result<(), StorageError> {
        let Some(outgoing) = self.room.sends.outgoing(sql, job.id())? else {
            // It was settled meanwhile.
            return self.room.sends.done(sql, job.id());
        };
        match job {
            Job::Send(id) => match rest::verdict(answer) {
                Verdict::Sent(report) | Verdict::Refused(report) => {
                    self.tell_of(sql, now, &outgoing, vec![report], false)?;
                    self.room.sends.done(sql, id)
                }
                Verdict::Later { after_ms } => {
                    let code = Some(TOO_MANY_REQUESTS);
                    let over = failed(code, &errors::describe(code, None));
                    let wait = after_ms.unwrap_or_default();
                    self.send_later(sql, now, id, &outgoing, wait, over)
                }
                Verdict::Unclear => self.unknown(sql, now, id, &outgoing),
            },
            Job::Ask(id) => {
                let tried_at = self.room.sends.tried_at(id).unwrap_or(now);
                let found = answer.map(|answer| rest::found(answer, &outgoing, tried_at));
                let found = found.unwrap_or_default();
                if !found.is_empty() {
                    self.tell_of(sql, now, &outgoing, found, true)?;
                }
                self.room.sends.unknown(sql, now, id)
            }
        }
    }

    /// It is sent later, or never: `over` says why.
    fn send_later(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: SendId,
        outgoing: &Outgoing,
        at_least_ms: u64,
        over: Report,
    ) -> Result<(), StorageError> {
        let jitter = self.ids.number();
        if self.room.sends.later(sql, now, id, at_least_ms, jitter)? {
            return Ok(());
        }
        self.tell_of(sql, now, outgoing, vec![over], false)?;
        self.room.sends.done(sql, id)
    }

    fn unknown(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: SendId,
        outgoing: &Outgoing,
    ) -> Result<(), StorageError> {
        self.tell_of(sql, now, outgoing, vec![unclear()], true)?;
        self.room.sends.unknown(sql, now, id)
    }

    /// The conversation hears what became of its message.
    fn tell_of(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        outgoing: &Outgoing,
        reports: Vec<Report>,
        asking: bool,
    ) -> Result<(), StorageError> {
        let parcel = Parcel::Report {
            id: outgoing.id.clone(),
            reports,
            asking,
        };
        let room = Target::Room(outgoing.room.clone());
        self.room.outbox.push(sql, now, room, parcel)
    }

    // ── Both ──

    /// An event of the room's own, to everyone.
    fn publish_ours(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        event: &str,
        args: Args,
        from: From,
    ) -> Result<Outcome, StorageError> {
        let nobody: Option<&Dedupe> = None;
        let outcome = self
            .room
            .publish(sql, now, event.to_owned(), args, from, nobody)?;
        self.tell(&outcome, &Origin::Nowhere);
        Ok(outcome)
    }

    fn admit_sender(&self, sql: &dyn Sql, caller: &Caller) -> Decided<()> {
        if caller.access == Access::Read {
            let message = "the token lets you read here, not send";
            return Ok(Err(Refusal::forbidden(message)));
        }
        self.admit(sql, caller)
    }

    /// The same, if the one who asks may.
    pub(super) fn assign_by(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        caller: &Caller,
        contact: &str,
        user: Option<&UserId>,
    ) -> Decided<String> {
        match self.admit_sender(sql, caller)? {
            Ok(()) => self.assign_conversation(sql, now, contact, user),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// A page of the line's conversations.
    pub(super) fn conversations(
        &self,
        sql: &dyn Sql,
        cursor: Option<&str>,
        limit: u32,
    ) -> Decided<String> {
        let Ok(before) = cursor.map(str::parse).transpose() else {
            return Ok(Err(Refusal::bad_request(
                "`cursor` is one that a page came with",
            )));
        };
        let page = self.room.conversations(sql, before.map(Offset), limit)?;
        Ok(Ok(to_json(&page)))
    }
}

fn opted_out() -> Refusal {
    let message = "this contact has opted out of messages from this line";
    Refusal::new(Code::OptedOut, message)
}
