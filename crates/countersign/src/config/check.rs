//! Checks what a configuration means: names that must be known, places that must differ, files that must be
//! there, and what is too dangerous to be said only once.

mod pages;
mod places;
mod routes;
mod service_keys;
mod upstreams;
mod words;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::issuer::Issuer;
use super::negotiation;
use super::report::{Report, nearest};
use super::tree::{Allow, Api, Backends, Config, Listener, Lockout, Upstream};
use super::value::{Network, OriginScheme};
use crate::dialects;

/// What `dangerous` must say as well before an unproven credential may be shown from other machines.
pub(crate) const UNPROVEN_FROM_ANYWHERE: &str = "unproven-from-anywhere";
/// What `dangerous` must say before a value that an operator sets may be shorter than [`SECRET_BYTES_MIN`].
pub(crate) const SHORT_SHARED_VALUE: &str = "short-shared-value";
/// Whoever can reach the gate may guess at a secret that is the same for many callers; this many random bytes nobody
/// guesses.
pub(crate) const SECRET_BYTES_MIN: usize = 16;

/// Reports what is wrong with a configuration of the right shape. Files are looked for below `folder`.
pub(super) fn check(config: &Config, folder: &Path, report: &mut Report) {
    if config.listener.is_empty() {
        let hint = "add [[listener]] with name = \"main\" and address = \"127.0.0.1:8080\"";
        report.add("", "no listener: nobody could connect", Some(hint.to_owned()));
    }
    if config.api.is_empty() {
        let hint = "add [[api]] with name, dialect, at, upstream and an [[api.route]]";
        report.add("", "no API: there is nothing to guard", Some(hint.to_owned()));
    }
    listeners(config, folder, report);
    log_level(config, report);
    request_id(config, report);
    lockout(&config.lockout, report);
    places::check(config, folder, report);
    let mut names = HashMap::new();
    for (at, api) in config.api.iter().enumerate() {
        let path = format!("api[{at}]");
        if let Some(first) = names.insert(api.name.as_str(), at) {
            report.add(
                &format!("{path}.name"),
                format!("`{}` is the name of api[{first}] already", api.name),
                None,
            );
        }
        name(&api.name, &format!("{path}.name"), report);
        check_api(config, api, &path, folder, report);
    }
}

fn name(name: &str, path: &str, report: &mut Report) {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(good) {
        report.add(path, format!("`{name}` is no name; use letters, digits, `-`, `_` and `.`"), None);
    }
}

