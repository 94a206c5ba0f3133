//! The body of a call as named fields, whatever its encoding.
//!
//! A login, a key to be made, an object whose owner is to be checked: the gate looks at the top level of a body
//! only, and only where a dialect or a route says so. What two parsers could read in two ways is refused when it
//! is asked for, and fields that nobody asks for may look as they like.

pub mod content_type;
mod form;
mod json;
mod multipart;
mod xml;

use std::fmt;

use crate::refusal::Reason;
use crate::secret::Secret;
use content_type::{ContentType, Encoding};

/// The top-level fields of a body.
///
/// Values are wiped when they are dropped, and `Debug` prints names only. (Copies that a parser made on its way
/// are not wiped, nor is the body itself.)
pub struct Fields(Vec<Field>);

struct Field {
    name: String,
    value: Value,
}

enum Value {
    /// A string as it is; a number or a truth value as its text.
    Text(Secret),
    /// `null`: as if it were not there.
    Null,
    /// An object, a list, nested elements, a file, or a text with NUL.
    NotPlain,
}

/// Whether the case of a field's name matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// It does.
    Exact,
    /// It does not, for ASCII letters.
    Ignore,
}

/// Why a body cannot be read. It never tells what the body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// Not what its content type says; the text names the rule that it breaks.
    #[error("body is not well-formed {}: {rule}", encoding.name())]
    Malformed {
        /// What it should have been.
        encoding: Encoding,
        /// What it breaks.
        rule: &'static str,
    },
    /// Well-formed, but a list or a lone value, which has no fields.
    #[error("body is no object")]
    NoObject,
    /// Nested beyond [`Bounds::depth`].
    #[error("body is nested too deeply")]
    TooDeep,
    /// More than [`Bounds::fields`] fields.
    #[error("body has too many fields")]
    TooMany,
    /// More than [`Bounds::parts`] parts.
    #[error("body has too many parts")]
    TooManyParts,
}

/// Why a field has no one plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// It is there twice, or in two spellings where case does not matter.
    #[error("field is there twice")]
    Ambiguous,
    /// An object, a list, nested elements, a file, or a text with NUL.
    #[error("field is not a plain value")]
    NotPlain,
}

/// No call of the dialects nests deeper than three; parsers that recurse need some bound.
const DEPTH: usize = 32;
/// Each look-up walks all fields; no call of the dialects has more than some dozens.
const FIELDS: usize = 1000;
/// As many fields, for an encoding that spends a boundary and headers on each of them.
const PARTS: usize = 100;

/// How much of a body is read as fields. `Default` holds what this module gives reasons for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Objects, lists or elements in each other.
    pub depth: usize,
    /// Fields at the top level, in every encoding.
    pub fields: usize,
    /// Parts of a multipart body.
    pub parts: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: DEPTH, fields: FIELDS, parts: PARTS }
    }
}

impl Fields {
    /// Reads a body. One byte order mark before it is skipped; an empty body has no fields.
    ///
    /// # Errors
    /// See [`FieldsError`].
    pub fn parse(content_type: &ContentType, body: &[u8], bounds: Bounds) -> Result<Self, FieldsError> {
        let encoding = content_type.encoding();
        let malformed = |rule| FieldsError::Malformed { encoding, rule };
        if !content_type.reads_as_utf8(body) {
            return Err(malformed("its charset is not utf-8"));
        }
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        if body.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let text = || std::str::from_utf8(body).map_err(|_| malformed("it is not utf-8"));
        let fields = match encoding {
            Encoding::Json => json::parse(text()?, bounds)?,
            Encoding::Xml => xml::parse(text()?, bounds)?,
            Encoding::Form => form::parse(text()?, bounds)?,
            Encoding::Multipart => {
                let boundary = content_type.boundary().ok_or(malformed("it has no boundary"))?;
                multipart::parse(boundary, body, bounds)?
            }
        };
        Ok(Self(fields))
    }

    /// The value of a field, if it is there and not `null`.
    ///
    /// # Errors
    /// See [`FieldError`].
    pub fn get(&self, name: &str, case: Case) -> Result<Option<&str>, FieldError> {
        let mut found = self.0.iter().filter(|field| field.is_named(name, case));
        let first = found.next();
        if found.next().is_some() {
            return Err(FieldError::Ambiguous);
        }
        match first.map(|field| &field.value) {
            Some(Value::Text(text)) => Ok(Some(text.expose())),
            Some(Value::NotPlain) => Err(FieldError::NotPlain),
            Some(Value::Null) | None => Ok(None),
        }
    }

    /// Whether a field of that name is there, plain or not; `null` is not.
    pub fn has(&self, name: &str, case: Case) -> bool {
        self.0.iter().any(|field| field.is_named(name, case) && !matches!(field.value, Value::Null))
    }

    /// All fields in their order, each with its text; `None` for what is not plain. `null` is left out.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().filter_map(|field| match &field.value {
            Value::Text(text) => Some((field.name.as_str(), Some(text.expose()))),
            Value::NotPlain => Some((field.name.as_str(), None)),
            Value::Null => None,
        })
    }

    /// The names of all fields, in their order, as often as they are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| field.name.as_str())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Field {
    fn is_named(&self, name: &str, case: Case) -> bool {
        match case {
            Case::Exact => self.name == name,
            Case::Ignore => self.name.eq_ignore_ascii_case(name),
        }
    }
}

impl Value {
    fn text(text: String) -> Self {
        let text = Secret::new(text);
        if text.expose().contains('\0') { Self::NotPlain } else { Self::Text(text) }
    }
}

impl FieldsError {
    /// What the dialect answers.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Malformed { .. } | Self::NoObject => Reason::Malformed,
            Self::TooDeep | Self::TooMany | Self::TooManyParts => Reason::TooLarge,
        }
    }
}

impl FieldError {
    /// What the dialect answers.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Ambiguous => Reason::Ambiguous,
            Self::NotPlain => Reason::InvalidField,
        }
    }
}

/// Adds a field, if there may be one more.
fn push(fields: &mut Vec<Field>, name: String, value: Value, bounds: Bounds) -> Result<(), FieldsError> {
    if fields.len() >= bounds.fields {
        return Err(FieldsError::TooMany);
    }
    fields.push(Field { name, value });
    Ok(())
}

#[cfg(test)]
mod tests;
