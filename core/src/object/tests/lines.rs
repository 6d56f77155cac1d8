//! Phone lines against a Twilio that takes, refuses, is silent and answers late, while rooms crash.

use super::{
    world::{Client, Cluster},
    *,
};
use crate::{
    limits::{ANNOUNCE_MS, SEND_GIVE_UP_MS, SEND_LOST_MS},
    room::Job,
    twilio::status::{Report, Status},
    wire::{Access, SendMessage, WhichMedia},
};

const LINE: &str = "line:+1555";
const ANN: &str = "sms:+1555:+1666";
const BEN: &str = "sms:+1555:+1777";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const VARS: &[(&str, &str)] = &[
    ("TWILIO_ACCOUNT_SID", ACCOUNT),
    ("TWILIO_AUTH_TOKEN", "token"),
];

/// What Twilio does with a request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Take,
    TakeInSilence,
    Lose,
    TooMany,
    Refuse(u32),
}

#[derive(Debug, Clone)]
struct Taken {
    sid: String,
    to: String,
    from: String,
    body: String,
    at: Timestamp,
}

#[derive(Default)]
struct Twilio {
    taken: Vec<Taken>,
    calls: usize,
}

fn form(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn answer(status: u16, body: &Json) -> Option<Answer> {
    Some(Answer {
        status,
        retry_after: None,
        body: body.to_string(),
    })
}

impl Twilio {
    fn message(message: &Taken) -> Json {
        let date = chrono::DateTime::from_timestamp_millis(message.at.0.try_into().unwrap());
        json!({
            "sid": message.sid, "status": "queued", "direction": "outbound-api", "num_media": "0",
            "to": message.to, "from": message.from, "body": message.body, "error_code": null,
            "date_created": date.unwrap().to_rfc2822(),
        })
    }

    fn answer(&mut self, now: Timestamp, call: &Call, mood: Mood) -> Option<Answer> {
        self.calls += 1;
        if call.method == "GET" {
            let (_, query) = call.url.split_once('?').unwrap();
            let wanted = form(query);
            let messages = self.taken.iter().rev();
            let messages: Vec<Json> = messages
                .filter(|m| m.to == wanted["To"] && m.from == wanted["From"])
                .map(Self::message)
                .collect();
            return match mood {
                Mood::Take => answer(200, &json!({"messages": messages})),
                _ => None,
            };
        }
        let form = form(call.body.as_deref().unwrap());
        if matches!(mood, Mood::Take | Mood::TakeInSilence) {
            self.taken.push(Taken {
                sid: format!("SM{:032x}", self.taken.len()),
                to: form["To"].clone(),
                from: form["From"].clone(),
                body: form["Body"].clone(),
                at: now,
            });
        }
        match mood {
            Mood::Take => answer(201, &Self::message(self.taken.last().unwrap())),
            Mood::TooMany => answer(
                429,
                &json!({"code": 20429, "message": "Too Many Requests", "status": 429}),
            ),
            Mood::Refuse(code) => {
                answer(400, &json!({"code": code, "message": "no", "status": 400}))
            }
            Mood::TakeInSilence | Mood::Lose => None,
        }
    }
}

/// A line with its Twilio.
struct World {
    cluster: Cluster,
    twilio: Twilio,
}

impl World {
    fn new() -> Self {
        Self {
            cluster: Cluster::new(VARS),
            twilio: Twilio::default(),
        }
    }

    /// What the line asks of Twilio now is answered, and what comes of that, in the same instant.
    fn answer(&mut self, mood: Mood) {
        self.cluster.settle();
        loop {
            let calls = std::mem::take(&mut self.cluster.shell(LINE).twilio);
            if calls.is_empty() {
                return;
            }
            for (job, call) in calls {
                let answer = self.twilio.answer(self.cluster.now, &call, mood);
                self.cluster.turn(LINE, vec![Input::Twilio { job, answer }]);
                self.cluster.settle();
            }
        }
    }

    /// Time goes by, a tick at a time; Twilio answers all as it should.
    fn pass(&mut self, ms: u64) {
        let mut left = ms;
        while left > 0 {
            let tick = left.min(500);
            self.answer(Mood::Take);
            self.cluster.pass(tick);
            left -= tick;
        }
        self.answer(Mood::Take);
    }

    fn post(&mut self, room: &str, id: &str, body: &str) -> Result<Json, Refusal> {
        self.post_as(caller("ann"), room, id, body)
    }

    fn post_as(
        &mut self,
        caller: Caller,
        room: &str,
        id: &str,
        body: &str,
    ) -> Result<Json, Refusal> {
        let (_, contact) = room.rsplit_once(':').unwrap();
        let send = SendMessage {
            caller,
            line: "+1555".to_owned(),
            contact: contact.to_owned(),
            id: id.to_owned(),
            body: body.to_owned(),
            media: vec![],
            callback: None,
        };
        self.cluster.ask(room, Request::SendMessage(Box::new(send)))
    }

    fn inbound(&mut self, room: &str, number: u32, body: &str, opt_out: Option<&str>) {
        let (_, contact) = room.rsplit_once(':').unwrap();
        let sid = format!("SM{number:032x}");
        let mut data = json!({
            "phoneNumberId": "+1555", "from": contact, "to": "+1555", "body": body, "direction": "inbound",
            "messageSid": sid, "channel": "sms", "timestamp": "t",
            "media": [{"url": "https://api.twilio.com/x", "contentType": "image/png"}],
        });
        if let Some(word) = opt_out {
            data["optOutType"] = json!(word);
        }
        let item = Item {
            event: "new_message".to_owned(),
            args: Args::of(&data),
            dedupe: Some(format!("twilio:{sid}")),
            ..Item::default()
        };
        let parcels = vec![Parcel::Event(item)];
        self.cluster
            .ask(room, Request::Deliver { parcels })
            .unwrap();
    }

    fn callback(&mut self, room: &str, id: &str, sid: &str, status: &str, code: Option<u32>) {
        let report = Report {
            sid: Some(sid.to_owned().try_into().unwrap()),
            status: Status::of_twilio(status).unwrap(),
            error_code: code,
            error_message: None,
        };
        let id = id.to_owned();
        self.cluster
            .ask(room, Request::Status { id, report })
            .unwrap();
    }

    fn list(&mut self) -> Vec<Json> {
        let request = Request::Conversations {
            caller: caller("ann"),
            cursor: None,
            limit: 200,
        };
        let answer = self.cluster.ask(LINE, request).unwrap();
        answer["conversations"].as_array().unwrap().clone()
    }

    fn messages(&mut self, room: &str) -> Vec<Json> {
        let request = Request::Conversation {
            caller: caller("ann"),
            after: None,
            before: None,
            limit: 200,
        };
        let answer = self.cluster.ask(room, request).unwrap();
        let messages = answer["messages"].as_array().unwrap();
        messages.iter().map(|m| m["data"].clone()).collect()
    }

    fn statuses(&mut self, room: &str) -> Vec<(String, String)> {
        let request = Request::History {
            caller: caller("ann"),
            after: None,
            before: None,
            limit: 200,
        };
        let answer = self.cluster.ask(room, request).unwrap();
        let messages = answer["messages"].as_array().unwrap().iter();
        let statuses = messages.filter(|m| m["event"] == "message_status");
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        statuses
            .map(|m| (text(&m["data"]["id"]), text(&m["data"]["status"])))
            .collect()
    }
}

fn status(id: &str, status: &str) -> (String, String) {
    (id.to_owned(), status.to_owned())
}

#[test]
fn a_message_is_told_queued_sent_once_and_what_became_of_it_is_known_everywhere() {
    let mut world = World::new();
    let mut ann = Client::connected("ann", "/", &mut world.cluster, "lobby:0");
    let mut ben = Client::connected("ben", "/", &mut world.cluster, "lobby:1");
    ben.call(&mut world.cluster, "join", json!(ANN));
    ben.call(&mut world.cluster, "join", json!(LINE));
    for user in ["ann", "ben"] {
        let user = UserId::text(user).unwrap();
        world
            .cluster
            .ask(LINE, Request::AddMember { user })
            .unwrap();
    }
    ann.take(&mut world.cluster);
    ben.take(&mut world.cluster);

    let queued = world.post(ANN, "m1", "hello").unwrap();
    assert_eq!(
        queued,
        json!({"id": "m1", "status": "queued", "segments": 1})
    );
    for client in [&mut ann, &mut ben] {
        let heard = client.take(&mut world.cluster);
        let updated: Vec<_> = heard
            .iter()
            .filter(|args| args[0] == "message_updated")
            .collect();
        assert_eq!(updated.len(), 1, "{heard:?}");
        assert_eq!(updated[0][1]["body"], "hello");
        assert_eq!(updated[0][1]["userId"], "ann");
    }
    assert_eq!(world.messages(ANN)[0]["status"], "queued");
    world.answer(Mood::Take);
    world.answer(Mood::Take);
    assert_eq!(world.twilio.taken.len(), 1);
    let sid = world.twilio.taken[0].sid.clone();
    assert_eq!(world.statuses(ANN), [status("m1", "queued")]);
    // Early, doubled, out of order, of another message, unknown.
    for (id, of, what, code) in [
        ("m1", &*sid, "delivered", None),
        ("m1", &sid, "sent", None),
        ("m1", &sid, "delivered", None),
        ("m1", &sid, "failed", Some(30003)),
        ("m1", "SM99999999999999999999999999999999", "read", None),
        ("m2", &sid, "read", None),
        ("m1", &sid, "read", None),
    ] {
        world.callback(ANN, id, of, what, code);
    }
    let expected = ["queued", "delivered", "read"].map(|word| status("m1", word));
    assert_eq!(world.statuses(ANN), expected);
    assert_eq!(world.statuses(LINE), expected);
    let messages = world.messages(ANN);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["status"], "read");
    assert_eq!(messages[0]["messageSid"], sid.as_str());
    // Again, and otherwise.
    let again = world.post(ANN, "m1", "hello").unwrap();
    assert_eq!(
        again,
        json!({"id": "m1", "status": "read", "segments": 1, "duplicate": true})
    );
    let other = world.post(ANN, "m1", "hello!").unwrap_err();
    assert_eq!(other.code, Code::Conflict);
    let other = world
        .post_as(caller("ben"), ANN, "m1", "hello")
        .unwrap_err();
    assert_eq!(other.code, Code::Conflict);
    world.pass(5_000);
    assert_eq!((world.twilio.taken.len(), world.twilio.calls), (1, 1));
    assert_eq!(world.cluster.rows(LINE, "sends"), 0);
}

