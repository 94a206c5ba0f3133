//! What worlds of one dialect have in common: their file, their accounts, and where these are kept.

use std::sync::Arc;

use countersign_auth::api::Api;
use countersign_auth::dialect::Dialect;
use countersign_auth::secret::Secret;
use countersign_auth::time::{Clock as _, Time};
use countersign_identity::accounts::AccountDraft;
use countersign_identity::equivalents::{KeyPlace, WeakerScheme};
use countersign_identity::lockout::Patience;
use countersign_identity::password::PasswordOptions;
use countersign_identity::service::{By, Service, ServiceOptions, Upkeep};
use countersign_identity::store::Store;
use countersign_identity::store::sqlite::SqliteStore;
use countersign_identity::world::OsRandom;
use tempfile::TempDir;

use super::clock::TurnedClock;
use super::file::{ApiEntry, WorldFile};
use super::memory::MemoryStore;
use super::{CONTROL, Keeping};
use crate::transcript::root;

/// What worlds of one dialect have in common: `world.toml`, and a store in which its accounts are.
pub(crate) struct Setting {
    pub(super) file: WorldFile,
    /// Dialects of APIs that do not speak the one that the world is about.
    others: Vec<Arc<Dialect>>,
    pub(super) seed: Arc<MemoryStore>,
}

impl Setting {
    /// Reads `world.toml` of a dialect and makes its accounts.
    pub(crate) fn of(dialect: &str) -> Self {
        let path = root().join("dialects").join(dialect).join("transcripts/world.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        Self::from_text(dialect, &path.display().to_string(), &text)
    }

    /// Reads the text of another `world.toml` and makes its accounts; `origin` names it in messages.
    pub(crate) fn from_text(dialect: &str, origin: &str, text: &str) -> Self {
        Self::with_others(dialect, origin, text, Vec::new())
    }

    /// The same with APIs that speak other dialects.
    pub(crate) fn with_others(dialect: &str, origin: &str, text: &str, others: Vec<Arc<Dialect>>) -> Self {
        let file: WorldFile = toml::from_str(text).unwrap_or_else(|error| panic!("{origin}: {error}"));
        for api in &file.api {
            let is_known = api.dialect == dialect || others.iter().any(|other| *other.name == *api.dialect);
            assert!(is_known, "{origin}: api {} speaks {}", api.name, api.dialect);
        }
        let seed = Arc::new(MemoryStore::default());
        let store: Arc<dyn Store> = Arc::clone(&seed) as Arc<dyn Store>;
        CONTROL.block_on(async {
            let clock = Arc::new(TurnedClock::default());
            let service = open(store, Arc::clone(&clock), Patience::default(), file.kdf_kib).await;
            // The dialect as it is in the repository says where Digest is spoken.
            let text = Self::dialect_text(dialect);
            if let Ok(dialect) = Dialect::load(dialect, &text).map(Arc::new) {
                let spoken = file.api.iter().filter(|api| *api.dialect == *dialect.name);
                let apis = spoken.filter_map(|api| Api::new(Arc::clone(&dialect), api.options()).ok());
                apis.for_each(|api| declare(&service, &api));
            }
            people(&service, &file, clock.now()).await;
            service.flush().await.unwrap();
        });
        Self { file, others, seed }
    }

    /// The dialect of an API: `main`, unless it speaks another.
    pub(super) fn dialect_of<'s>(&'s self, api: &ApiEntry, main: &'s Arc<Dialect>) -> &'s Arc<Dialect> {
        self.others.iter().find(|other| *other.name == *api.dialect).unwrap_or(main)
    }

    /// The dialect file's text as it is in the repository.
    pub(crate) fn dialect_text(dialect: &str) -> String {
        std::fs::read_to_string(root().join("dialects").join(dialect).join("dialect.toml")).unwrap()
    }

    /// The names of its APIs.
    pub(crate) fn apis(&self) -> impl Iterator<Item = &str> {
        self.file.api.iter().map(|api| api.name.as_str())
    }
}

/// A service at a low price: the parameters of argon2 are not what transcripts are about.
pub(super) async fn open(
    store: Arc<dyn Store>,
    clock: Arc<TurnedClock>,
    patience: Patience,
    kdf_kib: u32,
) -> Arc<Service> {
    let passwords =
        PasswordOptions { memory_kib: kdf_kib, passes: 1, threads: 1, ..PasswordOptions::default() };
    let options = ServiceOptions {
        equivalents_key: KeyPlace::Memory([7; 32].into()),
        passwords,
        patience,
        clock,
        random: Arc::new(OsRandom::default()),
        upkeep: Upkeep::ByHand,
        ..ServiceOptions::at("")
    };
    Service::with_store(store, options, CONTROL.handle().clone()).await.unwrap()
}

/// Says where Digest is spoken, as the binary does.
pub(super) fn declare(service: &Service, api: &Api) {
    for (kind, realm, hash) in api.digest_places() {
        service.declare_digest(kind, realm, hash);
    }
}

/// Makes accounts, applications and operator-set values.
async fn people(service: &Service, file: &WorldFile, now: Time) {
    let by = By::gate;
    for entry in &file.account {
        let draft = AccountDraft {
            subject: entry.subject.clone(),
            full_name: entry.full_name.clone(),
            first_name: entry.first_name.clone(),
            last_name: entry.last_name.clone(),
            email: entry.email.clone(),
            tenant: entry.tenant.clone(),
            roles: entry.roles.clone(),
            keys: entry.keys.clone(),
            password: Some(Secret::new(entry.password.as_str())),
            password_due: entry.due,
            weaker: entry.weaker.iter().map(|name| WeakerScheme::named(name).unwrap()).collect(),
            ..AccountDraft::new(&entry.kind, &entry.name)
        };
        service.create_account(draft, by(), now).await.unwrap();
    }
    for entry in &file.application {
        let draft = AccountDraft {
            tenant: entry.tenant.clone(),
            keys: entry.keys.clone(),
            ..AccountDraft::new("applications", &entry.name)
        };
        let account = service.create_account(draft, by(), now).await.unwrap();
        for api in &file.api {
            let secret = Secret::new(entry.secret.as_str());
            service.set_application_secret(&api.name, account.id, secret, by(), now).await.unwrap();
        }
    }
    for entry in &file.secret {
        // Whoever holds the value acts as an account made for it.
        let name = format!("{}-{}", entry.api, entry.token);
        let account = service.create_account(AccountDraft::new("devices", &name), by(), now).await.unwrap();
        let value = Secret::new(entry.value.as_str());
        service.set_shared_value(&entry.api, &entry.token, account.id, value, by(), now).await.unwrap();
    }
}

pub(super) async fn place(setting: &Setting, keeping: Keeping) -> (Arc<dyn Store>, Option<TempDir>) {
    match keeping {
        Keeping::Memory => (setting.seed.copy(), None),
        Keeping::File => {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&folder.path().join("world.db"), CONTROL.handle()).await.unwrap();
            store.write(setting.seed.changes()).await.unwrap();
            (store, Some(folder))
        }
    }
}
