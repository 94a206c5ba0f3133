//! How an access line looks, as text for people or as one JSON object.
//!
//! ```text
//! 2026-11-25T15:50:00.123Z  INFO access: request answered request.id=… http.method=GET http.path="/x" …
//! {"timestamp":"2026-11-25T15:50:00.123Z","level":"INFO","message":"request answered","request.id":"…",…,"target":"access"}
//! ```
//!
//! The lines of `tracing_subscriber` look the same; theirs cost a tenth of a whole request.

use std::io::Write as _;

use countersign_auth::date::DateFormat;
use countersign_auth::time::Time;

use super::TARGET;

/// How access lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// The last second that was written, as text: requests of one second share it.
#[derive(Debug, Default)]
pub(super) struct Second {
    unix_secs: i64,
    text: String,
}

impl Second {
    fn of(&mut self, time: Time) -> &str {
        if self.text.is_empty() || self.unix_secs != time.unix_secs() {
            self.unix_secs = time.unix_secs();
            self.text = DateFormat::RFC3339.format(Time::from_unix_secs(self.unix_secs));
            self.text.truncate("2026-11-25T15:50:00".len());
        }
        &self.text
    }
}

/// Writes one line, field by field.
pub(super) struct LineWriter<'b> {
    out: &'b mut Vec<u8>,
    format: LineFormat,
}

impl<'b> LineWriter<'b> {
    pub(super) fn begin(
        out: &'b mut Vec<u8>,
        format: LineFormat,
        second: &mut Second,
        now: Time,
        message: &str,
    ) -> Self {
        let (before, behind, message) = match format {
            LineFormat::Text => ("", "Z  INFO ", [TARGET, ": ", message, ""]),
            LineFormat::Json => {
                ("{\"timestamp\":\"", "Z\",\"level\":\"INFO\",", ["\"message\":", "\"", message, "\""])
            }
        };
        // A thousand and so many, without the one: three digits.
        let mut millis = itoa::Buffer::new();
        let millis = millis.format(1000 + now.unix_ms().rem_euclid(1000)).get(1..).unwrap_or_default();
        for piece in [before, second.of(now), ".", millis, behind].into_iter().chain(message) {
            out.extend_from_slice(piece.as_bytes());
        }
        Self { out, format }
    }

    fn name(&mut self, name: &str) {
        match self.format {
            LineFormat::Text => {
                self.out.push(b' ');
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
            }
            LineFormat::Json => {
                self.out.extend_from_slice(b",\"");
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(b"\":");
            }
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A word that needs no quotes and no escapes: a method, an address.
    pub(super) fn word(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        let quote: &[u8] = match self.format {
            LineFormat::Text => b"",
            LineFormat::Json => b"\"",
        };
        self.out.extend_from_slice(quote);
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(quote);
    }

    /// Any text, in quotes. Nothing in it ends the line or speaks to a terminal.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            value.chars().for_each(|character| self.character(character));
        }
        self.out.push(b'"');
    }

    fn character(&mut self, character: char) {
        match character {
            '"' | '\\' => self.out.extend_from_slice(&[b'\\', character as u8]),
            // Line ends that some readers know, and marks that turn the direction of what follows.
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                self.escape(character);
            }
            character if character.is_control() => self.escape(character),
            character => {
                self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    fn escape(&mut self, character: char) {
        let _infallible = write!(self.out, "\\u{:04x}", u32::from(character));
    }

    pub(super) fn end(self) {
        if self.format == LineFormat::Json {
            for piece in [",\"target\":\"", TARGET, "\"}"] {
                self.out.extend_from_slice(piece.as_bytes());
            }
        }
        self.out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn line(format: LineFormat, path: &str) -> String {
        let (mut out, mut second) = (Vec::new(), Second::default());
        let now = Time::from_unix_ms(1_790_000_000_007);
        let mut line = LineWriter::begin(&mut out, format, &mut second, now, "request answered");
        line.word("http.method", b"GET");
        line.number("http.status", 200);
        line.text("http.path", path);
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_for_people_and_for_programs() {
        assert_eq!(
            line(LineFormat::Text, "/a b"),
            "2026-09-21T14:13:20.007Z  INFO access: request answered http.method=GET http.status=200 http.path=\"/a b\"\n"
        );
        assert_eq!(
            line(LineFormat::Json, "/a b"),
            "{\"timestamp\":\"2026-09-21T14:13:20.007Z\",\"level\":\"INFO\",\"message\":\"request answered\",\
             \"http.method\":\"GET\",\"http.status\":200,\"http.path\":\"/a b\",\"target\":\"access\"}\n"
        );
    }

    #[test]
    fn nothing_in_a_value_leaves_its_quotes() {
        for path in ["a\"b\\", "a\r\nGET /", "\u{1b}[31mred\u{7f}\u{9b}", "é\u{2028}\u{202e}x", ""] {
            let json = line(LineFormat::Json, path);
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read["http.path"], path);
            for text in [json, line(LineFormat::Text, path)] {
                assert_eq!(text.lines().count(), 1, "{text:?}");
                assert!(!text.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
            }
        }
    }
}
