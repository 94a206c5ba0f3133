//! Where truth is kept: the one view that the service has of a database.
//!
//! A store is small on purpose: it applies lists of [`Change`]s, each list whole or not at all, and reads rows
//! back. What a change *means* (whose sessions end, which refresh token is spent) is decided by the service, so
//! that two stores cannot differ in it. Both stores pass the one suite in `store/conformance.rs`.

#[cfg(test)]
pub(crate) mod conformance;
pub mod sqlite;
pub mod switchable;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use countersign_auth::token::TokenKind;

use crate::equivalents::WeakerScheme;

/// What a store answers with, some time later.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The rows contradict what is there: a name is taken, a row to be changed is gone. Nothing was written.
    #[error("{0}")]
    Conflict(&'static str),
    /// Another process works with it.
    #[error("another process has the database file open")]
    Taken,
    /// The store cannot be reached, or is full, or failed.
    #[error("could not reach the store: {0}")]
    Down(String),
    /// A row cannot be understood.
    #[error("could not read a row of the store: {0}")]
    Corrupt(String),
}

/// An account as it is kept. Moments are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its number, never used again.
    pub id: i64,
    /// Which accounts it is one of.
    pub kind: String,
    /// The name as it was given.
    pub name: String,
    /// The name in ASCII lower case; unique within the kind.
    pub name_folded: String,
    /// What upstreams are told; unique within the kind.
    pub subject: String,
    /// For people to read.
    pub full_name: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// May be empty.
    pub email: String,
    /// The company on whose behalf it acts.
    pub tenant: Option<String>,
    /// Roles: a JSON array of strings.
    pub roles: String,
    /// Verified keys: a JSON object of strings.
    pub keys: String,
    /// Argon2id in PHC form; `None` if no password is set.
    pub password_hash: Option<String>,
    /// The password is to be changed before it is good for anything else.
    pub password_due: bool,
    /// Nobody may act as this account.
    pub disabled: bool,
    /// Proofs made before this moment no longer count.
    pub proofs_from: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// A token as it is kept. Moments are whole seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// SHA-256 over API, word and value.
    pub digest: [u8; 32],
    /// The API that issued it.
    pub api: Arc<str>,
    /// Its `[token.WORD]`.
    pub word: Arc<str>,
    /// Its kind.
    pub kind: TokenKind,
    /// Whose it is; 0 if anonymous.
    pub account: u64,
    /// When it was issued.
    pub issued_at: i64,
    /// When it was last used (coarse); for a spent refresh token, when it was spent.
    pub used_at: i64,
    /// Ends so many seconds after its last use; 0 for never.
    pub idle_secs: u32,
    /// Ends then, whatever happens.
    pub ends_at: Option<i64>,
    /// When its holder last proved who he is.
    pub proven_at: i64,
    /// The refresh family that it was issued with; 0 for none.
    pub family: u64,
    /// It is a refresh token that has been used.
    pub spent: bool,
}

/// An API key as it is kept. Moments are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its public id; stays when the value is rotated.
    pub id: [u8; 12],
    /// The digest of its value.
    pub digest: [u8; 32],
    /// The API that made it.
    pub api: Arc<str>,
    /// Its `[token.WORD]`.
    pub word: Arc<str>,
    /// The application that it belongs to.
    pub account: u64,
    /// What its maker wrote.
    pub label: String,
    /// What its maker wrote.
    pub description: String,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
}

/// What an operator set and what is only ever compared: an HMAC under the derivation key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRow {
    /// What it is for.
    pub purpose: ValuePurpose,
    /// The API at which it counts.
    pub api: String,
    /// The `[token.WORD]`; empty for an application's secret.
    pub word: String,
    /// The account that its holders act as, or the application.
    pub account: u64,
    /// HMAC-SHA-256 of the value.
    pub mac: [u8; 32],
}

