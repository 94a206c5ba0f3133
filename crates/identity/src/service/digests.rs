//! What Digest is checked with.
//!
//! Whoever changes this file can forge an identity; it is reviewed as such.

use std::net::IpAddr;
use std::sync::Arc;

use countersign_auth::derive::derive;
use countersign_auth::port::digest::{Attempt, DigestClaim, DigestHolder, DigestSecret, Digests};
use countersign_auth::scheme::digest::hash::{Ha1, Hashed};
use countersign_auth::scheme::digest::nonce::Nonces;
use countersign_auth::scheme::digest::response::User;
use countersign_auth::source::Source;
use countersign_auth::time::Time;

use super::nobody::nobodys_bucket;
use super::{Core, Service};
use crate::equivalents::NOBODY;
use crate::lockout::{Bucket, Verdict};

impl Core {
    /// The number of the account that a user names; nobody's if there is none.
    fn whom(&self, claim: DigestClaim<'_>) -> u64 {
        let found = match claim.user {
            User::Named(name) => self.directory.number_of(claim.kind, name),
            User::Hashed(digits) => Hashed::parse(claim.hash, digits)
                .and_then(|hashed| self.equivalents.user_hashed(claim.kind, &hashed)),
        };
        found.unwrap_or(NOBODY)
    }

    fn secret(&self, claim: DigestClaim<'_>) -> DigestSecret {
        // Made for everybody, and used for nobody: whoever is unknown costs what a wrong password costs. So do the
        // look-ups: what is kept under nobody's number is as much as of an account.
        let parts = [claim.kind, claim.user.text(), claim.realm];
        let unknown = derive(&self.derivation_key, "digest nobody", &parts, claim.hash.bytes() + 8);
        let (bucket, unknown) = unknown.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let unknown =
            Ha1::kept(claim.hash, unknown).unwrap_or_else(|| Ha1::of(claim.hash, "", claim.realm, ""));
        // The account before what is kept of it: a new password's hashes are never found beside an old account.
        let number = self.whom(claim);
        let found = self.directory.find(number);
        let entry = found.as_ref().unwrap_or(&self.nobody);
        let kept = self.equivalents.of(number);
        let kept_or_nobodys = kept.clone().or_else(|| self.equivalents.of(NOBODY));
        let ha1 = kept_or_nobodys.as_ref().and_then(|kept| kept.ha1(claim.realm, claim.hash));
        let account = Arc::clone(&entry.account);
        let why_not = match (&found, &kept, ha1) {
            (None, _, _) => Some("no such user"),
            (Some(_), None, _) => Some("the account did not opt in to digest"),
            (Some(_), Some(_), None) => {
                Some("nothing is kept of the account's password for this realm and algorithm; set it again")
            }
            (Some(entry), Some(_), Some(_)) => entry.disabled.then_some("the account is disabled"),
        };
        let ha1 = ha1.unwrap_or(&unknown).clone();
        match why_not {
            Some(cause) => DigestSecret {
                ha1: unknown,
                whose: DigestHolder::Nobody(cause),
                bucket: nobodys_bucket(*bucket),
            },
            None if entry.password_due => {
                DigestSecret { ha1, whose: DigestHolder::Due(account), bucket: number }
            }
            None => DigestSecret { ha1, whose: DigestHolder::Account(account), bucket: number },
        }
    }

    fn digest_bucket(&self, secret: &DigestSecret, address: IpAddr) -> Bucket {
        self.lockout.bucket(secret.bucket, address)
    }
}

impl Digests for Service {
    fn nonces(&self) -> &Nonces {
        &self.core.nonces
    }

    fn find(&self, claim: DigestClaim<'_>) -> DigestSecret {
        self.core.secret(claim)
    }

    fn admits(&self, secret: &DigestSecret, address: IpAddr, now: Time) -> Attempt {
        let lockout = &self.core.lockout;
        if lockout.addresses.is_spent(address, now) {
            return Attempt::TooMany;
        }
        if lockout.is_locked(secret.bucket, Source::of(address), now) {
            Attempt::Locked
        } else {
            Attempt::Open
        }
    }

    fn failed(&self, secret: &DigestSecret, address: IpAddr, now: Time, attempt: Attempt) {
        let core = &self.core;
        // Others may have used it up meanwhile: then it is.
        let _spent = core.lockout.addresses.begin(address, now);
        if attempt != Attempt::Open {
            return;
        }
        if core.lockout.failed(core.digest_bucket(secret, address), now) == Verdict::NowLocked
            && let Some(entry) = core.directory.find(secret.bucket)
        {
            core.note_lock(&entry.account, address, now);
        }
    }

    fn succeeded(&self, secret: &DigestSecret, address: IpAddr, now: Time) {
        self.core.lockout.succeeded(self.core.digest_bucket(secret, address), address, now);
    }
}
