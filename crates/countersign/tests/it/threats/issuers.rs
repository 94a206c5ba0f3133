//! C, F: tokens of issuers whose keys are fetched.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::port::foreign::IssuerTerms;
use countersign_identity::issuers::TrustedIssuer;
use countersign_identity::issuers::remote::{Location, RemoteOptions};
use countersign_identity::outbound::{Endpoint, Outbound};
use countersign_identity::tls;
use serde_json::{Value, json};

use super::{ASSERTION, Ground, Told, claims_of};
use crate::raw::Wire;

const ISSUER: &str = "https://issuer.example";
/// P-JWT8.
const WINDOW_SECS: u64 = 10;

/// Somewhere to fetch from; every connection gets one answer.
struct Site {
    address: SocketAddr,
    fetched: Arc<AtomicUsize>,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Site {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (fetched, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, bytes) = (Arc::clone(&fetched), Arc::clone(&answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _head = stream.read(&mut [0; 4096]);
                count.fetch_add(1, Ordering::SeqCst);
                let _gone = stream.write_all(&bytes.lock().unwrap());
            }
        });
        Self { address, fetched, answer }
    }

    fn says(&self, status: &str, body: &str) {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\nLocation: /\r\n\r\n",
            body.len()
        );
        *self.answer.lock().unwrap() = format!("{head}{body}").into_bytes();
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

fn key_set(id: &str, pair: &Ed25519KeyPair) -> String {
    key_set_of(&[(id, pair)])
}

fn key_set_of(keys: &[(&str, &Ed25519KeyPair)]) -> String {
    let jwk = |(id, pair): &(&str, &Ed25519KeyPair)| {
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "x": x })
    };
    json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }).to_string()
}

fn minted(ground: &Ground, id: &str, pair: &Ed25519KeyPair) -> String {
    minted_for(ground, id, pair, "7", ground.world.now().unix_secs())
}

fn minted_for(ground: &Ground, id: &str, pair: &Ed25519KeyPair, subject: &str, issued_at: i64) -> String {
    let more = json!({ "sub": subject, "iat": issued_at });
    minted_of(ground, &json!({ "alg": "EdDSA", "kid": id }), pair, more)
}

