//! SIGKILL in the middle of writing: what a client was told is true after the next start.
//!
//! Four clients write as fast as they are answered and tell this test of every answer. At a random number of
//! answers the gate is killed; the file is checked as the kill left it, the gate is started on it again, and
//! everything that was acknowledged is tried: tickets, sessions, keys and passwords open, tickets that were ended do not. A change
//! that was asked for and not acknowledged may have happened or not.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::process::{Site, runtime};
use crate::raw::{self, Answer, Client};

/// Kills; each is at another moment of some write.
const ROUNDS: usize = 6;
/// A round ends at a random number of answers below this.
const ANSWERS_MAX: u64 = 400;
/// Tickets of one round: all rounds together stay below what one account may hold.
const TICKETS_MAX: usize = 1000;
/// Longer than any client waits for its next answer.
const DEADLINE: Duration = Duration::from_secs(120);
const FIRST_PASSWORD: &str = "milk-and-mice-0";
const PASSWORD: &str = "looking-glass-7";

/// What a client has to tell.
#[derive(Debug)]
enum Event {
    Ticket(String),
    /// Asked for; whether it happens is open from here on.
    Ending(String),
    Ended(String),
    Session(String),
    Key(String),
    /// Asked for; until it is acknowledged either password may be the one.
    Changing(String),
    Changed(String),
}

/// What was acknowledged.
struct Truth {
    tickets: Vec<String>,
    ended: Vec<String>,
    sessions: Vec<String>,
    keys: Vec<String>,
    password: String,
    changing: Option<String>,
    changes: usize,
}

