//! Header names that an upstream could take for each other, and those that decide what a request is.
//!
//! CGI and its heirs turn `-` into `_`, some servers `.` as well, some whatever is neither letter nor digit, all without
//! regard to case: `X_Forwarded_User`, `x.forwarded.user`, `X+Forwarded~User` and `X-Forwarded-User` then arrive as one
//! variable (THREATS T-B2).

/// The one name that all look-alikes of `name` fold to: lower case, with `-` for whatever is neither letter nor digit.
pub fn folded(name: &str) -> String {
    name.bytes().map(|byte| char::from(fold(byte))).collect()
}

/// Whether `name` is a look-alike of `folded`, which is a result of [`folded`]. Allocates nothing.
pub fn folds_to(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && name.bytes().map(fold).eq(folded.bytes())
}

/// Whether the gate or HTTP itself decides by a header of this folded name: how the message is read, where it is sent, who
/// asked for it, from which page, and how he is answered. Nothing that a dialect names may be called so: what it names is
/// taken out of requests, and the gate would see a request that says nothing of all this (THREATS T-B12).
pub(crate) fn is_decisive(folded: &str) -> bool {
    DECISIVE.contains(&folded) || DECISIVE_FAMILIES.iter().any(|family| folded.starts_with(family))
}

const DECISIVE: [&str; 22] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Of which every name is one: what browsers say of the page that asks, of WebSockets, and in preflights.
const DECISIVE_FAMILIES: [&str; 3] = ["access-control-", "sec-fetch-", "sec-websocket-"];

/// A byte of a name as it is compared. Looked up, because every byte of nearly every field comes by here.
pub(crate) const fn fold(byte: u8) -> u8 {
    #[expect(clippy::indexing_slicing, reason = "every byte has its place")]
    FOLDED[byte as usize]
}

const FOLDED: [u8; 256] = {
    let mut table = [b'-'; 256];
    let mut byte = 0;
    while byte < table.len() {
        #[expect(clippy::cast_possible_truncation, reason = "less than 256")]
        let own = byte as u8;
        if own.is_ascii_alphanumeric() {
            #[expect(clippy::indexing_slicing, reason = "every byte has its place")]
            let place = &mut table[byte];
            *place = own.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::{folded, folds_to};

    #[test]
    fn look_alikes_fold_together() {
        let check = |name: &str, other: &str, same: bool| {
            assert_eq!(folds_to(name, &folded(other)), same, "{name} and {other}");
            assert_eq!(folds_to(other, &folded(name)), same, "{other} and {name}");
        };
        check("X_Forwarded_User", "x-forwarded-user", true);
        check("X-Auth_Request.User", "x-auth-request-user", true);
        check("REMOTE-USER", "Remote_User", true);
        check("Remote-User", "RemoteUser", false);
        check("subject", "subjects", false);
        check("subject", "Subject", true);
        for byte in b"!#$%&'*+-.^_`|~" {
            let other = "X-Customer-7".replace('-', &char::from(*byte).to_string());
            check("x-customer-7", &other, true);
            check("xcustomer7", &other, false);
        }
        check("x-customer-7", "x-customer+8", false);
    }
}
