//! API keys, in the terms of the command line.

use std::sync::Arc;

use anyhow::anyhow;
use countersign_auth::account::APPLICATIONS;
use countersign_auth::port::keys::{KeyAnswer, KeyChange, KeyInfo};
use countersign_auth::secret::Secret;
use countersign_auth::token::{TokenPlan, TokenRef};
use countersign_identity::accounts::Standing;
use countersign_identity::keys::KeysOf;

use super::{Identities, by, now};
use crate::output::Failure;
use crate::record::{Key, NewKey};

impl Identities {
    /// Makes a key; its value is known to nobody else.
    pub(crate) async fn create_key(&self, key: NewKey) -> Result<(Key, Secret), Failure> {
        let (of, plan) = self.keys_of(&key.api)?;
        let owner = self.service.account_named(APPLICATIONS, &key.owner);
        let owner = owner.ok_or_else(|| anyhow!("no application is called `{}`", key.owner))?;
        if owner.standing == Standing::Disabled {
            return Err(Failure::Failed(anyhow!("the application {} is disabled", key.owner)));
        }
        let change = KeyChange {
            label: Some(key.label),
            description: Some(key.description),
            expires_at: Some(key.lifetime.map(|lifetime| now().plus(lifetime.0))),
        };
        let name = owner.account.name.to_string();
        let made = self.service.create_key(of, name, plan, change, by(), now()).await?;
        with_value(made, Standing::Enabled)?
            .ok_or_else(|| Failure::Failed(anyhow!("the application {} may hold no key", key.owner)))
    }

    /// The keys of an API, or of one application there, whatever its state.
    pub(crate) fn keys(&self, api: &str, owner: Option<&str>) -> Result<Vec<Key>, Failure> {
        let (of, _) = self.keys_of(api)?;
        let keys = self.service.keys(of, owner).into_iter();
        Ok(keys.map(|(info, standing)| self::key(&info, standing)).collect())
    }

    /// Gives a key a new value, whatever its application's state.
    pub(crate) async fn rotate_key(&self, api: &str, id: &str) -> Result<(Key, Secret), Failure> {
        let (of, plan) = self.keys_of(api)?;
        let key = reference(id)?;
        let known = self.service.keys(of.clone(), None).into_iter().find(|(info, _)| info.id == key);
        let (_, standing) = known.ok_or_else(|| no_key(id))?;
        let rotated = self.service.rotate_key(of, key, plan, by(), now()).await?;
        with_value(rotated, standing)?.ok_or_else(|| no_key(id))
    }

    /// Deletes a key, whatever its application's state.
    pub(crate) async fn delete_key(&self, api: &str, id: &str) -> Result<(), Failure> {
        let (of, _) = self.keys_of(api)?;
        match self.service.delete_key(of, reference(id)?, by(), now()).await? {
            KeyAnswer::Done(..) => Ok(()),
            KeyAnswer::AtLimit | KeyAnswer::TooMany | KeyAnswer::NotFound => Err(no_key(id)),
        }
    }

    /// The keys of an API, and how it makes them.
    fn keys_of(&self, name: &str) -> Result<(KeysOf, TokenPlan), Failure> {
        let api = self.api(name)?;
        let plan = api.key_plan().ok_or_else(|| {
            anyhow!(
                "the dialect of `{name}` knows no API keys; a gate that runs goes by the file as it read it last: start \
                 it again if that has changed since"
            )
        })?;
        Ok((KeysOf { api: Arc::clone(api.name()), word: Arc::clone(&plan.word) }, plan.clone()))
    }
}

fn no_key(id: &str) -> Failure {
    Failure::Failed(anyhow!("there is no key {id}"))
}

fn reference(id: &str) -> Result<TokenRef, Failure> {
    Ok(TokenRef::parse(id).ok_or_else(|| anyhow!("`{id}` is no key's public id"))?)
}

fn with_value(answer: KeyAnswer, owner: Standing) -> Result<Option<(Key, Secret)>, Failure> {
    match answer {
        KeyAnswer::Done(info, Some(value)) => Ok(Some((key(&info, owner), value))),
        KeyAnswer::Done(_, None) => Err(Failure::Failed(anyhow!("the key was given no value"))),
        KeyAnswer::AtLimit => Err(Failure::Failed(anyhow!(
            "the application has as many keys as it may: delete those that nobody uses"
        ))),
        // The second is said to clients alone.
        KeyAnswer::NotFound | KeyAnswer::TooMany => Ok(None),
    }
}

fn key(info: &KeyInfo, owner: Standing) -> Key {
    Key {
        id: info.id.to_string(),
        owner: info.owner.clone(),
        state: owner.into(),
        label: info.label.clone(),
        description: info.description.clone(),
        created_at: info.created_at.into(),
        expires_at: info.expires_at.map(Into::into),
    }
}
