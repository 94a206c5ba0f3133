//! What the names of templates stand for while an answer is rendered.

use crate::account::Account;
use crate::api::Api;
use crate::csrf;
use crate::date::DateFormat;
use crate::dialect::template::{Value, Values};
use crate::identity::{Identity, Session};
use crate::port::keys::KeyInfo;
use crate::port::{Issued, Lookups, TokenInfo};
use crate::secret::Secret;
use crate::time::Time;
use crate::token::TokenRef;

/// A session as answers print it.
#[derive(Clone, Copy)]
pub(crate) struct SessionView<'v> {
    pub(crate) value: &'v str,
    pub(crate) reference: TokenRef,
    pub(crate) created_at: Time,
    pub(crate) expires_at: Option<Time>,
}

impl<'v> SessionView<'v> {
    pub(crate) fn of(session: &'v Session) -> Self {
        Self {
            value: session.value.expose(),
            reference: session.live.digest.reference(),
            created_at: session.live.issued_at,
            expires_at: session.live.expires_at,
        }
    }

    pub(crate) fn issued(issued: &'v Issued) -> Self {
        Self {
            value: issued.value.expose(),
            reference: issued.reference,
            created_at: issued.issued_at,
            expires_at: Some(issued.expires_at),
        }
    }
}

/// Values about a caller and about what a call did for him.
pub(crate) struct Caller<'v> {
    pub(crate) api: &'v Api,
    pub(crate) prefix: &'v str,
    pub(crate) media: &'v str,
    pub(crate) identity: Option<&'v Identity>,
    pub(crate) session: Option<SessionView<'v>>,
    /// For CSRF tokens.
    pub(crate) lookups: Option<&'v dyn Lookups>,
    pub(crate) inputs: &'v [(String, String)],
    pub(crate) return_to: &'v str,
    pub(crate) issued: &'v [Issued],
    pub(crate) key: Option<(&'v KeyInfo, Option<&'v Secret>)>,
    pub(crate) keys: &'v [KeyInfo],
    pub(crate) shown: Option<&'v TokenInfo>,
    pub(crate) sessions: &'v [TokenInfo],
}

impl<'v> Caller<'v> {
    /// Only what is known of the caller himself.
    pub(crate) fn bare(api: &'v Api, identity: Option<&'v Identity>) -> Self {
        Self {
            api,
            prefix: "",
            media: "",
            identity,
            session: identity.and_then(Identity::session).map(SessionView::of),
            lookups: None,
            inputs: &[],
            return_to: "",
            issued: &[],
            key: None,
            keys: &[],
            shown: None,
            sessions: &[],
        }
    }

    fn account(&self) -> Option<&Account> {
        self.identity.and_then(Identity::account).map(|account| &**account)
    }

    fn identity(&self, field: &str, index: Option<usize>) -> Value<'_> {
        let Some(account) = self.account() else { return Value::Absent };
        let text = |text: &'v str| Value::Text(text.into());
        let borrowed = |value: &str| Value::Text(value.to_owned().into());
        match field {
            "subject" => Value::Text(account.subject.as_str().into()),
            "name" if account.full_name.is_empty() => Value::Text(account.name.as_str().into()),
            "name" => Value::Text(account.full_name.as_str().into()),
            "email" => Value::Text(account.email.as_str().into()),
            "first_name" => Value::Text(account.first_name.as_str().into()),
            "last_name" => Value::Text(account.last_name.as_str().into()),
            "tenant" => account.tenant.as_deref().map_or(Value::Absent, |tenant| Value::Text(tenant.into())),
            "scheme" => {
                self.identity.and_then(Identity::scheme).map_or(Value::Absent, |scheme| text(scheme.name()))
            }
            "roles" => match index {
                None => Value::List(account.roles.len()),
                Some(index) => account.roles.get(index).map_or(Value::Absent, |role| borrowed(role)),
            },
            other => match other.strip_prefix("keys.").and_then(|key| account.keys.get(key)) {
                Some(value) => Value::Text(value.as_str().into()),
                None => Value::Absent,
            },
        }
    }

    fn session(&self, field: &str) -> Value<'_> {
        let Some(session) = self.session else { return Value::Absent };
        match field {
            "id" => Value::Text(session.value.into()),
            "ref" => Value::Text(session.reference.to_string().into()),
            "created_at" => Value::Time(session.created_at),
            "expires_at" => session.expires_at.map_or(Value::Absent, Value::Time),
            "subject" => self.identity("subject", None),
            _ => Value::Absent,
        }
    }

    fn csrf_token(&self) -> Value<'_> {
        let (Some(session), Some(lookups)) = (self.session, self.lookups) else { return Value::Absent };
        csrf::token(self.api, lookups.derivation_key(), session.value)
            .map_or(Value::Absent, |token| Value::Text(token.expose().to_owned().into()))
    }

    fn issued(&self, name: &str) -> Value<'_> {
        let Some((word, field)) = name.split_once('.') else { return Value::Absent };
        let Some(issued) = self.issued.iter().find(|issued| &*issued.word == word) else {
            return Value::Absent;
        };
        match field {
            "value" => Value::Text(issued.value.expose().into()),
            "second" => {
                issued.second.as_ref().map_or(Value::Absent, |second| Value::Text(second.expose().into()))
            }
            "ref" => Value::Text(issued.reference.to_string().into()),
            "expires_at" => Value::Time(issued.expires_at),
            "expires_in" => {
                let left = issued.expires_at.since(issued.issued_at).as_secs();
                Value::Int(i64::try_from(left).unwrap_or(i64::MAX))
            }
            _ => Value::Absent,
        }
    }
}

