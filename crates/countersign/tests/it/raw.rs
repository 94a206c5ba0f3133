//! HTTP/1.1 in the raw: what is written goes out byte for byte, what comes in is not tidied up.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longer than any answer takes on a busy machine; what takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(60);
/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// A request line or status line with its headers.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) start: String,
    /// Names and values as they came, without the blanks around values.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn says(&self, name: &str, word: &str) -> bool {
        self.header(name).is_some_and(|value| value.to_ascii_lowercase().contains(word))
    }

    /// The status of an answer; 0 if it has none.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

/// One end of a connection, with what was read too far.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    deadline: Option<Instant>,
    /// The trailer lines of the last body that came in chunks.
    pub(crate) trailers: Vec<String>,
}

impl Wire {
    /// Takes over a connection.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), deadline: None, trailers: Vec::new() }
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| format!("could not send: {error}"))
    }

    /// Reads the head of a message; `None` if the other end closed before one began.
    pub(crate) fn head(&mut self) -> Result<Option<Head>, String> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at;
            }
            if self.fill()? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err("closed within a head".to_owned())
                };
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| match line.split_once(':') {
                Some((name, value)) => (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()),
                None => (line.to_owned(), String::new()),
            })
            .collect();
        Ok(Some(Head { start, headers }))
    }

    /// Reads the body that follows a head; `close_ends_it` for answers, whose end may be that of the connection.
    pub(crate) fn body(&mut self, head: &Head, close_ends_it: bool) -> Result<Vec<u8>, String> {
        if head.says("transfer-encoding", "chunked") {
            return self.chunks();
        }
        match head.header("content-length") {
            Some(length) => {
                let length = length.parse().map_err(|_| format!("content-length {length} is no number"))?;
                self.exactly(length)
            }
            None if close_ends_it => {
                while self.fill()? != 0 {}
                Ok(std::mem::take(&mut self.buffer))
            }
            None => Ok(Vec::new()),
        }
    }

    /// Everything that still comes, up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, String> {
        loop {
            match self.fill() {
                Ok(0) => return Ok(std::mem::take(&mut self.buffer)),
                Ok(_) => {}
                // The other end closed with bytes of ours unread.
                Err(error) if error.contains("reset by peer") => return Ok(std::mem::take(&mut self.buffer)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the connection is open and nothing comes for so long, but for what came already.
    pub(crate) fn is_silent(&mut self, span: Duration) -> bool {
        self.deadline = None;
        let before = self.stream.read_timeout().unwrap();
        self.stream.set_read_timeout(Some(span)).unwrap();
        let is_silent = loop {
            match self.fill() {
                Ok(0) => break false,
                Ok(_) => {}
                Err(error) => break !error.contains("reset"),
            }
        };
        self.stream.set_read_timeout(before.or(Some(DEADLINE))).unwrap();
        is_silent
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| format!("`{line}` is no size of a chunk"))?;
            if size == 0 {
                self.trailers.clear();
                loop {
                    let line = self.line()?;
                    if line.is_empty() {
                        return Ok(body);
                    }
                    self.trailers.push(line);
                }
            }
            body.extend(self.exactly(size)?);
            if !self.line()?.is_empty() {
                return Err("a chunk is longer than it said".to_owned());
            }
        }
    }

    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.fill()? == 0 {
                return Err("closed within a body".to_owned());
            }
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(format!("closed after {} of {length} bytes of a body", self.buffer.len()));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill(&mut self) -> Result<usize, String> {
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
        }
        let mut chunk = [0; CHUNK];
        let read = self.stream.read(&mut chunk).map_err(|error| format!("could not read: {error}"))?;
        self.buffer.extend(&chunk[..read]);
        Ok(read)
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status line and headers.
    pub(crate) head: Head,
    /// The body, without the frame of its transfer.
    pub(crate) body: Vec<u8>,
}

/// A client with connections that stay open between its requests.
pub(crate) struct Client {
    address: SocketAddr,
    wires: HashMap<u8, Wire>,
}

