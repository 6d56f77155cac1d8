//! Room objects, as the Worker asks them.

use dialtone_core::{
    names::RoomName,
    wire::{
        CONNECT_HEADER, Connect, ENGINE_HEADER, EngineRequest, Method, Request as RoomRequest,
        to_header,
    },
};
use dialtone_durable::peers;
use serde::de::DeserializeOwned;
use worker::{Env, Error, Headers, Request, RequestInit, Response, Result};

/// Asks a room and passes its answer on as it is.
pub async fn ask(env: &Env, room: &RoomName, request: &RoomRequest) -> Result<Response> {
    peers::ask(env, room, request).await
}

/// Asks a room something that it does not refuse.
pub async fn ask_json<T: DeserializeOwned>(
    env: &Env,
    room: &RoomName,
    request: &RoomRequest,
) -> Result<T> {
    let mut response = ask(env, room, request).await?;
    if response.status_code() == 200 {
        response.json().await
    } else {
        Err(Error::RustError(format!(
            "a room answered {}",
            response.status_code()
        )))
    }
}

/// Hands an upgrade over to a room.
pub async fn connect(env: &Env, room: &RoomName, connect: &Connect) -> Result<Response> {
    let headers = Headers::new();
    headers.set("upgrade", "websocket")?;
    headers.set(CONNECT_HEADER, &to_header(connect))?;
    let mut init = RequestInit::new();
    init.with_headers(headers);
    let request = Request::new_with_init("https://room/", &init)?;
    peers::stub(env, room)?.fetch_with_request(request).await
}

/// Hands an Engine.IO request over to the object that holds its session, or is to.
pub async fn engine(
    env: &Env,
    object: &RoomName,
    hint: Option<&str>,
    engine: &EngineRequest,
    body: Option<String>,
) -> Result<Response> {
    let headers = Headers::new();
    headers.set(ENGINE_HEADER, &to_header(engine))?;
    let mut init = RequestInit::new();
    match engine.method {
        Method::Get => {}
        Method::Upgrade => headers.set("upgrade", "websocket")?,
        Method::Post => {
            init.with_method(worker::Method::Post)
                .with_body(body.map(Into::into));
        }
    }
    init.with_headers(headers);
    let request = Request::new_with_init("https://room/", &init)?;
    let stub = peers::stub_near(env, object, hint)?;
    stub.fetch_with_request(request).await
}
