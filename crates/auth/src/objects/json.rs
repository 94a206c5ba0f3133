//! Walks a JSON text (RFC 8259) once, without a tree, and tells of the values that pointers lead to.
//!
//! ```text
//! {"id":1,"items":[{"id":"A"},{"id":"B"}]}     with /items/*/id
//!                         ^^^      ^^^         told: text, span, and the item of the list that it is in
//! ```
//!
//! The whole text is checked, also where no pointer leads: two members of one name anywhere, a lone surrogate, NUL in
//! a name, and whatever is not JSON are faults, because parsers differ in what they make of them.

use std::borrow::Cow;
use std::ops::Range;

use super::pointer::{Pointers, Reached};

/// Deeper than documents of real services; each level takes a frame of our stack.
pub const DEPTH_MAX: usize = 64;

/// Why a text has no one reading. It never tells what the text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// It is not JSON, or has a character that services read in different ways.
    #[error("json is not well-formed")]
    Malformed,
    /// More than [`DEPTH_MAX`] objects and lists in each other.
    #[error("json is nested too deeply")]
    TooDeep,
    /// An object has two members of one name.
    #[error("json names a member twice")]
    Twice,
}

/// A value that a pointer leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain<'t> {
    /// A string, its escapes resolved.
    Text(Cow<'t, str>),
    /// A number as it is written.
    Number(&'t str),
    /// `true` or `false`.
    Truth(bool),
    /// `null`.
    Null,
    /// An object or a list.
    Nested,
}

/// Where a value was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'t> {
    /// The number of the pointer.
    pub pointer: usize,
    /// What it says.
    pub value: Plain<'t>,
    /// Where it stands in the text, quotes included.
    pub span: Range<usize>,
    /// The innermost item of a list that it is in, if items are noted.
    pub item: Option<usize>,
}

/// An item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it stands.
    pub span: Range<usize>,
    /// Where the comma before it stands; the first has none.
    pub before: Option<usize>,
    /// Where the comma behind it stands; the last has none.
    pub behind: Option<usize>,
    /// The item of an outer list that it is in.
    pub outer: Option<usize>,
}

/// Whether items are noted: whoever takes items out needs them, whoever only reads does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Items {
    /// They are.
    Noted,
    /// They are not.
    Passed,
}

/// Walks `text`, which is one JSON value, and tells `sink` of what pointers lead to, in the order of the text. What
/// the sink refuses ends the walk. Returns the items of lists that a pointer could lead into, where they are noted.
///
/// # Errors
/// See [`JsonFault`]; what the sink says.
pub fn walk<'t, E: From<JsonFault>>(
    text: &'t str,
    pointers: &Pointers,
    items: Items,
    sink: &mut dyn FnMut(Found<'t>) -> Result<(), E>,
) -> Result<Vec<Item>, E> {
    let mut walk = Walk { text, at: 0, pointers, names: Vec::new(), noted: Vec::new(), items, sink };
    walk.blanks();
    walk.value(pointers.start(), None, 0)?;
    walk.blanks();
    if walk.at == text.len() { Ok(walk.noted) } else { Err(JsonFault::Malformed.into()) }
}

struct Walk<'t, 'w, E> {
    text: &'t str,
    at: usize,
    pointers: &'w Pointers,
    /// Hashes of the names of all open objects, the innermost object's last. An equal hash counts as an equal name:
    /// nobody but the sender could bring two names together, and he would be refused for it.
    names: Vec<u64>,
    noted: Vec<Item>,
    items: Items,
    sink: &'w mut dyn FnMut(Found<'t>) -> Result<(), E>,
}

