//! Twilio's error codes, in sentences for the person who sent the message.
//!
//! <https://www.twilio.com/docs/api/errors>. Those are here that somebody who writes to a contact can
//! meet; for others Twilio's own message is shown.

use crate::limits::MAX_ERROR_MESSAGE_CHARS;

/// What a code means, where it is one that senders meet.
pub const fn sentence(code: u32) -> Option<&'static str> {
    Some(match code {
        10001 => "The Twilio account is not active.",
        20003 => {
            "Twilio refused our credentials: the account SID or the auth token is wrong, or the account is suspended."
        }
        20404 => "Twilio does not know the account that is configured here.",
        20429 => "Twilio had too many requests and did not take the message.",
        21211 => "The contact's number is not valid.",
        21212 => "This line's number is not valid as a sender.",
        21266 => "A line cannot send to itself.",
        21408 => "The Twilio account may not send to the contact's country.",
        21601 => "This line's number cannot send text messages from the Twilio account.",
        21602 => "The message has neither text nor media.",
        21603 => "The message has no sender.",
        21604 => "The message has no recipient.",
        21606 => "This line's number cannot send to this contact from the Twilio account.",
        21608 => {
            "The Twilio account is on trial, and sends only to numbers that were verified first."
        }
        21609 => "Twilio does not accept our address for status reports.",
        21610 => "The contact has opted out of messages from this line.",
        21611 => "Too many messages of this line are waiting at Twilio.",
        21612 => "Twilio cannot reach this contact from this line.",
        21614 => "The contact's number is not a mobile number.",
        21617 => "The message is longer than 1,600 characters.",
        21619 => "The message has neither text nor media.",
        21620 => "Twilio does not accept the address of a medium.",
        21623 => "The message has more media than Twilio sends in one.",
        21635 => "The contact's number is a landline, which cannot get text messages.",
        21659 => {
            "This line's number is not one of Twilio's, or is a short code of another country."
        }
        21660 => "This line's number belongs to another Twilio account.",
        21703 => "No sender of the Twilio messaging service can reach this contact.",
        21910 => "The line and the contact are on different channels.",
        30001 => "Too many messages were waiting at Twilio, and this one was dropped.",
        30002 => "The Twilio account was suspended before the message was sent.",
        30003 => {
            "The contact's phone cannot be reached: it is off, has no signal, or cannot get text messages."
        }
        30004 => "The contact's number does not accept this message.",
        30005 => "The contact's number is unknown or no longer in service.",
        30006 => "The contact's number is a landline, or its carrier cannot be reached.",
        30007 => "Twilio or the carrier took the message for spam.",
        30008 => "The carrier could not deliver the message and did not say why.",
        30009 => "A part of the message was lost on its way.",
        30010 => "The message costs more than the price that was allowed for it.",
        30011 => "Pictures and files cannot be sent to the contact's number.",
        30019 => "The media are too large for the carrier.",
        30022 => "The carrier takes no more messages of this line for now.",
        30023 => "The carrier takes no more messages of this business today.",
        30032 => "This line's toll-free number has not been verified yet.",
        30034 => {
            "This line's number is not registered for messages to the United States (A2P 10DLC)."
        }
        30044 => "The message is too long for a Twilio account on trial.",
        30450 => "Twilio has blocked messages to this number for a while, to prevent fraud.",
        63001 => "The channel refused Twilio's credentials for this line.",
        63003 => "The contact does not exist on this channel.",
        63005 => "The channel does not accept this content.",
        63007 => "This line is not set up for this channel at Twilio.",
        63013 => "The message violates the channel's policy.",
        63014 => "The contact has blocked messages from this line.",
        63015 => "The contact has not joined the Twilio sandbox that this line is.",
        63016 => {
            "The contact has not written for 24 hours: only approved templates may be sent now."
        }
        63018 => "The channel takes no more messages of this line for now.",
        63019 => "Twilio could not download a medium of the message.",
        63021 => "The channel does not support this content or medium.",
        63024 => "The contact cannot get messages on this channel.",
        63032 => "WhatsApp does not deliver this message to this contact.",
        63038 => "The Twilio account has sent as many messages as it may in a day.",
        _ => return None,
    })
}

/// What went wrong: our own sentence; else Twilio's message (`twilios`) without control characters,
/// cut to [`MAX_ERROR_MESSAGE_CHARS`]; else that there is a code.
pub fn describe(code: Option<u32>, twilios: Option<&str>) -> String {
    if let Some(sentence) = code.and_then(sentence) {
        return sentence.to_owned();
    }
    let twilios: String = twilios
        .unwrap_or_default()
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_ERROR_MESSAGE_CHARS)
        .collect();
    match code {
        _ if !twilios.is_empty() => twilios,
        Some(code) => format!("Twilio reported error {code}."),
        None => "Twilio refused the message and did not say why.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_is_one() {
        let sentences: Vec<_> = (0..100_000).filter_map(sentence).collect();
        assert!(sentences.len() >= 35);
        for text in sentences {
            let whole = text.ends_with('.') && text.starts_with(|c: char| c.is_ascii_uppercase());
            assert!(whole && text.len() <= MAX_ERROR_MESSAGE_CHARS, "{text}");
        }
    }

    #[test]
    fn our_own_words_come_first_then_twilios_then_the_code() {
        let opted_out = "The contact has opted out of messages from this line.";
        let long = "é".repeat(MAX_ERROR_MESSAGE_CHARS + 1);
        let cut = "é".repeat(MAX_ERROR_MESSAGE_CHARS);
        for (code, twilios, expected) in [
            (Some(21610), Some("Attempt to send"), opted_out),
            (Some(99999), Some(" Odd\u{0}\n\u{85} thing "), "Odd thing"),
            (Some(99999), Some(&long), &cut),
            (Some(99999), Some(" \u{1} "), "Twilio reported error 99999."),
            (Some(0), None, "Twilio reported error 0."),
            (None, Some("Not now"), "Not now"),
            (
                None,
                None,
                "Twilio refused the message and did not say why.",
            ),
        ] {
            assert_eq!(describe(code, twilios), expected, "{code:?} {twilios:?}");
        }
    }
}
