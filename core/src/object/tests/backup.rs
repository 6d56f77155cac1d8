//! A room's backup and its way back: all that was answered is answered the same, nothing is sent twice, and nobody
//! sees a room that is half there.

use super::*;
use crate::{
    limits::MAX_BACKUP_PAGE_BYTES,
    room::Job,
    storage::{SCHEMA_VERSION, meta},
    wire::SendMessage,
};

const KEPT: [&str; 11] = [
    "log",
    "dedupe",
    "members",
    "followers",
    "state",
    "outbox",
    "notifications",
    "messages",
    "conversations",
    "sends",
    "lines",
];

fn page(shell: &mut Shell, cursor: Option<&str>) -> Result<Json, Refusal> {
    let cursor = cursor.map(str::to_owned);
    shell.ask(Request::Backup { cursor })
}

/// All pages, as they come.
fn back_up(shell: &mut Shell) -> Vec<Json> {
    let mut pages = vec![page(shell, None).unwrap()];
    while let Some(cursor) = pages.last().unwrap()["cursor"].as_str().map(str::to_owned) {
        pages.push(page(shell, Some(&cursor)).unwrap());
    }
    pages
}

/// What is put, of a page that was got.
fn put(page: &Json, number: usize, last: bool) -> Json {
    json!({
        "schema": page["schema"], "epoch": page["epoch"], "at": page["at"], "rows": page["rows"],
        "page": number, "last": last,
    })
}

fn restore_page(shell: &mut Shell, page: &Json) -> Result<Json, Refusal> {
    let input = Input::Request {
        request: RequestId(1),
        body: Box::new(Request::Restore {
            page: crate::event::raw(page.to_string()),
        }),
    };
    assert!(input.is_alone());
    shell.disk.sql.0.execute_batch("BEGIN").unwrap();
    let environment = Rc::clone(&shell.environment);
    let restored = restore(&shell.disk, &environment, &shell.name, shell.now, &input);
    let end = if restored.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    shell.disk.sql.0.execute_batch(end).unwrap();
    let Restoring { outputs, is_taken } = restored.map_err(|error| error.refusal())?;
    if is_taken {
        shell.evict();
    }
    let answer = outputs.into_iter().find_map(|output| match output {
        Output::Reply { answer, .. } => Some(answer),
        _ => None,
    });
    let answer = answer.unwrap();
    assert_eq!(answer.is_ok(), is_taken);
    answer.map(|json| serde_json::from_str(&json).unwrap())
}

/// Another server's room of the same name, from these pages.
fn restored(shell: &Shell, pages: &[Json], vars: &[(&str, &str)]) -> Shell {
    let mut other = Shell::with(shell.name.as_str(), vars);
    other.number = 99;
    other.now = shell.now;
    for (number, page) in pages.iter().enumerate() {
        let page = put(page, number, number + 1 == pages.len());
        restore_page(&mut other, &page).unwrap();
    }
    other
}

fn tables(shell: &Shell) -> [Vec<Row>; 11] {
    KEPT.map(|table| {
        let statement = format!("SELECT * FROM {table}");
        shell.disk.sql.run(&statement, &[]).unwrap()
    })
}

fn note(user: &str, id: &str, data: Json) -> Request {
    Request::Event {
        caller: caller(user),
        event: "note".to_owned(),
        args: Args::of(&data),
        id: Some(id.to_owned()),
    }
}

fn history(shell: &mut Shell) -> Json {
    let page = Request::History {
        caller: caller("root"),
        after: Some(Offset(0)),
        before: None,
        limit: 200,
    };
    shell.ask(page).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Note(u8, u8, String),
    Member(u8),
    NoMember(u8),
    Read(u8),
    Parcel(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_u8, 0..20_u8, any::<String>()).prop_map(|(user, id, text)| Step::Note(user, id, text)),
        1 => (0..3_u8).prop_map(Step::Member),
        1 => (0..3_u8).prop_map(Step::NoMember),
        1 => (0..3_u8).prop_map(Step::Read),
        1 => any::<u8>().prop_map(Step::Parcel),
    ];
    proptest::collection::vec(step, 0..40)
}

