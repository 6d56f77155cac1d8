//! One Room object: the hub and the room joined into turns.
//!
//! `turn(now, inputs) → outputs` is the whole of what the object decides. All that arrived since the
//! last turn is handled in order and commits in one transaction; then each socket gets its frames in
//! one run, and each other room one request. The shell in `durable/` carries the outputs out, in
//! order, once the transaction is through.

mod requests;

use std::{collections::BTreeSet, rc::Rc};

use serde::Deserialize;

use crate::{
    auth::{Claims, Keys},
    config::Config,
    error::{Code, Refusal},
    event::{self, Args, Publication},
    hub::{Attachment, Connection, ConnectionId, DisconnectReason, Flush, Hub, plain},
    limits::{MAX_LOGGED_BYTES, MAX_TIMER_MS, SETTLE_TIMEOUT_MS},
    names::{Epoch, Offset, RoomName, StreamPosition, Timestamp, UserId},
    namespaces::{self, Admission, Context},
    room::{self, Dedupe, Delivery, EntryId, LOCAL, Outcome, Room},
    storage::{Sql, StorageError},
    wire::{Accepted, Access, Connect, Request},
};

/// A request of the shell's that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A plain WebSocket wants in.
    Open {
        /// The upgrade request.
        request: RequestId,
        /// Who, and how.
        connect: Box<Connect>,
    },
    /// A text frame.
    Text {
        /// From whom.
        connection: ConnectionId,
        /// What.
        text: String,
    },
    /// A binary frame, of so many bytes.
    Binary {
        /// From whom.
        connection: ConnectionId,
        /// How long.
        bytes: usize,
    },
    /// A socket is closed.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// The Worker or another Room asks.
    Request {
        /// The request.
        request: RequestId,
        /// What it asks.
        body: Box<Request>,
    },
    /// Another room answered a [`Output::Deliver`], or did not.
    Delivered {
        /// What was delivered.
        delivery: Delivery,
        /// Whether that room has it now.
        delivered: bool,
    },
    /// The timer that [`Output::Wake`] asked for.
    Timer,
    /// The alarm that [`Output::Wake`] asked for.
    Alarm,
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Output {
    /// Answer the upgrade with 101 and keep the socket with this attachment.
    Accept {
        /// The upgrade request.
        request: RequestId,
        /// What to keep with it.
        attachment: Attachment,
    },
    /// Keep this attachment instead.
    Attach(Attachment),
    /// Send frames.
    Send(Flush),
    /// Close a socket.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: DisconnectReason,
    },
    /// Answer a request with JSON, or with a problem.
    Reply {
        /// Which.
        request: RequestId,
        /// With what.
        answer: Result<String, Refusal>,
    },
    /// Bring these to another room, and say how it went ([`Input::Delivered`]).
    Deliver(Delivery),
    /// Wake the object: by a timer in memory, by an alarm. Only what changed is said.
    Wake {
        /// At most [`MAX_TIMER_MS`] away.
        timer: Option<Timestamp>,
        /// Survives anything.
        alarm: Option<Timestamp>,
    },
}

impl Input {
    /// What its sender is told when storage failed it: nothing of it has happened.
    pub fn undone(&self) -> Option<Output> {
        let refusal = Refusal::internal();
        match self {
            Self::Open { request, .. } | Self::Request { request, .. } => Some(Output::Reply {
                request: *request,
                answer: Err(refusal),
            }),
            Self::Text { connection, text } => {
                let id = plain::decode(text).id;
                Some(Output::Send(Flush {
                    connections: vec![*connection],
                    frames: vec![plain::error(id.as_deref(), &refusal).into()],
                }))
            }
            _ => None,
        }
    }
}

/// What all objects of an isolate share: the configuration, read once.
#[derive(Debug)]
pub struct Environment {
    /// The configuration.
    pub config: Config,
    /// Its keys.
    pub keys: Keys,
}

