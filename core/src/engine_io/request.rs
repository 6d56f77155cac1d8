//! A request at `/socket.io/`, before any session is looked for.

use super::Error;
use crate::wire::Method;

/// What a request says of itself.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// Its HTTP method.
    pub method: &'a str,
    /// `transport`.
    pub transport: Option<&'a str>,
    /// `EIO`.
    pub version: Option<&'a str>,
    /// Whether there is a `sid`.
    pub has_sid: bool,
    /// Whether it wants to become a WebSocket.
    pub is_upgrade: bool,
}

/// What kind of request it is, or the protocol's error, checked in the order in which engine.io
/// checks.
pub fn check_request(request: &RequestLine<'_>) -> Result<Method, Error> {
    let method = match (request.transport, request.method) {
        (Some("polling"), _) if request.is_upgrade => return Err(Error::BadRequest),
        (Some("polling"), "GET") => Method::Get,
        (Some("polling"), "POST") if request.has_sid => Method::Post,
        (Some("websocket"), "GET") if request.is_upgrade => Method::Upgrade,
        (Some("polling" | "websocket"), _) if request.has_sid => return Err(Error::BadRequest),
        (Some("polling"), _) => return Err(Error::BadHandshakeMethod),
        (Some("websocket"), "GET") => return Err(Error::BadRequest),
        (Some("websocket"), _) => return Err(Error::BadHandshakeMethod),
        _ => return Err(Error::TransportUnknown),
    };
    if !request.has_sid && request.version != Some("4") {
        return Err(Error::UnsupportedProtocolVersion);
    }
    Ok(method)
}

/// Whether a client knows connection state recovery (CONTRACT "Recovery"): browsers and Node's
/// client do; others would take the offset for an argument, unless they ask. `browser` is a header
/// that only browsers send: `Origin`, or `Sec-Fetch-Site`, for a GET to a page's own origin has no
/// `Origin`.
pub fn knows_recovery(
    asked: Option<&str>,
    browser: Option<&str>,
    user_agent: Option<&str>,
) -> bool {
    match asked {
        Some("1") => true,
        Some("0") => false,
        _ => {
            browser.is_some()
                || user_agent
                    .is_none_or(|agent| agent.is_empty() || agent.contains("node-XMLHttpRequest"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_as_engine_io_does() {
        let (polling, websocket) = (Some("polling"), Some("websocket"));
        for (method, transport, version, has_sid, is_upgrade, expected) in [
            ("GET", polling, Some("4"), false, false, Ok(Method::Get)),
            ("GET", polling, None, true, false, Ok(Method::Get)),
            ("POST", polling, Some("4"), true, false, Ok(Method::Post)),
            (
                "GET",
                websocket,
                Some("4"),
                false,
                true,
                Ok(Method::Upgrade),
            ),
            ("GET", websocket, Some("4"), true, true, Ok(Method::Upgrade)),
            (
                "GET",
                None,
                Some("4"),
                false,
                false,
                Err(Error::TransportUnknown),
            ),
            (
                "GET",
                Some("abc"),
                Some("4"),
                false,
                false,
                Err(Error::TransportUnknown),
            ),
            (
                "GET",
                polling,
                None,
                false,
                false,
                Err(Error::UnsupportedProtocolVersion),
            ),
            (
                "GET",
                polling,
                Some("3"),
                false,
                false,
                Err(Error::UnsupportedProtocolVersion),
            ),
            (
                "GET",
                websocket,
                Some("abc"),
                false,
                true,
                Err(Error::UnsupportedProtocolVersion),
            ),
            (
                "POST",
                polling,
                Some("4"),
                false,
                false,
                Err(Error::BadHandshakeMethod),
            ),
            (
                "PUT",
                polling,
                Some("4"),
                false,
                false,
                Err(Error::BadHandshakeMethod),
            ),
            (
                "PUT",
                polling,
                Some("4"),
                true,
                false,
                Err(Error::BadRequest),
            ),
            (
                "GET",
                websocket,
                Some("4"),
                false,
                false,
                Err(Error::BadRequest),
            ),
            (
                "GET",
                websocket,
                Some("4"),
                true,
                false,
                Err(Error::BadRequest),
            ),
            (
                "GET",
                polling,
                Some("4"),
                false,
                true,
                Err(Error::BadRequest),
            ),
        ] {
            let request = RequestLine {
                method,
                transport,
                version,
                has_sid,
                is_upgrade,
            };
            assert_eq!(check_request(&request), expected, "{request:?}");
        }
    }

    #[test]
    fn clients_that_know_recovery_are_offered_it() {
        for (asked, origin, agent, expected) in [
            (None, None, None, true),
            (None, None, Some("node-XMLHttpRequest"), true),
            (None, None, Some("python-requests/2"), false),
            (None, Some("https://app.example"), Some("Mozilla/5.0"), true),
            (Some("1"), None, Some("python-requests/2"), true),
            (Some("0"), Some("https://app.example"), None, false),
            (Some("x"), None, Some("curl/8"), false),
        ] {
            assert_eq!(knows_recovery(asked, origin, agent), expected);
        }
    }
}
