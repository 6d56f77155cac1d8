//! Thousands of Dialtone's objects and their clients in one process, from one seed (DESIGN §8).
//!
//! The machines are the real ones, `dialtone_core::object::Object`, on a real SQLite; clock, network,
//! runtime and clients are this crate's. Processes die in the midst of a turn and keep only what was
//! committed; requests between objects are late, doubled, lost; wires are cut; alarms ring late. At the
//! end the [`checker`], which knows nothing of how any of it works, compares what clients saw with what
//! was accepted.
//!
//! Read it in this order: [`scenario`], [`run`], [`world`], [`client`], [`ledger`], [`checker`],
//! [`mutant`].
//!
//! Not simulated: long-polling and binary events (the end-to-end tests have those), Twilio (core's tests).

// Nothing of it is for the Worker.
#![cfg(not(target_arch = "wasm32"))]

pub mod agenda;
pub mod checker;
pub mod client;
pub mod costs;
pub mod disk;
pub mod ledger;
pub mod mutant;
pub mod random;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shell;
pub mod tokens;
pub mod world;
