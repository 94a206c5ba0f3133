//! The configuration file: read whole, checked whole, before anything is opened or bound.

pub(crate) mod asked;
mod assertion;
mod check;
mod digest;
pub(crate) mod directory;
mod files;
pub(crate) mod issuer;
pub(crate) mod negotiation;
mod objects;
pub(crate) mod pages;
mod report;
mod route;
pub(crate) mod service_key;
mod shape;
mod tree;
pub(crate) mod value;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::DeTable;

pub(crate) use assertion::Algorithm;
pub(crate) use check::{SECRET_BYTES_MIN, SHORT_SHARED_VALUE, UNPROVEN_FROM_ANYWHERE};
pub(crate) use digest::{Digest, DigestAlgorithm};
pub(crate) use files::{Content, Contents};
pub(crate) use objects::{Foreign, ObjectKind, Places};
pub(crate) use report::{Mistake, Report, nearest};
pub(crate) use route::Route;
pub(crate) use tree::{
    Allow, AllowWord, Api, Backends, Config, Forwarding, HostFrom, Limits, Listener, Log, LogFormat, Tls,
    Token, Upstream,
};

/// A configuration that was read and checked.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What it says.
    pub(crate) config: Config,
    /// Its file as it was named.
    pub(crate) file: PathBuf,
    /// Relative paths in it begin here.
    pub(crate) folder: PathBuf,
    /// What stood in the files that it names when it was read.
    pub(crate) contents: Contents,
    report: Report,
}

impl Loaded {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its lines.
    pub(crate) fn read(file: &Path) -> Result<Self, Vec<Mistake>> {
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty());
                Self::parse(file, folder.unwrap_or(Path::new(".")), &text)
            }
            Err(error) => {
                let mut report = Report::new(&file.display().to_string(), "");
                let hint = (error.kind() == std::io::ErrorKind::NotFound)
                    .then(|| String::from("`countersign init` writes one to begin with"));
                report.add("", format!("could not read the configuration: {error}"), hint);
                Err(report.into_mistakes())
            }
        }
    }

    /// Checks the text of a file; relative paths in it begin at `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its lines.
    pub(crate) fn parse(file: &Path, folder: &Path, text: &str) -> Result<Self, Vec<Mistake>> {
        let mut report = Report::new(&file.display().to_string(), text);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            report.add_at(error.span().map_or(0, |span| span.start), "", error.message(), None);
        }
        if !report.is_clean() {
            return Err(report.into_mistakes());
        }
        shape::check(&table, schema().as_value(), &mut report);
        if !report.is_clean() {
            return Err(report.into_mistakes());
        }
        let config = match Config::deserialize(toml::de::Deserializer::from(table)) {
            Ok(config) => config,
            Err(error) => {
                report.add_at(error.span().map_or(0, |span| span.start), "", error.message(), None);
                return Err(report.into_mistakes());
            }
        };
        check::check(&config, folder, &mut report);
        let words = serde_json::to_value(&config).map_err(|error| report.add("", error.to_string(), None));
        let contents = files::read(&words.unwrap_or_default(), &|path| from_folder(folder, path));
        if !report.is_clean() {
            return Err(report.into_mistakes());
        }
        Ok(Self { config, file: file.to_owned(), folder: folder.to_owned(), contents, report })
    }

    /// A path of the configuration, from where it is meant.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        from_folder(&self.folder, path)
    }

    /// What stood in the files that an API names, by their keys below its own.
    pub(crate) fn contents_of_api(&self, name: &str) -> Contents {
        let Some(at) = self.config.api.iter().position(|api| api.name == name) else {
            return Contents::new();
        };
        let table = format!("api[{at}].");
        let own =
            |(key, content): (&String, &Content)| Some((key.strip_prefix(&table)?.to_owned(), *content));
        self.contents.iter().filter_map(own).collect()
    }

    /// What is no mistake in it, and may mean something else than was meant.
    pub(crate) fn notes(&self) -> &[Mistake] {
        self.report.notes()
    }

    /// A mistake that somebody else found in the key at `path` (`api[0]`).
    pub(crate) fn mistake(&self, path: &str, message: impl Into<String>) -> Mistake {
        self.report.mistake(path, message)
    }
}

fn from_folder(folder: &Path, path: &Path) -> PathBuf {
    if folder == Path::new(".") { path.to_owned() } else { folder.join(path) }
}

/// The JSON Schema of the configuration.
pub(crate) fn schema() -> schemars::Schema {
    schemars::schema_for!(Config)
}

#[cfg(test)]
mod tests;
