//! Accounts, sessions, tokens and keys: who holds what, and where that is kept.
pub mod accounts;
pub mod lockout;
pub mod password;
pub mod store;
mod tokens;
pub mod world;
