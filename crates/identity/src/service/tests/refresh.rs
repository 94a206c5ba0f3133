use countersign_auth::port::{IssueAnswer, Operations as _};

use super::*;
use crate::store::switchable::Power;

/// A family: the refresh token in clear and the digests of both.
struct Pair {
    refresh: Secret,
    refresh_digest: TokenDigest,
    access: TokenDigest,
}

fn pair(mut issued: Vec<Issued>) -> Pair {
    let refresh = issued.remove(1);
    Pair { refresh_digest: digest(&refresh), access: digest(&issued[0]), refresh: refresh.value }
}

async fn login(bench: &Bench, account: &Arc<Account>, now: Time) -> Pair {
    pair(bench.issue(order(Some(account), vec![access(), refresh()], now), now).await)
}

fn renewal(account: &Arc<Account>, refresh_value: &Secret, now: Time) -> Issue {
    let spends = Some((Arc::from("refresh"), Secret::new(refresh_value.expose())));
    Issue { spends, ..order(Some(account), vec![access(), refresh()], now) }
}

async fn renew(bench: &Bench, account: &Arc<Account>, value: &Secret, now: Time) -> Option<Pair> {
    match bench.service.issue(renewal(account, value, now), now).await.unwrap() {
        IssueAnswer::Issued(issued) => Some(pair(issued)),
        IssueAnswer::Spent => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn refresh_tokens_rotate_and_keep_the_proof() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let first = login(&bench, &ann, at(0)).await;
    let second = renew(&bench, &ann, &first.refresh, at(1000)).await.unwrap();
    assert!(!first.refresh.matches(second.refresh.expose()));
    let third = renew(&bench, &ann, &second.refresh, at(2000)).await.unwrap();
    assert_eq!(bench.live(third.access, at(2001)).await.proven_at, at(0));
    assert_eq!(bench.live(third.refresh_digest, at(2001)).await.proven_at, at(0));
    assert_eq!(bench.says(first.access, at(2001)).await, "live", "it ends by its own time");
    assert_eq!(bench.says(first.access, at(3600)).await, "expired");
}

#[tokio::test]
async fn parallel_refreshes_get_the_same_successor() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let first = login(&bench, &ann, at(0)).await;
    let (one, two) = tokio::join!(
        bench.service.issue(renewal(&ann, &first.refresh, at(5)), at(5)),
        bench.service.issue(renewal(&ann, &first.refresh, at(5)), at(5)),
    );
    let unwrap = |answer: Result<IssueAnswer, _>| match answer.unwrap() {
        IssueAnswer::Issued(issued) => pair(issued),
        other => panic!("{other:?}"),
    };
    let (one, two) = (unwrap(one), unwrap(two));
    let late = renew(&bench, &ann, &first.refresh, at(15)).await.unwrap();
    assert!(one.refresh.matches(two.refresh.expose()) && one.refresh.matches(late.refresh.expose()));
    assert_ne!(one.access, two.access, "each gets an access token of its own");
    assert_eq!(bench.says(first.refresh_digest, at(15)).await, "live", "in its grace it still identifies");

    // The successor is one token, whoever uses it first; and so after a restart.
    let bench = bench.reopen().await;
    let again = renew(&bench, &ann, &first.refresh, at(15)).await.unwrap();
    assert!(one.refresh.matches(again.refresh.expose()));
    assert!(renew(&bench, &ann, &one.refresh, at(100)).await.is_some());
}

