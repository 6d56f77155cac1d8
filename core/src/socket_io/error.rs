//! What can be wrong with what a client sent. Each ends its connection.

use crate::limits::{MAX_ACK_ID, MAX_ATTACHMENTS, MAX_JSON_DEPTH};

/// Why a text, or a binary message, is no Socket.IO packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first character is none of `0` to `6`.
    #[error("not a Socket.IO packet type")]
    UnknownType,
    /// CONNECT_ERROR, which only a server sends.
    #[error("a client must not send CONNECT_ERROR")]
    ConnectError,
    /// A binary packet without `<number>-`.
    #[error("the number of attachments is malformed")]
    Attachments,
    /// More attachments than socket.io-parser takes.
    #[error("more than {MAX_ATTACHMENTS} attachments")]
    TooManyAttachments,
    /// A namespace that does not begin with `/`.
    #[error("a namespace begins with `/`")]
    Namespace,
    /// Not a decimal number up to 2^53 − 1, or one where none belongs, or none on an ACK.
    #[error("the ack id is malformed, above {MAX_ACK_ID}, or where none belongs")]
    AckId,
    /// The payload is not what its type takes.
    #[error("the payload must be {0}")]
    Payload(&'static str),
    /// Arrays and objects in each other.
    #[error("the payload nests deeper than {MAX_JSON_DEPTH} levels")]
    TooDeep,
    /// An event of [`RESERVED_EVENTS`](super::RESERVED_EVENTS).
    #[error("`{0}` is a reserved event name")]
    ReservedEvent(String),
    /// A placeholder in a binary packet that names no attachment, or one that is taken.
    #[error("a placeholder names no attachment of its own")]
    Placeholder,
    /// Text while attachments are to come.
    #[error("text where an attachment was expected")]
    ExpectedAttachment,
    /// A binary frame while no attachment is to come.
    #[error("a binary message where none was expected")]
    UnexpectedBinary,
    /// The packet with its attachments is larger than the server takes.
    #[error("a packet of more than {0} bytes")]
    TooLarge(usize),
    /// A text message where packets are MessagePack.
    #[error("packets are MessagePack here: binary messages")]
    ExpectedBinary,
    /// Bytes that are not MessagePack, or not what JSON can hold.
    #[error("not a MessagePack packet: {0}")]
    MessagePack(&'static str),
}
