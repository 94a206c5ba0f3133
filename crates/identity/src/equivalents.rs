//! Password-equivalents: what weaker schemes need of a password beside its slow hash.
//!
//! Digest needs `H(user:realm:password)`, NTLM needs `MD4(password)`. Whoever has one of them logs in with it like
//! with the password, and guesses the password at billions a second. So they are kept only for accounts that opted
//! in, each scheme by itself; sealed with a key that is not in the database; marked in the audit and in every view
//! of the account; and gone as soon as the switch goes off or a password is set without it.
//!
//! ```text
//! row      account | scheme | sealed          the row is the switch: no row, not opted in
//! sealed   nonce[12] | AES-256-GCM(plain) | tag[16], bound to account and scheme
//! plain    digest: (hash u8 | realm length u16 | realm | HA1)*        ntlm: NT hash[16]
//! ```

mod plain;
mod seal;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use countersign_auth::port::Unavailable;
use countersign_auth::scheme::digest::hash::{DigestHash, Ha1, Hashed};
use countersign_auth::time::Random;
use countersign_negotiate::ntlm::NtHash;
use hashbrown::HashMap;

pub use self::seal::KeyPlace;
use self::seal::Sealer;
use crate::store::{Change, EquivalentRow, StoreError};

/// A scheme that a slow hash cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WeakerScheme {
    /// Digest, RFC 7616: one hash for each realm and hash function.
    Digest,
    /// NTLM: the NT hash.
    Ntlm,
}

impl WeakerScheme {
    /// All.
    pub const ALL: [Self; 2] = [Self::Digest, Self::Ntlm];

    /// Its name in the store, in the audit and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Ntlm => "ntlm",
        }
    }

    /// The scheme of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}

/// What is kept of one account.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// `None` if it did not opt in.
    pub(crate) digest: Option<Vec<KeptHa1>>,
    /// `None` if it did not opt in.
    pub(crate) nt_hash: Option<NtHash>,
}

/// A hash for Digest.
#[derive(Clone, Debug)]
pub(crate) struct KeptHa1 {
    pub(crate) realm: Arc<str>,
    pub(crate) ha1: Ha1,
}

impl Kept {
    fn schemes(&self) -> Vec<WeakerScheme> {
        let digest = self.digest.as_ref().map(|_| WeakerScheme::Digest);
        let ntlm = self.nt_hash.as_ref().map(|_| WeakerScheme::Ntlm);
        digest.into_iter().chain(ntlm).collect()
    }

    pub(crate) fn ha1(&self, realm: &str, hash: DigestHash) -> Option<&Ha1> {
        let all = self.digest.iter().flatten();
        all.filter(|kept| kept.ha1.hash() == hash).find(|kept| *kept.realm == *realm).map(|kept| &kept.ha1)
    }
}

/// Where Digest is spoken: accounts of this kind answer challenges of this realm.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Realm {
    kind: String,
    realm: Arc<str>,
    hash: DigestHash,
}

/// A `userhash` (RFC 7616 section 3.4.4), with the kind of account that it names.
type UserHash = (String, [u8; 32]);

/// No account has this number. What is kept under it proves nobody, and is as much as of an account.
pub(crate) const NOBODY: u64 = 0;

#[derive(Default)]
struct Known {
    accounts: HashMap<u64, Arc<Kept>>,
    user_hashes: HashMap<UserHash, u64>,
}

/// A change of what is kept: rows for the store, and what memory is to hold once they are safe.
pub(crate) struct Replacement {
    account: u64,
    kind: String,
    name: String,
    kept: Kept,
    /// For the store.
    pub(crate) changes: Vec<Change>,
}

impl Replacement {
    /// The schemes that something is kept for from then on.
    pub(crate) fn schemes(&self) -> Vec<WeakerScheme> {
        self.kept.schemes()
    }
}

/// All that is kept, in memory. See the module's words.
pub(crate) struct Equivalents {
    sealer: Sealer,
    realms: RwLock<Vec<Realm>>,
    known: RwLock<Known>,
}

impl Equivalents {
    /// Reads the rows of a store; `name_of` says kind and name of an account. A key that is made is for the owner of the store's
    /// file.
    ///
    /// # Errors
    /// If something is kept and the key that it was sealed with is not at hand: whoever goes on without it would
    /// refuse right passwords.
    pub(crate) fn load(
        (place, store): (KeyPlace, PathBuf),
        rows: Vec<EquivalentRow>,
        name_of: impl Fn(u64) -> Option<(String, String)>,
    ) -> Result<Self, StoreError> {
        let known = Known { accounts: [(NOBODY, nobodys(&[]))].into(), ..Known::default() };
        let equivalents =
            Self { sealer: Sealer::new(place, store), realms: RwLock::default(), known: RwLock::new(known) };
        let mut all: HashMap<u64, Kept> = HashMap::new();
        for row in rows {
            let plain = equivalents.sealer.open(&row)?;
            let kept = all.entry(row.account).or_default();
            match row.scheme {
                WeakerScheme::Digest => kept.digest = Some(plain::read_digest(&plain)?),
                WeakerScheme::Ntlm => kept.nt_hash = Some(plain::read_ntlm(&plain)?),
            }
        }
        for (account, kept) in all {
            if let Some((kind, name)) = name_of(account) {
                equivalents.put(Replacement { account, kind, name, kept, changes: Vec::new() });
            }
        }
        Ok(equivalents)
    }

