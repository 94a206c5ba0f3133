//! The reader of `.http` files.

use std::time::Duration;

use super::pattern::Pattern;
use super::{Claims, Exchange, Line, Load, Manners, Message, Reach, Step, Transcript};

/// A section: its `===` line's words and the lines below it.
struct Section<'t> {
    line: usize,
    words: Vec<&'t str>,
    lines: Vec<(usize, &'t str)>,
}

/// An exchange whose sections are still coming in.
struct Open {
    connection: u8,
    client: Message,
    upstream: Option<Message>,
    claims: Vec<Claims>,
    reply: Option<Message>,
}

pub(super) fn transcript(file: &str, text: &str) -> Result<Transcript, String> {
    read(file, text).map_err(|(line, message)| format!("{file}:{line}: {message}"))
}

type Mistake = (usize, String);

fn read(file: &str, text: &str) -> Result<Transcript, Mistake> {
    let (head, sections) = sections(text);
    let name = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".http").to_owned();
    let mut transcript =
        Transcript { name, file: file.to_owned(), shows: Vec::new(), api: None, steps: Vec::new() };
    let mut titled = false;
    for (number, line) in head {
        let (key, value) = match line.split_once(':') {
            Some((key, value)) => (key, value.trim()),
            None if line.is_empty() || line.starts_with('#') => continue,
            None => return Err((number, format!("`{line}` is no `key: value`"))),
        };
        match key {
            "title" => titled = !value.is_empty(),
            "shows" => transcript.shows = value.split_whitespace().map(str::to_owned).collect(),
            "api" => transcript.api = Some(value.to_owned()),
            _ if line.starts_with('#') => {}
            _ => return Err((number, format!("`{key}` is none of title, shows, api"))),
        }
    }
    if !titled {
        return Err((1, "has no title".to_owned()));
    }
    let mut open: Option<Open> = None;
    for section in sections {
        take(&mut transcript.steps, &mut open, &section)?;
    }
    if let Some(open) = open {
        return Err((open.client.start.number, "the client gets no `=== answer`".to_owned()));
    }
    Ok(transcript)
}

fn sections(text: &str) -> (Vec<(usize, &str)>, Vec<Section<'_>>) {
    let mut head = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if let Some(words) = line.strip_prefix("===") {
            sections.push(Section {
                line: number,
                words: words.split_whitespace().collect(),
                lines: Vec::new(),
            });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push((number, line));
        } else {
            head.push((number, line));
        }
    }
    (head, sections)
}

fn take(steps: &mut Vec<Step>, open: &mut Option<Open>, section: &Section<'_>) -> Result<(), Mistake> {
    let mistake = |message: &str| (section.line, message.to_owned());
    match (section.words.as_slice(), open.as_mut()) {
        (["client", rest @ ..], None) => {
            let connection = match rest {
                [] => 1,
                [number] => number.parse().map_err(|_| mistake("the connection is no number"))?,
                _ => return Err(mistake("too many words")),
            };
            let client = message(section)?;
            *open = Some(Open { connection, client, upstream: None, claims: Vec::new(), reply: None });
        }
        (["upstream"], Some(open)) if open.upstream.is_none() => open.upstream = Some(message(section)?),
        (["claims", name], Some(open)) => open.claims.push(claims(section, name)?),
        (["reply"], Some(open)) if open.upstream.is_some() && open.reply.is_none() => {
            open.reply = Some(message(section)?);
        }
        (["answer"], Some(_)) => {
            let Some(open) = open.take() else { return Err(mistake("no `=== client` before it")) };
            let answer = message(section)?;
            steps.push(Step::Exchange(Box::new(Exchange {
                connection: open.connection,
                client: open.client,
                upstream: open.upstream,
                claims: open.claims,
                reply: open.reply,
                answer,
            })));
        }
        // Claims may also be looked at once the client has its answer.
        (["claims", name], None) => match steps.last_mut() {
            Some(Step::Exchange(exchange)) => exchange.claims.push(claims(section, name)?),
            Some(Step::Wait(_) | Step::Store(_) | Step::Service(_) | Step::Passwords(_)) | None => {
                return Err(mistake("no exchange before it"));
            }
        },
        (["wait", span], None) => {
            empty(section)?;
            steps.push(Step::Wait(duration(span).ok_or_else(|| mistake("no time such as 31m"))?));
        }
        (["store", reach @ ("up" | "down")], None) => {
            empty(section)?;
            steps.push(Step::Store(if *reach == "up" { Reach::Up } else { Reach::Down }));
        }
        (["service", manners @ ("up" | "down" | "silent")], None) => {
            empty(section)?;
            steps.push(Step::Service(match *manners {
                "up" => Manners::Up,
                "down" => Manners::Down,
                _ => Manners::Silent,
            }));
        }
        (["passwords", load @ ("busy" | "free")], None) => {
            empty(section)?;
            steps.push(Step::Passwords(if *load == "busy" { Load::Busy } else { Load::Free }));
        }
        (["client" | "wait" | "store" | "service" | "passwords", ..], Some(_)) => {
            return Err(mistake("an `=== answer` must come first"));
        }
        (["upstream" | "reply" | "answer"], _) => return Err(mistake("it does not belong here")),
        (words, _) => return Err((section.line, format!("`=== {}` is unknown", words.join(" ")))),
    }
    Ok(())
}

