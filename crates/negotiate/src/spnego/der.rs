//! The little of DER that SPNEGO and certificates need (X.690): definite lengths of at most four bytes, tags of one.

/// `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;
/// `OBJECT IDENTIFIER`.
pub(crate) const OID: u8 = 0x06;
/// `OCTET STRING`.
pub(crate) const OCTETS: u8 = 0x04;
/// `ENUMERATED`.
pub(crate) const ENUMERATED: u8 = 0x0a;
/// `BIT STRING`.
pub(crate) const BITS: u8 = 0x03;

/// `[n]`, constructed.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Reads values one after the other.
pub(crate) struct Reader<'b> {
    left: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self { left: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next value, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'b [u8]> {
        let (own, value) = self.next()?;
        (own == tag).then_some(value)
    }

    /// The next value with its tag.
    pub(crate) fn next(&mut self) -> Option<(u8, &'b [u8])> {
        let (tag, value, left) = split(self.left)?;
        self.left = left;
        Some((tag, value))
    }

    /// The next value if it has this tag; otherwise nothing is taken.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Option<&'b [u8]>> {
        if self.left.first() == Some(&tag) { self.expect(tag).map(Some) } else { Some(None) }
    }
}

/// Tag, value and what follows:
///
/// ```text
/// tag  length < 0x80             value
/// tag  0x80 | n  length[n]       value      the length in as few bytes as it needs
/// ```
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if length.is_empty() || length.len() > 4 || length.first() == Some(&0) {
            return None;
        }
        let number = length.iter().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte));
        if number < 0x80 {
            return None;
        }
        (number, rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// A value with its tag and length.
pub(crate) fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 6);
    bytes.push(tag);
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes();
    match length {
        [0, 0, 0, short] if short < 0x80 => bytes.push(short),
        [0, 0, 0, a] => bytes.extend([0x81, a]),
        [0, 0, a, b] => bytes.extend([0x82, a, b]),
        [0, a, b, c] => bytes.extend([0x83, a, b, c]),
        [a, b, c, d] => bytes.extend([0x84, a, b, c, d]),
    }
    bytes.extend(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_as_long_as_it_says_and_no_length_has_two_forms() {
        let check = |bytes: &[u8], expected: Option<(u8, &[u8])>| {
            assert_eq!(Reader::new(bytes).next(), expected, "{bytes:02x?}");
        };
        check(&[0x04, 2, 7, 8], Some((OCTETS, &[7, 8])));
        check(&[0x04, 2, 7, 8, 9], Some((OCTETS, &[7, 8])));
        check(&[0x04, 0], Some((OCTETS, &[])));
        check(&[0x04, 3, 7, 8], None);
        check(&[0x04], None);
        check(&[], None);
        check(&[0x04, 0x81, 2, 7, 8], None);
        check(&[0x04, 0x82, 0, 2, 7, 8], None);
        check(&[0x04, 0x80, 7, 0, 0], None);
        check(&[0x04, 0x85, 1, 0, 0, 0, 0], None);
        check(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], None);
        check(&[0x1f, 0x81, 1, 7], None);
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let value = vec![0x5a; length];
            assert_eq!(Reader::new(&tagged(OCTETS, &value)).next(), Some((OCTETS, value.as_slice())));
        }
    }
}
