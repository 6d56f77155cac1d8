//! The Worker: routes, verifies, forwards. It holds no state and decides nothing that core can.
//!
//! `request → router → origin → auth → Room object → response`

mod auth;
mod respond;
mod rooms;
mod router;
mod routes;

use dialtone_core::{auth::CorsDecision, error::Refusal};
pub use dialtone_durable::Room;
use dialtone_durable::{analytics, environment::environment, logging};
use serde_json::json;
use worker::{Context, Env, Request, Response, Result, event};

use respond::Reply;
use router::Route;

#[event(fetch)]
async fn fetch(request: Request, env: Env, _: Context) -> Result<Response> {
    logging::panics();
    let method = request.inner().method();
    let path = request.path();
    // Errors, too, must be readable by the page that caused them.
    let cors = environment(&env).and_then(|env| auth::check_origin(&request, &env.config));
    let reply = match handle(request, &env, &method, &path, &cors).await {
        Ok(reply) => reply,
        Err(failure) => {
            let refusal = failure.into_refusal();
            if refusal.code.status() >= 500 {
                // The path names the route; a room's name in it is no secret, a query may hold one.
                let fields = json!({"method": method, "path": path, "code": refusal.code});
                logging::error("request_failed", fields);
            }
            Reply::Api(respond::problem(&refusal)?)
        }
    };
    analytics::report(&env, auth::now());
    match (reply, cors) {
        (Reply::Api(response), Ok(cors)) => respond::with_headers(response, &cors.headers()),
        (Reply::Api(response) | Reply::AsIs(response), _) => Ok(response),
    }
}

/// What stopped a request: a refusal for the client, or a failure of ours.
enum Failure {
    Refused(Refusal),
    Broken(worker::Error),
}

impl Failure {
    fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Broken(error) => {
                logging::error("worker_error", json!({"error": error.to_string()}));
                Refusal::internal()
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<worker::Error> for Failure {
    fn from(error: worker::Error) -> Self {
        Self::Broken(error)
    }
}

async fn handle(
    request: Request,
    env: &Env,
    method: &str,
    path: &str,
    cors: &std::result::Result<CorsDecision, Refusal>,
) -> std::result::Result<Reply, Failure> {
    #[cfg(feature = "panics")]
    dialtone_core::panics::at_request(path);
    let (route, parameters) = match router::route(method, path) {
        Ok(found) => found,
        Err(router::Miss::Refused(refusal)) => return Err(refusal.into()),
        Err(router::Miss::Method(allowed)) => {
            return Ok(Reply::Api(respond::method_not_allowed(&allowed)?));
        }
    };
    // What anyone may ask, and what Twilio does: it has no origin and no token.
    match route {
        Route::Page => return Ok(Reply::AsIs(routes::page::serve(request, env).await?)),
        Route::Health => return Ok(Reply::Api(routes::health::health(env)?)),
        Route::TwilioInbound => {
            return Ok(Reply::AsIs(routes::webhooks::inbound(request, env).await?));
        }
        Route::TwilioStatus => {
            return Ok(Reply::AsIs(routes::webhooks::status(request, env).await?));
        }
        _ => {}
    }
    if matches!(route, Route::SocketIo | Route::EngineIo) {
        let echo = route == Route::EngineIo;
        let answer = routes::socket_io::serve(request, env, cors, echo).await?;
        return Ok(Reply::AsIs(answer));
    }
    let cors = cors.as_ref().map_err(Refusal::clone)?;
    let environment = environment(env)?;
    if route == Route::Preflight {
        return Ok(Reply::AsIs(respond::preflight(cors)?));
    }
    let claims = auth::claims(&request, &environment).await?;
    let caller = auth::Caller {
        env,
        environment: &environment,
        claims,
    };
    routes::authenticated(route, &parameters, request, &caller).await
}
