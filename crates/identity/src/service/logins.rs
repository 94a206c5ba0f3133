//! Log-ins with foreign issuers in browsers: what the gate asks of them, and whose account it is.
//!
//! Whoever changes this file says who somebody is whom an issuer logged in; it is reviewed as such.

use std::sync::Arc;

use countersign_auth::account::Account;
use countersign_auth::port::foreign::{CodeAnswer, CodeClaim, LoggedIn, LoginEntrance};
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::time::Time;

use super::Service;
use super::directories::{Home, Unmapped};
use crate::directory::person::Person;
use crate::issuers::login::{Login, LoginOptions};
use crate::outbound::Outbound;

impl Service {
    /// Says how people log in at an API by a name in its paths; false if what the gate proves itself with cannot stand
    /// in a header, or the issuer's endpoints are to be discovered and its keys, which it was told of before, are not.
    pub fn log_in_with(&self, api: &str, name: &str, options: LoginOptions, outbound: &Outbound) -> bool {
        let discovered = self.core.issuers.remote(api, &options.terms.issuer);
        let login = Login::new(options, discovered, outbound.clone());
        login.map(|login| self.core.issuers.log_in(api, name, login)).is_some()
    }

    pub(super) fn entrance(&self, api: &str, login: &str) -> Answer<Result<LoginEntrance, Unavailable>> {
        let login = self.core.issuers.login(api, login);
        self.run(move |core| async move {
            let login = login.ok_or_else(unknown)?;
            let endpoint = login.places().await?.authorization.uri().to_string();
            Ok(LoginEntrance { endpoint, random: core.draw()? })
        })
    }

    pub(super) fn redeem(&self, claim: CodeClaim, now: Time) -> Answer<Result<CodeAnswer, Unavailable>> {
        let login = self.core.issuers.login(&claim.api, &claim.login);
        self.run(move |core| async move {
            let login = login.ok_or_else(unknown)?;
            // Counted before it is asked, given back unless it was wrong: as passwords are.
            if core.lockout.addresses.begin(claim.address, now).is_err() {
                return Ok(CodeAnswer::TooMany);
            }
            let answer = login.redeem(&claim, now).await;
            if !matches!(answer, Ok(CodeAnswer::Refused(_))) {
                core.lockout.addresses.forgive(claim.address, now);
            }
            answer
        })
    }

    pub(super) fn account_of_issuer(
        &self,
        person: LoggedIn,
        now: Time,
    ) -> Answer<Result<Result<Arc<Account>, &'static str>, Unavailable>> {
        let login = self.core.issuers.login(&person.api, &person.login);
        self.run(move |core| async move {
            let login = login.ok_or_else(unknown)?;
            // No directory's name has a blank in it.
            let name = format!("issuer {}", login.terms.issuer);
            let home = Home { actor: name.clone(), name, first_sight: login.first_sight };
            let kind = person.described.kind.clone();
            let person = described(person, &login.terms.claims);
            match core.account_at(&home, &kind, person, now).await {
                Ok(entry) => Ok(Ok(Arc::clone(&entry.account))),
                Err(Unmapped::Refused(why)) => Ok(Err(why)),
                Err(Unmapped::Down(error)) => Err(error),
            }
        })
    }
}

fn unknown() -> Unavailable {
    Unavailable("the log-in is no longer configured".to_owned())
}

/// A person as the claims of his ID token describe him: what they are mapped to and do not say is nothing.
fn described(person: LoggedIn, claims: &[(String, String)]) -> Person {
    let LoggedIn { id, described, .. } = person;
    let mut person = Person { id, name: described.name.into(), ..Person::default() };
    let mut keys = described.keys;
    for (target, _claim) in claims {
        match target.as_str() {
            // His name: the account keeps its subject.
            "subject" => {}
            "roles" => person.roles = Some(described.roles.clone()),
            "tenant" => person.tenant = Some(described.tenant.clone()),
            "name" => person.full_name = Some(described.full_name.clone()),
            "email" => person.email = Some(described.email.clone()),
            "first_name" => person.first_name = Some(described.first_name.clone()),
            "last_name" => person.last_name = Some(described.last_name.clone()),
            key => {
                let said = keys.remove(key);
                person.keys.insert(key.to_owned(), said);
            }
        }
    }
    person
}
