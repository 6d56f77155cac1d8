use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

pub(super) mod properties;

const MAX_BYTES: usize = 1_000_000;

pub(super) fn frame(value: &Value) -> Result<&str, Vec<u8>> {
    match value {
        Value::String(text) => Ok(text),
        binary => Err(binary::binary_at(&binary.to_string()).unwrap().0),
    }
}

/// The outcome of all frames on a fresh connection: the last packet, none, or the first error.
fn decode(frames: &[Value]) -> Result<Option<Packet>, DecodeError> {
    let mut decoder = Decoder::default();
    let mut packet = None;
    for value in frames {
        packet = match frame(value) {
            Ok(text) => decoder.text(text, MAX_BYTES)?,
            Err(bytes) => decoder.binary(&bytes)?,
        };
        assert_eq!(decoder.is_waiting(), packet.is_none());
    }
    Ok(packet)
}

/// A packet as the vectors write it.
pub(super) fn to_json(packet: &Packet) -> Value {
    let array = |args: &Args| serde_json::from_str::<Vec<Value>>(&args.to_array()).unwrap();
    match packet {
        Packet::Connect { namespace, auth } => {
            let mut out = json!({"type": 0, "nsp": namespace});
            if let Some(auth) = auth {
                out["data"] = serde_json::from_str(auth.get()).unwrap();
            }
            out
        }
        Packet::Disconnect { namespace } => json!({"type": 1, "nsp": namespace}),
        Packet::Event {
            namespace,
            id,
            event,
            args,
        } => {
            let mut data = vec![json!(event)];
            data.extend(array(args));
            let mut out = json!({"type": 2, "nsp": namespace, "data": data});
            if let Some(id) = id {
                out["id"] = json!(id);
            }
            out
        }
        Packet::Ack {
            namespace,
            id,
            args,
        } => json!({"type": 3, "nsp": namespace, "id": id, "data": array(args)}),
    }
}

/// JavaScript's equality of JSON: 1 is 1.0.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// The npm parsers' packet as Dialtone means it: no query on the namespace, names are text.
pub(super) fn ours(mut packet: Value) -> Value {
    if let Some(namespace) = packet["nsp"].as_str() {
        packet["nsp"] = json!(header::without_query(namespace));
    }
    if packet["type"] == 2 && packet["data"][0].is_number() {
        packet["data"][0] = json!(payload::event_name(&packet["data"][0].to_string()));
    }
    packet
}

#[derive(Deserialize)]
struct Vectors {
    decode: Vec<(Vec<Value>, Value)>,
    encode: Vec<(Value, Vec<Value>)>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/socket-io.json")).unwrap()
}

/// Where we refuse what socket.io-parser takes. It reads a number out of nearly anything (`+1`,
/// `0x1`, a space) and takes an absent payload and id for any type; a placeholder may have other
/// keys, stand for an attachment twice, or be `0.5`. No client sends such.
fn is_stricter(error: &DecodeError, frames: &[Value], expected: &Value) -> bool {
    let text = frames[0].as_str().unwrap();
    match error {
        DecodeError::AckId
        | DecodeError::ConnectError
        | DecodeError::Placeholder
        | DecodeError::Attachments => true,
        DecodeError::UnknownType => text.trim().is_empty(),
        DecodeError::Payload(_) => {
            let header = text.split(['[', '{']).next().unwrap();
            expected.get("data").is_none() || header.contains(char::is_whitespace)
        }
        _ => false,
    }
}

