//! The only place that writes to the terminal: text for people, or JSON for programs.

use std::fmt;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::config::Mistake;

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document per answer, on one line.
    Json,
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration, a dialect or the command line is wrong.
    Mistakes(Vec<Mistake>),
    /// The command line is wrong, or a dialect file; one line each.
    Usage(Vec<String>),
    /// It was tried and failed.
    Failed(anyhow::Error),
}

impl Failure {
    /// A mistake of the caller's, told in one line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(vec![message.into()])
    }

    /// 1 for what failed, 2 for what was asked wrongly.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Mistakes(_) | Self::Usage(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mistakes(mistakes) => mistakes.iter().try_for_each(|mistake| writeln!(f, "{mistake}")),
            Self::Usage(lines) => f.write_str(&lines.join("\n")),
            Self::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Writes answers in one format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    /// Writes answers so.
    pub(crate) const fn new(format: Format) -> Self {
        Self { format }
    }

    /// Writes an answer: `value` for programs, what `text` makes of it for people.
    ///
    /// # Errors
    /// If standard output cannot be written to; a reader who went away is none.
    pub(crate) fn answer<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
        let mut line = match self.format {
            Format::Text => text(value),
            Format::Json => serde_json::to_string(value)?,
        };
        if !line.is_empty() && !line.ends_with('\n') {
            line.push('\n');
        }
        write(&mut io::stdout().lock(), &line)
    }

    /// Tells why a command failed, on standard error.
    pub(crate) fn failure(self, failure: &Failure) {
        let text = match self.format {
            Format::Text => failure_text(failure),
            Format::Json => failure_json(failure),
        };
        let _ = write(&mut io::stderr().lock(), &text);
    }
}

fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Mistakes(mistakes) => mistakes.iter().map(|mistake| format!("{mistake}\n")).collect(),
        Failure::Usage(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
        Failure::Failed(error) => format!("countersign: {error:#}\n"),
    }
}

fn failure_json(failure: &Failure) -> String {
    let value = match failure {
        Failure::Mistakes(mistakes) => serde_json::json!({ "problems": mistakes }),
        Failure::Usage(lines) => serde_json::json!({ "error": lines.join("\n") }),
        Failure::Failed(error) => serde_json::json!({ "error": format!("{error:#}") }),
    };
    format!("{value}\n")
}

fn write(to: &mut dyn Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// A table for people: a heading, and rows of as many cells.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading.map(str::to_uppercase));
    for row in rows {
        table.add_row(row.map(|cell| if cell.is_empty() { String::from("-") } else { cell }));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_heading_and_a_dash_for_nothing() {
        let text = table(["name", "roles"], [["ann".to_owned(), String::new()]]);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [["NAME", "ROLES"], ["ann", "-"]]);
    }

    #[test]
    fn what_was_asked_wrongly_exits_with_2_and_what_failed_with_1() {
        assert_eq!(Failure::usage("x").exit_code(), 2);
        assert_eq!(Failure::Mistakes(Vec::new()).exit_code(), 2);
        assert_eq!(Failure::from(anyhow::anyhow!("x")).exit_code(), 1);
    }

    #[test]
    fn failures_are_one_json_object_for_programs() {
        assert_eq!(
            failure_json(&Failure::usage("no \"such\" thing")),
            "{\"error\":\"no \\\"such\\\" thing\"}\n"
        );
        assert_eq!(failure_text(&Failure::usage("no such thing")), "no such thing\n");
    }
}
