use std::sync::Arc;
use std::time::Instant;

use countersign_auth::port::{AtHand, IssueAnswer, Lookups as _, Operations as _, TokenAnswer};
use countersign_auth::token::{AtLimit, TokenDigest, TokenPlan};

use super::*;
use crate::service::Ended;
use crate::store::{Change, TokenRow};

#[tokio::test]
async fn idleness_and_time_end_a_session() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let idle = bench.token(&ann, session(), at(0)).await;
    assert_eq!(bench.live(idle, at(10)).await.expires_at, Some(at(1800)), "a use is noted coarsely");
    assert_eq!(bench.live(idle, at(1700)).await.expires_at, Some(at(3500)));
    assert_eq!(bench.says(idle, at(3499)).await, "live");
    assert_eq!(bench.says(idle, at(3499 + 1800)).await, "expired");
    assert_eq!(bench.says(idle, at(3499)).await, "live", "the clock decides, not the look-up");

    let busy = bench.token(&ann, session(), at(0)).await;
    for now in (0..43_200).step_by(1700) {
        assert_eq!(bench.live(busy, at(now)).await.account.unwrap().name, "ann");
    }
    assert_eq!(bench.live(busy, at(43_199)).await.expires_at, Some(at(43_200)));
    assert_eq!(bench.says(busy, at(43_200)).await, "expired");

    bench.service.sweep(at(43_200 + 3599)).await.unwrap();
    assert_eq!(bench.says(busy, at(43_200)).await, "expired");
    bench.service.sweep(at(43_200 + 3600)).await.unwrap();
    assert_eq!(bench.says(busy, at(43_200)).await, "unknown");
    assert_eq!(bench.service.tokens_in_memory(), 0);
    assert!(bench.store.tokens(0, 10).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_token_is_good_for_its_api_and_word_only() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let issued = bench.issue(order(Some(&ann), vec![session()], at(0)), at(0)).await;
    let value = issued[0].value.expose();
    for (api, word, says) in
        [("shop", "session", "live"), ("mail", "session", "unknown"), ("shop", "claims", "unknown")]
    {
        assert_eq!(bench.says(TokenDigest::of(api, word, value), at(1)).await, says);
    }
    assert_eq!(issued[0].expires_at, at(1800));
}

#[tokio::test]
async fn limits_refuse_or_end_the_oldest() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let two = |at_limit| TokenPlan { per_account: Some(2), at_limit, ..session() };
    let first = bench.token(&ann, two(AtLimit::Refuse), at(0)).await;
    let second = bench.token(&ann, two(AtLimit::Refuse), at(1)).await;
    let third =
        bench.service.issue(order(Some(&ann), vec![two(AtLimit::Refuse)], at(2)), at(2)).await.unwrap();
    assert!(matches!(third, IssueAnswer::AtLimit));
    let third = bench.token(&ann, two(AtLimit::EndOldest), at(2)).await;
    for (digest, says) in [(first, "unknown"), (second, "live"), (third, "live")] {
        assert_eq!(bench.says(digest, at(3)).await, says);
    }
    let bob = bench.account("users", "bob").await;
    bench.token(&bob, two(AtLimit::Refuse), at(3)).await;
    bench.token(&ann, access(), at(3)).await;
    // Expired ones do not count.
    bench.token(&ann, two(AtLimit::Refuse), at(5000)).await;

    // Nothing of an order is issued that cannot be issued whole.
    let before = bench.service.tokens_in_memory();
    let both = vec![access(), TokenPlan { per_account: Some(0), ..session() }];
    let answer = bench.service.issue(order(Some(&ann), both, at(5001)), at(5001)).await.unwrap();
    assert!(matches!(answer, IssueAnswer::AtLimit));
    assert_eq!(bench.service.tokens_in_memory(), before);

    let bench = bench.reopen().await;
    assert_eq!(bench.says(first, at(3)).await, "unknown");
    assert_eq!(bench.says(second, at(3)).await, "live");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_name() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let bob = bench.account("users", "bob").await;
    let mut ended = bench.service.ended();
    let one = bench.token(&ann, session(), at(0)).await;
    let two = bench.token(&ann, session(), at(1)).await;
    bench.token(&ann, access(), at(1)).await;
    bench.token(&bob, session(), at(1)).await;
    let list = |account: &Arc<Account>, api: &'static str| {
        let list = bench.service.sessions(account.id, Arc::from(api), at(2));
        async move { list.await.unwrap() }
    };
    let sessions = list(&ann, "shop").await;
    let names: Vec<_> = sessions.iter().map(|session| session.reference).collect();
    assert_eq!(names, [one.reference(), two.reference()]);
    assert_eq!((sessions[0].subject.as_str(), &*sessions[0].word), ("ann", "session"));
    assert!(list(&ann, "mail").await.is_empty());

    assert!(!bench.service.end_named(bob.id, one.reference(), at(2)).await.unwrap(), "not bob's to end");
    assert_eq!(bench.says(one, at(2)).await, "live");
    assert!(bench.service.end_named(ann.id, one.reference(), at(2)).await.unwrap());
    assert!(
        bench.service.audit(100).await.unwrap().iter().all(|event| event.event != "session.ended"),
        "his own log-out"
    );
    assert_eq!(bench.says(one, at(2)).await, "unknown");
    assert_eq!(ended.recv().await.unwrap(), Ended::Token(one));
    assert_eq!(list(&ann, "shop").await.len(), 1);
    bench.service.end(two, at(2)).await.unwrap();
    bench.service.end(two, at(2)).await.unwrap();
    assert!(list(&ann, "shop").await.is_empty());
    let bench = bench.reopen().await;
    assert_eq!(bench.says(two, at(2)).await, "unknown");
}

