//! What a browser brings back from an issuer. The names in the query are those of the standards, and cookies have the
//! gate's own names; both count at such a call alone.

use super::places::{query_values, repeated};
use super::{Finder, PartName};
use crate::credential::Return;
use crate::dialect::CredentialRule;
use crate::refusal::{Reason, Refusal};
use crate::scheme::code;
use crate::secret::Secret;

impl Finder<'_> {
    pub(super) fn code(&self, rule: &CredentialRule) -> Result<Return, Refusal> {
        Ok(Return {
            issuer: self.required(rule, PartName::Value)?,
            code: self.parameter("code")?.map(Secret::new),
            state: self.parameter("state")?,
            said_issuer: self.parameter("iss")?,
            error: self.parameter("error")?,
            of_host: self.cookie(code::COOKIE_OF_HOST)?,
            in_clear: self.cookie(code::COOKIE)?,
        })
    }

    /// RFC 6749 section 3.1: no parameter more than once.
    fn parameter(&self, name: &str) -> Result<Option<String>, Refusal> {
        let mut values = query_values(self.request.query, name)?.into_iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(repeated(name).about(name));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    fn cookie(&self, name: &str) -> Result<Option<Secret>, Refusal> {
        let mut values = self.taken.cookies.iter().filter(|(own, _)| **own == *name).map(|(_, value)| value);
        let first = values.next();
        if values.next().is_some() {
            return Err(Refusal::new(Reason::Ambiguous, format!("cookie {name} came twice")));
        }
        Ok(first.map(|value| Secret::new(value.expose())))
    }
}
