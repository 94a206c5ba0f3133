//! What becomes of a request's head on its way: the hop's fields go, the gate's come.

use std::fmt::Write as _;
use std::net::IpAddr;

use countersign_auth::canonical::header_name::folds_to;
use http::header::{self, CONNECTION, EXPECT, FORWARDED, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri, Version, request, uri};
use http_body::Body as _;

use crate::address::{ForwardingFields, Peer, Scheme};
use crate::admission::Upgrade;
use crate::body::Body;
use crate::gate::{ApiIndex, Gate};
use crate::hop;
use crate::upstream::Upstream;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Makes a head fit for an upstream. The order is a security rule (T-B5): what the client's hop nominates goes
/// first, then what only fronts and the gate may say, and the gate's own fields are set last.
#[expect(clippy::too_many_arguments, reason = "each is a part of the admission that ends here")]
pub(super) fn prepare(
    head: &mut request::Parts,
    body: &Body,
    set: HeaderMap,
    api: ApiIndex,
    upstream: &Upstream,
    gate: &Gate,
    peer: &Peer,
    upgrade: Upgrade,
) {
    let headers = &mut head.headers;
    let own_meaning = gate.api(api).map_or(&[][..], |mount| &mount.own_meaning);
    hop::strip_request(headers, |field| {
        let name = field.as_str();
        // The engine answers EXPECT towards the client, of HTTP/2 with nothing (see `http2_builder`), and sends the body
        // without waiting towards the upstream.
        *field == EXPECT
            || gate.protected.covers(name)
            || hop::is_method_override(name)
            || set.keys().any(|own| own == field || folds_to(name, own.as_str()))
            || (hop::is_forwarding(name) && !own_meaning.contains(field))
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
    frame(headers, &head.method, body);
    match upstream.forwarding {
        Some(ForwardingFields::XForwarded) => set_x_forwarded(headers, peer),
        Some(ForwardingFields::Forwarded) => set_forwarded(headers, peer),
        None => {}
    }
    headers.extend(set);
    if let Some(name) = &gate.request_id {
        headers.insert(name, peer.request.field());
    }
    head.uri = origin_form(std::mem::take(&mut head.uri));
    head.version = Version::HTTP_11;
    head.extensions = Extensions::new();
}

/// One framing, the engine's. It assumes that GET and HEAD have no body unless the head says otherwise, and does not say
/// that there is none where one is expected (RFC 9110 section 8.6): servers answer 411 to that.
fn frame(headers: &mut HeaderMap, method: &Method, body: &Body) {
    match body {
        Body::Streaming(inbound) if !body.is_empty() => {
            if inbound.size_hint().exact().is_none() {
                headers.remove(header::CONTENT_LENGTH);
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        _ if body.is_empty() && expects_content(method) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Body::Streaming(_) | Body::Full(_) => {
            headers.remove(header::CONTENT_LENGTH);
        }
    }
}

/// Whether requests of this method have content as a rule. What is not known does not say that it has none.
fn expects_content(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE | Method::TRACE)
}

/// The service is told what was decided, and nothing of what was said: a front may pass on what its clients wrote into
/// fields that it does not set itself (T-B1, T-A10).
fn set_x_forwarded(headers: &mut HeaderMap, peer: &Peer) {
    let own = &peer.connection.forwarded_for;
    headers.insert(X_FORWARDED_FOR, hops_before(peer, own).unwrap_or_else(|| own.clone()));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(peer.scheme.as_str()));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// The addresses that are believed with `own` at their end; `None` if there are none.
fn hops_before(peer: &Peer, own: &HeaderValue) -> Option<HeaderValue> {
    if peer.hops.is_empty() {
        return None;
    }
    let mut list = String::new();
    for hop in &peer.hops {
        let _infallible = write!(list, "{hop}, ");
    }
    list.push_str(own.to_str().ok()?);
    HeaderValue::try_from(list).ok()
}

/// The same in one field: of the first hop, how the client spoke and to whom; of the last, how the connection speaks.
fn set_forwarded(headers: &mut HeaderMap, peer: &Peer) {
    let connection = if peer.connection.tls.is_some() { Scheme::Https } else { Scheme::Http };
    // `strict` left nothing in a host that a quoted string would have to escape.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let mut field = String::new();
    let last = [peer.connection.address.ip()];
    let hops = peer.hops.iter().chain(&last);
    for (place, hop) in hops.enumerate() {
        let separator = if place == 0 { "" } else { ", " };
        let _infallible = match hop {
            IpAddr::V4(ip) => write!(field, "{separator}for={ip}"),
            IpAddr::V6(ip) => write!(field, "{separator}for=\"[{ip}]\""),
        };
        let scheme = match place {
            0 => peer.scheme,
            _ if place == peer.hops.len() => connection,
            _ => continue,
        };
        if let Some(host) = host {
            let _infallible = write!(field, ";host=\"{host}\"");
        }
        let _infallible = write!(field, ";proto={}", scheme.as_str());
    }
    if let Ok(value) = HeaderValue::try_from(field) {
        headers.insert(FORWARDED, value);
    }
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
