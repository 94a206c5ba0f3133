#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::family::FAMILIES;
use super::keyring::Keyring;
use super::service::{self, Server};
use super::{addresses, configuration};
use crate::config::Loaded;

/// Far away: the year 2100.
const LATER: i64 = 4_102_444_800;

struct World {
    key: EncodingKey,
    servers: Vec<Server>,
    keys: Arc<Keyring>,
}

/// The sample services, and a stand-in for the gate that publishes one key.
async fn world() -> World {
    let document =
        aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
    let key = EncodingKey::from_ed_der(document.as_ref());
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "one", "x": x });
    let set = json!({ "keys": [jwk] }).to_string();
    let keys = Arc::new(Keyring::default());
    keys.publish(publish(set).await);
    let servers = super::start_services(&keys).await.unwrap_or_else(|_| panic!("no port"));
    World { key, servers, keys }
}

async fn publish(set: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let set = set.clone();
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                assert_eq!(request.uri().path(), crate::wire::JWKS_PATH);
                let answer = Response::new(Full::new(Bytes::from(set.clone())));
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

impl World {
    fn sign(&self, claims: &Value, kid: &str) -> String {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    async fn send(&self, api: &str, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let at = FAMILIES.iter().position(|family| family.name == api).unwrap();
        let (method, path) = line.split_once(' ').unwrap();
        let stream = TcpStream::connect(self.servers[at].address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender
            .send_request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap())
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn call(&self, api: &str, subject: Option<&str>, line: &str, body: &str) -> (u16, String) {
        let mut claims = json!({ "aud": api, "exp": LATER, "keys": { "associate_id": "5" } });
        if let Some(subject) = subject {
            claims["sub"] = json!(subject);
        }
        let assertion = self.sign(&claims, "one");
        self.send(api, line, &[("countersign-assertion", &assertion), ("accept", "application/json")], body)
            .await
    }
}

#[tokio::test]
async fn a_service_believes_nothing_but_a_good_assertion() {
    let world = world().await;
    let good = json!({ "aud": "shop", "exp": LATER, "sub": "1" });
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        claims
    };
    let assertion = |claims: &Value| world.sign(claims, "one");
    let mut unsigned = assertion(&good);
    unsigned.truncate(unsigned.rfind('.').unwrap() + 1);
    let mut without_audience = good.clone();
    without_audience.as_object_mut().unwrap().remove("aud");
    let bad = [
        assertion(&with("aud", json!("crm"))),
        assertion(&with("exp", json!(1_500_000_000))),
        assertion(&without_audience),
        world.sign(&good, "two"),
        unsigned,
        String::from("nonsense"),
    ];
    for assertion in &bad {
        let (status, body) = world.send("shop", "GET /x", &[("countersign-assertion", assertion)], "").await;
        assert_eq!(status, 500, "{assertion}");
        assert!(!body.contains(assertion.as_str()), "{body}");
    }
    let good = assertion(&good);
    let twice = [("countersign-assertion", good.as_str()), ("countersign-assertion", good.as_str())];
    assert_eq!(world.send("shop", "GET /x", &twice, "").await.0, 500);
    assert_eq!(world.send("shop", "GET /x", &[], "").await.0, 500);

    let (status, body) = world.send("shop", "GET /x?a=b", &[("countersign-assertion", &good)], "").await;
    let echo: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        (&echo["claims"]["sub"], &echo["path"], &echo["query"]),
        (&json!("1"), &json!("/x"), &json!([["a", "b"]]))
    );
    assert!(!body.contains(&good), "the assertion itself is a secret: {body}");
}

#[tokio::test]
async fn a_service_that_cannot_fetch_keys_lets_nobody_in() {
    let mut world = world().await;
    // Somebody has the port, and does not listen on it.
    let gone = tokio::net::TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    world.keys = Arc::new(Keyring::default());
    world.keys.publish(gone.local_addr().unwrap());
    let sample = (FAMILIES[0].sample)();
    world.servers[0] = service::start(sample, FAMILIES[0].name, Arc::clone(&world.keys)).await.unwrap();
    assert_eq!(world.call(FAMILIES[0].name, Some("anna"), "GET /x", "").await.0, 500);
}

#[tokio::test]
async fn the_samples_answer_as_their_documents_say() {
    let world = world().await;
    let cases = [
        (
            "activities",
            Some("anna"),
            "GET /system/ws/v12/interaction/activity?assignedTo=anna",
            "",
            200,
            "\"activity\":[{\"id\":1000,",
        ),
        (
            "activities",
            Some("anna"),
            "GET /system/ws/v12/interaction/activity?assignedTo=nobody",
            "",
            204,
            "",
        ),
        ("activities", Some("anna"), "GET /system/ws/v12/interaction/activity", "", 400, "400-245"),
        (
            "activities",
            Some("anna"),
            "GET /system/web/custom/view/my_activities.html",
            "",
            200,
            "userId = \"anna\"",
        ),
        ("contact-centre", Some("p"), "GET /api/v2/me/calls", "", 200, "{\"calls\":[],\"statusCode\":0}"),
        ("contact-centre", Some("p"), "POST /api/v2/me/calls", "{}", 400, "\"statusCode\":1"),
        (
            "contact-centre",
            Some("p"),
            "POST /api/v2/me/calls",
            "{ \"destination\": \"5019\" }",
            200,
            "\"statusCode\":0",
        ),
        ("contact-centre", Some("p"), "GET /api/v2/me/calls", "", 200, "\"destination\":\"5019\""),
        ("contact-centre", Some("q"), "GET /api/v2/me/calls", "", 200, "{\"calls\":[],\"statusCode\":0}"),
        ("engagement", Some("e"), "GET /api/v1/applications", "", 200, "demo-app"),
        ("engagement", Some("e"), "POST /vpns/api/v1/messages/push", "{}", 200, "Request Queued"),
        ("engagement", Some("d"), "POST /api/v1/subscribers", "{}", 400, "SID Cannot be empty"),
        ("crm", Some("sally"), "GET /api/v1/Contact/2", "", 200, "\"Name\":\"Superlative Widgets\""),
        ("crm", Some("sally"), "GET /SuperOffice/api/v1/contact/2", "", 200, "\"ContactId\":2"),
        (
            "crm",
            Some("sally"),
            "GET /api/v1/Contact/99999",
            "",
            404,
            "\"ErrorMessage\":\"Contact id 99999 not found\"",
        ),
        (
            "crm",
            Some("sally"),
            "POST /api/v1/Agents/Contact/GetContactEntity?contactEntityId=9",
            "null",
            200,
            "null",
        ),
        ("crm", Some("sally"), "GET /crm/", "", 200, "Signed in as sally."),
        ("crm-online", Some("sally"), "GET /api/v1/Contact/2", "", 200, "\"ContactId\":2"),
        ("shop", None, "GET /WebRestApi/rest/baskets/PRIMARY", "", 500, "outcome: Fail"),
        ("shop", Some("1"), "GET /WebRestApi/rest/baskets/PRIMARY", "", 200, "\"basketStatus\":\"NEW\""),
        (
            "shop",
            Some("1"),
            "POST /WebRestApi/rest/baskets/PRIMARY/items",
            "{\"itemId\":\"4711\"}",
            201,
            "\"lineId\":1",
        ),
        ("shop", Some("1"), "GET /WebRestApi/rest/baskets/PRIMARY", "", 200, "\"itemId\":\"4711\""),
        ("shop", Some("2"), "GET /WebRestApi/rest/baskets/PRIMARY", "", 200, "\"items\":[]"),
    ];
    for (api, subject, line, body, status, expected) in cases {
        let (found, answer) = world.call(api, subject, line, body).await;
        assert_eq!(found, status, "{api} {line}: {answer}");
        assert!(answer.contains(expected), "{api} {line}: {answer}");
    }
}

#[tokio::test]
async fn the_shop_gives_what_the_gate_checked_and_nothing_else() {
    let world = world().await;
    let call = |checked: Value, line: &'static str, body: &'static str| {
        let claims = json!({ "aud": "shop", "exp": LATER, "sub": "1", "objects": checked });
        let assertion = world.sign(&claims, "one");
        let world = &world;
        async move { world.send("shop", line, &[("countersign-assertion", &assertion)], body).await }
    };
    let base = "POST /WebRestApi/rest/baskets";
    assert!(call(json!({}), base, "{}").await.1.contains("\"basketReference\":1001"));
    assert!(call(json!({}), base, "{}").await.1.contains("\"basketReference\":1002"));
    let (line, own) = ("GET /WebRestApi/rest/baskets/1001", json!({ "basket": ["1001"] }));
    assert_eq!(call(own.clone(), line, "").await.0, 200);
    for other in [json!({}), json!({ "basket": ["1002"] }), json!({ "address": ["1001"] })] {
        assert_eq!(call(other, line, "").await.0, 404);
    }
    let (line, item) = ("POST /WebRestApi/rest/baskets/items", r#"{"itemId":"a","basketReference":1001}"#);
    assert_eq!(call(own, line, item).await.0, 201);
    assert_eq!(call(json!({}), line, item).await.0, 404);
    let made = call(json!({}), line, r#"{"itemId":"a"}"#).await.1;
    assert!(made.contains("\"basketReference\":1003"), "{made}");

    let lines = r#"{"lines":["1 High Street"]}"#;
    let made = call(json!({}), "POST /WebRestApi/rest/customers/1/addresses", lines).await;
    assert!(made.0 == 201 && made.1.contains("\"addressId\":501"), "{made:?}");
    let line = "PUT /WebRestApi/rest/addresses/501";
    assert_eq!(call(json!({ "address": ["501"] }), line, r#"{"lines":["2 High Street"]}"#).await.0, 200);
    assert_eq!(call(json!({ "address": ["502"] }), line, r#"{"lines":["3 High Street"]}"#).await.0, 404);
    let (_, shown) = call(json!({}), "GET /WebRestApi/rest/customers/1/addresses", "").await;
    assert!(shown.contains("2 High Street"), "{shown}");
}

#[tokio::test]
async fn the_demos_configuration_is_good() {
    let world = world().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("device.txt"), "a value of 24 characters").unwrap();
    let text = configuration(&world.servers, &addresses(Some("127.0.0.1:0".parse().unwrap())));
    let loaded = Loaded::parse(std::path::Path::new("demo.toml"), folder.path(), &text);
    assert!(loaded.is_ok(), "{loaded:#?}\n{text}");
}

#[test]
fn ports_follow_each_other_from_the_one_that_was_named() {
    let ports = |listen: &str| -> Vec<u16> {
        addresses(Some(listen.parse().unwrap())).iter().map(SocketAddr::port).collect()
    };
    assert_eq!(ports("127.0.0.1:7000"), [7000, 7001, 7002, 7003, 7004, 7005]);
    assert_eq!(ports("127.0.0.1:0"), [0; 6]);
}
