//! API keys, as their operations speak of them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::account::Account;
use crate::secret::Secret;
use crate::time::Time;
use crate::token::{TokenDigest, TokenRef};

/// An API key without its value.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// Its public id.
    pub id: TokenRef,
    /// The name of the application that it belongs to.
    pub owner: String,
    /// What its maker wrote.
    pub label: String,
    /// What its maker wrote.
    pub description: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// When it ends; `None` if it never does.
    pub expires_at: Option<Time>,
}

/// What a key is to be like; `None` leaves a part as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// New label.
    pub label: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New end; `Some(None)` for never.
    pub expires_at: Option<Option<Time>>,
}

/// Which key a call is about: its public id or its value.
#[derive(Debug)]
pub enum KeyName {
    /// By id.
    Id(TokenRef),
    /// By value.
    Digest(TokenDigest),
}

/// What became of a key operation.
#[derive(Debug)]
pub enum KeyAnswer {
    /// Done; the value only when one was made.
    Done(KeyInfo, Option<Secret>),
    /// The application has as many keys as it may.
    AtLimit,
    /// The caller, or all callers, have too many changes of keys under way: come back later.
    TooMany,
    /// No such key, owner or application, or not the caller's to touch.
    NotFound,
}

/// Who calls a key operation, and so whose keys he may touch: an application its own, a user with the
/// administrator's role all of the API's, another user those of the applications of his tenant.
#[derive(Clone, Debug)]
pub struct KeyCaller {
    /// His account.
    pub account: Arc<Account>,
    /// From where he calls.
    pub address: IpAddr,
    /// By which API.
    pub api: Arc<str>,
    /// Which key word of its dialect.
    pub word: Arc<str>,
}
