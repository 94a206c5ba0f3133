//! What the rules need of the world: look-ups, operations, keys.
//!
//! Whoever implements [`Lookups`] says who holds which token and whose password it is, and could so forge any
//! identity: those few files are named in ARCHITECTURE and reviewed as such. Each look-up that a request can
//! meet has two faces: one that answers from memory and never waits, and one that may ask a store. An error
//! of the second is always [`Unavailable`], a 503: what could not be checked is neither a pass nor a wrong
//! password.

pub mod digest;
pub mod foreign;
pub mod keys;
pub mod negotiation;
pub mod objects;
pub mod services;
pub mod strangers;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::account::{Account, AccountId, Live};
use crate::authenticate::word::IssuersWord;
use crate::derive::DerivationKey;
use crate::port::digest::Digests;
use crate::port::keys::{KeyAnswer, KeyCaller, KeyChange, KeyInfo, KeyName};
use crate::scheme::jwt::VerifyingKey;
use crate::secret::Secret;
use crate::time::Time;
use crate::token::{LiveToken, TokenDigest, TokenKind, TokenPlan, TokenRef};

/// A future that another runtime may complete.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What had to be asked could not be; the text is for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// What a look-up of a token found.
#[derive(Clone, Debug)]
pub enum TokenAnswer {
    /// It lives.
    Live(LiveToken),
    /// It was good once and its time has passed.
    Expired,
    /// No such token, or one that was revoked.
    Unknown,
}

/// What memory says.
#[derive(Clone, Debug)]
pub enum AtHand<T> {
    /// The answer, for certain.
    Known(T),
    /// Memory cannot tell; ask the slower face.
    Ask,
}

/// A user and a password that somebody presents.
#[derive(Debug)]
pub struct PasswordClaim {
    /// The API at which it is presented.
    pub api: Arc<str>,
    /// Which accounts it is about (`users`, `clients`, ...).
    pub kind: Arc<str>,
    /// The user as sent.
    pub user: String,
    /// The password as sent.
    pub password: Secret,
    /// Identity provider, where the call names one.
    pub provider: Option<String>,
    /// Domain of that provider.
    pub domain: Option<String>,
    /// Tenant, where the call names one.
    pub tenant: Option<String>,
    /// Where it comes from; failures count against it as well.
    pub address: IpAddr,
}

/// What became of a password. Clients see one answer for all that would reveal an account.
#[derive(Clone, Debug)]
pub enum PasswordAnswer {
    /// It is right.
    Proven(Arc<Account>),
    /// It is right, says a directory that knows the account; for how long that may be remembered.
    ProvenElsewhere(Arc<Account>, Duration),
    /// It is right, but has to be changed before it is good for anything else.
    Due(Arc<Account>),
    /// Refused. For the log alone: whether the user is unknown, locked, disabled, or the password wrong, and whose account it
    /// would be, where somebody has it.
    Refused(&'static str, Option<Arc<Account>>),
    /// No such provider or domain.
    BadProvider,
    /// The limits on unverified work are reached: come back later.
    TooMany,
}

/// A key that proofs are remembered under: a keyed hash of the whole credential, its scheme and its API.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProofKey(pub [u8; 32]);

/// A proof that was verified: valid while its account and its keys are live and its time has not come.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Whose.
    pub account: Arc<Account>,
    /// When the proof was made (a token's `iat`, or the moment of verification).
    pub proven_at: Time,
    /// Not to be used from then on.
    pub until: Time,
    /// Those of the issuers' keys by which it was verified, if it was by keys: it ends with each of them.
    pub keys: SmallVec<[Live; 1]>,
    /// What it is from then on.
    pub after: After,
}

/// What a verified proof is when its time has come.
#[derive(Clone, Debug)]
pub enum After {
    /// As good as before, but to be verified anew.
    Unverified,
    /// Over: it says itself how long it is good.
    Over,
    /// Whatever its issuer says of it then, who has said this so far.
    Asked(Arc<IssuersWord>),
}

