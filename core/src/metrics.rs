//! What is counted, and how Prometheus reads it: one table. A turn's counts are core's, the rest the
//! shell's; both are summed up for the isolate. Labels have few values, all of them known here: nothing
//! that a client names is one.

use std::fmt::{Display, Write as _};

use crate::{error::Code, names::Timestamp};

/// A label's values.
trait Label {
    const VALUES: &'static [&'static str];
}

impl Label for Code {
    const VALUES: &'static [&'static str] = Self::ALL;
}

macro_rules! labels {
    ($($(#[$meta:meta])* $label:ident { $($variant:ident $text:literal),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum $label { $($variant),+ }

        impl Label for $label {
            const VALUES: &'static [&'static str] = &[$($text),+];
        }
    )+};
}

labels! {
    /// Why our code ran.
    Wake {
        Constructor "constructor",
        Fetch "fetch",
        Message "message",
        Close "close",
        Error "error",
        Alarm "alarm",
        Timer "timer",
    }
    /// How many inputs a turn had, at most.
    TurnSize { One "1", Four "4", Sixteen "16", SixtyFour "64", More "+Inf" }
    /// Who came into a room or went, by user.
    Presence { Joined "join", Left "leave" }
    /// What came of a wish to go on where a connection was lost, and why not.
    #[derive(serde::Serialize, serde::Deserialize)]
    Recovery {
        Recovered "recovered",
        Epoch "epoch",
        Ahead "ahead",
        Pruned "pruned",
        WindowOver "window_over",
        Unknown "unknown",
        Unreachable "unreachable",
    }
    /// What Twilio said to a message.
    TwilioCall { Sent "sent", Refused "refused", Later "later", Unclear "unclear" }
    /// What became of a webhook of Twilio's.
    TwilioWebhook { Accepted "accepted", Duplicate "duplicate", Status "status", Refused "refused" }
    /// How a request to a server that is not ours went.
    Foreign { Ok "ok", Failed "failed" }
}

impl From<bool> for Foreign {
    fn from(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Failed }
    }
}

struct Family {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: &'static [&'static str],
}

macro_rules! families {
    ($($(#[$doc:meta])* $count:ident $(($label:ident: $values:ty))? $name:literal $help:literal;)+) => {
        /// Something that has happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Count { $($count $(($values))?),+ }

        enum Place { $($count),+ }

        impl Count {
            /// Its family, and which of that family's series it is.
            const fn place(self) -> (usize, usize) {
                match self {
                    $(Self::$count $(($label))? => (Place::$count as usize, 0 $(+ $label as usize)?)),+
                }
            }
        }

        const FAMILIES: &[Family] = &[$(Family {
            name: $name,
            help: $help,
            label: concat!($(stringify!($label))?),
            values: families!(@values $($values)?),
        }),+];
    };
    (@values $values:ty) => { <$values as Label>::VALUES };
    (@values) => { &[""] };
}

families! {
    Wakes(cause: Wake) "wakes_total" "Why our code ran in a Room object.";
    TurnInputs(le: TurnSize) "turn_inputs" "How many inputs the turns of Room objects had.";
    Inputs "inputs_total" "Inputs of those turns.";
    Opened "connections_opened_total" "WebSockets accepted.";
    Closed "connections_closed_total" "WebSockets closed.";
    Publications "publications_total" "Events accepted into a room's log.";
    Duplicates "duplicates_total" "Events that were accepted before.";
    Deliveries "deliveries_total" "Frames handed to sockets and polling sessions.";
    Refusals(code: Code) "refusals_total" "Events, connections and requests refused, by their code.";
    Recoveries(result: Recovery) "recoveries_total" "Socket.IO clients that came back with their session's id.";
    Resumes(result: Recovery) "resumes_total" "Plain WebSockets that came back with ?since=.";
    Presence(change: Presence) "presence_changes_total" "Users who came into a room, or went.";
    Hops "hops_total" "Questions from object to object.";
    HopFailures "hop_failures_total" "Those that failed.";
    PeerSockets "peer_sockets_opened_total" "WebSockets from object to object, for those that ask often.";
    TwilioCalls(outcome: TwilioCall) "twilio_calls_total" "Messages handed to Twilio, by what it said.";
    TwilioWebhooks(result: TwilioWebhook) "twilio_webhooks_total" "Webhooks of Twilio's, by what became of them.";
    EventWebhooks(result: Foreign) "event_webhook_posts_total" "Posts to EVENT_WEBHOOK_URL.";
    JwksFetches(result: Foreign) "jwks_fetches_total" "Requests for the key set at JWT_JWKS_URL.";
    StorageErrors "storage_errors_total" "Turns that storage failed.";
    Panics "panics_total" "Panics; with each the other counters began anew.";
    DataPoints "analytics_points_total" "Data points written to Analytics Engine.";
}

const fn starts() -> ([usize; FAMILIES.len()], usize) {
    let mut starts = [0; FAMILIES.len()];
    let (mut rest, mut slots, mut next): (&[Family], &mut [usize], usize) =
        (FAMILIES, &mut starts, 0);
    while let ([family, families @ ..], [slot, free @ ..]) = (rest, slots) {
        *slot = next;
        next += family.values.len();
        (rest, slots) = (families, free);
    }
    (starts, next)
}

/// Where each family's series begin, and how many there are.
const STARTS: ([usize; FAMILIES.len()], usize) = starts();

/// How often each thing has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts([u64; STARTS.1]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; STARTS.1])
    }
}

