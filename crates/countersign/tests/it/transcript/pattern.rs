//! Text with volatile values: `{{name}}`, `{{name:form}}`, `{{_:form}}`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use countersign_auth::form::Form;

/// What volatile values stand for, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings(BTreeMap<String, String>);

impl Bindings {
    /// What a name stands for.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Lets a name stand for a value.
    pub(crate) fn bind(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }
}

/// Text with volatile values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Volatile { name: String, form: ValueForm, written: String },
}

/// What a volatile value looks like.
#[derive(Clone, Debug)]
enum ValueForm {
    Guid,
    Jwt,
    Int,
    Date,
    Hex,
    Base64Url,
    Base64,
    Text,
    Dialect(Box<Form>),
}

impl ValueForm {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "guid" => Self::Guid,
            "jwt" => Self::Jwt,
            "int" => Self::Int,
            "date" => Self::Date,
            "hex" => Self::Hex,
            "base64url" => Self::Base64Url,
            "base64" => Self::Base64,
            "text" => Self::Text,
            form if form.contains('{') => {
                Self::Dialect(Box::new(Form::parse(form).map_err(|error| format!("form `{form}`: {error}"))?))
            }
            other => return Err(format!("no form is called `{other}`")),
        })
    }

    fn fits(&self, value: &str) -> bool {
        let all = |good: fn(u8) -> bool| !value.is_empty() && value.bytes().all(good);
        match self {
            Self::Guid => {
                value.len() == 36
                    && value.bytes().enumerate().all(|(at, byte)| match at {
                        8 | 13 | 18 | 23 => byte == b'-',
                        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
                    })
            }
            Self::Jwt => {
                let parts: Vec<&str> = value.split('.').collect();
                parts.len() == 3 && parts.iter().all(|part| Self::Base64Url.fits(part))
            }
            Self::Int => all(|byte| byte.is_ascii_digit()),
            Self::Date => is_http_date(value),
            Self::Hex => all(|byte| byte.is_ascii_hexdigit()),
            Self::Base64Url => all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
            Self::Base64 => all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')),
            Self::Text => all(|byte| !matches!(byte, b'"' | b'\'' | b'<' | b';' | b'\r' | b'\n')),
            Self::Dialect(form) => form.could_be(value),
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
fn is_http_date(value: &str) -> bool {
    let model = b"Aaa, 00 Aaa 0000 00:00:00 GMT";
    value.len() == model.len()
        && value.ends_with(" GMT")
        && value.bytes().zip(model).all(|(byte, model)| match model {
            b'0' => byte.is_ascii_digit(),
            b'A' | b'a' | b'G' | b'M' | b'T' => byte.is_ascii_alphabetic(),
            other => byte == *other,
        })
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once("{{") {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let end = closing(tail).ok_or("`{{` without `}}`")?;
            let written = &tail[..end];
            let (name, form) = written.split_once(':').unwrap_or((written, "text"));
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | ' ');
            if name.is_empty() || !name.chars().all(good) {
                return Err(format!("`{name}` is no name"));
            }
            let form = ValueForm::parse(form)?;
            pieces.push(Piece::Volatile { name: name.to_owned(), form, written: written.to_owned() });
            rest = &tail[end + 2..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// Whether it matches nothing but nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The literal text before the first volatile value.
    pub(crate) fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Literal(text)) => text,
            Some(Piece::Volatile { .. }) | None => "",
        }
    }

    /// The text with every volatile value in its place.
    ///
    /// # Errors
    /// Names the value that is bound to nothing.
    pub(crate) fn render(&self, bindings: &Bindings) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Volatile { name, .. } => match bindings.value(name) {
                    Some(value) => text.push_str(value),
                    None if filler(name).is_some() => text.push_str(&"x".repeat(filler(name).unwrap_or(0))),
                    None => return Err(format!("{{{{{name}}}}} is bound to nothing")),
                },
            }
        }
        Ok(text)
    }

    /// The text as it is expected: what is bound in its place, what is not as written.
    pub(crate) fn shown(&self, bindings: &Bindings) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Volatile { name, written, .. } => match bindings.value(name) {
                    Some(value) => text.push_str(value),
                    None => {
                        let _ = write!(text, "{{{{{written}}}}}");
                    }
                },
            }
        }
        text
    }

    /// Whether `text` is what the pattern says; if it is, what was free is bound.
    pub(crate) fn accepts(&self, text: &str, bindings: &mut Bindings) -> bool {
        let mut trail = Vec::new();
        if !accepts(&self.0, text, bindings, &mut trail) {
            return false;
        }
        for (name, value) in trail.into_iter().filter(|(name, _)| !name.starts_with('_')) {
            bindings.bind(name, value);
        }
        true
    }

    /// The pattern line by line; volatile values hold no line ends.
    pub(crate) fn lines(&self) -> Vec<Pattern> {
        let mut lines = vec![Vec::new()];
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => {
                    for (at, part) in text.split('\n').enumerate() {
                        if at > 0 {
                            lines.push(Vec::new());
                        }
                        if let Some(line) = lines.last_mut().filter(|_| !part.is_empty()) {
                            line.push(Piece::Literal(part.to_owned()));
                        }
                    }
                }
                Piece::Volatile { .. } => {
                    if let Some(line) = lines.last_mut() {
                        line.push(piece.clone());
                    }
                }
            }
        }
        lines.into_iter().map(Pattern).collect()
    }
}

