//! Replays the transcripts of every dialect against real gates.
//!
//! `TRANSCRIPT=name` replays those whose name contains `name` only.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::dialect::Dialect;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};

use crate::digest;
use crate::raw::{self, Client};
use crate::transcript::compare::{self, OF_ANSWERS, OF_REQUESTS};
use crate::transcript::pattern::Bindings;
use crate::transcript::{
    Claims, DIALECTS, Exchange, Message, Step, Transcript, of_dialect, with_transcripts,
};
use crate::upstream::Received;
use crate::world::setting::Setting;
use crate::world::{ASSERTION, Keeping, World};

/// Worlds at work at the same time.
const WORLDS: usize = 4;

#[test]
fn egain() {
    dialect("egain");
}

#[test]
fn genesys() {
    dialect("genesys");
}

#[test]
fn voltmx() {
    dialect("voltmx");
}

#[test]
fn superoffice() {
    dialect("superoffice");
}

#[test]
fn enactor() {
    dialect("enactor");
}

/// Whoever writes a dialect of his own puts its folder beside these, and nothing else.
#[test]
fn every_other() {
    let others = with_transcripts();
    others.iter().filter(|name| !DIALECTS.contains(&name.as_str())).for_each(|name| dialect(name));
}

fn dialect(name: &str) {
    let mut transcripts = of_dialect(name).unwrap_or_else(|errors| panic!("{}", errors.join("\n")));
    if let Ok(wanted) = std::env::var("TRANSCRIPT") {
        transcripts.retain(|transcript| transcript.name.contains(&wanted));
    }
    let setting = Setting::of(name);
    let text = Setting::dialect_text(name);
    let dialect = Dialect::load(&format!("dialects/{name}/dialect.toml"), &text);
    let dialect = dialect.map(Arc::new).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let next = AtomicUsize::new(0);
    let failures: Mutex<Vec<(usize, Failure)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    let Some(transcript) = transcripts.get(at) else { return };
                    let outcome = World::start(&setting, &dialect, Keeping::File, transcript)
                        .map_err(|error| Failure { exchange: 0, differences: vec![error] })
                        .and_then(|mut world| replay(transcript, &setting, &mut world));
                    if let Err(failure) = outcome {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push((at, failure));
                    }
                }
            });
        }
    });
    let exchanges: usize = transcripts.iter().map(Transcript::exchanges).sum();
    println!("{name}: {} transcripts, {exchanges} exchanges", transcripts.len());
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|(at, _)| *at);
    if !failures.is_empty() {
        panic!("{}", summary(&transcripts, &failures));
    }
}

fn summary(transcripts: &[Transcript], failures: &[(usize, Failure)]) -> String {
    let mut text = format!("{} of {} transcripts failed\n", failures.len(), transcripts.len());
    for (at, failure) in failures {
        for difference in &failure.differences {
            let _ = writeln!(text, "{difference}");
        }
        let transcript = &transcripts[*at];
        let _ = writeln!(
            text,
            "--> {}: exchange {} of {}\n",
            transcript.name,
            failure.exchange,
            transcript.exchanges()
        );
    }
    for (at, failure) in failures {
        let _ = writeln!(text, "failed: {} at exchange {}", transcripts[*at].file, failure.exchange);
    }
    text
}

/// What was otherwise than a transcript says.
#[derive(Debug)]
pub(crate) struct Failure {
    /// In which exchange, counted from 1; what comes after it was not tried.
    pub(crate) exchange: usize,
    /// What it was.
    pub(crate) differences: Vec<String>,
}

/// Replays a transcript in a fresh world.
///
/// # Errors
/// All differences of the first exchange that has any.
pub(crate) fn replay(transcript: &Transcript, setting: &Setting, world: &mut World) -> Result<(), Failure> {
    if let Some(api) = &transcript.api
        && !setting.apis().any(|known| known == api)
    {
        let differences = vec![format!("{}: no api of the world is called {api}", transcript.file)];
        return Err(Failure { exchange: 0, differences });
    }
    // Time passes as the transcript says, however slow the machine is.
    world.stop_clock();
    let mut client = Client::new(world.address);
    let keys = world.assertion_keys();
    let mut count = 0;
    for step in &transcript.steps {
        match step {
            Step::Wait(span) => world.wait(*span),
            Step::Store(reach) => world.reach(*reach),
            Step::Service(manners) => world.behave(*manners),
            Step::Passwords(load) => world.load(*load),
            Step::Exchange(exchange) => {
                count += 1;
                let file = &transcript.file;
                let differences = play(file, exchange, world, &mut client, &keys).unwrap_or_else(|error| {
                    vec![format!("{file}:{}: {error}", exchange.client.start.number)]
                });
                if !differences.is_empty() {
                    return Err(Failure { exchange: count, differences });
                }
            }
        }
    }
    Ok(())
}

