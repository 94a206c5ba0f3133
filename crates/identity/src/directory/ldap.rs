//! LDAP and Active Directory (RFC 4511): a bind says whether a password is right.
//!
//! ```text
//! search-then-bind   who searches: (uid={user}) ─▶ one entry ─▶ bind as that entry ─▶ its groups
//! direct             bind as uid={user},… or {user}@… ─▶ read the own entry ─▶ its groups
//! ```
//!
//! The name that is bound comes from the directory or from an escaped pattern, never from the user (P-LDAP6). A user
//! that is not found costs the same exchanges as one whose password is wrong: somebody who does not exist is bound.
//! Nothing but a result code that says so is a wrong password.

pub mod link;
pub mod pattern;
mod pool;
mod reason;

use std::sync::Arc;
use std::time::Duration;

use countersign_auth::secret::Secret;
use futures_util::future::BoxFuture;
use ldap3::{LdapResult, Scope};
use rustls::ClientConfig;
use tokio::time::timeout;

use self::link::{Broken, Entry, Found, Query, Server, told};
use self::pattern::Pattern;
use self::pool::{Loan, Pool, Speaker};
use self::reason::{Bound, bound};
use super::person::{Mapping, Several};
use super::{Directory, Trouble, Verdict};

/// Longer names are nobody's.
const USER_BYTES_MAX: usize = 256;
/// More groups than anybody has; a directory that finds more is not understood.
const GROUPS_MAX: usize = 500;
/// Groups within groups within groups.
const GROUP_DEPTH_MAX: usize = 8;

/// How a directory is asked.
pub struct LdapOptions {
    /// In the order in which they are tried.
    pub servers: Vec<Server>,
    /// Whose certificates are believed.
    pub tls: Arc<ClientConfig>,
    /// Below which entry people are.
    pub base: String,
    /// How a user becomes an entry.
    pub way: Way,
    /// The attribute that never changes and never comes back: `entryUUID`, or `objectGUID`.
    pub id: String,
    /// How attributes become fields, and groups roles.
    pub mapping: Mapping,
    /// Where groups come from, if the directory decides about roles.
    pub groups: Option<Groups>,
    /// How long one answer may take, and how long twice of that all of them.
    pub patience: Duration,
    /// Connections that are kept open for the next log-in.
    pub idle_most: usize,
}

/// How a user becomes an entry.
pub enum Way {
    /// An account of the directory searches, then the entry that it found is bound.
    Search {
        /// With a hole `{user}`.
        filter: Pattern,
        /// Who searches; its password is not empty.
        name: String,
        /// Its password.
        password: Secret,
    },
    /// What the pattern makes of the user is bound.
    Direct(Pattern),
}

/// Where a person's groups come from.
pub enum Groups {
    /// They stand in an attribute of his entry: `memberOf`.
    Attribute(String),
    /// They are searched for.
    Search {
        /// Below which entry.
        base: String,
        /// With holes `{dn}` and, if wanted, `{user}`.
        filter: Pattern,
        /// The attribute that names a group.
        name: String,
        /// Whether groups of groups count.
        nesting: Nesting,
    },
}

/// Whether groups of groups count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// No.
    Flat,
    /// Yes; each found group is searched for in turn.
    Nested,
}

/// See the module's words.
pub struct LdapDirectory {
    base: String,
    way: Way,
    id: String,
    mapping: Mapping,
    groups: Option<Groups>,
    attributes: Vec<String>,
    patience: Duration,
    searches: Pool,
    binds: Pool,
}

impl LdapDirectory {
    /// A directory; nothing is connected before it is asked.
    pub fn new(options: LdapOptions) -> Self {
        let LdapOptions { servers, tls, base, way, id, mapping, groups, patience, idle_most } = options;
        let servers: Arc<[Server]> = servers.into();
        let mut attributes: Vec<String> = mapping.fields.iter().map(|(_, source)| source.clone()).collect();
        attributes.push(id.clone());
        if let Some(Groups::Attribute(name)) = &groups {
            attributes.push(name.clone());
        }
        let speaker = match &way {
            Way::Search { name, password, .. } => {
                Speaker::Account { name: name.clone(), password: Secret::new(password.expose()) }
            }
            Way::Direct(_) => Speaker::Nobody,
        };
        let pool = |speaker| Pool::new(&servers, &tls, patience, speaker, idle_most);
        let (searches, binds) = (pool(speaker), pool(Speaker::Nobody));
        Self { base, way, id, mapping, groups, attributes, patience, searches, binds }
    }

