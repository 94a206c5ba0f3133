//! The socket beside the store: one order or question per connection, one line each way.
//!
//! ```text
//! {"order":"accounts","kind":null}\n   ─▶
//!                                      ◀─   {"done":[...]}\n   or   {"error":"..."}\n
//! {"question":"phase"}\n               ─▶
//!                                      ◀─   {"done":{"phase":"stopping","left_millis":29000}}\n
//! ```

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::order::{Order, perform};
use crate::output::Failure;
use crate::wire::Identities;

/// An order is a few fields, a password of 4,096 bytes among them that may be six times as long in JSON, or objects that are
/// imported, which come in pieces (`cli/object.rs`).
const ORDER_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Lists of accounts may be long: a hundred thousand of them are 30 MB.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// An order waits for a password's turn at most, which takes seconds at the worst.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A million accounts are some minutes on a slow disk.
const LONG_ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// An order is written in one go, by a program on the same machine.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);

/// A gate answers at once how it stands; one that cannot is none that ends soon.
const PHASE_TIMEOUT: Duration = Duration::from_secs(5);

/// When the socket goes, whoever connected before is heard: within this time at the latest the system tells of him.
const LAST_CALL: Duration = Duration::from_millis(20);

/// Orders that were begun may take this long when a gate stops: a password's turn and a few writes.
const LAST_ORDERS: Duration = Duration::from_secs(10);

/// After the system could not hand over a connection, for want of a file descriptor say.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Who may do everything on a machine anyway.
const ROOT: u32 = 0;

/// What comes through the socket.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Order(Box<Order>),
    Question(Question),
}

/// What a gate can be asked about itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "kebab-case", deny_unknown_fields)]
enum Question {
    Phase,
}

/// What a gate does with the store that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub(super) enum Phase {
    /// It serves until somebody stops it.
    Serving,
    /// It lets what runs end, and lets the store go then.
    Stopping {
        /// Within so many milliseconds, but for what it has to write.
        left_millis: u64,
    },
}

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

/// What the gate behind a socket says of itself; `None` where nobody answers.
pub(super) async fn phase(socket: &Path) -> Option<Phase> {
    let stream = UnixStream::connect(socket).await.ok()?;
    match timeout(PHASE_TIMEOUT, exchange(stream, &Question::Phase)).await {
        Ok(Ok(Reply::Done(phase))) => Some(serde_json::from_value(phase).unwrap_or(Phase::Serving)),
        // It took its last orders just now.
        Ok(Err(_)) => None,
        // Of a version that does not know the question, or too busy to answer it: in any case somebody is there.
        Ok(Ok(Reply::Error(_))) | Err(_) => Some(Phase::Serving),
    }
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
    let patience = if matches!(order, Order::RevokeEverybody) { LONG_ANSWER_TIMEOUT } else { ANSWER_TIMEOUT };
    let answer = timeout(patience, exchange(stream, order));
    match answer.await.context("the gate did not answer")?? {
        Reply::Done(value) => Ok(Sent::Answered(value)),
        Reply::Error(message) => Err(Failure::Failed(anyhow!(message))),
    }
}

async fn exchange(stream: UnixStream, asked: &impl Serialize) -> anyhow::Result<Reply> {
    let (reader, mut writer) = stream.into_split();
    writer.write_all(&line(asked)?).await?;
    let mut answer = String::new();
    BufReader::new(reader.take(ANSWER_BYTES_MAX)).read_line(&mut answer).await?;
    serde_json::from_str(&answer).context("could not read the gate's answer")
}

fn line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The gate's end: takes orders until it is closed or dropped.
#[derive(Debug)]
pub(crate) struct Door {
    socket: PathBuf,
    told: Arc<Told>,
    task: tokio::task::JoinHandle<()>,
}

/// What the gate tells its door.
#[derive(Debug, Default)]
struct Told {
    /// When a gate that stops is done.
    stops: OnceLock<Instant>,
    closes: Notify,
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
        let told = Arc::new(Told::default());
        let desk = Desk { owner, told: Arc::clone(&told), identities, orders: JoinSet::new() };
        let task = tokio::spawn(desk.attend(listener));
        Ok(Self { socket, told, task })
    }

    /// Tells whoever asks from now on that the gate stops and is done within so long. Orders are taken as before: what
    /// still runs is to hear of a locked account.
    pub(crate) fn stops(&self, within: Duration) {
        let now = Instant::now();
        let _first = self.told.stops.set(now.checked_add(within).unwrap_or(now));
    }

    /// Takes no more orders, and waits for those that were given.
    pub(crate) async fn close(mut self) {
        let _ = fs::remove_file(&self.socket);
        self.told.closes.notify_one();
        if timeout(LAST_ORDERS, &mut self.task).await.is_err() {
            tracing::warn!("an order from the command line did not end in time and was given up");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Behind the door: who may come in, and the orders that are being carried out.
struct Desk {
    owner: u32,
    told: Arc<Told>,
    identities: Arc<Identities>,
    orders: JoinSet<()>,
}

impl Desk {
    async fn attend(mut self, listener: UnixListener) {
        let told = Arc::clone(&self.told);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.take(stream),
                    Err(error) => {
                        tracing::warn!(%error, "could not accept an order from the command line");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                },
                () = told.closes.notified() => break,
            }
        }
        while let Ok(Ok((stream, _))) = timeout(LAST_CALL, listener.accept()).await {
            self.take(stream);
        }
        while self.orders.join_next().await.is_some() {}
    }

    fn take(&mut self, stream: UnixStream) {
        while self.orders.try_join_next().is_some() {}
        // Between the socket's making and its permissions others could have connected.
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == ROOT) {
            tracing::warn!("somebody else tried to give an order on the command line's socket");
            return;
        }
        let (identities, told) = (Arc::clone(&self.identities), Arc::clone(&self.told));
        self.orders.spawn(async move {
            if let Err(error) = serve(stream, &identities, &told).await {
                tracing::warn!(%error, "could not take an order from the command line");
            }
        });
    }
}

async fn serve(stream: UnixStream, identities: &Identities, told: &Told) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut said = String::new();
    timeout(ORDER_TIMEOUT, BufReader::new(reader.take(ORDER_BYTES_MAX)).read_line(&mut said)).await??;
    let is_cut = !said.ends_with('\n') && u64::try_from(said.len()).is_ok_and(|read| read == ORDER_BYTES_MAX);
    let reply = match serde_json::from_str(&said) {
        Err(_) if is_cut => Reply::Error(format!(
            "the order is longer than the {ORDER_BYTES_MAX} bytes that a gate reads; give it in smaller pieces"
        )),
        Ok(Line::Order(order)) => match perform(identities, *order).await {
            Ok(value) => Reply::Done(value),
            Err(failure) => Reply::Error(failure.to_string()),
        },
        Ok(Line::Question(Question::Phase)) => Reply::Done(serde_json::to_value(told.phase())?),
        // The order itself may hold a password, and serde's message may repeat a part of it.
        Err(_) => Reply::Error(String::from("the gate cannot read this order; is it of another version?")),
    };
    writer.write_all(&line(&reply)?).await?;
    writer.shutdown().await
}

impl Told {
    fn phase(&self) -> Phase {
        let Some(end) = self.stops.get() else { return Phase::Serving };
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        Phase::Stopping { left_millis: u64::try_from(left).unwrap_or(u64::MAX) }
    }
}
