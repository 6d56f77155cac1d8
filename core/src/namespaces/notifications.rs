//! `/notifications`: what a user has not read yet (CONTRACT "/notifications"). They are kept in the
//! user's own room, whose kind is [`super::user::User`].

use serde::Serialize;

use super::{
    Action, Admission, Client, Emitted, Namespace,
    namespace::{id_in, kept, unknown_event},
};
use crate::{
    auth::Claims,
    error::Refusal,
    event::Args,
    fields::Fields,
    limits::MAX_NOTIFICATION_ID_LEN,
    names::{NameError, RoomName, UserId},
    wire::{Access, Joined},
};

/// The namespace `/notifications`.
pub struct Notifications;

/// Its name.
pub const NAME: &str = "/notifications";
/// A notification.
pub const RECEIVED: &str = "notification:received";
/// One was read.
pub const READ: &str = "notification:read";
/// All were.
pub const CLEARED: &str = "notifications:cleared";

const TYPES: &[&str] = &[
    "job-completed",
    "job-failed",
    "approval-needed",
    "insight-available",
    "sync-complete",
    "alert",
];
const SEVERITIES: &[&str] = &["info", "warning", "error", "success"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscribed<'a> {
    user_id: &'a UserId,
}

/// A `Notification`.
fn check(emitted: &Emitted<'_>, args: &Args) -> Result<Args, Refusal> {
    let mut notification = Fields::of(args)?;
    notification.fill("id", emitted.fresh_id);
    notification.fill("timestamp", &emitted.now.rfc3339());
    if id_of(&notification).is_none() {
        let what = format!("text of 1 to {MAX_NOTIFICATION_ID_LEN} bytes");
        return Err(notification.wrong("id", &what));
    }
    notification.one_of("type", TYPES)?;
    notification.one_of("severity", SEVERITIES)?;
    for name in ["title", "message", "timestamp"] {
        notification.required::<String>(name, "text")?;
    }
    for name in ["brandId", "actionUrl"] {
        notification.optional::<String>(name, "text")?;
    }
    notification.optional::<bool>("read", "true or false")?;
    Ok(notification.into_args())
}

/// The id of a notification, or of what is said of one.
pub fn id_of(fields: &Fields) -> Option<String> {
    let id: String = fields.required("id", "text").ok()?;
    (1..=MAX_NOTIFICATION_ID_LEN)
        .contains(&id.len())
        .then_some(id)
}

impl Namespace for Notifications {
    fn name(&self) -> &'static str {
        NAME
    }

    fn connect(&self, _: &Client<'_>) -> Vec<Action> {
        Vec::new()
    }

    fn event(&self, client: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        let wrong = |_: NameError| Refusal::invalid("`userId` is not a user's id");
        let room = || {
            let user = UserId::text(&id_in(args, "userId")?).map_err(wrong)?;
            RoomName::user(&user).map_err(wrong)
        };
        Ok(vec![match event {
            "subscribe-user" => Action::Join(room()?),
            "unsubscribe-user" => Action::Leave(room()?),
            "mark-read" | "clear-all" => Action::Send {
                room: RoomName::user(client.user()).map_err(wrong)?,
                event: event.to_owned(),
                args: args.clone(),
                id: None,
            },
            _ => return Err(unknown_event(NAME, event)),
        }])
    }

    /// Admins see what others are notified of; it stays theirs to read.
    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        match super::admit(claims, room, open_kinds) {
            Admission::Refused if claims.has_role("admin") => Admission::Granted(Access::Read),
            admission => admission,
        }
    }

    fn emitted(&self, emitted: &Emitted<'_>, event: &str, args: Args) -> Result<Args, Refusal> {
        match event {
            RECEIVED => check(emitted, &args),
            READ if id_of(&Fields::of(&args)?).is_none() => {
                Err(Refusal::invalid("`id` must be a notification's id"))
            }
            _ => Ok(args),
        }
    }

    fn joined(&self, client: &Client<'_>, room: &RoomName, joined: &Joined) -> Vec<Action> {
        let own = RoomName::user(client.user()).as_ref() == Ok(room);
        let of_room = UserId::text(room.id()).ok().filter(|_| !own);
        let user_id = of_room.as_ref().unwrap_or(client.user());
        let subscribed = Action::emit("subscribed", &Subscribed { user_id });
        // One that was here already has them, or was told since.
        let unread = kept(joined).filter(|_| !joined.was_in);
        std::iter::once(subscribed).chain(unread).collect()
    }
}
