//! What an issuer said of a token that only it can read, while something goes on that the token opened.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use smallvec::smallvec;

use super::issued::account_of;
use crate::account::{Account, Live};
use crate::port::foreign::{Asker, OpaqueAnswer, OpaqueClaim};
use crate::port::{After, Answer, Lookups, ProofKey, Unavailable, Verified};
use crate::secret::Secret;
use crate::time::Time;

/// A token that only its issuer can read, and where it was presented. Its text is not here: whoever presented it has that,
/// for as long as his request and what it opened take, so that what is remembered is not as long as what clients send.
pub(super) struct OpaqueToken {
    pub(super) key: ProofKey,
    pub(super) api: Arc<str>,
    pub(super) credential: Arc<str>,
}

/// An issuer's word about a token. It is good for a time; after that the issuer is asked again.
///
/// Made when it is heard, and shared by all who present the token while it is remembered.
pub struct IssuersWord {
    token: Arc<OpaqueToken>,
    /// Whom it is about.
    account: Arc<Account>,
    proven_at: Time,
    until: Time,
    ends_at: Option<Time>,
    due: Time,
    /// Falls when a newer word was heard: whatever remembers this one then looks for that.
    live: Live,
}

/// How long a word is good, as its issuer and the gate's configuration say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// When it was heard.
    pub(super) from: Time,
    /// Not to be used from then on.
    pub(super) until: Time,
    /// When the token itself ends, where its issuer says so.
    pub(super) ends_at: Option<Time>,
}

/// What the issuer's next word comes to.
#[derive(Debug)]
pub enum Heard {
    /// The token still says what it said.
    Same(Arc<IssuersWord>),
    /// It is good no more, or says something else.
    Other,
    /// There was no answer, or no room for a question.
    Nothing,
}

impl IssuersWord {
    pub(super) fn new(
        token: Arc<OpaqueToken>,
        account: Arc<Account>,
        proven_at: Time,
        span: Span,
    ) -> Arc<Self> {
        let Span { from, until, ends_at } = span;
        // What ends then is not asked about then.
        let is_last = ends_at.is_some_and(|end| end <= until);
        let due = if is_last { until } else { from.plus(token.turn(until.since(from))) };
        Arc::new(Self { token, account, proven_at, until, ends_at, due, live: Live::new() })
    }

    /// Remembers it for all who present the token.
    pub(super) fn remember(self: &Arc<Self>, lookups: &dyn Lookups, now: Time) {
        let (account, keys, after) =
            (Arc::clone(&self.account), smallvec![self.live.clone()], After::Asked(Arc::clone(self)));
        let (proven_at, until) = (self.proven_at, self.until);
        lookups.remember(self.token.key, Verified { account, proven_at, until, keys, after }, now);
    }

    /// How long it is good.
    pub fn until(&self) -> Time {
        self.until
    }

    /// When the token itself ends, where its issuer says so.
    pub fn ends_at(&self) -> Option<Time> {
        self.ends_at
    }

    /// When the issuer is to be asked again about something that goes on: before the word is old, and not for all tokens at
    /// once whose words were heard at once.
    pub fn due(&self) -> Time {
        self.due
    }

    /// How much of `span` to wait where many would wait for as long: between three quarters and all of it, always the same
    /// for one token.
    pub fn turn(&self, span: Duration) -> Duration {
        self.token.turn(span)
    }

    /// A word that somebody else has heard meanwhile, if it says the same. From memory.
    pub fn renewed(&self, lookups: &dyn Lookups, now: Time) -> Option<Arc<Self>> {
        let After::Asked(newer) = lookups.recall(&self.token.key, now)?.after else { return None };
        (now < newer.due && says_the_same(&newer.account, &self.account)).then_some(newer)
    }

    /// Asks again about the token, whose text is `value`; the answer is for [`IssuersWord::hear`]. The token was good, so it is
    /// nobody's attempt.
    pub fn ask(
        &self,
        value: &Secret,
        lookups: &dyn Lookups,
        now: Time,
    ) -> Answer<Result<OpaqueAnswer, Unavailable>> {
        let claim = OpaqueClaim {
            api: Arc::clone(&self.token.api),
            credential: Arc::clone(&self.token.credential),
            value: Secret::new(value.expose()),
            asker: Asker::Channel,
        };
        lookups.introspect(claim, now)
    }

    /// What an answer comes to; a good one is remembered for all who present the token.
    pub fn hear(&self, lookups: &dyn Lookups, answer: Result<OpaqueAnswer, Unavailable>, now: Time) -> Heard {
        match answer {
            Ok(OpaqueAnswer::Active { claims, issuer, terms, until, ends_at }) => {
                let account = account_of(&self.account.kind, &terms.claims, terms.roles.as_ref(), &claims);
                let account = account.map(|account| Account { issuer: Some(issuer), ..account });
                let Some(account) = account.ok().filter(|account| says_the_same(account, &self.account))
                else {
                    self.forget(lookups, now);
                    return Heard::Other;
                };
                let account = heard_as(account, &self.account);
                let span = Span { from: now, until, ends_at };
                let word = Self::new(Arc::clone(&self.token), account, self.proven_at, span);
                word.remember(lookups, now);
                self.live.fall();
                Heard::Same(word)
            }
            Ok(OpaqueAnswer::Refused(_)) => {
                self.forget(lookups, now);
                Heard::Other
            }
            Ok(OpaqueAnswer::TooMany) | Err(Unavailable(_)) => Heard::Nothing,
        }
    }
}

