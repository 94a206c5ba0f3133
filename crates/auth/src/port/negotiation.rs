//! Proofs that take several messages over one connection: Kerberos and NTLM.
//!
//! Whoever implements [`Negotiation`] says whose proof it is, as [`Lookups`](super::Lookups) do of passwords and tokens.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Answer, Unavailable};
use crate::account::Account;
use crate::dialect::Scheme;
use crate::link::Sharing;
use crate::time::Time;

/// One message of a client.
#[derive(Debug)]
pub struct Leg {
    /// The API at which it is presented.
    pub api: Arc<str>,
    /// Which accounts it is about.
    pub accounts: Arc<str>,
    /// [`Scheme::Negotiate`], where SPNEGO and both mechanisms may come, or [`Scheme::Ntlm`].
    pub scheme: Scheme,
    /// The message; not verified, not bounded by more than the header that it came in.
    pub token: Vec<u8>,
    /// What was left of the message before, if there was one on this connection.
    pub exchange: Option<Exchange>,
    /// Whether others may use the connection as well: then nothing but a proof in one message counts.
    pub sharing: Sharing,
    /// The certificate that the client was shown, in DER, where TLS ends here.
    pub certificate: Option<Arc<[u8]>>,
    /// Where it comes from; failures count against it.
    pub address: IpAddr,
}

/// What the implementation keeps between two messages. It lives and dies with the connection.
pub struct Exchange(pub Box<dyn Any + Send>);

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

/// What became of a message.
#[derive(Debug)]
pub enum LegAnswer {
    /// It proves this account; the token proves the server to the client in return.
    Proven {
        /// Whose proof it is.
        account: Arc<Account>,
        /// For the client, with the answer to its request.
        token: Option<Vec<u8>>,
    },
    /// The client is to answer this token, on the same connection.
    Continue {
        /// For the client, in a challenge.
        token: Vec<u8>,
        /// To be given back with the client's next message.
        exchange: Exchange,
    },
    /// Right of this account, but the password has to be changed before it is good for anything.
    Due(Arc<Account>),
    /// Refused. For the log alone: why, and whose account it would be, where the message named one that there is.
    Refused(Cow<'static, str>, Option<Arc<Account>>),
    /// The limits on unverified work are reached: come back later.
    TooMany,
}

/// Checks Kerberos and NTLM. Runs on the control plane: callers never wait for a disk or another machine themselves.
pub trait Negotiation: Send + Sync {
    /// Takes a client's message.
    fn take(&self, leg: Leg, now: Time) -> Answer<Result<LegAnswer, Unavailable>>;
}