#[tokio::test]
async fn a_late_parallel_refresh_gets_what_was_not_spent_yet() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let first = login(&bench, &ann, at(0)).await;
    let second = renew(&bench, &ann, &first.refresh, at(5)).await.unwrap();
    let third = renew(&bench, &ann, &second.refresh, at(6)).await.unwrap();
    // Another tab had read the first one, and stores what it gets.
    let late = renew(&bench, &ann, &first.refresh, at(15)).await.unwrap();
    assert!(late.refresh.matches(third.refresh.expose()));
    let fourth = renew(&bench, &ann, &late.refresh, at(1000)).await.unwrap();
    assert_eq!(bench.says(fourth.access, at(1001)).await, "live", "nobody was taken for a thief");

    // Those between have to be in their grace themselves, where requests overtook each other.
    let fifth = renew(&bench, &ann, &fourth.refresh, at(2005)).await.unwrap();
    let sixth = renew(&bench, &ann, &fifth.refresh, at(2001)).await.unwrap();
    assert!(
        renew(&bench, &ann, &fourth.refresh, at(2011)).await.unwrap().refresh.matches(sixth.refresh.expose())
    );
    assert!(renew(&bench, &ann, &fourth.refresh, at(2012)).await.is_none());
    assert_eq!(bench.says(sixth.access, at(2012)).await, "live");
    // The reuse of the first of them is what it was.
    assert!(renew(&bench, &ann, &fourth.refresh, at(2016)).await.is_none());
    assert_eq!(bench.says(sixth.access, at(2017)).await, "unknown");
}

#[tokio::test]
async fn parallel_refreshes_do_not_depend_on_each_others_writes() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let [mut one, mut two] = [login(&bench, &ann, at(0)).await, login(&bench, &ann, at(0)).await];
    let unwritten = |value: &Secret| {
        bench.store.switch(Power::Off);
        bench.service.issue(renewal(&ann, value, at(5)), at(5))
    };
    let held = async |failures: usize| {
        until(async || bench.store.failures_held() == failures).await;
        bench.store.switch(Power::On);
    };
    bench.store.hold_failures();
    // Of the first one the first write fails, and is heard of when the second is made; of the other both.
    let mut failing = vec![unwritten(&one.refresh)];
    held(1).await;
    let first = renew(&bench, &ann, &one.refresh, at(6)).await.unwrap();
    failing.extend([unwritten(&two.refresh), unwritten(&two.refresh)]);
    held(3).await;
    let in_memory = bench.service.tokens_in_memory();
    bench.store.release_failures();
    for order in failing {
        assert!(order.await.is_err());
    }
    // Their access tokens are gone, and the one successor.
    assert_eq!(bench.service.tokens_in_memory(), in_memory - 3 - 1);
    assert_eq!(bench.says(first.refresh_digest, at(7)).await, "live");
    assert!(bench.store.token(one.refresh_digest.0).await.unwrap().unwrap().spent);
    assert!(!bench.store.token(two.refresh_digest.0).await.unwrap().unwrap().spent);
    let bench = bench.reopen().await;
    assert_eq!(bench.says(first.refresh_digest, at(1000)).await, "live");
    two = renew(&bench, &ann, &two.refresh, at(1000)).await.unwrap();
    assert_eq!(bench.says(two.access, at(1001)).await, "live", "it was not spent");
    one = renew(&bench, &ann, &first.refresh, at(1000)).await.unwrap();
    assert_eq!(bench.says(one.access, at(1001)).await, "live");
    assert!(renew(&bench, &ann, &first.refresh, at(1011)).await.is_none(), "it was spent");
}

/// What a refresh token turned into is written; whoever is late with that token and comes to nothing takes nothing away.
#[tokio::test]
async fn a_late_refresh_that_fails_leaves_what_was_written() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let first = login(&bench, &ann, at(0)).await;
    let second = renew(&bench, &ann, &first.refresh, at(5)).await.unwrap();
    bench.store.switch(Power::Off);
    assert!(bench.service.issue(renewal(&ann, &first.refresh, at(6)), at(6)).await.is_err());
    bench.store.switch(Power::On);
    assert_eq!(bench.says(second.refresh_digest, at(7)).await, "live");
    assert!(renew(&bench, &ann, &second.refresh, at(1000)).await.is_some());
}

