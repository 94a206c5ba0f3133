//! What operations, reasons, schemes, kinds and filters are, in words; and the notations.

use crate::dialect::Scheme;
use crate::dialect::operation::Operation;
use crate::dialect::service::Service;
use crate::dialect::variables::Kind;
use crate::refusal::Reason;
use crate::token::TokenKind;

pub(super) const fn of_token(kind: TokenKind) -> (&'static str, &'static str) {
    match kind {
        TokenKind::Session => (
            "session",
            "Live state: ends by idleness, by time or by logout, and at a logout all that was issued on it with it. The CSRF proof is bound to one.",
        ),
        TokenKind::Access => ("access", "Ends by time or by logout."),
        TokenKind::Refresh => (
            "refresh",
            "Used once, by operation `issue`, for new tokens. One that is used again ends its whole family.",
        ),
        TokenKind::Key => {
            ("key", "An API key: made, listed and ended by the `key-` operations, and by the administrator.")
        }
        TokenKind::Shared => ("shared", "A value that an operator sets in the API's configuration."),
        TokenKind::Jwt => (
            "jwt",
            "Signed by the gate and not stored: a logout does not end it. A new password, another subject, tenant, role or key of its account and its disabling do, and so does ending all of its sessions.",
        ),
    }
}

pub(super) const KINDS: [TokenKind; 6] = [
    TokenKind::Session,
    TokenKind::Access,
    TokenKind::Refresh,
    TokenKind::Key,
    TokenKind::Shared,
    TokenKind::Jwt,
];

pub(super) fn of_account_kind(kind: &str) -> &'static str {
    match kind {
        "users" => "People who log in, and whoever administers.",
        "clients" => "Programs that log in with a name and a secret.",
        "customers" => "People whom the API serves, apart from those who work with it.",
        "oauth-clients" => "Programs that ask for tokens with a client id and a secret.",
        "applications" => {
            "Programs that hold API keys, and those that prove themselves beside a user (`app`)."
        }
        "devices" => "Machines that log in.",
        other => panic!("{other} is not described"),
    }
}

pub(super) const fn of_scheme(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Password => {
            "User and password: in `authorization Basic`, or in a table with `user` and `password`."
        }
        Scheme::Digest => "Digest (RFC 7616), for accounts that opted in ([digest.md](digest.md)).",
        Scheme::Negotiate => "Kerberos or NTLM in SPNEGO (RFC 4559).",
        Scheme::Ntlm => "NTLM, version 2 alone.",
        Scheme::Jwt => "A JWT of an issuer whose keys the API's configuration names.",
        Scheme::Token => "A token that the gate issued, or a value that an operator set.",
        Scheme::Code => {
            "A browser comes back from an issuer that logged its user in (OpenID Connect, authorization code with PKCE). `from` is `path NAME`, the issuer's name in the path; `code`, `state`, `iss` and `error` ride in the query, as the standards say. Accepted by an `issue` alone; there must be an `issuer-login` as well."
        }
        Scheme::Front => {
            "A front that logged somebody in says who it is, in `value`, and proves in `proof` that it is the front; the API's configuration names its networks and that proof."
        }
        Scheme::Unproven => {
            "The caller says who he is, and is believed. Never on by default; an API that wants it types it twice (`dangerous`)."
        }
    }
}

pub(super) const fn of_operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Issue => {
            "Login, refresh, exchange, pairing; to `[\"anonymous\"]` alone an anonymous session."
        }
        Operation::End => "Logout: ends what was presented, or another session of the same account.",
        Operation::Show => "Who am I, the CSRF token, a version, a page.",
        Operation::IssuerLogin => {
            "Sends a browser to log in with the issuer of that name in the API's configuration; it answers by itself. Pages print links to it: `issuers` lists `name` and `title`. It comes back to the call that accepts a credential of scheme `code`."
        }
        Operation::Refuse => "Refuses with `reason`.",
        Operation::SessionList => "Lists the caller's sessions.",
        Operation::SessionShow => "Shows one of them.",
        Operation::KeyCreate => {
            "Makes an API key for the application `owner`; without it for the caller, if he is one."
        }
        Operation::KeyList => "Lists keys.",
        Operation::KeyShow => "Shows a key, without its value.",
        Operation::KeyUpdate => "Changes label, description or end of a key.",
        Operation::KeyRotate => "Gives a key a new value.",
        Operation::KeyDelete => "Deletes a key.",
        Operation::PasswordChange => "Changes the caller's password; his other sessions and tokens end.",
        Operation::Service(Service::Bayeux) => {
            "A service: push channels by Bayeux (CometD), owned by sessions."
        }
        Operation::Service(Service::ContactCentre) => {
            "A service: users, devices and agents of a contact centre; its users are accounts of the gate."
        }
    }
}

