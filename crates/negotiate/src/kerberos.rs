//! Kerberos through the system's GSSAPI library, loaded at run time: where nothing asks for Kerberos, no library need
//! be there.
//!
//! An [`Acceptor`] holds the keys of one keytab. Its [`accept`](Acceptor::accept) may wait for the disk (keytab,
//! replay cache): not to be called where nothing may wait. The library reads `KRB5_CONFIG`, `KRB5RCACHENAME` and the
//! like from the environment; whoever starts the program sets them, since a running one cannot do that safely.
//!
//! The replay cache is the library's own and stays on: a ticket's authenticator is good once, whichever process of
//! this machine and user gets it first.

mod ffi;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::TOKEN_BYTES_MAX;
use crate::binding::{ChannelBinding, Demand};

/// `GSS_C_ANON_FLAG`: the client does not say who it is.
const ANONYMOUS: u32 = 0x40;
/// `GSS_C_CHANNEL_BOUND_FLAG` (MIT 1.19): both sides gave channel bindings, and they are the same.
const CHANNEL_BOUND: u32 = 0x800;
/// Routine errors of RFC 2744 section 3.9.1.
mod routine {
    pub(super) const BAD_BINDINGS: u16 = 4;
    pub(super) const NO_CRED: u16 = 7;
    pub(super) const FAILURE: u16 = 13;
    pub(super) const UNAVAILABLE: u16 = 16;
}
/// What the library says where not the client is at fault but this machine: its disk, its memory, its configuration.
/// There is no number for that: the mechanism's own numbers are changed on their way through SPNEGO.
const OURS: [&str; 12] = [
    "replay cache",
    // No file, no file of that kind, no key in it; a key that others have is "not found in keytab".
    "key table file",
    "service key not available",
    "no keys in keytab",
    "permission denied",
    "no such file or directory",
    "cannot allocate memory",
    "too many open files",
    "no space left",
    "read-only file system",
    "input/output error",
    "configuration file",
];

/// Why nobody can be let in by Kerberos, or this client cannot.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KerberosError {
    /// The library is not installed, or too old.
    #[error("could not load GSSAPI: {0}")]
    Library(String),
    /// The keytab's path, or what is in it.
    #[error("could not use keytab {path}: {text}")]
    Keytab {
        /// The file.
        path: PathBuf,
        /// The library's words.
        text: String,
    },
    /// It could not be checked: neither a yes nor a no.
    #[error("could not check a kerberos ticket: {0}")]
    Unavailable(String),
    /// The token is refused; the library's words, for the log: a replay, another service's ticket, a wrong clock.
    #[error("{0}")]
    Refused(String),
    /// The token was made for another TLS connection.
    #[error("the channel binding is wrong")]
    WrongBinding,
    /// A channel binding is demanded, and not there.
    #[error("the channel binding is missing")]
    NoBinding,
}

/// The loaded library.
#[derive(Clone)]
pub struct Library(Arc<ffi::Api>);

impl Library {
    /// Loads it.
    ///
    /// # Errors
    /// `Library` if it is not there.
    pub fn load() -> Result<Self, KerberosError> {
        match ffi::Api::load() {
            Ok(api) => Ok(Self(Arc::new(api))),
            Err(error) => Err(KerberosError::Library(error.to_string())),
        }
    }
}

/// Accepts clients with the keys of one keytab. Any service principal in it may be asked for.
pub struct Acceptor(ffi::Credential);

/// A client that is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its principal: `alice@EXAMPLE.TEST`, `/`, `@` and `\` within a part escaped by `\`.
    pub principal: String,
    /// A token that proves the server to the client; empty if the client does not ask for that.
    pub answer: Vec<u8>,
}

/// What one token of a client comes to.
pub enum Step {
    /// It is known.
    Accepted(Accepted),
    /// It is to answer this token with another, over the same connection.
    Continue(Pending, Vec<u8>),
}

/// An exchange that waits for the client's next token.
pub struct Pending(ffi::Context);

impl Acceptor {
    /// Reads a keytab.
    ///
    /// # Errors
    /// `Keytab` if there is no key in it that could be used.
    pub fn of_keytab(library: &Library, path: &Path) -> Result<Self, KerberosError> {
        let failed = |text: String| KerberosError::Keytab { path: path.to_owned(), text };
        let name = [b"FILE:", path.as_os_str().as_bytes()].concat();
        let name = CString::new(name).map_err(|_| failed("its name holds a NUL".to_owned()))?;
        match ffi::Credential::of_keytab(&library.0, &name) {
            Ok(credential) => Ok(Self(credential)),
            Err(status) => Err(failed(status.text)),
        }
    }

