//! What two readers could read in two ways in an HTTP/1 head, seen before the HTTP engine repairs it (T-A8, T-G2).
//!
//! The engine cuts a fragment off a target, drops `Content-Length` beside `Transfer-Encoding`, and takes a lone LF
//! for the end of a line. Here the bytes that it is given are looked at line by line on their way:
//!
//! ```text
//! GET /a#b HTTP/1.1\r\n             a fragment: refused
//! Host: a\n                         a bare LF: refused
//! Content-Length: 4\r\n             counted, so that the next head is found behind the body
//! Transfer-Encoding: chunked\r\n    beside a length: refused
//! \r\n                              this head is vouched for
//! ```
//!
//! It decides nothing but where heads and bodies end, and is stricter about that than the engine: from the first byte
//! that it cannot place, nothing is vouched for, and the next request of the connection is refused.
//!
//! A head beyond a limit is cut off behind its last whole line, or within its target ([`CutOff`]), so that the engine reads
//! what came before and somebody can say which limit it was; by itself it would answer with a bare 431.

#[cfg(test)]
mod tests;

use memchr::{memchr, memchr_iter};

/// What the HTTP engine reads: it keeps places in a target in 16 bits. Over HTTP/2 it resets the stream beyond.
const TARGET_BYTES_MAX: usize = 65_534;

/// So much of a request line that is too long comes to the engine: a path of 8 KiB, the longest that is taken, says which API
/// it is about.
const LINE_BYTES_KEPT: usize = 8 * 1024;

/// What the engine reads as no field, wherever in the lines behind the last chunk: it gives the body up.
const NO_TRAILER: &[u8] = b"\0\r\n\r\n";

/// What follows a target.
const BEHIND_TARGET: &[u8] = b" HTTP/1.1\r\n\r\n";

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HeadFault {
    /// `#` in the target (RFC 9112 section 3.2 has none).
    Fragment = 1,
    /// A line that ends with LF alone.
    LineFeed = 2,
    /// `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.1).
    Framings = 3,
    /// Two lengths that differ, or one that is no number.
    Lengths = 4,
    /// More bytes than the limit.
    TooLong = 6,
    /// More fields than the limit.
    TooMany = 7,
    /// A target of more than [`TARGET_BYTES_MAX`].
    LongTarget = 8,
    /// More bytes behind the last chunk than the limit.
    LongTrailers = 9,
    /// More fields there than the limit.
    ManyTrailers = 10,
    /// The body before it is not chunked as it should be, or its head has a line beyond all limits.
    Unplaced = 5,
}

impl HeadFault {
    /// The fault of that number, as [`super::Connection`] keeps it.
    pub(super) const fn numbered(number: u8) -> Self {
        match number {
            1 => Self::Fragment,
            2 => Self::LineFeed,
            3 => Self::Framings,
            4 => Self::Lengths,
            6 => Self::TooLong,
            7 => Self::TooMany,
            8 => Self::LongTarget,
            9 => Self::LongTrailers,
            10 => Self::ManyTrailers,
            _ => Self::Unplaced,
        }
    }
}

/// Where in the stream of a connection the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the first line of a head, or before it.
    RequestLine,
    /// In another line of a head.
    Field,
    /// In a body, with so many bytes of it to come.
    Body(u64),
    /// In the line that says how long a chunk is (RFC 9112 section 7.1).
    ChunkSize,
    /// In a chunk, with so many bytes of it to come.
    Chunk(u64),
    /// In the end of the line behind a chunk.
    ChunkEnd,
    /// In a line behind the last chunk.
    Trailer,
    /// Nothing more is looked at.
    Over,
}

/// How the body is framed of the head that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Framing {
    length: Option<u64>,
    coding: bool,
}

/// Where a head that is beyond a limit ends for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff {
    /// So many of the bytes that were looked at last.
    pub kept: usize,
    /// And then these.
    pub ending: &'static [u8],
}