/// One exchange; an error is what kept it from being one.
fn play(
    file: &str,
    exchange: &Exchange,
    world: &mut World,
    client: &mut Client,
    keys: &JwkSet,
) -> Result<Vec<String>, String> {
    digest::answer(&exchange.client, &mut world.bindings)?;
    let request = wire_bytes(&exchange.client, &world.bindings)?;
    if let Some(reply) = &exchange.reply {
        world.upstream.reply(wire_bytes(reply, &world.bindings)?);
    }
    let answer = client.exchange(exchange.connection, &request);
    let received = world.upstream.take();
    let mut differences = upstream(file, exchange, &received, &mut world.bindings, keys);
    match answer {
        Ok(answer) => differences.extend(compare::message(
            file,
            &exchange.answer,
            &answer.head,
            &answer.body,
            &OF_ANSWERS,
            &mut world.bindings,
        )),
        Err(error) => differences.push(format!("{file}:{}: {error}", exchange.client.start.number)),
    }
    if differences.is_empty() {
        for wanted in &exchange.claims {
            claims(file, wanted, &world.bindings, &mut differences);
        }
    }
    Ok(differences)
}

fn wire_bytes(message: &Message, bindings: &Bindings) -> Result<Vec<u8>, String> {
    let lines = std::iter::once(&message.start).chain(&message.headers);
    let lines = lines.map(|line| line.text.render(bindings)).collect::<Result<Vec<_>, _>>()?;
    Ok(raw::bytes(&lines, &message.body.render(bindings)?))
}

fn upstream(
    file: &str,
    exchange: &Exchange,
    received: &[Received],
    bindings: &mut Bindings,
    keys: &JwkSet,
) -> Vec<String> {
    let mut differences = Vec::new();
    match (&exchange.upstream, received) {
        (None, []) => {}
        (None, [first, ..]) => {
            let number = exchange.client.start.number;
            differences.push(format!("{file}:{number}: reached the service: {}", first.head.start));
        }
        (Some(expected), [one]) => {
            let found = compare::message(file, expected, &one.head, &one.body, &OF_REQUESTS, bindings);
            differences.extend(found);
            let assertion = one.head.header(ASSERTION).unwrap_or_default();
            if !is_signed(assertion, keys) {
                let number = expected.start.number;
                differences
                    .push(format!("{file}:{number}: the assertion is not signed with a key of the gate"));
            }
        }
        (Some(expected), other) => {
            let number = expected.start.number;
            differences.push(format!("{file}:{number}: reached the service {} times", other.len()));
        }
    }
    differences
}

/// Whether a service that knows the published keys alone would believe it.
fn is_signed(token: &str, keys: &JwkSet) -> bool {
    keys.keys.iter().any(|jwk| {
        let algorithm = jwk.common.key_algorithm.unwrap().to_string().parse().unwrap();
        let mut validation = Validation::new(algorithm);
        // The gate's clock is turned; transcripts say what else must be in it.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let key = DecodingKey::from_jwk(jwk).unwrap();
        jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).is_ok()
    })
}

fn claims(file: &str, wanted: &Claims, bindings: &Bindings, differences: &mut Vec<String>) {
    let at = wanted.line;
    let payload = bindings
        .value(&wanted.name)
        .and_then(|token| token.split('.').nth(1))
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok())
        .and_then(|payload| serde_json::from_slice::<Map<String, Value>>(&payload).ok());
    let Some(payload) = payload else {
        differences.push(format!("{file}:{at}: {{{{{}}}}} is no JWT", wanted.name));
        return;
    };
    for (name, expected) in &wanted.members {
        let got = payload.get(name);
        if got.unwrap_or(&Value::Null) != expected {
            let got = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
            differences.push(format!("{file}:{at}: claim {name}: expected {expected}\n    got {got}"));
        }
    }
}
