//! Renders every template against samples when a file is loaded, so that a typo fails at the start and not at the
//! first 401, and so that a value that a client chose cannot break out of its place.

use crate::date::DateFormat;
use crate::dialect::read_medium;
use crate::dialect::source::Table;
use crate::dialect::template::{Medium, Template, Value, Values};
use crate::dialect::variables::{Kind, Scope};
use crate::dialect::{BodyKind, Refusals};
use crate::refusal::Reason;
use crate::time::Time;

/// Values that are all alike: harmless, or as bad as can be.
struct Sample<'s> {
    scope: &'s Scope,
    text: &'s str,
    flag: bool,
    date: DateFormat,
}

impl Values for Sample<'_> {
    fn value(&self, name: &str, index: Option<usize>) -> Value<'_> {
        let name = match index {
            // Within a loop the list's name comes with or without a field.
            Some(_) => self
                .scope
                .all()
                .map(|(known, _)| known)
                .find(|known| known.replace("[]", "") == name && known.contains("[]"))
                .unwrap_or(name),
            None => name,
        };
        let kind = self.scope.all().find(|(known, _)| *known == name).map(|(_, kind)| kind);
        match kind {
            // Codes are the file's own words; they are checked as they are by `refusals`.
            Some(_) if name == "code" => Value::Text("7".into()),
            Some(Kind::Text | Kind::Secret) => Value::Text(self.text.into()),
            Some(Kind::Int) => Value::Int(7),
            Some(Kind::Time) => Value::Time(Time::from_unix_secs(1_600_000_000)),
            Some(Kind::Flag) => Value::Flag(self.flag),
            Some(Kind::List) => Value::List(2),
            Some(Kind::Group) | None => Value::Flag(self.flag),
        }
    }

    fn date(&self) -> &DateFormat {
        &self.date
    }
}

const HARMLESS: &str = "harmless";
const HOSTILE: &str = "\"'<&>\\}]{[, /*--\u{2028}\n\u{1}x:1;,é";

/// Checks a body: it parses, and has the same structure whatever the values are.
pub(super) fn body(kind: BodyKind, template: &Template, scope: &Scope) -> Result<(), String> {
    for flag in [true, false] {
        let render = |text| {
            let sample = Sample { scope, text, flag, date: DateFormat::RFC3339 };
            template.render(&sample, read_medium(kind))
        };
        let structure = |text: &str| match kind {
            BodyKind::Json => json_structure(text),
            BodyKind::Xml => xml_structure(text),
            BodyKind::Html => Ok(html_structure(text)),
            BodyKind::Text | BodyKind::Js => Ok(String::new()),
        };
        // A number may stand without quotes, so try both kinds of harmless text.
        let harmless = structure(&render(HARMLESS));
        let number = structure(&render("7"));
        let harmless = match (harmless, number) {
            (Ok(harmless), _) => harmless,
            (Err(_), Ok(_)) => return Err(BREAKS_OUT.to_owned()),
            (Err(error), Err(_)) => return Err(error),
        };
        if structure(&render(HOSTILE)).as_ref() != Ok(&harmless) {
            return Err(BREAKS_OUT.to_owned());
        }
    }
    Ok(())
}

const BREAKS_OUT: &str = "a value can break out of its place; put it between double quotes, or use | int";

/// Checks what a family prints, with the codes and messages that it really has.
pub(super) fn refusals(table: &Table<'_, '_>, refusals: &Refusals) {
    let scope = Scope::refusal();
    for reason in Reason::ALL {
        let Some(answer) = refusals.answer(reason) else { continue };
        for (kind, template) in &answer.bodies {
            let code = answer.code.as_ref().map(|code| {
                let sample = Sample { scope: &scope, text: HARMLESS, flag: true, date: DateFormat::RFC3339 };
                code.render(&sample, Medium::Text)
            });
            let values = WithCode {
                inner: Sample { scope: &scope, text: HARMLESS, flag: true, date: DateFormat::RFC3339 },
                code: code.unwrap_or_default(),
            };
            let text = template.render(&values, read_medium(*kind));
            let parsed = match kind {
                BodyKind::Json => json_structure(&text),
                BodyKind::Xml => xml_structure(&text),
                BodyKind::Html | BodyKind::Text | BodyKind::Js => Ok(String::new()),
            };
            if let Err(error) = parsed {
                table.complain(format!("`{}` of `{}` {error}", kind.name(), reason.name()));
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
        &self.inner.date
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
            Err(format!("gives no valid JSON: {message} near `{near}`"))
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
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut shape = String::new();
    let mut depth = 0_usize;
    loop {
        let invalid = |error: String| format!("gives no valid XML: {error}");
        match reader.read_event().map_err(|error| invalid(error.to_string()))? {
            Event::Start(tag) => {
                depth += 1;
                shape.push('<');
                shape.push_str(tag.name().as_ref());
                for attribute in tag.attributes() {
                    let attribute = attribute.map_err(|error| invalid(error.to_string()))?;
                    shape.push(' ');
                    shape.push_str(attribute.key.as_ref());
                }
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                shape.push('>');
            }
            Event::Empty(tag) => {
                shape.push('|');
                shape.push_str(tag.name().as_ref());
            }
            Event::Comment(_) | Event::CData(_) | Event::PI(_) | Event::DocType(_) => shape.push('!'),
            Event::Text(_) | Event::GeneralRef(_) | Event::Decl(_) => {}
            Event::Eof if depth > 0 => return Err(invalid("an element is not closed".to_owned())),
            Event::Eof => return Ok(shape),
        }
    }
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
