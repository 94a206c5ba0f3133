//! What every store must do, as one test: call [`check`] with a way to open the same place again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod objects;

use std::sync::Arc;

use countersign_auth::token::TokenKind;

use super::{
    AccountRow, AuditRow, Change, EquivalentRow, KeyRow, NoteRow, SigningKeyRow, Store, StoreError, TokenRow,
    ValuePurpose, ValueRow,
};
use crate::equivalents::WeakerScheme;

/// Runs the suite. `open` is called three times; what was acknowledged before must be there after.
pub(crate) async fn check<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    accounts(&*store).await;
    tokens(&*store).await;
    keys_and_values(&*store).await;
    equivalents(&*store).await;
    notes(&*store).await;
    small_things(&*store).await;
    objects::check(&*store).await;
    lists_are_whole(&*store).await;
    order_of_calls(&*store).await;
    store.close().await.unwrap();

    let store = open().await;
    assert_eq!(store.accounts().await.unwrap().len(), 2);
    assert_eq!(store.token([1; 32]).await.unwrap().unwrap().used_at, 150);
    assert_eq!(
        store.equivalents().await.unwrap(),
        [equivalent(1, WeakerScheme::Ntlm, 3), equivalent(2, WeakerScheme::Digest, 4)]
    );
    objects::check_again(&*store).await;
    deletions(&*store).await;
    store.close().await.unwrap();

    let store = open().await;
    assert_eq!(store.accounts().await.unwrap().len(), 1);
    store.close().await.unwrap();
    assert!(matches!(store.write(vec![]).await, Err(StoreError::Down(_))));
}

pub(crate) fn account_row(id: i64, name: &str) -> AccountRow {
    AccountRow {
        id,
        kind: "users".to_owned(),
        name: name.to_owned(),
        name_folded: name.to_ascii_lowercase(),
        subject: format!("subject-{id}"),
        full_name: "Ann Über".to_owned(),
        first_name: "Ann".to_owned(),
        last_name: "Über".to_owned(),
        email: format!("{name}@example.com"),
        tenant: Some("t1".to_owned()),
        roles: r#"["agent"]"#.to_owned(),
        keys: r#"{"customer":"4711"}"#.to_owned(),
        password_hash: Some("$argon2id$x".to_owned()),
        password_due: true,
        disabled: false,
        proofs_from: 5,
        created_at: 6,
        updated_at: 7,
    }
}

pub(crate) fn token_row(number: u8, account: u64) -> TokenRow {
    TokenRow {
        digest: [number; 32],
        api: Arc::from("shop"),
        word: Arc::from("session"),
        kind: TokenKind::Session,
        account,
        issued_at: 100,
        used_at: 101,
        idle_secs: 1800,
        ends_at: Some(9000),
        proven_at: 99,
        family: u64::MAX,
        spent: false,
    }
}

