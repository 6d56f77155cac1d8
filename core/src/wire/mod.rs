//! What Dialtone's objects say to each other, and the Worker to them: JSON over `stub.fetch`.
//! The exact JSON is pinned by the tests below; changing it breaks a rolling deploy.

mod lines;
mod link;
mod watch;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

pub use lines::{Lines, Queued, Recorded, SendMessage, Standing, Unread, WhichMedia};
pub use link::{
    Audience, Direct, Entry, Joined, Kept, LinkAnswers, Newest, Notice, Op, OpAnswer, Pushed,
    Question, Recover, Recovered, Remains, Told, WasIn, before_numbers_of, numbers_from,
};
pub use watch::News;

use crate::{
    auth::Claims,
    error::{Code, Refusal},
    event::Args,
    names::{Epoch, Offset, RoomName, StreamPosition, UserId},
    twilio::{outbound::Outgoing, status::Report},
};

/// The header that carries a [`Connect`] on an upgrade request. The Worker makes its requests to
/// objects anew, so a client cannot set it.
pub const CONNECT_HEADER: &str = "x-dialtone-connect";

/// What the policy lets someone do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Join and send.
    Full,
    /// Join without sending.
    Read,
    /// Join and send if the room has them as a member.
    IfMember,
    /// Join and send because another room has them as a member, which says so when that ends
    /// ([`Parcel::Expel`]).
    ByOtherRoom,
}

/// Who asks, and what the policy said of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Caller {
    /// The verified token.
    pub claims: Claims,
    /// What it gives in this room.
    pub access: Access,
}

/// A plain WebSocket wants in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// Who.
    pub caller: Caller,
    /// `?since=`, not yet parsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// `?batch=1`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub batch: bool,
}

/// The header that carries an [`EngineRequest`]; set by the Worker alone, like [`CONNECT_HEADER`].
pub const ENGINE_HEADER: &str = "x-dialtone-engine";

/// What the handshake's HTTP request said of the client, kept for the session's life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Door {
    /// The client knows connection state recovery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovery: bool,
    /// The token that came with the handshake itself, verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
    /// Engine.IO alone, every message echoed: what the official suite expects at `/engine.io/`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
}

/// How an Engine.IO request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Polling: give me packets, or a handshake.
    Get,
    /// Polling: here are packets.
    Post,
    /// A WebSocket.
    Upgrade,
}

/// A request at `/socket.io/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineRequest {
    /// How.
    pub method: Method,
    /// The session; none for a handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// What matters at the handshake.
    #[serde(default)]
    pub door: Door,
}

/// Reads what another object, or the Worker, sent. While a new version is rolled out they are of two
/// versions: what is not known of it is ignored, and who asks what cannot be understood asks again later.
pub fn read<T: DeserializeOwned>(json: &str) -> Result<T, Refusal> {
    let message = "this room is served by another version for the moment";
    serde_json::from_str(json).map_err(|_| Refusal::new(Code::Unavailable, message))
}

/// As a header's value: JSON in ASCII alone, for headers carry no other bytes safely.
pub fn to_header(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    let mut header = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            header.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(header, "\\u{unit:04x}");
            }
        }
    }
    header
}

/// One event for a room from the outside: a webhook, a backend, another room's outbox.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Item {
    /// The event's name.
    pub event: String,
    /// Its arguments, a JSON array.
    pub args: Args,
    /// Accepted once under this key, which means the same in every room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<String>,
    /// Who gets it.
    #[serde(default, skip_serializing_if = "Audience::is_everyone")]
    pub audience: Audience,
    /// Only those who are here now get it; it is not kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub volatile: bool,
    /// If another such event follows in the same turn, that one is enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub latest: bool,
    /// The publication that it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// Whose it is, where a person sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<UserId>,
    /// How the conversation stands that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// What the line is to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<Box<Outgoing>>,
}

/// A publication in another room that somebody was not there for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// The room.
    pub room: RoomName,
    /// Its offset there.
    pub offset: Offset,
    /// Who was not there.
    pub user: UserId,
}

