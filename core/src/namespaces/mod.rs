//! Kinds of rooms: who may join, which events clients send, what they mean.
//!
//! A [`Kind`] is what a room is, wherever its sockets are; a [`Namespace`] is what Socket.IO clients
//! speak. Both are one file, and one line in [`kind_of`] and [`namespace_of`] that registers them. A
//! kind that no module claims is a relay. They decide; the room and the hub carry out.

pub mod admin;
mod analytics;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod board;
mod chat;
#[cfg(feature = "conformance")]
mod conformance;
mod inbox;
mod internal;
mod jobs;
mod line;
pub mod namespace;
mod notifications;
mod relay;
mod sms;
mod ticket;
mod user;

use serde::Serialize;

pub use analytics::EVENT_TYPES as ANALYTICS_EVENTS;
pub use jobs::STATUS_CHANGED as JOB_STATUS_CHANGED;
pub use namespace::{Action, Client, Emitted, Namespace, Offer};
pub use notifications::{READ as NOTIFICATION_READ, RECEIVED as NOTIFICATION};
pub use sms::line_room_of;

use crate::{
    auth::Claims,
    error::Refusal,
    event::{Args, Publication},
    names::{Epoch, NameError, Offset, RoomName, Timestamp, UserId},
    twilio::inbound::OptOut,
    wire::{Access, Audience},
};

/// What the policy says of someone who wants to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Yes, or yes if the room has them as a member.
    Granted(Access),
    /// Yes, if that other room has them as a member.
    IfMemberOf(RoomName),
    /// No.
    Refused,
}

/// What a kind sees of a client's event.
#[derive(Debug)]
pub struct Context<'a> {
    /// The room.
    pub room: &'a RoomName,
    /// Who sends.
    pub user: &'a UserId,
    /// The sender's role.
    pub role: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
    /// The room's epoch.
    pub epoch: &'a Epoch,
    /// The offset that a publication would get.
    pub next_offset: Offset,
}

/// An event that a kind wants published.
#[derive(Debug, Default)]
pub struct Publish {
    /// Its name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
    /// Whether the sender gets it too, besides the ack.
    pub to_sender: bool,
    /// The id that the sender's own message id stands for, where the payload has one.
    pub client_id: Option<String>,
    /// It tells of a message to a contact that its sender has sent already: nothing, if the room knows
    /// of it.
    pub announces: Option<Announced>,
}

/// A message that a client says it has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Its id, if it was sent by us.
    pub id: Option<String>,
    /// The hash of its text.
    pub hash: String,
}

/// What a publication does to what its room keeps, besides the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// It is what those are told who come in later.
    Latest,
    /// It is a notification of this id, kept until it is read.
    Notify(String),
    /// The notification of this id has been read.
    Read(String),
    /// All notifications have been read and are listed no more.
    Clear,
    /// A contact has written, and perhaps says whether they want to be written to.
    Heard(Option<OptOut>),
}

/// How Socket.IO clients hear that somebody came or went.
#[derive(Debug)]
pub enum Presence {
    /// As `presence_diff`.
    Diff,
    /// As an event of the kind's own.
    Event(&'static str, Args),
    /// Not at all.
    Silent,
}

/// A kind of room. All its methods are pure.
pub trait Kind: Sync {
    /// The Socket.IO namespace that serves it.
    fn namespace(&self) -> &'static str {
        "/"
    }

