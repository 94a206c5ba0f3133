//! The one integration binary: real gates over real sockets, driven by the transcripts of the dialects.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

mod mutations;
mod raw;
mod replay;
mod requirements;
mod shape;
mod threats;
mod transcript;
mod upstream;
mod world;
