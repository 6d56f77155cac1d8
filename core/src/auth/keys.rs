//! The keys that tokens are verified with. What is computed follows from the key, never from the
//! token: a token only says which family it wants to be tried with (RFC 8725 §3.1).
//!
//! HS256 is computed here. What public keys have signed (ES256, EdDSA, RS256) the runtime checks with
//! WebCrypto, which costs nothing to ship; everything else about such a token is decided here:
//!
//! ```text
//! begin ──► Claims                                           HS256
//!   └─────► Unverified ──► next ──► Fetch, Wait ─┐           the runtime does it; `next` again
//!                           ▲  └────────────────►┘
//!                           └─────► Check ──► finish ──► Claims
//! ```

use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{Algorithm as Scheme, AlgorithmSignature};

use super::claims::{Claims, Rules};
use super::jwk::PublicKey;
use super::key_set::{KeySet, Next};
use super::token::{Algorithm, Signed, TokenError, Unverified};
use crate::config::{AuthConfig, ConfigError, Secret};
use crate::limits::{MAX_CANDIDATE_KEYS, MIN_JWT_SECRET_BYTES};
use crate::names::Timestamp;

/// How far a token was judged without waiting.
#[derive(Debug)]
pub enum Verdict<'t> {
    /// It is good.
    Good(Claims),
    /// The runtime must check its signature: see [`Keys::next`].
    Open(Unverified<'t>),
}

/// What the runtime is to do for a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// GET this URL, say what came ([`KeySet::fetched`]), and ask again.
    Fetch(String),
    /// Somebody else does; ask again soon.
    Wait,
    /// Find out whether one of these keys has signed it, and say so ([`Keys::finish`]).
    Check(Vec<PublicKey>),
}

/// Every key, and what a token must say.
#[derive(Debug, Clone)]
pub struct Keys {
    configured: bool,
    /// The current secret, then the previous one.
    secrets: Vec<Hs256Key>,
    public: Vec<PublicKey>,
    jwks_url: Option<String>,
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
            jwks_url: config.jwks_url.clone(),
            rules: Rules {
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
                user_claim: config.user_claim.clone(),
            },
        })
    }

    /// Takes a token apart, and judges it if a secret of ours is to have signed it.
    pub fn begin<'t>(&self, token: &'t str, now: Timestamp) -> Result<Verdict<'t>, TokenError> {
        if !self.configured {
            return Err(TokenError::NotConfigured);
        }
        let token = Unverified::parse(token)?;
        if token.algorithm != Algorithm::Hs256 {
            return if self.public.is_empty() && self.jwks_url.is_none() {
                Err(TokenError::NoKey)
            } else {
                Ok(Verdict::Open(token))
            };
        }
        if self.secrets.is_empty() {
            return Err(TokenError::NoKey);
        }
        if !self.secrets.iter().any(|secret| signed_by(secret, &token)) {
            return Err(TokenError::Signature);
        }
        let claims = self.check_claims(&token.signature_matches(), now)?;
        Ok(Verdict::Good(claims))
    }

    /// What the runtime is to do next for an open token.
    pub fn next(&self, set: &mut KeySet, token: &Unverified<'_>, now: Timestamp) -> Step {
        if let Some(url) = &self.jwks_url {
            match set.next(self.lacks_key(set, token), now) {
                Next::Fetch => return Step::Fetch(url.clone()),
                Next::Wait => return Step::Wait,
                Next::Use => {}
            }
        }
        Step::Check(self.candidates(set, token).cloned().collect())
    }

    /// The judgement on an open token, `is_signed` by one of the keys of [`Step::Check`] or not.
    pub fn finish(
        &self,
        set: &KeySet,
        token: Unverified<'_>,
        is_signed: bool,
        now: Timestamp,
    ) -> Result<Claims, TokenError> {
        if is_signed {
            return self.check_claims(&token.signature_matches(), now);
        }
        let might_be = self.jwks_url.is_some() && !set.is_known() && self.lacks_key(set, &token);
        Err(match self.candidates(set, &token).next() {
            _ if might_be => TokenError::NoKeySet,
            None => TokenError::NoKey,
            Some(_) => TokenError::Signature,
        })
    }

    fn check_claims(&self, token: &Signed, now: Timestamp) -> Result<Claims, TokenError> {
        self.rules.check(token, now)
    }

    /// The public keys of a token's algorithm.
    fn family<'a>(
        &'a self,
        set: &'a KeySet,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a PublicKey> {
        let all = self.public.iter().chain(set.keys());
        all.filter(move |key| key.algorithm() == algorithm)
    }

    /// Whether the token's key may be one that only a newer key set has. Without a `kid` any set will do.
    fn lacks_key(&self, set: &KeySet, token: &Unverified<'_>) -> bool {
        match token.kid.as_deref() {
            Some(kid) => !self
                .family(set, token.algorithm)
                .any(|key| key.kid() == Some(kid)),
            None => !set.is_known(),
        }
    }

    /// The public keys that may have signed the token: those of its algorithm, and of these the ones
    /// with its `kid`; where there is none so named, those without a name.
    fn candidates<'a>(
        &'a self,
        set: &'a KeySet,
        token: &Unverified<'_>,
    ) -> impl Iterator<Item = &'a PublicKey> {
        let kid = token.kid.clone();
        let named = |key: &PublicKey| key.kid().is_some() && key.kid() == kid.as_deref();
        let is_named = self.family(set, token.algorithm).any(named);
        self.family(set, token.algorithm)
            .filter(move |key| match kid.as_deref() {
                None => true,
                Some(kid) if is_named => key.kid() == Some(kid),
                Some(_) => key.kid().is_none(),
            })
            .take(MAX_CANDIDATE_KEYS)
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

/// Whether a secret has signed the token; HMACs are compared in constant time. The length is checked
/// first: jwt-compact 0.8 leaves that to its own validator and panics on a signature of another length.
fn signed_by(secret: &Hs256Key, token: &Unverified<'_>) -> bool {
    type Signature = <Hs256 as Scheme>::Signature;
    let bytes = token.signature.as_slice();
    Signature::LENGTH.is_none_or(|length| length.get() == bytes.len())
        && Signature::try_from_slice(bytes).is_ok_and(|signature| {
            Hs256.verify_signature(&signature, secret, token.signing_input.as_bytes())
        })
}

#[cfg(test)]
mod tests;
