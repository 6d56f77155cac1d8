//! Public keys, as JSON Web Keys (RFC 7517, 7518 §6, 8037 §2).
//!
//! The numbers in them are the runtime's to understand: it says of a point that is off its curve that
//! nothing is signed with it. Here is decided which keys are tried at all, and for what.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::token::Algorithm;
use crate::limits::{MAX_JWKS_KEYS, MAX_RSA_MODULUS_BYTES, MIN_RSA_MODULUS_BYTES};

/// Why a JWK cannot verify tokens; goes on from "key 2".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JwkError(&'static str);

/// A key from `JWT_PUBLIC_KEYS` or a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kid: Option<String>,
    algorithm: Algorithm,
    jwk: String,
}

/// The members of a JWK (RFC 7517 §4) that concern us. Those that are the key itself are kept.
#[derive(Serialize, Deserialize)]
struct Jwk {
    #[serde(skip_serializing)]
    kid: Option<String>,
    #[serde(skip_serializing)]
    alg: Option<String>,
    #[serde(skip_serializing)]
    r#use: Option<String>,
    #[serde(skip_serializing)]
    key_ops: Option<Vec<String>>,
    #[serde(skip_serializing)]
    d: Option<Value>,
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
}

impl PublicKey {
    /// From a JWK: P-256, Ed25519, or RSA with 2048 bits or more. A key that is for something else
    /// (`use`, `key_ops`, `alg`) is refused, and so are a private one and a shared secret.
    pub fn from_jwk(jwk: &Value) -> Result<Self, JwkError> {
        let jwk =
            Jwk::deserialize(jwk).map_err(|_| JwkError("is not a JWK: `kty` must say its type"))?;
        if jwk.d.is_some() {
            return Err(JwkError("is a private key; give the public one only"));
        }
        let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
        if jwk.r#use.as_deref().is_some_and(|usage| usage != "sig")
            || !jwk.key_ops.as_ref().is_none_or(verifies)
        {
            return Err(JwkError("is not for verifying signatures"));
        }
        let algorithm = jwk.algorithm()?;
        let named = jwk.alg.as_deref().map(Algorithm::parse);
        if named.is_some_and(|named| named != Some(algorithm)) {
            return Err(JwkError("has an `alg` other than ES256, EdDSA and RS256"));
        }
        let json = serde_json::to_string(&jwk).unwrap_or_default();
        Ok(Self {
            kid: jwk.kid,
            algorithm,
            jwk: json,
        })
    }

    /// What it verifies.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its `kid`.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The JSON of a JWK with its type and its numbers, and nothing else.
    pub fn jwk(&self) -> &str {
        &self.jwk
    }
}

impl Jwk {
    fn algorithm(&self) -> Result<Algorithm, JwkError> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) if has_32_bytes(&self.x) && has_32_bytes(&self.y) => {
                Ok(Algorithm::Es256)
            }
            ("EC", _) => Err(JwkError("is not a key on the curve P-256")),
            ("OKP", Some("Ed25519")) if has_32_bytes(&self.x) => Ok(Algorithm::EdDsa),
            ("OKP", _) => Err(JwkError("is not an Ed25519 key")),
            ("RSA", _) if self.is_rsa() => Ok(Algorithm::Rs256),
            ("RSA", _) => Err(JwkError("is not an RSA key of 2048 to 8192 bits")),
            ("oct", _) => Err(JwkError("is a shared secret; that is JWT_SECRET's place")),
            _ => Err(JwkError("has a type that is not known here")),
        }
    }

    /// The exponent is odd and not 1: to the power of 1 everything is its own signature.
    fn is_rsa(&self) -> bool {
        let (Some(n), Some(e)) = (number(&self.n), number(&self.e)) else {
            return false;
        };
        let is_long_enough = n.len() > MIN_RSA_MODULUS_BYTES
            || n.len() == MIN_RSA_MODULUS_BYTES && n.first().is_some_and(|byte| *byte >= 0x80);
        let is_exponent = e.len() <= 8 && e != [1] && e.last().is_some_and(|byte| byte % 2 == 1);
        is_long_enough && n.len() <= MAX_RSA_MODULUS_BYTES && is_exponent
    }
}

fn bytes(text: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.as_deref()?).ok()
}

/// A coordinate is written at its full length (RFC 7518 §6.2.1.2).
fn has_32_bytes(text: &Option<String>) -> bool {
    bytes(text).is_some_and(|bytes| bytes.len() == 32)
}

/// A big-endian number, without leading zeros.
fn number(text: &Option<String>) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

/// The keys of a JWK set (RFC 7517 §5) that tokens can be verified with; the others are skipped. None if
/// the text is no such set.
pub fn read_set(text: &str) -> Option<Vec<PublicKey>> {
    let set: Value = serde_json::from_str(text).ok()?;
    let keys = set.get("keys")?.as_array()?.iter();
    let keys = keys.filter_map(|jwk| PublicKey::from_jwk(jwk).ok());
    Some(keys.take(MAX_JWKS_KEYS).collect())
}

#[cfg(test)]
mod tests;
