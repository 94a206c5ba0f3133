//! Nobody reads another's: object rules against real gates, and a service that gives away whatever it is asked for.

mod answers;
mod generous;
mod guesses;
mod random;
mod references;
mod sweep;
mod tenants;

use std::fmt::Write as _;
use std::sync::Arc;

use countersign_auth::dialect::Dialect;
use countersign_auth::objects::kind::Owner;
use countersign_auth::port::objects::{NewBinding, ObjectName};
use countersign_gateway::address::Fronts;
use countersign_identity::service::By;

use crate::raw::{self, Answer, Client};
use crate::world::setting::Setting;
use crate::world::{Keeping, World};

/// So many callers, each with an object of each kind.
const CALLERS: usize = 20;

/// The customer number of a caller.
fn customer(caller: usize) -> String {
    (4700 + caller).to_string()
}

/// The order that a caller owns; its number says nothing of him.
fn order(caller: usize) -> String {
    (9000 + (caller * 7) % CALLERS).to_string()
}

/// Callers with a token each; every place of an id that a rule can name.
fn world_text() -> String {
    let mut text = String::from(
        r#"
[[api]]
name = "shop"
dialect = "enactor"
at = ["/"]
[api.object.order]
owner = "customer"
[[api.route]]
at = "/customers/{customer}/**"
allow = "authenticated"
ids = { customer = "path customer" }
[[api.route]]
at = "/search"
allow = "authenticated"
ids = { customer = "query customerId" }
[[api.route]]
at = "/header"
allow = "authenticated"
ids = { customer = "header x-customer" }
[[api.route]]
at = "/document"
allow = "authenticated"
ids = { customer = "body /customerId" }
[[api.route]]
at = "/deep"
allow = "authenticated"
ids = { customer = "body /**/customerId" }
[[api.route]]
at = "/batch"
allow = "authenticated"
ids = { customer = "body /*/customerId" }
[[api.route]]
at = "/nested"
allow = "authenticated"
ids = { customer = "body /customer/id" }
[[api.route]]
at = "/filter"
allow = "authenticated"
ids = { customer = "query filter[customer]" }
[[api.route]]
at = "/escaped"
allow = "authenticated"
ids = { customer = "query filter%5Bcustomer%5D" }
[[api.route]]
at = "/dotted"
allow = "authenticated"
ids = { customer = "query filter.customer" }
[[api.route]]
at = "/several"
allow = "authenticated"
ids = { customer = "query filter[customer][]" }
[[api.route]]
at = "/both/{customer}"
allow = "authenticated"
ids = { customer = ["path customer", "query customerId", "body /customerId"] }
[[api.route]]
at = "/orders/{order}"
allow = "authenticated"
ids = { order = "path order" }
[[api.route]]
at = "/orders"
allow = "authenticated"
ids = { order = ["query order", "body /orders/*/id", "body /order"] }
[[api.route]]
at = "/customers/{customer}/orders/{order}"
allow = "authenticated"
ids = { customer = "path customer", order = "path order" }
[issuer."http://www.enactor.co/"]
keys = ["issuer-1"]
"#,
    );
    for caller in 0..CALLERS {
        let _ = write!(
            text,
            "[[jwt]]\nname = \"{caller}\"\nissuer = \"http://www.enactor.co/\"\nkey = \"issuer-1\"\n\
             header = {{ alg = \"RS256\" }}\nclaims = {{ aud = \"client\", sub = \"{}\", exp = \"+3600\" }}\n",
            customer(caller)
        );
    }
    text
}

/// A world of these APIs, speaking a dialect as it is in the repository.
fn world(text: &str) -> World {
    let setting = Setting::from_text("enactor", "a test's world", text);
    let dialect = Dialect::load("dialects/enactor/dialect.toml", &Setting::dialect_text("enactor"));
    let dialect = Arc::new(dialect.unwrap_or_else(|problems| panic!("{problems:?}")));
    World::behind(&setting, &dialect, Keeping::File, Fronts::default()).unwrap()
}

/// The world of the sweeps: each caller owns his order.
fn full_world() -> World {
    let world = world(&world_text());
    for caller in 0..CALLERS {
        bind(&world, "order", &order(caller), &customer(caller));
    }
    world.upstream.speak(Arc::new(generous::answer));
    world
}

/// Says whose an object is, as a service would.
fn bind(world: &World, kind: &str, id: &str, customer: &str) {
    let name = ObjectName { api: "shop".into(), kind: kind.into(), id: id.to_owned() };
    let owner = Some(Owner::named("customer").written(customer));
    let object = NewBinding { name, owner, tenant: None, lifetime: None };
    world.block_on(world.service().put_objects(vec![object], By::gate(), world.now())).unwrap();
}

/// The `Authorization` of each caller.
fn tokens(world: &World) -> Vec<String> {
    (0..CALLERS)
        .map(|caller| format!("Bearer {}", world.bindings.value(&format!("jwt.{caller}")).unwrap()))
        .collect()
}

/// Sends a request: its first line without the version, further lines, and a body.
fn send(client: &mut Client, first: &str, lines: &[&str], body: &str) -> Answer {
    let mut all = vec![format!("{first} HTTP/1.1"), "Host: shop.example".to_owned()];
    all.extend(lines.iter().filter(|line| !line.is_empty()).map(|line| (*line).to_owned()));
    let answer = client.exchange(0, &raw::bytes(&all, body));
    answer.unwrap_or_else(|error| panic!("{first}: {error}"))
}

/// The callers of whom an answer tells something.
fn told_of(answer: &Answer) -> Vec<usize> {
    let text = String::from_utf8_lossy(&answer.body);
    (0..CALLERS).filter(|caller| text.contains(&generous::secret(*caller))).collect()
}
