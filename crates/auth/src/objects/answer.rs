//! What a client is told of objects: the ids in a service's answer are checked, learnt, and replaced by references.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use smallvec::SmallVec;

use crate::cache_control::keep_to_caller;
use crate::canonical::path::{canonical_segment, decode_segment};
use crate::dialect::pattern::{Patterns, Segments};
use crate::fields::content_type::{ContentType, Encoding};
use crate::identity::Identity;
use crate::objects::Foreign;
use crate::objects::edit::{Edits, place_in};
use crate::objects::forget_body;
use crate::objects::json::{Found, Item, Items, Plain, walk};
use crate::objects::key::Agreement;
use crate::objects::kind::{Kind, is_id};
use crate::objects::place::ID;
use crate::objects::read::body_text;
use crate::objects::rules::{AnswerRules, Must, Rules};
use crate::objects::settle::{SEGMENT, own_of};
use crate::port::objects::{Binding, Bound, NewBinding, ObjectDigest, Objects};
use crate::refusal::{Reason, Refusal};
use crate::time::Time;

/// Different objects that one answer shows: a page of a list. Each is looked up.
const SHOWN_MAX: usize = 1000;

/// What has to be done to the answer of a request.
#[derive(Debug)]
pub struct Follow {
    rules: Arc<Rules>,
    identity: Identity,
    /// Where the request came from.
    address: IpAddr,
    /// The objects that the request named, which are the caller's.
    held: SmallVec<[Arc<Binding>; 2]>,
}

/// An answer on its way to the client.
#[derive(Debug)]
pub struct Answered<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// The API's prefix where the request came in.
    pub prefix: &'a str,
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a mut HeaderMap,
    /// Its body, where [`Follow::body_bytes_max`] asked for it.
    pub body: Option<Bytes>,
}

/// An id in an answer.
struct Seen {
    rule: usize,
    id: String,
    at: SeenAt,
}

enum SeenAt {
    /// The n-th value of a header, and where in it.
    Header(HeaderName, usize, Range<usize>),
    /// In the text of the body, and in which item of a list.
    Json(Range<usize>, Option<usize>),
}

/// What is known of an id that was seen.
#[derive(Clone)]
enum Known {
    /// It is the caller's; as an object, if it is one.
    Own(Option<Arc<Binding>>),
    /// Nobody has it, and the answer says that it was created: the object of that number which it did.
    New(usize),
    /// It is another's.
    Foreign,
}

impl Follow {
    pub(super) fn new(
        rules: &Arc<Rules>,
        identity: &Identity,
        address: IpAddr,
        held: SmallVec<[Arc<Binding>; 2]>,
    ) -> Self {
        Self { rules: Arc::clone(rules), identity: identity.clone(), address, held }
    }

    /// Whether bodies of answers are read: then the service must not compress them or send pieces.
    pub fn reads_bodies(&self) -> bool {
        self.rules.answer.as_ref().is_some_and(|rules| !rules.body.pointers.is_empty())
    }

    /// So many bytes of the body are to be read at most; `None` if it may pass unread.
    pub fn body_bytes_max(&self, method: &Method, status: StatusCode) -> Option<usize> {
        let bodiless = *method == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let rules = self.rules.answer.as_ref()?;
        (!bodiless && !rules.body.pointers.is_empty()).then_some(rules.bytes_max)
    }

