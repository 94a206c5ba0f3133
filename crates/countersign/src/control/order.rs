//! What can be ordered, and how it is done.

use countersign_auth::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::output::Failure;
use crate::record::{AccountState, NewAccount, NewKey, NewObject, Whose};
use crate::wire::Identities;

/// One order. Passwords are in it: it travels through a socket that only the store's owner can open.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Order {
    /// All accounts, or those of one kind.
    Accounts {
        /// Which.
        kind: Option<String>,
    },
    /// A new account.
    AddAccount {
        /// What it is to be.
        account: NewAccount,
        /// Its password; none where somebody else knows it.
        #[serde(default, with = "passed_if_any")]
        password: Option<Secret>,
    },
    /// A new password.
    SetPassword {
        /// Whose.
        whose: Whose,
        /// The new one.
        #[serde(with = "passed")]
        password: Secret,
        /// The schemes that password-equivalents are to be kept for.
        weaker: Vec<String>,
    },
    /// What is kept of a password for weaker schemes goes.
    Strengthen {
        /// Whose.
        whose: Whose,
    },
    /// Enabled or disabled.
    SetState {
        /// Whose.
        whose: Whose,
        /// What it is to be.
        state: AccountState,
    },
    /// An account goes.
    DeleteAccount {
        /// Which.
        whose: Whose,
    },
    /// Wrong passwords are forgotten.
    Unlock {
        /// Whose.
        whose: Whose,
    },
    /// A new key.
    CreateKey {
        /// What it is to be.
        key: NewKey,
    },
    /// Keys of an API.
    Keys {
        /// Which.
        api: String,
        /// Of this application only.
        owner: Option<String>,
    },
    /// A new value for a key.
    RotateKey {
        /// Its API.
        api: String,
        /// Its public id.
        id: String,
    },
    /// A key goes.
    DeleteKey {
        /// Its API.
        api: String,
        /// Its public id.
        id: String,
    },
    /// A new secret of an application.
    SetApplicationSecret {
        /// At which API.
        api: String,
        /// Of which application.
        application: String,
        /// The new one.
        #[serde(with = "passed")]
        secret: Secret,
    },
    /// Whose objects are.
    SetObjects {
        /// Of which API.
        api: String,
        /// Of which kind.
        kind: String,
        /// The objects.
        objects: Vec<NewObject>,
    },
    /// Whose an object is.
    Object {
        /// Of which API.
        api: String,
        /// Of which kind.
        kind: String,
        /// What its service calls it.
        id: String,
    },
    /// An object is forgotten.
    RemoveObject {
        /// Of which API.
        api: String,
        /// Of which kind.
        kind: String,
        /// What its service calls it.
        id: String,
    },
    /// What happened last.
    Audit {
        /// So many events at the most.
        limit: u32,
    },
    /// What an account holds.
    Sessions {
        /// Whose.
        whose: Whose,
    },
    /// Sessions end.
    Revoke {
        /// Whose.
        whose: Whose,
        /// One by its public name; all if it is not given.
        reference: Option<String>,
    },
    /// All sessions and tokens of all accounts end.
    RevokeEverybody,
}

/// Who is told of in the audit.
const COMMAND_LINE: &str = "command line";

/// Carries an order out.
///
/// # Errors
/// If it is refused, or the store cannot be reached.
pub(super) async fn perform(identities: &Identities, order: Order) -> Result<Value, Failure> {
    let answer = match order {
        Order::Accounts { kind } => json!(identities.accounts(kind.as_deref()).await?),
        Order::AddAccount { account, password } => json!(identities.add_account(account, password).await?),
        Order::SetPassword { whose, password, weaker } => {
            json!(identities.set_password(&whose, password, &weaker).await?)
        }
        Order::Strengthen { whose } => json!(identities.strengthen(&whose).await?),
        Order::SetState { whose, state } => json!(identities.set_state(&whose, state).await?),
        Order::DeleteAccount { whose } => json!(identities.delete_account(&whose).await?),
        Order::Unlock { whose } => json!(identities.unlock(&whose).await?),
        Order::CreateKey { key } => with_value(identities.create_key(key).await?),
        Order::Keys { api, owner } => json!(identities.keys(&api, owner.as_deref())?),
        Order::RotateKey { api, id } => with_value(identities.rotate_key(&api, &id).await?),
        Order::DeleteKey { api, id } => json!(identities.delete_key(&api, &id).await?),
        Order::SetApplicationSecret { api, application, secret } => {
            json!(identities.set_application_secret(&api, &application, secret).await?)
        }
        Order::SetObjects { api, kind, objects } => {
            json!(identities.set_objects(&api, &kind, objects, COMMAND_LINE).await?)
        }
        Order::Object { api, kind, id } => json!(identities.object(&api, &kind, &id).await?),
        Order::RemoveObject { api, kind, id } => {
            json!(identities.remove_object(&api, &kind, &id, COMMAND_LINE).await?)
        }
        Order::Audit { limit } => json!(identities.audit(limit).await?),
        Order::Sessions { whose } => json!(identities.sessions(&whose).await?),
        Order::Revoke { whose, reference } => {
            json!(identities.revoke_sessions(&whose, reference.as_deref()).await?)
        }
        Order::RevokeEverybody => json!(identities.revoke_everybody().await?),
    };
    Ok(answer)
}

fn with_value((key, value): (crate::record::Key, Secret)) -> Value {
    json!({ "key": key, "value": value.expose() })
}

/// How a secret is written into an order.
mod passed {
    use countersign_auth::secret::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// The same where there may be none.
mod passed_if_any {
    use countersign_auth::secret::Secret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
    }
}
