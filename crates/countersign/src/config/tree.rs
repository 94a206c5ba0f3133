//! The configuration as one tree of plain data; its JSON Schema is generated from here.

mod limits;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assertion::Assertion;
use super::digest::Digest;
use super::directory::{Directory, Outbound, Use};
use super::issuer::{Front, Introspection, Issuer};
use super::negotiation::{Kerberos, Ntlm};
use super::objects::ObjectKind;
use super::pages::{Cors, SameSite};
use super::route::Route;
use super::service_key::ServiceKey;
use super::value::{Address, Network, Origin, Period, Place};
pub(crate) use limits::Limits;

/// A whole configuration file of the gate.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where accounts, sessions and keys are kept.
    #[serde(default)]
    pub(crate) store: Store,
    /// The listener for health, metrics and public keys; never for clients.
    #[serde(default)]
    pub(crate) administration: Administration,
    /// Where clients connect.
    #[serde(default)]
    pub(crate) listener: Vec<Listener>,
    /// What stands between clients and the gate.
    #[serde(default)]
    pub(crate) network: Networks,
    /// Bounds on what clients may ask of the gate.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// What passwords must be like, and what checking them may cost.
    #[serde(default)]
    pub(crate) passwords: Passwords,
    /// When guessing stops.
    #[serde(default)]
    pub(crate) lockout: Lockout,
    /// What upstreams are told, and how it is signed.
    #[serde(default)]
    pub(crate) assertion: Assertion,
    /// What is logged, and how.
    #[serde(default)]
    pub(crate) log: Log,
    /// How the gate asks others over HTTP.
    #[serde(default)]
    pub(crate) outbound: Outbound,
    /// Who else says whether a password is right.
    #[serde(default)]
    pub(crate) directory: BTreeMap<String, Directory>,
    /// The APIs that the gate stands in front of.
    #[serde(default)]
    pub(crate) api: Vec<Api>,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Store {
    /// The SQLite file, relative to the configuration's folder; made if it is not there.
    pub(crate) path: PathBuf,
    /// The file with the key that seals what Digest and NTLM need of passwords; made when it is first needed. The
    /// store's path with `.key` at its end if it is not given; better where the store's backups are not.
    pub(crate) key: Option<PathBuf>,
}

impl Default for Store {
    fn default() -> Self {
        Self { path: PathBuf::from("countersign.db"), key: None }
    }
}

/// `[administration]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Administration {
    /// Serves `live`, `ready`, `/metrics` and the keys that assertions are verified with.
    pub(crate) listen: Address,
    /// Names and addresses, beside this machine's own, under which it may be asked.
    pub(crate) hosts: Vec<String>,
}

impl Default for Administration {
    fn default() -> Self {
        Self { hosts: Vec::new(), listen: Address(SocketAddr::from((Ipv4Addr::LOCALHOST, 9901))) }
    }
}

/// `[[listener]]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// What `listeners` of an API calls it.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: Address,
    /// Certificate and key; without them it speaks in clear.
    #[serde(default)]
    pub(crate) tls: Option<Tls>,
    /// Balancers that send the PROXY protocol; whoever connects from there must.
    #[serde(default)]
    pub(crate) proxy_protocol_from: Vec<Network>,
    /// Whether it speaks HTTP/2 beside HTTP/1.1.
    #[serde(default = "on")]
    pub(crate) http2: bool,
}

/// `tls` of a listener.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// A PEM file with the certificate and those it is signed with.
    pub(crate) certificate: PathBuf,
    /// A PEM file with its private key.
    pub(crate) key: PathBuf,
    /// A PEM file with the authorities of certificates that clients may show, as a front's proof (`[api.front]`). Who
    /// shows none is let in; who shows one of another authority is not.
    #[serde(default)]
    pub(crate) client_ca: Option<PathBuf>,
}

/// `[network]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Networks {
    /// Who may say where a client is; nobody if it is empty.
    pub(crate) trusted_proxies: Vec<Network>,
    /// In which fields they say it; the other ones are never read.
    pub(crate) forwarding: Forwarding,
}

/// The fields in which proxies say whom they speak for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Forwarding {
    /// `X-Forwarded-For`, `-Proto`, `-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// `[passwords]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Passwords {
    /// A new password has at least so many characters.
    #[schemars(range(min = 8, max = 128))]
    pub(crate) length_min: u32,
    /// How many passwords are checked at once, each for about 20 ms of a core and in 19 MiB; half as many as
    /// there are cores if it is not given.
    #[schemars(range(min = 1, max = 256))]
    pub(crate) workers: Option<u32>,
    /// How many may wait for that; more are told to come back later.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) queue: u32,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { length_min: 10, workers: None, queue: 128 }
    }
}

