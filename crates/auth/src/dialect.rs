//! A dialect: how one family of APIs lets clients in, as data.
//!
//! The file is read once, checked as a whole, and turned into the structures of this module, in which nothing is
//! left to look up by name. [`crate::api::Api`] is a dialect at work: with a deployment, lifetimes and routes.

mod check;
mod credential;
pub mod operation;
pub(crate) mod part;
pub mod pattern;
pub mod place;
mod read;
#[cfg(test)]
mod reference;
pub(crate) use check::{enabled as check_enabled, is_on};
pub(crate) use read::read_medium;
mod sample;
pub mod service;
pub mod source;
pub(crate) mod template;
pub(crate) mod variables;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::cookie::SameSite;
use crate::date::DateFormat;
use crate::dialect::operation::Operation;
use crate::dialect::part::Part;
use crate::dialect::pattern::{PathCase, Pattern, Patterns};
use crate::dialect::place::Place;
use crate::dialect::service::{Service, ServiceOptions};
use crate::dialect::source::{Problem, Source};
use crate::dialect::template::Template;
use crate::fields::Case;
use crate::fields::content_type::Encoding;
use crate::form::Form;
use crate::refusal::Reason;
use crate::scheme::digest::algorithm::Algorithm;
use crate::token::{AtLimit, TokenKind};

/// A dialect file, read and checked.
#[derive(Debug)]
pub struct Dialect {
    /// The folder's name.
    pub name: Arc<str>,
    /// One line for people.
    pub title: String,
    /// Names of deployments; the first is the default; empty for one unnamed deployment.
    pub deployments: Vec<String>,
    /// Full media types; the first answers clients that do not say.
    pub media: Vec<String>,
    pub(crate) media_from: Option<Place>,
    pub(crate) path_case: PathCase,
    pub(crate) field_case: Case,
    pub(crate) date: DateFormat,
    pub(crate) realm: Option<String>,
    /// Identity keys that the API knows.
    pub keys: Vec<String>,
    pub(crate) passes: Vec<HeaderName>,
    pub(crate) tokens: Vec<Arc<TokenRule>>,
    pub(crate) credentials: Vec<Arc<CredentialRule>>,
    pub(crate) csrf: Option<CsrfRule>,
    pub(crate) cookies: Vec<Arc<CookieRule>>,
    pub(crate) stamps: Patterns<Arc<StampRule>>,
    pub(crate) sites: Patterns<Arc<Site>>,
    pub(crate) surfaces: Patterns<Arc<Surface>>,
    /// Each surface as a site without an endpoint.
    pub(crate) surface_sites: Patterns<Arc<Site>>,
    /// By which methods some call reads its body; `None` for any.
    pub(crate) methods_with_bodies: Option<Vec<http::Method>>,
    /// Tokens that some call has in its path: no log may show them.
    pub(crate) tokens_in_paths: Vec<Arc<TokenRule>>,
    /// How paths begin that have something secret in them.
    pub(crate) secret_paths: Vec<String>,
    /// Answer headers that only the gate may set.
    pub(crate) answer_headers: Vec<HeaderName>,
    pub(crate) assertion: AssertionRule,
}

impl Dialect {
    /// Reads and checks a dialect file; `file_name` is for messages.
    ///
    /// # Errors
    /// Every mistake found, in the order of their lines.
    pub fn load(file_name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let source = Source::new(file_name, text);
        let dialect = read::dialect(&source);
        let problems = source.into_problems();
        match dialect {
            Some(dialect) if problems.is_empty() => Ok(dialect),
            Some(_) | None => Err(problems),
        }
    }

    /// Names of the credentials that it knows, in the order of the file's names.
    pub fn credential_names(&self) -> impl Iterator<Item = &str> {
        self.credentials.iter().map(|rule| &*rule.name)
    }

    /// Words of the tokens that it knows, with their kinds.
    pub fn token_words(&self) -> impl Iterator<Item = (&str, TokenKind)> {
        self.tokens.iter().map(|rule| (&*rule.word, rule.kind))
    }

