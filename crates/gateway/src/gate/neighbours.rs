//! Which cookies of other APIs come to an API as well: browsers send what is for a host to all of its prefixes that `Path`
//! lets through, and to all of its ports (RFC 6265 sections 5.4 and 8.5).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use countersign_auth::canonical::host::canonical_host;

use super::ApiOptions;

/// Names of cookies that are credentials of some API, by where the API is.
#[derive(Default)]
pub(super) struct Cookies {
    /// Of all APIs.
    all: BTreeSet<Arc<str>>,
    /// Of those with a place for all hosts.
    on_any_host: BTreeSet<Arc<str>>,
    by_host: HashMap<String, BTreeSet<Arc<str>>>,
}

impl Cookies {
    pub(super) fn of(apis: &[ApiOptions]) -> Self {
        let mut cookies = Self::default();
        for api in apis {
            let names = || api.api.cookies_taken().iter().cloned();
            cookies.all.extend(names());
            for place in &api.places {
                match &place.host {
                    None => cookies.on_any_host.extend(names()),
                    Some(host) => cookies.by_host.entry(spelled(host)).or_default().extend(names()),
                }
            }
        }
        cookies
    }

    /// Those that browsers may send to an API and that are not its own, in the order of their bytes. Which host a place for
    /// all of them is asked under, nobody knows.
    pub(super) fn beside(&self, api: &ApiOptions) -> Vec<Arc<str>> {
        let mut found: BTreeSet<&Arc<str>> = BTreeSet::new();
        for place in &api.places {
            match &place.host {
                None => found.extend(&self.all),
                Some(host) => {
                    found.extend(&self.on_any_host);
                    found.extend(self.by_host.get(&spelled(host)).into_iter().flatten());
                }
            }
        }
        found.into_iter().filter(|name| !api.api.cookies_taken().contains(name)).cloned().collect()
    }
}

/// A host in its one spelling; one that is none is told where places are read.
fn spelled(host: &str) -> String {
    canonical_host(host).map_or_else(|_| host.to_owned(), |host| host.name().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use crate::gate::Place;
    use crate::testing;

    fn place(listener: &str, host: Option<&str>) -> Place {
        Place { listener: Some(listener.to_owned()), host: host.map(Into::into), prefix: "/".to_owned() }
    }

    #[test]
    fn cookies_of_other_apis_come_where_a_host_may_be_shared() {
        let api = |name: &str, cookie: &str| {
            let credential = format!(
                "[token.session]\nkind = \"session\"\nform = \"{{lower:26}}\"\nidle = \"1h\"\n\
                 [credential.session]\nscheme = \"token\"\ntoken = \"session\"\nfrom = \"cookie {cookie}\"\n\
                 [csrf]\nfrom = \"header X-Proof\"\nform = \"{{guid}}\"\nbound_to = \"session\"\nfor = [\"session\"]\n"
            );
            testing::api_with(name, &credential)
        };
        let gate = testing::gate_of(vec![
            (api("one", "ONE"), vec![place("a", Some("x.example"))]),
            (api("two", "TWO"), vec![place("b", Some("X.example."))]),
            (api("three", "THREE"), vec![place("a", Some("y.example"))]),
            (api("four", "FOUR"), vec![place("c", None)]),
        ])
        .unwrap();
        let told: Vec<Vec<&str>> =
            gate.apis().iter().map(|mount| mount.neighbours.iter().map(|name| &**name).collect()).collect();
        assert_eq!(
            told,
            [vec!["FOUR", "TWO"], vec!["FOUR", "ONE"], vec!["FOUR"], vec!["ONE", "THREE", "TWO"]]
        );
    }
}
