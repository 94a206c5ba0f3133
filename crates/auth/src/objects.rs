//! Nobody reads another's: which ids a request names, whose they must be, and what the client is told of them.
//!
//! A route says where ids stand (`path customer`, `query id`, `header x-customer`, `body /items/*/id`) and what each
//! must be: a value of the caller's own verified keys, or an object that he owns. *Every* occurrence is checked, in
//! all spellings that some service reads as that field. What cannot be read in one way is refused, and so is what
//! cannot be looked up.
//!
//! ```text
//! Decision::Objects(Pending) ─read→ ids ─keys agree→ ids of objects ─owned→ Cleared { permit, rewrites, follow }
//!                            [`read`]  [`key`]                      [`settle`]                    │
//!                                        client's references ◀─[`answer`]─ the service's answer ◀─┘
//! ```

pub mod answer;
pub(crate) mod edit;
pub mod json;
pub(crate) mod key;
pub mod kind;
mod name;
pub(crate) mod place;
pub mod pointer;
mod read;
pub mod reference;
mod rules;
pub mod settle;

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, ETAG, HeaderName};

pub(crate) use self::rules::Rules;

/// What a route says of objects, as the configuration writes it. Each map is from a name (a kind of the API's, or
/// keys of the identity) to places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteObjects {
    /// The ids in the request. A name that ends with `?` need not be there.
    pub ids: BTreeMap<String, Vec<String>>,
    /// Ids in the answer, of objects that are the caller's from then on if they were nobody's.
    pub creates: BTreeMap<String, Vec<String>>,
    /// Ids in the answer, of objects that must be the caller's.
    pub shows: BTreeMap<String, Vec<String>>,
    /// What becomes of an answer that shows another's.
    pub foreign: Foreign,
    /// A longer request body is refused where it has to be read; [`BODY_BYTES_MAX`] if it is not given.
    pub body_bytes_max: Option<usize>,
    /// A longer answer is refused where it has to be read; [`ANSWER_BYTES_MAX`] if it is not given.
    pub answer_bytes_max: Option<usize>,
}

/// What becomes of an answer that shows another's object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Foreign {
    /// It is refused as the service's fault.
    #[default]
    Refuse,
    /// The items of lists that show one are taken out; an answer that is no list is as if it were not there.
    Filter,
}

/// A kind of objects, as the configuration writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindOptions {
    /// The key by which objects are owned: `subject` or a key of the identity.
    pub owner: String,
    /// Whether clients get references in place of the service's ids, and how long one lives that nobody claims.
    pub references: Option<Duration>,
    /// Whether ids are numbers in the service's JSON.
    pub numeric: bool,
}

/// Documents that clients send by hand or by script; a bulk import is another route.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// A page of a list. It is in memory while it is read.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Different ids of one request. Each is looked up and told to the service, whose headers have limits.
pub const IDS_MAX: usize = 100;

/// Takes out what is said of a body in whose place another one goes on: of its bytes, not of its kind.
pub fn forget_body(headers: &mut HeaderMap) {
    const OF_THE_BODY: [HeaderName; 6] = [
        CONTENT_LENGTH,
        ETAG,
        HeaderName::from_static("digest"),
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("repr-digest"),
    ];
    for name in OF_THE_BODY {
        headers.remove(name);
    }
}
