//! Which route a request is for: one table. Pure, so that every row of the contract's is a test row.

use dialtone_core::error::Refusal;
use percent_encoding::percent_decode_str;

/// Every route: its method, its path, what it is. `{…}` is one segment, whatever it holds.
#[rustfmt::skip] // A table is read by its columns.
const TABLE: &[(&str, &str, Route)] = &[
    ("GET",    "/health",                                                     Route::Health),
    ("GET",    "/api/socket",                                                 Route::Health),
    ("GET",    "/api/webhooks/twilio",                                        Route::Health),
    ("GET",    "/metrics",                                                    Route::Metrics),
    ("GET",    "/rooms/{room}",                                               Route::Connect),
    ("GET",    "/rooms/{room}/history",                                       Route::History),
    ("GET",    "/rooms/{room}/presence",                                      Route::Presence),
    ("POST",   "/rooms/{room}/events",                                        Route::Events),
    ("GET",    "/rooms/{room}/members",                                       Route::Members),
    ("PUT",    "/rooms/{room}/members/{userId}",                              Route::AddMember),
    ("DELETE", "/rooms/{room}/members/{userId}",                              Route::RemoveMember),
    ("DELETE", "/rooms/{room}/connections",                                   Route::Disconnect),
    ("GET",    "/rooms/{room}/backup",                                        Route::Backup),
    ("PUT",    "/rooms/{room}/backup",                                        Route::Restore),
    ("GET",    "/chat/{chatId}/messages",                                     Route::ChatMessages),
    ("POST",   "/api/emit",                                                   Route::Emit),
    ("GET",    "/api/jobs/{id}",                                              Route::Job),
    ("POST",   "/api/jobs/{id}",                                              Route::EmitJob),
    ("GET",    "/api/analytics/{brandId}",                                    Route::Analytics),
    ("POST",   "/api/analytics/{brandId}",                                    Route::EmitAnalytics),
    ("POST",   "/api/users/{id}/notifications",                               Route::Notify),
    ("GET",    "/api/notifications",                                          Route::Notifications),
    ("DELETE", "/api/notifications",                                          Route::ClearNotifications),
    ("POST",   "/api/notifications/{id}/read",                                Route::ReadNotification),
    ("GET",    "/api/lines",                                                  Route::Lines),
    ("GET",    "/api/lines/{number}/assignees",                               Route::Assignees),
    ("PUT",    "/api/lines/{number}/assignees/{userId}",                      Route::Assign),
    ("DELETE", "/api/lines/{number}/assignees/{userId}",                      Route::Unassign),
    ("GET",    "/api/lines/{number}/conversations",                           Route::Conversations),
    ("PUT",    "/api/lines/{number}/conversations/{contact}/assignee",        Route::AssignConversation),
    ("GET",    "/api/lines/{number}/conversations/{contact}/messages",        Route::Conversation),
    ("POST",   "/api/lines/{number}/conversations/{contact}/messages",        Route::SendMessage),
    ("GET",    "/api/lines/{number}/conversations/{contact}/media/{sid}/{n}", Route::Media),
    ("GET",    "/webhooks/twilio/inbound",                                    Route::TwilioInbound),
    ("POST",   "/webhooks/twilio/inbound",                                    Route::TwilioInbound),
    ("GET",    "/api/webhooks/inbound-sms",                                   Route::TwilioInbound),
    ("POST",   "/api/webhooks/inbound-sms",                                   Route::TwilioInbound),
    ("POST",   "/api/webhooks/twilio",                                        Route::TwilioInbound),
    ("POST",   "/webhooks/twilio/status",                                     Route::TwilioStatus),
    (ANY,      "/socket.io",                                                  Route::SocketIo),
    (ANY,      "/socket.io/",                                                 Route::SocketIo),
    #[cfg(feature = "conformance")]
    (ANY,      "/engine.io",                                                  Route::EngineIo),
    #[cfg(feature = "conformance")]
    (ANY,      "/engine.io/",                                                 Route::EngineIo),
];

/// The protocol behind this path has its own answer to a wrong method.
const ANY: &str = "*";

