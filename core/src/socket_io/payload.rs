//! A packet's JSON, made into what its type takes. Both encodings end here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{DecodeError, Packet, RESERVED_EVENTS, header::Kind};
use crate::{
    event::{Args, depth, raw},
    limits::MAX_JSON_DEPTH,
};

/// Puts a packet together; `json` is empty where there is no payload.
pub(super) fn packet(
    kind: Kind,
    namespace: String,
    id: Option<u64>,
    json: &str,
) -> Result<Packet, DecodeError> {
    // The array around the arguments does not count: each may nest as deep as on a plain socket.
    if depth(json) > MAX_JSON_DEPTH.saturating_add(1) {
        return Err(DecodeError::TooDeep);
    }
    match (kind, id) {
        (Kind::Connect | Kind::Disconnect, Some(_)) | (Kind::Ack, None) => Err(DecodeError::AckId),
        (Kind::Connect, None) => Ok(Packet::Connect {
            namespace,
            auth: auth(json)?,
        }),
        (Kind::Disconnect, None) if json.is_empty() => Ok(Packet::Disconnect { namespace }),
        (Kind::Disconnect, None) => Err(DecodeError::Payload("absent")),
        (Kind::Event, id) => {
            let (event, args) = event(json)?;
            Ok(Packet::Event {
                namespace,
                id,
                event,
                args,
            })
        }
        (Kind::Ack, Some(id)) => Ok(Packet::Ack {
            namespace,
            id,
            args: ack(json)?,
        }),
    }
}

/// What is valid already, brought onto one line: a newline can only stand between tokens, and a
/// plain socket gets one object a line.
fn one_line(json: &RawValue) -> Box<RawValue> {
    if json.get().bytes().any(|b| matches!(b, b'\n' | b'\r')) {
        raw(json.get().replace(['\n', '\r'], " "))
    } else {
        json.to_owned()
    }
}

fn auth(json: &str) -> Result<Option<Box<RawValue>>, DecodeError> {
    const OBJECT: DecodeError = DecodeError::Payload("absent or a JSON object");
    if json.is_empty() {
        return Ok(None);
    }
    let auth: &RawValue = serde_json::from_str(json).map_err(|_| OBJECT)?;
    if auth.get().starts_with('{') {
        Ok(Some(one_line(auth)))
    } else {
        Err(OBJECT)
    }
}

fn event(json: &str) -> Result<(String, Args), DecodeError> {
    const EVENT: DecodeError = DecodeError::Payload("a JSON array that begins with a name");
    let elements: Elements<'_> = serde_json::from_str(json).map_err(|_| EVENT)?;
    let first = elements.first.ok_or(EVENT)?;
    let name = event_name(first.get()).ok_or(EVENT)?;
    if RESERVED_EVENTS.contains(&name.as_str()) {
        return Err(DecodeError::ReservedEvent(name));
    }
    let args = match (elements.count, elements.second) {
        (2, Some(one)) => Args::One(one_line(one)),
        (0..=1, _) => Args::none(),
        _ => {
            let rest = behind_first(json, first).ok_or(EVENT)?;
            Args::Array(one_line(&raw(format!("[{rest}"))))
        }
    };
    Ok((name, args))
}

fn ack(json: &str) -> Result<Args, DecodeError> {
    const ARRAY: DecodeError = DecodeError::Payload("a JSON array");
    let elements: Elements<'_> = serde_json::from_str(json).map_err(|_| ARRAY)?;
    Ok(match (elements.count, elements.first) {
        (0, _) => Args::none(),
        (1, Some(one)) => Args::One(one_line(one)),
        _ => Args::Array(one_line(&raw(json.to_owned()))),
    })
}

/// A string, or a number as JavaScript would write it (all but the very large and small).
pub(super) fn event_name(json: &str) -> Option<String> {
    if json.starts_with('"') {
        return serde_json::from_str(json).ok();
    }
    if let Ok(number) = serde_json::from_str::<i64>(json) {
        return Some(number.to_string());
    }
    let number: f64 = serde_json::from_str(json).ok()?;
    // JavaScript's "-0" is "0".
    Some(if number == 0.0 { 0.0 } else { number }.to_string())
}

/// What follows the first element and its comma in a valid array, with the closing bracket.
fn behind_first<'a>(json: &'a str, first: &RawValue) -> Option<&'a str> {
    json.trim_start()
        .strip_prefix('[')?
        .trim_start()
        .strip_prefix(first.get())?
        .trim_start()
        .strip_prefix(',')
        .map(str::trim_start)
}

/// A JSON array, of which only the first two elements are looked at.
struct Elements<'a> {
    first: Option<&'a RawValue>,
    second: Option<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let first = array.next_element()?;
                let second = match first {
                    Some(_) => array.next_element()?,
                    None => None,
                };
                let mut count = usize::from(first.is_some()) + usize::from(second.is_some());
                if second.is_some() {
                    while array.next_element::<IgnoredAny>()?.is_some() {
                        count = count.saturating_add(1);
                    }
                }
                Ok(Elements {
                    first,
                    second,
                    count,
                })
            }
        }
        deserializer.deserialize_seq(Array)
    }
}
