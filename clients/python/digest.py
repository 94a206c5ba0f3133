"""curl and Python requests with Digest against a gate of their own: both find their challenge, and are refused with a
wrong password, as a user who did not opt in, and for a replayed counter.
"""

import hashlib
import json
import os
import re
import subprocess

import requests
from requests.auth import HTTPDigestAuth

from gate import TIMEOUT_SECS, Checks, Echo, Served, same, status

USER, PASSWORD = "till", "drawer-open-5"
BASE = '{dialect}at = ["/rest"]\nenable = ["digest"]\n{settings}[[api.route]]\nat = "/**"\nallow = "authenticated"\n'

check = Checks()


class Service(Echo):
    """Answers a POST with what it was told and the body that came."""

    def do_POST(self):  # the name is http.server's
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.do_GET()


class Digest(Served):
    """A gate that offers Digest with these settings, and a user who opted in."""

    service = Service

    def __init__(self, settings=""):
        super().__init__(BASE.format(dialect='dialect = "enactor"\n', settings=settings))

    def __enter__(self):
        super().__enter__()
        self.add(USER, "--keep-for", "digest")
        self.add("strong")
        self.url = self.addresses["main"] + "/rest/devices/pos1?a=1&b=%7e"
        return self

    def add(self, name, *options):
        command = [os.environ["COUNTERSIGN"], "user", "add", name, "--password-stdin", "--config", self.config]
        subprocess.run([*command, *options], input=PASSWORD + "\n", text=True, check=True, stdout=subprocess.DEVNULL)

    def user(self, *words):
        command = [os.environ["COUNTERSIGN"], "user", *words, "--config", self.config]
        return subprocess.run(command, text=True, check=True, stdout=subprocess.PIPE).stdout


def curl(gate, *options, user=USER, password=PASSWORD):
    """What curl says of an exchange: its requests, the statuses, the last answer's body."""
    command = ["curl", "-sv", "--digest", "--user", f"{user}:{password}", *options, gate.url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECS)
    statuses = [int(found) for found in re.findall(r"^< HTTP/1.1 (\d+)", said.stderr, re.M)]
    sent = re.findall(r"^> Authorization: (Digest .*?)\r?$", said.stderr, re.M)
    return statuses, sent, said


def get(gate, auth, session=requests, **options):
    return session.request(options.pop("method", "GET"), gate.url, auth=auth, timeout=TIMEOUT_SECS, **options)