#[test]
fn what_nobody_knows_of_is_asked_for_and_never_sent_again() {
    for (mood, killed) in [
        (Mood::TakeInSilence, false),
        (Mood::Lose, false),
        (Mood::TakeInSilence, true),
    ] {
        let mut world = World::new();
        world.post(ANN, "m1", "same").unwrap();
        world.answer(Mood::Take);
        world.cluster.pass(1_000);
        world.post(ANN, "m2", "same").unwrap();
        let [(Job::Send(id), call)] = &*world.cluster.shell(LINE).twilio.clone() else {
            panic!("one is sent");
        };
        if killed {
            world.cluster.shell(LINE).twilio.clear();
            world.twilio.answer(world.cluster.now, call, mood);
            world.cluster.crash(LINE);
            // Nobody asks for it: the alarm finds it.
            world.cluster.pass(SEND_LOST_MS);
        } else {
            let _ = id;
            world.answer(mood);
            world.cluster.settle();
        }
        let last = world.statuses(ANN).pop().unwrap();
        assert_eq!(last, status("m2", "unknown"), "{mood:?}");
        assert!(world.messages(ANN)[1]["errorMessage"].is_string());
        world.pass(100_000);
        let known = if mood == Mood::Lose {
            "unknown"
        } else {
            "queued"
        };
        assert_eq!(world.messages(ANN)[1]["status"], known, "{mood:?}");
        let taken = world.twilio.taken.iter();
        let sids: Vec<String> = taken.map(|m| m.sid.clone()).collect();
        if mood == Mood::Lose {
            assert_eq!(sids.len(), 1);
            assert_eq!(
                world.cluster.rows(LINE, "sends"),
                1,
                "it is asked for again"
            );
            // A callback that comes much later settles it.
            world.callback(
                ANN,
                "m2",
                "SM77777777777777777777777777777777",
                "sent",
                None,
            );
            world.cluster.settle();
        } else {
            assert_eq!(sids.len(), 2);
            assert_eq!(world.messages(ANN)[1]["messageSid"], sids[1]);
        }
        assert_eq!(world.cluster.rows(LINE, "sends"), 0);
    }
}