/// How many bytes and fields a head has at the most, and what stands behind a body.
#[derive(Clone, Copy, Debug)]
pub struct HeadBounds {
    /// Bytes, line ends included.
    pub bytes: usize,
    /// Lines behind the first.
    pub fields: usize,
}

/// A fault, and where the head is cut off if it can be.
type Found = (HeadFault, Option<CutOff>);

/// Follows the heads of one connection.
#[derive(Debug)]
pub struct HeadWatch {
    place: Place,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    framing: Framing,
    /// Of the lines of the present head that have ended, or behind the last chunk.
    head_bytes: usize,
    /// Lines of the present head that are fields, or behind the last chunk.
    fields: usize,
    max: HeadBounds,
    vouched: u64,
    cut_off: Option<CutOff>,
}

impl HeadWatch {
    /// Follows heads within bounds.
    pub fn new(max: HeadBounds) -> Self {
        Self {
            place: Place::RequestLine,
            line: Vec::new(),
            framing: Framing::default(),
            head_bytes: 0,
            fields: 0,
            max,
            vouched: 0,
            cut_off: None,
        }
    }

    /// Where the head that was looked at last is cut off, if it is beyond a limit and has the beginning of a target.
    pub fn cut_off(&self) -> Option<CutOff> {
        self.cut_off
    }

    /// How many heads have ended that have one reading.
    pub fn vouched(&self) -> u64 {
        self.vouched
    }

    /// Whether more has come than whole messages: the client may be sending the rest yet.
    pub(super) fn is_within(&self) -> bool {
        self.place != Place::RequestLine || !self.line.is_empty()
    }

    /// Whether that is within a body.
    pub(super) fn is_in_body(&self) -> bool {
        match self.place {
            Place::Body(_) | Place::ChunkSize | Place::Chunk(_) | Place::ChunkEnd | Place::Trailer => true,
            Place::RequestLine | Place::Field | Place::Over => false,
        }
    }

    /// Follows nothing any more.
    pub(super) fn end(&mut self) {
        self.place = Place::Over;
        self.line = Vec::new();
    }

