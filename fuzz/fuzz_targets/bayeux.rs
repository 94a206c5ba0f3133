//! The server is a crate by itself, which replays this corpus in its own tests.
#![no_main]

#[path = "../targets/bayeux.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::bayeux(bytes));
