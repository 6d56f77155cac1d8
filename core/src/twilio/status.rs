//! What became of a message that was sent: Twilio's statuses, and two of our own.
//!
//! <https://www.twilio.com/docs/messaging/guides/track-outbound-message-status>. A callback has no
//! time in it, may come twice, late, in any order, and before the answer to the POST that it is
//! about; so our own id of the message is in the callback's URL, which is signed.

use serde::{Deserialize, Serialize};

use super::{
    errors,
    inbound::{InboundError, MessageSid, Params, line_of},
};
use crate::names::RoomName;

/// A message's status. The order of reports is not guaranteed, so they are merged: see
/// [`Status::moves_to`]. In JSON between objects it is its [`key`](Self::key).
///
/// | status | rank |
/// |---|---|
/// | waiting, unknown | 0, 1 |
/// | accepted = scheduled, queued, sending, sent | 2, 3, 4, 5 |
/// | delivered = undelivered = failed = canceled, read | 6, 7 |
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

impl Status {
    /// All of them, as they are ranked.
    const ALL: [Self; 12] = [
        Self::Waiting,
        Self::Unknown,
        Self::Accepted,
        Self::Scheduled,
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Delivered,
        Self::Undelivered,
        Self::Failed,
        Self::Canceled,
        Self::Read,
    ];

    /// From Twilio's word. `None` for words that are about inbound messages, or that we do not know.
    pub fn of_twilio(word: &str) -> Option<Self> {
        Self::stored(word).filter(|status| !matches!(status, Self::Waiting | Self::Unknown))
    }

    /// As clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "queued",
            other => other.key(),
        }
    }

    /// As it is stored: each has a key of its own.
    pub const fn key(self) -> &'static str {
        self.row().0
    }

    /// From its [`key`](Self::key).
    pub fn stored(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.key() == key)
    }

    /// Whether a report of `next` changes a message that has this one: only forward, and the first
    /// end is the end, except that what was delivered may be read.
    pub const fn moves_to(self, next: Self) -> bool {
        match self {
            Self::Delivered => matches!(next, Self::Read),
            Self::Undelivered | Self::Failed | Self::Canceled | Self::Read => false,
            _ => self.row().1 < next.row().1,
        }
    }

    const fn row(self) -> (&'static str, u8) {
        match self {
            Self::Waiting => ("waiting", 0),
            Self::Unknown => ("unknown", 1),
            Self::Accepted => ("accepted", 2),
            Self::Scheduled => ("scheduled", 2),
            Self::Queued => ("queued", 3),
            Self::Sending => ("sending", 4),
            Self::Sent => ("sent", 5),
            Self::Delivered => ("delivered", 6),
            Self::Undelivered => ("undelivered", 6),
            Self::Failed => ("failed", 6),
            Self::Canceled => ("canceled", 6),
            Self::Read => ("read", 7),
        }
    }
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

/// A status callback: what Twilio reports of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The conversation's room.
    pub room: RoomName,
    /// The message's id there.
    pub id: String,
    /// What is known of it; it has a SID.
    pub report: Report,
}

/// Reads a status callback from a webhook's parameters and from its URL's query, which
/// [`status_callback`](super::outbound::status_callback) wrote. `expected_account` is our own
/// `AccountSid`.
///
/// `None`: well signed and ours, but not about a message of a conversation, or with a status that is
/// not one of a message that was sent. It is answered with 204 all the same.
pub fn parse(
    params: &[(String, String)],
    query: &[(String, String)],
    expected_account: Option<&str>,
) -> Result<Option<Callback>, InboundError> {
    let (params, query) = (Params(params), Params(query));
    params.check_account_if_any(expected_account)?;
    let sid = params.message_sid()?;
    params.check_account(expected_account)?;
    let status = ["MessageStatus", "SmsStatus"]
        .into_iter()
        .find_map(|name| params.get(name))
        .and_then(Status::of_twilio);
    let room = query
        .get("room")
        .and_then(|room| RoomName::parse(room).ok())
        .filter(|room| line_of(room).is_some());
    let (Some(status), Some(room), Some(id)) = (status, room, query.get("id")) else {
        return Ok(None);
    };
    let error_code = params
        .get("ErrorCode")
        .and_then(|code| code.trim().parse().ok());
    let report = Report {
        sid: Some(sid),
        status,
        error_code,
        error_message: error_code.map(|_| errors::describe(error_code, params.get("ErrorMessage"))),
    };
    Ok(Some(Callback {
        room,
        id: id.to_owned(),
        report,
    }))
}
