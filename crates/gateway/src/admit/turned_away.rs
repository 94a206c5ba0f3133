//! In whose words a head is refused that is not read to its end, or not for what it says.

use bytes::Bytes;
use countersign_auth::canonical::host::canonical_host;
use countersign_auth::canonical::path::CanonicalPath;
use countersign_auth::link::Sharing;
use countersign_auth::refusal::Refusal;
use http::header::HOST;
use http::{Response, request};

use super::response;
use super::seen::{below, here};
use crate::address::Peer;
use crate::gate::Gate;
use crate::log::Tail;

/// The refusal in the words of the API that the head is for; `None` if nobody can tell which one that is.
pub(super) fn words(
    gate: &Gate,
    head: &request::Parts,
    peer: &Peer,
    tail: &mut Tail,
    refusal: &Refusal,
) -> Option<Response<Bytes>> {
    let written = head.uri.path();
    // What is too long, or cut off in an escape, begins with the prefix of a place as it is written.
    let canonical = CanonicalPath::parse(written).ok();
    let path = canonical.as_ref().map_or(written, CanonicalPath::as_str);
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok()?),
        (None, _) => head.uri.authority().map(|authority| authority.as_str()).or_else(|| named(peer)),
        (Some(_), Some(_)) => return None,
    };
    let (mount, prefix) = match host {
        Some(host) => gate.find(peer.listener(), canonical_host(host).ok()?.name(), path)?,
        None => gate.find_whatever_host(peer.listener(), path)?,
    };
    tail.found(mount);
    if tail.is_read()
        && let Some(path) = &canonical
        && let Some(shown) = mount.api.loggable_unlocated(path.as_str(), below(path.as_str(), prefix))
    {
        tail.at_path(shown.into());
    }
    let here = here(gate, head, (path, prefix), peer.scheme, Sharing::Shared, gate.clock.now());
    let mut response = response(mount.api.refuse_at(None, refusal, &here));
    mount.cors.finish(mount.cors.asked_by(&head.headers).as_ref(), response.headers_mut());
    Some(response)
}

/// The host that the client asked for when it began TLS: it has come no further than to the request line.
fn named(peer: &Peer) -> Option<&str> {
    peer.connection.tls.as_ref()?.server_name.as_deref()
}
