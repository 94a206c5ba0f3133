//! Accounts, sessions, tokens and keys: who holds what, and where that is kept.
//!
//! [`Service`](service::Service) implements the ports of `countersign-auth`: `Lookups`, `Operations`,
//! `Signer` and `Objects`. It answers from memory, keeps the truth in a [`Store`](store::Store), and sees no proxied traffic.
//! [`world`] holds the real clock and the real randomness.
//!
//! Whoever implements `Lookups` or `Negotiation` can forge any identity. Here that is `service/lookups.rs`, over
//! `service/passwords.rs`, `tokens.rs` and `values.rs`, and `service/negotiation.rs`. Whoever implements `Objects` can give any object away: that is
//! `service/objects.rs`, over `objects.rs`.

pub mod accounts;
pub mod audit;
pub mod directory;
pub mod equivalents;
pub mod issuers;
pub mod keys;
pub mod lockout;
pub mod negotiation;
pub mod objects;
pub mod outbound;
pub mod password;
mod proofs;
mod rcu;
pub mod service;
pub mod signing;
pub mod store;
pub mod tls;
mod tokens;
mod turns;
mod values;
pub mod world;
