//! Engine.IO v4: the packets under Socket.IO, over WebSocket and over HTTP long-polling
//! (<https://github.com/socketio/socket.io/blob/main/docs/engine.io-protocol/v4-current.md>).
//!
//! Text in, packets out, and back; who may send what when is decided elsewhere. Written for what
//! strangers send: nothing here panics, recurses, or allocates more than a small multiple of its
//! input.

mod error;
mod handshake;
mod packet;
mod payload;

pub use error::{DecodeError, Error};
pub use handshake::Handshake;
pub use packet::Packet;
pub use payload::{SEPARATOR, decode_payload, encode_payload};

#[cfg(test)]
mod tests;