    /// Another one that does.
    fn other_namespace(&self) -> Option<&'static str> {
        None
    }

    /// In which of them an event is heard, if nothing else is said.
    fn namespace_for(&self, _event: &str) -> &'static str {
        self.namespace()
    }

    /// Who may join. Default deny: nothing is granted that this does not say.
    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission;

    /// Whether it is known who is in a room.
    fn keeps_presence(&self) -> bool {
        true
    }

    /// The kind's own server events, which clients may not send.
    fn server_events(&self) -> &'static [&'static str] {
        &[]
    }

    /// A client's event, other than those that work in every room (`typing`, `mark_read`, `refresh`).
    fn client_event(&self, _: &Context<'_>, event: &str, _args: &Args) -> Result<Publish, Refusal> {
        Err(Refusal::new(
            crate::error::Code::UnknownEvent,
            format!("`{event}` is not an event that clients send in this kind of room"),
        ))
    }

    /// The payload of `user_typing`.
    fn user_typing(&self, room: &RoomName, user: &UserId, is_typing: bool) -> Args {
        Args::of(&UserTyping {
            user_id: user,
            room: room.as_str(),
            is_typing,
        })
    }

    /// The payload of `messages_read`.
    fn messages_read(&self, room: &RoomName, user: &UserId, offset: Offset) -> Args {
        Args::of(&MessagesRead {
            user_id: user,
            room: room.as_str(),
            offset,
        })
    }

    /// The id of the publication at `offset`, where the kind's payload has one.
    fn message_id(&self, _event: &str, _epoch: &Epoch, _offset: Offset) -> Option<String> {
        None
    }

    /// How the others hear that somebody came (`true`) or went.
    fn came_or_went(&self, _room: &RoomName, _user: &UserId, _came: bool) -> Presence {
        Presence::Diff
    }

    /// What a publication does to what the room keeps.
    fn effect(&self, _event: &str, _args: &Args) -> Effect {
        Effect::None
    }

    /// Whether there is a list of such rooms for those who are its members, and one of all.
    fn is_listed(&self) -> bool {
        false
    }

    /// Which other rooms hear of a publication, once it is committed.
    fn passes_on_to(&self, _room: &RoomName, _publication: &Publication) -> PassOn {
        PassOn::Nobody
    }
}

/// Where a publication goes after its own room.
#[derive(Debug, Clone)]
pub enum PassOn {
    /// Nowhere.
    Nobody,
    /// To one room.
    Room(RoomName),
    /// To the line that this is a conversation of, with how it stands.
    Line(RoomName),
    /// To the own rooms of all the room's members, and of whoever sent it.
    OwnRooms,
    /// As this notification to the own rooms of those members who are not here and did not send it.
    NotifyAbsentMembers(Args),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserTyping<'a> {
    user_id: &'a UserId,
    room: &'a str,
    is_typing: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessagesRead<'a> {
    user_id: &'a UserId,
    room: &'a str,
    offset: Offset,
}

/// The register of namespaces: one line each.
pub fn namespace_of(name: &str) -> Option<&'static dyn Namespace> {
    #[cfg(feature = "conformance")]
    if let Some(namespace) = conformance::namespace_of(name) {
        return Some(namespace);
    }
    Some(match name {
        "/" => &inbox::Inbox,
        "/chat" => &chat::Chat,
        "/jobs" => &jobs::Jobs,
        "/notifications" => &notifications::Notifications,
        "/analytics" => &analytics::Analytics,
        "/admin" => &admin::Admin,
        #[cfg(test)]
        "/asking" => &asking::Asking,
        #[cfg(test)]
        "/board" => &board::Board,
        _ => return None,
    })
}

/// The names of those that people connect to.
const NAMESPACES: [&str; 6] = [
    "/",
    "/chat",
    "/jobs",
    "/notifications",
    "/analytics",
    "/admin",
];

/// Where else a user is disconnected whose connections to `room` are: their own room stands for all of
/// their sockets, in every namespace.
pub fn disconnects_too(room: &RoomName, user: Option<&UserId>) -> Vec<RoomName> {
    let is_own = user.is_some_and(|user| RoomName::user(user).as_ref() == Ok(room));
    let namespaces = NAMESPACES.iter().filter(|_| is_own);
    namespaces
        .filter_map(|name| RoomName::everyone(name).ok())
        .collect()
}

/// Whether the sockets of `namespace` watch all others.
pub fn watches(namespace: &str) -> bool {
    namespace_of(namespace).is_some_and(Namespace::watches)
}

/// In which namespace's sockets a room's event for this audience is heard.
pub fn heard_in<'a>(room: &RoomName, event: &str, audience: &'a Audience) -> &'a str {
    let named = audience.namespace.as_deref();
    named.unwrap_or_else(|| kind_of(room).namespace_for(event))
}

/// The register of kinds: one line each.
pub fn kind_of(room: &RoomName) -> &'static dyn Kind {
    match room.kind() {
        "user" => &user::User,
        "admin" | "admins" => &user::Admin,
        "chat" => &chat::Chat,
        "ticket" => &ticket::Ticket,
        "job" => &jobs::Jobs,
        "brand" => &analytics::Analytics,
        "line" => &line::Line,
        #[cfg(test)]
        "board" => &board::Board,
        "sms" => &sms::Sms,
        "lobby" | "all" => &internal::Internal,
        _ => &relay::Relay,
    }
}

/// Whether a room's Socket.IO clients hear who came and went as diffs of what they were told when they
/// came in.
pub fn tells_diffs(room: &RoomName, user: &UserId) -> bool {
    let kind = kind_of(room);
    kind.keeps_presence() && matches!(kind.came_or_went(room, user, true), Presence::Diff)
}

