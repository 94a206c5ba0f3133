//! What issued values look like: literal text and random parts.

use std::fmt::Write as _;

/// Which alphabet a random part is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    Hex,
    Lower,
    Base64,
    Base64Url,
}

impl Alphabet {
    const fn letters(self) -> &'static [u8] {
        match self {
            Self::Hex => b"0123456789abcdef",
            Self::Lower => b"abcdefghijklmnopqrstuvwxyz0123456789",
            Self::Base64 => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            Self::Base64Url => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Random {
        alphabet: Alphabet,
        length: usize,
    },
    /// Eight, four, four, four and twelve hexadecimal digits with hyphens, all 128 bits random.
    Guid,
    Account,
    Tenant,
    Label,
}

/// A form such as `8A:{tenant}.{base64:64}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    parts: Vec<Part>,
}

/// What the named parts of a form are filled with.
#[derive(Clone, Copy, Debug, Default)]
pub struct FormNames<'a> {
    /// `{account}`.
    pub account: &'a str,
    /// `{tenant}`.
    pub tenant: &'a str,
    /// `{label}`.
    pub label: &'a str,
}

/// Why a form is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A brace without its partner.
    #[error("a `{{` or `}}` stands alone")]
    Brace,
    /// A part that is not on the list.
    #[error(
        "`{{{0}}}` is none of {{guid}} {{hex:N}} {{lower:N}} {{base64:N}} {{base64url:N}} {{account}} {{tenant}} {{label}}"
    )]
    Part(String),
    /// Too short to be unguessable.
    #[error("holds {0} random bits; at least 128 are needed")]
    Bits(u32),
    /// Longer than what is taken for a value of any form.
    #[error("may become {0} letters long; at most 1024 fit beside everything else in a header")]
    Length(usize),
    /// A character that some client would decode.
    #[error("`{0}` is not safe in a header and a cookie")]
    Character(char),
}

