//! What services say of their objects, through the administration listener.
//!
//! ```text
//! PUT    /objects/shop/order/9001   {"owner":"4711","tenant":"0001"}     204
//! POST   /objects/shop/order        [{"id":"9001","owner":"4711"}, ...]  204
//! GET    /objects/shop/order/9001                                        200, or 404
//! DELETE /objects/shop/order/9001                                        204, or 404
//! ```
//!
//! The service's key names the kinds that it may speak of.

use countersign_gateway::administration::calls::Reply;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::Identities;
use super::objects::ObjectError;
use super::service_keys::{ServiceKey, no_such_call};
use crate::record::NewObject;

/// Objects of one call: as many as its body can name by short ids, and one turn of the store writes.
const OBJECTS_MAX: usize = 5000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    owner: String,
    #[serde(default)]
    tenant: Option<String>,
}

/// Answers a service: `rest` of the path is a kind and perhaps an id.
pub(super) async fn answer(
    identities: &Identities,
    key: &ServiceKey,
    api: &str,
    method: &Method,
    rest: &[&str],
    body: &[u8],
) -> Reply {
    let Some(kind) = rest.first() else { return no_such_call() };
    if !key.objects.iter().any(|known| known == kind) {
        return Reply::refused(StatusCode::FORBIDDEN, "the key is not for this kind of objects");
    }
    let by = format!("the service {}", key.name);
    let done = match (method, rest) {
        (&Method::PUT, [kind, id]) => match serde_json::from_slice::<Put>(body) {
            Ok(Put { owner, tenant }) => {
                let object = NewObject { id: (*id).to_owned(), owner, tenant };
                identities.set_objects(api, kind, vec![object], &by).await.map(|()| None)
            }
            Err(error) => return Reply::refused(StatusCode::BAD_REQUEST, &error.to_string()),
        },
        (&Method::POST, [kind]) => match serde_json::from_slice::<Vec<NewObject>>(body) {
            Ok(objects) if objects.len() <= OBJECTS_MAX => {
                identities.set_objects(api, kind, objects, &by).await.map(|()| None)
            }
            Ok(_) => return Reply::refused(StatusCode::PAYLOAD_TOO_LARGE, "too many objects"),
            Err(error) => return Reply::refused(StatusCode::BAD_REQUEST, &error.to_string()),
        },
        (&Method::GET, [kind, id]) => match identities.object(api, kind, id).await {
            Ok(None) => return Reply::refused(StatusCode::NOT_FOUND, "no such object is known"),
            found => found,
        },
        (&Method::DELETE, [kind, id]) => match identities.remove_object(api, kind, id, &by).await {
            Ok(false) => return Reply::refused(StatusCode::NOT_FOUND, "no such object is known"),
            Ok(true) => Ok(None),
            Err(error) => Err(error),
        },
        (_, _) => return no_such_call(),
    };
    match done {
        Ok(None) => Reply { status: StatusCode::NO_CONTENT, body: String::new() },
        Ok(Some(object)) => Reply { status: StatusCode::OK, body: json!(object).to_string() },
        Err(ObjectError::Unavailable(error)) => {
            tracing::warn!(%error, "could not do what a service said of its objects");
            Reply::refused(StatusCode::SERVICE_UNAVAILABLE, "not now")
        }
        Err(error @ ObjectError::NoKind { .. }) => Reply::refused(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error @ ObjectError::NoId(_)) => Reply::refused(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::path::Path;

    use super::*;
    use crate::config::Loaded;

    async fn identities(folder: &Path) -> Identities {
        let text = format!(
            "[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n[[api]]\nname = \"shop\"\ndialect = \"{}\"\n\
             at = [\"/\"]\nupstream = \"http://127.0.0.1:9\"\nobject.order = {{ owner = \"customer\" }}\n\
             [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n",
            crate::dialects::EMBEDDED.first().unwrap().name
        );
        let loaded = Loaded::parse(Path::new("c.toml"), folder, &text).unwrap();
        Identities::open(&loaded).await.unwrap_or_else(|error| panic!("{error}"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_says_whose_its_objects_are() {
        let folder = tempfile::tempdir().unwrap();
        let identities = identities(folder.path()).await;
        let key = ServiceKey::for_objects("warehouse", &["order"]);
        let call = |line: &str, body: &str| {
            let (method, rest) = line.split_once(' ').unwrap();
            let (method, rest, body) = (method.parse().unwrap(), rest.to_owned(), body.to_owned());
            let (identities, key) = (&identities, &key);
            async move {
                let rest: Vec<&str> = rest.split(' ').collect();
                let Reply { status, body } =
                    answer(identities, key, "shop", &method, &rest, body.as_bytes()).await;
                (status.as_u16(), body)
            }
        };
        let put = r#"{"owner":"4711","tenant":"0001"}"#;
        assert_eq!(call("GET order 9001", "").await.0, 404);
        assert_eq!(call("PUT order 9001", put).await, (204, String::new()));
        let (status, shown) = call("GET order 9001", "").await;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let expected = json!({ "id": "9001", "owner": "customer=4711", "tenant": "0001", "reference": null, "ends_at": null });
        assert_eq!((status, shown), (200, expected));
        let many = r#"[{"id":"a/b","owner":"1"},{"id":"9001","owner":"2"}]"#;
        assert_eq!(call("POST order", many).await.0, 204);
        assert!(call("GET order a/b", "").await.1.contains("customer=1"));
        assert!(call("GET order 9001", "").await.1.contains("customer=2"));
        assert_eq!(call("DELETE order 9001", "").await.0, 204);
        assert_eq!(call("DELETE order 9001", "").await.0, 404);
        let list =
            |count: usize| serde_json::json!(vec![json!({ "id": "1", "owner": "1" }); count]).to_string();
        assert_eq!(call("POST order", &list(OBJECTS_MAX)).await.0, 204);
        assert_eq!(call("POST order", &list(OBJECTS_MAX + 1)).await.0, 413);
        for (line, body, status) in [
            ("PUT order 1", "{}", 400),
            ("PUT order 1", r#"{"owner":"1","x":1}"#, 400),
            ("PUT order \0", put, 400),
            ("PUT basket 1", put, 403),
            ("GET basket 1", "", 403),
            ("PUT order", put, 404),
            ("PATCH order 1", put, 404),
            ("POST order", "no", 400),
        ] {
            assert_eq!(call(line, body).await.0, status, "{line} {body}");
        }
        identities.close().await.unwrap_or_else(|error| panic!("{error}"));
    }
}
