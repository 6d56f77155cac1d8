//! Calls from one object to another, from the Worker to an object, and to servers that are not ours.

use std::time::Duration;

use dialtone_core::{
    event_webhook::Post,
    limits::{CALL_TIMEOUT_MS, MAX_TWILIO_ANSWER_BYTES},
    metrics::{Count, Foreign},
    names::RoomName,
    peer::PEER_HEADER,
    twilio::rest,
    wire,
};
use futures::{
    StreamExt as _,
    future::{Either, select},
};
use serde_json::json;
use worker::{
    AbortController, Delay, Env, Fetch, Headers, Method, Request, RequestInit, RequestRedirect,
    Response, Stub, wasm_bindgen::JsCast as _,
};

use crate::{bindings::Socket, logging, metrics};

/// The binding that wrangler.toml gives the Room class.
const BINDING: &str = "ROOMS";
const CALL_TIMEOUT: Duration = Duration::from_millis(CALL_TIMEOUT_MS);

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
    within_timeout(answer).await.flatten()
}

/// Opens a WebSocket to `room`; not accepted yet.
pub async fn connect(env: &Env, room: &RoomName) -> Option<Socket> {
    let answer = Box::pin(async {
        let headers = Headers::new();
        headers.set("upgrade", "websocket")?;
        headers.set(PEER_HEADER, "1")?;
        let mut init = RequestInit::new();
        init.with_headers(headers);
        let request = Request::new_with_init("https://room/", &init)?;
        let response = stub(env, room)?.fetch_with_request(request).await?;
        Ok(response.websocket())
    });
    let socket = within_timeout(answer).await.flatten()?;
    let socket: &worker::web_sys::WebSocket = socket.as_ref();
    Some(socket.clone().unchecked_into())
}

/// What comes in time, and is no failure.
async fn within_timeout<T>(answer: impl Future<Output = worker::Result<T>> + Unpin) -> Option<T> {
    match select(answer, Delay::from(CALL_TIMEOUT)).await {
        Either::Left((answer, _)) => answer.ok(),
        Either::Right(_) => None,
    }
}

/// Asks a server that is none of ours: what `read` makes of its answer, if that comes in time. Where it
/// redirects to is for the caller to judge: the headers are meant for this address alone.
pub async fn send<T>(
    method: Method,
    url: &str,
    headers: &[(&str, String)],
    body: Option<&str>,
    read: impl AsyncFnOnce(Response) -> worker::Result<T>,
) -> Option<T> {
    let abort = AbortController::default();
    let signal = abort.signal();
    let answer = Box::pin(async {
        let named = Headers::new();
        for (name, value) in headers {
            named.set(name, value)?;
        }
        let mut init = RequestInit::new();
        init.with_method(method)
            .with_headers(named)
            .with_redirect(RequestRedirect::Manual)
            .with_body(body.map(Into::into));
        let request = Request::new_with_init(url, &init)?;
        read(Fetch::Request(request).send_with_signal(&signal).await?).await
    });
    let answer = within_timeout(answer).await;
    if answer.is_none() {
        abort.abort();
    }
    answer
}

fn is_success(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..300).contains(&status))
}

/// Posts an event to a backend; whether it took it.
pub async fn post_event(post: &Post) -> bool {
    let read = async |response: Response| Ok(response.status_code());
    let body = Some(post.body.as_str());
    let status = send(Method::Post, &post.url, &post.headers, body, read).await;
    let taken = is_success(status);
    metrics::count(Count::EventWebhooks(Foreign::from(taken)));
    if !taken {
        logging::error("event_webhook_failed", json!({"status": status}));
    }
    taken
}

/// Calls Twilio's REST API, once; what it answered, if it did.
pub async fn call_twilio(call: &rest::Call) -> Option<rest::Answer> {
    let read = async |mut response: Response| {
        let retry_after = response.headers().get("retry-after")?;
        Ok(rest::Answer {
            status: response.status_code(),
            retry_after: retry_after.and_then(|seconds| seconds.trim().parse().ok()),
            body: beginning(&mut response).await?,
        })
    };
    let sends = call.method == "POST";
    let method = if sends { Method::Post } else { Method::Get };
    let body = call.body.as_deref();
    let answer = send(method, &call.url, &call.headers, body, read).await;
    if sends {
        metrics::twilio_call(&rest::verdict(answer.as_ref()));
    }
    let status = answer.as_ref().map(|answer| answer.status);
    if !is_success(status) {
        logging::error("twilio_call_failed", json!({"status": status}));
    }
    answer
}

/// A body's text, as far as it is read.
async fn beginning(response: &mut Response) -> worker::Result<String> {
    let mut bytes = Vec::new();
    // One without a body has no stream.
    if let Ok(mut stream) = response.stream() {
        while bytes.len() < MAX_TWILIO_ANSWER_BYTES
            && let Some(chunk) = stream.next().await
        {
            bytes.extend(chunk?);
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
