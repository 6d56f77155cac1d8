//! Panics on purpose, with the cargo feature `panics` alone: what they leave behind is tested
//! (`tests/e2e/panics.test.mjs`). What is deployed has none of it.

use crate::object::Input;

/// In a frame or a request: its turn panics.
const IN_TURN: &str = "panic in the turn";
/// In what waits in the outbox: once it has been brought, the turn that would strike it off panics.
const IN_OUTBOX: &str = "panic in the outbox";
/// In what another object or the Worker asks: the turn of the room that is asked panics.
const IN_ASKED: &str = "panic in who is asked";
/// In a frame that is sent: it panics when all is committed.
const IN_SEND: &str = "panic in sending";

/// At an input.
pub(crate) fn at_input(input: &Input) {
    match input {
        Input::Text { text, .. } => at(text, IN_TURN),
        Input::Request { body, .. } => {
            let body = json(body);
            at(&body, IN_TURN);
            at(&body, IN_ASKED);
        }
        Input::Delivered { delivery, .. } => at(&json(&delivery.parcels), IN_OUTBOX),
        _ => {}
    }
}

/// At a request to the Worker.
pub fn at_request(path: &str) {
    at(path, "/panic-in-the-worker");
}

/// Where a frame is sent.
pub fn at_send(frame: &str) {
    at(frame, IN_SEND);
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[allow(clippy::panic)]
fn at(text: &str, sign: &str) {
    if text.contains(sign) {
        panic!("on purpose");
    }
}
