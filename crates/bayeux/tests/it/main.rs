//! What a client of a Bayeux server sees, and what an attacker does not get.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod delivery;
mod ends;
mod fuzz;
mod limits;
mod protocol;
mod world;
