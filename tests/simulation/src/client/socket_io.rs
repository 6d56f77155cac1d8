//! Socket.IO, as `socket.io-client` speaks it over a WebSocket.

use serde_json::{Value as Json, json};

use super::{Around, Client, Say, State, Wanted, note, number_in};
use crate::{
    ledger::RoomId,
    scenario::{NAMESPACES, Speech},
};

impl Client {
    fn namespace(&self) -> usize {
        match self.person.speech {
            Speech::SocketIo(namespace) => namespace,
            Speech::Plain(_) => 0,
        }
    }

    fn prefix(&self) -> String {
        match NAMESPACES[self.namespace()] {
            "/" => String::new(),
            namespace => format!("{namespace},"),
        }
    }

    /// Engine.IO is through: CONNECT, with what it knows of its last session.
    pub(super) fn dialed(&mut self, around: &mut Around<'_>) {
        let mut auth = json!({"token": self.token});
        if let Some(pid) = &self.pid {
            auth["pid"] = json!(pid);
            if let Some(offset) = &self.offset {
                auth["offset"] = json!(offset);
            }
        }
        let connect = format!("40{}{auth}", self.prefix());
        around.say.push(Say::Text(connect));
    }

    pub(super) fn packet(
        &mut self,
        kind: char,
        id: Option<u64>,
        data: &Json,
        around: &mut Around<'_>,
    ) {
        match kind {
            '0' => self.connected(data, around),
            '2' if id.is_some() => {}
            '2' if self.is_connected => self.event(data, around),
            '2' => self.buffer.push(data.clone()),
            '3' => self.acked(id.unwrap_or_default(), &data[0], around),
            kind => around
                .ledger
                .wrong
                .push(format!("client {} got a packet {kind}: {data}", self.id)),
        }
    }

    fn connected(&mut self, data: &Json, around: &mut Around<'_>) {
        let pid = data["pid"].as_str().map(str::to_owned);
        let is_recovered = pid.is_some() && pid == self.pid;
        if is_recovered {
            around.ledger.recovered += 1;
        } else {
            around.ledger.not_recovered += u64::from(self.pid.is_some());
            self.end_session(around.ledger);
            self.session = Some(around.ledger.begin(self.id, self.namespace(), around.now));
            self.offset = None;
        }
        self.pid = pid;
        self.is_connected = true;
        for event in std::mem::take(&mut self.buffer) {
            self.event(&event, around);
        }
        self.go_on(around);
    }

    fn event(&mut self, args: &Json, around: &mut Around<'_>) {
        let args = args.as_array().map_or(&[][..], Vec::as_slice);
        let [Json::String(event), data, ..] = args else {
            return;
        };
        if let [_, _, .., Json::String(offset)] = args {
            self.offset = Some(offset.clone());
        }
        if event.starts_with("presence_") {
            self.told_presence(event, data, around);
        }
        let Some(n) = number_in(event, data) else {
            return;
        };
        let room = match data["chatId"].as_str() {
            Some(chat) => around.by_name.get(&format!("chat:{chat}")).copied(),
            None => data["r"]
                .as_u64()
                .and_then(|room| usize::try_from(room).ok()),
        };
        self.saw(room, n, around);
    }

    fn acked(&mut self, id: u64, answer: &Json, around: &mut Around<'_>) {
        let me = self.id;
        if self.given_up.remove(&id) {
            return;
        }
        let Some((wanted, _)) = self.pending.remove(&id) else {
            let wrong = format!("client {me} got ack {id} that it does not wait for: {answer}");
            around.ledger.wrong.push(wrong);
            return;
        };
        let ok = answer["ok"] == true;
        let offset = answer["offset"].as_u64().unwrap_or_default();
        let code = answer["error"]["code"].as_str().unwrap_or_default();
        match wanted {
            Wanted::Join(room) if ok => {
                self.entered(room, offset, around);
                self.go_on(around);
            }
            Wanted::Leave(room) if ok || code == "not_in_room" => {
                let seat = self.seat(room);
                seat.state = State::Out;
                seat.is_unsure = false;
                seat.view = None;
                if let Some(stay) = seat.stay.take() {
                    around.ledger.stays[stay].is_open = false;
                }
                self.go_on(around);
            }
            Wanted::Send(n) if ok => around.ledger.accept(n, offset),
            Wanted::Trespass(room) if ok => {
                let wrong = format!("client {me} was let into room {room}, where it may not be");
                around.ledger.wrong.push(wrong);
            }
            Wanted::Trespass(_) | Wanted::Nothing => {}
            Wanted::Join(room) | Wanted::Leave(room)
                if around.ledger.ended.contains_key(&(me, room)) => {}
            Wanted::Join(room) => {
                let seat = self.seat(room);
                seat.state = State::Out;
                seat.is_unsure = true;
                self.refused(wanted, code, around);
            }
            Wanted::Leave(room) => {
                self.seat(room).state = State::In;
                self.refused(wanted, code, around);
            }
            Wanted::Send(n) => {
                let room = around.ledger.messages[n as usize].room;
                if !around.ledger.ended.contains_key(&(me, room)) {
                    self.unacked.push(n);
                    self.refused(wanted, code, around);
                }
            }
        }
    }

