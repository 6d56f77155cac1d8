//! Carries out what a turn wants done, in order.

use std::{collections::HashMap, rc::Rc};

use dialtone_core::{
    auth::TokenError,
    error::Refusal,
    hub::Attachment,
    metrics::Wake,
    names::Timestamp,
    object::{Input, Output, RequestId},
    room::Delivery,
    wire::Request as RoomRequest,
};
use serde_json::json;
use worker::{
    WebSocket,
    js_sys::{Function, Reflect, futures::future_to_promise},
    wasm_bindgen::{JsCast, JsValue, closure::Closure},
};

use crate::{
    bindings::{AutoResponsePair, clear_timeout},
    environment::environment,
    logging, metrics,
    peer_sockets::{Question, answer_peer},
    peers,
    room::frame,
    shell::{Answer, Asker, Shell, now},
    storage::describe,
    tokens,
};

impl Shell {
    pub(crate) fn carry_out(self: &Rc<Self>, outputs: Vec<Output>) {
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
                Output::Measure(connections) => {
                    let waiting = self.sockets.borrow().waiting(&connections);
                    self.push(Input::Measured(waiting));
                }
                Output::Ask { call, object, body } => {
                    self.ask_object(object, Question::Call(call), &body);
                }
                Output::Awaits { connection, awaits } => {
                    self.sockets.borrow().awaits(connection, awaits);
                }
                Output::Moves { room, under_way } => {
                    self.context.guard().moves(room.as_str(), under_way);
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
                    self.context.guard().brings(1);
                    let parcels = delivery.parcels.clone();
                    let request = RoomRequest::Deliver { parcels };
                    let body = serde_json::to_string(&request).unwrap_or_default();
                    self.ask_object(room, Question::Delivery(delivery), &body.into());
                }
                Output::Post(post) => {
                    self.context.guard().brings(1);
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
    fn accept_awake(self: &Rc<Self>, attachment: &Attachment) -> Result<WebSocket, JsValue> {
        let connection = attachment.connection;
        let on_message = self.listener(move |shell, event| {
            metrics::wake(Wake::Message);
            shell.push(frame(connection, &data_of(event)));
        });
        let on_close = self.listener(move |shell, _| {
            metrics::wake(Wake::Close);
            shell.sockets.borrow_mut().gone(connection);
            shell.push(Input::Closed { connection });
        });
        self.sockets
            .borrow_mut()
            .accept_awake(&self.context, attachment, &on_message, &on_close)
    }

    /// What listens to events of a socket, as long as there is the object.
    pub(crate) fn listener(
        self: &Rc<Self>,
        run: impl Fn(&Rc<Self>, &JsValue) + 'static,
    ) -> Function {
        let shell = Rc::downgrade(self);
        let closure: Closure<dyn FnMut(JsValue)> = Closure::new(move |event| {
            if let Some(shell) = shell.upgrade() {
                run(&shell, &event);
            }
        });
        closure.into_js_value().unchecked_into()
    }

    pub(crate) fn answer(&self, request: RequestId, answer: Answer) {
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

    pub(crate) fn delivered(self: &Rc<Self>, delivery: Delivery, delivered: bool) {
        self.context.guard().brings(-1);
        self.push(Input::Delivered {
            delivery,
            delivered,
        });
    }

    /// Something that goes on after the turn.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let promise = future_to_promise(std::panic::AssertUnwindSafe(async move {
            task.await;
            Ok(JsValue::UNDEFINED)
        }));
        drop(self.context.wait_until(&promise));
    }

    pub(crate) fn set_wake(&self, timer: Option<Timestamp>, alarm: Option<Timestamp>) {
        if let Some(at) = timer {
            let wait = at.0.saturating_sub(now().0);
            let timer = self.context.guard().later("timer", millis(wait));
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
pub(crate) fn data_of(event: &JsValue) -> JsValue {
    Reflect::get(event, &JsValue::from_str("data")).unwrap_or_default()
}

/// Milliseconds as JavaScript's number; exact below 2^53, in the year 287,396.
pub(crate) fn millis(ms: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let ms = ms as f64;
    ms
}
