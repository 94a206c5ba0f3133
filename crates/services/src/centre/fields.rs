//! What a caller wants to see, from the query.

use std::borrow::Cow;

use countersign_auth::port::services::ServiceCall;
use serde_json::{Map, Value};

use super::answer::Failure;

/// All that can hang on a user.
const SUBRESOURCES: [&str; 10] = [
    "devices",
    "skills",
    "channels",
    "channelStates",
    "interactions",
    "chats",
    "calls",
    "settings",
    "groups",
    "features",
];
/// A list tells no more than so many at once; further ones are asked for by `offset`.
const LIMIT_MAX: usize = 1000;
/// Parameters of a query, and names in one of them. A resource has a dozen properties, and there are ten things that can
/// hang on it: who names more names one twice, and each is looked for in each resource of a list.
const NAMES_MAX: usize = 32;

/// A query, read once.
#[derive(Debug)]
pub(crate) struct Query {
    /// `None`: the addresses of resources alone.
    fields: Option<Names>,
    subresources: Names,
    /// Properties, and what each has to be.
    filters: Vec<(String, String)>,
    part: (usize, usize),
}

/// Names of members.
#[derive(Debug)]
enum Names {
    All,
    These(Vec<String>),
}

impl Names {
    /// Reads names with commas between them.
    ///
    /// # Errors
    /// If they are too many.
    fn read(parameter: &str, list: &str) -> Result<Self, Failure> {
        if list == "*" {
            return Ok(Self::All);
        }
        let names: Vec<String> =
            list.split(',').take(NAMES_MAX + 1).map(|name| name.trim().to_owned()).collect();
        if names.len() > NAMES_MAX { Err(too_many(parameter)) } else { Ok(Self::These(names)) }
    }

    fn hold(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|own| own == name),
        }
    }
}

fn too_many(parameter: &str) -> Failure {
    Failure::invalid(parameter, &format!("has more than {NAMES_MAX} names"))
}

impl Query {
    /// Reads the query of a call; of parameters that come twice the first counts.
    ///
    /// # Errors
    /// If it names too much.
    pub(crate) fn of(call: &ServiceCall) -> Result<Self, Failure> {
        Self::read(call.query.as_deref().unwrap_or_default())
    }

    fn read(query: &str) -> Result<Self, Failure> {
        let (mut fields, mut subresources, mut offset, mut limit) = (None, None, None, None);
        let mut filters = Vec::new();
        for (at, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
            if at == NAMES_MAX {
                return Err(too_many("The query"));
            }
            let own = match &*name {
                "fields" => &mut fields,
                "subresources" => &mut subresources,
                "offset" => &mut offset,
                "limit" => &mut limit,
                _ => {
                    filters.push((name.into_owned(), value.into_owned()));
                    continue;
                }
            };
            own.get_or_insert(value);
        }
        let number = |text: Option<Cow<'_, str>>| text.and_then(|text| text.parse::<usize>().ok());
        Ok(Self {
            fields: match fields.as_deref() {
                None => None,
                Some("") => Some(Names::All),
                Some(list) => Some(Names::read("fields", list)?),
            },
            subresources: Names::read("subresources", subresources.as_deref().unwrap_or_default())?,
            filters,
            part: (number(offset).unwrap_or(0), number(limit).unwrap_or(LIMIT_MAX).min(LIMIT_MAX)),
        })
    }

    /// Whether a list shows resources in place of their addresses.
    pub(crate) fn wants_fields(&self) -> bool {
        self.fields.is_some()
    }

    /// The names among [`SUBRESOURCES`] that are asked for; `*` for all.
    pub(crate) fn subresources(&self) -> Vec<&'static str> {
        SUBRESOURCES.into_iter().filter(|name| self.subresources.hold(name)).collect()
    }

    /// The members of a resource that are asked for: all without `fields` or with `*`.
    pub(crate) fn select(&self, mut members: Map<String, Value>) -> Map<String, Value> {
        if let Some(fields) = &self.fields {
            members.retain(|name, _| fields.hold(name));
        }
        members
    }

    /// Whether a resource has every property that the query names, as `has` says of a name and what it has to be: texts
    /// are equal, lists hold it. A name that is no property matches nothing.
    pub(crate) fn matches(&self, has: impl Fn(&str, &str) -> bool) -> bool {
        self.filters.iter().all(|(name, wanted)| has(name, wanted))
    }

    /// The part of a list that is asked for: how many are passed over, how many are told.
    pub(crate) fn part(&self) -> (usize, usize) {
        self.part
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_query_names_so_much_and_no_more() {
        let list = |most: usize| vec!["id"; most].join(",");
        for parameter in ["fields", "subresources"] {
            assert!(Query::read(&format!("{parameter}={}", list(NAMES_MAX))).is_ok());
            assert!(Query::read(&format!("{parameter}={}", list(NAMES_MAX + 1))).is_err());
        }
        assert!(Query::read(&"roles=a&".repeat(NAMES_MAX)).is_ok());
        assert!(Query::read(&"roles=a&".repeat(NAMES_MAX + 1)).is_err());
        assert!(Query::read(&"fields=*&".repeat(NAMES_MAX + 1)).is_err());
    }

    #[test]
    fn what_is_asked_for_is_read_once() {
        let query = Query::read("fields=id,%20roles&fields=*&roles=a&limit=5000&offset=x").unwrap();
        let members = Map::from_iter(["id", "roles", "enabled"].map(|name| (name.to_owned(), Value::Null)));
        let selected = query.select(members.clone());
        assert_eq!(selected.keys().collect::<Vec<_>>(), ["id", "roles"]);
        assert_eq!((query.part(), query.subresources().len()), ((0, LIMIT_MAX), 0));
        assert!(query.matches(|name, wanted| (name, wanted) == ("roles", "a")));
        assert!(!query.matches(|_, _| false));
        for all in ["", "fields", "fields=*"] {
            assert_eq!(Query::read(all).unwrap().select(members.clone()), members);
        }
        assert!(Query::read("").unwrap().matches(|_, _| false));
        assert_eq!(Query::read("subresources=calls,chats,x").unwrap().subresources(), ["chats", "calls"]);
    }
}
