//! Rooms that belong to one person, or to the admins.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use super::{Admission, Context, Kind, Publish, namespace::unknown_event};
use crate::{
    auth::Claims,
    error::Refusal,
    event::Args,
    names::{RoomName, Timestamp},
    wire::Access,
};

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

    fn client_event(
        &self,
        context: &Context<'_>,
        event: &str,
        args: &Args,
    ) -> Result<Publish, Refusal> {
        if event != "message_sent" {
            return Err(unknown_event("a user's own room", event));
        }
        Ok(Publish {
            event: "message_updated".to_owned(),
            args: outbound(args, context.now)?,
            to_sender: true,
            client_id: None,
        })
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