    async fn verdict(&self, user: &str, password: &Secret) -> Result<Verdict, Trouble> {
        if password.expose().is_empty() {
            return Ok(Verdict::Wrong("the password is empty"));
        }
        if user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
            return Ok(Verdict::Wrong("the user is no name that anybody has"));
        }
        match &self.way {
            Way::Search { filter, .. } => self.search_then_bind(filter, user, password).await,
            Way::Direct(pattern) => self.bind_directly(pattern, user, password).await,
        }
    }

    async fn search_then_bind(
        &self,
        filter: &Pattern,
        user: &str,
        password: &Secret,
    ) -> Result<Verdict, Trouble> {
        let filter = filter.fill(&[("user", user)]);
        let found = self.searched(&self.base, Scope::Subtree, &filter, &self.attributes, 2).await?;
        let mut entries = found.unwrap_or_default();
        let one = if entries.len() == 1 { entries.pop() } else { None };
        let Some(entry) = one else {
            let nobody = format!("cn=countersign-nobody,{}", self.base);
            let _wrong = self.bound(&nobody, password).await?;
            return Ok(Verdict::Wrong("the user is not exactly one entry of the directory"));
        };
        match self.bound(&entry.dn, password).await? {
            Ok(()) => self.described(&entry, user, None).await,
            Err(why) => Ok(Verdict::Wrong(why)),
        }
    }

    async fn bind_directly(
        &self,
        pattern: &Pattern,
        user: &str,
        password: &Secret,
    ) -> Result<Verdict, Trouble> {
        let name = pattern.fill(&[("user", user)]);
        let mut loan = self.binds.take().await.map_err(Trouble::Down)?;
        let result = match loan.link.bind(&name, password).await {
            Ok(result) => result,
            Err(_) if loan.is_used => {
                loan = self.binds.renewed().await.map_err(Trouble::Down)?;
                loan.link.bind(&name, password).await.map_err(down)?
            }
            Err(error) => return Err(down(error)),
        };
        if let Err(why) = right(&result)? {
            self.binds.give_back(loan);
            return Ok(Verdict::Wrong(why));
        }
        // As himself: a distinguished name reads that very entry, a principal name the one that holds it. To search
        // for anything else would let one user become another.
        let principal = format!("(userPrincipalName={})", ldap3::ldap_escape(name.as_str()));
        let (base, scope, filter) = if pattern.is_distinguished_name() {
            (name.as_str(), Scope::Base, "(objectClass=*)")
        } else {
            (self.base.as_str(), Scope::Subtree, principal.as_str())
        };
        let query = Query { base, scope, filter, attributes: &self.attributes, limit: 2 };
        let found = loan.link.search(&query).await.map_err(down)?;
        let mut entries = entries(found)?.unwrap_or_default();
        let one = if entries.len() == 1 { entries.pop() } else { None };
        let Some(entry) = one else {
            return Ok(Verdict::Wrong("who was bound is not exactly one entry that he may read"));
        };
        let verdict = self.described(&entry, user, Some(&mut loan)).await;
        if verdict.is_ok() {
            self.binds.give_back(loan);
        }
        verdict
    }

    /// Binds an entry: whether the password is right, or why not.
    async fn bound(&self, name: &str, password: &Secret) -> Result<Result<(), &'static str>, Trouble> {
        let mut loan = self.binds.take().await.map_err(Trouble::Down)?;
        let result = match loan.link.bind(name, password).await {
            Ok(result) => result,
            Err(_) if loan.is_used => {
                loan = self.binds.renewed().await.map_err(Trouble::Down)?;
                loan.link.bind(name, password).await.map_err(down)?
            }
            Err(error) => return Err(down(error)),
        };
        let right = right(&result)?;
        self.binds.give_back(loan);
        Ok(right)
    }

    /// Searches as the account that searches; `None` if there are more entries than `limit`.
    async fn searched(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[String],
        limit: usize,
    ) -> Result<Option<Vec<Entry>>, Trouble> {
        let query = Query { base, scope, filter, attributes, limit };
        let mut loan = self.searches.take().await.map_err(Trouble::Down)?;
        let found = match loan.link.search(&query).await {
            Ok(found) => found,
            Err(_) if loan.is_used => {
                loan = self.searches.renewed().await.map_err(Trouble::Down)?;
                loan.link.search(&query).await.map_err(down)?
            }
            Err(error) => return Err(down(error)),
        };
        let entries = entries(found)?;
        self.searches.give_back(loan);
        Ok(entries)
    }

    /// Describes the person of an entry; his groups are searched for as himself if a connection is given.
    async fn described(
        &self,
        entry: &Entry,
        typed: &str,
        own: Option<&mut Loan>,
    ) -> Result<Verdict, Trouble> {
        let Some(id) = self.id_of(entry) else {
            return Err(Trouble::Down(format!("the entry has not exactly one {}", self.id)));
        };
        let groups = match &self.groups {
            None => Vec::new(),
            Some(Groups::Attribute(name)) => texts(entry, name),
            Some(Groups::Search { base, filter, name, nesting }) => {
                self.groups_of(entry, typed, (base, filter, name, *nesting), own).await?
            }
        };
        let value = |source: &str| match texts(entry, source).as_slice() {
            [] => Ok(None),
            [value] => Ok(Some(value.clone())),
            [_, _, ..] => Err(Several),
        };
        match self.mapping.person(id, typed, value, &groups) {
            Ok(person) => Ok(Verdict::Right(Box::new(person))),
            Err(error) => Err(Trouble::Down(error.to_string())),
        }
    }

    /// The names of a person's groups: their distinguished names, and their short ones.
    async fn groups_of(
        &self,
        entry: &Entry,
        typed: &str,
        (base, filter, name, nesting): (&str, &Pattern, &str, Nesting),
        mut own: Option<&mut Loan>,
    ) -> Result<Vec<String>, Trouble> {
        let attributes = [name.to_owned()];
        let mut names = Vec::new();
        let mut seen: hashbrown::HashSet<String> = std::iter::once(entry.dn.to_lowercase()).collect();
        let mut level = vec![entry.dn.clone()];
        for _ in 0..GROUP_DEPTH_MAX {
            let mut next = Vec::new();
            for dn in std::mem::take(&mut level) {
                let filter = filter.fill(&[("dn", &dn), ("user", typed)]);
                let found = match own.as_deref_mut() {
                    Some(loan) => {
                        let query = Query {
                            base,
                            scope: Scope::Subtree,
                            filter: &filter,
                            attributes: &attributes,
                            limit: GROUPS_MAX,
                        };
                        entries(loan.link.search(&query).await.map_err(down)?)?
                    }
                    None => self.searched(base, Scope::Subtree, &filter, &attributes, GROUPS_MAX).await?,
                };
                for group in found.ok_or_else(too_many)? {
                    if !seen.insert(group.dn.to_lowercase()) {
                        continue;
                    }
                    if seen.len() > GROUPS_MAX {
                        return Err(too_many());
                    }
                    names.extend(texts(&group, name));
                    names.push(group.dn.clone());
                    next.push(group.dn);
                }
            }
            if nesting == Nesting::Flat || next.is_empty() {
                return Ok(names);
            }
            level = next;
        }
        Ok(names)
    }

    /// The identifier, in hexadecimal: some are text, some are bytes.
    fn id_of(&self, entry: &Entry) -> Option<String> {
        match entry.attributes.get(&self.id.to_ascii_lowercase()).map(Vec::as_slice) {
            Some([id]) if !id.is_empty() => Some(id.iter().map(|byte| format!("{byte:02x}")).collect()),
            Some(_) | None => None,
        }
    }
}

