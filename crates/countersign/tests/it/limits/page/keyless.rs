//! The limits that no key of the configuration changes.

use super::{FIXED_HERE, HERE, OBJECTS, TIMES};

pub(super) const ASKED: &str = "crates/countersign/tests/it/threats/lasting.rs";
const BAYEUX: &str = "crates/bayeux/src/limits.rs";
const FRAMES: &str = "crates/gateway/src/listen/frames.rs";
const SEATS: &str = "crates/identity/src/negotiation/helper/seats.rs";
const SIGNING: &str = "crates/identity/src/service/tests/signing.rs";
const TOKENS: &str = "crates/identity/src/tokens.rs";
const TOKENS_TESTS: &str = "crates/identity/src/tokens/tests.rs";
const UNDER_WAY: &str = "crates/identity/src/service/under_way.rs";
const ANONYMOUS: &str = "crates/identity/src/tokens/anonymous.rs";

/// A limit that no key changes.
pub(super) struct Fixed {
    pub(super) what: &'static str,
    pub(super) constant: (&'static str, &'static str),
    /// The file and the test that tries its edge.
    pub(super) test: (&'static str, &'static str),
}

pub(super) const fn fixed(
    what: &'static str,
    constant: (&'static str, &'static str),
    test: (&'static str, &'static str),
) -> Fixed {
    Fixed { what, constant, test }
}

