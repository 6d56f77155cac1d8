//! What the rooms of a phone line say to each other, and what is asked of them.
//!
//! ```text
//! sms:…   → line:…   an event with the conversation's Standing, and what is to be sent of it
//! line:…  → sms:…    Parcel::Report: what Twilio said
//! line:…  → user:…, admins:all    Parcel::Line: the line is (no longer) one of yours
//! ```

use serde::{Deserialize, Serialize};

use super::Caller;
use crate::{names::RoomName, twilio::inbound::MessageSid};

/// How a conversation stands, as its room tells its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The conversation's room.
    pub room: RoomName,
    /// How many inbound messages the line has not read.
    pub unread: u64,
    /// The contact wants nothing more from this line.
    pub opted_out: bool,
}

/// `POST /api/lines/{number}/conversations/{contact}/messages`, for the conversation's room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendMessage {
    /// Who sends it.
    pub caller: Caller,
    /// The line, as Twilio writes it.
    pub line: String,
    /// The contact, as Twilio writes it.
    pub contact: String,
    /// The message's id, unique in the conversation.
    pub id: String,
    /// The text, perhaps empty.
    pub body: String,
    /// Where Twilio finds what comes with it.
    pub media: Vec<String>,
    /// Where Twilio is to say what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<String>,
}

/// The answer to [`SendMessage`], as the HTTP API shows it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Queued {
    /// The message's id.
    pub id: String,
    /// Its status: `queued`, or what it is by now if it was sent before.
    pub status: String,
    /// SMS segments.
    pub segments: u32,
    /// It was accepted before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// What came with an inbound message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhichMedia {
    /// The message.
    pub sid: MessageSid,
    /// Which of its media, from 0.
    pub index: usize,
}

/// The answer to [`Request::Media`](super::Request::Media): where it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The URL that Twilio gave.
    pub url: String,
}

/// The answer to [`Request::Lines`](super::Request::Lines): lines, by the ids of their rooms.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// In order.
    pub lines: Vec<String>,
}

/// The answer to [`Request::Unread`](super::Request::Unread).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Of all the line's conversations.
    pub unread: u64,
}
