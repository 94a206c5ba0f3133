#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::{Strategy as _, proptest};

use super::*;
use crate::canonical::path::CanonicalPath;

fn check(patterns: &[&str], request: &str, expected: &str) {
    let (method, path) = request.split_once(' ').unwrap();
    let table = Patterns::new(
        PathCase::Counts,
        patterns.iter().map(|text| (Pattern::parse(text).unwrap(), false, text.to_string())),
    );
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let found = table.matching(&method, &Segments::of(path)).next().map_or("none", |(text, _)| text.as_str());
    assert_eq!(found, expected, "{request}");
}

#[test]
fn the_most_exact_wins() {
    let patterns = [
        "/ws/**",
        "/ws/{ver}/kb/**",
        "GET /ws/{ver}/**/hello",
        "POST /ws/{ver}/kb/login",
        "/ws/v12/kb/**",
        "/{any}",
    ];
    check(&patterns, "GET /ws/v12/x/y", "/ws/**");
    check(&patterns, "GET /ws", "/{any}");
    check(&patterns, "GET /ws/", "/{any}");
    check(&patterns, "GET /ws/v15/kb/a", "/ws/{ver}/kb/**");
    check(&patterns, "GET /ws/v12/kb/a", "/ws/v12/kb/**");
    check(&patterns, "GET /ws/v12/kb/hello", "GET /ws/{ver}/**/hello");
    check(&patterns, "HEAD /ws/v12/hello", "GET /ws/{ver}/**/hello");
    check(&patterns, "POST /ws/v12/hello", "/ws/**");
    check(&patterns, "GET /ws/v12/hellox", "/ws/**");
    check(&patterns, "POST /ws/v12/kb/login", "POST /ws/{ver}/kb/login");
    check(&patterns, "GET /other/x", "none");
    check(&patterns, "GET /WS/v12", "none");
    check(&["/login"], "GET /login/", "/login");
    check(&["/login"], "GET /login//", "none");
    check(&["/login/"], "GET /login", "/login/");
    check(&["/**"], "GET ", "/**");
    check(&["/", "/**"], "GET ", "/");
    check(&["/", "/**"], "GET /", "/");
    check(&["/adm/", "/{any}", "/**"], "GET /adm", "/adm/");
    check(&["/adm/", "/adm/{any}", "/**"], "GET /adm/", "/adm/");
}

#[test]
fn what_no_request_has_stands_in_no_pattern() {
    let check = |text: &str, hint: &str| {
        let problem = Pattern::parse(text).unwrap_err();
        assert!(problem.contains(hint), "{problem}");
    };
    check("/ctl//z", "one slash");
    check("//", "one slash");
    check("/admin/../secret/**", "the path that it leads to");
    check("/./x", "the path that it leads to");
    check("/a/%2e%2E", "the path that it leads to");
    check("/a\\b", "refused with 400");
    check("/a%2fb", "refused with 400");
    check("/a;b", "refused with 400");
    check("/100%", "%25");
    check("/a?b", "before the query");
    check("/a b", "no method");
    check("GET /a b", "%20");
    check("/a*", "%2A");
    check("/{a}b", "{name}");
    check("/%2561", "one escape");
    check(&"/x".repeat(SEGMENTS_MAX + 1), "no path that the gate lets through is so long");
    check(&format!("/{}", "x".repeat(PATH_BYTES_MAX)), "no path that the gate lets through is so long");
}

