#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;

const NTLM_1: &[u8] = b"NTLMSSP\0\x01\0\0\0\x06\x82\x08\0";

fn init(mechanisms: &[&[u8]], token: Option<&[u8]>) -> Vec<u8> {
    let list: Vec<u8> = mechanisms.iter().flat_map(|oid| tagged(der::OID, oid)).collect();
    let mut fields = tagged(context(0), &tagged(der::SEQUENCE, &list));
    if let Some(token) = token {
        fields.extend(tagged(context(2), &tagged(der::OCTETS, token)));
    }
    let mut whole = tagged(der::OID, SPNEGO);
    whole.extend(tagged(context(0), &tagged(der::SEQUENCE, &fields)));
    tagged(APPLICATION_0, &whole)
}

#[test]
fn an_init_says_what_its_client_speaks_in_the_clients_order() {
    let token = init(&[KERBEROS[1], KERBEROS[0], &[0x2b, 0x01], NTLMSSP], Some(b"ticket"));
    let Token::Init(init) = Token::read(&token).unwrap() else { unreachable!("{token:02x?}") };
    assert_eq!(
        init.mechanisms,
        [Mechanism::Kerberos, Mechanism::Kerberos, Mechanism::Other, Mechanism::Ntlm]
    );
    assert_eq!(init.token, Some(&b"ticket"[..]));
}

#[test]
fn tokens_without_an_envelope_are_known_by_their_beginning() {
    assert_eq!(Token::read(NTLM_1).unwrap(), Token::Ntlm(NTLM_1));
    let kerberos = tagged(APPLICATION_0, &[tagged(der::OID, KERBEROS[0]), vec![1, 0]].concat());
    assert_eq!(Token::read(&kerberos).unwrap(), Token::Kerberos(&kerberos));
}

#[test]
fn what_is_cut_short_or_goes_on_is_malformed() {
    let whole = init(&[NTLMSSP], Some(NTLM_1));
    assert!(Token::read(&whole).is_ok());
    for end in 0..whole.len() {
        assert_eq!(Token::read(&whole[..end]), Err(SpnegoError::Malformed), "{end} bytes");
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert_eq!(Token::read(&longer), Err(SpnegoError::Malformed));
    assert_eq!(Token::read(b"garbage"), Err(SpnegoError::Malformed));
    assert_eq!(Token::read(&init(&[], None)), Err(SpnegoError::Malformed));
    assert!(Token::read(&init(&[NTLMSSP; MECHANISMS_MAX], None)).is_ok());
    assert_eq!(Token::read(&init(&[NTLMSSP; MECHANISMS_MAX + 1], None)), Err(SpnegoError::Malformed));
    assert_eq!(Token::read(&vec![0; TOKEN_BYTES_MAX]), Err(SpnegoError::Malformed));
    assert_eq!(Token::read(&vec![0; TOKEN_BYTES_MAX + 1]), Err(SpnegoError::TooLong));
}

#[test]
fn an_answer_reads_as_a_response() {
    let token = answer(State::Incomplete, true, Some(b"challenge"), None);
    let expected = Response { token: Some(b"challenge"), mechanism_list_mic: None };
    assert_eq!(Token::read(&token).unwrap(), Token::Response(expected));
    let token = answer(State::Completed, false, None, Some(b"mic"));
    let expected = Response { token: None, mechanism_list_mic: Some(b"mic") };
    assert_eq!(Token::read(&token).unwrap(), Token::Response(expected));
    // The answer that RFC 4178 section 4.2.2 spells out for a choice of NTLM, byte for byte.
    assert_eq!(
        answer(State::RequestMic, true, None, None),
        [
            0xa1, 0x15, 0x30, 0x13, 0xa0, 3, 0x0a, 1, 3, 0xa1, 0x0c, 0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x82,
            0x37, 2, 2, 0x0a
        ]
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0_u8.., 0..200)) {
        let _ = Token::read(&bytes);
    }

    #[test]
    fn no_changed_byte_makes_it_panic(at in 0_usize..60, byte in 0_u8..) {
        let mut token = init(&[KERBEROS[0], NTLMSSP], Some(NTLM_1));
        let length = token.len();
        token[at % length] = byte;
        let _ = Token::read(&token);
    }
}
