//! The calls that the gate answers itself: from inputs to operation to answer.

mod issuer;
mod keys;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::account::Account;
use crate::api::{Api, Located};
use crate::authenticate::{OWN_ACCOUNT_CLAIM, OWN_API_CLAIM, OWN_PROOFS_CLAIM, OWN_PROVEN_CLAIM, TOO_MANY};
use crate::dialect::operation::Operation;
use crate::dialect::{Endpoint, Scheme, TokenRule};
use crate::identity::Identity;
use crate::intake::Taken;
use crate::page::Page;
use crate::policy::admits_tenant;
use crate::port::strangers::Strangers;
use crate::port::{
    Issue, IssueAnswer, Issued, Lookups, Operations, PasswordChange, PasswordClaim, Purpose, Signer,
};
use crate::recognize::{Request, plain_value};
use crate::refusal::{Reason, Refusal};
use crate::render::sign_in::is_own_path;
use crate::render::{Here, Rendered};
use crate::secret::Secret;
use crate::time::Time;
use crate::token::{AtLimit, TokenDigest, TokenKind, TokenPlan, TokenRef};
use crate::values::{Caller, SessionView};

/// What calls need of the world.
#[derive(Clone, Copy)]
pub struct World<'w> {
    /// Look-ups.
    pub lookups: &'w dyn Lookups,
    /// Operations.
    pub operations: &'w dyn Operations,
    /// Signatures.
    pub signer: &'w dyn Signer,
    /// The budget of whoever asks.
    pub strangers: &'w dyn Strangers,
    /// The moment of this request.
    pub now: Time,
}

/// Serves a call of the gate's own for an identity.
///
/// # Errors
/// What the operation is refused with; `unavailable` if the store did not answer.
pub async fn serve(
    api: &Api,
    located: &Located,
    request: &Request<'_>,
    taken: &Taken,
    identity: &Identity,
    world: World<'_>,
    here: &Here<'_>,
) -> Result<Rendered, Refusal> {
    let Some(endpoint) = &located.site.endpoint else {
        return Err(Refusal::new(Reason::Internal, "no call to serve"));
    };
    admits_tenant(api, identity)?;
    // Whoever comes back from an issuer comes from its page; that the log-in began here was proven by its state.
    let came_back = identity.scheme() == Some(Scheme::Code);
    if endpoint.sets_cookies && endpoint.operation == Operation::Issue && !came_back {
        refuse_foreign_page(request)?;
    }
    let inputs = inputs(api, located, endpoint, request, taken)?;
    let call = Call { api, located, endpoint, request, taken, identity, world, here, inputs };
    call.run().await
}

/// Ends what an identity holds; for calls that the upstream answers (`forward`), once it has. All of it, whatever became of the
/// end of another part.
///
/// # Errors
/// `unavailable` if the store did not answer.
pub async fn end(identity: &Identity, world: World<'_>) -> Result<(), Refusal> {
    let mut outcome = Ok(());
    for held in [identity.session(), identity.token()].into_iter().flatten() {
        let ended = world.operations.end(held.digest(), world.now).await;
        outcome = outcome.and(ended);
    }
    Ok(outcome?)
}

/// A foreign page must not log its visitor in (login CSRF).
fn refuse_foreign_page(request: &Request<'_>) -> Result<(), Refusal> {
    match request.page() {
        Page::Unnamed | Page::Ours => Ok(()),
        Page::Foreign => Err(request.pages.refuse(request.headers, "sent the form")),
    }
}

/// What the caller told the operation: input name, value.
fn inputs(
    api: &Api,
    located: &Located,
    endpoint: &Endpoint,
    request: &Request<'_>,
    taken: &Taken,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut inputs = Vec::new();
    let required = endpoint.operation.inputs().required;
    for (name, places) in &endpoint.inputs {
        let value = plain_value(places, request, taken, located.variables.as_slice(), api)?;
        match value {
            Some((value, _)) => inputs.push((name.clone(), value.into_owned())),
            None if required.contains(&name.as_str()) => {
                let field = places.first().map_or(name.as_str(), |place| place.carrier());
                return Err(Refusal::new(Reason::MissingField, format!("`{field}` is missing")).about(field));
            }
            None => {}
        }
    }
    Ok(inputs)
}

struct Call<'c> {
    api: &'c Api,
    located: &'c Located,
    endpoint: &'c Endpoint,
    request: &'c Request<'c>,
    taken: &'c Taken,
    identity: &'c Identity,
    world: World<'c>,
    here: &'c Here<'c>,
    inputs: Vec<(String, String)>,
}

