//! What the rules see of the world, of the connection that a request came on, and of the place it arrived at.

use countersign_auth::link::{Link, PeerCertificate, Sharing};
use countersign_auth::page::Pages;
use countersign_auth::render::Here;
use countersign_auth::serve::World;
use countersign_auth::time::Time;
use http::uri::PathAndQuery;
use http::{Version, request};

use crate::address::{Peer, Scheme};
use crate::gate::{ApiMount, Gate};
use crate::openings::Budget;

/// The target of the request line as it was sent. The absolute form, which clients send to proxies, is none that a
/// proof could be for.
pub(super) fn raw_target(head: &request::Parts) -> Option<&str> {
    let is_absolute = head.version < Version::HTTP_2 && head.uri.scheme().is_some();
    if is_absolute { None } else { head.uri.path_and_query().map(PathAndQuery::as_str) }
}

/// What the rules may ask of the world.
pub(super) fn world<'w>(gate: &'w Gate, strangers: &'w Budget<'w>, now: Time) -> World<'w> {
    World { lookups: &*gate.lookups, operations: &*gate.operations, signer: &*gate.signer, strangers, now }
}

/// Which pages may use what a browser knows of its user.
pub(super) fn pages<'p>(mount: &'p ApiMount, peer: &Peer) -> Pages<'p> {
    Pages { scheme: peer.scheme.as_str(), trusted: mount.cors.trusted() }
}

/// The connection, where the API accepts something that belongs to connections.
pub(super) fn link<'l>(
    gate: &'l Gate,
    mount: &ApiMount,
    peer: &'l Peer,
    sharing: Sharing,
) -> Option<Link<'l>> {
    let negotiation = gate.negotiation.as_deref().filter(|_| mount.api.negotiates())?;
    let slot = match sharing {
        Sharing::Own => Some(peer.connection.slot()),
        Sharing::Shared => None,
    };
    let certificate = peer.connection.tls.as_ref().map(|tls| &tls.certificate);
    Some(Link { negotiation, slot, certificate })
}

/// The certificate of the connection's other end, while its authority is believed.
pub(super) fn certificate(peer: &Peer) -> Option<&dyn PeerCertificate> {
    let client = peer.connection.tls.as_ref()?.client.as_ref()?;
    client.believed().is_up().then_some(client as &dyn PeerCertificate)
}

pub(super) fn here<'h>(
    gate: &'h Gate,
    head: &'h request::Parts,
    path: &'h str,
    prefix: &'h str,
    peer: &Peer,
    now: Time,
    sharing: Sharing,
) -> Here<'h> {
    Here {
        lookups: &*gate.lookups,
        now,
        bytes_max: gate.limits.answer_bytes,
        prefix,
        secure: peer.scheme == Scheme::Https,
        method: &head.method,
        headers: &head.headers,
        path,
        query: head.uri.query(),
        sharing,
    }
}
