//! A Bayeux 1.0 server without a wire: what CometD clients speak over long polling.
//!
//! [`Server`] takes the body of a request and the principal that sent it, and hands back the body of the answer, or
//! a [`Held`] connect that is answered later. It reads no clock, draws no random bits, opens no socket and does not
//! know who is asking: time comes as milliseconds of any monotonic clock, random bytes from a closure, and every
//! decision from an [`Authority`], which is asked with the principal.
//!
//! ```
//! use countersign_bayeux::{Act, Authority, Options, Principal, Received, Server};
//!
//! #[derive(Clone)]
//! struct User(u64);
//!
//! impl Principal for User {
//!     type Session = u64;
//!     type Account = u64;
//!     fn session(&self) -> u64 { self.0 }
//!     fn account(&self) -> u64 { self.0 }
//! }
//!
//! struct Everybody;
//!
//! impl Authority for Everybody {
//!     type Principal = User;
//!     fn may(&self, _who: &User, act: Act<'_>) -> bool { !matches!(act, Act::Publish(_)) }
//! }
//!
//! let random = |bytes: &mut [u8]| { bytes.fill(7); Ok(()) }; // Only in an example!
//! let server = Server::new(Options::default(), Everybody, random);
//! let body = br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
//! let Received::Greeting { answer, .. } = server.receive(&User(1), None, body, 0).unwrap() else { unreachable!() };
//! assert!(answer.contains(r#""successful":true"#));
//! ```
//!
//! # What it does
//! Handshake, connect, subscribe, unsubscribe, publish and disconnect, alone or in arrays; channels and the
//! wildcards `*` (one segment) and `**` (any number, at least one); advice; the acknowledge extension. The first
//! connect after a handshake is answered at once, later ones are held until there is an event, the hold time is
//! over, the client goes, or a newer connect of the same client takes its place. A held connect delays nothing: it is
//! state of the client and a waker.
//!
//! # What it does not
//! No callback polling (its answers are scripts that any page may load), no WebSocket, no publishing by somebody who
//! has not shaken hands.
//!
//! # Limits
//! Every client has a bounded queue. **A client whose queue is full is dropped**: an event stream with a hole in it
//! would be worse than an honest new start, so its next connect hears `402` and the advice to shake hands again. The
//! other limits are in [`Options`] and in [`limits`].

mod channel;
mod client;
mod held;
pub mod limits;
mod message;
mod meta;
mod reply;
mod server;
mod shard;

pub use channel::{Channel, ChannelError, Pattern};
pub use held::Held;
pub use message::BodyError;
pub use server::delivery::{PublishError, Published, To};
pub use server::{Options, Received, Server};

use std::hash::Hash;

/// The examples of the README, which are compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Who is asking, as far as this crate has to know.
pub trait Principal: Clone + Send + Sync + 'static {
    /// What ends together, usually a login session; clients are bound to it.
    type Session: Copy + Eq + Hash + Send + Sync + 'static;
    /// Who is spoken to together: all sessions of one user.
    type Account: Copy + Eq + Hash + Send + Sync + 'static;

    /// His session.
    fn session(&self) -> Self::Session;

    /// His account.
    fn account(&self) -> Self::Account;
}

/// What somebody is about to do.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// Become a client.
    Handshake,
    /// Subscribe to a channel or a pattern. A pattern grants nothing by itself: each event asks for [`Act::Receive`].
    Subscribe(&'a Pattern),
    /// Publish on a channel. Nothing on `/service/**` is passed on, whoever may publish there.
    Publish(&'a Channel),
    /// Receive an event that was published on a channel. Asked for each event, so that who may no longer does not.
    Receive(&'a Channel),
}

/// Decides who may do what. `/meta/**` is never asked about: nobody subscribes to it or publishes there.
pub trait Authority: Send + Sync + 'static {
    /// Whom it knows.
    type Principal: Principal;

    /// Whether `who` may do `act`. Asked under a lock that other clients wait for: it must not block.
    fn may(&self, who: &Self::Principal, act: Act<'_>) -> bool;
}

/// The system's generator of random bytes failed, and no client can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not draw random bytes")]
pub struct NoRandom;
