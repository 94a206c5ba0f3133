//! Another configuration in the place of the one that a gate runs on: checked whole first, then put in place at once.
//!
//! What requests are measured by can change: dialects, routes, objects, places, upstreams, limits, certificates. What
//! the store, the listeners and the identity service were opened with cannot; a configuration that says otherwise is
//! refused, so that a gate never runs on a mixture of two.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_auth::api::Api;
use countersign_services::mounted::Mounted;
use serde_json::Value;

use super::plane::{self, Present};
use super::{Identities, Running, Settled, directories, problems, settle_all};
use crate::config::{self, Config, Content, Contents, Loaded, Mistake};
use crate::output::Failure;

/// Tables of the configuration that are read at the start only.
const FIXED: [&str; 9] = [
    "store",
    "administration",
    "listener",
    "passwords",
    "lockout",
    "assertion",
    "log",
    "outbound",
    "directory",
];

/// Of which these have their files read again.
const READ_AGAIN: [&str; 1] = ["listener"];

/// The file of these that the gate makes itself, when it is first needed.
const STORE_KEY: &str = "store.key";

/// Keys of an API that the identity service was told at the start, or when the API came to be.
const DECLARED: [&str; 9] =
    ["providers", "directory", "shared", "issuers", "front", "introspection", "kerberos", "ntlm", "digest"];

/// What an API says to the identity service.
#[derive(Clone)]
pub(super) struct Declared {
    words: Value,
    /// What stood in the files that it names.
    files: Contents,
}

impl Declared {
    pub(super) fn of(loaded: &Loaded, api: &Settled) -> Self {
        Self { words: declarations(&api.words), files: loaded.contents_of_api(api.api.name()) }
    }

    /// The keys whose values are others than in `before`, or name a file that has another content.
    fn changed_since<'s>(&'s self, before: &'s Self) -> impl Iterator<Item = &'s str> {
        let same = |key: &str| self.words.get(key) == before.words.get(key);
        let words = DECLARED.iter().copied().chain(["object"]).filter(move |key| !same(key));
        let files = self.files.iter().filter(move |(key, content)| {
            DECLARED.contains(&table_of(key))
                && same(table_of(key))
                && before.files.get(*key) != Some(*content)
        });
        words.chain(files.map(|(key, _)| key.as_str()))
    }
}

/// The first part of a key.
fn table_of(key: &str) -> &str {
    key.split(['.', '[']).next().unwrap_or(key)
}

fn declarations(words: &Value) -> Value {
    let mut said: serde_json::Map<String, Value> =
        DECLARED.iter().filter_map(|key| Some(((*key).to_owned(), words.get(*key)?.clone()))).collect();
    let objects = words.get("object").and_then(Value::as_object).into_iter().flatten();
    // Whom the gate asks about a kind, and by which key.
    let asked = objects.filter(|(_, kind)| kind.get("ask").is_some_and(|ask| !ask.is_null()));
    let asked = asked.map(|(name, kind)| (name.clone(), kind.clone()));
    said.insert("object".to_owned(), asked.collect::<serde_json::Map<_, _>>().into());
    said.into()
}

