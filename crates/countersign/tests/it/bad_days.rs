//! Bad days: very many slow clients, heads and bodies made to hurt, a service that fails in every way. Whoever else is
//! there is served, and memory is bounded.
//!
//! `SLOW=2000 cargo nextest run -p countersign --no-capture slow_clients` holds so many connections in place of 20,000. As
//! many are held as files may be open: this process has one end of each, the gate the other. How many are held in the
//! end is printed, and counted.

mod hurting;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use countersign_auth::secret::Secret;
use countersign_gateway::limits::Limits;
use countersign_identity::accounts::AccountDraft;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use crate::process::{Gate, Site, runtime};
use crate::raw::{self, Client};
use crate::threats::heard::Hearing;
use crate::threats::{Ground, basic};
use crate::transcript::Manners;

/// What is held where `SLOW` says nothing.
const SLOW: usize = 20_000;
/// Files that a process has open beside its connections.
const OTHER_FILES: usize = 300;
/// And for each core that it serves on: its sockets, and connections to the service that wait for the next request.
const FILES_OF_CORE: usize = 80;
/// Connections of those who are not slow.
const BESIDE: usize = 50;
/// Connections from one address, within what the gate allows.
const PER_ADDRESS: usize = 900;
/// What a slow connection may cost the gate, in KiB.
const KIB_EACH: u64 = 64;
/// Requests of the client that is not slow.
const ASKED: usize = 200;
/// A build without optimization, beside compilers.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Fewer are no crowd.
const SLOW_MIN: usize = 500;
/// Of so many slow clients one has sent half of a body that goes on to the service: each has a connection there as well.
const FORWARDED_ONE_IN: usize = 16;

/// What slow clients have sent when they fall silent: nothing, half a head, half of a log-in.
const BEGINNINGS: [&str; 3] = [
    "",
    "GET /api/v1/Contact/1 HTTP/1.1\r\nHost: crm.example\r\nX: ",
    "POST /login HTTP/1.1\r\nHost: crm.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nuserName=",
];

/// Half of a body that goes on to the service.
fn half_a_body() -> String {
    format!(
        "PUT /api/v1/Contact/1 HTTP/1.1\r\nHost: crm.example\r\nAuthorization: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nhalf",
        basic("alice", "wonderland-7")
    )
}

#[expect(clippy::disallowed_methods, reason = "how large a run is, is said by whoever starts it")]
fn wanted() -> usize {
    let wanted = std::env::var("SLOW").ok().map_or(SLOW, |text| text.parse().unwrap());
    // Those whose bodies go on have a second end in the gate, and one in the service.
    let cores = std::thread::available_parallelism().unwrap().get();
    let other = OTHER_FILES + cores * FILES_OF_CORE;
    let needed = wanted + upstream_requests(wanted) + other;
    let files = files_for(needed);
    if files >= needed {
        return wanted;
    }
    let count = files.saturating_sub(other) * FORWARDED_ONE_IN / (FORWARDED_ONE_IN + 2);
    println!("{files} files may be open and not more: {count} connections are held in place of {wanted}");
    assert!(count >= SLOW_MIN, "{count} connections are no crowd: `ulimit -n` must be larger");
    count
}

/// What the gate is to allow at the service, where so many clients are slow: half of it is divided among its cores, whichever
/// they come to.
fn upstream_requests(count: usize) -> usize {
    2 * count.div_ceil(FORWARDED_ONE_IN)
}

/// How many files this process, and the gate that it starts, may have open once it has asked for so many.
fn files_for(count: usize) -> usize {
    let wanted = u64::try_from(count).unwrap();
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return count;
    }
    // Whoever may raise both; else up to what the system allows.
    for most in [wanted.max(maximum.unwrap_or(wanted)), maximum.unwrap_or(wanted)] {
        let limit = Rlimit { current: Some(wanted.min(most)), maximum: Some(most) };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.map_or(count, |files| usize::try_from(files).unwrap())
}