/// Whether they are told who is here when they come in. Where they are not, the list is not made for each
/// of them: in a room of many that would be most of the work.
pub fn tells_people(room: &RoomName, user: &UserId) -> bool {
    kind_of(room).namespace() == "/" || tells_diffs(room, user)
}

/// Whether Socket.IO clients of `namespace` may be in `room`.
pub fn serves(room: &RoomName, namespace: &str) -> bool {
    let kind = kind_of(room);
    kind.namespace() == namespace || kind.other_namespace() == Some(namespace)
}

/// What `claims` may do in `room`; the one question that every route and event asks.
pub fn admit(claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
    kind_of(room).admit(claims, room, open_kinds)
}

/// The same for reading a room's history, which role `admin` may wherever one can join at all.
pub fn admit_reader(claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
    if claims.has_role("admin") && !is_internal(room) {
        return Admission::Granted(Access::Read);
    }
    admit(claims, room, open_kinds)
}

/// A room that nobody joins by name.
pub fn is_internal(room: &RoomName) -> bool {
    matches!(room.kind(), "lobby" | "all")
}

/// The refusal for [`Admission::Refused`] and for those who turn out not to be members.
pub fn not_yours() -> Refusal {
    Refusal::forbidden("the token does not give access to this room")
}

/// A room's name from a client: well formed, and not internal.
pub fn room_from_client(name: &str) -> Result<RoomName, Refusal> {
    let room = RoomName::parse(name)
        .map_err(|error: NameError| Refusal::bad_request(error.to_string()))?;
    if is_internal(&room) {
        Err(not_yours())
    } else {
        Ok(room)
    }
}

/// What the token's own grants say of a room.
fn by_grant(claims: &Claims, room: &RoomName) -> Option<Admission> {
    if claims.grants_send(room) {
        Some(Admission::Granted(Access::Full))
    } else if claims.grants_join(room) {
        Some(Admission::Granted(Access::Read))
    } else {
        None
    }
}

