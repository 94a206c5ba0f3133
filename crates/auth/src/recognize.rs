//! Finds what a request presents: the rule for many credentials on one URL.
//!
//! Recognition looks at the whole request before anything is verified. A program's credential (`Authorization`,
//! vendor headers) decides; a browser's (cookies) counts only when there is none. Two programs' credentials, a
//! repeated header and two spellings of one field are ambiguous; a scheme that is not accepted here is refused,
//! never ignored; values that share a place are told apart by their form, never by trying twice.

mod code;
mod places;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};
use smallvec::SmallVec;

use crate::api::{Api, Located};
use crate::canonical::query;
use crate::credential::{Credential, Proof, Said, TokenValues};
use crate::dialect::part::{Part, PartName};
use crate::dialect::pattern::Segments;
use crate::dialect::place::Place;
use crate::dialect::{CredentialRule, Scheme};
use crate::fields::Fields;
use crate::fields::content_type::Encoding;
use crate::intake::Taken;
use crate::link::{Link, PeerCertificate};
use crate::page::{Page, Pages};
pub(crate) use crate::recognize::places::plain_value;
use crate::recognize::places::{
    COOKIES_TRIED_MAX, authorization, authorization_text, conditions_hold, cookie_is_there, one_value,
    repeated, same_primary,
};
use crate::refusal::{Reason, Refusal};
use crate::scheme::basic;
use crate::secret::Secret;

/// A request as the rules see it: canonical, and with its credentials taken out.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// The method.
    pub method: &'r Method,
    /// The canonical path below the API's prefix: empty, or beginning with `/`.
    pub path: &'r str,
    /// The prefix itself: empty, or beginning with `/` and not ending with it.
    pub prefix: &'r str,
    /// The raw query.
    pub query: Option<&'r str>,
    /// What is left of the headers.
    pub headers: &'r HeaderMap,
    /// The client's address.
    pub address: IpAddr,
    /// The address at the other end of the connection: the front's, where there is one.
    pub connection: IpAddr,
    /// The certificate that the other end of the connection proved to have, where it showed one.
    pub certificate: Option<&'r dyn PeerCertificate>,
    /// The fields of the body, where a call reads it.
    pub fields: Option<&'r Fields>,
    /// The connection that it came on, where something that is accepted belongs to connections.
    pub link: Option<Link<'r>>,
    /// The request target byte for byte as the client sent it; `None` where it is not known, or is not of the form
    /// that begins with `/` (RFC 9112 section 3.2.1).
    pub target: Option<&'r str>,
    /// The body, where all of it was read.
    pub body: Option<&'r [u8]>,
    /// Which pages may use what a browser knows of its user.
    pub pages: Pages<'r>,
}

impl Request<'_> {
    /// Whose page made a browser send it.
    pub(crate) fn page(&self) -> Page {
        self.pages.asking(self.headers)
    }
}

/// What a request presents.
#[derive(Debug, Default)]
pub struct Presented {
    /// The one credential that decides.
    pub(crate) credential: Option<Credential>,
    /// Whether it is a browser's.
    pub(crate) ambient: bool,
    /// The browser's other cookies, in the order of the surface: for when those before them have died.
    pub(crate) others: Vec<Credential>,
    /// The session cookie beside a program's credential, for CSRF and continuity.
    pub(crate) beside: Option<Credential>,
    /// What was shown as CSRF proof.
    pub(crate) csrf: Option<Secret>,
}

impl Api {
    /// Whether the body must be read before anything can be decided.
    pub fn reads_body(&self, method: &Method, path: &str, taken: &Taken, content_type: Option<&str>) -> bool {
        self.may_read_body(method, path) || self.csrf_may_be_in_body(method, taken, content_type)
    }

    /// The encodings that calls with this method and path read; empty where only a form's CSRF field is read.
    pub fn encodings(&self, method: &Method, path: &str) -> Vec<Encoding> {
        let path = Segments::of(path);
        let sites = self.dialect.sites.matching(method, &path);
        sites
            .filter_map(|(site, _)| site.endpoint.as_ref())
            .flat_map(|endpoint| endpoint.reads.iter().copied())
            .collect()
    }