impl<'t, E: From<JsonFault>> Walk<'t, '_, E> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes a byte that has to be there.
    fn take(&mut self, byte: u8) -> Result<(), E> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(JsonFault::Malformed.into())
    }

    /// Takes a byte if it is there.
    fn took(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, reached: Reached, item: Option<usize>, depth: usize) -> Result<(), E> {
        let from = self.at;
        let value = match self.peek() {
            Some(b'{') => {
                self.object(reached, item, depth)?;
                Plain::Nested
            }
            Some(b'[') => {
                self.list(reached, item, depth)?;
                Plain::Nested
            }
            Some(b'"') => Plain::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Plain::Number(self.number()?),
            Some(b't') => self.word("true", Plain::Truth(true))?,
            Some(b'f') => self.word("false", Plain::Truth(false))?,
            Some(b'n') => self.word("null", Plain::Null)?,
            Some(_) | None => return Err(JsonFault::Malformed.into()),
        };
        if self.pointers.ends_at(reached) {
            for pointer in self.pointers.ending(reached) {
                (self.sink)(Found { pointer, value: value.clone(), span: from..self.at, item })?;
            }
        }
        Ok(())
    }

    fn word(&mut self, word: &str, value: Plain<'t>) -> Result<Plain<'t>, E> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(JsonFault::Malformed.into())
    }

    fn object(&mut self, reached: Reached, item: Option<usize>, depth: usize) -> Result<(), E> {
        if depth >= DEPTH_MAX {
            return Err(JsonFault::TooDeep.into());
        }
        self.take(b'{')?;
        self.blanks();
        if self.took(b'}') {
            return Ok(());
        }
        let first = self.names.len();
        loop {
            if self.peek() != Some(b'"') {
                return Err(JsonFault::Malformed.into());
            }
            let name = self.string()?;
            // Services written in C read a name up to its NUL.
            if name.contains('\0') {
                return Err(JsonFault::Malformed.into());
            }
            self.names.push(hash(&name));
            let inside = if reached.is_nothing() { reached } else { self.pointers.member(reached, &name) };
            self.blanks();
            self.take(b':')?;
            self.blanks();
            self.value(inside, item, depth + 1)?;
            self.blanks();
            if !self.took(b',') {
                break;
            }
            self.blanks();
        }
        self.take(b'}')?;
        let own = self.names.get_mut(first..).unwrap_or_default();
        own.sort_unstable();
        let twice = own.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
        self.names.truncate(first);
        if twice { Err(JsonFault::Twice.into()) } else { Ok(()) }
    }

    fn list(&mut self, reached: Reached, item: Option<usize>, depth: usize) -> Result<(), E> {
        if depth >= DEPTH_MAX {
            return Err(JsonFault::TooDeep.into());
        }
        self.take(b'[')?;
        self.blanks();
        if self.took(b']') {
            return Ok(());
        }
        let (mut index, mut before) = (0, None);
        loop {
            let inside = if reached.is_nothing() { reached } else { self.pointers.item(reached, index) };
            let noted = (self.items == Items::Noted && !inside.is_nothing()).then_some(self.noted.len());
            let from = self.at;
            if noted.is_some() {
                self.noted.push(Item { span: from..from, before, behind: None, outer: item });
            }
            self.value(inside, noted.or(item), depth + 1)?;
            let end = self.at;
            self.blanks();
            before = Some(self.at);
            let more = self.took(b',');
            if let Some(noted) = noted.and_then(|at| self.noted.get_mut(at)) {
                noted.span.end = end;
                noted.behind = before.filter(|_| more);
            }
            if !more {
                break;
            }
            self.blanks();
            index += 1;
        }
        self.take(b']')
    }

    /// A string; `at` stands on its quote.
    fn string(&mut self) -> Result<Cow<'t, str>, E> {
        self.at += 1;
        let mut resolved: Option<String> = None;
        let rest = loop {
            let piece = self.plain()?;
            if self.peek() == Some(b'"') {
                break piece;
            }
            let resolved = resolved.get_or_insert_default();
            resolved.push_str(piece);
            let (char, end) = escape(self.text, self.at + 1).ok_or(JsonFault::Malformed)?;
            resolved.push(char);
            self.at = end;
        };
        self.at += 1;
        Ok(match resolved {
            None => Cow::Borrowed(rest),
            Some(mut resolved) => {
                resolved.push_str(rest);
                Cow::Owned(resolved)
            }
        })
    }

    /// What stands before the next quote or backslash of a string, on which `at` stands then. Texts are most of what
    /// documents have, so they are passed over by many bytes at once.
    fn plain(&mut self) -> Result<&'t str, E> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = memchr::memchr2(b'"', b'\\', rest).ok_or(JsonFault::Malformed)?;
        let piece = self.text.get(self.at..self.at + length).unwrap_or_default();
        // Not `any`, which would end early and so look at them one by one.
        if piece.bytes().fold(false, |found, byte| found | (byte < 0x20)) {
            return Err(JsonFault::Malformed.into());
        }
        self.at += length;
        Ok(piece)
    }

    fn digits(&mut self) -> Result<(), E> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(JsonFault::Malformed.into());
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'t str, E> {
        let from = self.at;
        self.took(b'-');
        if !self.took(b'0') {
            self.digits()?;
        } else if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(JsonFault::Malformed.into());
        }
        if self.took(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.text.get(from..self.at).unwrap_or_default())
    }
}

/// The character that an escape stands for, and where it ends; `at` is behind the backslash.
fn escape(text: &str, at: usize) -> Option<(char, usize)> {
    let char = match text.as_bytes().get(at)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return code_point(text, at + 1),
        _ => return None,
    };
    Some((char, at + 1))
}

/// Four digits, or a pair of surrogates of four each; `at` is behind the first `u`.
fn code_point(text: &str, at: usize) -> Option<(char, usize)> {
    let first = unit(text, at)?;
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first)?, at + 4));
    }
    if text.get(at + 4..at + 6)? != "\\u" {
        return None;
    }
    let second = unit(text, at + 6)?;
    let (high, low) = (first.checked_sub(0xd800)?, second.checked_sub(0xdc00)?);
    if high >= 0x400 || low >= 0x400 {
        return None;
    }
    Some((char::from_u32(0x1_0000 + (high << 10) + low)?, at + 10))
}

fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        u32::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// FNV-1a with a last stir, so that names that differ in their last letter do not lie side by side.
fn hash(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests;
