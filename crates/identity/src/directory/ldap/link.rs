//! One connection to a server of a directory.
//!
//! TLS comes first: `ldaps`, or StartTLS on `ldap` (RFC 4511 section 4.14), which is spoken here so that nothing that
//! somebody between could have said is read by the library. There is no way back to clear text.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use countersign_auth::secret::Secret;
use ldap3::asn1::StructureTag;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchOptions, StdStream};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How a server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its host name, as its certificate says it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How what is said stays private.
    pub privacy: Privacy,
}

/// How what is said to a server stays private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// TLS from the first byte.
    Tls,
    /// TLS after StartTLS; a server that does not want to is not spoken to.
    StartTls,
    /// Not at all. For servers on loopback.
    None,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The connection is of no use any more; the text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) String);

impl From<LdapError> for Broken {
    fn from(error: LdapError) -> Self {
        Self(error.to_string())
    }
}

/// An entry of a directory. Names of attributes are in lower case.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) dn: String,
    pub(super) attributes: HashMap<String, Vec<Vec<u8>>>,
}

/// What is searched for.
pub(super) struct Query<'q> {
    pub(super) base: &'q str,
    pub(super) scope: Scope,
    pub(super) filter: &'q str,
    pub(super) attributes: &'q [String],
    /// Entries that may be found.
    pub(super) limit: usize,
}

/// What a search came to.
pub(super) enum Found {
    /// These entries.
    Entries(Vec<Entry>),
    /// More than were asked for.
    TooMany,
    /// The server did not search; for the log.
    Refused(String),
}

/// An open connection.
pub(super) struct Link {
    ldap: Ldap,
    /// How long one answer may take.
    patience: Duration,
}

impl Link {
    /// Connects, and makes the connection private.
    pub(super) async fn open(
        server: &Server,
        tls: &Arc<ClientConfig>,
        patience: Duration,
    ) -> Result<Self, Broken> {
        let opened = timeout(patience, open(server, tls)).await;
        let ldap = opened.map_err(|_| Broken("it did not answer in time".to_owned()))??;
        Ok(Self { ldap, patience })
    }

    /// Whether the connection is known to be gone. That it is not says little.
    pub(super) fn is_closed(&mut self) -> bool {
        self.ldap.is_closed()
    }

    /// Binds with a name and a password that is not empty (RFC 4513 section 5.1.2 calls an empty one anonymous).
    pub(super) async fn bind(&mut self, name: &str, password: &Secret) -> Result<LdapResult, Broken> {
        if password.expose().is_empty() {
            return Err(Broken("an empty password is not sent".to_owned()));
        }
        Ok(self.ldap.with_timeout(self.patience).simple_bind(name, password.expose()).await?)
    }

    /// Searches. Referrals are neither followed nor counted (P-LDAP4).
    pub(super) async fn search(&mut self, query: &Query<'_>) -> Result<Found, Broken> {
        let limit = i32::try_from(query.limit).unwrap_or(i32::MAX);
        let seconds = i32::try_from(self.patience.as_secs()).unwrap_or(i32::MAX).max(1);
        let options = SearchOptions::new().sizelimit(limit).timelimit(seconds);
        self.ldap.with_timeout(self.patience).with_search_options(options);
        let mut stream =
            self.ldap.streaming_search(query.base, query.scope, query.filter, query.attributes).await?;
        let mut entries = Vec::new();
        while let Some(item) = stream.next().await? {
            if item.is_ref() || item.is_intermediate() {
                continue;
            }
            if entries.len() >= query.limit {
                // The rest is not waited for: the connection goes with it.
                return Err(Broken("it sent more entries than were asked for".to_owned()));
            }
            entries.push(entry(item.0).ok_or_else(|| Broken("it sent an entry that is none".to_owned()))?);
        }
        let result = stream.finish().await;
        Ok(match result.rc {
            0 => Found::Entries(entries),
            4 => Found::TooMany,
            // The base is not there: nobody is.
            32 => Found::Entries(Vec::new()),
            _ => Found::Refused(told(&result)),
        })
    }
}

/// A result for the log: its code, and what the server said about it.
pub(super) fn told(result: &LdapResult) -> String {
    let text: String = result.text.chars().filter(|letter| !letter.is_control()).take(TOLD_MAX).collect();
    format!("result code {} {text}", result.rc).trim_end().to_owned()
}

/// Characters of a server's words that go to the log.
const TOLD_MAX: usize = 200;

