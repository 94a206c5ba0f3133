"""PyJWT, an independent JWT library, against `enactor`: tokens that the gate issued, the two samples of the vendor's
document, and tokens of the same shape by another issuer's key.
"""

import hmac
import json
import time

import jwt
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from jwt.utils import base64url_encode

from gate import TIMEOUT_SECS, Checks, Demo, Served, same, status

ISSUER = "http://www.enactor.co/"
SAMPLES = [
    "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJjbGllbnQiLCJzdWIiOiIxIiwiZW1haWxfdmVyaWZpZWQiOmZhbHNlLCJ1cGRhdGVkX2F0Ijo"
    "xNTIyMzIwOTAyLCJpc3MiOiJodHRwOlwvXC93d3cuZW5hY3Rvci5jb1wvIiwicGhvbmVfbnVtYmVyX3ZlcmlmaWVkIjpmYWxzZSwiZXh"
    "wIjoxNTIzMzU4MTQwLCJpYXQiOjE1MjMzNTQ1NDQ4Njh9.mQZM3WfaV29MBa_fGepTmUKEAZ82waCtqcmSBA7YVmLL5yPrbGAFS0HIAY"
    "mfpJ31R5lPvbTAavyKbFSgB9rXREw8mFErXDosGVn3PNPvHI5trF7QHDsa2ONsNS_nB-"
    "0IUAsxkaivamw54oFVgCpZhJRrM1q8r0Cap52wrDXG6cZozJ64jTcpk6Si9yLc1p1OkibTJJ2Z4_l221KknAuGyLgFJp84bLgjRcUCC4"
    "BU_womfRSnXCDDBtNpLuPEf2o9JC7GAL4ENtgzY-uKogdegox-"
    "NFijGzJT7GAR8H7biScb564SWC_V_4uEsL4s4pR7wmrgi-f9FMEgAinIrvBMaw",
    "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJjbGllbnQiLCJzdWIiOiIxIiwiZW1haWxfdmVyaWZpZWQiOmZhbHNlLCJpc3MiOiJodHRwOlw"
    "vXC93d3cuZW5hY3Rvci5jb1wvIiwicGhvbmVfbnVtYmVyX3ZlcmlmaWVkIjpmYWxzZSwiZXhwIjoxNjEwNDYyOTk4LCJpYXQiOjE2MDI"
    "2ODY5OTgxMjR9.lgk6mVVzfjaNYf53a39E0-1fV6nb0UPMvbCPpSfK49-McHFlKB-"
    "OJwsLjN_wJ3Sz_fxcGdQf8do4EpGek_jkGzahRB44HUcmoTocnieJufELZWSfx64G0JFD8I0vWbiFU76egXHMxkiGUou-v0eVYAsvE-b"
    "p_ATCXrPzZm1sb4MO5sufMEON1eF1UpUt5E9PFyKbCP3nZCLtaJ-52dZmcRt-"
    "8Xm_PpQujyiJPRF9IaVuofxpafoCih6au1oV0PojdZjKjx2bE7cVJkgXRxytIECfpwPCp3Xx_GyvzEZjAUauMIeKTH4Nu7BFJlXQZ-"
    "kY40VlSChKnB88q8dZlp5zyA",
]

check = Checks()
demo = Demo()
api = demo.api("shop")
user, password = api.login("customers")


def call(method, path, token=None, base=api.base, **options):
    headers = options.pop("headers", {})
    if token:
        headers = {**headers, "Authorization": f"Bearer {token}"}
    return requests.request(method, base + path, headers=headers, timeout=TIMEOUT_SECS, **options)


def login(at=0):
    name, secret = api.login("customers", at)
    answer = call("POST", "/identity/token", json={"userName": name, "password": secret})
    return status(answer, 200).json()["access_token"]


def refused(answer, code, wanted=401):
    body = status(answer, wanted).json()
    same((body["httpStatus"], body["errorCode"]), (wanted, code), body)
    assert body["messageText"] and "trace" not in body, body
    return answer


def key_set(name, administration=demo.administration):
    return jwt.PyJWKClient(f"{administration}/jwks/{name}", timeout=TIMEOUT_SECS)


@check("N29 the gate's own token verifies with the published keys; it has audience, keys and tenant")
def issued():
    token = login()
    key = key_set("token").get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, algorithms=["RS256", "ES256", "EdDSA"], audience="client", issuer=ISSUER)
    same((claims["sub"], claims["merchant"]), (user, "0001"), claims)
    assert 3500 < claims["exp"] - time.time() <= 3600, claims


@check("N22 N24 N44 it admits; the service is told its subject, whatever the request says")
def admitted():
    for headers in ({}, {"subject": "2"}, {"Subject": "2", "enactor-user-id": "2"}):
        answer = status(call("GET", "/baskets/PRIMARY", login(), headers=headers), 200)
        same(answer.json()["basket"]["customerId"], user)


@check("no token: 401 with an ErrorMessage and the challenge")
def no_token():
    answer = refused(call("GET", "/baskets/PRIMARY"), "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer realm="), answer.headers


@check("a wrong password at the token endpoint: 401")
def wrong_password():
    refused(call("POST", "/identity/token", json={"userName": user, "password": "wrong"}), "wrong-password")


@check("the samples of the document decode: exp in seconds, iat in milliseconds, no kid; both have expired")
def samples_decode():
    for token in SAMPLES:
        same(jwt.get_unverified_header(token), {"alg": "RS256"})
        claims = jwt.decode(token, options={"verify_signature": False})
        same((claims["iss"], claims["aud"], claims["sub"]), (ISSUER, "client", "1"))
        assert claims["exp"] < time.time() < claims["iat"], claims


