//! What objects tell the one that holds an admin who watches them (the namespace `/admin`).
//!
//! ```text
//! watcher → object   Request::Watch(watcher)         answered by News: what is there now
//! object → watcher   Request::News(News)             answered by Pushed: whether anyone still watches
//! watcher → object   Request::Administer(event)      answered by nothing
//! ```
//!
//! News are told by an object that something has happened to, and so is awake. Nobody asks twice: the
//! answer to them says whether any more are wanted, so that neither end has anything to renew.

use serde::{Deserialize, Serialize};

use super::Kept;
use crate::names::RoomName;

/// What has happened to an object's sockets, as the events by which the admin's page hears of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct News {
    /// Of whose sockets.
    pub from: RoomName,
    /// The number of the last of the events. Of what is there now: of the last that is in it.
    pub last: u64,
    /// They, in order. Of what is there now: `all_sockets` of each, then others.
    pub events: Vec<Kept>,
    /// Some before them did not arrive: what is here must be asked for anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}
