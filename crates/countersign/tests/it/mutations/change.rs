//! The values of a dialect file, and a changed file for each.

use toml::{Table, Value};

/// A dialect file with one value changed.
pub(crate) struct Mutation {
    /// Which value, and what was done to it: `token.session.idle doubled`.
    pub(crate) name: String,
    /// The table that the value stands in; values of one table are noticed by the same transcripts.
    pub(crate) table: String,
    /// The whole file.
    pub(crate) text: String,
}

/// Words that may stand in each other's place without the loader's objection.
const ALTERNATIVES: [(&str, &str); 6] = [
    ("session", "access"),
    ("access", "session"),
    ("refuse", "end-oldest"),
    ("end-oldest", "refuse"),
    ("Lax", "Strict"),
    ("Strict", "Lax"),
];

/// Keys whose values are such words.
const WORD_KEYS: [&str; 3] = ["kind", "at_limit", "same_site"];

enum Step {
    Key(String),
    Item(usize),
}

/// Every change of every value, in the order of the names of the tables.
pub(crate) fn mutations(file: &str) -> Vec<Mutation> {
    let root: Table = file.parse().unwrap();
    let mut mutations = Vec::new();
    walk(&root, &Value::Table(root.clone()), &mut Vec::new(), &mut mutations);
    mutations
}

fn walk(root: &Table, value: &Value, path: &mut Vec<Step>, into: &mut Vec<Mutation>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                path.push(Step::Key(key.clone()));
                walk(root, value, path, into);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                let mut fewer = items.clone();
                fewer.remove(at);
                let what = format!("[{at}] removed");
                into.push(mutation(root, path, &what, Value::Array(fewer)));
                path.push(Step::Item(at));
                walk(root, value, path, into);
                path.pop();
            }
        }
        leaf @ (Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)) => {
            for (what, changed) in changes(last_key(path), leaf) {
                into.push(mutation(root, path, what, changed));
            }
        }
    }
}

fn last_key(path: &[Step]) -> &str {
    path.iter()
        .rev()
        .find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        })
        .unwrap_or_default()
}

fn mutation(root: &Table, path: &[Step], what: &str, value: Value) -> Mutation {
    let mut changed = Value::Table(root.clone());
    let mut place = &mut changed;
    let mut name = String::new();
    let mut table = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                if !name.is_empty() {
                    table.clone_from(&name);
                    name.push('.');
                }
                name.push_str(key);
                place = place.get_mut(key.as_str()).unwrap();
            }
            Step::Item(at) => {
                name.push_str(&format!("[{at}]"));
                place = place.get_mut(*at).unwrap();
            }
        }
    }
    *place = value;
    let blank = if what.starts_with('[') { "" } else { " " };
    Mutation { name: format!("{name}{blank}{what}"), table, text: toml::to_string(&changed).unwrap() }
}

fn changes(key: &str, leaf: &Value) -> Vec<(&'static str, Value)> {
    match leaf {
        Value::Integer(number) => vec![("changed", Value::Integer(number + 1))],
        Value::Boolean(flag) => vec![("changed", Value::Boolean(!flag))],
        Value::String(text) => match period(text) {
            Some((number, unit)) => {
                let halved = if number > 1 {
                    format!("{}{unit}", number / 2)
                } else {
                    // The half of an hour or a day in the next smaller unit.
                    match unit {
                        'h' => "30m".to_owned(),
                        'd' => "12h".to_owned(),
                        _ => "30s".to_owned(),
                    }
                };
                vec![
                    ("doubled", Value::String(format!("{}{unit}", number * 2))),
                    ("halved", Value::String(halved)),
                ]
            }
            None => vec![("changed", Value::String(other_text(key, text)))],
        },
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => Vec::new(),
    }
}

fn period(text: &str) -> Option<(u64, char)> {
    let unit = text.chars().next_back().filter(|unit| matches!(unit, 's' | 'm' | 'h' | 'd'))?;
    let number = text.get(..text.len() - 1)?.parse().ok()?;
    Some((number, unit))
}

