//! Every key of a dialect file, with its type and meaning: the source of `docs/dialect-reference.md`.
//!
//! A test compares the table with what the reader asks for, so that neither has a key that the other lacks, and
//! another one writes the page (`UPDATE=1`) or fails if it is out of date.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod keys;
mod words;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::account;
use crate::dialect::operation::Operation;
use crate::dialect::reference::keys::TABLES;
use crate::dialect::reference::words::{
    KINDS, NOTATIONS, RULES, of_account_kind, of_filter, of_kind, of_operation, of_reason, of_scheme,
    of_token,
};
use crate::dialect::service::Service;
use crate::dialect::source::Source;
use crate::dialect::template::filter_names;
use crate::dialect::variables::Scope;
use crate::dialect::{BodyKind, Scheme, read};
use crate::refusal::Reason;

fn page() -> String {
    let mut page = String::from(
        "# Dialect reference\n\nAll that may stand in a dialect file. [dialects.md](dialects.md) is the way in; this page is to look things \
         up.\n\nThis file is written by a test (`UPDATE=1 cargo test -p countersign-auth reference`), which fails if it is out \
         of date.\n\n",
    );
    page.push_str(NOTATIONS);
    for described in &TABLES {
        let title = match described.table {
            "" => "Top level".to_owned(),
            "answer" => "Answers".to_owned(),
            table => format!("`[{table}]`"),
        };
        write!(page, "\n## {title}\n\n{}\n\n| key | type | meaning |\n|---|---|---|\n", described.what)
            .unwrap();
        for (key, kind, meaning) in described.keys {
            writeln!(page, "| `{key}` | {kind} | {} |", meaning.replace('|', "\\|")).unwrap();
        }
    }
    lists(&mut page);
    variables(&mut page);
    page.push('\n');
    page.push_str(RULES);
    page
}

fn lists(page: &mut String) {
    page.push_str("\n## Token kinds\n\n| kind | |\n|---|---|\n");
    for kind in KINDS {
        let (name, what) = of_token(kind);
        writeln!(page, "| `{name}` | {what} |").unwrap();
    }
    page.push_str("\n## Account kinds\n\n| kind | |\n|---|---|\n");
    for kind in account::KINDS {
        writeln!(page, "| `{kind}` | {} |", of_account_kind(kind)).unwrap();
    }
    page.push_str("\n## Schemes\n\n| scheme | |\n|---|---|\n");
    for scheme in Scheme::ALL {
        writeln!(page, "| `{}` | {} |", scheme.name(), of_scheme(scheme)).unwrap();
    }
    page.push_str(
        "\n## Operations\n\n| operation | what it does | inputs (optional ones in brackets) | its answer may also print |\n|---|---|---|---|\n",
    );
    let caller: BTreeSet<String> = Scope::caller(&[]).all().map(|(name, _)| name.to_owned()).collect();
    for operation in Operation::ALL {
        let required = operation.inputs().required.iter().map(|name| format!("`{name}`"));
        let optional = operation.inputs().optional.iter().map(|name| format!("[`{name}`]"));
        let inputs: Vec<String> = required.chain(optional).collect();
        let scope = Scope::operation(operation, &[], &[("TOKEN".to_owned(), true)], &[]);
        let own = scope.all().filter(|(name, _)| !caller.contains(*name) && *name != "return_to");
        let own: Vec<String> = own.map(|(name, _)| format!("`{name}`")).collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            operation.name(),
            of_operation(operation),
            inputs.join(" "),
            own.join(" ")
        )
        .unwrap();
    }
    services(page);
    page.push_str(
        "\nThe inputs `session` and `key` take the public reference or the value. Truth values are `true yes 1 on` and \
         `false no 0 off`. `return_to` is a path of this API. Operations that change something do not answer GET; \
         `issue` may.\n\n## Reasons\n\n| reason | status | falls back to | when |\n|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let wider = reason.falls_back_to().map_or_else(String::new, |wider| format!("`{}`", wider.name()));
        writeln!(page, "| `{}` | {} | {wider} | {} |", reason.name(), reason.status(), of_reason(reason))
            .unwrap();
    }
    page.push_str("\n## Bodies\n\n| body | `Content-Type`, unless `media` has a fuller one |\n|---|---|\n");
    for kind in BodyKind::ALL {
        writeln!(page, "| `{}` | `{}` |", kind.name(), kind.media_type()).unwrap();
    }
    page.push_str("\n## Filters\n\n| filter | makes of a value |\n|---|---|\n");
    for filter in filter_names() {
        writeln!(page, "| `{filter}` | {} |", of_filter(filter)).unwrap();
    }
}

