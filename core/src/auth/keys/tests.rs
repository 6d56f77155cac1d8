//! Tokens are signed here with jwt-compact and, as a check from outside, were signed once with
//! Node's crypto.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::alg::{Ed25519, Es256};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{AlgorithmExt as _, Claims as JwtClaims, Header};
use proptest::prelude::*;
use serde::Deserialize as _;
use serde_json::Value;

use super::*;
use crate::config::Config;
use crate::limits::{JWKS_MAX_AGE_MS, JWKS_REFRESH_MS, JWKS_RETRY_MS};

/// 2026-01-05T10:00:00Z; the tokens expire a minute later.
const NOW: Timestamp = Timestamp(1_767_607_200_000);
const PAYLOAD: &str = r#"{"sub":"u1","exp":1767607260,"role":"admin","rooms":["chat:*"]}"#;

const SECRET: &str = "a secret that is 32 bytes long!!";
const PREVIOUS: &str = "the secret before that one: 32+ bytes";

/// The keys of RFC 7515 §A.3 and RFC 8037 §A.1.
const EC_PRIVATE: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"e1","alg":"ES256","use":"sig","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ED_PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#;
const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"d1","alg":"EdDSA","key_ops":["verify"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const RSA: &str = r#"{"kty":"RSA","kid":"r1","alg":"RS256","n":"uJKE8cizJUDYO4upQbroWGKIWy-Ru6ZU4KBwJCQ6hGrrLFBByXr3bb3goMzkddWKBOvNQrCBIHSDB9QVvVv5a9SZhtnpHvrO-bU-2c72D7T48vKR7mGi-PcLqwdhEAJTxXZ0baH-jP-COA5DCaBK2wt-ANbSrWJAym7Ep027rSxmlQSaONnOCdCEKnIj4CGJ1JZDDyoN0_9306ezpDH9M_n1HOzbo1eNfYQugoBkEOxvwK_h-KYkaENdE16jgpUaloBomTarAtUo__MrLR9inrpANbzkyDe0rMHq8d-QkuXeh34v6RdifDhVkNAoc15BZEZ_BBFs5o_ZUAE7KHVPNw","e":"AQAB"}"#;

/// `PAYLOAD` signed with the same keys by Node 20's `crypto`.
const NODE_HS256: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1MSIsImV4cCI6MTc2NzYwNzI2MCwicm9sZSI6ImFkbWluIiwicm9vbXMiOlsiY2hhdDoqIl19.PWAdBtOK99JTibg7nHqu47X_93iDvT0Hn303lB8D3tw";
const NODE_ES256: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUxIn0.eyJzdWIiOiJ1MSIsImV4cCI6MTc2NzYwNzI2MCwicm9sZSI6ImFkbWluIiwicm9vbXMiOlsiY2hhdDoqIl19.C8bRkywf8OpS6e0lVtml1tMMv7LtcaPygmq0klUy32l6sH1h9_KScVoWhTY_Lxvx1YHVkJSulgYI1MrS8PQgwQ";
const NODE_EDDSA: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImQxIn0.eyJzdWIiOiJ1MSIsImV4cCI6MTc2NzYwNzI2MCwicm9sZSI6ImFkbWluIiwicm9vbXMiOlsiY2hhdDoqIl19.WbiOjvPeLwP0muAljbqSPkFMwIX8NJgdW1NTkfaa8eCwXkblopG4Kr7tERMvLaG5yfbYd642smnwrJBfGV1oCg";

fn keys(vars: &[(&str, &str)]) -> Keys {
    let config = Config::read(|name| {
        vars.iter()
            .find(|(set, _)| *set == name)
            .map(|(_, value)| (*value).to_owned())
    });
    Keys::new(&config.unwrap().auth).unwrap()
}

fn all_keys() -> Keys {
    let public = format!("[{EC},{ED},{RSA}]");
    keys(&[
        ("JWT_SECRET", SECRET),
        ("JWT_SECRET_PREVIOUS", PREVIOUS),
        ("JWT_PUBLIC_KEYS", &public),
    ])
}

/// A key out of a JWK.
fn parse<K>(jwk: &str) -> Option<K>
where
    K: for<'k> TryFrom<&'k JsonWebKey<'k>>,
{
    let jwk = json(jwk);
    let jwk = JsonWebKey::deserialize(&jwk).ok()?;
    K::try_from(&jwk).ok()
}

/// What WebCrypto is on workerd. RSA is not here: of its keys a signature is good that says so.
fn has_signed(key: &PublicKey, token: &Unverified<'_>) -> bool {
    fn check<S: Scheme>(scheme: &S, key: Option<S::VerifyingKey>, token: &Unverified<'_>) -> bool {
        let Some(key) = key.filter(|_| token.signature.len() == 64) else {
            return false;
        };
        S::Signature::try_from_slice(&token.signature).is_ok_and(|signature| {
            scheme.verify_signature(&signature, &key, token.signing_input.as_bytes())
        })
    }
    match key.algorithm() {
        Algorithm::Es256 => check(&Es256, parse(key.jwk()), token),
        Algorithm::EdDsa => check(&Ed25519, parse(key.jwk()), token),
        Algorithm::Rs256 => token.signature == b"signed with RSA",
        Algorithm::Hs256 => false,
    }
}

/// The issuer: what it answers, and how often it was asked.
#[derive(Default)]
struct Issuer {
    answer: RefCell<Option<String>>,
    asked: RefCell<u32>,
}

/// The runtime: does what it is told until there is a verdict.
fn judge(
    keys: &Keys,
    set: &mut KeySet,
    issuer: &Issuer,
    token: &str,
    now: Timestamp,
) -> Result<Claims, TokenError> {
    let token = match keys.begin(token, now)? {
        Verdict::Good(claims) => return Ok(claims),
        Verdict::Open(token) => token,
    };
    let candidates = loop {
        match keys.next(set, &token, now) {
            Step::Check(candidates) => break candidates,
            Step::Wait => panic!("nobody else fetches"),
            Step::Fetch(url) => {
                assert_eq!(url, URL);
                *issuer.asked.borrow_mut() += 1;
                set.fetched(issuer.answer.borrow().as_deref(), now);
            }
        }
    };
    let is_signed = candidates.iter().any(|key| has_signed(key, &token));
    keys.finish(set, token, is_signed, now)
}

const URL: &str = "https://id.example/jwks";

impl Keys {
    /// Where the issuer, should there be one, does not answer.
    fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        judge(self, &mut KeySet::default(), &Issuer::default(), token, now)
    }
}

