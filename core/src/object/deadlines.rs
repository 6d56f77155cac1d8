//! What a turn ends with, and what time brings: presence, replies that settle, the next deadlines.

use super::{Object, Origin, Output, PresenceDiff, RequestId, Settling};
use crate::{
    event::Args,
    hub::{ConnectionId, DisconnectReason, plain},
    limits::{MAX_TIMER_MS, SETTLE_TIMEOUT_MS},
    names::Timestamp,
    namespaces::Presence,
    room::{self, EntryId},
    storage::{Sql, StorageError},
    wire::Audience,
};

impl Object {
    /// One `presence_diff` a turn: those who were here hear all of it, those who came in this turn
    /// what came after them.
    pub(super) fn tell_presence(&mut self) {
        let diff = self.room.roster.take_diff();
        let frame = |diff: &room::Diff| {
            plain::event(
                "presence_diff",
                &PresenceDiff {
                    room: self.room.name.as_str(),
                    diff,
                },
            )
        };
        if self.hub.has_plain() && !diff.is_empty() {
            let frame = frame(&diff);
            self.hub
                .send_plain(frame, |_, c, _| c.heard_presence_to.is_none());
        }
        for id in std::mem::take(&mut self.fresh) {
            let heard = self
                .hub
                .get_mut(id)
                .and_then(|c| c.heard_presence_to.take());
            let Some(rest) = heard.map(|mark| diff.after(mark)) else {
                continue;
            };
            if !rest.is_empty() {
                self.hub.send(id, frame(&rest));
            }
        }
        if !diff.is_empty() {
            self.tell_sockets_presence(&diff);
        }
    }

    /// The same in the words of the room's kind, to Socket.IO sockets; those who came know it
    /// already of themselves.
    fn tell_sockets_presence(&mut self, diff: &room::Diff) {
        let (kind, name) = (self.room.kind, self.room.name.clone());
        let came = diff.joins.iter().map(|person| (person, true));
        let went = diff.leaves.iter().map(|person| (person, false));
        let mut wants_diff = false;
        for (person, came) in came.chain(went) {
            let user = person.user();
            match kind.came_or_went(&name, user, came) {
                Presence::Diff => wants_diff = true,
                Presence::Event(event, args) => {
                    let audience = Audience {
                        except_users: vec![user.clone()],
                        ..Audience::default()
                    };
                    self.tell_ephemeral(event, args, &Origin::Nowhere, audience);
                }
                Presence::Silent => {}
            }
        }
        if !wants_diff {
            return;
        }
        let room = name.as_str();
        let args = Args::of(&PresenceDiff { room, diff });
        // One who came alone knows; of several each hears of all.
        let except_users = match diff.joins.as_slice() {
            [one] => vec![one.user().clone()],
            _ => Vec::new(),
        };
        let audience = Audience {
            except_users,
            ..Audience::default()
        };
        self.tell_sockets("presence_diff", args, audience);
    }

    /// All that is due by now.
    pub(super) fn due(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        let expired: Vec<ConnectionId> = self
            .hub
            .iter()
            .filter(|(_, connection)| connection.closes_at().is_some_and(|at| at <= now))
            .map(|(id, _)| id)
            .collect();
        for id in expired {
            self.close(sql, now, id, DisconnectReason::TokenExpired)?;
        }
        for typist in self.room.typing.expire(now) {
            self.tell_typing(&typist.user, false, &typist.from);
        }
        self.sessions_due(sql, now)?;
        self.sockets_due(sql, now)?;
        self.questions_due(sql, now)?;
        self.room.roster.expire(sql, now)?;
        self.room.prune(sql, now)?;
        let (over, settling) = std::mem::take(&mut self.settling)
            .into_iter()
            .partition(|settling: &Settling| settling.until <= now);
        self.settling = settling;
        for settling in over {
            self.reply(settling.request, Ok(settling.answer));
        }
        Ok(())
    }

    /// Answers `request` once the outbox entries made after `before` have reached their rooms, and the
    /// links have what they were told, or after [`SETTLE_TIMEOUT_MS`]: it is committed either way.
    pub(super) fn reply_when_settled(
        &mut self,
        now: Timestamp,
        request: RequestId,
        answer: String,
        before: EntryId,
    ) {
        let waits_for = self.room.outbox.after(before);
        let pushes = self.room.links.outstanding();
        if waits_for.is_empty() && pushes.is_empty() {
            return self.reply(request, Ok(answer));
        }
        let until = now.plus(SETTLE_TIMEOUT_MS);
        self.settling.push(Settling {
            request,
            answer,
            waits_for,
            pushes,
            until,
        });
    }

    /// These entries have been tried.
    pub(super) fn settle(&mut self, entries: &[EntryId]) {
        for settling in &mut self.settling {
            settling.waits_for.retain(|entry| !entries.contains(entry));
            let links = &self.room.links;
            settling
                .pushes
                .retain(|object, given| !links.has(object, *given));
        }
        let (settled, settling) =
            std::mem::take(&mut self.settling)
                .into_iter()
                .partition(|settling: &Settling| {
                    settling.waits_for.is_empty() && settling.pushes.is_empty()
                });
        self.settling = settling;
        for Settling {
            request, answer, ..
        } in settled
        {
            self.reply(request, Ok(answer));
        }
    }

    /// The next deadlines, where they are earlier than what is set. Short waits are timers; what
    /// must outlive the object, or is further away, is the one alarm.
    pub(super) fn wake(&mut self, now: Timestamp) -> Option<Output> {
        let volatile = [
            self.room.typing.next_deadline(),
            self.room.roster.next_deadline(),
            self.settling.iter().map(|settling| settling.until).min(),
            self.session_deadline(),
            self.next_question_deadline(),
            self.hub.links.next_deadline(),
            self.room.links.next_deadline(),
        ];
        let per_second = self.environment.config.line_messages_per_second;
        let durable = [
            self.hub.next_expiry(),
            self.beat_deadline(),
            self.room.outbox.next_deadline(now),
            self.room.sends.next_deadline(now, per_second),
            self.room.prune_at(),
        ];
        let near = |at: &Timestamp| *at <= now.plus(MAX_TIMER_MS);
        let timer = volatile.into_iter().flatten().filter(near).min();
        let far = volatile.into_iter().flatten().filter(|at| !near(at));
        let alarm = durable.into_iter().flatten().chain(far).min();

        let earlier = |wanted: Option<Timestamp>, set: Option<Timestamp>| match (wanted, set) {
            (Some(wanted), Some(set)) if wanted >= set => None,
            (wanted, _) => wanted,
        };
        let (timer, alarm) = (
            earlier(timer, self.timer_set),
            earlier(alarm, self.alarm_set),
        );
        self.timer_set = timer.or(self.timer_set);
        self.alarm_set = alarm.or(self.alarm_set);
        (timer.is_some() || alarm.is_some()).then_some(Output::Wake { timer, alarm })
    }
}
