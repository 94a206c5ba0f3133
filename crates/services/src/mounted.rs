//! What the APIs of a configuration mount.

use std::sync::Arc;
use std::time::Duration;

use countersign_auth::api::Api;
use countersign_auth::dialect::service::{Service as Named, ServiceOptions};
use countersign_auth::port::services::{ServiceAnswer, ServiceCall, Services};
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::refusal::{Reason, Refusal};
use countersign_auth::time::{Clock, Random, Time};
use countersign_identity::service::{Ended, Service};
use hashbrown::HashMap;
use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::centre::{Centre, CentreOptions};
use crate::push::Push;

/// How often silent push clients are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// Every so many sweeps, sessions are looked for that ended by time, which nobody tells of.
const SWEEPS_PER_LOOK: u32 = 2;

/// What services need of the world.
#[derive(Clone)]
pub struct World {
    /// Accounts, sessions, tokens.
    pub service: Arc<Service>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
}

/// The services of one API.
#[derive(Clone, Default)]
struct Mounts {
    push: Option<Arc<Push>>,
    centre: Option<Arc<Centre>>,
    endpoints: HashMap<Arc<str>, (Named, ServiceOptions)>,
}

/// All services of a gate. They end with it: dropping this stops what runs in the background.
pub struct Mounted {
    mounts: Arc<HashMap<Arc<str>, Mounts>>,
    background: JoinHandle<()>,
}

/// What is wrong with what an API says to the services that it mounts.
pub fn problems(api: &Api) -> Vec<String> {
    let of = |(endpoint, named, options): (&Arc<str>, Named, &ServiceOptions)| {
        let found = match named {
            Named::Bayeux => Push::problems(options),
            Named::ContactCentre => Vec::new(),
        };
        found.into_iter().map(|problem| format!("endpoint `{endpoint}`: {problem}")).collect::<Vec<_>>()
    };
    api.services().flat_map(of).collect()
}

impl Mounted {
    /// Builds the services that `apis` mount, and follows the ends of sessions on `runtime` from now on.
    ///
    /// # Errors
    /// What is wrong with their options, or what could not be read from the store.
    pub async fn new(apis: &[Arc<Api>], world: &World, runtime: &Handle) -> Result<Self, Unavailable> {
        Self::instead_of(None, apis, world, runtime).await
    }

    /// Builds the services that `apis` mount after the configuration has changed. Those of an API that mounts what it
    /// mounted before go on, with all who listen to them.
    ///
    /// # Errors
    /// As [`Mounted::new`].
    pub async fn renewed(
        &self,
        apis: &[Arc<Api>],
        world: &World,
        runtime: &Handle,
    ) -> Result<Self, Unavailable> {
        Self::instead_of(Some(self), apis, world, runtime).await
    }

    async fn instead_of(
        before: Option<&Self>,
        apis: &[Arc<Api>],
        world: &World,
        runtime: &Handle,
    ) -> Result<Self, Unavailable> {
        let mut mounts = HashMap::new();
        for api in apis {
            let known = before.and_then(|before| before.mounts.get(api.name()));
            let own = match known.filter(|known| known.endpoints == endpoints(api)) {
                Some(same) => same.clone(),
                None => mounts_of(api, world, runtime).await?,
            };
            mounts.insert(Arc::clone(api.name()), own);
        }
        let mounts = Arc::new(mounts);
        let background = runtime.spawn(follow(Arc::clone(&mounts), Arc::clone(&world.service)));
        Ok(Self { mounts, background })
    }

    /// Answers what is held by services that `after` does not go on with.
    pub fn close_what_ended(&self, after: &Self) {
        for (api, mounts) in &*self.mounts {
            let Some(push) = &mounts.push else { continue };
            if after.push(api).is_none_or(|other| !Arc::ptr_eq(other, push)) {
                push.close();
            }
        }
    }

    /// The push channels of an API.
    pub fn push(&self, api: &str) -> Option<&Arc<Push>> {
        self.mounts.get(api)?.push.as_ref()
    }

    /// Answers all that is held, because the gate is about to stop.
    pub fn close(&self) {
        self.mounts.values().filter_map(|mounts| mounts.push.as_ref()).for_each(|push| push.close());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.background.abort();
    }
}

