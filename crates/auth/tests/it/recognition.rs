//! Who is recognized, cell by cell.
//!
//! Each line of `recognition/*.txt` is a request to the API `port` of the dialect `harbour` below `/h`, and what
//! becomes of it:
//!
//! ```text
//! GET /x | Authorization: Basic {alice:open} ; Cookie: HARBOUR={session.alice} → basic:alice, session
//! POST /x | Cookie: HARBOUR={session.alice} | form a=b → 403 csrf
//! [tokens down] GET /x | X-Harbour-Session: {session.alice} → 503 unavailable
//! ```
//!
//! A line `= …` changes the API from there on, by the words that [`change`] knows. `⇒` instead of `→` also tells
//! what of the request would reach the service. `UPDATE=1` writes what becomes of the requests.

mod log_out;

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::api::{Api, ApiOptions, Located};
use countersign_auth::authenticate::authenticate;
use countersign_auth::derive::{derive, second_half};
use countersign_auth::dialect::Dialect;
use countersign_auth::fields::content_type::ContentType;
use countersign_auth::fields::{Bounds, Fields};
use countersign_auth::form::{Form, FormNames};
use countersign_auth::identity::Identity;
use countersign_auth::link::Sharing;
use countersign_auth::objects::RouteObjects;
use countersign_auth::page::Pages;
use countersign_auth::policy::{Allow, Conditions, Permit, RouteOptions, authorize};
use countersign_auth::port::Lookups as _;
use countersign_auth::recognize::{Request, recognize};
use countersign_auth::refusal::Refusal;
use countersign_auth::render::{Here, Rendered};
use countersign_auth::serve::{self, serve};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::world::{self, Down, NOW, World};

#[test]
fn requests_and_what_becomes_of_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recognition");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut different = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut changes = Vec::new();
        let mut api = api(&changes);
        let mut now = String::new();
        for line in text.lines() {
            if let Some(change) = line.strip_prefix("= ") {
                changes = change.split(" ; ").map(str::to_owned).collect();
                api = self::api(&changes);
            }
            let is_case = !line.is_empty() && !line.starts_with(['=', '#']);
            writeln!(now, "{}", if is_case { became(&api, line) } else { line.to_owned() }).unwrap();
        }
        if super::common::expect(&file, &text, &now) {
            different.push(file);
        }
    }
    assert!(
        different.is_empty(),
        "something else became of requests in {different:?}; see above, or UPDATE=1"
    );
}

/// After a reload another API may be where the one before it was.
#[test]
fn apis_share_no_assertion_even_in_one_place() {
    let world = world();
    let key = |api: &Api| {
        let (method, target, body) = (Method::GET, "/x".to_owned(), String::new());
        let call = Call { api, world: &world, method, target, body };
        let mut headers = HeaderMap::new();
        let basic = format!("Basic {}", value("alice:open").unwrap());
        headers.insert("authorization", basic.parse().unwrap());
        match call.admit(&mut headers, "/x", None, &mut None) {
            Ok(Admitted::Forwarded(permit)) => permit.assertion_key(api, NOW).unwrap(),
            Ok(Admitted::Served(..)) => panic!("served"),
            Err(refusal) => panic!("{refusal:?}"),
        }
    };
    let mut api = self::api(&[]);
    let (place, first) = (std::ptr::from_ref(&api), key(&api));
    assert_eq!(key(&api), first);
    api = self::api(&[]);
    assert_eq!(std::ptr::from_ref(&api), place);
    assert_ne!(key(&api), first);
}

