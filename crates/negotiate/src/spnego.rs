//! SPNEGO (RFC 4178): which mechanism is spoken, and the mechanism's own tokens in an envelope.
//!
//! ```text
//! 0x60 APPLICATION 0 { OID spnego, [0] NegTokenInit }            the first token of a client
//!      NegTokenInit  SEQUENCE { [0] SEQUENCE OF OID  [1] flags  [2] OCTETS mechToken  [3] OCTETS mechListMIC }
//! 0xa1 [1] NegTokenResp                                          every other one, both ways
//!      NegTokenResp  SEQUENCE { [0] ENUMERATED  [1] OID  [2] OCTETS responseToken  [3] OCTETS mechListMIC }
//! ```

pub(crate) mod der;

use crate::TOKEN_BYTES_MAX;
use crate::spnego::der::{Reader, context, tagged};

/// 1.3.6.1.5.5.2
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
/// 1.3.6.1.4.1.311.2.2.10
const NTLMSSP: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
/// 1.2.840.113554.1.2.2, and as Windows 2000 misspelt it.
const KERBEROS: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02],
    &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02],
];
const APPLICATION_0: u8 = 0x60;
/// Clients offer up to five.
const MECHANISMS_MAX: usize = 16;

/// A mechanism that SPNEGO can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Kerberos 5.
    Kerberos,
    /// NTLM.
    Ntlm,
    /// One that nobody here speaks.
    Other,
}

impl Mechanism {
    fn of(oid: &[u8]) -> Self {
        if KERBEROS.contains(&oid) {
            Self::Kerberos
        } else if oid == NTLMSSP {
            Self::Ntlm
        } else {
            Self::Other
        }
    }
}

/// What is wrong with a token. All are refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpnegoError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Neither SPNEGO nor a mechanism's own token, or cut short.
    #[error("the token is neither SPNEGO nor of a known mechanism, or is cut short")]
    Malformed,
}

/// What the first bytes of a token say it is; nothing of it is verified.
#[derive(Debug, PartialEq, Eq)]
pub enum Token<'t> {
    /// NTLM without an envelope.
    Ntlm(&'t [u8]),
    /// Kerberos without an envelope.
    Kerberos(&'t [u8]),
    /// The first token of a client.
    Init(Init<'t>),
    /// A later token.
    Response(Response<'t>),
}

/// `NegTokenInit` of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct Init<'t> {
    /// The mechanisms that it speaks, its favourite first.
    pub mechanisms: Vec<Mechanism>,
    /// The first token of its favourite mechanism.
    pub token: Option<&'t [u8]>,
    /// The list as it was sent, which `mechListMIC` signs.
    pub mechanism_list: &'t [u8],
}

/// `NegTokenResp` of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'t> {
    /// The next token of the mechanism.
    pub token: Option<&'t [u8]>,
    /// The signature over the list of mechanisms.
    pub mechanism_list_mic: Option<&'t [u8]>,
}

impl<'t> Token<'t> {
    /// Reads a token.
    ///
    /// # Errors
    /// See [`SpnegoError`].
    pub fn read(token: &'t [u8]) -> Result<Self, SpnegoError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(SpnegoError::TooLong);
        }
        if crate::ntlm::is_message(token) {
            return Ok(Self::Ntlm(token));
        }
        read(token).ok_or(SpnegoError::Malformed)
    }
}

fn read(token: &[u8]) -> Option<Token<'_>> {
    let mut outer = Reader::new(token);
    let (tag, value) = outer.next()?;
    if !outer.is_empty() {
        return None;
    }
    if tag == APPLICATION_0 {
        let mut inner = Reader::new(value);
        let mechanism = inner.expect(der::OID)?;
        if KERBEROS.contains(&mechanism) {
            return Some(Token::Kerberos(token));
        }
        if mechanism != SPNEGO {
            return None;
        }
        let init = inner.expect(context(0))?;
        return if inner.is_empty() { Some(Token::Init(read_init(init)?)) } else { None };
    }
    if tag == context(1) { Some(Token::Response(read_response(value)?)) } else { None }
}

/// The one value in `bytes`, which must have this tag.
fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let value = reader.expect(tag)?;
    reader.is_empty().then_some(value)
}

/// The octets in an optional `[number]`.
fn octets<'b>(fields: &mut Reader<'b>, number: u8) -> Option<Option<&'b [u8]>> {
    match fields.optional(context(number))? {
        Some(value) => only(value, der::OCTETS).map(Some),
        None => Some(None),
    }
}

fn read_init(bytes: &[u8]) -> Option<Init<'_>> {
    let mut fields = Reader::new(only(bytes, der::SEQUENCE)?);
    let mechanism_list = fields.expect(context(0))?;
    let mut list = Reader::new(only(mechanism_list, der::SEQUENCE)?);
    let mut mechanisms = Vec::new();
    while !list.is_empty() {
        if mechanisms.len() == MECHANISMS_MAX {
            return None;
        }
        mechanisms.push(Mechanism::of(list.expect(der::OID)?));
    }
    if let Some(flags) = fields.optional(context(1))? {
        only(flags, der::BITS)?;
    }
    let token = octets(&mut fields, 2)?;
    // A client's NegTokenInit may have a mechListMIC, and Microsoft's NegTokenInit2 a hint in its place; neither
    // counts before a mechanism is established.
    while !fields.is_empty() {
        fields.next()?;
    }
    if mechanisms.is_empty() { None } else { Some(Init { mechanisms, token, mechanism_list }) }
}

fn read_response(bytes: &[u8]) -> Option<Response<'_>> {
    let mut fields = Reader::new(only(bytes, der::SEQUENCE)?);
    if let Some(state) = fields.optional(context(0))? {
        only(state, der::ENUMERATED)?;
    }
    if let Some(mechanism) = fields.optional(context(1))? {
        only(mechanism, der::OID)?;
    }
    let token = octets(&mut fields, 2)?;
    let mechanism_list_mic = octets(&mut fields, 3)?;
    fields.is_empty().then_some(Response { token, mechanism_list_mic })
}

/// `negState` of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The client is known.
    Completed,
    /// It is to go on.
    Incomplete,
    /// It is to go on, and to sign the list of mechanisms.
    RequestMic,
}

/// `NegTokenResp` of the server, for a mechanism that is spoken here: NTLM. (GSSAPI makes its own for Kerberos.)
///
/// `first` names the mechanism: RFC 4178 section 4.2.2 wants that in the first answer alone.
pub fn answer(state: State, first: bool, token: Option<&[u8]>, mechanism_list_mic: Option<&[u8]>) -> Vec<u8> {
    let state = match state {
        State::Completed => 0,
        State::Incomplete => 1,
        State::RequestMic => 3,
    };
    let mut fields = tagged(context(0), &tagged(der::ENUMERATED, &[state]));
    if first {
        fields.extend(tagged(context(1), &tagged(der::OID, NTLMSSP)));
    }
    if let Some(token) = token {
        fields.extend(tagged(context(2), &tagged(der::OCTETS, token)));
    }
    if let Some(mic) = mechanism_list_mic {
        fields.extend(tagged(context(3), &tagged(der::OCTETS, mic)));
    }
    tagged(context(1), &tagged(der::SEQUENCE, &fields))
}

#[cfg(test)]
mod tests;
