//! A message that is to be sent: what a client asked for, and what the line hands to Twilio.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{
    inbound::{Address, conversation_room, line_of, without_controls},
    media,
};
use crate::{
    config::web_url,
    error::Refusal,
    fields::Fields,
    hub::plain::is_client_id,
    limits::{MAX_CLIENT_ID_LEN, MAX_MEDIA, MAX_MEDIA_URL_BYTES, MAX_TEXT_CHARS},
    names::RoomName,
};

/// What a client asked to be sent: the body of `POST …/messages`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Unique in its conversation: 1 to [`MAX_CLIENT_ID_LEN`] bytes.
    pub id: String,
    /// At most [`MAX_TEXT_CHARS`], without control characters other than `\n`, `\r` and `\t`. Empty or
    /// white space only where there is media.
    pub body: String,
    /// At most [`MAX_MEDIA`] URLs, each of them one that Twilio can fetch
    /// ([`media::is_public_url`]).
    pub media: Vec<String>,
}

impl Draft {
    /// Reads `{body?, media?: [url], id}`. The header `Idempotency-Key` stands in for an `id` that is
    /// missing. 400 for what is no JSON, 422 for the wrong shape, naming the field.
    pub fn parse(json: &str, idempotency_key: Option<&str>) -> Result<Self, Refusal> {
        let json: &RawValue =
            serde_json::from_str(json).map_err(|_| Refusal::bad_request("the body is not JSON"))?;
        let mut fields = Fields::parse(json, "the body")?;
        if let Some(key) = idempotency_key {
            fields.fill("id", key);
        }
        let id_must_be = format!("text of 1 to {MAX_CLIENT_ID_LEN} bytes");
        let id: String = fields.required("id", &id_must_be)?;
        if !is_client_id(&id) {
            return Err(fields.wrong("id", &id_must_be));
        }
        let body: Option<String> = fields.optional("body", "text")?;
        let body = without_controls(&body.unwrap_or_default());
        if body.chars().count() > MAX_TEXT_CHARS {
            let at_most = format!("at most {MAX_TEXT_CHARS} characters");
            return Err(fields.wrong("body", &at_most));
        }
        let media: Option<Vec<String>> = fields.optional("media", "a list of URLs")?;
        let media = media.unwrap_or_default();
        if media.len() > MAX_MEDIA {
            return Err(fields.wrong("media", &format!("at most {MAX_MEDIA} URLs")));
        }
        if body.trim().is_empty() && media.is_empty() {
            return Err(fields.wrong("body", "some text where there is no `media`"));
        }
        let refused = |url: &String| url.len() > MAX_MEDIA_URL_BYTES || !media::is_public_url(url);
        if let Some(index) = media.iter().position(refused) {
            return Err(Refusal::invalid(format!(
                "`media[{index}]` must be an http or https URL of at most {MAX_MEDIA_URL_BYTES} \
                 bytes, without credentials, that anyone can reach"
            )));
        }
        Ok(Self { id, body, media })
    }
}

/// A contact's conversation with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The line.
    pub line: Address,
    /// The contact, on the line's channel.
    pub contact: Address,
    /// The conversation's room.
    pub room: RoomName,
}

impl Conversation {
    /// From two segments of a path, percent-decoded. A contact without a channel has the line's. 400
    /// for what is no address, 422 for a contact of another channel.
    pub fn parse(line: &str, contact: &str) -> Result<Self, Refusal> {
        let not_one = |what| move || Refusal::bad_request(format!("{what} is not an address"));
        let line = Address::parse(line).ok_or_else(not_one("the line"))?;
        let contact = Address::parse(contact)
            .and_then(|contact| contact.on_channel_of(&line))
            .ok_or_else(not_one("the contact"))?;
        if contact.channel() != line.channel() {
            return Err(Refusal::invalid(format!(
                "the contact's channel is {}, the line's is {}",
                contact.channel(),
                line.channel()
            )));
        }
        let room = conversation_room(&line, &contact)
            .ok()
            .filter(|room| line_of(room) == Some((line.line_key(), contact.line_key())))
            .ok_or_else(not_one("one of the two"))?;
        Ok(Self {
            line,
            contact,
            room,
        })
    }

    /// Whether Twilio can be asked to send to the contact: 400 if the address is no E.164 number, short
    /// code or WhatsApp id. Other channels' addresses are theirs to judge.
    pub fn may_be_sent_to(&self) -> Result<(), Refusal> {
        let bare = self.contact.bare();
        let (may, what) = match self.contact.channel() {
            "sms" => (is_e164(bare) || is_short_code(bare), "number or short code"),
            "whatsapp" => (
                is_e164(bare) || is_whatsapp_id(bare),
                "WhatsApp number or id",
            ),
            _ => (true, ""),
        };
        if may {
            return Ok(());
        }
        Err(Refusal::bad_request(format!(
            "the contact is no {what}: +15551234567"
        )))
    }
}

/// `^\+[1-9]\d{1,14}$`
fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

fn is_short_code(text: &str) -> bool {
    (3..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// `US.ABC123`: people whose number WhatsApp does not tell.
fn is_whatsapp_id(text: &str) -> bool {
    text.split_once('.').is_some_and(|(country, id)| {
        country.len() == 2
            && country.bytes().all(|b| b.is_ascii_uppercase())
            && !id.is_empty()
            && id.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// The `StatusCallback` of a message. `base` is what Twilio calls us by: `PUBLIC_BASE_URL`, or the
/// request's own origin. `None` where that is not on the Internet and nothing stands in for Twilio
/// (`stand_in`): Twilio refuses such a message whole (21609).
pub fn status_callback(base: &str, stand_in: bool, room: &RoomName, id: &str) -> Option<String> {
    /// RFC 3986's unreserved characters.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    let is_reachable = stand_in || web_url(base).is_some_and(|url| media::is_public_host(&url));
    is_reachable.then(|| {
        format!(
            "{}/webhooks/twilio/status?room={}&id={}",
            base.trim_end_matches('/'),
            utf8_percent_encode(room.as_str(), ESCAPED),
            utf8_percent_encode(id, ESCAPED)
        )
    })
}

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
