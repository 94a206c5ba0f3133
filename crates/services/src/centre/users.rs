//! Users: accounts of the gate, as this service shows and changes them.

use std::sync::Arc;

use countersign_auth::account::Account;
use countersign_auth::port::Operations;
use countersign_auth::port::services::{ServiceAnswer, ServiceCall};
use countersign_auth::refusal::{Reason, Refusal};
use countersign_auth::secret::Secret;
use countersign_auth::token::TokenRef;
use countersign_identity::accounts::{AccountDraft, AccountError, AccountView, PasswordState, Standing};
use countersign_identity::service::changing::Besides;
use countersign_identity::service::equivalents::NewPassword;
use serde_json::{Map, Value, json};

use super::agents::object;
use super::answer::{Code, Failure, account_failure, done, done_with};
use super::fields::Query;
use super::{Caller, Centre, KIND, is_user};

/// What never changes, whoever asks.
const READ_ONLY: [&str; 4] = ["id", "uri", "path", "contactCenterId"];

/// A text of a body; `None` if it is not there.
fn text<'b>(body: &'b Map<String, Value>, name: &str) -> Result<Option<&'b str>, Failure> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Failure::invalid(name, "is no string")),
    }
}

fn needed<'b>(body: &'b Map<String, Value>, name: &str) -> Result<&'b str, Failure> {
    text(body, name)?.filter(|text| !text.is_empty()).ok_or_else(|| Failure::missing(name))
}

fn flag(body: &Map<String, Value>, name: &str) -> Result<Option<bool>, Failure> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Failure::invalid(name, "is neither true nor false")),
    }
}

impl Centre {
    /// A user as far as the query asks.
    pub(super) fn user(&self, me: &Caller<'_>, view: &AccountView, query: &Query) -> Value {
        query.select(self.user_members(me.base, view)).into()
    }

    pub(super) fn user_members(&self, base: &str, view: &AccountView) -> Map<String, Value> {
        let account = &view.account;
        let id = self.names.user(account.id);
        let path = format!("/users/{id}");
        let mut members = Map::from_iter([
            ("uri".to_owned(), format!("{base}{path}").into()),
            ("path".to_owned(), path.into()),
            ("id".to_owned(), id.into()),
            ("userName".to_owned(), account.name.as_str().into()),
            ("firstName".to_owned(), account.first_name.as_str().into()),
            ("lastName".to_owned(), account.last_name.as_str().into()),
            ("emailAddress".to_owned(), account.email.as_str().into()),
            ("roles".to_owned(), json!(account.roles)),
            ("enabled".to_owned(), (view.standing == Standing::Enabled).into()),
            ("changePasswordOnFirstLogin".to_owned(), (view.password == PasswordState::Due).into()),
        ]);
        if let Some(tenant) = &account.tenant {
            members.insert("contactCenterId".to_owned(), self.names.centre(tenant).into());
        }
        members
    }

    /// Whether a member of a user, as [`Centre::user_members`] names it, is or holds this. Nothing is built for it: most
    /// users of a list are none that are asked for.
    fn user_has(&self, base: &str, view: &AccountView, name: &str, wanted: &str) -> bool {
        let account = &view.account;
        let is_id = |id: &str| self.names.account(id) == Some(account.id);
        let is_path = |path: &str| path.strip_prefix("/users/").is_some_and(is_id);
        match name {
            "id" => is_id(wanted),
            "path" => is_path(wanted),
            "uri" => wanted.strip_prefix(base).is_some_and(is_path),
            "userName" => account.name.as_str() == wanted,
            "firstName" => account.first_name == wanted,
            "lastName" => account.last_name == wanted,
            "emailAddress" => account.email == wanted,
            "roles" => account.roles.iter().any(|role| role == wanted),
            "enabled" => wanted.parse() == Ok(view.standing == Standing::Enabled),
            "changePasswordOnFirstLogin" => wanted.parse() == Ok(view.password == PasswordState::Due),
            "contactCenterId" => {
                account.tenant.as_ref().is_some_and(|tenant| self.names.centre(tenant) == wanted)
            }
            _ => false,
        }
    }

