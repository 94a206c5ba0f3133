//! A contact centre: users that are accounts of the gate, their devices, and agents who log in and go ready.
//!
//! It answers as the vendor's service does: every body is JSON with a `statusCode`, 0 or one of [`answer::Code`], and
//! an error has a `statusMessage` beside it. Who may do what is said by the options of the endpoints that mount it.
//!
//! Accounts that hold a role which this service may not give (an administrator of the gate, a user of another API) are
//! none of its users: they are neither shown nor changed, so that nobody becomes more than he is through it. Users of
//! another tenant are not there either.

mod agents;
mod answer;
mod devices;
mod fields;
mod lanes;
mod names;
mod users;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_auth::account::{Account, AccountId};
use countersign_auth::dialect::service::ServiceOptions;
use countersign_auth::port::services::{ServiceAnswer, ServiceCall};
use countersign_auth::port::{Lookups, Unavailable};
use countersign_auth::refusal::{Reason, Refusal};
use countersign_auth::time::{Clock, Random};
use countersign_auth::token::TokenDigest;
use countersign_identity::accounts::{AccountView, Standing};
use countersign_identity::service::{By, Service};
use http::Method;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::mounted::World;
use crate::push::Push;
use agents::Agents;
use answer::{Failure, done, done_with};
use devices::Devices;
use fields::Query;
use lanes::Lanes;
use names::Names;

/// Which accounts the service is about.
const KIND: &str = "users";
/// What `/diagnostics/version` says if the dialect does not.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the endpoints that mount the service say, together.
#[derive(Clone, Debug, Default)]
pub(crate) struct CentreOptions {
    version: Option<String>,
    agents: Vec<String>,
    administrators: Vec<String>,
    readers: Vec<String>,
    roles: Vec<String>,
    media: Vec<String>,
}

impl CentreOptions {
    /// Adds what one endpoint says.
    pub(crate) fn add(&mut self, options: &ServiceOptions) {
        self.version = self.version.take().or_else(|| options.text("version").map(str::to_owned));
        self.agents.extend_from_slice(options.texts("agents"));
        self.administrators.extend_from_slice(options.texts("administrators"));
        self.readers.extend_from_slice(options.texts("readers"));
        self.roles.extend_from_slice(options.texts("roles"));
        self.media.extend_from_slice(options.texts("media"));
    }
}

/// The contact centre of one API.
pub(crate) struct Centre {
    options: CentreOptions,
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    push: Option<Arc<Push>>,
    names: Names,
    agents: Mutex<Agents>,
    devices: Mutex<Devices>,
    /// Where lists of all users are made, whose turn it is to ask for one, and the one place for making it.
    runtime: Handle,
    lists: Lanes,
    listing: Arc<Semaphore>,
    /// Of an account one change of what it does or has at a time: memory and store see them in one order.
    changes: Lanes,
    /// Devices change hands, and have numbers that nobody else has: one change of them at a time, of one whose turn it is.
    changing_devices: tokio::sync::Mutex<()>,
}

impl Centre {
    /// A contact centre; its agents and their devices are read from the store.
    ///
    /// # Errors
    /// If the store could not be read.
    pub(crate) async fn new(
        api: Arc<str>,
        options: CentreOptions,
        push: Option<Arc<Push>>,
        world: &World,
        runtime: &Handle,
    ) -> Result<Self, Unavailable> {
        let World { service, clock, random } = world.clone();
        let names = Names::new(*service.derivation_key().expose(), api);
        let agents = Agents::read(service.notes(&names.agent_notes()).await?);
        let devices = Devices::read(service.notes(&names.device_notes()).await?);
        Ok(Self {
            options,
            service,
            clock,
            random,
            push,
            names,
            agents: Mutex::new(agents),
            devices: Mutex::new(devices),
            runtime: runtime.clone(),
            lists: Lanes::default(),
            listing: Arc::new(Semaphore::new(1)),
            changes: Lanes::default(),
            changing_devices: tokio::sync::Mutex::default(),
        })
    }