#[test]
fn order_is_kept_the_rate_is_bounded_and_too_many_waits() {
    let mut world = World::new();
    for n in 0..25 {
        let room = if n % 2 == 0 { ANN } else { BEN };
        world
            .post(room, &format!("m{n}"), &format!("text {n}"))
            .unwrap();
    }
    world.answer(Mood::TooMany);
    assert_eq!(
        world.twilio.calls, 1,
        "the first waits, and the others behind it"
    );
    assert_eq!(world.statuses(ANN), []);
    let mut per_second = BTreeMap::new();
    for _ in 0..120 {
        world.cluster.pass(50);
        world.answer(Mood::Take);
    }
    for taken in &world.twilio.taken {
        *per_second.entry(taken.at.0 / 1000).or_insert(0) += 1;
    }
    assert!(per_second.values().all(|n| *n <= 10), "{per_second:?}");
    let bodies: Vec<&str> = world.twilio.taken.iter().map(|m| m.body.as_str()).collect();
    let sent: Vec<String> = (0..25).map(|n| format!("text {n}")).collect();
    assert_eq!(bodies, sent);
    // It is not tried for ever.
    world.post(ANN, "late", "late").unwrap();
    for _ in 0..200 {
        world.answer(Mood::TooMany);
        world.cluster.pass(SEND_GIVE_UP_MS / 150);
    }
    let last = world.messages(ANN).pop().unwrap();
    assert_eq!(
        (&last["status"], &last["errorCode"]),
        (&json!("failed"), &json!(20429))
    );
}

