//! Services behind the gate that ask it for something, at the administration listener: each shows its key.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use countersign_auth::canonical::path::decode_segment;
use countersign_auth::port::Answer;
use countersign_auth::secret::Secret;
use countersign_gateway::administration::calls::{Call, Calls, Reply};
use countersign_services::publish::{Pattern, Publishing};
use http::{Method, StatusCode};

use super::called::Caller;
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
struct ServiceKeys(HashMap<String, Vec<Arc<ServiceKey>>>);

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
            (api.name.clone(), keys.map(Arc::new).collect())
        });
        Self(keys.collect())
    }

    /// The API that a path is about, if there is one of that name.
    fn api_of(&self, path: &str) -> Option<String> {
        let name = decode_segment(path.split('/').nth(2)?)?;
        self.0.contains_key(&*name).then(|| name.into_owned())
    }

    /// The key of an API that was shown.
    fn shown(&self, api: &str, key: Option<&Secret>) -> Option<&Arc<ServiceKey>> {
        let shown = sha256(key?.expose());
        let is_it = |key: &&Arc<ServiceKey>| verify_slices_are_equal(&key.sha256, &shown).is_ok();
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
    let desk = Arc::new(Desk { identities: Arc::clone(identities), publishing: Arc::new(publishing) });
    let keys = ServiceKeys::new(config);
    Arc::new(move |call| {
        let mut caller = Caller { api: keys.api_of(&call.path), service: None, address: call.address };
        let asked = Asked::read(&keys, call);
        let asked = asked.inspect_err(|refused| desk.identities.called().note(refused, &caller))?;
        caller.service = Some(asked.key.name.clone());
        let desk = Arc::clone(&desk);
        let with_body = move |body| -> Answer<Reply> {
            Box::pin(async move {
                let reply = match body {
                    Ok(body) => desk.answer(asked, body).await,
                    Err(refused) => refused,
                };
                desk.identities.called().note(&reply, &caller);
                reply
            })
        };
        Ok(Box::new(with_body))
    })
}

/// A call of a service that is known.
struct Asked {
    key: Arc<ServiceKey>,
    method: Method,
    /// What is called, the API, and what stands behind it.
    segments: Vec<String>,
}

impl Asked {
    fn read(keys: &ServiceKeys, call: Call) -> Result<Self, Reply> {
        let segments =
            call.path.split('/').skip(1).map(|segment| Some(decode_segment(segment)?.into_owned()));
        let segments: Vec<String> = segments.collect::<Option<_>>().unwrap_or_default();
        let [_, api, ..] = segments.as_slice() else { return Err(no_such_call()) };
        // An API that is not there has no keys: nobody learns which there are.
        let key = keys.shown(api, call.key.as_ref()).ok_or_else(|| {
            let why = "a service key of this api is needed, as a bearer token";
            Reply::refused(StatusCode::UNAUTHORIZED, why)
        })?;
        Ok(Self { key: Arc::clone(key), method: call.method, segments })
    }
}

struct Desk {
    identities: Arc<Identities>,
    publishing: Arc<Publishing>,
}

impl Desk {
    async fn answer(&self, asked: Asked, body: Bytes) -> Reply {
        let Asked { key, method, segments } = asked;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let [what, api, rest @ ..] = segments.as_slice() else { return no_such_call() };
        match (*what, &method, rest) {
            ("events", &Method::POST, []) => self.publish((*api).to_owned(), key, body).await,
            ("objects", method, rest) => desk::answer(&self.identities, &key, api, method, rest, &body).await,
            (_, _, _) => no_such_call(),
        }
    }

    /// An event for a role is for whoever of all that listen has it, which takes its time: beside what else the control
    /// plane does.
    async fn publish(&self, api: String, key: Arc<ServiceKey>, body: Bytes) -> Reply {
        let publishing = Arc::clone(&self.publishing);
        let posted = tokio::task::spawn_blocking(move || {
            let (status, body) = publishing.post(&api, &key.publish, &body);
            let (service, status_code) = (key.name.as_str(), status.as_u16());
            tracing::debug!(api, service, http.status = status_code, "took an event");
            Reply { status, body }
        });
        posted.await.unwrap_or_else(|error| {
            tracing::error!(%error, "could not publish an event");
            Reply::refused(StatusCode::INTERNAL_SERVER_ERROR, "the event was not published")
        })
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
