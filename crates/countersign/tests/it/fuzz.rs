//! The corpora of the fuzz targets, replayed: what once led somewhere is tried with every change.

#[path = "../../../../fuzz/targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::transcript::root;

/// What is done with the bytes.
type Target = fn(&[u8]);

/// Every target but `configuration`, which the binary replays by itself, and `bayeux`, which that crate does.
const TARGETS: [(&str, Target); 22] = [
    ("accept", targets::accept),
    ("answers", targets::answers),
    ("assertions", targets::assertions),
    ("authorization", targets::authorization),
    ("bodies", targets::bodies),
    ("cookies", targets::cookies),
    ("dialects", targets::dialects),
    ("digest", targets::digest),
    ("forwarded", targets::forwarded),
    ("heads", targets::heads),
    ("hosts", targets::hosts),
    ("jwt", targets::jwt),
    ("key_sets", targets::key_sets),
    ("logins", targets::logins),
    ("ntlm", targets::ntlm),
    ("objects", targets::objects),
    ("paths", targets::paths),
    ("proxy_protocol", targets::proxy_protocol),
    ("queries", targets::queries),
    ("requests", targets::requests),
    ("spnego", targets::spnego),
    ("tokens", targets::tokens),
];

/// A corpus is read by people: what a run of days finds is minimized before it is kept.
const CORPUS_BYTES_MAX: usize = 64 * 1024;

/// Beginnings of a seed that are tried beside it.
const BEGINNINGS: usize = 24;

fn folder(name: &str) -> PathBuf {
    root().join("fuzz").join(name)
}

fn names(below: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder(below)).unwrap();
    let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| name(entry.unwrap().path())).collect()
}

#[test]
fn every_target_has_a_corpus_and_is_replayed() {
    let mut known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.extend(["configuration", "bayeux"].map(str::to_owned));
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
}

#[test]
fn corpora_lead_nowhere() {
    for (name, target) in TARGETS {
        let mut bytes = 0;
        let mut seeds = 0;
        for entry in std::fs::read_dir(folder("corpus").join(name)).unwrap() {
            let path = entry.unwrap().path();
            let seed = std::fs::read(&path).unwrap();
            bytes += seed.len();
            seeds += 1;
            println!("{}", path.display());
            target(&seed);
            for beginning in 1..BEGINNINGS {
                target(&seed[..seed.len() * beginning / BEGINNINGS]);
            }
        }
        assert!(seeds >= 5, "{name}: {seeds} seeds");
        assert!(bytes <= CORPUS_BYTES_MAX, "{name}: {bytes} bytes");
    }
}