    /// What failed for now is tried again; a no to what it may is wrong.
    fn refused(&mut self, wanted: Wanted, code: &str, around: &mut Around<'_>) {
        if code == "internal" || code == "rate_limited" {
            around.say.push(Say::TryAgain);
        } else {
            let wrong = format!("client {} was refused {wanted:?}: {code}", self.id);
            around.ledger.wrong.push(wrong);
        }
    }

    fn emit(&self, ack: u64, args: &Json) -> String {
        format!("42{}{ack}{args}", self.prefix())
    }

    /// The id of a room whose kind has a namespace of its own.
    fn id_of(room: RoomId, around: &Around<'_>) -> String {
        let name = &around.places[room].name;
        name.split_once(':').map_or("", |(_, id)| id).to_owned()
    }

    pub(super) fn say_join(&self, ack: u64, room: RoomId, around: &mut Around<'_>) {
        let args = match NAMESPACES[self.namespace()] {
            "/chat" => json!(["join_chat", {"chatId": Self::id_of(room, around)}]),
            "/jobs" => json!(["subscribe-job", Self::id_of(room, around)]),
            _ => json!(["join", around.places[room].name]),
        };
        around.say.push(Say::Text(self.emit(ack, &args)));
    }

    pub(super) fn say_leave(&self, ack: u64, room: RoomId, around: &mut Around<'_>) {
        let args = match NAMESPACES[self.namespace()] {
            "/chat" => json!(["leave_chat", {"chatId": Self::id_of(room, around)}]),
            "/jobs" => json!(["unsubscribe-job", Self::id_of(room, around)]),
            _ => json!(["leave", around.places[room].name]),
        };
        around.say.push(Say::Text(self.emit(ack, &args)));
    }

    pub(super) fn say_message(
        &self,
        ack: u64,
        room: RoomId,
        n: u32,
        around: &Around<'_>,
    ) -> String {
        let id = format!("c-{n}");
        let args = match NAMESPACES[self.namespace()] {
            "/chat" => json!(["send_message", {"chatId": Self::id_of(room, around),
                "message": n.to_string(), "clientMessageId": id}]),
            _ => json!(["send", {"room": around.places[room].name, "event": "note",
                "data": note(n, room), "id": id}]),
        };
        self.emit(ack, &args)
    }

    /// It says that it types, and waits for no answer to it.
    pub fn types(&mut self, index: usize, around: &mut Around<'_>) {
        let room = self.seats[index % self.seats.len()].room;
        if !self.is_in(room) || self.namespace() == 2 {
            return;
        }
        let text = match self.person.speech {
            Speech::Plain(_) => json!({"event": "typing", "data": {"isTyping": true}}).to_string(),
            Speech::SocketIo(1) => {
                let ack = self.ack(Wanted::Nothing, around.now);
                let chat = Self::id_of(room, around);
                self.emit(ack, &json!(["typing", {"chatId": chat, "isTyping": true}]))
            }
            Speech::SocketIo(_) => {
                let ack = self.ack(Wanted::Nothing, around.now);
                let room = &around.places[room].name;
                self.emit(ack, &json!(["typing", {"room": room, "isTyping": true}]))
            }
        };
        around.say.push(Say::Text(text));
    }
}
