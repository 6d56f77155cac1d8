//! Responses: problems, CORS, and headers on what an object answered.

use dialtone_core::{
    auth::CorsDecision,
    error::{Code, Problem, Refusal},
    etag,
};
pub use dialtone_durable::room::problem;
use serde::Serialize;
use worker::{Headers, Request, Response, Result};

use crate::auth::header;

/// An answer.
pub enum Reply {
    /// The API's: it gets the CORS headers.
    Api(Response),
    /// An upgrade, a page, a webhook's: it goes out as it is.
    AsIs(Response),
}

/// The response with more headers. What comes from an object has immutable ones, so they are copied.
pub fn with_headers(response: Response, more: &[(&'static str, String)]) -> Result<Response> {
    let headers = Headers::new();
    for (name, value) in response.headers().entries() {
        headers.append(&name, &value)?;
    }
    for (name, value) in more {
        headers.append(name, value)?;
    }
    Ok(response.with_headers(headers))
}

/// The answer to a CORS preflight.
pub fn preflight(cors: &CorsDecision) -> Result<Response> {
    with_headers(
        Response::empty()?.with_status(204),
        &cors.preflight_headers(),
    )
}

/// The answer to a poll: with a tag of its body, and without the body where the client has it already.
pub async fn conditional(request: &Request, mut response: Response) -> Result<Response> {
    if response.status_code() != 200 {
        return Ok(response);
    }
    let body = response.bytes().await?;
    let etag = etag::of(&body);
    let known = header(request, "if-none-match").is_some_and(|tags| etag::matches(&tags, &etag));
    let response = if known {
        Response::empty()?.with_status(304)
    } else {
        Response::from_bytes(body)?.with_headers(response.headers().clone())
    };
    with_headers(
        response,
        &[
            ("ETag", etag),
            ("Cache-Control", "private, no-cache".to_owned()),
        ],
    )
}

/// A problem with more than one cause, each with its own code.
pub fn problem_with(refusal: &Refusal, errors: &impl Serialize) -> Result<Response> {
    #[derive(Serialize)]
    struct Problems<'a, T> {
        #[serde(flatten)]
        problem: Problem<'a>,
        errors: &'a T,
    }
    let body = serde_json::to_vec(&Problems {
        problem: refusal.into(),
        errors,
    })?;
    let plain = problem(refusal)?;
    Ok(Response::from_bytes(body)?
        .with_status(plain.status_code())
        .with_headers(plain.headers().clone()))
}

/// 405, with what would do.
pub fn method_not_allowed(allowed: &str) -> Result<Response> {
    let refusal = Refusal::new(
        Code::MethodNotAllowed,
        format!("this route answers {allowed}"),
    );
    with_headers(problem(&refusal)?, &[("Allow", allowed.to_owned())])
}

/// A JSON answer of the Worker's own.
pub fn json(body: &impl Serialize) -> Result<Reply> {
    Response::from_json(body).map(Reply::Api)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_openapi_document_has_our_codes_each_with_its_status() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../public/openapi.json")).unwrap();
        let find = |reference: &serde_json::Value| {
            let pointer = reference["$ref"].as_str()?.strip_prefix('#')?;
            document.pointer(pointer)
        };
        let codes_of = |schema: &serde_json::Value| -> Vec<Code> {
            serde_json::from_value(schema["properties"]["code"]["enum"].clone()).unwrap()
        };
        let known = codes_of(&document["components"]["schemas"]["Problem"]);
        let operations = document["paths"].as_object().unwrap().values();
        for operation in operations.flat_map(|path| path.as_object().unwrap().values()) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let response = find(response).unwrap_or(response);
                let schema = &response["content"]["application/problem+json"]["schema"];
                if schema.is_null() {
                    continue;
                }
                for code in codes_of(&schema["allOf"][1]) {
                    assert_eq!(code.status().to_string(), *status, "{code:?}");
                    assert!(known.contains(&code), "{code:?}");
                }
            }
        }
    }
}
