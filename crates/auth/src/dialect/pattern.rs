//! Which requests something is about: `POST /seg/{name}/**`.

mod index;
mod sets;

use std::cmp::Reverse;
use std::fmt;

use http::Method;
use smallvec::SmallVec;

use index::Index;

use crate::canonical::method;
use crate::canonical::path::{PATH_BYTES_MAX, PathError, SEGMENTS_MAX, canonical_segment};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// In the spelling of [`CanonicalPath`](crate::canonical::path::CanonicalPath), which is what it is compared with.
    Literal(String),
    Variable(String),
    /// Any number of segments, also none.
    Rest,
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "**" {
            return Ok(Self::Rest);
        }
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
            && is_name(name)
        {
            return Ok(Self::Variable(name.to_owned()));
        }
        if text.contains(['*', '{', '}']) {
            return Err(format!(
                "`{text}` is neither text, {{name}} of letters, digits, `-` and `_`, nor **; a segment that is called so is written with escapes, like %2A for *"
            ));
        }
        // It would be about nothing: no request has a segment of that name.
        if let Some(name) = text.strip_prefix([':', '<']) {
            let name = name.trim_end_matches('>');
            return Err(format!(
                "`{text}` is no variable here; write {{{name}}}, or %3A for : and %3C for < where a segment is called so"
            ));
        }
        let hint = match canonical_segment(text) {
            Ok(literal) => return Ok(Self::Literal(literal.into_owned())),
            Err(PathError::EmptySegment) => "write one slash between segments",
            Err(PathError::DotSegment | PathError::EscapedDot) => "write the path that it leads to",
            Err(PathError::BrokenEscape) => "write %25 for a percent sign",
            Err(PathError::Fragment) => {
                "a pattern ends before the query; write %3F for ? and %23 for # in a name"
            }
            Err(PathError::Character) => "write its escape, like %20 for a blank",
            Err(PathError::DoubleEscape) => "write it with one escape",
            Err(PathError::NotUtf8) => "write it as it reads, or the escapes of its UTF-8",
            Err(
                PathError::Separator | PathError::Parameter | PathError::NotAbsolute | PathError::TooLong,
            ) => "such a path is refused with 400, whatever the rules say",
        };
        Err(format!("no request that the gate lets through has a segment `{text}`; {hint}"))
    }

    fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable(name) => Some(name),
            Self::Literal(_) | Self::Rest => None,
        }
    }

    /// How long what it matches is at the least, its slash included.
    fn bytes_min(&self) -> usize {
        match self {
            Self::Literal(text) => 1 + text.len(),
            Self::Variable(_) => 2,
            Self::Rest => 0,
        }
    }
}

/// Methods and a path below an API's prefix. Services read `/x/` as `/x`, and so do patterns: a rule that names one of them
/// is about both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Empty for any method.
    methods: SmallVec<[Method; 2]>,
    segments: Vec<Segment>,
    /// Where `**` stands.
    rest: Option<usize>,
    text: String,
}

/// How exact a pattern is: the greater wins where several match.
///
/// No `**` before `**` inside before `**` at the end; then more literals, more segments, method named, a `when`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exactness {
    kind: u8,
    literals: usize,
    segments: usize,
    method: bool,
    when: bool,
}

