//! Requests put together from what gateways were confused with, and how they are sent.

use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use proptest::{collection, option};

use super::strange::{self, Field, Pseudo, bytes_of};
use crate::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, fields, frame};

/// `bob:looks-at-it-2`.
const BOB: &str = "Basic Ym9iOmxvb2tzLWF0LWl0LTI=";

/// Pieces of targets.
const PIECES: [&str; 52] = [
    "a\u{1}",
    "\u{7f}",
    "\u{80}b",
    "\u{ff}",
    "a\u{b}",
    "\u{1f}admin",
    "\u{c3}\u{a4}",
    "\u{85}",
    "public",
    "admin",
    "read",
    "deep",
    "x",
    "..",
    ".",
    "...",
    "",
    "%2e%2e",
    "%2E%2e",
    ".%2e",
    "%2e",
    "%252e%252e",
    "%61dmin",
    "%70ublic",
    "a%2fb",
    "..%2fadmin",
    "%2Fadmin",
    "a%5cb",
    "..\\admin",
    "a;b=c",
    "..;",
    ";x",
    "%3b",
    "a%00",
    "%00",
    "#",
    "#/public",
    "?",
    "?x=/public",
    "%3f",
    "%23",
    "%25",
    "%",
    "%zz",
    "%c0%ae%c0%ae",
    "\u{e4}",
    "%C3%A4",
    "a b",
    "a%20b",
    "~",
    "ADMIN",
    "a:b@c",
];

const QUERIES: [&str; 10] =
    ["x=1", "a=/admin", "/../../admin", "a=%2e%2e", "a#b", "?", "", "a=1&a=2&&b", "A=%zz%+%20", "x=\"'{}|^`"];

const HOSTS: [&str; 21] = [
    "a.example:x.evil",
    "b.example:80:81",
    "[a.example",
    "a.example]",
    "b.example..",
    "a.example:",
    "b.example:0080",
    "a.example",
    "A.EXAMPLE",
    "a.example.",
    "a.example:80",
    "b.example",
    "B.example:8080",
    "c.example",
    "a.example, b.example",
    "a.example@b.example",
    "b.example/a.example",
    "a.example#b.example",
    "",
    "[::1]",
    "b.example\tx",
];

pub(super) const METHODS: [&str; 14] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "delete", "PATCh",
    "PROPFIND", "G T",
];

