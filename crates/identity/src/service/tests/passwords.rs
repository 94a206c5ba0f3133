use countersign_auth::port::{After, PasswordChange, ProofKey, Verified};
use smallvec::SmallVec;

use super::*;
use crate::accounts::{AccountError, PasswordState, Standing};
use crate::service::equivalents::NewPassword;

fn text(answer: &PasswordAnswer) -> &'static str {
    match answer {
        PasswordAnswer::Proven(_) => "proven",
        PasswordAnswer::ProvenElsewhere(..) => "proven elsewhere",
        PasswordAnswer::Due(_) => "due",
        PasswordAnswer::Refused(text, _) => text,
        PasswordAnswer::BadProvider => "bad provider",
        PasswordAnswer::TooMany => "too many",
    }
}

#[tokio::test]
async fn every_claim_costs_one_run_whoever_the_user_is() {
    let bench = Bench::new().await;
    bench.account("users", "ann").await;
    let bob = bench.account("users", "bob").await;
    bench.service.set_standing(bob.id, Standing::Disabled, By::gate(), at(0)).await.unwrap();
    let bare = AccountDraft::new("users", "cid");
    bench.service.create_account(bare, By::gate(), at(0)).await.unwrap();
    let check = |user: &'static str, password: &'static str, expected: &'static str| {
        let bench = &bench;
        async move {
            let before = bench.service.password_runs();
            let answer = bench.login(claim(user, password), at(1)).await;
            assert_eq!((text(&answer), bench.service.password_runs() - before), (expected, 1), "{user}");
        }
    };
    check("ann", PASSWORD, "proven").await;
    check("ANN", PASSWORD, "proven").await;
    check("Ann@Example.com", PASSWORD, "proven").await;
    check("ann", "wrong", "wrong password").await;
    check("ann", "open sesame ", "wrong password").await;
    check("nobody", PASSWORD, "no such user").await;
    check("bob", PASSWORD, "the account is disabled").await;
    check("bob", "wrong", "wrong password").await;
    check("cid", PASSWORD, "the account has no password").await;
    let before = bench.service.password_runs();
    for malformed in ["", "a\0b", &"x".repeat(4097)] {
        assert!(matches!(bench.login(claim("ann", malformed), at(1)).await, PasswordAnswer::Refused(..)));
    }
    assert_eq!(bench.service.password_runs(), before, "no account is looked at");
    let mut customer = claim("ann", PASSWORD);
    customer.kind = Arc::from("customers");
    assert_eq!(text(&bench.login(customer, at(1)).await), "no such user");
}

#[tokio::test]
async fn all_names_of_an_account_are_one_bucket() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    for (number, user) in ["ann", "ANN", "ann@example.com", "Ann", "ann"].into_iter().enumerate() {
        let mut claim = claim(user, &format!("guess {number}"));
        claim.api = Arc::from(if number % 2 == 0 { "shop" } else { "mail" });
        claim.address = IpAddr::from([10, 0, 1, number as u8]);
        assert_eq!(text(&bench.login(claim, at(1)).await), "wrong password");
    }
    let before = bench.service.password_runs();
    for user in ["ann", "ANN@example.com"] {
        assert_eq!(text(&bench.login(claim(user, PASSWORD), at(1)).await), "locked after failed attempts");
    }
    assert_eq!(
        bench.service.password_runs() - before,
        2,
        "a locked account costs what a wrong password costs"
    );
    assert_eq!(text(&bench.login(claim("ann", PASSWORD), at(2)).await), "proven");
    bench.noted("account.locked users/ann").await;

    for number in 0..5 {
        let mut claim = claim("ann", &format!("guess {number}"));
        claim.address = IpAddr::from([10, 0, 1, 1]);
        bench.login(claim, at(3)).await;
    }
    assert_eq!(text(&bench.login(claim("ann", PASSWORD), at(3)).await), "proven", "his address is known");
    let mut elsewhere = claim("ann", PASSWORD);
    elsewhere.address = IpAddr::from([10, 0, 1, 9]);
    assert_eq!(text(&bench.login(elsewhere, at(3)).await), "locked after failed attempts");
    bench.service.unlock(ann.id, By::gate(), at(3)).await.unwrap();
    let mut elsewhere = claim("ann", PASSWORD);
    elsewhere.address = IpAddr::from([10, 0, 1, 9]);
    assert_eq!(text(&bench.login(elsewhere, at(3)).await), "proven");
}

