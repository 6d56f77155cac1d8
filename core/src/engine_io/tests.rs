use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::limits::MAX_PAYLOAD_PACKETS;

/// A packet as the vectors write it.
fn to_json(packet: &Packet<'_>) -> Value {
    let (kind, data) = match packet {
        Packet::Open(data) => ("open", data),
        Packet::Close => ("close", &Cow::Borrowed("")),
        Packet::Ping(data) => ("ping", data),
        Packet::Pong(data) => ("pong", data),
        Packet::Message(data) => ("message", data),
        Packet::Upgrade => ("upgrade", &Cow::Borrowed("")),
        Packet::Noop => ("noop", &Cow::Borrowed("")),
        Packet::Binary(bytes) => {
            return json!({"type": "message", "data": {"$binary": STANDARD.encode(bytes)}});
        }
    };
    if data.is_empty() {
        json!({ "type": kind })
    } else {
        json!({"type": kind, "data": data})
    }
}

fn from_json(packet: &Value) -> Packet<'_> {
    if let Some(base64) = packet["data"]["$binary"].as_str() {
        return Packet::Binary(STANDARD.decode(base64).unwrap());
    }
    let data = Cow::Borrowed(packet["data"].as_str().unwrap_or_default());
    match packet["type"].as_str().unwrap() {
        "open" => Packet::Open(data),
        "close" => Packet::Close,
        "ping" => Packet::Ping(data),
        "pong" => Packet::Pong(data),
        "message" => Packet::Message(data),
        "upgrade" => Packet::Upgrade,
        "noop" => Packet::Noop,
        other => panic!("{other}"),
    }
}

#[derive(Deserialize)]
struct Vectors {
    packets: Vec<(String, Value)>,
    payloads: Vec<(String, Value)>,
    encode: Vec<(Value, String)>,
    payload: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/engine-io.json")).unwrap()
}

/// Where we refuse what engine.io-parser takes: binary packets in text frames, base64 that is not
/// standard and padded (Node skips what it does not know), data on packets that have none.
fn is_stricter(error: &DecodeError, is_payload: bool, text: &str) -> bool {
    match error {
        DecodeError::UnexpectedData('1' | '5' | '6') => true,
        DecodeError::Base64 => is_payload,
        DecodeError::UnknownType('b') => !is_payload && text.starts_with('b'),
        _ => false,
    }
}

#[test]
fn packets_decode_as_in_engine_io_parser() {
    for (text, expected) in vectors().packets {
        match Packet::decode(&text) {
            Ok(packet) => assert_eq!(to_json(&packet), expected, "{text:?}"),
            Err(error) => assert!(
                expected == "error" || is_stricter(&error, false, &text),
                "{text:?}: {error}"
            ),
        }
    }
}

#[test]
fn payloads_decode_as_in_engine_io_parser() {
    for (text, expected) in vectors().payloads {
        match decode_payload(&text) {
            Ok(packets) => {
                let packets: Vec<Value> = packets.iter().map(to_json).collect();
                assert_eq!(Value::Array(packets), expected, "{text:?}");
            }
            Err(error) => assert!(
                expected == "error" || is_stricter(&error, true, &text),
                "{text:?}: {error}"
            ),
        }
    }
}

#[test]
fn packets_encode_as_in_engine_io_parser() {
    let vectors = vectors();
    let packets: Vec<Packet<'_>> = vectors.encode.iter().map(|(p, _)| from_json(p)).collect();
    for (packet, (_, text)) in packets.iter().zip(&vectors.encode) {
        assert_eq!(&packet.encode(), text);
        assert_eq!(packet.encoded_len(), text.len());
    }
    assert_eq!(encode_payload(&packets), vectors.payload);
    assert_eq!(decode_payload(&vectors.payload).unwrap(), packets);
}

