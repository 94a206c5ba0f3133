//! Reads a dialect file key by key, and remembers where each stood, so that a mistake is told with its line.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A mistake in a dialect file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Its line, from 1; 0 where a mistake has no line (an API's own settings).
    pub line: usize,
    /// The table, e.g. `token.session`; empty at the top level.
    pub table: String,
    /// What is wrong, and mostly what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.table.is_empty() {
            write!(f, "{}: ", self.table)?;
        }
        f.write_str(&self.message)
    }
}

/// A value of the file, and where it stood.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// The text of a file and the mistakes found in it so far.
pub(crate) struct Source<'s> {
    file: &'s str,
    text: &'s str,
    problems: RefCell<Vec<Problem>>,
    /// Kind of table and key, for the reference to be compared with.
    #[cfg(test)]
    pub(crate) asked: RefCell<BTreeSet<(String, String)>>,
}

impl<'s> Source<'s> {
    pub(crate) fn new(file: &'s str, text: &'s str) -> Self {
        Self {
            file,
            text,
            problems: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Whether no mistake was found so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// The root table, or what keeps the file from being TOML.
    pub(crate) fn parse(&self) -> Option<Spanned<DeTable<'s>>> {
        match DeTable::parse(self.text) {
            Ok(root) => Some(root),
            Err(error) => {
                self.problem(error.span().unwrap_or(0..0), "", error.message().replace('\n', "; "));
                None
            }
        }
    }

    pub(crate) fn problem(&self, span: Range<usize>, table: &str, message: impl Into<String>) {
        let line = 1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count();
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            line,
            table: one_line(table),
            message: one_line(&message.into()),
        });
    }

    /// The mistakes in the order of their lines.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let mut told = BTreeSet::new();
        problems
            .retain(|problem| told.insert((problem.line, problem.table.clone(), problem.message.clone())));
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// A table that is being read; every key that is asked for counts as known.
pub(crate) struct Table<'t, 's> {
    source: &'t Source<'s>,
    /// As messages name it.
    pub(crate) name: String,
    /// As the reference names it: `token.NAME`.
    kind: RefCell<String>,
    pub(crate) span: Range<usize>,
    table: &'t DeTable<'s>,
    known: RefCell<BTreeSet<String>>,
}

impl<'t, 's> Table<'t, 's> {
    pub(crate) fn root(source: &'t Source<'s>, table: &'t Spanned<DeTable<'s>>) -> Self {
        Self {
            source,
            name: String::new(),
            kind: RefCell::default(),
            span: table.span(),
            table: table.get_ref(),
            known: RefCell::default(),
        }
    }

    /// Tells a mistake in this table.
    pub(crate) fn problem(&self, span: Range<usize>, message: impl Into<String>) {
        self.source.problem(span, &self.name, message);
    }

    /// Tells a mistake of the table as a whole.
    pub(crate) fn complain(&self, message: impl Into<String>) {
        self.problem(self.span.clone(), message);
    }

    /// Says that it is one of a kind that stands in several places: an answer, whose keys are told once.
    pub(crate) fn is_of_kind(&self, kind: &str) {
        kind.clone_into(&mut self.kind.borrow_mut());
    }

    /// The value of a key as it stands.
    pub(crate) fn raw(&self, key: &str) -> Option<&'t Spanned<DeValue<'s>>> {
        #[cfg(test)]
        if *self.kind.borrow() != FREE {
            self.source.asked.borrow_mut().insert((self.kind.borrow().clone(), key.to_owned()));
        }
        self.known.borrow_mut().insert(key.to_owned());
        self.table.get(key)
    }

