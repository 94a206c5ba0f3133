//! Objects of services: bound once, claimed once, and never told of by what memory had before.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use countersign_auth::objects::reference::could_be;
use countersign_auth::port::objects::{
    Binding, Bound, FoundObject, NewBinding, ObjectDigest, ObjectName, Objects as _,
};

use super::{Arc, Bench, By, Service, at, home};
use crate::store::switchable::Power;

fn name(id: &str) -> ObjectName {
    ObjectName { api: "shop".into(), kind: "basket".into(), id: id.to_owned() }
}

fn new(id: &str, owner: Option<&str>) -> NewBinding {
    NewBinding {
        name: name(id),
        owner: owner.map(str::to_owned),
        tenant: None,
        lifetime: owner.is_none().then_some(Duration::from_secs(60)),
    }
}

async fn bind(service: &Service, id: &str, owner: Option<&str>, secs: i64) -> Bound {
    let bound = service.bind(vec![new(id, owner)], at(secs)).await.unwrap();
    bound.into_iter().next().unwrap()
}

fn object(bound: Bound) -> Arc<Binding> {
    match bound {
        Bound::New(binding) | Bound::Known(binding) => binding,
    }
}

fn by_id(id: &str) -> ObjectDigest {
    ObjectDigest::of_id("shop", "basket", id)
}

fn by_reference(binding: &Binding) -> ObjectDigest {
    ObjectDigest::of_reference("shop", "basket", binding.reference.expose())
}

fn owner(found: &FoundObject) -> Option<&str> {
    found.as_ref().unwrap().owner.as_deref()
}

#[tokio::test]
async fn an_object_is_bound_once_and_found_by_both_names() {
    let bench = Bench::new().await;
    let service = &bench.service;
    let first = match bind(service, "17", Some("customer=1"), 0).await {
        Bound::New(binding) => binding,
        Bound::Known(binding) => panic!("{binding:?}"),
    };
    assert!(could_be(first.reference.expose()));
    let again = bind(service, "17", Some("customer=2"), 0).await;
    assert!(
        matches!(&again, Bound::Known(known) if known.owner.as_deref() == Some("customer=1")),
        "{again:?}"
    );
    for digest in [by_id("17"), by_reference(&first)] {
        assert_eq!(owner(&service.at_hand(&digest)), Some("customer=1"));
    }
    // The id is no reference, and the other way round.
    assert!(service.at_hand(&ObjectDigest::of_reference("shop", "basket", "17")).is_none());
    assert!(service.at_hand(&by_id(first.reference.expose())).is_none());
    assert!(service.find(name("18"), home()).await.unwrap().is_none());

    // After a restart memory is empty, and the reference is the same.
    let reference = first.reference.expose().to_owned();
    let bench = bench.reopen().await;
    assert!(bench.service.at_hand(&by_reference(&first)).is_none());
    let found = bench.service.find_reference(by_reference(&first), home()).await.unwrap();
    assert_eq!(found.unwrap().reference.expose(), reference);
    bench.close().await;
}

#[tokio::test]
async fn what_is_nobodys_is_claimed_once_and_in_its_time() {
    let bench = Bench::new().await;
    let service = &bench.service;
    let basket = object(bind(service, "1", None, 0).await);
    let claimed =
        service.claim(name("1"), "customer=1".to_owned(), Some("t".to_owned()), at(59)).await.unwrap();
    assert_eq!(owner(&claimed), Some("customer=1"));
    assert_eq!(claimed.unwrap().ends_at, None);
    assert_eq!(owner(&service.at_hand(&by_reference(&basket))), Some("customer=1"));
    let second = service.claim(name("1"), "customer=2".to_owned(), None, at(59)).await.unwrap();
    assert_eq!(owner(&second), Some("customer=1"));

    bind(service, "2", None, 0).await;
    let late = service.claim(name("2"), "customer=1".to_owned(), None, at(60)).await.unwrap();
    assert_eq!(owner(&late), None);
    // Its id may come again once it is over; it has another reference then.
    let over = object(bind(service, "2", None, 59).await);
    let anew = match bind(service, "2", Some("customer=3"), 60).await {
        Bound::New(binding) => binding,
        Bound::Known(binding) => panic!("{binding:?}"),
    };
    assert_ne!(over.reference.expose(), anew.reference.expose());
    assert!(service.at_hand(&by_reference(&over)).is_none());
    assert!(service.find_reference(by_reference(&over), home()).await.unwrap().is_none());

    // And what is long over is forgotten.
    bind(service, "3", None, 0).await;
    service.sweep(at(60 + 3599)).await.unwrap();
    assert!(service.find(name("3"), home()).await.unwrap().is_some());
    service.sweep(at(60 + 3600)).await.unwrap();
    assert!(service.find(name("3"), home()).await.unwrap().is_none());
    bench.close().await;
}

