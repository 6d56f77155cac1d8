//! Names that are not plain strings and numbers: parsed once, at the edge, and trusted after.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::limits::{MAX_KIND_LEN, MAX_ROOM_ID_LEN, MAX_USER_ID_LEN};

/// Milliseconds since the Unix epoch. Core never reads a clock: it is told.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// `self` + `ms`.
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// `self` − `ms`, not below zero.
    pub const fn minus(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// RFC 3339 in UTC with milliseconds: `2026-01-05T10:00:00.000Z`.
    pub fn rfc3339(self) -> String {
        i64::try_from(self.0)
            .ok()
            .and_then(chrono::DateTime::from_timestamp_millis)
            .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
            .unwrap_or_default()
    }
}

/// Why a name is not one. It does not repeat the name: that came from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A room's name.
    #[error(
        "a room is named kind:id; kind is [a-z][a-z0-9-]{{0,31}}, id is 1 to 128 of [A-Za-z0-9_.@+:-]"
    )]
    Room,
    /// A user's id.
    #[error("a user id is an integer or 1 to 128 bytes of text without control characters")]
    User,
    /// A stream position.
    #[error("a position is written epoch:offset")]
    Position,
}

/// A room's name, `kind:id` (DESIGN §4). Valid by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName {
    name: String,
    kind_len: usize,
}

impl RoomName {
    /// Parses `kind:id`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let (kind, id) = name.split_once(':').ok_or(NameError::Room)?;
        let mut letters = kind.bytes();
        let kind_ok = letters.next().is_some_and(|b| b.is_ascii_lowercase())
            && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && kind.len() <= MAX_KIND_LEN;
        let id_ok = (1..=MAX_ROOM_ID_LEN).contains(&id.len()) && id.bytes().all(is_id_byte);
        if kind_ok && id_ok {
            Ok(Self {
                name: name.to_owned(),
                kind_len: kind.len(),
            })
        } else {
            Err(NameError::Room)
        }
    }

    /// The room `kind:id`.
    pub fn new(kind: &str, id: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{kind}:{id}"))
    }

    /// A user's own room, and no other user's, whatever characters their ids have.
    pub fn user(user: &UserId) -> Result<Self, NameError> {
        Self::new("user", &own_id_of(user.as_str()))
    }

    /// The room of everyone in a namespace: `all:chat` for `/chat`, `all:.` for `/`.
    pub fn everyone(namespace: &str) -> Result<Self, NameError> {
        let name = namespace.strip_prefix('/').unwrap_or(namespace);
        Self::new("all", if name.is_empty() { "." } else { name })
    }

    /// A lobby.
    pub fn lobby(number: u32) -> Self {
        const KIND: &str = "lobby";
        Self {
            name: format!("{KIND}:{number}"),
            kind_len: KIND.len(),
        }
    }

    /// The part before the first colon.
    pub fn kind(&self) -> &str {
        self.name.get(..self.kind_len).unwrap_or_default()
    }

    /// The part after the first colon.
    pub fn id(&self) -> &str {
        self.name
            .get(self.kind_len.saturating_add(1)..)
            .unwrap_or_default()
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

const fn is_id_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b'+' | b':' | b'-')
}

