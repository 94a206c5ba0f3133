use countersign_auth::port::keys::{KeyAnswer, KeyCaller, KeyChange, KeyInfo, KeyName};
use futures_util::FutureExt as _;

use super::*;
use crate::accounts::Standing;
use crate::keys::KeysOf;
use crate::store::switchable::Power;

struct Cast {
    bench: Bench,
    admin: Arc<Account>,
    tenant_admin: Arc<Account>,
    stranger: Arc<Account>,
    crm: Arc<Account>,
    erp: Arc<Account>,
}

async fn cast() -> Cast {
    let bench = Bench::new().await;
    let make = |kind: &str, name: &str, tenant: Option<&str>, roles: &[&str]| {
        let mut draft = AccountDraft::new(kind, name);
        draft.tenant = tenant.map(str::to_owned);
        draft.roles = roles.iter().map(|&role| role.to_owned()).collect();
        let made = bench.service.create_account(draft, By::gate(), at(0));
        async move { made.await.unwrap() }
    };
    let admin = make("users", "root", None, &["administrator"]).await;
    let tenant_admin = make("users", "ann", Some("t1"), &["administrator"]).await;
    let stranger = make("users", "eve", Some("t1"), &["operator"]).await;
    let crm = make("applications", "CRM", Some("t1"), &[]).await;
    let erp = make("applications", "ERP", Some("t2"), &[]).await;
    Cast { bench, admin, tenant_admin, stranger, crm, erp }
}

fn caller(account: &Arc<Account>) -> KeyCaller {
    let address = "192.0.2.7".parse().unwrap();
    KeyCaller { account: Arc::clone(account), address, api: Arc::from("shop"), word: Arc::from("key") }
}

fn shop() -> KeysOf {
    KeysOf { api: Arc::from("shop"), word: Arc::from("key") }
}

fn change(description: &str, expires: Option<i64>) -> KeyChange {
    KeyChange {
        label: None,
        description: Some(description.to_owned()),
        expires_at: expires.map(|secs| Some(at(secs))),
    }
}

fn done(answer: KeyAnswer) -> (KeyInfo, Option<Secret>) {
    match answer {
        KeyAnswer::Done(info, value) => (info, value),
        other @ (KeyAnswer::AtLimit | KeyAnswer::TooMany | KeyAnswer::NotFound) => panic!("{other:?}"),
    }
}

impl Cast {
    async fn create(
        &self,
        by: &Arc<Account>,
        owner: &str,
        expires: Option<i64>,
    ) -> Option<(KeyInfo, Secret)> {
        let made =
            self.bench.service.key_create(caller(by), owner.to_owned(), key(), change("d", expires), at(1));
        match made.await.unwrap() {
            KeyAnswer::Done(info, value) => Some((info, value.unwrap())),
            KeyAnswer::AtLimit | KeyAnswer::TooMany | KeyAnswer::NotFound => None,
        }
    }
}

fn digest_of(value: &Secret) -> TokenDigest {
    TokenDigest::of("shop", "key", value.expose())
}

