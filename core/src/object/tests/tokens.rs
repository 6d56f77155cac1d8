//! Tokens that the runtime checks: what waits for it and what does not. The tests are the runtime.

use super::{
    world::{Client, Cluster, Heard, open_token, token_of},
    *,
};
use crate::{auth::TokenError, limits::MAX_VERIFYING};

const LOBBY: &str = "lobby:0";
const VARS: [(&str, &str); 1] = [("JWT_JWKS_URL", "https://id.example/jwks")];

/// The runtime has checked the first of the tokens that it was given.
fn verdict(cluster: &mut Cluster, name: &str, verdict: Result<Claims, TokenError>) {
    let (call, _) = cluster.shell(name).verifies.remove(0);
    cluster.turn(name, vec![Input::Verified { call, verdict }]);
    cluster.settle();
}

/// A client whose CONNECT waits.
fn knocking(namespace: &'static str, cluster: &mut Cluster) -> Client {
    let mut client = Client::new("ann", namespace);
    client.token = open_token("ann");
    client.connect(cluster, LOBBY);
    assert!(!client.connected && client.refused.is_none());
    client
}

#[test]
fn a_secret_s_token_asks_the_runtime_nothing() {
    let mut cluster = Cluster::new(&VARS);
    let mut ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    let refreshed = ann.call(&mut cluster, "refresh", json!({"token": token_of("ann")}));
    assert_eq!(refreshed["ok"], true);
    assert!(cluster.shell(LOBBY).verifies.is_empty());
}

#[test]
fn what_follows_a_connect_that_is_being_checked_waits_for_it_in_order() {
    let mut cluster = Cluster::new(&VARS);
    let mut ann = knocking("/", &mut cluster);
    let note = |data| json!({"room": "demo:1", "event": "note", "data": data});
    let ids = [
        ann.emit(&mut cluster, "join", json!("demo:1")),
        ann.emit(&mut cluster, "send", note(1)),
        ann.emit(&mut cluster, "send", note(2)),
    ];
    cluster.settle();
    assert_eq!(
        ann.read(&mut cluster),
        0,
        "nothing is said before it is known who that is"
    );
    assert!(cluster.roster("demo:1").is_empty());
    verdict(&mut cluster, LOBBY, Ok(claims("ann")));
    ann.read(&mut cluster);
    assert_eq!(ann.log[0], Heard::Connected { recovered: false });
    let acks = ann.log.iter().filter_map(|heard| match heard {
        Heard::Ack(id, args) => Some((*id, args["ok"] == true)),
        _ => None,
    });
    assert_eq!(acks.collect::<Vec<_>>(), ids.map(|id| (id, true)));
    assert_eq!(cluster.roster("demo:1"), ["ann"]);
}

#[test]
fn a_connect_whose_token_is_no_good_is_refused_and_what_followed_it_comes_to_nothing() {
    for (error, code) in [
        (TokenError::Signature, "unauthorized"),
        (TokenError::NoKey, "unauthorized"),
        (TokenError::Expired, "token_expired"),
    ] {
        let mut cluster = Cluster::new(&VARS);
        let mut ann = knocking("/chat", &mut cluster);
        verdict(&mut cluster, LOBBY, Err(error.clone()));
        ann.read(&mut cluster);
        assert_eq!(ann.refused.take().unwrap()["data"]["code"], code);
        assert!(ann.at.is_some(), "it may try another token");

        let mut eve = knocking("/chat", &mut cluster);
        eve.emit(&mut cluster, "join_chat", json!({"chatId": "1"}));
        verdict(&mut cluster, LOBBY, Err(error));
        eve.read(&mut cluster);
        assert!(eve.at.is_none(), "it spoke where it is not");
        assert!(cluster.roster("chat:1").is_empty());
    }
}

#[test]
fn where_nobody_can_say_the_client_comes_back_and_a_session_in_use_stays() {
    let mut cluster = Cluster::new(&VARS);
    let mut ann = knocking("/", &mut cluster);
    let (_, wire) = ann.at.clone().unwrap();
    verdict(&mut cluster, LOBBY, Err(TokenError::NoKeySet));
    ann.read(&mut cluster);
    assert!(ann.refused.is_none());
    let reason = cluster.shell(LOBBY).closed[&wire];
    assert_eq!(reason, DisconnectReason::ServerRestarting);

    let mut bob = Client::connected("bob", "/", &mut cluster, LOBBY);
    let auth = json!({"token": open_token("bob")});
    bob.frame(&mut cluster, &format!("40/chat,{auth}"));
    verdict(&mut cluster, LOBBY, Err(TokenError::NoKeySet));
    let (_, wire) = bob.at.clone().unwrap();
    let frames = cluster.shell(LOBBY).received.remove(&wire).unwrap();
    let last = frames.last().unwrap();
    assert!(
        last.starts_with("44/chat,") && last.contains("unavailable"),
        "{last}"
    );
    assert_eq!(bob.call(&mut cluster, "test", json!(1))["ok"], true);
}

