//! Bytes of connections, whole and in pieces, and what is found in them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;

fn watch(bytes: usize) -> HeadWatch {
    HeadWatch::new(HeadBounds { bytes, fields: 10 })
}

/// Heads that were vouched for, and the fault, whether the bytes come at once or one by one.
fn check(bytes: &str, vouched: u64, fault: Option<HeadFault>) {
    for size in [bytes.len().max(1), 1, 7] {
        let mut watch = watch(1000);
        let found = bytes.as_bytes().chunks(size).find_map(|piece| watch.look(piece).err());
        assert_eq!((watch.vouched(), found), (vouched, fault), "{bytes:?} in pieces of {size}");
    }
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\n{fields}\r\n\r\n{body}")
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn faults_are_found_in_heads() {
    check(GET, 1, None);
    check(&format!("\r\n\r\n{GET}{GET}"), 2, None);
    check("GET /a HTTP/1.1\r\nHost: a\r\n", 0, None);
    check("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0, Some(HeadFault::Fragment));
    check(&format!("{GET}GET /# HTTP/1.1\r\n\r\n{GET}"), 1, Some(HeadFault::Fragment));
    check("GET /a HTTP/1.1\r\nX: #\r\n\r\n", 1, None);
    for bare in [
        "GET /a HTTP/1.1\nHost: a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        check(bare, 0, Some(HeadFault::LineFeed));
    }
    for lengths in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: +3",
        "Content-Length:",
        "Content-Length: 3, 3",
        "Content-Length: 99999999999999999999",
    ] {
        check(&post(lengths, "abc"), 0, Some(HeadFault::Lengths));
    }
    for both in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "transfer-encoding: x\r\nX: 1\r\ncontent-length: 3",
    ] {
        check(&post(both, ""), 0, Some(HeadFault::Framings));
    }
    check(&post("Content-Lengths: x\r\nTransfer: y", ""), 1, None);
}

#[test]
fn heads_are_found_behind_bodies() {
    check(&(post("Content-Length: 6", "\n#\r\n\r\n") + GET), 2, None);
    check(&(post("content-length:\t3 \r\nCONTENT-LENGTH: 3", "\n#\n") + GET), 2, None);
    check(&post("Content-Length: 0", GET), 2, None);
    check(&post("Content-Length: 3", "ab"), 1, None);
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body) + GET;
    check(&chunked("0\r\n\r\n"), 2, None);
    check(&chunked("A ;x=\"y\"\r\n0\r\n\r\n\n#  \n\r\n0\r\nT: 1\r\n\r\n"), 2, None);
    check(&chunked("3\r\nabc\r\n00;\r\n\r\n"), 2, None);
    for broken in ["3\r\nabcd\r\n0\r\n\r\n", "+3\r\nabc", "x\r\n", "\r\n", "fffffffffffffffff\r\n"] {
        check(&chunked(broken), 1, Some(HeadFault::Unplaced));
    }
    check(&chunked("3\nabc\r\n0\r\n\r\n"), 1, Some(HeadFault::LineFeed));
}

#[test]
fn bytes_of_each_head_are_counted() {
    let head = GET.len();
    assert_eq!(watch(head).look(GET.as_bytes()), Ok(()));
    assert_eq!(watch(head - 1).look(GET.as_bytes()), Err(HeadFault::TooLong));
    let mut of_heads = watch(head);
    assert_eq!(of_heads.look(GET.repeat(100).as_bytes()), Ok(()), "each head by itself");
    let mut watch = watch(100);
    let chunks = post("Transfer-Encoding: chunked", &"3\r\nabc\r\n".repeat(100));
    assert_eq!(watch.look(chunks.as_bytes()), Ok(()), "chunks are no head");
}

/// What the engine is given of bytes that come in pieces of a size.
fn given(bytes: &str, max: HeadBounds, size: usize) -> (String, Option<HeadFault>) {
    let (mut watch, mut given) = (HeadWatch::new(max), Vec::new());
    for piece in bytes.as_bytes().chunks(size) {
        let fault = watch.look(piece).err();
        let cut_off = watch.cut_off();
        given.extend_from_slice(&piece[..cut_off.map_or(piece.len(), |cut_off| cut_off.kept)]);
        given.extend_from_slice(cut_off.map_or(b"", |cut_off| cut_off.ending));
        if fault.is_some() {
            return (String::from_utf8(given).unwrap(), fault);
        }
    }
    (String::from_utf8(given).unwrap(), None)
}