/// What an operator-set value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValuePurpose {
    /// A `shared` token of a dialect.
    Shared,
    /// The secret of an application.
    Application,
    /// Whose account it is of the people of a directory: the directory in place of the API, the kind in place of
    /// the word, the directory's identifier as value.
    Directory,
}

/// What a named service keeps about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteRow {
    /// Whose note it is: a service of an API.
    pub service: String,
    /// About whom.
    pub account: u64,
    /// What the service wrote.
    pub text: String,
}

/// A key that the gate signs with, as it is kept. Moments are milliseconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// `kid`.
    pub id: String,
    /// What it signs: `assertion` or `token`.
    pub purpose: String,
    /// `EdDSA`, `ES256` or `RS256`.
    pub algorithm: String,
    /// The private key, PKCS#8. In clear: the database file is readable by its owner only.
    pub pkcs8: Vec<u8>,
    /// `next`, `active` or `retired`.
    pub state: String,
    /// When it came into this state.
    pub since: i64,
}

impl std::fmt::Debug for SigningKeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKeyRow({} {} {}, [secret])", self.purpose, self.state, self.id)
    }
}

/// What a weaker scheme needs of an account's password, as it is kept. The row is the switch: an account without one
/// did not opt in.
#[derive(Clone, PartialEq, Eq)]
pub struct EquivalentRow {
    /// Whose.
    pub account: u64,
    /// For which scheme.
    pub scheme: WeakerScheme,
    /// Sealed with a key that is not in the store.
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for EquivalentRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EquivalentRow({} of {}, [secret])", self.scheme.name(), self.account)
    }
}

/// An object of a service as it is kept. Moments are milliseconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// The API whose service has it.
    pub api: String,
    /// Its kind there.
    pub kind: String,
    /// What the service calls it; unique within API and kind.
    pub id: String,
    /// Whose it is, as `key=value`; `None`: of whoever holds the reference.
    pub owner: Option<String>,
    /// The tenant that its owner must act for.
    pub tenant: Option<String>,
    /// What was drawn for its reference.
    pub random: [u8; 16],
    /// The digest of its reference; unique.
    pub reference: [u8; 32],
    /// It is over then.
    pub ends_at: Option<i64>,
}

impl std::fmt::Debug for ObjectRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { api, kind, id, owner, tenant, ends_at, .. } = self;
        write!(f, "ObjectRow({api} {kind} {id} of {owner:?} {tenant:?} until {ends_at:?}, [secret])")
    }
}

/// Something that happened, for people to read later. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
    /// Who did it.
    pub actor: String,
    /// What it was.
    pub event: String,
    /// To what.
    pub object: String,
    /// From where; empty for the gate itself.
    pub address: String,
}

