use countersign_auth::port::{PasswordChange, TokenInfo};

use super::*;
use crate::accounts::{AccountError, Standing};
use crate::service::Ended;
use crate::store::switchable::Power;

#[tokio::test]
async fn an_outage_is_503_and_leaves_memory_as_it_was() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, session(), at(0)).await;
    let issued = bench.issue(order(Some(&ann), vec![access(), refresh()], at(0)), at(0)).await;
    let renewal = || {
        let spends = Some((Arc::from("refresh"), Secret::new(issued[1].value.expose())));
        Issue { spends, replaces: Some(token), ..order(Some(&ann), vec![access(), refresh()], at(5)) }
    };
    bench.store.switch(Power::Off);
    let held = bench.service.tokens_in_memory();
    assert_eq!(bench.says(token, at(1000)).await, "live");
    assert!(bench.service.issue(order(Some(&ann), vec![session()], at(5)), at(5)).await.is_err());
    assert!(bench.service.issue(renewal(), at(5)).await.is_err());
    assert_eq!(bench.service.tokens_in_memory(), held);
    assert_eq!(bench.says(token, at(100)).await, "live", "what it would have replaced is still there");
    assert!(bench.service.set_standing(ann.id, Standing::Disabled, By::gate(), at(6)).await.is_err());
    assert!(bench.service.account_by_subject("users", "ann").is_some());
    let created = bench.service.create_account(AccountDraft::new("users", "bob"), By::gate(), at(6)).await;
    assert!(matches!(created, Err(AccountError::Unavailable(_))));
    let changed =
        bench.service.password_change(claim("ann", PASSWORD), Secret::new("another one"), None, at(6));
    assert!(changed.await.is_err());
    assert!(matches!(bench.login(claim("ann", PASSWORD), at(7)).await, PasswordAnswer::Proven(_)));
    assert!(bench.service.flush().await.is_err());

    bench.store.switch(Power::On);
    assert_eq!(bench.says(issued_digest(&issued, 1), at(60)).await, "live", "it was not spent");
    let renewed = bench.service.issue(renewal(), at(60)).await.unwrap();
    assert!(matches!(renewed, IssueAnswer::Issued(_)));
    let changed =
        bench.service.password_change(claim("ann", PASSWORD), Secret::new("another one"), None, at(61));
    assert_eq!(changed.await.unwrap(), PasswordChange::Done);
}

fn issued_digest(issued: &[Issued], at: usize) -> TokenDigest {
    digest(&issued[at])
}

#[tokio::test]
async fn what_ended_during_an_outage_stays_ended() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let used = bench.token(&ann, session(), at(0)).await;
    let ended = bench.token(&ann, session(), at(0)).await;
    bench.store.switch(Power::Off);
    assert!(bench.service.end(ended, at(1)).await.is_err(), "not acknowledged: it is not safe yet");
    assert_eq!(bench.says(ended, at(1)).await, "unknown", "but refused from here on");
    bench.live(used, at(1000)).await;
    assert!(bench.service.flush().await.is_err());
    bench.store.switch(Power::On);
    bench.service.flush().await.unwrap();
    let bench = bench.reopen().await;
    assert_eq!(bench.says(ended, at(1001)).await, "unknown");
    assert_eq!(bench.says(used, at(2500)).await, "live", "its use was noted after all");
}

#[tokio::test]
async fn what_the_audit_has_to_say_of_an_end_is_written_after_an_outage() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, session(), at(0)).await;
    let issued = bench.issue(order(Some(&ann), vec![access(), refresh()], at(0)), at(0)).await;
    let pays = || Some((Arc::from("refresh"), Secret::new(issued[1].value.expose())));
    let renewal = Issue { spends: pays(), ..order(Some(&ann), vec![access(), refresh()], at(1)) };
    bench.issue(renewal, at(1)).await;
    let events = async |bench: &Bench| {
        let ends = ["session.ended", "refresh.reused"];
        let events = bench.service.audit(100).await.unwrap().into_iter();
        let said: Vec<_> = events.filter(|event| ends.contains(&&*event.event)).collect();
        said.into_iter().rev().map(|event| (event.event, event.actor, event.at)).collect::<Vec<_>>()
    };
    bench.store.switch(Power::Off);
    let by = By::new("users/root", None);
    assert!(bench.service.end_session(ann.id, token.reference(), by, at(2)).await.is_err());
    // A thief comes, or the one who was robbed.
    let again = Issue { spends: pays(), ..order(Some(&ann), vec![access(), refresh()], at(1000)) };
    assert!(bench.service.issue(again, at(1000)).await.is_err());
    assert!(bench.service.flush().await.is_err());
    bench.store.switch(Power::On);
    assert_eq!(events(&bench).await, []);
    for _ in 0..2 {
        bench.service.flush().await.unwrap();
    }
    let expected = [("session.ended", "users/root", at(2)), ("refresh.reused", "countersign", at(1000))];
    assert_eq!(
        events(&bench).await,
        expected.map(|(event, actor, at)| (event.to_owned(), actor.to_owned(), at))
    );
}

