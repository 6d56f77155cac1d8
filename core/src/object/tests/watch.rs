//! Admins who watch: what they are told when things go wrong, and what it costs.

use super::{
    world::{Client, Cluster, Fate, engine_request, token, token_of},
    *,
};
use crate::{
    limits::{LINK_MAX_RETRY_MS, MAX_SHOWN_SOCKETS},
    wire::Method,
};

const LOBBY: &str = "lobby:0";
const OTHER: &str = "lobby:1";

fn cluster() -> Cluster {
    Cluster::new(&[("LOBBIES", "2")])
}

fn admin(cluster: &mut Cluster, at: &str) -> Client {
    let mut admin = Client::new("root", "/admin");
    let exp = T0.0 / 1000 + 864_000;
    admin.token = token(&json!({"sub": "root", "role": "admin", "exp": exp}));
    admin.connect(cluster, at);
    assert!(admin.connected, "{:?}", admin.frames);
    admin
}

/// The users of `/` whose sockets were in the last list of all, by name.
fn listed(events: &[Vec<Json>]) -> Vec<String> {
    let list = events.iter().rfind(|event| event[0] == "all_sockets");
    let sockets = list.expect("a list")[1].as_array().unwrap();
    let sockets = sockets.iter().filter(|socket| socket["nsp"] == "/");
    let users = sockets.map(|socket| socket["data"]["userId"].as_str().unwrap().to_owned());
    let mut users: Vec<String> = users.collect();
    users.sort();
    users
}

/// The names of what is not about the admins' own sockets, nor of how a lobby is.
fn names(events: &[Vec<Json>]) -> Vec<&str> {
    let names = events.iter().map(|event| event[0].as_str().unwrap());
    names.filter(|name| *name != "server_stats").collect()
}

fn to_other(made: &[(String, String)]) -> usize {
    let between = made
        .iter()
        .filter(|(from, to)| from == OTHER && to == LOBBY);
    between.count()
}

