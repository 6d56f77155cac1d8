//! One JSON line an event. Never a message's body, never a token.

use serde::Serialize;

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
