//! A person as a directory describes him, and how its words become the gate's.

use std::collections::BTreeMap;

/// Whom a directory found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// What the directory knows him by, whatever he is called: never reused there. It ties him to his account.
    pub id: String,
    /// What he types to log in.
    pub name: String,
    /// What upstreams are told. The account keeps what it has if `None`, also where the directory would fill it: nobody
    /// becomes somebody else because a word is missing.
    pub subject: Option<String>,
    /// The fields that the directory fills, empty where it says nothing; the account keeps the others.
    pub full_name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// The company on whose behalf he acts, or that he acts for none, where the directory fills it.
    pub tenant: Option<Option<String>>,
    /// His roles, where the directory decides about them.
    pub roles: Option<Vec<String>>,
    /// Verified keys that the directory fills, `None` where it says nothing; the account keeps those that are not among
    /// them.
    pub keys: BTreeMap<String, Option<String>>,
}

/// Which field of a [`Person`] a value fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// [`Person::name`]
    Name,
    /// [`Person::subject`]
    Subject,
    /// [`Person::full_name`]
    FullName,
    /// [`Person::first_name`]
    FirstName,
    /// [`Person::last_name`]
    LastName,
    /// [`Person::email`]
    Email,
    /// [`Person::tenant`]
    Tenant,
    /// One of [`Person::keys`], by its name.
    Key(String),
}

impl Field {
    /// The field of that name in configurations; what is none of the fields is a key.
    pub fn named(name: &str) -> Self {
        match name {
            "name" => Self::Name,
            "subject" => Self::Subject,
            "full_name" => Self::FullName,
            "first_name" => Self::FirstName,
            "last_name" => Self::LastName,
            "email" => Self::Email,
            "tenant" => Self::Tenant,
            key => Self::Key(key.to_owned()),
        }
    }
}

/// How a directory's words become the gate's.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// Which field is filled from which attribute or member.
    pub fields: Vec<(Field, String)>,
    /// The gate's roles by the directory's groups, in lower case; `None` if the directory does not decide about
    /// roles. A group that is not named gives none.
    pub roles: Option<BTreeMap<String, Vec<String>>>,
}

impl Mapping {
    /// Describes a person. `value` tells the one value of an attribute, `groups` his groups under all their names.
    ///
    /// # Errors
    /// If an attribute that must be one has several values: which of them counts nobody can say.
    pub(crate) fn person(
        &self,
        id: String,
        typed: &str,
        value: impl Fn(&str) -> Result<Option<String>, Several>,
        groups: &[String],
    ) -> Result<Person, Several> {
        let mut person = Person { id, name: typed.to_owned(), ..Person::default() };
        for (field, source) in &self.fields {
            let value = value(source)?.filter(|value| !value.is_empty());
            match field {
                Field::Name => person.name = value.unwrap_or(person.name),
                Field::Subject => person.subject = value,
                Field::FullName => person.full_name = Some(value.unwrap_or_default()),
                Field::FirstName => person.first_name = Some(value.unwrap_or_default()),
                Field::LastName => person.last_name = Some(value.unwrap_or_default()),
                Field::Email => person.email = Some(value.unwrap_or_default()),
                Field::Tenant => person.tenant = Some(value),
                Field::Key(key) => {
                    person.keys.insert(key.clone(), value);
                }
            }
        }
        person.roles = self.roles.as_ref().map(|roles| roles_of(roles, groups));
        Ok(person)
    }
}

/// An attribute that must have one value has several.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory has several values where one is needed")]
pub(crate) struct Several;

fn roles_of(roles: &BTreeMap<String, Vec<String>>, groups: &[String]) -> Vec<String> {
    let mut found: Vec<String> =
        groups.iter().filter_map(|group| roles.get(&group.to_lowercase())).flatten().cloned().collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn mapping() -> Mapping {
        let fields =
            [("name", "uid"), ("email", "mail"), ("customer", "number"), ("till", "x"), ("tenant", "x")];
        Mapping {
            fields: fields.map(|(field, source)| (Field::named(field), source.to_owned())).to_vec(),
            roles: Some(BTreeMap::from([
                ("agents".to_owned(), vec!["agent".to_owned(), "user".to_owned()]),
                ("cn=heads,o=x".to_owned(), vec!["head".to_owned(), "user".to_owned()]),
            ])),
        }
    }

    #[test]
    fn attributes_fill_fields_and_groups_give_the_named_roles_alone() {
        let value = |source: &str| {
            Ok(match source {
                "uid" => Some("Ann".to_owned()),
                "mail" => Some(String::new()),
                "number" => Some("4711".to_owned()),
                _ => None,
            })
        };
        let groups = ["Agents", "CN=Heads,O=X", "administrator"].map(str::to_owned);
        let person = mapping().person("7".to_owned(), "ann", value, &groups).unwrap();
        assert_eq!((person.id.as_str(), person.name.as_str()), ("7", "Ann"));
        let keys = [("customer".to_owned(), Some("4711".to_owned())), ("till".to_owned(), None)];
        assert_eq!(person.keys, BTreeMap::from(keys));
        // What it fills and says nothing of is nothing, and what it does not fill is not its to say.
        assert_eq!((person.email.as_deref(), person.tenant), (Some(""), Some(None)));
        assert_eq!((person.full_name, person.subject), (None, None));
        assert_eq!(person.roles.unwrap(), ["agent", "head", "user"]);
        let person = mapping().person("7".to_owned(), "ann", value, &[]).unwrap();
        assert_eq!(person.roles.unwrap(), [""; 0]);
    }

    #[test]
    fn nobody_chooses_among_several_values() {
        let value = |source: &str| if source == "mail" { Err(Several) } else { Ok(None) };
        assert_eq!(mapping().person("7".to_owned(), "ann", value, &[]), Err(Several));
    }
}
