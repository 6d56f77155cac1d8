//! What earlier versions of the code have stored, and what a later one will: rooms are opened, migrated, and all
//! that was in them is there. `tests/vectors/schema/v*.sql` were written by those versions themselves, on workerd.

use super::*;
use crate::storage::SCHEMA_VERSION;

const STORED: [&str; 5] = [
    include_str!("../../../../tests/vectors/schema/v1.sql"),
    include_str!("../../../../tests/vectors/schema/v2.sql"),
    include_str!("../../../../tests/vectors/schema/v3.sql"),
    include_str!("../../../../tests/vectors/schema/v4.sql"),
    include_str!("../../../../tests/vectors/schema/v5.sql"),
];

/// The rooms of a vector: their names and their SQL.
fn rooms(vector: &str) -> BTreeMap<&str, String> {
    let parts = vector.split("\n-- ").skip(1);
    let parts = parts.map(|part| {
        let (head, sql) = part.split_once('\n').unwrap();
        (head.split_once(" in ").unwrap().0, sql.to_owned())
    });
    parts.collect()
}

/// The room as that version left it, a second later.
fn stored(version: usize, room: &str) -> Option<Shell> {
    let vector = STORED[version - 1];
    let head: Json = serde_json::from_str(&vector.lines().next().unwrap()[3..]).unwrap();
    let mut shell = Shell::new(room);
    shell.now = Timestamp(head["at"].as_u64().unwrap()).plus(1000);
    let sql = rooms(vector).remove(room)?;
    shell.disk.sql.0.execute_batch(&sql).unwrap();
    Some(shell)
}

fn versions() -> std::ops::RangeInclusive<usize> {
    1..=STORED.len()
}

fn history(shell: &mut Shell) -> Vec<Json> {
    let page = Request::History {
        caller: caller("root"),
        after: Some(Offset(0)),
        before: None,
        limit: 200,
    };
    let mut page = shell.ask(page).unwrap();
    serde_json::from_value(page["messages"].take()).unwrap()
}

fn event(user: &str, id: &str, data: Json) -> Request {
    Request::Event {
        caller: caller(user),
        event: "note".to_owned(),
        args: Args::of(&data),
        id: Some(id.to_owned()),
    }
}

fn rows(shell: &Shell, table: &str) -> Vec<Row> {
    let statement = format!("SELECT * FROM {table}");
    shell.disk.sql.run(&statement, &[]).unwrap()
}

#[test]
fn a_vector_of_each_version_is_there() {
    assert_eq!(i64::try_from(STORED.len()).unwrap(), SCHEMA_VERSION);
}

#[test]
fn what_any_version_has_stored_is_opened_with_all_that_was_in_it() {
    for version in versions() {
        for room in rooms(STORED[version - 1]).keys() {
            let mut shell = stored(version, room).unwrap();
            let tables = ["dedupe", "members", "followers", "state", "outbox"];
            let kept = |shell: &Shell| tables.map(|table| rows(shell, table));
            let epoch = crate::storage::meta(&shell.disk, "epoch").unwrap();
            let count = rows(&shell, "log").len();
            let before = kept(&shell);
            shell.turn(vec![Input::Timer]).unwrap();
            let what = format!("version {version}, {room}");
            assert_eq!(kept(&shell), before, "{what}");
            assert_eq!(rows(&shell, "log").len(), count, "{what}");
            let meta = |key| crate::storage::meta(&shell.disk, key).unwrap();
            assert_eq!(meta("epoch"), epoch, "{what}");
            assert_eq!(meta("schema"), Some(SCHEMA_VERSION.to_string()), "{what}");
        }
    }
}

