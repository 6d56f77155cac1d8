//! What an object has stored, changed behind its back: its rows, and the attachments of its sockets. It may
//! refuse to go on; it may not panic.

use crate::{object::Stage, text};

/// What has happened before, so that each table has rows.
const BEFORE: &[&[&str]] = &[
    &[
        "chat:1",
        r#"@{"add_member":{"user":"ann"}}"#,
        r#"@{"is_member":{"user":"ann","follower":"sms:1:2"}}"#,
        "+ann full",
        "+bob full",
        r#"0{"event":"send_message","data":{"message":"a"},"id":"a"}"#,
        r#"1{"event":"send_message","data":{"message":"b"},"id":"b"}"#,
        r#"1{"event":"mark_read","data":{"offset":1}}"#,
        r#"@{"link":{"from":"lobby:0","ops":[]}}"#,
    ],
    &["lobby:0", "h", "g", "+ann full"],
    &[
        "user:ann",
        "+ann full",
        r#"@{"deliver":{"parcels":[{"event":{"event":"notification:received","args":[{"id":"n","type":"t","title":"t","message":"m","severity":"info"}],"audience":{"namespace":"/notifications"}}},{"line":{"number":"1","listed":true}}]}}"#,
    ],
    &[
        "sms:+15552223333:+15550001111",
        "+ann full",
        r#"@{"deliver":{"parcels":[{"event":{"event":"new_message","args":[{"phoneNumberId":"+15552223333","from":"+15550001111","to":"+15552223333","body":"b","direction":"inbound","timestamp":"2026-01-05T10:00:00.000Z"}],"dedupe":"twilio:SM0123456789abcdef0123456789abcdef"}}]}}"#,
        r#"0{"event":"message_sent","data":{"body":"x","id":"m"},"id":"m"}"#,
    ],
    &[
        "line:+15552223333",
        "+ann full",
        r#"@{"add_member":{"user":"ann"}}"#,
        r#"@{"deliver":{"parcels":[{"event":{"event":"new_message","args":[{"body":"b"}],"standing":{"room":"sms:+15552223333:+15550001111","unread":1,"opted_out":false}}},{"event":{"event":"message_sent","args":[{"body":"b"}],"outgoing":{"room":"sms:+15552223333:+15550001111","id":"m","from":"+15552223333","to":"+15550001111","body":"b","media":[]}}}]}}"#,
    ],
];

/// What looks at all of it.
const AFTER: &[&str] = &[
    "+ann member e:1",
    "+cid full",
    r#"0{"event":"mark_read","data":{},"id":"r"}"#,
    r#"0{"event":"send_message","data":{"message":"c"},"id":"c"}"#,
    r#"@{"history":{"caller":{"claims":{"user":"ann","expires_at":2000000000000},"access":"full"},"limit":9}}"#,
    r#"@{"messages":{"caller":{"claims":{"user":"ann","expires_at":2000000000000},"access":"full"},"limit":9}}"#,
    r#"@{"conversations":{"caller":{"claims":{"user":"ann","expires_at":2000000000000},"access":"full"},"limit":9}}"#,
    r#"@{"conversation":{"caller":{"claims":{"user":"ann","expires_at":2000000000000},"access":"full"},"limit":9}}"#,
    r#"@{"presence":{"caller":{"claims":{"user":"ann","expires_at":2000000000000},"access":"full"}}}"#,
    r#"@{"latest":{"caller":{"claims":{"user":"ann","expires_at":2000000000000},"access":"full"}}}"#,
    r#"@{"notifications":{"unread":false,"limit":9}}"#,
    r#"@{"remove_member":{"user":"ann"}}"#,
    r#"@"members""#,
    r#"@"lines""#,
    r#"@"unread""#,
    "w201 {}",
    "d",
    "t60000",
    "t100000000",
    "D",
];

/// First which object, then lines as in [`object`](crate::object()): `!table.column=value` among them.
pub fn rows(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut lines = text.lines();
    let which = lines.next().and_then(|line| line.parse().ok());
    let Some([first, before @ ..]) = BEFORE.get(which.unwrap_or(0_usize)) else {
        return;
    };
    let mut stage = Stage::new(first).unwrap();
    stage.play(before.iter().copied());
    stage.play(lines.take(20));
    stage.play(AFTER.iter().copied());
}
