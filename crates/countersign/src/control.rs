//! How the command line reaches a gate that runs.
//!
//! A gate is the only one who works with its store, since its memory is the truth for whoever asks it. So
//! `user`, `key` and `session` commands hand their orders to the gate, through a socket beside the store that
//! only the store's owner can open; where no gate runs they open the store themselves. Either way
//! [`perform`] does the work.

mod order;
mod socket;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

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
    let value = match socket::send(&socket_of(loaded), &order).await? {
        socket::Sent::Answered(value) => value,
        socket::Sent::NobodyThere => {
            let identities = Identities::open(loaded).await?;
            let value = order::perform(&identities, order).await;
            identities.close().await?;
            value?
        }
    };
    Ok(serde_json::from_value(value)?)
}

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
