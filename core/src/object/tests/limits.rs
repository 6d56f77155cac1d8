//! Limits that are reached with thousands: at the edge, and one past it.

use super::*;
use crate::{
    engine_io,
    limits::{MAX_CONNECTIONS_PER_ROOM, MAX_MEMBERS, MAX_REPLAY, MAX_SESSIONS},
    wire::{Door, EngineRequest, Method},
};

fn handshake(request: u64) -> Input {
    Input::Engine {
        request: RequestId(request),
        engine: Box::new(EngineRequest {
            method: Method::Get,
            sid: None,
            door: Door::default(),
        }),
        body: String::new(),
    }
}

/// So many rows with numbers from 1 on, by this statement's `n`.
fn fill(shell: &Shell, statement: &str, rows: u64) {
    let numbers =
        "WITH RECURSIVE numbers(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)";
    let (into, select) = statement.split_once(" SELECT ").unwrap();
    let sql = format!("{numbers} {into} SELECT {select} FROM numbers");
    shell
        .disk
        .run(&sql, &[crate::storage::unsigned(rows)])
        .unwrap();
}

#[test]
fn an_object_holds_so_many_sessions_and_connections_and_refuses_one_more() {
    let mut shell = Shell::new("demo:1");
    let ann = shell.join("ann");
    let last = u64::try_from(MAX_SESSIONS).unwrap();
    shell.turn((2..=last).map(handshake).collect()).unwrap();
    assert_eq!(shell.polls.len(), MAX_SESSIONS - 1);
    // Sessions are connections, and so is Ann's plain socket: the object is full.
    assert_eq!(MAX_SESSIONS, MAX_CONNECTIONS_PER_ROOM);
    let bob = shell.open_input("bob", None);
    let refused = |shell: &mut Shell, input: Input| {
        let request = input.request().unwrap();
        shell.turn(vec![input]).unwrap();
        shell
            .replies
            .remove(&request)
            .map(|answer| answer.unwrap_err().code)
    };
    assert_eq!(refused(&mut shell, bob), Some(Code::RateLimited));
    // The session that is the last one fits still, the next one does not.
    assert_eq!(refused(&mut shell, handshake(last + 1)), None);
    assert_eq!(
        refused(&mut shell, handshake(last + 2)),
        Some(Code::RateLimited)
    );
    // Who is in goes on; when one leaves there is room for one.
    shell.send(ann, json!({"event": "note", "id": "n"}));
    assert_eq!(shell.take(ann).last().unwrap()["ack"], "n");
    let Some(Polled::Payload(open)) = shell.polls.get(&RequestId(2)) else {
        panic!("no session")
    };
    let open: Json = serde_json::from_str(&open[1..]).unwrap();
    shell
        .turn(vec![Input::Engine {
            request: RequestId(last + 3),
            engine: Box::new(EngineRequest {
                method: Method::Post,
                sid: open["sid"].as_str().map(str::to_owned),
                door: Door::default(),
            }),
            body: engine_io::Packet::Close.encode(),
        }])
        .unwrap();
    assert_eq!(refused(&mut shell, handshake(last + 4)), None);
    assert_eq!(
        refused(&mut shell, handshake(last + 5)),
        Some(Code::RateLimited)
    );
}

#[test]
fn a_room_has_so_many_members_and_one_more_is_refused() {
    let mut shell = Shell::new("demo:1");
    shell.ask(Request::Members).unwrap();
    fill(
        &shell,
        "INSERT INTO members (user, since) SELECT 'u' || n, 1",
        MAX_MEMBERS - 1,
    );
    shell.evict();
    let mut add = |user: &str| {
        let user = UserId::text(user).unwrap();
        shell
            .ask(Request::AddMember { user })
            .map_err(|refusal| refusal.code)
    };
    assert!(add("the-last").is_ok());
    assert_eq!(add("one-more").unwrap_err(), Code::InvalidPayload);
    assert!(add("u1").is_ok(), "who is one already is one still");
}

#[test]
fn so_much_is_replayed_and_who_missed_more_is_told_that_it_cannot_be() {
    let mut shell = Shell::with("demo:1", &[("HISTORY_MAX_MESSAGES", "50000")]);
    let watcher = shell.join("watcher");
    let epoch = shell.take(watcher)[0]["data"]["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    let statement = "INSERT INTO log (offset, namespace, event, args, at) SELECT n, '/', 'note', '[1]', 1767607200000";
    fill(&shell, statement, u64::from(MAX_REPLAY) + 1);
    shell.evict();
    for (since, recovered, frames) in [(1, true, MAX_REPLAY), (0, false, 0)] {
        let client = shell.join_since("late", Some(&format!("{epoch}:{since}")));
        let frames_of = shell.take(client);
        assert_eq!(frames_of[0]["data"]["recovered"], recovered, "{since}");
        let notes = frames_of
            .iter()
            .filter(|frame| frame["event"] == "note")
            .count();
        assert_eq!(u32::try_from(notes).unwrap(), frames, "{since}");
    }
}