#[test]
fn a_text_frame_is_one_packet() {
    for (text, expected) in [
        ("0{}", Ok(Packet::Open("{}".into()))),
        ("1", Ok(Packet::Close)),
        ("2", Ok(Packet::Ping("".into()))),
        ("2probe", Ok(Packet::Ping("probe".into()))),
        ("3", Ok(Packet::Pong("".into()))),
        ("3probe", Ok(Packet::Pong("probe".into()))),
        ("4", Ok(Packet::Message("".into()))),
        ("4€", Ok(Packet::Message("€".into()))),
        ("4a\x1eb", Ok(Packet::Message("a\x1eb".into()))),
        ("5", Ok(Packet::Upgrade)),
        ("6", Ok(Packet::Noop)),
        ("", Err(DecodeError::Empty)),
        ("1x", Err(DecodeError::UnexpectedData('1'))),
        ("5probe", Err(DecodeError::UnexpectedData('5'))),
        ("6 ", Err(DecodeError::UnexpectedData('6'))),
        ("7", Err(DecodeError::UnknownType('7'))),
        ("bAQ==", Err(DecodeError::UnknownType('b'))),
        (" 4", Err(DecodeError::UnknownType(' '))),
        ("😀4", Err(DecodeError::UnknownType('😀'))),
    ] {
        assert_eq!(Packet::decode(text), expected, "{text:?}");
    }
}

#[test]
fn a_payload_is_packets_between_separators() {
    let message = |text: &'static str| Packet::Message(text.into());
    for (body, expected) in [
        ("4a", Ok(vec![message("a")])),
        ("4a\x1e4b", Ok(vec![message("a"), message("b")])),
        (
            "bAQID\x1e1",
            Ok(vec![Packet::Binary(vec![1, 2, 3]), Packet::Close]),
        ),
        ("b", Ok(vec![Packet::Binary(vec![])])),
        ("", Err(DecodeError::Empty)),
        ("4a\x1e", Err(DecodeError::Empty)),
        ("\x1e4a", Err(DecodeError::Empty)),
        ("bAQ", Err(DecodeError::Base64)),
        ("b-_-_", Err(DecodeError::Base64)),
        ("bAR==", Err(DecodeError::Base64)),
        ("4a\x1e9", Err(DecodeError::UnknownType('9'))),
    ] {
        assert_eq!(decode_payload(body), expected, "{body:?}");
    }
    let body = |n: usize| vec!["2"; n].join("\x1e");
    assert!(decode_payload(&body(MAX_PAYLOAD_PACKETS)).is_ok());
    assert_eq!(
        decode_payload(&body(MAX_PAYLOAD_PACKETS + 1)),
        Err(DecodeError::TooManyPackets)
    );
}

#[test]
fn the_handshake_has_exactly_five_keys_in_order() {
    let handshake = Handshake {
        sid: "lv_VI97HAXpY6yYWAAAB",
        upgrades: &["websocket"],
        ping_interval: 25_000,
        ping_timeout: 20_000,
        max_payload: 1_000_000,
    };
    assert_eq!(
        handshake.to_packet(),
        r#"0{"sid":"lv_VI97HAXpY6yYWAAAB","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
    );
}

#[test]
fn errors_are_those_of_engine_io_6() {
    for (error, status, json) in [
        (
            Error::TransportUnknown,
            400,
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            Error::SessionIdUnknown,
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            Error::BadHandshakeMethod,
            400,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (
            Error::BadRequest,
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (Error::Forbidden, 403, r#"{"code":4,"message":"Forbidden"}"#),
        (
            Error::UnsupportedProtocolVersion,
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ] {
        assert_eq!((error.status(), error.to_json().as_str()), (status, json));
    }
}

fn any_packet() -> impl Strategy<Value = Packet<'static>> {
    // What JSON may contain: anything but the separator.
    let text = || "[^\\x1e]{0,20}".prop_map(Cow::Owned);
    prop_oneof![
        text().prop_map(Packet::Open),
        Just(Packet::Close),
        text().prop_map(Packet::Ping),
        text().prop_map(Packet::Pong),
        text().prop_map(Packet::Message),
        Just(Packet::Upgrade),
        Just(Packet::Noop),
        any::<Vec<u8>>().prop_map(Packet::Binary),
    ]
}

proptest! {
    #[test]
    fn payloads_come_back(packets in prop::collection::vec(any_packet(), 1..8)) {
        let body = encode_payload(&packets);
        prop_assert_eq!(decode_payload(&body).unwrap(), packets);
    }

    #[test]
    fn no_text_panics_and_what_decodes_comes_back(text in any::<String>(), likely in "([0-7b][a-zA-Z0-9+/=]{0,8}\\x1e?){0,5}") {
        for text in [text, likely] {
            if let Ok(packet) = Packet::decode(&text) {
                prop_assert_eq!(packet.encode(), text.as_str());
            }
            if let Ok(packets) = decode_payload(&text) {
                prop_assert_eq!(encode_payload(&packets), text.as_str());
            }
        }
    }
}
