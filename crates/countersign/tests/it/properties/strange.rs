//! What is put together of any bytes: fields, pseudo-fields, queries. A `char` up to U+00FF is one byte of what is sent.

use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use proptest::{collection, option};

/// Sent as a line that goes on in the next one.
const FOLD: char = '\u{100}';

/// The bytes that are sent of a text.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for char in text.chars() {
        match u8::try_from(u32::from(char)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(b"\r\n "),
        }
    }
    bytes
}

/// A text as whoever reads what was sent shows it.
pub(super) fn shown(text: &str) -> String {
    String::from_utf8_lossy(&bytes_of(text)).into_owned()
}

/// What must become of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody reads it in one way: the request does not reach the service.
    Refused,
    /// It looks like what only the gate or fronts may say.
    Gone,
    Kept,
}

/// A field whose name and value are made of any bytes.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
    named: Fate,
}

impl Field {
    pub(super) fn fate(&self) -> Fate {
        let is_control = |char: char| char == FOLD || (char.is_ascii_control() && char != '\t');
        if self.value.contains(is_control) { Fate::Refused } else { self.named }
    }
}

/// Names that services believe; what stands between their words is changed.
const BELIEVED: [&str; 8] = [
    "X-Forwarded-For",
    "X-Original-URL",
    "X-Real-IP",
    "Countersign-Assertion",
    "Remote-User",
    "X-Auth-Request-User",
    "X-HTTP-Method-Override",
    "Proxy-Authorization",
];

/// What stands in no name (RFC 9110 section 5.6.2).
const UNNAMED: [char; 14] =
    [' ', '\t', '\0', '\u{7f}', '\u{e4}', '(', '"', '/', '@', '\r', '\n', '[', '{', '\u{1}'];

pub(super) fn field() -> impl Strategy<Value = Field> {
    let believed = (select(&BELIEVED[..]), select(&b"!#$%&'*+.^_`|~-"[..]))
        .prop_map(|(name, between)| (name.replace('-', &char::from(between).to_string()), Fate::Gone));
    let own = "[a-z0-9!#$%&'*+.^_`|~-]{0,6}".prop_map(|end| (format!("x-any-{end}"), Fate::Kept));
    let unnamed = (select(&UNNAMED[..]), "[a-z]{0,2}")
        .prop_map(|(byte, end)| (format!("x-any{byte}{end}"), Fate::Refused));
    let name = proptest::prop_oneof![3 => believed, 3 => own, 1 => unnamed];
    let piece = proptest::prop_oneof![
        4 => select(&["v", "a, b", " ", "\t", ":", "x-other: forged"][..]).prop_map(str::to_owned),
        2 => any::<u8>().prop_map(|byte| char::from(byte).to_string()),
        1 => select(&["\r", "\n", "\0", "\u{7f}", "\u{100}"][..]).prop_map(str::to_owned),
    ];
    let value = collection::vec(piece, 0..4).prop_map(|pieces| {
        // A line of its own would be a field of its own.
        pieces.concat().replace("\r\n", "\r")
    });
    (name, value).prop_map(|((name, named), value)| Field { name, value, named })
}

/// A pseudo-field of HTTP/2 that is there already, is nobody's, or comes behind other fields (RFC 9113 section 8.3).
#[derive(Clone, Debug)]
pub(super) struct Pseudo {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    pub(super) late: bool,
}

pub(super) fn pseudo() -> impl Strategy<Value = Option<Pseudo>> {
    let twice =
        select(&[(":path", "/public/other"), (":method", "GET"), (":scheme", "http"), (":path", "")][..]);
    let foreign = select(&[(":status", "200"), (":odd", "x"), (":", "x")][..]);
    let late = select(&[(":path", "/public/other"), (":method", "POST"), (":authority", "b.example")][..]);
    let one = proptest::prop_oneof![(twice, Just(false)), (foreign, any::<bool>()), (late, Just(true)),];
    option::weighted(0.05, one.prop_map(|((name, value), late)| Pseudo { name, value, late }))
}

/// Bytes of any kind, of which some stand for themselves in no target.
pub(super) fn bytes() -> impl Strategy<Value = String> {
    collection::vec(any::<u8>(), 0..5).prop_map(|bytes| bytes.into_iter().map(char::from).collect())
}

pub(super) fn query() -> impl Strategy<Value = String> {
    let pair = proptest::prop_oneof![
        4 => "[a-z]{0,2}(=([ -~&&[^# ]]|%[0-9a-fA-F]{2}){0,4})?",
        8 => select(&["ticket=hush-hush", "%74icket=hush-hush", "ticke%74=", "ticket", "Ticket=other"][..])
            .prop_map(str::to_owned),
        1 => bytes().prop_map(|bytes| bytes.replace(['#', ' ', '\r', '\n'], "+")),
    ];
    collection::vec(pair, 0..3).prop_map(|pairs| pairs.join("&"))
}