/// The routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `OPTIONS` on anything of ours.
    Preflight,
    /// Whether all is configured, for anyone.
    Health,
    /// Prometheus' text.
    Metrics,
    /// A plain WebSocket.
    Connect,
    /// A room's publications.
    History,
    /// Who is in a room.
    Presence,
    /// What a plain WebSocket would send.
    Events,
    /// Who may join a room.
    Members,
    /// One may join from now on.
    AddMember,
    /// One may no longer.
    RemoveMember,
    /// Closes connections.
    Disconnect,
    /// A page of all that a room is.
    Backup,
    /// Brings one back.
    Restore,
    /// A chat's messages.
    ChatMessages,
    /// A backend's events, to any rooms.
    Emit,
    /// A job's last status.
    Job,
    /// A job's new status.
    EmitJob,
    /// A brand's last analytics event.
    Analytics,
    /// A new one.
    EmitAnalytics,
    /// A notification for a user.
    Notify,
    /// One's own notifications.
    Notifications,
    /// All of them are read.
    ClearNotifications,
    /// One of them is read.
    ReadNotification,
    /// Who works a phone line.
    Assignees,
    /// One does from now on.
    Assign,
    /// One does no longer.
    Unassign,
    /// The phone lines one works.
    Lines,
    /// A line's conversations.
    Conversations,
    /// A conversation is somebody's from now on.
    AssignConversation,
    /// A conversation's messages.
    Conversation,
    /// A new one.
    SendMessage,
    /// What came with one.
    Media,
    /// Twilio's inbound webhook.
    TwilioInbound,
    /// Twilio's status callback.
    TwilioStatus,
    /// Engine.IO, over HTTP or as a WebSocket.
    SocketIo,
    /// The same without Socket.IO, each message echoed; for the official suite alone.
    EngineIo,
    /// Everything else: the static page.
    Page,
}

/// What stands for the `{…}` of a path, in order; empty where there are fewer. Decoded, but not yet
/// checked: that comes after the token.
pub type Parameters = [String; 4];

/// Why there is no route.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss {
    /// A refusal.
    Refused(Refusal),
    /// The path is one of ours, the method is not; these would be.
    Method(String),
}

impl From<Refusal> for Miss {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Finds the route. `HEAD` is answered like `GET`.
pub fn route(method: &str, path: &str) -> Result<(Route, Parameters), Miss> {
    let method = if method == "HEAD" { "GET" } else { method };
    if method == "OPTIONS" && is_ours(path) {
        return Ok((Route::Preflight, Parameters::default()));
    }
    let mut allowed = Vec::new();
    for &(answers, template, route) in TABLE {
        let Some(segments) = fit(template, path) else {
            continue;
        };
        let parameters = decode(&segments)?;
        if [method, ANY].contains(&answers) {
            return Ok((route, parameters));
        }
        allowed.push(answers);
    }
    if !allowed.is_empty() {
        Err(Miss::Method(allowed.join(", ")))
    } else if is_ours(path) {
        Err(Refusal::not_found("there is no such route").into())
    } else if method == "GET" {
        Ok((Route::Page, Parameters::default()))
    } else {
        Err(Miss::Method("GET".to_owned()))
    }
}

/// Paths that are never a page.
fn is_ours(path: &str) -> bool {
    matches!(
        path.split('/').nth(1),
        Some("api" | "rooms" | "webhooks" | "chat" | "socket.io" | "engine.io")
    ) || matches!(path, "/health" | "/metrics")
}

/// What a path has where its template has `{…}`, if it is one of those.
fn fit<'a>(template: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut segments = path.split('/');
    let mut parameters = Vec::new();
    for expected in template.split('/') {
        let segment = segments.next()?;
        if expected.starts_with('{') {
            parameters.push(segment);
        } else if segment != expected {
            return None;
        }
    }
    segments.next().is_none().then_some(parameters)
}

