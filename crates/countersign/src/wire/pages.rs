//! What an API lets pages of other origins do.

use countersign_auth::api::Api;
use countersign_auth::cookie;
use countersign_gateway::cors::{CorsOptions, Credentials, Origins};
use http::HeaderName;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};

use crate::config;
use crate::config::pages::SameSite;

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
