//! The object's WebSockets by connection: a cache of what workerd keeps, rebuilt after a wake.

use std::collections::HashMap;

use dialtone_core::{
    hub::{Attachment, ConnectionId, DisconnectReason, Flush, Frame, echo_of},
    metrics::Count,
    names::Timestamp,
};
use worker::{
    WebSocketPair,
    js_sys::{Array, Date, Function, Uint8Array},
    wasm_bindgen::{JsCast, JsValue},
};

use crate::{
    bindings::{Context, OPEN, Socket},
    metrics,
};

/// What a socket from another object keeps, in place of an [`Attachment`].
const PEER: &str = "peer";
/// No client's: those begin at 1.
const PEER_CONNECTION: u32 = 0;

/// The tag of those that speak Engine.IO, or are about to: a tag is given once.
const ENGINE: &str = "engine";

/// Whose end of a WebSocket the other one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// A client's.
    Client(ConnectionId),
    /// Another object's, which asks.
    Peer,
}

/// Sockets by connection.
#[derive(Default)]
pub struct Sockets {
    by_connection: HashMap<ConnectionId, Socket>,
}

impl Sockets {
    /// Finds all open sockets and reads their attachments; says the last id that any socket, also
    /// one that is closing, has. One whose attachment another version
    /// wrote is closed with 1012 (service restart): its client comes back.
    pub fn restore(context: &Context) -> (Self, Vec<Attachment>, ConnectionId) {
        let mut sockets = Self::default();
        let mut attachments = Vec::new();
        let mut last = ConnectionId::default();
        for socket in context.get_web_sockets().unwrap_or_default().iter() {
            let socket: Socket = socket.unchecked_into();
            let kept = kept(&socket);
            if kept.as_deref() == Some(PEER) {
                continue;
            }
            match kept.and_then(|json| Attachment::from_json(&json)) {
                // Its close event is still to come, so its id must not be given out again.
                Some(attachment) if socket.ready_state() != OPEN => {
                    last = last.max(attachment.connection);
                }
                None if socket.ready_state() != OPEN => {}
                Some(attachment) => {
                    last = last.max(attachment.connection);
                    socket.set_connection(attachment.connection.0);
                    sockets.by_connection.insert(attachment.connection, socket);
                    attachments.push(attachment);
                }
                None => drop(socket.close_with(1012, "service restart")),
            }
        }
        (sockets, attachments, last)
    }

    /// Accepts a new WebSocket for hibernation; gives the client's end.
    pub fn accept(
        &mut self,
        context: &Context,
        attachment: &Attachment,
    ) -> Result<worker::WebSocket, JsValue> {
        let (socket, client) = pair()?;
        if attachment.sid().is_some() {
            let tags = Array::of1(&JsValue::from_str(ENGINE));
            context.accept_web_socket_tagged(&socket, &tags)?;
        } else {
            context.accept_web_socket(&socket)?;
        }
        keep(&socket, attachment)?;
        self.add(socket, attachment);
        Ok(client)
    }

    /// Accepts a new WebSocket the ordinary way; `on_message` and `on_close` get its events. workerd
    /// ends its TCP connection as soon as it is closed, which it does not for one accepted for
    /// hibernation that has never sent anything (seen 2026-11-21).
    pub fn accept_awake(
        &mut self,
        context: &Context,
        attachment: &Attachment,
        on_message: &Function,
        on_close: &Function,
    ) -> Result<worker::WebSocket, JsValue> {
        let (socket, client) = pair()?;
        socket.set_binary_type("arraybuffer");
        socket.add_event_listener("message", on_message)?;
        socket.add_event_listener("close", on_close)?;
        socket.add_event_listener("error", on_close)?;
        context.guard().holds(&socket);
        socket.accept()?;
        self.add(socket, attachment);
        Ok(client)
    }

    /// Accepts a WebSocket from another object.
    pub fn accept_peer(context: &Context) -> Result<worker::WebSocket, JsValue> {
        let (socket, client) = pair()?;
        context.accept_web_socket(&socket)?;
        socket.serialize_attachment(&JsValue::from_str(PEER))?;
        socket.set_connection(PEER_CONNECTION);
        Ok(client)
    }

    fn add(&mut self, socket: Socket, attachment: &Attachment) {
        socket.set_connection(attachment.connection.0);
        self.by_connection.insert(attachment.connection, socket);
        metrics::count(Count::Opened);
    }

    /// Keeps another attachment with a socket.
    pub fn attach(&self, attachment: &Attachment) -> Result<(), JsValue> {
        match self.by_connection.get(&attachment.connection) {
            Some(socket) => keep(socket, attachment),
            None => Ok(()),
        }
    }

    /// Sends frames; `values` keeps each one's JavaScript value for the next group. A socket that
    /// cannot be sent to is closing, and its close event follows.
    pub fn send(&self, flush: &Flush, values: &mut HashMap<*const u8, JsValue>) {
        let frames: Vec<JsValue> = flush
            .frames
            .iter()
            .map(|frame| {
                values
                    .entry(frame.address())
                    .or_insert_with(|| match frame {
                        Frame::Text(text) => {
                            #[cfg(feature = "panics")]
                            dialtone_core::panics::at_send(text);
                            JsValue::from_str(text)
                        }
                        Frame::Binary(bytes) => Uint8Array::from(&**bytes).into(),
                    })
                    .clone()
            })
            .collect();
        for connection in &flush.connections {
            let Some(socket) = self.by_connection.get(connection) else {
                continue;
            };
            for frame in &frames {
                if socket.send(frame).is_err() {
                    break;
                }
            }
        }
        let frames = frames.len().saturating_mul(flush.connections.len());
        metrics::count_many(Count::Deliveries, frames);
    }

