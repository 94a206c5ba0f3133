use countersign_auth::account::AccountId;
use countersign_auth::port::{ApplicationAnswer, PasswordChange, SharedAnswer};

use super::*;
use crate::accounts::directory::Entry;
use crate::accounts::{AccountError, AccountView, Standing};
use crate::service::Ended;
use crate::service::equivalents::NewPassword;
use crate::store::switchable::Power;

fn error(answer: Result<Arc<Account>, AccountError>) -> String {
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn names_and_subjects_are_unique_within_a_kind() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "Ann").await;
    bench.account("customers", "ann").await;
    let create = |draft| bench.service.create_account(draft, By::gate(), at(1));
    assert_eq!(error(create(AccountDraft::new("users", "aNN")).await), "the name is taken");
    let mut draft = AccountDraft::new("users", "bob");
    draft.subject = Some("Ann".to_owned());
    assert_eq!(error(create(draft).await), "the subject is taken");
    let bob = bench.account("users", "bob").await;
    assert!(bob.id > ann.id);
    let become_ann = |_: &AccountView| Ok::<_, AccountError>(AccountDraft::new("users", "ann"));
    let rename = bench.service.update_account(bob.id, become_ann, By::gate(), at(1)).await;
    assert_eq!(error(rename), "the name is taken");
    let nobody = bench.service.update_account(AccountId(99), become_ann, By::gate(), at(1)).await;
    assert_eq!(error(nobody), "no such account");
    assert_eq!(bench.service.account_by_subject("users", "Ann").unwrap().id, ann.id);
    assert!(bench.service.account_by_subject("users", "ann").is_none(), "subjects are exact");
    assert!(bench.service.account_by_subject("devices", "Ann").is_none());
    assert_eq!(bench.service.account_named("users", "aNn").unwrap().account.id, ann.id);
}

#[tokio::test]
async fn an_address_of_two_accounts_logs_neither_in() {
    let bench = Bench::new().await;
    bench.account("users", "ann").await;
    let mut draft = AccountDraft::new("users", "bob");
    draft.email = "ann@example.com".to_owned();
    draft.password = Some(Secret::new("another one"));
    bench.service.create_account(draft, By::gate(), at(0)).await.unwrap();
    for password in [PASSWORD, "another one"] {
        let answer = bench.login(claim("ann@example.com", password), at(1)).await;
        assert!(matches!(answer, PasswordAnswer::Refused("no such user", None)));
    }
}

#[tokio::test]
async fn what_an_older_copy_proved_does_not_count_whenever_it_was() {
    let bench = Bench::new().await;
    let old = bench.account("users", "ann").await;
    let set = |secs| {
        let new = NewPassword::Lasting(Secret::new("another one"));
        bench.service.set_password(old.id, new, Vec::new(), By::gate(), at(secs))
    };
    let now = || bench.service.account(old.id).unwrap().account;
    // A moment after the proof, as when an answer opens it.
    let opens = |account: &Arc<Account>, secs| {
        let now = at(secs).plus(Duration::from_millis(40));
        let opened = bench.open(Some(account), session(), at(secs), None, now);
        opened.is_some()
    };
    // Ordered before the log-in, done after it.
    assert!(opens(&old, 5));
    set(4).await.unwrap();
    assert!(bench.service.issue(order(Some(&old), vec![session()], at(5)), at(6)).await.is_err());
    assert!(!opens(&old, 6));
    let new = now();
    assert!(opens(&new, 6));
    let kept = digest(&bench.issue(order(Some(&new), vec![session()], at(6)), at(6)).await[0]);
    // Whoever keeps his session has proven himself just now.
    let changed = bench.service.password_change(
        claim("ann", "another one"),
        Secret::new("one more of them"),
        Some(kept),
        at(7),
    );
    assert_eq!(changed.await.unwrap(), PasswordChange::Done);
    let token = bench.live(kept, at(8)).await;
    let further = order(token.account.as_ref(), vec![access()], token.proven_at);
    bench.issue(Issue { proven_at: token.proven_at, ..further }, at(8)).await;
    // A clock that was an hour ahead, and was set back: who proves himself now is who he is.
    set(3600).await.unwrap();
    assert!(!opens(&new, 9));
    assert!(opens(&now(), 9));
    // It goes on to tell changes apart.
    let between = now();
    set(10).await.unwrap();
    assert!(between.proofs_from < now().proofs_from);
    assert!(!opens(&between, 11));
    assert!(opens(&now(), 11));
}

