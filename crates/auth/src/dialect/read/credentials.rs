//! `[token.WORD]` and `[credential.NAME]`.

use std::sync::Arc;

use super::{Context, carriers, some_places};
use crate::account::{APPLICATIONS, KINDS as ACCOUNT_KINDS, USERS};
use crate::dialect::part::{Part, PartName};
use crate::dialect::place::Place;
use crate::dialect::source::{At, Table, did_you_mean};
use crate::dialect::{CredentialRule, JwtCredential, Scheme, TokenRule};
use crate::form::{Form, FormError};
use crate::identity::CLAIM_FIELDS;
use crate::scheme::digest::algorithm::Algorithm;
use crate::token::{AtLimit, TokenKind};

/// Settings of a token that only some kinds heed.
const SETTINGS: [&str; 5] = ["idle", "lifetime", "proof_lifetime", "per_account", "at_limit"];

pub(super) fn tokens(root: &Table<'_, '_>) -> Vec<Arc<TokenRule>> {
    root.tables("token").into_iter().filter_map(|(word, table)| token(word, table)).map(Arc::new).collect()
}

fn token(word: String, table: Table<'_, '_>) -> Option<TokenRule> {
    if !word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        table.complain("a token is named by one word: templates say issued.NAME.value");
    }
    let kind = table.text("kind").map(|text| {
        let kind = TokenKind::named(&text.value);
        if kind.is_none() {
            let hint = did_you_mean(&text.value, TokenKind::NAMED.into_iter().map(|(name, _)| name));
            table.problem(text.span, format!("no kind of token is called `{}`{hint}", text.value));
        }
        kind.unwrap_or(TokenKind::Access)
    });
    let value_form = form(&table, "form");
    let second = form(&table, "second");
    let idle = table.time("idle");
    let lifetime = table.time("lifetime");
    let proof_lifetime = table.time("proof_lifetime");
    let per_account = table.count("per_account");
    let at_limit = match table.text("at_limit") {
        None => AtLimit::EndOldest,
        Some(text) => match text.value.as_str() {
            "refuse" => AtLimit::Refuse,
            "end-oldest" => AtLimit::EndOldest,
            _ => {
                table.problem(text.span, "`at_limit` is \"refuse\" or \"end-oldest\"");
                AtLimit::EndOldest
            }
        },
    };
    let jwt_credential = table.text("credential").map(|text| text.value);
    let Some(kind) = kind else {
        table.complain("`kind` is missing: session, access, refresh, key, shared or jwt");
        table.finish();
        return None;
    };
    match kind {
        TokenKind::Shared | TokenKind::Jwt => {
            if value_form.is_some() {
                table.complain("its value is not made from a form: leave `form` out");
            }
        }
        TokenKind::Session | TokenKind::Access | TokenKind::Refresh | TokenKind::Key => {
            if value_form.is_none() && table.raw("form").is_none() {
                table.complain("`form` is missing: what its values look like");
            }
        }
    }
    match kind {
        TokenKind::Session | TokenKind::Access | TokenKind::Refresh
            if idle.is_none() && lifetime.is_none() =>
        {
            table.complain("never ends; give `idle` or `lifetime`");
        }
        TokenKind::Jwt if lifetime.is_none() => table.complain("never ends; give `lifetime`"),
        TokenKind::Jwt if jwt_credential.is_none() => {
            table.complain("`credential` is missing: the jwt credential that reads these tokens");
        }
        TokenKind::Session
        | TokenKind::Access
        | TokenKind::Refresh
        | TokenKind::Key
        | TokenKind::Shared
        | TokenKind::Jwt => {}
    }
    for key in SETTINGS {
        if let (Some(value), Some(why)) = (table.raw(key), kind.does_not_heed(key)) {
            table.problem(value.span(), format!("`{key}` says nothing of such a token; {why}"));
        }
    }
    table.finish();
    Some(TokenRule {
        word: word.into(),
        kind,
        form: value_form,
        second,
        idle,
        lifetime,
        proof_lifetime,
        per_account,
        at_limit,
        jwt_credential,
    })
}

fn form(table: &Table<'_, '_>, key: &str) -> Option<Arc<Form>> {
    read_form(table, key).map(Arc::new)
}

