//! HTTP/2 in the raw: frames as they are on the wire (RFC 9113 section 4.1), whether they make sense or not.
//!
//! ```text
//! length(24) | type(8) | flags(8) | stream(32) | payload
//! ```

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any frame takes to come on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals without a table and without Huffman's code (RFC 7541 section 6.2.2).
pub(crate) fn fields(list: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in list {
        block.push(0);
        text(name, &mut block);
        text(value, &mut block);
    }
    block
}

/// A string literal, its length with a prefix of seven bits (RFC 7541 section 5.1).
fn text(bytes: &[u8], block: &mut Vec<u8>) {
    match u8::try_from(bytes.len()) {
        Ok(length) if length < 127 => block.push(length),
        Ok(_) | Err(_) => {
            block.push(127);
            let mut left = bytes.len() - 127;
            while left >= 128 {
                block.push(u8::try_from(left % 128).unwrap() | 128);
                left /= 128;
            }
            block.push(u8::try_from(left).unwrap());
        }
    }
    block.extend(bytes);
}

/// The fields of a plain GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    fields(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"a.example"),
        (b":path", path.as_bytes()),
    ])
}

/// A connection that was opened with prior knowledge.
pub(crate) struct Frames {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Frames {
    /// Connects and says these settings: number and value.
    pub(crate) fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::over(TcpStream::connect(address).unwrap(), settings)
    }

    /// The same on a connection that is there.
    pub(crate) fn over(stream: TcpStream, settings: &[(u16, u32)]) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut frames = Self { stream, buffer: Vec::new() };
        let mut payload = Vec::new();
        for (number, value) in settings {
            payload.extend(number.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        frames.stream.write_all(PREFACE).unwrap();
        frames.send(&frame(SETTINGS, 0, 0, &payload)).unwrap();
        frames
    }

    /// Sends bytes; an error says that the gate takes no more.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame, settings acknowledged on the way; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if frame.kind == SETTINGS && frame.flags & ACK == 0 {
                let _closed = self.send(&self::frame(SETTINGS, ACK, 0, &[]));
            } else if !matches!(frame.kind, SETTINGS | WINDOW_UPDATE) {
                return Some(frame);
            }
        }
    }

    /// The next frame, whatever it is.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        while self.buffer.len() < HEAD_BYTES || self.buffer.len() < HEAD_BYTES + self.length() {
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend(&chunk[..read]),
                Err(error) => {
                    let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(!late, "nothing came for {DEADLINE:?}");
                    return None;
                }
            }
        }
        let payload = HEAD_BYTES + self.length();
        let bytes: Vec<u8> = self.buffer.drain(..payload).collect();
        let stream = u32::from_be_bytes([bytes[5] & 0x7f, bytes[6], bytes[7], bytes[8]]);
        Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[HEAD_BYTES..].to_vec() })
    }

    /// Whether the gate has ended the connection, or said that it does, by what has come so far.
    pub(crate) fn is_over(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut chunk = [0; 16 * 1024];
        let is_closed = loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => break true,
                Ok(read) => self.buffer.extend(&chunk[..read]),
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        self.stream.set_nonblocking(false).unwrap();
        let mut rest = self.buffer.as_slice();
        while let [a, b, c, kind, ..] = *rest {
            if kind == GO_AWAY {
                return true;
            }
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            rest = rest.get(HEAD_BYTES + length..).unwrap_or_default();
        }
        is_closed
    }

    fn length(&self) -> usize {
        usize::from(self.buffer[0]) << 16 | usize::from(self.buffer[1]) << 8 | usize::from(self.buffer[2])
    }

    /// Waits for the end of the connection; the code of its GOAWAY, if it said one.
    pub(crate) fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GO_AWAY {
                code = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
            }
        }
        code
    }

    /// Waits until a stream has ended: with an answer, or with the code of its reset or of the connection's end.
    pub(crate) fn ended(&mut self, stream: u32) -> Result<(), u32> {
        while let Some(frame) = self.next() {
            match frame.kind {
                GO_AWAY => return Err(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap())),
                RST_STREAM if frame.stream == stream => {
                    return Err(u32::from_be_bytes(frame.payload[..4].try_into().unwrap()));
                }
                HEADERS | DATA if frame.stream == stream && frame.flags & END_STREAM != 0 => return Ok(()),
                _ => {}
            }
        }
        Err(u32::MAX)
    }
}
