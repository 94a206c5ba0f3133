//! Which requests something is about: `POST /seg/{name}/**`.

mod index;

use std::cmp::Reverse;
use std::fmt;

use http::Method;
use smallvec::SmallVec;

use index::Index;

use crate::canonical::method;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Variable(String),
    /// Any number of segments, also none.
    Rest,
}

/// Methods and a path below an API's prefix.
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
        let mut segments = Vec::new();
        let mut rests = 0;
        for segment in path.split('/') {
            if segment == "**" {
                rests += 1;
                segments.push(Segment::Rest);
            } else if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                segments.push(Segment::Variable(name.to_owned()));
            } else if segment.contains(['*', '{', '}', '?', '#', '%', ';', ' ']) {
                return Err(format!("`{text}`: `{segment}` is neither text, {{name}} nor **"));
            } else {
                segments.push(Segment::Literal(segment.to_owned()));
            }
        }
        if rests > 1 {
            return Err(format!("`{text}`: ** stands once at the most"));
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
        let literals = self.segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count();
        Exactness { kind, literals, segments: self.segments.len(), method: !self.methods.is_empty(), when }
    }

    /// Whether the path has a variable of that name.
    pub fn has_variable(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Variable(own) if own == name))
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
        // Services read `/admin/` as `/admin`; a rule about the one is about the other.
        let given = match given.split_last() {
            Some((&"", before)) if given.len() > self.segments.len() && !self.ends_openly() => before,
            Some(_) | None => given,
        };
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

    /// Whether the pattern itself says what may follow: it ends with `/` or `**`.
    fn ends_openly(&self) -> bool {
        match self.segments.last() {
            Some(Segment::Rest) => true,
            Some(Segment::Literal(text)) => text.is_empty(),
            Some(Segment::Variable(_)) | None => false,
        }
    }

    /// Whether some request matches both.
    pub fn overlaps(&self, other: &Self, case: PathCase) -> bool {
        let methods = self.methods.is_empty()
            || other.methods.is_empty()
            || self.methods.iter().any(|method| other.admits(method))
            || other.methods.iter().any(|method| self.admits(method));
        methods && overlap(&self.segments, &other.segments, case)
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
            Self::Ignored => a.eq_ignore_ascii_case(b),
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

    /// Pairs that match the same request and are equally exact.
    pub fn ties(&self) -> impl Iterator<Item = ((&Pattern, &T), (&Pattern, &T))> {
        self.entries.iter().enumerate().flat_map(move |(at, (exactness, pattern, item))| {
            let beside = self.index.beside(pattern).unwrap_or_else(|| (0..self.entries.len()).collect());
            beside
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
    /// Cuts a path: empty, or beginning with `/`.
    pub fn of(path: &'p str) -> Self {
        let mut segments = SmallVec::new();
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

fn read_methods(text: &str) -> Result<SmallVec<[Method; 2]>, String> {
    let none = |name| {
        format!(
            "`{name}` is no method that HTTP knows and the gate takes; write it in capitals, like GET or PROPFIND"
        )
    };
    text.split('|').map(|name| method::named(name).ok_or_else(|| none(name))).collect()
}

fn overlap(a: &[Segment], b: &[Segment], case: PathCase) -> bool {
    match (a.split_first(), b.split_first()) {
        (None, None) => true,
        (Some((Segment::Rest, tail)), _) => {
            overlap(tail, b, case) || b.split_first().is_some_and(|(_, rest)| overlap(a, rest, case))
        }
        (_, Some((Segment::Rest, _))) => overlap(b, a, case),
        (Some((Segment::Literal(x), a)), Some((Segment::Literal(y), b))) => {
            case.equal(x, y) && overlap(a, b, case)
        }
        (Some((_, a)), Some((_, b))) => overlap(a, b, case),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    fn check(patterns: &[&str], request: &str, expected: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        let table = Patterns::new(
            PathCase::Counts,
            patterns.iter().map(|text| (Pattern::parse(text).unwrap(), false, text.to_string())),
        );
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found =
            table.matching(&method, &Segments::of(path)).next().map_or("none", |(text, _)| text.as_str());
        assert_eq!(found, expected, "{request}");
    }

    #[test]
    fn the_most_exact_wins() {
        let patterns = [
            "/ws/**",
            "/ws/{ver}/kb/**",
            "GET /ws/{ver}/**/hello",
            "POST /ws/{ver}/kb/login",
            "/ws/v12/kb/**",
            "/{any}",
        ];
        check(&patterns, "GET /ws/v12/x/y", "/ws/**");
        check(&patterns, "GET /ws", "/{any}");
        check(&patterns, "GET /ws/", "/{any}");
        check(&patterns, "GET /ws/v15/kb/a", "/ws/{ver}/kb/**");
        check(&patterns, "GET /ws/v12/kb/a", "/ws/v12/kb/**");
        check(&patterns, "GET /ws/v12/kb/hello", "GET /ws/{ver}/**/hello");
        check(&patterns, "HEAD /ws/v12/hello", "GET /ws/{ver}/**/hello");
        check(&patterns, "POST /ws/v12/hello", "/ws/**");
        check(&patterns, "GET /ws/v12/hellox", "/ws/**");
        check(&patterns, "POST /ws/v12/kb/login", "POST /ws/{ver}/kb/login");
        check(&patterns, "GET /other/x", "none");
        check(&patterns, "GET /WS/v12", "none");
        check(&["/login"], "GET /login/", "/login");
        check(&["/login"], "GET /login//", "none");
        check(&["/login/"], "GET /login", "none");
        check(&["/**"], "GET ", "/**");
    }

    #[test]
    fn the_index_finds_what_a_look_at_every_pattern_finds() {
        const SEGMENTS: [&str; 5] = ["a", "B", "{v}", "**", ""];
        let mut patterns = Vec::new();
        for first in SEGMENTS {
            for second in SEGMENTS {
                for third in SEGMENTS {
                    patterns.extend(Pattern::parse(&format!("/{first}/{second}/{third}")).ok());
                    patterns.extend(Pattern::parse(&format!("/{first}/{second}")).ok());
                }
            }
        }
        for case in [PathCase::Counts, PathCase::Ignored] {
            let table = Patterns::new(case, patterns.iter().map(|one| (one.clone(), false, one.to_string())));
            for path in ["", "/", "/a", "/A/b", "/a/b/", "/a/B/x", "/x/y/z/", "/a//B", "/a/b/c/d", "//"] {
                let given = &Segments::of(path).0;
                let wanted = table.entries.iter().filter(|(_, one, _)| one.matches(given, case).is_some());
                let wanted: Vec<_> = wanted.map(|(_, _, text)| text).collect();
                let found: Vec<_> =
                    table.matching(&Method::GET, &Segments::of(path)).map(|(text, _)| text).collect();
                assert_eq!(found, wanted, "{path}");
            }
            let all = table.entries.iter().enumerate().flat_map(|(at, (exactness, one, _))| {
                let others = table.entries.iter().skip(at + 1);
                others.filter(move |(other, two, _)| other == exactness && one.overlaps(two, case))
            });
            assert_eq!(table.ties().count(), all.count());
        }
    }

    #[test]
    fn ties_are_found() {
        let ties = |a: &str, b: &str| {
            let pattern = |text| (Pattern::parse(text).unwrap(), false, ());
            Patterns::new(PathCase::Counts, [pattern(a), pattern(b)]).ties().count()
        };
        assert_eq!(ties("/ws/**", "/ws/**"), 1);
        assert_eq!(ties("/{a}/x", "/y/{b}"), 1);
        assert_eq!(ties("GET /a", "POST /a"), 0);
        assert_eq!(ties("/a/{b}", "/c/{b}"), 0);
        assert_eq!(ties("/a/**/z", "/a/**/y"), 0);
    }
}
