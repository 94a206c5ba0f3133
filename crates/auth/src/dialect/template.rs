//! Templates of answers.
//!
//! The notation is a small part of what people know from Jinja: `{{ name }}`, `{{ name | filter }}`,
//! `{% for x in list %} … {% endfor %}`, `{% if name %} … {% else %} … {% endif %}`, `{% if not name %}`. There
//! are no expressions, no calls and no includes, so that a template ends and says only what it may. Every name is
//! checked when the file is loaded; a value is escaped for the medium that it stands in, and never quoted.

mod escape;

use std::borrow::Cow;

use self::escape::{address_in_header, escape, url_encode};

use crate::date::DateFormat;
use crate::dialect::variables::{Kind, Scope};
use crate::time::Time;

/// What a template is rendered into; decides how values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A header's value: bytes that may not stand there are percent-encoded.
    Header,
    /// A cookie's value, likewise.
    Cookie,
    /// A string within JSON.
    Json,
    /// Text or an attribute between double quotes.
    Xml,
    /// Text or an attribute between double quotes.
    Html,
    /// Plain text, or a part that is escaped later.
    Text,
}

/// The closed list of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Date,
    Rfc3339,
    Unix,
    UnixMs,
    Int,
    Length,
    Url,
}

/// The names of the filters, for the reference.
#[cfg(test)]
pub(crate) fn filter_names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().map(|(name, _)| *name)
}

/// The filters by name, for the parser and the reference.
const FILTERS: [(&str, Filter); 7] = [
    ("date", Filter::Date),
    ("rfc3339", Filter::Rfc3339),
    ("unix", Filter::Unix),
    ("unix_ms", Filter::UnixMs),
    ("int", Filter::Int),
    ("length", Filter::Length),
    ("url", Filter::Url),
];

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Print { name: String, filter: Option<Filter> },
    If { name: String, negated: bool, then: Vec<Node>, otherwise: Vec<Node> },
    For { item: String, list: String, body: Vec<Node> },
}

/// A checked template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

/// What a name stands for while a template is rendered.
#[derive(Clone, Debug)]
pub(crate) enum Value<'v> {
    Absent,
    Text(Cow<'v, str>),
    /// A path of this API, with a query perhaps, as it stands in an address: its escapes are its own, and are not
    /// escaped again where a header takes it.
    Address(Cow<'v, str>),
    Int(i64),
    Time(Time),
    Flag(bool),
    /// As many items; each is asked for as `list.INDEX.field` or `list.INDEX`.
    List(usize),
}

/// Where values come from.
pub(crate) trait Values {
    /// The value of a name; within a loop `index` is set and the name is that of the list and field.
    fn value(&self, name: &str, index: Option<usize>) -> Value<'_>;
    /// The dialect's date format.
    fn date(&self) -> &DateFormat;
}

impl Template {
    /// Parses a template and checks its names against what is known where it stands.
    pub(crate) fn parse(text: &str, scope: &Scope, medium: Medium) -> Result<Self, String> {
        let mut parser = Parser { rest: text, scope, medium, loops: Vec::new() };
        let nodes = parser.nodes(&[])?.0;
        Ok(Self { nodes })
    }

    /// Whether it prints one name and nothing else; a header line of which the only value is empty is left out.
    pub(crate) fn is_one_value(&self) -> bool {
        matches!(self.nodes.as_slice(), [Node::Print { .. }])
    }

    /// Whether it names a variable that begins so.
    pub(crate) fn names(&self, beginning: &str) -> bool {
        names(&self.nodes, beginning)
    }

    /// The names that its conditions and loops ask about, each once.
    pub(crate) fn asks(&self) -> Vec<String> {
        let mut names = Vec::new();
        asks(&self.nodes, &mut Vec::new(), &mut names);
        names.sort();
        names.dedup();
        names
    }

    /// Whether nothing in it varies.
    pub(crate) fn is_constant(&self) -> bool {
        self.nodes.iter().all(|node| matches!(node, Node::Text(_)))
    }

    /// Renders it where its values are few and short: those of an account, which are bounded themselves.
    pub(crate) fn render(&self, values: &dyn Values, medium: Medium) -> String {
        self.render_within(usize::MAX, values, medium).unwrap_or_default()
    }

    /// Renders it into at most so many bytes.
    pub(crate) fn render_within(
        &self,
        bytes_max: usize,
        values: &dyn Values,
        medium: Medium,
    ) -> Result<String, TooLong> {
        let mut out = Out { text: String::with_capacity(256), bytes_max };
        render(&self.nodes, values, medium, &mut Vec::new(), &mut out)?;
        Ok(out.text)
    }
}

fn names(nodes: &[Node], beginning: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Print { name, .. } => name.starts_with(beginning),
        Node::If { name, then, otherwise, .. } => {
            name.starts_with(beginning) || names(then, beginning) || names(otherwise, beginning)
        }
        Node::For { list, body, .. } => list.starts_with(beginning) || names(body, beginning),
    })
}