fn listeners(config: &Config, folder: &Path, report: &mut Report) {
    let mut names = HashMap::new();
    let mut addresses = vec![(config.administration.listen, String::from("the administration"))];
    for (at, listener) in config.listener.iter().enumerate() {
        let path = format!("listener[{at}]");
        name(&listener.name, &format!("{path}.name"), report);
        if let Some(first) = names.insert(listener.name.as_str(), at) {
            let message = format!("`{}` is the name of listener[{first}] already", listener.name);
            report.add(&format!("{path}.name"), message, None);
        }
        let taken = addresses.iter().find(|(other, _)| overlap(other.0, listener.address.0));
        if let Some((other, whose)) = taken {
            let message = if *other == listener.address {
                format!("{} is the address of {whose} already", listener.address)
            } else {
                format!(
                    "{} and {other}, the address of {whose}, are one in part: nobody can listen on both",
                    listener.address
                )
            };
            report.add(&format!("{path}.address"), message, None);
        }
        addresses.push((listener.address, format!("listener `{}`", listener.name)));
        if let Some(tls) = &listener.tls {
            let certificate = folder.join(&tls.certificate);
            let chain =
                CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            match chain {
                Ok(chain) if !chain.is_empty() => {}
                Ok(_) => unreadable(
                    &certificate,
                    "no certificate in it",
                    &format!("{path}.tls.certificate"),
                    report,
                ),
                Err(error) => unreadable(&certificate, &error, &format!("{path}.tls.certificate"), report),
            }
            if let Some(authorities) = &tls.client_ca {
                if !asks_for_certificates(config, listener) {
                    let message = "is never looked at: no API here has a front that shows a certificate, and whoever shows none is let in";
                    let hint = "say whose counts in [api.front], like certificate = \"front.corp.example\", or take the line away";
                    report.add(&format!("{path}.tls.client_ca"), message, Some(hint.to_owned()));
                }
                let file = folder.join(authorities);
                let read =
                    CertificateDer::pem_file_iter(&file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                match read {
                    Ok(all) if !all.is_empty() => {}
                    Ok(_) => {
                        unreadable(&file, "no certificate in it", &format!("{path}.tls.client_ca"), report)
                    }
                    Err(error) => unreadable(&file, &error, &format!("{path}.tls.client_ca"), report),
                }
            }
            let key = folder.join(&tls.key);
            if let Err(error) = PrivateKeyDer::from_pem_file(&key) {
                unreadable(&key, &error, &format!("{path}.tls.key"), report);
            }
        }
    }
}

/// Whether a certificate of a client proves something on a listener.
fn asks_for_certificates(config: &Config, listener: &Listener) -> bool {
    let shows = |api: &&Api| api.front.as_ref().is_some_and(|front| front.certificate.is_some());
    config.api.iter().filter(shows).any(|api| listeners_of(config, api).any(|own| own.name == listener.name))
}

/// Whether two sockets cannot listen there both. All addresses hold each of them; those of IPv6 hold those of IPv4 as well:
/// listeners are bound so, whatever the system's default is.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let holds = |all: IpAddr, some: IpAddr| all.is_unspecified() && (all.is_ipv6() || some.is_ipv4());
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && one.port() != 0 && (a == b || holds(a, b) || holds(b, a))
}

/// From the fewest lines to the most.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

fn log_level(config: &Config, report: &mut Report) {
    let level = &config.log.level;
    // A lone word that is no level would be taken for a module's name, and everything else would be silent.
    let bad = level.split(',').map(str::trim).find(|directive| {
        !directive.contains(['=', '['])
            && directive.parse::<tracing_subscriber::filter::LevelFilter>().is_err()
    });
    let bad = match bad {
        None => tracing_subscriber::EnvFilter::try_new(level).err().map(|_| level.as_str()),
        Some(bad) => Some(bad),
    };
    if let Some(bad) = bad {
        let message = format!(
            "must be error, warn, info, debug, trace or directives like \"info,countersign_gateway=debug\", not \"{bad}\""
        );
        let near = match bad {
            "verbose" => Some("debug"),
            _ => nearest(bad, LEVELS.into_iter()),
        };
        report.add("log.level", message, near.map(|near| format!("did you mean \"{near}\"?")));
    }
}

/// Names that end so and mean something all the same: of the HTML standard and of mail.
const IDS_OF_OTHERS: [&str; 3] = ["last-event-id", "content-id", "message-id"];

fn request_id(config: &Config, report: &mut Report) {
    let Some(name) = &config.log.request_id else { return };
    let fits = http::HeaderName::from_bytes(name.as_bytes())
        .is_ok_and(|name| name.as_str().ends_with("-id") && !IDS_OF_OTHERS.contains(&name.as_str()));
    if !fits {
        let message = format!("must be a header that is for ids of requests, not \"{name}\"");
        report.add("log.request_id", message, Some("write one like \"X-Request-Id\"".to_owned()));
    }
}

/// The listeners on which an API is.
pub(crate) fn listeners_of<'c>(config: &'c Config, api: &'c Api) -> impl Iterator<Item = &'c Listener> {
    config
        .listener
        .iter()
        .filter(|listener| api.listeners.as_ref().is_none_or(|names| names.contains(&listener.name)))
}