/// Reads a form; what is wrong with it goes to the table.
pub(super) fn read_form(table: &Table<'_, '_>, key: &str) -> Option<Form> {
    let text = table.text(key)?;
    match Form::parse(&text.value) {
        Ok(form) => Some(form),
        Err(error) => {
            let colon = if matches!(error, FormError::Bits(_)) { "" } else { ":" };
            table.problem(text.span, format!("`{key} = \"{}\"`{colon} {error}", text.value));
            None
        }
    }
}

pub(super) fn credentials(root: &Table<'_, '_>, context: &Context) -> Vec<Arc<CredentialRule>> {
    let tables = root.tables("credential");
    let some_say_accounts = tables.iter().any(|(_, table)| table.raw("accounts").is_some());
    let mut rules: Vec<Arc<CredentialRule>> = Vec::new();
    for (name, table) in tables {
        if name == "anonymous" {
            table.complain("`anonymous` is the caller who presents nothing; it cannot be declared");
        }
        if let Some(rule) = credential(name, rules.len(), &table, context, some_say_accounts) {
            rules.push(Arc::new(rule));
        }
        table.finish();
    }
    rules
}

fn credential(
    name: String,
    index: usize,
    table: &Table<'_, '_>,
    context: &Context,
    some_say_accounts: bool,
) -> Option<CredentialRule> {
    let scheme = table.text("scheme").and_then(|text| {
        let scheme = Scheme::named(&text.value);
        if scheme.is_none() {
            let hint = did_you_mean(&text.value, Scheme::ALL.into_iter().map(Scheme::name));
            table.problem(text.span, format!("no scheme is called `{}`{hint}", text.value));
        }
        scheme
    });
    let token = table.text("token");
    let accounts = table.text("accounts");
    let deployments = deployments(table, context);
    let challenge = table.flag("challenge");
    let first_live = match table.text("repeated") {
        None => false,
        Some(text) if text.value == "first-live" => true,
        Some(text) => {
            table.problem(text.span, "`repeated` is \"first-live\", or left out");
            false
        }
    };
    let algorithms = algorithms(table);
    let proves_keys = table.flag("keys").unwrap_or(true);
    let jwt = jwt(table, scheme, context);
    let raw = table.raw("from");
    let Some(scheme) = scheme else {
        if table.raw("scheme").is_none() {
            table.complain("`scheme` is missing: how it is proven");
        }
        return None;
    };
    goes_with_scheme(table, scheme);
    if raw.is_none() {
        table.complain("`from` is missing: where it rides");
    }
    let parts = parts(table, scheme)?;
    carriers::fit(table, scheme, &parts);
    let token = token_of(table, scheme, token, context);
    if accounts.is_none() && some_say_accounts {
        table.complain("other credentials name their `accounts`; say which ones this proves");
    }
    let accounts = accounts_of(table, accounts, token.as_deref());
    let mut rule = CredentialRule {
        name: name.into(),
        index,
        scheme,
        parts,
        accounts,
        deployments,
        challenge: None,
        first_live,
        token,
        jwt,
        algorithms,
        proves_keys,
    };
    rule.challenge = challenge_word(&rule).filter(|_| challenge.unwrap_or(true));
    fits_together(table, &rule);
    Some(rule)
}

/// Keys that only some schemes have.
fn goes_with_scheme(table: &Table<'_, '_>, scheme: Scheme) {
    for (key, its) in [
        ("token", Scheme::Token),
        ("algorithms", Scheme::Digest),
        ("keys", Scheme::Digest),
        ("issuer", Scheme::Jwt),
        ("audience", Scheme::Jwt),
        ("claims", Scheme::Jwt),
    ] {
        if let Some(value) = table.raw(key)
            && scheme != its
        {
            table.problem(value.span(), format!("`{key}` goes with scheme \"{}\"", its.name()));
        }
    }
}

