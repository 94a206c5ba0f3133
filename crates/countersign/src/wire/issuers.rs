//! The foreign issuers of an API: their keys, on what terms their tokens are taken, whom to ask.

use std::fs;
use std::path::Path;

use countersign_auth::account::People;
use countersign_auth::api::Api;
use countersign_auth::identity::CLAIM_FIELDS;
use countersign_auth::port::foreign::{CertificateName, FrontProof, FrontTerms, IssuerTerms};
use countersign_identity::issuers::TrustedIssuer;
use countersign_identity::issuers::introspection::IntrospectionOptions;
use countersign_identity::issuers::remote::{Location, RemoteOptions};
use countersign_identity::outbound::{Endpoint, Outbound};
use countersign_identity::service::Service;
use countersign_identity::signing::public::{parse_jwks, parse_pem};

use super::logins;
use crate::config::asked::{Filled, Roles};
use crate::config::issuer::{ForeignIssuer, Front, Introspection, Issuer, IssuerWord};
use crate::config::value::Url;
use crate::config::value::page::Digest;
use crate::config::{self, Loaded, Mistake, SECRET_BYTES_MIN};
use crate::prompt;

/// What is wrong with the issuers of an API, whose dialect is known here.
pub(super) fn problems(loaded: &Loaded, api: &config::Api, settled: &Api, path: &str) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    // What is wrong with `outbound` is told elsewhere.
    let Ok(outbound) = super::directories::outbound(loaded) else { return mistakes };
    for (name, issuer) in &api.issuers {
        let path = format!("{path}.issuers.{name:?}");
        if let Err(problem) = trusted(loaded, name, issuer, &outbound) {
            mistakes.push(loaded.mistake(&path, problem));
        }
        mistakes.extend(idle(loaded, api, name, issuer, settled, &path));
        let is_the_dialects = settled.jwt_issuers().any(|known| known == name);
        if let Issuer::Foreign(foreign) = issuer
            && foreign.audience.is_none()
            && foreign.login.is_none()
            && !is_the_dialects
        {
            mistakes.push(loaded.mistake(&path, "needs `audience`: the dialect says nothing of this issuer"));
        }
    }
    mistakes.extend(logins::problems(loaded, api, settled, path));
    mistakes.extend(unsaid(loaded, api, settled, path));
    match &api.front {
        None if settled.takes_fronts() => {
            let message = "takes what a front says, and no front is configured; add [api.front]";
            mistakes.push(loaded.mistake(path, message));
        }
        None => {}
        Some(_) if !settled.takes_fronts() => {
            let message = "no credential of this kind is on; add it to `enable`";
            mistakes.push(loaded.mistake(&format!("{path}.front"), message));
        }
        Some(front) => {
            if let Err(problem) = believed(loaded, api, front) {
                mistakes.push(loaded.mistake(&format!("{path}.front"), problem));
            }
        }
    }
    for (credential, introspection) in &api.introspection {
        let path = format!("{path}.introspection.{credential}");
        if !settled.takes_tokens(credential) {
            let message = format!("the dialect has no credential `{credential}` that is a token");
            mistakes.push(loaded.mistake(&path, message));
        } else if !settled.has_on(credential) {
            let message = format!("credential `{credential}` is off: nobody would be asked");
            let hint = Some(format!("add enable = [\"{credential}\"], or take this away"));
            mistakes.push(Mistake { hint, ..loaded.mistake(&path, message) });
        }
        mistakes.extend(mapped(loaded, &introspection.claims, Some(&introspection.roles), &path));
        if let Err(problem) = introspected(loaded, introspection) {
            mistakes.push(loaded.mistake(&path, problem));
        }
    }
    mistakes
}

