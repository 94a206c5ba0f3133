//! The objects of an API, from the configuration's words and the command line's to the rules'.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use countersign_auth::objects::kind::{Kind, Owner};
use countersign_auth::objects::{Foreign, KindOptions, RouteObjects};
use countersign_auth::port::Unavailable;
use countersign_auth::port::objects::{NewBinding, Objects as _};
use countersign_identity::objects::asked::Question;
use countersign_identity::outbound::Outbound;
use countersign_identity::service::{By, Service};

use super::Identities;
use super::identities::now;
use crate::config::{self, ObjectKind, Places, Route};
use crate::record::{NewObject, Object};

/// The kinds of an API.
pub(super) fn kinds(objects: &BTreeMap<String, ObjectKind>) -> BTreeMap<String, KindOptions> {
    let kind = |kind: &ObjectKind| KindOptions {
        owner: kind.owner.clone().unwrap_or_else(|| String::from("subject")),
        references: kind.references.map(|lifetime| lifetime.0),
        numeric: kind.numeric,
    };
    objects.iter().map(|(name, object)| (name.clone(), kind(object))).collect()
}

/// What a route says of objects.
pub(super) fn of_route(route: &Route) -> RouteObjects {
    let places = |names: &BTreeMap<String, Places>| {
        names.iter().map(|(name, places)| (name.clone(), places.all())).collect()
    };
    let bytes = |limit: Option<u32>| limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    RouteObjects {
        ids: places(&route.ids),
        creates: places(&route.creates),
        shows: places(&route.shows),
        foreign: match route.foreign {
            config::Foreign::Refuse => Foreign::Refuse,
            config::Foreign::Filter => Foreign::Filter,
        },
        body_bytes_max: bytes(route.body_bytes_max),
        answer_bytes_max: bytes(route.answer_bytes_max),
    }
}

/// What is wrong with the questions of an API: keys of the configuration below it, and why.
pub(super) fn problems(api: &config::Api) -> Vec<(String, String)> {
    let asked = api.object.iter().filter_map(|(name, kind)| Some((name, kind, kind.ask.as_ref()?)));
    asked
        .filter_map(|(name, kind, url)| {
            let wrong = match Question::check(url) {
                Err(error) => error.to_string(),
                Ok(()) if kind.references.is_some() => {
                    String::from("nobody can be asked about references, which are the gate's own")
                }
                Ok(()) => return None,
            };
            Some((format!("object.{name}.ask"), wrong))
        })
        .collect()
}

/// Tells a service whom to ask about the objects of an API.
pub(super) fn apply(api: &config::Api, service: &Service, outbound: &Outbound) -> Result<(), String> {
    for (name, kind) in &api.object {
        let Some(url) = &kind.ask else { continue };
        let key = Owner::named(kind.owner.as_deref().unwrap_or("subject"));
        let question = Question::new(url, key, outbound.clone())
            .map_err(|error| format!("object.{name}.ask: {error}"))?;
        service.ask_owners(&api.name, name, question);
    }
    Ok(())
}

/// Why nothing can be done to an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// No such API, or no such kind of it.
    #[error(
        "api {api} has no kind of objects called {kind}; declare it in the configuration as [api.object.{kind}]"
    )]
    NoKind {
        /// The API.
        api: String,
        /// The kind.
        kind: String,
    },
    /// An id that no object can have.
    #[error("`{0}` is no id")]
    NoId(String),
    /// The store.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Operators and services look objects up as one source, which no client is.
const NO_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Identities {
    fn kind(&self, api: &str, kind: &str) -> Result<Arc<Kind>, ObjectError> {
        let apis = self.apis();
        let known = apis.iter().find(|known| **known.api.name() == *api);
        let missing = || ObjectError::NoKind { api: api.to_owned(), kind: kind.to_owned() };
        known.and_then(|known| known.api.kind(kind)).cloned().ok_or_else(missing)
    }

    /// Says whose objects are.
    pub(crate) async fn set_objects(
        &self,
        api: &str,
        kind: &str,
        objects: Vec<NewObject>,
        actor: &str,
    ) -> Result<(), ObjectError> {
        let kind = self.kind(api, kind)?;
        let objects = objects.into_iter().map(|NewObject { id, owner, tenant }| {
            let name = kind.named(&id).ok_or(ObjectError::NoId(id))?;
            Ok(NewBinding { name, owner: Some(kind.owner().written(&owner)), tenant, lifetime: None })
        });
        let objects = objects.collect::<Result<Vec<_>, ObjectError>>()?;
        Ok(self.service().put_objects(objects, By::new(actor, None), now()).await?)
    }

    /// Whose an object is.
    pub(crate) async fn object(
        &self,
        api: &str,
        kind: &str,
        id: &str,
    ) -> Result<Option<Object>, ObjectError> {
        let kind = self.kind(api, kind)?;
        let Some(name) = kind.named(id) else { return Ok(None) };
        Ok(self.service().find(name, NO_CLIENT).await?.map(|found| Object {
            id: found.name.id.clone(),
            owner: found.owner.clone(),
            tenant: found.tenant.clone(),
            reference: (kind.has_references() && found.owner.is_some())
                .then(|| found.reference.expose().to_owned()),
            ends_at: found.ends_at.map(Into::into),
        }))
    }

    /// Forgets an object; false if it was not known.
    pub(crate) async fn remove_object(
        &self,
        api: &str,
        kind: &str,
        id: &str,
        actor: &str,
    ) -> Result<bool, ObjectError> {
        let Some(name) = self.kind(api, kind)?.named(id) else { return Ok(false) };
        Ok(self.service().remove_object(name, By::new(actor, None), now()).await?)
    }
}