/// What one room, or the Worker, brings to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // Nearly all of them are events.
pub enum Parcel {
    /// An event to accept.
    Event(Item),
    /// This user is the sender's member no longer: who is here on that ground alone is out.
    Expel {
        /// Who.
        user: UserId,
    },
    /// This room's user has read `room` so far.
    Read {
        /// Where.
        room: RoomName,
        /// Up to here.
        through: Offset,
    },
    /// A conversation of this line stands otherwise than before, without a new message.
    Standing(Standing),
    /// What Twilio said of a message of this conversation.
    Report {
        /// The message.
        id: String,
        /// What it said; where it was asked for a message whose name there is not known, each that may
        /// be the one, oldest first.
        reports: Vec<Report>,
        /// The line goes on to ask, until this is [`Parcel::Settled`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        asking: bool,
    },
    /// Nobody need ask Twilio about a message any more.
    Settled {
        /// The conversation.
        room: RoomName,
        /// The message.
        id: String,
    },
    /// A line that this user works, or that there is, from now on or no longer.
    Line {
        /// The id of its room.
        number: String,
        /// Whether it is.
        listed: bool,
    },
}

/// What a Room is asked. The answer is the JSON that the HTTP API shows, or a problem.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Accept these, in order. The answer comes after the commit and, bounded in time, after the
    /// rooms that they are passed on to have them too.
    Deliver {
        /// What is brought.
        parcels: Vec<Parcel>,
    },
    /// `POST /rooms/{room}/events`.
    Event {
        /// Who sends it.
        caller: Caller,
        /// The event's name.
        event: String,
        /// Its arguments.
        args: Args,
        /// The sender's message id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// `GET /rooms/{room}/history`.
    History {
        /// Who reads.
        caller: Caller,
        /// Exclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Offset>,
        /// Exclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Offset>,
        /// How many at most.
        limit: u32,
    },
    /// `GET /chat/{chatId}/messages`.
    Messages {
        /// Who reads.
        caller: Caller,
        /// An offset, or a message's id; exclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// How many at most.
        limit: u32,
    },
    /// `POST /api/lines/{number}/conversations/{contact}/messages`, answered by [`Queued`].
    SendMessage(Box<SendMessage>),
    /// `GET /api/lines/{number}/conversations/{contact}/messages`: history, of messages alone, with what
    /// became of each.
    Conversation {
        /// Who reads.
        caller: Caller,
        /// Exclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Offset>,
        /// Exclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Offset>,
        /// How many at most.
        limit: u32,
    },
    /// `GET …/media/{sid}/{n}`: where is it? Answered by [`Recorded`].
    Media {
        /// Who asks.
        caller: Caller,
        /// For which.
        which: WhichMedia,
    },
    /// Twilio's status callback, for the conversation's room. Answered by `{}`, known or not.
    Status {
        /// The message.
        id: String,
        /// What Twilio says.
        report: Report,
    },
    /// `GET /api/lines/{number}/conversations`, of the line whose room this is.
    Conversations {
        /// Who asks.
        caller: Caller,
        /// Where the page before ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
        /// How many at most.
        limit: u32,
    },
    /// `PUT /api/lines/{number}/conversations/{contact}/assignee`, of the line whose room this is.
    AssignConversation {
        /// Who assigns.
        caller: Caller,
        /// Which, as the conversation's room names it.
        contact: String,
        /// To whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    },
    /// Which lines does this user work; or, in `admins:all`, are there? Answered by [`Lines`].
    Lines,
    /// How much is unread on this line? Answered by [`Unread`].
    Unread,
    /// `GET /api/jobs/{id}`, `GET /api/analytics/{brandId}`: the last status.
    Latest {
        /// Who asks.
        caller: Caller,
    },
    /// `GET /api/notifications`, of the user whose room this is.
    Notifications {
        /// Only those that are unread.
        unread: bool,
        /// How many at most, the newest.
        limit: u32,
    },
    /// `GET /rooms/{room}/presence`.
    Presence {
        /// Who asks.
        caller: Caller,
    },
    /// `GET /rooms/{room}/members`.
    Members,
    /// `PUT /rooms/{room}/members/{userId}`.
    AddMember {
        /// Whom.
        user: UserId,
    },
    /// `DELETE /rooms/{room}/members/{userId}`.
    RemoveMember {
        /// Whom.
        user: UserId,
    },
    /// Another room's policy asks: is this user one of yours?
    IsMember {
        /// Who.
        user: UserId,
        /// The room in which they want to stay; it is told should the membership end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        follower: Option<RoomName>,
    },
    /// `DELETE /rooms/{room}/connections`.
    Disconnect {
        /// Whom; everyone if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    },
    /// `GET /rooms/{room}/backup`.
    Backup {
        /// Where the page before ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// `PUT /rooms/{room}/backup`.
    Restore {
        /// The JSON of a [`Restore`](crate::storage::backup::Restore).
        page: Box<RawValue>,
    },
    /// A lobby's turn, for this room.
    Link {
        /// The lobby.
        from: RoomName,
        /// Its number among the lobby's requests; none from a lobby of the version before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
        /// How far its sockets have come.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<StreamPosition>,
        /// Whom it holds there before these ops, where it may have lost what it had asked for before: who else
        /// is held by it is gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holds: Option<Vec<UserId>>,
        /// What its sockets want, in order.
        ops: Vec<Op>,
    },
    /// A room's turn, for this lobby.
    Push {
        /// The room.
        room: RoomName,
        /// Its life.
        epoch: Epoch,
        /// Its number among the room's pushes; none from a room of the version before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
        /// What happened there, in order.
        notices: Vec<Notice>,
    },
    /// A client has come to another object with a session of this one.
    Recover(Recover),
    /// An admin watches, from that object. Answered by [`News`].
    Watch(RoomName),
    /// What happened to an object that is watched from this one. Answered by [`Pushed`].
    News(News),
    /// What an admin wants done here, as the admin's page says it. Answered by `{}`.
    Administer(Kept),
}

impl Request {
    /// The events in it that their senders gave an id: whose, and which.
    pub fn ids_of_events(&self) -> impl Iterator<Item = (&UserId, &str)> {
        let ops = match self {
            Self::Link { ops, .. } => ops.as_slice(),
            _ => &[],
        };
        ops.iter().filter_map(|op| match op {
            Op::Event { claims, id, .. } => Some((&claims.user, id.as_deref()?)),
            _ => None,
        })
    }
}

/// The answer to [`Request::Deliver`], in the parcels' order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// One for each parcel.
    pub results: Vec<Accepted>,
}

/// Where an event went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its id, where its kind gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its offset; none if it is ephemeral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// It was there already.
    pub duplicate: bool,
}

/// The answer to [`Request::IsMember`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Whether the user is a member.
    pub member: bool,
}

