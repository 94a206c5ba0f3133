//! Enactor Web REST API: JWTs for customers, unguessable references for anonymous ones.

use std::sync::Arc;

use super::{Family, Seed, Shown, member};
use crate::demo::sample::shop::Shop;

const CUSTOMER: Seed = Seed {
    tenant: Some("0001"),
    keys: &[("customer", "1"), ("merchant", "0001")],
    ..Seed::new("customers", "1", ["Cora", "One"])
};

pub(super) const FAMILY: Family = Family {
    name: "shop",
    dialect: "enactor",
    about: "baskets and addresses",
    prefix: "/WebRestApi/rest",
    people: "customers",
    sample: || Arc::new(Shop::default()),
    settings: r#"
# The service numbers baskets one after the other; clients get references.
[api.object.basket]
owner = "customer"
references = "30d"
numeric = true
[api.object.address]
owner = "customer"
[[api.route]]
at = "POST /baskets"
allow = "anonymous"
creates = { basket = ["location /baskets/{id}/**", "body /basketReference"] }
[[api.route]]
at = "POST /baskets/items"
allow = "anonymous"
ids = { "basket?" = "body /basketReference" }
creates = { basket = ["location /baskets/{id}/**", "body /basketReference"] }
[[api.route]]
at = "GET /baskets"
allow = "authenticated"
shows = { basket = "body /basketSummaries/*/basketReference" }
foreign = "filter"
[[api.route]]
at = "/baskets/{basket}/**"
allow = "anonymous"
ids = { basket = "path basket" }
shows = { basket = ["location /baskets/{id}/**", "body /basketReference"] }
[[api.route]]
at = "/baskets/PRIMARY/**"
allow = "authenticated"
creates = { basket = ["location /baskets/{id}/**", "body /basketReference"] }
# A customer's own, whatever the request says.
[[api.route]]
at = "/customers/{customer}/**"
allow = "authenticated"
ids = { customer = ["path customer", "body /**/customerId"] }
creates = { address = ["location /addresses/{id}", "body /addressId", "body /addresses/*/addressId"] }
[[api.route]]
at = "PUT /addresses/{address}"
allow = "authenticated"
ids = { address = "path address", "customer?" = "body /**/customerId" }
[[api.route]]
at = "/**"
allow = "authenticated"
"#,
    accounts: &[
        CUSTOMER,
        Seed {
            user: "2",
            first_name: "Carl",
            last_name: "Two",
            keys: &[("customer", "2"), ("merchant", "0001")],
            ..CUSTOMER
        },
    ],
    secrets: &[],
    lines,
    knock,
};

fn login(shown: &Shown) -> String {
    let (user, password) = shown.login("customers", 0);
    format!(
        "TOKEN=$(curl -s {}/identity/token -H 'Content-Type: application/json' \\\n  \
         -d '{{\"userName\":\"{user}\",\"password\":\"{password}\"}}' | {})\n",
        shown.base_url,
        member("access_token")
    )
}

fn lines(shown: &Shown) -> String {
    let base = &shown.base_url;
    format!(
        "{}\
         curl -s {base}/baskets/PRIMARY -H \"Authorization: Bearer $TOKEN\"\n\
         curl -s {base}/baskets/PRIMARY/items -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d '{{\"itemId\":\"4711\"}}'\n\
         # no token: 401 with an ErrorMessage\n\
         curl -s {base}/baskets/PRIMARY\n\
         # the number of another customer: 404\n\
         curl -s {base}/customers/999/addresses -H \"Authorization: Bearer $TOKEN\"\n\
         # anonymous: the number that the service gives it never leaves the gate\n\
         BASKET=$(curl -s {base}/baskets/items -H 'Content-Type: application/json' -d '{{\"itemId\":\"4711\"}}' | {})\n\
         curl -s \"{base}/baskets/$BASKET/items\" -H 'Content-Type: application/json' -d '{{\"itemId\":\"4712\"}}'\n\
         curl -s \"{base}/baskets/$BASKET\"\n\
         # with the first call of a customer that names it the basket is his\n\
         curl -s \"{base}/baskets/$BASKET\" -H \"Authorization: Bearer $TOKEN\"\n\
         # and no longer that of whoever holds the reference: 404\n\
         curl -s \"{base}/baskets/$BASKET\"\n",
        login(shown),
        member("basketReference")
    )
}

fn knock(shown: &Shown) -> String {
    format!("{}curl -si {}/ -H \"Authorization: Bearer $TOKEN\"\n", login(shown), shown.base_url)
}
