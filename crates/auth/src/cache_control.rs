//! What caches may keep of an answer (RFC 9111 section 5.2.2).

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

/// What an answer says to one caller no shared cache may say to another, whatever its service thinks of it: the credential may
/// stand where caches do not look (RFC 9111 section 3.5).
pub(crate) fn keep_to_caller(headers: &mut HeaderMap) {
    let louder: Vec<HeaderName> = headers.keys().filter(|name| is_louder(name.as_str())).cloned().collect();
    for name in louder {
        headers.remove(name);
    }
    let lines = || headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let directives = || lines().flat_map(directives_of);
    let is_one_of = |directive: &str, names: &[&str]| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        names.iter().any(|other| name.eq_ignore_ascii_case(other))
    };
    // `private` with the names of fields is about these alone, and whoever understands a status may pass over `no-store`
    // (RFC 9111 section 5.2.2.3).
    let is_private = directives().any(|one| one.eq_ignore_ascii_case("private"));
    let is_stored = !directives().any(|one| is_one_of(one, &["no-store"]))
        || directives().any(|one| is_one_of(one, &["must-understand"]));
    if is_private || !is_stored {
        return;
    }
    let dropped = ["public", "s-maxage", "private", "must-understand"];
    let mut line = String::new();
    for directive in directives().filter(|one| !is_one_of(one, &dropped)) {
        line.push_str(directive);
        line.push_str(", ");
    }
    line.push_str("private");
    let line = HeaderValue::from_str(&line).unwrap_or(HeaderValue::from_static("private"));
    headers.insert(CACHE_CONTROL, line);
}

/// Whether some caches listen to a field of that name rather than to `Cache-Control`: those of a network (RFC 9213), nginx.
fn is_louder(name: &str) -> bool {
    const OTHERS: [&str; 4] =
        ["surrogate-control", "x-accel-expires", "edge-control", "akamai-cache-control"];
    name.ends_with("cdn-cache-control") || OTHERS.contains(&name)
}

/// The directives of a line; a comma between quotes is none between them. A quote that is not closed ends with the line.
fn directives_of(line: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let ends = move |letter: char| {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => return true,
            _ => {}
        }
        false
    };
    line.split(ends).map(str::trim).filter(|directive| !directive.is_empty() && is_closed(directive))
}

/// Whether all quotes are closed: what is open would take in what is put behind it.
fn is_closed(directive: &str) -> bool {
    let mut is_quoted = false;
    let mut letters = directive.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if is_quoted => drop(letters.next()),
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    !is_quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_one_caller_is_kept_by_no_shared_cache() {
        for (said, left) in [
            (&[][..], &["private"][..]),
            (&["max-age=60"], &["max-age=60, private"]),
            (&["public, max-age=60", "s-maxage = 9 , immutable"], &["max-age=60, immutable, private"]),
            (&["PUBLIC"], &["private"]),
            (&["private=\"set-cookie\""], &["private"]),
            (&["private=\"set-cookie, x-foo\", max-age=600"], &["max-age=600, private"]),
            (
                &["no-cache=\"x, private, y\", max-age=60"],
                &["no-cache=\"x, private, y\", max-age=60, private"],
            ),
            (&["max-age=60, no-cache=\"x"], &["max-age=60, private"]),
            (&["public, must-understand, no-store"], &["no-store, private"]),
            (&["max-age=5, Private"], &["max-age=5, Private"]),
            (&["no-cache", "No-Store"], &["no-cache", "No-Store"]),
        ] {
            let mut headers = HeaderMap::new();
            for line in said {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            for louder in ["cdn-cache-control", "cloudflare-cdn-cache-control", "x-accel-expires"] {
                headers.insert(louder, HeaderValue::from_static("60"));
            }
            keep_to_caller(&mut headers);
            assert!(headers.get_all(CACHE_CONTROL).iter().eq(left.iter()), "{said:?}: {headers:?}");
            assert_eq!(headers.len(), left.len());
        }
    }
}