fn check_api(config: &Config, api: &Api, path: &str, folder: &Path, report: &mut Report) {
    if api.at.is_empty() {
        let hint = "write at = [\"/\"] for everything, or [\"/prefix\"], or [\"host/prefix\"]";
        report.add(&format!("{path}.at"), "no place: no request could reach it", Some(hint.to_owned()));
    }
    if api.route.is_empty() {
        let hint = "add [[api.route]] with at = \"/**\" and allow = \"authenticated\"";
        report.add(path, "no rule means no: nobody gets in", Some(hint.to_owned()));
    }
    if api.listeners.as_ref().is_some_and(Vec::is_empty) {
        let known: Vec<&str> = config.listener.iter().map(|listener| listener.name.as_str()).collect();
        let hint =
            format!("take the line away for all listeners, or name some of them: {}", known.join(", "));
        report.add(&format!("{path}.listeners"), "no listener: no request could reach it", Some(hint));
    }
    for (at, listener) in api.listeners.iter().flatten().enumerate() {
        if !config.listener.iter().any(|known| known.name == *listener) {
            let known = config.listener.iter().map(|listener| listener.name.as_str());
            let hint = suggestion(listener, known, "listeners");
            report.add(
                &format!("{path}.listeners[{at}]"),
                format!("no listener is called `{listener}`"),
                hint,
            );
        }
    }
    upstreams::check(config, api, path, report);
    match &api.upstream {
        Upstream::One(_) => {}
        Upstream::Many(backends) => check_backends(backends, &format!("{path}.upstream"), folder, report),
    }
    for (word, shared) in &api.shared {
        let (file, key) = (folder.join(&shared.file), format!("{path}.shared.{word}.file"));
        let said = api.dangerous.iter().any(|word| word == SHORT_SHARED_VALUE);
        match std::fs::read_to_string(&file) {
            Ok(value) => match value.lines().next().map_or(0, str::len) {
                0 => unreadable(&file, "it is empty", &key, report),
                length if length < SECRET_BYTES_MIN && !said => {
                    let message =
                        format!("the value is shorter than {SECRET_BYTES_MIN} bytes: it could be guessed");
                    let hint = format!(
                        "set a longer one, or write dangerous = [\"{SHORT_SHARED_VALUE}\"] while callers cannot be given another"
                    );
                    report.add(&key, message, Some(hint));
                }
                _ => {}
            },
            Err(error) => unreadable(&file, &error, &key, report),
        }
    }
    for (issuer, keys) in &api.issuers {
        check_issuer(keys, &format!("{path}.issuers.{issuer:?}"), folder, report);
    }
    negotiation::check(api.kerberos.as_ref(), api.ntlm.as_ref(), path, folder, report);
    routes::check(api, path, report);
    spans(api, path, report);
    pages::check(api, path, report);
    service_keys::check(api, path, report);
    if api.digest.algorithms.as_ref().is_some_and(Vec::is_empty) {
        let hint = "name one, like \"SHA-256\", or take the line away";
        report.add(
            &format!("{path}.digest.algorithms"),
            "no algorithm: nobody could answer",
            Some(hint.to_owned()),
        );
    }
    if api.digest.nonce_lifetime.0 < NONCE_LIFETIME_MIN {
        let message = "shorter than 10s: clients would answer challenges all the time";
        report.add(&format!("{path}.digest.nonce_lifetime"), message, None);
    }
    check_dialect(config, api, path, folder, report);
}

/// Times are kept in whole seconds, and nobody comes back sooner.
const SPAN_MIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Reports locks that are none.
fn lockout(lockout: &Lockout, report: &mut Report) {
    for (key, span) in [("first", lockout.first), ("longest", lockout.longest)] {
        if span.0 < SPAN_MIN {
            let message = "shorter than 1s: whoever guesses would not notice it";
            report.add(&format!("lockout.{key}"), message, Some(String::from("write \"1s\" or more")));
        }
    }
    if lockout.longest.0 >= SPAN_MIN && lockout.first.0 > lockout.longest.0 {
        report.add(
            "lockout.first",
            "longer than `longest`",
            Some(String::from("write what `longest` says, or less")),
        );
    }
}

