//! The line protocol of a program that verifies NTLM in a domain: Samba's `ntlm_auth` speaks it on its standard input
//! and output (`--helper-protocol=squid-2.5-ntlmssp` and `gss-spnego`; ntlm_auth(1)). Whoever runs the program owns
//! its pipes; here is what is written to them and read from them, a line at a time.
//!
//! ```text
//! we                      the program
//! YR <type 1>             TT <type 2>                  begins an exchange, whatever was before
//! KK <type 3>             AF <user>                    known         (gss-spnego: AF <token or *> <user>)
//!                         NA <why>                     refused, or it could not find out
//! either                  BH <why>                     it could not find out
//! ```
//!
//! Tokens are in base64. The program makes the challenge, so that it drives the whole exchange; one at a time. It says
//! `NA` of nearly all that is no success, also where no domain controller answers: `why` names a status of Windows, and that
//! says whether it is about the user.

/// Which tokens the program is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Messages of NTLM alone.
    Ntlm,
    /// Messages in SPNEGO.
    Spnego,
}

impl Protocol {
    /// The program's argument for it.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Ntlm => "--helper-protocol=squid-2.5-ntlmssp",
            Self::Spnego => "--helper-protocol=gss-spnego",
        }
    }
}

/// The longest line that the program is believed to write: a token in base64, and a name.
pub const LINE_BYTES_MAX: usize = crate::TOKEN_BYTES_MAX / 3 * 4 + 1024;

/// The line that begins an exchange; `token` in base64.
pub fn begin(token: &str) -> String {
    format!("YR {token}\n")
}

/// The line that goes on with it; `token` in base64.
pub fn go_on(token: &str) -> String {
    format!("KK {token}\n")
}