    /// How many bytes workerd holds for each of these.
    pub fn waiting(&self, connections: &[ConnectionId]) -> Vec<(ConnectionId, usize)> {
        let waiting = connections.iter().filter_map(|connection| {
            let socket = self.by_connection.get(connection)?;
            let bytes = usize::try_from(whole(socket.buffered_amount()?));
            Some((*connection, bytes.unwrap_or(usize::MAX)))
        });
        waiting.collect()
    }

    /// The client waits for an answer that a panic would lose, or no longer.
    pub fn awaits(&self, connection: ConnectionId, awaits: bool) {
        if let Some(socket) = self.by_connection.get(&connection) {
            socket.set_awaits(awaits);
        }
    }

    /// Closes a socket from our side.
    pub fn close(&mut self, connection: ConnectionId, reason: DisconnectReason) {
        if let Some(socket) = self.by_connection.remove(&connection) {
            drop(socket.close_with(reason.code(), reason.text()));
            metrics::count(Count::Closed);
        }
    }

    /// The client closed one that was accepted the ordinary way.
    pub fn gone(&mut self, connection: ConnectionId) {
        if let Some(socket) = self.by_connection.remove(&connection) {
            drop(socket.close());
            metrics::count(Count::Closed);
        }
    }

    /// The client closed: workerd does not answer by itself, and without an answer it hangs. Says which
    /// it was; after a wake the cache is empty, but the roster still has to hear of it.
    pub fn closed(&mut self, socket: &Socket, code: u16, reason: &str) -> Option<ConnectionId> {
        drop(match echo_of(code) {
            Some(code) => socket.close_with(code, reason),
            None => socket.close(),
        });
        let connection = client_of(socket)?;
        if self.by_connection.remove(&connection).is_some() {
            metrics::count(Count::Closed);
        }
        Some(connection)
    }
}

/// The server's end, and the client's.
fn pair() -> Result<(Socket, worker::WebSocket), JsValue> {
    let pair = WebSocketPair::new().map_err(JsValue::from)?;
    let server: &worker::web_sys::WebSocket = pair.server.as_ref();
    Ok((server.clone().unchecked_into(), pair.client))
}

/// When the runtime last answered each socket's pong by itself.
pub fn heard(context: &Context) -> Vec<(ConnectionId, Timestamp)> {
    let sockets = context.get_web_sockets().unwrap_or_default();
    let heard = sockets.iter().filter_map(|socket| {
        let socket: Socket = socket.unchecked_into();
        Some((client_of(&socket)?, heard_at(context, &socket)?))
    });
    heard.collect()
}

fn heard_at(context: &Context, socket: &Socket) -> Option<Timestamp> {
    let at = context
        .get_web_socket_auto_response_timestamp(socket)
        .ok()?;
    Some(Timestamp(whole(at.dyn_into::<Date>().ok()?.get_time())))
}

/// The open WebSockets that speak Engine.IO, of an object that sleeps.
pub struct Engines(Vec<Socket>);

impl Engines {
    /// All of them.
    pub fn find(context: &Context) -> Self {
        let sockets = context.get_web_sockets_tagged(ENGINE).unwrap_or_default();
        let sockets = sockets.iter().map(JsCast::unchecked_into);
        Self(
            sockets
                .filter(|s: &Socket| s.ready_state() == OPEN)
                .collect(),
        )
    }

    /// When the runtime last answered each one's pong by itself.
    pub fn heard(&self, context: &Context) -> Vec<Option<Timestamp>> {
        self.0
            .iter()
            .map(|socket| heard_at(context, socket))
            .collect()
    }

    /// Pings them all. One that cannot be sent to is closing, and its close event follows.
    pub fn ping(&self) {
        let ping = JsValue::from_str("2");
        for socket in &self.0 {
            drop(socket.send(&ping));
        }
        metrics::count_many(Count::Deliveries, self.0.len());
    }
}

/// A whole number, as JavaScript has it.
pub fn whole(number: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // A cast saturates, and NaN is 0.
    let number = number as u64;
    number
}

/// Whom a socket is to. After a wake the JavaScript object may be a new one; the attachment knows.
pub fn other(socket: &Socket) -> Option<Other> {
    let connection = match socket.connection() {
        Some(connection) => connection,
        None => {
            let kept = kept(socket)?;
            let connection = match kept.as_str() {
                PEER => PEER_CONNECTION,
                json => Attachment::from_json(json)?.connection.0,
            };
            socket.set_connection(connection);
            connection
        }
    };
    Some(match connection {
        PEER_CONNECTION => Other::Peer,
        connection => Other::Client(ConnectionId(connection)),
    })
}

/// Which connection a socket is, if it is a client's.
fn client_of(socket: &Socket) -> Option<ConnectionId> {
    match other(socket)? {
        Other::Client(connection) => Some(connection),
        Other::Peer => None,
    }
}

fn kept(socket: &Socket) -> Option<String> {
    socket.deserialize_attachment().ok()?.as_string()
}

fn keep(socket: &Socket, attachment: &Attachment) -> Result<(), JsValue> {
    socket.serialize_attachment(&JsValue::from_str(&attachment.to_json()))
}