#[test]
fn what_stands_behind_a_body_is_counted_as_a_head_is() {
    let chunked = |trailers: &str| {
        format!("{}0\r\n{trailers}\r\n{GET}", post("Transfer-Encoding: chunked", "3\r\nabc\r\n"))
    };
    check(&chunked(&"X: 1\r\n".repeat(10)), 2, None);
    check(&chunked(&"X: 1\r\n".repeat(11)), 1, Some(HeadFault::ManyTrailers));
    let long = |bytes: usize| chunked(&format!("X: {}\r\n", "x".repeat(bytes - 7)));
    check(&long(1000), 2, None);
    check(&long(1001), 1, Some(HeadFault::LongTrailers));
    // The engine is given nothing of the line that is one too many, and what it gives the body up for.
    for size in [1, 7, 10_000] {
        let mut watch = watch(1000);
        let bytes = chunked(&format!("{}Secret: 1\r\n", "X: 1\r\n".repeat(10)));
        let mut given = Vec::new();
        for piece in bytes.as_bytes().chunks(size) {
            let fault = watch.look(piece).err();
            let CutOff { kept, ending } =
                watch.cut_off().unwrap_or(CutOff { kept: piece.len(), ending: b"" });
            given.extend([&piece[..kept], ending].concat());
            if fault.is_some() {
                break;
            }
        }
        let given = String::from_utf8(given).unwrap();
        assert!(given.ends_with("X: 1\r\n\0\r\n\r\n"), "{given:?}");
    }
}

#[test]
fn a_head_beyond_a_limit_ends_behind_its_last_line() {
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let head = |count: usize| format!("POST /a HTTP/1.1\r\n{}\r\n", fields(count));
    for size in [1, 7, 10_000] {
        let max = HeadBounds { bytes: 1000, fields: 5 };
        assert_eq!(given(&head(5).repeat(3), max, size), (head(5).repeat(3), None));
        let (kept, fault) = given(&(head(3) + &head(6)), max, size);
        assert_eq!((kept, fault), (head(3) + &head(5), Some(HeadFault::TooMany)), "{size}");
        // In the middle of a line: it is ended where it is, so that what was given before is a head.
        let max = HeadBounds { bytes: 100, fields: 50 };
        for line in [format!("Y: {}", "y".repeat(200)), "y".repeat(200)] {
            let long = format!("POST /a HTTP/1.1\r\nX: 1\r\n{line}\r\n\r\n");
            let (kept, fault) = given(&long, max, size);
            assert_eq!(fault, Some(HeadFault::TooLong), "{size}");
            assert!(
                kept.starts_with("POST /a HTTP/1.1\r\nX: 1\r\n") && kept.ends_with("\r\n\r\n"),
                "{kept:?}"
            );
            assert!(kept.len() <= 100 + 5 && kept.matches("\r\n\r\n").count() == 1, "{kept:?}");
            assert!(kept.lines().skip(1).all(|line| line.is_empty() || line.contains(':')), "{kept:?}");
        }
    }
}

#[test]
fn what_is_kept_of_a_line_is_bounded() {
    let mut watch = watch(10);
    for _ in 0..10 {
        assert_eq!(watch.look(b"x"), Ok(()));
    }
    assert_eq!(watch.look(b"x"), Err(HeadFault::TooLong));
    assert_eq!((watch.line.capacity(), watch.look(b"x")), (0, Ok(())));
}

#[test]
fn a_request_line_beyond_a_limit_ends_within_its_target() {
    let max = HeadBounds { bytes: 9000, fields: 50 };
    let line = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    for size in [1, 7, 8999, 1_000_000] {
        for length in [8990, 9010, 20_000] {
            let target = format!("/api/{}", "x".repeat(length));
            let (kept, fault) = given(&(line("/before") + &line(&target)), max, size);
            assert_eq!(fault, Some(HeadFault::TooLong), "{size} {length}");
            let kept = kept.strip_prefix(&line("/before")).unwrap();
            let cut = kept.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1\r\n\r\n"));
            let cut = cut.unwrap_or_else(|| panic!("{size} {length}: {kept:?}"));
            assert!(target.starts_with(cut) && cut.len() > 8000, "{size} {length}: {kept:?}");
        }
    }
    // What has no target, or another version, is cut nowhere: the engine says what it is.
    for begins in ["G".repeat(10_000), format!("GET /x HTTP/2.{}", "0".repeat(10_000)), " /".repeat(5000)] {
        for size in [1, 7] {
            let (kept, fault) = given(&begins, max, size);
            assert_eq!((fault, kept.contains('\r')), (Some(HeadFault::TooLong), false), "{size} {kept:?}");
        }
    }
}

#[test]
fn a_target_beyond_what_the_engine_reads_is_cut_off() {
    for (bytes, beyond) in [(1_000_000, HeadFault::LongTarget), (60_000, HeadFault::TooLong)] {
        let max = HeadBounds { bytes, fields: 50 };
        for size in [1000, 1_000_000] {
            let line = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(length - 1));
            let found = |length: usize| given(&line(length), max, size).1;
            if beyond == HeadFault::LongTarget {
                assert_eq!(found(TARGET_BYTES_MAX), None, "{size}");
            }
            for more in [1, 2, 1000, 100_000] {
                assert_eq!(found(TARGET_BYTES_MAX + more), Some(beyond), "{size} {more}");
            }
        }
    }
}
