//! One packet.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::DecodeError;

/// An Engine.IO packet. Over WebSocket each is one frame; over polling they are joined by
/// [`SEPARATOR`](super::SEPARATOR).
///
/// | Packet | Text | Sent by |
/// |---|---|---|
/// | open | `0{…}` | server |
/// | close | `1` | both |
/// | ping | `2`, `2probe` | server; the client only as a probe |
/// | pong | `3`, `3probe` | client; the server only to a probe |
/// | message | `4…` | both |
/// | upgrade | `5` | client |
/// | noop | `6` | server |
/// | binary message | `b<base64>` in a payload, a binary frame over WebSocket | both |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The handshake's JSON, see [`Handshake`](super::Handshake).
    Open(Cow<'a, str>),
    /// The session ends.
    Close,
    /// A heartbeat, or `probe` in an upgrade.
    Ping(Cow<'a, str>),
    /// The answer to a ping, with the ping's data.
    Pong(Cow<'a, str>),
    /// Text for the layer above.
    Message(Cow<'a, str>),
    /// The client goes over to this transport.
    Upgrade,
    /// Nothing: it ends a pending poll.
    Noop,
    /// Bytes for the layer above.
    Binary(Vec<u8>),
}

impl<'a> Packet<'a> {
    /// Reads one WebSocket text frame. A `b` packet is an error here: over WebSocket binary data
    /// has frames of its own.
    pub fn decode(text: &'a str) -> Result<Self, DecodeError> {
        let mut characters = text.chars();
        let kind = characters.next().ok_or(DecodeError::Empty)?;
        let data = characters.as_str();
        let bare = |packet| {
            if data.is_empty() {
                Ok(packet)
            } else {
                Err(DecodeError::UnexpectedData(kind))
            }
        };
        match kind {
            '0' => Ok(Self::Open(data.into())),
            '1' => bare(Self::Close),
            '2' => Ok(Self::Ping(data.into())),
            '3' => Ok(Self::Pong(data.into())),
            '4' => Ok(Self::Message(data.into())),
            '5' => bare(Self::Upgrade),
            '6' => bare(Self::Noop),
            _ => Err(DecodeError::UnknownType(kind)),
        }
    }

    /// Reads one part of a polling payload, where `b` is a binary message.
    pub(super) fn decode_part(text: &'a str) -> Result<Self, DecodeError> {
        match text.strip_prefix('b') {
            Some(base64) => match STANDARD.decode(base64) {
                Ok(bytes) => Ok(Self::Binary(bytes)),
                Err(_) => Err(DecodeError::Base64),
            },
            None => Self::decode(text),
        }
    }

    /// The packet as text; a binary one as in a payload.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(self.encoded_len());
        self.encode_to(&mut text);
        text
    }

    /// Appends the packet as text.
    pub(super) fn encode_to(&self, text: &mut String) {
        let (kind, data) = match self {
            Self::Open(data) => ('0', data.as_ref()),
            Self::Close => ('1', ""),
            Self::Ping(data) => ('2', data.as_ref()),
            Self::Pong(data) => ('3', data.as_ref()),
            Self::Message(data) => ('4', data.as_ref()),
            Self::Upgrade => ('5', ""),
            Self::Noop => ('6', ""),
            Self::Binary(bytes) => {
                text.push('b');
                STANDARD.encode_string(bytes, text);
                return;
            }
        };
        text.push(kind);
        text.push_str(data);
    }

    /// How many bytes [`Packet::encode`] makes.
    pub(super) fn encoded_len(&self) -> usize {
        let data = match self {
            Self::Open(data) | Self::Ping(data) | Self::Pong(data) | Self::Message(data) => {
                data.len()
            }
            Self::Close | Self::Upgrade | Self::Noop => 0,
            Self::Binary(bytes) => bytes.len().div_ceil(3).saturating_mul(4),
        };
        data.saturating_add(1)
    }
}
