//! Requests put together from what gateways were confused with, and how they are sent.

use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use proptest::{collection, option};

use crate::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, fields, frame};

/// `bob:looks-at-it-2`.
const BOB: &str = "Basic Ym9iOmxvb2tzLWF0LWl0LTI=";

/// Pieces of targets.
const PIECES: [&str; 44] = [
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

/// What comes behind a body in chunks, beside a sum.
pub(super) const SUM: (&str, &str) = ("x-sum", "7");

/// What every HTTP/1.1 request has behind its head that has no body of its own: the end of one in chunks, should
/// somebody think that there is one.
const NO_BODY: &[u8] = b"0\r\n\r\n";

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
    body: Option<Body>,
}

pub(super) fn asked() -> impl Strategy<Value = Asked> {
    let odd = proptest::prop_oneof![9 => select(&PIECES[..]).prop_map(str::to_owned), 1 => "[ -~]{0,4}"];
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
        6 => select(&["/public", "/read", "/deep/public", "/admin"][..]),
        1 => select(&["/deep", "", "/", "//a.example", "http://a.example/public"][..]),
    ];
    let path = (begin, pieces, proptest::bool::weighted(0.2)).prop_map(|(begin, pieces, slash)| {
        let rest: String = pieces.iter().map(|piece| format!("/{piece}")).collect();
        format!("{begin}{rest}{}", if slash { "/" } else { "" })
    });
    let target = (path, option::weighted(0.4, select(&QUERIES[..]))).prop_map(|(path, query)| match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    });
    let hosts = proptest::prop_oneof![
        8 => Just(vec!["a.example"]),
        4 => Just(vec!["b.example"]),
        1 => collection::vec(select(&HOSTS[..]), 0..3),
    ];
    let method = proptest::prop_oneof![4 => Just("GET"), 2 => select(&METHODS[..])];
    let confusing = collection::vec(select(&FIELDS[..]), 0..3);
    let own = collection::vec((select(&OWN[..]), select(&VALUES[..])), 0..4);
    let body = (collection::vec(select(&BODIES[..]), 0..4), any::<bool>(), proptest::bool::weighted(0.3))
        .prop_map(|(pieces, length, trailers)| Body { pieces, length, trailers: trailers && !length });
    (method, target, hosts, (confusing, own, any::<bool>()), option::weighted(0.5, body)).prop_map(
        |(method, target, hosts, (mut fields, own, known), body)| {
            fields.extend(own);
            if known {
                fields.retain(|(name, _)| *name != "Authorization");
                fields.push(("Authorization", BOB));
            }
            Asked { method, target, hosts, fields, body }
        },
    )
}

impl Asked {
    /// In HTTP/1.1; the end of the connection ends the answer.
    pub(super) fn http1(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for host in &self.hosts {
            text.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            match body.length {
                true => text.push_str(&format!("Content-Length: {}\r\n", body.bytes().len())),
                false => text.push_str("Transfer-Encoding: chunked\r\n"),
            }
        }
        let mut bytes = (text + "\r\n").into_bytes();
        bytes.extend(self.payload());
        bytes
    }

    /// What follows the head in HTTP/1.1.
    fn payload(&self) -> Vec<u8> {
        match &self.body {
            None => NO_BODY.to_vec(),
            Some(body) if body.length => body.bytes(),
            Some(body) => body.chunks(),
        }
    }

    /// In HTTP/2: the first host is the authority, others are `host` fields.
    pub(super) fn http2(&self) -> Vec<u8> {
        let mut list: Vec<(String, String)> =
            vec![(":method".into(), self.method.into()), (":scheme".into(), "http".into())];
        let mut hosts = self.hosts.iter();
        if let Some(authority) = hosts.next() {
            list.push((":authority".into(), (*authority).into()));
        }
        list.push((":path".into(), self.target.clone()));
        list.extend(hosts.map(|host| ("host".to_owned(), (*host).to_owned())));
        list.extend(self.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())));
        if let Some(body) = self.body.as_ref().filter(|body| body.length) {
            list.push(("content-length".into(), body.bytes().len().to_string()));
        }
        let block = |list: &[(String, String)]| {
            fields(&list.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect::<Vec<_>>())
        };
        let head = block(&list);
        let Some(body) = &self.body else { return frame(HEADERS, END_HEADERS | END_STREAM, 1, &head) };
        // In two pieces, as the pieces of a body are.
        let (first, second) = head.split_at(head.len() / 2);
        let mut bytes = frame(HEADERS, 0, 1, first);
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, second));
        for piece in &body.pieces {
            bytes.extend(frame(DATA, 0, 1, piece));
        }
        if body.trailers {
            let trailers: Vec<(String, String)> = body
                .trailing()
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
                .collect();
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&trailers)));
        } else {
            bytes.extend(frame(DATA, END_STREAM, 1, b""));
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
    fn trailing(&self) -> [(&'static str, &'static str); 4] {
        [SUM, ("Countersign-Assertion", "forged"), ("Subject", "forged"), ("X-Forwarded-User", "forged")]
    }
}