/// What a remembered proof still says.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// Whose.
    pub account: Arc<Account>,
    /// When the proof was made.
    pub proven_at: Time,
    /// Not to be used from then on.
    pub until: Time,
    /// What it is from then on.
    pub after: After,
}

/// A public key that tokens of an issuer may be signed with; the key decides the algorithm.
pub struct IssuerKey {
    /// `kid`, where it has one.
    pub id: Option<String>,
    /// The key itself, with the one algorithm that it is used with.
    pub key: VerifyingKey,
}

/// All active keys of an issuer.
pub struct IssuerKeys {
    /// In no order.
    pub keys: Vec<IssuerKey>,
    /// Whether the gate itself is the issuer: then the subject names an account of the gate.
    pub ours: bool,
}

impl IssuerKeys {
    /// Takes the place of an older set of the issuer's: what was verified by keys that are in both, by the same name,
    /// stays good. The others are for [`IssuerKeys::fall`] once this set is in use.
    pub fn follow(&mut self, older: &Self) {
        for key in &mut self.keys {
            let mut same_name = older.keys.iter().filter(|old| old.id == key.id);
            let _follows = same_name.any(|old| key.key.follow(&old.key));
        }
    }

    /// Ends what was verified by keys that are not in `newer`, or by all if there is no newer set.
    pub fn fall(&self, newer: Option<&Self>) {
        let stays = |old: &IssuerKey| {
            newer.is_some_and(|newer| newer.keys.iter().any(|key| key.key.live().is(old.key.live())))
        };
        for key in self.keys.iter().filter(|key| !stays(key)) {
            key.key.live().fall();
        }
    }
}

/// Who holds what. See the module's words about who may implement it.
pub trait Lookups: foreign::Foreign {
    /// Looks a token up in memory, and notes that it was used.
    fn token(&self, digest: &TokenDigest, now: Time) -> AtHand<TokenAnswer>;

    /// Looks a token up wherever it is kept.
    fn find_token(&self, digest: TokenDigest, now: Time) -> Answer<Result<TokenAnswer, Unavailable>>;

    /// Whether a token that was live was ended: it was revoked, or nobody may act as its account any more, or its time has
    /// been over for so long that nothing is known of it. Asked about what it opened, on every beat, so it does not wait
    /// and counts as no use. What memory cannot tell just now has not ended.
    fn has_ended(&self, digest: &TokenDigest) -> bool;

    /// Whether the time of a token that is known was over at a moment; asked as [`has_ended`](Self::has_ended) is.
    fn has_expired(&self, digest: &TokenDigest, at: Time) -> bool;

    /// Checks a password: one KDF run, whoever the user is; counts failures.
    fn check_password(&self, claim: PasswordClaim, now: Time) -> Answer<Result<PasswordAnswer, Unavailable>>;

    /// A proof that was verified before and still holds; never waits.
    fn recall(&self, key: &ProofKey, now: Time) -> Option<Remembered>;

    /// A password that was verified before and still holds, unless failed attempts have locked its account for proofs from
    /// an address: then it is a proof like any other, so that whoever guesses on learns nothing from the one that is right
    /// (T-D4). Otherwise the account is known to be proven there from now on (T-D5). Never waits.
    fn recall_at(&self, key: &ProofKey, address: IpAddr, now: Time) -> Option<Remembered>;

    /// Whether failed attempts on an account have locked it for proofs from an address; never waits.
    fn is_locked(&self, account: AccountId, address: IpAddr, now: Time) -> bool;

    /// Remembers a verified proof, within bounds, and no longer than the clock goes on from `now`.
    fn remember(&self, key: ProofKey, proof: Verified, now: Time);

    /// The secret that proof keys and CSRF tokens are derived with.
    fn derivation_key(&self) -> &DerivationKey;

    /// The keys of an issuer of JWTs, as one API knows it; `None` if it is not known there.
    fn issuer_keys(&self, api: &str, issuer: &str) -> Result<Option<Arc<IssuerKeys>>, Unavailable>;

