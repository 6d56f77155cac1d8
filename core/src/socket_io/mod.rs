//! Socket.IO v5: what clients send and are sent
//! (<https://github.com/socketio/socket.io/blob/main/docs/socket.io-protocol/v5-current.md>), without
//! the Engine.IO `4` in front.
//!
//! ```text
//! <type>[<attachments>-][<namespace>,][<ack id>][<JSON>]     then the attachments, as raw frames
//! ```
//!
//! Arguments stay raw JSON. Binary data in them is the object `{"$binary":"<base64>"}`, in exactly
//! this compact form, with standard, padded base64: the [`Decoder`] makes it from placeholders and
//! attachments, and the encoders turn it back. A client may also write that object itself; it then
//! is binary for Socket.IO's receivers, and nothing is lost.
//!
//! [`msgpack`] is the other encoding that the stock clients know, with one binary message a packet.

mod binary;
mod decoder;
mod encoder;
mod error;
mod header;
pub mod msgpack;
mod parser;
mod payload;

use serde_json::value::RawValue;

pub use decoder::Decoder;
pub use encoder::{
    Encoded, encode_ack, encode_connect, encode_connect_error, encode_disconnect, encode_event,
};
pub use error::DecodeError;
pub use parser::{Message, Parser};

use crate::event::Args;

/// The event names that socket.io-parser 4.2.7 refuses: they mean something to one of the sides.
pub const RESERVED_EVENTS: &[&str] = &[
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// A packet that a client may send, complete with its attachments. Namespaces begin with `/` and
/// carry no query.
#[derive(Debug, Clone)]
pub enum Packet {
    /// The client joins a namespace.
    Connect {
        /// Which.
        namespace: String,
        /// Its `auth`, an object.
        auth: Option<Box<RawValue>>,
    },
    /// The client leaves a namespace.
    Disconnect {
        /// Which.
        namespace: String,
    },
    /// An event, binary or not.
    Event {
        /// Where.
        namespace: String,
        /// Set where the client waits for an acknowledgement.
        id: Option<u64>,
        /// Its name; a number is its decimal text.
        event: String,
        /// The arguments behind the name.
        args: Args,
    },
    /// The acknowledgement of an event of ours, binary or not.
    Ack {
        /// Where.
        namespace: String,
        /// The event's id.
        id: u64,
        /// The arguments.
        args: Args,
    },
}

#[cfg(test)]
mod tests;
