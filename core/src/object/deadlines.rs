//! What a turn ends with, and what time brings: presence, replies that settle, the next deadlines.

use std::collections::BTreeSet;

use super::{Object, Output, PresenceDiff, RequestId, Settling};
use crate::{
    hub::{ConnectionId, DisconnectReason, plain},
    limits::{MAX_TIMER_MS, SETTLE_TIMEOUT_MS},
    names::Timestamp,
    room::{self, EntryId},
    storage::{Sql, StorageError},
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
        if !diff.is_empty() {
            self.hub
                .send_all(frame(&diff), |_, c| c.heard_presence_to.is_none());
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
    }

    /// All that is due by now.
    pub(super) fn due(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        let expired: Vec<ConnectionId> = self
            .hub
            .iter()
            .filter(|(_, connection)| connection.closes_at() <= now)
            .map(|(id, _)| id)
            .collect();
        for id in expired {
            self.close(sql, now, id, DisconnectReason::TokenExpired)?;
        }
        for typist in self.room.typing.expire(now) {
            self.tell_typing(&typist.user, false, typist.connection);
        }
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

    /// Answers `request` once these outbox entries have reached their rooms, or after
    /// [`SETTLE_TIMEOUT_MS`]: they are committed either way.
    pub(super) fn reply_when_settled(
        &mut self,
        now: Timestamp,
        request: RequestId,
        answer: String,
        waits_for: BTreeSet<EntryId>,
    ) {
        if waits_for.is_empty() {
            return self.reply(request, Ok(answer));
        }
        let until = now.plus(SETTLE_TIMEOUT_MS);
        self.settling.push(Settling {
            request,
            answer,
            waits_for,
            until,
        });
    }

    /// These entries have been tried.
    pub(super) fn settle(&mut self, entries: &[EntryId]) {
        for settling in &mut self.settling {
            settling.waits_for.retain(|entry| !entries.contains(entry));
        }
        let (settled, settling) = std::mem::take(&mut self.settling)
            .into_iter()
            .partition(|settling: &Settling| settling.waits_for.is_empty());
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
        ];
        let durable = [
            self.hub.next_expiry(),
            self.room.outbox.next_deadline(now),
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
