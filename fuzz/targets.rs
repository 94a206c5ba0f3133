//! What is done with arbitrary bytes: one function for each parser of what strangers send.
//!
//! A function must not panic, and what it asserts must hold for whatever bytes. They are run by `cargo fuzz` (see
//! `docs/fuzzing.md`), and by the tests of the workspace on the corpora beside this file.

#![allow(unreachable_pub, reason = "public for the targets, which are crates of their own")]

#[path = "targets/accept.rs"]
mod accepted;
#[path = "targets/answers.rs"]
mod answer;
#[path = "targets/anybody.rs"]
mod anybody;
#[path = "targets/heads.rs"]
mod head;
#[path = "targets/logins.rs"]
mod login;
#[path = "targets/negotiation.rs"]
mod negotiation;
#[path = "targets/objects.rs"]
mod object;
#[path = "targets/plain.rs"]
mod plain;
#[path = "targets/requests.rs"]
mod request;
#[path = "targets/tokens.rs"]
mod token;

use countersign_auth::canonical::host::{canonical_host, one_host};
use countersign_auth::canonical::path::{CanonicalPath, decode_segment};
use countersign_auth::canonical::query::{QUERY_PAIRS_MAX, parse_query};
use countersign_auth::cookie;
use countersign_auth::derive::DerivationKey;
use countersign_auth::dialect::Dialect;
use countersign_auth::fields::content_type::ContentType;
use countersign_auth::fields::{Bounds, Case, Fields};
use countersign_auth::scheme::basic;
use countersign_auth::scheme::digest::hash::Ha1;
use countersign_auth::scheme::digest::nonce::Nonces;
use countersign_auth::scheme::digest::proof;
use countersign_auth::scheme::digest::response::Response;
use countersign_gateway::address::forwarded;
use countersign_gateway::listen::proxy_protocol;
use http::{HeaderMap, HeaderValue};

pub use accepted::accept;
pub use answer::answers;
pub use head::heads;
pub use login::logins;
pub use negotiation::{ntlm, spnego};
pub use object::objects;
pub use request::{assertions, requests};
pub use token::{jwt, key_sets, tokens};

/// The credentials of `Authorization: Basic`.
pub fn authorization(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok((user, password)) = basic::decode(text) {
        assert!(!user.contains(':'), "the first colon ends the user's name");
        let again = anybody::basic(&user, password.expose());
        let (user_again, password_again) = basic::decode(&again).expect("what was read can be written");
        assert!(user_again == user && password_again.expose() == password.expose());
    }
}

/// What follows `Digest ` in `Authorization`; its nonce is nobody's.
pub fn digest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(response) = Response::parse(text) else { return };
    assert!(response.count > 0 && !response.user.text().is_empty());
    assert!(!response.user.text().chars().any(char::is_control));
    let ha1 = Ha1::of(response.algorithm.hash(), response.user.text(), &response.realm, "open sesame");
    let key = proof::key(&ha1, &response);
    assert_eq!(proof::answer(&response, &key).as_bytes().len(), response.algorithm.hash().bytes());
    assert!(!proof::verifies(&response, &key, "GET", b""), "nobody guesses a proof");
    let nonces = Nonces::new(&DerivationKey::new([7; 32]), 1);
    assert_eq!(nonces.read(&response.nonce, ("fuzz", "digest")), None);
}

/// `Cookie` lines, each in a line of the input.
pub fn cookies(bytes: &[u8]) {
    let lines: Vec<HeaderValue> =
        bytes.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let wanted = |name: &str| name.eq_ignore_ascii_case("session");
    let Ok(taken) = cookie::take(&lines, wanted) else { return };
    for pair in &taken.pairs {
        assert!(wanted(pair.name));
        let _text = cookie::decoded(pair.value);
    }
    let rest = match taken.rest {
        cookie::Rest::Unchanged => lines.clone(),
        cookie::Rest::Line(line) => vec![line],
        cookie::Rest::Nothing => Vec::new(),
    };
    let again = cookie::take(&rest, wanted).expect("what was kept can be read");
    assert!(again.pairs.is_empty(), "a credential went on");
}

/// A target's path.
pub fn paths(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _segment = decode_segment(text);
    let Ok(path) = CanonicalPath::parse(text) else { return };
    let canonical = path.as_str();
    let again = CanonicalPath::parse(canonical).expect("a canonical path is canonical");
    assert_eq!(again.as_str(), canonical);
    assert!(
        canonical.starts_with('/') && !canonical.contains("//") && !canonical.contains(['\\', ';', '#', '?'])
    );
    assert!(path.segments().all(|segment| segment != ".." && segment != "."));
    let uri: http::Uri = match canonical.parse() {
        Ok(uri) => uri,
        // Longer than a target may be.
        Err(_) => return,
    };
    assert_eq!(uri.path(), canonical, "what is sent on is what was read");
    assert_eq!(uri.query(), None);
}

