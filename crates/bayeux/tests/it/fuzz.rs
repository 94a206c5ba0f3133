//! The corpus of this crate's fuzz target, and the beginnings of its seeds.

#[path = "../../../../fuzz/targets/bayeux.rs"]
mod target;

use std::path::Path;

#[test]
fn the_corpus_leads_nowhere() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/bayeux");
    let mut seeds = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let seed = std::fs::read(path).unwrap();
        for end in (0..=seed.len()).rev().step_by(seed.len() / 24 + 1) {
            target::bayeux(&seed[..end]);
        }
        seeds += 1;
    }
    assert!(seeds >= 5, "{seeds} seeds");
}
