//! A dialect at work: one API with its deployment, lifetimes, routes and tenants.

mod csrf_header;
pub mod digest;
mod headers;
pub mod logins;
mod options;
mod switches;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderName, Method};

use crate::api::digest::DigestOptions;
use crate::api::logins::LoginOption;
use crate::api::switches::{deployment, switches};
use crate::canonical::method::STANDARD;
use crate::cookie::SameSite;
use crate::dialect::pattern::{PathCase, Pattern, Segments};
use crate::dialect::place::Place;
use crate::dialect::service::{Service, ServiceOptions};
use crate::dialect::source::{Problem, did_you_mean};
use crate::dialect::{CredentialRule, Dialect, Scheme, Site, Surface, TokenRule, check_enabled};
use crate::identity::Identity;
use crate::intake::Intake;
use crate::objects::kind::{Kind, Kinds};
use crate::pattern_variables::OwnedVariables;
use crate::policy::{Ages, Policy};
use crate::refusal::{Reason, Refusal};
use crate::render::no_realm;
use crate::token::{TokenKind, TokenPlan};

pub use options::{ApiOptions, Mechanism, TokenSettings};

static NEXT_EDITION: AtomicU64 = AtomicU64::new(1);

/// A dialect with everything settled.
#[derive(Debug)]
pub struct Api {
    pub(crate) name: Arc<str>,
    /// No other API of the process has this number, not even one of the same name that takes its place.
    pub(crate) edition: u64,
    pub(crate) dialect: Arc<Dialect>,
    /// By credential index.
    on: Vec<bool>,
    pub(crate) realm: String,
    pub(crate) csrf_on: bool,
    pub(crate) csrf_header: Option<(HeaderName, String)>,
    /// Where CSRF proofs ride here.
    pub(crate) csrf_places: Vec<Place>,
    plans: BTreeMap<Arc<str>, TokenPlan>,
    pub(crate) policy: Policy,
    pub(crate) tenants: Vec<String>,
    pub(crate) mechanisms: Vec<Mechanism>,
    kinds: Kinds,
    pub(crate) development: bool,
    pub(crate) digest: DigestOptions,
    pub(crate) intake: Intake,
    pub(crate) same_site: Option<SameSite>,
    /// Endpoints that are left to the service behind the gate.
    left: Vec<Arc<str>>,
    pub(crate) logins: Vec<LoginOption>,
    /// The path below the prefix to the log-in that comes in the place of the sign-in page.
    pub(crate) sign_in_at: Option<String>,
}

/// Where a request arrived: what is accepted there, and the variables of its path.
#[derive(Debug)]
pub struct Located {
    pub(crate) site: Arc<Site>,
    pub(crate) variables: OwnedVariables,
}

impl Located {
    /// The name of the endpoint, if the gate serves the call itself.
    pub fn endpoint(&self) -> Option<&str> {
        self.site.endpoint.as_ref().map(|endpoint| &*endpoint.name)
    }

    /// The endpoint that mounts a named service here.
    pub fn service(&self) -> Option<&Arc<str>> {
        let endpoint = self.site.endpoint.as_ref()?;
        endpoint.operation.service().map(|_| &endpoint.name)
    }

    /// Whether the gate serves the call itself and looks into its body.
    pub fn reads_body(&self) -> bool {
        self.site.reads_body()
    }

    /// Whether the call goes on to the upstream.
    pub fn forwards(&self) -> bool {
        self.site.endpoint.as_ref().is_none_or(|endpoint| endpoint.forward)
    }
}

