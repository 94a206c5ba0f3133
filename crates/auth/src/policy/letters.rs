//! Routes where the letter case of paths counts to the gate and may not count to the service (THREATS T-A15).
//!
//! To a service that does not mind, `/ADMIN/x` is `/admin/x`. So where the route that decides asks for less than the one that
//! would if case were ignored, nobody is let in: who may asks for the path as the route writes it.

use http::Method;

use super::RouteOptions;
use super::crossing::less;
use crate::dialect::Dialect;
use crate::dialect::pattern::{Exactness, PathCase, Pattern, Patterns, Segments};

/// The routes of an API as a service reads them that does not mind letter case.
#[derive(Debug)]
pub(super) struct Letters {
    /// Numbers of routes.
    routes: Patterns<usize>,
    /// By number: those that ask for more and are about some of its paths, if case is ignored, in order.
    stricter: Vec<Vec<usize>>,
    /// By number: how exact each is.
    exactness: Vec<Exactness>,
    /// Whether some of those are written with more than small letters, so that every path may be another spelling of theirs.
    has_capitals: bool,
}

impl Letters {
    /// Of routes in the order of their numbers; `None` where no route could decide in another one's place.
    pub(super) fn new<'r>(
        dialect: &Dialect,
        routes: impl Iterator<Item = (&'r Pattern, &'r RouteOptions)>,
    ) -> Option<Self> {
        if dialect.path_case == PathCase::Ignored {
            return None;
        }
        let mut exactness = Vec::new();
        let entries = routes.enumerate().map(|(number, (at, route))| {
            exactness.push(at.exactness(false));
            (at.clone(), false, (number, route))
        });
        let routes = Patterns::new(PathCase::Ignored, entries);
        let mut stricter = vec![Vec::new(); routes.items().count()];
        let mut has_capitals = false;
        for ((at, (number, route)), (other_at, (other, laxer))) in routes.exceptions() {
            if at.has_letters() && less(dialect, (other_at, laxer), (at, route)).is_some() {
                has_capitals |= at.has_capitals();
                if let Some(stricter) = stricter.get_mut(*other) {
                    stricter.push(*number);
                }
            }
        }
        stricter.iter_mut().for_each(|numbers| numbers.sort_unstable());
        let is_of_use = stricter.iter().any(|numbers| !numbers.is_empty());
        is_of_use.then(|| Self {
            routes: routes.map(|(number, _)| number),
            stricter,
            exactness,
            has_capitals,
        })
    }

    /// Whether a request that this route decides about is one of a stricter route but for letter case.
    pub(super) fn are_of_a_stricter_route(&self, number: usize, method: &Method, path: &str) -> bool {
        let Some(stricter) = self.stricter.get(number).filter(|numbers| !numbers.is_empty()) else {
            return false;
        };
        if !self.has_capitals && !path.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'%') {
            return false;
        }
        let segments = Segments::of(path);
        let mut meant = self.routes.matching(method, &segments).map(|(number, _)| *number);
        let Some(most_exact) = meant.next() else { return false };
        // Where routes differ in letter case alone, none of them is more exact than another.
        let as_exact =
            meant.take_while(|number| self.exactness.get(*number) == self.exactness.get(most_exact));
        std::iter::once(most_exact).chain(as_exact).any(|number| stricter.binary_search(&number).is_ok())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::path::Path;

    use crate::dialect::Dialect;
    use crate::dialect::pattern::Segments;
    use crate::objects::RouteObjects;
    use crate::objects::kind::Kinds;
    use crate::policy::{Allow, Conditions, Policy, RouteOptions};

    /// Routes for everybody, and with an `!` for a role.
    fn policy(more: &str, lines: &[&str]) -> Policy {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects/harbour.toml");
        let text = format!("{more}\n{}", fs::read_to_string(file).unwrap());
        let routes = lines.iter().map(|line| RouteOptions {
            at: line.trim_start_matches('!').to_owned(),
            allow: match line.starts_with('!') {
                true => {
                    Allow::Proven(Conditions { roles: vec!["admin".to_owned()], ..Conditions::default() })
                }
                false => Allow::Anonymous,
            },
            upgrade: false,
            objects: RouteObjects::default(),
        });
        let mut mistakes = Vec::new();
        let dialect = Dialect::load("harbour.toml", &text).unwrap();
        let made = Policy::new(&dialect, &routes.collect::<Vec<_>>(), &Kinds::default(), &mut mistakes);
        assert_eq!(mistakes, [""; 0]);
        made
    }

    /// The route that decides; `None` where nobody is let in because of letter case.
    fn decides<'p>(policy: &'p Policy, request: &str) -> Option<&'p str> {
        let (method, path) = request.split_once(' ').unwrap();
        let (method, segments) = (method.parse().unwrap(), Segments::of(path));
        let (route, _) = policy.routes.matching(&method, &segments).next().unwrap();
        let is_kept_out = policy
            .letters
            .as_ref()
            .is_some_and(|letters| letters.are_of_a_stricter_route(route.number, &method, path));
        policy
            .routes
            .items()
            .find(|known| known.number == route.number && !is_kept_out)
            .map(|known| &*known.at)
    }

    #[test]
    fn a_stricter_routes_path_in_another_letter_case_is_nobodys() {
        let check = |policy: &Policy, asked: &[(&str, Option<&str>)]| {
            for (request, expected) in asked {
                assert_eq!(decides(policy, request), *expected, "{request}");
            }
        };
        let lines = ["/**", "!/admin/**", "/admin/help", "!GET /Items/{item}"];
        check(
            &policy("", &lines),
            &[
                ("GET /x", Some("/**")),
                ("GET /X", Some("/**")),
                ("GET /admin/x", Some("/admin/**")),
                ("GET /ADMIN/x", None),
                ("GET /Admin", None),
                ("GET /admiN/", None),
                ("GET /Administrator", Some("/**")),
                ("GET /admin/help", Some("/admin/help")),
                // An exception is one in any letter case, and decides in its own alone.
                ("GET /admin/Help", Some("/admin/**")),
                ("GET /Admin/help", Some("/**")),
                ("GET /Items/1", Some("GET /Items/{item}")),
                ("GET /items/1", None),
                ("POST /items/1", Some("/**")),
            ],
        );
        let ignoring = policy("ignore_case = [\"paths\"]", &lines);
        assert!(ignoring.letters.is_none());
        check(&ignoring, &[("GET /ADMIN/x", Some("/admin/**"))]);
        check(
            &policy("", &["/**", "!/%C3%A4/**"]),
            &[("GET /%C3%84/x", None), ("GET /%C3%96/x", Some("/**"))],
        );
        // Who writes both says that case counts.
        for lines in [["/**", "!/admin/**", "/Admin/**"], ["/**", "/Admin/**", "!/admin/**"]] {
            let both = policy("", &lines);
            check(&both, &[("GET /Admin/x", Some("/Admin/**")), ("GET /ADMIN/x", None)]);
        }
        // Nothing is looked up where no route is stricter than another.
        assert!(policy("", &["/**", "/admin/**"]).letters.is_none());
        assert!(policy("", &["!/**", "!/admin/**"]).letters.is_none());
    }
}
