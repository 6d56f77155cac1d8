//! From MessagePack to JSON text.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike};
use rmp::Marker;

use crate::socket_io::{DecodeError, binary::push_binary};

/// A value of MessagePack.
#[derive(Debug)]
pub(super) enum Value {
    /// notepack.io's `undefined`: as good as absent.
    Undefined,
    /// Anything else.
    Json(String),
}

impl Value {
    /// The JSON text; `undefined` is the `null` that it becomes within arrays.
    pub fn as_json(&self) -> &str {
        match self {
            Self::Undefined => "null",
            Self::Json(json) => json,
        }
    }
}

/// Takes values off the front of a message.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

/// An array or map that is being read.
struct Container {
    is_map: bool,
    /// Elements, or keys and values, that are still to come.
    left: u64,
    is_first: bool,
}

impl Container {
    fn close(&self) -> char {
        if self.is_map { '}' } else { ']' }
    }

    /// Is a map's key next? Its keys and values are an even number.
    fn wants_key(&self) -> bool {
        self.is_map && self.left.is_multiple_of(2)
    }
}

const TRUNCATED: DecodeError = DecodeError::MessagePack("it ends too early");

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Nothing may follow a packet.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::MessagePack("something follows the packet"))
        }
    }

    /// The head of a map: how many pairs are said to follow.
    pub fn map_len(&mut self) -> Result<u64, DecodeError> {
        match self.marker()? {
            Marker::FixMap(length) => Ok(length.into()),
            Marker::Map16 => self.uint(2),
            Marker::Map32 => self.uint(4),
            _ => Err(DecodeError::MessagePack("a packet is a map")),
        }
    }

    /// A whole value, of which arrays and maps nest `max_depth` levels at most.
    pub fn value(&mut self, max_depth: usize) -> Result<Value, DecodeError> {
        let mut json = String::new();
        let mut open: Vec<Container> = Vec::new();
        loop {
            let is_key = open.last().is_some_and(Container::wants_key);
            if let Some(container) = open.last_mut() {
                let is_value = container.is_map && !is_key;
                if is_value {
                    json.push(':');
                } else if !container.is_first {
                    json.push(',');
                }
                container.is_first = false;
                container.left = container.left.saturating_sub(1);
            }
            let marker = self.marker()?;
            let container = if is_key {
                self.key(marker, &mut json)?;
                None
            } else if open.is_empty() && self.is_undefined(marker) {
                self.take(2)?;
                return Ok(Value::Undefined);
            } else {
                self.begin(marker, &mut json, max_depth.saturating_sub(open.len()))?
            };
            if let Some(container) = container {
                if open.len() >= max_depth {
                    return Err(DecodeError::TooDeep);
                }
                json.push(if container.is_map { '{' } else { '[' });
                open.push(container);
            }
            while let Some(container) = open.pop_if(|container| container.left == 0) {
                json.push(container.close());
            }
            if open.is_empty() {
                return Ok(Value::Json(json));
            }
        }
    }

    /// Reads a scalar behind its marker whole, or the head of an array or map. `depth` is how many
    /// levels the value may add.
    fn begin(
        &mut self,
        marker: Marker,
        json: &mut String,
        depth: usize,
    ) -> Result<Option<Container>, DecodeError> {
        let (is_map, length) = match marker {
            Marker::FixArray(length) => (false, length.into()),
            Marker::Array16 => (false, self.uint(2)?),
            Marker::Array32 => (false, self.uint(4)?),
            Marker::FixMap(length) => (true, length.into()),
            Marker::Map16 => (true, self.uint(2)?),
            Marker::Map32 => (true, self.uint(4)?),
            _ => return self.scalar(marker, json, depth).map(|()| None),
        };
        let left = if is_map { length * 2 } else { length };
        Ok(Some(Container {
            is_map,
            left,
            is_first: true,
        }))
    }

    fn scalar(
        &mut self,
        marker: Marker,
        json: &mut String,
        depth: usize,
    ) -> Result<(), DecodeError> {
        match marker {
            Marker::Null => json.push_str("null"),
            Marker::True => json.push_str("true"),
            Marker::False => json.push_str("false"),
            Marker::F32 => {
                let bits = u32::try_from(self.uint(4)?).unwrap_or_default();
                push_float(json, f64::from(f32::from_bits(bits)));
            }
            Marker::F64 => push_float(json, f64::from_bits(self.uint(8)?)),
            Marker::Bin8 => self.bin(1, json, depth)?,
            Marker::Bin16 => self.bin(2, json, depth)?,
            Marker::Bin32 => self.bin(4, json, depth)?,
            Marker::FixExt1 => self.extension(1, true, json, depth)?,
            Marker::FixExt2 => self.extension(2, true, json, depth)?,
            Marker::FixExt4 => self.extension(4, true, json, depth)?,
            Marker::FixExt8 => self.extension(8, true, json, depth)?,
            Marker::FixExt16 => self.extension(16, true, json, depth)?,
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                let length = self.uint(match marker {
                    Marker::Ext8 => 1,
                    Marker::Ext16 => 2,
                    _ => 4,
                })?;
                self.extension(length, false, json, depth)?;
            }
            _ => match self.integer(marker)? {
                Some(integer) => push(json, integer),
                None => push_string(json, self.string(marker)?),
            },
        }
        Ok(())
    }

    /// JSON's keys are strings; JavaScript makes one of a number.
    fn key(&mut self, marker: Marker, json: &mut String) -> Result<(), DecodeError> {
        match self.integer(marker)? {
            Some(integer) => push(json, format_args!("\"{integer}\"")),
            None => push_string(json, self.string(marker)?),
        }
        Ok(())
    }

    fn integer(&mut self, marker: Marker) -> Result<Option<i128>, DecodeError> {
        Ok(Some(match marker {
            Marker::FixPos(value) => value.into(),
            Marker::FixNeg(value) => value.into(),
            Marker::U8 => self.uint(1)?.into(),
            Marker::U16 => self.uint(2)?.into(),
            Marker::U32 => self.uint(4)?.into(),
            Marker::U64 => self.uint(8)?.into(),
            Marker::I8 => i8::from_be_bytes(self.array()?).into(),
            Marker::I16 => i16::from_be_bytes(self.array()?).into(),
            Marker::I32 => i32::from_be_bytes(self.array()?).into(),
            Marker::I64 => i64::from_be_bytes(self.array()?).into(),
            _ => return Ok(None),
        }))
    }

    fn string(&mut self, marker: Marker) -> Result<&'a str, DecodeError> {
        let length = match marker {
            Marker::FixStr(length) => length.into(),
            Marker::Str8 => self.uint(1)?,
            Marker::Str16 => self.uint(2)?,
            Marker::Str32 => self.uint(4)?,
            _ => return Err(DecodeError::MessagePack("a value that JSON cannot hold")),
        };
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| DecodeError::MessagePack("a string is not UTF-8"))
    }

    fn bin(&mut self, width: u64, json: &mut String, depth: usize) -> Result<(), DecodeError> {
        let length = self.uint(width)?;
        self.binary(length, json, depth)
    }

    /// `{"$binary":…}` is a level of its own.
    fn binary(&mut self, length: u64, json: &mut String, depth: usize) -> Result<(), DecodeError> {
        if depth == 0 {
            return Err(DecodeError::TooDeep);
        }
        push_binary(json, self.take(length)?);
        Ok(())
    }

    /// What notepack.io makes of extensions; see the table of the module above.
    fn extension(
        &mut self,
        length: u64,
        is_fixed: bool,
        json: &mut String,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let kind = i8::from_be_bytes(self.array()?);
        match (kind, length, is_fixed) {
            (0, 1, true) => {
                self.take(1)?;
                json.push_str("null");
            }
            (0, 8, true) => push_date(json, i64::from_be_bytes(self.array()?)),
            (0, _, false) => self.binary(length, json, depth)?,
            _ => {
                push(json, format_args!("[{kind},"));
                self.binary(length, json, depth.saturating_sub(1))?;
                json.push(']');
            }
        }
        Ok(())
    }

    /// Is what follows the marker notepack.io's `undefined`?
    fn is_undefined(&self, marker: Marker) -> bool {
        marker == Marker::FixExt1 && self.bytes.first() == Some(&0) && self.bytes.len() >= 2
    }

    fn marker(&mut self) -> Result<Marker, DecodeError> {
        let [byte] = self.array()?;
        Ok(Marker::from_u8(byte))
    }

    /// An unsigned integer of up to 8 bytes, the first the highest.
    fn uint(&mut self, width: u64) -> Result<u64, DecodeError> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(TRUNCATED)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(length).map_err(|_| TRUNCATED)?;
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(TRUNCATED)?;
        self.bytes = rest;
        Ok(taken)
    }
}

fn push(json: &mut String, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(json, "{value}");
}

fn push_float(json: &mut String, value: f64) {
    // serde_json's `null` for what JSON has no word for.
    json.push_str(&serde_json::to_string(&value).unwrap_or_default());
}

fn push_string(json: &mut String, value: &str) {
    // Strings always serialize.
    json.push_str(&serde_json::to_string(value).unwrap_or_default());
}

/// Milliseconds since 1970, as `Date.prototype.toJSON` writes them (ECMA-262 §21.4.1.32); null beyond
/// chrono's range, which is a little narrower than JavaScript's 270,000 years.
fn push_date(json: &mut String, milliseconds: i64) {
    let Some(date) = DateTime::from_timestamp_millis(milliseconds) else {
        json.push_str("null");
        return;
    };
    let year = date.year();
    let rest = date.format("%m-%dT%H:%M:%S%.3fZ");
    if (0..=9999).contains(&year) {
        push(json, format_args!("\"{year:04}-{rest}\""));
    } else {
        push(json, format_args!("\"{year:+07}-{rest}\""));
    }
}
