//! What services say of their objects, through the administration listener.
//!
//! ```text
//! PUT    /objects/shop/order/9001   {"owner":"4711","tenant":"0001"}     204
//! POST   /objects/shop/order        [{"id":"9001","owner":"4711"}, ...]  204
//! GET    /objects/shop/order/9001                                        200, or 404
//! DELETE /objects/shop/order/9001                                        204, or 404
//! ```
//!
//! A service shows the secret of an application at its API (`countersign key set-secret`) as a bearer token.

use std::sync::Arc;

use countersign_auth::canonical::path::decode_segment;
use countersign_auth::port::{Answer, Lookups as _};
use countersign_gateway::administration::calls::{Call, Calls, Reply};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::Identities;
use super::objects::ObjectError;
use crate::record::NewObject;

/// Objects of one call.
const OBJECTS_MAX: usize = 5000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    owner: String,
    #[serde(default)]
    tenant: Option<String>,
}

/// Answers services.
pub(super) fn calls(identities: Arc<Identities>) -> Calls {
    Arc::new(move |call| {
        let identities = Arc::clone(&identities);
        let answer: Answer<Reply> = Box::pin(async move { answer(&identities, call).await });
        answer
    })
}

async fn answer(identities: &Identities, call: Call) -> Reply {
    let segments: Option<Vec<_>> = call.path.split('/').skip(2).map(decode_segment).collect();
    let segments = segments.unwrap_or_default();
    let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    let Some((api, rest)) = segments.split_first() else {
        return refused(StatusCode::NOT_FOUND, "no such call");
    };
    // An API that is not there has no application with a secret: nobody learns which there are.
    let service = identities.service();
    if !call.secret.is_some_and(|secret| service.application_secret(api, secret.expose())) {
        return refused(
            StatusCode::UNAUTHORIZED,
            "the secret of an application at this api is needed, as a bearer token",
        );
    }
    let done = match (&call.method, rest) {
        (&Method::PUT, [kind, id]) => match serde_json::from_slice::<Put>(&call.body) {
            Ok(Put { owner, tenant }) => {
                let object = NewObject { id: (*id).to_owned(), owner, tenant };
                identities.set_objects(api, kind, vec![object], &by(api)).await.map(|()| None)
            }
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
        },
        (&Method::POST, [kind]) => match serde_json::from_slice::<Vec<NewObject>>(&call.body) {
            Ok(objects) if objects.len() <= OBJECTS_MAX => {
                identities.set_objects(api, kind, objects, &by(api)).await.map(|()| None)
            }
            Ok(_) => return refused(StatusCode::PAYLOAD_TOO_LARGE, "too many objects"),
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
        },
        (&Method::GET, [kind, id]) => match identities.object(api, kind, id).await {
            Ok(None) => return refused(StatusCode::NOT_FOUND, "no such object is known"),
            found => found,
        },
        (&Method::DELETE, [kind, id]) => match identities.remove_object(api, kind, id, &by(api)).await {
            Ok(false) => return refused(StatusCode::NOT_FOUND, "no such object is known"),
            Ok(true) => Ok(None),
            Err(error) => Err(error),
        },
        (_, _) => return refused(StatusCode::NOT_FOUND, "no such call"),
    };
    match done {
        Ok(None) => Reply { status: StatusCode::NO_CONTENT, body: String::new() },
        Ok(Some(object)) => Reply { status: StatusCode::OK, body: json!(object).to_string() },
        Err(ObjectError::Unavailable(error)) => {
            tracing::warn!(%error, "could not do what a service said of its objects");
            refused(StatusCode::SERVICE_UNAVAILABLE, "not now")
        }
        Err(error @ ObjectError::NoKind { .. }) => refused(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error @ ObjectError::NoId(_)) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Who is told of in the audit.
fn by(api: &str) -> String {
    format!("an application of {api}")
}

fn refused(status: StatusCode, why: &str) -> Reply {
    Reply { status, body: json!({ "error": why }).to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::path::Path;

    use countersign_auth::secret::Secret;

    use super::*;
    use crate::config::Loaded;
    use crate::record::{NewAccount, Whose};

    async fn identities(folder: &Path) -> Identities {
        let text = format!(
            "[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n[[api]]\nname = \"shop\"\ndialect = \"{}\"\n\
             at = [\"/\"]\nupstream = \"http://127.0.0.1:9\"\nobject.order = {{ owner = \"customer\" }}\n\
             [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n",
            crate::dialects::EMBEDDED.first().unwrap().name
        );
        let loaded = Loaded::parse(Path::new("c.toml"), folder, &text).unwrap();
        let identities = Identities::open(&loaded).await.unwrap_or_else(|error| panic!("{error}"));
        let account = NewAccount {
            whose: Whose { kind: String::from("applications"), name: String::from("warehouse") },
            subject: None,
            first_name: String::new(),
            last_name: String::new(),
            email: String::new(),
            tenant: None,
            roles: Vec::new(),
            keys: std::collections::BTreeMap::new(),
            weaker: Vec::new(),
        };
        let made = identities.add_account(account, Secret::new("a long enough pass")).await;
        made.unwrap_or_else(|error| panic!("{error}"));
        let set = identities.set_application_secret("shop", "warehouse", Secret::new("its secret")).await;
        set.unwrap_or_else(|error| panic!("{error}"));
        identities
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_says_whose_its_objects_are() {
        let folder = tempfile::tempdir().unwrap();
        let identities = identities(folder.path()).await;
        let call = |line: &str, secret: Option<&str>, body: &str| {
            let (method, path) = line.split_once(' ').unwrap();
            let call = Call {
                method: method.parse().unwrap(),
                path: path.to_owned(),
                secret: secret.map(Secret::new),
                body: body.to_owned().into(),
            };
            let identities = &identities;
            async move {
                let Reply { status, body } = answer(identities, call).await;
                (status.as_u16(), body)
            }
        };
        let known = Some("its secret");
        let put = r#"{"owner":"4711","tenant":"0001"}"#;
        for secret in [None, Some("another"), Some("")] {
            let refused = call("PUT /objects/shop/order/9001", secret, put).await;
            assert_eq!(refused.0, 401);
            assert_eq!(call("PUT /objects/nowhere/order/9001", secret, put).await, refused);
        }
        assert_eq!(call("PUT /objects/nowhere/order/9001", known, put).await.0, 401);
        assert_eq!(call("GET /objects/shop/order/9001", known, "").await.0, 404);
        assert_eq!(call("PUT /objects/shop/order/9001", known, put).await, (204, String::new()));
        let (status, shown) = call("GET /objects/shop/order/9001", known, "").await;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let expected = json!({ "id": "9001", "owner": "customer=4711", "tenant": "0001", "reference": null, "ends_at": null });
        assert_eq!((status, shown), (200, expected));
        let many = r#"[{"id":"a/b","owner":"1"},{"id":"9001","owner":"2"}]"#;
        assert_eq!(call("POST /objects/shop/order", known, many).await.0, 204);
        assert!(call("GET /objects/shop/order/a%2Fb", known, "").await.1.contains("customer=1"));
        assert!(call("GET /objects/shop/order/9001", known, "").await.1.contains("customer=2"));
        assert_eq!(call("DELETE /objects/shop/order/9001", known, "").await.0, 204);
        assert_eq!(call("DELETE /objects/shop/order/9001", known, "").await.0, 404);
        for (line, body, status) in [
            ("PUT /objects/shop/order/1", "{}", 400),
            ("PUT /objects/shop/order/1", r#"{"owner":"1","x":1}"#, 400),
            ("PUT /objects/shop/order/%00", put, 400),
            ("PUT /objects/shop/basket/1", put, 404),
            ("PUT /objects/shop/order", put, 404),
            ("PATCH /objects/shop/order/1", put, 404),
            ("POST /objects/shop/order", "no", 400),
        ] {
            assert_eq!(call(line, known, body).await.0, status, "{line} {body}");
        }
        identities.close().await.unwrap_or_else(|error| panic!("{error}"));
    }
}
