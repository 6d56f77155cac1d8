//! Clients' tokens, signed as an application's server would.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dialtone_core::{
    auth::{Claims, Grant},
    names::UserId,
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::agenda::T0;

/// `JWT_SECRET` of the simulated Worker.
pub const SECRET: &str = "a secret of the simulator, of more than 32 bytes";

/// A hundred days: no token runs out in a run.
const TTL_MS: u64 = 100 * 24 * 3_600_000;

/// A token of this user for these rooms, HS256.
pub fn token(user: &str, rooms: &[String]) -> String {
    let payload = serde_json::json!({
        "sub": user, "exp": T0.plus(TTL_MS).0 / 1000, "rooms": rooms,
    });
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

/// The same, verified, as the Worker hands it to an object.
pub fn claims(user: &str, rooms: &[String]) -> Claims {
    Claims {
        user: UserId::text(user).unwrap(),
        name: None,
        role: None,
        rooms: rooms.iter().map(|r| Grant::parse(r).unwrap()).collect(),
        rooms_read: Vec::new(),
        expires_at: T0.plus(TTL_MS),
    }
}
