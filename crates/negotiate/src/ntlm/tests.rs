//! A client that makes the messages, as curl and requests_ntlm do, and the example of MS-NLMP section 4.2.4.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::crypto::{hmac_md5, md5, rc4, response_key, utf16};
use super::message::flag;
use super::pairs::Writer;
use super::*;

const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
/// What curl 7.88.1 sends.
const CURL_1: &[u8] = b"NTLMSSP\0\x01\0\0\0\x06\x82\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// What requests_ntlm 1.3.0 asks for.
const REQUESTS_FLAGS: u32 = 0xe208_8237;

fn names() -> Names {
    let (domain, computer) = ("CORP".to_owned(), "GATE".to_owned());
    Names { domain, computer, dns_domain: "corp.test".to_owned(), dns_computer: "gate.corp.test".to_owned() }
}

fn type_1(flags: u32) -> Vec<u8> {
    let mut bytes = b"NTLMSSP\0\x01\0\0\0".to_vec();
    bytes.extend(flags.to_le_bytes());
    bytes.resize(40, 0);
    bytes
}

fn ask(type_1: &[u8]) -> Challenge {
    challenge(type_1, &names(), CHALLENGE, 1_700_000_000).unwrap()
}

/// What a client puts into its answer.
struct Client<'c> {
    /// What it asked with.
    first: &'c [u8],
    user: &'c str,
    domain: &'c str,
    password: &'c str,
    flags: u32,
    mic: bool,
    binding: Option<[u8; 16]>,
    /// Beside those of the server.
    more_pairs: &'c [(u16, &'c [u8])],
}

impl Default for Client<'_> {
    fn default() -> Self {
        let (user, domain, password) = ("alice", "CORP", "open sesame");
        Self {
            first: CURL_1,
            user,
            domain,
            password,
            flags: 0x8_8201,
            mic: false,
            binding: None,
            more_pairs: &[],
        }
    }
}

/// Fields of a type 3, at its offsets.
fn type_3(nt: &[u8], domain: &[u8], user: &[u8], key: &[u8], flags: u32, payload: usize) -> Vec<u8> {
    let mut bytes = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut at = payload;
    for part in [&[0_u8; 24][..], nt, domain, user, &[], key] {
        let length = u16::try_from(part.len()).unwrap().to_le_bytes();
        bytes.extend(length);
        bytes.extend(length);
        bytes.extend(u32::try_from(at).unwrap().to_le_bytes());
        at += part.len();
    }
    bytes.extend(flags.to_le_bytes());
    bytes.resize(payload, 0);
    for part in [&[0_u8; 24][..], nt, domain, user, &[], key] {
        bytes.extend(part);
    }
    bytes
}

impl Client<'_> {
    fn pairs(&self) -> Vec<u8> {
        let mut pairs = Writer::default();
        pairs.text(2, "CORP");
        if self.mic {
            pairs.value(6, &2_u32.to_le_bytes());
        }
        if let Some(binding) = self.binding {
            pairs.value(10, &binding);
        }
        for (id, value) in self.more_pairs {
            pairs.value(*id, value);
        }
        pairs.finish()
    }

    /// The answer, and the session key.
    fn answer(&self, challenge: &Challenge) -> (Vec<u8>, [u8; 16]) {
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend([7; 8]);
        blob.extend([0xaa; 8]);
        blob.extend([0; 4]);
        blob.extend(self.pairs());
        let key = response_key(&crypto::nt_hash(self.password), self.user, self.domain);
        let proof = hmac_md5(&key, &[&challenge.message()[24..32], &blob]);
        let base = hmac_md5(&key, &[&proof]);
        let text = |text: &str| {
            if self.flags & flag::UNICODE == 0 { text.as_bytes().to_vec() } else { utf16(text) }
        };
        let session_key = [0x55; 16];
        let mut sent = session_key;
        rc4(&base, &mut sent);
        let (sent, session_key) =
            if self.flags & flag::KEY_EXCHANGE == 0 { (&[][..], base) } else { (&sent[..], session_key) };
        let nt = [&proof[..], &blob].concat();
        let payload = if self.mic { 88 } else { 64 };
        let mut message = type_3(&nt, &text(self.domain), &text(self.user), sent, self.flags, payload);
        if self.mic {
            let mic = hmac_md5(&session_key, &[self.first, challenge.message(), &message]);
            message[72..88].copy_from_slice(&mic);
        }
        (message, session_key)
    }
}