impl Api {
    /// Settles a dialect for one API.
    ///
    /// # Errors
    /// Every mistake in the options, and what the loader refuses once they are applied.
    pub fn new(dialect: Arc<Dialect>, options: ApiOptions) -> Result<Self, Vec<Problem>> {
        let mut mistakes = Vec::new();
        let deployment = deployment(&dialect, &options, &mut mistakes);
        let on = switches(&dialect, &options, deployment.as_deref(), &mut mistakes);
        mistakes.extend(
            check_enabled(&dialect, &|rule| on.get(rule.index) == Some(&true))
                .into_iter()
                .map(|(table, message)| format!("{table}: {message}")),
        );
        unused(&dialect, &options.mechanisms, &|rule| on.get(rule.index) == Some(&true), &mut mistakes);
        if options.csrf_off && !options.dangerous.iter().any(|what| what == "csrf") {
            mistakes.push(
                "`csrf = false` lets foreign pages use sessions; if that is meant add dangerous = [\"csrf\"]"
                    .to_owned(),
            );
        }
        mistakes.extend(options.realm.as_deref().and_then(no_realm).map(str::to_owned));
        let plans = plans(&dialect, &options, &mut mistakes);
        let left = left(&dialect, &options, &mut mistakes);
        let sign_in_at = logins::settled(&dialect, &options, &mut mistakes);
        let name: Arc<str> = options.name.as_str().into();
        let kinds = Kind::all(&name, &options.objects, &mut mistakes);
        let policy = Policy::new(&dialect, &options.routes, &kinds, &mut mistakes);
        let csrf_header = csrf_header::settled(&dialect, options.csrf_header.as_deref(), &mut mistakes);
        if !mistakes.is_empty() {
            let problem = |message| Problem {
                file: format!("api `{}`", options.name),
                line: 0,
                table: String::new(),
                message,
            };
            return Err(mistakes.into_iter().map(problem).collect());
        }
        let intake = Intake::new(&dialect, csrf_header.as_ref().map(|(header, _)| header));
        let realm = options.realm.or_else(|| dialect.realm.clone()).unwrap_or(options.name);
        Ok(Self {
            name,
            edition: NEXT_EDITION.fetch_add(1, Ordering::Relaxed),
            on,
            realm,
            csrf_on: !options.csrf_off,
            csrf_places: csrf_header::places(&dialect, csrf_header.as_ref()),
            csrf_header,
            plans,
            policy,
            tenants: options.tenants,
            mechanisms: options.mechanisms,
            kinds,
            development: options.development,
            digest: options.digest.settled(),
            intake,
            left,
            logins: options.logins,
            sign_in_at,
            same_site: options.same_site,
            dialect,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the letter case of paths counts in its dialect.
    pub fn path_case(&self) -> PathCase {
        self.dialect.path_case
    }

    /// Its kind of objects of that name.
    pub fn kind(&self, name: &str) -> Option<&Arc<Kind>> {
        self.kinds.get(name)
    }

    /// Whether clients get references in place of some ids.
    pub(crate) fn has_references(&self) -> bool {
        self.kinds.values().any(|kind| kind.references.is_some())
    }

    /// How old a log-in may be for its routes, where some route asks.
    pub(crate) fn ages(&self) -> Option<Ages> {
        self.policy.ages
    }

    /// What is no mistake in its routes, and may mean something else than was meant; for people.
    pub fn notes(&self) -> &[String] {
        &self.policy.notes
    }

    /// Its dialect.
    pub fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    /// The endpoints that mount a named service here: those that are not left to the service behind the gate.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<str>, Service, &ServiceOptions)> {
        self.dialect.services().filter(|(endpoint, _, _)| !self.left.contains(endpoint))
    }

    /// Whether its cookies ride on requests of other sites, where its configuration says so.
    pub fn same_site(&self) -> Option<SameSite> {
        self.same_site
    }

    /// Headers in which answers tell scripts of its CSRF token.
    pub fn csrf_told_in(&self) -> impl Iterator<Item = &HeaderName> {
        let stamps = self.dialect.stamps.items().flat_map(|stamp| &stamp.headers);
        stamps.filter(|(_, template)| template.names("csrf.")).map(|(name, _)| name)
    }

    /// Whether a browser sends by itself what proved this identity: a cookie, Basic and Digest that it remembers, or what the
    /// user's log-in to the desktop proves.
    pub fn is_ambient(&self, identity: &Identity) -> bool {
        let proved = self.dialect.credentials.iter().find(|rule| *rule.name == *identity.credential());
        proved.is_some_and(|rule| rule.in_cookie() || rule.is_repeated_by_browsers())
    }

    /// Whether something is accepted here that belongs to connections.
    pub fn negotiates(&self) -> bool {
        !self.mechanisms.is_empty()
    }

    /// How its API keys are made, if its dialect has any.
    pub fn key_plan(&self) -> Option<&TokenPlan> {
        self.plans.values().find(|plan| plan.kind == TokenKind::Key)
    }

    /// How long a token lives at the most that the gate signs for clients; zero if it signs none here.
    pub fn signed_tokens_live(&self) -> Duration {
        let signed = self.plans.values().filter(|plan| plan.kind == TokenKind::Jwt);
        signed.filter_map(|plan| plan.lifetime).max().unwrap_or_default()
    }

    /// The words of values that an operator sets, with the kind of account that their holders act as.
    pub fn shared_words(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.dialect.credentials.iter().filter_map(|rule| {
            let token = rule.token.as_ref().filter(|token| token.kind == TokenKind::Shared)?;
            Some((&token.word, &rule.accounts))
        })
    }

    /// The issuers in whose name the gate signs tokens here.
    pub fn own_issuers(&self) -> impl Iterator<Item = &str> {
        let reads = |name: &str| self.dialect.credentials.iter().find(|rule| &*rule.name == name);
        let named = self.dialect.tokens.iter().filter_map(|token| token.jwt_credential.as_deref());
        named.filter_map(move |name| reads(name)?.jwt.as_ref().map(|jwt| jwt.issuer.as_str()))
    }

    /// The issuers that the dialect itself names.
    pub fn jwt_issuers(&self) -> impl Iterator<Item = &str> {
        self.dialect.credentials.iter().filter_map(|rule| rule.jwt.as_ref()).map(|jwt| jwt.issuer.as_str())
    }

    /// Whether a credential of that name is on.
    pub fn has_on(&self, credential: &str) -> bool {
        self.dialect.credentials.iter().any(|rule| *rule.name == *credential && self.is_on(rule))
    }

    /// Whether signed tokens are taken here.
    pub fn takes_jwts(&self) -> bool {
        self.dialect.credentials.iter().any(|rule| rule.scheme == Scheme::Jwt && self.is_on(rule))
    }

    /// Whether some claim fills a field of an identity where only the dialect says which.
    pub fn jwt_fills(&self, field: &str) -> bool {
        let claims = self.dialect.credentials.iter().filter_map(|rule| rule.jwt.as_ref());
        claims.flat_map(|jwt| &jwt.claims).any(|(target, _)| target == field)
    }

    /// Whether an identity that a front proved is taken here.
    pub fn takes_fronts(&self) -> bool {
        self.dialect.credentials.iter().any(|rule| rule.scheme == Scheme::Front && self.is_on(rule))
    }

    /// Whether a credential of that name is a token, signed or not.
    pub fn takes_tokens(&self, name: &str) -> bool {
        let rule = self.dialect.credentials.iter().find(|rule| &*rule.name == name);
        rule.is_some_and(|rule| matches!(rule.scheme, Scheme::Jwt | Scheme::Token))
    }

    /// What is accepted at a path below the prefix (empty, or beginning with `/`).
    ///
    /// `holds` says whether the condition of a conditional endpoint holds; it is asked for endpoints whose path
    /// and method match, the most exact first.
    ///
    /// # Errors
    /// `not-found` if no surface has the path, `method` if one has it for other methods; what `holds` says.
    pub(crate) fn locate(
        &self,
        method: &Method,
        path: &str,
        holds: impl Fn(&Site) -> Result<bool, Refusal>,
    ) -> Result<Located, Refusal> {
        let path = &Segments::of(path);
        for (site, variables) in self.dialect.sites.matching(method, path) {
            if self.is_there(site) && holds(site)? {
                return Ok(Located { site: Arc::clone(site), variables: OwnedVariables::of(&variables) });
            }
        }
        match self.dialect.surface_sites.matching(method, path).next() {
            Some((site, variables)) => {
                Ok(Located { site: Arc::clone(site), variables: OwnedVariables::of(&variables) })
            }
            None if self.dialect.surfaces.other_methods(path).is_empty() => {
                Err(Refusal::new(Reason::NotFound, "no surface of the dialect has this path"))
            }
            None => Err(Refusal::new(Reason::Method, "the surface takes other methods")),
        }
    }

    /// Whether some call with this method and path reads its body.
    pub(crate) fn may_read_body(&self, method: &Method, path: &str) -> bool {
        self.dialect.methods_with_bodies.as_ref().is_none_or(|methods| methods.contains(method))
            && self
                .dialect
                .sites
                .matching(method, &Segments::of(path))
                .any(|(site, _)| site.reads_body() && self.is_there(site))
    }

    /// Whether an endpoint is there in this API: a named service may be left to the service behind the gate.
    fn is_there(&self, site: &Site) -> bool {
        let Some(endpoint) = &site.endpoint else { return true };
        let is_left = |name: &str| self.left.iter().any(|left| **left == *name);
        match (endpoint.operation.service(), &endpoint.unless) {
            (None, None) => true,
            (Some(_), _) => !is_left(&endpoint.name),
            (None, Some(other)) => is_left(other),
        }
    }

    /// The call of the gate's own, by its endpoint's name, that stands at every path of a route and is everybody's whatever
    /// the route says: that of each method which the route names, or of some if it names none. `None` if the route is about
    /// anything else, or is none.
    pub fn everybodys_call(&self, route: &str) -> Option<&str> {
        let route = Pattern::parse(route).ok()?;
        let case = self.dialect.path_case;
        let call = |method: &Method| {
            let mut sites = self.dialect.sites.iter();
            let (at, site) = sites
                .find(|(at, site)| at.admits(method) && at.overlaps(&route, case) && self.is_there(site))?;
            let endpoint = site.endpoint.as_ref().filter(|endpoint| endpoint.when.is_empty())?;
            (site.is_everybodys() && at.covers_paths(&route, case)).then_some(&*endpoint.name)
        };
        match route.methods() {
            [] => STANDARD.iter().find_map(call),
            methods => methods.iter().map(call).collect::<Option<Vec<_>>>()?.into_iter().next(),
        }
    }

    pub(crate) fn is_on(&self, rule: &CredentialRule) -> bool {
        self.on.get(rule.index) == Some(&true)
    }

    /// How a token of a rule is made here.
    pub(crate) fn plan(&self, rule: &TokenRule) -> Option<&TokenPlan> {
        self.plans.get(&rule.word)
    }

    /// The surface that speaks where nothing else does: the least exact one.
    pub(crate) fn widest_surface(&self) -> Option<&Arc<Surface>> {
        self.dialect.surfaces.items().last()
    }
}

/// The endpoints that the configuration leaves to the service behind the gate.
fn left(dialect: &Dialect, options: &ApiOptions, mistakes: &mut Vec<String>) -> Vec<Arc<str>> {
    let mut left = Vec::new();
    for name in &options.leave {
        let named = |endpoint: &str, service: Service| *endpoint == **name || service.name() == name;
        let before = left.len();
        left.extend(
            dialect
                .services()
                .filter(|(endpoint, service, _)| named(endpoint, *service))
                .map(|(endpoint, _, _)| Arc::clone(endpoint)),
        );
        if left.len() == before {
            let services = dialect.services().map(|(_, service, _)| service.name());
            let names = dialect.services().map(|(endpoint, _, _)| &**endpoint).chain(services);
            let hint = did_you_mean(name, names);
            mistakes.push(format!("the dialect mounts no service `{name}` that could be left out{hint}"));
        }
    }
    left
}

/// A mechanism that no credential is checked by is a mistake: somebody believes it on.
fn unused(
    dialect: &Dialect,
    mechanisms: &[Mechanism],
    is_on: &dyn Fn(&CredentialRule) -> bool,
    mistakes: &mut Vec<String>,
) {
    let on = |scheme| dialect.credentials.iter().any(|rule| rule.scheme == scheme && is_on(rule));
    for mechanism in mechanisms {
        let (used, table) = match mechanism {
            Mechanism::Kerberos => (on(Scheme::Negotiate), "kerberos"),
            Mechanism::Ntlm => (on(Scheme::Negotiate) || on(Scheme::Ntlm), "ntlm"),
        };
        if !used {
            mistakes.push(format!(
                "[api.{table}] checks nothing: no credential of its scheme is on; name one in `enable`"
            ));
        }
    }
}

fn plans(
    dialect: &Dialect,
    options: &ApiOptions,
    mistakes: &mut Vec<String>,
) -> BTreeMap<Arc<str>, TokenPlan> {
    for word in options.tokens.keys() {
        if dialect.token(word).is_none() {
            let hint = did_you_mean(word, dialect.token_words().map(|(word, _)| word));
            mistakes.push(format!("the dialect has no token `{word}`{hint}"));
        }
    }
    let settings = |word: &str| options.tokens.get(word).cloned().unwrap_or_default();
    dialect
        .tokens
        .iter()
        .filter_map(|rule| {
            let form = match (&rule.form, rule.kind) {
                (Some(form), _) => Arc::clone(form),
                (None, TokenKind::Jwt) => Arc::new(crate::form::Form::unused()),
                (None, _) => return None,
            };
            let settings = settings(&rule.word);
            let plan = TokenPlan {
                word: Arc::clone(&rule.word),
                kind: rule.kind,
                form,
                second: rule.second.clone(),
                idle: settings.idle.or(rule.idle),
                lifetime: settings.lifetime.or(rule.lifetime),
                proof_lifetime: rule.proof_lifetime,
                per_account: settings.per_account.or(rule.per_account),
                at_limit: rule.at_limit,
            };
            Some((Arc::clone(&rule.word), plan))
        })
        .collect()
}
