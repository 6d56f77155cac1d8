//! Who works a phone line: the members of its room, by another name.

use dialtone_core::{
    error::Refusal,
    names::{RoomName, UserId},
    wire::Request as RoomRequest,
};
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

pub async fn list(caller: &Caller<'_>, line: &str) -> Result<Reply, Failure> {
    answer(caller, line, RoomRequest::Members).await
}

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
    let room = RoomName::new("line", line)
        .map_err(|_| Refusal::bad_request("a line is an address as Twilio writes it"))?;
    let mut response = rooms::ask(caller.env, &room, &request).await?;
    if response.status_code() != 200 {
        return Ok(Reply::Api(response));
    }
    let Members { members } = response.json().await?;
    let assignees = members.into_iter().map(|member| member.user_id).collect();
    Ok(respond::json(&Assignees { assignees })?)
}
