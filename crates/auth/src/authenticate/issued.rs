//! Tokens that somebody else issued: signed ones, and those that only their issuer can read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use smallvec::{SmallVec, smallvec};

use super::word::{IssuersWord, OpaqueToken, Span};
use super::{
    LEEWAY_SECS, OWN_ACCOUNT_CLAIM, OWN_API_CLAIM, OWN_PROOFS_CLAIM, OWN_PROVEN_CLAIM, TOO_MANY, Verifier,
    foreign,
};
use crate::account::{Account, AccountId, Issuer, Live, People};
use crate::credential::{Credential, TokenValues};
use crate::dialect::{CredentialRule, JwtCredential, Scheme};
use crate::identity::{CLAIM_FIELDS, Lasts, Proven};
use crate::port::foreign::{Asker, IssuerTerms, OpaqueAnswer, OpaqueClaim};
use crate::port::{After, IssuerKeys, ProofKey, Remembered, Verified};
use crate::refusal::{Reason, Refusal};
use crate::scheme::jwt::{JwtError, JwtRule, UnverifiedJwt, VerifiedClaims, moment};
use crate::secret::Secret;
use crate::time::Time;

/// When a token was issued that does not say it, or says it so that it cannot be read: for longer than any rule allows.
pub(super) const LONG_AGO: Time = Time::from_unix_secs(0);

/// The signed token for a tenant that came beside a caller's own, if it is one and no tenant's plain name.
pub(super) fn site_of(credential: &Credential) -> Option<&str> {
    let is_signed = |said: &&str| said.bytes().filter(|byte| *byte == b'.').count() == 2;
    let said = credential.said.tenant.as_deref().filter(is_signed);
    said.filter(|_| credential.rule.scheme == Scheme::Jwt)
}

/// What an API demands of the tokens of one issuer.
pub(super) struct Demands<'d> {
    pub(super) issuer: &'d str,
    pub(super) audience: &'d str,
    pub(super) claims: &'d [(String, String)],
    pub(super) roles: Option<&'d BTreeMap<String, Vec<String>>>,
    pub(super) people: People,
}

impl<'d> Demands<'d> {
    /// The terms of the API for the issuer that a token names, or what the dialect says of its own.
    fn of(dialect: &'d JwtCredential, named: Option<&'d (String, Arc<IssuerTerms>)>) -> Self {
        match named {
            Some((issuer, terms)) => Self {
                issuer,
                audience: terms.audience.as_deref().unwrap_or(&dialect.audience),
                claims: if terms.claims.is_empty() { &dialect.claims } else { &terms.claims },
                roles: terms.roles.as_ref(),
                people: terms.people,
            },
            None => Self {
                issuer: &dialect.issuer,
                audience: &dialect.audience,
                claims: &dialect.claims,
                roles: None,
                people: People::Own,
            },
        }
    }
}

/// What a token for a tenant came to.
struct Narrowed<'d> {
    tenant: String,
    /// The claim that says which tenants a token is for.
    claim: &'d str,
    until: Time,
    key: Live,
}

