//! `/chat`: a conversation between people (CONTRACT "/chat").

use serde::{Deserialize, Serialize};

use super::{
    Action, Admission, Client, Context, Kind, Namespace, PassOn, Presence, Publish,
    by_grant_open_or_member,
    inbox::{Connected, IsTyping, ReadTo},
    namespace::{check_client_id, room_of_id, unknown_event},
};
use crate::{
    auth::Claims,
    error::{Code, Refusal},
    event::{Args, Publication},
    limits::{MAX_CHAT_MESSAGE_CHARS, MAX_PREVIEW_CHARS},
    names::{Epoch, Offset, RoomName, UserId},
    wire::{Access, Joined},
};

/// The namespace `/chat`, and its rooms `chat:{id}`.
pub struct Chat;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    #[serde(default)]
    client_message_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typing {
    is_typing: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinedChat<'a> {
    chat_id: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftChat<'a> {
    chat_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CameOrWent<'a> {
    user_id: &'a UserId,
    chat_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendMessage {
    message: String,
    #[serde(default, rename = "message_type")]
    message_type: MessageType,
    #[serde(default)]
    client_message_id: Option<String>,
}

#[derive(Default, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MessageType {
    #[default]
    Text,
    Image,
    Document,
}

#[derive(Serialize)]
struct NewMessage<'a> {
    id: String,
    #[serde(rename = "chatId")]
    chat_id: &'a str,
    sender_type: &'a str,
    sender_id: &'a UserId,
    message: &'a str,
    message_type: MessageType,
    created_at: String,
}

/// What a notification shows of a [`NewMessage`].
#[derive(Deserialize)]
struct Notified {
    id: String,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    id: &'a str,
    r#type: &'static str,
    title: &'static str,
    message: String,
    severity: &'static str,
    timestamp: String,
    read: bool,
    chat_id: &'a str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_id: Option<&'a UserId>,
}

impl Namespace for Chat {
    fn name(&self) -> &'static str {
        "/chat"
    }

    fn connect(&self, client: &Client<'_>) -> Vec<Action> {
        let connected = Connected {
            message: "Connected to chat",
            user_id: client.user(),
        };
        vec![Action::emit("connected", &connected)]
    }

    fn event(
        &self,
        _client: &Client<'_>,
        event: &str,
        args: &Args,
    ) -> Result<Vec<Action>, Refusal> {
        let action = match event {
            "join_chat" => Action::Join(chat(args)?),
            "leave_chat" => Action::Leave(chat(args)?),
            "send_message" => Action::Send {
                room: chat(args)?,
                event: event.to_owned(),
                args: args.clone(),
                id: args.read::<Sent>()?.client_message_id,
            },
            "typing" => {
                let Typing { is_typing } = args.read()?;
                Action::send(chat(args)?, event, &IsTyping { is_typing })
            }
            "mark_read" => Action::send(chat(args)?, event, &ReadTo { offset: None }),
            _ => return Err(unknown_event(Namespace::name(self), event)),
        };
        Ok(vec![action])
    }

    fn joined(&self, _client: &Client<'_>, room: &RoomName, _joined: &Joined) -> Vec<Action> {
        let payload = JoinedChat {
            chat_id: room.id(),
            message: "Joined the chat",
        };
        vec![Action::emit("joined_chat", &payload)]
    }

    fn left(&self, _client: &Client<'_>, room: &RoomName) -> Vec<Action> {
        vec![Action::emit("left_chat", &LeftChat { chat_id: room.id() })]
    }
}

/// The room of `{chatId}`.
fn chat(args: &Args) -> Result<RoomName, Refusal> {
    room_of_id(args, "chat", "chatId")
}

/// A member who was not there is notified of a message.
fn notification(room: &RoomName, publication: &Publication) -> Option<Args> {
    let message: Notified = publication.args.read().ok()?;
    Some(Args::of(&Notification {
        id: &message.id,
        r#type: "alert",
        title: "New message",
        message: message.message.chars().take(MAX_PREVIEW_CHARS).collect(),
        severity: "info",
        timestamp: publication.at.rfc3339(),
        read: false,
        chat_id: room.id(),
        message_id: &message.id,
        sender_id: publication.sender.as_ref(),
    }))
}

