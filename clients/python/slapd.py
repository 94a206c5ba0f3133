"""A throwaway directory: slapd of Debian with TLS, its own authority, people and groups."""

import datetime
import ipaddress
import pathlib
import shutil
import subprocess
import tempfile
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gate import TIMEOUT_SECS, free_port

BASE = "dc=example,dc=test"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{BASE}", "adminsecret"
SEARCHER, SEARCHER_PASSWORD = f"cn=gate,{BASE}", "gatesecret"


def authority(folder):
    """Writes ca.pem and a certificate with its key for localhost into a folder."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(name, key, issuer_name, issuer_key, is_authority):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer_name or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=7))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("throwaway authority", authority_key, None, authority_key, True)
    leaf = certificate("localhost", key, root.subject, authority_key, False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder = pathlib.Path(folder)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(private)


def person(uid, password, **more):
    """An entry of a person."""
    lines = [f"dn: uid={uid},ou=people,{BASE}", "objectClass: inetOrgPerson", f"uid: {uid}", f"userPassword: {password}"]
    fields = {"cn": uid, "sn": uid, **more}
    return "\n".join(lines + [f"{name}: {value}" for name, value in fields.items()]) + "\n"


def group(cn, *members):
    """An entry of a group; members are distinguished names below the base."""
    lines = [f"dn: cn={cn},ou=groups,{BASE}", "objectClass: groupOfNames", f"cn: {cn}"]
    return "\n".join(lines + [f"member: {member},{BASE}" for member in members]) + "\n"


class Slapd:
    """The server; a context manager. `url` is ldap://localhost:PORT, `secure` ldaps://localhost:PORT2."""

    def __init__(self, *entries):
        if shutil.which("slapd", path="/usr/sbin:/usr/bin") is None or shutil.which("ldapwhoami") is None:
            raise RuntimeError("slapd and ldap-utils are not installed")
        self.entries = entries

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        path = self.path = pathlib.Path(self.folder.name)
        authority(path)
        (path / "db").mkdir()
        modules = next(path for path in ("/usr/lib/ldap", "/usr/lib64/ldap") if pathlib.Path(path).is_dir())
        (path / "slapd.conf").write_text(
            f"modulepath {modules}\nmoduleload back_mdb\n"
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
            "include /etc/ldap/schema/inetorgperson.schema\n"
            f"pidfile {path}/pid\nargsfile {path}/args\n"
            f"TLSCACertificateFile {path}/ca.pem\nTLSCertificateFile {path}/server.pem\n"
            f"TLSCertificateKeyFile {path}/server.key\n"
            f'database mdb\nsuffix "{BASE}"\nrootdn "{ADMIN}"\nrootpw {ADMIN_PASSWORD}\n'
            f"directory {path}/db\nmaxsize 10485760\nindex uid,member eq\n"
            "access to attrs=userPassword by anonymous auth by * none\naccess to * by users read\n"
        )
        parts = [
            f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n",
            f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n",
            f"dn: ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: groups\n",
            f"dn: {SEARCHER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
            f"cn: gate\nuserPassword: {SEARCHER_PASSWORD}\n",
            *self.entries,
        ]
        (path / "data.ldif").write_text("\n".join(parts))
        subprocess.run(
            ["/usr/sbin/slapadd", "-f", path / "slapd.conf", "-l", path / "data.ldif"], check=True, capture_output=True
        )
        self.ports = free_port(), free_port()
        self.url = f"ldap://localhost:{self.ports[0]}"
        self.secure = f"ldaps://localhost:{self.ports[1]}"
        self.process = None
        self.start()
        return self

    def start(self):
        """Starts it, also after `stop`, on the same ports."""
        listen = f"ldap://127.0.0.1:{self.ports[0]}/ ldaps://127.0.0.1:{self.ports[1]}/"
        command = ["/usr/sbin/slapd", "-d", "0", "-f", self.path / "slapd.conf", "-h", listen]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until = time.monotonic() + TIMEOUT_SECS
        while self.whoami(ADMIN, ADMIN_PASSWORD) != 0:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"slapd did not start: {self.process.stderr.read()}")

    def stop(self):
        """Stops it."""
        self.process.terminate()
        self.process.wait(TIMEOUT_SECS)

    def whoami(self, name, password):
        """What `ldapwhoami` with StartTLS ends with: 0, or LDAP's result code."""
        # Not by its name: libldap takes "localhost" for the name of the machine when it looks at certificates.
        url = f"ldap://127.0.0.1:{self.ports[0]}"
        command = ["ldapwhoami", "-x", "-ZZ", "-H", url, "-D", name, "-w", password]
        environment = {"LDAPTLS_CACERT": str(self.path / "ca.pem"), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=TIMEOUT_SECS).returncode

    def change(self, ldif):
        """Changes entries as the administrator."""
        command = ["ldapmodify", "-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD]
        subprocess.run(command, input=ldif, text=True, check=True, capture_output=True)

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()
