//! What an account may hold, and what is written of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::tokens::record::NEVER;

fn tokens() -> Tokens {
    Tokens::bounded(Bounds { fresh_per_account: 3, held: 4, anonymous_fresh: 3, anonymous_kept: 2 })
}

fn record(number: u32, account: u64, kind: TokenKind, marks: Marks) -> Record {
    Record {
        digest: TokenDigest::of("", "", &number.to_string()).0,
        account,
        family: 0,
        issued: number,
        used: number,
        proven: number,
        ends: NEVER,
        idle: 1000,
        word: 0,
        kind,
        marks,
    }
}

fn fresh(number: u32, account: u64) -> Record {
    record(number, account, TokenKind::Session, Marks::FRESH.with(Marks::UNSTORED))
}

fn there(tokens: &Tokens, numbers: std::ops::Range<u32>) -> Vec<u32> {
    let there = |number: &u32| tokens.get(&TokenDigest::of("", "", &number.to_string())).is_some();
    numbers.filter(there).collect()
}

fn present(tokens: &Tokens, number: u32, now: u32) -> bool {
    matches!(tokens.present(&TokenDigest::of("", "", &number.to_string()), now), Found::Live(_))
}

#[test]
fn anonymous_sessions_are_bounded_fresh_and_kept() {
    let tokens = tokens();
    for number in 0..3 {
        tokens.open(fresh(number, 0), None, 10).unwrap();
    }
    for number in 0..3 {
        assert!(present(&tokens, number, 10));
    }
    // Two were kept; for the third there was no room: it keeps to its five minutes.
    assert!(present(&tokens, 1, 400) && !present(&tokens, 2, 400));
    for number in 3..8 {
        tokens.open(fresh(number, 0), None, 10).unwrap();
    }
    assert_eq!(there(&tokens, 0..8), [0, 1, 5, 6, 7]);
    tokens.remove(&TokenDigest::of("", "", "0")).unwrap();
    assert!(present(&tokens, 5, 10) && present(&tokens, 5, 400));
    // They are forgotten two minutes after their end.
    tokens.sweep(10_000);
    assert_eq!(tokens.len(), 0);
    assert!(tokens.anonymous.is_empty());
}

#[test]
fn an_account_holds_so_many_and_its_keys_stay() {
    let tokens = tokens();
    tokens.insert(record(0, 7, TokenKind::Key, Marks::NONE));
    for number in 1..9 {
        tokens.issue(record(number, 7, TokenKind::Session, Marks::NONE), None, 10).unwrap();
    }
    assert_eq!(there(&tokens, 0..9), [0, 6, 7, 8]);
    assert_eq!(tokens.of_account(7).len(), 4);
}

#[test]
fn sessions_that_nobody_presents_give_way() {
    let tokens = tokens();
    for number in 0..3 {
        tokens.open(fresh(number, 7), None, 10).unwrap();
    }
    assert!(present(&tokens, 0, 10));
    for number in 3..6 {
        tokens.open(fresh(number, 7), None, 10).unwrap();
    }
    assert_eq!(there(&tokens, 0..6), [0, 3, 4, 5]);
    tokens.open(fresh(6, 8), None, 10).unwrap();
    let other_word = Record { word: 1, ..fresh(7, 7) };
    tokens.open(other_word, None, 10).unwrap();
    assert_eq!(there(&tokens, 0..8), [0, 3, 4, 5, 6, 7]);
    assert_eq!(tokens.of_account(7).len(), 5);
    for record in tokens.of_account(7) {
        tokens.remove(&record.token()).unwrap();
    }
    assert!(tokens.of_account(7).is_empty());
}

#[test]
fn what_waits_to_be_written_is_handed_out_once() {
    let tokens = tokens();
    tokens.open(fresh(0, 7), None, 10).unwrap();
    assert!(tokens.take_dirty().is_empty());
    assert!(present(&tokens, 0, 10) && present(&tokens, 0, 500));
    let dirty = tokens.take_dirty();
    assert_eq!((dirty.len(), dirty[0].used), (1, 500));
    assert!(dirty[0].marks.has(Marks::UNSTORED));
    assert!(tokens.take_dirty().is_empty());
    tokens.put_back_dirty(&dirty);
    assert!(tokens.take_dirty()[0].marks.has(Marks::UNSTORED));
    assert!(present(&tokens, 0, 1000));
    assert!(!tokens.take_dirty()[0].marks.has(Marks::UNSTORED));
    assert!(present(&tokens, 0, 1010), "62 seconds are the grain of 1000");
    assert!(tokens.take_dirty().is_empty());
}

/// However many an account holds, and however it came to hold them.
#[test]
fn families_are_whole_whatever_was_added_and_taken_out() {
    let bounds = Bounds { fresh_per_account: 20, held: 100, anonymous_fresh: 3, anonymous_kept: 2 };
    let tokens = Tokens::bounded(bounds);
    let (mut draw, mut most, mut least) = (1_u32, 0, usize::MAX);
    for number in 0..4000 {
        draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let drawn = usize::try_from(draw >> 8).unwrap();
        let kind = [TokenKind::Session, TokenKind::Access, TokenKind::Refresh][drawn % 3];
        let of_family = |record| Record { family: u64::from(draw >> 16 & 7), ..record };
        let mark_of = |number: u32| TokenDigest::of("", "", &number.to_string());
        // It grows for a while, and then shrinks.
        let grows = number % 1000 < 400;
        match (draw >> 28, grows) {
            (0..4, _) => drop(tokens.open(of_family(fresh(number, 7)), None, number)),
            (4..6, true) => _ = tokens.insert(of_family(record(number, 7, kind, Marks::NONE))),
            (4.., true) => drop(tokens.issue(of_family(record(number, 7, kind, Marks::NONE)), None, number)),
            (4..6, false) => _ = tokens.present(&mark_of(number - 1), number),
            (6.., false) => {
                let held = tokens.of_account(7);
                held.get(drawn % 16).map(|record| tokens.remove(&record.token()));
            }
        }
        let held = tokens.of_account(7);
        (most, least) = (most.max(held.len()), if number > 1000 { least.min(held.len()) } else { least });
        for families in [HashSet::from([1]), HashSet::from([2, 3])] {
            let mut found: Vec<_> = tokens.of_families(7, &families).iter().map(Record::token).collect();
            let mut wanted = held.clone();
            wanted.retain(|record| families.contains(&record.family));
            let mut wanted: Vec<_> = wanted.iter().map(Record::token).collect();
            found.sort_unstable_by_key(|token| token.0);
            wanted.sort_unstable_by_key(|token| token.0);
            assert_eq!(found, wanted);
        }
        let renews = |record: &&Record| record.family == 1 && record.kind == TokenKind::Refresh;
        assert_eq!(tokens.renewing(7, 1).len(), held.iter().filter(renews).count());
    }
    assert!(most >= 100 && least < 32, "{least} to {most}");
}
