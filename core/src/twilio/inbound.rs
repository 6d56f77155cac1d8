//! An inbound message: what Twilio's parameters say, and where it belongs.
//!
//! <https://www.twilio.com/docs/messaging/guides/webhook-request>. Twilio adds parameters without
//! notice and lies about none that matter here, so this takes what it knows, ignores the rest, and
//! refuses only what it could not deduplicate ([`MessageSid`]) or deliver ([`Address`]).

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::error::Refusal;
use crate::limits::{MAX_MEDIA, MAX_NAME_LEN};
use crate::names::{NameError, RoomName, Timestamp, id_of};

/// An address, in characters. A line and a contact make one room id: 60 + 1 + 60 ≤ 128, so no two
/// long contacts are ever cut to the same room.
pub const MAX_ADDRESS_CHARS: usize = 60;
/// The kind of the room that holds one contact's conversation with one line.
const CONVERSATION_KIND: &str = "sms";
/// The kind of the room that a line's assignees are in.
const LINE_KIND: &str = "line";
/// The channel of an address without a prefix.
const SMS: &str = "sms";

/// Why a webhook's parameters are no inbound message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// `AccountSid` is missing or another account's.
    #[error("AccountSid is not the account that is served here")]
    Account(Option<String>),
    /// No `MessageSid`, or not one.
    #[error("MessageSid is SM or MM and 32 hexadecimal digits")]
    MessageSid(String),
    /// No `From` or `To`, or not one.
    #[error("{0} is an address of 1 to {MAX_ADDRESS_CHARS} characters without control characters")]
    Address(&'static str),
}

impl From<InboundError> for Refusal {
    fn from(error: InboundError) -> Self {
        match error {
            InboundError::Account(_) => Self::forbidden(error.to_string()),
            InboundError::MessageSid(_) | InboundError::Address(_) => {
                Self::bad_request(error.to_string())
            }
        }
    }
}

/// Names one message at Twilio: `SM` or `MM` and 32 hexadecimal digits. The key that an inbound
/// message is accepted once by (DESIGN §3.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MessageSid(String);

impl From<MessageSid> for String {
    fn from(sid: MessageSid) -> Self {
        sid.0
    }
}

impl TryFrom<String> for MessageSid {
    type Error = InboundError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl MessageSid {
    /// Parses one; the error carries what it was.
    pub fn parse(text: &str) -> Result<Self, InboundError> {
        let hex = text.strip_prefix("SM").or_else(|| text.strip_prefix("MM"));
        if hex.is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InboundError::MessageSid(text.to_owned()))
        }
    }

    /// The SID as Twilio writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which an inbound message is accepted once.
    pub fn dedupe_key(&self) -> String {
        format!("twilio:{}", self.0)
    }
}

impl fmt::Display for MessageSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who sends or receives: `+15550001`, `whatsapp:+15550001`, `whatsapp:US.ABC123`, a short code
/// `12345`, an alphanumeric sender `ACME Inc`. Never required to be a phone number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    text: String,
    /// Of the channel's prefix, without its colon; 0 where there is none.
    channel_len: usize,
}

