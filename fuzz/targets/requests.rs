//! Whole requests on their way through the rules, in every dialect that ships.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::api::{Api, ApiOptions};
use countersign_auth::assertion::assert as mint;
use countersign_auth::authenticate::authenticate;
use countersign_auth::canonical::path::CanonicalPath;
use countersign_auth::dialect::Dialect;
use countersign_auth::fields::content_type::ContentType;
use countersign_auth::fields::{Bounds, Fields};
use countersign_auth::page::Pages;
use countersign_auth::policy::{Allow, Conditions, Permit, RouteOptions, authorize};
use countersign_auth::recognize::{Request, recognize};
use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::anybody::{Anybody, NOW, basic};
use super::plain::Credentials;

/// An API of a dialect that ships, and what the dialect's file calls credentials.
struct Tried {
    api: Api,
    credentials: Credentials,
}

/// The dialects that ship, and what each is tried as.
static APIS: LazyLock<Vec<Tried>> = LazyLock::new(|| {
    let texts = [
        include_str!("../../dialects/egain/dialect.toml"),
        include_str!("../../dialects/genesys/dialect.toml"),
        include_str!("../../dialects/voltmx/dialect.toml"),
        include_str!("../../dialects/superoffice/dialect.toml"),
        include_str!("../../dialects/enactor/dialect.toml"),
    ];
    texts.into_iter().enumerate().map(|(at, text)| tried(at, text)).collect()
});

fn tried(at: usize, text: &str) -> Tried {
    let dialect = Dialect::load("shipped", text).expect("a dialect that ships");
    let basic: Vec<String> =
        dialect.credential_names().filter(|name| *name == "basic").map(str::to_owned).collect();
    let all = RouteOptions {
        at: "/**".to_owned(),
        allow: Allow::Proven(Conditions::default()),
        upgrade: false,
        objects: Default::default(),
    };
    let options = ApiOptions {
        name: format!("api-{at}"),
        enable: if text.contains("name        = \"enactor\"") { basic } else { Vec::new() },
        routes: vec![all],
        ..ApiOptions::default()
    };
    let api = Api::new(Arc::new(dialect), options).expect("an API of a dialect that ships");
    Tried { api, credentials: Credentials::of(text) }
}

/// A request as text: `METHOD target` in the first line, fields in the next, an empty line, the body. A first byte
/// chooses the dialect.
pub fn requests(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let Some(tried) = APIS.get(usize::from(*choice) % APIS.len()) else { return };
    let (head, body) = match rest.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&rest[..at], &rest[at + 2..]),
        None => (rest, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let Some(start) = lines.next().and_then(|line| std::str::from_utf8(line).ok()) else { return };
    let Some((method, target)) = start.split_once(' ') else { return };
    let (Ok(method), Ok(target)) = (method.parse::<Method>(), target.parse::<http::Uri>()) else { return };
    let Ok(path) = CanonicalPath::parse(target.path()) else { return };
    let mut headers = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let _permit =
        through(tried, &method, path.as_str(), target.query(), headers, body, &Anybody { words: Vec::new() });
}

/// The flow of `admit`, without a connection.
fn through(
    Tried { api, credentials }: &Tried,
    method: &Method,
    path: &str,
    query: Option<&str>,
    mut headers: HeaderMap,
    body: &[u8],
    anybody: &Anybody,
) -> Option<Permit> {
    if let Some(query) = query {
        let kept = api.query_without_credentials(query);
        assert_eq!(api.query_without_credentials(&kept), kept, "a credential went on in the query");
        credentials.are_not_in_query(&kept);
    }
    let taken = api.take(&mut headers, &[]).ok()?;
    credentials.are_not_in(&headers);
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let fields = if api.reads_body(method, path, &taken, content_type.as_deref()) {
        let content_type = content_type.as_deref().and_then(ContentType::parse)?;
        Some(Fields::parse(&content_type, body, Bounds::default()).ok()?)
    } else {
        None
    };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = Request {
        method,
        path,
        prefix: "",
        query,
        headers: &headers,
        address,
        connection: address,
        certificate: None,
        fields: fields.as_ref(),
        link: None,
        target: None,
        body: None,
        pages: Pages { scheme: "http", trusted: &[], hosts: &[] },
    };
    let located = api.locate_request(&request).ok()?;
    let presented = recognize(api, &located, &request, &taken).ok()?;
    let identity = authenticate(api, &located, &request, &presented, anybody, NOW).now_or_never()?.ok()?;
    authorize(api, identity, method, path, NOW).ok()
}

/// What an upstream is told of a person whose every text is arbitrary: one in each line.
pub fn assertions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let anybody = Anybody { words: text.split('\n').map(str::to_owned).collect() };
    for tried in APIS.iter() {
        let api = &tried.api;
        let mut headers = HeaderMap::new();
        let authorization = format!("Basic {}", basic("alice", "wonderland-7"));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&authorization).expect("base64"));
        let permit = through(tried, &Method::GET, "/api/v1/x", None, headers, &[], &anybody);
        let Some(permit) = permit else { continue };
        let assertion = mint(api, &permit, &anybody, NOW).expect("there is a key");
        let token = assertion.value().to_str().expect("a compact JWS");
        let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: serde_json::Value =
            serde_json::from_slice(&payload.expect("a payload")).expect("claims are JSON");
        let said = |name: &str| claims.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        assert_eq!(said("sub").as_deref(), anybody.words.first().map(String::as_str));
        assert_eq!(said("aud").as_deref(), Some(&**api.name()));
        assert_eq!(said("iss").as_deref(), Some("countersign"));
        for (name, value) in &api.identity_headers(&permit, "", &anybody) {
            assert!(value.as_bytes().iter().all(u8::is_ascii), "{name}");
        }
    }
}