/// A site that promises no more than fits in the files that its gate may have.
fn site(count: usize) -> Site {
    let (connections, upstream_requests) = (count + BESIDE, upstream_requests(count));
    let alice =
        AccountDraft { password: Some(Secret::new("wonderland-7")), ..AccountDraft::new("users", "alice") };
    let config = |upstream| {
        format!(
            "[[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"crm.example/\"]\n\
             upstream = \"http://{upstream}\"\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n\
             [limits]\nconnections = {connections}\nupstream_requests = {upstream_requests}\nheader_timeout = \"30m\"\nbody_timeout = \"30m\"\n"
        )
    };
    Site::with(config, vec![alice])
}

/// A connection from one of this machine's own addresses.
fn connected(runtime: &Runtime, from: Ipv4Addr, gate: SocketAddr) -> std::io::Result<TcpStream> {
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(gate).await?.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    })
}

fn slow(runtime: &Runtime, gate: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let last = u8::try_from(2 + number / PER_ADDRESS).unwrap();
    let mut stream = connected(runtime, Ipv4Addr::new(127, 0, 1, last), gate)?;
    if number.is_multiple_of(FORWARDED_ONE_IN) {
        stream.write_all(half_a_body().as_bytes())?;
    } else {
        stream.write_all(BEGINNINGS[number % BEGINNINGS.len()].as_bytes())?;
    }
    Ok(stream)
}

/// Whether the gate still waits for more: it has neither closed nor said anything.
fn is_waited_for(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
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
    let site = site(count);
    let mut gate = site.start();
    gate.said("listening for clients");
    let alone = others(&gate);
    let before = gate.resident_kib();
    let runtime = runtime();
    let held: Vec<TcpStream> = (0..count)
        .map(|number| {
            slow(&runtime, gate.address, number).unwrap_or_else(|error| panic!("the {number}th: {error}"))
        })
        .collect();
    // Those that go on to the service have come there.
    let wanted = count.div_ceil(FORWARDED_ONE_IN);
    let until = Instant::now() + Duration::from_secs(300);
    while site.upstream.halves() < wanted {
        assert!(Instant::now() < until, "{} of {wanted} bodies came to the service", site.upstream.halves());
        std::thread::yield_now();
    }
    let beside = others(&gate);
    let after = gate.resident_kib();
    let open = held.iter().filter(|stream| is_waited_for(stream)).count();
    println!(
        "{open} of {SLOW} slow clients: others waited {alone:?} at worst without them, {beside:?} with them"
    );
    assert_eq!((open, site.upstream.halves()), (count, wanted), "all are still held");
    assert!(beside < ANSWERED_WITHIN, "{beside:?}");
    if let (Some(before), Some(after)) = (before, after) {
        let each = after.saturating_sub(before) / count as u64;
        println!("resident: {before} KiB before, {after} KiB after, {each} KiB each");
        assert!(each <= KIB_EACH, "{each} KiB for each connection");
    }
    drop(held);
}

/// The gate's lines about clients that were cut off, until there is one for this limit.
#[track_caller]
fn cut_off_at(gate: &mut Gate, limit: &str) {
    while gate.says_next(&["cut clients off"])["limit"] != limit {}
}

#[test]
fn whoever_is_cut_off_is_counted_by_limit() {
    let alice =
        AccountDraft { password: Some(Secret::new("wonderland-7")), ..AccountDraft::new("users", "alice") };
    let site = Site::with(
        |upstream| {
            format!(
                "[[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"crm.example/\"]\n\
                 upstream = \"http://{upstream}\"\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n\
                 [limits]\nconnections = 30\nconnections_per_address = 20\nheader_timeout = \"15s\"\nbody_timeout = \"1s\"\n"
            )
        },
        vec![alice],
    );
    let mut gate = site.start();
    let (runtime, address) = (runtime(), gate.address);
    let hold = |last: u8, count: usize| {
        runtime.block_on(async {
            let mut held = Vec::new();
            for _ in 0..count {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0))).unwrap();
                held.push(socket.connect(address).await.unwrap());
            }
            held
        })
    };
    let first = hold(2, 21);
    cut_off_at(&mut gate, "connections_per_address");
    let second = hold(3, 11);
    cut_off_at(&mut gate, "connections");
    // The others say nothing, and are gone in time.
    cut_off_at(&mut gate, "header_timeout");
    drop((first, second));
    // A log-in that stands still is told so in the words of the dialect.
    let request = "POST /api/v1/Agents/User/CreateTicket HTTP/1.1\r\nHost: crm.example\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let answer = Client::new(gate.address).exchange(0, request.as_bytes()).unwrap();
    assert_eq!(answer.head.status(), 400, "{answer:?}");
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["ErrorType"], "SoException", "{told}");
    others(&gate);
}

