//! Every key of a dialect file, with its type and meaning: the source of `docs/dialect-reference.md`.
//!
//! A test compares the table with what the reader asks for, so that neither has a key that the other lacks, and
//! another one writes the page (`UPDATE=1`) or fails if it is out of date.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::dialect::operation::Operation;
use crate::dialect::source::Source;
use crate::dialect::template::filter_names;
use crate::dialect::variables::{Kind, Scope};
use crate::dialect::{BodyKind, Scheme, read};
use crate::refusal::Reason;
use crate::token::TokenKind;

/// A kind of table, what it is for, and its keys: name, type, meaning.
struct Described {
    table: &'static str,
    what: &'static str,
    keys: &'static [(&'static str, &'static str, &'static str)],
}

const TABLES: [Described; 12] = [
    Described {
        table: "",
        what: "What stands before the first table.",
        keys: &[
            ("schema", "integer, required", "The version of the format: `1`."),
            ("name", "string, required", "The dialect's name, as logs print it."),
            ("title", "string", "One line for people."),
            (
                "deployments",
                "list of strings",
                "Names of the ways in which the API is run, where credentials differ between them. The first is the default. Without it there is one, without a name.",
            ),
            (
                "media",
                "list of media types",
                "What the API answers in, with parameters where clients expect them. The first answers clients that do not say. Default `[\"application/json\"]`.",
            ),
            (
                "media_from",
                "place (header, query)",
                "Overrides `Accept` with the end of a media type: `json`, `xml`.",
            ),
            (
                "ignore_case",
                "list of `paths`, `fields`",
                "Where upper and lower case are the same: in paths, in the names of body fields.",
            ),
            (
                "date",
                "date format",
                "How dates are read in inputs and written by `| date`. Default `rfc3339`.",
            ),
            ("realm", "string", "The realm of challenges. Default: the API's name."),
            (
                "keys",
                "list of strings",
                "The identity keys that the API knows (`customer`, `merchant`): accounts and claims fill them, templates print them as `identity.keys.NAME`.",
            ),
            (
                "passes",
                "list of header names",
                "Headers that resemble credentials but are information: they go on as sent, and decide nothing.",
            ),
            ("token", "tables", "What the gate issues."),
            ("credential", "tables", "What a client may present."),
            ("surface", "tables, at least one", "Which paths accept what, and how they refuse."),
            (
                "csrf",
                "table",
                "The proof that a browser's request was meant. Required where a credential rides in a cookie.",
            ),
            ("cookie", "tables", "Cookies that answers set."),
            ("stamp", "tables", "What is added to answers."),
            ("endpoint", "tables", "Calls that the gate answers itself."),
            ("errors", "tables", "Families of refusals."),
            ("assertion", "table", "What the service is told beside the signed assertion."),
        ],
    },
    Described {
        table: "token.NAME",
        what: "Something that the gate issues. The name is one word of lower-case letters, digits and `_`; templates say `issued.NAME.value`.",
        keys: &[
            ("kind", "see [token kinds](#token-kinds), required", "What it is good for."),
            ("form", "form", "What its values look like. Required, but for `shared` and `jwt`."),
            ("second", "form", "The form of the second half, where the credential is a pair."),
            ("idle", "time", "Ends so long after its last use."),
            (
                "lifetime",
                "time",
                "Ends so long after it was issued. `idle` or `lifetime` is required, but for `key` and `shared`; `lifetime` for `jwt`.",
            ),
            ("proof_lifetime", "time", "Renewals never reach further than this after the last real proof."),
            ("per_account", "integer", "How many of one account may live at once."),
            (
                "at_limit",
                "`refuse` or `end-oldest`",
                "What becomes of the one that is too many. Default `end-oldest`.",
            ),
            (
                "credential",
                "name of a credential",
                "For `jwt`, required: the credential that reads these tokens; issuer, audience and claims are its own, in reverse.",
            ),
        ],
    },
    Described {
        table: "credential.NAME",
        what: "Something that a client may present. `anonymous` is the credential of a caller who presents none; it may stand in `accepts` and `for`, and is never declared.",
        keys: &[
            ("scheme", "see [schemes](#schemes), required", "How it is proven."),
            (
                "from",
                "place, list of places, or table, required",
                "Where it rides. A list holds spellings of one place, of which a request may use one. Secrets do not ride in the path.",
            ),
            ("token", "name of a token", "For scheme `token`, required: which one it is."),
            (
                "accounts",
                "string",
                "Which kind of accounts it proves. Default `users`; as soon as one credential says it, all do.",
            ),
            (
                "deployments",
                "list of deployments",
                "Where it is on. Without it: everywhere. `[]`: only where an API enables it by name.",
            ),
            (
                "challenge",
                "boolean",
                "Whether 401s offer it. Default `true` for Basic, Bearer, Digest, Negotiate and NTLM; others are never offered.",
            ),
            (
                "repeated",
                "`first-live`",
                "For cookies: of several with this name the first that lives counts. Without it two different ones are ambiguous.",
            ),
            ("algorithms", "list of strings", "For `digest`: SHA-512-256, SHA-256, MD5, strongest first."),
            ("issuer", "string", "For `jwt`, required: its `iss`."),
            ("audience", "string", "For `jwt`, required: its `aud`, or one of them."),
            (
                "claims",
                "table of strings",
                "For `jwt`: which claim fills `subject`, `tenant`, `roles`, `name`, `email`, `first_name`, `last_name` or one of `keys`. Default `subject = \"sub\"`.",
            ),
        ],
    },
    Described {
        table: "credential.NAME.from",
        what: "The parts of a credential that has several. A part that is required, and one that must be there because the file names it, makes the credential a wrong one if it is missing.",
        keys: &[
            ("value", "place", "The value itself; required, but for passwords."),
            ("second", "place", "`token`: the second half of a pair; must be there."),
            (
                "user",
                "place",
                "`password`, required: the user name. `token`: must be the account's name or subject.",
            ),
            ("password", "place", "`password`, required."),
            ("provider", "place", "`password`: identity provider; may be missing."),
            ("domain", "place", "`password`: domain of the provider; may be missing."),
            (
                "tenant",
                "place",
                "`password`: the account's tenant; may be missing. `token` and `jwt`: must be there, and be the account's.",
            ),
            ("app", "place", "The secret of an application that may speak for this API; must be there."),
        ],
    },
    Described {
        table: "surface.NAME",
        what: "Paths that behave alike.",
        keys: &[
            ("at", "pattern or list, required", "Which paths."),
            (
                "accepts",
                "list of credentials, required",
                "In the order of challenges, and of cookies. `[\"anonymous\"]` alone: nothing is looked at. A route lets anonymous callers in only where the surface accepts them, too.",
            ),
            ("csrf", "`every-method`", "Ask for the proof on GET, HEAD and OPTIONS as well."),
            ("errors", "name of a family, required", "How it refuses."),
            (
                "sign_in",
                "path below the prefix",
                "Where a browser that opens a page without a session is sent, with `return_to`. That page accepts anonymous callers.",
            ),
        ],
    },
    Described {
        table: "csrf",
        what: "The proof that a browser's request was meant by the page that holds the session. It is derived from the session, and lives and dies with it.",
        keys: &[
            (
                "from",
                "place or list (header, body), required",
                "Where it rides. A cookie or the query proves nothing.",
            ),
            ("form", "form, required", "What it looks like."),
            ("bound_to", "name of a token, required", "The kind of session that it belongs to."),
            (
                "for",
                "list of credentials, required",
                "Who must show it. Every credential in a cookie is listed.",
            ),
            (
                "order",
                "`before-authentication`",
                "Check it before anything else; `for` then lists all that surfaces accept. Without it: after.",
            ),
        ],
    },
    Described {
        table: "cookie.NAME",
        what: "A cookie of that name. `Secure` follows the connection and is no key.",
        keys: &[
            ("value", "template, required", "Empty: it is not set."),
            ("path", "template", "Default `/`."),
            (
                "http_only",
                "boolean, required",
                "Whether scripts are kept from it; `true` for whatever holds a session.",
            ),
            ("same_site", "`Lax`, `Strict` or `None`, required", "Whether requests of other sites carry it."),
            ("lifetime", "time", "Without it: until the browser closes."),
        ],
    },
    Described {
        table: "stamp.NAME",
        what: "Added to answers of admitted requests, the service's too; replaces what the service sent under the same name. The most exact one applies, and no other.",
        keys: &[
            ("at", "pattern or list, required", "To which requests."),
            ("for", "list of credentials", "Only for these. Without it: for all."),
            ("headers", "list of `Name: template`", "A line whose only value is empty is left out."),
            (
                "cookies",
                "list of cookies",
                "Set them. Who holds no session gets one where `csrf.token` is printed.",
            ),
        ],
    },
    Described {
        table: "endpoint.NAME",
        what: "A call that the gate answers itself. It lies on the surface that its path is on.",
        keys: &[
            ("at", "pattern or list, required", "Which requests."),
            (
                "when",
                "table: place = word",
                "The call is there only if header, query parameter or body field says so (case does not matter). Two calls may share a path if one place tells them apart. No protection: a body in another encoding is not seen.",
            ),
            ("operation", "see [operations](#operations), required", "What it does."),
            (
                "accepts",
                "list of credentials",
                "Without it: those of the surface, without anonymous callers unless it accepts nobody else. `issue` must say it. If one rides in the body, only the body is looked at.",
            ),
            (
                "reads",
                "list of `json`, `form`, `xml`, `multipart`",
                "The encodings in which it reads a body. Required where something of the body is asked for.",
            ),
            ("inputs", "table: input = place or list", "What else the operation is told."),
            ("issues", "list of tokens", "For `issue`, one or more; for `key-create`, one."),
            ("answer", "answer", "Default: 200 without a body."),
            ("on", "table: reason = answer", "Refusals of this call, before those of its surface's family."),
            (
                "forward",
                "boolean",
                "For `end`: the service answers, and the session ends if it answered 2xx.",
            ),
            ("reason", "see [reasons](#reasons)", "For `refuse`, required."),
        ],
    },
    Described {
        table: "errors.NAME",
        what: "A family of refusals: `reason = answer`. A reason that is not there falls back to a wider one, then to `any`.",
        keys: &[(
            "any",
            "answer",
            "The base over which the others are laid. Its headers stay; a reason with a body of its own drops all of the base's bodies.",
        )],
    },
    Described {
        table: "answer",
        what: "An `answer`, `any`, or what a reason stands for.",
        keys: &[
            (
                "status",
                "integer",
                "For refusals by default that of the reason. Below 400 only in a call's own `on`; `unavailable` is a 5xx.",
            ),
            (
                "headers",
                "list of `Name: template`",
                "A line whose only value is empty is left out. `Location` stays on this host.",
            ),
            ("cookies", "list of cookies", "Set them."),
            ("clear", "list of cookies", "Make the browser forget them."),
            (
                "json",
                "template",
                "A body. Of several bodies the one is sent that the client accepts (`media`); a single one is sent as it is.",
            ),
            ("xml", "template", "A body."),
            ("text", "template", "A body."),
            (
                "html",
                "template",
                "A body: a page that contains all it needs; scripts and frames are switched off by headers.",
            ),
            ("js", "string", "A body without variables: a script is the same for everyone."),
            ("code", "integer or template", "Refusals: what bodies print as `code`."),
            ("message", "template", "Refusals: what bodies print as `message`. Default: a sentence."),
            ("challenge", "boolean", "Refusals: `false` leaves `WWW-Authenticate` out of a 401."),
            ("phrase", "template", "The reason phrase of the status line (HTTP/1.1)."),
        ],
    },
    Described {
        table: "assertion",
        what: "What the service is told beside the signed assertion.",
        keys: &[
            (
                "headers",
                "list of `Name: template`",
                "Headers; what a client sent under such a name is removed. A line whose only value is empty is left out.",
            ),
            (
                "claims",
                "table: name = template",
                "Further claims of the assertion. The gate's own names are taken.",
            ),
        ],
    },
];

