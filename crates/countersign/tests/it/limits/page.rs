//! `docs/limits.md` is made from the limits themselves: keys, defaults and bounds of the configuration's schema, and the
//! reasons that stand beside the constants. Every limit names the test that tries its edge. `UPDATE=1` writes the page.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use countersign_gateway::limits::Limits;
use serde_json::Value;

use crate::transcript::root;

/// A limit of the configuration.
struct Row {
    /// Its key in `[limits]`.
    key: &'static str,
    /// The file and the constant that its default comes from.
    constant: (&'static str, &'static str),
    /// What the gate holds where nothing is configured, as the configuration writes it.
    default: fn(&Limits) -> Value,
    /// What a client meets beyond it.
    beyond: &'static str,
    /// The file and the test that tries its edge.
    test: (&'static str, &'static str),
}

/// A limit that no key changes.
struct Fixed {
    what: &'static str,
    constant: (&'static str, &'static str),
    /// The file and the test that tries its edge.
    test: (&'static str, &'static str),
}

const PLANE: &str = "crates/gateway/src/limits.rs";
const FIELDS: &str = "crates/auth/src/fields.rs";
const HERE: &str = "crates/countersign/tests/it/limits.rs";
const HTTP2: &str = "crates/countersign/tests/it/limits/http2.rs";
const TIMES: &str = "crates/countersign/tests/it/limits/times.rs";
const FIXED_HERE: &str = "crates/countersign/tests/it/limits/fixed.rs";
const OBJECTS: &str = "crates/countersign/tests/it/limits/objects.rs";
const ENDS: &str = "crates/gateway/src/serve/tests/ends.rs";
const FLOODS: &str = "crates/countersign/tests/it/threats/floods.rs";

fn secs(period: Duration) -> Value {
    format!("{}s", period.as_secs()).into()
}

