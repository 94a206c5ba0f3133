//! NTLM in SPNEGO, and by a domain's program; whole gates are tried with Kerberos and NTLM elsewhere.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::dialect::Scheme;
use countersign_auth::link::Sharing;
use countersign_auth::port::Unavailable;
use countersign_auth::port::negotiation::{Exchange, Leg, LegAnswer, Negotiation as _};
use countersign_auth::source::Source;
use countersign_negotiate::binding::Demand;
use countersign_negotiate::ntlm::{Mic, Names, NtHash};
use hmac::digest::Digest as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

use super::*;
use crate::accounts::Standing;
use crate::equivalents::WeakerScheme;
use crate::negotiation::{FirstSight, NegotiationSettings, NtlmSettings, NtlmVerifier};
use crate::service::equivalents::NewPassword;

/// Signing, and text in UTF-16; no key exchange, so that signatures are plain.
const FLAGS: u32 = 0x8_8215;
const OID_NTLM: &[u8] = &[6, 10, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10];
const OID_KERBEROS: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];

fn settings(verifier: NtlmVerifier) -> NegotiationSettings {
    let names = Names { domain: "CORP".to_owned(), ..Names::default() };
    let ntlm = NtlmSettings { verifier, names, mic: Mic::IfPresent, binding: Demand::Off };
    NegotiationSettings { kerberos: None, ntlm: Some(ntlm) }
}

async fn bench(verifier: NtlmVerifier) -> Bench {
    let bench = Bench::new().await;
    bench.service.declare_negotiation("crm", settings(verifier)).unwrap();
    let alice = AccountDraft {
        password: Some(Secret::new(PASSWORD)),
        weaker: vec![WeakerScheme::Ntlm],
        ..AccountDraft::new("users", "alice")
    };
    bench.service.create_account(alice, By::gate(), at(0)).await.unwrap();
    bench
}

impl Bench {
    async fn leg(&self, token: Vec<u8>, exchange: Option<Exchange>) -> Result<LegAnswer, Unavailable> {
        self.leg_from(IpAddr::from([10, 0, 0, 1]), token, exchange).await
    }

    async fn leg_from(
        &self,
        address: IpAddr,
        token: Vec<u8>,
        exchange: Option<Exchange>,
    ) -> Result<LegAnswer, Unavailable> {
        let leg = Leg {
            api: "crm".into(),
            accounts: "users".into(),
            scheme: Scheme::Negotiate,
            token,
            exchange,
            sharing: Sharing::Own,
            certificate: None,
            address,
        };
        self.service.take(leg, at(0)).await
    }
}

fn go_on(answer: Result<LegAnswer, Unavailable>) -> (Vec<u8>, Exchange) {
    match answer.unwrap() {
        LegAnswer::Continue { token, exchange } => (token, exchange),
        other => panic!("{other:?}"),
    }
}

/// What an answer came to, in a word or two.
fn word(answer: Result<LegAnswer, Unavailable>) -> String {
    match answer {
        Ok(LegAnswer::Proven { account, .. }) => account.name.to_string(),
        Ok(LegAnswer::Refused(cause, _)) => cause.into_owned(),
        Ok(LegAnswer::Continue { .. }) => "goes on".to_owned(),
        Ok(LegAnswer::Due(_)) => "due".to_owned(),
        Ok(LegAnswer::TooMany) => "too many".to_owned(),
        Err(_) => "unavailable".to_owned(),
    }
}

/// Whose account the log says that a refused message was about.
fn tried(answer: Result<LegAnswer, Unavailable>) -> Option<String> {
    match answer.unwrap() {
        LegAnswer::Refused(_, tried) => tried.map(|account| account.name.to_string()),
        other => panic!("{other:?}"),
    }
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = value.len().to_be_bytes();
    let length: Vec<u8> = match value.len() {
        short @ 0..0x80 => vec![u8::try_from(short).unwrap()],
        0x80..0x100 => vec![0x81, length[7]],
        _ => vec![0x82, length[6], length[7]],
    };
    [&[tag][..], &length, &value].concat()
}