pub(super) const fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::BadRequest => {
            "The request makes no sense, or its head is beyond a limit: that is 414 or 431, whatever the file says."
        }
        Reason::Malformed => "A header, cookie or body cannot be read.",
        Reason::Ambiguous => "Two credentials, or one thing twice.",
        Reason::MissingField => "A field that the call needs is not there (`detail` names it).",
        Reason::InvalidField => "A field has a value that it cannot have (`detail` names it).",
        Reason::Unauthenticated => "What the next ones fall back to.",
        Reason::NoCredential => "Nothing was presented.",
        Reason::NotAccepted => "What was presented is not accepted here.",
        Reason::WrongPassword => {
            "User or password is wrong; which one, and whether the account is locked, nobody is told."
        }
        Reason::BadToken => "Unknown, revoked, or not of its form.",
        Reason::Expired => "It was good once.",
        Reason::BadProvider => "No such identity provider or domain.",
        Reason::StaleProof => "The route asks for a younger login.",
        Reason::Forbidden => "Known, but not allowed.",
        Reason::Csrf => "The CSRF proof is missing or wrong, or a foreign page called.",
        Reason::SessionLimit => "The account holds as many as it may.",
        Reason::PasswordDue => "The password must be changed first.",
        Reason::NotFound => "No such path; also: another account's object.",
        Reason::Method => "The path is there for other methods.",
        Reason::TooLarge => "The body that the gate reads is too large or too deep, or names too many ids.",
        Reason::MediaType => "The call does not read this encoding.",
        Reason::TooMany => "The limits on unverified work are reached.",
        Reason::Internal => "A mistake of the gate.",
        Reason::Upstream => {
            "The service cannot be reached, or its answer cannot be used: broken, or beyond a limit."
        }
        Reason::Unavailable => {
            "What had to be checked could not be, or the service has as many requests as it may."
        }
        Reason::UpstreamTimeout => "The service did not answer in time.",
    }
}

pub(super) fn of_filter(filter: &str) -> &'static str {
    match filter {
        "date" => "a time in the dialect's `date` format",
        "rfc3339" => "a time as `2031-08-09T17:05:06Z`",
        "unix" => "a time in seconds since 1970",
        "unix_ms" => "a time in milliseconds since 1970",
        "int" => {
            "a text that is a whole number, without quotes; anything else is `null` in JSON and nothing elsewhere"
        }
        "length" => "how many characters or items",
        "url" => "percent-encoded, for a part of an address",
        _ => "",
    }
}

pub(super) const fn of_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Secret => "secret",
        Kind::Int => "number",
        Kind::Time => "time",
        Kind::Flag => "yes or no",
        Kind::List => "list",
        Kind::Group => "group",
    }
}

pub(super) const NOTATIONS: &str = r#"## Notations

**place**: where in a request something rides.

| | |
|---|---|
| `header N` | a header field |
| `cookie N` | a cookie; percent-decoded once |
| `query N` | a parameter of the query |
| `body N` | a top-level field of the body |
| `path N` | a variable of the path |
| `authorization W` | `Authorization: W value`; the case of `W` does not matter |
| `authorization W=` | `Authorization: W=value` |
| `authorization -` | `Authorization: value`, without a scheme word |

A list of places holds spellings of one place; a request that uses two of them is ambiguous.

**pattern**: `[METHOD[|METHOD] ]/segment/{name}/**`, below the API's prefix. `{name}` is one segment, called by
letters, digits, `-` and `_`, each name once; `**` is any number of segments, and stands once at the most. GET includes HEAD; without a method all match, and GET, HEAD, POST, PUT,
PATCH, DELETE and OPTIONS where it is a route's. One request, one match, the most exact: no `**` before `**` inside
before `**` at the end; then more literals, more segments, a method, a `when`.
Two that are equally exact and match the same request are a mistake. A last `/` says nothing, in a request or in a
pattern: what holds of `/admin` holds of `/admin/`, and what holds of `/` of the API's prefix without it. Text is
compared as requests are, in one spelling: `/müller`, `/m%C3%BCller` and `/m%c3%bcller` are one pattern. A segment that
no request has, because the gate refuses it (empty, dots, `\`, `;`), is a mistake.

**form**: literal text and random parts: `{guid}`, `{hex:N}`, `{lower:N}` (lower-case letters and digits),
`{base64:N}`, `{base64url:N}`; beside them `{account}`, `{tenant}` and `{label}`. At least 128 random bits; no `%`.

**template**: text with `{{ name }}` or `{{ name | filter }}`, `{% for x in list %} … {% endfor %}` with `loop.last`,
`{% if name %} … {% else %} … {% endif %}`, `{% if not name %}`. A value is escaped for what it stands in and never
quoted: write the quotes. There are no expressions, calls or includes. Every template is rendered with samples when
the file is loaded, in every outcome of its conditions (six names at the most), with values that try to break out.

**time**: `"20s"`, `"30m"`, `"12h"`, `"30d"`. **date format**: `http`, `rfc3339`, `unix`, `unix_ms`, or a strftime
pattern that tells year, month and day.

Where a list is wanted, one string stands for a list of one. Unknown keys are mistakes. The order of tables never
matters; that of `accepts` does.
"#;

pub(super) const RULES: &str = "## What no key changes

- Unknown user, wrong password, locked and disabled account are one answer: `wrong-password`.
- Everything that a dialect names as a credential is taken out of requests, whether it is accepted or not, and so
  are look-alikes of those headers, well-known identity headers and everything that begins `Countersign-`
  ([recognition.md](recognition.md)).
- Session and CSRF headers, and this dialect's cookies, are removed from what the service answers; only the gate
  sets them.
- Answers of the gate are not cached, unless the file says so in `headers`.
- Cookies that hold a session are `HttpOnly`; all are `Secure` where the client speaks TLS.
- A call that logs in and sets cookies is refused where a page of another origin made it, and so is what changes something
  by a credential that browsers repeat for any page: Basic, Digest, Negotiate, NTLM, and what a front proved.
- `return_to` is a path of this API, or nothing.
- A session that was opened for a stamp and is never presented dies within minutes.
- An API's configuration may change lifetimes, limits, realm and the CSRF header's name, and switch credentials on
  and off. Switching CSRF protection or an unproven credential the dangerous way is typed twice.
- The checks that depend on which credentials are on run again on what the configuration makes of them.
";
