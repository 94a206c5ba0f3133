//! Digest access authentication (RFC 7616), the server's side, without I/O.
//!
//! ```text
//! WWW-Authenticate: Digest realm="R", qop="auth", algorithm=SHA-256, nonce="N", charset=UTF-8
//! Authorization:    Digest username="U", realm="R", nonce="N", uri="/x", algorithm=SHA-256,
//!                          qop=auth, nc=00000001, cnonce="C", response="…"
//! Authentication-Info: rspauth="…", qop=auth, nc=00000001, cnonce="C"
//!
//! HA1      = H(user:realm:password)                 kept of accounts that opted in
//! HA1      = H(HA1:nonce:cnonce)                    for algorithms ending in -sess
//! HA2      = H(method:uri)                          qop=auth-int: H(method:uri:H(body))
//! response = H(HA1:nonce:nc:cnonce:qop:HA2)
//! rspauth  = the same with HA2 = H(:uri)
//! ```
//!
//! [`response`] reads what a client sends, [`nonce`] makes nonces and knows its own, [`window`] takes each counter
//! of a nonce once, [`proof`] computes. Who it is about is looked up behind [`port::digest`](crate::port::digest).

pub mod algorithm;
pub mod hash;
pub mod nonce;
pub mod proof;
pub mod response;
pub mod window;
