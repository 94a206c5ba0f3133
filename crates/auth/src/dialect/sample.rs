//! Renders every template against samples when a file is loaded, so that a typo fails at the start and not at the
//! first 401, and so that a value that a client chose cannot break out of its place.

use std::collections::BTreeMap;

use http::HeaderValue;

use crate::cookie::{Attributes, ScriptAccess, Transport, set_cookie};
use crate::date::DateFormat;
use crate::dialect::read_medium;
use crate::dialect::source::Table;
use crate::dialect::template::{Medium, Template, Value, Values};
use crate::dialect::variables::{Kind, Scope};
use crate::dialect::{BodyKind, Refusals};
use crate::refusal::Reason;
use crate::time::Time;

/// Values that are all alike: harmless, as bad as can be, or not there.
#[derive(Clone)]
struct Sample<'s> {
    scope: &'s Scope,
    text: &'s str,
    flag: bool,
    /// What conditions ask about and is there, or is not.
    asked: BTreeMap<String, bool>,
    presence: Presence,
    date: DateFormat,
}

/// Whether what may be missing is there, where no condition asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    Missing,
}

impl<'s> Sample<'s> {
    fn new(scope: &'s Scope, text: &'s str) -> Self {
        Self {
            scope,
            text,
            flag: true,
            asked: BTreeMap::new(),
            presence: Presence::There,
            date: DateFormat::RFC3339,
        }
    }

    fn kind(&self, name: &str, index: Option<usize>) -> Option<Kind> {
        let same = |known: &str| match index {
            // Within a loop the list's name comes with or without a field.
            Some(_) => known.contains("[]") && known.replace("[]", "") == name,
            None => known == name,
        };
        self.scope.all().find(|(known, _)| same(known)).map(|(_, kind)| kind)
    }
}

impl Values for Sample<'_> {
    fn value(&self, name: &str, index: Option<usize>) -> Value<'_> {
        let kind = self.kind(name, index);
        let is_there = match self.asked.get(name) {
            Some(answer) => *answer,
            None => self.presence == Presence::There || !may_be_missing(name, kind),
        };
        match kind {
            // Codes are the file's own words; they are checked as they are by `merged_refusals`.
            Some(_) if name == "code" => Value::Text("7".into()),
            Some(Kind::List) => Value::List(if is_there { 2 } else { 0 }),
            Some(Kind::Flag) if self.asked.contains_key(name) => Value::Flag(is_there),
            Some(Kind::Flag) => Value::Flag(self.flag),
            Some(_) if !is_there => Value::Absent,
            Some(Kind::Text | Kind::Secret) => Value::Text(self.text.into()),
            Some(Kind::Int) => Value::Int(7),
            Some(Kind::Time) => Value::Time(Time::from_unix_secs(1_600_000_000)),
            Some(Kind::Group) | None => Value::Absent,
        }
    }

    fn date(&self) -> &DateFormat {
        &self.date
    }
}

/// What a caller or a token may lack: a session, an end, a name. What was just issued is there.
fn may_be_missing(name: &str, kind: Option<Kind>) -> bool {
    match kind {
        Some(Kind::Text | Kind::Secret) => !name.starts_with("issued."),
        Some(Kind::Time) => {
            name.starts_with("session.") || (name.ends_with(".expires_at") && !name.starts_with("issued."))
        }
        Some(Kind::List) => true,
        Some(Kind::Int | Kind::Flag | Kind::Group) | None => false,
    }
}

const HARMLESS: &str = "harmless";
const HOSTILE: &str = "\"'<&>\\}]{[, /*--\u{2028}\n\u{1}x:1;,é";
/// Each doubles the samples; no answer of the five dialects asks about more than one.
const ASKED_MAX: usize = 6;

/// Every way in which the conditions of a template can turn out.
fn outcomes(template: &Template) -> Result<Vec<BTreeMap<String, bool>>, String> {
    let asks = template.asks();
    if asks.len() > ASKED_MAX {
        return Err(format!(": asks about more than {ASKED_MAX} names"));
    }
    let outcome = |bits: usize| -> BTreeMap<String, bool> {
        asks.iter().enumerate().map(|(at, name)| (name.clone(), bits & (1 << at) == 0)).collect()
    };
    Ok((0..1_usize << asks.len()).map(outcome).collect())
}