fn decode(segments: &[&str]) -> Result<Parameters, Miss> {
    let mut parameters = Parameters::default();
    for (parameter, segment) in parameters.iter_mut().zip(segments) {
        *parameter = percent_decode_str(segment)
            .decode_utf8()
            .map_err(|_| Refusal::bad_request("the path is not percent-encoded UTF-8"))?
            .into_owned();
    }
    Ok(parameters)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Route::*, *};

    #[test]
    fn paths_and_methods_find_their_route() {
        const ROOM: &str = "chat:42";
        const LINE: &str = "whatsapp:+1555";
        const USER: &str = "u/1";
        #[rustfmt::skip]
        let rows = [
            ("GET",     "/",                                         Page,               "",    ""),
            ("GET",     "/style.css",                                Page,               "",    ""),
            ("GET",     "/inbox/42",                                 Page,               "",    ""),
            ("GET",     "/health/x",                                 Page,               "",    ""),
            ("GET",     "/health",                                   Health,             "",    ""),
            ("HEAD",    "/health",                                   Health,             "",    ""),
            ("GET",     "/api/socket",                               Health,             "",    ""),
            ("GET",     "/api/webhooks/twilio",                      Health,             "",    ""),
            ("GET",     "/metrics",                                  Metrics,            "",    ""),
            ("GET",     "/rooms/chat:42",                            Connect,            ROOM,  ""),
            ("GET",     "/rooms/chat%3A42",                          Connect,            ROOM,  ""),
            ("GET",     "/rooms/a%2Fb",                              Connect,            "a/b", ""),
            ("GET",     "/rooms/",                                   Connect,            "",    ""),
            ("GET",     "/rooms/chat:42/history",                    History,            ROOM,  ""),
            ("HEAD",    "/rooms/chat:42/history",                    History,            ROOM,  ""),
            ("GET",     "/rooms/chat:42/presence",                   Presence,           ROOM,  ""),
            ("POST",    "/rooms/chat:42/events",                     Events,             ROOM,  ""),
            ("GET",     "/rooms/chat:42/members",                    Members,            ROOM,  ""),
            ("PUT",     "/rooms/chat:42/members/u%2F1",              AddMember,          ROOM,  USER),
            ("DELETE",  "/rooms/chat:42/members/u%2F1",              RemoveMember,       ROOM,  USER),
            ("DELETE",  "/rooms/chat:42/connections",                Disconnect,         ROOM,  ""),
            ("GET",     "/rooms/chat:42/backup",                     Backup,             ROOM,  ""),
            ("PUT",     "/rooms/chat:42/backup",                     Restore,            ROOM,  ""),
            ("GET",     "/chat/42/messages",                         ChatMessages,       "42",  ""),
            ("POST",    "/api/emit",                                 Emit,               "",    ""),
            ("GET",     "/api/jobs/u%2F1",                           Job,                USER,  ""),
            ("POST",    "/api/jobs/7",                               EmitJob,            "7",   ""),
            ("GET",     "/api/analytics/b-1",                        Analytics,          "b-1", ""),
            ("POST",    "/api/analytics/b-1",                        EmitAnalytics,      "b-1", ""),
            ("POST",    "/api/users/u%2F1/notifications",            Notify,             USER,  ""),
            ("GET",     "/api/notifications",                        Notifications,      "",    ""),
            ("DELETE",  "/api/notifications",                        ClearNotifications, "",    ""),
            ("POST",    "/api/notifications/n-1/read",               ReadNotification,   "n-1", ""),
            ("GET",     "/api/lines/whatsapp:%2B1555/assignees",     Assignees,          LINE,  ""),
            ("PUT",     "/api/lines/whatsapp:+1555/assignees/u%2F1", Assign,             LINE,  USER),
            ("DELETE",  "/api/lines/whatsapp:+1555/assignees/u%2F1", Unassign,           LINE,  USER),
            ("GET",     "/api/lines",                                Lines,              "",    ""),
            ("GET",     "/api/lines/whatsapp:+1555/conversations",   Conversations,      LINE,  ""),
            ("POST",    "/webhooks/twilio/status",                   TwilioStatus,       "",    ""),
            ("POST",    "/webhooks/twilio/inbound",                  TwilioInbound,      "",    ""),
            ("GET",     "/webhooks/twilio/inbound",                  TwilioInbound,      "",    ""),
            ("POST",    "/api/webhooks/inbound-sms",                 TwilioInbound,      "",    ""),
            ("POST",    "/api/webhooks/twilio",                      TwilioInbound,      "",    ""),
            ("GET",     "/socket.io/",                               SocketIo,           "",    ""),
            ("POST",    "/socket.io/",                               SocketIo,           "",    ""),
            ("PUT",     "/socket.io/",                               SocketIo,           "",    ""),
            ("GET",     "/socket.io",                                SocketIo,           "",    ""),
            ("OPTIONS", "/socket.io/",                               Preflight,          "",    ""),
            ("OPTIONS", "/rooms/chat:42/events",                     Preflight,          "",    ""),
            ("OPTIONS", "/api/lines/1/assignees",                    Preflight,          "",    ""),
            ("OPTIONS", "/api/nothing",                              Preflight,          "",    ""),
        ];
        for (method, path, expected, one, two) in rows {
            let parameters = [one, two, "", ""].map(str::to_owned);
            assert_eq!(
                route(method, path),
                Ok((expected, parameters)),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn paths_below_a_conversation_find_their_route() {
        for (method, below, expected, three, four) in [
            ("GET", "messages", Conversation, "", ""),
            ("HEAD", "messages", Conversation, "", ""),
            ("POST", "messages", SendMessage, "", ""),
            ("PUT", "assignee", AssignConversation, "", ""),
            ("GET", "media/SM1/0", Media, "SM1", "0"),
            ("HEAD", "media/a%2Fb/%30", Media, "a/b", "0"),
            ("OPTIONS", "media/SM1/0", Preflight, "", ""),
        ] {
            let path = format!("/api/lines/+1555/conversations/%2B1666/{below}");
            let [line, contact] = match expected {
                Preflight => ["", ""],
                _ => ["+1555", "+1666"],
            };
            let parameters = [line, contact, three, four].map(str::to_owned);
            assert_eq!(
                route(method, &path),
                Ok((expected, parameters)),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let not_found = || Err(Refusal::not_found("there is no such route").into());
        let bad_path = || Err(Refusal::bad_request("the path is not percent-encoded UTF-8").into());
        let only = |methods: &str| Err(Miss::Method(methods.to_owned()));
        for (method, path, expected) in [
            ("POST", "/", only("GET")),
            ("OPTIONS", "/", only("GET")),
            ("POST", "/health", only("GET")),
            ("GET", "/rooms/chat:42/events", only("POST")),
            ("HEAD", "/rooms/chat:42/events", only("POST")),
            ("POST", "/rooms/chat:42/members/u1", only("PUT, DELETE")),
            ("PUT", "/api/webhooks/twilio", only("GET, POST")),
            ("PUT", "/api/jobs/7", only("GET, POST")),
            ("POST", "/api/notifications", only("GET, DELETE")),
            ("GET", "/api/emit", only("POST")),
            ("POST", "/api/lines", only("GET")),
            (
                "PUT",
                "/api/lines/1/conversations/2/messages",
                only("GET, POST"),
            ),
            ("GET", "/api/lines/1/conversations/2/assignee", only("PUT")),
            (
                "POST",
                "/api/lines/1/conversations/2/media/3/4",
                only("GET"),
            ),
            ("GET", "/webhooks/twilio/status", only("POST")),
            ("GET", "/socket.io/x", not_found()),
            ("GET", "/api/nothing", not_found()),
            ("GET", "/api", not_found()),
            ("GET", "/rooms", not_found()),
            ("GET", "/rooms/chat:42/", not_found()),
            ("GET", "/rooms/chat:42/nothing", not_found()),
            ("GET", "/chat/42", not_found()),
            ("GET", "/api/lines/1", not_found()),
            ("GET", "/api/lines/1/conversations/2", not_found()),
            ("GET", "/api/lines/1/conversations/2/media/3", not_found()),
            (
                "GET",
                "/api/lines/1/conversations/2/media/3/4/5",
                not_found(),
            ),
            ("GET", "/api/notifications/n-1", not_found()),
            ("GET", "/webhooks/twilio/nothing", not_found()),
            ("GET", "/rooms/%ff", bad_path()),
            ("POST", "/rooms/%ff", bad_path()),
        ] {
            assert_eq!(route(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn no_row_of_the_table_hides_another_and_none_has_more_parameters_than_are_kept() {
        for (row, (method, template, _)) in TABLE.iter().enumerate() {
            let fits = |other: &&(&str, &str, Route)| fit(other.1, template).is_some();
            let before = TABLE.iter().take(row).filter(fits);
            assert_eq!(
                before.filter(|(other, ..)| other == method).count(),
                0,
                "{method} {template}"
            );
            let parameters = template.matches('{').count();
            assert!(parameters <= Parameters::default().len(), "{template}");
        }
    }

    #[test]
    fn the_openapi_document_describes_every_row_and_nothing_else() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../public/openapi.json")).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                described.insert((method.to_uppercase(), path.as_str()));
            }
        }
        // `/socket.io/` is a protocol of its own: it has a sentence instead.
        let http = TABLE.iter().filter(|(method, ..)| *method != ANY);
        let rows = http.map(|(method, path, _)| ((*method).to_owned(), *path));
        assert_eq!(described, rows.collect());
        let text = document["info"]["description"].as_str().unwrap();
        assert!(text.contains("`/socket.io/`"), "{text}");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
