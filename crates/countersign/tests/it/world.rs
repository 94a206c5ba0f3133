//! Worlds for transcripts: a gate that listens, a service behind it, accounts, a clock that is turned by hand.

mod cut;
mod file;
pub(crate) mod keys;
mod memory;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::api::Api;
use countersign_auth::dialect::Dialect;
use countersign_auth::port::Purpose;
use countersign_auth::port::foreign::{FrontProof, FrontTerms};
use countersign_auth::secret::Secret;
use countersign_auth::time::{Clock, Time};
use countersign_gateway::address::Fronts;
use countersign_gateway::gate::{self, Gate, GateOptions};
use countersign_gateway::hop::Protected;
use countersign_gateway::limits::Limits;
use countersign_gateway::listen::{Http2, Listener};
use countersign_gateway::metrics::Metrics;
use countersign_gateway::serve::{Running, ServeOptions, start};
use countersign_gateway::upstream::{Times, Upstream as Backend, UpstreamOptions};
use countersign_identity::accounts::AccountDraft;
use countersign_identity::equivalents::{KeyPlace, WeakerScheme};
use countersign_identity::issuers::TrustedIssuer;
use countersign_identity::password::PasswordOptions;
use countersign_identity::service::{By, Service, ServiceOptions, Upkeep};
use countersign_identity::store::Store;
use countersign_identity::store::sqlite::SqliteStore;
use countersign_identity::store::switchable::{Power, Switchable};
use countersign_identity::world::OsRandom;
use countersign_services::mounted::{self as services, Mounted};
use countersign_services::push::Push;
use jsonwebtoken::jwk::JwkSet;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::transcript::pattern::Bindings;
use crate::transcript::{Load, Manners, Reach, Transcript, root};
use crate::upstream::Upstream;
use cut::Cut;
use file::{ApiEntry, WorldFile};
use memory::MemoryStore;

/// The control plane of all worlds of the run.
static CONTROL: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// The header that carries the assertion.
pub(crate) const ASSERTION: &str = "Countersign-Assertion";

/// How long the gate waits for a service that says nothing.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);

/// What worlds of one dialect have in common: `world.toml`, and a store in which its accounts are.
pub(crate) struct Setting {
    file: WorldFile,
    /// Dialects of APIs that do not speak the one that the world is about.
    others: Vec<Arc<Dialect>>,
    seed: Arc<MemoryStore>,
}

/// Where a world keeps its truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// In an SQLite file, as in production.
    File,
    /// In memory.
    Memory,
}

/// Real time, and what was waited on top.
#[derive(Default)]
struct TurnedClock {
    ahead_ms: AtomicI64,
    /// When it was stopped, 0 if it goes.
    stopped_ms: AtomicI64,
}

impl Clock for TurnedClock {
    fn now(&self) -> Time {
        let ms = match self.stopped_ms.load(Ordering::SeqCst) {
            0 => real_ms(),
            stopped => stopped,
        };
        Time::from_unix_ms(ms + self.ahead_ms.load(Ordering::SeqCst))
    }
}

fn real_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A gate at work, with all that a transcript needs. It ends when it is dropped.
pub(crate) struct World {
    /// Where the gate listens.
    pub(crate) address: SocketAddr,
    /// The service behind it.
    pub(crate) upstream: Upstream,
    /// What transcripts may name from the start.
    pub(crate) bindings: Bindings,
    service: Arc<Service>,
    store: Arc<Switchable>,
    truth: Arc<dyn Store>,
    lookups: Arc<Cut>,
    clock: Arc<TurnedClock>,
    metrics: Arc<Metrics>,
    services: Arc<Mounted>,
    _running: Running,
    _folder: Option<TempDir>,
}

/// How much of its store a world has read when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Going,
    /// Tokens are not loaded, and stay so.
    Held,
}

