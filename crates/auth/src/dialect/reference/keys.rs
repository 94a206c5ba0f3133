//! The tables of a dialect file and their keys.

/// A kind of table, what it is for, and its keys: name, type, meaning.
pub(super) struct Described {
    pub(super) table: &'static str,
    pub(super) what: &'static str,
    pub(super) keys: &'static [(&'static str, &'static str, &'static str)],
}

pub(super) const TABLES: [Described; 12] = [
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
            (
                "per_account",
                "integer",
                "How many of one account may live at once. Without it 10,000 of all kinds together; the oldest makes room.",
            ),
            (
                "at_limit",
                "`refuse` or `end-oldest`",
                "What becomes of the one that is too many. Default `end-oldest`.",
            ),
            (
                "credential",
                "name of a credential",
                "For `jwt`, required: the credential that reads these tokens; issuer, audience and claims are its own, in reverse. Beside them stand `api`, `account`, `proofs_from` and `auth_time`, by which the gate knows its own: that credential reads none of these, of `iss`, `aud`, `iat`, `exp` and `nbf`, and none by a pointer.",
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
                "see [account kinds](#account-kinds)",
                "Which kind of accounts it proves. Default `users`; as soon as one credential says it, all do. One of API keys proves `applications`.",
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
            (
                "algorithms",
                "list of strings",
                "For `digest`: SHA-512-256, SHA-256, MD5, each also with `-sess`; offered strongest first. Default `[\"SHA-256\"]`.",
            ),
            (
                "keys",
                "boolean",
                "For `digest`: whether it proves the account's keys, or only who it is. Default `true`.",
            ),
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
                "`password`: the account's tenant; may be missing. `token` and `jwt`: must be there, and be the account's. With `jwt` it may be a signed token for one of the tenants that the caller's own is for.",
            ),
            ("app", "place", "The secret of an application that may speak for this API; must be there."),
            ("proof", "place", "`front`: what the front proves itself with; must be there."),
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
            (
                "headers",
                "list of `Name: template`",
                "A line whose only value is empty is left out. No `Content-Type`: that is the service's to say.",
            ),
            (
                "cookies",
                "list of cookies",
                "Set them. Who holds no session gets one where `csrf.token` is printed.",
            ),
        ],
    },
    Described {
        table: "endpoint.NAME",
        what: "A call that the gate answers itself. It lies on the surface that its path is on. Where a variable of the path leads onto a more exact surface, the two agree in all that the call does not say itself, or another call stands there.",
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
            (
                "issues",
                "list of tokens",
                "For `issue`, one or more; for `key-create`, one. Where there are several tokens of kind `key`, each of the key operations names the one that it is about.",
            ),
            ("answer", "answer", "Default: 200 without a body."),
            ("on", "table: reason = answer", "Refusals of this call, before those of its surface's family."),
            (
                "forward",
                "boolean",
                "For `end`: the service answers, and the session ends if it answered 2xx.",
            ),
            ("reason", "see [reasons](#reasons)", "For `refuse`, required."),
            (
                "options",
                "table, see [operations](#operations)",
                "For a named service: what it is told. An API may leave the call to the service behind the gate instead.",
            ),
            (
                "unless",
                "string",
                "Another call, a named service's: this one is there only where an API leaves that one to the service behind the gate.",
            ),
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
                "A line whose only value is empty is left out. `Location` stays on this host. `Content-Type` only in an answer with status 204: a body has that of its kind, or of `media`.",
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
                "Headers; what a client sent under such a name is removed, so that none may be called like a header that the gate or HTTP itself decides by (`Host`, `Origin`, `Content-Type` …). A line whose only value is empty is left out.",
            ),
            (
                "claims",
                "table: name = template",
                "Further claims of the assertion. The gate's own names are taken.",
            ),
        ],
    },
];
