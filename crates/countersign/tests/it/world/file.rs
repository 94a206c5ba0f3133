//! `world.toml`: what the transcripts of a dialect assume.

use std::collections::BTreeMap;

use countersign_auth::api::digest::DigestOptions;
use countersign_auth::api::logins::LoginOption;
use countersign_auth::api::{Api, ApiOptions, Mechanism, TokenSettings};
use countersign_auth::cookie::SameSite;
use countersign_auth::objects::{Foreign, KindOptions, RouteObjects};
use countersign_auth::policy::{Allow, Conditions, RouteOptions};
use countersign_auth::scheme::digest::algorithm::Algorithm;
use countersign_gateway::cors::{CorsOptions, Credentials, Origins};
use countersign_gateway::gate::Place;
use countersign_identity::negotiation::{NegotiationSettings, NtlmSettings, NtlmVerifier};
use countersign_negotiate::binding::Demand;
use countersign_negotiate::ntlm::{Mic, Names};
use serde::Deserialize;

use crate::transcript::parse::duration;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorldFile {
    /// Memory of one run of the KDF; little, where a test does not need one that takes a while.
    #[serde(default = "kdf_kib")]
    pub(crate) kdf_kib: u32,
    pub(crate) api: Vec<ApiEntry>,
    #[serde(default)]
    pub(crate) account: Vec<AccountEntry>,
    #[serde(default)]
    pub(crate) application: Vec<ApplicationEntry>,
    #[serde(default)]
    pub(crate) secret: Vec<SecretEntry>,
    #[serde(default)]
    pub(crate) jwt: Vec<JwtEntry>,
    #[serde(default)]
    pub(crate) issuer: BTreeMap<String, IssuerEntry>,
}

fn kdf_kib() -> u32 {
    8
}

/// `[[api]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiEntry {
    pub(crate) name: String,
    pub(crate) dialect: String,
    at: Vec<String>,
    deployment: Option<String>,
    #[serde(default)]
    enable: Vec<String>,
    #[serde(default)]
    disable: Vec<String>,
    #[serde(default)]
    dangerous: Vec<String>,
    realm: Option<String>,
    #[serde(default)]
    left_to_upstream: Vec<String>,
    /// Origins of pages that may call with cookies.
    #[serde(default)]
    pages: Vec<String>,
    #[serde(default)]
    other_sites: bool,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    development: bool,
    #[serde(default = "on")]
    csrf: bool,
    csrf_header: Option<String>,
    /// It checks NTLM, with accounts that opted in.
    pub(crate) ntlm: Option<NtlmEntry>,
    #[serde(default)]
    token: BTreeMap<String, TokenEntry>,
    #[serde(default)]
    pub(crate) issuers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, Vec<String>>,
    /// What a front on this machine proves itself with.
    pub(crate) front: Option<String>,
    /// Log-ins with the tests' provider, by their names.
    #[serde(default)]
    pub(crate) login: BTreeMap<String, LoginEntry>,
    #[serde(default)]
    object: BTreeMap<String, KindEntry>,
    #[serde(default)]
    digest: DigestEntry,
    #[serde(default)]
    route: Vec<RouteEntry>,
}

/// `[api.login.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginEntry {
    title: String,
    /// Where it leads back to.
    pub(crate) redirect: String,
    #[serde(default)]
    straight: bool,
}

/// `[api.ntlm]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NtlmEntry {
    pub(crate) domain: String,
    pub(crate) dns_domain: String,
}

impl NtlmEntry {
    /// What the identity service is told.
    pub(crate) fn settings(&self) -> NegotiationSettings {
        let names =
            Names { domain: self.domain.clone(), dns_domain: self.dns_domain.clone(), ..Names::default() };
        let ntlm = NtlmSettings {
            verifier: NtlmVerifier::Store,
            names,
            mic: Mic::IfPresent,
            binding: Demand::IfPresent,
        };
        NegotiationSettings { kerberos: None, ntlm: Some(ntlm) }
    }
}

/// `[api.digest]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DigestEntry {
    algorithms: Option<Vec<String>>,
    auth_int: bool,
    userhash: bool,
}

impl DigestEntry {
    fn options(&self) -> DigestOptions {
        let named = |name: &String| Algorithm::named(name).expect("an algorithm of Digest");
        DigestOptions {
            algorithms: self.algorithms.as_ref().map(|names| names.iter().map(named).collect()),
            auth_int: self.auth_int,
            user_hash: self.userhash,
            ..DigestOptions::default()
        }
    }
}

/// `[api.token.WORD]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    idle: Option<String>,
    lifetime: Option<String>,
    per_account: Option<u32>,
}

const fn on() -> bool {
    true
}

/// `[[api.route]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteEntry {
    at: String,
    allow: AllowEntry,
    #[serde(default)]
    upgrade: bool,
    #[serde(default)]
    ids: BTreeMap<String, PlacesEntry>,
    #[serde(default)]
    creates: BTreeMap<String, PlacesEntry>,
    #[serde(default)]
    shows: BTreeMap<String, PlacesEntry>,
    foreign: Option<String>,
    body_bytes_max: Option<usize>,
    answer_bytes_max: Option<usize>,
}

