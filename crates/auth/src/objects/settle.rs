//! Whether the objects of a request are the caller's; what is sent on in their place.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use smallvec::SmallVec;

use crate::canonical::path::CanonicalPath;
use crate::identity::Identity;
use crate::objects::answer::Follow;
use crate::objects::edit::{Edits, place_in};
use crate::objects::kind::Kind;
use crate::objects::read::{self, BodyRead, Named, Spot, SpotAt, Wanted, another};
use crate::objects::reference;
use crate::objects::rules::Rules;
use crate::policy::{Grant, Permit};
use crate::port::objects::{Binding, FoundObject, ObjectDigest, Objects};
use crate::recognize::Request;
use crate::refusal::{Reason, Refusal};
use crate::time::Time;

/// An identity whose request is allowed if its objects are the identity's own.
///
/// Not yet a [`Permit`]: only [`Pending::clear`] makes one of it.
#[derive(Debug)]
pub struct Pending {
    pub(crate) grant: Grant,
    pub(crate) rules: Arc<Rules>,
    /// Variables of the path that rules are about: the number of the rule, and where the segment is.
    variables: SmallVec<[(usize, Range<usize>); 2]>,
}

/// The ids that were checked: what the service is told of them, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked(pub(crate) Vec<(Arc<str>, Vec<String>)>);

/// A request whose objects are the caller's own.
#[derive(Debug)]
pub struct Cleared {
    /// It may go on.
    pub permit: Permit,
    /// What has to be put in the place of references; `None` if nothing has.
    pub rewritten: Option<Rewritten>,
    /// What has to be done to the answer; `None` if nothing has.
    pub follow: Option<Follow>,
}

/// The parts of a request in which references were replaced.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// The path below the prefix.
    pub path: Option<String>,
    /// The raw query.
    pub query: Option<String>,
    /// Values of headers, each with its place among those of its name.
    pub headers: Vec<(HeaderName, usize, HeaderValue)>,
    /// The body.
    pub body: Option<Bytes>,
}

/// Whether an object may be used.
pub(super) enum Standing {
    /// It is the caller's.
    Own,
    /// It is nobody's, and the caller holds its reference: it becomes his.
    Claimable(String),
    /// It is not his, or he cannot be told from others.
    Foreign,
}

impl Pending {
    pub(crate) fn new(
        grant: Grant,
        rules: &Arc<Rules>,
        path: &str,
        variables: &crate::dialect::pattern::Variables<'_>,
    ) -> Self {
        let places = variables.iter().flat_map(|(name, segment)| {
            let span = place_in(path, segment).unwrap_or_default();
            let rules = rules.paths.iter().filter(move |(own, _)| own == name);
            rules.map(move |(_, rule)| (*rule, span.clone()))
        });
        Self { grant, variables: places.collect(), rules: Arc::clone(rules) }
    }

    /// So many bytes of the body, which is not empty, are to be read at most; `None` if it may pass unread.
    ///
    /// # Errors
    /// `media-type` where ids may be in a body that cannot be read.
    pub fn body_bytes_max(&self, headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
        Ok(read::body_form(&self.rules, headers)?.map(|_| self.rules.body_bytes_max))
    }

    /// Checks every id that the request names. `body` is the whole of it where it was to be read.
    ///
    /// # Errors
    /// `not-found` for what is not the caller's, be it another's, unknown or over; 400-class for what has no one
    /// reading; `no-credential`, `forbidden`; `unavailable` if an owner cannot be looked up.
    pub async fn clear(
        self,
        request: &Request<'_>,
        body: Option<&Bytes>,
        objects: &dyn Objects,
        now: Time,
    ) -> Result<Cleared, Refusal> {
        if self.grant.identity.account().is_some_and(|account| !self.rules.can_own(account)) {
            return Err(Refusal::new(
                Reason::Forbidden,
                "the account has no key to own what the route creates",
            ));
        }
        let read = match body.filter(|body| !body.is_empty()) {
            Some(body) => match read::body_form(&self.rules, request.headers)? {
                Some(form) => Some(read::body_read(form, request.headers, body)?),
                None => None,
            },
            None => None,
        };
        let named = {
            let account = self.grant.identity.account().map(|account| &**account);
            read::read(&self.rules, account, request, &self.variables, read.as_ref())
        };
        let mut named = named.map_err(|mut refusal| {
            refusal.dead_cookie = self.grant.identity.dead_cookie().map(str::to_owned);
            refusal
        })?;
        let mut held = SmallVec::new();
        for wanted in &named.wanted {
            let own = self.own(wanted, request.address, objects, now).await?;
            held.push(own);
        }
        let rewritten = rewrite(request, read.as_ref(), &named.spots, &named.wanted, &held)?;
        let checked = self.checked(&mut named, &held);
        let Self { grant, rules, .. } = self;
        let follow =
            rules.answer.is_some().then(|| Follow::new(&rules, &grant.identity, request.address, held));
        Ok(Cleared { permit: grant.permit(Some(checked)), rewritten, follow })
    }

