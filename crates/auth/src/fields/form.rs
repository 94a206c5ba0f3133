//! `application/x-www-form-urlencoded`, as the URL standard has it, but strict about what it repairs.

use super::content_type::Encoding;
use super::{Bounds, Field, FieldsError, Value, push};
use crate::canonical::query::{QueryError, decode_form};

pub(super) fn parse(text: &str, bounds: Bounds) -> Result<Vec<Field>, FieldsError> {
    let mut fields = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode_form(name).map_err(malformed)?.into_owned();
        let value = decode_form(value).map_err(malformed)?.into_owned();
        push(&mut fields, name, Value::text(value), bounds)?;
    }
    Ok(fields)
}

fn malformed(error: QueryError) -> FieldsError {
    let rule = match error {
        QueryError::BrokenEscape => "it has a broken escape",
        QueryError::NotUtf8 => "it has escapes that are not utf-8",
        QueryError::Character | QueryError::TooMany => "it has a character that may not be there",
    };
    FieldsError::Malformed { encoding: Encoding::Form, rule }
}
