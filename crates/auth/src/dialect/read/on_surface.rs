//! On which surface a call lies, of which it takes over what it does not say itself.

use std::sync::Arc;

use http::Method;

use super::Context;
use crate::canonical::method::STANDARD;
use crate::dialect::operation::Operation;
use crate::dialect::pattern::{PathCase, Pattern, Patterns};
use crate::dialect::source::{At, Table};
use crate::dialect::{CredentialRule, Refusals, Surface};

/// What a call says of itself, as far as its surface would say it otherwise.
pub(super) struct Said<'s> {
    pub(super) operation: Operation,
    /// Credentials, and whether callers without one are among them; `None` for those of the surface.
    pub(super) accepts: Option<&'s (Vec<Arc<CredentialRule>>, bool)>,
    /// Whether it stands only where a condition holds.
    pub(super) when: bool,
}

/// The surfaces of a file and the calls on them.
pub(super) struct Ground<'g> {
    surfaces: &'g Patterns<Arc<Surface>>,
    /// The paths of all calls that are there whatever a request or an API's configuration says.
    certain: Patterns<()>,
    case: PathCase,
}

impl<'g> Ground<'g> {
    pub(super) fn new(
        surfaces: &'g Patterns<Arc<Surface>>,
        tables: &[(String, Vec<At<Pattern>>, Table<'_, '_>)],
        context: &Context,
    ) -> Self {
        let is_certain = |name: &String, table: &Table<'_, '_>| {
            !context.mounted.contains(name) && ["when", "unless"].iter().all(|key| table.raw(key).is_none())
        };
        let certain = tables.iter().filter(|(name, _, table)| is_certain(name, table));
        let patterns = certain.flat_map(|(_, patterns, _)| patterns).map(|at| (at.value.clone(), false, ()));
        Self { surfaces, certain: Patterns::new(context.path_case, patterns), case: context.path_case }
    }

    /// The surface that a call lies on.
    ///
    /// A variable of its path can be a word by which a more exact surface begins: there the call would let in, and
    /// refuse, as on the wider one. So the two have to be alike in all that the call takes over, or another call is there.
    pub(super) fn surface_of(&self, pattern: &Pattern, said: &Said<'_>) -> Result<Arc<Surface>, String> {
        let Found { surface, others } = self.found(pattern)?;
        let own = TakenOver::of(surface, said, pattern);
        for (other, common) in others {
            let its = TakenOver::of(other, said, pattern);
            let is_another = |both: &&Pattern| self.certain.names(both, pattern.exactness(said.when));
            if own != its
                && let Some(both) = common.iter().find(|both| !is_another(both))
            {
                let only_who = TakenOver { who: None, ..own } == TakenOver { who: None, ..its };
                let way_out = if only_who { "say what it `accepts`, or write" } else { "write" };
                return Err(format!(
                    "`{pattern}` lies on [surface.{}], and on [surface.{}] where it is `{both}`; {way_out} an endpoint \
                     for each",
                    surface.name, other.name
                ));
            }
        }
        Ok(Arc::clone(surface))
    }

    fn found(&self, pattern: &Pattern) -> Result<Found<'g>, String> {
        let is_for_any = pattern.methods().is_empty();
        // What is about any method is about GET at least, and refuses others by the surface of GET where they have none.
        let methods = if is_for_any { &STANDARD } else { pattern.methods() };
        let nowhere = || format!("`{pattern}` lies on no surface, so nothing says how it refuses");
        let mut found: Option<&Arc<Surface>> = None;
        let mut others = Vec::new();
        for method in methods {
            let (everywhere, exceptions) = self.surfaces.deciding(pattern, method);
            for (exception, surface) in exceptions {
                let named = |both: &Pattern| self.surfaces.names(both, exception.exactness(false));
                let common = pattern.common(exception, self.case).into_iter().filter(|both| !named(both));
                others.push((surface, common.collect()));
            }
            match (everywhere, found) {
                (None, Some(_)) if is_for_any => {}
                (None, _) => return Err(nowhere()),
                (Some(surface), None) => found = Some(surface),
                (Some(surface), Some(other)) if Arc::ptr_eq(other, surface) => {}
                (Some(surface), Some(_)) if is_for_any => {
                    others.push((surface, vec![pattern.by(method)]));
                }
                (Some(surface), Some(other)) => {
                    return Err(format!(
                        "`{pattern}` lies on [surface.{}] and on [surface.{}]; write an endpoint for each",
                        other.name, surface.name
                    ));
                }
            }
        }
        Ok(Found { surface: found.ok_or_else(nowhere)?, others })
    }
}

/// The surface that has all paths of a call, and those that have some of its requests, with these.
struct Found<'g> {
    surface: &'g Arc<Surface>,
    others: Vec<(&'g Arc<Surface>, Vec<Pattern>)>,
}

/// What a call takes over of a surface.
#[derive(PartialEq)]
struct TakenOver<'s> {
    /// Who is let in: credentials by their places in the file, and whether callers without one are.
    who: Option<(Vec<usize>, bool)>,
    /// Whether reading needs a CSRF proof.
    csrf_every_method: bool,
    /// Whether whoever may call it is let in elsewhere too, so that routes say who may.
    is_for_all: bool,
    sign_in: Option<&'s str>,
    refusals: *const Refusals,
}

