//! A client that writes and reads bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// One connection of a raw HTTP/1.1 client, or of a raw server.
pub(crate) struct Wire<S = TcpStream> {
    pub(crate) stream: BufReader<S>,
}

/// A message as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Request line or status line.
    pub(crate) start: String,
    /// `name: value` lines, names in lower case.
    pub(crate) fields: Vec<String>,
    /// Without framing.
    pub(crate) body: Vec<u8>,
    /// After the last chunk.
    pub(crate) trailers: Vec<String>,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The values of a field, joined with `|`.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .fields
            .iter()
            .filter_map(|line| line.split_once(": "))
            .filter(|(other, _)| *other == name)
            .map(|(_, value)| value)
            .collect();
        if values.is_empty() { None } else { Some(values.join("|")) }
    }
}

impl Wire<TcpStream> {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
        self.stream.get_mut().flush().unwrap();
    }

    /// Sends a request without a body and reads the answer.
    pub(crate) fn get(&mut self, path: &str) -> Message {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        self.answer()
    }

    /// Reads an answer.
    pub(crate) fn answer(&mut self) -> Message {
        self.message().expect("an answer")
    }

    /// Reads a head; `None` at the end of the stream.
    pub(crate) fn head(&mut self) -> Option<Message> {
        let start = self.line()?;
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(Message { start, fields, body: Vec::new(), trailers: Vec::new() });
            }
            let (name, value) = line.split_once(':').unwrap();
            fields.push(format!("{}: {}", name.to_ascii_lowercase(), value.trim()));
        }
    }

    /// Reads a message; `None` at the end of the stream, also in its middle.
    pub(crate) fn message(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        if message.field("transfer-encoding").is_some() {
            loop {
                let size = usize::from_str_radix(self.line()?.split(';').next().unwrap(), 16).unwrap();
                if size == 0 {
                    break;
                }
                let mut chunk = vec![0; size + 2];
                self.stream.read_exact(&mut chunk).ok()?;
                message.body.extend_from_slice(&chunk[..size]);
            }
            loop {
                let line = self.line()?;
                if line.is_empty() {
                    return Some(message);
                }
                message.trailers.push(line.to_ascii_lowercase());
            }
        }
        let length = message.field("content-length").map_or(0, |length| length.parse().unwrap());
        message.body = vec![0; length];
        self.stream.read_exact(&mut message.body).ok()?;
        Some(message)
    }

    /// Whether the other end has closed, with nothing more said.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut byte = [0; 1];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
                    ),
                    "{error}"
                );
                true
            }
        }
    }

    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("could not read a line: {error}"),
        }
    }
}
