"""Tokens of foreign issuers: an OpenID provider of npm, and issuers of our own that misbehave; with Python requests."""

import http.server
import json
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from gate import TIMEOUT_SECS, Checks, Served, free_port, same, status

check = Checks()


class Provider:
    """oidc-provider as a process; `start` after `stop` is the same issuer with other keys."""

    def __init__(self):
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        command = ["node", "clients/node/provider.js", str(self.port)]
        with tempfile.TemporaryFile("w+") as remarks:
            self.process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=remarks)
            if "listening" not in self.process.stdout.readline():
                remarks.seek(0)
                raise RuntimeError(f"the provider did not start: {remarks.read()}")

    def stop(self):
        self.process.terminate()
        self.process.wait(TIMEOUT_SECS)

    def token(self, resource, scope="read"):
        """An access token for the application itself."""
        form = {"grant_type": "client_credentials", "scope": scope, "resource": resource}
        answer = requests.post(self.issuer + "/token", data=form, auth=("app", "app-secret"), timeout=TIMEOUT_SECS)
        return status(answer, 200).json()["access_token"]

    def revoke(self, token):
        answer = requests.post(
            self.issuer + "/token/revocation", data={"token": token}, auth=("app", "app-secret"), timeout=TIMEOUT_SECS
        )
        status(answer, 200)


