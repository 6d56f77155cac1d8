//! Who waits for an answer that comes to this object's memory alone: to a join or an event that another
//! object was asked for, or of the runtime, which checks a token. Should the memory go before the answer is
//! there, they would wait for ever: they are sent away, come back and recover. A panic leaves no memory
//! to ask, so whoever holds the sockets is told of each change ([`Output::Awaits`](crate::object::Output)).

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use super::ConnectionId;

/// One who waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// An Engine.IO session, on whatever wire.
    Session(Rc<str>),
    /// A plain socket.
    Plain(ConnectionId),
}

#[derive(Debug, Default)]
struct Counts {
    /// How many answers each waits for.
    counts: HashMap<Who, usize>,
    /// Those of the turn for which that has changed.
    changed: BTreeSet<Who>,
}

/// Those who wait.
#[derive(Debug, Default)]
pub struct Awaited {
    counts: Rc<RefCell<Counts>>,
    /// Who waited at the end of the last turn, on which wire.
    told: BTreeMap<Who, ConnectionId>,
}

/// That somebody waits for an answer, kept with what is known of the question.
#[derive(Debug)]
pub struct Wait {
    who: Who,
    counts: Rc<RefCell<Counts>>,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Ok(mut counts) = self.counts.try_borrow_mut() else {
            return;
        };
        if let Some(count) = counts.counts.get_mut(&self.who) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.counts.remove(&self.who);
                counts.changed.insert(self.who.clone());
            }
        }
    }
}

impl Awaited {
    /// Somebody waits, until this is dropped.
    pub fn wait(&self, who: Who) -> Wait {
        let mut counts = self.counts.borrow_mut();
        let count = counts.counts.entry(who.clone()).or_default();
        *count = count.saturating_add(1);
        if *count == 1 {
            counts.changed.insert(who.clone());
        }
        Wait {
            who,
            counts: Rc::clone(&self.counts),
        }
    }

    /// A session has another wire.
    pub fn moved(&self, sid: &Rc<str>) {
        let who = Who::Session(Rc::clone(sid));
        self.counts.borrow_mut().changed.insert(who);
    }

    /// What has changed since the last turn: which connections wait now, or no longer. `wire_of` knows
    /// sessions' wires.
    pub fn changes(
        &mut self,
        wire_of: impl Fn(&str) -> Option<ConnectionId>,
    ) -> Vec<(ConnectionId, bool)> {
        let mut counts = self.counts.borrow_mut();
        let changed = std::mem::take(&mut counts.changed);
        let mut changes = Vec::new();
        for who in changed {
            let wire = match &who {
                Who::Session(sid) => wire_of(sid),
                Who::Plain(connection) => Some(*connection),
            };
            let wire = wire.filter(|_| counts.counts.contains_key(&who));
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
