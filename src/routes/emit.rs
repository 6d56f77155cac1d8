//! What a backend emits: `POST /api/emit`, and its short forms for jobs, notifications and analytics.

use dialtone_core::{
    emit::{Batch, Refused, Wanted},
    error::Refusal,
    event::Args,
    fields::Fields,
    names::{RoomName, UserId},
    namespaces::{ANALYTICS_EVENTS, JOB_STATUS_CHANGED, NOTIFICATION},
    wire::Published,
};
use dialtone_durable::random;
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::value::RawValue;
use worker::{Request, Response};

use super::json_body;
use crate::{
    Failure,
    auth::{Caller, header, now},
    respond::{self, Reply},
    rooms,
};

/// `POST /api/emit`.
pub async fn emit(request: Request, caller: &Caller<'_>) -> Result<Reply, Failure> {
    caller.must_operate()?;
    let body = json_body(request, caller.environment.config.max_payload_bytes).await?;
    match Batch::parse(&body, now(), &random::id()) {
        Ok(batch) => {
            let published = publish(caller, &batch).await?;
            Ok(Reply::Api(json(batch.answer(published))?))
        }
        Err(Refused::Whole(refusal)) => Err(refusal.into()),
        Err(Refused::Items(errors)) => {
            let refusal = Refusal::invalid("nothing was emitted: some items are wrong");
            Ok(Reply::Api(respond::problem_with(&refusal, &errors)?))
        }
    }
}

/// `POST /api/jobs/{id}`: a `JobStatusUpdate`.
pub async fn job(request: Request, caller: &Caller<'_>, id: &str) -> Result<Reply, Failure> {
    one(request, caller, "/jobs", format!("job:{id}"), |_| {
        Ok(JOB_STATUS_CHANGED.to_owned())
    })
    .await
}

/// `POST /api/analytics/{brandId}`: an `AnalyticsEvent`, under its own type.
pub async fn analytics(request: Request, caller: &Caller<'_>, id: &str) -> Result<Reply, Failure> {
    one(
        request,
        caller,
        "/analytics",
        format!("brand:{id}"),
        |event| Fields::of(event)?.one_of("eventType", ANALYTICS_EVENTS),
    )
    .await
}

/// `POST /api/users/{id}/notifications`: a `Notification`.
pub async fn notification(
    request: Request,
    caller: &Caller<'_>,
    user: &str,
) -> Result<Reply, Failure> {
    let not_a_user = |_| Refusal::bad_request("the path names no user");
    let room = UserId::text(user)
        .and_then(|user| RoomName::user(&user))
        .map_err(not_a_user)?;
    one(request, caller, "/notifications", room.to_string(), |_| {
        Ok(NOTIFICATION.to_owned())
    })
    .await
}

/// One event for one room, with the body as its payload.
async fn one(
    request: Request,
    caller: &Caller<'_>,
    namespace: &str,
    room: String,
    event: impl FnOnce(&Args) -> Result<String, Refusal>,
) -> Result<Reply, Failure> {
    #[derive(Serialize)]
    struct Answer<'a> {
        room: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(flatten)]
        accepted: dialtone_core::wire::Accepted,
    }
    caller.must_operate()?;
    RoomName::parse(&room).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let id = header(&request, "idempotency-key");
    let body = json_body(request, caller.environment.config.max_payload_bytes).await?;
    let payload: Box<RawValue> =
        serde_json::from_str(&body).map_err(|_| Refusal::bad_request("the body is not JSON"))?;
    let args = Args::from_client(Some(&payload))?;
    let event = event(&args)?;
    let wanted = Wanted::of(namespace, room.clone(), &event, args, id);
    let batch = Batch::one(wanted, now(), &random::id())?;
    let published = publish(caller, &batch).await?;
    let accepted = published.into_iter().flat_map(|p| p.results).next();
    let answer = Answer {
        room: &room,
        id: batch.payload_id(),
        accepted: accepted.unwrap_or_default(),
    };
    Ok(respond::json(&answer)?)
}

/// Asks each room once, all at the same time. If one fails, the backend tries again under the same id.
async fn publish(caller: &Caller<'_>, batch: &Batch) -> Result<Vec<Published>, Failure> {
    let requests = batch.requests();
    let answers = requests
        .iter()
        .map(|(room, request)| rooms::ask_json(caller.env, room, request));
    Ok(try_join_all(answers).await?)
}

fn json(body: String) -> worker::Result<Response> {
    let mut response = Response::ok(body)?;
    response
        .headers_mut()
        .set("content-type", "application/json")?;
    Ok(response)
}