fn requests_1() -> &'static [u8] {
    static MESSAGE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    MESSAGE.get_or_init(|| type_1(REQUESTS_FLAGS))
}

fn requests() -> Client<'static> {
    Client { first: requests_1(), flags: REQUESTS_FLAGS, mic: true, ..Client::default() }
}

fn verify(client: &Client<'_>, password: &str, demands: &Demands<'_>) -> Result<Session, NtlmError> {
    let challenge = ask(client.first);
    let (answer, _) = client.answer(&challenge);
    challenge.answered(&answer)?.verify(&NtHash::of_password(password), demands)
}

fn outcome(client: &Client<'_>, demands: &Demands<'_>) -> Result<(), NtlmError> {
    verify(client, "open sesame", demands).map(|_| ())
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

#[test]
fn the_example_of_the_specification_comes_out() {
    let hash = NtHash::of_password("Password");
    assert_eq!(*hash.expose(), hex("a4f49c406510bdcab6824ee7c30fd852"));
    let key = response_key(hash.expose(), "User", "Domain");
    assert_eq!(key, hex("0c868a403bfd7a93a3001ef22ef02e3f"));
    let mut pairs = Writer::default();
    pairs.text(2, "Domain");
    pairs.text(1, "Server");
    let mut blob = [[1, 1, 0, 0, 0, 0, 0, 0], [0; 8], [0xaa; 8]].concat();
    blob.extend([0; 4]);
    blob.extend(pairs.finish());
    blob.extend([0; 4]);
    let proof: [u8; 16] = hex("68cd0ab851e51c96aabc927bebef6a1c");
    assert_eq!(hmac_md5(&key, &[&CHALLENGE, &blob]), proof);
    let base = hmac_md5(&key, &[&proof]);
    assert_eq!(base, hex("8de40ccadbc14a82f15cb0ad0de95ca3"));
    let mut session_key = hex("c5dad2544fc9799094ce1ce90bc9d03e");
    rc4(&base, &mut session_key);
    assert_eq!(session_key, [0x55; 16]);
    assert_eq!(
        md5(&[&session_key, b"session key to client-to-server signing key magic constant\0"]),
        hex("4788dc861b4782f35d43fd98fe1a2d39")
    );
    assert_eq!(
        md5(&[&session_key, b"session key to client-to-server sealing key magic constant\0"]),
        hex("59f600973cc4960a25480a7c196e4c58")
    );
    // The message as a whole, through the acceptor.
    let nt = [&proof[..], &blob].concat();
    let message = type_3(&nt, &utf16("Domain"), &utf16("User"), &[], flag::UNICODE, 64);
    let claim = ask(CURL_1).answered(&message).unwrap();
    assert_eq!((claim.user(), claim.domain()), ("User", "Domain"));
    assert!(claim.verify(&hash, &Demands::default()).is_ok());
}

#[test]
fn a_challenge_is_laid_out_as_specified() {
    let challenge = ask(CURL_1);
    let message = challenge.message();
    assert_eq!(&message[..12], b"NTLMSSP\0\x02\0\0\0");
    assert_eq!(&message[12..20], [8, 0, 8, 0, 56, 0, 0, 0]);
    assert_eq!(&message[24..32], CHALLENGE);
    assert_eq!(&message[56..64], utf16("CORP"));
    let info = [&[2, 0, 8, 0][..], &utf16("CORP"), &[1, 0, 8, 0], &utf16("GATE")].concat();
    assert!(message[64..].starts_with(&info));
    // 2023-11-14 22:13:20 in hundreds of nanoseconds since 1601.
    let time = [&[7, 0, 8, 0][..], &133_444_736_000_000_000_u64.to_le_bytes(), &[0; 4]].concat();
    assert!(message.ends_with(&time));
    // What curl asks for, and text in UTF-16 although it does not ask for that.
    assert_eq!(u32::from_le_bytes(message[20..24].try_into().unwrap()), 0x0089_8205);
}

#[test]
fn clients_get_in_with_the_right_password_and_no_other() {
    let check = |client: &Client<'_>| {
        let with = |password| verify(client, password, &Demands::default()).map(|_| ());
        assert_eq!(with("open sesame"), Ok(()));
        assert_eq!(with("open sesam"), Err(NtlmError::WrongProof));
        assert_eq!(with(""), Err(NtlmError::WrongProof));
    };
    check(&Client::default());
    check(&requests());
    check(&Client { user: "alice@corp.test", domain: "", ..requests() });
    check(&Client { user: "straße", ..Client::default() });
    // Text in the code page.
    check(&Client { flags: 0x8_8206, ..Client::default() });
}