/// What of the issuers of an API may mean something else than was meant: who chooses a name at an issuer may get the account
/// that somebody whom others name has, or has made it before him.
pub(super) fn notes(loaded: &Loaded, api: &config::Api, path: &str) -> Vec<Mistake> {
    let by_name = [
        (api.front.is_some(), "a front"),
        (api.kerberos.is_some(), "Kerberos"),
        (api.ntlm.is_some(), "NTLM"),
    ];
    let by_name: Vec<&str> = by_name.into_iter().filter_map(|(is_on, who)| is_on.then_some(who)).collect();
    if by_name.is_empty() {
        return Vec::new();
    }
    let told = |(name, issuer): (&String, &Issuer)| {
        let Issuer::Foreign(foreign) = issuer else { return None };
        let (_, claim) =
            foreign.claims.pairs().find(|(target, claim)| *target == "subject" && *claim != "sub")?;
        foreign.login.as_ref().filter(|login| login.create)?;
        let message = format!(
            "makes accounts that are called as its claim `{claim}` says, and {} lets in whoever has an account of that name",
            by_name.join(", ")
        );
        let hint =
            "leave the name to `sub`, or `create` away, if anybody but you says what people are called there";
        let key = format!("{path}.issuers.{name:?}.login.create");
        Some(Mistake { hint: Some(hint.to_owned()), ..loaded.mistake(&key, message) })
    };
    api.issuers.iter().filter_map(told).collect()
}

/// Whoever issues tokens and does not say whom their subjects name, where a route compares those, or services are told them in
/// a header of the dialect: that is about the people of its own issuer, and has no place for another's name.
fn unsaid(loaded: &Loaded, api: &config::Api, settled: &Api, path: &str) -> Vec<Mistake> {
    let names_subject = |name: &String| name.trim_end_matches('?').split('|').any(|key| key == "subject");
    let compares = |route: &config::Route| route.ids.keys().chain(route.shows.keys()).any(names_subject);
    let route = api.route.iter().find(|route| compares(route));
    let why = match route {
        Some(route) => format!("route `{}` compares subjects", route.at),
        None if settled.tells_services("identity.subject") => {
            String::from("a header of the dialect tells services the subject alone")
        }
        None => return Vec::new(),
    };
    let is_the_dialects = |name: &String| settled.jwt_issuers().any(|known| known == name);
    let issuers = api.issuers.iter().filter_map(|(name, issuer)| match issuer {
        Issuer::Foreign(foreign) if foreign.login.is_none() || foreign.audience.is_some() => {
            let is_unsaid = foreign.same_people.is_none() && (route.is_some() || !is_the_dialects(name));
            is_unsaid.then(|| format!("{path}.issuers.{name:?}"))
        }
        Issuer::Foreign(_) | Issuer::Word(IssuerWord::Gate) => None,
    });
    let asked = api.introspection.iter().filter(|(_, asked)| asked.same_people.is_none());
    let asked = asked.map(|(credential, _)| format!("{path}.introspection.{credential}"));
    let told = |key: String| Mistake {
        hint: Some(String::from(
            "write same_people = true if an equal subject of the gate's own accounts, and of other issuers that say so, is the same person; same_people = false if it is somebody else, who is nobody where subjects are compared: then let services read `idp` of the assertion",
        )),
        ..loaded.mistake(&key, format!("does not say whom its subjects name, and {why}"))
    };
    issuers.chain(asked).map(told).collect()
}

/// What of an issuer would never be looked at.
fn idle(
    loaded: &Loaded,
    api: &config::Api,
    name: &str,
    issuer: &Issuer,
    settled: &Api,
    path: &str,
) -> Vec<Mistake> {
    let Issuer::Foreign(foreign) = issuer else { return Vec::new() };
    let mut mistakes = Vec::new();
    let is_the_fronts = api.front.as_ref().is_some_and(|front| front.issuer.as_deref() == Some(name));
    if foreign.login.is_none() && !is_the_fronts && !settled.takes_jwts() {
        let hint = "name a credential of that scheme in `enable`, or take the issuer away";
        mistakes.push(Mistake {
            hint: Some(hint.to_owned()),
            ..loaded.mistake(path, "no credential with scheme `jwt` is on: no token of it would be taken")
        });
    }
    let fills_roles = foreign.claims.is_empty() && (foreign.login.is_some() || settled.jwt_fills("roles"));
    mistakes.extend(mapped(loaded, &foreign.claims, (!fills_roles).then_some(&foreign.roles), path));
    mistakes
}

