//! `multipart/form-data` (RFC 7578).
//!
//! ```text
//! --boundary
//! Content-Disposition: form-data; name="userName"
//!
//! alice
//! --boundary--
//! ```
//!
//! Read by hand and not by the usual crate: that one takes a name from inside the quotes of another parameter,
//! the last of two `Content-Disposition` lines, and a boundary in the middle of a line.

use super::content_type::{Encoding, parameters};
use super::{Bounds, Field, FieldsError, Value, push};

/// Header lines of a part; clients send three at most.
const PART_HEADERS_MAX: usize = 16;

pub(super) fn parse(boundary: &str, body: &[u8], bounds: Bounds) -> Result<Vec<Field>, FieldsError> {
    let broken = || malformed("its parts are broken");
    let delimiter = format!("\r\n--{boundary}");
    let start = body.strip_prefix(b"\r\n").unwrap_or(body);
    let mut rest = delimiter
        .as_bytes()
        .get(2..)
        .and_then(|first| start.strip_prefix(first))
        .ok_or(malformed("it does not begin with its boundary"))?;
    let mut fields = Vec::new();
    // `rest` follows a delimiter. What follows the last one says nothing (RFC 2046 section 5.1.1).
    loop {
        if let Some(end) = rest.strip_prefix(b"--") {
            let line = split_at(end, b"\r\n").map_or(end, |(line, _)| line);
            return if is_padding(line) { Ok(fields) } else { Err(broken()) };
        }
        if fields.len() >= bounds.parts {
            return Err(FieldsError::TooManyParts);
        }
        let (padding, part) = split_at(rest, b"\r\n").ok_or_else(broken)?;
        if !is_padding(padding) {
            return Err(broken());
        }
        let (part, after) = split_at(part, delimiter.as_bytes()).ok_or_else(broken)?;
        let (headers, value) = split_at(part, b"\r\n\r\n").ok_or_else(broken)?;
        let Part { name, content } = read_headers(headers)?;
        let value = match content {
            Content::Text => String::from_utf8(value.to_vec()).map_or(Value::NotPlain, Value::text),
            Content::File => Value::NotPlain,
        };
        push(&mut fields, name, value, bounds)?;
        rest = after;
    }
}

/// Blanks that a mail transport may have added to the line of a boundary.
fn is_padding(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

struct Part {
    name: String,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Text,
    /// A file, or something that is encoded once more.
    File,
}

fn read_headers(headers: &[u8]) -> Result<Part, FieldsError> {
    let broken = || malformed("a part has broken headers");
    let headers = std::str::from_utf8(headers).map_err(|_| broken())?;
    let mut disposition = None;
    let mut encoded = Content::Text;
    for (at, line) in headers.split("\r\n").enumerate() {
        let (name, value) = line.split_once(':').ok_or_else(broken)?;
        let good_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if at >= PART_HEADERS_MAX {
            return Err(malformed("a part has too many header lines"));
        }
        if name.is_empty() || !good_name || value.contains(['\r', '\n', '\0']) {
            return Err(broken());
        }
        if name.eq_ignore_ascii_case("content-disposition") && disposition.replace(value).is_some() {
            return Err(malformed("a part has no one name"));
        }
        // Another value than its bytes; nobody has a reason to send that (RFC 7578 section 4.7).
        if name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["7bit", "8bit", "binary"].iter().any(|plain| value.trim().eq_ignore_ascii_case(plain))
        {
            encoded = Content::File;
        }
    }
    let part =
        read_disposition(disposition.unwrap_or_default()).ok_or(malformed("a part has no one name"))?;
    Ok(match encoded {
        Content::Text => part,
        Content::File => Part { content: Content::File, ..part },
    })
}

fn read_disposition(value: &str) -> Option<Part> {
    let (kind, rest) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let mut name = None;
    let mut content = Content::Text;
    for (key, value) in parameters(rest)? {
        match key.as_str() {
            "name" if name.is_none() => name = Some(value.into_owned()),
            // RFC 7578 section 4.2 forbids the extended form.
            "name" | "name*" => return None,
            "filename" | "filename*" => content = Content::File,
            _ => {}
        }
    }
    Some(Part { name: name?, content })
}

fn split_at<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    let (before, after) = bytes.split_at(at);
    Some((before, after.strip_prefix(mark)?))
}

fn malformed(rule: &'static str) -> FieldsError {
    FieldsError::Malformed { encoding: Encoding::Multipart, rule }
}