/// Which accounts a credential proves.
fn accounts_of(table: &Table<'_, '_>, said: Option<At<String>>, token: Option<&TokenRule>) -> Arc<str> {
    let is_key = token.is_some_and(|token| token.kind == TokenKind::Key);
    let keys_belong = || format!("API keys belong to applications: write `accounts = \"{APPLICATIONS}\"`");
    let Some(At { value, span }) = said else {
        if is_key {
            table.complain(keys_belong());
        }
        return USERS.into();
    };
    if !ACCOUNT_KINDS.contains(&value.as_str()) {
        let hint = match did_you_mean(&value, ACCOUNT_KINDS.into_iter()) {
            near if near.is_empty() => format!("; known: {}", ACCOUNT_KINDS.join(", ")),
            near => near,
        };
        table.problem(span, format!("no accounts are of the kind `{value}`{hint}"));
    } else if is_key && value != APPLICATIONS {
        table.problem(span, keys_belong());
    }
    value.into()
}

/// What must hold between the parts of a credential, and between them and its token.
fn fits_together(table: &Table<'_, '_>, rule: &CredentialRule) {
    for place in rule.parts.iter().flat_map(|part| &part.places) {
        // The tenant in the path of a login is no secret.
        let is_primary = rule.primary().is_some_and(|part| part.places.contains(place));
        if let Some(why) = place.cannot_carry()
            && (is_primary || !matches!(place, Place::Path(_)))
            && rule.scheme != Scheme::Code
        {
            table.complain(why);
        }
    }
    if rule.scheme == Scheme::Code && !rule.primary_is(|place| matches!(place, Place::Path(_))) {
        table.complain("a code is told by the issuer's name in the path: `from = \"path NAME\"`");
    }
    if rule.first_live && !rule.primary_is(|place| matches!(place, Place::Cookie(_))) {
        table.complain("`repeated` goes with cookies: two values of anything else are ambiguous");
    }
    let Some(token) = &rule.token else { return };
    let asks = rule.parts.iter().any(|part| part.name == PartName::Second);
    match (asks, &token.second) {
        (true, None) => {
            table.complain(format!("asks for a second half, but [token.{}] has no `second`", token.word));
        }
        (false, Some(_)) => table.complain(format!(
            "[token.{}] has a second half; say where it rides: `from = {{ value = …, second = … }}`",
            token.word
        )),
        (true, Some(_)) | (false, None) => {}
    }
}

/// Digest's algorithms, strongest first; SHA-256 where none is named, which every client of today knows. MD5 has to be
/// named.
fn algorithms(table: &Table<'_, '_>) -> Vec<Algorithm> {
    let mut algorithms = Vec::new();
    for text in table.texts("algorithms").unwrap_or_default() {
        match Algorithm::named(&text.value) {
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let names = Algorithm::ALL.map(Algorithm::name).join(", ");
                table.problem(text.span, format!("`algorithms` takes {names}"));
            }
        }
    }
    if algorithms.is_empty() {
        if let Some(value) = table.raw("algorithms") {
            table.problem(value.span(), "`algorithms` names none, so that nobody could answer");
        }
        algorithms.push(Algorithm::Sha256);
    }
    algorithms.sort_unstable();
    algorithms.dedup();
    algorithms
}

fn deployments(table: &Table<'_, '_>, context: &Context) -> Option<Vec<String>> {
    let texts = table.texts("deployments")?;
    for text in &texts {
        if !context.deployments.contains(&text.value) {
            let hint = did_you_mean(&text.value, context.deployments.iter().map(String::as_str));
            table.problem(
                text.span.clone(),
                format!("deployment `{}` is not one of {:?}{hint}", text.value, context.deployments),
            );
        }
    }
    Some(texts.into_iter().map(|text| text.value).collect())
}

/// The challenge that stands for a credential in a 401; schemes that have none are not offered.
fn challenge_word(rule: &CredentialRule) -> Option<&'static str> {
    let word = rule.primary()?.places.iter().find_map(|place| match place {
        Place::Authorization(word) => Some(word.to_ascii_lowercase()),
        Place::Header(..)
        | Place::Cookie(_)
        | Place::Query(_)
        | Place::Body(_)
        | Place::Path(_)
        | Place::AuthorizationAssigned(_)
        | Place::AuthorizationBare => None,
    })?;
    match word.as_str() {
        "basic" => Some("Basic"),
        "bearer" => Some("Bearer"),
        "digest" => Some("Digest"),
        "negotiate" => Some("Negotiate"),
        "ntlm" => Some("NTLM"),
        _ => None,
    }
}

