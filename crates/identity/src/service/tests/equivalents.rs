//! What is kept of passwords for weaker schemes: only where it was asked for, sealed, and gone in time.

use countersign_auth::port::PasswordChange;
use countersign_auth::port::digest::{Attempt, DigestClaim, Digests as _};
use countersign_auth::scheme::digest::hash::{DigestHash, Ha1};
use countersign_auth::scheme::digest::response::User;

use super::*;
use crate::accounts::{AccountError, AccountView, Standing};
use crate::equivalents::WeakerScheme;
use crate::service::equivalents::NewPassword;
use crate::store::Change;

const REALM: &str = "Shop";

async fn opted_in(bench: &Bench, name: &str, weaker: &[WeakerScheme]) -> Arc<Account> {
    bench.service.declare_digest("users", REALM, DigestHash::Sha256);
    bench.service.declare_digest("clients", "Other", DigestHash::Sha256);
    let draft = AccountDraft {
        password: Some(Secret::new(PASSWORD)),
        weaker: weaker.to_vec(),
        ..AccountDraft::new("users", name)
    };
    bench.service.create_account(draft, By::gate(), at(0)).await.unwrap()
}

/// Whether what is kept for Digest is that of a name and a password, and that alone.
fn keeps(bench: &Bench, account: &Account, name: &str, password: &str) -> bool {
    let kept = bench.service.core.equivalents.of(account.id.0);
    let all = kept.as_ref().and_then(|kept| kept.digest.as_deref()).unwrap_or_default();
    let [one] = all else { return false };
    let expected = Ha1::of(DigestHash::Sha256, name, REALM, password);
    &*one.realm == REALM && one.ha1.expose() == expected.expose()
}