    /// Takes one token, the first of an exchange or the next one of `pending`. Blocks.
    ///
    /// # Errors
    /// `Unavailable` if it could not be checked; the others are refusals.
    pub fn accept(
        &self,
        pending: Option<Pending>,
        token: &[u8],
        demand: Demand,
        channel: Option<&ChannelBinding>,
    ) -> Result<Step, KerberosError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(KerberosError::Refused(format!("the token is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let binding = match (demand, channel) {
            (Demand::Off, _) | (Demand::IfPresent, None) => None,
            (Demand::IfPresent | Demand::Required, Some(channel)) => Some(channel.application_data()),
            (Demand::Required, None) => return Err(KerberosError::NoBinding),
        };
        let leg = ffi::accept(&self.0, pending.map(|pending| pending.0), token, binding).map_err(refused)?;
        match leg {
            ffi::Leg::Continue(context, answer) => Ok(Step::Continue(Pending(context), answer)),
            ffi::Leg::Established { name, is_kerberos, flags, answer } => {
                if !is_kerberos || flags & ANONYMOUS != 0 {
                    return Err(KerberosError::Refused(
                        "the client is anonymous, or not of kerberos".to_owned(),
                    ));
                }
                if demand == Demand::Required && flags & CHANNEL_BOUND == 0 {
                    return Err(KerberosError::NoBinding);
                }
                Ok(Step::Accepted(Accepted { principal: name, answer }))
            }
        }
    }
}

fn refused(status: ffi::Status) -> KerberosError {
    let ours = || {
        let text = status.text.to_ascii_lowercase();
        // What is said of a ticket's server quotes a name that the client chose.
        !text.contains("ticket server") && OURS.iter().any(|words| text.contains(words))
    };
    match status.routine {
        routine::BAD_BINDINGS => KerberosError::WrongBinding,
        routine::NO_CRED | routine::UNAVAILABLE => KerberosError::Unavailable(status.text),
        routine::FAILURE if ours() => KerberosError::Unavailable(status.text),
        _ => KerberosError::Refused(status.text),
    }
}

/// A principal in two parts; `None` if it has no realm.
///
/// The realm is what follows the last `@` that is not escaped. The rest is left as it is: an instance
/// (`alice/admin`) belongs to the name, and an escape is no part of any account's.
pub fn name_and_realm(principal: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let mut split = None;
    for (at, byte) in principal.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'@' => split = Some(at),
            _ => {}
        }
    }
    let (name, realm) = principal.split_at_checked(split?)?;
    let realm = realm.strip_prefix('@')?;
    if name.is_empty() || realm.is_empty() { None } else { Some((name, realm)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_follows_the_last_at_that_is_not_escaped() {
        let check = |principal, expected| assert_eq!(name_and_realm(principal), expected, "{principal}");
        check("alice@EXAMPLE.TEST", Some(("alice", "EXAMPLE.TEST")));
        check("alice/admin@EXAMPLE.TEST", Some(("alice/admin", "EXAMPLE.TEST")));
        check(r"alice\@OTHER@EXAMPLE.TEST", Some((r"alice\@OTHER", "EXAMPLE.TEST")));
        check(r"alice@EXAMPLE.TEST\@OTHER", Some(("alice", r"EXAMPLE.TEST\@OTHER")));
        check("alice", None);
        check("alice@", None);
        check("@EXAMPLE.TEST", None);
        check("", None);
    }

    #[test]
    fn what_this_machine_cannot_do_is_no_refusal_of_the_client() {
        let check = |routine, text: &str, unavailable| {
            let error = refused(ffi::Status { routine, text: text.to_owned() });
            assert_eq!(matches!(error, KerberosError::Unavailable(_)), unavailable, "{text}");
        };
        check(routine::FAILURE, "No such file or directory", true);
        check(routine::FAILURE, "Replay cache I/O operation failed XXX", true);
        check(routine::NO_CRED, "No credentials were supplied", true);
        check(routine::FAILURE, "Key table file '/x' not found", true);
        check(routine::FAILURE, "Service key not available", true);
        check(routine::FAILURE, "No keys in keytab", true);
        check(
            routine::FAILURE,
            "Request ticket server HTTP/x@E.TEST not found in keytab (ticket kvno 2)",
            false,
        );
        check(
            routine::FAILURE,
            "Request ticket server HTTP/no keys in keytab@NO SPACE LEFT not found in keytab (ticket kvno 2)",
            false,
        );
        check(routine::FAILURE, "Request is a replay", false);
        check(routine::FAILURE, "Clock skew too great", false);
        check(9, "A token was invalid", false);
    }
}
