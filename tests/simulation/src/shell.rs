//! One object as the runtime keeps it: its disk, its WebSockets with their attachments, its alarm, its
//! timer, what waits for an answer; and, while it is awake, the machine. Does what `durable/` does.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use dialtone_core::{
    error::Refusal,
    hub::{Attachment, ConnectionId, RequestId},
    names::{RoomName, Timestamp},
    object::{AutoResponse, Environment, Input, Object, Output, answer_without_room, beat},
    storage::StorageError,
};

use crate::{ledger::ClientId, mutant::Mutant, random::Random};

/// A WebSocket at the server's end.
#[derive(Debug)]
pub struct ServerWire {
    /// Which client's, and which of its wires.
    pub client: ClientId,
    /// See there.
    pub serial: u64,
    /// As it is stored: JSON.
    pub attachment: String,
    /// When the runtime last answered it by itself.
    pub heard: Option<Timestamp>,
}

/// What becomes of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doom {
    /// It goes through.
    None,
    /// Storage fails at this statement.
    StorageFails(u32),
    /// The process dies before the commit.
    DiesBefore,
    /// It dies when the commit is through, before anything is sent.
    DiesAfter,
    /// It panics before the commit.
    FallsBefore,
    /// It panics when the commit is through, before anything is sent.
    FallsAfter,
}

/// One object.
pub struct Shell<W> {
    /// Its name.
    pub name: RoomName,
    /// Its storage.
    pub disk: crate::disk::Disk,
    machine: Option<Object>,
    /// Which of its lives it is in: what was asked in another one is answered to nobody.
    pub life: u64,
    /// Its WebSockets.
    pub wires: BTreeMap<ConnectionId, ServerWire>,
    /// The last that is closed, whose close event may be still to come.
    pub closing: ConnectionId,
    /// What waits for its next turn.
    pub inbox: Vec<Input>,
    /// A turn is planned.
    pub turn_is_due: bool,
    /// Who waits for answers.
    pub waiting: HashMap<RequestId, W>,
    last_request: u64,
    /// Questions to others that are under way.
    pub asking: u64,
    /// How many of those bring something out of the outbox.
    pub bringing: u64,
    /// The rooms into which sockets are on their way, or out of which.
    pub moving: BTreeSet<RoomName>,
    /// Whose clients wait for what the machine alone knows of.
    pub awaits: BTreeSet<ConnectionId>,
    /// When it is woken by a timer in memory.
    pub timer: Option<Timestamp>,
    /// When it is woken by its alarm.
    pub alarm: Option<Timestamp>,
    /// What the runtime answers by itself.
    pub auto_response: Option<AutoResponse>,
    /// When it last had a turn.
    pub turned_at: Timestamp,
    /// What is sent to its clients arrives in order.
    pub down_at: Timestamp,
    seeds: Random,
}

impl<W> Shell<W> {
    /// An object that nobody has used.
    pub fn new(name: RoomName, mutant: Option<Mutant>, seeds: Random) -> Self {
        Self {
            name,
            disk: crate::disk::Disk::new(mutant),
            machine: None,
            life: 0,
            wires: BTreeMap::new(),
            closing: ConnectionId::default(),
            inbox: Vec::new(),
            turn_is_due: false,
            waiting: HashMap::new(),
            last_request: 0,
            asking: 0,
            bringing: 0,
            moving: BTreeSet::new(),
            awaits: BTreeSet::new(),
            timer: None,
            alarm: None,
            auto_response: None,
            turned_at: Timestamp(0),
            down_at: Timestamp(0),
            seeds,
        }
    }

    /// An id for somebody who waits.
    pub fn wait(&mut self, who: W) -> RequestId {
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.waiting.insert(request, who);
        request
    }

    /// Whether the runtime may put it to sleep.
    pub fn is_idle(&self) -> bool {
        self.timer.is_none() && self.asking == 0 && self.waiting.is_empty() && self.inbox.is_empty()
    }

    /// Whether it is in memory.
    pub fn is_awake(&self) -> bool {
        self.machine.is_some()
    }

    /// It sleeps: its disk and its sockets stay.
    pub fn sleep(&mut self, mutant: Option<Mutant>) {
        self.machine = None;
        self.life += 1;
        self.timer = None;
        self.asking = 0;
        self.bringing = 0;
        self.awaits.clear();
        self.moving.clear();
        if mutant == Some(Mutant::AttachmentsSwapped) {
            self.swap_attachments();
        }
    }

    /// Two plain sockets have each other's attachment, or two Engine.IO ones.
    fn swap_attachments(&mut self) {
        let ids: Vec<ConnectionId> = self.wires.keys().copied().collect();
        let [first, .., last] = ids[..] else { return };
        let (a, b) = (&self.wires[&first], &self.wires[&last]);
        let read = |wire: &ServerWire| Attachment::from_json(&wire.attachment).unwrap();
        let (mut a, mut b) = (read(a), read(b));
        std::mem::swap(&mut a.connection, &mut b.connection);
        self.wires.get_mut(&first).unwrap().attachment = b.to_json();
        self.wires.get_mut(&last).unwrap().attachment = a.to_json();
    }

