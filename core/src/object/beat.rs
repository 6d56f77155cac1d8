//! A heartbeat of an object that sleeps. Where all its sessions have answered the last one and nothing
//! else is due, pinging them takes none of what a wake reads: each socket's row and attachment, the
//! roster, the links. What must be known for that, the object noted when the first beat after its last
//! events found it asleep; whatever else wakes it takes the note back.

use serde::{Deserialize, Serialize};

use super::{Input, Object, engine::Heartbeat};
use crate::{
    config::Config,
    limits::MAX_ASLEEP_MS,
    names::{RoomName, Timestamp},
    storage::{self, Sql, StorageError},
};

const KEY: &str = "asleep";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asleep {
    /// Nothing but heartbeats is due before.
    until: Timestamp,
    /// The first beat from here on wakes it.
    wakes_at: Timestamp,
    /// How many sessions there are, all of them on WebSockets.
    sessions: usize,
}

/// The alarm rings at an object that sleeps, whose Engine.IO WebSockets the runtime last answered at
/// these times. If it may just ping them all: when the alarm must ring next.
pub fn beat(
    sql: &dyn Sql,
    config: &Config,
    name: &RoomName,
    now: Timestamp,
    heard: &[Option<Timestamp>],
) -> Result<Option<Timestamp>, StorageError> {
    if !storage::exists(sql)? {
        return Ok(None);
    }
    let Some(asleep) = storage::meta(sql, KEY)? else {
        return Ok(None);
    };
    let asleep: Asleep =
        serde_json::from_str(&asleep).map_err(|_| StorageError::Corrupt("asleep"))?;
    let heartbeat = Heartbeat::new(config, name, now);
    let is_alive = |at: &Option<Timestamp>| at.is_some_and(|at| !heartbeat.is_dead(at, now));
    let is_quiet = heartbeat.is_by_alarm()
        && now < asleep.until.min(asleep.wakes_at)
        && heard.len() == asleep.sessions
        && heard.iter().all(is_alive);
    Ok(is_quiet.then(|| heartbeat.next().min(asleep.until)))
}

/// The object is awake.
pub(super) fn awake(sql: &dyn Sql) -> Result<(), StorageError> {
    storage::forget_meta(sql, KEY)
}

impl Object {
    /// At the end of a turn: if it was but a beat that woke the object, and nothing is left to do, the
    /// next one need not.
    pub(super) fn note_sleep(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        inputs: &[Input],
    ) -> Result<(), StorageError> {
        let was_asleep = std::mem::take(&mut self.was_asleep);
        let is_beat = was_asleep && matches!(inputs, [Input::Alarm { .. }]);
        let sessions = self.hub.sessions.len();
        if !is_beat
            || sessions == 0
            || sessions != self.hub.sessions.on_websocket()
            || !self.heartbeat.is_by_alarm()
            || !self.calls.is_empty()
            || self.volatile_deadline().is_some()
        {
            return Ok(());
        }
        let prune_at = self.journal.oldest().map(|at| at.plus(self.journal_ms()));
        let lost = self.hub.sockets.lost.values();
        let forget_at = lost.map(|record| self.lost_until(record, now)).min();
        let most = now.plus(MAX_ASLEEP_MS);
        let wakes_at = [prune_at, forget_at].into_iter().flatten().min();
        let asleep = Asleep {
            until: self.durable_deadline(now).unwrap_or(most),
            wakes_at: wakes_at.unwrap_or(most).min(most),
            sessions,
        };
        let json = serde_json::to_string(&asleep).map_err(|_| StorageError::Corrupt("asleep"))?;
        self.has_note = true;
        storage::set_meta(sql, KEY, &json)
    }

    /// At the beginning of a turn: something else than a beat happens.
    pub(super) fn take_note_back(
        &mut self,
        sql: &dyn Sql,
        inputs: &[Input],
    ) -> Result<(), StorageError> {
        if self.has_note && !matches!(inputs, [Input::Alarm { .. }]) {
            self.has_note = false;
            awake(sql)?;
        }
        Ok(())
    }
}
