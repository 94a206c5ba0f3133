//! The data plane: listeners, forwarding, upstreams, and the administration listener.
//!
//! One thread for each core, with its own sockets, timer, and pools; what cores share is read far more than
//! written. A request's way: [`listen`] takes it from the wire, `strict` refuses what could be read in two ways,
//! `admit` decides, `forward` brings it to an [`upstream`] and the answer's head back, the body follows piece by
//! piece, and when that ends the request is counted and logged.

pub mod address;
pub mod administration;
mod admission;
mod admit;
mod body;
pub mod cors;
mod drain;
mod forward;
pub mod gate;
mod gather;
pub mod hop;
pub mod limits;
pub mod listen;
pub mod log;
pub mod metrics;
mod openings;
mod pulse;
pub mod serve;
mod strict;
#[cfg(test)]
mod testing;
mod trailers;
pub mod upstream;
mod watch;
mod worker;