#[test]
fn other_programs_words_for_variables_are_none() {
    let check = |text: &str, hint: &str| {
        let problem = Pattern::parse(text).unwrap_err();
        assert!(problem.contains(hint), "{problem}");
    };
    check("/orders/:id/refund", "write {id}");
    check("/orders/<id>", "write {id}");
    check("/orders/<int:id>", "no variable here");
    check("/{}", "of letters");
    check("/{a}{b}", "of letters");
    check("/{id:[0-9]+}", "of letters");
    check("/{id?}", "of letters");
    check("/{*rest}", "of letters");
    check("GET /{a b}", "of letters");
    check("GET /{id", "of letters");
    check("/c/{customer}/copy/{customer}", "stands twice");
    check("/{a}/{b}/**/{a}", "stands twice");
    super::tests::check(&["/%3Aid", "/%3cid>"], "GET /:id", "/%3Aid");
    super::tests::check(&["/{a}/{gr\u{f6}\u{df}e-2}/{_}"], "GET /x/y/z", "/{a}/{gr\u{f6}\u{df}e-2}/{_}");
    super::tests::check(&["/a:b/x<y"], "GET /a:b/x%3Cy", "/a:b/x<y");
}

#[test]
fn letters_beyond_ascii_have_cases_as_well() {
    let matches = |case: PathCase, pattern: &str, path: &str| {
        let table = Patterns::new(case, [(Pattern::parse(pattern).unwrap(), false, ())]);
        let path = CanonicalPath::parse(path).unwrap();
        table.matching(&Method::GET, &Segments::of(path.as_str())).next().is_some()
    };
    assert!(matches(PathCase::Ignored, "/M\u{fc}ller/x", "/m%c3%9cLLER/X"));
    assert!(!matches(PathCase::Counts, "/M\u{fc}ller/x", "/m%c3%9cLLER/X"));
    assert!(!matches(PathCase::Ignored, "/M\u{fc}ller", "/muller"));
    // KELVIN SIGN is no k to servers that compare without case.
    assert!(!matches(PathCase::Ignored, "/k%7C", "/%E2%84%AA%7C"));
}

proptest! {
    #[test]
    fn every_literal_pattern_matches_its_own_path(text in "/([a-zA-Z%;|\"'~\u{fc}\u{4e2d}\\[\\]<^`\\\\#. /]|%[0-9a-fA-F]{2}|\\.\\.|//){0,12}") {
        for case in [PathCase::Counts, PathCase::Ignored] {
            let Ok(pattern) = Pattern::parse(&format!("GET {text}")) else { continue };
            let table = Patterns::new(case, [(pattern.clone(), false, ())]);
            // As a client sends it: what is beyond ASCII is escaped.
            let sent: String = text.bytes().map(|byte| match byte {
                0x80.. => format!("%{byte:02x}"),
                ascii => char::from(ascii).to_string(),
            }).collect();
            let path = CanonicalPath::parse(&sent).unwrap();
            for path in [path.as_str(), &pattern.sample_path(), path.as_str().trim_end_matches('/')] {
                assert!(table.matching(&Method::GET, &Segments::of(path)).next().is_some(), "{path}");
            }
        }
    }
}

#[test]
fn the_index_finds_what_a_look_at_every_pattern_finds() {
    const SEGMENTS: [&str; 5] = ["a", "B", "{v}", "**", ""];
    let mut patterns = Vec::new();
    for first in SEGMENTS {
        for second in SEGMENTS {
            for third in SEGMENTS {
                patterns.extend(Pattern::parse(&format!("/{first}/{second}/{third}")).ok());
                patterns.extend(Pattern::parse(&format!("/{first}/{second}")).ok());
            }
        }
    }
    for case in [PathCase::Counts, PathCase::Ignored] {
        let table = Patterns::new(case, patterns.iter().map(|one| (one.clone(), false, one.to_string())));
        for path in ["", "/", "/a", "/A/b", "/a/b/", "/a/B/x", "/x/y/z/", "/a//B", "/a/b/c/d", "//"] {
            let given = &Segments::of(path).0;
            let wanted = table.entries.iter().filter(|(_, one, _)| one.matches(given, case).is_some());
            let wanted: Vec<_> = wanted.map(|(_, _, text)| text).collect();
            let found: Vec<_> =
                table.matching(&Method::GET, &Segments::of(path)).map(|(text, _)| text).collect();
            assert_eq!(found, wanted, "{path}");
        }
        let all = table.entries.iter().enumerate().flat_map(|(at, (exactness, one, _))| {
            let others = table.entries.iter().skip(at + 1);
            others.filter(move |(other, two, _)| other == exactness && one.overlaps(two, case))
        });
        assert_eq!(table.ties().count(), all.count());
    }
}