/// As a count.
pub fn count_of(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Counts {
    /// It has happened so many times more.
    pub fn add(&mut self, count: Count, times: u64) {
        let (family, series) = count.place();
        let start = STARTS.0.get(family).copied().unwrap_or_default();
        if let Some(value) = self.0.get_mut(start.saturating_add(series)) {
            *value = value.saturating_add(times);
        }
    }

    /// A turn had so many inputs.
    pub fn turn(&mut self, inputs: usize) {
        let size = match inputs {
            0..=1 => TurnSize::One,
            2..=4 => TurnSize::Four,
            5..=16 => TurnSize::Sixteen,
            17..=64 => TurnSize::SixtyFour,
            _ => TurnSize::More,
        };
        self.add(Count::TurnInputs(size), 1);
        self.add(Count::Inputs, count_of(inputs));
    }

    /// These have happened too.
    pub fn sum(&mut self, more: &Self) {
        for (value, more) in self.0.iter_mut().zip(&more.0) {
            *value = value.saturating_add(*more);
        }
    }

    /// How often this has happened.
    pub fn get(&self, count: Count) -> u64 {
        let (family, series) = count.place();
        self.of(family).get(series).copied().unwrap_or_default()
    }

    /// The same, whatever the label's value.
    fn all(&self, count: Count) -> u64 {
        let values = self.of(count.place().0).iter();
        values.fold(0, |sum, value| sum.saturating_add(*value))
    }

    fn of(&self, family: usize) -> &[u64] {
        let start = STARTS.0.get(family).copied().unwrap_or_default();
        let len = FAMILIES.get(family).map_or(0, |family| family.values.len());
        self.0
            .get(start..start.saturating_add(len))
            .unwrap_or_default()
    }
}

/// What an object has open. It says so at the end of a turn; asleep, nothing of it changes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Plain WebSockets.
    pub plain: u64,
    /// Engine.IO sessions that poll.
    pub polling: u64,
    /// Engine.IO sessions on WebSockets.
    pub websocket: u64,
    /// What other rooms and a backend are owed.
    pub outbox: u64,
    /// Since when the first of it is.
    pub outbox_since: Option<Timestamp>,
    /// Messages that wait for Twilio, or for what it says.
    pub unsent: u64,
}

impl Gauges {
    /// Of two objects together.
    pub fn and(self, other: Self) -> Self {
        Self {
            plain: self.plain.saturating_add(other.plain),
            polling: self.polling.saturating_add(other.polling),
            websocket: self.websocket.saturating_add(other.websocket),
            outbox: self.outbox.saturating_add(other.outbox),
            outbox_since: self
                .outbox_since
                .into_iter()
                .chain(other.outbox_since)
                .min(),
            unsent: self.unsent.saturating_add(other.unsent),
        }
    }

    fn outbox_age_seconds(&self, now: Timestamp) -> u64 {
        let since = self.outbox_since.unwrap_or(now);
        now.0.saturating_sub(since.0) / 1_000
    }
}

/// Prometheus' text.
pub fn render(counts: &Counts, gauges: &Gauges, now: Timestamp) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for (place, family) in FAMILIES.iter().enumerate() {
        let values = family.values.iter().zip(counts.of(place));
        if place == Place::TurnInputs as usize {
            head(&mut text, family.name, family.help, "histogram");
            let mut turns = 0_u64;
            for (le, value) in values {
                turns = turns.saturating_add(*value);
                sample(&mut text, "turn_inputs_bucket", "le", le, turns);
            }
            let inputs = counts.get(Count::Inputs);
            sample(&mut text, "turn_inputs_sum", "", "", inputs);
            sample(&mut text, "turn_inputs_count", "", "", turns);
        } else if place != Place::Inputs as usize {
            head(&mut text, family.name, family.help, "counter");
            for (label, value) in values {
                sample(&mut text, family.name, family.label, label, value);
            }
        }
    }
    let mut gauge = |name, help, label, values: &[(&str, u64)]| {
        head(&mut text, name, help, "gauge");
        for (of, value) in values {
            sample(&mut text, name, label, of, value);
        }
    };
    let wires = [
        ("plain", gauges.plain),
        ("polling", gauges.polling),
        ("websocket", gauges.websocket),
    ];
    gauge(
        "connections",
        "What is connected: plain WebSockets, Engine.IO by its transport.",
        "wire",
        &wires,
    );
    gauge(
        "outbox_entries",
        "What other rooms and EVENT_WEBHOOK_URL are owed.",
        "",
        &[("", gauges.outbox)],
    );
    let age = gauges.outbox_age_seconds(now);
    gauge(
        "outbox_oldest_age_seconds",
        "How long the first of it has waited.",
        "",
        &[("", age)],
    );
    gauge(
        "twilio_unsent_messages",
        "Messages that wait for Twilio.",
        "",
        &[("", gauges.unsent)],
    );
    gauge(
        "build_info",
        "The version that runs.",
        "version",
        &[(env!("CARGO_PKG_VERSION"), 1)],
    );
    text
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(
        text,
        "# HELP dialtone_{name} {help}\n# TYPE dialtone_{name} {kind}"
    );
}

