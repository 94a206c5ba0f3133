//! Names that the system's resolver has no answer for, and does not say so: whoever asks for one waits for ever.
//!
//! The resolver of a gate is the C library's. A gate of these tests has another `getaddrinfo` before it, made here.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::Site;
use crate::raw::{Client, bytes};

/// Knows `live.test`, never comes back from `lost.test` and names below it, and says each name that it is asked for.
const RESOLVER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int asks(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    asks *real = (asks *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && strstr(node, ".test"))
        dprintf(2, "{\"message\":\"asked for %s\"}\n", node);
    if (node && strstr(node, "lost.test"))
        for (;;)
            pause();
    if (node && !strcmp(node, "live.test"))
        node = "127.0.0.1";
    return real(node, service, hints, found);
}
"#;

/// Requests at once for the service whose name is lost; more than one for each core.
const REQUESTS: usize = 64;

/// Threads of a core that ask for one name.
const OF_A_NAME: usize = 4;

fn resolver(folder: &Path) -> String {
    let file = folder.join("resolver.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-x", "c", "-shared", "-fPIC", "-o"]).arg(&file).args(["-", "-ldl"]);
    let mut compiling = compiler.stdin(Stdio::piped()).spawn().unwrap();
    compiling.stdin.take().unwrap().write_all(RESOLVER.as_bytes()).unwrap();
    assert!(compiling.wait().unwrap().success());
    file.display().to_string()
}

/// What a service answers to somebody new on a connection of his own.
fn asks(gate: SocketAddr, host: &str) -> u16 {
    let request = bytes(&["GET /x HTTP/1.1".to_owned(), format!("Host: {host}")], "");
    Client::new(gate).exchange(0, &request).unwrap().head.status()
}

#[test]
fn a_name_that_nobody_answers_for_is_one_services_trouble_and_keeps_no_gate_from_ending() {
    let site = Site::with(
        |upstream| {
            let api = |name: &str, upstream: &str| {
                format!(
                    "[[api]]\nname = \"{name}\"\ndialect = \"enactor\"\nat = [\"{name}.example/\"]\n\
                     upstream = {{ backends = [\"http://{upstream}\"], connect_timeout = \"10ms\" }}\n\
                     [[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n"
                )
            };
            let live = format!("live.test:{}", upstream.port());
            let issuer = "[api.issuers.\"https://keys.example/\"]\njwks_url = \"https://keys.lost.test/\"\naudience = \"us\"\nsame_people = false\n";
            [api("lost", "lost.test"), api("live", &live), issuer.to_owned()].concat()
        },
        Vec::new(),
    );
    let folder = site.store().parent().unwrap().to_owned();
    let mut gate = site.start_with(&[("LD_PRELOAD", resolver(&folder))]);
    gate.said("asked for keys.lost.test");

    let address = gate.address;
    std::thread::scope(|scope| {
        let lost: Vec<_> = (0..REQUESTS).map(|_| scope.spawn(|| asks(address, "lost.example"))).collect();
        for asked in lost {
            assert_eq!(asked.join().unwrap(), 504);
        }
    });
    let cores = std::thread::available_parallelism().unwrap().get();
    let threads = gate.times_said("asked for lost.test");
    assert!(
        (1..=cores * OF_A_NAME).contains(&threads),
        "{threads} threads of {cores} cores wait for the name"
    );
    assert_eq!(asks(address, "live.example"), 200);

    gate.terminate();
    gate.said("stopped");
    assert!(gate.ended().success());
}
