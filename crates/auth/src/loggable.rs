//! What logs may show of a path.

use std::borrow::Cow;
use std::sync::Arc;

use crate::api::{Api, Located};
use crate::dialect::pattern::{Pattern, Patterns};
use crate::dialect::place::Place;
use crate::dialect::{Endpoint, Scheme, Site, TokenRule};
use crate::objects::reference;
use crate::token::TokenKind;

impl Api {
    /// A path as logs may show it: variables that are keys, sessions or credentials are replaced by their names, and
    /// so is whatever has the form of one where a call of the dialect has it in its path. A key that came with a
    /// method or a path that no call knows is still a key. Whoever holds the reference of an object holds the object.
    pub fn loggable_path<'p>(&self, located: &Located, path: &'p str) -> Cow<'p, str> {
        let mut shown = Cow::Borrowed(path);
        if let Some(endpoint) = &located.site.endpoint {
            let parts = located.site.accepts.iter().flat_map(|rule| &rule.parts).map(|part| &part.places);
            for place in named(endpoint).map(|(_, places)| places).chain(parts).flatten() {
                if let Place::Path(name) = place
                    && let Some((_, value)) = located.variables.as_slice().iter().find(|(own, _)| own == name)
                {
                    shown = shown.replace(value.as_str(), &format!("{{{name}}}")).into();
                }
            }
        }
        self.without_tokens(shown)
    }

    /// The same for a path of which nobody knows what call it was for; `None` if what is below the prefix begins as a call's does
    /// that has something secret in its path, or there are references, which stand anywhere.
    pub fn loggable_unlocated<'p>(&self, path: &'p str, below: &str) -> Option<Cow<'p, str>> {
        let begins =
            |with: &String| below.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
        let is_secret = self.has_references() || self.dialect.secret_paths.iter().any(begins);
        (!is_secret).then(|| self.without_tokens(Cow::Borrowed(path)))
    }

    fn without_tokens<'p>(&self, shown: Cow<'p, str>) -> Cow<'p, str> {
        let rules = self.dialect.tokens_in_paths.as_slice();
        let references = self.has_references();
        if !references && rules.is_empty() {
            return shown;
        }
        let is_masked = |segment: &str| {
            references && reference::could_be(segment)
                || rules.iter().any(|rule| rule.form.as_ref().is_some_and(|form| form.could_be(segment)))
        };
        if !shown.split('/').any(is_masked) {
            return shown;
        }
        let masked = |segment: &str| {
            if references && reference::could_be(segment) {
                return "{reference}".to_owned();
            }
            let rule =
                rules.iter().find(|rule| rule.form.as_ref().is_some_and(|form| form.could_be(segment)));
            rule.map_or_else(|| segment.to_owned(), |rule| format!("{{{}}}", rule.word))
        };
        shown.split('/').map(masked).collect::<Vec<_>>().join("/").into()
    }
}

/// The tokens that some call has in its path.
pub(crate) fn tokens_in_paths(sites: &Patterns<Arc<Site>>, tokens: &[Arc<TokenRule>]) -> Vec<Arc<TokenRule>> {
    let mut rules: Vec<Arc<TokenRule>> = Vec::new();
    for site in sites.items() {
        let shown = site.accepts.iter().filter(|rule| rule.parts.iter().any(|part| in_path(&part.places)));
        rules.extend(shown.filter_map(|rule| rule.token.clone()));
        let inputs = site.endpoint.iter().flat_map(|endpoint| named(endpoint));
        for (name, _) in inputs.filter(|(_, places)| in_path(places)) {
            let kind = if name == "key" { TokenKind::Key } else { TokenKind::Session };
            rules.extend(tokens.iter().filter(|rule| rule.kind == kind).cloned());
        }
    }
    rules.sort_by(|a, b| a.word.cmp(&b.word));
    rules.dedup_by(|a, b| a.word == b.word);
    rules
}

/// How paths begin that have a key, a session or a credential in them. Which issuer somebody comes back from is no secret.
pub(crate) fn secret_paths(sites: &Patterns<Arc<Site>>) -> Vec<String> {
    let is_secret = |site: &Site| {
        let parts =
            site.accepts.iter().filter(|rule| rule.scheme != Scheme::Code).flat_map(|rule| &rule.parts);
        let inputs = site.endpoint.iter().flat_map(|endpoint| named(endpoint)).map(|(_, places)| places);
        parts.map(|part| &part.places).chain(inputs).any(|places| in_path(places))
    };
    let patterns = sites.iter().filter(|(_, site)| is_secret(site)).map(|(pattern, _)| pattern);
    let mut paths: Vec<String> = patterns.map(Pattern::literal_beginning).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The inputs of a call that are secrets: keys, and names of sessions.
fn named(endpoint: &Endpoint) -> impl Iterator<Item = &(String, Vec<Place>)> {
    endpoint.inputs.iter().filter(|(name, _)| name == "key" || name == "session")
}

fn in_path(places: &[Place]) -> bool {
    places.iter().any(|place| matches!(place, Place::Path(_)))
}
