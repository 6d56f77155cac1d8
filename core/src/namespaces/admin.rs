//! `/admin`: what Socket.IO's own admin UI (npm `@socket.io/admin-ui`) speaks. Who may watch, what they are
//! told, and what they may have done; who tells it to whom is in `object/watch.rs`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    Action, Client, Namespace,
    namespace::{room_in_payload, unknown_event},
};
use crate::{
    auth::Claims,
    error::{Code, Refusal},
    event::Args,
    names::{RoomName, Timestamp, UserId},
    wire::{Change, Deed, Order},
};

/// The namespace `/admin`.
pub struct Admin;

const CONFIG: &str = "config";
const ALL_SOCKETS: &str = "all_sockets";
const SOCKET_CONNECTED: &str = "socket_connected";
const SOCKET_UPDATED: &str = "socket_updated";
const SOCKET_DISCONNECTED: &str = "socket_disconnected";
const ROOM_JOINED: &str = "room_joined";
const ROOM_LEFT: &str = "room_left";
const SERVER_STATS: &str = "server_stats";

/// What its page may offer: what it has buttons for. Without `AGGREGATED_EVENTS` it counts what it is
/// shown itself and wants no statistics every two seconds, without `ALL_EVENTS` no events.
const FEATURES: [&str; 4] = ["DISCONNECT", "LEAVE", "MDISCONNECT", "MLEAVE"];

/// At these words, and no others, its page asks for the password again.
const ASK_AGAIN: &str = "invalid credentials";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    supported_features: [&'static str; 4],
}

/// `_disconnect`'s arguments.
#[derive(Deserialize)]
struct Disconnect {
    namespace: String,
    client: bool,
    whom: String,
}

/// `leave`'s arguments.
#[derive(Deserialize)]
struct Leave {
    namespace: String,
    room: String,
    #[serde(default)]
    whom: Option<String>,
}

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
        let config = Config {
            supported_features: FEATURES,
        };
        vec![Action::emit(CONFIG, &config)]
    }

    fn event(&self, _: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        let order = match event {
            "_disconnect" => {
                let Disconnect {
                    namespace,
                    client,
                    whom,
                } = read(args)?;
                let deed = Deed::Disconnect { client };
                Order {
                    namespace,
                    whom,
                    deed,
                }
            }
            "leave" => {
                let Leave {
                    namespace,
                    room,
                    whom,
                } = read(args)?;
                Order {
                    namespace,
                    deed: Deed::Leave(room_in_payload(&room)?),
                    whom: whom.unwrap_or(room),
                }
            }
            _ => return Err(unknown_event(self.name(), event)),
        };
        Ok(vec![Action::Administer(order)])
    }
}

/// Arguments by their places.
fn read<T: DeserializeOwned>(args: &Args) -> Result<T, Refusal> {
    serde_json::from_str(&args.to_array())
        .map_err(|_| Refusal::invalid("these are not the event's arguments"))
}

/// A socket, as its page has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its session; not the whole of it, for that is a secret.
    pub client_id: &'a str,
    /// `websocket` or `polling`.
    pub transport: &'static str,
    /// Its namespace.
    pub nsp: &'a str,
    /// Whose it is.
    pub data: Whose<'a>,
    /// How it came.
    pub handshake: Handshake<'a>,
    /// The rooms that it is in.
    pub rooms: Vec<&'a str>,
}

/// Whose a socket is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Whose<'a> {
    /// The user.
    pub user_id: &'a UserId,
    /// Their name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Their role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'a str>,
}

/// How a socket came. Addresses are not kept; the object that holds it stands in its place.
#[derive(Debug, Serialize)]
pub struct Handshake<'a> {
    /// The object.
    pub address: &'a RoomName,
    /// When, in milliseconds since 1970.
    pub issued: Timestamp,
    /// Not kept.
    pub headers: Nothing,
    /// Not kept.
    pub query: Nothing,
}

/// `{}`.
#[derive(Debug, Serialize)]
pub struct Nothing {}

/// An object that holds sockets, as its page has it: a server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats<'a> {
    /// Its name.
    pub server_id: &'a RoomName,
    /// The same: it is on no host of ours.
    pub hostname: &'a RoomName,
    /// Nor is it a process.
    pub pid: u32,
    /// For so many seconds it has been awake.
    pub uptime: u64,
    /// Its sessions.
    pub clients_count: usize,
    /// Those of them that poll.
    pub polling_clients_count: usize,
}

fn change(event: &str, args: &impl Serialize) -> Change {
    Change {
        event: event.to_owned(),
        args: Args::several(args),
    }
}

/// A socket as JSON.
pub fn socket(shown: &Shown<'_>) -> Box<RawValue> {
    serde_json::value::to_raw_value(shown).unwrap_or_default()
}

/// All of them; those that are not among them are no more.
pub fn all_sockets(sockets: &[Box<RawValue>]) -> Change {
    change(ALL_SOCKETS, &(sockets,))
}

/// A socket has connected.
pub fn connected(socket: &RawValue, at: Timestamp) -> Change {
    change(SOCKET_CONNECTED, &(socket, at.rfc3339()))
}

/// It polls no longer.
pub fn upgraded(namespace: &str, id: &str) -> Change {
    #[derive(Serialize)]
    struct Upgraded<'a> {
        id: &'a str,
        nsp: &'a str,
        transport: &'static str,
    }
    let upgraded = Upgraded {
        id,
        nsp: namespace,
        transport: WEBSOCKET,
    };
    change(SOCKET_UPDATED, &(upgraded,))
}

/// It is gone.
pub fn disconnected(namespace: &str, id: &str, reason: &str, at: Timestamp) -> Change {
    change(SOCKET_DISCONNECTED, &(namespace, id, reason, at.rfc3339()))
}

/// It is in a room, or is no longer.
pub fn moved(namespace: &str, room: &RoomName, id: &str, is_in: bool, at: Timestamp) -> Change {
    let event = if is_in { ROOM_JOINED } else { ROOM_LEFT };
    change(event, &(namespace, room, id, at.rfc3339()))
}

/// How an object is.
pub fn stats(stats: &Stats<'_>) -> Change {
    change(SERVER_STATS, &(stats,))
}

/// The transport's name.
pub const WEBSOCKET: &str = "websocket";
/// The other one's.
pub const POLLING: &str = "polling";