/// What a turn did, for `/metrics`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Events accepted into a log.
    pub publications: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events refused.
    pub refusals: u64,
}

/// A reply that waits until other rooms have what it answers for.
struct Settling {
    request: RequestId,
    answer: String,
    waits_for: BTreeSet<EntryId>,
    until: Timestamp,
}

/// The machine.
pub struct Object {
    environment: Rc<Environment>,
    room: Room,
    hub: Hub,
    settling: Vec<Settling>,
    /// Connections opened in this turn.
    fresh: Vec<ConnectionId>,
    out: Vec<Output>,
    timer_set: Option<Timestamp>,
    alarm_set: Option<Timestamp>,
    stats: Stats,
}

/// Who sends an event.
struct Sender<'a> {
    claims: &'a Claims,
    access: Access,
    connection: Option<ConnectionId>,
}

/// A decision that storage may fail to allow.
type Decided<T> = Result<Result<T, Refusal>, StorageError>;

impl Object {
    /// The object as it wakes: its storage and the attachments of its live sockets are all it needs.
    /// `fresh_epoch` is used if the room is new.
    pub fn open(
        sql: &dyn Sql,
        environment: Rc<Environment>,
        name: RoomName,
        fresh_epoch: Epoch,
        now: Timestamp,
        sockets: Vec<Attachment>,
    ) -> Result<Self, StorageError> {
        let mut room = Room::open(sql, name, fresh_epoch, environment.config.history)?;
        let mut hub = Hub::default();
        for attachment in sockets {
            hub.restore(attachment);
        }
        room.roster.reconcile(sql, now, |user| hub.has_user(user))?;
        Ok(Self {
            environment,
            room,
            hub,
            settling: Vec::new(),
            fresh: Vec::new(),
            out: Vec::new(),
            timer_set: None,
            alarm_set: None,
            stats: Stats::default(),
        })
    }

    /// One turn. On an error everything it wrote must be rolled back and the object opened anew; the
    /// inputs can then be tried one by one, and [`Input::undone`] says what the failing one's sender
    /// is told.
    pub fn turn(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        inputs: &[Input],
    ) -> Result<Vec<Output>, StorageError> {
        for input in inputs {
            self.handle(sql, now, input)?;
        }
        self.tell_presence();
        let mut out = std::mem::take(&mut self.out);
        // Whoever is closed gets what was for them first, and an upgrade is answered before its
        // socket is sent to.
        let (first, last): (Vec<_>, Vec<_>) = out
            .drain(..)
            .partition(|output| matches!(output, Output::Accept { .. } | Output::Attach(_)));
        out.extend(first);
        out.extend(self.hub.flush().into_iter().map(Output::Send));
        out.extend(last);
        out.extend(
            self.room
                .outbox
                .deliveries(now)
                .into_iter()
                .map(Output::Deliver),
        );
        out.extend(self.wake(now));
        Ok(out)
    }