/// What the program says.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'l> {
    /// The next token for the client, in base64.
    Token(&'l str),
    /// The user, as the domain names him: `DOMAIN\user`, or `user`; and a last token for the client.
    Known {
        /// The user.
        user: &'l str,
        /// The token, in base64.
        token: Option<&'l str>,
    },
    /// Refused, and why.
    Refused(&'l str),
    /// The domain did not tell, and why; the program itself is well.
    Unclear(&'l str),
    /// The program could not find out, and why; or said what nobody understands.
    Broken(&'l str),
}

/// Reads a line of the program, without its end.
pub fn read(protocol: Protocol, line: &str) -> Reply<'_> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    match (word, protocol) {
        ("TT", _) => match rest.split(' ').next() {
            Some(token) if !token.is_empty() => Reply::Token(token),
            Some(_) | None => Reply::Broken("it gave no token"),
        },
        ("AF", Protocol::Ntlm) if !rest.is_empty() => Reply::Known { user: rest, token: None },
        ("AF", Protocol::Spnego) => match rest.split_once(' ') {
            Some((token, user)) if !user.is_empty() => {
                Reply::Known { user, token: Some(token).filter(|token| *token != "*") }
            }
            Some(_) | None => Reply::Broken("it named no user"),
        },
        ("NA", _) if is_about_the_user(rest) => Reply::Refused(rest),
        ("NA", _) => Reply::Unclear(rest),
        ("BH", _) => Reply::Broken(rest),
        _ => Reply::Broken("it answered with something else"),
    }
}

/// Statuses of Windows that are about the user, or about what he sent ([MS-ERREF] section 2.3.1); without `NT_STATUS_`.
const ABOUT_THE_USER: [&str; 10] = [
    "LOGON_FAILURE",
    "WRONG_PASSWORD",
    "NO_SUCH_USER",
    "INVALID_LOGON_HOURS",
    "INVALID_WORKSTATION",
    "LOGON_TYPE_NOT_GRANTED",
    "LOGON_NOT_GRANTED",
    "SMARTCARD_LOGON_REQUIRED",
    "AUTHENTICATION_FIREWALL_FAILED",
    // What a malformed message comes to.
    "INVALID_PARAMETER",
];
/// And what such ones begin with: `ACCOUNT_LOCKED_OUT`, `PASSWORD_MUST_CHANGE`, `NOLOGON_SERVER_TRUST_ACCOUNT`.
const ABOUT_THE_USER_FROM: [&str; 3] = ["ACCOUNT_", "PASSWORD_", "NOLOGON_"];

/// Whether a refusal is about the user. One that names no status is; one whose status is another, or one that Samba has no
/// name for, says nothing about him.
fn is_about_the_user(why: &str) -> bool {
    if why.contains("NT code 0x") {
        return false;
    }
    let mut words = why.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.find_map(|word| word.strip_prefix("NT_STATUS_")).is_none_or(|status| {
        ABOUT_THE_USER.contains(&status) || ABOUT_THE_USER_FROM.iter().any(|begin| status.starts_with(begin))
    })
}

/// A user without his domain, which the helper's operator chose: `CORP\alice` is `alice`.
pub fn without_domain(user: &str) -> &str {
    user.rsplit_once('\\').map_or(user, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_understood_or_the_program_is_broken() {
        let check = |protocol, line, expected| assert_eq!(read(protocol, line), expected, "{line}");
        check(Protocol::Ntlm, "TT TlRMTVNTUAAC", Reply::Token("TlRMTVNTUAAC"));
        check(Protocol::Spnego, "TT oYI= *", Reply::Token("oYI="));
        check(Protocol::Ntlm, r"AF CORP\alice", Reply::Known { user: r"CORP\alice", token: None });
        check(Protocol::Spnego, r"AF * CORP\alice", Reply::Known { user: r"CORP\alice", token: None });
        check(Protocol::Spnego, "AF oQcw alice", Reply::Known { user: "alice", token: Some("oQcw") });
        check(Protocol::Ntlm, "NA NT_STATUS_WRONG_PASSWORD", Reply::Refused("NT_STATUS_WRONG_PASSWORD"));
        check(Protocol::Ntlm, "BH NT_STATUS_UNSUCCESSFUL", Reply::Broken("NT_STATUS_UNSUCCESSFUL"));
        for line in ["", "AF", "AF ", "TT", "TT ", "OK alice", "af alice"] {
            assert!(matches!(read(Protocol::Ntlm, line), Reply::Broken(_)), "{line}");
        }
        assert!(matches!(read(Protocol::Spnego, "AF alice"), Reply::Broken(_)));
    }

    #[test]
    fn only_what_is_about_the_user_is_a_refusal() {
        for (why, refused) in [
            ("NT_STATUS_LOGON_FAILURE", true),
            ("* NT_STATUS_LOGON_FAILURE", true),
            ("NT_STATUS_NO_SUCH_USER", true),
            ("NT_STATUS_ACCOUNT_LOCKED_OUT", true),
            ("NT_STATUS_PASSWORD_MUST_CHANGE", true),
            ("NT_STATUS_NOLOGON_SERVER_TRUST_ACCOUNT", true),
            ("NT_STATUS_INVALID_PARAMETER", true),
            ("", true),
            ("go away", true),
            ("NT_STATUS_NO_LOGON_SERVERS", false),
            ("* NT_STATUS_NO_LOGON_SERVERS", false),
            ("NT_STATUS_IO_TIMEOUT", false),
            ("NT_STATUS_DOMAIN_CONTROLLER_NOT_FOUND", false),
            ("NT_STATUS_TRUSTED_RELATIONSHIP_FAILURE", false),
            ("NT_STATUS_TRUSTED_DOMAIN_FAILURE", false),
            ("NT_STATUS_PIPE_DISCONNECTED", false),
            ("NT_STATUS_LOGON_FAILURES", false),
            ("NT_STATUS_INVALID_PARAMETER_MIX", false),
            ("NT_STATUS_", false),
            ("NT code 0xc0990001", false),
        ] {
            for protocol in [Protocol::Ntlm, Protocol::Spnego] {
                let expected = if refused { Reply::Refused(why) } else { Reply::Unclear(why) };
                assert_eq!(read(protocol, format!("NA {why}").as_str()), expected, "{why}");
            }
        }
    }

    #[test]
    fn a_domain_is_not_part_of_a_name() {
        assert_eq!(without_domain(r"CORP\alice"), "alice");
        assert_eq!(without_domain("alice"), "alice");
    }
}
