//! The gate as a process: the binary itself, on a configuration and a store of the test's.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use countersign_auth::time::Clock as _;
use countersign_identity::accounts::AccountDraft;
use countersign_identity::password::PasswordOptions;
use countersign_identity::service::{By, Service, ServiceOptions};
use countersign_identity::world::WallClock;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::raw::Client;
use crate::upstream::Upstream;

/// Longer than anything takes that the gate says in its log, on a machine that compiles beside it.
const DEADLINE: Duration = Duration::from_secs(60);
/// The name of the configuration file.
pub(crate) const CONFIG: &str = "countersign.toml";
const STORE: &str = "gate.db";

/// A port of loopback that nobody has, for programs that cannot say which one they were given. It is none of those that the
/// system gives away by itself, and none that another process of these tests would take: it stays free until it is taken, and
/// when it is let go for a while.
pub(crate) fn free_port() -> u16 {
    /// Ports of one process.
    const SHARE: u32 = 16;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 10_000 + SHARE * (std::process::id() % 1250);
    let own = (first..30_000).map(|_| first + NEXT.fetch_add(1, Ordering::SeqCst) % (30_000 - first));
    let mut own = own.map(|port| u16::try_from(port).unwrap());
    own.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a port that nobody has")
}

/// A folder with a configuration and a store, and a service to stand in front of.
pub(crate) struct Site {
    folder: TempDir,
    /// The service.
    pub(crate) upstream: Upstream,
}

impl Site {
    /// Two APIs, `crm.example` (tickets, sessions) and `push.example` (keys), and a store with these accounts.
    pub(crate) fn new(accounts: Vec<AccountDraft>) -> Self {
        Self::with(
            |upstream| {
                let api = |name: &str, dialect: &str, deployment: &str| {
                    format!(
                        "[[api]]\nname = \"{name}\"\ndialect = \"{dialect}\"\ndeployment = \"{deployment}\"\n\
                         at = [\"{name}.example/\"]\nupstream = \"http://{upstream}\"\n\
                         [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n",
                    )
                };
                [api("crm", "superoffice", "onsite"), api("push", "voltmx", "onprem")].concat()
            },
            accounts,
        )
    }

    /// Other APIs, before the service at an address, and a store with these accounts.
    pub(crate) fn with(apis: impl FnOnce(SocketAddr) -> String, accounts: Vec<AccountDraft>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start();
        let config = format!(
            "[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n\
             [administration]\nlisten = \"127.0.0.1:0\"\n\
             {}[store]\npath = \"{STORE}\"\n[log]\nformat = \"json\"\naccess = false\n",
            apis(upstream.address()),
        );
        std::fs::write(folder.path().join(CONFIG), config).unwrap();
        let site = Self { folder, upstream };
        runtime().block_on(site.people(accounts));
        site
    }

    async fn people(&self, accounts: Vec<AccountDraft>) {
        let mut options = ServiceOptions::at(self.store());
        // Hashes say themselves what they cost; the gate takes these as they are.
        options.passwords = PasswordOptions { memory_kib: 8, passes: 1, ..options.passwords };
        let handle = tokio::runtime::Handle::current();
        let service = Service::open(options, handle).await.unwrap();
        for account in accounts {
            service.create_account(account, By::gate(), WallClock.now()).await.unwrap();
        }
        service.close().await.unwrap();
    }

    /// The store's file.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join(STORE)
    }

    /// What its configuration says.
    pub(crate) fn configuration(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(CONFIG)).unwrap()
    }

    /// Writes a file beside its configuration, or that.
    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    /// Starts the gate. `COUNTERSIGN` in the environment names another build.
    pub(crate) fn start(&self) -> Gate {
        self.start_with(&[])
    }

    /// The same in another environment.
    pub(crate) fn start_with(&self, environment: &[(&str, String)]) -> Gate {
        let mut gate = self.begin(environment);
        gate.listens();
        gate
    }

    /// Starts a gate that may have to wait before it listens.
    pub(crate) fn begin(&self, environment: &[(&str, String)]) -> Gate {
        Gate::begin(Command::new(binary()), &self.folder.path().join(CONFIG), environment, Stdio::null())
    }

    /// Starts a gate that somebody sits before, with what he reads as its standard output.
    pub(crate) fn start_at(&self, terminal: Stdio) -> Gate {
        let mut gate = Gate::begin(Command::new(binary()), &self.folder.path().join(CONFIG), &[], terminal);
        gate.listens();
        gate
    }

    /// Starts a gate that can be kept from writing to files: see [`Gate::fill_disk`].
    #[cfg(target_os = "linux")]
    pub(crate) fn start_on_a_small_disk(&self) -> Gate {
        // What a shell ignores stays ignored; else the signal would end the gate where a full disk is an error.
        self.start_after("trap '' XFSZ")
    }

    /// Starts the gate in a shell that does this before.
    pub(crate) fn start_after(&self, preparation: &str) -> Gate {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{preparation} && exec \"$0\" \"$@\"")).arg(binary());
        let mut gate = Gate::begin(command, &self.folder.path().join(CONFIG), &[], Stdio::null());
        gate.listens();
        gate
    }

    /// A command of the operator's on its configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(self.folder.path().join(CONFIG));
        command
    }
}

