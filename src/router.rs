//! Which route a request is for. Pure, so that every row of the contract's table is a test row.

use dialtone_core::error::{Code, Refusal};
use percent_encoding::percent_decode_str;

/// The routes. Names are decoded, but not yet checked: that comes after the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `OPTIONS` on anything of ours.
    Preflight,
    /// `GET /health` and its other names.
    Health,
    /// `GET /metrics`.
    Metrics,
    /// `GET /rooms/{room}`: a WebSocket.
    Connect(String),
    /// `GET /rooms/{room}/history`.
    History(String),
    /// `GET /rooms/{room}/presence`.
    Presence(String),
    /// `POST /rooms/{room}/events`.
    Events(String),
    /// `GET /rooms/{room}/members`.
    Members(String),
    /// `PUT /rooms/{room}/members/{user}`.
    AddMember(String, String),
    /// `DELETE /rooms/{room}/members/{user}`.
    RemoveMember(String, String),
    /// `DELETE /rooms/{room}/connections`.
    Disconnect(String),
    /// `GET /api/lines/{number}/assignees`.
    Assignees(String),
    /// `PUT /api/lines/{number}/assignees/{user}`.
    Assign(String, String),
    /// `DELETE /api/lines/{number}/assignees/{user}`.
    Unassign(String, String),
    /// `/socket.io/`: Engine.IO, over HTTP or as a WebSocket.
    SocketIo,
    /// `/engine.io/`: the same without Socket.IO, each message echoed; for the official suite alone.
    EngineIo,
    /// Twilio's inbound webhook, by any of its paths.
    TwilioInbound,
    /// Everything else: the static page.
    Page,
}

/// Why there is no route.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss {
    /// A refusal.
    Refused(Refusal),
    /// The path is one of ours, the method is not; these would be.
    Method(&'static str),
}

/// Finds the route. `HEAD` is answered like `GET`.
pub fn route(method: &str, path: &str) -> Result<Route, Miss> {
    let method = if method == "HEAD" { "GET" } else { method };
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if method == "OPTIONS" && is_ours(&segments) {
        return Ok(Route::Preflight);
    }
    let of = |allowed: &'static str, found: Route| {
        if allowed.split(", ").any(|m| m == method) {
            Ok(found)
        } else {
            Err(Miss::Method(allowed))
        }
    };
    match segments.as_slice() {
        ["health"] | ["api", "socket"] => of("GET", Route::Health),
        ["metrics"] => of("GET", Route::Metrics),
        ["rooms", room] => of("GET", Route::Connect(decode(room)?)),
        ["rooms", room, "history"] => of("GET", Route::History(decode(room)?)),
        ["rooms", room, "presence"] => of("GET", Route::Presence(decode(room)?)),
        ["rooms", room, "events"] => of("POST", Route::Events(decode(room)?)),
        ["rooms", room, "members"] => of("GET", Route::Members(decode(room)?)),
        ["rooms", room, "members", user] => match method {
            "DELETE" => Ok(Route::RemoveMember(decode(room)?, decode(user)?)),
            _ => of(
                "PUT, DELETE",
                Route::AddMember(decode(room)?, decode(user)?),
            ),
        },
        ["rooms", room, "connections"] => of("DELETE", Route::Disconnect(decode(room)?)),
        ["api", "lines", line, "assignees"] => of("GET", Route::Assignees(decode(line)?)),
        ["api", "lines", line, "assignees", user] => match method {
            "DELETE" => Ok(Route::Unassign(decode(line)?, decode(user)?)),
            _ => of("PUT, DELETE", Route::Assign(decode(line)?, decode(user)?)),
        },
        ["socket.io"] | ["socket.io", ""] => Ok(Route::SocketIo),
        #[cfg(feature = "conformance")]
        ["engine.io"] | ["engine.io", ""] => Ok(Route::EngineIo),
        ["api", "webhooks", "twilio"] => match method {
            "GET" => Ok(Route::Health),
            _ => of("GET, POST", Route::TwilioInbound),
        },
        ["webhooks", "twilio", "inbound"] | ["api", "webhooks", "inbound-sms"] => {
            of("GET, POST", Route::TwilioInbound)
        }
        _ if is_ours(&segments) => Err(Miss::Refused(Refusal::new(
            Code::NotFound,
            "there is no such route",
        ))),
        _ => of("GET", Route::Page),
    }
}

/// Paths that are never a page.
fn is_ours(segments: &[&str]) -> bool {
    matches!(
        segments.first(),
        Some(&("api" | "rooms" | "webhooks" | "chat" | "socket.io" | "engine.io"))
    ) || matches!(segments, ["health" | "metrics"])
}

