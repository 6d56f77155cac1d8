//! WebSockets between clients and objects: in order in each direction, cut at any time, and noticed by
//! either end at a time of its own.

use dialtone_core::{
    hub::{Attachment, ConnectionId, DisconnectReason, Flush, Frame, RequestId},
    object::{AutoResponse, Input},
    wire::{Access, Caller, Connect, Door, EngineRequest, Method},
};

use super::{ObjectId, What, World, calls::Waiter};
use crate::{
    client::{Heard, Wire, read},
    ledger::ClientId,
    mutant::Mutant,
    scenario::Speech,
    shell::ServerWire,
};

impl World {
    pub(super) fn has_wire(&self, client: ClientId, serial: u64) -> bool {
        let wire = self.clients[client].wire.as_ref();
        wire.is_some_and(|wire| wire.serial == serial)
    }

    /// A client connects in a while.
    pub fn dial_after(&mut self, ms: u64, client: ClientId) {
        self.agenda.after(ms, What::Dial(client));
    }

    pub(super) fn dial(&mut self, id: ClientId) {
        let client = &mut self.clients[id];
        if client.wire.is_some() || !client.is_on {
            return;
        }
        let person = &client.person;
        let name = match (person.speech, person.home) {
            (Speech::Plain(_), _) => self.places[person.wants[0]].name.clone(),
            (_, Some(home)) => self.places[home].name.clone(),
            (_, None) => format!("lobby:{}", self.random.index(self.scenario.lobbies)),
        };
        self.wires_made += 1;
        let serial = self.wires_made;
        let object = self.object(&name);
        let request = self.objects[object].wait(Waiter::Client(id, serial));
        let client = &mut self.clients[id];
        client.wire = Some(Wire {
            serial,
            object,
            connection: None,
        });
        let input = match client.person.speech {
            Speech::Plain(batch) => {
                let room = client.person.wants[0];
                let access = if client.person.member_of.contains(&room)
                    && self.mutant != Some(Mutant::EveryoneMayAll)
                {
                    Access::IfMember
                } else {
                    Access::Full
                };
                let caller = Caller {
                    claims: client.claims.clone(),
                    access,
                };
                let since = client.since();
                let connect = Box::new(Connect {
                    caller,
                    since,
                    batch,
                });
                Input::Open { request, connect }
            }
            Speech::SocketIo(_) => Input::Engine {
                request,
                engine: Box::new(EngineRequest {
                    method: Method::Upgrade,
                    sid: None,
                    door: Door {
                        recovery: true,
                        ..Door::default()
                    },
                }),
                body: String::new(),
            },
        };
        self.push(object, input);
    }

    pub(super) fn accept(&mut self, object: ObjectId, request: RequestId, attachment: &Attachment) {
        let shell = &mut self.objects[object];
        let Some(Waiter::Client(client, serial)) = shell.waiting.remove(&request) else {
            return;
        };
        let connection = attachment.connection;
        let wire = ServerWire {
            client,
            serial,
            attachment: attachment.to_json(),
            heard: None,
        };
        shell.wires.insert(connection, wire);
        if self.has_wire(client, serial) {
            if let Some(wire) = &mut self.clients[client].wire {
                wire.connection = Some(connection);
            }
        } else {
            // It went while it was let in.
            self.agenda
                .after(50, What::Gone(object, connection, serial));
        }
    }

    /// When what an object sends now arrives: after all that it sent before.
    fn down_at(&mut self, object: ObjectId) -> dialtone_core::names::Timestamp {
        let latency = self.random.between(1, 30);
        let at = self.now().plus(latency);
        let shell = &mut self.objects[object];
        shell.down_at = shell.down_at.max(at);
        shell.down_at
    }

    pub(super) fn send(&mut self, object: ObjectId, flush: Flush) {
        let shell = &self.objects[object];
        let wires = flush.connections.iter().filter_map(|connection| {
            let wire = shell.wires.get(connection)?;
            Some((wire.client, wire.serial, *connection))
        });
        let wires: Vec<_> = wires.collect();
        if wires.is_empty() {
            return;
        }
        let mut texts: Vec<&str> = Vec::with_capacity(flush.frames.len());
        for frame in &flush.frames {
            match frame {
                Frame::Text(text) => texts.push(text),
                Frame::Binary(_) => {}
            }
        }
        self.costs.frames += (texts.len() * wires.len()) as u64;
        self.spoil(&mut texts);
        let frames = texts.into_iter().map(read).collect();
        let at = self.down_at(object);
        self.agenda.at(at, What::Down(object, wires, frames));
    }

    /// What a mutant does to frames on their way.
    fn spoil(&mut self, texts: &mut Vec<&str>) {
        let is_message = |text: &str| text.contains("\"note\"") || text.contains("new_message");
        match self.mutant {
            Some(Mutant::FrameTwice) if self.random.below(50) == 0 => {
                if let Some(frame) = texts.iter().copied().find(|text| is_message(text)) {
                    texts.push(frame);
                }
            }
            Some(Mutant::FrameLost) if self.random.below(50) == 0 => {
                if let Some(index) = texts.iter().position(|text| is_message(text)) {
                    texts.remove(index);
                }
            }
            Some(Mutant::FramesReversed) if texts.iter().all(|text| is_message(text)) => {
                texts.reverse();
            }
            _ => {}
        }
    }

