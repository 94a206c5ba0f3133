//! What is issued on a token ends with it.

use countersign_auth::port::{IssueAnswer, Operations as _};
use countersign_auth::token::{AtLimit, TokenDigest, TokenPlan};

use super::*;

/// Six hours idle, and no end of its own.
fn ticket() -> TokenPlan {
    TokenPlan { idle: Some(Duration::from_secs(6 * 3600)), ..plan("ticket", TokenKind::Session) }
}

impl Bench {
    /// One token of a plan that somebody asks for with a token.
    async fn on(&self, account: &Arc<Account>, on: TokenDigest, plan: TokenPlan, now: Time) -> TokenDigest {
        digest(&self.issue(Issue { on: Some(on), ..order(Some(account), vec![plan], now) }, now).await[0])
    }

    async fn end(&self, token: TokenDigest, now: Time) {
        self.service.end(token, now).await.unwrap();
    }

    async fn all_say(&self, tokens: &[TokenDigest], now: Time, expected: &str) {
        for token in tokens {
            assert_eq!(self.says(*token, now).await, expected);
        }
    }
}

#[tokio::test]
async fn a_session_takes_with_it_what_was_issued_on_it() {
    for reopened in [false, true] {
        let mut bench = Bench::new().await;
        let ann = bench.account("users", "ann").await;
        let first = bench.token(&ann, session(), at(0)).await;
        let other = bench.token(&ann, session(), at(0)).await;
        let of_other = bench.on(&ann, other, ticket(), at(1)).await;
        let [one, two] =
            [bench.on(&ann, first, ticket(), at(1)).await, bench.on(&ann, first, ticket(), at(1)).await];
        let of_one = bench.on(&ann, one, access(), at(2)).await;
        let of_two = bench.on(&ann, two, access(), at(2)).await;
        if reopened {
            bench = bench.reopen().await;
        }
        // A ticket that ends leaves the session that it was issued on, and what else was.
        bench.end(one, at(3)).await;
        bench.all_say(&[one, of_one], at(3), "unknown").await;
        bench.all_say(&[first, two, of_two], at(3), "live").await;
        bench.end(first, at(4)).await;
        bench.all_say(&[first, two, of_two], at(4), "unknown").await;
        bench.all_say(&[other, of_other], at(4), "live").await;
        let bench = bench.reopen().await;
        bench.all_say(&[first, one, two, of_one, of_two], at(5), "unknown").await;
        bench.all_say(&[other, of_other], at(5), "live").await;
    }
}

#[tokio::test]
async fn nothing_reaches_further_than_what_it_was_issued_on() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let first = bench.token(&ann, session(), at(0)).await;
    let ticket_of_first = bench.on(&ann, first, ticket(), at(1)).await;
    let of_ticket = bench.on(&ann, ticket_of_first, access(), at(2)).await;
    assert_eq!(bench.live(of_ticket, at(3)).await.expires_at, Some(at(3602)), "no further, and as far");
    for now in (0..43_200).step_by(1700) {
        assert_eq!(bench.says(ticket_of_first, at(now)).await, "live");
    }
    let late = bench.on(&ann, ticket_of_first, access(), at(43_000)).await;
    bench.all_say(&[ticket_of_first, late], at(43_199), "live").await;
    bench.all_say(&[ticket_of_first, late], at(43_200), "expired").await;
    // One without an end gives none.
    let alone = bench.token(&ann, ticket(), at(0)).await;
    let of_alone = bench.on(&ann, alone, ticket(), at(0)).await;
    for now in (0..100_000).step_by(20_000) {
        bench.all_say(&[alone, of_alone], at(now), "live").await;
    }
}

#[tokio::test]
async fn nothing_is_issued_on_what_has_ended() {
    let bench = Bench::new().await;
    let (ann, bob) = (bench.account("users", "ann").await, bench.account("users", "bob").await);
    let ended = bench.token(&ann, session(), at(0)).await;
    bench.end(ended, at(1)).await;
    let expired = bench.token(&ann, session(), at(0)).await;
    let of_bob = bench.token(&bob, session(), at(2000)).await;
    for on in [ended, expired, of_bob] {
        let order = Issue { on: Some(on), ..order(Some(&ann), vec![access()], at(2000)) };
        let answer = bench.service.issue(order, at(2000)).await.unwrap();
        assert!(matches!(answer, IssueAnswer::Ended), "{answer:?}");
        let opened = bench.open(Some(&ann), session(), at(0), Some(ended), at(2000));
        assert!(opened.is_none());
    }
}

#[tokio::test]
async fn what_makes_room_takes_with_it_what_was_issued_on_it() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let one = || TokenPlan { per_account: Some(1), at_limit: AtLimit::EndOldest, ..session() };
    let first = bench.token(&ann, one(), at(0)).await;
    let of_first = bench.on(&ann, first, access(), at(1)).await;
    let second = bench.token(&ann, one(), at(2)).await;
    bench.all_say(&[first, of_first], at(3), "unknown").await;
    // A session that takes the place of the one that it was asked for with lives on.
    let third = bench.on(&ann, second, one(), at(3)).await;
    assert_eq!((bench.says(second, at(4)).await, bench.says(third, at(4)).await), ("unknown", "live"));
    // So is one that is opened without waiting for the store.
    let of_third = bench.on(&ann, third, access(), at(4)).await;
    bench.open(Some(&ann), one(), at(5), None, at(5)).unwrap();
    bench.all_say(&[third, of_third], at(5), "unknown").await;
}

#[tokio::test]
async fn a_session_that_was_opened_on_a_token_ends_with_it() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, access(), at(0)).await;
    let opened = bench.open(Some(&ann), session(), at(0), Some(token), at(1));
    let opened = digest(&opened.unwrap());
    assert_eq!(bench.says(opened, at(2)).await, "live");
    bench.end(token, at(3)).await;
    assert_eq!(bench.says(opened, at(3)).await, "unknown");
}

#[tokio::test]
async fn a_refresh_token_that_hangs_on_a_session_renews_no_further() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let session = bench.token(&ann, session(), at(0)).await;
    let ticket = bench.on(&ann, session, ticket(), at(0)).await;
    let both = Issue { on: Some(session), ..order(Some(&ann), vec![access(), refresh()], at(0)) };
    let first = bench.issue(both, at(0)).await;
    let pays = |value: &Secret| Some((Arc::from("refresh"), Secret::new(value.expose())));
    let renewal =
        Issue { spends: pays(&first[1].value), ..order(Some(&ann), vec![access(), refresh()], at(100)) };
    let second = bench.issue(renewal, at(100)).await;
    assert_eq!(second[1].expires_at, at(43_200));
    let tokens = [digest(&first[0]), digest(&second[0]), digest(&second[1])];
    bench.all_say(&tokens, at(101), "live").await;
    bench.end(session, at(102)).await;
    bench.all_say(&tokens, at(102), "unknown").await;
    assert_eq!(bench.says(ticket, at(102)).await, "unknown");
}
