//! The bodies in which object rules look for ids.

use std::collections::BTreeSet;

use countersign_auth::objects::json::{Found, Items, JsonFault, Plain, walk};
use countersign_auth::objects::pointer::Pointers;
use serde_json::Value;

/// Pointers, each behind a blank, in the first line; behind it a JSON document.
///
/// What the walker takes, another parser takes, and finds no value that the walker did not tell; what the walker calls
/// no JSON is none, or has a name that services read in different ways.
pub fn objects(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (line, document) = text.split_once('\n').unwrap_or(("/id /**/customerId /items/*/id", text));
    let mut pointers = Pointers::default();
    let added: Vec<&str> = line.split(' ').filter(|pointer| pointers.add(pointer).is_ok()).collect();
    let mut told = Vec::new();
    let walked = walk(document, &pointers, Items::Noted, &mut |one: Found<'_>| {
        told.push(one);
        Ok::<(), JsonFault>(())
    });
    let read = serde_json::from_str::<Value>(document);
    let items = match walked {
        Ok(items) => items,
        Err(JsonFault::Malformed) => {
            assert!(read.is_err() || document.contains("\\u0000"), "json was taken for none");
            return;
        }
        Err(JsonFault::Twice | JsonFault::TooDeep) => return,
    };
    let read = match read {
        Ok(read) => read,
        // Numbers that no machine has; as text they are ids like others.
        Err(error) => {
            assert!(error.to_string().contains("number out of range"), "{error}: what was read is no json");
            return;
        }
    };
    for Found { pointer, value, span, item } in &told {
        assert!(*pointer < added.len());
        let text = &document[span.clone()];
        let of_span: Value = serde_json::from_str(text).expect("a value stands where it was found");
        match value {
            Plain::Text(text) => assert_eq!(of_span.as_str(), Some(&**text)),
            Plain::Number(number) => assert!(of_span.is_number() && *number == text),
            Plain::Truth(truth) => assert_eq!(of_span.as_bool(), Some(*truth)),
            Plain::Null => assert!(of_span.is_null()),
            Plain::Nested => assert!(of_span.is_object() || of_span.is_array()),
        }
        let inside = item.map(|item| items[item].span.clone());
        assert!(inside.is_none_or(|outer| outer.start <= span.start && span.end <= outer.end));
    }
    for item in &items {
        let of_span = serde_json::from_str::<Value>(&document[item.span.clone()]);
        assert!(of_span.is_ok(), "an item is a value");
        let commas = [item.before.filter(|_| item.before != item.behind), item.behind];
        let is_comma = |at: usize| document.as_bytes()[at] == b',';
        assert!(commas.into_iter().flatten().all(is_comma), "commas are around items");
    }
    for (number, pointer) in added.iter().enumerate() {
        let steps: Vec<&str> = pointer.split('/').skip(1).collect();
        // What the other parser finds by the plainest reading of the pointer; the walker may find more.
        let mut expected = Vec::new();
        follow(&read, &steps, &mut expected);
        let found: BTreeSet<usize> =
            told.iter().filter(|one| one.pointer == number).map(|one| one.span.start).collect();
        assert!(found.len() >= expected.len(), "{pointer} passed a value over");
    }
}

/// The values that a pointer leads to, names compared as they are.
fn follow<'v>(value: &'v Value, steps: &[&str], found: &mut Vec<&'v Value>) {
    let Some((step, rest)) = steps.split_first() else {
        if !found.iter().any(|known| std::ptr::eq(*known, value)) {
            found.push(value);
        }
        return;
    };
    if *step == "**" {
        follow(value, rest, found);
    }
    let name = step.replace("~1", "/").replace("~0", "~");
    let below = if *step == "**" { steps } else { rest };
    let fits = |own: &str| matches!(*step, "*" | "**") || own == name;
    match value {
        Value::Object(members) => {
            members.iter().filter(|(own, _)| fits(own)).for_each(|(_, value)| follow(value, below, found));
        }
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered
                .filter(|(at, _)| fits(&at.to_string()))
                .for_each(|(_, value)| follow(value, below, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
