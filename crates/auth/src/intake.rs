//! Takes credentials out of a request, so that none goes further than it should.
//!
//! Everything that the dialect names is taken, whether this deployment accepts it or not, and so is
//! `Authorization`; look-alikes (`X_Session` for `X-Session`) and identity headers that only the gate may set are
//! dropped (THREATS T-B2, T-B3, T-B7).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::api::Api;
use crate::canonical::header_name::{fold, folded, folds_to, is_decisive};
use crate::cookie::{self, Rest};
use crate::dialect::Dialect;
use crate::dialect::place::Place;
use crate::refusal::{Reason, Refusal};
use crate::scheme::code;
use crate::secret::Secret;

/// Identity headers that services behind other gateways believe; nobody outside may set them (folded).
const WELL_KNOWN: [&str; 33] = [
    "remote-user",
    "remote-name",
    "remote-email",
    "remote-groups",
    "x-remote-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-auth-request-preferred-username",
    "x-auth-request-access-token",
    "x-authenticated-user",
    "x-user",
    "x-auth-user",
    "x-webauth-user",
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-ssl-client-cert",
    "x-ssl-client-s-dn",
    "ssl-client-cert",
    "ssl-client-s-dn",
    "sm-user",
    "sm-userdn",
    // These make a service read another method than the one that was decided about (T-A11).
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    // RFC 8470: only the end of a TLS connection may say it.
    "early-data",
    // Read as the environment's HTTP_PROXY by programs of the CGI family.
    "proxy",
    "x-original-user",
];

/// Whether services behind other gateways believe a header of this folded name.
pub(crate) fn is_well_known(folded: &str) -> bool {
    WELL_KNOWN.contains(&folded)
}

/// Every header that the gate itself sets or reads begins so.
const OWN_PREFIX: &str = "countersign-";

/// Whether a field of this name, however it is spelled, says who somebody is to services behind gateways: nobody
/// outside may set it, in a head or in a trailer section (THREATS T-B2).
pub fn tells_identity(name: &str) -> bool {
    is_own(name) || WELL_KNOWN.iter().any(|known| folds_to(name, known))
}

fn is_own(name: &str) -> bool {
    name.len() >= OWN_PREFIX.len() && starts_folded(name, OWN_PREFIX)
}

/// Which headers and cookies of a dialect are taken.
#[derive(Debug)]
pub(crate) struct Intake {
    /// By a hash of the folded name: the exact names that are taken, and folded names that are dropped.
    headers: HashMap<u64, SmallVec<[Known; 1]>, RandomState>,
    /// Which first bytes and lengths those names have: most headers are told to be none of them by that.
    shapes: Shapes,
    cookies: Vec<Arc<str>>,
    queries: Vec<String>,
}

/// Pairs of a first byte and a length: for each byte the lengths, all from 63 on as one. Folding a name keeps both, but for
/// what only look-alikes begin with.
#[derive(Debug)]
struct Shapes(Box<[u64; 256]>);

impl Shapes {
    fn none() -> Self {
        Self(Box::new([0; 256]))
    }

    fn lengths(name: &str) -> u64 {
        1 << name.len().min(63)
    }

    fn add(&mut self, name: &str) {
        for byte in u8::MIN..=u8::MAX {
            if name.bytes().next().map(fold) == Some(fold(byte)) {
                #[expect(clippy::indexing_slicing, reason = "every byte has its place")]
                let lengths = &mut self.0[usize::from(byte)];
                *lengths |= Self::lengths(name);
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        #[expect(clippy::indexing_slicing, reason = "every byte has its place")]
        name.bytes().next().is_some_and(|byte| self.0[usize::from(byte)] & Self::lengths(name) != 0)
    }
}

#[derive(Debug)]
struct Known {
    folded: String,
    /// The spelling that is a credential; every other one is a look-alike.
    exact: Option<HeaderName>,
}

/// What was taken out of a request.
#[derive(Debug, Default)]
pub struct Taken {
    pub(crate) authorization: SmallVec<[HeaderValue; 1]>,
    pub(crate) headers: SmallVec<[(HeaderName, HeaderValue); 4]>,
    /// With the names as the dialect spells them.
    pub(crate) cookies: SmallVec<[(Arc<str>, Arc<Secret>); 2]>,
}

impl Api {
    /// Takes every credential out of the headers; what remains may be forwarded.
    ///
    /// `neighbours` are names of cookies, in the order of their bytes, that are credentials of other APIs to which browsers
    /// send what they have for this one (RFC 6265 section 5.4): they go no further either (THREATS T-B13).
    ///
    /// # Errors
    /// `malformed` if a cookie header cannot be read.
    pub fn take(&self, headers: &mut HeaderMap, neighbours: &[Arc<str>]) -> Result<Taken, Refusal> {
        self.intake.take(headers, &self.dialect.passes, neighbours)
    }

    /// Names of cookies that are credentials or CSRF proofs of its dialect, in the order of their bytes.
    pub fn cookies_taken(&self) -> &[Arc<str>] {
        &self.intake.cookies
    }

    /// The query without credentials.
    pub fn query_without_credentials<'q>(&self, query: &'q str) -> Cow<'q, str> {
        self.intake.query_without(query)
    }
}

