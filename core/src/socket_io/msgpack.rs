//! The format of `socket.io-msgpack-parser` 3: each packet is one MessagePack map
//! `{"type","data","nsp","id"}` and one binary message, without attachments. A connection speaks
//! either this or the JSON packets, by configuration on both sides.
//!
//! Between MessagePack (<https://github.com/msgpack/msgpack/blob/master/spec.md>) and the raw JSON
//! of the arguments:
//!
//! | MessagePack | JSON |
//! |---|---|
//! | nil, booleans, integers, strings, arrays, maps | the same; a map's integer keys become strings |
//! | float | the same; NaN and the infinities become null, as `JSON.stringify` has it |
//! | bin | `{"$binary":"<base64>"}` |
//! | ext 0 of 1 byte: notepack.io's `undefined` | null |
//! | fixext 0 of 8 bytes: notepack.io's `Date` | an ISO 8601 string; null beyond chrono's range |
//! | ext 0 of other lengths: notepack.io's `ArrayBuffer` | `{"$binary":"<base64>"}` |
//! | other extensions | `[<type>,{"$binary":"<base64>"}]`, as notepack.io reads them |
//!
//! Nothing here recurses, and nothing is allocated for a length that is only declared.

mod reader;
mod writer;

use serde_json::value::RawValue;

use super::{
    DecodeError, Packet,
    encoder::elements,
    header::{Kind, without_query},
    payload,
};
use crate::{
    event::Args,
    limits::{MAX_ACK_ID, MAX_JSON_DEPTH},
};
use reader::{Reader, Value};
use writer::Writer;

/// Reads a packet, one binary Engine.IO message. Keys that the format does not know are skipped:
/// stock clients send `options`.
pub fn decode(bytes: &[u8]) -> Result<Packet, DecodeError> {
    let mut reader = Reader::new(bytes);
    let (mut kind, mut namespace, mut id, mut data) = (None, None, None, None);
    for _ in 0..reader.map_len()? {
        // As on the JSON side, the array around the arguments does not count.
        let max_depth = MAX_JSON_DEPTH.saturating_add(1);
        let key = reader.value(max_depth)?;
        let value = reader.value(max_depth)?;
        match key.as_json() {
            r#""type""# => kind = Some(kind_of(&value)?),
            r#""nsp""# => namespace = Some(namespace_of(&value)?),
            r#""id""# => id = id_of(&value)?,
            r#""data""# => data = Some(value),
            _ => {}
        }
    }
    reader.end()?;
    let kind = kind.ok_or(DecodeError::UnknownType)?;
    let namespace = namespace.ok_or(DecodeError::Namespace)?;
    let json = match &data {
        Some(Value::Json(json)) => json,
        None | Some(Value::Undefined) => "",
    };
    payload::packet(kind, namespace, id, json)
}

fn kind_of(value: &Value) -> Result<Kind, DecodeError> {
    match value.as_json() {
        "0" => Ok(Kind::Connect),
        "1" => Ok(Kind::Disconnect),
        "2" => Ok(Kind::Event),
        "3" => Ok(Kind::Ack),
        "4" => Err(DecodeError::ConnectError),
        _ => Err(DecodeError::UnknownType),
    }
}

fn namespace_of(value: &Value) -> Result<String, DecodeError> {
    let namespace: String =
        serde_json::from_str(value.as_json()).map_err(|_| DecodeError::Namespace)?;
    if namespace.starts_with('/') {
        Ok(without_query(&namespace).to_owned())
    } else {
        Err(DecodeError::Namespace)
    }
}

fn id_of(value: &Value) -> Result<Option<u64>, DecodeError> {
    match value {
        Value::Undefined => Ok(None),
        Value::Json(json) => match json.parse() {
            Ok(id) if id <= MAX_ACK_ID => Ok(Some(id)),
            _ => Err(DecodeError::AckId),
        },
    }
}

/// An EVENT. The `offset` of connection state recovery goes behind the arguments; `id` asks for an
/// acknowledgement.
pub fn encode_event(
    namespace: &str,
    id: Option<u64>,
    event: &str,
    args: &Args,
    offset: Option<&str>,
) -> Vec<u8> {
    packet(2, namespace, id, |writer| {
        writer.open_array();
        writer.string(event);
        writer.json(elements(args));
        if let Some(offset) = offset {
            writer.string(offset);
        }
        writer.close();
    })
}

/// An ACK.
pub fn encode_ack(namespace: &str, id: u64, args: &Args) -> Vec<u8> {
    packet(3, namespace, Some(id), |writer| {
        writer.open_array();
        writer.json(elements(args));
        writer.close();
    })
}

/// The answer to a CONNECT: `{"sid":…}`, with `"pid"` where the connection can be recovered.
pub fn encode_connect(namespace: &str, sid: &str, pid: Option<&str>) -> Vec<u8> {
    packet(0, namespace, None, |writer| {
        writer.open_map();
        writer.string("sid");
        writer.string(sid);
        if let Some(pid) = pid {
            writer.string("pid");
            writer.string(pid);
        }
        writer.close();
    })
}

/// The refusal of a CONNECT: `{"message":…}`, with `"data"` where there is some.
pub fn encode_connect_error(namespace: &str, message: &str, data: Option<&RawValue>) -> Vec<u8> {
    packet(4, namespace, None, |writer| {
        writer.open_map();
        writer.string("message");
        writer.string(message);
        if let Some(data) = data {
            writer.string("data");
            writer.json(data.get());
        }
        writer.close();
    })
}

/// The server puts the client out of a namespace.
pub fn encode_disconnect(namespace: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.open_map();
    writer.string("type");
    writer.integer(1);
    writer.string("nsp");
    writer.string(if namespace.is_empty() { "/" } else { namespace });
    writer.close();
    writer.finish()
}

fn packet(kind: u64, namespace: &str, id: Option<u64>, data: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.open_map();
    writer.string("type");
    writer.integer(kind);
    writer.string("data");
    data(&mut writer);
    writer.string("nsp");
    writer.string(if namespace.is_empty() { "/" } else { namespace });
    if let Some(id) = id {
        writer.string("id");
        writer.integer(id);
    }
    writer.close();
    writer.finish()
}

#[cfg(test)]
mod tests;