/// A token with exactly this header and payload, signed by a scheme of jwt-compact's.
fn sign<S: Scheme>(scheme: &S, key: &S::SigningKey, header: &str, payload: &str) -> String {
    let input = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = scheme.sign(key, input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_bytes()))
}

fn hs256(secret: &str, header: &str) -> String {
    sign(&Hs256, &Hs256Key::new(secret), header, PAYLOAD)
}

fn es256(header: &str) -> String {
    let key = parse::<<Es256 as Scheme>::SigningKey>(EC_PRIVATE).unwrap();
    sign(&Es256, &key, header, PAYLOAD)
}

fn eddsa(header: &str) -> String {
    let key = parse::<<Ed25519 as Scheme>::SigningKey>(ED_PRIVATE).unwrap();
    sign(&Ed25519, &key, header, PAYLOAD)
}

/// Good for [`has_signed`].
fn rs256(header: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(header),
        part(PAYLOAD),
        part("signed with RSA")
    )
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_token_signed_by_any_of_the_keys_is_accepted() {
    let keys = all_keys();
    for (name, token) in [
        ("HS256", hs256(SECRET, r#"{"alg":"HS256"}"#)),
        (
            "HS256, previous",
            hs256(PREVIOUS, r#"{"alg":"HS256","typ":"JWT"}"#),
        ),
        (
            "HS256, any kid",
            hs256(SECRET, r#"{"alg":"HS256","kid":"e1"}"#),
        ),
        ("ES256", es256(r#"{"alg":"ES256"}"#)),
        ("ES256, kid", es256(r#"{"alg":"ES256","kid":"e1"}"#)),
        ("RS256", rs256(r#"{"alg":"RS256"}"#)),
        ("RS256, kid", rs256(r#"{"alg":"RS256","kid":"r1"}"#)),
        ("EdDSA", eddsa(r#"{"alg":"EdDSA","kid":"d1"}"#)),
        ("Ed25519", eddsa(r#"{"alg":"Ed25519"}"#)),
        ("HS256 by Node", NODE_HS256.to_owned()),
        ("ES256 by Node", NODE_ES256.to_owned()),
        ("EdDSA by Node", NODE_EDDSA.to_owned()),
    ] {
        let claims = keys.verify(&token, NOW).expect(name);
        assert_eq!(claims.user.as_str(), "u1", "{name}");
        assert!(claims.has_role("admin"), "{name}");
    }
}

#[test]
fn jwt_compact_s_own_tokens_are_accepted() {
    let payload: serde_json::Map<String, Value> = serde_json::from_str(PAYLOAD).unwrap();
    let header = Header::empty().with_token_type("JWT");
    let token = Hs256
        .token(&header, &JwtClaims::new(payload), &Hs256Key::new(SECRET))
        .unwrap();
    assert!(all_keys().verify(&token, NOW).is_ok());
}

#[test]
fn a_token_not_signed_by_its_algorithm_s_key_is_refused() {
    use TokenError::{Algorithm as BadAlgorithm, Critical, NoKey, NoKeySet, Signature, WrongType};
    let all = all_keys();
    let secret_only = keys(&[("JWT_SECRET", SECRET)]);
    let public_only = keys(&[("JWT_PUBLIC_KEYS", &format!("[{EC}]"))]);
    let set_only = keys(&[("JWT_JWKS_URL", URL)]);
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let payload = URL_SAFE_NO_PAD.encode(PAYLOAD);
    let cut = |token: &str, len: usize| token[..token.len() - len].to_owned();
    for (name, keys, token, expected) in [
        (
            "alg none, unsigned",
            &all,
            format!("{none}.{payload}."),
            BadAlgorithm,
        ),
        (
            "alg none, signed",
            &all,
            hs256(SECRET, r#"{"alg":"none"}"#),
            BadAlgorithm,
        ),
        (
            "HS384",
            &all,
            hs256(SECRET, r#"{"alg":"HS384"}"#),
            BadAlgorithm,
        ),
        (
            "HS512",
            &all,
            hs256(SECRET, r#"{"alg":"HS512"}"#),
            BadAlgorithm,
        ),
        (
            "crit",
            &all,
            hs256(SECRET, r#"{"alg":"HS256","crit":[]}"#),
            Critical,
        ),
        (
            "typ",
            &all,
            hs256(SECRET, r#"{"alg":"HS256","typ":"secevent+jwt"}"#),
            WrongType,
        ),
        (
            "another secret",
            &all,
            hs256("x".repeat(32).as_str(), r#"{"alg":"HS256"}"#),
            Signature,
        ),
        (
            "the empty secret",
            &all,
            hs256("", r#"{"alg":"HS256"}"#),
            Signature,
        ),
        (
            "a public key as the secret",
            &public_only,
            hs256(EC, r#"{"alg":"HS256"}"#),
            NoKey,
        ),
        (
            "the same, beside a secret",
            &all,
            hs256(EC, r#"{"alg":"HS256","kid":"e1"}"#),
            Signature,
        ),
        (
            "ES256 against a secret",
            &secret_only,
            es256(r#"{"alg":"ES256"}"#),
            NoKey,
        ),
        (
            "ES256 said to be HS256",
            &all,
            es256(r#"{"alg":"HS256"}"#),
            Signature,
        ),
        (
            "ES256 said to be EdDSA",
            &all,
            es256(r#"{"alg":"EdDSA"}"#),
            Signature,
        ),
        (
            "EdDSA said to be ES256",
            &all,
            eddsa(r#"{"alg":"ES256"}"#),
            Signature,
        ),
        (
            "EdDSA without such a key",
            &public_only,
            eddsa(r#"{"alg":"EdDSA"}"#),
            NoKey,
        ),
        (
            "a secret's signature said to be RS256",
            &all,
            hs256(SECRET, r#"{"alg":"RS256","kid":"r1"}"#),
            Signature,
        ),
        (
            "RS256 said to be PS256",
            &all,
            rs256(r#"{"alg":"PS256","kid":"r1"}"#),
            BadAlgorithm,
        ),
        (
            "an unknown kid",
            &all,
            es256(r#"{"alg":"ES256","kid":"zz"}"#),
            NoKey,
        ),
        (
            "the kid of a key of another type",
            &all,
            es256(r#"{"alg":"ES256","kid":"d1"}"#),
            NoKey,
        ),
        (
            "a key set that cannot be had",
            &set_only,
            es256(r#"{"alg":"ES256"}"#),
            NoKeySet,
        ),
        (
            "HS256, where there is a key set alone",
            &set_only,
            hs256(EC, r#"{"alg":"HS256"}"#),
            NoKey,
        ),
        ("no signature", &all, cut(NODE_HS256, 43), Signature),
        (
            "a short HS256 signature",
            &all,
            cut(NODE_HS256, 3),
            Signature,
        ),
        (
            "a short ES256 signature",
            &all,
            cut(NODE_ES256, 6),
            Signature,
        ),
        (
            "a short EdDSA signature",
            &all,
            cut(NODE_EDDSA, 6),
            Signature,
        ),
        (
            "a long signature",
            &all,
            format!("{NODE_ES256}AAAA"),
            Signature,
        ),
        (
            "a zero ES256 signature",
            &all,
            format!("{}{}", cut(NODE_ES256, 86), "A".repeat(86)),
            Signature,
        ),
        (
            "a zero EdDSA signature",
            &all,
            format!("{}{}", cut(NODE_EDDSA, 86), "A".repeat(86)),
            Signature,
        ),
        (
            "other claims",
            &all,
            NODE_HS256.replace(".eyJzdWIiOiJ1MSIs", ".eyJzdWIiOiJ1MiIs"),
            Signature,
        ),
    ] {
        assert_eq!(keys.verify(&token, NOW), Err(expected), "{name}");
    }
}

#[test]
fn a_kid_picks_its_key_and_no_other_of_the_family() {
    let other = r#"{"kty":"EC","crv":"P-256","kid":"e2","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;
    let nameless = EC.replace(r#""kid":"e1","#, "");
    for (name, public, header, expected) in [
        (
            "named",
            format!("[{other},{EC}]"),
            r#"{"alg":"ES256","kid":"e1"}"#,
            true,
        ),
        (
            "named wrongly",
            format!("[{other},{EC}]"),
            r#"{"alg":"ES256","kid":"e2"}"#,
            false,
        ),
        (
            "nameless token",
            format!("[{other},{EC}]"),
            r#"{"alg":"ES256"}"#,
            true,
        ),
        (
            "nameless key",
            format!("[{other},{nameless}]"),
            r#"{"alg":"ES256","kid":"e3"}"#,
            true,
        ),
        (
            "another family's name",
            format!("[{EC},{ED}]"),
            r#"{"alg":"ES256","kid":"d1"}"#,
            false,
        ),
        (
            "twice the same name",
            format!("[{},{EC}]", other.replace("e2", "e1")),
            r#"{"alg":"ES256","kid":"e1"}"#,
            true,
        ),
    ] {
        let keys = keys(&[("JWT_PUBLIC_KEYS", &public)]);
        assert_eq!(keys.verify(&es256(header), NOW).is_ok(), expected, "{name}");
    }
}

#[test]
fn without_any_key_nothing_is_configured() {
    for token in [NODE_HS256, "", "nonsense"] {
        assert_eq!(keys(&[]).verify(token, NOW), Err(TokenError::NotConfigured));
    }
}

#[test]
fn expiry_is_told_apart_and_only_of_a_good_signature() {
    let keys = all_keys();
    let late = NOW.plus(65_000);
    assert!(keys.verify(NODE_HS256, late.minus(1)).is_ok());
    assert_eq!(keys.verify(NODE_HS256, late), Err(TokenError::Expired));
    let forged = hs256(&"x".repeat(32), r#"{"alg":"HS256"}"#);
    assert_eq!(keys.verify(&forged, late), Err(TokenError::Signature));
    assert_eq!(keys.verify(NODE_ES256, late), Err(TokenError::Expired));
    let forged = NODE_ES256.replace(".C8bR", ".C8bS");
    assert_eq!(keys.verify(&forged, late), Err(TokenError::Signature));
}

#[test]
fn a_secret_s_token_never_waits_and_a_public_key_s_is_checked_by_its_candidates_alone() {
    let keys = all_keys();
    let verdict = keys.begin(NODE_HS256, NOW).unwrap();
    assert!(matches!(verdict, Verdict::Good(_)));
    for (header, expected) in [
        (r#"{"alg":"RS256","kid":"r1"}"#, vec!["r1"]),
        (r#"{"alg":"RS256"}"#, vec!["r1"]),
        (r#"{"alg":"EdDSA","kid":"d1"}"#, vec!["d1"]),
        (r#"{"alg":"EdDSA","kid":"r1"}"#, vec![]),
    ] {
        let token = rs256(header);
        let Verdict::Open(token) = keys.begin(&token, NOW).unwrap() else {
            panic!("{header}");
        };
        let Step::Check(candidates) = keys.next(&mut KeySet::default(), &token, NOW) else {
            panic!("{header}");
        };
        let kids: Vec<_> = candidates.iter().filter_map(PublicKey::kid).collect();
        assert_eq!(kids, expected, "{header}");
    }
}

#[test]
fn a_token_without_a_kid_is_tried_with_so_many_keys_and_no_more() {
    let keys = keys(&[
        ("JWT_PUBLIC_KEYS", &format!("[{EC}]")),
        ("JWT_JWKS_URL", URL),
    ]);
    let mut set = KeySet::default();
    let many = vec![EC.replace("e1", "e2"); MAX_CANDIDATE_KEYS].join(",");
    assert!(set.fetched(Some(&format!(r#"{{"keys":[{many}]}}"#)), NOW));
    let token = es256(r#"{"alg":"ES256"}"#);
    let Ok(Verdict::Open(token)) = keys.begin(&token, NOW) else {
        panic!("it is for the runtime");
    };
    let Step::Check(candidates) = keys.next(&mut set, &token, NOW) else {
        panic!("the set is there");
    };
    assert_eq!(candidates.len(), MAX_CANDIDATE_KEYS);
    assert_eq!(candidates[0].kid(), Some("e1"));
}

#[test]
fn a_key_set_s_keys_are_fetched_once_and_anew_for_an_unknown_kid() {
    let keys = keys(&[("JWT_SECRET", SECRET), ("JWT_JWKS_URL", URL)]);
    let (mut set, issuer) = (KeySet::default(), Issuer::default());
    let serve = |keys: &str| *issuer.answer.borrow_mut() = Some(format!(r#"{{"keys":[{keys}]}}"#));
    let mut asked_after = |token: &str, ms: u64| {
        let now = NOW.plus(ms);
        let verdict = judge(&keys, &mut set, &issuer, token, now).map(drop);
        (verdict, *issuer.asked.borrow())
    };
    let es = es256(r#"{"alg":"ES256","kid":"e1"}"#);
    let ed = eddsa(r#"{"alg":"EdDSA","kid":"d1"}"#);
    serve(EC);
    assert_eq!(asked_after(NODE_HS256, 0), (Ok(()), 0));
    assert_eq!(asked_after(&es, 0), (Ok(()), 1));
    assert_eq!(asked_after(&es256(r#"{"alg":"ES256"}"#), 1), (Ok(()), 1));
    // The issuer has a new key, and signs with it at once.
    serve(&format!("{EC},{ED}"));
    assert_eq!(asked_after(&ed, 2), (Ok(()), 2));
    assert_eq!(asked_after(&es, 3), (Ok(()), 2));
    for n in 0..9 {
        let strange = es256(&format!(r#"{{"alg":"ES256","kid":"z{n}"}}"#));
        assert_eq!(asked_after(&strange, 4 + n), (Err(TokenError::NoKey), 2));
    }
    // The old key is withdrawn: no token wants it, so it goes with the set's age.
    serve(ED);
    assert_eq!(asked_after(&es, 59_000), (Ok(()), 2));
    let old = JWKS_MAX_AGE_MS + 2;
    assert_eq!(asked_after(&es, old), (Err(TokenError::NoKey), 3));
}

#[test]
fn without_the_issuer_known_keys_go_on_and_before_the_first_set_nobody_can_say() {
    let public = format!("[{ED}]");
    let keys = keys(&[("JWT_PUBLIC_KEYS", &public), ("JWT_JWKS_URL", URL)]);
    let (mut set, issuer) = (KeySet::default(), Issuer::default());
    let mut at = |token: &str, ms: u64| {
        let now = NOW.plus(ms);
        let verdict = judge(&keys, &mut set, &issuer, token, now).map(drop);
        (verdict, *issuer.asked.borrow())
    };
    let unknown = || Err(TokenError::NoKeySet);
    let es = es256(r#"{"alg":"ES256","kid":"e1"}"#);
    // A key of our own needs no set.
    assert_eq!(at(&eddsa(r#"{"alg":"EdDSA","kid":"d1"}"#), 0), (Ok(()), 0));
    assert_eq!(at(&es, 0), (unknown(), 1));
    assert_eq!(at(&es, JWKS_RETRY_MS - 1), (unknown(), 1));
    *issuer.answer.borrow_mut() = Some("<html>".to_owned());
    assert_eq!(at(&es, JWKS_RETRY_MS), (unknown(), 2));
    *issuer.answer.borrow_mut() = Some(format!(r#"{{"keys":[{EC}]}}"#));
    assert_eq!(at(&es, 2 * JWKS_RETRY_MS), (Ok(()), 3));
    // Once there was one, an unknown kid is plainly not good.
    *issuer.answer.borrow_mut() = None;
    let strange = es256(r#"{"alg":"ES256","kid":"zz"}"#);
    assert_eq!(at(&strange, 11_000), (Err(TokenError::NoKey), 4));
    assert_eq!(at(&es, 12_000), (Ok(()), 4));
    assert_eq!(at(&strange, 11_000 + JWKS_REFRESH_MS).1, 5);
}

#[test]
fn keys_do_not_print_their_secrets() {
    let printed = format!("{:?}", all_keys());
    assert!(
        printed.contains("e1") && !printed.contains("secret that"),
        "{printed}"
    );
    // Hs256Key would print as its bytes if it printed.
    assert!(
        !printed.contains(&SECRET.as_bytes()[0].to_string()),
        "{printed}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_token_panics(
        text in any::<String>(),
        near in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}",
        header in "\\{(\"(alg|typ|crit|kid)\":(\"(HS256|ES256|EdDSA|RS256)\"|1|null|\\[\\]),?){0,4}\\}",
        signature in proptest::collection::vec(any::<u8>(), 0..130),
    ) {
        let keys = all_keys();
        let _ = keys.verify(&text, NOW);
        let _ = keys.verify(&near, NOW);
        for header in [header.as_str(), r#"{"alg":"HS256"}"#, r#"{"alg":"ES256"}"#, r#"{"alg":"EdDSA"}"#, r#"{"alg":"RS256"}"#] {
            let token = format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(header),
                URL_SAFE_NO_PAD.encode(PAYLOAD),
                URL_SAFE_NO_PAD.encode(&signature),
            );
            prop_assert!(keys.verify(&token, NOW).is_err());
        }
    }

    #[test]
    fn no_signed_payload_panics(
        text in any::<String>(),
        number in "-?[0-9]{1,30}(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
        claim in "(sub|exp|nbf|iss|aud|name|role|rooms|rooms_read)",
    ) {
        let keys = all_keys();
        let secret = Hs256Key::new(SECRET);
        let quoted = serde_json::to_string(&text).unwrap();
        for payload in [
            text,
            format!(r#"{{"sub":"u1","exp":1767607260,"{claim}":{number}}}"#),
            format!(r#"{{"sub":{number},"exp":{number},"nbf":{number}}}"#),
            format!(r#"{{"sub":"u1","exp":1767607260,"{claim}":{quoted}}}"#),
            format!(r#"{{"sub":"u1","exp":1767607260,"{claim}":[{quoted}]}}"#),
        ] {
            let _ = keys.verify(&sign(&Hs256, &secret, r#"{"alg":"HS256"}"#, &payload), NOW);
        }
    }
}
