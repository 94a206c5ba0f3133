//! What is wrong with a configuration file: all of it, by line, with a hint where there is one.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mistake {
    /// The file as it was named.
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// The key, like `api[0].upstream`; empty for the file as a whole.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// The mistakes found so far, and where each key stands.
#[derive(Debug)]
pub(crate) struct Report {
    file: String,
    line_starts: Vec<usize>,
    offsets: HashMap<String, usize>,
    mistakes: Vec<Mistake>,
    notes: Vec<Mistake>,
}

impl Report {
    /// An empty report about a file.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self {
            file: file.to_owned(),
            line_starts,
            offsets: HashMap::new(),
            mistakes: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Notes where a key stands, unless that is known.
    pub(super) fn note(&mut self, path: &str, offset: usize) {
        self.offsets.entry(path.to_owned()).or_insert(offset);
    }

    /// Notes where a key stands, whatever was known.
    pub(super) fn note_again(&mut self, path: &str, offset: usize) {
        self.offsets.insert(path.to_owned(), offset);
    }

    /// Reports a mistake in the key at `path`, or else in the nearest one around it that is there.
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>, hint: Option<String>) {
        let offset = self.offset(path);
        self.add_at(offset, path, message, hint);
    }

    /// Reports a mistake at a place in the text.
    pub(super) fn add_at(
        &mut self,
        offset: usize,
        path: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let (file, key, message) = (self.file.clone(), path.to_owned(), message.into());
        self.mistakes.push(Mistake { file, line, key, message, hint });
    }

    /// A mistake in the key at `path`, not added to the report.
    pub(super) fn mistake(&self, path: &str, message: impl Into<String>) -> Mistake {
        let line = self.line_starts.partition_point(|start| *start <= self.offset(path)).max(1);
        let (file, key, message) = (self.file.clone(), path.to_owned(), message.into());
        Mistake { file, line, key, message, hint: None }
    }

    /// Notes of the key at `path` what is no mistake, and may mean something else than was meant.
    pub(crate) fn remark(&mut self, path: &str, message: impl Into<String>, hint: Option<String>) {
        let note = Mistake { hint, ..self.mistake(path, message) };
        self.notes.push(note);
    }

    /// What was noted.
    pub(crate) fn notes(&self) -> &[Mistake] {
        &self.notes
    }

    /// Reports a key that nobody knows.
    pub(super) fn add_unknown<'a>(
        &mut self,
        path: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        let hint = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let mut known: Vec<&str> = known.collect();
                known.sort_unstable();
                format!("known here: {}", known.join(", "))
            }
        };
        self.add(path, format!("unknown key `{name}`"), Some(hint));
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// All mistakes, in the order of the file.
    pub(crate) fn into_mistakes(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by_key(|mistake| mistake.line);
        self.mistakes
    }

    fn offset(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(offset) = self.offsets.get(path) {
                return *offset;
            }
            match path.rfind(['.', '[']) {
                Some(at) => path = path.get(..at).unwrap_or(""),
                None => return 0,
            }
        }
    }
}

/// The name among `known` that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Below this a suggestion would puzzle more than it helps (Jaro-Winkler, 0 to 1).
const LIKENESS_MIN: f64 = 0.8;
