//! What two sides share after an exchange: keys to sign with.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

use super::crypto::{hmac_md5, md5, rc4};
use super::message::flag;

/// An exchange that ended well.
///
/// SPNEGO has the list of mechanisms signed with its keys, so that nobody on the way can take the stronger ones out
/// (RFC 4178 section 5, MS-SPNG section 3.1.5.1).
pub struct Session {
    key: [u8; 16],
    flags: u32,
    signed: bool,
}

/// Which way a signature goes.
#[derive(Clone, Copy)]
enum Way {
    ClientToServer,
    ServerToClient,
}

impl Way {
    /// The magic constants for the keys to sign and to seal (MS-NLMP sections 3.4.5.2, 3.4.5.3).
    const fn constants(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::ClientToServer => (
                b"session key to client-to-server signing key magic constant\0",
                b"session key to client-to-server sealing key magic constant\0",
            ),
            Self::ServerToClient => (
                b"session key to server-to-client signing key magic constant\0",
                b"session key to server-to-client sealing key magic constant\0",
            ),
        }
    }
}

impl Session {
    pub(super) const fn new(key: [u8; 16], flags: u32, signed: bool) -> Self {
        Self { key, flags, signed }
    }

    /// Whether the client signed the exchange: then it must sign the list of mechanisms as well.
    pub const fn is_signed(&self) -> bool {
        self.signed
    }

    /// Whether `signature` is the client's over the list of mechanisms.
    pub fn verifies(&self, list: &[u8], signature: &[u8]) -> bool {
        bool::from(self.signature(Way::ClientToServer, list).as_slice().ct_eq(signature))
    }

    /// The server's signature over the list of mechanisms.
    pub fn sign(&self, list: &[u8]) -> [u8; 16] {
        self.signature(Way::ServerToClient, list)
    }

    /// `NTLMSSP_MESSAGE_SIGNATURE` with extended session security (MS-NLMP section 3.4.4.2):
    ///
    /// ```text
    /// 0 version 1 u32   4 checksum[8]   12 sequence number u32, here 0
    /// ```
    fn signature(&self, way: Way, message: &[u8]) -> [u8; 16] {
        let (sign, seal) = way.constants();
        let sequence = [0; 4];
        let mut checksum = hmac_md5(&md5(&[&self.key, sign]), &[&sequence, message]);
        if self.flags & flag::KEY_EXCHANGE != 0 {
            let length = if self.flags & flag::KEY_128 != 0 {
                16
            } else if self.flags & flag::KEY_56 != 0 {
                7
            } else {
                5
            };
            let key = self.key.get(..length).unwrap_or(&self.key);
            let (checksum, _) = checksum.split_at_mut(8);
            rc4(&md5(&[key, seal]), checksum);
        }
        let mut signature = [0; 16];
        let (version, rest) = signature.split_at_mut(4);
        version.copy_from_slice(&1_u32.to_le_bytes());
        for (place, byte) in rest.iter_mut().zip(checksum.iter().take(8)) {
            *place = *byte;
        }
        signature
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}