#[test]
fn a_random_proof_without_a_mic_is_refused() {
    for user in ["Administrator", "alice", ""] {
        let challenge = ask(CURL_1);
        let (mut answer, _) = Client { user, ..Client::default() }.answer(&challenge);
        answer[88..104].copy_from_slice(&[0x42; 16]);
        let claim = challenge.answered(&answer).unwrap();
        let verdict = claim.verify(&NtHash::of_password("open sesame"), &Demands::default());
        assert_eq!(verdict.err(), Some(NtlmError::WrongProof));
    }
}

#[test]
fn nothing_older_than_ntlm_v2_is_read() {
    let blob = |length: usize| {
        let mut nt = vec![0x42; length];
        if let Some(version) = nt.get_mut(16..18) {
            version.copy_from_slice(&[1, 1]);
        }
        nt
    };
    for (nt, expected) in [
        (Vec::new(), NtlmError::NotNtlmV2),
        (vec![0x42; 24], NtlmError::NotNtlmV2),
        (blob(43), NtlmError::NotNtlmV2),
        // Long enough, but of no version that is known.
        (vec![0x42; 60], NtlmError::NotNtlmV2),
        // Its list of pairs does not end.
        (blob(44), NtlmError::Malformed),
    ] {
        let message = type_3(&nt, b"", &utf16("alice"), &[], flag::UNICODE, 64);
        assert_eq!(ask(CURL_1).answered(&message).err(), Some(expected), "{} bytes", nt.len());
    }
}

#[test]
fn flags_that_nobody_knows_switch_nothing_off() {
    let known = REQUESTS_FLAGS | flag::TARGET_INFO | flag::TARGET_IS_DOMAIN;
    for bit in (0..32).map(|bit| 1_u32 << bit).filter(|bit| known & bit == 0) {
        let client = Client { flags: REQUESTS_FLAGS | bit, ..requests() };
        assert_eq!(outcome(&client, &Demands::default()), Ok(()), "{bit:#x}");
        let wrong = Client { password: "guess", ..client };
        assert_eq!(outcome(&wrong, &Demands::default()), Err(NtlmError::WrongProof), "{bit:#x}");
    }
}

#[test]
fn a_mic_that_is_announced_must_be_right() {
    let answered = |change: fn(&mut Vec<u8>)| {
        let challenge = ask(requests_1());
        let (mut answer, _) = requests().answer(&challenge);
        change(&mut answer);
        let claim = challenge.answered(&answer)?;
        claim
            .verify(&NtHash::of_password("open sesame"), &Demands::default())
            .map(|session| session.is_signed())
    };
    assert_eq!(answered(|_| {}), Ok(true));
    assert_eq!(answered(|answer| answer[72] ^= 1), Err(NtlmError::WrongMic));
    // A flag changed on its way.
    assert_eq!(answered(|answer| answer[60] ^= 0x10), Err(NtlmError::WrongMic));
    // A field that begins inside of it.
    assert_eq!(answered(|answer| answer[56..58].copy_from_slice(&[80, 0])), Err(NtlmError::Malformed));
    // Required where there is none.
    let demands = Demands { mic: Mic::Required, ..Demands::default() };
    assert_eq!(outcome(&Client::default(), &demands), Err(NtlmError::NoMic));
    assert_eq!(outcome(&requests(), &demands), Ok(()));
}