    /// Looks at bytes that came.
    ///
    /// # Errors
    /// The first fault, which the head after those that were vouched for has; nothing is looked at after it.
    pub fn look(&mut self, bytes: &[u8]) -> Result<(), HeadFault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.place {
                Place::RequestLine | Place::Field | Place::ChunkSize | Place::ChunkEnd | Place::Trailer => {
                    match self.lines(rest) {
                        Ok(rest) => rest,
                        Err((fault, cut_off)) => {
                            let passed = bytes.len() - rest.len();
                            self.cut_off =
                                cut_off.map(|CutOff { kept, ending }| CutOff { kept: passed + kept, ending });
                            self.end();
                            return Err(fault);
                        }
                    }
                }
                Place::Body(left) => self.skip(rest, left, Place::Body, Place::RequestLine),
                Place::Chunk(left) => self.skip(rest, left, Place::Chunk, Place::ChunkEnd),
                Place::Over => &[],
            };
        }
        Ok(())
    }

    /// Passes over `left` bytes, as far as they have come.
    fn skip<'b>(&mut self, bytes: &'b [u8], left: u64, within: fn(u64) -> Place, behind: Place) -> &'b [u8] {
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left.saturating_sub(skipped as u64);
        self.place = if left == 0 { behind } else { within(left) };
        bytes.get(skipped..).unwrap_or_default()
    }

    /// Reads lines until something follows that is not made of lines; returns that.
    fn lines<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Found> {
        let mut from = 0;
        for end in memchr_iter(b'\n', bytes) {
            let piece = bytes.get(from..end).unwrap_or_default();
            let begun = std::mem::take(&mut self.line);
            let after =
                if begun.is_empty() { self.after(piece) } else { self.after(&[&*begun, piece].concat()) };
            self.place = after.map_err(|fault| (fault, self.cut(fault, from, &begun, piece)))?;
            from = end + 1;
            if matches!(self.place, Place::Body(_) | Place::Chunk(_)) {
                return Ok(bytes.get(from..).unwrap_or_default());
            }
        }
        let piece = bytes.get(from..).unwrap_or_default();
        let before = self.line.len();
        self.line.extend_from_slice(piece);
        if let Some(fault) = self.beyond(before) {
            let begun = self.line.get(..before).unwrap_or_default();
            return Err((fault, self.cut(fault, from, begun, piece)));
        }
        Ok(&[])
    }

    /// The limit that a line is beyond before its end has come, of which `before` bytes had come before.
    fn beyond(&self, before: usize) -> Option<HeadFault> {
        let length = self.line.len();
        // Of a line that is not so long the target is not.
        if self.place == Place::RequestLine && length > TARGET_BYTES_MAX {
            let fault = self.long_target(&self.line);
            if fault.is_some() {
                return fault;
            }
        }
        if self.head_bytes + length > self.max.bytes {
            return Some(self.too_long());
        }
        // The engine must not see the beginning of a field that is one too many.
        let begins = before == 0 && self.line.first().is_some_and(|first| *first != b'\r');
        let is_more = begins && self.fields >= self.max.fields;
        if !is_more {
            None
        } else if self.place == Place::Field {
            Some(HeadFault::TooMany)
        } else {
            (self.place == Place::Trailer).then_some(HeadFault::ManyTrailers)
        }
    }

    /// What it is to be longer than the limit here.
    fn too_long(&self) -> HeadFault {
        if self.place == Place::Trailer { HeadFault::LongTrailers } else { HeadFault::TooLong }
    }

    /// Whether a request line has a target beyond what the engine reads, where that comes before the limit of the head.
    fn long_target(&self, line: &[u8]) -> Option<HeadFault> {
        let is_long = self.max.bytes > TARGET_BYTES_MAX
            && target(line).is_some_and(|(_, target)| target.len() > TARGET_BYTES_MAX);
        is_long.then_some(HeadFault::LongTarget)
    }

    /// Where a head ends for the engine that is beyond a limit with a line which goes on with `piece`, `from` that place in
    /// the bytes that were looked at last; the engine has the beginning of it, if there is one.
    fn cut(&self, fault: HeadFault, from: usize, begun: &[u8], piece: &[u8]) -> Option<CutOff> {
        match (fault, self.place) {
            (HeadFault::TooLong | HeadFault::TooMany, Place::Field) => {
                Some(CutOff { kept: from, ending: ending(begun) })
            }
            (HeadFault::LongTrailers | HeadFault::ManyTrailers, _) => {
                Some(CutOff { kept: from, ending: NO_TRAILER })
            }
            (HeadFault::TooLong | HeadFault::LongTarget, Place::RequestLine) => {
                let line = [begun, piece].concat();
                let (at, target) = target(&line)?;
                let end = (at + target.len()).min(LINE_BYTES_KEPT.max(begun.len()));
                // The engine may have more than the target already.
                let ending = BEHIND_TARGET.strip_prefix(begun.get(end..).unwrap_or_default())?;
                (end > at).then_some(CutOff { kept: from + end.saturating_sub(begun.len()), ending })
            }
            _ => None,
        }
    }

    /// Looks at a line without its LF; says what comes after it.
    fn after(&mut self, line: &[u8]) -> Result<Place, HeadFault> {
        if self.place == Place::RequestLine
            && line.len() > TARGET_BYTES_MAX
            && let Some(fault) = self.long_target(line)
        {
            return Err(fault);
        }
        self.head_bytes += line.len() + 1;
        if self.head_bytes > self.max.bytes {
            return Err(self.too_long());
        }
        let line = line.strip_suffix(b"\r").ok_or(HeadFault::LineFeed)?;
        match self.place {
            // Empty lines before a request are passed over (RFC 9112 section 2.2).
            Place::RequestLine if line.is_empty() => Ok(Place::RequestLine),
            Place::RequestLine if memchr(b'#', line).is_some() => Err(HeadFault::Fragment),
            Place::RequestLine => Ok(Place::Field),
            Place::Field if line.is_empty() => Ok(self.head_ended()),
            Place::Field if self.fields >= self.max.fields => Err(HeadFault::TooMany),
            Place::Field => {
                self.fields += 1;
                self.framing.read(line).map(|()| Place::Field)
            }
            Place::ChunkSize => {
                self.head_bytes = 0;
                match chunk_size(line).ok_or(HeadFault::Unplaced)? {
                    0 => Ok(Place::Trailer),
                    size => Ok(Place::Chunk(size)),
                }
            }
            Place::ChunkEnd if line.is_empty() => Ok(Place::ChunkSize),
            Place::Trailer if line.is_empty() => {
                (self.head_bytes, self.fields) = (0, 0);
                Ok(Place::RequestLine)
            }
            Place::Trailer if self.fields >= self.max.fields => Err(HeadFault::ManyTrailers),
            Place::Trailer => {
                self.fields += 1;
                Ok(Place::Trailer)
            }
            Place::ChunkEnd | Place::Body(_) | Place::Chunk(_) | Place::Over => Err(HeadFault::Unplaced),
        }
    }

    fn head_ended(&mut self) -> Place {
        self.vouched += 1;
        (self.head_bytes, self.fields) = (0, 0);
        match std::mem::take(&mut self.framing) {
            Framing { coding: true, .. } => Place::ChunkSize,
            Framing { length: None | Some(0), coding: false } => Place::RequestLine,
            Framing { length: Some(length), coding: false } => Place::Body(length),
        }
    }
}

