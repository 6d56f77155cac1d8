//! Why a connection is closed: one table of reason, close code, and whether the client may come back
//! (4000–4499 may reconnect, 4500–4999 must not).

/// Why we close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectReason {
    /// It sent a frame over `MAX_PAYLOAD_BYTES`.
    TooBig,
    /// Its token ran out.
    TokenExpired,
    /// A backend disconnected everyone; they may come back.
    Kicked,
    /// A backend disconnected this user.
    Revoked,
    /// It may not be in this room any more.
    Forbidden,
    /// Socket.IO: its client broke the protocol.
    ParseError,
    /// Socket.IO: it has not answered the server's pings.
    PingTimeout,
    /// Socket.IO: it did not connect to a namespace in time.
    NotConnected,
    /// It does not read what it is sent.
    TooSlow,
    /// Its session goes on elsewhere.
    Replaced,
    /// A failure here; it may come back.
    ServerRestarting,
    /// Engine.IO's own close.
    Normal,
}

impl DisconnectReason {
    const fn row(self) -> (u16, &'static str) {
        match self {
            Self::TooBig => (1009, "message too big"),
            Self::TokenExpired => (4001, "token expired"),
            Self::Kicked => (4003, "kicked"),
            Self::Revoked => (4501, "token revoked"),
            Self::Forbidden => (4503, "forbidden"),
            Self::ParseError => (1008, "parse error"),
            Self::PingTimeout => (1008, "ping timeout"),
            Self::NotConnected => (1008, "no namespace connected"),
            Self::TooSlow => (4008, "too slow"),
            Self::Replaced => (4009, "replaced"),
            Self::ServerRestarting => (4010, "server restarting"),
            Self::Normal => (1000, ""),
        }
    }

    /// The WebSocket close code.
    pub const fn code(self) -> u16 {
        self.row().0
    }

    /// The reason that goes with it, at most 123 bytes.
    pub const fn text(self) -> &'static str {
        self.row().1
    }

    /// Whether the client was thrown out, so that its presence needs no grace.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Kicked | Self::Revoked | Self::Forbidden)
    }
}

/// What a server answers to a client's close frame: an echo of 1000 and of 3000–4999, else a bare
/// close (RFC 6455 §7.4: 1005, 1006 and 1015 must not be sent, and workerd refuses the others).
pub const fn echo_of(code: u16) -> Option<u16> {
    match code {
        1000 | 3000..=4999 => Some(code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_echoed_where_they_may_be() {
        for (code, echo) in [
            (1000, Some(1000)),
            (1001, None),
            (1005, None),
            (1006, None),
            (2999, None),
            (3000, Some(3000)),
            (4999, Some(4999)),
            (5000, None),
        ] {
            assert_eq!(echo_of(code), echo, "{code}");
        }
    }
}
