//! A client and the app on it, as the stock ones behave: it comes back when it is cut, with what it
//! knows of its last session, joins again where it is not recovered, and sends again, under the same id,
//! what was not acknowledged.

mod heard;
mod plain;
mod socket_io;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use dialtone_core::{auth::Claims, hub::ConnectionId, names::Timestamp};
use serde_json::{Value as Json, json};

pub use heard::{Heard, read};

use crate::{
    ledger::{ClientId, Kind, Ledger, RoomId, SessionId, StayId},
    scenario::{Person, Place, Speech},
};

/// What a client wants done.
#[derive(Debug)]
pub enum Say {
    /// A frame.
    Text(String),
    /// It tries again in a while what was refused.
    TryAgain,
    /// It closes its wire, and comes back.
    Close,
}

/// How long an ack is waited for. An object that storage has failed forgets who waits, and a lobby says
/// itself what it could not do within 15 s.
const ACK_TIMEOUT_MS: u64 = 30_000;

/// A list of who is in a room may be on its way for so long: an answer, and what else a recovery waits for.
const LIST_MS: u64 = 30_000;

/// What an ack is waited for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Join(RoomId),
    Leave(RoomId),
    Send(u32),
    /// To be let in where it may not.
    Trespass(RoomId),
    Nothing,
}

/// Where a client is with a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Out,
    Joining,
    In,
    Leaving,
    /// It asked to leave, and the answer was lost: it may be in or out.
    Unknown,
}

/// A room that a client is in or wants to be.
#[derive(Debug)]
pub struct Seat {
    /// Which.
    pub room: RoomId,
    /// The app wants to be there.
    pub wants: bool,
    state: State,
    stay: Option<StayId>,
    /// An answer was lost: it may be in already.
    is_unsure: bool,
    /// Who it has been told is there.
    pub view: Option<BTreeSet<String>>,
}

impl Seat {
    /// Where an answer was lost it must be out for sure: to stay out, and before it comes in again.
    fn must_leave(&self) -> bool {
        match self.state {
            State::In => !self.wants,
            State::Out => !self.wants && self.is_unsure,
            State::Unknown => true,
            State::Joining | State::Leaving => false,
        }
    }
}

/// A wire at the client's end.
#[derive(Debug, Clone)]
pub struct Wire {
    /// Which of all wires.
    pub serial: u64,
    /// To which object.
    pub object: usize,
    /// What that calls it, once it has answered.
    pub connection: Option<ConnectionId>,
}

/// What a client needs of the world to act.
pub struct Around<'a> {
    /// What happened.
    pub ledger: &'a mut Ledger,
    /// The rooms.
    pub places: &'a [Place],
    /// The rooms by name.
    pub by_name: &'a HashMap<String, RoomId>,
    /// Now.
    pub now: Timestamp,
    /// What the client wants done.
    pub say: Vec<Say>,
}

/// A client.
pub struct Client {
    id: ClientId,
    /// Who they are.
    pub person: Person,
    /// Their token.
    pub token: String,
    /// The same, verified.
    pub claims: Claims,
    /// Their wire.
    pub wire: Option<Wire>,
    /// They want to be connected.
    pub is_on: bool,
    /// They are, as far as they know.
    pub is_connected: bool,
    /// What they send arrives in order.
    pub up_at: Timestamp,
    pid: Option<String>,
    offset: Option<String>,
    session: Option<SessionId>,
    buffer: Vec<Json>,
    /// Plain: how far it has come in its room.
    position: Option<(String, u64)>,
    asked_since: bool,
    /// The rooms.
    pub seats: Vec<Seat>,
    pending: BTreeMap<u64, (Wanted, Timestamp)>,
    /// Acks that it waits for no longer.
    given_up: BTreeSet<u64>,
    next_ack: u64,
    unacked: Vec<u32>,
}

impl Client {
    /// One who has not connected yet.
    pub fn new(id: ClientId, person: Person, token: String, claims: Claims) -> Self {
        let seats = person.wants.iter().map(|room| Seat {
            room: *room,
            wants: true,
            state: State::Out,
            stay: None,
            is_unsure: false,
            view: None,
        });
        Self {
            id,
            seats: seats.collect(),
            person,
            token,
            claims,
            wire: None,
            is_on: true,
            is_connected: false,
            up_at: Timestamp(0),
            pid: None,
            offset: None,
            session: None,
            buffer: Vec::new(),
            position: None,
            asked_since: false,
            pending: BTreeMap::new(),
            given_up: BTreeSet::new(),
            next_ack: 0,
            unacked: Vec::new(),
        }
    }

