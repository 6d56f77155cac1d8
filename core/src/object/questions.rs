//! Questions to clients: events that want an ack, to one socket or to everyone in a room.
//!
//! A room's question goes to each linked object once; each gathers what its own sockets say, and
//! answers once, when all have or the time is over. What comes later is nobody's.

use std::collections::BTreeSet;

use super::{Object, Origin};
use crate::{
    event::Args,
    hub::{Asked, AskedBy, SocketKey, Stage, Waiter},
    limits::{MAX_TIMER_MS, QUESTION_SLACK_MS},
    names::{RoomName, Timestamp},
    namespaces::kind_of,
    room::LOCAL,
    storage::{Sql, StorageError},
    wire::{Audience, Notice, Op, Question},
};

/// A question of this room's to everyone in it.
pub(super) struct RoomQuestion {
    /// The object whose socket asked, and which socket.
    from: Option<RoomName>,
    socket: String,
    tag: String,
    /// Who has not answered: linked objects, and [`LOCAL`] for this one.
    waits_for: BTreeSet<String>,
    answers: Vec<Args>,
}

/// Whose answers are gathered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Gathered {
    /// This object's sockets', for a room's question.
    Here(RoomName, u64),
    /// All objects', for this room's question.
    Everywhere(u64),
}

/// What this object's sockets have said to a room's question.
#[derive(Default)]
pub(super) struct Gathering {
    waits_for: BTreeSet<SocketKey>,
    answers: Vec<Args>,
}

impl Object {
    /// A socket's client is asked.
    pub(super) fn ask_client(
        &mut self,
        now: Timestamp,
        key: SocketKey,
        question: &Question,
        by: AskedBy,
    ) {
        let parser = self.environment.config.parser;
        let Some(socket) = self.hub.sockets.get_mut(key) else {
            return;
        };
        if matches!(socket.stage, Stage::Connecting { .. }) {
            socket.held_questions.push((question.clone(), by));
            return;
        }
        let id = socket.next_ask;
        socket.next_ask = id.saturating_add(1);
        let until = now.plus(question.timeout_ms.min(MAX_TIMER_MS));
        socket.asked.insert(id, Asked { by, until });
        let (connection, namespace) = (socket.connection, &socket.record.namespace);
        let Question { event, args, .. } = question;
        let frames = parser.event(namespace, Some(id), event, args, None);
        self.hub.send_each(&[connection], frames);
    }

