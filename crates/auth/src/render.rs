//! From an answer of the dialect to bytes.

mod refused;
pub(crate) mod sign_in;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::api::digest::Freshness;
use crate::api::{Api, Located, Mechanism};
use crate::canonical::method;
use crate::cookie::{self, Attributes, SameSite, ScriptAccess, Transport};
use crate::dialect::pattern::Segments;
use crate::dialect::place::Place;
use crate::dialect::template::{Medium, Template, TooLong, Values};
use crate::dialect::{Answer, BodyKind, CookieRule, Refusals, Scheme, Site, Surface, read_medium};
use crate::link::Sharing;
use crate::media;
use crate::port::Lookups;
use crate::refusal::{Cause, Reason, Refusal};
use crate::render::refused::RefusalValues;
use crate::time::Time;

/// What an answer depends on beside its values.
#[derive(Clone, Copy)]
pub struct Here<'h> {
    /// The API's prefix where the request came in.
    pub prefix: &'h str,
    /// Whether the client spoke TLS, so that cookies are `Secure`.
    pub secure: bool,
    /// The request's method.
    pub method: &'h Method,
    /// Its headers, as far as they are left.
    pub headers: &'h HeaderMap,
    /// Its canonical path with the prefix, for the way back from the sign-in page.
    pub path: &'h str,
    /// Its raw query.
    pub query: Option<&'h str>,
    /// Whether the connection is the client's own: what needs that is not offered elsewhere.
    pub sharing: Sharing,
    /// Makes the nonces of challenges.
    pub lookups: &'h dyn Lookups,
    /// The moment of the answer.
    pub now: Time,
    /// The most bytes that a dialect's templates may make of an answer: body, headers and cookies together.
    pub bytes_max: usize,
}

/// An answer that the gate makes itself.
#[derive(Debug)]
pub struct Rendered {
    /// Its status.
    pub status: StatusCode,
    /// A reason phrase other than the status's own (HTTP/1.1 only).
    pub phrase: Option<String>,
    /// Its headers; `Content-Length` is the server's to set.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// For the log, where it is not the dialect's answer: why not.
    pub cause: Option<Cause>,
}

/// How much of an answer may still be made.
struct Room(usize);

impl Room {
    fn render(
        &mut self,
        template: &Template,
        values: &dyn Values,
        medium: Medium,
    ) -> Result<String, TooLong> {
        let text = template.render_within(self.0, values, medium)?;
        self.0 = self.0.saturating_sub(text.len());
        Ok(text)
    }
}

/// Pages are self-contained, may not be framed, and post to their own origin only.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

impl Api {
    /// The media type that a client is answered in: what it asks for among those of the dialect.
    pub(crate) fn media<'a>(&'a self, here: &Here<'_>) -> &'a str {
        let offered = &self.dialect.media;
        if let Some(short) = self.media_override(here)
            && let Some(full) = offered.iter().find(|full| media::subtype(full) == short)
        {
            return full;
        }
        let accept = here.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accept: Vec<&str> = accept.collect();
        let joined = if accept.is_empty() { None } else { Some(accept.join(", ")) };
        media::choose(joined.as_deref(), offered)
    }

    fn media_override(&self, here: &Here<'_>) -> Option<String> {
        match self.dialect.media_from.as_ref()? {
            Place::Query(name) => crate::canonical::query::parse_query(here.query?)
                .filter_map(Result::ok)
                .find(|(own, _)| own == name)
                .map(|(_, value)| value.to_ascii_lowercase()),
            Place::Header(name, _) => Some(here.headers.get(name)?.to_str().ok()?.to_ascii_lowercase()),
            Place::Cookie(_)
            | Place::Body(_)
            | Place::Path(_)
            | Place::Authorization(_)
            | Place::AuthorizationAssigned(_)
            | Place::AuthorizationBare => None,
        }
    }

    /// Renders an answer of a call.
    ///
    /// # Errors
    /// `internal` if it is longer than [`Here::bytes_max`].
    pub(crate) fn answer(
        &self,
        answer: &Answer,
        values: &dyn Values,
        here: &Here<'_>,
    ) -> Result<Rendered, Refusal> {
        self.fill(answer, values, here, &mut Room(here.bytes_max))
            .map_err(|TooLong| Refusal::new(Reason::Internal, too_long(here)))
    }

