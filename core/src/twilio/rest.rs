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
    limits::{FOUND_AFTER_MS, FOUND_BEFORE_MS, LISTED_MESSAGES, SEND_MAX_RETRY_MS},
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
    /// [`SEND_MAX_RETRY_MS`]).
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
    let query = form_urlencoded::Serializer::for_suffix(String::from("?"), 1)
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
                .map(|seconds| seconds.saturating_mul(1_000).min(SEND_MAX_RETRY_MS)),
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
        let media = text(resource, "num_media").unwrap_or("0");
        let body = text(resource, "body").unwrap_or_default();
        let body = body.strip_prefix(TRIAL).unwrap_or(body);
        let created = created_at(resource).filter(|created| times.contains(created))?;
        let same = text(resource, "direction")?.starts_with("outbound")
            && is("to", &message.to)
            && is("from", &message.from)
            && media == message.media.len().to_string()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::twilio::testing::{ACCOUNT, config};

    const SID: &str = "SM0123456789abcdef0123456789abcdef";
    /// 2026-01-05T10:00:00Z
    const TRIED_AT: Timestamp = Timestamp(1_767_607_200_000);

    fn message(body: &str, media: &[&str]) -> Outgoing {
        let media = json!(media);
        serde_json::from_value(json!({
            "room": "sms:+1555:+1666", "id": "m1", "from": "+1555", "to": "+1666",
            "body": body, "media": media,
        }))
        .unwrap()
    }

    #[test]
    fn a_message_is_created_by_a_form() {
        let with_callback = Outgoing {
            callback: Some("https://a.com/s?room=sms%3A%2B1&id=1".to_owned()),
            ..message("", &["https://a.com/x?y=1", "https://a.com/z"])
        };
        let whatsapp = Outgoing {
            from: "whatsapp:+1555".to_owned(),
            to: "whatsapp:US.A1".to_owned(),
            ..message("a", &[])
        };
        for (message, body) in [
            (
                message("1+1=2 & ü 👍\n", &[]),
                "To=%2B1666&From=%2B1555&Body=1%2B1%3D2+%26+%C3%BC+%F0%9F%91%8D%0A",
            ),
            (
                with_callback,
                "To=%2B1666&From=%2B1555&MediaUrl=https%3A%2F%2Fa.com%2Fx%3Fy%3D1&MediaUrl=https%3A%2F%2Fa.com%2Fz&StatusCallback=https%3A%2F%2Fa.com%2Fs%3Froom%3Dsms%253A%252B1%26id%3D1",
            ),
            (
                whatsapp,
                "To=whatsapp%3AUS.A1&From=whatsapp%3A%2B1555&Body=a",
            ),
        ] {
            let call = create(&config(None), &message).unwrap();
            let url = format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
            assert_eq!((call.method, call.url), ("POST", url));
            assert_eq!(call.body.as_deref(), Some(body));
            let headers = [
                ("authorization", config(None).authorization().unwrap()),
                ("accept", "application/json".to_owned()),
                (
                    "content-type",
                    "application/x-www-form-urlencoded".to_owned(),
                ),
            ];
            assert_eq!(call.headers, headers);
        }
    }

    #[test]
    fn messages_are_listed_by_their_two_ends() {
        let call = list(&config(Some("http://127.0.0.1:4010/")), &message("a", &[])).unwrap();
        let url = format!(
            "http://127.0.0.1:4010/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=%2B1666&From=%2B1555&PageSize=50"
        );
        assert_eq!((call.method, call.url, call.body), ("GET", url, None));
        assert_eq!(call.headers.len(), 2);
    }

    #[test]
    fn without_an_account_nothing_is_asked() {
        let without = TwilioConfig {
            account_sid: None,
            ..config(None)
        };
        assert!(create(&without, &message("a", &[])).is_none());
        assert!(list(&without, &message("a", &[])).is_none());
    }

    fn report(sid: Option<&str>, status: Status, error: Option<(u32, &str)>) -> Report {
        Report {
            sid: sid.map(|sid| MessageSid::parse(sid).unwrap()),
            status,
            error_code: error.map(|(code, _)| code),
            error_message: error.map(|(_, message)| message.to_owned()),
        }
    }

    #[test]
    fn an_answer_says_whether_twilio_has_the_message() {
        use Status as S;
        let refused = |code, message: &str| {
            Verdict::Refused(Report {
                error_code: code,
                error_message: Some(message.to_owned()),
                ..report(None, S::Failed, None)
            })
        };
        let why_not = "Twilio refused the message and did not say why.";
        let opted_out = "The contact has opted out of messages from this line.";
        let later = |after_ms| Verdict::Later { after_ms };
        let sid = |more: &str| format!(r#"{{"sid":"{SID}"{more}}}"#);
        for (status, retry_after, body, expected) in [
            (
                201,
                None,
                sid(r#","status":"queued","error_code":null"#),
                Verdict::Sent(report(Some(SID), S::Queued, None)),
            ),
            (
                200,
                None,
                sid(r#","status":"accepted""#),
                Verdict::Sent(report(Some(SID), S::Accepted, None)),
            ),
            (
                201,
                None,
                sid(r#","status":"new_word""#),
                Verdict::Sent(report(Some(SID), S::Accepted, None)),
            ),
            (
                201,
                None,
                sid(""),
                Verdict::Sent(report(Some(SID), S::Accepted, None)),
            ),
            (
                201,
                None,
                sid(r#","status":"failed","error_code":30007,"error_message":"x""#),
                Verdict::Sent(report(
                    Some(SID),
                    S::Failed,
                    Some((30007, "Twilio or the carrier took the message for spam.")),
                )),
            ),
            (
                201,
                None,
                r#"{"sid":"SM1","status":"queued"}"#.to_owned(),
                Verdict::Unclear,
            ),
            (
                201,
                None,
                r#"{"status":"queued"}"#.to_owned(),
                Verdict::Unclear,
            ),
            (201, None, "<html>".to_owned(), Verdict::Unclear),
            (204, None, String::new(), Verdict::Unclear),
            (429, None, r#"{"code":20429}"#.to_owned(), later(None)),
            (429, Some(2), String::new(), later(Some(2_000))),
            (429, Some(0), String::new(), later(Some(0))),
            (
                429,
                Some(u64::MAX),
                String::new(),
                later(Some(SEND_MAX_RETRY_MS)),
            ),
            (
                400,
                None,
                r#"{"code":21610,"message":"Attempt"}"#.to_owned(),
                refused(Some(21610), opted_out),
            ),
            (
                400,
                None,
                r#"{"code":99999,"message":"Odd\u0000"}"#.to_owned(),
                refused(Some(99999), "Odd"),
            ),
            (
                403,
                None,
                r#"{"code":99999}"#.to_owned(),
                refused(Some(99999), "Twilio reported error 99999."),
            ),
            (
                401,
                Some(9),
                r#"{"code":"20003"}"#.to_owned(),
                refused(None, why_not),
            ),
            (
                404,
                None,
                r#"{"code":-1}"#.to_owned(),
                refused(None, why_not),
            ),
            (451, None, String::new(), refused(None, why_not)),
            (408, None, r#"{"code":20003}"#.to_owned(), Verdict::Unclear),
            (500, None, sid(""), Verdict::Unclear),
            (503, Some(1), String::new(), Verdict::Unclear),
            (302, None, sid(""), Verdict::Unclear),
            (101, None, String::new(), Verdict::Unclear),
            (0, None, String::new(), Verdict::Unclear),
        ] {
            let answer = Answer {
                status,
                retry_after,
                body,
            };
            assert_eq!(verdict(Some(&answer)), expected, "{answer:?}");
        }
        assert_eq!(verdict(None), Verdict::Unclear);
    }

    fn page(resources: &[Value]) -> Answer {
        Answer {
            status: 200,
            retry_after: None,
            body: json!({"messages": resources}).to_string(),
        }
    }

    /// A Message as Twilio lists it, with some of its fields otherwise.
    fn resource(more: Value) -> Value {
        let mut resource = json!({
            "sid": SID, "status": "sent", "direction": "outbound-api", "from": "+1555", "to": "+1666",
            "body": "hi", "num_media": "0", "date_created": "Mon, 05 Jan 2026 10:00:05 +0000",
            "error_code": null, "error_message": null,
        });
        let more = more.as_object().unwrap().clone();
        resource.as_object_mut().unwrap().extend(more);
        resource
    }

    #[test]
    fn a_message_is_found_by_what_it_says_and_when_it_was_made() {
        let hi = message("hi", &[]);
        for (more, is_found) in [
            (json!({}), true),
            (json!({"direction": "outbound-reply"}), true),
            (json!({"body": " hi\n"}), true),
            (
                json!({"body": "Sent from your Twilio trial account - hi"}),
                true,
            ),
            (
                json!({"date_created": "Mon, 05 Jan 2026 09:59:00 +0000"}),
                true,
            ),
            (
                json!({"date_created": "Mon, 05 Jan 2026 11:10:00 +0100"}),
                true,
            ),
            (json!({"status": "partially_delivered"}), true),
            (json!({"direction": "inbound"}), false),
            (json!({"direction": null}), false),
            (json!({"body": "hi!"}), false),
            (json!({"body": null}), false),
            (json!({"num_media": "1"}), false),
            (json!({"num_media": null}), true),
            (json!({"from": "+1556"}), false),
            (json!({"to": "+1667"}), false),
            (json!({"sid": "SM1"}), false),
            (json!({"sid": null}), false),
            (
                json!({"date_created": "Mon, 05 Jan 2026 09:58:59 +0000"}),
                false,
            ),
            (
                json!({"date_created": "Mon, 05 Jan 2026 10:10:01 +0000"}),
                false,
            ),
            (json!({"date_created": "2026-01-05T10:00:05Z"}), false),
            (json!({"date_created": null}), false),
        ] {
            let answer = page(&[json!(7), resource(more.clone())]);
            let found = found(&answer, &hi, TRIED_AT);
            assert_eq!(found.len(), usize::from(is_found), "{more}");
        }
        let picture = message("", &["https://a.com/x"]);
        let listed = resource(json!({"body": "", "num_media": "1"}));
        assert_eq!(found(&page(&[listed]), &picture, TRIED_AT).len(), 1);
        for (status, body) in [
            (500, page(&[resource(json!({}))]).body),
            (200, "[]".to_owned()),
            (200, String::new()),
        ] {
            let answer = Answer {
                status,
                retry_after: None,
                body,
            };
            assert_eq!(found(&answer, &hi, TRIED_AT), []);
        }
    }

    #[test]
    fn the_oldest_is_found_first_with_what_twilio_knows_of_it() {
        let sid = |n| format!("SM0123456789abcdef0123456789abcde{n}");
        let at = |n: u8, second| {
            let date = format!("Mon, 05 Jan 2026 10:00:0{second} +0000");
            resource(json!({"sid": sid(n), "date_created": date}))
        };
        let failed = resource(json!({
            "sid": sid(9), "status": "undelivered", "error_code": 30003, "error_message": "x",
            "date_created": "Mon, 05 Jan 2026 10:00:09 +0000",
        }));
        // As Twilio lists them: the newest first.
        let answer = page(&[failed, at(3, 5), at(2, 5), at(1, 4)]);
        let found = found(&answer, &message("hi", &[]), TRIED_AT);
        let sids: Vec<_> = found
            .iter()
            .filter_map(|report| report.sid.as_ref())
            .collect();
        let expected = [1, 2, 3, 9].map(|n| MessageSid::parse(&sid(n)).unwrap());
        assert!(sids.into_iter().eq(&expected));
        let last = found.last().unwrap();
        assert_eq!(
            (last.status, last.error_code),
            (Status::Undelivered, Some(30003))
        );
        assert!(
            last.error_message
                .as_ref()
                .unwrap()
                .starts_with("The contact's phone")
        );
    }

    proptest! {
        #[test]
        fn no_answer_panics(
            status in any::<u16>(),
            body in "\\PC{0,20}|\\{\"(sid|code|messages)\":(-?[0-9]{1,12}|\"\\PC{0,5}\"|\\[\\{\"date_created\":\"\\PC{0,9}\"\\}\\])\\}",
            tried_at in any::<u64>(),
        ) {
            let answer = Answer { status, retry_after: Some(tried_at), body };
            let _ = verdict(Some(&answer));
            let _ = found(&answer, &message("hi", &[]), Timestamp(tried_at));
        }
    }
}
