use serde_json::{Value as Json, json};

use super::*;

fn parse(body: &Json) -> Result<Batch, Refused> {
    Batch::parse(&body.to_string(), Timestamp(0), "fresh")
}

/// What the rooms are asked, as JSON.
fn asked(body: &Json) -> Json {
    let requests = parse(body).unwrap().requests().into_iter();
    let parcels = requests.map(|(room, request)| {
        let request = serde_json::to_value(request).unwrap();
        let parcels = request["deliver"]["parcels"].as_array().unwrap().clone();
        let events = parcels.iter().map(|parcel| parcel["event"].clone());
        (room.to_string(), events.collect())
    });
    Json::Object(parcels.collect())
}

#[test]
fn a_request_a_room() {
    for (body, expected) in [
        (
            json!({"event": "e"}),
            json!({"all:.": [{"event": "e", "args": []}]}),
        ),
        (
            json!({"namespace": "/chat", "room": "*", "event": "e", "data": null}),
            json!({"all:chat": [{"event": "e", "args": [null], "audience": {"namespace": "/chat"}}]}),
        ),
        (
            json!([{"room": "demo:1", "event": "a", "args": [1, [2]], "id": "x"},
                   {"room": "demo:1", "event": "b", "volatile": true, "latest": true, "except": [7, "ann"]}]),
            json!({"demo:1": [
                {"event": "a", "args": [1, [2]], "dedupe": "emit:x"},
                {"event": "b", "args": [], "volatile": true, "latest": true, "audience": {"except_users": [7, "ann"]}},
            ]}),
        ),
        (
            json!({"rooms": ["ticket:7", "*", "ticket:7"], "event": "e"}),
            json!({
                "all:.": [{"event": "e", "args": [], "audience": {"copies": ["ticket:7", "all:."]}}],
                "ticket:7": [{"event": "e", "args": [], "audience": {"copies": ["ticket:7", "all:."]}}],
            }),
        ),
        // Sent again under its id, it has the id that it had.
        (
            json!({"room": "user:ann", "event": "notification:received", "id": "k", "data":
                {"type": "alert", "title": "t", "message": "m", "severity": "info", "timestamp": "now"}}),
            json!({"user:ann": [{"event": "notification:received", "dedupe": "emit:k", "args": [
                {"id": "k", "type": "alert", "title": "t", "message": "m", "severity": "info", "timestamp": "now"}]}]}),
        ),
        // The room's own namespace, and what the payload may leave out.
        (
            json!({"room": "job:7", "event": "job:status-changed", "data": {"status": "failed"}}),
            json!({"job:7": [{"event": "job:status-changed", "args": [
                {"jobId": "7", "status": "failed", "timestamp": "1970-01-01T00:00:00.000Z"}]}]}),
        ),
        (
            json!({"namespace": "/notifications", "room": "user:ann", "event": "e"}),
            json!({"user:ann": [{"event": "e", "args": [], "audience": {"namespace": "/notifications"}}]}),
        ),
    ] {
        assert_eq!(asked(&body), expected, "{body}");
    }
}

#[test]
fn the_answer_is_in_the_order_of_the_items() {
    let body =
        json!([{"rooms": ["demo:2", "demo:1"], "event": "a"}, {"room": "demo:1", "event": "b"}]);
    let accepted = |offset| Accepted {
        offset: Some(crate::names::Offset(offset)),
        ..Accepted::default()
    };
    let published = [vec![accepted(1), accepted(2)], vec![accepted(9)]];
    let published = published.map(|results| Published { results }).to_vec();
    let answer = parse(&body).unwrap().answer(published);
    assert_eq!(
        serde_json::from_str::<Json>(&answer).unwrap(),
        json!({"results": [
            {"room": "demo:2", "index": 0, "offset": 9, "duplicate": false},
            {"room": "demo:1", "index": 0, "offset": 1, "duplicate": false},
            {"room": "demo:1", "index": 1, "offset": 2, "duplicate": false},
        ]})
    );
}

