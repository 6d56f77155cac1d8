//! `/socket.io/`: which object a request is for. What it means is decided there.

use dialtone_core::{
    auth::{CorsDecision, credentials, origin},
    engine_io::{self, Error},
    error::Refusal,
    hub::lobby,
    namespaces::room_from_client,
    object::{Polled, home_of},
    wire::{Door, EngineRequest, Method},
};
use dialtone_durable::{environment::environment, random, room::polled, tokens};
use worker::{Env, Request, Response};

use super::body;
use crate::{
    Failure,
    auth::{header, query},
    respond, rooms,
};

/// Serves one request. Errors that the protocol has are answered in its own words.
pub async fn serve(
    mut request: Request,
    env: &Env,
    cors: &Result<CorsDecision, Refusal>,
    echo: bool,
) -> Result<Response, Failure> {
    let headers = cors.as_ref().map(CorsDecision::engine_headers);
    let answer = match answer(&mut request, env, cors.is_ok(), echo).await {
        Ok(response) => response,
        Err(Answer::Error(error)) => polled(Polled::Error(error))?,
        Err(Answer::Failure(failure)) => respond::problem(&failure.into_refusal())?,
    };
    // An upgrade's answer goes as it is; a refused origin reads nothing.
    match (answer.status_code(), headers) {
        (101, _) | (_, Err(_)) => Ok(answer),
        (_, Ok(headers)) => Ok(respond::with_headers(answer, &headers)?),
    }
}

enum Answer {
    Error(Error),
    Failure(Failure),
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Failure(refusal.into())
    }
}

impl From<worker::Error> for Answer {
    fn from(error: worker::Error) -> Self {
        Self::Failure(error.into())
    }
}

async fn answer(
    request: &mut Request,
    env: &Env,
    origin_allowed: bool,
    echo: bool,
) -> Result<Response, Answer> {
    let environment = environment(env)?;
    let config = &environment.config;
    let is_foreign = origin::is_of_another_site(
        header(request, "origin").as_deref(),
        header(request, "sec-fetch-site").as_deref(),
        &config.allowed_origins,
    );
    if !origin_allowed || is_foreign {
        return Err(Error::Forbidden.into());
    }
    let sid = query(request, "sid");
    let method = engine_io::check_request(&engine_io::RequestLine {
        method: &request.inner().method(),
        transport: query(request, "transport").as_deref(),
        version: query(request, "EIO").as_deref(),
        has_sid: sid.is_some(),
        is_upgrade: header(request, "upgrade")
            .is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")),
    })?;
    let (object, hint) = match (&sid, query(request, "room")) {
        (Some(sid), _) => (home_of(sid).ok_or(Error::SessionIdUnknown)?, None),
        (None, Some(room)) => (room_from_client(&room)?, None),
        (None, None) => {
            let continent = request.cf().and_then(worker::Cf::continent);
            lobby::choose(config.lobbies, continent.as_deref(), random::number())
        }
    };
    let door = if sid.is_none() {
        door(request, &environment, echo).await?
    } else {
        Door::default()
    };
    let body = match method {
        Method::Post => Some(packets(request, config.max_payload_bytes).await?),
        Method::Get | Method::Upgrade => None,
    };
    let engine = EngineRequest { method, sid, door };
    Ok(rooms::engine(env, &object, hint, &engine, body).await?)
}

/// What the handshake says of the client. A token that is there already must be good.
async fn door(
    request: &Request,
    environment: &dialtone_core::object::Environment,
    echo: bool,
) -> Result<Door, Answer> {
    let token = credentials::find_token(
        header(request, "authorization").as_deref(),
        header(request, "sec-websocket-protocol").as_deref(),
        query(request, "token").as_deref(),
    );
    let claims = match token {
        Some(token) => {
            let verified = tokens::verify(&environment.keys, &token).await;
            Some(verified.map_err(Refusal::from)?)
        }
        None => None,
    };
    let knows = engine_io::knows_recovery(
        query(request, "recovery").as_deref(),
        header(request, "origin")
            .or_else(|| header(request, "sec-fetch-site"))
            .as_deref(),
        header(request, "user-agent").as_deref(),
    );
    Ok(Door {
        recovery: knows,
        claims,
        echo,
    })
}

/// A POST's packets: text, for engine.io v4 has no other.
async fn packets(request: &mut Request, limit: usize) -> Result<String, Answer> {
    if super::media_type(request).as_deref() == Some("application/octet-stream") {
        return Err(Error::BadRequest.into());
    }
    let bytes = match body(request, limit).await {
        Ok(bytes) => bytes,
        Err(failure) => return Err(Answer::Failure(failure)),
    };
    String::from_utf8(bytes).map_err(|_| Error::BadRequest.into())
}
