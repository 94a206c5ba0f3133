//! What a channel (a stream, a WebSocket) lives on: it ends with the account and with the session or token of the
//! request that opened it.
//!
//! Nothing is registered anywhere. A channel asks memory about its tokens on every beat, so that requests which are
//! over before the next beat pay nothing, and an end by time is found as well as a revocation. What ends by itself is cut
//! by a revocation alone.
//!
//! A token that only its issuer can read has an issuer's word behind it, which is good for a time. A channel that goes on for
//! longer has the issuer asked again, as the next request with that token would.

mod extent;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use countersign_auth::account::{Account, Live};
use countersign_auth::authenticate::word::{Heard, IssuersWord};
use countersign_auth::dialect::Scheme;
use countersign_auth::identity::{Identity, Lasts};
use countersign_auth::port::foreign::OpaqueAnswer;
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;
use countersign_auth::token::TokenDigest;
use smallvec::SmallVec;

use crate::address::Peer;
use crate::gate::Gate;

pub(crate) use crate::watch::extent::Extent;

/// How long a channel goes on when its issuer's word is old and there is no new one: an issuer that is started anew is back
/// within a minute, and its clients need not all come again. Requests are refused with 503 meanwhile.
const UNHEARD: Duration = Duration::from_secs(60);
/// How soon an issuer that gave no answer is asked again, at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What has to live for a channel to go on.
#[derive(Debug)]
pub(crate) struct Watch {
    account: Option<Arc<Account>>,
    /// The session that came with the request, and the token that proved its caller.
    held: SmallVec<[TokenDigest; 2]>,
    /// The authority of the front that said who its caller is.
    front: Option<Live>,
    end: End,
    extent: Extent,
}

/// How long what proved its caller is good.
enum End {
    /// As long as all else.
    Bound,
    At(Time),
    /// As long as an issuer says so, by the word that opened it; those who are open when it is due ask whether it stands.
    Word {
        first: Arc<IssuersWord>,
        token: Arc<Secret>,
        word: RefCell<Option<Box<Word>>>,
    },
}

/// An issuer's last word, and the question whether it still stands.
struct Word {
    last: Arc<IssuersWord>,
    /// Not to be asked before.
    next: Time,
    asking: Option<Answer<Result<OpaqueAnswer, Unavailable>>>,
}

impl Watch {
    /// That of an identity which came on the connection of `peer`; `None` if nothing about it can end.
    pub(crate) fn of(identity: &Identity, peer: &Peer) -> Option<Self> {
        let account = identity.account().cloned();
        let held: SmallVec<_> =
            [identity.session(), identity.token()].into_iter().flatten().map(|held| held.digest()).collect();
        let shown = || Some(peer.connection.tls.as_ref()?.client.as_ref()?.believed().clone());
        let front = if identity.scheme() == Some(Scheme::Front) { shown() } else { None };
        let end = match identity.lasts() {
            Lasts::Bound => End::Bound,
            Lasts::Until(end) => End::At(*end),
            Lasts::Word { word, token } => {
                End::Word { first: Arc::clone(word), token: Arc::clone(token), word: RefCell::default() }
            }
        };
        let extent = Extent::Endless;
        (account.is_some() || !held.is_empty()).then_some(Self { account, held, front, end, extent })
    }

    /// For what is said of the end of what was held, and so after it.
    pub(crate) fn beyond_its_session(self) -> Self {
        Self { held: SmallVec::new(), ..self }
    }

    /// For what goes that far by itself.
    pub(crate) fn going(self, extent: Extent) -> Self {
        Self { extent, ..self }
    }

    /// Whether the account's switch has fallen, or a front's.
    fn has_fallen(&self) -> bool {
        self.account.as_ref().is_some_and(|account| !account.live.is_up())
            || self.front.as_ref().is_some_and(|front| !front.is_up())
    }

    /// Whether anything was ended that a request lives on whose answer is awaited. A look into memory for each token.
    ///
    /// That a token's own time is over is none of it: it was good when the request was made, and who has to make the same
    /// request again with a newer one would order twice.
    pub(crate) fn is_revoked(&self, gate: &Gate) -> bool {
        self.has_fallen() || self.held.iter().any(|digest| gate.lookups.has_ended(digest))
    }

    /// Whether anything has ended that it lives on, as far as it does not end by itself.
    pub(crate) fn is_over(&self, gate: &Gate) -> bool {
        self.is_revoked(gate) || self.extent.beyond().is_some_and(|beyond| self.has_expired(gate, beyond))
    }

    /// Whether the time of what opened it has been over for so long, or its issuer says that it is good no more.
    fn has_expired(&self, gate: &Gate, beyond: Duration) -> bool {
        let is_past = |digest| gate.lookups.has_expired(digest, gate.clock.now().minus(beyond));
        if self.held.iter().any(is_past) {
            return true;
        }
        match &self.end {
            End::Bound => false,
            End::At(end) => end.plus(beyond) <= gate.clock.now(),
            End::Word { first, token, word } => {
                let now = gate.clock.now();
                let word = || word.borrow_mut();
                first.due() <= now
                    && word()
                        .get_or_insert_with(|| Box::new(Word::due(first)))
                        .is_over(token, gate, now, beyond)
            }
        }
    }
}

impl Word {
    fn due(first: &Arc<IssuersWord>) -> Self {
        Self { last: Arc::clone(first), next: first.due(), asking: None }
    }

    /// Asks the issuer where it is time to, without waiting for its answer: that is looked for on each beat. What has ended
    /// by what the issuer itself has said is not asked about, and goes on for `beyond`.
    fn is_over(&mut self, token: &Secret, gate: &Gate, now: Time, beyond: Duration) -> bool {
        if self.asking.is_none() && self.next <= now {
            if let Some(newer) = self.last.renewed(&*gate.lookups, now) {
                self.stands(newer);
            } else if !self.has_ended(now, Duration::ZERO) {
                self.asking = Some(self.last.ask(token, &*gate.lookups, now));
            }
        }
        if let Some(answer) = &mut self.asking
            && let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            self.asking = None;
            match self.last.hear(&*gate.lookups, answer, now) {
                Heard::Same(newer) => self.stands(newer),
                Heard::Other => return true,
                Heard::Nothing => self.next = now.plus(self.last.turn(ASK_AGAIN)),
            }
        }
        self.has_ended(now, beyond) || self.last.until().plus(UNHEARD).plus(beyond) <= now
    }

    fn stands(&mut self, word: Arc<IssuersWord>) {
        self.next = word.due();
        self.last = word;
    }

    fn has_ended(&self, now: Time, for_so_long: Duration) -> bool {
        self.last.ends_at().is_some_and(|end| end.plus(for_so_long) <= now)
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bound => "Bound",
            Self::At(_) => "At",
            Self::Word { .. } => "Word",
        })
    }
}

#[cfg(test)]
impl From<Live> for Watch {
    fn from(live: Live) -> Self {
        let account = crate::testing::account(live);
        Self {
            account: Some(Arc::new(account)),
            held: SmallVec::new(),
            front: None,
            end: End::Bound,
            extent: Extent::Endless,
        }
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
