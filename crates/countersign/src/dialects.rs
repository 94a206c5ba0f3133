//! The dialect files that ship inside the binary, and the ones that a configuration names by path.

use std::path::{Component, Path, PathBuf};

use countersign_auth::dialect::service::Service;

/// A dialect that ships with the binary.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// The name of its folder.
    pub(crate) name: &'static str,
    /// Its `dialect.toml`.
    pub(crate) text: &'static str,
}

/// Every embedded dialect, by name.
pub(crate) static EMBEDDED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/dialects.rs"));

/// The text of a dialect and what to call it in messages.
#[derive(Debug)]
pub(crate) struct Text {
    /// The file's path, or for an embedded dialect the path it has in the repository.
    pub(crate) file: String,
    /// The whole file.
    pub(crate) text: String,
}

/// Why a dialect cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    /// None of that name is embedded.
    #[error("no dialect is called `{0}`")]
    Name(String),
    /// The file cannot be read.
    #[error("could not read the dialect {path}: {1}", path = .0.display())]
    File(PathBuf, std::io::Error),
}

/// Whether `name` means a file (`./my.toml`) and not an embedded dialect.
pub(crate) fn is_file(name: &str) -> bool {
    name.contains('/') || name.contains('\\') || Path::new(name).extension().is_some_and(|ext| ext == "toml")
}

/// Fetches a dialect: an embedded one by name, or a file, relative to `folder`.
///
/// # Errors
/// If there is no such dialect, or its file cannot be read.
pub(crate) fn fetch(name: &str, folder: &Path) -> Result<Text, Missing> {
    if is_file(name) {
        let path = clean(&folder.join(name));
        return match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Text { file: path.display().to_string(), text }),
            Err(error) => Err(Missing::File(path, error)),
        };
    }
    EMBEDDED
        .iter()
        .find(|dialect| dialect.name == name)
        .map(|dialect| Text {
            file: format!("dialects/{}/dialect.toml", dialect.name),
            text: dialect.text.to_owned(),
        })
        .ok_or_else(|| Missing::Name(name.to_owned()))
}

/// A path without the parts that say nothing (`./`).
pub(crate) fn clean(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

/// What a dialect says about itself, read without its rules.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// One line for people.
    pub(crate) title: String,
    /// The first is the default; empty if there is but one without a name.
    pub(crate) deployments: Vec<String>,
    /// Every credential: name, scheme, and where it is on (`None`: everywhere).
    pub(crate) credentials: Vec<CredentialOutline>,
    /// Every token.
    pub(crate) tokens: Vec<TokenOutline>,
    /// The endpoints that issue tokens.
    pub(crate) issuing: Vec<EndpointOutline>,
    /// The endpoints that mount a named service, each with the service.
    pub(crate) services: Vec<(String, String)>,
}

/// One `[token.WORD]` of a dialect.
#[derive(Debug)]
pub(crate) struct TokenOutline {
    /// Its word.
    pub(crate) word: String,
    /// Its kind.
    pub(crate) kind: String,
}

/// One `[endpoint.NAME]` with `operation = "issue"`.
#[derive(Debug)]
pub(crate) struct EndpointOutline {
    /// `POST /login`.
    pub(crate) at: String,
    /// Names of credentials.
    pub(crate) accepts: Vec<String>,
    /// `json`, `form`, ...
    pub(crate) reads: Vec<String>,
}

/// One `[credential.NAME]` of a dialect.
#[derive(Debug)]
pub(crate) struct CredentialOutline {
    /// Its name.
    pub(crate) name: String,
    /// Its scheme.
    pub(crate) scheme: String,
    /// The deployments in which it is on; `None` for all of them.
    pub(crate) deployments: Option<Vec<String>>,
    /// Where it stands: one text, or one for each part.
    from: Option<toml::Value>,
    /// Whose accounts it proves.
    accounts: String,
    /// Whether several cookies of its name are tried, one after the other.
    pub(crate) first_live: bool,
}

impl CredentialOutline {
    /// Whether it is on where an API uses `deployment` and names it in `enable` or `disable`.
    pub(crate) fn is_on(&self, deployment: Option<&str>, enable: &[String], disable: &[String]) -> bool {
        let by_deployment = match (&self.deployments, deployment) {
            (None, _) => true,
            (Some(names), Some(deployment)) => names.iter().any(|name| name == deployment),
            (Some(_), None) => false,
        };
        (by_deployment || enable.contains(&self.name)) && !disable.contains(&self.name)
    }

