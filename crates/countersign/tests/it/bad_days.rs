//! Bad days: very many slow clients, heads and bodies made to hurt, a service that fails in every way. Whoever else is
//! there is served, and memory is bounded.
//!
//! `SLOW=20000 cargo nextest run -p countersign --no-capture slow_clients` holds that many connections, as far as the
//! open-files limit lets it (two for each: this process has one end, the gate the other).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use countersign_auth::secret::Secret;
use countersign_gateway::limits::Limits;
use countersign_identity::accounts::AccountDraft;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::process::{Gate, Site, runtime};
use crate::raw::{self, Client};
use crate::threats::heard::Hearing;
use crate::threats::{Ground, basic};
use crate::transcript::Manners;

/// What is held where `SLOW` says nothing.
const SLOW: usize = 2000;
/// Files that a process has open beside its connections.
const OTHER_FILES: usize = 300;
/// Connections from one address, within what the gate allows.
const PER_ADDRESS: usize = 900;
/// What a slow connection may cost the gate, in KiB.
const KIB_EACH: u64 = 64;
/// Requests of the client that is not slow.
const ASKED: usize = 200;
/// A build without optimization, beside compilers.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// What slow clients have sent when they fall silent: nothing, half a head, half of a log-in, half of a body that goes
/// on to the service.
const BEGINNINGS: [&str; 4] = [
    "",
    "GET /api/v1/Contact/1 HTTP/1.1\r\nHost: crm.example\r\nX: ",
    "POST /login HTTP/1.1\r\nHost: crm.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nuserName=",
    "GET / HTTP/1.1\r\n\r\nGET",
];

#[expect(clippy::disallowed_methods, reason = "how large a run is, is said by whoever starts it")]
fn wanted() -> usize {
    let wanted = std::env::var("SLOW").ok().map_or(SLOW, |text| text.parse().unwrap());
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(1024_usize);
    wanted.min(files.saturating_sub(OTHER_FILES))
}

fn site() -> Site {
    let alice =
        AccountDraft { password: Some(Secret::new("wonderland-7")), ..AccountDraft::new("users", "alice") };
    let config = |upstream| {
        format!(
            "[[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"crm.example/\"]\n\
             upstream = \"http://{upstream}\"\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n\
             [limits]\nconnections = 50000\nheader_timeout = \"5m\"\nbody_timeout = \"5m\"\n"
        )
    };
    Site::with(config, vec![alice])
}

async fn slow(gate: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let last = u8::try_from(2 + number / PER_ADDRESS).unwrap();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0)))?;
    let mut stream = socket.connect(gate).await?;
    stream.write_all(BEGINNINGS[number % BEGINNINGS.len()].as_bytes()).await?;
    Ok(stream)
}

/// How long a client that is in no way special waits, at worst, and what it is told.
fn others(gate: &Gate) -> Duration {
    let lines = [
        "GET /api/v1/Contact/1 HTTP/1.1".to_owned(),
        "Host: crm.example".to_owned(),
        format!("Authorization: {}", basic("alice", "wonderland-7")),
    ];
    let request = raw::bytes(&lines, "");
    let mut client = Client::new(gate.address);
    let mut worst = Duration::ZERO;
    for number in 0..ASKED {
        let began = Instant::now();
        assert_eq!(client.exchange(0, &request).unwrap().head.status(), 200);
        // The first has its password checked.
        if number > 0 {
            worst = worst.max(began.elapsed());
        }
    }
    worst
}

#[test]
fn slow_clients_disturb_nobody() {
    let count = wanted();
    let site = site();
    let mut gate = site.start();
    gate.said("listening for clients");
    let alone = others(&gate);
    let before = gate.resident_kib();
    let runtime = runtime();
    let address = gate.address;
    let held = runtime.block_on(async {
        let mut held = Vec::with_capacity(count);
        for number in 0..count {
            held.push(slow(address, number).await.unwrap_or_else(|error| panic!("the {number}th: {error}")));
        }
        held
    });
    let beside = others(&gate);
    let after = gate.resident_kib();
    println!(
        "{} slow clients: others waited {alone:?} at worst without them, {beside:?} with them",
        held.len()
    );
    assert!(beside < ANSWERED_WITHIN, "{beside:?}");
    if let (Some(before), Some(after)) = (before, after) {
        let each = after.saturating_sub(before) / count as u64;
        println!("resident: {before} KiB before, {after} KiB after, {each} KiB each");
        assert!(each <= KIB_EACH, "{each} KiB for each connection");
    }
    drop(held);
}

