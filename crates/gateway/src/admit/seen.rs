//! What the rules see of the world, of the connection that a request came on, and of the place it arrived at.

use std::sync::Arc;

use countersign_auth::fields::Fields;
use countersign_auth::link::{Link, PeerCertificate, Sharing};
use countersign_auth::page::Pages;
use countersign_auth::recognize::Request;
use countersign_auth::render::Here;
use countersign_auth::serve::World;
use countersign_auth::time::Time;
use http::uri::PathAndQuery;
use http::{Version, request};

use crate::address::{Peer, Scheme};
use crate::gate::{ApiMount, Gate};
use crate::openings::Budget;

/// A request at the place where it arrived: all that the rules see of it but its body.
pub(super) struct Arrival<'g> {
    pub(super) gate: &'g Gate,
    pub(super) mount: &'g ApiMount,
    pub(super) peer: &'g Peer,
    /// Whether the connection is the client's own, as far as this API cares.
    pub(super) sharing: Sharing,
    pub(super) head: request::Parts,
    /// Canonical, with the prefix.
    pub(super) path: Arc<str>,
    /// Of the path, how much is the prefix.
    pub(super) prefix: &'g Arc<str>,
}

impl Arrival<'_> {
    /// The request, with what was read of its body.
    pub(super) fn request<'r>(&'r self, fields: Option<&'r Fields>, body: Option<&'r [u8]>) -> Request<'r> {
        Request {
            method: &self.head.method,
            path: self.path_below(),
            prefix: self.prefix,
            query: self.head.uri.query(),
            headers: &self.head.headers,
            address: self.peer.address,
            connection: self.peer.connection.address.ip(),
            certificate: self.certificate(),
            fields,
            link: self.link(),
            target: self.raw_target(),
            body,
            pages: self.pages(),
        }
    }

    /// What an answer is made for.
    pub(super) fn here(&self, now: Time) -> Here<'_> {
        here(self.gate, &self.head, (&self.path, self.prefix), self.peer.scheme, self.sharing, now)
    }

    /// The path below the prefix.
    pub(super) fn path_below(&self) -> &str {
        below(&self.path, self.prefix)
    }

    /// Which pages may use what a browser knows of its user.
    pub(super) fn pages(&self) -> Pages<'_> {
        Pages {
            scheme: self.peer.scheme.as_str(),
            trusted: self.mount.cors.trusted(),
            hosts: &self.mount.hosts,
        }
    }

    /// The target of the request line as it was sent. The absolute form, which clients send to proxies, is none that a
    /// proof could be for.
    fn raw_target(&self) -> Option<&str> {
        let head = &self.head;
        let is_absolute = head.version < Version::HTTP_2 && head.uri.scheme().is_some();
        if is_absolute { None } else { head.uri.path_and_query().map(PathAndQuery::as_str) }
    }

    /// The connection, where the API accepts something that belongs to connections.
    fn link(&self) -> Option<Link<'_>> {
        let negotiation = self.gate.negotiation.as_deref().filter(|_| self.mount.api.negotiates())?;
        let slot = match self.sharing {
            Sharing::Own => Some(self.peer.connection.slot()),
            Sharing::Shared => None,
        };
        let certificate = self.peer.connection.tls.as_ref().map(|tls| &tls.certificate);
        Some(Link { negotiation, slot, certificate })
    }

    /// The certificate of the connection's other end, while its authority is believed.
    fn certificate(&self) -> Option<&dyn PeerCertificate> {
        let client = self.peer.connection.tls.as_ref()?.client.as_ref()?;
        client.believed().is_up().then_some(client as &dyn PeerCertificate)
    }
}

/// What the rules may ask of the world.
pub(super) fn world<'w>(gate: &'w Gate, strangers: &'w Budget<'w>, now: Time) -> World<'w> {
    World { lookups: &*gate.lookups, operations: &*gate.operations, signer: &*gate.signer, strangers, now }
}

/// What an answer is made for: the request with this head, at a path with its prefix.
pub(super) fn here<'h>(
    gate: &'h Gate,
    head: &'h request::Parts,
    (path, prefix): (&'h str, &'h str),
    scheme: Scheme,
    sharing: Sharing,
    now: Time,
) -> Here<'h> {
    Here {
        lookups: &*gate.lookups,
        now,
        bytes_max: gate.limits.answer_bytes,
        prefix,
        secure: scheme == Scheme::Https,
        method: &head.method,
        headers: &head.headers,
        path,
        query: head.uri.query(),
        sharing,
    }
}

/// A path below its prefix.
pub(super) fn below<'p>(path: &'p str, prefix: &str) -> &'p str {
    path.strip_prefix(prefix).unwrap_or(path)
}
