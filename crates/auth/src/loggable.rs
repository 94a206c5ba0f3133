//! What logs may show of a path.

use smallvec::SmallVec;

use crate::api::{Api, Located};
use crate::dialect::place::Place;
use crate::dialect::{Endpoint, TokenRule};
use crate::objects::reference;
use crate::token::TokenKind;

impl Api {
    /// A path as logs may show it: variables that are keys, sessions or credentials are replaced by their names, and
    /// so is whatever has the form of one where a call of the dialect has it in its path. A key that came with a
    /// method or a path that no call knows is still a key. Whoever holds the reference of an object holds the object.
    pub fn loggable_path(&self, located: &Located, path: &str) -> String {
        let mut shown = path.to_owned();
        if let Some(endpoint) = &located.site.endpoint {
            let parts = located.site.accepts.iter().flat_map(|rule| &rule.parts).map(|part| &part.places);
            for place in named(endpoint).map(|(_, places)| places).chain(parts).flatten() {
                if let Place::Path(name) = place
                    && let Some((_, value)) = located.variables.as_slice().iter().find(|(own, _)| own == name)
                {
                    shown = shown.replace(value.as_str(), &format!("{{{name}}}"));
                }
            }
        }
        let rules = self.rules_in_paths();
        let references = self.has_references();
        if rules.is_empty() && !references {
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
        shown.split('/').map(masked).collect::<Vec<_>>().join("/")
    }

    /// The tokens that some call of the dialect has in its path.
    fn rules_in_paths(&self) -> SmallVec<[&TokenRule; 2]> {
        let mut rules: SmallVec<[&TokenRule; 2]> = SmallVec::new();
        for site in self.dialect.sites.items() {
            let shown =
                site.accepts.iter().filter(|rule| rule.parts.iter().any(|part| in_path(&part.places)));
            rules.extend(shown.filter_map(|rule| rule.token.as_deref()));
            for (name, _) in site
                .endpoint
                .iter()
                .flat_map(|endpoint| named(endpoint))
                .filter(|(_, places)| in_path(places))
            {
                let kind = if name == "key" { TokenKind::Key } else { TokenKind::Session };
                rules.extend(self.dialect.tokens.iter().map(|rule| &**rule).filter(|rule| rule.kind == kind));
            }
        }
        rules
    }
}

/// The inputs of a call that are secrets: keys, and names of sessions.
fn named(endpoint: &Endpoint) -> impl Iterator<Item = &(String, Vec<Place>)> {
    endpoint.inputs.iter().filter(|(name, _)| name == "key" || name == "session")
}

fn in_path(places: &[Place]) -> bool {
    places.iter().any(|place| matches!(place, Place::Path(_)))
}
