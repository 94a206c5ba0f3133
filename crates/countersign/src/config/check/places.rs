//! Whether the places of APIs go together: one place is one API's, a host hides no prefix, and no browser that is logged
//! in at one place is a riddle at another.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;

use super::listeners_of;
use crate::config::report::Report;
use crate::config::tree::{Api, Config, Listener, Upstream};
use crate::config::value::{Origin, OriginScheme, Place};
use crate::dialects;

/// Reports places that do not go together.
pub(super) fn check(config: &Config, folder: &Path, report: &mut Report) {
    let mut places = Places { config, known: HashMap::new(), hosts: HashMap::new() };
    for (number, api) in config.api.iter().enumerate() {
        for (at, place) in api.at.iter().enumerate() {
            let spot = Spot { api, number, at, place };
            places.taken(spot, report);
            places.add(spot);
        }
    }
    let mut cookies = HashMap::new();
    for (number, api) in config.api.iter().enumerate() {
        for (at, place) in api.at.iter().enumerate() {
            let spot = Spot { api, number, at, place };
            places.hidden(spot, report);
            places.ambiguous(spot, folder, &mut cookies, report);
            places.beside(spot, report);
        }
    }
}

/// A place of an API.
#[derive(Clone, Copy)]
struct Spot<'c> {
    api: &'c Api,
    number: usize,
    at: usize,
    place: &'c Place,
}

struct Places<'c> {
    config: &'c Config,
    /// By host and prefix, in small letters.
    known: HashMap<(Option<&'c str>, String), Vec<Spot<'c>>>,
    /// Those that name a host, by their prefix in small letters.
    hosts: HashMap<String, Vec<Spot<'c>>>,
}

impl<'c> Places<'c> {
    fn add(&mut self, spot: Spot<'c>) {
        let prefix = spot.prefix();
        if spot.place.host.is_some() {
            self.hosts.entry(prefix.clone()).or_default().push(spot);
        }
        self.known.entry((spot.place.host.as_deref(), prefix)).or_default().push(spot);
    }

    fn at(&self, host: Option<&'c str>, prefix: &str) -> &[Spot<'c>] {
        self.known.get(&(host, prefix.to_owned())).map_or(&[], Vec::as_slice)
    }

    fn taken(&self, spot: Spot<'c>, report: &mut Report) {
        let same = self.at(spot.place.host.as_deref(), &spot.prefix());
        let Some(other) = same.iter().find(|other| self.meet(spot, **other)) else { return };
        let (place, first) = (spot.place, other.number);
        let message = if other.place == place {
            format!("`{place}` is a place of api[{first}] already, on the same listener")
        } else {
            format!(
                "`{place}` is `{}` of api[{first}] but for letter case, which many services do not mind",
                other.place
            )
        };
        let hint = "give one of them another host, prefix or listener";
        report.add(&spot.key(), message, Some(hint.to_owned()));
    }

    /// Reports a prefix for all hosts that some host's place takes away there, unless the configuration says whose it is
    /// on that host.
    fn hidden(&self, spot: Spot<'c>, report: &mut Report) {
        if spot.place.host.is_some() {
            return;
        }
        let prefix = spot.prefix();
        let mut seen = HashSet::new();
        for above in above(&prefix).rev() {
            for other in self.hosts.get(above).into_iter().flatten().filter(|other| self.meet(spot, **other))
            {
                let host = other.place.host.as_deref().unwrap_or_default();
                // The longest prefix of a host decides there.
                if !seen.insert(host)
                    || other.number == spot.number
                    || !self.at(Some(host), &prefix).is_empty()
                {
                    continue;
                }
                let message = format!(
                    "`{}` is not this API's on host {host}: there `{}` of api[{}] has every path",
                    spot.place, other.place, other.number
                );
                let hint = format!("say whose it is there: write \"{host}{}\" in one of the two", spot.place);
                report.add(&spot.key(), message, Some(hint));
                return;
            }
        }
    }

