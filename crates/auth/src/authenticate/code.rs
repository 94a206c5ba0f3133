//! Who a foreign issuer says has logged in in a browser (OpenID Connect Core 1.0 section 3.1).
//!
//! ```text
//! state opens ─▶ the issuer names itself ─▶ code for an ID token ─▶ signature, iss, aud, exp ─▶ nonce ─▶ account
//! ```
//!
//! The code is not shown to the issuer before the state has proven that this browser began this log-in with it.

use std::sync::Arc;

use serde_json::Value;

use super::issued::{Demands, account_of};
use super::{TOO_MANY, Verifier};
use crate::account::People;
use crate::credential::Return;
use crate::dialect::CredentialRule;
use crate::identity::Proven;
use crate::port::foreign::{CodeAnswer, CodeClaim, LoggedIn, LoginTerms};
use crate::refusal::{Reason, Refusal};
use crate::scheme::code::{Begun, Browser, COOKIE_OF_HOST, Way, cookie_for};
use crate::scheme::jwt::{UnverifiedJwt, VerifiedClaims, moment};
use crate::secret::Secret;
use crate::time::Time;

/// Errors of RFC 6749 section 4.1.2.1 that say nothing about the person.
const PASSING: [&str; 2] = ["server_error", "temporarily_unavailable"];

impl Verifier<'_> {
    pub(super) async fn code(&self, rule: &CredentialRule, came: &Return) -> Result<Proven, Refusal> {
        let refuse = |reason, cause: &'static str| Refusal::new(reason, cause).carried_by(rule.carrier());
        let bad = |cause| refuse(Reason::BadToken, cause);
        let Some(terms) = self.lookups.login_terms(&self.api.name, &came.issuer) else {
            return Err(refuse(Reason::NotFound, "no issuer of that name logs people in here"));
        };
        let way = Way { key: self.lookups.derivation_key(), api: &self.api.name, issuer: &came.issuer };
        let cookie =
            if cookie_for(&terms.redirect) == COOKIE_OF_HOST { &came.of_host } else { &came.in_clear };
        let browser = cookie.as_ref().and_then(|value| Browser::parse(value.expose()));
        let browser = browser.ok_or_else(|| bad("no log-in began in this browser"))?;
        let state = came.state.as_deref().ok_or_else(|| bad("the answer of the issuer has no state"))?;
        let Begun { at: _, back } = way
            .open(&browser, state, self.now)
            .map_err(|error| Refusal::new(Reason::BadToken, error.to_string()).carried_by(rule.carrier()))?;
        if came.said_issuer.as_ref().is_some_and(|said| *said != terms.issuer) {
            return Err(bad("the answer is another issuer's"));
        }
        if let Some(error) = &came.error {
            let passing = PASSING.contains(&error.as_str());
            return Err(if passing {
                refuse(Reason::Unavailable, "the issuer says that it cannot log anybody in now")
            } else {
                Refusal::new(Reason::BadToken, format!("the issuer says {}", word(error)))
                    .carried_by(rule.carrier())
            });
        }
        let code = came.code.as_ref().ok_or_else(|| bad("the answer of the issuer has no code"))?;
        let claim = CodeClaim {
            api: Arc::clone(&self.api.name),
            login: came.issuer.clone(),
            code: Secret::new(code.expose()),
            state: state.to_owned(),
            verifier: way.verifier(&browser, state),
            said_issuer: came.said_issuer.clone(),
            address: self.request.address,
        };
        let token = match self.lookups.redeem_code(claim, self.now).await? {
            CodeAnswer::Token(token) => token,
            CodeAnswer::Refused(why) => return Err(bad(why)),
            CodeAnswer::TooMany => {
                return Err(refuse(Reason::TooMany, TOO_MANY));
            }
        };
        let claims = self.id_token(rule, &terms, &token, &way.nonce(&browser, state)).await?;
        // An issuer that was told how old a log-in may be has to say how old it is (Core 3.1.2.1): else it is too old for every
        // route that asks, and fresh for whatever else counts from it.
        let unsaid = self.api.ages().map_or(self.now, |ages| ages.before_all(self.now));
        let proven_at = proven_at(claims.claims().get("auth_time"), unsaid, self.now).map_err(bad)?;
        let logged_in = LoggedIn {
            api: Arc::clone(&self.api.name),
            login: came.issuer.clone(),
            id: claims.subject().to_owned(),
            described: account_of(&rule.accounts, &terms.claims, terms.roles.as_ref(), claims.claims())
                .map_err(bad)?,
        };
        let account = match self.lookups.logged_in(logged_in, self.now).await? {
            Ok(account) => account,
            Err(why) => return Err(bad(why)),
        };
        let mut proven = self.proven(rule, account, proven_at);
        proven.back = (!back.is_empty()).then(|| back.into());
        Ok(proven)
    }

    /// Section 3.1.3.7: what verifies tokens of foreign issuers, and what only ID tokens say.
    async fn id_token(
        &self,
        rule: &CredentialRule,
        terms: &LoginTerms,
        token: &Secret,
        nonce: &str,
    ) -> Result<VerifiedClaims, Refusal> {
        let bad = |cause: &'static str| Refusal::new(Reason::BadToken, cause).carried_by(rule.carrier());
        let Ok(token) = UnverifiedJwt::parse(token.expose()) else {
            return Err(Refusal::new(Reason::Unavailable, "the issuer's ID token cannot be read"));
        };
        let demands = Demands {
            issuer: &terms.issuer,
            audience: &terms.client,
            claims: &[],
            roles: None,
            people: People::Own,
        };
        let (claims, _ours) = self.verified(rule, &demands, token).await?;
        let said = |name: &str| claims.claims().get(name);
        if !said("nonce").and_then(Value::as_str).is_some_and(|said| Secret::new(said).matches(nonce)) {
            return Err(bad("the ID token is of another log-in"));
        }
        let party = said("azp").map(Value::as_str);
        let several = said("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
        if party.map_or(several, |party| party != Some(terms.client.as_str())) {
            return Err(bad("the ID token was issued to another client"));
        }
        Ok(claims)
    }
}

/// When the person proved who he is, if the issuer says so: its own session may be old. Else it is `unsaid`.
///
/// # Errors
/// If it says so in a way that cannot be read.
fn proven_at(auth_time: Option<&Value>, unsaid: Time, now: Time) -> Result<Time, &'static str> {
    let Some(said) = auth_time else { return Ok(unsaid) };
    moment(said, now).ok_or("the ID token says when the log-in was in a way that cannot be read")
}

/// A word of an issuer, as far as the log takes it.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(40).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_log_in_is_as_old_as_its_issuer_says() {
        let now = Time::from_unix_secs(1_800_000_000);
        let age = |said: Value| {
            let at = proven_at(Some(&said), now, now).ok();
            at.map(|at| now.since(at).as_millis())
        };
        assert_eq!(proven_at(None, now, now), Ok(now));
        let unsaid = now.minus(Duration::from_secs(301));
        assert_eq!(proven_at(None, unsaid, now), Ok(unsaid));
        assert_eq!(age(json!(1_799_999_400)), Some(600_000));
        assert_eq!(age(json!(1_799_999_400.5)), Some(599_500));
        assert_eq!(age(json!(1_799_999_400_000_i64)), Some(600_000));
        assert_eq!(age(json!(1_800_000_600)), Some(0));
        for said in [json!("1799999400"), json!(null), json!(-1), json!([1_799_999_400])] {
            assert_eq!(age(said.clone()), None, "{said}");
        }
    }
}
