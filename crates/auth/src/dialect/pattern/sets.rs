//! Patterns as sets of requests: what two of them have in common, and whether one is within another.
//!
//! A path has any number of segments, and a segment has any of endlessly many names. So a pattern with `**` is one
//! without it for every length of paths, `**` spread to as many free segments as are missing:
//!
//! ```text
//!     /admin/**  of three segments   admin  ·  ·
//!     /**/export of three segments    ·     ·  export
//!     what both match                admin  ·  export   and, for longer paths, /admin/**/export
//! ```

use std::cmp::max;
use std::iter::repeat_n;

use http::Method;
use smallvec::SmallVec;

use super::{Exactness, PathCase, Pattern, Patterns, Segment};

/// Two patterns of a table, of which the more exact one decides about requests that the other one is about as well.
#[derive(Debug)]
pub(crate) struct Crossing<'p, T, W> {
    /// The more exact one and its item.
    pub(crate) winner: (&'p Pattern, &'p T),
    /// The other one and its item.
    pub(crate) other: (&'p Pattern, &'p T),
    /// What both match, and nothing more exact.
    pub(crate) both: Pattern,
    /// What was said of them.
    pub(crate) why: W,
}

impl Pattern {
    /// Whether some request matches both.
    pub fn overlaps(&self, other: &Self, case: PathCase) -> bool {
        self.common_methods(other).is_some()
            && self.spread_alike(other).is_some_and(|mut pairs| pairs.all(|(a, b)| a.meets(b, case)))
    }

    /// Whether it matches every path that the other one matches, whatever the methods.
    pub(crate) fn covers_paths(&self, other: &Self, case: PathCase) -> bool {
        let shortest = other.length_min();
        let longest = match (self.rest, other.rest) {
            (None, Some(_)) => return false,
            // In longer paths, the same segments of both stand side by side as in the longest of these.
            (Some(_), Some(_)) => shortest + self.length_min(),
            (_, None) => shortest,
        };
        (shortest..=longest).all(|length| {
            self.spread(length)
                .zip(other.spread(length))
                .is_some_and(|(own, given)| own.zip(given).all(|(own, given)| own.covers(given, case)))
        })
    }