/// What the named services among the operations may be told.
fn services(page: &mut String) {
    page.push_str("\n| service | option | type | meaning |\n|---|---|---|---|\n");
    for service in Service::ALL {
        for (name, kind, meaning) in service.options() {
            writeln!(page, "| `{}` | `{name}` | {} | {meaning} |", service.name(), kind.name()).unwrap();
        }
    }
}

/// Which names templates may print, by place.
fn variables(page: &mut String) {
    page.push_str("\n## Variables\n");
    let mut told = BTreeSet::new();
    for (place, scope) in [
        ("In cookies and stamps, and in answers of calls", Scope::caller(&["KEY".to_owned()])),
        ("In answers of calls also (see [operations](#operations) for which)", all_operations()),
        ("In `message` and `phrase` of refusals", Scope::refusal_message()),
        ("In bodies and headers of refusals", Scope::refusal()),
        ("In `code` of refusals", Scope::refusal_code()),
        ("In headers of `[assertion]`", Scope::assertion(&["KEY".to_owned()])),
        ("In claims of `[assertion]`", Scope::claims(&["KEY".to_owned()])),
    ] {
        write!(page, "\n**{place}**\n\n| name | is |\n|---|---|\n").unwrap();
        let also = place.contains("also");
        for (name, kind) in scope.all() {
            if !also || !told.contains(name) {
                writeln!(page, "| `{name}` | {} |", of_kind(kind)).unwrap();
            }
            told.insert(name.to_owned());
        }
    }
    page.push_str(
        "\nA secret may stand in headers, bodies and cookies of answers and stamps; never in refusals, in `Location`, in a \
         cookie's path, in `js` or in `[assertion]` (where `csrf.token` alone is none: pages print it). The session's id \
         does not stand in the body of `show`, nor in headers where a cookie is accepted. `trace` has a value only where the \
         API is in `development`. `NAME[]` stands for the items of a list: `{% for x in NAME %}{{ x }}{% endfor %}`.\n",
    );
}

fn all_operations() -> Scope {
    let issues = [("TOKEN".to_owned(), true)];
    let scopes =
        Operation::ALL.map(|operation| Scope::operation(operation, &[], &issues, &["NAME".to_owned()]));
    scopes.into_iter().reduce(Scope::and).unwrap_or_default()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

mod tests {
    use super::*;

    #[test]
    fn the_reader_and_the_reference_know_the_same_keys() {
        let mut asked = BTreeSet::new();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects/harbour.toml");
        let shipped = std::fs::read_dir(repository().join("dialects")).unwrap();
        let shipped = shipped.map(|entry| entry.unwrap().path().join("dialect.toml"));
        for file in shipped.chain([own]) {
            let text = std::fs::read_to_string(&file).unwrap();
            let source = Source::new("reference", &text);
            read::dialect(&source).unwrap();
            asked.extend(source.asked.take());
            assert_eq!(source.into_problems(), [], "{}", file.display());
        }
        let described = TABLES.iter().flat_map(|described| {
            described.keys.iter().map(|(key, _, _)| (described.table.to_owned(), (*key).to_owned()))
        });
        let described: BTreeSet<(String, String)> = described.collect();
        let undescribed: Vec<_> = asked.difference(&described).collect();
        let unread: Vec<_> = described.difference(&asked).collect();
        assert!(
            undescribed.is_empty() && unread.is_empty(),
            "undescribed: {undescribed:?}, never read: {unread:?}"
        );
        assert!(filter_names().all(|filter| !of_filter(filter).is_empty()));
    }

    #[test]
    fn the_reference_is_up_to_date() {
        let file = repository().join("docs/dialect-reference.md");
        let now = page();
        if std::fs::read_to_string(&file).unwrap_or_default() == now {
            return;
        }
        assert!(
            std::env::var("UPDATE").is_ok_and(|update| update == "1"),
            "{} is out of date; run this test with UPDATE=1",
            file.display()
        );
        std::fs::write(file, now).unwrap();
    }
}
