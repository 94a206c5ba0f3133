"""Can a stranger tell from the time whether there is a user? A wrong user against a wrong password, pair by pair.

    .cache/venv/bin/python benches/wrong.py [PAIRS]         COUNTERSIGN=… names a build; `clients/run` makes the venv

For each scheme one user of a pair exists and one does not, with names of one length, eight of each in turns; both come with
a wrong password, and which of the two comes first changes from pair to pair. What is printed is the median of the
differences (wrong user less wrong password) and the interval in which it lies with 95 %, by order statistics; an interval
with 0 in it says that this many pairs tell nothing. The times are a client's, on a loopback connection that stays open.
"""

import base64
import hashlib
import math
import random
import re
import sys
import time

from wire import ROUTE, Wire

from gate import Served
from slapd import BASE, SEARCHER, SEARCHER_PASSWORD, Slapd, person

# An account is locked after a thousand failures at the most.
PAIRS = 900
WARM_UP = 20
USERS = [f"till-{number:04}" for number in range(8)]
PASSWORD, WRONG = "a password of till's", "a password of nobody"
LIMITS = "\n[lockout]\naddress_failures = 1000000\nfailures = 1000\n"


def refused(wire, authorization):
    """Nanoseconds of a refusal."""
    took, head = wire.ask(f"Authorization: {authorization}\r\n")
    assert head.split()[1] == "401", head
    return took


def interval(differences):
    """The median, and the order statistics between which it lies with 95 %."""
    ordered = sorted(differences)
    half, spread = len(ordered) / 2, 1.96 * math.sqrt(len(ordered)) / 2
    place = lambda at: ordered[min(max(int(at), 0), len(ordered) - 1)]  # noqa: E731
    return place(half), place(half - spread), place(half + spread)


def run(name, pairs, ask):
    """`ask(user)` answers nanoseconds of one refusal. A row of a table, in microseconds."""
    differences, plain = [], []
    for pair in range(-WARM_UP, pairs):
        took = {}
        # Whoever was asked about before is known to caches and to the counters of failures: both are, or neither is.
        known, nobody = USERS[pair % len(USERS)], f"nobo-{pair % len(USERS):04}"
        for user in (known, nobody) if pair % 2 else (nobody, known):
            # Not in step with the gate's timer, which would make the pairs depend on each other.
            time.sleep(random.random() * 0.002)
            took[user] = ask(user)
        if pair >= 0:
            differences.append(took[nobody] - took[known])
            plain.append(took[known])
    median, low, high = (value / 1000 for value in interval(differences))
    return name, interval(plain)[0] / 1000, median, low, high, pairs


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


def by_digest(pairs):
    path = "/rest/devices/pos1"
    api = f'dialect = "enactor"\nat = ["/rest"]\nenable = ["digest"]\n{ROUTE}{LIMITS}'
    with Served(api) as gate:
        for user in USERS:
            gate.add_user(user, PASSWORD, "--keep-for", "digest")
        wire = Wire(gate.addresses["main"], path)
        _took, head = wire.ask()
        challenge = re.search(r"(?i)www-authenticate: (Digest [^\r]*)", head).group(1)
        return run("Digest", pairs, lambda user: refused(wire, digest(user, challenge, path)))


def by_ntlm(pairs):
    import spnego

    api = f'dialect = "superoffice"\nat = ["/"]\nenable = ["ntlm"]\n[api.ntlm]\ndomain = "CORP"\n{ROUTE}{LIMITS}'
    with Served(api) as gate:
        for user in USERS:
            gate.add_user(user, PASSWORD, "--keep-for", "ntlm")

        def ask(user):
            client = spnego.client(user, WRONG, hostname="localhost", service="http", protocol="ntlm")
            wire = Wire(gate.addresses["main"], "/api/v1/Contact/2")
            _took, head = wire.ask(f"Authorization: NTLM {base64.b64encode(client.step()).decode()}\r\n")
            challenge = base64.b64decode(re.search(r"(?i)www-authenticate: NTLM ([^\r]*)", head).group(1))
            took = refused(wire, f"NTLM {base64.b64encode(client.step(challenge)).decode()}")
            wire.socket.close()
            return took

        return run("NTLM, the last message", pairs, ask)


def by_basic(name, pairs, more, files=None, tables=""):
    api = f'dialect = "superoffice"\nat = ["/"]\ndeployment = "onsite"\n{more}{ROUTE}{LIMITS}{tables}'
    with Served(api, files) as gate:
        for user in [] if more else USERS:
            gate.add_user(user, PASSWORD)
        wire = Wire(gate.addresses["main"], "/api/v1/Contact/2")
        pair = lambda user: base64.b64encode(f"{user}:{WRONG}".encode()).decode()  # noqa: E731
        return run(name, pairs, lambda user: refused(wire, f"Basic {pair(user)}"))


def by_directory(pairs):
    with Slapd(*[person(user, PASSWORD) for user in USERS]) as slapd:
        tables = (
            "[directory.corp]\ncreate = true\n[directory.corp.ldap]\n"
            f'servers = ["{slapd.secure}"]\nca = "ca.pem"\nbase = "ou=people,{BASE}"\nfilter = "(uid={{user}})"\n'
            f'search_as = {{ name = "{SEARCHER}", password_file = "searcher.txt" }}\n'
        )
        files = {"ca.pem": (slapd.path / "ca.pem").read_bytes(), "searcher.txt": SEARCHER_PASSWORD.encode()}
        return by_basic("Basic by LDAP (slapd, search, bind)", pairs, '[[api.directory]]\nname = "corp"\n', files, tables)


def measure(pairs=PAIRS):
    """Rows: the scheme, a refusal's median, that of the differences, its interval, the number of pairs."""
    pairs = min(pairs, PAIRS)
    yield by_digest(pairs)
    yield by_ntlm(pairs)
    yield by_basic("Basic by the gate (argon2id)", min(pairs, 300), "")
    # Each refusal takes a quarter of a second.
    yield by_directory(min(pairs, 150))


if __name__ == "__main__":
    print(f"{'a refusal by':36} {'median':>9}      {'nobody less known':>14}   95 % interval of that")
    for name, usual, median, low, high, pairs in measure(*map(int, sys.argv[1:2])):
        print(f"{name:36} {usual:9.1f} us   {median:+8.2f} us   {low:+8.2f} to {high:+8.2f} us   {pairs} pairs", flush=True)
