//! A store full of sessions: the gate serves at once and loads them beside that.
//!
//! `SESSIONS=1000000` takes that many, and `COUNTERSIGN=path` another build; `--no-capture` shows the figures.

use std::time::{Duration, Instant};

use countersign_auth::time::Clock as _;
use countersign_auth::token::{TokenDigest, TokenKind};
use countersign_identity::accounts::AccountDraft;
use countersign_identity::store::sqlite::SqliteStore;
use countersign_identity::store::{AccountRow, Change, Store as _, TokenRow};
use countersign_identity::world::WallClock;

use crate::process::{Site, runtime};
use crate::raw::{self, Client};

/// What is tried where `SESSIONS` says nothing: enough to see a page follow another.
const SESSIONS: u64 = 30_000;
const SESSIONS_PER_ACCOUNT: u64 = 10;
/// Rows of one transaction.
const ROWS: u64 = 10_000;
/// What the store's own accounts have for numbers is far below.
const FIRST_ACCOUNT: u64 = 1000;
/// Builds without optimization, beside compilers, are slow; what takes longer than this waits for the loading.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn sessions_are_served_while_they_are_loaded() {
    let sessions = wanted();
    let administrator =
        AccountDraft { roles: vec!["administrator".to_owned()], ..AccountDraft::new("users", "root") };
    let site = Site::new(vec![administrator]);
    let mut gate = site.start();
    gate.said("loaded all tokens");
    let empty = gate.resident_kib();
    gate.kill();

    let filling = Instant::now();
    fill(&site, sessions);
    let filled = filling.elapsed();

    let mut gate = site.start();
    let listening = gate.started.elapsed();
    let mut client = Client::new(gate.address);
    // The last one written is the last one loaded.
    let mut ask = |number: u64| {
        let lines = [
            "GET /api/v1/Contact/1 HTTP/1.1".to_owned(),
            "Host: crm.example".to_owned(),
            format!("Authorization: SOTicket {}", ticket(number)),
        ];
        client.exchange(0, &raw::bytes(&lines, "")).unwrap().head.status()
    };
    let status = ask(sessions - 1);
    let served = gate.started.elapsed();
    let meanwhile = if gate.times_said("loaded all tokens") > 0 { "after" } else { "while" };
    assert_eq!(status, 200, "a known session, at once");
    assert_eq!(ask(sessions), 401, "one that nobody was given");
    let loaded = gate.said("loaded all tokens");
    let ready = gate.started.elapsed();
    assert_eq!(loaded["tokens.loaded"], sessions);
    assert_eq!(ask(0), 200);
    let full = gate.resident_kib();
    println!(
        "{sessions} sessions of {} accounts, filled in {filled:?}: listening after {listening:?}, first served after \
         {served:?}, {meanwhile} sessions were loaded, all loaded after {ready:?} (loading took {} ms)",
        sessions.div_ceil(SESSIONS_PER_ACCOUNT),
        loaded["tokens.load_ms"]
    );
    if let (Some(empty), Some(full)) = (empty, full) {
        let each = full.saturating_sub(empty) * 1024 / sessions;
        println!(
            "resident: {empty} KiB empty, {full} KiB full, {each} bytes for each session and its part of an account"
        );
    }
    assert!(served < SERVED_WITHIN, "{served:?}");
}

#[expect(clippy::disallowed_methods, reason = "how large a run is, is said by whoever starts it")]
fn wanted() -> u64 {
    std::env::var("SESSIONS").map_or(SESSIONS, |text| text.parse().unwrap())
}

/// The value of a session that was issued long ago, as it were.
fn ticket(number: u64) -> String {
    format!("7T:{number:064}")
}

fn fill(site: &Site, sessions: u64) {
    let runtime = runtime();
    runtime.block_on(async {
        let store = SqliteStore::open(&site.store(), runtime.handle()).await.unwrap();
        for first in (0..sessions).step_by(usize::try_from(ROWS).unwrap()) {
            let numbers = first..sessions.min(first + ROWS);
            let accounts = numbers.clone().filter(|number| number % SESSIONS_PER_ACCOUNT == 0);
            let mut changes: Vec<Change> =
                accounts.map(|number| Change::InsertAccount(Box::new(account(number)))).collect();
            changes.push(Change::PutTokens(numbers.map(session).collect()));
            store.write(changes).await.unwrap();
        }
        store.close().await.unwrap();
    });
}

fn account(number: u64) -> AccountRow {
    let id = FIRST_ACCOUNT + number / SESSIONS_PER_ACCOUNT;
    AccountRow {
        id: i64::try_from(id).unwrap(),
        kind: "users".to_owned(),
        name: format!("user{id}"),
        name_folded: format!("user{id}"),
        subject: format!("user{id}"),
        full_name: format!("User {id}"),
        first_name: "User".to_owned(),
        last_name: id.to_string(),
        email: format!("user{id}@example.com"),
        tenant: None,
        roles: "[\"agent\"]".to_owned(),
        keys: format!("{{\"associate_id\":\"{id}\"}}"),
        password_hash: None,
        password_due: false,
        disabled: false,
        proofs_from: 0,
        created_at: 0,
        updated_at: 0,
    }
}

fn session(number: u64) -> TokenRow {
    let now = WallClock.now().unix_secs();
    TokenRow {
        digest: TokenDigest::of("crm", "ticket", &ticket(number)).0,
        api: "crm".into(),
        word: "ticket".into(),
        kind: TokenKind::Session,
        account: FIRST_ACCOUNT + number / SESSIONS_PER_ACCOUNT,
        issued_at: now,
        used_at: now,
        idle_secs: 6 * 60 * 60,
        ends_at: None,
        proven_at: now,
        family: 0,
        spent: false,
    }
}
