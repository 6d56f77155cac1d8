//! What became of a message that was sent: Twilio's statuses, and two of our own.

use serde::{Deserialize, Serialize};

use super::inbound::MessageSid;

/// A message's status. The order of reports is not guaranteed, so they are merged: see
/// [`Status::moves_to`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Ours: accepted, not yet handed to Twilio. Clients see `queued`.
    Waiting,
    /// Ours: whether Twilio took it is not known.
    Unknown,
    /// Taken; its sender is yet to be chosen.
    Accepted,
    /// Taken, for later.
    Scheduled,
    /// Taken.
    Queued,
    /// On its way to the carrier.
    Sending,
    /// With the carrier.
    Sent,
    /// With the contact.
    Delivered,
    /// The carrier could not deliver it.
    Undelivered,
    /// It was not sent.
    Failed,
    /// It was taken back.
    Canceled,
    /// The contact has read it.
    Read,
}

/// What is known of a message now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name at Twilio, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<MessageSid>,
    /// Its status.
    pub status: Status,
    /// Twilio's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<u32>,
    /// A sentence for the person who sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}