fn asks<'n>(nodes: &'n [Node], loops: &mut Vec<(&'n str, &'n str)>, names: &mut Vec<String>) {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Print { .. } => {}
            Node::If { name, then, otherwise, .. } => {
                let (head, field) =
                    name.split_once('.').map_or((name.as_str(), None), |(head, field)| (head, Some(field)));
                // As values are asked for: by the name of the list, not of the item.
                names.push(match (loops.iter().rev().find(|(item, _)| *item == head), field) {
                    (Some((_, list)), None) => (*list).to_owned(),
                    (Some((_, list)), Some(field)) => format!("{list}.{field}"),
                    (None, _) => name.clone(),
                });
                asks(then, loops, names);
                asks(otherwise, loops, names);
            }
            Node::For { item, list, body } => {
                names.push(list.clone());
                loops.push((item, list));
                asks(body, loops, names);
                loops.pop();
            }
        }
    }
}

/// What a template makes is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

struct Out {
    text: String,
    bytes_max: usize,
}

impl Out {
    /// Looks after each piece: what is beyond the limit by then is one value, which came in one request's head or body.
    fn check(&self) -> Result<(), TooLong> {
        if self.text.len() > self.bytes_max { Err(TooLong) } else { Ok(()) }
    }
}

/// The loops around a node: item name, list name, index, length.
type Loops<'n> = Vec<(&'n str, &'n str, usize, usize)>;

fn render<'n>(
    nodes: &'n [Node],
    values: &dyn Values,
    medium: Medium,
    loops: &mut Loops<'n>,
    out: &mut Out,
) -> Result<(), TooLong> {
    for node in nodes {
        match node {
            Node::Text(text) => out.text.push_str(text),
            Node::Print { name, filter } => {
                print(look_up(name, values, loops), *filter, values.date(), medium, &mut out.text);
            }
            Node::If { name, negated, then, otherwise } => {
                let holds = is_true(&look_up(name, values, loops)) != *negated;
                render(if holds { then } else { otherwise }, values, medium, loops, out)?;
            }
            Node::For { item, list, body } => {
                let Value::List(length) = look_up(list, values, loops) else { continue };
                for index in 0..length {
                    loops.push((item, list, index, length));
                    render(body, values, medium, loops, out)?;
                    loops.pop();
                }
            }
        }
        out.check()?;
    }
    Ok(())
}

fn look_up<'v>(name: &str, values: &'v dyn Values, loops: &Loops<'_>) -> Value<'v> {
    if name == "loop.last" {
        return Value::Flag(loops.last().is_some_and(|(_, _, index, length)| index + 1 == *length));
    }
    let (head, field) = name.split_once('.').map_or((name, None), |(head, field)| (head, Some(field)));
    for (item, list, index, _) in loops.iter().rev() {
        if *item == head {
            return match field {
                None => values.value(list, Some(*index)),
                Some(field) => values.value(&format!("{list}.{field}"), Some(*index)),
            };
        }
    }
    values.value(name, None)
}