    /// When the runtime last answered each socket by itself.
    pub fn heard(&self) -> Vec<(ConnectionId, Timestamp)> {
        let heard = self.wires.iter();
        heard
            .filter_map(|(id, wire)| Some((*id, wire.heard?)))
            .collect()
    }

    /// The alarm rings while it sleeps: whom it may just ping, and when the alarm rings next.
    pub fn beat(
        &self,
        environment: &Environment,
        now: Timestamp,
    ) -> Option<(Vec<ConnectionId>, Timestamp)> {
        if self.is_awake() {
            return None;
        }
        let has_engine = |wire: &ServerWire| {
            Attachment::from_json(&wire.attachment).is_some_and(|a| a.sid().is_some())
        };
        let engines = || self.wires.iter().filter(|(_, wire)| has_engine(wire));
        let heard: Vec<Option<Timestamp>> = engines().map(|(_, wire)| wire.heard).collect();
        let next = beat(&self.disk, &environment.config, &self.name, now, &heard);
        Some((engines().map(|(id, _)| *id).collect(), next.unwrap()?))
    }

    /// One transaction. A turn that fails, or whose process dies, is rolled back; then the outputs are
    /// what it would have sent.
    pub fn transact(
        &mut self,
        environment: &Rc<Environment>,
        now: Timestamp,
        inputs: &[Input],
        doom: Doom,
        mutant: Option<Mutant>,
    ) -> (Vec<Output>, bool) {
        if let Doom::StorageFails(n) = doom {
            self.disk.fails_in.set(Some(n));
        }
        self.disk.begin();
        let result = self.turn(environment, now, inputs);
        let has_failed = result.is_err();
        // The statement that was to fail was beyond the turn's last.
        let is_lost =
            mutant == Some(Mutant::CommitNotDurable) && self.seeds.below(20) == 0 && !has_failed;
        self.disk.fails_in.set(None);
        let refusal = Refusal::internal();
        let failed = match (self.machine.take_if(|_| has_failed), inputs) {
            (Some(machine), _) => machine.failed(now, inputs, &refusal),
            (None, [one]) => one.undone(now, &refusal).into_iter().collect(),
            (None, _) => Vec::new(),
        };
        if has_failed || matches!(doom, Doom::DiesBefore | Doom::FallsBefore) || is_lost {
            self.disk.roll_back();
            self.machine = None;
        } else {
            self.disk.commit();
        }
        match result {
            Ok(outputs) => (in_one_order(outputs), true),
            Err(StorageError::Sqlite(_)) if matches!(doom, Doom::StorageFails(_)) => {
                (failed, false)
            }
            // Its own mutants may leave it what it cannot read; nothing else may.
            Err(_) if mutant.is_some() => (Vec::new(), false),
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    /// A turn of this has panicked, and it is passed over: what a machine that has heard nothing of it says.
    pub fn refuse(
        &mut self,
        environment: &Rc<Environment>,
        now: Timestamp,
        input: &Input,
    ) -> Vec<Output> {
        self.disk.begin();
        let woken = self.wake(environment, now);
        self.disk.commit();
        woken.unwrap();
        let machine = self.machine.take().unwrap();
        let inputs = std::slice::from_ref(input);
        in_one_order(machine.failed(now, inputs, &Refusal::internal()))
    }

    fn turn(
        &mut self,
        environment: &Rc<Environment>,
        now: Timestamp,
        inputs: &[Input],
    ) -> Result<Vec<Output>, StorageError> {
        if self.machine.is_none()
            && let Some(answers) = answer_without_room(&self.disk, inputs)?
        {
            return Ok(answers);
        }
        self.wake(environment, now)?;
        let machine = self.machine.as_mut().unwrap();
        machine.turn(&self.disk, now, inputs)
    }

    fn wake(&mut self, environment: &Rc<Environment>, now: Timestamp) -> Result<(), StorageError> {
        if self.machine.is_none() {
            let attachments = self.wires.values();
            let attachments =
                attachments.map(|wire| Attachment::from_json(&wire.attachment).unwrap());
            let last = self.wires.keys().next_back().copied().unwrap_or_default();
            let last = last.max(self.closing);
            let object = Object::open(
                &self.disk,
                Rc::clone(environment),
                self.name.clone(),
                self.seeds.seed(),
                now,
                attachments.collect(),
                last,
            )?;
            self.machine = Some(object);
        }
        Ok(())
    }
}

/// Core goes through some things in the order of their hashes, which is another in each process: where
/// the order is of no meaning, a seed must give the same one.
fn in_one_order(mut outputs: Vec<Output>) -> Vec<Output> {
    for output in &mut outputs {
        if let Output::Send(flush) = output {
            flush.connections.sort_unstable();
        }
    }
    for run in outputs.chunk_by_mut(|a, b| kind_of(a) == kind_of(b)) {
        match run {
            [Output::Send(_), ..] => run.sort_by_key(|output| match output {
                Output::Send(flush) => flush.connections.first().copied(),
                _ => None,
            }),
            [Output::Close { .. }, ..] => run.sort_by_key(|output| match output {
                Output::Close { connection, .. } => Some(*connection),
                _ => None,
            }),
            _ => {}
        }
    }
    outputs
}

fn kind_of(output: &Output) -> std::mem::Discriminant<Output> {
    std::mem::discriminant(output)
}
