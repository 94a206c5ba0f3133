//! F: people of several issuers, and of the gate's own, who have equal subjects.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::account::People;
use countersign_auth::port::foreign::IssuerTerms;
use countersign_identity::issuers::TrustedIssuer;
use countersign_identity::signing::public::parse_jwks;
use serde_json::{Value, json};

use super::{ASSERTION, Ground, Told, all, claims};

const STAFF: &str = "https://staff.example";
const PARTNER: &str = "https://partner.example";

const WORLD: &str = r#"
[[account]]
kind = "customers"
name = "ann"
password = "Correct-horse-9"

[[api]]
name = "shop"
dialect = "enactor"
at = ["/"]
issuers."http://www.enactor.co/" = "self"
[api.object.order]
[[api.route]]
at = "POST /orders/by/{who}"
allow = "authenticated"
creates = { order = "header x-order" }
[[api.route]]
at = "/orders/{order}"
allow = "authenticated"
ids = { order = "path order" }
[[api.route]]
at = "/people/{subject}"
allow = "authenticated"
ids = { subject = "path subject" }
[[api.route]]
at = "/**"
allow = "authenticated"
"#;

/// A gate that logs its own people in, and takes the tokens of two issuers.
struct Town {
    ground: Ground,
    keys: [(&'static str, Ed25519KeyPair); 2],
}

impl Town {
    fn new(people: People) -> Self {
        let ground = Ground::with("enactor", WORLD);
        let keys = [STAFF, PARTNER].map(|issuer| (issuer, Ed25519KeyPair::generate().unwrap()));
        for (issuer, pair) in &keys {
            let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] });
            let set = parse_jwks(&set.to_string()).unwrap();
            let terms = IssuerTerms { audience: Some("gate".to_owned()), people, ..IssuerTerms::default() };
            let service = ground.world.service();
            service.trust_issuer_on("shop", issuer, TrustedIssuer::Keys(set), Some(terms));
        }
        Self { ground, keys }
    }

    /// The token of Ann of an issuer, or of the gate's own.
    fn ann(&self, issuer: Option<&str>) -> String {
        let Some(issuer) = issuer else {
            let log_in = "POST /identity/token\nHost: a.example\nContent-Type: application/json\n\n\
                {\"userName\":\"ann\",\"password\":\"Correct-horse-9\"}";
            return self.ground.send(&log_in.replacen('\n', " HTTP/1.1\n", 1)).member("/access_token");
        };
        let (_, pair) = self.keys.iter().find(|(name, _)| *name == issuer).unwrap();
        let now = self.ground.world.now().unix_secs();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "iss": issuer, "aud": "gate", "sub": "ann", "iat": now, "exp": now + 600 });
        let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": "k" })), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn send(&self, token: &str, line: &str) -> Told {
        let head = format!("{line} HTTP/1.1\nHost: a.example\nAuthorization: Bearer {token}");
        self.ground.send(&head)
    }
}

const ALL: [Option<&str>; 3] = [None, Some(STAFF), Some(PARTNER)];

#[test]
fn f10_an_equal_subject_of_another_issuer_is_somebody_else() {
    let town = Town::new(People::Own);
    let tokens = ALL.map(|issuer| (issuer, town.ann(issuer)));
    // Twice: what was remembered of one must not serve another.
    for _ in 0..2 {
        for (issuer, token) in &tokens {
            let told = claims(&town.send(token, "GET /x").passed());
            assert_eq!(told["sub"], "ann");
            assert_eq!(told.get("idp").and_then(Value::as_str), *issuer, "{told}");
        }
    }
    for (number, (_, token)) in tokens.iter().enumerate() {
        town.ground
            .world
            .upstream
            .reply(format!("HTTP/1.1 200 OK\r\nX-Order: {number}\r\nContent-Length: 0\r\n\r\n").into_bytes());
        town.send(token, "POST /orders/by/him").passed();
    }
    for (number, (owner, _)) in tokens.iter().enumerate() {
        for (issuer, token) in &tokens {
            let told = town.send(token, &format!("GET /orders/{number}"));
            if issuer == owner { drop(told.passed()) } else { drop(told.refused(404)) }
        }
    }
    // Subjects in requests are the gate's own people.
    for (issuer, token) in &tokens {
        let (ann, bob) = (town.send(token, "GET /people/ann"), town.send(token, "GET /people/bob"));
        if issuer.is_none() {
            drop(ann.passed());
            bob.refused(404);
        } else {
            // He has no subject that could be compared, whichever is asked for.
            ann.refused(403);
            bob.refused(403);
        }
    }
}

#[test]
fn f10_issuers_name_the_same_people_where_that_is_said() {
    let town = Town::new(People::Same);
    let tokens = ALL.map(|issuer| (issuer, town.ann(issuer)));
    let reply = b"HTTP/1.1 200 OK\r\nX-Order: 1\r\nContent-Length: 0\r\n\r\n";
    town.ground.world.upstream.reply(reply.to_vec());
    town.send(&tokens[1].1, "POST /orders/by/him").passed();
    for (issuer, token) in &tokens {
        let seen = town.send(token, "GET /orders/1").passed();
        assert_eq!(all(&seen, ASSERTION).len(), 1);
        assert_eq!(claims(&seen).get("idp").and_then(Value::as_str), *issuer, "who vouches is said");
        town.send(token, "GET /people/ann").passed();
        town.send(token, "GET /people/bob").refused(404);
    }
}
