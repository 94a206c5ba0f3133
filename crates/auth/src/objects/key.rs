//! Which of the identity's keys an id must equal.

use smallvec::SmallVec;

use crate::account::Account;
use crate::objects::kind::is_word;

/// Keys of an identity, in the configuration's words: `customer`, `customer|household`, `customers[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRule(SmallVec<[Key; 1]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// What upstreams are told, of those whose subjects are the gate's: an equal one of an issuer with people of its own
    /// is somebody else's.
    Subject,
    /// The company on whose behalf it acts.
    Tenant,
    /// A key with one value.
    One(String),
    /// A key with several values, parted by commas.
    Several(String),
}

/// What an identity's keys say to an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// It is one of theirs.
    Own,
    /// It is not.
    Foreign,
    /// The identity has none of the keys.
    NoKey,
}

impl KeyRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let key = |word: &str| match word {
            "subject" => Ok(Key::Subject),
            "tenant" => Ok(Key::Tenant),
            word => match word.strip_suffix("[]") {
                Some(list) if is_word(list) => Ok(Key::Several(list.to_owned())),
                None if is_word(word) => Ok(Key::One(word.to_owned())),
                Some(_) | None => Err(format!(
                    "`{text}` is neither a kind of objects nor a key; write one like `customer`, `customer|household` or `customers[]`"
                )),
            },
        };
        text.split('|').map(key).collect::<Result<_, _>>().map(Self)
    }

    /// What the keys of an account say to an id.
    pub(crate) fn agrees(&self, account: &Account, id: &str) -> Agreement {
        let mut agreement = Agreement::NoKey;
        for key in &self.0 {
            let own = match key {
                Key::Subject => account.told_apart_by().is_none().then_some(account.subject.as_str()),
                Key::Tenant => account.tenant.as_deref(),
                Key::One(name) | Key::Several(name) => account.keys.get(name).map(String::as_str),
            };
            // An empty key is none: it would agree with whatever is left empty.
            let Some(own) = own.filter(|own| !own.is_empty()) else { continue };
            let equal = match key {
                Key::Subject | Key::Tenant | Key::One(_) => own == id,
                Key::Several(_) => own.split(',').any(|one| !one.is_empty() && one == id),
            };
            if equal {
                return Agreement::Own;
            }
            agreement = Agreement::Foreign;
        }
        agreement
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Agreement, KeyRule};
    use crate::account::{Account, AccountId, Issuer, Live, People};
    use crate::assertion::Minted;
    use crate::time::Time;

    pub(crate) fn account(kind: &str, subject: &str, keys: &[(&str, &str)]) -> Account {
        let keys = keys.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Account {
            id: AccountId(1),
            kind: kind.into(),
            name: subject.into(),
            subject: subject.to_owned(),
            full_name: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            email: String::new(),
            tenant: Some("t1".to_owned()),
            roles: Vec::new(),
            keys,
            issuer: None,
            proofs_from: Time::from_unix_secs(0),
            live: Live::new(),
            minted: Minted::default(),
        }
    }

    #[test]
    fn an_id_is_own_if_a_key_says_so() {
        let ann = account("users", "ann", &[("customer", "7"), ("many", "1,2,,30"), ("empty", "")]);
        let check = |rule: &str, id: &str, expected| {
            assert_eq!(KeyRule::parse(rule).unwrap().agrees(&ann, id), expected, "{rule} {id}");
        };
        check("customer", "7", Agreement::Own);
        check("customer", "8", Agreement::Foreign);
        check("customer", "07", Agreement::Foreign);
        check("customer", "7 ", Agreement::Foreign);
        check("customer", "", Agreement::Foreign);
        check("subject", "ann", Agreement::Own);
        check("subject", "Ann", Agreement::Foreign);
        check("tenant", "t1", Agreement::Own);
        check("tenant", "t2", Agreement::Foreign);
        check("customer|subject", "ann", Agreement::Own);
        check("customer|subject", "bob", Agreement::Foreign);
        check("missing|customer", "7", Agreement::Own);
        check("many[]", "2", Agreement::Own);
        check("many[]", "3", Agreement::Foreign);
        check("many[]", "1,2", Agreement::Foreign);
        check("many[]", "", Agreement::Foreign);
        check("many", "2", Agreement::Foreign);
        check("many", "1,2,,30", Agreement::Own);
        check("missing", "7", Agreement::NoKey);
        check("empty", "", Agreement::NoKey);
    }

    /// T-F10.
    #[test]
    fn the_subject_of_another_issuer_is_no_id_of_ours() {
        let of = |people| Account {
            issuer: Some(Issuer { name: "https://id.example".into(), people }),
            ..account("users", "ann", &[("customer", "7")])
        };
        let check = |people, rule: &str, id: &str, expected| {
            assert_eq!(KeyRule::parse(rule).unwrap().agrees(&of(people), id), expected, "{rule} {id}");
        };
        check(People::Own, "subject", "ann", Agreement::NoKey);
        check(People::Own, "subject|customer", "ann", Agreement::Foreign);
        check(People::Own, "subject|customer", "7", Agreement::Own);
        check(People::Same, "subject", "ann", Agreement::Own);
        check(People::Same, "subject", "bob", Agreement::Foreign);
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for text in ["", "a|", "a b", "a[]b", "[]", "a/b"] {
            assert!(KeyRule::parse(text).is_err(), "{text}");
        }
    }
}
