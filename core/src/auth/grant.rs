//! A grant: one string of a token's `rooms` or `rooms_read` claim, either a room's exact name or the
//! beginning of one with a final `*`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::names::RoomName;

/// Rooms that nobody joins by name (DESIGN §4); no grant covers them, not even `*`.
const INTERNAL_KINDS: [&str; 2] = ["lobby", "all"];

/// Why a string grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a grant is a room's name, or the beginning of one with a final *")]
pub struct GrantError;

/// Which rooms a token opens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grant {
    /// One room: `chat:42`.
    Exact(RoomName),
    /// All rooms whose names begin so: `ticket:*`, `chat:4*`, `*`. Held without the `*`.
    Prefix(String),
}

impl Grant {
    /// Parses `chat:42`, `ticket:*`, `chat:4*` or `*`.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        match text.strip_suffix('*') {
            Some(prefix) if begins_a_name(prefix) => Ok(Self::Prefix(prefix.to_owned())),
            Some(_) => Err(GrantError),
            None => RoomName::parse(text)
                .map(Self::Exact)
                .map_err(|_| GrantError),
        }
    }

    /// Does it open this room?
    pub fn covers(&self, room: &RoomName) -> bool {
        !INTERNAL_KINDS.contains(&room.kind())
            && match self {
                Self::Exact(name) => name == room,
                Self::Prefix(prefix) => room.as_str().starts_with(prefix.as_str()),
            }
    }
}

/// Is there any room whose name begins with `prefix`? It is whole already, lacks its id, or lacks
/// the colon too.
fn begins_a_name(prefix: &str) -> bool {
    prefix.is_empty()
        || ["", "0", ":0"]
            .iter()
            .any(|rest| RoomName::parse(&format!("{prefix}{rest}")).is_ok())
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_grant_is_a_name_or_the_beginning_of_one() {
        let longest = format!("chat:{}*", "4".repeat(128));
        let too_long = format!("chat:{}*", "4".repeat(129));
        for (text, ok) in [
            ("chat:42", true),
            ("sms:+1555:*", true),
            ("ticket:*", true),
            ("chat:4*", true),
            ("tick*", true),
            ("*", true),
            (longest.as_str(), true),
            (too_long.as_str(), false),
            ("", false),
            ("chat", false),
            ("chat:", false),
            ("chat:*2", false),
            ("*:42", false),
            ("**", false),
            ("chat:**", false),
            ("Chat:*", false),
            (":*", false),
            ("1*", false),
            ("chat:a b*", false),
            (" chat:42", false),
            ("chat:é*", false),
        ] {
            let grant = Grant::parse(text);
            assert_eq!(grant.is_ok(), ok, "{text:?}");
            if let Ok(grant) = grant {
                let json = serde_json::to_string(&grant).unwrap();
                assert_eq!(json, format!("{text:?}"));
                assert_eq!(serde_json::from_str::<Grant>(&json).unwrap(), grant);
            }
        }
    }

    #[test]
    fn a_grant_covers_what_it_names_and_nothing_internal() {
        for (grant, room, expected) in [
            ("chat:42", "chat:42", true),
            ("chat:42", "chat:421", false),
            ("chat:42", "chat:4", false),
            ("chat:4*", "chat:4", true),
            ("chat:4*", "chat:421", true),
            ("chat:4*", "chat:5", false),
            ("ticket:*", "ticket:7", true),
            ("ticket:*", "tickets:7", false),
            ("tick*", "tickets:7", true),
            ("*", "a:b", true),
            ("*", "lobby:0", false),
            ("lobby:0", "lobby:0", false),
            ("all:*", "all:chat", false),
            ("*", "lobby-x:0", true),
        ] {
            let covers = Grant::parse(grant)
                .unwrap()
                .covers(&RoomName::parse(room).unwrap());
            assert_eq!(covers, expected, "{grant} covers {room}");
        }
    }

    proptest! {
        #[test]
        fn no_string_panics(text in any::<String>(), near in "[a-z*:]{0,12}") {
            for text in [text, near] {
                if let Ok(grant) = Grant::parse(&text) {
                    prop_assert_eq!(grant.to_string(), text);
                }
            }
        }
    }
}
