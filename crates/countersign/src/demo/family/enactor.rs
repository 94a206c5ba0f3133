//! Enactor Web REST API: JWTs for customers, unguessable references for anonymous ones.

use std::sync::Arc;

use super::{Family, Seed, Shown, member};
use crate::demo::sample::baskets::Baskets;

const CUSTOMER: Seed = Seed {
    tenant: Some("0001"),
    keys: &[("customer", "1"), ("merchant", "0001")],
    ..Seed::new("customers", "1", ["Cora", "One"])
};

pub(super) const FAMILY: Family = Family {
    name: "shop",
    dialect: "enactor",
    about: "baskets",
    prefix: "/WebRestApi/rest",
    people: "customers",
    sample: || Arc::new(Baskets::default()),
    settings: r#"
[[api.route]]
at = "POST /baskets"
allow = "anonymous"
[[api.route]]
at = "/baskets/{reference}/**"
allow = "anonymous"
[[api.route]]
at = "/baskets/PRIMARY/**"
allow = "authenticated"
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
         # anonymous\n\
         BASKET=$(curl -s {base}/baskets -H 'Content-Type: application/json' -d '{{\"basketType\":\"BASKET\"}}' | {})\n\
         curl -s \"{base}/baskets/$BASKET/items\" -H 'Content-Type: application/json' -d '{{\"itemId\":\"4711\"}}'\n\
         curl -s \"{base}/baskets/$BASKET\"\n",
        login(shown),
        member("basketReference")
    )
}

fn knock(shown: &Shown) -> String {
    format!("{}curl -si {}/ -H \"Authorization: Bearer $TOKEN\"\n", login(shown), shown.base_url)
}
