//! The Room object: workerd's callbacks become core's inputs, core's outputs are carried out.
//!
//! Nothing is decided here. Inputs gather until the event loop is free (`setTimeout(0)`), then one
//! turn handles them in one transaction; workerd's output gate holds what the turn sends until the
//! transaction is on disk.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use dialtone_core::{
    auth::TokenError,
    error::{Code, Problem, Refusal},
    hub::{Attachment, ConnectionId},
    limits::PEER_WINDOW_MS,
    names::{RoomName, Timestamp},
    object::{self, Input, Object, Output, Polled, RequestId, answer_without_room},
    peer::{self, PEER_HEADER},
    room::Delivery,
    storage::StorageError,
    wire::{CONNECT_HEADER, Connect, ENGINE_HEADER, EngineRequest, Method, Request as RoomRequest},
};
use futures::channel::oneshot;
use serde_json::json;
use worker::{
    Date, DurableObject, Env, Request, Response, Result, State, WebSocket, durable_object,
    js_sys::{Function, Reflect, Uint8Array, futures::future_to_promise},
    wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen},
};

use crate::{
    bindings::{AutoResponsePair, Context, Socket, clear_timeout, set_timeout},
    environment::environment,
    logging,
    metrics::{self, Wake},
    peer_sockets::{PeerSockets, Question, Way},
    peers, random,
    sockets::{Engines, Other, Sockets, heard, other},
    storage::{ObjectSql, describe},
    tokens,
};

/// A room.
#[durable_object(fetch)]
pub struct Room {
    shell: Rc<Shell>,
}

impl DurableObject for Room {
    fn new(state: State, env: Env) -> Self {
        metrics::wake(Wake::Constructor);
        let context: Context = JsValue::from(state._inner()).unchecked_into();
        Self {
            shell: Shell::new(context, env),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        metrics::wake(Wake::Fetch);
        let headers = request.headers();
        if headers.get(PEER_HEADER)?.is_some() {
            return Response::from_websocket(Sockets::accept_peer(&self.shell.context)?);
        }
        let input = if let Some(connect) = headers.get(CONNECT_HEADER)? {
            Pending::Open(serde_json::from_str(&connect)?)
        } else if let Some(engine) = headers.get(ENGINE_HEADER)? {
            let engine: Box<EngineRequest> = serde_json::from_str(&engine)?;
            let body = match engine.method {
                Method::Post => request.text().await?,
                Method::Get | Method::Upgrade => String::new(),
            };
            Pending::Engine(engine, body)
        } else {
            Pending::Request(serde_json::from_str(&request.text().await?)?)
        };
        match self.shell.ask(input).await {
            Answer::Upgrade(client) => Response::from_websocket(client),
            Answer::Json(Ok(json)) => {
                let mut response = Response::ok(json)?;
                response
                    .headers_mut()
                    .set("content-type", "application/json")?;
                Ok(response)
            }
            Answer::Json(Err(refusal)) => problem(&refusal),
            Answer::Polled(answer) => polled(answer),
        }
    }
}

/// The other callbacks, by hand: those that the macro makes are asynchronous, and a promise and its
/// microtasks for each frame cost more than the frame does.
#[wasm_bindgen]
impl Room {
    /// The alarm rings. workerd calls one again that failed.
    pub fn alarm(&self) -> std::result::Result<(), JsValue> {
        metrics::wake(Wake::Alarm);
        if self.shell.beat() {
            return Ok(());
        }
        // Whom the runtime heard is known by the attachments: they are read once.
        if self.shell.machine.borrow().is_none() {
            let restored = self.shell.find_sockets();
            self.shell.restored.replace(Some(restored));
        }
        self.shell.inbox.borrow_mut().push(Input::Alarm {
            heard: heard(&self.shell.context),
        });
        if self.shell.turn() {
            Ok(())
        } else {
            Err(JsValue::from_str("the turn failed"))
        }
    }

    /// A frame.
    #[wasm_bindgen(js_name = webSocketMessage)]
    pub fn web_socket_message(&self, socket: &Socket, message: &JsValue) {
        metrics::wake(Wake::Message);
        match other(socket) {
            Some(Other::Client(connection)) => self.shell.push(frame(connection, message)),
            Some(Other::Peer) => self.shell.asked(socket, message),
            None => {}
        }
    }

