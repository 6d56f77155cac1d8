//! What clients poll whose socket is down: each answer has an entity tag.

use dialtone_core::{
    error::Refusal, event::Args, limits::MAX_NOTIFICATION_ID_LEN, names::RoomName,
    namespaces::room_from_client, wire::Request as RoomRequest,
};
use serde::Serialize;
use worker::Request;

use super::history_limit;
use crate::{
    Failure,
    auth::{Caller, query},
    respond::{self, Reply},
    rooms,
};

/// `GET /api/jobs/{id}`, `GET /api/analytics/{brandId}`: the last that was published.
pub async fn latest(
    request: &Request,
    caller: &Caller<'_>,
    kind: &str,
    id: &str,
) -> Result<Reply, Failure> {
    let room = room_from_client(&format!("{kind}:{id}"))?;
    let access = caller.access(&room).await?;
    let caller_there = caller.with(access);
    ask(
        request,
        caller,
        &room,
        RoomRequest::Latest {
            caller: caller_there,
        },
    )
    .await
}

/// `GET /chat/{chatId}/messages`.
pub async fn messages(request: &Request, caller: &Caller<'_>, id: &str) -> Result<Reply, Failure> {
    let room = room_from_client(&format!("chat:{id}"))?;
    let (before, limit) = (query(request, "before"), history_limit(request)?);
    let access = caller.access_to_history(&room).await?;
    let messages = RoomRequest::Messages {
        caller: caller.with(access),
        before,
        limit,
    };
    ask(request, caller, &room, messages).await
}

/// `GET /api/notifications`: one's own.
pub async fn notifications(request: &Request, caller: &Caller<'_>) -> Result<Reply, Failure> {
    let notifications = RoomRequest::Notifications {
        unread: query(request, "unread").is_some_and(|value| value == "1" || value == "true"),
        limit: history_limit(request)?,
    };
    ask(request, caller, &caller.own_room()?, notifications).await
}

/// `POST /api/notifications/{id}/read`.
pub async fn read_notification(caller: &Caller<'_>, id: &str) -> Result<Reply, Failure> {
    #[derive(Serialize)]
    struct Read<'a> {
        id: &'a str,
    }
    if !(1..=MAX_NOTIFICATION_ID_LEN).contains(&id.len()) {
        return Err(Refusal::bad_request("the path names no notification").into());
    }
    event(caller, "mark-read", Args::of(&Read { id })).await
}

/// `DELETE /api/notifications`.
pub async fn clear_notifications(caller: &Caller<'_>) -> Result<Reply, Failure> {
    event(caller, "clear-all", Args::none()).await
}

/// An event of the caller's for their own room, as if one of their sockets had sent it.
async fn event(caller: &Caller<'_>, name: &str, args: Args) -> Result<Reply, Failure> {
    let room = caller.own_room()?;
    let access = caller.access(&room).await?;
    let request = RoomRequest::Event {
        caller: caller.with(access),
        event: name.to_owned(),
        args,
        id: None,
    };
    Ok(Reply::Api(rooms::ask(caller.env, &room, &request).await?))
}

async fn ask(
    request: &Request,
    caller: &Caller<'_>,
    room: &RoomName,
    question: RoomRequest,
) -> Result<Reply, Failure> {
    let answer = rooms::ask(caller.env, room, &question).await?;
    Ok(Reply::Api(respond::conditional(request, answer).await?))
}
