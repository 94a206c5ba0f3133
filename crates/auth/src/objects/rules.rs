//! The object rules of a route, ready to be applied.

use std::sync::Arc;

use http::HeaderName;

use crate::account::Account;
use crate::dialect::pattern::{PathCase, Pattern, Patterns};
use crate::objects::key::KeyRule;
use crate::objects::kind::{Kind, Kinds};
use crate::objects::name::{parameter, steps};
use crate::objects::place::{Message, Place};
use crate::objects::pointer::Pointers;
use crate::objects::{ANSWER_BYTES_MAX, BODY_BYTES_MAX, Foreign, RouteObjects};

/// What the ids of a name must be.
#[derive(Clone, Debug)]
pub(super) enum Must {
    /// Equal to a key of the caller's.
    Equal(KeyRule),
    /// Those of objects that the caller owns.
    BeOwned(Arc<Kind>),
}

/// The ids of one name in a request.
#[derive(Debug)]
pub(super) struct Rule {
    /// The name, as the service is told it.
    pub(super) label: Arc<str>,
    pub(super) must: Must,
    /// Whether a request may name none.
    pub(super) optional: bool,
}

/// The ids of one name in an answer.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) must: Must,
    /// Whether an object that is nobody's becomes the caller's.
    pub(super) creates: bool,
}

/// Pointers, each with the number of the rule that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Pointed {
    pub(super) pointers: Pointers,
    pub(super) rules: Vec<usize>,
}

/// The rules of a route.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(super) ids: Vec<Rule>,
    /// Variables of the path.
    pub(super) paths: Vec<(String, usize)>,
    pub(super) headers: Vec<(HeaderName, usize)>,
    pub(super) query: Pointed,
    pub(super) body: Pointed,
    pub(super) body_bytes_max: usize,
    pub(super) answer: Option<AnswerRules>,
}

/// What is looked for in answers.
#[derive(Debug)]
pub(super) struct AnswerRules {
    pub(super) shown: Vec<Shown>,
    pub(super) locations: Option<Patterns<usize>>,
    pub(super) headers: Vec<(HeaderName, usize)>,
    pub(super) body: Pointed,
    pub(super) foreign: Foreign,
    pub(super) bytes_max: usize,
}

/// Names of one route: the bits of a mask say which of them a request named.
const NAMES_MAX: usize = 64;

impl Rules {
    /// The rules that a route's words ask for; `None` if they ask for nothing. Mistakes are added to a list.
    pub(crate) fn new(
        at: &Pattern,
        case: PathCase,
        kinds: &Kinds,
        options: &RouteObjects,
        mistakes: &mut Vec<String>,
    ) -> Option<Self> {
        let RouteObjects { ids, creates, shows, foreign, body_bytes_max, answer_bytes_max } = options;
        if ids.is_empty() && creates.is_empty() && shows.is_empty() {
            return None;
        }
        let mut told = |word: &str, name: &str, text: String| {
            mistakes.push(format!("route `{at}`: {word}.{name}: {text}"));
        };
        if ids.len() > NAMES_MAX || creates.len() + shows.len() > NAMES_MAX {
            told("ids", "*", format!("a route has at most {NAMES_MAX} names"));
        }
        let mut rules = Self {
            ids: Vec::new(),
            paths: Vec::new(),
            headers: Vec::new(),
            query: Pointed::default(),
            body: Pointed::default(),
            body_bytes_max: body_bytes_max.unwrap_or(BODY_BYTES_MAX),
            answer: None,
        };
        for (name, places) in ids {
            if let Err(text) = rules.add(at, kinds, name, places) {
                told("ids", name, text);
            }
        }
        let mut answer = AnswerRules {
            shown: Vec::new(),
            locations: None,
            headers: Vec::new(),
            body: Pointed::default(),
            foreign: *foreign,
            bytes_max: answer_bytes_max.unwrap_or(ANSWER_BYTES_MAX),
        };
        let mut locations = Vec::new();
        for (word, names, creates) in [("creates", creates, true), ("shows", shows, false)] {
            for (name, places) in names {
                if let Err(text) = answer.add(kinds, name, places, creates, &mut locations) {
                    told(word, name, text);
                }
            }
        }
        if !locations.is_empty() {
            let locations = Patterns::new(case, locations);
            for ((a, _), (b, _)) in locations.ties() {
                told("creates", "*", format!("locations `{a}` and `{b}` match the same path"));
            }
            answer.locations = Some(locations);
        }
        rules.answer = (!answer.shown.is_empty()).then_some(answer);
        Some(rules)
    }

