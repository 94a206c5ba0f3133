//! Which schemes a word of the `Authorization` header carries.

use crate::dialect::Scheme;
use crate::dialect::part::Part;
use crate::dialect::place::Place;
use crate::dialect::source::Table;

/// What must hold between a scheme and the words behind which its value rides.
pub(super) fn fit(table: &Table<'_, '_>, scheme: Scheme, parts: &[Part]) {
    // A password in one piece was looked at when it was read; in a table it is in two.
    let takes_basic = scheme == Scheme::Password && parts.len() == 1;
    let places = || parts.iter().flat_map(|part| &part.places);
    if !takes_basic && places().any(|place| rides_behind(place, "basic")) {
        table.complain(
            "\"authorization Basic\" carries a user and his password, and nothing else: only `scheme = \"password\"` \
             with `from = \"authorization Basic\"` reads it",
        );
    }
    let own = match scheme {
        Scheme::Digest => Some(("a digest response", "Digest")),
        Scheme::Negotiate => Some(("a message of Negotiate", "Negotiate")),
        Scheme::Ntlm => Some(("a message of NTLM", "NTLM")),
        Scheme::Password | Scheme::Jwt | Scheme::Token | Scheme::Code | Scheme::Front | Scheme::Unproven => {
            None
        }
    };
    if let Some((what, word)) = own
        && !places().all(|place| rides_behind(place, word))
    {
        table.complain(format!("{what} rides in \"authorization {word}\""));
    }
}

fn rides_behind(place: &Place, word: &str) -> bool {
    matches!(place, Place::Authorization(own) if own.eq_ignore_ascii_case(word))
}