impl Truth {
    fn learn(&mut self, event: Event) {
        match event {
            Event::Ticket(ticket) => self.tickets.push(ticket),
            Event::Ending(ticket) => self.tickets.retain(|other| *other != ticket),
            Event::Ended(ticket) => self.ended.push(ticket),
            Event::Session(session) => self.sessions.push(session),
            Event::Key(key) => self.keys.push(key),
            Event::Changing(password) => self.changing = Some(password),
            Event::Changed(password) => {
                self.password = password;
                self.changing = None;
                self.changes += 1;
            }
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let site = Site::new(people());
    let mut truth = Truth {
        tickets: Vec::new(),
        ended: Vec::new(),
        sessions: Vec::new(),
        keys: Vec::new(),
        password: FIRST_PASSWORD.to_owned(),
        changing: None,
        changes: 0,
    };
    for round in 0..ROUNDS {
        let answers = RandomState::new().build_hasher().finish() % ANSWERS_MAX;
        println!("round {round}: kill after {answers} answers");
        work_and_kill(&site, &mut truth, round, answers);
        check_file(&site.store());
        let gate = site.start();
        check(&mut Client::new(gate.address), &mut truth);
    }
    let Truth { tickets, ended, sessions, keys, changes, .. } = &truth;
    let counts = [tickets.len(), ended.len(), sessions.len(), keys.len(), *changes];
    println!("tickets, ended tickets, sessions, keys, changes of the password: {counts:?}");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

fn people() -> Vec<AccountDraft> {
    let user = |name: &str, password: &str| AccountDraft {
        password: Some(Secret::new(password)),
        ..AccountDraft::new("users", name)
    };
    let root = AccountDraft { roles: vec!["administrator".to_owned()], ..user("root", PASSWORD) };
    vec![
        root,
        user("tess", PASSWORD),
        user("dora", FIRST_PASSWORD),
        AccountDraft::new("applications", "till"),
    ]
}

/// Lets the clients work until there were so many answers, every other time one of a changed password among
/// them; kills the gate.
fn work_and_kill(site: &Site, truth: &mut Truth, round: usize, answers: u64) {
    let gate = site.start();
    let (events, told) = channel();
    std::thread::scope(|scope| {
        let address = gate.address;
        let password = truth.password.clone();
        // Each client ends with its connection; the error says only that.
        let told_by = events.clone();
        scope.spawn(move || tickets(&mut Client::new(address), &told_by));
        let told_by = events.clone();
        scope.spawn(move || sessions(&mut Client::new(address), &told_by));
        let told_by = events.clone();
        scope.spawn(move || keys(&mut Client::new(address), &told_by));
        scope.spawn(move || changes(&mut Client::new(address), round, &password, &events));
        let enough = truth.changes + round % 2;
        let mut seen = 0;
        while seen < answers || truth.changes < enough {
            truth.learn(told.recv_timeout(DEADLINE).unwrap());
            seen += 1;
        }
        gate.kill();
        // What they were told before the connection broke.
        told.into_iter().for_each(|event| truth.learn(event));
    });
}

/// An account's own change of its password, by a ticket that outlives it.
fn changes(client: &mut Client, round: usize, first: &str, events: &Sender<Event>) -> Result<(), String> {
    let answer = log_in(client, first)?;
    let ticket = json_string(&answer);
    let mut old = first.to_owned();
    for number in 0.. {
        let new = format!("milk-and-mice-{round}-{number}");
        events.send(Event::Changing(new.clone())).unwrap();
        let answer = ask(
            client,
            &[
                "POST /api/v1/Agents/User/ChangeOwnPassword HTTP/1.1",
                "Host: crm.example",
                &format!("Authorization: SOTicket {ticket}"),
                "Content-Type: application/json",
            ],
            &format!("{{\"oldPassword\":\"{old}\",\"newPassword\":\"{new}\"}}"),
        )?;
        assert_eq!(text(&answer), "true");
        events.send(Event::Changed(new.clone())).unwrap();
        old = new;
    }
    Ok(())
}

fn log_in(client: &mut Client, password: &str) -> Result<Answer, String> {
    ask(
        client,
        &[
            "POST /api/v1/Agents/User/CreateTicket HTTP/1.1",
            "Host: crm.example",
            "Content-Type: application/json",
        ],
        &format!("{{\"userName\":\"dora\",\"password\":\"{password}\"}}"),
    )
}

/// Tickets by Basic; every third is ended again.
fn tickets(client: &mut Client, events: &Sender<Event>) -> Result<(), String> {
    let basic = STANDARD.encode(format!("tess:{PASSWORD}"));
    let authorization = format!("Authorization: Basic {basic}");
    for number in 0..TICKETS_MAX {
        let answer = ask(
            client,
            &["GET /api/v1/User/currentTicket HTTP/1.1", "Host: crm.example", &authorization],
            "",
        )?;
        let ticket = json_string(&answer);
        events.send(Event::Ticket(ticket.clone())).unwrap();
        if number % 3 == 2 {
            events.send(Event::Ending(ticket.clone())).unwrap();
            let authorization = format!("Authorization: SOTicket {ticket}");
            let answer = ask(
                client,
                &["DELETE /api/v1/User/currentTicket HTTP/1.1", "Host: crm.example", &authorization],
                "",
            )?;
            assert_eq!(answer.head.status(), 204);
            events.send(Event::Ended(ticket)).unwrap();
        }
    }
    Ok(())
}

/// Sessions by the sign-in page.
fn sessions(client: &mut Client, events: &Sender<Event>) -> Result<(), String> {
    for _ in 0..TICKETS_MAX {
        let answer = ask(
            client,
            &["POST /login HTTP/1.1", "Host: crm.example", "Content-Type: application/x-www-form-urlencoded"],
            &format!("userName=tess&password={PASSWORD}"),
        )?;
        assert_eq!(answer.head.status(), 303);
        let cookie = |(name, value): &(String, String)| {
            let set = name.eq_ignore_ascii_case("set-cookie") && value.starts_with("SuperOffice-Session=");
            set.then(|| value.split(';').next().unwrap_or_default().to_owned())
        };
        events.send(Event::Session(answer.head.headers.iter().find_map(cookie).unwrap())).unwrap();
    }
    Ok(())
}

/// Keys of an application, made by an administrator.
fn keys(client: &mut Client, events: &Sender<Event>) -> Result<(), String> {
    let basic = STANDARD.encode(format!("root:{PASSWORD}"));
    // An application may hold a thousand of them.
    for _ in 0..900 / ROUNDS {
        let answer = ask(
            client,
            &[
                "POST /api/v1/applications/key HTTP/1.1",
                "Host: push.example",
                &format!("Authorization: Basic {basic}"),
                "Content-Type: application/x-www-form-urlencoded",
            ],
            "appId=till&neverExpires=true&description=Till",
        )?;
        let made: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
        events.send(Event::Key(id.to_owned())).unwrap();
    }
    Ok(())
}

/// Tries everything that was acknowledged.
fn check(client: &mut Client, truth: &mut Truth) {
    let mut status = |host: &str, path: &str, field: &str| {
        let lines = [&format!("GET {path} HTTP/1.1"), &format!("Host: {host}"), field];
        ask(client, &lines, "").unwrap().head.status()
    };
    for (tickets, expected) in [(&truth.tickets, 200), (&truth.ended, 401)] {
        for ticket in tickets {
            let field = format!("Authorization: SOTicket {ticket}");
            assert_eq!(status("crm.example", "/api/v1/Contact/1", &field), expected, "ticket {ticket}");
        }
    }
    for session in &truth.sessions {
        assert_eq!(
            status("crm.example", "/pages/1", &format!("Cookie: {session}")),
            200,
            "session {session}"
        );
    }
    for key in &truth.keys {
        let field = format!("X-VoltMX-App-API-Key: {key}");
        assert_eq!(status("push.example", "/api/v1/applications/till/subscribers", &field), 200, "key {key}");
    }
    let mut opens = |password: &str| log_in(client, password).unwrap().head.status() == 200;
    let old = opens(&truth.password);
    match truth.changing.take() {
        Some(new) => {
            let new_opens = opens(&new);
            assert!(old != new_opens, "either {} ({old}) or {new} ({new_opens})", truth.password);
            if new_opens {
                truth.password = new;
            }
        }
        None => assert!(old, "password {}", truth.password),
    }
}

/// Looks at a copy of the file and its log as the kill left them: the gate shall recover them by itself.
fn check_file(store: &Path) {
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("copy.db");
    std::fs::copy(store, &path).unwrap();
    let log = store.with_extension("db-wal");
    if log.exists() {
        std::fs::copy(log, copy.path().join("copy.db-wal")).unwrap();
    }
    runtime().block_on(async {
        let options = SqliteConnectOptions::new().filename(&path);
        let mut connection = options.connect().await.unwrap();
        let says: Vec<String> =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await.unwrap();
        assert_eq!(says, ["ok"]);
        let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
        assert!(orphans.is_empty(), "{} rows refer to nothing", orphans.len());
    });
}

fn ask(client: &mut Client, lines: &[&str], body: &str) -> Result<Answer, String> {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    client.exchange(0, &raw::bytes(&lines, body))
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// The one string that an answer consists of.
fn json_string(answer: &Answer) -> String {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}: {}", answer.head.start, text(answer)))
}
