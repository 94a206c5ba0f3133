//! What becomes of a request's head on its way: the hop's fields go, the gate's come.

use std::fmt::Write as _;

use countersign_auth::canonical::header_name::folds_to;
use http::header::{self, CONNECTION, EXPECT, FORWARDED, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{Extensions, HeaderMap, HeaderValue, Uri, Version, request, uri};
use http_body::Body as _;

use crate::address::{ForwardingFields, Peer};
use crate::admission::Upgrade;
use crate::body::Body;
use crate::gate::Gate;
use crate::hop;
use crate::upstream::Upstream;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Makes a head fit for an upstream. The order is a security rule (T-B5): what the client's hop nominates goes
/// first, then what only fronts and the gate may say, and the gate's own fields are set last.
pub(super) fn prepare(
    head: &mut request::Parts,
    body: &Body,
    set: HeaderMap,
    upstream: &Upstream,
    gate: &Gate,
    peer: &Peer,
    upgrade: Upgrade,
) {
    let headers = &mut head.headers;
    let trusted = peer.is_behind_front(&gate.fronts);
    // What a front said goes on where the upstream is told in the same words.
    let goes_on = |name: &str| {
        trusted
            && is_of(gate.fronts.fields, name)
            && upstream.forwarding.is_some_and(|told| is_of(told, name))
    };
    hop::strip_request(headers, |field| {
        let name = field.as_str();
        // The engine answers EXPECT towards the client, and sends the body without waiting towards the upstream.
        *field == EXPECT
            || gate.protected.covers(name)
            || hop::is_method_override(name)
            || set.keys().any(|own| own == field || folds_to(name, own.as_str()))
            || (hop::is_forwarding(name) && !goes_on(name))
    });
    match upgrade {
        Upgrade::WebSocket => {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        Upgrade::No if headers.contains_key(TE) => {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        Upgrade::No => {}
    }
    frame(headers, body);
    match upstream.forwarding {
        Some(ForwardingFields::XForwarded) => set_x_forwarded(headers, peer),
        Some(ForwardingFields::Forwarded) => set_forwarded(headers, peer),
        None => {}
    }
    headers.extend(set);
    head.uri = origin_form(std::mem::take(&mut head.uri));
    head.version = Version::HTTP_11;
    head.extensions = Extensions::new();
}

/// Whether `name` is of the family that fronts are believed in.
fn is_of(fields: ForwardingFields, name: &str) -> bool {
    match fields {
        ForwardingFields::XForwarded => name.starts_with("x-forwarded-"),
        ForwardingFields::Forwarded => name == "forwarded",
    }
}

/// One framing, the engine's. It assumes that GET and HEAD have no body unless the head says otherwise.
fn frame(headers: &mut HeaderMap, body: &Body) {
    match body {
        Body::Full(_) => {
            headers.remove(header::CONTENT_LENGTH);
        }
        Body::Streaming(incoming) => {
            if incoming.size_hint().exact().is_none() {
                headers.remove(header::CONTENT_LENGTH);
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
    }
}

fn set_x_forwarded(headers: &mut HeaderMap, peer: &Peer) {
    let own = &peer.connection.forwarded_for;
    let before = headers.get_all(X_FORWARDED_FOR).iter();
    let value = joined(before, own.as_bytes()).unwrap_or_else(|| own.clone());
    headers.insert(X_FORWARDED_FOR, value);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(peer.scheme.as_str()));
    // What a front said about the host stands; without a front, nothing is left here of what was said.
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

fn set_forwarded(headers: &mut HeaderMap, peer: &Peer) {
    let ip = peer.connection.address.ip();
    let mut element = match ip {
        std::net::IpAddr::V4(ip) => format!("for={ip}"),
        std::net::IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    };
    // `strict` left nothing in a host that a quoted string would have to escape.
    if let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) {
        let _infallible = write!(element, ";host=\"{host}\"");
    }
    let scheme = if peer.connection.tls.is_some() { "https" } else { "http" };
    let _infallible = write!(element, ";proto={scheme}");
    let value = joined(headers.get_all(FORWARDED).iter(), element.as_bytes())
        .or_else(|| HeaderValue::from_bytes(element.as_bytes()).ok());
    if let Some(value) = value {
        headers.insert(FORWARDED, value);
    }
}

/// The list `before` with `own` at its end; `None` if there is nothing before.
fn joined<'v>(before: impl Iterator<Item = &'v HeaderValue>, own: &[u8]) -> Option<HeaderValue> {
    let mut list = Vec::new();
    for value in before {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        return None;
    }
    list.extend_from_slice(own);
    HeaderValue::from_bytes(&list).ok()
}

/// Path and query alone (RFC 9112 section 3.2.1).
fn origin_form(target: Uri) -> Uri {
    if target.authority().is_none() {
        return target;
    }
    let mut parts = uri::Parts::default();
    parts.path_and_query =
        target.into_parts().path_and_query.or_else(|| Some(uri::PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}
