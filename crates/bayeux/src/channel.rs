//! Names of channels, and patterns over them.

use std::fmt;
use std::sync::Arc;

use crate::limits::{CHANNEL_BYTES_MAX, CHANNEL_SEGMENTS_MAX};

/// Why a text is no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Longer than [`CHANNEL_BYTES_MAX`] or with more than [`CHANNEL_SEGMENTS_MAX`] segments.
    #[error("the channel name is too long")]
    TooLong,
    /// Not `/` and segments of letters, digits and `-_!~()$@.`.
    #[error("the channel name is malformed")]
    Malformed,
    /// `*` or `**` elsewhere than as the whole last segment, or where a plain channel is asked for.
    #[error("a wildcard stands where none may")]
    Wildcard,
}

/// A channel that an event is published on: `/v2/me/devices`. No wildcard.
///
/// Bayeux 1.0 section 2.2: segments of letters, digits and `-_!~()$@`; `.` is let in as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel(Arc<str>);

/// What is subscribed to: a channel, or one whose last segment is `*` (one segment) or `**` (one or more).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Arc<str>,
    wild: Wild,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wild {
    None,
    One,
    Any,
}

impl Channel {
    /// Reads a channel's name.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        match Pattern::parse(text)? {
            Pattern { text, wild: Wild::None } => Ok(Self(text)),
            Pattern { wild: Wild::One | Wild::Any, .. } => Err(ChannelError::Wildcard),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of Bayeux's own: `/meta` or below.
    pub fn is_meta(&self) -> bool {
        is_below(&self.0, "/meta")
    }

    /// Whether what is published there is meant for the server alone: `/service` or below.
    pub fn is_service(&self) -> bool {
        is_below(&self.0, "/service")
    }

    /// The texts of all patterns that match it: itself, `parent/*`, and `ancestor/**` for every ancestor.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = String> + '_ {
        let text = &*self.0;
        let slashes = || text.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at);
        let one = text.rfind('/').map(|at| format!("{}/*", text.get(..at).unwrap_or_default()));
        let any = slashes().map(move |at| format!("{}/**", text.get(..at).unwrap_or_default()));
        std::iter::once(text.to_owned()).chain(one).chain(any)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Reads what a client wants to subscribe to.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        if text.len() > CHANNEL_BYTES_MAX {
            return Err(ChannelError::TooLong);
        }
        let below = text.strip_prefix('/').ok_or(ChannelError::Malformed)?;
        let mut wild = Wild::None;
        for (count, segment) in below.split('/').enumerate() {
            if count >= CHANNEL_SEGMENTS_MAX {
                return Err(ChannelError::TooLong);
            }
            if wild != Wild::None {
                return Err(ChannelError::Wildcard);
            }
            wild = match segment {
                "" => return Err(ChannelError::Malformed),
                "*" => Wild::One,
                "**" => Wild::Any,
                plain if plain.bytes().all(is_plain) => Wild::None,
                starred if starred.bytes().all(|byte| is_plain(byte) || byte == b'*') => {
                    return Err(ChannelError::Wildcard);
                }
                _ => return Err(ChannelError::Malformed),
            };
        }
        Ok(Self { text: text.into(), wild })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no wildcard.
    pub fn is_plain(&self) -> bool {
        self.wild == Wild::None
    }

    /// Whether it can match something on `/meta` or below; nobody may subscribe to that.
    pub fn is_meta(&self) -> bool {
        is_below(&self.text, "/meta")
    }

    /// Whether it is on `/service` or below; such a subscription is granted and means nothing.
    pub fn is_service(&self) -> bool {
        is_below(&self.text, "/service")
    }

    /// Whether an event on `channel` is for whoever subscribed to this.
    pub fn matches(&self, channel: &Channel) -> bool {
        let Some(rest) = self.stem().and_then(|stem| channel.0.strip_prefix(stem)) else {
            return *self.text == *channel.0;
        };
        match self.wild {
            Wild::None => rest.is_empty(),
            Wild::One => !rest.is_empty() && !rest.contains('/'),
            Wild::Any => !rest.is_empty(),
        }
    }

    /// Whether some channel matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.as_channel(), other.as_channel()) {
            (Some(channel), _) => other.matches(&channel),
            (None, Some(channel)) => self.matches(&channel),
            (None, None) => {
                let (Some(a), Some(b)) = (self.stem(), other.stem()) else { return false };
                match (self.wild, other.wild) {
                    (Wild::One, Wild::One) => a == b,
                    (Wild::One, Wild::Any) => a.starts_with(b),
                    (Wild::Any, Wild::One) => b.starts_with(a),
                    (Wild::Any, Wild::Any) => a.starts_with(b) || b.starts_with(a),
                    (Wild::None, _) | (_, Wild::None) => false,
                }
            }
        }
    }

    fn as_channel(&self) -> Option<Channel> {
        self.is_plain().then(|| Channel(Arc::clone(&self.text)))
    }

    /// What stands before the wildcard, with the slash.
    fn stem(&self) -> Option<&str> {
        match self.wild {
            Wild::None => None,
            Wild::One => self.text.strip_suffix('*'),
            Wild::Any => self.text.strip_suffix("**"),
        }
    }

    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The same pattern over a text that is kept already.
    pub(crate) fn with_text(&self, text: &Arc<str>) -> Self {
        Self { text: Arc::clone(text), wild: self.wild }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_!~()$@.".contains(&byte)
}

