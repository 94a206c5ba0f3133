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

use tikv_jemallocator::Jemalloc;

/// Every request takes and gives back two dozen pieces of memory, two of them read buffers of 8 KB: the system's
/// allocator splits and joins those each time. This one keeps pieces of each size at hand, and gives what a password's
/// hash took, 19 MiB, back to the system at once.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