const ROWS: [Row; 25] = [
    Row {
        key: "header_bytes",
        constant: (PLANE, "HEADER_BYTES"),
        default: |limits| limits.header_bytes.into(),
        beyond: "431",
        test: (HERE, "bytes_of_a_head_are_counted"),
    },
    Row {
        key: "header_count",
        constant: (PLANE, "HEADER_COUNT"),
        default: |limits| limits.header_count.into(),
        beyond: "431",
        test: (HERE, "fields_of_a_head_are_counted"),
    },
    Row {
        key: "call_bytes",
        constant: (PLANE, "CALL_BYTES"),
        default: |limits| limits.call_bytes.into(),
        beyond: "413",
        test: (HERE, "bodies_that_the_gate_reads_are_bounded"),
    },
    Row {
        key: "call_depth",
        constant: (FIELDS, "DEPTH"),
        default: |limits| limits.fields.depth.into(),
        beyond: "413",
        test: (HERE, "json_is_bounded_in_depth_and_members"),
    },
    Row {
        key: "call_fields",
        constant: (FIELDS, "FIELDS"),
        default: |limits| limits.fields.fields.into(),
        beyond: "413",
        test: (HERE, "json_is_bounded_in_depth_and_members"),
    },
    Row {
        key: "call_parts",
        constant: (FIELDS, "PARTS"),
        default: |limits| limits.fields.parts.into(),
        beyond: "413",
        test: (HERE, "multipart_bodies_are_bounded_in_parts"),
    },
    Row {
        key: "answer_bytes",
        constant: (PLANE, "ANSWER_BYTES"),
        default: |limits| limits.answer_bytes.into(),
        beyond: "500 in its place",
        test: (HERE, "answers_of_templates_are_bounded"),
    },
    Row {
        key: "upstream_header_bytes",
        constant: (PLANE, "ANSWER_HEADER_BYTES"),
        default: |limits| limits.answer_header_bytes.into(),
        beyond: "502",
        test: (HERE, "heads_of_services_are_bounded"),
    },
    Row {
        key: "upstream_header_count",
        constant: (PLANE, "ANSWER_HEADER_COUNT"),
        default: |limits| limits.answer_header_count.into(),
        beyond: "502",
        test: (HERE, "fields_of_services_answers_are_counted"),
    },
    Row {
        key: "connections",
        constant: (PLANE, "CONNECTIONS"),
        default: |limits| limits.connections.into(),
        beyond: "closed",
        test: (HERE, "connections_are_counted"),
    },
    Row {
        key: "connections_per_address",
        constant: (PLANE, "CONNECTIONS_PER_ADDRESS"),
        default: |limits| limits.connections_per_address.into(),
        beyond: "closed",
        test: (ENDS, "too_many_connections_of_one_address_are_turned_away"),
    },
    Row {
        key: "handshake_timeout",
        constant: (PLANE, "HANDSHAKE"),
        default: |limits| secs(limits.handshake),
        beyond: "closed",
        test: (ENDS, "slow_handshakes_are_closed"),
    },
    Row {
        key: "header_timeout",
        constant: (PLANE, "HEAD"),
        default: |limits| secs(limits.head),
        beyond: "closed",
        test: (TIMES, "a_slow_head_is_served_in_time_and_no_byte_now_and_then_prolongs_it"),
    },
    Row {
        key: "idle_timeout",
        constant: (PLANE, "KEEP_ALIVE"),
        default: |limits| secs(limits.keep_alive),
        beyond: "closed",
        test: (TIMES, "an_idle_connection_is_kept_for_its_time"),
    },
    Row {
        key: "body_timeout",
        constant: (PLANE, "BODY_IDLE"),
        default: |limits| secs(limits.body_idle),
        beyond: "400; an answer breaks off",
        test: (TIMES, "a_body_may_rest_between_its_pieces_and_one_that_the_gate_reads_has_a_time_for_all"),
    },
    Row {
        key: "body_timeout",
        constant: (PLANE, "OWN_BODY"),
        default: |limits| secs(limits.own_body),
        beyond: "400",
        test: (TIMES, "a_body_may_rest_between_its_pieces_and_one_that_the_gate_reads_has_a_time_for_all"),
    },
    Row {
        key: "write_timeout",
        constant: (PLANE, "WRITE_STALL"),
        default: |limits| secs(limits.write_stall),
        beyond: "closed",
        test: (TIMES, "whoever_takes_a_little_of_an_answer_gets_all_of_it"),
    },
    Row {
        key: "streams",
        constant: (PLANE, "STREAMS"),
        default: |limits| limits.streams.into(),
        beyond: "REFUSED_STREAM",
        test: (FLOODS, "g5_more_streams_than_allowed_are_refused"),
    },
    Row {
        key: "stream_resets",
        constant: (PLANE, "PENDING_RESETS"),
        default: |limits| limits.pending_resets.into(),
        beyond: "ENHANCE_YOUR_CALM, closed",
        test: (HTTP2, "resets_of_http2_clients_are_counted"),
    },
    Row {
        key: "stream_errors",
        constant: (PLANE, "LOCAL_RESETS"),
        default: |limits| limits.local_resets.into(),
        beyond: "ENHANCE_YOUR_CALM, closed",
        test: (HTTP2, "errors_of_http2_clients_are_counted"),
    },
    Row {
        key: "stream_window",
        constant: (PLANE, "STREAM_WINDOW"),
        default: |limits| limits.stream_window.into(),
        beyond: "FLOW_CONTROL_ERROR",
        test: (HTTP2, "windows_of_http2_clients_are_what_is_said"),
    },
    Row {
        key: "connection_window",
        constant: (PLANE, "CONNECTION_WINDOW"),
        default: |limits| limits.connection_window.into(),
        beyond: "FLOW_CONTROL_ERROR, closed",
        test: (HTTP2, "all_windows_of_an_http2_client_together_are_what_is_said"),
    },
    Row {
        key: "stream_buffer",
        constant: (PLANE, "STREAM_SEND_BUFFER"),
        default: |limits| limits.stream_send_buffer.into(),
        beyond: "the service waits",
        // How much waits in the gate is not to be told from outside from what the systems between keep.
        test: ("crates/gateway/src/listen/serve.rs", "of_an_answer_so_much_waits_for_its_client"),
    },
    Row {
        key: "anonymous_sessions",
        constant: (PLANE, "ANONYMOUS_SESSIONS"),
        default: |limits| limits.anonymous_sessions.into(),
        beyond: "none is opened, or 429",
        test: (HERE, "anonymous_sessions_of_one_address_are_bounded"),
    },
    Row {
        key: "drain",
        constant: ("crates/countersign/src/config/tree/limits.rs", "DRAIN_SECS"),
        default: |_| "30s".into(),
        beyond: "closed",
        test: (
            "crates/countersign/tests/it/stopping.rs",
            "what_ends_in_the_time_of_the_drain_is_whole_and_the_rest_is_cut",
        ),
    },
];

const fn fixed(
    what: &'static str,
    constant: (&'static str, &'static str),
    test: (&'static str, &'static str),
) -> Fixed {
    Fixed { what, constant, test }
}

