//! Signatures, as the runtime's WebCrypto checks them (<https://www.w3.org/TR/WebCryptoAPI/>).

use dialtone_core::auth::{Algorithm, PublicKey, Unverified};
use serde_json::json;
use worker::{
    js_sys::{Array, JSON, Promise, Uint8Array, futures::JsFuture},
    wasm_bindgen::{JsValue, prelude::wasm_bindgen},
};

use crate::logging;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = importKey)]
    fn import_key(
        format: &str,
        key: &JsValue,
        algorithm: &JsValue,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"])]
    fn verify(
        algorithm: &JsValue,
        key: &JsValue,
        signature: &Uint8Array,
        signed: &Uint8Array,
    ) -> Result<Promise, JsValue>;
}

/// WebCrypto's names, for the key and for the signature alike (RFC 7518 §3.3 and §3.4, RFC 8037 §3.1).
const fn parameters(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Es256 => Some(r#"{"name":"ECDSA","namedCurve":"P-256","hash":"SHA-256"}"#),
        Algorithm::EdDsa => Some(r#"{"name":"Ed25519"}"#),
        Algorithm::Rs256 => Some(r#"{"name":"RSASSA-PKCS1-v1_5","hash":"SHA-256"}"#),
        // Core's own.
        Algorithm::Hs256 => None,
    }
}

/// Whether the key has signed the token. A key that is none (a point off its curve) has signed nothing.
pub async fn has_signed(key: &PublicKey, token: &Unverified<'_>) -> bool {
    let answer = check(key, token).await;
    answer.is_ok_and(|answer| answer.is_truthy())
}

async fn check(key: &PublicKey, token: &Unverified<'_>) -> Result<JsValue, JsValue> {
    let Some(parameters) = parameters(key.algorithm()) else {
        return Ok(JsValue::FALSE);
    };
    let algorithm = JSON::parse(parameters)?;
    let usages = Array::of1(&JsValue::from_str("verify"));
    let imported = import_key("jwk", &JSON::parse(key.jwk())?, &algorithm, false, &usages)?;
    let Ok(key) = JsFuture::from(imported).await else {
        logging::error("key_unusable", json!({"kid": key.kid()}));
        return Ok(JsValue::FALSE);
    };
    let signature = Uint8Array::from(token.signature.as_slice());
    let signed = Uint8Array::from(token.signing_input.as_bytes());
    JsFuture::from(verify(&algorithm, &key, &signature, &signed)?).await
}
