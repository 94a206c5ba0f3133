//! What is added to the answers of admitted requests, and what is taken out of them.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, PROXY_AUTHENTICATE, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use smallvec::SmallVec;

use crate::api::Api;
use crate::dialect::StampRule;
use crate::dialect::pattern::Segments;
use crate::dialect::template::Medium;
use crate::identity::Identity;
use crate::port::{Opening, Unavailable};
use crate::render::Here;
use crate::serve::World;
use crate::values::{Caller, SessionView};

impl Api {
    /// Stamps the answer to an admitted request, and clears the cookie that came with it and had died.
    ///
    /// A stamp that prints the CSRF token opens a session for a caller who holds none; his own is printed otherwise.
    ///
    /// # Errors
    /// If a session had to be opened and could not be.
    pub fn stamp(
        &self,
        method: &Method,
        path: &str,
        identity: &Identity,
        world: World<'_>,
        here: &Here<'_>,
        headers: &mut HeaderMap,
    ) -> Result<(), Unavailable> {
        let mut is_his = self.add_stamp(method, path, identity, world, here, headers)?;
        for (name, value) in identity.answers() {
            headers.append(name.clone(), value.clone());
            is_his = true;
        }
        if let Some(dead) = identity.dead_cookie() {
            let caller = Caller { prefix: here.prefix, ..Caller::bare(self, Some(identity)) };
            self.clear_dead(headers, dead, &caller, here);
            is_his = true;
        }
        if is_his {
            keep_to_caller(headers);
        }
        Ok(())
    }

    /// Whether anything was added.
    fn add_stamp(
        &self,
        method: &Method,
        path: &str,
        identity: &Identity,
        world: World<'_>,
        here: &Here<'_>,
        headers: &mut HeaderMap,
    ) -> Result<bool, Unavailable> {
        let Some(stamp) = self.stamp_for(method, path, identity) else { return Ok(false) };
        let opened = if stamp.opens_session && identity.session().is_none() {
            self.open(identity, world)?
        } else {
            None
        };
        let bare = Caller::bare(self, Some(identity));
        // A token that proved the caller is his session where no other is known.
        let held = identity.session().or(identity.token()).map(SessionView::of);
        let caller = Caller {
            prefix: here.prefix,
            media: "",
            lookups: Some(world.lookups),
            session: opened.as_ref().map(SessionView::issued).or(held),
            ..bare
        };
        let mut named: Vec<&HeaderName> = Vec::new();
        for (name, template) in &stamp.headers {
            let value = template.render(&caller, Medium::Header);
            if value.is_empty() && template.is_one_value() {
                continue;
            }
            let Ok(value) = HeaderValue::from_str(&value) else { continue };
            if named.contains(&name) {
                headers.append(name.clone(), value);
            } else {
                headers.insert(name.clone(), value);
                named.push(name);
            }
        }
        self.append_cookies(headers, &stamp.cookies, &caller, here);
        Ok(true)
    }

    fn stamp_for(&self, method: &Method, path: &str, identity: &Identity) -> Option<Arc<StampRule>> {
        let applies = |stamp: &StampRule| {
            stamp
                .credentials
                .as_ref()
                .is_none_or(|names| names.iter().any(|name| name == identity.credential()))
        };
        let path = Segments::of(path);
        let mut stamps = self.dialect.stamps.matching(method, &path).map(|(stamp, _)| stamp);
        stamps.find(|stamp| applies(stamp)).cloned()
    }

    fn open(
        &self,
        identity: &Identity,
        world: World<'_>,
    ) -> Result<Option<crate::port::Issued>, Unavailable> {
        let Some(plan) = self.dialect.csrf.as_ref().and_then(|csrf| self.plan(&csrf.bound_to)) else {
            return Ok(None);
        };
        if identity.is_anonymous() && !world.strangers.may_open(world.now) {
            return Ok(None);
        }
        let opening = Opening {
            api: &self.name,
            account: identity.account(),
            plan,
            proven_at: identity.proven_at(),
            on: identity.token().map(|token| token.digest()),
            address: world.strangers.address(),
        };
        world.operations.open_session(&opening, world.now)
    }

    /// Takes out of an upstream's answer what only the gate may say: the dialect's cookies, the CSRF header,
    /// session headers and challenges.
    pub fn remove_own_names(&self, headers: &mut HeaderMap) {
        for name in self.dialect.answer_headers.iter() {
            headers.remove(name);
        }
        if !headers.contains_key(SET_COOKIE) {
            return;
        }
        let own = |value: &HeaderValue| {
            let name = value.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
            self.dialect.cookies.iter().any(|rule| rule.name.as_bytes() == name.trim_ascii())
        };
        if headers.get_all(SET_COOKIE).iter().any(own) {
            let kept: Vec<_> =
                headers.get_all(SET_COOKIE).iter().filter(|value| !own(value)).cloned().collect();
            headers.remove(SET_COOKIE);
            for value in kept {
                headers.append(SET_COOKIE, value);
            }
        }
    }