const fn of_token(kind: TokenKind) -> (&'static str, &'static str) {
    match kind {
        TokenKind::Session => (
            "session",
            "Live state: ends by idleness, by time or by logout, and all that hangs on it with it. The CSRF proof is bound to one.",
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
        TokenKind::Jwt => ("jwt", "Signed by the gate and not stored: it cannot be ended before its time."),
    }
}

const KINDS: [TokenKind; 6] = [
    TokenKind::Session,
    TokenKind::Access,
    TokenKind::Refresh,
    TokenKind::Key,
    TokenKind::Shared,
    TokenKind::Jwt,
];

const fn of_scheme(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Password => {
            "User and password: in `authorization Basic`, or in a table with `user` and `password`."
        }
        Scheme::Digest => "Digest (RFC 7616). Not checked by this version.",
        Scheme::Negotiate => "Kerberos or NTLM in SPNEGO (RFC 4559). Not checked by this version.",
        Scheme::Ntlm => "NTLM. Not checked by this version.",
        Scheme::Jwt => "A JWT of an issuer whose keys the API's configuration names.",
        Scheme::Token => "A token that the gate issued, or a value that an operator set.",
        Scheme::Front => "A trusted front says who it is. Not checked by this version.",
        Scheme::Unproven => {
            "The caller says who he is, and is believed. Never on by default; an API that wants it types it twice (`dangerous`)."
        }
    }
}

