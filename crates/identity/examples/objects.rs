//! How long objects take to be written and found, however many there are.
//!
//! `cargo run --release -p countersign-identity --example objects -- 1000 1000000`
//!
//! For each number a new SQLite file is filled with so many objects; then objects are looked up at random: as the
//! store has them, and as memory has them.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for people to run and read")]

use std::error::Error;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use countersign_auth::port::objects::{NewBinding, ObjectDigest, ObjectName, Objects as _};
use countersign_auth::time::Clock as _;
use countersign_identity::password::PasswordOptions;
use countersign_identity::service::{By, Service, ServiceOptions};
use countersign_identity::world::WallClock;

/// Objects that are written together.
const AT_ONCE: u64 = 5000;
/// Look-ups of which the median and the 99th percentile are shown.
const LOOKUPS: usize = 20_000;
/// Look-ups in memory, which are too short to be timed one by one.
const HITS: usize = 1_000_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("| objects | written in | file | look-up in the store, median | 99th percentile | in memory |");
    println!("|---|---|---|---|---|---|");
    for number in std::env::args().skip(1) {
        measure(number.parse()?).await?;
    }
    Ok(())
}

fn name(number: u64) -> ObjectName {
    ObjectName { api: "shop".into(), kind: "order".into(), id: number.to_string() }
}

async fn measure(count: u64) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("objects.db");
    let passwords = PasswordOptions { memory_kib: 8, passes: 1, threads: 1, ..PasswordOptions::default() };
    let options = ServiceOptions { passwords, ..ServiceOptions::at(&file) };
    let service = Service::open(options, tokio::runtime::Handle::current()).await?;
    let begun = Instant::now();
    let mut next = 0;
    while next < count {
        let end = (next + AT_ONCE).min(count);
        let objects = (next..end).map(|number| NewBinding {
            name: name(number),
            owner: Some(format!("customer={}", number % 100_000)),
            tenant: None,
            lifetime: None,
        });
        service.put_objects(objects.collect(), By::gate(), WallClock.now()).await?;
        next = end;
    }
    let written = begun.elapsed();

    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % count
    };
    let mut took = Vec::with_capacity(LOOKUPS);
    let mut found = Vec::with_capacity(LOOKUPS);
    for _ in 0..LOOKUPS {
        let number = draw();
        let begun = Instant::now();
        let object =
            service.find(name(number), IpAddr::from([10, 0, 0, 1])).await?.ok_or("an object is missing")?;
        took.push(begun.elapsed());
        found.push(object.name.id.clone());
    }
    took.sort_unstable();
    let at = |part: usize| took.get(LOOKUPS * part / 100).copied().unwrap_or_default();

    let begun = Instant::now();
    let mut hits = 0;
    for id in found.iter().cycle().take(HITS) {
        hits += usize::from(service.at_hand(&ObjectDigest::of_id("shop", "order", id)).is_some());
    }
    let hit = begun.elapsed() / u32::try_from(HITS)?;
    let size = std::fs::metadata(&file)?.len() / 1_000_000;
    let us = |span: Duration| format!("{:.1} us", span.as_secs_f64() * 1e6);
    println!(
        "| {count} | {:.1} s | {size} MB | {} | {} | {} ({} of {HITS} there) |",
        written.as_secs_f64(),
        us(at(50)),
        us(at(99)),
        us(hit),
        hits
    );
    service.close().await?;
    Ok(())
}
