//! What happens to an object, and what it wants done: plain values, nothing else.

use std::rc::Rc;

use crate::{
    auth::{Claims, TokenError, Unverified},
    engine_io,
    error::Refusal,
    event_webhook::Post,
    hub::{Attachment, ConnectionId, DisconnectReason, Flush, RequestId},
    metrics::Recovery,
    names::{RoomName, Timestamp},
    namespaces,
    room::{Delivery, Job},
    storage::{self, Sql, StorageError},
    twilio::rest::{Answer, Call},
    wire::{Access, Caller, Connect, EngineRequest, Membership, Pushed, Recovered, Request},
};

/// A question of this object's to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Which messages the runtime answers by itself, on all WebSockets of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoResponse {
    /// Plain sockets' `ping` with `pong`.
    Plain,
    /// Engine.IO's pong with a noop.
    Engine,
}

impl AutoResponse {
    /// The message and its answer.
    pub const fn pair(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("ping", "pong"),
            Self::Engine => ("3", "6"),
        }
    }
}

/// The answer to a polling request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// A payload.
    Payload(String),
    /// What was sent is taken.
    Ok,
    /// Engine.IO's error.
    Error(engine_io::Error),
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A plain WebSocket wants in.
    Open {
        /// The upgrade request.
        request: RequestId,
        /// Who, and how.
        connect: Box<Connect>,
    },
    /// A text frame.
    Text {
        /// From whom.
        connection: ConnectionId,
        /// What.
        text: String,
    },
    /// A binary frame.
    Binary {
        /// From whom.
        connection: ConnectionId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A request at `/socket.io/`.
    Engine {
        /// The request.
        request: RequestId,
        /// How it came.
        engine: Box<EngineRequest>,
        /// Its body.
        body: String,
    },
    /// Another object answered an [`Output::Ask`], or did not.
    Answered {
        /// Which question.
        call: CallId,
        /// The answer's JSON; none if there was none, or a refusal.
        answer: Option<String>,
    },
    /// The runtime has checked [`Output::Verify`]'s token.
    Verified {
        /// Which.
        call: CallId,
        /// Whose it is, or what is wrong with it.
        verdict: Result<Claims, TokenError>,
    },
    /// A socket is closed.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// The Worker or another Room asks.
    Request {
        /// The request.
        request: RequestId,
        /// What it asks.
        body: Box<Request>,
    },
    /// Whoever was brought something ([`Output::Deliver`], [`Output::Post`]) has answered, or has not.
    Delivered {
        /// What was delivered.
        delivery: Delivery,
        /// Whether it has arrived.
        delivered: bool,
    },
    /// The machine before this one is lost, while things were under way. Whether what it brought out of the
    /// outbox has arrived is not known, and it may be what ended it.
    Interrupted {
        /// Those rooms to which somebody was on their way, or from there ([`Output::Moves`]).
        rooms: Vec<RoomName>,
    },
    /// Twilio has answered [`Output::Twilio`], or has not.
    Twilio {
        /// What was done.
        job: Job,
        /// The answer; none after a time-out, or where there was no connection.
        answer: Option<Answer>,
    },
    /// The timer that [`Output::Wake`] asked for.
    Timer,
    /// The answer to [`Output::Measure`]: how many bytes the runtime holds for each of the WebSockets.
    Measured(Vec<(ConnectionId, usize)>),
    /// The alarm that [`Output::Wake`] asked for.
    Alarm {
        /// When the runtime last answered each WebSocket by itself.
        heard: Vec<(ConnectionId, Timestamp)>,
    },
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Output {
    /// Answer the upgrade with 101 and keep the socket with this attachment.
    Accept {
        /// The upgrade request.
        request: RequestId,
        /// What to keep with it.
        attachment: Attachment,
        /// Whether the object can hibernate with it; where timers keep it awake anyway, the socket is
        /// accepted the ordinary way.
        hibernates: bool,
    },
    /// Keep this attachment instead.
    Attach(Attachment),
    /// Send frames.
    Send(Flush),
    /// Close a socket.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: DisconnectReason,
    },
    /// Answer a request with JSON, or with a problem.
    Reply {
        /// Which.
        request: RequestId,
        /// With what.
        answer: Result<String, Refusal>,
    },
    /// Answer a polling request.
    Poll {
        /// Which.
        request: RequestId,
        /// With what.
        answer: Polled,
    },
    /// Have the runtime answer these by itself from now on.
    AutoResponse(AutoResponse),
    /// Say how many bytes the runtime still holds of what these were sent ([`Input::Measured`]).
    Measure(Vec<ConnectionId>),
    /// Ask another object, and say what it answered ([`Input::Answered`]).
    Ask {
        /// Which question.
        call: CallId,
        /// Whom.
        object: RoomName,
        /// The JSON of a [`Request`].
        body: Rc<str>,
    },
    /// Check a token that a public key is to have signed, and say whose it is ([`Input::Verified`]).
    Verify {
        /// Which.
        call: CallId,
        /// The token.
        token: Unverified<'static>,
    },
    /// Who is on this wire waits for an answer that this machine alone knows of, or no longer. Who does when
    /// the machine is lost, as in a panic, is to be closed with
    /// [`ServerRestarting`](DisconnectReason::ServerRestarting). That a wire is closed is not said.
    Awaits {
        /// Which.
        connection: ConnectionId,
        /// Whether they wait.
        awaits: bool,
    },
    /// Sockets are on their way into this room elsewhere, which keeps presence, or out of it, of which this machine alone knows; or no longer.
    /// Where it is lost meanwhile, the next one must hear of it ([`Input::Interrupted`]).
    Moves {
        /// Which.
        room: RoomName,
        /// Whether they are.
        under_way: bool,
    },
    /// Bring these to another room, and say how it went ([`Input::Delivered`]).
    Deliver {
        /// To whom.
        room: RoomName,
        /// What.
        delivery: Delivery,
    },
    /// Bring this to a backend, and say how it went ([`Input::Delivered`]).
    Post(Post),
    /// Ask Twilio, and say what it answered ([`Input::Twilio`]).
    Twilio {
        /// What is done.
        job: Job,
        /// The request.
        call: Call,
    },
    /// Wake the object: by a timer in memory, by an alarm. Only what changed is said.
    Wake {
        /// At most [`MAX_TIMER_MS`](crate::limits::MAX_TIMER_MS) away.
        timer: Option<Timestamp>,
        /// Survives anything.
        alarm: Option<Timestamp>,
    },
}

