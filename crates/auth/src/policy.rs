//! Who may do what: the routes of an API. No rule means no.

mod crossing;
mod letters;
mod unnamed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::api::{Api, Located};
use crate::canonical::method::is_standard;
use crate::dialect::Dialect;
use crate::dialect::pattern::{Pattern, Patterns, Segments};
use crate::identity::Identity;
use crate::objects::kind::Kinds;
use crate::objects::settle::{Checked, Pending};
use crate::objects::{RouteObjects, Rules};
use crate::policy::letters::Letters;
use crate::refusal::{Reason, Refusal};
use crate::time::Time;

/// A route as the configuration writes it.
#[derive(Clone, Debug)]
pub struct RouteOptions {
    /// Methods and a path below the prefix, as in dialects: `GET /x/**`.
    pub at: String,
    /// Who may.
    pub allow: Allow,
    /// Whether the route may become a WebSocket.
    pub upgrade: bool,
    /// Which ids it is about, and whose they must be.
    pub objects: RouteObjects,
}

/// Who may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Everybody, where the dialect's surface admits callers without a credential too.
    Anonymous,
    /// Everybody who proved who he is, in one of these ways.
    Proven(Conditions),
}

/// What must hold of a proven caller; an empty list asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Has one of these roles.
    pub roles: Vec<String>,
    /// Acts for one of these tenants.
    pub tenants: Vec<String>,
    /// Was proven by one of these schemes or credentials of the dialect, by name.
    pub schemes: Vec<String>,
    /// Logged in no longer ago.
    pub max_age: Option<Duration>,
}

impl Allow {
    /// How long ago a caller may have logged in, where that is asked.
    fn max_age(&self) -> Option<Duration> {
        match self {
            Self::Anonymous => None,
            Self::Proven(conditions) => conditions.max_age,
        }
    }
}

#[derive(Debug)]
struct Route {
    at: Arc<str>,
    /// Which one it is in the order of the configuration.
    number: usize,
    /// What it names beyond the standard methods.
    beyond: Vec<Method>,
    allow: Allow,
    upgrade: bool,
    objects: Option<Arc<Rules>>,
    /// Whether it is about all paths, and so about nothing in particular.
    is_for_all: bool,
}

/// Pairs of routes that do not go together are as many as the square of the routes; nobody reads more at once.
const PAIRS_TOLD_MAX: usize = 20;

/// How old a log-in may be for the routes of an API that ask for its age.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ages {
    /// The least of them, for the route that asks for the most.
    pub(crate) strictest: Duration,
    /// The greatest.
    pub(crate) laxest: Duration,
}

impl Ages {
    /// When a log-in was that is too old for all of them, and no older than that takes.
    pub(crate) fn before_all(self, now: Time) -> Time {
        now.minus(self.laxest).minus(Duration::from_secs(1))
    }
}

/// The routes of an API.
#[derive(Debug)]
pub(crate) struct Policy {
    routes: Patterns<Arc<Route>>,
    /// `None` where it makes no difference whether letter case counts.
    letters: Option<Letters>,
    /// How old log-ins may be, where some route asks.
    pub(crate) ages: Option<Ages>,
    /// What is worth knowing of them, for people.
    pub(crate) notes: Vec<String>,
}

impl Policy {
    pub(crate) fn new(
        dialect: &Dialect,
        routes: &[RouteOptions],
        kinds: &Kinds,
        mistakes: &mut Vec<String>,
    ) -> Self {
        let mut entries = Vec::new();
        for route in routes {
            match Pattern::parse(&route.at) {
                Ok(pattern) => {
                    let rules = Rules::new(&pattern, dialect.path_case, kinds, &route.objects, mistakes);
                    if let (Allow::Anonymous, Some(rules)) = (&route.allow, &rules) {
                        rules.for_anonymous(&route.at, mistakes);
                    }
                    let shared = Arc::new(Route {
                        at: route.at.as_str().into(),
                        number: entries.len(),
                        is_for_all: pattern.is_for_all_paths(),
                        beyond: pattern.methods().iter().filter(|own| !is_standard(own)).cloned().collect(),
                        allow: route.allow.clone(),
                        upgrade: route.upgrade,
                        objects: rules.map(Arc::new),
                    });
                    entries.push((pattern, false, (shared, route)));
                }
                Err(message) => mistakes.push(format!("route {message}")),
            }
        }
        let letters = Letters::new(dialect, entries.iter().map(|(at, _, (_, route))| (at, *route)));
        let routes = Patterns::new(dialect.path_case, entries);
        for ((a, _), (b, _)) in routes.ties().take(PAIRS_TOLD_MAX) {
            mistakes.push(format!("routes `{a}` and `{b}` match the same request and neither is more exact"));
        }
        mistakes.extend(crossing::mistakes(dialect, &routes).take(PAIRS_TOLD_MAX));
        let notes = unnamed::notes(dialect, &routes).take(PAIRS_TOLD_MAX).collect();
        let ages = || routes.items().filter_map(|(route, _)| route.allow.max_age());
        let ages = ages().min().zip(ages().max()).map(|(strictest, laxest)| Ages { strictest, laxest });
        Self { routes: routes.map(|(route, _)| route), letters, ages, notes }
    }