/// The least number of random bits in an issued value (THREATS T-E12).
pub const RANDOM_BITS_MIN: u32 = 128;
/// Longer values would not fit the headers of common fronts beside everything else.
const LENGTH_MAX: usize = 1024;
/// Names are cut to so many letters where a value is made.
pub const NAME_LENGTH_MAX: usize = 64;

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// See [`FormError`].
    pub fn parse(text: &str) -> Result<Self, FormError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once('{') {
            push_literal(&mut parts, literal)?;
            let (name, tail) = tail.split_once('}').ok_or(FormError::Brace)?;
            parts.push(part(name)?);
            rest = tail;
        }
        push_literal(&mut parts, rest)?;
        let form = Self { parts };
        let bits = form.random_bits();
        if bits < RANDOM_BITS_MIN {
            return Err(FormError::Bits(bits));
        }
        let length = form.parts.iter().map(|part| part.length().unwrap_or(NAME_LENGTH_MAX)).sum();
        if length > LENGTH_MAX {
            return Err(FormError::Length(length));
        }
        Ok(form)
    }

    /// A form that makes nothing, for tokens that are not made from one.
    pub(crate) const fn unused() -> Self {
        Self { parts: Vec::new() }
    }

    /// How many random bits a value of this form holds, rounded down.
    pub fn random_bits(&self) -> u32 {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(_) | Part::Account | Part::Tenant | Part::Label => 0,
                Part::Guid => 128,
                Part::Random { alphabet: Alphabet::Hex, length } => 4 * size(*length),
                // 36 letters hold 5.169 bits.
                Part::Random { alphabet: Alphabet::Lower, length } => 5169 * size(*length) / 1000,
                Part::Random { alphabet: Alphabet::Base64 | Alphabet::Base64Url, length } => {
                    6 * size(*length)
                }
            })
            .sum()
    }

    /// How many bytes [`Form::fill`] needs: one a letter, and more where letters are drawn by rejection (of 256
    /// bytes 4 are rejected for 36 letters; twice as many and 64 never run out in the life of a universe).
    pub fn bytes_wanted(&self) -> usize {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Random { alphabet: Alphabet::Lower, length } => 64 + 2 * length,
                Part::Random { alphabet: Alphabet::Hex | Alphabet::Base64 | Alphabet::Base64Url, length } => {
                    *length
                }
                Part::Guid => 16,
                Part::Literal(_) | Part::Account | Part::Tenant | Part::Label => 0,
            })
            .sum()
    }

    /// Makes a value from unpredictable bytes (at least [`Form::bytes_wanted`] of them).
    ///
    /// The same bytes give the same value, so that a derived value can be made again. Letters of alphabets that
    /// do not divide 256 are drawn by rejection: no letter is likelier than another.
    ///
    /// Returns `None` if the bytes ran out.
    pub fn fill(&self, bytes: &[u8], names: FormNames<'_>) -> Option<String> {
        let mut bytes = bytes.iter().copied();
        let mut value = String::with_capacity(48);
        for part in &self.parts {
            match part {
                Part::Literal(text) => value.push_str(text),
                Part::Account => value.push_str(names.account),
                Part::Tenant => value.push_str(names.tenant),
                Part::Label => value.push_str(names.label),
                Part::Guid => {
                    for at in 0..16 {
                        if matches!(at, 4 | 6 | 8 | 10) {
                            value.push('-');
                        }
                        write!(value, "{:02x}", bytes.next()?).ok()?;
                    }
                }
                Part::Random { alphabet, length } => {
                    let letters = alphabet.letters();
                    let before = value.len();
                    if letters.len().is_power_of_two() {
                        // Every byte is fair; this is what each request with a CSRF token does.
                        let letter = |byte| letters.get(usize::from(byte) & (letters.len() - 1));
                        let drawn = bytes.by_ref().take(*length).filter_map(letter);
                        value.extend(drawn.copied().map(char::from));
                    } else {
                        let fair = 256 - 256 % letters.len();
                        let fair = bytes.by_ref().map(usize::from).filter(|byte| *byte < fair);
                        let drawn = fair.filter_map(|byte| letters.get(byte % letters.len()));
                        value.extend(drawn.take(*length).copied().map(char::from));
                    }
                    if value.len() - before < *length {
                        return None;
                    }
                }
            }
        }
        Some(value)
    }

    /// Whether a value could be of this form; what stands for account, tenant or label may be anything.
    pub fn could_be(&self, value: &str) -> bool {
        value.len() <= LENGTH_MAX && fits(&self.parts, value)
    }

    /// Whether a value could hold a dot, as JWTs do.
    pub fn could_have_dots(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Literal(text) => text.contains('.'),
            Part::Account | Part::Tenant | Part::Label => true,
            Part::Guid | Part::Random { .. } => false,
        })
    }

    /// The literal text before the first part that is not literal; two forms in one place are told apart by it.
    pub fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            Some(_) | None => "",
        }
    }

    /// Whether a value can be of both forms, as far as their shapes tell; errs towards yes.
    pub fn overlaps(&self, other: &Self) -> bool {
        let names = FormNames { account: "a", tenant: "t", label: "l" };
        let sample = |form: &Self| form.fill(&SAMPLE, names).unwrap_or_default();
        self.could_be(&sample(other)) || other.could_be(&sample(self))
    }
}

/// Whether a value is made of these parts.
///
/// What stands between two names has a length, and is looked for as far to the left as it can be: what follows has the
/// most room then, so that nothing is ever tried anew. At the worst each letter is compared with each of the form's, a
/// million times; trying every length of every name would take as many steps for three names and a thousand times as many
/// for each more.
fn fits(parts: &[Part], value: &str) -> bool {
    let mut groups = parts.split(|part| part.length().is_none()).peekable();
    let Some(mut rest) = groups.next().and_then(|first| strip(first, value)) else { return false };
    while let Some(group) = groups.next() {
        let is_last = groups.peek().is_none();
        let found = if is_last {
            let length: usize = group.iter().filter_map(Part::length).sum();
            rest.len().checked_sub(length).and_then(|at| strip(group, rest.get(at..)?))
        } else {
            (0..=rest.len()).find_map(|at| strip(group, rest.get(at..)?))
        };
        let Some(after) = found else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// What follows parts that are no names.
fn strip<'v>(parts: &[Part], value: &'v str) -> Option<&'v str> {
    parts.iter().try_fold(value, |rest, part| match part {
        Part::Literal(text) => rest.strip_prefix(text.as_str()),
        Part::Guid => strip_guid(rest),
        Part::Random { alphabet, length } => strip_random(rest, *alphabet, *length),
        Part::Account | Part::Tenant | Part::Label => None,
    })
}