impl Verifier<'_> {
    /// A signed token, and the one for a tenant that may come beside it.
    pub(super) async fn jwt(
        &self,
        rule: &CredentialRule,
        value: &Arc<Secret>,
        site: Option<&str>,
    ) -> Result<Proven, Refusal> {
        let Some(dialect) = &rule.jwt else {
            return Err(Refusal::new(Reason::Internal, "a jwt credential without its issuer"));
        };
        let parts: SmallVec<[&str; 2]> = std::iter::once(value.expose()).chain(site).collect();
        let key = self.proof_key(rule, &parts);
        if let Some(verified) = self.lookups.recall(&key, self.now) {
            return Ok(self.lasting(rule, value, verified));
        }
        let unverified = match UnverifiedJwt::parse(value.expose()) {
            Ok(unverified) => unverified,
            Err(JwtError::NotCompact) if self.lookups.introspects(&self.api.name, &rule.name) => {
                return self.asked(rule, value, key).await;
            }
            Err(error) => return Err(refused(rule, error)),
        };
        let terms = unverified.issuer().and_then(|issuer| {
            let terms = self.lookups.issuer_terms(&self.api.name, issuer)?;
            Some((issuer.to_owned(), terms))
        });
        let demands = Demands::of(dialect, terms.as_ref());
        let (claims, ours) = self.verified(rule, &demands, unverified).await?;
        let mut proven_at = proven_at(&claims, self.now);
        let mut until = claims.expires_at();
        let mut keys: SmallVec<[Live; 1]> = smallvec![claims.key().clone()];
        let mut narrowed = None;
        if let Some(site) = site {
            let Narrowed { tenant, claim, until: end, key } =
                self.narrowed(rule, &demands, &claims, site).await?;
            until = until.min(end);
            keys.push(key);
            narrowed = Some((tenant, claim));
        }
        let account = if ours {
            let (account, proven) = self.own_account(rule, &claims)?;
            proven_at = proven.min(self.now);
            // Of an account of the gate the gate knows the tenant, whatever its token said when it was issued.
            if narrowed.is_some_and(|(tenant, _)| account.tenant != Some(tenant)) {
                let cause = "the token for a tenant is for another than the account's";
                return Err(Refusal::new(Reason::BadToken, cause).carried_by(rule.carrier()));
            }
            account
        } else {
            let account = account_of(&rule.accounts, demands.claims, demands.roles, claims.claims());
            let mut account =
                account.map_err(|cause| Refusal::new(Reason::BadToken, cause).carried_by(rule.carrier()))?;
            if let Some((tenant, claim)) = narrowed {
                account = for_tenant(account, tenant, claim, demands.claims);
            }
            account.issuer = Some(Issuer { name: demands.issuer.into(), people: demands.people });
            self.lookups.described(account, &keys)
        };
        let verified = Verified { account: Arc::clone(&account), proven_at, until, keys, after: After::Over };
        self.lookups.remember(key, verified, self.now);
        Ok(self.lasting(rule, value, Remembered { account, proven_at, until, after: After::Over }))
    }

    /// Who it is by a proof that ends by itself, or with its issuer's word.
    fn lasting(&self, rule: &CredentialRule, token: &Arc<Secret>, proof: Remembered) -> Proven {
        let Remembered { account, proven_at, until, after } = proof;
        let lasts = match after {
            After::Unverified => Lasts::Bound,
            // As long as it is taken with a request.
            After::Over => Lasts::Until(until.plus(Duration::from_secs(LEEWAY_SECS.into()))),
            After::Asked(word) => Lasts::Word { word, token: Arc::clone(token) },
        };
        Proven { lasts, ..self.proven(rule, account, proven_at) }
    }

    /// Verifies a token; if it names a key that is not known, the issuer is asked for newer ones first.
    pub(super) async fn verified(
        &self,
        rule: &CredentialRule,
        demands: &Demands<'_>,
        token: UnverifiedJwt<'_>,
    ) -> Result<(VerifiedClaims, bool), Refusal> {
        let (api, issuer) = (&*self.api.name, demands.issuer);
        let keys = match self.lookups.issuer_keys(api, issuer) {
            Ok(keys) => keys,
            Err(error) => match self.lookups.renewed_keys(api, issuer).await? {
                Some(keys) => Some(keys),
                // None that are newer: those that somebody else fetched since the look before are there now.
                None => Some(self.lookups.issuer_keys(api, issuer)?.ok_or(error)?),
            },
        };
        let Some(mut keys) = keys else {
            return Err(Refusal::new(Reason::Unavailable, "no keys are configured for the issuer")
                .carried_by(rule.carrier()));
        };
        let demanded = JwtRule { issuer, audience: demands.audience, leeway_secs: LEEWAY_SECS };
        if !token.is_of_known_key(&keys)
            && let Some(newer) = self.newer_keys(issuer, &keys).await?
        {
            keys = newer;
        }
        // Of keys without names only the signature says which it is of, and so perhaps of one that is newer.
        let again = token.names_no_key_of(&keys).then(|| token.clone());
        let claims = match (token.verify(&keys, &demanded, self.now), again) {
            (Err(JwtError::Algorithm | JwtError::Signature), Some(again))
                if let Some(newer) = self.newer_keys(issuer, &keys).await? =>
            {
                keys = newer;
                again.verify(&keys, &demanded, self.now)
            }
            (outcome, _) => outcome,
        };
        Ok((claims.map_err(|error| refused(rule, error))?, keys.ours))
    }

    /// Keys of an issuer that are newer than those: fetched now, or by somebody else since they were looked at.
    async fn newer_keys(
        &self,
        issuer: &str,
        than: &Arc<IssuerKeys>,
    ) -> Result<Option<Arc<IssuerKeys>>, Refusal> {
        let api = &*self.api.name;
        if let Some(newer) = self.lookups.renewed_keys(api, issuer).await? {
            return Ok(Some(newer));
        }
        Ok(self.lookups.issuer_keys(api, issuer)?.filter(|there| !Arc::ptr_eq(there, than)))
    }

    /// The account of the gate that a token of the gate's own is for, and when its holder had proven himself.
    fn own_account(
        &self,
        rule: &CredentialRule,
        claims: &VerifiedClaims,
    ) -> Result<(Arc<Account>, Time), Refusal> {
        let refuse =
            |cause: &'static str| Err(Refusal::new(Reason::BadToken, cause).carried_by(rule.carrier()));
        // The issuer is the same for all APIs of a dialect; what one of them issued is not good at another.
        if claims.text(OWN_API_CLAIM).as_deref() != Some(&*self.api.name) {
            return refuse("the token was issued by another api");
        }
        let number = claims.claims().get(OWN_ACCOUNT_CLAIM).and_then(Value::as_u64);
        let proofs_from = claims.claims().get(OWN_PROOFS_CLAIM).and_then(Value::as_i64);
        let proven_at = claims.claims().get(OWN_PROVEN_CLAIM).and_then(Value::as_i64);
        let (Some(number), Some(proofs_from), Some(proven_at)) = (number, proofs_from, proven_at) else {
            return refuse("the token is older than the version of the gate");
        };
        let account = self.lookups.account_by_number(AccountId(number));
        let Some(account) = account.filter(|account| account.kind == rule.accounts) else {
            return refuse(
                "the token's holder is no enabled account of the gate that this credential proves",
            );
        };
        if Time::from_unix_ms(proofs_from) != account.proofs_from {
            return refuse("the token is older than the account's last change");
        }
        Ok((account, Time::from_unix_secs(proven_at)))
    }

    /// The tenant that the token beside a caller's own is for: one of those that his own is for, never another.
    async fn narrowed<'d>(
        &self,
        rule: &CredentialRule,
        demands: &Demands<'d>,
        own: &VerifiedClaims,
        site: &str,
    ) -> Result<Narrowed<'d>, Refusal> {
        let refuse =
            |cause: &'static str| Err(Refusal::new(Reason::BadToken, cause).carried_by(rule.carrier()));
        let name = demands.claims.iter().find(|(target, _)| target == "tenant").map(|(_, claim)| claim);
        let Some(name) = name else { return refuse("no claim says which tenants a token is for") };
        let (claims, _ours) = self.verified(rule, demands, read(rule, site)?).await?;
        let Some(tenant) = claim(claims.claims(), name).and_then(text) else {
            return refuse("the token for a tenant is for none");
        };
        let allowed = match claim(own.claims(), name) {
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&tenant)),
            Some(one) => text(one).as_ref() == Some(&tenant),
            None => false,
        };
        if !allowed {
            return refuse("the token for a tenant is for one that the caller's own is not for");
        }
        Ok(Narrowed { tenant, claim: name, until: claims.expires_at(), key: claims.key().clone() })
    }

    /// A value that the gate did not issue: whoever did is asked, where the API says whom.
    pub(super) async fn opaque(
        &self,
        rule: &CredentialRule,
        values: &TokenValues,
        refusal: Refusal,
    ) -> Result<Proven, Refusal> {
        let value = values.first().filter(|_| refusal.reason == Reason::BadToken);
        let Some(value) = value.filter(|_| self.lookups.introspects(&self.api.name, &rule.name)) else {
            return Err(refusal);
        };
        let key = self.proof_key(rule, &[value.expose()]);
        if let Some(verified) = self.lookups.recall(&key, self.now) {
            return Ok(self.lasting(rule, value, verified));
        }
        self.asked(rule, value, key).await
    }

    async fn asked(
        &self,
        rule: &CredentialRule,
        value: &Arc<Secret>,
        key: ProofKey,
    ) -> Result<Proven, Refusal> {
        let refuse =
            |reason, cause: &'static str| Err(Refusal::new(reason, cause).carried_by(rule.carrier()));
        let claim = OpaqueClaim {
            api: Arc::clone(&self.api.name),
            credential: Arc::clone(&rule.name),
            value: Secret::new(value.expose()),
            asker: Asker::Request(self.request.address),
        };
        match self.lookups.introspect(claim, self.now).await? {
            OpaqueAnswer::Active { claims, issuer, terms, until, ends_at } => {
                let account = match account_of(&rule.accounts, &terms.claims, terms.roles.as_ref(), &claims) {
                    Ok(account) => Arc::new(Account { issuer: Some(issuer), ..account }),
                    Err(cause) => return refuse(Reason::BadToken, cause),
                };
                let proven_at = claims.get("iat").and_then(|at| moment(at, self.now));
                let proven_at = proven_at.unwrap_or(LONG_AGO);
                let token =
                    OpaqueToken { key, api: Arc::clone(&self.api.name), credential: Arc::clone(&rule.name) };
                let span = Span { from: self.now, until, ends_at };
                let word = IssuersWord::new(Arc::new(token), Arc::clone(&account), proven_at, span);
                word.remember(self.lookups, self.now);
                let lasts = Lasts::Word { word, token: Arc::clone(value) };
                Ok(Proven { lasts, ..self.proven(rule, account, proven_at) })
            }
            OpaqueAnswer::Refused(why) => refuse(Reason::BadToken, why),
            OpaqueAnswer::TooMany => refuse(Reason::TooMany, TOO_MANY),
        }
    }
}

