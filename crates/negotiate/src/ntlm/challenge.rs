//! From a client's first message to whether its proof is right.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

use super::crypto::{hmac_md5, rc4, response_key, utf16};
use super::message::{self, MIC, Type3, flag};
use super::pairs::{self, Said, Writer};
use super::session::Session;
use super::{Demands, Mic, NtHash, NtlmError};
use crate::binding::{ChannelBinding, Demand};
use crate::bytes::range;

/// What the server calls itself. Clients repeat it; none of it decides anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The NetBIOS name of the domain, which sign-in windows show.
    pub domain: String,
    /// The NetBIOS name of the server.
    pub computer: String,
    /// The domain in DNS.
    pub dns_domain: String,
    /// The server in DNS.
    pub dns_computer: String,
}

/// Proof and blob of an NTLMv2 response without any pair (MS-NLMP section 2.2.2.8); what is shorter is older.
const NTLM_V2_BYTES_MIN: usize = 44;
/// Where the pairs of a response begin.
const PAIRS: usize = 44;
/// What the server agrees to, if the client asks.
const AGREED: u32 = flag::REQUEST_TARGET
    | flag::SIGN
    | flag::SEAL
    | flag::ALWAYS_SIGN
    | flag::EXTENDED_SECURITY
    | flag::VERSION
    | flag::KEY_128
    | flag::KEY_EXCHANGE
    | flag::KEY_56;
/// Between 1601, where Windows begins to count, and 1970.
const EPOCH_DIFFERENCE_SECS: u64 = 11_644_473_600;

/// Answers a client's first message.
///
/// `server_challenge` is 8 random bytes that are never used again; `unix_secs` the time, which Windows takes as the
/// demand to sign the exchange. Text is asked for in UTF-16 even of clients that do not offer it, as curl does not.
///
/// # Errors
/// `Malformed` if it is no first message.
pub fn challenge(
    type_1: &[u8],
    names: &Names,
    server_challenge: [u8; 8],
    unix_secs: u64,
) -> Result<Challenge, NtlmError> {
    let asked = message::read_type_1(type_1)?;
    let flags = (asked & AGREED) | flag::UNICODE | flag::NTLM | flag::TARGET_IS_DOMAIN | flag::TARGET_INFO;
    let mut info = Writer::default();
    info.text(pairs::NETBIOS_DOMAIN, &names.domain);
    info.text(pairs::NETBIOS_COMPUTER, &names.computer);
    info.text(pairs::DNS_DOMAIN, &names.dns_domain);
    info.text(pairs::DNS_COMPUTER, &names.dns_computer);
    let time = unix_secs.saturating_add(EPOCH_DIFFERENCE_SECS).saturating_mul(10_000_000);
    info.value(pairs::TIMESTAMP, &time.to_le_bytes());
    let type_2 = message::write_type_2(flags, &server_challenge, &utf16(&names.domain), &info.finish());
    Ok(Challenge { type_1: type_1.to_vec(), type_2, server_challenge, flags })
}

/// A challenge that waits for its answer. It belongs to one connection, and is good for one answer.
pub struct Challenge {
    type_1: Vec<u8>,
    type_2: Vec<u8>,
    server_challenge: [u8; 8],
    flags: u32,
}

