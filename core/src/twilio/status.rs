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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::{Code, Refusal};

    const SID: &str = "SM0123456789abcdef0123456789abcdef";
    const ACCOUNT: &str = "AC00000000000000000000000000000001";

    fn pairs(text: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect()
    }

    /// A good callback, with `more` before what it has: the first of a repeated parameter counts.
    fn read(more: &str, query: &str) -> Result<Option<Callback>, InboundError> {
        let usual = format!("{more}&MessageSid={SID}&AccountSid={ACCOUNT}&MessageStatus=sent");
        parse(&pairs(&usual), &pairs(query), Some(ACCOUNT))
    }

    const QUERY: &str = "room=sms%3A%2B1555%3A%2B1666&id=m%201";

    /// Rooms' tables hold the keys: changing one needs a migration.
    #[test]
    fn each_status_has_a_key_a_word_for_clients_and_perhaps_one_of_twilios() {
        for (status, key, shown, twilios) in [
            (Status::Waiting, "waiting", "queued", None),
            (Status::Unknown, "unknown", "unknown", None),
            (Status::Accepted, "accepted", "accepted", Some("accepted")),
            (
                Status::Scheduled,
                "scheduled",
                "scheduled",
                Some("scheduled"),
            ),
            (Status::Queued, "queued", "queued", Some("queued")),
            (Status::Sending, "sending", "sending", Some("sending")),
            (Status::Sent, "sent", "sent", Some("sent")),
            (
                Status::Delivered,
                "delivered",
                "delivered",
                Some("delivered"),
            ),
            (
                Status::Undelivered,
                "undelivered",
                "undelivered",
                Some("undelivered"),
            ),
            (Status::Failed, "failed", "failed", Some("failed")),
            (Status::Canceled, "canceled", "canceled", Some("canceled")),
            (Status::Read, "read", "read", Some("read")),
        ] {
            assert_eq!((status.key(), status.as_str()), (key, shown));
            assert_eq!(Status::stored(key), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), key);
            assert_eq!(Status::of_twilio(key), twilios.map(|_| status));
        }
        for word in [
            "",
            "SENT",
            "received",
            "receiving",
            "partially_delivered",
            "none",
        ] {
            assert_eq!(Status::of_twilio(word), None, "{word}");
        }
    }

    #[test]
    fn a_status_only_moves_forward_and_the_first_end_is_the_end() {
        use Status as S;
        // Those of a line are equal, and each line is past those above it.
        let ranks: [&[S]; 8] = [
            &[S::Waiting],
            &[S::Unknown],
            &[S::Accepted, S::Scheduled],
            &[S::Queued],
            &[S::Sending],
            &[S::Sent],
            &[S::Delivered, S::Undelivered, S::Failed, S::Canceled],
            &[S::Read],
        ];
        for (rank, statuses) in ranks.iter().enumerate() {
            for (next_rank, nexts) in ranks.iter().enumerate() {
                for (status, next) in statuses
                    .iter()
                    .flat_map(|s| nexts.iter().map(move |n| (s, n)))
                {
                    let ended = matches!(status, S::Undelivered | S::Failed | S::Canceled);
                    let expected = rank < next_rank && !ended;
                    assert_eq!(status.moves_to(*next), expected, "{status:?} to {next:?}");
                }
            }
        }
    }

    #[test]
    fn a_callback_is_about_a_message_of_a_conversation_or_about_nothing() {
        use Status as S;
        for (more, query, expected) in [
            ("", QUERY, Some(S::Sent)),
            ("MessageStatus=delivered", QUERY, Some(S::Delivered)),
            ("MessageStatus=&SmsStatus=failed", QUERY, Some(S::Failed)),
            (
                "MessageSid=&SmsSid=MM0123456789abcdef0123456789abcdef",
                QUERY,
                Some(S::Sent),
            ),
            ("MessageStatus=received", QUERY, None),
            ("MessageStatus=partially_delivered", QUERY, None),
            ("MessageStatus=unknown", QUERY, None),
            ("MessageStatus=waiting", QUERY, None),
            ("", "room=sms%3A%2B1555%3A%2B1666", None),
            ("", "room=sms%3A%2B1555%3A%2B1666&id=", None),
            ("", "id=m1", None),
            ("room=sms%3A%2B1555%3A%2B1666&id=m1", "", None),
            ("", "room=chat%3A7&id=m1", None),
            ("", "room=line%3A%2B1555&id=m1", None),
            ("", "room=sms%3A%2B1555&id=m1", None),
            ("", "room=nonsense&id=m1", None),
        ] {
            let callback = read(more, query).unwrap();
            let status = callback.as_ref().map(|callback| callback.report.status);
            assert_eq!(status, expected, "{more} {query}");
            if let Some(callback) = callback {
                assert_eq!(
                    (callback.room.as_str(), &*callback.id),
                    ("sms:+1555:+1666", "m 1")
                );
                assert!(callback.report.sid.is_some());
            }
        }
        let only_sms_status = pairs(&format!("SmsSid={SID}&AccountSid={ACCOUNT}&SmsStatus=read"));
        let callback = parse(&only_sms_status, &pairs(QUERY), Some(ACCOUNT));
        assert_eq!(callback.unwrap().unwrap().report.status, S::Read);
    }

    #[test]
    fn a_callback_that_is_not_ours_is_refused_as_a_message_would_be() {
        for (params, expected) in [
            (format!("MessageSid={SID}&AccountSid={ACCOUNT}"), None),
            (
                format!("MessageSid={SID}&AccountSid=AC2"),
                Some(Code::Forbidden),
            ),
            (format!("MessageSid={SID}"), Some(Code::Forbidden)),
            (
                format!("MessageSid=SM1&AccountSid={ACCOUNT}"),
                Some(Code::BadRequest),
            ),
            (format!("AccountSid={ACCOUNT}"), Some(Code::BadRequest)),
            (
                "MessageSid=SM1&AccountSid=AC2".to_owned(),
                Some(Code::Forbidden),
            ),
        ] {
            // Even where there is nothing else in it.
            let refused = parse(&pairs(&params), &[], Some(ACCOUNT)).err();
            let code = refused.map(|error| Refusal::from(error).code);
            assert_eq!(code, expected, "{params}");
        }
        assert!(parse(&pairs(&format!("MessageSid={SID}")), &[], None).is_ok());
    }

    #[test]
    fn an_error_code_comes_with_a_sentence() {
        for (more, expected) in [
            ("", None),
            ("ErrorCode=", None),
            ("ErrorCode=many", None),
            ("ErrorCode=-1", None),
            (
                "ErrorCode=30005",
                Some((
                    30005,
                    "The contact's number is unknown or no longer in service.",
                )),
            ),
            (
                "ErrorCode=99999",
                Some((99999, "Twilio reported error 99999.")),
            ),
            ("ErrorCode=99999&ErrorMessage=Odd", Some((99999, "Odd"))),
        ] {
            let report = read(more, QUERY).unwrap().unwrap().report;
            let actual = report.error_code.zip(report.error_message.as_deref());
            assert_eq!(actual, expected, "{more}");
        }
    }

    /// Objects say this to each other.
    #[test]
    fn a_reports_json_is_pinned() {
        let report = read("ErrorCode=99999", QUERY).unwrap().unwrap().report;
        let json = format!(
            r#"{{"sid":"{SID}","status":"sent","error_code":99999,"error_message":"Twilio reported error 99999."}}"#
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    proptest! {
        #[test]
        fn no_parameters_panic(
            params in proptest::collection::vec(("MessageSid|AccountSid|MessageStatus|ErrorCode", any::<String>()), 0..6),
            query in proptest::collection::vec(("room|id", "(sms:)?\\PC{0,9}"), 0..3),
        ) {
            let _ = parse(&params, &query, None);
        }
    }
}
