//! Channel bindings: a proof that was made for another TLS connection is worth nothing on this one.
//!
//! The binding is `tls-server-end-point` (RFC 5929 section 4): the hash of the server's certificate. Which hash, the
//! signature of the certificate says; whoever has the certificate computes it.

use hmac::digest::Digest as _;
use md5::Md5;

use crate::spnego::der::{self, Reader};

/// What is demanded of a client's channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Demand {
    /// It is not looked at: TLS ends somewhere else.
    #[default]
    Off,
    /// A wrong one is refused; one need not be there.
    IfPresent,
    /// The right one must be there.
    Required,
}

/// The hash that `tls-server-end-point` takes of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndPointHash {
    /// SHA-256, also in place of MD5 and SHA-1.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

const SHA384: [&[u8]; 2] = [
    // sha384WithRSAEncryption, ecdsa-with-SHA384
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
];
const SHA512: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],
];
const SHA256: [&[u8]; 5] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
    // md5WithRSAEncryption, sha1WithRSAEncryption, ecdsa-with-SHA1
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
];

impl EndPointHash {
    /// Which hash a certificate (DER, RFC 5280) wants; `None` if its signature does not name one, as Ed25519 does
    /// not (RFC 5929 leaves that undefined), or if it is no certificate.
    pub fn of_certificate(certificate: &[u8]) -> Option<Self> {
        let mut whole = Reader::new(Reader::new(certificate).expect(der::SEQUENCE)?);
        whole.expect(der::SEQUENCE)?;
        let algorithm = Reader::new(whole.expect(der::SEQUENCE)?).expect(der::OID)?;
        if SHA256.contains(&algorithm) {
            Some(Self::Sha256)
        } else if SHA384.contains(&algorithm) {
            Some(Self::Sha384)
        } else if SHA512.contains(&algorithm) {
            Some(Self::Sha512)
        } else {
            None
        }
    }
}

/// The application data of a channel binding: what both ends of a TLS connection know of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelBinding(Vec<u8>);

impl ChannelBinding {
    /// `tls-server-end-point`, from the hash of the server's certificate.
    pub fn tls_server_end_point(hash: &[u8]) -> Self {
        Self([b"tls-server-end-point:", hash].concat())
    }

    /// The application data of `gss_channel_bindings_struct`.
    pub fn application_data(&self) -> &[u8] {
        &self.0
    }

    /// What NTLM carries: MD5 over the structure with empty addresses (MS-NLMP section 2.2.2.1,
    /// `MsvAvChannelBindings`).
    pub(crate) fn ntlm_hash(&self) -> [u8; 16] {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let mut hash = Md5::new();
        hash.update([0; 16]);
        hash.update(length.to_le_bytes());
        hash.update(&self.0);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let mut algorithm_part = der::tagged(der::OID, algorithm);
        algorithm_part.extend([0x05, 0x00]);
        let parts = [
            der::tagged(der::SEQUENCE, b"what is signed"),
            der::tagged(der::SEQUENCE, &algorithm_part),
            der::tagged(0x03, b"\0signature"),
        ];
        der::tagged(der::SEQUENCE, &parts.concat())
    }

    #[test]
    fn the_signature_says_which_hash_is_meant() {
        let check = |algorithm: &[u8], expected| {
            assert_eq!(EndPointHash::of_certificate(&certificate(algorithm)), expected, "{algorithm:02x?}");
        };
        check(SHA256[0], Some(EndPointHash::Sha256));
        check(SHA256[3], Some(EndPointHash::Sha256));
        check(SHA384[1], Some(EndPointHash::Sha384));
        check(SHA512[0], Some(EndPointHash::Sha512));
        // Ed25519 hashes as it likes.
        check(&[0x2b, 0x65, 0x70], None);
        assert_eq!(EndPointHash::of_certificate(b"no certificate"), None);
    }

    #[test]
    fn ntlm_hashes_the_whole_structure() {
        // What pyspnego and Windows compute for 32 bytes of 0x11.
        let binding = ChannelBinding::tls_server_end_point(&[0x11; 32]);
        let mut structure = vec![0; 16];
        structure.extend(53_u32.to_le_bytes());
        structure.extend(b"tls-server-end-point:");
        structure.extend([0x11; 32]);
        assert_eq!(binding.ntlm_hash(), <[u8; 16]>::from(Md5::digest(&structure)));
    }
}
