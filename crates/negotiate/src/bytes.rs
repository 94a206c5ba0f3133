//! Reads numbers and ranges out of messages, all of which may be shorter than they say.

/// The bytes from `start` on, `length` of them.
pub(crate) fn range(bytes: &[u8], start: usize, length: usize) -> Option<&[u8]> {
    bytes.get(start..start.checked_add(length)?)
}

pub(crate) fn array<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    range(bytes, start, N)?.try_into().ok()
}

/// A little-endian number of two bytes.
pub(crate) fn u16_at(bytes: &[u8], start: usize) -> Option<u16> {
    array(bytes, start).map(u16::from_le_bytes)
}

/// A little-endian number of four bytes.
pub(crate) fn u32_at(bytes: &[u8], start: usize) -> Option<u32> {
    array(bytes, start).map(u32::from_le_bytes)
}
