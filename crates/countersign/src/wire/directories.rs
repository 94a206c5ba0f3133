//! The directories of a configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use countersign_auth::account::KINDS;
use countersign_auth::secret::Secret;
use countersign_identity::directory::http::{BodyForm, HttpDirectory, HttpOptions};
use countersign_identity::directory::ldap::link::{Privacy, Server};
use countersign_identity::directory::ldap::pattern::Pattern;
use countersign_identity::directory::ldap::{Groups, LdapDirectory, LdapOptions, Nesting, Way};
use countersign_identity::directory::person::{Field, Mapping};
use countersign_identity::directory::{Directory, DirectorySettings, FirstSight, Route};
use countersign_identity::outbound::{Endpoint, Outbound, is_loopback};
use countersign_identity::service::Service;
use countersign_identity::tls;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::asked::Filled;
use crate::config::directory::{self, BodyWord, Http, Ldap};
use crate::config::value::Url;
use crate::config::{self, Loaded, Mistake};
use crate::prompt;

/// Statuses that call a password wrong where nothing else is said.
const WRONG: [u16; 2] = [401, 403];

/// A mistake: the key below the directory's table, and what is wrong with it.
struct Wrong(String, String);

fn wrong(key: &str, message: impl std::fmt::Display) -> Wrong {
    Wrong(key.to_owned(), message.to_string())
}

/// What is wrong with the directories, and with the APIs that use them.
pub(super) fn problems(loaded: &Loaded) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut add = |path: String, Wrong(key, message): Wrong| {
        let path = if key.is_empty() { path } else { format!("{path}.{key}") };
        mistakes.push(loaded.mistake(&path, message));
    };
    let outbound = match outbound(loaded) {
        Ok(outbound) => outbound,
        Err(message) => {
            add("outbound".to_owned(), Wrong("ca".to_owned(), message));
            return mistakes;
        }
    };
    for (name, directory) in &loaded.config.directory {
        if !is_name(name) {
            add(
                format!("directory.{name:?}"),
                wrong("", "is no name; use letters, digits, `-`, `_` and `.`"),
            );
        } else if let Err(wrong) = built(loaded, directory, &outbound) {
            add(format!("directory.{name}"), wrong);
        }
    }
    for (at, api) in loaded.config.api.iter().enumerate() {
        for (number, used) in api.directory.iter().enumerate() {
            let path = format!("api[{at}].directory[{number}]");
            if !loaded.config.directory.contains_key(&used.name) {
                add(path.clone(), wrong("name", format!("no directory is called `{}`", used.name)));
            }
            if used.domain.is_some() && used.provider.is_none() {
                add(path.clone(), wrong("domain", "goes with `provider`"));
            }
            if !KINDS.contains(&used.accounts.as_str()) {
                add(path.clone(), wrong("accounts", format!("is none of {}", KINDS.join(", "))));
            }
            let same = |other: &directory::Use| {
                (&other.provider, &other.domain, &other.accounts)
                    == (&used.provider, &used.domain, &used.accounts)
            };
            if api.directory.iter().take(number).any(same) {
                add(path, wrong("name", "these log-ins are checked in another directory already"));
            }
        }
    }
    mistakes
}

/// Names stand in metrics.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Tells a service of the directories of a configuration that was checked.
pub(super) fn apply(loaded: &Loaded, service: &Service, outbound: &Outbound) -> Result<(), String> {
    for (name, directory) in &loaded.config.directory {
        let built = built(loaded, directory, outbound)
            .map_err(|Wrong(key, message)| format!("directory.{name}.{key}: {message}"))?;
        let first_sight = if directory.create { FirstSight::Create } else { FirstSight::Refuse };
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let settings = DirectorySettings {
            first_sight,
            remembered: directory.remember.0,
            at_once: size(directory.at_once),
            waiting: size(directory.waiting),
        };
        service.add_directory(name, built, settings);
    }
    Ok(())
}

/// Tells a service which of its directories log-ins of an API are about.
pub(super) fn route(api: &config::Api, service: &Service) -> Result<(), String> {
    for used in &api.directory {
        let route = Route {
            api: api.name.clone(),
            kind: used.accounts.clone(),
            provider: used.provider.clone(),
            domain: used.domain.clone(),
        };
        if !service.route_directory(route, &used.name) {
            return Err(format!("no directory is called `{}`", used.name));
        }
    }
    Ok(())
}