#[tokio::test]
async fn an_address_that_guesses_names_is_slowed_down() {
    let bench = Bench::new().await;
    bench.account("users", "ann").await;
    for number in 0..50 {
        let answer = bench.login(claim(&format!("user{number}"), "guess"), at(1)).await;
        assert_eq!(text(&answer), "no such user");
    }
    assert_eq!(text(&bench.login(claim("ann", PASSWORD), at(1)).await), "too many");
    assert_eq!(text(&bench.login(claim("ann", PASSWORD), at(61)).await), "proven");
}

#[tokio::test]
async fn one_password_sent_many_times_at_once_is_verified_once() {
    let bench = Bench::new().await;
    bench.account("users", "ann").await;
    let before = bench.service.password_runs();
    // More than one address may fail in a minute.
    let claims = (0..200).map(|_| bench.service.check_password(claim("ann", PASSWORD), at(1)));
    let answers = futures_util::future::join_all(claims.collect::<Vec<_>>()).await;
    for answer in answers {
        assert_eq!(text(&answer.unwrap()), "proven", "and good ones at once are no attack");
    }
    let runs = bench.service.password_runs() - before;
    assert!((1..200).contains(&runs), "{runs}");
}

#[tokio::test]
async fn tenants_and_providers_are_checked() {
    let bench = Bench::new().await;
    let mut draft = AccountDraft::new("users", "ann");
    draft.tenant = Some("Cust1".to_owned());
    draft.password = Some(Secret::new(PASSWORD));
    bench.service.create_account(draft, By::gate(), at(0)).await.unwrap();
    bench.account("users", "bob").await;
    bench.service.declare_provider("shop", "corp", None);
    bench.service.declare_provider("shop", "ad", Some("EU"));
    let check = |user: &str, provider: Option<&str>, domain: Option<&str>, tenant: Option<&str>| {
        let mut claim = claim(user, PASSWORD);
        claim.provider = provider.map(str::to_owned);
        claim.domain = domain.map(str::to_owned);
        claim.tenant = tenant.map(str::to_owned);
        let login = bench.service.check_password(claim, at(1));
        async move { text(&login.await.unwrap()) }
    };
    assert_eq!(check("ann", None, None, None).await, "proven");
    assert_eq!(check("ann", None, None, Some("cust1")).await, "proven");
    // The log tells it from a name that nobody has; clients do not hear it.
    assert_eq!(check("ann", None, None, Some("cust2")).await, "the account is of another tenant");
    assert_eq!(check("nobody", None, None, Some("cust2")).await, "no such user");
    assert_eq!(check("bob", None, None, Some("cust2")).await, "proven", "who has no tenant acts for any");
    assert_eq!(check("ann", Some("corp"), None, None).await, "proven");
    assert_eq!(check("ann", Some("ad"), Some("EU"), None).await, "proven");
    assert_eq!(check("ann", Some("ad"), None, None).await, "bad provider");
    assert_eq!(check("ann", Some("ad"), Some("US"), None).await, "bad provider");
    assert_eq!(check("ann", Some("other"), None, None).await, "bad provider");
    assert_eq!(check("ann", None, Some("EU"), None).await, "bad provider");
    assert_eq!(check("ann", Some(""), Some(""), None).await, "proven");
}

