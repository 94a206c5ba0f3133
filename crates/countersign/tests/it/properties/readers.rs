//! How others read a request: a careless server, and one that keeps to the letter.

/// A path as a careless server reads it: everything decoded, again and again, separators of all kinds, parameters cut
/// off, dots resolved.
pub(super) fn careless(path: &str) -> Vec<String> {
    let mut text = path.to_owned();
    for _ in 0..3 {
        let decoded = percent_decoded(&text);
        text = String::from_utf8_lossy(&decoded).into_owned();
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in text.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment.to_ascii_lowercase()),
        }
    }
    segments
}

/// A path by the letter of RFC 3986: dot segments are removed (section 5.2.4), then each segment is decoded once.
pub(super) fn by_the_letter(path: &str) -> Vec<Vec<u8>> {
    let mut segments: Vec<&str> = Vec::new();
    let raw: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    for (at, segment) in raw.iter().enumerate() {
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    segments.pop();
                }
                if at + 1 == raw.len() {
                    segments.push("");
                }
            }
            segment => segments.push(segment),
        }
    }
    segments.into_iter().map(percent_decoded).collect()
}

/// A target as it was sent: what it says of a host, its path, its query. In HTTP/2 a fragment ends it.
pub(super) fn target(sent: &str, http2: bool) -> (Option<&str>, &str, &str) {
    let sent = if http2 { sent.split('#').next().unwrap_or_default() } else { sent };
    let (authority, rest) = match sent.strip_prefix("http://") {
        Some(rest) => match rest.find(['/', '?']) {
            Some(at) => (Some(&rest[..at]), &rest[at..]),
            None => (Some(rest), "/"),
        },
        None => (None, sent),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (authority, path, query)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[test]
fn a_careless_server_reads_what_it_should() {
    assert_eq!(careless("/public/..;/%61dmin\\x/./y"), ["admin", "x", "y"]);
    assert_eq!(careless("/a/%252e%252e/b%2fc"), ["b", "c"]);
    assert_eq!(careless("//A///"), ["a"]);
}

#[test]
fn the_letter_is_read_as_it_stands() {
    assert_eq!(by_the_letter("/a/./b/../%63%20/."), [&b"a"[..], b"c ", b""]);
    assert_eq!(by_the_letter("/.."), [b""]);
    assert_eq!(by_the_letter("/%252e;x/"), [&b"%2e;x"[..], b""]);
    assert_eq!(target("/a#b?c", true), (None, "/a", ""));
    assert_eq!(target("/a?b?c", false), (None, "/a", "b?c"));
    assert_eq!(target("http://h:1?x", false), (Some("h:1"), "", "x"));
}
