//! Identities that a front proved, and says in a header.
//!
//! A header is believed if the connection comes from a network of the front's *and* the front proves itself with each
//! request (T-B10): by a secret that only it has, by the certificate of its connection, or by a signed token for that
//! very user. What lacks either is
//! refused, and never counts as nothing: whoever can send the header must not choose that somebody else decides.

use std::sync::Arc;

use smallvec::smallvec;

use super::Verifier;
use super::issued::{Demands, read};
use crate::account::People;
use crate::dialect::CredentialRule;
use crate::identity::Proven;
use crate::port::foreign::{FrontProof, FrontTerms};
use crate::port::{After, Verified};
use crate::refusal::{Reason, Refusal};
use crate::secret::Secret;

impl Verifier<'_> {
    pub(super) async fn front(
        &self,
        rule: &CredentialRule,
        user: &str,
        proof: Option<&Secret>,
    ) -> Result<Proven, Refusal> {
        let refuse =
            |cause: &'static str| Err(Refusal::new(Reason::NotAccepted, cause).carried_by(rule.carrier()));
        let Some(terms) = self.lookups.front(&self.api.name) else {
            return refuse("no front is configured that could say so");
        };
        let connection = self.request.connection.to_canonical();
        if !terms.networks.iter().any(|network| network.contains(&connection)) {
            return refuse("who says so does not connect from a network of the front's");
        }
        let missing = "the front's proof is missing";
        let said =
            || proof.ok_or_else(|| Refusal::new(Reason::NotAccepted, missing).carried_by(rule.carrier()));
        let signed = match &terms.proof {
            FrontProof::Certificate(name) => match self.request.certificate {
                Some(certificate) if name.is(certificate) => None,
                Some(_) => return refuse("the certificate of the connection is not the front's"),
                None => return refuse("the connection showed no certificate"),
            },
            FrontProof::Secret(secret) if secret.matches(said()?.expose()) => None,
            FrontProof::Secret(_) => return refuse("the front's proof is wrong"),
            FrontProof::Signed { issuer, audience } => {
                let proof = said()?;
                let key = self.proof_key(rule, &[user, proof.expose()]);
                if let Some(verified) = self.lookups.recall(&key, self.now) {
                    return Ok(self.proven(rule, verified.account, verified.proven_at));
                }
                let demands = Demands { issuer, audience, claims: &[], roles: None, people: People::Own };
                let token = read(rule, proof.expose()).map_err(settled)?;
                let (claims, _ours) = self.verified(rule, &demands, token).await.map_err(settled)?;
                if claims.subject() != user {
                    return refuse("the front's proof is for somebody else");
                }
                Some((key, claims.expires_at(), claims.key().clone()))
            }
        };
        let Some(name) = name_of(&terms, user) else {
            return refuse("the front names somebody of a domain that is not taken");
        };
        let kind = &rule.accounts;
        let account = match self.lookups.account_by_name(kind, name) {
            Some(account) => Some(account),
            None => self.lookups.introduced(&self.api.name, kind, name, self.now).await?,
        };
        let Some(account) = account else { return refuse("no enabled account of the gate is the user's") };
        if let Some((key, until, signer)) = signed {
            let keys = smallvec![signer];
            let (proven_at, after) = (self.now, After::Unverified);
            let verified = Verified { account: Arc::clone(&account), proven_at, until, keys, after };
            self.lookups.remember(key, verified, self.now);
        }
        Ok(self.proven(rule, account, self.now))
    }
}

/// A bad proof of a front is no dead cookie of a browser.
fn settled(mut refusal: Refusal) -> Refusal {
    if matches!(refusal.reason, Reason::BadToken | Reason::Expired) {
        refusal.reason = Reason::NotAccepted;
    }
    refusal
}

/// The user without his domain, if that is one of those that are taken; with domains configured he must have one.
fn name_of<'u>(terms: &FrontTerms, user: &'u str) -> Option<&'u str> {
    if terms.domains.is_empty() {
        return Some(user);
    }
    let (domain, name) = match (user.split_once('\\'), user.rsplit_once('@')) {
        (Some((domain, name)), None) => (domain, name),
        (None, Some((name, domain))) => (domain, name),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let is_plain = !name.is_empty() && !name.contains(['\\', '@']);
    let is_taken = terms.domains.iter().any(|taken| taken.eq_ignore_ascii_case(domain));
    (is_plain && is_taken).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_one_of_those_that_are_taken_and_nothing_else() {
        let terms = |domains: &[&str]| FrontTerms {
            networks: Vec::new(),
            proof: FrontProof::Secret(Secret::new("secret")),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            create: false,
        };
        let check = |user: &str, expected| {
            assert_eq!(name_of(&terms(&["CORP", "corp.com"]), user), expected, "{user}")
        };
        check("CORP\\ann", Some("ann"));
        check("corp\\ann", Some("ann"));
        check("ann@corp.com", Some("ann"));
        check("ann", None);
        check("LAB\\ann", None);
        check("ann@evil.com@corp.com", None);
        check("CORP\\ann@evil.com", None);
        check("CORP\\LAB\\ann", None);
        check("CORP\\", None);
        check("@corp.com", None);
        assert_eq!(name_of(&terms(&[]), "CORP\\ann"), Some("CORP\\ann"));
    }
}
