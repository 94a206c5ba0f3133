//! C, E: whose a token of the gate's own is, and how long it is his.

use std::time::Duration;

use countersign_auth::account::AccountId;
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;
use countersign_identity::accounts::{AccountDraft, Standing};
use countersign_identity::service::By;
use countersign_identity::service::equivalents::NewPassword;

use super::{Ground, Told, claims, claims_of};

const PASSWORD: &str = "wonderland-7";

/// The gate signs tokens here whose `sub` two fields of accounts could fill: the subject and a key.
const WORLD: &str = r#"
[[api]]
name = "own"
dialect = "enactor"
at = ["own.example/"]
issuers."http://www.enactor.co/" = "self"
[[api.route]]
at = "/admin/**"
allow = { roles = ["STORE_ADMIN"] }
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
kind = "customers"
name = "ann"
password = "wonderland-7"
keys = { customer = "4711" }

[[account]]
kind = "customers"
name = "4711"
password = "hatter-and-hare-3"
roles = ["STORE_ADMIN"]
keys = { customer = "4711" }
"#;

fn log_in(ground: &Ground, user: &str, password: &str) -> String {
    let body = format!("{{\"userName\":\"{user}\",\"password\":\"{password}\"}}");
    let head = "POST /identity/token HTTP/1.1\nHost: own.example\nContent-Type: application/json";
    ground.send(&format!("{head}\n\n{body}")).answered().member("/access_token")
}

fn show(ground: &Ground, path: &str, token: &str) -> Told {
    ground.send(&format!("GET {path} HTTP/1.1\nHost: own.example\nAuthorization: Bearer {token}"))
}

fn ann(ground: &Ground) -> AccountId {
    ground.world.service().account_named("customers", "ann").unwrap().account.id
}

fn set_password(ground: &Ground, password: &str, ordered_at: Time) {
    let new = NewPassword::Lasting(Secret::new(password));
    let set = ground.world.service().set_password(ann(ground), new, Vec::new(), By::gate(), ordered_at);
    ground.world.block_on(set).unwrap();
}

#[test]
fn c14_a_token_is_its_holders_whatever_his_keys_say() {
    let ground = Ground::with("enactor", WORLD);
    let token = log_in(&ground, "ann", PASSWORD);
    assert_eq!(claims_of(&token)["sub"], "ann");
    let told = claims(&show(&ground, "/me", &token).passed());
    assert_eq!((&told["sub"], &told["keys"]["customer"]), (&"ann".into(), &"4711".into()));
    show(&ground, "/admin/x", &token).refused(403);
    let owner = log_in(&ground, "4711", "hatter-and-hare-3");
    assert_eq!(claims(&show(&ground, "/admin/x", &owner).passed())["sub"], "4711");
    // Whoever is called as its holder was is somebody else, with the very same password and roles.
    let (service, now) = (ground.world.service(), ground.world.now());
    ground.world.block_on(service.set_standing(ann(&ground), Standing::Disabled, By::gate(), now)).unwrap();
    show(&ground, "/me", &token).refused(401);
    ground.world.block_on(service.set_standing(ann(&ground), Standing::Enabled, By::gate(), now)).unwrap();
    let token = log_in(&ground, "ann", PASSWORD);
    show(&ground, "/me", &token).passed();
    let created = service.account_named("customers", "ann").unwrap().created_at;
    ground.world.block_on(service.delete_account(ann(&ground), By::gate(), now)).unwrap();
    let again =
        AccountDraft { password: Some(Secret::new(PASSWORD)), ..AccountDraft::new("customers", "ann") };
    ground.world.block_on(service.create_account(again, By::gate(), created)).unwrap();
    show(&ground, "/me", &token).refused(401);
    show(&ground, "/me", &log_in(&ground, "ann", PASSWORD)).passed();
}

#[test]
fn e5_a_token_of_the_old_password_ends_however_long_the_change_took() {
    let ground = Ground::with("enactor", WORLD);
    ground.world.stop_clock();
    // The order comes; while the new password is hashed and the disk waited for, the old one is good.
    let ordered_at = ground.world.now();
    ground.world.wait(Duration::from_secs(2));
    let old = log_in(&ground, "ann", PASSWORD);
    show(&ground, "/me", &old).passed();
    set_password(&ground, "looking-glass-9", ordered_at);
    show(&ground, "/me", &old).refused(401);
    ground.world.wait(Duration::from_secs(60));
    show(&ground, "/me", &old).refused(401);
    show(&ground, "/me", &log_in(&ground, "ann", "looking-glass-9")).passed();
}

#[test]
fn e5_a_token_got_at_once_after_a_change_is_good() {
    let ground = Ground::with("enactor", WORLD);
    ground.world.stop_clock();
    // Where between two seconds the clock stands must not matter.
    for number in 0..5 {
        let password = format!("looking-glass-{number}");
        let before = log_in(&ground, "4711", "hatter-and-hare-3");
        set_password(&ground, &password, ground.world.now());
        let token = log_in(&ground, "ann", &password);
        show(&ground, "/me", &token).passed();
        show(&ground, "/admin/x", &before).passed();
        ground.world.wait(Duration::from_millis(230));
        show(&ground, "/me", &token).passed();
    }
    // Nor that it was ahead when the account was changed last.
    set_password(&ground, PASSWORD, ground.world.now().plus(Duration::from_secs(3600)));
    let token = log_in(&ground, "ann", PASSWORD);
    show(&ground, "/me", &token).passed();
    set_password(&ground, "looking-glass-9", ground.world.now());
    show(&ground, "/me", &token).refused(401);
    show(&ground, "/me", &log_in(&ground, "ann", "looking-glass-9")).passed();
}