impl Values for Caller<'_> {
    fn value(&self, name: &str, index: Option<usize>) -> Value<'_> {
        match name {
            "api" => Value::Text((*self.api.name).into()),
            "prefix" => Value::Address(self.prefix.into()),
            "media" => Value::Text(self.media.into()),
            "realm" => Value::Text(self.api.realm.as_str().into()),
            "return_to" => Value::Address(self.return_to.into()),
            "csrf.header" => Value::Text(csrf::header_name(self.api).into()),
            "csrf.token" => self.csrf_token(),
            "keys" => Value::List(self.keys.len()),
            "sessions" => Value::List(self.sessions.len()),
            "issuers" => Value::List(self.api.logins.len()),
            _ => match name.split_once('.') {
                Some(("identity", field)) => self.identity(field, index),
                Some(("session", field)) => self.session(field),
                Some(("issued", name)) => self.issued(name),
                Some(("input", name)) => self
                    .inputs
                    .iter()
                    .find(|(own, _)| own == name)
                    .map_or(Value::Absent, |(_, value)| Value::Text(value.as_str().into())),
                Some(("key", field)) => {
                    self.key.map_or(Value::Absent, |(key, value)| key_field(key, value, field))
                }
                Some(("keys", field)) => index
                    .and_then(|at| self.keys.get(at))
                    .map_or(Value::Absent, |key| key_field(key, None, field)),
                Some(("issuers", field)) => self.api.login_value(field, index),
                Some(("shown", field)) => self.shown.map_or(Value::Absent, |info| token_field(info, field)),
                Some(("sessions", field)) => index
                    .and_then(|at| self.sessions.get(at))
                    .map_or(Value::Absent, |info| token_field(info, field)),
                Some(_) | None => Value::Absent,
            },
        }
    }

    fn date(&self) -> &DateFormat {
        &self.api.dialect.date
    }
}

fn key_field<'v>(key: &'v KeyInfo, value: Option<&'v Secret>, field: &str) -> Value<'v> {
    match field {
        "id" => Value::Text(key.id.to_string().into()),
        "owner" => Value::Text(key.owner.as_str().into()),
        "label" => Value::Text(key.label.as_str().into()),
        "description" => Value::Text(key.description.as_str().into()),
        "created_at" => Value::Time(key.created_at),
        "updated_at" => Value::Time(key.updated_at),
        "expires_at" => key.expires_at.map_or(Value::Absent, Value::Time),
        "endless" => Value::Flag(key.expires_at.is_none()),
        "value" => value.map_or(Value::Absent, |value| Value::Text(value.expose().into())),
        _ => Value::Absent,
    }
}

fn token_field<'v>(info: &'v TokenInfo, field: &str) -> Value<'v> {
    match field {
        "ref" => Value::Text(info.reference.to_string().into()),
        "subject" => Value::Text(info.subject.as_str().into()),
        "created_at" => Value::Time(info.issued_at),
        "expires_at" => info.expires_at.map_or(Value::Absent, Value::Time),
        _ => Value::Absent,
    }
}
