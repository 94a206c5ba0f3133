//! Every requirement of the vendors' documents, and the transcripts that show it: `docs/requirements.md`.
//!
//! The requirements are the lines of `requirements/*.txt`: id, words, and for what no transcript can show yet a
//! note that begins with `out:` (not the gate's) or `later:` (not in this version).

use std::fmt::Write as _;

use crate::transcript::{DIALECTS, Transcript, of_dialect, root};

/// Requirements of one dialect.
struct List {
    title: &'static str,
    dialect: &'static str,
    lines: &'static str,
    /// The letter that its ids begin with, and the number of the last.
    letter: char,
    last: usize,
}

const LISTS: [List; 5] = [
    List {
        title: "eGain and Cisco ECE",
        dialect: "egain",
        lines: include_str!("requirements/egain.txt"),
        letter: 'E',
        last: 26,
    },
    List {
        title: "Genesys Web Services",
        dialect: "genesys",
        lines: include_str!("requirements/genesys.txt"),
        letter: 'G',
        last: 46,
    },
    List {
        title: "HCL Volt MX Foundry Engagement Services",
        dialect: "voltmx",
        lines: include_str!("requirements/voltmx.txt"),
        letter: 'V',
        last: 37,
    },
    List {
        title: "SuperOffice WebApi",
        dialect: "superoffice",
        lines: include_str!("requirements/superoffice.txt"),
        letter: 'S',
        last: 31,
    },
    List {
        title: "Enactor REST",
        dialect: "enactor",
        lines: include_str!("requirements/enactor.txt"),
        letter: 'N',
        last: 44,
    },
];

const BEGINNING: &str = "\
# Requirements

What the vendors' documents demand, in our words, and the transcripts that show it. `E4` and the like are how
transcripts (`shows:`) and remarks cite a requirement. This file is written by a test
(`UPDATE=1 cargo test -p countersign --test it requirements`): it fails where a requirement of this version has no
transcript.
";

struct Requirement<'t> {
    id: &'t str,
    text: &'t str,
    note: Option<&'t str>,
}

fn requirements(list: &List) -> Vec<Requirement<'static>> {
    let mut requirements = Vec::new();
    for (at, line) in list.lines.lines().enumerate() {
        let mut parts = line.split(" | ");
        let (Some(id), Some(text), note, None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            panic!("{}.txt:{}: is not `id | text` or `id | text | note`", list.dialect, at + 1);
        };
        let known = note.is_none_or(|note| note.starts_with("out: ") || note.starts_with("later: "));
        assert!(known, "{}.txt:{}: the note begins with neither `out:` nor `later:`", list.dialect, at + 1);
        assert_eq!(id, format!("{}{}", list.letter, at + 1), "{}.txt:{}", list.dialect, at + 1);
        requirements.push(Requirement { id, text, note });
    }
    assert_eq!(requirements.len(), list.last, "{}.txt", list.dialect);
    requirements
}

/// The table of a dialect; what is wrong goes to `mistakes`.
fn table(list: &List, transcripts: &[Transcript], mistakes: &mut Vec<String>) -> String {
    let requirements = requirements(list);
    for transcript in transcripts {
        for id in &transcript.shows {
            if !requirements.iter().any(|requirement| requirement.id == id) {
                mistakes
                    .push(format!("{}: shows {id}, which is no requirement of its dialect", transcript.file));
            }
        }
    }
    let mut text = format!("\n## {}\n\n| | | shown by |\n|---|---|---|\n", list.title);
    for Requirement { id, text: words, note } in requirements {
        let shown: Vec<String> = transcripts
            .iter()
            .filter(|transcript| transcript.shows.iter().any(|shown| shown == id))
            .map(|transcript| {
                format!("[{0}](../dialects/{1}/transcripts/{0}.http)", transcript.name, list.dialect)
            })
            .collect();
        let by = match (shown.is_empty(), note) {
            (false, None) => shown.join(", "),
            (true, Some(note)) => note.to_owned(),
            (false, Some(note)) => format!("{}; {note}", shown.join(", ")),
            (true, None) => {
                mistakes.push(format!("{id} ({words}) is shown by no transcript"));
                "nothing".to_owned()
            }
        };
        let _ = writeln!(text, "| {id} | {words} | {by} |");
    }
    text
}

#[test]
fn every_requirement_is_shown() {
    let mut mistakes = Vec::new();
    let mut text = BEGINNING.to_owned();
    assert_eq!(LISTS.map(|list| list.dialect), DIALECTS);
    for list in &LISTS {
        let transcripts = of_dialect(list.dialect).unwrap_or_else(|errors| panic!("{}", errors.join("\n")));
        text.push_str(&table(list, &transcripts, &mut mistakes));
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    let file = root().join("docs/requirements.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == text, "docs/requirements.md is stale; run the test with UPDATE=1");
}
