//! What a server needs to accept SPNEGO, NTLMv2 and Kerberos, for whatever protocol carries the messages.
//!
//! Nothing here does I/O, reads a clock or draws random bits, but for [`kerberos`], which calls the system's GSSAPI
//! library, loaded when it is asked for. Everything that comes from a client is bounded, and refused in one of the
//! error enums; no message of a client makes this crate panic.
//!
//! - [`spnego`]: the envelope (RFC 4178), in the DER that clients send;
//! - [`ntlm`]: an acceptor of NTLMv2 (MS-NLMP), and of nothing weaker;
//! - [`helper`]: the line protocol of a program that verifies NTLM in a domain;
//! - [`kerberos`]: Kerberos through GSSAPI (RFC 2743, 2744), with keys from a keytab;
//! - [`binding`]: channel bindings (RFC 5929), which tie a proof to the TLS connection that it came through.

pub mod binding;
mod bytes;
pub mod helper;
pub mod kerberos;
pub mod ntlm;
pub mod spnego;

/// A token longer than this is refused before it is looked at. Windows sends at most 48,000 bytes (`MaxTokenSize`).
pub const TOKEN_BYTES_MAX: usize = 48_000;
