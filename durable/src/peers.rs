//! Calls from one object to another, and from the Worker to an object.

use std::time::Duration;

use dialtone_core::{names::RoomName, wire};
use futures::future::{Either, select};
use worker::{Delay, Env, Headers, Method, Request, RequestInit, Response, Stub};

use crate::metrics;

/// The binding that wrangler.toml gives the Room class.
const BINDING: &str = "ROOMS";
/// An object that has not answered by now is tried again later.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The object that is `room`.
pub fn stub(env: &Env, room: &RoomName) -> worker::Result<Stub> {
    env.durable_object(BINDING)?.get_by_name(room.as_str())
}

/// Asks `room`. The request is made anew, so nothing that a client sent comes along.
pub async fn ask(env: &Env, room: &RoomName, request: &wire::Request) -> worker::Result<Response> {
    let body = serde_json::to_string(request)?;
    let headers = Headers::new();
    headers.set("content-type", "application/json")?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_body(Some(body.into()));
    let request = Request::new_with_init("https://room/", &init)?;
    stub(env, room)?.fetch_with_request(request).await
}

/// Brings parcels to `room`; whether it has them now.
pub async fn deliver(env: &Env, room: &RoomName, parcels: Vec<wire::Parcel>) -> bool {
    let request = wire::Request::Deliver { parcels };
    let answer = Box::pin(ask(env, room, &request));
    let delivered = match select(answer, Delay::from(CALL_TIMEOUT)).await {
        Either::Left((Ok(response), _)) => response.status_code() == 200,
        Either::Left((Err(_), _)) | Either::Right(_) => false,
    };
    metrics::hop(delivered);
    delivered
}
