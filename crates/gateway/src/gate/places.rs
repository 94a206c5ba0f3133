//! Finds the API of a request by host and path; takes the same time however many hosts there are.

use std::collections::HashMap;
use std::sync::Arc;

use countersign_auth::canonical::host::canonical_host;
use countersign_auth::dialect::pattern::PathCase;
use foldhash::fast::RandomState;

use super::{ApiMount, GateError};

/// One place, ready to be compared.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    listener: Option<Box<str>>,
    /// Without a trailing slash; empty for all paths.
    prefix: Arc<str>,
    api: usize,
}

/// All places of all APIs; each list with the longest prefix first, one listener's place before all listeners'.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_host: HashMap<Box<str>, Vec<Entry>, RandomState>,
    any_host: Vec<Entry>,
    /// The listeners with an API whose service does not mind the letter case of paths, each once; `None` for all of them. There
    /// `/ADMIN` may be `/admin` to whoever is behind the gate, and no other place may decide about it.
    ignoring_case: Vec<Option<Box<str>>>,
}

impl Places {
    pub(super) fn new(apis: &[ApiMount]) -> Result<Self, GateError> {
        let mut places = Self::default();
        for (api, mount) in apis.iter().enumerate() {
            for place in &mount.places {
                let prefix = place.prefix.strip_suffix('/').unwrap_or(&place.prefix);
                if !(prefix.is_empty() || prefix.starts_with('/'))
                    || prefix.contains(['?', '#', '\\'])
                    || prefix.contains("//")
                {
                    return Err(GateError::Prefix {
                        api: mount.api.name().to_string(),
                        prefix: place.prefix.clone(),
                    });
                }
                let listener: Option<Box<str>> = place.listener.as_deref().map(Into::into);
                if mount.api.path_case() == PathCase::Ignored && !places.ignoring_case.contains(&listener) {
                    places.ignoring_case.push(listener.clone());
                }
                let entry = Entry { listener, prefix: prefix.into(), api };
                let list = match &place.host {
                    Some(host) => match canonical_host(host) {
                        Ok(name) if name.port().is_none() => {
                            places.by_host.entry(name.name().into()).or_default()
                        }
                        Ok(_) | Err(_) => {
                            let api = mount.api.name().to_string();
                            return Err(GateError::Host { api, host: host.clone() });
                        }
                    },
                    None => &mut places.any_host,
                };
                if let Some(other) = list.iter().find(|other| {
                    other.prefix.eq_ignore_ascii_case(&entry.prefix) && other.listener == entry.listener
                }) {
                    let name = |api: usize| {
                        apis.get(api).map_or(String::new(), |mount| mount.api.name().to_string())
                    };
                    return Err(GateError::PlaceTaken {
                        first: name(other.api),
                        second: name(api),
                        place: format!("{}{}", place.host.as_deref().unwrap_or("*"), place.prefix),
                    });
                }
                list.push(entry);
            }
        }
        for list in places.by_host.values_mut().chain([&mut places.any_host]) {
            list.sort_by_key(|entry| (std::cmp::Reverse(entry.prefix.len()), entry.listener.is_none()));
        }
        Ok(places)
    }

    /// The index of the API, and the prefix of its place: without a trailing slash, empty for all paths.
    ///
    /// A path that begins with a prefix in another letter case, where that may not count, is nowhere.
    pub(super) fn find(&self, listener: &str, host: &str, path: &str) -> Option<(usize, &Arc<str>)> {
        let case = self.case(listener);
        let fits = |entry: &&Entry| entry.fits(listener, path, case);
        let exact = if self.by_host.is_empty() { None } else { self.by_host.get(host) };
        let found = exact.and_then(|list| list.iter().find(fits)).or_else(|| self.any_host.iter().find(fits));
        let found = found.filter(|entry| path.starts_with(&*entry.prefix));
        found.map(|entry| (entry.api, &entry.prefix))
    }

    /// The same whatever the host; `None` where there are several.
    pub(super) fn find_whatever_host(&self, listener: &str, path: &str) -> Option<(usize, &Arc<str>)> {
        let case = self.case(listener);
        let lists = std::iter::once(&self.any_host).chain(self.by_host.values());
        let mut found = lists.filter_map(|list| list.iter().find(|entry| entry.fits(listener, path, case)));
        let first = found.next().filter(|entry| path.starts_with(&*entry.prefix))?;
        found.all(|other| other.api == first.api).then_some((first.api, &first.prefix))
    }

    fn case(&self, listener: &str) -> PathCase {
        let here = |at: &Option<Box<str>>| at.as_deref().is_none_or(|name| name == listener);
        if self.ignoring_case.iter().any(here) { PathCase::Ignored } else { PathCase::Counts }
    }
}

impl Entry {
    fn fits(&self, listener: &str, path: &str, case: PathCase) -> bool {
        self.listener.as_deref().is_none_or(|name| name == listener) && begins_with(path, &self.prefix, case)
    }
}

