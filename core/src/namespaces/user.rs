//! Rooms that belong to one person, or to the admins.

use super::{Admission, Kind};
use crate::{auth::Claims, names::RoomName, wire::Access};

const SERVER_EVENTS: &[&str] = &["new_message", "message_updated", "message_status"];

/// `user:{id}`: that user alone.
pub struct User;

impl Kind for User {
    fn admit(&self, claims: &Claims, room: &RoomName, _: &[String]) -> Admission {
        if RoomName::user(&claims.user).as_ref() == Ok(room) {
            Admission::Granted(Access::Full)
        } else {
            Admission::Refused
        }
    }

    fn server_events(&self) -> &'static [&'static str] {
        SERVER_EVENTS
    }
}

/// `admin:{id}`, an admin's own room, and `admins:all`.
pub struct Admin;

impl Kind for Admin {
    fn admit(&self, claims: &Claims, room: &RoomName, _: &[String]) -> Admission {
        let own = RoomName::user(&claims.user).is_ok_and(|own| own.id() == room.id());
        if claims.has_role("admin") && (own || room.as_str() == "admins:all") {
            Admission::Granted(Access::Full)
        } else {
            Admission::Refused
        }
    }

    fn server_events(&self) -> &'static [&'static str] {
        SERVER_EVENTS
    }
}