impl Part {
    /// Its length in bytes, if it always has the same.
    fn length(&self) -> Option<usize> {
        match self {
            Self::Literal(text) => Some(text.len()),
            Self::Random { length, .. } => Some(*length),
            Self::Guid => Some(GUID_LENGTH),
            Self::Account | Self::Tenant | Self::Label => None,
        }
    }
}

/// Hexadecimal digits and hyphens.
const GUID_LENGTH: usize = 36;

/// Bytes that fill any form of legal length with a letter of each kind.
static SAMPLE: [u8; 4 * LENGTH_MAX] = [10; 4 * LENGTH_MAX];

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX / 8192)
}

fn push_literal(parts: &mut Vec<Part>, literal: &str) -> Result<(), FormError> {
    if literal.contains('}') {
        return Err(FormError::Brace);
    }
    // RFC 6265 section 4.1.1 (cookie-octet), less `%`, which clients decode.
    if let Some(bad) =
        literal.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '"' | ',' | ';' | '\\' | '%'))
    {
        return Err(FormError::Character(bad));
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.to_owned()));
    }
    Ok(())
}

fn part(name: &str) -> Result<Part, FormError> {
    let unknown = || FormError::Part(name.to_owned());
    let (word, length) = match name.split_once(':') {
        Some((word, length)) => {
            let length = length.parse().ok().filter(|n| (1..=LENGTH_MAX).contains(n)).ok_or_else(unknown)?;
            (word, Some(length))
        }
        None => (name, None),
    };
    let random = |alphabet| move |length| Part::Random { alphabet, length };
    match (word, length) {
        ("guid", None) => Ok(Part::Guid),
        ("account", None) => Ok(Part::Account),
        ("tenant", None) => Ok(Part::Tenant),
        ("label", None) => Ok(Part::Label),
        ("hex", Some(length)) => Ok(random(Alphabet::Hex)(length)),
        ("lower", Some(length)) => Ok(random(Alphabet::Lower)(length)),
        ("base64", Some(length)) => Ok(random(Alphabet::Base64)(length)),
        ("base64url", Some(length)) => Ok(random(Alphabet::Base64Url)(length)),
        _ => Err(unknown()),
    }
}

fn strip_guid(text: &str) -> Option<&str> {
    let head = text.get(..GUID_LENGTH)?;
    let good = head.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
    });
    if good { text.get(GUID_LENGTH..) } else { None }
}

