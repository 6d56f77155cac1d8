//! What a token says, once its signature is known to be good (CONTRACT "Token").

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::grant::Grant;
use super::token::{Signed, TokenError};
use crate::limits::{MAX_GRANTS, MAX_NAME_LEN, TOKEN_LEEWAY_MS};
use crate::names::{RoomName, Timestamp, UserId};

/// The last instant of a JavaScript `Date`. A later `exp` is brought down to it, so that alarms can
/// be set for any `expires_at`.
const LAST_INSTANT_MS: u64 = 8_640_000_000_000_000;

/// Who someone is and what they may do. Goes into internal requests and sockets' attachments, so its
/// JSON is a stored format: changing it needs a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub user: UserId,
    /// A name to show, at most [`MAX_NAME_LEN`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `admin`, `lsm`, `customer`, `provider`, `service`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Rooms to join and send to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<Grant>,
    /// Rooms to join without sending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms_read: Vec<Grant>,
    /// The token's `exp`, without leeway. A connection does not outlive it.
    pub expires_at: Timestamp,
}

impl Claims {
    /// Is this the token's role?
    pub fn has_role(&self, role: &str) -> bool {
        self.role.as_deref() == Some(role)
    }

    /// Does the token open this room for reading and writing?
    pub fn grants_send(&self, room: &RoomName) -> bool {
        self.rooms.iter().any(|grant| grant.covers(room))
    }

    /// Does the token open this room, if only for reading?
    pub fn grants_join(&self, room: &RoomName) -> bool {
        self.grants_send(room) || self.rooms_read.iter().any(|grant| grant.covers(room))
    }
}

/// What a token must say to be accepted.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The `iss` it must have.
    pub issuer: Option<String>,
    /// The `aud` it must have.
    pub audience: Option<String>,
    /// The claim that is the user id.
    pub user_claim: String,
}

impl Rules {
    /// Checks the claims of a signed token. [`TokenError::Expired`] comes last: a client that gets it
    /// needs a fresh token and nothing else.
    pub fn check(&self, token: &Signed, now: Timestamp) -> Result<Claims, TokenError> {
        let payload: Map<String, Value> = serde_json::from_slice(token.payload())
            .map_err(|_| TokenError::Malformed("its claims are not a JSON object"))?;
        self.check_parties(&payload)?;
        let claims = Claims {
            user: user(&payload, &self.user_claim)?,
            name: text(&payload, "name")?.map(|name| name.chars().take(MAX_NAME_LEN).collect()),
            role: text(&payload, "role")?.map(str::to_owned),
            rooms: grants(&payload, "rooms")?,
            rooms_read: grants(&payload, "rooms_read")?,
            expires_at: instant(&payload, "exp")?
                .ok_or_else(|| TokenError::claim("exp", "is missing"))?,
        };
        check_grant_count(&payload)?;
        if instant(&payload, "nbf")?.is_some_and(|nbf| now.plus(TOKEN_LEEWAY_MS) < nbf) {
            return Err(TokenError::NotYetValid);
        }
        if now >= claims.expires_at.plus(TOKEN_LEEWAY_MS) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    /// `iss` and `aud` are required once configured; `aud` is a string or an array (RFC 7519
    /// §4.1.3).
    fn check_parties(&self, payload: &Map<String, Value>) -> Result<(), TokenError> {
        if let Some(issuer) = &self.issuer
            && payload.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(TokenError::claim("iss", "is not the issuer trusted here"));
        }
        let Some(audience) = &self.audience else {
            return Ok(());
        };
        let named = |value: &Value| value.as_str() == Some(audience);
        match payload.get("aud") {
            Some(Value::Array(audiences)) if audiences.iter().any(named) => Ok(()),
            Some(value) if named(value) => Ok(()),
            _ => Err(TokenError::claim("aud", "does not name this service")),
        }
    }
}

fn user(payload: &Map<String, Value>, claim: &str) -> Result<UserId, TokenError> {
    match payload.get(claim) {
        Some(Value::String(id)) => UserId::text(id).ok(),
        Some(Value::Number(id)) => id.as_i64().map(UserId::integer),
        _ => None,
    }
    .ok_or_else(|| {
        TokenError::claim(
            claim,
            "must be the user's id: an integer or 1 to 128 bytes of text",
        )
    })
}

/// Optional text; `null` and nothing are the same.
fn text<'p>(payload: &'p Map<String, Value>, claim: &str) -> Result<Option<&'p str>, TokenError> {
    match payload.get(claim) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(TokenError::claim(claim, "must be a string")),
    }
}

