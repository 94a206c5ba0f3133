//! A token for one of a caller's tenants narrows what he may touch, and never widens it.

use std::fmt::Write as _;

use countersign_auth::objects::kind::Owner;
use countersign_auth::port::objects::{NewBinding, ObjectName};
use countersign_identity::service::By;

use super::{send, world};
use crate::raw::Client;
use crate::world::World;

const WORLD: &str = r#"
[[api]]
name = "shop"
dialect = "enactor"
enable = ["bearer-and-site"]
disable = ["bearer"]
at = ["/"]
[api.object.order]
owner = "customer"
[api.object.price]
owner = "merchant"
[[api.route]]
at = "/tenants/{tenant}"
allow = "authenticated"
ids = { tenant = "path tenant" }
[[api.route]]
at = "/merchants/{merchant}"
allow = "authenticated"
ids = { merchant = ["path merchant", "body /**/merchantId"] }
[[api.route]]
at = "/orders/{order}"
allow = "authenticated"
ids = { order = "path order" }
[[api.route]]
at = "/prices/{price}"
allow = "authenticated"
ids = { price = "path price" }
[[api.route]]
at = "/first/**"
allow = { tenants = ["0001"] }
[[api.route]]
at = "/open"
allow = "anonymous"
[[api]]
name = "admitting"
dialect = "enactor"
enable = ["bearer-and-site"]
disable = ["bearer"]
tenants = ["0001"]
at = ["/admitting"]
[[api.route]]
at = "/**"
allow = "authenticated"
[issuer."http://www.enactor.co/"]
keys = ["issuer-1"]
[issuer."http://other.example/"]
keys = ["issuer-2"]
"#;