    /// Walks through all accounts on the control plane, one list at a time: a core that serves has others to serve.
    pub(super) async fn list_users(
        self: &Arc<Self>,
        me: &Caller<'_>,
        query: Query,
    ) -> Result<ServiceAnswer, Failure> {
        self.need(me, &self.options.readers)?;
        let lost = |why: String| Failure::Gate(Refusal::new(Reason::Internal, why));
        let _turn = self.lists.enter(me.account.id).await?;
        let place = Arc::clone(&self.listing).acquire_owned().await;
        let place = place.map_err(|error| lost(error.to_string()))?;
        let (centre, tenant, base) = (Arc::clone(self), me.account.tenant.clone(), me.base.to_owned());
        let listed = self.runtime.spawn_blocking(move || {
            let listed = centre.listed(tenant.as_ref(), &base, &query);
            // Not before, also where the client has gone.
            drop(place);
            listed
        });
        listed.await.map_err(|error| lost(error.to_string()))
    }

    fn listed(&self, tenant: Option<&String>, base: &str, query: &Query) -> ServiceAnswer {
        let has = |view: &AccountView| {
            is_user(&view.account, tenant, &self.options.roles)
                && query.matches(|name, wanted| self.user_has(base, view, name, wanted))
        };
        let (offset, limit) = query.part();
        let users = self.service.accounts().into_iter().filter(has).skip(offset).take(limit);
        let users = users.map(|view| self.user_members(base, &view));
        if query.wants_fields() {
            let users: Vec<Value> = users.map(|user| query.select(user).into()).collect();
            done_with(json!({ "users": users }))
        } else {
            let uris: Vec<Value> = users.filter_map(|mut user| user.remove("uri")).collect();
            done_with(json!({ "uris": uris }))
        }
    }