/// Reports spans of time that are over before anybody could use them.
fn spans(api: &Api, path: &str, report: &mut Report) {
    let tokens = api.token.iter().flat_map(|(word, token)| {
        let key = |name| format!("{path}.token.{word}.{name}");
        [(key("idle"), token.idle), (key("lifetime"), token.lifetime)]
    });
    let routes = api.route.iter().enumerate().filter_map(|(at, route)| match &route.allow {
        Allow::Rule(rule) => Some((format!("{path}.route[{at}].allow.max_age"), rule.max_age)),
        Allow::Word(_) => None,
    });
    let objects =
        api.object.iter().map(|(name, kind)| (format!("{path}.object.{name}.references"), kind.references));
    for (key, span) in tokens.chain(routes).chain(objects) {
        if span.is_some_and(|span| span.0 < SPAN_MIN) {
            report.add(&key, "shorter than 1s: nobody could keep to it", None);
        }
    }
}

/// A slow client's round trip and its user typing are within it.
const NONCE_LIFETIME_MIN: std::time::Duration = std::time::Duration::from_secs(10);

fn check_backends(backends: &Backends, path: &str, folder: &Path, report: &mut Report) {
    if backends.backends.is_empty() {
        report.add(&format!("{path}.backends"), "no server: nothing could be forwarded", None);
    }
    let tls = backends.backends.iter().filter(|origin| origin.scheme == OriginScheme::Https).count();
    if tls != 0 && tls != backends.backends.len() {
        report.add(&format!("{path}.backends"), "some are http and some https; they must be alike", None);
    }
    if tls == 0 {
        for (key, given) in [("ca", backends.ca.is_some()), ("server_name", backends.server_name.is_some())] {
            if given {
                report.add(&format!("{path}.{key}"), "goes with https servers only", None);
            }
        }
    }
    if let Some(ca) = &backends.ca {
        let ca = folder.join(ca);
        match CertificateDer::pem_file_iter(&ca).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(chain) if !chain.is_empty() => {}
            Ok(_) => unreadable(&ca, "no certificate in it", &format!("{path}.ca"), report),
            Err(error) => unreadable(&ca, &error, &format!("{path}.ca"), report),
        }
    }
    if backends.health.as_ref().is_some_and(|health| !health.starts_with('/')) {
        report.add(&format!("{path}.health"), "must be a path that begins with `/`", None);
    }
}

/// Keys come from one place.
const ONE_OF_FOUR: &str = "needs exactly one of `jwks_file`, `pem_file`, `jwks_url` and `discovery`";

/// How long fetched keys count at the least: a fetch that fails is tried again after 10 s, 10 s more, and 20 s after that.
const KEYS_COUNT_MIN: std::time::Duration = std::time::Duration::from_secs(60);

fn check_issuer(issuer: &Issuer, path: &str, folder: &Path, report: &mut Report) {
    let Issuer::Foreign(keys) = issuer else { return };
    let fetched = u8::from(keys.jwks_url.is_some()) + u8::from(keys.discovery.is_some());
    if fetched != 0 && keys.refresh.0.saturating_add(keys.stale.0) < KEYS_COUNT_MIN {
        let message = "`refresh` and `stale` are less than 1m together: between two fetches, which are 10s apart or more, the \
                       keys would not count";
        report.add(&format!("{path}.refresh"), message, Some(String::from("write stale = \"1m\" or more")));
    }
    match (&keys.jwks_file, &keys.pem_file) {
        (None, None) if fetched == 1 => {}
        (Some(_) | None, Some(_) | None) if fetched != 0 => report.add(path, ONE_OF_FOUR, None),
        (Some(file), None) => {
            let file = folder.join(file);
            let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
            let set = text.and_then(|text| {
                serde_json::from_str::<jsonwebtoken::jwk::JwkSet>(&text).map_err(|error| error.to_string())
            });
            match set {
                Ok(set) if !set.keys.is_empty() => {}
                Ok(_) => unreadable(&file, "it holds no keys", &format!("{path}.jwks_file"), report),
                Err(error) => unreadable(&file, error, &format!("{path}.jwks_file"), report),
            }
        }
        (None, Some(file)) => {
            let file = folder.join(file);
            match std::fs::read_to_string(&file) {
                Ok(text) if text.contains("-----BEGIN PUBLIC KEY-----") => {}
                Ok(_) => {
                    unreadable(&file, "it holds no `PUBLIC KEY` in PEM", &format!("{path}.pem_file"), report)
                }
                Err(error) => unreadable(&file, &error, &format!("{path}.pem_file"), report),
            }
        }
        (Some(_), Some(_)) | (None, None) => {
            report.add(path, ONE_OF_FOUR, None);
        }
    }
}

