//! The PROXY header of balancers that pass TCP on (versions 1 and 2).
//!
//! ```text
//! PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n            version 1, at most 107 bytes
//! \r\n\r\n\0\r\nQUIT\n | 0x21 | 0x11 | length(2) | ...   version 2, 16 bytes and what length says
//! ```

use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::address::canonical;

/// Longest header of version 1, as its text says.
const TEXT_MAX: usize = 107;
/// `PROXY`, the family, two addresses and two ports.
const TEXT_PARTS: usize = 6;
const BINARY_HEAD: usize = 16;
/// Two IPv6 ends take 36 bytes; the rest is for what cloud balancers add (an endpoint's id, a checksum).
const BINARY_BODY_MAX: usize = 1024;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a connection has no PROXY header that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The connection failed before its header had come.
    #[error("could not read a PROXY header")]
    Read(#[source] std::io::Error),
    /// It begins with something else.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It begins like a header that goes on otherwise, or is too long.
    #[error("the PROXY header is malformed")]
    Malformed,
}

/// Reads the header and not a byte more. `None`: the balancer speaks for itself (health checks).
pub(crate) async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let mut first = [0; 1];
    if stream.peek(&mut first).await.map_err(ProxyError::Read)? == 0 {
        return Err(ProxyError::Missing);
    }
    match first {
        [b'P'] => text(stream).await,
        [b'\r'] => binary(stream).await,
        [_] => Err(ProxyError::Missing),
    }
}

async fn text(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let mut header = Vec::with_capacity(TEXT_MAX);
    while !header.ends_with(b"\r\n") {
        let mut ahead = [0; TEXT_MAX];
        let room = ahead.get_mut(header.len()..).ok_or(ProxyError::Malformed)?;
        let seen = stream.peek(room).await.map_err(ProxyError::Read)?;
        let seen = room.get(..seen).unwrap_or_default();
        if seen.is_empty() {
            return Err(ProxyError::Malformed);
        }
        // What was seen up to the line's end belongs to the header, so taking it takes nothing from HTTP.
        let take = seen.iter().position(|byte| *byte == b'\n').map_or(seen.len(), |end| end + 1);
        let before = header.len();
        header.resize(before + take, 0);
        stream.read_exact(header.get_mut(before..).unwrap_or_default()).await.map_err(ProxyError::Read)?;
        if header.last() == Some(&b'\n') {
            break;
        }
    }
    parse_text(&header)
}

/// Reads a header of version 1, with its CRLF: the client's end, or `None` where the balancer speaks for itself.
/// An IPv4 address in an IPv6 one is that IPv4 address.
///
/// # Errors
/// [`ProxyError::Malformed`]
pub fn parse_text(header: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let end = header.windows(2).position(|pair| pair == b"\r\n").ok_or(ProxyError::Malformed)? + 2;
    let line = header.get(..end).unwrap_or_default();
    let parsed = ppp::v1::Header::try_from(line).map_err(|_| ProxyError::Malformed)?;
    // The library takes a blank before the line's end for nothing.
    let parts = line.split(|byte| *byte == b' ').count();
    match parsed.addresses {
        ppp::v1::Addresses::Tcp4(_) | ppp::v1::Addresses::Tcp6(_) if parts != TEXT_PARTS => {
            Err(ProxyError::Malformed)
        }
        ppp::v1::Addresses::Tcp4(ends) => Ok(Some(SocketAddr::from((ends.source_address, ends.source_port)))),
        ppp::v1::Addresses::Tcp6(ends) => {
            Ok(Some(canonical(SocketAddr::from((ends.source_address, ends.source_port)))))
        }
        ppp::v1::Addresses::Unknown => Ok(None),
    }
}

async fn binary(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let mut header = vec![0; BINARY_HEAD];
    stream.read_exact(&mut header).await.map_err(ProxyError::Read)?;
    if !header.starts_with(SIGNATURE) {
        return Err(ProxyError::Missing);
    }
    let length = match header.as_slice() {
        [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(ProxyError::Malformed),
    };
    if length > BINARY_BODY_MAX {
        return Err(ProxyError::Malformed);
    }
    header.resize(BINARY_HEAD + length, 0);
    stream.read_exact(header.get_mut(BINARY_HEAD..).unwrap_or_default()).await.map_err(ProxyError::Read)?;
    parse_binary(&header)
}

/// Reads a header of version 2, all of it: the client's end, or `None` where the balancer speaks for itself or the
/// client has no IP address. An IPv4 address in an IPv6 one is that IPv4 address.
///
/// # Errors
/// [`ProxyError::Malformed`]
pub fn parse_binary(header: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let parsed = ppp::v2::Header::try_from(header).map_err(|_| ProxyError::Malformed)?;
    if parsed.command == ppp::v2::Command::Local {
        return Ok(None);
    }
    match parsed.addresses {
        ppp::v2::Addresses::IPv4(ends) => Ok(Some(SocketAddr::from((ends.source_address, ends.source_port)))),
        ppp::v2::Addresses::IPv6(ends) => {
            Ok(Some(canonical(SocketAddr::from((ends.source_address, ends.source_port)))))
        }
        // A Unix socket has no address that rules could be about.
        ppp::v2::Addresses::Unix(_) | ppp::v2::Addresses::Unspecified => Ok(None),
    }
}
