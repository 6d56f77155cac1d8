//! From JSON text to MessagePack.

use std::fmt;

use rmp::encode;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::socket_io::binary::binary_at;

/// Builds a message. Arrays and maps get their lengths when they are closed. Writing to memory
/// cannot fail, so the results of `rmp` are dropped.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    open: Vec<Container>,
}

struct Container {
    is_map: bool,
    /// Where its one-byte head stands.
    head: usize,
    /// Elements, or keys and values.
    count: u32,
}

impl Writer {
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub fn open_array(&mut self) {
        self.begin(false);
    }

    pub fn open_map(&mut self) {
        self.begin(true);
    }

    fn begin(&mut self, is_map: bool) {
        self.count();
        self.open.push(Container {
            is_map,
            head: self.bytes.len(),
            count: 0,
        });
        self.bytes.push(0);
    }

    /// Ends the innermost array or map, and puts its real head in.
    pub fn close(&mut self) {
        let Some(container) = self.open.pop() else {
            return;
        };
        let mut head = Vec::with_capacity(5);
        let _ = if container.is_map {
            encode::write_map_len(&mut head, container.count / 2)
        } else {
            encode::write_array_len(&mut head, container.count)
        };
        match (self.bytes.get_mut(container.head), head.as_slice()) {
            (Some(byte), [short]) => *byte = *short,
            (Some(_), _) => {
                let end = container.head.saturating_add(1);
                drop(self.bytes.splice(container.head..end, head));
            }
            (None, _) => {}
        }
    }

    pub fn string(&mut self, value: &str) {
        self.count();
        let _ = encode::write_str(&mut self.bytes, value);
    }

    pub fn integer(&mut self, value: u64) {
        self.count();
        let _ = encode::write_uint(&mut self.bytes, value);
    }

    /// Appends values from valid JSON, which may be several with commas between. One pass over its
    /// tokens; commas and colons say nothing that the brackets do not.
    pub fn json(&mut self, json: &str) {
        let mut rest = json;
        while let Some(first) = rest.bytes().next() {
            let end = match first {
                b'{' => match binary_at(rest) {
                    Some((bytes, behind)) => {
                        self.count();
                        let _ = encode::write_bin(&mut self.bytes, &bytes);
                        rest.len().saturating_sub(behind.len())
                    }
                    None => {
                        self.open_map();
                        1
                    }
                },
                b'[' => {
                    self.open_array();
                    1
                }
                b'}' | b']' => {
                    self.close();
                    1
                }
                b'"' => {
                    let end = string_len(rest);
                    self.json_string(rest.get(..end).unwrap_or_default());
                    end
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => 1,
                _ => {
                    let end = rest
                        .find(|c: char| ",]} \t\n\r".contains(c))
                        .unwrap_or(rest.len());
                    self.literal(rest.get(..end).unwrap_or_default());
                    end
                }
            };
            rest = rest.get(end..).unwrap_or_default();
        }
    }

    fn literal(&mut self, token: &str) {
        self.count();
        let _ = match token {
            "null" => encode::write_nil(&mut self.bytes),
            "true" => encode::write_bool(&mut self.bytes, true),
            "false" => encode::write_bool(&mut self.bytes, false),
            number => {
                if let Ok(integer) = number.parse() {
                    let _ = encode::write_uint(&mut self.bytes, integer);
                } else if let Ok(integer) = number.parse() {
                    let _ = encode::write_sint(&mut self.bytes, integer);
                } else {
                    let float = number.parse().unwrap_or_default();
                    let _ = encode::write_f64(&mut self.bytes, float);
                }
                Ok(())
            }
        };
    }

    /// `token` has its quotes.
    fn json_string(&mut self, token: &str) {
        if token.contains('\\') {
            let Wobbly(value) = serde_json::from_str(token).unwrap_or_default();
            self.string(&value);
        } else {
            self.string(token.trim_matches('"'));
        }
    }

    /// One more in the innermost array or map.
    fn count(&mut self) {
        if let Some(container) = self.open.last_mut() {
            container.count = container.count.saturating_add(1);
        }
    }
}

/// How long the string at the beginning is, with its quotes.
fn string_len(json: &str) -> usize {
    let mut escaped = false;
    let quote = json.bytes().skip(1).position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => byte == b'"',
    });
    // The quotes; valid JSON has both.
    quote.map_or(json.len(), |inside| inside.saturating_add(2))
}

/// A JSON string, which may have halves of surrogate pairs (`"\ud800"`). MessagePack's are UTF-8, so
/// each byte of theirs becomes U+FFFD; serde_json gives them only as bytes.
#[derive(Default)]
struct Wobbly(String);

impl<'de> Deserialize<'de> for Wobbly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Wobbly;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Wobbly, E> {
                Ok(Wobbly(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