/// `filler.70000`: so many letters.
fn filler(name: &str) -> Option<usize> {
    name.strip_prefix("filler.")?.parse().ok()
}

/// Where the `}}` is that closes a volatile value; forms hold braces of their own.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}

fn accepts<'p>(
    pieces: &'p [Piece],
    text: &str,
    bindings: &Bindings,
    trail: &mut Vec<(&'p str, String)>,
) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return text.is_empty() };
    let (name, form) = match piece {
        Piece::Literal(literal) => {
            return text
                .strip_prefix(literal.as_str())
                .is_some_and(|tail| accepts(rest, tail, bindings, trail));
        }
        Piece::Volatile { name, form, .. } => (name, form),
    };
    let bound = bindings.value(name).map(str::to_owned).or_else(|| {
        let known = trail.iter().find(|(known, _)| known == name && !name.starts_with('_'));
        known.map(|(_, value)| value.clone())
    });
    if let Some(value) = bound {
        return text.strip_prefix(value.as_str()).is_some_and(|tail| accepts(rest, tail, bindings, trail));
    }
    let line = text.split(['\r', '\n']).next().unwrap_or_default();
    for end in (1..=line.len()).rev().filter(|end| line.is_char_boundary(*end)) {
        let (value, tail) = text.split_at(end);
        if form.fits(value) {
            trail.push((name, value.to_owned()));
            if accepts(rest, tail, bindings, trail) {
                return true;
            }
            trail.pop();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: Option<&[(&str, &str)]>) {
        let mut bindings = Bindings::default();
        bindings.bind("old", "o-1");
        let pattern = Pattern::parse(pattern).unwrap();
        let accepted = pattern.accepts(text, &mut bindings);
        assert_eq!(accepted, expected.is_some(), "{pattern:?} {text}");
        for (name, value) in expected.unwrap_or_default() {
            assert_eq!(bindings.value(name), Some(*value), "{name}");
        }
    }

    #[test]
    fn values_are_bound_and_compared() {
        check("a {{x}}; b", "a 17; b", Some(&[("x", "17")]));
        check("a {{x}}; b", "a 17; c", None);
        check("{{x}}-{{x}}", "17-17", Some(&[("x", "17")]));
        check("{{x}}-{{x}}", "17-18", None);
        check("{{_}}-{{_}}", "17-18", Some(&[]));
        check("{{old}}", "o-1", Some(&[]));
        check("{{old}}", "o-2", None);
        check("{\"exp\":{{e:int}}}", "{\"exp\":12}", Some(&[("e", "12")]));
        check("{\"exp\":{{e:int}}}", "{\"exp\":\"12\"}", None);
        check("\"{{x}}\"", "\"a\"b\"", None);
        check("{{x}}", "", None);
    }

    #[test]
    fn forms_are_narrow() {
        let guid = "01234567-89ab-cdef-0123-456789abcdef";
        check("{{x:guid}}", guid, Some(&[("x", guid)]));
        check("{{x:guid}}", &guid.to_uppercase(), None);
        check("{{x:guid}}", &guid[1..], None);
        check("{{x:jwt}}", "a-1.b_2.c", Some(&[]));
        check("{{x:jwt}}", "a.b", None);
        check("{{x:hex}}", "0fA", Some(&[]));
        check("{{x:hex}}", "0g", None);
        check("{{x:base64}}=", "7T+/==", Some(&[("x", "7T+/=")]));
        check("{{x:base64url}}", "a+b", None);
        check("{{x:date}}", "Sun, 06 Nov 1994 08:49:37 GMT", Some(&[]));
        check("{{x:date}}", "Sun, 6 Nov 1994 08:49:37 GMT", None);
        let ticket = format!("7T:{}", "a".repeat(24));
        check("<{{x:7T:{base64:24}}}>", &format!("<{ticket}>"), Some(&[("x", &ticket)]));
        check("<{{x:7T:{base64:25}}}>", &format!("<{ticket}>"), None);
    }

    #[test]
    fn text_is_rendered_and_shown() {
        let mut bindings = Bindings::default();
        bindings.bind("password.bob@example.com", "open sesame");
        let pattern = Pattern::parse("{{password.bob@example.com}} {{x:guid}}").unwrap();
        assert_eq!(pattern.shown(&bindings), "open sesame {{x:guid}}");
        assert_eq!(pattern.render(&bindings).unwrap_err(), "{{x}} is bound to nothing");
        bindings.bind("x", "1");
        assert_eq!(pattern.render(&bindings).unwrap(), "open sesame 1");
        assert_eq!(Pattern::parse("{{filler.3}}").unwrap().render(&bindings).unwrap(), "xxx");
        assert_eq!(Pattern::parse("a\nb{{x}}\n").unwrap().lines().len(), 3);
        assert_eq!(Pattern::parse("{{x:foo}}").unwrap_err(), "no form is called `foo`");
    }
}
