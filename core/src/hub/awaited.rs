//! Who waits for an answer that comes to this object's memory alone: to a join or an event that another
//! object was asked for, or of the runtime, which checks a token. Should the memory go before the answer is
//! there, they would wait for ever: they are sent away, come back and recover. A panic leaves no memory
//! to ask, so whoever holds the sockets is told of each change ([`Output::Awaits`](crate::object::Output)).

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::{
    ConnectionId,
    tally::{Tally, Token},
};
use crate::names::RoomName;

/// One who waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// An Engine.IO session, on whatever wire.
    Session(Rc<str>),
    /// A plain socket.
    Plain(ConnectionId),
}

/// That somebody waits for an answer, kept with what is known of the question.
pub type Wait = Token<Who>;

/// Those who wait.
#[derive(Debug, Default)]
pub struct Awaited {
    waits: Tally<Who>,
    /// Who waited at the end of the last turn, on which wire.
    told: BTreeMap<Who, ConnectionId>,
}

impl Awaited {
    /// Somebody waits, until this is dropped.
    pub fn wait(&self, who: Who) -> Wait {
        self.waits.token(who)
    }

    /// A session has another wire.
    pub fn moved(&self, sid: &Rc<str>) {
        self.waits.touch(Who::Session(Rc::clone(sid)));
    }

    /// What has changed since the last turn: which connections wait now, or no longer. `wire_of` knows
    /// sessions' wires.
    pub fn changes(
        &mut self,
        wire_of: impl Fn(&str) -> Option<ConnectionId>,
    ) -> Vec<(ConnectionId, bool)> {
        let mut changes = Vec::new();
        for who in self.waits.take_changed() {
            let wire = match &who {
                Who::Session(sid) => wire_of(sid),
                Who::Plain(connection) => Some(*connection),
            };
            let wire = wire.filter(|_| self.waits.has(&who));
            let told = match wire {
                Some(wire) => self.told.insert(who, wire),
                None => self.told.remove(&who),
            };
            if told != wire {
                changes.extend(told.map(|connection| (connection, false)));
                changes.extend(wire.map(|connection| (connection, true)));
            }
        }
        changes
    }

    /// Who waited at the end of the last turn.
    pub fn since_last_turn(&self) -> impl Iterator<Item = ConnectionId> {
        self.told.values().copied()
    }
}

/// That a socket is on its way into a room, or out of it, kept with what is known of that: an op that the room
/// has not answered, or that a socket is in it which is not stored yet.
pub type Move = Token<RoomName>;

/// Sockets that are on their way.
#[derive(Debug, Default)]
pub struct Moves {
    moves: Tally<RoomName>,
    /// To or from which rooms, as of the end of the last turn.
    told: BTreeSet<RoomName>,
}

impl Moves {
    /// One is on its way, until this is dropped.
    pub fn token(&self, room: &RoomName) -> Move {
        self.moves.token(room.clone())
    }

    /// What has changed since the last turn: to or from which rooms any is on its way now, or none is.
    pub fn changes(&mut self) -> Vec<(RoomName, bool)> {
        let changed = self.moves.take_changed().into_iter();
        let changed = changed.filter_map(|room| {
            let moves = self.moves.has(&room);
            let is_news = if moves {
                self.told.insert(room.clone())
            } else {
                self.told.remove(&room)
            };
            is_news.then_some((room, moves))
        });
        changed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once_a_turn_and_on_the_wire_of_now() {
        let (mut awaited, sid) = (Awaited::default(), Rc::<str>::from("s"));
        let session = || Who::Session(Rc::clone(&sid));
        let on = |wire: u32| move |_: &str| Some(ConnectionId(wire));
        let nowhere = |_: &str| None;
        let (first, plain) = (awaited.wait(session()), Who::Plain(ConnectionId(7)));
        let second = awaited.wait(session());
        drop(awaited.wait(plain.clone()));
        assert_eq!(awaited.changes(on(1)), [(ConnectionId(1), true)]);
        drop(first);
        assert_eq!(awaited.changes(on(1)), [], "it waits for the other one");
        awaited.moved(&sid);
        let changes = [(ConnectionId(1), false), (ConnectionId(2), true)];
        assert_eq!(awaited.changes(on(2)), changes);
        let waits = awaited.wait(plain);
        drop(second);
        let changes = [(ConnectionId(2), false), (ConnectionId(7), true)];
        assert_eq!(awaited.changes(on(2)), changes);
        assert!(awaited.since_last_turn().eq([ConnectionId(7)]));
        drop(waits);
        assert!(
            awaited.since_last_turn().eq([ConnectionId(7)]),
            "until the turn is over"
        );
        assert_eq!(awaited.changes(nowhere), [(ConnectionId(7), false)]);
        // A session that is over waits for nothing, whatever is still under way for it.
        let late = awaited.wait(session());
        assert_eq!(awaited.changes(on(2)), [(ConnectionId(2), true)]);
        awaited.moved(&sid);
        assert_eq!(awaited.changes(nowhere), [(ConnectionId(2), false)]);
        drop(late);
        assert_eq!(awaited.changes(nowhere), []);
    }
}
