//! The one integration binary: real gates over real sockets, driven by the transcripts of the dialects.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod bad_days;
mod crash;
mod digest;
mod explained;
mod frames;
mod fuzz;
mod kerberos;
mod limits;
mod mutations;
mod names;
mod ntlm;
mod objects;
mod openmetrics;
mod operating;
mod operator;
mod process;
mod properties;
mod provider;
mod raw;
mod reload;
mod replay;
mod requirements;
mod scale;
mod shape;
mod slapd;
mod stopping;
mod threats;
mod timing;
mod transcript;
mod upstream;
mod world;
