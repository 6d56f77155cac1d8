//! What goes over a link: between the object that holds a Socket.IO socket (a lobby, or another
//! room) and the Room that the socket has joined.
//!
//! ```text
//! lobby → room   Request::Link { from, number, at, holds, ops }  answered by LinkAnswers: one for each op, and notices
//! room → lobby   Request::Push { room, epoch, number, notices }  answered by Pushed
//! lobby → lobby  Request::Recover { … }                          answered by Recovered
//! ```
//!
//! Each direction has one request under way at most, so what it carries is in order. Only a machine that
//! storage takes away leaves one behind that nobody waits for, and it may arrive after those of the next
//! machine: their numbers are higher, and it is overtaken (README, "Simulated"). The notices of the
//! turn in which a room answers a lobby come with the answer, where no push is under way: a message
//! then takes one request for each lobby, its sender's among them. Answers and pushes may overtake each
//! other, so an answer brings publications alone: their offsets tell.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Accepted, Access};
use crate::{
    auth::Claims,
    error::Refusal,
    event::{Args, Publication},
    limits::CALL_TIMEOUT_MS,
    metrics::Recovery,
    names::{Epoch, Offset, RoomName, StreamPosition, Timestamp, UserId},
};

/// The least number of a request that is sent now. A machine's numbers rise, so a number tells when its
/// request was sent.
pub const fn numbers_from(now: Timestamp) -> u64 {
    now.0.saturating_mul(NUMBERS_PER_MS)
}

/// The number below those of a machine that is built now: anywhere in the first half of its millisecond, so
/// that it has none that a machine before it had.
pub const fn before_numbers_of(now: Timestamp, random: u64) -> u64 {
    numbers_from(now).saturating_add(random % (NUMBERS_PER_MS / 2))
}

const NUMBERS_PER_MS: u64 = 1_000_000;

/// When the newest of the requests was sent that came one way over a link.
#[derive(Debug, Default)]
pub struct Newest(u64);

impl From<Timestamp> for Newest {
    fn from(sent_at: Timestamp) -> Self {
        Self(sent_at.0)
    }
}

impl Newest {
    /// As it is stored, and read again.
    pub const fn sent_at(&self) -> Timestamp {
        Timestamp(self.0)
    }

    /// Whether the request of this number, if it has one, arrives after one that was sent later. One that is
    /// older than any request gets is none such: a clock was set back.
    pub fn is_overtaken(&self, number: Option<u64>) -> bool {
        let sent = number.map(|number| number / NUMBERS_PER_MS);
        let behind = sent.map(|sent| self.0.saturating_sub(sent));
        behind.is_some_and(|behind| (1..=2 * CALL_TIMEOUT_MS).contains(&behind))
    }

    /// The request of this number has arrived, and was not overtaken.
    pub const fn arrived(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            self.0 = number / NUMBERS_PER_MS;
        }
    }
}

/// What a lobby asks of a room, for one of its sockets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A socket joins.
    Join {
        /// Whose it is.
        user: UserId,
        /// The user's name, to show.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What the policy said.
        access: Access,
        /// Where the socket was before it was cut: what came since is wanted too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<StreamPosition>,
        /// Whether it wants to know who and what is here.
        people: bool,
        /// The lobby knows of no other socket of its in the room: whoever it held there before is
        /// gone. It may have crashed before it heard of their joins.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        first: bool,
    },
    /// The lobby's last socket of this user has left.
    Leave {
        /// Who.
        user: UserId,
        /// Whether it was cut, and may be back in a moment.
        grace: bool,
        /// The lobby has no socket here any more: the link ends.
        last: bool,
    },
    /// A socket sends an event.
    Event {
        /// Whose token it is, without the grants.
        claims: Box<Claims>,
        /// What that gave when the socket joined.
        access: Access,
        /// The event's name.
        event: String,
        /// Its arguments.
        args: Args,
        /// The sender's message id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Which socket.
        socket: String,
    },
    /// A socket asks everyone else in the room.
    Ask {
        /// What the socket may do there.
        access: Access,
        /// The question.
        question: Question,
        /// Which socket.
        socket: String,
        /// What the socket's namespace calls it.
        tag: String,
    },
    /// What the lobby's sockets said to [`Notice::Ask`].
    Answers {
        /// Which question.
        ask: u64,
        /// The arguments of each ack.
        answers: Vec<Args>,
    },
    /// The lobby noticed a gap and wants what it missed.
    Pull {
        /// The last that it has.
        since: StreamPosition,
    },
}

