//! Foreign issuers: whose tokens are taken, on what terms, and whom to ask.
//!
//! Whoever changes this file says what a foreign token proves; it is reviewed as such.

use std::sync::Arc;

use countersign_auth::account::{Account, Live};
use countersign_auth::port::foreign::{
    Asker, CodeAnswer, CodeClaim, Foreign, FrontTerms, IssuerTerms, LoggedIn, LoginEntrance, LoginTerms,
    OpaqueAnswer, OpaqueClaim,
};
use countersign_auth::port::{Answer, IssuerKeys, Unavailable};
use countersign_auth::source::Source;
use countersign_auth::time::Time;
use hashbrown::HashMap;

use super::directories::{Sought, Tie};
use super::{By, Core, Service};
use crate::accounts::{AccountDraft, AccountError};
use crate::issuers::TrustedIssuer;
use crate::issuers::introspection::{Introspection, IntrospectionOptions};
use crate::outbound::Outbound;
use crate::rcu::Rcu;
use crate::values::framed_mac;

impl Service {
    /// Says whose JWTs an API takes, on the terms of its dialect; a later call for the same issuer replaces the
    /// earlier.
    pub fn trust_issuer(&self, api: &str, issuer: &str, keys: TrustedIssuer) {
        self.trust_issuer_on(api, issuer, keys, None);
    }

    /// The same, on terms of the API's own. Keys that are fetched are fetched at once, and then in the background.
    pub fn trust_issuer_on(&self, api: &str, issuer: &str, keys: TrustedIssuer, terms: Option<IssuerTerms>) {
        let Some(remote) = self.core.issuers.trust(api, issuer, keys, terms) else { return };
        let remote = Arc::downgrade(&remote);
        self.core.handle.spawn(async move {
            while let Some(keys) = remote.upgrade() {
                // What went wrong is in the log, and the old keys serve on.
                let _fetched = keys.renewed().await;
                let rest = keys.rest();
                drop(keys);
                tokio::time::sleep(rest).await;
            }
        });
    }

    /// Forgets what was said of an API since the start: issuers, log-ins, introspection, front, providers, directories, Kerberos
    /// and NTLM, who is asked about objects. Accounts, tokens and operator's values stay.
    pub fn forget_api(&self, api: &str) {
        self.core.issuers.forget(api);
        self.core.fronts.0.change(|fronts| fronts.remove(api));
        self.core.providers.forget(api);
        self.core.directories.forget(api);
        self.core.negotiations.forget(api);
        self.core.objects.questions.forget(api);
    }

    /// Says who is asked about tokens that come as a credential of an API; false if what the gate proves itself with
    /// cannot stand in a header.
    pub fn introspect_at(
        &self,
        api: &str,
        credential: &str,
        options: IntrospectionOptions,
        outbound: &Outbound,
    ) -> bool {
        let whom = Introspection::new(options, outbound.clone());
        whom.map(|whom| self.core.issuers.ask(api, credential, whom)).is_some()
    }
}

/// Whether what an issuer was asked about a token counts against the addresses that it came from.
pub(super) fn is_failure(answer: &Result<OpaqueAnswer, Unavailable>) -> bool {
    match answer {
        Ok(OpaqueAnswer::Refused(_)) => true,
        Ok(OpaqueAnswer::Active { .. } | OpaqueAnswer::TooMany) | Err(_) => false,
    }
}

/// The fronts that are believed, by API.
#[derive(Default)]
pub(super) struct BelievedFronts(Rcu<HashMap<String, Arc<FrontTerms>>>);

impl BelievedFronts {
    fn of(&self, api: &str) -> Option<Arc<FrontTerms>> {
        self.0.read().get(api).cloned()
    }
}

impl Core {
    fn enabled_of(&self, kind: &str, name: &str) -> Option<Arc<Account>> {
        let entry = self.directory.named(kind, name)?;
        (!entry.disabled).then(|| Arc::clone(&entry.account))
    }
}

impl Service {
    /// Says on what terms an API believes its front.
    pub fn believe_front(&self, api: &str, terms: FrontTerms) {
        self.core.fronts.0.change(|fronts| fronts.insert(api.to_owned(), Arc::new(terms)));
    }
}

