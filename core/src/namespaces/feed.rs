//! Rooms that a backend publishes to and people follow.

use super::{Admission, Kind, by_grant_open_or_member};
use crate::{auth::Claims, names::RoomName};

/// `ticket:{id}`, `job:{id}`, `brand:{id}`.
pub struct Feed;

impl Kind for Feed {
    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        by_grant_open_or_member(claims, room, open_kinds)
    }
}