#[test]
fn while_twilio_is_down_what_waits_does_not_all_become_unknown() {
    let mut world = World::new();
    for n in 0..20 {
        world
            .post(ANN, &format!("m{n}"), &format!("text {n}"))
            .unwrap();
    }
    for _ in 0..60 {
        world.answer(Mood::Lose);
        world.cluster.pass(1_000);
    }
    let unknown = |world: &mut World| {
        let messages = world.messages(ANN);
        messages.iter().filter(|m| m["status"] == "unknown").count()
    };
    assert_eq!(unknown(&mut world), 6, "after 0, 1, 3, 7, 15 and 31 s");
    world.pass(60_000);
    assert_eq!((unknown(&mut world), world.twilio.taken.len()), (6, 14));
}

#[test]
fn who_has_opted_out_is_not_written_to() {
    let mut world = World::new();
    world.inbound(ANN, 1, "hi", None);
    world.inbound(ANN, 2, "stop", Some("STOP"));
    assert_eq!(world.list()[0]["optedOut"], true);
    let refused = world.post(ANN, "m1", "hello").unwrap_err();
    assert_eq!(refused.code, Code::OptedOut);
    world.post(BEN, "m1", "hello").unwrap();
    world.inbound(ANN, 3, "help", Some("HELP"));
    assert!(world.post(ANN, "m1", "hello").is_err());
    world.inbound(ANN, 4, "start", Some("START"));
    world.post(ANN, "m1", "hello").unwrap();
    world.pass(1_000);
    // Twilio knows it first.
    world.post(ANN, "m2", "hello").unwrap();
    world.answer(Mood::Refuse(21610));
    let failed = world.messages(ANN).pop().unwrap();
    assert_eq!(
        (&failed["status"], &failed["errorCode"]),
        (&json!("failed"), &json!(21610))
    );
    assert!(
        failed["errorMessage"]
            .as_str()
            .unwrap()
            .contains("opted out"),
        "{failed}"
    );
    let list = world.list();
    let ann = list.iter().find(|c| c["contact"] == "+1666").unwrap();
    assert_eq!(ann["optedOut"], true);
    assert_eq!(
        world.post(ANN, "m3", "hello").unwrap_err().code,
        Code::OptedOut
    );
    // What was accepted before is still known.
    assert_eq!(world.post(ANN, "m1", "hello").unwrap()["duplicate"], true);
}

