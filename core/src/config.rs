//! The configuration: every variable of the contract, read once and validated, so that nothing
//! after this has to doubt it. A bad one is a [`ConfigError`] that names the variable.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, RangeInclusive};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use url::{Host, Url};

use crate::auth::{Keys, PublicKey, origin};
use crate::limits::{MAX_PUBLIC_KEYS, MAX_SIGNING_KEYS};
use crate::names::RoomName;
use crate::socket_io::Parser;
use crate::web;

/// What browsers' and Node's timers take: 2³¹ − 1 ms. Clients wait for the sum of ping interval and
/// ping timeout.
const MAX_TIMER_MS: u64 = 2_147_483_647;
/// A Worker has 128 MiB; a payload is held a few times over while it is parsed and sent on.
const MAX_PAYLOAD_BYTES: u64 = 32 * 1024 * 1024;
/// Kinds that no configuration opens: people's own rooms, the admins', and the internal ones.
const NEVER_OPEN: [&str; 5] = ["user", "admin", "admins", "lobby", "all"];

/// A variable that cannot be used. Says why, but never the value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct ConfigError {
    /// The variable's name.
    pub variable: &'static str,
    /// The rest of the sentence that begins with the name.
    pub problem: String,
}

impl ConfigError {
    /// `problem` goes on from the variable's name: "must be …".
    pub fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self {
            variable,
            problem: problem.into(),
        }
    }
}

/// Text that is never printed (`Debug` gives `…`) and compares in constant time.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}
impl Eq for Secret {}

/// All of Dialtone's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `JWT_*`.
    pub auth: AuthConfig,
    /// `ALLOWED_ORIGINS`: each normalised (see [`origin::normalise`]), or `*`.
    pub allowed_origins: Vec<String>,
    /// `OPEN_KINDS`: room kinds that any authenticated user may join.
    pub open_kinds: Vec<String>,
    /// `PUBLIC_BASE_URL`, as written, without a final slash.
    pub public_base_url: Option<String>,
    /// `TWILIO_*`.
    pub twilio: TwilioConfig,
    /// `LINE_MESSAGES_PER_SECOND`: how many messages one line starts to send in a second.
    pub line_messages_per_second: u32,
    /// `LOBBIES`.
    pub lobbies: u32,
    /// `PING_INTERVAL_MS`.
    pub ping_interval_ms: u64,
    /// `PING_TIMEOUT_MS`.
    pub ping_timeout_ms: u64,
    /// `MAX_PAYLOAD_BYTES`.
    pub max_payload_bytes: usize,
    /// `CONNECT_TIMEOUT_MS`.
    pub connect_timeout_ms: u64,
    /// `UPGRADE_TIMEOUT_MS`.
    pub upgrade_timeout_ms: u64,
    /// `RECOVERY_WINDOW_MS`; 0 turns connection state recovery off.
    pub recovery_window_ms: u64,
    /// `SOCKET_IO_PARSER`: `json`, or `msgpack` for clients with `socket.io-msgpack-parser`.
    pub parser: Parser,
    /// `HISTORY_*`.
    pub history: HistoryConfig,
    /// `RATE_*`.
    pub rate: RateConfig,
    /// `EVENT_WEBHOOK_*`, where a URL is set.
    pub event_webhook: Option<EventWebhookConfig>,
}

/// Whose tokens are good.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `JWT_SECRET`, its bytes as they are.
    pub secret: Option<Secret>,
    /// `JWT_SECRET_PREVIOUS`, still accepted.
    pub secret_previous: Option<Secret>,
    /// `JWT_PUBLIC_KEYS`.
    pub public_keys: Vec<PublicKey>,
    /// `JWT_JWKS_URL`.
    pub jwks_url: Option<String>,
    /// `JWT_ISSUER`: the `iss` a token must have.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`: the `aud` a token must have.
    pub audience: Option<String>,
    /// `JWT_USER_CLAIM`: which claim is the user id.
    pub user_claim: String,
}

/// The Twilio account.
#[derive(Debug, Clone)]
pub struct TwilioConfig {
    /// `TWILIO_ACCOUNT_SID`: `AC` and 32 hexadecimal digits.
    pub account_sid: Option<String>,
    /// `TWILIO_AUTH_TOKEN`.
    pub auth_token: Option<Secret>,
    /// `TWILIO_AUTH_TOKEN_NEXT`, accepted too while rotating.
    pub auth_token_next: Option<Secret>,
    /// `TWILIO_SIGNING_KEYS`: the secrets of Twilio's shared keys, by the keys' ids.
    pub signing_keys: BTreeMap<String, Secret>,
    /// `TWILIO_API_BASE`, without a final slash.
    pub api_base: Option<String>,
}