/// A list of grants. One that is malformed grants nothing and costs nothing; one that is no string
/// means that whoever made the token had something else in mind.
fn grants(payload: &Map<String, Value>, claim: &str) -> Result<Vec<Grant>, TokenError> {
    let problem = || TokenError::claim(claim, "must be an array of strings");
    let entries = match payload.get(claim) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_array().ok_or_else(problem)?,
    };
    let texts: Option<Vec<&str>> = entries.iter().map(Value::as_str).collect();
    let texts = texts.ok_or_else(problem)?;
    Ok(texts
        .into_iter()
        .filter_map(|text| Grant::parse(text).ok())
        .collect())
}

/// Counts malformed grants too.
fn check_grant_count(payload: &Map<String, Value>) -> Result<(), TokenError> {
    let count = |claim| {
        payload
            .get(claim)
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    if count("rooms").saturating_add(count("rooms_read")) > MAX_GRANTS {
        Err(TokenError::TooManyGrants)
    } else {
        Ok(())
    }
}

/// A NumericDate (RFC 7519 §2): seconds, perhaps with a fraction, of any size.
fn instant(payload: &Map<String, Value>, claim: &str) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = payload.get(claim) else {
        return Ok(None);
    };
    let Value::Number(seconds) = value else {
        return Err(TokenError::claim(claim, "must be a number of seconds"));
    };
    let ms = match (seconds.as_u64(), seconds.as_f64()) {
        (Some(seconds), _) => seconds.saturating_mul(1000),
        // To the nearest millisecond: 5.001 is a little less than that in binary.
        (None, Some(seconds)) if seconds > 0.0 => Duration::try_from_secs_f64(seconds)
            .ok()
            .map(|since| since.saturating_add(Duration::from_micros(500)))
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .unwrap_or(u64::MAX),
        _ => 0,
    };
    Ok(Some(Timestamp(ms.min(LAST_INSTANT_MS))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::Unverified;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// 2026-01-05T10:00:00Z, in seconds.
    const NOW: u64 = 1_767_607_200;

    /// Claims as if their signature had been checked.
    fn signed(payload: &str) -> Signed {
        let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.", URL_SAFE_NO_PAD.encode(payload));
        Unverified::parse(&token).unwrap().signature_matches()
    }

    fn check(rules: &Rules, payload: &str) -> Result<Claims, TokenError> {
        rules.check(&signed(payload), Timestamp(NOW * 1000))
    }

    fn rules(issuer: Option<&str>, audience: Option<&str>, user_claim: &str) -> Rules {
        Rules {
            issuer: issuer.map(str::to_owned),
            audience: audience.map(str::to_owned),
            user_claim: user_claim.to_owned(),
        }
    }

    fn claim_error(claim: &str, problem: &'static str) -> TokenError {
        TokenError::claim(claim, problem)
    }

    #[test]
    fn the_stored_json_is_pinned() {
        let full = Claims {
            user: UserId::integer(7),
            name: Some("Ada".to_owned()),
            role: Some("admin".to_owned()),
            rooms: vec![Grant::parse("chat:*").unwrap()],
            rooms_read: vec![Grant::parse("ticket:7").unwrap()],
            expires_at: Timestamp(1_767_607_200_000),
        };
        let bare = Claims {
            user: UserId::text("u1").unwrap(),
            name: None,
            role: None,
            rooms: vec![],
            rooms_read: vec![],
            expires_at: Timestamp(1),
        };
        for (claims, json) in [
            (
                full,
                r#"{"user":7,"name":"Ada","role":"admin","rooms":["chat:*"],"rooms_read":["ticket:7"],"expires_at":1767607200000}"#,
            ),
            (bare, r#"{"user":"u1","expires_at":1}"#),
        ] {
            assert_eq!(serde_json::to_string(&claims).unwrap(), json);
            assert_eq!(serde_json::from_str::<Claims>(json).unwrap(), claims);
        }
    }

    #[test]
    fn times_are_checked_with_leeway() {
        let cases = [
            // exp is at 10:00:05 with the leeway, exclusive.
            (r#""exp":1767607200"#, Ok(1_767_607_200_000)),
            (r#""exp":1767607196"#, Ok(1_767_607_196_000)),
            (r#""exp":1767607195"#, Err(TokenError::Expired)),
            (r#""exp":1767607195.001"#, Ok(1_767_607_195_001)),
            (r#""exp":1767607200.75"#, Ok(1_767_607_200_750)),
            (r#""exp":1.7676072e9"#, Ok(1_767_607_200_000)),
            (r#""exp":0"#, Err(TokenError::Expired)),
            (r#""exp":-1"#, Err(TokenError::Expired)),
            (r#""exp":-1e300"#, Err(TokenError::Expired)),
            (r#""exp":1e300"#, Ok(LAST_INSTANT_MS)),
            (r#""exp":18446744073709551615"#, Ok(LAST_INSTANT_MS)),
            (r#""exp":99999999999999999999999"#, Ok(LAST_INSTANT_MS)),
            (
                r#""exp":1e999"#,
                Err(TokenError::Malformed("its claims are not a JSON object")),
            ),
            (r#""exp":1,"exp":1767607201"#, Ok(1_767_607_201_000)),
            (r#""iat":1"#, Err(claim_error("exp", "is missing"))),
            (
                r#""exp":"1767607200""#,
                Err(claim_error("exp", "must be a number of seconds")),
            ),
            (
                r#""exp":null"#,
                Err(claim_error("exp", "must be a number of seconds")),
            ),
            (
                r#""exp":1767607300,"nbf":1767607205"#,
                Ok(1_767_607_300_000),
            ),
            (
                r#""exp":1767607300,"nbf":1767607205.001"#,
                Err(TokenError::NotYetValid),
            ),
            (
                r#""exp":1767607300,"nbf":1e300"#,
                Err(TokenError::NotYetValid),
            ),
            (r#""exp":1767607300,"nbf":-5"#, Ok(1_767_607_300_000)),
            (
                r#""exp":1767607300,"nbf":null"#,
                Err(claim_error("nbf", "must be a number of seconds")),
            ),
        ];
        for (times, expected) in cases {
            let payload = format!(r#"{{"sub":"u",{times}}}"#);
            let expires = check(&rules(None, None, "sub"), &payload).map(|c| c.expires_at.0);
            assert_eq!(expires, expected, "{times}");
        }
    }

    #[test]
    fn a_late_clock_does_not_overflow() {
        let token = signed(r#"{"sub":"u","exp":1e300,"nbf":1}"#);
        let result = rules(None, None, "sub").check(&token, Timestamp(u64::MAX));
        assert_eq!(result, Err(TokenError::Expired));
    }

    #[test]
    fn the_user_is_the_configured_claim() {
        let long = format!(r#""{}""#, "u".repeat(129));
        let lowest = i64::MIN.to_string();
        for (value, expected) in [
            (r#""u1""#, Some(r#""u1""#)),
            (r#""auth0|7""#, Some(r#""auth0|7""#)),
            ("7", Some("7")),
            ("-7", Some("-7")),
            (r#""7""#, Some(r#""7""#)),
            (lowest.as_str(), Some(lowest.as_str())),
            ("9223372036854775808", None),
            ("7.0", None),
            ("true", None),
            ("null", None),
            ("[]", None),
            (r#""""#, None),
            (r#""a\u0000""#, None),
            (long.as_str(), None),
        ] {
            for claim in ["sub", "userId", "https://id.example/user"] {
                let payload = format!(r#"{{"{claim}":{value},"exp":{NOW}}}"#);
                let result = check(&rules(None, None, claim), &payload);
                if expected.is_none() {
                    let problem = "must be the user's id: an integer or 1 to 128 bytes of text";
                    assert_eq!(result, Err(claim_error(claim, problem)), "{payload}");
                } else {
                    let user = serde_json::to_string(&result.unwrap().user).unwrap();
                    assert_eq!(Some(user.as_str()), expected, "{payload}");
                }
            }
        }
        let payload = format!(r#"{{"sub":"u","exp":{NOW}}}"#);
        assert!(check(&rules(None, None, "userId"), &payload).is_err());
    }

    #[test]
    fn issuer_and_audience_are_required_once_configured() {
        let strict = rules(Some("me"), Some("here"), "sub");
        for (parties, bad) in [
            (r#","iss":"me","aud":"here""#, None),
            (r#","iss":"me","aud":["there","here"]"#, None),
            (r#","iss":"me","aud":[1,"here"]"#, None),
            (r#","iss":"me","aud":["there"]"#, Some("aud")),
            (r#","iss":"me","aud":[]"#, Some("aud")),
            (r#","iss":"me","aud":[["here"]]"#, Some("aud")),
            (r#","iss":"me","aud":{"here":"here"}"#, Some("aud")),
            (r#","iss":"me","aud":"HERE""#, Some("aud")),
            (r#","iss":"me","aud":"hereafter""#, Some("aud")),
            (r#","iss":"me""#, Some("aud")),
            (r#","aud":"here""#, Some("iss")),
            (r#","iss":"you","aud":"here""#, Some("iss")),
            (r#","iss":["me"],"aud":"here""#, Some("iss")),
            (r#","iss":null,"aud":"here""#, Some("iss")),
        ] {
            let payload = format!(r#"{{"sub":"u","exp":{NOW}{parties}}}"#);
            let claim = match check(&strict, &payload) {
                Ok(_) => None,
                Err(TokenError::Claim { claim, .. }) => Some(claim),
                Err(error) => panic!("{parties}: {error}"),
            };
            assert_eq!(claim.as_deref(), bad, "{parties}");
            assert!(
                check(&rules(None, None, "sub"), &payload).is_ok(),
                "{parties}"
            );
        }
    }

    #[test]
    fn names_roles_and_grants_have_their_types() {
        let strings = "must be an array of strings";
        for (extra, expected) in [
            (
                r#""name":"Ada","role":"lsm""#,
                Ok((Some("Ada"), Some("lsm"), "", "")),
            ),
            (r#""name":null,"role":null"#, Ok((None, None, "", ""))),
            (r#""name":"","role":"""#, Ok((None, None, "", ""))),
            (r#""name":7"#, Err(claim_error("name", "must be a string"))),
            (
                r#""role":["admin"]"#,
                Err(claim_error("role", "must be a string")),
            ),
            (
                r#""rooms":["chat:*","ticket:7"],"rooms_read":["*"]"#,
                Ok((None, None, "chat:* ticket:7", "*")),
            ),
            (
                r#""rooms":["*:1","chat:42","Chat:1","",  "a*b"]"#,
                Ok((None, None, "chat:42", "")),
            ),
            (r#""rooms":[],"rooms_read":null"#, Ok((None, None, "", ""))),
            (r#""rooms":"chat:*""#, Err(claim_error("rooms", strings))),
            (
                r#""rooms":{"0":"chat:*"}"#,
                Err(claim_error("rooms", strings)),
            ),
            (
                r#""rooms":["chat:*",7]"#,
                Err(claim_error("rooms", strings)),
            ),
            (
                r#""rooms_read":[null]"#,
                Err(claim_error("rooms_read", strings)),
            ),
        ] {
            let payload = format!(r#"{{"sub":"u","exp":{NOW},{extra}}}"#);
            let result = check(&rules(None, None, "sub"), &payload);
            let join = |grants: &[Grant]| {
                let texts: Vec<String> = grants.iter().map(Grant::to_string).collect();
                texts.join(" ")
            };
            let result = result.map(|c| (c.name, c.role, join(&c.rooms), join(&c.rooms_read)));
            let expected = expected.map(|(name, role, rooms, read)| {
                (
                    name.map(str::to_owned),
                    role.map(str::to_owned),
                    rooms.to_owned(),
                    read.to_owned(),
                )
            });
            assert_eq!(result, expected, "{extra}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_too_many_grants_are_refused() {
        let name = "é".repeat(MAX_NAME_LEN + 1);
        let grants = |count| vec![r#""chat:1""#; count].join(",");
        let payload = |rooms: usize, read: usize| {
            let (rooms, read) = (grants(rooms), grants(read));
            format!(
                r#"{{"sub":"u","exp":{NOW},"name":"{name}","rooms":[{rooms}],"rooms_read":[{read}]}}"#
            )
        };
        let rules = rules(None, None, "sub");
        let claims = check(&rules, &payload(MAX_GRANTS - 1, 1)).unwrap();
        assert_eq!(claims.name.unwrap().chars().count(), MAX_NAME_LEN);
        assert_eq!(
            check(&rules, &payload(MAX_GRANTS, 1)),
            Err(TokenError::TooManyGrants)
        );
    }

    #[test]
    fn rooms_open_both_ways_and_rooms_read_one_way() {
        let payload = format!(
            r#"{{"sub":"u","exp":{NOW},"role":"admin","rooms":["chat:*"],"rooms_read":["ticket:7"]}}"#
        );
        let claims = check(&rules(None, None, "sub"), &payload).unwrap();
        assert!(claims.has_role("admin") && !claims.has_role("Admin") && !claims.has_role(""));
        for (room, join, send) in [
            ("chat:1", true, true),
            ("ticket:7", true, false),
            ("ticket:8", false, false),
        ] {
            let room = RoomName::parse(room).unwrap();
            assert_eq!(
                (claims.grants_join(&room), claims.grants_send(&room)),
                (join, send),
                "{room}"
            );
        }
    }
}
