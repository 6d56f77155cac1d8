//! Twilio's inbound side: is this request Twilio's, and what message does it carry?
//!
//! Reading order: [`signature`] says who sent a request and yields its parameters; [`inbound`]
//! makes a message of them, with the room and the line that it belongs to. Nothing here knows how
//! a request arrived or where a message is stored.

pub mod inbound;
pub mod signature;
