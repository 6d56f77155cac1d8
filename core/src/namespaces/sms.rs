//! One conversation of a phone line with one contact.

use serde::Deserialize;

use super::{
    Admission, Announced, Context, Effect, Kind, PassOn, Publish, by_grant, line,
    namespace::{check_client_id, unknown_event},
    user::outbound,
};
use crate::{
    auth::Claims,
    error::Refusal,
    event::{Args, Publication},
    fields::Fields,
    names::RoomName,
    room::{INBOUND, OUTBOUND, STATUS},
    twilio::{
        inbound::{OptOut, line_of},
        outbound::hash_of,
    },
    wire::Access,
};

/// `sms:{line}:{contact}`.
pub struct Sms;

/// The room of the line that a room is a conversation of.
pub fn line_room_of(room: &RoomName) -> Option<RoomName> {
    let (line, _contact) = line_of(room)?;
    RoomName::new("line", &line).ok()
}

impl Kind for Sms {
    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        let Some(line) = line_room_of(room) else {
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

    /// `message_sent`, as in `/`: it says that a message has been sent, and sends none.
    fn client_event(
        &self,
        context: &Context<'_>,
        event: &str,
        args: &Args,
    ) -> Result<Publish, Refusal> {
        if event != "message_sent" {
            return Err(unknown_event("a conversation with a contact", event));
        }
        let mut fields = Fields::of(args)?;
        if let Some((line, contact)) = line_of(context.room) {
            fields.fill("phoneNumberId", &line);
            fields.fill("to", &contact);
        }
        // Apps have ids of their own for messages; ours are text.
        let id = fields.optional("id", "text").unwrap_or_default();
        let id = check_client_id(id, "id")?;
        let body: String = fields.required("body", "text")?;
        Ok(Publish {
            event: OUTBOUND.to_owned(),
            args: outbound(fields, context.now)?,
            to_sender: true,
            client_id: id.clone(),
            announces: Some(Announced {
                id,
                hash: hash_of(&body),
            }),
        })
    }

    fn effect(&self, event: &str, args: &Args) -> Effect {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Inbound {
            opt_out_type: Option<String>,
        }
        if event != INBOUND {
            return Effect::None;
        }
        let word = args
            .read()
            .ok()
            .and_then(|Inbound { opt_out_type }| opt_out_type);
        Effect::Heard(word.and_then(|word| OptOut::stored(&word)))
    }

    fn passes_on_to(&self, room: &RoomName, publication: &Publication) -> PassOn {
        match (line_room_of(room), publication.event.as_str()) {
            (Some(line), INBOUND | OUTBOUND) => PassOn::Line(line),
            (Some(line), STATUS) => PassOn::Room(line),
            _ => PassOn::Nobody,
        }
    }
}
