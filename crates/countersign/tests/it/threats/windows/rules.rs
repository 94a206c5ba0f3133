//! Rules of NTLM, against the listener: each message would be let in but for the one thing that its rule is about.

use super::{Desk, RIGHT};
use crate::ntlm::{self, Made, Mic};
use crate::threats::Ground;

/// A whole exchange on a connection of its own: whether its answer is let in.
fn lets_in(ground: &Ground, password: &str, made: &Made) -> bool {
    let mut desk = Desk::at(ground);
    let challenge = desk.challenge(0, "NTLM");
    let told = desk.show(0, &format!("NTLM {}", ntlm::made(&challenge, RIGHT.0, password, made)));
    if told.status() == 200 {
        told.passed();
        return true;
    }
    told.refused(401);
    false
}

#[test]
fn ntlm1_a_right_proof_of_what_is_no_version_2_is_refused() {
    let ground = Ground::of("superoffice");
    let whole = Made::default().blob;
    assert!(lets_in(&ground, RIGHT.1, &Made::default()));
    let of_version = |version: [u8; 2]| [&version[..], &whole[2..]].concat();
    for blob in [
        // No more than the proof, and a byte less than the shortest that there is.
        Vec::new(),
        whole[..8].to_vec(),
        whole[..27].to_vec(),
        of_version([0, 0]),
        of_version([2, 1]),
        of_version([1, 2]),
    ] {
        let length = blob.len();
        assert!(!lets_in(&ground, RIGHT.1, &Made { blob, ..Made::default() }), "{length} bytes");
        assert!(lets_in(&ground, RIGHT.1, &Made::default()));
    }
    // Responses of version 1 are 24 bytes, in either place.
    for (lm, nt) in [(24, 24), (24, 0), (0, 24)] {
        let mut desk = Desk::at(&ground);
        desk.challenge(0, "NTLM");
        desk.show(0, &format!("NTLM {}", ntlm::old(RIGHT.0, lm, nt))).refused(401);
    }
}

#[test]
fn ntlm3_flags_that_nobody_knows_switch_nothing_off() {
    let ground = Ground::of("superoffice");
    // r1 to r10 of MS-NLMP section 2.2.2.5.
    let unused = 0x1d24_4508_u32;
    for bit in (0..32).map(|bit| 1 << bit).filter(|bit| unused & bit != 0) {
        let made = Made { flags: Made::default().flags | bit, ..Made::default() };
        assert!(lets_in(&ground, RIGHT.1, &made), "{bit:#x}");
        assert!(!lets_in(&ground, "guess", &made), "{bit:#x}");
        let unsigned = Made { mic: Some(Mic::Wrong), ..made };
        assert!(!lets_in(&ground, RIGHT.1, &unsigned), "{bit:#x}");
        // A right one ends the count of wrong ones.
        assert!(lets_in(&ground, RIGHT.1, &Made::default()));
    }
}

#[test]
fn ntlm4_a_signature_that_is_announced_must_be_right() {
    let ground = Ground::of("superoffice");
    let with = |mic: Mic| Made { mic: Some(mic), ..Made::default() };
    assert!(lets_in(&ground, RIGHT.1, &with(Mic::Right)));
    assert!(!lets_in(&ground, RIGHT.1, &with(Mic::Wrong)));
    assert!(lets_in(&ground, RIGHT.1, &with(Mic::Right)));
    assert!(!lets_in(&ground, RIGHT.1, &with(Mic::OfAnotherAnswer)));
    assert!(!lets_in(&ground, RIGHT.1, &with(Mic::Absent)));
    // A right one is none in the place of the proof.
    assert!(!lets_in(&ground, "guess", &with(Mic::Right)));
    assert!(lets_in(&ground, RIGHT.1, &Made::default()), "none is announced");
}

#[test]
fn ntlm8_a_proof_that_was_made_for_another_channel_is_refused() {
    const BINDING: u16 = 10;
    let ground = Ground::of("superoffice");
    let bound = |hash: [u8; 16]| Made { pairs: vec![(BINDING, hash.to_vec())], ..Made::default() };
    assert!(lets_in(&ground, RIGHT.1, &bound([0; 16])), "zeros are none");
    assert!(!lets_in(&ground, RIGHT.1, &bound([1; 16])), "of a TLS connection, and sent in clear");
    assert!(lets_in(&ground, RIGHT.1, &Made::default()));
    // Twice, of which a reader may take either.
    let twice = vec![(BINDING, vec![0; 16]), (BINDING, vec![1; 16])];
    assert!(!lets_in(&ground, RIGHT.1, &Made { pairs: twice, ..Made::default() }));
}