#[test]
fn ties_are_found() {
    let ties = |a: &str, b: &str| {
        let pattern = |text| (Pattern::parse(text).unwrap(), false, ());
        Patterns::new(PathCase::Counts, [pattern(a), pattern(b)]).ties().count()
    };
    assert_eq!(ties("/ws/**", "/ws/**"), 1);
    assert_eq!(ties("/{a}/x", "/y/{b}"), 1);
    assert_eq!(ties("GET /a", "POST /a"), 0);
    assert_eq!(ties("/a/{b}", "/c/{b}"), 0);
    assert_eq!(ties("/a/**/z", "/a/**/y"), 0);
}

/// All paths of up to `LONGEST` segments of a few names, and one that no pattern has.
fn paths() -> Vec<String> {
    const LONGEST: usize = 4;
    let mut paths = vec![String::new()];
    let mut last = paths.clone();
    for _ in 0..LONGEST {
        last =
            last.iter().flat_map(|path| ["a", "A", "b", "z"].map(|name| format!("{path}/{name}"))).collect();
        paths.extend(last.iter().cloned());
    }
    paths
}

/// A pattern of up to three segments, and `**` at any place of it or nowhere: all its paths are made of shorter ones.
fn small_pattern() -> impl proptest::strategy::Strategy<Value = Pattern> {
    let segments = proptest::collection::vec(proptest::sample::select(vec!["a", "b", "A", "{v}"]), 0..=2);
    let methods = proptest::sample::select(vec!["", "GET ", "POST ", "GET|POST ", "HEAD "]);
    (segments, 0..6_usize, methods).prop_map(|(mut segments, rest, methods)| {
        if rest <= segments.len() {
            segments.insert(rest, "**");
        }
        let mut variables = 0;
        let mut named = segments.iter().map(|segment| match *segment {
            "{v}" => {
                variables += 1;
                format!("/{{v{variables}}}")
            }
            segment => format!("/{segment}"),
        });
        let path: String = named.by_ref().collect();
        Pattern::parse(&format!("{methods}{}", if path.is_empty() { "/" } else { &path })).unwrap()
    })
}

proptest! {
    #[test]
    fn what_patterns_have_in_common_is_what_both_match(a in small_pattern(), b in small_pattern()) {
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT];
        for case in [PathCase::Counts, PathCase::Ignored] {
            let is_in = |pattern: &Pattern, method: &Method, path: &str| {
                pattern.admits(method) && pattern.matches(&Segments::of(path).0, case).is_some()
            };
            let common = a.common(&b, case);
            let (mut any, mut all, mut all_paths) = (false, true, true);
            for path in paths() {
                let in_path = |pattern: &Pattern| pattern.matches(&Segments::of(&path).0, case).is_some();
                all_paths &= in_path(&a) || !in_path(&b);
                for method in &methods {
                    let both = is_in(&a, method, &path) && is_in(&b, method, &path);
                    assert_eq!(common.iter().any(|one| is_in(one, method, &path)), both, "{a} {b} {method} {path}");
                    any |= both;
                    all &= is_in(&a, method, &path) || !is_in(&b, method, &path);
                }
            }
            assert_eq!(a.overlaps(&b, case), any, "{a} {b}");
            assert_eq!(common.is_empty(), !any, "{a} {b}");
            assert_eq!(a.covers_paths(&b, case), all_paths, "{a} {b}");
            assert_eq!(a.covers(&b, case), all, "{a} {b}");
            for one in &common {
                let method = one.methods.first().unwrap_or(&Method::GET);
                let path = one.sample_path();
                assert!(is_in(&a, method, &path) && is_in(&b, method, &path), "{a} {b} {path}");
                let again = Pattern::parse(&one.to_string()).unwrap();
                assert_eq!((&again.segments, &again.methods), (&one.segments, &one.methods), "{one}");
            }
        }
    }
}