fn endpoints(api: &Api) -> HashMap<Arc<str>, (Named, ServiceOptions)> {
    let of = |(endpoint, named, options): (&Arc<str>, Named, &ServiceOptions)| {
        (Arc::clone(endpoint), (named, options.clone()))
    };
    api.services().map(of).collect()
}

async fn mounts_of(api: &Api, world: &World, runtime: &Handle) -> Result<Mounts, Unavailable> {
    let mut mounts = Mounts { endpoints: endpoints(api), ..Mounts::default() };
    let mut centre: Option<CentreOptions> = None;
    for (_, named, options) in api.services() {
        match named {
            Named::Bayeux => {
                let World { service, clock, random } = world.clone();
                let push = Push::new(options, api.same_site(), service, clock, random);
                let told = |problems: Vec<String>| {
                    Unavailable(format!("api {}: {}", api.name(), problems.join("; ")))
                };
                mounts.push = Some(Arc::new(push.map_err(told)?));
            }
            Named::ContactCentre => centre.get_or_insert_default().add(options),
        }
    }
    if let Some(options) = centre {
        let push = mounts.push.clone();
        let centre = Centre::new(Arc::clone(api.name()), options, push, world, runtime).await?;
        mounts.centre = Some(Arc::new(centre));
    }
    Ok(mounts)
}

/// Ends what hangs on sessions and accounts that end, and sweeps.
async fn follow(mounts: Arc<HashMap<Arc<str>, Mounts>>, service: Arc<Service>) {
    let mut ended = service.ended();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweeps = 0_u32;
    loop {
        tokio::select! {
            told = ended.recv() => match told {
                Ok(Ended::Token(digest)) => for mounts in mounts.values() {
                    mounts.push.iter().for_each(|push| push.session_ended(digest));
                    mounts.centre.iter().for_each(|centre| centre.session_ended(digest));
                },
                Ok(Ended::Account(account)) => for mounts in mounts.values() {
                    mounts.push.iter().for_each(|push| push.account_ended(account));
                    mounts.centre.iter().for_each(|centre| centre.account_ended(account));
                },
                Err(RecvError::Lagged(_)) => look_at_all(&mounts),
                Err(RecvError::Closed) => return,
            },
            _ = sweep.tick() => {
                mounts.values().filter_map(|mounts| mounts.push.as_ref()).for_each(|push| push.sweep());
                sweeps = sweeps.wrapping_add(1);
                if sweeps.is_multiple_of(SWEEPS_PER_LOOK) {
                    look_at_all(&mounts);
                }
            }
        }
    }
}

fn look_at_all(mounts: &HashMap<Arc<str>, Mounts>) {
    for mounts in mounts.values() {
        mounts.push.iter().for_each(|push| push.look_at_all());
        mounts.centre.iter().for_each(|centre| centre.look_at_all());
    }
}

impl Services for Mounted {
    fn serve(&self, call: ServiceCall) -> Answer<Result<ServiceAnswer, Refusal>> {
        let mounts = self.mounts.get(&call.api);
        let named = mounts.and_then(|mounts| Some((mounts, &mounts.endpoints.get(&call.endpoint)?.0)));
        match named {
            Some((Mounts { push: Some(push), .. }, Named::Bayeux)) => push.serve(&call),
            Some((Mounts { centre: Some(centre), .. }, Named::ContactCentre)) => {
                let centre = Arc::clone(centre);
                Box::pin(async move { centre.serve(call).await })
            }
            Some((_, Named::Bayeux | Named::ContactCentre)) | None => {
                let cause = format!("nobody serves endpoint {} of api {}", call.endpoint, call.api);
                Box::pin(async { Err(Refusal::new(Reason::Internal, cause)) })
            }
        }
    }

    fn has_last_word(&self, api: &str, endpoint: &str) -> bool {
        let named = self.mounts.get(api).and_then(|mounts| mounts.endpoints.get(endpoint));
        named.is_some_and(|(named, _)| match named {
            Named::Bayeux => true,
            Named::ContactCentre => false,
        })
    }

    fn last_word(&self, api: &str, _endpoint: &str, body: &[u8], _now: Time) -> Option<ServiceAnswer> {
        self.push(api)?.last_word(body)
    }
}
