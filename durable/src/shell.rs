//! What is between workerd and the machine: inputs gather here, a turn is one transaction, and what is left when the
//! machine is taken away stays here. What a turn wants done is carried out in [`execute`](crate::execute).

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
};

use dialtone_core::{
    error::Refusal,
    hub::{Attachment, ConnectionId},
    metrics::{Count, Gauges},
    names::{NameError, RoomName, Timestamp},
    object::{self, Input, Object, Output, Polled, RequestId, answer_without_room},
    storage::StorageError,
    wire::{Connect, EngineRequest, Request as RoomRequest},
};
use futures::channel::oneshot;
use serde_json::json;
use worker::{Date, Env, WebSocket, wasm_bindgen::JsValue};

use crate::{
    analytics,
    bindings::{Context, Socket},
    environment::environment,
    logging, metrics,
    peer_sockets::PeerSockets,
    random,
    sockets::{Engines, Sockets},
    storage::{ObjectSql, describe},
};

/// A request, before it has its id.
pub(crate) enum Pending {
    Open(Box<Connect>),
    Engine(Box<EngineRequest>, String),
    Request(Box<RoomRequest>),
}

/// What a request gets.
pub(crate) enum Answer {
    Upgrade(WebSocket),
    Polled(Polled),
    Json(Result<String, Refusal>),
}

/// Who waits for an answer.
pub(crate) enum Asker {
    /// A request that is under way.
    Request(oneshot::Sender<Answer>),
    /// Another object, on its socket, under this number.
    Peer(Socket, u64),
}

/// What is left when the machine is taken away: workerd's handles, and the inputs that wait.
pub(crate) struct Shell {
    pub(crate) context: Context,
    pub(crate) env: Env,
    pub(crate) machine: RefCell<Option<Object>>,
    pub(crate) sockets: RefCell<Sockets>,
    /// Their attachments, until the machine has them.
    pub(crate) restored: RefCell<Option<(Vec<Attachment>, ConnectionId)>>,
    pub(crate) inbox: RefCell<Vec<Input>>,
    pub(crate) waiting: RefCell<HashMap<RequestId, Asker>>,
    pub(crate) last_request: Cell<u64>,
    pub(crate) peers: RefCell<PeerSockets>,
    pub(crate) peers_are_looked_at: Cell<bool>,
    pub(crate) turn_is_due: Cell<bool>,
    /// The last turn had several inputs.
    pub(crate) is_busy: Cell<bool>,
    pub(crate) is_turning: Cell<bool>,
    /// What the machine had open when it was last asked.
    pub(crate) gauges: Cell<Option<Gauges>>,
    pub(crate) timer: RefCell<JsValue>,
}

impl Shell {
    pub(crate) fn new(context: Context, env: Env) -> Rc<Self> {
        Rc::new(Self {
            context,
            env,
            machine: RefCell::default(),
            sockets: RefCell::default(),
            restored: RefCell::default(),
            inbox: RefCell::default(),
            waiting: RefCell::default(),
            last_request: Cell::default(),
            peers: RefCell::default(),
            peers_are_looked_at: Cell::default(),
            turn_is_due: Cell::default(),
            is_busy: Cell::default(),
            is_turning: Cell::default(),
            gauges: Cell::default(),
            timer: RefCell::new(JsValue::UNDEFINED),
        })
    }

    /// An input. What comes before the event loop is free again is one turn. The first of it does not
    /// wait, unless the last turn was of several: where little goes on, nothing waits.
    pub(crate) fn push(self: &Rc<Self>, input: Input) {
        self.inbox.borrow_mut().push(input);
        if self.turn_is_due.replace(true) {
            return;
        }
        self.context.guard().later("turn", 0.0);
        if !self.is_busy.get() && !self.is_turning.get() {
            self.turn();
        }
    }

    /// A request: an input whose turn, or a later one, answers.
    pub(crate) async fn ask(self: &Rc<Self>, pending: Pending) -> Answer {
        let (sender, answer) = oneshot::channel();
        let request = self.wait(Asker::Request(sender));
        self.push(match pending {
            Pending::Open(connect) => Input::Open { request, connect },
            Pending::Engine(engine, body) => Input::Engine {
                request,
                engine,
                body,
            },
            Pending::Request(body) => Input::Request { request, body },
        });
        answer
            .await
            .unwrap_or_else(|_| Answer::Json(Err(Refusal::internal())))
    }

    pub(crate) fn wait(&self, asker: Asker) -> RequestId {
        let request = RequestId(self.last_request.get().saturating_add(1));
        self.last_request.set(request.0);
        self.waiting.borrow_mut().insert(request, asker);
        request
    }