    /// Works on an answer. Returns its body as the client gets it, where it was read.
    ///
    /// # Errors
    /// `upstream` for an answer that shows another's object or cannot be read; `not-found` for one that is not the
    /// caller's, where such are left out; `unavailable` if an owner cannot be looked up.
    pub async fn answer(
        &self,
        answered: Answered<'_>,
        objects: &dyn Objects,
        now: Time,
    ) -> Result<Option<Bytes>, Refusal> {
        let Answered { method, prefix, status, headers, body } = answered;
        let Some(rules) = &self.rules.answer else { return Ok(body) };
        if *method == Method::HEAD && self.reads_bodies() {
            // What is said is of a body which would be another.
            forget_body(headers);
        }
        let mut seen = in_headers(rules, prefix, headers)?;
        let (mut text, mut items) = (None, Vec::new());
        let whole = body.as_ref().filter(|body| !body.is_empty());
        let is_kept_back = whole.is_some() && !is_plain_json(headers);
        if is_kept_back && status.is_success() {
            return Err(unreadable("the service's answer is not json in utf-8"));
        }
        if let Some(body) = whole.filter(|_| !is_kept_back) {
            let read = body_text(headers, body).map_err(|error| unreadable(error.cause))?;
            items = in_body(rules, read, &mut seen)?;
            text = Some(read);
        }
        let known = self.known(rules, status, &seen, objects, now).await?;
        let edited = edit(rules, headers, &seen, &known, &items)?;
        if is_kept_back {
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_ENCODING);
            forget_body(headers);
            return Ok(Some(Bytes::new()));
        }
        match text {
            Some(text) if !edited.is_empty() => {
                // References are one caller's.
                keep_to_caller(headers);
                forget_body(headers);
                Ok(Some(edited.apply(text).into()))
            }
            Some(_) | None => Ok(body),
        }
    }

    /// What is known of each id; created objects are bound.
    async fn known(
        &self,
        rules: &AnswerRules,
        status: StatusCode,
        seen: &[Seen],
        objects: &dyn Objects,
        now: Time,
    ) -> Result<Vec<Known>, Refusal> {
        let mut known: Vec<Known> = Vec::with_capacity(seen.len());
        let mut created: Vec<(&Arc<Kind>, &str)> = Vec::new();
        // A page of lines may name a few objects very often.
        let mut looked_up: HashMap<(usize, bool, &str), Known> = HashMap::new();
        for one in seen {
            let Some(shown) = rules.shown.get(one.rule) else { continue };
            known.push(match &shown.must {
                Must::Equal(key) => {
                    let agreement = self.identity.account().map(|account| key.agrees(account, &one.id));
                    match agreement {
                        Some(Agreement::Own) => Known::Own(None),
                        Some(Agreement::Foreign | Agreement::NoKey) | None => Known::Foreign,
                    }
                }
                Must::BeOwned(kind) => {
                    let object = (Arc::as_ptr(kind).addr(), shown.creates, one.id.as_str());
                    if let Some(same) = looked_up.get(&object) {
                        same.clone()
                    } else if looked_up.len() >= SHOWN_MAX {
                        return Err(unreadable("the service's answer shows too many objects"));
                    } else {
                        let creates = (shown.creates && status.is_success()).then_some(created.len());
                        let found = self.look_up(kind, &one.id, creates, objects, now).await?;
                        if matches!(found, Known::New(_)) {
                            created.push((kind, &one.id));
                        }
                        looked_up.insert(object, found.clone());
                        found
                    }
                }
            });
        }
        if !created.is_empty() {
            let bound = self.bind(&created, objects, now).await?;
            for known in &mut known {
                if let Known::New(number) = *known {
                    let own = bound.get(number).cloned().flatten();
                    *known = own.map_or(Known::Foreign, |own| Known::Own(Some(own)));
                }
            }
        }
        Ok(known)
    }

    /// Looks an object up; `creates` is the number that it has if the answer created it.
    async fn look_up(
        &self,
        kind: &Kind,
        id: &str,
        creates: Option<usize>,
        objects: &dyn Objects,
        now: Time,
    ) -> Result<Known, Refusal> {
        if !is_id(id) {
            return Ok(Known::Foreign);
        }
        let is_it = |held: &&Arc<Binding>| {
            held.name.id == id && held.name.kind == kind.name && held.name.api == kind.api
        };
        if let Some(held) = self.held.iter().find(is_it) {
            return Ok(Known::Own(Some(Arc::clone(held))));
        }
        let digest = ObjectDigest::of_id(&kind.api, &kind.name, id);
        // An object of nobody's is its holder's alone, and this caller has not shown its reference.
        let own =
            |found| own_of(found, kind, &self.identity, now).filter(|own: &Arc<Binding>| own.owner.is_some());
        if let Some(own) = own(objects.at_hand(&digest)) {
            return Ok(Known::Own(Some(own)));
        }
        let found = objects.find(kind.object(id), self.address).await?;
        let over = found.as_ref().is_none_or(|found| found.ends_at.is_some_and(|ends_at| ends_at <= now));
        Ok(match (own(found), creates.filter(|_| over)) {
            (Some(own), _) => Known::Own(Some(own)),
            (None, Some(number)) => Known::New(number),
            (None, None) => Known::Foreign,
        })
    }

    /// Binds created objects to the caller; `None` for those that somebody else was first with.
    async fn bind(
        &self,
        created: &[(&Arc<Kind>, &str)],
        objects: &dyn Objects,
        now: Time,
    ) -> Result<Vec<Option<Arc<Binding>>>, Refusal> {
        let account = self.identity.account();
        let new = created.iter().map(|(kind, id)| {
            let owner = account.and_then(|account| kind.owner.of(account));
            NewBinding {
                name: kind.object(id),
                lifetime: if owner.is_none() { kind.references } else { None },
                owner,
                tenant: account.and_then(|account| account.tenant.clone()),
            }
        });
        let bound = objects.bind(new.collect(), now).await?;
        let own = |((kind, _), bound): (&(&Arc<Kind>, &str), Bound)| match bound {
            Bound::New(binding) => Some(binding),
            Bound::Known(binding) => {
                own_of(Some(binding), kind, &self.identity, now).filter(|own| own.owner.is_some())
            }
        };
        Ok(created.iter().zip(bound).map(own).collect())
    }
}

