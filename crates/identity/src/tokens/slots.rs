//! The memory of one shard: records side by side, found by open addressing.
//!
//! ```text
//! tags   1 byte a slot: 0 empty, 1 gone, else a fingerprint of the digest
//! slots  64 bytes, one line of the cache:
//!        0      kind (3 bits), marks (4 bits), digest 1..8
//!        1..4   digest 8..32; its first byte is the number of the shard
//!        4, 5   issued|used, proven|ends
//!        6, 7   account (36 bits)|idle (28 bits), family (48 bits)|word (16 bits)
//! ```
//!
//! Everything is atomic and relaxed: who reads while somebody writes may see half of each. The shard's sequence
//! tells him so, and he reads again; see [`Sequence`](super::sequence::Sequence).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use countersign_auth::token::TokenKind;

use super::record::{ACCOUNT_MAX, FAMILY_MAX, IDLE_SECS_MAX, Mark, Marks, Record};

const WORDS: usize = 8;
const EMPTY: u8 = 0;
const GONE: u8 = 1;
/// The bits of [`Marks`].
const MARKS: u8 = 0xF;

/// Slots of one size; a shard that grows makes others.
pub(super) struct Slots {
    shard: u8,
    tags: Box<[AtomicU8]>,
    slots: Box<[Slot]>,
}

/// Aligned so that a look-up waits for the memory once.
#[derive(Default)]
#[repr(align(64))]
struct Slot([AtomicU64; WORDS]);

/// The place of a record.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

impl Slots {
    /// For records whose digests begin with the byte `shard`.
    pub(super) fn new(shard: u8, capacity: usize) -> Self {
        Self {
            shard,
            tags: (0..capacity).map(|_| AtomicU8::new(EMPTY)).collect(),
            slots: (0..capacity).map(|_| Slot::default()).collect(),
        }
    }

    pub(super) fn shard(&self) -> u8 {
        self.shard
    }

    pub(super) fn capacity(&self) -> usize {
        self.tags.len()
    }

    /// The record whose digest begins so and that is the wanted one.
    pub(super) fn find(&self, mark: Mark, wanted: impl Fn(&Record) -> bool) -> Option<(Place, Record)> {
        let fingerprint = fingerprint(mark);
        for place in self.probe(mark) {
            match self.tag(place) {
                EMPTY => return None,
                tag if tag == fingerprint => {
                    let found = self.record(place).filter(|record| record.mark() == mark && wanted(record));
                    if let Some(record) = found {
                        return Some((place, record));
                    }
                }
                _gone_or_another => {}
            }
        }
        None
    }

    /// Where a record that is not there yet may be put; there is always room, see [`Table`](super::table::Table).
    /// And whether the place was never used.
    pub(super) fn room(&self, mark: Mark) -> Option<(Place, bool)> {
        self.probe(mark).find_map(|place| match self.tag(place) {
            EMPTY => Some((place, true)),
            GONE => Some((place, false)),
            _taken => None,
        })
    }

    pub(super) fn put(&self, place: Place, record: &Record) {
        if let Some(slot) = self.slots.get(place.0) {
            for (to, word) in slot.0.iter().zip(encode(record)) {
                to.store(word, Relaxed);
            }
        }
        self.set_tag(place, fingerprint(record.mark()));
    }

    pub(super) fn take_out(&self, place: Place) {
        self.set_tag(place, GONE);
    }

    /// All records.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let is_taken = |place: &Place| self.tag(*place) > GONE;
        (0..self.capacity()).map(Place).filter(is_taken).filter_map(|place| self.record(place))
    }

    /// From where the digest points on, once around.
    fn probe(&self, mark: Mark) -> impl Iterator<Item = Place> + use<> {
        let capacity = self.capacity();
        // The high half of the product: a number below the capacity, whatever that is (Lemire 2019).
        let wide = u128::from(spread(mark)) * capacity as u128;
        let first = usize::try_from(wide >> 64).unwrap_or(0);
        (first..capacity).chain(0..first).map(Place)
    }

    fn tag(&self, place: Place) -> u8 {
        self.tags.get(place.0).map_or(EMPTY, |tag| tag.load(Relaxed))
    }

    fn set_tag(&self, place: Place, tag: u8) {
        if let Some(to) = self.tags.get(place.0) {
            to.store(tag, Relaxed);
        }
    }

    fn record(&self, place: Place) -> Option<Record> {
        let slot = self.slots.get(place.0)?;
        decode(self.shard, slot.0.each_ref().map(|word| word.load(Relaxed)))
    }
}