impl<'s> TakenOver<'s> {
    fn of(surface: &'s Surface, said: &Said<'_>, pattern: &Pattern) -> Self {
        // Whoever is let in to be refused has got nothing.
        let refuses = said.operation == Operation::Refuse;
        let indices = |rules: &[Arc<CredentialRule>]| rules.iter().map(|rule| rule.index).collect::<Vec<_>>();
        let own = said.accepts.map(|(rules, _)| rules.as_slice());
        let is_there =
            |rule: &Arc<CredentialRule>| surface.accepts.iter().any(|other| other.index == rule.index);
        Self {
            who: (own.is_none() && !refuses).then(|| {
                // Callers without a credential are taken over only where nobody else is accepted.
                (indices(&surface.accepts), surface.accepts.is_empty() && surface.anonymous)
            }),
            csrf_every_method: surface.csrf_every_method
                && (pattern.methods().is_empty() || pattern.methods().iter().any(Method::is_safe))
                && !refuses
                && own.is_none_or(|rules| !rules.is_empty()),
            is_for_all: said.operation == Operation::Issue
                && own.is_some_and(|rules| rules.iter().any(is_there)),
            sign_in: surface.sign_in.as_deref(),
            refusals: Arc::as_ptr(&surface.refusals),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fmt::Write as _;

    use proptest::prelude::*;

    use crate::dialect::Dialect;
    use crate::dialect::pattern::Segments;

    const TOKENS: &str = "schema = 1\nname = \"x\"\n[errors.all.any]\ntext = \"no\"\n";

    /// A file of tokens that are told apart, surfaces that accept one each, and calls that say nothing of whom they accept.
    fn file(surfaces: &[String], calls: &[String]) -> String {
        let mut text = TOKENS.to_owned();
        for (at, pattern) in surfaces.iter().enumerate() {
            write!(
                text,
                "[token.t{at}]\nkind = \"access\"\nform = \"t{at}_{{base64url:43}}\"\nlifetime = \"1h\"\n\
                 [credential.c{at}]\nscheme = \"token\"\ntoken = \"t{at}\"\nfrom = \"header X-C{at}\"\n\
                 [surface.s{at}]\nat = \"{pattern}\"\naccepts = [\"c{at}\"]\nerrors = \"all\"\n"
            )
            .unwrap();
        }
        for (at, pattern) in calls.iter().enumerate() {
            write!(
                text,
                "[endpoint.e{at}]\nat = \"{pattern}\"\noperation = \"show\"\nanswer = {{ status = 204 }}\n"
            )
            .unwrap();
        }
        text
    }

    fn patterns(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
        let one = ("(GET |POST |GET\\|POST )?", prop::collection::vec("a|b|\\*\\*|\\{[xyz]\\}", 0..4));
        prop::collection::vec(one.prop_map(|(methods, path)| format!("{methods}/{}", path.join("/"))), count)
    }

    /// What a call does not take over of its surface may differ.
    #[test]
    fn surfaces_are_compared_by_what_a_call_takes_over() {
        let file = |more: &str, call: &str| {
            let text = file(&["/**".to_owned()], &[]);
            Dialect::load(
                "x",
                &format!(
                    "{text}[token.s]\nkind = \"session\"\nform = \"s_{{base64url:43}}\"\nlifetime = \"1h\"\n\
                 [credential.s]\nscheme = \"token\"\ntoken = \"s\"\nfrom = \"cookie S\"\n\
                 [csrf]\nfrom = \"header X-Proof\"\nform = \"{{guid}}\"\nbound_to = \"s\"\nfor = [\"s\"]\n\
                 [surface.admin]\nat = \"/admin/**\"\nerrors = \"all\"\n{more}\n\
                 [endpoint.e]\nat = \"{call}\"\noperation = \"show\"\nanswer = {{ status = 204 }}\n"
                ),
            )
        };
        assert!(file("accepts = [\"c0\", \"anonymous\"]", "GET /{area}/who").is_ok());
        assert!(file("accepts = [\"s\"]", "GET /{area}/who").is_err());
        let strict = "accepts = [\"c0\"]\ncsrf = \"every-method\"";
        assert!(file(strict, "POST /{area}/who").is_ok());
        assert!(file(strict, "GET /{area}/who").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        /// Wherever a file loads, each call lets in at each of its paths whom the surface there lets in.
        #[test]
        fn a16_a_call_accepts_what_is_accepted_where_it_lies(surfaces in patterns(0..4), calls in patterns(1..4)) {
            let surfaces: Vec<_> = std::iter::once("/**".to_owned()).chain(surfaces).collect();
            let Ok(dialect) = Dialect::load("x", &file(&surfaces, &calls)) else { return Ok(()) };
            let names = ["a", "b", "any", "else"];
            let mut paths = vec![String::new()];
            for deep in 0..4 {
                let longer: Vec<_> = paths.iter().filter(|path| path.matches('/').count() == deep).cloned().collect();
                paths.extend(longer.iter().flat_map(|path| names.map(|name| format!("{path}/{name}"))));
            }
            for (path, method) in paths.iter().flat_map(|path| [(path, "GET"), (path, "POST"), (path, "PUT")]) {
                let (method, segments) = (method.parse().unwrap(), Segments::of(path));
                let call = dialect.sites.matching(&method, &segments).next();
                let surface = dialect.surfaces.matching(&method, &segments).next();
                if let (Some((call, _)), Some((surface, _))) = (call, surface) {
                    let (own, its) = (call.accepts.first().unwrap(), surface.accepts.first().unwrap());
                    prop_assert_eq!(&own.name, &its.name, "{} {}: {:?} {:?}", method, path, surfaces, calls);
                }
            }
        }
    }
}
