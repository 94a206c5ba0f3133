//! Digest: from a response to who it is from.
//!
//! ```text
//! form ─▶ offered? realm? target? ─▶ nonce signed by us ─▶ known from this nonce, or looked up ─▶ response right?
//!      ─▶ nonce fresh and of this process, else stale ─▶ counter unused, else refused ─▶ identity
//! ```
//!
//! Whoever goes on under a nonce that he proved before costs no look-up and no lock.
//! `stale` is only ever said of a right response, counters are only ever used up by one (T-D6, T-D7, T-D10).

use std::sync::Arc;

use http::HeaderValue;
use http::header::HeaderName;

use super::{Proven, TOO_MANY, Verifier};
use crate::account::{Account, AccountId};
use crate::assertion::Minted;
use crate::dialect::CredentialRule;
use crate::port::digest::{Attempt, DigestClaim, DigestHolder, DigestSecret, Digests};
use crate::refusal::{Reason, Refusal};
use crate::scheme::digest::algorithm::Protection;
use crate::scheme::digest::hash::Hashed;
use crate::scheme::digest::nonce::Nonce;
use crate::scheme::digest::proof;
use crate::scheme::digest::response::{Response, User};
use crate::scheme::digest::window::{Counter, Known};

/// The field that it rides in.
const CARRIER: &str = "Authorization";
const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

