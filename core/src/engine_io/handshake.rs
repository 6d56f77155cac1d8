//! What the server says first.

use serde::Serialize;

/// The data of the open packet. Clients may rely on exactly these keys, so there are no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Handshake<'a> {
    /// The session's id.
    pub sid: &'a str,
    /// `["websocket"]` over polling, `[]` over WebSocket.
    pub upgrades: &'a [&'a str],
    /// Milliseconds between two pings of the server.
    pub ping_interval: u64,
    /// Milliseconds that the other side has beyond the interval.
    pub ping_timeout: u64,
    /// The most bytes that a packet or a polling body may have.
    pub max_payload: usize,
}

impl Handshake<'_> {
    /// The open packet, `0{"sid":…,"upgrades":…,"pingInterval":…,"pingTimeout":…,"maxPayload":…}`.
    pub fn to_packet(&self) -> String {
        // Strings and numbers always serialize.
        format!("0{}", serde_json::to_string(self).unwrap_or_default())
    }
}
