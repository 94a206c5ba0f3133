//! An acceptor of NTLMv2 (MS-NLMP), and of nothing weaker.
//!
//! Three messages make an exchange; each step takes the last one by value, so that a challenge is answered once:
//!
//! ```text
//! client ── type 1 ──▶ challenge() ──▶ Challenge ── type 2 ──▶ client
//! client ── type 3 ──▶ Challenge::answered() ──▶ Claim        who he says he is
//!          hash of that user's password ──▶ Claim::verify() ──▶ Session
//! ```
//!
//! What the caller owes: the three messages come over one connection, the server challenge is random and never used
//! again, an unanswered one is dropped after a short time, and the hash is that of the user whom the message names.
//!
//! How other acceptors were passed, and what stands against it here:
//!
//! | a client | here |
//! |---|---|
//! | sends an LM or an NTLMv1 response, or none | [`NtlmError::NotNtlmV2`]: the LM response is never looked at |
//! | sends a random proof and says that it made no MIC | the proof is compared whatever else is there |
//! | sets flags that nobody knows | flags are asked bit by bit; no check hangs on one but the form of text |
//! | takes the MIC out | the flag that announces it is under the proof |
//! | relays what it got on another TLS connection | channel binding, where it is demanded |

mod challenge;
mod crypto;
mod message;
mod pairs;
mod session;

use zeroize::Zeroize;

use crate::binding::{ChannelBinding, Demand};
pub use crate::ntlm::challenge::{Challenge, Claim, Names, challenge};
pub use crate::ntlm::message::{Named, is_message, named};
pub use crate::ntlm::session::Session;

/// Why an exchange ends. All are refusals; which one is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NtlmError {
    /// Not the message that is due, cut short, or longer than one can be.
    #[error("the message is not the one that is due, or is malformed")]
    Malformed,
    /// LM, NTLMv1, or no response at all.
    #[error("the response is not NTLMv2")]
    NotNtlmV2,
    /// The proof is not that of the password.
    #[error("the proof is wrong")]
    WrongProof,
    /// The messages were changed on their way.
    #[error("the message integrity code is wrong")]
    WrongMic,
    /// It is demanded, and not there.
    #[error("the message integrity code is missing")]
    NoMic,
    /// The proof was made for another TLS connection.
    #[error("the channel binding is wrong")]
    WrongBinding,
    /// It is demanded, and not there.
    #[error("the channel binding is missing")]
    NoBinding,
}

/// What is demanded of a proof beside being right.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demands<'b> {
    /// Whether a message integrity code must be there. One that is there must be right in any case.
    pub mic: Mic,
    /// What is demanded of the channel binding.
    pub binding: Demand,
    /// The binding of the connection; `None` if it has none (no TLS, or a certificate that defines none).
    pub channel: Option<&'b ChannelBinding>,
}

/// Whether clients must sign the exchange. Windows does; curl cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mic {
    /// One that is announced must be right.
    #[default]
    IfPresent,
    /// One must be there.
    Required,
}

/// MD4 of a password in UTF-16: whoever has it needs no password. Wiped when it is dropped.
pub struct NtHash([u8; 16]);

impl NtHash {
    /// That of a password.
    pub fn of_password(password: &str) -> Self {
        Self(crypto::nt_hash(password))
    }

    /// From where it was kept.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// To be kept, encrypted.
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Drop for NtHash {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for NtHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests;
