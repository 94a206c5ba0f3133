//! What is added to the answers of admitted requests, and what is taken out of them.

use std::sync::Arc;

use http::header::{PROXY_AUTHENTICATE, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use smallvec::SmallVec;

use crate::api::Api;
use crate::cache_control::keep_to_caller;
use crate::dialect::StampRule;
use crate::dialect::pattern::Segments;
use crate::dialect::template::Medium;
use crate::identity::Identity;
use crate::intake::is_among;
use crate::port::{Opening, Unavailable};
use crate::render::Here;
use crate::scheme::code;
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
    /// session headers and challenges. `neighbours` are those of [`Api::take`]; answered with those of them that the
    /// upstream set, each once, which its own clients will never bring back.
    pub fn remove_own_names(&self, headers: &mut HeaderMap, neighbours: &[Arc<str>]) -> Vec<Arc<str>> {
        let renamed = self.csrf_header.iter().map(|(name, _)| name);
        for name in self.dialect.answer_headers.iter().chain(renamed) {
            headers.remove(name);
        }
        if !headers.contains_key(SET_COOKIE) {
            return Vec::new();
        }
        let own = |value: &HeaderValue| {
            let name = cookie_name(value.as_bytes());
            self.dialect.cookies.iter().any(|rule| rule.name.as_bytes() == name)
                || [code::COOKIE, code::COOKIE_OF_HOST].iter().any(|log_in| log_in.as_bytes() == name)
                || std::str::from_utf8(name).is_ok_and(|name| is_among(neighbours, name))
        };
        let mut lost = Vec::new();
        if headers.get_all(SET_COOKIE).iter().any(own) {
            let set: Vec<&[u8]> =
                headers.get_all(SET_COOKIE).iter().map(|value| cookie_name(value.as_bytes())).collect();
            lost.extend(neighbours.iter().filter(|name| set.contains(&name.as_bytes())).cloned());
            let kept: Vec<_> =
                headers.get_all(SET_COOKIE).iter().filter(|value| !own(value)).cloned().collect();
            headers.remove(SET_COOKIE);
            for value in kept {
                headers.append(SET_COOKIE, value);
            }
        }
        lost
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

/// The name under which a browser sends back what `Set-Cookie` says: a cookie without a name comes as its value alone, so that
/// `=ID=x` comes as `ID=x`.
fn cookie_name(value: &[u8]) -> &[u8] {
    let is_before = |byte: &u8| *byte == b'=' || byte.is_ascii_whitespace();
    let start = value.iter().position(|byte| !is_before(byte)).unwrap_or(value.len());
    let named = value.get(start..).unwrap_or_default();
    named.split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default().trim_ascii()
}

fn speaks_of_credentials(name: &HeaderName) -> bool {
    const OTHERS: [&str; 3] = ["authentication-info", "proxy-authentication-info", "persistent-auth"];
    matches!(*name, WWW_AUTHENTICATE | PROXY_AUTHENTICATE) || OTHERS.contains(&name.as_str())
}
