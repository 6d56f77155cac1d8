//! Turns of objects: what arrives while one waits is one turn; its outputs are carried out in order;
//! and the ways in which an object ends.

use dialtone_core::{
    hub::{ConnectionId, DisconnectReason, Flush, RequestId},
    names::{RoomName, Timestamp},
    object::{Input, Output},
};

use super::{ObjectId, What, World};
use crate::{mutant::Mutant, shell::Doom};

/// workerd puts an object to sleep that has had nothing to do for about so long.
const SLEEPS_AFTER_MS: u64 = 10_000;

impl World {
    /// An object that has had nothing to do for long has been put to sleep meanwhile, or not.
    fn may_have_slept(&mut self, object: ObjectId) {
        let is_over = self.objects[object].turned_at.plus(SLEEPS_AFTER_MS) < self.now();
        if is_over && self.scenario.has_trouble() && self.random.below(2) == 0 {
            self.sleep(object);
        }
    }

    /// Something for an object's next turn.
    pub(super) fn push(&mut self, object: ObjectId, input: Input) {
        self.may_have_slept(object);
        let shell = &mut self.objects[object];
        shell.inbox.push(input);
        if !shell.turn_is_due {
            shell.turn_is_due = true;
            // In the same millisecond, or in one of the next where the process has other work.
            let wait = if self.scenario.has_trouble() {
                self.random.below(3)
            } else {
                0
            };
            self.agenda.after(wait, What::Turn(object));
        }
    }

    fn doom(&mut self) -> Doom {
        let trouble = self.trouble;
        if self.random.per_million(trouble.dies) {
            return if self.random.below(2) == 0 {
                Doom::DiesBefore
            } else {
                Doom::DiesAfter
            };
        }
        if self.random.per_million(trouble.falls) {
            return if self.random.below(3) > 0 {
                Doom::FallsBefore
            } else {
                Doom::FallsAfter
            };
        }
        if self.random.per_million(trouble.storage_fails) {
            let statement = self.random.below(12);
            return Doom::StorageFails(u32::try_from(statement).unwrap());
        }
        Doom::None
    }

    pub(super) fn turn(&mut self, object: ObjectId) {
        self.objects[object].turn_is_due = false;
        let inputs = std::mem::take(&mut self.objects[object].inbox);
        if inputs.is_empty() {
            return;
        }
        let doom = self.doom();
        self.objects[object].turned_at = self.now();
        self.turn_on(object, inputs, &[], doom);
    }

    /// As in `durable/`: what storage cannot take is tried one by one, and whoever sent what fails alone
    /// is told. The requests `later` have their turn after these.
    fn turn_on(&mut self, object: ObjectId, inputs: Vec<Input>, later: &[RequestId], doom: Doom) {
        let now = self.now();
        let shell = &mut self.objects[object];
        let was_awake = shell.is_awake();
        let (outputs, ok) = shell.transact(&self.environment, now, &inputs, doom, self.mutant);
        self.costs.turns += 1;
        self.costs.wakes += u64::from(!was_awake && self.objects[object].is_awake());
        match doom {
            Doom::DiesBefore => {
                if self.mutant == Some(Mutant::SentBeforeCommit) {
                    self.carry_out(object, outputs);
                }
                let is_alarm = inputs.iter().any(|i| matches!(i, Input::Alarm { .. }));
                self.crash(object);
                // The runtime rings an alarm again that was not heard to the end.
                if is_alarm {
                    self.set_alarm(object, now.plus(2_000));
                }
            }
            Doom::DiesAfter => {
                // The alarm is part of what is committed.
                let mut alarms = outputs.iter().filter_map(|output| match output {
                    Output::Wake { alarm, .. } => *alarm,
                    _ => None,
                });
                let alarm = alarms.next_back();
                self.crash(object);
                if let Some(at) = alarm {
                    self.set_alarm(object, at);
                }
            }
            Doom::FallsBefore | Doom::FallsAfter => {
                self.costs.falls += 1;
                let was_sending = doom == Doom::FallsAfter;
                if was_sending {
                    let told = outputs.into_iter().filter(|output| {
                        matches!(output, Output::Awaits { .. } | Output::Moves { .. })
                    });
                    self.carry_out(object, told.collect());
                }
                self.fall(object, inputs, was_sending);
                // The others of the instance had no turn.
                for other in 0..self.objects.len() {
                    if other != object && self.random.below(2) == 0 {
                        self.fall(other, Vec::new(), false);
                    }
                }
            }
            _ if ok => self.carry_out(object, outputs),
            _ => self.failed(object, inputs, later, outputs),
        }
    }