#[tokio::test]
async fn a_password_that_is_written_is_changed_although_the_store_cannot_be_told_what_ended_with_it() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, session(), at(0)).await;
    bench.store.switch_off_after(1);
    let changed =
        bench.service.password_change(claim("ann", PASSWORD), Secret::new("another one"), None, at(6));
    assert_eq!(changed.await.unwrap(), PasswordChange::Done);
    assert!(bench.store.is_failing());
    assert_eq!(bench.says(token, at(7)).await, "unknown");
    assert!(matches!(bench.login(claim("ann", "another one"), at(7)).await, PasswordAnswer::Proven(_)));
    bench.store.switch(Power::On);
    bench.service.flush().await.unwrap();
    assert_eq!(bench.reopen().await.says(token, at(8)).await, "unknown");
}

#[tokio::test]
async fn an_order_that_fails_brings_nothing_back_that_was_ended_meanwhile() {
    let bench = Bench::new().await;
    let (ann, bob) = (bench.account("users", "ann").await, bench.account("users", "bob").await);
    let [ended, stays] =
        [bench.token(&ann, session(), at(0)).await, bench.token(&ann, session(), at(0)).await];
    let of_bob = bench.token(&bob, session(), at(0)).await;
    let log_in = |account, replaces| {
        let order = Issue { replaces: Some(replaces), ..order(Some(account), vec![session()], at(1)) };
        bench.service.issue(order, at(1))
    };
    bench.store.hold_failures();
    bench.store.switch(Power::Off);
    let orders = [log_in(&ann, ended), log_in(&ann, stays), log_in(&bob, of_bob)];
    until(async || bench.store.failures_held() == orders.len()).await;
    bench.store.switch(Power::On);
    // Somebody logs out, and an account is disabled, for a while.
    bench.service.end(ended, at(2)).await.unwrap();
    for standing in [Standing::Disabled, Standing::Enabled] {
        bench.service.set_standing(bob.id, standing, By::gate(), at(2)).await.unwrap();
    }
    bench.store.release_failures();
    for order in orders {
        assert!(order.await.is_err());
    }
    bench.service.flush().await.unwrap();
    let says = async |bench: &Bench| {
        [bench.says(ended, at(3)).await, bench.says(stays, at(3)).await, bench.says(of_bob, at(3)).await]
    };
    assert_eq!(says(&bench).await, ["unknown", "live", "unknown"]);
    let bench = bench.reopen().await;
    assert_eq!(says(&bench).await, ["unknown", "live", "unknown"]);
}

#[tokio::test]
async fn an_order_that_fails_brings_nothing_back_that_was_issued_with_what_was_ended_meanwhile_or_on_it() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let on = |on: TokenDigest, plans| Issue { on: Some(on), ..order(Some(&ann), plans, at(0)) };
    let issue = async |order| -> Vec<_> { bench.issue(order, at(0)).await.iter().map(digest).collect() };
    // A session with a refresh token and one token on it, of which one ends, and of another none.
    let family = async || {
        let mut family = issue(order(Some(&ann), vec![session(), refresh()], at(0))).await;
        family.extend(issue(on(family[0], vec![access()])).await);
        family
    };
    let [by_session, by_refresh, stays] = [family().await, family().await, family().await];
    // Tokens on sessions, of which one session ends.
    let [ends, lives] =
        [bench.token(&ann, session(), at(0)).await, bench.token(&ann, session(), at(0)).await];
    let [child, brother] =
        [issue(on(ends, vec![session()])).await[0], issue(on(lives, vec![session()])).await[0]];
    let grandchild = issue(on(child, vec![access()])).await[0];
    // Beside that of which the order takes the place, and no further than that.
    let sister = issue(on(lives, vec![session()])).await[0];
    let replaced = [by_session[0], by_refresh[0], stays[0], child, brother, sister];
    bench.store.hold_failures();
    bench.store.switch(Power::Off);
    let log_in = |replaces| {
        let order = Issue { replaces: Some(replaces), ..order(Some(&ann), vec![session()], at(1)) };
        bench.service.issue(order, at(1))
    };
    let orders = replaced.map(log_in);
    until(async || bench.store.failures_held() == orders.len()).await;
    bench.store.switch(Power::On);
    for token in [by_session[0], by_refresh[1], ends, sister] {
        bench.service.end(token, at(2)).await.unwrap();
    }
    bench.store.release_failures();
    for order in orders {
        assert!(order.await.is_err());
    }
    bench.service.flush().await.unwrap();
    let ended = [&by_session[..], &by_refresh, &[ends, child, grandchild, sister]].concat();
    let live = [&stays[..], &[lives, brother]].concat();
    let says = async |bench: &Bench| {
        for token in &ended {
            assert_eq!(bench.says(*token, at(3)).await, "unknown");
        }
        for token in &live {
            assert_eq!(bench.says(*token, at(3)).await, "live");
        }
    };
    says(&bench).await;
    says(&bench.reopen().await).await;
}

