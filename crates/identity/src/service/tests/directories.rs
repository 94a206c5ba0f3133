//! Passwords that a directory knows: what the gate does around the question.

use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::*;
use crate::directory::person::Person;
use crate::directory::{Directory, DirectorySettings, FirstSight, Route, Trouble, Verdict};
use crate::service::directories::Home;
use crate::store::switchable::Power;

/// Knows one person, needs a while to say so, and longer than anybody waits for whoever is called `slow`.
struct Corp {
    entered: Arc<Notify>,
    leave: Arc<Notify>,
}

/// What a slow hash takes; a user that is not there costs nothing.
const HASH: Duration = Duration::from_millis(30);
/// The promise of `docs/directory-ldap.md`.
const REFUSED_AFTER: Duration = Duration::from_millis(250);

impl Directory for Corp {
    fn check<'d>(&'d self, user: &'d str, password: &'d Secret) -> BoxFuture<'d, Result<Verdict, Trouble>> {
        Box::pin(async move {
            if user == "slow" {
                self.entered.notify_one();
                self.leave.notified().await;
                return Err(Trouble::Down("it did not answer in time".to_owned()));
            }
            // As LDAP compares names (RFC 4518).
            if user.trim().to_lowercase().replace('\u{ad}', "").replace('\u{f3}', "o") != "rosa" {
                return Ok(Verdict::Wrong("no such user"));
            }
            tokio::time::sleep(HASH).await;
            if password.expose() != PASSWORD {
                return Ok(Verdict::Wrong("wrong password"));
            }
            let person = Person { id: "1".to_owned(), name: "rosa".to_owned(), ..Person::default() };
            Ok(Verdict::Right(Box::new(person)))
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

/// A directory behind all log-ins of kind `users`; what the two ends of a slow question are told by.
pub(super) fn asked(bench: &Bench) -> (Arc<Notify>, Arc<Notify>) {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let settings = DirectorySettings {
        first_sight: FirstSight::Create,
        remembered: Duration::from_millis(1),
        at_once: 1,
        waiting: 1,
    };
    let corp = Corp { entered: Arc::clone(&entered), leave: Arc::clone(&leave) };
    bench.service.add_directory("corp", Box::new(corp), settings);
    let (api, kind) = ("shop".to_owned(), "users".to_owned());
    assert!(bench.service.route_directory(Route { api, kind, provider: None, domain: None }, "corp"));
    (entered, leave)
}

#[tokio::test]
async fn a_refusal_is_not_told_sooner_for_whom_a_directory_does_not_have() {
    let bench = Bench::new().await;
    bench.account("users", "local").await;
    asked(&bench);
    for (user, password, expected) in [
        ("rosa", PASSWORD, "proven elsewhere"),
        ("rosa", "wrong", "refused"),
        ("nobody", "wrong", "refused"),
        ("nobody", PASSWORD, "refused"),
        // An account of the gate's own: it is no stranger to the directory by the time, either.
        ("local", "wrong", "refused"),
        ("local", PASSWORD, "proven"),
        ("rosa", "", "refused"),
    ] {
        let begun = Instant::now();
        let answer = bench.login(claim(user, password), at(1)).await;
        let word = match answer {
            PasswordAnswer::ProvenElsewhere(..) => "proven elsewhere",
            PasswordAnswer::Proven(_) => "proven",
            PasswordAnswer::Refused(..) => "refused",
            other => panic!("{user}: {other:?}"),
        };
        assert_eq!(word, expected, "{user} {password}");
        assert!(word != "refused" || begun.elapsed() >= REFUSED_AFTER, "{user} {password}");
    }
    bench.close().await;
}

#[tokio::test]
async fn a_directory_that_answers_slowly_holds_up_so_many_and_nobody_else() {
    let bench = Bench::new().await;
    bench.account("users", "local").await;
    let (entered, leave) = asked(&bench);
    let slow = tokio::spawn(bench.service.check_password(claim("slow", "one"), at(1)));
    entered.notified().await;
    let waiting = tokio::spawn(bench.service.check_password(claim("slow", "two"), at(1)));
    // One thread takes them as they come: the second one is in line before the third is looked at.
    assert!(matches!(bench.login(claim("rosa", PASSWORD), at(1)).await, PasswordAnswer::TooMany));
    assert!(matches!(bench.login(claim("local", PASSWORD), at(1)).await, PasswordAnswer::Proven(_)));
    leave.notify_one();
    assert!(slow.await.unwrap().is_err(), "what was not answered is neither right nor wrong");
    entered.notified().await;
    leave.notify_one();
    assert!(waiting.await.unwrap().is_err());
    let answer = bench.login(claim("rosa", PASSWORD), at(2)).await;
    assert!(matches!(answer, PasswordAnswer::ProvenElsewhere(..)), "{answer:?}");
    bench.close().await;
}

#[tokio::test]
async fn one_question_that_many_wait_for_is_one_attempt() {
    let bench = Bench::new().await;
    let (entered, leave) = asked(&bench);
    let claims = (0..200).map(|_| bench.service.check_password(claim("slow", "one"), at(1)));
    let waiting: Vec<_> = claims.map(tokio::spawn).collect();
    entered.notified().await;
    until(|| async { bench.service.core.asked.aboard() == 200 }).await;
    leave.notify_one();
    for answer in waiting {
        assert!(
            answer.await.unwrap().is_err(),
            "it did not answer, and nobody is told that there were too many"
        );
    }
    // Nobody was wrong: a whole minute's failures are left.
    for guess in 0..50 {
        let answer = bench.login(claim(&format!("nobody{guess}"), ""), at(2)).await;
        assert!(matches!(answer, PasswordAnswer::Refused(..)), "{guess}: {answer:?}");
    }
    assert!(matches!(bench.login(claim("nobody", ""), at(2)).await, PasswordAnswer::TooMany));
    bench.close().await;
}

#[tokio::test]
async fn spellings_that_a_directory_takes_for_one_name_share_one_bucket() {
    for known in [false, true] {
        let bench = Bench::new().await;
        asked(&bench);
        if known {
            let answer = bench.login(claim("rosa", PASSWORD), at(1)).await;
            assert!(matches!(answer, PasswordAnswer::ProvenElsewhere(..)), "{answer:?}");
        }
        for guess in ["rosa", " rosa", "rosa  ", "ROSA", "r\u{f3}sa", "ro\u{ad}sa"] {
            let answer = bench.login(claim(guess, "guess"), at(2)).await;
            assert!(matches!(answer, PasswordAnswer::Refused(..)), "{guess}: {answer:?}");
        }
        for spelling in ["rosa", "rosa   ", "Rosa"] {
            let answer = bench.login(claim(spelling, PASSWORD), at(2)).await;
            let PasswordAnswer::Refused(why, _) = answer else { panic!("{spelling}: {answer:?}") };
            assert_eq!(why, "locked after failed attempts", "{spelling}");
        }
        let answer = bench.login(claim("rosa", PASSWORD), at(60)).await;
        assert!(matches!(answer, PasswordAnswer::ProvenElsewhere(..)), "{answer:?}");
        bench.close().await;
    }
}

/// Knows one person, and says of him what it is told to.
struct Says(Arc<std::sync::Mutex<Person>>);

impl Directory for Says {
    fn check<'d>(&'d self, _user: &'d str, _password: &'d Secret) -> BoxFuture<'d, Result<Verdict, Trouble>> {
        let person = self.0.lock().unwrap().clone();
        Box::pin(async { Ok(Verdict::Right(Box::new(person))) })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn what_a_directory_says_nothing_of_any_more_is_gone() {
    use crate::accounts::{AccountError, AccountView};
    let bench = Bench::new().await;
    let filled = Person {
        id: "7".to_owned(),
        name: "dora".to_owned(),
        subject: Some("d-7".to_owned()),
        email: Some("dora@example.com".to_owned()),
        tenant: Some(Some("acme".to_owned())),
        keys: [("customer".to_owned(), Some("4711".to_owned()))].into(),
        ..Person::default()
    };
    let said = Arc::new(std::sync::Mutex::new(filled.clone()));
    let settings = DirectorySettings {
        first_sight: FirstSight::Create,
        remembered: Duration::from_millis(1),
        at_once: 1,
        waiting: 1,
    };
    bench.service.add_directory("portal", Box::new(Says(Arc::clone(&said))), settings);
    let (api, kind) = ("shop".to_owned(), "users".to_owned());
    assert!(bench.service.route_directory(Route { api, kind, provider: None, domain: None }, "portal"));
    let log_in = async |secs| match bench.login(claim("dora", PASSWORD), at(secs)).await {
        PasswordAnswer::ProvenElsewhere(account, _) => account,
        other => panic!("{other:?}"),
    };
    let dora = log_in(-9).await;
    assert_eq!((dora.tenant.as_deref(), dora.keys["customer"].as_str()), (Some("acme"), "4711"));
    // What an operator adds is not the directory's to say.
    let more = |view: &AccountView| {
        let mut draft = AccountDraft::of(&view.account);
        draft.keys.insert("till".to_owned(), "3".to_owned());
        draft.full_name = "Dora D.".to_owned();
        Ok::<_, AccountError>(draft)
    };
    bench.service.update_account(dora.id, more, By::gate(), at(-8)).await.unwrap();
    let same = log_in(-7).await;
    let token = bench.token(&same, session(), at(-7)).await;
    *said.lock().unwrap() = Person {
        subject: None,
        email: Some(String::new()),
        tenant: Some(None),
        keys: [("customer".to_owned(), None)].into(),
        ..filled
    };
    let dora = log_in(-6).await;
    assert_eq!((dora.id, dora.subject.as_str(), dora.full_name.as_str()), (same.id, "d-7", "Dora D."));
    assert_eq!((dora.tenant.as_deref(), dora.email.as_str()), (None, ""));
    assert_eq!(dora.keys, [("till".to_owned(), "3".to_owned())].into());
    assert_eq!(bench.says(token, at(-5)).await, "unknown", "what was proven with more than that");
    // By the service's own clock the log-in came a while ago: the change that it made is not one after it.
    bench.token(&dora, session(), at(-6)).await;
}

/// The first requests of somebody come at once: a page asks for several things, or a log-in is ended in two tabs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_requests_of_one_person_at_once_are_all_his() {
    use countersign_auth::port::foreign::{Foreign as _, FrontProof, FrontTerms};
    let bench = Bench::new().await;
    let terms = FrontTerms {
        networks: Vec::new(),
        proof: FrontProof::Secret(Secret::new("secret")),
        domains: Vec::new(),
        create: true,
    };
    bench.service.believe_front("crm", terms);
    for round in 0..20 {
        let name = format!("rosa{round}");
        let (crm, at_corp) = (&bench.service, format!("dora{round}"));
        let home = Home {
            name: "corp".to_owned(),
            actor: "directory corp".to_owned(),
            first_sight: FirstSight::Create,
        };
        // He is called as he typed it.
        let person = |ago: i64| {
            let name = if ago % 2 == 0 { at_corp.clone() } else { format!("{at_corp}@corp") };
            Person { id: at_corp.clone(), name, ..Person::default() }
        };
        let by_front = (0..4).map(|ago| crm.introduced("crm", "users", &name, at(round - ago)));
        let by_directory =
            (0..4).map(|ago| crm.core.account_at(&home, "users", person(ago), at(round - ago)));
        let (by_front, by_directory) = tokio::join!(
            futures_util::future::join_all(by_front),
            futures_util::future::join_all(by_directory)
        );
        let made = crm.account_by_name("users", &name).unwrap();
        for account in by_front {
            assert_eq!(account.unwrap().unwrap().id, made.id);
        }
        let his: Vec<_> =
            by_directory.into_iter().map(|entry| entry.map(|entry| entry.account.id).ok()).collect();
        assert!(his.iter().all(|id| id.is_some() && *id == his[0]), "{his:?}");
    }
}

/// Also if the store goes away between two writes.
#[tokio::test]
async fn no_account_is_somebodys_without_word_of_it_in_the_audit() {
    let bench = Bench::new().await;
    asked(&bench);
    bench.service.create_account(AccountDraft::new("users", "rosa"), By::gate(), at(0)).await.unwrap();
    for writes in 0..3 {
        bench.store.switch_off_after(writes);
        let answer = bench.service.check_password(claim("rosa", PASSWORD), at(1)).await;
        bench.store.switch(Power::On);
        let is_noted = bench.events().await.iter().any(|event| event.starts_with("account.tied users/rosa"));
        assert_eq!((answer.is_ok(), is_noted), (writes > 0, writes > 0), "{writes}");
    }
}
