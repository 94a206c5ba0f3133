//! What clients send.
//!
//! A body is an array of messages, or one message alone (Bayeux 1.0 section 3):
//!
//! ```text
//! [{"channel":"/meta/connect","id":"2","clientId":"…","connectionType":"long-polling"}]
//! ```

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::limits::{BODY_BYTES_MAX, ID_BYTES_MAX, JSON_DEPTH_MAX, MESSAGES_MAX};

/// Why a body is no list of messages at all. What is wrong with one message is said in the answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More than [`BODY_BYTES_MAX`].
    #[error("the body is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    /// Deeper than [`JSON_DEPTH_MAX`].
    #[error("arrays and objects lie deeper in each other than {JSON_DEPTH_MAX}")]
    TooDeep,
    /// More than [`MESSAGES_MAX`].
    #[error("there are more than {MESSAGES_MAX} messages")]
    TooMany,
    /// No JSON, or neither an object nor an array of them.
    #[error("the body is no array of messages")]
    Malformed,
}

/// One message, as far as the server looks into it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message<'b> {
    #[serde(borrow)]
    pub(crate) channel: Cow<'b, str>,
    /// Echoed as it came.
    #[serde(borrow, default)]
    pub(crate) id: Option<&'b RawValue>,
    #[serde(borrow, default)]
    pub(crate) client_id: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    pub(crate) version: Option<Cow<'b, str>>,
    #[serde(default)]
    pub(crate) supported_connection_types: Vec<String>,
    #[serde(borrow, default)]
    pub(crate) connection_type: Option<Cow<'b, str>>,
    #[serde(default)]
    pub(crate) subscription: Option<Subscription>,
    #[serde(borrow, default)]
    pub(crate) data: Option<&'b RawValue>,
    #[serde(default)]
    pub(crate) advice: Option<AskedAdvice>,
    #[serde(default)]
    pub(crate) ext: Option<Ext>,
}

/// One pattern or several; the answer repeats it in the same form.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Subscription {
    One(String),
    Several(Vec<String>),
}

impl Subscription {
    pub(crate) fn patterns(&self) -> &[String] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Several(patterns) => patterns,
        }
    }
}

/// What a client may ask of the server's patience.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct AskedAdvice {
    /// Milliseconds.
    #[serde(default)]
    pub(crate) timeout: Option<u64>,
}

/// Extensions; unknown ones are passed over.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ext {
    #[serde(default)]
    pub(crate) ack: Option<Ack>,
}

/// The acknowledge extension: switched on in the handshake, a batch number in connects.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ack {
    On(bool),
    Batch(i64),
    Described {
        #[serde(default)]
        enabled: bool,
    },
}

impl Message<'_> {
    pub(crate) fn wants_acks(&self) -> bool {
        match self.ext.as_ref().and_then(|ext| ext.ack.as_ref()) {
            Some(Ack::On(on) | Ack::Described { enabled: on }) => *on,
            Some(Ack::Batch(_)) | None => false,
        }
    }

    pub(crate) fn acked_batch(&self) -> Option<u64> {
        match self.ext.as_ref().and_then(|ext| ext.ack.as_ref()) {
            Some(Ack::Batch(batch)) => u64::try_from(*batch).ok(),
            Some(Ack::On(_) | Ack::Described { .. }) | None => None,
        }
    }
}

/// An entry of the array: a message, or what can still be said of one that is none.
pub(crate) type Entry<'b> = Result<Message<'b>, Broken<'b>>;

/// An object that is no message.
pub(crate) struct Broken<'b> {
    pub(crate) id: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct JustId<'b> {
    #[serde(borrow, default)]
    id: Option<&'b RawValue>,
}

/// Takes a body apart.
///
/// # Errors
/// See [`BodyError`].
pub(crate) fn entries(body: &[u8]) -> Result<Vec<Entry<'_>>, BodyError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLong);
    }
    if depth_exceeds(body, JSON_DEPTH_MAX) {
        return Err(BodyError::TooDeep);
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError::Malformed)?;
    let raw: Vec<&RawValue> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|_| BodyError::Malformed)?
    } else {
        vec![serde_json::from_str(text).map_err(|_| BodyError::Malformed)?]
    };
    if raw.len() > MESSAGES_MAX {
        return Err(BodyError::TooMany);
    }
    raw.into_iter().map(entry).collect()
}

fn entry(raw: &RawValue) -> Result<Entry<'_>, BodyError> {
    if !raw.get().starts_with('{') {
        return Err(BodyError::Malformed);
    }
    let mut entry: Entry<'_> = serde_json::from_str(raw.get())
        .map_err(|_| Broken { id: serde_json::from_str(raw.get()).ok().and_then(|JustId { id }| id) });
    let id = match &mut entry {
        Ok(message) => &mut message.id,
        Err(broken) => &mut broken.id,
    };
    *id = id.filter(|id| is_id(id.get()));
    Ok(entry)
}

/// Texts and numbers can be echoed, where whoever reads the answer can read them.
fn is_id(raw: &str) -> bool {
    raw.len() <= ID_BYTES_MAX
        && raw.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
        && serde_json::from_str::<serde_json::Value>(raw).is_ok()
}

/// Whether no escape in a JSON text is half of a surrogate pair: the grammar lets it pass, and parsers that make text of
/// it do not (RFC 8259 section 8.2), so that one message would spoil the whole answer that it is in.
pub(crate) fn is_text(json: &str) -> bool {
    !json.contains("\\u") || serde_json::from_str::<serde_json::Value>(json).is_ok()
}

/// Whether brackets lie deeper than `most`; told without recursion and before anything is built from the text.
pub(crate) fn depth_exceeds(text: &[u8], most: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
