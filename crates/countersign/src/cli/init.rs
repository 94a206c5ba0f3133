//! `countersign init`: a configuration to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use clap::Args;

use super::ConfigFile;
use crate::config::{Loaded, nearest, value::Origin};
use crate::demo;
use crate::dialects::{self, EMBEDDED};
use crate::output::{Failure, Output};

/// `countersign init`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  countersign init --dialect ./my.toml --upstream http://127.0.0.1:3000
  countersign check && countersign serve")]
pub(crate) struct Init {
    #[command(flatten)]
    config: ConfigFile,
    /// The dialect of the first API; `countersign dialect list` shows what there is
    #[arg(long, value_name = "NAME")]
    dialect: Option<String>,
    /// The service behind it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9000")]
    upstream: Origin,
}

/// Writes it; never over a file that is there.
pub(super) fn run(init: &Init, output: Output) -> Result<(), Failure> {
    let path = &init.config.config;
    let dialect = match init.dialect.as_deref() {
        Some(name) => known(name)?,
        None => EMBEDDED.first().map_or("./dialect.toml", |dialect| dialect.name),
    };
    let text = text(dialect, &init.upstream);
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::usage(format!(
                "{} is there already; name another with --config",
                path.display()
            )));
        }
        Err(error) => {
            return Err(anyhow::Error::new(error)
                .context(format!("could not write {}", path.display()))
                .into());
        }
    };
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Loaded::read(path).map_err(Failure::Mistakes)?;
    let next = format!("{} is written; read it, then: countersign serve --config {0}", path.display());
    Ok(output.answer(&serde_json::json!({ "config": path, "dialect": dialect }), |_| next)?)
}

fn known(name: &str) -> Result<&str, Failure> {
    match dialects::fetch(name, Path::new(".")) {
        Ok(_) => Ok(name),
        Err(error) => {
            let near = nearest(name, EMBEDDED.iter().map(|dialect| dialect.name));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(Failure::usage(format!("{error}{hint}")))
        }
    }
}

/// The file, for one API of a dialect in front of a service.
fn text(dialect: &str, upstream: &Origin) -> String {
    let all: Vec<&str> = EMBEDDED.iter().map(|dialect| dialect.name).collect();
    TEMPLATE
        .replace("@DIALECT@", dialect)
        .replace("@DIALECTS@", &all.join(", "))
        .replace("@PREFIX@", &format!("{:<23}", format!("[\"{}\"]", demo::usual_prefix(dialect))))
        .replace("@UPSTREAM@", &upstream.to_string())
}

const TEMPLATE: &str = include_str!("init.toml");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_file_passes_the_check_for_every_dialect_with_and_without_its_comments() {
        let upstream: Origin = "http://127.0.0.1:9000".parse().unwrap();
        for dialect in EMBEDDED {
            let text = text(dialect.name, &upstream);
            let parsed = |text: &str| {
                Loaded::parse(Path::new("countersign.toml"), Path::new("."), text).unwrap().config
            };
            let config = parsed(&text);
            let at = config.api.first().unwrap().at.first().unwrap().to_string();
            assert_eq!(at, demo::usual_prefix(dialect.name));
            let words = |config: &Config| serde_json::to_value(config).unwrap();
            let live = |is_live: fn(&str) -> Option<&str>| -> String {
                text.lines().map(|line| format!("{}\n", is_live(line).unwrap_or(line))).collect()
            };
            assert_eq!(words(&parsed(&live(default))), words(&config), "`#key = value` is a default");
            assert_ne!(words(&parsed(&live(example))), words(&config), "`# key = value` is an example");
        }
    }

    fn default(line: &str) -> Option<&str> {
        line.strip_prefix('#').filter(|rest| !rest.starts_with(' '))
    }

    /// Examples that are good for every dialect and name no file that must be there.
    fn example(line: &str) -> Option<&str> {
        const GOOD: [&str; 6] = ["proxy_protocol_from", "listeners", "realm", "tenants", "key", "workers"];
        line.strip_prefix("# ").filter(|rest| GOOD.contains(&rest.split(' ').next().unwrap_or_default()))
    }

    #[test]
    fn it_shows_every_key_of_its_tables() {
        let config = toml::from_str::<Config>("").unwrap();
        let tables = serde_json::to_value(&config).unwrap();
        for table in
            ["store", "administration", "network", "limits", "passwords", "lockout", "assertion", "log"]
        {
            let keys = tables.get(table).unwrap().as_object().unwrap();
            let (_, rest) = TEMPLATE.split_once(&format!("\n[{table}]\n")).unwrap();
            let shown = rest.split("\n[").next().unwrap();
            for key in keys.keys() {
                let is_shown =
                    |line: &str| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} "));
                assert!(shown.lines().any(is_shown), "[{table}] {key}");
            }
        }
    }

    #[test]
    fn it_never_writes_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = ConfigFile { config: folder.path().join("c.toml") };
        let init = Init { config, dialect: None, upstream: "http://127.0.0.1:9000".parse().unwrap() };
        let output = Output::new(crate::output::Format::Text);
        run(&init, output).unwrap();
        let first = std::fs::read_to_string(&init.config.config).unwrap();
        assert_eq!(run(&init, output).unwrap_err().exit_code(), 2);
        assert_eq!(std::fs::read_to_string(&init.config.config).unwrap(), first);
    }
}
