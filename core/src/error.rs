//! One table of refusals: what can be refused, its stable code, and its HTTP status.
//!
//! The codes are the contract's; clients switch on them. A [`Refusal`] becomes an ack error, an
//! error frame or `application/problem+json` ([`Problem`], RFC 9457), always with the same code.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($code:ident => ($text:literal, $status:literal, $title:literal),)*) => {
        /// A stable error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs)]
        pub enum Code {
            $($code,)*
        }

        impl Code {
            /// All of them, as clients see them.
            pub const ALL: &'static [&'static str] = &[$($text),*];

            const fn row(self) -> (&'static str, u16, &'static str) {
                match self {
                    $(Self::$code => ($text, $status, $title),)*
                }
            }
        }
    };
}
codes! {
    BadRequest => ("bad_request", 400, "Bad Request"),
    Unauthorized => ("unauthorized", 401, "Unauthorized"),
    TokenExpired => ("token_expired", 401, "Unauthorized"),
    Forbidden => ("forbidden", 403, "Forbidden"),
    OriginNotAllowed => ("origin_not_allowed", 403, "Forbidden"),
    NotFound => ("not_found", 404, "Not Found"),
    MethodNotAllowed => ("method_not_allowed", 405, "Method Not Allowed"),
    Conflict => ("conflict", 409, "Conflict"),
    OptedOut => ("opted_out", 409, "Conflict"),
    PayloadTooLarge => ("payload_too_large", 413, "Content Too Large"),
    UnsupportedMediaType => ("unsupported_media_type", 415, "Unsupported Media Type"),
    InvalidPayload => ("invalid_payload", 422, "Unprocessable Content"),
    UnknownEvent => ("unknown_event", 422, "Unprocessable Content"),
    NotInRoom => ("not_in_room", 403, "Forbidden"),
    WrongNamespace => ("wrong_namespace", 422, "Unprocessable Content"),
    InvalidNamespace => ("invalid_namespace", 404, "Not Found"),
    TooManyRooms => ("too_many_rooms", 422, "Unprocessable Content"),
    RateLimited => ("rate_limited", 429, "Too Many Requests"),
    Internal => ("internal", 500, "Internal Server Error"),
    TwilioError => ("twilio_error", 502, "Bad Gateway"),
    NotConfigured => ("not_configured", 503, "Service Unavailable"),
    Unavailable => ("unavailable", 503, "Service Unavailable"),
    SchemaNewer => ("schema_newer", 503, "Service Unavailable"),
}

impl Code {
    /// The code as clients see it.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// The HTTP status' reason phrase, the problem's `title`.
    pub const fn title(self) -> &'static str {
        self.row().2
    }
}

/// Why something was refused: a stable code and one sentence for the person who reads it. It never
/// carries a secret or an internal detail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {message}", code.as_str())]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// One sentence.
    pub message: String,
}

impl Refusal {
    /// A refusal with its code and sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The room's or the Worker's own fault; the detail is logged, never shown.
    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "something went wrong here; it has been logged",
        )
    }
}

macro_rules! shorthand {
    ($($(#[$doc:meta])* $name:ident => $code:ident),* $(,)?) => {
        impl Refusal {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
                Self::new(Code::$code, message)
            })*
        }
    };
}
shorthand! {
    /// 400: it cannot be parsed.
    bad_request => BadRequest,
    /// 422: it parses, but has the wrong shape.
    invalid => InvalidPayload,
    /// 403.
    forbidden => Forbidden,
    /// 401.
    unauthorized => Unauthorized,
    /// 404.
    not_found => NotFound,
}

/// RFC 9457's `application/problem+json`.
#[derive(Debug, Serialize)]
pub struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: Code,
}

impl<'a> From<&'a Refusal> for Problem<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self {
            r#type: "about:blank",
            title: refusal.code.title(),
            status: refusal.code.status(),
            detail: &refusal.message,
            code: refusal.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_becomes_a_problem_with_its_code() {
        let refusal = Refusal::invalid("`event` is missing");
        let json = serde_json::to_string(&Problem::from(&refusal)).unwrap();
        assert_eq!(
            json,
            r#"{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"`event` is missing","code":"invalid_payload"}"#
        );
        assert_eq!(
            serde_json::to_value(Code::TokenExpired).unwrap(),
            Code::TokenExpired.as_str()
        );
    }
}