async fn accounts(store: &dyn Store) {
    let ann = account_row(1, "Ann");
    let bob = account_row(2, "bob");
    store.write(vec![Change::InsertAccount(Box::new(ann.clone()))]).await.unwrap();
    store.write(vec![Change::InsertAccount(Box::new(bob.clone()))]).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), [ann.clone(), bob.clone()]);

    let conflict = |row: AccountRow, change: fn(Box<AccountRow>) -> Change| async move {
        let answer = store.write(vec![change(Box::new(row))]).await;
        match answer {
            Err(StoreError::Conflict(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(conflict(account_row(3, "ANN"), Change::InsertAccount).await, "the name is taken");
    assert_eq!(conflict(account_row(2, "cid"), Change::InsertAccount).await, "the row is there already");
    let mut same_subject = account_row(3, "cid");
    same_subject.subject.clone_from(&ann.subject);
    assert_eq!(conflict(same_subject, Change::InsertAccount).await, "the subject is taken");
    assert_eq!(conflict(account_row(9, "zoe"), Change::UpdateAccount).await, "the row is gone");

    let bare = AccountRow { tenant: None, password_hash: None, disabled: true, ..bob };
    store.write(vec![Change::UpdateAccount(Box::new(bare.clone()))]).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), [ann, bare]);
}

async fn tokens(store: &dyn Store) {
    let anonymous = TokenRow { account: 0, ends_at: None, family: 0, ..token_row(3, 0) };
    let refresh = TokenRow { kind: TokenKind::Refresh, ..token_row(2, 1) };
    let rows = vec![token_row(1, 1), refresh.clone(), anonymous.clone()];
    store.write(vec![Change::PutTokens(rows)]).await.unwrap();
    assert_eq!(store.token([3; 32]).await.unwrap().unwrap(), anonymous);
    assert!(store.token([9; 32]).await.unwrap().is_none());

    store.write(vec![Change::TouchTokens(vec![([1; 32], 150), ([9; 32], 150)])]).await.unwrap();
    assert_eq!(store.token([1; 32]).await.unwrap().unwrap().used_at, 150);
    assert!(store.token([9; 32]).await.unwrap().is_none(), "a use brings no token back");

    store.write(vec![Change::SpendToken([2; 32], 200)]).await.unwrap();
    store.write(vec![Change::SpendToken([2; 32], 300)]).await.unwrap();
    store.write(vec![Change::PutTokens(vec![refresh.clone()])]).await.unwrap();
    let spent = TokenRow { spent: true, used_at: 200, ..refresh };
    assert_eq!(store.token([2; 32]).await.unwrap().unwrap(), spent);

    let many = (10..=250).map(|number| token_row(number, 2)).collect();
    store.write(vec![Change::PutTokens(many)]).await.unwrap();
    let uses = (10..=250).map(|number| ([number; 32], 170)).collect();
    store.write(vec![Change::TouchTokens(uses)]).await.unwrap();
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let (page, end) = store.tokens(after, 100).await.unwrap();
        assert_eq!(page.is_empty(), end == after);
        if end == after {
            break;
        }
        after = end;
        seen.extend(page);
    }
    assert_eq!(seen.len(), 244);
    assert_eq!(seen.iter().filter(|row| row.used_at == 170).count(), 241);

    let keep = Some([11; 32]);
    store.write(vec![Change::DeleteTokensOf { account: 2, keep }]).await.unwrap();
    assert!(store.token([10; 32]).await.unwrap().is_none());
    assert!(store.token([11; 32]).await.unwrap().is_some());
    store.write(vec![Change::DeleteTokens(vec![[11; 32], [3; 32]])]).await.unwrap();
    assert_eq!(store.tokens(0, 100).await.unwrap().0.len(), 2);
    assert_eq!(store.token_count().await.unwrap(), 2);
}

async fn keys_and_values(store: &dyn Store) {
    let key = KeyRow {
        id: [1; 12],
        digest: [7; 32],
        api: Arc::from("push"),
        word: Arc::from("key"),
        account: 2,
        label: "l".to_owned(),
        description: "d".to_owned(),
        created_at: 1,
        updated_at: 2,
        expires_at: None,
    };
    store.write(vec![Change::PutKey(Box::new(key.clone()))]).await.unwrap();
    let rotated = KeyRow { digest: [8; 32], updated_at: 3, expires_at: Some(9), ..key };
    store.write(vec![Change::PutKey(Box::new(rotated.clone()))]).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), std::slice::from_ref(&rotated));
    let orphan = KeyRow { id: [2; 12], digest: [9; 32], account: 77, ..rotated };
    let answer = store.write(vec![Change::PutKey(Box::new(orphan))]).await;
    assert!(matches!(answer, Err(StoreError::Conflict("the account is gone"))), "{answer:?}");

    let value = |word: &str, mac| ValueRow {
        purpose: ValuePurpose::Shared,
        api: "push".to_owned(),
        word: word.to_owned(),
        account: 2,
        mac: [mac; 32],
    };
    store.write(vec![Change::PutValue(value("device", 1)), Change::PutValue(value("x", 2))]).await.unwrap();
    store.write(vec![Change::PutValue(value("device", 3))]).await.unwrap();
    let gone = Change::DeleteValue(ValuePurpose::Shared, "push".to_owned(), "x".to_owned(), 2);
    store.write(vec![gone]).await.unwrap();
    assert_eq!(store.values().await.unwrap(), [value("device", 3)]);
}

fn equivalent(account: u64, scheme: WeakerScheme, byte: u8) -> EquivalentRow {
    EquivalentRow { account, scheme, sealed: vec![byte; 40] }
}

fn note(service: &str, account: u64, text: &str) -> NoteRow {
    NoteRow { service: service.to_owned(), account, text: text.to_owned() }
}

async fn notes(store: &dyn Store) {
    let put = |service, account, text| Change::PutNote(note(service, account, text));
    store.write(vec![put("a", 1, "one"), put("a", 2, "two"), put("b", 1, "other")]).await.unwrap();
    store.write(vec![put("a", 1, "one again"), put("a", 2, "")]).await.unwrap();
    let of = |service: &str| store.notes(service.to_owned());
    assert_eq!(of("a").await.unwrap(), [note("a", 1, "one again"), note("a", 2, "")]);
    store
        .write(vec![Change::DeleteNote("a".to_owned(), 2), Change::DeleteNote("a".to_owned(), 9)])
        .await
        .unwrap();
    assert_eq!(of("a").await.unwrap(), [note("a", 1, "one again")]);
    assert_eq!(of("b").await.unwrap(), [note("b", 1, "other")]);
    assert_eq!(of("c").await.unwrap(), []);
    let orphan = store.write(vec![put("a", 77, "nobody")]).await;
    assert!(matches!(orphan, Err(StoreError::Conflict("the account is gone"))), "{orphan:?}");
}

