//! What `EVENT_WEBHOOK_URL` is sent: a POST signed as Standard Webhooks has it
//! (<https://github.com/standard-webhooks/standard-webhooks>, "Signature scheme").

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use crate::{
    config::EventWebhookConfig,
    event::Args,
    names::{Timestamp, UserId},
    room::Delivery,
    wire::{Item, Parcel},
};

/// A request to a backend.
#[derive(Debug, Clone)]
pub struct Post {
    /// What it brings; any 2xx means that it has arrived.
    pub delivery: Delivery,
    /// To where.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    user_id: &'a UserId,
    /// Whether the user has a socket anywhere.
    online: bool,
    notification: &'a serde_json::value::RawValue,
}

/// What a backend is told of an event for `user`, under the id by which it knows it again.
pub fn parcel(
    now: Timestamp,
    item: &Item,
    user: &UserId,
    online: bool,
    id: &str,
) -> Option<Parcel> {
    let Args::One(notification) = &item.args else {
        return None;
    };
    let body = Body {
        r#type: &item.event,
        timestamp: now.rfc3339(),
        data: Data {
            user_id: user,
            online,
            notification,
        },
    };
    Some(Parcel::Event(Item {
        event: item.event.clone(),
        args: Args::of(&body),
        dedupe: Some(id.to_owned()),
        ..Item::default()
    }))
}

/// The request that brings it.
pub fn post(now: Timestamp, to: &EventWebhookConfig, delivery: Delivery) -> Post {
    let item = delivery.parcels.iter().find_map(|parcel| match parcel {
        Parcel::Event(item) => Some(item),
        _ => None,
    });
    let body = match item.map(|item| &item.args) {
        Some(Args::One(body)) => body.get().to_owned(),
        _ => String::new(),
    };
    let id = item
        .and_then(|item| item.dedupe.clone())
        .unwrap_or_default();
    let timestamp = (now.0 / 1000).to_string();
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.clone()),
        ("webhook-timestamp", timestamp.clone()),
    ];
    if let Some(secret) = &to.secret {
        let signed = format!("{id}.{timestamp}.{body}");
        headers.push(("webhook-signature", sign(secret, &signed)));
    }
    Post {
        delivery,
        url: to.url.clone(),
        headers,
        body,
    }
}

/// `v1,` and the HMAC. A secret is text, or base64 after `whsec_`.
fn sign(secret: &str, signed: &str) -> String {
    let decoded = secret
        .strip_prefix("whsec_")
        .and_then(|base64| STANDARD.decode(base64).ok());
    let key = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return String::new();
    };
    mac.update(signed.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        // The example of the specification's reference libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = r#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#;
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(secret, signed), signature);
        assert_ne!(sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", signed), signature);
    }
}
