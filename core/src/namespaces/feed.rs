//! Rooms that a backend publishes to and people follow.

use super::{Admission, Kind, by_grant_open_or_member};
use crate::{auth::Claims, names::RoomName};

/// `ticket:{id}`, `job:{id}`, `brand:{id}`, each in its namespace.
pub struct Feed(pub &'static str);

impl Kind for Feed {
    fn namespace(&self) -> &'static str {
        self.0
    }

    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        by_grant_open_or_member(claims, room, open_kinds)
    }
}
