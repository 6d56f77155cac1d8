//! A phone line and those who work it: its members are its assignees.

use super::{Admission, Kind, PassOn, by_grant};
use crate::{
    auth::Claims,
    event::Publication,
    names::RoomName,
    room::{INBOUND, OUTBOUND, STATUS},
    wire::Access,
};

/// What a conversation's room and a line's room send.
pub const SERVER_EVENTS: &[&str] = &[
    INBOUND,
    OUTBOUND,
    STATUS,
    "conversation_updated",
    "conversation_assigned",
];

/// `line:{number}`.
pub struct Line;

impl Kind for Line {
    fn admit(&self, claims: &Claims, room: &RoomName, _: &[String]) -> Admission {
        match by_grant(claims, room) {
            _ if claims.has_role("admin") => Admission::Granted(Access::Full),
            Some(admission) => admission,
            None => Admission::Granted(Access::IfMember),
        }
    }

    fn server_events(&self) -> &'static [&'static str] {
        SERVER_EVENTS
    }

    fn passes_on_to(&self, _: &RoomName, publication: &Publication) -> PassOn {
        match publication.event.as_str() {
            INBOUND | OUTBOUND => PassOn::OwnRooms,
            _ => PassOn::Nobody,
        }
    }

    fn is_listed(&self) -> bool {
        true
    }
}
