//! `[api.cors]` and `same_site`: what pages of other origins and sites may do with an API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Period;
use super::value::page::{FieldName, PageOrigin};

/// `[api.cors]`: which pages of other origins may call; none if it is not given.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cors {
    /// Their origins, as browsers write them; `"*"` alone for all pages, which goes without `credentials`.
    pub(crate) origins: Vec<PageOrigin>,
    /// Whether a browser sends its cookies with such calls and shows the page what is answered. These pages count as the
    /// API's own then: they may log in, open WebSockets, and use what the browser proves by itself.
    #[serde(default)]
    pub(crate) credentials: bool,
    /// Headers that scripts may send, beside the usual ones and those of the dialect.
    #[serde(default)]
    pub(crate) headers: Vec<FieldName>,
    /// Headers that scripts may read, beside those in which the dialect tells its CSRF token.
    #[serde(default)]
    pub(crate) expose: Vec<FieldName>,
    /// So long a browser need not ask again.
    #[serde(default = "max_age")]
    pub(crate) max_age: Period,
}

const fn max_age() -> Period {
    Period::secs(120)
}

/// `same_site` of an API: whether browsers send its cookies with requests of other sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed.
    Lax,
    /// Always; such cookies are `Secure`, so that browsers send them over TLS alone.
    None,
}