fn is_true(value: &Value<'_>) -> bool {
    match value {
        Value::Absent => false,
        Value::Text(text) | Value::Address(text) => !text.is_empty(),
        Value::Int(_) | Value::Time(_) => true,
        Value::Flag(flag) => *flag,
        Value::List(length) => *length > 0,
    }
}

fn print(value: Value<'_>, filter: Option<Filter>, date: &DateFormat, medium: Medium, out: &mut String) {
    let value = match value {
        Value::Address(address) if filter.is_none() && medium == Medium::Header => {
            return address_in_header(&address, out);
        }
        Value::Address(address) => Value::Text(address),
        value @ (Value::Absent
        | Value::Text(_)
        | Value::Int(_)
        | Value::Time(_)
        | Value::Flag(_)
        | Value::List(_)) => value,
    };
    let text: Cow<'_, str> = match (value, filter) {
        (Value::List(length), _) => length.to_string().into(),
        (Value::Absent, Some(Filter::Length)) => "0".into(),
        (Value::Text(text), Some(Filter::Length)) => text.chars().count().to_string().into(),
        (Value::Text(text), Some(Filter::Int)) => {
            let number: String = text
                .chars()
                .enumerate()
                .filter(|(at, c)| c.is_ascii_digit() || (*at == 0 && *c == '-'))
                .map(|(_, c)| c)
                .collect();
            match number.parse::<i64>() {
                Ok(number) if number.to_string() == text => text,
                Ok(_) | Err(_) => no_number(medium).into(),
            }
        }
        (Value::Absent, Some(Filter::Int | Filter::Unix | Filter::UnixMs)) => no_number(medium).into(),
        (Value::Text(text), Some(Filter::Url)) => url_encode(&text).into(),
        (Value::Time(time), Some(Filter::Date)) => date.format(time).into(),
        (Value::Time(time), Some(Filter::Unix)) => time.unix_secs().to_string().into(),
        (Value::Time(time), Some(Filter::UnixMs)) => time.unix_ms().to_string().into(),
        (Value::Time(time), _) => DateFormat::RFC3339.format(time).into(),
        (Value::Text(text) | Value::Address(text), _) => text,
        (Value::Int(number), _) => number.to_string().into(),
        (Value::Flag(flag), _) => if flag { "true" } else { "false" }.into(),
        (Value::Absent, _) => "".into(),
    };
    escape(&text, medium, out);
}

fn no_number(medium: Medium) -> &'static str {
    match medium {
        Medium::Json => "null",
        Medium::Header | Medium::Cookie | Medium::Xml | Medium::Html | Medium::Text => "",
    }
}

struct Parser<'p> {
    rest: &'p str,
    scope: &'p Scope,
    medium: Medium,
    /// Loops around the present place: item name, list name.
    loops: Vec<(String, String)>,
}

