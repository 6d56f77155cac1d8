//! A JSON object's fields, read one by one, so that a refusal names the one that is wrong.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    error::Refusal,
    event::{Args, raw},
};

/// The fields of one object.
#[derive(Debug)]
pub struct Fields {
    fields: BTreeMap<String, Box<RawValue>>,
    /// What stands before a field's name in a refusal: `data.`.
    prefix: &'static str,
}

impl Fields {
    /// Of the object that `json` is; `what` is what it is called if it is none.
    pub fn parse(json: &RawValue, what: &str) -> Result<Self, Refusal> {
        match serde_json::from_str(json.get()) {
            Ok(fields) => Ok(Self { fields, prefix: "" }),
            Err(_) => Err(Refusal::invalid(format!("{what} must be an object"))),
        }
    }

    /// Of an event's one argument.
    pub fn of(args: &Args) -> Result<Self, Refusal> {
        match args {
            Args::One(data) => Self::parse(data, "`data`"),
            Args::Array(_) => Err(Refusal::invalid("`data` must be an object")),
        }
    }

    /// Of an object within, which there must be.
    pub fn within(&self, name: &'static str, prefix: &'static str) -> Result<Self, Refusal> {
        let json: Box<RawValue> = self.required(name, "an object")?;
        let fields = Self::parse(&json, &format!("`{name}`"))?;
        Ok(Self { prefix, ..fields })
    }

    /// A field that may be missing, or `null`. `what` it must be otherwise.
    pub fn optional<T: DeserializeOwned>(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, Refusal> {
        match self.fields.get(name).map(|json| json.get()) {
            None | Some("null") => Ok(None),
            Some(json) => match serde_json::from_str(json) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(self.wrong(name, what)),
            },
        }
    }

    /// A field that must be there.
    pub fn required<T: DeserializeOwned>(&self, name: &str, what: &str) -> Result<T, Refusal> {
        self.optional(name, what)?
            .ok_or_else(|| self.wrong(name, what))
    }

    /// A field that must be there, and one of these words.
    pub fn one_of(&self, name: &str, words: &[&str]) -> Result<String, Refusal> {
        let what = || format!("one of {}", words.join(", "));
        match self.optional::<String>(name, "text") {
            Ok(Some(word)) if words.contains(&word.as_str()) => Ok(word),
            _ => Err(self.wrong(name, &what())),
        }
    }

    /// The refusal of a field.
    pub fn wrong(&self, name: &str, what: &str) -> Refusal {
        let missing = if self.fields.contains_key(name) {
            ""
        } else {
            " is missing: it"
        };
        Refusal::invalid(format!("`{}{name}`{missing} must be {what}", self.prefix))
    }

    /// A field as it is, `null` too.
    pub fn raw(&self, name: &str) -> Option<&RawValue> {
        self.fields.get(name).map(|json| &**json)
    }

    /// Sets a field, unless it has a value.
    pub fn fill(&mut self, name: &str, value: &str) {
        if matches!(self.raw(name).map(RawValue::get), None | Some("null")) {
            let json = serde_json::to_string(value).unwrap_or_default();
            self.fields.insert(name.to_owned(), raw(json));
        }
    }

    /// Sets a field, whatever it has been.
    pub fn put(&mut self, name: &str, value: &impl Serialize) {
        let json = serde_json::value::to_raw_value(value);
        self.fields.extend(json.map(|json| (name.to_owned(), json)));
    }

    /// Puts an object in its place.
    pub fn set(&mut self, name: &str, value: Self) {
        self.put(name, &value.fields);
    }

    /// As an event's one argument.
    pub fn into_args(self) -> Args {
        Args::of(&self.fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Result<Fields, Refusal> {
        Fields::parse(&raw(json.to_owned()), "it")
    }

    #[test]
    fn a_refusal_names_the_field() {
        let outer = fields(r#"{"a":5,"b":null,"c":{"d":"x"}}"#).unwrap();
        let inner = outer.within("c", "c.").unwrap();
        for (read, expected) in [
            (outer.required::<u32>("a", "a number").map(drop), Ok(())),
            (outer.optional::<u32>("b", "a number").map(drop), Ok(())),
            (outer.optional::<u32>("x", "a number").map(drop), Ok(())),
            (
                outer.required::<String>("a", "text").map(drop),
                Err("`a` must be text"),
            ),
            (
                outer.required::<String>("b", "text").map(drop),
                Err("`b` must be text"),
            ),
            (
                outer.required::<String>("x", "text").map(drop),
                Err("`x` is missing: it must be text"),
            ),
            (
                outer.within("a", "a.").map(drop),
                Err("`a` must be an object"),
            ),
            (
                inner.required::<u32>("d", "a number").map(drop),
                Err("`c.d` must be a number"),
            ),
            (fields("[1]").map(drop), Err("it must be an object")),
        ] {
            let read = read.map_err(|refusal| refusal.message);
            assert_eq!(read, expected.map_err(str::to_owned));
        }
    }

    #[test]
    fn what_is_missing_is_filled_in_and_nothing_else_changes() {
        let mut object = fields(r#"{"a":1.50,"b":null,"c":{"x":[]}}"#).unwrap();
        let mut inner = object.within("c", "c.").unwrap();
        object.fill("a", "no");
        object.fill("b", "yes");
        inner.fill("y", "\"");
        object.set("c", inner);
        assert_eq!(
            object.into_args().to_array(),
            r#"[{"a":1.50,"b":"yes","c":{"x":[],"y":"\""}}]"#
        );
    }
}