#[tokio::test]
async fn a_key_lives_changes_rotates_and_dies() {
    let cast = cast().await;
    let (info, value) = cast.create(&cast.admin, "crm", None).await.unwrap();
    assert_eq!((info.owner.as_str(), info.description.as_str(), info.expires_at), ("CRM", "d", None));
    let service = &cast.bench.service;
    let token = cast.bench.live(digest_of(&value), at(9)).await;
    assert_eq!(token.account.unwrap().id, cast.crm.id);
    assert_eq!((token.expires_at, token.proven_at), (None, at(9)));

    // The application names its own key by its value.
    let name = || KeyName::Digest(digest_of(&value));
    let shown = done(service.key_show(caller(&cast.crm), name(), at(2)).await.unwrap());
    assert!(shown.0.id == info.id && shown.1.is_none());
    let updated = service.key_update(caller(&cast.crm), name(), change("new", Some(100)), at(3));
    let (updated, _) = done(updated.await.unwrap());
    assert_eq!((updated.description.as_str(), updated.updated_at), ("new", at(3)));
    assert_eq!((updated.created_at, updated.expires_at), (at(1), Some(at(100))));
    assert_eq!(cast.bench.says(digest_of(&value), at(99)).await, "live");
    assert_eq!(cast.bench.says(digest_of(&value), at(100)).await, "expired");

    let rotated = service.key_rotate(caller(&cast.admin), KeyName::Id(info.id), key(), at(4));
    let (rotated, second) = done(rotated.await.unwrap());
    let second = second.unwrap();
    assert_eq!((rotated.id, rotated.expires_at), (info.id, Some(at(100))));
    assert_eq!(cast.bench.says(digest_of(&value), at(5)).await, "unknown");
    assert_eq!(cast.bench.says(digest_of(&second), at(5)).await, "live");
    let gone = service.key_show(caller(&cast.crm), name(), at(5)).await.unwrap();
    assert!(matches!(gone, KeyAnswer::NotFound));

    let Cast { bench, admin, crm, .. } = cast;
    let bench = bench.reopen().await;
    assert_eq!(bench.says(digest_of(&second), at(5)).await, "live");
    // Logging out with a key ends no key.
    bench.service.end(digest_of(&second), at(5)).await.unwrap();
    assert_eq!(bench.says(digest_of(&second), at(5)).await, "live");
    let set_standing = |standing| bench.service.set_standing(crm.id, standing, By::gate(), at(6));
    set_standing(Standing::Disabled).await.unwrap();
    assert_eq!(bench.says(digest_of(&second), at(6)).await, "unknown");
    set_standing(Standing::Enabled).await.unwrap();
    assert_eq!(bench.says(digest_of(&second), at(6)).await, "live");
    done(bench.service.key_delete(caller(&admin), KeyName::Id(info.id), at(7)).await.unwrap());
    assert_eq!(bench.says(digest_of(&second), at(7)).await, "unknown");
    let again = bench.service.key_delete(caller(&admin), KeyName::Id(info.id), at(7)).await.unwrap();
    assert!(matches!(again, KeyAnswer::NotFound));
    let events = bench.events().await;
    assert_eq!(events[0], format!("key.deleted applications/CRM key {}", info.id));
}

#[tokio::test]
async fn a_key_that_ends_sooner_takes_with_it_what_was_issued_on_it() {
    let cast = cast().await;
    let (info, value) = cast.create(&cast.admin, "crm", None).await.unwrap();
    let issued = async || {
        let on = Some(digest_of(&value));
        let issue = Issue { on, ..order(Some(&cast.crm), vec![access()], at(2)) };
        digest(&cast.bench.issue(issue, at(2)).await[0])
    };
    let change = async |expires_at: Option<Option<i64>>| {
        let expires_at = expires_at.map(|end| end.map(at));
        let change = KeyChange { label: None, description: None, expires_at };
        done(
            cast.bench
                .service
                .key_update(caller(&cast.crm), KeyName::Id(info.id), change, at(3))
                .await
                .unwrap(),
        );
    };
    for (change_to, expected) in [
        (None, "live"),
        (Some(Some(100)), "unknown"),
        (Some(Some(100)), "live"),
        (Some(Some(200)), "live"),
        (Some(Some(150)), "unknown"),
        (Some(None), "live"),
    ] {
        let token = issued().await;
        change(change_to).await;
        assert_eq!(cast.bench.says(token, at(4)).await, expected, "{change_to:?}");
        assert_eq!(cast.bench.says(digest_of(&value), at(4)).await, "live");
    }
}

#[tokio::test]
async fn what_is_issued_on_a_key_after_its_end_was_moved_lives_although_tokens_are_still_loaded() {
    let Cast { bench, crm, admin, .. } = cast().await;
    let made = bench.service.key_create(caller(&admin), "crm".to_owned(), key(), change("d", None), at(1));
    let (info, value) = done(made.await.unwrap());
    let value = value.unwrap();
    let issued = async |bench: &Bench| {
        let on = Some(digest_of(&value));
        digest(&bench.issue(Issue { on, ..order(Some(&crm), vec![access()], at(2)) }, at(2)).await[0])
    };
    let before = issued(&bench).await;
    let bench = Bench::still_loading(bench.close().await).await;
    let update = bench.service.key_update(caller(&crm), KeyName::Id(info.id), change("x", Some(100)), at(3));
    done(update.await.unwrap());
    let after = issued(&bench).await;
    bench.loaded().await;
    bench.service.flush().await.unwrap();
    let says = async |bench: &Bench| [bench.says(before, at(4)).await, bench.says(after, at(4)).await];
    assert_eq!(says(&bench).await, ["unknown", "live"]);
    assert_eq!(says(&bench.reopen().await).await, ["unknown", "live"]);
}

