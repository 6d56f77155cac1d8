//! Workers Analytics Engine, where wrangler.toml binds a dataset: the isolate's counts as data points. At
//! most one in [`ANALYTICS_INTERVAL_MS`], at the end of what ran anyway: nothing wakes for it.

use std::cell::RefCell;

use dialtone_core::{
    limits::ANALYTICS_INTERVAL_MS,
    metrics::{Count, Counts, data_point},
    names::Timestamp,
};
use worker::{
    Env,
    js_sys::{Array, Object, Reflect},
    wasm_bindgen::{JsCast, JsValue},
};

use crate::{bindings::Dataset, execute::millis, metrics, random};

/// The binding.
const BINDING: &str = "ANALYTICS";

#[derive(Default)]
struct Reported {
    /// When it was looked last whether there is anything to write.
    looked_at: Timestamp,
    counts: Counts,
    /// This isolate: the index, by which Analytics Engine samples.
    isolate: String,
}

thread_local! {
    static REPORTED: RefCell<Reported> = RefCell::default();
}

/// Writes a data point, if it is time and there is where to.
pub fn report(env: &Env, now: Timestamp) {
    REPORTED.with_borrow_mut(|reported| {
        if now < reported.looked_at.plus(ANALYTICS_INTERVAL_MS) {
            return;
        }
        reported.looked_at = now;
        let bindings: &JsValue = env;
        let dataset = Reflect::get(bindings, &JsValue::from_str(BINDING)).unwrap_or_default();
        if !dataset.is_object() {
            return;
        }
        if reported.isolate.is_empty() {
            reported.isolate = random::id();
        }
        let (counts, gauges) = metrics::read();
        let happened = counts.clone() - &reported.counts;
        let doubles = data_point(&happened, &gauges, now).map(|n| JsValue::from_f64(millis(n)));
        let point = Object::new();
        for (field, values) in [
            ("indexes", Array::of1(&reported.isolate.as_str().into())),
            ("blobs", Array::of1(&env!("CARGO_PKG_VERSION").into())),
            ("doubles", doubles.iter().collect()),
        ] {
            drop(Reflect::set(&point, &field.into(), &values));
        }
        let dataset: &Dataset = dataset.unchecked_ref();
        if dataset.write_data_point(&point).is_ok() {
            reported.counts = counts;
            metrics::count(Count::DataPoints);
        }
    });
}
