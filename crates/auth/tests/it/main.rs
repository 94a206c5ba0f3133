//! Dialects from the outside: what the loader refuses, who is recognized, what the documentation says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod common;
mod crossing;
mod csrf_header;
mod recognition;
mod refused;
mod tutorial;
mod world;
