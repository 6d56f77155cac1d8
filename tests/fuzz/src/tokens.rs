//! Tokens, and the sets of keys that issuers publish.

use std::rc::Rc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dialtone_core::{
    auth::{KeySet, Keys, PublicKey, TokenError, Verdict, credentials, jwk},
    config::Config,
    names::{RoomName, Timestamp},
    object::Environment,
};
use dialtone_simulation::{agenda::T0, tokens::SECRET};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::text;

/// The configuration of all bodies, and more variables.
pub fn environment(more: &[(&str, &str)]) -> Rc<Environment> {
    let config = Config::read(|name| {
        let mut found = more.iter().filter(|(variable, _)| *variable == name);
        match (found.next(), name) {
            (Some((_, value)), _) => Some((*value).to_owned()),
            (None, "JWT_SECRET") => Some(SECRET.to_owned()),
            (None, "JWT_JWKS_URL") => Some("https://issuer.example/keys".to_owned()),
            (None, "TWILIO_ACCOUNT_SID") => Some(format!("AC{}", "1".repeat(32))),
            (None, "TWILIO_AUTH_TOKEN") => Some("token".to_owned()),
            (None, "EVENT_WEBHOOK_URL") => Some("https://backend.example/".to_owned()),
            (None, "EVENT_WEBHOOK_SECRET") => Some(format!("whsec_{}", "MfKQ9r8G".repeat(4))),
            (None, "OPEN_KINDS") => Some("ticket".to_owned()),
            (None, "HISTORY_MAX_MESSAGES") => Some("5".to_owned()),
            _ => None,
        }
    });
    let config = config.unwrap();
    let keys = Keys::new(&config.auth).unwrap();
    Rc::new(Environment { config, keys })
}

/// A token with this header and payload, signed with our secret.
fn signed(header: &str, payload: &[u8]) -> String {
    let input = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{input}.{signature}")
}

/// The token itself, as it would be found in each place; a payload that is well signed; a header over one.
pub fn tokens(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    thread_local!(static ENVIRONMENT: Rc<Environment> = environment(&[]));
    let keys = &ENVIRONMENT.with(Rc::clone).keys;

    let found = credentials::find_token(Some(text), Some(text), Some(text));
    assert!(found.is_none_or(|token| !token.is_empty()));
    credentials::answer_protocol(Some(text));
    judge(keys, text, false);

    match keys.begin(&signed(r#"{"alg":"HS256"}"#, bytes), T0) {
        Ok(Verdict::Good(claims)) => {
            for room in ["chat:1", "user:ann", "sms:+1:+2"] {
                let room = RoomName::parse(room).unwrap();
                assert!(claims.grants_join(&room) || !claims.grants_send(&room));
            }
            // It is kept with sockets and in rows.
            let json = serde_json::to_string(&claims).unwrap();
            assert_eq!(claims, serde_json::from_str(&json).unwrap());
        }
        Ok(Verdict::Open(_)) => panic!("HS256 is ours to check"),
        Err(error) => assert_ne!(error, TokenError::Signature),
    }
    judge(keys, &signed(text, br#"{"sub":"ann"}"#), true);
}

fn judge(keys: &Keys, token: &str, is_ours: bool) {
    match keys.begin(token, T0) {
        Ok(Verdict::Open(open)) => {
            let mut set = KeySet::default();
            keys.next(&mut set, &open, T0);
            set.fetched(None, T0);
            keys.next(&mut set, &open, T0);
            // Nobody has signed it.
            assert!(keys.finish(&set, open.into_owned(), false, T0).is_err());
        }
        Ok(Verdict::Good(_)) => assert!(is_ours, "{token}"),
        Err(_) => {}
    }
}

/// What an issuer answers: a set of keys, or whatever. A key that is taken is one that is taken again.
pub fn jwk_sets(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let read = jwk::read_set(text);
    let mut set = KeySet::default();
    set.fetched(Some(text), T0);
    assert_eq!(set.is_known(), read.is_some());
    set.next(true, Timestamp(u64::MAX));
    for key in read.into_iter().flatten() {
        let jwk = serde_json::from_str(key.jwk()).unwrap();
        let again = PublicKey::from_jwk(&jwk).unwrap();
        assert_eq!(again.jwk(), key.jwk());
    }
}
