//! What is counted in this isolate, and what the objects in it have open. Reading it wakes no object.

use std::{cell::RefCell, collections::HashMap};

use dialtone_core::{
    metrics::{self, Count, Counts, Gauges, TwilioCall, Wake},
    names::{RoomName, Timestamp},
    twilio::rest::Verdict,
};
use worker::js_sys::{Reflect, global};

use crate::sockets::whole;

#[derive(Default)]
struct Isolate {
    counts: Counts,
    /// What each object had open at the end of its last turn, where it is anything. Asleep it still has,
    /// so an object that is taken out of memory stays here.
    open: HashMap<RoomName, Gauges>,
}

thread_local! {
    /// One for the isolate: module statics outlive the objects in it, which is what a counter wants.
    static ISOLATE: RefCell<Isolate> = RefCell::default();
}

/// It has happened once more.
pub fn count(count: Count) {
    count_many(count, 1);
}

/// It has happened so many times more.
pub fn count_many(count: Count, times: usize) {
    ISOLATE.with_borrow_mut(|isolate| isolate.counts.add(count, metrics::count_of(times)));
}

/// Our code runs.
pub fn wake(cause: Wake) {
    count(Count::Wakes(cause));
}

/// A turn of so many inputs is over; `counted` adds what its machine has counted.
pub fn turn(inputs: usize, counted: impl FnOnce(&mut Counts)) {
    ISOLATE.with_borrow_mut(|isolate| {
        isolate.counts.turn(inputs);
        counted(&mut isolate.counts);
    });
}

/// An object has this open from now on.
pub fn opens(object: RoomName, gauges: Gauges) {
    ISOLATE.with_borrow_mut(|isolate| {
        if gauges == Gauges::default() {
            isolate.open.remove(&object);
        } else {
            isolate.open.insert(object, gauges);
        }
    });
}

/// Another object was asked.
pub fn hop(ok: bool) {
    count(Count::Hops);
    count_many(Count::HopFailures, usize::from(!ok));
}

/// Twilio was asked to send a message.
pub fn twilio_call(verdict: &Verdict) {
    count(Count::TwilioCalls(match verdict {
        Verdict::Sent(_) => TwilioCall::Sent,
        Verdict::Refused(_) => TwilioCall::Refused,
        Verdict::Later { .. } => TwilioCall::Later,
        Verdict::Unclear => TwilioCall::Unclear,
    }));
}

/// What was counted, and what is open in all objects together.
pub fn read() -> (Counts, Gauges) {
    ISOLATE.with_borrow(|isolate| {
        let open = isolate.open.values().copied();
        let open = open.fold(Gauges::default(), Gauges::and);
        let mut counts = isolate.counts.clone();
        counts.add(Count::Panics, panics());
        (counts, open)
    })
}

/// How often the code of this isolate has panicked. That ends what its counts are in: guard.js counts them.
fn panics() -> u64 {
    let count = Reflect::get(&global(), &"dialtonePanics".into()).ok();
    count.and_then(|count| count.as_f64()).map_or(0, whole)
}

/// As Prometheus reads it.
pub fn render(now: Timestamp) -> String {
    let (counts, gauges) = read();
    metrics::render(&counts, &gauges, now)
}
