//! Round trips, what no input may do, and socketioxide as a second opinion.

use proptest::prelude::*;
use socketioxide_core::{
    Value as OxideValue,
    packet::{Packet as OxidePacket, PacketData},
    parser::{Parse, ParseError, ParserState},
};
use socketioxide_parser_common::CommonParser;

use super::*;

/// JSON with binary data in it.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Floats that serde_json reads without losing the last bit.
        any::<i32>().prop_map(|eighths| json!(f64::from(eighths) / 8.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(".{0,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_arguments() -> impl Strategy<Value = Vec<Value>> {
    let binary = any::<Vec<u8>>().prop_map(|bytes| {
        let mut json = String::new();
        binary::push_binary(&mut json, &bytes);
        serde_json::from_str(&json).unwrap()
    });
    let nested = binary.clone().prop_map(|binary| json!({"a": [binary]}));
    prop::collection::vec(prop_oneof![3 => any_json(), 1 => binary, 1 => nested], 0..8)
}

fn namespace() -> impl Strategy<Value = String> {
    "/|/[a-z0-9é/_-]{1,10}"
}

fn reads_back(encoded: &Encoded) -> Packet {
    let mut decoder = Decoder::default();
    let mut packet = decoder.text(&encoded.text, MAX_BYTES).unwrap();
    for attachment in &encoded.attachments {
        assert!(packet.is_none());
        packet = decoder.binary(attachment).unwrap();
    }
    packet.unwrap()
}

proptest! {
    #[test]
    fn packets_come_back(
        namespace in namespace(),
        id in prop::option::of(0..=crate::limits::MAX_ACK_ID),
        event in "[^c-r].{0,10}",
        arguments in any_arguments(),
    ) {
        let args = args(&arguments);
        let packet = reads_back(&encode_event(&namespace, id, &event, &args, None));
        let id = id.unwrap_or_default();
        prop_assert_eq!(line(&packet).replace("None", "Some(0)"), line(&Packet::Event {
            namespace: namespace.clone(), id: Some(id), event, args: args.clone(),
        }).replace("None", "Some(0)"));
        let packet = reads_back(&encode_ack(&namespace, id, &args));
        prop_assert_eq!(line(&packet), line(&Packet::Ack { namespace, id, args }));
    }

    #[test]
    fn no_input_panics(
        wild in any::<String>(),
        likely in "[0-7]([0-9]{0,2}-)?(/[a-z?]{0,4},?)?[0-9]{0,3}[\\[\\]{}\",:a-z0-9\\\\ ]{0,20}",
        max_bytes in 0..200_usize,
        bytes in any::<Vec<u8>>(),
    ) {
        for text in [wild, likely] {
            let mut decoder = Decoder::default();
            let _ = decoder.text(&text, max_bytes);
            let _ = decoder.binary(&bytes);
            let _ = decoder.text(&text, max_bytes);
        }
    }

    #[test]
    fn no_damaged_packet_panics(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        with in ".{0,2}",
        cut in 0..3_usize,
    ) {
        let packets = [
            r#"52-/chat,3["a",{"_placeholder":true,"num":0},{"b":{ "num" : 1 , "_placeholder" : true }}]"#,
            r#"2/chat,12["a\"b\\",{"c":[1.5e3,null]},"é😀"]"#,
            r#"0/chat?x=1,{"token":"x"}"#,
            r#"61-7[[{"_placeholder":true,"num":0}]]"#,
        ];
        let mut text: Vec<char> = which.get(&packets).chars().collect();
        let at = at.index(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, with.chars());
        let mut decoder = Decoder::default();
        let _ = decoder.text(&text.iter().collect::<String>(), MAX_BYTES);
        for _ in 0..3 {
            if let Ok(Some(packet)) = decoder.binary(&[1, 2]) {
                let _ = line(&packet);
            }
        }
    }

    #[test]
    fn socketioxide_encodes_the_same(
        namespace in namespace(),
        id in prop::option::of(0..1_000_000_u32),
        event in "[a-zé\"\\\\]{0,10}",
        arguments in any_arguments(),
    ) {
        let args = args(&arguments);
        let ours = encode_event(&namespace, id.map(u64::from), &event, &args, None);
        let json = ours.text[ours.text.find('[').unwrap()..].to_owned();
        let attachments = ours.attachments.iter().map(|bytes| bytes.clone().into()).collect();
        let mut packet = OxidePacket::event(
            namespace,
            OxideValue::Str(json.into(), Some(attachments)),
        );
        if let Some(id) = id {
            packet.inner.set_ack_id(id.into());
        }
        let OxideValue::Str(theirs, _) = CommonParser.encode(packet) else {
            panic!("not text")
        };
        prop_assert_eq!(ours.text.as_str(), theirs.as_str());
    }
}

/// What we take, socketioxide's parser takes too, and for the same; it does not look into the
/// JSON, so the reverse does not hold. On purpose it differs in one thing: the namespace's query
/// is taken off later there.
#[test]
fn socketioxide_decodes_the_same() {
    let mut compared = 0;
    for (frames, _) in vectors().decode {
        let Ok(text) = frame(&frames[0]) else {
            continue;
        };
        let Ok(ours) = super::text(text) else {
            continue;
        };
        let theirs = CommonParser.decode_str(&ParserState::default(), text.to_owned().into());
        compared += 1;
        let Some(ours) = ours else {
            assert!(
                matches!(theirs, Err(ParseError::NeedsMoreBinaryData)),
                "{text}: {theirs:?}"
            );
            continue;
        };
        let ours = to_json(&ours);
        let OxidePacket { inner, ns } = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
        let json =
            |data: OxideValue| -> Value { serde_json::from_str(data.as_str().unwrap()).unwrap() };
        let mut theirs = match inner {
            PacketData::Connect(None) => json!({"type": 0}),
            PacketData::Connect(Some(data)) => json!({"type": 0, "data": json(data)}),
            PacketData::Disconnect => json!({"type": 1}),
            PacketData::Event(data, None) | PacketData::BinaryEvent(data, None) => {
                json!({"type": 2, "data": json(data)})
            }
            PacketData::Event(data, Some(id)) | PacketData::BinaryEvent(data, Some(id)) => {
                json!({"type": 2, "id": id, "data": json(data)})
            }
            PacketData::EventAck(data, id) | PacketData::BinaryAck(data, id) => {
                json!({"type": 3, "id": id, "data": json(data)})
            }
            PacketData::ConnectError(_) => panic!("{text}"),
        };
        theirs["nsp"] = json!(ns.as_str());
        assert!(
            same(&ours, &super::ours(theirs.clone())),
            "{text}: {ours} {theirs}"
        );
    }
    assert!(compared > 200, "{compared}");
}
