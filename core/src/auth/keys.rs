//! The keys that tokens are verified with. What is computed follows from the key, never from the
//! token: a token only says which family it wants to be tried with (RFC 8725 §3.1).
//!
//! HS256, ES256 and EdDSA are computed here. RS256 is not: it would cost 146 KB of WebAssembly where
//! WebCrypto has it for nothing. RSA keys are accepted and validated; a caller that can wait checks
//! an RS256 token against [`Keys::candidates`] itself and goes on with
//! [`Unverified::signature_matches`] and [`Keys::check_claims`]. Until then such a token is refused.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::alg::{Ed25519, Es256, Hs256, Hs256Key};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm as Scheme, AlgorithmSignature};
use serde::Deserialize;
use serde_json::Value;

use super::claims::{Claims, Rules};
use super::token::{Algorithm, Signed, TokenError, Unverified};
use crate::config::{AuthConfig, ConfigError, Secret};
use crate::limits::MIN_JWT_SECRET_BYTES;
use crate::names::Timestamp;

/// RFC 7518 §3.3: 2048 bits or more.
const MIN_RSA_MODULUS_BYTES: usize = 256;

/// Why a JWK cannot verify tokens; goes on from "key 2".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JwkError(&'static str);

/// A key from `JWT_PUBLIC_KEYS` or a key set.
#[derive(Clone)]
pub struct PublicKey {
    kid: Option<String>,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Es256(<Es256 as Scheme>::VerifyingKey),
    EdDsa(<Ed25519 as Scheme>::VerifyingKey),
    Rs256(RsaKey),
}

/// An RSA public key, its numbers in base64url as in its JWK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsaKey {
    /// The modulus.
    pub n: String,
    /// The exponent.
    pub e: String,
}

/// The members of a JWK (RFC 7517 §4) that concern us beside the key itself.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    d: Option<Value>,
    n: Option<String>,
    e: Option<String>,
}

impl PublicKey {
    /// From a JWK: P-256, Ed25519, or RSA with 2048 bits or more. A key that is for something else
    /// (`use`, `key_ops`, `alg`) is refused, and so is a private one.
    pub fn from_jwk(jwk: &Value) -> Result<Self, JwkError> {
        let fields =
            Jwk::deserialize(jwk).map_err(|_| JwkError("is not a JWK: `kty` must say its type"))?;
        if fields.d.is_some() {
            return Err(JwkError("is a private key; give the public one only"));
        }
        let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
        if fields.r#use.as_deref().is_some_and(|usage| usage != "sig")
            || !fields.key_ops.as_ref().is_none_or(verifies)
        {
            return Err(JwkError("is not for verifying signatures"));
        }
        let key = match fields.kty.as_str() {
            "EC" => Key::Es256(parse(jwk, "is not a key on the curve P-256")?),
            "OKP" => Key::EdDsa(parse(jwk, "is not an Ed25519 key")?),
            "RSA" => Key::Rs256(RsaKey::from_jwk(&fields)?),
            "oct" => return Err(JwkError("is a shared secret; that is JWT_SECRET's place")),
            _ => return Err(JwkError("has a type that is not known here")),
        };
        let key = Self {
            kid: fields.kid,
            key,
        };
        match fields.alg {
            Some(alg) if Algorithm::parse(&alg) != Some(key.algorithm()) => {
                Err(JwkError("has an `alg` other than ES256, EdDSA and RS256"))
            }
            _ => Ok(key),
        }
    }

