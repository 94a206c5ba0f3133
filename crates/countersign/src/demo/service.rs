//! A small service behind the gate: an HTTP server of its own that believes nothing but the gate's assertion.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::keyring::{Caller, Keyring};
use crate::wire::ASSERTION_HEADER;

/// What the sample services take in is forms and small documents.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What a sample service does with a verified call; `None` where it has nothing of its own to say.
pub(crate) trait Sample: Send + Sync + 'static {
    /// Answers a call.
    fn answer(&self, call: &Call) -> Option<Answer>;
}

/// A call, with its caller verified.
#[derive(Debug)]
pub(crate) struct Call {
    /// As it came through the gate.
    pub(crate) method: Method,
    /// Percent-decoding is not needed for the paths of the samples.
    pub(crate) path: String,
    /// Decoded, in the order of the request.
    pub(crate) query: Vec<(String, String)>,
    /// All of them.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
    /// Whom the gate says it comes from.
    pub(crate) caller: Caller,
}

impl Call {
    /// The path in pieces, without empty ones.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// The first value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the caller would rather have `media` than any other; a plain reading that suits the samples.
    pub(crate) fn prefers(&self, media: &str) -> bool {
        let accept =
            self.headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        accept.split(',').next().is_some_and(|first| first.trim().starts_with(media))
    }

    /// What the caller calls this server, for links.
    pub(crate) fn host(&self) -> &str {
        let forwarded = self.headers.get("x-forwarded-host").or_else(|| self.headers.get(http::header::HOST));
        forwarded.and_then(|host| host.to_str().ok()).unwrap_or("localhost")
    }
}

/// What a sample service answers.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    media: &'static str,
    body: String,
}

impl Answer {
    /// JSON.
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self { status, headers: Vec::new(), media: "application/json", body: body.to_string() }
    }

    /// Anything else that has a body.
    pub(crate) fn text(status: StatusCode, media: &'static str, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), media, body: body.into() }
    }

    /// No body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), media: "", body: String::new() }
    }

    /// One more header.
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut body = self.body;
        // Whoever tries it at a terminal gets his prompt on a line of its own.
        if !body.is_empty() && !body.ends_with('\n') {
            body.push('\n');
        }
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status;
        let media = Some(self.media).filter(|media| !media.is_empty());
        let media = media.map(|media| (CONTENT_TYPE, media.to_owned()));
        for (name, value) in self.headers.into_iter().chain(media) {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// A sample service that runs; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a sample service on a port of its own, for assertions that are meant for `audience`.
///
/// # Errors
/// If no port is to be had.
pub(crate) async fn start(
    sample: Arc<dyn Sample>,
    audience: &str,
    keys: Arc<Keyring>,
) -> std::io::Result<Server> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let audience: Arc<str> = Arc::from(audience);
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (sample, audience, keys) = (Arc::clone(&sample), Arc::clone(&audience), Arc::clone(&keys));
            let service = service_fn(move |request| {
                let (sample, audience, keys) =
                    (Arc::clone(&sample), Arc::clone(&audience), Arc::clone(&keys));
                async move { Ok::<_, Infallible>(serve(request, &*sample, &audience, &keys).await) }
            });
            connections.spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Server { address, task })
}

async fn serve(
    request: Request<Incoming>,
    sample: &dyn Sample,
    audience: &str,
    keys: &Keyring,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let mut assertions = head.headers.get_all(ASSERTION_HEADER).iter();
    let caller = match (assertions.next().and_then(|value| value.to_str().ok()), assertions.next()) {
        (Some(assertion), None) => keys.verify(assertion, audience).await,
        (Some(_) | None, _) => Err(anyhow::anyhow!("not exactly one assertion")),
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => {
            tracing::warn!(
                upstream.audience = audience,
                error = format!("{error:#}"),
                "call without a good assertion"
            );
            let message = "this service answers through its gate only: no good Countersign-Assertion";
            return Answer::json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": message }))
                .into_response();
        }
    };
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Answer::json(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "body too large" }))
            .into_response();
    };
    let query = head.uri.query().unwrap_or("");
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: head.headers,
        body: body.to_bytes(),
        caller,
    };
    sample.answer(&call).unwrap_or_else(|| echo(&call)).into_response()
}

/// What the service was told: where it has nothing of its own to say, and for tests. No header's value is
/// repeated.
fn echo(call: &Call) -> Answer {
    let mut names: Vec<&str> = call.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let echo = json!({
        "method": call.method.as_str(),
        "path": call.path,
        "query": call.query,
        "headers": names,
        "body_bytes": call.body.len(),
        "claims": call.caller.claims(),
    });
    Answer::json(StatusCode::OK, &echo)
}
