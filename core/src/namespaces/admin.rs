//! `/admin`: what Socket.IO's own admin UI (npm `@socket.io/admin-ui`) speaks. Who may watch, what they are
//! told, and what they may have done; who tells it to whom is in `object/watch.rs`.
//!
//! What is told is written as text: names of namespaces, rooms and events, ids and times have no character
//! that JSON would have to escape.

use serde_json::value::RawValue;

use super::{
    Action, Client, Namespace,
    namespace::{room_in_payload, unknown_event},
};
use crate::{
    auth::Claims,
    error::{Code, Refusal},
    event::{Args, raw},
    names::{RoomName, Timestamp},
    wire::Kept,
};

/// The namespace `/admin`.
pub struct Admin;

/// What its page may offer: what it has buttons for. Without `AGGREGATED_EVENTS` it counts what it is
/// shown itself and wants no statistics every two seconds, without `ALL_EVENTS` no events.
const CONFIG: &str =
    r#"{"supportedFeatures":["JOIN","LEAVE","DISCONNECT","MLEAVE","MDISCONNECT"]}"#;

/// At these words, and no others, its page asks for the password again.
const ASK_AGAIN: &str = "invalid credentials";

impl Namespace for Admin {
    fn name(&self) -> &'static str {
        "/admin"
    }

    fn may_connect(&self, claims: &Claims) -> Result<(), Refusal> {
        if claims.has_role("admin") {
            Ok(())
        } else {
            Err(Refusal::forbidden("this is for role `admin`"))
        }
    }

    fn says_no<'a>(&self, refusal: &'a Refusal) -> &'a str {
        match refusal.code {
            Code::Unauthorized | Code::TokenExpired => ASK_AGAIN,
            _ => &refusal.message,
        }
    }

    fn watches(&self) -> bool {
        true
    }

    fn connect(&self, _: &Client<'_>) -> Vec<Action> {
        let Kept { event, args } = one("config", CONFIG.to_owned());
        vec![Action::Emit { event, args }]
    }

    fn event(&self, _: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        order(event, args)?;
        Ok(vec![Action::Administer(Kept {
            event: event.to_owned(),
            args: args.clone(),
        })])
    }
}

/// What an admin wants done with sockets.
#[derive(Debug)]
pub struct Order {
    /// With those of this namespace.
    pub namespace: String,
    /// With the one of this id, or those that are in the room of this name.
    pub whom: String,
    /// What.
    pub deed: Deed,
}

/// What is done with a socket.
#[derive(Debug)]
pub enum Deed {
    /// It joins a room, if its token lets it: as if its client had asked.
    Join(RoomName),
    /// It is taken out of a room.
    Leave(RoomName),
    /// It is disconnected.
    Disconnect,
    /// Its client is, with all its sockets.
    DisconnectClient,
}

/// What an event of the page means.
pub fn order(event: &str, args: &Args) -> Result<Order, Refusal> {
    let args = args.to_array();
    let args: Vec<&RawValue> = serde_json::from_str(&args).unwrap_or_default();
    let text = |n: usize| -> Option<String> { serde_json::from_str(args.get(n)?.get()).ok() };
    let (namespace, what, whom) = (text(0).ok_or_else(wrong)?, text(1), text(2));
    let room = || room_in_payload(what.as_deref().ok_or_else(wrong)?);
    let (deed, whom) = match event {
        "join" => (Deed::Join(room()?), whom),
        // All who are there.
        "leave" => (Deed::Leave(room()?), whom.or(what)),
        "_disconnect" => match args.get(1).map(|client| client.get()) {
            Some("true") => (Deed::DisconnectClient, whom),
            _ => (Deed::Disconnect, whom),
        },
        _ => return Err(unknown_event(Admin.name(), event)),
    };
    Ok(Order {
        namespace,
        whom: whom.ok_or_else(wrong)?,
        deed,
    })
}

fn wrong() -> Refusal {
    Refusal::invalid("these are not the event's arguments")
}

