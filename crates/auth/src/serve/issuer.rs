//! Sends a browser to log in with a foreign issuer.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Call;
use crate::cookie::{Attributes, SameSite, ScriptAccess, Transport, set_cookie};
use crate::refusal::{Reason, Refusal};
use crate::render::Rendered;
use crate::scheme::code::{self, Browser, Way};

impl Call<'_> {
    /// The authentication request of OpenID Connect Core 1.0 section 3.1.2.1, by redirect.
    pub(super) async fn to_issuer(&self) -> Result<Rendered, Refusal> {
        let name = self.input("issuer").unwrap_or_default();
        let (lookups, now) = (self.world.lookups, self.world.now);
        let Some(terms) = lookups.login_terms(&self.api.name, name) else {
            return Err(Refusal::new(Reason::NotFound, "no issuer of that name logs people in here"));
        };
        let entrance = lookups.login_entrance(&self.api.name, name).await?;
        let cookie = code::cookie_for(&terms.redirect);
        let mut known = self.taken.cookies.iter().filter(|(own, _)| **own == *cookie);
        // Of two with one name nobody knows which is the browser's: it gets another.
        let known = known.next().filter(|_| known.next().is_none());
        let known = known.and_then(|(_, value)| Browser::parse(value.expose()));
        let way = Way { key: lookups.derivation_key(), api: &self.api.name, issuer: name };
        let departure = way.depart(known, &entrance.random, now, self.return_to());
        let departure = departure
            .ok_or_else(|| Refusal::new(Reason::Internal, "the state of a log-in cannot be sealed"))?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &terms.client)
            .append_pair("redirect_uri", &terms.redirect)
            .append_pair("scope", &terms.scope)
            .append_pair("state", &departure.state)
            .append_pair("nonce", &departure.nonce)
            .append_pair("code_challenge", &departure.challenge)
            .append_pair("code_challenge_method", "S256");
        // Whose session at the issuer is older than some route allows proves himself again.
        if let Some(ages) = self.api.ages() {
            query.append_pair("max_age", &ages.strictest.as_secs().to_string());
        }
        let query = query.finish();
        let joint = if entrance.endpoint.contains('?') { '&' } else { '?' };
        let unfit = |_| Refusal::new(Reason::Internal, "where the issuer logs people in fits in no header");
        let location =
            HeaderValue::try_from(format!("{}{joint}{query}", entrance.endpoint)).map_err(unfit)?;
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(SET_COOKIE, self.login_cookie(cookie, &terms.redirect, &departure.browser)?);
        Ok(Rendered { status: StatusCode::SEE_OTHER, phrase: None, headers, body: Bytes::new(), cause: None })
    }

    /// Sent along when the issuer sends the browser back, so never `Strict`.
    fn login_cookie(&self, name: &str, redirect: &str, browser: &Browser) -> Result<HeaderValue, Refusal> {
        let over_tls = code::returns_over_tls(redirect);
        let attributes = Attributes {
            path: "/",
            script: ScriptAccess::Hidden,
            same_site: Some(match self.api.same_site {
                Some(SameSite::None) if over_tls => SameSite::None,
                Some(SameSite::None | SameSite::Lax | SameSite::Strict) | None => SameSite::Lax,
            }),
            transport: if over_tls { Transport::TlsOnly } else { Transport::Any },
            max_age: Some(std::time::Duration::from_secs(code::LIFETIME_SECS.into())),
        };
        set_cookie(name, browser.expose(), &attributes)
            .map_err(|error| Refusal::new(Reason::Internal, error.to_string()))
    }
}