    /// A client has closed, or is gone.
    #[wasm_bindgen(js_name = webSocketClose)]
    pub fn web_socket_close(&self, socket: &Socket, code: u16, reason: &str) {
        metrics::wake(Wake::Close);
        self.shell.closed(socket, code, reason);
    }

    /// A socket has failed.
    #[wasm_bindgen(js_name = webSocketError)]
    pub fn web_socket_error(&self, socket: &Socket) {
        metrics::wake(Wake::Error);
        self.shell.closed(socket, 1006, "");
    }
}

/// What came on a socket.
fn frame(connection: ConnectionId, message: &JsValue) -> Input {
    match message.as_string() {
        Some(text) => Input::Text { connection, text },
        None => Input::Binary {
            connection,
            bytes: Uint8Array::new(message).to_vec(),
        },
    }
}

/// `application/problem+json` (RFC 9457).
pub fn problem(refusal: &Refusal) -> Result<Response> {
    let body = serde_json::to_string(&Problem::from(refusal))?;
    let mut response = Response::ok(body)?.with_status(refusal.code.status());
    let headers = response.headers_mut();
    headers.set("content-type", "application/problem+json")?;
    match refusal.code.status() {
        401 => headers.set("www-authenticate", "Bearer")?,
        429 => headers.set("retry-after", "1")?,
        _ if refusal.code == Code::Unavailable => headers.set("retry-after", "5")?,
        _ => {}
    }
    Ok(response)
}

/// The answer to a polling request.
pub fn polled(answer: Polled) -> Result<Response> {
    let (status, content_type, body) = match answer {
        Polled::Payload(payload) => (200, "text/plain; charset=UTF-8", payload),
        Polled::Ok => (200, "text/html", "ok".to_owned()),
        Polled::Error(error) => (error.status(), "application/json", error.to_json()),
    };
    let mut response = Response::ok(body)?.with_status(status);
    let headers = response.headers_mut();
    headers.set("content-type", content_type)?;
    headers.set("cache-control", "no-store")?;
    Ok(response)
}

/// A request, before it has its id.
enum Pending {
    Open(Box<Connect>),
    Engine(Box<EngineRequest>, String),
    Request(Box<RoomRequest>),
}

/// What a request gets.
enum Answer {
    Upgrade(WebSocket),
    Polled(Polled),
    Json(std::result::Result<String, Refusal>),
}

/// Who waits for an answer.
enum Asker {
    /// A request that is under way.
    Request(oneshot::Sender<Answer>),
    /// Another object, on its socket, under this number.
    Peer(Socket, u64),
}

/// What is left when the machine is taken away: workerd's handles, and the inputs that wait.
struct Shell {
    context: Context,
    env: Env,
    machine: RefCell<Option<Object>>,
    sockets: RefCell<Sockets>,
    /// Their attachments, until the machine has them.
    restored: RefCell<Option<(Vec<Attachment>, ConnectionId)>>,
    inbox: RefCell<Vec<Input>>,
    waiting: RefCell<HashMap<RequestId, Asker>>,
    last_request: Cell<u64>,
    peers: RefCell<PeerSockets>,
    peers_are_looked_at: Cell<bool>,
    turn_is_due: Cell<bool>,
    /// The last turn had several inputs.
    is_busy: Cell<bool>,
    is_turning: Cell<bool>,
    timer: RefCell<JsValue>,
    on_turn: Function,
    on_timer: Function,
    on_look: Function,
}

impl Shell {
    fn new(context: Context, env: Env) -> Rc<Self> {
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
    fn push(self: &Rc<Self>, input: Input) {
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
    async fn ask(self: &Rc<Self>, pending: Pending) -> Answer {
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

    fn wait(&self, asker: Asker) -> RequestId {
        let request = RequestId(self.last_request.get().saturating_add(1));
        self.last_request.set(request.0);
        self.waiting.borrow_mut().insert(request, asker);
        request
    }

    /// Another object asks, on its socket.
    fn asked(self: &Rc<Self>, socket: &Socket, message: &JsValue) {
        let Some(text) = message.as_string() else {
            return;
        };
        let Some((number, body)) = peer::parse(&text) else {
            return;
        };
        match body.and_then(|body| serde_json::from_str(body).ok()) {
            Some(body) => {
                let request = self.wait(Asker::Peer(socket.clone(), number));
                self.push(Input::Request { request, body });
            }
            None => answer_peer(socket, number, ""),
        }
    }

    fn closed(self: &Rc<Self>, socket: &Socket, code: u16, reason: &str) {
        let client = self.sockets.borrow_mut().closed(socket, code, reason);
        if let Some(connection) = client {
            self.push(Input::Closed { connection });
        }
    }

    /// One turn: all that waits. False if any of it failed.
    fn turn(self: &Rc<Self>) -> bool {
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
        match (self.transact(inputs), inputs) {
            (Ok(outputs), _) => {
                self.carry_out(outputs);
                true
            }
            (Err(()), [one]) => {
                self.carry_out(one.undone().into_iter().collect());
                false
            }
            (Err(()), many) => {
                let alone = many
                    .iter()
                    .map(|one| self.turn_on(std::slice::from_ref(one)));
                alone.filter(|ok| !ok).count() == 0
            }
        }
    }

    /// A turn's transaction. One that fails is rolled back whole; the machine's memory is ahead of
    /// storage then, so it goes too, and is built anew by the next turn.
    fn transact(&self, inputs: &[Input]) -> std::result::Result<Vec<Output>, ()> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let storage = self.context.storage();
        let sql = ObjectSql(storage.sql());
        let now = now();
        let mut outputs = Vec::new();
        let mut body = || {
            let mut machine = self.machine.borrow_mut();
            if machine.is_none() {
                let answers = answer_without_room(&sql, inputs).map_err(|error| thrown(&error))?;
                if let Some(answers) = answers {
                    outputs = answers;
                    return Ok(JsValue::UNDEFINED);
                }
            }
            let machine = match machine.as_mut() {
                Some(machine) => machine,
                None => machine.insert(self.wake(&sql, now)?),
            };
            outputs = machine
                .turn(&sql, now, inputs)
                .map_err(|error| thrown(&error))?;
            metrics::turn(machine.take_stats());
            Ok(JsValue::UNDEFINED)
        };
        storage
            .transaction_sync(&mut body)
            .map(|_| ())
            .map_err(|error| {
                metrics::storage_error();
                let fields = json!({"error": describe(&error), "inputs": inputs.len()});
                logging::error("turn_failed", fields);
                *self.machine.borrow_mut() = None;
            })?;
        Ok(outputs)
    }

    /// A heartbeat, where the machine is not needed for it.
    fn beat(&self) -> bool {
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

    fn name(&self) -> std::result::Result<RoomName, JsValue> {
        let name = self.context.id().name().unwrap_or_default();
        RoomName::parse(&name).map_err(|error| JsValue::from_str(&error.to_string()))
    }

    /// Finds the sockets of an object that wakes, and reads their attachments.
    fn find_sockets(&self) -> (Vec<Attachment>, ConnectionId) {
        let (sockets, attachments, last) = Sockets::restore(&self.context);
        *self.sockets.borrow_mut() = sockets;
        (attachments, last)
    }

    /// Builds the machine from storage and the sockets' attachments.
    fn wake(&self, sql: &ObjectSql, now: Timestamp) -> std::result::Result<Object, JsValue> {
        let name = self.name()?;
        let environment =
            environment(&self.env).map_err(|refusal| JsValue::from_str(&refusal.message))?;
        let restored = self.restored.take();
        let (attachments, last) = restored.unwrap_or_else(|| self.find_sockets());
        Object::open(
            sql,
            environment,
            name,
            random::seed(),
            now,
            attachments,
            last,
        )
        .map_err(|error| thrown(&error))
    }

    fn carry_out(self: &Rc<Self>, outputs: Vec<Output>) {
        let mut values = HashMap::new();
        for output in outputs {
            match output {
                Output::Accept {
                    request,
                    attachment,
                    hibernates,
                } => {
                    let accepted = if hibernates {
                        self.sockets.borrow_mut().accept(&self.context, &attachment)
                    } else {
                        self.accept_awake(&attachment)
                    };
                    let answer = match accepted {
                        Ok(client) => Answer::Upgrade(client),
                        Err(error) => {
                            logging::error("accept_failed", json!({"error": describe(&error)}));
                            self.push(Input::Closed {
                                connection: attachment.connection,
                            });
                            Answer::Json(Err(Refusal::internal()))
                        }
                    };
                    self.answer(request, answer);
                }
                Output::Attach(attachment) => {
                    if let Err(error) = self.sockets.borrow().attach(&attachment) {
                        logging::error("attach_failed", json!({"error": describe(&error)}));
                    }
                }
                Output::Send(flush) => self.sockets.borrow().send(&flush, &mut values),
                Output::Close { connection, reason } => {
                    self.sockets.borrow_mut().close(connection, reason);
                    logging::info("disconnected", json!({"reason": reason.text()}));
                }
                Output::Reply { request, answer } => self.answer(request, Answer::Json(answer)),
                Output::Poll { request, answer } => self.answer(request, Answer::Polled(answer)),
                Output::AutoResponse(which) => {
                    let (message, answer) = which.pair();
                    if let Ok(pair) = AutoResponsePair::new(message, answer) {
                        drop(self.context.set_web_socket_auto_response(&pair));
                    }
                }
                Output::Listen => self.push(Input::Heard(heard(&self.context))),
                Output::Ask { call, object, body } => {
                    self.ask_object(object, Question::Call(call), &body);
                }
                Output::Verify { call, token } => {
                    let shell = Rc::clone(self);
                    self.spawn(async move {
                        let verdict = match environment(&shell.env) {
                            Ok(environment) => tokens::finish(&environment.keys, token).await,
                            Err(_) => Err(TokenError::NotConfigured),
                        };
                        shell.push(Input::Verified { call, verdict });
                    });
                }
                Output::Deliver { room, delivery } => {
                    let parcels = delivery.parcels.clone();
                    let request = RoomRequest::Deliver { parcels };
                    let body = serde_json::to_string(&request).unwrap_or_default();
                    self.ask_object(room, Question::Delivery(delivery), &body.into());
                }
                Output::Post(post) => {
                    let shell = Rc::clone(self);
                    self.spawn(async move {
                        let delivered = peers::post_event(&post).await;
                        shell.delivered(post.delivery, delivered);
                    });
                }
                Output::Twilio { job, call } => {
                    let shell = Rc::clone(self);
                    self.spawn(async move {
                        let answer = peers::call_twilio(&call).await;
                        shell.push(Input::Twilio { job, answer });
                    });
                }
                Output::Wake { timer, alarm } => self.set_wake(timer, alarm),
            }
        }
    }

    /// A socket whose events come to listeners of its own.
    fn accept_awake(
        self: &Rc<Self>,
        attachment: &Attachment,
    ) -> std::result::Result<WebSocket, JsValue> {
        let connection = attachment.connection;
        let listener = |run: fn(&Rc<Self>, ConnectionId, JsValue)| -> Function {
            let shell = Rc::downgrade(self);
            let closure: Closure<dyn FnMut(JsValue)> = Closure::new(move |event| {
                if let Some(shell) = shell.upgrade() {
                    run(&shell, connection, event);
                }
            });
            closure.into_js_value().unchecked_into()
        };
        let on_message = listener(|shell, connection, event| {
            metrics::wake(Wake::Message);
            shell.push(frame(connection, &data_of(&event)));
        });
        let on_close = listener(|shell, connection, _| {
            metrics::wake(Wake::Close);
            shell.sockets.borrow_mut().gone(connection);
            shell.push(Input::Closed { connection });
        });
        self.sockets
            .borrow_mut()
            .accept_awake(attachment, &on_message, &on_close)
    }

    fn answer(&self, request: RequestId, answer: Answer) {
        let asker = self.waiting.borrow_mut().remove(&request);
        match (asker, answer) {
            (Some(Asker::Request(sender)), answer) => drop(sender.send(answer)),
            (Some(Asker::Peer(socket, number)), Answer::Json(Ok(json))) => {
                answer_peer(&socket, number, &json);
            }
            (Some(Asker::Peer(socket, number)), _) => answer_peer(&socket, number, ""),
            (None, _) => {}
        }
    }

    // ── Other objects ────────────────────────────────────────────────────────────────────────────

    /// Asks another object: on the socket to it, or by request. In either case the answer is an input.
    fn ask_object(self: &Rc<Self>, object: RoomName, question: Question, body: &Rc<str>) {
        let way = self.peers.borrow_mut().ask(now(), &object, question, body);
        let Way::Request { question, opens } = way else {
            return;
        };
        if opens {
            self.spawn(Rc::clone(self).open_peer(object.clone()));
        }
        let (shell, body) = (Rc::clone(self), Rc::clone(body));
        self.spawn(async move {
            let answer = peers::ask_json(&shell.env, &object, &body).await;
            shell.answered(question, answer);
        });
    }

    fn answered(self: &Rc<Self>, question: Question, answer: Option<String>) {
        metrics::hop(answer.is_some());
        match question {
            Question::Call(call) => self.push(Input::Answered { call, answer }),
            Question::Delivery(delivery) => self.delivered(delivery, answer.is_some()),
        }
    }

    /// Opens a socket to another object. Until it is there, questions go by request.
    async fn open_peer(self: Rc<Self>, object: RoomName) {
        let socket = peers::connect(&self.env, &object).await;
        let number = self.peers.borrow_mut().number();
        let socket = socket.filter(|socket| self.listen(socket, &object, number).is_ok());
        self.peers.borrow_mut().opened(&object, number, socket);
        if !self.peers_are_looked_at.replace(true) {
            set_timeout(&self.on_look, millis(PEER_WINDOW_MS));
        }
    }

    fn listen(
        self: &Rc<Self>,
        socket: &Socket,
        object: &RoomName,
        number: u64,
    ) -> std::result::Result<(), JsValue> {
        let listener = |run: fn(&Rc<Self>, &RoomName, u64, &JsValue)| -> Function {
            let (shell, object) = (Rc::downgrade(self), object.clone());
            let closure: Closure<dyn FnMut(JsValue)> = Closure::new(move |event| {
                if let Some(shell) = shell.upgrade() {
                    run(&shell, &object, number, &event);
                }
            });
            closure.into_js_value().unchecked_into()
        };
        let on_answer = listener(|shell, object, _, event| {
            let Some(frame) = data_of(event).as_string() else {
                return;
            };
            let answered = shell.peers.borrow_mut().answered(object, &frame);
            if let Some((question, answer)) = answered {
                shell.answered(question, answer);
            }
        });
        let on_close = listener(|shell, object, number, _| {
            let unanswered = shell.peers.borrow_mut().closed(object, number);
            for question in unanswered {
                shell.answered(question, None);
            }
        });
        socket.add_event_listener("message", &on_answer)?;
        socket.add_event_listener("close", &on_close)?;
        socket.add_event_listener("error", &on_close)?;
        socket.accept()
    }

    fn look_at_peers(self: &Rc<Self>) {
        let (late, any) = self.peers.borrow_mut().look(now());
        self.peers_are_looked_at.set(any);
        if any {
            set_timeout(&self.on_look, millis(PEER_WINDOW_MS));
        }
        for question in late {
            self.answered(question, None);
        }
    }

    fn delivered(self: &Rc<Self>, delivery: Delivery, delivered: bool) {
        self.push(Input::Delivered {
            delivery,
            delivered,
        });
    }

    /// Something that goes on after the turn.
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let promise = future_to_promise(std::panic::AssertUnwindSafe(async move {
            task.await;
            Ok(JsValue::UNDEFINED)
        }));
        drop(self.context.wait_until(&promise));
    }

    fn set_wake(&self, timer: Option<Timestamp>, alarm: Option<Timestamp>) {
        if let Some(at) = timer {
            let wait = at.0.saturating_sub(now().0);
            let timer = set_timeout(&self.on_timer, millis(wait));
            clear_timeout(&self.timer.replace(timer));
        }
        if let Some(at) = alarm
            && let Err(error) = self.context.storage().set_alarm(millis(at.0))
        {
            logging::error("alarm_failed", json!({"error": describe(&error)}));
        }
    }
}

/// What a message's event brings.
fn data_of(event: &JsValue) -> JsValue {
    Reflect::get(event, &JsValue::from_str("data")).unwrap_or_default()
}

/// An object whose socket is gone by now has been told so.
fn answer_peer(socket: &Socket, number: u64, json: &str) {
    drop(socket.send(&peer::frame(number, json).into()));
}

fn now() -> Timestamp {
    Timestamp(Date::now().as_millis())
}

fn thrown(error: &StorageError) -> JsValue {
    JsValue::from_str(&error.to_string())
}

/// Milliseconds as JavaScript's number; exact below 2^53, in the year 287,396.
fn millis(ms: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let ms = ms as f64;
    ms
}