with Digest() as gate:

    @check("curl: the challenge, then the right response; the service is told who it is and nothing else")
    def curl_right():
        statuses, sent, said = curl(gate)
        same(statuses, [401, 200], said.stderr)
        assert len(sent) == 1 and "algorithm=SHA-256" in sent[0] and "qop=auth" in sent[0], sent
        told = json.loads(said.stdout)
        same(told["subject"], USER)
        assert "authorization" not in told, told
        assert re.search(r"^< authentication-info: rspauth=\"[0-9a-f]{64}\"", said.stderr, re.M | re.I), said.stderr

    @check("curl: a body is sent with the response, whole")
    def curl_body():
        statuses, _, said = curl(gate, "--data", "a=1&b=2")
        same((statuses, json.loads(said.stdout)["body"]), ([401, 200], "a=1&b=2"), said.stderr)

    @check("requests: further requests go on under the nonce of the first, without a challenge")
    def further():
        auth = HTTPDigestAuth(USER, PASSWORD)
        with requests.Session() as session:
            answers = [status(get(gate, auth, session), 200) for _ in range(3)]
        same([len(answer.history) for answer in answers], [1, 0, 0])
        assert "nc=00000003" in answers[2].request.headers["Authorization"]

    @check("curl: a wrong password, nobody, and a user who did not opt in are refused alike")
    def curl_wrong():
        bodies = set()
        for user, password in [(USER, "wrong"), ("nobody", PASSWORD), ("strong", PASSWORD)]:
            statuses, _, said = curl(gate, user=user, password=password)
            same(statuses, [401, 401], said.stderr)
            bodies.add(said.stdout.splitlines()[-1])
        same(len(bodies), 1, bodies)

    @check("requests: right and wrong passwords, and a body")
    def requests_right():
        auth = HTTPDigestAuth(USER, PASSWORD)
        same(status(get(gate, auth), 200).json()["subject"], USER)
        answer = status(get(gate, auth, method="POST", data="a=1"), 200)
        same(answer.json()["body"], "a=1")
        status(get(gate, HTTPDigestAuth(USER, "wrong")), 401)
        status(get(gate, HTTPDigestAuth("strong", PASSWORD)), 401)
        status(get(gate, None), 401)

    @check("requests: a response that is sent again is refused, and not called stale")
    def replayed():
        answer = status(get(gate, HTTPDigestAuth(USER, PASSWORD)), 200)
        field = answer.request.headers["Authorization"]
        again = status(requests.get(gate.url, headers={"Authorization": field}, timeout=TIMEOUT_SECS), 401)
        assert "stale" not in again.headers["WWW-Authenticate"], again.headers

    @check("requests: rspauth shows that the gate knows the password")
    def mutual():
        answer = status(get(gate, HTTPDigestAuth(USER, PASSWORD)), 200)
        sent = dict(re.findall(r'(\w+)="?([^",]*)"?', answer.request.headers["Authorization"]))
        hashed = lambda text: hashlib.sha256(text.encode()).hexdigest()
        ha1, ha2 = hashed(f"{USER}:Enactor:{PASSWORD}"), hashed(f":{sent['uri']}")
        rspauth = hashed(f"{ha1}:{sent['nonce']}:{sent['nc']}:{sent['cnonce']}:auth:{ha2}")
        assert f'rspauth="{rspauth}"' in answer.headers["Authentication-Info"], answer.headers

    @check("who opted in is marked; once he is strengthened his responses are refused, his password is not lost")
    def strengthened():
        listed = json.loads(gate.user("list", "--output", "json"))
        same({account["name"]: account["weaker"] for account in listed if account["name"] in (USER, "strong")}, {USER: ["digest"], "strong": []})
        gate.user("strengthen", USER)
        status(get(gate, HTTPDigestAuth(USER, PASSWORD)), 401)
        same(curl(gate)[0], [401, 401])


with Digest('[api.digest]\nalgorithms = ["MD5", "SHA-256"]\nuserhash = true\n') as gate:

    @check("curl takes the first challenge, SHA-256, and hashes its user's name as it was told to")
    def curl_first():
        statuses, sent, said = curl(gate)
        same(statuses, [401, 200], said.stderr)
        assert "algorithm=SHA-256" in sent[0] and "userhash=true" in sent[0] and USER not in sent[0], sent
        same(curl(gate, password="wrong")[0], [401, 401])

    @check("requests takes the last one, MD5")
    def requests_last():
        answer = status(get(gate, HTTPDigestAuth(USER, PASSWORD)), 200)
        assert 'algorithm="MD5"' in answer.request.headers["Authorization"], answer.request.headers
        status(get(gate, HTTPDigestAuth(USER, "wrong")), 401)


with Digest('[api.digest]\nalgorithms = ["SHA-256-sess", "MD5-sess"]\n') as gate:

    @check("sessions: curl SHA-256-sess, requests MD5-sess, several requests each")
    def sessions():
        statuses, sent, said = curl(gate)
        same(statuses, [401, 200], said.stderr)
        assert "algorithm=SHA-256-sess" in sent[0], sent
        auth = HTTPDigestAuth(USER, PASSWORD)
        with requests.Session() as session:
            for _ in range(3):
                status(get(gate, auth, session), 200)
        status(get(gate, HTTPDigestAuth(USER, "wrong")), 401)


check.finish()
