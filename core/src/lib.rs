//! Every decision of Dialtone, sans-I/O.
//!
//! This crate never sees `worker`, a clock or a source of randomness: it is told the time, handed
//! random ids, given a [`storage::Sql`] to run its statements on, and answers with plain values.
//! Reading order: [`names`] → [`limits`] → [`error`] → [`auth`] → [`namespaces`] → [`room`] →
//! [`hub`] → [`object`], which joins the two machines into one turn.
//!
//! It keeps the invariants of the README's Architecture section; each module names its own.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )
)]

pub mod auth;
pub mod config;
mod deadlines;
pub mod emit;
pub mod engine_io;
pub mod error;
pub mod etag;
pub mod event;
pub mod event_webhook;
pub mod fields;
pub mod hub;
pub mod limits;
pub mod lines;
pub mod metrics;
pub mod names;
pub mod namespaces;
pub mod object;
#[cfg(feature = "panics")]
pub mod panics;
pub mod peer;
pub mod room;
pub mod socket_io;
pub mod storage;
pub mod twilio;
mod web;
pub mod wire;