/// The digests are SHA-256 of values that nobody but the gate chooses, so they are their own hash; the bits that
/// choose the shard are spread once more.
fn spread(mark: Mark) -> u64 {
    mark.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// From bits that choose neither shard nor place; never a tag that means something else.
fn fingerprint(mark: Mark) -> u8 {
    let [.., last] = mark.0.to_be_bytes();
    last.max(GONE + 1)
}

/// What a record may hold of account, family and idle time is bounded where it is made; the rest is cut off here.
fn encode(record: &Record) -> [u64; WORDS] {
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let (digest, _) = record.digest.as_chunks::<8>();
    let mut digest = digest.iter().map(|bytes| u64::from_be_bytes(*bytes));
    let mut next = || digest.next().unwrap_or(0);
    let first = u64::from(kind_number(record.kind)) << 4 | u64::from(record.marks.bits() & MARKS);
    [
        first << 56 | next() & (u64::MAX >> 8),
        next(),
        next(),
        next(),
        pair(record.issued, record.used),
        pair(record.proven, record.ends),
        (record.account & ACCOUNT_MAX) << 28 | u64::from(record.idle & IDLE_SECS_MAX),
        (record.family & FAMILY_MAX) << 16 | u64::from(record.word),
    ]
}

fn decode(shard: u8, words: [u64; WORDS]) -> Option<Record> {
    let [one, two, three, four, issued_used, proven_ends, account_idle, family_word] = words;
    let high = |word: u64| u32::try_from(word >> 32).unwrap_or(u32::MAX);
    let low = |word: u64| u32::try_from(word & 0xFFFF_FFFF).unwrap_or(u32::MAX);
    let mut digest = [0; 32];
    let whole = one & (u64::MAX >> 8) | u64::from(shard) << 56;
    let bytes = [whole, two, three, four].into_iter().flat_map(u64::to_be_bytes);
    for (to, from) in digest.iter_mut().zip(bytes) {
        *to = from;
    }
    let [first, ..] = one.to_be_bytes();
    let [.., word_high, word_low] = family_word.to_be_bytes();
    Some(Record {
        digest,
        account: account_idle >> 28,
        family: family_word >> 16,
        issued: high(issued_used),
        used: low(issued_used),
        proven: high(proven_ends),
        ends: low(proven_ends),
        idle: low(account_idle) & IDLE_SECS_MAX,
        word: u16::from_be_bytes([word_high, word_low]),
        kind: kind_of(first >> 4)?,
        marks: Marks::from_bits(first & MARKS),
    })
}

const fn kind_number(kind: TokenKind) -> u8 {
    match kind {
        TokenKind::Session => 0,
        TokenKind::Access => 1,
        TokenKind::Refresh => 2,
        TokenKind::Key => 3,
        TokenKind::Shared => 4,
        TokenKind::Jwt => 5,
    }
}

const fn kind_of(number: u8) -> Option<TokenKind> {
    match number {
        0 => Some(TokenKind::Session),
        1 => Some(TokenKind::Access),
        2 => Some(TokenKind::Refresh),
        3 => Some(TokenKind::Key),
        4 => Some(TokenKind::Shared),
        5 => Some(TokenKind::Jwt),
        // What a reader sees who is about to read again.
        _torn => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn records_come_back_as_they_were() {
        for kind in 0..6 {
            for (account, family, idle) in
                [(0, 0, 0), (ACCOUNT_MAX, 0, 0), (0, FAMILY_MAX, 0), (1, 2, IDLE_SECS_MAX)]
            {
                let record = Record {
                    digest: std::array::from_fn(|at| u8::try_from(255 - at * 7 % 256).unwrap()),
                    account,
                    family,
                    issued: 1,
                    used: 2,
                    proven: 4,
                    ends: u32::MAX,
                    idle,
                    word: 0xABCD,
                    kind: kind_of(kind).unwrap(),
                    marks: Marks::FRESH.with(Marks::SPENT).with(Marks::DIRTY).with(Marks::UNSTORED),
                };
                assert_eq!(decode(255, encode(&record)), Some(record));
            }
        }
        assert!(kind_of(6).is_none());
    }
}