    /// The object that is meant, if it is the caller's.
    async fn own(
        &self,
        wanted: &Wanted,
        address: IpAddr,
        objects: &dyn Objects,
        now: Time,
    ) -> Result<Arc<Binding>, Refusal> {
        let Wanted { rule, kind, said } = wanted;
        let refused = || another(self.rules.ids.get(*rule).map_or("", |rule| &rule.label));
        let identity = &self.grant.identity;
        let digest = match kind.references {
            Some(_) if reference::could_be(said) => ObjectDigest::of_reference(&kind.api, &kind.name, said),
            Some(_) => return Err(refused()),
            None => ObjectDigest::of_id(&kind.api, &kind.name, said),
        };
        if let Some(binding) = own_of(objects.at_hand(&digest), kind, identity, now) {
            return Ok(binding);
        }
        // Whoever is refused is refused by the store: unknown, over and another's take one way. It costs a read, of
        // which strangers have a budget.
        if !objects.may_guess(address, now) {
            return Err(Refusal::new(
                Reason::TooMany,
                "too many ids from this address were not the caller's",
            ));
        }
        let found = self.stored(wanted, digest, address, objects, now).await;
        if !matches!(&found, Err(refusal) if refusal.reason == Reason::NotFound) {
            objects.forgive_guess(address, now);
        }
        found
    }

    /// The object as the store has it, if it is the caller's or becomes his.
    async fn stored(
        &self,
        wanted: &Wanted,
        digest: ObjectDigest,
        address: IpAddr,
        objects: &dyn Objects,
        now: Time,
    ) -> Result<Arc<Binding>, Refusal> {
        let Wanted { rule, kind, said } = wanted;
        let refused = || another(self.rules.ids.get(*rule).map_or("", |rule| &rule.label));
        let identity = &self.grant.identity;
        let found = match kind.references {
            Some(_) => objects.find_reference(digest, address).await?,
            None => objects.find(kind.object(said), address).await?,
        };
        let standing =
            found.as_deref().map_or(Standing::Foreign, |found| standing(found, kind, identity, now));
        match (standing, found) {
            (Standing::Own, Some(binding)) => Ok(binding),
            (Standing::Claimable(owner), Some(binding)) => {
                let tenant = identity.account().and_then(|account| account.tenant.clone());
                let claimed = objects.claim(binding.name.clone(), owner, tenant, now).await?;
                own_of(claimed, kind, identity, now).ok_or_else(refused)
            }
            (Standing::Foreign, _) | (Standing::Own | Standing::Claimable(_), None) => Err(refused()),
        }
    }

    fn checked(&self, named: &mut Named, held: &[Arc<Binding>]) -> Checked {
        let agreed = std::mem::take(&mut named.agreed);
        let objects = named.wanted.iter().zip(held).map(|(wanted, own)| (wanted.rule, own.name.id.clone()));
        let mut checked: Vec<(Arc<str>, Vec<String>)> = Vec::new();
        for (rule, id) in agreed.into_iter().chain(objects) {
            let Some(label) = self.rules.ids.get(rule).map(|rule| &rule.label) else { continue };
            match checked.iter_mut().find(|(known, _)| known == label) {
                Some((_, ids)) if ids.contains(&id) => {}
                Some((_, ids)) => ids.push(id),
                None => checked.push((Arc::clone(label), vec![id])),
            }
        }
        Checked(checked)
    }
}

