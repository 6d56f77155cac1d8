//! Both ends of links: what this object's sockets want of rooms elsewhere, what other objects'
//! sockets want of this room, and what is told in return. A room that is this very object is asked
//! directly, by the same functions.

use std::{collections::HashSet, rc::Rc};

use super::{
    CallId, Object, Origin, Output, RequestId, Sender, requests::to_json, sockets::event_op,
};
use crate::{
    error::{Code, Refusal},
    event::{self, Args, Publication},
    hub::{DisconnectReason, Floor, Pending, Purpose, Record, SocketKey, Stage, Tokens, Waiter},
    limits::{MAX_LINK_NOTICES, MAX_RECENT_PUBLICATIONS, MAX_ROOMS_PER_SOCKET},
    names::{Epoch, Offset, RoomName, StreamPosition, Timestamp, UserId},
    namespaces::{
        self, Action, Admission, Offer, heard_in, kind_of, namespace::presence_state, namespace_of,
        tells_diffs, tells_people,
    },
    room::LOCAL,
    storage::{Sql, StorageError},
    wire::{
        Accepted, Access, Audience, Joined, LinkAnswers, Membership, Notice, Op, OpAnswer, Pushed,
        Recover, Recovered, Request, Told,
    },
};

/// A question that is under way.
pub(super) enum Call {
    /// Ops for this room.
    Link(RoomName),
    /// Notices to this object, with this push.
    Push(RoomName, u64),
    /// May this socket join that room?
    IsMember {
        key: SocketKey,
        room: RoomName,
        purpose: Purpose,
        since: Option<StreamPosition>,
    },
    /// May this socket's client send to that room?
    MaySend { route: Route, offer: Offer },
    /// What is left of a socket's last session?
    Recover {
        key: SocketKey,
        recover: Recover,
        hops: u32,
    },
    /// What does this object hold, for this gathering?
    Watch { object: RoomName, number: u64 },
    /// What has happened here, to that object.
    News(RoomName),
    /// An admin's order.
    Administer,
}

impl Call {
    /// The socket whose client waits for the answer.
    const fn socket(&self) -> Option<SocketKey> {
        match self {
            Self::IsMember { key, .. } | Self::Recover { key, .. } => Some(*key),
            Self::MaySend { route, .. } => Some(route.key),
            Self::Link(_)
            | Self::Push(..)
            | Self::Watch { .. }
            | Self::News(_)
            | Self::Administer => None,
        }
    }
}

/// What a lobby's request is answered at the end of the turn.
pub(super) struct ToAnswer {
    pub request: RequestId,
    pub from: RoomName,
    pub at: Option<StreamPosition>,
    pub answers: Vec<OpAnswer>,
}

/// Which socket sent an event, and how it wants to hear of it.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub key: SocketKey,
    pub event: String,
    pub ack: Option<u64>,
}

fn failed() -> Refusal {
    Refusal::new(Code::Internal, "the room could not be reached; try again")
}

impl Object {
    /// Asks another object; the answer comes as an input.
    pub(super) fn ask(&mut self, object: RoomName, request: &Request, call: Call) {
        self.ask_with(object, to_json(request).into(), call);
    }

    fn ask_with(&mut self, object: RoomName, body: Rc<str>, call: Call) {
        let id = self.next_call(call);
        self.out.push(Output::Ask {
            call: id,
            object,
            body,
        });
    }

    fn next_call(&mut self, call: Call) -> CallId {
        let id = CallId(self.next_number());
        let wait = call.socket().and_then(|key| self.hub.wait(key));
        self.calls.insert(id, (call, wait));
        id
    }