    fn failed(
        &mut self,
        object: ObjectId,
        inputs: Vec<Input>,
        later: &[RequestId],
        outputs: Vec<Output>,
    ) {
        let now = self.now();
        self.forget_views(object);
        self.objects[object].awaits.clear();
        self.carry_out(object, outputs);
        let rooms = std::mem::take(&mut self.objects[object].moving);
        if !rooms.is_empty() {
            let rooms = rooms.into_iter().collect();
            self.push(object, Input::Interrupted { rooms });
        }
        // Requests that nobody but the machine knew of.
        let shell = &self.objects[object];
        let known = inputs.iter().chain(&shell.inbox);
        let known: Vec<RequestId> = known.filter_map(Input::request).collect();
        let waiting = shell.waiting.keys().copied();
        let mut forsaken: Vec<RequestId> = waiting
            .filter(|id| !known.contains(id) && !later.contains(id))
            .collect();
        forsaken.sort();
        for request in forsaken {
            self.reply(object, request, Err("internal".to_owned()));
        }
        if let [one] = inputs.as_slice() {
            let is_alarm = matches!(one, Input::Alarm { .. });
            // A failed timer's turn is not tried again by anyone: the next input wakes the object.
            if is_alarm {
                self.set_alarm(object, now.plus(2_000));
            }
            return;
        }
        let mut requests: Vec<_> = inputs.iter().map(Input::request).collect();
        for input in inputs {
            requests.remove(0);
            let later: Vec<RequestId> = requests.iter().flatten().copied().collect();
            self.turn_on(object, vec![input], &later, Doom::None);
        }
    }

