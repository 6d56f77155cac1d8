//! `X-Twilio-Signature`: base64(HMAC-SHA1(auth token, URL + form)).
//!
//! <https://www.twilio.com/docs/usage/security#validating-requests>. npm `twilio` 6.2.0 is the
//! oracle for what that page leaves open: which spellings of the URL are tried (`spellings`), and
//! that a `bodySHA256` in the URL means that the URL alone is signed.
//!
//! A request with `X-Twilio-Webhooks-Signature-Settings: key=<id>,algorithm=HMAC_SHA256` (beta,
//! <https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys>) is signed with the shared key of
//! that id instead: base64(HMAC-SHA256(its secret, the same text)). Secret and algorithm are ours by
//! the id, never what the header says.
//!
//! A body that the signature does not cover is never accepted, and the parameters that
//! [`WebhookRequest::parameters`] yields are exactly those that were signed (DESIGN §7).

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac, digest};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::{Secret, TwilioConfig};
use crate::error::{Code, Refusal};
use crate::limits::{MAX_WEBHOOK_BYTES, MAX_WEBHOOK_PARAMETERS};
use crate::web;

/// The query parameter that carries the SHA-256 of a body that is no form.
const BODY_HASH: &str = "bodySHA256";

/// A request to a webhook, as it came in.
#[derive(Debug, Clone, Copy)]
pub struct WebhookRequest<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// The whole URL exactly as received, query included. A URL that was parsed and written again
    /// is another string, and not the one that was signed.
    pub url: &'a str,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The body's bytes.
    pub body: &'a [u8],
    /// The `X-Twilio-Signature` header.
    pub signature: Option<&'a str>,
    /// The `X-Twilio-Webhooks-Signature-Settings` header.
    pub settings: Option<&'a str>,
}

/// What Twilio signs with.
#[derive(Clone)]
pub struct Secrets<'a> {
    /// Auth tokens: several while rotating. An empty one is none.
    pub tokens: Vec<&'a str>,
    /// The secrets of shared keys, by the keys' ids.
    pub keys: &'a BTreeMap<String, Secret>,
}

impl<'a> Secrets<'a> {
    /// Those that are configured. `None` without an auth token and without a key: no webhook could
    /// be verified.
    pub fn of(config: &'a TwilioConfig) -> Option<Self> {
        let is_configured = config.auth_token.is_some() || !config.signing_keys.is_empty();
        let tokens = [&config.auth_token, &config.auth_token_next];
        is_configured.then(|| Self {
            tokens: tokens.into_iter().flatten().map(|token| &**token).collect(),
            keys: &config.signing_keys,
        })
    }

    /// What a request with this settings header may be signed with.
    fn schemes(&self, settings: Option<&str>) -> Result<Vec<Scheme<'a>>, SignatureError> {
        let Some(settings) = settings else {
            let tokens = self.tokens.iter().filter(|token| !token.is_empty());
            return Ok(tokens.map(|token| Scheme::Token(token)).collect());
        };
        let key = settings
            .split(',')
            .filter_map(|setting| setting.split_once('='))
            .find(|(name, _)| name.trim() == "key")
            .and_then(|(_, id)| self.keys.get(id.trim()))
            .ok_or_else(|| SignatureError::UnknownKey(settings.to_owned()))?;
        Ok(vec![Scheme::Key(key)])
    }
}

/// A secret, and the MAC that goes with it.
enum Scheme<'a> {
    /// An auth token: HMAC-SHA1.
    Token(&'a str),
    /// A shared key: HMAC-SHA256.
    Key(&'a str),
}

impl Scheme<'_> {
    /// Compares in constant time.
    fn signs(&self, url: &str, suffix: &str, signature: &[u8]) -> bool {
        fn signs<M: Mac + digest::KeyInit>(
            secret: &str,
            text: [&str; 2],
            signature: &[u8],
        ) -> bool {
            // HMAC takes keys of any length; the error is there for other MACs.
            let Ok(mac) = <M as Mac>::new_from_slice(secret.as_bytes()) else {
                return false;
            };
            let mac = text
                .into_iter()
                .fold(mac, |mac, part| mac.chain_update(part));
            mac.verify_slice(signature).is_ok()
        }
        match self {
            Self::Token(token) => signs::<Hmac<Sha1>>(token, [url, suffix], signature),
            Self::Key(secret) => signs::<Hmac<Sha256>>(secret, [url, suffix], signature),
        }
    }
}