/// What worlds may differ in.
struct Variant {
    fronts: Fronts,
    reading: Reading,
    patience: Duration,
    limits: Limits,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            fronts: Fronts::default(),
            reading: Reading::Going,
            patience: Times::default().head,
            limits: Limits::default(),
        }
    }
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
            let service = open(store, Arc::clone(&clock)).await;
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
    fn dialect_of<'s>(&'s self, api: &ApiEntry, main: &'s Arc<Dialect>) -> &'s Arc<Dialect> {
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
async fn open(store: Arc<dyn Store>, clock: Arc<TurnedClock>) -> Arc<Service> {
    let passwords = PasswordOptions { memory_kib: 8, passes: 1, threads: 1, ..PasswordOptions::default() };
    let options = ServiceOptions {
        equivalents_key: KeyPlace::Memory([7; 32].into()),
        passwords,
        clock,
        random: Arc::new(OsRandom::default()),
        upkeep: Upkeep::ByHand,
        ..ServiceOptions::at("")
    };
    Service::with_store(store, options, CONTROL.handle().clone()).await.unwrap()
}

/// Says where Digest is spoken, as the binary does.
fn declare(service: &Service, api: &Api) {
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

impl World {
    /// Starts a world in which the APIs speak `dialect`, which may be another than the repository's.
    ///
    /// # Errors
    /// What the APIs cannot do with the dialect.
    pub(crate) fn start(
        setting: &Setting,
        dialect: &Arc<Dialect>,
        keeping: Keeping,
        transcript: &Transcript,
    ) -> Result<Self, String> {
        let (truth, folder) = CONTROL.block_on(place(setting, keeping));
        let patience = if transcript.has_silence() { SHORT_PATIENCE } else { Times::default().head };
        Self::over(setting, dialect, (truth, folder), Variant { patience, ..Variant::default() })
    }

    /// Starts a world that believes fronts.
    ///
    /// # Errors
    /// What the APIs cannot do with the dialect.
    pub(crate) fn behind(
        setting: &Setting,
        dialect: &Arc<Dialect>,
        keeping: Keeping,
        fronts: Fronts,
    ) -> Result<Self, String> {
        let place = CONTROL.block_on(place(setting, keeping));
        Self::over(setting, dialect, place, Variant { fronts, ..Variant::default() })
    }

    /// Starts a world in memory with other limits; a service that says nothing is waited for only briefly.
    ///
    /// # Errors
    /// What the APIs cannot do with the dialect.
    pub(crate) fn limited(setting: &Setting, dialect: &Arc<Dialect>, limits: Limits) -> Result<Self, String> {
        let place = CONTROL.block_on(place(setting, Keeping::Memory));
        let patience = SHORT_PATIENCE;
        Self::over(setting, dialect, place, Variant { limits, patience, ..Variant::default() })
    }

    /// A second gate over the same store, as after a restart, that has not loaded the tokens and never will.
    ///
    /// # Errors
    /// What the APIs cannot do with the dialect.
    pub(crate) fn still_loading(&self, setting: &Setting, dialect: &Arc<Dialect>) -> Result<Self, String> {
        CONTROL.block_on(self.service.flush()).map_err(|error| error.to_string())?;
        let variant = Variant { reading: Reading::Held, ..Variant::default() };
        Self::over(setting, dialect, (Arc::clone(&self.truth), None), variant)
    }

    fn over(
        setting: &Setting,
        dialect: &Arc<Dialect>,
        (truth, folder): (Arc<dyn Store>, Option<TempDir>),
        variant: Variant,
    ) -> Result<Self, String> {
        let apis = setting
            .file
            .api
            .iter()
            .map(|entry| {
                Api::new(Arc::clone(setting.dialect_of(entry, dialect)), entry.options()).map(Arc::new)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let clock = Arc::new(TurnedClock::default());
        let store = Switchable::new(Arc::clone(&truth));
        if variant.reading == Reading::Held {
            store.hold_pages();
        }
        let service = CONTROL.block_on(open(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&clock)));
        apis.iter().for_each(|api| declare(&service, api));
        let trusted: Vec<(&str, &str)> = setting
            .file
            .api
            .iter()
            .flat_map(|api| setting.file.issuer.keys().map(|issuer| (api.name.as_str(), issuer.as_str())))
            .collect();
        for (api, issuer) in trusted {
            let names = &setting.file.issuer[issuer].keys;
            let keys = names.iter().map(|name| keys::public(name)).collect();
            service.trust_issuer(api, issuer, TrustedIssuer::Keys(keys));
        }
        for api in &setting.file.api {
            for (issuer, whose) in &api.issuers {
                assert_eq!(whose, "self", "api {}", api.name);
                service.trust_issuer(&api.name, issuer, TrustedIssuer::Ours);
            }
        }
        for api in &setting.file.api {
            for (provider, domain) in
                api.providers.iter().flat_map(|(name, domains)| domains.iter().map(move |d| (name, d)))
            {
                service.declare_provider(&api.name, provider, Some(domain));
            }
            if let Some(ntlm) = &api.ntlm {
                service.declare_negotiation(&api.name, ntlm.settings()).unwrap();
            }
        }
        for api in &setting.file.api {
            let Some(secret) = &api.front else { continue };
            let terms = FrontTerms {
                networks: vec!["127.0.0.0/8".parse().unwrap()],
                proof: FrontProof::Secret(Secret::new(secret.as_str())),
                domains: Vec::new(),
                create: false,
            };
            service.believe_front(&api.name, terms);
        }
        let upstream = Upstream::start();
        let lookups = Arc::new(Cut::new(Arc::clone(&service)));
        let metrics = Metrics::new(1);
        let listening =
            Listening { service: &service, lookups: &lookups, clock: &clock, metrics: &metrics, variant };
        let (running, address, services) = listen(setting, apis, listening, &upstream);
        let bindings = bindings(&setting.file, clock.now());
        Ok(Self {
            address,
            upstream,
            bindings,
            service,
            store,
            truth,
            lookups,
            clock,
            metrics,
            services,
            _running: running,
            _folder: folder,
        })
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, span: Duration) {
        let ms = i64::try_from(span.as_millis()).unwrap();
        self.clock.ahead_ms.fetch_add(ms, Ordering::SeqCst);
        // What the background does meanwhile.
        let _ = CONTROL.block_on(self.service.flush());
        let _ = CONTROL.block_on(self.service.sweep(self.clock.now()));
    }

    /// Stops the clock: from now on time passes when it is told to, however slow the machine is.
    pub(crate) fn stop_clock(&self) {
        self.clock.stopped_ms.store(real_ms(), Ordering::SeqCst);
    }

    /// Takes the account store away, or gives it back: nothing can be written, and what would be asked of a store
    /// that is somewhere else has no answer.
    pub(crate) fn reach(&self, reach: Reach) {
        self.lookups.reach(reach);
        self.store.switch(match reach {
            Reach::Up => Power::On,
            Reach::Down => Power::Off,
        });
    }

    /// The service, for what an administrator does.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// The push channels of an API that mounts them.
    pub(crate) fn push(&self, api: &str) -> &Push {
        self.services.push(api).unwrap()
    }

    /// What time it is in this world.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// What `/metrics` says.
    pub(crate) fn metrics(&self) -> String {
        self.metrics.render().unwrap()
    }

    /// Waits for an answer of the service.
    pub(crate) fn block_on<T>(&self, answer: impl Future<Output = T>) -> T {
        CONTROL.block_on(answer)
    }

    /// Lets the service behind the gate behave otherwise.
    pub(crate) fn behave(&self, manners: Manners) {
        self.upstream.behave(manners);
    }

    /// Lets password checks be refused for being too many, or not.
    pub(crate) fn load(&self, load: Load) {
        self.lookups.load(load);
    }

    /// The keys that assertions must be signed with.
    pub(crate) fn assertion_keys(&self) -> JwkSet {
        serde_json::from_str(&self.service.jwks(Purpose::Assertion)).unwrap()
    }
}

async fn place(setting: &Setting, keeping: Keeping) -> (Arc<dyn Store>, Option<TempDir>) {
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

struct Listening<'w> {
    service: &'w Arc<Service>,
    lookups: &'w Arc<Cut>,
    clock: &'w Arc<TurnedClock>,
    metrics: &'w Arc<Metrics>,
    variant: Variant,
}

fn listen(
    setting: &Setting,
    apis: Vec<Arc<Api>>,
    listening: Listening<'_>,
    upstream: &Upstream,
) -> (Running, SocketAddr, Arc<Mounted>) {
    let Listening { service, lookups, clock, metrics, variant } = listening;
    let url = format!("http://{}", upstream.address());
    let mut options = UpstreamOptions::new("service", &url).unwrap();
    options.times.head = variant.patience;
    let backend = Backend::new(options).unwrap();
    // As the binary does it.
    let mut protected = vec![ASSERTION.to_owned()];
    protected
        .extend(apis.iter().flat_map(|api| api.identity_header_names()).map(|name| name.as_str().to_owned()));
    let mounting = services::World {
        service: Arc::clone(service),
        clock: Arc::clone(clock) as Arc<_>,
        random: Arc::new(OsRandom::default()),
    };
    let services = CONTROL.block_on(Mounted::new(&apis, &mounting, CONTROL.handle())).unwrap();
    let services = Arc::new(services);
    let apis = setting
        .file
        .api
        .iter()
        .zip(apis)
        .map(|(entry, api)| gate::ApiOptions {
            cors: entry.cors(&api),
            api,
            places: entry.places(),
            upstream: Arc::clone(&backend),
        })
        .collect();
    let gate = Gate::new(GateOptions {
        apis,
        lookups: Arc::clone(lookups) as Arc<_>,
        operations: Arc::clone(service) as Arc<_>,
        signer: Arc::clone(service) as Arc<_>,
        negotiation: Some(Arc::clone(service) as Arc<_>),
        objects: Arc::clone(service) as Arc<_>,
        services: Arc::clone(&services) as Arc<_>,
        clock: Arc::clone(clock) as Arc<_>,
        random: Arc::new(OsRandom::default()),
        limits: variant.limits,
        fronts: variant.fronts,
        protected: Protected::new(protected.iter().map(String::as_str)),
        metrics: Arc::clone(metrics),
        access: Some(crate::threats::heard::access()),
    })
    .unwrap();
    let listener = Listener {
        name: "main".to_owned(),
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        proxy_protocol: countersign_gateway::address::Networks::default(),
        http2: Http2::On,
    };
    let running =
        start(gate, ServeOptions { listeners: vec![listener], cores: NonZeroUsize::new(1) }).unwrap();
    let address = running.address("main").unwrap();
    (running, address, services)
}

fn bindings(file: &WorldFile, now: Time) -> Bindings {
    let mut bindings = Bindings::default();
    for account in &file.account {
        bindings.bind(format!("password.{}", account.name), account.password.as_str());
        let basic = STANDARD.encode(format!("{}:{}", account.name, account.password));
        bindings.bind(format!("basic.{}", account.name), basic);
    }
    for secret in &file.secret {
        bindings.bind(format!("secret.{}", secret.token), secret.value.as_str());
    }
    for application in &file.application {
        bindings.bind(format!("secret.{}", application.name), application.secret.as_str());
    }
    for jwt in &file.jwt {
        bindings.bind(format!("jwt.{}", jwt.name), keys::mint(jwt, now));
    }
    bindings
}
