//! Where a request carries its token (CONTRACT "Token"). First found wins, even when another place
//! holds a better one: a request says who it is once.

/// The subprotocol that we speak, and answer when it was offered.
pub const PROTOCOL: &str = "dialtone.v1";
/// Browsers cannot set headers on a WebSocket, so the token rides among the subprotocols.
const TOKEN_PREFIX: &str = "bearer.";

/// The token of a request: `Authorization: Bearer …`, then `Sec-WebSocket-Protocol: …, bearer.…`,
/// then `?token=` (already percent-decoded).
pub fn find_token(
    authorization: Option<&str>,
    websocket_protocol: Option<&str>,
    query_token: Option<&str>,
) -> Option<String> {
    authorization
        .and_then(bearer)
        .or_else(|| {
            offered(websocket_protocol).find_map(|protocol| protocol.strip_prefix(TOKEN_PREFIX))
        })
        .or(query_token)
        .filter(|token| !token.is_empty())
        .map(str::to_owned)
}

/// The subprotocol to answer with. The token is never echoed.
pub fn answer_protocol(websocket_protocol: Option<&str>) -> Option<&'static str> {
    offered(websocket_protocol)
        .any(|protocol| protocol == PROTOCOL)
        .then_some(PROTOCOL)
}

/// RFC 6750 §2.1; the scheme is case-insensitive (RFC 9110 §11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once([' ', '\t'])?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

/// Subprotocols are case-sensitive (RFC 6455 §4.1).
fn offered(websocket_protocol: Option<&str>) -> impl Iterator<Item = &str> {
    websocket_protocol
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|protocol| *protocol != TOKEN_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_place_that_holds_a_token_wins() {
        for (authorization, protocol, query, expected) in [
            (None, None, None, None),
            (Some("Bearer a"), None, None, Some("a")),
            (Some("bEARER \t a "), None, None, Some("a")),
            (Some("Bearer a"), Some("bearer.b"), Some("c"), Some("a")),
            (None, Some("dialtone.v1, bearer.b"), Some("c"), Some("b")),
            (None, Some("bearer.b,dialtone.v1"), None, Some("b")),
            (None, Some("bearer.b1, bearer.b2"), None, Some("b1")),
            (None, Some("bearer., bearer.b"), None, Some("b")),
            (None, Some("BEARER.b"), None, None),
            (None, Some("dialtone.v1"), Some("c"), Some("c")),
            (None, None, Some("c"), Some("c")),
            (None, None, Some(""), None),
            (Some("Basic dTpw"), None, Some("c"), Some("c")),
            (Some("Bearer"), None, Some("c"), Some("c")),
            (Some("Bearer  "), None, None, None),
            (Some("Bearera"), None, None, None),
            (Some(""), Some(""), None, None),
        ] {
            assert_eq!(
                find_token(authorization, protocol, query).as_deref(),
                expected,
                "{authorization:?} {protocol:?} {query:?}"
            );
        }
    }

    #[test]
    fn the_protocol_is_answered_only_where_it_was_offered() {
        for (offered, expected) in [
            (None, None),
            (Some("dialtone.v1"), Some("dialtone.v1")),
            (Some("bearer.b , dialtone.v1"), Some("dialtone.v1")),
            (Some("bearer.b"), None),
            (Some("Dialtone.v1"), None),
            (Some("dialtone.v12"), None),
            (Some(""), None),
        ] {
            assert_eq!(answer_protocol(offered), expected, "{offered:?}");
        }
    }

    proptest! {
        #[test]
        fn no_string_panics(a in any::<String>(), b in any::<String>(), c in any::<String>()) {
            let _ = find_token(Some(&a), Some(&b), Some(&c));
            let _ = find_token(Some(&format!("Bearer {a}")), Some(&format!("bearer.{b}")), None);
            let _ = answer_protocol(Some(&b));
        }
    }
}
