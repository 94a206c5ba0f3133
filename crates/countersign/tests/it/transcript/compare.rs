//! Compares what came over the wire with what a transcript says, and tells the difference.

use std::fmt::Write as _;

use super::pattern::{Bindings, Pattern};
use super::{Line, Message};
use crate::raw::Head;

/// Header names that a transcript need not list: where it does not, they may be there or not.
pub(crate) struct Unlisted {
    names: &'static [&'static str],
    beginning: Option<&'static str>,
}

/// Of answers.
pub(crate) const OF_ANSWERS: Unlisted =
    Unlisted { names: &["date", "content-length", "connection"], beginning: None };

/// Of requests to the service.
pub(crate) const OF_REQUESTS: Unlisted = Unlisted {
    names: &["content-length", "connection", "forwarded", "via"],
    beginning: Some("x-forwarded-"),
};

impl Unlisted {
    fn holds(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.contains(&name.as_str())
            || self.beginning.is_some_and(|beginning| name.starts_with(beginning))
    }
}

/// Compares a message; every difference is one entry of the answer, beginning with `file:line:`.
pub(crate) fn message(
    file: &str,
    expected: &Message,
    got: &Head,
    body: &[u8],
    unlisted: &Unlisted,
    bindings: &mut Bindings,
) -> Vec<String> {
    let mut differences = Vec::new();
    if !expected.start.text.accepts(&got.start, bindings) {
        let number = expected.start.number;
        let expected = expected.start.text.shown(bindings);
        differences.push(format!("{file}:{number}: expected {expected}\n    got {}", got.start));
    }
    headers(file, expected, got, unlisted, bindings, &mut differences);
    match std::str::from_utf8(body) {
        Ok(body) if expected.body.accepts(body, bindings) => {}
        Ok(body) => differences.push(body_difference(file, expected, body, bindings)),
        Err(_) => differences.push(format!("{file}:{}: the body is no UTF-8", expected.body_line)),
    }
    differences
}

fn headers(
    file: &str,
    expected: &Message,
    got: &Head,
    unlisted: &Unlisted,
    bindings: &mut Bindings,
    differences: &mut Vec<String>,
) {
    let mut left: Vec<&(String, String)> = got.headers.iter().collect();
    let mut missing: Vec<&Line> = Vec::new();
    for line in &expected.headers {
        let found = left.iter().position(|(name, _)| name.eq_ignore_ascii_case(line.name()));
        let Some(at) = found else {
            missing.push(line);
            continue;
        };
        let (name, value) = left.remove(at);
        // The name in the transcript's spelling: header names have no case.
        let text = format!("{}: {value}", line.name());
        let fits = line.text.accepts(&text, bindings)
            // A header without a value is written without the blank.
            || (value.is_empty() && line.text.accepts(&format!("{}:", line.name()), bindings));
        if !fits {
            let expected = line.text.shown(bindings);
            differences.push(format!("{file}:{}: expected {expected}\n    got {name}: {value}", line.number));
        }
    }
    for line in missing {
        let expected = line.text.shown(bindings);
        differences.push(format!("{file}:{}: expected {expected}\n    got no such header", line.number));
    }
    for (name, value) in left.into_iter().filter(|(name, _)| !unlisted.holds(name)) {
        differences.push(format!(
            "{file}:{}: got {name}: {value}\n    expected no such header",
            expected.start.number
        ));
    }
}

/// The lines of the body that differ, without what is alike before and after them.
fn body_difference(file: &str, expected: &Message, body: &str, bindings: &mut Bindings) -> String {
    let wanted: Vec<Pattern> = expected.body.lines();
    let got: Vec<&str> = body.split('\n').collect();
    let alike = |(pattern, line): &(&Pattern, &&str)| pattern.accepts(line, &mut bindings.clone());
    let before = wanted.iter().zip(got.iter()).take_while(alike).count();
    let after = wanted[before..].iter().rev().zip(got[before..].iter().rev()).take_while(alike).count();
    let mut text = format!("{file}:{}: the body differs", expected.body_line + before);
    for line in &wanted[before..wanted.len() - after] {
        let _ = write!(text, "\n    - {}", line.shown(bindings));
    }
    for line in &got[before..got.len() - after] {
        let _ = write!(text, "\n    + {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::{Step, Transcript};

    fn check(expected: &str, got: (&str, &[(&str, &str)], &str), differences: &[&str]) {
        let text = format!("title: a\n=== client\nGET / HTTP/1.1\n=== answer\n{expected}");
        let transcript = Transcript::parse("x.http", &text).unwrap();
        let Some(Step::Exchange(exchange)) = transcript.steps.first() else { panic!() };
        let headers = got.1.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let head = Head { start: got.0.to_owned(), headers };
        let found = message(
            "x.http",
            &exchange.answer,
            &head,
            got.2.as_bytes(),
            &OF_ANSWERS,
            &mut Bindings::default(),
        );
        assert_eq!(found, differences);
    }

    #[test]
    fn differences_are_told_by_line() {
        let expected =
            "HTTP/1.1 200 OK\nA: 1\nSet-Cookie: a={{s}}; Path=/\nSet-Cookie: b=2\n\none\ntwo\nthree";
        let status = "HTTP/1.1 200 OK";
        let good: &[(&str, &str)] =
            &[("set-cookie", "a=9; Path=/"), ("a", "1"), ("set-cookie", "b=2"), ("date", "x")];
        check(expected, (status, good, "one\ntwo\nthree"), &[]);
        check(
            expected,
            (status, good, "one\n2\nthree"),
            &["x.http:11: the body differs\n    - two\n    + 2"],
        );
        check(
            expected,
            ("HTTP/1.1 204 No Content", &good[..2], "one\ntwo\nthree"),
            &[
                "x.http:5: expected HTTP/1.1 200 OK\n    got HTTP/1.1 204 No Content",
                "x.http:8: expected Set-Cookie: b=2\n    got no such header",
            ],
        );
        let turned: &[(&str, &str)] =
            &[("a", "1"), ("set-cookie", "b=2"), ("set-cookie", "a=9; Path=/"), ("c", "3")];
        check(
            expected,
            (status, turned, "one\ntwo\nthree"),
            &[
                "x.http:7: expected Set-Cookie: a={{s}}; Path=/\n    got set-cookie: b=2",
                "x.http:8: expected Set-Cookie: b=2\n    got set-cookie: a=9; Path=/",
                "x.http:5: got c: 3\n    expected no such header",
            ],
        );
    }
}