    /// Answers a call.
    ///
    /// # Errors
    /// Only what the gate itself refuses, in the dialect's words; what the service refuses is its answer.
    pub(crate) async fn serve(self: &Arc<Self>, call: ServiceCall) -> Result<ServiceAnswer, Refusal> {
        match self.answer(&call).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Own(failed)) => Ok(failed.answer()),
            Err(Failure::Gate(refusal)) => Err(refusal),
        }
    }

    async fn answer(self: &Arc<Self>, call: &ServiceCall) -> Result<ServiceAnswer, Failure> {
        let path = call.path.trim_end_matches('/');
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let method = if call.method == Method::HEAD { &Method::GET } else { &call.method };
        if let (["diagnostics", "version"], &Method::GET) = (segments.as_slice(), method) {
            let version = self.options.version.as_deref().unwrap_or(VERSION);
            return Ok(done_with(json!({ "version": version })));
        }
        let me = Caller::of(call)?;
        match (segments.as_slice(), method) {
            (["me"], &Method::GET) => self.me(&me, &Query::of(call)?),
            (["me"], &Method::POST) => self.operate(&me, None, call).await,
            (["me", "channels", channel], &Method::POST) => self.operate(&me, Some(channel), call).await,
            (["me", "devices"], &Method::GET) => Ok(self.list_devices(&me, me.account.id, &Query::of(call)?)),
            (["me", "devices"], &Method::POST) => {
                self.need(&me, &self.options.agents)?;
                self.add_device(&me, me.account, call).await
            }
            (["users"], &Method::GET) => self.list_users(&me, Query::of(call)?).await,
            (["users"], &Method::POST) => self.create_user(&me, call).await,
            (["users", user, rest @ ..], _) => self.about_user(&me, user, rest, method, call).await,
            _ => Err(Failure::Gate(Refusal::new(Reason::NotFound, "the service has no such call"))),
        }
    }

    async fn about_user(
        &self,
        me: &Caller<'_>,
        user: &str,
        rest: &[&str],
        method: &Method,
        call: &ServiceCall,
    ) -> Result<ServiceAnswer, Failure> {
        match (rest, method) {
            ([], &Method::GET) => {
                let view = self.readable(me, user)?;
                Ok(done_with(json!({ "user": self.user(me, &view, &Query::of(call)?) })))
            }
            ([], &Method::PUT) => self.change_user(me, user, call).await,
            ([], &Method::DELETE) => self.delete_user(me, user).await,
            (["devices"], &Method::GET) => {
                let view = self.readable(me, user)?;
                Ok(self.list_devices(me, view.account.id, &Query::of(call)?))
            }
            (["devices"], &Method::POST) => {
                let view = self.changeable(me, user)?;
                self.add_device(me, &view.account, call).await
            }
            (["devices", device], &Method::DELETE) => {
                let view = self.changeable(me, user)?;
                self.remove_device(me, &view.account, device).await
            }
            (["sessions"], &Method::GET) => {
                let view = self.changeable(me, user)?;
                self.list_sessions(call, &view).await
            }
            (["sessions"], &Method::DELETE) => {
                let view = self.changeable(me, user)?;
                let ended = self.service.end_sessions(view.account.id, me.by(), self.clock.now()).await;
                ended.map_err(answer::account_failure)?;
                Ok(done())
            }
            (["sessions", session], &Method::DELETE) => {
                let view = self.changeable(me, user)?;
                self.end_session(me, &view, session).await
            }
            _ => Err(Failure::Gate(Refusal::new(Reason::NotFound, "the service has no such call"))),
        }
    }

    /// The caller, with what belongs to him as far as he asks for it.
    fn me(&self, me: &Caller<'_>, query: &Query) -> Result<ServiceAnswer, Failure> {
        let view = self.service.account(me.account.id).ok_or_else(Failure::user_not_found)?;
        let mut user = query.select(self.user_members(me.base, &view));
        for name in query.subresources() {
            user.insert(name.to_owned(), self.subresource(me, name));
        }
        Ok(done_with(json!({ "user": user })))
    }

    /// What hangs on the caller, by name.
    fn subresource(&self, me: &Caller<'_>, name: &str) -> Value {
        let agent = self.agents().of(me.account.id);
        match name {
            "devices" => self.devices_of(me.base, me.account.id).into(),
            "channels" => agent.channels_json(),
            "channelStates" => agent.channel_states_json(),
            "features" => self.features(me),
            "settings" => json!({}),
            _ => json!([]),
        }
    }

    /// What the caller may do, as the vendor names it.
    fn features(&self, me: &Caller<'_>) -> Value {
        let mut features = Vec::new();
        let mut feature = |id: &str, name: &str, about: &str| {
            let path = format!("/features/{id}");
            let uri = format!("{}{path}", me.base);
            features.push(json!({
                "id": id, "displayName": name, "description": about, "path": path, "uri": uri,
            }));
        };
        if me.has(&self.options.agents) {
            feature("api-voice", "Voice API", "Log in to the contact centre and take calls");
        }
        if me.has(&self.options.readers) {
            feature("api-provisioning-read", "API Provisioning Read", "Look at users and devices");
        }
        if me.has(&self.options.administrators) {
            feature(
                "api-provisioning-write",
                "API Provisioning Write",
                "Create and change users and devices",
            );
        }
        features.into()
    }

    /// # Errors
    /// `No permission` if the caller has none of the roles.
    fn need(&self, me: &Caller<'_>, roles: &[String]) -> Result<(), Failure> {
        if me.has(roles) { Ok(()) } else { Err(Failure::no_permission()) }
    }

    /// Whether an account is a user of this service as the caller sees it.
    fn is_user_of(&self, me: &Caller<'_>, account: &Account) -> bool {
        is_user(account, me.account.tenant.as_ref(), &self.options.roles)
    }

    /// The caller's right to change users, to be looked at once more when they are changed.
    fn right_of(&self, me: &Caller<'_>) -> Right {
        Right {
            service: Arc::clone(&self.service),
            holder: me.account.id,
            administrators: self.options.administrators.clone(),
            roles: self.options.roles.clone(),
        }
    }

    fn found(&self, me: &Caller<'_>, user: &str) -> Result<AccountView, Failure> {
        let id = self.names.account(user).ok_or_else(Failure::user_not_found)?;
        let view = self.service.account(id).filter(|view| self.is_user_of(me, &view.account));
        view.ok_or_else(Failure::user_not_found)
    }

    /// A user whom the caller may look at: himself, or anybody if he reads.
    fn readable(&self, me: &Caller<'_>, user: &str) -> Result<AccountView, Failure> {
        if self.names.account(user) != Some(me.account.id) {
            self.need(me, &self.options.readers)?;
        }
        self.found(me, user)
    }

    fn changeable(&self, me: &Caller<'_>, user: &str) -> Result<AccountView, Failure> {
        self.need(me, &self.options.administrators)?;
        self.found(me, user)
    }

    fn agents(&self) -> MutexGuard<'_, Agents> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn devices(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session in which an agent logged in has ended, and he is logged out.
    pub(crate) fn session_ended(self: &Arc<Self>, session: TokenDigest) {
        let gone = self.agents().session_ended(session);
        self.left(gone);
    }

    /// An account's sessions have ended, or it is gone.
    pub(crate) fn account_ended(self: &Arc<Self>, account: AccountId) {
        let now = self.clock.now();
        if self.agents().log_out_if(account, |session| self.service.is_over(session, now)) {
            self.left(vec![account]);
        }
        if self.service.account(account).is_none() {
            self.devices().forget(account);
        }
    }

    /// Logs out whoever logged in in a session that is over.
    pub(crate) fn look_at_all(self: &Arc<Self>) {
        let now = self.clock.now();
        let gone = self.agents().log_out_where(|session| self.service.is_over(session, now));
        self.left(gone);
    }
}

