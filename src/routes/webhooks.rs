//! Twilio's webhooks: verified over the exact bytes, answered after the commit.

use dialtone_core::{
    config::Config,
    error::{Code, Refusal},
    event::Args,
    limits::MAX_WEBHOOK_BYTES,
    metrics::{Count, TwilioWebhook},
    twilio::{
        inbound::{self, Inbound, InboundError},
        signature::{self, Secrets, WebhookRequest},
        status::{self, Callback},
    },
    wire::{Item, Parcel, Published, Request as RoomRequest},
};
use dialtone_durable::{environment::environment, logging, metrics};
use serde::de::IgnoredAny;
use serde_json::json;
use worker::{Env, Request, Response};

use super::{body, media_type};
use crate::{Failure, auth, rooms};

/// An inbound message: into its conversation's room, once, and on to its line and those who work it.
pub async fn inbound(mut request: Request, env: &Env) -> Result<Response, Failure> {
    let environment = environment(env)?;
    let config = &environment.config;
    let account = config.twilio.account_sid.as_deref();
    let message = verified(&mut request, config, |parameters| {
        inbound::parse(parameters, account)
    });
    let message = message.await?;
    let published = publish(env, &message).await?;
    let duplicate = published.results.iter().all(|result| result.duplicate);
    metrics::count(Count::TwilioWebhooks(if duplicate {
        TwilioWebhook::Duplicate
    } else {
        TwilioWebhook::Accepted
    }));
    let fields = json!({
        "messageSid": message.message_sid.as_str(),
        "duplicate": duplicate,
        // Unsigned: for the log alone.
        "retryToken": auth::header(&request, "i-twilio-idempotency-token"),
    });
    logging::info("webhook_accepted", fields);
    let mut response = Response::ok("<Response/>")?;
    response.headers_mut().set("content-type", "text/xml")?;
    Ok(response)
}

/// What became of a message that was sent: into its conversation's room. Twilio need not know whether
/// that made anything of it.
pub async fn status(mut request: Request, env: &Env) -> Result<Response, Failure> {
    let environment = environment(env)?;
    let config = &environment.config;
    let account = config.twilio.account_sid.as_deref();
    let query: Vec<_> = request.url()?.query_pairs().into_owned().collect();
    let callback = verified(&mut request, config, |parameters| {
        status::parse(parameters, &query, account)
    });
    if let Some(Callback { room, id, report }) = callback.await? {
        let fields = json!({"messageSid": report.sid, "status": report.status.as_str()});
        let told = RoomRequest::Status { id, report };
        rooms::ask_json::<IgnoredAny>(env, &room, &told).await?;
        metrics::count(Count::TwilioWebhooks(TwilioWebhook::Status));
        logging::info("status_accepted", fields);
    }
    Ok(Response::empty()?.with_status(204))
}

/// What `read` makes of a webhook's parameters, once they are known to be Twilio's.
async fn verified<T>(
    request: &mut Request,
    config: &Config,
    read: impl FnOnce(&[(String, String)]) -> Result<T, InboundError>,
) -> Result<T, Failure> {
    let secrets = Secrets::of(&config.twilio).ok_or_else(|| {
        let message = "TWILIO_AUTH_TOKEN is not configured";
        Refusal::new(Code::NotConfigured, message)
    })?;
    let method = request.inner().method();
    let media = media_type(request);
    let known = ["application/x-www-form-urlencoded", "application/json"];
    if method == "POST"
        && media
            .as_deref()
            .is_some_and(|media| !known.contains(&media))
    {
        let message = "Twilio's webhooks are forms";
        return Err(Refusal::new(Code::UnsupportedMediaType, message).into());
    }
    let bytes = body(request, MAX_WEBHOOK_BYTES).await?;
    let url = request.inner().url();
    let signature = auth::header(request, "x-twilio-signature");
    let settings = auth::header(request, "x-twilio-webhooks-signature-settings");
    let webhook = WebhookRequest {
        method: &method,
        url: &url,
        content_type: media.as_deref(),
        body: &bytes,
        signature: signature.as_deref(),
        settings: settings.as_deref(),
    };
    let result = accept(&webhook, config.public_base_url.as_deref(), &secrets)
        .and_then(|parameters| Ok(read(&parameters)?))
        .inspect_err(|refusal| {
            let fields = json!({"code": refusal.code, "reason": refusal.message});
            metrics::count(Count::TwilioWebhooks(TwilioWebhook::Refused));
            logging::error("webhook_refused", fields);
        });
    Ok(result?)
}

fn accept(
    webhook: &WebhookRequest<'_>,
    public_base_url: Option<&str>,
    secrets: &Secrets<'_>,
) -> Result<Vec<(String, String)>, Refusal> {
    signature::verify(webhook, public_base_url, secrets)?;
    Ok(webhook.parameters()?)
}

async fn publish(env: &Env, message: &Inbound) -> Result<Published, Failure> {
    let item = Item {
        event: "new_message".to_owned(),
        args: Args::One(message.payload(auth::now())?),
        dedupe: Some(message.message_sid.dedupe_key()),
        ..Item::default()
    };
    let request = RoomRequest::Deliver {
        parcels: vec![Parcel::Event(item)],
    };
    Ok(rooms::ask_json(env, &message.room(), &request).await?)
}