impl Membership {
    /// As it is answered.
    pub fn to_json(self) -> String {
        serde_json::to_string(&self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::{names::Timestamp, twilio::status::Status};

    fn caller() -> Caller {
        Caller {
            claims: Claims {
                user: UserId::integer(7),
                name: None,
                role: Some("admin".to_owned()),
                rooms: vec![],
                rooms_read: vec![],
                expires_at: Timestamp(1000),
            },
            access: Access::IfMember,
        }
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn kept() -> Kept {
        Kept {
            event: "e".to_owned(),
            args: Args::of(&1),
        }
    }

    /// Its audience is stored in the log, and it in the outbox: changing these needs a migration.
    fn everything() -> Item {
        Item {
            event: "e".to_owned(),
            audience: Audience {
                namespace: Some("/chat".to_owned()),
                except_socket: Some("s".to_owned()),
                except_users: vec![UserId::integer(7)],
                copies: vec![room("chat:1")],
                told_in: vec![(room("sms:1:2"), Offset(3))],
            },
            volatile: true,
            latest: true,
            about: Some(About {
                room: room("chat:1"),
                offset: Offset(7),
                user: UserId::text("u1").unwrap(),
            }),
            sender: UserId::text("u2").ok(),
            standing: Some(standing()),
            outgoing: Some(Box::new(Outgoing {
                room: room("sms:1:2"),
                id: "m".to_owned(),
                from: "1".to_owned(),
                to: "2".to_owned(),
                body: "b".to_owned(),
                media: vec!["u".to_owned()],
                callback: Some("c".to_owned()),
            })),
            ..Item::default()
        }
    }

    fn standing() -> Standing {
        Standing {
            room: room("sms:1:2"),
            unread: 1,
            opted_out: true,
        }
    }

    /// What the outbox of a line or of a conversation may hold.
    fn of_lines() -> Vec<Parcel> {
        let report = Report {
            sid: Some(SID.to_owned().try_into().unwrap()),
            status: Status::Waiting,
            error_code: Some(1),
            error_message: Some("e".to_owned()),
        };
        vec![
            Parcel::Standing(standing()),
            Parcel::Report {
                id: "m".to_owned(),
                reports: vec![report],
                asking: true,
            },
            Parcel::Settled {
                room: room("sms:1:2"),
                id: "m".to_owned(),
            },
            Parcel::Line {
                number: "1".to_owned(),
                listed: true,
            },
        ]
    }

    const SID: &str = "SM0123456789abcdef0123456789abcdef";

    #[test]
    fn the_json_between_objects_is_pinned() {
        let item = Item {
            event: "new_message".to_owned(),
            args: Args::of(&serde_json::json!({"a": 1})),
            dedupe: Some("twilio:SM1".to_owned()),
            ..Item::default()
        };
        let user = UserId::text("u1").unwrap();
        let claims = serde_json::to_string(&caller().claims).unwrap();
        for (request, json) in [
            (
                Request::Deliver { parcels: vec![Parcel::Event(item), Parcel::Expel { user: user.clone() }] },
                r#"{"deliver":{"parcels":[{"event":{"event":"new_message","args":[{"a":1}],"dedupe":"twilio:SM1"}},{"expel":{"user":"u1"}}]}}"#.to_owned(),
            ),
            (
                Request::Event {
                    caller: caller(),
                    event: "note".to_owned(),
                    args: Args::none(),
                    id: Some("c-1".to_owned()),
                },
                format!(r#"{{"event":{{"caller":{{"claims":{claims},"access":"if_member"}},"event":"note","args":[],"id":"c-1"}}}}"#),
            ),
            (
                Request::History {
                    caller: caller(),
                    after: Some(Offset(3)),
                    before: None,
                    limit: 50,
                },
                format!(r#"{{"history":{{"caller":{{"claims":{claims},"access":"if_member"}},"after":3,"limit":50}}}}"#),
            ),
            (Request::Members, r#""members""#.to_owned()),
            (
                Request::AddMember { user: user.clone() },
                r#"{"add_member":{"user":"u1"}}"#.to_owned(),
            ),
            (
                Request::RemoveMember { user: user.clone() },
                r#"{"remove_member":{"user":"u1"}}"#.to_owned(),
            ),
            (
                Request::IsMember { user: user.clone(), follower: None },
                r#"{"is_member":{"user":"u1"}}"#.to_owned(),
            ),
            (
                Request::IsMember { user, follower: RoomName::parse("sms:1:2").ok() },
                r#"{"is_member":{"user":"u1","follower":"sms:1:2"}}"#.to_owned(),
            ),
            (Request::Disconnect { user: None }, r#"{"disconnect":{}}"#.to_owned()),
            (Request::Watch(room("lobby:0")), r#"{"watch":"lobby:0"}"#.to_owned()),
            (
                Request::News(News { from: room("lobby:1"), last: 7, events: vec![kept()], lost: true }),
                r#"{"news":{"from":"lobby:1","last":7,"events":[{"event":"e","args":[1]}],"lost":true}}"#.to_owned(),
            ),
            (Request::Administer(kept()), r#"{"administer":{"event":"e","args":[1]}}"#.to_owned()),
            (
                Request::Deliver { parcels: vec![Parcel::Event(everything()), Parcel::Read { room: room("chat:1"), through: Offset(7) }] },
                r#"{"deliver":{"parcels":[{"event":{"event":"e","args":[],"audience":{"namespace":"/chat","except_socket":"s","except_users":[7],"copies":["chat:1"],"told_in":[["sms:1:2",3]]},"volatile":true,"latest":true,"about":{"room":"chat:1","offset":7,"user":"u1"},"sender":"u2","standing":{"room":"sms:1:2","unread":1,"opted_out":true},"outgoing":{"room":"sms:1:2","id":"m","from":"1","to":"2","body":"b","media":["u"],"callback":"c"}}},{"read":{"room":"chat:1","through":7}}]}}"#.to_owned(),
            ),
            (
                Request::Deliver { parcels: of_lines() },
                format!(r#"{{"deliver":{{"parcels":[{{"standing":{{"room":"sms:1:2","unread":1,"opted_out":true}}}},{{"report":{{"id":"m","reports":[{{"sid":"{SID}","status":"waiting","error_code":1,"error_message":"e"}}],"asking":true}}}},{{"settled":{{"room":"sms:1:2","id":"m"}}}},{{"line":{{"number":"1","listed":true}}}}]}}}}"#),
            ),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), json);
            let back: Request = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&back).unwrap(), json);
        }
        let connect = Connect {
            caller: caller(),
            since: Some("e:1".to_owned()),
            batch: true,
        };
        let json = format!(
            r#"{{"caller":{{"claims":{claims},"access":"if_member"}},"since":"e:1","batch":true}}"#
        );
        assert_eq!(serde_json::to_string(&connect).unwrap(), json);
        assert_eq!(serde_json::from_str::<Connect>(&json).unwrap(), connect);
        let mut named = connect;
        named.caller.claims.name = Some("Zoë 👍".to_owned());
        let header = to_header(&named);
        assert!(header.is_ascii() && header.contains(r"Zo\u00eb \ud83d\udc4d"));
        assert_eq!(serde_json::from_str::<Connect>(&header).unwrap(), named);
    }

    const SAID: &str = include_str!("../../../tests/vectors/wire.json");

    /// The same with a field more in each object of ours; arguments are others'. One that is `tagged` says
    /// by its one key which of several things it is: there a new one is no field.
    fn with_more(json: &Json, tagged: bool) -> Json {
        let items = |items: &Vec<Json>, tagged| {
            Json::Array(items.iter().map(|item| with_more(item, tagged)).collect())
        };
        match json {
            Json::Object(fields) => {
                let more = fields.iter().map(|(name, value)| {
                    let value = match (name.as_str(), value) {
                        ("args" | "page" | "people", value) => value.clone(),
                        ("ops" | "notices" | "parcels" | "answers", Json::Array(all)) => {
                            items(all, true)
                        }
                        (_, value) => with_more(value, false),
                    };
                    (name.clone(), value)
                });
                let mut more: serde_json::Map<String, Json> = more.collect();
                if !tagged {
                    more.insert("later".to_owned(), serde_json::json!({"x": [1, null]}));
                }
                Json::Object(more)
            }
            Json::Array(all) if !tagged => items(all, false),
            other => other.clone(),
        }
    }

    fn understood<T: Serialize + DeserializeOwned>(kind: &str) {
        let said: Json = serde_json::from_str(SAID).unwrap();
        let said = said[kind].as_array().unwrap();
        assert!(!said.is_empty(), "{kind}");
        let tagged = ["requests", "recovered"].contains(&kind);
        for json in said {
            for json_there in [json.clone(), with_more(json, tagged)] {
                let text = json_there.to_string();
                let value: T = read(&text).unwrap_or_else(|_| panic!("{kind}: {text}"));
                // All of it is understood, and nothing else made of it.
                assert_eq!(serde_json::to_value(&value).unwrap(), *json, "{text}");
            }
        }
    }

    #[test]
    fn what_an_object_of_the_version_before_says_is_understood_and_what_nobody_knows_is_unavailable()
     {
        understood::<Request>("requests");
        understood::<Connect>("connect");
        understood::<EngineRequest>("engine");
        understood::<Published>("delivered");
        understood::<LinkAnswers>("linked");
        understood::<Pushed>("pushed");
        understood::<Recovered>("recovered");
        understood::<Membership>("member");
        understood::<Recorded>("recorded");
        understood::<Lines>("all_lines");
        understood::<Unread>("all_unread");
        understood::<Queued>("queued");
        for later in [
            r#"{"tomorrow":{"a":1}}"#,
            r#""tomorrow""#,
            r#"{"deliver":{"parcels":[{"tomorrow":{}}]}}"#,
            r#"{"link":{"from":"lobby:0","ops":[{"tomorrow":{}}]}}"#,
            r#"{"push":{"room":"chat:1","epoch":"e","notices":[{"tomorrow":{}}]}}"#,
            r#"{"history":{"limit":1}}"#,
            "",
        ] {
            let refusal = read::<Request>(later).map(drop).unwrap_err();
            assert_eq!(refusal.code, Code::Unavailable, "{later}");
        }
    }
}
