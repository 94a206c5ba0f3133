//! Objects, in every store.

use crate::store::{Change, ObjectRow, Store};

fn row(id: &str, number: u8) -> ObjectRow {
    ObjectRow {
        api: "shop".to_owned(),
        kind: "basket".to_owned(),
        id: id.to_owned(),
        owner: None,
        tenant: None,
        random: [number; 16],
        reference: [number; 32],
        ends_at: Some(1000),
    }
}

fn named(id: &str) -> (String, String, String) {
    ("shop".to_owned(), "basket".to_owned(), id.to_owned())
}

async fn find(store: &dyn Store, id: &str) -> Option<ObjectRow> {
    let (api, kind, id) = named(id);
    store.object(api, kind, id).await.unwrap()
}

pub(super) async fn check(store: &dyn Store) {
    let (one, two) = (row("1", 1), row("2", 2));
    store.write(vec![Change::BindObjects(vec![one.clone(), two.clone()], 500)]).await.unwrap();
    assert_eq!(find(store, "1").await.as_ref(), Some(&one));
    assert_eq!(store.object_of_reference([2; 32]).await.unwrap().as_ref(), Some(&two));
    assert_eq!(store.object_of_reference([3; 32]).await.unwrap(), None);
    assert_eq!(find(store, "01").await, None);
    assert_eq!(store.object("shop".to_owned(), "baskets".to_owned(), "1".to_owned()).await.unwrap(), None);

    // Whoever comes second changes nothing, unless what is there is over.
    let second = ObjectRow { owner: Some("customer=2".to_owned()), ends_at: None, ..row("1", 9) };
    store.write(vec![Change::BindObjects(vec![second.clone()], 999)]).await.unwrap();
    assert_eq!(find(store, "1").await.as_ref(), Some(&one));
    store.write(vec![Change::BindObjects(vec![second.clone()], 1000)]).await.unwrap();
    assert_eq!(find(store, "1").await, Some(second));
    assert_eq!(store.object_of_reference([1; 32]).await.unwrap(), None);

    // What is nobody's is claimed once, and not when it is over.
    let claim = |owner: &str, id: &str, now| {
        let row = ObjectRow { owner: Some(owner.to_owned()), tenant: Some("t".to_owned()), ..row(id, 0) };
        store.write(vec![Change::ClaimObject(row, now)])
    };
    claim("customer=1", "2", 1000).await.unwrap();
    assert_eq!(find(store, "2").await.as_ref(), Some(&two));
    claim("customer=1", "2", 999).await.unwrap();
    let claimed = ObjectRow {
        owner: Some("customer=1".to_owned()),
        tenant: Some("t".to_owned()),
        ends_at: None,
        ..two
    };
    assert_eq!(find(store, "2").await.as_ref(), Some(&claimed));
    claim("customer=3", "2", 999).await.unwrap();
    claim("customer=3", "7", 999).await.unwrap();
    assert_eq!(find(store, "2").await, Some(claimed));
    assert_eq!(find(store, "7").await, None);

    // An operator's word counts whatever was there; the reference stays.
    let put = ObjectRow { owner: Some("customer=4".to_owned()), ends_at: None, ..row("2", 5) };
    store.write(vec![Change::PutObject(put.clone()), Change::PutObject(row("3", 3))]).await.unwrap();
    let kept = ObjectRow { random: [2; 16], reference: [2; 32], ..put };
    assert_eq!(find(store, "2").await, Some(kept));

    store.write(vec![Change::DeleteObjectsOver(999)]).await.unwrap();
    assert!(find(store, "3").await.is_some());
    store.write(vec![Change::DeleteObjectsOver(1000)]).await.unwrap();
    assert!(find(store, "3").await.is_none());
    let (api, kind, id) = named("2");
    store.write(vec![Change::DeleteObject(api, kind, id)]).await.unwrap();
    assert!(find(store, "2").await.is_none());
}

/// What was acknowledged is there after a restart.
pub(super) async fn check_again(store: &dyn Store) {
    assert_eq!(find(store, "1").await.and_then(|row| row.owner).as_deref(), Some("customer=2"));
}
