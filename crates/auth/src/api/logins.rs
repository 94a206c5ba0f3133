//! Log-ins with foreign issuers, as an API offers them: names, links, addresses.

use crate::api::{Api, ApiOptions};
use crate::dialect::operation::Operation;
use crate::dialect::place::Place;
use crate::dialect::source::did_you_mean;
use crate::dialect::template::Value;
use crate::dialect::{Dialect, Scheme};

/// An issuer that browsers may log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginOption {
    /// In paths.
    pub name: String,
    /// For people.
    pub title: String,
}

/// Where the log-in with an issuer begins and ends, below the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPaths {
    /// Where browsers are sent away.
    pub to: String,
    /// Where they come back: the end of the address that is registered with the issuer.
    pub back: String,
}

impl LoginPaths {
    /// The paths of a dialect for an issuer of that name; `None` if it has no such calls.
    fn of(dialect: &Dialect, name: &str) -> Option<Self> {
        let path = |variable: &str, pattern: &str| {
            let path = pattern.split_once(' ').map_or(pattern, |(_, path)| path);
            path.replace(&format!("{{{variable}}}"), name)
        };
        let variable = |places: &[Place]| match places {
            [Place::Path(variable)] => Some(variable.clone()),
            _ => None,
        };
        let to = dialect.sites.iter().find_map(|(pattern, site)| {
            let endpoint = site.endpoint.as_ref().filter(|e| e.operation == Operation::IssuerLogin)?;
            let (_, places) = endpoint.inputs.iter().find(|(input, _)| input == "issuer")?;
            Some(path(&variable(places)?, &pattern.to_string()))
        })?;
        let back = dialect.sites.iter().find_map(|(pattern, site)| {
            let rule = site.accepts.iter().find(|rule| rule.scheme == Scheme::Code)?;
            site.endpoint.as_ref()?;
            Some(path(&variable(&rule.primary()?.places)?, &pattern.to_string()))
        })?;
        Some(Self { to, back })
    }
}

/// The way to the log-in that comes in the place of the sign-in page; what cannot be is told.
pub(super) fn settled(dialect: &Dialect, options: &ApiOptions, mistakes: &mut Vec<String>) -> Option<String> {
    if let Some(first) = options.logins.first()
        && LoginPaths::of(dialect, &first.name).is_none()
    {
        mistakes.push(
            "the dialect has no calls for a log-in with an issuer: one of operation \"issuer-login\", and one that \
             accepts a credential of scheme \"code\""
                .to_owned(),
        );
        return None;
    }
    let name = options.sign_in_with.as_ref()?;
    if !options.logins.iter().any(|login| login.name == *name) {
        let hint = did_you_mean(name, options.logins.iter().map(|login| login.name.as_str()));
        mistakes.push(format!("nobody logs in with `{name}` here{hint}"));
        return None;
    }
    if !dialect.surfaces.items().any(|surface| surface.sign_in.is_some()) {
        mistakes
            .push("the dialect has no sign-in page in whose place browsers could be sent away".to_owned());
    }
    LoginPaths::of(dialect, name).map(|paths| paths.to)
}

impl Api {
    /// Where the log-in with an issuer of that name begins and ends.
    pub fn login_paths(&self, name: &str) -> Option<LoginPaths> {
        LoginPaths::of(&self.dialect, name)
    }

    /// What templates print of an issuer that browsers may log in with.
    pub(crate) fn login_value(&self, field: &str, index: Option<usize>) -> Value<'_> {
        let Some(login) = index.and_then(|at| self.logins.get(at)) else { return Value::Absent };
        match field {
            "name" => Value::Text(login.name.as_str().into()),
            "title" => Value::Text(login.title.as_str().into()),
            _ => Value::Absent,
        }
    }
}