/// One change of the truth.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new account; a conflict if its number, name or subject is taken.
    InsertAccount(Box<AccountRow>),
    /// Another state of an account; a conflict if it is gone or the name or subject is taken.
    UpdateAccount(Box<AccountRow>),
    /// An account goes, and all tokens, keys, values, notes and password-equivalents with it.
    DeleteAccount(u64),
    /// Tokens come, or take another state.
    PutTokens(Vec<TokenRow>),
    /// Tokens were used: digest and second of use. Those that are gone stay gone.
    TouchTokens(Vec<([u8; 32], i64)>),
    /// A refresh token was spent; keeps the moment of the first time.
    SpendToken([u8; 32], i64),
    /// Tokens end.
    DeleteTokens(Vec<[u8; 32]>),
    /// All tokens of an account end, but for one.
    DeleteTokensOf {
        /// Whose.
        account: u64,
        /// Which one stays.
        keep: Option<[u8; 32]>,
    },
    /// An API key comes, or takes another state.
    PutKey(Box<KeyRow>),
    /// An API key goes.
    DeleteKey([u8; 12]),
    /// A value is set, in place of what that account had for that purpose, API and word.
    PutValue(ValueRow),
    /// Such a value goes: purpose, API, word, account.
    DeleteValue(ValuePurpose, String, String, u64),
    /// What a weaker scheme needs is kept, in place of what that account had for that scheme.
    PutEquivalent(EquivalentRow),
    /// All password-equivalents of an account go.
    DeleteEquivalents(u64),
    /// A service notes something about an account, in place of what it had noted.
    PutNote(NoteRow),
    /// Such a note goes: service, account.
    DeleteNote(String, u64),
    /// A signing key comes, or takes another state.
    PutSigningKey(SigningKeyRow),
    /// A signing key goes.
    DeleteSigningKey(String),
    /// Objects are known from now (the second value) on. One that is known already stays as it is, unless it is
    /// over then.
    BindObjects(Vec<ObjectRow>, i64),
    /// An object takes the owner and tenant of the row, if it has none and is not over now (the second value); then
    /// it has no end either. Nothing else of the row counts.
    ClaimObject(ObjectRow, i64),
    /// An object comes, or takes another owner, tenant and end; its reference stays.
    PutObject(ObjectRow),
    /// An object is forgotten: API, kind, id.
    DeleteObject(String, String, String),
    /// What was over then is forgotten.
    DeleteObjectsOver(i64),
    /// Something happened.
    Audit(AuditRow),
    /// A named value of the service itself.
    PutMeta(&'static str, Vec<u8>),
}

/// A place where truth is kept.
///
/// Calls of [`Store::write`] take effect in the order in which they were *made*, not awaited: the service makes
/// them under one lock. A write goes on when its future is dropped.
pub trait Store: Send + Sync {
    /// Applies all changes or none; safe on disk when the future answers.
    fn write(&self, changes: Vec<Change>) -> StoreFuture<()>;

    /// Whether the last write that was tried could not be made; a conflict is no such failure.
    fn is_failing(&self) -> bool;

    /// Whether it is a file, and another one or none is in its place by now: what is written reaches nobody who opens it later.
    fn is_displaced(&self) -> bool {
        false
    }

    /// A named value of the service itself.
    fn meta(&self, name: &'static str) -> StoreFuture<Option<Vec<u8>>>;

    /// All accounts.
    fn accounts(&self) -> StoreFuture<Vec<AccountRow>>;

    /// Up to `limit` tokens in a fixed order, after the place that the last page ended at (0 for the first);
    /// the second value is the place that this page ends at: where the last one did if there are no more. Rows that cannot be
    /// read are passed over.
    fn tokens(&self, after: i64, limit: u32) -> StoreFuture<(Vec<TokenRow>, i64)>;

    /// How many tokens there are, or nearly: for whoever makes room for all of them.
    fn token_count(&self) -> StoreFuture<u64>;

    /// One token.
    fn token(&self, digest: [u8; 32]) -> StoreFuture<Option<TokenRow>>;

    /// All API keys.
    fn keys(&self) -> StoreFuture<Vec<KeyRow>>;

    /// All operator-set values.
    fn values(&self) -> StoreFuture<Vec<ValueRow>>;

    /// All password-equivalents.
    fn equivalents(&self) -> StoreFuture<Vec<EquivalentRow>>;

    /// All notes of a service.
    fn notes(&self, service: String) -> StoreFuture<Vec<NoteRow>>;

    /// All signing keys.
    fn signing_keys(&self) -> StoreFuture<Vec<SigningKeyRow>>;

    /// An object by API, kind and id.
    fn object(&self, api: String, kind: String, id: String) -> StoreFuture<Option<ObjectRow>>;

    /// An object by the digest of its reference.
    fn object_of_reference(&self, digest: [u8; 32]) -> StoreFuture<Option<ObjectRow>>;

    /// The newest `limit` audit rows, newest first.
    fn audit(&self, limit: u32) -> StoreFuture<Vec<AuditRow>>;

    /// Finishes what was begun and lets go.
    fn close(&self) -> StoreFuture<()>;
}