    /// Whether it matches every request that the other one matches.
    pub(crate) fn covers(&self, other: &Self, case: PathCase) -> bool {
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty() && other.methods.iter().all(|method| self.admits(method)));
        methods && self.covers_paths(other, case)
    }

    /// The requests that both match, as patterns that name all of them together; none where there are none.
    ///
    /// Variables are called as in `self` where it has one.
    pub(crate) fn common(&self, other: &Self, case: PathCase) -> Vec<Self> {
        let Some(methods) = self.common_methods(other) else { return Vec::new() };
        let mut common = Vec::new();
        if let (Some(at), Some(others)) = (self.rest, other.rest)
            && let Some(pairs) = self.spread_alike(other)
        {
            // A segment that is free in both can only be where a `**` has room for more.
            common.extend(Self::meeting(&methods, pairs, Some(max(at, others)), case));
            let shortest = max(self.length_min(), other.length_min());
            for length in shortest..self.length_alike(other) {
                let pairs = self.spread(length).zip(other.spread(length));
                common.extend(pairs.and_then(|(a, b)| Self::meeting(&methods, a.zip(b), None, case)));
            }
        } else if let Some(pairs) = self.spread_alike(other) {
            common.extend(Self::meeting(&methods, pairs, None, case));
        }
        common
    }

    /// Its requests by one of its methods.
    pub(crate) fn by(&self, method: &Method) -> Self {
        let path = self.text.split_once(' ').map_or(self.text.as_str(), |(_, path)| path);
        let text = format!("{method} {path}");
        Self { methods: std::iter::once(method.clone()).collect(), text, ..self.clone() }
    }

    /// Where a variable stands: from the beginning of the path, and from its end. A number that differs from path to
    /// path is none.
    pub(crate) fn place_of(&self, variable: &str) -> (Option<usize>, Option<usize>) {
        let named = |segment: &Segment| segment.variable() == Some(variable);
        let Some(at) = self.segments.iter().position(named) else { return (None, None) };
        let from_end = self.segments.len() - 1 - at;
        (
            self.rest.is_none_or(|rest| at < rest).then_some(at),
            self.rest.is_none_or(|rest| at > rest).then_some(from_end),
        )
    }

    /// How many segments its shortest path has.
    fn length_min(&self) -> usize {
        self.segments.len() - usize::from(self.rest.is_some())
    }

    /// Its segments for paths of that length; those for which `**` stands are [`Segment::Rest`].
    fn spread(&self, length: usize) -> Option<impl Iterator<Item = &Segment>> {
        let (head, tail) = match self.rest.and_then(|at| self.segments.split_at_checked(at)) {
            Some((head, tail)) => (head, tail.get(1..).unwrap_or_default()),
            None if self.segments.len() == length => (self.segments.as_slice(), [].as_slice()),
            None => return None,
        };
        let free = length.checked_sub(head.len() + tail.len())?;
        Some(head.iter().chain(repeat_n(&Segment::Rest, free)).chain(tail))
    }

    /// A length of paths that both match, if they match some path both.
    fn length_alike(&self, other: &Self) -> usize {
        match (self.rest, other.rest) {
            (None, _) => self.segments.len(),
            (_, None) => other.segments.len(),
            (Some(a), Some(b)) => max(a, b) + max(self.length_min() - a, other.length_min() - b),
        }
    }

    fn spread_alike<'p>(
        &'p self,
        other: &'p Self,
    ) -> Option<impl Iterator<Item = (&'p Segment, &'p Segment)>> {
        let length = self.length_alike(other);
        self.spread(length).zip(other.spread(length)).map(|(a, b)| a.zip(b))
    }

    /// The methods that both admit, empty for any; `None` if there are none.
    fn common_methods(&self, other: &Self) -> Option<SmallVec<[Method; 2]>> {
        if self.methods.is_empty() || other.methods.is_empty() {
            return Some(self.methods.iter().chain(&other.methods).cloned().collect());
        }
        let own = self.methods.iter().filter(|method| other.admits(method));
        let others =
            other.methods.iter().filter(|method| self.admits(method) && !self.methods.contains(method));
        let common: SmallVec<_> = own.chain(others).cloned().collect();
        (!common.is_empty()).then_some(common)
    }

    /// The pattern of what two rows of segments have in common, with `**` at a place.
    fn meeting<'p>(
        methods: &[Method],
        pairs: impl Iterator<Item = (&'p Segment, &'p Segment)>,
        rest: Option<usize>,
        case: PathCase,
    ) -> Option<Self> {
        let mut segments = Vec::new();
        for (a, b) in pairs {
            let segment = match (a, b) {
                (Segment::Literal(_), _) if a.meets(b, case) => a.clone(),
                (_, Segment::Literal(_)) if a.meets(b, case) => b.clone(),
                (Segment::Literal(_), _) | (_, Segment::Literal(_)) => return None,
                (Segment::Variable(name), _) | (_, Segment::Variable(name)) => {
                    Segment::Variable(unused(name, &segments))
                }
                (Segment::Rest, Segment::Rest) => Segment::Variable(unused("any", &segments)),
            };
            segments.push(segment);
        }
        if let Some(at) = rest {
            segments.insert(at.min(segments.len()), Segment::Rest);
        }
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let mut text = names.join("|");
        text.push_str(if text.is_empty() { "" } else { " " });
        for segment in &segments {
            text.push('/');
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Variable(name) => text.extend(["{", name, "}"]),
                Segment::Rest => text.push_str("**"),
            }
        }
        if segments.is_empty() {
            text.push('/');
        }
        Some(Self { methods: methods.into(), segments, rest, text })
    }
}

impl Segment {
    /// Whether both match some segment; [`Segment::Rest`] stands for any one.
    fn meets(&self, other: &Self, case: PathCase) -> bool {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => case.equal(a, b),
            (Self::Variable(_) | Self::Rest, _) | (_, Self::Variable(_) | Self::Rest) => true,
        }
    }

    /// Whether it matches every segment that the other one matches.
    fn covers(&self, other: &Self, case: PathCase) -> bool {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => case.equal(a, b),
            (Self::Literal(_), Self::Variable(_) | Self::Rest) => false,
            (Self::Variable(_) | Self::Rest, _) => true,
        }
    }
}

