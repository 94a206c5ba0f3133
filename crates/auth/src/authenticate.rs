//! From what was presented to who it is.

mod code;
mod digest;
mod front;
mod issued;
mod negotiation;
pub mod word;

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use smallvec::SmallVec;

use crate::account::{Account, AccountId, Live};
use crate::api::{Api, Located};
use crate::assertion::Minted;
use crate::credential::{Credential, Proof, Said, TokenValues};
use crate::csrf::{self, Demand};
use crate::derive::second_half;
use crate::dialect::CredentialRule;
use crate::identity::{Identity, Lasts, Proven, Session};
use crate::page::Page;
use crate::port::{
    After, ApplicationAnswer, AtHand, Lookups, PasswordAnswer, PasswordClaim, ProofKey, SharedAnswer,
    TokenAnswer, Verified,
};
use crate::recognize::{Presented, Request};
use crate::refusal::{Reason, Refusal};
use crate::secret::Secret;
use crate::time::Time;
use crate::token::{LiveToken, TokenDigest, TokenKind};

/// How long a verified password is good for without another look: only a revocation ends it sooner.
const PASSWORD_REMEMBERED: std::time::Duration = std::time::Duration::from_secs(300);
/// The claim in which tokens of the gate's own name the API that issued them (T-C6, T-C11).
pub(crate) const OWN_API_CLAIM: &str = "api";
/// The claim in which they name their holder, by the number of his account: what it is called may become another's.
pub(crate) const OWN_ACCOUNT_CLAIM: &str = "account";
/// The claim that says under which [`Account::proofs_from`], in milliseconds, they were signed. `iat` is in whole seconds,
/// and says when a token was made, not what its holder had proven by then.
pub(crate) const OWN_PROOFS_CLAIM: &str = "proofs_from";
/// The claim that says when their holder had proven who he is, in whole seconds (OpenID Connect Core 1.0 section 2): what a
/// renewal signs is no later proof.
pub(crate) const OWN_PROVEN_CLAIM: &str = "auth_time";
/// Why nothing more is checked for now.
pub(crate) const TOO_MANY: &str = "the limits on unverified work are reached";
/// Clocks of issuers may differ by so much (P-JWT4 allows 60 s).
const LEEWAY_SECS: u32 = 30;

/// Who makes this request.
///
/// The order is that of docs/recognition.md: session look-up and CSRF first where the dialect says so, then the
/// credential, then CSRF.
///
/// # Errors
/// Why it cannot be told, or is nobody who may be here; `unavailable` if what had to be asked did not answer.
pub async fn authenticate(
    api: &Api,
    located: &Located,
    request: &Request<'_>,
    presented: &Presented,
    lookups: &dyn Lookups,
    now: Time,
) -> Result<Identity, Refusal> {
    let site = &located.site;
    if site.only_anonymous() {
        return Ok(anonymous(None, None, now));
    }
    let mut demand = csrf::demand(api, site, request, presented);
    let Presented { credential, ambient, others, beside: cookie, csrf: shown } = presented;
    let mut verifier = Verifier { api, request, lookups, now, beside: None };
    if let Some(cookie) = cookie {
        verifier.beside = verifier.live_session(cookie).await?;
    }
    let key = lookups.derivation_key();
    if demand == Demand::First {
        csrf::check_first(api, key, verifier.beside.as_ref(), presented)?;
    }
    if let (Demand::None, Some(credential)) = (demand, credential) {
        check_page(credential, request)?;
    }
    let mut dead: Option<Refusal> = None;
    let mut found = None;
    for credential in credential.iter().chain(others) {
        let verified = verifier.verify(credential).await;
        match verified.map_err(|refusal| refusal.by_credential(&credential.rule.name)) {
            Ok(proven) => {
                found = Some((credential, proven));
                break;
            }
            // Only a dead cookie counts as nothing, so that an expired user reaches the sign-in page.
            Err(mut refusal) if *ambient && is_dead(refusal.reason) => {
                refusal.dead_cookie = Some(credential.rule.carrier().to_owned());
                dead.get_or_insert(refusal);
            }
            Err(refusal) => return Err(refusal),
        }
    }
    let beside = verifier.beside;
    let dead_cookie = dead.as_ref().and_then(|refusal| refusal.dead_cookie.clone());
    let identity = match (found, dead) {
        (Some((credential, mut proven)), _) => {
            proven.dead_cookie = dead_cookie;
            with_session(api, credential, proven, beside, request, demand)?
        }
        (None, dead) if site.anonymous => {
            if dead.is_some() && demand == Demand::After {
                demand = csrf::demand_of(api, site, request, "anonymous");
            }
            anonymous(beside.filter(|session| session.live.account.is_none()), dead_cookie, now)
        }
        (None, Some(dead)) => return Err(dead),
        (None, None) => {
            return Err(Refusal::new(Reason::NoCredential, "nothing was presented").carried_by(carrier(site)));
        }
    };
    if demand == Demand::After {
        csrf::check(api, key, identity.session(), shown.as_ref()).map_err(|refusal| {
            refusal.by_credential(&identity.credential().into()).of_account(identity.account())
        })?;
    }
    Ok(identity)
}

