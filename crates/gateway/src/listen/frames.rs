//! A client's frames of HTTP/2, and the gate's, by their heads alone (RFC 9113 section 4.1).
//!
//! ```text
//! length(24) | type(8) | flags(8) | stream(32) | payload
//! ```
//!
//! The engine answers whatever frame it is sent, as often as it is sent one: a client that reads the answers may keep a core
//! busy with settings, pings, windows and frames that mean nothing. Those frames are counted here. What a client asks for and
//! what it is answered explains some of them.

use super::Connection;

/// What comes before the first frame (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The longest payload of DATA that may be nothing but padding.
const PADDING_MAX: usize = 256;

/// A request brings a priority or two, a window of its own and a reset with it, and each piece of an answer two windows, of
/// the stream and of the connection, and a ping that measures the line.
const EXPLAINED_BY_ONE: u32 = 4;
/// Some clients open the windows again for each KiB that they have read of a piece.
const EXPLAINING_BYTES: usize = 1024;
/// A client may take as many again in each minute as at once: pings that keep a connection alive come every ten seconds.
const AGAIN_AFTER_MS: u64 = 60_000;

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
}

impl Head {
    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it brings a request, or something of a body.
    fn asks(self) -> bool {
        match self.kind {
            HEADERS | CONTINUATION => true,
            DATA => self.has(END_STREAM) || self.length > if self.has(PADDED) { PADDING_MAX } else { 0 },
            _ => false,
        }
    }
}

/// Finds the heads of frames in bytes as they come.
#[derive(Debug)]
struct Walk {
    /// Bytes until the next head begins.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// How much of the head has come.
    had: usize,
}

impl Walk {
    const fn new(skip: usize) -> Self {
        Self { skip, head: [0; HEAD_BYTES], had: 0 }
    }

    /// Whether no frame has begun without having ended.
    const fn is_between(&self) -> bool {
        self.skip == 0 && self.had == 0
    }

    /// The next head that ends in the bytes, which begin behind it then.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let (_payload, rest) = bytes.split_at(self.skip.min(bytes.len()));
        self.skip -= bytes.len() - rest.len();
        let (now, rest) = rest.split_at((HEAD_BYTES - self.had).min(rest.len()));
        if let Some(place) = self.head.get_mut(self.had..self.had + now.len()) {
            place.copy_from_slice(now);
        }
        self.had += now.len();
        *bytes = rest;
        if self.had < HEAD_BYTES {
            return None;
        }
        self.had = 0;
        let [first, second, third, kind, flags, ..] = self.head;
        self.skip = usize::from(first) << 16 | usize::from(second) << 8 | usize::from(third);
        Some(Head { length: self.skip, kind, flags })
    }
}

/// Follows the frames of a connection, both ways.
#[derive(Debug)]
pub(super) struct FrameWatch {
    came: Walk,
    gone: Walk,
    /// How many control frames may come at once.
    control_max: u32,
    /// How many still may.
    control_left: u32,
    again_from_ms: u64,
    is_too_much: bool,
    /// Since when the fields of a head have been coming.
    block_since_ms: Option<u64>,
    /// Whether its last frame has begun.
    is_last: bool,
}

impl FrameWatch {
    /// Of a connection that begins now.
    pub(super) const fn new(control_max: u32, now_ms: u64) -> Self {
        Self {
            came: Walk::new(PREFACE_BYTES),
            gone: Walk::new(0),
            control_max,
            control_left: control_max,
            again_from_ms: now_ms,
            is_too_much: false,
            block_since_ms: None,
            is_last: false,
        }
    }

    /// Looks at bytes that came.
    pub(super) fn came(&mut self, mut bytes: &[u8], now_ms: u64) {
        while let Some(head) = self.came.next(&mut bytes) {
            match head.kind {
                HEADERS => {
                    self.explain(EXPLAINED_BY_ONE);
                    (self.block_since_ms, self.is_last) = (Some(now_ms), head.has(END_HEADERS));
                }
                CONTINUATION => self.is_last = head.has(END_HEADERS),
                _ => self.block_since_ms = None,
            }
            if !head.asks() {
                self.spend_one(now_ms);
            }
        }
        if self.is_last && self.came.skip == 0 {
            self.block_since_ms = None;
        }
    }

    /// Looks at bytes that went.
    pub(super) fn went(&mut self, mut bytes: &[u8]) {
        while let Some(head) = self.gone.next(&mut bytes) {
            if matches!(head.kind, HEADERS | DATA) {
                let pieces = u32::try_from(head.length / EXPLAINING_BYTES).unwrap_or(u32::MAX);
                self.explain(EXPLAINED_BY_ONE.saturating_add(pieces));
            }
        }
    }

    fn explain(&mut self, frames: u32) {
        self.control_left = self.control_left.saturating_add(frames);
    }

    fn spend_one(&mut self, now_ms: u64) {
        let since = now_ms.saturating_sub(self.again_from_ms);
        let again = since.saturating_mul(u64::from(self.control_max)) / AGAIN_AFTER_MS;
        if again > 0 {
            self.again_from_ms = now_ms;
            let again = self.control_left.saturating_add(u32::try_from(again).unwrap_or(u32::MAX));
            self.control_left = self.control_left.max(again.min(self.control_max));
        }
        match self.control_left.checked_sub(1) {
            Some(left) => self.control_left = left,
            None => self.is_too_much = true,
        }
    }

