//! One file a group of routes; each shapes the request, asks the Room, and passes the answer on.

pub mod conversations;
pub mod emit;
pub mod health;
pub mod lines;
pub mod media;
pub mod page;
pub mod polled;
pub mod rooms;
pub mod socket_io;
pub mod webhooks;

use dialtone_core::{error::Refusal, limits};
use futures::StreamExt as _;
use worker::{Request, Response};

use crate::{
    Failure,
    auth::Caller,
    respond::Reply,
    router::{Parameters, Route},
};

/// Routes that take a token.
pub async fn authenticated(
    route: Route,
    parameters: &Parameters,
    request: Request,
    caller: &Caller<'_>,
) -> Result<Reply, Failure> {
    let [first, second, third, fourth] = parameters.each_ref().map(String::as_str);
    match route {
        Route::Metrics => {
            caller.must_operate()?;
            Ok(Reply::Api(health::metrics()?))
        }
        Route::Connect => rooms::connect(&request, caller, first).await,
        Route::History => rooms::history(&request, caller, first).await,
        Route::Presence => rooms::presence(caller, first).await,
        Route::Events => rooms::events(request, caller, first).await,
        Route::Members => rooms::members(caller, first).await,
        Route::AddMember => rooms::add_member(caller, first, second).await,
        Route::RemoveMember => rooms::remove_member(caller, first, second).await,
        Route::Disconnect => rooms::disconnect(&request, caller, first).await,
        Route::Backup => rooms::backup(&request, caller, first).await,
        Route::Restore => rooms::restore(request, caller, first).await,
        Route::Lines => lines::list(caller).await,
        Route::Assignees => lines::assignees(caller, first).await,
        Route::Assign => lines::assign(caller, first, second).await,
        Route::Unassign => lines::unassign(caller, first, second).await,
        Route::Conversations => conversations::list(&request, caller, first).await,
        Route::AssignConversation => conversations::assign(request, caller, first, second).await,
        Route::Conversation => conversations::messages(&request, caller, first, second).await,
        Route::SendMessage => conversations::send(request, caller, first, second).await,
        Route::Media => media::media(caller, [first, second, third, fourth]).await,
        Route::Emit => emit::emit(request, caller).await,
        Route::EmitJob => emit::job(request, caller, first).await,
        Route::EmitAnalytics => emit::analytics(request, caller, first).await,
        Route::Notify => emit::notification(request, caller, first).await,
        Route::Job => polled::latest(&request, caller, "job", first).await,
        Route::Analytics => polled::latest(&request, caller, "brand", first).await,
        Route::ChatMessages => polled::messages(&request, caller, first).await,
        Route::Notifications => polled::notifications(&request, caller).await,
        Route::ReadNotification => polled::read_notification(caller, first).await,
        Route::ClearNotifications => polled::clear_notifications(caller).await,
        // Answered before there was a token to ask for.
        Route::Preflight
        | Route::Health
        | Route::TwilioInbound
        | Route::TwilioStatus
        | Route::Page
        | Route::SocketIo
        | Route::EngineIo => Err(Refusal::not_found("there is no such route").into()),
    }
}

/// A request's body, at most `limit` bytes of it.
async fn body(request: &mut Request, limit: usize) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes");
        Refusal::new(dialtone_core::error::Code::PayloadTooLarge, message)
    };
    let announced = crate::auth::header(request, "content-length");
    if announced
        .and_then(|length| length.parse::<usize>().ok())
        .is_some_and(|n| n > limit)
    {
        return Err(too_large().into());
    }
    // A GET, or a request without a body, has no stream.
    let Ok(mut stream) = request.stream() else {
        return Ok(Vec::new());
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend(chunk?);
        if bytes.len() > limit {
            return Err(too_large().into());
        }
    }
    Ok(bytes)
}

/// The media type of a request's body, in lower case, without parameters.
fn media_type(request: &Request) -> Option<String> {
    let value = crate::auth::header(request, "content-type")?;
    Some(
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase(),
    )
}

/// A JSON body as text; a form, or anything else that is not JSON, is a 415.
async fn json_body(mut request: Request, limit: usize) -> Result<String, Failure> {
    if media_type(&request).is_some_and(|media| media != "application/json") {
        let message = "the body must be application/json";
        let code = dialtone_core::error::Code::UnsupportedMediaType;
        return Err(Refusal::new(code, message).into());
    }
    String::from_utf8(body(&mut request, limit).await?)
        .map_err(|_| Refusal::bad_request("the body is not UTF-8").into())
}

/// A number in the query.
fn number<T: std::str::FromStr>(request: &Request, name: &str) -> Result<Option<T>, Refusal> {
    crate::auth::query(request, name)
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| Refusal::bad_request(format!("`{name}` must be a whole number")))
}

/// How many messages of history: at least one, at most a page.
fn history_limit(request: &Request) -> Result<u32, Refusal> {
    match number::<u64>(request, "limit")? {
        Some(0) => Err(Refusal::bad_request("`limit` must be at least 1")),
        Some(limit) => Ok(u32::try_from(limit)
            .unwrap_or(u32::MAX)
            .min(limits::MAX_HISTORY_LIMIT)),
        None => Ok(limits::DEFAULT_HISTORY_LIMIT),
    }
}

/// A Room's own answer.
fn passed_on(response: Response) -> Reply {
    Reply::Api(response)
}