/// Checks a body: it parses, and has the same structure whatever the values are.
pub(super) fn body(kind: BodyKind, template: &Template, scope: &Scope) -> Result<(), String> {
    let render = |sample: &Sample<'_>| structure(kind, &template.render(sample, read_medium(kind)));
    for asked in outcomes(template)? {
        for flag in [true, false] {
            let harmless = Sample { flag, asked: asked.clone(), ..Sample::new(scope, HARMLESS) };
            let number = Sample { text: "7", ..harmless.clone() };
            let hostile = Sample { text: HOSTILE, ..harmless.clone() };
            // A number may stand without quotes, so both kinds of harmless text are tried.
            let shape = match (render(&harmless), render(&number)) {
                (Ok(shape), _) => shape,
                (Err(_), Ok(_)) => return Err(BREAKS_OUT.to_owned()),
                (Err(error), Err(_)) => return Err(error),
            };
            if render(&hostile).as_ref() != Ok(&shape) {
                return Err(BREAKS_OUT.to_owned());
            }
            let missing = Sample { presence: Presence::Missing, ..harmless.clone() };
            if let Err(error) = render(&missing) {
                return Err(format!("{error}, where a value is missing; ask for it with {{% if name %}}"));
            }
        }
    }
    Ok(())
}

const BREAKS_OUT: &str = ": a value can break out of its place; put it between double quotes, or use | int";

fn structure(kind: BodyKind, text: &str) -> Result<String, String> {
    match kind {
        BodyKind::Json => json_structure(text),
        BodyKind::Xml => xml_structure(text),
        BodyKind::Html => Ok(html_structure(text)),
        BodyKind::Text | BodyKind::Js => Ok(String::new()),
    }
}

/// Whether a `Location` stays on this host, whatever its values are and whatever the prefix is.
pub(super) fn leads_nowhere_else(template: &Template, scope: &Scope) -> bool {
    let Ok(outcomes) = outcomes(template) else { return false };
    outcomes.into_iter().all(|asked| {
        ["", "x", "/", "//elsewhere.example", "\\elsewhere.example"].into_iter().all(|text| {
            ["", "/prefix"].into_iter().all(|prefix| {
                let values =
                    Place { inner: Sample { asked: asked.clone(), ..Sample::new(scope, text) }, prefix };
                let there = template.render(&values, Medium::Header);
                let own = there.starts_with('/') && !there.starts_with("//") && !there.starts_with("/\\");
                own || (there.is_empty() && template.is_one_value())
            })
        })
    })
}

/// Values about where an API is, which no client chooses.
struct Place<'s> {
    inner: Sample<'s>,
    prefix: &'s str,
}

impl Values for Place<'_> {
    fn value(&self, name: &str, index: Option<usize>) -> Value<'_> {
        match name {
            "prefix" => Value::Address(self.prefix.into()),
            "return_to" if self.inner.asked.get(name) == Some(&false) => Value::Absent,
            "return_to" if self.inner.text.is_empty() && !self.inner.asked.contains_key(name) => {
                Value::Absent
            }
            "return_to" => Value::Address(format!("{}/back", self.prefix).into()),
            _ => self.inner.value(name, index),
        }
    }

    fn date(&self) -> &DateFormat {
        self.inner.date()
    }
}

/// Whether the file's own text in a header line can be sent; values are escaped.
pub(super) fn is_header_value(template: &Template, scope: &Scope) -> bool {
    HeaderValue::from_str(&template.render(&Sample::new(scope, HARMLESS), Medium::Header)).is_ok()
}

/// Whether a cookie can be set.
pub(super) fn cookie(name: &str, value: &Template, path: &Template, scope: &Scope) -> Result<(), String> {
    let sample = Sample::new(scope, HARMLESS);
    let value = value.render(&sample, Medium::Cookie);
    let path = path.render(&sample, Medium::Header);
    let attributes = Attributes {
        path: &path,
        script: ScriptAccess::Hidden,
        same_site: None,
        transport: Transport::TlsOnly,
        max_age: None,
    };
    set_cookie(name, &value, &attributes).map(|_| ()).map_err(|error| error.to_string())
}

