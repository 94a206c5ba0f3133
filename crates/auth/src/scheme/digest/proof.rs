//! The computation (RFC 7616 section 3.4).

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::algorithm::Protection;
use super::hash::{Ha1, Hashed};
use super::response::Response;

/// The key that a response is made from: `HA1`, or `H(HA1:nonce:cnonce)` for algorithms ending in `-sess`.
pub fn key(ha1: &Ha1, response: &Response<'_>) -> Hashed {
    let ha1 = ha1.expose();
    if !response.algorithm.is_session() {
        return ha1;
    }
    let hash = response.algorithm.hash();
    hash.joined(&[ha1.hex().as_bytes(), response.nonce.as_bytes(), response.cnonce.as_bytes()])
}

/// Whether a response was made from a key, for a method and, with `auth-int`, a body. Takes the same time wherever
/// the two differ.
pub fn verifies(response: &Response<'_>, key: &Hashed, method: &str, body: &[u8]) -> bool {
    let hash = response.algorithm.hash();
    let (method, uri) = (method.as_bytes(), response.uri.as_bytes());
    let request = match response.protection {
        Protection::Auth => hash.joined(&[method, uri]),
        Protection::AuthInt => hash.joined(&[method, uri, hash.of(body).hex().as_bytes()]),
    };
    let expected = over(response, key, response.protection, &request);
    verify_slices_are_equal(expected.hex().as_bytes(), response.response.as_bytes()).is_ok()
}

/// `rspauth` (RFC 7616 section 3.5): shows the client that the server knows the password too. Always for `auth`, since
/// the answer's body is not known yet when its head is sent.
pub fn answer(response: &Response<'_>, key: &Hashed) -> Hashed {
    let request = response.algorithm.hash().joined(&[b"", response.uri.as_bytes()]);
    over(response, key, Protection::Auth, &request)
}

fn over(response: &Response<'_>, key: &Hashed, protection: Protection, request: &Hashed) -> Hashed {
    response.algorithm.hash().joined(&[
        key.hex().as_bytes(),
        response.nonce.as_bytes(),
        response.nc.as_bytes(),
        response.cnonce.as_bytes(),
        protection.name().as_bytes(),
        request.hex().as_bytes(),
    ])
}

#[cfg(test)]
mod tests;
