//! Counters of this isolate, in Prometheus' text format. Reading them wakes no object.

use std::{cell::RefCell, fmt::Write as _};

use dialtone_core::{object::Stats, twilio::rest::Verdict};
use worker::js_sys::{Reflect, global};

/// Why our code ran.
#[derive(Debug, Clone, Copy)]
pub enum Wake {
    /// The object was made, or came back from hibernation.
    Constructor,
    /// A request.
    Fetch,
    /// A frame.
    Message,
    /// A socket's end.
    Close,
    /// A socket's error.
    Error,
    /// The alarm.
    Alarm,
    /// A timer in memory.
    Timer,
}

const WAKES: [(&str, Wake); 7] = [
    ("constructor", Wake::Constructor),
    ("fetch", Wake::Fetch),
    ("message", Wake::Message),
    ("close", Wake::Close),
    ("error", Wake::Error),
    ("alarm", Wake::Alarm),
    ("timer", Wake::Timer),
];

#[derive(Default)]
struct Counters {
    constructor: u64,
    fetch: u64,
    message: u64,
    close: u64,
    error: u64,
    alarm: u64,
    timer: u64,
    opened: u64,
    closed: u64,
    turns: u64,
    sends: u64,
    hops: u64,
    hop_failures: u64,
    peer_sockets: u64,
    storage_errors: u64,
    publications: u64,
    duplicates: u64,
    refusals: u64,
    twilio_sent: u64,
    twilio_refused: u64,
    twilio_later: u64,
    twilio_unclear: u64,
}

impl Counters {
    fn wake(&mut self, cause: Wake) -> &mut u64 {
        match cause {
            Wake::Constructor => &mut self.constructor,
            Wake::Fetch => &mut self.fetch,
            Wake::Message => &mut self.message,
            Wake::Close => &mut self.close,
            Wake::Error => &mut self.error,
            Wake::Alarm => &mut self.alarm,
            Wake::Timer => &mut self.timer,
        }
    }
}

thread_local! {
    /// One for the isolate: module statics outlive the objects in it, which is what a counter wants.
    static COUNTERS: RefCell<Counters> = RefCell::default();
}

fn with(count: impl FnOnce(&mut Counters)) {
    COUNTERS.with_borrow_mut(count);
}

fn bump(counter: &mut u64, by: usize) {
    *counter = counter.saturating_add(u64::try_from(by).unwrap_or(u64::MAX));
}

/// Our code runs.
pub fn wake(cause: Wake) {
    with(|c| bump(c.wake(cause), 1));
}

/// A WebSocket was accepted.
pub fn opened() {
    with(|c| bump(&mut c.opened, 1));
}

/// A WebSocket is closed.
pub fn closed() {
    with(|c| bump(&mut c.closed, 1));
}

/// A turn is over.
pub fn turn(stats: Stats) {
    with(|c| {
        bump(&mut c.turns, 1);
        c.publications = c.publications.saturating_add(stats.publications);
        c.duplicates = c.duplicates.saturating_add(stats.duplicates);
        c.refusals = c.refusals.saturating_add(stats.refusals);
    });
}

/// So many frames were handed to sockets.
pub fn sends(count: usize) {
    with(|c| bump(&mut c.sends, count));
}

/// Another object was asked.
pub fn hop(ok: bool) {
    with(|c| {
        bump(&mut c.hops, 1);
        bump(&mut c.hop_failures, usize::from(!ok));
    });
}

/// A WebSocket to another object was opened.
pub fn peer_socket() {
    with(|c| bump(&mut c.peer_sockets, 1));
}

/// Twilio was asked to send a message.
pub fn twilio_call(verdict: &Verdict) {
    with(|c| {
        let counter = match verdict {
            Verdict::Sent(_) => &mut c.twilio_sent,
            Verdict::Refused(_) => &mut c.twilio_refused,
            Verdict::Later { .. } => &mut c.twilio_later,
            Verdict::Unclear => &mut c.twilio_unclear,
        };
        bump(counter, 1);
    });
}

/// Storage failed a turn.
pub fn storage_error() {
    with(|c| bump(&mut c.storage_errors, 1));
}

/// Panics of this isolate. They end what these counters are in: guard.js counts them.
fn panics() -> u64 {
    let count = Reflect::get(&global(), &"dialtonePanics".into()).ok();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // A cast saturates, and it counts by ones.
    let count = count.and_then(|count| count.as_f64()).unwrap_or_default() as u64;
    count
}

/// The counters as Prometheus reads them.
pub fn render() -> String {
    COUNTERS.with_borrow_mut(|c| {
        let mut text = String::from(
            "# HELP dialtone_wakes_total Why our code ran in a Room object.\n\
             # TYPE dialtone_wakes_total counter\n",
        );
        for (cause, wake) in WAKES {
            let _ = writeln!(text, "dialtone_wakes_total{{cause=\"{cause}\"}} {}", c.wake(wake));
        }
        text.push_str(
            "# HELP dialtone_twilio_calls_total Messages handed to Twilio, by what it said.\n\
             # TYPE dialtone_twilio_calls_total counter\n",
        );
        for (outcome, value) in [
            ("sent", c.twilio_sent),
            ("refused", c.twilio_refused),
            ("later", c.twilio_later),
            ("unclear", c.twilio_unclear),
        ] {
            let _ = writeln!(text, "dialtone_twilio_calls_total{{outcome=\"{outcome}\"}} {value}");
        }
        for (name, help, value) in [
            ("connections_opened_total", "WebSockets accepted.", c.opened),
            ("connections_closed_total", "WebSockets closed.", c.closed),
            ("turns_total", "Turns of Room objects.", c.turns),
            ("publications_total", "Events accepted into a room's log.", c.publications),
            ("duplicates_total", "Events that were accepted before.", c.duplicates),
            ("refusals_total", "Events refused.", c.refusals),
            ("sends_total", "Frames handed to sockets.", c.sends),
            ("hops_total", "Questions from object to object.", c.hops),
            ("hop_failures_total", "Those that failed.", c.hop_failures),
            ("peer_sockets_opened_total", "WebSockets from object to object, for those that ask often.", c.peer_sockets),
            ("storage_errors_total", "Turns that storage failed.", c.storage_errors),
            ("panics_total", "Panics; the other counters began anew with each.", panics()),
        ] {
            let _ = writeln!(
                text,
                "# HELP dialtone_{name} {help}\n# TYPE dialtone_{name} counter\ndialtone_{name} {value}"
            );
        }
        text
    })
}
