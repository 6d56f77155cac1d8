//! One wire.

use serde::{Deserialize, Serialize};

use super::{ConnectionId, rate::Bucket};
use crate::{auth::Claims, limits::TOKEN_LEEWAY_MS, names::Timestamp, wire::Access};

/// What a socket keeps through hibernation (workerd allows 16 KiB). The token's grants are not in
/// it: what they gave is in `access`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Which connection this is.
    pub connection: ConnectionId,
    /// Whose, without the grants.
    pub claims: Claims,
    /// What they may do here.
    pub access: Access,
    /// `?batch=1`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub batch: bool,
    /// When it was opened.
    pub opened_at: Timestamp,
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
}

/// A connection: its attachment, and what may be lost.
#[derive(Debug)]
pub struct Connection {
    /// What survives hibernation.
    pub attachment: Attachment,
    /// The frames of this turn.
    pub(super) pending: Vec<u32>,
    /// How much it may still send.
    pub rate: Bucket,
    /// Where in this turn's presence changes it came in; it knows those before.
    pub heard_presence_to: Option<(usize, usize)>,
}

impl Connection {
    /// A connection as its attachment describes it.
    pub fn new(attachment: Attachment) -> Self {
        Self {
            attachment,
            pending: Vec::new(),
            rate: Bucket::default(),
            heard_presence_to: None,
        }
    }

    /// When its token runs out. One that was accepted within the leeway lives as long as that.
    pub fn closes_at(&self) -> Timestamp {
        let expires_at = self.attachment.claims.expires_at;
        if expires_at > self.attachment.opened_at {
            expires_at
        } else {
            expires_at.plus(TOKEN_LEEWAY_MS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::UserId;

    #[test]
    fn the_attachment_is_pinned() {
        let attachment = Attachment {
            connection: ConnectionId(3),
            claims: Claims {
                user: UserId::integer(7),
                name: Some("Ann".to_owned()),
                role: Some("admin".to_owned()),
                rooms: vec![],
                rooms_read: vec![],
                expires_at: Timestamp(5),
            },
            access: Access::Read,
            batch: true,
            opened_at: Timestamp(4),
        };
        let claims = serde_json::to_string(&attachment.claims).unwrap();
        let json = format!(
            r#"{{"connection":3,"claims":{claims},"access":"read","batch":true,"opened_at":4}}"#
        );
        assert_eq!(attachment.to_json(), json);
        assert_eq!(Attachment::from_json(&json), Some(attachment));
        assert_eq!(Attachment::from_json("{}"), None);
    }
}
