//! A token taken apart, nothing in it believed yet (RFC 7515 §3.1, RFC 7519).
//!
//! The steps are [`Unverified::parse`] → a signature check, which turns it into [`Signed`] →
//! [`super::claims::Rules::check`]. What a public key has signed the runtime checks, so the token waits
//! between the first two; see [`super::Keys`].

use std::{borrow::Cow, fmt};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::error::{Code, Refusal};
use crate::limits::{MAX_GRANTS, MAX_TOKEN_LEN};

/// Why a token is not accepted. Never carries any of the token's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no key of any kind to verify with.
    #[error("tokens cannot be verified here: no key is configured")]
    NotConfigured,
    /// There was no token in the request.
    #[error("a token is required")]
    Missing,
    /// Longer than [`MAX_TOKEN_LEN`].
    #[error("the token is longer than {MAX_TOKEN_LEN} bytes")]
    TooLong,
    /// Not three parts of base64url with JSON objects in the first two.
    #[error("the token is not a JWT: {0}")]
    Malformed(&'static str),
    /// The header has `crit`: there is no extension that we understand (RFC 7515 §4.1.11).
    #[error("the token's header has `crit`, and no extension is understood here")]
    Critical,
    /// The header's `typ` says that this is something else.
    #[error("the token's `typ` is neither JWT nor at+jwt")]
    WrongType,
    /// An algorithm that is not accepted; `none` is one of them.
    #[error("the token's algorithm is not accepted here")]
    Algorithm,
    /// No key of the token's algorithm and `kid`.
    #[error("there is no key here for the token's `alg` and `kid`")]
    NoKey,
    /// The key set has never been had, so nobody can say whether the token is good.
    #[error("the keys that tokens are signed with cannot be fetched now; try again")]
    NoKeySet,
    /// No key's signature.
    #[error("the token's signature does not match")]
    Signature,
    /// A claim is missing or not what it must be.
    #[error("the token's `{claim}` {problem}")]
    Claim {
        /// The claim's name.
        claim: String,
        /// The rest of the sentence.
        problem: &'static str,
    },
    /// More than [`MAX_GRANTS`].
    #[error("the token has more than {MAX_GRANTS} grants")]
    TooManyGrants,
    /// `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` is past; nothing else was wrong with it.
    #[error("the token has expired")]
    Expired,
}

impl TokenError {
    pub(super) fn claim(claim: &str, problem: &'static str) -> Self {
        Self::Claim {
            claim: claim.to_owned(),
            problem,
        }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Expired => Code::TokenExpired,
            TokenError::NotConfigured => Code::NotConfigured,
            TokenError::NoKeySet => Code::Unavailable,
            _ => Code::Unauthorized,
        };
        Self::new(code, error.to_string())
    }
}

