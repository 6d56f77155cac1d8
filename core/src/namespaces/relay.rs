//! Any kind that no module claims: a granted client sends any event to the others.

use super::{Admission, Context, Kind, Publish, by_grant_open_or_member};
use crate::{auth::Claims, error::Refusal, event::Args, names::RoomName};

/// `{kind}:{id}` of an unclaimed kind.
pub struct Relay;

impl Kind for Relay {
    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        by_grant_open_or_member(claims, room, open_kinds)
    }

    fn client_event(&self, _: &Context<'_>, event: &str, args: &Args) -> Result<Publish, Refusal> {
        Ok(Publish {
            event: event.to_owned(),
            args: args.clone(),
            ..Publish::default()
        })
    }
}
