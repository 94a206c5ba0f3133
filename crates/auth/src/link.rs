//! The connection that a request came on, as far as it says who is asking.
//!
//! Kerberos and NTLM belong to a connection: their messages must follow each other on one, and clients hold what they
//! proved there for proven until it closes. That is only true where one client has the connection for itself: not
//! behind a front that pools its connections, not on HTTP/2. There nothing is kept, a proof counts for its request
//! alone, and NTLM is neither offered nor taken (THREATS T-D13).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::account::Account;
use crate::port::negotiation::{Exchange, Negotiation};
use crate::time::Time;

/// A client that was challenged answers at once: its user has typed already.
const EXCHANGE_TIME: Duration = Duration::from_secs(30);
/// Exchanges that may be begun on a connection without success in between: a browser asks its user three times.
const EXCHANGES_MAX: u32 = 10;

/// Whether a connection is one client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sharing {
    /// It is: HTTP/1.1, without anything in between that says so.
    Own,
    /// Others may use it as well.
    #[default]
    Shared,
}

/// A certificate that the other end of a connection showed and has the key of. An authority that the listener names
/// vouches for it.
pub trait PeerCertificate: Send + Sync {
    /// Whether it is for that host name or address (`subjectAltName`).
    fn is_for(&self, name: &str) -> bool;

    /// The SHA-256 of its DER.
    fn sha256(&self) -> &[u8; 32];
}

/// A connection to a client, seen from one request on it.
#[derive(Clone, Copy)]
pub struct Link<'r> {
    /// Who checks what comes on it.
    pub negotiation: &'r dyn Negotiation,
    /// What is kept with the connection; `None` if others may use it.
    pub slot: Option<&'r Slot>,
    /// The certificate that the client was shown, in DER, where TLS ends here.
    pub certificate: Option<&'r Arc<[u8]>>,
}

impl fmt::Debug for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:?})", self.sharing())
    }
}

impl Link<'_> {
    pub(crate) const fn sharing(&self) -> Sharing {
        if self.slot.is_some() { Sharing::Own } else { Sharing::Shared }
    }
}

/// What belongs to a connection: half an exchange, or who has proven himself on it.
#[derive(Debug, Default)]
pub struct Slot(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    state: State,
    begun: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    Waiting {
        /// Of the API.
        edition: u64,
        credential: Arc<str>,
        exchange: Exchange,
        until: Time,
    },
    Proven(Bound),
}

/// Who has proven himself on a connection, where, and by what.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// Of the API: what was proven by other rules for one of its name proves nothing by its own.
    pub(crate) edition: u64,
    /// The name of the credential.
    pub(crate) credential: Arc<str>,
    pub(crate) account: Arc<Account>,
    pub(crate) proven_at: Time,
}

/// Too many exchanges came to nothing on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Slot {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits for the next message of an exchange; an old one, and one that was begun elsewhere, is dropped.
    /// Whoever sends a message is no longer whom the connection was bound to.
    pub(crate) fn next(
        &self,
        edition: u64,
        credential: &str,
        now: Time,
    ) -> Result<Option<Exchange>, Exhausted> {
        let mut held = self.held();
        let state = std::mem::take(&mut held.state);
        if let State::Waiting { edition: own, credential: rule, exchange, until } = state
            && own == edition
            && *rule == *credential
            && now < until
        {
            return Ok(Some(exchange));
        }
        held.begun += 1;
        if held.begun > EXCHANGES_MAX { Err(Exhausted) } else { Ok(None) }
    }

    /// Keeps an exchange until the client's next message.
    pub(crate) fn wait(&self, edition: u64, credential: &Arc<str>, exchange: Exchange, now: Time) {
        let (credential, until) = (Arc::clone(credential), now.plus(EXCHANGE_TIME));
        self.held().state = State::Waiting { edition, credential, exchange, until };
    }

    /// From now on the connection is this account's.
    pub(crate) fn bind(&self, bound: Bound) {
        *self.held() = Held { state: State::Proven(bound), begun: 0 };
    }

    /// Whose the connection is.
    pub(crate) fn bound(&self) -> Option<Bound> {
        match &self.held().state {
            State::Proven(bound) => Some(bound.clone()),
            State::Nothing | State::Waiting { .. } => None,
        }
    }

    /// Forgets it.
    pub(crate) fn clear(&self) {
        self.held().state = State::Nothing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Time {
        Time::from_unix_secs(1_700_000_000 + secs)
    }

    fn exchange() -> Exchange {
        Exchange(Box::new(()))
    }

    #[test]
    fn an_exchange_is_for_one_answer_to_one_credential_of_one_api_in_time() {
        let rule: Arc<str> = "ntlm".into();
        let check = |next_edition: u64, next_rule: &str, secs, expected| {
            let slot = Slot::default();
            slot.wait(1, &rule, exchange(), at(0));
            let found = slot.next(next_edition, next_rule, at(secs)).map(|exchange| exchange.is_some());
            assert_eq!(found, Ok(expected), "{next_edition} {next_rule} {secs}");
            assert_eq!(slot.next(1, "ntlm", at(secs)).map(|exchange| exchange.is_some()), Ok(false));
        };
        check(1, "ntlm", 29, true);
        check(1, "ntlm", 30, false);
        check(2, "ntlm", 0, false);
        check(1, "negotiate", 0, false);
    }

    #[test]
    fn a_connection_has_so_many_exchanges_and_no_more() {
        let rule: Arc<str> = "ntlm".into();
        let slot = Slot::default();
        for _ in 0..EXCHANGES_MAX {
            assert!(matches!(slot.next(1, &rule, at(0)), Ok(None)));
            slot.wait(1, &rule, exchange(), at(0));
            assert!(matches!(slot.next(1, &rule, at(0)), Ok(Some(_))));
        }
        assert!(matches!(slot.next(1, &rule, at(0)), Err(Exhausted)));
    }
}
