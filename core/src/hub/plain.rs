//! The frames of plain WebSockets (CONTRACT "Plain WebSocket"): JSON objects, one a frame.
//!
//! ```text
//! client   {"event":"typing","data":{…},"id":"c-1"}
//! server   {"event":"connected","data":{…}}                    first
//!          {"event":…,"data":…,"offset":12,"at":"…","sender":…}
//!          {"ack":"c-1","offset":12,"duplicate":false}         where an id was given
//!          {"ack":"c-1","error":{"code","message"}}
//!          {"error":{"code","message"}}                        where none was
//! ```

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    error::Refusal,
    event::{Args, present},
    limits::MAX_CLIENT_ID_LEN,
    names::{Offset, UserId},
    wire::Accepted,
};

/// What a client sent.
#[derive(Debug)]
pub struct ClientEvent {
    /// The event's name, not yet checked.
    pub event: String,
    /// Its arguments.
    pub args: Args,
}

/// A frame, decoded as far as it goes: with its id, an error too can be acknowledged.
#[derive(Debug)]
pub struct ClientFrame {
    /// The client's message id.
    pub id: Option<String>,
    /// The event, or what is wrong with it.
    pub event: Result<ClientEvent, Refusal>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    // `null` is data; only a missing field is none.
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

/// Decodes one frame. Nothing that a client can send panics.
pub fn decode(text: &str) -> ClientFrame {
    let refused = |id, refusal| ClientFrame {
        id,
        event: Err(refusal),
    };
    let fields: Fields<'_> = match serde_json::from_str(text) {
        // serde takes an array for a struct's fields in order; the protocol does not.
        Ok(fields) if text.trim_start().starts_with('{') => fields,
        Err(error) if error.is_syntax() || error.is_eof() => {
            return refused(None, Refusal::bad_request("a frame is one JSON object"));
        }
        _ => {
            return refused(
                None,
                Refusal::invalid("a frame is an object with `event`, `data`, `id`"),
            );
        }
    };
    let id = match fields.id.map(|id| serde_json::from_str::<String>(id.get())) {
        None => None,
        Some(Ok(id)) if is_client_id(&id) => Some(id),
        Some(_) => {
            let refusal = format!("`id` must be text of 1 to {MAX_CLIENT_ID_LEN} bytes");
            return refused(None, Refusal::invalid(refusal));
        }
    };
    let name = fields
        .event
        .and_then(|event| serde_json::from_str::<String>(event.get()).ok());
    let Some(event) = name else {
        return refused(id, Refusal::invalid("`event` must be text"));
    };
    ClientFrame {
        id,
        event: Args::from_client(fields.data).map(|args| ClientEvent { event, args }),
    }
}

/// Whether this is a client's message id or an idempotency key.
pub fn is_client_id(id: &str) -> bool {
    (1..=MAX_CLIENT_ID_LEN).contains(&id.len())
}

/// The first frame of a connection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected<'a> {
    /// The room's name.
    pub room: &'a str,
    /// Whose connection this is.
    pub user_id: &'a UserId,
    /// The room's epoch.
    pub epoch: &'a str,
    /// The newest publication.
    pub offset: Offset,
    /// Whether what was missed follows.
    pub recovered: bool,
}

/// `{"event":name,"data":data}`: an event that is not a publication.
pub fn event(name: &str, data: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Frame<'a, T> {
        event: &'a str,
        data: &'a T,
    }
    to_json(&Frame { event: name, data })
}

/// The answer to an event that was accepted.
pub fn ack(id: &str, accepted: &Accepted) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        ack: &'a str,
        #[serde(flatten)]
        accepted: &'a Accepted,
    }
    to_json(&Frame { ack: id, accepted })
}

/// The answer to an event that was refused.
pub fn error(id: Option<&str>, refusal: &Refusal) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        ack: Option<&'a str>,
        error: &'a Refusal,
    }
    to_json(&Frame {
        ack: id,
        error: refusal,
    })
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;

    #[test]
    fn frames_are_decoded_or_refused() {
        let long_id = format!(r#"{{"event":"a","id":"{}"}}"#, "i".repeat(65));
        let deep = format!(
            r#"{{"event":"a","id":"x","data":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        for (text, id, expected) in [
            (
                r#"{"event":"a","data":{"b":1},"id":"c"}"#,
                Some("c"),
                Ok(("a", r#"[{"b":1}]"#)),
            ),
            (r#"{"event":"a"}"#, None, Ok(("a", "[]"))),
            (r#"{"event":"a","data":null}"#, None, Ok(("a", "[null]"))),
            (r#" {"event":"\u0061","other":1} "#, None, Ok(("a", "[]"))),
            (
                r#"{"event":5,"id":"c"}"#,
                Some("c"),
                Err(Code::InvalidPayload),
            ),
            (r#"{"id":"c"}"#, Some("c"), Err(Code::InvalidPayload)),
            (r#"{"event":"a","id":5}"#, None, Err(Code::InvalidPayload)),
            (
                r#"{"event":"a","id":null}"#,
                None,
                Err(Code::InvalidPayload),
            ),
            (r#"{"event":"a","id":""}"#, None, Err(Code::InvalidPayload)),
            (long_id.as_str(), None, Err(Code::InvalidPayload)),
            (deep.as_str(), Some("x"), Err(Code::InvalidPayload)),
            (r#"["a",1]"#, None, Err(Code::InvalidPayload)),
            (
                r#"{"event":"a","event":"b"}"#,
                None,
                Err(Code::InvalidPayload),
            ),
            ("5", None, Err(Code::InvalidPayload)),
            ("null", None, Err(Code::InvalidPayload)),
            ("", None, Err(Code::BadRequest)),
            ("hello", None, Err(Code::BadRequest)),
            ("{", None, Err(Code::BadRequest)),
            (r#"{"event":"a"}{"event":"b"}"#, None, Err(Code::BadRequest)),
        ] {
            let frame = decode(text);
            let event = frame
                .event
                .map(|e| (e.event, e.args.to_array()))
                .map_err(|r| r.code);
            let expected = expected.map(|(e, a)| (e.to_owned(), a.to_owned()));
            assert_eq!((frame.id.as_deref(), event), (id, expected), "{text}");
        }
    }

    #[test]
    fn answers_have_their_shape() {
        let accepted = Accepted {
            id: None,
            offset: Some(Offset(12)),
            duplicate: false,
        };
        assert_eq!(
            ack("c-1", &accepted),
            r#"{"ack":"c-1","offset":12,"duplicate":false}"#
        );
        let ephemeral = Accepted {
            id: None,
            offset: None,
            duplicate: false,
        };
        assert_eq!(ack("c-1", &ephemeral), r#"{"ack":"c-1","duplicate":false}"#);
        let refusal = Refusal::forbidden("no");
        assert_eq!(
            error(Some("c-1"), &refusal),
            r#"{"ack":"c-1","error":{"code":"forbidden","message":"no"}}"#
        );
        assert_eq!(
            error(None, &refusal),
            r#"{"error":{"code":"forbidden","message":"no"}}"#
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            decode(&text);
        }

        #[test]
        fn what_is_sent_is_what_is_passed_on(name in "[a-z:]{1,20}", data in "[ -~]{0,50}") {
            let data = serde_json::to_string(&data).unwrap();
            let frame = decode(&format!(r#"{{"event":"{name}","data":{data}}}"#));
            let event = frame.event.unwrap();
            prop_assert_eq!(event.event, name);
            prop_assert_eq!(event.args.to_array(), format!("[{data}]"));
        }
    }
}
