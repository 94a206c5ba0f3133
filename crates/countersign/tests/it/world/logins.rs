//! Log-ins with the tests' provider.

use std::sync::LazyLock;
use std::time::Duration;

use countersign_auth::port::foreign::LoginTerms;
use countersign_auth::secret::Secret;
use countersign_identity::directory::FirstSight;
use countersign_identity::issuers::login::{LoginEndpoints, LoginOptions};
use countersign_identity::outbound::{Endpoint, Outbound};
use countersign_identity::tls;

use crate::provider::{self, Provider};

/// The provider that people of all worlds log in with.
static PROVIDER: LazyLock<Provider> = LazyLock::new(Provider::start);

/// How the gate asks others.
pub(crate) fn outbound() -> Outbound {
    Outbound::new(&tls::client(&[]).unwrap())
}

/// How people log in with the provider of all worlds.
pub(crate) fn options(redirect: &str) -> LoginOptions {
    let token = format!("http://{}/token", PROVIDER.address);
    let pair = |(target, claim): (&str, &str)| (target.to_owned(), claim.to_owned());
    LoginOptions {
        terms: LoginTerms {
            issuer: provider::ISSUER.to_owned(),
            client: provider::CLIENT.to_owned(),
            redirect: redirect.to_owned(),
            scope: "openid profile email".to_owned(),
            claims: [("name", "name"), ("email", "email")].map(pair).to_vec(),
            roles: None,
        },
        secret: Some(Secret::new(provider::SECRET)),
        endpoints: LoginEndpoints::Given {
            authorization: Endpoint::parse("https://id.example/authorize?organization=7").unwrap(),
            token: Endpoint::parse(&token).unwrap(),
        },
        first_sight: FirstSight::Create,
        patience: Duration::from_secs(60),
    }
}
