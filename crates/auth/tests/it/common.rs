//! What several tests need.

use std::fs;
use std::path::{Path, PathBuf};

/// The text of a dialect by name: a shipped one, or one of `tests/dialects`.
pub(crate) fn dialect_text(name: &str) -> String {
    let shipped = repository().join(format!("dialects/{name}/dialect.toml"));
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/dialects/{name}.toml"));
    let path = if own.exists() { own } else { shipped };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folder of the whole project.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a file with what it should say, or rewrites it if `UPDATE=1`; true if the two differ and were left so.
pub(crate) fn expect(file: &Path, is: &str, should: &str) -> bool {
    if is == should {
        return false;
    }
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        fs::write(file, should).unwrap();
        return false;
    }
    let is: Vec<&str> = is.lines().collect();
    let should: Vec<&str> = should.lines().collect();
    eprintln!("--- {}", file.display());
    for line in is.iter().filter(|line| !should.contains(line)) {
        eprintln!("- {line}");
    }
    for line in should.iter().filter(|line| !is.contains(line)) {
        eprintln!("+ {line}");
    }
    true
}