impl Parser<'_> {
    /// Parses up to one of the given closing words, which is returned.
    fn nodes(&mut self, closing: &[&str]) -> Result<(Vec<Node>, String), String> {
        let mut nodes = Vec::new();
        loop {
            let Some(at) = self.rest.find("{{").into_iter().chain(self.rest.find("{%")).min() else {
                if let Some(word) = closing.last() {
                    return Err(format!("ends without {{% {word} %}}"));
                }
                push_text(&mut nodes, self.rest);
                return Ok((nodes, String::new()));
            };
            let (text, tail) = self.rest.split_at_checked(at).unwrap_or((self.rest, ""));
            push_text(&mut nodes, text);
            if let Some(tail) = tail.strip_prefix("{{") {
                let (inside, tail) = tail.split_once("}}").ok_or("`{{` without `}}`")?;
                self.rest = tail;
                nodes.push(self.print(inside.trim())?);
            } else {
                let tail = tail.strip_prefix("{%").unwrap_or_default();
                let (inside, tail) = tail.split_once("%}").ok_or("`{%` without `%}`")?;
                self.rest = tail;
                let words: Vec<&str> = inside.split_whitespace().collect();
                match words.as_slice() {
                    [word] if closing.contains(word) => return Ok((nodes, (*word).to_owned())),
                    ["if", "not", name] => nodes.push(self.condition(name, true)?),
                    ["if", name] => nodes.push(self.condition(name, false)?),
                    ["for", item, "in", list] => nodes.push(self.repetition(item, list)?),
                    _ => {
                        return Err(format!(
                            "`{{% {} %}}` is none of for x in list, if name, if not name, else, endif, endfor",
                            inside.trim()
                        ));
                    }
                }
            }
        }
    }

    fn print(&mut self, inside: &str) -> Result<Node, String> {
        let (name, filter) = match inside.split_once('|') {
            Some((name, filter)) => (name.trim(), Some(filter.trim())),
            None => (inside, None),
        };
        let filter = match filter {
            None => None,
            Some(name) => {
                let known = FILTERS.into_iter().find(|(own, _)| *own == name);
                let known = known.ok_or_else(|| format!("no filter is called `{name}`"))?;
                Some(known.1)
            }
        };
        match self.kind(name)? {
            Kind::Time => match filter {
                Some(Filter::Date | Filter::Rfc3339 | Filter::Unix | Filter::UnixMs) => {}
                Some(Filter::Int | Filter::Length | Filter::Url) | None => {
                    return Err(format!("`{name}` is a time; add | date, rfc3339, unix or unix_ms"));
                }
            },
            Kind::List if filter != Some(Filter::Length) => {
                return Err(format!("`{name}` is a list; write {{% for x in {name} %}} or | length"));
            }
            Kind::Group => return Err(self.scope.unknown(name)),
            Kind::Text | Kind::Secret | Kind::Int | Kind::Flag | Kind::List => {
                if matches!(filter, Some(Filter::Date | Filter::Rfc3339 | Filter::Unix | Filter::UnixMs)) {
                    return Err(format!("`{name}` is no time"));
                }
            }
        }
        Ok(Node::Print { name: name.to_owned(), filter })
    }

    fn condition(&mut self, name: &str, negated: bool) -> Result<Node, String> {
        if self.kind(name)? == Kind::Group {
            return Err(self.scope.unknown(name));
        }
        let (then, word) = self.nodes(&["else", "endif"])?;
        let otherwise = if word == "else" { self.nodes(&["endif"])?.0 } else { Vec::new() };
        Ok(Node::If { name: name.to_owned(), negated, then, otherwise })
    }

    fn repetition(&mut self, item: &str, list: &str) -> Result<Node, String> {
        if self.kind(list)? != Kind::List {
            return Err(format!("`{list}` is no list"));
        }
        self.loops.push((item.to_owned(), list.to_owned()));
        let body = self.nodes(&["endfor"])?.0;
        self.loops.pop();
        Ok(Node::For { item: item.to_owned(), list: list.to_owned(), body })
    }

    fn kind(&self, name: &str) -> Result<Kind, String> {
        if name == "loop.last" && !self.loops.is_empty() {
            return Ok(Kind::Flag);
        }
        let (head, field) = name.split_once('.').map_or((name, None), |(head, field)| (head, Some(field)));
        let full = match self.loops.iter().rev().find(|(item, _)| item == head) {
            Some((_, list)) => match field {
                None => format!("{list}[]"),
                Some(field) => format!("{list}[].{field}"),
            },
            None => name.to_owned(),
        };
        self.scope.kind(&full, self.medium)
    }
}

fn push_text(nodes: &mut Vec<Node>, text: &str) {
    if !text.is_empty() {
        nodes.push(Node::Text(text.to_owned()));
    }
}
