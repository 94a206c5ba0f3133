//! Finds the few patterns of a table that a path may match, however many there are.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{PathCase, Pattern, Segment};
use crate::canonical::path::decode_segment;

/// Places of patterns in their table.
pub(super) type Candidates = SmallVec<[usize; 8]>;

/// A tree over the segments of patterns, up to their `**`.
///
/// ```text
///     /ws/{ver}/kb/**          root -ws-> · -{}-> · -kb-> · rest: [0]
///     /ws/{ver}/kb/login                                  · -login-> · end: [1]
/// ```
///
/// A walk goes down the literal's branch and the variable's. It answers with patterns that may match; whether they
/// do is for [`Pattern::matches`] to say.
#[derive(Clone, Debug)]
pub(super) struct Index {
    case: PathCase,
    root: Node,
}

#[derive(Clone, Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node, RandomState>,
    variable: Option<Box<Node>>,
    /// Patterns that end here.
    ends: Vec<usize>,
    /// Patterns whose `**` stands here, whatever follows it.
    rests: Vec<usize>,
}

impl Index {
    pub(super) fn new<'p>(case: PathCase, patterns: impl Iterator<Item = &'p Pattern>) -> Self {
        let mut index = Self { case, root: Node::default() };
        for (place, pattern) in patterns.enumerate() {
            let mut node = &mut index.root;
            let before_rest = pattern.rest.unwrap_or(pattern.segments.len());
            for segment in pattern.segments.iter().take(before_rest) {
                node = match segment {
                    Segment::Literal(text) => node.literals.entry(case.folded(text).into()).or_default(),
                    Segment::Variable(_) | Segment::Rest => node.variable.get_or_insert_default(),
                };
            }
            let places = if pattern.rest.is_some() { &mut node.rests } else { &mut node.ends };
            places.push(place);
        }
        index
    }

    /// Which patterns may match a path of these segments, in the order of the table.
    pub(super) fn candidates(&self, given: &[&str]) -> Candidates {
        let mut found = Candidates::new();
        self.root.walk(self.case, given, &mut found);
        found.sort_unstable();
        found
    }

    /// Which patterns may match a request that `pattern` matches, itself among them, in the order of the table.
    pub(super) fn beside(&self, pattern: &Pattern) -> Vec<usize> {
        let mut found = Vec::new();
        self.root.beside(self.case, &pattern.segments, &mut found);
        found.sort_unstable();
        found
    }
}

impl Node {
    fn walk(&self, case: PathCase, given: &[&str], found: &mut Candidates) {
        // Most nodes have none of them.
        if !self.rests.is_empty() {
            found.extend_from_slice(&self.rests);
        }
        let Some((first, others)) = given.split_first() else {
            found.extend_from_slice(&self.ends);
            return;
        };
        if !self.literals.is_empty()
            && let Some(node) = self.literals.get(&*case.folded(first))
        {
            node.walk(case, others, found);
        }
        if let Some(node) = &self.variable {
            node.walk(case, others, found);
        }
    }

    fn beside(&self, case: PathCase, segments: &[Segment], found: &mut Vec<usize>) {
        if segments.first() == Some(&Segment::Rest) {
            return self.all(found);
        }
        found.extend_from_slice(&self.rests);
        match segments.split_first() {
            None => found.extend_from_slice(&self.ends),
            Some((Segment::Literal(text), others)) => {
                let literal = self.literals.get(&*case.folded(text));
                for node in literal.into_iter().chain(self.variable.as_deref()) {
                    node.beside(case, others, found);
                }
            }
            Some((Segment::Variable(_) | Segment::Rest, others)) => {
                for node in self.literals.values().chain(self.variable.as_deref()) {
                    node.beside(case, others, found);
                }
            }
        }
    }

    fn all(&self, found: &mut Vec<usize>) {
        found.extend_from_slice(&self.rests);
        found.extend_from_slice(&self.ends);
        for node in self.literals.values().chain(self.variable.as_deref()) {
            node.all(found);
        }
    }
}

impl PathCase {
    /// A segment as it stands in the index, where the same are equal.
    pub(super) fn folded(self, segment: &str) -> Cow<'_, str> {
        match self {
            Self::Counts => segment.into(),
            Self::Ignored => match decode_segment(segment) {
                Some(Cow::Owned(text)) => text.chars().flat_map(lower).collect::<String>().into(),
                Some(Cow::Borrowed(_)) | None if segment.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                    segment.to_ascii_lowercase().into()
                }
                Some(Cow::Borrowed(_)) | None => segment.into(),
            },
        }
    }
}

/// A letter in lower case; ASCII and what is beyond it never become each other.
fn lower(letter: char) -> impl Iterator<Item = char> {
    let stays = !letter.is_ascii() && letter.to_lowercase().any(|lower| lower.is_ascii());
    let (own, lower) = if stays { (Some(letter), None) } else { (None, Some(letter.to_lowercase())) };
    own.into_iter().chain(lower.into_iter().flatten())
}