/// The API with changes: `deployment D`, `enable C`, `disable C`, `dangerous W`, `csrf off`, `csrf header N`,
/// `tenant T`, `dialect OLD => NEW`.
fn api(changes: &[String]) -> Api {
    let mut text = super::common::dialect_text("harbour");
    let route = |at: &str, allow| RouteOptions {
        at: at.to_owned(),
        allow,
        upgrade: false,
        objects: RouteObjects::default(),
    };
    let proven = || Allow::Proven(Conditions::default());
    let mut options = ApiOptions {
        name: "port".to_owned(),
        routes: vec![
            route("/**", proven()),
            route("/open/**", Allow::Anonymous),
            route("/open/not/**", proven()),
            route("/docs/**", Allow::Anonymous),
            route(
                "/api/basic",
                Allow::Proven(Conditions { schemes: vec!["basic".to_owned()], ..Default::default() }),
            ),
            route(
                "/api/south",
                Allow::Proven(Conditions { tenants: vec!["south".to_owned()], ..Default::default() }),
            ),
        ],
        ..ApiOptions::default()
    };
    for change in changes {
        let (word, rest) = change.split_once(' ').unwrap_or((change, ""));
        match word {
            "as" => {}
            "deployment" => options.deployment = Some(rest.to_owned()),
            "enable" => options.enable.push(rest.to_owned()),
            "disable" => options.disable.push(rest.to_owned()),
            "dangerous" => options.dangerous.push(rest.to_owned()),
            "tenant" => options.tenants.push(rest.to_owned()),
            "csrf" if rest == "off" => options.csrf_off = true,
            "csrf" => options.csrf_header = rest.strip_prefix("header ").map(str::to_owned),
            "dialect" => {
                let (old, new) = rest.split_once(" => ").unwrap();
                let (old, new) = (old.replace("\\n", "\n"), new.replace("\\n", "\n"));
                assert_eq!(text.matches(&old).count(), 1, "{change}");
                text = text.replace(&old, &new);
            }
            _ => panic!("no change is called {change}"),
        }
    }
    let dialect = Dialect::load("harbour.toml", &text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Api::new(Arc::new(dialect), options).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A line with what becomes of its request today.
fn became(api: &Api, line: &str) -> String {
    let (case, arrow) = match (line.split_once(" → "), line.split_once(" ⇒ ")) {
        (Some((case, _)), _) => (case, '→'),
        (None, Some((case, _))) => (case, '⇒'),
        (None, None) => (line.trim_end_matches([' ', '→', '⇒']), if line.ends_with('⇒') { '⇒' } else { '→' }),
    };
    let mut world = world();
    let mut rest = case;
    if let Some((what, request)) = case.strip_prefix('[').and_then(|case| case.split_once("] ")) {
        world.down = match what {
            "tokens down" => Down::Tokens,
            "passwords down" => Down::Passwords,
            "keys down" => Down::Keys,
            "operations down" => Down::Operations,
            _ => panic!("nothing is called {what}"),
        };
        rest = request;
    }
    let mut parts = rest.splitn(3, '|');
    let (method, target) = parts.next().unwrap().trim().split_once(' ').unwrap();
    let headers = parts.next().unwrap_or_default().trim();
    let body = parts.next().unwrap_or_default().trim();
    let call = Call {
        api,
        world: &world,
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        target: filled(target),
        body: filled(body),
    };
    let mut header_map = HeaderMap::new();
    for header in headers.split(" ; ").filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(':').unwrap_or_else(|| panic!("no header: {header}"));
        let value = HeaderValue::from_bytes(filled(value.trim()).as_bytes()).unwrap();
        header_map.append(HeaderName::from_bytes(name.trim().as_bytes()).unwrap(), value);
    }
    format!("{case} {arrow} {}", call.outcome(header_map, arrow == '⇒'))
}

struct Call<'c> {
    api: &'c Api,
    world: &'c World,
    method: Method,
    target: String,
    body: String,
}

/// What was let through: to the service, or served by the gate.
enum Admitted {
    Forwarded(Permit),
    Served(Identity, Rendered),
}