const FIXED: [Fixed; 38] = [
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
    // Which of them gives way is not to be told from outside, and one is gone without a sign.
    fixed(
        "addresses whose anonymous sessions are counted",
        ("crates/gateway/src/openings.rs", "ADDRESSES_MAX"),
        ("crates/gateway/src/openings.rs", "no_more_addresses_are_kept_than_so_many"),
    ),
];

fn source(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The value and the reason of a constant, as they stand in the source.
fn constant((file, name): (&str, &str)) -> (String, String) {
    let text = source(file);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = |line: &&str| {
        let rest = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        rest.trim_start_matches("pub ")
            .strip_prefix("const ")
            .is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
    };
    let at = lines.iter().position(begins).unwrap_or_else(|| panic!("{file} has no constant {name}"));
    let value = lines[at].split_once(" = ").unwrap().1.trim_end_matches(';').to_owned();
    let mut reason: Vec<&str> =
        lines[..at].iter().rev().map_while(|line| line.strip_prefix("///")).map(str::trim).collect();
    reason.reverse();
    assert!(!reason.is_empty(), "{name} in {file} has no reason beside it");
    (value, reason.join(" "))
}

/// The keys of `[limits]` in the schema.
fn schema() -> Value {
    let text = source("docs/config.schema.json");
    let schema: Value = serde_json::from_str(&text).unwrap();
    schema.pointer("/$defs/Limits/properties").cloned().unwrap()
}

fn cell(text: &str) -> String {
    // What is a link in the documentation of code is a word here.
    text.replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

fn page() -> String {
    let keys = schema();
    let mut page = "# Limits\n\nEverything that a client, a service or a file can make large or slow has a limit. What a \
        client meets beyond it is said in\nthe words of the dialect where there is a request to answer, and the access \
        line names the limit (`auth.cause`). Clients\nthat are cut off without one are counted \
        (`countersign_connections_cut_total`), and a line each second says how many were,\nand at which limit.\n\n\
        This page is made from the schema of the configuration and from the reasons beside the constants. A test tries \
        the edge of\neach limit, the last that passes and the first that does not: \
        `countersign/tests/it/limits/page.rs` names them.\n\n\
        ## With a key in `[limits]`\n\n\
        | key | default | least, most | what | beyond it | reason |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for Row { key, constant: place, beyond, .. } in ROWS {
        let property = &keys[key];
        let bounds = match (&property["minimum"], &property["maximum"]) {
            (Value::Null, _) | (_, Value::Null) => "1ms, 36525d".to_owned(),
            (least, most) => format!("{least}, {most}"),
        };
        let what = property["description"].as_str().unwrap().replace('\n', " ");
        let (_, reason) = constant(place);
        let default = property["default"].to_string().replace('"', "");
        writeln!(page, "| `{key}` | {default} | {bounds} | {} | {beyond} | {} |", cell(&what), cell(&reason))
            .unwrap();
    }
    page.push_str("\n## Without a key\n\n| what | limit | reason |\n|---|---|---|\n");
    for Fixed { what, constant: place, .. } in FIXED {
        let (value, reason) = constant(place);
        writeln!(page, "| {what} | `{value}` | {} |", cell(&reason)).unwrap();
    }
    page
}

#[test]
fn the_page_of_limits_is_up_to_date() {
    let file = root().join("docs/limits.md");
    let page = page();
    if updates() {
        std::fs::write(&file, &page).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == page, "docs/limits.md is out of date; run with UPDATE=1");
}

#[expect(clippy::disallowed_methods, reason = "whoever runs it says so")]
fn updates() -> bool {
    std::env::var("UPDATE").is_ok_and(|update| update == "1")
}

#[test]
fn every_limit_has_its_constant_and_its_test() {
    let keys = schema();
    let of_schema: BTreeSet<&str> = keys.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(ROWS.iter().map(|row| row.key).collect::<BTreeSet<_>>(), of_schema);
    for Row { key, default, .. } in ROWS {
        assert_eq!(default(&Limits::default()), keys[key]["default"], "{key}");
    }
    let tests =
        ROWS.iter().map(|row| (row.key, row.test)).chain(FIXED.iter().map(|fixed| (fixed.what, fixed.test)));
    for (what, (file, name)) in tests {
        let tests = source(file);
        assert!(
            tests.contains(&format!("fn {name}(")),
            "{file} has no test {name}, which is said to try: {what}"
        );
    }
}
