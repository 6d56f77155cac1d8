//! Twilio's Messages resource: how it is asked, and what its answers mean.
//!
//! <https://www.twilio.com/docs/messaging/api/message-resource>. Twilio has no idempotency: what may
//! have been taken is never sent again, it is looked for instead ([`list`], [`found`]).

use std::fmt;

use serde_json::Value;

use super::{
    errors,
    inbound::MessageSid,
    outbound::Outgoing,
    status::{Report, Status},
};
use crate::{
    config::TwilioConfig,
    limits::{FOUND_AFTER_MS, FOUND_BEFORE_MS, LISTED_MESSAGES, OUTBOX_MAX_RETRY_MS},
    names::Timestamp,
};

/// Where Twilio's API is.
pub(super) const API_BASE: &str = "https://api.twilio.com";
/// What a trial account's messages begin with, at Twilio.
const TRIAL: &str = "Sent from your Twilio trial account - ";

/// A request to Twilio.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Absolute.
    pub url: String,
    /// Their names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// A form.
    pub body: Option<String>,
}

impl fmt::Debug for Call {
    /// Its headers hold the auth token, its body what somebody wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to Twilio", self.method)
    }
}

/// What Twilio answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: String,
}

/// What an answer to [`create`] means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Twilio has it. The report has a SID.
    Sent(Report),
    /// Twilio did not look at it: to be sent again, after so long if Twilio said (at most
    /// [`OUTBOX_MAX_RETRY_MS`]).
    Later {
        /// In milliseconds.
        after_ms: Option<u64>,
    },
    /// Twilio does not send it: `failed`, with its code and a sentence.
    Refused(Report),
    /// Twilio may have it or not.
    Unclear,
}

/// Asks Twilio to send a message. `None`: the account is not configured.
pub fn create(config: &TwilioConfig, message: &Outgoing) -> Option<Call> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("To", &message.to);
    form.append_pair("From", &message.from);
    if !message.body.is_empty() {
        form.append_pair("Body", &message.body);
    }
    form.extend_pairs(message.media.iter().map(|url| ("MediaUrl", url)));
    if let Some(callback) = &message.callback {
        form.append_pair("StatusCallback", callback);
    }
    let mut call = call(config, "POST", "")?;
    let form_type = "application/x-www-form-urlencoded".to_owned();
    call.headers.push(("content-type", form_type));
    call.body = Some(form.finish());
    Some(call)
}

/// Asks Twilio which messages it has of this one's sender for its recipient. `None`: the account is
/// not configured.
pub fn list(config: &TwilioConfig, message: &Outgoing) -> Option<Call> {
    let query = form_urlencoded::Serializer::new(String::from("?"))
        .append_pair("To", &message.to)
        .append_pair("From", &message.from)
        .append_pair("PageSize", &LISTED_MESSAGES.to_string())
        .finish();
    call(config, "GET", &query)
}

fn call(config: &TwilioConfig, method: &'static str, query: &str) -> Option<Call> {
    let (account, _) = config.credentials()?;
    let base = config.api_base.as_deref().unwrap_or(API_BASE);
    Some(Call {
        method,
        url: format!("{base}/2010-04-01/Accounts/{account}/Messages.json{query}"),
        headers: vec![
            ("authorization", config.authorization()?),
            ("accept", "application/json".to_owned()),
        ],
        body: None,
    })
}

/// What became of [`create`]'s request; no answer is a time-out or a broken connection.
///
/// | answer | verdict |
/// |---|---|
/// | 2xx with a SID | [`Verdict::Sent`] |
/// | 429 | [`Verdict::Later`]: it was not processed |
/// | 4xx but 408 | [`Verdict::Refused`] |
/// | none, 408, 5xx, 3xx, 2xx without a SID | [`Verdict::Unclear`] |
pub fn verdict(answer: Option<&Answer>) -> Verdict {
    let Some(answer) = answer else {
        return Verdict::Unclear;
    };
    let resource = || serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    match answer.status {
        200..=299 => report(&resource()).map_or(Verdict::Unclear, Verdict::Sent),
        429 => Verdict::Later {
            after_ms: answer
                .retry_after
                .map(|seconds| seconds.saturating_mul(1_000).min(OUTBOX_MAX_RETRY_MS)),
        },
        408 => Verdict::Unclear,
        400..=499 => {
            let error = resource();
            let code = number(&error, "code");
            Verdict::Refused(Report {
                sid: None,
                status: Status::Failed,
                error_code: code,
                error_message: Some(errors::describe(code, text(&error, "message"))),
            })
        }
        _ => Verdict::Unclear,
    }
}

/// The messages in [`list`]'s answer that may be this one, oldest first: outbound, with its
/// addresses, its text and as many media, and made around the time of the try.
pub fn found(answer: &Answer, message: &Outgoing, tried_at: Timestamp) -> Vec<Report> {
    let page: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    let resources = page.get("messages").and_then(Value::as_array);
    if !(200..=299).contains(&answer.status) {
        return Vec::new();
    }
    let times = tried_at.minus(FOUND_BEFORE_MS)..=tried_at.plus(FOUND_AFTER_MS);
    let candidate = |resource: &Value| {
        let is = |name, expected: &str| text(resource, name) == Some(expected);
        let body = text(resource, "body").unwrap_or_default();
        let body = body.strip_prefix(TRIAL).unwrap_or(body);
        let created = created_at(resource).filter(|created| times.contains(created))?;
        let same = text(resource, "direction")?.starts_with("outbound")
            && is("to", &message.to)
            && is("from", &message.from)
            && is("num_media", &message.media.len().to_string())
            && body.trim() == message.body.trim();
        Some((created, report(resource).filter(|_| same)?))
    };
    // Twilio lists the newest first.
    let mut found: Vec<_> = resources
        .into_iter()
        .flatten()
        .rev()
        .filter_map(candidate)
        .collect();
    found.sort_by_key(|(created, _)| *created);
    found.into_iter().map(|(_, report)| report).collect()
}

/// A Message resource as a report; `None` if it has no SID. It was taken whatever its status says.
fn report(resource: &Value) -> Option<Report> {
    let error_code = number(resource, "error_code");
    Some(Report {
        sid: MessageSid::parse(text(resource, "sid")?).ok(),
        status: text(resource, "status")
            .and_then(Status::of_twilio)
            .unwrap_or(Status::Accepted),
        error_code,
        error_message: error_code
            .map(|_| errors::describe(error_code, text(resource, "error_message"))),
    })
    .filter(|report| report.sid.is_some())
}

/// `date_created` is RFC 2822, in whole seconds.
fn created_at(resource: &Value) -> Option<Timestamp> {
    let date = chrono::DateTime::parse_from_rfc2822(text(resource, "date_created")?).ok()?;
    u64::try_from(date.timestamp_millis()).ok().map(Timestamp)
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

fn number(object: &Value, name: &str) -> Option<u32> {
    object.get(name)?.as_u64()?.try_into().ok()
}