    fn fill(
        &self,
        answer: &Answer,
        values: &dyn Values,
        here: &Here<'_>,
        room: &mut Room,
    ) -> Result<Rendered, TooLong> {
        let status =
            answer.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
        let mut headers = HeaderMap::new();
        let mut body = Bytes::new();
        if let Some((kind, template)) = self.body_of(answer, here) {
            headers.insert(CONTENT_TYPE, self.content_type(kind, here));
            if kind == BodyKind::Html {
                headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
                headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            }
            body = Bytes::from(room.render(template, values, read_medium(kind))?);
        }
        headers.insert(CACHE_CONTROL, NO_STORE);
        let mut named = Vec::new();
        for (name, template) in &answer.headers {
            let value = room.render(template, values, Medium::Header)?;
            if value.is_empty() && template.is_one_value() {
                continue;
            }
            let Ok(value) = HeaderValue::from_str(&value) else { continue };
            // What a body is escaped for is its own kind (T-E10); without one the dialect may say what it likes.
            if *name == CONTENT_TYPE && headers.contains_key(CONTENT_TYPE) && !body.is_empty() {
                continue;
            }
            // A name that the dialect gives replaces the gate's own; several lines of one name all stand.
            if named.contains(&name) {
                headers.append(name.clone(), value);
            } else {
                headers.insert(name.clone(), value);
                named.push(name);
            }
        }
        for rule in &answer.cookies {
            let value = room.render(&rule.value, values, Medium::Cookie)?;
            append_cookie(&mut headers, rule, &value, values, here, self.same_site);
        }
        for rule in &answer.clear {
            clear_cookie(&mut headers, rule, values, here, self.same_site);
        }
        let phrase = answer.phrase.as_ref().map(|phrase| room.render(phrase, values, Medium::Header));
        Ok(Rendered { status, phrase: phrase.transpose()?, headers, body, cause: None })
    }

    /// The dialect's full media type of a body: the one that the client asks for before others of its kind.
    fn content_type(&self, kind: BodyKind, here: &Here<'_>) -> HeaderValue {
        let asked = std::iter::once(self.media(here));
        let media =
            asked.chain(self.dialect.media.iter().map(String::as_str)).find(|media| kind.is_of(media));
        // Media types were checked when the dialect was loaded.
        media
            .and_then(|media| HeaderValue::from_str(media).ok())
            .unwrap_or_else(|| HeaderValue::from_static(kind.media_type()))
    }

