//! Routes that cross, where the one that counts asks for less than the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use countersign_auth::api::{Api, ApiOptions};
use countersign_auth::dialect::Dialect;
use countersign_auth::dialect::source::Problem;
use countersign_auth::objects::RouteObjects;
use countersign_auth::policy::{Allow, Conditions, RouteOptions};

/// What is said of routes, each in a line: `GET /x/** = role admin, id customer path customer`.
fn mistakes(lines: &[&str]) -> Vec<String> {
    let problems = api(lines).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.message).collect()
}

/// An API with these routes.
fn api(lines: &[&str]) -> Result<Api, Vec<Problem>> {
    let routes = lines.iter().map(|line| route(line)).collect();
    let dialect = Dialect::load("harbour.toml", &super::common::dialect_text("harbour")).unwrap();
    Api::new(Arc::new(dialect), ApiOptions { name: "port".to_owned(), routes, ..ApiOptions::default() })
}

fn route(line: &str) -> RouteOptions {
    let (at, words) = line.split_once(" = ").unwrap();
    let mut conditions = Conditions::default();
    let mut objects = RouteObjects::default();
    for word in words.split(", ") {
        let (word, rest) = word.split_once(' ').unwrap_or((word, ""));
        let add = |map: &mut BTreeMap<String, Vec<String>>| {
            let (name, place) = rest.split_once(' ').unwrap();
            map.entry(name.to_owned()).or_default().push(place.to_owned());
        };
        match word {
            "proven" | "anonymous" => {}
            "role" => conditions.roles.push(rest.to_owned()),
            "tenant" => conditions.tenants.push(rest.to_owned()),
            "scheme" => conditions.schemes.push(rest.to_owned()),
            "age" => conditions.max_age = Some(Duration::from_secs(rest.parse().unwrap())),
            "id" => add(&mut objects.ids),
            "shows" => add(&mut objects.shows),
            _ => panic!("no word {word}"),
        }
    }
    let allow = if words == "anonymous" { Allow::Anonymous } else { Allow::Proven(conditions) };
    RouteOptions { at: at.to_owned(), allow, upgrade: false, objects }
}

#[test]
fn a13_a_laxer_route_that_crosses_a_stricter_one_is_told() {
    let told = |lines: &[&str], expected: &[&str]| {
        let told = mistakes(lines);
        assert_eq!(told.len(), expected.len(), "{lines:?}: {told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{lines:?}: {told}");
        }
    };
    let admin = "/admin/** = role admin";
    assert_eq!(
        mistakes(&[admin, "/{kind}/{id} = proven", "/** = proven"]),
        [
            "routes `/{kind}/{id}` and `/admin/**` both match /admin/any; the first one counts, as it is more exact, \
          and asks for less (roles): write a route at = \"/admin/{id}\" that says who may"
        ]
    );
    // Written, it counts; it is within both.
    told(&[admin, "/{kind}/{id} = proven", "/admin/{id} = role admin"], &[]);
    told(&[admin, "/{kind}/{id} = proven", "/admin/{id} = proven"], &[]);
    told(&[admin, "/{kind}/{id} = proven", "GET /admin/{id} = role admin"], &["at = \"/admin/{id}\""]);
    told(&[admin, "GET /{kind}/{id} = proven", "GET /admin/{id} = role admin"], &[]);
    told(&[admin, "/**/export = proven"], &["at = \"/admin/**/export\""]);
    told(&[admin, "/**/export = proven", "/admin/**/export = role admin"], &[]);
    // Both match `/admin` itself.
    told(&[admin, "/**/admin = proven", "/admin/**/admin = role admin"], &["at = \"/admin\""]);
    told(&[admin, "/**/admin = proven", "/admin/**/admin = role admin", "/admin = role admin"], &[]);
    // What is not within the other though it is more exact, and has all of the other's paths.
    told(&[admin, "/**/{last} = proven"], &["at = \"/admin/**/{last}\""]);
    // Exceptions, and what asks for as much.
    told(&[admin, "/admin/help = anonymous", "/admin/{x}/** = proven", "/** = anonymous"], &[]);
    told(&[admin, "/{kind}/{id} = role admin"], &[]);
    told(&["/admin/** = role admin, role clerk", "/{kind}/{id} = role clerk, age 60"], &[]);
    told(&[admin, "/{kind}/{id} = role admin, role clerk"], &["(roles)"]);
    told(&["/admin/** = anonymous", "/{kind}/{id} = proven"], &[]);
    told(&["/admin/** = proven", "/**/export = anonymous"], &["(no credential)"]);
    told(&["/a/** = tenant t", "/**/b = role r"], &["(tenants)"]);
    told(&["/a/** = scheme password", "/**/b = scheme basic"], &[]);
    told(&["/a/** = scheme basic", "/**/b = scheme password"], &["(schemes)"]);
    told(&["/a/** = age 60", "/**/b = age 61"], &["(max_age)"]);
    told(&["/a/** = age 60", "/**/b = age 60"], &[]);
    // Methods.
    told(&["DELETE /admin/** = role admin", "GET /**/x = proven"], &[]);
    told(&["GET /admin/** = role admin", "HEAD /**/x = proven"], &["at = \"HEAD /admin/**/x\""]);
    told(&["GET|PUT /admin/** = role admin", "/**/x = proven"], &["at = \"GET|PUT /admin/**/x\""]);
    told(&["PROPFIND /admin/** = role admin", "/**/x = proven"], &[]);
    told(&["/admin/** = role admin", "PROPFIND|GET /**/x = proven"], &["(roles)"]);
}