/// When the holder of a token proved who he is: when it was issued, or when he had logged in, where it says so (`auth_time`,
/// OpenID Connect Core 1.0 section 2). What cannot be read is older than any rule allows.
fn proven_at(claims: &VerifiedClaims, now: Time) -> Time {
    let issued = claims.issued_at().unwrap_or(LONG_AGO);
    let logged_in = claims.claims().get("auth_time").map(|said| moment(said, now).unwrap_or(LONG_AGO));
    logged_in.map_or(issued, |logged_in| logged_in.min(issued))
}

/// Reads a token, within bounds.
pub(super) fn read<'t>(rule: &CredentialRule, token: &'t str) -> Result<UnverifiedJwt<'t>, Refusal> {
    UnverifiedJwt::parse(token).map_err(|error| refused(rule, error))
}

fn refused(rule: &CredentialRule, error: JwtError) -> Refusal {
    Refusal::new(error.reason(), error.to_string()).carried_by(rule.carrier())
}

/// The account that a foreign issuer's claims describe, whatever they came in.
///
/// # Errors
/// Why they are nobody's: they do not say whose they are, or by an e-mail address that its issuer has not verified, so that
/// anybody may have put it there.
pub(super) fn account_of(
    kind: &Arc<str>,
    mapping: &[(String, String)],
    roles: Option<&BTreeMap<String, Vec<String>>>,
    claims: &Map<String, Value>,
) -> Result<Account, &'static str> {
    let mut account = foreign(kind);
    if !mapping.iter().any(|(target, _)| target == "subject") {
        account.subject = claim(claims, "sub").and_then(text).unwrap_or_default();
    }
    for (target, name) in mapping {
        let Some(value) = claim(claims, name) else { continue };
        if target == "roles" {
            account.roles = roles_of(texts(value), roles);
            continue;
        }
        let Some(value) = text(value) else { continue };
        match target.as_str() {
            "subject" => account.subject = value,
            "tenant" => account.tenant = Some(value),
            "name" => account.full_name = value,
            "email" => account.email = value,
            "first_name" => account.first_name = value,
            "last_name" => account.last_name = value,
            key => {
                account.keys.insert(key.to_owned(), value);
            }
        }
    }
    if account.subject.is_empty() {
        return Err("its issuer does not say whose it is");
    }
    let by_email =
        mapping.iter().any(|(target, claim)| target == "subject" && claim.trim_start_matches('/') == "email");
    if by_email && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err("the issuer has not verified the e-mail address that names the account");
    }
    account.name = account.subject.as_str().into();
    Ok(account)
}