/// By grant, else by the kind being open to all, else by membership.
fn by_grant_open_or_member(claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
    let open = open_kinds.iter().any(|kind| kind == room.kind());
    match by_grant(claims, room) {
        Some(Admission::Granted(Access::Full)) => Admission::Granted(Access::Full),
        _ if open => Admission::Granted(Access::Full),
        Some(admission) => admission,
        None => Admission::Granted(Access::IfMember),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Grant;

    #[test]
    fn a_user_s_own_room_stands_for_every_namespace() {
        for name in NAMESPACES {
            assert_eq!(namespace_of(name).map(Namespace::name), Some(name));
        }
        // `/asking` and `/board` are the tests'.
        let arms = include_str!("mod.rs").lines().map(str::trim_start);
        let arms = arms.filter(|line| line.starts_with("\"/") && line.contains("=> &"));
        assert_eq!(arms.count(), NAMESPACES.len() + 2);
        let (ann, bob) = (UserId::text("ann").unwrap(), UserId::text("bob").unwrap());
        for (room, user, expected) in [
            ("user:ann", Some(&ann), NAMESPACES.len()),
            ("user:ann", Some(&bob), 0),
            ("user:ann", None, 0),
            ("chat:ann", Some(&ann), 0),
        ] {
            let room = RoomName::parse(room).unwrap();
            assert_eq!(
                disconnects_too(&room, user).len(),
                expected,
                "{room} {user:?}"
            );
        }
    }

    fn claims(user: &str, role: &str, rooms: &[&str], rooms_read: &[&str]) -> Claims {
        let grants = |list: &[&str]| list.iter().map(|g| Grant::parse(g).unwrap()).collect();
        Claims {
            user: UserId::text(user).unwrap(),
            name: None,
            role: (!role.is_empty()).then(|| role.to_owned()),
            rooms: grants(rooms),
            rooms_read: grants(rooms_read),
            expires_at: Timestamp(0),
        }
    }

    #[test]
    fn the_readme_shows_the_example_as_it_is() {
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(include_str!("board.rs").trim_end()));
    }

    #[test]
    fn who_may_join() {
        use Access::{Full, IfMember, Read};
        use Admission::{Granted, IfMemberOf, Refused};
        let line = || RoomName::parse("line:+1555").unwrap();
        let whatsapp = || RoomName::parse("line:whatsapp:+1555").unwrap();
        let open = vec!["ticket".to_owned(), "line".to_owned(), "user".to_owned()];
        for (room, user, role, rooms, rooms_read, expected) in [
            // a user's own room, and nobody else's, whatever the grant
            ("user:u1", "u1", "", vec![], vec![], Granted(Full)),
            ("user:u1", "u2", "", vec!["*"], vec![], Refused),
            ("user:u1", "u2", "admin", vec![], vec![], Refused),
            ("admin:u1", "u1", "admin", vec![], vec![], Granted(Full)),
            ("admin:u1", "u1", "", vec!["*"], vec![], Refused),
            ("admin:u1", "u2", "admin", vec![], vec![], Refused),
            ("admins:all", "u1", "admin", vec![], vec![], Granted(Full)),
            ("admins:all", "u1", "lsm", vec!["admins:*"], vec![], Refused),
            // chats: members, a grant, admin or lsm
            ("chat:1", "u1", "", vec![], vec![], Granted(IfMember)),
            ("chat:1", "u1", "lsm", vec![], vec![], Granted(Full)),
            ("chat:1", "u1", "admin", vec![], vec![], Granted(Full)),
            ("chat:1", "u1", "", vec!["chat:1"], vec![], Granted(Full)),
            ("chat:1", "u1", "", vec![], vec!["chat:*"], Granted(Read)),
            (
                "chat:1",
                "u1",
                "",
                vec!["chat:2"],
                vec![],
                Granted(IfMember),
            ),
            // open kinds
            ("ticket:1", "u1", "", vec![], vec![], Granted(Full)),
            (
                "ticket:1",
                "u1",
                "",
                vec![],
                vec!["ticket:*"],
                Granted(Full),
            ),
            ("job:1", "u1", "", vec![], vec![], Granted(IfMember)),
            ("job:1", "u1", "admin", vec![], vec![], Granted(IfMember)),
            // lines and their conversations; OPEN_KINDS cannot open them
            ("line:+1555", "u1", "", vec![], vec![], Granted(IfMember)),
            ("line:+1555", "u1", "admin", vec![], vec![], Granted(Full)),
            (
                "line:+1555",
                "u1",
                "",
                vec![],
                vec!["line:+1555"],
                Granted(Read),
            ),
            (
                "sms:+1555:+1666",
                "u1",
                "",
                vec![],
                vec![],
                IfMemberOf(line()),
            ),
            (
                "sms:whatsapp:+1555:+1666",
                "u1",
                "",
                vec![],
                vec![],
                IfMemberOf(whatsapp()),
            ),
            (
                "sms:+1555:+1666",
                "u1",
                "admin",
                vec![],
                vec![],
                Granted(Full),
            ),
            (
                "sms:+1555:+1666",
                "u1",
                "",
                vec!["line:+1555"],
                vec![],
                Granted(Full),
            ),
            (
                "sms:+1555:+1666",
                "u1",
                "",
                vec!["sms:+1555:*"],
                vec![],
                Granted(Full),
            ),
            ("sms:odd", "u1", "admin", vec![], vec![], Refused),
            // relays
            ("demo:1", "u1", "", vec![], vec![], Granted(IfMember)),
            ("demo:1", "u1", "", vec!["demo:*"], vec![], Granted(Full)),
            (
                "demo:1",
                "u1",
                "",
                vec!["demo:1"],
                vec!["demo:*"],
                Granted(Full),
            ),
            ("demo:1", "u1", "", vec![], vec!["*"], Granted(Read)),
            // nobody, ever
            (
                "lobby:0",
                "u1",
                "admin",
                vec!["*", "lobby:*"],
                vec![],
                Refused,
            ),
            ("all:chat", "u1", "service", vec!["*"], vec![], Refused),
        ] {
            let room = RoomName::parse(room).unwrap();
            let who = claims(user, role, &rooms, &rooms_read);
            assert_eq!(
                admit(&who, &room, &open),
                expected,
                "{room} {user} {role} {rooms:?}"
            );
        }
    }

    #[test]
    fn an_admin_reads_any_history_but_the_internal_rooms() {
        let admin = claims("a", "admin", &[], &[]);
        let demo = RoomName::parse("demo:1").unwrap();
        assert_eq!(
            admit_reader(&admin, &demo, &[]),
            Admission::Granted(Access::Read)
        );
        let lobby = RoomName::parse("lobby:1").unwrap();
        assert_eq!(admit_reader(&admin, &lobby, &[]), Admission::Refused);
    }
}