#[tokio::test]
async fn a_change_is_made_of_what_is_there_and_brings_nothing_back() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let update = |change: fn(&AccountView) -> AccountDraft, secs| {
        let change = move |view: &AccountView| Ok::<_, AccountError>(change(view));
        bench.service.update_account(ann.id, change, By::gate(), at(secs))
    };
    let promoted = |view: &AccountView| AccountDraft {
        roles: vec!["administrator".to_owned()],
        ..AccountDraft::of(&view.account)
    };
    let renamed = |view: &AccountView| AccountDraft {
        full_name: "Ann B.".to_owned(),
        ..AccountDraft::of(&view.account)
    };
    let demoted = |view: &AccountView| AccountDraft { roles: Vec::new(), ..AccountDraft::of(&view.account) };
    update(promoted, 1).await.unwrap();
    // Both are asked for while she still has the role; it is taken away first.
    let (taken, written) = {
        let _one_at_a_time = bench.service.core.administration.lock().await;
        let taken = tokio::spawn(update(demoted, 2));
        let written = tokio::spawn(update(renamed, 2));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        (taken, written)
    };
    taken.await.unwrap().unwrap();
    written.await.unwrap().unwrap();
    let now = bench.service.account(ann.id).unwrap().account;
    assert_eq!((now.full_name.as_str(), now.roles.as_slice()), ("Ann B.", [].as_slice()));
    // What changes nothing is no change; a password is none.
    let before = bench.events().await.len();
    update(renamed, 3).await.unwrap();
    assert_eq!(bench.events().await.len(), before);
    let password = |view: &AccountView| AccountDraft {
        password: Some(Secret::new("another one")),
        ..AccountDraft::of(&view.account)
    };
    assert_eq!(error(update(password, 4).await), "password is set by itself");
}

#[tokio::test]
async fn rights_that_change_end_what_was_proven() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let before = bench.token(&ann, session(), at(0)).await;
    let draft = |roles: &[&str], full_name: &str| {
        let mut draft = AccountDraft::new("users", "ann");
        draft.email = "ann@example.com".to_owned();
        draft.roles = roles.iter().map(|&role| role.to_owned()).collect();
        draft.full_name = full_name.to_owned();
        draft
    };
    let update = |draft, now| {
        let change = move |_: &AccountView| Ok::<_, AccountError>(draft);
        bench.service.update_account(ann.id, change, By::gate(), at(now))
    };
    let renamed = update(draft(&[], "Ann B."), 5).await.unwrap();
    assert!(!ann.live.is_up() && renamed.live.is_up());
    assert_eq!(renamed.proofs_from, at(0));
    assert_eq!(bench.live(before, at(6)).await.account.unwrap().full_name, "Ann B.");
    let promoted = update(draft(&["administrator"], "Ann B."), 7).await.unwrap();
    assert_eq!((promoted.proofs_from, &*promoted.kind), (at(7), "users"));
    assert_eq!(bench.says(before, at(8)).await, "unknown");
    // A log-in that was proven before the change is not completed after it.
    let late = bench.service.issue(order(Some(&renamed), vec![session()], at(6)), at(8)).await;
    assert!(late.is_err());
    assert!(matches!(bench.login(claim("ann", PASSWORD), at(8)).await, PasswordAnswer::Proven(_)));
}

/// A log-in as what an account has become is none of what ends with the change.
#[test]
fn what_an_account_becomes_is_not_seen_before_what_it_was_has_ended() {
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bench = control.block_on(Bench::new());
    let ann = control.block_on(bench.account("users", "ann"));
    let token = control.block_on(bench.token(&ann, session(), at(0)));
    let core = bench.service.core();
    let proofs_from = || core.directory.enabled(ann.id.0).unwrap().proofs_from;
    // Somebody changes tokens all the time until the store has the change.
    let held = core.ledger();
    let changed = bench.service.end_sessions(ann.id, By::gate(), at(5));
    let is_stored = || async { bench.store.accounts().await.unwrap()[0].proofs_from == at(5).unix_ms() };
    control.block_on(until(is_stored));
    for _ in 0..100_000 {
        assert_eq!(proofs_from(), ann.proofs_from);
        std::thread::yield_now();
    }
    drop(held);
    control.block_on(changed).unwrap();
    assert_eq!(proofs_from(), at(5));
    assert_eq!(control.block_on(bench.says(token, at(6))), "unknown");
    let now = core.directory.enabled(ann.id.0).unwrap();
    let token = control.block_on(bench.token(&now, session(), at(6)));
    assert_eq!(control.block_on(bench.says(token, at(7))), "live");
    control.block_on(bench.close());
}

