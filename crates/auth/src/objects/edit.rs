//! Texts with pieces replaced, and nothing else touched.

use std::ops::Range;

/// Pieces of one text that are to be others.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts `text` in the place of a piece.
    pub(crate) fn replace(&mut self, span: Range<usize>, text: String) {
        self.0.push((span, text));
    }

    /// Takes a piece out.
    pub(crate) fn remove(&mut self, span: Range<usize>) {
        self.0.push((span, String::new()));
    }

    /// Whether nothing is to be changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with its pieces replaced. A piece that begins within one before it goes with that.
    pub(crate) fn apply(mut self, text: &str) -> String {
        // Of two that begin together the longer holds the other.
        self.0.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
        let more: usize = self.0.iter().map(|(_, new)| new.len()).sum();
        let mut edited = String::with_capacity(text.len() + more);
        let mut done = 0;
        for (span, new) in self.0 {
            if span.start < done {
                continue;
            }
            edited.push_str(text.get(done..span.start).unwrap_or_default());
            edited.push_str(&new);
            done = span.end;
        }
        edited.push_str(text.get(done..).unwrap_or_default());
        edited
    }
}

/// Where a piece stands in a text that it was cut from; `None` if it was not.
pub(crate) fn place_in(text: &str, piece: &str) -> Option<Range<usize>> {
    let from = piece.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let span = from..from.checked_add(piece.len())?;
    (span.end <= text.len()).then_some(span)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::{Edits, place_in};

    #[test]
    fn pieces_are_replaced_and_the_rest_stays() {
        let mut edits = Edits::default();
        edits.replace(6..7, "three".to_owned());
        edits.replace(0..1, "one".to_owned());
        edits.remove(2..5);
        edits.replace(3..4, "inside".to_owned());
        assert_eq!(edits.apply("1 222 3 4"), "one  three 4");
        assert_eq!(Edits::default().apply("as it is"), "as it is");
    }

    #[test]
    fn a_piece_is_found_where_it_was_cut() {
        let text = "/a/bc/d";
        assert_eq!(text.split('/').nth(2).and_then(|piece| place_in(text, piece)), Some(3..5));
        assert_eq!(place_in(&text[1..], text), None);
    }
}