#[tokio::test]
async fn of_many_who_bind_or_claim_at_once_one_is_first() {
    let bench = Bench::new().await;
    let service = &bench.service;
    let everybody = (0..50).map(|n| service.bind(vec![new("9", Some(&format!("customer={n}")))], at(0)));
    let bound: Vec<Bound> =
        futures_util::future::join_all(everybody).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(bound.iter().filter(|bound| matches!(bound, Bound::New(_))).count(), 1);
    let owners: HashSet<_> = bound.into_iter().map(|bound| object(bound).owner.clone()).collect();
    assert_eq!(owners.len(), 1);

    bind(service, "10", None, 0).await;
    let everybody = (0..50).map(|n| service.claim(name("10"), format!("customer={n}"), None, at(1)));
    let owners: HashSet<_> = futures_util::future::join_all(everybody)
        .await
        .into_iter()
        .map(|claimed| owner(&claimed.unwrap()).map(str::to_owned))
        .collect();
    assert_eq!(owners.len(), 1);
    bench.close().await;
}

#[tokio::test]
async fn an_operators_word_counts_at_once() {
    let bench = Bench::new().await;
    let service = &bench.service;
    let put = |id: &str, owner: &str| service.put_objects(vec![new(id, Some(owner))], By::gate(), at(0));
    let before = object(bind(service, "1", None, 0).await);
    put("1", "customer=5").await.unwrap();
    assert!(service.at_hand(&by_reference(&before)).is_none());
    let found = service.find_reference(by_reference(&before), home()).await.unwrap();
    assert_eq!(owner(&found), Some("customer=5"));
    put("2", "customer=6").await.unwrap();
    assert_eq!(owner(&service.find(name("2"), home()).await.unwrap()), Some("customer=6"));
    assert!(service.remove_object(name("2"), By::gate(), at(0)).await.unwrap());
    let events = bench.events().await;
    assert!(!service.remove_object(name("2"), By::gate(), at(0)).await.unwrap());
    assert_eq!(bench.events().await, events, "nothing was changed");
    assert!(service.at_hand(&by_id("2")).is_none());
    assert!(service.find(name("2"), home()).await.unwrap().is_none());
    bench.close().await;
}

#[tokio::test]
async fn nothing_is_known_while_the_store_is_away() {
    let bench = Bench::new().await;
    let service = &bench.service;
    bind(service, "1", Some("customer=1"), 0).await;
    bench.store.switch(Power::Off);
    assert!(service.at_hand(&by_id("1")).is_some(), "what memory has is true: nobody else changes it");
    assert!(service.find(name("1"), home()).await.is_err());
    assert!(service.bind(vec![new("2", None)], at(0)).await.is_err());
    assert!(service.claim(name("1"), "customer=2".to_owned(), None, at(0)).await.is_err());
    assert!(service.at_hand(&by_id("1")).is_none(), "a change that may have been written is asked for again");
    bench.store.switch(Power::On);
    assert_eq!(owner(&service.find(name("1"), home()).await.unwrap()), Some("customer=1"));
    assert!(service.find(name("2"), home()).await.unwrap().is_none());
    bench.close().await;
}

/// T-E12. Of n letters each of 32 should come n/32 times; 31 degrees of freedom, and a chi-squared of 80 is left of
/// one run in two million.
#[tokio::test]
async fn references_are_drawn_evenly() {
    const REFERENCES: usize = 20_000;
    let bench = Bench::new().await;
    let mut seen = HashSet::new();
    let mut letters = [[0_u32; 128]; 25];
    for hundred in 0..REFERENCES / 100 {
        let ids = (0..100).map(|n| new(&(hundred * 100 + n).to_string(), None)).collect();
        for bound in bench.service.bind(ids, at(0)).await.unwrap() {
            let reference = object(bound).reference.expose().to_owned();
            // The last letter holds 3 bits only.
            for (place, letter) in letters.iter_mut().zip(reference.bytes()) {
                place[usize::from(letter)] += 1;
            }
            assert!(seen.insert(reference), "the same reference twice");
        }
    }
    let expected = REFERENCES as f64 / 32.0;
    for (place, counts) in letters.iter().enumerate() {
        let counts: Vec<u32> = counts.iter().copied().filter(|count| *count > 0).collect();
        let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert_eq!(counts.len(), 32, "letters at place {place}");
        assert!(chi < 80.0, "chi-squared {chi} at place {place}");
    }
    bench.close().await;
}

/// Unknown, over and another's: none is answered by memory alone, so that each takes the way through the store.
#[tokio::test]
async fn refused_references_take_one_time() {
    const EACH: usize = 300;
    let bench = Bench::new().await;
    let service = &bench.service;
    let another = object(bind(service, "1", Some("customer=1"), 0).await);
    let over = object(bind(service, "2", None, -100).await);
    let unknown = ObjectDigest::of_reference("shop", "basket", "AAAAAAAAAAAAAAAAAAAAAAAAAA");
    let digests = [unknown, by_reference(&over), by_reference(&another)];
    let mut took = [const { Vec::new() }; 3];
    for _ in 0..EACH {
        for (took, digest) in took.iter_mut().zip(&digests) {
            let begun = Instant::now();
            service.find_reference(*digest, home()).await.unwrap();
            took.push(begun.elapsed());
        }
    }
    // What is seldom undercut: whatever else the machine does makes times longer, and none shorter.
    let took = took.map(|mut took| {
        took.sort_unstable();
        took[EACH / 10]
    });
    println!("tenths of unknown, over and another's: {took:?}");
    let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    assert!(*most < *least * 5, "{took:?}");
    bench.close().await;
}
