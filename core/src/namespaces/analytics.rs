//! `/analytics`: how far the syncs of a brand's analytics are (CONTRACT "/analytics").

use serde::Serialize;

use super::{
    Action, Admission, Client, Effect, Emitted, Kind, Namespace, Presence, by_grant_open_or_member,
    jobs::progress,
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

/// The namespace `/analytics`, and its rooms `brand:{id}`.
pub struct Analytics;

/// The events, by their payload's `eventType`.
pub const EVENT_TYPES: &[&str] = &[
    "analytics:sync-started",
    "analytics:sync-progress",
    "analytics:sync-completed",
    "analytics:insights-generated",
    "analytics:forecast-ready",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscribed<'a> {
    brand_id: &'a str,
}

/// An `AnalyticsEvent`.
fn check(emitted: &Emitted<'_>, event: &str, args: &Args) -> Result<Args, Refusal> {
    let mut analytics = Fields::of(args)?;
    analytics.required::<String>("syncId", "text")?;
    if analytics.one_of("eventType", EVENT_TYPES)? != event {
        return Err(analytics.wrong("eventType", "the event's name"));
    }
    let mut data = analytics.within("data", "data.")?;
    data.fill("timestamp", &emitted.now.rfc3339());
    for name in ["platform", "timestamp"] {
        data.required::<String>(name, "text")?;
    }
    data.optional::<String>("currentMetric", "text")?;
    progress(&data, "progress", true)?;
    for (name, is_required) in [("recordsProcessed", true), ("totalRecords", false)] {
        const COUNT: &str = "a number, 0 or more";
        match data.optional::<f64>(name, COUNT)? {
            Some(count) if count >= 0.0 => {}
            None if !is_required => {}
            _ => return Err(data.wrong(name, COUNT)),
        }
    }
    analytics.set("data", data);
    Ok(analytics.into_args())
}

fn is_analytics(event: &str) -> bool {
    event.starts_with("analytics:")
}

impl Namespace for Analytics {
    fn name(&self) -> &'static str {
        "/analytics"
    }

    fn connect(&self, _: &Client<'_>) -> Vec<Action> {
        Vec::new()
    }

    fn event(&self, _: &Client<'_>, event: &str, args: &Args) -> Result<Vec<Action>, Refusal> {
        let room = || room_of_id(args, "brand", "brandId");
        Ok(vec![match event {
            "subscribe-brand" => Action::Join(room()?),
            "unsubscribe-brand" => Action::Leave(room()?),
            _ => return Err(unknown_event(self.name(), event)),
        }])
    }

    fn emitted(&self, emitted: &Emitted<'_>, event: &str, args: Args) -> Result<Args, Refusal> {
        if is_analytics(event) {
            check(emitted, event, &args)
        } else {
            Ok(args)
        }
    }

    fn joined(&self, _: &Client<'_>, room: &RoomName, joined: &Joined) -> Vec<Action> {
        let brand_id = room.id();
        let subscribed = Action::emit("subscribed", &Subscribed { brand_id });
        std::iter::once(subscribed).chain(kept(joined)).collect()
    }
}

impl Kind for Analytics {
    fn namespace(&self) -> &'static str {
        "/analytics"
    }

    fn admit(&self, claims: &Claims, room: &RoomName, open_kinds: &[String]) -> Admission {
        by_grant_open_or_member(claims, room, open_kinds)
    }

    fn server_events(&self) -> &'static [&'static str] {
        EVENT_TYPES
    }

    fn came_or_went(&self, _: &RoomName, _: &UserId, _: bool) -> Presence {
        Presence::Silent
    }

    fn effect(&self, event: &str, _: &Args) -> Effect {
        if is_analytics(event) {
            Effect::Latest
        } else {
            Effect::None
        }
    }
}
