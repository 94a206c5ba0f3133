//! The configuration is read by the binary alone, so that its modules are taken from there.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the binary uses the rest")]

#[path = "../../crates/countersign/src"]
mod binary {
    pub(crate) mod config;
    pub(crate) mod dialects;
}

use std::path::Path;

use binary::{config, dialects};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Path::new("fuzzed.toml");
    // There is nothing beside it: whatever file it names is missing, and that is a mistake and no panic.
    match config::Loaded::parse(file, Path::new("/nonexistent"), text) {
        Ok(loaded) => assert!(!loaded.config.listener.is_empty() && !loaded.config.api.is_empty()),
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            let lines = text.lines().count() + 1;
            assert!(mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.line)));
        }
    }
});
