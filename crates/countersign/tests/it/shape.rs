//! The project's shape: which crate may know which, whose words stand where, how long a file may be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::transcript::root;

/// All that a crate of the workspace may know of the others.
const EDGES: [(&str, &str); 11] = [
    ("countersign", "countersign-auth"),
    ("countersign", "countersign-gateway"),
    ("countersign", "countersign-identity"),
    ("countersign", "countersign-negotiate"),
    ("countersign", "countersign-services"),
    ("countersign-gateway", "countersign-auth"),
    ("countersign-identity", "countersign-auth"),
    ("countersign-identity", "countersign-negotiate"),
    ("countersign-services", "countersign-auth"),
    ("countersign-services", "countersign-bayeux"),
    ("countersign-services", "countersign-identity"),
];

/// Words of vendors, without case.
const VENDORS_WORDS: [&str; 22] = [
    "egain",
    "genesys",
    "htcc",
    "voltmx",
    "volt mx",
    "volt-mx",
    "kony",
    "hcl ",
    "foundry",
    "superoffice",
    "soticket",
    "so-apptoken",
    "xsrf",
    "enactor",
    "jsessionid",
    "cisco",
    "site_token",
    "x-csrf-token",
    "x-csrf-header",
    "accesssecret",
    "x-device-auth",
    "app-api-key",
];

/// Where a vendor's word stands for an example: file, word and how often; may only shrink.
const VENDORS_WORDS_LEFT: [(&str, &str, usize); 0] = [];

/// A file is read on a few screens.
const LINES_MAX: usize = 500;

/// Longer files, with their lengths; may only shrink.
const LONG_FILES: [(&str, usize); 0] = [];

/// Crates that sources call by another name than manifests.
const CALLED: [(&str, &str); 2] = [("md-5", "md5"), ("rustls-webpki", "webpki")];

/// All Rust sources below a folder, by their paths from the root of the repository.
fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

/// The sources of all crates, tests in files of their own aside.
pub(crate) fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        sources(&entry.unwrap().path().join("src"), &mut found);
    }
    found.sort();
    assert!(found.len() > 100, "{} sources", found.len());
    found
}

#[test]
fn crates_know_each_other_as_drawn() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let expected = [
        "countersign",
        "countersign-auth",
        "countersign-bayeux",
        "countersign-gateway",
        "countersign-identity",
        "countersign-negotiate",
        "countersign-services",
    ];
    assert_eq!(names, expected.into());
    let mut edges = BTreeSet::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            if names.contains(name) {
                edges.insert((package["name"].as_str().unwrap(), name));
            }
        }
    }
    assert_eq!(edges, EDGES.into(), "ARCHITECTURE.md draws these edges and no others");
}

/// The one file that may call what the compiler cannot check: a C library.
const UNSAFE_FILE: &str = "crates/negotiate/src/kerberos/ffi.rs";

#[test]
fn unsafe_code_stands_in_one_file() {
    const SPELLINGS: [&str; 7] = [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe extern",
        "unsafe trait",
        "allow(unsafe_code",
        "expect(unsafe_code",
    ];
    let mut files = all_sources();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let tests = entry.unwrap().path().join("tests");
        if tests.is_dir() {
            sources(&tests, &mut files);
        }
    }
    // This file spells them out.
    files.retain(|path| path != Path::new("crates/countersign/tests/it/shape.rs"));
    let with_unsafe: Vec<_> = files
        .iter()
        .filter(|path| {
            let text = std::fs::read_to_string(root().join(path)).unwrap();
            SPELLINGS.iter().any(|spelling| text.contains(spelling))
        })
        .collect();
    assert_eq!(with_unsafe, [Path::new(UNSAFE_FILE)]);
    // Everywhere else the compiler itself sees to that.
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let lints = if folder.ends_with("negotiate") {
            "[lints.rust]\nunsafe_code = \"deny\""
        } else {
            "[lints]\nworkspace = true"
        };
        assert!(manifest.contains(lints), "{}: no {lints}", folder.display());
    }
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}

