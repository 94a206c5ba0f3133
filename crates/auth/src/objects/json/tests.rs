#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, prop_assert_eq};
use serde_json::{Map, Value};

use super::{DEPTH_MAX, Found, Item, Items, JsonFault, Plain, walk};
use crate::objects::pointer::Pointers;

fn pointers(texts: &[&str]) -> Pointers {
    let mut pointers = Pointers::default();
    for text in texts {
        pointers.add(text).unwrap();
    }
    pointers
}

fn found(text: &str, wanted: &[&str]) -> Result<Vec<String>, JsonFault> {
    let mut found = Vec::new();
    let pointers = pointers(wanted);
    walk(text, &pointers, Items::Passed, &mut |one: Found<'_>| {
        let span = &text[one.span.clone()];
        found.push(match &one.value {
            Plain::Text(value) => format!("{} text {value} at {span}", one.pointer),
            Plain::Number(value) => format!("{} number {value} at {span}", one.pointer),
            Plain::Truth(value) => format!("{} truth {value} at {span}", one.pointer),
            Plain::Null => format!("{} null at {span}", one.pointer),
            Plain::Nested => format!("{} nested at {span}", one.pointer),
        });
        Ok::<(), JsonFault>(())
    })?;
    Ok(found)
}

#[test]
fn pointers_find_every_occurrence() {
    let check = |text: &str, wanted: &[&str], expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(found(text, wanted), Ok(expected), "{text}");
    };
    check(r#"{"id":1}"#, &["/id"], &["0 number 1 at 1"]);
    check(r#"{"id":"a\u0062\n"}"#, &["/id"], &["0 text ab\n at \"a\\u0062\\n\""]);
    check(r#" { "x" : 1 , "ID" : "2" } "#, &["/id"], &["0 text 2 at \"2\""]);
    check(r#"{"id":null,"Id":true}"#, &["/id"], &["0 null at null", "0 truth true at true"]);
    check(r#"{"id":[1]}"#, &["/id"], &["0 nested at [1]"]);
    check(r#"{"\u0069d":7}"#, &["/id"], &["0 number 7 at 7"]);
    check(r#"[{"id":1},{"id":2}]"#, &["/*/id"], &["0 number 1 at 1", "0 number 2 at 2"]);
    check(
        r#"{"a":{"id":1,"b":[{"id":2}]},"id":3}"#,
        &["/**/id", "/id"],
        &["0 number 1 at 1", "0 number 2 at 2", "0 number 3 at 3", "1 number 3 at 3"],
    );
    check(r#"{"other":{"id":1}}"#, &["/id"], &[]);
    check(r#"{"id":"\ud83d\ude00"}"#, &["/id"], &["0 text \u{1f600} at \"\\ud83d\\ude00\""]);
    check("7", &["/id"], &[]);
    check(r#"{"id":-0.5e+10}"#, &["/id"], &["0 number -0.5e+10 at -0.5e+10"]);
}

#[test]
fn what_has_no_one_reading_is_a_fault() {
    let check = |text: &str, expected: JsonFault| {
        assert_eq!(found(text, &["/id"]), Err(expected), "{text}");
    };
    check(r#"{"id":1,"id":2}"#, JsonFault::Twice);
    check(r#"{"id":1,"\u0069d":1}"#, JsonFault::Twice);
    check(r#"{"x":[{"a":1,"b":2,"a":3}]}"#, JsonFault::Twice);
    check(&format!("{}1{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1)), JsonFault::TooDeep);
    check(&"{\"a\":".repeat(100_000), JsonFault::TooDeep);
    for text in [
        "",
        " ",
        "{",
        "{\"id\"}",
        "{\"id\":}",
        "{\"id\":1,}",
        "{id:1}",
        "{'id':1}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"id\":01}",
        "{\"id\":1.}",
        "{\"id\":.5}",
        "{\"id\":+1}",
        "{\"id\":1e}",
        "{\"id\":NaN}",
        "{\"id\":tru}",
        "{\"id\":\"\u{1}\"}",
        "{\"id\":\"\\x41\"}",
        "{\"id\":\"\\u12\"}",
        "{\"id\":\"\\ud800\"}",
        "{\"id\":\"\\udc00\\ud800\"}",
        "{\"id\":\"\\ud800\\u0041\"}",
        "{\"id\":\"\\u+123\"}",
        "{\"id\":\"a",
        "{} {}",
        "{}x",
        "{\"id\\u0000x\":1}",
        "// no\n{}",
        "{\"id\":1/**/}",
        "\u{feff}{}",
        "{\"id\":1}\0",
        "nul",
        "-",
        "--1",
    ] {
        check(text, JsonFault::Malformed);
    }
    let deep = format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    assert_eq!(found(&deep, &["/id"]), Ok(Vec::new()));
}

#[test]
fn items_of_lists_are_noted_with_their_commas() {
    let text = r#"{"list":[{"id":1}, {"id":2,"in":[{"id":3}]}],"other":[5]}"#;
    let pointers = pointers(&["/list/**/id"]);
    let mut inside = Vec::new();
    let items = walk(text, &pointers, Items::Noted, &mut |one: Found<'_>| {
        inside.push(one.item);
        Ok::<(), JsonFault>(())
    });
    let told: Vec<_> = items
        .unwrap()
        .into_iter()
        .map(|Item { span, before, behind, outer }| (&text[span], before, behind, outer))
        .collect();
    let comma = text.find(", {");
    assert_eq!(
        told,
        [
            (r#"{"id":1}"#, None, comma, None),
            (r#"{"id":2,"in":[{"id":3}]}"#, comma, None, None),
            (r#"{"id":3}"#, None, None, Some(1)),
        ]
    );
    assert_eq!(inside, [Some(0), Some(1), Some(2)]);
}

#[test]
fn what_the_sink_refuses_ends_the_walk() {
    let pointers = pointers(&["/**/id"]);
    let mut calls = 0;
    let told = walk(r#"[{"id":1},{"id":2}]"#, &pointers, Items::Passed, &mut |_: Found<'_>| {
        calls += 1;
        Err(JsonFault::TooDeep)
    });
    assert_eq!((told, calls), (Err(JsonFault::TooDeep), 1));
}

/// Whether a value, read by an honest parser into a tree, has a member twice cannot be asked of that tree; so trees
/// are made, and texts made of them.
fn tree() -> impl Strategy<Value = Value> {
    let name = prop_oneof![Just("id".to_owned()), Just("ID".to_owned()), "[a-c\"\\\\\u{e9}]{0,3}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Floats that every reader reads alike.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// What `/**/id` leads to in a tree, as JSON, in the order of the text.
fn expected(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                expected(value, found);
                if name.eq_ignore_ascii_case("id") {
                    found.push(value.to_string());
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expected(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn the_walk_agrees_with_a_tree(value in tree(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let pointers = pointers(&["/**/id"]);
        let mut told = Vec::new();
        walk(&text, &pointers, Items::Noted, &mut |one: Found<'_>| {
            let again: Value = serde_json::from_str(&text[one.span.clone()]).unwrap();
            if let Plain::Text(text) = &one.value {
                assert_eq!(again.as_str(), Some(&**text));
            }
            told.push(again.to_string());
            Ok::<(), JsonFault>(())
        }).unwrap();
        let mut wanted = Vec::new();
        expected(&value, &mut wanted);
        prop_assert_eq!(told, wanted);
    }

    /// Whatever the walk takes, a parser that is known to be strict takes too, and the other way but for what the
    /// walk is stricter about.
    #[test]
    fn no_text_is_taken_that_is_not_json(text in "[\\[\\]{}\",:\\\\u0d8ae1 .+-]{0,24}", junk in any::<String>()) {
        for text in [&text, &junk] {
            let ours = found(text, &["/**/id"]);
            let theirs = serde_json::from_str::<Value>(text);
            match (&ours, &theirs) {
                (Ok(_), Err(error)) => {
                    // A number out of a float's range is JSON all the same.
                    prop_assert_eq!(error.to_string().contains("number out of range"), true, "{} {}", text, error);
                }
                (Err(JsonFault::Malformed), Ok(value)) => {
                    prop_assert_eq!(value.to_string().contains("\\u0000"), true, "{}", text);
                }
                (Ok(_), Ok(_)) | (Err(_), _) => {}
            }
        }
    }
}
