//! Proofs: what is verified, whatever wire format carries it.
//!
//! One file per scheme. A scheme knows no dialect, reads no clock and looks nothing up: it is handed what it
//! needs, and says what is proven or why nothing is.

pub mod basic;
pub mod code;
pub mod digest;
pub mod jwt;