/// What the binary's configuration knows of the binary: the fuzz target takes these modules out of it.
const FUZZED: [&str; 2] = ["crate::config", "crate::dialects"];

#[test]
fn the_configuration_stands_by_itself() {
    let mut files = vec![
        PathBuf::from("crates/countersign/src/config.rs"),
        PathBuf::from("crates/countersign/src/dialects.rs"),
    ];
    sources(&root().join("crates/countersign/src/config"), &mut files);
    files.retain(|path| !path.ends_with("tests.rs"));
    assert!(files.len() > 20, "{} files", files.len());
    for path in files {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        for (at, _) in text.match_indices("crate::") {
            let named = &text[at..];
            let known = FUZZED.iter().any(|module| named.starts_with(module))
                || text[..at].ends_with("pub(in ")
                || text[..at].ends_with('$');
            assert!(known, "{}: {}", path.display(), named.lines().next().unwrap());
        }
    }
}

/// The demo plays the vendors' services, so that it may say their names; so does a named service in what it answers.
fn may_name_vendors(path: &Path) -> bool {
    path.starts_with("crates/services/src/centre")
        || path.starts_with("crates/countersign/src/demo")
        || path == Path::new("crates/countersign/src/demo.rs")
}

#[test]
fn vendors_words_stand_in_dialects_alone() {
    let mut found = Vec::new();
    for path in all_sources().iter().filter(|path| !may_name_vendors(path)) {
        let text = std::fs::read_to_string(root().join(path)).unwrap().to_ascii_lowercase();
        for word in VENDORS_WORDS {
            let count = text.matches(word).count();
            if count > 0 {
                found.push((path.display().to_string(), word, count));
            }
        }
    }
    let found: Vec<(&str, &str, usize)> =
        found.iter().map(|(path, word, count)| (path.as_str(), *word, *count)).collect();
    assert_eq!(found, VENDORS_WORDS_LEFT);
}

#[test]
fn files_fit_on_a_few_screens() {
    let mut long = Vec::new();
    for path in all_sources() {
        assert!(
            path.file_name().is_some_and(|name| name != "mod.rs"),
            "{}: foo.rs beside foo/",
            path.display()
        );
        let lines = std::fs::read_to_string(root().join(&path)).unwrap().lines().count();
        if lines > LINES_MAX {
            long.push((path.display().to_string(), lines));
        }
    }
    let grown: Vec<&(String, usize)> = long
        .iter()
        .filter(|(path, lines)| !LONG_FILES.iter().any(|(known, most)| known == path && lines <= most))
        .collect();
    assert!(grown.is_empty(), "longer than {LINES_MAX} lines: {grown:?}");
    let gone: Vec<_> =
        LONG_FILES.iter().filter(|(known, _)| !long.iter().any(|(path, _)| path == known)).collect();
    assert!(gone.is_empty(), "no longer that long, to be taken off the list: {gone:?}");
}

#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for folder in std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()) {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let mut files = Vec::new();
        sources(&folder, &mut files);
        // Tests of several crates have them by their paths.
        sources(&root().join("fuzz/targets"), &mut files);
        let texts: Vec<String> =
            files.iter().map(|file| std::fs::read_to_string(root().join(file)).unwrap()).collect();
        let is_said = |name: &str| {
            let is_of_a_word = |character: char| character.is_alphanumeric() || character == '_';
            texts.iter().any(|text| text.split(|character| !is_of_a_word(character)).any(|word| word == name))
        };
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']);
            }
            let Some((name, _)) = line.split_once(['.', ' ']).filter(|_| section.ends_with("dependencies"))
            else {
                continue;
            };
            let called = CALLED.iter().find(|(package, _)| *package == name).map(|(_, called)| *called);
            if !is_said(&called.map_or_else(|| name.replace('-', "_"), str::to_owned)) {
                unused.push(format!("{}: {name}", folder.file_name().unwrap().display()));
            }
        }
    }
    assert!(unused.is_empty(), "{unused:?}");
}
