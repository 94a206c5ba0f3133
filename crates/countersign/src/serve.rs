//! `countersign serve`, and what every command that runs a gate has in common.

use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, Loaded};
use crate::control;
use crate::logging;
use crate::output::{Failure, Output};
use crate::wire::{self, FirstAdministrator, Identities, Running};

/// Threads of the control plane: stores, keys, metrics. Passwords have a pool of their own.
const CONTROL_THREADS: usize = 2;

/// Runs the gate that a configuration describes, until it is told to stop.
///
/// # Errors
/// If the configuration asks for what cannot be, or something cannot be opened or bound.
pub(crate) fn serve(loaded: &Loaded, output: Output) -> Result<(), Failure> {
    let mistakes = wire::problems(loaded);
    if !mistakes.is_empty() {
        return Err(Failure::Mistakes(mistakes));
    }
    let config::Log { format, level, access } = &loaded.config.log;
    let level = if *access { level.clone() } else { format!("{level},access=off") };
    let log = logging::start(*format, &level)?;
    control_plane()?.block_on(async {
        let signals = Signals::listen()?;
        let identities = Arc::new(Identities::open(loaded).await?);
        if let Some(first) = identities.ensure_administrator().await? {
            output.answer(&first, |first| {
                let FirstAdministrator { user, password } = first;
                format!(
                    "The first administrator is made: user {user} with password {password}   (shown only now)"
                )
            })?;
        }
        let running = wire::start(loaded, &identities, log.access()).await?;
        announce(&running);
        until_stopped(loaded, &identities, running, signals).await
    })
}

/// Says in the log where the gate listens.
pub(crate) fn announce(running: &Running) {
    for (name, address) in &running.listeners {
        tracing::info!(listener.name = %name, listener.address = %address, "listening for clients");
    }
    tracing::info!(listener.address = %running.administration, "listening for administration");
}

/// Takes orders from the command line until the process is asked to stop, then stops the gate.
///
/// # Errors
/// If orders cannot be taken, or what waits to be written cannot be.
pub(crate) async fn until_stopped(
    loaded: &Loaded,
    identities: &Arc<Identities>,
    running: Running,
    signals: Signals,
) -> Result<(), Failure> {
    let socket = control::socket_of(loaded);
    let door = control::Door::open(socket.clone(), Arc::clone(identities))
        .with_context(|| format!("could not listen for orders at {}", socket.display()))?;
    signals.stop_asked().await;
    tracing::info!("stopping: no new connections, what runs may end");
    drop(door);
    running.stop().await;
    identities.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// The runtime of the control plane.
///
/// # Errors
/// If its threads cannot be started.
pub(crate) fn control_plane() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
}

/// Runs one piece of work of a command that ends by itself.
///
/// # Errors
/// Those of the work.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// SIGTERM and SIGINT, listened to from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to listen, so that a signal during the start is not lost.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits until somebody asks the process to stop.
    pub(crate) async fn stop_asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
