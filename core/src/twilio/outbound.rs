//! A message that is to be sent: what a client asked for, and what the line hands to Twilio.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{
    inbound::{Address, conversation_room, without_controls},
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;

    #[test]
    fn a_draft_is_text_or_media_with_an_id() {
        let draft = |id: &str, body: &str, media: &[&str]| Draft {
            id: id.to_owned(),
            body: body.to_owned(),
            media: media.iter().map(|url| (*url).to_owned()).collect(),
        };
        let full = "👍".repeat(MAX_TEXT_CHARS);
        let full_json = format!(r#"{{"id":"a","body":"{full}"}}"#);
        for (json, key, expected) in [
            (r#"{"id":"a","body":"hi"}"#, None, draft("a", "hi", &[])),
            (
                r#"{"id":"a","body":"hi"}"#,
                Some("b"),
                draft("a", "hi", &[]),
            ),
            (
                r#"{"body":"hi","more":{}}"#,
                Some("b"),
                draft("b", "hi", &[]),
            ),
            (
                r#"{"id":null,"body":"hi"}"#,
                Some("b"),
                draft("b", "hi", &[]),
            ),
            (
                r#"{"id":"a","body":" \u0000a\u0007\u0085\r\n\tb "}"#,
                None,
                draft("a", " a\r\n\tb ", &[]),
            ),
            (&full_json, None, draft("a", &full, &[])),
            (
                r#"{"id":"a","media":["https://a.com/x"],"body":null}"#,
                None,
                draft("a", "", &["https://a.com/x"]),
            ),
            (
                r#"{"id":"a","media":["https://a.com/x"],"body":" "}"#,
                None,
                draft("a", " ", &["https://a.com/x"]),
            ),
        ] {
            assert_eq!(Draft::parse(json, key), Ok(expected), "{json}");
        }
    }

    #[test]
    fn a_draft_that_is_wrong_is_refused_by_the_fields_name() {
        let text = |chars| format!(r#"{{"id":"a","body":"{}"}}"#, "é".repeat(chars));
        let media = |count| {
            let urls = vec![r#""https://a.com/x""#; count].join(",");
            format!(r#"{{"id":"a","media":[{urls}]}}"#)
        };
        let url = |len: usize| {
            let path = "x".repeat(len.saturating_sub("https://a.com/".len()));
            format!(r#"{{"id":"a","media":["https://a.com/{path}"]}}"#)
        };
        let long_id = format!(
            r#"{{"id":"{}","body":"x"}}"#,
            "x".repeat(MAX_CLIENT_ID_LEN + 1)
        );
        for (json, code, field) in [
            ("", Code::BadRequest, "JSON"),
            ("{", Code::BadRequest, "JSON"),
            ("a=b", Code::BadRequest, "JSON"),
            (r#"{"id":"a","body":"x"} y"#, Code::BadRequest, "JSON"),
            ("[]", Code::InvalidPayload, "the body must be an object"),
            (r#"{"body":"x"}"#, Code::InvalidPayload, "`id` is missing"),
            (r#"{"id":"","body":"x"}"#, Code::InvalidPayload, "`id`"),
            (r#"{"id":7,"body":"x"}"#, Code::InvalidPayload, "`id`"),
            (&long_id, Code::InvalidPayload, "`id`"),
            (r#"{"id":"a"}"#, Code::InvalidPayload, "`body`"),
            (r#"{"id":"a","body":""}"#, Code::InvalidPayload, "`body`"),
            (
                r#"{"id":"a","body":" \n\u0000 ","media":[]}"#,
                Code::InvalidPayload,
                "`body`",
            ),
            (r#"{"id":"a","body":["x"]}"#, Code::InvalidPayload, "`body`"),
            (&text(MAX_TEXT_CHARS + 1), Code::InvalidPayload, "`body`"),
            (
                r#"{"id":"a","media":"https://a.com/x"}"#,
                Code::InvalidPayload,
                "`media`",
            ),
            (
                r#"{"id":"a","media":[null]}"#,
                Code::InvalidPayload,
                "`media`",
            ),
            (&media(MAX_MEDIA + 1), Code::InvalidPayload, "`media`"),
            (
                r#"{"id":"a","media":["https://a.com/x","/x"]}"#,
                Code::InvalidPayload,
                "`media[1]`",
            ),
            (
                r#"{"id":"a","media":["http://localhost/x"]}"#,
                Code::InvalidPayload,
                "`media[0]`",
            ),
            (
                &url(MAX_MEDIA_URL_BYTES + 1),
                Code::InvalidPayload,
                "`media[0]`",
            ),
        ] {
            let refusal = Draft::parse(json, None).unwrap_err();
            assert_eq!(refusal.code, code, "{json}");
            assert!(
                refusal.message.contains(field),
                "{json}: {}",
                refusal.message
            );
        }
        for json in [
            text(MAX_TEXT_CHARS),
            media(MAX_MEDIA),
            url(MAX_MEDIA_URL_BYTES),
        ] {
            assert!(Draft::parse(&json, None).is_ok(), "{json}");
        }
    }

    #[test]
    fn a_conversation_is_a_line_and_a_contact_on_one_channel() {
        let long = "1".repeat(61);
        for (line, contact, expected) in [
            ("+1555", "+1666", Ok("sms:+1555:+1666")),
            ("+1555", " 1666", Ok("sms:+1555:+1666")),
            ("+1555", "sms:+1666", Ok("sms:+1555:+1666")),
            ("+1555", "ACME_Inc", Ok("sms:+1555:ACME_Inc")),
            (
                "whatsapp:+1555",
                "+1666",
                Ok("sms:whatsapp:+1555:whatsapp:+1666"),
            ),
            (
                "whatsapp:+1555",
                "whatsapp:+1666",
                Ok("sms:whatsapp:+1555:whatsapp:+1666"),
            ),
            (
                "whatsapp:+1555",
                "US.A1",
                Ok("sms:whatsapp:+1555:whatsapp:US.A1"),
            ),
            ("messenger:1", "2", Ok("sms:messenger:1:messenger:2")),
            ("+1555", "whatsapp:+1666", Err(Code::InvalidPayload)),
            ("+1555", "sms:whatsapp:+1666", Err(Code::InvalidPayload)),
            ("whatsapp:+1555", "sms:+1666", Err(Code::InvalidPayload)),
            ("whatsapp:+1555", "messenger:1", Err(Code::InvalidPayload)),
            ("", "+1666", Err(Code::BadRequest)),
            ("+1555", "", Err(Code::BadRequest)),
            ("+1555", "whatsapp:", Err(Code::BadRequest)),
            ("+1555", "a\nb", Err(Code::BadRequest)),
            ("+1555", &long, Err(Code::BadRequest)),
            // No room's name would tell the two apart.
            ("acme", "+1666", Err(Code::BadRequest)),
        ] {
            let conversation = Conversation::parse(line, contact);
            let actual = conversation.as_ref().map(|it| it.room.as_str());
            assert_eq!(
                actual.map_err(|refusal| refusal.code),
                expected,
                "{line} {contact}"
            );
            if let Ok(it) = conversation {
                assert_eq!(it.line.channel(), it.contact.channel());
            }
        }
    }

    #[test]
    fn messages_go_to_numbers_short_codes_and_whatsapp_ids() {
        for (line, contact, may) in [
            ("+1555", "+15551234567", true),
            ("+1555", "+12", true),
            ("+1555", "+123456789012345", true),
            ("+1555", "+1234567890123456", false),
            ("+1555", "+1", false),
            ("+1555", "+0555", false),
            ("+1555", "+1٣", false),
            ("+1555", "15551234567", false),
            ("+1555", "123", true),
            ("+1555", "12345678", true),
            ("+1555", "12", false),
            ("+1555", "123456789", false),
            ("+1555", "ACME", false),
            ("whatsapp:+1555", "+15551234567", true),
            ("whatsapp:+1555", "US.ABC123xyz", true),
            ("whatsapp:+1555", "USA.ABC", false),
            ("whatsapp:+1555", "us.ABC", false),
            ("whatsapp:+1555", "US.", false),
            ("whatsapp:+1555", "US.A-B", false),
            ("whatsapp:+1555", "123", false),
            ("messenger:1", "anything at all", true),
        ] {
            let refusal = Conversation::parse(line, contact)
                .unwrap()
                .may_be_sent_to()
                .err();
            let expected = (!may).then_some(Code::BadRequest);
            assert_eq!(
                refusal.map(|refusal| refusal.code),
                expected,
                "{line} {contact}"
            );
        }
    }

    #[test]
    fn twilio_is_told_where_to_report_if_it_can_reach_us() {
        let room = RoomName::parse("sms:+1555:+1666").unwrap();
        let path = "/webhooks/twilio/status?room=sms%3A%2B1555%3A%2B1666&id=a%20%26%C3%A9";
        for (base, stand_in, expected) in [
            ("https://dialtone.example", false, true),
            ("https://dialtone.example/app", false, true),
            ("http://203.0.113.7:8787", false, true),
            ("http://localhost:8787", false, false),
            ("http://127.0.0.1:8787", false, false),
            ("http://[::1]:8787", false, false),
            ("http://dialtone", false, false),
            ("http://192.168.1.2", false, false),
            ("http://localhost:8787", true, true),
        ] {
            let callback = status_callback(base, stand_in, &room, "a &é");
            let expected = expected.then(|| format!("{base}{path}"));
            assert_eq!(callback, expected, "{base} {stand_in}");
        }
    }

    /// A line's queue holds these: changing it needs a migration.
    #[test]
    fn what_is_sent_is_pinned() {
        let short = r#"{"room":"sms:+1:+2","id":"a","from":"+1","to":"+2"}"#;
        let long = r#"{"room":"sms:+1:+2","id":"a","from":"+1","to":"+2","body":"hi","media":["https://a.com/x"],"callback":"https://b.com"}"#;
        for json in [short, long] {
            let outgoing: Outgoing = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&outgoing).unwrap(), json);
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(
            json in "\\PC{0,20}|\\{\"id\":\"a\",\"(body|media)\":(\"\\PC{0,9}\"|\\[\"\\PC{0,9}\"\\])\\}",
            line in "(whatsapp:|sms:)?\\PC{0,12}",
            contact in "(whatsapp:|sms:)?\\PC{0,12}",
            base in "(https?://)?\\PC{0,12}",
        ) {
            let _ = Draft::parse(&json, Some(&contact));
            if let Ok(it) = Conversation::parse(&line, &contact) {
                let _ = it.may_be_sent_to();
                let _ = status_callback(&base, false, &it.room, &json);
                // The list's contact, in a path, is the same conversation.
                let again = Conversation::parse(&it.line.line_key(), &it.contact.line_key());
                prop_assert_eq!(again.map(|again| again.room), Ok(it.room));
            }
        }
    }
}
