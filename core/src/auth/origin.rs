//! Which pages may talk to us: the allow-list for browsers' `Origin`, on WebSockets and for CORS
//! (Fetch §3.2) alike. A request without an `Origin` is no browser's cross-origin request; its
//! token alone decides.

use crate::error::{Code, Refusal};
use crate::web;

/// What an origin's check came to, and which headers follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsDecision {
    /// No `Origin`, or our own.
    SameOrigin,
    /// An allowed foreign origin, as the browser wrote it.
    CrossOrigin(String),
}

impl CorsDecision {
    /// The headers that every response to such a request gets. `Vary: Origin` is on all of them:
    /// a cached answer to one origin is none to another.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Vary", "Origin".to_owned())];
        if let Self::CrossOrigin(origin) = self {
            headers.push(("Access-Control-Allow-Origin", origin.clone()));
            headers.push((
                "Access-Control-Expose-Headers",
                "ETag, Retry-After".to_owned(),
            ));
        }
        headers
    }

    /// The headers of an answer to Engine.IO's polling. Nothing here goes by cookies, so a page that
    /// sends its own along (`withCredentials`) may read the answer.
    pub fn engine_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = self.headers();
        if matches!(self, Self::CrossOrigin(_)) {
            headers.push(("Access-Control-Allow-Credentials", "true".to_owned()));
        }
        headers
    }

    /// The headers of the answer to a preflight (`OPTIONS` with `Access-Control-Request-Method`).
    pub fn preflight_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = self.engine_headers();
        if matches!(self, Self::CrossOrigin(_)) {
            for (name, value) in [
                (
                    "Access-Control-Allow-Methods",
                    "GET, POST, PUT, DELETE, OPTIONS",
                ),
                (
                    "Access-Control-Allow-Headers",
                    "authorization, content-type, idempotency-key, if-none-match",
                ),
                ("Access-Control-Max-Age", "86400"),
            ] {
                headers.push((name, value.to_owned()));
            }
        }
        headers
    }
}

/// Checks a request's `Origin` against our `own` origins (or URLs: the request's,
/// `PUBLIC_BASE_URL`) and the `allowed` ones. `*` allows any, `null` too.
pub fn check(
    origin: Option<&str>,
    own: &[&str],
    allowed: &[String],
) -> Result<CorsDecision, Refusal> {
    let Some(origin) = origin else {
        return Ok(CorsDecision::SameOrigin);
    };
    let normal = normalise(origin);
    if normal.is_some() && own.iter().any(|own| of_url(own) == normal) {
        return Ok(CorsDecision::SameOrigin);
    }
    let listed = normal.is_some() && allowed.iter().any(|entry| normalise(entry) == normal);
    let any = allowed.iter().any(|entry| entry == "*") && is_visible(origin);
    if listed || any {
        Ok(CorsDecision::CrossOrigin(origin.to_owned()))
    } else {
        Err(Refusal::new(
            Code::OriginNotAllowed,
            "this origin is not among ALLOWED_ORIGINS",
        ))
    }
}

/// A picture's, a script's or a form's GET has no `Origin`, whatever page makes it; browsers say in
/// `Sec-Fetch-Site` (Fetch Metadata) where that page is. Nobody of another site is to have a session made.
pub fn is_of_another_site(
    origin: Option<&str>,
    fetch_site: Option<&str>,
    allowed: &[String],
) -> bool {
    origin.is_none()
        && matches!(fetch_site, Some("cross-site" | "same-site"))
        && !allowed.iter().any(|entry| entry == "*")
}

/// The origin of an `http` or `https` URL.
pub fn of_url(url: &str) -> Option<String> {
    let url = web::parse(url)?;
    matches!(url.scheme(), "http" | "https").then(|| url.origin().ascii_serialization())
}