#[expect(clippy::disallowed_methods, reason = "which build is tried, is said by whoever starts the run")]
fn binary() -> String {
    std::env::var("COUNTERSIGN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_countersign").to_owned())
}

/// A runtime for what tests do themselves.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A gate at work. It is killed when it is dropped.
pub(crate) struct Gate {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// When it was started.
    pub(crate) started: Instant,
    child: Child,
    log: Receiver<Value>,
    said: Vec<Value>,
}

impl Gate {
    fn begin(mut command: Command, config: &Path, environment: &[(&str, String)], stdout: Stdio) -> Self {
        let started = Instant::now();
        let mut child = command
            .arg("serve")
            .arg("--config")
            .arg(config)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                // What is no JSON was said before the log began: why it did not start.
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), started, child, log, said: Vec::new() }
    }

    /// Waits until it listens, and notes where.
    pub(crate) fn listens(&mut self) {
        let listening = self.said("listening for clients");
        self.address = listening["listener.address"].as_str().unwrap().parse().unwrap();
    }

    /// Where its listener of that name is, of which nobody has looked at the line yet.
    pub(crate) fn listens_at(&mut self, name: &str) -> SocketAddr {
        loop {
            let line = self.says_next(&["listening for clients"]);
            if line["listener.name"] == name {
                return line["listener.address"].as_str().unwrap().parse().unwrap();
            }
        }
    }

    /// The first line of the log with this message; waits for it.
    pub(crate) fn said(&mut self, message: &str) -> Value {
        if let Some(line) = self.said.iter().find(|line| line["message"] == message) {
            return line.clone();
        }
        let until = Instant::now() + DEADLINE;
        while let Ok(line) = self.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.said.push(line.clone());
            if line["message"] == message {
                return line;
            }
        }
        let said: Vec<String> = self.said.iter().map(Value::to_string).collect();
        panic!("the gate never said `{message}`, but:\n{}", said.join("\n"))
    }

    /// The next line of the log with one of these messages, of those that nobody has looked at yet.
    pub(crate) fn says_next(&mut self, messages: &[&str]) -> Value {
        let until = Instant::now() + DEADLINE;
        while let Ok(line) = self.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.said.push(line.clone());
            if messages.iter().any(|message| line["message"] == *message) {
                return line;
            }
        }
        let said: Vec<String> = self.said.iter().map(Value::to_string).collect();
        panic!("the gate said none of {messages:?}, but:\n{}", said.join("\n"))
    }

    /// All that was said by now, as text.
    pub(crate) fn log(&mut self) -> String {
        self.said.extend(self.log.try_iter());
        self.said.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The errors that were looked at so far.
    pub(crate) fn errors(&self) -> Vec<Value> {
        self.said.iter().filter(|line| line["level"] == "ERROR").cloned().collect()
    }

    /// Sends it SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// From here on no file that it writes to takes another byte.
    #[cfg(target_os = "linux")]
    pub(crate) fn fill_disk(&self) {
        self.limit_files(Some(0));
    }

    /// There is room on its disk again.
    #[cfg(target_os = "linux")]
    pub(crate) fn empty_disk(&self) {
        self.limit_files(None);
    }

    #[cfg(target_os = "linux")]
    fn limit_files(&self, current: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
        let maximum = getrlimit(Resource::Fsize).maximum;
        let current = current.or(maximum);
        let gate = Pid::from_raw(self.child.id().cast_signed());
        prlimit(gate, Resource::Fsize, Rlimit { current, maximum }).unwrap();
    }

    /// What its administration listener answers to a GET: status and body.
    pub(crate) fn administration(&mut self, path: &str) -> (u16, String) {
        let address = self.said("listening for administration")["listener.address"].clone();
        let address = address.as_str().unwrap().parse().unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let answer = Client::new(address).exchange(0, request.as_bytes()).unwrap();
        (answer.head.status(), String::from_utf8(answer.body).unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How often such a line is in the log by now.
    pub(crate) fn times_said(&mut self, message: &str) -> usize {
        self.said.extend(self.log.try_iter());
        self.said.iter().filter(|line| line["message"] == message).count()
    }

    /// Ends it as a power cut would end it for itself: with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its resident memory in KiB; `None` where /proc does not say.
    pub(crate) fn resident_kib(&self) -> Option<u64> {
        self.status_kib("VmRSS:")
    }

    /// The most that it had resident so far, in KiB.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