/// A user's id as the `id` of their room. Most are what they are; where characters may not stand there
/// they are `:` and two hexadecimal digits a byte, after a `:` in front (`auth0|7` is `:auth0:7C7`), and
/// what is too long then is a `:` and its hash. No two users' are the same.
fn own_id_of(text: &str) -> String {
    if !text.starts_with(':') && text.bytes().all(is_id_byte) {
        return text.to_owned();
    }
    let mut id = String::from(":");
    for byte in text.bytes() {
        if is_id_byte(byte) && byte != b':' {
            id.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(id, ":{byte:02X}");
        }
    }
    if id.len() <= MAX_ROOM_ID_LEN {
        return id;
    }
    // An id that was spelt out has a second colon.
    let mut id = String::from(":");
    for byte in Sha256::digest(text) {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// Text as the `id` of a room: other characters become `_`, and what is too long is cut. Lossy by
/// design, for addresses that others invent (an alphanumeric sender `ACME Inc`); what was really
/// said stays in the payload.
pub fn id_of(text: &str) -> String {
    text.chars()
        .map(|c| {
            u8::try_from(c)
                .ok()
                .filter(|b| is_id_byte(*b))
                .map_or('_', char::from)
        })
        .take(MAX_ROOM_ID_LEN)
        .collect()
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for RoomName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for RoomName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A user's id. Ids that are integers in the token stay integers in payloads; `7` and `"7"` are the
/// same user.
#[derive(Debug, Clone)]
pub struct UserId {
    text: String,
    integer: bool,
}

impl UserId {
    /// From text, as in a path or a string claim.
    pub fn text(text: &str) -> Result<Self, NameError> {
        let ok = (1..=MAX_USER_ID_LEN).contains(&text.len()) && !text.chars().any(char::is_control);
        if ok {
            Ok(Self {
                text: text.to_owned(),
                integer: false,
            })
        } else {
            Err(NameError::User)
        }
    }

    /// From an integer claim.
    pub fn integer(id: i64) -> Self {
        Self {
            text: id.to_string(),
            integer: true,
        }
    }

    /// The id as text: what it is compared and stored by.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for UserId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for UserId {}
impl std::hash::Hash for UserId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<i64>() {
            Ok(id) if self.integer => serializer.serialize_i64(id),
            _ => serializer.serialize_str(&self.text),
        }
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand: an untagged enum makes an error for each kind that it is not, and ids are read in
        // thousands when an object wakes.
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = UserId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user's id: text or an integer")
            }

            fn visit_i64<E: de::Error>(self, id: i64) -> Result<UserId, E> {
                Ok(UserId::integer(id))
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<UserId, E> {
                let id = i64::try_from(id).map_err(|_| E::custom("not a number in range"))?;
                Ok(UserId::integer(id))
            }

            fn visit_f64<E: de::Error>(self, id: f64) -> Result<UserId, E> {
                whole(id).map(UserId::integer)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<UserId, E> {
                UserId::text(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// JSON has no integers: `7.0` is 7. Only as far as a parser that is off by a bit is not off by one.
fn whole<T: FromStr, E: de::Error>(number: f64) -> Result<T, E> {
    const EXACT: f64 = 1e15;
    // The text of a whole number is exact, where a cast may not be. `-0.0 + 0.0` is `0.0`.
    let text = || format!("{:.0}", number + 0.0);
    (number.fract() == 0.0 && number.abs() <= EXACT)
        .then(|| text().parse().ok())
        .flatten()
        .ok_or_else(|| E::custom("not a whole number in range"))
}

/// The place of a publication in its room's log: 1, 2, 3… without gaps; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Offset;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an offset")
            }

            fn visit_u64<E: de::Error>(self, offset: u64) -> Result<Offset, E> {
                Ok(Offset(offset))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Offset, E> {
                whole(number).map(Offset)
            }
        }
        deserializer.deserialize_u64(Visitor)
    }
}

impl Offset {
    /// The one after.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A room's life: random, made with the room. Offsets of different epochs do not compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(String);

impl Epoch {
    /// From 64 random bits.
    pub fn from_random(bits: u64) -> Self {
        Self(format!("{bits:016x}"))
    }

    /// As it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The epoch as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one publication for ever; written `epoch:offset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPosition {
    /// The room's life.
    pub epoch: Epoch,
    /// The place in it.
    pub offset: Offset,
}

impl StreamPosition {
    /// Parses `epoch:offset`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (epoch, offset) = text.split_once(':').ok_or(NameError::Position)?;
        // Any other epoch is well formed, too: it is simply not the room's.
        let epoch_ok = (1..=64).contains(&epoch.len());
        let offset_ok = !offset.is_empty() && offset.bytes().all(|b| b.is_ascii_digit());
        match offset.parse() {
            Ok(offset) if epoch_ok && offset_ok => Ok(Self {
                epoch: Epoch(epoch.to_owned()),
                offset: Offset(offset),
            }),
            _ => Err(NameError::Position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names_are_kind_and_id() {
        let long_kind = format!("{}:1", "k".repeat(33));
        let long_id = format!("k:{}", "i".repeat(129));
        for (name, expected) in [
            ("chat:42", Some(("chat", "42"))),
            (
                "sms:+1555:whatsapp:+1666",
                Some(("sms", "+1555:whatsapp:+1666")),
            ),
            ("a-1:A_.@+:-z", Some(("a-1", "A_.@+:-z"))),
            ("chat", None),
            ("chat:", None),
            (":1", None),
            ("Chat:1", None),
            ("1a:1", None),
            ("chat:a/b", None),
            ("chat:a b", None),
            ("chat:é", None),
            ("chat:\0", None),
            ("", None),
            (long_kind.as_str(), None),
            (long_id.as_str(), None),
        ] {
            let parsed = RoomName::parse(name).ok();
            assert_eq!(
                parsed.as_ref().map(|r| (r.kind(), r.id())),
                expected,
                "{name:?}"
            );
        }
    }

    #[test]
    fn an_integer_user_stays_an_integer_and_equals_its_text() {
        let user: UserId = serde_json::from_str("7").unwrap();
        assert_eq!(serde_json::to_string(&user).unwrap(), "7");
        assert_eq!(user, UserId::text("7").unwrap());
        let user: UserId = serde_json::from_str("\"7\"").unwrap();
        assert_eq!(serde_json::to_string(&user).unwrap(), "\"7\"");
        for bad in [
            "\"\"",
            "1.5",
            "null",
            "\"a\\u0000\"",
            "[]",
            "99999999999999999999",
        ] {
            assert!(serde_json::from_str::<UserId>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_user_has_a_room_of_their_own() {
        let long = "é".repeat(64);
        let longer = format!("{}a", "é".repeat(63));
        let hashed = format!(":{}", "0".repeat(64));
        let users = [
            "7",
            "ann",
            "auth0|7",
            "auth0_7",
            ":auth0:7C7",
            "auth0:7C7",
            "a/b",
            "a|b",
            "ann b",
            " ",
            "__",
            "张三",
            "李四",
            ":",
            "::",
            ":3A",
            ":a",
            "é",
            &long,
            &longer,
            &hashed,
        ];
        let rooms = users.map(|user| {
            let room = RoomName::user(&UserId::text(user).unwrap());
            room.unwrap_or_else(|error| panic!("{user}: {error}")).name
        });
        let distinct: std::collections::BTreeSet<&String> = rooms.iter().collect();
        assert_eq!(distinct.len(), users.len(), "{rooms:?}");
        assert_eq!(&rooms[..3], ["user:7", "user:ann", "user::auth0:7C7"]);
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        for (json, user, offset) in [
            ("7", Some(7), Some(7)),
            ("7.0", Some(7), Some(7)),
            ("70e-1", Some(7), Some(7)),
            ("-0.0", Some(0), Some(0)),
            ("-7.0", Some(-7), None),
            ("7.5", None, None),
            (
                "999999999999999.0",
                Some(999_999_999_999_999),
                Some(999_999_999_999_999),
            ),
            ("9007199254740993.0", None, None),
            ("9223372036854775808", None, Some(1 << 63)),
            ("-9223372036854775809", None, None),
            ("1e400", None, None),
        ] {
            let read: Option<UserId> = serde_json::from_str(json).ok();
            assert_eq!(read, user.map(UserId::integer), "{json}");
            let read: Option<Offset> = serde_json::from_str(json).ok();
            assert_eq!(read, offset.map(Offset), "{json}");
        }
    }

    #[test]
    fn positions_parse_or_not() {
        for (text, ok) in [
            ("abc:0", true),
            ("abc:12", true),
            ("abc:", false),
            (":1", false),
            ("abc:-1", false),
            ("abc:+1", false),
            ("abc:1:2", false),
            ("another-epoch:1", true),
            ("abc:99999999999999999999", false),
            ("", false),
        ] {
            assert_eq!(StreamPosition::parse(text).is_ok(), ok, "{text:?}");
        }
    }

    #[test]
    fn instants_are_rfc3339_with_milliseconds() {
        assert_eq!(
            Timestamp(1_767_607_200_000).rfc3339(),
            "2026-01-05T10:00:00.000Z"
        );
        assert_eq!(Timestamp(u64::MAX).rfc3339(), "");
    }

    #[test]
    fn addresses_of_others_become_ids() {
        assert_eq!(id_of("whatsapp:US.ABC"), "whatsapp:US.ABC");
        assert_eq!(id_of("ACME Inc/ü"), "ACME_Inc__");
    }
}