    /// A page's form carries its proof in a hidden field.
    fn csrf_may_be_in_body(&self, method: &Method, taken: &Taken, content_type: Option<&str>) -> bool {
        let Some(csrf) = &self.dialect.csrf else { return false };
        let in_body = csrf.places.iter().any(|place| matches!(place, Place::Body(_)));
        let form = content_type.is_some_and(|text| {
            let text = text.trim_start().as_bytes();
            let starts =
                |with: &[u8]| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
            starts(b"application/x-www-form-urlencoded") || starts(b"multipart/form-data")
        });
        in_body && form && !method.is_safe() && !taken.cookies.is_empty() && taken.authorization.is_empty()
    }

    /// Finds what is accepted where the request arrived.
    ///
    /// # Errors
    /// `not-found`, `method`, or what a condition amounts to that could be read in two ways: whoever sends a field
    /// twice must not choose which of two calls it is.
    pub fn locate_request(&self, request: &Request<'_>) -> Result<Located, Refusal> {
        self.locate(request.method, request.path, |site| conditions_hold(site, request, self))
    }
}

/// Finds the credential that a request presents at a place, and what is shown beside it.
///
/// # Errors
/// See the module.
pub fn recognize(
    api: &Api,
    located: &Located,
    request: &Request<'_>,
    taken: &Taken,
) -> Result<Presented, Refusal> {
    let site = &located.site;
    if site.only_anonymous() {
        return Ok(Presented::default());
    }
    let finder = Finder { api, located, request, taken };
    if let Some(rule) = site.accepts.iter().find(|rule| rule.is_of_a_call() && api.is_on(rule)) {
        let credential = finder.credential(rule)?;
        // The cookie decides nothing here; a login in a browser ends the session that the same user had in it.
        let sets_cookies = site.endpoint.as_ref().is_some_and(|endpoint| endpoint.sets_cookies);
        let beside = if sets_cookies { finder.session_cookie().unwrap_or_default() } else { None };
        return Ok(Presented { credential: Some(credential), beside, ..Presented::default() });
    }
    let csrf = finder.csrf()?;
    let beside = finder.session_cookie()?;
    let program = match finder.program()? {
        Some(credential) => Some(credential),
        None => finder.bound(),
    };
    match program {
        Some(credential) => {
            let credential = Some(credential);
            Ok(Presented { credential, ambient: false, others: Vec::new(), beside, csrf })
        }
        None => {
            let mut cookies = finder.browser();
            let credential = cookies.next().transpose()?;
            let ambient = credential.is_some();
            let others = cookies.collect::<Result<_, _>>()?;
            Ok(Presented { credential, ambient, others, beside, csrf })
        }
    }
}

struct Finder<'f> {
    api: &'f Api,
    located: &'f Located,
    request: &'f Request<'f>,
    taken: &'f Taken,
}