    /// Says that accounts of a kind answer Digest challenges of a realm with this hash function. What is kept when a
    /// password is set, is what was declared before.
    pub(crate) fn declare(&self, kind: &str, realm: &str, hash: DigestHash) {
        let declared = Realm { kind: kind.to_owned(), realm: realm.into(), hash };
        let mut realms = self.realms.write().unwrap_or_else(PoisonError::into_inner);
        if !realms.contains(&declared) {
            realms.push(declared);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.accounts.insert(NOBODY, nobodys(&realms));
    }

    /// Whether what is kept is sealed with the key that its file holds.
    pub(crate) fn is_key_of_file(&self) -> bool {
        self.sealer.is_of_file()
    }

    /// What becomes of an account whose password is set: `schemes` is all that it opts in to. Without a password
    /// nothing is kept.
    ///
    /// # Errors
    /// If the key cannot be had.
    pub(crate) fn replacement(
        &self,
        account: u64,
        (kind, name): (&str, &str),
        password: Option<&str>,
        schemes: &[WeakerScheme],
        random: &dyn Random,
    ) -> Result<Replacement, Unavailable> {
        let wanted = |scheme| schemes.contains(&scheme);
        let mut kept = Kept::default();
        if let Some(password) = password {
            kept.digest = wanted(WeakerScheme::Digest).then(|| self.ha1s(kind, name, password));
            kept.nt_hash = wanted(WeakerScheme::Ntlm).then(|| NtHash::of_password(password));
        }
        self.sealed(account, (kind, name), kept, random)
    }

    /// What becomes of an account whose name changes and whose password does not: the NT hash does not depend on the
    /// name, Digest's hashes do and are gone.
    ///
    /// # Errors
    /// If the key cannot be had.
    pub(crate) fn renamed(
        &self,
        account: u64,
        names: (&str, &str),
        random: &dyn Random,
    ) -> Result<Replacement, Unavailable> {
        let kept = self.of(account);
        let hash = kept.as_ref().and_then(|kept| kept.nt_hash.as_ref());
        let nt_hash = hash.map(|hash| NtHash::from_bytes(*hash.expose()));
        self.sealed(account, names, Kept { digest: None, nt_hash }, random)
    }

    fn sealed(
        &self,
        account: u64,
        (kind, name): (&str, &str),
        kept: Kept,
        random: &dyn Random,
    ) -> Result<Replacement, Unavailable> {
        let mut changes = Vec::new();
        if self.of(account).is_some() {
            changes.push(Change::DeleteEquivalents(account));
        }
        let digest = kept.digest.as_deref().map(|all| (WeakerScheme::Digest, plain::write_digest(all)));
        let ntlm = kept.nt_hash.as_ref().map(|hash| (WeakerScheme::Ntlm, plain::write_ntlm(hash)));
        for (scheme, plain) in digest.into_iter().chain(ntlm) {
            changes.push(Change::PutEquivalent(self.sealer.seal(account, scheme, plain, random)?));
        }
        Ok(Replacement { account, kind: kind.to_owned(), name: name.to_owned(), kept, changes })
    }

    fn ha1s(&self, kind: &str, name: &str, password: &str) -> Vec<KeptHa1> {
        let realms = self.realms.read().unwrap_or_else(PoisonError::into_inner);
        let of_kind = realms.iter().filter(|realm| realm.kind == kind);
        of_kind
            .map(|Realm { realm, hash, .. }| KeptHa1 {
                realm: Arc::clone(realm),
                ha1: Ha1::of(*hash, name, realm, password),
            })
            .collect()
    }

    /// Lets memory follow the store; before the account's new copy is put into the directory, so that nobody finds
    /// the old hashes beside the new account.
    pub(crate) fn put(&self, replacement: Replacement) {
        let Replacement { account, kind, name, kept, changes: _ } = replacement;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.user_hashes.retain(|_, whose| *whose != account);
        if kept.schemes().is_empty() {
            known.accounts.remove(&account);
            return;
        }
        for KeptHa1 { realm, ha1 } in kept.digest.iter().flatten() {
            let hashed = user_hash(ha1.hash(), &name, realm);
            known.user_hashes.insert((kind.clone(), key_of(&hashed)), account);
        }
        known.accounts.insert(account, Arc::new(kept));
    }

    /// Forgets an account.
    pub(crate) fn remove(&self, account: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.user_hashes.retain(|_, whose| *whose != account);
        known.accounts.remove(&account);
    }

    /// What is kept of an account; `None` if it did not opt in to anything.
    pub(crate) fn of(&self, account: u64) -> Option<Arc<Kept>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).accounts.get(&account).cloned()
    }

    /// What an account opted in to.
    pub(crate) fn schemes(&self, account: u64) -> Vec<WeakerScheme> {
        self.of(account).map(|kept| kept.schemes()).unwrap_or_default()
    }

    /// The account of a kind that a `userhash` names.
    pub(crate) fn user_hashed(&self, kind: &str, hashed: &Hashed) -> Option<u64> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.user_hashes.get(&(kind.to_owned(), key_of(hashed))).copied()
    }
}

/// What nobody keeps, so that looking nobody up takes as long as looking somebody up.
fn nobodys(realms: &[Realm]) -> Arc<Kept> {
    let all = realms.iter().map(|Realm { realm, hash, .. }| KeptHa1 {
        realm: Arc::clone(realm),
        ha1: Ha1::of(*hash, "", realm, ""),
    });
    Arc::new(Kept { digest: Some(all.collect()), nt_hash: Some(NtHash::from_bytes([0; 16])) })
}

/// `H(user:realm)` (RFC 7616 section 3.4.4).
fn user_hash(hash: DigestHash, user: &str, realm: &str) -> Hashed {
    hash.joined(&[user.as_bytes(), realm.as_bytes()])
}

/// Shorter hashes end in zeros; a hash of one function is no hash of another.
fn key_of(hashed: &Hashed) -> [u8; 32] {
    let mut key = [0; 32];
    key.iter_mut().zip(hashed.as_bytes()).for_each(|(to, from)| *to = *from);
    key
}