    fn takes(&self, method: &Method, path: &str) -> bool {
        is_standard(method)
            || self
                .routes
                .matching(method, &Segments::of(path))
                .next()
                .is_some_and(|(route, _)| route.takes(method))
    }

    /// The methods beyond the standard ones that may be asked for at a path.
    pub(crate) fn beyond(&self, path: &str) -> Vec<Method> {
        let segments = Segments::of(path);
        let named = self.routes.at_path(&segments).flat_map(|route| &route.beyond);
        named.filter(|method| self.takes(method, path)).cloned().collect()
    }
}

impl Route {
    /// A route that names no method is about the standard ones; about another it is silent, which means no.
    fn takes(&self, method: &Method) -> bool {
        is_standard(method) || self.beyond.contains(method)
    }

    fn lets_in(&self, identity: &Identity, now: Time) -> Result<(), Refusal> {
        let Allow::Proven(conditions) = &self.allow else { return Ok(()) };
        meets(identity, conditions, now).map_err(|mut refusal| {
            refusal.dead_cookie = identity.dead_cookie().map(str::to_owned);
            refusal
        })
    }
}

/// This identity may do this, by that rule.
///
/// Only [`authorize`] makes one.
///
/// ```compile_fail
/// fn forge(identity: countersign_auth::identity::Identity) -> countersign_auth::policy::Permit {
///     countersign_auth::policy::Permit { identity, rule: "none".into(), upgrade: true, checked: None }
/// }
/// ```
///
/// ```
/// fn read(permit: &countersign_auth::policy::Permit) -> &str {
///     permit.rule()
/// }
/// ```
#[derive(Clone)]
pub struct Permit {
    identity: Identity,
    rule: Arc<str>,
    upgrade: bool,
    checked: Option<Arc<Checked>>,
}

/// An identity that a route allows, as far as the route alone can tell.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) identity: Identity,
    rule: Arc<str>,
    upgrade: bool,
}

/// What [`decide`] says.
#[derive(Debug)]
pub enum Decision {
    /// It may.
    Permit(Permit),
    /// It may if the objects that the request names are its own.
    Objects(Pending),
}

impl Grant {
    /// The receipt, with the ids that were checked where the route has object rules.
    pub(crate) fn permit(self, checked: Option<Checked>) -> Permit {
        let Self { identity, rule, upgrade } = self;
        Permit { identity, rule, upgrade, checked: checked.map(Arc::new) }
    }
}

impl Permit {
    /// Whom it permits.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The route that allowed it, as the configuration writes it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Whether the connection may become a WebSocket.
    pub fn upgrade(&self) -> bool {
        self.upgrade
    }

    /// The ids that were checked, where the route has object rules: such a permit is for one request.
    pub(crate) fn checked(&self) -> Option<&Checked> {
        self.checked.as_deref()
    }

    /// Whether it is for one request alone: its assertion names what that request was checked for.
    pub fn is_for_one_request(&self) -> bool {
        self.checked.is_some()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({:?} by {})", self.identity, self.rule)
    }
}

/// Decides whether an identity may make a request below an API's prefix, where only method and path are known of
/// it: a route with object rules permits nothing so.
///
/// # Errors
/// Those of [`decide`]; `internal` where the route has object rules.
pub fn authorize(
    api: &Api,
    identity: Identity,
    method: &Method,
    path: &str,
    now: Time,
) -> Result<Permit, Refusal> {
    match decide(api, identity, method, path, now)? {
        Decision::Permit(permit) => Ok(permit),
        Decision::Objects(_) => {
            Err(Refusal::new(Reason::Internal, "the route has object rules, which cannot be checked here"))
        }
    }
}

/// Decides whether an identity may make a request below an API's prefix, up to the objects that it names.
///
/// # Errors
/// `no-credential` if nobody proved anything and somebody has to, `stale-proof` if the proof is too old, `not-found` if the
/// path is that of a route which asks for more, but for letter case; else `forbidden`: also where no route has the path.
pub fn decide(
    api: &Api,
    identity: Identity,
    method: &Method,
    path: &str,
    now: Time,
) -> Result<Decision, Refusal> {
    admits_tenant(api, &identity)?;
    let segments = Segments::of(path);
    let Some((route, variables)) = api.policy.routes.matching(method, &segments).next() else {
        return Err(Refusal::new(Reason::Forbidden, "no route has this path and method"));
    };
    if !route.takes(method) {
        return Err(unknown_method());
    }
    if let Some(letters) = &api.policy.letters
        && letters.are_of_a_stricter_route(route.number, method, path)
    {
        let cause = "a route that asks for more has this path in another letter case";
        return Err(Refusal::new(Reason::NotFound, cause));
    }
    route.lets_in(&identity, now)?;
    let grant = Grant { identity, rule: Arc::clone(&route.at), upgrade: route.upgrade };
    Ok(match &route.objects {
        None => Decision::Permit(grant.permit(None)),
        Some(rules) => Decision::Objects(Pending::new(grant, rules, path, &variables)),
    })
}