#[test]
fn what_is_wrong_is_refused_and_named() {
    let many = |n: usize| -> Vec<String> { (0..n).map(|n| format!("demo:{n}")).collect() };
    let long = "x".repeat(65);
    let job = |data: Json| json!({"room": "job:1", "event": "job:status-changed", "data": data});
    let alert = |data: Json| {
        let mut all = json!({"type": "alert", "title": "t", "message": "m", "severity": "info"});
        all.as_object_mut()
            .unwrap()
            .extend(data.as_object().unwrap().clone());
        json!({"room": "user:ann", "event": "notification:received", "data": all})
    };
    let sync = |event: &str, data: Json| {
        let mut all = json!({"platform": "p", "progress": 1, "recordsProcessed": 0});
        all.as_object_mut()
            .unwrap()
            .extend(data.as_object().unwrap().clone());
        json!({"room": "brand:1", "event": event,
               "data": {"syncId": "s", "eventType": "analytics:sync-started", "data": all}})
    };
    assert!(
        parse(&job(
            json!({"status": "in_progress", "progress": 100.0, "x": 1})
        ))
        .is_ok()
    );
    assert!(parse(&alert(json!({"read": true}))).is_ok());
    assert!(parse(&sync("analytics:sync-started", json!({}))).is_ok());
    assert!(parse(&json!({"rooms": many(100), "event": "e"})).is_ok());
    for (body, code, named) in [
        (json!(5), Code::InvalidPayload, "item"),
        (json!([]), Code::InvalidPayload, "batch"),
        (
            json!(vec![json!({"event": "e"}); 101]),
            Code::InvalidPayload,
            "batch",
        ),
        (json!({}), Code::InvalidPayload, "`event`"),
        (json!({"event": 5}), Code::InvalidPayload, "`event`"),
        (json!({"event": ""}), Code::InvalidPayload, "`event`"),
        (json!({"event": "a\nb"}), Code::InvalidPayload, "`event`"),
        (
            json!({"event": "connect_error"}),
            Code::InvalidPayload,
            "`event`",
        ),
        (
            json!({"event": "presence_diff"}),
            Code::InvalidPayload,
            "`event`",
        ),
        (
            json!({"event": "e", "data": 1, "args": []}),
            Code::InvalidPayload,
            "`data`",
        ),
        (
            json!({"event": "e", "args": {}}),
            Code::InvalidPayload,
            "`args`",
        ),
        (
            json!({"event": "e", "room": "demo:1", "rooms": []}),
            Code::InvalidPayload,
            "`room`",
        ),
        (
            json!({"event": "e", "rooms": []}),
            Code::InvalidPayload,
            "`rooms`",
        ),
        (
            json!({"event": "e", "rooms": "demo:1"}),
            Code::InvalidPayload,
            "`rooms`",
        ),
        (
            json!({"event": "e", "rooms": many(101)}),
            Code::InvalidPayload,
            "`rooms`",
        ),
        (
            json!({"event": "e", "rooms": many(10_000)}),
            Code::InvalidPayload,
            "`rooms`",
        ),
        (
            json!({"event": "e", "room": "nope"}),
            Code::InvalidPayload,
            "`room`",
        ),
        (
            json!({"event": "e", "rooms": ["nope"]}),
            Code::InvalidPayload,
            "`rooms`",
        ),
        (
            json!({"event": "e", "room": "lobby:0"}),
            Code::Forbidden,
            "access",
        ),
        (
            json!({"event": "e", "room": "all:chat"}),
            Code::Forbidden,
            "access",
        ),
        (
            json!({"event": "e", "namespace": "/nope"}),
            Code::InvalidNamespace,
            "`namespace`",
        ),
        (
            json!({"event": "e", "namespace": 5}),
            Code::InvalidPayload,
            "`namespace`",
        ),
        (
            json!({"event": "e", "namespace": "/", "room": "job:1"}),
            Code::WrongNamespace,
            "job:1",
        ),
        (
            json!({"event": "e", "except": "ann"}),
            Code::InvalidPayload,
            "`except`",
        ),
        (
            json!({"event": "e", "except": many(101)}),
            Code::InvalidPayload,
            "`except`",
        ),
        (
            json!({"event": "e", "volatile": 1}),
            Code::InvalidPayload,
            "`volatile`",
        ),
        (
            json!({"event": "e", "id": ""}),
            Code::InvalidPayload,
            "`id`",
        ),
        (
            json!({"event": "e", "id": long}),
            Code::InvalidPayload,
            "`id`",
        ),
        (job(json!({})), Code::InvalidPayload, "`status`"),
        (job(json!([])), Code::InvalidPayload, "`data`"),
        (
            job(json!({"status": "done"})),
            Code::InvalidPayload,
            "`status`",
        ),
        (
            job(json!({"status": "failed", "progress": 101})),
            Code::InvalidPayload,
            "`progress`",
        ),
        (
            job(json!({"status": "failed", "progress": -0.1})),
            Code::InvalidPayload,
            "`progress`",
        ),
        (
            job(json!({"status": "failed", "jobId": "2"})),
            Code::InvalidPayload,
            "`jobId`",
        ),
        (
            job(json!({"status": "failed", "details": 5})),
            Code::InvalidPayload,
            "`details`",
        ),
        (
            json!({"namespace": "/jobs", "event": "job:status-changed", "data": {"status": "failed"}}),
            Code::InvalidPayload,
            "`jobId`",
        ),
        (
            alert(json!({"severity": "fatal"})),
            Code::InvalidPayload,
            "`severity`",
        ),
        (
            alert(json!({"type": "news"})),
            Code::InvalidPayload,
            "`type`",
        ),
        (
            alert(json!({"title": null})),
            Code::InvalidPayload,
            "`title`",
        ),
        (alert(json!({"id": ""})), Code::InvalidPayload, "`id`"),
        (alert(json!({"read": "no"})), Code::InvalidPayload, "`read`"),
        (
            sync("analytics:sync-stopped", json!({})),
            Code::InvalidPayload,
            "`eventType`",
        ),
        (
            sync("analytics:sync-progress", json!({})),
            Code::InvalidPayload,
            "`eventType`",
        ),
        (
            sync("analytics:sync-started", json!({"progress": null})),
            Code::InvalidPayload,
            "`data.progress`",
        ),
        (
            sync("analytics:sync-started", json!({"totalRecords": -1})),
            Code::InvalidPayload,
            "`data.totalRecords`",
        ),
    ] {
        let Err(Refused::Whole(refusal)) = parse(&body) else {
            panic!("{body}");
        };
        assert_eq!(refusal.code, code, "{refusal:?}");
        assert!(refusal.message.contains(named), "{named}: {refusal:?}");
    }
    let not_json = Batch::parse("{", Timestamp(0), "fresh");
    assert!(matches!(
        not_json,
        Err(Refused::Whole(Refusal {
            code: Code::BadRequest,
            ..
        }))
    ));
}

#[test]
fn a_batch_says_which_items_are_wrong() {
    let body = json!([{"event": "e"}, {"event": "connect"}, 5, {"event": "e", "room": "lobby:0"}]);
    let Err(Refused::Items(bad)) = parse(&body) else {
        panic!("taken");
    };
    let rooms = |n: usize| -> Vec<String> { (0..100).map(|m| format!("demo:{n}-{m}")).collect() };
    let items = |n: usize| -> Json {
        (0..n)
            .map(|n| json!({"event": "e", "rooms": rooms(n)}))
            .collect()
    };
    assert!(parse(&items(5)).is_ok());
    assert!(
        matches!(parse(&items(6)), Err(Refused::Whole(_))),
        "500 rooms in all"
    );
    let bad: Vec<(usize, Code)> = bad.iter().map(|item| (item.index, item.code)).collect();
    assert_eq!(
        bad,
        [
            (1, Code::InvalidPayload),
            (2, Code::InvalidPayload),
            (3, Code::Forbidden)
        ]
    );
}
