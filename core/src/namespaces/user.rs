//! Rooms that belong to one person, or to the admins.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

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
    wire::Access,
};

const SERVER_EVENTS: &[&str] = &[
    "new_message",
    "message_updated",
    "message_status",
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
                    event: "message_updated".to_owned(),
                    args: outbound(args, context.now)?,
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
fn outbound(args: &Args, now: Timestamp) -> Result<Args, Refusal> {
    let mut data: BTreeMap<String, Box<RawValue>> = args.read()?;
    for field in ["to", "body"] {
        if !data
            .get(field)
            .is_some_and(|value| value.get().starts_with('"'))
        {
            return Err(Refusal::invalid(format!("`{field}` must be text")));
        }
    }
    for (field, value) in [("direction", "outbound"), ("timestamp", &now.rfc3339())] {
        data.extend(to_raw_value(value).map(|value| (field.to_owned(), value)));
    }
    Ok(Args::of(&data))
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
