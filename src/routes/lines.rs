//! Phone lines: which there are for someone, and who works one: the members of its room, by another name.

use dialtone_core::{
    error::Refusal,
    lines,
    names::{RoomName, UserId},
    twilio::inbound::{self, Address},
    wire::{Lines, Request as RoomRequest, Unread},
};
use futures::future::{try_join, try_join_all};
use serde::{Deserialize, Serialize};

use super::rooms::user_id;
use crate::{
    Failure,
    auth::Caller,
    respond::{self, Reply},
    rooms,
};

#[derive(Deserialize)]
struct Members {
    members: Vec<Member>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    user_id: UserId,
}

#[derive(Serialize)]
struct Assignees {
    assignees: Vec<UserId>,
}

#[derive(Serialize)]
struct Listed<'a> {
    lines: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    number: &'a str,
    unread: u64,
}

/// `GET /api/lines`: the caller's, each with what is unread there.
pub async fn list(caller: &Caller<'_>) -> Result<Reply, Failure> {
    let (own, admins) = (caller.own_room()?, everyones()?);
    let all = async {
        if lines::takes_all(&caller.claims) {
            rooms::ask_json(caller.env, &admins, &RoomRequest::Lines).await
        } else {
            Ok(Lines::default())
        }
    };
    let own = rooms::ask_json(caller.env, &own, &RoomRequest::Lines);
    let (own, all) = try_join(own, all).await?;
    let shown = lines::shown(&caller.claims, &own, &all);
    let lines = shown.iter().map(async |room| {
        let Unread { unread } = rooms::ask_json(caller.env, room, &RoomRequest::Unread).await?;
        let number = room.id();
        Ok::<_, worker::Error>(Line { number, unread })
    });
    let lines = try_join_all(lines).await?;
    Ok(respond::json(&Listed { lines })?)
}

/// Where it is known which lines there are.
fn everyones() -> Result<RoomName, Refusal> {
    RoomName::new("admins", "all").map_err(|_| Refusal::internal())
}

/// The room of a line in a path.
pub fn line_room(number: &str) -> Result<RoomName, Refusal> {
    Address::parse(number)
        .and_then(|line| inbound::line_room(&line).ok())
        .ok_or_else(|| Refusal::bad_request("a line is an address as Twilio writes it"))
}

/// `GET /api/lines/{number}/assignees`.
pub async fn assignees(caller: &Caller<'_>, line: &str) -> Result<Reply, Failure> {
    answer(caller, line, RoomRequest::Members).await
}

/// `PUT /api/lines/{number}/assignees/{userId}`.
pub async fn assign(caller: &Caller<'_>, line: &str, user: &str) -> Result<Reply, Failure> {
    answer(
        caller,
        line,
        RoomRequest::AddMember {
            user: user_id(user)?,
        },
    )
    .await
}

/// `DELETE /api/lines/{number}/assignees/{userId}`.
pub async fn unassign(caller: &Caller<'_>, line: &str, user: &str) -> Result<Reply, Failure> {
    answer(
        caller,
        line,
        RoomRequest::RemoveMember {
            user: user_id(user)?,
        },
    )
    .await
}

async fn answer(caller: &Caller<'_>, line: &str, request: RoomRequest) -> Result<Reply, Failure> {
    caller.must_operate()?;
    let room = line_room(line)?;
    let mut response = rooms::ask(caller.env, &room, &request).await?;
    if response.status_code() != 200 {
        return Ok(Reply::Api(response));
    }
    let Members { members } = response.json().await?;
    let assignees = members.into_iter().map(|member| member.user_id).collect();
    Ok(respond::json(&Assignees { assignees })?)
}