    fn carry_out(&mut self, object: ObjectId, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Accept {
                    request,
                    attachment,
                    ..
                } => self.accept(object, request, &attachment),
                Output::Attach(attachment) => {
                    let wires = &mut self.objects[object].wires;
                    if let Some(wire) = wires.get_mut(&attachment.connection) {
                        wire.attachment = attachment.to_json();
                    }
                }
                Output::Send(flush) => self.send(object, flush),
                Output::Close { connection, reason } => self.close(object, connection, reason),
                Output::Reply { request, answer } => {
                    let answer = answer.map_err(|refusal| refusal.code.as_str().to_owned());
                    self.reply(object, request, answer);
                }
                Output::Poll { request, .. } => {
                    self.reply(object, request, Err("poll".to_owned()));
                }
                Output::AutoResponse(which) => self.objects[object].auto_response = Some(which),
                // Its wires hold nothing back.
                Output::Measure(_) => {}
                Output::Moves { room, under_way } => {
                    let moving = &mut self.objects[object].moving;
                    if under_way {
                        moving.insert(room);
                    } else {
                        moving.remove(&room);
                    }
                }
                Output::Awaits { connection, awaits } => {
                    let waiting = &mut self.objects[object].awaits;
                    if awaits {
                        waiting.insert(connection);
                    } else {
                        waiting.remove(&connection);
                    }
                }
                Output::Ask {
                    call,
                    object: to,
                    body,
                } => self.ask(object, call, &to, &body),
                Output::Deliver { room, delivery } => self.deliver(object, &room, delivery),
                // The scenario has neither a backend to post to nor Twilio, and its tokens are HS256.
                Output::Post(_) | Output::Twilio { .. } | Output::Verify { .. } => {}
                Output::Wake { timer, alarm } => {
                    if let Some(at) = timer {
                        self.objects[object].timer = Some(at);
                        self.agenda.at(at, What::Timer(object, at));
                    }
                    if let Some(at) = alarm {
                        self.costs.alarms_set += 1;
                        self.set_alarm(object, at);
                    }
                }
            }
        }
    }

    fn set_alarm(&mut self, object: ObjectId, at: Timestamp) {
        self.objects[object].alarm = Some(at);
        let late = if self.random.per_million(self.trouble.alarms_late) {
            self.random.below(20_000)
        } else {
            0
        };
        self.agenda.at(at.plus(late), What::Alarm(object, at));
    }

    pub(super) fn timer(&mut self, object: ObjectId, at: Timestamp) {
        if self.objects[object].timer != Some(at) {
            return;
        }
        self.objects[object].timer = None;
        self.costs.timers += 1;
        if self.mutant != Some(Mutant::TimerForgotten) {
            self.push(object, Input::Timer);
        }
    }

    pub(super) fn alarm(&mut self, object: ObjectId, at: Timestamp) {
        if self.objects[object].alarm != Some(at) {
            return;
        }
        self.may_have_slept(object);
        let now = self.now();
        let shell = &mut self.objects[object];
        shell.alarm = None;
        self.costs.alarms += 1;
        match self.mutant {
            Some(Mutant::AlarmForgotten) => return,
            Some(Mutant::CloseSwallowed) => {
                for wire in shell.wires.values_mut() {
                    wire.heard = Some(now);
                }
            }
            _ => {}
        }
        // An object that sleeps may but ping, and need not be built for that.
        if let Some((connections, next)) = shell.beat(&self.environment, now) {
            self.costs.beats += 1;
            let frames = vec!["2".into()];
            self.send(
                object,
                Flush {
                    connections,
                    frames,
                },
            );
            self.set_alarm(object, next);
            return;
        }
        let heard = self.objects[object].heard();
        self.push(object, Input::Alarm { heard });
    }

    /// The process dies: what was committed stays, and the alarm.
    pub fn crash(&mut self, object: ObjectId) {
        self.costs.crashes += 1;
        self.trace_object(object, &|_| "dies".to_owned());
        self.forget_views(object);
        let shell = &mut self.objects[object];
        shell.disk.tamper();
        shell.sleep(None);
        shell.inbox.clear();
        shell.closing = ConnectionId::default();
        shell.auto_response = None;
        let wires = std::mem::take(&mut shell.wires);
        for wire in wires.into_values() {
            // Most clients hear of it at once; some find out by the missing pings.
            let after = match self.random.below(10) {
                0 => 45_000,
                _ => self.random.below(2_000),
            };
            self.agenda
                .after(after, What::Lost(wire.client, wire.serial));
        }
        self.answer_nobody(object);
    }

    /// Whoever waits for an answer of an object's gets none.
    fn answer_nobody(&mut self, object: ObjectId) {
        let waiting = std::mem::take(&mut self.objects[object].waiting);
        let mut waiting: Vec<_> = waiting.into_iter().collect();
        waiting.sort_by_key(|(request, _)| *request);
        for (_, waiter) in waiting {
            self.nobody_answers(waiter);
        }
    }

    /// A panic has ended the memory that the object was in: its storage and its sockets stay. What guard.js
    /// does then. `turn` is what panicked, if its own did; `was_sending`, that it was committed.
    fn fall(&mut self, object: ObjectId, turn: Vec<Input>, was_sending: bool) {
        let now = self.now();
        self.forget_views(object);
        let shell = &mut self.objects[object];
        if turn.is_empty() && !shell.is_awake() && shell.inbox.is_empty() {
            return;
        }
        let inbox = std::mem::take(&mut shell.inbox);
        let closed: Vec<ConnectionId> = if was_sending {
            shell.wires.keys().copied().collect()
        } else {
            shell.awaits.iter().copied().collect()
        };
        let rooms: Vec<RoomName> = std::mem::take(&mut shell.moving).into_iter().collect();
        let was_interrupted = shell.bringing > 0 || !rooms.is_empty();
        shell.sleep(None);
        self.trace_object(object, &|_| "loses its memory".to_owned());
        self.answer_nobody(object);
        if self.mutant != Some(Mutant::WaitsForEver) {
            for connection in closed {
                self.close(object, connection, DisconnectReason::ServerRestarting);
            }
        }
        if was_interrupted {
            self.turn_on(object, vec![Input::Interrupted { rooms }], &[], Doom::None);
        }
        if turn
            .iter()
            .any(|input| matches!(input, Input::Alarm { .. }))
            && !was_sending
        {
            self.set_alarm(object, now.plus(60_000));
        }
        // Frames outlive it, where they are not committed.
        let is_frame = |input: &Input| {
            matches!(
                input,
                Input::Text { .. } | Input::Binary { .. } | Input::Closed { .. }
            )
        };
        let suspects = turn
            .into_iter()
            .filter(|input| is_frame(input) && !was_sending);
        let mut suspects: Vec<Input> = suspects.collect();
        if suspects.len() == 1
            && let Some(poison) = suspects.pop()
            && !matches!(poison, Input::Closed { .. })
        {
            let shell = &mut self.objects[object];
            let outputs = shell.refuse(&self.environment, now, &poison);
            self.carry_out(object, outputs);
        }
        for suspect in suspects {
            self.turn_on(object, vec![suspect], &[], Doom::None);
        }
        for frame in inbox.into_iter().filter(is_frame) {
            self.push(object, frame);
        }
        self.push(object, Input::Timer);
    }

    /// Any object that has nothing to do sleeps, if this one does.
    pub fn sleep(&mut self, object: ObjectId) -> bool {
        let shell = &mut self.objects[object];
        let may = shell.is_awake() && shell.is_idle();
        if may {
            shell.disk.tamper();
            shell.sleep(self.mutant);
            self.costs.sleeps += 1;
            self.trace_object(object, &|_| "sleeps".to_owned());
        }
        may
    }
}