#[test]
fn all_lobbies_are_asked_once_and_then_tell_what_happens() {
    let mut cluster = cluster();
    let _ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    let mut bob = Client::connected("bob", "/", &mut cluster, OTHER);
    let mut root = admin(&mut cluster, LOBBY);
    let events = root.take(&mut cluster);
    assert_eq!(names(&events), ["config", "all_sockets"]);
    assert_eq!(listed(&events), ["ann", "bob"]);
    bob.call(&mut cluster, "join", json!({"room": "demo:1"}));
    bob.call(&mut cluster, "leave", json!({"room": "demo:1"}));
    let mut cid = Client::connected("cid", "/", &mut cluster, LOBBY);
    cid.call(&mut cluster, "join", json!({"room": "demo:1"}));
    bob.drop_wire(&mut cluster);
    let events = root.take(&mut cluster);
    let expected = [
        "room_joined",
        "room_left",
        "socket_connected",
        "room_joined",
        "socket_disconnected",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(
        events[0][1..4],
        [json!("/"), json!("demo:1"), json!(bob.id)]
    );
}

#[test]
fn a_sleep_of_all_of_them_loses_nothing_and_a_crash_shows_who_is_gone() {
    let mut cluster = cluster();
    let mut bob = Client::connected("bob", "/", &mut cluster, OTHER);
    let mut root = admin(&mut cluster, LOBBY);
    cluster.pass(60_000);
    for object in [LOBBY, OTHER] {
        cluster.evict(object);
    }
    root.take(&mut cluster);
    bob.call(&mut cluster, "join", json!({"room": "demo:1"}));
    assert_eq!(names(&root.take(&mut cluster)), ["room_joined"]);
    cluster.pass(10);
    cluster.crash(OTHER);
    let _cid = Client::connected("cid", "/", &mut cluster, OTHER);
    let events = root.take(&mut cluster);
    assert_eq!(names(&events), ["socket_disconnected", "socket_connected"]);
    assert_eq!(events[0][2], json!(bob.id));
}

#[test]
fn who_watches_no_more_is_told_of_once_and_costs_nothing_then() {
    let mut cluster = cluster();
    let mut bob = Client::connected("bob", "/", &mut cluster, OTHER);
    let mut root = admin(&mut cluster, LOBBY);
    let stored = "SELECT value FROM meta WHERE key = 'watchers'";
    assert_eq!(cluster.column(OTHER, stored), ["lobby:0"]);
    cluster.take_made();
    cluster.pass(600_000);
    let asked = cluster.take_made();
    assert_eq!(asked, [], "nobody asks, and nothing is renewed");
    root.drop_wire(&mut cluster);
    for (room, expected) in [("demo:1", 1), ("demo:2", 0), ("demo:3", 0)] {
        bob.call(&mut cluster, "join", json!({"room": room}));
        assert_eq!(to_other(&cluster.take_made()), expected, "{room}");
    }
    assert!(cluster.column(OTHER, stored).is_empty());
}

#[test]
fn what_is_lost_on_its_way_is_made_good_by_asking_everyone_anew() {
    for lost in [Fate::Fail, Fate::LoseAnswer] {
        let mut cluster = cluster();
        let mut bob = Client::connected("bob", "/", &mut cluster, OTHER);
        let mut root = admin(&mut cluster, LOBBY);
        root.take(&mut cluster);
        let rule = (OTHER.to_owned(), LOBBY.to_owned(), lost);
        cluster.rules.push(rule);
        let mut cid = Client::connected("cid", "/", &mut cluster, OTHER);
        cluster.pass(300);
        cluster.rules.clear();
        cluster.pass(2 * LINK_MAX_RETRY_MS);
        let events = root.take(&mut cluster);
        assert_eq!(listed(&events), ["bob", "cid"], "{lost:?}");
        // And it goes on.
        cid.drop_wire(&mut cluster);
        bob.call(&mut cluster, "join", json!({"room": "demo:1"}));
        let events = root.take(&mut cluster);
        assert_eq!(names(&events), ["socket_disconnected", "room_joined"]);
    }
}

#[test]
fn an_object_that_is_not_there_to_be_told_is_not_asked_for_ever() {
    let mut cluster = cluster();
    let _bob = Client::connected("bob", "/", &mut cluster, OTHER);
    let _root = admin(&mut cluster, LOBBY);
    let rule = (OTHER.to_owned(), LOBBY.to_owned(), Fate::Fail);
    cluster.rules.push(rule);
    let _cid = Client::connected("cid", "/", &mut cluster, OTHER);
    cluster.pass(600_000);
    let tries = to_other(&cluster.take_made());
    assert!((2..10).contains(&tries), "{tries} tries");
    assert!(cluster.is_idle(OTHER));
}

#[test]
fn what_happens_while_lobbies_are_asked_comes_behind_the_list_and_once() {
    let mut cluster = cluster();
    let mut bob = Client::connected("bob", "/", &mut cluster, OTHER);
    // What the other lobby holds arrives late.
    let rule = (LOBBY.to_owned(), OTHER.to_owned(), Fate::HoldAnswer);
    cluster.rules.push(rule);
    let mut root = admin(&mut cluster, LOBBY);
    cluster.rules.clear();
    bob.call(&mut cluster, "join", json!({"room": "demo:1"}));
    let mut ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    assert_eq!(names(&root.take(&mut cluster)), ["config"]);
    cluster.release(0);
    cluster.settle();
    let events = root.take(&mut cluster);
    // Whoever is in the list is not told of again.
    assert_eq!(names(&events), ["all_sockets", "room_joined"]);
    assert_eq!(listed(&events), ["ann", "bob"]);
    ann.drop_wire(&mut cluster);
    assert_eq!(names(&root.take(&mut cluster)), ["socket_disconnected"]);
}

#[test]
fn a_lobby_that_says_nothing_is_named_and_the_others_are_shown() {
    let mut cluster = cluster();
    let _ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    let rule = (LOBBY.to_owned(), OTHER.to_owned(), Fate::Fail);
    cluster.rules.push(rule);
    let mut root = admin(&mut cluster, LOBBY);
    let events = root.take(&mut cluster);
    assert_eq!(listed(&events), ["ann"]);
    let error = events.iter().find(|event| event[0] == "error").unwrap();
    assert_eq!(error[1]["code"], "unavailable");
    assert!(error[1]["message"].as_str().unwrap().contains(OTHER));
}

#[test]
fn of_more_sockets_than_are_shown_the_admin_is_told_how_many_there_are() {
    let mut cluster = cluster();
    // All at once: a turn for each would take long.
    for (object, count) in [
        (LOBBY, MAX_SHOWN_SOCKETS / 2),
        (OTHER, MAX_SHOWN_SOCKETS / 2 + 1),
    ] {
        let handshakes = (0..count).map(|_| Input::Engine {
            request: cluster.next_request(object),
            engine: engine_request(Method::Upgrade, None),
            body: String::new(),
        });
        let handshakes = handshakes.collect();
        let outputs = cluster.turn(object, handshakes);
        let accepted = outputs.iter().filter_map(|output| match output {
            Output::Accept { attachment, .. } => Some(attachment.connection),
            _ => None,
        });
        // No user may have so many.
        let connects = accepted.enumerate().map(|(n, connection)| {
            let token = token_of(&format!("u{}", n / 400));
            let text = format!("40{}", json!({"token": token}));
            Input::Text { connection, text }
        });
        let connects: Vec<Input> = connects.collect();
        assert_eq!(connects.len(), count);
        cluster.turn(object, connects);
        cluster.settle();
    }
    let mut root = admin(&mut cluster, LOBBY);
    let events = root.take(&mut cluster);
    let list = events
        .iter()
        .find(|event| event[0] == "all_sockets")
        .unwrap();
    let follow = names(&events);
    let follow = follow.iter().filter(|name| **name == "socket_connected");
    let shown = list[1].as_array().unwrap().len() + follow.count();
    assert_eq!(shown, MAX_SHOWN_SOCKETS);
    let count = MAX_SHOWN_SOCKETS + 2; // one more, and the admin
    let message = format!("not all of {count} sockets are shown");
    let error = json!({"message": message, "code": "payload_too_large"});
    assert!(events.contains(&vec![json!("error"), error]));
    assert!(root.frames.iter().all(|frame| frame.len() < 300_000));
}