/// An origin, `scheme://host[:port]`, in the one way that browsers write it: lower case, punycode,
/// no default port. `None` when it is none: `null`, a path, a trailing slash, credentials, a `*`.
/// Other schemes than http's do (`capacitor://localhost`, `chrome-extension://…`).
pub fn normalise(text: &str) -> Option<String> {
    let (scheme, host) = text.split_once("://")?;
    if host.is_empty() || !web::is_scheme(scheme) {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    if matches!(scheme.as_str(), "http" | "https") {
        let stray = |c: char| c.is_whitespace() || c.is_control() || "/\\?#@*%".contains(c);
        return if host.contains(stray) {
            None
        } else {
            of_url(text)
        };
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b);
    host.bytes()
        .all(plain)
        .then(|| format!("{scheme}://{}", host.to_ascii_lowercase()))
}

/// Can it be sent back in a header as it is?
fn is_visible(origin: &str) -> bool {
    !origin.is_empty() && origin.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_has_no_origin_may_still_be_of_another_site() {
        for (origin, site, allowed, expected) in [
            (None, None, "", false),
            (None, Some("none"), "", false),
            (None, Some("same-origin"), "", false),
            (None, Some("same-site"), "", true),
            (None, Some("cross-site"), "", true),
            (None, Some("cross-site"), "https://a.example", true),
            (None, Some("cross-site"), "*", false),
            (Some("https://a.example"), Some("cross-site"), "", false),
        ] {
            let is = is_of_another_site(origin, site, &[allowed.to_owned()]);
            assert_eq!(is, expected, "{origin:?} {site:?} {allowed}");
        }
    }

    #[test]
    fn an_origin_has_one_spelling() {
        for (text, expected) in [
            ("https://a.example", Some("https://a.example")),
            ("HTTPS://A.Example:443", Some("https://a.example")),
            ("http://a.example:80", Some("http://a.example")),
            ("https://a.example:80", Some("https://a.example:80")),
            ("http://localhost:5173", Some("http://localhost:5173")),
            ("http://127.0.0.1:8787", Some("http://127.0.0.1:8787")),
            ("http://[::1]:8787", Some("http://[::1]:8787")),
            (
                "https://XN--mnchen-3ya.example",
                Some("https://xn--mnchen-3ya.example"),
            ),
            ("https://münchen.example", None),
            ("Capacitor://Localhost", Some("capacitor://localhost")),
            (
                "chrome-extension://abcdef",
                Some("chrome-extension://abcdef"),
            ),
            ("null", None),
            ("*", None),
            ("", None),
            ("a.example", None),
            ("//a.example", None),
            ("https://", None),
            ("https:///a.example", None),
            ("https://a.example/", None),
            ("https://a.example/path", None),
            ("https://a.example?x", None),
            ("https://a.example#x", None),
            ("https://a.example:99999", None),
            ("https://u@a.example", None),
            ("https://*.example", None),
            ("https://a.example https://b.example", None),
            ("https://a.example\n", None),
            ("1http://a.example", None),
            ("app://a/b", None),
        ] {
            assert_eq!(normalise(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_origin_is_allowed_when_it_is_ours_listed_or_any_are() {
        const OWN: &[&str] = &[
            "https://dialtone.example/rooms/a?b",
            "http://127.0.0.1:8787",
        ];
        let listed = [
            "https://app.example".to_owned(),
            "http://localhost:5173".to_owned(),
        ];
        let any = ["*".to_owned()];
        let same = Some(CorsDecision::SameOrigin);
        let cross = |origin: &str| Some(CorsDecision::CrossOrigin(origin.to_owned()));
        for (origin, allowed, expected) in [
            (None, &[][..], same.clone()),
            (Some("https://dialtone.example"), &[], same.clone()),
            (Some("https://DIALTONE.example:443"), &any, same.clone()),
            (Some("http://127.0.0.1:8787"), &listed, same),
            (Some("http://dialtone.example"), &[], None),
            (Some("http://127.0.0.1:8788"), &[], None),
            (
                Some("https://app.example"),
                &listed,
                cross("https://app.example"),
            ),
            (
                Some("https://APP.example:443"),
                &listed,
                cross("https://APP.example:443"),
            ),
            (Some("http://app.example"), &listed, None),
            (Some("https://app.example.evil"), &listed, None),
            (Some("https://x.app.example"), &listed, None),
            (Some("http://localhost:5174"), &listed, None),
            (Some("null"), &listed, None),
            (Some(""), &listed, None),
            (Some("https://evil.example"), &[], None),
            (
                Some("https://evil.example"),
                &any,
                cross("https://evil.example"),
            ),
            (Some("null"), &any, cross("null")),
            (Some("a\nb"), &any, None),
            (Some(""), &any, None),
        ] {
            let decision = check(origin, OWN, allowed);
            if let Err(refusal) = &decision {
                assert_eq!(refusal.code, Code::OriginNotAllowed);
            }
            assert_eq!(decision.ok(), expected, "{origin:?} of {allowed:?}");
        }
    }

    #[test]
    fn cors_headers_name_the_origin_and_nothing_for_our_own() {
        let vary = vec![("Vary", "Origin".to_owned())];
        assert_eq!(CorsDecision::SameOrigin.headers(), vary);
        assert_eq!(CorsDecision::SameOrigin.preflight_headers(), vary);
        let cross = CorsDecision::CrossOrigin("https://app.example".to_owned());
        let lines: Vec<String> = cross
            .preflight_headers()
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            lines,
            [
                "Vary: Origin",
                "Access-Control-Allow-Origin: https://app.example",
                "Access-Control-Expose-Headers: ETag, Retry-After",
                "Access-Control-Allow-Credentials: true",
                "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS",
                "Access-Control-Allow-Headers: authorization, content-type, idempotency-key, if-none-match",
                "Access-Control-Max-Age: 86400",
            ]
        );
        assert_eq!(cross.headers(), cross.preflight_headers()[..3]);
        assert_eq!(cross.engine_headers(), cross.preflight_headers()[..4]);
    }

    proptest! {
        #[test]
        fn no_string_panics_and_normal_stays_normal(text in any::<String>(), host in "[a-zA-Z0-9.:\\[\\]é-]{0,12}") {
            for text in [text.clone(), format!("https://{text}"), format!("http://{host}"), format!("app://{host}")] {
                if let Some(normal) = normalise(&text) {
                    prop_assert_eq!(normalise(&normal), Some(normal.clone()));
                }
                let _ = check(Some(&text), &[&text], std::slice::from_ref(&text));
            }
        }
    }
}
