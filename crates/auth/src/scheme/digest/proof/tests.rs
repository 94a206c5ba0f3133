#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::algorithm::Algorithm;
use super::super::hash::DigestHash;
use super::*;

/// The example of RFC 7616 section 3.9.1, with a response for one of the two algorithms.
fn mufasa(algorithm: &str, qop: &str, response: &str) -> String {
    format!(
        "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={algorithm}, \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
         cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop={qop}, response=\"{response}\""
    )
}

fn checks(value: &str, password: &str, method: &str, body: &[u8]) -> bool {
    let response = Response::parse(value).unwrap();
    let ha1 = Ha1::of(response.algorithm.hash(), response.user.text(), &response.realm, password);
    verifies(&response, &key(&ha1, &response), method, body)
}

const MD5: &str = "8ca523f5e9506fed4657c9700eebdbec";
const SHA_256: &str = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";

#[test]
fn the_first_example_of_the_rfc() {
    for (algorithm, response) in [("MD5", MD5), ("SHA-256", SHA_256)] {
        let value = mufasa(algorithm, "auth", response);
        assert!(checks(&value, "Circle of Life", "GET", b""), "{algorithm}");
        assert!(!checks(&value, "Circle of life", "GET", b""), "{algorithm}");
        assert!(!checks(&value, "Circle of Life", "POST", b""), "{algorithm}");
        for (from, to) in [
            ("index.html", "index.htm"),
            ("nc=00000001", "nc=00000002"),
            ("cnonce=\"f2", "cnonce=\"f3"),
            ("nonce=\"7y", "nonce=\"8y"),
            ("example.org", "example.com"),
            ("Mufasa", "mufasa"),
            (response, &response.to_ascii_uppercase()),
            (&response[1..], &response[2..]),
            ("qop=auth", "qop=auth-int"),
            (&format!("algorithm={algorithm}"), &format!("algorithm={algorithm}-sess")),
        ] {
            let changed = value.replacen(from, to, 1);
            assert!(!checks(&changed, "Circle of Life", "GET", b""), "{changed}");
        }
    }
    // A response of one algorithm is none of another.
    assert!(!checks(&mufasa("SHA-256", "auth", MD5), "Circle of Life", "GET", b""));
    assert!(!checks(&mufasa("MD5", "auth", SHA_256), "Circle of Life", "GET", b""));
}

/// The example of RFC 7616 section 3.9.2 has SHA-512 cut off in it; these are the values of SHA-512/256 (erratum 4897).
#[test]
fn the_second_example_of_the_rfc_with_its_erratum() {
    let user_hash = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b";
    let hashed = DigestHash::Sha512_256.joined(&["J\u{e4}s\u{f8}n Doe".as_bytes(), b"api@example.org"]);
    assert_eq!(hashed.hex().as_str(), user_hash);
    let value = |response: &str| {
        format!(
            "username=\"{user_hash}\", realm=\"api@example.org\", uri=\"/doe.json\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", nc=00000001, \
             cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, response=\"{response}\", userhash=true"
        )
    };
    let check = |response: &str| {
        let value = value(response);
        let response = Response::parse(&value).unwrap();
        assert!(matches!(response.user, super::super::response::User::Hashed(_)));
        let (user, password) = ("J\u{e4}s\u{f8}n Doe", "Secret, or not?");
        let ha1 = Ha1::of(DigestHash::Sha512_256, user, &response.realm, password);
        verifies(&response, &key(&ha1, &response), "GET", b"")
    };
    assert!(check("3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"));
    assert!(!check("ae66e67d6b427bd3f120414a82e4acff38e8ecd9101d6c861229025f607a79dd"), "the printed one");
}

/// Computed step by step from the formulas, for what the RFC has no example of.
#[test]
fn sessions_bodies_and_answers() {
    let hash = DigestHash::Sha256;
    let hex = |parts: &[&str]| {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        hash.joined(&parts).hex().as_str().to_owned()
    };
    let (nonce, cnonce) =
        ("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
    let ha1 = hex(&["Mufasa", "http-auth@example.org", "Circle of Life"]);
    let session = hex(&[&ha1, nonce, cnonce]);
    let plain = hex(&["GET", "/dir/index.html"]);
    let response = hex(&[&session, nonce, "00000001", cnonce, "auth", &plain]);
    assert!(checks(&mufasa("SHA-256-sess", "auth", &response), "Circle of Life", "GET", b""));

    let with_body = hex(&["PUT", "/dir/index.html", hash.of(b"{}").hex().as_str()]);
    let response = hex(&[&ha1, nonce, "00000001", cnonce, "auth-int", &with_body]);
    let value = mufasa("SHA-256", "auth-int", &response);
    assert!(checks(&value, "Circle of Life", "PUT", b"{}"));
    assert!(!checks(&value, "Circle of Life", "PUT", b"{ }"));
    assert!(!checks(&value, "Circle of Life", "PUT", b""));

    let response = Response::parse(&value).unwrap();
    let kept = Ha1::of(hash, "Mufasa", "http-auth@example.org", "Circle of Life");
    let told = answer(&response, &key(&kept, &response));
    let expected = hex(&[&ha1, nonce, "00000001", cnonce, "auth", &hex(&["", "/dir/index.html"])]);
    assert_eq!(told.hex().as_str(), expected);
    assert_eq!(response.algorithm, Algorithm::Sha256);
}
