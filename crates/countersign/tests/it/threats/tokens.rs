//! C: tokens.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_auth::port::IssuerKey;
use countersign_identity::issuers::TrustedIssuer;

use super::{Ground, Told, basic};
use crate::upstream::Upstream;
use crate::world::keys;

/// The issuer that the world's shop trusts, and its key.
const ISSUER: &str = "http://www.enactor.co/";
pub(super) const KEY: &str = "issuer-1";

/// What the header of a good token says.
pub(super) const HEADER: &str = r#"{"alg":"RS256"}"#;

fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A token of these parts, signed by a named key.
pub(super) fn signed(header: &str, payload: &str, key: &str) -> String {
    let message = format!("{}.{}", part(header), part(payload));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(keys::sign(key, message.as_bytes())))
}

/// The payload of a good token, with other members in the place of some.
pub(super) fn payload(ground: &Ground, changes: &[(&str, &str)]) -> String {
    let exp = (ground.world.now().unix_secs() + 3000).to_string();
    let issuer = format!("\"{ISSUER}\"");
    let mut members =
        vec![("iss", issuer.as_str()), ("aud", "\"client\""), ("sub", "\"1\""), ("exp", exp.as_str())];
    for (name, value) in changes {
        members.retain(|(known, _)| known != name);
        if !value.is_empty() {
            members.push((name, value));
        }
    }
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

pub(super) fn show(ground: &Ground, token: &str) -> Told {
    ground.send(&format!(
        "GET /WebRestApi/rest/baskets/PRIMARY HTTP/1.1\nHost: api.james.enactor\nAuthorization: Bearer {token}"
    ))
}

#[test]
fn c1_an_unsigned_token_is_refused() {
    let ground = Ground::of("enactor");
    let payload = payload(&ground, &[]);
    let good = signed(HEADER, &payload, KEY);
    let signature = good.rsplit('.').next().unwrap();
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"nOnE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["RS256"]}"#,
        r#"{"typ":"JWT"}"#,
        "{}",
        r#"{"alg":"none","alg":"RS256"}"#,
        r#"{"alg":"RS256","alg":"none"}"#,
    ] {
        for signature in ["", signature, "AA"] {
            show(&ground, &format!("{}.{}.{signature}", part(header), part(&payload))).refused(401);
        }
        show(&ground, &format!("{}.{}", part(header), part(&payload))).refused(401);
    }
    // The right algorithm without its signature, or with a bit less of it.
    let message = good.rsplit_once('.').unwrap().0;
    show(&ground, &format!("{message}.")).refused(401);
    show(&ground, message).refused(401);
    show(&ground, &good[..good.len() - 4]).refused(401);
    show(&ground, &good).passed();
}

#[test]
fn c2_the_key_decides_the_algorithm() {
    let ground = Ground::of("enactor");
    let payload = payload(&ground, &[]);
    let der = keys::public_der(KEY);
    let pem =
        format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", STANDARD.encode(&der));
    for secret in [der.clone(), pem.into_bytes(), STANDARD.encode(&der).into_bytes(), Vec::new()] {
        for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512)] {
            let message = format!("{}.{}", part(&format!(r#"{{"alg":"{name}"}}"#)), part(&payload));
            let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), message.as_bytes());
            show(&ground, &format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))).refused(401);
        }
    }
    for name in ["ES256", "ES384", "EdDSA", "PS256", "RS384", "RS512", "rs256"] {
        let header = format!(r#"{{"alg":"{name}"}}"#);
        // An RSA signature under another name, and a signature of zeros.
        show(&ground, &signed(&header, &payload, KEY)).refused(401);
        for length in [64, 96, 256] {
            let zeros = URL_SAFE_NO_PAD.encode(vec![0; length]);
            show(&ground, &format!("{}.{}.{zeros}", part(&header), part(&payload))).refused(401);
        }
    }
    let zeros = URL_SAFE_NO_PAD.encode([0; 256]);
    show(&ground, &format!("{}.{}.{zeros}", part(HEADER), part(&payload))).refused(401);
    show(&ground, &signed(HEADER, &payload, "stranger-1")).refused(401);
    show(&ground, &signed(HEADER, &payload, KEY)).passed();
}

