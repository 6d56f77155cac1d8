//! What objects tell the one that holds an admin who watches them (the namespace `/admin`).
//!
//! ```text
//! watcher → object   Request::Watch { by }        answered by Watched: what is there now
//! object → watcher   Request::News(News)         answered by Heard: whether anyone still watches
//! watcher → object   Request::Administer(Order)   answered by nothing
//! ```
//!
//! News are told by an object that something has happened to, and so is awake. Nobody asks twice: the
//! answer to them says whether any more are wanted, so that neither end has anything to renew.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{event::Args, names::RoomName};

/// Something that happened to an object's sockets, as the event by which the admin's page hears of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
}

/// The answer to [`super::Request::Watch`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Watched {
    /// The number of the last change that is in it.
    pub at: u64,
    /// The sockets, each as the admin's page has it; where there are too many, the oldest.
    pub sockets: Vec<Box<RawValue>>,
    /// How many there are.
    pub count: usize,
    /// How the object itself is.
    pub stats: Change,
}

/// Changes, in order, the first of which has the number `first`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct News {
    /// Of whose sockets.
    pub from: RoomName,
    /// The first one's number.
    pub first: u64,
    /// They.
    pub changes: Vec<Change>,
    /// Some before them did not arrive: what is here must be asked for anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

/// The answer to [`News`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Whether anyone watches.
    pub watching: bool,
}

impl Heard {
    /// As it is answered.
    pub fn to_json(self) -> String {
        serde_json::to_string(&self).unwrap_or_default()
    }
}

/// What an admin wants done with sockets, wherever they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// With those of this namespace.
    pub namespace: String,
    /// With the one of this id, or those that are in the room of this name.
    pub whom: String,
    /// What.
    pub deed: Deed,
}

/// What is done with a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It is disconnected; or its client is, with all its sockets.
    Disconnect {
        /// The client.
        client: bool,
    },
    /// It is taken out of a room.
    Leave(RoomName),
}
