//! Twilio's error codes, in sentences for the person who sent the message.
//!
//! <https://www.twilio.com/docs/api/errors>.

use super::inbound::without_controls;
use crate::limits::MAX_ERROR_MESSAGE_CHARS;

/// What a code means, where it is one that senders meet.
pub const fn sentence(code: u32) -> Option<&'static str> {
    Some(match code {
        21610 => "The contact has opted out of messages from this number.",
        _ => return None,
    })
}

/// What went wrong: our own sentence, else Twilio's (`twilios`), else that there is a code.
pub fn describe(code: Option<u32>, twilios: Option<&str>) -> String {
    if let Some(sentence) = code.and_then(sentence) {
        return sentence.to_owned();
    }
    let twilios: String = without_controls(twilios.unwrap_or_default())
        .trim()
        .chars()
        .take(MAX_ERROR_MESSAGE_CHARS)
        .collect();
    match code {
        _ if !twilios.is_empty() => twilios,
        Some(code) => format!("Twilio reported error {code}."),
        None => "Twilio refused the message and did not say why.".to_owned(),
    }
}
