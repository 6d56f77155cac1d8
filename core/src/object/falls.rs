//! After panics that no frame and no request made: something that the object itself was about is the poison, and
//! would be again at each try. The count is stored before the next try; from the second on, what waits to go to
//! others is held back, longer each time, so that the object goes on with everything else.

use serde::{Deserialize, Serialize};

use crate::{
    limits::{FALLS_FORGOTTEN_MS, HOLD_MAX_MS, HOLD_MS, backoff},
    names::Timestamp,
    storage::{Sql, StorageError, exists, set_state, state},
};

/// In the table `state`.
const KEY: &str = "fell";

#[derive(Default, Serialize, Deserialize)]
struct Falls {
    count: u32,
    at: Timestamp,
}

/// One more.
pub fn fell(sql: &dyn Sql, now: Timestamp) -> Result<(), StorageError> {
    // A room that nobody has used has nothing to hold back.
    if !exists(sql)? {
        return Ok(());
    }
    let last: Falls = state(sql, KEY)?.unwrap_or_default();
    let is_old = last.at.plus(FALLS_FORGOTTEN_MS) < now;
    let count = if is_old {
        1
    } else {
        last.count.saturating_add(1)
    };
    set_state(sql, KEY, &Falls { count, at: now })
}

/// Until when what waits to go out is held back.
pub(super) fn held_until(sql: &dyn Sql) -> Result<Timestamp, StorageError> {
    let last: Falls = state(sql, KEY)?.unwrap_or_default();
    Ok(match last.count.checked_sub(2) {
        Some(more) => last.at.plus(backoff(HOLD_MS, more, HOLD_MAX_MS)),
        None => Timestamp::default(),
    })
}