/// Why a request is not taken for Twilio's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Longer than [`MAX_WEBHOOK_BYTES`].
    #[error("a webhook's body has at most {MAX_WEBHOOK_BYTES} bytes, this one has {0}")]
    BodyTooLarge(usize),
    /// More than [`MAX_WEBHOOK_PARAMETERS`].
    #[error("a webhook has at most {MAX_WEBHOOK_PARAMETERS} parameters")]
    TooManyParameters,
    /// No `X-Twilio-Signature`, or an empty one.
    #[error("there is no signature")]
    Missing,
    /// `X-Twilio-Signature` is not 20 bytes in base64; 32 where a shared key signs.
    #[error("the signature is not an HMAC in base64")]
    Malformed,
    /// The settings header names no key of ours. Carries the header.
    #[error("no key of ours is named in {0:?}")]
    UnknownKey(String),
    /// The body is no form and the URL has no `bodySHA256`: nothing vouches for it.
    #[error("the body is not covered by the signature")]
    BodyNotSigned,
    /// The body is not the one that `bodySHA256` was computed over.
    #[error("the body does not have the signed hash")]
    BodyHash,
    /// None of the secrets gives this signature for any spelling of the URL.
    #[error("the signature does not match {0}")]
    Mismatch(String),
    /// The body says it is JSON and is no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
}

impl From<SignatureError> for Refusal {
    /// Whoever forges is not told how close they came: the error itself is for the log.
    fn from(error: SignatureError) -> Self {
        use SignatureError as E;
        match error {
            E::BodyTooLarge(_) | E::TooManyParameters => {
                Self::new(Code::PayloadTooLarge, error.to_string())
            }
            E::NotAnObject => Self::bad_request(error.to_string()),
            E::Missing
            | E::Malformed
            | E::UnknownKey(_)
            | E::BodyNotSigned
            | E::BodyHash
            | E::Mismatch(_) => Self::forbidden("this request is not signed by Twilio"),
        }
    }
}

/// What the signature is computed over, after the URL.
enum Signed {
    /// Nothing: a GET, or a request without a body.
    UrlOnly,
    /// The body's form.
    Form,
    /// Nothing; but the URL has this hash of the body.
    BodyHash(String),
}

impl WebhookRequest<'_> {
    /// The parameters, decoded as the signature decodes them: a GET's query; a form; the scalars of
    /// a JSON object. [`verify`] first.
    pub fn parameters(&self) -> Result<Vec<(String, String)>, SignatureError> {
        self.check_size()?;
        if self.is_get() {
            form(query_of(self.url).as_bytes())
        } else if self.is_form() {
            form(self.body)
        } else {
            scalars(self.body)
        }
    }

    fn check_size(&self) -> Result<(), SignatureError> {
        let bytes = self.body.len();
        if bytes > MAX_WEBHOOK_BYTES {
            return Err(SignatureError::BodyTooLarge(bytes));
        }
        Ok(())
    }

    fn is_get(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }

    /// A body that does not say what it is counts as a form: all of it is signed then.
    fn is_form(&self) -> bool {
        self.content_type.is_none_or(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
    }

    fn signed(&self) -> Result<Signed, SignatureError> {
        if self.is_get() {
            Ok(Signed::UrlOnly)
        } else if let Some(hash) = body_hash_of(self.url) {
            Ok(Signed::BodyHash(hash))
        } else if self.is_form() {
            Ok(Signed::Form)
        } else if self.body.is_empty() {
            Ok(Signed::UrlOnly)
        } else {
            Err(SignatureError::BodyNotSigned)
        }
    }
}

/// Checks that Twilio, or whoever else has one of the `secrets`, sent this request.
///
/// `public_base_url` is what Twilio calls where that is not what arrives (a proxy, a tunnel): a
/// scheme, an authority, perhaps a path prefix; the request's path and query follow it as received.
pub fn verify(
    request: &WebhookRequest<'_>,
    public_base_url: Option<&str>,
    secrets: &Secrets<'_>,
) -> Result<(), SignatureError> {
    request.check_size()?;
    let schemes = secrets.schemes(request.settings)?;
    let len = match request.settings {
        None => Sha1::output_size(),
        Some(_) => Sha256::output_size(),
    };
    let signature = decode_signature(request.signature, len)?;
    let signed = request.signed()?;
    let suffixes = match &signed {
        Signed::Form => form_suffixes(&form(request.body)?),
        Signed::UrlOnly | Signed::BodyHash(_) => BTreeSet::from([String::new()]),
    };
    let url = called_url(request.url, public_base_url);
    let matches = |url: &String| {
        schemes.iter().any(|scheme| {
            suffixes
                .iter()
                .any(|suffix| scheme.signs(url, suffix, &signature))
        })
    };
    if !spellings(&url).iter().any(matches) {
        return Err(SignatureError::Mismatch(url));
    }
    match signed {
        Signed::BodyHash(hash) => check_body_hash(request.body, &hash),
        Signed::UrlOnly | Signed::Form => Ok(()),
    }
}