    /// What it verifies.
    pub const fn algorithm(&self) -> Algorithm {
        match self.key {
            Key::Es256(_) => Algorithm::Es256,
            Key::EdDsa(_) => Algorithm::EdDsa,
            Key::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Its `kid`.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The numbers of an RSA key, for WebCrypto.
    pub const fn rsa(&self) -> Option<&RsaKey> {
        match &self.key {
            Key::Rs256(key) => Some(key),
            Key::Es256(_) | Key::EdDsa(_) => None,
        }
    }

    fn signed(&self, token: &Unverified<'_>) -> bool {
        match &self.key {
            Key::Es256(key) => signed_by(&Es256, key, token),
            Key::EdDsa(key) => signed_by(&Ed25519, key, token),
            Key::Rs256(_) => false,
        }
    }
}

impl RsaKey {
    fn from_jwk(jwk: &Jwk) -> Result<Self, JwkError> {
        let number = |field: &Option<String>, min_len: usize| {
            field.clone().filter(|text| {
                URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| {
                    bytes.iter().skip_while(|byte| **byte == 0).count() >= min_len
                })
            })
        };
        match (number(&jwk.n, MIN_RSA_MODULUS_BYTES), number(&jwk.e, 1)) {
            (Some(n), Some(e)) => Ok(Self { n, e }),
            _ => Err(JwkError("is not an RSA key of 2048 bits or more")),
        }
    }
}

fn parse<K>(jwk: &Value, problem: &'static str) -> Result<K, JwkError>
where
    K: for<'k> TryFrom<&'k JsonWebKey<'k>>,
{
    let jwk = JsonWebKey::deserialize(jwk).map_err(|_| JwkError(problem))?;
    K::try_from(&jwk).map_err(|_| JwkError(problem))
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

/// Every key, and what a token must say.
#[derive(Debug, Clone)]
pub struct Keys {
    configured: bool,
    /// The current secret, then the previous one.
    secrets: Vec<Hs256Key>,
    public: Vec<PublicKey>,
    rules: Rules,
}

impl Keys {
    /// From the configuration. With no key at all it verifies nothing:
    /// [`TokenError::NotConfigured`].
    pub fn new(config: &AuthConfig) -> Result<Self, ConfigError> {
        let secrets = [
            ("JWT_SECRET", &config.secret),
            ("JWT_SECRET_PREVIOUS", &config.secret_previous),
        ];
        let secrets = secrets
            .into_iter()
            .filter_map(|(variable, secret)| Some(hs256_key(variable, secret.as_ref()?)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            configured: config.has_keys(),
            secrets,
            public: config.public_keys.clone(),
            rules: Rules {
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
                user_claim: config.user_claim.clone(),
            },
        })
    }

    /// Verifies a token: its form, its signature, its claims.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let token = self.check_signature(self.parse(token)?)?;
        self.check_claims(&token, now)
    }

    /// Step one: takes the token apart, if there is anything to verify it with.
    pub fn parse<'t>(&self, token: &'t str) -> Result<Unverified<'t>, TokenError> {
        if self.configured {
            Unverified::parse(token)
        } else {
            Err(TokenError::NotConfigured)
        }
    }

    /// Step two: checks the signature.
    pub fn check_signature(&self, token: Unverified<'_>) -> Result<Signed, TokenError> {
        let (tried, matches) = match token.algorithm {
            Algorithm::Hs256 => (
                !self.secrets.is_empty(),
                self.secrets
                    .iter()
                    .any(|secret| signed_by(&Hs256, secret, &token)),
            ),
            Algorithm::Es256 | Algorithm::EdDsa => {
                let keys = self.candidates(&token);
                (!keys.is_empty(), keys.iter().any(|key| key.signed(&token)))
            }
            Algorithm::Rs256 => (false, false),
        };
        match (tried, matches) {
            (true, true) => Ok(token.signature_matches()),
            (true, false) => Err(TokenError::Signature),
            (false, _) => Err(TokenError::NoKey),
        }
    }

    /// Step three: checks what the token says.
    pub fn check_claims(&self, token: &Signed, now: Timestamp) -> Result<Claims, TokenError> {
        self.rules.check(token, now)
    }

    /// The public keys that may have signed the token: those of its algorithm, and of these the ones
    /// with its `kid` if there are any.
    pub fn candidates(&self, token: &Unverified<'_>) -> Vec<&PublicKey> {
        let family = || {
            self.public
                .iter()
                .filter(|key| key.algorithm() == token.algorithm)
        };
        let named: Vec<_> = family()
            .filter(|key| key.kid.is_some() && key.kid == token.kid)
            .collect();
        if named.is_empty() {
            family().collect()
        } else {
            named
        }
    }
}

fn hs256_key(variable: &'static str, secret: &Secret) -> Result<Hs256Key, ConfigError> {
    if secret.len() < MIN_JWT_SECRET_BYTES {
        Err(ConfigError::new(
            variable,
            format!("must be at least {MIN_JWT_SECRET_BYTES} bytes long"),
        ))
    } else {
        Ok(Hs256Key::new(secret.as_bytes()))
    }
}

/// Whether `key` signed the token. The length is checked first: jwt-compact 0.8 leaves that to its
/// own validator and panics on a signature of another length. HMACs are compared in constant time.
fn signed_by<S: Scheme>(scheme: &S, key: &S::VerifyingKey, token: &Unverified<'_>) -> bool {
    let bytes = token.signature.as_slice();
    S::Signature::LENGTH.is_none_or(|length| length.get() == bytes.len())
        && S::Signature::try_from_slice(bytes).is_ok_and(|signature| {
            scheme.verify_signature(&signature, key, token.signing_input.as_bytes())
        })
}

#[cfg(test)]
mod tests;