/// The new value is told once: whoever heard 503 would have neither the old one nor the new.
#[tokio::test]
async fn a_change_that_is_written_is_made_although_the_store_cannot_be_told_what_ended_with_it() {
    let cast = cast().await;
    let Cast { bench, crm, .. } = &cast;
    let (info, value) = cast.create(&cast.admin, "crm", None).await.unwrap();
    let service = &bench.service;
    let issued = async |on: &Secret| {
        let on = Some(digest_of(on));
        bench.issue(Issue { on, ..order(Some(crm), vec![access()], at(2)) }, at(2)).await
    };
    let name = || KeyName::Id(info.id);
    let mut dead = vec![digest(&issued(&value).await[0])];
    bench.store.switch_off_after(1);
    let (_, new) = done(service.key_rotate(caller(crm), name(), key(), at(3)).await.unwrap());
    let new = new.unwrap();
    assert_eq!(bench.says(digest_of(&value), at(3)).await, "unknown");
    bench.store.switch(Power::On);
    dead.push(digest(&issued(&new).await[0]));
    bench.store.switch_off_after(1);
    done(service.key_update(caller(crm), name(), change("x", Some(100)), at(3)).await.unwrap());
    bench.store.switch(Power::On);
    dead.push(digest(&issued(&new).await[0]));
    bench.store.switch_off_after(1);
    done(service.key_delete(caller(crm), name(), at(3)).await.unwrap());
    let says_unknown = async |bench: &Bench| {
        for token in &dead {
            assert_eq!(bench.says(*token, at(4)).await, "unknown");
        }
    };
    says_unknown(bench).await;
    bench.store.switch(Power::On);
    service.flush().await.unwrap();
    says_unknown(&cast.bench.reopen().await).await;
}

#[tokio::test]
async fn who_may_touch_whose_keys() {
    let cast = cast().await;
    let check = |by: Arc<Account>, owner: &'static str, allowed: bool| {
        let cast = &cast;
        async move { assert_eq!(cast.create(&by, owner, None).await.is_some(), allowed, "{} {owner}", by.name) }
    };
    for (by, crm, erp) in [
        (&cast.admin, true, true),
        (&cast.tenant_admin, true, false),
        (&cast.stranger, false, false),
        (&cast.crm, true, false),
        (&cast.erp, false, true),
    ] {
        check(Arc::clone(by), "CRM", crm).await;
        check(Arc::clone(by), "ERP", erp).await;
        check(Arc::clone(by), "nobody", false).await;
    }
    let service = &cast.bench.service;
    let list = |by: &Arc<Account>, owner: Option<&str>| {
        let list = service.key_list(caller(by), owner.map(str::to_owned), at(2));
        async move { list.await.unwrap().len() }
    };
    assert_eq!(list(&cast.admin, None).await, 5);
    assert_eq!(list(&cast.admin, Some("erp")).await, 2);
    assert_eq!(list(&cast.tenant_admin, None).await, 3);
    assert_eq!(list(&cast.erp, None).await, 2);
    assert_eq!(list(&cast.erp, Some("crm")).await, 0);
    assert_eq!(list(&cast.stranger, None).await, 0);
    let (info, _) = cast.create(&cast.crm, "crm", None).await.unwrap();
    assert_eq!(info.owner, "CRM");
    for by in [&cast.erp, &cast.stranger] {
        for answer in [
            service.key_show(caller(by), KeyName::Id(info.id), at(2)).await,
            service.key_update(caller(by), KeyName::Id(info.id), change("x", None), at(2)).await,
            service.key_rotate(caller(by), KeyName::Id(info.id), key(), at(2)).await,
            service.key_delete(caller(by), KeyName::Id(info.id), at(2)).await,
        ] {
            assert!(matches!(answer.unwrap(), KeyAnswer::NotFound));
        }
    }
    let mut other_api = caller(&cast.admin);
    other_api.api = Arc::from("mail");
    let answer = service.key_show(other_api, KeyName::Id(info.id), at(2)).await.unwrap();
    assert!(matches!(answer, KeyAnswer::NotFound));
    service.set_standing(cast.admin.id, Standing::Disabled, By::gate(), at(3)).await.unwrap();
    assert_eq!(list(&cast.admin, None).await, 0, "a caller who was disabled meanwhile");
}