    /// The names of the cookies that it may stand in.
    pub(crate) fn cookies(&self) -> Vec<&str> {
        let mut left: Vec<&toml::Value> = self.from.iter().collect();
        let mut cookies = Vec::new();
        while let Some(value) = left.pop() {
            match value {
                toml::Value::String(place) => cookies.extend(place.strip_prefix("cookie ").map(str::trim)),
                toml::Value::Array(places) => left.extend(places),
                toml::Value::Table(parts) => left.extend(parts.values()),
                toml::Value::Integer(_)
                | toml::Value::Float(_)
                | toml::Value::Boolean(_)
                | toml::Value::Datetime(_) => {}
            }
        }
        cookies
    }

    /// Whether it proves users' accounts by a password.
    pub(crate) fn is_users_password(&self) -> bool {
        self.scheme == "password" && matches!(self.accounts.as_str(), "" | "users")
    }

    /// Whether it is user and password in `Authorization: Basic`.
    pub(crate) fn is_basic(&self) -> bool {
        self.is_users_password()
            && self.from.as_ref().and_then(toml::Value::as_str) == Some("authorization Basic")
    }

    /// The members of a body that user and password stand in.
    pub(crate) fn body_members(&self) -> Option<(&str, &str)> {
        let member = |part| {
            let place = self.from.as_ref()?.get(part)?;
            place.as_str().or_else(|| place.as_array()?.first()?.as_str())?.strip_prefix("body ")
        };
        self.is_users_password().then_some(())?;
        Some((member("user")?, member("password")?))
    }
}

/// Reads the outline of a dialect; what cannot be read is left out, since the loader says it better.
pub(crate) fn outline(text: &str) -> Outline {
    let Ok(table) = text.parse::<toml::Table>() else { return Outline::default() };
    let strings = |value: &toml::Value| -> Option<Vec<String>> {
        value
            .as_array()
            .map(|items| items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    };
    let text_of = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).unwrap_or("").to_owned();
    let tables = |key: &str| table.get(key).and_then(toml::Value::as_table).into_iter().flatten();
    Outline {
        title: text_of(table.get("title")),
        deployments: table.get("deployments").and_then(strings).unwrap_or_default(),
        credentials: tables("credential")
            .map(|(name, body)| CredentialOutline {
                name: name.clone(),
                scheme: text_of(body.get("scheme")),
                deployments: body.get("deployments").and_then(strings),
                from: body.get("from").cloned(),
                accounts: text_of(body.get("accounts")),
                first_live: body.get("repeated").and_then(toml::Value::as_str) == Some("first-live"),
            })
            .collect(),
        tokens: tables("token")
            .map(|(word, body)| TokenOutline { word: word.clone(), kind: text_of(body.get("kind")) })
            .collect(),
        issuing: tables("endpoint")
            .filter(|(_, body)| body.get("operation").and_then(toml::Value::as_str) == Some("issue"))
            .map(|(_, body)| EndpointOutline {
                at: text_of(body.get("at")),
                accepts: body.get("accepts").and_then(strings).unwrap_or_default(),
                reads: body.get("reads").and_then(strings).unwrap_or_default(),
            })
            .collect(),
        services: tables("endpoint")
            .map(|(name, body)| (name.clone(), text_of(body.get("operation"))))
            .filter(|(_, operation)| Service::ALL.iter().any(|service| service.name() == operation))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn five_dialects_are_embedded_under_their_own_names() {
        assert!(EMBEDDED.len() >= 5);
        for dialect in EMBEDDED {
            let table: toml::Table = dialect.text.parse().unwrap();
            assert_eq!(table["name"].as_str(), Some(dialect.name));
            assert!(!outline(dialect.text).title.is_empty());
        }
    }

    #[test]
    fn a_credential_is_on_where_its_deployment_or_the_api_says_so() {
        let outline = outline(
            "deployments = ['a', 'b']\n[credential.all]\n[credential.only-b]\ndeployments = ['b']\n[credential.off]\ndeployments = []",
        );
        let on = |deployment, enable: &[&str], disable: &[&str]| -> Vec<String> {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            outline
                .credentials
                .iter()
                .filter(|credential| credential.is_on(Some(deployment), &owned(enable), &owned(disable)))
                .map(|credential| credential.name.clone())
                .collect()
        };
        assert_eq!(on("a", &[], &[]), ["all"]);
        assert_eq!(on("b", &[], &[]), ["all", "only-b"]);
        assert_eq!(on("a", &["off"], &["all"]), ["off"]);
    }
}
