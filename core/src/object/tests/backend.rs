//! What backends emit, and what rooms keep of it: several rooms, everyone, statuses, notifications.

use super::{
    world::{Client, Cluster},
    *,
};
use crate::{
    emit::Batch,
    limits::{EVENT_WEBHOOK_GIVE_UP_MS, MAX_AWAY_NOTIFIED, MAX_NOTIFICATIONS, OUTBOX_RETRY_MS},
    wire::Published,
};

const LOBBY: &str = "lobby:0";
const OTHER: &str = "lobby:1";

/// `POST /api/emit`, and its answer.
fn emit(cluster: &mut Cluster, body: Json) -> Json {
    let batch = Batch::parse(&body.to_string(), cluster.now, "fresh").unwrap();
    let published = batch.requests().into_iter().map(|(room, request)| {
        let answer = cluster.ask(room.as_str(), request).unwrap();
        serde_json::from_value::<Published>(answer).unwrap()
    });
    let answer = batch.answer(published.collect());
    serde_json::from_str(&answer).unwrap()
}

/// The first arguments of the events of this name that a client has heard since the last call.
fn heard(client: &mut Client, cluster: &mut Cluster, event: &str) -> Vec<Json> {
    let events = client.take(cluster).into_iter();
    let events = events.filter(|args| args[0] == event);
    events.map(|args| args[1].clone()).collect()
}

fn subscribe(client: &mut Client, cluster: &mut Cluster, event: &str, id: &str) {
    let ack = client.call(cluster, event, json!(id));
    assert_eq!(ack["ok"], true, "{ack}");
}

fn notification(id: &str) -> Json {
    json!({"id": id, "type": "alert", "title": "t", "message": "m", "severity": "info"})
}

fn notify(cluster: &mut Cluster, user: &str, id: &str) -> Json {
    emit(
        cluster,
        json!({"room": format!("user:{user}"), "event": "notification:received", "data": notification(id)}),
    )
}

/// The ids of the notifications that a client has heard since the last call.
fn notified(client: &mut Client, cluster: &mut Cluster) -> Vec<String> {
    let heard = heard(client, cluster, "notification:received");
    let ids = heard.iter().map(|n| n["id"].as_str().unwrap().to_owned());
    ids.collect()
}

fn member(cluster: &mut Cluster, room: &str, user: &str) {
    let user = UserId::text(user).unwrap();
    cluster.ask(room, Request::AddMember { user }).unwrap();
}

#[test]
fn everyone_in_a_namespace_costs_a_request_a_lobby() {
    let mut cluster = Cluster::new(&[]);
    let mut clients: Vec<Client> = (0..20)
        .map(|n| {
            let at = if n % 2 == 0 { LOBBY } else { OTHER };
            Client::connected(&format!("u{n}"), "/", &mut cluster, at)
        })
        .collect();
    let mut elsewhere = Client::connected("u0", "/chat", &mut cluster, LOBBY);
    let made = cluster.take_made();
    let joins = made.iter().filter(|(_, to)| to == "all:.");
    assert_eq!(joins.count(), 2, "one for each lobby: {made:?}");

    let answer = emit(
        &mut cluster,
        json!({"event": "ticket:created", "data": {"id": 7}}),
    );
    assert_eq!(
        answer,
        json!({"results": [{"room": "*", "offset": 1, "duplicate": false}]})
    );
    let made = cluster.take_made();
    assert_eq!(made.len(), 2, "{made:?}");
    for client in &mut clients {
        let heard = heard(client, &mut cluster, "ticket:created");
        assert_eq!(heard, [json!({"id": 7})]);
    }
    assert!(heard(&mut elsewhere, &mut cluster, "ticket:created").is_empty());
    // The last one out ends the link, so that nobody is told in vain.
    for client in &mut clients {
        client.drop_wire(&mut cluster);
    }
    assert_eq!(cluster.rows("all:.", "links"), 0);
}

