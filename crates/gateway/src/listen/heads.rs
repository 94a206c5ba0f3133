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
//! A head beyond a limit is cut off behind its last whole line ([`CutOff`]), so that the engine reads what came before and
//! somebody can say which limit it was; by itself it would answer with a bare 431.

use memchr::{memchr, memchr_iter};

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

/// How many bytes and fields a head has at the most.
#[derive(Clone, Copy, Debug)]
pub struct HeadBounds {
    /// Bytes, line ends included.
    pub bytes: usize,
    /// Lines behind the first.
    pub fields: usize,
}

/// A fault, and where in the bytes the line begins that has it.
type Found = (HeadFault, CutOff);

/// Follows the heads of one connection.
#[derive(Debug)]
pub struct HeadWatch {
    place: Place,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    framing: Framing,
    /// Of the lines of the present head that have ended.
    head_bytes: usize,
    /// Lines of the present head that are fields.
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

    /// Where the head that was looked at last is cut off, if it is beyond a limit and its request line was not.
    pub fn cut_off(&self) -> Option<CutOff> {
        self.cut_off
    }

    /// How many heads have ended that have one reading.
    pub fn vouched(&self) -> u64 {
        self.vouched
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
                        Err((fault, CutOff { kept, ending })) => {
                            let is_cut = matches!(fault, HeadFault::TooLong | HeadFault::TooMany);
                            if is_cut && self.place == Place::Field {
                                let kept = bytes.len() - rest.len() + kept;
                                self.cut_off = Some(CutOff { kept, ending });
                            }
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
            let cut_off = CutOff { kept: from, ending: ending(&self.line) };
            let piece = bytes.get(from..end).unwrap_or_default();
            from = end + 1;
            let after = if self.line.is_empty() {
                self.after(piece)
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(piece);
                self.after(&line)
            };
            self.place = after.map_err(|fault| (fault, cut_off))?;
            if matches!(self.place, Place::Body(_) | Place::Chunk(_)) {
                return Ok(bytes.get(from..).unwrap_or_default());
            }
        }
        let piece = bytes.get(from..).unwrap_or_default();
        let cut_off = CutOff { kept: from, ending: ending(&self.line) };
        if self.head_bytes + self.line.len() + piece.len() > self.max.bytes {
            return Err((HeadFault::TooLong, cut_off));
        }
        // The engine must not see the beginning of a field that is one too many.
        let begins = self.line.is_empty() && piece.first().is_some_and(|first| *first != b'\r');
        if begins && self.place == Place::Field && self.fields >= self.max.fields {
            return Err((HeadFault::TooMany, cut_off));
        }
        self.line.extend_from_slice(piece);
        Ok(&[])
    }

