//! Which ids a request names, in every place and every spelling.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::account::Account;
use crate::canonical::header_name::{folded, folds_to};
use crate::canonical::path::decode_segment;
use crate::canonical::query::{QUERY_PAIRS_MAX, QueryError, decode_form};
use crate::fields::content_type::{ContentType, Encoding};
use crate::fields::{Bounds, Fields};
use crate::objects::IDS_MAX;
use crate::objects::edit::place_in;
use crate::objects::json::{Found, Items, JsonFault, Plain, walk};
use crate::objects::key::Agreement;
use crate::objects::kind::Kind;
use crate::objects::name::{flat, steps};
use crate::objects::rules::{Must, Pointed, Rules};
use crate::recognize::Request;
use crate::refusal::{Reason, Refusal};

/// An object that a request names, by id or reference.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) rule: usize,
    pub(super) kind: Arc<Kind>,
    pub(super) said: String,
}

/// Where an object was named.
#[derive(Debug)]
pub(super) struct Spot {
    /// Which of the wanted ones.
    pub(super) wanted: usize,
    pub(super) at: SpotAt,
}

/// A place in a request that can be rewritten.
#[derive(Debug)]
pub(super) enum SpotAt {
    /// In the path below the prefix.
    Path(Range<usize>),
    /// In the raw query.
    Query(Range<usize>),
    /// The n-th value of a header.
    Header(HeaderName, usize),
    /// In the text of a JSON body.
    Json(Range<usize>),
    /// In the text of a form.
    Form(Range<usize>),
    /// In a part of a multipart body, which is not rewritten.
    Part,
}

/// What was read of a request.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Each object once.
    pub(super) wanted: SmallVec<[Wanted; 2]>,
    /// Where they were named.
    pub(super) spots: SmallVec<[Spot; 2]>,
    /// Ids that equal a key of the caller's, with the number of the rule; each once.
    pub(super) agreed: SmallVec<[(usize, String); 2]>,
}

/// How a body holds its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    Json,
    Form,
    Multipart,
}

/// A body that has one reading.
#[derive(Debug)]
pub(super) enum BodyRead<'b> {
    Json(&'b str),
    Form(&'b str),
    Multipart(Fields),
}

/// The form of a request's body, if it has to be read.
///
/// # Errors
/// `media-type` where ids may be in a body that cannot be read.
pub(super) fn body_form(rules: &Rules, headers: &HeaderMap) -> Result<Option<BodyForm>, Refusal> {
    let asked = !rules.body.pointers.is_empty();
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (first, second) = (types.next(), types.next());
    if second.is_some() {
        return Err(Refusal::new(Reason::Malformed, "the request has two content types"));
    }
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let content_type = first.and_then(|value| value.to_str().ok()).and_then(ContentType::parse);
    let form = match content_type.map(|content_type| content_type.encoding()) {
        Some(Encoding::Json) => Some(BodyForm::Json),
        Some(Encoding::Form) => Some(BodyForm::Form),
        Some(Encoding::Multipart) => Some(BodyForm::Multipart),
        Some(Encoding::Xml) | None => None,
    };
    match form {
        // Many services read parameters of the query and of a form as one.
        Some(BodyForm::Form | BodyForm::Multipart) if asked || !rules.query.pointers.is_empty() => {}
        Some(_) | None if !asked => return Ok(None),
        Some(_) => {}
        None => {
            return Err(Refusal::new(
                Reason::MediaType,
                "ids may be in the body, and it is neither json nor a form",
            ));
        }
    }
    if encoded {
        return Err(Refusal::new(Reason::MediaType, "ids may be in the body, and it is compressed"));
    }
    Ok(form)
}

/// A body in its one reading.
///
/// # Errors
/// `malformed`, and `too-large` for a multipart body with too many parts.
pub(super) fn body_read<'b>(
    form: BodyForm,
    headers: &HeaderMap,
    body: &'b [u8],
) -> Result<BodyRead<'b>, Refusal> {
    match form {
        BodyForm::Json => body_text(headers, body).map(BodyRead::Json),
        BodyForm::Form => body_text(headers, body).map(BodyRead::Form),
        BodyForm::Multipart => {
            let fields = content_type(headers)
                .map(|content_type| Fields::parse(&content_type, body, Bounds::default()));
            let fields =
                fields.ok_or_else(|| Refusal::new(Reason::Malformed, "the body has no content type"))?;
            fields.map(BodyRead::Multipart).map_err(|error| Refusal::new(error.reason(), error.to_string()))
        }
    }
}

/// The text of a body that has one reading as text: what its content type says, without a byte order mark.
///
/// # Errors
/// `malformed`.
pub(super) fn body_text<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<&'b str, Refusal> {
    if !content_type(headers).is_some_and(|content_type| content_type.reads_as_utf8(body)) {
        return Err(Refusal::new(Reason::Malformed, "the charset of the body is not utf-8"));
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    std::str::from_utf8(body).map_err(|_| Refusal::new(Reason::Malformed, "the body is not utf-8"))
}