/// How much the gate may grow by whatever a few hundred clients send.
const GROWN_KIB_MAX: u64 = 96 * 1024;

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
    let ground = Ground::limited_in("enactor", WORLD, Limits::default(), Duration::from_secs(3));
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

/// How a service fails whoever asks it.
#[derive(Clone, Copy)]
enum Failing {
    /// It takes the request, and never answers.
    Silent,
    /// The head of its answer never ends.
    HalfOpen,
    /// It is gone in the midst of its answer.
    Dying,
}

/// A service that fails; it stops with the test's process.
fn failing(how: Failing) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            // As much as there is: what is asked fits in one read.
            let _read = stream.read(&mut [0; 4096]);
            let said: &[u8] = match how {
                Failing::Silent => b"",
                Failing::HalfOpen => b"HTTP/1.1 200 OK\r\nContent-",
                Failing::Dying => b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthe beginning",
            };
            let _gone = stream.write_all(said);
            if !matches!(how, Failing::Dying) {
                held.push(stream);
            }
        }
    });
    address
}

/// Clients of each service that fails.
const WAITING: usize = 100;
/// How long they wait for it: whoever had to wait with them would be answered too late.
const FAILS_AFTER: Duration = Duration::from_secs(25);

#[test]
fn services_that_fail_disturb_no_other() {
    let alice =
        AccountDraft { password: Some(Secret::new("wonderland-7")), ..AccountDraft::new("users", "alice") };
    let fails = [("silent", Failing::Silent), ("open", Failing::HalfOpen), ("dying", Failing::Dying)];
    let site = Site::with(
        |upstream| {
            let api = |name: &str, dialect: &str, upstream: SocketAddr, more: &str, allow: &str| {
                format!(
                    "[[api]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nat = [\"{name}.example/\"]\n\
                     upstream = {{ backends = [\"http://{upstream}\"]{more} }}\n\
                     [[api.route]]\nat = \"/**\"\nallow = \"{allow}\"\n"
                )
            };
            let mut text = api("crm", "superoffice", upstream, "", "authenticated");
            let patience = format!(", response_timeout = \"{}s\"", FAILS_AFTER.as_secs());
            text.extend(fails.map(|(name, how)| api(name, "enactor", failing(how), &patience, "anonymous")));
            text
        },
        vec![alice],
    );
    let mut gate = site.start();
    others(&gate);
    let before = gate.resident_kib();
    let address = gate.address;
    let ask = |name: &str| {
        let lines = ["GET /api/v1/Contact/1 HTTP/1.1".to_owned(), format!("Host: {name}.example")];
        Client::new(address).exchange(0, &raw::bytes(&lines, ""))
    };
    std::thread::scope(|threads| {
        let asked: Vec<_> = fails
            .iter()
            .flat_map(|(name, how)| (0..WAITING).map(move |_| (*name, *how)))
            .map(|(name, how)| (name, how, threads.spawn(move || ask(name))))
            .collect();
        let worst = others(&gate);
        assert!(worst < ANSWERED_WITHIN, "{worst:?}");
        for (name, how, answer) in asked {
            match (how, answer.join().unwrap()) {
                (Failing::Silent | Failing::HalfOpen, Ok(answer)) => {
                    assert_eq!(answer.head.status(), 504, "{name}");
                    let told: Value = serde_json::from_slice(&answer.body).unwrap();
                    assert_eq!(told["errorCode"], "upstream-timeout", "{name}: {told}");
                }
                (Failing::Dying, Err(_broken)) => {}
                (_, other) => panic!("{name}: {other:?}"),
            }
        }
    });
    gate.said("an upstream failed");
    if let (Some(before), Some(after)) = (before, gate.resident_kib()) {
        println!("resident: {before} KiB before, {after} KiB after {} failures", 3 * WAITING);
        assert!(after.saturating_sub(before) < GROWN_KIB_MAX, "{before} KiB before, {after} KiB after");
    }
}