#[tokio::test]
async fn a_changed_password_ends_everything_but_what_is_kept() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let kept = bench.token(&ann, session(), at(0)).await;
    let other = bench.token(&ann, session(), at(0)).await;
    let access = bench.token(&ann, access(), at(0)).await;
    bench.service.remember(
        ProofKey([1; 32]),
        Verified {
            account: Arc::clone(&ann),
            proven_at: at(0),
            until: at(100),
            keys: SmallVec::new(),
            after: After::Unverified,
        },
        at(0),
    );
    assert!(bench.service.recall(&ProofKey([1; 32]), at(1)).is_some());
    let change = |old: &str, new: &str| {
        let change = bench.service.password_change(claim("ann", old), Secret::new(new), Some(kept), at(10));
        async move { change.await.unwrap() }
    };
    assert_eq!(change("wrong", "correct horse").await, PasswordChange::WrongOld);
    assert_eq!(change(PASSWORD, PASSWORD).await, PasswordChange::Unfit("the new password is the old one"));
    assert_eq!(change(PASSWORD, "short").await, PasswordChange::Unfit("the new password is too short"));
    assert_eq!(bench.says(other, at(10)).await, "live");
    assert!(bench.service.recall(&ProofKey([1; 32]), at(10)).is_some());
    assert_eq!(change(PASSWORD, "correct horse").await, PasswordChange::Done);
    assert!(bench.service.recall(&ProofKey([1; 32]), at(10)).is_none());
    for (digest, says) in [(kept, "live"), (other, "unknown"), (access, "unknown")] {
        assert_eq!(bench.says(digest, at(11)).await, says);
    }
    assert_eq!(bench.service.account(ann.id).unwrap().account.proofs_from, at(10));
    assert_eq!(bench.live(kept, at(11)).await.proven_at, at(10), "he has just proven the old one");
    let bench = bench.reopen().await;
    assert_eq!(bench.live(kept, at(11)).await.proven_at, at(10));
    for (digest, says) in [(kept, "live"), (other, "unknown"), (access, "unknown")] {
        assert_eq!(bench.says(digest, at(11)).await, says);
    }
    assert_eq!(text(&bench.login(claim("ann", PASSWORD), at(11)).await), "wrong password");
    assert_eq!(text(&bench.login(claim("ann", "correct horse"), at(11)).await), "proven");
}

#[tokio::test]
async fn a_due_password_must_be_changed() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let set = |password| bench.service.set_password(ann.id, password, Vec::new(), By::gate(), at(1));
    set(NewPassword::Due(Secret::new("first password"))).await.unwrap();
    assert_eq!(bench.service.account(ann.id).unwrap().password, PasswordState::Due);
    assert_eq!(text(&bench.login(claim("ann", "first password"), at(2)).await), "due");
    let claim_first = claim("ann", "first password");
    let changed = bench.service.password_change(claim_first, Secret::new("second one"), None, at(2));
    assert_eq!(changed.await.unwrap(), PasswordChange::Done);
    assert_eq!(text(&bench.login(claim("ann", "second one"), at(3)).await), "proven");
    let unfit = set(NewPassword::Lasting(Secret::new("password1"))).await;
    assert!(matches!(unfit, Err(AccountError::Unfit { field: "password", .. })));
    set(NewPassword::None).await.unwrap();
    assert_eq!(text(&bench.login(claim("ann", "second one"), at(3)).await), "the account has no password");
}

/// What is kept was spoiled: a restore of half a backup, or an edit by hand.
#[tokio::test]
async fn a_hash_that_cannot_be_read_is_no_wrong_password() {
    let bench = Bench::new().await;
    bench.account("users", "ann").await;
    bench.account("users", "bob").await;
    let spoil = |hash: &str| {
        let database = rusqlite::Connection::open(options(&bench.folder).database).unwrap();
        let spoiled = database.execute("UPDATE accounts SET password_hash = ?1 WHERE name = 'ann'", [hash]);
        assert_eq!(spoiled.unwrap(), 1);
    };
    spoil("$argon2id$v=19$m=8,t=1,p=1$spoiled");
    let bench = bench.reopen().await;
    // More often than an account or an address may fail.
    for _ in 0..60 {
        assert!(bench.service.check_password(claim("ann", PASSWORD), at(1)).await.is_err());
    }
    assert_eq!(text(&bench.login(claim("bob", PASSWORD), at(1)).await), "proven");
    let ann = bench.service.account_named("users", "ann").unwrap().account.id;
    let password = NewPassword::Lasting(Secret::new(PASSWORD));
    bench.service.set_password(ann, password, Vec::new(), By::gate(), at(1)).await.unwrap();
    assert_eq!(text(&bench.login(claim("ann", PASSWORD), at(1)).await), "proven");
}
