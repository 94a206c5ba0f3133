//! What the rules cost when everything that they ask for is in memory, piece by piece, without a connection.
//!
//! `cargo run --release -p countersign-identity --example hits`
//!
//! A request of a browser with the session cookie and the CSRF token of the console dialect, against a real service with
//! one account in it. Each piece is run in batches; the least and the median of their means are shown, since whatever
//! else the machine does only ever adds.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for people to run and read")]

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use countersign_auth::account::Live;
use countersign_auth::api::{Api, ApiOptions};
use countersign_auth::authenticate::authenticate;
use countersign_auth::derive::derive;
use countersign_auth::dialect::Dialect;
use countersign_auth::form::{Form, FormNames};
use countersign_auth::link::Sharing;
use countersign_auth::page::Pages;
use countersign_auth::policy::{Allow, Conditions, RouteOptions, authorize};
use countersign_auth::port::{
    After, AtHand, Lookups, Opening, Operations as _, ProofKey, Purpose, Signer as _, TokenAnswer, Verified,
};
use countersign_auth::recognize::{Request, recognize};
use countersign_auth::render::Here;
use countersign_auth::time::Clock as _;
use countersign_auth::token::{AtLimit, TokenDigest, TokenKind, TokenPlan};
use countersign_identity::accounts::AccountDraft;
use countersign_identity::password::PasswordOptions;
use countersign_identity::service::{By, Service, ServiceOptions};
use countersign_identity::world::WallClock;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method};
use smallvec::smallvec;

const BATCHES: usize = 50;
const RUNS: u32 = 5_000;
const API: &str = "console";
const PATH: &str = "/ws/v12/interaction/activity";