impl Finder<'_> {
    /// The one program's credential, if there is one.
    fn program(&self) -> Result<Option<Credential>, Refusal> {
        let mut found: SmallVec<[&Arc<CredentialRule>; 2]> = SmallVec::new();
        if let Some(rule) = self.authorization()? {
            found.push(rule);
        }
        let rules = &self.api.dialect.credentials;
        for rule in rules.iter().filter(|rule| self.api.is_on(rule) && rule.scheme != Scheme::Front) {
            let in_header = rule
                .primary()
                .is_some_and(|part| part.places.iter().any(|place| self.header_or_query_is_there(place)));
            if in_header && !found.iter().any(|other| same_primary(other, rule)) {
                found.push(self.accepted_like(rule)?);
            }
        }
        match found.as_slice() {
            [] => self.companion_alone(),
            [rule] => self.credential(rule).map(Some),
            [first, second, ..] => Err(Refusal::new(
                Reason::Ambiguous,
                format!("two credentials were presented: `{}` and `{}`", first.name, second.name),
            )),
        }
    }

    /// Where no program's credential came: what was proven on the connection before, if that is accepted here.
    fn bound(&self) -> Option<Credential> {
        let bound = self.request.link?.slot?.bound()?;
        let mut accepted = self.located.site.accepts.iter();
        let rule = accepted.find(|rule| rule.name == bound.credential && self.api.is_on(rule))?;
        (bound.edition == self.api.edition).then(|| Credential {
            rule: Arc::clone(rule),
            proof: Proof::Bound(bound),
            said: Said::default(),
        })
    }

    /// Which accepted credential the `Authorization` header is.
    fn authorization(&self) -> Result<Option<&Arc<CredentialRule>>, Refusal> {
        let value = match self.taken.authorization.as_slice() {
            [] => return Ok(None),
            [value] => authorization_text(value)?,
            [_, _, ..] => return Err(repeated("Authorization")),
        };
        let fits = |rule: &&Arc<CredentialRule>| {
            self.api.is_on(rule)
                && rule
                    .primary()
                    .is_some_and(|part| part.places.iter().any(|place| authorization(place, value).is_some()))
        };
        let accepted: SmallVec<[&Arc<CredentialRule>; 2]> =
            self.located.site.accepts.iter().filter(fits).collect();
        match accepted.as_slice() {
            [] => Err(Refusal::new(
                Reason::NotAccepted,
                "the scheme of the Authorization header is not accepted here",
            )
            .carried_by("Authorization")),
            [rule] => Ok(Some(rule)),
            several => self.by_form(several).map(Some),
        }
    }

    /// Among credentials that share a place, the one whose form the value has.
    fn by_form<'r>(&self, several: &[&'r Arc<CredentialRule>]) -> Result<&'r Arc<CredentialRule>, Refusal> {
        let of_form = several.iter().find(|rule| {
            let value = rule.primary().and_then(|part| self.value(part).ok().flatten());
            value.is_some_and(|(value, _)| match (&rule.token, rule.scheme) {
                (Some(token), _) => token.form.as_ref().is_none_or(|form| form.could_be(value.trim())),
                (None, Scheme::Jwt) => value.bytes().filter(|byte| *byte == b'.').count() == 2,
                (None, _) => false,
            })
        });
        let carrier = several.first().map_or("", |rule| rule.carrier());
        of_form.copied().ok_or_else(|| {
            Refusal::new(Reason::BadToken, "the value is of none of the forms that are issued")
                .carried_by(carrier)
        })
    }

    /// The accepted credential in the place of `rule`; a header that is on but not accepted here is refused.
    fn accepted_like<'r>(
        &'r self,
        rule: &'r Arc<CredentialRule>,
    ) -> Result<&'r Arc<CredentialRule>, Refusal> {
        let accepted: SmallVec<[&Arc<CredentialRule>; 2]> = self
            .located
            .site
            .accepts
            .iter()
            .filter(|other| self.api.is_on(other) && same_primary(rule, other))
            .collect();
        match accepted.as_slice() {
            [] => Err(Refusal::new(Reason::NotAccepted, format!("`{}` is not accepted here", rule.name))
                .carried_by(rule.carrier())),
            [rule] => Ok(rule),
            several => self.by_form(several),
        }
    }

    /// The other half of a pair without the first is a wrong credential, not an absent one.
    fn companion_alone(&self) -> Result<Option<Credential>, Refusal> {
        let accepts = self.located.site.accepts.iter();
        for rule in accepts.filter(|rule| self.api.is_on(rule) && rule.scheme != Scheme::Front) {
            let in_headers = rule
                .primary()
                .is_some_and(|part| part.places.iter().all(|place| matches!(place, Place::Header(..))));
            let companion = rule
                .parts
                .iter()
                .skip(1)
                .filter(|part| part.required)
                .any(|part| part.places.iter().any(|place| self.header_or_query_is_there(place)));
            if in_headers && companion {
                return Err(Refusal::new(
                    Reason::BadToken,
                    format!("`{}` came without its first half", rule.name),
                )
                .carried_by(rule.carrier()));
            }
        }
        Ok(None)
    }

    /// The cookies that are there, in the order of the surface.
    fn browser(&self) -> impl Iterator<Item = Result<Credential, Refusal>> {
        let accepts = self.located.site.accepts.iter();
        accepts
            .filter(|rule| {
                self.api.is_on(rule) && (cookie_is_there(rule, self.taken) || self.front_speaks(rule))
            })
            .map(|rule| self.credential(rule))
    }

    /// Whether a front said who it is: an identity that a browser comes with, like a cookie.
    fn front_speaks(&self, rule: &CredentialRule) -> bool {
        let said = |part: &Part| part.places.iter().any(|place| self.header_or_query_is_there(place));
        rule.scheme == Scheme::Front && rule.primary().is_some_and(said)
    }

    /// The cookie of the session that CSRF is bound to, accepted here or not.
    fn session_cookie(&self) -> Result<Option<Credential>, Refusal> {
        let Some(csrf) = &self.api.dialect.csrf else { return Ok(None) };
        let rule = self.api.dialect.credentials.iter().find(|rule| {
            rule.in_cookie()
                && self.api.is_on(rule)
                && rule.token.as_ref().is_some_and(|token| token.word == csrf.bound_to.word)
        });
        match rule {
            Some(rule) if cookie_is_there(rule, self.taken) => self.credential(rule).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    fn csrf(&self) -> Result<Option<Secret>, Refusal> {
        let mut shown = None;
        for place in self.api.csrf_places.iter().filter(|_| self.api.csrf_on) {
            let value = one_value(place, self.request, self.taken, &[], self.api)?;
            if let Some(value) = value {
                if shown.is_some() {
                    return Err(Refusal::new(Reason::Ambiguous, "the csrf proof came twice"));
                }
                shown = Some(Secret::new(value));
            }
        }
        Ok(shown)
    }

    fn header_or_query_is_there(&self, place: &Place) -> bool {
        match place {
            Place::Header(name, _) => self.taken.headers.iter().any(|(own, _)| own == name),
            Place::Query(name) => {
                self.request.query.is_some_and(|query| query::values(query, name).next().is_some())
            }
            Place::Cookie(_)
            | Place::Body(_)
            | Place::Path(_)
            | Place::Authorization(_)
            | Place::AuthorizationAssigned(_)
            | Place::AuthorizationBare => false,
        }
    }

    /// Collects the parts of a credential.
    fn credential(&self, rule: &Arc<CredentialRule>) -> Result<Credential, Refusal> {
        let proof = match rule.scheme {
            Scheme::Password if rule.is_basic() => self.basic(rule)?,
            Scheme::Password => Proof::Password {
                user: self.required(rule, PartName::User)?,
                password: Secret::new(self.required(rule, PartName::Password)?),
                provider: self.optional(rule, PartName::Provider)?,
                domain: self.optional(rule, PartName::Domain)?,
                tenant: self.optional(rule, PartName::Tenant)?,
            },
            Scheme::Token => Proof::Token {
                values: self.token_values(rule)?,
                second: self.companion(rule, PartName::Second)?,
            },
            Scheme::Jwt => Proof::Jwt { value: Arc::new(Secret::new(self.required(rule, PartName::Value)?)) },
            Scheme::Front => Proof::Front {
                user: self.required(rule, PartName::Value)?,
                proof: self.optional(rule, PartName::Proof)?.map(Secret::new),
            },
            Scheme::Code => Proof::Code(Box::new(self.code(rule)?)),
            Scheme::Unproven => Proof::Unproven { subject: self.required(rule, PartName::Value)? },
            Scheme::Digest => Proof::Digest { value: self.required(rule, PartName::Value)? },
            Scheme::Negotiate | Scheme::Ntlm => {
                Proof::Negotiation { message: Secret::new(self.required(rule, PartName::Value)?) }
            }
        };
        Ok(Credential { rule: Arc::clone(rule), proof, said: self.said(rule)? })
    }

    /// What a credential says beside its proof; the password's user and tenant are part of the proof.
    fn said(&self, rule: &CredentialRule) -> Result<Said, Refusal> {
        let app = self.companion(rule, PartName::App)?;
        if rule.scheme == Scheme::Password {
            return Ok(Said { app, ..Said::default() });
        }
        let text = |part: Option<Secret>| part.map(|part| part.expose().to_owned());
        let user = text(self.companion(rule, PartName::User)?);
        let tenant = text(self.companion(rule, PartName::Tenant)?);
        Ok(Said { user, tenant, app })
    }

    fn basic(&self, rule: &CredentialRule) -> Result<Proof, Refusal> {
        let value = self.required(rule, PartName::Value)?;
        let (user, password) = basic::decode(&value).map_err(|error| {
            Refusal::new(Reason::WrongPassword, error.to_string()).carried_by("Authorization")
        })?;
        Ok(Proof::Password { user, password, provider: None, domain: None, tenant: None })
    }

    fn token_values(&self, rule: &CredentialRule) -> Result<TokenValues, Refusal> {
        if rule.first_live
            && let Some(Place::Cookie(name)) = rule.primary().and_then(|part| part.places.first())
        {
            let values = self
                .taken
                .cookies
                .iter()
                .filter(|(own, value)| **own == **name && !value.expose().is_empty());
            return Ok(values.take(COOKIES_TRIED_MAX).map(|(_, value)| Arc::clone(value)).collect());
        }
        let part = self.part(rule, PartName::Value);
        let found = part.map(|part| self.value(part)).transpose()?.flatten();
        let value = match found {
            Some((_, Place::Cookie(name))) => self.taken.cookies.iter().find(|(own, _)| **own == **name),
            Some((value, _)) if !value.is_empty() => {
                return Ok(TokenValues::from_iter([Arc::new(Secret::new(value.into_owned()))]));
            }
            Some(_) | None => None,
        };
        match value {
            Some((_, value)) => Ok(TokenValues::from_iter([Arc::clone(value)])),
            None => Err(self.missing(rule, part)),
        }
    }

    fn part<'r>(&self, rule: &'r CredentialRule, name: PartName) -> Option<&'r Part> {
        rule.parts.iter().find(|part| part.name == name)
    }

    fn value<'s>(&'s self, part: &'s Part) -> Result<Option<(Cow<'s, str>, &'s Place)>, Refusal> {
        let variables = self.located.variables.as_slice();
        plain_value(&part.places, self.request, self.taken, variables, self.api)
    }

    fn required(&self, rule: &CredentialRule, name: PartName) -> Result<String, Refusal> {
        let part = self.part(rule, name);
        match part.map(|part| self.value(part)).transpose()?.flatten() {
            Some((value, _)) if !value.is_empty() => Ok(value.into_owned()),
            Some(_) | None => Err(self.missing(rule, part)),
        }
    }

    fn optional(&self, rule: &CredentialRule, name: PartName) -> Result<Option<String>, Refusal> {
        match self.part(rule, name) {
            Some(part) => {
                Ok(self.value(part)?.map(|(value, _)| value.into_owned()).filter(|value| !value.is_empty()))
            }
            None => Ok(None),
        }
    }

    /// A part that belongs to the credential: where the rule has it, it must be there.
    fn companion(&self, rule: &CredentialRule, name: PartName) -> Result<Option<Secret>, Refusal> {
        match self.part(rule, name) {
            Some(part) => match self.value(part)? {
                Some((value, _)) if !value.is_empty() => Ok(Some(Secret::new(value.into_owned()))),
                Some(_) | None => Err(self.missing(rule, Some(part))),
            },
            None => Ok(None),
        }
    }

    fn missing(&self, rule: &CredentialRule, part: Option<&Part>) -> Refusal {
        let place = part.and_then(|part| part.places.first());
        match place {
            Some(Place::Body(name)) => {
                Refusal::new(Reason::MissingField, format!("`{name}` is missing from the body"))
                    .about(name.clone())
            }
            place => Refusal::new(
                Reason::BadToken,
                format!("`{}` lacks its {}", rule.name, place.map_or_else(String::new, ToString::to_string)),
            )
            .carried_by(rule.carrier()),
        }
    }
}