    /// Reports a place below another one of its host where both have a cookie of one name: a browser that is logged in at
    /// both sends two, and is refused for as long as they live.
    fn ambiguous(
        &self,
        spot: Spot<'c>,
        folder: &Path,
        cookies: &mut HashMap<usize, Cookies>,
        report: &mut Report,
    ) {
        let (prefix, host) = (spot.prefix(), spot.place.host.as_deref());
        for above in above(&prefix) {
            let outer = self.at(host, above).iter();
            // On a host of its own, what is for all hosts is only where no place of the host is.
            let is_there = |own: &str| self.at(host, own).is_empty();
            let reaches = host.is_some() && self::above(above).chain([above]).all(is_there);
            let everywhere = if reaches { self.at(None, above) } else { &[] };
            for other in outer.chain(everywhere).filter(|other| self.meet(spot, **other)) {
                let mut of = |spot: Spot<'c>| {
                    cookies.entry(spot.number).or_insert_with(|| Cookies::of(spot.api, folder)).clone()
                };
                let (theirs, own) = (of(*other), of(spot));
                let Some(name) = own.alone.iter().find(|name| theirs.all.contains(name)) else { continue };
                let message = format!(
                    "`{}` is below `{}` of api[{}], and both have the cookie `{name}`: browsers that are logged in at both send two, which is refused as ambiguous",
                    spot.place, other.place, other.number
                );
                let hint = "give one of them a host of its own, or prefixes side by side";
                report.add(&spot.key(), message, Some(hint.to_owned()));
                return;
            }
        }
    }

    /// Notes where an API in front of the same service has the paths below a prefix, on a host or listener where this one is
    /// not: its own routes decide there.
    fn beside(&self, spot: Spot<'c>, report: &mut Report) {
        let prefix = spot.prefix();
        let mut told = HashSet::new();
        for above in above(&prefix).rev() {
            let everywhere = self.at(None, above).iter();
            let others = everywhere.chain(self.hosts.get(above).into_iter().flatten());
            for other in
                others.filter(|other| other.number != spot.number && served_alike(spot.api, other.api))
            {
                let route = prefix.strip_prefix(above).unwrap_or_default();
                let Some(listener) = self.decides(*other, above, &prefix) else { continue };
                if has_route(other.api, route) || !told.insert(other.number) {
                    continue;
                }
                let host =
                    other.place.host.as_deref().map(|host| format!(" of host {host}")).unwrap_or_default();
                report.remark(
                    &other.key(),
                    format!(
                        "`{}{host}` on listener `{listener}` is the service of api[{}] as well, which is at `{}` and not there: this API's routes decide",
                        spot.place.prefix, spot.number, spot.place
                    ),
                    Some(format!("write a route at = \"{route}/**\" here that says who may")),
                );
            }
        }
    }

    /// A listener on which a place has what is below a longer prefix, because nobody is nearer there.
    fn decides(&self, spot: Spot<'c>, own: &str, prefix: &str) -> Option<&'c str> {
        let host = spot.place.host.as_deref();
        let longer = || above(prefix).chain([prefix]).filter(|nearer| nearer.len() > own.len());
        let is_there = |listener: &Listener, other: &Spot<'c>| {
            listeners_of(self.config, other.api).any(|theirs| theirs.name == listener.name)
        };
        let mut all = listeners_of(self.config, spot.api);
        let found = all.find(|listener| {
            !longer().any(|nearer| self.at(host, nearer).iter().any(|other| is_there(listener, other)))
        });
        found.map(|listener| listener.name.as_str())
    }

    /// Whether two APIs share a listener.
    fn meet(&self, one: Spot<'_>, other: Spot<'_>) -> bool {
        listeners_of(self.config, one.api)
            .any(|listener| listeners_of(self.config, other.api).any(|theirs| theirs.name == listener.name))
    }
}

impl Spot<'_> {
    fn key(&self) -> String {
        format!("api[{}].at[{}]", self.number, self.at)
    }

    fn prefix(&self) -> String {
        self.place.prefix.to_ascii_lowercase()
    }
}

/// The prefixes that are shorter than one by whole segments, the shortest first.
fn above(prefix: &str) -> impl DoubleEndedIterator<Item = &str> {
    prefix.match_indices('/').filter_map(|(at, _)| prefix.get(..at))
}

/// Whether two APIs share a server behind them.
fn served_alike(one: &Api, other: &Api) -> bool {
    let servers = |api: &Api| -> Vec<(String, Option<u16>, OriginScheme)> {
        let origins = match &api.upstream {
            Upstream::One(origin) => std::slice::from_ref(origin),
            Upstream::Many(many) => many.backends.as_slice(),
        };
        let server = |origin: &Origin| {
            (origin.authority.host().to_ascii_lowercase(), origin.authority.port_u16(), origin.scheme)
        };
        origins.iter().map(server).collect()
    };
    let others = servers(other);
    servers(one).iter().any(|server| others.contains(server))
}

/// Whether some route of an API is about what is at a path or below it, and not about all paths.
fn has_route(api: &Api, path: &str) -> bool {
    api.route.iter().any(|route| {
        let own = route.at.0.rsplit(' ').next().unwrap_or_default();
        let parts = own.split_at_checked(path.len());
        parts.is_some_and(|(head, rest)| {
            head.eq_ignore_ascii_case(path) && (rest.is_empty() || rest.starts_with('/'))
        })
    })
}

/// Names of the cookies that are credentials of an API.
#[derive(Clone, Default)]
struct Cookies {
    all: Vec<String>,
    /// Those of which a request may have one alone.
    alone: Vec<String>,
}

impl Cookies {
    fn of(api: &Api, folder: &Path) -> Self {
        // What is wrong with the dialect is said where the API is checked.
        let Ok(text) = dialects::fetch(&api.dialect, folder) else { return Self::default() };
        let outline = dialects::outline(&text.text);
        let deployment = api.deployment.as_deref().or(outline.deployments.first().map(String::as_str));
        let mut cookies = Self::default();
        for credential in &outline.credentials {
            if credential.is_on(deployment, &api.enable, &api.disable) {
                let names = credential.cookies().into_iter().map(str::to_owned);
                cookies.all.extend(names.clone());
                cookies.alone.extend(names.filter(|_| !credential.first_live));
            }
        }
        cookies
    }
}