/// The client of the control plane.
pub(super) fn outbound(loaded: &Loaded) -> Result<Outbound, String> {
    Ok(Outbound::new(&believed(loaded, loaded.config.outbound.ca.as_deref())?))
}

fn believed(loaded: &Loaded, ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let authorities = match ca {
        None => Vec::new(),
        Some(file) => {
            let file = loaded.path(file);
            let read = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let read = read.map_err(|error| format!("could not read {}: {error}", file.display()))?;
            if read.is_empty() {
                return Err(format!("could not read {}: no certificate in it", file.display()));
            }
            read
        }
    };
    tls::client(&authorities).map_err(|error| error.0)
}

fn built(
    loaded: &Loaded,
    directory: &directory::Directory,
    outbound: &Outbound,
) -> Result<Box<dyn Directory>, Wrong> {
    match (&directory.ldap, &directory.http) {
        (Some(ldap), None) => Ok(Box::new(LdapDirectory::new(ldap_options(loaded, directory, ldap)?))),
        (None, Some(http)) => {
            let options = http_options(loaded, directory, http)?;
            let built = HttpDirectory::new(options, outbound.clone());
            let built = built.map_err(|_| wrong("http.authorization_file", "cannot stand in a header"))?;
            Ok(Box::new(built))
        }
        (Some(_), Some(_)) | (None, None) => Err(wrong("", "needs exactly one of `ldap` and `http`")),
    }
}

/// Groups that decide about roles and roles that groups decide about go together.
fn mapping(
    directory: &directory::Directory,
    attributes: &Filled,
    groups: Option<&str>,
    key: &str,
) -> Result<Mapping, Wrong> {
    match (groups, directory.roles.is_empty()) {
        (Some(_), true) => Err(wrong(key, "goes with `roles`, which names the groups that give some")),
        (None, false) => Err(wrong("roles", format!("goes with `{key}`, where a person's groups come from"))),
        (Some(_), false) | (None, true) => {
            let fields = attributes.pairs().map(|(field, source)| (Field::named(field), source.to_owned()));
            let roles = directory.roles.0.iter().map(|(group, roles)| (group.to_lowercase(), roles.clone()));
            let roles: BTreeMap<_, _> = roles.collect();
            Ok(Mapping { fields: fields.collect(), roles: groups.map(|_| roles) })
        }
    }
}

fn secret(loaded: &Loaded, file: &Path, key: &str) -> Result<Secret, Wrong> {
    prompt::from_file(&loaded.path(file)).map_err(|error| wrong(key, format!("{error:#}")))
}

fn ldap_options(
    loaded: &Loaded,
    directory: &directory::Directory,
    ldap: &Ldap,
) -> Result<LdapOptions, Wrong> {
    let mut servers = Vec::new();
    for (at, url) in ldap.servers.iter().enumerate() {
        servers.push(server(url, ldap.start_tls).map_err(|why| wrong(&format!("ldap.servers[{at}]"), why))?);
    }
    if servers.is_empty() {
        return Err(wrong("ldap.servers", "no server: nobody could be asked"));
    }
    let way = match (&ldap.filter, &ldap.search_as, &ldap.bind) {
        (Some(filter), Some(who), None) => Way::Search {
            filter: Pattern::filter(filter, "user").map_err(|error| wrong("ldap.filter", error))?,
            name: who.name.clone(),
            password: secret(loaded, &who.password_file, "ldap.search_as.password_file")?,
        },
        (None, None, Some(pattern)) => {
            Way::Direct(Pattern::bind(pattern).map_err(|error| wrong("ldap.bind", error))?)
        }
        (Some(_) | None, Some(_) | None, Some(_) | None) => {
            return Err(wrong("ldap", "needs `filter` with `search_as`, or `bind` alone"));
        }
    };
    let key = "ldap.groups";
    let groups = match &ldap.groups {
        None => None,
        Some(directory::Groups { attribute: Some(name), filter: None, .. }) => {
            Some(Groups::Attribute(name.clone()))
        }
        Some(directory::Groups { attribute: None, filter: Some(filter), base, name, nested }) => {
            Some(Groups::Search {
                base: base.clone().unwrap_or_else(|| ldap.base.clone()),
                filter: Pattern::filter(filter, "dn").map_err(|error| wrong("ldap.groups.filter", error))?,
                name: name.clone(),
                nesting: if *nested { Nesting::Nested } else { Nesting::Flat },
            })
        }
        Some(directory::Groups { attribute: Some(_) | None, filter: Some(_) | None, .. }) => {
            return Err(wrong(key, "needs exactly one of `attribute` and `filter`"));
        }
    };
    Ok(LdapOptions {
        servers,
        tls: believed(loaded, ldap.ca.as_deref()).map_err(|message| wrong("ldap.ca", message))?,
        base: ldap.base.clone(),
        way,
        id: ldap.id.clone(),
        mapping: mapping(directory, &ldap.attributes, ldap.groups.as_ref().map(|_| ""), key)?,
        groups,
        patience: directory.timeout.0,
        idle_most: usize::try_from(directory.at_once).unwrap_or(usize::MAX),
    })
}

