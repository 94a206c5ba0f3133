//! How the command line reaches a gate that runs.
//!
//! A gate is the only one who works with its store, since its memory is the truth for whoever asks it. So
//! `user`, `key` and `session` commands hand their orders to the gate, through a socket beside the store that
//! only the store's owner can open; where no gate runs they open the store themselves. Either way
//! `perform` does the work. A gate that has just taken its store, or is about to leave it, is waited for.

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
use crate::wire::Identities;

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
    let value = order::perform(&identities, order).await;
    identities.close().await?;
    Ok(serde_json::from_value(value?)?)
}

/// Opens the store for a gate. A command that works with it, or a gate that ends, is waited for; a gate that takes
/// orders is not.
///
/// # Errors
/// If it cannot be opened.
pub(crate) async fn take_store(loaded: &Loaded) -> Result<Identities, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        match Identities::open(loaded).await {
            Err(Failure::Failed(error))
                if is_taken(&error)
                    && Instant::now() < until
                    && !socket::is_answered(&socket_of(loaded)).await => {}
            opened => return opened,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether another process has the store: a gate, or a command like this one.
fn is_taken(error: &anyhow::Error) -> bool {
    matches!(error.root_cause().downcast_ref(), Some(StoreError::Taken))
}

/// A gate takes its store first and orders last; a gate that stops does it the other way round. A million sessions and
/// the first administrator are seconds at the worst.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(50);

/// Where the socket of a store is: beside it.
pub(crate) fn socket_of(loaded: &Loaded) -> PathBuf {
    beside(&loaded.path(&loaded.config.store.path), "sock")
}

fn beside(store: &Path, ending: &str) -> PathBuf {
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
        Order::AddAccount { account, password: Secret::new("a long enough pass") }
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
            let given = give::<()>(&loaded, add("ben")).await.map_err(|error| error.to_string());
            (loaded, given)
        });
        tokio::task::yield_now().await;
        let door = Door::open(socket.clone(), Arc::clone(&identities)).unwrap();
        assert!(take_store(&loaded_again).await.is_err(), "a gate that takes orders is not waited for");
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let (loaded, given) = waits.await.unwrap();
        assert_eq!(given, Ok(()));
        assert_eq!(names(&loaded).await, ["ann", "ben"]);
        assert_eq!(identities.accounts(None).await.unwrap_or_else(|error| panic!("{error}")).len(), 2);
        let again = give::<()>(&loaded, add("BEN")).await.err().unwrap().to_string();
        assert!(again.contains("users has an account called `BEN` already"), "{again}");

        // A gate that stops is waited for by the next one.
        drop(door);
        let next = tokio::spawn(async move {
            let next = take_store(&loaded_again).await.unwrap_or_else(|error| panic!("{error}"));
            next.close().await.unwrap_or_else(|error| panic!("{error}"));
        });
        tokio::task::yield_now().await;
        identities.close().await.unwrap_or_else(|error| panic!("{error}"));
        next.await.unwrap();
        assert!(!socket.exists());
        assert_eq!(names(&loaded).await, ["ann", "ben"]);
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