/// A token with this header and these claims beside those that every one has.
fn minted_of(ground: &Ground, header: &Value, pair: &Ed25519KeyPair, more: Value) -> String {
    let expires_at = ground.world.now().unix_secs() + 600;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut claims = json!({ "iss": ISSUER, "aud": "gate", "exp": expires_at });
    let (Some(all), Value::Object(more)) = (claims.as_object_mut(), more) else { panic!("objects") };
    all.extend(more);
    let signed = format!("{}.{}", part(header), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A gate that takes the tokens of an issuer whose keys are at `site`.
fn ground(site: &Site) -> Ground {
    ground_with(site, &[])
}

/// The same, where these fields are filled from these claims.
fn ground_with(site: &Site, claims: &[(&str, &str)]) -> Ground {
    let ground = Ground::of("enactor");
    let endpoint = Endpoint::parse(&format!("http://{}/jwks", site.address)).unwrap();
    let options = RemoteOptions {
        location: Location::Keys(endpoint),
        refresh: Duration::from_secs(3600),
        stale: Duration::from_secs(3600),
    };
    let outbound = Outbound::new(&tls::client(&[]).unwrap());
    let claims = claims.iter().map(|(field, claim)| ((*field).to_owned(), (*claim).to_owned())).collect();
    let terms = IssuerTerms { audience: Some("gate".to_owned()), claims, ..IssuerTerms::default() };
    let api = ground.setting.apis().next().unwrap().to_owned();
    let keys = TrustedIssuer::Remote(Box::new(options), outbound);
    ground.world.service().trust_issuer_on(&api, ISSUER, keys, Some(terms));
    ground
}

fn request(token: &str) -> String {
    format!(
        "GET /WebRestApi/rest/baskets/PRIMARY HTTP/1.1\nHost: api.james.enactor\nAuthorization: Bearer {token}"
    )
}

fn call(ground: &Ground, token: &str) -> Told {
    ground.send(&request(token))
}

#[test]
fn c5_unknown_key_ids_fetch_once_a_window() {
    let (site, pair) = (Site::new(), Ed25519KeyPair::generate().unwrap());
    site.says("200 OK", &key_set("one", &pair));
    let begun = Instant::now();
    let ground = ground(&site);
    call(&ground, &minted(&ground, "one", &pair)).passed();
    for number in 0..1000 {
        call(&ground, &minted(&ground, &format!("unknown-{number}"), &pair)).refused(401);
    }
    let windows = usize::try_from(begun.elapsed().as_secs() / WINDOW_SECS).unwrap();
    assert!(site.fetched() <= 1 + windows, "{} fetches in {:?}", site.fetched(), begun.elapsed());
    call(&ground, &minted(&ground, "one", &pair)).passed();
}

#[test]
fn f1_keys_that_cannot_be_fetched_are_neither_right_nor_wrong() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let set = key_set("one", &pair);
    let endless = format!("{{\"keys\":[],\"filling\":\"{}\"}}", "x".repeat(1 << 20));
    for (status, body) in [
        ("500 Internal Server Error", ""),
        ("302 Found", set.as_str()),
        ("200 OK", "no json"),
        ("200 OK", "{\"keys\":[]}"),
        ("200 OK", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}"),
        ("200 OK", endless.as_str()),
    ] {
        let site = Site::new();
        site.says(status, body);
        let begun = Instant::now();
        let ground = ground(&site);
        for _ in 0..20 {
            call(&ground, &minted(&ground, "one", &pair)).refused(503);
        }
        let windows = usize::try_from(begun.elapsed().as_secs() / WINDOW_SECS).unwrap();
        assert!(site.fetched() <= 2 + windows, "{status}: {} fetches", site.fetched());
    }
}

/// A verifier that takes a signature of zeros takes any token (CVE-2022-21449).
#[test]
fn c2_a_signature_of_zeros_is_none_for_an_elliptic_curve() {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (coordinate(&point[1..33]), coordinate(&point[33..65]));
    let jwk =
        json!({ "kty": "EC", "crv": "P-256", "kid": "curve", "use": "sig", "alg": "ES256", "x": x, "y": y });
    let site = Site::new();
    site.says("200 OK", &json!({ "keys": [jwk] }).to_string());
    let ground = ground(&site);
    let token = |signature: &dyn Fn(&[u8]) -> Vec<u8>| {
        let expires_at = ground.world.now().unix_secs() + 600;
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "iss": ISSUER, "aud": "gate", "exp": expires_at, "sub": "7" });
        let signed = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": "curve" })), part(&claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature(signed.as_bytes())))
    };
    let right = |message: &[u8]| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    call(&ground, &token(&right)).passed();
    // The order of the curve (FIPS 186-5), which is zero to whoever reduces it.
    let order: Vec<u8> = (0..32)
        .map(|at| {
            u8::from_str_radix(
                &"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"[2 * at..2 * at + 2],
                16,
            )
            .unwrap()
        })
        .collect();
    let one = [&[0; 31][..], &[1]].concat();
    for (what, signature) in [
        ("zeros", vec![0; 64]),
        ("zeros in DER", vec![0x30, 6, 2, 1, 0, 2, 1, 0]),
        ("nothing", Vec::new()),
        ("no r", [&[0; 32][..], &one].concat()),
        ("no s", [&one[..], &[0; 32]].concat()),
        ("the order twice", [&order[..], &order].concat()),
        ("more zeros", vec![0; 96]),
    ] {
        call(&ground, &token(&|_| signature.clone())).refused(401);
        println!("{what}");
    }
    call(&ground, &token(&right)).passed();
}