impl Foreign for Service {
    fn front(&self, api: &str) -> Option<Arc<FrontTerms>> {
        self.core.fronts.of(api)
    }

    fn account_by_name(&self, kind: &str, name: &str) -> Option<Arc<Account>> {
        self.core.enabled_of(kind, name)
    }

    fn introduced(
        &self,
        api: &str,
        kind: &str,
        name: &str,
        now: Time,
    ) -> Answer<Result<Option<Arc<Account>>, Unavailable>> {
        if !self.core.fronts.of(api).is_some_and(|front| front.create) {
            return Box::pin(std::future::ready(Ok(None)));
        }
        let (by, home) = (By::new(format!("front of {api}"), None), format!("front {api}"));
        let (draft, kind, name) = (AccountDraft::new(kind, name), kind.to_owned(), name.to_owned());
        self.run(move |core| async move {
            let tie = Tie { home: &home, person: &name, sought: Sought::ByName };
            match core.create_account(draft, Some(tie), &by, now).await {
                Ok(account) => Ok(Some(account)),
                // It is there and disabled, or another request of his brought it about meanwhile.
                Err(AccountError::Taken(_)) => Ok(core.enabled_of(&kind, &name)),
                Err(AccountError::Unfit { .. } | AccountError::NotFound) => Ok(None),
                Err(AccountError::TooMany) => Err(Unavailable("too many passwords".to_owned())),
                Err(AccountError::Unavailable(error)) => Err(error),
            }
        })
    }

    fn issuer_terms(&self, api: &str, issuer: &str) -> Option<Arc<IssuerTerms>> {
        self.core.issuers.terms(api, issuer)
    }

    fn described(&self, account: Account, keys: &[Live]) -> Arc<Account> {
        self.core.issuers.described.one(account, keys)
    }

    fn renewed_keys(&self, api: &str, issuer: &str) -> Answer<Result<Option<Arc<IssuerKeys>>, Unavailable>> {
        match self.core.issuers.remote(api, issuer) {
            Some(remote) => self.run(move |_core| async move { remote.renewed().await }),
            None => Box::pin(std::future::ready(Ok(None))),
        }
    }

    fn login_terms(&self, api: &str, login: &str) -> Option<Arc<LoginTerms>> {
        self.core.issuers.login(api, login).map(|login| Arc::clone(&login.terms))
    }

    fn login_entrance(&self, api: &str, login: &str) -> Answer<Result<LoginEntrance, Unavailable>> {
        self.entrance(api, login)
    }

    fn redeem_code(&self, claim: CodeClaim, now: Time) -> Answer<Result<CodeAnswer, Unavailable>> {
        self.redeem(claim, now)
    }

    fn logged_in(
        &self,
        person: LoggedIn,
        now: Time,
    ) -> Answer<Result<Result<Arc<Account>, &'static str>, Unavailable>> {
        self.account_of_issuer(person, now)
    }

    fn introspects(&self, api: &str, credential: &str) -> bool {
        self.core.issuers.introspection(api, credential).is_some()
    }

    fn introspect(&self, claim: OpaqueClaim, now: Time) -> Answer<Result<OpaqueAnswer, Unavailable>> {
        let Some(whom) = self.core.issuers.introspection(&claim.api, &claim.credential) else {
            return Box::pin(std::future::ready(Ok(OpaqueAnswer::Refused(
                "nobody is asked about such tokens",
            ))));
        };
        self.run(move |core| async move {
            let parts = [&*claim.api, &*claim.credential, claim.value.expose()];
            let key = |label| framed_mac(&core.derivation_key, label, &parts);
            // Apart, so that no request waits until it is a channel's turn.
            let answer = match claim.asker {
                Asker::Request(address) => {
                    let key = key("introspection flight");
                    let begin = || async move { whom.ask(&claim.value, Source::of(address), now).await };
                    core.introspected.join(key, address, now, begin).await
                }
                Asker::Channel => {
                    let key = key("introspection flight of channels");
                    let begin = || async move { whom.ask_in_turn(&claim.value, now).await };
                    core.introspected.join_uncharged(key, now, begin).await
                }
            };
            answer.unwrap_or(Ok(OpaqueAnswer::TooMany))
        })
    }
}
