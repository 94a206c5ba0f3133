//! The contact centre: what one caller asks of it, and others who are there.

use serde_json::Value;

use super::{Ground, Told, basic};

/// What the supervisor of the transcripts' world is told.
fn get(ground: &Ground, target: &str) -> Told {
    let authorization = basic("sue@redwings.com", "password-of-sue");
    ground
        .send(&format!("GET /api/v2{target} HTTP/1.1\nHost: mounted.example\nAuthorization: {authorization}"))
}

fn list(ground: &Ground, query: &str) -> Vec<Value> {
    let told = get(ground, &format!("/users?{query}")).answered();
    let body: Value = serde_json::from_str(&told.body()).unwrap();
    body["users"].as_array().unwrap().clone()
}

/// A query of 64 KiB would be gone through for each member of each user.
#[test]
fn f12_a_query_of_a_contact_centre_names_so_much_and_no_more() {
    let ground = Ground::of("genesys");
    for (target, most) in [("/users", 32), ("/me", 32), ("/me/devices", 32)] {
        let names = |count: usize| format!("{target}?fields={}", vec!["id"; count].join(","));
        get(&ground, &names(most)).answered();
        let told = get(&ground, &names(most + 1)).refused(400);
        assert!(told.body().contains("fields has more than 32 names"), "{}", told.body());
        let pairs = |count: usize| format!("{target}?{}", vec!["enabled=true"; count].join("&"));
        get(&ground, &pairs(most)).answered();
        get(&ground, &pairs(most + 1)).refused(400);
    }
}

/// Whom a filter is about is looked up without what he is shown as, and found by all of that.
#[test]
fn f12_users_are_found_by_what_they_are_shown_with() {
    let ground = Ground::of("genesys");
    let all = list(&ground, "fields=*");
    assert!(all.len() > 2, "{all:?}");
    for user in &all {
        for (name, value) in user.as_object().unwrap() {
            let texts = match value {
                Value::String(text) => vec![text.clone()],
                Value::Bool(flag) => vec![flag.to_string()],
                Value::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
                Value::Null | Value::Number(_) | Value::Object(_) => panic!("{name}: {value}"),
            };
            for text in texts {
                let found = list(&ground, &format!("fields=*&{name}={text}"));
                let those: Vec<&Value> = all.iter().filter(|other| other[name] == *value).collect();
                assert_eq!(found.iter().collect::<Vec<_>>(), those, "{name}={text}");
            }
        }
    }
    for nobody in ["id=x", "path=/users/", "uri=x", "enabled=maybe", "userName=Sue", "roles=", "colour=red"] {
        assert!(list(&ground, &format!("fields=*&{nobody}")).is_empty(), "{nobody}");
    }
}