@check("they are refused: nobody here has their key")
def samples_refused():
    for token in SAMPLES:
        refused(call("GET", "/baskets/PRIMARY", token), "bad-token")


@check("a token that was tampered with, one with alg none, one that is no token: refused")
def tampered():
    token = login()
    header, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    unsigned = jwt.encode({**claims, "sub": "2"}, None, algorithm="none")
    other = unsigned.split(".")[1]
    for bad in (f"{header}.{other}.{signature}", unsigned, f"{header}.{payload}.", "abc", f"{token}x"):
        refused(call("GET", "/baskets/PRIMARY", bad), "bad-token")


@check("a token signed with the published key as an HMAC secret: refused")
def confused():
    key = key_set("token").get_signing_key_from_jwt(login()).key
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": ISSUER, "aud": "client", "sub": "1", "exp": int(time.time()) + 60}
    # PyJWT knows better than to sign with such a secret.
    parts = [base64url_encode(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims)]
    parts.append(base64url_encode(hmac.digest(pem, b".".join(parts), "sha256")))
    refused(call("GET", "/baskets/PRIMARY", b".".join(parts).decode()), "bad-token")


@check("N36-N38 an anonymous basket by its reference; nobody else's reference opens it")
def anonymous():
    reference = status(call("POST", "/baskets", json={"basketType": "BASKET"}), 201).json()["basketReference"]
    same(len(reference), 26)
    status(call("POST", f"/baskets/{reference}/items", json={"itemId": "4711"}), 201)
    same(len(status(call("GET", f"/baskets/{reference}"), 200).json()["basket"]["items"]), 1)
    mine = status(call("POST", "/baskets", login(0), json={}), 201).json()["basketReference"]
    status(call("GET", f"/baskets/{mine}", login(0)), 200)
    unknown = status(call("GET", "/baskets/AAAAAAAAAAAAAAAAAAAAAAAAAA", login(1)), 404)
    same(status(call("GET", f"/baskets/{mine}", login(1)), 404).json(), unknown.json())


private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def minted(key=private, **changes):
    """A token of the samples' shape: no kid, no typ, exp in seconds, iat in milliseconds."""
    now = time.time()
    claims = {
        "aud": "client",
        "sub": "1",
        "email_verified": False,
        "updated_at": 1522320902,
        "iss": ISSUER,
        "phone_number_verified": False,
        "exp": int(now) + 3595,
        "iat": int(now * 1000),
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm="RS256", headers={"typ": None})


SERVED = f"""
dialect = "enactor"
at = ["/WebRestApi/rest"]
enable = ["basic"]
issuers."{ISSUER}" = {{ pem_file = "issuer.pem" }}
[[api.route]]
at = "/**"
allow = "authenticated"
"""

with Served(SERVED, {"issuer.pem": pem}) as gate:
    base = gate.addresses["main"] + "/WebRestApi/rest"

    @check("a token of the samples' shape with a good signature and expiry is accepted")
    def same_shape():
        token = minted()
        same(jwt.get_unverified_header(token), {"alg": "RS256"})
        told = status(call("GET", "/baskets/PRIMARY", token, base), 200).json()
        same(told["subject"], "1")
        assert "authorization" not in told, "the token reached the service"

    @check("the service's assertion verifies with the published keys, for this API alone")
    def assertion():
        told = status(call("GET", "/baskets/PRIMARY", minted(), base), 200).json()
        token = told["countersign-assertion"]
        key = key_set("assertion", gate.addresses["administration"]).get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="served")
        same((claims["sub"], claims["keys"].get("customer")), ("1", "1"), claims)
        assert claims["exp"] - time.time() <= 60, claims
        try:
            jwt.decode(token, key, algorithms=["EdDSA"], audience="shop")
        except jwt.InvalidAudienceError:
            return
        raise AssertionError("it is good for another API")

    @check("N23 an expired one: 401 expired")
    def expired():
        refused(call("GET", "/baskets/PRIMARY", minted(exp=int(time.time()) - 120), base), "expired")

    @check("no expiry, another audience, another issuer, another key: 401")
    def wrong():
        for token in (minted(exp=None), minted(aud="server"), minted(iss="http://example.com/"), minted(stranger)):
            refused(call("GET", "/baskets/PRIMARY", token, base), "bad-token")

    @check("N25-N28 Basic where it is switched on, with a user that the command line made: he is the subject")
    def basic():
        gate.add_user("till-5", "a drawer full of coins")
        told = status(call("GET", "/baskets/PRIMARY", base=base, auth=("till-5", "a drawer full of coins")), 200)
        same(told.json()["subject"], "till-5")
        answer = refused(call("GET", "/baskets/PRIMARY", base=base, auth=("till-5", "wrong")), "wrong-password")
        challenges = answer.headers["www-authenticate"]
        assert 'Basic realm="Enactor"' in challenges and 'Bearer realm="Enactor"' in challenges, challenges

    @check("Basic where it is not switched on: refused, although the password is right")
    def basic_off():
        # The demo's API does not enable it; its customers are no users.
        refused(call("GET", "/baskets/PRIMARY", auth=(user, password)), "not-accepted")


TRUSTING = """
dialect = "enactor"
deployment = "trusting"
dangerous = ["subject"]
at = ["/WebRestApi/rest"]
[[api.route]]
at = "/**"
allow = "authenticated"
"""

with Served(TRUSTING) as gate:
    base = gate.addresses["main"] + "/WebRestApi/rest"

    @check("N39-N43 the switch is false: the subject header is believed; without it: 401")
    def subject():
        told = status(call("GET", "/baskets/PRIMARY", base=base, headers={"subject": "1"}), 200).json()
        same(told["subject"], "1")
        refused(call("GET", "/baskets/PRIMARY", base=base), "unauthenticated")


check.finish()