impl Address {
    /// Parses an address, trimmed. A space before digits is the `+` that somebody forgot to escape
    /// in a form. `None` if it is empty, too long, or has control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let (channel, number) = match text.trim_start().split_once(':') {
            Some((channel, number)) if is_channel(channel) => (channel, number),
            _ => ("", text),
        };
        let bare = number.trim();
        let lost_plus = number.starts_with(' ') && bare.bytes().all(|b| b.is_ascii_digit());
        let colon = if channel.is_empty() { "" } else { ":" };
        let plus = if lost_plus { "+" } else { "" };
        let text = format!("{channel}{colon}{plus}{bare}");
        let valid = !bare.is_empty()
            && text.chars().count() <= MAX_ADDRESS_CHARS
            && !text.chars().any(char::is_control);
        valid.then_some(Self {
            text,
            channel_len: channel.len(),
        })
    }

    /// As Twilio writes it, prefix included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Without the channel's prefix.
    pub fn bare(&self) -> &str {
        match self.channel_len {
            0 => &self.text,
            len => self.text.get(len.saturating_add(1)..).unwrap_or_default(),
        }
    }

    /// `sms`, `whatsapp`, or another prefix.
    pub fn channel(&self) -> &str {
        match self.channel_len {
            0 => SMS,
            len => self.text.get(..len).unwrap_or_default(),
        }
    }

    /// The same address with its line's channel, if it has none of its own. `None` if it is too long
    /// then.
    pub(super) fn on_channel_of(&self, line: &Self) -> Option<Self> {
        if self.channel_len > 0 && self.channel() != line.channel() {
            return Some(self.clone());
        }
        let prefix = line.text.strip_suffix(line.bare())?;
        Self::parse(&format!("{prefix}{}", self.bare()))
    }

    /// As rooms are named by it: the address itself, but for what a room's id may not hold. Colons
    /// past the channel's go too, so that [`line_of`] reads every room's name back.
    pub fn line_key(&self) -> String {
        let bare = id_of(self.bare()).replace(':', "_");
        match self.channel_len {
            0 => bare,
            _ => format!("{}:{bare}", self.channel()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

fn is_channel(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase())
}

/// The room of a contact's conversation with a line: `sms:{line}:{contact}`. None has a name that would be
/// another one's, or nobody's: a line `acme` reads like a channel before the contact.
pub fn conversation_room(line: &Address, contact: &Address) -> Result<RoomName, NameError> {
    let (line, contact) = (line.line_key(), contact.line_key());
    let room = RoomName::new(CONVERSATION_KIND, &format!("{line}:{contact}"))?;
    if line_of(&room) == Some((line, contact)) {
        Ok(room)
    } else {
        Err(NameError::Room)
    }
}

/// The room of a line: `line:{line}`.
pub fn line_room(line: &Address) -> Result<RoomName, NameError> {
    RoomName::new(LINE_KIND, &line.line_key())
}

/// The line and the contact of a conversation's room. `None` for rooms of other kinds, and for
/// names that no conversation has.
pub fn line_of(room: &RoomName) -> Option<(String, String)> {
    if room.kind() != CONVERSATION_KIND {
        return None;
    }
    let mut segments = room.id().split(':');
    let line = next_address(&mut segments)?;
    let contact = next_address(&mut segments)?;
    segments.next().is_none().then_some((line, contact))
}

/// A segment, together with the next one if it is a channel's prefix.
fn next_address<'a>(segments: &mut impl Iterator<Item = &'a str>) -> Option<String> {
    let first = segments.next().filter(|segment| !segment.is_empty())?;
    if !is_channel(first) {
        return Some(first.to_owned());
    }
    match segments.next() {
        // An alphanumeric sender in lower case: `sms:+1555:acme`.
        None => Some(first.to_owned()),
        Some("") => None,
        Some(bare) => Some(format!("{first}:{bare}")),
    }
}

/// A picture or a file, kept at Twilio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Media {
    /// Where it is: `http` or `https`, for the page makes links of these.
    pub url: String,
    /// Its media type.
    pub content_type: String,
}

/// A place that a WhatsApp user shared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The street address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The place's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// What a message changes about the contact's consent. Twilio answers such messages; we never do,
/// we only stop sending. In JSON it is Twilio's word: `STOP`, `START`, `HELP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OptOut {
    /// The contact wants nothing more from this line.
    Stop,
    /// The contact wants messages again.
    Start,
    /// The contact asked for help.
    Help,
}