impl Call<'_> {
    fn outcome(&self, mut headers: HeaderMap, tell_forwarded: bool) -> String {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let mut located = None;
        let result = self.admit(&mut headers, path, query, &mut located);
        let full = format!("/h{path}");
        let here = self.here(&full, query, &headers);
        match result {
            Ok(Admitted::Forwarded(permit)) => {
                let identity = permit.identity().clone();
                let mut out = told(&identity) + &cookies(&self.stamped(&identity, HeaderMap::new(), &here));
                if tell_forwarded {
                    let query = query.map(|query| self.api.query_without_credentials(query));
                    write!(out, " ⇒ {path}").unwrap();
                    if let Some(query) = query.filter(|query| !query.is_empty()) {
                        write!(out, "?{query}").unwrap();
                    }
                    for (name, value) in &headers {
                        write!(out, " ; {name}: {}", value.to_str().unwrap()).unwrap();
                    }
                }
                out
            }
            Ok(Admitted::Served(identity, rendered)) => {
                let location =
                    rendered.headers.get("location").map(|to| format!(" {}", to.to_str().unwrap()));
                format!(
                    "{} served {}{}{}",
                    told(&identity),
                    rendered.status.as_u16(),
                    location.unwrap_or_default(),
                    cookies(&self.stamped(&identity, rendered.headers, &here))
                )
            }
            Err(refusal) => {
                let rendered = self.api.refuse_at(located.as_ref(), &refusal, &here);
                let mut out = format!("{} {}", rendered.status.as_u16(), refusal.reason.name());
                if !refusal.detail.is_empty() {
                    write!(out, " ({})", refusal.detail).unwrap();
                }
                for challenge in rendered.headers.get_all("www-authenticate") {
                    let word = challenge.to_str().unwrap().split(' ').next().unwrap();
                    write!(out, ", {word}").unwrap();
                }
                if let Some(to) = rendered.headers.get("location") {
                    write!(out, " {}", to.to_str().unwrap()).unwrap();
                }
                out + &cookies(&rendered.headers)
            }
        }
    }

    /// An answer to an admitted request, as the client gets it.
    fn stamped(&self, identity: &Identity, mut headers: HeaderMap, here: &Here<'_>) -> HeaderMap {
        let path = here.path.strip_prefix("/h").unwrap();
        self.api.stamp(&self.method, path, identity, self.serving(), here, &mut headers).unwrap();
        headers
    }

    fn here<'h>(&'h self, path: &'h str, query: Option<&'h str>, headers: &'h HeaderMap) -> Here<'h> {
        let method = &self.method;
        Here {
            prefix: "/h",
            secure: true,
            method,
            headers,
            path,
            query,
            lookups: self.world,
            now: NOW,
            bytes_max: 1 << 20,
            sharing: Sharing::Own,
        }
    }

    fn serving(&self) -> serve::World<'_> {
        serve::World {
            lookups: self.world,
            operations: self.world,
            signer: self.world,
            strangers: self.world,
            now: NOW,
        }
    }

    /// The flow of the gateway.
    fn admit(
        &self,
        headers: &mut HeaderMap,
        path: &str,
        query: Option<&str>,
        at: &mut Option<Located>,
    ) -> Result<Admitted, Refusal> {
        let api = self.api;
        let taken = api.take(headers, &[])?;
        let fields = self.fields(headers, path, &taken)?;
        let trusted = ["https://desk.example".to_owned()];
        let request = Request {
            method: &self.method,
            path,
            prefix: "/h",
            query,
            headers,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            connection: std::net::IpAddr::from([127, 0, 0, 1]),
            certificate: None,
            fields: fields.as_ref(),
            link: None,
            target: None,
            body: None,
            pages: Pages { scheme: "https", trusted: &trusted, hosts: &["api.example".to_owned()] },
        };
        let located = at.insert(api.locate_request(&request)?);
        let presented = recognize(api, located, &request, &taken)?;
        let identity =
            authenticate(api, located, &request, &presented, self.world, NOW).now_or_never().unwrap()?;
        if located.forwards() {
            let permit = authorize(api, identity, &self.method, path, NOW)?;
            return Ok(Admitted::Forwarded(permit));
        }
        let full = format!("/h{path}");
        let here = self.here(&full, query, headers);
        let rendered = serve(api, located, &request, &taken, &identity, self.serving(), &here)
            .now_or_never()
            .unwrap()?;
        Ok(Admitted::Served(identity, rendered))
    }

    /// `form a=b` or `json {…}`; the word stands for the content type.
    fn fields(
        &self,
        headers: &HeaderMap,
        path: &str,
        taken: &countersign_auth::intake::Taken,
    ) -> Result<Option<Fields>, Refusal> {
        let Some((word, body)) = self.body.split_once(' ') else { return Ok(None) };
        let content_type = match word {
            "form" => "application/x-www-form-urlencoded",
            "json" => "application/json",
            _ => panic!("no body is called {word}"),
        };
        let _ = headers;
        if !self.api.reads_body(&self.method, path, taken, Some(content_type)) {
            return Ok(None);
        }
        let encodings = self.api.encodings(&self.method, path);
        let content_type = ContentType::parse(content_type).unwrap();
        if !encodings.is_empty() && !encodings.contains(&content_type.encoding()) {
            return Ok(None);
        }
        Fields::parse(&content_type, body.as_bytes(), Bounds::default())
            .map(Some)
            .map_err(|error| Refusal::new(error.reason(), error.to_string()))
    }
}