fn strip_random(text: &str, alphabet: Alphabet, length: usize) -> Option<&str> {
    let head = text.get(..length)?;
    let letters = alphabet.letters();
    if head.bytes().all(|byte| letters.contains(&byte)) { text.get(length..) } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    const NAMES: FormNames<'_> = FormNames { account: "ann", tenant: "Cust1", label: "pos" };

    #[test]
    fn a_form_is_no_longer_than_what_is_recognized() {
        let longest = "{account}:{hex:900}.{hex:58}";
        let names = FormNames { account: &"a".repeat(NAME_LENGTH_MAX), ..NAMES };
        let value = Form::parse(longest).unwrap().fill(&[7; 1000], names).unwrap();
        assert!(value.len() == LENGTH_MAX && Form::parse(longest).unwrap().could_be(&value));
        assert!(matches!(Form::parse("{account}:{hex:900}.{hex:59}"), Err(FormError::Length(1025))));
    }

    #[test]
    fn every_form_recognizes_what_it_makes() {
        let bytes: Vec<u8> = (0..2048_u32).map(|n| (n * 7 + n / 256) as u8).collect();
        for text in [
            "{guid}",
            "{lower:26}",
            "7T:{base64:64}",
            "8A:{tenant}.{base64:64}",
            "{base64url:43}",
            "key_{label}_{hex:32}",
            "{hex:32}{account}",
        ] {
            let form = Form::parse(text).unwrap();
            let value = form.fill(&bytes, NAMES).unwrap();
            assert!(form.could_be(&value), "{text}: {value}");
            assert!(
                !form.could_be(&value[1..]) || text.starts_with('{') && text.contains("account"),
                "{text}"
            );
            assert!(!form.could_be("") && !form.could_be("x"), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Form::parse(text).unwrap_err().to_string(), expected, "{text}");
        };
        check("{hex:12}", "holds 48 random bits; at least 128 are needed");
        check("{guid", "a `{` or `}` stands alone");
        check("guid}", "a `{` or `}` stands alone");
        check("{guid}%", "`%` is not safe in a header and a cookie");
        check(
            "{hex:x}",
            "`{hex:x}` is none of {guid} {hex:N} {lower:N} {base64:N} {base64url:N} {account} {tenant} {label}",
        );
        check("{lower:24}", "holds 124 random bits; at least 128 are needed");
    }

    #[test]
    fn forms_are_told_apart_by_shape() {
        let form = |text| Form::parse(text).unwrap();
        assert!(!form("{guid}").overlaps(&form("{base64url:43}")));
        assert!(form("{base64url:43}").overlaps(&form("{base64:43}")));
        assert!(!form("7T:{base64:64}").overlaps(&form("8A:{tenant}.{base64:64}")));
    }

    #[test]
    fn names_may_hold_what_follows_them() {
        let check = |form: &str, value: &str, expected: bool| {
            assert_eq!(Form::parse(form).unwrap().could_be(value), expected, "{form} {value}");
        };
        let hex = "0".repeat(32);
        check("{tenant}.{hex:32}", &format!("north.example.{hex}"), true);
        check("{tenant}{hex:32}", &format!("north{hex}"), true);
        check("{hex:32}{tenant}", &format!("{hex}north"), true);
        check("{tenant}.{account}-{hex:32}", &format!("a.b.c-d-{hex}"), true);
        check("{tenant}.{account}-{hex:32}", &format!("a-b{hex}"), false);
        check("{tenant}.{hex:32}", &format!("north{hex}"), false);
        check("{tenant}.{hex:32}", &format!("north.{hex}0g"), false);
        check("{tenant}{hex:32}", &format!("\u{e4}{hex}"), true);
        check("{tenant}{hex:32}", "\u{e4}\u{e4}\u{e4}", false);
        check("{tenant}.{hex:32}", &format!("{}.{hex}", "x".repeat(LENGTH_MAX)), false);
    }

    #[test]
    fn many_names_cost_whoever_shows_a_token_no_more_than_one() {
        // Each name could be of any length: there are more ways to cut this than could ever be tried.
        let form = Form::parse(&"{label}-".repeat(12).replacen("{label}-", "{hex:32}{label}-", 1)).unwrap();
        let value = format!("{}{}x", "0".repeat(32), "-".repeat(900));
        assert!(!form.could_be(&value));
        assert!(form.could_be(value.trim_end_matches('x')));
    }

    /// Tries every length of every name.
    fn could_be_cut(parts: &[Part], value: &str) -> bool {
        let Some((part, others)) = parts.split_first() else { return value.is_empty() };
        match part.length() {
            Some(_) => {
                strip(std::slice::from_ref(part), value).is_some_and(|rest| could_be_cut(others, rest))
            }
            None => {
                (0..=value.len()).any(|at| value.get(at..).is_some_and(|rest| could_be_cut(others, rest)))
            }
        }
    }

    #[test]
    fn the_first_place_is_as_good_as_any() {
        let pick = |draw: &mut u64, of: &[&str]| {
            *draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            of[(*draw >> 33) as usize % of.len()].to_owned()
        };
        let (mut draw, mut good) = (1, 0);
        for _ in 0..20_000 {
            let count = pick(&mut draw, &["12345", "1234", "123"]).len();
            let parts: Vec<Part> = (0..count)
                .map(|_| match &*pick(&mut draw, &["", "", "a", "ab", "-", "\u{1}", "\u{2}"]) {
                    "" => Part::Label,
                    "\u{1}" => Part::Random { alphabet: Alphabet::Hex, length: 1 },
                    "\u{2}" => Part::Random { alphabet: Alphabet::Lower, length: 2 },
                    literal => Part::Literal(literal.to_owned()),
                })
                .collect();
            let value: String =
                (0..9).map(|_| pick(&mut draw, &["", "a", "a", "b", "-", "ab", "z", "\u{e4}"])).collect();
            let fit = fits(&parts, &value);
            assert_eq!(fit, could_be_cut(&parts, &value), "{parts:?} {value}");
            good += usize::from(fit);
        }
        assert!((1000..19_000).contains(&good), "{good} of them fit");
    }
}