pub(super) const FIXED: &[Fixed] = &[
    fixed(
        "bytes of a target",
        ("crates/gateway/src/listen/heads.rs", "TARGET_BYTES_MAX"),
        (HERE, "request_lines_beyond_a_limit_are_refused_in_the_dialects_words"),
    ),
    fixed(
        "bytes of a path",
        ("crates/auth/src/canonical/path.rs", "PATH_BYTES_MAX"),
        (FIXED_HERE, "paths_are_bounded_in_bytes_and_segments"),
    ),
    fixed(
        "segments of a path",
        ("crates/auth/src/canonical/path.rs", "SEGMENTS_MAX"),
        (FIXED_HERE, "paths_are_bounded_in_bytes_and_segments"),
    ),
    fixed(
        "pairs of a query or a form that is read for ids",
        ("crates/auth/src/canonical/query.rs", "QUERY_PAIRS_MAX"),
        (OBJECTS, "pairs_of_a_query_and_a_form_are_counted"),
    ),
    fixed(
        "`write_timeout` of one answer of HTTP/2 while the line itself is full, times",
        ("crates/gateway/src/listen/untaken.rs", "TURNS"),
        (
            "crates/gateway/src/listen/untaken.rs",
            "while_the_line_is_full_an_answer_waits_for_its_turn_and_not_for_ever",
        ),
    ),
    fixed(
        "cookies of a request",
        ("crates/auth/src/cookie.rs", "PAIRS_MAX"),
        (FIXED_HERE, "cookies_are_counted_and_four_of_a_name_tried"),
    ),
    fixed(
        "cookies of one name that are tried",
        ("crates/auth/src/recognize/places.rs", "COOKIES_TRIED_MAX"),
        (FIXED_HERE, "cookies_are_counted_and_four_of_a_name_tried"),
    ),
    fixed(
        "ranges of `Accept`",
        ("crates/auth/src/media.rs", "RANGES_MAX"),
        (FIXED_HERE, "ranges_of_accept_are_read_up_to_a_number"),
    ),
    fixed(
        "names in `Connection`",
        ("crates/gateway/src/strict.rs", "NOMINATIONS_MAX"),
        (HERE, "names_in_connection_are_counted"),
    ),
    fixed(
        "header lines of a part",
        ("crates/auth/src/fields/multipart.rs", "PART_HEADERS_MAX"),
        (FIXED_HERE, "lines_of_a_part_are_counted"),
    ),
    fixed(
        "bytes of a user name in Basic",
        ("crates/auth/src/scheme/basic.rs", "USER_BYTES_MAX"),
        (FIXED_HERE, "names_and_passwords_of_basic_are_bounded"),
    ),
    fixed(
        "bytes of a password in Basic",
        ("crates/auth/src/scheme/basic.rs", "PASSWORD_BYTES_MAX"),
        (FIXED_HERE, "names_and_passwords_of_basic_are_bounded"),
    ),
    fixed(
        "requests that wait for one check of a password or a token",
        ("crates/identity/src/service/flights.rs", "ABOARD_MAX"),
        ("crates/identity/src/service/flights.rs", "so_many_wait_for_one_check"),
    ),
    fixed(
        "changes of keys that clients have under way, and of passwords; 429 beyond each",
        (UNDER_WAY, "UNDER_WAY_MAX"),
        (UNDER_WAY, "an_account_has_some_places_and_all_have_more"),
    ),
    fixed(
        "changes of keys that one account has under way",
        (UNDER_WAY, "KEYS_UNDER_WAY_MAX"),
        (UNDER_WAY, "an_account_has_some_places_and_all_have_more"),
    ),
    fixed(
        "changes of an account's password under way",
        (UNDER_WAY, "PASSWORDS_UNDER_WAY_MAX"),
        (
            "crates/identity/src/service/tests/equivalents.rs",
            "an_account_changes_its_password_once_at_a_time",
        ),
    ),
    fixed(
        "bytes of a JWT",
        ("crates/auth/src/scheme/jwt.rs", "TOKEN_BYTES_MAX"),
        (FIXED_HERE, "jwts_are_bounded_in_bytes_depth_and_keys"),
    ),
    fixed(
        "depth of a JWT's JSON",
        ("crates/auth/src/scheme/jwt.rs", "DEPTH_MAX"),
        (FIXED_HERE, "jwts_are_bounded_in_bytes_depth_and_keys"),
    ),
    fixed(
        "keys of an issuer that are tried",
        ("crates/auth/src/scheme/jwt.rs", "KEYS_TRIED_MAX"),
        (FIXED_HERE, "jwts_are_bounded_in_bytes_depth_and_keys"),
    ),
    fixed(
        "bytes of a Digest response",
        ("crates/auth/src/scheme/digest/response.rs", "RESPONSE_BYTES_MAX"),
        (FIXED_HERE, "responses_of_digest_are_bounded"),
    ),
    fixed(
        "parameters of a Digest response",
        ("crates/auth/src/scheme/digest/response.rs", "PARAMETERS_MAX"),
        (FIXED_HERE, "responses_of_digest_are_bounded"),
    ),
    fixed(
        "exchanges of NTLM or Kerberos that a connection begins without success",
        ("crates/auth/src/link.rs", "EXCHANGES_MAX"),
        ("crates/countersign/tests/it/threats/windows.rs", "d13_exchanges_on_a_connection_end_sometime"),
    ),
    fixed(
        "bytes of a PROXY header, version 1",
        ("crates/gateway/src/listen/proxy_protocol.rs", "TEXT_MAX"),
        ("crates/gateway/src/serve/tests/listeners.rs", "proxy_headers_are_bounded"),
    ),
    fixed(
        "bytes of a PROXY header's body, version 2",
        ("crates/gateway/src/listen/proxy_protocol.rs", "BINARY_BODY_MAX"),
        ("crates/gateway/src/serve/tests/listeners.rs", "proxy_headers_are_bounded"),
    ),
    fixed(
        "ids of one request with object rules",
        ("crates/auth/src/objects.rs", "IDS_MAX"),
        (OBJECTS, "ids_of_a_request_are_counted"),
    ),
    fixed(
        "objects that one answer shows, with object rules",
        ("crates/auth/src/objects/answer.rs", "SHOWN_MAX"),
        (OBJECTS, "objects_of_an_answer_are_counted"),
    ),
    fixed(
        "parts of a multipart body with object rules",
        ("crates/auth/src/fields.rs", "PARTS"),
        (OBJECTS, "parts_of_a_body_with_ids_are_counted"),
    ),
    fixed(
        "depth of JSON with object rules",
        ("crates/auth/src/objects/json.rs", "DEPTH_MAX"),
        (OBJECTS, "json_with_ids_is_bounded_in_depth"),
    ),
    fixed(
        "bytes of a body with object rules, unless its route says",
        ("crates/auth/src/objects.rs", "BODY_BYTES_MAX"),
        (OBJECTS, "bodies_and_answers_with_ids_are_bounded_in_bytes"),
    ),
    fixed(
        "bytes of an answer with object rules, unless its route says",
        ("crates/auth/src/objects.rs", "ANSWER_BYTES_MAX"),
        (OBJECTS, "bodies_and_answers_with_ids_are_bounded_in_bytes"),
    ),
    fixed(
        "look-ups of objects in the store at once; 503 for who has waited in vain",
        ("crates/identity/src/objects.rs", "LOOKUPS_MAX"),
        ("crates/identity/src/objects.rs", "lookups_are_bounded_and_one_source_has_a_quarter"),
    ),
    fixed(
        "questions about the owners of one kind of objects at once; 503 for who has waited in vain",
        ("crates/identity/src/objects/asked.rs", "AT_ONCE"),
        (
            "crates/identity/src/service/tests/asked.rs",
            "who_waits_for_an_owner_takes_places_of_that_kind_alone",
        ),
    ),
    fixed(
        "bytes of a push request",
        ("crates/bayeux/src/limits.rs", "BODY_BYTES_MAX"),
        (FIXED_HERE, "bodies_of_push_requests_are_bounded"),
    ),
    fixed(
        "depth of its JSON",
        ("crates/bayeux/src/limits.rs", "JSON_DEPTH_MAX"),
        (FIXED_HERE, "bodies_of_push_requests_are_bounded"),
    ),
    fixed(
        "messages of a push request",
        ("crates/bayeux/src/limits.rs", "MESSAGES_MAX"),
        (FIXED_HERE, "bodies_of_push_requests_are_bounded"),
    ),
    fixed(
        "push clients of a session",
        (BAYEUX, "SESSION_CLIENTS_MAX"),
        ("crates/bayeux/tests/it/ends.rs", "ten_thousand_handshakes_of_one_session_are_its_own_affair"),
    ),
    fixed(
        "push clients of an account",
        (BAYEUX, "ACCOUNT_CLIENTS_MAX"),
        ("crates/bayeux/tests/it/ends.rs", "the_one_longest_silent_makes_room"),
    ),
    fixed(
        "push clients of an API",
        (BAYEUX, "CLIENTS_MAX"),
        ("crates/bayeux/tests/it/ends.rs", "ten_thousand_handshakes_of_one_session_are_its_own_affair"),
    ),
    fixed(
        "subscriptions of a push client",
        (BAYEUX, "SUBSCRIPTIONS_MAX"),
        ("crates/bayeux/tests/it/limits.rs", "subscriptions_are_counted"),
    ),
    fixed(
        "events that wait for a push client",
        (BAYEUX, "QUEUE_EVENTS_MAX"),
        ("crates/bayeux/tests/it/delivery.rs", "a_client_that_never_reads_is_dropped_when_its_queue_is_full"),
    ),
    fixed(
        "bytes of those events",
        (BAYEUX, "QUEUE_BYTES_MAX"),
        ("crates/bayeux/tests/it/delivery.rs", "a_client_that_never_reads_is_dropped_when_its_queue_is_full"),
    ),
    fixed(
        "bytes of the gate's own answers that the client of one connection has yet to take, before it makes no more",
        ("crates/gateway/src/listen/owed.rs", "OWED_BYTES_MAX"),
        (
            "crates/countersign/tests/it/threats/bad_days.rs",
            "bay11_no_more_is_made_for_whoever_takes_nothing_of_what_was",
        ),
    ),
    fixed(
        "names in a query at a contact centre",
        ("crates/services/src/centre/fields.rs", "NAMES_MAX"),
        ("crates/services/src/centre/fields.rs", "a_query_names_so_much_and_no_more"),
    ),
    fixed(
        "calls of one account there that wait for each other",
        ("crates/services/src/centre/lanes.rs", "WAITING_MAX"),
        ("crates/services/src/centre/lanes.rs", "an_account_waits_for_itself_alone_and_so_many_times"),
    ),
    fixed(
        "connections to one server of a service that a core keeps for the next request",
        ("crates/gateway/src/upstream.rs", "POOL_SIZE"),
        ("crates/gateway/src/serve/tests/upstreams.rs", "no_more_idle_connections_are_kept_than_so_many"),
    ),
    fixed(
        "bytes that are still read of a body that nobody wants, beside its answer",
        ("crates/gateway/src/body/read.rs", "LINGER_BYTES"),
        (TIMES, "what_is_too_long_is_read_on_for_a_while_so_that_its_client_reads_why"),
    ),
    fixed(
        "for how long",
        ("crates/gateway/src/body/read.rs", "LINGER_TIME"),
        (TIMES, "what_is_too_long_is_read_on_for_a_while_so_that_its_client_reads_why"),
    ),
    fixed(
        "bytes that are still read of a request whose connection ends with its answer",
        ("crates/gateway/src/listen/io.rs", "REST_MAX"),
        (TIMES, "what_is_too_long_is_read_on_for_a_while_so_that_its_client_reads_why"),
    ),
    fixed(
        "requests of a connection of HTTP/2 that its client takes back before their answers begin, beyond those that are answered",
        ("crates/gateway/src/listen/abandoned.rs", "ABANDONED_MAX"),
        (
            "crates/gateway/src/listen/abandoned.rs",
            "so_many_may_be_abandoned_and_answers_and_time_make_up_for_some",
        ),
    ),
    fixed(
        "of them that are forgiven in a second",
        ("crates/gateway/src/listen/abandoned.rs", "FORGIVEN_PER_SECOND"),
        (
            "crates/gateway/src/listen/abandoned.rs",
            "so_many_may_be_abandoned_and_answers_and_time_make_up_for_some",
        ),
    ),
    fixed(
        "control frames of HTTP/2 that a request explains, or a frame of an answer",
        (FRAMES, "EXPLAINED_BY_ONE"),
        (FRAMES, "requests_answers_and_time_explain_some"),
    ),
    fixed(
        "bytes of an answer over HTTP/2 that explain another",
        (FRAMES, "EXPLAINING_BYTES"),
        (FRAMES, "requests_answers_and_time_explain_some"),
    ),
    fixed(
        "milliseconds until as many may come again as `control_frames` says",
        (FRAMES, "AGAIN_AFTER_MS"),
        (FRAMES, "requests_answers_and_time_explain_some"),
    ),
    fixed(
        "places of passwords and tokens that are remembered as verified",
        ("crates/identity/src/proofs.rs", "PLACES_MAX"),
        ("crates/identity/src/proofs.rs", "no_more_is_remembered_than_there_are_places_for"),
    ),
    fixed(
        "bytes that an issuer may say of whoever is remembered in one place",
        ("crates/identity/src/proofs.rs", "PLACE_BYTES"),
        ("crates/identity/src/proofs.rs", "whoever_is_said_much_of_takes_the_places_of_several"),
    ),
    fixed(
        "how long an answer goes on after its token's end, if its length was not told and it is no stream",
        ("crates/gateway/src/watch/extent.rs", "UNTOLD"),
        (ASKED, "e4_what_a_signed_token_opened_ends_with_the_token"),
    ),
    fixed(
        "how long a WebSocket goes on after one of its ends has closed",
        ("crates/gateway/src/limits.rs", "HALF_CLOSED"),
        (
            "crates/gateway/src/serve/tests/sockets.rs",
            "a_websocket_ends_soon_after_one_of_its_ends_and_not_at_once",
        ),
    ),
    fixed(
        "connections at the administration listener",
        ("crates/gateway/src/administration.rs", "CONNECTIONS"),
        ("crates/gateway/src/administration/tests.rs", "whoever_takes_nothing_keeps_nobody_out_for_long"),
    ),
    fixed(
        "connections there on which services call",
        ("crates/gateway/src/administration.rs", "CALLING"),
        ("crates/gateway/src/administration/tests.rs", "services_that_call_leave_room_for_monitors"),
    ),
    fixed(
        "how long a client there may take nothing of an answer",
        ("crates/gateway/src/administration.rs", "WRITE"),
        ("crates/gateway/src/administration/tests.rs", "whoever_takes_nothing_keeps_nobody_out_for_long"),
    ),
    fixed(
        "bytes of a head at the administration listener",
        ("crates/gateway/src/administration.rs", "HEAD_BYTES"),
        (FIXED_HERE, "heads_at_the_administration_listener_are_bounded"),
    ),
    fixed(
        "bytes of a channel's name",
        ("crates/bayeux/src/limits.rs", "CHANNEL_BYTES_MAX"),
        ("crates/bayeux/src/channel.rs", "names_are_checked"),
    ),
    fixed(
        "segments of a channel's name",
        ("crates/bayeux/src/limits.rs", "CHANNEL_SEGMENTS_MAX"),
        ("crates/bayeux/src/channel.rs", "names_are_checked"),
    ),
    fixed(
        "bytes of a message's id, to be repeated",
        ("crates/bayeux/src/limits.rs", "ID_BYTES_MAX"),
        ("crates/bayeux/tests/it/limits.rs", "ids_that_are_no_ids_are_not_repeated"),
    ),
    fixed(
        "bytes of an event",
        ("crates/bayeux/src/limits.rs", "EVENT_BYTES_MAX"),
        ("crates/bayeux/tests/it/limits.rs", "events_are_bounded_in_bytes_and_depth"),
    ),
    fixed(
        "bytes of a service's call with an event",
        ("crates/gateway/src/administration/calls.rs", "EVENT_BYTES_MAX"),
        (FIXED_HERE, "bodies_of_calls_of_services_are_bounded"),
    ),
    fixed(
        "bytes of a service's call about objects",
        ("crates/gateway/src/administration/calls.rs", "OBJECTS_BYTES_MAX"),
        (FIXED_HERE, "bodies_of_calls_of_services_are_bounded"),
    ),
    fixed(
        "objects of a service's call",
        ("crates/countersign/src/wire/desk.rs", "OBJECTS_MAX"),
        ("crates/countersign/src/wire/desk.rs", "a_service_says_whose_its_objects_are"),
    ),
    fixed(
        "bytes of an object's id",
        ("crates/auth/src/objects/kind.rs", "ID_BYTES_MAX"),
        (OBJECTS, "an_id_is_bounded_in_bytes"),
    ),
    fixed(
        "bytes of a token of SPNEGO, Kerberos or NTLM",
        ("crates/negotiate/src/lib.rs", "TOKEN_BYTES_MAX"),
        ("crates/negotiate/src/spnego/tests.rs", "what_is_cut_short_or_goes_on_is_malformed"),
    ),
    fixed(
        "mechanisms that a token of SPNEGO offers",
        ("crates/negotiate/src/spnego.rs", "MECHANISMS_MAX"),
        ("crates/negotiate/src/spnego/tests.rs", "what_is_cut_short_or_goes_on_is_malformed"),
    ),
    fixed(
        "pairs in a response of NTLM",
        ("crates/negotiate/src/ntlm/pairs.rs", "PAIRS_MAX"),
        ("crates/negotiate/src/ntlm/tests.rs", "pairs_are_counted"),
    ),
    fixed(
        "code units of a user's or a domain's name in NTLM",
        ("crates/negotiate/src/ntlm/message.rs", "NAME_UNITS_MAX"),
        ("crates/negotiate/src/ntlm/message.rs", "names_are_text_of_a_bounded_length"),
    ),
    fixed(
        "exchanges with a program that checks NTLM, at once",
        (SEATS, "EXCHANGES_MAX"),
        (SEATS, "so_many_exchanges_are_under_way_and_so_many_of_one_address"),
    ),
    fixed(
        "of them from one address",
        (SEATS, "PER_ADDRESS_MAX"),
        (SEATS, "so_many_exchanges_are_under_way_and_so_many_of_one_address"),
    ),
    fixed(
        "Digest nonces whose counts are kept, of each of 1,024 parts",
        ("crates/auth/src/scheme/digest/window.rs", "NONCES_PER_SHARD_MAX"),
        ("crates/auth/src/scheme/digest/window.rs", "what_was_forgotten_is_never_fresh_again"),
    ),
    fixed(
        "bytes of the way back that a log-in with an issuer remembers",
        ("crates/auth/src/scheme/code.rs", "BACK_BYTES_MAX"),
        ("crates/auth/src/scheme/code.rs", "a_way_back_that_is_too_long_is_forgotten"),
    ),
    fixed(
        "bytes of the state of such a log-in",
        ("crates/auth/src/scheme/code.rs", "STATE_BYTES_MAX"),
        ("crates/auth/src/scheme/code.rs", "a_way_back_that_is_too_long_is_forgotten"),
    ),
    fixed(
        "log-ins with one issuer that were ended in ten minutes and must not be again",
        ("crates/identity/src/issuers/login/spent.rs", "MOST"),
        ("crates/identity/src/issuers/login/spent.rs", "what_cannot_be_told_apart_any_more_is_not_let_in"),
    ),
    fixed(
        "keys of a key set",
        ("crates/identity/src/signing/public.rs", "KEYS_MAX"),
        (SIGNING, "keys_of_a_set_are_counted_and_its_bytes"),
    ),
    fixed(
        "bytes of a key set, wherever it is from",
        ("crates/identity/src/signing/public.rs", "SET_BYTES_MAX"),
        (SIGNING, "keys_of_a_set_are_counted_and_its_bytes"),
    ),
    fixed(
        "anonymous sessions that nobody has presented yet",
        (TOKENS, "ANONYMOUS_FRESH_MAX"),
        (TOKENS_TESTS, "anonymous_sessions_are_bounded_fresh_and_kept"),
    ),
    fixed(
        "anonymous sessions that live on",
        (TOKENS, "ANONYMOUS_KEPT_MAX"),
        (TOKENS_TESTS, "anonymous_sessions_are_bounded_fresh_and_kept"),
    ),
    fixed(
        "sources that it takes to fill their places",
        (ANONYMOUS, "SOURCES"),
        (
            "crates/identity/src/service/tests/sessions.rs",
            "anonymous_sessions_are_written_once_they_are_presented_and_each_source_has_its_share",
        ),
    ),
    // Which of them gives way is not to be told from outside, and one is gone without a sign.
    fixed(
        "addresses whose anonymous sessions are counted",
        ("crates/gateway/src/openings.rs", "ADDRESSES_MAX"),
        ("crates/gateway/src/openings.rs", "no_more_addresses_are_kept_than_so_many"),
    ),
    fixed(
        "addresses whose failed proofs, and those whose guesses at ids, are counted",
        ("crates/identity/src/lockout/addresses.rs", "ADDRESSES_MAX"),
        ("crates/identity/src/lockout/addresses.rs", "no_more_addresses_are_watched_than_so_many"),
    ),
];
