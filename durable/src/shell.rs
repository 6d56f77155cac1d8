//! What is between workerd and the machine: inputs gather here, a turn is one transaction, and what is left when the
//! machine is taken away stays here. What a turn wants done is carried out in [`execute`](crate::execute).

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use dialtone_core::{
    error::Refusal,
    hub::{Attachment, ConnectionId},
    names::{NameError, RoomName, Timestamp},
    object::{self, Input, Object, Output, Polled, RequestId, answer_without_room},
    storage::StorageError,
    wire::{Connect, EngineRequest, Request as RoomRequest},
};
use futures::channel::oneshot;
use serde_json::json;
use worker::{
    Date, Env, WebSocket,
    js_sys::Function,
    wasm_bindgen::{JsCast, JsValue, closure::Closure},
};

use crate::{
    bindings::{Context, Socket, set_timeout},
    environment::environment,
    logging,
    metrics::{self, Wake},
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
    pub(crate) timer: RefCell<JsValue>,
    pub(crate) on_turn: Function,
    pub(crate) on_timer: Function,
    pub(crate) on_look: Function,
}

impl Shell {
    pub(crate) fn new(context: Context, env: Env) -> Rc<Self> {
        // The two callbacks are made once: the object lives as long as its isolate keeps it, and a
        // closure a turn would be garbage a turn.
        Rc::new_cyclic(|shell: &std::rc::Weak<Self>| {
            let callback = |run: fn(&Rc<Self>)| {
                let shell = shell.clone();
                let closure: Closure<dyn FnMut()> = Closure::new(move || {
                    if let Some(shell) = shell.upgrade() {
                        run(&shell);
                    }
                });
                closure.into_js_value().unchecked_into()
            };
            Self {
                on_turn: callback(|shell| {
                    shell.turn_is_due.set(false);
                    shell.turn();
                }),
                on_timer: callback(|shell| {
                    metrics::wake(Wake::Timer);
                    shell.inbox.borrow_mut().push(Input::Timer);
                    shell.turn();
                }),
                on_look: callback(|shell| {
                    metrics::wake(Wake::Timer);
                    shell.look_at_peers();
                }),
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
                timer: RefCell::new(JsValue::UNDEFINED),
            }
        })
    }

    /// An input. What comes before the event loop is free again is one turn. The first of it does not
    /// wait, unless the last turn was of several: where little goes on, nothing waits.
    pub(crate) fn push(self: &Rc<Self>, input: Input) {
        self.inbox.borrow_mut().push(input);
        if self.turn_is_due.replace(true) {
            return;
        }
        set_timeout(&self.on_turn, 0.0);
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
        // What its outputs push has a turn of its own, after this one.
        self.is_turning.set(true);
        let inputs = std::mem::take(&mut *self.inbox.borrow_mut());
        self.is_busy.set(inputs.len() > 1);
        let ok = self.turn_on(&inputs);
        self.is_turning.set(false);
        ok
    }

    /// The machine in one transaction, then its outputs in order. What storage cannot take is tried
    /// one by one: one bad input must not take the others with it.
    fn turn_on(self: &Rc<Self>, inputs: &[Input]) -> bool {
        if inputs.len() > 1 && inputs.iter().any(Input::is_alone) {
            return self.turn_on_each(inputs);
        }
        match (self.transact(inputs), inputs) {
            (Ok(outputs), _) => {
                self.carry_out(outputs);
                true
            }
            (Err(refusal), [one]) => {
                let undone = one.undone(now(), &refusal);
                let is_answered = undone.is_some();
                self.carry_out(undone.into_iter().collect());
                is_answered
            }
            (Err(_), many) => self.turn_on_each(many),
        }
    }

    fn turn_on_each(self: &Rc<Self>, inputs: &[Input]) -> bool {
        let alone = inputs.iter();
        let alone = alone.map(|one| self.turn_on(std::slice::from_ref(one)));
        alone.filter(|ok| !ok).count() == 0
    }

    /// A turn's transaction. One that fails is rolled back whole; the machine's memory is ahead of
    /// storage then, so it goes too, and is built anew by the next turn.
    fn transact(&self, inputs: &[Input]) -> Result<Vec<Output>, Refusal> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let storage = self.context.storage();
        let sql = ObjectSql(storage.sql());
        let mut outputs = Vec::new();
        let mut refusal = Refusal::internal();
        let mut body = || match self.turn_in(&sql, now(), inputs) {
            Ok(done) => {
                outputs = done;
                Ok(JsValue::UNDEFINED)
            }
            Err(failure) => {
                refusal = failure.refusal;
                Err(JsValue::from_str(&failure.log))
            }
        };
        match storage.transaction_sync(&mut body) {
            Ok(_) => Ok(outputs),
            Err(error) => {
                metrics::storage_error();
                let fields = json!({
                    "error": describe(&error),
                    "code": refusal.code,
                    "inputs": inputs.len()
                });
                logging::error("turn_failed", fields);
                *self.machine.borrow_mut() = None;
                Err(refusal)
            }
        }
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
        metrics::turn(machine.take_stats());
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
