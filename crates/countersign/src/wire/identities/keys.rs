//! API keys, in the terms of the command line.

use std::sync::Arc;

use anyhow::anyhow;
use countersign_auth::account::Account as AuthAccount;
use countersign_auth::port::{KeyAnswer, KeyCaller, KeyChange, KeyInfo, KeyName, Operations};
use countersign_auth::secret::Secret;
use countersign_auth::token::{TokenPlan, TokenRef};
use countersign_identity::accounts::Standing;

use super::{APPLICATIONS, Identities, now};
use crate::output::Failure;
use crate::record::{Key, NewKey};

impl Identities {
    /// Makes a key; its value is known to nobody else.
    pub(crate) async fn create_key(&self, key: NewKey) -> Result<(Key, Secret), Failure> {
        let word = self.key_word(&key.api)?;
        let owner = self
            .service
            .account_named(APPLICATIONS, &key.owner)
            .filter(|owner| owner.standing == Standing::Enabled);
        let owner = owner.ok_or_else(|| anyhow!("no enabled application is called `{}`", key.owner))?.account;
        let change = KeyChange {
            label: Some(key.label),
            description: Some(key.description),
            expires_at: Some(key.lifetime.map(|lifetime| now().plus(lifetime.0))),
        };
        let name = owner.name.clone();
        let made =
            self.service.key_create(word.caller(owner), name, word.plan.clone(), change, now()).await?;
        with_value(made)?
            .ok_or_else(|| Failure::Failed(anyhow!("the application {} may hold no key", key.owner)))
    }

    /// The keys of an API, or of one application there.
    pub(crate) async fn keys(&self, api: &str, owner: Option<&str>) -> Result<Vec<Key>, Failure> {
        let word = self.key_word(api)?;
        let mut keys = Vec::new();
        for application in self.applications() {
            if owner.is_none_or(|owner| application.name.eq_ignore_ascii_case(owner)) {
                let found = self.service.key_list(word.caller(application), None, now()).await?;
                keys.extend(found.iter().map(self::key));
            }
        }
        Ok(keys)
    }

    /// Gives a key a new value.
    pub(crate) async fn rotate_key(&self, api: &str, id: &str) -> Result<(Key, Secret), Failure> {
        let word = self.key_word(api)?;
        for application in self.applications() {
            let caller = word.caller(application);
            let answer = self.service.key_rotate(caller, key_name(id)?, word.plan.clone(), now()).await?;
            if let Some(rotated) = with_value(answer)? {
                return Ok(rotated);
            }
        }
        Err(no_key(id))
    }

    /// Deletes a key.
    pub(crate) async fn delete_key(&self, api: &str, id: &str) -> Result<(), Failure> {
        let word = self.key_word(api)?;
        for application in self.applications() {
            match self.service.key_delete(word.caller(application), key_name(id)?, now()).await? {
                KeyAnswer::Done(..) => return Ok(()),
                KeyAnswer::NotFound => {}
            }
        }
        Err(no_key(id))
    }

    /// How an API makes keys.
    fn key_word(&self, name: &str) -> Result<KeyWord, Failure> {
        let api = self.api(name)?;
        let plan = api.key_plan().ok_or_else(|| anyhow!("the dialect of `{name}` knows no API keys"))?;
        Ok(KeyWord { api: Arc::clone(api.name()), plan: plan.clone() })
    }

    /// Every application that may act. Whoever may open the store or its socket asks in their names, since each
    /// may touch its own keys.
    fn applications(&self) -> impl Iterator<Item = Arc<AuthAccount>> {
        let all = self.service.accounts().into_iter();
        all.filter(|view| *view.account.kind == *APPLICATIONS && view.standing == Standing::Enabled)
            .map(|view| view.account)
    }
}

/// The keys of one API.
struct KeyWord {
    api: Arc<str>,
    plan: TokenPlan,
}

impl KeyWord {
    fn caller(&self, account: Arc<AuthAccount>) -> KeyCaller {
        KeyCaller { account, api: Arc::clone(&self.api), word: Arc::clone(&self.plan.word) }
    }
}

fn no_key(id: &str) -> Failure {
    Failure::Failed(anyhow!("there is no key {id}"))
}

fn key_name(id: &str) -> Result<KeyName, Failure> {
    Ok(KeyName::Id(TokenRef::parse(id).ok_or_else(|| anyhow!("`{id}` is no key's public id"))?))
}

fn with_value(answer: KeyAnswer) -> Result<Option<(Key, Secret)>, Failure> {
    match answer {
        KeyAnswer::Done(info, Some(value)) => Ok(Some((key(&info), value))),
        KeyAnswer::Done(_, None) => Err(Failure::Failed(anyhow!("the key was given no value"))),
        KeyAnswer::NotFound => Ok(None),
    }
}

fn key(info: &KeyInfo) -> Key {
    Key {
        id: info.id.to_string(),
        owner: info.owner.clone(),
        label: info.label.clone(),
        description: info.description.clone(),
        created_at: info.created_at.into(),
        expires_at: info.expires_at.map(Into::into),
    }
}
