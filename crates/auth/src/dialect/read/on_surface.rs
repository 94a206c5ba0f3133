//! On which surface a call lies, of which it takes over what it does not say itself.

use std::sync::Arc;

use super::Context;
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
        let Found { surface, exceptions } = self.found(pattern)?;
        for (exception, other) in exceptions {
            let (own, others) = (TakenOver::of(surface, said), TakenOver::of(other, said));
            let is_another = |both: &Pattern| {
                self.surfaces.names(both, exception.exactness(false))
                    || self.certain.names(both, pattern.exactness(said.when))
            };
            let mut common = pattern.common(exception, self.case).into_iter();
            if own != others
                && let Some(both) = common.find(|both| !is_another(both))
            {
                let only_who = TakenOver { who: None, ..own } == TakenOver { who: None, ..others };
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
        let any = [http::Method::GET];
        let methods = if pattern.methods().is_empty() { &any } else { pattern.methods() };
        let nowhere = || format!("`{pattern}` lies on no surface, so nothing says how it refuses");
        let mut found: Option<&Arc<Surface>> = None;
        let mut exceptions = Vec::new();
        for method in methods {
            let (everywhere, before) = self.surfaces.deciding(pattern, method);
            let surface = everywhere.ok_or_else(nowhere)?;
            match found {
                Some(other) if !Arc::ptr_eq(other, surface) => {
                    return Err(format!(
                        "`{pattern}` lies on [surface.{}] and on [surface.{}]; write an endpoint for each",
                        other.name, surface.name
                    ));
                }
                Some(_) | None => found = Some(surface),
            }
            exceptions.extend(before);
        }
        Ok(Found { surface: found.ok_or_else(nowhere)?, exceptions })
    }
}

/// The surface that has all paths of a call, and the more exact patterns that have some, with theirs.
struct Found<'g> {
    surface: &'g Arc<Surface>,
    exceptions: Vec<(&'g Pattern, &'g Arc<Surface>)>,
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
    fn of(surface: &'s Surface, said: &Said<'_>) -> Self {
        // Whoever is let in to be refused has got nothing.
        let refuses = said.operation == Operation::Refuse;
        let indices = |rules: &[Arc<CredentialRule>]| rules.iter().map(|rule| rule.index).collect::<Vec<_>>();
        let own = said.accepts.map(|(rules, _)| rules.as_slice());
        let is_there =
            |rule: &Arc<CredentialRule>| surface.accepts.iter().any(|other| other.index == rule.index);
        Self {
            who: (own.is_none() && !refuses).then(|| (indices(&surface.accepts), surface.anonymous)),
            csrf_every_method: surface.csrf_every_method
                && !refuses
                && own.is_none_or(|rules| !rules.is_empty()),
            is_for_all: said.operation == Operation::Issue
                && own.is_some_and(|rules| rules.iter().any(is_there)),
            sign_in: surface.sign_in.as_deref(),
            refusals: Arc::as_ptr(&surface.refusals),
        }
    }
}
