//! Digest access authentication (RFC 7616), the server's side.

pub mod hash;
