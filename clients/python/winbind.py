"""NTLM checked by Samba's own `ntlm_auth` and winbindd, with curl and requests_ntlm.

winbindd is Debian's, unpacked below .cache and not installed, so that no service is left behind. It knows one user, of its
own accounts database: a domain of one machine. Its socket lies in /run/samba, wherever a configuration says: this program
starts itself anew in a mount namespace with a /run of its own, which needs root.
"""

import os
import pathlib
import pwd
import subprocess
import sys
import tempfile
import time

UNPACKED = pathlib.Path(".cache/winbind").resolve()
PACKAGES = "winbind samba-common-bin samba-libs libwbclient0 libldb2 libtalloc2 libtdb1 libtevent0 libpopt0".split()

if os.environ.get("OWN_RUN") != "yes":
    os.environ["OWN_RUN"] = "yes"
    os.execvp("unshare", ["unshare", "--mount", sys.executable, "-B", *sys.argv])
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)

import jwt  # noqa: E402
import requests  # noqa: E402
from requests_ntlm import HttpNtlmAuth  # noqa: E402

from gate import TIMEOUT_SECS, Checks, Served, same, status  # noqa: E402

check = Checks()
# The accounts database has users of the system only; this one is on every Debian, and logs in nowhere.
USER, PASSWORD = pwd.getpwnam("games").pw_name, "open sesame 7"
DOMAIN = "SAMBA"
PATH = "/api/v1/Contact/2"


def unpack():
    """Fetches and unpacks the packages, once."""
    if (UNPACKED / "usr/bin/ntlm_auth").exists():
        return
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        download = ["apt-get", "download", "-qq", *PACKAGES]
        if subprocess.run(download, cwd=folder, check=False, stderr=subprocess.DEVNULL).returncode != 0:
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            subprocess.run(download, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        for package in sorted(pathlib.Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, UNPACKED], check=True)


class Winbind:
    """winbindd with one account; a context manager. `helper` is how `ntlm_auth` is called."""

    def __enter__(self):
        unpack()
        self.folder = tempfile.TemporaryDirectory()
        at = pathlib.Path(self.folder.name)
        libraries = next(UNPACKED.glob("usr/lib/*-linux-gnu"))
        self.environment = os.environ | {"LD_LIBRARY_PATH": f"{libraries}:{libraries}/samba"}
        places = ["private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir"]
        for place in places:
            (at / place).mkdir()
        pathlib.Path("/run/samba").mkdir()
        config = at / "smb.conf"
        config.write_text(
            f"[global]\nworkgroup = NOBODY\nnetbios name = {DOMAIN}\nserver role = standalone server\n"
            f"passdb backend = smbpasswd:{at}/smbpasswd\nlog file = {at}/log\nntlm auth = ntlmv2-only\n"
            "disable netbios = yes\nidmap config * : backend = tdb\nidmap config * : range = 3000-7999\n"
            + "".join(f"{place} = {at}/{place}\n" for place in places)
        )
        said = f"{PASSWORD}\n{PASSWORD}\n"
        program = UNPACKED / "usr/bin/smbpasswd"
        command = [program, "-c", config, "-s", "-a", USER]
        subprocess.run(command, input=said, text=True, env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.command = [UNPACKED / "usr/sbin/winbindd", "--foreground", "--no-process-group", f"--configfile={config}"]
        self.helper = ["/usr/bin/env", f"LD_LIBRARY_PATH={self.environment['LD_LIBRARY_PATH']}"]
        self.helper += [str(UNPACKED / "usr/bin/ntlm_auth"), f"--configfile={config}"]
        self.start()
        return self

    def start(self):
        """Starts it, also after `stop`."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(self.command, env=self.environment, start_new_session=True, **quiet)
        until = time.monotonic() + TIMEOUT_SECS
        while not self.knows():
            assert time.monotonic() < until, "winbindd did not start"
            time.sleep(0.1)

    def knows(self):
        """Whether it answers for its user."""
        command = [*self.helper, f"--username={USER}", f"--domain={DOMAIN}", f"--password={PASSWORD}"]
        return subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_SECS).returncode == 0

    def stop(self):
        """Stops it, with what it has forked."""
        self.process.terminate()
        self.process.wait(TIMEOUT_SECS)

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()


with Winbind() as winbind:
    quoted = ", ".join(f'"{word}"' for word in winbind.helper)
    api = f"""
dialect = "superoffice"
at = ["/"]
enable = ["ntlm", "negotiate"]
[api.ntlm]
domain = "{DOMAIN}"
helper = [{quoted}]
create = {{ roles = ["agent"] }}
[[api.route]]
at = "/**"
allow = "authenticated"
[lockout]
failures = 1000
address_failures = 100000
"""
    with Served(api) as gate:
        url = gate.addresses["main"] + PATH

        def by_requests(user, password):
            session = requests.Session()
            session.auth = HttpNtlmAuth(user, password)
            return session.get(url, timeout=TIMEOUT_SECS)

        def by_curl(user, password, scheme="--ntlm"):
            command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", scheme, "-u", f"{user}:{password}", url]
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECS).stdout

        @check("S6 requests_ntlm gets in by winbind; the account is made at first sight, with the roles that are configured")
        def right():
            told = status(by_requests(f"{DOMAIN}\\{USER}", PASSWORD), 200).json()
            claims = jwt.decode(told["countersign-assertion"], options={"verify_signature": False})
            same((claims["sub"], claims["scheme"], claims["roles"]), (USER, "ntlm", ["agent"]))

        @check("S6 curl as well, with the domain before the name")
        def curl():
            same(by_curl(f"{DOMAIN}/{USER}", PASSWORD), "200")

        @check("S6 a wrong password, a user whom winbind does not know, another domain: 401")
        def wrong():
            for user, password in (
                (f"{DOMAIN}\\{USER}", PASSWORD[:-1]),
                (f"{DOMAIN}\\nobody-here", PASSWORD),
                (f"{DOMAIN}\\root", PASSWORD),
                (f"{DOMAIN}\\{USER}", ""),
            ):
                status(by_requests(user, password), 401)
            same(by_curl(f"{DOMAIN}/{USER}", "wrong"), "401")

        @check("T-F1 while winbind is away it is 503 and not a wrong password; it is right again when it is back")
        def away():
            winbind.stop()
            status(by_requests(f"{DOMAIN}\\{USER}", PASSWORD), 503)
            winbind.start()
            status(by_requests(f"{DOMAIN}\\{USER}", PASSWORD), 200)


check.finish()