impl Intake {
    pub(crate) fn new(dialect: &Dialect, csrf_header: Option<&HeaderName>) -> Self {
        let mut intake = Self {
            headers: HashMap::default(),
            shapes: Shapes::none(),
            cookies: Vec::new(),
            queries: Vec::new(),
        };
        for name in dialect.assertion.headers.iter().map(|(name, _)| name.as_str()).chain(WELL_KNOWN) {
            intake.know(name, None);
        }
        let parts = dialect.credentials.iter().flat_map(|rule| &rule.parts).flat_map(|part| &part.places);
        for place in parts.chain(dialect.csrf.iter().flat_map(|csrf| &csrf.places)) {
            match place {
                Place::Header(name, _) => intake.know(name.as_str(), Some(name)),
                Place::Cookie(name) => intake.cookies.push(name.as_str().into()),
                Place::Query(name) => intake.queries.push(name.clone()),
                Place::Body(_)
                | Place::Path(_)
                | Place::Authorization(_)
                | Place::AuthorizationAssigned(_)
                | Place::AuthorizationBare => {}
            }
        }
        intake.cookies.extend(dialect.cookies.iter().map(|rule| rule.name.as_str().into()));
        intake.cookies.extend([code::COOKIE, code::COOKIE_OF_HOST].map(Into::into));
        intake.cookies.sort();
        intake.cookies.dedup();
        if let Some(name) = csrf_header {
            intake.know(name.as_str(), Some(name));
        }
        for name in &dialect.passes {
            intake.know(name.as_str(), Some(name));
        }
        // What passes is known by its exact spelling, so that look-alikes are dropped, but it is not taken.
        intake
    }

    /// What the gate decides by stays, whoever names it: the loader refuses such names, and here they take nothing out.
    fn know(&mut self, name: &str, exact: Option<&HeaderName>) {
        let folded = folded(name);
        if is_decisive(&folded) {
            return;
        }
        self.shapes.add(name);
        let known = Known { folded, exact: exact.cloned() };
        self.headers.entry(hash(name)).or_default().push(known);
    }

    /// Takes everything out; what remains in `headers` may go to the upstream.
    ///
    /// # Errors
    /// `malformed` if a cookie header cannot be read within its limits.
    pub(crate) fn take(
        &self,
        headers: &mut HeaderMap,
        passes: &[HeaderName],
        neighbours: &[Arc<str>],
    ) -> Result<Taken, Refusal> {
        let mut taken = Taken::default();
        let mut found: SmallVec<[(HeaderName, bool); 6]> = SmallVec::new();
        for name in headers.keys() {
            if let Some(exact) = self.class(name)
                && !(exact && passes.contains(name))
            {
                found.push((name.clone(), exact));
            }
        }
        for (name, exact) in found {
            if exact {
                for value in headers.get_all(&name) {
                    taken.headers.push((name.clone(), value.clone()));
                }
            }
            headers.remove(&name);
        }
        if headers.contains_key(AUTHORIZATION) {
            taken.authorization = headers.get_all(AUTHORIZATION).iter().cloned().collect();
            headers.remove(AUTHORIZATION);
        }
        self.take_cookies(headers, neighbours, &mut taken)?;
        Ok(taken)
    }

