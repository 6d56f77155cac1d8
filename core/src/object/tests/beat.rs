//! Heartbeats of an object that sleeps.

use super::{
    world::{Client, Cluster, token},
    *,
};
use crate::limits::MAX_ASLEEP_MS;

const LOBBY: &str = "lobby:0";
const INTERVAL_MS: u64 = 25_000;
const PATIENCE_MS: u64 = 45_000;

/// Clients of a lobby in a room, which have long been there and say nothing.
fn idle(vars: &[(&str, &str)]) -> (Cluster, Vec<Client>) {
    let mut cluster = Cluster::new(vars);
    let clients = ["ann", "bob", "cid"].map(|user| {
        let mut client = Client::connected(user, "/", &mut cluster, LOBBY);
        let ack = client.call(&mut cluster, "join", json!({"room": "demo:1"}));
        assert_eq!(ack["ok"], true, "{ack}");
        client
    });
    // What a recovery needs of the joins is forgotten, too.
    sleep(&mut cluster, 300_000);
    (cluster, clients.into())
}

/// Time goes by; the lobby falls asleep whenever nothing happens.
fn sleep(cluster: &mut Cluster, ms: u64) {
    for _ in 0..ms.div_euclid(5_000) {
        cluster.evict(LOBBY);
        cluster.pass(5_000);
    }
    cluster.evict(LOBBY);
}

fn is_noted(cluster: &mut Cluster) -> bool {
    let notes = cluster.column(LOBBY, "SELECT key FROM meta WHERE key = 'asleep'");
    !notes.is_empty()
}

#[test]
fn a_beat_wakes_nothing_while_all_answer() {
    let (mut cluster, mut clients) = idle(&[]);
    assert!(is_noted(&mut cluster));
    let (alarms, beats) = (cluster.alarms, cluster.beats);
    sleep(&mut cluster, 10 * INTERVAL_MS);
    assert_eq!(cluster.alarms - alarms, 10);
    assert_eq!(cluster.beats - beats, 10);
    for client in &clients {
        assert!(cluster.is_open(&client.at.clone().unwrap()));
    }
    // And all hear what comes then, once.
    clients[0].call(
        &mut cluster,
        "send",
        json!({"room": "demo:1", "event": "note", "data": 1}),
    );
    for client in &mut clients[1..] {
        let heard = client.take(&mut cluster);
        assert_eq!(heard.iter().filter(|event| event[0] == "note").count(), 1);
    }
    assert!(!is_noted(&mut cluster), "an event takes the note back");
}

#[test]
fn a_client_that_answers_no_more_is_found_as_soon_as_without_sleep() {
    let (mut cluster, mut clients) = idle(&[]);
    let wire = clients[1].cut(&mut cluster).unwrap();
    sleep(&mut cluster, PATIENCE_MS + INTERVAL_MS);
    assert!(!cluster.is_open(&wire));
    assert!(cluster.is_open(&clients[0].at.clone().unwrap()));
    cluster.pass(60_000);
    assert_eq!(cluster.roster("demo:1"), ["ann", "cid"]);
}

#[test]
fn a_socket_that_vanished_without_a_word_is_found() {
    let (mut cluster, clients) = idle(&[]);
    let (_, connection) = clients[1].at.clone().unwrap();
    cluster.shell(LOBBY).attachments.remove(&connection);
    sleep(&mut cluster, INTERVAL_MS);
    cluster.pass(60_000);
    assert_eq!(cluster.roster("demo:1"), ["ann", "cid"]);
}

#[test]
fn what_else_is_due_wakes_it() {
    let (mut cluster, clients) = idle(&[]);
    let mut short = Client::new("dan", "/");
    let exp = cluster.now.0 / 1000 + 610;
    short.token = token(&json!({"sub": "dan", "exp": exp, "rooms": ["*"]}));
    short.connect(&mut cluster, LOBBY);
    let beats = cluster.beats;
    sleep(&mut cluster, 605_000);
    assert!(cluster.beats > beats, "it slept");
    let wire = short.at.clone().unwrap();
    assert!(cluster.is_open(&wire));
    sleep(&mut cluster, 10_000);
    assert!(!cluster.is_open(&wire), "closed at `exp`");
    assert!(cluster.is_open(&clients[0].at.clone().unwrap()));
}

