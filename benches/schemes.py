"""What a request costs the gate by each scheme that it remembers: a session, Digest, a signed Bearer.

    .cache/venv/bin/python benches/schemes.py [REQUESTS]         COUNTERSIGN=… names a build; `clients/run` makes the venv

One connection a scheme, one dialect for all, rounds in turns. CPU is what the kernel counted for all threads of the gate's
process, over REQUESTS requests of a round; what is printed is the median of the rounds' ratios to the session's, with the
smallest and the largest. Digest counts up with each request and computes its response anew; the Bearer is one token.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "clients/python"), str(ROOT / "benches")]
os.environ.setdefault("COUNTERSIGN", str(ROOT / "target/release/countersign"))

import jwt  # noqa: E402
import requests  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402
from jwt.algorithms import RSAAlgorithm  # noqa: E402

from gate import Echo, Served  # noqa: E402
from wire import Spent, Wire  # noqa: E402

REQUESTS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
ROUNDS = 9
USER, PASSWORD = "till", "a password of till's"
ISSUER = "https://issuer.example"
DIALECT = f"""
schema = 1
name = "bench"
keys = []
[token.session]
kind = "session"
form = "{{base64url:43}}"
idle = "1h"
[credential.session]
scheme = "token"
token = "session"
from = "header X-Session"
[credential.digest]
scheme = "digest"
from = "authorization Digest"
[credential.bearer]
scheme = "jwt"
from = "authorization Bearer"
issuer = "{ISSUER}"
audience = "bench"
[credential.login]
scheme = "password"
from = {{ user = "body user", password = "body password" }}
[surface.all]
at = "/**"
accepts = ["session", "digest", "bearer"]
errors = "plain"
[endpoint.login]
at = "POST /login"
operation = "issue"
accepts = ["login"]
reads = ["json"]
issues = ["session"]
answer = {{ status = 200, text = "{{{{ issued.session.value }}}}" }}
[errors.plain.any]
text = "{{{{ message }}}}"
"""
API = f"""
dialect = "./bench.toml"
at = ["/"]
issuers."{ISSUER}" = {{ jwks_file = "jwks.json" }}
[[api.route]]
at = "/**"
allow = "authenticated"
"""
PATH = "/orders/1"


class Service(Echo):
    """Answers at once, and always the same."""

    disable_nagle_algorithm = True

    def do_GET(self):  # the name is http.server's
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Quick(Served):
    """A gate before that."""

    service = Service


def digests(challenge):
    """`Authorization` lines that answer a challenge, one after the other."""
    said = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
    hashed = lambda text: hashlib.sha256(text.encode()).hexdigest()  # noqa: E731
    one, two = hashed(f"{USER}:{said['realm']}:{PASSWORD}"), hashed(f"GET:{PATH}")
    count = 0
    while True:
        count += 1
        response = hashed(f"{one}:{said['nonce']}:{count:08x}:c:auth:{two}")
        yield (
            f'Authorization: Digest username="{USER}", realm="{said["realm"]}", nonce="{said["nonce"]}", uri="{PATH}",'
            f' qop=auth, nc={count:08x}, cnonce="c", response="{response}", algorithm=SHA-256\r\n'
        )


def main():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": "one", "use": "sig", "alg": "RS256"}
    files = {"bench.toml": DIALECT.encode(), "jwks.json": json.dumps({"keys": [public]}).encode()}
    with Quick(API, files) as gate:
        gate.add_user(USER, PASSWORD, "--keep-for", "digest")
        address = gate.addresses["main"]
        session = requests.post(address + "/login", json={"user": USER, "password": PASSWORD}, timeout=30).text
        now = datetime.datetime.now(datetime.timezone.utc)
        claims = {"iss": ISSUER, "aud": "bench", "sub": USER, "iat": now, "exp": now + datetime.timedelta(hours=1)}
        bearer = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "one"})
        _took, head = Wire(address, PATH).ask()
        answers = digests(re.search(r"(?i)www-authenticate: (Digest [^\r]*)", head).group(1))
        fields = {
            "session": lambda: f"X-Session: {session}\r\n",
            "Digest": lambda: next(answers),
            "Bearer, repeating": lambda: f"Authorization: Bearer {bearer}\r\n",
        }
        wires = {name: Wire(address, PATH) for name in fields}
        costs = {name: [] for name in fields}
        for number in range(-1, ROUNDS):
            for name, field in fields.items():
                lines = [field() for _ in range(REQUESTS)]
                spent = Spent(gate.process.pid)
                for line in lines:
                    _took, head = wires[name].ask(line)
                    assert head.split()[1] == "200", head
                if number >= 0:
                    costs[name].append(spent.us() / REQUESTS)
    for name, all_costs in costs.items():
        ratios = [own / other for own, other in zip(all_costs, costs["session"])]
        middle = statistics.median(ratios)
        print(
            f"{name:20} {statistics.median(all_costs):7.1f} us of CPU   {middle:5.2f} of a session's"
            f"   ({min(ratios):.2f} to {max(ratios):.2f} in {ROUNDS} rounds of {REQUESTS})"
        )


main()
