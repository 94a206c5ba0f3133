//! JSON that has one reading: bounded in depth, and without two members of one name.
//!
//! Parsers differ in which of two equal members they take (RFC 8259 section 4); a gate that takes the other one
//! than the upstream decides about something else.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not JSON with one reading. It never tells what the text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Deeper than was allowed.
    #[error("json is nested too deeply")]
    TooDeep,
    /// Not JSON, or with a member twice.
    #[error("json is not well-formed, has a number out of range, or names a member twice")]
    Malformed,
}

/// Reads a value in which no object, at any depth, names a member twice.
///
/// # Errors
/// See [`JsonError`].
pub fn parse_strict(text: &str, depth_max: usize) -> Result<Value, JsonError> {
    check_depth(text, depth_max)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut json).map_err(|_| JsonError::Malformed)?;
    json.end().map_err(|_| JsonError::Malformed)?;
    Ok(value)
}

/// Counts brackets outside strings, before a parser that recurses sees them.
pub(crate) fn check_depth(text: &str, depth_max: usize) -> Result<(), JsonError> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > depth_max {
                    return Err(JsonError::TooDeep);
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without two members of one name")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let value = members.next_value_seed(Strict)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is named twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::{any, proptest};

    use super::{JsonError, parse_strict};

    #[test]
    fn one_reading_or_none() {
        let check = |text: &str, expected: Option<&str>| {
            let found = parse_strict(text, 4).map(|value| value.to_string());
            assert_eq!(found.as_deref().ok(), expected, "{text}");
        };
        check(r#"{"a":[1,-2,1.5,true,null,"x"]}"#, Some(r#"{"a":[1,-2,1.5,true,null,"x"]}"#));
        check(r#"{"a":{"a":1}}"#, Some(r#"{"a":{"a":1}}"#));
        check(r#"{"a":1,"a":1}"#, None);
        check(r#"{"a":1,"\u0061":1}"#, None);
        check(r#"{"x":[{"a":1,"a":2}]}"#, None);
        check("1e400", None);
        check("{} {}", None);
        check("{'a':1}", None);
        check("{\"a\":1,}", None);
        check("[[[[]]]]", Some("[[[[]]]]"));
        check("[[[[[]]]]]", None);
        check(r#"["[[[[[[", "\"[[[[["]"#, Some(r#"["[[[[[[","\"[[[[["]"#));
        assert_eq!(parse_strict(&"[".repeat(10_000), 32), Err(JsonError::TooDeep));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), shape in "[\\[\\]{}\",:a1]{0,40}") {
            let _ = parse_strict(&text, 8);
            let _ = parse_strict(&shape, 8);
        }
    }
}
