//! When two names mean one field to some service.
//!
//! Services read names in their own ways: many ignore the letter case of members and parameters, some of them by
//! Unicode (`ſ` for `s`), some read `customer[id]` and `customer.id` as a field of a field. A rule about a name is
//! about all of them: checking one field too many refuses, checking one too few lets through.

use std::borrow::Cow;

use crate::canonical::query::{QueryError, decode_form};

/// Whether some service takes `given` for `own`: equal but for letter case.
pub(crate) fn same_name(own: &str, given: &str) -> bool {
    if own.is_ascii() && given.is_ascii() {
        return own.eq_ignore_ascii_case(given);
    }
    own.chars().flat_map(folded).eq(given.chars().flat_map(folded))
}

/// A letter without its case, by every table in use: upper case first, as `ſ` and `ı` have none of their own.
fn folded(char: char) -> impl Iterator<Item = char> {
    // The one letter whose lower case is two in Unicode and one in Java.
    let char = if char == '\u{130}' { 'i' } else { char };
    char.to_uppercase().flat_map(char::to_lowercase)
}

/// The steps that binders of forms and queries read a name as: `a[b][0]` and `a.b.0`.
///
/// Brackets and dots part; `a[]` is `a` and an empty step.
pub(crate) fn steps(name: &str) -> impl Iterator<Item = &str> {
    name.trim_start().split(['[', '.']).map(|step| step.strip_suffix(']').unwrap_or(step))
}

/// The name of a parameter as a rule may write it, which is as it reads or as it is escaped in requests.
///
/// # Errors
/// If its escapes are none.
pub(super) fn parameter(written: &str) -> Result<Cow<'_, str>, QueryError> {
    if written.contains('%') { decode_form(written) } else { Ok(Cow::Borrowed(written)) }
}

/// The flat name that PHP makes of a parameter's: blanks before it go, blanks, dots and the first bracket are `_`.
pub(crate) fn flat(name: &str) -> String {
    name.trim_start_matches(' ').replace([' ', '.', '['], "_")
}

#[cfg(test)]
mod tests {
    use super::{flat, same_name, steps};

    #[test]
    fn names_that_some_service_takes_for_one() {
        for (own, given, expected) in [
            ("customerId", "customerId", true),
            ("customerId", "CUSTOMERID", true),
            ("customerId", "cu\u{17f}tomerId", true),
            ("kind", "\u{212a}ind", true),
            ("kind", "k\u{131}nd", true),
            ("kind", "k\u{130}nd", true),
            ("größe", "GRÖSSE", true),
            ("customerId", "customer_id", false),
            ("customerId", "customerId ", false),
            ("a", "", false),
        ] {
            assert_eq!(same_name(own, given), expected, "{own} {given}");
        }
    }

    #[test]
    fn names_of_fields_in_fields() {
        let check = |name: &str, expected: &[&str]| assert_eq!(steps(name).collect::<Vec<_>>(), expected);
        check("a", &["a"]);
        check(" a", &["a"]);
        check("a[]", &["a", ""]);
        check("a[b][0]", &["a", "b", "0"]);
        check("a.b", &["a", "b"]);
        assert_eq!(flat(" customer.id"), "customer_id");
        assert_eq!(flat("customer[id"), "customer_id");
    }
}
