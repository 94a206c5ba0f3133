//! A login service over HTTP: it is sent a user and a password and says by its status whether they are right.
//!
//! ```text
//! POST /login                        200 {"user":{"uid":"alice","mail":"a@x"},"groups":["agents"]}
//! {"user":"alice","password":"…"}    401
//! ```
//!
//! Two lists say what a status means; everything else, redirects too, says nothing about the password. Nor does a 401 with
//! `WWW-Authenticate` where the gate proves itself as well: that may be about the gate.

use std::time::Duration;

use countersign_auth::json::parse_strict;
use countersign_auth::secret::Secret;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::Value;

use super::person::{Mapping, Several};
use super::{Directory, Trouble, Verdict};
use crate::outbound::{Bounds, Endpoint, Outbound};

/// A profile is some KB; a portal's page is not read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Deeper than any profile.
const JSON_DEPTH_MAX: usize = 32;
/// Longer names are nobody's.
const USER_BYTES_MAX: usize = 1024;

/// How the two are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// `{"user":"…","password":"…"}`
    Json,
    /// `user=…&password=…`
    Form,
}

/// How a login service is asked.
pub struct HttpOptions {
    /// Where.
    pub endpoint: Endpoint,
    /// How the two are sent.
    pub form: BodyForm,
    /// The member that the user goes into.
    pub user_field: String,
    /// The member that the password goes into.
    pub password_field: String,
    /// Members that are always the same.
    pub fields: Vec<(String, String)>,
    /// What the gate proves itself with: the whole value of `Authorization`.
    pub authorization: Option<Secret>,
    /// Statuses that mean right.
    pub right: Vec<u16>,
    /// Statuses that mean wrong.
    pub wrong: Vec<u16>,
    /// JSON pointer (RFC 6901) to what never changes in a person; the name serves if there is none.
    pub id: Option<String>,
    /// Fields from JSON pointers.
    pub mapping: Mapping,
    /// JSON pointer to the list of groups, if the service decides about roles.
    pub groups: Option<String>,
    /// From connecting to the last byte.
    pub patience: Duration,
}

/// See the module's words.
pub struct HttpDirectory {
    options: HttpOptions,
    authorization: Option<HeaderValue>,
    outbound: Outbound,
}

impl HttpDirectory {
    /// A directory; nothing is connected before it is asked.
    ///
    /// # Errors
    /// If what the gate proves itself with cannot stand in a header.
    pub fn new(options: HttpOptions, outbound: Outbound) -> Result<Self, http::header::InvalidHeaderValue> {
        let authorization = match &options.authorization {
            Some(secret) => {
                let mut value = HeaderValue::from_str(secret.expose())?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { options, authorization, outbound })
    }

    async fn verdict(&self, user: &str, password: &Secret) -> Result<Verdict, Trouble> {
        if password.expose().is_empty() {
            return Ok(Verdict::Wrong("the password is empty"));
        }
        if user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
            return Ok(Verdict::Wrong("the user is no name that anybody has"));
        }
        let bounds = Bounds { time: self.options.patience, bytes: ANSWER_BYTES_MAX };
        let request = self.request(user, password);
        let heard = self.outbound.send(&self.options.endpoint, request, bounds).await;
        let heard = heard.map_err(|error| Trouble::Down(error.0))?;
        if self.options.wrong.contains(&heard.status.as_u16()) {
            return Ok(Verdict::Wrong("the login service calls the password wrong"));
        }
        if !self.options.right.contains(&heard.status.as_u16()) {
            return Err(unclear(heard.status));
        }
        self.described(user, &heard.body)
    }

    fn request(&self, user: &str, password: &Secret) -> Request<Full<Bytes>> {
        let HttpOptions { form, user_field, password_field, fields, .. } = &self.options;
        let members = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let members =
            members.chain([(user_field.as_str(), user), (password_field.as_str(), password.expose())]);
        let (kind, body) = match form {
            BodyForm::Json => {
                let object: serde_json::Map<String, Value> =
                    members.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
                ("application/json", Value::Object(object).to_string())
            }
            BodyForm::Form => {
                let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
                ("application/x-www-form-urlencoded", body)
            }
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        request
    }

    fn described(&self, user: &str, body: &[u8]) -> Result<Verdict, Trouble> {
        let HttpOptions { id, mapping, groups, .. } = &self.options;
        let asks = id.is_some() || groups.is_some() || !mapping.fields.is_empty();
        let read = std::str::from_utf8(body).ok().map(|text| parse_strict(text, JSON_DEPTH_MAX));
        let document = match read.and_then(Result::ok) {
            Some(document) => document,
            None if !asks => Value::Null,
            None => return Err(Trouble::Down("it says right, but not in JSON".to_owned())),
        };
        let id = match id {
            Some(pointer) => document.pointer(pointer).and_then(scalar),
            None => Some(user.to_lowercase()),
        };
        let id = id.ok_or_else(|| Trouble::Down("it says right, but not whose password".to_owned()))?;
        let groups = match groups.as_deref().and_then(|pointer| document.pointer(pointer)) {
            Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
            Some(one) => scalar(one).into_iter().collect(),
            None => Vec::new(),
        };
        let value = |pointer: &str| match document.pointer(pointer) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => scalar(value).map(Some).ok_or(Several),
        };
        match mapping.person(id, user, value, &groups) {
            Ok(person) => Ok(Verdict::Right(Box::new(person))),
            Err(error) => Err(Trouble::Down(error.to_string())),
        }
    }
}

impl Directory for HttpDirectory {
    fn check<'d>(&'d self, user: &'d str, password: &'d Secret) -> BoxFuture<'d, Result<Verdict, Trouble>> {
        Box::pin(self.verdict(user, password))
    }

    /// Any answer to a GET says that somebody is there.
    fn probe(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let bounds = Bounds { time: self.options.patience, bytes: ANSWER_BYTES_MAX };
            let request = Request::new(Full::default());
            let heard = self.outbound.send(&self.options.endpoint, request, bounds).await;
            match heard.map_err(|error| error.0)?.status {
                status if status.is_server_error() => Err(format!("it answers with {status}")),
                _ => Ok(()),
            }
        })
    }
}

fn unclear(status: StatusCode) -> Trouble {
    Trouble::Down(format!("it answers with {status}, which says nothing about the password"))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
