//! A phone line's conversations, and what is said in one of them.

use dialtone_core::{
    config::TwilioConfig,
    error::{Code, Refusal},
    lines::assignee,
    names::{Offset, RoomName},
    twilio::outbound::{Conversation, Draft, status_callback},
    wire::{Request as RoomRequest, SendMessage},
};
use worker::Request;

use super::{history_limit, json_body, lines::line_room, number, passed_on};
use crate::{
    Failure,
    auth::{Caller, header, query},
    respond::Reply,
    rooms,
};

/// `GET /api/lines/{number}/conversations`.
pub async fn list(request: &Request, caller: &Caller<'_>, line: &str) -> Result<Reply, Failure> {
    let room = line_room(line)?;
    let (cursor, limit) = (query(request, "cursor"), history_limit(request)?);
    let access = caller.access(&room).await?;
    let conversations = RoomRequest::Conversations {
        caller: caller.with(access),
        cursor,
        limit,
    };
    ask(caller, &room, conversations).await
}

/// `PUT /api/lines/{number}/conversations/{contact}/assignee`.
pub async fn assign(
    request: Request,
    caller: &Caller<'_>,
    line: &str,
    contact: &str,
) -> Result<Reply, Failure> {
    let conversation = Conversation::parse(line, contact)?;
    let room = line_room(conversation.line.as_str())?;
    let access = caller.access(&room).await?;
    let body = json_body(request, caller.environment.config.max_payload_bytes).await?;
    let assign = RoomRequest::AssignConversation {
        caller: caller.with(access),
        contact: conversation.contact.line_key(),
        user: assignee(&body)?,
    };
    ask(caller, &room, assign).await
}

/// `GET /api/lines/{number}/conversations/{contact}/messages`.
pub async fn messages(
    request: &Request,
    caller: &Caller<'_>,
    line: &str,
    contact: &str,
) -> Result<Reply, Failure> {
    let room = Conversation::parse(line, contact)?.room;
    let (after, before) = (
        number(request, "after")?.map(Offset),
        number(request, "before")?.map(Offset),
    );
    let limit = history_limit(request)?;
    let access = caller.access_to_history(&room).await?;
    let conversation = RoomRequest::Conversation {
        caller: caller.with(access),
        after,
        before,
        limit,
    };
    ask(caller, &room, conversation).await
}

/// `POST /api/lines/{number}/conversations/{contact}/messages`: 202, for it is only sent after that.
pub async fn send(
    request: Request,
    caller: &Caller<'_>,
    line: &str,
    contact: &str,
) -> Result<Reply, Failure> {
    let conversation = Conversation::parse(line, contact)?;
    conversation.may_be_sent_to()?;
    let access = caller.access(&conversation.room).await?;
    let config = &caller.environment.config;
    must_be_configured(&config.twilio)?;
    let url = request.url()?;
    let key = header(&request, "idempotency-key");
    let body = json_body(request, config.max_payload_bytes).await?;
    let draft = Draft::parse(&body, key.as_deref())?;
    let origin = url.origin().ascii_serialization();
    let callback = status_callback(
        config.public_base_url.as_deref().unwrap_or(&origin),
        config.twilio.api_base.is_some(),
        &conversation.room,
        &draft.id,
    );
    let message = RoomRequest::SendMessage(Box::new(SendMessage {
        caller: caller.with(access),
        line: conversation.line.as_str().to_owned(),
        contact: conversation.contact.as_str().to_owned(),
        id: draft.id,
        body: draft.body,
        media: draft.media,
        callback,
    }));
    let answer = rooms::ask(caller.env, &conversation.room, &message).await?;
    let status = match answer.status_code() {
        200 => 202,
        refused => refused,
    };
    Ok(passed_on(answer.with_status(status)))
}

/// Twilio's API asks for the account and its token.
pub fn must_be_configured(twilio: &TwilioConfig) -> Result<(), Refusal> {
    match twilio.missing().as_slice() {
        [] => Ok(()),
        names => {
            let message = format!("not configured: {}", names.join(", "));
            Err(Refusal::new(Code::NotConfigured, message))
        }
    }
}

async fn ask(caller: &Caller<'_>, room: &RoomName, request: RoomRequest) -> Result<Reply, Failure> {
    Ok(passed_on(rooms::ask(caller.env, room, &request).await?))
}
