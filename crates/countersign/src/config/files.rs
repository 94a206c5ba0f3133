//! What stands in the files that a configuration names, so that whoever reads it again can tell which have changed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use super::shape::quoted;

/// The keys whose value is the path of a file that is read when the gate begins with it. Those of `listener` are read again,
/// and so is what `dialect` names; a `keytab` is none of them, since every ticket has it read.
const KEYS: [&str; 8] =
    ["authorization_file", "ca", "file", "jwks_file", "key", "password_file", "pem_file", "secret_file"];

/// A digest of a file, or that it cannot be read. Shows nothing: a secret that is short could be guessed by it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content(Option<[u8; 32]>);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[content]")
    }
}

impl Content {
    fn of(file: &Path) -> Self {
        let bytes = std::fs::read(file).ok();
        Self(bytes.and_then(|bytes| digest(&SHA256, &bytes).as_ref().try_into().ok()))
    }

    /// Whether there was nothing to read.
    pub(crate) fn is_absent(self) -> bool {
        self.0.is_none()
    }
}

/// What stands in each file, by the key that names it (`api[0].front.secret_file`).
pub(crate) type Contents = BTreeMap<String, Content>;

/// Reads every file that the words of a configuration name; `place` says where a path leads.
pub(super) fn read(words: &Value, place: &impl Fn(&Path) -> PathBuf) -> Contents {
    let mut contents = Contents::new();
    note(words, String::new(), place, &mut contents);
    contents
}

fn note(words: &Value, at: String, place: &impl Fn(&Path) -> PathBuf, contents: &mut Contents) {
    match words {
        Value::Object(table) => {
            for (key, value) in table {
                let dot = if at.is_empty() { "" } else { "." };
                let at = format!("{at}{dot}{}", quoted(key));
                match value.as_str().filter(|_| KEYS.contains(&key.as_str())) {
                    Some(file) => {
                        contents.insert(at, Content::of(&place(Path::new(file))));
                    }
                    None => note(value, at, place, contents),
                }
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                note(item, format!("{at}[{number}]"), place, contents);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::KEYS;

    /// Read at other times than the start: the folder of the store, what listeners read again, and what each ticket does.
    const OTHERS: [&str; 4] = ["path", "certificate", "client_ca", "keytab"];

    #[test]
    fn every_key_that_names_a_file_is_known() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
        let mut named = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            for line in text.lines().filter(|line| {
                line.trim_end().ends_with("PathBuf>,") || line.trim_end().ends_with(": PathBuf,")
            }) {
                let Some((key, _)) =
                    line.trim().strip_prefix("pub(crate) ").and_then(|line| line.split_once(':'))
                else {
                    continue;
                };
                named += 1;
                assert!(KEYS.contains(&key) || OTHERS.contains(&key), "{}: {key}", file.display());
            }
        }
        assert!(named > KEYS.len(), "the fields are written otherwise: {named}");
    }
}