    /// An account of the gate by its number, if it is enabled; from memory.
    fn account_by_number(&self, id: AccountId) -> Option<Arc<Account>>;

    /// An account of the gate by kind and subject, if it is enabled; from memory.
    fn account_by_subject(&self, kind: &str, subject: &str) -> Option<Arc<Account>>;

    /// The account that stands for the holders of a value that an operator set, if it was set and is equal.
    /// Compared in constant time; a wrong one counts as a failure of the address.
    fn shared_value(&self, api: &str, word: &str, value: &str, address: IpAddr, now: Time) -> SharedAnswer;

    /// Whether `secret` is the secret of an enabled application that may speak for this API; counts failures as well.
    fn application_secret(&self, api: &str, secret: &str, address: IpAddr, now: Time) -> ApplicationAnswer;

    /// What Digest is checked with; `None` where nothing is kept that it could be: then it is 503-class.
    fn digests(&self) -> Option<&dyn Digests> {
        None
    }
}

/// What became of an operator-set value.
#[derive(Clone, Debug)]
pub enum SharedAnswer {
    /// It is the value that was set.
    Right(Arc<Account>),
    /// Another value was set.
    Wrong,
    /// None was set, so that nothing can be right.
    NotSet,
    /// The address has failed too often: not compared.
    TooMany,
}

/// What became of an application's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationAnswer {
    /// An enabled application has it.
    Right,
    /// None has it.
    Wrong,
    /// The address has failed too often: not compared.
    TooMany,
}

/// Tokens to be issued together, for one holder.
#[derive(Debug)]
pub struct Issue {
    /// By which API.
    pub api: Arc<str>,
    /// For whom; `None` for an anonymous session.
    pub account: Option<Arc<Account>>,
    /// When he proved who he is.
    pub proven_at: Time,
    /// What to issue.
    pub plans: Vec<TokenPlan>,
    /// The refresh token that pays for it: spent by this call, or nothing is issued. Its word comes with it.
    pub spends: Option<(Arc<str>, Secret)>,
    /// The token that it is asked with, if it is one and not the refresh token that pays: what is issued ends with it, and
    /// no later than it ends at the latest; nothing is issued if it has ended.
    pub on: Option<TokenDigest>,
    /// The session that the caller held before: it ends, so that nobody goes on with an id that was known
    /// before the proof (T-E1).
    pub replaces: Option<TokenDigest>,
    /// From where it was asked.
    pub address: IpAddr,
}

/// A session to be opened for a caller who came without one.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'o> {
    /// At which API.
    pub api: &'o Arc<str>,
    /// For whom; `None` for an anonymous session.
    pub account: Option<&'o Arc<Account>>,
    /// What to open.
    pub plan: &'o TokenPlan,
    /// When he proved who he is.
    pub proven_at: Time,
    /// The token that proved it, if one did: the session ends with it.
    pub on: Option<TokenDigest>,
    /// From where he comes.
    pub address: IpAddr,
}

/// A token that was issued. The value is known to nobody else, and not kept.
#[derive(Debug)]
pub struct Issued {
    /// Its word.
    pub word: Arc<str>,
    /// Its value.
    pub value: Secret,
    /// Its second half, if it is a pair.
    pub second: Option<Secret>,
    /// Its public name.
    pub reference: TokenRef,
    /// When it was issued.
    pub issued_at: Time,
    /// When it ends if it is never used.
    pub expires_at: Time,
}

/// What became of an order to issue.
#[derive(Debug)]
pub enum IssueAnswer {
    /// In the order of the plans.
    Issued(Vec<Issued>),
    /// The account holds as many as it may.
    AtLimit,
    /// The refresh token was spent before, has expired, or is unknown. A spent one took its family with it.
    Spent,
    /// The token that it was asked with has ended.
    Ended,
}