/// How much the gate may grow by whatever a few hundred clients send.
const GROWN_KIB_MAX: u64 = 96 * 1024;

#[test]
fn what_is_made_to_hurt_costs_little() {
    let site = site();
    let mut gate = site.start();
    gate.said("listening for clients");
    others(&gate);
    let before = gate.resident_kib();
    let head = "GET /api/v1/Contact/1 HTTP/1.1\r\nHost: crm.example\r\n";
    let login = |body: &str| {
        format!(
            "POST /api/v1/Agents/User/CreateTicket HTTP/1.1\r\nHost: crm.example\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let many = (0..5000).map(|number| format!("X-{number}: {number}\r\n")).collect::<String>();
    let requests = [
        ("64 KB of cookies", format!("{head}Cookie: {}\r\n\r\n", "a=b; ".repeat(13_000)), &[400, 401, 431][..]),
        ("a cookie of 64 KB", format!("{head}Cookie: SuperOffice-Session={}\r\n\r\n", "A".repeat(65_000)), &[400, 401]),
        ("JSON that is 10,000 deep", login(&"[".repeat(10_000)), &[400, 413]),
        ("members that are 10,000 deep", login(&"{\"a\":".repeat(10_000)), &[400, 413]),
        ("a header bomb", format!("{head}{many}\r\n"), &[431]),
        ("a head of a megabyte", format!("{head}X: {}\r\n\r\n", "x".repeat(1_000_000)), &[431]),
        ("a target of 64 KB", format!("GET /{} HTTP/1.1\r\nHost: crm.example\r\n\r\n", "x".repeat(65_000)), &[400, 401, 414]),
        ("a body that says 5 GB", "POST /login HTTP/1.1\r\nHost: crm.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5368709120\r\n\r\n".to_owned(), &[413]),
    ];
    for _ in 0..20 {
        for (what, request, statuses) in &requests {
            let status = match Client::new(gate.address).exchange(0, request.as_bytes()) {
                Ok(answer) => answer.head.status(),
                // Closed with bytes unread; what was answered may be lost on the way.
                Err(_) => 431,
            };
            assert!(
                statuses.contains(&status) || (status == 431 && request.len() > 60_000),
                "{what}: {status}"
            );
        }
    }
    let worst = others(&gate);
    assert!(worst < ANSWERED_WITHIN, "{worst:?}");
    if let (Some(before), Some(after)) = (before, gate.resident_kib()) {
        println!("resident: {before} KiB before, {after} KiB after; others waited {worst:?} at worst");
        assert!(after.saturating_sub(before) < GROWN_KIB_MAX, "{before} KiB before, {after} KiB after");
    }
}

const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
at      = ["/"]

[[api.route]]
at    = "/**"
allow = "anonymous"
"#;

#[test]
fn a_service_that_fails_is_told_apart_in_the_dialect() {
    let ground = Ground::limited("enactor", WORLD, Limits::default());
    let get = "GET /x HTTP/1.1\nHost: a.example";
    let hearing = Hearing::begin();
    let code = |manners: Manners| {
        ground.world.behave(manners);
        let told = ground.send(get);
        ground.world.behave(Manners::Up);
        (told.status(), told.member("/errorCode"))
    };
    assert_eq!(code(Manners::Silent), (504, "upstream-timeout".to_owned()), "it never answers");
    assert_eq!(code(Manners::Down), (502, "upstream".to_owned()), "it closes without an answer");
    hearing.wait_for("could not wait longer for the answer");
    for (what, reply) in [
        ("it is half-open", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-"),
        ("it speaks no HTTP", "220 mail.example ESMTP\r\nConnection: close\r\n\r\n"),
    ] {
        ground.world.upstream.reply(reply.as_bytes().to_vec());
        let told = ground.send(get);
        assert_eq!((told.status(), told.member("/errorCode").as_str()), (502, "upstream"), "{what}");
    }
    // In mid-body it is too late for another answer: the client must not take it for a whole one.
    for reply in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        ground.world.upstream.reply(reply.as_bytes().to_vec());
        let request = "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let answer = Client::new(ground.world.address).exchange(0, request.as_bytes());
        assert!(answer.is_err(), "{answer:?}");
        ground.world.upstream.take();
    }
    hearing.wait_for("broke off");
    ground.send(get).passed();
}