/// Asks again and again with a token until the answer is this one.
fn until_answered(ground: &Ground, status: u16, token: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(4 * WINDOW_SECS);
    while call(ground, &token()).status() != status {
        assert!(Instant::now() < deadline, "never {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn f1_a_token_of_a_key_that_cannot_be_fetched_is_not_wrong() {
    let site = Site::new();
    let (old, new) = (Ed25519KeyPair::generate().unwrap(), Ed25519KeyPair::generate().unwrap());
    site.says("200 OK", &key_set("old", &old));
    let ground = ground(&site);
    call(&ground, &minted(&ground, "old", &old)).passed();
    site.says("500 Internal Server Error", "");
    until_answered(&ground, 503, || minted(&ground, "new", &new));
    for _ in 0..20 {
        call(&ground, &minted(&ground, "new", &new)).refused(503);
    }
    // What can be checked is.
    call(&ground, &minted(&ground, "old", &old)).passed();
    call(&ground, &minted(&ground, "old", &new)).refused(401);
    site.says("200 OK", &key_set("new", &new));
    until_answered(&ground, 200, || minted(&ground, "new", &new));
    call(&ground, &minted(&ground, "old", &old)).refused(401);
}

#[test]
fn c5_a_new_key_without_a_name_is_fetched_once_a_window() {
    let site = Site::new();
    let pair = || Ed25519KeyPair::generate().unwrap();
    let (old, new, stranger) = (pair(), pair(), pair());
    let set = |pair: &Ed25519KeyPair| {
        let set: Value = serde_json::from_str(&key_set("none", pair)).unwrap();
        let mut key = set["keys"][0].clone();
        key.as_object_mut().unwrap().remove("kid");
        json!({ "keys": [key] }).to_string()
    };
    site.says("200 OK", &set(&old));
    let begun = Instant::now();
    let ground = ground(&site);
    let of =
        |pair: &Ed25519KeyPair| minted_of(&ground, &json!({ "alg": "EdDSA" }), pair, json!({ "sub": "7" }));
    call(&ground, &of(&old)).passed();
    site.says("200 OK", &set(&new));
    until_answered(&ground, 200, || of(&new));
    call(&ground, &of(&old)).refused(401);
    for _ in 0..200 {
        call(&ground, &of(&stranger)).refused(401);
    }
    let windows = usize::try_from(begun.elapsed().as_secs() / WINDOW_SECS).unwrap();
    assert!(site.fetched() <= 1 + windows, "{} fetches in {:?}", site.fetched(), begun.elapsed());
}

#[test]
fn c3_a_token_that_does_not_say_whose_it_is_is_nobodys() {
    let (site, pair) = (Site::new(), Ed25519KeyPair::generate().unwrap());
    site.says("200 OK", &key_set("one", &pair));
    let of = |ground: &Ground, more: Value| {
        let mut claims = json!({ "sub": "7" });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        minted_of(ground, &json!({ "alg": "EdDSA", "kid": "one" }), &pair, claims)
    };
    let by_number = ground_with(&site, &[("subject", "number"), ("customer", "sub")]);
    for more in [json!({}), json!({ "number": "" }), json!({ "number": ["1"] }), json!({ "number": null })] {
        call(&by_number, &of(&by_number, more)).refused(401);
    }
    let told = call(&by_number, &of(&by_number, json!({ "number": 12 }))).passed();
    assert_eq!(claims_of(told.head.header(ASSERTION).unwrap())["sub"], "12");
    let by_email = ground_with(&site, &[("subject", "email")]);
    for more in [
        json!({ "email": "ann@example.com" }),
        json!({ "email": "ann@example.com", "email_verified": false }),
        json!({ "email": "ann@example.com", "email_verified": "true" }),
        json!({ "email": ["ann@example.com"], "email_verified": true }),
        json!({ "email_verified": true }),
    ] {
        call(&by_email, &of(&by_email, more)).refused(401);
    }
    let verified = json!({ "email": "ann@example.com", "email_verified": true });
    let told = call(&by_email, &of(&by_email, verified)).passed();
    assert_eq!(claims_of(told.head.header(ASSERTION).unwrap())["sub"], "ann@example.com");
}

/// A remembered token is good no longer than the key that signed it, also where another key has its name.
#[test]
fn c6_a_remembered_token_ends_with_its_issuers_key() {
    let site = Site::new();
    let pair = || Ed25519KeyPair::generate().unwrap();
    let (gone, renamed, stays, stranger) = (pair(), pair(), pair(), pair());
    site.says("200 OK", &key_set_of(&[("gone", &gone), ("renamed", &renamed), ("stays", &stays)]));
    let ground = ground(&site);
    let tokens = [("gone", &gone), ("renamed", &renamed), ("stays", &stays)]
        .map(|(id, pair)| minted(&ground, id, pair));
    for token in tokens.iter().chain(&tokens) {
        call(&ground, token).passed();
    }
    // What they have opened.
    let stream = |token: &str| {
        let begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec();
        ground.world.upstream.reply(begun);
        let stream = TcpStream::connect(ground.world.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut wire = Wire::new(stream);
        wire.send(format!("{}\r\n\r\n", request(token).replace('\n', "\r\n")).as_bytes()).unwrap();
        assert_eq!(wire.head().unwrap().unwrap().status(), 200);
        wire
    };
    let [mut ends, mut goes_on] = [&tokens[0], &tokens[2]].map(|token| stream(token));
    assert_eq!(ground.world.upstream.take().len(), 2);
    // Unknown names make the gate fetch again, once the window is over.
    let fetched_again = |times: usize| {
        let deadline = Instant::now() + Duration::from_secs(3 * WINDOW_SECS);
        while site.fetched() < times {
            assert!(Instant::now() < deadline, "the keys are not fetched again");
            call(&ground, &minted(&ground, "unknown", &stranger)).refused(401);
            std::thread::sleep(Duration::from_millis(50));
        }
        // Answered from the set that came.
        call(&ground, &minted(&ground, "unknown", &stranger)).refused(401);
    };
    site.says("200 OK", &key_set_of(&[("renamed", &stranger), ("stays", &stays)]));
    fetched_again(2);
    let [of_gone, of_renamed, of_stays] = &tokens;
    call(&ground, of_gone).refused(401);
    call(&ground, of_renamed).refused(401);
    call(&ground, of_stays).passed();
    assert!(ends.rest().is_ok(), "a stream outlives the key of its token");
    assert!(goes_on.is_silent(Duration::from_millis(100)));
    call(&ground, &minted(&ground, "renamed", &stranger)).passed();
}

/// Who comes with a new token each time is told to the service by one assertion, as long as the tokens say the same of him.
#[test]
fn c6_tokens_that_say_the_same_share_an_assertion_and_no_others() {
    let (site, pair) = (Site::new(), Ed25519KeyPair::generate().unwrap());
    site.says("200 OK", &key_set_of(&[("one", &pair), ("two", &pair)]));
    let ground = ground(&site);
    // The last whole quarter of a minute but one: all of it has passed.
    let from = (ground.world.now().unix_secs() / 15 - 2) * 15;
    let told = |id: &str, subject: &str, issued_at: i64| {
        let received = call(&ground, &minted_for(&ground, id, &pair, subject, issued_at)).passed();
        received.head.header(ASSERTION).unwrap().to_owned()
    };
    let first = told("one", "7", from);
    for issued_at in [from + 1, from + 14] {
        assert_eq!(told("one", "7", issued_at), first, "{issued_at}");
    }
    for (subject, issued_at, auth_time) in
        [("7", from - 1, from - 15), ("8", from, from), ("7", from + 15, from + 15)]
    {
        let other = told("one", subject, issued_at);
        assert_ne!(other, first, "{subject} {issued_at}");
        let claims = claims_of(&other);
        assert_eq!(
            (claims["sub"].as_str(), claims["auth_time"].as_i64()),
            (Some(subject), Some(auth_time)),
            "{claims}"
        );
    }
    assert_eq!(claims_of(&first)["auth_time"].as_i64(), Some(from));
}

/// A token that was got without a log-in is no older proof than the log-in that its issuer's session began with.
#[test]
fn c3_a_proof_is_as_old_as_the_log_in_that_a_token_tells_of() {
    let (site, pair) = (Site::new(), Ed25519KeyPair::generate().unwrap());
    site.says("200 OK", &key_set_of(&[("one", &pair)]));
    let ground = ground(&site);
    let from = (ground.world.now().unix_secs() / 15 - 2) * 15;
    for (said, expected) in [
        (json!(from - 300), from - 300),
        (json!((from - 300) * 1000), from - 300),
        (json!(from + 10), from),
        (json!("yesterday"), 0),
    ] {
        let more = json!({ "sub": "7", "iat": from, "auth_time": said });
        let token = minted_of(&ground, &json!({ "alg": "EdDSA", "kid": "one" }), &pair, more);
        let seen = call(&ground, &token).passed();
        assert_eq!(claims_of(seen.head.header(ASSERTION).unwrap())["auth_time"], expected, "{said}");
    }
}

#[test]
fn f2_key_sets_of_some_length_alone_are_read() {
    const MOST: usize = 256 * 1024;
    let pair = Ed25519KeyPair::generate().unwrap();
    let set = |length: usize| {
        let set = key_set("one", &pair);
        let around = format!("{},\"x\":\"\"}}", &set[..set.len() - 1]);
        around.replace("\"x\":\"\"", &format!("\"x\":\"{}\"", "x".repeat(length - around.len())))
    };
    for (length, status) in [(MOST, 200), (MOST + 1, 503)] {
        let site = Site::new();
        let set = set(length);
        assert_eq!(set.len(), length);
        site.says("200 OK", &set);
        let ground = ground(&site);
        assert_eq!(call(&ground, &minted(&ground, "one", &pair)).status(), status, "{length}");
    }
}