    fn typed<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'t DeValue<'s>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.raw(key)?;
        match read(value.get_ref()) {
            Some(read) => Some(At { value: read, span: value.span() }),
            None => {
                self.problem(value.span(), format!("`{key}` is {wanted}"));
                None
            }
        }
    }

    pub(crate) fn text(&self, key: &str) -> Option<At<String>> {
        self.typed(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.typed(key, "true or false", DeValue::as_bool).map(|at| at.value)
    }

    pub(crate) fn number(&self, key: &str) -> Option<At<u32>> {
        self.typed(key, "a whole number", |value| value.as_integer()?.as_str().parse().ok())
    }

    /// A number of things of which there is at least one.
    pub(crate) fn count(&self, key: &str) -> Option<u32> {
        let number = self.number(key)?;
        if number.value == 0 {
            self.problem(number.span, format!("`{key}` is at least 1"));
        }
        Some(number.value)
    }

    /// A string, or an integer as its text (`code = 10`).
    pub(crate) fn text_or_number(&self, key: &str) -> Option<At<String>> {
        self.typed(key, "a string or a whole number", |value| match value.as_integer() {
            Some(number) => number.as_str().parse::<i64>().ok().map(|number| number.to_string()),
            None => value.as_str().map(str::to_owned),
        })
    }

    /// A list of strings, or one string that stands for a list of one.
    pub(crate) fn texts(&self, key: &str) -> Option<Vec<At<String>>> {
        let value = self.raw(key)?;
        let texts = self.texts_of(value);
        if texts.is_none() {
            self.problem(value.span(), format!("`{key}` is a list of strings"));
        }
        texts
    }

    pub(crate) fn texts_of(&self, value: &'t Spanned<DeValue<'s>>) -> Option<Vec<At<String>>> {
        if let Some(text) = value.get_ref().as_str() {
            return Some(vec![At { value: text.to_owned(), span: value.span() }]);
        }
        let items = value.get_ref().as_array()?;
        items
            .iter()
            .map(|item| item.get_ref().as_str().map(|text| At { value: text.to_owned(), span: item.span() }))
            .collect()
    }

    /// A span of time: `20s`, `30m`, `12h`, `30d`.
    pub(crate) fn time(&self, key: &str) -> Option<Duration> {
        let text = self.text(key)?;
        let time = read_duration(&text.value);
        if time.is_none() {
            self.problem(text.span, format!("`{key}` is a time such as \"30m\", \"12h\" or \"30d\""));
        }
        time
    }

    /// The table under a key.
    pub(crate) fn table(&self, key: &str) -> Option<Table<'t, 's>> {
        let value = self.raw(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(self.inner(key, key, table, value.span())),
            None => {
                self.problem(value.span(), format!("`{key}` is a table"));
                None
            }
        }
    }

    /// All tables under a key, by name: `[token.session]`, `[token.customer]`.
    pub(crate) fn tables(&self, key: &str) -> Vec<(String, Table<'t, 's>)> {
        let Some(outer) = self.table(key) else { return Vec::new() };
        let names: Vec<_> = outer.table.iter().collect();
        let mut tables = Vec::new();
        for (name, value) in names {
            match value.get_ref().as_table() {
                Some(table) => {
                    let inner = outer.inner(name.get_ref(), "NAME", table, name.span());
                    tables.push((name.get_ref().to_string(), inner));
                }
                None => outer.problem(name.span(), format!("`{}` is a table", name.get_ref())),
            }
        }
        tables
    }

    fn inner(&self, key: &str, kind: &str, table: &'t DeTable<'s>, span: Range<usize>) -> Table<'t, 's> {
        let below =
            |outer: &str, key: &str| if outer.is_empty() { key.to_owned() } else { format!("{outer}.{key}") };
        let name = below(&self.name, key);
        let kind = RefCell::new(below(&self.kind.borrow(), kind));
        Table { source: self.source, name, kind, span, table, known: RefCell::default() }
    }

    /// Whether no mistake was found in the file so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.source.is_clean()
    }

    /// The keys of a table whose keys are names of the file's own, each with where it stands; they all count as
    /// known from now on.
    pub(crate) fn keys(&self) -> Vec<At<String>> {
        self.is_of_kind(FREE);
        let keys: Vec<_> =
            self.table.keys().map(|key| At { value: key.get_ref().to_string(), span: key.span() }).collect();
        self.known.borrow_mut().extend(keys.iter().map(|key| key.value.clone()));
        keys
    }

    /// Complains of keys that nobody asked for.
    pub(crate) fn finish(self) {
        let known = self.known.borrow();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(name) {
                let hint = did_you_mean(name, known.iter().map(String::as_str));
                self.problem(key.span(), format!("unknown key `{name}`{hint}"));
            }
        }
    }
}

/// Messages quote the file, which may hold anything.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The kind of tables whose keys are free.
const FREE: &str = "(names)";

/// `; did you mean …?`, or nothing if no candidate is near.
pub(crate) fn did_you_mean<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> String {
    let near = candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match near {
        Some((_, candidate)) => format!("; did you mean `{candidate}`?"),
        None => String::new(),
    }
}

/// Reads `20s`, `30m`, `12h`, `30d`; none of them is zero.
pub fn read_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}