#[test]
fn c3_claims_are_required_and_of_their_types() {
    let ground = Ground::of("enactor");
    let now = ground.world.now().unix_secs();
    let (past, soon, ahead) =
        ((now - 120).to_string(), (now + 600).to_string(), format!("\"{}\"", now + 600));
    let fraction = format!("{}.5", now + 600);
    let list = format!("[{}]", now + 600);
    let millis = ((now + 600) * 1000).to_string();
    let refused: [(&str, &str); 27] = [
        ("exp", ""),
        ("exp", &past),
        ("exp", &ahead),
        ("exp", &fraction),
        ("exp", "1e400"),
        ("exp", "1e300"),
        ("exp", "-1"),
        ("exp", "null"),
        ("exp", "true"),
        ("exp", &list),
        ("exp", &millis),
        ("exp", "99999999999999999999"),
        ("aud", ""),
        ("aud", "\"server\""),
        ("aud", "null"),
        ("aud", "[]"),
        ("aud", "[\"server\"]"),
        ("aud", "{\"client\":1}"),
        ("aud", "[\"client\",1]"),
        ("aud", "\"client \""),
        ("iss", ""),
        ("iss", "\"http://www.stranger.example/\""),
        ("iss", "[\"http://www.enactor.co/\"]"),
        ("iss", "\"http://www.enactor.co\""),
        ("sub", ""),
        ("nbf", &soon),
        ("nbf", "\"0\""),
    ];
    for (name, value) in refused {
        show(&ground, &signed(HEADER, &payload(&ground, &[(name, value)]), KEY)).refused(401);
    }
    let twice = payload(&ground, &[]).replace("\"sub\":\"1\"", "\"sub\":\"1\",\"sub\":\"2\"");
    show(&ground, &signed(HEADER, &twice, KEY)).refused(401);
    let past = (now - 5).to_string();
    for (name, value) in
        [("aud", "[\"server\",\"client\"]"), ("nbf", past.as_str()), ("exp", soon.as_str()), ("iat", &millis)]
    {
        show(&ground, &signed(HEADER, &payload(&ground, &[(name, value)]), KEY)).passed();
    }
}