/// Fields that confuse; each must not get past the gate, or mean nothing.
const FIELDS: [(&str, &str); 26] = [
    ("Authorization", BOB),
    ("X-Forwarded-Uri", "/public/forged"),
    ("X-Original-URL", "/public/forged"),
    ("X-Rewrite-URL", "/admin/forged"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Http-Method", "DELETE"),
    ("X-Forwarded-Host", "forged.example"),
    ("X-Forwarded-For", "forged"),
    ("Forwarded", "for=forged"),
    ("subject", "forged"),
    ("SUBJECT", "forged"),
    ("X-Forwarded-User", "forged"),
    ("X_Remote_User", "forged"),
    ("Countersign-Assertion", "forged"),
    ("Countersign.Assertion", "forged"),
    ("countersign_assertion", "forged"),
    ("Connection", "close"),
    ("Connection", "countersign-assertion"),
    ("Connection", "host, subject"),
    ("Connection", "x-nominated"),
    ("Keep-Alive", "timeout=5"),
    ("TE", "trailers, gzip"),
    ("Upgrade", "h2c"),
    ("Transfer-Encoding", "chunked"),
    ("Content-Length", "0"),
    ("Content-Length", "5"),
];

/// Names of fields that are nobody's business but the service's.
pub(super) const OWN: [&str; 6] = ["X-Own", "X-Other", "Content-Type", "Accept", "If-Match", "X-Nominated"];

const VALUES: [&str; 8] = [
    "kept",
    "",
    "one, two ,,three",
    "\"quoted; \\\" text\"",
    "a\tb  c",
    "gr\u{fc}n",
    "Host: b.example",
    "application/x-www-form-urlencoded",
];

/// Pieces of bodies: bytes that look like the end of one, and like a request behind it.
const BODIES: [&[u8]; 7] = [
    b"",
    b"abc",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"GET /public/smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    &[0, 255, 13, 10, 35],
];

/// Cookies; `Crumb` is a credential.
const COOKIES: [&str; 9] = [
    "a=1",
    "b=x%20y; c=",
    "Crumb=hush-hush",
    "Crumb=hush-hush; d=4",
    "e=5; Crumb=hush-hush; f=6",
    "g=7; Crumb=",
    "Crumbs=8",
    "crumb=9",
    "h=\"10\"",
];

/// What comes behind a body in chunks, beside a sum.
pub(super) const SUM: (&str, &str) = ("x-sum", "7");

/// What every HTTP/1.1 request has behind its head that has no body of its own: the end of one in chunks, should
/// somebody think that there is one.
const NO_BODY: &[u8] = b"0\r\n\r\n";

/// Fields that say that a body comes.
const FRAMINGS: [(&str, &str); 2] = [("Transfer-Encoding", "chunked"), ("Content-Length", "5")];

/// Tells requests apart: what reaches the service without it, nobody asked for.
pub(super) const NUMBER: &str = "X-Number";

/// A body, in the pieces in which it is sent.
#[derive(Clone, Debug)]
struct Body {
    pieces: Vec<&'static [u8]>,
    length: bool,
    trailers: bool,
}

/// A request as it is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) hosts: Vec<&'static str>,
    pub(super) fields: Vec<(&'static str, &'static str)>,
    pub(super) strange: Option<Field>,
    pub(super) cookies: Vec<&'static str>,
    /// In HTTP/2 alone.
    pub(super) pseudo: Option<Pseudo>,
    /// Whether it is one of HTTP/1.0, where it is sent in HTTP/1.
    old: bool,
    body: Option<Body>,
    /// Which of all requests it is.
    pub(super) number: String,
    /// Whether nothing comes behind it on its connection.
    last: bool,
}