/// Another word of the same kind, a number that is one more, or another letter in the middle of what is literal.
fn other_text(key: &str, text: &str) -> String {
    if WORD_KEYS.contains(&key)
        && let Some((_, other)) = ALTERNATIVES.iter().find(|(word, _)| *word == text)
    {
        return (*other).to_owned();
    }
    let letters = literal_letters(text);
    let Some(at) = letters.get(letters.len() / 2) else {
        // Nothing but variables and signs: `{{ session.id }}`, `/**`, `{base64:64}`.
        return without_letters(text);
    };
    let mut bytes = text.as_bytes().to_vec();
    bytes[*at] = match bytes[*at] {
        b'9' => b'8',
        b'z' => b'y',
        b'Z' => b'Y',
        other => other + 1,
    };
    String::from_utf8(bytes).unwrap()
}

/// Where letters and digits stand that are in no braces.
fn literal_letters(text: &str) -> Vec<usize> {
    let mut letters = Vec::new();
    let mut depth = 0_u32;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let next = bytes.get(at + 1).copied().unwrap_or_default();
        let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or_default();
        match byte {
            // `{{ x }}` and `{% x %}`; and `{x}` of forms and paths, but not the braces of CSS, JSON and scripts.
            b'{' if matches!(next, b'{' | b'%') || depth > 0 || is_named_part(&text[at..]) => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            // An escape is no letter.
            byte if depth == 0 && byte.is_ascii_alphanumeric() && !matches!(before, b'\\' | b'&') => {
                letters.push(at);
            }
            _ => {}
        }
    }
    letters
}

/// `{guid}`, `{base64:64}`, `{ver}`.
fn is_named_part(text: &str) -> bool {
    let Some(end) = text.find('}') else { return false };
    let name = &text[1..end];
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_'))
}

fn without_letters(text: &str) -> String {
    if text.contains("{{") {
        return format!("{text}x");
    }
    if let Some(rest) = text.strip_prefix('/') {
        return format!("/x/{rest}");
    }
    if let Some((head, tail)) = text.split_once(':')
        && let Some((number, rest)) = tail.split_once('}')
        && let Ok(number) = number.parse::<u32>()
    {
        return format!("{head}:{}}}{rest}", number + 1);
    }
    format!("{text}x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_changed_one_at_a_time() {
        let file = "a = 1\nb = true\nc = [\"x\", \"y\"]\n[t.w]\nidle = \"30m\"\nd = \"1d\"\nkind = \"session\"\n\
            form = \"{base64:64}\"\nat = \"/**\"\ntemplate = \"{{ x }}\"\ntext = \"abc {{ abc }}\"\n";
        let names: Vec<String> = mutations(file)
            .into_iter()
            .map(|mutation| {
                let root: Table = file.parse().unwrap();
                let changed: Table = mutation.text.parse().unwrap();
                assert_ne!(root, changed, "{}", mutation.name);
                mutation.name
            })
            .collect();
        assert_eq!(
            names,
            [
                "a changed",
                "b changed",
                "c[0] removed",
                "c[0] changed",
                "c[1] removed",
                "c[1] changed",
                "t.w.at changed",
                "t.w.d doubled",
                "t.w.d halved",
                "t.w.form changed",
                "t.w.idle doubled",
                "t.w.idle halved",
                "t.w.kind changed",
                "t.w.template changed",
                "t.w.text changed",
            ]
        );
    }

    #[test]
    fn what_is_changed_is_literal() {
        let check = |text: &str, expected: &str| assert_eq!(other_text("x", text), expected);
        check("{base64:64}", "{base64:65}");
        check("{guid}", "{guid}x");
        check("7A:{base64:64}", "7B:{base64:64}");
        check("/**", "/x/**");
        check("POST /ws/{ver}/**", "POSU /ws/{ver}/**");
        check("{{ session.id }}", "{{ session.id }}x");
        check("{\"a\":{{ code | int }}}", "{\"b\":{{ code | int }}}");
        check("{% if a %}b{% endif %}", "{% if a %}c{% endif %}");
        check("body { margin: 0 }", "body { mbrgin: 0 }");
    }
}