/// A socket, as its page has it.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its session; not the whole of it, for that is a secret.
    pub client: &'a str,
    /// Whether it polls.
    pub polls: bool,
    /// Its namespace.
    pub namespace: &'a str,
    /// Whose it is.
    pub claims: &'a Claims,
    /// The object that holds it. Addresses of clients are not kept; it stands in their place.
    pub home: &'a RoomName,
    /// When it came.
    pub since: Timestamp,
    /// The rooms that it is in, a JSON array.
    pub rooms: String,
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A socket, as it is in a list.
pub fn socket(shown: &Shown<'_>) -> Kept {
    let Shown {
        id,
        client,
        polls,
        namespace,
        claims,
        home,
        since,
        rooms,
    } = shown;
    let transport = if *polls { "polling" } else { "websocket" };
    let (user, name, role) = (json(&claims.user), json(&claims.name), json(&claims.role));
    let Timestamp(issued) = since;
    one(
        ALL_SOCKETS,
        format!(
            r#"{{"id":"{id}","clientId":"{client}","transport":"{transport}","nsp":"{namespace}","data":{{"userId":{user},"name":{name},"role":{role}}},"handshake":{{"address":"{home}","issued":{issued},"headers":{{}},"query":{{}}}},"rooms":{rooms}}}"#
        ),
    )
}

/// The list of all sockets; between objects, of each one.
pub const ALL_SOCKETS: &str = "all_sockets";

fn one(event: &str, json: String) -> Kept {
    Kept {
        event: event.to_owned(),
        args: Args::One(raw(json)),
    }
}

fn several(event: &str, json: String) -> Kept {
    Kept {
        event: event.to_owned(),
        args: Args::Array(raw(json)),
    }
}

/// All of them, as far as they are no longer than that together, and the others; those that are not among
/// them are no more.
pub fn all_sockets(sockets: &[Box<RawValue>], most_bytes: usize) -> (Kept, &[Box<RawValue>]) {
    let mut list = "[".to_owned();
    let mut others = sockets;
    while let [socket, rest @ ..] = others
        && list.len().saturating_add(socket.get().len()) < most_bytes
    {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(socket.get());
        others = rest;
    }
    list.push(']');
    (one(ALL_SOCKETS, list), others)
}

/// A socket has connected.
pub fn connected(socket: &RawValue, at: Timestamp) -> Kept {
    several(
        "socket_connected",
        format!(r#"[{socket},"{}"]"#, at.rfc3339()),
    )
}

/// It polls no longer.
pub fn upgraded(namespace: &str, id: &str) -> Kept {
    one(
        "socket_updated",
        format!(r#"{{"id":"{id}","nsp":"{namespace}","transport":"websocket"}}"#),
    )
}

/// It is gone.
pub fn disconnected(namespace: &str, id: &str, reason: &str, at: Timestamp) -> Kept {
    let at = at.rfc3339();
    several(
        "socket_disconnected",
        format!(r#"["{namespace}","{id}","{reason}","{at}"]"#),
    )
}

/// It is in a room, or is no longer.
pub fn moved(namespace: &str, room: &RoomName, id: &str, is_in: bool, at: Timestamp) -> Kept {
    let event = if is_in { "room_joined" } else { "room_left" };
    let at = at.rfc3339();
    several(event, format!(r#"["{namespace}","{room}","{id}","{at}"]"#))
}

/// An object that holds sockets: for its page, a server. It is on no host and in no process of ours.
pub fn stats(name: &RoomName, uptime_s: u64, clients: usize, polling: usize) -> Kept {
    one(
        "server_stats",
        format!(
            r#"{{"serverId":"{name}","hostname":"{name}","pid":0,"uptime":{uptime_s},"clientsCount":{clients},"pollingClientsCount":{polling}}}"#
        ),
    )
}

/// What cannot be shown. `message` has nothing to escape.
pub fn warning(code: Code, message: &str) -> Kept {
    let code = code.as_str();
    one(
        "error",
        format!(r#"{{"message":"{message}","code":"{code}"}}"#),
    )
}
