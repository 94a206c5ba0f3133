//! The socket beside the store: one order per connection, one line each way.
//!
//! ```text
//! {"order":"accounts","kind":null}\n   ─▶
//!                                      ◀─   {"done":[...]}\n   or   {"error":"..."}\n
//! ```

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::order::{Order, perform};
use crate::output::Failure;
use crate::wire::Identities;

/// An order is a few fields; a password of 4,096 bytes may be six times as long in JSON.
const ORDER_BYTES_MAX: u64 = 64 * 1024;

/// Lists of accounts may be long: a hundred thousand of them are 30 MB.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// An order waits for a password's turn at most, which takes seconds at the worst.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Who may do everything on a machine anyway.
const ROOT: u32 = 0;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Done(Value),
    Error(String),
}

/// What became of an order.
pub(super) enum Sent {
    /// The gate carried it out.
    Answered(Value),
    /// No gate runs on this store.
    NobodyThere,
}

/// Whether a gate takes orders there.
pub(super) async fn is_answered(socket: &Path) -> bool {
    UnixStream::connect(socket).await.is_ok()
}

/// Gives an order to the gate behind a socket.
pub(super) async fn send(socket: &Path, order: &Order) -> Result<Sent, Failure> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(Sent::NobodyThere);
        }
        Err(error) => {
            return Err(anyhow!(error)
                .context(format!("could not reach the gate at {}", socket.display()))
                .into());
        }
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange(stream, order));
    match answer.await.context("the gate did not answer")?? {
        Reply::Done(value) => Ok(Sent::Answered(value)),
        Reply::Error(message) => Err(Failure::Failed(anyhow!(message))),
    }
}

async fn exchange(stream: UnixStream, order: &Order) -> anyhow::Result<Reply> {
    let (reader, mut writer) = stream.into_split();
    writer.write_all(&line(order)?).await?;
    let mut answer = String::new();
    BufReader::new(reader.take(ANSWER_BYTES_MAX)).read_line(&mut answer).await?;
    serde_json::from_str(&answer).context("could not read the gate's answer")
}

fn line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The gate's end: takes orders until it is dropped.
#[derive(Debug)]
pub(crate) struct Door {
    socket: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Door {
    /// Opens the socket. Whoever calls this holds the store, so that a socket that is there is a dead gate's.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub(crate) fn open(socket: PathBuf, identities: Arc<Identities>) -> io::Result<Self> {
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        let owner = fs::metadata(&socket)?.uid();
        let task = tokio::spawn(async move {
            let mut orders = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Between the two lines above others could have connected.
                if !stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == ROOT) {
                    tracing::warn!("somebody else tried to give an order on the command line's socket");
                    continue;
                }
                let identities = Arc::clone(&identities);
                orders.spawn(async move {
                    if let Err(error) = serve(stream, &identities).await {
                        tracing::warn!(%error, "could not take an order from the command line");
                    }
                });
                while orders.try_join_next().is_some() {}
            }
        });
        Ok(Self { socket, task })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.socket);
    }
}

async fn serve(stream: UnixStream, identities: &Identities) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut order = String::new();
    BufReader::new(reader.take(ORDER_BYTES_MAX)).read_line(&mut order).await?;
    let reply = match serde_json::from_str::<Order>(&order) {
        Ok(order) => match perform(identities, order).await {
            Ok(value) => Reply::Done(value),
            Err(failure) => Reply::Error(failure.to_string()),
        },
        // The order itself may hold a password, and serde's message may repeat a part of it.
        Err(_) => Reply::Error(String::from("the gate cannot read this order; is it of another version?")),
    };
    writer.write_all(&line(&reply)?).await?;
    writer.shutdown().await
}