fn type_1() -> Vec<u8> {
    [b"NTLMSSP\0\x01\0\0\0", &FLAGS.to_le_bytes()[..], &[0; 16]].concat()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A signed answer to a challenge, and the key of the session.
fn type_3(type_2: &[u8]) -> (Vec<u8>, [u8; 16]) {
    type_3_of("alice", "", type_2)
}

/// The same of a user of a domain, who has her password.
fn type_3_of(user: &str, domain: &str, type_2: &[u8]) -> (Vec<u8>, [u8; 16]) {
    let key = hmac(NtHash::of_password(PASSWORD).expose(), &[&utf16(&user.to_uppercase()), &utf16(domain)]);
    let blob =
        [&[1, 1, 0, 0, 0, 0, 0, 0][..], &[7; 8], &[0xaa; 8], &[0; 4], &[6, 0, 4, 0, 2, 0, 0, 0], &[0; 4]]
            .concat();
    let proof = hmac(&key, &[&type_2[24..32], &blob]);
    let session_key = hmac(&key, &[&proof]);
    let (nt, domain, user) = ([&proof[..], &blob].concat(), utf16(domain), utf16(user));
    let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut place = 88;
    for part in [&[][..], &nt, &domain, &user, &[], &[]] {
        let length = u16::try_from(part.len()).unwrap().to_le_bytes();
        message.extend([length, length].concat());
        message.extend(u32::try_from(place).unwrap().to_le_bytes());
        place += part.len();
    }
    message.extend(FLAGS.to_le_bytes());
    message.resize(88, 0);
    message.extend([nt, domain, user].concat());
    let mic = hmac(&session_key, &[&type_1(), type_2, &message]);
    message[72..88].copy_from_slice(&mic);
    (message, session_key)
}

/// The client's signature over its mechanisms.
fn signature(session_key: &[u8; 16], list: &[u8]) -> Vec<u8> {
    let magic = b"session key to client-to-server signing key magic constant\0";
    let key: [u8; 16] = Md5::digest([&session_key[..], magic].concat()).into();
    [&[1, 0, 0, 0][..], &hmac(&key, &[&[0; 4], list])[..8], &[0; 4]].concat()
}

fn response(token: &[u8], mic: Option<&[u8]>) -> Vec<u8> {
    let token = der(0xa2, &[&der(0x04, &[token])]);
    let mic = mic.map_or_else(Vec::new, |mic| der(0xa3, &[&der(0x04, &[mic])]));
    der(0xa1, &[&der(0x30, &[&token, &mic])])
}

/// The challenge in an answer of the gate, in its envelope.
fn type_2(token: &[u8]) -> Vec<u8> {
    let begin = token.windows(8).position(|bytes| bytes == b"NTLMSSP\0").unwrap();
    token[begin..].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn ntlm_in_spnego_is_signed_where_it_must_be() {
    let bench = bench(NtlmVerifier::Store).await;
    let (favourite, second) = (der(0x30, &[OID_NTLM]), der(0x30, &[OID_KERBEROS, OID_NTLM]));
    let init = |list: &[u8], token: &[u8]| {
        let fields = [der(0xa0, &[list]), der(0xa2, &[&der(0x04, &[token])])].concat();
        der(0x60, &[&[6, 6, 0x2b, 6, 1, 5, 5, 2], &der(0xa0, &[&der(0x30, &[&fields])])])
    };
    let mut outcomes = Vec::new();
    for (list, signs) in [
        (&favourite, Some(&favourite)),
        (&favourite, None),
        (&favourite, Some(&second)),
        (&second, Some(&second)),
        (&second, Some(&favourite)),
    ] {
        let (token, exchange) = if list == &favourite {
            go_on(bench.leg(init(list, &type_1()), None).await)
        } else {
            // Kerberos is not checked here: the gate asks for NTLM, and for a signature.
            let (token, exchange) = go_on(bench.leg(init(list, b"a ticket"), None).await);
            assert!(token.windows(3).any(|state| state == [0x0a, 1, 3]), "{token:02x?}");
            go_on(bench.leg(response(&type_1(), None), Some(exchange)).await)
        };
        let (answer, key) = type_3(&type_2(&token));
        let mic = signs.map(|signed| signature(&key, signed));
        outcomes.push(word(bench.leg(response(&answer, mic.as_deref()), Some(exchange)).await));
    }
    let wrong = "ntlm: the message integrity code is wrong";
    let none = "ntlm: the message integrity code is missing";
    assert_eq!(outcomes, ["alice", none, wrong, "alice", wrong]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_due_is_refused() {
    let bench = bench(NtlmVerifier::Store).await;
    let begin = || async { go_on(bench.leg(type_1(), None).await) };
    let (token, exchange) = begin().await;
    let (answer, _) = type_3(&token);
    // In another envelope than the first message, or in none before it.
    let refused = "the message is not the one that is due";
    assert_eq!(word(bench.leg(response(&answer, None), Some(exchange)).await), refused);
    assert_eq!(word(bench.leg(response(&answer, None), None).await), refused);
    assert_eq!(
        word(bench.leg(answer.clone(), None).await),
        "ntlm: the message is not the one that is due, or is malformed"
    );
    let (token, exchange) = begin().await;
    assert_eq!(word(bench.leg(type_3(&token).0, Some(exchange)).await), "alice");
}

/// A program that speaks `ntlm_auth`'s line protocol, for what its arguments name.
fn stand_in(folder: &Path, answer: &str) -> NtlmVerifier {
    let program = folder.join("helper");
    let text = format!(
        "#!/bin/sh\n[ \"$2\" = --helper-protocol=squid-2.5-ntlmssp ] || exit 1\n\
         while read -r word token; do\n case $word in\n YR) echo \"TT $token\";;\n KK) {answer};;\n \
         *) echo \"BH what\";;\n esac\ndone\n"
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let first_sight = FirstSight::Create { roles: vec!["guest".to_owned()], tenant: None };
    NtlmVerifier::Helper { program, arguments: vec!["--domain=CORP".to_owned()], first_sight }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domains_program_says_who_it_is() {
    let known = STANDARD.encode(b"NTLMSSP\0\x03\0\0\0answer");
    for (answer, expected) in [
        (
            format!(
                "[ $token = {known} ] && printf '%s\\n' 'AF CORP\\alice' || echo 'NA NT_STATUS_WRONG_PASSWORD'"
            ),
            "alice",
        ),
        ("printf '%s\\n' 'AF corp\\carol'".to_owned(), "carol"),
        ("printf '%s\\n' 'AF dave'".to_owned(), "dave"),
        ("printf '%s\\n' 'AF OTHER\\alice'".to_owned(), "the user is of a domain that is not let in"),
        ("echo 'NA NT_STATUS_LOGON_FAILURE'".to_owned(), "ntlm: the domain says NT_STATUS_LOGON_FAILURE"),
        ("echo 'NA NT_STATUS_NO_LOGON_SERVERS'".to_owned(), "unavailable"),
        ("echo 'BH NT_STATUS_NO_LOGON_SERVERS'".to_owned(), "unavailable"),
        ("echo 'yes'".to_owned(), "unavailable"),
        ("exit 1".to_owned(), "unavailable"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let bench = bench(stand_in(folder.path(), &answer)).await;
        for _ in 0..3 {
            let (token, exchange) = go_on(bench.leg(type_1(), None).await);
            assert_eq!(token, type_1(), "the program's challenge");
            let last = b"NTLMSSP\0\x03\0\0\0answer".to_vec();
            assert_eq!(word(bench.leg(last, Some(exchange)).await), expected, "{answer}");
        }
    }
}

/// A challenge, or what a stand-in gave for one, with room for eight bytes at its place.
fn padded(challenge: &[u8]) -> Vec<u8> {
    let mut challenge = challenge.to_vec();
    challenge.resize(challenge.len().max(32), 0);
    challenge
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_refused_is_told_to_the_log_where_he_has_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let no = "echo 'NA NT_STATUS_WRONG_PASSWORD'";
    for verifier in [NtlmVerifier::Store, stand_in(folder.path(), no)] {
        let by_program = matches!(verifier, NtlmVerifier::Helper { .. });
        let bench = bench(verifier).await;
        let refused = async |user: &str, domain: &str| {
            let (challenge, exchange) = go_on(bench.leg(type_1(), None).await);
            let (mut answer, _) = type_3_of(user, domain, &padded(&challenge));
            answer[88] ^= 1;
            tried(bench.leg(answer, Some(exchange)).await)
        };
        let alice = Some("alice".to_owned());
        assert_eq!(refused("Alice", "").await, alice);
        assert_eq!(refused("alice", "corp").await, alice);
        // The gate's own accounts have no domain: what a client's machine calls itself is nothing to them.
        assert_eq!(refused("alice", "DESKTOP-7").await, alice.filter(|_| !by_program));
        assert_eq!(refused("hunter2", "").await, None);
        let nothing = async |token: Vec<u8>| {
            let (_, exchange) = go_on(bench.leg(type_1(), None).await);
            tried(bench.leg(token, Some(exchange)).await)
        };
        assert_eq!(nothing(type_1()).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_or_due_is_told_to_the_log() {
    let bench = bench(NtlmVerifier::Store).await;
    let alice = bench.service.account_named("users", "alice").unwrap().account.id;
    let shown = async || {
        let (challenge, exchange) = go_on(bench.leg(type_1(), None).await);
        bench.leg(type_3(&challenge).0, Some(exchange)).await
    };
    let due = NewPassword::Due(Secret::new(PASSWORD));
    bench.service.set_password(alice, due, vec![WeakerScheme::Ntlm], By::gate(), at(0)).await.unwrap();
    assert!(matches!(shown().await, Ok(LegAnswer::Due(account)) if account.id == alice));
    let lasting = NewPassword::Lasting(Secret::new(PASSWORD));
    bench.service.set_password(alice, lasting, vec![WeakerScheme::Ntlm], By::gate(), at(0)).await.unwrap();
    assert_eq!(word(shown().await), "alice");
    bench.service.set_standing(alice, Standing::Disabled, By::gate(), at(0)).await.unwrap();
    assert_eq!(tried(shown().await).as_deref(), Some("alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_be_run_is_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("none");
    let verifier = NtlmVerifier::Helper { program, arguments: Vec::new(), first_sight: FirstSight::Refuse };
    assert_eq!(word(bench(verifier).await.leg(type_1(), None).await), "unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_challenges_unanswered_keep_nobody_from_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(stand_in(folder.path(), "printf '%s\\n' 'AF CORP\\alice'")).await;
    let last = || b"NTLMSSP\0\x03\0\0\0answer".to_vec();
    let (alice, stranger) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 9]));
    let begin = async |address| bench.leg_from(address, type_1(), None).await;
    // One address, more than there are programs: its own give way, and hers goes on.
    let (_, hers) = go_on(begin(alice).await);
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(go_on(begin(stranger).await).1);
    }
    assert_eq!(word(bench.leg_from(alice, last(), Some(hers)).await), "alice");
    let newest = held.pop().unwrap();
    assert_eq!(word(bench.leg_from(stranger, last(), Some(newest)).await), "alice");
    let oldest = held.remove(0);
    assert_eq!(word(bench.leg_from(stranger, last(), Some(oldest)).await), "too many");
    // What is begun and left counts as what fails does.
    let mut left = 0;
    let mut answer = word(begin(stranger).await);
    while answer == "goes on" && left < 1000 {
        left += 1;
        answer = word(begin(stranger).await);
    }
    assert_eq!(answer, "too many");
    // Very many addresses, with one each: the oldest of all give way to whoever comes.
    for last in 0..64 {
        held.push(go_on(begin(IpAddr::from([10, 0, 1, last])).await).1);
    }
    let (_, hers) = go_on(begin(alice).await);
    for last in 64..80 {
        held.push(go_on(begin(IpAddr::from([10, 0, 1, last])).await).1);
    }
    assert_eq!(word(bench.leg_from(alice, last(), Some(hers)).await), "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gave_way_comes_back_later_and_has_failed_at_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(stand_in(folder.path(), "printf '%s\\n' 'AF CORP\\alice'")).await;
    let last = || b"NTLMSSP\0\x03\0\0\0answer".to_vec();
    let mut held = std::collections::VecDeque::new();
    for _ in 0..100 {
        held.push_back(go_on(bench.leg(type_1(), None).await).1);
        if held.len() > 8 {
            assert_eq!(word(bench.leg(last(), held.pop_front()).await), "too many");
        }
    }
    assert_eq!(word(bench.leg(last(), held.pop_back()).await), "alice");
}

/// A whole office logs in while its domain is away: nobody has failed, and none of them is told to come back later.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_domain_is_nobodys_failure() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(stand_in(folder.path(), "echo 'NA NT_STATUS_NO_LOGON_SERVERS'")).await;
    for _ in 0..100 {
        let (_, exchange) = go_on(bench.leg(type_1(), None).await);
        let last = b"NTLMSSP\0\x03\0\0\0answer".to_vec();
        assert_eq!(word(bench.leg(last, Some(exchange)).await), "unavailable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_that_are_ended_well_cost_nothing() {
    let bench = bench(NtlmVerifier::Store).await;
    for _ in 0..300 {
        let (challenge, exchange) = go_on(bench.leg(type_1(), None).await);
        assert_eq!(word(bench.leg(type_3(&challenge).0, Some(exchange)).await), "alice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_one_source_made_is_no_other_sources() {
    use countersign_auth::port::foreign::{Foreign as _, FrontProof, FrontTerms};
    let folder = tempfile::tempdir().unwrap();
    let last = b"NTLMSSP\0\x03\0\0\0answer".to_vec();
    let by_directory = async |bench: &Bench| match bench.login(claim("rosa", PASSWORD), at(2)).await {
        PasswordAnswer::ProvenElsewhere(account, _) => Ok(account.id),
        PasswordAnswer::Refused(why, _) => Err(why),
        other => panic!("{other:?}"),
    };
    // By a domain.
    let bench = bench(stand_in(folder.path(), "printf '%s\\n' 'AF CORP\\rosa'")).await;
    super::directories::asked(&bench);
    let by_domain = async |bench: &Bench| {
        let (_, exchange) = go_on(bench.leg(type_1(), None).await);
        word(bench.leg(last.clone(), Some(exchange)).await)
    };
    assert_eq!(by_domain(&bench).await, "rosa");
    assert_eq!(by_directory(&bench).await, Err("the account of that name is somebody else's"));
    let bench = bench.reopen().await;
    super::directories::asked(&bench);
    assert_eq!(by_directory(&bench).await, Err("the account of that name is somebody else's"));
    // By a front.
    let bench = Bench::new().await;
    super::directories::asked(&bench);
    let terms = FrontTerms {
        networks: Vec::new(),
        proof: FrontProof::Secret(Secret::new("secret")),
        domains: Vec::new(),
        create: true,
    };
    bench.service.believe_front("crm", terms);
    let made = bench.service.introduced("crm", "users", "rosa", at(1)).await.unwrap().unwrap();
    assert_eq!(by_directory(&bench).await, Err("the account of that name is somebody else's"));
    bench.service.delete_account(made.id, By::gate(), at(2)).await.unwrap();
    // Made by an operator for him, it is his.
    let made = bench.service.create_account(AccountDraft::new("users", "rosa"), By::gate(), at(2));
    let made = made.await.unwrap();
    assert_eq!(by_directory(&bench).await, Ok(made.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn ntlm_counts_what_was_wrong_and_nothing_before() {
    let bench = bench(NtlmVerifier::Store).await;
    let alice = bench.service.account_named("users", "alice").unwrap().account.id;
    let fail = || {
        let lockout = &bench.service.core.lockout;
        let bucket = lockout.bucket(alice.0, home());
        for _ in 0..4 {
            lockout.failed(bucket, at(0));
        }
    };
    let log_in = async |spoil: u8| {
        let (token, exchange) = go_on(bench.leg(type_1(), None).await);
        let (mut answer, _) = type_3(&token);
        // The first byte of the proof.
        answer[88] ^= spoil;
        word(bench.leg(answer, Some(exchange)).await)
    };
    // Whoever is right after four who were not locks nobody out, at no moment.
    let done = Arc::new(AtomicBool::new(false));
    let (service, is_done) = (Arc::clone(&bench.service), Arc::clone(&done));
    let watch = std::thread::spawn(move || {
        let mut locked = 0;
        while !is_done.load(Ordering::Acquire) {
            locked += usize::from(service.core.lockout.is_locked(alice.0, Source::of(home()), at(0)));
        }
        locked
    });
    for _ in 0..1000 {
        fail();
        assert_eq!(log_in(0).await, "alice");
    }
    done.store(true, Ordering::Release);
    assert_eq!(watch.join().unwrap(), 0);
    fail();
    assert!(log_in(1).await.starts_with("ntlm: "));
    assert_eq!(log_in(0).await, "locked after failed attempts");
    bench.noted("account.locked users/alice").await;
    // Nor does it matter to the audit what an account keeps.
    bench.account("users", "bob").await;
    for _ in 0..5 {
        let (token, exchange) = go_on(bench.leg(type_1(), None).await);
        let (answer, _) = type_3_of("bob", "", &token);
        assert!(word(bench.leg(answer, Some(exchange)).await).starts_with("the account keeps nothing"));
    }
    bench.noted("account.locked users/bob").await;
}
