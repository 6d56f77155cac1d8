//! Socket.IO namespaces: what their clients send, and what that does.
//!
//! A namespace is written like the contract's table: one arm for each event, which says what is to
//! happen as [`Action`]s. The hub carries them out: it joins rooms wherever they are, waits for what
//! must be stored, and then answers the client's ack.

use super::Admission;
use crate::{
    auth::Claims,
    error::{Code, Refusal},
    event::Args,
    fields::Fields,
    limits::MAX_CLIENT_ID_LEN,
    names::{RoomName, Timestamp, UserId},
    wire::{Joined, Kept},
};

/// The client of a socket, as a namespace sees it.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Its token.
    pub claims: &'a Claims,
    /// The socket's id.
    pub socket: &'a str,
    /// The `auth` that it connected with, as JSON, while it connects.
    pub auth: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

impl Client<'_> {
    /// Whose socket it is.
    pub fn user(&self) -> &UserId {
        &self.claims.user
    }
}

/// Where a backend emits an event.
#[derive(Debug, Clone, Copy)]
pub struct Emitted<'a> {
    /// The room; everyone's, where it is for all.
    pub room: &'a RoomName,
    /// Whether it goes to that room alone.
    pub is_only: bool,
    /// Now.
    pub now: Timestamp,
    /// An id that nothing else has.
    pub fresh_id: &'a str,
}

/// What a namespace wants done.
#[derive(Debug, Clone)]
pub enum Action {
    /// The socket joins a room, if the room's kind lets it. Answered with `{ok, room, epoch, offset}`.
    Join(RoomName),
    /// The socket leaves a room. Answered with `{ok, room}`.
    Leave(RoomName),
    /// The room that the socket has joined is sent an event; the room's kind decides what comes of
    /// it. Answered with `{ok, id?, offset?, duplicate?}`.
    Send {
        /// The room.
        room: RoomName,
        /// The event's name.
        event: String,
        /// Its arguments.
        args: Args,
        /// Under this id of the sender's it is accepted once.
        id: Option<String>,
    },
    /// A room is sent an event that the socket need not have joined; where its client may not send
    /// there, another that it has joined is. Answered like [`Action::Send`].
    Offer(Offer),
    /// The socket itself is sent an event.
    Emit {
        /// The event's name.
        event: String,
        /// Its arguments.
        args: Args,
    },
    /// The same, if it can be sent now: a client that is still connecting, or whose polling has no GET
    /// waiting, never hears of it, nor does one that is cut and recovered. Socket.IO's `volatile`.
    EmitVolatile {
        /// The event's name.
        event: String,
        /// Its arguments.
        args: Args,
    },
    /// The socket's client is sent an event and asked for an ack, which comes back as
    /// [`Namespace::answered`] under the `tag`.
    Ask {
        /// The event's name.
        event: String,
        /// Its arguments.
        args: Args,
        /// How long an answer counts.
        timeout_ms: u64,
        /// What comes back with the answer.
        tag: String,
    },
    /// Everyone else in a room that the socket has joined is sent an event and asked for an ack. What
    /// came in time comes back as [`Namespace::answered_by_all`] under the `tag`.
    AskRoom {
        /// The room.
        room: RoomName,
        /// The event's name.
        event: String,
        /// Its arguments.
        args: Args,
        /// How long answers count.
        timeout_ms: u64,
        /// What comes back with the answers.
        tag: String,
    },
    /// The event's ack is answered with this, and not with `{ok: true}`.
    Ack(Args),
    /// This is done with other sockets, wherever they are.
    Administer(Kept),
}

/// An event for one room, or for another.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The room that it is for.
    pub room: RoomName,
    /// The room that it is for where the client may not send there.
    pub otherwise: RoomName,
    /// The event's name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
}

impl Action {
    /// The socket itself is sent an event of one argument.
    pub fn emit(event: &str, data: &impl serde::Serialize) -> Self {
        Self::Emit {
            event: event.to_owned(),
            args: Args::of(data),
        }
    }

    /// A room that the socket has joined is sent an event of one argument.
    pub fn send(room: RoomName, event: &str, data: &impl serde::Serialize) -> Self {
        Self::Send {
            room,
            event: event.to_owned(),
            args: Args::of(data),
            id: None,
        }
    }
}

/// A Socket.IO namespace. All its methods are pure.
pub trait Namespace: Sync {
    /// Its name, with the slash.
    fn name(&self) -> &'static str;

    /// Whether a client with this token may connect at all.
    fn may_connect(&self, _: &Claims) -> Result<(), Refusal> {
        Ok(())
    }