#[tokio::test]
async fn a_disabled_account_is_dead_at_once_and_everywhere() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, session(), at(0)).await;
    let opened = bench.open(Some(&ann), session(), at(0), None, at(0)).unwrap();
    let mut ended = bench.service.ended();
    bench.service.set_standing(ann.id, Standing::Disabled, By::gate(), at(5)).await.unwrap();
    assert_eq!(ended.recv().await.unwrap(), Ended::Account(ann.id));
    assert!(!ann.live.is_up());
    for digest in [token, digest(&opened)] {
        assert_eq!(bench.says(digest, at(6)).await, "unknown");
    }
    assert!(bench.open(Some(&ann), session(), at(0), None, at(6)).is_none());
    assert!(bench.service.issue(order(Some(&ann), vec![session()], at(0)), at(6)).await.is_err());
    assert!(bench.service.account_by_subject("users", "ann").is_none());
    assert!(matches!(
        bench.login(claim("ann", PASSWORD), at(6)).await,
        PasswordAnswer::Refused("the account is disabled", Some(_))
    ));
    bench.service.set_standing(ann.id, Standing::Enabled, By::gate(), at(7)).await.unwrap();
    assert_eq!(bench.says(token, at(8)).await, "unknown", "what ended stays ended");
    assert!(matches!(bench.login(claim("ann", PASSWORD), at(8)).await, PasswordAnswer::Proven(_)));
    assert_eq!(bench.events().await[..2], ["account.enabled users/ann", "account.disabled users/ann"]);
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_and_its_number_is_not_used_again() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, session(), at(0)).await;
    let value = || Secret::new("1234abc");
    bench.service.set_shared_value("push", "device", ann.id, value(), By::gate(), at(0)).await.unwrap();
    bench.service.delete_account(ann.id, By::gate(), at(1)).await.unwrap();
    assert_eq!(bench.says(token, at(2)).await, "unknown");
    assert!(matches!(
        bench.service.shared_value("push", "device", "1234abc", home(), at(2)),
        SharedAnswer::NotSet
    ));
    let bench = bench.reopen().await;
    assert_eq!(bench.says(token, at(2)).await, "unknown");
    let again = bench.account("users", "ann").await;
    assert!(again.id > ann.id);
    assert_eq!(bench.service.accounts().len(), 1);
}

#[tokio::test]
async fn shared_values_and_application_secrets() {
    let bench = Bench::new().await;
    let device = bench.account("devices", "phones").await;
    let app = bench.account("applications", "crm").await;
    let answer =
        |bench: &Bench, api, value| match bench.service.shared_value(api, "device", value, home(), at(0)) {
            SharedAnswer::Right(account) => account.name.to_string(),
            SharedAnswer::Wrong => "wrong".to_owned(),
            SharedAnswer::NotSet => "not set".to_owned(),
            SharedAnswer::TooMany => "too many".to_owned(),
        };
    assert_eq!(answer(&bench, "push", "1234abc"), "not set");
    let set = |value| {
        bench.service.set_shared_value("push", "device", device.id, Secret::new(value), By::gate(), at(0))
    };
    set("old").await.unwrap();
    set("1234abc").await.unwrap();
    let secret = Secret::new("application secret");
    bench.service.set_application_secret("crm", app.id, secret, By::gate(), at(0)).await.unwrap();
    let bench = bench.reopen().await;
    for (api, value, expected) in [
        ("push", "1234abc", "phones"),
        ("push", "1234abd", "wrong"),
        ("push", "old", "wrong"),
        ("push", "", "wrong"),
        ("mail", "1234abc", "not set"),
    ] {
        assert_eq!(answer(&bench, api, value), expected, "{api} {value}");
    }
    let says = |api, secret| bench.service.application_secret(api, secret, home(), at(0));
    assert_eq!(says("crm", "application secret"), ApplicationAnswer::Right);
    assert_eq!(says("crm", "application secre"), ApplicationAnswer::Wrong);
    assert_eq!(says("push", "application secret"), ApplicationAnswer::Wrong);
    for id in [device.id, app.id] {
        bench.service.set_standing(id, Standing::Disabled, By::gate(), at(1)).await.unwrap();
    }
    assert_eq!(says("crm", "application secret"), ApplicationAnswer::Wrong);
    assert_eq!(answer(&bench, "push", "1234abc"), "wrong");
    bench.service.clear_shared_value("push", "device", device.id, By::gate(), at(1)).await.unwrap();
    assert_eq!(answer(&bench, "push", "1234abc"), "not set");
}