#[test]
fn packets_decode_as_in_socket_io_parser() {
    for (frames, expected) in vectors().decode {
        let row = json!(frames).to_string();
        match decode(&frames) {
            Ok(Some(packet)) => {
                let actual = to_json(&packet);
                // socket.io-parser wants an attachment in a binary packet, older ones did not.
                let no_attachments = row.starts_with(r#"["50-"#) || row.starts_with(r#"["60-"#);
                assert!(
                    same(&actual, &ours(expected.clone()))
                        || (expected == "error" && no_attachments),
                    "{row}: {actual}, not {expected}"
                );
            }
            Ok(None) => assert_eq!(expected, "waiting", "{row}"),
            Err(error) => assert!(
                expected == "error" || is_stricter(&error, &frames, &expected),
                "{row}: {error}, not {expected}"
            ),
        }
    }
}

pub(super) fn args(elements: &[Value]) -> Args {
    Args::from_array(serde_json::value::to_raw_value(elements).unwrap())
}

/// What the encoders say of a packet of the vectors.
fn encode(packet: &Value) -> Encoded {
    let bare = |text| Encoded {
        text,
        attachments: Vec::new(),
    };
    let namespace = packet["nsp"].as_str().unwrap();
    let data = &packet["data"];
    match packet["type"].as_u64().unwrap() {
        0 => bare(encode_connect(
            namespace,
            data["sid"].as_str().unwrap(),
            data["pid"].as_str(),
        )),
        1 => bare(encode_disconnect(namespace)),
        2 => {
            let (event, rest) = data.as_array().unwrap().split_first().unwrap();
            let event = event.as_str().unwrap();
            encode_event(namespace, packet["id"].as_u64(), event, &args(rest), None)
        }
        3 => encode_ack(
            namespace,
            packet["id"].as_u64().unwrap(),
            &args(data.as_array().unwrap()),
        ),
        _ => {
            let extra = data
                .get("data")
                .map(|d| serde_json::value::to_raw_value(d).unwrap());
            let message = data["message"].as_str().unwrap();
            bare(encode_connect_error(namespace, message, extra.as_deref()))
        }
    }
}

#[test]
fn packets_encode_as_in_socket_io_parser() {
    for (packet, expected) in vectors().encode {
        let encoded = encode(&packet);
        assert_eq!(json!(encoded.text), expected[0], "{packet}");
        let attachments: Vec<Vec<u8>> = expected[1..]
            .iter()
            .map(|binary| frame(binary).unwrap_err())
            .collect();
        assert_eq!(encoded.attachments, attachments, "{packet}");
    }
}

fn text(text: &str) -> Result<Option<Packet>, DecodeError> {
    Decoder::default().text(text, MAX_BYTES)
}

/// A packet in one line: type, namespace, id, name, arguments.
pub(super) fn line(packet: &Packet) -> String {
    match packet {
        Packet::Connect { namespace, auth } => {
            format!(
                "CONNECT {namespace} {}",
                auth.as_ref().map_or("", |auth| auth.get())
            )
        }
        Packet::Disconnect { namespace } => format!("DISCONNECT {namespace}"),
        Packet::Event {
            namespace,
            id,
            event,
            args,
        } => {
            format!("EVENT {namespace} {id:?} {event} {}", args.to_array())
        }
        Packet::Ack {
            namespace,
            id,
            args,
        } => format!("ACK {namespace} {id} {}", args.to_array()),
    }
}

#[test]
fn a_text_is_a_packet_or_an_error() {
    use DecodeError as E;
    const OBJECT: E = E::Payload("absent or a JSON object");
    const EVENT: E = E::Payload("a JSON array that begins with a name");
    const ARRAY: E = E::Payload("a JSON array");
    for (packet, expected) in [
        ("0", Ok("CONNECT / ")),
        ("0/custom", Ok("CONNECT /custom ")),
        ("0/custom,", Ok("CONNECT /custom ")),
        ("0/chat?token=x,{\"a\":1}", Ok("CONNECT /chat {\"a\":1}")),
        ("0{\n\"a\": 1\r\n}", Ok("CONNECT / { \"a\": 1  }")),
        ("1", Ok("DISCONNECT /")),
        ("1/custom", Ok("DISCONNECT /custom")),
        ("2[\"a\"]", Ok("EVENT / None a []")),
        (
            "2/chat,12[\"a\",{\"b\" : 1.0}]",
            Ok("EVENT /chat Some(12) a [{\"b\" : 1.0}]"),
        ),
        ("20[\"a\",1, 2 ]", Ok("EVENT / Some(0) a [1, 2 ]")),
        (
            "2[ \"a\\u0062\" ,\n1 ,\n2 ]",
            Ok("EVENT / None ab [1 , 2 ]"),
        ),
        (
            "2[\"a\",\"\\ud800\",1e400]",
            Ok("EVENT / None a [\"\\ud800\",1e400]"),
        ),
        (
            "2[\"a\",{\"_placeholder\":true,\"num\":0}]",
            Ok("EVENT / None a [{\"_placeholder\":true,\"num\":0}]"),
        ),
        ("2[7,1]", Ok("EVENT / None 7 [1]")),
        ("2[-0]", Ok("EVENT / None 0 []")),
        ("2[1.50]", Ok("EVENT / None 1.5 []")),
        ("2[1e3]", Ok("EVENT / None 1000 []")),
        ("50-[\"a\"]", Ok("EVENT / None a []")),
        ("39007199254740991[]", Ok("ACK / 9007199254740991 []")),
        ("3/chat,7[[]]", Ok("ACK /chat 7 [[]]")),
        ("", Err(E::UnknownType)),
        ("7", Err(E::UnknownType)),
        ("😀", Err(E::UnknownType)),
        ("4{\"message\":\"x\"}", Err(E::ConnectError)),
        ("0[]", Err(OBJECT)),
        ("0{", Err(OBJECT)),
        ("0null", Err(E::Payload("an array or an object"))),
        ("01{}", Err(E::AckId)),
        ("1{}", Err(E::Payload("absent"))),
        ("11", Err(E::AckId)),
        ("2", Err(EVENT)),
        ("2[]", Err(EVENT)),
        ("2[null]", Err(EVENT)),
        ("2[\"\\ud800\"]", Err(EVENT)),
        ("2[1e400]", Err(EVENT)),
        ("2{\"a\":1}", Err(EVENT)),
        ("2[\"a\"]x", Err(EVENT)),
        ("2[\"a\",\"b\nc\"]", Err(EVENT)),
        ("2[\"a\",]", Err(EVENT)),
        ("2/chat[\"a\"]", Err(EVENT)),
        (
            "2[\"connect\"]",
            Err(E::ReservedEvent("connect".to_owned())),
        ),
        (
            "2[\"new\\u004cistener\",1]",
            Err(E::ReservedEvent("newListener".to_owned())),
        ),
        ("2-1[\"a\"]", Err(E::Payload("an array or an object"))),
        ("29007199254740992[\"a\"]", Err(E::AckId)),
        ("299999999999999999999999[\"a\"]", Err(E::AckId)),
        ("3[]", Err(E::AckId)),
        ("31", Err(ARRAY)),
        ("31{}", Err(ARRAY)),
        ("5[\"a\"]", Err(E::Attachments)),
        ("5-[\"a\"]", Err(E::Attachments)),
        ("5+1-[\"a\"]", Err(E::Attachments)),
        ("511-[\"a\"]", Err(E::TooManyAttachments)),
        ("599999999999999999999-[\"a\"]", Err(E::TooManyAttachments)),
        (
            "50-[\"a\",{\"_placeholder\":true,\"num\":0}]",
            Err(E::Placeholder),
        ),
        (
            "51-[\"a\",{\"_placeholder\":true,\"num\":1}]",
            Err(E::Placeholder),
        ),
    ] {
        let actual = text(packet).map(|packet| line(&packet.unwrap()));
        assert_eq!(actual, expected.map(str::to_owned), "{packet}");
    }
}

#[test]
fn one_argument_is_kept_alone() {
    let args = |packet| match text(packet) {
        Ok(Some(Packet::Event { args, .. } | Packet::Ack { args, .. })) => args,
        other => panic!("{other:?}"),
    };
    for (packet, one) in [
        (r#"2["a",[]]"#, Some("[]")),
        (r#"2["a", {} ]"#, Some("{}")),
        (r#"31[ "x" ]"#, Some(r#""x""#)),
        (r#"2["a"]"#, None),
        (r#"2["a",1,2]"#, None),
        ("31[]", None),
        ("31[1,2]", None),
    ] {
        match (args(packet), one) {
            (Args::One(actual), Some(one)) => assert_eq!(actual.get(), one, "{packet}"),
            (Args::Array(_), None) => {}
            (actual, _) => panic!("{packet}: {actual:?}"),
        }
    }
    assert!(args(r#"2["a"]"#).is_empty());
    assert!(args("31[ ]").is_empty());
}

#[test]
fn nesting_is_limited_for_each_argument() {
    use crate::limits::MAX_JSON_DEPTH;
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for (depth, ok) in [
        (MAX_JSON_DEPTH, true),
        (MAX_JSON_DEPTH + 1, false),
        (100_000, false),
    ] {
        let json = nested(depth);
        for packet in [
            format!("2[\"a\",{json}]"),
            format!("31[{json}]"),
            format!("0{{\"a\":{}}}", nested(depth)),
        ] {
            assert_eq!(text(&packet).is_ok(), ok, "{depth}");
        }
    }
}

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

#[test]
fn a_binary_packet_waits_for_its_attachments() {
    let mut decoder = Decoder::default();
    let packet = format!(
        r#"52-/chat,3["a",{PLACEHOLDER},{{"b" : [{{ "num":1 ,"_placeholder" : true }}]}}]"#
    );
    assert!(decoder.text(&packet, MAX_BYTES).unwrap().is_none());
    assert!(decoder.is_waiting());
    assert!(decoder.binary(&[1, 2, 3]).unwrap().is_none());
    let packet = decoder.binary(&[]).unwrap().unwrap();
    assert!(!decoder.is_waiting());
    assert_eq!(
        line(&packet),
        r#"EVENT /chat Some(3) a [{"$binary":"AQID"},{"b" : [{"$binary":""}]}]"#
    );
    // The decoder is free for the next one.
    assert!(decoder.text(r#"2["a"]"#, MAX_BYTES).unwrap().is_some());
}

#[test]
fn frames_out_of_turn_and_packets_too_large_are_errors() {
    let waiting = || {
        let mut decoder = Decoder::default();
        let packet = format!(r#"52-["a",{PLACEHOLDER}]"#);
        decoder.text(&packet, packet.len() + 10).unwrap();
        decoder
    };
    assert_eq!(
        Decoder::default().binary(&[1]).unwrap_err(),
        DecodeError::UnexpectedBinary
    );
    assert_eq!(
        waiting().text("0", MAX_BYTES).unwrap_err(),
        DecodeError::ExpectedAttachment
    );
    assert!(matches!(
        waiting().binary(&[0; 11]),
        Err(DecodeError::TooLarge(_))
    ));
    let mut decoder = waiting();
    assert!(decoder.binary(&[0; 6]).unwrap().is_none());
    assert!(matches!(
        decoder.binary(&[0; 5]),
        Err(DecodeError::TooLarge(_))
    ));
    assert!(!decoder.is_waiting());
    let mut decoder = waiting();
    decoder.binary(&[0; 6]).unwrap();
    assert!(decoder.binary(&[0; 4]).unwrap().is_some());
    assert!(Decoder::default().text("2[\"a\"]", 5).is_err());
    assert!(Decoder::default().text("2[\"a\"]", 6).is_ok());
}

#[test]
fn an_attachment_is_put_in_only_once() {
    // 30,000 placeholders for one attachment of 500 kB would become 20 GB.
    let packet = format!(r#"51-["a"{}]"#, format!(",{PLACEHOLDER}").repeat(30_000));
    assert_eq!(text(&packet).unwrap_err(), DecodeError::Placeholder);
}

#[test]
fn binary_data_leaves_as_attachments() {
    let raw_args = |json: &str| Args::from_array(serde_json::from_str(json).unwrap());
    let ten = [r#"{"$binary":"AQ=="}"#; 10].join(",");
    for (args, text, attachments) in [
        ("[]", r#"2["e"]"#, 0),
        ("[1]", r#"2["e",1]"#, 0),
        (
            r#"[{"$binary":"AQ=="}]"#,
            r#"51-["e",{"_placeholder":true,"num":0}]"#,
            1,
        ),
        (
            r#"[{"$binary":""},{"a":[{"$binary":"AQID"}]}]"#,
            r#"52-["e",{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":1}]}]"#,
            2,
        ),
        // Not in exactly our notation.
        (
            r#"[{"$binary": "AQ=="}]"#,
            r#"2["e",{"$binary": "AQ=="}]"#,
            0,
        ),
        (r#"[{"$binary":"AQ"}]"#, r#"2["e",{"$binary":"AQ"}]"#, 0),
        (r#"[{"$binary":"AR=="}]"#, r#"2["e",{"$binary":"AR=="}]"#, 0),
        (r#"[{"$binary":"_-=="}]"#, r#"2["e",{"$binary":"_-=="}]"#, 0),
        (
            r#"[{"$binary":"AQ==","a":1}]"#,
            r#"2["e",{"$binary":"AQ==","a":1}]"#,
            0,
        ),
        (
            r#"["{\"$binary\":\"AQ==\"}"]"#,
            r#"2["e","{\"$binary\":\"AQ==\"}"]"#,
            0,
        ),
        (
            r#"[{"$binary":"\"}"},{"$binary":"AQ=="}]"#,
            r#"51-["e",{"$binary":"\"}"},{"_placeholder":true,"num":0}]"#,
            1,
        ),
        // What receivers would take for a placeholder, in whatever spelling.
        (
            r#"[{"$binary":"AQ=="},{"_placeholder":true,"num":9}]"#,
            r#"2["e",{"$binary":"AQ=="},{"_placeholder":true,"num":9}]"#,
            0,
        ),
        (
            r#"[{"$binary":"AQ=="},{"\u005fplaceholder" : true}]"#,
            r#"2["e",{"$binary":"AQ=="},{"\u005fplaceholder" : true}]"#,
            0,
        ),
        (
            r#"[{"$binary":"AQ=="},{"_placeholder":"true"}]"#,
            r#"51-["e",{"_placeholder":true,"num":0},{"_placeholder":"true"}]"#,
            1,
        ),
    ] {
        let encoded = encode_event("/", None, "e", &raw_args(args), None);
        assert_eq!(
            (encoded.text.as_str(), encoded.attachments.len()),
            (text, attachments),
            "{args}"
        );
    }
    let encoded = encode_ack("/x", 7, &raw_args(&format!("[{ten}]")));
    assert_eq!(encoded.attachments, vec![vec![1]; 10]);
    assert!(
        encoded
            .text
            .starts_with(r#"610-/x,7[{"_placeholder":true,"num":0},"#)
    );
    // One more than a packet may have.
    let eleven = format!(r#"[{ten},{{"$binary":"AQ=="}}]"#);
    let encoded = encode_event("/", None, "e", &raw_args(&eleven), None);
    assert_eq!(encoded.attachments, Vec::<Vec<u8>>::new());
    assert_eq!(encoded.text, format!(r#"2["e",{}"#, &eleven[1..]));
}

#[test]
fn the_offset_goes_behind_the_arguments() {
    for (args, expected) in [
        (Args::none(), r#"2["e","o"]"#),
        (Args::of(&1), r#"2["e",1,"o"]"#),
        (args(&[json!(1), json!([2])]), r#"2["e",1,[2],"o"]"#),
        (
            Args::of(&json!({"$binary": "AQ=="})),
            r#"51-["e",{"_placeholder":true,"num":0},"o"]"#,
        ),
    ] {
        assert_eq!(
            encode_event("/", None, "e", &args, Some("o")).text,
            expected
        );
    }
    assert_eq!(
        encode_event("", Some(1), "\n", &Args::none(), Some("\"")).text,
        r#"21["\n","\""]"#
    );
}