/// A name of a variable that none of these segments has.
fn unused(name: &str, segments: &[Segment]) -> String {
    let taken = |name: &str| segments.iter().any(|one| one.variable() == Some(name));
    let numbered = (2..=segments.len() + 1).map(|number| format!("{name}{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

impl<T> Patterns<T> {
    /// Pairs of which the more exact one decides about requests that the other one is about as well, though it is no
    /// exception from it (its paths are not all within the other's), and no pattern that is still more exact is about
    /// all that both match. Only those of which `say` says something; ties are not among them.
    pub(crate) fn crossings<'p, W>(
        &'p self,
        say: impl Fn((&'p Pattern, &'p T), (&'p Pattern, &'p T)) -> Option<W>,
    ) -> impl Iterator<Item = Crossing<'p, T, W>> {
        self.overruled().filter_map(move |(at, (pattern, item), (other, other_item))| {
            let why = say((pattern, item), (other, other_item))?;
            if other.covers_paths(pattern, self.case) {
                return None;
            }
            let both = pattern.common(other, self.case).into_iter().find(|both| !self.is_named(both, at))?;
            Some(Crossing { winner: (pattern, item), other: (other, other_item), both, why })
        })
    }

    /// Pairs that match the same request, the more exact one first, with its place in the table; ties are not among them.
    fn overruled(&self) -> impl Iterator<Item = (usize, (&Pattern, &T), (&Pattern, &T))> {
        let pairs = self.entries.iter().enumerate().flat_map(move |(at, winner)| {
            let beside = self.index.beside(&winner.1).into_iter().filter(move |place| *place > at);
            beside.filter_map(|place| self.entries.get(place)).map(move |other| (at, winner, other))
        });
        pairs.filter_map(move |(at, (exactness, pattern, item), (other_exactness, other, other_item))| {
            let meet = exactness != other_exactness && pattern.overlaps(other, self.case);
            meet.then_some((at, (pattern, item), (other, other_item)))
        })
    }

    /// Pairs that match the same request, the more exact one first; ties are not among them.
    pub(crate) fn exceptions(&self) -> impl Iterator<Item = ((&Pattern, &T), (&Pattern, &T))> {
        self.overruled().map(|(_, winner, other)| (winner, other))
    }

    /// What decides about a method at all paths of a pattern, but for exceptions; `None` also if that is about no other paths.
    pub(crate) fn elsewhere<'p>(&'p self, at: &Pattern, method: &Method) -> Option<(&'p Pattern, &'p T)> {
        let beside = self.index.beside(at).into_iter().filter_map(|place| self.entries.get(place));
        let mut all =
            beside.filter(|(_, other, _)| other.admits(method) && other.covers_paths(at, self.case));
        let (_, other, item) = all.next()?;
        (!at.covers_paths(other, self.case)).then_some((other, item))
    }

    /// What decides by a method at all paths of a pattern, and what is more exact and decides about some requests of it, by
    /// whatever method.
    pub(crate) fn deciding<'p>(
        &'p self,
        at: &Pattern,
        method: &Method,
    ) -> (Option<&'p T>, Vec<(&'p Pattern, &'p T)>) {
        let mut exceptions = Vec::new();
        for (_, other, item) in self.index.beside(at).into_iter().filter_map(|place| self.entries.get(place))
        {
            if other.admits(method) && other.covers_paths(at, self.case) {
                return (Some(item), exceptions);
            }
            if other.overlaps(at, self.case) {
                exceptions.push((other, item));
            }
        }
        (None, exceptions)
    }

    /// Whether a pattern that is more exact than that matches all that this one matches.
    pub(crate) fn names(&self, wanted: &Pattern, than: Exactness) -> bool {
        let beside = self.index.beside(wanted).into_iter().filter_map(|place| self.entries.get(place));
        let mut more_exact = beside.take_while(|(exactness, _, _)| *exactness > than);
        more_exact.any(|(_, pattern, _)| pattern.covers(wanted, self.case))
    }

    /// Whether one of the patterns before a place matches all that this one matches.
    fn is_named(&self, wanted: &Pattern, before: usize) -> bool {
        let beside = self.index.beside(wanted).into_iter().take_while(|place| *place < before);
        beside
            .filter_map(|place| self.entries.get(place))
            .any(|(_, pattern, _)| pattern.covers(wanted, self.case))
    }
}
