//! Room objects, as the Worker asks them.

use dialtone_core::{
    names::RoomName,
    wire::{CONNECT_HEADER, Connect, Request as RoomRequest},
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
    headers.set(CONNECT_HEADER, &connect.to_header())?;
    let mut init = RequestInit::new();
    init.with_headers(headers);
    let request = Request::new_with_init("https://room/", &init)?;
    peers::stub(env, room)?.fetch_with_request(request).await
}