class Keys(http.server.BaseHTTPRequestHandler):
    """A key set of our own, by path; counts how often it is fetched."""

    fetched = 0
    sets = {}

    def do_GET(self):  # the name is http.server's
        Keys.fetched += 1
        body = json.dumps({"keys": Keys.sets.get(self.path, [])}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class StandIn(http.server.BaseHTTPRequestHandler):
    """Stands in for SuperID: access tokens begin with `8A:` and only it can read them."""

    SCHEMES = "http://schemes.superoffice.net/identity/"

    def do_POST(self):  # the name is http.server's
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        answer = {"active": False}
        if form["token"] == "8A:Cust26759.c3RhbmQtaW4=" and self.headers["Authorization"].startswith("Basic "):
            names = {"associateid": "5", "upn": "ann@example.com", "ctx": "Cust26759", "serial": "1234567890"}
            claims = {self.SCHEMES + name: value for name, value in names.items()}
            answer = {"active": True, "sub": "ann", "iss": "https://sod.superoffice.com", "exp": int(time.time()) + 600, **claims}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def pair(kid):
    """A private key, and its public half as a JWK."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    return key, {**public, "kid": kid, "use": "sig", "alg": "RS256"}


OWN = "http://www.enactor.co/"
own_key, own_jwk = pair("own-1")
next_key, next_jwk = pair("own-2")
Keys.sets["/jwks"] = [own_jwk]
keys = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
threading.Thread(target=keys.serve_forever, daemon=True).start()
provider = Provider()


def minted(key=own_key, kid="own-1", **claims):
    """A token of our own issuer; `None` takes a claim away."""
    now = int(time.time())
    usual = {"iss": OWN, "aud": "client", "sub": "1", "iat": now, "exp": now + 600, "merchant": ["0001", "0002"]}
    wanted = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(wanted, key, algorithm="RS256", headers={"kid": kid})


API = f"""dialect = "enactor"
deployment = "enforced"
at = ["/"]
enable = ["id-token"]
issuers."{OWN}" = {{ jwks_url = "http://127.0.0.1:{keys.server_port}/jwks" }}

[api.issuers."{provider.issuer}"]
discovery = "{provider.issuer}/.well-known/openid-configuration"
audience = "orders-api"
same_people = false
claims = {{ subject = "sub", customer = "client_id", roles = "scope" }}
roles = {{ read = ["READER"] }}

[api.issuers."http://127.0.0.1:1"]
discovery = "http://127.0.0.1:1/.well-known/openid-configuration"
audience = "orders-api"
same_people = false

[api.introspection.bearer]
url = "{provider.issuer}/token/introspection"
client = "gate"
secret_file = "gate.secret"
audience = "orders-api"
same_people = false
claims = {{ subject = "client_id", customer = "client_id", roles = "scope" }}
roles = {{ read = ["READER"] }}
remember = "1s"

[[api.route]]
at = "/**"
allow = "authenticated"

[lockout]
address_failures = 100000
"""

SITES = f"""dialect = "enactor"
deployment = "enforced"
at = ["/"]
disable = ["bearer"]
enable = ["bearer-and-site"]
issuers."{OWN}" = {{ jwks_url = "http://127.0.0.1:{keys.server_port}/jwks" }}
[[api.route]]
at = "/**"
allow = {{ tenants = ["0001"] }}
"""

gate = Served(API, {"gate.secret": b"gate-secret\n"}).__enter__()


def call(token=None, at=None, **headers):
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    url = (at or gate).addresses["main"] + "/WebRestApi/rest/x"
    return requests.get(url, headers=headers, timeout=TIMEOUT_SECS)


def told(answer):
    """What the service behind the gate is told."""
    assertion = status(answer, 200).json()["countersign-assertion"]
    return jwt.decode(assertion, options={"verify_signature": False})


def soon(run, seconds=30):
    """Waits until a check holds."""
    until = time.monotonic() + seconds
    while not run():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.2)


@check("a JWT of an OpenID provider, its keys by discovery: subject, key and roles by the API's own mapping")
def signed():
    claims = told(call(provider.token("urn:signed")))
    same((claims["sub"], claims["keys"], claims["roles"]), ("app", {"customer": "app"}, ["READER"]))
    same(told(call(provider.token("urn:signed", "write")))["roles"], [])


@check("another audience, a broken signature, another issuer's key: refused")
def not_signed():
    good = provider.token("urn:signed")
    head, payload, signature = good.split(".")
    status(call(f"{head}.{payload}.{signature[::-1]}"), 401)
    claims = jwt.decode(good, options={"verify_signature": False})
    status(call(minted(**{**claims, "merchant": None})), 401)
    status(call(minted(iss=OWN, aud="orders-api")), 401)
    status(call(minted(iss="https://nobody.example")), 401)
    status(call(minted()), 200)


@check("RFC 7662 a token that only the provider can read: asked about, refused once it is revoked, at most 1 s later")
def opaque():
    token = provider.token("urn:opaque")
    assert "." not in token
    claims = told(call(token))
    same((claims["sub"], claims["roles"]), ("app", ["READER"]))
    status(call(token[:-1] + ("A" if token[-1] != "A" else "B")), 401)
    provider.revoke(token)
    soon(lambda: call(token).status_code == 401)


@check("N16 the id_token header is a carrier where it is switched on; two carriers are ambiguous")
def id_token():
    same(told(call(id_token=minted()))["sub"], "1")
    status(call(id_token=minted(exp=int(time.time()) - 60)), 401)
    status(call(minted(), id_token=minted()), 400)


@check("T-C5 a thousand unknown key ids make the gate fetch once in 10 s; a new key is taken after that; old ones serve on")
def flood():
    begun, before = time.monotonic(), Keys.fetched
    session = requests.Session()
    url = gate.addresses["main"] + "/WebRestApi/rest/x"
    for _ in range(1000):
        token = minted(kid=str(uuid.uuid4()))
        answer = session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_SECS)
        same(answer.status_code, 401)
    took = time.monotonic() - begun
    fetched = Keys.fetched - before
    print(f"   {fetched} fetches in {took:.1f} s")
    assert fetched <= 1 + took // 10, (fetched, took)
    Keys.sets["/jwks"] = [own_jwk, next_jwk]
    rotated = minted(next_key, "own-2")
    soon(lambda: call(rotated).status_code == 200)
    status(call(minted()), 200)


@check("T-F1 an issuer that never answered: 503 for its tokens, and nobody else's")
def away():
    status(call(minted(iss="http://127.0.0.1:1", aud="orders-api")), 503)
    status(call(minted()), 200)


@check("T-F1 a provider that is down: the keys at hand serve on, what has to be asked is 503; other keys are found when it is back")
def down():
    good = provider.token("urn:signed")
    opaque_token = provider.token("urn:opaque")
    provider.stop()
    try:
        status(call(good), 200)
        status(call(opaque_token), 503)
    finally:
        provider.start()
    status(call(opaque_token), 401)
    other = provider.token("urn:signed")
    soon(lambda: call(other).status_code == 200)


with Served(SITES) as sites:

    @check("N32 site_token narrows a caller to one of his tenants, and never to another; both must be signed and live")
    def site():
        same(told(call(minted(), sites, site_token=minted(merchant="0001")))["tenant"], "0001")
        status(call(minted(), sites, site_token=minted(merchant="0002")), 403)
        status(call(minted(), sites, site_token=minted(merchant="0003")), 401)
        status(call(minted(merchant=None), sites, site_token=minted(merchant="0001")), 401)
        status(call(minted(merchant="0002"), sites, site_token=minted(merchant="0001")), 401)
        status(call(minted(), sites, site_token=minted(pair("own-1")[0], merchant="0001")), 401)
        status(call(minted(), sites, site_token=minted(merchant="0001", exp=int(time.time()) - 60)), 401)
        status(call(minted(), sites, site_token=minted(merchant=["0001"])), 401)
        status(call(minted(), sites, site_token="0001"), 401)
        status(call(minted(), sites), 401)


stand_in = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
threading.Thread(target=stand_in.serve_forever, daemon=True).start()
ONLINE = f"""dialect = "superoffice"
deployment = "online"
at = ["/"]
[api.introspection.bearer]
url = "http://127.0.0.1:{stand_in.server_port}/introspect"
client = "gate"
secret_file = "gate.secret"
issuer = "https://sod.superoffice.com"
claims = {{ subject = "{StandIn.SCHEMES}associateid", email = "{StandIn.SCHEMES}upn", tenant = "{StandIn.SCHEMES}ctx" }}
[[api.route]]
at = "/**"
allow = {{ tenants = ["Cust26759"] }}
"""

with Served(ONLINE, {"gate.secret": b"gate-secret\n"}) as online:

    @check("S5 a Bearer of the form 8A: that SuperID issued, by a stand-in for it; another one is refused")
    def super_id():
        def contact(token):
            url = online.addresses["main"] + "/api/v1/Contact/2"
            return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_SECS)

        claims = told(contact("8A:Cust26759.c3RhbmQtaW4="))
        same((claims["sub"], claims["tenant"]), ("5", "Cust26759"))
        status(contact("8A:Cust26759.c3RhbmQtaW5="), 401)
        status(contact("7A:Cust26759.c3RhbmQtaW4="), 401)


@check("T-F3 T-C12 no token and no secret is in the log, or told to the service")
def silent():
    token = provider.token("urn:signed")
    answer = status(call(token), 200)
    assert token not in answer.text
    for secret in ("gate-secret", "app-secret", token):
        assert not any(secret in line for line in gate.log), secret


gate.__exit__()
provider.stop()
keys.shutdown()
stand_in.shutdown()
check.finish()
