//! `countersign serve`, and what every command that runs a gate has in common.

mod first;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, Loaded, Mistake};
use crate::control;
use crate::logging;
use crate::output::{Failure, Output};
use crate::wire::{self, Identities, Running};

/// Threads of the control plane: stores, keys, metrics. Passwords have a pool of their own.
const CONTROL_THREADS: usize = 2;

/// What was to be written is waited for before; what is left is torn down in a moment, or asks a resolver that does not
/// answer for the name of an issuer or a directory, and would for minutes.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Runs the gate that a configuration describes, until it is told to stop.
///
/// # Errors
/// If the configuration asks for what cannot be, or something cannot be opened or bound.
pub(crate) fn serve(loaded: &Loaded, output: Output) -> Result<(), Failure> {
    let mistakes = wire::problems_at_start(loaded);
    if !mistakes.is_empty() {
        return Err(Failure::Mistakes(mistakes));
    }
    let config::Log { format, level, access, request_id: _ } = &loaded.config.log;
    let level = if *access { level.clone() } else { format!("{level},access=off") };
    let log = logging::start(*format, &level)?;
    on_control_plane(async {
        let mut signals = Signals::listen()?;
        let Some(identities) = take_store(loaded, &mut signals, OnHangup::Reload).await? else {
            return Ok(());
        };
        // Whoever cannot be started makes nobody: the password would be said to whom it does not help.
        let running = wire::start(loaded, &identities, &log).await?;
        first::administrator(loaded, &identities, output).await?;
        let door = take_orders(loaded, &identities)?;
        announce(&running);
        until_stopped(loaded, &identities, (running, door), signals, OnHangup::Reload).await
    })
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnHangup {
    /// The configuration is read again.
    Reload,
    /// The terminal is gone, and so is whoever started this.
    Stop,
}

/// Takes the store; `None` if the process is asked to stop while it waits for another gate that is stopping on it.
///
/// # Errors
/// If it cannot be opened, or a gate serves on with it.
pub(crate) async fn take_store(
    loaded: &Loaded,
    signals: &mut Signals,
    on_hangup: OnHangup,
) -> Result<Option<Arc<Identities>>, Failure> {
    tokio::select! {
        taken = control::take_store(loaded) => Ok(Some(Arc::new(taken?))),
        () = signals.stop(on_hangup) => Ok(None),
    }
}

/// Says in the log where the gate listens.
pub(crate) fn announce(running: &Running) {
    for (name, address) in &running.listeners {
        tracing::info!(listener.name = %name, listener.address = %address, "listening for clients");
    }
    tracing::info!(listener.address = %running.administration, "listening for administration");
}

/// Takes orders from the command line from now on. To be called before anybody is told that the gate runs: whoever
/// waits for that may give one at once.
///
/// # Errors
/// If the socket cannot be made.
pub(crate) fn take_orders(loaded: &Loaded, identities: &Arc<Identities>) -> Result<control::Door, Failure> {
    let socket = control::socket_of(loaded);
    let door = control::Door::open(socket.clone(), Arc::clone(identities));
    Ok(door.with_context(|| format!("could not listen for orders at {}", socket.display()))?)
}

/// Runs until the process is asked to stop, then stops the gate.
///
/// # Errors
/// If what waits to be written cannot be.
pub(crate) async fn until_stopped(
    loaded: &Loaded,
    identities: &Arc<Identities>,
    (mut running, door): (Running, control::Door),
    mut signals: Signals,
    on_hangup: OnHangup,
) -> Result<(), Failure> {
    let mut newer: Option<Loaded> = None;
    while signals.next(on_hangup).await == Asked::Reload {
        if let Some(taken) = reload(newer.as_ref().unwrap_or(loaded), &mut running, identities).await {
            newer = Some(taken);
        }
    }
    tracing::info!("stopping: no new connections, what runs may end");
    door.stops(running.stops_within());
    running.stop().await;
    door.close().await;
    identities.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Reads the configuration of a running gate again. What is wrong with it is logged, and the running one stays.
async fn reload(before: &Loaded, running: &mut Running, identities: &Arc<Identities>) -> Option<Loaded> {
    let read = Loaded::read(&before.file).map_err(Failure::Mistakes);
    let failure = match read {
        Ok(after) => match running.reload(before, &after, identities).await {
            Ok(()) => {
                tracing::info!(config.file = %after.file.display(), "took the configuration anew");
                return Some(after);
            }
            Err(failure) => failure,
        },
        Err(failure) => failure,
    };
    match failure {
        Failure::Mistakes(mistakes) => {
            for Mistake { file, line, key, message, hint } in mistakes {
                let hint = hint.unwrap_or_default();
                tracing::error!(config.file = %file, config.line = line, config.key = %key, config.hint = %hint, "{message}");
            }
        }
        failure @ (Failure::Usage(_) | Failure::Failed(_)) => {
            tracing::error!(error = %failure, "could not take the configuration anew")
        }
    }
    tracing::error!(config.file = %before.file.display(), "the configuration was not taken; the gate runs on as it was");
    None
}

/// Runs a gate on a control plane of its own.
///
/// # Errors
/// Those of the gate, and if the threads cannot be started.
pub(crate) fn on_control_plane<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT_BEHIND);
    done
}

/// Runs one piece of work of a command that ends by itself.
///
/// # Errors
/// Those of the work.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// SIGTERM, SIGINT and SIGHUP, listened to from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

impl Signals {
    /// Begins to listen, so that a signal during the start is not lost.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until somebody asks the process to stop; what else is asked for meanwhile is kept.
    async fn stop(&mut self, on_hangup: OnHangup) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv(), if on_hangup == OnHangup::Stop => {}
        }
    }

    /// Waits until somebody asks the process for something.
    async fn next(&mut self, on_hangup: OnHangup) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => match on_hangup {
                OnHangup::Reload => Asked::Reload,
                OnHangup::Stop => Asked::Stop,
            },
        }
    }
}