impl Input {
    /// Whether it is but time that has passed.
    pub(super) const fn is_clock(&self) -> bool {
        matches!(self, Self::Timer | Self::Measured(_) | Self::Alarm { .. })
    }

    /// What someone is told who asks a room that nobody has used yet for what only its members get.
    /// It has none, so it need not be made: names that strangers try cost no storage.
    fn refused_by_nobody(&self) -> Option<Output> {
        let no = |caller: &Caller| {
            (caller.access == Access::IfMember).then(|| Err(namespaces::not_yours()))
        };
        if let Self::Engine {
            request, engine, ..
        } = self
        {
            let request = *request;
            let answer = Polled::Error(engine_io::Error::SessionIdUnknown);
            return engine
                .sid
                .is_some()
                .then_some(Output::Poll { request, answer });
        }
        let (request, answer) = match self {
            Self::Open { request, connect } => (request, no(&connect.caller)?),
            Self::Request { request, body } => (
                request,
                match &**body {
                    Request::Event { caller, .. }
                    | Request::History { caller, .. }
                    | Request::Presence { caller } => no(caller)?,
                    Request::Messages { caller, .. } if caller.access != Access::IfMember => {
                        Ok(r#"{"messages":[]}"#.to_owned())
                    }
                    Request::Latest { caller } if caller.access != Access::IfMember => {
                        Err(super::requests::no_status())
                    }
                    Request::Messages { caller, .. } | Request::Latest { caller } => no(caller)?,
                    Request::Notifications { .. } => {
                        Ok(r#"{"notifications":[],"unread":0}"#.to_owned())
                    }
                    Request::Conversations { caller, .. }
                    | Request::AssignConversation { caller, .. }
                        if caller.access == Access::IfMember =>
                    {
                        no(caller)?
                    }
                    Request::Status { .. } => Ok("{}".to_owned()),
                    Request::Lines => Ok(r#"{"lines":[]}"#.to_owned()),
                    Request::Unread => Ok(r#"{"unread":0}"#.to_owned()),
                    Request::Backup { .. } => {
                        Err(Refusal::not_found("nobody has used this room yet"))
                    }
                    Request::IsMember { .. } => Ok(Membership { member: false }.to_json()),
                    Request::Push { .. } | Request::News(_) => {
                        Ok(Pushed { linked: false }.to_json())
                    }
                    Request::Recover(_) => Ok(Recovered::Over(Recovery::Unknown).to_json()),
                    Request::Administer(_) => Ok("{}".to_owned()),
                    _ => return None,
                },
            ),
            _ => return None,
        };
        Some(Output::Reply {
            request: *request,
            answer,
        })
    }
}

/// The answers to these inputs if the room does not exist and none of them is a reason to make it.
pub fn answer_without_room(
    sql: &dyn Sql,
    inputs: &[Input],
) -> Result<Option<Vec<Output>>, StorageError> {
    let refused: Option<Vec<Output>> = inputs.iter().map(Input::refused_by_nobody).collect();
    match refused {
        Some(outputs) if !storage::exists(sql)? => Ok(Some(outputs)),
        _ => Ok(None),
    }
}