#[test]
fn a13_object_rules_count_where_routes_cross() {
    let check = |stricter: &str, winner: &str, expected: &str| {
        let told = mistakes(&[stricter, winner]);
        let why = told.first().and_then(|text| text.split(['(', ')']).nth(1)).unwrap_or_default();
        assert!(told.len() <= 1 && why == expected, "{stricter} {winner}: {told:?}");
    };
    let orders = "/customers/{customer}/** = proven, id customer path customer";
    check(orders, "/**/export = proven", "ids");
    check(orders, "/{kind}/{id} = proven", "ids");
    check(orders, "/{kind}/{id} = proven, id customer path id", "");
    check(orders, "/{kind}/{id} = proven, id customer path kind", "ids");
    check(orders, "/{kind}/{id} = proven, id customer path id, id customer query c", "");
    check(orders, "/{kind}/{id} = proven, id customer? path id", "ids");
    check(orders, "/**/{last} = proven, id customer path last", "ids");
    check("/a/**/{id} = proven, id customer path id", "/{kind}/b/{x} = proven, id customer path x", "");
    let header = "/a/** = proven, id customer header x-customer";
    check(header, "/**/b = proven, id customer header x-customer", "");
    check(header, "/**/b = proven, id customer header X_Customer", "");
    check(header, "/**/b = proven, id customer header x-customer, id customer query c", "ids");
    let parameter = "/a/** = proven, id customer query filter[id]";
    check(parameter, "/**/b = proven, id customer query Filter.id", "");
    check(parameter, "/**/b = proven, id customer query filter%5Bid%5D", "");
    check(parameter, "/**/b = proven, id customer query filter", "ids");
    check(header, "/**/b = proven, id customer header x-other", "ids");
    let optional = "/a/** = proven, id customer? header x-customer";
    check(optional, "/**/b = proven, id customer header x-customer", "");
    check(optional, "/**/b = proven, id customer? header x-customer, id customer? query c", "");
    check("/a/** = proven, shows customer body /c", "/**/b = proven", "shows");
    check("/a/** = proven, shows customer body /c", "/**/b = proven, shows customer body /c", "");
}

#[test]
fn methods_that_a_laxer_route_decides_are_noted() {
    let all = "/** = proven";
    let told = |lines: &[&str], expected: &[&str]| {
        let api = api(lines).unwrap();
        assert_eq!(api.notes().len(), expected.len(), "{lines:?}: {:#?}", api.notes());
        for (told, expected) in api.notes().iter().zip(expected) {
            assert!(told.contains(expected), "{lines:?}: {told}");
        }
    };
    assert_eq!(
        api(&[all, "GET|POST /admin/** = role admin"]).unwrap().notes(),
        [
            "PUT, PATCH, DELETE of `/admin/**` are decided by `/**`, which asks for less than `GET|POST /admin/**` (roles)"
        ]
    );
    let customers = "GET /customers/{customer}/** = proven, id customer path customer";
    told(&[all, customers], &["POST, PUT, PATCH, DELETE of `/customers/{customer}/**` are decided by `/**`"]);
    told(&[all, customers, "/customers/{c}/** = proven, id customer path c"], &[]);
    told(
        &[all, customers, "POST|PUT|PATCH /customers/** = role admin"],
        &[
            "POST, PUT, PATCH of `/customers/{customer}/**` are decided by `POST|PUT|PATCH /customers/**`",
            "DELETE of",
            "DELETE of",
        ],
    );
    // What is not on the path is another body's with another method.
    told(&[all, "GET /x = proven, id customer query c"], &[]);
    told(&[all, "GET /x = proven, shows customer body /c"], &[]);
    // Written for the very paths, or for all methods that change something.
    told(&[all, "GET /x/** = role admin", "POST|PUT|PATCH|DELETE /x/** = proven"], &[]);
    told(&[all, "POST|PUT|PATCH|DELETE /x/** = role admin"], &[]);
    told(&[all, "/x/** = role admin"], &[]);
    // As strict, or nobody's.
    told(&["/** = role admin", "GET /x/** = role admin"], &[]);
    told(&["GET /x/** = role admin"], &[]);
    // An exception within does not hide the rest.
    told(
        &[all, "GET /x/** = role admin", "POST /x/help = anonymous"],
        &["POST, PUT, PATCH, DELETE of `/x/**`"],
    );
}

#[test]
fn many_routes_are_compared_and_few_mistakes_are_told() {
    let mut lines: Vec<String> = (0..5000).map(|at| format!("/left{at}/** = role admin")).collect();
    lines.extend((0..5000).map(|at| format!("/left/{{id}}/right{at} = proven")));
    lines.push("/** = proven".to_owned());
    let good: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(mistakes(&good), [""; 0]);
    lines.push("/{kind}/x = proven".to_owned());
    let bad: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(mistakes(&bad).len(), 20);
}