fn check_dialect(config: &Config, api: &Api, path: &str, folder: &Path, report: &mut Report) {
    let text = match dialects::fetch(&api.dialect, folder) {
        Ok(text) => text,
        Err(dialects::Missing::Name(name)) => {
            let known = dialects::EMBEDDED.iter().map(|dialect| dialect.name);
            let hint = suggestion(&name, known, "dialects");
            report.add(&format!("{path}.dialect"), format!("no dialect is called `{name}`"), hint);
            return;
        }
        Err(dialects::Missing::File(file, error)) => {
            unreadable(&file, &error, &format!("{path}.dialect"), report);
            return;
        }
    };
    let outline = dialects::outline(&text.text);
    if let Some(deployment) = api.deployment.as_ref().filter(|name| !outline.deployments.contains(name)) {
        let known = outline.deployments.iter().map(String::as_str);
        let hint = suggestion(deployment, known, "deployments")
            .or_else(|| Some(String::from("it has none: take the line away")));
        report.add(
            &format!("{path}.deployment"),
            format!("the dialect has no deployment `{deployment}`"),
            hint,
        );
        return;
    }
    words::check(api, &outline, path, report);
    let deployment = api.deployment.as_deref().or(outline.deployments.first().map(String::as_str));
    let unproven = outline.credentials.iter().filter(|credential| {
        credential.scheme == "unproven" && credential.is_on(deployment, &api.enable, &api.disable)
    });
    for credential in unproven {
        let open =
            listeners_of(config, api).find_map(|listener| Some((listener, reached(config, listener)?)));
        let said = api.dangerous.iter().any(|word| word == UNPROVEN_FROM_ANYWHERE);
        if let Some((listener, (how, hint))) = open.filter(|_| !said) {
            let message = format!(
                "believes whatever a caller says as `{}`, and other machines can reach listener `{}` at {}{how}",
                credential.name, listener.name, listener.address
            );
            let hint = format!(
                "{hint}, or write dangerous = [\"{}\", \"{UNPROVEN_FROM_ANYWHERE}\"]",
                credential.name
            );
            report.add(path, message, Some(hint));
        }
    }
}

/// How other machines reach a listener, and what keeps them from it; `None` if they do not. What stands on this machine and
/// says for whom it speaks brings the requests of others.
fn reached(config: &Config, listener: &Listener) -> Option<(&'static str, &'static str)> {
    let is_here = |network: &Network| Network::LOOPBACK.iter().any(|own| network.meets(own));
    if !listener.address.0.ip().is_loopback() {
        Some(("", "listen on 127.0.0.1"))
    } else if !listener.proxy_protocol_from.is_empty() {
        Some((" through what sends it the PROXY protocol", "take its `proxy_protocol_from` away"))
    } else if config.network.trusted_proxies.iter().any(is_here) {
        Some((
            " through a proxy of this machine",
            "take this machine out of `network.trusted_proxies` if there is none",
        ))
    } else {
        None
    }
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone, what: &str) -> Option<String> {
    match nearest(name, known.clone()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None => {
            let known: Vec<&str> = known.collect();
            (!known.is_empty()).then(|| format!("{what}: {}", known.join(", ")))
        }
    }
}

fn unreadable(file: &Path, error: impl std::fmt::Display, path: &str, report: &mut Report) {
    report.add(path, format!("could not read {}: {error}", file.display()), None);
}