#[tokio::test]
async fn a_row_that_was_read_before_its_token_ended_brings_nothing_back() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, session(), at(0)).await;
    let bench = Bench::still_loading(bench.close().await).await;
    bench.store.hold_rows();
    let asked = bench.service.find_token(token, at(1));
    until(async || bench.store.rows_held() == 1).await;
    bench.loaded().await;
    bench.service.end(token, at(2)).await.unwrap();
    bench.store.release_rows();
    assert!(matches!(asked.await.unwrap(), TokenAnswer::Unknown));
    assert_eq!((bench.says(token, at(3)).await, bench.service.tokens_in_memory()), ("unknown", 0));
}

#[tokio::test]
async fn what_hangs_on_a_token_that_ends_while_tokens_are_loaded_is_not_loaded() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, session(), at(0)).await;
    let on = |on| Issue { on: Some(on), ..order(Some(&ann), vec![session()], at(0)) };
    let hanging = digest(&bench.issue(on(token), at(0)).await[0]);
    let last = digest(&bench.issue(on(hanging), at(0)).await[0]);
    let bench = Bench::still_loading(bench.close().await).await;
    bench.service.end(token, at(1)).await.unwrap();
    bench.loaded().await;
    for token in [token, hanging, last] {
        assert_eq!(bench.says(token, at(2)).await, "unknown");
    }
    bench.service.flush().await.unwrap();
    assert!(bench.store.tokens(0, 10).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn what_is_in_memory_ends_with_what_it_hangs_on_although_that_is_loaded_later() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let on = |on| Issue { on: Some(on), ..order(Some(&ann), vec![session()], at(0)) };
    let token = bench.token(&ann, session(), at(0)).await;
    let hanging = digest(&bench.issue(on(token), at(0)).await[0]);
    let third = digest(&bench.issue(on(hanging), at(0)).await[0]);
    let last = digest(&bench.issue(on(third), at(0)).await[0]);
    let other = bench.token(&ann, session(), at(0)).await;
    let bench = Bench::still_loading(bench.close().await).await;
    // Two are presented before what they hang on is loaded.
    for token in [third, last] {
        assert_eq!(bench.says(token, at(1)).await, "live");
    }
    let mut told = bench.service.ended();
    bench.service.end(token, at(1)).await.unwrap();
    bench.loaded().await;
    let mut ended = Vec::new();
    while let Ok(Ended::Token(token)) = told.try_recv() {
        ended.push(token);
    }
    let says = async |bench: &Bench| {
        for token in [token, hanging, third, last] {
            assert_eq!(bench.says(token, at(2)).await, "unknown");
        }
        assert_eq!(bench.says(other, at(2)).await, "live");
    };
    says(&bench).await;
    assert!([token, third, last].iter().all(|token| ended.contains(token)), "streams on them hear of it");
    bench.service.flush().await.unwrap();
    assert_eq!(bench.store.tokens(0, 10).await.unwrap().0.len(), 1);
    says(&bench.reopen().await).await;
}

#[tokio::test]
async fn while_tokens_are_loaded_an_outage_is_not_an_answer() {
    let bench = Bench::new().await;
    let ann = bench.account("users", "ann").await;
    let token = bench.token(&ann, session(), at(0)).await;
    let folder = bench.close().await;
    let bench = Bench::still_loading(folder).await;
    bench.store.switch(Power::Off);
    assert!(bench.service.find_token(token, at(1)).await.is_err());
    let sessions: Result<Vec<TokenInfo>, _> = bench.service.sessions(ann.id, Arc::from("shop"), at(1)).await;
    assert!(sessions.is_err());
    bench.store.switch(Power::On);
    assert_eq!(bench.says(token, at(1)).await, "live");
    bench.loaded().await;
    assert_eq!(bench.says(token, at(1)).await, "live");
}

#[test]
fn answers_can_be_awaited_on_another_runtime_or_not_at_all() {
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let bench = control.block_on(Bench::new());
    let ann = control.block_on(bench.account("users", "ann"));
    // A bare executor: no timers, no sockets.
    let data = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = data.block_on(bench.service.check_password(claim("ann", PASSWORD), at(1)));
    assert!(matches!(answer.unwrap(), PasswordAnswer::Proven(_)));
    let token = data.block_on(bench.token(&ann, session(), at(1)));
    drop(bench.service.end(token, at(2)));
    control.block_on(until(|| async { bench.store.token(token.0).await.unwrap().is_none() }));
    assert_eq!(data.block_on(bench.says(token, at(3))), "unknown", "nobody waited, and it ended");
    control.block_on(bench.close());
}
