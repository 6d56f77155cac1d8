//! An event: a name and its arguments, which stay raw JSON from the socket that sent them to the
//! sockets that read them. Nothing here builds a tree.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use crate::{
    error::Refusal,
    limits::{MAX_EVENT_NAME_LEN, MAX_JSON_DEPTH},
    names::{Offset, Timestamp, UserId},
    wire::Audience,
};

/// Events that nobody sends: the protocols' own (CONTRACT "Plain WebSocket").
pub const RESERVED: &[&str] = &[
    "connect",
    "connected",
    "disconnect",
    "disconnecting",
    "connect_error",
    "error",
    "ack",
    "presence_state",
    "presence_diff",
    "newListener",
    "removeListener",
];

/// What `typing` and `mark_read` become, in every kind of room: no client sends these either.
const OF_EVERY_KIND: &[&str] = &["user_typing", "messages_read"];

/// An event's arguments. Nearly always there is one, which plain sockets call `data`.
#[derive(Debug, Clone)]
pub enum Args {
    /// One argument, any JSON value.
    One(Box<RawValue>),
    /// None or several: a JSON array.
    Array(Box<RawValue>),
}

impl Default for Args {
    fn default() -> Self {
        Self::none()
    }
}

impl Args {
    /// No argument.
    pub fn none() -> Self {
        Self::Array(raw("[]".to_owned()))
    }

    /// One argument, from a value of ours.
    pub fn of(value: &impl Serialize) -> Self {
        serde_json::value::to_raw_value(value).map_or_else(|_| Self::none(), Self::One)
    }

    /// One argument as a client sent it, checked and brought onto one line (a newline may stand
    /// between tokens, and `?batch=1` puts one object on a line).
    pub fn from_client(data: Option<&RawValue>) -> Result<Self, Refusal> {
        let Some(data) = data else {
            return Ok(Self::none());
        };
        if depth(data.get()) > MAX_JSON_DEPTH {
            return Err(Refusal::invalid(format!(
                "`data` nests deeper than {MAX_JSON_DEPTH} levels"
            )));
        }
        let text = data.get();
        let one_line = if text.bytes().any(|b| matches!(b, b'\n' | b'\r')) {
            raw(text.replace(['\n', '\r'], " "))
        } else {
            data.to_owned()
        };
        Ok(Self::One(one_line))
    }

    /// From the array that the log keeps.
    pub fn from_array(array: Box<RawValue>) -> Self {
        match serde_json::from_str::<Vec<&RawValue>>(array.get()).as_deref() {
            Ok([one]) => Self::One((*one).to_owned()),
            _ => Self::Array(array),
        }
    }

    /// The JSON array that the log keeps.
    pub fn to_array(&self) -> String {
        match self {
            Self::One(data) => format!("[{}]", data.get()),
            Self::Array(array) => array.get().to_owned(),
        }
    }

    /// How many bytes of JSON they are.
    pub fn len(&self) -> usize {
        match self {
            Self::One(raw) | Self::Array(raw) => raw.get().len(),
        }
    }

    /// Whether there is no argument.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Array(raw) if raw.get() == "[]")
    }

    /// The one argument, which must be an object, read as a `T`.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        match self {
            // serde would take an array for a struct's fields in order.
            Self::One(data) if data.get().starts_with('{') => serde_json::from_str(data.get())
                .map_err(|error| Refusal::invalid(plain_sentence(&error))),
            _ => Err(Refusal::invalid("the event's data must be an object")),
        }
    }
}

/// serde's sentence without its "at line 1 column 5", which means nothing to a sender of one line.
fn plain_sentence(error: &serde_json::Error) -> String {
    let sentence = error.to_string();
    sentence
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A raw value from JSON that we wrote ourselves.
pub(crate) fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).unwrap_or_default()
}

/// For a field whose `null` is a value: only one that is missing is none.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// How deep arrays and objects nest. One pass; short texts cannot nest deep and skip it.
pub(crate) fn depth(json: &str) -> usize {
    if json.len() <= MAX_JSON_DEPTH {
        return 0;
    }
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// An event's name as a client sent it: none that only a server sends.
pub fn check_name(name: &str, server_events: &[&str]) -> Result<(), Refusal> {
    check_name_of_server(name)?;
    if OF_EVERY_KIND.contains(&name) || server_events.contains(&name) {
        return Err(reserved(name));
    }
    Ok(())
}

fn reserved(name: &str) -> Refusal {
    Refusal::invalid(format!("`event`: `{name}` is reserved"))
}

/// An event's name as a backend sent it: not empty, not too long, not a protocol's own.
pub fn check_name_of_server(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > MAX_EVENT_NAME_LEN {
        Err(Refusal::invalid(format!(
            "`event` must be 1 to {MAX_EVENT_NAME_LEN} bytes of text"
        )))
    } else if name.chars().any(char::is_control) {
        Err(Refusal::invalid(
            "`event` must not contain control characters",
        ))
    } else if RESERVED.contains(&name) {
        Err(reserved(name))
    } else {
        Ok(())
    }
}

/// An event with its place in the room's log, or none where it is ephemeral.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Publication {
    /// The event's name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
    /// Who sent it; none where a backend or a webhook did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<UserId>,
    /// When it was accepted.
    pub at: Timestamp,
    /// Its place in the log; none for what is ephemeral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// Who gets it.
    #[serde(default, skip_serializing_if = "Audience::is_everyone")]
    pub audience: Audience,
}

