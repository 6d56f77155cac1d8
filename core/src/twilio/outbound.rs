//! A message that is to be sent: what a client asked for, and what the line hands to Twilio.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::names::RoomName;

/// The hash that a text is compared by.
pub fn hash_of(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(Sha256::digest(text))
}

/// What a line is to send. Addresses as Twilio writes them, prefix included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The conversation's room, which is told what becomes of it.
    pub room: RoomName,
    /// Its id there.
    pub id: String,
    /// The line.
    pub from: String,
    /// The contact.
    pub to: String,
    /// The text, perhaps empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Where Twilio finds what comes with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// Where Twilio is to say what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<String>,
}
