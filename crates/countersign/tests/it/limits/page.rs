//! `docs/limits.md` is made from the limits themselves: keys, defaults and bounds of the configuration's schema, and the
//! reasons that stand beside the constants. Every limit names the test that tries its edge. `UPDATE=1` writes the page.

mod issuers;
mod keyless;
mod unlisted;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use countersign_gateway::limits::Limits;
use countersign_gateway::upstream::Times;
use serde_json::Value;

use self::issuers::OF_ISSUERS;
use self::keyless::{FIXED, Fixed};
use self::unlisted::UNLISTED;
use crate::shape::all_sources;
use crate::transcript::root;

/// A limit of the configuration, in `[limits]` or of an API's `upstream`.
struct Row {
    /// Its key there.
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
    let secs = period.as_secs();
    if secs.is_multiple_of(60) { format!("{}m", secs / 60).into() } else { format!("{secs}s").into() }
}

const ROWS: [Row; 27] = [
    Row {
        key: "header_bytes",
        constant: (PLANE, "HEADER_BYTES"),
        default: |limits| limits.header_bytes.into(),
        beyond: "431, or 413 where the gate reads the body that they follow; over HTTP/2 more than a quarter beyond: from the engine, without a body and a line of the log",
        test: (HERE, "bytes_of_a_head_are_counted"),
    },
    Row {
        key: "header_count",
        constant: (PLANE, "HEADER_COUNT"),
        default: |limits| limits.header_count.into(),
        beyond: "431, or 413 where the gate reads the body that they follow",
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
        key: "upstream_requests",
        constant: (PLANE, "UPSTREAM_REQUESTS"),
        default: |limits| limits.upstream_requests.into(),
        beyond: "503",
        test: (HERE, "requests_at_one_service_are_counted"),
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
        beyond: "400",
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
        beyond: "closed; over HTTP/2 CANCEL, and the connection goes on",
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
        key: "control_frames",
        constant: (PLANE, "CONTROL_FRAMES"),
        default: |limits| limits.control_frames.into(),
        beyond: "ENHANCE_YOUR_CALM, closed",
        test: (HTTP2, "control_frames_of_http2_clients_are_counted"),
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

const UPSTREAM: &str = "crates/gateway/src/upstream.rs";
const UPSTREAMS: &str = "crates/gateway/src/serve/tests/upstreams.rs";

const UPSTREAM_ROWS: [Row; 3] = [
    Row {
        key: "connect_timeout",
        constant: (UPSTREAM, "CONNECT"),
        default: |_| secs(Times::default().connect),
        beyond: "504",
        test: (TIMES, "a_service_that_takes_no_connection_is_waited_for_so_long"),
    },
    Row {
        key: "response_timeout",
        constant: (UPSTREAM, "HEAD"),
        default: |_| secs(Times::default().head),
        beyond: "504",
        test: (UPSTREAMS, "failures_are_told_apart"),
    },
    Row {
        key: "body_timeout",
        constant: (UPSTREAM, "BODY_IDLE"),
        default: |_| secs(Times::default().body_idle),
        beyond: "the answer breaks off",
        test: (TIMES, "an_answer_may_rest_between_its_pieces_and_one_that_stands_still_breaks_off"),
    },
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

/// The keys of a table of the configuration in its schema: `[limits]` is `Limits`, `upstream` is `Backends`.
fn schema(table: &str) -> Value {
    let text = source("docs/config.schema.json");
    let schema: Value = serde_json::from_str(&text).unwrap();
    schema.pointer(&format!("/$defs/{table}/properties")).cloned().unwrap()
}

fn cell(text: &str) -> String {
    // What is a link in the documentation of code is a word here.
    text.replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

fn rows(page: &mut String, table: &str, rows: &[Row]) {
    let keys = schema(table);
    page.push_str("| key | default | least, most | what | beyond it | reason |\n|---|---|---|---|---|---|\n");
    for Row { key, constant: place, beyond, .. } in rows {
        let property = &keys[key];
        let bounds = match (&property["minimum"], &property["maximum"]) {
            (Value::Null, _) | (_, Value::Null) => "1ms, 36525d".to_owned(),
            (least, most) => format!("{least}, {most}"),
        };
        let what = property["description"].as_str().unwrap().replace('\n', " ");
        let (_, reason) = constant(*place);
        let default = property["default"].to_string().replace('"', "");
        writeln!(page, "| `{key}` | {default} | {bounds} | {} | {beyond} | {} |", cell(&what), cell(&reason))
            .unwrap();
    }
}

fn page() -> String {
    let mut page = "# Limits\n\nEverything that a client, a service or a file can make large or slow has a limit. What a \
        client meets beyond it is said in\nthe words of the dialect where there is a request to answer, and the access \
        line names the limit (`auth.cause`, or\n`broke_off` where an answer had begun): `limits.KEY` or `upstream.KEY`, where it has a key. Clients\nthat are cut off without one at `connections`, \
        `connections_per_address`, `handshake_timeout`, `header_timeout`,\n`write_timeout` or `control_frames` are counted \
        (`countersign_connections_cut_total`), and a line each second says how\nmany were, and at which limit.\n\n\
        The system has one as well: how many files a process may have open. A gate raises it to as much as it may be\n\
        (`ulimit -Hn`, `LimitNOFILE=`). Open at once may be a file for each of `connections`, for each of `upstream_requests` at\n\
        the service of each API (but where no listener speaks HTTP/2 no more in all than `connections`), for each connection\n\
        that a core keeps to a server of a service, and some 200 more. Where that is beyond it, the gate lowers `connections`\n\
        and `upstream_requests` alike, and `connections_per_address` to a quarter of the connections; its log and\n\
        `countersign check` say so, and for what the files are needed.\n\n\
        Over HTTP/2 the gate cannot ask for a body (`Expect: 100-continue`): the HTTP engine sends no answer before the\n\
        answer. Clients send it after a moment of waiting; one that waits without an end is refused after `body_timeout`.\n\n\
        This page is made from the schema of the configuration and from the reasons beside the constants. A test tries \
        the edge of\neach limit, the last that passes and the first that does not: \
        `countersign/tests/it/limits/page.rs` names them.\n\n\
        ## With a key in `[limits]`\n\n"
        .to_owned();
    rows(&mut page, "Limits", &ROWS);
    page.push_str("\n## With a key of an API's `upstream = { ... }`\n\n");
    rows(&mut page, "Backends", &UPSTREAM_ROWS);
    page.push_str("\n## Without a key\n\n| what | limit | reason |\n|---|---|---|\n");
    for Fixed { what, constant: place, .. } in FIXED.iter().chain(OF_ISSUERS) {
        let (value, reason) = constant(*place);
        let value = match value.strip_prefix("Duration::from_secs(").and_then(|rest| rest.strip_suffix(')')) {
            Some(secs) => format!("{secs}s"),
            None => value,
        };
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

/// Whoever bounds something says on the page how far it goes, or here why it is nothing that strangers meet.
#[test]
fn every_constant_that_is_the_most_of_something_is_listed() {
    let rows = ROWS.iter().chain(&UPSTREAM_ROWS).map(|row| row.constant);
    let listed: BTreeSet<(String, String)> = rows
        .chain(FIXED.iter().chain(OF_ISSUERS).map(|fixed| fixed.constant))
        .map(|(file, name)| (file.trim_start_matches("crates/").to_owned(), name.to_owned()))
        .collect();
    let unlisted: BTreeSet<(String, String)> =
        UNLISTED.iter().map(|(file, name, _)| ((*file).to_owned(), (*name).to_owned())).collect();
    let mut found = BTreeSet::new();
    let samples = |file: &Path| {
        file.starts_with("crates/countersign/src/demo")
            || file.components().any(|part| part.as_os_str() == "tests")
    };
    for file in all_sources().into_iter().filter(|file| !samples(file)) {
        let path = file.to_str().unwrap().trim_start_matches("crates/").to_owned();
        for line in std::fs::read_to_string(root().join(&file)).unwrap().lines() {
            let words = line.split_once("const ").filter(|(before, _)| !before.contains('/'));
            let Some((name, _)) = words.and_then(|(_, rest)| rest.split_once(':')) else { continue };
            if name.ends_with("_MAX") {
                found.insert((path.clone(), name.to_owned()));
            }
        }
    }
    assert!(found.len() > 100, "{} constants", found.len());
    let missing: Vec<_> = found.iter().filter(|at| !listed.contains(at) && !unlisted.contains(at)).collect();
    assert!(missing.is_empty(), "neither on the page nor among `UNLISTED`: {missing:#?}");
    let gone: Vec<_> = unlisted.iter().filter(|at| !found.contains(at)).collect();
    assert!(gone.is_empty(), "among `UNLISTED`, and not there: {gone:#?}");
}

/// Beyond a limit with a key that ends a request with a status, its access line names the key, in one way everywhere.
#[test]
fn every_key_that_ends_requests_is_named_where_they_end() {
    let sources = all_sources();
    let sources =
        sources.iter().filter(|file| file.starts_with("crates/auth") || file.starts_with("crates/gateway"));
    let sources: String = sources.map(|file| std::fs::read_to_string(root().join(file)).unwrap()).collect();
    let named = |table: &str, rows: &[Row]| {
        for Row { key, beyond, .. } in rows {
            let has_status = |word: &str| word.len() == 3 && word.parse::<u16>().is_ok();
            let ends_requests = beyond.split([' ', ',', ';']).any(has_status);
            let name = format!("{table}.{key}");
            // In a text, and not as the value of the configuration.
            let is_named = sources.lines().any(|line| line.contains('"') && line.contains(&name));
            assert!(!ends_requests || is_named, "nothing says {name}, and a client meets: {beyond}");
        }
    };
    named("limits", &ROWS);
    named("upstream", &UPSTREAM_ROWS);
}

#[test]
fn every_limit_has_its_constant_and_its_test() {
    let keys = schema("Limits");
    let of_schema: BTreeSet<&str> = keys.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(ROWS.iter().map(|row| row.key).collect::<BTreeSet<_>>(), of_schema);
    for Row { key, default, .. } in ROWS {
        assert_eq!(default(&Limits::default()), keys[key]["default"], "{key}");
    }
    let keys = schema("Backends");
    for Row { key, default, .. } in UPSTREAM_ROWS {
        assert_eq!(default(&Limits::default()), keys[key]["default"], "{key}");
    }
    let with_keys = ROWS.iter().chain(&UPSTREAM_ROWS);
    let tests = with_keys
        .map(|row| (row.key, row.test))
        .chain(FIXED.iter().chain(OF_ISSUERS).map(|fixed| (fixed.what, fixed.test)));
    for (what, (file, name)) in tests {
        let tests = source(file);
        assert!(
            tests.contains(&format!("fn {name}(")),
            "{file} has no test {name}, which is said to try: {what}"
        );
    }
}
