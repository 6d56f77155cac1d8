//! Calls from one object to another, and from the Worker to an object.

use std::time::Duration;

use dialtone_core::{event_webhook::Post, names::RoomName, wire};
use futures::future::{Either, select};
use serde_json::json;
use worker::{
    Delay, Env, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Response, Stub,
};

use crate::{logging, metrics};

/// The binding that wrangler.toml gives the Room class.
const BINDING: &str = "ROOMS";
/// An object that has not answered by now is tried again later.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The object that is `room`, made near the one who asks, should it be new.
pub fn stub_near(env: &Env, room: &RoomName, hint: Option<&str>) -> worker::Result<Stub> {
    match hint {
        Some(hint) => env
            .durable_object(BINDING)?
            .get_by_name_with_location_hint(room.as_str(), hint),
        None => stub(env, room),
    }
}

/// The object that is `room`.
pub fn stub(env: &Env, room: &RoomName) -> worker::Result<Stub> {
    env.durable_object(BINDING)?.get_by_name(room.as_str())
}

/// Asks `room`. The request is made anew, so nothing that a client sent comes along.
pub async fn ask(env: &Env, room: &RoomName, request: &wire::Request) -> worker::Result<Response> {
    post(env, room, &serde_json::to_string(request)?).await
}

async fn post(env: &Env, room: &RoomName, body: &str) -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set("content-type", "application/json")?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_body(Some(body.into()));
    let request = Request::new_with_init("https://room/", &init)?;
    stub(env, room)?.fetch_with_request(request).await
}

/// Asks `room` with the JSON of a request; its answer's JSON, if it has one in time.
pub async fn ask_json(env: &Env, room: &RoomName, body: &str) -> Option<String> {
    let answer = Box::pin(async {
        let mut response = post(env, room, body).await?;
        match response.status_code() {
            200 => response.text().await.map(Some),
            _ => Ok(None),
        }
    });
    let answer = within_timeout(answer).await.flatten();
    metrics::hop(answer.is_some());
    answer
}

/// What comes in time, and is no failure.
async fn within_timeout<T>(answer: impl Future<Output = worker::Result<T>> + Unpin) -> Option<T> {
    match select(answer, Delay::from(CALL_TIMEOUT)).await {
        Either::Left((answer, _)) => answer.ok(),
        Either::Right(_) => None,
    }
}

/// Posts an event to a backend; whether it took it.
pub async fn post_event(post: &Post) -> bool {
    let status = Box::pin(async {
        let headers = Headers::new();
        for (name, value) in &post.headers {
            headers.set(name, value)?;
        }
        let mut init = RequestInit::new();
        init.with_method(Method::Post)
            .with_headers(headers)
            // The signature is for this address alone.
            .with_redirect(RequestRedirect::Manual)
            .with_body(Some(post.body.as_str().into()));
        let request = Request::new_with_init(&post.url, &init)?;
        let response = Fetch::Request(request).send().await?;
        Ok(response.status_code())
    });
    let status = within_timeout(status).await;
    let taken = status.is_some_and(|status| (200..300).contains(&status));
    if !taken {
        logging::error("event_webhook_failed", json!({"status": status}));
    }
    taken
}

/// Brings parcels to `room`; whether it has them now.
pub async fn deliver(env: &Env, room: &RoomName, parcels: Vec<wire::Parcel>) -> bool {
    let request = wire::Request::Deliver { parcels };
    match serde_json::to_string(&request) {
        Ok(body) => ask_json(env, room, &body).await.is_some(),
        Err(_) => false,
    }
}