#[test]
fn the_first_two_messages_are_under_the_mic() {
    // The client saw another type 1 than the server: somebody on the way took a flag out.
    let challenge = ask(&type_1(REQUESTS_FLAGS & !flag::KEY_128));
    let (answer, _) = requests().answer(&challenge);
    let claim = challenge.answered(&answer).unwrap();
    let verdict = claim.verify(&NtHash::of_password("open sesame"), &Demands::default());
    assert_eq!(verdict.err(), Some(NtlmError::WrongMic));
}

#[test]
fn a_channel_binding_is_looked_at_as_demanded() {
    let own = ChannelBinding::tls_server_end_point(&[1; 32]);
    let other = ChannelBinding::tls_server_end_point(&[2; 32]);
    let check = |said: Option<&ChannelBinding>, demand, channel, expected| {
        let client = Client { binding: said.map(ChannelBinding::ntlm_hash), ..Client::default() };
        let demands = Demands { binding: demand, channel, ..Demands::default() };
        assert_eq!(outcome(&client, &demands), expected, "{demand:?}");
    };
    check(None, Demand::Off, Some(&own), Ok(()));
    check(Some(&other), Demand::Off, Some(&own), Ok(()));
    check(None, Demand::IfPresent, Some(&own), Ok(()));
    check(Some(&own), Demand::IfPresent, Some(&own), Ok(()));
    check(Some(&other), Demand::IfPresent, Some(&own), Err(NtlmError::WrongBinding));
    // Made for some TLS connection, and sent on one that has no certificate of ours.
    check(Some(&own), Demand::IfPresent, None, Err(NtlmError::WrongBinding));
    check(None, Demand::Required, Some(&own), Err(NtlmError::NoBinding));
    check(Some(&own), Demand::Required, Some(&own), Ok(()));
    check(Some(&other), Demand::Required, Some(&own), Err(NtlmError::WrongBinding));
    check(Some(&own), Demand::Required, None, Err(NtlmError::WrongBinding));
    // All zeros mean none.
    let client = Client { binding: Some([0; 16]), ..Client::default() };
    let demands = Demands { binding: Demand::Required, channel: Some(&own), ..Demands::default() };
    assert_eq!(outcome(&client, &demands), Err(NtlmError::NoBinding));
}

#[test]
fn a_pair_that_comes_twice_is_malformed() {
    let no_mic = 0_u32.to_le_bytes();
    let twice: &[(u16, &[u8])] = &[(6, &no_mic), (6, &no_mic)];
    let client = Client { more_pairs: twice, ..Client::default() };
    assert_eq!(outcome(&client, &Demands::default()), Err(NtlmError::Malformed));
    let once: &[(u16, &[u8])] = &[(6, &no_mic)];
    let client = Client { more_pairs: once, ..Client::default() };
    assert_eq!(outcome(&client, &Demands::default()), Ok(()));
    let short: &[(u16, &[u8])] = &[(6, &[0, 0])];
    let client = Client { more_pairs: short, ..Client::default() };
    assert_eq!(outcome(&client, &Demands::default()), Err(NtlmError::Malformed));
}

#[test]
fn pairs_are_counted() {
    // Beside the domain's name and the end of the list.
    let others = super::pairs::PAIRS_MAX - 2;
    for (count, expected) in [(others, Ok(())), (others + 1, Err(NtlmError::Malformed))] {
        let more: Vec<(u16, &[u8])> = vec![(100, b"x"); count];
        let client = Client { more_pairs: &more, ..Client::default() };
        assert_eq!(outcome(&client, &Demands::default()), expected, "{count}");
    }
}