async fn open(server: &Server, tls: &Arc<ClientConfig>) -> Result<Ldap, Broken> {
    let failed = |error: std::io::Error| Broken(error.to_string());
    let mut stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    if server.privacy == Privacy::StartTls {
        start_tls(&mut stream).await?;
    }
    let scheme = match server.privacy {
        Privacy::Tls | Privacy::StartTls => "ldaps",
        Privacy::None => "ldap",
    };
    let settings = LdapConnSettings::new()
        .set_config(Arc::clone(tls))
        .set_std_stream(StdStream::Tcp(stream.into_std().map_err(failed)?));
    let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
    let url = format!("{scheme}://{host}:{}", server.port);
    let (connection, ldap) = LdapConnAsync::with_settings(settings, &url).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.drive().await {
            tracing::debug!(%error, "a connection to a directory ended with an error");
        }
    });
    Ok(ldap)
}

/// `ExtendedRequest` with message id 1 and the name 1.3.6.1.4.1.1466.20037.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// A directory's answer to StartTLS: a result code, and a sentence for people.
const ANSWER_BYTES_MAX: usize = 1024;

/// Asks for TLS.
///
/// ```text
/// 30 len  02 01 01  78 len  0a 01 00  04 00  04 00  ...     LDAPMessage, id 1, ExtendedResponse, success
/// ```
async fn start_tls(stream: &mut TcpStream) -> Result<(), Broken> {
    let failed = |error: std::io::Error| Broken(format!("StartTLS: {error}"));
    stream.write_all(START_TLS).await.map_err(failed)?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.map_err(failed)?;
    let length = match head {
        [0x30, short] if short < 0x80 => usize::from(short),
        [0x30, 0x81] => usize::from(stream.read_u8().await.map_err(failed)?),
        [0x30, 0x82] => usize::from(stream.read_u16().await.map_err(failed)?),
        [0x30, 0x84] => usize::try_from(stream.read_u32().await.map_err(failed)?).unwrap_or(usize::MAX),
        _ => return Err(Broken("StartTLS: the answer is no LDAP".to_owned())),
    };
    if length > ANSWER_BYTES_MAX {
        return Err(Broken("StartTLS: the answer is too long".to_owned()));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.map_err(failed)?;
    if is_success(&answer) { Ok(()) } else { Err(Broken("the server does not want StartTLS".to_owned())) }
}

/// Whether what follows the head of a message is a successful answer to the message 1.
fn is_success(answer: &[u8]) -> bool {
    let Some(rest) = answer.strip_prefix(b"\x02\x01\x01\x78") else { return false };
    let rest = match rest {
        [0x84, _, _, _, _, rest @ ..] | [0x82, _, _, rest @ ..] | [0x81, _, rest @ ..] => rest,
        [length, rest @ ..] if *length < 0x80 => rest,
        _ => return false,
    };
    rest.starts_with(b"\x0a\x01\x00")
}

/// `SearchResultEntry ::= SEQUENCE { LDAPDN, SEQUENCE OF SEQUENCE { type, SET OF value } }`
fn entry(tag: StructureTag) -> Option<Entry> {
    let mut parts = tag.match_id(4)?.expect_constructed()?.into_iter();
    let dn = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
    let mut attributes = HashMap::new();
    for attribute in parts.next()?.expect_constructed()? {
        let mut parts = attribute.expect_constructed()?.into_iter();
        let name = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
        let values = parts.next()?.expect_constructed()?;
        let values: Option<Vec<_>> = values.into_iter().map(StructureTag::expect_primitive).collect();
        attributes.insert(name.to_ascii_lowercase(), values?);
    }
    Some(Entry { dn, attributes })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_answer_to_start_tls_is_read_up_to_a_length() {
        let ask = async |length: usize| {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut stream = TcpStream::connect(server.local_addr().unwrap()).await.unwrap();
            let (mut directory, _) = server.accept().await.unwrap();
            let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
            let mut answer = vec![0x30, 0x82, high, low];
            answer.extend(b"\x02\x01\x01\x78\x82\x00\x00\x0a\x01\x00");
            answer.resize(4 + length, 0);
            directory.write_all(&answer).await.unwrap();
            start_tls(&mut stream).await.map_err(|error| error.0)
        };
        assert_eq!(ask(ANSWER_BYTES_MAX).await, Ok(()));
        assert_eq!(ask(ANSWER_BYTES_MAX + 1).await.unwrap_err(), "StartTLS: the answer is too long");
    }

    #[test]
    fn only_a_success_is_one() {
        let good: [&[u8]; 3] = [
            b"\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x02\x01\x01\x78\x81\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00",
        ];
        for answer in good {
            assert!(is_success(answer), "{answer:x?}");
        }
        let bad: [&[u8]; 5] = [
            b"\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00",
            b"\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x02\x01\x01\x78",
            b"",
        ];
        for answer in bad {
            assert!(!is_success(answer), "{answer:x?}");
        }
    }
}
