//! `/`: the inbox, presence, tickets, relays (CONTRACT "/").

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::namespace::{
    Action, Client, Namespace, Offer, check_client_id, room_in_payload, unknown_event,
};
use crate::{
    error::Refusal,
    event::{Args, present},
    names::{Offset, RoomName, UserId},
    twilio::outbound,
};

/// The namespace `/`.
pub struct Inbox;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connected<'a> {
    pub message: &'a str,
    pub user_id: &'a UserId,
}

#[derive(Deserialize)]
struct InRoom {
    room: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typing {
    room: String,
    is_typing: bool,
}

/// What a room's kind reads of `typing`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IsTyping {
    pub is_typing: bool,
}

#[derive(Deserialize)]
struct MarkRead {
    room: String,
    #[serde(default)]
    offset: Option<Offset>,
}

/// What a room's kind reads of `mark_read`.
#[derive(Serialize)]
pub(super) struct ReadTo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
}

#[derive(Deserialize)]
struct Send {
    room: String,
    event: String,
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    id: Option<String>,
}

impl Namespace for Inbox {
    fn name(&self) -> &'static str {
        "/"
    }

    fn connect(&self, client: &Client<'_>) -> Vec<Action> {
        let own = RoomName::user(client.user()).ok();
        let mut rooms: Vec<RoomName> = own.iter().cloned().collect();
        if client.claims.has_role("admin") {
            rooms.extend(own.and_then(|own| RoomName::new("admin", own.id()).ok()));
            rooms.extend(RoomName::new("admins", "all"));
        }
        let connected = Connected {
            message: "Connected",
            user_id: client.user(),
        };
        rooms
            .into_iter()
            .map(Action::Join)
            .chain([Action::emit("connected", &connected)])
            .collect()
    }

    fn event(&self, client: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        let action = match event {
            "join" => Action::Join(room(args)?),
            "leave" => Action::Leave(room(args)?),
            "message_sent" => {
                let own = RoomName::user(client.user())
                    .map_err(|error| Refusal::bad_request(error.to_string()))?;
                let (event, args) = (event.to_owned(), args.clone());
                match conversation(&args) {
                    // Who may not send in it tells their own tabs alone.
                    Some(room) => Action::Offer(Offer {
                        room,
                        otherwise: own,
                        event,
                        args,
                    }),
                    None => Action::Send {
                        room: own,
                        event,
                        args,
                        id: None,
                    },
                }
            }
            "typing" => {
                let Typing { room, is_typing } = args.read()?;
                Action::send(room_in_payload(&room)?, event, &IsTyping { is_typing })
            }
            "mark_read" => {
                let MarkRead { room, offset } = args.read()?;
                Action::send(room_in_payload(&room)?, event, &ReadTo { offset })
            }
            "send" => {
                let sent: Send = args.read()?;
                Action::Send {
                    room: room_in_payload(&sent.room)?,
                    event: sent.event,
                    args: Args::from_client(sent.data.as_deref())?,
                    id: check_client_id(sent.id, "id")?,
                }
            }
            "test" => Action::Emit {
                event: event.to_owned(),
                args: args.clone(),
            },
            _ => return Err(unknown_event(self.name(), event)),
        };
        Ok(vec![action])
    }
}

/// The conversation of `{phoneNumberId, to}`, where these are a line that we could have, and a contact.
/// Some apps have ids of their own for their lines.
fn conversation(args: &Args) -> Option<RoomName> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Parties {
        phone_number_id: String,
        to: String,
    }
    let Parties {
        phone_number_id: line,
        to,
    } = args.read().ok()?;
    let is_address = line.starts_with('+') || line.contains(":+");
    let conversation = outbound::Conversation::parse(&line, &to);
    conversation.ok().filter(|_| is_address).map(|c| c.room)
}

/// `{room}` or `"room"`.
fn room(args: &Args) -> Result<RoomName, Refusal> {
    let name = match args {
        Args::One(one) => serde_json::from_str::<String>(one.get()).ok(),
        Args::Array(_) => None,
    };
    match name {
        Some(name) => room_in_payload(&name),
        None => room_in_payload(&args.read::<InRoom>()?.room),
    }
}