/// Browsers prove themselves for any page by Basic, Digest, Kerberos and NTLM, without asking; where no CSRF token stands in
/// between, what changes something must not come from a foreign page (T-E7).
fn check_page(credential: &Credential, request: &Request<'_>) -> Result<(), Refusal> {
    let rule = &credential.rule;
    if rule.is_repeated_by_browsers() && !request.method.is_safe() && request.page() == Page::Foreign {
        let refusal = request.pages.refuse(request.headers, "makes the browser prove who its user is");
        return Err(refusal.by_credential(&rule.name));
    }
    Ok(())
}

fn is_dead(reason: Reason) -> bool {
    matches!(reason, Reason::BadToken | Reason::Expired)
}

fn carrier(site: &crate::dialect::Site) -> String {
    site.accepts.first().map_or_else(String::new, |rule| rule.carrier().to_owned())
}

fn anonymous(session: Option<Session>, dead_cookie: Option<String>, now: Time) -> Identity {
    Identity::proven(Proven {
        account: None,
        credential: "anonymous".into(),
        scheme: None,
        proven_at: now,
        session,
        token: None,
        lasts: Lasts::Bound,
        dead_cookie,
        answers: Vec::new(),
        back: None,
    })
}

/// Adds the session that came beside the credential, if it is the same account's.
fn with_session(
    api: &Api,
    credential: &Credential,
    mut proven: Proven,
    beside: Option<Session>,
    request: &Request<'_>,
    demand: Demand,
) -> Result<Identity, Refusal> {
    let bound = api.dialect.csrf.as_ref().map(|csrf| &csrf.bound_to.word);
    let own = proven.token.as_ref().filter(|token| {
        credential.rule.token.as_ref().is_some_and(|rule| rule.kind == TokenKind::Session)
            && bound.is_none_or(|word| *word == token.word)
    });
    let owner = beside.as_ref().and_then(|session| session.live.account.as_ref());
    let is_his = matches!((owner, &proven.account), (Some(a), Some(b)) if a.id == b.id && !b.is_foreign());
    let owner = owner.map(|account| account.id);
    let refuse = |reason, cause| {
        let refusal = Refusal::new(reason, cause).by_credential(&credential.rule.name);
        Err(refusal.of_account(proven.account.as_ref()))
    };
    if beside.is_some() && !is_his && own.is_none() && demand != Demand::None {
        return refuse(Reason::Csrf, "the session beside the credential is another account's");
    }
    if owner.is_some() && !is_his && !request.method.is_safe() && !credential.rule.is_of_a_call() {
        return refuse(Reason::Ambiguous, "the session cookie beside the credential is another account's");
    }
    proven.session = own.cloned().or(beside.filter(|_| is_his));
    Ok(Identity::proven(proven))
}

struct Verifier<'v> {
    api: &'v Api,
    request: &'v Request<'v>,
    lookups: &'v dyn Lookups,
    now: Time,
    /// The session of the cookie that CSRF is bound to, once it was looked up.
    beside: Option<Session>,
}