    pub(crate) fn closed(self: &Rc<Self>, socket: &Socket, code: u16, reason: &str) {
        let client = self.sockets.borrow_mut().closed(socket, code, reason);
        if let Some(connection) = client {
            self.push(Input::Closed { connection });
        }
    }

    /// One turn: all that waits. False if any of it failed, and nobody could be told.
    pub(crate) fn turn(self: &Rc<Self>) -> bool {
        self.context.guard().turn(&mut || self.take_turn())
    }

    fn take_turn(self: &Rc<Self>) -> bool {
        // What its outputs push has a turn of its own, after this one.
        self.is_turning.set(true);
        let inputs = std::mem::take(&mut *self.inbox.borrow_mut());
        self.is_busy.set(inputs.len() > 1);
        if inputs.iter().any(|input| input.request().is_some()) {
            self.context.guard().asked();
        }
        let ok = self.turn_on(&inputs, &[]);
        self.is_turning.set(false);
        ok
    }

    /// The machine in one transaction, then its outputs in order. What storage cannot take is tried
    /// one by one: one bad input must not take the others with it. `later` have their turn after these.
    fn turn_on(self: &Rc<Self>, inputs: &[Input], later: &[Input]) -> bool {
        if inputs.len() > 1 && inputs.iter().any(Input::is_alone) {
            return self.turn_on_each(inputs);
        }
        let Err(refusal) = self.transact(inputs) else {
            return true;
        };
        self.forsake(inputs, later, &refusal);
        match inputs {
            [one] => one.undone(now(), &refusal).is_some(),
            many => self.turn_on_each(many),
        }
    }

    fn turn_on_each(self: &Rc<Self>, inputs: &[Input]) -> bool {
        let alone = inputs.iter().enumerate().filter(|(n, one)| {
            let later = inputs.get(n.saturating_add(1)..).unwrap_or_default();
            !self.turn_on(std::slice::from_ref(one), later)
        });
        alone.count() == 0
    }

    /// What the next machine must hear of one that is lost.
    pub(crate) fn interrupted(&self) -> Input {
        Input::Interrupted {
            rooms: self.take_moving(),
        }
    }

    fn take_moving(&self) -> Vec<RoomName> {
        let rooms = self.context.guard().take_moving();
        let rooms = rooms.iter().filter_map(|room| RoomName::parse(room).ok());
        rooms.collect()
    }

    /// Likewise, where the shell stays: deliveries are answered still.
    fn tell_next(&self) {
        let rooms = self.take_moving();
        if rooms.is_empty() {
            return;
        }
        let mut inbox = self.inbox.borrow_mut();
        inbox.insert(0, Input::Interrupted { rooms });
        if !self.turn_is_due.replace(true) {
            self.context.guard().later("turn", 0.0);
        }
    }

    /// A turn of these has failed. The machine says who is told what, and goes; requests that nobody but
    /// it knew of are answered.
    fn forsake(self: &Rc<Self>, inputs: &[Input], later: &[Input], refusal: &Refusal) {
        let machine = self.machine.borrow_mut().take();
        let outputs = match (machine, inputs) {
            (Some(machine), _) => machine.failed(now(), inputs, refusal),
            (None, [one]) => one.undone(now(), refusal).into_iter().collect(),
            (None, _) => Vec::new(),
        };
        self.carry_out(outputs);
        self.tell_next();
        let inbox = self.inbox.borrow();
        let known = inputs.iter().chain(later).chain(inbox.iter());
        let known: HashSet<RequestId> = known.filter_map(Input::request).collect();
        let waiting: Vec<RequestId> = self.waiting.borrow().keys().copied().collect();
        for request in waiting.into_iter().filter(|id| !known.contains(id)) {
            self.answer(request, Answer::Json(Err(Refusal::internal())));
        }
    }

    /// A turn's transaction, and what comes of it. One that fails is rolled back whole; the machine's
    /// memory is ahead of storage then.
    fn transact(self: &Rc<Self>, inputs: &[Input]) -> Result<(), Refusal> {
        if inputs.is_empty() {
            return Ok(());
        }
        let sql = ObjectSql(self.context.storage().sql());
        let now = now();
        let mut outputs = Vec::new();
        let mut refusal = Refusal::internal();
        let mut body = || match self.turn_in(&sql, now, inputs) {
            Ok(done) => {
                outputs = done;
                Ok(JsValue::UNDEFINED)
            }
            Err(failure) => {
                refusal = failure.refusal;
                Err(JsValue::from_str(&failure.log))
            }
        };
        if let Err(error) = self.context.guard().transaction(&mut body) {
            metrics::count(Count::StorageErrors);
            let fields = json!({
                "error": describe(&error),
                "code": refusal.code,
                "inputs": inputs.len()
            });
            logging::error("turn_failed", fields);
            return Err(refusal);
        }
        analytics::report(&self.env, now);
        self.carry_out(outputs);
        Ok(())
    }

