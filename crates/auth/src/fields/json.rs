//! The members of a JSON object.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::content_type::Encoding;
use super::{Bounds, Field, FieldsError, Value, push};
use crate::json::{JsonError, check_depth};

pub(super) fn parse(text: &str, bounds: Bounds) -> Result<Vec<Field>, FieldsError> {
    check_depth(text, bounds.depth).map_err(|error| match error {
        JsonError::TooDeep => FieldsError::TooDeep,
        JsonError::Malformed => malformed(),
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let root = Root(bounds).deserialize(&mut json).map_err(|_| malformed())?;
    json.end().map_err(|_| malformed())?;
    root
}

fn malformed() -> FieldsError {
    FieldsError::Malformed { encoding: Encoding::Json, rule: "its syntax is broken" }
}

/// The whole body: an object, or well-formed and none.
struct Root(Bounds);

impl<'de> DeserializeSeed<'de> for Root {
    type Value = Result<Vec<Field>, FieldsError>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Root {
    type Value = Result<Vec<Field>, FieldsError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        let mut outcome = Ok(());
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Member)?;
            outcome = outcome.and_then(|()| push(&mut fields, name, value, self.0));
        }
        Ok(outcome.map(|()| fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(FieldsError::NoObject))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Err(FieldsError::NoObject))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Err(FieldsError::NoObject))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Err(FieldsError::NoObject))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Err(FieldsError::NoObject))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Err(FieldsError::NoObject))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Err(FieldsError::NoObject))
    }
}

/// The value of one member.
struct Member;

impl<'de> DeserializeSeed<'de> for Member {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::text(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::text(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::text(value.to_string()))
    }

    /// Fractions, exponents and whole numbers beyond 64 bits: a form that no key is written in.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::text(format!("{value:e}")))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::text(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::NotPlain)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::NotPlain)
    }
}