/// The decoder takes only canonical base64, so equal bytes mean equal text.
fn decode_signature(header: Option<&str>, len: usize) -> Result<Vec<u8>, SignatureError> {
    let text = header
        .filter(|text| !text.is_empty())
        .ok_or(SignatureError::Missing)?;
    let bytes = STANDARD.decode(text).ok();
    bytes
        .filter(|bytes| bytes.len() == len)
        .ok_or(SignatureError::Malformed)
}

fn check_body_hash(body: &[u8], hash: &str) -> Result<(), SignatureError> {
    let actual: String = Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if actual.as_bytes().ct_eq(hash.as_bytes()).into() {
        Ok(())
    } else {
        Err(SignatureError::BodyHash)
    }
}

fn form(bytes: &[u8]) -> Result<Vec<(String, String)>, SignatureError> {
    let pairs: Vec<_> = form_urlencoded::parse(bytes)
        .into_owned()
        .take(MAX_WEBHOOK_PARAMETERS + 1)
        .collect();
    if pairs.len() > MAX_WEBHOOK_PARAMETERS {
        return Err(SignatureError::TooManyParameters);
    }
    Ok(pairs)
}

fn scalars(json: &[u8]) -> Result<Vec<(String, String)>, SignatureError> {
    use serde_json::Value;
    let object: serde_json::Map<String, Value> =
        serde_json::from_slice(json).map_err(|_| SignatureError::NotAnObject)?;
    if object.len() > MAX_WEBHOOK_PARAMETERS {
        return Err(SignatureError::TooManyParameters);
    }
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Number(_) | Value::Bool(_) => Some((name, value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    Ok(object.into_iter().filter_map(text).collect())
}

/// Each distinct name in byte order, followed by its value; a repeated name with its distinct
/// values, sorted: by bytes as PyPI's client sorts them, and by UTF-16 units as npm's does. The two
/// differ only where emoji meet full-width forms, and then each is tried.
fn form_suffixes(pairs: &[(String, String)]) -> BTreeSet<String> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in pairs {
        values.entry(name).or_default().insert(value);
    }
    let pairs: Vec<(&str, &str)> = values
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (*name, *value)))
        .collect();
    let mut by_utf16 = pairs.clone();
    by_utf16.sort_by(|a, b| {
        a.0.encode_utf16()
            .cmp(b.0.encode_utf16())
            .then(a.1.encode_utf16().cmp(b.1.encode_utf16()))
    });
    let joined = |pairs: &[(&str, &str)]| pairs.iter().flat_map(|(n, v)| [*n, *v]).collect();
    BTreeSet::from([joined(&pairs), joined(&by_utf16)])
}

/// The URL that Twilio called, without a fragment, which no request line carries.
fn called_url(received: &str, public_base_url: Option<&str>) -> String {
    let received = without_fragment(received);
    match (public_base_url, UrlParts::of(received)) {
        (Some(base), Some(parts)) => {
            format!(
                "{}{}",
                without_fragment(base).trim_end_matches('/'),
                parts.path_and_query
            )
        }
        _ => received.to_owned(),
    }
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

fn query_of(url: &str) -> &str {
    without_fragment(url)
        .split_once('?')
        .map_or("", |(_, query)| query)
}

fn body_hash_of(url: &str) -> Option<String> {
    form_urlencoded::parse(query_of(url).as_bytes())
        .find(|(name, _)| name == BODY_HASH)
        .map(|(_, value)| value.into_owned())
}

/// Every string that Twilio may have signed for this URL, likeliest first: as received, as the
/// WHATWG parser writes it (`'` → `%27`), and that with its query re-encoded by Node's
/// `querystring`; each with and without a port, with and without credentials.
fn spellings(url: &str) -> Vec<String> {
    let mut all = authority_spellings(url);
    if let Some(normal) = web::parse(url) {
        let normal = authority_spellings(normal.as_str());
        let legacy: Vec<_> = normal
            .iter()
            .filter_map(|url| with_legacy_query(url))
            .collect();
        all.extend(normal.into_iter().chain(legacy));
    }
    let mut seen = BTreeSet::new();
    all.retain(|url| seen.insert(url.clone()));
    all
}

fn authority_spellings(url: &str) -> Vec<String> {
    let Some(UrlParts {
        scheme,
        credentials,
        host,
        port,
        path_and_query,
    }) = UrlParts::of(url)
    else {
        return vec![url.to_owned()];
    };
    let default_port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };
    let with_port = if port.is_empty() { default_port } else { port };
    let mut spellings = Vec::with_capacity(4);
    for credentials in [credentials, ""] {
        for port in ["", with_port] {
            spellings.push(format!(
                "{scheme}://{credentials}{host}{port}{path_and_query}"
            ));
        }
    }
    spellings
}

