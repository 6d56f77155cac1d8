//! Frames as a client reads them. Its own reading of the protocols, not core's: the two must agree.

use serde_json::Value as Json;

/// A frame.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Engine.IO's handshake.
    Open,
    /// Engine.IO's ping.
    Ping,
    /// A Socket.IO packet.
    Packet {
        /// Its type: `0` CONNECT, `1` DISCONNECT, `2` EVENT, `3` ACK, `4` CONNECT_ERROR.
        kind: char,
        /// Its ack's id.
        id: Option<u64>,
        /// What it carries.
        data: Json,
    },
    /// Objects of a plain WebSocket's frame.
    Plain(Vec<Json>),
    /// Nothing that matters.
    Other,
}

/// Reads a frame.
pub fn read(frame: &str) -> Heard {
    match frame.chars().next() {
        Some('{') => {
            let lines = frame.lines().map(serde_json::from_str);
            Heard::Plain(lines.map(|object| object.expect("JSON")).collect())
        }
        Some('0') => Heard::Open,
        Some('2') => Heard::Ping,
        Some('4') => packet(&frame[1..]),
        _ => Heard::Other,
    }
}

/// `<type>[/<namespace>,][<ack id>][JSON]`
fn packet(packet: &str) -> Heard {
    let (kind, rest) = packet.split_at(1);
    let rest = if rest.starts_with('/') {
        rest.split_once(',').map_or("", |(_, rest)| rest)
    } else {
        rest
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit());
    let (id, data) = rest.split_at(digits.unwrap_or(rest.len()));
    Heard::Packet {
        kind: kind.chars().next().unwrap_or('?'),
        id: id.parse().ok(),
        data: serde_json::from_str(data).unwrap_or_default(),
    }
}
