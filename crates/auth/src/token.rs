//! What the gate issues and later looks up: sessions, tickets, access and refresh tokens, keys.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, digest};
use smallvec::SmallVec;

use crate::account::Account;
use crate::form::Form;
use crate::time::Time;

/// The name under which an issued token is kept: SHA-256 over API, token word and value.
///
/// API and word are inside, so that a token of one API, or a ticket shown as a session, is simply not found.
/// Nothing else of a token's value is stored anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    /// The digest of `value`, issued as `word` (a `[token.WORD]` of the dialect) by the API `api`.
    pub fn of(api: &str, word: &str, value: &str) -> Self {
        // In one piece: a context that is fed part by part costs more than the hash.
        let mut message: SmallVec<[u8; 128]> = SmallVec::new();
        for part in [api, word] {
            message.extend_from_slice(part.as_bytes());
            message.push(0);
        }
        message.extend_from_slice(value.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, &message).as_ref());
        Self(bytes)
    }

    /// The public reference of the token: it names it in lists and logs, and opens nothing.
    pub fn reference(&self) -> TokenRef {
        let mut context = Context::new(&SHA256);
        context.update(b"countersign token reference");
        context.update(&self.0);
        let mut bytes = [0; 12];
        for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        TokenRef(bytes)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenDigest([secret], ref {})", self.reference())
    }
}

/// A public name of an issued token: 24 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenRef(pub [u8; 12]);

impl TokenRef {
    /// Reads the 24 hexadecimal digits that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let mut bytes = [0; 12];
        if text.len() != 24 {
            return None;
        }
        for (to, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for TokenRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenRef({self})")
    }
}

/// What kind of thing a `[token.WORD]` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Live state: owns a CSRF token and channels; ends by idleness, by time or by logout.
    Session,
    /// Ends by time or by logout.
    Access,
    /// Used once, to be issued anew.
    Refresh,
    /// Managed by the key operations.
    Key,
    /// A value that an operator set.
    Shared,
    /// A JWT that the gate signs; it is not stored.
    Jwt,
}

impl TokenKind {
    /// The kinds, as dialects call them.
    pub(crate) const NAMED: [(&str, Self); 6] = [
        ("session", Self::Session),
        ("access", Self::Access),
        ("refresh", Self::Refresh),
        ("key", Self::Key),
        ("shared", Self::Shared),
        ("jwt", Self::Jwt),
    ];

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    /// What ends tokens of this kind, or bounds their number, where a setting of that name (`lifetime`, `per_account`) says
    /// nothing of them; for people.
    pub fn does_not_heed(self, setting: &str) -> Option<&'static str> {
        match (self, setting) {
            (Self::Session | Self::Access | Self::Refresh, _)
            | (Self::Jwt, "lifetime" | "proof_lifetime") => None,
            (Self::Jwt, _) => Some("a signed token is not stored, and ends with its `lifetime` alone"),
            (Self::Key, _) => {
                Some("give each key an end when it is made, like `countersign key create --lifetime 90d`")
            }
            (Self::Shared, _) => Some("it is good until the operator sets another"),
        }
    }
}

/// How a token of one word is to be made. Lifetimes are those of the dialect after the API's own settings.
#[derive(Clone, Debug)]
pub struct TokenPlan {
    /// The `[token.WORD]`.
    pub word: Arc<str>,
    /// Its kind.
    pub kind: TokenKind,
    /// What a value looks like.
    pub form: Arc<Form>,
    /// What its second half looks like, where the credential is a pair. It is derived from the first half.
    pub second: Option<Arc<Form>>,
    /// Ends so long after its last use.
    pub idle: Option<Duration>,
    /// Ends so long after it was issued, whatever happens.
    pub lifetime: Option<Duration>,
    /// Renewals never reach further than this after the last real proof.
    pub proof_lifetime: Option<Duration>,
    /// How many of one account may live at once, in one API.
    pub per_account: Option<u32>,
    /// What happens to the one that is too many.
    pub at_limit: AtLimit,
}

/// What happens when an account holds as many tokens of a word as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// The new one is refused.
    Refuse,
    /// The earliest ends.
    EndOldest,
}

/// A live token as the identity service found it.
#[derive(Clone, Debug)]
pub struct LiveToken {
    /// Its digest.
    pub digest: TokenDigest,
    /// Whose it is; `None` for an anonymous session.
    pub account: Option<Arc<Account>>,
    /// When it was issued.
    pub issued_at: Time,
    /// When it ends if it is not used again; `None` for a key that never does.
    pub expires_at: Option<Time>,
    /// When its holder last proved who he is (renewals keep this).
    pub proven_at: Time,
}