const fn of_operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Issue => {
            "Login, refresh, exchange, pairing; to `[\"anonymous\"]` alone an anonymous session."
        }
        Operation::End => "Logout: ends what was presented, or another session of the same account.",
        Operation::Show => "Who am I, the CSRF token, a version, a page.",
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
    }
}

const fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::BadRequest => "The request makes no sense.",
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
        Reason::TooLarge => "The body that the gate reads is too large.",
        Reason::MediaType => "The call does not read this encoding.",
        Reason::TooMany => "The limits on unverified work are reached.",
        Reason::Internal => "A mistake of the gate.",
        Reason::Upstream => "The service cannot be reached.",
        Reason::Unavailable => "What had to be checked could not be.",
        Reason::UpstreamTimeout => "The service did not answer in time.",
    }
}

fn of_filter(filter: &str) -> &'static str {
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

const fn of_kind(kind: Kind) -> &'static str {
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

const NOTATIONS: &str = r#"## Notations

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

**pattern**: `[METHOD[|METHOD] ]/segment/{name}/**`, below the API's prefix. `{name}` is one segment, `**` any number
of segments, and stands once at the most. GET includes HEAD; without a method all match. One request, one match, the
most exact: no `**` before `**` inside before `**` at the end; then more literals, more segments, a method, a `when`.
Two that are equally exact and match the same request are a mistake.

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