/// A URL taken apart, not a character changed.
#[derive(Debug, PartialEq, Eq)]
struct UrlParts<'a> {
    scheme: &'a str,
    /// With the `@`, or empty.
    credentials: &'a str,
    host: &'a str,
    /// With the `:`, or empty.
    port: &'a str,
    path_and_query: &'a str,
}

impl<'a> UrlParts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
        if !is_scheme {
            return None;
        }
        let authority_len = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at_checked(authority_len)?;
        let credentials_len = authority.rfind('@').map_or(0, |at| at.saturating_add(1));
        let (credentials, host_and_port) = authority.split_at_checked(credentials_len)?;
        // In an IPv6 literal a port's colon only comes after the bracket.
        let bracketed_len = host_and_port
            .rfind(']')
            .map_or(0, |at| at.saturating_add(1));
        let after_bracket = host_and_port.get(bracketed_len..)?;
        let host_len = after_bracket
            .find(':')
            .map_or(host_and_port.len(), |colon| {
                bracketed_len.saturating_add(colon)
            });
        let (host, port) = host_and_port.split_at_checked(host_len)?;
        Some(Self {
            scheme,
            credentials,
            host,
            port,
            path_and_query,
        })
    }
}

/// The query as Node's `querystring` writes what it has read; npm `twilio` tries that last, for
/// back ends that signed an escaped form. `None` without a query, or with one that Node would cut.
fn with_legacy_query(url: &str) -> Option<String> {
    /// What `querystring.escape` leaves alone.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'!')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')')
        .remove(b'*')
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    let (before, query) = url.split_once('?').filter(|(_, query)| !query.is_empty())?;
    let pairs = form(query.as_bytes()).ok()?;
    let mut first_seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in &pairs {
        let next = first_seen.len();
        first_seen.entry(name).or_insert(next);
    }
    let mut pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    // A JavaScript object lists integer keys first, ascending, then the others as they came.
    pairs.sort_by_key(|(name, _)| {
        (
            array_index(name).unwrap_or(u32::MAX),
            first_seen.get(name).copied(),
        )
    });
    let escape = |text| utf8_percent_encode(text, ESCAPED);
    let query: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    Some(format!("{before}?{}", query.join("&")))
}