/// The same caller, for one tenant. Keys that the same claim fills are that tenant as well: rules on them must not see
/// more, or less, than rules on the tenant do.
fn for_tenant(account: Account, tenant: String, claim: &str, mapping: &[(String, String)]) -> Account {
    let mut keys = account.keys;
    let filled =
        mapping.iter().filter(|(target, name)| name == claim && !CLAIM_FIELDS.contains(&target.as_str()));
    keys.extend(filled.map(|(target, _)| (target.clone(), tenant.clone())));
    Account { tenant: Some(tenant), keys, ..account }
}

/// A claim by its name, or by a JSON pointer to it.
fn claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    match name.strip_prefix('/').map(|rest| rest.split_once('/')) {
        None => claims.get(name),
        Some(None) => claims.get(name.get(1..)?),
        Some(Some((first, rest))) => claims.get(first)?.pointer(&format!("/{rest}")),
    }
}

/// A string or a whole number, as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A list of strings, or one string of words separated by blanks.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// What an issuer's words are worth here; what is not named gives nothing.
fn roles_of(said: Vec<String>, roles: Option<&BTreeMap<String, Vec<String>>>) -> Vec<String> {
    let Some(roles) = roles else { return said };
    let mut found: Vec<String> = said.iter().filter_map(|word| roles.get(word)).flatten().cloned().collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
    }

    #[test]
    fn claims_fill_fields_by_name_and_by_pointer() {
        let claims = serde_json::json!({
            "sub": "7", "email": "a@x", "http://schemes.example/identity/serial": 12,
            "realm_access": { "roles": ["agent", "administrator"] }, "scope": "read write", "half": 0.5
        });
        let Value::Object(claims) = claims else { panic!("an object") };
        let mapping = pairs(&[
            ("email", "email"),
            ("roles", "/realm_access/roles"),
            ("serial", "http://schemes.example/identity/serial"),
            ("half", "half"),
            ("none", "/realm_access/none"),
        ]);
        let account = account_of(&"users".into(), &mapping, None, &claims).unwrap();
        assert_eq!(
            (account.subject.as_str(), account.name.as_str(), account.email.as_str()),
            ("7", "7", "a@x")
        );
        assert_eq!(account.roles, ["agent", "administrator"]);
        assert_eq!(account.keys, BTreeMap::from([("serial".to_owned(), "12".to_owned())]));
        // With a list of what is worth what, nothing else is worth anything (T-C11).
        let worth = BTreeMap::from([("agent".to_owned(), vec!["ROLE_AGENT".to_owned()])]);
        assert_eq!(
            account_of(&"users".into(), &mapping, Some(&worth), &claims).unwrap().roles,
            ["ROLE_AGENT"]
        );
        let scopes = pairs(&[("roles", "scope")]);
        assert_eq!(account_of(&"users".into(), &scopes, None, &claims).unwrap().roles, ["read", "write"]);
    }

    #[test]
    fn who_is_not_named_is_nobody() {
        let who = |claim: &str, more: Value| {
            let claims = serde_json::json!({ "sub": "7", "email": "a@x", "list": ["a@x"], "empty": "" });
            let (Value::Object(mut claims), Value::Object(more)) = (claims, more) else { panic!("objects") };
            claims.extend(more);
            let mapping = pairs(&[("subject", claim)]);
            account_of(&"users".into(), &mapping, None, &claims).ok().map(|account| account.subject)
        };
        let none = || serde_json::json!({});
        assert_eq!(who("sub", none()).as_deref(), Some("7"));
        for claim in ["none", "list", "empty", "/list/5", "/sub/x"] {
            assert_eq!(who(claim, none()), None, "{claim}");
        }
        for (claim, verified, expected) in [
            ("email", serde_json::json!({ "email_verified": true }), Some("a@x")),
            ("/email", serde_json::json!({ "email_verified": true }), Some("a@x")),
            ("email", none(), None),
            ("/email", none(), None),
            ("email", serde_json::json!({ "email_verified": false }), None),
            ("email", serde_json::json!({ "email_verified": "true" }), None),
            ("sub", serde_json::json!({ "email_verified": false }), Some("7")),
        ] {
            let said = format!("{claim} {verified}");
            assert_eq!(who(claim, verified).as_deref(), expected, "{said}");
        }
    }
}
