//! What a channel (a stream, a WebSocket) lives on: it ends with the account and with the session or token of the
//! request that opened it.
//!
//! Nothing is registered anywhere. A channel asks memory about its tokens on every beat, so that requests which are
//! over before the next beat pay nothing, and an end by time is found as well as a revocation.

use std::sync::Arc;

use countersign_auth::account::{Account, Live};
use countersign_auth::dialect::Scheme;
use countersign_auth::identity::Identity;
use countersign_auth::token::TokenDigest;
use smallvec::SmallVec;

use crate::address::Peer;
use crate::gate::Gate;

/// What has to live for a channel to go on.
#[derive(Debug)]
pub(crate) struct Watch {
    account: Option<Arc<Account>>,
    /// The session that came with the request, and the token that proved its caller.
    held: SmallVec<[TokenDigest; 2]>,
    /// The authority of the front that said who its caller is.
    front: Option<Live>,
}

impl Watch {
    /// That of an identity which came on the connection of `peer`; `None` if nothing about it can end.
    pub(crate) fn of(identity: &Identity, peer: &Peer) -> Option<Self> {
        let account = identity.account().cloned();
        let held: SmallVec<_> =
            [identity.session(), identity.token()].into_iter().flatten().map(|held| held.digest()).collect();
        let shown = || Some(peer.connection.tls.as_ref()?.client.as_ref()?.believed().clone());
        let front = if identity.scheme() == Some(Scheme::Front) { shown() } else { None };
        (account.is_some() || !held.is_empty()).then_some(Self { account, held, front })
    }

    /// Whether the account's switch has fallen, or a front's.
    fn has_fallen(&self) -> bool {
        self.account.as_ref().is_some_and(|account| !account.live.is_up())
            || self.front.as_ref().is_some_and(|front| !front.is_up())
    }

    /// Whether anything has ended. A look into memory for each token.
    pub(crate) fn is_over(&self, gate: &Gate) -> bool {
        if self.has_fallen() {
            return true;
        }
        if self.held.is_empty() {
            return false;
        }
        let now = gate.clock.now();
        self.held.iter().any(|digest| gate.lookups.has_ended(digest, now))
    }
}

#[cfg(test)]
impl From<Live> for Watch {
    fn from(live: Live) -> Self {
        let account = crate::testing::account(live);
        Self { account: Some(Arc::new(account)), held: SmallVec::new(), front: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_ends_with_the_authority_of_the_front_that_opened_it() {
        let front = Live::new();
        let watch = Watch { front: Some(front.clone()), ..Watch::from(Live::new()) };
        assert!(!watch.has_fallen());
        front.fall();
        assert!(watch.has_fallen());
    }
}