/// TLS is left out only towards this machine (P-LDAP3).
fn server(Url(url): &Url, start_tls: bool) -> Result<Server, String> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(String::from("a server is scheme, host and port"));
    }
    let (usual, privacy) = match (url.scheme_str(), start_tls) {
        (Some("ldaps"), false) => (636, Privacy::Tls),
        (Some("ldaps"), true) => {
            return Err(String::from("speaks TLS from the start: leave `start_tls` out"));
        }
        (Some("ldap"), true) => (389, Privacy::StartTls),
        (Some("ldap"), false) if is_loopback(&host) => (389, Privacy::None),
        (Some("ldap"), false) => {
            return Err(String::from("would carry passwords in clear; write ldaps://, or start_tls = true"));
        }
        (_, _) => return Err(String::from("write ldaps://host or ldap://host")),
    };
    Ok(Server { host, port: url.port_u16().unwrap_or(usual), privacy })
}

fn http_options(
    loaded: &Loaded,
    directory: &directory::Directory,
    http: &Http,
) -> Result<HttpOptions, Wrong> {
    let endpoint = Endpoint::parse(&http.url.to_string()).map_err(|error| wrong("http.url", error))?;
    let pointers = http.attributes.0.iter().map(|(key, pointer)| (format!("http.attributes.{key}"), pointer));
    let more = [("http.id", &http.id), ("http.groups", &http.groups)];
    let more = more.iter().filter_map(|(key, pointer)| Some(((*key).to_owned(), pointer.as_ref()?)));
    if let Some((key, _)) = pointers.chain(more).find(|(_, pointer)| !pointer.starts_with('/')) {
        return Err(wrong(&key, "is no JSON pointer; it begins with `/`, like \"/user/mail\""));
    }
    let wrong_statuses = match &http.wrong {
        Some(statuses) => statuses.clone(),
        None if http.authorization_file.is_some() => {
            let message = "is missing, and goes with `authorization_file`: name the statuses that say of a password alone that it \
                           is wrong, like wrong = [403]; what the service answers when it no longer knows the gate is none of them";
            return Err(wrong("http.wrong", message));
        }
        None => WRONG.to_vec(),
    };
    if let Some(both) = http.right.iter().find(|status| wrong_statuses.contains(status)) {
        return Err(wrong("http.right", format!("{both} is in `wrong` as well")));
    }
    // A service that reads the first of two fields of one name would check another password, or let everybody in.
    if http.user_field == http.password_field {
        return Err(wrong("http.password_field", "is `user_field` as well; each has a name of its own"));
    }
    for (field, key) in [(&http.user_field, "user_field"), (&http.password_field, "password_field")] {
        if let Some(name) = http.fields.keys().find(|name| name.eq_ignore_ascii_case(field)) {
            let message = format!("is `{key}`, which the gate fills in; take it out");
            return Err(wrong(&format!("http.fields.{name}"), message));
        }
    }
    let authorization = match &http.authorization_file {
        Some(file) => Some(secret(loaded, file, "http.authorization_file")?),
        None => None,
    };
    Ok(HttpOptions {
        endpoint,
        form: match http.body {
            BodyWord::Json => BodyForm::Json,
            BodyWord::Form => BodyForm::Form,
        },
        user_field: http.user_field.clone(),
        password_field: http.password_field.clone(),
        fields: http.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        authorization,
        right: http.right.clone(),
        wrong: wrong_statuses,
        id: http.id.clone(),
        mapping: mapping(directory, &http.attributes, http.groups.as_deref(), "http.groups")?,
        groups: http.groups.clone(),
        patience: directory.timeout.0,
    })
}