impl OptOut {
    /// Twilio's word for it, as `optOutType` in a payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::Start => "START",
            Self::Help => "HELP",
        }
    }

    /// Reads [`OptOut::as_str`] back.
    pub fn stored(word: &str) -> Option<Self> {
        [Self::Stop, Self::Start, Self::Help]
            .into_iter()
            .find(|known| known.as_str() == word)
    }

    /// Twilio's own word if it sent one (`OptOutType`, where Advanced Opt-Out is on), else the
    /// keywords that it answers by default: the whole body, in any case.
    /// <https://help.twilio.com/articles/223134027>
    fn of(opt_out_type: Option<&str>, body: &str) -> Option<Self> {
        let word = opt_out_type.unwrap_or(body).trim().to_ascii_uppercase();
        match word.as_str() {
            "STOP" | "UNSUBSCRIBE" | "END" | "QUIT" | "STOPALL" | "REVOKE" | "OPTOUT"
            | "CANCEL" => Some(Self::Stop),
            "START" | "YES" | "UNSTOP" => Some(Self::Start),
            "HELP" | "INFO" => Some(Self::Help),
            _ => None,
        }
    }
}

/// An inbound message, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// What it is deduplicated by.
    pub message_sid: MessageSid,
    /// The contact.
    pub from: Address,
    /// The line.
    pub to: Address,
    /// The text, perhaps empty, without control characters other than `\n`, `\r` and `\t`.
    pub body: String,
    /// At most [`MAX_MEDIA`].
    pub media: Vec<Media>,
    /// What a WhatsApp user calls himself.
    pub profile_name: Option<String>,
    /// Whether the contact opts out or in.
    pub opt_out: Option<OptOut>,
    /// A WhatsApp location.
    pub location: Option<Location>,
    /// The text of the WhatsApp button that was pressed.
    pub button_text: Option<String>,
    /// The payload of the WhatsApp button that was pressed.
    pub button_payload: Option<String>,
    room: RoomName,
    line: RoomName,
}

/// Reads an inbound message from a webhook's parameters; of a repeated one the first counts.
/// `expected_account` is our own `AccountSid`.
pub fn parse(
    params: &[(String, String)],
    expected_account: Option<&str>,
) -> Result<Inbound, InboundError> {
    let params = Params(params);
    params.check_account_if_any(expected_account)?;
    let message_sid = params.message_sid()?;
    let from = params.address("From")?;
    let to = params.address("To")?;
    // Only now: what has no address either is a mistake rather than another account's.
    params.check_account(expected_account)?;
    let body = without_controls(params.get("Body").unwrap_or_default());
    Ok(Inbound {
        room: conversation_room(&to, &from).map_err(|_| InboundError::Address("From"))?,
        line: line_room(&to).map_err(|_| InboundError::Address("To"))?,
        message_sid,
        from,
        to,
        opt_out: OptOut::of(params.get("OptOutType"), &body),
        body,
        media: params.media(),
        profile_name: params
            .text("ProfileName")
            .map(|name| name.chars().take(MAX_NAME_LEN).collect()),
        location: params.location(),
        button_text: params.text("ButtonText"),
        button_payload: params.text("ButtonPayload"),
    })
}

impl Inbound {
    /// The conversation's room, `sms:{To}:{From}`.
    pub fn room(&self) -> RoomName {
        self.room.clone()
    }

    /// The line's room, `line:{To}`.
    pub fn line(&self) -> RoomName {
        self.line.clone()
    }

    /// The data of `new_message` (CONTRACT). It cannot fail in practice: there is no map in it whose
    /// keys are not text.
    pub fn payload(&self, now: Timestamp) -> Result<Box<RawValue>, Refusal> {
        to_raw_value(&NewMessage {
            phone_number_id: self.to.as_str(),
            from: self.from.bare(),
            to: self.to.bare(),
            body: &self.body,
            direction: "inbound",
            timestamp: now.rfc3339(),
            message_sid: &self.message_sid,
            media: &self.media,
            channel: self.to.channel(),
            profile_name: self.profile_name.as_deref(),
            location: self.location.as_ref(),
            button_text: self.button_text.as_deref(),
            button_payload: self.button_payload.as_deref(),
            opt_out_type: self.opt_out,
        })
        .map_err(|_| Refusal::internal())
    }
}

/// `new_message` of `/`, as clients see it. Optional fields are left out, not null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewMessage<'a> {
    phone_number_id: &'a str,
    from: &'a str,
    to: &'a str,
    body: &'a str,
    direction: &'static str,
    timestamp: String,
    message_sid: &'a MessageSid,
    media: &'a [Media],
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    button_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    button_payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_out_type: Option<OptOut>,
}

