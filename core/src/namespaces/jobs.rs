//! `/jobs`: how far jobs are (CONTRACT "/jobs").

use serde::Serialize;

use super::{
    Action, Admission, Client, Effect, Emitted, Kind, Namespace, Presence, by_grant_open_or_member,
    namespace::{kept, room_of_id, unknown_event},
};
use crate::{
    auth::Claims,
    error::Refusal,
    event::Args,
    fields::Fields,
    names::{RoomName, UserId},
    wire::Joined,
};

/// The namespace `/jobs`, and its rooms `job:{id}`.
pub struct Jobs;

/// The event that a job's status has changed.
pub const STATUS_CHANGED: &str = "job:status-changed";

const STATUSES: &[&str] = &[
    "draft",
    "pending",
    "approved",
    "published",
    "failed",
    "in_progress",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscribed<'a> {
    job_id: &'a str,
}

/// A `JobStatusUpdate`.
fn check(emitted: &Emitted<'_>, args: &Args) -> Result<Args, Refusal> {
    let mut update = Fields::of(args)?;
    update.fill("timestamp", &emitted.now.rfc3339());
    if emitted.room.kind() == "job" && emitted.is_only {
        update.fill("jobId", emitted.room.id());
    }
    let job_id: String = update.required("jobId", "text")?;
    if emitted.room.kind() == "job" && emitted.room.id() != job_id {
        return Err(update.wrong("jobId", "the job that it is emitted to"));
    }
    update.one_of("status", STATUSES)?;
    progress(&update, "progress", false)?;
    for name in ["currentPlatform", "error", "timestamp"] {
        update.optional::<String>(name, "text")?;
    }
    if update
        .raw("details")
        .is_some_and(|details| details.get() != "null")
    {
        update.within("details", "details.")?;
    }
    Ok(update.into_args())
}

/// How far something is.
pub(super) fn progress(fields: &Fields, name: &str, is_required: bool) -> Result<(), Refusal> {
    const PROGRESS: &str = "a number from 0 to 100";
    match fields.optional::<f64>(name, PROGRESS)? {
        Some(progress) if (0.0..=100.0).contains(&progress) => Ok(()),
        None if !is_required => Ok(()),
        _ => Err(fields.wrong(name, PROGRESS)),
    }
}

impl Namespace for Jobs {
    fn name(&self) -> &'static str {
        "/jobs"
    }

    fn connect(&self, _: &Client<'_>) -> Vec<Action> {
        Vec::new()
    }

    fn event(&self, _: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        let room = || room_of_id(args, "job", "jobId");
        Ok(vec![match event {
            "subscribe-job" => Action::Join(room()?),
            "unsubscribe-job" => Action::Leave(room()?),
            _ => return Err(unknown_event(self.name(), event)),
        }])
    }

    fn emitted(&self, emitted: &Emitted<'_>, event: &str, args: Args) -> Result<Args, Refusal> {
        match event {
            STATUS_CHANGED => check(emitted, &args),
            _ => Ok(args),
        }
    }

    fn joined(&self, _: &Client<'_>, room: &RoomName, joined: &Joined) -> Vec<Action> {
        let job_id = room.id();
        let subscribed = Action::emit("subscribed", &Subscribed { job_id });
        std::iter::once(subscribed).chain(kept(joined)).collect()
    }
}

impl Kind for Jobs {
    fn namespace(&self) -> &'static str {
        "/jobs"
    }

    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        by_grant_open_or_member(claims, room, open_kinds)
    }

    fn server_events(&self) -> &'static [&'static str] {
        &[STATUS_CHANGED]
    }

    fn came_or_went(&self, _: &RoomName, _: &UserId, _: bool) -> Presence {
        Presence::Silent
    }

    fn effect(&self, event: &str, _: &Args) -> Effect {
        match event {
            STATUS_CHANGED => Effect::Latest,
            _ => Effect::None,
        }
    }
}
