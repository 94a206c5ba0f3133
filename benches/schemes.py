"""What a request costs the gate by each scheme that it remembers: a session, Digest, a signed Bearer.

    .cache/venv/bin/python benches/schemes.py [REQUESTS]         COUNTERSIGN=… names a build; `clients/run` makes the venv

One connection a scheme, one dialect for all, rounds in turns. CPU is what the kernel counted for all threads of the gate's
process, over REQUESTS requests of a round; what is printed is the median of the rounds' ratios to the session's, with the
quartiles. Digest counts up with each request and computes its response anew; the Bearer is one token.
"""

import datetime
import hashlib
import json
import re
import statistics
import sys

from wire import ISSUER, PASSWORD, PATH, USER, Quick, Spent, Wire, spread

# Many and short, so that what else the machine does falls on all schemes alike.
ROUNDS = 60
API = f'disable = ["negotiate"]\nissuers."{ISSUER}" = {{ jwks_file = "jwks.json" }}\n'


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


def rounds(gate, requests, fields):
    """CPU of one request in each round, by scheme."""
    wires = {name: Wire(gate.addresses["main"], PATH) for name in fields}
    costs = {name: [] for name in fields}
    for number in range(-1, ROUNDS):
        for name, field in fields.items():
            lines = [field() for _ in range(requests)]
            spent = Spent(gate.process.pid)
            for line in lines:
                _took, head = wires[name].ask(line)
                assert head.split()[1] == "200", head
            if number >= 0:
                costs[name].append(spent.us() / requests)
    return costs


def measure(requests=300):
    """Rows of a table: what, its CPU, its ratios to a session's."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa
    from jwt.algorithms import RSAAlgorithm

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": "one", "use": "sig", "alg": "RS256"}
    with Quick(API, {"jwks.json": json.dumps({"keys": [public]}).encode()}) as gate:
        session = gate.session()
        now = datetime.datetime.now(datetime.timezone.utc)
        claims = {"iss": ISSUER, "aud": "bench", "sub": USER, "iat": now, "exp": now + datetime.timedelta(hours=1)}
        bearer = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "one"})
        _took, head = Wire(gate.addresses["main"], PATH).ask()
        answers = digests(re.search(r"(?i)www-authenticate: (Digest [^\r]*)", head).group(1))
        costs = rounds(gate, requests, {
            "session": lambda: f"X-Session: {session}\r\n",
            "Digest": lambda: next(answers),
            "Bearer, repeating": lambda: f"Authorization: Bearer {bearer}\r\n",
        })
    for name, own in costs.items():
        yield name, statistics.median(own), [cost / other for cost, other in zip(own, costs["session"])]


if __name__ == "__main__":
    for name, cost, ratios in measure(*map(int, sys.argv[1:2])):
        print(f"{name:20} {cost:7.1f} us of CPU   {spread(ratios)} of a session's")
