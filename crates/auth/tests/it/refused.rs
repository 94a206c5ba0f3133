//! What the loader refuses, and how it says so.
//!
//! Each case of `refused/*.txt` is an edit of a good dialect and everything the loader then prints:
//!
//! ```text
//! egain: what the case is about
//! @ [token.session]           the line behind which the edit begins to look; the top without it
//! - per_account = 5           text that is there (several lines are one text)
//! + per_acount = 5            what it becomes; without `-` it is put behind the `@` line, or at the end
//! > egain.toml:12: token.session: unknown key `per_acount`; did you mean `per_account`?
//! ```
//!
//! `> loads` is a near miss that must not be refused. A dialect is one of `dialects/*/dialect.toml`, or a file of
//! `tests/dialects/`. `UPDATE=1` writes what the loader says into the cases.


use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use countersign_auth::dialect::Dialect;

#[test]
fn bad_edits_of_good_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut different = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let now: Vec<String> = text.trim_end().split("\n\n").map(answered).collect();
        let now = now.join("\n\n") + "\n";
        if super::common::expect(&file, &text, &now) {
            different.push(file);
        }
    }
    assert!(different.is_empty(), "the loader says something else than {different:?}; see above, or UPDATE=1");
}

/// A case with what the loader says today.
fn answered(block: &str) -> String {
    let mut out = String::new();
    let (mut name, mut anchor, mut old, mut new) = (None, None, Vec::new(), Vec::new());
    for line in block.lines() {
        if line.starts_with('>') {
            continue;
        }
        writeln!(out, "{line}").unwrap();
        match line.split_at_checked(2) {
            Some(("@ ", rest)) => anchor = Some(rest),
            Some(("- ", rest)) => old.push(rest),
            Some(("+ ", rest)) => new.push(rest),
            Some(("# ", _)) => {}
            _ if line == "+" => new.push(""),
            _ if name.is_none() => name = line.split_once(": ").map(|(name, _)| name),
            _ => panic!("a line of a case is none: {line}"),
        }
    }
    let Some(name) = name else { return out.trim_end().to_owned() };
    let good = super::common::dialect_text(name);
    let edited = edit(&good, anchor, &old.join("\n"), &new.join("\n"), block);
    match Dialect::load(&format!("{name}.toml"), &edited) {
        Ok(_) => out.push_str("> loads"),
        Err(problems) => {
            for problem in problems {
                writeln!(out, "> {problem}").unwrap();
            }
        }
    }
    out.trim_end().to_owned()
}

fn edit(good: &str, anchor: Option<&str>, old: &str, new: &str, case: &str) -> String {
    let begin = match anchor {
        None => 0,
        Some(anchor) => {
            let mut lines = good.match_indices(anchor).filter(|(at, _)| *at == 0 || good[..*at].ends_with('\n'));
            let (at, _) = lines.next().unwrap_or_else(|| panic!("no line begins `{anchor}`:\n{case}"));
            assert!(lines.next().is_none(), "several lines begin `{anchor}`:\n{case}");
            at + good[at..].find('\n').map_or(good.len() - at, |end| end + 1)
        }
    };
    let (head, tail) = good.split_at(begin);
    if old.is_empty() {
        return if anchor.is_some() { format!("{head}{new}\n{tail}") } else { format!("{good}\n{new}\n") };
    }
    assert!(tail.contains(old), "the text to replace is not there:\n{case}");
    assert!(anchor.is_some() || tail.matches(old).count() == 1, "the text is there twice; add @:\n{case}");
    format!("{head}{}", tail.replacen(old, new, 1))
}
