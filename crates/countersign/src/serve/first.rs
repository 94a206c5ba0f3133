//! The first administrator's password: shown once to whoever sits at the terminal, or left in a file for him. What a
//! service manager or a container writes down of a program is a log, and no secret belongs there.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use crate::config::Loaded;
use crate::control::beside;
use crate::output::{Failure, Output};
use crate::wire::{FirstAdministrator, Identities, store_file};

/// What the file's name ends with, behind the store's.
const ENDING: &str = "first-administrator";

/// Makes the first administrator, if there is none, and says his password.
///
/// # Errors
/// If he cannot be made, or his password cannot be told.
pub(super) async fn administrator(
    loaded: &Loaded,
    identities: &Identities,
    output: Output,
) -> Result<(), Failure> {
    if identities.has_administrator() {
        return Ok(());
    }
    if io::stdout().is_terminal() {
        if let Some(first) = identities.ensure_administrator().await? {
            output.answer(&first, |first| {
                let FirstAdministrator { user, password } = first;
                format!(
                    "The first administrator is made: user {user} with password {password}   (shown only now)"
                )
            })?;
        }
        return Ok(());
    }
    let path = beside(&store_file(loaded), ENDING);
    // Before he is made: a password that cannot be written would be lost.
    let mut file = empty(&path).with_context(|| format!("could not make {}", path.display()))?;
    let Some(FirstAdministrator { user, password }) = identities.ensure_administrator().await? else {
        return Ok(());
    };
    let told = writeln!(file, "{password}").and_then(|()| file.sync_all());
    told.with_context(|| {
        format!(
            "could not write the password of {user} to {}; `countersign user set-password {user}` gives another",
            path.display()
        )
    })?;
    tracing::warn!(
        user,
        file = %path.display(),
        "made the first administrator; the password is in the file, for its owner alone: delete it when it is read"
    );
    Ok(())
}

/// An empty file of its own, in the place of one that was left there, that its owner alone may read.
fn empty(path: &Path) -> io::Result<fs::File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