impl Verifier<'_> {
    /// The live session of a cookie beside the credential; a dead one counts as nothing.
    async fn live_session(&self, cookie: &Credential) -> Result<Option<Session>, Refusal> {
        let Proof::Token { values, .. } = &cookie.proof else { return Ok(None) };
        match self.first_live(&cookie.rule, values).await? {
            Ok(session) => Ok(Some(session)),
            Err(_dead) => Ok(None),
        }
    }

    async fn verify(&self, credential: &Credential) -> Result<Proven, Refusal> {
        let proven = self.proof(credential).await?;
        self.agrees(credential, &proven).map_err(|refusal| refusal.of_account(proven.account.as_ref()))?;
        Ok(proven)
    }

    /// Whether what was said beside the proof is true of the account.
    fn agrees(&self, credential: &Credential, proven: &Proven) -> Result<(), Refusal> {
        let Said { user, tenant, app } = &credential.said;
        let account = proven.account.as_deref();
        let carried = |reason, cause: &'static str| {
            Err(Refusal::new(reason, cause).carried_by(credential.rule.carrier()))
        };
        let refuse = |cause| carried(Reason::BadToken, cause);
        let is_named = |user: &str| {
            account.is_some_and(|account| account.name.eq_ignore_ascii_case(user) || account.subject == user)
        };
        if user.as_deref().is_some_and(|user| !is_named(user)) {
            return refuse("the credential is not the user's who came with it");
        }
        let is_said = tenant.is_some() && issued::site_of(credential).is_none();
        if is_said && account.and_then(|account| account.tenant.as_deref()) != tenant.as_deref() {
            return refuse("the credential is not of the tenant that came with it");
        }
        let Some(app) = app else { return Ok(()) };
        let address = self.request.address;
        match self.lookups.application_secret(&self.api.name, app.expose(), address, self.now) {
            ApplicationAnswer::Right => Ok(()),
            ApplicationAnswer::Wrong => refuse("the application that came with the credential is not known"),
            ApplicationAnswer::TooMany => carried(Reason::TooMany, TOO_MANY),
        }
    }

    async fn proof(&self, credential: &Credential) -> Result<Proven, Refusal> {
        let rule = &credential.rule;
        match &credential.proof {
            Proof::Password { user, password, provider, domain, tenant } => {
                let claim = PasswordClaim {
                    api: Arc::clone(&self.api.name),
                    kind: Arc::clone(&rule.accounts),
                    user: user.clone(),
                    password: Secret::new(password.expose()),
                    provider: provider.clone(),
                    domain: domain.clone(),
                    tenant: tenant.clone(),
                    address: self.request.address,
                };
                self.password(rule, claim).await
            }
            Proof::Token { values, second } => self.token(rule, values, second.as_ref()).await,
            Proof::Jwt { value } => self.jwt(rule, value, issued::site_of(credential)).await,
            Proof::Negotiation { message } => self.negotiate(rule, message).await,
            Proof::Bound(bound) => self.bound(rule, bound),
            Proof::Front { user, proof } => self.front(rule, user, proof.as_ref()).await,
            Proof::Code(came) => self.code(rule, came).await,
            Proof::Digest { value } => self.digest(rule, value),
            Proof::Unproven { subject } => self.unproven(rule, subject),
        }
    }

    /// A proof that was found right of this copy of the account. What brought the copy about may be later than the request:
    /// the log-in itself, by what a directory says of him, or another first request of the same person. It is a proof of the
    /// copy all the same.
    fn proven(&self, rule: &CredentialRule, account: Arc<Account>, proven_at: Time) -> Proven {
        Proven {
            proven_at: proven_at.max(account.proofs_from),
            account: Some(account),
            credential: Arc::clone(&rule.name),
            scheme: Some(rule.scheme),
            session: None,
            token: None,
            lasts: Lasts::Bound,
            dead_cookie: None,
            answers: Vec::new(),
            back: None,
        }
    }

    async fn password(&self, rule: &CredentialRule, claim: PasswordClaim) -> Result<Proven, Refusal> {
        let key = self.proof_key(
            rule,
            &[
                &claim.user,
                claim.password.expose(),
                claim.provider.as_deref().unwrap_or_default(),
                claim.domain.as_deref().unwrap_or_default(),
                claim.tenant.as_deref().unwrap_or_default(),
            ],
        );
        if let Some(verified) = self.lookups.recall_at(&key, claim.address, self.now) {
            return Ok(self.proven(rule, verified.account, verified.proven_at));
        }
        let refuse = |reason, cause| Refusal::new(reason, cause).carried_by(rule.carrier());
        match self.lookups.check_password(claim, self.now).await? {
            PasswordAnswer::Proven(account) => Ok(self.right(rule, key, account, PASSWORD_REMEMBERED)),
            PasswordAnswer::ProvenElsewhere(account, remembered) => {
                Ok(self.right(rule, key, account, remembered))
            }
            PasswordAnswer::Due(account) => {
                let cause = "the password must be changed first";
                Err(refuse(Reason::PasswordDue, cause).of_account(Some(&account)))
            }
            PasswordAnswer::Refused(cause, tried) => {
                Err(refuse(Reason::WrongPassword, cause).of_account(tried.as_ref()))
            }
            PasswordAnswer::BadProvider => Err(refuse(Reason::BadProvider, "no such provider or domain")),
            PasswordAnswer::TooMany => Err(refuse(Reason::TooMany, TOO_MANY)),
        }
    }

    /// A password that was found right of this copy of the account, and is remembered.
    fn right(
        &self,
        rule: &CredentialRule,
        key: ProofKey,
        account: Arc<Account>,
        remembered: std::time::Duration,
    ) -> Proven {
        let (proven_at, until) = (self.now, self.now.plus(remembered));
        let (keys, after) = (SmallVec::new(), After::Unverified);
        let verified = Verified { account: Arc::clone(&account), proven_at, until, keys, after };
        self.lookups.remember(key, verified, self.now);
        self.proven(rule, account, proven_at)
    }

    /// A keyed hash over everything that a proof depends on, each part framed by its length (T-D2, T-C6).
    fn proof_key(&self, rule: &CredentialRule, parts: &[&str]) -> ProofKey {
        let mut context = Context::new(&SHA256);
        context.update(b"countersign proof");
        context.update(self.lookups.derivation_key().expose());
        // What was verified by other rules for the same API proves nothing by these.
        context.update(&self.api.edition.to_be_bytes());
        for part in [&*self.api.name, &*rule.name].into_iter().chain(parts.iter().copied()) {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        ProofKey(key)
    }

    async fn find(&self, digest: TokenDigest) -> Result<TokenAnswer, Refusal> {
        match self.lookups.token(&digest, self.now) {
            AtHand::Known(answer) => Ok(answer),
            AtHand::Ask => Ok(self.lookups.find_token(digest, self.now).await?),
        }
    }

    /// The first of several values that lives, or why none does.
    async fn first_live(
        &self,
        rule: &CredentialRule,
        values: &TokenValues,
    ) -> Result<Result<Session, Refusal>, Refusal> {
        let Some(token) = &rule.token else {
            return Err(Refusal::new(Reason::Internal, "a token credential without its token"));
        };
        // Where the cookie is the credential itself, it was looked up before.
        if let (Some(beside), [value]) = (&self.beside, values.as_slice())
            && Arc::ptr_eq(&beside.value, value)
            && beside.word == token.word
        {
            return Ok(Ok(beside.clone()));
        }
        let mut why = (Reason::BadToken, "no token of this value was issued, or it was revoked");
        for value in values {
            if token.form.as_ref().is_some_and(|form| !form.could_be(value.expose())) {
                why = (Reason::BadToken, "the value is not of the form that is issued");
                continue;
            }
            match self.find(TokenDigest::of(&self.api.name, &token.word, value.expose())).await? {
                TokenAnswer::Live(live) => {
                    return Ok(Ok(Session { live, value: Arc::clone(value), word: Arc::clone(&token.word) }));
                }
                TokenAnswer::Expired => why = (Reason::Expired, "the token has expired"),
                TokenAnswer::Unknown => {}
            }
        }
        let (reason, cause) = why;
        Ok(Err(Refusal::new(reason, cause).carried_by(rule.carrier())))
    }

    async fn token(
        &self,
        rule: &CredentialRule,
        values: &TokenValues,
        second: Option<&Secret>,
    ) -> Result<Proven, Refusal> {
        let refuse = |cause: &'static str| Refusal::new(Reason::BadToken, cause).carried_by(rule.carrier());
        if rule.token.as_ref().is_some_and(|token| token.kind == TokenKind::Shared) {
            return self.shared(rule, values);
        }
        let session = match self.first_live(rule, values).await? {
            Ok(session) => session,
            Err(refusal) => return self.opaque(rule, values, refusal).await,
        };
        if let Some(form) = rule.token.as_ref().and_then(|token| token.second.as_ref()) {
            let key = self.lookups.derivation_key();
            let expected = second_half(key, &self.api.name, &session.word, session.value.expose(), form);
            let right = matches!((&expected, second), (Some(expected), Some(second)) if expected.matches(second.expose()));
            if !right {
                return Err(refuse("the second half does not belong to the first"));
            }
        }
        let LiveToken { account, proven_at, .. } = session.live.clone();
        if let Some(account) = &account
            && *account.kind != *rule.accounts
        {
            return Err(refuse("the token is of another kind of account"));
        }
        Ok(Proven {
            account,
            credential: Arc::clone(&rule.name),
            scheme: Some(rule.scheme),
            proven_at,
            session: None,
            token: Some(session),
            lasts: Lasts::Bound,
            dead_cookie: None,
            answers: Vec::new(),
            back: None,
        })
    }

    fn shared(&self, rule: &CredentialRule, values: &TokenValues) -> Result<Proven, Refusal> {
        let word = rule.token.as_ref().map_or("", |token| &token.word);
        let value = values.first().map_or("", |value| value.expose());
        let refuse =
            |reason, cause: &'static str| Err(Refusal::new(reason, cause).carried_by(rule.carrier()));
        match self.lookups.shared_value(&self.api.name, word, value, self.request.address, self.now) {
            SharedAnswer::Right(account) => Ok(self.proven(rule, account, self.now)),
            SharedAnswer::Wrong => refuse(Reason::BadToken, "the value is not the one that was set"),
            SharedAnswer::NotSet => refuse(Reason::BadToken, "no value was set, so none is right"),
            SharedAnswer::TooMany => refuse(Reason::TooMany, TOO_MANY),
        }
    }

    /// Nothing is proven, so any page that a browser is on could say it, of the user's own machine as well (T-E7): it must be
    /// no page's but the API's own, also where nothing is changed, and no name that somebody let point here.
    fn unproven(&self, rule: &CredentialRule, subject: &str) -> Result<Proven, Refusal> {
        let Request { pages, headers, .. } = self.request;
        if self.request.page() == Page::Foreign {
            return Err(pages.refuse(headers, "says who its user is"));
        }
        if !pages.knows_host(headers) {
            let cause =
                "nothing is believed unproven under a host that no place of the api names; add it to `at`";
            return Err(Refusal::new(Reason::Csrf, cause));
        }
        let account = self.lookups.account_by_subject(&rule.accounts, subject).unwrap_or_else(|| {
            Arc::new(Account { subject: subject.to_owned(), name: subject.into(), ..foreign(&rule.accounts) })
        });
        Ok(self.proven(rule, account, self.now))
    }
}

/// An account of which nothing is known but its kind: it lives in no store of the gate.
pub(crate) fn foreign(kind: &Arc<str>) -> Account {
    Account {
        id: AccountId::FOREIGN,
        kind: Arc::clone(kind),
        name: "".into(),
        subject: String::new(),
        full_name: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        tenant: None,
        roles: Vec::new(),
        keys: std::collections::BTreeMap::new(),
        issuer: None,
        proofs_from: Time::from_unix_secs(0),
        live: Live::new(),
        minted: Minted::default(),
    }
}