/// An array index of ECMAScript: below 2³² − 1, written the canonical way.
fn array_index(name: &str) -> Option<u32> {
    name.parse()
        .ok()
        .filter(|index: &u32| *index < u32::MAX && index.to_string() == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::config::Config;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
    const JSON: Option<&str> = Some("application/json; charset=utf-8");
    const URL: &str = "https://example.com/webhooks/twilio/inbound";

    fn sign(token: &str, text: &str) -> String {
        let mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
        STANDARD.encode(mac.chain_update(text).finalize().into_bytes())
    }

    fn sign_with_key(secret: &str, text: &str) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        STANDARD.encode(mac.chain_update(text).finalize().into_bytes())
    }

    static NO_KEYS: BTreeMap<String, Secret> = BTreeMap::new();

    fn tokens<'a>(tokens: &[&'a str]) -> Secrets<'a> {
        Secrets {
            tokens: tokens.to_vec(),
            keys: &NO_KEYS,
        }
    }

    fn post<'a>(url: &'a str, body: &'a str, signature: &'a str) -> WebhookRequest<'a> {
        let (body, signature) = (body.as_bytes(), Some(signature));
        WebhookRequest {
            method: "POST",
            url,
            content_type: FORM,
            body,
            signature,
            settings: None,
        }
    }

    fn encode<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish()
    }

    #[test]
    fn the_17_vectors_verify_and_none_does_with_another_token() {
        let vectors: Vec<Value> = serde_json::from_str(include_str!(
            "../../../tests/vectors/twilio-signatures.json"
        ))
        .unwrap();
        assert_eq!(vectors.len(), 17);
        for vector in &vectors {
            let text = |key: &str| vector[key].as_str().unwrap();
            let mut form = form_urlencoded::Serializer::new(String::new());
            for (name, value) in vector["params"].as_object().unwrap() {
                match value {
                    Value::Array(values) => {
                        form.extend_pairs(
                            values.iter().map(|value| (name, value.as_str().unwrap())),
                        );
                    }
                    value => _ = form.append_pair(name, value.as_str().unwrap()),
                }
            }
            let form = form.finish();
            let json = vector["body"].as_str();
            let request = WebhookRequest {
                content_type: if json.is_some() { JSON } else { FORM },
                ..post(text("url"), json.unwrap_or(&form), text("signature"))
            };
            assert_eq!(
                verify(&request, None, &tokens(&[text("token")])),
                Ok(()),
                "{vector}"
            );
            assert_eq!(
                verify(&request, None, &tokens(&["", "other", text("token")])),
                Ok(()),
                "{vector}"
            );
            for others in [&[] as &[&str], &["other"], &[""]] {
                let refused = verify(&request, None, &tokens(others));
                assert!(
                    matches!(refused, Err(SignatureError::Mismatch(_))),
                    "{vector}"
                );
            }
        }
    }

    #[test]
    fn the_url_is_tried_in_every_spelling_that_npm_twilio_tries() {
        for (received, signed, accepted) in [
            ("https://a.com/p", "https://a.com/p", true),
            ("https://a.com/p", "https://a.com:443/p", true),
            ("https://a.com:443/p", "https://a.com/p", true),
            ("https://a.com:8443/p", "https://a.com:8443/p", true),
            ("https://a.com:8443/p", "https://a.com/p", true),
            ("https://a.com/p", "https://a.com:8443/p", false),
            ("http://a.com/p", "http://a.com:80/p", true),
            ("http://a.com/p", "http://a.com:443/p", false),
            ("http://a.com/p", "https://a.com/p", false),
            ("http://[::1]:8787/p", "http://[::1]/p", true),
            ("http://[::1]/p", "http://[::1]:80/p", true),
            ("https://u:p@a.com/p", "https://u:p@a.com/p", true),
            ("https://u:p@a.com/p", "https://a.com:443/p", true),
            ("https://u:p@a.com/p", "https://v:p@a.com/p", false),
            ("https://a.com/p#top", "https://a.com/p", true),
            ("https://a.com/p/", "https://a.com/p", false),
            ("https://a.com/p?", "https://a.com/p?", true),
            ("https://a.com/p?", "https://a.com/p", false),
            ("https://a.com/p?q=it's", "https://a.com/p?q=it's", true),
            ("https://a.com/p?q=it's", "https://a.com/p?q=it%27s", true),
            ("https://a.com/p?q=it%27s", "https://a.com/p?q=it's", true),
            ("https://a.com/p?q=%7E%2b", "https://a.com/p?q=~%2B", true),
            (
                "https://a.com/p?q=a+b&r",
                "https://a.com/p?q=a%20b&r=",
                true,
            ),
            (
                "https://a.com/p?b=1&2=x&a=3&b=4&1=y",
                "https://a.com/p?1=y&2=x&b=1&b=4&a=3",
                true,
            ),
            ("https://a.com/p?b=1&a=2", "https://a.com/p?a=2&b=1", false),
            ("https://a.com/é?q=é", "https://a.com/%C3%A9?q=%C3%A9", true),
            ("https://A.com/p", "https://a.com/p", true),
            ("https://a.com/a/../p", "https://a.com/p", true),
            ("not a url", "not a url", true),
            ("https://a.com/p", "", false),
        ] {
            let signature = sign("t", signed);
            let request = post(received, "", &signature);
            assert_eq!(
                verify(&request, None, &tokens(&["t"])).is_ok(),
                accepted,
                "{received} {signed}"
            );
        }
    }

    #[test]
    fn a_public_base_url_stands_in_for_scheme_and_host() {
        for (base, received, signed) in [
            (
                "https://pub.com",
                "http://127.0.0.1:8787/w?x=1",
                "https://pub.com/w?x=1",
            ),
            (
                "https://pub.com/",
                "http://127.0.0.1:8787/w?x='",
                "https://pub.com/w?x='",
            ),
            (
                "https://pub.com/pre/",
                "http://10.0.0.1/w",
                "https://pub.com/pre/w",
            ),
            (
                "https://pub.com:8443/pre",
                "http://10.0.0.1/w",
                "https://pub.com:8443/pre/w",
            ),
            (
                "https://pub.com",
                "http://10.0.0.1/a//b/../w",
                "https://pub.com/a//b/../w",
            ),
            (
                "https://u:p@pub.com",
                "http://10.0.0.1/w",
                "https://pub.com/w",
            ),
            (
                "https://pub.com",
                "http://10.0.0.1?x=1",
                "https://pub.com?x=1",
            ),
        ] {
            let signature = sign("t", signed);
            let request = post(received, "", &signature);
            assert_eq!(
                verify(&request, Some(base), &tokens(&["t"])),
                Ok(()),
                "{base} {received}"
            );
            assert!(
                verify(&request, None, &tokens(&["t"])).is_err(),
                "{base} {received}"
            );
            let signature = sign("t", received);
            let request = post(received, "", &signature);
            assert!(
                verify(&request, Some(base), &tokens(&["t"])).is_err(),
                "{base} {received}"
            );
        }
    }

    #[test]
    fn a_form_is_signed_by_name_and_then_by_distinct_value() {
        for (body, suffix) in [
            ("", ""),
            ("b=2&a=1", "a1b2"),
            ("a=1&A=2&_=3", "A2_3a1"),
            ("SidAccount=1&Sid=2", "Sid2SidAccount1"),
            ("a=z&a=y&a=z", "ayaz"),
            ("a=+x+&b=%09", "a x b\t"),
            ("a=%2B1&b=it%27s", "a+1bit's"),
            ("a=&b", "ab"),
            ("&&a=1&", "a1"),
            ("=x", "x"),
            ("a=1=2", "a1=2"),
            ("a=%F0%9F%91%8D&b=%C3%A9", "a👍bé"),
            ("a=%FF", "a\u{fffd}"),
            ("a=%00", "a\0"),
            // PyPI's order and npm's, where emoji meet full-width forms.
            ("a=%F0%9F%91%8D&a=%EF%BC%81", "a！a👍"),
            ("a=%F0%9F%91%8D&a=%EF%BC%81", "a👍a！"),
        ] {
            let signature = sign("t", &format!("{URL}{suffix}"));
            for content_type in [
                FORM,
                None,
                Some("Application/X-WWW-Form-Urlencoded; charset=x"),
            ] {
                let request = WebhookRequest {
                    content_type,
                    ..post(URL, body, &signature)
                };
                assert_eq!(verify(&request, None, &tokens(&["t"])), Ok(()), "{body}");
            }
        }
    }

    #[test]
    fn a_get_is_signed_by_its_url_alone() {
        let url = format!("{URL}?From=%2B1555&Body=it%27s+me&Empty=");
        let signature = sign("t", &url);
        let get = WebhookRequest {
            method: "GET",
            ..post(&url, "ignored=1", &signature)
        };
        assert_eq!(verify(&get, None, &tokens(&["t"])), Ok(()));
        let expected = [("From", "+1555"), ("Body", "it's me"), ("Empty", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(get.parameters().unwrap(), expected);
    }

    #[test]
    fn a_body_that_is_no_form_needs_its_hash_in_the_url() {
        const HASH: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let hashed = |hash: &str| format!("{URL}?bodySHA256={hash}");
        use SignatureError as E;
        for (url, content_type, body, expected) in [
            (hashed(HASH), JSON, "{}", Ok(())),
            (hashed(HASH), FORM, "{}", Ok(())),
            (hashed(HASH), JSON, "{ }", Err(E::BodyHash)),
            (hashed(HASH), JSON, "", Err(E::BodyHash)),
            (hashed(&HASH.to_uppercase()), JSON, "{}", Err(E::BodyHash)),
            (hashed(""), JSON, "{}", Err(E::BodyHash)),
            (
                format!("{}&bodySHA256={HASH}", hashed("0")),
                JSON,
                "{}",
                Err(E::BodyHash),
            ),
            (hashed("0"), FORM, "a=1", Err(E::BodyHash)),
            (URL.to_owned(), JSON, "{}", Err(E::BodyNotSigned)),
            (
                URL.to_owned(),
                Some("text/plain"),
                "a=1",
                Err(E::BodyNotSigned),
            ),
            (
                format!("{URL}?bodysha256={HASH}"),
                JSON,
                "{}",
                Err(E::BodyNotSigned),
            ),
            (URL.to_owned(), JSON, "", Ok(())),
        ] {
            let signature = sign("t", &url);
            let request = WebhookRequest {
                content_type,
                ..post(&url, body, &signature)
            };
            assert_eq!(
                verify(&request, None, &tokens(&["t"])),
                expected,
                "{url} {body}"
            );
        }
    }

    #[test]
    fn a_signature_is_twenty_bytes_of_canonical_base64() {
        use SignatureError as E;
        let good = sign("t", URL);
        let cut = good.trim_end_matches('=').to_owned();
        let bits = good.replace("=", "") + "A=";
        for (header, expected) in [
            (Some(good.as_str()), None),
            (None, Some(E::Missing)),
            (Some(""), Some(E::Missing)),
            (Some(cut.as_str()), Some(E::Malformed)),
            (Some(bits.as_str()), Some(E::Malformed)),
            (Some("AAAA"), Some(E::Malformed)),
            (Some("not base64!"), Some(E::Malformed)),
            (
                Some("0123456789012345678901234567890123456789"),
                Some(E::Malformed),
            ),
            (Some("é"), Some(E::Malformed)),
            (Some(sign_with_key("t", URL).as_str()), Some(E::Malformed)),
            (
                Some("AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
                Some(E::Mismatch(URL.to_owned())),
            ),
        ] {
            let request = WebhookRequest {
                signature: header,
                ..post(URL, "", "")
            };
            assert_eq!(
                verify(&request, None, &tokens(&["t"])).err(),
                expected,
                "{header:?}"
            );
        }
    }

    #[test]
    fn a_shared_key_is_named_by_the_request_and_signs_instead_of_the_token() {
        use SignatureError as E;
        let keys = BTreeMap::from([
            ("k1".to_owned(), Secret::new("one")),
            ("k2".to_owned(), Secret::new("two")),
        ]);
        let secrets = Secrets {
            tokens: vec!["t"],
            keys: &keys,
        };
        let text = format!("{URL}aba");
        let by_one = sign_with_key("one", &text);
        let by_token = sign("t", &text);
        let sha1_by_one = sign("one", &text);
        let sha256_by_token = sign_with_key("t", &text);
        let unknown = |settings: &str| Err(E::UnknownKey(settings.to_owned()));
        let mismatch = || Err(E::Mismatch(URL.to_owned()));
        for (settings, signature, expected) in [
            (Some("key=k1,algorithm=HMAC_SHA256"), &by_one, Ok(())),
            (Some("algorithm=HMAC_SHA256, key=k1"), &by_one, Ok(())),
            (Some("key=k1"), &by_one, Ok(())),
            // The algorithm is ours to know.
            (Some("key=k1,algorithm=none"), &by_one, Ok(())),
            (
                Some("key=k1,algorithm=HMAC_SHA1"),
                &sha1_by_one,
                Err(E::Malformed),
            ),
            (Some("key=k2,algorithm=HMAC_SHA256"), &by_one, mismatch()),
            (Some("key=k1,key=k2"), &by_one, Ok(())),
            (Some("key=k2,key=k1"), &by_one, mismatch()),
            (
                Some("key=k3,algorithm=HMAC_SHA256"),
                &by_one,
                unknown("key=k3,algorithm=HMAC_SHA256"),
            ),
            (
                Some("key=,algorithm=HMAC_SHA256"),
                &by_one,
                unknown("key=,algorithm=HMAC_SHA256"),
            ),
            (Some(""), &by_token, unknown("")),
            (Some("nonsense"), &by_token, unknown("nonsense")),
            // Never the token, where a key is named.
            (
                Some("key=k1,algorithm=HMAC_SHA1"),
                &by_token,
                Err(E::Malformed),
            ),
            (
                Some("key=k1,algorithm=HMAC_SHA256"),
                &sha256_by_token,
                mismatch(),
            ),
            (Some("key=t"), &sha256_by_token, unknown("key=t")),
            (None, &by_token, Ok(())),
            (None, &by_one, Err(E::Malformed)),
            (None, &sha1_by_one, mismatch()),
        ] {
            let request = WebhookRequest {
                settings,
                ..post(URL, "ab=a", signature)
            };
            assert_eq!(
                verify(&request, None, &secrets),
                expected,
                "{settings:?} {signature}"
            );
        }
        let request = WebhookRequest {
            settings: Some("key=k1"),
            ..post(URL, "ab=a", &by_one)
        };
        assert_eq!(verify(&request, None, &tokens(&["t"])), unknown("key=k1"));
    }

    #[test]
    fn there_is_something_to_verify_with_or_there_is_not() {
        let keys = r#"{"k":"s"}"#;
        for (vars, expected) in [
            (&[] as &[(&str, &str)], None),
            (&[("TWILIO_AUTH_TOKEN_NEXT", "n")], None),
            (&[("TWILIO_AUTH_TOKEN", "t")], Some((vec!["t"], 0))),
            (
                &[("TWILIO_AUTH_TOKEN", "t"), ("TWILIO_AUTH_TOKEN_NEXT", "n")],
                Some((vec!["t", "n"], 0)),
            ),
            (&[("TWILIO_SIGNING_KEYS", keys)], Some((vec![], 1))),
            (
                &[("TWILIO_SIGNING_KEYS", keys), ("TWILIO_AUTH_TOKEN", "t")],
                Some((vec!["t"], 1)),
            ),
        ] {
            let var = |name: &str| {
                let (_, value) = vars.iter().find(|(set, _)| *set == name)?;
                Some((*value).to_owned())
            };
            let config = Config::read(var).unwrap().twilio;
            let actual = Secrets::of(&config).map(|secrets| (secrets.tokens, secrets.keys.len()));
            assert_eq!(actual, expected, "{vars:?}");
        }
    }

    #[test]
    fn sizes_are_bounded_before_anything_is_computed() {
        use SignatureError as E;
        let full = format!("a={}", "x".repeat(MAX_WEBHOOK_BYTES - 2));
        let over = format!("{full}x");
        let many = "a=1&".repeat(MAX_WEBHOOK_PARAMETERS);
        let too_many = format!("{many}b=1");
        let forged = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        for (body, expected) in [
            (&full, E::Mismatch(URL.to_owned())),
            (&over, E::BodyTooLarge(MAX_WEBHOOK_BYTES + 1)),
            (&many, E::Mismatch(URL.to_owned())),
            (&too_many, E::TooManyParameters),
        ] {
            assert_eq!(
                verify(&post(URL, body, forged), None, &tokens(&["t"])),
                Err(expected)
            );
        }
        let unsigned = WebhookRequest {
            signature: None,
            ..post(URL, &over, "")
        };
        let refusal = Refusal::from(verify(&unsigned, None, &tokens(&["t"])).unwrap_err());
        assert_eq!(refusal.code, Code::PayloadTooLarge);
    }

    #[test]
    fn every_forgery_is_refused_in_the_same_words() {
        use SignatureError as E;
        let all = [
            E::Missing,
            E::Malformed,
            E::UnknownKey("k".into()),
            E::BodyNotSigned,
            E::BodyHash,
            E::Mismatch("u".into()),
        ];
        for error in all {
            let expected = Refusal::forbidden("this request is not signed by Twilio");
            assert_eq!(Refusal::from(error), expected);
        }
    }

    #[test]
    fn a_json_objects_scalars_are_its_parameters() {
        for (body, expected) in [
            (
                r#"{"a":"x","b":1,"c":true,"d":null,"e":[1],"f":{}}"#,
                Some("a=x&b=1&c=true"),
            ),
            ("{}", Some("")),
            ("[]", None),
            ("", None),
            ("{", None),
        ] {
            let request = WebhookRequest {
                content_type: JSON,
                ..post(URL, body, "")
            };
            let actual = request.parameters().ok();
            let actual = actual.map(|pairs| encode(pairs.iter().map(|(n, v)| (n, v))));
            assert_eq!(actual.as_deref(), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(
            method in "GET|POST|[A-Z]{0,4}",
            url in "(https?://)?\\PC{0,20}(\\?\\PC{0,20})?",
            base in proptest::option::of("(https?://)?\\PC{0,12}"),
            content_type in proptest::option::of("application/json|\\PC{0,8}"),
            body in any::<Vec<u8>>(),
            signature in proptest::option::of("[A-Za-z0-9+/]{27}=|\\PC{0,30}"),
            settings in proptest::option::of("key=k,algorithm=x|\\PC{0,30}"),
        ) {
            let (method, url, content_type) = (method.as_str(), url.as_str(), content_type.as_deref());
            let (signature, settings) = (signature.as_deref(), settings.as_deref());
            let request = WebhookRequest { method, url, content_type, body: &body, signature, settings };
            let verified = verify(&request, base.as_deref(), &tokens(&["t", ""]));
            prop_assert!(verified.is_err());
            let _ = request.parameters();
        }

        #[test]
        fn a_signed_form_verifies_and_any_changed_byte_does_not(
            form in proptest::collection::btree_map("[\\x21-\\x7e]{1,6}", "\\PC{0,8}[ -~]", 1..6),
            place in any::<proptest::sample::Index>(),
            path in "[a-z/]{1,9}",
        ) {
            let url = format!("https://example.com/{path}");
            let suffix: String = form.iter().flat_map(|(name, value)| [name.as_str(), value]).collect();
            let signature = sign("t", &format!("{url}{suffix}"));
            let body = encode(&form);
            prop_assert_eq!(verify(&post(&url, &body, &signature), None, &tokens(&["t"])), Ok(()));

            let swap_last = |text: &str| {
                let (rest, last) = text.split_at(text.len() - 1);
                format!("{rest}{}", if last == "~" { "!" } else { "~" })
            };
            let pairs: Vec<_> = form.iter().collect();
            let changed = place.index(pairs.len());
            let (name, value) = pairs[changed];
            let (other_name, other_value) = (swap_last(name), swap_last(value));
            for pair in [(&other_name, value), (name, &other_value)] {
                let mut pairs = pairs.clone();
                pairs[changed] = pair;
                let body = encode(pairs);
                prop_assert!(verify(&post(&url, &body, &signature), None, &tokens(&["t"])).is_err());
            }
            prop_assert!(verify(&post(&swap_last(&url), &body, &signature), None, &tokens(&["t"])).is_err());
            prop_assert!(verify(&post(&url, &body, &signature), None, &tokens(&["T"])).is_err());
            let mut other = signature.clone().into_bytes();
            let at = place.index(27);
            other[at] = if other[at] == b'A' { b'E' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            prop_assert!(verify(&post(&url, &body, &other), None, &tokens(&["t"])).is_err());
        }
    }
}