fn in_headers(rules: &AnswerRules, prefix: &str, headers: &HeaderMap) -> Result<Vec<Seen>, Refusal> {
    let mut seen = Vec::new();
    if let Some(locations) = &rules.locations {
        for name in [LOCATION, CONTENT_LOCATION] {
            for (nth, value) in headers.get_all(&name).iter().enumerate() {
                let found = value.to_str().ok().and_then(|value| in_location(locations, prefix, value));
                let (rule, id, span) = found
                    .ok_or_else(|| unreadable("the service's answer points to a place that no rule knows"))?;
                seen.push(Seen { rule, id, at: SeenAt::Header(name.clone(), nth, span) });
            }
        }
    }
    for (name, rule) in &rules.headers {
        for (nth, value) in headers.get_all(name).iter().enumerate() {
            let id = value
                .to_str()
                .map_err(|_| unreadable("an id in a header of the service's answer is no text"))?;
            seen.push(Seen {
                rule: *rule,
                id: id.to_owned(),
                at: SeenAt::Header(name.clone(), nth, 0..id.len()),
            });
        }
    }
    Ok(seen)
}

/// The id in a location, absolute or not, with the API's prefix or without.
fn in_location(
    locations: &Patterns<usize>,
    prefix: &str,
    value: &str,
) -> Option<(usize, String, Range<usize>)> {
    let path = match value.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => rest.get(rest.find('/')?..)?,
        Some(_) | None => value,
    };
    let path = path.get(..path.find(['?', '#']).unwrap_or(path.len()))?;
    let below = path.strip_prefix(prefix).filter(|below| below.starts_with('/'));
    let (rule, segment) = below.into_iter().chain([path]).find_map(|path| {
        // Services write paths as they like; patterns are matched with the one spelling.
        let spelled = |segment| canonical_segment(segment).unwrap_or(Cow::Borrowed(segment));
        let canonical = path.split('/').map(spelled).collect::<Vec<_>>().join("/");
        let segments = Segments::of(&canonical);
        let (rule, variables) = locations.matching(&Method::GET, &segments).next()?;
        let (_, segment) = variables.into_iter().find(|(name, _)| *name == ID)?;
        let before = canonical.get(..place_in(&canonical, segment)?.start)?;
        Some((*rule, path.split('/').nth(before.matches('/').count())?))
    })?;
    Some((rule, decode_segment(segment)?.into_owned(), place_in(value, segment)?))
}

fn in_body(rules: &AnswerRules, text: &str, seen: &mut Vec<Seen>) -> Result<Vec<Item>, Refusal> {
    walk(text, &rules.body.pointers, Items::Noted, &mut |found: Found<'_>| {
        let Some(rule) = rules.body.rules.get(found.pointer).copied() else { return Ok(()) };
        let id = match found.value {
            Plain::Text(id) => id.into_owned(),
            Plain::Number(id) => id.to_owned(),
            Plain::Null => return Ok(()),
            Plain::Truth(_) | Plain::Nested => {
                return Err(unreadable("an id in the service's answer is neither a text nor a number"));
            }
        };
        seen.push(Seen { rule, id, at: SeenAt::Json(found.span, found.item) });
        Ok(())
    })
    .map_err(|error: Refusal| unreadable(error.cause))
}