/// Whoever runs the gate has to take a stolen key away before its application may act again.
#[tokio::test]
async fn an_administrator_reaches_the_keys_of_whoever_is_disabled() {
    let cast = cast().await;
    let service = &cast.bench.service;
    let (kept, old) = cast.create(&cast.admin, "crm", None).await.unwrap();
    let (stolen, value) = cast.create(&cast.admin, "crm", None).await.unwrap();
    cast.create(&cast.admin, "erp", None).await.unwrap();
    let by = || By::new("command line", None);
    service.set_standing(cast.crm.id, Standing::Disabled, by(), at(2)).await.unwrap();
    let seen = |owner| -> Vec<_> {
        let keys = service.keys(shop(), owner).into_iter();
        let mut seen: Vec<_> = keys.map(|(info, standing)| (info.owner, standing)).collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        seen
    };
    let crm = || ("CRM".to_owned(), Standing::Disabled);
    assert_eq!(seen(None), [crm(), crm(), ("ERP".to_owned(), Standing::Enabled)]);
    assert_eq!(seen(Some("crm")), [crm(), crm()]);
    let other = KeysOf { api: Arc::from("desk"), word: Arc::from("key") };
    assert!(service.keys(other.clone(), None).is_empty());
    let made =
        service.create_key(shop(), "CRM".to_owned(), key(), change("d", None), by(), at(3)).await.unwrap();
    assert!(matches!(made, KeyAnswer::NotFound), "nobody who may not act is given a key");
    let elsewhere = service.delete_key(other, stolen.id, by(), at(3)).await.unwrap();
    assert!(matches!(elsewhere, KeyAnswer::NotFound));
    done(service.delete_key(shop(), stolen.id, by(), at(4)).await.unwrap());
    let (_, new) = done(service.rotate_key(shop(), kept.id, key(), by(), at(4)).await.unwrap());
    service.set_standing(cast.crm.id, Standing::Enabled, by(), at(5)).await.unwrap();
    for dead in [&value, &old] {
        assert_eq!(cast.bench.says(digest_of(dead), at(6)).await, "unknown");
    }
    cast.bench.live(digest_of(&new.unwrap()), at(6)).await;
}

/// The audit says who did it and from where: a client, or whoever runs the gate.
#[tokio::test]
async fn the_audit_tells_clients_and_administrators_apart() {
    let cast = cast().await;
    let service = &cast.bench.service;
    let by = || By::new("command line", None);
    let (first, _) = cast.create(&cast.admin, "crm", None).await.unwrap();
    done(
        service.key_update(caller(&cast.crm), KeyName::Id(first.id), change("e", None), at(2)).await.unwrap(),
    );
    done(service.key_rotate(caller(&cast.crm), KeyName::Id(first.id), key(), at(3)).await.unwrap());
    done(service.rotate_key(shop(), first.id, key(), by(), at(4)).await.unwrap());
    done(service.delete_key(shop(), first.id, by(), at(5)).await.unwrap());
    done(service.create_key(shop(), "CRM".to_owned(), key(), change("d", None), by(), at(6)).await.unwrap());
    let events = service.audit(6).await.unwrap();
    let said: Vec<_> =
        events.iter().rev().map(|event| (&*event.event, &*event.actor, &*event.address)).collect();
    assert_eq!(
        said,
        [
            ("key.created", "users/root", "192.0.2.7"),
            ("key.changed", "applications/CRM", "192.0.2.7"),
            ("key.rotated", "applications/CRM", "192.0.2.7"),
            ("key.rotated", "command line", ""),
            ("key.deleted", "command line", ""),
            ("key.created", "command line", ""),
        ]
    );
}