/// Decides whether an identity may make a call that the gate answers itself: as the most exact route says, if that is about
/// less than all paths. Where none is, the dialect's surface alone decides. Whatever people log in and out by is everybody's.
///
/// # Errors
/// `no-credential`, `stale-proof` and `forbidden` as of [`decide`], but that no route is no refusal; `forbidden` also where the
/// route has object rules, which are not looked at in such calls. Whether the tenant is admitted is asked where they are served.
pub fn decide_own(
    api: &Api,
    located: &Located,
    identity: &Identity,
    method: &Method,
    path: &str,
    now: Time,
) -> Result<(), Refusal> {
    if located.site.is_everybodys() {
        return Ok(());
    }
    let segments = Segments::of(path);
    let Some((route, _)) = api.policy.routes.matching(method, &segments).next() else { return Ok(()) };
    if route.is_for_all {
        return Ok(());
    }
    route.lets_in(identity, now)?;
    match &route.objects {
        None => Ok(()),
        Some(_) => {
            let cause = "the route has object rules, which calls of the gate's own are not checked by";
            Err(Refusal::new(Reason::Forbidden, cause))
        }
    }
}

/// Whether a method may be asked for at a path below an API's prefix, whoever asks: GET, HEAD, POST, PUT, PATCH, DELETE
/// and OPTIONS everywhere, others where the most exact route of the path names them. Services that do not mind letter
/// case must not see what no rule is about (T-A11).
///
/// # Errors
/// `method`.
pub fn takes_method(api: &Api, method: &Method, path: &str) -> Result<(), Refusal> {
    if api.policy.takes(method, path) { Ok(()) } else { Err(unknown_method()) }
}

fn unknown_method() -> Refusal {
    Refusal::new(Reason::Method, "the method is not a standard one, and the path's route does not name it")
}

/// The headers in which the object rules of an API's routes find ids.
pub fn headers_checked(api: &Api) -> impl Iterator<Item = &HeaderName> {
    api.policy.routes.items().filter_map(|route| route.objects.as_deref()).flat_map(Rules::headers)
}

/// Whether a caller may use a service that an endpoint mounts: its tenant is admitted to the API. Who may do what
/// there is the service's to say.
///
/// # Errors
/// `forbidden`.
pub fn admits(api: &Api, identity: &Identity) -> Result<(), Refusal> {
    admits_tenant(api, identity)
}

/// Whether the API admits the identity's tenant; anonymous callers have none and are admitted by routes alone.
pub(crate) fn admits_tenant(api: &Api, identity: &Identity) -> Result<(), Refusal> {
    let Some(account) = identity.account() else { return Ok(()) };
    let admitted =
        api.tenants.is_empty() || account.tenant.as_ref().is_some_and(|tenant| api.tenants.contains(tenant));
    if admitted {
        Ok(())
    } else {
        Err(Refusal::new(Reason::Forbidden, "the tenant is not admitted to this api"))
    }
}

fn meets(identity: &Identity, conditions: &Conditions, now: Time) -> Result<(), Refusal> {
    let Some(account) = identity.account() else {
        return Err(Refusal::new(Reason::NoCredential, "the route admits nobody without a credential"));
    };
    let Conditions { roles, tenants, schemes, max_age } = conditions;
    if !roles.is_empty() && !roles.iter().any(|role| account.roles.contains(role)) {
        return Err(Refusal::new(Reason::Forbidden, "the account has none of the route's roles"));
    }
    if !tenants.is_empty() && !account.tenant.as_ref().is_some_and(|tenant| tenants.contains(tenant)) {
        return Err(Refusal::new(Reason::Forbidden, "the account's tenant is not the route's"));
    }
    let scheme = identity.scheme().map_or("", crate::dialect::Scheme::name);
    if !schemes.is_empty() && !schemes.iter().any(|name| name == scheme || name == identity.credential()) {
        return Err(Refusal::new(Reason::Forbidden, "the route asks for another scheme"));
    }
    if max_age.is_some_and(|max_age| now.since(identity.proven_at()) > max_age) {
        return Err(Refusal::new(Reason::StaleProof, "the proof is older than the route allows"));
    }
    Ok(())
}
