//! The Room object: workerd's callbacks become core's inputs, core's outputs are carried out.
//!
//! Nothing is decided here. Inputs gather until the event loop is free (`setTimeout(0)`), then one
//! turn handles them in one transaction; workerd's output gate holds what the turn sends until the
//! transaction is on disk.

use std::rc::Rc;

use dialtone_core::{
    error::{Code, Problem, Refusal},
    hub::ConnectionId,
    metrics::{Count, Wake},
    object::{Input, Polled},
    peer::{self, PEER_HEADER},
    wire::{CONNECT_HEADER, ENGINE_HEADER, EngineRequest, Method, read},
};
use worker::{
    DurableObject, Env, Request, Response, Result, State, durable_object,
    js_sys::Uint8Array,
    wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen},
};

use crate::{
    bindings::{Context, Socket},
    logging, metrics,
    peer_sockets::answer_peer,
    shell::{Answer, Pending, Shell},
    sockets::{Other, Sockets, heard, other},
};

/// A room.
#[durable_object(fetch)]
pub struct Room {
    shell: Rc<Shell>,
}

impl DurableObject for Room {
    fn new(state: State, env: Env) -> Self {
        logging::panics();
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
            read(&connect).map(Pending::Open)
        } else if let Some(engine) = headers.get(ENGINE_HEADER)? {
            match read::<Box<EngineRequest>>(&engine) {
                Ok(engine) => {
                    let body = match engine.method {
                        Method::Post => request.text().await?,
                        Method::Get | Method::Upgrade => String::new(),
                    };
                    Ok(Pending::Engine(engine, body))
                }
                Err(refusal) => Err(refusal),
            }
        } else {
            read(&request.text().await?).map(Pending::Request)
        };
        let input = match input {
            Ok(input) => input,
            Err(refusal) => return problem(&refusal),
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
    /// The alarm rings. False if what was due failed: it is to ring again.
    pub fn alarm(&self) -> bool {
        metrics::wake(Wake::Alarm);
        if self.shell.beat() {
            return true;
        }
        // Whom the runtime heard is known by the attachments: they are read once.
        if self.shell.machine.borrow().is_none() {
            let restored = self.shell.find_sockets();
            self.shell.restored.replace(Some(restored));
        }
        self.shell.inbox.borrow_mut().push(Input::Alarm {
            heard: heard(&self.shell.context),
        });
        self.shell.turn()
    }

    /// The event loop is free.
    pub fn turn(&self) {
        self.shell.turn_is_due.set(false);
        self.shell.turn();
    }

    /// Something is due.
    pub fn timer(&self) {
        metrics::wake(Wake::Timer);
        self.shell.inbox.borrow_mut().push(Input::Timer);
        self.shell.turn();
    }

    /// It is time to look whether the sockets to other objects are still worth it.
    pub fn look(&self) {
        metrics::wake(Wake::Timer);
        self.shell.look_at_peers();
    }

    /// A turn has panicked, and no frame is to blame.
    pub fn fell(&self) {
        self.shell.fell();
    }

    /// A panic has ended the machine while things were under way.
    pub fn interrupted(&self) {
        let interrupted = self.shell.interrupted();
        self.shell.inbox.borrow_mut().push(interrupted);
        self.shell.turn();
    }

    /// A frame has made a turn panic, and has not happened: whoever sent it is told.
    pub fn refuse(&self, socket: &Socket, message: &JsValue) {
        match other(socket) {
            Some(Other::Client(connection)) => self.shell.refuse(&frame(connection, message)),
            Some(Other::Peer) => {
                let text = message.as_string().unwrap_or_default();
                if let Some((number, _)) = peer::parse(&text) {
                    answer_peer(socket, number, "");
                }
            }
            None => {}
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
pub(crate) fn frame(connection: ConnectionId, message: &JsValue) -> Input {
    match message.as_string() {
        Some(text) => Input::Text { connection, text },
        None => Input::Binary {
            connection,
            bytes: Uint8Array::new(message).to_vec(),
        },
    }
}

/// `application/problem+json` (RFC 9457). Every refusal over HTTP is made here, and counted.
pub fn problem(refusal: &Refusal) -> Result<Response> {
    metrics::count(Count::Refusals(refusal.code));
    let body = serde_json::to_string(&Problem::from(refusal))?;
    let mut response = Response::ok(body)?.with_status(refusal.code.status());
    let headers = response.headers_mut();
    headers.set("content-type", "application/problem+json")?;
    match refusal.code.status() {
        401 => headers.set("www-authenticate", "Bearer")?,
        429 => headers.set("retry-after", "1")?,
        _ if matches!(refusal.code, Code::Unavailable | Code::SchemaNewer) => {
            headers.set("retry-after", "5")?
        }
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
