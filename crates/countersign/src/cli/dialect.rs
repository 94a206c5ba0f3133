//! `countersign dialect`: look at the dialects that ship, and check one's own.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use crate::config::{Report, nearest};
use crate::dialects::{self, EMBEDDED};
use crate::output::{Failure, Output, table};
use crate::wire;

/// `countersign dialect`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the dialects that ship with the gate
    List,
    /// Print a dialect's file
    Show {
        /// Its name
        name: String,
    },
    /// Check a dialect file, and say how to mend it
    #[command(
        after_help = "Example:\n  countersign dialect show NAME > my.toml && countersign dialect check my.toml"
    )]
    Check {
        /// The file, or the name of a dialect that ships with the gate
        file: PathBuf,
    },
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    title: String,
    deployments: Vec<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    text: &'a str,
}

/// Does what it says.
pub(super) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::List => list(output),
        Command::Show { name } => show(&name, output),
        Command::Check { file } => check(&file, output),
    }
}

fn list(output: Output) -> Result<(), Failure> {
    let row = |dialect: &dialects::Embedded| {
        let outline = dialects::outline(dialect.text);
        Row { name: dialect.name, title: outline.title, deployments: outline.deployments }
    };
    let rows: Vec<Row> = EMBEDDED.iter().map(row).collect();
    let text = |rows: &Vec<Row>| {
        let cells =
            rows.iter().map(|row| [row.name.to_owned(), row.title.clone(), row.deployments.join(" ")]);
        table(["name", "title", "deployments"], cells)
    };
    Ok(output.answer(&rows, text)?)
}

fn show(name: &str, output: Output) -> Result<(), Failure> {
    let dialect = EMBEDDED.iter().find(|dialect| dialect.name == name).ok_or_else(|| unknown(name))?;
    Ok(output.answer(&Shown { name: dialect.name, text: dialect.text }, |shown| shown.text.to_owned())?)
}

fn check(file: &Path, output: Output) -> Result<(), Failure> {
    let name = file.display().to_string();
    let embedded = EMBEDDED.iter().find(|dialect| dialect.name == name);
    let (name, text) = match embedded {
        Some(dialect) => (format!("dialects/{name}/dialect.toml"), dialect.text.to_owned()),
        None => match std::fs::read_to_string(file) {
            Ok(text) => (name, text),
            Err(error) => {
                let mut report = Report::new(&name, "");
                let hint = if file.is_dir() {
                    format!("name the file in it: `{}`", file.join("dialect.toml").display())
                } else {
                    String::from("name a file, or one of those that `countersign dialect list` shows")
                };
                report.add("", format!("could not read the dialect: {error}"), Some(hint));
                return Err(Failure::Mistakes(report.into_mistakes()));
            }
        },
    };
    let problems = wire::dialect_problems(&name, &text);
    if !problems.is_empty() {
        return Err(Failure::Mistakes(problems));
    }
    Ok(output.answer(&super::no_problems(&[]), |_| format!("{name} is good"))?)
}

fn unknown(name: &str) -> Failure {
    let hint = match nearest(name, EMBEDDED.iter().map(|dialect| dialect.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => String::from("`countersign dialect list` shows them all"),
    };
    Failure::usage(format!("no dialect is called `{name}`; {hint}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Failure, Output, Path, check};

    #[test]
    fn what_is_no_file_is_told_with_what_to_name_instead() {
        let folder = tempfile::tempdir().unwrap();
        let hint = |path: &Path| match check(path, Output::new(crate::output::Format::Text)) {
            Err(Failure::Mistakes(mistakes)) => mistakes.first().and_then(|mistake| mistake.hint.clone()),
            Ok(()) | Err(_) => None,
        };
        let inside = folder.path().join("dialect.toml");
        assert_eq!(hint(folder.path()), Some(format!("name the file in it: `{}`", inside.display())));
        assert!(hint(&inside).is_some_and(|hint| hint.contains("dialect list")));
    }
}