    fn take_cookies(
        &self,
        headers: &mut HeaderMap,
        neighbours: &[Arc<str>],
        taken: &mut Taken,
    ) -> Result<(), Refusal> {
        let none_is_known = self.cookies.is_empty() && neighbours.is_empty();
        if none_is_known || !headers.contains_key(COOKIE) {
            return Ok(());
        }
        let fields: SmallVec<[HeaderValue; 1]> = headers.get_all(COOKIE).iter().cloned().collect();
        let is_known =
            |name: &str| self.cookies.iter().any(|own| **own == *name) || is_among(neighbours, name);
        let split = cookie::take(&fields, is_known)
            .map_err(|error| Refusal::new(Reason::Malformed, format!("cookie header: {error}")))?;
        taken.cookies.extend(split.pairs.iter().filter_map(|pair| {
            let name = self.cookies.iter().find(|own| ***own == *pair.name)?;
            // Some clients encode cookies; they are decoded once.
            let value = cookie::decoded(pair.value).unwrap_or(pair.value.into());
            Some((Arc::clone(name), Arc::new(Secret::new(value))))
        }));
        match split.rest {
            Rest::Unchanged => {}
            Rest::Line(line) => {
                headers.insert(COOKIE, line);
            }
            Rest::Nothing => {
                headers.remove(COOKIE);
            }
        }
        Ok(())
    }

    /// `None`: nothing of ours. `Some(true)`: the exact name of a credential. `Some(false)`: to be dropped.
    fn class(&self, name: &HeaderName) -> Option<bool> {
        let text = name.as_str();
        if is_own(text) {
            return Some(false);
        }
        if !self.shapes.has(text) {
            return None;
        }
        let known = self.headers.get(&hash(text))?;
        let mut class = None;
        for entry in known.iter().filter(|entry| folds_to(text, &entry.folded)) {
            if entry.exact.as_ref() == Some(name) {
                return Some(true);
            }
            class = Some(false);
        }
        class
    }

    /// The query without the parameters that are credentials; unchanged if there are none.
    pub(crate) fn query_without<'q>(&self, query: &'q str) -> Cow<'q, str> {
        if self.queries.is_empty() {
            return query.into();
        }
        let named = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default();
            let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            self.queries.iter().any(|own| *own == name)
        };
        if !query.split('&').any(named) {
            return query.into();
        }
        query.split('&').filter(|pair| !named(pair)).collect::<Vec<_>>().join("&").into()
    }
}

/// Whether a name is one of these, which stand in the order of their bytes.
pub(crate) fn is_among(names: &[Arc<str>], name: &str) -> bool {
    names.binary_search_by(|known| (**known).cmp(name)).is_ok()
}

fn starts_folded(name: &str, beginning: &str) -> bool {
    name.bytes().zip(beginning.bytes()).all(|(a, b)| fold(a) == b)
}

/// FNV-1a over the folded name. Clients choose names but not what is in the table, so collisions cost nothing.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(fold(byte))).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::path::Path;

    use http::HeaderMap;

    use super::{Intake, WELL_KNOWN};
    use crate::canonical::header_name::{folded, is_decisive};
    use crate::dialect::Dialect;

    /// The loader refuses such names; whatever it lets pass, the gate goes on seeing what it decides by.
    #[test]
    fn nothing_that_a_dialect_names_hides_what_the_gate_decides_by() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects/harbour.toml");
        let mut dialect = Dialect::load("harbour.toml", &fs::read_to_string(file).unwrap()).unwrap();
        let template = dialect.assertion.headers.first().unwrap().1.clone();
        let decisive =
            ["origin", "sec-fetch-site", "content-type", "host", "cookie", "x-forwarded-for", "accept"];
        for name in decisive.into_iter().chain(["sec_fetch_site", "x-told"]) {
            dialect.assertion.headers.push((name.parse().unwrap(), template.clone()));
        }
        let intake = Intake::new(&dialect, None);
        let mut headers = HeaderMap::new();
        for name in decisive.into_iter().chain(["x-told", "authorization"]) {
            headers.insert(name, "a=b".parse().unwrap());
        }
        let taken = intake.take(&mut headers, &[], &[]).unwrap();
        let left: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(left, decisive);
        assert_eq!(taken.authorization.len(), 1);
    }

    #[test]
    fn what_is_always_taken_out_decides_nothing() {
        for name in WELL_KNOWN {
            assert!(!is_decisive(&folded(name)), "{name}");
        }
    }
}
