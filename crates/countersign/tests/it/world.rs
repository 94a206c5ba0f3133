//! Worlds for transcripts: a gate that listens, a service behind it, accounts, a clock that is turned by hand.

mod clock;
mod cut;
mod file;
mod gate;
pub(crate) mod keys;
pub(crate) mod logins;
mod memory;
pub(crate) mod setting;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::api::Api;
use countersign_auth::dialect::Dialect;
use countersign_auth::port::Purpose;
use countersign_auth::port::foreign::{FrontProof, FrontTerms};
use countersign_auth::secret::Secret;
use countersign_auth::time::{Clock as _, Time};
use countersign_gateway::address::Fronts;
use countersign_gateway::limits::Limits;
use countersign_gateway::metrics::Metrics;
use countersign_gateway::serve::Running;
use countersign_gateway::upstream::Times;
use countersign_identity::issuers::TrustedIssuer;
use countersign_identity::lockout::Patience;
use countersign_identity::service::Service;
use countersign_identity::store::Store;
use countersign_identity::store::switchable::{Power, Switchable};
use countersign_services::mounted::Mounted;
use countersign_services::push::Push;
use jsonwebtoken::jwk::JwkSet;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use self::clock::TurnedClock;
use self::cut::Cut;
use self::file::WorldFile;
use self::gate::{Listening, listen};
use self::setting::{Setting, declare, open, place};
use crate::provider;
use crate::transcript::pattern::Bindings;
use crate::transcript::{Load, Manners, Reach, Transcript};
use crate::upstream::Upstream;

/// The control plane of all worlds of the run.
static CONTROL: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// The header that carries the assertion.
pub(crate) const ASSERTION: &str = "Countersign-Assertion";

/// How long the gate waits for a service that says nothing.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// The sweeps guess from one address, more than any that is to be served may.
fn guesses_go_on() -> Patience {
    Patience { address_guesses: u32::MAX, ..Patience::default() }
}

/// Where a world keeps its truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// In an SQLite file, as in production.
    File,
    /// In memory.
    Memory,
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
    /// How long a service may say nothing.
    silence: Duration,
    limits: Limits,
    patience: Patience,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            fronts: Fronts::default(),
            reading: Reading::Going,
            silence: Times::default().head,
            limits: Limits::default(),
            patience: guesses_go_on(),
        }
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
        let silence = if transcript.has_silence() { SHORT_PATIENCE } else { Times::default().head };
        Self::over(setting, dialect, (truth, folder), Variant { silence, ..Variant::default() })
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

    /// Starts a world in memory with other limits; a service that says nothing is waited for so long.
    ///
    /// # Errors
    /// What the APIs cannot do with the dialect.
    pub(crate) fn limited(
        setting: &Setting,
        dialect: &Arc<Dialect>,
        limits: Limits,
        silence: Duration,
    ) -> Result<Self, String> {
        let place = CONTROL.block_on(place(setting, Keeping::Memory));
        Self::over(setting, dialect, place, Variant { limits, silence, ..Variant::default() })
    }

    /// Starts a world with another patience with whoever fails, that believes fronts.
    ///
    /// # Errors
    /// What the APIs cannot do with the dialect.
    pub(crate) fn patient(
        setting: &Setting,
        dialect: &Arc<Dialect>,
        patience: Patience,
        fronts: Fronts,
    ) -> Result<Self, String> {
        let place = CONTROL.block_on(place(setting, Keeping::File));
        Self::over(setting, dialect, place, Variant { patience, fronts, ..Variant::default() })
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
        let service = CONTROL.block_on(open(
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::clone(&clock),
            variant.patience,
            setting.file.kdf_kib,
        ));
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
        for api in &setting.file.api {
            for (name, login) in &api.login {
                service.trust_issuer(
                    &api.name,
                    provider::ISSUER,
                    TrustedIssuer::Keys(vec![keys::public(provider::KEY)]),
                );
                assert!(service.log_in_with(
                    &api.name,
                    name,
                    logins::options(&login.redirect),
                    &logins::outbound()
                ));
            }
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
        self.clock.turn(span);
        // What the background does meanwhile.
        let _ = CONTROL.block_on(self.service.flush());
        let _ = CONTROL.block_on(self.service.sweep(self.clock.now()));
    }

    /// Stops the clock: from now on time passes when it is told to, however slow the machine is.
    pub(crate) fn stop_clock(&self) {
        self.clock.stop();
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

    /// Takes the store away, and keeps those waiting who write, until they are told.
    pub(crate) fn keep_writers_waiting(&self) {
        self.store.hold_failures();
        self.store.switch(Power::Off);
    }

    /// Tells them that it was away, and gives it back.
    pub(crate) fn tell_writers(&self) {
        self.store.switch(Power::On);
        self.store.release_failures();
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
