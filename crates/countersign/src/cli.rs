//! The command line.

mod audit;
mod dialect;
mod init;
mod key;
mod object;
mod service_key;
mod session;
mod user;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;

use crate::config::{self, Loaded};
use crate::control::{self, Order};
use crate::output::{Failure, Format, Output};
use crate::{demo, serve, wire};

/// An authentication gateway for REST APIs: it stands in front of services, lets every client in the way that
/// client already knows, and hands the service one verified identity.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Answers for people, or as JSON on one line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", hide_possible_values = false)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  countersign demo                              see it work: five dialects, five sample services
  countersign guard http://127.0.0.1:3000 --dialect ./my.toml
                                                put a gate in front of a service, without a file
  countersign init && countersign serve         write a configuration, then run it
  countersign check --output json               what is wrong with countersign.toml, for a program

Exit codes: 0 done, 1 failed, 2 wrong command line, configuration or dialect.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate that a configuration describes
    ///
    /// Stops on SIGTERM or Ctrl-C after what runs has ended (`limits.drain`); another that is started meanwhile waits
    /// for it. The first start makes the store and an administrator, whose random password is shown once; where standard
    /// output is no terminal, it is left in a file beside the store. On SIGHUP it reads configuration, dialects and certificates again; what is wrong with them is logged, and the running
    /// ones stay.
    Serve(ConfigFile),
    /// Run a gate with every dialect in front of sample services, and print what to try
    ///
    /// Nothing is left behind but what --data names. Passwords are random each time.
    Demo(Demo),
    /// Put a gate in front of one service: one command, no file
    ///
    /// Whoever proves who he is gets through; nobody else does. Accounts and sessions are kept in
    /// ./countersign-data or where --data says.
    Guard(Guard),
    /// Check a configuration and everything it names
    Check(ConfigFile),
    /// Look at dialects, or check one of your own
    #[command(subcommand)]
    Dialect(dialect::Command),
    /// Manage accounts
    ///
    /// Where a gate runs on the configuration's store, it carries the order out itself, at once; where none runs,
    /// the store is opened.
    #[command(subcommand)]
    User(user::Command),
    /// Manage API keys
    ///
    /// Where a gate runs on the configuration's store, it carries the order out itself, at once; where none runs,
    /// the store is opened.
    #[command(subcommand)]
    Key(key::Command),
    /// List and revoke sessions and tokens
    ///
    /// Where a gate runs on the configuration's store, it carries the order out itself, at once; where none runs,
    /// the store is opened.
    #[command(subcommand)]
    Session(session::Command),
    /// Say whose the objects of services are
    ///
    /// Where a gate runs on the configuration's store, it carries the order out itself, at once; where none runs,
    /// the store is opened.
    #[command(subcommand)]
    Object(object::Command),
    /// List what was changed, by whom and from where, the newest first
    ///
    /// Accounts, passwords, keys, values, and locks; single log-ins are in the log. Where a gate runs on the
    /// configuration's store, it is asked; where none runs, the store is opened.
    Audit(audit::Audit),
    /// Make a key for a service behind the gate, which posts events or says whose its objects are
    ServiceKey(service_key::ServiceKey),
    /// Write a configuration to begin with
    Init(init::Init),
    /// Print the JSON Schema of the configuration
    Schema,
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "countersign.toml")]
    pub(crate) config: PathBuf,
}

impl ConfigFile {
    /// Reads and checks it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        Loaded::read(&self.config).map_err(Failure::Mistakes)
    }

    /// Gives an order to the gate that runs on it, or carries it out on its store.
    fn order<T: DeserializeOwned>(&self, order: Order) -> Result<T, Failure> {
        let loaded = self.load()?;
        serve::block_on(control::give(&loaded, order))
    }
}

/// `demo`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  countersign demo
  countersign demo --listen 127.0.0.1:0 --output json    any free ports; one JSON document on one line
  countersign demo --data ./demo                         keep the accounts, sessions and configuration")]
