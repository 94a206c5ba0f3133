//! Small pieces, written at once.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use smallvec::SmallVec;
use tokio::io::AsyncWrite;

/// Pieces of no more bytes together are copied into one: the kernel takes one buffer with less ado than a list of them
/// (`send` in the place of `writev`), and an answer's head and a small body are most of what is written.
const GATHERED_BYTES_MAX: usize = 4096;

/// Writes the beginning of what the pieces hold, as `poll_write_vectored` does.
pub(crate) fn poll_write<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<std::io::Result<usize>> {
    let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
    let first = filled.next().map_or(&[][..], |piece| piece);
    if filled.next().is_none() {
        return stream.poll_write(cx, first);
    }
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > GATHERED_BYTES_MAX {
        return stream.poll_write_vectored(cx, pieces);
    }
    let mut gathered = SmallVec::<[u8; GATHERED_BYTES_MAX]>::new();
    for piece in pieces {
        gathered.extend_from_slice(piece);
    }
    stream.poll_write(cx, &gathered)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn what_pieces_hold_is_written_in_their_order_whatever_they_are() {
        for lengths in [
            &[][..],
            &[0],
            &[5],
            &[0, 7, 0],
            &[1, 2, 3],
            &[300, 1024],
            &[2000, 2096],
            &[2000, 2097],
            &[9000, 1],
        ] {
            let pieces: Vec<Vec<u8>> =
                lengths.iter().zip(b'a'..).map(|(len, byte)| vec![byte; *len]).collect();
            let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut written = Vec::new();
            let mut cx = Context::from_waker(Waker::noop());
            let polled = poll_write(Pin::new(&mut written), &mut cx, &slices);
            assert!(matches!(polled, Poll::Ready(Ok(count)) if count == written.len()), "{lengths:?}");
            assert_eq!(written, pieces.concat(), "{lengths:?}");
        }
    }
}