/// Prints the least and the median of what one run of `work` took.
fn piece(name: &str, mut work: impl FnMut()) {
    let mut means: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            (0..RUNS).for_each(|_| work());
            begun.elapsed() / RUNS
        })
        .collect();
    means.sort_unstable();
    let at = |place: usize| means.get(place).map_or(0, Duration::as_nanos);
    println!("| {name} | {} ns | {} ns |", at(0), at(BATCHES / 2));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let passwords = PasswordOptions { memory_kib: 8, passes: 1, threads: 1, ..PasswordOptions::default() };
    let options = ServiceOptions { passwords, ..ServiceOptions::at(folder.path().join("hits.db")) };
    let service = Service::open(options, tokio::runtime::Handle::current()).await?;
    let now = WallClock.now();
    let ann = service.create_account(AccountDraft::new("users", "ann"), By::gate(), now).await?;
    let api = console()?;

    let plan = TokenPlan {
        word: "session".into(),
        kind: TokenKind::Session,
        form: Arc::new(Form::parse("{guid}")?),
        second: None,
        idle: Some(Duration::from_secs(1800)),
        lifetime: Some(Duration::from_secs(43_200)),
        proof_lifetime: None,
        per_account: None,
        at_limit: AtLimit::EndOldest,
    };
    let (name, address) = (Arc::from(API), IpAddr::from([192, 0, 2, 1]));
    let account = Some(&ann);
    let opening = Opening { api: &name, account, plan: &plan, proven_at: now, on: None, address };
    let opened = service.open_session(&opening, now)?.ok_or("no session")?;
    let value = opened.value.expose();
    let digest = TokenDigest::of(API, "session", value);
    // Presented once, so that it is a session like any other.
    service.find_token(digest, now).await?;
    let shown = |key| derive(key, "csrf", &[API, value], 43);
    let shown = Form::parse("{base64url:43}")?
        .fill(&shown(service.derivation_key()), FormNames::default())
        .ok_or("no csrf token")?;
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("console.example.com"));
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("cookie", format!("X-egain-session={value}; X-egain-csrf={shown}").parse()?);
    headers.insert("x-egain-csrf", shown.parse()?);

    let mut left = headers.clone();
    let taken = api.take(&mut left, &[]).map_err(|refusal| refusal.cause.to_string())?;
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = Request {
        method: &Method::GET,
        path: PATH,
        prefix: "",
        query: None,
        headers: &left,
        address,
        connection: address,
        certificate: None,
        pages: Pages { scheme: "https", trusted: &[], hosts: &[] },
        fields: None,
        link: None,
        target: None,
        body: None,
    };
    let located = api.locate_request(&request).map_err(|refusal| refusal.cause.to_string())?;
    let presented =
        recognize(&api, &located, &request, &taken).map_err(|refusal| refusal.cause.to_string())?;
    let proven = || authenticate(&api, &located, &request, &presented, &*service, now).now_or_never();
    let identity = proven().ok_or("it waited")?.map_err(|refusal| refusal.cause.to_string())?;
    let nothing = api.take(&mut HeaderMap::new(), &[]).map_err(|refusal| refusal.cause.to_string())?;
    let key = ProofKey([7; 32]);
    let until = now.plus(Duration::from_secs(300));
    let keys = smallvec![Live::new()];
    service.remember(
        key,
        Verified { account: Arc::clone(&ann), proven_at: now, until, keys, after: After::Unverified },
        now,
    );

    println!("| piece | least | median |\n|---|---|---|");
    piece("take credentials out (a copy of the fields is in it)", || {
        let mut headers = headers.clone();
        black_box(api.take(&mut headers, &[])).ok();
    });
    piece("recognition: find the place, and what is presented there", || {
        if let Ok(located) = black_box(api.locate_request(&request)) {
            black_box(recognize(&api, &located, &request, &taken)).ok();
        }
    });
    piece("session look-up, with its digest", || {
        let found = service.token(&TokenDigest::of(API, "session", value), now);
        assert!(matches!(black_box(found), AtHand::Known(TokenAnswer::Live(_))));
    });
    piece("CSRF: the token is made again", || {
        black_box(derive(service.derivation_key(), "csrf", &[API, value], 43));
    });
    piece("authenticate: session and CSRF", || {
        assert!(matches!(black_box(proven()), Some(Ok(_))));
    });
    piece("remembered proof (signed token, password)", || {
        assert!(black_box(service.recall(&key, now)).is_some());
    });
    piece("authorize", || {
        black_box(authorize(&api, identity.clone(), &Method::GET, PATH, now)).ok();
    });
    let here = Here {
        prefix: "",
        secure: false,
        method: &Method::GET,
        headers: &left,
        path: PATH,
        query: None,
        sharing: Sharing::Shared,
        lookups: &*service,
        now,
        bytes_max: 1024 * 1024,
    };
    piece("refusal of who presents nothing, with its answer", || {
        let Ok(presented) = recognize(&api, &located, &request, &nothing) else { return };
        let refused = authenticate(&api, &located, &request, &presented, &*service, now).now_or_never();
        if let Some(Err(refusal)) = refused {
            black_box(api.refuse_at(Some(&located), &refusal, &here));
        }
    });
    let claims = [b'c'; 400];
    piece("a new assertion's signature (Ed25519)", || {
        assert!(black_box(service.sign(Purpose::Assertion, "countersign-assertion+jwt", &claims)).is_ok());
    });
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &claims, &mut signature)?;
    let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())?;
    piece("a new token's signature (RSA 2048), checked", || {
        assert!(black_box(public.verify_sig(&claims, &signature)).is_ok());
    });
    service.close().await?;
    Ok(())
}

fn console() -> Result<Api, Box<dyn Error>> {
    let text = include_str!("../../../dialects/egain/dialect.toml");
    let say = |problems: Vec<countersign_auth::dialect::source::Problem>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let dialect = Dialect::load("dialect.toml", text).map_err(say)?;
    let all = RouteOptions {
        at: "/**".to_owned(),
        allow: Allow::Proven(Conditions::default()),
        upgrade: false,
        objects: Default::default(),
    };
    let options = ApiOptions { name: API.to_owned(), routes: vec![all], ..ApiOptions::default() };
    Ok(Api::new(Arc::new(dialect), options).map_err(say)?)
}
