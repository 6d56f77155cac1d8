//! Tokens that public keys have signed. Core says what to do, one step after the other; here it is done:
//! signatures are checked, and the issuer's key set, one for the isolate, is fetched.

use std::{cell::RefCell, time::Duration};

use dialtone_core::{
    auth::{Claims, KeySet, Keys, Step, TokenError, Unverified, Verdict},
    limits::{JWKS_MAX_WAIT_MS, JWKS_WAIT_MS, MAX_JWKS_BYTES, backoff},
    metrics::{Count, Foreign},
    names::Timestamp,
};
use futures::StreamExt as _;
use serde_json::json;
use worker::{Date, Delay, Method, Response};

use crate::{logging, metrics, peers, web_crypto};

thread_local! {
    static KEY_SET: RefCell<KeySet> = RefCell::default();
}

/// Whose token it is.
pub async fn verify(keys: &Keys, token: &str) -> Result<Claims, TokenError> {
    match keys.begin(token, now())? {
        Verdict::Good(claims) => Ok(claims),
        Verdict::Open(token) => finish(keys, token).await,
    }
}

/// The same, for a token that only the runtime can judge.
pub async fn finish(keys: &Keys, token: Unverified<'_>) -> Result<Claims, TokenError> {
    let mut waits = 0;
    let candidates = loop {
        let step = KEY_SET.with_borrow_mut(|set| keys.next(set, &token, now()));
        match step {
            Step::Check(candidates) => break candidates,
            // A request cannot await what another one fetches: workerd ties it to that one.
            Step::Wait => {
                let wait = backoff(JWKS_WAIT_MS, waits, JWKS_MAX_WAIT_MS);
                Delay::from(Duration::from_millis(wait)).await;
                waits = waits.saturating_add(1);
            }
            Step::Fetch(url) => fetch(&url).await,
        }
    };
    let mut is_signed = false;
    for key in &candidates {
        is_signed = web_crypto::has_signed(key, &token).await;
        if is_signed {
            break;
        }
    }
    KEY_SET.with_borrow(|set| keys.finish(set, token, is_signed, now()))
}

/// Asks the issuer for its keys. What it answers is read as far as a key set may be long.
async fn fetch(url: &str) {
    let read = async |mut response: Response| {
        let status = response.status_code();
        let mut bytes = Vec::new();
        if status == 200
            && let Ok(mut stream) = response.stream()
        {
            while bytes.len() <= MAX_JWKS_BYTES
                && let Some(chunk) = stream.next().await
            {
                bytes.extend(chunk?);
            }
        }
        Ok((status, bytes))
    };
    let accept = ("accept", "application/json".to_owned());
    let answer = peers::send(Method::Get, url, &[accept], None, read).await;
    let status = answer.as_ref().map(|(status, _)| *status);
    let text = answer
        .filter(|(_, bytes)| bytes.len() <= MAX_JWKS_BYTES)
        .and_then(|(_, bytes)| String::from_utf8(bytes).ok());
    let fetched = KEY_SET.with_borrow_mut(|set| set.fetched(text.as_deref(), now()));
    metrics::count(Count::JwksFetches(Foreign::from(fetched)));
    if !fetched {
        logging::error("jwks_failed", json!({"status": status}));
    }
}

fn now() -> Timestamp {
    Timestamp(Date::now().as_millis())
}