#[tokio::test]
async fn who_ends_another_ones_session_is_in_the_audit() {
    let bench = Bench::new().await;
    let (ann, bob) = (bench.account("users", "ann").await, bench.account("users", "bob").await);
    let one = bench.token(&ann, session(), at(0)).await;
    let end = |account: &Arc<Account>| {
        let by = By::new("meg", Some(IpAddr::from([10, 0, 0, 9])));
        bench.service.end_session(account.id, one.reference(), by, at(2))
    };
    assert!(!end(&bob).await.unwrap(), "not bob's to end");
    assert!(end(&ann).await.unwrap());
    assert_eq!(bench.says(one, at(2)).await, "unknown");
    assert!(!end(&ann).await.unwrap(), "it has ended");
    let ended: Vec<_> = bench
        .service
        .audit(100)
        .await
        .unwrap()
        .into_iter()
        .filter(|event| event.event == "session.ended")
        .collect();
    let [ended] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!(
        (ended.actor.as_str(), ended.address.as_str(), ended.at, ended.object.as_str()),
        ("meg", "10.0.0.9", at(2), format!("users/ann token {}", one.reference()).as_str())
    );
}

#[tokio::test]
async fn a_login_replaces_the_session_before_it() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let anonymous = digest(&bench.issue(order(None, vec![session()], at(0)), at(0)).await[0]);
    assert!(bench.live(anonymous, at(1)).await.account.is_none());
    let mut login = order(Some(&ann), vec![session()], at(1));
    login.replaces = Some(anonymous);
    let new = digest(&bench.issue(login, at(1)).await[0]);
    assert_eq!(bench.says(anonymous, at(2)).await, "unknown");
    assert_eq!(bench.says(new, at(2)).await, "live");
}

