//! The demo's random passwords, so that `--data` shows the same ones again. No real deployment keeps such a file.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::folder::write_private;
use crate::entropy;

const FILE: &str = "demo-passwords.json";

/// Passwords and other secrets by what they are for.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Kept {
    passwords: BTreeMap<String, String>,
    secrets: BTreeMap<String, BTreeMap<String, String>>,
}

impl Kept {
    /// Reads what an earlier run left in `folder`.
    ///
    /// # Errors
    /// If there is a file that cannot be read.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(FILE);
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                serde_json::from_str(&text).with_context(|| format!("could not read {}", file.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("could not read {}", file.display())),
        }
    }

    /// Leaves it for the next run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let file = folder.join(FILE);
        let text = serde_json::to_string_pretty(self)?;
        write_private(&file, &text).with_context(|| format!("could not write {}", file.display()))
    }

    /// The password of an account, made if there is none yet.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub(crate) fn password(&mut self, kind: &str, user: &str) -> anyhow::Result<&str> {
        made(&mut self.passwords, &format!("{kind}/{user}"))
    }

    /// Another secret of an API, made if there is none yet.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub(crate) fn secret(&mut self, api: &str, name: &str) -> anyhow::Result<&str> {
        made(self.secrets.entry(api.to_owned()).or_default(), name)
    }

    /// Whether an API has a secret of that name.
    pub(crate) fn has_secret(&self, api: &str, name: &str) -> bool {
        self.secrets.get(api).is_some_and(|secrets| secrets.contains_key(name))
    }

    /// Keeps a secret that somebody else made.
    pub(crate) fn keep_secret(&mut self, api: &str, name: &str, value: &str) {
        self.secrets.entry(api.to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }

    /// All secrets of an API.
    pub(crate) fn secrets_of(&self, api: &str) -> BTreeMap<String, String> {
        self.secrets.get(api).cloned().unwrap_or_default()
    }
}

fn made<'m>(map: &'m mut BTreeMap<String, String>, name: &str) -> anyhow::Result<&'m str> {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), entropy::password()?.expose().to_owned());
    }
    Ok(map.get(name).map_or("", String::as_str))
}