    /// Of several bodies the one in the client's media type; a single one is sent as it is.
    fn body_of<'a>(&self, answer: &'a Answer, here: &Here<'_>) -> Option<(BodyKind, &'a Template)> {
        let chosen = match answer.bodies.as_slice() {
            [] => return None,
            [only] => only,
            several => {
                let media = self.media(here);
                several.iter().find(|(kind, _)| kind.is_of(media)).or_else(|| several.first())?
            }
        };
        Some((chosen.0, &chosen.1))
    }

    /// The answer to a refusal of a request that was located, or was not.
    pub fn refuse_at(&self, located: Option<&Located>, refusal: &Refusal, here: &Here<'_>) -> Rendered {
        match located {
            Some(located) => self.refuse(Some(&located.site), refusal, here),
            None => self.refuse(self.site_at(here).as_deref(), refusal, here),
        }
    }

    /// Where a request arrived that was refused before its place was settled, as far as method and path tell.
    fn site_at(&self, here: &Here<'_>) -> Option<Arc<Site>> {
        let path = &Segments::of(here.path.strip_prefix(here.prefix).unwrap_or(here.path));
        let of_method = self.dialect.sites.matching(here.method, path);
        let of_method =
            of_method.chain(self.dialect.surface_sites.matching(here.method, path)).map(|(site, _)| site);
        let mut sites = of_method.chain(self.dialect.surface_sites.at_path(path));
        let certain =
            |site: &&Arc<Site>| site.endpoint.as_ref().is_none_or(|endpoint| endpoint.when.is_empty());
        sites.find(certain).cloned()
    }

    /// The answer to a refusal: in the dialect of the place where the request arrived.
    fn refuse(&self, site: Option<&Site>, refusal: &Refusal, here: &Here<'_>) -> Rendered {
        let surface = site.map(|site| &site.surface).or_else(|| self.widest_surface());
        let mut rendered = match self.to_sign_in(site, surface.map(|surface| &**surface), refusal, here) {
            Some(redirect) => redirect,
            None => self
                .refusal(site, surface.map(|surface| &**surface), refusal, here)
                .unwrap_or_else(|TooLong| bare(here)),
        };
        if let Some(dead) = &refusal.dead_cookie {
            let values = RefusalValues::bare(self, refusal.reason.status(), refusal, here);
            self.clear_dead(&mut rendered.headers, dead, &values, here);
        }
        rendered
    }

    fn refusal(
        &self,
        site: Option<&Site>,
        surface: Option<&Surface>,
        refusal: &Refusal,
        here: &Here<'_>,
    ) -> Result<Rendered, TooLong> {
        let refusals: Option<&Refusals> =
            site.map(|site| &*site.refusals).or_else(|| surface.map(|surface| &*surface.refusals));
        let default = Answer::default();
        let answer = refusals.and_then(|refusals| refusals.answer(refusal.reason)).unwrap_or(&default);
        let status = match &refusal.challenge {
            Some(_) => 401,
            None => answer.status.unwrap_or(refusal.reason.status()),
        };
        let mut room = Room(here.bytes_max);
        let mut values = RefusalValues::bare(self, status, refusal, here);
        values.say(answer, &mut room)?;
        let with_status = Answer { status: Some(status), ..answer.clone() };
        let mut rendered = self.fill(&with_status, &values, here, &mut room)?;
        if let Some(challenge) = &refusal.challenge {
            rendered.headers.insert(WWW_AUTHENTICATE, HeaderValue::clone(challenge));
        } else if status == 401 && answer.challenge.unwrap_or(true) {
            self.challenge(site, refusal, here, &mut rendered.headers);
        }
        if refusal.reason == Reason::Method {
            self.allow(here, &mut rendered.headers);
        }
        let again = match rendered.status {
            StatusCode::TOO_MANY_REQUESTS => Some(TOO_MANY_FOR),
            StatusCode::SERVICE_UNAVAILABLE => Some(AWAY_FOR),
            _ => None,
        };
        if let Some(again) = again {
            rendered.headers.entry(RETRY_AFTER).or_insert(again);
        }
        Ok(rendered)
    }

    fn challenge(&self, site: Option<&Site>, refusal: &Refusal, here: &Here<'_>, headers: &mut HeaderMap) {
        let mut offered: Vec<&str> = Vec::new();
        let freshness = if refusal.stale { Freshness::Stale } else { Freshness::First };
        for rule in site.iter().flat_map(|site| &site.accepts).filter(|rule| self.is_on(rule)) {
            let Some(word) = rule.challenge.filter(|word| !offered.contains(word)) else { continue };
            if !self.can_be_done(rule.scheme, here.sharing) {
                continue;
            }
            offered.push(word);
            let realm = quoted(&self.realm);
            let line = match (rule.scheme, here.lookups.digests()) {
                (Scheme::Digest, Some(digests)) => {
                    self.digest_challenges(rule, digests, freshness, here.now, headers);
                    continue;
                }
                (Scheme::Digest, None) => continue,
                // RFC 4559 section 4 has no parameters.
                (Scheme::Negotiate | Scheme::Ntlm, _) => word.to_owned(),
                (_, _) if word == "Basic" => format!("Basic realm={realm}, charset=\"UTF-8\""),
                (_, _) => format!("{word} realm={realm}"),
            };
            if let Ok(line) = HeaderValue::from_str(&line) {
                headers.append(WWW_AUTHENTICATE, line);
            }
        }
    }

    /// Whether a client could get in by a scheme on such a connection: NTLM needs one of its own.
    fn can_be_done(&self, scheme: Scheme, sharing: Sharing) -> bool {
        match (scheme, sharing) {
            (Scheme::Ntlm, Sharing::Shared) => false,
            (Scheme::Negotiate, Sharing::Shared) => self.mechanisms.contains(&Mechanism::Kerberos),
            (_, Sharing::Own | Sharing::Shared) => true,
        }
    }

    fn allow(&self, here: &Here<'_>, headers: &mut HeaderMap) {
        let below = here.path.strip_prefix(here.prefix).unwrap_or(here.path);
        let mut methods = self.dialect.surfaces.other_methods(&Segments::of(below));
        if methods.is_empty() {
            methods.extend(method::STANDARD);
        }
        methods.extend(self.policy.beyond(below));
        let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
        if let Ok(value) = HeaderValue::from_str(&methods.join(", ")) {
            headers.insert(ALLOW, value);
        }
    }
}