impl Directory for LdapDirectory {
    fn check<'d>(&'d self, user: &'d str, password: &'d Secret) -> BoxFuture<'d, Result<Verdict, Trouble>> {
        Box::pin(async move {
            let verdict = timeout(self.patience.saturating_mul(2), self.verdict(user, password)).await;
            verdict.unwrap_or_else(|_| Err(Trouble::Down("it did not answer in time".to_owned())))
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let loan = self.searches.renewed().await?;
            self.searches.give_back(loan);
            Ok(())
        })
    }
}

fn down(error: Broken) -> Trouble {
    Trouble::Down(error.to_string())
}

fn too_many() -> Trouble {
    Trouble::Down(format!("it finds more than {GROUPS_MAX} groups of one person"))
}

/// What an answer to a bind says of the password.
fn right(result: &LdapResult) -> Result<Result<(), &'static str>, Trouble> {
    match bound(result.rc, &result.text) {
        Bound::Right => Ok(Ok(())),
        Bound::Wrong(why) => Ok(Err(why)),
        Bound::Unclear => Err(Trouble::Down(format!("a bind was answered with {}", told(result)))),
    }
}

fn entries(found: Found) -> Result<Option<Vec<Entry>>, Trouble> {
    match found {
        Found::Entries(entries) => Ok(Some(entries)),
        Found::TooMany => Ok(None),
        Found::Refused(why) => Err(Trouble::Down(format!("a search was answered with {why}"))),
    }
}

/// The values of an attribute that are text.
fn texts(entry: &Entry, name: &str) -> Vec<String> {
    let values = entry.attributes.get(&name.to_ascii_lowercase()).map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(|value| String::from_utf8(value.clone()).ok()).collect()
}
