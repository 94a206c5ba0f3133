use countersign_auth::port::{PasswordChange, TokenInfo};

use super::*;
use crate::accounts::{AccountError, Standing};
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