    /// A client's ack, or none in time. One that comes too late, or twice, is nobody's.
    pub(super) fn client_answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        key: SocketKey,
        id: u64,
        answer: Option<&Args>,
    ) -> Result<(), StorageError> {
        let socket = self.hub.sockets.get_mut(key);
        match socket.and_then(|socket| socket.asked.remove(&id)) {
            None => Ok(()),
            Some(Asked {
                by: AskedBy::Namespace(tag),
                ..
            }) => {
                let actions = self.with_client(key, now, |namespace, client| {
                    namespace.answered(client, &tag, answer)
                });
                self.act(sql, now, key, "", None, actions.unwrap_or_default())
            }
            Some(Asked {
                by: AskedBy::Room(room, ask),
                ..
            }) => {
                let Some(gathering) = self.gatherings.get_mut(&(room.clone(), ask)) else {
                    return Ok(());
                };
                gathering.waits_for.remove(&key);
                gathering.answers.extend(answer.cloned());
                if gathering.waits_for.is_empty() {
                    self.gathered(sql, now, &room, ask)?;
                }
                Ok(())
            }
        }
    }

    /// This room is asked by a socket of `from`'s, or of its own.
    pub(super) fn ask_everyone(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        from: Option<&RoomName>,
        question: &Question,
        socket: &str,
        tag: &str,
    ) -> Result<(), StorageError> {
        let ask = self.next_number();
        let objects = self.room.links.objects().map(RoomName::to_string);
        let timeout = question.timeout_ms.min(MAX_TIMER_MS);
        self.questions.insert(
            ask,
            RoomQuestion {
                from: from.cloned(),
                socket: socket.to_owned(),
                tag: tag.to_owned(),
                waits_for: objects.chain([LOCAL.to_owned()]).collect(),
                answers: Vec::new(),
            },
        );
        // Those who are asked wait as long as they were told; their answer takes its time.
        let until = now.plus(timeout.saturating_add(QUESTION_SLACK_MS));
        self.questions_end
            .set(&Gathered::Everywhere(ask), Some(until));
        let audience = Origin::Socket(socket.to_owned()).audience();
        let notice = Notice::Ask {
            ask,
            question: question.clone(),
            audience: audience.clone(),
        };
        self.room.links.tell(notice, self.room.head());
        let room = self.room.name.clone();
        self.ask_sockets(sql, now, &room, ask, question, &audience)
    }

    /// A room asks the sockets here that are in it.
    pub(super) fn ask_sockets(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        ask: u64,
        question: &Question,
        audience: &Audience,
    ) -> Result<(), StorageError> {
        let namespace = kind_of(room).namespace();
        let asked = self.hub.sockets.members(room).map(|(key, _)| key);
        let asked = asked.filter(|key| {
            self.hub.sockets.get(*key).is_some_and(|socket| {
                let record = &socket.record;
                matches!(socket.stage, Stage::Connected)
                    && record.namespace == namespace
                    && audience.has(&record.claims.user, &record.id)
            })
        });
        let asked: BTreeSet<SocketKey> = asked.collect();
        for key in &asked {
            let by = AskedBy::Room(room.clone(), ask);
            self.ask_client(now, *key, question, by);
        }
        let nobody = asked.is_empty();
        let gathering = Gathering {
            waits_for: asked,
            answers: Vec::new(),
        };
        let until = now.plus(question.timeout_ms.min(MAX_TIMER_MS));
        let here = Gathered::Here(room.clone(), ask);
        self.questions_end.set(&here, Some(until));
        self.gatherings.insert((room.clone(), ask), gathering);
        if nobody {
            self.gathered(sql, now, room, ask)?;
        }
        Ok(())
    }

    /// The sockets here have said what they had to say.
    fn gathered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        room: &RoomName,
        ask: u64,
    ) -> Result<(), StorageError> {
        let Some(gathering) = self.gatherings.remove(&(room.clone(), ask)) else {
            return Ok(());
        };
        let here = Gathered::Here(room.clone(), ask);
        self.questions_end.remove(&here);
        let answers = gathering.answers;
        let op = Op::Answers { ask, answers };
        self.want(sql, now, room, op, Waiter::Nobody)
    }

    /// An object's sockets have answered this room's question; with the last of them all have.
    pub(super) fn answered_by(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        object: &str,
        ask: u64,
        answers: Vec<Args>,
    ) -> Result<(), StorageError> {
        let Some(question) = self.questions.get_mut(&ask) else {
            return Ok(());
        };
        if !question.waits_for.remove(object) {
            return Ok(());
        }
        question.answers.extend(answers);
        if question.waits_for.is_empty() {
            self.all_answered(sql, now, ask)?;
        }
        Ok(())
    }

    fn all_answered(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        ask: u64,
    ) -> Result<(), StorageError> {
        let Some(RoomQuestion {
            from,
            socket,
            tag,
            answers,
            ..
        }) = self.questions.remove(&ask)
        else {
            return Ok(());
        };
        self.questions_end.remove(&Gathered::Everywhere(ask));
        match from {
            Some(object) => {
                let notice = Notice::Answered {
                    socket,
                    tag,
                    answers,
                };
                self.room.links.tell_one(&object, notice);
                Ok(())
            }
            None => self.tell_asker(sql, now, &socket, &tag, &answers),
        }
    }

    /// The socket that asked hears what everyone said.
    pub(super) fn tell_asker(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        socket: &str,
        tag: &str,
        answers: &[Args],
    ) -> Result<(), StorageError> {
        let Some(key) = self.hub.sockets.of_id(socket) else {
            return Ok(());
        };
        let actions = self.with_client(key, now, |namespace, client| {
            namespace.answered_by_all(client, tag, answers)
        });
        self.act(sql, now, key, "", None, actions.unwrap_or_default())
    }

    /// Questions that are not waited for any more.
    pub(super) fn questions_due(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        for (key, id) in self.hub.sockets.unanswered(now) {
            self.client_answered(sql, now, key, id, None)?;
        }
        for gathered in self.questions_end.take_due(now) {
            match gathered {
                Gathered::Here(room, ask) => self.gathered(sql, now, &room, ask)?,
                Gathered::Everywhere(ask) => self.all_answered(sql, now, ask)?,
            }
        }
        Ok(())
    }

    /// When the next one is over.
    pub(super) fn next_question_deadline(&mut self) -> Option<Timestamp> {
        let clients = self.hub.sockets.next_question();
        clients.into_iter().chain(self.questions_end.next()).min()
    }
}
