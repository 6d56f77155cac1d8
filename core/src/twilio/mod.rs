//! Twilio: is this request Twilio's, what message does it carry, and how one is sent.
//!
//! Reading order: [`signature`] says who sent a request and yields its parameters; [`inbound`]
//! makes a message of them, with the room and the line that it belongs to. [`outbound`] is a message
//! that is to be sent, [`segments`] what it costs, [`rest`] how Twilio is asked to send it and what
//! its answer means, [`status`] what becomes of it, [`errors`] why it did not arrive. [`media`] says
//! which URLs may be fetched, and by whom. Nothing here knows how a request arrived or where a
//! message is stored.

pub mod errors;
pub mod inbound;
pub mod media;
pub mod outbound;
pub mod rest;
pub mod segments;
pub mod signature;
pub mod status;

/// An account, for the tests.
#[cfg(test)]
mod testing {
    use crate::config::{Config, TwilioConfig};

    pub const ACCOUNT: &str = "AC00000000000000000000000000000001";

    pub fn config(api_base: Option<&str>) -> TwilioConfig {
        let var = |name: &str| match name {
            "TWILIO_ACCOUNT_SID" => Some(ACCOUNT.to_owned()),
            "TWILIO_AUTH_TOKEN" => Some("token".to_owned()),
            "TWILIO_API_BASE" => api_base.map(str::to_owned),
            _ => None,
        };
        Config::read(var).unwrap().twilio
    }
}