#[test]
fn c4_a_header_names_no_key_and_nothing_is_fetched() {
    let ground = Ground::of("enactor");
    let elsewhere = Upstream::start();
    let url = format!("http://{}/keys", elsewhere.address());
    let payload = payload(&ground, &[]);
    let modulus = URL_SAFE_NO_PAD.encode(keys::public_der("stranger-1"));
    let refused = [
        (r#"{"alg":"RS256","crit":["exp"],"exp":1}"#.to_owned(), KEY),
        (r#"{"alg":"RS256","crit":[]}"#.to_owned(), KEY),
        (r#"{"alg":"RS256","crit":["b64"],"b64":false}"#.to_owned(), KEY),
        (format!(r#"{{"alg":"RS256","jku":"{url}"}}"#), "stranger-1"),
        (format!(r#"{{"alg":"RS256","x5u":"{url}"}}"#), "stranger-1"),
        (format!(r#"{{"alg":"RS256","jwk":{{"kty":"RSA","e":"AQAB","n":"{modulus}"}}}}"#), "stranger-1"),
        (format!(r#"{{"alg":"RS256","x5c":["{modulus}"]}}"#), "stranger-1"),
        (r#"{"alg":"RS256","kid":"../../dev/null"}"#.to_owned(), "stranger-1"),
        (r#"{"alg":"RS256","kid":"x' UNION SELECT 1 --"}"#.to_owned(), "stranger-1"),
        (r#"{"alg":"RS256","kid":1}"#.to_owned(), KEY),
    ];
    for (header, key) in &refused {
        show(&ground, &signed(header, &payload, key)).refused(401);
    }
    // A good signature stands beside hints that are not followed.
    show(&ground, &signed(&format!(r#"{{"alg":"RS256","jku":"{url}"}}"#), &payload, KEY)).passed();
    // Where keys have ids, a token that names another one is not tried against them.
    trust_named(&ground);
    for id in ["../../dev/null", "x' OR '1'='1", "", "k2", "K1"] {
        show(&ground, &signed(&format!(r#"{{"alg":"RS256","kid":"{id}"}}"#), &payload, KEY)).refused(401);
    }
    show(&ground, &signed(r#"{"alg":"RS256","kid":"k1"}"#, &payload, KEY)).passed();
    assert!(elsewhere.take().is_empty(), "keys were fetched from where a token said");
}

/// From now on the issuer's key has an id.
fn trust_named(ground: &Ground) {
    let key = IssuerKey { id: Some("k1".to_owned()), ..keys::public(KEY) };
    ground.world.service().trust_issuer("shop", ISSUER, TrustedIssuer::Keys(vec![key]));
}

/// Where keys are in the configuration nothing is fetched: unknown ids cost nothing but their refusal. Where they are
/// an issuer's to publish, `c5_unknown_key_ids_fetch_once_a_window` counts what is fetched.
#[test]
fn c5_a_thousand_unknown_key_ids_cost_nothing_and_lock_nobody_out() {
    let ground = Ground::of("enactor");
    trust_named(&ground);
    let payload = payload(&ground, &[]);
    let runs = ground.world.service().password_runs();
    let good = signed(r#"{"alg":"RS256","kid":"k1"}"#, &payload, KEY);
    let signature = good.rsplit('.').next().unwrap();
    for number in 0..1000 {
        let header = part(&format!(r#"{{"alg":"RS256","kid":"unknown-{number}"}}"#));
        show(&ground, &format!("{header}.{}.{signature}", part(&payload))).refused(401);
    }
    assert_eq!(ground.world.service().password_runs(), runs);
    show(&ground, &good).passed();
}

#[test]
fn c6_a_token_is_good_where_it_was_issued_for_alone() {
    // The same issuer's name, other keys: what was verified at one API is not taken from memory at the other.
    let ground = Ground::of("enactor");
    let good = signed(HEADER, &payload(&ground, &[]), KEY);
    let at = |host: &str, path: &str, token: &str| {
        ground.send(&format!(
            "GET /WebRestApi/rest{path} HTTP/1.1\nHost: {host}\nAuthorization: Bearer {token}"
        ))
    };
    for _ in 0..2 {
        at("api.james.enactor", "/baskets/PRIMARY", &good).passed();
        at("own.enactor", "/baskets/PRIMARY", &good).refused(401);
    }
    let own = ground
        .send("POST /WebRestApi/rest/identity/token HTTP/1.1\nHost: own.enactor\nContent-Type: application/json\n\n{\"userName\":\"jane\",\"password\":\"basket-case-8\"}")
        .answered()
        .member("/access_token");
    for _ in 0..2 {
        at("own.enactor", "/baskets/PRIMARY", &own).passed();
        at("api.james.enactor", "/baskets/PRIMARY", &own).refused(401);
    }
    // A route's demands are asked of a token from memory as well.
    let other = signed(HEADER, &payload(&ground, &[("merchant", "\"0002\"")]), KEY);
    let right = signed(HEADER, &payload(&ground, &[("merchant", "\"0001\"")]), KEY);
    for _ in 0..2 {
        at("api.james.enactor", "/baskets/PRIMARY", &other).passed();
        at("api.james.enactor", "/prices/1", &other).refused(403);
        at("api.james.enactor", "/prices/1", &right).passed();
    }
    // Opaque ones.
    let ground = Ground::of("voltmx");
    let claims = ground
        .send("POST /authService/accounts/login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{\"userid\":\"alice\",\"password\":\"wonderland-7\"}")
        .answered()
        .member("/claims_token/value");
    let at = |host: &str| {
        ground.send(&format!(
            "GET /api/v1/applications HTTP/1.1\nHost: {host}\nX-VoltMX-Authorization: {claims}"
        ))
    };
    for _ in 0..2 {
        at("push.example").passed();
        at("open.example").refused(401);
        at("cloud.example").refused(401);
    }
}

#[test]
fn c7_presence_is_not_proof() {
    let places = [
        ("enactor", "GET /WebRestApi/rest/baskets/PRIMARY HTTP/1.1\nHost: api.james.enactor", 401),
        ("egain", "GET /system/ws/v12/interaction/activity HTTP/1.1\nHost: a.example", 401),
        ("superoffice", "GET /Cust26759/api/v1/Contact/2 HTTP/1.1\nHost: online.example", 401),
        ("superoffice", "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example", 401),
        ("genesys", "GET /api/v2/me HTTP/1.1\nHost: a.example", 403),
        ("voltmx", "GET /api/v1/applications HTTP/1.1\nHost: push.example", 401),
        // Where nobody need log in, a wrong credential is refused all the same.
        ("enactor", "POST /WebRestApi/rest/baskets HTTP/1.1\nHost: api.james.enactor", 401),
        ("genesys", "GET /api/v2/diagnostics/version HTTP/1.1\nHost: a.example", 403),
    ];
    let long = "a".repeat(2000);
    let garbage =
        ["x", "", "null", "undefined", "a.b.c", "..", "true", "eyJhbGciOiJub25lIn0.e30.", long.as_str()];
    for (dialect, request, status) in places {
        let ground = Ground::of(dialect);
        for value in garbage {
            ground.send(&format!("{request}\nAuthorization: Bearer {value}")).refused(status);
        }
        for header in
            ["Authorization: Bearer", "Authorization: ", "Authorization: x", "Authorization: Unheard-Of x"]
        {
            ground.send(&format!("{request}\n{header}")).refused(status);
        }
    }
    let ground = Ground::of("voltmx");
    ground
        .send(&format!(
            "GET /api/v1/applications HTTP/1.1\nHost: push.example\nAuthorization: {}",
            basic("alice", "wonderland-7")
        ))
        .passed();
}