/// When whoever came too often may try again, in seconds: attempts are counted by the minute, and a queue is through in less.
const TOO_MANY_FOR: HeaderValue = HeaderValue::from_static("10");
/// The same where something was away: nearly always for longer than a blink, and nobody waits for more.
const AWAY_FOR: HeaderValue = HeaderValue::from_static("5");

/// Why a text cannot be the realm of a challenge, if it cannot.
pub(crate) fn no_realm(text: &str) -> Option<&'static str> {
    let is_visible = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (!is_visible).then_some("`realm` stands in a header: ASCII without control characters, and not empty")
}

/// What the log says of an answer that the dialect makes too long.
fn too_long(here: &Here<'_>) -> Cause {
    format!("the dialect's answer is longer than limits.answer_bytes, {}", here.bytes_max).into()
}

/// In place of an answer that the dialect makes too long; in nobody's words, which would be too long again.
fn bare(here: &Here<'_>) -> Rendered {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, NO_STORE);
    Rendered {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        phrase: None,
        headers,
        body: Bytes::new(),
        cause: Some(too_long(here)),
    }
}

pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn append_cookie(
    headers: &mut HeaderMap,
    rule: &CookieRule,
    value: &str,
    values: &dyn Values,
    here: &Here<'_>,
    same_site: Option<SameSite>,
) {
    if value.is_empty() {
        return;
    }
    let path = rule.path.render(values, Medium::Header);
    let attributes = attributes(rule, &path, here, (rule.lifetime, same_site));
    if let Ok(cookie) = cookie::set_cookie(&rule.name, value, &attributes) {
        headers.append(http::header::SET_COOKIE, cookie);
    }
}

fn clear_cookie(
    headers: &mut HeaderMap,
    rule: &CookieRule,
    values: &dyn Values,
    here: &Here<'_>,
    same_site: Option<SameSite>,
) {
    let path = rule.path.render(values, Medium::Header);
    let attributes = attributes(rule, &path, here, (Some(std::time::Duration::ZERO), same_site));
    if let Ok(cookie) = cookie::set_cookie(&rule.name, "", &attributes) {
        headers.append(http::header::SET_COOKIE, cookie);
    }
}

fn attributes<'p>(
    rule: &CookieRule,
    path: &'p str,
    here: &Here<'_>,
    (max_age, same_site): (Option<std::time::Duration>, Option<SameSite>),
) -> Attributes<'p> {
    // Browsers throw cookies for other sites away that are not `Secure`.
    let tls_only = here.secure || same_site == Some(SameSite::None);
    Attributes {
        path,
        script: if rule.http_only { ScriptAccess::Hidden } else { ScriptAccess::Readable },
        same_site: Some(same_site.unwrap_or(rule.same_site)),
        transport: if tls_only { Transport::TlsOnly } else { Transport::Any },
        max_age,
    }
}

impl Api {
    /// Makes the browser forget a cookie that has died, unless the answer gives it a new one of that name.
    pub(crate) fn clear_dead(
        &self,
        headers: &mut HeaderMap,
        dead: &str,
        values: &dyn Values,
        here: &Here<'_>,
    ) {
        let named = |value: &HeaderValue| {
            value.as_bytes().strip_prefix(dead.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
        };
        let is_set = headers.get_all(http::header::SET_COOKIE).iter().any(named);
        if let Some(rule) = self.dialect.cookies.iter().find(|rule| rule.name == dead && !is_set) {
            clear_cookie(headers, rule, values, here, self.same_site);
        }
    }

    /// Adds a stamp's cookies to an answer.
    pub(crate) fn append_cookies(
        &self,
        headers: &mut HeaderMap,
        rules: &[Arc<CookieRule>],
        values: &dyn Values,
        here: &Here<'_>,
    ) {
        for rule in rules {
            let value = rule.value.render(values, Medium::Cookie);
            append_cookie(headers, rule, &value, values, here, self.same_site);
        }
    }
}