fn sample(text: &mut String, name: &str, label: &str, of: &str, value: impl Display) {
    let _ = if label.is_empty() {
        writeln!(text, "dialtone_{name} {value}")
    } else {
        writeln!(text, "dialtone_{name}{{{label}=\"{of}\"}} {value}")
    };
}

/// What Analytics Engine gets as `double1`, `double2`…, of which it takes 20: what has happened since the
/// last data point, then what is open. The order is the README's, and queries': it only ever grows.
pub fn data_point(happened: &Counts, gauges: &Gauges, now: Timestamp) -> [u64; 20] {
    let refused = |code| happened.get(Count::Refusals(code));
    let recovered = happened.get(Count::Recoveries(Recovery::Recovered));
    let sent = happened.get(Count::TwilioCalls(TwilioCall::Sent));
    [
        happened.all(Count::Wakes(Wake::Fetch)),
        happened.all(Count::TurnInputs(TurnSize::One)),
        happened.get(Count::Publications),
        happened.get(Count::Duplicates),
        happened.get(Count::Deliveries),
        happened.all(Count::Refusals(Code::Internal)),
        refused(Code::RateLimited),
        happened.get(Count::Hops),
        happened.get(Count::HopFailures),
        recovered,
        happened
            .all(Count::Recoveries(Recovery::Recovered))
            .saturating_sub(recovered),
        sent,
        happened
            .all(Count::TwilioCalls(TwilioCall::Sent))
            .saturating_sub(sent),
        happened.get(Count::EventWebhooks(Foreign::Failed)),
        happened.get(Count::StorageErrors),
        gauges.plain,
        gauges.polling,
        gauges.websocket,
        gauges.outbox,
        gauges.outbox_age_seconds(now),
    ]
}

/// What has happened between two sums.
impl std::ops::Sub<&Self> for Counts {
    type Output = Self;

    fn sub(mut self, before: &Self) -> Self {
        for (value, before) in self.0.iter_mut().zip(&before.0) {
            *value = value.saturating_sub(*before);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_count_has_a_series_of_its_own() {
        let mut counts = Counts::default();
        for (times, count) in [
            (1, Count::Wakes(Wake::Constructor)),
            (2, Count::Wakes(Wake::Timer)),
            (3, Count::Publications),
            (4, Count::Refusals(Code::BadRequest)),
            (5, Count::Refusals(Code::Unavailable)),
            (6, Count::Recoveries(Recovery::Recovered)),
            (7, Count::Resumes(Recovery::Unreachable)),
            (8, Count::DataPoints),
        ] {
            counts.add(count, times);
            counts.add(count, 0);
            assert_eq!(counts.get(count), times, "{count:?}");
        }
        assert_eq!(counts.0.iter().sum::<u64>(), 36);
        let twice = {
            let mut twice = counts.clone();
            twice.sum(&counts);
            twice
        };
        assert_eq!(twice - &counts, counts);
    }

    #[test]
    fn the_text_is_prometheus_own_and_its_histogram_adds_up() {
        let mut counts = Counts::default();
        for inputs in [1, 1, 3, 64, 1_000] {
            counts.turn(inputs);
        }
        counts.add(Count::Refusals(Code::RateLimited), 2);
        let gauges = Gauges {
            plain: 3,
            outbox: 1,
            outbox_since: Some(Timestamp(4_000)),
            ..Gauges::default()
        };
        let text = render(&counts, &gauges, Timestamp(9_500));
        let mut families = HashSet::new();
        let mut series = HashSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(families.insert(name.to_owned()), "{name} twice");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name} {kind}");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.ends_with('.'), "{rest}");
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<u64>().is_ok(), "{line}");
                assert!(series.insert(name.to_owned()), "{name} twice");
            }
        }
        for line in [
            r#"dialtone_turn_inputs_bucket{le="1"} 2"#,
            r#"dialtone_turn_inputs_bucket{le="4"} 3"#,
            r#"dialtone_turn_inputs_bucket{le="16"} 3"#,
            r#"dialtone_turn_inputs_bucket{le="64"} 4"#,
            r#"dialtone_turn_inputs_bucket{le="+Inf"} 5"#,
            "dialtone_turn_inputs_sum 1069",
            "dialtone_turn_inputs_count 5",
            r#"dialtone_refusals_total{code="rate_limited"} 2"#,
            r#"dialtone_refusals_total{code="internal"} 0"#,
            r#"dialtone_connections{wire="plain"} 3"#,
            r#"dialtone_connections{wire="polling"} 0"#,
            "dialtone_outbox_entries 1",
            "dialtone_outbox_oldest_age_seconds 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