    /// What cannot be where callers need not prove anything: nobody would own what they create.
    pub(crate) fn for_anonymous(&self, at: &str, mistakes: &mut Vec<String>) {
        let shown = self.answer.iter().flat_map(|answer| &answer.shown);
        for shown in shown.filter(|shown| shown.creates) {
            if let Must::BeOwned(kind) = &shown.must
                && kind.references.is_none()
            {
                mistakes.push(format!(
                    "route `{at}`: creates.{0}: nobody owns what anonymous callers create unless they get references; add references = \"30d\" to kind `{0}`",
                    kind.name
                ));
            }
        }
    }

    /// The headers of a request in which ids are looked for.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter().map(|(name, _rule)| name)
    }

    /// Whether an account can own what the route creates.
    pub(super) fn can_own(&self, account: &Account) -> bool {
        let shown = self.answer.iter().flat_map(|answer| &answer.shown);
        shown.filter(|shown| shown.creates).all(|shown| match &shown.must {
            Must::BeOwned(kind) => kind.owner.of(account).is_some(),
            Must::Equal(_) => true,
        })
    }

    fn add(&mut self, at: &Pattern, kinds: &Kinds, name: &str, places: &[String]) -> Result<(), String> {
        let (label, optional) = match name.strip_suffix('?') {
            Some(label) => (label, true),
            None => (name, false),
        };
        let number = self.ids.len();
        self.ids.push(Rule { label: label.into(), must: must(kinds, label)?, optional });
        for place in parsed(places, Message::Request)? {
            match place {
                Place::Path(variable) if at.has_variable(&variable) => self.paths.push((variable, number)),
                Place::Path(variable) => return Err(format!("the path of the route has no {{{variable}}}")),
                Place::Query(name) => self.query.add_parameter(&name, number)?,
                Place::Header(name) => self.headers.push((name, number)),
                Place::Body(pointer) => self.body.add(&pointer, number)?,
                Place::Location(_) => return Err("a request has no location".to_owned()),
            }
        }
        Ok(())
    }
}

impl AnswerRules {
    fn add(
        &mut self,
        kinds: &Kinds,
        name: &str,
        places: &[String],
        creates: bool,
        locations: &mut Vec<(Pattern, bool, usize)>,
    ) -> Result<(), String> {
        let must = must(kinds, name)?;
        if creates && matches!(must, Must::Equal(_)) {
            let known = kinds.keys().map(String::as_str);
            let hint = crate::dialect::source::did_you_mean(name, known);
            return Err(format!(
                "only objects of a kind are created, and `{name}` is no kind of the API{hint}"
            ));
        }
        let number = self.shown.len();
        self.shown.push(Shown { must, creates });
        for place in parsed(places, Message::Answer)? {
            match place {
                Place::Location(pattern) => locations.push((pattern, false, number)),
                Place::Header(name) => self.headers.push((name, number)),
                Place::Body(pointer) => self.body.add(&pointer, number)?,
                Place::Path(_) | Place::Query(_) => {
                    return Err("an answer has no path and no query".to_owned());
                }
            }
        }
        Ok(())
    }
}

impl Pointed {
    fn add(&mut self, pointer: &str, rule: usize) -> Result<(), String> {
        let number = self.pointers.add(pointer)?;
        debug_assert_eq!(number, self.rules.len());
        self.rules.push(rule);
        Ok(())
    }

    /// Adds a parameter of queries and forms, in all spellings that are read as it: `filter[customer]` and
    /// `filter.customer` are one field of a field.
    fn add_parameter(&mut self, name: &str, rule: usize) -> Result<(), String> {
        let wrong =
            || format!("`{name}` is no name of a parameter; write it as it reads, or %25 for a percent sign");
        let decoded = parameter(name).map_err(|_| wrong())?;
        self.add(&format!("/{}", escaped(&decoded)), rule)?;
        let steps: Vec<String> = steps(&decoded)
            .map(|step| if step.is_empty() { "*".to_owned() } else { escaped(step) })
            .collect();
        if steps.len() > 1 {
            self.add(&format!("/{}", steps.join("/")), rule)?;
        }
        Ok(())
    }
}

/// A name is a kind's, or else that of keys.
fn must(kinds: &Kinds, name: &str) -> Result<Must, String> {
    match kinds.get(name) {
        Some(kind) => Ok(Must::BeOwned(Arc::clone(kind))),
        None => KeyRule::parse(name).map(Must::Equal),
    }
}

fn parsed(places: &[String], message: Message) -> Result<Vec<Place>, String> {
    if places.is_empty() {
        return Err("names no place".to_owned());
    }
    places.iter().map(|place| Place::parse(place, message)).collect()
}

/// A name as a step of a pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
