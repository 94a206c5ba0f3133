//! Owners that are asked for, and tokens that are asked about.

use std::sync::Mutex;

use countersign_auth::objects::kind::Owner;
use countersign_auth::port::foreign::{
    Asker, Foreign as _, FrontProof, FrontTerms, IssuerTerms, OpaqueAnswer, OpaqueClaim,
};
use countersign_auth::port::objects::{ObjectDigest, ObjectName, Objects as _};
use countersign_auth::port::{Lookups as _, PasswordAnswer, PasswordClaim, Purpose};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Arc, Bench, Duration, IpAddr, Secret, at, claim, home, until};
use crate::issuers::TrustedIssuer;
use crate::issuers::introspection::IntrospectionOptions;
use crate::objects::asked::{Question, QuestionError};
use crate::outbound::{Endpoint, EndpointError, Outbound};
use crate::signing::public::parse_jwks;

fn outbound() -> Outbound {
    let roots = rustls::RootCertStore::empty();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Outbound::new(&Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth()))
}

/// A service that answers what it is told to, and counts what it was asked.
async fn service(answer: &str) -> (String, Arc<Mutex<(String, Vec<String>)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/owners/{{id}}?x=1", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new((answer.to_owned(), Vec::new())));
    let kept = Arc::clone(&state);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut bytes = vec![0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    let line = String::from_utf8_lossy(bytes.get(..read).unwrap())
                        .lines()
                        .next()
                        .unwrap()
                        .to_owned();
                    let answer = {
                        let mut kept = kept.lock().unwrap();
                        kept.1.push(line);
                        kept.0.clone()
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, state)
}

fn told(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn introspection(url: &str) -> IntrospectionOptions {
    IntrospectionOptions {
        endpoint: Endpoint::parse(&url.replace("{id}", "x")).unwrap(),
        client: "gate".to_owned(),
        secret: Secret::new("secret"),
        issuer: None,
        terms: IssuerTerms::default(),
        remembered: Duration::from_secs(60),
        patience: Duration::from_secs(60),
    }
}

fn name(id: &str) -> ObjectName {
    ObjectName { api: "shop".into(), kind: "order".into(), id: id.to_owned() }
}

#[tokio::test]
async fn an_owner_is_asked_for_and_believed_for_a_second() {
    let bench = Bench::new().await;
    let (url, state) = service(&told("200 OK", r#"{"owner":"4711","tenant":"0001"}"#)).await;
    let question = Question::new(&url, Owner::named("customer"), outbound()).unwrap();
    bench.service.ask_owners("shop", "order", question);
    let found = bench.service.find(name("a/b 1"), home()).await.unwrap().unwrap();
    assert_eq!((found.owner.as_deref(), found.tenant.as_deref()), (Some("customer=4711"), Some("0001")));
    assert_eq!(found.ends_at, Some(at(1)));
    assert_eq!(state.lock().unwrap().1, ["GET /owners/a%2Fb%201?x=1 HTTP/1.1"]);
    let kept = bench.service.at_hand(&ObjectDigest::of_id("shop", "order", "a/b 1"));
    assert_eq!(kept.unwrap().ends_at, Some(at(1)));

    for (answer, expected) in [
        (told("404 Not Found", ""), Some(true)),
        (told("200 OK", "{}"), Some(true)),
        (told("200 OK", r#"{"owner":""}"#), Some(true)),
        (told("200 OK", r#"{"owner":["4711"]}"#), None),
        (told("200 OK", r#"{"owner":"4711","tenant":true}"#), None),
        (told("200 OK", "[]"), None),
        (told("200 OK", "no"), None),
        (told("500 Oops", ""), None),
        (told("403 Forbidden", ""), None),
        (told("302 Found\r\nLocation: /x", ""), None),
        (told("200 OK", &format!(r#"{{"owner":"1","x":"{}"}}"#, "x".repeat(5000))), None),
        ("nonsense\r\n\r\n".to_owned(), None),
    ] {
        state.lock().unwrap().0.clone_from(&answer);
        let found = bench.service.find(name("2"), home()).await;
        assert_eq!(found.as_ref().ok().map(Option::is_none), expected, "{answer}: {found:?}");
    }
    // Other kinds are not asked about.
    let other = ObjectName { kind: "basket".into(), ..name("2") };
    assert!(bench.service.find(other, home()).await.unwrap().is_none());
    bench.close().await;
}

#[test]
fn a_question_holds_its_id_once() {
    let check = |url: &str, expected| {
        let question = Question::new(url, Owner::Subject, outbound());
        assert_eq!(question.err(), expected, "{url}");
    };
    check("http://127.0.0.1:9/owners/{id}", None);
    check("https://owners.example/?order={id}", None);
    check("http://127.0.0.1:9/owners", Some(QuestionError::Id));
    check("http://127.0.0.1:9/{id}/{id}", Some(QuestionError::Id));
    check("https://{id}.example/x", Some(QuestionError::Id));
    check("http://owners.example/{id}", Some(QuestionError::Endpoint(EndpointError::Clear)));
}

#[tokio::test]
async fn one_token_that_many_requests_bring_at_once_is_asked_about_once() {
    let bench = Bench::new().await;
    let (url, state) = service(&told("200 OK", r#"{"active":true,"sub":"4711"}"#)).await;
    assert!(bench.service.introspect_at("shop", "bearer", introspection(&url), &outbound()));
    let claim = |value: &str| OpaqueClaim {
        api: "shop".into(),
        credential: "bearer".into(),
        value: Secret::new(value),
        asker: Asker::Request(IpAddr::from([10, 0, 0, 1])),
    };
    // More than one address may fail in a minute, and more than are asked about at once.
    let asked = (0..200).map(|_| bench.service.introspect(claim("good"), at(1)));
    for answer in futures_util::future::join_all(asked.collect::<Vec<_>>()).await {
        assert!(matches!(answer, Ok(OpaqueAnswer::Active { .. })), "{answer:?}");
    }
    let questions = state.lock().unwrap().1.len();
    assert!((1..200).contains(&questions), "{questions}");
    // Tokens that are none are attempts, each of them.
    let dead = told("200 OK", r#"{"active":false}"#);
    dead.clone_into(&mut state.lock().unwrap().0);
    for number in 0..50 {
        let answer = bench.service.introspect(claim(&format!("dead {number}")), at(1)).await;
        assert!(matches!(answer, Ok(OpaqueAnswer::Refused(_))), "{number}: {answer:?}");
    }
    let answer = bench.service.introspect(claim("one more"), at(1)).await;
    assert!(matches!(answer, Ok(OpaqueAnswer::TooMany)), "{answer:?}");
    bench.close().await;
}

/// A service that is slow about one kind of objects would keep all look-ups of all APIs.
#[tokio::test]
async fn who_waits_for_an_owner_takes_places_of_that_kind_alone() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = format!("http://{}/owners/{{id}}", listener.local_addr().unwrap());
    bench.service.ask_owners("shop", "order", Question::new(&slow, Owner::Subject, outbound()).unwrap());
    let (quick, _) = service(&told("200 OK", r#"{"owner":"4711"}"#)).await;
    bench.service.ask_owners("shop", "invoice", Question::new(&quick, Owner::Subject, outbound()).unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (silent, is_asked) = (Arc::clone(&asked), |so_many| {
        let asked = Arc::clone(&asked);
        async move { until(|| async { asked.lock().unwrap().len() >= so_many }).await }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            silent.lock().unwrap().push(stream);
        }
    });
    let of = |last: u8| IpAddr::from([192, 0, 2, last]);
    let find = |last, so_many| -> Vec<_> {
        (0..so_many).map(|number| bench.service.find(name(&number.to_string()), of(last))).collect()
    };
    let one = find(1, 200);
    is_asked(16).await;
    let others: Vec<_> = (2..5).map(|last| find(last, 16)).collect();
    is_asked(64).await;
    // What somebody waits for is not what is asked of others, nor of the store.
    for (kind, is_known) in [("invoice", true), ("basket", false)] {
        let name = ObjectName { kind: kind.into(), ..name("7") };
        let found = bench.service.find(name, of(1)).await.unwrap();
        assert_eq!(found.is_some(), is_known, "{kind}");
    }
    assert_eq!(asked.lock().unwrap().len(), 64);
    drop((one, others));
}

/// An API that has gone may come back and say something else.
#[tokio::test]
async fn what_was_said_of_an_api_is_forgotten_and_of_no_other() {
    const ISSUER: &str = "https://id.example";
    let bench = Bench::new().await;
    let (url, _) = service(&told("200 OK", r#"{"owner":"4711"}"#)).await;
    let crm = &bench.service;
    for api in ["shop", "other"] {
        let terms = FrontTerms {
            networks: Vec::new(),
            proof: FrontProof::Secret(Secret::new("secret")),
            domains: Vec::new(),
            create: true,
        };
        crm.believe_front(api, terms);
        crm.trust_issuer(
            api,
            ISSUER,
            TrustedIssuer::Keys(parse_jwks(&crm.jwks(Purpose::Assertion)).unwrap()),
        );
        assert!(crm.introspect_at(api, "bearer", introspection(&url), &outbound()));
        crm.declare_provider(api, "corp", None);
        crm.ask_owners(api, "order", Question::new(&url, Owner::Subject, outbound()).unwrap());
    }
    let known = async |api: &str| {
        let claim =
            PasswordClaim { api: api.into(), provider: Some("corp".to_owned()), ..claim("ann", "wrong") };
        let is_provider = !matches!(crm.check_password(claim, at(1)).await, Ok(PasswordAnswer::BadProvider));
        let is_asked = crm.find(ObjectName { api: api.into(), ..name("1") }, home()).await.unwrap().is_some();
        let is_issuer = crm.issuer_keys(api, ISSUER).unwrap().is_some();
        [crm.front(api).is_some(), is_issuer, crm.introspects(api, "bearer"), is_provider, is_asked]
    };
    let keys = crm.issuer_keys("shop", ISSUER).unwrap().unwrap();
    let are_up = || keys.keys.iter().all(|key| key.key.live().is_up());
    assert!(are_up());
    assert_eq!((known("shop").await, known("other").await), ([true; 5], [true; 5]));
    crm.forget_api("shop");
    assert_eq!((known("shop").await, known("other").await), ([false; 5], [true; 5]));
    assert!(!are_up(), "what they proved falls");
    bench.close().await;
}
