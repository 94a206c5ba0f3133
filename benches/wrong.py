"""Can a stranger tell from the time whether there is a user? A wrong user against a wrong password, pair by pair.

    .cache/venv/bin/python benches/wrong.py [PAIRS]         COUNTERSIGN=… names a build; `clients/run` makes the venv

For each scheme one user exists and one does not, with names of one length; both come with a wrong password, in turns, and
which of the two comes first changes from pair to pair. What is printed is the median of the differences (wrong user less
wrong password) and the interval in which it lies with 95 %, by order statistics; an interval with 0 in it says that this
many pairs tell nothing. The times are a client's, on a loopback connection that stays open.
"""

import base64
import hashlib
import math
import os
import pathlib
import re
import socket
import sys
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "clients/python"))
os.environ.setdefault("COUNTERSIGN", str(ROOT / "target/release/countersign"))

import spnego  # noqa: E402
from gate import Served  # noqa: E402
from slapd import BASE, SEARCHER, SEARCHER_PASSWORD, Slapd, person  # noqa: E402

# An account is locked after a thousand failures at the most.
PAIRS = min(int(sys.argv[1]) if len(sys.argv) > 1 else 900, 900)
WARM_UP = 20
PASSWORD, WRONG = "a password of till's", "a password of nobody"
LIMITS = "\n[lockout]\naddress_failures = 1000000\nfailures = 1000\n"
ROUTE = '[[api.route]]\nat = "/**"\nallow = "authenticated"\n'


class Wire:
    """A connection that asks for one path again and again."""

    def __init__(self, address, path):
        at = urllib.parse.urlsplit(address)
        self.path, self.host = path, at.netloc
        self.socket = socket.create_connection((at.hostname, at.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, authorization=None):
        """Nanoseconds, and the head of the answer."""
        field = f"Authorization: {authorization}\r\n" if authorization else ""
        request = f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\n{field}\r\n".encode()
        begun = time.perf_counter_ns()
        self.socket.sendall(request)
        received = b""
        while True:
            received += self.socket.recv(65536)
            head, end, body = received.partition(b"\r\n\r\n")
            if end and len(body) >= int(re.search(rb"(?i)content-length: (\d+)", head).group(1)):
                took = time.perf_counter_ns() - begun
                return took, head.decode("latin-1")

    def refused(self, authorization):
        """Nanoseconds of a refusal."""
        took, head = self.ask(authorization)
        assert head.split()[1] == "401", head
        return took


def interval(differences):
    """The median, and the order statistics between which it lies with 95 %."""
    ordered = sorted(differences)
    half, spread = len(ordered) / 2, 1.96 * math.sqrt(len(ordered)) / 2
    place = lambda at: ordered[min(max(int(at), 0), len(ordered) - 1)]  # noqa: E731
    return place(half), place(half - spread), place(half + spread)


def run(name, pairs, ask):
    """`ask(user)` answers nanoseconds of one refusal."""
    differences, plain = [], []
    for pair in range(-WARM_UP, pairs):
        took = {}
        known, nobody = "till-0000", f"nobo-{pair % 10000:04}"
        for user in (known, nobody) if pair % 2 else (nobody, known):
            took[user] = ask(user)
        if pair >= 0:
            differences.append(took[nobody] - took[known])
            plain.append(took[known])
    median, low, high = (value / 1000 for value in interval(differences))
    usual = interval(plain)[0] / 1000
    print(f"{name:34} {usual:9.1f} us   {median:+8.2f} us   {low:+8.2f} to {high:+8.2f} us   {pairs} pairs", flush=True)


def digest(user, challenge, path):
    """A response to a challenge, with a wrong password."""
    said = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
    hashed = lambda text: hashlib.sha256(text.encode()).hexdigest()  # noqa: E731
    one, two = hashed(f"{user}:{said['realm']}:{WRONG}"), hashed(f"GET:{path}")
    response = hashed(f"{one}:{said['nonce']}:00000001:c:auth:{two}")
    return (
        f'Digest username="{user}", realm="{said["realm"]}", nonce="{said["nonce"]}", uri="{path}", qop=auth, nc=00000001,'
        f' cnonce="c", response="{response}", algorithm=SHA-256'
    )


def by_digest():
    path = "/rest/devices/pos1"
    api = f'dialect = "enactor"\nat = ["/rest"]\nenable = ["digest"]\n{ROUTE}{LIMITS}'
    with Served(api) as gate:
        gate.add_user("till-0000", PASSWORD, "--keep-for", "digest")
        wire = Wire(gate.addresses["main"], path)
        _took, head = wire.ask()
        challenge = re.search(r"(?i)www-authenticate: (Digest [^\r]*)", head).group(1)
        run("Digest", PAIRS, lambda user: wire.refused(digest(user, challenge, path)))


def by_ntlm():
    api = f'dialect = "superoffice"\nat = ["/"]\nenable = ["ntlm"]\n[api.ntlm]\ndomain = "CORP"\n{ROUTE}{LIMITS}'
    with Served(api) as gate:
        gate.add_user("till-0000", PASSWORD, "--keep-for", "ntlm")

        def ask(user):
            client = spnego.client(user, WRONG, hostname="localhost", service="http", protocol="ntlm")
            wire = Wire(gate.addresses["main"], "/api/v1/Contact/2")
            _took, head = wire.ask(f"NTLM {base64.b64encode(client.step()).decode()}")
            challenge = base64.b64decode(re.search(r"(?i)www-authenticate: NTLM ([^\r]*)", head).group(1))
            took = wire.refused(f"NTLM {base64.b64encode(client.step(challenge)).decode()}")
            wire.socket.close()
            return took

        run("NTLM, the last message", PAIRS, ask)


def by_basic(name, pairs, more, files=None, tables=""):
    api = f'dialect = "superoffice"\nat = ["/"]\ndeployment = "onsite"\n{more}{ROUTE}{LIMITS}{tables}'
    with Served(api, files) as gate:
        if not more:
            gate.add_user("till-0000", PASSWORD)
        wire = Wire(gate.addresses["main"], "/api/v1/Contact/2")
        pair = lambda user: base64.b64encode(f"{user}:{WRONG}".encode()).decode()  # noqa: E731
        run(name, pairs, lambda user: wire.refused(f"Basic {pair(user)}"))


def by_directory():
    with Slapd(person("till-0000", PASSWORD)) as slapd:
        tables = (
            "[directory.corp]\ncreate = true\n[directory.corp.ldap]\n"
            f'servers = ["{slapd.secure}"]\nca = "ca.pem"\nbase = "ou=people,{BASE}"\nfilter = "(uid={{user}})"\n'
            f'search_as = {{ name = "{SEARCHER}", password_file = "searcher.txt" }}\n'
        )
        files = {"ca.pem": (slapd.path / "ca.pem").read_bytes(), "searcher.txt": SEARCHER_PASSWORD.encode()}
        by_basic("Basic by LDAP (slapd, search, bind)", min(PAIRS, 400), '[[api.directory]]\nname = "corp"\n', files, tables)


print(f"{'a refusal by':34} {'median':>12}   {'nobody less known':>11}   95 % interval of that")
by_digest()
by_ntlm()
by_basic("Basic by the gate (argon2id)", min(PAIRS, 300), "")
by_directory()