#[test]
fn what_it_noted_is_not_trusted_for_ever() {
    let (mut cluster, _clients) = idle(&[]);
    let (alarms, beats) = (cluster.alarms, cluster.beats);
    sleep(&mut cluster, 2 * MAX_ASLEEP_MS);
    let full = (cluster.alarms - alarms) - (cluster.beats - beats);
    assert!(
        (2..=4).contains(&full),
        "{full} whole wakes in twenty minutes"
    );
}

#[test]
fn a_note_of_another_number_of_sessions_or_of_another_time_is_none() {
    let (mut cluster, _clients) = idle(&[]);
    cluster.pass(INTERVAL_MS - 1_000);
    let shell = cluster.shell(LOBBY);
    let config = &shell.environment.config;
    let now = shell.now;
    let ask = |now, heard: &[Option<Timestamp>]| {
        beat(&shell.disk, config, &shell.name, now, heard).unwrap()
    };
    let alive = Some(now);
    let next = ask(now, &[alive; 3]).expect("a beat");
    assert!(next > now && next <= now.plus(INTERVAL_MS));
    assert_eq!(ask(now, &[alive; 2]), None);
    assert_eq!(ask(now, &[alive; 4]), None);
    assert_eq!(ask(now, &[alive, None, alive]), None);
    let dead = Some(Timestamp(now.0 - PATIENCE_MS));
    assert_eq!(ask(now, &[alive, dead, alive]), None);
    let late = now.plus(MAX_ASLEEP_MS);
    assert_eq!(ask(late, &[Some(late); 3]), None);
}

#[test]
fn where_pings_are_timers_nothing_sleeps_through_them() {
    let (mut cluster, _clients) = idle(&[("PING_INTERVAL_MS", "5000")]);
    assert_eq!(cluster.beats, 0);
    assert!(!is_noted(&mut cluster));
}

#[test]
fn after_two_panics_of_its_own_an_object_holds_back_what_goes_out_longer_each_time_and_goes_on() {
    let mut shell = Shell::new("sms:+15552223333:+15550001111");
    let ann = shell.join("ann");
    // For the line's room, and it does not arrive.
    shell.send(
        ann,
        json!({"event": "message_sent", "data": {"body": "b"}, "id": "m"}),
    );
    let first = shell.deliveries.len();
    assert!(first > 0);
    let fall = |shell: &mut Shell| {
        shell.evict();
        fell(&shell.disk, shell.now).unwrap();
    };
    fall(&mut shell);
    shell.wait(0);
    assert!(
        shell.deliveries.len() > first,
        "after one it is tried again"
    );
    for (minutes, falls) in [(1, 2), (2, 3), (4, 4)] {
        let before = shell.deliveries.len();
        fall(&mut shell);
        shell.wait(0);
        assert_eq!(
            shell.wake.1,
            Some(shell.now.plus(minutes * 60_000)),
            "{falls}"
        );
        shell.take(ann);
        shell.send(
            ann,
            json!({"event": "typing", "data": {"isTyping": true}, "id": "t"}),
        );
        assert_eq!(shell.take(ann)[0]["ack"], "t");
        shell.wait(minutes * 60_000 - 1);
        assert_eq!(shell.deliveries.len(), before, "held back after {falls}");
        shell.wait(1);
        assert!(shell.deliveries.len() > before, "tried again after {falls}");
    }
    // A day without one, and it is as if there had been none.
    shell.now = shell.now.plus(25 * 3_600_000);
    fall(&mut shell);
    let before = shell.deliveries.len();
    shell.wait(0);
    assert!(shell.deliveries.len() > before);
}