/// A token in a list, without its value.
#[derive(Clone, Debug)]
pub struct TokenInfo {
    /// Its public name.
    pub reference: TokenRef,
    /// Its API.
    pub api: Arc<str>,
    /// Its word.
    pub word: Arc<str>,
    /// Its kind.
    pub kind: TokenKind,
    /// The subject of its account; empty if anonymous.
    pub subject: String,
    /// When it was issued.
    pub issued_at: Time,
    /// When it ends if it is not used again.
    pub expires_at: Option<Time>,
}

/// What became of a change of password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordChange {
    /// Done; all sessions and tokens of the account have ended, but for the one given as kept.
    Done,
    /// The old password is wrong.
    WrongOld,
    /// The new one is too short, too long, too common, or the old one again; the text is for people.
    Unfit(&'static str),
    /// The limits on unverified work are reached, or another change of the account's password is under way.
    TooMany,
}

/// What endpoints of a dialect make happen. Nothing is acknowledged before it is safe in the store.
pub trait Operations: Send + Sync {
    /// Issues tokens.
    fn issue(&self, order: Issue, now: Time) -> Answer<Result<IssueAnswer, Unavailable>>;

    /// Opens a session without waiting for the store: it is written when it is first presented, and dies
    /// within five minutes if it never is. `None` if no more are to be had, or if the token has ended that it is opened on.
    fn open_session(&self, opening: &Opening<'_>, now: Time) -> Result<Option<Issued>, Unavailable>;

    /// Ends a token, and whatever hangs on it (the refresh family that it came with, what was issued on it, its channels).
    fn end(&self, digest: TokenDigest, now: Time) -> Answer<Result<(), Unavailable>>;

    /// Ends a token of the caller's by its public name, as a log-out does; false if there is none of his.
    fn end_named(&self, account: AccountId, name: TokenRef, now: Time) -> Answer<Result<bool, Unavailable>>;

    /// The live sessions of an account at one API.
    fn sessions(
        &self,
        account: AccountId,
        api: Arc<str>,
        now: Time,
    ) -> Answer<Result<Vec<TokenInfo>, Unavailable>>;

    /// Makes a key for the application `owner`.
    fn key_create(
        &self,
        caller: KeyCaller,
        owner: String,
        plan: TokenPlan,
        change: KeyChange,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>>;

    /// Lists keys, of one application or of all that the caller may see.
    fn key_list(
        &self,
        caller: KeyCaller,
        owner: Option<String>,
        now: Time,
    ) -> Answer<Result<Vec<KeyInfo>, Unavailable>>;

    /// Shows a key.
    fn key_show(&self, caller: KeyCaller, key: KeyName, now: Time) -> Answer<Result<KeyAnswer, Unavailable>>;

    /// Changes a key.
    fn key_update(
        &self,
        caller: KeyCaller,
        key: KeyName,
        change: KeyChange,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>>;

    /// Gives a key a new value; the old one is refused from then on.
    fn key_rotate(
        &self,
        caller: KeyCaller,
        key: KeyName,
        plan: TokenPlan,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>>;

    /// Deletes a key.
    fn key_delete(
        &self,
        caller: KeyCaller,
        key: KeyName,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>>;

    /// Changes a password. All tokens of the account end, but for `keep`.
    fn password_change(
        &self,
        claim: PasswordClaim,
        new: Secret,
        keep: Option<TokenDigest>,
        now: Time,
    ) -> Answer<Result<PasswordChange, Unavailable>>;
}

/// What a signature is for; each has keys of its own, so that one can never be taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// `Countersign-Assertion`, for upstreams.
    Assertion,
    /// Tokens for clients.
    Token,
}

/// Signs JWTs with the gate's own keys.
pub trait Signer: Send + Sync {
    /// The compact JWS over `claims` (a JSON object), with `kid`, `alg` and the given `typ` in its header.
    ///
    /// # Errors
    /// If there is no key to sign with.
    fn sign(&self, purpose: Purpose, typ: &'static str, claims: &[u8]) -> Result<String, Unavailable>;
}
