//! The names of headers that mean something to an API.

use http::HeaderName;

use super::Api;
use crate::dialect::place::Place;

impl Api {
    /// Headers that its clients send as credentials and CSRF proofs, and those that it passes as information.
    pub fn headers_read(&self) -> impl Iterator<Item = &HeaderName> {
        let parts =
            self.dialect.credentials.iter().flat_map(|rule| &rule.parts).flat_map(|part| &part.places);
        let proofs = self.dialect.csrf.iter().flat_map(|csrf| &csrf.places);
        let named = parts.chain(proofs).filter_map(Place::header).map(|(name, _)| name);
        let renamed = self.csrf_header.iter().map(|(name, _)| name);
        named.chain(renamed).chain(&self.dialect.passes)
    }

    /// Headers that its answers have by its dialect: of calls, refusals and stamps.
    pub fn headers_said(&self) -> impl Iterator<Item = &HeaderName> {
        let sites = || self.dialect.sites.items().chain(self.dialect.surface_sites.items());
        let calls =
            sites().filter_map(|site| site.endpoint.as_ref()).flat_map(|endpoint| &endpoint.answer.headers);
        let refusals = sites().flat_map(|site| site.refusals.headers());
        let stamps = self.dialect.stamps.items().flat_map(|stamp| &stamp.headers);
        calls.chain(stamps).map(|(name, _)| name).chain(refusals)
    }

    /// Header names that only the gate may set towards the upstream.
    pub fn identity_header_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.dialect.assertion.headers.iter().map(|(name, _)| name)
    }
}