/// `[lockout]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lockout {
    /// From so many wrong passwords in a row on, whatever the dialect, an account is locked for a while. Sessions
    /// that live are not touched.
    #[schemars(range(min = 3, max = 1000))]
    pub(crate) failures: u32,
    /// The first lock; each further wrong password doubles it.
    pub(crate) first: Period,
    /// The longest lock.
    pub(crate) longest: Period,
    /// So many wrong passwords a minute from one address stop new proofs from there, whoever the user.
    #[schemars(range(min = 3, max = 1_000_000))]
    pub(crate) address_failures: u32,
    /// So many ids and references a minute from one address that are not the caller's stop further look-ups for it:
    /// each costs a read of the store. What is his and was asked for lately is not touched.
    #[schemars(range(min = 3, max = 1_000_000))]
    pub(crate) address_guesses: u32,
}

impl Default for Lockout {
    fn default() -> Self {
        Self {
            failures: 5,
            first: Period::secs(1),
            longest: Period::secs(15 * 60),
            address_failures: 50,
            address_guesses: 300,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// One JSON object per line, or text for people.
    pub(crate) format: LogFormat,
    /// A level (error, warn, info, debug, trace) or directives such as `info,countersign_gateway=debug`.
    pub(crate) level: String,
    /// Whether each request gets a line. It is of level `info`: where `level` lets only graver ones through there is none.
    pub(crate) access: bool,
    /// A header, such as `X-Request-Id`, in which services are told the id that a request has in the log, and clients with
    /// each answer. What clients or services send under that name is taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: String::from("info"), access: true, request_id: None }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `[[api]]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    /// What it is called in logs, and the audience of its assertions.
    pub(crate) name: String,
    /// A dialect that ships with the gate, or the path of a dialect file.
    pub(crate) dialect: String,
    /// Where it is: prefixes, or hosts and prefixes. A host's places come first there, whatever the prefixes of others.
    pub(crate) at: Vec<Place>,
    /// On which listeners; all of them if it is not given.
    #[serde(default)]
    pub(crate) listeners: Option<Vec<String>>,
    /// The service behind it.
    pub(crate) upstream: Upstream,
    /// Which deployment of the dialect; the first that it names if it is not given.
    #[serde(default)]
    pub(crate) deployment: Option<String>,
    /// Credentials of the dialect that are off in its deployment and on here.
    #[serde(default)]
    pub(crate) enable: Vec<String>,
    /// Credentials that are on in its deployment and off here.
    #[serde(default)]
    pub(crate) disable: Vec<String>,
    /// What has to be said twice: the name of an unproven credential, and `unproven-from-anywhere` where other machines
    /// can show it; `csrf` where that check is off; `short-shared-value` for values of `shared` below 16 bytes.
    #[serde(default)]
    pub(crate) dangerous: Vec<String>,
    /// Realm of its challenges.
    #[serde(default)]
    pub(crate) realm: Option<String>,
    /// Whether the dialect's protection against foreign pages is on; off has to be said in `dangerous` as well.
    #[serde(default = "on")]
    pub(crate) csrf: bool,
    /// A header in place of the dialect's for the proof of that protection.
    #[serde(default)]
    pub(crate) csrf_header: Option<String>,
    /// Identity providers that a log-in may name, each with its domains; a provider without any takes none.
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, Vec<String>>,
    /// Which log-ins are checked in which directory.
    #[serde(default)]
    pub(crate) directory: Vec<Use>,
    /// Whether browsers send its cookies with requests of other sites; what the dialect says if it is not given.
    #[serde(default)]
    pub(crate) same_site: Option<SameSite>,
    /// Which pages of other origins may call it; none if it is not given.
    #[serde(default)]
    pub(crate) cors: Option<Cors>,
    /// Keys with which services behind the gate ask it for something, at the administration listener.
    #[serde(default)]
    pub(crate) service_key: Vec<ServiceKey>,
    /// Services of the dialect (`bayeux`, `contact-centre`), or single endpoints that mount one, that the upstream
    /// answers instead of the gate.
    #[serde(default)]
    pub(crate) left_to_upstream: Vec<String>,
    /// Whose accounts may use it; all tenants' if it is not given.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) tenants: Vec<String>,
    /// Errors may tell more than clients should know.
    #[serde(default)]
    pub(crate) development: bool,
    /// Lifetimes and limits of its tokens, by their word in the dialect.
    #[serde(default)]
    pub(crate) token: BTreeMap<String, Token>,
    /// Values that an operator sets, by their word in the dialect.
    #[serde(default)]
    pub(crate) shared: BTreeMap<String, Shared>,
    /// Whose signed tokens it takes, and their keys.
    #[serde(default)]
    pub(crate) issuers: BTreeMap<String, Issuer>,
    /// Kinds of objects that its service has, by name: whose they are, and whether clients learn their ids.
    #[serde(default)]
    pub(crate) object: BTreeMap<String, ObjectKind>,
    /// A front that logs people in.
    #[serde(default)]
    pub(crate) front: Option<Front>,
    /// Who is asked about tokens that only their issuer can read, by the credential that they come as.
    #[serde(default)]
    pub(crate) introspection: BTreeMap<String, Introspection>,
    /// How tickets of Kerberos are checked, which `negotiate` credentials bring.
    #[serde(default)]
    pub(crate) kerberos: Option<Kerberos>,
    /// How NTLM is checked, which `ntlm` and `negotiate` credentials bring.
    #[serde(default)]
    pub(crate) ntlm: Option<Ntlm>,
    /// What Digest offers, where the API takes it.
    #[serde(default)]
    pub(crate) digest: Digest,
    /// Who may do what. No rule means no.
    #[serde(default)]
    pub(crate) route: Vec<Route>,
}

const fn on() -> bool {
    true
}

/// `upstream` of an API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Upstream {
    /// One server, everything by default.
    One(Origin),
    /// Servers, and how to speak to them.
    Many(Backends),
}

/// `upstream = { … }` of an API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backends {
    /// One or more servers, all http or all https.
    pub(crate) backends: Vec<Origin>,
    /// A PEM file with the authorities that their certificates are signed by; the system's if it is not given.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    /// The name that their certificates are for, where it is not their host.
    #[serde(default)]
    pub(crate) server_name: Option<String>,
    /// How long connecting may take.
    #[serde(default = "connect_timeout")]
    pub(crate) connect_timeout: Period,
    /// How long the beginning of an answer may take.
    #[serde(default = "response_timeout")]
    pub(crate) response_timeout: Period,
    /// How long an answer may stand still once it has begun, a stream of events between two of them.
    #[serde(default = "body_timeout")]
    pub(crate) body_timeout: Period,
    /// Which host it is told: the one that the client named, or its own.
    #[serde(default)]
    pub(crate) host: HostFrom,
    /// A path that answers 2xx or 3xx while a server is well. Each is asked every 5 s and has 2 s; after two bad answers it
    /// gets no requests until a good one.
    #[serde(default)]
    pub(crate) health: Option<String>,
}