fn jwt(table: &Table<'_, '_>, scheme: Option<Scheme>, context: &Context) -> Option<JwtCredential> {
    let issuer = table.text("issuer");
    let audience = table.text("audience");
    let mut claims = Vec::new();
    if let Some(inner) = table.table("claims") {
        for key in inner.keys() {
            let known = CLAIM_FIELDS.contains(&key.value.as_str()) || context.keys.contains(&key.value);
            if !known {
                let targets = CLAIM_FIELDS.into_iter().chain(context.keys.iter().map(String::as_str));
                let hint = did_you_mean(&key.value, targets);
                inner.problem(
                    key.span.clone(),
                    format!("`{}` is neither a field of identities nor one of `keys`{hint}", key.value),
                );
            }
            if let Some(claim) = inner.text(&key.value) {
                claims.push((key.value, claim.value));
            }
        }
        inner.finish();
    }
    if scheme != Some(Scheme::Jwt) {
        return None;
    }
    if !claims.iter().any(|(target, _)| target == "subject") {
        claims.push(("subject".to_owned(), "sub".to_owned()));
    }
    match (issuer, audience) {
        (Some(issuer), Some(audience)) => {
            Some(JwtCredential { issuer: issuer.value, audience: audience.value, claims })
        }
        _ => {
            table.complain("a jwt needs `issuer` and `audience`");
            None
        }
    }
}

fn token_of(
    table: &Table<'_, '_>,
    scheme: Scheme,
    token: Option<At<String>>,
    context: &Context,
) -> Option<Arc<TokenRule>> {
    let Some(word) = token else {
        if scheme == Scheme::Token {
            table.complain("`token` is missing: which [token.WORD] this is");
        }
        return None;
    };
    context.token(table, &word)
}

fn parts(table: &Table<'_, '_>, scheme: Scheme) -> Option<Vec<Part>> {
    let raw = table.raw("from")?;
    if raw.get_ref().is_table() {
        return named_parts(table, scheme);
    }
    let places = some_places(table, "from");
    let is_basic =
        |place: &Place| matches!(place, Place::Authorization(word) if word.eq_ignore_ascii_case("basic"));
    if scheme == Scheme::Password && !places.iter().all(is_basic) {
        table.complain(
            "a password rides in \"authorization Basic\", or in a table with `user` and `password`",
        );
        return None;
    }
    if places.is_empty() { None } else { Some(vec![Part { name: PartName::Value, places, required: true }]) }
}

fn named_parts(table: &Table<'_, '_>, scheme: Scheme) -> Option<Vec<Part>> {
    let (required, optional): (&[PartName], &[PartName]) = match scheme {
        Scheme::Password => (
            &[PartName::User, PartName::Password],
            &[PartName::Provider, PartName::Domain, PartName::Tenant, PartName::App],
        ),
        Scheme::Token => {
            (&[PartName::Value], &[PartName::Second, PartName::User, PartName::App, PartName::Tenant])
        }
        Scheme::Jwt => (&[PartName::Value], &[PartName::Tenant, PartName::App]),
        Scheme::Front => (&[PartName::Value, PartName::Proof], &[]),
        Scheme::Digest | Scheme::Negotiate | Scheme::Ntlm | Scheme::Code | Scheme::Unproven => {
            (&[PartName::Value], &[])
        }
    };
    let inner = table.table("from")?;
    let mut parts = Vec::new();
    for name in required.iter().chain(optional) {
        if inner.raw(name.name()).is_some() {
            let places = some_places(&inner, name.name());
            // What a file names beside user and password belongs to the credential, and so must be there; where
            // the password's account lies may be left to the default.
            let open = matches!(name, PartName::Provider | PartName::Domain | PartName::Tenant)
                && scheme == Scheme::Password;
            parts.push(Part { name: *name, places, required: !open });
        } else if required.contains(name) {
            inner.complain(format!("`{}` is missing", name.name()));
        }
    }
    inner.finish();
    if parts.is_empty() { None } else { Some(parts) }
}
