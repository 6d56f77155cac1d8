//! What stands before a packet's JSON: `<type>[<attachments>-][<namespace>,][<ack id>]`.

use super::DecodeError;
use crate::limits::{MAX_ACK_ID, MAX_ATTACHMENTS};

/// The types that a client may send; the binary ones are told by their attachments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
}

/// A packet up to its JSON.
#[derive(Debug)]
pub(super) struct Header {
    pub kind: Kind,
    /// Set on a binary packet.
    pub attachments: Option<usize>,
    pub namespace: String,
    pub id: Option<u64>,
}

impl Header {
    /// Reads a header; the rest is the JSON, or empty.
    pub fn read(text: &str) -> Result<(Self, &str), DecodeError> {
        let mut characters = text.chars();
        let (kind, is_binary) = match characters.next() {
            Some('0') => (Kind::Connect, false),
            Some('1') => (Kind::Disconnect, false),
            Some('2') => (Kind::Event, false),
            Some('3') => (Kind::Ack, false),
            Some('4') => return Err(DecodeError::ConnectError),
            Some('5') => (Kind::Event, true),
            Some('6') => (Kind::Ack, true),
            _ => return Err(DecodeError::UnknownType),
        };
        let rest = characters.as_str();
        let (attachments, rest) = if is_binary {
            let (number, rest) = rest.split_once('-').ok_or(DecodeError::Attachments)?;
            (Some(attachments(number)?), rest)
        } else {
            (None, rest)
        };
        let (namespace, rest) = if rest.starts_with('/') {
            // Without a payload the comma may be missing: `0/chat`.
            rest.split_once(',').unwrap_or((rest, ""))
        } else {
            ("/", rest)
        };
        let (id, rest) = ack_id(rest)?;
        if !(rest.is_empty() || rest.starts_with(['[', '{'])) {
            return Err(DecodeError::Payload("an array or an object"));
        }
        let header = Self {
            kind,
            attachments,
            namespace: without_query(namespace).to_owned(),
            id,
        };
        Ok((header, rest))
    }
}

/// A client may connect to `/chat?token=…`; the namespace is what stands before.
pub(super) fn without_query(namespace: &str) -> &str {
    match namespace.split_once('?') {
        Some((namespace, _)) => namespace,
        None => namespace,
    }
}

fn attachments(number: &str) -> Result<usize, DecodeError> {
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DecodeError::Attachments);
    }
    // Digits that do not fit are too many.
    match number.parse() {
        Ok(number) if number <= MAX_ATTACHMENTS => Ok(number),
        _ => Err(DecodeError::TooManyAttachments),
    }
}

fn ack_id(text: &str) -> Result<(Option<u64>, &str), DecodeError> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.strip_suffix(rest).unwrap_or_default();
    if digits.is_empty() {
        return Ok((None, rest));
    }
    match digits.parse() {
        Ok(id) if id <= MAX_ACK_ID => Ok((Some(id), rest)),
        _ => Err(DecodeError::AckId),
    }
}