fn told(identity: &Identity) -> String {
    let mut out = match identity.account() {
        Some(account) => format!("{}:{}", identity.credential(), account.subject),
        None => identity.credential().to_owned(),
    };
    if identity.session().is_some() {
        out.push_str(", session");
    }
    if let Some(cookie) = identity.dead_cookie() {
        write!(out, ", dead {cookie}").unwrap();
    }
    out
}

/// Which cookies an answer sets, and which it clears.
fn cookies(headers: &HeaderMap) -> String {
    let mut out = String::new();
    for cookie in headers.get_all("set-cookie") {
        let text = cookie.to_str().unwrap();
        let word = if text.contains("Max-Age=0") { "clears" } else { "sets" };
        write!(out, ", {word} {}", text.split('=').next().unwrap()).unwrap();
    }
    out
}

const SESSIONS: [(&str, Option<&str>); 4] = [
    ("alicealicealicealicealicea", Some("alice")),
    ("bobbobbobbobbobbobbobbobbo", Some("bob")),
    ("nobodynobodynobodynobodyno", None),
    ("pilotpilotpilotpilotpilotp", Some("pia")),
];
const EXPIRED: &str = "expiredexpiredexpiredexpir";
const UNKNOWN: &str = "unknownunknownunknownunkno";

/// A token of 43 letters that begins with a name.
fn long(name: &str) -> String {
    format!("{name:A<43}")
}

fn world() -> World {
    let mut world = World::new();
    for (value, account) in SESSIONS {
        world.hold("port", "session", value, account);
    }
    world.hold("port", "crew", &format!("crew_{}", SESSIONS[0].0), Some("alice"));
    world.hold("port", "crew", &format!("crew_{}", SESSIONS[1].0), Some("bob"));
    world.hold("elsewhere", "session", UNKNOWN, Some("alice"));
    world.hold_expired("port", "session", EXPIRED);
    world.hold_expired("port", "access", &format!("at_{}", long("expired")));
    for (word, beginning) in [("access", "at_"), ("partner", "pt_"), ("refresh", "rt_"), ("pair", "")] {
        let names: &[&str] = if word == "partner" { &["pia"] } else { &["alice", "bob"] };
        for name in names {
            world.hold("port", word, &format!("{beginning}{}", long(name)), Some(name));
        }
    }
    world.hold("port", "key", world::KEY, Some("crane"));
    world
}

/// Fills `{session.alice}`, `{alice:open}`, `{csrf.alice}` and their like.
fn filled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('{') {
        let Some((name, tail)) = tail.split_once('}') else { break };
        out.push_str(head);
        match value(name) {
            Some(value) => out.push_str(&value),
            None => write!(out, "{{{name}}}").unwrap(),
        }
        rest = tail;
    }
    out + rest
}

fn value(name: &str) -> Option<String> {
    if let Some((user, password)) = name.split_once(':').filter(|(user, _)| !user.contains('"')) {
        return Some(STANDARD.encode(format!("{user}:{password}")));
    }
    let session = |of: &str| match of {
        "expired" => Some(EXPIRED),
        "unknown" => Some(UNKNOWN),
        "nobody" => Some(SESSIONS[2].0),
        name => SESSIONS.iter().find(|(_, account)| *account == Some(name)).map(|(value, _)| *value),
    };
    let (word, of) = name.split_once('.')?;
    let key = World::new();
    let key = key.derivation_key();
    let form = Form::parse("{base64url:43}").unwrap();
    Some(match word {
        "session" => session(of)?.to_owned(),
        "crew" => format!("crew_{}", session(of)?),
        "access" => format!("at_{}", long(of)),
        "partner" => format!("pt_{}", long(of)),
        "refresh" => format!("rt_{}", long(of)),
        "pair" => long(of),
        "second" => second_half(key, "port", "pair", &long(of), &form).unwrap().expose().to_owned(),
        "csrf" => {
            let bytes = derive(key, "csrf", &["port", session(of)?], form.bytes_wanted());
            form.fill(&bytes, FormNames::default()).unwrap()
        }
        "key" if of == "crane" => world::KEY.to_owned(),
        "key" => "99999999-2222-3333-4444-555555555555".to_owned(),
        "jwt" => match of {
            "expired" => world::jwt(world::ISSUER, "harbour", "alice", -600),
            "elsewhere" => world::jwt(world::ISSUER, "elsewhere", "alice", 600),
            "forged" => world::jwt("https://forger.example/", "harbour", "alice", 600),
            name => world::jwt(world::ISSUER, "harbour", name, 600),
        },
        _ => return None,
    })
}