    /// The endpoints that mount a named service, each with what it is told.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<str>, Service, &ServiceOptions)> {
        let mut told: Vec<&Arc<str>> = Vec::new();
        self.sites.iter().filter_map(|(_, site)| site.endpoint.as_ref()).filter_map(move |endpoint| {
            let service = endpoint.operation.service()?;
            if told.contains(&&endpoint.name) {
                return None;
            }
            told.push(&endpoint.name);
            Some((&endpoint.name, service, &endpoint.options))
        })
    }

    pub(crate) fn token(&self, word: &str) -> Option<&Arc<TokenRule>> {
        self.tokens.iter().find(|rule| &*rule.word == word)
    }
}

/// `[token.WORD]`.
#[derive(Debug)]
pub(crate) struct TokenRule {
    pub(crate) word: Arc<str>,
    pub(crate) kind: TokenKind,
    /// `None` for values that an operator sets and for JWTs.
    pub(crate) form: Option<Arc<Form>>,
    pub(crate) second: Option<Arc<Form>>,
    pub(crate) idle: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) proof_lifetime: Option<Duration>,
    pub(crate) per_account: Option<u32>,
    pub(crate) at_limit: AtLimit,
    /// For JWTs: the name of the credential that reads them.
    pub(crate) jwt_credential: Option<String>,
}

/// How a credential is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// User and password.
    Password,
    /// Digest, RFC 7616.
    Digest,
    /// SPNEGO, RFC 4559.
    Negotiate,
    /// NTLM.
    Ntlm,
    /// A signed token of an issuer.
    Jwt,
    /// A value that the gate issued or an operator set.
    Token,
    /// An authorization code of an issuer that logged somebody in in a browser.
    Code,
    /// A trusted front says who it is.
    Front,
    /// The caller says who he is, and is believed.
    Unproven,
}

impl Scheme {
    /// All, in the order of the reference.
    pub const ALL: [Scheme; 9] = [
        Self::Password,
        Self::Digest,
        Self::Negotiate,
        Self::Ntlm,
        Self::Jwt,
        Self::Token,
        Self::Code,
        Self::Front,
        Self::Unproven,
    ];

    /// Its name in dialect files, logs and assertions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Digest => "digest",
            Self::Negotiate => "negotiate",
            Self::Ntlm => "ntlm",
            Self::Jwt => "jwt",
            Self::Token => "token",
            Self::Code => "code",
            Self::Front => "front",
            Self::Unproven => "unproven",
        }
    }

    /// The scheme of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}

/// `[credential.NAME]`.
#[derive(Debug)]
pub(crate) struct CredentialRule {
    pub(crate) name: Arc<str>,
    /// Its place among the dialect's credentials.
    pub(crate) index: usize,
    pub(crate) scheme: Scheme,
    /// The first one says whether the credential is there at all.
    pub(crate) parts: Vec<Part>,
    pub(crate) accounts: Arc<str>,
    /// Where it is on; `None` for everywhere.
    pub(crate) deployments: Option<Vec<String>>,
    /// The scheme word that 401s offer.
    pub(crate) challenge: Option<&'static str>,
    pub(crate) first_live: bool,
    pub(crate) token: Option<Arc<TokenRule>>,
    pub(crate) jwt: Option<JwtCredential>,
    /// For Digest: strongest first, never empty.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Whether it proves the account's keys as well, or only who it is.
    pub(crate) proves_keys: bool,
}

/// What a `jwt` credential demands and says.
#[derive(Debug)]
pub(crate) struct JwtCredential {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    /// Identity field or key, claim.
    pub(crate) claims: Vec<(String, String)>,
}

/// `[surface.NAME]`.
#[derive(Debug)]
pub(crate) struct Surface {
    pub(crate) name: String,
    pub(crate) accepts: Vec<Arc<CredentialRule>>,
    pub(crate) anonymous: bool,
    pub(crate) csrf_every_method: bool,
    /// Path of the sign-in page, below the prefix.
    pub(crate) sign_in: Option<String>,
    pub(crate) refusals: Arc<Refusals>,
}