/// Replaces ids by references, and takes out what is another's.
fn edit(
    rules: &AnswerRules,
    headers: &mut HeaderMap,
    seen: &[Seen],
    known: &[Known],
    items: &[Item],
) -> Result<Edits, Refusal> {
    let mut edits = Edits::default();
    let mut left_out = vec![false; items.len()];
    for (one, known) in seen.iter().zip(known) {
        let own = match known {
            Known::Own(own) => own,
            Known::New(_) | Known::Foreign => {
                let item = left_out_with(rules.foreign, one, items)?;
                if let Some(left_out) = left_out.get_mut(item) {
                    *left_out = true;
                }
                continue;
            }
        };
        let kind = match rules.shown.get(one.rule).map(|shown| &shown.must) {
            Some(Must::BeOwned(kind)) if kind.references.is_some() => kind,
            Some(Must::BeOwned(_) | Must::Equal(_)) | None => continue,
        };
        let Some(own) = own else { continue };
        debug_assert_eq!(own.name.kind, kind.name);
        match &one.at {
            SeenAt::Json(span, _) => edits.replace(span.clone(), format!("\"{}\"", own.reference.expose())),
            SeenAt::Header(name, nth, span) => {
                let Some(value) =
                    headers.get_all(name).iter().nth(*nth).and_then(|value| value.to_str().ok())
                else {
                    continue;
                };
                let mut edit = Edits::default();
                edit.replace(span.clone(), utf8_percent_encode(own.reference.expose(), SEGMENT).to_string());
                let new = HeaderValue::from_str(&edit.apply(value)).map_err(|_| {
                    unreadable("a reference cannot stand in a header of the service's answer")
                })?;
                replace_nth(headers, name, *nth, new);
                keep_to_caller(headers);
            }
        }
    }
    leave_out(items, &left_out, &mut edits);
    Ok(edits)
}

/// The outermost item of a list that goes with a foreign id.
fn left_out_with(foreign: Foreign, one: &Seen, items: &[Item]) -> Result<usize, Refusal> {
    let inner = match &one.at {
        SeenAt::Json(_, item) => *item,
        SeenAt::Header(..) => None,
    };
    match foreign {
        Foreign::Refuse => Err(unreadable("the service's answer shows another's object")),
        Foreign::Filter => {
            let mut outermost = inner
                .ok_or_else(|| Refusal::new(Reason::NotFound, "the service's answer is another's object"))?;
            while let Some(outer) = items.get(outermost).and_then(|item| item.outer) {
                outermost = outer;
            }
            Ok(outermost)
        }
    }
}

/// Takes items out of their lists, each with one comma.
fn leave_out(items: &[Item], left_out: &[bool], edits: &mut Edits) {
    // Where a list has begun with items that are left out, their commas are those behind them.
    let mut leading_comma = None;
    let outermost =
        items.iter().zip(left_out).filter(|(item, is_left_out)| item.outer.is_none() && **is_left_out);
    for (item, _) in outermost {
        let leads = item.before.is_none() || item.before == leading_comma;
        match (leads, item.before) {
            (false, Some(comma)) => edits.remove(comma..item.span.end),
            (true, _) | (false, None) => {
                edits.remove(item.span.start..item.behind.map_or(item.span.end, |comma| comma + 1));
                leading_comma = item.behind;
            }
        }
    }
}

fn replace_nth(headers: &mut HeaderMap, name: &HeaderName, nth: usize, new: HeaderValue) {
    if let http::header::Entry::Occupied(mut entry) = headers.entry(name)
        && let Some(value) = entry.iter_mut().nth(nth)
    {
        *value = new;
    }
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (first, second) = (types.next(), types.next());
    let json = first
        .and_then(|value| value.to_str().ok())
        .and_then(ContentType::parse)
        .is_some_and(|content_type| content_type.encoding() == Encoding::Json);
    json && second.is_none() && !headers.contains_key(CONTENT_ENCODING)
}

fn unreadable(cause: impl Into<crate::refusal::Cause>) -> Refusal {
    Refusal::new(Reason::Upstream, cause)
}