fn decode(segment: &str) -> Result<String, Miss> {
    percent_decode_str(segment)
        .decode_utf8()
        .map(String::from)
        .map_err(|_| {
            Miss::Refused(Refusal::bad_request(
                "the path is not percent-encoded UTF-8",
            ))
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_find_their_route() {
        let room = || "chat:42".to_owned();
        let line = || "whatsapp:+1555".to_owned();
        let user = || "u/1".to_owned();
        let not_found = || {
            Err(Miss::Refused(Refusal::new(
                Code::NotFound,
                "there is no such route",
            )))
        };
        for (method, path, expected) in [
            ("GET", "/", Ok(Route::Page)),
            ("GET", "/style.css", Ok(Route::Page)),
            ("GET", "/inbox/42", Ok(Route::Page)),
            ("POST", "/", Err(Miss::Method("GET"))),
            ("GET", "/health", Ok(Route::Health)),
            ("HEAD", "/health", Ok(Route::Health)),
            ("GET", "/api/socket", Ok(Route::Health)),
            ("GET", "/api/webhooks/twilio", Ok(Route::Health)),
            ("POST", "/health", Err(Miss::Method("GET"))),
            ("GET", "/metrics", Ok(Route::Metrics)),
            ("GET", "/rooms/chat:42", Ok(Route::Connect(room()))),
            ("GET", "/rooms/chat%3A42", Ok(Route::Connect(room()))),
            ("GET", "/rooms/a%2Fb", Ok(Route::Connect("a/b".to_owned()))),
            ("GET", "/rooms/chat:42/history", Ok(Route::History(room()))),
            (
                "GET",
                "/rooms/chat:42/presence",
                Ok(Route::Presence(room())),
            ),
            ("POST", "/rooms/chat:42/events", Ok(Route::Events(room()))),
            ("GET", "/rooms/chat:42/events", Err(Miss::Method("POST"))),
            ("GET", "/rooms/chat:42/members", Ok(Route::Members(room()))),
            (
                "PUT",
                "/rooms/chat:42/members/u%2F1",
                Ok(Route::AddMember(room(), user())),
            ),
            (
                "DELETE",
                "/rooms/chat:42/members/u%2F1",
                Ok(Route::RemoveMember(room(), user())),
            ),
            (
                "POST",
                "/rooms/chat:42/members/u1",
                Err(Miss::Method("PUT, DELETE")),
            ),
            (
                "DELETE",
                "/rooms/chat:42/connections",
                Ok(Route::Disconnect(room())),
            ),
            (
                "GET",
                "/api/lines/whatsapp:%2B1555/assignees",
                Ok(Route::Assignees(line())),
            ),
            (
                "PUT",
                "/api/lines/whatsapp:+1555/assignees/u%2F1",
                Ok(Route::Assign(line(), user())),
            ),
            (
                "DELETE",
                "/api/lines/whatsapp:+1555/assignees/u%2F1",
                Ok(Route::Unassign(line(), user())),
            ),
            ("POST", "/webhooks/twilio/inbound", Ok(Route::TwilioInbound)),
            ("GET", "/webhooks/twilio/inbound", Ok(Route::TwilioInbound)),
            (
                "POST",
                "/api/webhooks/inbound-sms",
                Ok(Route::TwilioInbound),
            ),
            ("POST", "/api/webhooks/twilio", Ok(Route::TwilioInbound)),
            (
                "PUT",
                "/api/webhooks/twilio",
                Err(Miss::Method("GET, POST")),
            ),
            ("GET", "/socket.io/", Ok(Route::SocketIo)),
            ("POST", "/socket.io/", Ok(Route::SocketIo)),
            ("GET", "/socket.io", Ok(Route::SocketIo)),
            ("OPTIONS", "/socket.io/", Ok(Route::Preflight)),
            ("GET", "/socket.io/x", not_found()),
            ("OPTIONS", "/rooms/chat:42/events", Ok(Route::Preflight)),
            ("OPTIONS", "/api/lines/1/assignees", Ok(Route::Preflight)),
            ("GET", "/api/nothing", not_found()),
            ("GET", "/api", not_found()),
            ("GET", "/rooms", not_found()),
            ("GET", "/rooms/chat:42/", not_found()),
            ("GET", "/rooms/chat:42/nothing", not_found()),
            ("GET", "/webhooks/twilio/nothing", not_found()),
            (
                "GET",
                "/rooms/%ff",
                Err(Miss::Refused(Refusal::bad_request(
                    "the path is not percent-encoded UTF-8",
                ))),
            ),
        ] {
            assert_eq!(route(method, path), expected, "{method} {path}");
        }
    }
}
