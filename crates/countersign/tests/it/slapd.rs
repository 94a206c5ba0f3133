//! A throwaway directory: `slapd` of Debian's package, on loopback and in clear. TLS is driven in `clients/`.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::free_port;

/// Where everything is.
pub(crate) const BASE: &str = "dc=example,dc=test";
/// Who may search.
pub(crate) const SEARCHER: (&str, &str) = ("cn=gate,dc=example,dc=test", "gatesecret");
/// Longer than a start takes on a machine that compiles beside it.
const DEADLINE: Duration = Duration::from_secs(120);

/// The server; it is killed when it is dropped.
pub(crate) struct Slapd {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

/// The entry of a person.
pub(crate) fn person(uid: &str, password: &str) -> String {
    format!(
        "dn: uid={uid},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\n\
         mail: {uid}@example.test\nuserPassword: {password}\n"
    )
}

impl Slapd {
    /// Starts one with these entries.
    pub(crate) fn start(entries: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        std::fs::create_dir(folder.path().join("db")).unwrap();
        let mut config = format!(
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {path}/pid\nargsfile {path}/args\n"
        );
        for schema in ["core", "cosine", "inetorgperson"] {
            let _ = writeln!(config, "include /etc/ldap/schema/{schema}.schema");
        }
        let _ = write!(
            config,
            "database mdb\nsuffix \"{BASE}\"\nrootdn \"cn=admin,{BASE}\"\nrootpw secret\ndirectory {path}/db\n\
             maxsize 10485760\naccess to attrs=userPassword by anonymous auth by * none\naccess to * by users read\n"
        );
        std::fs::write(folder.path().join("slapd.conf"), config).unwrap();
        let mut data = format!(
            "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n\n\
             dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n\
             dn: {}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: gate\n\
             userPassword: {}\n",
            SEARCHER.0, SEARCHER.1
        );
        for entry in entries {
            let _ = write!(data, "\n{entry}");
        }
        std::fs::write(folder.path().join("data.ldif"), data).unwrap();
        let added = command("slapadd", folder.path()).arg("-l").arg(folder.path().join("data.ldif")).output();
        let added = added.unwrap_or_else(|error| panic!("slapadd: {error}; install the package slapd"));
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let mut slapd = Self { folder, port: free_port(), child: None };
        slapd.resume();
        slapd
    }

    /// Starts it again after [`stop`](Self::stop), on the same port.
    pub(crate) fn resume(&mut self) {
        let url = format!("ldap://{}/", self.address());
        let child = command("slapd", self.folder.path())
            .args(["-d", "0", "-h", &url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = self.address();
        let child = self.child.insert(child);
        let until = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "slapd has ended: {ended:?}");
            assert!(Instant::now() < until, "slapd does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes it away.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(format!("/usr/sbin/{name}"));
    command.arg("-f").arg(folder.join("slapd.conf"));
    command
}