pub(crate) struct Demo {
    /// The address of the first API; the others follow on the next ports. Port 0: any free ones.
    /// Without this: ports from 8081 on 127.0.0.1, and any free one for each that is taken
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Keep everything in this folder, and go on with what is there
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// `guard`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  countersign guard http://127.0.0.1:3000 --dialect ./my.toml

`countersign dialect list` shows the dialects that can be named.")]
pub(crate) struct Guard {
    /// The service to guard: scheme, host and port
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// A dialect's name, or the path of a dialect file
    #[arg(long, value_name = "NAME")]
    pub(crate) dialect: String,
    /// Where to listen. Without this: 127.0.0.1:8080, or any free port if that is taken
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where accounts and sessions are kept
    #[arg(long, value_name = "DIR", default_value = "countersign-data")]
    pub(crate) data: PathBuf,
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.output);
    match execute(cli.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn execute(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Serve(file) => serve::serve(&file.load()?, output),
        Command::Demo(options) => demo::run(&options, output),
        Command::Guard(options) => demo::guard(&options, output),
        Command::Check(file) => check(&file, output),
        Command::Dialect(command) => dialect::run(command, output),
        Command::User(command) => user::run(command, output),
        Command::Key(command) => key::run(command, output),
        Command::Session(command) => session::run(command, output),
        Command::Object(command) => object::run(command, output),
        Command::Audit(options) => audit::run(options, output),
        Command::ServiceKey(options) => service_key::run(options, output),
        Command::Init(options) => init::run(&options, output),
        Command::Schema => {
            let text = |schema: &schemars::Schema| serde_json::to_string_pretty(schema).unwrap_or_default();
            Ok(output.answer(&config::schema(), text)?)
        }
    }
}

/// What a check answers programs if all is good: the same as for mistakes, without any, and what is worth knowing.
fn no_problems(notes: &[String]) -> serde_json::Value {
    let mut answer = serde_json::json!({ "problems": [] });
    if let (false, Some(answer)) = (notes.is_empty(), answer.as_object_mut()) {
        answer.insert("notes".to_owned(), serde_json::json!(notes));
    }
    answer
}

fn check(file: &ConfigFile, output: Output) -> Result<(), Failure> {
    let loaded = file.load()?;
    let mistakes = wire::problems_at_start(&loaded);
    if !mistakes.is_empty() {
        return Err(Failure::Mistakes(mistakes));
    }
    let (apis, listeners) = (loaded.config.api.len(), loaded.config.listener.len());
    let text = format!("{} is good: {apis} API(s), {listeners} listener(s)", loaded.file.display());
    let notes: Vec<String> = wire::notes(&loaded).iter().map(ToString::to_string).collect();
    let lowered = wire::lowered(&loaded.config).map(|lowered| lowered.to_string());
    let notes: Vec<String> = notes.into_iter().chain(lowered).collect();
    let text = std::iter::once(&text).chain(&notes).map(String::as_str).collect::<Vec<_>>().join("\n");
    Ok(output.answer(&no_problems(&notes), |_| text)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_documented_parses_and_secrets_have_no_option() {
        let good = [
            "serve",
            "serve --config a.toml",
            "demo --output json --listen 127.0.0.1:0 --data x",
            "--output json demo",
            "guard http://127.0.0.1:1 --dialect x.toml",
            "check --config a.toml",
            "dialect list",
            "dialect show x",
            "dialect check x.toml",
            "user add ann --kind users --role admin --role agent --key customer=1 --generate",
            "user add ann --no-password",
            "user set-password ann --password-stdin",
            "user set-password ann --generate --keep-for digest --keep-for ntlm",
            "user strengthen ann --kind users",
            "user list --output json",
            "user disable ann",
            "user unlock ann",
            "key create --api a --owner app --label x --lifetime 30d",
            "key rotate --api a 0123",
            "session list --user ann",
            "session revoke --user ann 0123",
            "session revoke --user ann --all",
            "session revoke-everybody",
            "audit",
            "audit --limit 100000 --output json",
            "service-key billing",
            "init --config a.toml",
            "schema",
        ];
        for line in good {
            let words = std::iter::once("countersign").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|error| unreachable!("{line}: {error}"));
        }
        let bad = [
            "user add ann --password secret",
            "user add ann --generate --password-stdin",
            "user add ann --no-password --generate",
            "user add ann --no-password --keep-for digest",
            "user set-password ann --no-password",
            "user add ann --key customer",
            "user add ann --generate --keep-for basic",
            "session revoke --user ann",
            "guard http://127.0.0.1:1",
            "demo --listen localhost",
            "audit --limit 0",
            "service-key billing\"",
            "nonsense",
        ];
        for line in bad {
            let words = std::iter::once("countersign").chain(line.split(' '));
            assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