#[test]
fn the_list_is_newest_first_by_pages_and_says_what_is_unread_and_whose_it_is() {
    let mut world = World::new();
    for n in 0..7 {
        world.inbound(&format!("sms:+1555:+1{n}"), n, &format!("text {n}"), None);
    }
    world.inbound("sms:+1555:+13", 20, "again", None);
    let contacts = |list: &[Json]| -> Vec<String> {
        list.iter()
            .map(|c| c["contact"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        contacts(&world.list()),
        ["+13", "+16", "+15", "+14", "+12", "+11", "+10"]
    );
    let (mut paged, mut cursor) = (vec![], None);
    loop {
        let request = Request::Conversations {
            caller: caller("ann"),
            cursor,
            limit: 3,
        };
        let page = world.cluster.ask(LINE, request).unwrap();
        paged.extend(page["conversations"].as_array().unwrap().clone());
        match page["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(paged, world.list());
    assert_eq!(
        (&paged[0]["unread"], &paged[0]["lastMessage"]["body"]),
        (&json!(2), &json!("again"))
    );
    assert_eq!(
        world.cluster.ask(LINE, Request::Unread),
        Ok(json!({"unread": 8}))
    );

    // Who only reads reads for himself.
    for (access, unread) in [(Access::Read, 2), (Access::Full, 0)] {
        let request = Request::Event {
            caller: Caller {
                access,
                ..caller("ann")
            },
            event: "mark_read".to_owned(),
            args: Args::none(),
            id: None,
        };
        world.cluster.ask("sms:+1555:+13", request).unwrap();
        assert_eq!(world.list()[0]["unread"], unread, "{access:?}");
    }
    world.inbound("sms:+1555:+13", 21, "more", None);
    assert_eq!(world.list()[0]["unread"], 1);

    let assign = |world: &mut World, user: Option<&str>, access| {
        let user = user.map(|user| UserId::text(user).unwrap());
        let contact = "+14".to_owned();
        let caller = Caller {
            access,
            ..caller("ann")
        };
        let request = Request::AssignConversation {
            caller,
            contact,
            user,
        };
        world.cluster.ask(LINE, request)
    };
    let item = assign(&mut world, Some("ben"), Access::Full).unwrap();
    assert_eq!(
        (&item["contact"], &item["assignedTo"]),
        (&json!("+14"), &json!("ben"))
    );
    assert_eq!(
        assign(&mut world, None, Access::Read).unwrap_err().code,
        Code::Forbidden
    );
    let whose = |world: &mut World| {
        let list = world.list();
        list.iter().find(|c| c["contact"] == "+14").unwrap()["assignedTo"].clone()
    };
    assert_eq!(whose(&mut world), "ben");
    let user = UserId::text("ben").unwrap();
    world
        .cluster
        .ask(LINE, Request::AddMember { user: user.clone() })
        .unwrap();
    assert_eq!(
        world.cluster.ask("user:ben", Request::Lines),
        Ok(json!({"lines": ["+1555"]}))
    );
    assert_eq!(
        world.cluster.ask("admins:all", Request::Lines),
        Ok(json!({"lines": ["+1555"]}))
    );
    world
        .cluster
        .ask(LINE, Request::RemoveMember { user })
        .unwrap();
    assert_eq!(whose(&mut world), Json::Null);
    assert_eq!(
        world.cluster.ask("user:ben", Request::Lines),
        Ok(json!({"lines": []}))
    );
}

#[test]
fn message_sent_tells_of_a_message_once_and_sends_none() {
    let mut world = World::new();
    let mut ann = Client::connected("ann", "/", &mut world.cluster, "lobby:0");
    let mut tab = Client::connected("ann", "/", &mut world.cluster, "lobby:1");
    let sent = |line: &str, body: &str| json!({"phoneNumberId": line, "to": "+1666", "body": body, "timestamp": "then", "more": 1});
    let mut tell = |world: &mut World, data: Json| {
        let ack = ann.call(&mut world.cluster, "message_sent", data);
        world.cluster.settle();
        let heard = tab.take(&mut world.cluster).into_iter();
        let heard: Vec<Json> = heard
            .filter(|args| args[0] == "message_updated")
            .map(|a| a[1].clone())
            .collect();
        (ack, heard)
    };
    // A line that is not one of ours: one's own tabs alone.
    let (ack, heard) = tell(&mut world, sent("pn_1", "a"));
    assert_eq!((&ack["ok"], heard.len()), (&json!(true), 1), "{ack}");
    assert_eq!(world.messages(ANN).len(), 0);
    let (ack, heard) = tell(&mut world, sent("+1555", "b"));
    assert_eq!(
        (&ack["ok"], &ack["duplicate"]),
        (&json!(true), &json!(false))
    );
    let mut expected = sent("+1555", "b");
    expected["direction"] = json!("outbound");
    expected["timestamp"] = heard[0]["timestamp"].clone();
    assert_eq!(heard, [expected]);
    assert_eq!(world.messages(ANN).len(), 1);
    assert_eq!(world.list()[0]["lastMessage"]["body"], "b");
    // What an app says in its own way is passed on, and read as far as it can be.
    let mut own = sent("+1555", "own");
    own["id"] = json!(42);
    own["media"] = Json::Null;
    assert_eq!(tell(&mut world, own).0["ok"], true);
    let last = world.list()[0]["lastMessage"].clone();
    assert_eq!(
        (&last["body"], &last["direction"], &last["id"]),
        (&json!("own"), &json!("outbound"), &Json::Null)
    );
    // It was sent by us: it has been told.
    world.post(ANN, "m1", "c").unwrap();
    let (ack, heard) = tell(&mut world, sent("+1555", "c"));
    assert_eq!(ack["duplicate"], true);
    assert_eq!(heard.len(), 1, "what was posted");
    let (ack, heard) = tell(&mut world, sent("+1555", "c"));
    assert_eq!(
        (&ack["duplicate"], heard.len()),
        (&json!(false), 1),
        "another one"
    );
    world.post(ANN, "m2", "d").unwrap();
    world.pass(ANNOUNCE_MS + 1_000);
    assert_eq!(tell(&mut world, sent("+1555", "d")).0["duplicate"], false);
    world.inbound(ANN, 1, "stop", Some("STOP"));
    let (ack, _) = tell(&mut world, sent("+1555", "e"));
    assert_eq!(ack["error"]["code"], "opted_out");
    assert_eq!(
        world.twilio.taken.len(),
        2,
        "what was posted, and nothing else"
    );
}

#[test]
fn a_file_is_found_by_its_message_and_number() {
    let mut world = World::new();
    world.inbound(ANN, 7, "look", None);
    let mut find = |number: u32, index| {
        let sid = format!("SM{number:032x}").try_into().unwrap();
        let which = WhichMedia { sid, index };
        let caller = caller("ann");
        world.cluster.ask(ANN, Request::Media { caller, which })
    };
    assert_eq!(find(7, 0), Ok(json!({"url": "https://api.twilio.com/x"})));
    assert_eq!(find(7, 1).unwrap_err().code, Code::NotFound);
    assert_eq!(find(8, 0).unwrap_err().code, Code::NotFound);
}

#[derive(Debug, Clone)]
enum Step {
    Post(u8),
    Again(u8),
    Inbound(u8),
    Read(bool),
    Twilio(Mood),
    Callback(u8, u8),
    Crash(u8),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mood = prop_oneof![
        3 => Just(Mood::Take),
        1 => Just(Mood::TakeInSilence),
        1 => Just(Mood::Lose),
        1 => Just(Mood::TooMany),
        1 => Just(Mood::Refuse(21211)),
    ];
    let step = prop_oneof![
        4 => any::<u8>().prop_map(Step::Post),
        1 => any::<u8>().prop_map(Step::Again),
        1 => (0..2_u8).prop_map(Step::Inbound),
        1 => any::<bool>().prop_map(Step::Read),
        5 => mood.prop_map(Step::Twilio),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(n, s)| Step::Callback(n, s)),
        2 => (0..4_u8).prop_map(Step::Crash),
        3 => (1..15_000_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Each accepted message is in its history once, and at Twilio once at most; what was taken and is
    /// not known is plainly `unknown`; all lists agree in the end.
    #[test]
    fn nothing_is_lost_and_nothing_is_sent_twice(steps in steps()) {
        let mut world = World::new();
        let (mut posted, mut inbound) = (vec![], 0);
        for step in &steps {
            match step {
                Step::Post(n) => {
                    let room = if n % 2 == 0 { ANN } else { BEN };
                    let id = format!("m{}", posted.len());
                    // Some say the same.
                    let body = format!("text {}", n % 4);
                    world.post(room, &id, &body).unwrap();
                    posted.push((room, id, body));
                }
                Step::Again(n) => {
                    if let Some((room, id, body)) = posted.get(usize::from(*n)) {
                        let again = world.post(room, id, body).unwrap();
                        prop_assert_eq!(&again["duplicate"], &json!(true));
                    }
                }
                Step::Inbound(n) => {
                    inbound += 1;
                    world.inbound(if *n == 0 { ANN } else { BEN }, 1_000 + inbound, "hi", None);
                }
                Step::Read(ann) => {
                    let request = Request::Event {
                        caller: caller("ann"),
                        event: "mark_read".to_owned(),
                        args: Args::none(),
                        id: None,
                    };
                    world.cluster.ask(if *ann { ANN } else { BEN }, request).unwrap();
                }
                Step::Twilio(mood) => {
                    // One call: the next ones have a mood of their own.
                    world.cluster.settle();
                    let line = world.cluster.shell(LINE);
                    if !line.twilio.is_empty() {
                        let (job, call) = line.twilio.remove(0);
                        let answer = world.twilio.answer(world.cluster.now, &call, *mood);
                        world.cluster.turn(LINE, vec![Input::Twilio { job, answer }]);
                    }
                }
                Step::Callback(n, s) => {
                    let taken = world.twilio.taken.get(usize::from(*n)).cloned();
                    let words = ["sent", "delivered", "undelivered", "read"];
                    let word = words[usize::from(*s) % words.len()];
                    let of = taken.as_ref().and_then(|taken| {
                        // Our id came with the message; here it is the one that its place gives.
                        let same = posted.iter().filter(|(room, _, body)| {
                            room.ends_with(&taken.to) && *body == taken.body
                        });
                        (same.count() == 1).then_some(taken)
                    });
                    if let Some(taken) = of {
                        let (room, id, _) = posted.iter().find(|(room, _, body)| {
                            room.ends_with(&taken.to) && *body == taken.body
                        }).unwrap().clone();
                        world.callback(room, &id, &taken.sid, word, None);
                    }
                }
                Step::Crash(which) => {
                    let name = [LINE, ANN, BEN, "user:ann"][usize::from(*which)];
                    // A call that is under way has come to nothing, or to something: nobody knows.
                    let calls = std::mem::take(&mut world.cluster.shell(name).twilio);
                    for (n, (_, call)) in calls.iter().enumerate() {
                        let mood = if n % 2 == 0 { Mood::TakeInSilence } else { Mood::Lose };
                        world.twilio.answer(world.cluster.now, call, mood);
                    }
                    world.cluster.crash(name);
                }
                Step::Pass(ms) => world.cluster.pass(*ms),
            }
        }
        world.cluster.calm();
        world.pass(120_000);
        let mut sids = BTreeSet::new();
        for room in [ANN, BEN] {
            let messages = world.messages(room);
            let ours: Vec<&Json> = messages.iter().filter(|m| m["direction"] == "outbound").collect();
            let expected: Vec<&str> = posted.iter().filter(|p| p.0 == room).map(|p| p.1.as_str()).collect();
            let ids: Vec<&str> = ours.iter().map(|m| m["id"].as_str().unwrap()).collect();
            prop_assert_eq!(ids, expected);
            let to = room.rsplit_once(':').unwrap().1;
            for body in ["text 0", "text 1", "text 2", "text 3"] {
                let same = ours.iter().filter(|m| m["body"] == body);
                let taken = world.twilio.taken.iter().filter(|t| t.to == to && t.body == body).count();
                let known = same.clone().filter(|m| m["messageSid"].is_string()).count();
                let unknown = same.clone().filter(|m| m["status"] == "unknown").count();
                prop_assert!(known <= taken && taken <= known + unknown, "{} {} {}", known, taken, unknown);
                prop_assert!(same.clone().all(|m| m["status"] != "queued" || m["messageSid"].is_string()));
            }
            for message in ours {
                if let Some(sid) = message["messageSid"].as_str() {
                    prop_assert!(sids.insert(sid.to_owned()), "{} twice", sid);
                }
            }
        }
        for item in world.list() {
            let room = if item["contact"] == "+1666" { ANN } else { BEN };
            let last = world.messages(room).pop().unwrap();
            prop_assert_eq!(&item["lastMessage"]["body"], &last["body"]);
            prop_assert_eq!(&item["lastMessage"]["direction"], &last["direction"]);
        }
    }
}
