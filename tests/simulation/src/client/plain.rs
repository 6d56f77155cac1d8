//! A bare WebSocket at `/rooms/{room}`, that resumes with `?since=`.

use serde_json::{Value as Json, json};

use super::{Around, Client, Say, State, Wanted, note, number_in};
use crate::ledger::RoomId;

impl Client {
    /// One object of a frame.
    pub(super) fn object(&mut self, object: &Json, around: &mut Around<'_>) {
        if let Some(id) = object["ack"].as_str() {
            self.plain_ack(id, object, around);
            return;
        }
        let Some(event) = object["event"].as_str() else {
            return;
        };
        let data = &object["data"];
        match event {
            "connected" => self.let_in(data, around),
            event if event.starts_with("presence_") => self.told_presence(event, data, around),
            _ => {}
        }
        if let Some(offset) = object["offset"].as_u64() {
            self.came_to(offset);
        }
        if let Some(n) = number_in(event, data) {
            let room = self.seats[0].room;
            self.saw(Some(room), n, around);
        }
    }

    fn came_to(&mut self, offset: u64) {
        if let Some((_, at)) = &mut self.position {
            *at = offset.max(*at);
        }
    }

    fn let_in(&mut self, data: &Json, around: &mut Around<'_>) {
        let room = self.seats[0].room;
        let offset = data["offset"].as_u64().unwrap_or_default();
        self.is_connected = true;
        if data["recovered"] == true {
            around.ledger.recovered += 1;
            self.seat(room).state = State::In;
        } else {
            // Nothing is pruned in a run, so whoever asks for the rest must get it.
            if self.asked_since {
                let wrong = format!("client {} was not resumed: {data}", self.id);
                around.ledger.wrong.push(wrong);
            }
            self.end_session(around.ledger);
            let stay = around.ledger.enter(self.id, room);
            self.seat(room).stay = Some(stay);
            self.entered(room, offset, around);
            let epoch = data["epoch"].as_str().unwrap_or_default().to_owned();
            self.position = Some((epoch, offset));
        }
        self.go_on(around);
    }

    fn plain_ack(&mut self, id: &str, answer: &Json, around: &mut Around<'_>) {
        let n = id.strip_prefix("c-").and_then(|n| n.parse::<u32>().ok());
        let mut pending = self.pending.iter();
        let waits = pending.find(|(_, (w, _))| matches!(w, Wanted::Send(m) if Some(*m) == n));
        let (Some(n), Some(ack)) = (n, waits.map(|(ack, _)| *ack)) else {
            let wrong = format!(
                "client {} got an ack that it does not wait for: {answer}",
                self.id
            );
            around.ledger.wrong.push(wrong);
            return;
        };
        self.pending.remove(&ack);
        match answer["offset"].as_u64() {
            Some(offset) => {
                around.ledger.accept(n, offset);
                if answer["duplicate"] == false {
                    self.came_to(offset);
                }
            }
            None => {
                self.unacked.push(n);
                around.say.push(Say::TryAgain);
            }
        }
    }
}

/// A message to the room, with an id.
pub(super) fn message(n: u32, room: RoomId, around: &Around<'_>) -> String {
    let id = format!("c-{n}");
    let (event, data) = if around.places[room].namespace == 1 {
        ("send_message", json!({"message": n.to_string()}))
    } else {
        ("note", note(n, room))
    };
    json!({"event": event, "data": data, "id": id}).to_string()
}