/// An event whose acks are gathered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    /// The event's name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
    /// How long answers count.
    pub timeout_ms: u64,
}

/// A room's answer to one [`Op`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpAnswer {
    /// Joined, or pulled.
    Joined(Joined),
    /// Accepted.
    Accepted(Accepted),
    /// Nothing to say.
    Done,
    /// No.
    Refused(Refusal),
}

/// Where a room stands for somebody who came in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joined {
    /// The newest publication.
    pub position: StreamPosition,
    /// Who is here, as clients see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<Box<RawValue>>,
    /// What the room keeps for those who come in: a last status, unread notifications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// The socket was in the room already.
    #[serde(skip)]
    pub was_in: bool,
    /// What came after the `since` that was given; none where that cannot be given whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Vec<Publication>>,
}

impl Joined {
    /// At this position, and nothing else.
    pub fn at(position: StreamPosition) -> Self {
        Self {
            position,
            people: None,
            kept: Vec::new(),
            was_in: false,
            missed: None,
        }
    }
}

/// An event as it is told: what a room keeps for those who come in, what an admin hears and says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Its name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
}

/// The answers to the ops of one [`super::Request::Link`], in their order.
#[derive(Debug, Serialize, Deserialize)]
pub struct LinkAnswers {
    /// One for each.
    pub answers: Vec<OpAnswer>,
    /// What the lobby would else be told by a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// Notices, in order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    /// The room's life.
    pub epoch: Epoch,
    /// They.
    pub notices: Vec<Rc<Notice>>,
}

/// Who is to get an event that is not for all. Kept with it in the log: a recovery asks again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The Socket.IO sockets of this namespace; none for the one that the room's kind is served in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Not this socket: it sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except_socket: Option<String>,
    /// Not these users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_users: Vec<UserId>,
    /// Each of these rooms has a copy of it in its log; a Socket.IO socket gets that of the room which it
    /// joined first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<RoomName>,
    /// It was told in these rooms before, at these offsets: a Socket.IO socket that heard it there does
    /// not hear it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told_in: Vec<(RoomName, Offset)>,
}

impl Audience {
    /// Whether that is everyone.
    pub fn is_everyone(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `user`'s `socket` is to get it.
    pub fn has(&self, user: &UserId, socket: &str) -> bool {
        self.except_socket.as_deref() != Some(socket) && !self.except_users.contains(user)
    }
}

/// What a room tells the lobbies that are linked to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A publication.
    Publication(Rc<Publication>),
    /// A publication that stands for so many just before it too: only the latest matters.
    Latest(Rc<Publication>, u64),
    /// An event without a place in the log.
    Ephemeral {
        /// Its name.
        event: String,
        /// Its arguments.
        args: Args,
        /// Who gets it.
        audience: Audience,
    },
    /// A question to the sockets; what they say comes back as [`Op::Answers`].
    Ask {
        /// Which.
        ask: u64,
        /// The question.
        question: Question,
        /// Who is asked.
        audience: Audience,
    },
    /// What everyone said to a socket's question.
    Answered {
        /// Whose question it was.
        socket: String,
        /// What its namespace calls it.
        tag: String,
        /// The arguments of each ack.
        answers: Vec<Args>,
    },
    /// The newest offset, where the publications themselves could not be brought: they are pulled.
    Head(Offset),
    /// This user may not be here any more, if they are here on this ground alone.
    Expel {
        /// Who.
        user: UserId,
        /// The ground.
        ground: Access,
    },
    /// A backend disconnects this user's sockets in the room, or everyone's.
    Disconnect {
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    },
}

