"""A front that logs people in, as IIS or SiteMinder do, and says who they are; Python requests plays the front."""

import time

import jwt
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gate import TIMEOUT_SECS, Checks, Served, same, status

check = Checks()
SECRET = "a secret of the front's own"
key = ec.generate_private_key(ec.SECP256R1())
pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

API = """dialect = "superoffice"
deployment = "onsite"
at = ["/"]
enable = ["front"]
{issuers}
[api.front]
networks = ["{network}"]
{proof}
domains = ["CORP"]
create = true
[[api.route]]
at = "/**"
allow = "authenticated"
"""
FILES = {"front.secret": SECRET.encode() + b"\n", "front.pem": pem}
BY_SECRET = {"issuers": "", "proof": 'secret_file = "front.secret"'}
BY_TOKEN = {
    "issuers": 'issuers."https://front.example" = { pem_file = "front.pem", audience = "served" }',
    "proof": 'issuer = "https://front.example"',
}


def call(gate, user=None, proof=None, **headers):
    said = {"X-Windows-User": user, "X-Front-Proof": proof, **headers}
    url = gate.addresses["main"] + "/api/v1/Contact/2"
    return requests.get(url, headers={name: value for name, value in said.items() if value}, timeout=TIMEOUT_SECS)


with Served(API.format(network="127.0.0.1", **BY_SECRET), FILES) as gate:

    @check("S8 without Authorization the identity that the front proved is accepted; an account is made at first sight")
    def proven():
        for user in ("CORP\\ann", "corp\\ann", "ann@CORP"):
            told = status(call(gate, user, SECRET), 200).json()
            claims = jwt.decode(told["countersign-assertion"], options={"verify_signature": False})
            same((claims["sub"], claims["scheme"]), ("ann", "front"))
            assert not [name for name in told if "windows" in name or "front" in name], told

    @check("T-B10 the header without the proof, with a wrong one, of another domain, straight from outside: 401")
    def forged():
        for user, proof in (("CORP\\ann", None), ("CORP\\ann", SECRET[:-1]), ("LAB\\ann", SECRET), ("ann", SECRET), (None, SECRET)):
            status(call(gate, user, proof), 401)
        status(call(gate, SM_USER="ann"), 401)

    @check("T-F3 the front's secret is not in the log")
    def silent():
        assert not any(SECRET in line for line in gate.log)


with Served(API.format(network="10.0.0.0/8", **BY_SECRET), FILES) as far:

    @check("T-B10 from a network that is not the front's the right proof is worth nothing")
    def elsewhere():
        status(call(far, "CORP\\ann", SECRET), 401)
        status(call(far, "CORP\\ann", SECRET, **{"X-Forwarded-For": "10.0.0.1"}), 401)


with Served(API.format(network="127.0.0.1", **BY_TOKEN), FILES) as signed:

    @check("a front that signs: its token is for that very user, for us, and live")
    def by_token():
        def token(**claims):
            usual = {"iss": "https://front.example", "aud": "served", "sub": "CORP\\ann", "exp": int(time.time()) + 60}
            return jwt.encode({**usual, **claims}, key, algorithm="ES256")

        for _ in range(2):
            status(call(signed, "CORP\\ann", token()), 200)
        status(call(signed, "CORP\\bob", token()), 401)
        status(call(signed, "CORP\\ann", token(sub="CORP\\bob")), 401)
        status(call(signed, "CORP\\ann", token(aud="another")), 401)
        status(call(signed, "CORP\\ann", token(exp=int(time.time()) - 60)), 401)
        status(call(signed, "CORP\\ann", SECRET), 401)
        status(call(signed, "CORP\\ann"), 401)


check.finish()