impl Verifier<'_> {
    pub(super) fn digest(&self, rule: &CredentialRule, value: &str) -> Result<Proven, Refusal> {
        let Some(digests) = self.lookups.digests() else {
            return Err(Refusal::new(
                Reason::Unavailable,
                "nothing is kept that digest could be checked with",
            ));
        };
        let response = Response::parse(value)
            .map_err(|error| Refusal::new(error.reason(), error.to_string()).carried_by(CARRIER))?;
        self.answers_the_challenge(rule, &response)?;
        let place = (&*self.api.name, &*rule.name);
        let Some(nonce) = digests.nonces().read(&response.nonce, place) else {
            return Err(wrong("the nonce was not made here"));
        };
        let found = self.found(digests, rule, &response, &nonce)?;
        let key = found.key.ok_or_else(|| found.refused())?;
        let account = found.account()?;
        self.use_up(digests, &response, &nonce, &found, account)?;
        if found.was_looked_up {
            digests.succeeded(&found.secret, self.request.address, self.now);
        }
        let next = (self.now.since(nonce.made_at) > self.api.digest.nonce_lifetime / 2)
            .then(|| digests.nonces().make(place, self.now));
        let mut proven = self.proven(rule, Arc::clone(account), self.now);
        proven.answers.extend(information(&response, &key, next.as_deref()));
        Ok(proven)
    }

    /// Whether it answers what was asked, for this request.
    fn answers_the_challenge(&self, rule: &CredentialRule, response: &Response<'_>) -> Result<(), Refusal> {
        let options = &self.api.digest;
        if !options.algorithms(rule).contains(&response.algorithm) {
            return Err(wrong("the algorithm was not offered"));
        }
        let has_body = options.auth_int && self.request.body.is_some();
        if response.protection == Protection::AuthInt && !has_body {
            return Err(wrong("the quality of protection was not offered"));
        }
        if matches!(response.user, User::Hashed(_)) && !options.user_hash {
            return Err(wrong("hashed users were not offered"));
        }
        if *response.realm != *self.api.realm || response.has_opaque {
            return Err(wrong("the realm is another one"));
        }
        // Byte for byte: what stands between could have changed it, and the response is for what the client asked.
        if self.request.target != Some(&*response.uri) {
            let cause = "the digest response is for another target";
            return Err(Refusal::new(Reason::BadRequest, cause).carried_by(CARRIER));
        }
        Ok(())
    }

    /// What the response is verified with: what its nonce proved before, or what is kept of whom it names.
    fn found(
        &self,
        digests: &dyn Digests,
        rule: &CredentialRule,
        response: &Response<'_>,
        nonce: &Nonce,
    ) -> Result<Found, Refusal> {
        let windows = &digests.nonces().windows;
        let known = nonce.is_own.then(|| windows.recall(nonce.serial, response.user.text())).flatten();
        let is_renewal = known.is_some();
        let hash = response.algorithm.hash();
        let address = self.request.address;
        let known = known.filter(|known| known.account.live.is_up() && known.ha1.hash() == hash);
        let known = known.filter(|known| !self.lookups.is_locked(known.account.id, address, self.now));
        // The key of a session that the same password began; the realm is that of the response.
        let begun = known.as_ref().map(|known| (known.account.id, known.session));
        if let Some(known) = known.filter(|known| known.edition == self.api.edition) {
            let bucket = known.account.id.0;
            let secret = DigestSecret { ha1: known.ha1, whose: DigestHolder::Account(known.account), bucket };
            let mut found = Found::new(secret, known.session);
            found.key = self.right_key(response, &found);
            // A wrong response to a nonce that somebody proved is a guess like any other.
            if found.key.is_none() {
                self.admitted(digests, &found.secret)?;
                digests.failed(&found.secret, address, self.now, Attempt::Open);
            }
            return Ok(found);
        }
        let claim = DigestClaim { kind: &rule.accounts, user: &response.user, realm: &self.api.realm, hash };
        let mut secret = digests.find(claim);
        if !rule.proves_keys {
            secret.whose = without_keys(secret.whose);
        }
        let is_his =
            |(id, _): &(AccountId, _)| matches!(&secret.whose, DigestHolder::Account(own) if own.id == *id);
        let session = begun.filter(is_his).and_then(|(_, session)| session);
        let attempt = self.admitted(digests, &secret)?;
        let is_locked = attempt == Attempt::Locked;
        let mut found = Found { is_renewal, is_locked, was_looked_up: true, ..Found::new(secret, session) };
        found.key = self.right_key(response, &found);
        if is_locked || found.key.is_none() {
            digests.failed(&found.secret, address, self.now, attempt);
        }
        Ok(found)
    }

    /// Whether an attempt may be looked at, or looks like a wrong password whatever it is.
    fn admitted(&self, digests: &dyn Digests, secret: &DigestSecret) -> Result<Attempt, Refusal> {
        match digests.admits(secret, self.request.address, self.now) {
            attempt @ (Attempt::Open | Attempt::Locked) => Ok(attempt),
            Attempt::TooMany => Err(Refusal::new(Reason::TooMany, TOO_MANY)),
        }
    }

    /// The key that the response was made from, if it was made from what is kept.
    fn right_key(&self, response: &Response<'_>, found: &Found) -> Option<Hashed> {
        let (method, body) = (self.request.method.as_str(), self.request.body.unwrap_or_default());
        let key = proof::key(&found.secret.ha1, response);
        if proof::verifies(response, &key, method, body) {
            return Some(key);
        }
        // RFC 7616 section 3.4.2 makes the key of a session once, from the first `cnonce`; some clients make it anew.
        let first = found.session.filter(|_| response.algorithm.is_session())?;
        proof::verifies(response, &first, method, body).then_some(first)
    }

    /// Uses a verified response's counter up, if its nonce is one whose counters are known here.
    fn use_up(
        &self,
        digests: &dyn Digests,
        response: &Response<'_>,
        nonce: &Nonce,
        found: &Found,
        account: &Arc<Account>,
    ) -> Result<(), Refusal> {
        if !nonce.is_own {
            return Err(stale("the nonce is of another node or start"));
        }
        if self.now.since(nonce.made_at) >= self.api.digest.nonce_lifetime {
            return Err(stale("the nonce is too old"));
        }
        let known = || Known {
            edition: self.api.edition,
            user: response.user.text().into(),
            account: Arc::clone(account),
            ha1: found.secret.ha1.clone(),
            session: found.key.filter(|_| response.algorithm.is_session()),
        };
        let windows = &digests.nonces().windows;
        match windows.consume(nonce.serial, response.count, known) {
            Counter::Fresh if found.is_renewal => windows.renew(nonce.serial, known()),
            Counter::Fresh => {}
            Counter::Used => return Err(wrong("the counter of the nonce was used before")),
            Counter::Forgotten => return Err(stale("too many nonces came after this one")),
        }
        Ok(())
    }
}

