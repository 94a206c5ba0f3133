//! `THREATS.md` says of every threat what prevents it and which test shows that; here what it says is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::transcript::root;

/// Letters of the threats, and how many each has.
const THREATS: [(char, usize); 7] =
    [('A', 16), ('B', 14), ('C', 14), ('D', 15), ('E', 13), ('F', 12), ('G', 7)];
/// Protocols whose rules have rows, and how many each has.
const RULES: [(&str, usize); 7] =
    [("NTLM", 10), ("KRB", 7), ("DIG", 9), ("LDAP", 7), ("JWT", 9), ("OIDC", 6), ("BAY", 11)];

/// What a row says instead of naming a test, or beside it.
const EXCUSES: [&str; 2] = ["open: ", "not applicable yet: "];

/// A row of the tables.
struct Row<'t> {
    id: &'t str,
    code: Vec<&'t str>,
    tests: Vec<&'t str>,
    excused: bool,
}

/// The words in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn rows(text: &str) -> Vec<Row<'_>> {
    let lines = text.lines().filter(|line| line.starts_with("| T-") || line.starts_with("| P-"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [id, attack, code, tests] = cells[..] else { panic!("not four cells: {line}") };
            assert!(!attack.is_empty(), "{line}");
            let named = EXCUSES.iter().filter_map(|excuse| tests.find(excuse)).min().unwrap_or(tests.len());
            Row { id, code: quoted(code), tests: quoted(&tests[..named]), excused: named < tests.len() }
        })
        .collect()
}

/// The names of all tests below a folder, each with the names of the files that have such a test.
fn tests(below: &Path, found: &mut BTreeMap<String, Vec<String>>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                match name.and_then(|name| name.split_once('(')) {
                    Some((name, _)) if is_test => {
                        found.entry(name.to_owned()).or_default().push(file.clone());
                        is_test = false;
                    }
                    Some(_) => is_test = false,
                    None if ["#[test]", "#[tokio::test"].iter().any(|mark| line.starts_with(mark)) => {
                        is_test = true
                    }
                    None => {}
                }
            }
        }
    }
}

/// What is wrong with the name of a test: there is none, or another of the same name, from which the file's name before it
/// tells it apart (`replay::egain`).
fn mistaken(name: &str, known: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let (file, own) = name.rsplit_once("::").map_or((None, name), |(file, own)| (Some(file), own));
    let files = known.get(own).map(Vec::as_slice).unwrap_or_default();
    match files.iter().filter(|known| file.is_none_or(|file| file == **known)).count() {
        0 => Some(format!("no test {name}")),
        1 => None,
        _ => Some(format!("{name} is a test of {}", files.join(" and of "))),
    }
}

#[test]
fn every_threat_has_its_row_and_every_row_its_tests() {
    let text = std::fs::read_to_string(root().join("THREATS.md")).unwrap();
    let rows = rows(&text);
    let threats = THREATS
        .iter()
        .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("T-{letter}{number}")));
    let rules =
        RULES.iter().flat_map(|(name, last)| (1..=*last).map(move |number| format!("P-{name}{number}")));
    let wanted: Vec<String> = threats.chain(rules).collect();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), wanted);
    let mut known = BTreeMap::new();
    tests(&root().join("crates"), &mut known);
    let mut mistakes = Vec::new();
    for row in &rows {
        if row.tests.is_empty() && !row.excused {
            mistakes.push(format!("{}: neither a test nor why there is none", row.id));
        }
        if !row.tests.is_empty() && row.code.is_empty() {
            mistakes.push(format!("{}: tests, but no code", row.id));
        }
        mistakes.extend(
            row.tests
                .iter()
                .filter_map(|name| mistaken(name, &known).map(|why| format!("{}: {why}", row.id))),
        );
        mistakes.extend(
            row.code
                .iter()
                .filter(|path| !root().join(path).is_file())
                .map(|path| format!("{}: no file {path}", row.id)),
        );
    }
    // And the other way round.
    let mut attacks = BTreeMap::new();
    tests(&root().join("crates/countersign/tests/it/threats"), &mut attacks);
    let mut attacks: BTreeSet<String> = attacks.into_keys().collect();
    attacks.remove("every_threat_has_its_row_and_every_row_its_tests");
    assert!(attacks.len() >= 34, "{attacks:?}");
    for attack in attacks {
        let letters = attack.split('_').next().unwrap().to_ascii_uppercase();
        let (id, rule) = (format!("T-{letters}"), format!("P-{letters}"));
        // Tests of a protocol's rules begin with its letters, and show one rule or several.
        let is_of = |row: &Row<'_>, letters: &str| {
            id == format!("T-{letters}") && row.id.starts_with(&format!("P-{letters}"))
        };
        let is_meant = |row: &&Row<'_>| {
            row.id == id || row.id == rule || ["BAY", "OIDC"].iter().any(|letters| is_of(row, letters))
        };
        if !rows.iter().filter(is_meant).any(|row| row.tests.contains(&attack.as_str())) {
            mistakes.push(format!("{id}: its row does not name {attack}"));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