    /// What happened since the last call.
    pub fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }

    fn handle(&mut self, sql: &dyn Sql, now: Timestamp, input: &Input) -> Result<(), StorageError> {
        match input {
            Input::Open { request, connect } => {
                match self.open_plain(sql, now, *request, connect)? {
                    Ok(()) => Ok(()),
                    Err(refusal) => {
                        self.reply(*request, Err(refusal));
                        Ok(())
                    }
                }
            }
            Input::Text { connection, text } => self.text(sql, now, *connection, text),
            Input::Binary { connection, bytes } => self.binary(sql, now, *connection, *bytes),
            Input::Closed { connection } => self.leave(sql, now, *connection, true),
            Input::Request { request, body } => self.request(sql, now, *request, body),
            Input::Delivered {
                delivery,
                delivered,
            } => {
                let Delivery { room, entries, .. } = delivery;
                self.room
                    .outbox
                    .answered(sql, now, room, entries, *delivered)?;
                self.settle(entries);
                Ok(())
            }
            Input::Timer => {
                self.timer_set = None;
                self.due(sql, now)
            }
            Input::Alarm => {
                self.alarm_set = None;
                self.due(sql, now)
            }
        }
    }

    fn reply(&mut self, request: RequestId, answer: Result<String, Refusal>) {
        self.out.push(Output::Reply { request, answer });
    }

    // ── connections ──────────────────────────────────────────────────────────────────────────────

    fn open_plain(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        request: RequestId,
        connect: &Connect,
    ) -> Decided<()> {
        let claims = &connect.caller.claims;
        if !self.may(sql, &claims.user, connect.caller.access)? {
            return Ok(Err(namespaces::not_yours()));
        }
        if !self.hub.has_room_for(&claims.user) {
            let refusal = Refusal::new(Code::RateLimited, "too many connections to this room");
            return Ok(Err(refusal));
        }
        let since = match connect
            .since
            .as_deref()
            .map(StreamPosition::parse)
            .transpose()
        {
            Ok(since) => since,
            Err(error) => return Ok(Err(Refusal::bad_request(format!("`since`: {error}")))),
        };
        let missed = match since {
            Some(position) => self.room.since(sql, &position)?,
            None => None,
        };
        let id = self.hub.next_id();
        let attachment = Attachment {
            connection: id,
            claims: without_grants(claims),
            access: connect.caller.access,
            batch: connect.batch,
            opened_at: now,
        };
        self.hub.insert(id, Connection::new(attachment.clone()));
        self.out.push(Output::Accept {
            request,
            attachment,
        });

        let connected = plain::Connected {
            room: self.room.name.as_str(),
            user_id: &claims.user,
            epoch: self.room.epoch.as_str(),
            offset: self.room.head(),
            recovered: missed.is_some(),
        };
        self.hub.send(id, plain::event("connected", &connected));
        for publication in missed.iter().flatten() {
            self.hub.send(id, publication.to_json());
        }
        self.room
            .roster
            .enter(sql, now, &claims.user, claims.name.as_deref(), LOCAL, None)?;
        let state = PresenceState {
            room: self.room.name.as_str(),
            users: self.room.roster.people(),
        };
        self.hub.send(id, plain::event("presence_state", &state));
        if let Some(connection) = self.hub.get_mut(id) {
            connection.heard_presence_to = Some(self.room.roster.mark());
        }
        self.fresh.push(id);
        Ok(Ok(()))
    }

    fn leave(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: ConnectionId,
        grace: bool,
    ) -> Result<(), StorageError> {
        // A socket that we closed ourselves has left already.
        let Some(connection) = self.hub.remove(id) else {
            return Ok(());
        };
        let user = &connection.attachment.claims.user;
        // Somebody types on one connection; another tab of theirs does not go on for it.
        if self.room.typing.gone(user, id) {
            self.tell_typing(user, false, None);
        }
        if self.hub.has_user(user) {
            return Ok(());
        }
        self.room.roster.exit(sql, now, user, LOCAL, grace)
    }

    fn close(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        connection: ConnectionId,
        reason: DisconnectReason,
    ) -> Result<(), StorageError> {
        // Its last frames go out before it is closed: they leave the hub with it otherwise.
        if let Some(frames) = self.hub.take_pending(connection) {
            self.out.push(Output::Send(frames));
        }
        self.leave(sql, now, connection, !reason.is_final())?;
        self.out.push(Output::Close { connection, reason });
        Ok(())
    }

    // ── frames ───────────────────────────────────────────────────────────────────────────────────

    fn text(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: ConnectionId,
        text: &str,
    ) -> Result<(), StorageError> {
        let Some(connection) = self.hub.get_mut(id) else {
            return Ok(());
        };
        if text.len() > self.environment.config.max_payload_bytes {
            return self.close(sql, now, id, DisconnectReason::TooBig);
        }
        // Answered by the runtime where the object only holds plain sockets; here for the rest.
        if text == "ping" {
            self.hub.send(id, "pong");
            return Ok(());
        }
        let within_rate = connection.rate.take(now, self.environment.config.rate);
        let Attachment { claims, access, .. } = connection.attachment.clone();
        let frame = plain::decode(text);
        let sender = Sender {
            claims: &claims,
            access,
            connection: Some(id),
        };
        let decided = match frame.event {
            _ if !within_rate => Err(Refusal::new(
                Code::RateLimited,
                "too many events; slow down",
            )),
            Err(refusal) => Err(refusal),
            Ok(event) => self.client_event(
                sql,
                now,
                &sender,
                &event.event,
                &event.args,
                frame.id.as_deref(),
            )?,
        };
        match (decided, frame.id) {
            (Ok(accepted), Some(client_id)) => {
                self.hub.send(id, plain::ack(&client_id, &accepted));
            }
            (Ok(_), None) => {}
            (Err(refusal), client_id) => {
                self.stats.refusals = self.stats.refusals.saturating_add(1);
                self.hub
                    .send(id, plain::error(client_id.as_deref(), &refusal));
            }
        }
        Ok(())
    }

    fn binary(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        id: ConnectionId,
        bytes: usize,
    ) -> Result<(), StorageError> {
        if bytes > self.environment.config.max_payload_bytes {
            return self.close(sql, now, id, DisconnectReason::TooBig);
        }
        self.stats.refusals = self.stats.refusals.saturating_add(1);
        let refusal = Refusal::bad_request("a frame is one JSON object, as text");
        self.hub.send(id, plain::error(None, &refusal));
        Ok(())
    }

    // ── events ───────────────────────────────────────────────────────────────────────────────────

    /// A client's event, from a socket or over HTTP.
    fn client_event(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sender: &Sender<'_>,
        event: &str,
        args: &Args,
        id: Option<&str>,
    ) -> Decided<Accepted> {
        let ephemeral = Accepted {
            id: None,
            offset: None,
            duplicate: false,
        };
        if event == "refresh" {
            let refreshed = self.refresh(sql, now, sender, args)?;
            return Ok(refreshed.map(|()| ephemeral));
        }
        if event == "mark_read" {
            let read = self.mark_read(sql, sender, args)?;
            return Ok(read.map(|()| ephemeral));
        }
        if sender.access == Access::Read {
            return Ok(Err(Refusal::forbidden(
                "the token lets you read here, not send",
            )));
        }
        if event == "typing" {
            return Ok(self.typing(now, sender, args).map(|()| ephemeral));
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
        let dedupe = publish
            .client_id
            .or_else(|| id.map(str::to_owned))
            .map(|id| Dedupe::Client {
                user: user.clone(),
                id,
            });
        let outcome = self.room.publish(
            sql,
            now,
            publish.event,
            publish.args,
            Some(user.clone()),
            dedupe.as_ref(),
        )?;
        let except = if publish.to_sender {
            None
        } else {
            sender.connection
        };
        self.tell(&outcome, except);
        Ok(Ok(room::accepted(&self.room, event, &outcome)))
    }

    /// Tells everyone of what was published.
    fn tell(&mut self, outcome: &Outcome, except: Option<ConnectionId>) {
        match outcome {
            Outcome::New(publication) => {
                self.stats.publications = self.stats.publications.saturating_add(1);
                self.hub
                    .send_all(publication.to_json(), |id, _| Some(id) != except);
            }
            Outcome::Duplicate(_) => {
                self.stats.duplicates = self.stats.duplicates.saturating_add(1);
            }
        }
    }

    fn typing(&mut self, now: Timestamp, sender: &Sender<'_>, args: &Args) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Typing {
            is_typing: bool,
        }
        let Typing { is_typing } = args.read()?;
        let user = &sender.claims.user;
        self.room
            .typing
            .set(now, user, sender.connection, is_typing);
        self.tell_typing(user, is_typing, sender.connection);
        Ok(())
    }

    fn tell_typing(&mut self, user: &UserId, is_typing: bool, except: Option<ConnectionId>) {
        let args = self.room.kind.user_typing(&self.room.name, user, is_typing);
        self.tell_ephemeral("user_typing", args, except);
    }

    fn mark_read(&mut self, sql: &dyn Sql, sender: &Sender<'_>, args: &Args) -> Decided<()> {
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
        if let Some(mark) = self.room.mark_read(sql, user, offset)? {
            let args = self.room.kind.messages_read(&self.room.name, user, mark);
            self.tell_ephemeral("messages_read", args, None);
        }
        Ok(Ok(()))
    }

    fn tell_ephemeral(&mut self, event: &str, args: Args, except: Option<ConnectionId>) {
        let publication = Publication {
            event: event.to_owned(),
            args,
            sender: None,
            at: Timestamp::default(),
            offset: None,
        };
        self.hub
            .send_all(publication.to_json(), |id, _| Some(id) != except);
    }

    /// A new token on the live connection: the same user's, and one that still lets them in.
    fn refresh(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        sender: &Sender<'_>,
        args: &Args,
    ) -> Decided<()> {
        #[derive(Deserialize)]
        struct Refresh {
            token: String,
        }
        let Some(id) = sender.connection else {
            let refusal = Refusal::new(Code::UnknownEvent, "`refresh` is for live connections");
            return Ok(Err(refusal));
        };
        let verified = args
            .read::<Refresh>()
            .and_then(|Refresh { token }| Ok(self.environment.keys.verify(&token, now)?));
        let claims = match verified {
            Ok(claims) if claims.user == sender.claims.user => claims,
            Ok(_) => return Ok(Err(Refusal::forbidden("the new token names another user"))),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let open_kinds = &self.environment.config.open_kinds;
        let access = match namespaces::admit(&claims, &self.room.name, open_kinds) {
            Admission::Granted(access) => access,
            // Another room decides that, and it did when the connection was opened.
            Admission::IfMemberOf(_) if sender.access == Access::ByOtherRoom => sender.access,
            Admission::IfMemberOf(_) | Admission::Refused => {
                return Ok(Err(namespaces::not_yours()));
            }
        };
        if !self.may(sql, &claims.user, access)? {
            return Ok(Err(namespaces::not_yours()));
        }
        if let Some(connection) = self.hub.get_mut(id) {
            connection.attachment.claims = without_grants(&claims);
            connection.attachment.access = access;
            connection.attachment.opened_at = now;
            self.out.push(Output::Attach(connection.attachment.clone()));
        }
        Ok(Ok(()))
    }

    /// Whether someone with this access is really in: membership is the room's to know.
    fn may(&self, sql: &dyn Sql, user: &UserId, access: Access) -> Result<bool, StorageError> {
        match access {
            Access::Full | Access::Read | Access::ByOtherRoom => Ok(true),
            Access::IfMember => self.room.is_member(sql, user),
        }
    }

    // ── presence, deadlines ──────────────────────────────────────────────────────────────────────

    /// One `presence_diff` a turn: those who were here hear all of it, those who came in this turn
    /// what came after them.
    fn tell_presence(&mut self) {
        let diff = self.room.roster.take_diff();
        let frame = |diff: &room::Diff| {
            plain::event(
                "presence_diff",
                &PresenceDiff {
                    room: self.room.name.as_str(),
                    diff,
                },
            )
        };
        if !diff.is_empty() {
            self.hub
                .send_all(frame(&diff), |_, c| c.heard_presence_to.is_none());
        }
        for id in std::mem::take(&mut self.fresh) {
            let heard = self
                .hub
                .get_mut(id)
                .and_then(|c| c.heard_presence_to.take());
            let Some(rest) = heard.map(|mark| diff.after(mark)) else {
                continue;
            };
            if !rest.is_empty() {
                self.hub.send(id, frame(&rest));
            }
        }
    }

    /// All that is due by now.
    fn due(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        let expired: Vec<ConnectionId> = self
            .hub
            .iter()
            .filter(|(_, connection)| connection.closes_at() <= now)
            .map(|(id, _)| id)
            .collect();
        for id in expired {
            self.close(sql, now, id, DisconnectReason::TokenExpired)?;
        }
        for typist in self.room.typing.expire(now) {
            self.tell_typing(&typist.user, false, typist.connection);
        }
        self.room.roster.expire(sql, now)?;
        self.room.prune(sql, now)?;
        let (over, settling) = std::mem::take(&mut self.settling)
            .into_iter()
            .partition(|settling: &Settling| settling.until <= now);
        self.settling = settling;
        for settling in over {
            self.reply(settling.request, Ok(settling.answer));
        }
        Ok(())
    }

    /// Answers `request` once these outbox entries have reached their rooms, or after
    /// [`SETTLE_TIMEOUT_MS`]: they are committed either way.
    fn reply_when_settled(
        &mut self,
        now: Timestamp,
        request: RequestId,
        answer: String,
        waits_for: BTreeSet<EntryId>,
    ) {
        if waits_for.is_empty() {
            return self.reply(request, Ok(answer));
        }
        let until = now.plus(SETTLE_TIMEOUT_MS);
        self.settling.push(Settling {
            request,
            answer,
            waits_for,
            until,
        });
    }

    /// These entries have been tried.
    fn settle(&mut self, entries: &[EntryId]) {
        for settling in &mut self.settling {
            settling.waits_for.retain(|entry| !entries.contains(entry));
        }
        let (settled, settling) = std::mem::take(&mut self.settling)
            .into_iter()
            .partition(|settling: &Settling| settling.waits_for.is_empty());
        self.settling = settling;
        for Settling {
            request, answer, ..
        } in settled
        {
            self.reply(request, Ok(answer));
        }
    }

    /// The next deadlines, where they are earlier than what is set. Short waits are timers; what
    /// must outlive the object, or is further away, is the one alarm.
    fn wake(&mut self, now: Timestamp) -> Option<Output> {
        let volatile = [
            self.room.typing.next_deadline(),
            self.room.roster.next_deadline(),
            self.settling.iter().map(|settling| settling.until).min(),
        ];
        let durable = [
            self.hub.next_expiry(),
            self.room.outbox.next_deadline(now),
            self.room.prune_at(),
        ];
        let near = |at: &Timestamp| *at <= now.plus(MAX_TIMER_MS);
        let timer = volatile.into_iter().flatten().filter(near).min();
        let far = volatile.into_iter().flatten().filter(|at| !near(at));
        let alarm = durable.into_iter().flatten().chain(far).min();

        let earlier = |wanted: Option<Timestamp>, set: Option<Timestamp>| match (wanted, set) {
            (Some(wanted), Some(set)) if wanted >= set => None,
            (wanted, _) => wanted,
        };
        let (timer, alarm) = (
            earlier(timer, self.timer_set),
            earlier(alarm, self.alarm_set),
        );
        self.timer_set = timer.or(self.timer_set);
        self.alarm_set = alarm.or(self.alarm_set);
        (timer.is_some() || alarm.is_some()).then_some(Output::Wake { timer, alarm })
    }
}

#[derive(serde::Serialize)]
struct PresenceState<'a> {
    room: &'a str,
    users: Vec<room::Person>,
}

#[derive(serde::Serialize)]
struct PresenceDiff<'a> {
    room: &'a str,
    #[serde(flatten)]
    diff: &'a room::Diff,
}

/// Grants are for the door; what they gave is kept as [`Access`], so that an attachment stays small.
fn without_grants(claims: &Claims) -> Claims {
    Claims {
        rooms: Vec::new(),
        rooms_read: Vec::new(),
        ..claims.clone()
    }
}

#[cfg(test)]
mod tests;