impl Notice {
    /// Whether an offset says where it belongs, so that it need not come in order.
    pub const fn has_place(&self) -> bool {
        matches!(
            self,
            Self::Publication(_) | Self::Latest(..) | Self::Head(_)
        )
    }

    /// Whether it must arrive even when it is late.
    pub const fn must_arrive(&self) -> bool {
        matches!(self, Self::Expel { .. } | Self::Disconnect { .. })
    }

    /// Whether it is brought again where it may not have arrived: what is lost of it nothing later makes
    /// good, and hearing it twice is as good as once.
    pub fn bears_repeating(&self) -> bool {
        self.must_arrive() || self.is_diff()
    }

    /// Whether it says who came and who went.
    pub fn is_diff(&self) -> bool {
        matches!(self, Self::Ephemeral { event, .. } if event == "presence_diff")
    }
}

/// The answer to a push, and to news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Whether the lobby has sockets in that room, or admins; if not, the link is no more.
    pub linked: bool,
}

/// A session that a client wants to go on with, asked of the object that held it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// The session's secret.
    pub pid: String,
    /// The last offset that the client saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// Whose token asks.
    pub user: UserId,
    /// In which namespace.
    pub namespace: String,
    /// Which object takes it over.
    pub to: RoomName,
    /// Even if it was given to another one, which does not have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub even_if_moved: bool,
}

/// What is left of a session for whoever goes on with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remains {
    /// The Socket.IO socket's id.
    pub sid: String,
    /// The number of the offset that the client came with, by the object that held it.
    pub number: u64,
    /// The rooms it was in.
    pub rooms: Vec<WasIn>,
    /// What was sent to it alone and has not arrived.
    pub missed: Vec<Direct>,
}

/// A room that a socket was in when it was cut.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WasIn {
    /// Which.
    pub room: RoomName,
    /// How far it had come there.
    pub position: StreamPosition,
    /// How it had come in.
    pub entry: Entry,
}

/// How a socket came into a room, which a cut does not change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// As its how manieth room it joined it.
    pub order: u64,
    /// The newest publication then.
    pub offset: Offset,
}

/// An event to one socket alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Direct {
    /// When it was sent.
    pub at: Timestamp,
    /// Its name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
}

/// The answer to [`Recover`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovered {
    /// There it is.
    Found(Box<Remains>),
    /// It went to that object.
    Moved(RoomName),
    /// There is nothing to go on with, for this reason. To an object of the version before it is no answer,
    /// and comes to the same.
    Over(Recovery),
    /// The same, of the version before.
    Gone,
}

impl Pushed {
    /// As it is answered.
    pub fn to_json(self) -> String {
        serde_json::to_string(&self).unwrap_or_default()
    }
}

impl Recovered {
    /// As it is answered.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_is_overtaken_until_nobody_can_wait_for_it() {
        let number = |ms| Some(numbers_from(Timestamp(1_000_000 + ms)));
        let mut newest = Newest::default();
        for (came, is_overtaken) in [
            (number(0), false),
            (None, false),
            (number(4_000), false),
            (number(4_000).map(|n| n + 7), false),
            (number(4_000), false),
            (number(3_999), true),
            (number(0), true),
            (number(4_001), false),
            (number(2 * CALL_TIMEOUT_MS + 4_001), false),
            (number(4_001), true),
            // The clock was set back.
            (number(4_000), false),
            (number(3_999), true),
            (number(4_001), false),
        ] {
            assert_eq!(newest.is_overtaken(came), is_overtaken, "{came:?}");
            if !is_overtaken {
                newest.arrived(came);
            }
        }
    }
}
