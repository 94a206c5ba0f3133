//! The algorithms of Digest (RFC 7616 section 6.1).

use super::hash::DigestHash;

/// An algorithm, strongest first. With `-sess` the key of a nonce is made once from the password's hash.
///
/// Of two with one hash function `-sess` comes first: clients that take the first challenge they know get it, and
/// those that take the last one get the form that they know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `SHA-512-256-sess`.
    Sha512_256Sess,
    /// `SHA-512-256`.
    Sha512_256,
    /// `SHA-256-sess`.
    Sha256Sess,
    /// `SHA-256`.
    Sha256,
    /// `MD5-sess`.
    Md5Sess,
    /// `MD5`: what a client means that names none.
    Md5,
}

impl Algorithm {
    /// All, strongest first.
    pub const ALL: [Self; 6] =
        [Self::Sha512_256Sess, Self::Sha512_256, Self::Sha256Sess, Self::Sha256, Self::Md5Sess, Self::Md5];

    /// Its name on the wire and in dialect files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha512_256Sess => "SHA-512-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha256 => "SHA-256",
            Self::Md5Sess => "MD5-sess",
            Self::Md5 => "MD5",
        }
    }

    /// The algorithm of that name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Its hash function.
    pub const fn hash(self) -> DigestHash {
        match self {
            Self::Sha512_256Sess | Self::Sha512_256 => DigestHash::Sha512_256,
            Self::Sha256Sess | Self::Sha256 => DigestHash::Sha256,
            Self::Md5Sess | Self::Md5 => DigestHash::Md5,
        }
    }

    /// Whether the key of a nonce is made once.
    pub const fn is_session(self) -> bool {
        match self {
            Self::Sha512_256Sess | Self::Sha256Sess | Self::Md5Sess => true,
            Self::Sha512_256 | Self::Sha256 | Self::Md5 => false,
        }
    }
}

/// The quality of protection (RFC 7616 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// `auth`: method and target.
    Auth,
    /// `auth-int`: the body as well.
    AuthInt,
}

impl Protection {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways_and_the_strongest_is_first() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(&algorithm.name().to_ascii_lowercase()), Some(algorithm));
            assert_eq!(algorithm.is_session(), algorithm.name().ends_with("-sess"));
        }
        assert!(Algorithm::ALL.is_sorted());
        assert!(Algorithm::ALL.is_sorted_by_key(|algorithm| std::cmp::Reverse(algorithm.hash())));
        assert_eq!(Algorithm::named("SHA-512"), None);
        assert_eq!(Algorithm::named("MD5 "), None);
    }
}