/// Sections without content hold at most remarks and empty lines.
fn empty(section: &Section<'_>) -> Result<(), Mistake> {
    match section.lines.iter().find(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        Some((number, _)) => Err((*number, "nothing may stand here".to_owned())),
        None => Ok(()),
    }
}

fn message(section: &Section<'_>) -> Result<Message, Mistake> {
    let mut lines = section.lines.iter();
    let mut head = Vec::new();
    let mut body_line = section.line + 1;
    for (number, line) in lines.by_ref() {
        body_line = number + 1;
        if line.is_empty() {
            break;
        }
        let text = Pattern::parse(line).map_err(|error| (*number, error))?;
        head.push(Line { number: *number, text });
    }
    if head.is_empty() {
        return Err((section.line, "is empty".to_owned()));
    }
    let start = head.remove(0);
    for header in &head {
        if !header.text.beginning().contains(':') {
            return Err((header.number, "is no header line".to_owned()));
        }
    }
    let body: Vec<&str> = lines.map(|(_, line)| *line).collect();
    let body = Pattern::parse(&body.join("\n")).map_err(|error| (body_line, error))?;
    Ok(Message { start, headers: head, body, body_line })
}

fn claims(section: &Section<'_>, name: &str) -> Result<Claims, Mistake> {
    let text: Vec<&str> = section.lines.iter().map(|(_, line)| *line).collect();
    let members = serde_json::from_str(&text.join("\n"))
        .map_err(|error| (section.line + error.line(), format!("no JSON object: {error}")))?;
    Ok(Claims { line: section.line, name: name.to_owned(), members })
}

/// `31m`, `90s`, `2h`, `3d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.get(..text.len() - 1)?.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "title: A title\nshows: E1 E2\napi: ece\n\n=== client 2\nPOST /a HTTP/1.1\nHost: a\n\n\
        {\n\n}\n=== upstream\nPOST /a HTTP/1.1\nX: {{a:jwt}}\n\n=== claims a\n{\"sub\":\"1\",\n\"b\":null}\n\
        === reply\nHTTP/1.1 200 OK\n\n=== answer\nHTTP/1.1 200 OK\n\n=== wait 31m\n# a remark\n=== store down\n\
        === service silent\n=== passwords busy\n";

    #[test]
    fn a_transcript_is_read_with_its_lines() {
        let transcript = Transcript::parse("x/small.http", SMALL).unwrap();
        assert_eq!(transcript.name, "small");
        assert_eq!(transcript.shows, ["E1", "E2"]);
        assert_eq!(transcript.api.as_deref(), Some("ece"));
        let [
            Step::Exchange(exchange),
            Step::Wait(span),
            Step::Store(Reach::Down),
            Step::Service(Manners::Silent),
            Step::Passwords(Load::Busy),
        ] = transcript.steps.as_slice()
        else {
            panic!("{:?}", transcript.steps);
        };
        assert_eq!(*span, Duration::from_secs(31 * 60));
        assert_eq!(exchange.connection, 2);
        assert_eq!(exchange.client.start.number, 6);
        assert_eq!(exchange.client.body.beginning(), "{\n\n}");
        assert_eq!(exchange.client.body_line, 9);
        assert!(exchange.answer.body.is_empty());
        assert_eq!(exchange.claims[0].members.len(), 2);
        assert_eq!(exchange.upstream.as_ref().unwrap().headers[0].name(), "X");
    }

    #[test]
    fn mistakes_name_their_line() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Transcript::parse("x.http", text).unwrap_err(), expected);
        };
        check("shows: E1\n", "x.http:1: has no title");
        check("title: a\nfoo: b\n", "x.http:2: `foo` is none of title, shows, api");
        check("title: a\n=== answer\nHTTP/1.1 200 OK\n", "x.http:2: it does not belong here");
        check("title: a\n=== client\nGET / HTTP/1.1\n", "x.http:3: the client gets no `=== answer`");
        check("title: a\n=== client\n\n", "x.http:2: is empty");
        check("title: a\n=== client\nGET / HTTP/1.1\nHost\n", "x.http:4: is no header line");
        check("title: a\n=== client\nGET /{{a HTTP/1.1\n", "x.http:3: `{{` without `}}`");
        check("title: a\n=== wait soon\n", "x.http:2: no time such as 31m");
        check("title: a\n=== wait 1m\nGET /\n", "x.http:3: nothing may stand here");
        check("title: a\n=== dance\n", "x.http:2: `=== dance` is unknown");
        check(
            "title: a\n=== client\nGET / HTTP/1.1\n=== wait 1m\n",
            "x.http:4: an `=== answer` must come first",
        );
        check(
            "title: a\n=== client\nGET / HTTP/1.1\n=== reply\nHTTP/1.1 200 OK\n",
            "x.http:4: it does not belong here",
        );
    }
}
