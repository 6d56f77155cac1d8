//! What a turn ends with, and what time brings: presence, replies that settle, the next deadlines.

use super::{Object, Origin, Output, PresenceDiff, RequestId, Settling};
use crate::{
    event::Args,
    hub::{DisconnectReason, plain},
    limits::{MAX_TIMER_MS, SETTLE_TIMEOUT_MS},
    metrics::{self, Count, count_of},
    names::Timestamp,
    namespaces::Presence,
    room::{self, EntryId},
    storage::{Sql, StorageError},
    wire::Audience,
};

impl Object {
    /// One `presence_diff` a turn for those who were here, one `presence_state` for those who came in
    /// it: however many come, each is written once.
    pub(super) fn tell_presence(&mut self, now: Timestamp) {
        let diff = self.room.roster.take_diff(now);
        let (joins, leaves) = (count_of(diff.joins.len()), count_of(diff.leaves.len()));
        self.count(Count::Presence(metrics::Presence::Joined), joins);
        self.count(Count::Presence(metrics::Presence::Left), leaves);
        let room = self.room.name.as_str();
        if self.hub.has_plain() && !diff.is_empty() {
            let diff = PresenceDiff { room, diff: &diff };
            let frame = plain::event("presence_diff", &diff);
            self.hub.send_plain(frame, |_, c, _| !c.is_new);
        }
        let fresh = std::mem::take(&mut self.fresh);
        if !fresh.is_empty() {
            let users = self.room.roster.people();
            let frame = format!(
                r#"{{"event":"presence_state","data":{{"room":"{room}","users":{users}}}}}"#
            );
            self.hub.send_each(&fresh, vec![frame]);
            for id in fresh {
                if let Some(connection) = self.hub.get_mut(id) {
                    connection.is_new = false;
                }
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
        // One who came alone knows; of several each hears of all. One who went and is here again has been
        // told who is here since then.
        let who_knows = match (diff.joins.as_slice(), diff.leaves.as_slice()) {
            (one @ [_], []) => one,
            (_, went) => went,
        };
        let except_users = who_knows.iter().map(|person| person.user().clone());
        let except_users = except_users.collect();
        let audience = Audience {
            except_users,
            ..Audience::default()
        };
        self.tell_sockets("presence_diff", args, audience);
    }

    /// All that is due by now.
    pub(super) fn due(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
        for id in self.hub.expired(now) {
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
        let over = self
            .settling
            .extract_if(.., |settling| settling.until <= now);
        for settling in over.collect::<Vec<Settling>>() {
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
        let told = self.room.links.told();
        if waits_for.is_empty() && self.room.links.have(told) {
            return self.reply(request, Ok(answer));
        }
        let until = now.plus(SETTLE_TIMEOUT_MS);
        self.settling.push(Settling {
            request,
            answer,
            waits_for,
            told,
            until,
        });
    }

    /// These entries have been tried.
    pub(super) fn settle(&mut self, entries: &[EntryId]) {
        let links = &self.room.links;
        let settled = self.settling.extract_if(.., |settling| {
            for entry in entries {
                settling.waits_for.remove(entry);
            }
            settling.waits_for.is_empty() && links.have(settling.told)
        });
        let settled: Vec<Settling> = settled.collect();
        for Settling {
            request, answer, ..
        } in settled
        {
            self.reply(request, Ok(answer));
        }
    }

    /// What memory alone knows of.
    fn volatile_deadlines(&mut self) -> [Option<Timestamp>; 8] {
        [
            self.room.typing.next_deadline(),
            self.room.roster.next_deadline(),
            // All wait equally long: the first is the first to be over.
            self.settling.first().map(|settling| settling.until),
            self.hub.sessions.next_deadline(),
            self.next_question_deadline(),
            self.hub.links.next_deadline(),
            self.room.links.next_deadline(),
            self.hub.watch.next_deadline(),
        ]
    }

    /// The first of that.
    pub(super) fn volatile_deadline(&mut self) -> Option<Timestamp> {
        self.volatile_deadlines().into_iter().flatten().min()
    }

    /// The first of what storage and attachments know of, but for the heartbeat.
    pub(super) fn durable_deadline(&mut self, now: Timestamp) -> Option<Timestamp> {
        let per_second = self.environment.config.line_messages_per_second;
        let held = |at: Timestamp| at.max(self.held_until);
        let outbox = self.room.outbox.next_deadline(now);
        let sends = self.room.sends.next_deadline(now, per_second);
        let durable = [
            self.hub.next_expiry(),
            outbox.map(held),
            sends.map(held),
            self.room.prune_at(),
        ];
        durable.into_iter().flatten().min()
    }

    /// The next deadlines, where they are earlier than what is set. Short waits are timers; what
    /// must outlive the object, or is further away, is the one alarm.
    pub(super) fn wake(&mut self, now: Timestamp) -> Option<Output> {
        let volatile = self.volatile_deadlines();
        let durable = [self.durable_deadline(now), self.beat_deadline()];
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