impl Client {
    /// A client of the server at `address`; nothing is opened yet.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, wires: HashMap::new() }
    }

    /// Sends a request on one of the connections and reads its answer, within a minute.
    ///
    /// # Errors
    /// What happened to the connection.
    pub(crate) fn exchange(&mut self, connection: u8, request: &[u8]) -> Result<Answer, String> {
        let mut wire = match self.wires.remove(&connection) {
            Some(wire) => wire,
            None => {
                let stream = TcpStream::connect(self.address)
                    .map_err(|error| format!("could not connect: {error}"))?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                Wire::new(stream)
            }
        };
        wire.deadline = Some(Instant::now() + DEADLINE);
        wire.send(request)?;
        let head = loop {
            let head = wire.head()?.ok_or("closed without an answer")?;
            if head.status() >= 200 {
                break head;
            }
        };
        let bodiless = request.starts_with(b"HEAD ") || matches!(head.status(), 204 | 304);
        let body = if bodiless { Vec::new() } else { wire.body(&head, true)? };
        if !wire.buffer.is_empty() {
            return Err(format!("{} bytes came after the answer", wire.buffer.len()));
        }
        // After a 413 the server may close without a word: it has not read the body (RFC 9110 section 15.5.14).
        if !head.says("connection", "close") && head.status() != 413 {
            self.wires.insert(connection, wire);
        }
        Ok(Answer { head, body })
    }
}

/// A request that waits for the last byte of its body.
pub(crate) struct Held {
    wire: Wire,
    last: Vec<u8>,
}

impl Held {
    /// Sends these lines of a head, each with its CRLF, and all of a body but its last byte.
    pub(crate) fn begin(address: SocketAddr, head: &str, body: &str) -> Self {
        let mut wire = Wire::new(TcpStream::connect(address).unwrap());
        let head = format!("{head}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", body.len());
        wire.send(head.as_bytes()).unwrap();
        // So the server is at work on the request, and waits for the body.
        assert_eq!(wire.head().unwrap().unwrap().status(), 100);
        let (first, last) = body.as_bytes().split_at(body.len() - 1);
        wire.send(first).unwrap();
        Self { wire, last: last.to_vec() }
    }

    /// The status of the answer, once the body is whole.
    pub(crate) fn end(mut self) -> u16 {
        self.wire.send(&self.last).unwrap();
        self.wire.head().unwrap().unwrap().status()
    }
}

/// The bytes of a message: lines with CRLF, `Content-Length` where a body has none yet.
pub(crate) fn bytes(lines: &[String], body: &str) -> Vec<u8> {
    let mut text = lines.join("\r\n");
    let names = |wanted: &str| {
        let name = |line: &String| line.split(':').next().unwrap_or_default().eq_ignore_ascii_case(wanted);
        lines.iter().skip(1).any(name)
    };
    let wanted = !body.is_empty() || lines.first().is_some_and(|line| line.starts_with("HTTP/"));
    if wanted && !names("content-length") && !names("transfer-encoding") {
        text.push_str(&format!("\r\nContent-Length: {}", body.len()));
    }
    text.push_str("\r\n\r\n");
    text.push_str(body);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn lengths_chunks_and_closing_end_bodies() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut wire = Wire::new(stream);
            let mut asked = Vec::new();
            for answer in [
                "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n",
                "HTTP/1.1 204 No Content\r\n\r\n",
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
            ] {
                let head = wire.head().unwrap().unwrap();
                let body = wire.body(&head, false).unwrap();
                asked.push((head.start, head.headers, body));
                wire.send(answer.as_bytes()).unwrap();
            }
            asked
        });
        let mut client = Client::new(address);
        let request = bytes(&["POST / HTTP/1.1".to_owned(), "Host:  a ".to_owned()], "xy");
        let bodies: Vec<Vec<u8>> = (0..4).map(|_| client.exchange(1, &request).unwrap().body).collect();
        assert_eq!(bodies, [b"abc".to_vec(), b"abc".to_vec(), Vec::new(), b"abc".to_vec()]);
        assert!(client.wires.is_empty());
        let asked = server.join().unwrap();
        assert_eq!(asked[0].0, "POST / HTTP/1.1");
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(asked[0].1, [header("Host", "a"), header("Content-Length", "2")]);
        assert_eq!(asked[3].2, b"xy");
    }
}
