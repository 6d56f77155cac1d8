//! Packets in the body of a polling request or its answer.

use super::{DecodeError, Packet};
use crate::limits::MAX_PAYLOAD_PACKETS;

/// Stands between the packets of a payload: the ASCII record separator. Nothing escapes it, so a
/// text message that contains one cannot pass over polling; JSON never does, for it escapes
/// control characters.
pub const SEPARATOR: char = '\x1e';

/// Reads a polling body, at most [`MAX_PAYLOAD_PACKETS`] packets. One bad packet spoils them all.
pub fn decode_payload(body: &str) -> Result<Vec<Packet<'_>>, DecodeError> {
    let mut packets = Vec::new();
    for part in body.split(SEPARATOR) {
        if packets.len() >= MAX_PAYLOAD_PACKETS {
            return Err(DecodeError::TooManyPackets);
        }
        packets.push(Packet::decode_part(part)?);
    }
    Ok(packets)
}

/// Writes a polling body.
pub fn encode_payload(packets: &[Packet<'_>]) -> String {
    let length = packets.iter().fold(0_usize, |length, packet| {
        length
            .saturating_add(packet.encoded_len())
            .saturating_add(1)
    });
    let mut body = String::with_capacity(length);
    for packet in packets {
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
        packet.encode_to(&mut body);
    }
    body
}