    /// Whether it waits for any answer.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty() || !self.unacked.is_empty()
    }

    /// What it waits for, for people.
    pub fn what_waits(&self) -> String {
        format!("{:?}, messages {:?}", self.pending, self.unacked)
    }

    /// Whether it is in a room, as far as it knows.
    pub fn is_in(&self, room: RoomId) -> bool {
        let mut seats = self.seats.iter();
        self.is_connected && seats.any(|seat| seat.room == room && seat.state == State::In)
    }

    /// `?since=` of a plain client that was there before.
    pub fn since(&mut self) -> Option<String> {
        let since = self
            .position
            .as_ref()
            .map(|(epoch, offset)| format!("{epoch}:{offset}"));
        self.asked_since = since.is_some();
        since
    }

    /// A frame came.
    pub fn hear(&mut self, heard: &Heard, around: &mut Around<'_>) {
        match heard {
            Heard::Open => self.dialed(around),
            Heard::Packet { kind, id, data } => self.packet(*kind, *id, data, around),
            // engine.io-client takes what is no packet for an error, and closes.
            Heard::Plain(_) if matches!(self.person.speech, Speech::SocketIo(_)) => {
                around.say.push(Say::Close);
            }
            Heard::Plain(objects) => {
                for object in objects {
                    self.object(object, around);
                }
            }
            Heard::Ping | Heard::Other => {}
        }
    }

    /// Its wire is gone.
    pub fn lost(&mut self) {
        self.wire = None;
        self.is_connected = false;
        // Packets before CONNECT are not shown yet, and are sent again.
        self.buffer.clear();
        self.given_up.clear();
        for (_, (wanted, _)) in std::mem::take(&mut self.pending) {
            self.unanswered(wanted);
        }
    }

    fn unanswered(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Join(room) => {
                let seat = self.seat(room);
                seat.state = State::Out;
                seat.is_unsure = true;
            }
            Wanted::Leave(room) => self.seat(room).state = State::Unknown,
            Wanted::Send(n) => self.unacked.push(n),
            Wanted::Trespass(_) | Wanted::Nothing => {}
        }
    }

    /// What is not answered for long is tried again, as with the stock client's `ackTimeout`.
    pub fn lose_patience(&mut self, around: &mut Around<'_>) {
        let is_over = |since: &Timestamp| since.plus(ACK_TIMEOUT_MS) < around.now;
        let over: Vec<_> = self
            .pending
            .extract_if(.., |_, (_, since)| is_over(since))
            .collect();
        for (ack, (wanted, _)) in over {
            around.ledger.gave_up += 1;
            self.given_up.insert(ack);
            self.unanswered(wanted);
        }
        self.go_on(around);
    }

    /// It goes for good: nothing it saw goes on.
    pub fn leave_for_good(&mut self, ledger: &mut Ledger) {
        self.is_on = false;
        self.end_session(ledger);
    }

    fn end_session(&mut self, ledger: &mut Ledger) {
        for seat in &mut self.seats {
            if let Some(stay) = seat.stay.take() {
                ledger.stays[stay].is_open = false;
            }
            seat.state = State::Out;
            seat.is_unsure = false;
            seat.view = None;
        }
        if let Some(session) = self.session.take() {
            ledger.sessions[session].is_open = false;
        }
    }

    /// Its membership of a room has ended: it is in there no more, whatever it has heard.
    pub fn put_out(&mut self, room: RoomId, ledger: &mut Ledger) {
        let seat = self.seat(room);
        seat.wants = false;
        seat.state = State::Out;
        seat.view = None;
        if let Some(stay) = seat.stay.take() {
            ledger.stays[stay].is_open = false;
        }
        if matches!(self.person.speech, Speech::Plain(_)) {
            self.is_on = false;
        }
    }

    fn seat(&mut self, room: RoomId) -> &mut Seat {
        let seat = self.seats.iter_mut().find(|seat| seat.room == room);
        seat.expect("a room of its own")
    }

    fn stay_in(&self, room: RoomId) -> Option<StayId> {
        self.seats.iter().find(|seat| seat.room == room)?.stay
    }

    /// It changes its mind about a room.
    pub fn toggle(&mut self, index: usize, around: &mut Around<'_>) {
        let index = index % self.seats.len();
        let seat = &mut self.seats[index];
        if around.ledger.ended.contains_key(&(self.id, seat.room)) {
            return;
        }
        if matches!(self.person.speech, Speech::SocketIo(_)) {
            seat.wants = !seat.wants;
            self.go_on(around);
        }
    }

    /// It writes to one of its rooms.
    pub fn write(&mut self, index: usize, around: &mut Around<'_>) {
        let room = self.seats[index % self.seats.len()].room;
        if self.is_in(room) {
            let n = around
                .ledger
                .send(room, Kind::Kept, Some(self.id), around.now);
            self.send(n, around);
        }
    }

    /// It wants to be let in where it may not.
    pub fn trespass(&mut self, room: RoomId, around: &mut Around<'_>) {
        let Speech::SocketIo(namespace) = self.person.speech else {
            return;
        };
        let may = around.ledger.may[self.id].contains(&room);
        if self.is_connected && !may && around.places[room].namespace == namespace {
            let ack = self.ack(Wanted::Trespass(room), around.now);
            self.say_join(ack, room, around);
        }
    }

    fn ack(&mut self, wanted: Wanted, now: Timestamp) -> u64 {
        self.next_ack += 1;
        self.pending.insert(self.next_ack, (wanted, now));
        self.next_ack
    }

    /// What its app still wants: rooms to be in, rooms to be out of, messages to be through.
    pub fn go_on(&mut self, around: &mut Around<'_>) {
        if !self.is_connected {
            return;
        }
        if matches!(self.person.speech, Speech::SocketIo(_)) {
            for index in 0..self.seats.len() {
                let seat = &mut self.seats[index];
                let room = seat.room;
                match (seat.wants, seat.state) {
                    (true, State::Out) => {
                        seat.state = State::Joining;
                        if seat.stay.is_none() {
                            seat.stay = Some(around.ledger.enter(self.id, room));
                        }
                        let ack = self.ack(Wanted::Join(room), around.now);
                        self.say_join(ack, room, around);
                    }
                    _ if seat.must_leave() => {
                        seat.state = State::Leaving;
                        let ack = self.ack(Wanted::Leave(room), around.now);
                        self.say_leave(ack, room, around);
                    }
                    _ => {}
                }
            }
        }
        for n in std::mem::take(&mut self.unacked) {
            self.send(n, around);
        }
    }

    fn send(&mut self, n: u32, around: &mut Around<'_>) {
        let room = around.ledger.messages[n as usize].room;
        let ended = around.ledger.ended.contains_key(&(self.id, room));
        let ack = self.ack(Wanted::Send(n), around.now);
        // It sends only where it is; elsewhere once it is there again.
        if !self.is_in(room) {
            self.pending.remove(&ack);
            let wants = self
                .seats
                .iter()
                .any(|seat| seat.room == room && seat.wants);
            if wants && !ended {
                self.unacked.push(n);
            }
            return;
        }
        let text = match self.person.speech {
            Speech::SocketIo(_) => self.say_message(ack, room, n, around),
            Speech::Plain(_) => plain::message(n, room, around),
        };
        around.say.push(Say::Text(text));
    }

    /// It saw a message.
    fn saw(&mut self, room: Option<RoomId>, n: u32, around: &mut Around<'_>) {
        let stay = room.and_then(|room| self.stay_in(room));
        let wire = self.wire.as_ref().map_or(0, |wire| wire.serial);
        around.ledger.saw(self.id, stay, self.session, wire, n);
    }

    /// It was told who is in a room.
    fn told_presence(&mut self, event: &str, data: &Json, around: &Around<'_>) {
        let room = data["room"]
            .as_str()
            .and_then(|name| around.by_name.get(name));
        let Some(seat) = room.and_then(|room| self.seats.iter_mut().find(|s| s.room == *room))
        else {
            return;
        };
        let users = |field: &str| {
            let users = data[field].as_array().into_iter().flatten();
            users.filter_map(|user| Some(user["userId"].as_str()?.to_owned()))
        };
        match (event, &mut seat.view) {
            ("presence_state", view) => {
                // It may have been made before the room died, and what was not told then is told to nobody.
                let died = around.ledger.died.get(&seat.room);
                let is_sure = died.is_none_or(|at| at.plus(LIST_MS) < around.now);
                *view = is_sure.then(|| users("users").collect());
            }
            (_, Some(view)) => {
                for user in users("leaves") {
                    view.remove(&user);
                }
                view.extend(users("joins"));
            }
            (_, None) => {}
        }
    }

    /// A room answered a join or let it in; where it stands.
    fn entered(&mut self, room: RoomId, offset: u64, around: &mut Around<'_>) {
        let seat = self.seat(room);
        let (Some(stay), is_unsure) = (seat.stay, seat.is_unsure) else {
            return;
        };
        seat.state = State::In;
        let stay = &mut around.ledger.stays[stay];
        if stay.base.is_none() && stay.seen.is_empty() {
            if is_unsure {
                stay.at_most = Some(stay.at_most.unwrap_or(offset).min(offset));
            } else {
                stay.base = Some(offset);
            }
        }
    }
}

/// The number of a message in an event: a backend's, or a chat's.
fn number_in(event: &str, data: &Json) -> Option<u32> {
    match event {
        "note" | "news" => u32::try_from(data["n"].as_u64()?).ok(),
        "new_message" => data["message"].as_str()?.parse().ok(),
        _ => None,
    }
}

/// What a backend, or a client of a relay, says in a room.
pub fn note(n: u32, room: RoomId) -> Json {
    json!({"n": n, "r": room})
}

/// Frames as they are handed to many clients.
pub type Frames = Rc<[Heard]>;