/// A configuration says it at every start, also on a full disk.
#[tokio::test]
async fn what_is_said_again_of_a_value_is_written_nowhere() {
    let bench = Bench::new().await;
    let device = bench.account("devices", "phones").await;
    let set = |value| {
        bench.service.set_shared_value("push", "device", device.id, Secret::new(value), By::gate(), at(0))
    };
    let clear = || bench.service.clear_shared_value("push", "device", device.id, By::gate(), at(0));
    set("1234abc").await.unwrap();
    let events = bench.events().await;
    bench.store.switch(Power::Off);
    set("1234abc").await.unwrap();
    assert!(set("1234abd").await.is_err() && clear().await.is_err());
    bench.store.switch(Power::On);
    assert_eq!(bench.events().await, events);
    clear().await.unwrap();
    bench.store.switch(Power::Off);
    clear().await.unwrap();
    assert!(set("1234abc").await.is_err(), "it is there no more");
}

#[tokio::test]
async fn the_first_administrator_is_made_once() {
    let bench = Bench::new().await;
    let password = bench.service.ensure_administrator("root", at(0)).await.unwrap().unwrap();
    assert_eq!(password.expose().len(), 24);
    assert!(bench.service.ensure_administrator("Root", at(1)).await.unwrap().is_none());
    match bench.login(claim("root", password.expose()), at(1)).await {
        PasswordAnswer::Proven(account) => assert_eq!(account.roles, ["administrator"]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_secret_reaches_the_database_in_clear() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let issued = bench.issue(order(Some(&ann), vec![session(), access(), refresh()], at(0)), at(0)).await;
    let shared = "a shared value that is known";
    let value = Secret::new(shared);
    bench.service.set_shared_value("push", "device", ann.id, value, By::gate(), at(0)).await.unwrap();
    let folder = bench.close().await;
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("ann@example.com"));
    for secret in issued.iter().map(|issued| issued.value.expose()).chain([PASSWORD, shared]) {
        assert!(!holds(secret));
    }
}

#[tokio::test]
async fn an_account_that_lives_elsewhere_is_not_taken_for_nobody() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let foreign = Account {
        id: AccountId(0),
        kind: "customers".into(),
        name: "c".into(),
        subject: "c".to_owned(),
        full_name: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        tenant: None,
        roles: Vec::new(),
        keys: ann.keys.clone(),
        issuer: None,
        proofs_from: at(0),
        live: ann.live.clone(),
        minted: countersign_auth::assertion::Minted::default(),
    };
    let foreign = Arc::new(foreign);
    assert!(bench.service.issue(order(Some(&foreign), vec![session()], at(1)), at(1)).await.is_err());
    assert!(bench.open(Some(&foreign), session(), at(1), None, at(1)).is_none());
    assert_eq!(bench.service.tokens_in_memory(), 0);
}

/// Whoever logs in while something of an account is changed is no stranger for that moment.
#[tokio::test]
async fn an_account_that_changes_is_found_all_the_while() {
    let bench = Bench::new().await;
    let draft = |email: &str| AccountDraft { email: email.to_owned(), ..AccountDraft::new("users", "dora") };
    let dora = bench.service.create_account(draft("dora@example.com"), By::gate(), at(0)).await.unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let directory = &bench.service.core.directory;
    let looks = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || looks == 0 {
                assert!(directory.named("users", "Dora").is_some());
                assert!(directory.login("users", "dora@example.com").is_some());
                assert!(directory.subject("users", &dora.subject).is_some());
                looks += 1;
            }
            looks
        });
        for _ in 0..20_000 {
            directory.put(Entry {
                account: Arc::clone(&dora),
                disabled: false,
                password: None,
                password_due: false,
                created_at: at(0),
                updated_at: at(0),
            });
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        looking.join().unwrap()
    });
    assert!(looks > 0);
    // Of the names that it had nothing is left.
    let change = move |_: &AccountView| {
        Ok::<_, AccountError>(AccountDraft { name: "Dorothea".to_owned(), ..draft("thea@example.com") })
    };
    bench.service.update_account(dora.id, change, By::gate(), at(1)).await.unwrap();
    assert!(
        directory.named("users", "dora").is_none() && directory.login("users", "dora@example.com").is_none()
    );
    assert!(directory.named("users", "dorothea").is_some());
    assert!(directory.login("users", "thea@example.com").is_some());
}