/// Which host an upstream is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HostFrom {
    /// The one that the client named.
    #[default]
    Client,
    /// The server's own.
    Backend,
}

/// How long connecting to an upstream may take where nothing is said: a lost SYN and its second are within it.
const fn connect_timeout() -> Period {
    Period::secs(5)
}

/// How long the beginning of an upstream's answer may take where nothing is said: longer than held long polls.
const fn response_timeout() -> Period {
    Period::secs(60)
}

/// How long an upstream's answer may stand still where nothing is said: event streams send something once a minute.
const fn body_timeout() -> Period {
    Period::secs(90)
}

/// `token.WORD` of an API.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// It ends so long after its last use.
    #[serde(default)]
    pub(crate) idle: Option<Period>,
    /// It ends so long after it was issued.
    #[serde(default)]
    pub(crate) lifetime: Option<Period>,
    /// How many of one account may live at once.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(crate) per_account: Option<u32>,
}

/// `shared.WORD` of an API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shared {
    /// A file with the value and nothing else; a line end at its end does not count. At least 16 bytes, unless
    /// `dangerous` says `short-shared-value`: whoever reaches the gate may guess at it.
    pub(crate) file: PathBuf,
}

/// `allow` of a route.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Allow {
    /// Everybody, or everybody who proved who he is.
    Word(AllowWord),
    /// Whoever proved who he is and meets all that is named.
    Rule(AllowRule),
}

/// `allow = "…"` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AllowWord {
    /// Everybody, where the dialect lets them in.
    Anonymous,
    /// Everybody who proved who he is.
    Authenticated,
}

/// `allow = { … }` of a route: all that is named must hold.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowRule {
    /// Has one of these roles.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) roles: Vec<String>,
    /// Acts for one of these tenants.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) tenants: Vec<String>,
    /// Proved who he is by one of these schemes.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) schemes: Vec<String>,
    /// Proved it no longer ago than this.
    #[serde(default)]
    pub(crate) max_age: Option<Period>,
}
