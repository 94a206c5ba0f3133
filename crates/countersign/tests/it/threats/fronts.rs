//! B: identities that a front proved.

use countersign_auth::port::foreign::{FrontProof, FrontTerms};
use countersign_auth::secret::Secret;

use super::{Ground, all, claims};

const SECRET: &str = "a secret of the front's own";

const WORLD: &str = r#"
[[api]]
name = "crm"
dialect = "superoffice"
deployment = "onsite"
at = ["crm.example/"]
enable = ["front"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "ann"
password = "wonderland-7"
"#;

fn ground(network: &str) -> Ground {
    let ground = Ground::with("superoffice", WORLD);
    let terms = FrontTerms {
        networks: vec![network.parse().unwrap()],
        proof: FrontProof::Secret(Secret::new(SECRET)),
        domains: vec!["CORP".to_owned()],
        create: false,
    };
    ground.world.service().believe_front("crm", terms);
    ground
}

fn request(headers: &[(&str, &str)]) -> String {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("\n{name}: {value}")).collect();
    format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example{}", lines.concat())
}

#[test]
fn b10_a_front_is_believed_by_its_network_and_its_proof_alone() {
    let user = ("X-Windows-User", "CORP\\ann");
    let proof = ("X-Front-Proof", SECRET);
    let near = ground("127.0.0.0/8");
    let received = near.send(&request(&[user, proof])).passed();
    assert_eq!(claims(&received)["sub"], "ann");
    for name in ["X-Windows-User", "X-Front-Proof"] {
        assert!(all(&received, name).is_empty(), "{name} reached the service");
    }
    for headers in [
        vec![user],
        vec![user, ("X-Front-Proof", "")],
        vec![user, ("X-Front-Proof", "a secret of the front's owm")],
        vec![user, ("X_Front_Proof", SECRET)],
        vec![("X_Windows_User", "CORP\\ann"), proof],
        vec![("X-Windows-User", "ann"), proof],
        vec![("X-Windows-User", "LAB\\ann"), proof],
        vec![("X-Windows-User", "CORP\\root"), proof],
        vec![("SM_USER", "ann"), proof],
        vec![("Remote-User", "CORP\\ann"), proof],
        vec![proof],
    ] {
        near.send(&request(&headers)).refused(401);
    }
    near.send(&request(&[user, user, proof])).refused(400);
    let far = ground("10.0.0.0/8");
    far.send(&request(&[user, proof])).refused(401);
    far.send(&request(&[user, proof, ("X-Forwarded-For", "10.0.0.1")])).refused(401);
    // A page of another site makes the browser come through the front, which logs it in.
    let post = request(&[user, proof, ("Sec-Fetch-Site", "cross-site")]).replacen("GET", "POST", 1);
    near.send(&post).refused(401);
    near.send(&post.replace("cross-site", "same-origin")).passed();
}
