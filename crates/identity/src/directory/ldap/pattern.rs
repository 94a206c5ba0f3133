//! Names with holes: `(uid={user})`, `uid={user},ou=people,o=x`, `{user}@corp.example`.
//!
//! What fills a hole is escaped for where the hole is, so that nobody writes a filter or a name of his own (P-LDAP2):
//! RFC 4515 section 3 for filters, RFC 4514 section 2.4 for distinguished names.

use ldap3::{dn_escape, ldap_escape};

/// What a pattern is, and so how holes in it are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Filter,
    DistinguishedName,
    /// Anything that a directory takes in place of a name: a user principal name, `DOMAIN\user`.
    Other,
}

/// A pattern with holes.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    kind: Kind,
}

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has no hole for the one thing that it must hold.
    #[error("has no {{{0}}}")]
    Hole(&'static str),
    /// It is no filter of RFC 4515.
    #[error("is no search filter")]
    Filter,
}

impl Pattern {
    /// A search filter with a hole `{hole}`.
    ///
    /// # Errors
    /// If it is no filter or has no such hole.
    pub fn filter(text: &str, hole: &'static str) -> Result<Self, PatternError> {
        let pattern = Self { text: text.to_owned(), kind: Kind::Filter };
        pattern.check(hole)?;
        let filled = pattern.fill(&[("user", "x"), ("dn", "x")]);
        ldap3::parse_filter(filled).map_err(|_| PatternError::Filter)?;
        Ok(pattern)
    }

    /// The name that a user binds with: a distinguished name if there is a `=` in it.
    ///
    /// # Errors
    /// If it has no hole `{user}`.
    pub fn bind(text: &str) -> Result<Self, PatternError> {
        let kind = if text.contains('=') { Kind::DistinguishedName } else { Kind::Other };
        let pattern = Self { text: text.to_owned(), kind };
        pattern.check("user")?;
        Ok(pattern)
    }

    fn check(&self, hole: &'static str) -> Result<(), PatternError> {
        if self.text.contains(&format!("{{{hole}}}")) { Ok(()) } else { Err(PatternError::Hole(hole)) }
    }

    /// Whether it makes distinguished names.
    pub(super) fn is_distinguished_name(&self) -> bool {
        self.kind == Kind::DistinguishedName
    }

    /// The pattern with its holes filled, in one pass: a value that looks like a hole stays what it is.
    pub(super) fn fill(&self, values: &[(&str, &str)]) -> String {
        let mut filled = String::with_capacity(self.text.len() + 64);
        let mut rest = self.text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let hole = after
                .split_once('}')
                .and_then(|(name, tail)| values.iter().find(|(own, _)| *own == name).zip(Some(tail)));
            match hole {
                Some(((_, value), tail)) => {
                    match self.kind {
                        Kind::Filter => filled.push_str(&ldap_escape(*value)),
                        Kind::DistinguishedName => filled.push_str(&dn_escape(*value)),
                        Kind::Other => filled.push_str(value),
                    }
                    rest = tail;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn what_fills_a_hole_stays_a_value() {
        let filter = Pattern::filter("(&(objectClass=person)(uid={user}))", "user").unwrap();
        let check = |user: &str, expected: &str| {
            assert_eq!(filter.fill(&[("user", user)]), format!("(&(objectClass=person)(uid={expected}))"));
        };
        check("alice", "alice");
        check("*", "\\2a");
        check(")(uid=*", "\\29\\28uid=\\2a");
        check("a\\b", "a\\5cb");
        check("a\0b", "a\\00b");
        check("{dn}", "{dn}");
        check("{user}", "{user}");
        let name = Pattern::bind("uid={user},ou=people,o=x").unwrap();
        let check = |user: &str, expected: &str| {
            assert_eq!(name.fill(&[("user", user)]), format!("uid={expected},ou=people,o=x"));
        };
        check("alice", "alice");
        check("admin,o=x", "admin\\2co\\3dx");
        check("a+uid=b", "a\\2buid\\3db");
        check(" a ", "\\20a\\20");
        let other = Pattern::bind("{user}@corp.example").unwrap();
        assert_eq!(other.fill(&[("user", "alice")]), "alice@corp.example");
        assert!(!other.is_distinguished_name() && name.is_distinguished_name());
    }

    #[test]
    fn patterns_without_their_hole_and_broken_filters_are_none() {
        assert_eq!(Pattern::filter("(uid=alice)", "user").unwrap_err(), PatternError::Hole("user"));
        assert_eq!(Pattern::filter("(uid={user}", "user").unwrap_err(), PatternError::Filter);
        assert_eq!(Pattern::filter("(member={user})", "dn").unwrap_err(), PatternError::Hole("dn"));
        assert_eq!(Pattern::bind("cn=admin").unwrap_err(), PatternError::Hole("user"));
    }

    proptest! {
        #[test]
        fn no_user_makes_a_filter_of_another_shape(user in any::<String>()) {
            let filled = Pattern::filter("(uid={user})", "user").unwrap().fill(&[("user", &user)]);
            let inner = filled.strip_prefix("(uid=").unwrap().strip_suffix(')').unwrap();
            assert!(!inner.contains(['*', '(', ')', '\0']), "{filled}");
        }
    }
}
