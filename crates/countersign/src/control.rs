//! How the command line reaches a gate that runs.
//!
//! A gate is the only one who works with its store, since its memory is the truth for whoever asks it. So
//! `user`, `key` and `session` commands hand their orders to the gate, through a socket beside the store that
//! only the store's owner can open; where no gate runs they open the store themselves. Either way
//! `perform` does the work. A gate that stops takes orders until what runs has ended, and says so to the next gate,
//! which waits for it. A gate that has just taken its store, or is about to leave it, is waited for by everybody.

mod order;
mod socket;

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_identity::store::StoreError;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

pub(crate) use order::Order;
pub(crate) use socket::Door;

use crate::config::Loaded;
use crate::output::Failure;
use crate::wire::{Identities, store_file};
use socket::Phase;

/// Gives an order to the gate that runs on a configuration's store, or carries it out on the store itself.
///
/// # Errors
/// If the order is refused, or neither gate nor store can be reached.
pub(crate) async fn give<T: DeserializeOwned>(loaded: &Loaded, order: Order) -> Result<T, Failure> {
    give_within(PATIENCE, loaded, order).await
}

async fn give_within<T: DeserializeOwned>(
    patience: Duration,
    loaded: &Loaded,
    order: Order,
) -> Result<T, Failure> {
    let until = Instant::now() + patience;
    let identities = loop {
        if let socket::Sent::Answered(value) = socket::send(&socket_of(loaded), &order).await? {
            return Ok(serde_json::from_value(value)?);
        }
        match Identities::open(loaded).await {
            Ok(identities) => break identities,
            Err(Failure::Failed(error)) if is_taken(&error) && Instant::now() < until => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(AGAIN).await;
    };
    // Nobody is let in meanwhile, so that what ends can be counted first. A gate ends it first.
    if matches!(order, Order::Revoke { .. }) {
        identities.tokens_loaded().await;
    }
    let value = order::perform(&identities, order).await;
    identities.close().await?;
    Ok(serde_json::from_value(value?)?)
}

/// Opens the store for a gate. A command that works with it is waited for, and a gate that stops, for as long as that
/// says it may take; a gate that serves on is not.
///
/// # Errors
/// If it cannot be opened.
pub(crate) async fn take_store(loaded: &Loaded) -> Result<Identities, Failure> {
    take_store_within(PATIENCE, loaded).await
}

async fn take_store_within(patience: Duration, loaded: &Loaded) -> Result<Identities, Failure> {
    let began = Instant::now();
    let mut until = began + patience;
    let mut stops = false;
    loop {
        let taken = match Identities::open(loaded).await {
            Err(Failure::Failed(error)) if is_taken(&error) => error,
            opened => return opened,
        };
        match socket::phase(&socket_of(loaded)).await {
            Some(Phase::Serving) if began.elapsed() > SIGNAL => return Err(Failure::Failed(taken)),
            Some(Phase::Stopping { left_millis }) if !stops => {
                stops = true;
                let left = Duration::from_millis(left_millis);
                until = until.max(Instant::now().checked_add(left + patience).unwrap_or(until));
                tracing::warn!(
                    store = %store_file(loaded).display(),
                    wait.secs = left.as_secs_f64().ceil(),
                    "another gate is stopping on the store; waiting until what runs there has ended"
                );
            }
            Some(Phase::Serving | Phase::Stopping { .. }) | None => {}
        }
        if Instant::now() >= until {
            let late = "the gate that stops on the store did not let it go in time";
            return Err(Failure::Failed(if stops { taken.context(late) } else { taken }));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether another process has the store: a gate, or a command like this one.
fn is_taken(error: &anyhow::Error) -> bool {
    matches!(error.root_cause().downcast_ref(), Some(StoreError::Taken))
}

/// A gate takes its store first and orders last; a gate that has stopped does it the other way round. A million sessions
/// and the first administrator are seconds at the worst, and so is what waits to be written.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whoever stops one gate and starts another may be here before the first has noticed.
const SIGNAL: Duration = Duration::from_millis(500);

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(50);

/// Where the socket of a store is: beside it.
pub(crate) fn socket_of(loaded: &Loaded) -> PathBuf {
    beside(&store_file(loaded), "sock")
}

/// What is wrong with the place of the socket: systems take short paths alone for one.
pub(crate) fn problem(loaded: &Loaded) -> Option<String> {
    let socket = socket_of(loaded);
    let error = std::os::unix::net::SocketAddr::from_pathname(&socket).err()?;
    Some(format!("no socket can be made at {}: {error}; a shorter path would do", socket.display()))
}

/// A file beside the store, called like it and this behind a dot.
pub(crate) fn beside(store: &Path, ending: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use countersign_auth::secret::Secret;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::record::{Account, NewAccount, Whose};

    /// Longer than anything here takes, on a machine that has other things to do.
    const MINUTE: Duration = Duration::from_secs(60);

    fn loaded(folder: &Path) -> Loaded {
        let text = format!(
            "[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n[[api]]\nname = \"one\"\ndialect = \"{}\"\n\
             at = [\"/\"]\nupstream = \"http://127.0.0.1:9\"\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n",
            crate::dialects::EMBEDDED.first().unwrap().name
        );
        Loaded::parse(Path::new("c.toml"), folder, &text).unwrap()
    }

    fn add(name: &str) -> Order {
        let account = NewAccount {
            whose: Whose { kind: String::from("users"), name: name.to_owned() },
            subject: None,
            first_name: String::from("Ann"),
            last_name: String::from("Example"),
            email: String::new(),
            tenant: None,
            roles: vec![String::from("agent")],
            keys: std::collections::BTreeMap::new(),
            weaker: Vec::new(),
        };
        Order::AddAccount { account, password: Some(Secret::new("a long enough pass")) }
    }

    async fn names(loaded: &Loaded) -> Vec<String> {
        let accounts: Vec<Account> =
            give(loaded, Order::Accounts { kind: None }).await.unwrap_or_else(|error| panic!("{error}"));
        accounts.into_iter().map(|account| account.whose.name).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn orders_reach_the_store_whether_a_gate_runs_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let loaded = loaded(folder.path());
        let () = give(&loaded, add("ann")).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(names(&loaded).await, ["ann"]);

        let identities = Arc::new(Identities::open(&loaded).await.unwrap_or_else(|error| panic!("{error}")));
        // The store is taken and nobody answers: the order is refused, not carried out beside the gate.
        let accounts = Order::Accounts { kind: None };
        let taken = give_within::<Vec<Account>>(Duration::ZERO, &loaded, accounts).await;
        let taken = taken.err().unwrap().to_string();
        assert!(taken.contains("another gate runs on the store"), "{taken}");
        // A gate that is about to take orders is waited for.
        let loaded_again = self::loaded(folder.path());
        let socket = socket_of(&loaded);
        let waits = tokio::spawn(async move {
            let given =
                give_within::<()>(MINUTE, &loaded, add("ben")).await.map_err(|error| error.to_string());
            (loaded, given)
        });
        tokio::task::yield_now().await;
        let door = Door::open(socket.clone(), Arc::clone(&identities)).unwrap();
        let taken = take_store(&loaded_again).await.err().unwrap().to_string();
        assert!(
            taken.contains("another gate runs on the store"),
            "a gate that serves on is not waited for: {taken}"
        );
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let (loaded, given) = waits.await.unwrap();
        assert_eq!(given, Ok(()));
        assert_eq!(names(&loaded).await, ["ann", "ben"]);
        assert_eq!(identities.accounts(None).await.unwrap_or_else(|error| panic!("{error}")).len(), 2);
        let again = give::<()>(&loaded, add("BEN")).await.err().unwrap().to_string();
        assert!(again.contains("users has an account called `BEN` already"), "{again}");

        // One that stops is, but not for ever.
        door.stops(Duration::ZERO);
        let late = take_store_within(Duration::ZERO, &loaded_again).await.err().unwrap().to_string();
        assert!(late.contains("did not let it go in time"), "{late}");
        // It takes orders to its end, and is waited for by the next one.
        let next = tokio::spawn(async move {
            let next =
                take_store_within(MINUTE, &loaded_again).await.unwrap_or_else(|error| panic!("{error}"));
            next.close().await.unwrap_or_else(|error| panic!("{error}"));
        });
        assert_eq!(names(&loaded).await, ["ann", "ben"]);
        // Whoever has come in by then is heard.
        let mut last = tokio::net::UnixStream::connect(&socket).await.unwrap();
        let (mut answer, asked) = (String::new(), b"{\"order\":\"accounts\",\"kind\":null}\n");
        let heard = async {
            tokio::time::sleep(AGAIN).await;
            last.write_all(asked).await.unwrap();
            last.read_to_string(&mut answer).await.unwrap();
        };
        tokio::join!(door.close(), heard);
        assert!(answer.starts_with("{\"done\":[") && answer.contains("ben"), "{answer}");
        identities.close().await.unwrap_or_else(|error| panic!("{error}"));
        next.await.unwrap();
        assert!(!socket.exists());
        assert_eq!(names(&loaded).await, ["ann", "ben"]);
    }

    /// On one thread nothing is loaded before something is waited for.
    #[tokio::test]
    async fn all_that_an_account_holds_ends_before_it_is_counted_while_a_gate_still_loads() {
        let folder = tempfile::tempdir().unwrap();
        let loaded = loaded(folder.path());
        let () = give(&loaded, add("ann")).await.unwrap_or_else(|error| panic!("{error}"));
        let revoke = || Order::Revoke {
            whose: Whose { kind: String::from("users"), name: String::from("ann") },
            reference: None,
        };
        let counted: Option<usize> = give(&loaded, revoke()).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(counted, Some(0), "where no gate runs");
        let identities = Identities::open(&loaded).await.unwrap_or_else(|error| panic!("{error}"));
        let ended = order::perform(&identities, revoke()).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(ended, serde_json::Value::Null);
        let events = identities.audit(2).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(events.iter().all(|event| event.event == "sessions.ended"), "it was ended each time");
        identities.close().await.unwrap_or_else(|error| panic!("{error}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_gate_that_stops_is_waited_for_as_long_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let (loaded, again) = (loaded(folder.path()), loaded(folder.path()));
        let identities = Arc::new(Identities::open(&loaded).await.unwrap_or_else(|error| panic!("{error}")));
        let door = Door::open(socket_of(&loaded), Arc::clone(&identities)).unwrap();
        door.stops(Duration::from_secs(3600));
        // Whoever waits has no patience of his own, and gives up as soon as he finds no reason to wait.
        let next = tokio::spawn(async move { take_store_within(Duration::ZERO, &again).await.map(drop) });
        tokio::time::sleep(40 * AGAIN).await;
        assert!(!next.is_finished());
        door.close().await;
        identities.close().await.unwrap_or_else(|error| panic!("{error}"));
        next.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_malformed_order_is_refused_without_repeating_it() {
        let folder = tempfile::tempdir().unwrap();
        let loaded = loaded(folder.path());
        let identities = Arc::new(Identities::open(&loaded).await.unwrap_or_else(|error| panic!("{error}")));
        let _door = Door::open(socket_of(&loaded), identities).unwrap();
        for order in [
            "",
            "nonsense\n",
            "{\"question\":\"password\"}\n",
            "{\"order\":\"set-password\",\"password\":\"geheim\"}\n",
            "{\"order\":\"other\"}\n",
        ] {
            let mut stream = tokio::net::UnixStream::connect(socket_of(&loaded)).await.unwrap();
            stream.write_all(order.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("{\"error\":") && !answer.contains("geheim"), "{answer}");
        }
    }
}
