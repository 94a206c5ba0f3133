//! `countersign`: an authentication gateway for REST APIs that speaks every dialect.

mod cli;
mod config;
mod control;
mod demo;
mod dialects;
mod entropy;
mod logging;
mod output;
mod prompt;
mod record;
mod serve;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