impl Challenge {
    /// The message for the client.
    pub fn message(&self) -> &[u8] {
        &self.type_2
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// `Malformed`, or `NotNtlmV2` if it answers with something weaker.
    pub fn answered(self, type_3: &[u8]) -> Result<Claim, NtlmError> {
        let read = Type3::read(type_3)?;
        if read.nt.len() < NTLM_V2_BYTES_MIN || range(read.nt, 16, 2).is_none_or(|version| version != [1, 1])
        {
            return Err(NtlmError::NotNtlmV2);
        }
        let (Some(proof), Some(blob)) = (crate::bytes::array(read.nt, 0), read.nt.get(16..)) else {
            return Err(NtlmError::Malformed);
        };
        let said = Said::read(read.nt.get(PAIRS..).unwrap_or_default())?;
        let mic = if said.has_mic {
            let mic = type_3.get(MIC).and_then(|mic| <[u8; 16]>::try_from(mic).ok());
            // A field inside of the MIC would be read with it and checked without it.
            let mic = mic.filter(|_| read.payload >= MIC.end).ok_or(NtlmError::Malformed)?;
            let mut unsigned = type_3.to_vec();
            if let Some(place) = unsigned.get_mut(MIC) {
                place.fill(0);
            }
            Some((mic, unsigned))
        } else {
            None
        };
        Ok(Claim {
            user: read.user,
            domain: read.domain,
            proof,
            blob: blob.to_vec(),
            mic,
            binding: said.binding,
            session_key: read.session_key.try_into().ok(),
            // The client may drop what it was offered, and cannot add.
            flags: read.flags & self.flags,
            challenge: self,
        })
    }
}

/// Who a client says he is, with what is to prove it.
pub struct Claim {
    challenge: Challenge,
    user: String,
    domain: String,
    proof: [u8; 16],
    blob: Vec<u8>,
    /// The code, and the message without it.
    mic: Option<([u8; 16], Vec<u8>)>,
    binding: Option<[u8; 16]>,
    session_key: Option<[u8; 16]>,
    flags: u32,
}

impl Claim {
    /// The user as sent: a name, or `name@domain`. The account to look up is this user's and no other's.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The domain as sent: perhaps empty, perhaps the client's own idea.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the proof is that of the user's password, and meets the demands.
    ///
    /// It takes the same work whatever is wrong with the proof: where there is no such user, it is called with the
    /// hash of nobody's password, and the answer thrown away.
    ///
    /// # Errors
    /// Which check failed, the proof first.
    pub fn verify(self, hash: &NtHash, demands: &Demands<'_>) -> Result<Session, NtlmError> {
        let mut key = response_key(hash.expose(), &self.user, &self.domain);
        let proof = hmac_md5(&key, &[&self.challenge.server_challenge, &self.blob]);
        let mut base = hmac_md5(&key, &[&proof]);
        key.zeroize();
        let right = bool::from(proof.ct_eq(&self.proof));
        let exported = self.exported_key(base);
        base.zeroize();
        let signed = self.mic.as_ref().map(|(mic, unsigned)| {
            let parts: [&[u8]; 3] = [&self.challenge.type_1, &self.challenge.type_2, unsigned];
            exported.is_some_and(|key| bool::from(hmac_md5(&key, &parts).ct_eq(mic)))
        });
        if !right {
            return Err(NtlmError::WrongProof);
        }
        match (signed, demands.mic) {
            (Some(false), _) => return Err(NtlmError::WrongMic),
            (None, Mic::Required) => return Err(NtlmError::NoMic),
            (Some(true), _) | (None, Mic::IfPresent) => {}
        }
        check_binding(self.binding, demands.binding, demands.channel)?;
        let key = exported.ok_or(NtlmError::Malformed)?;
        Ok(Session::new(key, self.flags, signed.is_some()))
    }

    /// `ExportedSessionKey`; `None` if the client says that it sends one and does not.
    fn exported_key(&self, base: [u8; 16]) -> Option<[u8; 16]> {
        if self.flags & flag::KEY_EXCHANGE == 0 {
            return Some(base);
        }
        let mut key = self.session_key?;
        rc4(&base, &mut key);
        Some(key)
    }
}

fn check_binding(
    said: Option<[u8; 16]>,
    demand: Demand,
    channel: Option<&ChannelBinding>,
) -> Result<(), NtlmError> {
    let right = |said: &[u8; 16]| channel.is_some_and(|channel| bool::from(channel.ntlm_hash().ct_eq(said)));
    match (demand, said) {
        (Demand::Off, _) | (Demand::IfPresent, None) => Ok(()),
        (Demand::Required, None) => Err(NtlmError::NoBinding),
        (Demand::IfPresent | Demand::Required, Some(said)) if right(&said) => Ok(()),
        (Demand::IfPresent | Demand::Required, Some(_)) => Err(NtlmError::WrongBinding),
    }
}