fn content_type(headers: &HeaderMap) -> Option<ContentType> {
    headers.get(CONTENT_TYPE)?.to_str().ok().and_then(ContentType::parse)
}

/// Reads what a request names. Ids that must equal a key are compared at once.
///
/// `variables` are those of the route's path with their places in the path below the prefix; `body` is what
/// was read of it, where it has to be and there is one.
///
/// # Errors
/// `not-found` for an id that is another's, `no-credential` where nobody proved anything, `forbidden` where the
/// caller has no such key, 400-class for what has no one reading, `missing-field` where no id is named.
pub(super) fn read(
    rules: &Rules,
    account: Option<&Account>,
    request: &Request<'_>,
    variables: &[(usize, Range<usize>)],
    body: Option<&BodyRead<'_>>,
) -> Result<Named, Refusal> {
    let mut reading = Reading { rules, account, seen: 0, named: Named::default() };
    for (rule, span) in variables {
        let segment = request.path.get(span.clone()).unwrap_or_default();
        let id = decode_segment(segment)
            .ok_or_else(|| Refusal::new(Reason::Malformed, "a segment of the path has no one reading"))?;
        reading.note(*rule, &id, || SpotAt::Path(span.clone()))?;
    }
    reading.headers(request.headers)?;
    let query = request.query.unwrap_or_default();
    if !rules.query.pointers.is_empty() {
        reading.pairs(query, &rules.query, SpotAt::Query)?;
    }
    match body {
        Some(BodyRead::Json(text)) => reading.json(text)?,
        Some(BodyRead::Multipart(fields)) => {
            reading.parts(fields, &rules.body)?;
            reading.parts(fields, &rules.query)?;
            reading.pairs(query, &rules.body, SpotAt::Query)?;
        }
        Some(BodyRead::Form(text)) => {
            reading.pairs(text, &rules.body, SpotAt::Form)?;
            reading.pairs(text, &rules.query, SpotAt::Form)?;
            reading.pairs(query, &rules.body, SpotAt::Query)?;
        }
        None => {}
    }
    reading.finish()
}

struct Reading<'r> {
    rules: &'r Rules,
    account: Option<&'r Account>,
    /// Which rules found an id.
    seen: u64,
    named: Named,
}

