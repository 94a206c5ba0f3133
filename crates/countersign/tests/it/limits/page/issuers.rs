//! Those of what issuers and directories are asked, and of what they answer.

use super::keyless::{ASKED, Fixed, fixed};

const INTROSPECTION: &str = "crates/identity/src/issuers/introspection.rs";
const LOGIN: &str = "crates/identity/src/issuers/login.rs";
const TURNS: &str = "crates/identity/src/turns.rs";

pub(super) const OF_ISSUERS: &[Fixed] = &[
    fixed(
        "bytes of an issuer's key set or discovery document",
        ("crates/identity/src/issuers/remote.rs", "ANSWER_BYTES_MAX"),
        ("crates/countersign/tests/it/threats/issuers.rs", "f2_key_sets_of_some_length_alone_are_read"),
    ),
    fixed(
        "bytes of an issuer's answer when it is shown the code of a log-in",
        (LOGIN, "ANSWER_BYTES_MAX"),
        ("crates/countersign/tests/it/threats/logins.rs", "f2_answers_of_some_length_alone_end_a_log_in"),
    ),
    fixed(
        "bytes of the answer of a login service, which is a directory over HTTP",
        ("crates/identity/src/directory/http.rs", "ANSWER_BYTES_MAX"),
        (
            "crates/countersign/tests/it/threats/directories.rs",
            "f2_answers_of_login_services_are_read_up_to_a_length",
        ),
    ),
    fixed(
        "bytes of the head of an issuer's or a login service's answer",
        ("crates/identity/src/outbound.rs", "HEAD_BYTES_MAX"),
        ("crates/identity/src/outbound.rs", "heads_of_answers_are_read_up_to_a_length"),
    ),
    fixed(
        "bytes of an LDAP directory's answer to StartTLS",
        ("crates/identity/src/directory/ldap/link.rs", "ANSWER_BYTES_MAX"),
        ("crates/identity/src/directory/ldap/link.rs", "an_answer_to_start_tls_is_read_up_to_a_length"),
    ),
    fixed(
        "questions about tokens to one issuer at once",
        (INTROSPECTION, "AT_ONCE"),
        (
            "crates/countersign/tests/it/threats/lasting/turns.rs",
            "f2_an_issuer_is_asked_so_many_questions_at_once",
        ),
    ),
    fixed(
        "questions about tokens that streams and WebSockets live on to one issuer at once",
        (INTROSPECTION, "CHANNELS_AT_ONCE"),
        (ASKED, "f2_channels_wait_for_their_turn_to_have_an_issuer_asked"),
    ),
    fixed(
        "codes of log-ins that one issuer is shown at once",
        (LOGIN, "AT_ONCE"),
        (
            "crates/countersign/tests/it/threats/logins/turns.rs",
            "f2_an_issuer_is_shown_so_many_codes_at_once",
        ),
    ),
    fixed(
        "sources that it takes to fill the places for codes, or those for questions of requests",
        (TURNS, "SOURCES"),
        (TURNS, "one_source_has_a_quarter_and_who_comes_later_waits_a_while"),
    ),
    fixed(
        "requests that have one of those places, or wait for one",
        (TURNS, "WAITING_MAX"),
        (TURNS, "no_more_wait_than_there_is_room_for"),
    ),
    fixed(
        "for how long they wait; 429 after that",
        (TURNS, "PATIENCE"),
        (
            "crates/countersign/tests/it/threats/logins/turns.rs",
            "f2_an_issuer_is_shown_so_many_codes_at_once",
        ),
    ),
    fixed(
        "bytes of a token that its issuer is asked about",
        (INTROSPECTION, "TOKEN_BYTES_MAX"),
        (ASKED, "f2_an_issuer_is_asked_about_tokens_and_answers_of_some_length_alone"),
    ),
    fixed(
        "bytes of its answer",
        (INTROSPECTION, "ANSWER_BYTES_MAX"),
        (ASKED, "f2_an_issuer_is_asked_about_tokens_and_answers_of_some_length_alone"),
    ),
];