/// That is no outage, and no client is to try it again and again.
#[tokio::test]
async fn an_application_has_so_many_keys_and_is_told_so() {
    let cast = cast().await;
    let make = || {
        let owner = "crm".to_owned();
        cast.bench.service.key_create(caller(&cast.admin), owner, key(), change("d", None), at(1))
    };
    for _ in 0..1000 {
        done(make().await.unwrap());
    }
    assert!(matches!(make().await.unwrap(), KeyAnswer::AtLimit));
    assert!(cast.create(&cast.admin, "erp", None).await.is_some());
}

/// What is under way goes on without its client: so it is counted, and what administrators order is not kept waiting behind
/// more than that.
#[tokio::test]
async fn an_account_has_so_many_changes_of_keys_under_way_and_an_administrator_any() {
    let cast = cast().await;
    let service = &cast.bench.service;
    let (crm, _) = cast.create(&cast.crm, "crm", None).await.unwrap();
    let (erp, _) = cast.create(&cast.erp, "erp", None).await.unwrap();
    let update = |by: &Arc<Account>, key: &KeyInfo, text: &str| {
        service.key_update(caller(by), KeyName::Id(key.id), change(text, None), at(2))
    };
    let held = service.core.administration.lock().await;
    let mut under_way: Vec<_> = (0..8).map(|n| update(&cast.crm, &crm, &n.to_string())).collect();
    // They are over for their clients, and not for the gate.
    under_way.truncate(4);
    for refused in [
        update(&cast.crm, &crm, "more"),
        service.key_rotate(caller(&cast.crm), KeyName::Id(crm.id), key(), at(2)),
        service.key_delete(caller(&cast.crm), KeyName::Id(crm.id), at(2)),
        service.key_create(caller(&cast.crm), "crm".to_owned(), key(), change("d", None), at(2)),
    ] {
        assert!(matches!(refused.now_or_never().unwrap().unwrap(), KeyAnswer::TooMany));
    }
    let another = update(&cast.erp, &erp, "mine");
    let deleted = service.delete_key(shop(), crm.id, By::new("command line", None), at(3));
    drop(held);
    for answer in under_way {
        done(answer.await.unwrap());
    }
    done(another.await.unwrap());
    done(deleted.await.unwrap());
    assert!(cast.create(&cast.crm, "crm", None).await.is_some(), "all places are free again");
}

#[tokio::test]
async fn what_is_said_again_of_a_key_is_written_nowhere() {
    let cast = cast().await;
    let service = &cast.bench.service;
    let (made, _) = cast.create(&cast.crm, "crm", None).await.unwrap();
    let update = |text: &str, secs| {
        let answer =
            service.key_update(caller(&cast.crm), KeyName::Id(made.id), change(text, None), at(secs));
        async move { done(answer.await.unwrap()).0 }
    };
    // A text that is cut is the one that was cut before.
    let long = "x".repeat(2000);
    let first = update(&long, 2).await;
    assert_eq!((first.description.len(), first.updated_at), (1000, at(2)));
    let events = cast.bench.events().await.len();
    cast.bench.store.switch(Power::Off);
    let again = update(&long, 3).await;
    assert_eq!((again.description, again.updated_at), (first.description, at(2)));
    cast.bench.store.switch(Power::On);
    assert_eq!(cast.bench.events().await.len(), events);
}

#[tokio::test]
async fn a_key_with_an_end_outlives_a_clock_that_was_ahead() {
    let cast = cast().await;
    let (_, value) = cast.create(&cast.crm, "crm", Some(1000)).await.unwrap();
    let digest = digest_of(&value);
    assert_eq!(cast.bench.says(digest, at(100_000)).await, "expired");
    cast.bench.service.sweep(at(100_000)).await.unwrap();
    assert_eq!(cast.bench.says(digest, at(100_000)).await, "expired");
    assert_eq!(cast.bench.says(digest, at(10)).await, "live");
}
