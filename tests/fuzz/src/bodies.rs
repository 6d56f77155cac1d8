//! What comes over HTTP: Twilio's webhooks, and the bodies of the API.

use std::{collections::BTreeMap, rc::Rc};

use dialtone_core::{
    auth::Grant,
    config::Secret,
    emit::Batch,
    lines,
    names::{RoomName, StreamPosition, Timestamp},
    namespaces::room_from_client,
    object::Environment,
    twilio::{
        inbound, media,
        outbound::{Conversation, Draft, Outgoing},
        rest::{self, Answer},
        segments,
        signature::{self, Secrets, WebhookRequest},
        status,
    },
};
use dialtone_simulation::agenda::T0;

use crate::{text, tokens::environment};

/// Five lines, then the body: method, URL, `Content-Type`, signature, its settings.
pub fn webhooks(bytes: &[u8]) {
    let mut parts = bytes.splitn(6, |byte| *byte == b'\n');
    let mut header = || parts.next().and_then(text);
    let head = [header(), header(), header(), header(), header()];
    let [
        Some(method),
        Some(url),
        Some(kind),
        Some(signature),
        Some(settings),
    ] = head
    else {
        return;
    };
    let webhook = WebhookRequest {
        method,
        url,
        content_type: (!kind.is_empty()).then_some(kind),
        body: parts.next().unwrap_or_default(),
        signature: (!signature.is_empty()).then_some(signature),
        settings: (!settings.is_empty()).then_some(settings),
    };
    let keys = BTreeMap::from([("SK1".to_owned(), Secret::new("secret"))]);
    let secrets = Secrets {
        tokens: vec!["12345"],
        keys: &keys,
    };
    for base in [None, Some("https://dialtone.example/at")] {
        // Whoever guesses a signature has found something.
        let _ = signature::verify(&webhook, base, &secrets);
    }
    let Ok(parameters) = webhook.parameters() else {
        return;
    };
    if let Ok(message) = inbound::parse(&parameters, None) {
        assert!(inbound::line_of(&message.room()).is_some());
        assert_eq!(message.line().kind(), "line");
        message.payload(T0).unwrap();
    }
    if let Ok(Some(callback)) = status::parse(&parameters, &parameters, None) {
        assert!(callback.report.sid.is_some());
    }
}

/// A body of each route that takes one; the names in paths and queries; what Twilio answers.
pub fn bodies(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    thread_local!(static ENVIRONMENT: Rc<Environment> = environment(&[]));
    let config = &ENVIRONMENT.with(Rc::clone).config;

    if let Ok(batch) = Batch::parse(text, T0, "fresh") {
        let requests = batch.requests();
        assert!(!requests.is_empty());
        for (_, request) in &requests {
            serde_json::to_string(request).unwrap();
        }
        let answer: serde_json::Value = serde_json::from_str(&batch.answer(Vec::new())).unwrap();
        assert!(answer.is_object());
        batch.payload_id();
    }
    if let Ok(draft) = Draft::parse(text, Some("key")) {
        segments::count(&draft.body);
    }
    let _ = lines::assignee(text);

    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(conversation) = Conversation::parse(first, second) {
        let _ = conversation.may_be_sent_to();
    }
    for name in [first, second] {
        if let Ok(room) = RoomName::parse(name) {
            assert_eq!(room.as_str(), name);
            assert_eq!(format!("{}:{}", room.kind(), room.id()), name);
        }
        if let Ok(position) = StreamPosition::parse(name) {
            let again = format!("{}:{}", position.epoch, position.offset);
            assert_eq!(StreamPosition::parse(&again).unwrap(), position);
        }
        let _ = (room_from_client(name), Grant::parse(name));
        if media::is_public_url(name) {
            assert!(
                name.to_ascii_lowercase().trim_start().starts_with("http"),
                "{name}"
            );
        }
        media::source(name, &config.twilio);
        media::redirect(first, second, &config.twilio);
        media::is_shown_inline(name);
    }
    segments::count(text);

    let message = Outgoing {
        room: RoomName::parse("sms:+15550001111:+15552223333").unwrap(),
        id: "m".to_owned(),
        from: "+15550001111".to_owned(),
        to: "+15552223333".to_owned(),
        body: second.to_owned(),
        media: Vec::new(),
        callback: None,
    };
    assert!(rest::create(&config.twilio, &message).is_some());
    for status in [200, 201, 400, 429, 500] {
        let answer = Answer {
            status,
            retry_after: first.parse().ok(),
            body: text.to_owned(),
        };
        rest::verdict(Some(&answer));
        rest::found(&answer, &message, Timestamp(T0.0));
    }
}
