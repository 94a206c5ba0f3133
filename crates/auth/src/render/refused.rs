//! What the answer to a refusal may print.

use super::sign_in::is_own_path;
use super::{Here, Room};
use crate::api::Api;
use crate::date::DateFormat;
use crate::dialect::Answer;
use crate::dialect::template::{Medium, TooLong, Value, Values};
use crate::refusal::{Reason, Refusal};

pub(super) struct RefusalValues<'v> {
    api: &'v Api,
    here: &'v Here<'v>,
    media: &'v str,
    status: u16,
    refusal: &'v Refusal,
    code: String,
    message: String,
}

impl<'v> RefusalValues<'v> {
    pub(super) fn bare(api: &'v Api, status: u16, refusal: &'v Refusal, here: &'v Here<'v>) -> Self {
        Self {
            api,
            here,
            media: api.media(here),
            status,
            refusal,
            code: String::new(),
            message: String::new(),
        }
    }

    /// Adds the code and the message of an answer, which its other templates may print.
    pub(super) fn say(&mut self, answer: &Answer, room: &mut Room) -> Result<(), TooLong> {
        if let Some(code) = &answer.code {
            self.code = room.render(code, self, Medium::Text)?;
        }
        self.message = match &answer.message {
            Some(message) => room.render(message, self, Medium::Text)?,
            None => default_message(self.refusal.reason).to_owned(),
        };
        Ok(())
    }

    /// Where to go after signing in, if the form that failed knew.
    fn return_to(&self) -> String {
        let query = self.here.query.unwrap_or_default();
        let named = crate::canonical::query::parse_query(query)
            .filter_map(Result::ok)
            .find(|(name, _)| name == "return_to")
            .map(|(_, value)| value.into_owned());
        named.filter(|path| is_own_path(path, self.here.prefix)).unwrap_or_default()
    }
}

impl Values for RefusalValues<'_> {
    fn value(&self, name: &str, index: Option<usize>) -> Value<'_> {
        match name {
            "api" => Value::Text((*self.api.name).into()),
            "prefix" => Value::Address(self.here.prefix.into()),
            "media" => Value::Text(self.media.into()),
            "realm" => Value::Text(self.api.realm.as_str().into()),
            "status" => Value::Int(i64::from(self.status)),
            "reason" => Value::Text(self.refusal.reason.name().into()),
            "detail" => Value::Text(self.refusal.detail.as_str().into()),
            "carrier" => Value::Text(self.refusal.carrier.as_str().into()),
            "code" => Value::Text(self.code.as_str().into()),
            "message" => Value::Text(self.message.as_str().into()),
            "trace" if self.api.development => Value::Text(self.refusal.cause.as_ref().into()),
            "return_to" => Value::Address(self.return_to().into()),
            "issuers" => Value::List(self.api.logins.len()),
            _ => match name.strip_prefix("issuers.") {
                Some(field) => self.api.login_value(field, index),
                None => Value::Absent,
            },
        }
    }

    fn date(&self) -> &DateFormat {
        &self.api.dialect.date
    }
}

/// What a dialect that says nothing says.
const fn default_message(reason: Reason) -> &'static str {
    match reason {
        Reason::BadRequest | Reason::Malformed => "The request cannot be read.",
        Reason::Ambiguous => "The request can be read in more than one way.",
        Reason::MissingField => "A required field is missing.",
        Reason::InvalidField => "A field has an invalid value.",
        Reason::Unauthenticated | Reason::NoCredential | Reason::NotAccepted | Reason::StaleProof => {
            "Authentication is required."
        }
        Reason::WrongPassword => "The user name or password is wrong.",
        Reason::BadToken => "The token is invalid.",
        Reason::Expired => "The token has expired.",
        Reason::BadProvider => "The identity provider is unknown.",
        Reason::Forbidden => "Access is denied.",
        Reason::Csrf => "The CSRF token is missing or invalid.",
        Reason::SessionLimit => "The account holds as many of these as it may.",
        Reason::PasswordDue => "The password must be changed.",
        Reason::NotFound => "Not found.",
        Reason::Method => "The method is not allowed.",
        Reason::TooLarge => "The request is too large.",
        Reason::MediaType => "The media type is not supported.",
        Reason::TooMany => "Too many requests.",
        Reason::Internal => "Internal error.",
        Reason::Upstream => "The service cannot be reached.",
        Reason::Unavailable => "The request cannot be checked at the moment.",
        Reason::UpstreamTimeout => "The service did not answer in time.",
    }
}