#[test]
fn who_is_in_several_rooms_gets_it_once_on_any_lobby_and_by_recovery() {
    let mut cluster = Cluster::new(&[]);
    let mut one = Client::connected("ann", "/", &mut cluster, LOBBY);
    let mut both = Client::connected("bob", "/", &mut cluster, OTHER);
    let mut none = Client::connected("cem", "/", &mut cluster, OTHER);
    let mut cut = Client::connected("dia", "/", &mut cluster, LOBBY);
    for (client, rooms) in [
        (&mut one, &["ticket:1"][..]),
        (&mut both, &["ticket:2", "ticket:1"]),
        (&mut cut, &["ticket:1", "ticket:2"]),
    ] {
        for room in rooms {
            client.call(&mut cluster, "join", json!(room));
        }
    }
    cut.drop_wire(&mut cluster);
    let several = json!({"rooms": ["ticket:1", "ticket:2", "ticket:1"], "event": "e", "data": 1});
    let answer = emit(&mut cluster, several);
    assert_eq!(answer["results"].as_array().unwrap().len(), 2, "{answer}");
    cluster.pass(1);
    let kept = json!({"rooms": ["*", "ticket:1"], "event": "e", "data": 2});
    let answer = emit(&mut cluster, kept);
    assert_eq!(answer["results"][1]["offset"], 2, "{answer}");
    cut.connect(&mut cluster, OTHER);
    assert!(cut.recovered);
    for (client, expected) in [
        (&mut one, &[1, 2][..]),
        (&mut both, &[1, 2]),
        (&mut none, &[2]),
        (&mut cut, &[1, 2]),
    ] {
        assert_eq!(
            heard(client, &mut cluster, "e"),
            expected,
            "{}",
            client.user
        );
    }
    assert_eq!(cluster.rows("ticket:1", "log"), 2);
    assert_eq!(cluster.rows("ticket:2", "log"), 1);
}

#[test]
fn who_is_left_out_does_not_get_it_by_recovery_either() {
    let mut cluster = Cluster::new(&[]);
    let mut ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    let mut bob = Client::connected("bob", "/", &mut cluster, LOBBY);
    bob.drop_wire(&mut cluster);
    emit(
        &mut cluster,
        json!({"event": "e", "data": 1, "except": ["bob", 7]}),
    );
    emit(&mut cluster, json!({"event": "e", "data": 2}));
    emit(
        &mut cluster,
        json!({"event": "e", "data": 3, "volatile": true}),
    );
    bob.connect(&mut cluster, LOBBY);
    assert!(bob.recovered);
    assert_eq!(heard(&mut ann, &mut cluster, "e"), [1, 2, 3]);
    assert_eq!(heard(&mut bob, &mut cluster, "e"), [2]);
    assert_eq!(cluster.rows("all:.", "log"), 2);
}

#[test]
fn who_is_left_out_hears_nothing_of_it_by_way_of_other_rooms_either() {
    let mut cluster = Cluster::new(&[]);
    for user in ["ann", "bob"] {
        member(&mut cluster, "line:+1555", user);
        member(&mut cluster, "chat:1", user);
    }
    let mut ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    let mut bob = Client::connected("bob", "/", &mut cluster, LOBBY);
    for room in ["sms:+1555:+1666", "chat:1"] {
        let data = json!({"id": "m", "message": "hi"});
        let body = json!({"room": room, "event": "new_message", "data": data, "except": ["bob"]});
        emit(&mut cluster, body);
    }
    assert_eq!(heard(&mut ann, &mut cluster, "new_message").len(), 1);
    assert!(heard(&mut bob, &mut cluster, "new_message").is_empty());
    for (user, notified) in [("user:ann", 1), ("user:bob", 0)] {
        assert_eq!(cluster.rows(user, "notifications"), notified, "{user}");
    }
}

