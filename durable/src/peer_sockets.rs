//! WebSockets from this object to others that it asks often. When one is worth having, and what is
//! said on it, is `dialtone_core::peer`'s; a question on one that breaks is as one whose request failed.

use std::{collections::HashMap, rc::Rc};

use dialtone_core::{
    limits::{CALL_TIMEOUT_MS, MAX_PEERS, PEER_WINDOW_MS},
    metrics::Count,
    names::{RoomName, Timestamp},
    object::{CallId, Input},
    peer::{self, Traffic},
    room::Delivery,
};
use worker::wasm_bindgen::JsValue;

use crate::{
    bindings::Socket,
    execute::{data_of, millis},
    metrics, peers,
    shell::{Asker, Shell, now},
};

/// What another object is asked, and with it who is told what it answers.
pub enum Question {
    /// The machine's own.
    Call(CallId),
    /// Parcels that are to arrive.
    Delivery(Delivery),
}

/// How a question goes.
pub enum Way {
    /// It is on its way, on a socket.
    Sent,
    /// By request.
    Request {
        /// The question.
        question: Question,
        /// From now on a socket is worth it: it is to be opened.
        opens: bool,
    },
}

#[derive(Default)]
struct Peer {
    traffic: Traffic,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Opening,
    Open(Open),
}

struct Open {
    socket: Socket,
    /// Which of the sockets that there were to this object.
    number: u64,
    /// What is not answered, and since when.
    asked: HashMap<u64, (Question, Timestamp)>,
}

/// The sockets, by whom they go to.
#[derive(Default)]
pub struct PeerSockets {
    peers: HashMap<RoomName, Peer>,
    last_number: u64,
}

impl PeerSockets {
    /// Asks `object`, on its socket if it has one.
    pub fn ask(
        &mut self,
        now: Timestamp,
        object: &RoomName,
        question: Question,
        body: &str,
    ) -> Way {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(object) {
            self.peers.retain(|_, peer| {
                !matches!(peer.state, State::Closed) || !peer.traffic.is_over(now)
            });
        }
        let number = self.next_number();
        let peer = self.peers.entry(object.clone()).or_default();
        let is_worth_it = peer.traffic.asks(now);
        if let State::Open(open) = &mut peer.state
            && open.socket.send(&peer::frame(number, body).into()).is_ok()
        {
            open.asked.insert(number, (question, now));
            return Way::Sent;
        }
        let opens = is_worth_it && matches!(peer.state, State::Closed);
        if opens {
            peer.state = State::Opening;
        }
        Way::Request { question, opens }
    }

    /// A number for a question, or for a socket that is about to be opened.
    pub fn next_number(&mut self) -> u64 {
        self.last_number = self.last_number.saturating_add(1);
        self.last_number
    }

    /// The socket to `object` is open, or could not be opened.
    pub fn opened(&mut self, object: &RoomName, number: u64, socket: Option<Socket>) {
        let Some(peer) = self.peers.get_mut(object) else {
            return;
        };
        let Some(socket) = socket else {
            // An object of the version before knows none: it is not asked for one each time.
            *peer = Peer::default();
            return;
        };
        metrics::count(Count::PeerSockets);
        peer.state = State::Open(Open {
            socket,
            number,
            asked: HashMap::new(),
        });
    }

    /// `object` has said something: an answer to this question.
    pub fn answered(
        &mut self,
        object: &RoomName,
        frame: &str,
    ) -> Option<(Question, Option<String>)> {
        let State::Open(open) = &mut self.peers.get_mut(object)?.state else {
            return None;
        };
        let (number, answer) = peer::parse(frame)?;
        let (question, _) = open.asked.remove(&number)?;
        Some((question, answer.map(str::to_owned)))
    }

    /// The socket of this number to `object` is gone; what was not answered on it will not be.
    pub fn closed(&mut self, object: &RoomName, number: u64) -> Vec<Question> {
        let peer = self.peers.get_mut(object);
        let Some(peer) = peer.filter(|p| matches!(&p.state, State::Open(o) if o.number == number))
        else {
            return Vec::new();
        };
        match std::mem::take(&mut peer.state) {
            State::Open(open) => open
                .asked
                .into_values()
                .map(|(question, _)| question)
                .collect(),
            State::Closed | State::Opening => Vec::new(),
        }
    }

    /// Closes sockets that are not worth it any more. Gives the questions that have waited too long, and
    /// says whether any socket is left.
    pub fn look(&mut self, now: Timestamp) -> (Vec<Question>, bool) {
        let (mut late, mut any) = (Vec::new(), false);
        for peer in self.peers.values_mut() {
            let State::Open(open) = &mut peer.state else {
                continue;
            };
            let is_late = |since: Timestamp| since.plus(CALL_TIMEOUT_MS) <= now;
            let over = open.asked.extract_if(|_, (_, since)| is_late(*since));
            late.extend(over.map(|(_, (question, _))| question));
            if open.asked.is_empty() && peer.traffic.is_over(now) {
                drop(open.socket.close_with(1000, "quiet"));
                peer.state = State::Closed;
            } else {
                any = true;
            }
        }
        (late, any)
    }
}

/// Asking on them, and by request; and being asked.
impl Shell {
    /// Asks another object: on the socket to it, or by request. In either case the answer is an input.
    pub(crate) fn ask_object(
        self: &Rc<Self>,
        object: RoomName,
        question: Question,
        body: &Rc<str>,
    ) {
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
        let number = self.peers.borrow_mut().next_number();
        let socket = socket.filter(|socket| self.listen(socket, &object, number).is_ok());
        self.peers.borrow_mut().opened(&object, number, socket);
        if !self.peers_are_looked_at.replace(true) {
            self.context.guard().later("look", millis(PEER_WINDOW_MS));
        }
    }

    fn listen(
        self: &Rc<Self>,
        socket: &Socket,
        object: &RoomName,
        number: u64,
    ) -> Result<(), JsValue> {
        let to = object.clone();
        let on_answer = self.listener(move |shell, event| {
            let Some(frame) = data_of(event).as_string() else {
                return;
            };
            let answered = shell.peers.borrow_mut().answered(&to, &frame);
            if let Some((question, answer)) = answered {
                shell.answered(question, answer);
            }
        });
        let to = object.clone();
        let on_close = self.listener(move |shell, _| {
            let unanswered = shell.peers.borrow_mut().closed(&to, number);
            for question in unanswered {
                shell.answered(question, None);
            }
        });
        socket.add_event_listener("message", &on_answer)?;
        socket.add_event_listener("close", &on_close)?;
        socket.add_event_listener("error", &on_close)?;
        self.context.guard().holds(socket);
        socket.accept()
    }

    pub(crate) fn look_at_peers(self: &Rc<Self>) {
        let (late, any) = self.peers.borrow_mut().look(now());
        self.peers_are_looked_at.set(any);
        if any {
            self.context.guard().later("look", millis(PEER_WINDOW_MS));
        }
        for question in late {
            self.answered(question, None);
        }
    }

    /// Another object asks, on its socket.
    pub(crate) fn asked(self: &Rc<Self>, socket: &Socket, message: &JsValue) {
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
}

/// An object whose socket is gone by now has been told so.
pub(crate) fn answer_peer(socket: &Socket, number: u64, json: &str) {
    drop(socket.send(&peer::frame(number, json).into()));
}