impl Kind for Chat {
    fn namespace(&self) -> &'static str {
        "/chat"
    }

    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        if claims.has_role("admin") || claims.has_role("lsm") {
            Admission::Granted(Access::Full)
        } else {
            by_grant_open_or_member(claims, room, open_kinds)
        }
    }

    fn server_events(&self) -> &'static [&'static str] {
        &[
            "joined_chat",
            "left_chat",
            "user_joined",
            "user_left",
            "new_message",
            "user_typing",
            "messages_read",
            "notification:received",
        ]
    }

    fn client_event(
        &self,
        context: &Context<'_>,
        event: &str,
        args: &Args,
    ) -> Result<Publish, Refusal> {
        if event != "send_message" {
            return Err(Refusal::new(
                Code::UnknownEvent,
                format!("`{event}` is not an event of /chat"),
            ));
        }
        let sent: SendMessage = args.read()?;
        if sent.message.trim().is_empty() {
            return Err(Refusal::invalid("`message` is empty"));
        }
        if sent.message.chars().count() > MAX_CHAT_MESSAGE_CHARS {
            return Err(Refusal::invalid(format!(
                "`message` is longer than {MAX_CHAT_MESSAGE_CHARS} characters"
            )));
        }
        let client_id = check_client_id(sent.client_message_id, "clientMessageId")?;
        let payload = NewMessage {
            id: id_at(context.epoch, context.next_offset),
            chat_id: context.room.id(),
            sender_type: context.role.unwrap_or("user"),
            sender_id: context.user,
            message: &sent.message,
            message_type: sent.message_type,
            created_at: context.now.rfc3339(),
        };
        Ok(Publish {
            event: "new_message".to_owned(),
            args: Args::of(&payload),
            to_sender: true,
            client_id,
            ..Publish::default()
        })
    }

    fn user_typing(&self, room: &RoomName, user: &UserId, is_typing: bool) -> Args {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Payload<'a> {
            user_id: &'a UserId,
            is_typing: bool,
            chat_id: &'a str,
        }
        Args::of(&Payload {
            user_id: user,
            is_typing,
            chat_id: room.id(),
        })
    }

    fn messages_read(&self, room: &RoomName, user: &UserId, offset: Offset) -> Args {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Payload<'a> {
            user_id: &'a UserId,
            chat_id: &'a str,
            offset: Offset,
        }
        Args::of(&Payload {
            user_id: user,
            chat_id: room.id(),
            offset,
        })
    }

    fn came_or_went(&self, room: &RoomName, user: &UserId, came: bool) -> Presence {
        let payload = CameOrWent {
            user_id: user,
            chat_id: room.id(),
        };
        let event = if came { "user_joined" } else { "user_left" };
        Presence::Event(event, Args::of(&payload))
    }

    fn passes_on_to(&self, room: &RoomName, publication: &Publication) -> PassOn {
        match publication.event.as_str() {
            "new_message" => {
                notification(room, publication).map_or(PassOn::Nobody, PassOn::NotifyAbsentMembers)
            }
            _ => PassOn::Nobody,
        }
    }

    fn message_id(&self, event: &str, epoch: &Epoch, offset: Offset) -> Option<String> {
        (event == "send_message").then(|| id_at(epoch, offset))
    }
}

/// A message's id is its position: unique for ever, and the same again for a duplicate.
fn id_at(epoch: &Epoch, offset: Offset) -> String {
    format!("{epoch}-{offset}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Timestamp;

    fn send(data: &str) -> Result<String, Code> {
        let room = RoomName::parse("chat:42").unwrap();
        let epoch = Epoch::from_random(1);
        let user = UserId::integer(7);
        let context = Context {
            room: &room,
            user: &user,
            role: Some("customer"),
            now: Timestamp(0),
            epoch: &epoch,
            next_offset: Offset(3),
        };
        let args: Args = serde_json::from_str(&format!("[{data}]")).unwrap();
        Chat.client_event(&context, "send_message", &args)
            .map(|publish| publish.args.to_array())
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn messages_are_checked_and_shaped() {
        let long = format!(r#"{{"message":"{}"}}"#, "é".repeat(MAX_CHAT_MESSAGE_CHARS));
        let too_long = format!(
            r#"{{"message":"{}"}}"#,
            "é".repeat(MAX_CHAT_MESSAGE_CHARS + 1)
        );
        assert_eq!(
            send(r#"{"message":"hi","message_type":"image"}"#).unwrap(),
            r#"[{"id":"0000000000000001-3","chatId":"42","sender_type":"customer","sender_id":7,"message":"hi","message_type":"image","created_at":"1970-01-01T00:00:00.000Z"}]"#
        );
        assert!(send(&long).is_ok());
        for bad in [
            too_long.as_str(),
            r#"{"message":" \n\t "}"#,
            r#"{"message":"hi","message_type":"video"}"#,
            r#"{"message":5}"#,
            r#"{}"#,
            r#"["hi"]"#,
            r#""hi""#,
            "null",
            r#"{"message":"hi","clientMessageId":""}"#,
        ] {
            assert_eq!(send(bad), Err(Code::InvalidPayload), "{bad}");
        }
    }
}
