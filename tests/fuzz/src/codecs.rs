//! What clients send: Engine.IO, Socket.IO in both encodings, plain sockets' frames.

use dialtone_core::{
    engine_io, etag,
    event::Args,
    hub::plain as frames,
    limits::MAX_ACK_ID,
    socket_io::{self, Decoder, Packet, encode_ack, encode_event, msgpack as packed},
};
use socketioxide_core::parser::{Parse, ParseError, ParserState};
use socketioxide_parser_common::CommonParser;

use crate::text;

const MAX_BYTES: usize = 1_000_000;

/// A WebSocket's text, and a polling body. What is read is written again as it was.
pub fn engine_io(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(packet) = engine_io::Packet::decode(text) {
        assert_eq!(packet.encode(), text);
    }
    if let Ok(packets) = engine_io::decode_payload(text) {
        let again = engine_io::encode_payload(&packets);
        assert_eq!(engine_io::decode_payload(&again).unwrap(), packets);
    }
    etag::matches(text, &etag::of(bytes));
}

/// A packet's text, then its attachments, separated by ASCII's record separator.
pub fn socket_io(bytes: &[u8]) {
    let mut frames = bytes.split(|byte| *byte == 0x1e);
    let Some(text) = frames.next().and_then(text) else {
        return;
    };
    let mut decoder = Decoder::default();
    let mut packet = decoder.text(text, MAX_BYTES);
    agrees(text, &packet);
    for frame in frames {
        if !matches!(packet, Ok(None)) {
            break;
        }
        packet = decoder.binary(frame);
    }
    if let Ok(Some(packet)) = packet {
        assert!(!decoder.is_waiting());
        comes_back(&packet);
    }
}

/// What we take, socketioxide's parser takes too.
fn agrees(text: &str, ours: &Result<Option<Packet>, socket_io::DecodeError>) {
    let theirs = || CommonParser.decode_str(&ParserState::default(), text.to_owned().into());
    match ours {
        Ok(Some(_)) => assert!(theirs().is_ok(), "{text}: {:?}", theirs()),
        Ok(None) => assert!(
            matches!(theirs(), Err(ParseError::NeedsMoreBinaryData)),
            "{text}: {:?}",
            theirs()
        ),
        Err(_) => {}
    }
}

/// What was read and is written is read again, for the same.
fn comes_back(packet: &Packet) {
    let encoded = match packet {
        Packet::Connect { .. } | Packet::Disconnect { .. } => return,
        Packet::Event {
            namespace,
            id,
            event,
            args,
        } => encode_event(namespace, *id, event, args, None),
        Packet::Ack {
            namespace,
            id,
            args,
        } => encode_ack(namespace, *id, args),
    };
    let mut decoder = Decoder::default();
    // Attachments are written in place; base64 in JSON is longer than they are.
    let mut again = decoder.text(&encoded.text, 2 * MAX_BYTES);
    for attachment in &encoded.attachments {
        assert!(matches!(again, Ok(None)), "{again:?}");
        again = decoder.binary(attachment);
    }
    assert_eq!(facts(again.unwrap().as_ref().unwrap()), facts(packet));
}

/// A packet as it can be compared: JSON by its value.
fn facts(packet: &Packet) -> (String, Option<u64>, Option<String>, Vec<String>) {
    let args = |args: &Args| {
        let array = args.to_array();
        let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(&array).unwrap();
        items.iter().map(|item| item.get().to_owned()).collect()
    };
    match packet {
        Packet::Connect { namespace, .. } | Packet::Disconnect { namespace } => {
            (namespace.clone(), None, None, Vec::new())
        }
        Packet::Event {
            namespace,
            id,
            event,
            args: arguments,
        } => (namespace.clone(), *id, Some(event.clone()), args(arguments)),
        Packet::Ack {
            namespace,
            id,
            args: arguments,
        } => (namespace.clone(), Some(*id), None, args(arguments)),
    }
}

/// One binary message of `socket.io-msgpack-parser`.
pub fn msgpack(bytes: &[u8]) {
    let Ok(packet) = packed::decode(bytes) else {
        return;
    };
    let encoded = match &packet {
        Packet::Connect { .. } => return,
        Packet::Disconnect { namespace } => packed::encode_disconnect(namespace),
        Packet::Event {
            namespace,
            id,
            event,
            args,
        } => packed::encode_event(namespace, *id, event, args, None),
        Packet::Ack {
            namespace,
            id,
            args,
        } => packed::encode_ack(namespace, *id, args),
    };
    let again = packed::decode(&encoded).unwrap();
    assert_eq!(facts(&again), facts(&packet));
    // A client with the other encoding gets it too, if it can say the namespace: none of ours has a comma.
    if let Packet::Event { id, namespace, .. } = &packet {
        assert!(id.is_none_or(|id| id <= MAX_ACK_ID));
        if !namespace.contains(',') {
            comes_back(&packet);
        }
    }
}

/// One frame of a plain socket, which is also the body of `POST /rooms/{room}/events`.
pub fn plain(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let frame = frames::decode(text);
    if let Some(id) = &frame.id {
        assert!(frames::is_client_id(id));
    }
    let Ok(event) = frame.event else { return };
    let args = event.args.to_array();
    // `?batch=1` puts one object on a line.
    assert!(!args.contains(['\n', '\r']));
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(&args).unwrap();
    if let [data] = items[..] {
        let again = frames::event(&event.event, &data);
        let again = frames::decode(&again).event.unwrap();
        assert_eq!((again.event, again.args.to_array()), (event.event, args));
    }
}
