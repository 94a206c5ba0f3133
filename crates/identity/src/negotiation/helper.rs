//! Runs the program that verifies NTLM in a domain: a few processes, each with one exchange at a time.
//!
//! Anybody begins an exchange with a message that proves nothing, and may leave it at that. So an address has a few of them,
//! and where there are no more the oldest one gives way that its client has not gone on with: whoever goes on does so within
//! moments.

mod seats;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_auth::port::Unavailable;
use countersign_auth::source::Source;
use countersign_negotiate::helper::{self, LINE_BYTES_MAX, Protocol, Reply};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use self::seats::{Place, Seat, Seats, Slot};

/// A domain that does not answer for so long is down.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// A client that leaves a challenge unanswered must not keep a process longer.
const EXCHANGE_TIME: Duration = Duration::from_secs(30);

/// Processes of one program and one protocol.
pub(crate) struct Helpers {
    program: PathBuf,
    arguments: Vec<String>,
    protocol: Protocol,
    idle: Mutex<Vec<Process>>,
    seats: Arc<Seats>,
}

struct Process {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Killed when it is dropped.
    _child: Child,
}

/// What the program said, in our words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The next token for the client, in base64.
    Token(String),
    /// The user, and perhaps a last token.
    Known { user: String, token: Option<String> },
    /// Why not.
    Refused(String),
}

/// An exchange, with the process that drives it.
pub(crate) struct Exchange {
    slot: Slot,
    helpers: Arc<Helpers>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.helpers.end(&self.slot);
    }
}

/// A process that waits for its client's next message.
struct Turn {
    process: Process,
    seat: Seat,
}

/// More exchanges are under way than there may be.
#[derive(Debug)]
pub(crate) struct Busy;

/// Why an exchange cannot be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its client took too long, or it gave way to one of another address.
    Expired,
    /// Another one of its own address has its process.
    GaveWay,
}

impl Helpers {
    pub(crate) fn new(program: &Path, arguments: &[String], protocol: Protocol) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            protocol,
            idle: Mutex::default(),
            seats: Arc::default(),
        }
    }

    /// Begins an exchange with the first message, in base64, of a client at an address.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        token: &str,
        address: IpAddr,
    ) -> Result<Result<(Said, Option<Exchange>), Busy>, Unavailable> {
        let slot = Slot::default();
        let Some((seat, given_way)) = self.seats.take(Source::of(address), &slot) else {
            return Ok(Err(Busy));
        };
        given_way.into_iter().for_each(|turn| self.rest(turn.process));
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let process = match idle {
            Some(process) => process,
            None => self.start()?,
        };
        let (said, process) = self.ask(process, helper::begin(token)).await?;
        if !matches!(said, Said::Token(_)) {
            self.rest(process);
            return Ok(Ok((said, None)));
        }
        put(&slot, Turn { process, seat });
        let (helpers, expiring) = (Arc::clone(self), Arc::clone(&slot));
        tokio::spawn(async move {
            tokio::time::sleep(EXCHANGE_TIME).await;
            helpers.end(&expiring);
        });
        Ok(Ok((said, Some(Exchange { slot, helpers: Arc::clone(self) }))))
    }

    /// Goes on with a client's next message.
    pub(crate) async fn go_on(
        &self,
        exchange: &Exchange,
        token: &str,
    ) -> Result<Result<Said, Lost>, Unavailable> {
        let Turn { process, seat } = match std::mem::take(&mut *locked(&exchange.slot)) {
            Place::Waits(turn) => *turn,
            Place::Nowhere => return Ok(Err(Lost::Expired)),
            Place::GaveWay => return Ok(Err(Lost::GaveWay)),
        };
        let (said, process) = self.ask(process, helper::go_on(token)).await?;
        if matches!(said, Said::Token(_)) {
            put(&exchange.slot, Turn { process, seat });
        } else {
            self.rest(process);
        }
        Ok(Ok(said))
    }

    /// An exchange that nobody went on with: its process is free for the next one, which begins anew.
    fn end(&self, slot: &Slot) {
        if let Some(turn) = take_out(slot, Place::Nowhere) {
            self.rest(turn.process);
        }
    }

    fn rest(&self, process: Process) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(process);
    }

    fn start(&self) -> Result<Process, Unavailable> {
        let failed = |what: &dyn std::fmt::Display| {
            Unavailable(format!("could not run {}: {what}", self.program.display()))
        };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(self.protocol.argument())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Process { input, output: BufReader::new(output), _child: child })
            }
            (_, _) => Err(failed(&"it has no pipes")),
        }
    }

    /// Writes a line and reads one. A process that fails at that is not used again; one that says that its domain fails is.
    async fn ask(&self, mut process: Process, line: String) -> Result<(Said, Process), Unavailable> {
        let failed =
            |what: &dyn std::fmt::Display| Unavailable(format!("{}: {what}", self.program.display()));
        let exchange = async {
            process.input.write_all(line.as_bytes()).await?;
            process.input.flush().await?;
            let mut answer = String::new();
            let bytes_max = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
            (&mut process.output).take(bytes_max).read_line(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = match tokio::time::timeout(ANSWER_TIME, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_elapsed) => return Err(failed(&"it did not answer in time")),
        };
        let Some(answer) = answer.strip_suffix('\n') else { return Err(failed(&"it ended")) };
        match helper::read(self.protocol, answer.trim_end_matches('\r')) {
            Reply::Token(token) => Ok((Said::Token(token.to_owned()), process)),
            Reply::Known { user, token } => {
                Ok((Said::Known { user: user.to_owned(), token: token.map(str::to_owned) }, process))
            }
            Reply::Refused(why) => Ok((Said::Refused(why.to_owned()), process)),
            Reply::Unclear(why) => {
                self.rest(process);
                Err(failed(&why))
            }
            Reply::Broken(why) => Err(failed(&why)),
        }
    }
}

fn put(slot: &Slot, turn: Turn) {
    *locked(slot) = Place::Waits(Box::new(turn));
}

/// Ends the exchange if it waits for its client, and leaves word of why.
fn take_out(slot: &Mutex<Place>, why: Place) -> Option<Turn> {
    let mut place = locked(slot);
    match std::mem::take(&mut *place) {
        Place::Waits(turn) => {
            *place = why;
            Some(*turn)
        }
        other @ (Place::Nowhere | Place::GaveWay) => {
            *place = other;
            None
        }
    }
}

fn locked(slot: &Mutex<Place>) -> MutexGuard<'_, Place> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
