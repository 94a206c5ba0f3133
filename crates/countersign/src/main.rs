//! `countersign`: an authentication gateway for REST APIs that speaks every dialect.

mod config;
mod dialects;

fn main() {}