    /// In which words a client is refused.
    fn says_no<'a>(&self, refusal: &'a Refusal) -> &'a str {
        &refusal.message
    }

    /// Whether its sockets watch all others. They are in no room, not in everyone's either; one that was cut
    /// is not recovered but told all anew. The token may be in `auth.password`.
    fn watches(&self) -> bool {
        false
    }

    /// A client with a good token connects: the rooms that it is in from the start, and what it is
    /// told. CONNECT is answered once it is in those rooms.
    fn connect(&self, client: &Client<'_>) -> Vec<Action>;

    /// A client sends an event. An error is its ack's `{ok: false, error}`, or the event `error`.
    fn event(&self, client: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal>;

    /// Whether a client may join a room. The room's kind says it, unless the namespace has another door.
    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        super::admit(claims, room, open_kinds)
    }

    /// A backend emits an event: checks its payload, and fills in what may be missing.
    fn emitted(&self, _: &Emitted<'_>, _event: &str, args: Args) -> Result<Args, Refusal> {
        Ok(args)
    }

    /// The client is in a room that it asked for: what it is told after the ack.
    fn joined(&self, _client: &Client<'_>, room: &RoomName, joined: &Joined) -> Vec<Action> {
        presence_state(room, joined).into_iter().collect()
    }

    /// The client has left a room, or may not be there any more.
    fn left(&self, _client: &Client<'_>, _room: &RoomName) -> Vec<Action> {
        Vec::new()
    }

    /// The client is gone; only [`Action::Send`] still does something.
    fn disconnect(&self, _client: &Client<'_>) -> Vec<Action> {
        Vec::new()
    }

    /// A client's ack to [`Action::Ask`]; none if it did not come in time.
    fn answered(&self, _client: &Client<'_>, _tag: &str, _answer: Option<&Args>) -> Vec<Action> {
        Vec::new()
    }

    /// The acks to [`Action::AskRoom`], in the order in which they came.
    fn answered_by_all(&self, _client: &Client<'_>, _tag: &str, _answers: &[Args]) -> Vec<Action> {
        Vec::new()
    }

    /// Clients connect without a token. For the official suite's namespaces alone.
    fn is_open(&self) -> bool {
        false
    }
}

/// `presence_state` for someone who came in.
pub fn presence_state(room: &RoomName, joined: &Joined) -> Option<Action> {
    #[derive(serde::Serialize)]
    struct State<'a> {
        room: &'a str,
        users: &'a serde_json::value::RawValue,
    }
    let users = joined.people.as_deref()?;
    let room = room.as_str();
    Some(Action::emit("presence_state", &State { room, users }))
}

/// A room that an event's payload names.
pub fn room_in_payload(name: &str) -> Result<RoomName, Refusal> {
    super::room_from_client(name).map_err(|refusal| match refusal.code {
        Code::BadRequest => Refusal::invalid(refusal.message),
        _ => refusal,
    })
}

/// What the room keeps for those who come in.
pub fn kept(joined: &Joined) -> impl Iterator<Item = Action> {
    joined.kept.iter().map(|kept| Action::Emit {
        event: kept.event.clone(),
        args: kept.args.clone(),
    })
}

/// The room `{kind}:{id}` of the id that an event is about.
pub fn room_of_id(args: &Args, kind: &str, name: &str) -> Result<RoomName, Refusal> {
    let id = id_in(args, name)?;
    RoomName::new(kind, &id).map_err(|_| Refusal::invalid(format!("`{name}` is not a {kind}'s id")))
}

/// An id that is an event's one argument, or its field `name`; ids that are numbers elsewhere are text
/// here.
pub fn id_in(args: &Args, name: &str) -> Result<String, Refusal> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(i64),
    }
    let id = match args {
        Args::One(one) if one.get().starts_with('{') => {
            Fields::of(args)?.required(name, "an id")?
        }
        args => {
            let one = match args {
                Args::One(one) => serde_json::from_str(one.get()).ok(),
                Args::Array(_) => None,
            };
            one.ok_or_else(|| Refusal::invalid(format!("`{name}` must be an id")))?
        }
    };
    Ok(match id {
        Id::Text(id) => id,
        Id::Number(id) => id.to_string(),
    })
}

/// The refusal of an event that a namespace does not know.
pub fn unknown_event(namespace: &str, event: &str) -> Refusal {
    Refusal::new(
        Code::UnknownEvent,
        format!("`{event}` is not an event of {namespace}"),
    )
}

/// A client's own id of what it sends.
pub fn check_client_id(id: Option<String>, field: &str) -> Result<Option<String>, Refusal> {
    if id
        .as_ref()
        .is_some_and(|id| id.is_empty() || id.len() > MAX_CLIENT_ID_LEN)
    {
        return Err(Refusal::invalid(format!(
            "`{field}` must be 1 to {MAX_CLIENT_ID_LEN} bytes"
        )));
    }
    Ok(id)
}
