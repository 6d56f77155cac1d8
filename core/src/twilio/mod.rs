//! Twilio: is this request Twilio's, what message does it carry, and how one is sent.
//!
//! Reading order: [`signature`] says who sent a request and yields its parameters; [`inbound`]
//! makes a message of them, with the room and the line that it belongs to. [`outbound`] is a message
//! that is to be sent, [`status`] what becomes of it. Nothing here knows how a request arrived or
//! where a message is stored.

pub mod inbound;
pub mod outbound;
pub mod signature;
pub mod status;