/// A webhook's parameters.
pub(super) struct Params<'a>(pub(super) &'a [(String, String)]);

impl<'a> Params<'a> {
    /// Empty parameters are as good as none: Twilio sends many.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(n, _)| n == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name)
            .map(without_controls)
            .filter(|text| !text.is_empty())
    }

    /// `AccountSid` is not another account's; it may be missing.
    pub(super) fn check_account_if_any(&self, expected: Option<&str>) -> Result<(), InboundError> {
        match self.get("AccountSid") {
            None => Ok(()),
            Some(_) => self.check_account(expected),
        }
    }

    /// `AccountSid` is the expected one, where one is expected.
    pub(super) fn check_account(&self, expected: Option<&str>) -> Result<(), InboundError> {
        let account = self.get("AccountSid");
        if expected.is_some() && account != expected {
            return Err(InboundError::Account(account.map(str::to_owned)));
        }
        Ok(())
    }

    pub(super) fn message_sid(&self) -> Result<MessageSid, InboundError> {
        let sid = ["MessageSid", "SmsMessageSid", "SmsSid"]
            .into_iter()
            .find_map(|name| self.get(name));
        MessageSid::parse(sid.unwrap_or_default())
    }

    fn address(&self, name: &'static str) -> Result<Address, InboundError> {
        self.get(name)
            .and_then(Address::parse)
            .ok_or(InboundError::Address(name))
    }

    /// `NumMedia` is not asked: what is there is there.
    fn media(&self) -> Vec<Media> {
        (0..MAX_MEDIA)
            .filter_map(|n| {
                let url = self
                    .text(&format!("MediaUrl{n}"))
                    .filter(|url| is_web_url(url))?;
                let content_type = self
                    .text(&format!("MediaContentType{n}"))
                    .unwrap_or_else(|| "application/octet-stream".to_owned());
                Some(Media { url, content_type })
            })
            .collect()
    }

    fn location(&self) -> Option<Location> {
        let degrees = |name, most: f64| {
            let degrees = self.get(name)?.trim().parse::<f64>().ok()?;
            (-most..=most).contains(&degrees).then_some(degrees)
        };
        Some(Location {
            latitude: degrees("Latitude", 90.0)?,
            longitude: degrees("Longitude", 180.0)?,
            address: self.text("Address"),
            label: self.text("Label"),
        })
    }
}