impl Call<'_> {
    async fn run(&self) -> Result<Rendered, Refusal> {
        match self.endpoint.operation {
            Operation::Issue => self.issue().await,
            Operation::End => self.end().await,
            Operation::Show => self.answer(&self.caller()),
            Operation::Refuse => {
                let reason = self.endpoint.reason.unwrap_or(Reason::Forbidden);
                Err(Refusal::new(reason, "the dialect refuses this call"))
            }
            Operation::SessionList => self.sessions().await,
            Operation::SessionShow => self.session().await,
            Operation::KeyCreate => self.key_create().await,
            Operation::KeyList => self.key_list().await,
            Operation::KeyShow | Operation::KeyUpdate | Operation::KeyRotate | Operation::KeyDelete => {
                self.key().await
            }
            Operation::PasswordChange => self.password_change().await,
            Operation::IssuerLogin => self.to_issuer().await,
            Operation::Service(_) => {
                Err(Refusal::new(Reason::Internal, "a service's call came to the operations"))
            }
        }
    }

    fn input(&self, name: &str) -> Option<&str> {
        self.inputs.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A yes or no: `true yes 1 on`, `false no 0 off`, in any case.
    fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.input(name) else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" | "on" => Ok(Some(true)),
            "false" | "no" | "0" | "off" | "" => Ok(Some(false)),
            _ => {
                Err(Refusal::new(Reason::InvalidField, format!("`{name}` is neither yes nor no")).about(name))
            }
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            prefix: self.here.prefix,
            media: self.api.media(self.here),
            lookups: Some(self.world.lookups),
            inputs: &self.inputs,
            return_to: self.return_to(),
            ..Caller::bare(self.api, Some(self.identity))
        }
    }

    /// A path of this API, or nothing.
    fn return_to(&self) -> &str {
        let said = self.identity.back().or_else(|| self.input("return_to"));
        said.filter(|path| is_own_path(path, self.here.prefix)).unwrap_or_default()
    }

    fn answer(&self, caller: &Caller<'_>) -> Result<Rendered, Refusal> {
        self.api.answer(&self.endpoint.answer, caller, self.here)
    }

    async fn issue(&self) -> Result<Rendered, Refusal> {
        if self.identity.account().is_some_and(|account| account.is_foreign()) {
            return Err(Refusal::new(
                Reason::Forbidden,
                "the gate issues no tokens to accounts of a foreign issuer",
            ));
        }
        let force = self.flag("force")?.unwrap_or(false);
        let mut plans = Vec::new();
        let mut signed = Vec::new();
        for rule in &self.endpoint.issues {
            let mut plan = self.plan(rule)?;
            if force {
                plan.at_limit = AtLimit::EndOldest;
            }
            if rule.kind == TokenKind::Jwt {
                signed.push(self.sign(rule, &plan)?);
            } else {
                plans.push(plan);
            }
        }
        let (spends, on) = match self.identity.token() {
            Some(token) if self.is_refresh(&token.word) => (Some(token), None),
            token => (None, token),
        };
        let order = Issue {
            api: Arc::clone(&self.api.name),
            account: self.identity.account().cloned(),
            proven_at: self.identity.proven_at(),
            plans,
            spends: spends.map(|token| (Arc::clone(&token.word), Secret::new(token.value.expose()))),
            on: on.map(|token| token.digest()),
            replaces: self.replaced(),
            address: self.request.address,
        };
        // Also where it buys signed tokens alone, which the store does not hear of: it is good once.
        let issued = if order.plans.is_empty() && order.spends.is_none() {
            Vec::new()
        } else if self.identity.is_anonymous() && !self.world.strangers.may_open(self.world.now) {
            return Err(Refusal::new(
                Reason::TooMany,
                "more anonymous sessions from one address in a minute than limits.anonymous_sessions",
            ));
        } else {
            match self.world.operations.issue(order, self.world.now).await? {
                IssueAnswer::Issued(issued) => issued,
                IssueAnswer::AtLimit => {
                    return Err(Refusal::new(
                        Reason::SessionLimit,
                        "the account holds as many tokens as it may",
                    ));
                }
                IssueAnswer::Spent => return Err(self.bad_token("the refresh token was spent before")),
                IssueAnswer::Ended => {
                    return Err(self.bad_token("the token that it was asked with has ended"));
                }
            }
        };
        let issued: Vec<Issued> = issued.into_iter().chain(signed).collect();
        let word = self.endpoint.session(&self.api.dialect).map(|rule| &rule.word);
        let session = issued.iter().find(|issued| word.is_some_and(|word| *word == issued.word));
        let caller = Caller { session: session.map(SessionView::issued), issued: &issued, ..self.caller() };
        self.answer(&caller)
    }

    fn bad_token(&self, cause: &'static str) -> Refusal {
        let carrier = self.located.site.accepts.first().map_or("", |rule| rule.carrier());
        Refusal::new(Reason::BadToken, cause).carried_by(carrier)
    }

    fn plan(&self, rule: &TokenRule) -> Result<TokenPlan, Refusal> {
        let plan = self.api.plan(rule).cloned();
        plan.ok_or_else(|| Refusal::new(Reason::Internal, "the token has no form that could be issued"))
    }

    fn kind(&self, word: &str) -> Option<TokenKind> {
        self.api.dialect.token(word).map(|rule| rule.kind)
    }

    fn is_refresh(&self, word: &str) -> bool {
        self.kind(word) == Some(TokenKind::Refresh)
    }

    /// The session that a login puts an end to: the one whose cookie came with it (T-E1).
    fn replaced(&self) -> Option<TokenDigest> {
        let issues_session = self.endpoint.issues.iter().any(|rule| rule.kind == TokenKind::Session);
        let by_token = self.identity.token().is_some();
        self.identity.session().filter(|_| issues_session && !by_token).map(|session| session.digest())
    }

    /// A JWT with the claims that a credential of the dialect reads.
    fn sign(&self, rule: &TokenRule, plan: &TokenPlan) -> Result<Issued, Refusal> {
        let credential = rule.jwt_credential.as_deref();
        let demands = self
            .api
            .dialect
            .credentials
            .iter()
            .find(|rule| Some(&*rule.name) == credential)
            .and_then(|rule| rule.jwt.as_ref());
        let (Some(demands), Some(account), Some(lifetime)) =
            (demands, self.identity.account(), plan.lifetime)
        else {
            return Err(Refusal::new(Reason::Internal, "a jwt without its credential, holder or lifetime"));
        };
        let present;
        let account = if account.live.is_up() {
            account
        } else {
            // Changed meanwhile: what was proven of it is good of what it is now, unless proofs have ended since.
            let found = self.world.lookups.account_by_number(account.id);
            present =
                found.filter(|present| present.proofs_from == account.proofs_from).ok_or_else(|| {
                    Refusal::new(Reason::Unavailable, "the account was changed while it logged in")
                })?;
            &present
        };
        let (now, proven_at) = (self.world.now, self.identity.proven_at());
        let expires_at = plan.proof_lifetime.map(|span| proven_at.plus(span)).into_iter();
        let expires_at = expires_at.fold(now.plus(lifetime), Time::min);
        if expires_at <= now {
            return Err(self.bad_token("the log-in is too long ago for another token"));
        }
        let mut claims = Map::new();
        // Whoever else reads the token takes its holder from what fills `subject`: nothing else is written there.
        let (subject, others): (Vec<_>, Vec<_>) =
            demands.claims.iter().partition(|(target, _)| target == "subject");
        for (target, claim) in subject.into_iter().chain(others) {
            if let Some(value) = claim_value(account, target)
                && !claims.contains_key(claim)
            {
                claims.insert(claim.clone(), value);
            }
        }
        // Every reader asks for one (RFC 9068 section 2.2).
        claims.entry("sub").or_insert_with(|| account.subject.as_str().into());
        for (name, value) in [
            (OWN_API_CLAIM, Value::from(&*self.api.name)),
            (OWN_ACCOUNT_CLAIM, account.id.0.into()),
            (OWN_PROOFS_CLAIM, account.proofs_from.unix_ms().into()),
            (OWN_PROVEN_CLAIM, proven_at.unix_secs().into()),
            ("iss", Value::from(demands.issuer.as_str())),
            ("aud", demands.audience.as_str().into()),
            ("iat", now.unix_secs().into()),
            ("exp", expires_at.unix_secs().into()),
        ] {
            claims.insert(name.to_owned(), value);
        }
        let claims = Value::Object(claims).to_string();
        let value = self.world.signer.sign(Purpose::Token, "JWT", claims.as_bytes())?;
        let digest = TokenDigest::of(&self.api.name, &rule.word, &value);
        Ok(Issued {
            word: Arc::clone(&rule.word),
            value: Secret::new(value),
            second: None,
            reference: digest.reference(),
            issued_at: now,
            expires_at,
        })
    }

    async fn end(&self) -> Result<Rendered, Refusal> {
        match (self.input("session"), self.identity.account()) {
            (Some(name), Some(account)) if !account.is_foreign() => {
                let Some(reference) = self.token_name(name) else { return Err(not_found("session")) };
                if !self.world.operations.end_named(account.id, reference, self.world.now).await? {
                    return Err(not_found("session"));
                }
            }
            (Some(_), _) => return Err(not_found("session")),
            (None, _) => end(self.identity, self.world).await?,
        }
        self.answer(&self.caller())
    }

    /// A public reference, or the reference of a value of the API's session words.
    fn token_name(&self, name: &str) -> Option<TokenRef> {
        TokenRef::parse(name).or_else(|| {
            let rule = self.api.dialect.tokens.iter().find(|rule| {
                rule.kind == TokenKind::Session && rule.form.as_ref().is_some_and(|form| form.could_be(name))
            })?;
            Some(TokenDigest::of(&self.api.name, &rule.word, name).reference())
        })
    }

    /// The caller's account, if the gate keeps it.
    fn own_account(&self) -> Option<&Arc<Account>> {
        self.identity.account().filter(|account| !account.is_foreign())
    }

    async fn sessions(&self) -> Result<Rendered, Refusal> {
        let Some(account) = self.own_account() else { return Err(not_found("session")) };
        let sessions =
            self.world.operations.sessions(account.id, Arc::clone(&self.api.name), self.world.now).await?;
        self.answer(&Caller { sessions: &sessions, ..self.caller() })
    }

    async fn session(&self) -> Result<Rendered, Refusal> {
        let wanted = self.input("session").and_then(|name| self.token_name(name));
        let (Some(account), Some(wanted)) = (self.own_account(), wanted) else {
            return Err(not_found("session"));
        };
        let sessions =
            self.world.operations.sessions(account.id, Arc::clone(&self.api.name), self.world.now).await?;
        match sessions.iter().find(|info| info.reference == wanted) {
            Some(shown) => self.answer(&Caller { shown: Some(shown), ..self.caller() }),
            None => Err(not_found("session")),
        }
    }

    async fn password_change(&self) -> Result<Rendered, Refusal> {
        let Some(account) = self.identity.account() else {
            return Err(Refusal::new(Reason::Forbidden, "anonymous callers have no password"));
        };
        if self
            .input("user")
            .is_some_and(|user| !user.is_empty() && !user.eq_ignore_ascii_case(&account.name))
        {
            return Err(Refusal::new(Reason::Forbidden, "the password of another account"));
        }
        let claim = PasswordClaim {
            api: Arc::clone(&self.api.name),
            kind: Arc::clone(&account.kind),
            user: account.name.to_string(),
            password: Secret::new(self.input("old").unwrap_or_default()),
            provider: None,
            domain: None,
            tenant: None,
            address: self.request.address,
        };
        let new = Secret::new(self.input("new").unwrap_or_default());
        let keep = self.identity.token().or(self.identity.session()).map(|token| token.digest());
        match self.world.operations.password_change(claim, new, keep, self.world.now).await? {
            PasswordChange::Done => self.answer(&self.caller()),
            PasswordChange::WrongOld => Err(Refusal::new(Reason::WrongPassword, "the old password is wrong")),
            PasswordChange::Unfit(why) => {
                Err(Refusal::new(Reason::InvalidField, why).about(self.field("new")))
            }
            PasswordChange::TooMany => Err(Refusal::new(Reason::TooMany, TOO_MANY)),
        }
    }
}

fn not_found(what: &'static str) -> Refusal {
    Refusal::new(Reason::NotFound, Cow::Owned(format!("no such {what} of the caller's"))).about(what)
}

fn claim_value(account: &Account, target: &str) -> Option<Value> {
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    match target {
        "subject" => text(&account.subject),
        "tenant" => account.tenant.as_deref().and_then(text),
        "roles" => Some(account.roles.clone().into()),
        "name" => text(&account.full_name),
        "email" => text(&account.email),
        "first_name" => text(&account.first_name),
        "last_name" => text(&account.last_name),
        key => account.keys.get(key).map(|value| Value::from(value.as_str())),
    }
}