/// How much of a room's log is kept.
#[derive(Debug, Clone, Copy)]
pub struct HistoryConfig {
    /// `HISTORY_MAX_MESSAGES`.
    pub max_messages: u64,
    /// `HISTORY_MAX_AGE_DAYS`.
    pub max_age_days: u64,
}

/// One connection's token bucket.
#[derive(Debug, Clone, Copy)]
pub struct RateConfig {
    /// `RATE_EVENTS_PER_SECOND`.
    pub events_per_second: u32,
    /// `RATE_BURST`.
    pub burst: u32,
}

/// Where notifications of offline members are also POSTed.
#[derive(Debug, Clone)]
pub struct EventWebhookConfig {
    /// `EVENT_WEBHOOK_URL`.
    pub url: String,
    /// `EVENT_WEBHOOK_SECRET`.
    pub secret: Option<Secret>,
}

impl Config {
    /// Reads every variable through `var`. An empty one counts as unset; white space around a value
    /// is dropped, except around secrets.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let vars = Variables(&var);
        let timer = 1..=MAX_TIMER_MS;
        let config = Self {
            auth: AuthConfig::read(&vars)?,
            allowed_origins: vars.allowed_origins("ALLOWED_ORIGINS")?,
            open_kinds: vars.open_kinds("OPEN_KINDS")?,
            public_base_url: vars.base_url("PUBLIC_BASE_URL")?,
            twilio: TwilioConfig::read(&vars)?,
            line_messages_per_second: vars.number("LINE_MESSAGES_PER_SECOND", 10, 1..=1_000)?,
            lobbies: vars.number("LOBBIES", 1, 1..=10_000)?,
            ping_interval_ms: vars.number("PING_INTERVAL_MS", 25_000, timer.clone())?,
            ping_timeout_ms: vars.number("PING_TIMEOUT_MS", 20_000, timer.clone())?,
            max_payload_bytes: vars.number(
                "MAX_PAYLOAD_BYTES",
                1_000_000,
                1..=MAX_PAYLOAD_BYTES,
            )?,
            connect_timeout_ms: vars.number("CONNECT_TIMEOUT_MS", 45_000, timer.clone())?,
            upgrade_timeout_ms: vars.number("UPGRADE_TIMEOUT_MS", 10_000, timer)?,
            recovery_window_ms: vars.number("RECOVERY_WINDOW_MS", 120_000, 0..=MAX_TIMER_MS)?,
            parser: vars.parser("SOCKET_IO_PARSER")?,
            history: HistoryConfig {
                max_messages: vars.number("HISTORY_MAX_MESSAGES", 10_000, 1..=100_000_000)?,
                max_age_days: vars.number("HISTORY_MAX_AGE_DAYS", 90, 1..=36_500)?,
            },
            rate: RateConfig {
                events_per_second: vars.number("RATE_EVENTS_PER_SECOND", 50, 1..=1_000_000)?,
                burst: vars.number("RATE_BURST", 100, 1..=1_000_000)?,
            },
            event_webhook: EventWebhookConfig::read(&vars)?,
        };
        if config
            .ping_interval_ms
            .saturating_add(config.ping_timeout_ms)
            > MAX_TIMER_MS
        {
            return Err(ConfigError::new(
                "PING_TIMEOUT_MS",
                format!("and PING_INTERVAL_MS together must be at most {MAX_TIMER_MS}"),
            ));
        }
        Ok(config)
    }

    /// What must be set before anyone can connect and is not, for `GET /health`.
    pub fn missing(&self) -> Vec<&'static str> {
        if self.auth.has_keys() {
            Vec::new()
        } else {
            vec!["JWT_SECRET"]
        }
    }
}

impl AuthConfig {
    /// Is there anything that a token could be verified with?
    pub const fn has_keys(&self) -> bool {
        self.secret.is_some()
            || self.secret_previous.is_some()
            || !self.public_keys.is_empty()
            || self.jwks_url.is_some()
    }