/// `[api.object.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KindEntry {
    owner: Option<String>,
    references: Option<String>,
    #[serde(default)]
    numeric: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PlacesEntry {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AllowEntry {
    Word(AllowWord),
    Rule(AllowRule),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AllowWord {
    Anonymous,
    Authenticated,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowRule {
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    schemes: Vec<String>,
    max_age: Option<String>,
}

/// `[[account]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountEntry {
    #[serde(default = "users")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) password: String,
    /// It must be changed before it is good for anything else.
    #[serde(default)]
    pub(crate) due: bool,
    /// The schemes that its password is kept for as well.
    #[serde(default)]
    pub(crate) weaker: Vec<String>,
    pub(crate) subject: Option<String>,
    #[serde(default)]
    pub(crate) first_name: String,
    #[serde(default)]
    pub(crate) last_name: String,
    #[serde(default)]
    pub(crate) full_name: String,
    #[serde(default)]
    pub(crate) email: String,
    pub(crate) tenant: Option<String>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, String>,
}

fn users() -> String {
    "users".to_owned()
}

/// `[[application]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplicationEntry {
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) tenant: Option<String>,
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, String>,
}

/// `[[secret]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretEntry {
    pub(crate) api: String,
    pub(crate) token: String,
    pub(crate) value: String,
}

/// `[[jwt]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtEntry {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) key: String,
    pub(crate) header: serde_json::Map<String, serde_json::Value>,
    pub(crate) claims: serde_json::Map<String, serde_json::Value>,
}

/// `[issuer."ISS"]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerEntry {
    pub(crate) keys: Vec<String>,
}

impl ApiEntry {
    /// What the rules are told of the API.
    pub(crate) fn options(&self) -> ApiOptions {
        ApiOptions {
            name: self.name.clone(),
            deployment: self.deployment.clone(),
            enable: self.enable.clone(),
            disable: self.disable.clone(),
            dangerous: self.dangerous.clone(),
            realm: self.realm.clone(),
            csrf_off: !self.csrf,
            csrf_header: self.csrf_header.clone(),
            tokens: self.token.iter().map(|(word, entry)| (word.clone(), entry.settings())).collect(),
            routes: self.route.iter().map(RouteEntry::options).collect(),
            tenants: self.tenants.clone(),
            objects: self.object.iter().map(|(name, kind)| (name.clone(), kind.options())).collect(),
            mechanisms: self.ntlm.iter().map(|_| Mechanism::Ntlm).collect(),
            development: self.development,
            leave: self.left_to_upstream.clone(),
            same_site: self.other_sites.then_some(SameSite::None),
            digest: self.digest.options(),
            logins: self.login.iter().map(|(name, entry)| entry.option(name)).collect(),
            sign_in_with: self.login.iter().find(|(_, entry)| entry.straight).map(|(name, _)| name.clone()),
        }
    }

    /// Which pages may call it.
    pub(crate) fn cors(&self, api: &Api) -> Option<CorsOptions> {
        let origins = Origins::Listed { origins: self.pages.clone(), credentials: Credentials::Included };
        (!self.pages.is_empty()).then(|| CorsOptions {
            origins,
            headers: api.headers_read().cloned().chain([http::header::AUTHORIZATION]).collect(),
            expose: api.csrf_told_in().cloned().collect(),
            max_age_secs: 120,
        })
    }

    /// Where the gate has it.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.at
            .iter()
            .map(|at| {
                let (host, prefix) = match at.find('/') {
                    Some(0) => (None, at.as_str()),
                    Some(slash) => (Some(at[..slash].to_owned()), &at[slash..]),
                    None => (Some(at.clone()), "/"),
                };
                Place { listener: None, host, prefix: prefix.to_owned() }
            })
            .collect()
    }
}

impl LoginEntry {
    fn option(&self, name: &str) -> LoginOption {
        LoginOption { name: name.to_owned(), title: self.title.clone() }
    }
}

impl TokenEntry {
    fn settings(&self) -> TokenSettings {
        let span =
            |text: &Option<String>| text.as_ref().map(|text| duration(text).expect("a time such as 31m"));
        TokenSettings {
            idle: span(&self.idle),
            lifetime: span(&self.lifetime),
            per_account: self.per_account,
        }
    }
}

impl KindEntry {
    fn options(&self) -> KindOptions {
        KindOptions {
            owner: self.owner.clone().unwrap_or_else(|| "subject".to_owned()),
            references: self.references.as_ref().map(|text| duration(text).expect("a time such as 30d")),
            numeric: self.numeric,
        }
    }
}

impl RouteEntry {
    fn options(&self) -> RouteOptions {
        let allow = match &self.allow {
            AllowEntry::Word(AllowWord::Anonymous) => Allow::Anonymous,
            AllowEntry::Word(AllowWord::Authenticated) => Allow::Proven(Conditions::default()),
            AllowEntry::Rule(rule) => Allow::Proven(Conditions {
                roles: rule.roles.clone(),
                tenants: rule.tenants.clone(),
                schemes: rule.schemes.clone(),
                max_age: rule.max_age.as_ref().map(|text| duration(text).expect("a time such as 31m")),
            }),
        };
        let places = |names: &BTreeMap<String, PlacesEntry>| {
            let all = |places: &PlacesEntry| match places {
                PlacesEntry::One(place) => vec![place.clone()],
                PlacesEntry::Many(places) => places.clone(),
            };
            names.iter().map(|(name, places)| (name.clone(), all(places))).collect()
        };
        let objects = RouteObjects {
            ids: places(&self.ids),
            creates: places(&self.creates),
            shows: places(&self.shows),
            foreign: match self.foreign.as_deref() {
                Some("filter") => Foreign::Filter,
                None | Some("refuse") => Foreign::Refuse,
                Some(other) => panic!("foreign = {other:?}"),
            },
            body_bytes_max: self.body_bytes_max,
            answer_bytes_max: self.answer_bytes_max,
        };
        RouteOptions { at: self.at.clone(), allow, upgrade: self.upgrade, objects }
    }
}