/// Values of the path's variables, still percent-encoded.
pub type Variables<'p> = SmallVec<[(&'p str, &'p str); 2]>;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (methods, path) = match text.split_once(' ') {
            Some((methods, path)) => (read_methods(methods)?, path),
            None => (SmallVec::new(), text),
        };
        let Some(path) = path.strip_prefix('/') else {
            return Err(format!("`{text}`: a path begins with /"));
        };
        let segments = match path {
            "" => Ok(Vec::new()),
            path => path
                .strip_suffix('/')
                .unwrap_or(path)
                .split('/')
                .map(Segment::parse)
                .collect::<Result<Vec<_>, _>>(),
        }
        .map_err(|problem| format!("`{text}`: {problem}"))?;
        if segments.iter().filter(|segment| **segment == Segment::Rest).count() > 1 {
            return Err(format!("`{text}`: ** stands once at the most"));
        }
        let mut names = segments.iter().filter_map(Segment::variable);
        while let Some(name) = names.next() {
            if names.clone().any(|other| other == name) {
                return Err(format!(
                    "`{text}`: {{{name}}} stands twice; give each segment a name of its own"
                ));
            }
        }
        let shortest: usize = segments.iter().map(Segment::bytes_min).sum();
        if shortest > PATH_BYTES_MAX || segments.len() > SEGMENTS_MAX {
            return Err(format!(
                "`{text}`: no path that the gate lets through is so long, or of so many segments"
            ));
        }
        let rest = segments.iter().position(|segment| *segment == Segment::Rest);
        Ok(Self { methods, segments, rest, text: text.to_owned() })
    }

    /// How exact it is.
    pub fn exactness(&self, when: bool) -> Exactness {
        let kind = match self.rest {
            None => 2,
            Some(at) if at + 1 < self.segments.len() => 1,
            Some(_) => 0,
        };
        let literals = self.literals().count();
        Exactness { kind, literals, segments: self.segments.len(), method: !self.methods.is_empty(), when }
    }

    /// Whether the path has a variable of that name.
    pub fn has_variable(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| segment.variable() == Some(name))
    }

    /// The methods that it names; empty for any.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Whether a method is among its own. GET includes HEAD.
    pub fn admits(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// Matches the segments of a path below the prefix, and binds its variables.
    fn matches<'p>(&'p self, given: &[&'p str], case: PathCase) -> Option<Variables<'p>> {
        let mut variables = Variables::new();
        let (head, tail) = match self.rest {
            None if given.len() != self.segments.len() => return None,
            None => (self.segments.as_slice(), [].as_slice()),
            Some(at) => {
                let (head, tail) = self.segments.split_at(at);
                (head, tail.get(1..).unwrap_or_default())
            }
        };
        if given.len() < head.len() + tail.len() {
            return None;
        }
        let behind = given.get(given.len() - tail.len()..).unwrap_or_default();
        let pairs = head.iter().zip(given).chain(tail.iter().zip(behind));
        for (own, given) in pairs {
            match own {
                Segment::Literal(text) if case.equal(text, given) => {}
                Segment::Variable(name) if !given.is_empty() => variables.push((name.as_str(), given)),
                Segment::Literal(_) | Segment::Variable(_) | Segment::Rest => return None,
            }
        }
        Some(variables)
    }

    /// Whether it is about all paths.
    pub(crate) fn is_for_all_paths(&self) -> bool {
        matches!(self.segments.as_slice(), [Segment::Rest])
    }

    /// Whether it matches less than it would if the case of letters were ignored.
    pub(crate) fn has_letters(&self) -> bool {
        self.literals().any(|text| text.bytes().any(|byte| byte.is_ascii_alphabetic() || byte == b'%'))
    }

    /// Whether some letter of it is none of `a` to `z`.
    pub(crate) fn has_capitals(&self) -> bool {
        self.literals().any(|text| text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'%'))
    }

    fn literals(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(text) => Some(text.as_str()),
            Segment::Variable(_) | Segment::Rest => None,
        })
    }

    /// What all paths that it matches begin with, up to the first segment that may differ.
    pub(crate) fn literal_beginning(&self) -> String {
        let is_literal = |segment: &&Segment| matches!(segment, Segment::Literal(_));
        let count = self.segments.iter().take_while(is_literal).count();
        let beginning = self.literals().take(count).flat_map(|text| ["/", text]);
        beginning.chain(["/"]).collect()
    }

    /// The path of some request that it matches, in its one spelling.
    pub fn sample_path(&self) -> String {
        let segments = self.segments.iter().flat_map(|segment| match segment {
            Segment::Literal(text) => ["/", text],
            Segment::Variable(_) | Segment::Rest => ["/", "any"],
        });
        segments.collect()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether the letter case of paths counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathCase {
    /// It does.
    Counts,
    /// `contact` is `Contact`.
    Ignored,
}

impl PathCase {
    fn equal(self, a: &str, b: &str) -> bool {
        match self {
            Self::Counts => a == b,
            Self::Ignored => {
                a.eq_ignore_ascii_case(b)
                    || (a.contains('%') && b.contains('%') && self.folded(a) == self.folded(b))
            }
        }
    }
}

/// A table of patterns that finds the most exact one.
#[derive(Clone, Debug)]
pub struct Patterns<T> {
    case: PathCase,
    entries: Vec<(Exactness, Pattern, T)>,
    index: Index,
}

impl<T> Patterns<T> {
    /// Sorts patterns by how exact they are; each tells whether a `when` stands beside it.
    pub fn new(case: PathCase, patterns: impl IntoIterator<Item = (Pattern, bool, T)>) -> Self {
        let mut entries: Vec<_> = patterns
            .into_iter()
            .map(|(pattern, when, item)| (pattern.exactness(when), pattern, item))
            .collect();
        entries.sort_by_key(|(exactness, _, _)| Reverse(*exactness));
        let index = Index::new(case, entries.iter().map(|(_, pattern, _)| pattern));
        Self { case, entries, index }
    }

    /// What matches a request, the most exact first.
    pub fn matching<'p, 's>(
        &'p self,
        method: &'s Method,
        path: &'s Segments<'p>,
    ) -> impl Iterator<Item = (&'p T, Variables<'p>)> {
        self.candidates(&path.0)
            .filter(move |(_, pattern, _)| pattern.admits(method))
            .filter_map(move |(_, pattern, item)| Some((item, pattern.matches(&path.0, self.case)?)))
    }

    /// What matches a path, whatever the method, the most exact first.
    pub fn at_path<'p>(&'p self, path: &'p Segments<'_>) -> impl Iterator<Item = &'p T> {
        let at_path = move |(_, pattern, _): &&(_, Pattern, T)| pattern.matches(&path.0, self.case).is_some();
        self.candidates(&path.0).filter(at_path).map(|(_, _, item)| item)
    }

    fn candidates(&self, given: &[&str]) -> impl Iterator<Item = &(Exactness, Pattern, T)> + use<'_, T> {
        self.index.candidates(given).into_iter().filter_map(|place| self.entries.get(place))
    }

    /// All items, the most exact first; an item with several patterns comes several times.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, _, item)| item)
    }

    /// All patterns with their items, the most exact first.
    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, &T)> {
        self.entries.iter().map(|(_, pattern, item)| (pattern, item))
    }

    /// What matches a path by another method only: then the answer is 405, with these methods in `Allow`.
    pub fn other_methods(&self, path: &Segments<'_>) -> Vec<Method> {
        let mut methods = Vec::new();
        for (_, pattern, _) in self.candidates(&path.0) {
            if pattern.matches(&path.0, self.case).is_some() {
                methods.extend(pattern.methods.iter().cloned());
                if pattern.methods.contains(&Method::GET) {
                    methods.push(Method::HEAD);
                }
            }
        }
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        methods
    }

    /// The same table of other items.
    pub(crate) fn map<U>(self, mut item: impl FnMut(T) -> U) -> Patterns<U> {
        let Self { case, entries, index } = self;
        let entries = entries.into_iter().map(|(exactness, pattern, own)| (exactness, pattern, item(own)));
        Patterns { case, entries: entries.collect(), index }
    }

    /// Pairs that match the same request and are equally exact.
    pub fn ties(&self) -> impl Iterator<Item = ((&Pattern, &T), (&Pattern, &T))> {
        self.entries.iter().enumerate().flat_map(move |(at, (exactness, pattern, item))| {
            self.index
                .beside(pattern)
                .into_iter()
                .filter(move |place| *place > at)
                .filter_map(|place| self.entries.get(place))
                .filter(move |(other_exactness, other, _)| {
                    other_exactness == exactness && pattern.overlaps(other, self.case)
                })
                .map(move |(_, other, other_item)| ((pattern, item), (other, other_item)))
        })
    }
}

/// A path cut into its segments, once for all tables that are asked about it.
pub struct Segments<'p>(SmallVec<[&'p str; 12]>);

impl<'p> Segments<'p> {
    /// Cuts a path: empty, or beginning with `/`. A slash at its end says nothing.
    pub fn of(path: &'p str) -> Self {
        let mut segments = SmallVec::new();
        let path = path.strip_suffix('/').unwrap_or(path);
        let Some(mut rest) = path.strip_prefix('/') else { return Self(segments) };
        while let Some((segment, behind)) =
            memchr::memchr(b'/', rest.as_bytes()).and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?)))
        {
            segments.push(segment);
            rest = behind;
        }
        segments.push(rest);
        Self(segments)
    }
}

/// Whether a variable may be called so.
fn is_name(text: &str) -> bool {
    let plain = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_');
    !text.is_empty() && text.chars().all(plain)
}

fn read_methods(text: &str) -> Result<SmallVec<[Method; 2]>, String> {
    let none = |name| {
        format!(
            "`{name}` is no method that HTTP knows and the gate takes; write it in capitals, like GET or PROPFIND"
        )
    };
    text.split('|').map(|name| method::named(name).ok_or_else(|| none(name))).collect()
}

#[cfg(test)]
mod tests;