fn is_web_url(text: &str) -> bool {
    crate::web::parse(text).is_some_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// Text without control characters other than `\n`, `\r` and `\t`.
pub(super) fn without_controls(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;

    const SID: &str = "SM0123456789abcdef0123456789ABCDEF";
    const ACCOUNT: &str = "AC00000000000000000000000000000001";

    fn params(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// A good message, with `more` set in place of what it would have.
    fn message(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let usual = [
            ("MessageSid", SID),
            ("AccountSid", ACCOUNT),
            ("From", "+15550001"),
            ("To", "+15550002"),
            ("Body", "hi"),
        ];
        let kept = usual
            .into_iter()
            .filter(|(name, _)| more.iter().all(|(n, _)| n != name));
        params(&kept.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    fn parsed(more: &[(&str, &str)]) -> Inbound {
        parse(&message(more), Some(ACCOUNT)).unwrap()
    }

    #[test]
    fn a_message_needs_its_sid_its_account_and_two_addresses() {
        let long = "x".repeat(MAX_ADDRESS_CHARS + 1);
        let fits = "é".repeat(MAX_ADDRESS_CHARS);
        for (more, expected) in [
            (&[] as &[(&str, &str)], None),
            (
                &[("MessageSid", "MM0123456789abcdef0123456789abcdef")],
                None,
            ),
            (&[("MessageSid", ""), ("SmsMessageSid", SID)], None),
            (&[("MessageSid", ""), ("SmsSid", SID)], None),
            (&[("MessageSid", "")], Some(Code::BadRequest)),
            (
                &[("MessageSid", "SM1"), ("SmsSid", SID)],
                Some(Code::BadRequest),
            ),
            (
                &[("MessageSid", "AC0123456789abcdef0123456789abcdef")],
                Some(Code::BadRequest),
            ),
            (
                &[("MessageSid", "SM0123456789abcdef0123456789abcdeg")],
                Some(Code::BadRequest),
            ),
            (
                &[("MessageSid", "SM0123456789abcdef0123456789abcdef0")],
                Some(Code::BadRequest),
            ),
            (
                &[("MessageSid", "SM0123456789abcdef0123456789abcdé")],
                Some(Code::BadRequest),
            ),
            (&[("From", "")], Some(Code::BadRequest)),
            (&[("To", "")], Some(Code::BadRequest)),
            (&[("To", " ")], Some(Code::BadRequest)),
            (&[("From", "whatsapp:")], Some(Code::BadRequest)),
            (&[("From", "+1\u{0}555")], Some(Code::BadRequest)),
            (&[("From", "+1\u{85}555")], Some(Code::BadRequest)),
            (&[("From", &long)], Some(Code::BadRequest)),
            (&[("From", &fits), ("To", &fits)], None),
            (&[("AccountSid", "AC2")], Some(Code::Forbidden)),
            (&[("AccountSid", "")], Some(Code::Forbidden)),
            (
                &[("AccountSid", "AC2"), ("From", "")],
                Some(Code::Forbidden),
            ),
            (&[("AccountSid", ""), ("From", "")], Some(Code::BadRequest)),
            (&[("Body", "")], None),
        ] {
            let refused = parse(&message(more), Some(ACCOUNT)).err();
            assert_eq!(
                refused.map(|error| Refusal::from(error).code),
                expected,
                "{more:?}"
            );
        }
        assert!(parse(&message(&[("AccountSid", "")]), None).is_ok());
        assert!(parse(&message(&[("AccountSid", "AC2")]), None).is_ok());
    }

    #[test]
    fn addresses_are_taken_as_they_come() {
        for (text, expected) in [
            ("+1555", Some(("+1555", "+1555", "sms", "+1555"))),
            (" 1555", Some(("+1555", "+1555", "sms", "+1555"))),
            (" +1555 ", Some(("+1555", "+1555", "sms", "+1555"))),
            ("12345", Some(("12345", "12345", "sms", "12345"))),
            (
                "whatsapp:+1555",
                Some(("whatsapp:+1555", "+1555", "whatsapp", "whatsapp:+1555")),
            ),
            (
                "whatsapp: 1555",
                Some(("whatsapp:+1555", "+1555", "whatsapp", "whatsapp:+1555")),
            ),
            (
                "whatsapp:US.AB1",
                Some(("whatsapp:US.AB1", "US.AB1", "whatsapp", "whatsapp:US.AB1")),
            ),
            (
                "messenger:77",
                Some(("messenger:77", "77", "messenger", "messenger:77")),
            ),
            (
                "sip:a@b:5060",
                Some(("sip:a@b:5060", "a@b:5060", "sip", "sip:a@b_5060")),
            ),
            ("US:1", Some(("US:1", "US:1", "sms", "US_1"))),
            (":1", Some((":1", ":1", "sms", "_1"))),
            (
                "ACME Inc",
                Some(("ACME Inc", "ACME Inc", "sms", "ACME_Inc")),
            ),
            (" ACME", Some(("ACME", "ACME", "sms", "ACME"))),
            ("acme", Some(("acme", "acme", "sms", "acme"))),
            ("", None),
            ("   ", None),
            ("sms:", None),
            ("whatsapp: ", None),
            ("a\nb", None),
        ] {
            let address = Address::parse(text);
            let key = address.as_ref().map(Address::line_key).unwrap_or_default();
            let actual = address
                .as_ref()
                .map(|a| (a.as_str(), a.bare(), a.channel(), key.as_str()));
            assert_eq!(actual, expected, "{text:?}");
        }
    }

    #[test]
    fn a_message_belongs_to_one_conversation_and_one_line() {
        for (to, from, room, line) in [
            ("+1555", "+1666", "sms:+1555:+1666", "line:+1555"),
            (
                "whatsapp:+1555",
                "whatsapp:+1666",
                "sms:whatsapp:+1555:whatsapp:+1666",
                "line:whatsapp:+1555",
            ),
            ("+1555", "ACME Inc", "sms:+1555:ACME_Inc", "line:+1555"),
        ] {
            let inbound = parsed(&[("To", to), ("From", from)]);
            assert_eq!(inbound.room().as_str(), room);
            assert_eq!(inbound.line().as_str(), line);
        }
    }

    #[test]
    fn a_conversations_name_tells_its_line_and_contact() {
        for (room, expected) in [
            ("sms:+1555:+1666", Some(("+1555", "+1666"))),
            (
                "sms:whatsapp:+1555:whatsapp:+1666",
                Some(("whatsapp:+1555", "whatsapp:+1666")),
            ),
            (
                "sms:+1555:whatsapp:+1666",
                Some(("+1555", "whatsapp:+1666")),
            ),
            (
                "sms:whatsapp:+1555:+1666",
                Some(("whatsapp:+1555", "+1666")),
            ),
            ("sms:+1555:acme", Some(("+1555", "acme"))),
            ("sms:+1555", None),
            ("sms:whatsapp:+1555", None),
            ("sms:whatsapp", None),
            ("sms:+1555:", None),
            ("sms::+1555", None),
            ("sms:+1555:+1666:", None),
            ("sms:+1555:+1666:+1777", None),
            ("sms:whatsapp::+1", None),
            ("chat:+1555:+1666", None),
        ] {
            let actual = line_of(&RoomName::parse(room).unwrap());
            let actual = actual
                .as_ref()
                .map(|(line, contact)| (line.as_str(), contact.as_str()));
            assert_eq!(actual, expected, "{room}");
        }
    }

    #[test]
    fn control_characters_are_dropped_from_the_text() {
        for (body, expected) in [
            ("a\0b", "ab"),
            ("\u{1}\u{1f}\u{1b}[0m\u{7f}\u{85}", "[0m"),
            ("a\r\n\tb", "a\r\n\tb"),
            (" 👍 ", " 👍 "),
            ("", ""),
        ] {
            assert_eq!(parsed(&[("Body", body)]).body, expected, "{body:?}");
        }
    }

    #[test]
    fn media_are_those_that_are_there_whatever_nummedia_says() {
        for num_media in ["0", "1", "2", "99", "-1", "many", ""] {
            let inbound = parsed(&[
                ("NumMedia", num_media),
                ("MediaUrl0", "https://api.twilio.com/a"),
                ("MediaContentType0", "image/png"),
                ("MediaUrl2", "http://api.twilio.com/b"),
                ("MediaUrl3", "javascript:alert(1)"),
                ("MediaUrl4", ""),
                ("MediaUrl10", "https://api.twilio.com/eleventh"),
                ("MediaContentType5", "image/gif"),
            ]);
            let media: Vec<_> = inbound
                .media
                .iter()
                .map(|m| (m.url.as_str(), m.content_type.as_str()))
                .collect();
            let expected = [
                ("https://api.twilio.com/a", "image/png"),
                ("http://api.twilio.com/b", "application/octet-stream"),
            ];
            assert_eq!(media, expected, "{num_media}");
        }
    }

    #[test]
    fn consent_changes_by_twilios_word_or_by_keyword() {
        for (opt_out_type, body, expected) in [
            ("STOP", "arrêt", Some(OptOut::Stop)),
            ("START", "x", Some(OptOut::Start)),
            ("HELP", "x", Some(OptOut::Help)),
            ("", "stop", Some(OptOut::Stop)),
            ("", " StopAll\n", Some(OptOut::Stop)),
            ("", "Yes", Some(OptOut::Start)),
            ("", "info", Some(OptOut::Help)),
            ("", "stop it", None),
            ("", "", None),
        ] {
            let inbound = parsed(&[("OptOutType", opt_out_type), ("Body", body)]);
            assert_eq!(inbound.opt_out, expected, "{opt_out_type:?} {body:?}");
        }
    }

    #[test]
    fn locations_are_degrees_or_absent() {
        for (latitude, longitude, expected) in [
            ("37.78", "-122.4", Some((37.78, -122.4))),
            ("91", "0", None),
            ("0", "181", None),
            ("NaN", "0", None),
            ("inf", "0", None),
            ("x", "0", None),
            ("1", "", None),
        ] {
            let inbound = parsed(&[("Latitude", latitude), ("Longitude", longitude)]);
            let actual = inbound
                .location
                .map(|location| (location.latitude, location.longitude));
            assert_eq!(actual, expected, "{latitude} {longitude}");
        }
    }

    /// Clients and stored logs hold this: changing it needs a migration.
    #[test]
    fn new_message_is_the_contracts_json() {
        let now = Timestamp(1_767_607_200_000);
        for (more, expected) in [
            (
                &[] as &[(&str, &str)],
                r#"{"phoneNumberId":"+15550002","from":"+15550001","to":"+15550002","body":"hi","direction":"inbound","timestamp":"2026-01-05T10:00:00.000Z","messageSid":"SM0123456789abcdef0123456789ABCDEF","media":[],"channel":"sms"}"#,
            ),
            (
                &[
                    ("From", "whatsapp:+1666"),
                    ("To", "whatsapp:+1555"),
                    ("ProfileName", "Zoë\0"),
                    ("Latitude", "1.5"),
                    ("Longitude", "-2"),
                    ("Label", "Home"),
                    ("ButtonText", "OK"),
                    ("ButtonPayload", "ok-1"),
                    ("MediaUrl0", "https://api.twilio.com/a"),
                    ("MediaContentType0", "image/png"),
                    ("Body", "\"q\"\n"),
                    ("OptOutType", "HELP"),
                ],
                r#"{"phoneNumberId":"whatsapp:+1555","from":"+1666","to":"+1555","body":"\"q\"\n","direction":"inbound","timestamp":"2026-01-05T10:00:00.000Z","messageSid":"SM0123456789abcdef0123456789ABCDEF","media":[{"url":"https://api.twilio.com/a","contentType":"image/png"}],"channel":"whatsapp","profileName":"Zoë","location":{"latitude":1.5,"longitude":-2.0,"label":"Home"},"buttonText":"OK","buttonPayload":"ok-1","optOutType":"HELP"}"#,
            ),
            (
                &[("Body", "Stop")],
                r#"{"phoneNumberId":"+15550002","from":"+15550001","to":"+15550002","body":"Stop","direction":"inbound","timestamp":"2026-01-05T10:00:00.000Z","messageSid":"SM0123456789abcdef0123456789ABCDEF","media":[],"channel":"sms","optOutType":"STOP"}"#,
            ),
        ] {
            assert_eq!(parsed(more).payload(now).unwrap().get(), expected);
        }
    }

    proptest! {
        #[test]
        fn no_parameters_panic(
            pairs in proptest::collection::vec((
                "MessageSid|AccountSid|From|To|Body|NumMedia|MediaUrl0|Latitude|OptOutType|.{0,6}",
                any::<String>(),
            ), 0..12),
            account in proptest::option::of(any::<String>()),
        ) {
            let _ = parse(&pairs, account.as_deref());
        }

        #[test]
        fn any_two_addresses_make_rooms_that_read_back(
            to in "[+0-9a-zA-Z :.é]{1,60}",
            from in "(whatsapp:)?\\PC{1,50}",
        ) {
            if let Ok(inbound) = parse(&message(&[("To", &to), ("From", &from)]), Some(ACCOUNT)) {
                let keys = (inbound.to.line_key(), inbound.from.line_key());
                if !is_channel(&keys.0) {
                    prop_assert_eq!(line_of(&inbound.room()), Some(keys));
                }
                prop_assert!(inbound.payload(Timestamp(0)).is_ok());
            }
        }
    }
}
