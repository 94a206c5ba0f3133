//! docs/operating.md and docs/assertion.md: what they list is what there is.

use std::collections::BTreeSet;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};

use crate::process::Site;
use crate::raw::Client;
use crate::shape::all_sources;
use crate::transcript::root;

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What stands below a heading of a page, up to the next one.
fn below(page: &str, heading: &str) -> String {
    let page = text(page);
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The words in code of a column of the tables in a text.
fn column(text: &str, number: usize) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").nth(number));
    cells.flat_map(coded).collect()
}

fn coded(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The texts in quotes of a source, its tests aside.
fn quoted(source: &str) -> impl Iterator<Item = &str> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2))
}

/// The part of a source from one text to the next one.
fn between<'t>(source: &'t str, from: &str, to: &str) -> &'t str {
    let (_, rest) = source.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to} behind {from}")).0
}

/// A gate with a directory that nobody answers for.
fn site() -> Site {
    let directory = "[directory.corp.ldap]\nservers = [\"ldap://127.0.0.1:9\"]\nbase = \"o=x\"\nbind = \"uid={user},o=x\"\n";
    let api = |upstream| {
        format!(
            "{directory}[[api]]\nname = \"push\"\ndialect = \"voltmx\"\nat = [\"push.example/\"]\n\
             upstream = \"http://{upstream}\"\n[[api.directory]]\nname = \"corp\"\n\
             [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
        )
    };
    Site::with(api, Vec::new())
}

#[test]
fn the_metrics_of_a_gate_are_those_of_the_page() {
    let site = site();
    let mut gate = site.start();
    let request = "GET /api/v1/x HTTP/1.1\r\nHost: push.example\r\n\r\n";
    assert_eq!(Client::new(gate.address).exchange(0, request.as_bytes()).unwrap().head.status(), 401);
    let (status, metrics) = gate.administration("/metrics");
    assert_eq!(status, 200);
    let kinds = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let shown: BTreeSet<(String, String)> = kinds
        .map(|(name, kind)| {
            (name.to_owned() + if kind == "counter" { "_total" } else { "" }, kind.to_owned())
        })
        .collect();
    let page = below("docs/operating.md", "Metrics");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let told: BTreeSet<(String, String)> = rows
        .clone()
        .map(|row| {
            let mut cells = row.trim_start_matches("| ").split(" | ");
            let name = coded(cells.next().unwrap()).next().unwrap();
            (name, cells.next().unwrap().to_owned())
        })
        .collect();
    assert_eq!(shown, told);
    // Names of labels, and their values where these are the gate's own words.
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let family = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
        let row = rows.clone().find(|row| row.starts_with(&format!("| `{family}`")));
        let row = row.unwrap_or_else(|| panic!("{family}"));
        for label in rest.split('}').next().unwrap().split(',') {
            let (label, value) = label.split_once('=').unwrap();
            assert!(label == "le" || row.contains(&format!("`{label}`")), "{label} of {family}");
            let value = value.trim_matches('"');
            if ["limit", "kind", "outcome"].contains(&label) {
                assert!(row.contains(&format!("`{value}`")), "{value} of {family}");
            }
        }
    }
}

#[test]
fn the_administration_listener_has_the_paths_of_the_page() {
    let site = site();
    let mut gate = site.start();
    let (status, paths) = gate.administration("/nothing");
    assert_eq!(status, 404);
    let mut there: BTreeSet<String> = paths.split_whitespace().map(str::to_owned).collect();
    let calls = text("crates/gateway/src/administration/calls.rs");
    there.extend(quoted(between(&calls, "const BELOW", ";\n")).map(str::to_owned));
    let page = below("docs/operating.md", "The administration listener");
    let (paths, reasons) = page.split_once("`/ready` answers 503").unwrap();
    assert_eq!(column(paths, 0), there);
    let plane = text("crates/countersign/src/wire/plane.rs");
    let ready = quoted(between(&plane, "ready: Arc::new(", "metrics: Arc::new("));
    assert_eq!(column(reasons, 0), ready.map(str::to_owned).collect());
}

#[test]
fn access_lines_have_the_fields_of_the_page() {
    let log = text("crates/gateway/src/log.rs");
    let written = between(&log, "fn write(&self, line: &Line", "\n    }\n");
    let fields: BTreeSet<String> = quoted(written).map(str::to_owned).collect();
    assert!(fields.len() > 20, "{fields:?}");
    assert_eq!(column(&below("docs/operating.md", "Access lines"), 0), fields);
}

#[test]
fn the_audit_has_the_events_of_the_page() {
    let is_event = |word: &&str| {
        let parts: Vec<&str> = word.split('.').collect();
        parts.len() == 2
            && parts.iter().all(|part| part.len() > 2 && part.bytes().all(|byte| byte.is_ascii_lowercase()))
    };
    let identity = all_sources().into_iter().filter(|file| {
        file.starts_with("crates/identity") && !file.components().any(|part| part.as_os_str() == "tests")
    });
    let mut events = BTreeSet::new();
    for file in identity {
        let source = text(file.to_str().unwrap());
        events.extend(quoted(&source).filter(is_event).map(str::to_owned));
    }
    assert_eq!(column(&below("docs/operating.md", "Audit"), 0), events);
}

#[test]
fn an_assertion_has_the_claims_of_the_page_and_the_example_is_one() {
    let source = text("crates/auth/src/assertion.rs");
    let code = between(&source, "\nfn claims(", "\n}\n");
    let inserted = code.split("claims.insert(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let claims = column(&below("docs/assertion.md", "Claims"), 0);
    assert_eq!(claims, inserted.map(str::to_owned).collect());

    let page = below("docs/assertion.md", "An example");
    let line = |beginning: &str| page.lines().find(|line| line.starts_with(beginning)).unwrap();
    let keys: JwkSet = serde_json::from_str(line("{\"keys\"")).unwrap();
    let mut validation = Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.set_audience(&["contact-centre"]);
    validation.set_issuer(&["countersign"]);
    let key = DecodingKey::from_jwk(keys.keys.first().unwrap()).unwrap();
    let token = line("eyJ");
    let read = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).unwrap();
    assert_eq!(serde_json::to_string(&read.claims).unwrap(), line("{\"aud\""));
    assert_eq!(read.header.typ.as_deref(), Some("countersign-assertion+jwt"));
    assert_eq!(read.header.kid, keys.keys.first().unwrap().common.key_id);
    assert!(read.claims.keys().all(|name| claims.contains(name)));
    let forged = token.replacen("eyJhdWQi", "eyJhdWQj", 1);
    assert!(jsonwebtoken::decode::<Map<String, Value>>(&forged, &key, &validation).is_err());
}
