//! `/health` and `/metrics`: neither wakes an object.

use dialtone_core::error::Refusal;
use dialtone_durable::{environment::environment, metrics as counters};
use serde::Serialize;
use worker::{Env, Response, Result};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: &'static str,
    timestamp: String,
    service: &'static str,
    version: &'static str,
    /// What must be configured before anything works, or what is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_configured: Vec<String>,
    /// What works only once it is configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    optional: Vec<&'static str>,
}

/// `{status: "ok", …}`, or 503 naming what is not configured.
pub fn health(env: &Env) -> Result<Response> {
    let (not_configured, optional) = match environment(env) {
        Err(Refusal { message, .. }) => (vec![message], vec![]),
        Ok(environment) => {
            let missing = environment
                .config
                .missing()
                .into_iter()
                .map(str::to_owned)
                .collect();
            (missing, environment.config.twilio.missing())
        }
    };
    let ok = not_configured.is_empty();
    let body = Health {
        status: if ok { "ok" } else { "not_configured" },
        timestamp: crate::auth::now().rfc3339(),
        service: "dialtone",
        version: env!("CARGO_PKG_VERSION"),
        not_configured,
        optional,
    };
    Ok(Response::from_json(&body)?.with_status(if ok { 200 } else { 503 }))
}

/// The isolate's counters.
pub fn metrics() -> Result<Response> {
    let mut response = Response::ok(counters::render(crate::auth::now()))?;
    response
        .headers_mut()
        .set("content-type", "text/plain; version=0.0.4; charset=utf-8")?;
    Ok(response)
}
