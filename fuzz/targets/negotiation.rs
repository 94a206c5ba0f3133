//! What clients send as `Negotiate` and `NTLM`.

use countersign_negotiate::binding::EndPointHash;
use countersign_negotiate::ntlm::{Demands, Names, NtHash, challenge, is_message};
use countersign_negotiate::spnego::{State, Token, answer};

/// The first message of a client and its answer: a byte that says how long the first one is, then both.
pub fn ntlm(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (first, third) = rest.split_at(usize::from(*length).min(rest.len()));
    let names = Names { domain: "CORP".to_owned(), dns_domain: "corp.test".to_owned(), ..Names::default() };
    let Ok(challenge) = challenge(first, &names, [7; 8], 1_800_000_000) else { return };
    assert!(is_message(first) && is_message(challenge.message()));
    let Ok(claim) = challenge.answered(third) else { return };
    assert!(is_message(third));
    assert!(!claim.user().contains('\0') && !claim.domain().contains('\0'));
    let nobody = NtHash::of_password("a password of nobody's");
    assert!(claim.verify(&nobody, &Demands::default()).is_err(), "nobody guesses a proof");
}

/// A token of SPNEGO, or of a mechanism without its envelope.
pub fn spnego(bytes: &[u8]) {
    let _hash = EndPointHash::of_certificate(bytes);
    match Token::read(bytes) {
        Ok(Token::Ntlm(token) | Token::Kerberos(token)) => assert_eq!(token, bytes),
        Ok(Token::Init(init)) => {
            assert!((1..=16).contains(&init.mechanisms.len()));
            let inside = init.token.map_or(0, <[u8]>::len) + init.mechanism_list.len();
            assert!(inside < bytes.len(), "nothing is read twice");
        }
        Ok(Token::Response(response)) => {
            let again = answer(State::Incomplete, false, response.token, response.mechanism_list_mic);
            assert_eq!(Token::read(&again), Ok(Token::Response(response)), "what was read can be written");
        }
        Err(_) => {}
    }
}
