//! Changes every value of every dialect file, one at a time: some transcript must notice.
//!
//! What none notices is listed with its reason in `mutations/unseen.txt`, which may only shrink.
//! `MUTATION=text` tries those whose name contains `text` and says who noticed.

mod change;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_auth::dialect::Dialect;

use crate::replay::replay;
use crate::transcript::{Transcript, of_dialect};
use crate::world::setting::Setting;
use crate::world::{Keeping, World};
use change::{Mutation, mutations};

/// The list of what is not noticed: `dialect name | reason`.
const UNSEEN: &str = include_str!("mutations/unseen.txt");
/// Mutations tried at the same time.
const WORKERS: usize = 2;

#[test]
fn egain() {
    dialect("egain");
}

#[test]
fn genesys() {
    dialect("genesys");
}

#[test]
fn voltmx() {
    dialect("voltmx");
}

#[test]
fn superoffice() {
    dialect("superoffice");
}

#[test]
fn enactor() {
    dialect("enactor");
}

/// Who noticed a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Noticed {
    Loader,
    Transcript(usize),
    Nobody,
}

/// Which transcripts noticed what, so that the likeliest is asked first.
#[derive(Default)]
struct Memory {
    by_name: HashMap<String, usize>,
    by_table: HashMap<String, Vec<usize>>,
    counts: BTreeMap<usize, usize>,
}

impl Memory {
    /// Transcripts in the order in which they are to be asked.
    fn order(&self, mutation: &Mutation, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = self.by_name.get(&mutation.name).copied().into_iter().collect();
        let mut table = mutation.table.as_str();
        loop {
            order.extend(self.by_table.get(table).into_iter().flatten().rev());
            match table.rsplit_once('.') {
                Some((parent, _)) => table = parent,
                None => break,
            }
        }
        let mut all: Vec<usize> = (0..count).collect();
        all.sort_by_key(|at| std::cmp::Reverse(self.counts.get(at).copied().unwrap_or_default()));
        order.extend(all);
        let mut seen = vec![false; count];
        order.retain(|at| !std::mem::replace(&mut seen[*at], true));
        order
    }

    fn remember(&mut self, mutation: &Mutation, at: usize) {
        let mut table = mutation.table.as_str();
        loop {
            let known = self.by_table.entry(table.to_owned()).or_default();
            known.retain(|known| *known != at);
            known.push(at);
            match table.rsplit_once('.') {
                Some((parent, _)) => table = parent,
                None => break,
            }
        }
        *self.counts.entry(at).or_default() += 1;
        self.by_name.insert(mutation.name.clone(), at);
    }

    /// What an earlier run of the tests knew; only the order depends on it.
    fn load(file: &Path, transcripts: &[Transcript]) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let named = |name: &str| transcripts.iter().position(|transcript| transcript.name == name);
        let lines = text.lines().filter_map(|line| {
            let (name, transcript) = line.split_once('\t')?;
            Some((name.to_owned(), named(transcript)?))
        });
        Self { by_name: lines.collect(), ..Self::default() }
    }

    fn save(&self, file: &Path, transcripts: &[Transcript]) {
        let mut text = String::new();
        for (name, at) in &self.by_name {
            let _ = writeln!(text, "{name}\t{}", transcripts[*at].name);
        }
        // Without the file the next run is slower, that is all.
        let _ = std::fs::write(file, text);
    }
}

/// All that trying the mutations of a dialect takes.
struct Trial {
    setting: Setting,
    transcripts: Vec<Transcript>,
    memory: Mutex<Memory>,
}

