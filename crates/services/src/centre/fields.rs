//! What a caller wants to see, from the query.

use countersign_auth::port::services::ServiceCall;
use serde_json::{Map, Value};

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
/// Parameters that are no properties.
const OWN: [&str; 4] = ["fields", "subresources", "offset", "limit"];

/// A parsed query.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn of(call: &ServiceCall) -> Self {
        let query = call.query.as_deref().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self { pairs: pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect() }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether a list shows resources in place of their addresses.
    pub(crate) fn wants_fields(&self) -> bool {
        self.value("fields").is_some()
    }

    /// The names among [`SUBRESOURCES`] that are asked for; `*` for all.
    pub(crate) fn subresources(&self) -> Vec<&'static str> {
        let wanted = self.value("subresources").unwrap_or_default();
        let is_wanted = |name: &&str| wanted == "*" || wanted.split(',').any(|word| word.trim() == *name);
        SUBRESOURCES.into_iter().filter(is_wanted).collect()
    }

    /// The members of a resource that are asked for: all without `fields` or with `*`.
    pub(crate) fn select(&self, members: Map<String, Value>) -> Map<String, Value> {
        match self.value("fields") {
            None | Some("*" | "") => members,
            Some(list) => {
                let wanted = |name: &str| list.split(',').any(|word| word.trim() == name);
                members.into_iter().filter(|(name, _)| wanted(name)).collect()
            }
        }
    }

    /// Whether a resource has every property that the query names: texts are equal, lists hold it. A name that is
    /// no property matches nothing.
    pub(crate) fn matches(&self, members: &Map<String, Value>) -> bool {
        self.pairs.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).all(|(name, wanted)| {
            let is_it = |value: &Value| match value {
                Value::String(text) => text == wanted,
                Value::Bool(flag) => wanted.parse() == Ok(*flag),
                Value::Number(_) | Value::Array(_) | Value::Object(_) | Value::Null => false,
            };
            members.get(name).is_some_and(|value| match value.as_array() {
                Some(items) => items.iter().any(is_it),
                None => is_it(value),
            })
        })
    }

    /// The part of a list that is asked for: how many are passed over, how many are told.
    pub(crate) fn part(&self) -> (usize, usize) {
        let number = |name| self.value(name).and_then(|text| text.parse::<usize>().ok());
        (number("offset").unwrap_or(0), number("limit").unwrap_or(LIMIT_MAX).min(LIMIT_MAX))
    }
}