/// Whether an account is a user of a service with these roles, as a tenant sees it.
fn is_user(account: &Account, tenant: Option<&String>, roles: &[String]) -> bool {
    *account.kind == *KIND
        && account.tenant.as_ref() == tenant
        && !account.roles.is_empty()
        && account.roles.iter().all(|role| roles.contains(role))
}

/// An administrator's right to change users.
#[derive(Clone)]
struct Right {
    service: Arc<Service>,
    holder: AccountId,
    administrators: Vec<String>,
    roles: Vec<String>,
}

impl Right {
    /// Whether it still is his, and covers this user.
    ///
    /// # Errors
    /// `No permission`, or that there is no such user.
    fn covers(&self, user: &AccountView) -> Result<(), Failure> {
        let is_administrator = |view: &AccountView| {
            view.standing == Standing::Enabled
                && view.account.roles.iter().any(|role| self.administrators.contains(role))
        };
        let holder = self.service.account(self.holder).filter(is_administrator);
        let holder = holder.ok_or_else(Failure::no_permission)?;
        if is_user(&user.account, holder.account.tenant.as_ref(), &self.roles) {
            Ok(())
        } else {
            Err(Failure::user_not_found())
        }
    }
}

/// Who calls.
struct Caller<'c> {
    account: &'c Arc<Account>,
    session: Option<TokenDigest>,
    /// Scheme, host and prefix of the API.
    base: &'c str,
    address: std::net::IpAddr,
}

impl<'c> Caller<'c> {
    fn of(call: &'c ServiceCall) -> Result<Self, Failure> {
        let Some(account) = call.identity.account() else {
            return Err(Failure::Gate(Refusal::new(
                Reason::NoCredential,
                "the call is about somebody's account",
            )));
        };
        let session = call.identity.session().map(|session| session.digest());
        Ok(Self { account, session, base: &call.base, address: call.address })
    }

    fn has(&self, roles: &[String]) -> bool {
        self.account.roles.iter().any(|role| roles.contains(role))
    }

    /// For the audit.
    fn by(&self) -> By {
        By::new(self.account.name.to_string(), Some(self.address))
    }
}