fn is_below(text: &str, root: &str) -> bool {
    text.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn wildcards_match_whole_segments_below_their_stem() {
        let cases = [
            ("/foo", "/foo", true),
            ("/foo", "/foo/bar", false),
            ("/foo/*", "/foo/bar", true),
            ("/foo/*", "/foo", false),
            ("/foo/*", "/foo/bar/baz", false),
            ("/foo/*", "/foobar", false),
            ("/foo/**", "/foo/bar/baz", true),
            ("/foo/**", "/foo", false),
            ("/foo/**", "/fo/bar", false),
            ("/**", "/foo/bar", true),
            ("/*", "/foo", true),
            ("/*", "/foo/bar", false),
        ];
        for (pattern, channel, expected) in cases {
            let (pattern, channel) = (Pattern::parse(pattern).unwrap(), Channel::parse(channel).unwrap());
            assert_eq!(pattern.matches(&channel), expected, "{pattern:?} {channel}");
            let found = channel.patterns().any(|text| text == pattern.as_str());
            assert_eq!(found, expected, "{pattern:?} among the patterns of {channel}");
        }
    }

    #[test]
    fn patterns_overlap_if_one_event_could_be_for_both() {
        let cases = [
            ("/v2/me", "/v2/me", true),
            ("/v2/me", "/v2/*", true),
            ("/v2/me/*", "/v2/me", false),
            ("/v2/me/*", "/**", true),
            ("/v2/me/*", "/v2/*", false),
            ("/v2/**", "/v2/me/*", true),
            ("/v2/**", "/v3/**", false),
            ("/v2/*", "/v2/*", true),
        ];
        for (a, b, expected) in cases {
            let (a, b) = (Pattern::parse(a).unwrap(), Pattern::parse(b).unwrap());
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (expected, expected), "{a:?} {b:?}");
        }
    }

    #[test]
    fn names_are_checked() {
        let long = format!("/{}", "x".repeat(CHANNEL_BYTES_MAX));
        let deep = "/x".repeat(CHANNEL_SEGMENTS_MAX + 1);
        assert_eq!(Channel::parse(&long[..CHANNEL_BYTES_MAX]).err(), None);
        assert_eq!(Channel::parse(&deep[2..]).err(), None);
        let cases = [
            ("/a/b-c_d!~()$@.e", Ok(())),
            ("", Err(ChannelError::Malformed)),
            ("/", Err(ChannelError::Malformed)),
            ("a", Err(ChannelError::Malformed)),
            ("/a//b", Err(ChannelError::Malformed)),
            ("/a/", Err(ChannelError::Malformed)),
            ("/a b", Err(ChannelError::Malformed)),
            ("/a\"b", Err(ChannelError::Malformed)),
            ("/ä", Err(ChannelError::Malformed)),
            ("/a*", Err(ChannelError::Wildcard)),
            ("/a/*/b", Err(ChannelError::Wildcard)),
            ("/**/b", Err(ChannelError::Wildcard)),
            ("/***", Err(ChannelError::Wildcard)),
            (&long, Err(ChannelError::TooLong)),
            (&deep, Err(ChannelError::TooLong)),
        ];
        for (text, expected) in cases {
            assert_eq!(Pattern::parse(text).map(drop), expected, "{text}");
        }
        assert_eq!(Channel::parse("/a/*"), Err(ChannelError::Wildcard));
        assert!(Channel::parse("/meta/x").unwrap().is_meta());
        assert!(!Channel::parse("/metax").unwrap().is_meta());
        assert!(Pattern::parse("/meta/**").unwrap().is_meta());
    }
}
