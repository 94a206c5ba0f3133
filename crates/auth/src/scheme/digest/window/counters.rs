//! The counters of one nonce, each once, whichever cores take them.
//!
//! ```text
//! counter   block = counter / 32      word = block % 9      bit = counter % 32
//! word      block u32 | used u32
//! ```
//!
//! A counter stands in one word alone, and one exchange of that word uses it up: whoever comes second finds the bit set.
//! The block of a word only rises, and while it stays no bit is taken back; so what a later block drove out is never
//! taken again either. A core that is interrupted in mid-way has changed nothing, so nobody waits for it.
//! [`orders`](super::orders) tries every way in which cores can take turns.

use super::atomic::{AtomicU64, Ordering};

/// A counter that was not used is taken if it is so far or less behind the highest one: more than any client has under
/// way at once, browsers with HTTP/2 included.
pub(super) const WINDOW: u32 = 256;
/// Counters of a word.
const BLOCK: u32 = 32;
/// One more than the window needs where it begins with a block: the highest counter may be any of its own.
const WORDS: usize = (WINDOW / BLOCK + 1) as usize;

/// Which of the counters of a nonce were used, as far as its words go back.
#[derive(Default)]
pub(super) struct Counters([AtomicU64; WORDS]);

impl Counters {
    /// Uses a counter up; false if it was used before, or if that is no longer known.
    pub(super) fn use_up(&self, counter: u32) -> bool {
        let (block, bit) = (counter / BLOCK, 1 << (counter % BLOCK));
        let Some(word) = usize::try_from(block).ok().and_then(|block| self.0.get(block % WORDS)) else {
            return false;
        };
        // Relaxed: all that is decided is decided by the order of this one word's changes.
        let changed = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let [held, used] = halves(word);
            match block.cmp(&held) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => (used & bit == 0).then(|| joined([held, used | bit])),
                std::cmp::Ordering::Greater => Some(joined([block, bit])),
            }
        });
        changed.is_ok()
    }
}

/// The block, and which of its counters were used.
fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

fn joined([block, used]: [u32; 2]) -> u64 {
    u64::from(block) << u32::BITS | u64::from(used)
}
