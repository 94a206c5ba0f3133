//! The administration listener: is it alive, is it ready, its counters, its public keys.
//!
//! It runs on the control plane's runtime and never on a core of the data plane, listens on loopback unless
//! somebody says otherwise (T-F8), and answers only to hosts that it knows, so that no web page can reach it by
//! letting its own name point here (T-E9). Nothing that it tells everybody is a secret; what services ask for with a
//! key of theirs is in [`calls`].

pub mod calls;
mod hosts;
mod patient;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Heads of monitoring systems are small; a slow one is no monitoring system.
const HEAD: Duration = Duration::from_secs(10);
/// Cookies of a browser that looks at the page included.
const HEAD_BYTES: usize = 16 * 1024;
/// Monitors, a console, a person or two; and services that call.
const CONNECTIONS: usize = 64;
/// Of these, connections on which services call; the others are for monitors. An orchestrator that is not answered takes the
/// gate for dead and starts it anew, and a service may call in as many threads as it has.
const CALLING: usize = 48;
/// An answer is taken as fast as the line goes, or by nobody.
const WRITE: Duration = Duration::from_secs(30);
/// After a failed `accept` (no descriptors left): a moment's rest.
const REST: Duration = Duration::from_millis(100);

use crate::administration::calls::{Calling, Calls};
use crate::administration::hosts::Hosts;
use crate::administration::patient::Patient;
use crate::listen::bind_alone;

/// A text that is made anew for each request.
pub type Text = Arc<dyn Fn() -> String + Send + Sync>;

/// Whether the gate can serve; see [`AdministrationOptions::ready`].
pub type Ready = Arc<dyn Fn() -> Result<Vec<String>, String> + Send + Sync>;

/// What the listener tells.
#[derive(Clone)]
pub struct AdministrationOptions {
    /// Where it listens. Whatever is not loopback should be behind a firewall.
    pub address: SocketAddr,
    /// Names and addresses that a `Host` field may hold, without ports; beside loopback's, and the address of this machine
    /// that a connection came in on.
    pub hosts: Vec<String>,
    /// Whether the gate can serve, with lines about what is not well and does not keep it from that; the error is for
    /// people.
    pub ready: Ready,
    /// The counters in the text form of OpenMetrics.
    pub metrics: Text,
    /// The key set that upstreams verify assertions with (RFC 7517).
    pub assertion_keys: Text,
    /// The key set of tokens that clients are given.
    pub token_keys: Text,
    /// Answers what services ask for.
    pub calls: Calls,
}

/// A running administration listener; dropping it stops it.
pub struct Administration {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Starts the listener on `runtime`.
///
/// # Errors
/// If the address cannot be bound.
pub fn start(runtime: &Handle, options: AdministrationOptions) -> io::Result<Administration> {
    start_with(runtime, options, Bounds { connections: CONNECTIONS, calling: CALLING, write: WRITE })
}

/// How many connections there is room for, on how many of them services call, and how long somebody may take nothing.
#[derive(Clone, Copy)]
struct Bounds {
    connections: usize,
    calling: usize,
    write: Duration,
}

/// Starts it with other bounds.
fn start_with(
    runtime: &Handle,
    options: AdministrationOptions,
    bounds: Bounds,
) -> io::Result<Administration> {
    let socket = bind_alone(options.address)?;
    let address = socket.local_addr()?;
    let _inside = runtime.enter();
    let listener = TcpListener::from_std(socket)?;
    let (stop, stopped) = watch::channel(false);
    let task = runtime.spawn(accept(listener, Arc::new(options), bounds, stopped));
    Ok(Administration { address, stop, task })
}

impl Administration {
    /// Where it listens, with the port that it really has.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking connections and waits until it has.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // The task ends by itself; an error would be its panic, which is already in the log.
        let _ended = self.task.await;
    }
}

async fn accept(
    listener: TcpListener,
    options: Arc<AdministrationOptions>,
    bounds: Bounds,
    mut stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    let calling = Arc::new(Semaphore::new(bounds.calling));
    let hosts = Arc::new(Hosts::new(options.hosts.clone()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The sender is gone or has spoken: both mean stop.
            _ = stopped.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                let (options, hosts, stopped) = (Arc::clone(&options), Arc::clone(&hosts), stopped.clone());
                let calling = Calling::new(&calling, peer.ip().to_canonical());
                tokio::spawn(async move {
                    let own = stream.local_addr().ok().map(|own| own.ip().to_canonical());
                    let stream = Patient::new(stream, bounds.write);
                    serve(stream, own, options, hosts, calling, stopped).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept an administration connection");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn serve(
    stream: Patient<TcpStream>,
    own: Option<IpAddr>,
    options: Arc<AdministrationOptions>,
    hosts: Arc<Hosts>,
    calling: Calling,
    mut stopped: watch::Receiver<bool>,
) {
    let calling = Arc::new(calling);
    let service = service_fn(move |request: Request<Incoming>| {
        let (options, hosts, calling) = (Arc::clone(&options), Arc::clone(&hosts), Arc::clone(&calling));
        async move {
            let response = if !hosts.know(request.headers(), request.version(), own) {
                text(StatusCode::MISDIRECTED_REQUEST, hosts.refuse(request.headers()))
            } else if let Some(body_bytes_max) = calls::body_bytes_max(request.uri().path()) {
                calls::answer(&options.calls, &calling, request, body_bytes_max).await
            } else {
                told(&options, &request)
            };
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %countersign_auth::causes::chain(&error), "an administration connection ended with an error");
    }
}

/// What is told to everybody.
fn told<B>(options: &AdministrationOptions, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/live" => text(StatusCode::OK, "alive\n".into()),
        "/ready" => match (options.ready)() {
            Ok(remarks) => {
                let lines = std::iter::once("ready".to_owned()).chain(remarks);
                text(StatusCode::OK, lines.map(|line| line + "\n").collect())
            }
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        "/metrics" => typed(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            (options.metrics)(),
        ),
        "/jwks/assertion" => typed(StatusCode::OK, "application/jwk-set+json", (options.assertion_keys)()),
        "/jwks/token" => typed(StatusCode::OK, "application/jwk-set+json", (options.token_keys)()),
        _ => text(StatusCode::NOT_FOUND, "/live /ready /metrics /jwks/assertion /jwks/token\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
