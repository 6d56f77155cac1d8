//! `/rooms/{room}` and what is below it.

use dialtone_core::{
    auth::credentials,
    error::Refusal,
    hub::plain::{self, ClientFrame},
    limits::MAX_RESTORE_BYTES,
    names::{Offset, RoomName, UserId},
    namespaces::{self, room_from_client},
    wire::{Connect, Request as RoomRequest},
};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use worker::Request;

use super::{history_limit, json_body, number, passed_on};
use crate::{
    Failure,
    auth::{Caller, header, query},
    respond::{self, Reply},
    rooms,
};

/// `GET /rooms/{room}`: a plain WebSocket.
pub async fn connect(request: &Request, caller: &Caller<'_>, room: &str) -> Result<Reply, Failure> {
    let room = room_from_client(room)?;
    if !header(request, "upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return Err(Refusal::bad_request("this route takes a WebSocket upgrade").into());
    }
    let access = caller.access_to_stay(&room).await?;
    let connect = Connect {
        caller: caller.with(access),
        since: query(request, "since"),
        batch: query(request, "batch").is_some_and(|value| value == "1"),
    };
    let response = rooms::connect(caller.env, &room, &connect).await?;
    if response.status_code() != 101 {
        return Ok(Reply::Api(response));
    }
    let protocol =
        credentials::answer_protocol(header(request, "sec-websocket-protocol").as_deref());
    let answer: Vec<_> = protocol
        .map(|p| ("Sec-WebSocket-Protocol", p.to_owned()))
        .into_iter()
        .collect();
    Ok(Reply::AsIs(respond::with_headers(response, &answer)?))
}

/// `GET /rooms/{room}/history`.
pub async fn history(request: &Request, caller: &Caller<'_>, room: &str) -> Result<Reply, Failure> {
    let room = room_from_client(room)?;
    let (after, before) = (
        number(request, "after")?.map(Offset),
        number(request, "before")?.map(Offset),
    );
    let limit = history_limit(request)?;
    let access = caller.access_to_history(&room).await?;
    let caller_there = caller.with(access);
    ask(
        caller,
        &room,
        RoomRequest::History {
            caller: caller_there,
            after,
            before,
            limit,
        },
    )
    .await
}

/// `GET /rooms/{room}/presence`.
pub async fn presence(caller: &Caller<'_>, room: &str) -> Result<Reply, Failure> {
    let room = room_from_client(room)?;
    let access = caller.access(&room).await?;
    ask(
        caller,
        &room,
        RoomRequest::Presence {
            caller: caller.with(access),
        },
    )
    .await
}

/// `POST /rooms/{room}/events`: the body is what a plain WebSocket would send.
pub async fn events(request: Request, caller: &Caller<'_>, room: &str) -> Result<Reply, Failure> {
    let room = room_from_client(room)?;
    let access = caller.access(&room).await?;
    let limit = caller.environment.config.max_payload_bytes;
    let ClientFrame { id, event } = plain::decode(&json_body(request, limit).await?);
    let event = event?;
    let request = RoomRequest::Event {
        caller: caller.with(access),
        event: event.event,
        args: event.args,
        id,
    };
    ask(caller, &room, request).await
}

/// `GET /rooms/{room}/members`.
pub async fn members(caller: &Caller<'_>, room: &str) -> Result<Reply, Failure> {
    operate(caller, room, RoomRequest::Members).await
}

/// `PUT /rooms/{room}/members/{userId}`.
pub async fn add_member(caller: &Caller<'_>, room: &str, user: &str) -> Result<Reply, Failure> {
    operate(
        caller,
        room,
        RoomRequest::AddMember {
            user: user_id(user)?,
        },
    )
    .await
}

/// `DELETE /rooms/{room}/members/{userId}`.
pub async fn remove_member(caller: &Caller<'_>, room: &str, user: &str) -> Result<Reply, Failure> {
    operate(
        caller,
        room,
        RoomRequest::RemoveMember {
            user: user_id(user)?,
        },
    )
    .await
}

/// `DELETE /rooms/{room}/connections?user=`.
pub async fn disconnect(
    request: &Request,
    caller: &Caller<'_>,
    room: &str,
) -> Result<Reply, Failure> {
    let user = query(request, "user")
        .map(|user| user_id(&user))
        .transpose()?;
    caller.must_operate()?;
    let room = room_from_client(room)?;
    let disconnect = RoomRequest::Disconnect { user: user.clone() };
    for other in namespaces::disconnects_too(&room, user.as_ref()) {
        rooms::ask_json::<IgnoredAny>(caller.env, &other, &disconnect).await?;
    }
    ask(caller, &room, disconnect).await
}

/// `GET /rooms/{room}/backup?cursor=`.
pub async fn backup(request: &Request, caller: &Caller<'_>, room: &str) -> Result<Reply, Failure> {
    caller.must_be_service()?;
    let cursor = query(request, "cursor");
    ask(
        caller,
        &room_from_client(room)?,
        RoomRequest::Backup { cursor },
    )
    .await
}

/// `PUT /rooms/{room}/backup`.
pub async fn restore(request: Request, caller: &Caller<'_>, room: &str) -> Result<Reply, Failure> {
    caller.must_be_service()?;
    let room = room_from_client(room)?;
    let body = json_body(request, MAX_RESTORE_BYTES).await?;
    let page =
        RawValue::from_string(body).map_err(|_| Refusal::bad_request("the body is not JSON"))?;
    ask(caller, &room, RoomRequest::Restore { page }).await
}

/// A user's id from a path or a query.
pub fn user_id(text: &str) -> Result<UserId, Refusal> {
    UserId::text(text).map_err(|error| Refusal::bad_request(error.to_string()))
}

async fn operate(caller: &Caller<'_>, room: &str, request: RoomRequest) -> Result<Reply, Failure> {
    caller.must_operate()?;
    ask(caller, &room_from_client(room)?, request).await
}

async fn ask(caller: &Caller<'_>, room: &RoomName, request: RoomRequest) -> Result<Reply, Failure> {
    Ok(passed_on(rooms::ask(caller.env, room, &request).await?))
}