    /// A number that no question has had yet.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number = self.last_number.saturating_add(1);
        self.last_number
    }

    /// The turn's requests: one for each link, in each direction.
    pub(super) fn ask_links(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let number = self.next_number();
        for (room, at, ops) in self.hub.links.requests(now) {
            let link = self.hub.links.find(&room);
            let link = link.filter(|link| link.is_in_doubt);
            let holds = link.map(|_| self.hub.sockets.users_in(&room));
            let request = Request::Link {
                from: self.room.name.clone(),
                number: Some(number),
                at,
                holds,
                ops,
            };
            self.ask(room.clone(), &request, Call::Link(room));
        }
        for ToAnswer {
            request,
            from,
            at,
            answers,
        } in std::mem::take(&mut self.link_answers)
        {
            let at = at.filter(|at| at.epoch == self.room.epoch);
            let at = at.map(|at| at.offset);
            // A reply may wait until the links have what they are told: a push says when.
            let settled = self.settling.is_empty();
            let head = self.room.head();
            let links = &mut self.room.links;
            let notices = at.and_then(|at| links.answered(now, &from, at, head, settled));
            let told = notices.map(|notices| Told {
                epoch: self.room.epoch.clone(),
                notices,
            });
            let answers = LinkAnswers { answers, told };
            self.reply(request, Ok(to_json(&answers)));
        }
        for push in self.room.links.pushes(now, self.room.head(), number) {
            let request = Push {
                room: &self.room.name,
                epoch: &self.room.epoch,
                number,
                notices: &push.notices,
            };
            // Encoded once for all of them.
            let body = serde_json::to_string(&PushRequest { push: request });
            let body: Rc<str> = body.unwrap_or_default().into();
            for object in push.objects {
                self.ask_with(object.clone(), Rc::clone(&body), Call::Push(object, number));
            }
        }
        out.append(&mut self.out);
    }

    /// Another object has answered, or has not.
    pub(super) fn answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        call: CallId,
        answer: Option<&str>,
    ) -> Result<(), StorageError> {
        match self.calls.remove(&call).map(|(call, _)| call) {
            None => Ok(()),
            Some(Call::Push(object, push)) => {
                let pushed: Option<Pushed> = read(answer);
                let is_over = pushed.is_some_and(|pushed| !pushed.linked);
                if is_over && self.room.links.may_end(&object, push) {
                    self.unlink(sql, now, &object)?;
                }
                let head = self.room.head();
                let links = &mut self.room.links;
                links.pushed(now, &object, push, pushed.is_some(), head);
                self.settle(&[]);
                Ok(())
            }
            Some(Call::Link(room)) => self.link_answered(sql, now, &room, read(answer)),
            Some(Call::IsMember {
                key,
                room,
                purpose,
                since,
            }) => match read::<Membership>(answer) {
                Some(Membership { member: true }) => {
                    self.join_with(sql, now, key, &room, Access::ByOtherRoom, purpose, since)
                }
                Some(_) => self.not_joined(sql, now, key, &purpose, &namespaces::not_yours()),
                None => self.not_joined(sql, now, key, &purpose, &failed()),
            },
            Some(Call::MaySend { route, offer }) => match read::<Membership>(answer) {
                Some(Membership { member: true }) => {
                    self.offer_with(sql, now, route, offer, Some(Access::ByOtherRoom))
                }
                Some(_) => self.offer_with(sql, now, route, offer, None),
                None => {
                    self.event_answered(&route, Err(&failed()));
                    Ok(())
                }
            },
            Some(Call::Recover { key, recover, hops }) => {
                let answer: Option<Recovered> = read(answer);
                self.recover_answered(sql, now, key, recover, hops, answer, false)
            }
            Some(Call::Watch { object, number }) => {
                self.lobby_gathered(number, &object, read(answer));
                Ok(())
            }
            Some(Call::News(by)) => self.hub.watch.answered(sql, now, &by, read(answer)),
            Some(Call::Administer) => Ok(()),
        }
    }

    // ── This object's sockets, in rooms elsewhere or here ────────────────────────────────────────

    /// A socket wants into a room: what does the policy say?
    pub(super) fn join(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        room: &RoomName,
        purpose: Purpose,
        since: Option<StreamPosition>,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(());
        };
        let record = &socket.record;
        let own = record
            .rooms
            .keys()
            .filter(|room| !namespaces::is_internal(room));
        let others = own.count().saturating_add(socket.joining);
        let is_full = others > MAX_ROOMS_PER_SOCKET && !record.rooms.contains_key(room);
        let asked = matches!(purpose, Purpose::Asked { .. });
        let refusal = if asked && is_full {
            let message = format!("a socket is in {MAX_ROOMS_PER_SOCKET} rooms at most");
            Some(Refusal::new(Code::TooManyRooms, message))
        } else if asked && !namespaces::serves(room, &record.namespace) {
            let namespace = kind_of(room).namespace();
            let message = format!("this room is served in the namespace {namespace}");
            Some(Refusal::new(Code::WrongNamespace, message))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.not_joined(sql, now, key, &purpose, &refusal);
        }
        match self.admission(record, room) {
            Admission::Granted(access) => {
                self.join_with(sql, now, key, room, access, purpose, since)
            }
            Admission::Refused => {
                self.not_joined(sql, now, key, &purpose, &namespaces::not_yours())
            }
            Admission::IfMemberOf(other) => {
                let user = record.claims.user.clone();
                let follower = Some(room.clone());
                let call = Call::IsMember {
                    key,
                    room: room.clone(),
                    purpose,
                    since,
                };
                self.ask(other, &Request::IsMember { user, follower }, call);
                Ok(())
            }
        }
    }

    /// What the policy says of a socket that wants to be, or to stay, in a room. Everyone in a namespace
    /// is in the room that stands for that.
    pub(super) fn admission(&self, record: &Record, room: &RoomName) -> Admission {
        if RoomName::everyone(&record.namespace).as_ref() == Ok(room) {
            return Admission::Granted(Access::Read);
        }
        let open_kinds = &self.environment.config.open_kinds;
        match namespace_of(&record.namespace) {
            Some(namespace) => namespace.admit(&record.claims, room, open_kinds),
            None => Admission::Refused,
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn join_with(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        room: &RoomName,
        access: Access,
        purpose: Purpose,
        since: Option<StreamPosition>,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(key) else {
            return Ok(());
        };
        let op = Op::Join {
            user: socket.record.claims.user.clone(),
            name: socket.record.claims.name.clone(),
            access,
            since,
            people: match purpose {
                Purpose::Asked { .. } => true,
                // What diffs there were while it was cut it has not heard.
                Purpose::Recover(_) => tells_diffs(room, &socket.record.claims.user),
                Purpose::Connect => false,
            },
            first: *room != self.room.name && self.hub.links.find(room).is_none(),
        };
        // Where it is not told who is here it need not be told of each: that costs a request a socket.
        let link = self.hub.links.find(room);
        if !kind_of(room).keeps_presence()
            && let Some(position) = link
                .filter(|l| l.is_held())
                .and_then(|l| l.position.clone())
            && let Op::Join { since, .. } = &op
            && since.as_ref().is_none_or(|since| *since == position)
        {
            let joined = Joined {
                missed: since.as_ref().map(|_| Vec::new()),
                ..Joined::at(position)
            };
            return self.joined(sql, now, room, op, key, purpose, joined);
        }
        let waiter = Waiter::Join {
            socket: key,
            purpose,
        };
        self.want(sql, now, room, op, waiter)
    }

    /// Asks a room for something: over its link, or at once if it is this very object.
    pub(super) fn want(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        op: Op,
        waiter: Waiter,
    ) -> Result<(), StorageError> {
        if *room == self.room.name {
            let answer = self.room_op(sql, now, None, &op)?;
            return self.op_answered(sql, now, room, op, waiter, answer);
        }
        let moves = matches!(op, Op::Join { .. } | Op::Leave { .. });
        let tokens = Tokens {
            wait: waiter.socket().and_then(|key| self.hub.wait(key)),
            moves: moves.then(|| self.hub.moves.token(room)),
        };
        match self.hub.links.ask(now, room, op, waiter, tokens) {
            Ok(()) => Ok(()),
            Err(refused) => {
                let (op, waiter) = *refused;
                self.op_answered(sql, now, room, op, waiter, OpAnswer::Refused(failed()))
            }
        }
    }

    fn not_joined(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        purpose: &Purpose,
        refusal: &Refusal,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return Ok(());
        };
        match purpose {
            Purpose::Asked { event, ack } => {
                self.refuse(key, event, *ack, refusal);
                self.join_is_over(sql, now, key)
            }
            // Its own rooms cannot be reached: without them it would miss what is for it. It comes
            // back by itself.
            Purpose::Connect if refusal.code == Code::Internal => {
                let sid = socket.record.session.clone();
                self.close_session(sql, now, &sid, DisconnectReason::ServerRestarting)
            }
            Purpose::Connect => self.one_join_less(sql, now, key),
            Purpose::Recover(_) => {
                if let Stage::Connecting {
                    recovery: Some(recovery),
                    ..
                } = &mut socket.stage
                {
                    recovery.failed = true;
                }
                self.one_join_less(sql, now, key)
            }
        }
    }

    /// One of this object's users has a socket less in a room.
    pub(super) fn leave_room(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        user: &UserId,
        grace: bool,
    ) -> Result<(), StorageError> {
        if *room == self.room.name {
            return self.exit_here(sql, now, user, grace);
        }
        if self.hub.sockets.has_user(room, user) {
            return Ok(());
        }
        let last = !self.hub.sockets.any_in(room);
        if !last && !kind_of(room).keeps_presence() {
            return Ok(());
        }
        let link = self.hub.links.get(room);
        // Another socket of theirs is on its way in.
        if link.has_joining(user) {
            return Ok(());
        }
        let op = Op::Leave {
            user: user.clone(),
            grace,
            last: last && !link.is_joining(),
        };
        self.ask_to_leave(now, room, op);
        Ok(())
    }

    fn ask_to_leave(&mut self, now: Timestamp, room: &RoomName, op: Op) {
        let tokens = Tokens {
            wait: None,
            moves: Some(self.hub.moves.token(room)),
        };
        // A leave is never given back.
        drop(self.hub.links.ask(now, room, op, Waiter::Leave, tokens));
    }

    /// A socket's event for a room that it is in, or its question to everyone there.
    pub(super) fn want_of_joined(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        route: Route,
        room: &RoomName,
        op: impl FnOnce(&Record, Access) -> Op,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(route.key) else {
            return Ok(());
        };
        let Some(membership) = socket.record.rooms.get(room) else {
            let refusal = Refusal::new(Code::NotInRoom, format!("you have not joined {room}"));
            self.event_answered(&route, Err(&refusal));
            return Ok(());
        };
        let access = membership.access;
        self.want_with(sql, now, route, room, access, op)
    }

    /// The same with this access, whether it is in the room or not.
    fn want_with(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        route: Route,
        room: &RoomName,
        access: Access,
        op: impl FnOnce(&Record, Access) -> Op,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(route.key) else {
            return Ok(());
        };
        let op = op(&socket.record, access);
        let waiter = Waiter::Event {
            socket: route.key,
            event: route.event,
            ack: route.ack,
        };
        self.want(sql, now, room, op, waiter)
    }

    /// A socket's event for a room that its client may perhaps send to.
    pub(super) fn offer(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        route: Route,
        offer: Offer,
    ) -> Result<(), StorageError> {
        let Some(socket) = self.hub.sockets.get(route.key) else {
            return Ok(());
        };
        let record = &socket.record;
        let admission = match record.rooms.get(&offer.room) {
            Some(membership) => Admission::Granted(membership.access),
            None => self.admission(record, &offer.room),
        };
        match admission {
            Admission::Granted(access) => {
                let access = Some(access).filter(|access| *access != Access::Read);
                self.offer_with(sql, now, route, offer, access)
            }
            Admission::Refused => self.offer_with(sql, now, route, offer, None),
            Admission::IfMemberOf(other) => {
                let (user, follower) = (record.claims.user.clone(), None);
                let call = Call::MaySend { route, offer };
                self.ask(other, &Request::IsMember { user, follower }, call);
                Ok(())
            }
        }
    }

    fn offer_with(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        route: Route,
        offer: Offer,
        access: Option<Access>,
    ) -> Result<(), StorageError> {
        let op = event_op(offer.event, offer.args, None);
        match access {
            Some(access) => self.want_with(sql, now, route, &offer.room, access, op),
            None => self.want_of_joined(sql, now, route, &offer.otherwise, op),
        }
    }

    fn link_answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        answers: Option<LinkAnswers>,
    ) -> Result<(), StorageError> {
        let Some(LinkAnswers { answers, told }) = answers else {
            for Pending { op, waiter, .. } in self.hub.links.failed(now, room) {
                self.op_answered(sql, now, room, op, waiter, OpAnswer::Refused(failed()))?;
            }
            // What the room may have told with its answer is lost, too.
            if self.hub.sockets.any_in(room) {
                self.hub.links.pull(now, room);
            }
            return Ok(());
        };
        self.hub.links.get(room).is_in_doubt = false;
        for answer in answers {
            let Some(Pending { op, waiter, .. }) = self.hub.links.answered(room) else {
                break;
            };
            self.op_answered(sql, now, room, op, waiter, answer)?;
        }
        if let Some(Told { epoch, notices }) = told {
            for notice in notices {
                self.noticed(sql, now, room, &epoch, Rc::unwrap_or_clone(notice))?;
            }
        }
        if self.hub.links.find(room).is_none() {
            return Ok(());
        }
        let link = self.hub.links.get(room);
        if !link.is_joining() {
            link.recent.clear();
            link.diffs.clear();
        }
        if link.is_idle() && !self.hub.sockets.any_in(room) {
            self.hub.links.remove(room);
            return Ok(());
        }
        self.go_on_with_early(sql, now, room)
    }

    /// A room has answered one op.
    fn op_answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        op: Op,
        waiter: Waiter,
        answer: OpAnswer,
    ) -> Result<(), StorageError> {
        match (waiter, answer) {
            (Waiter::Join { socket, purpose }, OpAnswer::Joined(joined)) => {
                self.joined(sql, now, room, op, socket, purpose, joined)
            }
            (Waiter::Join { socket, purpose }, answer) => {
                let refusal = refusal_of(answer);
                self.not_joined(sql, now, socket, &purpose, &refusal)?;
                // It may have been let in unheard, and a socket that left meanwhile left the user to it.
                let link = self.hub.links.find(room);
                let is_held = link.is_some_and(|link| link.position.is_some());
                match op {
                    Op::Join { user, .. } if is_held || refusal.code == Code::Internal => {
                        self.leave_room(sql, now, room, &user, true)
                    }
                    _ => Ok(()),
                }
            }
            (Waiter::Event { socket, event, ack }, answer) => {
                let route = Route {
                    key: socket,
                    event,
                    ack,
                };
                match answer {
                    OpAnswer::Accepted(accepted) => self.event_answered(&route, Ok(&accepted)),
                    answer => self.event_answered(&route, Err(&refusal_of(answer))),
                }
                Ok(())
            }
            (Waiter::Leave, _) => {
                if matches!(op, Op::Leave { last: true, .. }) {
                    self.hub.links.get(room).left();
                }
                Ok(())
            }
            (Waiter::Nobody, _) => Ok(()),
            (Waiter::Pull, OpAnswer::Joined(joined)) => self.pulled(sql, now, room, joined),
            (Waiter::Pull, _) => {
                // The next notice notices the gap again.
                let link = self.hub.links.get(room);
                link.is_pulling = false;
                link.early.clear();
                Ok(())
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn joined(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        op: Op,
        key: SocketKey,
        purpose: Purpose,
        joined: Joined,
    ) -> Result<(), StorageError> {
        let Op::Join {
            access,
            user,
            since,
            ..
        } = op
        else {
            return Ok(());
        };
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            // It went while it was joining.
            return self.leave_room(sql, now, room, &user, true);
        };
        // It is here already: it goes on from where it is, for more may be on its way to it.
        if let (Purpose::Asked { ack, .. }, Some(membership)) =
            (&purpose, socket.record.rooms.get_mut(room))
        {
            membership.access = access;
            let joined = Joined {
                was_in: true,
                ..joined
            };
            self.joined_asked(sql, now, key, room, *ack, &joined)?;
            self.tell_diffs(now, key, room, &joined);
            return Ok(());
        }
        // What went by after the room had answered and before the answer came: whoever joins joins
        // behind it; who was cut before it gets it with the rest.
        let answered = joined.position.clone();
        let mut joined = joined;
        let mut recent = Vec::new();
        if *room != self.room.name {
            let link = self.hub.links.get(room);
            match &link.position {
                Some(reached) if reached.epoch == answered.epoch => {
                    if reached.offset > answered.offset {
                        joined.position = reached.clone();
                        let behind = |p: &&Rc<Publication>| p.offset > Some(answered.offset);
                        recent = link.recent.iter().filter(behind).cloned().collect();
                    }
                }
                _ => link.position = Some(answered.clone()),
            }
        }
        let position = joined.position.clone();
        let entry = match &purpose {
            Purpose::Recover(entry) => Some(*entry),
            Purpose::Asked { .. } | Purpose::Connect => None,
        };
        let number = match (self.recovers_at(key), since) {
            (Some((from, at)), Some(since)) => {
                let floor = Floor {
                    number: from,
                    position: since,
                };
                self.hub.sockets.join(key, room, access, entry, floor);
                at
            }
            _ => self.journal.last(),
        };
        let went_by = position.offset.0.saturating_sub(answered.offset.0);
        let floor = Floor { number, position };
        self.hub.sockets.join(key, room, access, entry, floor);
        if let Some(socket) = self.hub.sockets.get_mut(key)
            && matches!(socket.stage, Stage::Connecting { .. })
        {
            socket.unstored.push(self.hub.moves.token(room));
        }
        match &purpose {
            Purpose::Asked { ack, .. } => {
                self.note_moved(now, key, room, true);
                self.joined_asked(sql, now, key, room, *ack, &joined)?;
                self.tell_diffs(now, key, room, &joined);
                Ok(())
            }
            Purpose::Connect => self.one_join_less(sql, now, key),
            Purpose::Recover(_) => {
                // More may have gone by than is remembered.
                let whole = recent.len().try_into() == Ok(went_by);
                let missed = joined.missed.take().filter(|_| whole);
                let recent = recent.iter().map(|publication| (**publication).clone());
                self.rejoined(key, room, missed, recent);
                if let Some(Action::Emit { event, args }) = presence_state(room, &joined) {
                    self.told_on_recovery(key, now, event, args);
                    self.tell_diffs(now, key, room, &joined);
                }
                self.one_join_less(sql, now, key)
            }
        }
    }

    /// Who came and who went while a socket was joining, behind the list that it was given: that may have
    /// been made before. One that was made after tells the same in the end, for the last of them counts.
    fn tell_diffs(&mut self, now: Timestamp, key: SocketKey, room: &RoomName, joined: &Joined) {
        if joined.people.is_none() || *room == self.room.name {
            return;
        }
        let Some(record) = self.hub.sockets.get(key).map(|socket| &socket.record) else {
            return;
        };
        let event = "presence_diff";
        let is_for_it =
            |audience: &Audience| record.gets(room, heard_in(room, event, audience), audience);
        let diffs = &self.hub.links.get(room).diffs;
        let diffs = diffs.iter().filter(|(_, audience)| is_for_it(audience));
        let diffs: Vec<Args> = diffs.map(|(args, _)| args.clone()).collect();
        for args in diffs {
            if self.recovers_at(key).is_some() {
                self.told_on_recovery(key, now, event.to_owned(), args);
            } else {
                self.emit(key, event, args, false);
            }
        }
    }

    /// The machine before this one is lost, and what it had under way.
    pub(super) fn interrupted(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        rooms: &[RoomName],
    ) -> Result<(), StorageError> {
        for room in rooms {
            self.hub.links.get(room).is_in_doubt = true;
            if !self.hub.links.pull(now, room) {
                // Nobody here is in it: whoever was on their way does not come.
                let op = Op::Leave {
                    user: UserId::integer(0),
                    grace: true,
                    last: true,
                };
                self.ask_to_leave(now, room, op);
            }
        }
        self.room.outbox.interrupted(sql, now)
    }

    /// A gap is filled.
    fn pulled(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        joined: Joined,
    ) -> Result<(), StorageError> {
        let Joined {
            position, missed, ..
        } = joined;
        let link = self.hub.links.get(room);
        link.is_pulling = false;
        let Some(missed) = missed else {
            // Pruned, or too much: those who were here cannot be given all of it, and must know.
            link.position = Some(position);
            let members: Vec<SocketKey> = self.hub.sockets.members(room).map(|(k, _)| k).collect();
            for key in members {
                if let Some(socket) = self.hub.sockets.get(key) {
                    let sid = socket.record.session.clone();
                    self.close_session(sql, now, &sid, DisconnectReason::ServerRestarting)?;
                }
            }
            return Ok(());
        };
        for publication in missed {
            self.publication_came(now, room, &position.epoch, Rc::new(publication), 0);
        }
        Ok(())
    }

    // ── What rooms tell this object ──────────────────────────────────────────────────────────────

    /// A room's turn. False if nobody here is in it.
    pub(super) fn pushed(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        epoch: &Epoch,
        number: Option<u64>,
        notices: &[Notice],
    ) -> Result<bool, StorageError> {
        if self.hub.links.find(room).is_none() && !self.hub.sockets.any_in(room) {
            return Ok(false);
        }
        let pushes = &mut self.hub.links.get(room).pushes;
        let is_overtaken = pushes.is_overtaken(number);
        if !is_overtaken {
            pushes.arrived(number);
        }
        // What has a place, and what must arrive, is as good late.
        let heard = notices.iter().filter(|n| !(is_overtaken && n.is_diff()));
        for notice in heard {
            self.noticed(sql, now, room, epoch, notice.clone())?;
        }
        Ok(true)
    }

    fn noticed(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        epoch: &Epoch,
        notice: Notice,
    ) -> Result<(), StorageError> {
        match notice {
            Notice::Expel { user, ground } => self.expel_sockets(sql, now, room, &user, ground),
            Notice::Disconnect { user } => {
                self.kick_sockets(sql, now, room, user.as_ref()).map(drop)
            }
            notice => {
                let link = self.hub.links.get(room);
                if link.position.is_none() || link.is_pulling {
                    // Past the limit there is a gap, which is noticed when its time comes.
                    if link.early.len() < MAX_LINK_NOTICES {
                        link.early.push((epoch.clone(), notice));
                    }
                    return Ok(());
                }
                let is_diff = notice.is_diff();
                match notice {
                    Notice::Publication(publication) => {
                        self.publication_came(now, room, epoch, publication, 0);
                    }
                    Notice::Latest(publication, stands_for) => {
                        self.publication_came(now, room, epoch, publication, stands_for);
                    }
                    Notice::Head(head) => self.head_is(now, room, epoch, head),
                    Notice::Ephemeral {
                        event,
                        args,
                        audience,
                    } => {
                        if is_diff && link.is_joining() {
                            link.diffs.push_back((args.clone(), audience.clone()));
                            if link.diffs.len() > MAX_RECENT_PUBLICATIONS {
                                link.diffs.pop_front();
                            }
                        }
                        self.deliver_ephemeral(room, &event, &args, &audience);
                    }
                    Notice::Ask {
                        ask,
                        question,
                        audience,
                    } => return self.ask_sockets(sql, now, room, ask, &question, &audience),
                    Notice::Answered {
                        socket,
                        tag,
                        answers,
                    } => return self.tell_asker(sql, now, &socket, &tag, &answers),
                    Notice::Expel { .. } | Notice::Disconnect { .. } => {}
                }
                Ok(())
            }
        }
    }

    /// A publication, which may stand for so many just before it.
    fn publication_came(
        &mut self,
        now: Timestamp,
        room: &RoomName,
        epoch: &Epoch,
        publication: Rc<Publication>,
        stands_for: u64,
    ) {
        let Some(offset) = publication.offset else {
            return;
        };
        let link = self.hub.links.get(room);
        let reached = match &link.position {
            Some(position) if position.epoch == *epoch => position.offset,
            // The room was made anew: its offsets begin again.
            _ => Offset(offset.0.saturating_sub(1)),
        };
        if offset <= reached {
            return;
        }
        if offset.0 > reached.next().0.saturating_add(stands_for) {
            let notice = Notice::Latest(publication, stands_for);
            return self.gap(now, room, epoch, notice);
        }
        link.position = Some(StreamPosition {
            epoch: epoch.clone(),
            offset,
        });
        if link.is_joining() {
            link.recent.push_back(Rc::clone(&publication));
            if link.recent.len() > MAX_RECENT_PUBLICATIONS {
                link.recent.pop_front();
            }
        }
        self.deliver(room, epoch, &publication);
    }

    fn head_is(&mut self, now: Timestamp, room: &RoomName, epoch: &Epoch, head: Offset) {
        let position = self.hub.links.get(room).position.as_ref();
        if position.is_some_and(|p| p.epoch != *epoch || p.offset < head) {
            self.gap(now, room, epoch, Notice::Head(head));
        }
    }

    /// There is a gap before `notice`: it waits until what was missed has come with the answer that is
    /// under way, or else has been pulled.
    fn gap(&mut self, now: Timestamp, room: &RoomName, epoch: &Epoch, notice: Notice) {
        let link = self.hub.links.get(room);
        let waits = link.is_answered_soon() && link.early.len() < MAX_LINK_NOTICES;
        if waits || self.hub.links.pull(now, room) {
            let link = self.hub.links.get(room);
            link.early.push((epoch.clone(), notice));
        }
    }

    /// What came too early has its turn.
    fn go_on_with_early(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
    ) -> Result<(), StorageError> {
        let link = self.hub.links.get(room);
        if link.position.is_none() || link.is_pulling {
            return Ok(());
        }
        for (epoch, notice) in std::mem::take(&mut link.early) {
            self.noticed(sql, now, room, &epoch, notice)?;
        }
        Ok(())
    }

    // ── Other objects' sockets, in this room ─────────────────────────────────────────────────────

    pub(super) fn room_ops(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        from: &RoomName,
        ops: &[Op],
    ) -> Result<Vec<OpAnswer>, StorageError> {
        ops.iter()
            .map(|op| self.room_op(sql, now, Some(from), op))
            .collect()
    }

    /// One op of a socket that `from` holds, or this very object.
    fn room_op(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        from: Option<&RoomName>,
        op: &Op,
    ) -> Result<OpAnswer, StorageError> {
        let holder = from.map_or(LOCAL, RoomName::as_str);
        Ok(match op {
            Op::Join {
                user,
                name,
                access,
                since,
                people,
                first,
            } => {
                if *first {
                    self.nobody_held_by(sql, now, holder)?;
                }
                if !self.may(sql, user, *access)? {
                    return Ok(OpAnswer::Refused(namespaces::not_yours()));
                }
                if let Some(from) = from {
                    self.room.links.add(from, *first);
                }
                let missed = match since {
                    Some(since) => self.room.missed(sql, user, since)?,
                    None => None,
                };
                if self.room.kind.keeps_presence() {
                    let name = name.as_deref();
                    self.room.roster.enter(sql, now, user, name, holder)?;
                }
                let mut joined = Joined {
                    missed,
                    ..Joined::at(self.room.position())
                };
                if *people {
                    if tells_people(&self.room.name, user) {
                        joined.people = Some(event::raw(self.room.roster.people()));
                    }
                    joined.kept = self.room.kept(sql)?.to_vec();
                }
                OpAnswer::Joined(joined)
            }
            Op::Leave { user, grace, last } => {
                self.room.roster.exit(sql, now, user, holder, *grace)?;
                if let (Some(from), true) = (from, *last) {
                    self.unlink(sql, now, from)?;
                }
                OpAnswer::Done
            }
            Op::Event {
                claims,
                access,
                event,
                args,
                id,
                socket,
            } => {
                let sender = Sender {
                    claims,
                    access: *access,
                    from: Origin::Socket(socket.clone()),
                };
                match self.client_event(sql, now, &sender, event, args, id.as_deref())? {
                    Ok(accepted) => OpAnswer::Accepted(accepted),
                    Err(refusal) => OpAnswer::Refused(refusal),
                }
            }
            Op::Ask {
                access: Access::Read,
                ..
            } => OpAnswer::Refused(Refusal::forbidden("the token lets you read here, not send")),
            Op::Ask {
                question,
                socket,
                tag,
                ..
            } => {
                self.ask_everyone(sql, now, from, question, socket, tag)?;
                OpAnswer::Accepted(Accepted {
                    id: None,
                    offset: None,
                    duplicate: false,
                })
            }
            Op::Answers { ask, answers } => {
                self.answered_by(sql, now, holder, *ask, answers.clone())?;
                OpAnswer::Done
            }
            Op::Pull { since } => OpAnswer::Joined(Joined {
                missed: self.room.since(sql, since)?,
                ..Joined::at(self.room.position())
            }),
        })
    }

    /// `object` has nobody here any more.
    fn unlink(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        object: &RoomName,
    ) -> Result<(), StorageError> {
        self.room.links.remove(sql, object)?;
        self.nobody_held_by(sql, now, object.as_str())
    }

    fn nobody_held_by(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        holder: &str,
    ) -> Result<(), StorageError> {
        self.held_by_are(sql, now, holder, &[])
    }

    /// `holder` holds these, and nobody else.
    pub(super) fn held_by_are(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        holder: &str,
        users: &[UserId],
    ) -> Result<(), StorageError> {
        let users: HashSet<&UserId> = users.iter().collect();
        for user in self.room.roster.held_by(holder) {
            if !users.contains(&user) {
                self.room.roster.exit(sql, now, &user, holder, true)?;
            }
        }
        Ok(())
    }
}

/// [`Request::Push`] with its notices borrowed, so that they are encoded without a copy.
#[derive(serde::Serialize)]
struct PushRequest<'a> {
    push: Push<'a>,
}

#[derive(serde::Serialize)]
struct Push<'a> {
    room: &'a RoomName,
    epoch: &'a Epoch,
    number: u64,
    notices: &'a [Rc<Notice>],
}

fn read<T: serde::de::DeserializeOwned>(answer: Option<&str>) -> Option<T> {
    serde_json::from_str(answer?).ok()
}

fn refusal_of(answer: OpAnswer) -> Refusal {
    match answer {
        OpAnswer::Refused(refusal) => refusal,
        OpAnswer::Joined(_) | OpAnswer::Accepted(_) | OpAnswer::Done => failed(),
    }
}