/// Whether `path` begins with `prefix`, and the prefix ends where a segment does.
fn begins_with(path: &str, prefix: &str, case: PathCase) -> bool {
    let Some((head, rest)) = path.split_at_checked(prefix.len()) else { return false };
    let same = match case {
        PathCase::Counts => head == prefix,
        PathCase::Ignored => head.eq_ignore_ascii_case(prefix),
    };
    same && (rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use crate::gate::{GateError, Place};
    use crate::testing;

    fn place(listener: Option<&str>, host: Option<&str>, prefix: &str) -> Place {
        Place { listener: listener.map(Into::into), host: host.map(Into::into), prefix: prefix.into() }
    }

    #[test]
    fn longest_prefix_on_segments_exact_host_first() {
        let gate = testing::gate(vec![
            ("any", vec![place(None, None, "/")]),
            ("api", vec![place(None, None, "/api/v2/")]),
            ("host", vec![place(None, Some("A.example.com"), "/api"), place(None, Some("[::1]"), "")]),
            ("inner", vec![place(Some("inner"), None, "/api/v2")]),
        ])
        .unwrap();
        let cases = [
            ("outer", "b.example.com", "/", Some("any")),
            ("outer", "b.example.com", "/api/v2", Some("api")),
            ("outer", "b.example.com", "/api/v2/x", Some("api")),
            ("outer", "b.example.com", "/api/v20", Some("any")),
            ("inner", "b.example.com", "/api/v2/x", Some("inner")),
            ("outer", "a.example.com", "/api/v2/x", Some("host")),
            ("outer", "a.example.com.evil.org", "/api/v2/x", Some("api")),
            ("outer", "a.example.com", "/other", Some("any")),
            ("outer", "[::1]", "/other", Some("host")),
            ("outer", "", "/x", Some("any")),
        ];
        for (listener, host, path, expected) in cases {
            let found = gate.find(listener, host, path).map(|(mount, _)| &**mount.api.name());
            assert_eq!(found, expected, "{listener} {host} {path}");
        }
    }

    #[test]
    fn what_all_hosts_have_is_found_without_one() {
        let gate = testing::gate(vec![
            ("any", vec![place(None, None, "/")]),
            ("api", vec![place(None, None, "/api"), place(None, Some("a"), "/api/v2")]),
            ("host", vec![place(None, Some("b"), "/only"), place(Some("inner"), Some("c"), "/api")]),
        ])
        .unwrap();
        let cases = [
            ("outer", "/x", Some("any")),
            ("outer", "/api/v2/x", Some("api")),
            ("outer", "/api", Some("api")),
            ("inner", "/api", None),
            ("outer", "/only", None),
        ];
        for (listener, path, expected) in cases {
            let found = gate.find_whatever_host(listener, path).map(|(mount, _)| &**mount.api.name());
            assert_eq!(found, expected, "{listener} {path}");
        }
    }

    #[test]
    fn a14_a_prefix_in_another_letter_case_is_no_other_places() {
        let gate = testing::gate_of(vec![
            (
                testing::api_with("any", "ignore_case = [\"paths\"]"),
                vec![place(Some("outer"), None, "/"), place(Some("outer"), Some("a"), "/")],
            ),
            (
                testing::plain_api("admin"),
                vec![place(None, None, "/admin"), place(None, Some("a"), "/admin")],
            ),
            (testing::plain_api("counts"), vec![place(Some("inner"), None, "/")]),
        ])
        .unwrap();
        let cases = [
            ("outer", "/admin/x", Some("admin")),
            ("outer", "/ADMIN/x", None),
            ("outer", "/aDmin", None),
            ("outer", "/Administrators", Some("any")),
            ("outer", "/X", Some("any")),
            ("inner", "/admin/x", Some("admin")),
            ("inner", "/ADMIN/x", Some("counts")),
        ];
        for (listener, path, expected) in cases {
            for host in ["a", "b"] {
                let found = gate.find(listener, host, path).map(|(mount, _)| &**mount.api.name());
                assert_eq!(found, expected, "{listener} {host} {path}");
            }
            let found = gate.find_whatever_host(listener, path).map(|(mount, _)| &**mount.api.name());
            assert_eq!(found, expected, "{listener} {path}");
        }
    }

    #[test]
    fn nothing_matches_where_nothing_is() {
        let gate = testing::gate(vec![("api", vec![place(None, Some("a"), "/api")])]).unwrap();
        assert!(gate.find("l", "a", "/api/x").is_some());
        assert!(gate.find("l", "b", "/api/x").is_none());
        assert!(gate.find("l", "a", "/apix").is_none());
    }

    #[test]
    fn a_place_holds_one_api() {
        let taken = testing::gate(vec![
            ("first", vec![place(None, Some("a"), "/api")]),
            ("second", vec![place(None, Some("A."), "/Api/")]),
        ]);
        assert!(
            matches!(taken.err(), Some(GateError::PlaceTaken { first, second, .. }) if first == "first" && second == "second")
        );
        let bad = testing::gate(vec![("api", vec![place(None, None, "api")])]);
        assert!(matches!(bad.err(), Some(GateError::Prefix { .. })));
        for host in ["a..", "a:80", "a b", ""] {
            let bad = testing::gate(vec![("api", vec![place(None, Some(host), "/")])]);
            assert!(matches!(bad.err(), Some(GateError::Host { .. })), "{host}");
        }
    }
}
