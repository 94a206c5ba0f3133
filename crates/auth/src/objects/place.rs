//! Where an id stands, in the configuration's words.

use http::HeaderName;

use crate::canonical::header_name::folded;
use crate::dialect::pattern::Pattern;
use crate::objects::name::{parameter, same_name, steps};

/// Where an id stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// `path NAME`: a variable of the route's path.
    Path(String),
    /// `query NAME`: a parameter, or one of a form.
    Query(String),
    /// `header NAME`.
    Header(HeaderName),
    /// `body POINTER`: of a JSON document or a form.
    Body(String),
    /// `location PATTERN`: the variable `{id}` in the path of `Location` and `Content-Location`.
    Location(Pattern),
}

/// Which of the two messages a place is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Answer,
}

/// The variable of a location.
pub(super) const ID: &str = "id";

impl Place {
    /// Reads a place of a message.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn parse(text: &str, message: Message) -> Result<Self, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        let wrong = || {
            let places = match message {
                Message::Request => "`path NAME`, `query NAME`, `header NAME` or `body /POINTER`",
                Message::Answer => "`location /PATTERN/{id}`, `header NAME` or `body /POINTER`",
            };
            format!("`{text}` is none of {places}")
        };
        if rest.is_empty() {
            return Err(wrong());
        }
        match (word, message) {
            ("path", Message::Request) => Ok(Self::Path(rest.to_owned())),
            ("query", Message::Request) => Ok(Self::Query(rest.to_owned())),
            ("header", _) => match HeaderName::from_bytes(rest.as_bytes()) {
                Ok(name) => Ok(Self::Header(name)),
                Err(_) => Err(format!("`{rest}` is no header name")),
            },
            ("body", _) => Ok(Self::Body(rest.to_owned())),
            ("location", Message::Answer) => {
                let pattern = Pattern::parse(rest)?;
                if !pattern.has_variable(ID) || !pattern.methods().is_empty() {
                    return Err(format!(
                        "`{text}`: a location is a path with the variable {{id}}, like /baskets/{{id}}/**"
                    ));
                }
                Ok(Self::Location(pattern))
            }
            (_, _) => Err(wrong()),
        }
    }
}

/// Whether two places of one message, as rules write them, are one to whoever reads that: fields in any spelling, parameters
/// by their steps. Variables of a path are told by where they stand, which their pattern knows.
pub(crate) fn same_place(own: &str, other: &str) -> bool {
    let read = |text| Place::parse(text, Message::Request).or_else(|_| Place::parse(text, Message::Answer));
    match (read(own), read(other)) {
        (Ok(Place::Header(own)), Ok(Place::Header(other))) => folded(own.as_str()) == folded(other.as_str()),
        (Ok(Place::Query(own)), Ok(Place::Query(other))) => match (parameter(&own), parameter(&other)) {
            (Ok(own), Ok(other)) => {
                steps(&own).count() == steps(&other).count()
                    && steps(&own).zip(steps(&other)).all(|(own, other)| same_name(own, other))
            }
            (_, _) => false,
        },
        (_, _) => own == other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Place};

    #[test]
    fn places_are_read_or_told_apart() {
        let check = |text: &str, request: bool, answer: bool| {
            assert_eq!(Place::parse(text, Message::Request).is_ok(), request, "{text}");
            assert_eq!(Place::parse(text, Message::Answer).is_ok(), answer, "{text}");
        };
        check("path customer", true, false);
        check("query customerId", true, false);
        check("header x-customer", true, true);
        check("header x customer", false, false);
        check("body /customerId", true, true);
        check("location /baskets/{id}/**", false, true);
        check("location /baskets/{basket}", false, false);
        check("location GET /baskets/{id}", false, false);
        check("location baskets/{id}", false, false);
        check("cookie a", false, false);
        check("path", false, false);
        check("path ", false, false);
        check("", false, false);
    }
}
