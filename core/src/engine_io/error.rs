//! What can be wrong with a packet, and what an HTTP request is refused with.

use crate::limits::MAX_PAYLOAD_PACKETS;

/// Why a text is no Engine.IO packet, or a body no payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No character, where the packet's type belongs.
    #[error("an empty packet")]
    Empty,
    /// The first character is none of `0` to `6`, nor `b` in a payload.
    #[error("`{0}` is no Engine.IO packet type")]
    UnknownType(char),
    /// A close, upgrade or noop with data behind it.
    #[error("a packet of type `{0}` carries no data")]
    UnexpectedData(char),
    /// A `b` packet that is not standard, padded base64 (RFC 4648 §4).
    #[error("a binary packet is not base64")]
    Base64,
    /// More packets than a payload may have.
    #[error("more than {MAX_PAYLOAD_PACKETS} packets in one payload")]
    TooManyPackets,
}

/// Why a request is refused: the codes and sentences of engine.io 6, which clients match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Error {
    /// `transport` is neither `polling` nor `websocket`.
    #[error("Transport unknown")]
    TransportUnknown = 0,
    /// `sid` names no session that is open.
    #[error("Session ID unknown")]
    SessionIdUnknown = 1,
    /// A handshake that is no GET.
    #[error("Bad handshake method")]
    BadHandshakeMethod = 2,
    /// Anything else that is wrong with the request.
    #[error("Bad request")]
    BadRequest = 3,
    /// The application refused it.
    #[error("Forbidden")]
    Forbidden = 4,
    /// `EIO` is missing or not `4`.
    #[error("Unsupported protocol version")]
    UnsupportedProtocolVersion = 5,
}

impl Error {
    /// The protocol's code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The HTTP status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The answer's body: `{"code":1,"message":"Session ID unknown"}`.
    pub fn to_json(self) -> String {
        // The sentences need no escapes.
        format!(r#"{{"code":{},"message":"{self}"}}"#, self.code())
    }
}
