//! The objects of an API, from the configuration's words and the command line's to the rules'.

use std::collections::BTreeMap;

use std::sync::Arc;

use anyhow::anyhow;
use countersign_auth::objects::kind::Kind;
use countersign_auth::objects::{Foreign, KindOptions, RouteObjects};
use countersign_auth::port::objects::{NewBinding, Objects as _};

use super::Identities;
use super::identities::{by, now};
use crate::config::{self, ObjectKind, Places, Route};
use crate::output::Failure;
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

impl Identities {
    fn kind(&self, api: &str, kind: &str) -> Result<&Arc<Kind>, Failure> {
        let known = self.apis().iter().find(|known| **known.name() == *api);
        let known = known.ok_or_else(|| anyhow!("no API is called {api}"))?;
        Ok(known.kind(kind).ok_or_else(|| anyhow!("API {api} has no kind of objects called {kind}"))?)
    }

    /// Says whose objects are.
    pub(crate) async fn set_objects(
        &self,
        api: &str,
        kind: &str,
        objects: Vec<NewObject>,
    ) -> Result<(), Failure> {
        let kind = self.kind(api, kind)?;
        let objects = objects.into_iter().map(|NewObject { id, owner, tenant }| {
            let name = kind.named(&id).ok_or_else(|| anyhow!("`{id}` is no id"))?;
            Ok(NewBinding { name, owner: Some(kind.owner().written(&owner)), tenant, lifetime: None })
        });
        let objects = objects.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(self.service().put_objects(objects, by(), now()).await?)
    }

    /// Whose an object is.
    pub(crate) async fn object(&self, api: &str, kind: &str, id: &str) -> Result<Option<Object>, Failure> {
        let Some(name) = self.kind(api, kind)?.named(id) else { return Ok(None) };
        Ok(self.service().find(name).await?.map(|found| Object {
            id: found.name.id.clone(),
            owner: found.owner.clone(),
            tenant: found.tenant.clone(),
            reference: found.owner.as_ref().map(|_| found.reference.expose().to_owned()),
            ends_at: found.ends_at.map(Into::into),
        }))
    }

    /// Forgets an object; false if it was not known.
    pub(crate) async fn remove_object(&self, api: &str, kind: &str, id: &str) -> Result<bool, Failure> {
        let Some(name) = self.kind(api, kind)?.named(id) else { return Ok(false) };
        Ok(self.service().remove_object(name, by(), now()).await?)
    }
}
