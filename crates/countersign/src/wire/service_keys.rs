//! Services behind the gate that ask it for something, at the administration listener: each shows its key.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use countersign_auth::canonical::path::decode_segment;
use countersign_auth::port::Answer;
use countersign_auth::secret::Secret;
use countersign_gateway::administration::calls::{Call, Calls, Reply};
use countersign_services::publish::{Pattern, Publishing};
use http::{Method, StatusCode};

use super::{Identities, desk};
use crate::config::Config;

/// A key of a service, and what it is for.
#[derive(Debug)]
pub(super) struct ServiceKey {
    /// What log and audit call the service.
    pub(super) name: String,
    sha256: [u8; 32],
    publish: Vec<Pattern>,
    /// The kinds of objects whose owners it may say.
    pub(super) objects: Vec<String>,
}

/// The keys of all services, by the names of their APIs.
#[derive(Debug)]
struct ServiceKeys(HashMap<String, Vec<ServiceKey>>);

impl ServiceKeys {
    fn new(config: &Config) -> Self {
        let keys = config.api.iter().map(|api| {
            let keys = api.service_key.iter().map(|key| ServiceKey {
                name: key.name.clone(),
                sha256: key.sha256.0,
                // What is no pattern was refused when the configuration was read.
                publish: key.publish.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
                objects: key.objects.clone(),
            });
            (api.name.clone(), keys.collect())
        });
        Self(keys.collect())
    }

    /// The key of an API that was shown.
    fn shown(&self, api: &str, key: Option<&Secret>) -> Option<&ServiceKey> {
        let shown = sha256(key?.expose());
        let is_it = |key: &&ServiceKey| verify_slices_are_equal(&key.sha256, &shown).is_ok();
        self.0.get(api)?.iter().find(is_it)
    }
}

/// What stands in the configuration in a key's place.
pub(crate) fn sha256(key: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(digest(&SHA256, key.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// Answers services.
pub(super) fn calls(config: &Config, identities: &Arc<Identities>, publishing: Publishing) -> Calls {
    let desk = Arc::new((ServiceKeys::new(config), Arc::clone(identities), publishing));
    Arc::new(move |call| {
        let desk = Arc::clone(&desk);
        let answer: Answer<Reply> = Box::pin(async move {
            let (keys, identities, publishing) = &*desk;
            answer(keys, identities, publishing, call).await
        });
        answer
    })
}

async fn answer(keys: &ServiceKeys, identities: &Identities, publishing: &Publishing, call: Call) -> Reply {
    let segments: Option<Vec<_>> = call.path.split('/').skip(1).map(decode_segment).collect();
    let segments = segments.unwrap_or_default();
    let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    let [what, api, rest @ ..] = segments.as_slice() else { return no_such_call() };
    // An API that is not there has no keys: nobody learns which there are.
    let Some(key) = keys.shown(api, call.key.as_ref()) else {
        let why = "a service key of this api is needed, as a bearer token";
        return Reply::refused(StatusCode::UNAUTHORIZED, why);
    };
    match (*what, &call.method, rest) {
        ("events", &Method::POST, []) => {
            let (status, body) = publishing.post(api, &key.publish, &call.body);
            let (service, status_code) = (key.name.as_str(), status.as_u16());
            tracing::debug!(api, service, http.status = status_code, "took an event");
            Reply { status, body }
        }
        ("objects", method, rest) => desk::answer(identities, key, api, method, rest, &call.body).await,
        (_, _, _) => no_such_call(),
    }
}

/// Nothing is asked for like this.
pub(super) fn no_such_call() -> Reply {
    Reply::refused(StatusCode::NOT_FOUND, "no such call")
}

#[cfg(test)]
impl ServiceKey {
    /// A key that is for these kinds of objects.
    pub(super) fn for_objects(name: &str, kinds: &[&str]) -> Self {
        let objects = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Self { name: name.to_owned(), sha256: [0; 32], publish: Vec::new(), objects }
    }
}