/// Somebody clicks twice: both log-ins present the session that there was.
#[tokio::test]
async fn log_ins_that_replace_the_same_session_take_one_place() {
    for at_limit in [AtLimit::Refuse, AtLimit::EndOldest] {
        let bench = Bench::new().await;
        let (ann, bob) = (bench.account("users", "ann").await, bench.account("users", "bob").await);
        let two = || TokenPlan { per_account: Some(2), at_limit, ..session() };
        let elsewhere = bench.token(&ann, two(), at(0)).await;
        let old = bench.token(&ann, two(), at(1)).await;
        let log_in = async |account: &Arc<Account>, plan, now| {
            let order = Issue { replaces: Some(old), ..order(Some(account), vec![plan], at(now)) };
            match bench.service.issue(order, at(now)).await.unwrap() {
                IssueAnswer::Issued(issued) => Some(digest(&issued[0])),
                IssueAnswer::AtLimit => None,
                other => panic!("{other:?}"),
            }
        };
        let says = async |token: Option<TokenDigest>| bench.says(token.unwrap(), at(9)).await;
        let first = log_in(&ann, two(), 2).await;
        // Another one's takes nothing of hers, nor does another word, nor where there is room.
        let of_bob = log_in(&bob, two(), 3).await;
        let other_word = log_in(&ann, TokenPlan { per_account: Some(1), ..access() }, 3).await;
        let three = log_in(&ann, TokenPlan { per_account: Some(3), ..session() }, 3).await;
        for token in [first, of_bob, other_word, three] {
            assert_eq!(says(token).await, "live");
        }
        bench.service.end(first.unwrap(), at(4)).await.unwrap();
        let second = log_in(&ann, two(), 5).await;
        assert_eq!([says(three).await, says(second).await], ["unknown", "live"]);
        assert_eq!(says(Some(elsewhere)).await, "live", "another device");
        // Later it is a log-in like any other.
        let late = log_in(&ann, two(), 16).await;
        assert_eq!((late.is_some(), says(second).await), (at_limit == AtLimit::EndOldest, "live"));
        let expected = if at_limit == AtLimit::EndOldest { "unknown" } else { "live" };
        assert_eq!(says(Some(elsewhere)).await, expected);
    }
}

#[tokio::test]
async fn anonymous_sessions_are_written_once_they_are_presented_and_each_source_has_its_share() {
    // The twentieth part of all.
    const SHARE: usize = 5000;
    let bench = Bench::new().await;
    let rows = async |bench: &Bench| {
        bench.service.flush().await.unwrap();
        bench.store.tokens(0, 10_000).await.unwrap().0.len()
    };
    let never = digest(&bench.issue(order(None, vec![session()], at(0)), at(0)).await[0]);
    let used = digest(&bench.issue(order(None, vec![session()], at(0)), at(0)).await[0]);
    assert_eq!(rows(&bench).await, 0);
    assert_eq!(bench.says(used, at(299)).await, "live");
    assert_eq!((bench.says(used, at(301)).await, bench.says(never, at(301)).await), ("live", "expired"));
    assert_eq!(rows(&bench).await, 1);
    let present = async |bench: &Bench, order: Issue, now: i64| {
        let token = digest(&bench.issue(order, at(now)).await[0]);
        assert_eq!(bench.says(token, at(now)).await, "live");
        bench.says(token, at(now + 301)).await
    };
    let ours = || order(None, vec![session()], at(301));
    for _ in 1..SHARE {
        assert_eq!(present(&bench, ours(), 301).await, "live");
    }
    // Beyond it a session keeps to its first five minutes; those of others live on.
    assert_eq!(present(&bench, ours(), 301).await, "expired");
    let theirs = || Issue { address: IpAddr::from([10, 9, 9, 9]), ..ours() };
    assert_eq!(present(&bench, theirs(), 301).await, "live");
    assert_eq!(rows(&bench).await, SHARE + 1);
    // Also after a restart, until they are over, and soon after.
    let bench = bench.reopen().await;
    assert_eq!(present(&bench, ours(), 301).await, "expired");
    bench.service.sweep(at(2403)).await.unwrap();
    assert!(rows(&bench).await >= SHARE, "what they asked for last may be under way");
    bench.service.sweep(at(2403 + 120)).await.unwrap();
    assert_eq!((bench.service.tokens_in_memory(), rows(&bench).await), (0, 0));
    assert_eq!(present(&bench, ours(), 2403 + 120).await, "live");
}