/// Checks what a family or a call prints, with the codes that it really has.
///
/// What is wrong with a body by itself was told before, and is not told again for each of its codes.
pub(super) fn merged_refusals(table: &Table<'_, '_>, refusals: &Refusals) {
    if !table.is_clean() {
        return;
    }
    let scope = Scope::refusal();
    for reason in Reason::ALL {
        let Some(answer) = refusals.answer(reason) else { continue };
        for (kind, template) in &answer.bodies {
            let sample = Sample::new(&scope, HARMLESS);
            let code = answer.code.as_ref().map(|code| code.render(&sample, Medium::Text));
            let values = WithCode { inner: sample, code: code.unwrap_or_default() };
            let parsed = structure(*kind, &template.render(&values, read_medium(*kind)));
            if let Err(error) = parsed {
                table.complain(format!("`{}` of `{}`{error}", kind.name(), reason.name()));
                return;
            }
        }
    }
}

struct WithCode<'s> {
    inner: Sample<'s>,
    code: String,
}

impl Values for WithCode<'_> {
    fn value(&self, name: &str, index: Option<usize>) -> Value<'_> {
        if name == "code" { Value::Text(self.code.as_str().into()) } else { self.inner.value(name, index) }
    }

    fn date(&self) -> &DateFormat {
        self.inner.date()
    }
}

fn json_structure(text: &str) -> Result<String, String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => Ok(json_shape(&value)),
        Err(error) => {
            let at = error.column().saturating_sub(1);
            let near: String = text.chars().skip(at.saturating_sub(12)).take(30).collect();
            let message = error.to_string();
            let message = message.split(" at line").next().unwrap_or_default();
            Err(format!(" gives no valid JSON: {message} near `{near}`"))
        }
    }
}

fn json_shape(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null | serde_json::Value::Number(_) => "n".to_owned(),
        serde_json::Value::Bool(_) => "b".to_owned(),
        serde_json::Value::String(_) => "s".to_owned(),
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(json_shape).collect::<Vec<_>>().join(","))
        }
        serde_json::Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}:{}", json_shape(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

fn xml_structure(text: &str) -> Result<String, String> {
    use quick_xml::events::Event;
    let invalid = |error: &dyn std::fmt::Display| format!(" gives no valid XML: {error}");
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut shape = String::new();
    let mut depth = 0_usize;
    let mut roots = 0_usize;
    loop {
        match reader.read_event().map_err(|error| invalid(&error))? {
            Event::Start(tag) => {
                roots += usize::from(depth == 0);
                depth += 1;
                shape.push('<');
                shape.push_str(&xml_tag(&tag).map_err(|error| invalid(&error))?);
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                shape.push('>');
            }
            Event::Empty(tag) => {
                roots += usize::from(depth == 0);
                shape.push('|');
                shape.push_str(&xml_tag(&tag).map_err(|error| invalid(&error))?);
            }
            Event::Text(text) if depth == 0 && !text.as_ref().trim().is_empty() => {
                return Err(invalid(&"text stands outside of the root element"));
            }
            Event::GeneralRef(name) if !is_xml_reference(name.as_ref()) => {
                return Err(invalid(&format_args!("XML knows no `&{};`", name.as_ref())));
            }
            Event::Comment(_) | Event::CData(_) | Event::PI(_) | Event::DocType(_) => shape.push('!'),
            Event::Text(_) | Event::GeneralRef(_) | Event::Decl(_) => {}
            Event::Eof if depth > 0 => return Err(invalid(&"an element is not closed")),
            Event::Eof if roots != 1 => return Err(invalid(&format_args!("it has {roots} root elements"))),
            Event::Eof => return Ok(shape),
        }
    }
}

fn xml_tag(tag: &quick_xml::events::BytesStart<'_>) -> Result<String, String> {
    let mut shape = tag.name().as_ref().to_owned();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        shape.push(' ');
        shape.push_str(attribute.key.as_ref());
    }
    Ok(shape)
}

/// XML 1.0 section 4.6; other names would need a document type.
fn is_xml_reference(name: &str) -> bool {
    name.starts_with('#') || ["amp", "lt", "gt", "quot", "apos"].contains(&name)
}

/// The tags and attributes of a page: what stands in a tag outside double quotes, and where tags begin.
fn html_structure(text: &str) -> String {
    let mut shape = String::new();
    let mut in_tag = false;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '<' if !in_tag => {
                in_tag = true;
                shape.push('<');
            }
            '"' if in_tag => quoted = !quoted,
            '>' if in_tag && !quoted => {
                in_tag = false;
                shape.push('>');
            }
            c if in_tag && !quoted => shape.push(c),
            _ => {}
        }
    }
    shape
}
