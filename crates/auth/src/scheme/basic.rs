//! `Basic` credentials (RFC 7617), decoded.
//!
//! ```text
//! Authorization: Basic YWxpY2U6b3BlbiBzZXNhbWU=
//!                      alice:open sesame          UTF-8; the first colon ends the user
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Why Basic credentials cannot be read. It never tells what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasicError {
    /// Not base64 of the standard alphabet with its padding, or line breaks in it.
    #[error("basic credentials are not base64")]
    NotBase64,
    /// RFC 7617 leaves other charsets to private agreement; there is none here.
    #[error("basic credentials are not utf-8")]
    NotUtf8,
    /// No colon.
    #[error("basic credentials have no colon")]
    NoColon,
    /// Nothing before the colon.
    #[error("basic credentials have no user")]
    NoUser,
    /// RFC 7617 section 2 forbids control characters.
    #[error("basic credentials have a control character")]
    Control,
    /// Beyond [`USER_BYTES_MAX`] or [`PASSWORD_BYTES_MAX`].
    #[error("basic credentials are too long")]
    TooLong,
}

/// Longer than any account name or e-mail address.
pub const USER_BYTES_MAX: usize = 1024;
/// Longer than any passphrase or ticket; what is longer would only feed the KDF.
pub const PASSWORD_BYTES_MAX: usize = 4096;

/// Decodes what follows `Basic ` and its blanks: the user and the password.
///
/// An empty password is one; that it proves nothing is for the directory to say.
///
/// # Errors
/// See [`BasicError`].
pub fn decode(value: &str) -> Result<(String, Secret), BasicError> {
    if value.len() > (USER_BYTES_MAX + 1 + PASSWORD_BYTES_MAX).div_ceil(3) * 4 {
        return Err(BasicError::TooLong);
    }
    let bytes = STANDARD.decode(value).map(Zeroizing::new).map_err(|_| BasicError::NotBase64)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| BasicError::NotUtf8)?;
    let (user, password) = text.split_once(':').ok_or(BasicError::NoColon)?;
    if user.is_empty() {
        return Err(BasicError::NoUser);
    }
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(BasicError::Control);
    }
    if user.len() > USER_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
        return Err(BasicError::TooLong);
    }
    Ok((user.to_owned(), Secret::new(password)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::{any, proptest};

    use super::{BasicError, PASSWORD_BYTES_MAX, USER_BYTES_MAX, decode};

    fn read(value: &str) -> Result<(String, String), BasicError> {
        decode(value).map(|(user, password)| (user, password.expose().to_owned()))
    }

    #[test]
    fn user_and_password() {
        let check = |clear: &str, user: &str, password: &str| {
            assert_eq!(read(&STANDARD.encode(clear)), Ok((user.to_owned(), password.to_owned())), "{clear}");
        };
        check("Aladdin:open sesame", "Aladdin", "open sesame");
        check("test:123\u{a3}", "test", "123\u{a3}");
        check("a@b.example:p:w:", "a@b.example", "p:w:");
        check("CORP\\alice:x", "CORP\\alice", "x");
        check("alice:", "alice", "");
        check(
            &format!("{}:{}", "u".repeat(USER_BYTES_MAX), "p".repeat(PASSWORD_BYTES_MAX)),
            &"u".repeat(USER_BYTES_MAX),
            &"p".repeat(PASSWORD_BYTES_MAX),
        );
        assert_eq!(
            read("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            Ok(("Aladdin".to_owned(), "open sesame".to_owned()))
        );
    }

    #[test]
    fn broken_credentials_are_refused() {
        let check = |value: &str, expected| assert_eq!(read(value), Err(expected), "{value}");
        for value in [
            "QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            "QWxhZGRpbjpvcGVuIHNlc2FtZQ=",
            "QWxh\r\nZGRpbjpv",
            " YTpi",
            "YTpi ",
            "YTp-",
            "a:b",
            "YTpiYh==",
            "=",
        ] {
            check(value, BasicError::NotBase64);
        }
        let check = |clear: &[u8], expected| check(&STANDARD.encode(clear), expected);
        check(b"", BasicError::NoColon);
        check(b"alice", BasicError::NoColon);
        check(b":secret", BasicError::NoUser);
        check(b":", BasicError::NoUser);
        check(b"al\0ice:x", BasicError::Control);
        check(b"alice:x\0y", BasicError::Control);
        check(b"alice:x\n", BasicError::Control);
        check(b"alice\x7f:x", BasicError::Control);
        check(b"caf\xe9:x", BasicError::NotUtf8);
        check(format!("{}:", "u".repeat(USER_BYTES_MAX + 1)).as_bytes(), BasicError::TooLong);
        check(format!("u:{}", "p".repeat(PASSWORD_BYTES_MAX + 1)).as_bytes(), BasicError::TooLong);
        check(&[b'a'; 1 << 20], BasicError::TooLong);
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in any::<String>(), bytes in any::<Vec<u8>>()) {
            let _ = decode(&value);
            let _ = decode(&STANDARD.encode(bytes));
        }

        #[test]
        fn encoded_credentials_come_back(user in "[^:\\p{Cc}]{1,20}", password in "[^\\p{Cc}]{0,20}") {
            assert_eq!(read(&STANDARD.encode(format!("{user}:{password}"))), Ok((user, password)));
        }
    }
}