async fn rows(bench: &Bench) -> Vec<(u64, WeakerScheme)> {
    bench.store.equivalents().await.unwrap().iter().map(|row| (row.account, row.scheme)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_whoever_did_not_opt_in() {
    use WeakerScheme::{Digest, Ntlm};
    let bench = Bench::new().await;
    let ann = opted_in(&bench, "ann", &[]).await;
    let ben = opted_in(&bench, "ben", &[Digest, Ntlm]).await;
    let cid = opted_in(&bench, "cid", &[Digest]).await;
    assert_eq!(rows(&bench).await, [(ben.id.0, Digest), (ben.id.0, Ntlm), (cid.id.0, Digest)]);
    assert!(!keeps(&bench, &ann, "ann", PASSWORD) && keeps(&bench, &cid, "cid", PASSWORD));
    let weaker = |bench: &Bench, account: &Account| bench.service.account(account.id).unwrap().weaker;
    assert_eq!((weaker(&bench, &ann), weaker(&bench, &ben)), (vec![], vec![Digest, Ntlm]));

    let bench = bench.reopen().await;
    assert!(keeps(&bench, &ben, "ben", PASSWORD), "sealed and opened again");
    assert_eq!(weaker(&bench, &cid), [Digest]);
    bench.service.delete_account(ben.id, By::gate(), at(1)).await.unwrap();
    assert_eq!(rows(&bench).await, [(cid.id.0, Digest)]);
    assert!(bench.service.core.equivalents.of(ben.id.0).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_with_the_switch_and_with_a_password_that_is_set_without_it() {
    use WeakerScheme::Digest;
    let bench = Bench::new().await;
    let ann = opted_in(&bench, "ann", &[Digest]).await;
    let set = |password: &str, weaker| {
        let password = NewPassword::Lasting(Secret::new(password));
        bench.service.set_password(ann.id, password, weaker, By::gate(), at(1))
    };
    set("another word 1", vec![Digest]).await.unwrap();
    assert!(keeps(&bench, &ann, "ann", "another word 1"));
    set("another word 2", vec![]).await.unwrap();
    assert_eq!(rows(&bench).await, []);
    set("another word 3", vec![Digest]).await.unwrap();
    assert!(ann.live.is_up() != keeps(&bench, &ann, "ann", "another word 3"));

    let now = bench.service.account(ann.id).unwrap().account;
    bench.service.strengthen(ann.id, By::gate(), at(2)).await.unwrap();
    assert_eq!(rows(&bench).await, []);
    assert!(!now.live.is_up(), "what was proven by a weaker scheme is looked at again");
    let audit = bench.service.audit(20).await.unwrap();
    let said: Vec<_> = audit.iter().rev().map(|event| (&*event.event, &*event.object)).collect();
    let weaker = ("password.weaker", "users/ann for digest");
    assert_eq!(said.iter().filter(|said| **said == weaker).count(), 3, "{said:?}");
    assert_eq!(said.last(), Some(&("password.strengthened", "users/ann")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_the_holders_password_and_not_his_name() {
    use WeakerScheme::{Digest, Ntlm};
    let bench = Bench::new().await;
    let ann = opted_in(&bench, "ann", &[Digest, Ntlm]).await;
    let changed =
        bench.service.password_change(claim("ann", PASSWORD), Secret::new("my own word"), None, at(1));
    assert_eq!(changed.await.unwrap(), PasswordChange::Done);
    assert!(keeps(&bench, &ann, "ann", "my own word"));

    let renamed = |_: &AccountView| Ok::<_, AccountError>(AccountDraft::new("users", "anna"));
    bench.service.update_account(ann.id, renamed, By::gate(), at(2)).await.unwrap();
    assert_eq!(rows(&bench).await, [(ann.id.0, Ntlm)], "a hash over the old name would never be right");
    bench.service.set_password(ann.id, NewPassword::None, vec![Digest], By::gate(), at(3)).await.unwrap();
    assert_eq!(rows(&bench).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_does_not_open_without_the_key() {
    let bench = Bench::new().await;
    opted_in(&bench, "ann", &[WeakerScheme::Digest]).await;
    let folder = bench.close().await;
    let key = folder.path().join("gate.db.key");
    let open = || Service::open(options(&folder), Handle::current());
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let Err(error) = open().await else { panic!("opened without the key") };
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("bring") && said.contains("gate.db.key"), "{said}");
    std::fs::write(&key, &kept).unwrap();
    open().await.unwrap().close().await.unwrap();

    // Nothing in the database is what Digest needs.
    let ha1 = Ha1::of(DigestHash::Sha256, "ann", REALM, PASSWORD).expose();
    for file in ["gate.db", "gate.db-wal"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(32).any(|window| window == ha1.as_bytes()), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_moved_opens_for_nobody() {
    let bench = Bench::new().await;
    let ann = opted_in(&bench, "ann", &[WeakerScheme::Digest]).await;
    let ben = opted_in(&bench, "ben", &[]).await;
    let mut row = bench.store.equivalents().await.unwrap().remove(0);
    assert_eq!(row.account, ann.id.0);
    row.account = ben.id.0;
    bench.store.write(vec![Change::PutEquivalent(row)]).await.unwrap();
    let folder = bench.close().await;
    assert!(Service::open(options(&folder), Handle::current()).await.is_err());
}

/// How often an account was locked, by the audit.
async fn locks(bench: &Bench) -> usize {
    bench.events().await.iter().filter(|event| event.starts_with("account.locked")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn digest_counts_what_was_wrong_and_nothing_before() {
    let bench = Bench::new().await;
    let ann = opted_in(&bench, "ann", &[WeakerScheme::Digest]).await;
    let service = &*bench.service;
    let user = User::Named("ann".into());
    let claim = DigestClaim { kind: "users", user: &user, realm: REALM, hash: DigestHash::Sha256 };
    let secret = service.find(claim);
    let admits = || service.admits(&secret, home(), at(1));
    let fail = || service.failed(&secret, home(), at(1), Attempt::Open);
    for _ in 0..3 {
        // Four are mistyped. Then there are some at once that are right.
        (0..4).for_each(|_| fail());
        let at_once: Vec<_> = (0..20).map(|_| admits()).collect();
        assert_eq!(at_once, [Attempt::Open; 20]);
        at_once.iter().for_each(|_| service.succeeded(&secret, home(), at(1)));
    }
    assert!(service.locked_until(ann.id, at(1)).is_none());
    bench.service.set_standing(ann.id, Standing::Enabled, By::gate(), at(1)).await.unwrap();
    assert_eq!(locks(&bench).await, 0);
    // Five are mistyped, and one beside them.
    (0..6).for_each(|_| fail());
    assert_eq!(admits(), Attempt::Locked);
    bench.noted("account.locked users/ann").await;
    bench.service.set_standing(ann.id, Standing::Enabled, By::gate(), at(1)).await.unwrap();
    assert_eq!(locks(&bench).await, 1);
    // What is not looked at counts at its address alone, until that has no attempts left.
    let end = service.locked_until(ann.id, at(1));
    (0..50).for_each(|_| service.failed(&secret, home(), at(1), Attempt::Locked));
    assert_eq!((service.locked_until(ann.id, at(1)), admits()), (end, Attempt::TooMany));
}

/// Whoever knows the old password would fill the queue of the KDF with one new one, and nobody else could log in.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_changes_its_password_once_at_a_time() {
    let bench = Bench::new().await;
    opted_in(&bench, "ann", &[]).await;
    opted_in(&bench, "ben", &[]).await;
    let change = |user: &str, new: &str| {
        bench.service.password_change(claim(user, PASSWORD), Secret::new(new), None, at(1))
    };
    let held = bench.service.core.administration.lock().await;
    let first = change("ann", "my own word");
    let runs = bench.service.password_runs();
    for _ in 0..200 {
        // In whatever case he writes his name.
        assert_eq!(change("ANN", "my own word").await.unwrap(), PasswordChange::TooMany);
    }
    assert!(bench.service.password_runs() <= runs + 2);
    let another = change("ben", "my own word");
    drop(held);
    assert_eq!(first.await.unwrap(), PasswordChange::Done);
    assert_eq!(another.await.unwrap(), PasswordChange::Done);
    assert_eq!(change("ann", "yet another").await.unwrap(), PasswordChange::WrongOld, "it has its turn");
}