    /// Whether more came than may.
    pub(super) const fn is_too_much(&self) -> bool {
        self.is_too_much
    }

    /// Whether the last frame that went is whole.
    pub(super) const fn is_between(&self) -> bool {
        self.gone.is_between()
    }

    /// Since when the fields of a head have been coming, if they have no end yet.
    pub(super) const fn block_since_ms(&self) -> Option<u64> {
        self.block_since_ms
    }
}

impl Connection {
    /// More control frames came than may.
    pub(super) fn flooded(&self) {
        if !self.is_flooded.swap(true, std::sync::atomic::Ordering::Relaxed) {
            tracing::debug!(peer.address = %self.address, "a client sends too many frames that ask for nothing");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    const RST_STREAM: u8 = 3;
    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap_or_default().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&head[..], &vec![b'x'; payload]].concat()
    }

    /// A watch behind its preface.
    fn watch(control_max: u32) -> FrameWatch {
        let mut watch = FrameWatch::new(control_max, 0);
        watch.came(&[b'x'; PREFACE_BYTES], 0);
        watch
    }

    #[test]
    fn so_many_frames_that_ask_for_nothing_may_come_whatever_pieces_they_come_in() {
        let ping = frame(PING, 0, 8);
        for piece in [1, 2, 8, 9, 10, 17, 100] {
            let mut watch = watch(10);
            for bytes in ping.repeat(10).chunks(piece) {
                watch.came(bytes, 0);
            }
            assert!(!watch.is_too_much(), "{piece}");
            watch.came(&ping, 0);
            assert!(watch.is_too_much(), "{piece}");
        }
        for nothing in [
            frame(DATA, 0, 0),
            frame(DATA, PADDED, PADDING_MAX),
            frame(RST_STREAM, 0, 4),
            frame(0x77, 0xff, 3000),
        ] {
            let mut watch = watch(10);
            watch.came(&nothing.repeat(10), 0);
            assert!(!watch.is_too_much(), "{:?}", &nothing[..HEAD_BYTES]);
            watch.came(&nothing, 0);
            assert!(watch.is_too_much(), "{:?}", &nothing[..HEAD_BYTES]);
        }
    }

    #[test]
    fn requests_answers_and_time_explain_some() {
        let ping = frame(PING, 0, 8);
        let after = |by: &dyn Fn(&mut FrameWatch)| {
            let mut watch = watch(10);
            watch.came(&ping.repeat(10), 0);
            by(&mut watch);
            let passes = |_: &i32| {
                watch.came(&ping, 0);
                !watch.is_too_much()
            };
            (0..1000).take_while(passes).count()
        };
        assert_eq!(after(&|_| {}), 0);
        assert_eq!(after(&|watch| watch.came(&frame(HEADERS, END_HEADERS | END_STREAM, 30), 0)), 4);
        assert_eq!(after(&|watch| watch.came(&frame(DATA, 0, 16_384), 0)), 0, "an upload");
        assert_eq!(after(&|watch| watch.went(&frame(HEADERS, END_HEADERS, 100))), 4);
        assert_eq!(after(&|watch| watch.went(&frame(DATA, 0, 16_384))), 20);
        assert_eq!(after(&|watch| watch.went(&frame(PING, 1, 8))), 0);
        // A tenth of a minute brings one of ten again, and no time more than ten.
        let mut watch = watch(10);
        watch.came(&ping.repeat(10), 0);
        watch.came(&ping, AGAIN_AFTER_MS / 10);
        assert!(!watch.is_too_much());
        watch.came(&ping.repeat(10), 10 * AGAIN_AFTER_MS);
        assert!(!watch.is_too_much());
        watch.came(&ping, 10 * AGAIN_AFTER_MS);
        assert!(watch.is_too_much());
    }

    #[test]
    fn a_head_is_open_from_its_first_frame_until_its_last_has_come() {
        let mut watch = watch(10);
        let [open, more, last] =
            [frame(HEADERS, 0, 20), frame(CONTINUATION, 0, 0), frame(CONTINUATION, END_HEADERS, 5)];
        watch.came(&open[..8], 1);
        assert_eq!(watch.block_since_ms(), None, "it is not said yet what it is");
        watch.came(&open[8..], 2);
        watch.came(&more, 3);
        watch.came(&last[..13], 4);
        assert_eq!(watch.block_since_ms(), Some(2));
        watch.came(&last[13..], 5);
        assert_eq!(watch.block_since_ms(), None);
        let whole = frame(HEADERS, END_HEADERS, 20);
        watch.came(&[&whole[..], &whole[..28]].concat(), 6);
        assert_eq!(watch.block_since_ms(), Some(6), "all but a byte of the second");
        watch.came(&[&whole[28..], &frame(PING, 0, 8)[..]].concat(), 7);
        assert_eq!(watch.block_since_ms(), None);
    }
}