impl Running {
    /// Puts another configuration in the place of the running one; requests that were begun end with that. Reads
    /// certificates again as well.
    ///
    /// # Errors
    /// What is wrong with it, or cannot change while the gate runs. Then nothing has changed.
    pub(crate) async fn reload(
        &mut self,
        before: &Loaded,
        after: &Loaded,
        identities: &Arc<Identities>,
    ) -> Result<(), Failure> {
        let mistakes = problems(after);
        if !mistakes.is_empty() {
            return Err(Failure::Mistakes(mistakes));
        }
        let known = identities.apis();
        let mut settled = settle_all(after)?;
        for api in &mut settled {
            // Whatever hangs on an API that nothing has changed of goes on: remembered proofs above all.
            if let Some(same) = known.iter().find(|other| other.is_still(api)) {
                *api = same.clone();
            }
        }
        let mistakes = fixed(before, after, identities, &known, &settled)?;
        if !mistakes.is_empty() {
            return Err(Failure::Mistakes(mistakes));
        }
        let certificates = self.data.read_certificates()?;
        let apis: Vec<Arc<Api>> = settled.iter().map(|settled| Arc::clone(&settled.api)).collect();
        let handle = tokio::runtime::Handle::current();
        let services = self.present.services.renewed(&apis, &plane::world(identities), &handle).await?;
        let upstreams = plane::upstreams(after, &self.present.upstreams)?;
        let present = Present { services: Arc::new(services), upstreams };
        let gate = plane::gate(after, identities, &settled, &present, &self.metrics, self.access.clone())?;
        let outbound =
            directories::outbound(after).map_err(|error| anyhow::anyhow!("outbound.ca: {error}"))?;
        for (config, api) in after.config.api.iter().zip(&settled) {
            if known.iter().all(|other| other.api.name() != api.api.name()) {
                identities.declare(after, config, api, &outbound).await?;
            }
        }
        // From here on nothing fails.
        for (config, api) in after.config.api.iter().zip(&settled) {
            identities.trust_own(config, api);
        }
        let calls = plane::calls(&after.config, identities, Arc::clone(&present.services));
        identities.adopt(settled);
        self.data.replace(gate);
        certificates.show();
        self.calls.store(Arc::new(calls));
        self.drain = after.config.limits.drain.0;
        let old = std::mem::replace(&mut self.present, present);
        Mounted::close_what_ended(&old.services, &self.present.services);
        Ok(())
    }
}

/// What another configuration says that cannot change while the gate runs.
fn fixed(
    before: &Loaded,
    after: &Loaded,
    identities: &Identities,
    known: &[Settled],
    settled: &[Settled],
) -> Result<Vec<Mistake>, Failure> {
    let told = |path: &str| Mistake {
        hint: Some("restart the gate for that".to_owned()),
        ..after.mistake(path, "cannot change while the gate runs")
    };
    let words = |config: &Config| serde_json::to_value(config);
    let (old, new) = (words(&before.config)?, words(&after.config)?);
    let mut mistakes: Vec<Mistake> =
        FIXED.iter().filter(|key| old.get(**key) != new.get(**key)).map(|key| told(key)).collect();
    // A secret that has leaked must not stay good behind "took the configuration anew".
    let files = after.contents.iter().filter(|(key, content)| {
        let (table, was) = (table_of(key), before.contents.get(*key));
        FIXED.contains(&table)
            && !READ_AGAIN.contains(&table)
            && old.get(table) == new.get(table)
            && was != Some(*content)
            && !(*key == STORE_KEY && is_made(was, identities))
    });
    mistakes.extend(files.map(|(key, _)| told(key)));
    for (at, (api, settled)) in after.config.api.iter().zip(settled).enumerate() {
        let Some(declared) = identities.declared(&api.name) else { continue };
        let said = Declared::of(after, settled);
        mistakes.extend(said.changed_since(&declared).map(|key| told(&format!("api[{at}].{key}"))));
    }
    // Whose account a value of the operator's is was said when the value was.
    for (at, (api, settled)) in after.config.api.iter().zip(settled).enumerate() {
        let before = known.iter().find(|before| before.api.name() == settled.api.name());
        if before.is_some_and(|before| shared_values(api, before) != shared_values(api, settled)) {
            mistakes.push(told(&format!("api[{at}].dialect")));
        }
    }
    // What is kept of a password for Digest is what was declared when it was set.
    if mistakes.is_empty() && digest_places(known) != digest_places(settled) {
        mistakes.push(told("api"));
    }
    Ok(mistakes)
}

/// Whether the key of the store was not there before, and is there as the gate itself made it.
fn is_made(was: Option<&Content>, identities: &Identities) -> bool {
    was.is_some_and(|was| was.is_absent()) && identities.service().has_key_of_file()
}

/// The values of the operator's that an API has, each with the kind of account that it proves.
fn shared_values(api: &config::Api, settled: &Settled) -> BTreeSet<(String, String)> {
    let said = settled.api.shared_words().filter(|(word, _)| api.shared.contains_key(&***word));
    said.map(|(word, kind)| (word.to_string(), kind.to_string())).collect()
}

fn digest_places(apis: &[Settled]) -> BTreeSet<String> {
    let places = apis.iter().flat_map(|settled| settled.api.digest_places());
    places.map(|(kind, realm, hash)| format!("{kind} {realm} {hash:?}")).collect()
}