#[test]
fn a_room_of_any_version_goes_on_where_it_was() {
    for version in versions() {
        let mut shell = stored(version, "demo:1").unwrap();
        let messages = history(&mut shell);
        let last = if version == 1 { 5 } else { 7 };
        let numbers = messages.iter().map(|m| m["data"]["n"].as_u64().unwrap());
        assert!(numbers.eq(1..=last), "version {version}: {messages:?}");
        assert_eq!(messages[1]["sender"], "bob");
        assert_eq!(messages[1]["data"]["text"], "Grüße 👍");
        // Who sends again what was accepted then is told so, and the next one has the next number.
        let again = shell.ask(event("bob", "n-2", json!({"n": 2}))).unwrap();
        assert_eq!(again, json!({"offset": 2, "duplicate": true}));
        let new = shell.ask(event("ann", "n-2", json!({"n": 8}))).unwrap();
        assert_eq!(new, json!({"offset": last + 1, "duplicate": false}));
        let members = shell.ask(Request::Members).unwrap();
        assert_eq!(members["members"][0]["userId"], "guest");
        // A read mark does not move back: what was read then is no news.
        let (guest, ear) = (shell.join("guest"), shell.join("ear"));
        shell.take(ear);
        shell.send(guest, json!({"event": "mark_read", "data": {"offset": 3}}));
        shell.send(guest, json!({"event": "mark_read", "data": {"offset": 4}}));
        let heard = shell.take(ear);
        let read: Vec<&Json> = heard
            .iter()
            .filter(|f| f["event"] == "messages_read")
            .collect();
        assert_eq!(read.len(), 1, "version {version}: {heard:?}");
        assert_eq!(read[0]["data"]["offset"], 4);

        let mut chat = stored(version, "chat:42").unwrap();
        let said: Vec<Json> = history(&mut chat)
            .iter()
            .map(|m| m["data"]["message"].clone())
            .collect();
        assert_eq!(said, ["hello 1", "hello 2", "hello 3"]);
        let members = chat.ask(Request::Members).unwrap();
        assert_eq!(members["members"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_line_of_any_version_has_its_conversations_and_takes_each_sms_once() {
    for version in versions() {
        let mut conversation = stored(version, "sms:+15552223333:+15550001111").unwrap();
        let bodies = |shell: &mut Shell| {
            let messages = history(shell).into_iter();
            let inbound = messages.filter(|m| m["event"] == "new_message");
            inbound
                .map(|m| m["data"]["body"].as_str().unwrap().to_owned())
                .collect::<Vec<String>>()
        };
        assert_eq!(bodies(&mut conversation), ["first", "second"]);
        let again = Item {
            event: "new_message".to_owned(),
            args: Args::of(&json!({"body": "first"})),
            dedupe: Some(format!("twilio:SM{:032}", 1)),
            ..Item::default()
        };
        let parcels = vec![Parcel::Event(again)];
        let known = conversation.ask(Request::Deliver { parcels }).unwrap();
        assert_eq!(known["results"][0]["duplicate"], true, "version {version}");
        let mut line = stored(version, "line:+15552223333").unwrap();
        assert_eq!(bodies(&mut line), ["first", "second", "third"]);
        let members = line.ask(Request::Members).unwrap();
        assert_eq!(members["members"][0]["userId"], "ann");
        // The list of conversations came with version 4.
        let conversations = Request::Conversations {
            caller: caller("root"),
            cursor: None,
            limit: 10,
        };
        let list = line.ask(conversations).unwrap();
        let unread: Vec<Json> = list["conversations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["unread"].clone())
            .collect();
        assert_eq!(unread.len(), if version < 4 { 0 } else { 2 });
        if version >= 4 {
            let sent = Request::Conversation {
                caller: caller("root"),
                after: None,
                before: None,
                limit: 10,
            };
            let sent = conversation.ask(sent).unwrap();
            assert_eq!(sent["messages"][2]["data"]["status"], "unknown", "{sent}");
        }
    }
}

#[test]
fn what_backends_published_to_any_version_is_kept() {
    for version in versions().skip(2) {
        let mut job = stored(version, "job:42").unwrap();
        let latest = Request::Latest {
            caller: caller("root"),
        };
        assert_eq!(job.ask(latest).unwrap()["progress"], 50);
        let mut bob = stored(version, "user:bob").unwrap();
        for (unread, ids) in [(true, vec!["n-1"]), (false, vec!["n-1", "n-2"])] {
            let list = Request::Notifications { unread, limit: 10 };
            let list = bob.ask(list).unwrap();
            let list = list["notifications"].as_array().unwrap();
            let found = list.iter().map(|n| n["id"].as_str().unwrap());
            // Those of the chat are there as well.
            let found: Vec<&str> = found.filter(|id| id.starts_with("n-")).collect();
            assert_eq!(found, ids, "version {version}");
        }
        // Whom it was not for, it is not for now.
        let mut ticket = stored(version, "ticket:7").unwrap();
        let position = format!(
            "{}:0",
            crate::storage::meta(&ticket.disk, "epoch")
                .unwrap()
                .unwrap()
        );
        for (user, events) in [("bob", 0), ("ann", 1)] {
            let id = ticket.join_since(user, Some(&position));
            let heard = ticket.take(id);
            let heard = heard.iter().filter(|f| f["event"] == "comment:added");
            assert_eq!(heard.count(), events, "version {version}, {user}");
        }
    }
}

/// What a next version may do at most: each table has a column more, and there is one more.
fn as_the_next_version_leaves_it(shell: &Shell, readable_by: i64) {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'meta'";
    for row in shell.disk.sql.run(tables, &[]).unwrap() {
        let table = row.text(0, "name").unwrap();
        let add = format!("ALTER TABLE {table} ADD COLUMN later TEXT NOT NULL DEFAULT 'x'");
        shell.disk.sql.run(&add, &[]).unwrap();
    }
    let set = |key, value: i64| {
        crate::storage::set_meta(&shell.disk, key, &value.to_string()).unwrap();
    };
    shell
        .disk
        .sql
        .run("CREATE TABLE later (a TEXT)", &[])
        .unwrap();
    set("schema", SCHEMA_VERSION + 1);
    set("readable_by", readable_by);
}

#[test]
fn after_a_rollback_this_version_goes_on_with_what_the_next_one_has_added_to() {
    // All that a room does, in a room whose tables are larger.
    for room in rooms(STORED[STORED.len() - 1]).keys() {
        let mut shell = stored(STORED.len(), room).unwrap();
        shell.turn(vec![Input::Timer]).unwrap();
        as_the_next_version_leaves_it(&shell, SCHEMA_VERSION);
        shell.evict();
        let count = rows(&shell, "log").len();
        let connection = shell.join("ann");
        shell.send(connection, json!({"event": "mark_read"}));
        for n in 0..3 {
            let item = Item {
                event: "new_message".to_owned(),
                args: Args::of(&json!({"n": n})),
                dedupe: Some(format!("k-{n}")),
                ..Item::default()
            };
            let parcels = vec![Parcel::Event(item)];
            shell
                .turn(vec![Input::Request {
                    request: RequestId(7000 + n),
                    body: Box::new(Request::Deliver { parcels }),
                }])
                .unwrap();
        }
        let user = UserId::text("eve").unwrap();
        let body = Box::new(Request::AddMember { user });
        shell
            .turn(vec![Input::Request {
                request: RequestId(8000),
                body,
            }])
            .unwrap();
        shell.wait(60_000);
        shell.evict();
        shell.wait(1000);
        assert!(rows(&shell, "log").len() >= count + 3, "{room}");
        let schema = crate::storage::meta(&shell.disk, "schema")
            .unwrap()
            .unwrap();
        assert_eq!(schema, (SCHEMA_VERSION + 1).to_string(), "{room}");
    }
}

#[test]
fn what_a_later_version_says_this_one_cannot_read_is_refused_and_left_alone() {
    let mut shell = stored(STORED.len(), "chat:42").unwrap();
    shell.turn(vec![Input::Timer]).unwrap();
    as_the_next_version_leaves_it(&shell, SCHEMA_VERSION + 1);
    shell.evict();
    let all = |shell: &Shell| {
        ["meta", "log", "members", "state", "dedupe", "roster"].map(|table| rows(shell, table))
    };
    let before = all(&shell);
    let open = shell.open_input("ann", None);
    let ask = Input::Request {
        request: RequestId(9000),
        body: Box::new(Request::Members),
    };
    let alarm = Input::Alarm { heard: vec![] };
    for input in [open, ask, alarm] {
        let error = shell.turn(vec![]).unwrap_err();
        let refusal = error.refusal();
        assert_eq!(
            (refusal.code, refusal.code.status()),
            (Code::SchemaNewer, 503)
        );
        match input.undone(T0, &refusal) {
            Some(Output::Reply { answer, .. }) => {
                assert_eq!(answer.unwrap_err().code, Code::SchemaNewer);
            }
            // What was to be done is done by the version that can.
            Some(Output::Wake { timer: None, alarm }) => assert!(alarm.unwrap() > T0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(all(&shell), before);
}