/// Hosts: each line of the input one more of a request.
pub fn hosts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines() {
        let read = canonical_host(line);
        let told = read.as_ref().ok().map(|host| (host.name().to_owned(), host.port()));
        assert_eq!(told, plain::host(line), "{line}");
        let Ok(host) = read else { continue };
        let again = canonical_host(host.name()).map(|again| again.name().to_owned());
        assert_eq!(again.as_deref().ok(), Some(host.name()));
        assert_eq!(canonical_host(&host.to_string()).map(|again| again.port()), Ok(host.port()));
    }
    let mut lines = text.lines();
    let target = lines.next().filter(|line| !line.is_empty());
    let fields: Vec<&str> = lines.collect();
    let found = one_host(target, fields.iter().copied(), 80);
    // One host, wherever it is named, with its port said or not.
    let named: Option<Vec<_>> = target.into_iter().chain(fields.iter().copied()).map(plain::host).collect();
    let named =
        named.map(|all| all.into_iter().map(|(name, port)| (name, port.unwrap_or(80))).collect::<Vec<_>>());
    let wanted = match named.as_deref() {
        Some([only]) if fields.len() <= 1 => Some(only.clone()),
        Some([one, other]) if fields.len() == 1 && one == other => Some(one.clone()),
        Some(_) | None => None,
    };
    let told = found.ok().map(|host| (host.name().to_owned(), host.port().unwrap_or(80)));
    assert_eq!(told, wanted, "{target:?} {fields:?}");
}

/// A target's query.
pub fn queries(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let written = text.split('&').filter(|pair| !pair.is_empty()).take(QUERY_PAIRS_MAX);
    let written: Vec<&str> = written.collect();
    let read: Vec<_> = parse_query(text).take(written.len()).collect();
    assert_eq!(read.len(), written.len());
    for (read, pair) in read.into_iter().zip(written) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let may_stand = pair.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let wanted = plain::decoded(name)
            .zip(plain::decoded(value))
            .filter(|(name, value)| may_stand && !name.contains('\0') && !value.contains('\0'));
        let told = read.ok().map(|(name, value)| (name.into_owned(), value.into_owned()));
        assert_eq!(told, wanted, "{pair}");
    }
}

/// What fronts say of a client: the first byte chooses the family, each line is a field.
pub fn forwarded(bytes: &[u8]) {
    let Some((family, rest)) = bytes.split_first() else { return };
    let name = if family.is_multiple_of(2) { "x-forwarded-for" } else { "forwarded" };
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    let told =
        if name == "forwarded" { forwarded::forwarded(&headers) } else { forwarded::x_forwarded(&headers) };
    for hop in told.hops().iter().flatten() {
        assert_eq!(*hop, hop.to_canonical(), "an IPv4 address has one spelling");
    }
    let _scheme = (told.scheme_at(None), told.scheme_at(Some(0)));
    // Whatever a client wrote, a front appends to the last of its fields what can be read.
    let client = headers.get_all(name).iter().next_back().cloned();
    let front = if name == "forwarded" { "for=192.0.2.9" } else { "192.0.2.9" };
    let both = [client.as_ref().map_or(&[][..], HeaderValue::as_bytes), b", ", front.as_bytes()].concat();
    headers.insert(name, HeaderValue::from_bytes(&both).expect("both are values"));
    let told =
        if name == "forwarded" { forwarded::forwarded(&headers) } else { forwarded::x_forwarded(&headers) };
    assert_eq!(told.hops().last().copied().flatten(), Some([192, 0, 2, 9].into()));
}

/// The PROXY header, in both versions.
pub fn proxy_protocol(bytes: &[u8]) {
    if let Ok(client) = proxy_protocol::parse_text(bytes) {
        assert_eq!(client, plain::proxied_text(bytes));
    }
    if let Ok(client) = proxy_protocol::parse_binary(bytes) {
        assert_eq!(client, plain::proxied_binary(bytes));
    }
}

/// The body of a call: the first line is its `Content-Type`.
pub fn bodies(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = bytes.split_at(end);
    let Some(content_type) = std::str::from_utf8(line).ok().and_then(ContentType::parse) else { return };
    let Ok(fields) = Fields::parse(&content_type, body.get(1..).unwrap_or_default(), Bounds::default())
    else {
        return;
    };
    let names: Vec<String> = fields.names().map(str::to_owned).collect();
    assert!(names.len() <= Bounds::default().fields);
    for name in &names {
        let times = names.iter().filter(|other| *other == name).count();
        assert_eq!(
            fields.get(name, Case::Exact) == Err(countersign_auth::fields::FieldError::Ambiguous),
            times > 1
        );
        if let Ok(Some(value)) = fields.get(name, Case::Exact) {
            assert!(!value.contains('\0'));
        }
    }
}

/// A dialect's file.
pub fn dialects(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Dialect::load("fuzzed.toml", text) {
        Ok(dialect) => {
            // What is in force stands in the file, and whatever is behind `#` says nothing.
            let names: Vec<&str> = dialect.credential_names().collect();
            for name in &names {
                assert!(text.contains(name) || text.contains('\\'), "nobody wrote {name}");
            }
            let again = Dialect::load("fuzzed.toml", &format!("{text}\n# and no more")).expect("it was good");
            assert!(again.credential_names().eq(names.iter().copied()));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = text.split('\n').count();
            for problem in problems {
                assert!(problem.file == "fuzzed.toml" && !problem.message.is_empty());
                assert!(problem.line <= lines, "line {} of {lines}: {}", problem.line, problem.message);
            }
        }
    }
}