/// What is wrong with how claims are read; of roles that nothing but these claims fills.
fn mapped(loaded: &Loaded, claims: &Filled, roles: Option<&Roles>, path: &str) -> Vec<Mistake> {
    let told = |key: &str, message: String, hint: String| Mistake {
        hint: Some(hint),
        ..loaded.mistake(&format!("{path}.{key}"), message)
    };
    let mut mistakes = Vec::new();
    let is_filled = || claims.pairs().any(|(target, _)| target == "roles");
    if roles.is_some_and(|roles| !roles.is_empty()) && !is_filled() {
        mistakes.push(told(
            "roles",
            String::from("is never looked at: no claim fills the roles"),
            String::from("say which one, like claims = { roles = \"groups\" }"),
        ));
    }
    for (target, _) in claims.pairs().filter(|(target, _)| !CLAIM_FIELDS.contains(target)) {
        if let Some(near) = misspelt(target) {
            mistakes.push(told(
                &format!("claims.{target}"),
                String::from("would be a key of that name"),
                format!("did you mean `{near}`?"),
            ));
        }
    }
    mistakes
}

/// The field that a key was probably meant to be.
fn misspelt(key: &str) -> Option<&'static str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
    CLAIM_FIELDS.into_iter().find(|field| {
        let (key, field) = (plain(key), plain(field));
        let most = if field.len() > 5 { 2 } else { 1 };
        // `mail` may well be a key.
        key.chars().next() == field.chars().next() && strsim::osa_distance(&key, &field) <= most
    })
}

/// Tells a service of the issuers of an API that was checked.
pub(super) fn apply(
    loaded: &Loaded,
    api: &config::Api,
    service: &Service,
    outbound: &Outbound,
) -> Result<(), String> {
    for (name, issuer) in &api.issuers {
        let keys =
            trusted(loaded, name, issuer, outbound).map_err(|error| format!("issuer {name}: {error}"))?;
        service.trust_issuer_on(&api.name, name, keys, terms(issuer));
        logins::apply(loaded, &api.name, name, issuer, service, outbound)?;
    }
    for (credential, introspection) in &api.introspection {
        let options = introspected(loaded, introspection)
            .map_err(|error| format!("introspection.{credential}: {error}"))?;
        if !service.introspect_at(&api.name, credential, options, outbound) {
            return Err(format!("introspection.{credential}: the secret cannot stand in a header"));
        }
    }
    if let Some(front) = &api.front {
        let terms = believed(loaded, api, front).map_err(|error| format!("front: {error}"))?;
        service.believe_front(&api.name, terms);
    }
    Ok(())
}

/// On what terms a front is believed.
fn believed(loaded: &Loaded, api: &config::Api, front: &Front) -> Result<FrontTerms, String> {
    if front.networks.is_empty() {
        return Err(String::from("no network: nobody would be believed"));
    }
    let proof = match (&front.secret_file, &front.issuer, &front.certificate) {
        (Some(file), None, None) => {
            let secret = prompt::from_file(&loaded.path(file)).map_err(|error| format!("{error:#}"))?;
            if secret.expose().len() < SECRET_BYTES_MIN {
                return Err(format!("the secret is shorter than {SECRET_BYTES_MIN} bytes"));
            }
            FrontProof::Secret(secret)
        }
        (None, Some(issuer), None) if api.issuers.contains_key(issuer) => FrontProof::Signed {
            issuer: issuer.clone(),
            audience: front.audience.clone().unwrap_or_else(|| api.name.clone()),
        },
        (None, None, Some(name)) => FrontProof::Certificate(certificate(loaded, api, name)?),
        (None, Some(issuer), None) => return Err(format!("`{issuer}` is none of the API's issuers")),
        (_, _, _) => {
            return Err(String::from("needs exactly one of `secret_file`, `issuer` and `certificate`"));
        }
    };
    Ok(FrontTerms {
        networks: front.networks.iter().map(|network| network.0).collect(),
        proof,
        domains: front.domains.clone(),
        create: front.create,
    })
}

