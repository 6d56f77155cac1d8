//! A ticket that a backend publishes to and people follow (CONTRACT "/").

use super::{Admission, Kind, by_grant_open_or_member};
use crate::{auth::Claims, names::RoomName};

/// `ticket:{id}`.
pub struct Ticket;

impl Kind for Ticket {
    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        by_grant_open_or_member(claims, room, open_kinds)
    }
}
