//! What came with an inbound message: fetched from Twilio with our credentials, and passed on to whoever
//! may see the conversation. Which addresses may be asked, and for what, is core's to say.

use dialtone_core::{
    config::TwilioConfig,
    error::{Code, Refusal},
    limits::{MAX_MEDIA_BYTES, MAX_MEDIA_REDIRECTS},
    twilio::{
        inbound::MessageSid,
        media::{is_shown_inline, redirect, source},
        outbound::Conversation,
    },
    wire::{Recorded, Request as RoomRequest, WhichMedia},
};
use dialtone_durable::peers;
use futures::{Stream, StreamExt as _};
use worker::{ByteStream, Method, Response};

use super::{conversations::must_be_configured, passed_on};
use crate::{
    Failure,
    auth::Caller,
    respond::{Reply, with_headers},
    rooms,
};

/// `GET /api/lines/{number}/conversations/{contact}/media/{sid}/{n}`.
pub async fn media(
    caller: &Caller<'_>,
    [line, contact, sid, n]: [&str; 4],
) -> Result<Reply, Failure> {
    let room = Conversation::parse(line, contact)?.room;
    let not_a_number = |_| Refusal::bad_request("media are numbered from 0");
    let which = WhichMedia {
        sid: MessageSid::parse(sid).map_err(Refusal::from)?,
        index: n.parse().map_err(not_a_number)?,
    };
    let access = caller.access_to_history(&room).await?;
    let twilio = &caller.environment.config.twilio;
    must_be_configured(twilio)?;
    let question = RoomRequest::Media {
        caller: caller.with(access),
        which,
    };
    let mut answer = rooms::ask(caller.env, &room, &question).await?;
    if answer.status_code() != 200 {
        return Ok(passed_on(answer));
    }
    let Recorded { url } = answer.json().await?;
    Ok(Reply::Api(shown(fetch(&url, twilio).await?)?))
}

/// What is at the recorded address, wherever Twilio keeps it. Only the first request has the credentials.
async fn fetch(recorded: &str, twilio: &TwilioConfig) -> Result<Response, Refusal> {
    let elsewhere = || {
        Refusal::new(
            Code::TwilioError,
            "Twilio keeps it where it is not fetched from",
        )
    };
    let mut url = source(recorded, twilio).ok_or_else(gone)?;
    let mut answer = get(&url, twilio.authorization()).await?;
    for _ in 0..MAX_MEDIA_REDIRECTS {
        if !matches!(answer.status_code(), 301 | 302 | 303 | 307 | 308) {
            break;
        }
        let location = answer.headers().get("location").ok().flatten();
        url = location
            .and_then(|location| redirect(&url, &location, twilio))
            .ok_or_else(elsewhere)?;
        answer = get(&url, None).await?;
    }
    match answer.status_code() {
        200 => Ok(answer),
        404 => Err(gone()),
        status => Err(Refusal::new(
            Code::TwilioError,
            format!("Twilio answered {status}"),
        )),
    }
}

async fn get(url: &str, authorization: Option<String>) -> Result<Response, Refusal> {
    let headers: Vec<_> = authorization
        .map(|value| ("authorization", value))
        .into_iter()
        .collect();
    // The headers in time; the body may take as long as the client does.
    let answer = peers::send(Method::Get, url, &headers, None, async |answer| Ok(answer)).await;
    answer.ok_or_else(|| Refusal::new(Code::TwilioError, "Twilio did not answer"))
}

fn gone() -> Refusal {
    Refusal::not_found("there is no such file")
}

/// As the client gets it. A stranger sent it: it may not run as a page of ours.
fn shown(mut file: Response) -> Result<Response, Failure> {
    let header = |name: &str| file.headers().get(name).ok().flatten();
    let announced = header("content-length").and_then(|bytes| bytes.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_MEDIA_BYTES) {
        let message = format!("the file is larger than {MAX_MEDIA_BYTES} bytes");
        return Err(Refusal::new(Code::PayloadTooLarge, message).into());
    }
    let kind = header("content-type").unwrap_or_else(|| "application/octet-stream".to_owned());
    let disposition = if is_shown_inline(&kind) {
        "inline"
    } else {
        "attachment"
    };
    // An empty one has no stream.
    let body = match file.stream() {
        Ok(stream) => Response::from_stream(limited(stream))?,
        Err(_) => Response::empty()?,
    };
    Ok(with_headers(
        body,
        &[
            ("Content-Type", kind),
            ("Content-Disposition", disposition.to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("Content-Security-Policy", "sandbox".to_owned()),
            ("Cache-Control", "private, max-age=3600".to_owned()),
        ],
    )?)
}

/// Breaks off past the limit: what Twilio announced, if anything, may not be what came.
fn limited(stream: ByteStream) -> impl Stream<Item = worker::Result<Vec<u8>>> {
    let mut left = MAX_MEDIA_BYTES;
    stream.map(move |chunk| {
        let chunk = chunk?;
        left = left
            .checked_sub(chunk.len())
            .ok_or("the file is too large")?;
        Ok(chunk)
    })
}