/// Which certificate a front shows; some listener of the API must ask for it.
fn certificate(loaded: &Loaded, api: &config::Api, name: &str) -> Result<CertificateName, String> {
    let is_of = |listener: &&config::Listener| {
        api.listeners.as_ref().is_none_or(|names| names.contains(&listener.name))
    };
    let asks = |listener: &config::Listener| listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if !loaded.config.listener.iter().filter(is_of).any(asks) {
        return Err(String::from(
            "no listener of the API asks for certificates; add `client_ca` to its `tls`",
        ));
    }
    match name.strip_prefix("sha256:") {
        Some(digits) => {
            let hash: Digest = digits.parse()?;
            Ok(CertificateName::Sha256(hash.0))
        }
        None if rustls::pki_types::ServerName::try_from(name).is_ok() => {
            Ok(CertificateName::For(name.to_owned()))
        }
        None => Err(format!("`{name}` is neither a host name or address nor `sha256:` and 64 digits")),
    }
}

fn terms(issuer: &Issuer) -> Option<IssuerTerms> {
    let Issuer::Foreign(foreign) = issuer else { return None };
    // What only logs people in issues nothing that is a credential by itself.
    let maps = foreign.login.is_none()
        && !(foreign.claims.is_empty() && foreign.roles.is_empty() && foreign.same_people.is_none());
    let says = foreign.audience.is_some() || maps;
    let ForeignIssuer { audience, claims, roles, same_people, .. } = &**foreign;
    says.then(|| made_terms(audience.as_ref(), claims, roles, *same_people))
}

fn made_terms(
    audience: Option<&String>,
    claims: &Filled,
    roles: &Roles,
    same_people: Option<bool>,
) -> IssuerTerms {
    let people = if same_people == Some(true) { People::Same } else { People::Own };
    IssuerTerms {
        people,
        audience: audience.cloned(),
        claims: claims.pairs().map(|(target, claim)| (target.to_owned(), claim.to_owned())).collect(),
        roles: roles.given(),
    }
}

/// Where the keys of an issuer come from.
fn trusted(
    loaded: &Loaded,
    name: &str,
    issuer: &Issuer,
    outbound: &Outbound,
) -> Result<TrustedIssuer, String> {
    let read = |file: &Path| {
        let file = loaded.path(file);
        fs::read_to_string(&file).map_err(|error| format!("could not read {}: {error}", file.display()))
    };
    let endpoint =
        |Url(url): &Url| Endpoint::parse(&url.to_string()).map_err(|error| format!("{url} {error}"));
    let foreign = match issuer {
        Issuer::Word(IssuerWord::Gate) => return Ok(TrustedIssuer::Ours),
        Issuer::Foreign(foreign) => foreign,
    };
    let ForeignIssuer { jwks_file, pem_file, jwks_url, discovery, .. } = &**foreign;
    let location = match (jwks_file, pem_file, jwks_url, discovery) {
        (Some(file), None, None, None) => {
            let keys = parse_jwks(&read(file)?).map_err(|error| error.to_string())?;
            return Ok(TrustedIssuer::Keys(keys));
        }
        (None, Some(file), None, None) => {
            let key = parse_pem(&read(file)?).map_err(|error| error.to_string())?;
            return Ok(TrustedIssuer::Keys(vec![key]));
        }
        (None, None, Some(url), None) => Location::Keys(endpoint(url)?),
        (None, None, None, Some(url)) => {
            Location::Discovery { endpoint: endpoint(url)?, issuer: name.to_owned() }
        }
        (_, _, _, _) => return Err(String::from("needs exactly one place for its keys")),
    };
    let options = RemoteOptions { location, refresh: foreign.refresh.0, stale: foreign.stale.0 };
    Ok(TrustedIssuer::Remote(Box::new(options), outbound.clone()))
}

fn introspected(loaded: &Loaded, introspection: &Introspection) -> Result<IntrospectionOptions, String> {
    let Introspection {
        url: Url(url),
        client,
        secret_file,
        issuer,
        audience,
        claims,
        roles,
        same_people,
        ..
    } = introspection;
    let endpoint = Endpoint::parse(&url.to_string()).map_err(|error| format!("{url} {error}"))?;
    let secret = prompt::from_file(&loaded.path(secret_file)).map_err(|error| format!("{error:#}"))?;
    Ok(IntrospectionOptions {
        endpoint,
        client: client.clone(),
        secret,
        issuer: issuer.clone(),
        terms: made_terms(audience.as_ref(), claims, roles, *same_people),
        remembered: introspection.remember.0,
        patience: introspection.timeout.0,
    })
}