fn user(n: u8) -> String {
    format!("u{n}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_room_that_is_restored_answers_as_the_one_that_was_backed_up(
        steps in steps(),
        room in prop_oneof![Just("demo:1"), Just("chat:42"), Just("line:+1555"), Just("user:u1"), Just("job:7")],
    ) {
        let mut shell = Shell::new(room);
        for step in &steps {
            match step {
                Step::Note(who, id, text) => {
                    drop(shell.ask(note(&user(*who), &id.to_string(), json!({"message": text}))));
                }
                Step::Member(who) => {
                    let user = UserId::text(&user(*who)).unwrap();
                    shell.turn(vec![Input::Request { request: RequestId(5_000 + shell.requests), body: Box::new(Request::AddMember { user }) }]).unwrap();
                }
                Step::NoMember(who) => {
                    let user = UserId::text(&user(*who)).unwrap();
                    shell.turn(vec![Input::Request { request: RequestId(6_000 + shell.requests), body: Box::new(Request::RemoveMember { user }) }]).unwrap();
                }
                Step::Read(who) => {
                    let body = Request::Event { caller: caller(&user(*who)), event: "mark_read".to_owned(), args: Args::none(), id: None };
                    drop(shell.ask(body));
                }
                Step::Parcel(id) => {
                    let item = Item {
                        event: "notification:received".to_owned(),
                        args: Args::of(&json!({"id": id.to_string(), "type": "alert", "title": "t", "message": "m", "severity": "info", "timestamp": "t"})),
                        dedupe: Some(format!("b:{id}")),
                        ..Item::default()
                    };
                    let request = RequestId(7_000 + shell.requests);
                    let body = Box::new(Request::Deliver { parcels: vec![Parcel::Event(item)] });
                    shell.turn(vec![Input::Request { request, body }]).unwrap();
                }
            }
            shell.requests += 1;
        }
        shell.turn(vec![Input::Timer]).unwrap();
        let pages = back_up(&mut shell);
        let mut other = restored(&shell, &pages, &[]);
        prop_assert_eq!(tables(&other), tables(&shell));
        prop_assert_eq!(history(&mut other), history(&mut shell));
        for body in [
            Request::Members,
            Request::Notifications { unread: false, limit: 200 },
            Request::Lines,
            note("u0", "1", json!({"message": "again, or new"})),
            note("u9", "new", json!({"message": "x"})),
        ] {
            prop_assert_eq!(other.ask(body.clone()), shell.ask(body));
        }
        prop_assert_eq!(meta(&other.disk, "epoch").unwrap(), meta(&shell.disk, "epoch").unwrap());
    }
}

#[test]
fn a_client_goes_on_in_a_restored_room_and_is_told_so_where_its_life_is_another() {
    let mut shell = Shell::new("demo:1");
    for n in 0..5 {
        shell.ask(note("a", &n.to_string(), json!(n))).unwrap();
    }
    let epoch = meta(&shell.disk, "epoch").unwrap().unwrap();
    let pages = back_up(&mut shell);
    let mut same = restored(&shell, &pages, &[]);
    let here = same.join_since("a", Some(&format!("{epoch}:2")));
    let frames = same.take(here);
    assert_eq!(frames[0]["data"]["recovered"], true);
    assert_eq!(frames.iter().filter(|f| f["event"] == "note").count(), 3);

    let mut other = Shell::new("demo:1");
    let mut page = put(&pages[0], 0, true);
    page["epoch"] = json!("0123456789abcdef");
    restore_page(&mut other, &page).unwrap();
    let here = other.join_since("a", Some(&format!("{epoch}:2")));
    let connected = &other.take(here)[0];
    assert_eq!(connected["data"]["recovered"], false);
    assert_eq!(connected["data"]["epoch"], "0123456789abcdef");
    assert_eq!(connected["data"]["offset"], 5);
}