impl Reading<'_> {
    /// An id was found.
    fn note(&mut self, rule: usize, id: &str, at: impl FnOnce() -> SpotAt) -> Result<(), Refusal> {
        let Some(known) = self.rules.ids.get(rule) else { return Ok(()) };
        self.seen |= 1_u64.checked_shl(u32::try_from(rule).unwrap_or(u32::MAX)).unwrap_or(0);
        match &known.must {
            Must::Equal(key) => {
                let account = self.account.ok_or_else(nobody)?;
                match key.agrees(account, id) {
                    Agreement::Own => {}
                    Agreement::Foreign => return Err(another(&known.label)),
                    Agreement::NoKey => {
                        return Err(Refusal::new(
                            Reason::Forbidden,
                            format!("the account has no key `{}`", known.label),
                        ));
                    }
                }
                if !self.named.agreed.iter().any(|(other, own)| *other == rule && own == id) {
                    self.named.agreed.push((rule, id.to_owned()));
                }
            }
            Must::BeOwned(kind) => {
                if kind.references.is_none() && self.account.is_none() {
                    return Err(nobody());
                }
                let before = self.named.wanted.iter().position(|other| {
                    Arc::ptr_eq(&other.kind, kind) && other.rule == rule && other.said == id
                });
                let wanted = before.unwrap_or(self.named.wanted.len());
                if before.is_none() {
                    self.named.wanted.push(Wanted { rule, kind: Arc::clone(kind), said: id.to_owned() });
                }
                if kind.references.is_some() {
                    self.named.spots.push(Spot { wanted, at: at() });
                }
            }
        }
        if self.named.wanted.len() + self.named.agreed.len() > IDS_MAX {
            return Err(Refusal::new(Reason::TooLarge, "the request names too many ids"));
        }
        Ok(())
    }

    fn headers(&mut self, headers: &HeaderMap) -> Result<(), Refusal> {
        let rules = self.rules;
        for (name, rule) in &rules.headers {
            let own = folded(name.as_str());
            for spelling in headers.keys().filter(|spelling| folds_to(spelling.as_str(), &own)) {
                for (nth, value) in headers.get_all(spelling).iter().enumerate() {
                    let id = value.to_str().map_err(|_| invalid(name.as_str()))?;
                    self.note(*rule, id, || SpotAt::Header(spelling.clone(), nth))?;
                }
            }
        }
        Ok(())
    }

    fn json(&mut self, text: &str) -> Result<(), Refusal> {
        let rules = self.rules;
        walk(text, &rules.body.pointers, Items::Passed, &mut |found: Found<'_>| {
            let Some(rule) = rules.body.rules.get(found.pointer).copied() else { return Ok(()) };
            match &found.value {
                Plain::Text(id) => self.note(rule, id, || SpotAt::Json(found.span)),
                Plain::Number(id) => self.note(rule, id, || SpotAt::Json(found.span)),
                // Names no object; where one must be named that is told in the end.
                Plain::Null => Ok(()),
                Plain::Truth(_) | Plain::Nested => Err(self.invalid(rule)),
            }
        })
        .map(|_| ())
    }

    /// The pairs of a query or a form.
    fn pairs(
        &mut self,
        text: &str,
        pointed: &Pointed,
        at: fn(Range<usize>) -> SpotAt,
    ) -> Result<(), Refusal> {
        if pointed.pointers.is_empty() {
            return Ok(());
        }
        let mut pairs = 0;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            pairs += 1;
            if pairs > QUERY_PAIRS_MAX {
                return Err(unreadable(QueryError::TooMany));
            }
            let (name, raw) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let id = decode(raw)?;
            // Without `=` there is no value, and no object without an id.
            let span = place_in(text, raw).unwrap_or_default();
            for rule in self.rules_of(&name, pointed)? {
                self.note(rule, &id, || at(span.clone()))?;
            }
            // Some services part pairs at a semicolon as well.
            for hidden in pair.split(';').skip(1) {
                let name = decode(hidden.split('=').next().unwrap_or_default())?;
                if !self.rules_of(&name, pointed)?.is_empty() {
                    return Err(Refusal::new(Reason::Malformed, "an id stands behind a semicolon"));
                }
            }
        }
        Ok(())
    }

    /// The fields of a multipart body.
    fn parts(&mut self, fields: &Fields, pointed: &Pointed) -> Result<(), Refusal> {
        for (name, text) in fields.texts() {
            for rule in self.rules_of(name, pointed)? {
                let id = text.ok_or_else(|| self.invalid(rule))?;
                self.note(rule, id, || SpotAt::Part)?;
            }
        }
        Ok(())
    }

    /// The rules that a parameter's name is of, in any of the ways in which services read names.
    fn rules_of(&self, name: &str, pointed: &Pointed) -> Result<SmallVec<[usize; 2]>, Refusal> {
        let pointers = &pointed.pointers;
        let mut reached = SmallVec::<[_; 3]>::new();
        reached.push(pointers.member(pointers.start(), name));
        if name.contains(['[', '.', ' ']) {
            reached.push(pointers.member(pointers.start(), &flat(name)));
            let mut steps = steps(name).peekable();
            let mut at = pointers.start();
            while let Some(step) = steps.next() {
                at = pointers.member(at, step);
                if steps.peek().is_some()
                    && let Some(rule) = pointers.ending(at).find_map(|pointer| pointed.rules.get(pointer))
                {
                    return Err(self.invalid(*rule));
                }
            }
            reached.push(at);
        }
        let mut rules = SmallVec::new();
        for pointer in reached.into_iter().flat_map(|at| pointers.ending(at)) {
            if let Some(rule) = pointed.rules.get(pointer).filter(|rule| !rules.contains(*rule)) {
                rules.push(*rule);
            }
        }
        Ok(rules)
    }

    fn invalid(&self, rule: usize) -> Refusal {
        invalid(self.rules.ids.get(rule).map_or("", |rule| &rule.label))
    }

    fn finish(self) -> Result<Named, Refusal> {
        for (number, rule) in self.rules.ids.iter().enumerate() {
            let seen = self.seen.checked_shr(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or(0) & 1 == 1;
            if seen || rule.optional {
                continue;
            }
            if self.account.is_none() && matches!(rule.must, Must::Equal(_)) {
                return Err(nobody());
            }
            return Err(Refusal::new(Reason::MissingField, "the request names no id where it has to")
                .about(&*rule.label));
        }
        Ok(self.named)
    }
}

/// An id of somebody else's, of nobody's, or of nothing: one answer for all.
pub(super) fn another(label: &str) -> Refusal {
    Refusal::new(Reason::NotFound, format!("`{label}` names what is not the caller's"))
}

pub(super) fn nobody() -> Refusal {
    Refusal::new(Reason::NoCredential, "the object rules of the route admit nobody without a credential")
}

fn invalid(label: &str) -> Refusal {
    Refusal::new(Reason::InvalidField, "an id is neither a text nor a number").about(label)
}

fn decode(raw: &str) -> Result<Cow<'_, str>, Refusal> {
    decode_form(raw).map_err(unreadable)
}

fn unreadable(error: QueryError) -> Refusal {
    let reason = match error {
        QueryError::TooMany => Reason::TooLarge,
        QueryError::BrokenEscape | QueryError::Character | QueryError::NotUtf8 => Reason::Malformed,
    };
    Refusal::new(reason, "a parameter cannot be read")
}

impl From<JsonFault> for Refusal {
    fn from(fault: JsonFault) -> Self {
        let reason = match fault {
            JsonFault::Malformed | JsonFault::Twice => Reason::Malformed,
            JsonFault::TooDeep => Reason::TooLarge,
        };
        Self::new(reason, fault.to_string())
    }
}