    fn turn_in(
        &self,
        sql: &ObjectSql,
        now: Timestamp,
        inputs: &[Input],
    ) -> Result<Vec<Output>, Failure> {
        let mut machine = self.machine.borrow_mut();
        if let [restore] = inputs
            && restore.is_alone()
        {
            let environment = environment(&self.env)?;
            let restored = object::restore(sql, &environment, &self.name()?, now, restore)?;
            if restored.is_taken {
                *machine = None;
            }
            return Ok(restored.outputs);
        }
        if machine.is_none()
            && let Some(answers) = answer_without_room(sql, inputs)?
        {
            return Ok(answers);
        }
        let machine = match machine.as_mut() {
            Some(machine) => machine,
            None => machine.insert(self.wake(sql, now)?),
        };
        let outputs = machine.turn(sql, now, inputs)?;
        metrics::turn(inputs.len(), |counts| machine.count_into(counts));
        let gauges = machine.gauges();
        if self.gauges.replace(Some(gauges)) != Some(gauges) {
            metrics::opens(machine.name().clone(), gauges);
        }
        Ok(outputs)
    }

    /// A heartbeat, where the machine is not needed for it.
    pub(crate) fn beat(&self) -> bool {
        let is_asleep = self.machine.borrow().is_none() && self.inbox.borrow().is_empty();
        let (true, Ok(name), Ok(environment)) = (is_asleep, self.name(), environment(&self.env))
        else {
            return false;
        };
        let engines = Engines::find(&self.context);
        let sql = ObjectSql(self.context.storage().sql());
        let heard = engines.heard(&self.context);
        match object::beat(&sql, &environment.config, &name, now(), &heard) {
            Ok(Some(next)) => {
                engines.ping();
                self.set_wake(None, Some(next));
                true
            }
            Ok(None) => false,
            Err(error) => {
                logging::error("beat_failed", json!({"error": error.to_string()}));
                false
            }
        }
    }

    /// A turn of this has panicked, and it is passed over: a machine that has heard nothing of it says what
    /// its sender is told.
    pub(crate) fn refuse(self: &Rc<Self>, input: &Input) {
        let guard = self.context.guard();
        guard.turn(&mut || {
            let sql = ObjectSql(self.context.storage().sql());
            let mut body = || {
                let machine = self.wake(&sql, now());
                let machine = machine.map_err(|failure| JsValue::from_str(&failure.log))?;
                *self.machine.borrow_mut() = Some(machine);
                Ok(JsValue::UNDEFINED)
            };
            drop(guard.transaction(&mut body));
            self.forsake(std::slice::from_ref(input), &[], &Refusal::internal());
            true
        });
    }

    /// A turn has panicked, and no frame is to blame.
    pub(crate) fn fell(&self) {
        let sql = ObjectSql(self.context.storage().sql());
        if let Err(error) = object::fell(&sql, now()) {
            logging::error("fall_not_counted", json!({"error": error.to_string()}));
        }
    }

    fn name(&self) -> Result<RoomName, NameError> {
        RoomName::parse(&self.context.id().name().unwrap_or_default())
    }

    /// Finds the sockets of an object that wakes, and reads their attachments.
    pub(crate) fn find_sockets(&self) -> (Vec<Attachment>, ConnectionId) {
        let (sockets, attachments, last) = Sockets::restore(&self.context);
        *self.sockets.borrow_mut() = sockets;
        (attachments, last)
    }

    /// Builds the machine from storage and the sockets' attachments.
    fn wake(&self, sql: &ObjectSql, now: Timestamp) -> Result<Object, Failure> {
        let (name, environment) = (self.name()?, environment(&self.env)?);
        let restored = self.restored.take();
        let (attachments, last) = restored.unwrap_or_else(|| self.find_sockets());
        Ok(Object::open(
            sql,
            environment,
            name,
            random::seed(),
            now,
            attachments,
            last,
        )?)
    }
}

/// What stopped a turn: what is logged of it, and what those are told who wait for it.
struct Failure {
    log: String,
    refusal: Refusal,
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self {
            log: error.to_string(),
            refusal: error.refusal(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            log: refusal.message.clone(),
            refusal,
        }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self {
            log: error.to_string(),
            refusal: Refusal::internal(),
        }
    }
}

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp(Date::now().as_millis())
}
