//! Accounts, sessions, tokens and keys: who holds what, and where that is kept.
pub mod store;
