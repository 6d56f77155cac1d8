use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::socket_io::tests::{args, line, ours, properties::any_json, same, to_json};

#[derive(Deserialize)]
struct Vectors {
    values: Vec<(String, serde_json::Value)>,
    decode: Vec<(String, serde_json::Value)>,
    encode: Vec<(serde_json::Value, String)>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!(
        "../../../../tests/vectors/socket-io-msgpack.json"
    ))
    .unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.as_bytes();
    hex.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// One event `a` with this value, as the client's parser encodes it.
fn event_with(value: &str) -> Vec<u8> {
    bytes(&format!(
        "83a47479706502a46461746192a161{value}a36e7370a12f"
    ))
}

#[test]
fn values_are_read_as_notepack_wrote_them() {
    for (hex, expected) in vectors().values {
        // Three that notepack.io gets wrong or we cannot hold: 1e300 is written as the integer 0, an
        // invalid Date as 1970, and the last Date there is lies beyond chrono.
        if expected == json!(1e300) || expected == json!("+275760-09-13T00:00:00.000Z") {
            continue;
        }
        let is_invalid_date = hex.contains("d7000000000000000000") && expected.is_null();
        let actual = to_json(&decode(&bytes(&hex)).unwrap());
        assert!(
            same(&actual["data"][1], &expected) || is_invalid_date,
            "{hex}: {actual}, not {expected}"
        );
    }
}

/// Where we refuse what socket.io-msgpack-parser takes: it knows no reserved names, lets an event
/// have no name and an acknowledgement no id, takes any number for an id, any text for a namespace
/// and any value for a key, and reads what is not UTF-8 as U+FFFD.
fn is_stricter(error: &DecodeError) -> bool {
    matches!(
        error,
        DecodeError::AckId
            | DecodeError::ConnectError
            | DecodeError::Namespace
            | DecodeError::ReservedEvent(_)
            | DecodeError::Payload("a JSON array that begins with a name")
            | DecodeError::MessagePack("a string is not UTF-8" | "a value that JSON cannot hold")
    )
}

#[test]
fn packets_decode_as_in_socket_io_msgpack_parser() {
    for (hex, expected) in vectors().decode {
        match decode(&bytes(&hex)) {
            Ok(packet) => {
                let actual = to_json(&packet);
                assert!(
                    same(&actual, &ours(expected.clone())),
                    "{hex}: {actual}, not {expected}"
                );
            }
            Err(error) => assert!(
                expected == "error" || is_stricter(&error),
                "{hex}: {error}, not {expected}"
            ),
        }
    }
}

#[test]
fn packets_encode_as_in_socket_io_msgpack_parser() {
    for (packet, hex) in vectors().encode {
        let namespace = packet["nsp"].as_str().unwrap();
        let data = &packet["data"];
        let id = packet["id"].as_u64();
        let encoded = match packet["type"].as_u64().unwrap() {
            0 => encode_connect(
                namespace,
                data["sid"].as_str().unwrap(),
                data["pid"].as_str(),
            ),
            1 => encode_disconnect(namespace),
            2 => {
                let (event, rest) = data.as_array().unwrap().split_first().unwrap();
                encode_event(namespace, id, event.as_str().unwrap(), &args(rest), None)
            }
            3 => encode_ack(namespace, id.unwrap(), &args(data.as_array().unwrap())),
            _ => {
                let message = data["message"].as_str().unwrap();
                let extra = data
                    .get("data")
                    .map(|data| serde_json::value::to_raw_value(data).unwrap());
                encode_connect_error(namespace, message, extra.as_deref())
            }
        };
        assert_eq!(encoded, bytes(&hex), "{packet}");
    }
}