async fn equivalents(store: &dyn Store) {
    use WeakerScheme::{Digest, Ntlm};
    let put = |account, scheme, byte| Change::PutEquivalent(equivalent(account, scheme, byte));
    store.write(vec![put(1, Digest, 1), put(1, Ntlm, 2), put(2, Digest, 4)]).await.unwrap();
    store.write(vec![put(1, Ntlm, 3)]).await.unwrap();
    let mut found = store.equivalents().await.unwrap();
    found.sort_by_key(|row| (row.account, row.scheme));
    assert_eq!(found, [equivalent(1, Digest, 1), equivalent(1, Ntlm, 3), equivalent(2, Digest, 4)]);
    store.write(vec![Change::DeleteEquivalents(1), put(1, Ntlm, 3)]).await.unwrap();
    let orphan = store.write(vec![put(77, Digest, 1)]).await;
    assert!(matches!(orphan, Err(StoreError::Conflict("the account is gone"))), "{orphan:?}");
}

async fn small_things(store: &dyn Store) {
    assert_eq!(store.meta("a").await.unwrap(), None);
    store.write(vec![Change::PutMeta("a", vec![1]), Change::PutMeta("a", vec![2])]).await.unwrap();
    assert_eq!(store.meta("a").await.unwrap(), Some(vec![2]));

    let key = |id: &str, state: &str| SigningKeyRow {
        id: id.to_owned(),
        purpose: "token".to_owned(),
        algorithm: "EdDSA".to_owned(),
        pkcs8: vec![1, 2, 3],
        state: state.to_owned(),
        since: 1,
    };
    store.write(vec![Change::PutSigningKey(key("a", "next"))]).await.unwrap();
    store
        .write(vec![Change::PutSigningKey(key("a", "active")), Change::PutSigningKey(key("b", "next"))])
        .await
        .unwrap();
    store.write(vec![Change::DeleteSigningKey("b".to_owned())]).await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap(), [key("a", "active")]);

    let event = |at| AuditRow {
        at,
        actor: "root".to_owned(),
        event: "account.created".to_owned(),
        object: "users/ann".to_owned(),
        address: "::1".to_owned(),
    };
    store.write((1..=5).map(|at| Change::Audit(event(at))).collect()).await.unwrap();
    assert_eq!(store.audit(2).await.unwrap(), [event(5), event(4)]);
}

async fn lists_are_whole(store: &dyn Store) {
    let good = store.write(vec![Change::PutMeta("b", vec![1])]);
    let torn = store.write(vec![
        Change::PutMeta("c", vec![1]),
        Change::InsertAccount(Box::new(account_row(4, "ann"))),
        Change::PutMeta("d", vec![1]),
    ]);
    let after = store.write(vec![Change::PutMeta("e", vec![1])]);
    good.await.unwrap();
    assert!(matches!(torn.await, Err(StoreError::Conflict(_))));
    after.await.unwrap();
    for (name, there) in [("b", true), ("c", false), ("d", false), ("e", true)] {
        assert_eq!(store.meta(name).await.unwrap().is_some(), there, "{name}");
    }
}

async fn order_of_calls(store: &dyn Store) {
    let first = store.write(vec![Change::PutMeta("order", vec![1])]);
    let second = store.write(vec![Change::PutMeta("order", vec![2])]);
    drop(store.write(vec![Change::PutMeta("dropped", vec![3])]));
    second.await.unwrap();
    first.await.unwrap();
    store.write(vec![]).await.unwrap();
    assert_eq!(store.meta("order").await.unwrap(), Some(vec![2]));
    assert_eq!(store.meta("dropped").await.unwrap(), Some(vec![3]), "a write goes on when nobody waits");
}

async fn deletions(store: &dyn Store) {
    store.write(vec![Change::PutTokens(vec![token_row(60, 2)])]).await.unwrap();
    store.write(vec![Change::DeleteAccount(2)]).await.unwrap();
    assert!(store.token([60; 32]).await.unwrap().is_none());
    assert!(store.token([1; 32]).await.unwrap().is_some());
    assert!(store.keys().await.unwrap().is_empty());
    assert!(store.values().await.unwrap().is_empty());
    assert_eq!(store.equivalents().await.unwrap(), [equivalent(1, WeakerScheme::Ntlm, 3)]);
    store.write(vec![Change::DeleteKey([1; 12])]).await.unwrap();
}
