//! What an issuer said of a token that only it can read, while something goes on that the token opened.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::issued::account_of;
use crate::account::Account;
use crate::port::foreign::{OpaqueAnswer, OpaqueClaim};
use crate::port::{After, Answer, Lookups, ProofKey, Unavailable, Verified};
use crate::secret::Secret;
use crate::time::Time;

/// An issuer's word about a token. It is good for a time; after that the issuer is asked again.
pub struct IssuersWord {
    pub(super) key: ProofKey,
    pub(super) api: Arc<str>,
    pub(super) credential: Arc<str>,
    pub(super) value: Secret,
    pub(super) address: IpAddr,
    /// Whom it was about.
    pub(super) account: Arc<Account>,
    pub(super) proven_at: Time,
    pub(super) until: Time,
}

/// What the issuer's next word comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The token still says what it said, until then.
    Same(Time),
    /// It is good no more, or says something else.
    Other,
    /// There was no answer, or no room for a question.
    Nothing,
}

impl IssuersWord {
    /// How long the word is good.
    pub fn until(&self) -> Time {
        self.until
    }

    /// Whether somebody else has asked meanwhile: until when the word is good then. From memory.
    pub fn renewed(&self, lookups: &dyn Lookups, now: Time) -> Option<Time> {
        let remembered = lookups.recall(&self.key, now)?;
        says_the_same(&remembered.account, &self.account).then_some(remembered.until)
    }

    /// Asks again; the answer is for [`IssuersWord::hear`].
    pub fn ask(&self, lookups: &dyn Lookups, now: Time) -> Answer<Result<OpaqueAnswer, Unavailable>> {
        let claim = OpaqueClaim {
            api: Arc::clone(&self.api),
            credential: Arc::clone(&self.credential),
            value: Secret::new(self.value.expose()),
            address: self.address,
        };
        lookups.introspect(claim, now)
    }

    /// What an answer comes to; a good one is remembered for all who present the token.
    pub fn hear(&self, lookups: &dyn Lookups, answer: Result<OpaqueAnswer, Unavailable>) -> Heard {
        match answer {
            Ok(OpaqueAnswer::Active { claims, terms, until }) => {
                let account = account_of(&self.account.kind, &terms.claims, terms.roles.as_ref(), &claims);
                if !says_the_same(&account, &self.account) {
                    return Heard::Other;
                }
                let account = Arc::clone(&self.account);
                let (proven_at, keys) = (self.proven_at, SmallVec::new());
                lookups.remember(self.key, Verified { account, proven_at, until, keys, after: After::Asked });
                Heard::Same(until)
            }
            Ok(OpaqueAnswer::Refused(_)) => Heard::Other,
            Ok(OpaqueAnswer::TooMany) | Err(Unavailable(_)) => Heard::Nothing,
        }
    }
}

/// Whether what is decided by is the same: who, for whom, with which roles and keys.
fn says_the_same(one: &Account, other: &Account) -> bool {
    let roles = |account: &Account| account.roles.iter().cloned().collect::<BTreeSet<_>>();
    (&one.subject, &one.tenant, &one.keys) == (&other.subject, &other.tenant, &other.keys)
        && roles(one) == roles(other)
}

#[cfg(test)]
mod tests {
    use super::*;
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
    }
}
