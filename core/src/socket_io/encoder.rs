//! From what the server says to packets.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;

use super::binary;
use crate::event::Args;

/// An event or acknowledgement: a text message, and behind it a binary message for each attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The packet.
    pub text: String,
    /// The binary data that the text has placeholders for, in their order.
    pub attachments: Vec<Vec<u8>>,
}

/// Everything of a packet besides its arguments and attachments.
struct Frame<'a> {
    /// EVENT and BINARY_EVENT, or ACK and BINARY_ACK.
    kinds: (char, char),
    namespace: &'a str,
    id: Option<u64>,
    event: Option<&'a str>,
    offset: Option<&'a str>,
}

/// An EVENT, or a BINARY_EVENT where the arguments contain binary data. The `offset` of connection
/// state recovery goes behind the arguments; `id` asks for an acknowledgement.
pub fn encode_event(
    namespace: &str,
    id: Option<u64>,
    event: &str,
    args: &Args,
    offset: Option<&str>,
) -> Encoded {
    Frame {
        kinds: ('2', '5'),
        namespace,
        id,
        event: Some(event),
        offset,
    }
    .encode(args)
}

/// An ACK, or a BINARY_ACK where the arguments contain binary data.
pub fn encode_ack(namespace: &str, id: u64, args: &Args) -> Encoded {
    Frame {
        kinds: ('3', '6'),
        namespace,
        id: Some(id),
        event: None,
        offset: None,
    }
    .encode(args)
}

/// The answer to a CONNECT: `0{"sid":…}`, with `"pid"` where the connection can be recovered.
pub fn encode_connect(namespace: &str, sid: &str, pid: Option<&str>) -> String {
    let mut text = String::with_capacity(96);
    push_head(&mut text, '0', namespace);
    push_serialized(&mut text, &Session { sid, pid });
    text
}

/// The refusal of a CONNECT: `4{"message":…}`, with `"data"` where there is some.
pub fn encode_connect_error(namespace: &str, message: &str, data: Option<&RawValue>) -> String {
    let mut text = String::with_capacity(96);
    push_head(&mut text, '4', namespace);
    push_serialized(&mut text, &ConnectError { message, data });
    text
}

/// The server puts the client out of a namespace: `1`, `1/chat,`.
pub fn encode_disconnect(namespace: &str) -> String {
    let mut text = String::with_capacity(namespace.len().saturating_add(2));
    push_head(&mut text, '1', namespace);
    text
}

#[derive(Serialize)]
struct Session<'a> {
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
}

#[derive(Serialize)]
struct ConnectError<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Frame<'_> {
    fn encode(&self, args: &Args) -> Encoded {
        let args = elements(args);
        if binary::may_contain(args)
            && let Some((args, attachments)) = binary::take(args)
        {
            return Encoded {
                text: self.text(&args, Some(attachments.len())),
                attachments,
            };
        }
        Encoded {
            text: self.text(args, None),
            attachments: Vec::new(),
        }
    }

    /// `args` are the elements of an array, without its brackets.
    fn text(&self, args: &str, attachments: Option<usize>) -> String {
        // The type, the number of attachments, the commas, the ack id and the quotes: 40 at most.
        let length = [
            self.namespace,
            self.event.unwrap_or_default(),
            args,
            self.offset.unwrap_or_default(),
        ]
        .iter()
        .fold(40_usize, |length, part| length.saturating_add(part.len()));
        let mut text = String::with_capacity(length);
        match attachments {
            None => text.push(self.kinds.0),
            // Writing to a String cannot fail, here and below.
            Some(number) => {
                let _ = write!(text, "{}{number}-", self.kinds.1);
            }
        }
        push_namespace(&mut text, self.namespace);
        if let Some(id) = self.id {
            let _ = write!(text, "{id}");
        }
        let mut separator = '[';
        if let Some(event) = self.event {
            text.push(separator);
            push_string(&mut text, event);
            separator = ',';
        }
        if !args.is_empty() {
            text.push(separator);
            text.push_str(args);
            separator = ',';
        }
        if let Some(offset) = self.offset {
            text.push(separator);
            push_string(&mut text, offset);
            separator = ',';
        }
        if separator == '[' {
            text.push('[');
        }
        text.push(']');
        text
    }
}

/// The arguments as the elements of an array, without its brackets.
pub(super) fn elements(args: &Args) -> &str {
    match args {
        Args::One(one) => one.get(),
        Args::Array(array) => array
            .get()
            .strip_prefix('[')
            .and_then(|array| array.strip_suffix(']'))
            .unwrap_or_default()
            .trim(),
    }
}

fn push_head(text: &mut String, kind: char, namespace: &str) {
    text.push(kind);
    push_namespace(text, namespace);
}

fn push_namespace(text: &mut String, namespace: &str) {
    if !matches!(namespace, "" | "/") {
        text.push_str(namespace);
        text.push(',');
    }
}

/// A JSON string; names and offsets hardly ever need an escape.
fn push_string(text: &mut String, string: &str) {
    if string
        .bytes()
        .any(|b| b.is_ascii_control() || matches!(b, b'"' | b'\\'))
    {
        push_serialized(text, &string);
    } else {
        text.push('"');
        text.push_str(string);
        text.push('"');
    }
}

fn push_serialized(text: &mut String, value: &impl Serialize) {
    // Strings and raw JSON always serialize.
    text.push_str(&serde_json::to_string(value).unwrap_or_default());
}