#[test]
fn of_the_latest_in_a_turn_the_last_is_told_and_all_are_kept() {
    let mut cluster = Cluster::new(&[]);
    let mut ann = Client::connected("ann", "/jobs", &mut cluster, LOBBY);
    subscribe(&mut ann, &mut cluster, "subscribe-job", "1");
    let update = |progress: u32, latest: bool| {
        json!({"room": "job:1", "event": "job:status-changed", "latest": latest,
               "data": {"status": "in_progress", "progress": progress}})
    };
    let batch = [
        update(1, true),
        update(2, true),
        update(3, false),
        update(4, true),
        update(5, true),
    ];
    let answer = emit(&mut cluster, json!(batch));
    let offsets = answer["results"].as_array().unwrap().iter();
    let offsets: Vec<u64> = offsets.map(|r| r["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [1, 2, 3, 4, 5]);
    cluster.take_made();
    let progress = |heard: Vec<Json>| -> Vec<u64> {
        heard
            .iter()
            .map(|update| update["progress"].as_u64().unwrap())
            .collect()
    };
    let told = heard(&mut ann, &mut cluster, "job:status-changed");
    assert_eq!(progress(told), [2, 3, 5]);
    // Its lobby missed nothing that it would have to ask for.
    emit(&mut cluster, json!([update(6, false)]));
    let made = cluster.take_made();
    assert_eq!(made, [("job:1".to_owned(), LOBBY.to_owned())], "{made:?}");
    assert_eq!(cluster.rows("job:1", "log"), 6);
    // Whoever comes later is told where it stands.
    let mut bob = Client::connected("bob", "/jobs", &mut cluster, OTHER);
    subscribe(&mut bob, &mut cluster, "subscribe-job", "1");
    let names: Vec<Json> = bob
        .take(&mut cluster)
        .iter()
        .map(|e| e[0].clone())
        .collect();
    assert_eq!(names, ["subscribed", "job:status-changed"]);
}

#[test]
fn an_id_is_accepted_once_in_each_room() {
    let mut cluster = Cluster::new(&[]);
    let mut ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    let body = json!({"rooms": ["*", "demo:1"], "event": "e", "id": "once"});
    let first = emit(&mut cluster, body.clone());
    cluster.crash("all:.");
    let again = emit(&mut cluster, body);
    for (n, room) in ["*", "demo:1"].into_iter().enumerate() {
        assert_eq!(
            first["results"][n],
            json!({"room": room, "offset": 1, "duplicate": false})
        );
        assert_eq!(
            again["results"][n],
            json!({"room": room, "offset": 1, "duplicate": true})
        );
    }
    let events = ann.take(&mut cluster);
    assert_eq!(events.iter().filter(|args| args[0] == "e").count(), 1);
}

#[test]
fn notifications_wait_for_their_user_and_are_read_everywhere_at_once() {
    let mut cluster = Cluster::new(&[]);
    for id in ["n1", "n2", "n3"] {
        let answer = notify(&mut cluster, "ann", id);
        assert_eq!(answer["results"][0]["duplicate"], false, "{answer}");
    }
    let answer = notify(&mut cluster, "ann", "n2");
    assert_eq!(
        answer["results"][0],
        json!({"room": "user:ann", "offset": 2, "duplicate": true})
    );

    let mut tab = Client::connected("ann", "/notifications", &mut cluster, LOBBY);
    let mut other = Client::connected("ann", "/notifications", &mut cluster, OTHER);
    let mut inbox = Client::connected("ann", "/", &mut cluster, LOBBY);
    for client in [&mut tab, &mut other] {
        subscribe(client, &mut cluster, "subscribe-user", "ann");
        assert_eq!(notified(client, &mut cluster), ["n1", "n2", "n3"]);
    }
    // Once: it has them, and hears of others as they come.
    subscribe(&mut tab, &mut cluster, "subscribe-user", "ann");
    notify(&mut cluster, "ann", "n4");
    assert_eq!(notified(&mut tab, &mut cluster), ["n4"]);

    let ack = tab.call(&mut cluster, "mark-read", json!({"id": "n2"}));
    assert_eq!(
        (&ack["ok"], &ack["duplicate"]),
        (&json!(true), &json!(false)),
        "{ack}"
    );
    let again = tab.call(&mut cluster, "mark-read", json!({"id": "n2"}));
    assert_eq!(again["ok"], true, "{again}");
    let unknown = tab.call(&mut cluster, "mark-read", json!({"id": "n9"}));
    assert_eq!(unknown["error"]["code"], "not_found");
    assert_eq!(
        heard(&mut other, &mut cluster, "notification:read"),
        [json!({"id": "n2"})]
    );
    assert!(heard(&mut tab, &mut cluster, "notification:read").is_empty());
    assert!(
        !inbox
            .heard(&mut cluster)
            .iter()
            .any(|event| event.starts_with("notification"))
    );

    let list = |cluster: &mut Cluster, unread: bool| {
        let limit = 50;
        cluster
            .ask("user:ann", Request::Notifications { unread, limit })
            .unwrap()
    };
    let all = list(&mut cluster, false);
    let ids = |list: &Json| -> Vec<(String, bool)> {
        let list = list["notifications"].as_array().unwrap().iter();
        list.map(|n| {
            (
                n["id"].as_str().unwrap().to_owned(),
                n["read"].as_bool().unwrap(),
            )
        })
        .collect()
    };
    let expected = [("n1", false), ("n2", true), ("n3", false), ("n4", false)];
    assert_eq!(ids(&all), expected.map(|(id, read)| (id.to_owned(), read)));
    assert_eq!(all["unread"], 3);
    assert_eq!(ids(&list(&mut cluster, true)).len(), 3);

    tab.call(&mut cluster, "clear-all", json!(null));
    assert_eq!(other.heard(&mut cluster), ["notifications:cleared"]);
    let all = list(&mut cluster, false);
    assert_eq!((ids(&all).len(), &all["unread"]), (0, &json!(0)));
    // Another tab that comes late with one of them has read it.
    let late = other.call(&mut cluster, "mark-read", json!({"id": "n1"}));
    assert_eq!(late["ok"], true, "{late}");
    assert!(tab.heard(&mut cluster).is_empty());
}

#[test]
fn a_user_has_so_many_notifications_and_the_oldest_read_ones_go_first() {
    let mut cluster = Cluster::new(&[]);
    notify(&mut cluster, "ann", "first");
    let mut read = notification("read");
    read["read"] = json!(true);
    emit(
        &mut cluster,
        json!({"room": "user:ann", "event": "notification:received", "data": read}),
    );
    for n in 0..MAX_NOTIFICATIONS {
        notify(&mut cluster, "ann", &n.to_string());
    }
    let ids = cluster.column("user:ann", "SELECT id FROM notifications ORDER BY offset");
    assert_eq!(ids.len() as u64, MAX_NOTIFICATIONS);
    assert_eq!(ids[0], "0", "the one that was read went, then the oldest");
}

#[test]
fn members_of_a_chat_who_are_not_there_are_notified_until_they_have_read_it() {
    let mut cluster = Cluster::new(&[("EVENT_WEBHOOK_URL", "https://example.com/hook")]);
    for user in ["ann", "bob", "cem"] {
        member(&mut cluster, "chat:1", user);
    }
    let mut ann = Client::connected("ann", "/chat", &mut cluster, LOBBY);
    let mut bob = Client::connected("bob", "/chat", &mut cluster, OTHER);
    for client in [&mut ann, &mut bob] {
        client.call(&mut cluster, "join_chat", json!({"chatId": "1"}));
    }
    let say = |ann: &mut Client, cluster: &mut Cluster, message: &str| {
        let data = json!({"chatId": "1", "message": message});
        let ack = ann.call(cluster, "send_message", data);
        ack["id"].as_str().unwrap().to_owned()
    };
    let first = say(&mut ann, &mut cluster, "hello");
    assert_eq!(cluster.rows("user:cem", "notifications"), 1);
    assert_eq!(
        cluster.rows("user:bob", "notifications") + cluster.rows("user:ann", "notifications"),
        0
    );
    // Who drops is not there, grace or not.
    bob.drop_wire(&mut cluster);
    let second = say(&mut ann, &mut cluster, &"long ".repeat(100));

    let mut bobs = Client::connected("bob", "/notifications", &mut cluster, LOBBY);
    let mut cems = Client::connected("cem", "/notifications", &mut cluster, LOBBY);
    for (client, user) in [(&mut bobs, "bob"), (&mut cems, "cem")] {
        subscribe(client, &mut cluster, "subscribe-user", user);
    }
    assert_eq!(notified(&mut bobs, &mut cluster), [second.as_str()]);
    let got = heard(&mut cems, &mut cluster, "notification:received");
    assert_eq!(got.len(), 2);
    assert_eq!(got[0]["messageId"], first);
    assert_eq!(
        (&got[0]["message"], &got[0]["chatId"], &got[0]["senderId"]),
        (&json!("hello"), &json!("1"), &json!("ann"))
    );
    assert_eq!(got[1]["message"].as_str().unwrap().len(), 200);

    // The first alone, then all.
    let mut cem = Client::connected("cem", "/chat", &mut cluster, OTHER);
    cem.call(&mut cluster, "join_chat", json!({"chatId": "1"}));
    let read = |cluster: &mut Cluster, offset: Json| {
        let data = json!({"event": "mark_read", "data": {"offset": offset}});
        let args = serde_json::from_str(&format!("[{}]", data["data"])).unwrap();
        let (caller, event) = (caller("cem"), "mark_read".to_owned());
        cluster
            .ask(
                "chat:1",
                Request::Event {
                    caller,
                    event,
                    args,
                    id: None,
                },
            )
            .unwrap();
    };
    read(&mut cluster, json!(1));
    assert_eq!(
        heard(&mut cems, &mut cluster, "notification:read"),
        [json!({"id": first})]
    );
    cem.call(&mut cluster, "mark_read", json!({"chatId": "1"}));
    assert_eq!(
        heard(&mut cems, &mut cluster, "notification:read"),
        [json!({"id": second})]
    );
    assert!(bobs.heard(&mut cluster).is_empty());
    // Who is there is not notified, and what has been read is asked of nobody.
    say(&mut ann, &mut cluster, "are you there?");
    assert!(cems.heard(&mut cluster).is_empty());
    cluster.take_made();
    cem.call(&mut cluster, "mark_read", json!({"chatId": "1"}));
    let made = cluster.take_made();
    assert!(!made.iter().any(|(_, to)| to == "user:cem"), "{made:?}");
}

#[test]
fn in_a_large_chat_so_many_are_notified() {
    let mut shell = Shell::new("chat:1");
    for n in 0..MAX_AWAY_NOTIFIED + 5 {
        let user = UserId::text(&format!("u{n}")).unwrap();
        shell.ask(Request::AddMember { user }).unwrap();
    }
    let args = Args::of(&json!({"message": "hi"}));
    let event = "send_message".to_owned();
    shell
        .ask(Request::Event {
            caller: caller("ann"),
            event,
            args,
            id: None,
        })
        .unwrap();
    let rows = shell
        .disk
        .sql
        .run("SELECT COUNT(*) FROM outbox", &[])
        .unwrap();
    assert_eq!(
        rows[0].integer(0, "count").unwrap(),
        MAX_AWAY_NOTIFIED as i64
    );
}

#[test]
fn a_backend_is_posted_to_one_by_one_and_again_until_it_takes_it_or_a_day_is_over() {
    let vars = [
        ("EVENT_WEBHOOK_URL", "https://example.com/hook"),
        (
            "EVENT_WEBHOOK_SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ),
    ];
    let mut user = Shell::with("user:ann", &vars);
    let about = |offset: u64| crate::wire::About {
        room: RoomName::parse("chat:1").unwrap(),
        offset: Offset(offset),
        user: UserId::text("ann").unwrap(),
    };
    let parcels = (1..=2).map(|n| {
        Parcel::Event(Item {
            event: "notification:received".to_owned(),
            args: Args::of(&notification(&format!("n{n}"))),
            dedupe: Some(format!("chat:1:e:{n}")),
            about: Some(about(n)),
            ..Item::default()
        })
    });
    // It is accepted whatever the backend does.
    user.ask(Request::Deliver {
        parcels: parcels.collect(),
    })
    .unwrap();
    let first = user.posts.remove(0);
    assert!(user.posts.is_empty(), "one by one");
    let body: Json = serde_json::from_str(&first.body).unwrap();
    assert_eq!(body["type"], "notification:received");
    assert_eq!(
        (&body["data"]["userId"], &body["data"]["online"]),
        (&json!("ann"), &json!(false))
    );
    assert_eq!(body["data"]["notification"]["id"], "n1");
    let header = |post: &Post, name: &str| {
        let mut headers = post.headers.iter();
        headers
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(header(&first, "webhook-id").unwrap(), "chat:1:e:1:ann");
    assert!(
        header(&first, "webhook-signature")
            .unwrap()
            .starts_with("v1,")
    );

    let answer = |user: &mut Shell, post: Post, delivered: bool| {
        let delivery = post.delivery;
        user.turn(vec![Input::Delivered {
            delivery,
            delivered,
        }])
        .unwrap();
    };
    answer(&mut user, first, false);
    assert!(user.posts.is_empty(), "not at once");
    user.now = user.now.plus(OUTBOX_RETRY_MS);
    user.turn(vec![Input::Timer]).unwrap();
    let again = user.posts.remove(0);
    assert_eq!(
        header(&again, "webhook-id").unwrap(),
        "chat:1:e:1:ann",
        "in order"
    );
    answer(&mut user, again, true);
    let second = user.posts.remove(0);
    assert_eq!(header(&second, "webhook-id").unwrap(), "chat:1:e:2:ann");
    // The object dies while it waits; the alarm brings it back to it.
    user.evict();
    user.now = user.now.plus(20_000);
    user.turn(vec![Input::Alarm { heard: vec![] }]).unwrap();
    let second = user.posts.remove(0);
    user.now = user.now.plus(EVENT_WEBHOOK_GIVE_UP_MS);
    answer(&mut user, second, false);
    user.now = user.now.plus(EVENT_WEBHOOK_GIVE_UP_MS);
    user.turn(vec![Input::Timer]).unwrap();
    assert!(user.posts.is_empty(), "after a day it is given up");
    let rows = user
        .disk
        .sql
        .run("SELECT COUNT(*) FROM outbox", &[])
        .unwrap();
    assert_eq!(rows[0].integer(0, "count").unwrap(), 0);
}

#[test]
fn an_admin_sees_what_others_are_notified_of_and_nobody_else_does() {
    let mut cluster = Cluster::new(&[]);
    notify(&mut cluster, "ann", "n1");
    let exp = T0.0 / 1000 + 864_000;
    for (role, may) in [("admin", true), ("lsm", false)] {
        let mut client = Client::new("root", "/notifications");
        client.token =
            world::token(&json!({"sub": "root", "role": role, "exp": exp, "rooms": ["*"]}));
        client.connect(&mut cluster, LOBBY);
        let ack = client.call(&mut cluster, "subscribe-user", json!("ann"));
        assert_eq!(ack["ok"], may, "{ack}");
        let ids = notified(&mut client, &mut cluster);
        assert_eq!(ids.len(), usize::from(may));
        let ack = client.call(&mut cluster, "mark-read", json!({"id": "n1"}));
        assert_eq!(
            ack["error"]["code"], "not_in_room",
            "it is ann's to read: {ack}"
        );
        client.drop_wire(&mut cluster);
    }
}

#[test]
fn an_sms_that_a_socket_hears_in_its_conversation_it_does_not_hear_again() {
    let mut cluster = Cluster::new(&[]);
    member(&mut cluster, "line:+1555", "ann");
    let mut ann = Client::connected("ann", "/", &mut cluster, LOBBY);
    let mut tab = Client::connected("ann", "/", &mut cluster, OTHER);
    ann.call(&mut cluster, "join", json!("sms:+1555:+1666"));
    ann.call(&mut cluster, "join", json!("line:+1555"));
    cluster.publish("sms:+1555:+1666", "new_message", json!({"n": 1}));
    tab.drop_wire(&mut cluster);
    cluster.publish("sms:+1555:+1666", "new_message", json!({"n": 2}));
    tab.connect(&mut cluster, OTHER);
    for client in [&mut ann, &mut tab] {
        let heard = heard(client, &mut cluster, "new_message");
        assert_eq!(heard, [json!({"n": 1}), json!({"n": 2})]);
    }
}