impl Trial {
    fn noticed(&self, mutation: &Mutation) -> Noticed {
        let Ok(dialect) = Dialect::load("mutated.toml", &mutation.text) else { return Noticed::Loader };
        let dialect = Arc::new(dialect);
        let order = self.memory().order(mutation, self.transcripts.len());
        for at in order {
            let Ok(mut world) = World::start(&self.setting, &dialect, Keeping::Memory, &self.transcripts[at])
            else {
                return Noticed::Loader;
            };
            if replay(&self.transcripts[at], &self.setting, &mut world).is_err() {
                self.memory().remember(mutation, at);
                return Noticed::Transcript(at);
            }
        }
        Noticed::Nobody
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dialect(name: &str) {
    let file = Setting::dialect_text(name);
    let wanted = std::env::var("MUTATION").ok();
    let mut list = mutations(&file);
    list.retain(|mutation| wanted.as_ref().is_none_or(|wanted| mutation.name.contains(wanted)));
    let transcripts = of_dialect(name).unwrap_or_else(|errors| panic!("{}", errors.join("\n")));
    let hints = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("noticed-{name}.txt"));
    let memory = Mutex::new(Memory::load(&hints, &transcripts));
    let trial = Trial { setting: Setting::of(name), transcripts, memory };
    unchanged(&trial, &file);

    let next = AtomicUsize::new(0);
    let unseen: Mutex<Vec<usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((at, mutation)) = {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    list.get(at).map(|mutation| (at, mutation))
                } {
                    let mut noticed = trial.noticed(mutation);
                    if noticed != Noticed::Nobody && is_listed(name, mutation) {
                        // On a machine that stands still a transcript may fail by itself, for once.
                        noticed = trial.noticed(mutation);
                    }
                    if wanted.is_some() {
                        println!("{name} {}: {}", mutation.name, told(&noticed, &trial.transcripts));
                    }
                    if noticed == Noticed::Nobody {
                        unseen.lock().unwrap_or_else(PoisonError::into_inner).push(at);
                    }
                }
            });
        }
    });
    let mut unseen = unseen.into_inner().unwrap_or_else(PoisonError::into_inner);
    unseen.sort_unstable();
    trial.memory().save(&hints, &trial.transcripts);
    println!("{name}: {} mutations, {} unseen", list.len(), unseen.len());
    let unseen: Vec<&str> = unseen.into_iter().map(|at| list[at].name.as_str()).collect();
    let mistakes = compare(name, &list, &unseen);
    assert!(mistakes.is_empty(), "{mistakes}");
}

/// Whether it is among those that none notices.
fn is_listed(dialect: &str, mutation: &Mutation) -> bool {
    let line = format!("{dialect} {} |", mutation.name);
    UNSEEN.lines().any(|unseen| unseen.starts_with(&line))
}

fn told(noticed: &Noticed, transcripts: &[Transcript]) -> String {
    match noticed {
        Noticed::Loader => "the loader".to_owned(),
        Noticed::Transcript(at) => transcripts[*at].name.clone(),
        Noticed::Nobody => "nobody".to_owned(),
    }
}

/// Written anew without a change, the file must do, or every mutation would be noticed for nothing.
fn unchanged(trial: &Trial, file: &str) {
    let table: toml::Table = file.parse().unwrap();
    let text = toml::to_string(&table).unwrap();
    let dialect = Dialect::load("unchanged.toml", &text).map(Arc::new);
    let dialect = dialect.unwrap_or_else(|problems| panic!("{problems:?}"));
    for transcript in &trial.transcripts {
        let mut world = World::start(&trial.setting, &dialect, Keeping::Memory, transcript).unwrap();
        if let Err(failure) = replay(transcript, &trial.setting, &mut world) {
            panic!("a dialect without changes: {}", failure.differences.join("\n"));
        }
    }
}

/// Compares with the list; empty if they agree.
fn compare(dialect: &str, tried: &[Mutation], unseen: &[&str]) -> String {
    let listed: Vec<&str> = UNSEEN
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| {
            let (place, reason) = line.split_once(" | ").unwrap_or((line, ""));
            assert!(!reason.trim().is_empty(), "mutations/unseen.txt: `{line}` gives no reason");
            place.strip_prefix(dialect)?.strip_prefix(' ')
        })
        .collect();
    let mut text = String::new();
    for name in unseen.iter().filter(|name| !listed.contains(name)) {
        let _ = writeln!(text, "no transcript notices: {dialect} {name}");
    }
    let tried: Vec<&str> = tried.iter().map(|mutation| mutation.name.as_str()).collect();
    let everything = std::env::var_os("MUTATION").is_none();
    for name in listed.iter().filter(|name| !unseen.contains(name) && (everything || tried.contains(name))) {
        let _ = writeln!(text, "noticed by now, to be taken off mutations/unseen.txt: {dialect} {name}");
    }
    text
}
