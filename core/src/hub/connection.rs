//! One wire.

use serde::{Deserialize, Serialize};

use super::{
    ConnectionId,
    rate::Bucket,
    runs::{Append, Run, Runs},
};
use crate::{
    auth::Claims,
    limits::{MAX_UNREAD_BYTES, READ_TIMEOUT_MS, TOKEN_LEEWAY_MS},
    names::Timestamp,
    wire::{Access, Door},
};

/// What a socket keeps through hibernation (workerd allows 16 KiB).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Which connection this is.
    pub connection: ConnectionId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// What is spoken on it.
    pub wire: Wire,
}

/// What is spoken on a wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// JSON objects (CONTRACT "Plain WebSocket").
    Plain(Plain),
    /// Engine.IO, as this session's transport.
    Engine {
        /// The session.
        sid: String,
        /// What its handshake said, but for the claims: those are in SQLite.
        door: Door,
    },
    /// Engine.IO, while the session of this sid is about to be upgraded to it.
    Probe(String),
    /// No WebSocket: the polling transport of the session of this sid. Never stored.
    Polling(String),
}

/// A plain WebSocket. The token's grants are not in it: what they gave is in `access`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plain {
    /// Whose, without the grants.
    pub claims: Claims,
    /// What they may do here.
    pub access: Access,
    /// `?batch=1`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub batch: bool,
}

impl Attachment {
    /// The attachment as it is stored with the socket.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a stored attachment; none if another version wrote it, whose socket is then closed.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The Engine.IO session that speaks on this wire.
    pub fn sid(&self) -> Option<&str> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Engine { sid, .. } | Wire::Probe(sid) | Wire::Polling(sid) => Some(sid),
        }
    }
}

/// A connection: its attachment, and what may be lost.
#[derive(Debug)]
pub struct Connection {
    /// What survives hibernation.
    pub attachment: Attachment,
    /// What it gets in this turn.
    pub(super) run: Run,
    /// How much it may still send.
    pub rate: Bucket,
    /// How many bytes it was sent since it was last measured how many wait for it.
    pub(super) unmeasured_bytes: usize,
    /// Since when more wait for it than may.
    pub(super) behind_since: Option<Timestamp>,
    /// It came in this turn: it is told who is here, not who came.
    pub is_new: bool,
}

impl Connection {
    /// A connection as its attachment describes it.
    pub fn new(attachment: Attachment) -> Self {
        Self {
            attachment,
            run: 0,
            rate: Bucket::default(),
            unmeasured_bytes: 0,
            behind_since: None,
            is_new: false,
        }
    }

    /// The plain socket that it is.
    pub fn plain(&self) -> Option<&Plain> {
        match &self.attachment.wire {
            Wire::Plain(plain) => Some(plain),
            _ => None,
        }
    }

    /// So many bytes wait for it in the runtime. True if it does not read, and is to be closed.
    pub fn is_too_slow(&mut self, waiting: usize, now: Timestamp) -> bool {
        if waiting <= MAX_UNREAD_BYTES {
            self.behind_since = None;
            return false;
        }
        let since = *self.behind_since.get_or_insert(now);
        since.plus(READ_TIMEOUT_MS) <= now
    }

    /// It gets one frame more.
    pub(super) fn append(
        &mut self,
        id: ConnectionId,
        append: &mut Append,
        runs: &mut Runs,
        pending: &mut Vec<ConnectionId>,
    ) {
        if self.run == 0 {
            pending.push(id);
        }
        self.run = runs.append(append, self.run);
    }

    pub(super) fn is_batched(&self) -> bool {
        self.plain().is_some_and(|plain| plain.batch)
    }

    /// When its token runs out.
    pub fn closes_at(&self) -> Option<Timestamp> {
        let plain = self.plain()?;
        Some(end_of(&plain.claims, self.attachment.opened_at))
    }
}

/// When what was opened with these claims is closed. A token that was accepted within the leeway
/// lives as long as that.
pub fn end_of(claims: &Claims, opened_at: Timestamp) -> Timestamp {
    if claims.expires_at > opened_at {
        claims.expires_at
    } else {
        claims.expires_at.plus(TOKEN_LEEWAY_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::UserId;

    #[test]
    fn the_attachment_is_pinned() {
        let claims = Claims {
            user: UserId::integer(7),
            name: Some("Ann".to_owned()),
            role: Some("admin".to_owned()),
            rooms: vec![],
            rooms_read: vec![],
            expires_at: Timestamp(5),
        };
        let claims_json = serde_json::to_string(&claims).unwrap();
        let plain = Wire::Plain(Plain {
            claims,
            access: Access::Read,
            batch: true,
        });
        let engine = Wire::Engine {
            sid: "lobby:0.x".to_owned(),
            door: Door {
                recovery: true,
                ..Door::default()
            },
        };
        for (wire, wire_json) in [
            (
                plain,
                format!(r#"{{"plain":{{"claims":{claims_json},"access":"read","batch":true}}}}"#),
            ),
            (
                engine,
                r#"{"engine":{"sid":"lobby:0.x","door":{"recovery":true}}}"#.to_owned(),
            ),
            (Wire::Probe("s".to_owned()), r#"{"probe":"s"}"#.to_owned()),
        ] {
            let attachment = Attachment {
                connection: ConnectionId(3),
                opened_at: Timestamp(4),
                wire,
            };
            let json = format!(r#"{{"connection":3,"opened_at":4,"wire":{wire_json}}}"#);
            assert_eq!(attachment.to_json(), json);
            assert_eq!(Attachment::from_json(&json), Some(attachment));
        }
        assert_eq!(Attachment::from_json("{}"), None);
    }
}
