#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::path::Path;

use super::{Loaded, schema};

const GOOD: &str = r#"
[[listener]]
name = "main"
address = "127.0.0.1:8080"

[[api]]
name = "one"
dialect = "./dialect.toml"
at = ["/one"]
upstream = "http://127.0.0.1:9000"
token.session = { idle = "30m", per_account = 3 }
issuers."https://issuer.example" = "self"

[[api.route]]
at = "GET /x/**"
allow = { roles = ["admin"], max_age = "1h" }

[[api]]
name = "two"
dialect = "./dialect.toml"
at = ["two.example/"]
upstream = { backends = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"], health = "/live" }
shared.device = { file = "device.txt" }

[[api.route]]
at = "/**"
allow = "authenticated"
"#;

const DIALECT: &str = r#"
deployments = ["strict", "trusting"]
[credential.who]
scheme = "unproven"
deployments = ["trusting"]
[token.session]
kind = "session"
[token.device]
kind = "shared"
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dialect.toml"), DIALECT).unwrap();
    std::fs::write(folder.path().join("device.txt"), "1234abc\n").unwrap();
    std::fs::write(folder.path().join("empty.txt"), "\n").unwrap();
    folder
}

fn mistakes(text: &str) -> Vec<String> {
    let folder = folder();
    match Loaded::parse(Path::new("c.toml"), folder.path(), text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => {
            let here = format!("{}/", folder.path().display());
            mistakes.iter().map(|mistake| mistake.to_string().replace(&here, "").replace("./", "")).collect()
        }
    }
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(mistakes(GOOD), [""; 0]);
}

#[test]
fn every_bad_edit_is_told_with_line_key_and_hint() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/bad-edits.txt");
    let cases = std::fs::read_to_string(&file).unwrap();
    let mut written = String::new();
    for case in cases.split("\n\n").filter(|case| !case.trim().is_empty()) {
        let lines =
            |mark: &str| -> Vec<&str> { case.lines().filter_map(|line| line.strip_prefix(mark)).collect() };
        let (from, to) = (lines("- ").join("\n"), lines("+ ").join("\n"));
        assert!(GOOD.contains(&from), "no such text in the good file: {from}");
        let found = mistakes(&GOOD.replacen(&from, &to, 1));
        let edit = case.lines().filter(|line| !line.starts_with("! "));
        let found = found.iter().map(|mistake| format!("! {mistake}"));
        let told: Vec<String> = edit.map(str::to_owned).chain(found).collect();
        let told = told.join("\n");
        if std::env::var_os("UPDATE").is_none() {
            assert_eq!(case.trim_end(), told, "run with UPDATE=1 and read the difference");
        }
        written.push_str(&format!("{told}\n\n"));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &written).unwrap();
    }
}

#[test]
fn a_dialect_that_is_misspelt_is_suggested() {
    let name = crate::dialects::EMBEDDED[0].name;
    let typo = GOOD.replacen("./dialect.toml", &format!("{name}x"), 1);
    let expected =
        format!("c.toml:8: api[0].dialect: no dialect is called `{name}x`; did you mean `{name}`?");
    assert_eq!(mistakes(&typo), [expected]);
}

#[test]
fn a_believed_header_and_an_open_listener_must_be_said_twice() {
    let open = GOOD.replace("127.0.0.1:8080", "0.0.0.0:8080");
    let trusting = open.replacen("at = [\"/one\"]", "at = [\"/one\"]\ndeployment = \"trusting\"", 1);
    let enabled = open.replacen("at = [\"/one\"]", "at = [\"/one\"]\nenable = [\"who\"]", 1);
    let expected = "c.toml:6: api[0]: believes whatever a caller says as `who`, and other machines can reach \
                    listener `main` at 0.0.0.0:8080; listen on 127.0.0.1, or write dangerous = [\"who\", \
                    \"unproven-from-anywhere\"]";
    assert_eq!(mistakes(&open), [""; 0]);
    assert_eq!(mistakes(&trusting), [expected]);
    assert_eq!(mistakes(&enabled), [expected]);
    let said = trusting.replacen(
        "[[api.route]]",
        "dangerous = [\"who\", \"unproven-from-anywhere\"]\n[[api.route]]",
        1,
    );
    assert_eq!(mistakes(&said), [""; 0]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let bad =
        GOOD.replace("name = \"main\"", "nam = \"main\"").replace("/x/**", "x").replace("\"self\"", "7");
    assert_eq!(mistakes(&bad).len(), 4, "{:#?}", mistakes(&bad));
    let bad = GOOD
        .replace("device.txt", "none.txt")
        .replace("\"two\"", "\"one\"")
        .replace("dialect.toml", "d.toml");
    assert_eq!(mistakes(&bad).len(), 4, "{:#?}", mistakes(&bad));
    assert_eq!(mistakes("").len(), 2);
}

#[test]
fn the_checked_in_schema_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.schema.json");
    let mut expected = serde_json::to_string_pretty(&schema()).unwrap();
    expected.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "docs/config.schema.json is out of date; run with UPDATE=1");
}