#[test]
fn a_client_that_is_gone_by_then_is_gone() {
    let mut cluster = Cluster::new(&VARS);
    let mut ann = knocking("/", &mut cluster);
    let (object, wire) = ann.cut(&mut cluster).unwrap();
    cluster.notice(&object, wire);
    verdict(&mut cluster, LOBBY, Ok(claims("ann")));
    // It says goodbye, and comes again with another token: the first one's verdict is not the second's.
    let mut bob = knocking("/", &mut cluster);
    bob.frame(&mut cluster, "41");
    let auth = json!({"token": open_token("bob")});
    bob.frame(&mut cluster, &format!("40{auth}"));
    verdict(&mut cluster, LOBBY, Ok(claims("ann")));
    bob.read(&mut cluster);
    assert!(!bob.connected);
    verdict(&mut cluster, LOBBY, Ok(claims("bob")));
    bob.read(&mut cluster);
    assert!(bob.connected);
    assert_eq!(bob.call(&mut cluster, "join", json!("demo:1"))["ok"], true);
    assert_eq!(cluster.roster("demo:1"), ["bob"]);
}

#[test]
fn a_second_connect_or_too_much_before_the_first_is_answered_closes_the_session() {
    let mut cluster = Cluster::new(&VARS);
    let mut ann = knocking("/", &mut cluster);
    let auth = json!({"token": open_token("ann")});
    ann.frame(&mut cluster, &format!("40{auth}"));
    ann.read(&mut cluster);
    assert!(ann.at.is_none());

    let mut eve = knocking("/", &mut cluster);
    for n in 0..200 {
        eve.emit(&mut cluster, "test", json!(n));
    }
    eve.read(&mut cluster);
    assert!(eve.at.is_none(), "past its rate");
}

#[test]
fn a_refresh_that_is_being_checked_keeps_nothing_waiting() {
    let mut cluster = Cluster::new(&VARS);
    let mut ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    let asked = ann.emit(&mut cluster, "refresh", json!({"token": open_token("ann")}));
    assert_eq!(ann.call(&mut cluster, "join", json!("demo:1"))["ok"], true);
    assert!(!ann.acks.contains_key(&asked));
    let mut fewer = claims("ann");
    fewer.rooms.clear();
    fewer.expires_at = T0.plus(60_000);
    verdict(&mut cluster, LOBBY, Ok(fewer));
    ann.read(&mut cluster);
    assert_eq!(ann.acks[&asked]["ok"], true);
    assert!(cluster.roster("demo:1").is_empty() || ann.events.iter().any(|e| e[0] == "error"));

    for (answer, code) in [
        (Err(TokenError::Signature), "unauthorized"),
        (Err(TokenError::NoKeySet), "unavailable"),
        (Ok(claims("bob")), "forbidden"),
    ] {
        let asked = ann.emit(&mut cluster, "refresh", json!({"token": open_token("ann")}));
        verdict(&mut cluster, LOBBY, answer);
        ann.read(&mut cluster);
        assert_eq!(ann.acks[&asked]["error"]["code"], code);
    }
    // The token that was taken is in force.
    ann.take(&mut cluster);
    cluster.pass(70_000);
    ann.read(&mut cluster);
    assert!(!ann.connected);
}

#[test]
fn so_many_tokens_are_checked_at_once_and_one_more_is_refused() {
    let mut shell = Shell::with("demo:1", &[VARS[0], ("RATE_BURST", "1000000")]);
    let a = shell.join("a");
    shell.take(a);
    let refresh = |id: usize| {
        let data = json!({"token": open_token("a")});
        text(
            a,
            json!({"event": "refresh", "data": data, "id": id.to_string()}),
        )
    };
    shell
        .turn((0..=MAX_VERIFYING).map(refresh).collect())
        .unwrap();
    let refused = shell.take(a);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["ack"], MAX_VERIFYING.to_string());
    assert_eq!(refused[0]["error"]["code"], "rate_limited");
    let (call, _) = shell.verifies.remove(0);
    let verdict = Ok(claims("a"));
    shell
        .turn(vec![Input::Verified { call, verdict }, refresh(1)])
        .unwrap();
    assert_eq!(shell.take(a), [json!({"ack": "0", "duplicate": false})]);
}

#[test]
fn a_plain_socket_s_refresh_keeps_nothing_waiting_either() {
    let mut shell = Shell::with("demo:1", &VARS);
    let (a, b) = (shell.join("a"), shell.join("b"));
    shell.take(a);
    let refresh = |id| json!({"event": "refresh", "data": {"token": open_token("a")}, "id": id});
    shell.send(a, refresh("r1"));
    shell.send(a, json!({"event": "note", "data": 1, "id": "n"}));
    assert_eq!(shell.take(a)[0]["ack"], "n");
    let check = |shell: &mut Shell, verdict| {
        let (call, _) = shell.verifies.remove(0);
        shell.turn(vec![Input::Verified { call, verdict }]).unwrap();
    };
    let mut later = claims("a");
    later.expires_at = T0.plus(7_200_000);
    check(&mut shell, Ok(later));
    assert_eq!(shell.take(a), [json!({"ack": "r1", "duplicate": false})]);
    for (answer, code) in [
        (Err(TokenError::Expired), "token_expired"),
        (Err(TokenError::NoKeySet), "unavailable"),
        (Ok(claims("b")), "forbidden"),
    ] {
        shell.send(a, refresh("r2"));
        check(&mut shell, answer);
        let answer = shell.take(a).remove(0);
        assert_eq!(
            (&answer["ack"], &answer["error"]["code"]),
            (&json!("r2"), &json!(code))
        );
    }
    // Gone before the runtime has an answer.
    shell.send(
        b,
        json!({"event": "refresh", "data": {"token": open_token("b")}}),
    );
    shell.turn(vec![Input::Closed { connection: b }]).unwrap();
    shell.attachments.remove(&b);
    check(&mut shell, Ok(claims("b")));
    shell.evict();
    shell.wait(3_700_000);
    assert!(shell.closed.is_empty(), "the new token's end counts");
}
