//! Who owns what: the objects of services.
//!
//! Whoever changes this file can give any object to anybody; it is reviewed like the look-ups.

use std::net::IpAddr;
use std::sync::Arc;

use countersign_auth::objects::reference::{RANDOM_BYTES, reference};
use countersign_auth::port::objects::{
    Binding, Bound, FoundObject, NewBinding, ObjectDigest, ObjectName, Objects,
};
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::source::Source;
use countersign_auth::time::Time;

use super::{By, Core, Service, unavailable};
use crate::audit;
use crate::objects::asked::Question;
use crate::store::{Change, ObjectRow, StoreFuture};

impl Core {
    /// An object as the gate knows it.
    fn binding(&self, row: ObjectRow) -> Binding {
        let name = ObjectName { api: row.api.into(), kind: row.kind.into(), id: row.id };
        Binding {
            reference: reference(&self.derivation_key, &name, &row.random),
            name,
            owner: row.owner,
            tenant: row.tenant,
            ends_at: row.ends_at.map(Time::from_unix_ms),
        }
    }

    fn new_row(&self, new: NewBinding, now: Time) -> Result<ObjectRow, Unavailable> {
        let NewBinding { name, owner, tenant, lifetime } = new;
        let random: [u8; RANDOM_BYTES] = self.draw()?;
        let value = reference(&self.derivation_key, &name, &random);
        Ok(ObjectRow {
            reference: ObjectDigest::of_reference(&name.api, &name.kind, value.expose()).0,
            api: name.api.to_string(),
            kind: name.kind.to_string(),
            id: name.id,
            owner,
            tenant,
            random,
            ends_at: lifetime.map(|lifetime| now.plus(lifetime).unix_ms()),
        })
    }

    /// Reads one object from the store, and keeps it in memory.
    async fn read_object(
        &self,
        row: impl FnOnce() -> StoreFuture<Option<ObjectRow>>,
    ) -> Result<FoundObject, Unavailable> {
        let read_at = self.objects.generation();
        let Some(row) = row().await.map_err(unavailable)? else { return Ok(None) };
        let binding = Arc::new(self.binding(row));
        self.objects.keep(read_at, &binding);
        Ok(Some(binding))
    }

    /// Reads one object from the store by its name. Whoever has just changed it needs no room for that: he has waited for
    /// the store already.
    async fn stored_object(&self, name: &ObjectName) -> Result<FoundObject, Unavailable> {
        let ObjectName { api, kind, id } = name.clone();
        self.read_object(|| self.store.object(api.to_string(), kind.to_string(), id)).await
    }

    /// Reads one object from the store; what is not there is asked for where somebody is asked. Whoever waits for an answer
    /// keeps nobody from the store.
    async fn find_object(&self, name: ObjectName, source: Source) -> Result<FoundObject, Unavailable> {
        let found = {
            let _room = self.objects.room(source).await?;
            self.stored_object(&name).await?
        };
        if found.is_some() {
            return Ok(found);
        }
        let read_at = self.objects.generation();
        let told = self.objects.questions.ask(name, source, &*self.clock).await?.map(Arc::new);
        if let Some(binding) = &told {
            self.objects.keep(read_at, binding);
        }
        Ok(told)
    }

    /// Writes changes of these objects.
    async fn change_objects(
        &self,
        digests: &[ObjectDigest],
        changes: Vec<Change>,
    ) -> Result<(), Unavailable> {
        self.objects.forget(digests);
        let written = self.store.write(changes).await;
        // Written or not: what memory has taken in meanwhile may be either.
        self.objects.forget(digests);
        written.map_err(unavailable)
    }

    async fn bind_objects(&self, new: Vec<NewBinding>, now: Time) -> Result<Vec<Bound>, Unavailable> {
        let digests: Vec<ObjectDigest> = new.iter().map(|new| digest(&new.name)).collect();
        let names: Vec<ObjectName> = new.iter().map(|new| new.name.clone()).collect();
        let rows = new.into_iter().map(|new| self.new_row(new, now)).collect::<Result<Vec<_>, _>>()?;
        let drawn: Vec<[u8; 32]> = rows.iter().map(|row| row.reference).collect();
        self.change_objects(&digests, vec![Change::BindObjects(rows, now.unix_ms())]).await?;
        let mut bound = Vec::with_capacity(names.len());
        for (name, drawn) in names.into_iter().zip(drawn) {
            let found = self.stored_object(&name).await?;
            let found =
                found.ok_or_else(|| Unavailable("an object went while it was being bound".to_owned()))?;
            let digest =
                ObjectDigest::of_reference(&found.name.api, &found.name.kind, found.reference.expose());
            bound.push(if digest.0 == drawn { Bound::New(found) } else { Bound::Known(found) });
        }
        Ok(bound)
    }