/// A room of several pages, with the log's end on the last.
fn large() -> Shell {
    let mut shell = Shell::new("demo:1");
    let text = "x\"\u{1}".repeat(MAX_BACKUP_PAGE_BYTES / 30);
    for n in 0..130 {
        let text = if n % 3 == 0 { text.as_str() } else { "short" };
        shell.ask(note("a", &n.to_string(), json!(text))).unwrap();
    }
    shell
}

#[test]
fn a_large_room_comes_in_pages_each_of_bounded_size_and_whole_though_it_goes_on_meanwhile() {
    let mut shell = large();
    let mut pages = vec![page(&mut shell, None).unwrap()];
    let mut n = 0;
    // The last pages are those behind the log.
    while let Some(cursor) = pages.last().unwrap()["cursor"].as_str().map(str::to_owned) {
        if cursor.starts_with("0.") {
            n += 1;
            shell
                .ask(note("b", &n.to_string(), json!("meanwhile")))
                .unwrap();
        }
        pages.push(page(&mut shell, Some(&cursor)).unwrap());
    }
    assert!(pages.len() > 3 && n > 2, "{}, {n}", pages.len());
    for page in &pages {
        let bytes = page["rows"].to_string().len();
        assert!(bytes < crate::limits::MAX_RESTORE_BYTES, "{bytes}");
    }
    let mut other = restored(&shell, &pages, &[]);
    assert_eq!(tables(&other), tables(&shell));
    assert_eq!(history(&mut other), history(&mut shell));
}