#[tokio::test]
async fn opened_sessions_are_kept_once_they_are_presented() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let open = |now| {
        let issued = bench.open(Some(&ann), session(), at(now), None, at(now));
        digest(&issued.unwrap())
    };
    let never = open(0);
    let used = open(0);
    assert_eq!(bench.says(used, at(299)).await, "live");
    assert_eq!(bench.live(used, at(300)).await.expires_at, Some(at(299 + 1800)));
    assert_eq!(bench.says(never, at(300)).await, "expired");
    bench.service.sweep(at(300)).await.unwrap();
    assert_eq!(bench.says(never, at(300)).await, "unknown");
    assert!(bench.store.tokens(0, 10).await.unwrap().0.is_empty(), "nothing was written yet");
    bench.service.flush().await.unwrap();
    assert_eq!(bench.store.tokens(0, 10).await.unwrap().0.len(), 1);

    // A hundred that nobody presents; the oldest go, what was presented stays.
    let many: Vec<_> = (0..150).map(|_| open(400)).collect();
    assert_eq!(bench.says(many[0], at(401)).await, "unknown");
    assert_eq!(bench.says(many[49], at(401)).await, "unknown");
    assert_eq!(bench.says(many[50], at(401)).await, "live");
    assert_eq!(bench.says(many[149], at(401)).await, "live");
    assert_eq!(bench.says(used, at(401)).await, "live");
    let more: Vec<_> = (0..150).map(|_| open(402)).collect();
    assert_eq!(bench.says(many[50], at(403)).await, "live");
    assert_eq!(bench.says(many[51], at(403)).await, "unknown");
    assert_eq!(bench.says(more[149], at(403)).await, "live");

    let bench = bench.reopen().await;
    assert_eq!(bench.says(used, at(404)).await, "live");
    assert_eq!(bench.says(many[50], at(404)).await, "live");
    assert_eq!(bench.says(more[100], at(404)).await, "unknown", "it was never presented");
}

#[tokio::test]
async fn opened_sessions_keep_to_the_dialects_limit() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let one = |at_limit| TokenPlan { per_account: Some(1), at_limit, ..session() };
    let first = bench.token(&ann, one(AtLimit::Refuse), at(0)).await;
    let open = |plan| bench.open(Some(&ann), plan, at(1), None, at(1));
    assert!(open(one(AtLimit::Refuse)).is_none());
    assert!(open(one(AtLimit::EndOldest)).is_some());
    assert_eq!(bench.says(first, at(1)).await, "unknown");
    bench.service.flush().await.unwrap();
    assert!(bench.store.token(first.0).await.unwrap().is_none());
}

#[tokio::test]
async fn sessions_survive_a_restart_with_their_last_use() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let used = bench.token(&ann, session(), at(0)).await;
    let unused = bench.token(&ann, session(), at(0)).await;
    let ended = bench.token(&ann, session(), at(0)).await;
    bench.live(used, at(1000)).await;
    bench.service.end(ended, at(1000)).await.unwrap();
    let key = *bench.service.derivation_key().expose();
    let bench = bench.reopen().await;
    assert_eq!(*bench.service.derivation_key().expose(), key);
    let token = bench.live(used, at(2500)).await;
    assert_eq!(token.account.unwrap().name, "ann");
    assert_eq!((token.issued_at, token.proven_at), (at(0), at(0)));
    assert_eq!(bench.says(unused, at(2500)).await, "expired");
    assert_eq!(bench.says(ended, at(2500)).await, "unknown");
    // The account index was made again as well.
    let list = bench.service.sessions(ann.id, Arc::from("shop"), at(2500)).await.unwrap();
    assert_eq!(list.len(), 1);
}

fn row(number: u64, account: u64) -> TokenRow {
    let value = number.to_string();
    TokenRow {
        digest: TokenDigest::of("shop", "session", &value).0,
        api: Arc::from("shop"),
        word: Arc::from("session"),
        kind: TokenKind::Session,
        account,
        issued_at: at(0).unix_secs(),
        used_at: at(0).unix_secs(),
        idle_secs: 1800,
        ends_at: Some(at(43_200).unix_secs()),
        proven_at: at(0).unix_secs(),
        family: 0,
        spent: false,
    }
}