/// An object that was found, if it is the caller's.
pub(super) fn own_of(
    found: FoundObject,
    kind: &Kind,
    identity: &Identity,
    now: Time,
) -> Option<Arc<Binding>> {
    found.filter(|found| matches!(standing(found, kind, identity, now), Standing::Own))
}

/// Whose an object is, seen from a caller who named it.
pub(super) fn standing(binding: &Binding, kind: &Kind, identity: &Identity, now: Time) -> Standing {
    if binding.ends_at.is_some_and(|ends_at| ends_at <= now) {
        return Standing::Foreign;
    }
    match (&binding.owner, identity.account()) {
        (Some(owner), Some(account)) => {
            let tenant = binding.tenant.is_none() || binding.tenant == account.tenant;
            if tenant && kind.owner.is(account, owner) { Standing::Own } else { Standing::Foreign }
        }
        (Some(_), None) => Standing::Foreign,
        // Without references anybody could name it.
        (None, _) if kind.references.is_none() => Standing::Foreign,
        (None, None) => Standing::Own,
        (None, Some(account)) => kind.owner.of(account).map_or(Standing::Foreign, Standing::Claimable),
    }
}

/// What a path holds raw of an id; everything else is escaped, and canonical paths undo what they need not.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn rewrite(
    request: &Request<'_>,
    body_read: Option<&BodyRead<'_>>,
    spots: &[Spot],
    wanted: &[Wanted],
    held: &[Arc<Binding>],
) -> Result<Option<Rewritten>, Refusal> {
    if spots.is_empty() {
        return Ok(None);
    }
    let mut rewritten = Rewritten::default();
    let (mut path, mut query, mut body) = (Edits::default(), Edits::default(), Edits::default());
    let unfit =
        || Refusal::new(Reason::Internal, "an id of the service cannot stand where its reference stood");
    for spot in spots {
        let (Some(wanted), Some(own)) = (wanted.get(spot.wanted), held.get(spot.wanted)) else { continue };
        let id = own.name.id.as_str();
        match &spot.at {
            SpotAt::Path(span) => path.replace(span.clone(), utf8_percent_encode(id, SEGMENT).to_string()),
            SpotAt::Query(span) => query.replace(span.clone(), utf8_percent_encode(id, SEGMENT).to_string()),
            SpotAt::Form(span) => body.replace(span.clone(), utf8_percent_encode(id, SEGMENT).to_string()),
            SpotAt::Json(span) => body.replace(span.clone(), json_id(&wanted.kind, id)),
            SpotAt::Part => {
                return Err(Refusal::new(Reason::MediaType, "a reference stands in a multipart body"));
            }
            SpotAt::Header(name, nth) => {
                let value = HeaderValue::from_str(id).map_err(|_| unfit())?;
                rewritten.headers.push((name.clone(), *nth, value));
            }
        }
    }
    if !path.is_empty() {
        let path = path.apply(request.path);
        // An id with a slash, say, has no spelling that every service reads as one segment.
        let canonical = CanonicalPath::parse(&path).map_err(|_| unfit())?;
        if canonical.segments().count() != request.path.split('/').skip(1).count() {
            return Err(unfit());
        }
        rewritten.path = Some(canonical.as_str().to_owned());
    }
    if !query.is_empty() {
        rewritten.query = Some(query.apply(request.query.unwrap_or_default()));
    }
    match body_read {
        Some(BodyRead::Json(text) | BodyRead::Form(text)) if !body.is_empty() => {
            rewritten.body = Some(body.apply(text).into());
        }
        Some(BodyRead::Json(_) | BodyRead::Form(_) | BodyRead::Multipart(_)) | None => {}
    }
    Ok(Some(rewritten))
}

/// An id as the service's JSON has it.
fn json_id(kind: &Kind, id: &str) -> String {
    let digits = id.bytes().all(|byte| byte.is_ascii_digit()) && (id == "0" || !id.starts_with('0'));
    if kind.numeric && digits && !id.is_empty() {
        id.to_owned()
    } else {
        serde_json::Value::from(id).to_string()
    }
}