#[test]
fn what_is_behind_the_log_must_not_change_between_its_pages() {
    let mut shell = Shell::new("user:a");
    shell.ask(note("a", "1", json!(1))).ok();
    let long = "x".repeat(500);
    for n in 0..3_000 {
        let insert = "INSERT INTO state (key, json) VALUES (?, ?)";
        let values = [
            Value::Text(format!("k{n}")),
            Value::Text(json!(long).to_string()),
        ];
        if n == 0 {
            shell.turn(vec![Input::Timer]).unwrap();
        }
        shell.disk.sql.run(insert, &values).unwrap();
    }
    let first = page(&mut shell, None).unwrap();
    let cursor = first["cursor"].as_str().unwrap().to_owned();
    // Reading it, and another backup, is no change; a turn is, and so is another life.
    assert!(page(&mut shell, Some(&cursor)).is_ok());
    assert!(page(&mut shell, None).is_ok());
    assert!(page(&mut shell, Some(&cursor)).is_ok());
    shell.ask(Request::Members).unwrap();
    let stale = page(&mut shell, Some(&cursor)).unwrap_err();
    assert_eq!(stale.code, Code::Conflict);
    let cursor = page(&mut shell, None).unwrap()["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    shell.evict();
    shell.now = shell.now.plus(1);
    assert_eq!(
        page(&mut shell, Some(&cursor)).unwrap_err().code,
        Code::Conflict
    );
    // From the end of the log it goes on.
    let again = page(&mut shell, Some("0.0.")).unwrap();
    assert!(
        again["cursor"].as_str().unwrap().starts_with("4."),
        "{}",
        again["cursor"]
    );
    for nonsense in [
        "",
        "1",
        "x.1.",
        "0.-1.",
        "0.1",
        "0..",
        r#"0."a"."#,
        "0.1,2.",
        r#"3."a"."#,
        "99..",
    ] {
        let refusal = page(&mut shell, Some(nonsense)).unwrap_err();
        assert_eq!(refusal.code, Code::BadRequest, "{nonsense}");
    }
}

#[test]
fn a_room_that_is_being_restored_is_nobody_s_until_it_is_whole() {
    let mut shell = large();
    let pages = back_up(&mut shell);
    let mut other = Shell::new("demo:1");
    let last = pages.len() - 1;
    // Begun, in the middle begun again, and one page whose answer was lost comes twice.
    for number in [0, 1, 0, 1, 1] {
        restore_page(&mut other, &put(&pages[number], number, false)).unwrap();
    }
    let wrong = restore_page(&mut other, &put(&pages[last], last + 5, true)).unwrap_err();
    assert_eq!(wrong.code, Code::Conflict);
    let ask = Input::Request {
        request: RequestId(3),
        body: Box::new(note("a", "n", json!(1))),
    };
    let open = other.open_input("a", None);
    for input in [ask, open, Input::Alarm { heard: vec![] }] {
        let before = tables(&other);
        let refusal = other.turn(vec![input]).unwrap_err().refusal();
        assert_eq!(refusal.code, Code::Unavailable);
        assert_eq!(tables(&other), before);
    }
    for (number, page) in pages.iter().enumerate().skip(2) {
        restore_page(&mut other, &put(page, number, false)).unwrap();
    }
    // The page that opens it may be empty: several rooms are opened when all of them are there.
    let mut end = put(&pages[last], pages.len(), true);
    end["rows"] = json!([]);
    restore_page(&mut other, &end).unwrap();
    assert_eq!(tables(&other), tables(&shell));
    assert!(other.turn(vec![Input::Timer]).is_ok());
}

#[test]
fn only_a_room_that_nobody_has_used_is_restored_and_only_from_what_is_whole() {
    let mut shell = Shell::new("demo:1");
    for n in 0..3 {
        shell.ask(note("a", &n.to_string(), json!(n))).unwrap();
    }
    let page = put(&page(&mut shell, None).unwrap(), 0, true);
    let used: [&dyn Fn(&mut Shell); 3] = [
        &|shell| drop(shell.ask(note("b", "1", json!(1))).unwrap()),
        &|shell| {
            let user = UserId::text("m").unwrap();
            drop(shell.ask(Request::AddMember { user }).unwrap());
        },
        &|shell| assert_eq!(shell.join("here"), ConnectionId(1)),
    ];
    for (number, used) in used.iter().enumerate() {
        let mut other = Shell::new("demo:1");
        used(&mut other);
        let before = tables(&other);
        let refusal = restore_page(&mut other, &page).unwrap_err();
        assert_eq!(refusal.code, Code::Conflict, "{number}");
        assert_eq!(tables(&other), before);
    }
    let with = |change: &dyn Fn(&mut Json)| {
        let mut changed = page.clone();
        change(&mut changed);
        changed
    };
    for (wrong, code) in [
        (
            with(&|p| p["schema"] = json!(SCHEMA_VERSION + 1)),
            Code::InvalidPayload,
        ),
        (with(&|p| p["schema"] = json!(0)), Code::InvalidPayload),
        (with(&|p| p["epoch"] = json!("a:b")), Code::InvalidPayload),
        (with(&|p| p["epoch"] = json!("")), Code::InvalidPayload),
        (with(&|p| p["page"] = json!(1)), Code::Conflict),
        (
            with(&|p| p["rows"] = json!([["meta", "schema", "9"]])),
            Code::InvalidPayload,
        ),
        (
            with(&|p| p["rows"] = json!([["sqlite_master", "a"]])),
            Code::InvalidPayload,
        ),
        (
            with(&|p| p["rows"] = json!([["members"]])),
            Code::InvalidPayload,
        ),
        (
            with(&|p| p["rows"] = json!([["members", "a", 1, 2]])),
            Code::InvalidPayload,
        ),
        (
            with(&|p| p["rows"] = json!([["members", {"a": 1}, 2]])),
            Code::InvalidPayload,
        ),
        (
            with(&|p| p["rows"] = json!([["members", "a"]])),
            Code::Internal,
        ),
        (
            with(&|p| p["rows"] = json!([["outbox", 1, "chat:1", "{}", 1, 1, 1]])),
            Code::Internal,
        ),
        (
            with(&|p| drop(p["rows"].as_array_mut().unwrap().remove(1))),
            Code::Conflict,
        ),
    ] {
        let mut other = Shell::new("demo:1");
        let refusal = restore_page(&mut other, &wrong).unwrap_err();
        assert_eq!(refusal.code, code, "{wrong}");
        // It may be tried again with what is right.
        restore_page(&mut other, &page).unwrap();
        assert_eq!(tables(&other), tables(&shell));
    }
}

const TWILIO: &[(&str, &str)] = &[
    ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
    ("TWILIO_AUTH_TOKEN", "token"),
];

fn send_message(id: &str) -> Request {
    Request::SendMessage(Box::new(SendMessage {
        caller: caller("ann"),
        line: "+1555".to_owned(),
        contact: "+1666".to_owned(),
        id: id.to_owned(),
        body: format!("text {id}"),
        media: vec![],
        callback: None,
    }))
}

#[test]
fn what_waited_to_be_sent_is_unknown_in_a_restored_room_and_is_not_sent_again() {
    // The conversation has accepted two; the line has heard of none of them.
    let mut conversation = Shell::with("sms:+1555:+1666", TWILIO);
    for id in ["m-1", "m-2"] {
        conversation
            .turn(vec![Input::Request {
                request: RequestId(40 + u64::from(id == "m-2")),
                body: Box::new(send_message(id)),
            }])
            .unwrap();
    }
    let parcels: Vec<Parcel> = conversation
        .deliveries
        .iter()
        .flat_map(|d| d.parcels.clone())
        .collect();
    assert!(!parcels.is_empty());
    let pages = back_up(&mut conversation);
    let mut other = restored(&conversation, &pages, TWILIO);
    other.wait(1000);
    let passed_on = other.deliveries.iter().flat_map(|d| &d.parcels);
    let passed_on: Vec<&Item> = passed_on
        .filter_map(|parcel| match parcel {
            Parcel::Event(item) => Some(item),
            _ => None,
        })
        .collect();
    assert_eq!(passed_on.len(), 2, "the line hears of them");
    assert!(
        passed_on.iter().all(|item| item.outgoing.is_none()),
        "and sends none"
    );
    let page = Request::Conversation {
        caller: caller("ann"),
        after: None,
        before: None,
        limit: 10,
    };
    for message in other.ask(page).unwrap()["messages"].as_array().unwrap() {
        assert_eq!(message["data"]["status"], "unknown");
        assert!(
            message["data"]["errorMessage"]
                .as_str()
                .unwrap()
                .contains("backup")
        );
    }

    // The line has two: one is handed over, one waits.
    let mut line = Shell::with("line:+1555", TWILIO);
    let mut all: Vec<Parcel> = parcels;
    all.extend(passed_on_with_outgoing(&mut conversation));
    line.turn(vec![Input::Request {
        request: RequestId(50),
        body: Box::new(Request::Deliver { parcels: all }),
    }])
    .unwrap();
    assert_eq!(line.twilio.len(), 1);
    assert_eq!(
        line.disk
            .sql
            .run("SELECT id FROM sends", &[])
            .unwrap()
            .len(),
        2
    );
    let pages = back_up(&mut line);
    let mut other = restored(&line, &pages, TWILIO);
    for _ in 0..20 {
        other.wait(1000);
    }
    let is_question = |(job, _): &(Job, Call)| matches!(job, Job::Ask(_));
    assert!(
        !other.twilio.is_empty() && other.twilio.iter().all(is_question),
        "{:?}",
        other.twilio
    );
    let told = other.deliveries.iter().flat_map(|d| &d.parcels);
    let unknown = told.filter(|parcel| {
        serde_json::to_string(parcel)
            .unwrap()
            .contains(r#""status":"unknown""#)
    });
    assert_eq!(unknown.count(), 2, "the conversation hears it of both");
}

/// What is still in the outbox, with what is to be sent of it.
fn passed_on_with_outgoing(shell: &mut Shell) -> Vec<Parcel> {
    let rows = shell
        .disk
        .sql
        .run("SELECT parcel FROM outbox ORDER BY id", &[])
        .unwrap();
    rows.iter()
        .map(|row| row.json(0, "parcel").unwrap())
        .collect()
}