/// `[csrf]`.
#[derive(Debug)]
pub(crate) struct CsrfRule {
    pub(crate) places: Vec<Place>,
    pub(crate) form: Form,
    pub(crate) bound_to: Arc<TokenRule>,
    /// Names of the credentials that must show it.
    pub(crate) credentials: Vec<String>,
    pub(crate) before_authentication: bool,
}

impl CsrfRule {
    /// The name that `csrf.header` prints.
    pub(crate) fn header(&self) -> &str {
        self.places.iter().find_map(Place::header).map(|(_, spelled)| spelled).unwrap_or_default()
    }
}

/// `[cookie.NAME]`.
#[derive(Debug)]
pub(crate) struct CookieRule {
    pub(crate) name: String,
    pub(crate) value: Template,
    pub(crate) path: Template,
    pub(crate) http_only: bool,
    pub(crate) same_site: SameSite,
    pub(crate) lifetime: Option<Duration>,
}

/// `[stamp.NAME]`.
#[derive(Debug)]
pub(crate) struct StampRule {
    pub(crate) name: String,
    pub(crate) credentials: Option<Vec<String>>,
    pub(crate) headers: Vec<(HeaderName, Template)>,
    pub(crate) cookies: Vec<Arc<CookieRule>>,
    /// Whether it prints the session or its token, and so opens one for a caller who holds none.
    pub(crate) opens_session: bool,
}

/// `[endpoint.NAME]`.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: Arc<str>,
    pub(crate) when: Vec<(Place, String)>,
    pub(crate) operation: Operation,
    pub(crate) reads: Vec<Encoding>,
    pub(crate) inputs: Vec<(String, Vec<Place>)>,
    pub(crate) issues: Vec<Arc<TokenRule>>,
    pub(crate) answer: Answer,
    pub(crate) forward: bool,
    pub(crate) reason: Option<Reason>,
    /// For a named service.
    pub(crate) options: ServiceOptions,
    /// It is there only where an API leaves that endpoint to the service behind the gate.
    pub(crate) unless: Option<String>,
    /// Whether its answer sets cookies, so that foreign pages must not call it.
    pub(crate) sets_cookies: bool,
}

impl Endpoint {
    /// The session that it issues and its answer prints: the one that CSRF proofs are bound to, or else the first.
    pub(crate) fn session(&self, dialect: &Dialect) -> Option<&Arc<TokenRule>> {
        let is_bound = |rule: &&Arc<TokenRule>| {
            dialect.csrf.as_ref().is_some_and(|csrf| csrf.bound_to.word == rule.word)
        };
        let first = || self.issues.iter().find(|rule| rule.kind == TokenKind::Session);
        self.issues.iter().find(is_bound).or_else(first)
    }
}

/// What is accepted at a path, and how it refuses there: an endpoint on its surface, or a surface alone.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) surface: Arc<Surface>,
    pub(crate) accepts: Vec<Arc<CredentialRule>>,
    pub(crate) anonymous: bool,
    pub(crate) refusals: Arc<Refusals>,
}

impl Site {
    /// Whether nothing of the request is looked at.
    pub(crate) fn only_anonymous(&self) -> bool {
        self.accepts.is_empty()
    }