impl Publication {
    /// The JSON object that plain sockets get, and history lists:
    /// `{"event","data"|"args","offset","at","sender"}`; what is ephemeral ends after its data.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(self.event.len().saturating_add(160));
        json.push_str(r#"{"event":"#);
        push_json(&mut json, &self.event);
        match &self.args {
            Args::One(data) => {
                json.push_str(r#","data":"#);
                json.push_str(data.get());
            }
            Args::Array(array) => {
                json.push_str(r#","args":"#);
                json.push_str(array.get());
            }
        }
        if let Some(offset) = self.offset {
            // Writing to a String cannot fail.
            let _ = write!(
                json,
                r#","offset":{offset},"at":"{}","sender":"#,
                self.at.rfc3339()
            );
            push_json(&mut json, &self.sender);
        }
        json.push('}');
        json
    }
}

fn push_json(json: &mut String, value: &impl Serialize) {
    json.push_str(&serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()));
}

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        raw(self.to_array()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let array = Box::<RawValue>::deserialize(deserializer)?;
        if array.get().starts_with('[') {
            Ok(Self::from_array(array))
        } else {
            Err(de::Error::custom("arguments are a JSON array"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(json: &str) -> Result<Args, Refusal> {
        Args::from_client(Some(&raw(json.to_owned())))
    }

    #[test]
    fn arguments_pass_through_raw_but_on_one_line() {
        for (sent, kept) in [
            (r#"{"a" : 1.0}"#, r#"[{"a" : 1.0}]"#),
            ("{\n\"a\":\r\n\"x\\n\"}", "[{ \"a\":  \"x\\n\"}]"),
            ("[1,\n2]", "[[1, 2]]"),
            ("null", "[null]"),
            ("12345678901234567890.10", "[12345678901234567890.10]"),
        ] {
            assert_eq!(client(sent).unwrap().to_array(), kept, "{sent}");
        }
    }

    #[test]
    fn nesting_is_limited_and_brackets_in_strings_do_not_count() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(client(&nested(MAX_JSON_DEPTH)).is_ok());
        assert!(client(&nested(MAX_JSON_DEPTH + 1)).is_err());
        assert!(client(&nested(100_000)).is_err());
        assert!(client(&format!(r#""{}\"[""#, "[".repeat(100))).is_ok());
    }

    #[test]
    fn a_publication_says_data_or_args() {
        let mut publication = Publication {
            event: "new\"message".to_owned(),
            args: client(r#"{"a":1}"#).unwrap(),
            sender: Some(UserId::integer(7)),
            at: Timestamp(1_767_607_200_000),
            offset: Some(Offset(12)),
            audience: Audience::default(),
        };
        assert_eq!(
            publication.to_json(),
            r#"{"event":"new\"message","data":{"a":1},"offset":12,"at":"2026-01-05T10:00:00.000Z","sender":7}"#
        );
        publication = Publication {
            args: Args::none(),
            sender: None,
            offset: None,
            ..publication
        };
        assert_eq!(
            publication.to_json(),
            r#"{"event":"new\"message","args":[]}"#
        );
        publication.args = Args::from_array(raw("[1,[2]]".to_owned()));
        assert_eq!(
            publication.to_json(),
            r#"{"event":"new\"message","args":[1,[2]]}"#
        );
    }

    #[test]
    fn names_that_are_reserved_empty_or_long_are_refused() {
        let long = "e".repeat(MAX_EVENT_NAME_LEN + 1);
        for (name, ok) in [
            ("note", true),
            ("ticket:created", true),
            ("", false),
            (long.as_str(), false),
            ("connect", false),
            ("presence_diff", false),
            ("new_message", false),
            ("a\nb", false),
        ] {
            assert_eq!(check_name(name, &["new_message"]).is_ok(), ok, "{name:?}");
        }
    }
}
