//! What an API lets pages of other origins do, and whose services may publish.

use std::sync::Arc;

use countersign_auth::api::Api;
use countersign_auth::cookie;
use countersign_gateway::cors::{CorsOptions, Credentials, Origins};
use countersign_services::mounted::Mounted;
use countersign_services::publish::{Pattern, Publisher, Publishing};
use http::HeaderName;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};

use crate::config::pages::SameSite;
use crate::config::{self, Config};
use crate::wire::Identities;

/// What scripts of most libraries send by themselves.
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

pub(super) fn same_site(api: &config::Api) -> Option<cookie::SameSite> {
    api.same_site.map(|same_site| match same_site {
        SameSite::Strict => cookie::SameSite::Strict,
        SameSite::Lax => cookie::SameSite::Lax,
        SameSite::None => cookie::SameSite::None,
    })
}

/// The allow-list of an API, with the headers that its dialect speaks of.
pub(super) fn cors(config: &config::Api, api: &Api) -> Option<CorsOptions> {
    let cors = config.cors.as_ref()?;
    let origins: Vec<String> = cors.origins.iter().map(|origin| origin.0.clone()).collect();
    let origins = if origins.iter().any(|origin| origin == "*") {
        Origins::Any
    } else {
        let credentials = if cors.credentials { Credentials::Included } else { Credentials::Omitted };
        Origins::Listed { origins, credentials }
    };
    let mut headers = vec![ACCEPT, AUTHORIZATION, CONTENT_TYPE, X_REQUESTED_WITH];
    headers.extend(api.headers_read().cloned().chain(cors.headers.iter().map(|name| name.0.clone())));
    let mut expose: Vec<HeaderName> = api.csrf_told_in().cloned().collect();
    expose.extend(cors.expose.iter().map(|name| name.0.clone()));
    for names in [&mut headers, &mut expose] {
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
    }
    Some(CorsOptions { origins, headers, expose, max_age_secs: cors.max_age.0.as_secs() })
}

/// Why a channel or pattern of a publisher is none.
pub(crate) fn channel_problem(text: &str) -> Option<String> {
    Pattern::parse(text).err().map(|error| error.to_string())
}

/// The publishers of all APIs.
pub(super) fn publishing(config: &Config, mounted: Arc<Mounted>, identities: &Identities) -> Publishing {
    let publishers = config.api.iter().map(|api| {
        let publishers = api.publisher.iter().map(|publisher| Publisher {
            name: publisher.name.clone(),
            key_sha256: publisher.key_sha256.0,
            // What is no pattern was refused when the configuration was read.
            channels: publisher.channels.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
        });
        (api.name.clone(), publishers.collect())
    });
    Publishing::new(mounted, identities.service(), publishers)
}