/// Where the target of a request line begins, and the target, as far as it has come.
fn target(line: &[u8]) -> Option<(usize, &[u8])> {
    let at = memchr(b' ', line)? + 1;
    let rest = line.get(at..)?;
    Some((at, rest.get(..memchr(b' ', rest).unwrap_or(rest.len()))?))
}

/// What ends a head of which the engine has the beginning of a line already.
fn ending(begun: &[u8]) -> &'static [u8] {
    match (begun.last(), memchr(b':', begun)) {
        (None, _) => b"\r\n",
        (Some(b'\r'), Some(_)) => b"\n\r\n",
        (Some(_), Some(_)) => b"\r\n\r\n",
        // A name without a value would be malformed.
        (Some(_), None) => b":\r\n\r\n",
    }
}

impl Framing {
    /// Notes what a field line says of the body.
    fn read(&mut self, line: &[u8]) -> Result<(), HeadFault> {
        match line.first() {
            Some(b'c' | b'C') => {
                let Some(value) = field(line, b"content-length") else { return Ok(()) };
                let length = length(value).ok_or(HeadFault::Lengths)?;
                if self.length.replace(length).is_some_and(|other| other != length) {
                    return Err(HeadFault::Lengths);
                }
            }
            Some(b't' | b'T') if field(line, b"transfer-encoding").is_some() => self.coding = true,
            Some(_) | None => return Ok(()),
        }
        if self.coding && self.length.is_some() { Err(HeadFault::Framings) } else { Ok(()) }
    }
}

/// The value of a field line, if it has that name (in lower case).
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (own, rest) = line.split_at_checked(name.len())?;
    if own.eq_ignore_ascii_case(name) { rest.strip_prefix(b":") } else { None }
}

/// Digits alone, with blanks around them (RFC 9112 section 6.2); no sign, no list.
fn length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The size of a chunk, whatever extensions follow it.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    let digits = std::str::from_utf8(digits.trim_ascii_end()).ok()?;
    // `from_str_radix` takes a sign.
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, 16).ok() }
}
