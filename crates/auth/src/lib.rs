//! The rules of the gate, without a wire.
//!
//! Five nouns, each the receipt for a step: a [`Credential`](credential::Credential) was *recognized* in a
//! request, an [`Identity`](identity::Identity) was *authenticated* from it, a [`Permit`](policy::Permit) was
//! *authorized* for it, an [`Assertion`](assertion::Assertion) tells the upstream of it, and a
//! [`Refusal`](refusal::Refusal) says why any of them is not to be had. `Identity`, `Permit` and `Assertion`
//! have private fields and one crate-private constructor each.
//!
//! The crate reads no clock, no socket, no file and draws no random bits: whatever it needs of the world comes
//! in through [`port`].

pub mod account;
pub mod api;
pub mod assertion;
pub mod authenticate;
mod cache_control;
pub mod canonical;
pub mod causes;
pub mod cookie;
pub mod credential;
mod csrf;
pub mod date;
pub mod derive;
pub mod dialect;
pub mod fields;
pub mod form;
pub mod identity;
pub mod intake;
pub mod json;
pub mod link;
mod loggable;
pub mod media;
pub mod objects;
pub mod page;
mod pattern_variables;
pub mod policy;
pub mod port;
pub mod recognize;
pub mod refusal;
pub mod render;
pub mod scheme;
pub mod secret;
pub mod serve;
pub mod source;
pub mod stamp;
pub mod time;
pub mod token;
mod values;