/// The families of keys that sign tokens. A token only names the one it wants to be tried with; what
/// is computed follows from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC-SHA256 with a shared secret.
    Hs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519; `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864) in a header.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// By the name in a header or a JWK.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }
}

/// A token that parses; its signature is still to be checked.
#[derive(Clone)]
pub struct Unverified<'t> {
    /// What the header asks to be tried with.
    pub algorithm: Algorithm,
    /// Which key the header names.
    pub kid: Option<String>,
    /// The bytes that are signed.
    pub signing_input: Cow<'t, str>,
    /// The signature, of any length.
    pub signature: Vec<u8>,
    payload: Vec<u8>,
}

/// The payload of a token whose signature is one of ours.
#[derive(Debug)]
pub struct Signed(Vec<u8>);

impl Signed {
    /// The claims, as JSON.
    pub fn payload(&self) -> &[u8] {
        &self.0
    }
}

impl<'t> Unverified<'t> {
    /// Takes a token apart and checks its header.
    pub fn parse(token: &'t str) -> Result<Self, TokenError> {
        const PARTS: TokenError = TokenError::Malformed("it must be three parts joined by dots");
        if token.len() > MAX_TOKEN_LEN {
            return Err(TokenError::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(PARTS)?;
        let (header, payload) = signing_input.split_once('.').ok_or(PARTS)?;
        if payload.contains('.') {
            return Err(PARTS);
        }
        let header: Map<String, Value> = serde_json::from_slice(&decode(header)?)
            .map_err(|_| TokenError::Malformed("its header is not a JSON object"))?;
        let (algorithm, kid) = check_header(&header)?;
        Ok(Self {
            algorithm,
            kid,
            signing_input: Cow::Borrowed(signing_input),
            signature: decode(signature)?,
            payload: decode(payload)?,
        })
    }

    /// The signature was checked, with a key of ours of this algorithm, and matches.
    pub(super) fn signature_matches(self) -> Signed {
        Signed(self.payload)
    }

    /// The same, to be kept while the runtime checks the signature.
    pub fn into_owned(self) -> Unverified<'static> {
        Unverified {
            algorithm: self.algorithm,
            kid: self.kid,
            signing_input: Cow::Owned(self.signing_input.into_owned()),
            signature: self.signature,
            payload: self.payload,
        }
    }
}

/// A token is a secret.
impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed("its parts must be base64url without padding"))
}

/// RFC 7515 §4.1. What is no concern of ours is ignored; what is must have its right type.
fn check_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), TokenError> {
    if header.contains_key("crit") {
        return Err(TokenError::Critical);
    }
    if header.get("typ").is_some_and(|typ| !is_jwt_type(typ)) {
        return Err(TokenError::WrongType);
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err(TokenError::Malformed("its header's `kid` is not a string")),
    };
    let algorithm = header
        .get("alg")
        .and_then(Value::as_str)
        .and_then(Algorithm::parse)
        .ok_or(TokenError::Algorithm)?;
    Ok((algorithm, kid))
}

/// `JWT`, or RFC 9068's `at+jwt`; RFC 7515 §4.1.9 lets `application/` be written out.
fn is_jwt_type(typ: &Value) -> bool {
    typ.as_str().is_some_and(|typ| {
        let typ = typ.to_ascii_lowercase();
        let short = typ.strip_prefix("application/").unwrap_or(&typ);
        matches!(short, "jwt" | "at+jwt")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode("{}"),
            URL_SAFE_NO_PAD.encode("signature")
        )
    }

    #[test]
    fn a_header_is_understood_whole_or_refused() {
        let malformed = |part| Err(TokenError::Malformed(part));
        let not_an_object = malformed("its header is not a JSON object");
        for (header, expected) in [
            (r#"{"alg":"HS256"}"#, Ok(Algorithm::Hs256)),
            (r#"{"alg":"ES256","typ":"JWT"}"#, Ok(Algorithm::Es256)),
            (r#"{"alg":"EdDSA","typ":"jwt"}"#, Ok(Algorithm::EdDsa)),
            (r#"{"alg":"Ed25519","typ":"at+JWT"}"#, Ok(Algorithm::EdDsa)),
            (
                r#"{"alg":"RS256","typ":"application/at+jwt","cty":"json"}"#,
                Ok(Algorithm::Rs256),
            ),
            (r#"{"alg":"none"}"#, Err(TokenError::Algorithm)),
            (r#"{"alg":"None"}"#, Err(TokenError::Algorithm)),
            (r#"{"alg":"hs256"}"#, Err(TokenError::Algorithm)),
            (r#"{"alg":"HS384"}"#, Err(TokenError::Algorithm)),
            (r#"{"alg":"HS512"}"#, Err(TokenError::Algorithm)),
            (r#"{"alg":"ES256K"}"#, Err(TokenError::Algorithm)),
            (r#"{"alg":["HS256"]}"#, Err(TokenError::Algorithm)),
            (r#"{"alg":null}"#, Err(TokenError::Algorithm)),
            (r#"{"typ":"JWT"}"#, Err(TokenError::Algorithm)),
            (
                r#"{"alg":"HS256","alg":"none"}"#,
                Err(TokenError::Algorithm),
            ),
            (r#"{"alg":"HS256","typ":"JWE"}"#, Err(TokenError::WrongType)),
            (r#"{"alg":"HS256","typ":""}"#, Err(TokenError::WrongType)),
            (r#"{"alg":"HS256","typ":null}"#, Err(TokenError::WrongType)),
            (
                r#"{"alg":"HS256","crit":["exp"]}"#,
                Err(TokenError::Critical),
            ),
            (r#"{"alg":"HS256","crit":[]}"#, Err(TokenError::Critical)),
            (r#"{"alg":"HS256","crit":null}"#, Err(TokenError::Critical)),
            (
                r#"{"alg":"HS256","kid":1}"#,
                malformed("its header's `kid` is not a string"),
            ),
            ("[]", not_an_object.clone()),
            ("{", not_an_object.clone()),
            ("", not_an_object),
        ] {
            let token = token(header);
            let algorithm = Unverified::parse(&token).map(|token| token.algorithm);
            assert_eq!(algorithm, expected, "{header}");
        }
    }

    #[test]
    fn a_token_is_three_parts_of_base64url() {
        let good = token(r#"{"alg":"HS256","kid":"k"}"#);
        let parsed = Unverified::parse(&good).unwrap();
        assert_eq!(parsed.kid.as_deref(), Some("k"));
        assert_eq!(parsed.signature, b"signature");
        assert_eq!(format!("{}.{}", parsed.signing_input, "c2lnbmF0dXJl"), good);
        assert_eq!(parsed.signature_matches().payload(), b"{}");
        for (name, bad) in [
            ("nothing", String::new()),
            ("dots", "..".to_owned()),
            ("two parts", good.rsplit_once('.').unwrap().0.to_owned()),
            ("four parts", format!("{good}.x")),
            ("five parts, encrypted", format!("{good}.x.y")),
            ("padding", format!("{good}=")),
            ("standard alphabet", format!("{good}+/")),
            ("white space", format!(" {good}")),
            ("a line break", format!("{good}\n")),
            ("bits to spare", good.replace(".e30.", ".e31.")),
            ("not ASCII", format!("{good}é")),
        ] {
            let error = Unverified::parse(&bad).expect_err(name);
            assert!(matches!(error, TokenError::Malformed(_)), "{name}: {error}");
        }
        let long = format!("{good}{}", "A".repeat(MAX_TOKEN_LEN));
        assert_eq!(Unverified::parse(&long).unwrap_err(), TokenError::TooLong);
    }

    #[test]
    fn errors_become_refusals_with_their_codes() {
        for (error, code) in [
            (TokenError::Expired, Code::TokenExpired),
            (TokenError::NotConfigured, Code::NotConfigured),
            (TokenError::NoKeySet, Code::Unavailable),
            (TokenError::Missing, Code::Unauthorized),
            (TokenError::Signature, Code::Unauthorized),
            (TokenError::claim("exp", "is missing"), Code::Unauthorized),
        ] {
            let message = error.to_string();
            assert_eq!(Refusal::from(error), Refusal::new(code, message));
        }
    }
}