#[test]
fn the_list_of_mechanisms_is_signed_both_ways() {
    let list = b"the list";
    let session = verify(&requests(), "open sesame", &Demands::default()).unwrap();
    // As a client computes its signature, from the key that it sent.
    let mut checksum = hmac_md5(
        &md5(&[&[0x55; 16], b"session key to client-to-server signing key magic constant\0"]),
        &[&[0; 4], list],
    );
    rc4(
        &md5(&[&[0x55; 16], b"session key to client-to-server sealing key magic constant\0"]),
        &mut checksum[..8],
    );
    let signature = [&[1, 0, 0, 0][..], &checksum[..8], &[0; 4]].concat();
    assert!(session.verifies(list, &signature));
    assert!(!session.verifies(b"the list without Kerberos", &signature));
    assert!(!session.verifies(list, &signature[..15]));
    assert!(!session.verifies(list, &session.sign(list)));
}

#[test]
fn only_messages_that_are_due_are_read() {
    let refused = |bytes: &[u8]| challenge(bytes, &names(), CHALLENGE, 0).err();
    assert_eq!(refused(b""), Some(NtlmError::Malformed));
    assert_eq!(refused(b"NTLMSSP\0\x01\0\0\0\x06"), Some(NtlmError::Malformed));
    assert_eq!(refused(b"NTLMSSP\0\x03\0\0\0\x06\x82\x08\0"), Some(NtlmError::Malformed));
    assert_eq!(refused(&[CURL_1, &[0; 1024]].concat()), Some(NtlmError::Malformed));
    let (answer, _) = Client::default().answer(&ask(CURL_1));
    for end in 0..answer.len() {
        assert!(ask(CURL_1).answered(&answer[..end]).is_err(), "{end} bytes");
    }
    assert!(ask(CURL_1).answered(CURL_1).is_err());
    assert!(ask(CURL_1).answered(&[answer.as_slice(), &[0; 8192]].concat()).is_err());
}

proptest::proptest! {
    #[test]
    fn no_changed_bytes_make_it_panic_or_pass(at in 8_usize..400, byte in 0_u8.., at_2 in 8_usize..400, byte_2 in 0_u8..) {
        let challenge = ask(requests_1());
        let (original, _) = requests().answer(&challenge);
        let mut answer = original.clone();
        let length = answer.len();
        answer[at % length] = byte;
        answer[at_2 % length] = byte_2;
        if let Ok(claim) = challenge.answered(&answer) {
            let user = claim.user().to_owned();
            let passed = claim.verify(&NtHash::of_password("open sesame"), &Demands::default()).is_ok();
            // Bytes of the first, unused response are padding to NTLMv2, but they are under the MIC.
            proptest::prop_assert!(!passed || answer == original, "passed as {user}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0_u8.., 0..300)) {
        let message = [&b"NTLMSSP\0\x03\0\0\0"[..], &bytes].concat();
        let _ = ask(CURL_1).answered(&message);
        let _ = challenge(&bytes, &names(), CHALLENGE, 0);
    }
}

#[test]
fn a_last_message_names_somebody_whatever_its_proof() {
    let message = |user: &str, domain: &str| {
        let nt = [0; 24];
        type_3(&nt, &utf16(domain), &utf16(user), &[], flag::UNICODE, 64)
    };
    let named = |bytes: &[u8]| super::named(bytes).map(|named| (named.user, named.domain));
    let whole = message("alice", "CORP");
    assert_eq!(named(&whole), Some(("alice".to_owned(), "CORP".to_owned())));
    assert_eq!(
        named(&message("alice@corp.example", "")),
        Some(("alice@corp.example".to_owned(), String::new()))
    );
    assert_eq!(named(&message("alice\nroot", "")), None, "a line of its own in a log");
    assert_eq!(named(&whole[..whole.len() - 1]), None);
    assert_eq!(named(CURL_1), None);
}
