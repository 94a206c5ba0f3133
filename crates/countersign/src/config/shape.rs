//! Checks the shape of a configuration against its own JSON Schema, and says every mistake at once.
//!
//! serde stops at the first mistake; a person who mends a file wants to see all of them. The schema is
//! generated from the very types that serde fills, so the two cannot disagree.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Report;
use super::value::check_format;

/// Walks `table` along `schema` and reports what does not fit. Notes the line of every key on the way.
pub(super) fn check(table: &Spanned<DeTable<'_>>, schema: &Value, report: &mut Report) {
    let walk = Walk { root: schema };
    walk.table(table.get_ref(), table.span().start, schema, "", report);
}

struct Walk<'s> {
    root: &'s Value,
}

impl<'s> Walk<'s> {
    fn value(&self, value: &Spanned<DeValue<'_>>, schema: &'s Value, path: &str, report: &mut Report) {
        report.note(path, value.span().start);
        let schemas = self.alternatives(schema);
        let kind = kind_of(value.get_ref());
        let Some(schema) = schemas.iter().find(|schema| takes(schema, kind)) else {
            let kinds: Vec<&str> = schemas.iter().flat_map(|schema| kinds(schema)).collect();
            report.add(path, format!("must be {}, not {}", either(&kinds), article(kind)), None);
            return;
        };
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, value.span().start, schema, path, report),
            DeValue::Array(items) => {
                let wanted = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                if items.is_empty() && wanted > 0 {
                    let hint = "name some, or take the line away to ask for nothing of it";
                    report.add(path, "an empty list would be met by everybody", Some(hint.to_owned()));
                }
                let Some(item_schema) = schema.get("items") else { return };
                for (at, item) in items.iter().enumerate() {
                    self.value(item, item_schema, &format!("{path}[{at}]"), report);
                }
            }
            DeValue::String(text) => check_text(text, &schemas, path, report),
            DeValue::Integer(number) => check_number(number.as_str(), number.radix(), schema, path, report),
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    fn table(&self, table: &DeTable<'_>, start: usize, schema: &'s Value, path: &str, report: &mut Report) {
        let none = serde_json::Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            let path = if path.is_empty() { quoted(name) } else { format!("{path}.{}", quoted(name)) };
            report.note(&path, key.span().start);
            match known.get(name).or(others) {
                Some(schema) => {
                    self.value(value, schema, &path, report);
                    report.note_again(&path, key.span().start);
                }
                None => report.add_unknown(&path, name, known.keys().map(String::as_str)),
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if table.get(name).is_none() {
                report.add_at(start, path, format!("`{name}` is missing"), example_of(name, known));
            }
        }
    }

    /// The plain schemas that a value may follow: references resolved, `anyOf` and `oneOf` unfolded, `null` out.
    fn alternatives(&self, schema: &'s Value) -> Vec<&'s Value> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map(|target| self.alternatives(target)).unwrap_or_default();
        }
        let several = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key).and_then(Value::as_array));
        match several {
            Some(schemas) => schemas.iter().flat_map(|schema| self.alternatives(schema)).collect(),
            None if kinds(schema).is_empty() && schema.get("const").is_none() => Vec::new(),
            None => vec![schema],
        }
    }
}

fn check_text(text: &str, schemas: &[&Value], path: &str, report: &mut Report) {
    let words: Vec<&str> = schemas
        .iter()
        .flat_map(|schema| {
            let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
            listed.chain(schema.get("const")).filter_map(Value::as_str)
        })
        .collect();
    if !words.is_empty() && !words.contains(&text) {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let quoted: Vec<&str> = quoted.iter().map(String::as_str).collect();
        let hint = super::report::nearest(text, words.iter().copied())
            .map(|word| format!("did you mean \"{word}\"?"));
        report.add(path, format!("must be {}, not \"{text}\"", either(&quoted)), hint);
    }
    let format = schemas.iter().find_map(|schema| schema.get("format").and_then(Value::as_str));
    if let Some(Err(error)) = format.and_then(|format| check_format(format, text)) {
        report.add(path, error, None);
    }
}

fn check_number(text: &str, radix: u32, schema: &Value, path: &str, report: &mut Report) {
    let bound = |key| schema.get(key).and_then(Value::as_i64);
    let (min, max) = (bound("minimum"), bound("maximum"));
    let number = i64::from_str_radix(&text.replace('_', ""), radix).ok();
    let fits = number.is_some_and(|n| min.is_none_or(|min| n >= min) && max.is_none_or(|max| n <= max));
    if !fits {
        let between = match (min, max) {
            (Some(min), Some(max)) => format!("between {min} and {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => String::from("a whole number"),
        };
        report.add(path, format!("must be {between}, not {text}"), None);
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

/// The types that a schema takes, without `null`, which TOML does not have.
fn kinds(schema: &Value) -> Vec<&str> {
    let named = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => {
            schema.get("const").filter(|word| word.is_string()).map(|_| "string").into_iter().collect()
        }
    };
    named.into_iter().filter(|kind| *kind != "null").collect()
}

fn takes(schema: &Value, kind: &str) -> bool {
    kinds(schema).iter().any(|taken| *taken == kind || (*taken == "number" && kind == "integer"))
}

fn article(kind: &str) -> &str {
    match kind {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "date" => "a date",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

fn either(kinds: &[&str]) -> String {
    let mut words: Vec<&str> = kinds.iter().map(|kind| article(kind)).collect();
    words.dedup();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::from("absent"),
    }
}

/// A key as it is written in a path: bare where TOML allows it.
pub(super) fn quoted(key: &str) -> String {
    let bare = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

fn example_of(name: &str, known: &serde_json::Map<String, Value>) -> Option<String> {
    let about = known.get(name)?.get("description")?.as_str()?;
    Some(format!("{name}: {}", about.trim_end_matches('.')))
}