#[tokio::test]
async fn reuse_after_the_grace_ends_the_family() {
    for by_look_up in [false, true] {
        let bench = Bench::new().await;
        let ann = bench.account("users", "ann").await;
        let other = login(&bench, &ann, at(0)).await;
        let first = login(&bench, &ann, at(0)).await;
        let second = renew(&bench, &ann, &first.refresh, at(100)).await.unwrap();
        let bench = bench.reopen().await;
        let mut ended = bench.service.ended();
        if by_look_up {
            assert_eq!(bench.says(first.refresh_digest, at(111)).await, "unknown");
            for _ in 0..4 {
                ended.recv().await.unwrap();
            }
        } else {
            assert!(renew(&bench, &ann, &first.refresh, at(111)).await.is_none());
        }
        for token in [first.access, second.access, second.refresh_digest, first.refresh_digest] {
            assert_eq!(bench.says(token, at(112)).await, "unknown");
        }
        assert!(renew(&bench, &ann, &second.refresh, at(112)).await.is_none());
        assert_eq!(bench.says(other.access, at(112)).await, "live", "another family is left alone");
        bench.noted("refresh.reused users/ann").await;
        let bench = bench.reopen().await;
        assert_eq!(bench.says(second.refresh_digest, at(112)).await, "unknown");
        assert_eq!(bench.service.tokens_in_memory(), 2);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_lets_nobody_spend_again() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let first = login(&bench, &ann, at(3600)).await;
    renew(&bench, &ann, &first.refresh, at(3600)).await.unwrap();
    // A request that others overtook is of their time.
    assert!(renew(&bench, &ann, &first.refresh, at(3541)).await.is_some());
    assert!(renew(&bench, &ann, &first.refresh, at(3540)).await.is_none());
    assert_eq!(bench.says(first.access, at(3540)).await, "unknown", "somebody has a copy");
}

#[tokio::test]
async fn nothing_reaches_further_than_the_proof_allows() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let day = 86_400;
    let mut family = login(&bench, &ann, at(0)).await;
    for now in [25, 50, 75, 99] {
        family = renew(&bench, &ann, &family.refresh, at(now * day)).await.unwrap();
    }
    family = renew(&bench, &ann, &family.refresh, at(100 * day - 60)).await.unwrap();
    let access = bench.live(family.access, at(100 * day - 59)).await;
    assert_eq!(access.expires_at, Some(at(100 * day)));
    assert_eq!(bench.says(family.refresh_digest, at(100 * day)).await, "expired");
    assert!(renew(&bench, &ann, &family.refresh, at(100 * day)).await.is_none());
}

#[tokio::test]
async fn only_its_holder_spends_a_refresh_token() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let bob = bench.account("users", "bob").await;
    let family = login(&bench, &ann, at(0)).await;
    assert!(renew(&bench, &bob, &family.refresh, at(1)).await.is_none());
    assert!(renew(&bench, &ann, &Secret::new("unknown"), at(1)).await.is_none());
    let mut as_refresh = renewal(&ann, &family.refresh, at(1));
    as_refresh.spends = Some((Arc::from("claims"), Secret::new(family.refresh.expose())));
    assert!(matches!(bench.service.issue(as_refresh, at(1)).await.unwrap(), IssueAnswer::Spent));
    assert!(renew(&bench, &ann, &family.refresh, at(1)).await.is_some());
}

#[tokio::test]
async fn logging_out_ends_the_family_and_the_past_is_bounded() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let mut family = login(&bench, &ann, at(0)).await;
    for now in 1..50 {
        family = renew(&bench, &ann, &family.refresh, at(now * 20)).await.unwrap();
    }
    // 50 access tokens, one refresh token that lives, 32 that are spent.
    assert_eq!(bench.service.tokens_in_memory(), 50 + 1 + 32);
    let bench = bench.reopen().await;
    assert_eq!(bench.service.tokens_in_memory(), 50 + 1 + 32);
    bench.service.end(family.access, at(1000)).await.unwrap();
    assert_eq!(bench.service.tokens_in_memory(), 0);
    assert!(renew(&bench, &ann, &family.refresh, at(1000)).await.is_none());
}
