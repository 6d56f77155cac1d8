//! Rooms that belong to one person, or to the admins.

use std::collections::BTreeMap;

use super::{
    Admission, Context, Effect, Kind, Presence, Publish,
    namespace::unknown_event,
    notifications::{self, id_of},
};
use crate::{
    auth::Claims,
    error::Refusal,
    event::Args,
    fields::Fields,
    names::{RoomName, Timestamp, UserId},
    room::{INBOUND, OUTBOUND, STATUS},
    wire::Access,
};

const SERVER_EVENTS: &[&str] = &[
    INBOUND,
    OUTBOUND,
    STATUS,
    notifications::RECEIVED,
    notifications::READ,
    notifications::CLEARED,
];

/// `user:{id}`: that user alone. Their notifications are kept here.
pub struct User;

impl Kind for User {
    fn other_namespace(&self) -> Option<&'static str> {
        Some(notifications::NAME)
    }

    fn namespace_for(&self, event: &str) -> &'static str {
        match event {
            notifications::RECEIVED | notifications::READ | notifications::CLEARED => {
                notifications::NAME
            }
            _ => self.namespace(),
        }
    }

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

    fn client_event(
        &self,
        context: &Context<'_>,
        event: &str,
        args: &Args,
    ) -> Result<Publish, Refusal> {
        let (event, args) = match event {
            "message_sent" => {
                return Ok(Publish {
                    event: OUTBOUND.to_owned(),
                    args: outbound(Fields::of(args)?, context.now)?,
                    to_sender: true,
                    ..Publish::default()
                });
            }
            "mark-read" => {
                let wrong = || Refusal::invalid("`id` must be a notification's id");
                let id = id_of(&Fields::of(args)?).ok_or_else(wrong)?;
                (notifications::READ, Args::of(&BTreeMap::from([("id", id)])))
            }
            "clear-all" => (notifications::CLEARED, Args::none()),
            _ => return Err(unknown_event("a user's own room", event)),
        };
        Ok(Publish {
            event: event.to_owned(),
            args,
            ..Publish::default()
        })
    }

    fn came_or_went(&self, _: &RoomName, _: &UserId, _: bool) -> Presence {
        Presence::Silent
    }

    fn effect(&self, event: &str, args: &Args) -> Effect {
        let id = || Fields::of(args).ok().and_then(|fields| id_of(&fields));
        match event {
            notifications::RECEIVED => id().map_or(Effect::None, Effect::Notify),
            notifications::READ => id().map_or(Effect::None, Effect::Read),
            notifications::CLEARED => Effect::Clear,
            _ => Effect::None,
        }
    }
}

/// `{…data, direction: "outbound", timestamp}`: what the client sent of a message that it has sent.
pub(super) fn outbound(mut data: Fields, now: Timestamp) -> Result<Args, Refusal> {
    for field in ["to", "body"] {
        data.required::<String>(field, "text")?;
    }
    data.put("direction", &"outbound");
    data.put("timestamp", &now.rfc3339());
    Ok(data.into_args())
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