/// What a response is verified with, and what came of it.
struct Found {
    secret: DigestSecret,
    /// The key that the first response made for the nonce.
    session: Option<Hashed>,
    /// The key that this response was made from, if it is right.
    key: Option<Hashed>,
    /// What the nonce proved before is out of date.
    is_renewal: bool,
    /// It was not proved by its nonce before.
    was_looked_up: bool,
    is_locked: bool,
}

impl Found {
    fn new(secret: DigestSecret, session: Option<Hashed>) -> Self {
        Self { secret, session, key: None, is_renewal: false, was_looked_up: false, is_locked: false }
    }

    /// Why a response is refused that is wrong, or would be right if its account were.
    fn refused(&self) -> Refusal {
        let refusal = wrong(match (&self.secret.whose, self.is_locked) {
            (_, true) => "locked after failed attempts",
            (DigestHolder::Nobody(cause), false) => cause,
            (DigestHolder::Account(_) | DigestHolder::Due(_), false) => "wrong password",
        });
        match &self.secret.whose {
            DigestHolder::Account(account) | DigestHolder::Due(account) => refusal.of_account(Some(account)),
            DigestHolder::Nobody(_) => refusal,
        }
    }

    fn account(&self) -> Result<&Arc<Account>, Refusal> {
        match &self.secret.whose {
            DigestHolder::Account(account) if !self.is_locked => Ok(account),
            DigestHolder::Due(account) if !self.is_locked => {
                let refusal = Refusal::new(Reason::PasswordDue, "the password must be changed first");
                Err(refusal.carried_by(CARRIER).of_account(Some(account)))
            }
            DigestHolder::Account(_) | DigestHolder::Due(_) | DigestHolder::Nobody(_) => Err(self.refused()),
        }
    }
}

fn wrong(cause: &'static str) -> Refusal {
    Refusal::new(Reason::WrongPassword, cause).carried_by(CARRIER)
}

/// The response was right, but for its nonce: the client may answer the next one without asking anybody.
fn stale(cause: &'static str) -> Refusal {
    let mut refusal = Refusal::new(Reason::StaleProof, cause).carried_by(CARRIER);
    refusal.stale = true;
    refusal
}

/// A credential that proves who it is and nothing more: the account without its keys, as live as the account.
fn without_keys(whose: DigestHolder) -> DigestHolder {
    let bare = |account: Arc<Account>| {
        if account.keys.is_empty() {
            return account;
        }
        Arc::new(Account {
            id: account.id,
            kind: Arc::clone(&account.kind),
            name: account.name.clone(),
            subject: account.subject.clone(),
            full_name: account.full_name.clone(),
            first_name: account.first_name.clone(),
            last_name: account.last_name.clone(),
            email: account.email.clone(),
            tenant: account.tenant.clone(),
            roles: account.roles.clone(),
            keys: std::collections::BTreeMap::new(),
            issuer: None,
            proofs_from: account.proofs_from,
            live: account.live.clone(),
            minted: Minted::default(),
        })
    };
    match whose {
        DigestHolder::Account(account) => DigestHolder::Account(bare(account)),
        DigestHolder::Due(account) => DigestHolder::Due(bare(account)),
        DigestHolder::Nobody(cause) => DigestHolder::Nobody(cause),
    }
}

/// `Authentication-Info` (RFC 7616 section 3.5).
fn information(
    response: &Response<'_>,
    key: &Hashed,
    next: Option<&str>,
) -> Option<(HeaderName, HeaderValue)> {
    let mut text = String::with_capacity(256);
    text.push_str("rspauth=\"");
    text.push_str(proof::answer(response, key).hex().as_str());
    text.push_str("\", qop=auth, nc=");
    text.push_str(&response.nc);
    text.push_str(", cnonce=\"");
    for character in response.cnonce.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    if let Some(next) = next {
        text.push_str(", nextnonce=\"");
        text.push_str(next);
        text.push('"');
    }
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()?;
    Some((AUTHENTICATION_INFO, value))
}
