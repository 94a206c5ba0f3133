//! What a service behind the gate does first: verify `Countersign-Assertion` with the gate's public keys.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::wire::JWKS_PATH;

/// Unknown key ids make no more than one fetch in this time, or a flood of them would become one of fetches.
const FETCH_PAUSE: Duration = Duration::from_secs(1);

/// A fetch of keys takes milliseconds on one machine.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A key set of a few keys is under 2 KiB.
const KEYS_BYTES_MAX: usize = 64 * 1024;

/// The claims of a verified assertion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    claims: Map<String, Value>,
}

impl Caller {
    /// Who calls; `None` for an anonymous caller.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// A verified key such as the customer's number.
    pub(crate) fn key(&self, name: &str) -> Option<&str> {
        self.claims.get("keys")?.get(name)?.as_str()
    }

    /// Whether the gate checked that the caller may use this object.
    pub(crate) fn may_use(&self, kind: &str, id: &str) -> bool {
        let ids = self.claims.get("objects").and_then(|objects| objects.get(kind)).and_then(Value::as_array);
        ids.is_some_and(|ids| ids.iter().any(|own| own.as_str() == Some(id)))
    }

    /// For people to read; the subject if there is nothing better.
    pub(crate) fn name(&self) -> &str {
        self.text("name").or(self.subject()).unwrap_or("")
    }

    /// All that the gate said.
    pub(crate) const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

/// The gate's public keys, fetched when they are needed.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    administration: OnceLock<SocketAddr>,
    keys: Mutex<Fetched>,
}

#[derive(Debug, Default)]
struct Fetched {
    set: Option<Arc<JwkSet>>,
    at: Option<Instant>,
}

impl Keyring {
    /// Says where the gate publishes its keys; only the first word counts.
    pub(crate) fn publish(&self, administration: SocketAddr) {
        let _ = self.administration.set(administration);
    }

    /// Verifies an assertion that is meant for `audience`.
    ///
    /// # Errors
    /// If it is malformed, expired, for somebody else, not signed by the gate, or the keys cannot be had.
    pub(crate) async fn verify(&self, assertion: &str, audience: &str) -> anyhow::Result<Caller> {
        let header =
            jsonwebtoken::decode_header(assertion).context("could not read the assertion's header")?;
        let kid = header.kid.ok_or_else(|| anyhow!("the assertion names no key"))?;
        let key = self.key(&kid).await?;
        // The key decides the algorithm, never the header of what it is to verify.
        let algorithm = key.common.key_algorithm.ok_or_else(|| anyhow!("key {kid} names no algorithm"))?;
        let algorithm =
            algorithm.to_string().parse().with_context(|| format!("key {kid} is not for signatures"))?;
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        validation.leeway = 0;
        let key = DecodingKey::from_jwk(&key).with_context(|| format!("could not use key {kid}"))?;
        let verified = jsonwebtoken::decode::<Map<String, Value>>(assertion, &key, &validation)
            .context("could not verify the assertion")?;
        Ok(Caller { claims: verified.claims })
    }

    async fn key(&self, kid: &str) -> anyhow::Result<Jwk> {
        let mut fetched = self.keys.lock().await;
        if let Some(key) = fetched.set.as_ref().and_then(|set| set.find(kid)) {
            return Ok(key.clone());
        }
        if fetched.at.is_none_or(|at| at.elapsed() >= FETCH_PAUSE) {
            fetched.at = Some(Instant::now());
            let administration =
                *self.administration.get().ok_or_else(|| anyhow!("the gate is not up yet"))?;
            let body = tokio::time::timeout(FETCH_TIMEOUT, fetch(administration, JWKS_PATH)).await??;
            let set: JwkSet = serde_json::from_slice(&body).context("could not read the gate's keys")?;
            fetched.set = Some(Arc::new(set));
        }
        let found = fetched.set.as_ref().and_then(|set| set.find(kid));
        found.cloned().ok_or_else(|| anyhow!("the gate has no key {kid}"))
    }
}

/// GETs a path of a server on this machine.
async fn fetch(from: SocketAddr, path: &str) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(from).await.with_context(|| format!("could not reach {from}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request =
        hyper::Request::get(path).header(hyper::header::HOST, from.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body =
        Limited::new(answer.into_body(), KEYS_BYTES_MAX).collect().await.map_err(|error| anyhow!(error))?;
    driver.abort();
    if !status.is_success() {
        bail!("{from} answered {status} for {path}");
    }
    Ok(body.to_bytes())
}
