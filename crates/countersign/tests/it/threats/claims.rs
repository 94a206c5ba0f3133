//! C: bombs in tokens, tokens of other kinds, what refresh tokens and the gate's own say.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::port::foreign::{FrontProof, FrontTerms};
use countersign_auth::secret::Secret;

use super::tokens::{HEADER, KEY, payload, show, signed};
use super::{Ground, Told, claims, claims_of};
use crate::raw::Client;
use crate::world::{ASSERTION, keys};

/// A token whose payload is these bytes, signed by the issuer.
fn signed_bytes(header: &str, payload: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(keys::sign(KEY, message.as_bytes())))
}

/// DEFLATE that compresses nothing (RFC 1951 section 3.2.4): one last block, its length, and the bytes.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
}

#[test]
fn c8_bombs_are_refused_and_so_is_what_is_encrypted_or_compressed() {
    let ground = Ground::of("enactor");
    let good = payload(&ground, &[]);
    // Encrypted tokens, five parts long; one of them to ourselves, with a key that we have not.
    for header in [
        r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#,
        r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"JWT"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}"#,
        HEADER,
    ] {
        let encoded = URL_SAFE_NO_PAD.encode(header);
        for parts in [
            format!(
                "{encoded}..AAAAAAAAAAAAAAAA.{}.AAAAAAAAAAAAAAAAAAAAAA",
                URL_SAFE_NO_PAD.encode(deflated(good.as_bytes()))
            ),
            format!("{encoded}.{0}.{0}.{0}.{0}", "AAAA"),
            // A good token, with two parts more.
            format!("{}..", signed(HEADER, &good, KEY)),
        ] {
            show(&ground, &parts).refused(401);
        }
    }
    // Compressed, which nothing here undoes, whatever the signature.
    for header in [HEADER, r#"{"alg":"RS256","zip":"DEF"}"#] {
        show(&ground, &signed_bytes(header, &deflated(good.as_bytes()))).refused(401);
    }
    // Deep, wide, long, and of two readings.
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let wide: String = (0..5_000).map(|number| format!("\"m{number}\":1,")).collect();
    let wide = format!("{{{wide}\"m\":1}}");
    for (what, value) in [
        ("arrays in each other", deep(10_000)),
        ("objects in each other", format!("{}1{}", "{\"a\":".repeat(6_000), "}".repeat(6_000))),
        ("many members", wide),
        ("a text of 40 KB", format!("\"{}\"", "x".repeat(40_000))),
        // Within the length of a token, so that it is the depth that is too much, and no parser that recurses sees it.
        ("arrays in each other, in a short token", deep(4000)),
        ("arrays in each other, one too deep", deep(32)),
        (
            "objects in each other, in a short token",
            format!("{}1{}", "{\"a\":".repeat(1500), "}".repeat(1500)),
        ),
        ("a member twice, within", r#"{"b":1,"b":2}"#.to_owned()),
    ] {
        let token = signed(HEADER, &payload(&ground, &[("more", &value)]), KEY);
        assert!(!what.ends_with("short token") || token.len() < 16 * 1024, "{what}: {} bytes", token.len());
        let told = show(&ground, &token);
        assert_eq!((told.status(), told.seen.len()), (401, 0), "{what}: {}", told.bytes());
    }
    show(&ground, &signed(r#"{"alg":"RS256","alg":"RS256"}"#, &good, KEY)).refused(401);
    show(&ground, &signed(&format!(r#"{{"alg":"RS256","x":{}}}"#, deep(1000)), &good, KEY)).refused(401);
    // A megabyte is no head; what is answered may be lost on the way.
    let request = format!(
        "GET /WebRestApi/rest/baskets/PRIMARY HTTP/1.1\r\nHost: api.james.enactor\r\nAuthorization: Bearer {}\r\n\r\n",
        "A".repeat(1_000_000)
    );
    let answer = Client::new(ground.world.address).exchange(0, request.as_bytes());
    assert!(answer.is_err() || answer.unwrap().head.status() == 431);
    assert!(ground.world.upstream.take().is_empty());
    // What a genuine token may have beside its claims; the object of the claims is one level.
    show(&ground, &signed(HEADER, &payload(&ground, &[("more", &deep(31))]), KEY)).passed();
    show(&ground, &signed(HEADER, &payload(&ground, &[("more", &deep(5))]), KEY)).passed();
    show(
        &ground,
        &signed(HEADER, &payload(&ground, &[("more", &format!("\"{}\"", "x".repeat(2_000)))]), KEY),
    )
    .passed();
}

/// A log-in at an endpoint that gives refresh tokens.
fn log_in(ground: &Ground) -> Told {
    ground.send("POST /authService/accounts/login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{\"userid\":\"alice\",\"password\":\"wonderland-7\"}")
        .answered()
}

fn refresh(ground: &Ground, token: &str) -> Told {
    ground.send(&format!("POST /claims HTTP/1.1\nHost: push.example\nAuthorization: {token}"))
}

fn with_claims(ground: &Ground, token: &str) -> Told {
    ground.send(&format!(
        "GET /api/v1/applications HTTP/1.1\nHost: push.example\nX-VoltMX-Authorization: {token}"
    ))
}

#[test]
fn c9_a_refresh_token_that_comes_again_ends_its_family_alone() {
    let ground = Ground::of("voltmx");
    ground.world.stop_clock();
    let (first, other) = (log_in(&ground), log_in(&ground));
    let (spent, others) = (first.member("/refresh_token"), other.member("/refresh_token"));
    // Two tabs at once are told the same successor.
    let next = refresh(&ground, &spent).answered();
    let successor = next.member("/refresh_token");
    assert_ne!(successor, spent);
    ground.world.wait(Duration::from_secs(5));
    assert_eq!(refresh(&ground, &spent).answered().member("/refresh_token"), successor);
    // Another user's family, and what no family has, are nobody's business here.
    refresh(&ground, &format!("{}A", &spent[..spent.len() - 1])).refused(401);
    with_claims(&ground, &next.member("/claims_token/value")).passed();
    // Later it is a thief's or his victim's, and nobody can tell which: all that came of it ends.
    ground.world.wait(Duration::from_secs(60));
    let last = refresh(&ground, &successor).answered();
    with_claims(&ground, &last.member("/claims_token/value")).passed();
    refresh(&ground, &spent).refused(401);
    refresh(&ground, &last.member("/refresh_token")).refused(401);
    with_claims(&ground, &last.member("/claims_token/value")).refused(401);
    with_claims(&ground, &next.member("/claims_token/value")).refused(401);
    // Another log-in of the same user goes on.
    with_claims(&ground, &other.member("/claims_token/value")).passed();
    refresh(&ground, &others).answered();
}

#[test]
fn c10_an_address_of_two_domains_is_of_none() {
    let ground = Ground::with(
        "superoffice",
        "[[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"crm.example/\"]\n\
         enable = [\"front\"]\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n\
         [[account]]\nname = \"ann\"\npassword = \"wonderland-7\"\n\
         [[account]]\nname = \"ann@evil.example\"\npassword = \"wonderland-8\"\n",
    );
    let secret = "a secret of the front's own";
    let terms = FrontTerms {
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        proof: FrontProof::Secret(Secret::new(secret)),
        domains: vec!["corp.example".to_owned()],
        create: false,
    };
    ground.world.service().believe_front("crm", terms);
    let ask = |user: &str| {
        ground.send(&format!(
            "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nX-Windows-User: {user}\nX-Front-Proof: {secret}"
        ))
    };
    for user in [
        "ann@evil.example@corp.example",
        "ann@corp.example@evil.example",
        "ann@evil.example",
        "ann@notcorp.example",
        "ann@corp.example.evil.example",
        "ann@sub.corp.example",
        "ann@corp.example.",
        "ann@corp.example ,ann@evil.example",
        "corp.example\\ann@evil.example",
        "evil.example\\ann@corp.example",
        "corp.example\\evil.example\\ann",
        "@corp.example",
        "ann@",
        "ann",
        "\"ann@evil.example\"@corp.example",
    ] {
        ask(user).refused(401);
    }
    for user in ["ann@corp.example", "ann@CORP.example", "corp.example\\ann"] {
        assert_eq!(claims(&ask(user).passed())["sub"], "ann", "{user}");
    }
}

/// A token that the gate issues itself, asked for with these members beside user and password.
fn own_token(ground: &Ground, query: &str, more: &str) -> Told {
    ground.send(&format!(
        "POST /WebRestApi/rest/identity/token{query} HTTP/1.1\nHost: own.enactor\nContent-Type: application/json\n\n\
         {{\"userName\":\"jane\",\"password\":\"basket-case-8\"{more}}}"
    ))
}

fn own(ground: &Ground, token: &str) -> Told {
    ground.send(&format!(
        "GET /WebRestApi/rest/baskets/PRIMARY HTTP/1.1\nHost: own.enactor\nAuthorization: Bearer {token}"
    ))
}

#[test]
fn c11_what_is_signed_for_something_else_is_no_token() {
    let ground = Ground::of("enactor");
    let token = own_token(&ground, "", "").answered().member("/access_token");
    let seen = own(&ground, &token).passed();
    let assertion = seen.head.header(ASSERTION).unwrap().to_owned();
    assert_ne!(assertion, token);
    // What the service is told is signed by the gate as well, for the same user; it is no credential anywhere.
    own(&ground, &assertion).refused(401);
    show(&ground, &assertion).refused(401);
    let foreign = signed(HEADER, &payload(&ground, &[]), KEY);
    let assertion = show(&ground, &foreign).passed().head.header(ASSERTION).unwrap().to_owned();
    show(&ground, &assertion).refused(401);
    own(&ground, &assertion).refused(401);
    // A token of one realm is none of another, whoever signed it.
    own(&ground, &foreign).refused(401);
    show(&ground, &token).refused(401);
    // What the issuer signed for another purpose says so in its type.
    for kind in ["countersign-assertion+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt"] {
        let header = format!(r#"{{"alg":"RS256","typ":"{kind}"}}"#);
        show(&ground, &signed(&header, &payload(&ground, &[]), KEY)).refused(401);
    }
    show(&ground, &signed(r#"{"alg":"RS256","typ":"JWT"}"#, &payload(&ground, &[]), KEY)).passed();
    own(&ground, &token).passed();
}

#[test]
fn c14_whoever_asks_for_a_token_says_nothing_in_it() {
    let ground = Ground::of("enactor");
    let plain = claims_of(&own_token(&ground, "", "").answered().member("/access_token"));
    let later = plain["exp"].as_i64().unwrap() + 1_000_000;
    let wanted = format!(
        ",\"sub\":\"2\",\"subject\":\"2\",\"exp\":{later},\"iss\":\"http://evil.example/\",\"aud\":\"server\",\
         \"merchant\":\"0001\",\"roles\":[\"administrator\"],\"expires_in\":{later}"
    );
    let told = own_token(&ground, "?sub=2&exp=9999999999&merchant=0001", &wanted).answered();
    let token = told.member("/access_token");
    let mut said = claims_of(&token);
    for (name, value) in plain.as_object().unwrap() {
        match name.as_str() {
            "exp" | "iat" | "nbf" => {
                let (said, plain) = (said[name].as_i64().unwrap(), value.as_i64().unwrap());
                assert!((plain..plain + 600).contains(&said), "{name}: {said}, not {plain}");
            }
            "jti" => {}
            name => assert_eq!(&said[name], value, "{name}"),
        }
        said.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(said, serde_json::json!({}), "nothing more is in it");
    let told = claims(&own(&ground, &token).passed());
    assert_eq!(told["aud"], "own");
    assert_ne!(told["sub"], "2");
    // Nor does a foreign token say it in what the service is told: the gate's own members win.
    let exp = (ground.world.now().unix_secs() + 3000).to_string();
    let extra = [
        ("aud", "[\"client\",\"own\"]"),
        ("exp", exp.as_str()),
        ("anonymous", "true"),
        ("kind", "\"users\""),
        ("roles", "[\"administrator\"]"),
        ("objects", "{\"basket\":[\"1\"]}"),
        ("credential", "\"front\""),
    ];
    let told = claims(&show(&ground, &signed(HEADER, &payload(&ground, &extra), KEY)).passed());
    assert_eq!(
        (&told["iss"], &told["aud"], &told["sub"]),
        (&"countersign".into(), &"shop".into(), &"1".into())
    );
    assert_eq!((&told["kind"], &told["credential"]), (&"customers".into(), &"bearer".into()));
    assert_eq!(told["roles"], serde_json::json!([]));
    assert!(told.get("anonymous").is_none() && told.get("objects").is_none(), "{told}");
    assert!(told["exp"].as_i64().unwrap() <= told["iat"].as_i64().unwrap() + 60, "{told}");
}
