//! What the answers to a bind mean.
//!
//! Active Directory says why in the text of a 49 (RFC 4511 knows no finer code):
//!
//! ```text
//! 80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 52e, v3839
//!                                                                              ^^^ a Windows error, in hexadecimal
//! ```

/// What an answer to a bind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The password is right.
    Right,
    /// It is wrong, or its owner may not log in; for the log.
    Wrong(&'static str),
    /// The answer says nothing about the password.
    Unclear,
}

/// Reads the result code and the text of an answer to a bind.
pub(super) fn bound(code: u32, text: &str) -> Bound {
    match code {
        0 => Bound::Right,
        49 => Bound::Wrong(sub_code(text)),
        19 => Bound::Wrong("the directory's rules keep him out (constraint violation)"),
        32 => Bound::Wrong("the directory has no such entry"),
        34 => Bound::Wrong("the user is no name that the directory could have"),
        48 => Bound::Wrong("the entry has no password"),
        _ => Bound::Unclear,
    }
}

/// What a 49 says beside `data`.
fn sub_code(text: &str) -> &'static str {
    let code = text.split("data ").nth(1).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    match code.unwrap_or_default().to_ascii_lowercase().as_str() {
        "525" => "the directory has no such user",
        "530" => "not at this hour, says the directory",
        "531" => "not from this machine, says the directory",
        "532" => "the password has expired in the directory",
        "533" => "the account is disabled in the directory",
        "701" => "the account has expired in the directory",
        "773" => "the password must be changed in the directory first",
        "775" => "the account is locked in the directory",
        _ => "the directory calls the password wrong",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sub_code_has_its_reason() {
        let check = |data: &str, expected: &str| {
            let text = format!(
                "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, {data}v3839"
            );
            let Bound::Wrong(why) = bound(49, &text) else { unreachable!("a 49 is never right") };
            assert!(why.contains(expected), "{data}: {why}");
        };
        check("data 525, ", "no such user");
        check("data 52e, ", "calls the password wrong");
        check("data 530, ", "hour");
        check("data 531, ", "machine");
        check("data 532, ", "has expired");
        check("data 533, ", "disabled");
        check("data 701, ", "account has expired");
        check("data 773, ", "must be changed");
        check("data 775, ", "locked");
        check("DATA 775, ", "calls the password wrong");
        check("data , ", "calls the password wrong");
        check("", "calls the password wrong");
    }

    #[test]
    fn only_zero_is_right_and_what_says_nothing_is_unclear() {
        assert_eq!(bound(0, ""), Bound::Right);
        for code in [1, 2, 3, 7, 8, 10, 13, 14, 51, 52, 53, 80, 123] {
            assert_eq!(bound(code, ""), Bound::Unclear, "{code}");
        }
        for code in [19, 32, 34, 48, 49] {
            assert!(matches!(bound(code, ""), Bound::Wrong(_)), "{code}");
        }
    }
}
