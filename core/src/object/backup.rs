//! A room's backup, page by page, and its way back. A room that is being restored has no machine: who else
//! asks it is told to come again.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Decided, Environment, Input, Object, Output, requests::to_json};
use crate::{
    event::raw,
    names::{Epoch, Offset, RoomName, Timestamp},
    room::Room,
    storage::{
        SCHEMA_VERSION, Sql, StorageError,
        backup::{self, Page, Restore},
    },
    wire::Request,
};

#[derive(Serialize)]
struct Backup<'a> {
    room: &'a str,
    epoch: &'a str,
    offset: Offset,
    schema: i64,
    at: Timestamp,
    rows: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl Object {
    /// A page.
    pub(super) fn backup(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        cursor: Option<&str>,
    ) -> Decided<String> {
        self.room.write(sql)?;
        // Nothing but turns changes anything, and another machine has begun at another time.
        let state = format!("{}-{}", self.opened_at.0, self.turns);
        let page = backup::page(sql, cursor, &state)?;
        Ok(page.map(|Page { rows, cursor }| {
            to_json(&Backup {
                room: self.room.name.as_str(),
                epoch: self.room.epoch.as_str(),
                offset: self.room.head(),
                schema: SCHEMA_VERSION,
                at: now,
                rows: raw(rows),
                cursor,
            })
        }))
    }
}

#[derive(Serialize)]
struct Restored {
    page: u64,
    last: bool,
}

/// What became of a page that was to be restored.
#[derive(Debug)]
pub struct Restoring {
    /// What is to be done.
    pub outputs: Vec<Output>,
    /// The room is another one now: its machine must be built anew.
    pub is_taken: bool,
}

/// Takes a page of a backup into the room: a turn of its own ([`Input::is_alone`]), without a machine. What
/// could not be read ever after is a storage error, which undoes it.
pub fn restore(
    sql: &dyn Sql,
    environment: &Environment,
    name: &RoomName,
    now: Timestamp,
    input: &Input,
) -> Result<Restoring, StorageError> {
    let mut outputs = Vec::new();
    let mut is_taken = false;
    if let Input::Request { request, body } = input
        && let Request::Restore { page } = &**body
    {
        let answer = match Restore::parse(page) {
            Ok(page) => backup::restore(sql, name, &page)?.map(|()| page),
            Err(refusal) => Err(refusal),
        };
        is_taken = answer.is_ok();
        if answer.as_ref().is_ok_and(|page| page.last) {
            let (config, epoch) = (&environment.config, Epoch::stored(String::new()));
            Room::open(sql, name.clone(), epoch, config.history)?;
            // It has things to do perhaps, and nobody else wakes it.
            let (timer, alarm) = (Some(now), None);
            outputs.push(Output::Wake { timer, alarm });
        }
        let answer = answer.map(|Restore { page, last, .. }| to_json(&Restored { page, last }));
        let request = *request;
        outputs.push(Output::Reply { request, answer });
    }
    Ok(Restoring { outputs, is_taken })
}

impl Input {
    /// Whether a turn must have nothing else.
    pub fn is_alone(&self) -> bool {
        matches!(self, Self::Request { body, .. } if matches!(**body, Request::Restore { .. }))
    }

    /// Whether it changes nothing.
    pub(super) fn only_reads(&self) -> bool {
        matches!(self, Self::Request { body, .. } if matches!(**body, Request::Backup { .. }))
    }
}