    /// Looks at a line without its LF; says what comes after it.
    fn after(&mut self, line: &[u8]) -> Result<Place, HeadFault> {
        self.head_bytes += line.len() + 1;
        if self.head_bytes > self.max.bytes {
            return Err(HeadFault::TooLong);
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
                self.head_bytes = 0;
                Ok(Place::RequestLine)
            }
            Place::Trailer => Ok(Place::Trailer),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn watch(bytes: usize) -> HeadWatch {
        HeadWatch::new(HeadBounds { bytes, fields: 10 })
    }

    /// Heads that were vouched for, and the fault, whether the bytes come at once or one by one.
    fn check(bytes: &str, vouched: u64, fault: Option<HeadFault>) {
        for size in [bytes.len().max(1), 1, 7] {
            let mut watch = watch(1000);
            let found = bytes.as_bytes().chunks(size).find_map(|piece| watch.look(piece).err());
            assert_eq!((watch.vouched(), found), (vouched, fault), "{bytes:?} in pieces of {size}");
        }
    }

    fn post(fields: &str, body: &str) -> String {
        format!("POST /a HTTP/1.1\r\n{fields}\r\n\r\n{body}")
    }

    const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn faults_are_found_in_heads() {
        check(GET, 1, None);
        check(&format!("\r\n\r\n{GET}{GET}"), 2, None);
        check("GET /a HTTP/1.1\r\nHost: a\r\n", 0, None);
        check("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0, Some(HeadFault::Fragment));
        check(&format!("{GET}GET /# HTTP/1.1\r\n\r\n{GET}"), 1, Some(HeadFault::Fragment));
        check("GET /a HTTP/1.1\r\nX: #\r\n\r\n", 1, None);
        for bare in [
            "GET /a HTTP/1.1\nHost: a\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            check(bare, 0, Some(HeadFault::LineFeed));
        }
        for lengths in [
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: +3",
            "Content-Length:",
            "Content-Length: 3, 3",
            "Content-Length: 99999999999999999999",
        ] {
            check(&post(lengths, "abc"), 0, Some(HeadFault::Lengths));
        }
        for both in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "transfer-encoding: x\r\nX: 1\r\ncontent-length: 3",
        ] {
            check(&post(both, ""), 0, Some(HeadFault::Framings));
        }
        check(&post("Content-Lengths: x\r\nTransfer: y", ""), 1, None);
    }

    #[test]
    fn heads_are_found_behind_bodies() {
        check(&(post("Content-Length: 6", "\n#\r\n\r\n") + GET), 2, None);
        check(&(post("content-length:\t3 \r\nCONTENT-LENGTH: 3", "\n#\n") + GET), 2, None);
        check(&post("Content-Length: 0", GET), 2, None);
        check(&post("Content-Length: 3", "ab"), 1, None);
        let chunked = |body: &str| post("Transfer-Encoding: chunked", body) + GET;
        check(&chunked("0\r\n\r\n"), 2, None);
        check(&chunked("A ;x=\"y\"\r\n0\r\n\r\n\n#  \n\r\n0\r\nT: 1\r\n\r\n"), 2, None);
        check(&chunked("3\r\nabc\r\n00;\r\n\r\n"), 2, None);
        for broken in ["3\r\nabcd\r\n0\r\n\r\n", "+3\r\nabc", "x\r\n", "\r\n", "fffffffffffffffff\r\n"] {
            check(&chunked(broken), 1, Some(HeadFault::Unplaced));
        }
        check(&chunked("3\nabc\r\n0\r\n\r\n"), 1, Some(HeadFault::LineFeed));
    }

    #[test]
    fn bytes_of_a_head_are_counted() {
        let head = GET.len();
        assert_eq!(watch(head).look(GET.as_bytes()), Ok(()));
        assert_eq!(watch(head - 1).look(GET.as_bytes()), Err(HeadFault::TooLong));
        let mut of_heads = watch(head);
        assert_eq!(of_heads.look(GET.repeat(100).as_bytes()), Ok(()), "each head by itself");
        let mut watch = watch(100);
        let chunks = post("Transfer-Encoding: chunked", &"3\r\nabc\r\n".repeat(100));
        assert_eq!(watch.look(chunks.as_bytes()), Ok(()), "chunks are no head");
    }

    /// What the engine is given of bytes that come in pieces of a size.
    fn given(bytes: &str, max: HeadBounds, size: usize) -> (String, Option<HeadFault>) {
        let (mut watch, mut given) = (HeadWatch::new(max), Vec::new());
        for piece in bytes.as_bytes().chunks(size) {
            let fault = watch.look(piece).err();
            let cut_off = watch.cut_off();
            given.extend_from_slice(&piece[..cut_off.map_or(piece.len(), |cut_off| cut_off.kept)]);
            given.extend_from_slice(cut_off.map_or(b"", |cut_off| cut_off.ending));
            if fault.is_some() {
                return (String::from_utf8(given).unwrap(), fault);
            }
        }
        (String::from_utf8(given).unwrap(), None)
    }

    #[test]
    fn a_head_beyond_a_limit_ends_behind_its_last_line() {
        let fields = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
        let head = |count: usize| format!("POST /a HTTP/1.1\r\n{}\r\n", fields(count));
        for size in [1, 7, 10_000] {
            let max = HeadBounds { bytes: 1000, fields: 5 };
            assert_eq!(given(&head(5).repeat(3), max, size), (head(5).repeat(3), None));
            let (kept, fault) = given(&(head(3) + &head(6)), max, size);
            assert_eq!((kept, fault), (head(3) + &head(5), Some(HeadFault::TooMany)), "{size}");
            // In the middle of a line: it is ended where it is, so that what was given before is a head.
            let max = HeadBounds { bytes: 100, fields: 50 };
            for line in [format!("Y: {}", "y".repeat(200)), "y".repeat(200)] {
                let long = format!("POST /a HTTP/1.1\r\nX: 1\r\n{line}\r\n\r\n");
                let (kept, fault) = given(&long, max, size);
                assert_eq!(fault, Some(HeadFault::TooLong), "{size}");
                assert!(
                    kept.starts_with("POST /a HTTP/1.1\r\nX: 1\r\n") && kept.ends_with("\r\n\r\n"),
                    "{kept:?}"
                );
                assert!(kept.len() <= 100 + 5 && kept.matches("\r\n\r\n").count() == 1, "{kept:?}");
                assert!(kept.lines().skip(1).all(|line| line.is_empty() || line.contains(':')), "{kept:?}");
            }
            // A target that is too long cannot be read.
            let (kept, _) = given(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200)), max, size);
            assert!(!kept.contains("\r\n\r\n") || size > 200, "{kept:?}");
        }
    }

    #[test]
    fn what_is_kept_of_a_line_is_bounded() {
        let mut watch = watch(10);
        for _ in 0..10 {
            assert_eq!(watch.look(b"x"), Ok(()));
        }
        assert_eq!(watch.look(b"x"), Err(HeadFault::TooLong));
        assert_eq!((watch.line.capacity(), watch.look(b"x")), (0, Ok(())));
    }
}
