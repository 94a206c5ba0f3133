//! Target information: a list of attribute-value pairs (MS-NLMP section 2.2.2.1).
//!
//! ```text
//! id u16, length u16, value; id 0 ends the list
//! ```

use super::NtlmError;
use super::crypto::utf16;
use crate::bytes::{range, u16_at, u32_at};

const END: u16 = 0;
pub(super) const NETBIOS_COMPUTER: u16 = 1;
pub(super) const NETBIOS_DOMAIN: u16 = 2;
pub(super) const DNS_COMPUTER: u16 = 3;
pub(super) const DNS_DOMAIN: u16 = 4;
const FLAGS: u16 = 6;
pub(super) const TIMESTAMP: u16 = 7;
const CHANNEL_BINDINGS: u16 = 10;
/// Of `FLAGS`: there is a message integrity code.
const HAS_MIC: u32 = 0x2;
/// There are ten kinds, each of which comes once.
pub(super) const PAIRS_MAX: usize = 32;

/// What a client says in the target information of its response. It is under the proof.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) has_mic: bool,
    /// MD5 over the channel bindings; all zeros, which mean none, are `None`.
    pub(super) binding: Option<[u8; 16]>,
}

impl Said {
    /// Reads a list up to its end; what follows is padding.
    pub(super) fn read(mut list: &[u8]) -> Result<Self, NtlmError> {
        let mut flags = None;
        let mut binding = None;
        for _ in 0..PAIRS_MAX {
            let id = u16_at(list, 0).ok_or(NtlmError::Malformed)?;
            let length = u16_at(list, 2).ok_or(NtlmError::Malformed)?;
            let value = range(list, 4, usize::from(length)).ok_or(NtlmError::Malformed)?;
            match id {
                END => {
                    let has_mic = flags.is_some_and(|flags| flags & HAS_MIC != 0);
                    return Ok(Self { has_mic, binding: binding.filter(|hash| *hash != [0; 16]) });
                }
                FLAGS => once(&mut flags, u32_at(value, 0).filter(|_| value.len() == 4))?,
                CHANNEL_BINDINGS => once(&mut binding, value.try_into().ok())?,
                _ => {}
            }
            list = list.get(4 + usize::from(length)..).ok_or(NtlmError::Malformed)?;
        }
        Err(NtlmError::Malformed)
    }
}

/// Two values of one kind could be read in two ways.
fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), NtlmError> {
    if place.is_some() || value.is_none() {
        return Err(NtlmError::Malformed);
    }
    *place = value;
    Ok(())
}

/// Writes a list.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn text(&mut self, id: u16, text: &str) {
        self.value(id, &utf16(text));
    }

    pub(super) fn value(&mut self, id: u16, value: &[u8]) {
        // A name that does not fit is left out: clients ask for none of them.
        if let Ok(length) = u16::try_from(value.len()) {
            self.0.extend(id.to_le_bytes());
            self.0.extend(length.to_le_bytes());
            self.0.extend(value);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 4]);
        self.0
    }
}
