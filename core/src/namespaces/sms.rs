//! One conversation of a phone line with one contact.

use super::{Admission, Kind, PassOn, by_grant, line};
use crate::{
    auth::Claims, event::Publication, names::RoomName, twilio::inbound::line_of, wire::Access,
};

/// `sms:{line}:{contact}`.
pub struct Sms;

impl Sms {
    fn line(room: &RoomName) -> Option<RoomName> {
        let (line, _contact) = line_of(room)?;
        RoomName::new("line", &line).ok()
    }
}

impl Kind for Sms {
    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        let Some(line) = Self::line(room) else {
            return Admission::Refused;
        };
        if let Some(admission) = by_grant(claims, room) {
            return admission;
        }
        match line::Line.admit(claims, &line, open_kinds) {
            Admission::Granted(Access::IfMember) => Admission::IfMemberOf(line),
            admission => admission,
        }
    }

    fn server_events(&self) -> &'static [&'static str] {
        line::SERVER_EVENTS
    }

    fn passes_on_to(&self, room: &RoomName, publication: &Publication) -> PassOn {
        match Self::line(room) {
            Some(line) if publication.event == "new_message" => PassOn::Room(line),
            _ => PassOn::Nobody,
        }
    }
}