/// Tokens: a name, the issuer's number, and claims beside audience and subject.
const TOKENS: [(&str, u8, &str); 9] = [
    ("both", 1, r#"exp = "+3600", merchant = ["0001", "0002"]"#),
    ("one", 1, r#"exp = "+3600", merchant = "0001""#),
    ("none", 1, r#"exp = "+3600""#),
    ("site-1", 1, r#"exp = "+3600", merchant = "0001""#),
    ("site-2", 1, r#"exp = "+3600", merchant = "0002""#),
    ("site-3", 1, r#"exp = "+3600", merchant = "0003""#),
    ("site-both", 1, r#"exp = "+3600", merchant = ["0001", "0002"]"#),
    ("site-over", 1, r#"exp = "-3600", merchant = "0001""#),
    ("site-foreign", 2, r#"exp = "+3600", merchant = "0001""#),
];

fn tenants_world() -> World {
    let mut text = WORLD.to_owned();
    for (name, issuer, claims) in TOKENS {
        let iss = if issuer == 1 { "http://www.enactor.co/" } else { "http://other.example/" };
        let _ = write!(
            text,
            "[[jwt]]\nname = \"{name}\"\nissuer = \"{iss}\"\nkey = \"issuer-{issuer}\"\n\
             header = {{ alg = \"RS256\" }}\nclaims = {{ aud = \"client\", sub = \"7\", {claims} }}\n"
        );
    }
    let world = world(&text);
    for (kind, id, owner, tenant) in [
        ("order", "1", "customer=7", Some("0001")),
        ("order", "2", "customer=7", Some("0002")),
        ("order", "3", "customer=8", Some("0001")),
        ("order", "9", "customer=7", None),
        ("price", "1", "merchant=0001", None),
        ("price", "2", "merchant=0002", None),
    ] {
        let name = ObjectName { api: "shop".into(), kind: kind.into(), id: id.to_owned() };
        let (key, value) = owner.split_once('=').unwrap();
        let owner = Some(Owner::named(key).written(value));
        let object = NewBinding { name, owner, tenant: tenant.map(str::to_owned), lifetime: None };
        world.block_on(world.service().put_objects(vec![object], By::gate(), world.now())).unwrap();
    }
    world
}

/// What becomes of requests: caller, what he sends as `site_token` (a token's name, or text after `=`), path, status.
const CASES: &str = "
both  site-1       /tenants/0001          200
both  site-1       /tenants/0002          404
both  site-2       /tenants/0002          200
both  site-2       /tenants/0001          404
both  -            /tenants/0001          401
one   -            /tenants/0001          401
one   site-1       /tenants/0001          200
one   site-2       /tenants/0002          401
one   site-2       /tenants/0001          401
none  site-1       /tenants/0001          401
none  -            /tenants/0001          401
both  site-3       /tenants/0003          401
both  site-both    /tenants/0001          401
both  site-over    /tenants/0001          401
both  site-foreign /tenants/0001          401
both  =0001        /tenants/0001          401
one   =0001        /tenants/0001          200
one   =0002        /tenants/0002          401
both  =a.b.c       /tenants/0001          401
both  =            /tenants/0001          401
one   =            /tenants/0001          401
both  site-1       /merchants/0001        200
both  site-1       /merchants/0002        404
both  -            /merchants/0001        401
one   -            /merchants/0001        401
both  site-1       /orders/1              200
both  site-1       /orders/2              404
both  site-2       /orders/2              200
both  site-2       /orders/1              404
both  -            /orders/1              401
both  -            /orders/9              401
both  site-1       /orders/9              200
both  site-1       /orders/3              404
one   site-1       /orders/2              404
both  site-1       /prices/1              200
both  site-1       /prices/2              404
both  site-2       /prices/2              200
both  -            /prices/1              401
both  site-1       /first/x               200
both  site-2       /first/x               403
both  -            /first/x               401
both  site-1       /admitting/x           200
both  site-2       /admitting/x           403
both  -            /admitting/x           401
-     site-1       /tenants/0001          401
-     site-1       /open                  200
both  site-3       /open                  401
";

#[test]
fn a_site_token_narrows_together_with_object_rules_and_never_widens() {
    let world = tenants_world();
    let token = |name: &str| world.bindings.value(&format!("jwt.{name}")).unwrap().to_owned();
    let mut client = Client::new(world.address);
    let mut tried = 0;
    // Twice: what was verified is remembered, and a remembered proof must narrow as the first did.
    for _ in 0..2 {
        for case in CASES.lines().filter(|line| !line.is_empty()) {
            let [caller, site, path, status] = case.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{case}")
            };
            let caller = match caller {
                "-" => String::new(),
                name => format!("Authorization: Bearer {}", token(name)),
            };
            let site = match site.strip_prefix('=') {
                Some(text) => format!("site_token: {text}"),
                None if site == "-" => String::new(),
                None => format!("site_token: {}", token(site)),
            };
            let answer = send(&mut client, &format!("GET {path}"), &[&caller, &site], "");
            assert_eq!(answer.head.status().to_string(), status, "{case}");
            let seen = world.upstream.take();
            assert_eq!(seen.len(), usize::from(status == "200"), "{case}");
            assert!(seen.iter().all(|one| one.head.header("site_token").is_none()), "{case}");
            tried += 1;
        }
    }
    println!("{tried} requests with and without a token for a tenant");
}

#[test]
fn a_site_token_is_one_and_is_spelt_in_one_way() {
    let world = tenants_world();
    let token = |name: &str| world.bindings.value(&format!("jwt.{name}")).unwrap().to_owned();
    let mut client = Client::new(world.address);
    let caller = format!("Authorization: Bearer {}", token("both"));
    let (one, two) = (format!("site_token: {}", token("site-1")), format!("site_token: {}", token("site-2")));
    let answer = send(&mut client, "GET /tenants/0001", &[&caller, &one, &two], "");
    assert_eq!(answer.head.status(), 400, "two of them");
    // What resembles it is no such token, and without one nobody is let in.
    let like = format!("site-token: {}", token("site-1"));
    let answer = send(&mut client, "GET /tenants/0001", &[&caller, &like], "");
    assert_eq!(answer.head.status(), 401, "a header that resembles it");
    assert_eq!(world.upstream.take().len(), 0);
}