    fn read(vars: &Variables<'_>) -> Result<Self, ConfigError> {
        let auth = Self {
            secret: vars.secret("JWT_SECRET"),
            secret_previous: vars.secret("JWT_SECRET_PREVIOUS"),
            public_keys: vars.public_keys("JWT_PUBLIC_KEYS")?,
            jwks_url: vars.jwks_url("JWT_JWKS_URL")?,
            issuer: vars.text("JWT_ISSUER"),
            audience: vars.text("JWT_AUDIENCE"),
            user_claim: vars
                .text("JWT_USER_CLAIM")
                .unwrap_or_else(|| "sub".to_owned()),
        };
        Keys::new(&auth)?;
        Ok(auth)
    }
}

impl TwilioConfig {
    /// The account and its auth token, which Twilio's API asks for. `None` where either is missing:
    /// nothing can be sent or fetched then.
    pub fn credentials(&self) -> Option<(&str, &Secret)> {
        self.account_sid.as_deref().zip(self.auth_token.as_ref())
    }

    /// What is missing of them.
    pub fn missing(&self) -> Vec<&'static str> {
        [
            ("TWILIO_ACCOUNT_SID", self.account_sid.is_none()),
            ("TWILIO_AUTH_TOKEN", self.auth_token.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect()
    }

    /// The `Authorization` header of a request to Twilio's API (RFC 7617). It is a secret.
    pub fn authorization(&self) -> Option<String> {
        let (account, token) = self.credentials()?;
        let pair = format!("{account}:{}", &**token);
        Some(format!("Basic {}", STANDARD.encode(pair)))
    }

    fn read(vars: &Variables<'_>) -> Result<Self, ConfigError> {
        let account_sid = vars.text("TWILIO_ACCOUNT_SID");
        if !account_sid.as_deref().is_none_or(is_account_sid) {
            return Err(ConfigError::new(
                "TWILIO_ACCOUNT_SID",
                "must be AC and 32 hexadecimal digits",
            ));
        }
        Ok(Self {
            account_sid,
            auth_token: vars.one_word_secret("TWILIO_AUTH_TOKEN")?,
            auth_token_next: vars.one_word_secret("TWILIO_AUTH_TOKEN_NEXT")?,
            signing_keys: vars.signing_keys("TWILIO_SIGNING_KEYS")?,
            api_base: vars.base_url("TWILIO_API_BASE")?,
        })
    }
}

impl EventWebhookConfig {
    fn read(vars: &Variables<'_>) -> Result<Option<Self>, ConfigError> {
        let secret = vars.secret("EVENT_WEBHOOK_SECRET");
        Ok(vars
            .http_url("EVENT_WEBHOOK_URL")?
            .map(|url| Self { url, secret }))
    }
}

fn is_account_sid(text: &str) -> bool {
    text.strip_prefix("AC")
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// An absolute `http` or `https` URL that can be fetched: no credentials, no fragment, nothing that
/// the WHATWG parser would silently repair.
fn is_http_url(text: &str) -> bool {
    web_url(text).is_some_and(|url| url.fragment().is_none())
}

/// An absolute `http` or `https` URL without credentials, with nothing in it that the WHATWG parser
/// would silently repair.
pub(crate) fn web_url(text: &str) -> Option<Url> {
    let (_, rest) = text.split_once("://")?;
    let intact = !rest.starts_with('/')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\');
    let url = web::parse(text).filter(|_| intact)?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none();
    is_plain.then_some(url)
}

/// Whether the URL's host is the machine itself (RFC 6761 §6.3).
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Where the variables come from, and one method for each shape they have.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let value = (self.0)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        (self.0)(name)
            .filter(|value| !value.is_empty())
            .map(Secret::new)
    }

    /// A secret that someone else issued; white space in it is a slip of the clipboard.
    fn one_word_secret(&self, name: &'static str) -> Result<Option<Secret>, ConfigError> {
        match self.secret(name) {
            Some(secret) if secret.contains(|c: char| c.is_whitespace() || c.is_control()) => Err(
                ConfigError::new(name, "must not contain white space or a line break"),
            ),
            secret => Ok(secret),
        }
    }

