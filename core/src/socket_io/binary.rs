//! Binary data in JSON: Socket.IO's placeholders, and our `{"$binary":"<base64>"}`.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::DecodeError;
use crate::limits::MAX_ATTACHMENTS;

/// How our notation begins. In valid JSON these bytes cannot stand inside a string (a quote would
/// be escaped there), so looking for them is enough.
const PREFIX: &str = r#"{"$binary":""#;
const SUFFIX: &str = r#""}"#;
const PLACEHOLDER_KEY: &str = "_placeholder";
/// The key with quotes and each of its characters as `\u005f`.
const LONGEST_PLACEHOLDER_KEY: usize = 2 + 6 * PLACEHOLDER_KEY.len();

/// Where a placeholder stands in a packet's JSON.
#[derive(Debug)]
pub(super) struct Placeholder {
    start: usize,
    end: usize,
    num: usize,
}

/// Finds the placeholders of a binary packet, of which `json` is valid. One that is malformed, out
/// of range or used twice is an error: no client sends such, and a large attachment put in many
/// times would fill the memory.
pub(super) fn placeholders(
    json: &str,
    attachments: usize,
) -> Result<Vec<Placeholder>, DecodeError> {
    let mut found: Vec<Placeholder> = Vec::new();
    for (start, end) in marks(json) {
        let placeholder = around(json, start, end).ok_or(DecodeError::Placeholder)?;
        let taken = found.iter().any(|other| other.num == placeholder.num);
        if taken || placeholder.num >= attachments {
            return Err(DecodeError::Placeholder);
        }
        found.push(placeholder);
    }
    Ok(found)
}

/// Puts the attachments in.
pub(super) fn fill(json: &str, placeholders: &[Placeholder], attachments: &[Vec<u8>]) -> String {
    let bytes: usize = attachments.iter().map(Vec::len).sum();
    let mut filled = String::with_capacity(
        json.len()
            .saturating_add(bytes.div_ceil(3).saturating_mul(4)),
    );
    let mut done = 0;
    for placeholder in placeholders {
        filled.push_str(json.get(done..placeholder.start).unwrap_or_default());
        let attachment = attachments.get(placeholder.num);
        push_binary(&mut filled, attachment.map_or(&[], Vec::as_slice));
        done = placeholder.end;
    }
    filled.push_str(json.get(done..).unwrap_or_default());
    filled
}

/// Appends bytes in our notation.
pub(super) fn push_binary(json: &mut String, bytes: &[u8]) {
    json.push_str(PREFIX);
    STANDARD.encode_string(bytes, json);
    json.push_str(SUFFIX);
}

/// Is there anything to take out? Nearly always there is not.
pub(super) fn may_contain(json: &str) -> bool {
    json.contains(PREFIX)
}

/// Takes the binary data out of valid JSON, which gets placeholders instead. `None` where there is
/// none, where there is more than a packet may have, and where the data contains what a receiver
/// would take for a placeholder: stock clients close the connection over one that is out of range,
/// so one client could throw out all the others.
pub(super) fn take(json: &str) -> Option<(String, Vec<Vec<u8>>)> {
    let mut attachments = Vec::new();
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, from)) = rest.find(PREFIX).and_then(|at| rest.split_at_checked(at)) {
        text.push_str(before);
        if let Some((bytes, behind)) = binary_at(from) {
            if attachments.len() >= MAX_ATTACHMENTS {
                return None;
            }
            text.push_str(&format!(
                r#"{{"_placeholder":true,"num":{}}}"#,
                attachments.len()
            ));
            attachments.push(bytes);
            rest = behind;
        } else {
            text.push_str(PREFIX);
            rest = from.strip_prefix(PREFIX).unwrap_or_default();
        }
    }
    if attachments.is_empty() || marks(json).next().is_some() {
        return None;
    }
    text.push_str(rest);
    Some((text, attachments))
}

/// Reads our notation at the beginning of `json`; what stands behind it is the second value.
pub(super) fn binary_at(json: &str) -> Option<(Vec<u8>, &str)> {
    let (base64, behind) = json.strip_prefix(PREFIX)?.split_once('"')?;
    let behind = behind.strip_prefix('}')?;
    Some((STANDARD.decode(base64).ok()?, behind))
}

/// The keys that make an object a placeholder for socket.io-parser: `"_placeholder":true`, however
/// the key is escaped. Start and end of the key with its quotes.
fn marks(json: &str) -> impl Iterator<Item = (usize, usize)> {
    strings(json).filter(|&(start, end)| {
        let key = json.get(start..end).unwrap_or_default();
        let value = json.get(end..).unwrap_or_default().trim_start();
        is_placeholder_key(key)
            && value
                .strip_prefix(':')
                .is_some_and(|value| value.trim_start().starts_with("true"))
    })
}

fn is_placeholder_key(string: &str) -> bool {
    if string.len() > LONGEST_PLACEHOLDER_KEY {
        false
    } else if string.contains('\\') {
        serde_json::from_str::<String>(string).is_ok_and(|key| key == PLACEHOLDER_KEY)
    } else {
        string.trim_matches('"') == PLACEHOLDER_KEY
    }
}

/// The strings of valid JSON: start and end with their quotes.
fn strings(json: &str) -> impl Iterator<Item = (usize, usize)> {
    let (mut start, mut escaped) = (None, false);
    json.bytes()
        .enumerate()
        .filter_map(move |(at, byte)| match (byte, start) {
            _ if escaped => {
                escaped = false;
                None
            }
            (b'\\', Some(_)) => {
                escaped = true;
                None
            }
            (b'"', Some(from)) => {
                start = None;
                Some((from, at.saturating_add(1)))
            }
            (b'"', None) => {
                start = Some(at);
                None
            }
            _ => None,
        })
}

/// The placeholder around its key, in either order of keys; nothing else may be in it.
fn around(json: &str, start: usize, end: usize) -> Option<Placeholder> {
    let (before, _) = json.split_at_checked(start)?;
    let (_, behind) = json.split_at_checked(end)?;
    let behind = behind
        .trim_start()
        .strip_prefix(':')?
        .trim_start()
        .strip_prefix("true")?
        .trim_start();
    let before = before.trim_end();
    let (digits, before, behind) = match behind.strip_prefix('}') {
        Some(behind) => {
            let value = before.strip_suffix(',')?.trim_end();
            let before = value.trim_end_matches(|c: char| c.is_ascii_digit());
            let digits = value.strip_prefix(before)?;
            let key = before.trim_end().strip_suffix(':')?.trim_end();
            (digits, key.strip_suffix(r#""num""#)?.trim_end(), behind)
        }
        None => {
            let key = behind.strip_prefix(',')?.trim_start();
            let value = key.strip_prefix(r#""num""#)?.trim_start();
            let value = value.strip_prefix(':')?.trim_start();
            let behind = value.trim_start_matches(|c: char| c.is_ascii_digit());
            let digits = value.strip_suffix(behind)?;
            (digits, before, behind.trim_start().strip_prefix('}')?)
        }
    };
    Some(Placeholder {
        start: before.strip_suffix('{')?.len(),
        end: json.len().checked_sub(behind.len())?,
        num: digits.parse().ok()?,
    })
}
