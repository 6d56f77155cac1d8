//! From what one connection sends to packets.

use super::{
    DecodeError, Packet, binary,
    binary::Placeholder,
    header::{Header, Kind},
    payload,
};

/// Reads one connection's packets. It holds a binary packet until its attachments are there; what
/// it then owns is at most the `max_bytes` that the packet was given.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Option<Pending>,
}

/// A binary packet of which attachments are still to come. Its JSON is valid already.
#[derive(Debug)]
struct Pending {
    kind: Kind,
    namespace: String,
    id: Option<u64>,
    json: String,
    placeholders: Vec<Placeholder>,
    attachments: Vec<Vec<u8>>,
    expected: usize,
    /// What the attachments to come may have together.
    bytes_left: usize,
    max_bytes: usize,
}

impl Decoder {
    /// Takes a text message. `None` says that attachments are to come. `max_bytes` is for the text
    /// and its attachments together. After an error the connection is to be closed.
    pub fn text(&mut self, text: &str, max_bytes: usize) -> Result<Option<Packet>, DecodeError> {
        if self.pending.take().is_some() {
            return Err(DecodeError::ExpectedAttachment);
        }
        let bytes_left = max_bytes
            .checked_sub(text.len())
            .ok_or(DecodeError::TooLarge(max_bytes))?;
        let (header, json) = Header::read(text)?;
        let Some(expected) = header.attachments else {
            return payload::packet(header.kind, header.namespace, header.id, json).map(Some);
        };
        // What is wrong with the text is said now, not behind its attachments.
        let packet = payload::packet(header.kind, header.namespace.clone(), header.id, json)?;
        let placeholders = binary::placeholders(json, expected)?;
        if expected == 0 {
            return Ok(Some(packet));
        }
        self.pending = Some(Pending {
            kind: header.kind,
            namespace: header.namespace,
            id: header.id,
            json: json.to_owned(),
            placeholders,
            attachments: Vec::new(),
            expected,
            bytes_left,
            max_bytes,
        });
        Ok(None)
    }

    /// Takes an attachment. `None` says that more are to come.
    pub fn binary(&mut self, bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
        let mut pending = self.pending.take().ok_or(DecodeError::UnexpectedBinary)?;
        pending.bytes_left = pending
            .bytes_left
            .checked_sub(bytes.len())
            .ok_or(DecodeError::TooLarge(pending.max_bytes))?;
        pending.attachments.push(bytes.to_owned());
        if pending.attachments.len() < pending.expected {
            self.pending = Some(pending);
            return Ok(None);
        }
        let json = binary::fill(&pending.json, &pending.placeholders, &pending.attachments);
        payload::packet(pending.kind, pending.namespace, pending.id, &json).map(Some)
    }

    /// Are attachments to come?
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }
}