    /// Roles of a body: at least one, and none that this service may not give.
    fn roles(&self, body: &Map<String, Value>) -> Result<Option<Vec<String>>, Failure> {
        let list = match body.get("roles") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) if list.is_empty() => return Err(Failure::missing("roles")),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(Failure::invalid("roles", "is no list")),
        };
        let mut roles: Vec<String> = Vec::new();
        for role in list {
            match role.as_str() {
                Some(role) if self.options.roles.iter().any(|known| known == role) => {
                    if !roles.iter().any(|other| other == role) {
                        roles.push(role.to_owned());
                    }
                }
                Some(_) | None => {
                    return Err(Failure::invalid("roles", "names one that cannot be given here"));
                }
            }
        }
        Ok(Some(roles))
    }

    pub(super) async fn create_user(
        &self,
        me: &Caller<'_>,
        call: &ServiceCall,
    ) -> Result<ServiceAnswer, Failure> {
        self.need(me, &self.options.administrators)?;
        let body = object(call)?;
        let name = needed(&body, "userName")?;
        let draft = AccountDraft {
            password: Some(Secret::new(needed(&body, "password")?)),
            first_name: needed(&body, "firstName")?.to_owned(),
            last_name: needed(&body, "lastName")?.to_owned(),
            roles: self.roles(&body)?.ok_or_else(|| Failure::missing("roles"))?,
            email: text(&body, "emailAddress")?.unwrap_or_default().to_owned(),
            password_due: flag(&body, "changePasswordOnFirstLogin")?.unwrap_or(false),
            disabled: flag(&body, "enabled")? == Some(false),
            tenant: me.account.tenant.clone(),
            ..AccountDraft::new(KIND, name)
        };
        let created = self.service.create_account(draft, me.by(), self.clock.now()).await;
        let account = created.map_err(|error| match error {
            AccountError::Taken(_) => {
                Failure::new(Code::Exists, format!("Failed to create user. User '{name}' already exists."))
            }
            AccountError::Unfit { .. }
            | AccountError::NotFound
            | AccountError::TooMany
            | AccountError::Unavailable(_) => account_failure(error),
        })?;
        let id = self.names.user(account.id);
        let path = format!("/users/{id}");
        Ok(done_with(json!({ "id": id, "uri": format!("{}{path}", me.base), "path": path })))
    }

    pub(super) async fn change_user(
        &self,
        me: &Caller<'_>,
        user: &str,
        call: &ServiceCall,
    ) -> Result<ServiceAnswer, Failure> {
        let view = self.changeable(me, user)?;
        let body = object(call)?;
        let own = self.user_members(me.base, &view);
        if let Some(name) =
            READ_ONLY.into_iter().find(|name| body.get(*name).is_some_and(|new| own.get(*name) != Some(new)))
        {
            return Err(Failure::new(Code::ReadOnly, format!("{name} cannot be changed")));
        }
        let enabled = flag(&body, "enabled")?;
        let is_self = view.account.id == me.account.id;
        if is_self && enabled == Some(false) {
            return Err(Failure::new(Code::Forbidden, "Nobody disables himself"));
        }
        let changes = self.changes(&body)?;
        let password = text(&body, "password")?.filter(|password| !password.is_empty());
        let due = flag(&body, "changePasswordOnFirstLogin")?;
        if due.is_some_and(|due| due != (view.password == PasswordState::Due)) && password.is_none() {
            return Err(Failure::missing("password"));
        }
        // In the meantime he may have lost his right, or the user have become somebody whom it does not cover.
        let (id, now, right) = (view.account.id, self.clock.now(), self.right_of(me));
        let change = move |view: &AccountView| {
            right.covers(view)?;
            Ok::<_, Failure>(changes.made(&view.account))
        };
        let password = password.map(Secret::new);
        let password = password
            .map(|new| if due == Some(true) { NewPassword::Due(new) } else { NewPassword::Lasting(new) });
        let standing = enabled.map(|enabled| if enabled { Standing::Enabled } else { Standing::Disabled });
        let besides = Besides { password, standing };
        self.service.update_account_with(id, change, besides, me.by(), now).await?;
        Ok(done())
    }

    /// What a body wants changed of an account, its password aside.
    fn changes(&self, body: &Map<String, Value>) -> Result<Changes, Failure> {
        let said = |name: &str| Ok::<_, Failure>(text(body, name)?.map(str::to_owned));
        Ok(Changes {
            name: said("userName")?,
            first_name: said("firstName")?,
            last_name: said("lastName")?,
            email: said("emailAddress")?,
            roles: self.roles(body)?,
        })
    }

    pub(super) async fn delete_user(&self, me: &Caller<'_>, user: &str) -> Result<ServiceAnswer, Failure> {
        let view = self.changeable(me, user)?;
        if view.account.id == me.account.id {
            return Err(Failure::new(Code::Forbidden, "Nobody deletes himself"));
        }
        let deleted = self.service.delete_account(view.account.id, me.by(), self.clock.now()).await;
        deleted.map_err(account_failure)?;
        // The rest follows; a number that he had is free with this answer.
        self.devices().forget(view.account.id);
        Ok(done())
    }

    /// The sessions of a user at this API.
    pub(super) async fn list_sessions(
        &self,
        call: &ServiceCall,
        view: &AccountView,
    ) -> Result<ServiceAnswer, Failure> {
        let api = Arc::clone(&call.api);
        let sessions = Operations::sessions(&*self.service, view.account.id, api, self.clock.now()).await;
        let sessions = sessions.map_err(|error| Failure::Gate(error.into()))?;
        let shown: Vec<Value> = sessions
            .iter()
            .map(|session| {
                json!({
                    "id": session.reference.to_string(),
                    "createdAt": session.issued_at.unix_ms(),
                    "expiresAt": session.expires_at.map(|time| time.unix_ms()),
                })
            })
            .collect();
        Ok(done_with(json!({ "sessions": shown })))
    }

    /// Ends one of them, by its public name.
    pub(super) async fn end_session(
        &self,
        me: &Caller<'_>,
        view: &AccountView,
        session: &str,
    ) -> Result<ServiceAnswer, Failure> {
        let unknown = || Failure::new(Code::NotFound, "Session not found");
        let reference = TokenRef::parse(session).ok_or_else(unknown)?;
        let ended = self.service.end_session(view.account.id, reference, me.by(), self.clock.now()).await;
        if ended.map_err(|error| Failure::Gate(error.into()))? { Ok(done()) } else { Err(unknown()) }
    }
}

/// What is wanted of an account; the rest stays.
struct Changes {
    name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    roles: Option<Vec<String>>,
}

impl Changes {
    /// The subject is what services behind the gate know the user by: it stays, whatever his name becomes.
    fn made(self, account: &Account) -> AccountDraft {
        let own = AccountDraft::of(account);
        AccountDraft {
            name: self.name.unwrap_or(own.name),
            first_name: self.first_name.unwrap_or(own.first_name),
            last_name: self.last_name.unwrap_or(own.last_name),
            email: self.email.unwrap_or(own.email),
            roles: self.roles.unwrap_or(own.roles),
            ..AccountDraft::of(account)
        }
    }
}