#[test]
fn values_become_json() {
    for (value, expected) in [
        ("ca3fc00000", "1.5"),
        ("cb4000000000000000", "2.0"),
        ("cb7ff0000000000000", "null"),
        ("cfffffffffffffffff", "18446744073709551615"),
        ("d38000000000000000", "-9223372036854775808"),
        ("d40000", "null"),
        ("d7000000000000000000", r#""1970-01-01T00:00:00.000Z""#),
        ("d700ffffc77590fba000", r#""0000-01-01T00:00:00.000Z""#),
        ("d700ffffc77590fb9fff", r#""-000001-12-31T23:59:59.999Z""#),
        ("d7000000e677d21fdc00", r#""+010000-01-01T00:00:00.000Z""#),
        ("d7007fffffffffffffff", "null"),
        ("c4020102", r#"{"$binary":"AQI="}"#),
        ("c702000102", r#"{"$binary":"AQI="}"#),
        ("c70100ff", r#"{"$binary":"/w=="}"#),
        ("d6ff00000001", r#"[-1,{"$binary":"AAAAAQ=="}]"#),
        ("82a161c3a16291c0", r#"{"a":true,"b":[null]}"#),
        ("8207c2d0ffc2", r#"{"7":false,"-1":false}"#),
        ("928090", "[{},[]]"),
        ("a3610a22", r#""a\n\"""#),
    ] {
        let packet = decode(&event_with(value)).unwrap();
        assert_eq!(
            line(&packet),
            format!("EVENT / None a [{expected}]"),
            "{value}"
        );
    }
}

#[test]
fn json_becomes_values() {
    for (json, expected) in [
        ("1.0", "cb3ff0000000000000"),
        ("-0.5", "cbbfe0000000000000"),
        ("1e3", "cb408f400000000000"),
        ("18446744073709551615", "cfffffffffffffffff"),
        ("18446744073709551616", "cb43f0000000000000"),
        ("1e999", "cb7ff0000000000000"),
        (r#""\ud83d\ude00""#, "a4f09f9880"),
        (r#""x\ud800""#, "aa78efbfbdefbfbdefbfbd"),
        (r#"{"$binary":"AQID"}"#, "c403010203"),
        (r#"{"$binary": "AQID"}"#, "81a72462696e617279a441514944"),
        (r#"{"$binary":"AQI"}"#, "81a72462696e617279a3415149"),
        (r#"{ "a" : [ 1 , "," , { } ] }"#, "81a1619301a12c80"),
    ] {
        let args = Args::One(RawValue::from_string(json.to_owned()).unwrap());
        let encoded = encode_event("/", None, "a", &args, None);
        assert_eq!(encoded, event_with(expected), "{json}");
    }
    let with_offset = encode_event("/", None, "a", &args(&[]), Some("o"));
    assert_eq!(with_offset, event_with("a16f"));
}

#[test]
fn nesting_is_limited_in_values_and_unknown_keys() {
    let nested = |n: usize, leaf: &str| format!("{}{leaf}", "91".repeat(n));
    for (depth, leaf, ok) in [
        (MAX_JSON_DEPTH, "c0", true),
        (MAX_JSON_DEPTH + 1, "c0", false),
        (MAX_JSON_DEPTH - 1, "90", true),
        (MAX_JSON_DEPTH, "90", false),
        (MAX_JSON_DEPTH - 1, "c400", true),
        (MAX_JSON_DEPTH, "c400", false),
        (MAX_JSON_DEPTH - 2, "d5010102", true),
        (MAX_JSON_DEPTH - 1, "d5010102", false),
        (500_000, "c0", false),
    ] {
        let value = nested(depth, leaf);
        let decoded = decode(&event_with(&value));
        match decoded {
            Ok(_) => assert!(ok, "{depth} {leaf}"),
            Err(error) => assert!(
                !ok && error == DecodeError::TooDeep,
                "{depth} {leaf} {error}"
            ),
        }
    }
    let unknown = bytes(&format!("81a178{}", nested(500_000, "c0")));
    assert_eq!(decode(&unknown).unwrap_err(), DecodeError::TooDeep);
}

#[test]
fn declared_lengths_are_not_believed() {
    for value in [
        "ddffffffff",
        "dfffffffff",
        "dbffffffff",
        "c6ffffffff",
        "c9ffffffff00",
        "c9ffffffff05",
        "ddffffffffc0",
        "dfffffffffa161c0",
        "dcffff",
        "deffff",
        "d9ff",
        "c7ff00",
    ] {
        let truncated = bytes(&format!("82a47479706502a46461746192a161{value}"));
        assert_eq!(
            decode(&truncated).unwrap_err(),
            DecodeError::MessagePack("it ends too early"),
            "{value}"
        );
    }
    for packet in ["dfffffffff", "deffff", "", "8f"] {
        assert!(decode(&bytes(packet)).is_err(), "{packet}");
    }
}

proptest! {
    #[test]
    fn packets_come_back(
        id in prop::option::of(0..=MAX_ACK_ID),
        event in "[^c-r].{0,40}",
        values in prop::collection::vec(any_json(), 0..20),
        data in any::<Vec<u8>>(),
    ) {
        let mut values = values;
        let mut binary = String::new();
        crate::socket_io::binary::push_binary(&mut binary, &data);
        values.push(serde_json::from_str(&binary).unwrap());
        let expected = Packet::Event {
            namespace: "/é".to_owned(), id, event: event.clone(), args: args(&values),
        };
        let packet = decode(&encode_event("/é", id, &event, &args(&values), None)).unwrap();
        prop_assert!(same(&to_json(&packet), &to_json(&expected)));
        let packet = decode(&encode_ack("", id.unwrap_or(7), &args(&values))).unwrap();
        prop_assert!(same(&to_json(&packet)["data"], &json!(values)));
    }

    #[test]
    fn no_input_panics(
        wild in any::<Vec<u8>>(),
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..4),
        cut in 0..4_usize,
    ) {
        let _ = decode(&wild);
        let mut packet = encode_event(
            "/chat",
            Some(300),
            "a",
            &args(&[json!({"b": [1, {"$binary": "AQID"}], "c": -1.5}), json!("é😀")]),
            Some("o"),
        );
        let at = at.index(packet.len());
        let end = (at + cut).min(packet.len());
        packet.splice(at..end, with);
        if let Ok(packet) = decode(&packet) {
            let _ = line(&packet);
        }
    }
}