const RULES: &str = "## What no key changes

- Unknown user, wrong password, locked and disabled account are one answer: `wrong-password`.
- Everything that a dialect names as a credential is taken out of requests, whether it is accepted or not, and so
  are look-alikes of those headers, well-known identity headers and everything that begins `Countersign-`
  ([recognition.md](recognition.md)).
- Session and CSRF headers, and this dialect's cookies, are removed from what the service answers; only the gate
  sets them.
- Answers of the gate are not cached, unless the file says so in `headers`.
- Cookies that hold a session are `HttpOnly`; all are `Secure` where the client speaks TLS.
- A call that logs in and sets cookies is refused where the browser says that a page of another site made it.
- `return_to` is a path of this API, or nothing.
- A session that was opened for a stamp and is never presented dies within minutes.
- An API's configuration may change lifetimes, limits, realm and the CSRF header's name, and switch credentials on
  and off. Switching CSRF protection or an unproven credential the dangerous way is typed twice.
- The checks that depend on which credentials are on run again on what the configuration makes of them.
";

fn page() -> String {
    let mut page = String::from(
        "# Dialect reference\n\nAll that may stand in a dialect file. [dialects.md](dialects.md) is the way in; this page is to look things \
         up.\n\nThis file is written by a test (`UPDATE=1 cargo test -p countersign-auth reference`), which fails if it is out \
         of date.\n\n",
    );
    page.push_str(NOTATIONS);
    for described in &TABLES {
        let title = match described.table {
            "" => "Top level".to_owned(),
            "answer" => "Answers".to_owned(),
            table => format!("`[{table}]`"),
        };
        write!(page, "\n## {title}\n\n{}\n\n| key | type | meaning |\n|---|---|---|\n", described.what)
            .unwrap();
        for (key, kind, meaning) in described.keys {
            writeln!(page, "| `{key}` | {kind} | {meaning} |").unwrap();
        }
    }
    lists(&mut page);
    variables(&mut page);
    page.push('\n');
    page.push_str(RULES);
    page
}

fn lists(page: &mut String) {
    page.push_str("\n## Token kinds\n\n| kind | |\n|---|---|\n");
    for kind in KINDS {
        let (name, what) = of_token(kind);
        writeln!(page, "| `{name}` | {what} |").unwrap();
    }
    page.push_str("\n## Schemes\n\n| scheme | |\n|---|---|\n");
    for scheme in Scheme::ALL {
        writeln!(page, "| `{}` | {} |", scheme.name(), of_scheme(scheme)).unwrap();
    }
    page.push_str(
        "\n## Operations\n\n| operation | what it does | inputs (optional ones in brackets) | its answer may also print |\n|---|---|---|---|\n",
    );
    let caller: BTreeSet<String> = Scope::caller(&[]).all().map(|(name, _)| name.to_owned()).collect();
    for operation in Operation::ALL {
        let required = operation.inputs().required.iter().map(|name| format!("`{name}`"));
        let optional = operation.inputs().optional.iter().map(|name| format!("[`{name}`]"));
        let inputs: Vec<String> = required.chain(optional).collect();
        let scope = Scope::operation(operation, &[], &[("TOKEN".to_owned(), true)], &[]);
        let own = scope.all().filter(|(name, _)| !caller.contains(*name) && *name != "return_to");
        let own: Vec<String> = own.map(|(name, _)| format!("`{name}`")).collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            operation.name(),
            of_operation(operation),
            inputs.join(" "),
            own.join(" ")
        )
        .unwrap();
    }
    page.push_str(
        "\nThe inputs `session` and `key` take the public reference or the value. Truth values are `true yes 1 on` and \
         `false no 0 off`. `return_to` is a path of this API. Operations that change something do not answer GET; \
         `issue` may.\n\n## Reasons\n\n| reason | status | falls back to | when |\n|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let wider = reason.falls_back_to().map_or_else(String::new, |wider| format!("`{}`", wider.name()));
        writeln!(page, "| `{}` | {} | {wider} | {} |", reason.name(), reason.status(), of_reason(reason))
            .unwrap();
    }
    page.push_str("\n## Bodies\n\n| body | `Content-Type`, unless `media` has a fuller one |\n|---|---|\n");
    for kind in BodyKind::ALL {
        writeln!(page, "| `{}` | `{}` |", kind.name(), kind.media_type()).unwrap();
    }
    page.push_str("\n## Filters\n\n| filter | makes of a value |\n|---|---|\n");
    for filter in filter_names() {
        writeln!(page, "| `{filter}` | {} |", of_filter(filter)).unwrap();
    }
}

