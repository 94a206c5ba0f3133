//! The children of an XML root element, by their local names.
//!
//! ```text
//! <login xmlns="..."><userName>alice</userName><password><![CDATA[a<b]]></password></login>
//! ```
//!
//! No document type, no entities but the five and character references, no processing instructions. A comment
//! inside a value is refused: some parsers read only the text before it.

use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::content_type::Encoding;
use super::{Bounds, Field, FieldsError, Value, push};

pub(super) fn parse(text: &str, bounds: Bounds) -> Result<Vec<Field>, FieldsError> {
    if text.bytes().any(|byte| !is_xml_char(char::from(byte))) {
        return Err(malformed("it has a control character"));
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document { bounds, ..Document::default() };
    loop {
        let event = reader.read_event().map_err(|_| malformed("its syntax is broken"))?;
        let first = !document.begun;
        document.begun = true;
        match event {
            Event::Start(element) => document.start(&element)?,
            Event::End(_) => document.end()?,
            Event::Text(text) => document.text(&text.xml10_content())?,
            Event::CData(text) if document.depth > 0 => document.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => document.reference(&reference)?,
            Event::Comment(_) if document.depth < 2 => {}
            Event::Decl(declaration) if first => check_declaration(&declaration)?,
            Event::Eof if document.has_root && document.depth == 0 => return Ok(document.fields),
            Event::Eof => return Err(malformed("its root does not end")),
            Event::CData(_) => return Err(malformed("it has text outside its root")),
            Event::Comment(_) => return Err(malformed("it has a comment inside a field")),
            Event::Decl(_) | Event::PI(_) => return Err(malformed("it has a processing instruction")),
            Event::DocType(_) => return Err(malformed("it has a document type")),
            Event::Empty(_) => return Err(malformed("its syntax is broken")),
        }
    }
}

#[derive(Default)]
struct Document {
    bounds: Bounds,
    fields: Vec<Field>,
    begun: bool,
    has_root: bool,
    depth: usize,
    field: Option<Open>,
}

/// A field whose end was not seen yet.
struct Open {
    name: String,
    text: String,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    Plain,
    Null,
    Nested,
}

impl Document {
    fn start(&mut self, element: &BytesStart<'_>) -> Result<(), FieldsError> {
        if self.depth >= self.bounds.depth {
            return Err(FieldsError::TooDeep);
        }
        let mut shape = Shape::Plain;
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|_| malformed("its attributes are broken"))?;
            if attribute.key.local_name().as_ref() == "nil" && matches!(&*attribute.value, "true" | "1") {
                shape = Shape::Null;
            }
        }
        match self.depth {
            0 if self.has_root => return Err(malformed("it has two roots")),
            0 => self.has_root = true,
            1 => {
                let name = element.local_name().as_ref().to_owned();
                self.field = Some(Open { name, text: String::new(), shape });
            }
            _ => {
                if let Some(field) = &mut self.field {
                    field.shape = Shape::Nested;
                }
            }
        }
        self.depth += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), FieldsError> {
        self.depth = self.depth.saturating_sub(1);
        if self.depth != 1 {
            return Ok(());
        }
        let Some(Open { name, text, shape }) = self.field.take() else { return Ok(()) };
        let value = match shape {
            Shape::Plain => Value::text(text),
            Shape::Null if text.is_empty() => Value::Null,
            Shape::Null | Shape::Nested => Value::NotPlain,
        };
        push(&mut self.fields, name, value, self.bounds)
    }

    fn text(&mut self, text: &str) -> Result<(), FieldsError> {
        match &mut self.field {
            Some(field) => field.text.push_str(text),
            None if text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) => {}
            None => return Err(malformed("it has text outside its fields")),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), FieldsError> {
        let character = match &**reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => reference
                .resolve_char_ref()
                .ok()
                .flatten()
                .filter(|character| is_xml_char(*character))
                .ok_or(malformed("it has an entity that is not one of the five"))?,
        };
        self.text(character.encode_utf8(&mut [0; 4]))
    }
}

/// `Char` of XML 1.0 section 2.2.
const fn is_xml_char(character: char) -> bool {
    !matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// The text was found to be UTF-8; a declaration may not say otherwise.
fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), FieldsError> {
    let good_version = declaration.version().is_ok_and(|version| version == "1.0");
    let good_encoding = match declaration.encoding() {
        None => true,
        Some(encoding) => encoding.is_ok_and(|name| name.eq_ignore_ascii_case("utf-8")),
    };
    if good_version && good_encoding {
        Ok(())
    } else {
        Err(malformed("its declaration is not of utf-8 and 1.0"))
    }
}

fn malformed(rule: &'static str) -> FieldsError {
    FieldsError::Malformed { encoding: Encoding::Xml, rule }
}
