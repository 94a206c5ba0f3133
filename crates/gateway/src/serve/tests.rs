//! The data plane on the wire: raw clients in front, raw upstreams behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod early_data;
mod ends;
mod forwarding;
mod framing;
mod listeners;
mod log;
mod sockets;
mod upstreams;