#[tokio::test]
async fn loading_many_delays_nothing_and_brings_nothing_back() {
    const MANY: u64 = 50_000;
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let bob = bench.account("users", "bob").await;
    let rows = |account, range: std::ops::Range<u64>| range.map(|number| row(number, account)).collect();
    bench.store.write(vec![Change::PutTokens(rows(bob.id.0, MANY..MANY + 10))]).await.unwrap();
    bench.store.write(vec![Change::PutTokens(rows(ann.id.0, 0..MANY))]).await.unwrap();
    let digest = |number: u64| TokenDigest::of("shop", "session", &number.to_string());

    let folder = bench.close().await;
    let bench = Bench::still_loading(folder).await;
    assert!(!bench.service.ready());
    let started = Instant::now();
    assert!(matches!(bench.service.token(&digest(7), at(1)), AtHand::Ask));
    assert!(matches!(bench.service.find_token(digest(7), at(1)).await.unwrap(), TokenAnswer::Live(_)));
    assert!(matches!(
        bench.service.find_token(digest(MANY + 99), at(1)).await.unwrap(),
        TokenAnswer::Unknown
    ));
    // What ends while its page is on its way stays ended.
    bench.service.end(digest(8), at(1)).await.unwrap();
    let keep = Some(digest(MANY + 1));
    let changed =
        bench.service.password_change(claim("bob", PASSWORD), Secret::new("new password"), keep, at(1));
    changed.await.unwrap();
    assert!(!bench.service.ready());
    println!("answered in {:?}", started.elapsed());
    let started = Instant::now();
    bench.loaded().await;
    println!("loaded {MANY} in {:?}", started.elapsed());
    assert!(matches!(bench.service.token(&digest(MANY + 99), at(1)), AtHand::Known(TokenAnswer::Unknown)));
    assert_eq!(bench.says(digest(MANY - 1), at(1)).await, "live");
    assert_eq!(bench.says(digest(8), at(1)).await, "unknown");
    assert_eq!(bench.says(digest(MANY), at(1)).await, "unknown");
    assert_eq!(bench.says(digest(MANY + 1), at(1)).await, "live");
    assert_eq!(bench.service.tokens_in_memory() as u64, MANY);
}

/// What it opened ends with it, however long loading takes.
#[tokio::test]
async fn what_was_presented_and_ended_has_ended_also_while_tokens_are_loaded() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let (ended, kept) =
        (bench.token(&ann, session(), at(0)).await, bench.token(&ann, session(), at(0)).await);
    let bench = Bench::still_loading(bench.close().await).await;
    for token in [ended, kept] {
        assert_eq!(bench.says(token, at(1)).await, "live");
        assert!(!bench.service.has_ended(&token));
    }
    bench.service.end(ended, at(2)).await.unwrap();
    let has_ended = || (bench.service.has_ended(&ended), bench.service.has_ended(&kept));
    assert!(!bench.service.ready());
    assert_eq!(has_ended(), (true, false));
    bench.loaded().await;
    assert_eq!(has_ended(), (true, false));
}

/// One by itself, and as many as a page holds.
#[tokio::test]
async fn tokens_that_cannot_be_read_keep_no_others_from_being_loaded() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let spoiled = bench.token(&ann, session(), at(0)).await;
    let kept = bench.token(&ann, session(), at(0)).await;
    let folder = bench.close().await;
    {
        let database = rusqlite::Connection::open(options(&folder).database).unwrap();
        let changed = database.execute("UPDATE tokens SET kind = 99 WHERE digest = ?1", [spoiled.0]);
        assert_eq!(changed.unwrap(), 1);
        let page = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 10000) \
             INSERT INTO tokens (rowid, digest, api, word, kind, issued_at, used_at, idle_secs, proven_at, family, spent) \
             SELECT n, randomblob(32), 'shop', 'session', 99, 0, 0, 0, 0, 0, 0 FROM number";
        // A whole page of them comes before the others.
        assert_eq!(database.execute("UPDATE tokens SET rowid = rowid + 20000", []).unwrap(), 2);
        assert_eq!(database.execute(page, []).unwrap(), 10_000);
    }
    let bench = Bench::over(folder).await;
    assert_eq!(bench.service.tokens_in_memory(), 1);
    assert_eq!(bench.says(kept, at(1)).await, "live");
    assert_eq!(bench.says(spoiled, at(1)).await, "unknown");
}