/// One to three requests, which follow each other on a connection.
pub(super) fn connection() -> impl Strategy<Value = Vec<Asked>> {
    let some = proptest::prop_oneof![4 => collection::vec(asked(), 1), 1 => collection::vec(asked(), 2..4)];
    some.prop_map(|mut some| {
        if let Some(last) = some.last_mut() {
            last.last = true;
        }
        some
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let odd = proptest::prop_oneof![
        18 => select(&PIECES[..]).prop_map(str::to_owned),
        2 => "[ -~]{0,4}",
        1 => strange::bytes(),
    ];
    let plain = select(&["x", "y.z", "..", "%61", "a%20b", "public"][..]).prop_map(str::to_owned);
    // Most requests have one odd piece or none: those are the ones that get through.
    let pieces = proptest::prop_oneof![
        3 => collection::vec(plain.clone(), 0..4),
        3 => (collection::vec(plain, 0..3), odd.clone()).prop_map(|(mut pieces, odd)| {
            pieces.push(odd);
            pieces
        }),
        1 => collection::vec(odd, 0..5),
    ];
    let begin = proptest::prop_oneof![
        6 => select(&["/public", "/public", "/public", "/read", "/deep/public", "/admin"][..]),
        1 => select(&["/deep", "", "/", "//a.example", "http://a.example/public"][..]),
    ];
    let path = (begin, pieces, proptest::bool::weighted(0.2)).prop_map(|(begin, pieces, slash)| {
        let rest: String = pieces.iter().map(|piece| format!("/{piece}")).collect();
        format!("{begin}{rest}{}", if slash { "/" } else { "" })
    });
    let query =
        proptest::prop_oneof![1 => select(&QUERIES[..]).prop_map(str::to_owned), 3 => strange::query()];
    let target = (path, option::weighted(0.5, query)).prop_map(|(path, query)| match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    });
    let hosts = proptest::prop_oneof![
        8 => Just(vec!["a.example"]),
        4 => Just(vec!["b.example"]),
        1 => collection::vec(select(&HOSTS[..]), 0..3),
    ];
    let method =
        proptest::prop_oneof![4 => Just("GET"), 3 => select(&METHODS[..7]), 1 => select(&METHODS[..])];
    let confusing = proptest::prop_oneof![
        2 => Just(Vec::new()),
        3 => collection::vec(select(&FIELDS[..]), 1..3),
    ];
    let own = collection::vec((select(&OWN[..]), select(&VALUES[..])), 0..4);
    let body = (collection::vec(select(&BODIES[..]), 0..4), any::<bool>(), proptest::bool::weighted(0.3))
        .prop_map(|(pieces, length, trailers)| Body { pieces, length, trailers: trailers && !length });
    let cookies = option::weighted(0.2, collection::vec(select(&COOKIES[..]), 1..4));
    let cookies = cookies.prop_map(Option::unwrap_or_default);
    let strange = (option::weighted(0.15, strange::field()), cookies, strange::pseudo());
    let old = proptest::bool::weighted(0.05);
    (method, target, hosts, (confusing, own, any::<bool>()), option::weighted(0.5, body), strange, old)
        .prop_map(
            |(method, target, hosts, (mut fields, own, known), body, (strange, cookies, pseudo), old)| {
                fields.extend(own);
                if known {
                    fields.retain(|(name, _)| *name != "Authorization");
                    fields.push(("Authorization", BOB));
                }
                let (number, last) = (String::new(), false);
                // Nothing is there twice that is not there.
                let pseudo = pseudo.filter(|_| !hosts.is_empty());
                Asked { method, target, hosts, fields, strange, cookies, pseudo, old, body, number, last }
            },
        )
}

impl Asked {
    /// In HTTP/1.1; the end of the connection ends the answer.
    pub(super) fn http1(&self) -> Vec<u8> {
        let version = if self.old { "1.0" } else { "1.1" };
        let mut text =
            format!("{} {} HTTP/{version}\r\n{NUMBER}: {}\r\n", self.method, self.target, self.number);
        for host in &self.hosts {
            text.push_str(&format!("Host: {host}\r\n"));
        }
        if let Some(field) = &self.strange {
            text.push_str(&format!("{}: {}\r\n", field.name, field.value));
        }
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.cookies.is_empty() {
            text.push_str(&format!("Cookie: {}\r\n", self.cookies.join("; ")));
        }
        if let Some(body) = self.body.as_ref().filter(|body| body.trailers) {
            text.push_str(&format!("Trailer: {}\r\n", body.declared()));
        }
        if let Some(body) = &self.body {
            match body.length {
                true => text.push_str(&format!("Content-Length: {}\r\n", body.bytes().len())),
                false => text.push_str("Transfer-Encoding: chunked\r\n"),
            }
        }
        let mut bytes = bytes_of(&(text + "\r\n"));
        bytes.extend(self.payload());
        bytes
    }

    /// What follows the head in HTTP/1.1.
    fn payload(&self) -> Vec<u8> {
        match &self.body {
            // The next request begins where this one's framing says that it ends.
            None if !self.last && !self.fields.iter().any(|field| FRAMINGS.contains(field)) => Vec::new(),
            None => NO_BODY.to_vec(),
            Some(body) if body.length => body.bytes(),
            Some(body) => body.chunks(),
        }
    }

    /// In HTTP/2: the first host is the authority, others are `host` fields.
    pub(super) fn http2(&self, stream: u32) -> Vec<u8> {
        let mut list: Vec<(String, String)> =
            vec![(":method".into(), self.method.into()), (":scheme".into(), "http".into())];
        let mut hosts = self.hosts.iter();
        if let Some(authority) = hosts.next() {
            list.push((":authority".into(), (*authority).into()));
        }
        list.push((":path".into(), self.target.clone()));
        let (early, late): (Vec<_>, Vec<_>) = self.pseudo.iter().partition(|pseudo| !pseudo.late);
        list.extend(early.into_iter().map(|pseudo| (pseudo.name.to_owned(), pseudo.value.to_owned())));
        list.push((NUMBER.to_ascii_lowercase(), self.number.clone()));
        list.extend(self.strange.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.clone())));
        list.extend(hosts.map(|host| ("host".to_owned(), (*host).to_owned())));
        list.extend(self.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())));
        if let Some(body) = self.body.as_ref().filter(|body| body.length) {
            list.push(("content-length".into(), body.bytes().len().to_string()));
        }
        // Each cookie in a field of its own, as browsers send them (RFC 9113 section 8.2.3).
        let crumbs = self.cookies.iter().flat_map(|cookies| cookies.split("; "));
        list.extend(crumbs.map(|crumb| ("cookie".to_owned(), crumb.to_owned())));
        if let Some(body) = self.body.as_ref().filter(|body| body.trailers) {
            list.push(("trailer".into(), body.declared().to_ascii_lowercase()));
        }
        list.extend(late.into_iter().map(|pseudo| (pseudo.name.to_owned(), pseudo.value.to_owned())));
        let block = |list: &[(String, String)]| {
            let list: Vec<_> = list.iter().map(|(name, value)| (bytes_of(name), bytes_of(value))).collect();
            fields(&list.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect::<Vec<_>>())
        };
        let head = block(&list);
        let Some(body) = &self.body else { return frame(HEADERS, END_HEADERS | END_STREAM, stream, &head) };
        // In two pieces, as the pieces of a body are.
        let (first, second) = head.split_at(head.len() / 2);
        let mut bytes = frame(HEADERS, 0, stream, first);
        bytes.extend(frame(CONTINUATION, END_HEADERS, stream, second));
        for piece in &body.pieces {
            bytes.extend(frame(DATA, 0, stream, piece));
        }
        if body.trailers {
            let trailers: Vec<(String, String)> = body
                .trailing()
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
                .collect();
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&trailers)));
        } else {
            bytes.extend(frame(DATA, END_STREAM, stream, b""));
        }
        bytes
    }

    /// The body that was sent, as its framing says; `None` where the framing says two things or nothing that there is.
    pub(super) fn body(&self, http2: bool) -> Option<Vec<u8>> {
        let said = |wanted: &str| -> Vec<&str> {
            self.fields.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| *value).collect()
        };
        let (codings, mut lengths) = (
            said("Transfer-Encoding").len(),
            said("Content-Length").iter().map(|text| text.parse().unwrap()).collect::<Vec<usize>>(),
        );
        let own = self.body.as_ref().map(Body::bytes);
        if http2 {
            let bytes = own.unwrap_or_default();
            let agrees = lengths.iter().all(|length| *length == bytes.len());
            // A transfer coding is nothing there: the engine refuses it, or drops it.
            return agrees.then_some(bytes);
        }
        let codings = codings + usize::from(self.body.as_ref().is_some_and(|body| !body.length));
        lengths.extend(self.body.iter().filter(|body| body.length).map(|body| body.bytes().len()));
        match (codings, lengths.as_slice()) {
            (0, []) => Some(Vec::new()),
            (0, [first, rest @ ..]) if rest.iter().all(|other| other == first) => {
                self.payload().get(..*first).map(<[u8]>::to_vec)
            }
            // What nobody sent a body for has its end in chunks behind its head.
            (1, []) => Some(own.unwrap_or_default()),
            _ => None,
        }
    }

    /// Whether its head comes in several frames in HTTP/2.
    pub(super) fn is_in_parts(&self) -> bool {
        self.body.is_some()
    }

    pub(super) fn is_known(&self) -> bool {
        self.fields.iter().any(|(name, _)| *name == "Authorization")
    }
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    fn chunks(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in self.pieces.iter().filter(|piece| !piece.is_empty()) {
            bytes.extend(format!("{:X};x=\"y\"\r\n", piece.len()).into_bytes());
            bytes.extend(*piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n");
        if self.trailers {
            bytes.extend(
                self.trailing().iter().flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes()),
            );
        }
        bytes.extend(b"\r\n");
        bytes
    }

    /// Its trailers: one that is nobody's business, and some that say what only the gate may.
    fn trailing(&self) -> [(&'static str, &'static str); 6] {
        [
            SUM,
            ("Countersign-Assertion", "forged"),
            ("Subject", "forged"),
            ("X-Forwarded-User", "forged"),
            ("X+Forwarded~For", "forged"),
            ("Authorization", BOB),
        ]
    }

    /// All of them, as the head says what is coming: without that the engine writes none.
    fn declared(&self) -> String {
        self.trailing().map(|(name, _)| name).join(", ")
    }
}