    pub(super) fn down(
        &mut self,
        object: ObjectId,
        to: Vec<(ClientId, u64, ConnectionId)>,
        frames: &[Heard],
    ) {
        let now = self.now();
        for (client, serial, connection) in to {
            if !self.has_wire(client, serial) {
                continue;
            }
            for frame in frames {
                self.trace(client, &|world| {
                    format!("<- {} {frame:?}", world.objects[object].name)
                });
                if matches!(frame, Heard::Ping) {
                    let shell = &mut self.objects[object];
                    if shell.auto_response == Some(AutoResponse::Engine) {
                        if let Some(wire) = shell.wires.get_mut(&connection) {
                            wire.heard = Some(now);
                        }
                    } else {
                        self.say(client, "3".to_owned());
                    }
                } else {
                    self.act(client, |client, around| client.hear(frame, around));
                }
            }
        }
    }

    /// A client sends a frame.
    pub(super) fn say(&mut self, id: ClientId, text: String) {
        let latency = self.random.between(1, 30);
        let at = self.now().plus(latency);
        let client = &mut self.clients[id];
        let Some(Wire {
            serial,
            object,
            connection: Some(connection),
        }) = client.wire
        else {
            return;
        };
        client.up_at = client.up_at.max(at);
        let at = client.up_at;
        self.trace(id, &|_| format!("-> {text}"));
        self.agenda
            .at(at, What::Up(object, connection, serial, text));
    }

    fn has_server_wire(&self, object: ObjectId, connection: ConnectionId, serial: u64) -> bool {
        let wire = self.objects[object].wires.get(&connection);
        wire.is_some_and(|wire| wire.serial == serial)
    }

    pub(super) fn up(
        &mut self,
        object: ObjectId,
        connection: ConnectionId,
        serial: u64,
        text: String,
    ) {
        if self.has_server_wire(object, connection, serial) {
            self.push(object, Input::Text { connection, text });
        }
    }

    /// The server closes a wire; its client's own close comes back.
    pub(super) fn close(
        &mut self,
        object: ObjectId,
        connection: ConnectionId,
        _reason: DisconnectReason,
    ) {
        let at = self.down_at(object);
        let shell = &mut self.objects[object];
        let Some(wire) = shell.wires.remove(&connection) else {
            return;
        };
        shell.closing = shell.closing.max(connection);
        self.agenda.at(at, What::Lost(wire.client, wire.serial));
        self.push(object, Input::Closed { connection });
    }

    /// The server finds a wire closed.
    pub(super) fn gone(&mut self, object: ObjectId, connection: ConnectionId, serial: u64) {
        if self.mutant == Some(Mutant::CloseSwallowed)
            || !self.has_server_wire(object, connection, serial)
        {
            return;
        }
        let shell = &mut self.objects[object];
        shell.wires.remove(&connection);
        shell.closing = shell.closing.max(connection);
        self.push(object, Input::Closed { connection });
    }

    /// A client finds its wire closed, and comes back.
    pub(super) fn lost(&mut self, client: ClientId, serial: u64) {
        if self.has_wire(client, serial) {
            self.clients[client].lost();
            self.trace(client, &|_| "finds its wire closed".to_owned());
            let after = self.random.between(100, 3_000);
            self.agenda.after(after, What::Dial(client));
        }
    }

    /// A client's wire is cut. It knows; whether and when the server does is chance: where pings tell, it
    /// may be by them alone.
    pub fn cut(&mut self, id: ClientId) {
        let client = &mut self.clients[id];
        let Some(wire) = client.wire.clone() else {
            return;
        };
        client.lost();
        self.trace(id, &|_| "is cut".to_owned());
        let client = &self.clients[id];
        let has_pings = matches!(client.person.speech, Speech::SocketIo(_));
        let after = match self.random.below(4) {
            0 | 1 => Some(self.random.below(3_000)),
            2 if has_pings => None,
            _ => Some(self.random.below(60_000)),
        };
        if let (Some(after), Some(connection)) = (after, wire.connection) {
            self.agenda
                .after(after, What::Gone(wire.object, connection, wire.serial));
        }
        let after = self.random.between(10, 20_000);
        self.agenda.after(after, What::Dial(id));
    }

    /// A client goes for good; where pings tell, perhaps without a word.
    pub fn goes(&mut self, id: ClientId) {
        let is_silent = self.random.below(2) == 0;
        let client = &mut self.clients[id];
        client.leave_for_good(&mut self.ledger);
        let has_pings = matches!(client.person.speech, Speech::SocketIo(_));
        if let Some(wire) = client.wire.take()
            && let Some(connection) = wire.connection
            && !(is_silent && has_pings)
        {
            self.agenda
                .after(5, What::Gone(wire.object, connection, wire.serial));
        }
    }
}
