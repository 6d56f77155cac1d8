//! What is tried with any bytes at all. Each body takes bytes and panics if something of ours panics, or is
//! wrong: what is read and written again must be the same, a second parser must agree, an object must go on
//! to answer.
//!
//! `npm run fuzz` hands them to libFuzzer (`libfuzzer/` has the wrappers); `cargo test` runs them over every
//! seed (`seeds/`), what was once found among them.

// Nothing of it is for the Worker.
#![cfg(not(target_arch = "wasm32"))]

mod bodies;
mod codecs;
mod object;
mod rows;
pub mod seeds;
mod tokens;
mod wire;

pub use bodies::{bodies, webhooks};
pub use codecs::{engine_io, msgpack, plain, socket_io};
pub use object::object;
pub use rows::rows;
pub use tokens::{jwk_sets, tokens};
pub use wire::wire;

/// What is tried.
pub type Body = fn(&[u8]);

/// All of them, by the names of their libFuzzer targets.
pub const BODIES: &[(&str, Body)] = &[
    ("engine_io", engine_io),
    ("socket_io", socket_io),
    ("msgpack", msgpack),
    ("plain", plain),
    ("tokens", tokens),
    ("jwk_sets", jwk_sets),
    ("webhooks", webhooks),
    ("bodies", bodies),
    ("wire", wire),
    ("rows", rows),
    ("object", object),
];

/// Most of what comes in is text by the time that core has it.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
