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
//! A case may have several edits, one after the other. `> loads` is a near miss that must not be refused. A dialect is one of `dialects/*/dialect.toml`, or a file of
//! `tests/dialects/`. `UPDATE=1` writes what the loader says into the cases.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use countersign_auth::dialect::Dialect;
use proptest::prelude::*;

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
    assert!(
        different.is_empty(),
        "the loader says something else than {different:?}; see above, or UPDATE=1"
    );
}

/// A case with what the loader says today.
fn answered(block: &str) -> String {
    let is_head = |line: &&str| !line.starts_with(['#', '@', '-', '+', '>']);
    let Some(head) = block.lines().find(is_head) else { return block.trim_end().to_owned() };
    let (name, _) = head.split_once(": ").unwrap_or_else(|| panic!("a case without its dialect: {head}"));
    answered_for(name, &super::common::dialect_text(name), block)
}

/// The same for edits of a text.
pub(crate) fn answered_for(name: &str, good: &str, block: &str) -> String {
    let mut out = String::new();
    let mut edits: Vec<Edit<'_>> = Vec::new();
    for line in block.lines().filter(|line| !line.starts_with('>')) {
        writeln!(out, "{line}").unwrap();
        let (mark, rest) = (line.chars().next(), line.get(2..).unwrap_or_default());
        if mark == Some('@') || (mark == Some('-') && edits.last().is_some_and(|edit| !edit.new.is_empty())) {
            edits.push(Edit::default());
        }
        if edits.is_empty() && (mark == Some('-') || mark == Some('+')) {
            edits.push(Edit::default());
        }
        match (mark, edits.last_mut()) {
            (Some('#'), _) => {}
            (Some('@'), Some(edit)) => edit.anchor = Some(rest),
            (Some('-'), Some(edit)) => edit.old.push(rest),
            (Some('+'), Some(edit)) => edit.new.push(rest),
            _ => {}
        }
    }
    let edited = edits.iter().fold(good.to_owned(), |text, edit| edit.applied(&text, block));
    match Dialect::load(&format!("{name}.toml"), &edited) {
        Ok(_) => out.push_str("> loads"),
        Err(problems) => {
            for problem in problems {
                assert!(problem.line > 0, "a mistake without its line:\n{block}\n{problem}");
                writeln!(out, "> {problem}").unwrap();
            }
        }
    }
    out.trim_end().to_owned()
}

#[derive(Default)]
struct Edit<'c> {
    anchor: Option<&'c str>,
    old: Vec<&'c str>,
    new: Vec<&'c str>,
}

impl Edit<'_> {
    fn applied(&self, good: &str, case: &str) -> String {
        let (old, new) = (self.old.join("\n"), self.new.join("\n"));
        let begin = match self.anchor {
            None => 0,
            Some(anchor) => {
                let is_line = |at: &usize| *at == 0 || good[..*at].ends_with('\n');
                let mut lines = good.match_indices(anchor).map(|(at, _)| at).filter(is_line);
                let at = lines.next().unwrap_or_else(|| panic!("no line begins `{anchor}`:\n{case}"));
                assert!(lines.next().is_none(), "several lines begin `{anchor}`:\n{case}");
                at + good[at..].find('\n').map_or(good.len() - at, |end| end + 1)
            }
        };
        let (head, tail) = good.split_at(begin);
        if old.is_empty() {
            return if self.anchor.is_some() {
                format!("{head}{new}\n{tail}")
            } else {
                format!("{good}\n{new}\n")
            };
        }
        assert!(tail.contains(&old), "the text to replace is not there:\n{case}");
        assert!(
            self.anchor.is_some() || tail.matches(&old).count() == 1,
            "the text is there twice; add @:\n{case}"
        );
        format!("{head}{}", tail.replacen(&old, &new, 1))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), toml in "([a-z.\\[\\]={}\"' \n0-9/-]|schema = 1\n|\\[token\\.|kind){0,60}") {
        read_or_refused(&text);
        read_or_refused(&toml);
        read_or_refused(&format!("schema = 1\nname = \"x\"\n{toml}"));
    }

    #[test]
    fn any_edit_of_a_good_file_is_read_or_refused(
        which in 0..5_usize,
        at in any::<prop::sample::Index>(),
        length in 0..20_usize,
        put in prop_oneof![
            Just(String::new()),
            any::<char>().prop_map(String::from),
            "[\\[\\]{}\"'|%=.,*/ \n-]{1,3}",
            "[a-z_]{1,8}",
        ],
    ) {
        let name = ["egain", "genesys", "voltmx", "superoffice", "enactor"][which];
        let mut text: Vec<char> = super::common::dialect_text(name).chars().collect();
        let at = at.index(text.len());
        let end = text.len().min(at + length);
        text.splice(at..end, put.chars());
        read_or_refused(&text.into_iter().collect::<String>());
    }
}

/// Neither a panic nor a mistake that nobody finds.
fn read_or_refused(text: &str) {
    let lines = text.lines().count().max(1);
    if let Err(problems) = Dialect::load("edited.toml", text) {
        assert!(!problems.is_empty(), "refused without a word:\n{text}");
        for problem in problems {
            assert!(problem.line > 0 && problem.line <= lines + 1, "{problem}\n{text}");
            assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem}");
        }
    }
}
