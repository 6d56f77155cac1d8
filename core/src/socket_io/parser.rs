//! The two ways of writing Socket.IO packets that there are: the protocol's own, and that of
//! `socket.io-msgpack-parser`. All clients of a deployment speak the same one (`SOCKET_IO_PARSER`).

use serde_json::value::RawValue;

use super::{
    DecodeError, Decoder, Encoded, Packet, encode_ack, encode_connect, encode_connect_error,
    encode_disconnect, encode_event, msgpack,
};
use crate::event::Args;

/// One Engine.IO message, as a WebSocket carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, with Engine.IO's `4` before it.
    Text(String),
    /// Binary data.
    Binary(Vec<u8>),
}

/// How packets are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Parser {
    /// JSON, with binary data as attachments: what a stock client speaks.
    #[default]
    Json,
    /// MessagePack: a packet is one binary message.
    MsgPack,
}

impl Parser {
    /// Reads a text message.
    pub fn text(
        self,
        decoder: &mut Decoder,
        text: &str,
        max_bytes: usize,
    ) -> Result<Option<Packet>, DecodeError> {
        match self {
            Self::Json => decoder.text(text, max_bytes),
            Self::MsgPack => Err(DecodeError::ExpectedBinary),
        }
    }

    /// Reads a binary message, of `max_bytes` at most.
    pub fn binary(
        self,
        decoder: &mut Decoder,
        bytes: &[u8],
    ) -> Result<Option<Packet>, DecodeError> {
        match self {
            Self::Json => decoder.binary(bytes),
            Self::MsgPack => msgpack::decode(bytes).map(Some),
        }
    }

    /// An EVENT.
    pub fn event(
        self,
        namespace: &str,
        id: Option<u64>,
        event: &str,
        args: &Args,
        offset: Option<&str>,
    ) -> Vec<Message> {
        match self {
            Self::Json => messages(encode_event(namespace, id, event, args, offset)),
            Self::MsgPack => {
                let bytes = msgpack::encode_event(namespace, id, event, args, offset);
                vec![Message::Binary(bytes)]
            }
        }
    }

    /// An ACK.
    pub fn ack(self, namespace: &str, id: u64, args: &Args) -> Vec<Message> {
        match self {
            Self::Json => messages(encode_ack(namespace, id, args)),
            Self::MsgPack => vec![Message::Binary(msgpack::encode_ack(namespace, id, args))],
        }
    }

    /// The answer to a CONNECT.
    pub fn connect(self, namespace: &str, sid: &str, pid: Option<&str>) -> Message {
        match self {
            Self::Json => text(&encode_connect(namespace, sid, pid)),
            Self::MsgPack => Message::Binary(msgpack::encode_connect(namespace, sid, pid)),
        }
    }

    /// The refusal of a CONNECT.
    pub fn connect_error(self, namespace: &str, message: &str, data: Option<&RawValue>) -> Message {
        match self {
            Self::Json => text(&encode_connect_error(namespace, message, data)),
            Self::MsgPack => {
                Message::Binary(msgpack::encode_connect_error(namespace, message, data))
            }
        }
    }

    /// The server puts the client out of a namespace.
    pub fn disconnect(self, namespace: &str) -> Message {
        match self {
            Self::Json => text(&encode_disconnect(namespace)),
            Self::MsgPack => Message::Binary(msgpack::encode_disconnect(namespace)),
        }
    }
}

fn text(packet: &str) -> Message {
    Message::Text(format!("4{packet}"))
}

fn messages(encoded: Encoded) -> Vec<Message> {
    let attachments = encoded.attachments.into_iter().map(Message::Binary);
    std::iter::once(text(&encoded.text))
        .chain(attachments)
        .collect()
}