    /// Takes out what an upstream says of credentials itself, challenges and proofs alike (RFC 9110 section 11;
    /// `Persistent-Auth` is that of Negotiate and NTLM). The client's credentials are not the upstream's business, and what
    /// the gate says of them stands alone then.
    pub fn remove_challenges(headers: &mut HeaderMap) {
        let found: SmallVec<[HeaderName; 2]> =
            headers.keys().filter(|name| speaks_of_credentials(name)).cloned().collect();
        for name in found {
            headers.remove(name);
        }
    }
}

fn speaks_of_credentials(name: &HeaderName) -> bool {
    const OTHERS: [&str; 3] = ["authentication-info", "proxy-authentication-info", "persistent-auth"];
    matches!(*name, WWW_AUTHENTICATE | PROXY_AUTHENTICATE) || OTHERS.contains(&name.as_str())
}

/// What an answer says to one caller no shared cache may say to another, whatever its service thinks of it: the credential may
/// stand where caches do not look (RFC 9111 section 3.5).
pub(crate) fn keep_to_caller(headers: &mut HeaderMap) {
    for own_word in ["cdn-cache-control", "surrogate-control"] {
        headers.remove(own_word);
    }
    let lines = || headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let directives = || lines().flat_map(directives_of);
    let is_one_of = |directive: &str, names: &[&str]| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        names.iter().any(|other| name.eq_ignore_ascii_case(other))
    };
    // `private` with the names of fields is about these alone, and whoever understands a status may pass over `no-store`
    // (RFC 9111 section 5.2.2.3).
    let is_private = directives().any(|one| one.eq_ignore_ascii_case("private"));
    let is_stored = !directives().any(|one| is_one_of(one, &["no-store"]))
        || directives().any(|one| is_one_of(one, &["must-understand"]));
    if is_private || !is_stored {
        return;
    }
    let dropped = ["public", "s-maxage", "private", "must-understand"];
    let mut line = String::new();
    for directive in directives().filter(|one| !is_one_of(one, &dropped)) {
        line.push_str(directive);
        line.push_str(", ");
    }
    line.push_str("private");
    let line = HeaderValue::from_str(&line).unwrap_or(HeaderValue::from_static("private"));
    headers.insert(CACHE_CONTROL, line);
}

/// The directives of a line; a comma between quotes is none between them. A quote that is not closed ends with the line.
fn directives_of(line: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let ends = move |letter: char| {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => return true,
            _ => {}
        }
        false
    };
    line.split(ends).map(str::trim).filter(|directive| !directive.is_empty() && is_closed(directive))
}

/// Whether all quotes are closed: what is open would take in what is put behind it.
fn is_closed(directive: &str) -> bool {
    let mut is_quoted = false;
    let mut letters = directive.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if is_quoted => drop(letters.next()),
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    !is_quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_one_caller_is_kept_by_no_shared_cache() {
        for (said, left) in [
            (&[][..], &["private"][..]),
            (&["max-age=60"], &["max-age=60, private"]),
            (&["public, max-age=60", "s-maxage = 9 , immutable"], &["max-age=60, immutable, private"]),
            (&["PUBLIC"], &["private"]),
            (&["private=\"set-cookie\""], &["private"]),
            (&["private=\"set-cookie, x-foo\", max-age=600"], &["max-age=600, private"]),
            (
                &["no-cache=\"x, private, y\", max-age=60"],
                &["no-cache=\"x, private, y\", max-age=60, private"],
            ),
            (&["max-age=60, no-cache=\"x"], &["max-age=60, private"]),
            (&["public, must-understand, no-store"], &["no-store, private"]),
            (&["max-age=5, Private"], &["max-age=5, Private"]),
            (&["no-cache", "No-Store"], &["no-cache", "No-Store"]),
        ] {
            let mut headers = HeaderMap::new();
            for line in said {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            headers.insert("cdn-cache-control", HeaderValue::from_static("max-age=60"));
            keep_to_caller(&mut headers);
            assert!(headers.get_all(CACHE_CONTROL).iter().eq(left.iter()), "{said:?}: {headers:?}");
            assert_eq!(headers.len(), left.len());
        }
    }
}
