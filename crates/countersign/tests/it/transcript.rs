//! Transcripts: written exchanges of a dialect, read from `dialects/*/transcripts/*.http`.
//!
//! `docs/transcripts.md` is the format. What is read here is only what stands in the file; nothing is looked up
//! and nothing is sent.

pub(crate) mod compare;
pub(crate) mod parse;
pub(crate) mod pattern;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use pattern::Pattern;

/// A transcript.
#[derive(Debug)]
pub(crate) struct Transcript {
    /// Its file's name without `.http`.
    pub(crate) name: String,
    /// Its file, for messages, from the repository's root.
    pub(crate) file: String,
    /// The requirements that it shows.
    pub(crate) shows: Vec<String>,
    /// The API of its world that it is about; the first one if it does not say.
    pub(crate) api: Option<String>,
    /// What happens, in order.
    pub(crate) steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug)]
pub(crate) enum Step {
    /// A request and what becomes of it.
    Exchange(Box<Exchange>),
    /// The gate's clock moves on.
    Wait(Duration),
    /// The account store can be reached from now on, or cannot.
    Store(Reach),
    /// The service behind the gate changes its manners.
    Service(Manners),
    /// Whether passwords are being checked as many as can be.
    Passwords(Load),
}

/// How the service behind the gate behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// It answers.
    Up,
    /// It closes every connection.
    Down,
    /// It takes requests and says nothing.
    Silent,
}

/// Whether another password can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Yes.
    Free,
    /// No: whoever comes is to come again.
    Busy,
}

/// Whether the account store can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It can.
    Up,
    /// It cannot.
    Down,
}

/// A request and what becomes of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Which of the client's connections carries it.
    pub(crate) connection: u8,
    /// What the client sends.
    pub(crate) client: Message,
    /// What must reach the service; nothing may if there is none.
    pub(crate) upstream: Option<Message>,
    /// What must be in JWTs that were bound.
    pub(crate) claims: Vec<Claims>,
    /// What the service answers; an empty 200 if there is none.
    pub(crate) reply: Option<Message>,
    /// What the client must get.
    pub(crate) answer: Message,
}

/// A request or an answer, as written.
#[derive(Debug)]
pub(crate) struct Message {
    /// Request line or status line.
    pub(crate) start: Line,
    /// Header lines in the order written.
    pub(crate) headers: Vec<Line>,
    /// The body; an empty pattern if there is none.
    pub(crate) body: Pattern,
    /// The line on which the body begins.
    pub(crate) body_line: usize,
}

/// A line with its place.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: usize,
    /// What it says.
    pub(crate) text: Pattern,
}

impl Line {
    /// The name of a header line, as written.
    pub(crate) fn name(&self) -> &str {
        self.text.beginning().split(':').next().unwrap_or_default()
    }
}

/// `=== claims NAME`: what must be in a JWT.
#[derive(Debug)]
pub(crate) struct Claims {
    /// Counted from 1.
    pub(crate) line: usize,
    /// The name that the JWT is bound to.
    pub(crate) name: String,
    /// A JSON object; `null` for members that must be absent.
    pub(crate) members: serde_json::Map<String, Value>,
}

impl Transcript {
    /// Reads a transcript; `file` is its name in messages.
    ///
    /// # Errors
    /// What is wrong, beginning with `file:line:`.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, String> {
        parse::transcript(file, text)
    }

    /// Whether the service is silent in it, so that the gate has to lose its patience.
    pub(crate) fn has_silence(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Service(Manners::Silent)))
    }

    /// How many exchanges it has.
    pub(crate) fn exchanges(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Exchange(_))).count()
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All transcripts of a dialect, by name.
///
/// # Errors
/// Every transcript that cannot be read.
pub(crate) fn of_dialect(dialect: &str) -> Result<Vec<Transcript>, Vec<String>> {
    let folder = root().join("dialects").join(dialect).join("transcripts");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("could not list {}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "http"))
        .collect();
    files.sort();
    let mut transcripts = Vec::new();
    let mut errors = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy();
        let text = std::fs::read_to_string(&path).unwrap();
        match Transcript::parse(&format!("dialects/{dialect}/transcripts/{name}"), &text) {
            Ok(transcript) => transcripts.push(transcript),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(transcripts) } else { Err(errors) }
}

/// The names of the folders of `dialects/` that have transcripts.
pub(crate) fn with_transcripts() -> Vec<String> {
    let folders = std::fs::read_dir(root().join("dialects")).unwrap().map(|entry| entry.unwrap());
    let having = folders.filter(|folder| folder.path().join("transcripts").is_dir());
    let mut names: Vec<String> =
        having.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The names of the dialects that ship with the gate.
pub(crate) const DIALECTS: [&str; 5] = ["egain", "genesys", "voltmx", "superoffice", "enactor"];

#[test]
fn every_transcript_can_be_read() {
    let found = with_transcripts();
    assert!(DIALECTS.iter().all(|name| found.iter().any(|folder| folder == name)), "{found:?}");
    let errors: Vec<String> =
        found.iter().filter_map(|dialect| of_dialect(dialect).err()).flatten().collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}