    /// A JSON object of secrets that someone else issued, by their ids.
    fn signing_keys(&self, name: &'static str) -> Result<BTreeMap<String, Secret>, ConfigError> {
        let Some(text) = self.text(name) else {
            return Ok(BTreeMap::new());
        };
        let problem = |problem: String| ConfigError::new(name, problem);
        let keys: BTreeMap<String, String> = serde_json::from_str(&text)
            .map_err(|_| problem("must be a JSON object of secrets by key id".to_owned()))?;
        if keys.len() > MAX_SIGNING_KEYS {
            return Err(problem(format!(
                "must hold at most {MAX_SIGNING_KEYS} keys"
            )));
        }
        let is_word = |text: &str| {
            !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        for (index, (id, secret)) in keys.iter().enumerate() {
            // A comma would end it in the header that names it.
            if !is_word(id) || id.contains(',') || !is_word(secret) {
                let number = index.saturating_add(1);
                return Err(problem(format!(
                    "entry {number} is not a key id and its secret"
                )));
            }
        }
        let secret = |(id, secret)| (id, Secret::new(secret));
        Ok(keys.into_iter().map(secret).collect())
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.text(name)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn parser(&self, name: &'static str) -> Result<Parser, ConfigError> {
        match self.text(name).as_deref() {
            None | Some("json") => Ok(Parser::Json),
            Some("msgpack") => Ok(Parser::MsgPack),
            Some(_) => Err(ConfigError::new(name, "must be json or msgpack")),
        }
    }

    fn number<T: TryFrom<u64>>(
        &self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<T, ConfigError> {
        let number = match self.text(name) {
            None => Some(default),
            Some(text) => text.parse().ok(),
        };
        number
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                ConfigError::new(
                    name,
                    format!(
                        "must be a whole number from {} to {}",
                        range.start(),
                        range.end()
                    ),
                )
            })
    }

    fn http_url(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        match self.text(name) {
            Some(text) if !is_http_url(&text) => Err(ConfigError::new(
                name,
                "must be a full http:// or https:// URL without a user name, password or fragment",
            )),
            url => Ok(url),
        }
    }

    /// Whoever can change what this URL says can sign tokens.
    fn jwks_url(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let url = self.http_url(name)?;
        match url.as_deref().and_then(web_url) {
            Some(url) if url.scheme() != "https" && !is_local(&url) => Err(ConfigError::new(
                name,
                "must begin with https://, unless its host is this machine",
            )),
            _ => Ok(url),
        }
    }

    /// A URL that paths are appended to.
    fn base_url(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        match self.http_url(name)? {
            Some(url) if url.contains('?') => Err(ConfigError::new(
                name,
                "must not have a query: paths are appended to it",
            )),
            url => Ok(url.map(|url| url.trim_end_matches('/').to_owned())),
        }
    }

    fn allowed_origins(&self, name: &'static str) -> Result<Vec<String>, ConfigError> {
        let parse = |(index, entry): (usize, String)| match entry.as_str() {
            "*" => Ok(entry),
            _ => origin::normalise(&entry).ok_or_else(|| {
                let problem = "is not an origin: write scheme://host or scheme://host:port, \
                               without a path or a final slash, or *";
                ConfigError::new(name, format!("entry {} {problem}", index.saturating_add(1)))
            }),
        };
        self.list(name).into_iter().enumerate().map(parse).collect()
    }

    fn open_kinds(&self, name: &'static str) -> Result<Vec<String>, ConfigError> {
        let kinds = self.list(name);
        for (index, kind) in kinds.iter().enumerate() {
            let problem = if RoomName::new(kind, "0").is_err() {
                "is not a room kind: a lower-case letter, then at most 31 of a-z, 0-9 and -"
            } else if NEVER_OPEN.contains(&kind.as_str()) {
                "is a kind that cannot be open to everyone (user, admin, admins, lobby, all)"
            } else {
                continue;
            };
            return Err(ConfigError::new(
                name,
                format!("entry {} {problem}", index.saturating_add(1)),
            ));
        }
        Ok(kinds)
    }

    fn public_keys(&self, name: &'static str) -> Result<Vec<PublicKey>, ConfigError> {
        let Some(text) = self.text(name) else {
            return Ok(Vec::new());
        };
        let keys: Vec<serde_json::Value> = serde_json::from_str(&text)
            .map_err(|_| ConfigError::new(name, "must be a JSON array of JWKs"))?;
        if keys.len() > MAX_PUBLIC_KEYS {
            return Err(ConfigError::new(
                name,
                format!("must hold at most {MAX_PUBLIC_KEYS} keys"),
            ));
        }
        let parse = |(index, jwk): (usize, &serde_json::Value)| {
            PublicKey::from_jwk(jwk).map_err(|error| {
                ConfigError::new(name, format!("key {} {error}", index.saturating_add(1)))
            })
        };
        keys.iter().enumerate().map(parse).collect()
    }
}

#[cfg(test)]
mod tests;