    /// Whether no route says who may make the call: people log in by it, or out, or see what they log in by. Whoever is let in
    /// by what the surface accepts elsewhere too does not log in: what he is handed is one thing more that he may have.
    pub(crate) fn is_everybodys(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| match endpoint.operation {
            Operation::Issue => {
                let is_for_all = |rule: &Arc<CredentialRule>| {
                    self.surface.accepts.iter().any(|other| other.index == rule.index)
                };
                !self.accepts.iter().any(is_for_all)
            }
            Operation::IssuerLogin | Operation::End | Operation::Refuse => true,
            Operation::Show => self.anonymous,
            Operation::SessionList
            | Operation::SessionShow
            | Operation::KeyCreate
            | Operation::KeyList
            | Operation::KeyShow
            | Operation::KeyUpdate
            | Operation::KeyRotate
            | Operation::KeyDelete
            | Operation::PasswordChange
            | Operation::Service(_) => false,
        })
    }

    /// Whether its credential, an input or a condition rides in the body.
    pub(crate) fn reads_body(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| !endpoint.reads.is_empty())
    }
}

/// Which representation a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Json,
    Xml,
    Text,
    Html,
    Js,
}

impl BodyKind {
    pub(crate) const ALL: [BodyKind; 5] = [Self::Json, Self::Xml, Self::Text, Self::Html, Self::Js];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Text => "text",
            Self::Html => "html",
            Self::Js => "js",
        }
    }

    /// Whether a media type is one of this representation.
    pub(crate) fn is_of(self, media: &str) -> bool {
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((_, subtype)) = essence.split_once('/') else { return false };
        let is = |word: &str| subtype.rsplit('+').next() == Some(word);
        match self {
            Self::Json => is("json"),
            Self::Xml => is("xml"),
            Self::Text => essence == "text/plain",
            Self::Html => essence == "text/html",
            Self::Js => is("javascript"),
        }
    }

    /// The media type that it is sent as where the dialect's `media` has none of its kind.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::Text => "text/plain; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Js => "text/javascript; charset=utf-8",
        }
    }
}

/// An answer of the gate's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(HeaderName, Template)>,
    pub(crate) cookies: Vec<Arc<CookieRule>>,
    pub(crate) clear: Vec<Arc<CookieRule>>,
    pub(crate) bodies: Vec<(BodyKind, Template)>,
    pub(crate) code: Option<Template>,
    pub(crate) message: Option<Template>,
    pub(crate) challenge: Option<bool>,
    pub(crate) phrase: Option<Template>,
}

impl Answer {
    /// This answer laid over a base: what it names itself wins; a body of its own drops the base's bodies.
    pub(crate) fn over(&self, base: &Self) -> Self {
        let mut headers = base.headers.clone();
        headers.extend(self.headers.iter().cloned());
        Self {
            status: self.status.or(base.status),
            headers,
            cookies: if self.cookies.is_empty() { base.cookies.clone() } else { self.cookies.clone() },
            clear: if self.clear.is_empty() { base.clear.clone() } else { self.clear.clone() },
            bodies: if self.bodies.is_empty() { base.bodies.clone() } else { self.bodies.clone() },
            code: self.code.clone().or_else(|| base.code.clone()),
            message: self.message.clone().or_else(|| base.message.clone()),
            challenge: self.challenge.or(base.challenge),
            phrase: self.phrase.clone().or_else(|| base.phrase.clone()),
        }
    }
}

/// The answer to each reason, everything laid over everything already.
#[derive(Debug)]
pub(crate) struct Refusals {
    answers: Vec<Answer>,
}

impl Refusals {
    pub(crate) fn new(answer: impl Fn(Reason) -> Answer) -> Self {
        Self { answers: Reason::ALL.into_iter().map(answer).collect() }
    }

    /// What headers they have.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.answers.iter().flat_map(|answer| &answer.headers).map(|(name, _)| name)
    }

    pub(crate) fn answer(&self, reason: Reason) -> Option<&Answer> {
        let at = Reason::ALL.into_iter().position(|other| other == reason)?;
        self.answers.get(at)
    }
}

/// `[assertion]`.
#[derive(Debug, Default)]
pub(crate) struct AssertionRule {
    pub(crate) headers: Vec<(HeaderName, Template)>,
    pub(crate) claims: Vec<(String, Template)>,
}

/// Every pattern of a site with its own text, for messages and the route table.
pub(crate) fn pattern_text(pattern: &Pattern) -> String {
    pattern.to_string()
}
