//! One JSON line an event. Never a message's body, never a token.

use std::{panic::set_hook, sync::Once};

use serde::Serialize;
use serde_json::json;

#[derive(Serialize)]
struct Line<'a, T> {
    level: &'a str,
    event: &'a str,
    #[serde(flatten)]
    fields: T,
}

fn line(level: &str, event: &str, fields: impl Serialize) -> String {
    serde_json::to_string(&Line {
        level,
        event,
        fields,
    })
    .unwrap_or_default()
}

/// Something that operators want to see.
pub fn info(event: &str, fields: impl Serialize) {
    worker::console_log!("{}", line("info", event, fields));
}

/// Something that operators must look at.
pub fn error(event: &str, fields: impl Serialize) {
    worker::console_error!("{}", line("error", event, fields));
}

/// From now on a panic is one, with where it was and not what it says: that may hold what somebody sent. A
/// debug build says all.
/// At the first call of an instance, for the hook of the `worker` crate's own start says all.
pub fn panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_hook(Box::new(|panic| {
            let at = panic.location().map(ToString::to_string);
            error("panic", json!({"at": at}));
            if cfg!(debug_assertions) {
                console_error_panic_hook::hook(panic);
            }
        }));
    });
}