impl IssuersWord {
    /// Lets nobody in by it any more, nor by what another has heard of the token before.
    fn forget(&self, lookups: &dyn Lookups, now: Time) {
        self.live.fall();
        if let Some(remembered) = lookups.recall(&self.token.key, now)
            && let After::Asked(other) = remembered.after
        {
            other.live.fall();
        }
    }
}

impl OpaqueToken {
    fn turn(&self, span: Duration) -> Duration {
        // Drawn by chance, as far as anybody outside can tell.
        let [high, low, ..] = self.key.0;
        let share = u32::from(u16::from_be_bytes([high, low]));
        span.saturating_sub((span / 4).saturating_mul(share) / (1 << 16))
    }
}

impl fmt::Debug for IssuersWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuersWord({} of {} until {:?})", self.token.credential, self.token.api, self.until)
    }
}

/// The account that is remembered from now on: the one that was remembered, with what was signed about it, unless anything
/// is said otherwise of it.
fn heard_as(account: Account, before: &Arc<Account>) -> Arc<Account> {
    if account.words() == before.words() { Arc::clone(before) } else { Arc::new(account) }
}

/// Whether what is decided by is the same: who, by whose word, for whom, with which roles and keys.
fn says_the_same(one: &Account, other: &Account) -> bool {
    let roles = |account: &Account| account.roles.iter().cloned().collect::<BTreeSet<_>>();
    (&one.subject, &one.issuer, &one.tenant, &one.keys)
        == (&other.subject, &other.issuer, &other.tenant, &other.keys)
        && roles(one) == roles(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Issuer, People};
    use crate::authenticate::foreign;

    #[test]
    fn another_role_is_another_word_and_another_address_is_not() {
        let ann = || Account {
            subject: "ann".to_owned(),
            roles: vec!["A".into(), "B".into()],
            ..foreign(&"users".into())
        };
        assert!(says_the_same(&ann(), &Account { email: "ann@example.com".to_owned(), ..ann() }));
        assert!(says_the_same(&ann(), &Account { roles: vec!["B".into(), "A".into()], ..ann() }));
        assert!(!says_the_same(&ann(), &Account { roles: vec!["A".into()], ..ann() }));
        assert!(!says_the_same(&ann(), &Account { tenant: Some("b".to_owned()), ..ann() }));
        assert!(!says_the_same(&ann(), &Account { subject: "bob".to_owned(), ..ann() }));
        let issuer = Some(Issuer { name: "https://id.example".into(), people: People::Own });
        assert!(!says_the_same(&ann(), &Account { issuer, ..ann() }));
    }

    #[test]
    fn whatever_is_new_in_a_word_is_what_is_remembered() {
        let ann = || Account {
            subject: "ann".to_owned(),
            roles: vec!["A".into(), "B".into()],
            ..foreign(&"users".into())
        };
        let before = Arc::new(ann());
        assert!(Arc::ptr_eq(&heard_as(ann(), &before), &before));
        for newer in [
            Account { email: "ann@example.com".to_owned(), ..ann() },
            Account { full_name: "Ann".to_owned(), ..ann() },
            Account { first_name: "Ann".to_owned(), ..ann() },
            Account { last_name: "Ann".to_owned(), ..ann() },
            Account { roles: vec!["B".into(), "A".into()], ..ann() },
        ] {
            let said = format!("{newer:?}");
            assert!(says_the_same(&newer, &before));
            assert_eq!(format!("{:?}", heard_as(newer, &before)), said);
        }
    }

    #[test]
    fn a_word_is_renewed_before_it_is_old_and_not_by_all_tokens_at_once() {
        let at = |secs: i64| Time::from_unix_secs(1_800_000_000 + secs);
        let word = |first: u8, ends_at| {
            let key = std::array::from_fn(|at| if at == 0 { first } else { 0 });
            let token = OpaqueToken { key: ProofKey(key), api: "a".into(), credential: "b".into() };
            let span = Span { from: at(0), until: at(60), ends_at };
            IssuersWord::new(Arc::new(token), Arc::new(foreign(&"users".into())), at(0), span)
        };
        assert_eq!(word(0, None).due(), at(60));
        assert_eq!(word(128, None).due(), at(0).plus(Duration::from_millis(52_500)));
        assert_eq!(word(128, Some(at(61))).due(), word(128, None).due());
        assert!((at(45)..at(46)).contains(&word(255, None).due()));
        // There is nothing to ask where the token ends by itself.
        assert_eq!(word(128, Some(at(60))).due(), at(60));
    }
}
