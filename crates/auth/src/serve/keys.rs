//! Calls about API keys.

use std::sync::Arc;

use super::{Call, not_found};
use crate::account::APPLICATIONS;
use crate::dialect::TokenRule;
use crate::dialect::operation::Operation;
use crate::port::keys::{KeyAnswer, KeyCaller, KeyChange, KeyName};
use crate::refusal::{Reason, Refusal};
use crate::render::Rendered;
use crate::token::{TokenDigest, TokenKind, TokenRef};
use crate::values::Caller;

impl Call<'_> {
    fn key_rule(&self) -> Result<&TokenRule, Refusal> {
        let issues = self.endpoint.issues.iter().find(|rule| rule.kind == TokenKind::Key);
        let only = || self.api.dialect.tokens.iter().find(|rule| rule.kind == TokenKind::Key);
        issues
            .or_else(only)
            .map(|rule| &**rule)
            .ok_or_else(|| Refusal::new(Reason::Internal, "the dialect has no token of kind key"))
    }

    fn key_caller(&self) -> Result<KeyCaller, Refusal> {
        let account = self.identity.account().cloned();
        let account =
            account.ok_or_else(|| Refusal::new(Reason::Forbidden, "anonymous callers have no keys"))?;
        Ok(KeyCaller {
            account,
            address: self.request.address,
            api: Arc::clone(&self.api.name),
            word: Arc::clone(&self.key_rule()?.word),
        })
    }

    fn key_change(&self) -> Result<KeyChange, Refusal> {
        let text = |name: &str| self.input(name).map(str::to_owned);
        let endless = self.flag("endless")?;
        let expires_at = match (endless, self.input("expires")) {
            (Some(true), _) => Some(None),
            (_, Some(date)) if !date.is_empty() => {
                let time = self.api.dialect.date.read(date);
                let time = time.ok_or_else(|| {
                    let field = self.field("expires");
                    Refusal::new(Reason::InvalidField, format!("`{field}` is no date")).about(field)
                })?;
                Some(Some(time))
            }
            (_, _) => None,
        };
        Ok(KeyChange { label: text("label"), description: text("description"), expires_at })
    }

    /// The name under which a client sends an input.
    pub(super) fn field(&self, input: &str) -> String {
        let places = self.endpoint.inputs.iter().find(|(name, _)| name == input);
        let place = places.and_then(|(_, places)| places.first());
        place.map_or_else(|| input.to_owned(), |place| place.carrier().to_owned())
    }

    pub(super) async fn key_create(&self) -> Result<Rendered, Refusal> {
        let caller = self.key_caller()?;
        let plan = self.plan(self.key_rule()?)?;
        let owner = match self.input("owner") {
            Some(owner) if !owner.is_empty() => owner.to_owned(),
            Some(_) | None if *caller.account.kind == *APPLICATIONS => caller.account.name.to_string(),
            Some(_) | None => {
                let field = self.field("owner");
                return Err(Refusal::new(Reason::MissingField, format!("`{field}` is missing")).about(field));
            }
        };
        let change = self.key_change()?;
        let answer = self.world.operations.key_create(caller, owner, plan, change, self.world.now).await?;
        self.key_answer(answer)
    }

    pub(super) async fn key_list(&self) -> Result<Rendered, Refusal> {
        let owner = self.input("owner").map(str::to_owned);
        let keys = self.world.operations.key_list(self.key_caller()?, owner, self.world.now).await?;
        self.answer(&Caller { keys: &keys, ..self.caller() })
    }

    pub(super) async fn key(&self) -> Result<Rendered, Refusal> {
        let caller = self.key_caller()?;
        let name = self.input("key").unwrap_or_default();
        let word = Arc::clone(&caller.word);
        let named = || {
            let by_value = || KeyName::Digest(TokenDigest::of(&self.api.name, &word, name));
            TokenRef::parse(name).map_or_else(by_value, KeyName::Id)
        };
        let operations = self.world.operations;
        let now = self.world.now;
        // A path that names an owner is about his keys and nobody else's.
        if let Some(owner) = self.input("owner") {
            match operations.key_show(caller.clone(), named(), now).await? {
                KeyAnswer::Done(info, _) if info.owner.eq_ignore_ascii_case(owner) => {}
                KeyAnswer::Done(..) | KeyAnswer::AtLimit | KeyAnswer::TooMany | KeyAnswer::NotFound => {
                    return Err(not_found("key"));
                }
            }
        }
        let key = named();
        let answer = match self.endpoint.operation {
            Operation::KeyUpdate => operations.key_update(caller, key, self.key_change()?, now).await?,
            Operation::KeyRotate => {
                operations.key_rotate(caller, key, self.plan(self.key_rule()?)?, now).await?
            }
            Operation::KeyDelete => operations.key_delete(caller, key, now).await?,
            Operation::KeyShow
            | Operation::Issue
            | Operation::End
            | Operation::Show
            | Operation::Refuse
            | Operation::SessionList
            | Operation::SessionShow
            | Operation::KeyCreate
            | Operation::KeyList
            | Operation::PasswordChange
            | Operation::IssuerLogin
            | Operation::Service(_) => operations.key_show(caller, key, now).await?,
        };
        self.key_answer(answer)
    }

    fn key_answer(&self, answer: KeyAnswer) -> Result<Rendered, Refusal> {
        match answer {
            KeyAnswer::Done(info, value) => {
                self.answer(&Caller { key: Some((&info, value.as_ref())), ..self.caller() })
            }
            KeyAnswer::AtLimit => {
                Err(Refusal::new(Reason::SessionLimit, "the application has as many keys as it may"))
            }
            KeyAnswer::TooMany => {
                Err(Refusal::new(Reason::TooMany, "too many changes of keys are under way"))
            }
            KeyAnswer::NotFound => Err(not_found("key")),
        }
    }
}