/// Which names templates may print, by place.
fn variables(page: &mut String) {
    page.push_str("\n## Variables\n");
    let mut told = BTreeSet::new();
    for (place, scope) in [
        ("In cookies and stamps, and in answers of calls", Scope::caller(&["KEY".to_owned()])),
        ("In answers of calls also (see [operations](#operations) for which)", all_operations()),
        ("In `message` and `phrase` of refusals", Scope::refusal_message()),
        ("In bodies and headers of refusals", Scope::refusal()),
        ("In `code` of refusals", Scope::refusal_code()),
        ("In `[assertion]`", Scope::assertion(&["KEY".to_owned()])),
    ] {
        write!(page, "\n**{place}**\n\n| name | is |\n|---|---|\n").unwrap();
        let also = place.contains("also");
        for (name, kind) in scope.all() {
            if !also || !told.contains(name) {
                writeln!(page, "| `{name}` | {} |", of_kind(kind)).unwrap();
            }
            told.insert(name.to_owned());
        }
    }
    page.push_str(
        "\nA secret may stand in headers, bodies and cookies of answers and stamps; never in refusals, in `Location`, in a \
         cookie's path, in `js` or in `[assertion]` (where `csrf.token` alone is none: pages print it). The session's id \
         does not stand in the body of `show`, nor in headers where a cookie is accepted. `trace` has a value only where the \
         API is in `development`. `NAME[]` stands for the items of a list: `{% for x in NAME %}{{ x }}{% endfor %}`.\n",
    );
}

fn all_operations() -> Scope {
    let issues = [("TOKEN".to_owned(), true)];
    let scopes =
        Operation::ALL.map(|operation| Scope::operation(operation, &[], &issues, &["NAME".to_owned()]));
    scopes.into_iter().reduce(Scope::and).unwrap_or_default()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

mod tests {
    use super::*;

    #[test]
    fn the_reader_and_the_reference_know_the_same_keys() {
        let mut asked = BTreeSet::new();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects/harbour.toml");
        let shipped = std::fs::read_dir(repository().join("dialects")).unwrap();
        let shipped = shipped.map(|entry| entry.unwrap().path().join("dialect.toml"));
        for file in shipped.chain([own]) {
            let text = std::fs::read_to_string(&file).unwrap();
            let source = Source::new("reference", &text);
            read::dialect(&source).unwrap();
            asked.extend(source.asked.take());
            assert_eq!(source.into_problems(), [], "{}", file.display());
        }
        let described = TABLES.iter().flat_map(|described| {
            described.keys.iter().map(|(key, _, _)| (described.table.to_owned(), (*key).to_owned()))
        });
        let described: BTreeSet<(String, String)> = described.collect();
        let undescribed: Vec<_> = asked.difference(&described).collect();
        let unread: Vec<_> = described.difference(&asked).collect();
        assert!(
            undescribed.is_empty() && unread.is_empty(),
            "undescribed: {undescribed:?}, never read: {unread:?}"
        );
        assert!(filter_names().all(|filter| !of_filter(filter).is_empty()));
    }

    #[test]
    fn the_reference_is_up_to_date() {
        let file = repository().join("docs/dialect-reference.md");
        let now = page();
        if std::fs::read_to_string(&file).unwrap_or_default() == now {
            return;
        }
        assert!(
            std::env::var("UPDATE").is_ok_and(|update| update == "1"),
            "{} is out of date; run this test with UPDATE=1",
            file.display()
        );
        std::fs::write(file, now).unwrap();
    }
}
