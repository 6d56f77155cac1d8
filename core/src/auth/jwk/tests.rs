use proptest::prelude::*;

use super::*;

/// The keys of RFC 7515 §A.3 and RFC 8037 §A.1.
const EC_PRIVATE: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"e1","alg":"ES256","use":"sig","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ED_PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#;
const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"d1","alg":"EdDSA","key_ops":["verify"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const RSA: &str = r#"{"kty":"RSA","kid":"r1","alg":"RS256","n":"uJKE8cizJUDYO4upQbroWGKIWy-Ru6ZU4KBwJCQ6hGrrLFBByXr3bb3goMzkddWKBOvNQrCBIHSDB9QVvVv5a9SZhtnpHvrO-bU-2c72D7T48vKR7mGi-PcLqwdhEAJTxXZ0baH-jP-COA5DCaBK2wt-ANbSrWJAym7Ep027rSxmlQSaONnOCdCEKnIj4CGJ1JZDDyoN0_9306ezpDH9M_n1HOzbo1eNfYQugoBkEOxvwK_h-KYkaENdE16jgpUaloBomTarAtUo__MrLR9inrpANbzkyDe0rMHq8d-QkuXeh34v6RdifDhVkNAoc15BZEZ_BBFs5o_ZUAE7KHVPNw","e":"AQAB"}"#;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_jwk_is_a_public_key_for_signatures_or_refused() {
    let with = |jwk: &str, members: &str| jwk.replacen('{', &format!("{{{members},"), 1);
    let swap = |jwk: &str, from: &str, to: &str| jwk.replace(from, to);
    for (name, jwk, expected) in [
        ("EC", EC.to_owned(), Ok(Algorithm::Es256)),
        ("Ed25519", ED.to_owned(), Ok(Algorithm::EdDsa)),
        (
            "Ed25519 by its own name",
            swap(ED, "EdDSA", "Ed25519"),
            Ok(Algorithm::EdDsa),
        ),
        ("RSA", RSA.to_owned(), Ok(Algorithm::Rs256)),
        (
            "more members",
            with(RSA, r#""x5c":["…"],"x5t":"…""#),
            Ok(Algorithm::Rs256),
        ),
        (
            "private EC",
            EC_PRIVATE.to_owned(),
            Err("is a private key; give the public one only"),
        ),
        (
            "private OKP",
            ED_PRIVATE.to_owned(),
            Err("is a private key; give the public one only"),
        ),
        (
            "private RSA",
            with(RSA, r#""d":"AQ""#),
            Err("is a private key; give the public one only"),
        ),
        (
            "another curve",
            swap(EC, "P-256", "P-384"),
            Err("is not a key on the curve P-256"),
        ),
        (
            "half a coordinate",
            swap(EC, "MzV76e8Tus9uPHvRVEU", ""),
            Err("is not a key on the curve P-256"),
        ),
        (
            "one coordinate",
            swap(EC, r#""y""#, r#""z""#),
            Err("is not a key on the curve P-256"),
        ),
        (
            "no curve",
            swap(EC, r#""crv""#, r#""curve""#),
            Err("is not a key on the curve P-256"),
        ),
        (
            "not base64url",
            swap(EC, "f83O", "f8+O"),
            Err("is not a key on the curve P-256"),
        ),
        (
            "X25519",
            swap(ED, "Ed25519", "X25519"),
            Err("is not an Ed25519 key"),
        ),
        (
            "short",
            swap(ED, "11qYAYKx", ""),
            Err("is not an Ed25519 key"),
        ),
        (
            "small RSA",
            r#"{"kty":"RSA","n":"uJKE8cizJUDY","e":"AQAB"}"#.to_owned(),
            Err("is not an RSA key of 2048 to 8192 bits"),
        ),
        (
            "padded with zeros",
            swap(RSA, "uJKE8c", "AAAAAAAA"),
            Err("is not an RSA key of 2048 to 8192 bits"),
        ),
        (
            "no exponent",
            swap(RSA, "AQAB", ""),
            Err("is not an RSA key of 2048 to 8192 bits"),
        ),
        (
            "an exponent of 1",
            swap(RSA, "AQAB", "AAE"),
            Err("is not an RSA key of 2048 to 8192 bits"),
        ),
        (
            "an even exponent",
            swap(RSA, "AQAB", "AQAC"),
            Err("is not an RSA key of 2048 to 8192 bits"),
        ),
        (
            "an exponent of 3",
            swap(RSA, "AQAB", "Aw"),
            Ok(Algorithm::Rs256),
        ),
        (
            "2047 bits",
            swap(RSA, "uJKE8c", "YJKE8c"),
            Err("is not an RSA key of 2048 to 8192 bits"),
        ),
        (
            "8200 bits",
            format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, "-".repeat(1367)),
            Err("is not an RSA key of 2048 to 8192 bits"),
        ),
        (
            "for encryption",
            swap(EC, r#""sig""#, r#""enc""#),
            Err("is not for verifying signatures"),
        ),
        (
            "for signing",
            swap(ED, r#"["verify"]"#, r#"["sign"]"#),
            Err("is not for verifying signatures"),
        ),
        (
            "another algorithm",
            swap(RSA, "RS256", "PS256"),
            Err("has an `alg` other than ES256, EdDSA and RS256"),
        ),
        (
            "another family's",
            swap(EC, "ES256", "RS256"),
            Err("has an `alg` other than ES256, EdDSA and RS256"),
        ),
        (
            "a secret by the algorithm's name",
            swap(EC, "ES256", "HS256"),
            Err("has an `alg` other than ES256, EdDSA and RS256"),
        ),
        (
            "symmetric",
            r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
            Err("is a shared secret; that is JWT_SECRET's place"),
        ),
        (
            "unknown",
            r#"{"kty":"AKP"}"#.to_owned(),
            Err("has a type that is not known here"),
        ),
        (
            "no type",
            "{}".to_owned(),
            Err("is not a JWK: `kty` must say its type"),
        ),
        (
            "no object",
            "[]".to_owned(),
            Err("is not a JWK: `kty` must say its type"),
        ),
    ] {
        let key = PublicKey::from_jwk(&json(&jwk)).map(|key| key.algorithm());
        assert_eq!(key, expected.map_err(JwkError), "{name}");
    }
}

#[test]
fn the_runtime_gets_a_key_s_type_and_numbers_and_nothing_else() {
    let key = PublicKey::from_jwk(&json(EC)).unwrap();
    assert_eq!(
        key.jwk(),
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
    );
    assert_eq!(key.kid(), Some("e1"));
}

#[test]
fn of_a_set_the_keys_are_used_that_can_be() {
    let kids = |set: &str| {
        let keys = read_set(set)?;
        let kids = keys.iter().map(|key| key.kid().unwrap_or("-").to_owned());
        Some(kids.collect::<Vec<_>>().join(" "))
    };
    let oct = r#"{"kty":"oct","kid":"o","k":"c2VjcmV0","alg":"HS256"}"#;
    let small = r#"{"kty":"RSA","kid":"s","n":"uJKE8cizJUDY","e":"AQAB"}"#;
    let enc = EC.replace(r#""sig""#, r#""enc""#);
    let nameless = ED.replace(r#""kid":"d1","#, "");
    let many = vec![ED; MAX_JWKS_KEYS + 1].join(",");
    for (name, set, expected) in [
        (
            "all",
            format!(r#"{{"keys":[{EC},{ED},{RSA}]}}"#),
            Some("e1 d1 r1"),
        ),
        ("nameless", format!(r#"{{"keys":[{nameless}]}}"#), Some("-")),
        (
            "twice the same kid",
            format!(r#"{{"keys":[{EC},{EC}]}}"#),
            Some("e1 e1"),
        ),
        (
            "what is none",
            format!(
                r#"{{"keys":[{oct},1,null,{EC_PRIVATE},{small},{enc},[],"x",{{}},{RSA}],"more":1}}"#
            ),
            Some("r1"),
        ),
        ("none", r#"{"keys":[]}"#.to_owned(), Some("")),
        ("no list", r#"{"keys":{}}"#.to_owned(), None),
        ("no keys", "{}".to_owned(), None),
        ("a list alone", format!("[[{EC}]]"), None),
        ("HTML", "<!doctype html><p>Sign in".to_owned(), None),
        ("nothing", String::new(), None),
    ] {
        assert_eq!(kids(&set).as_deref(), expected, "{name}");
    }
    let first = read_set(&format!(r#"{{"keys":[{many}]}}"#)).unwrap();
    assert_eq!(first.len(), MAX_JWKS_KEYS);
}

proptest! {
    #[test]
    fn no_jwk_panics(
        kty in "(EC|OKP|RSA|oct|.{0,3})",
        crv in "(P-256|Ed25519|.{0,3})",
        x in "([A-Za-z0-9_-]{43}|.{0,9})",
        n in "([A-Za-z0-9_-]{340,345}|.{0,9})",
        e in "(AQAB|[A-Za-z0-9_-]{0,12})",
        more in any::<String>(),
    ) {
        let jwk = serde_json::json!({"kty": kty, "crv": crv, "x": x, "y": x, "n": n, "e": e, "kid": more});
        if let Ok(key) = PublicKey::from_jwk(&jwk) {
            prop_assert!(serde_json::from_str::<Value>(key.jwk()).is_ok());
            prop_assert!(key.algorithm() != Algorithm::Hs256);
        }
        let jwk = serde_json::json!({"kty": kty, more: x, "alg": crv, "use": n});
        let _ = PublicKey::from_jwk(&jwk);
    }
}