    async fn claim_object(
        &self,
        name: ObjectName,
        owner: String,
        tenant: Option<String>,
        now: Time,
    ) -> Result<FoundObject, Unavailable> {
        let row = ObjectRow { owner: Some(owner), tenant, ..bare_row(&name) };
        self.change_objects(&[digest(&name)], vec![Change::ClaimObject(row, now.unix_ms())]).await?;
        self.stored_object(&name).await
    }

    async fn put_objects(&self, objects: Vec<NewBinding>, by: By, now: Time) -> Result<(), Unavailable> {
        let digests: Vec<ObjectDigest> = objects.iter().map(|new| digest(&new.name)).collect();
        let mut changes = Vec::with_capacity(objects.len() + 1);
        if let Some(first) = objects.first() {
            let more =
                if objects.len() > 1 { format!(" and {} more", objects.len() - 1) } else { String::new() };
            changes.push(Change::Audit(audit::row(&by, "object.set", written(&first.name) + &more, now)));
        }
        for new in objects {
            changes.push(Change::PutObject(self.new_row(new, now)?));
        }
        self.change_objects(&digests, changes).await
    }

    async fn remove_object(&self, name: ObjectName, by: By, now: Time) -> Result<bool, Unavailable> {
        let digest = digest(&name);
        if self.stored_object(&name).await?.is_none() {
            // What was told of it by somebody who is asked.
            self.objects.forget([&digest]);
            return Ok(false);
        }
        let audit = audit::row(&by, "object.removed", written(&name), now);
        let change = Change::DeleteObject(name.api.to_string(), name.kind.to_string(), name.id);
        self.change_objects(&[digest], vec![change, Change::Audit(audit)]).await?;
        Ok(true)
    }
}

fn digest(name: &ObjectName) -> ObjectDigest {
    ObjectDigest::of_id(&name.api, &name.kind, &name.id)
}

fn written(name: &ObjectName) -> String {
    format!("{}/{}/{}", name.api, name.kind, name.id)
}

/// A row of which only the name counts.
fn bare_row(name: &ObjectName) -> ObjectRow {
    ObjectRow {
        api: name.api.to_string(),
        kind: name.kind.to_string(),
        id: name.id.clone(),
        owner: None,
        tenant: None,
        random: [0; RANDOM_BYTES],
        reference: [0; 32],
        ends_at: None,
    }
}

impl Service {
    /// From now on the owners of objects that the store does not have are asked for.
    pub fn ask_owners(&self, api: &str, kind: &str, question: Question) {
        self.core.objects.questions.add(api, kind, question);
    }

    /// Says whose objects are, whatever was known of them; their references stay. All of them or none.
    pub fn put_objects(
        &self,
        objects: Vec<NewBinding>,
        by: By,
        now: Time,
    ) -> Answer<Result<(), Unavailable>> {
        self.run(move |core| async move { core.put_objects(objects, by, now).await })
    }

    /// Forgets an object, and with it its reference; false if none of that name was known.
    pub fn remove_object(&self, name: ObjectName, by: By, now: Time) -> Answer<Result<bool, Unavailable>> {
        self.run(move |core| async move { core.remove_object(name, by, now).await })
    }
}

impl Objects for Service {
    fn at_hand(&self, digest: &ObjectDigest) -> FoundObject {
        self.core.objects.get(digest)
    }

    fn may_guess(&self, address: IpAddr, now: Time) -> bool {
        self.core.lockout.guesses.begin(address, now).is_ok()
    }

    fn forgive_guess(&self, address: IpAddr, now: Time) {
        self.core.lockout.guesses.forgive(address, now);
    }

    fn find(&self, name: ObjectName, address: IpAddr) -> Answer<Result<FoundObject, Unavailable>> {
        self.run(move |core| async move { core.find_object(name, Source::of(address)).await })
    }

    fn find_reference(
        &self,
        digest: ObjectDigest,
        address: IpAddr,
    ) -> Answer<Result<FoundObject, Unavailable>> {
        self.run(move |core| async move {
            let _room = core.objects.room(Source::of(address)).await?;
            core.read_object(|| core.store.object_of_reference(digest.0)).await
        })
    }

    fn bind(&self, bindings: Vec<NewBinding>, now: Time) -> Answer<Result<Vec<Bound>, Unavailable>> {
        self.run(move |core| async move { core.bind_objects(bindings, now).await })
    }

    fn claim(
        &self,
        name: ObjectName,
        owner: String,
        tenant: Option<String>,
        now: Time,
    ) -> Answer<Result<FoundObject, Unavailable>> {
        self.run(move |core| async move { core.claim_object(name, owner, tenant, now).await })
    }
}
