"""Log-ins that directories decide about: slapd with TLS, and login services over HTTP; with Python requests."""

import base64
import http.server
import json
import socket
import statistics
import threading
import time

import jwt
import requests

from gate import TIMEOUT_SECS, Checks, Served, free_port, same, status
from slapd import BASE, SEARCHER, SEARCHER_PASSWORD, Slapd, group, person

check = Checks()

PEOPLE = [f"load{number}" for number in range(40)]

DIRECTORY = """
[directory.corp]
create = true
remember = "1ms"
roles = {{ agents = ["ROLE_AGENT"], "cn=staff,ou=groups,{base}" = ["ROLE_STAFF"] }}
[directory.corp.ldap]
servers = ["ldap://localhost:{dead}", "{url}"]
start_tls = true
ca = "ca.pem"
base = "ou=people,{base}"
filter = "(&(objectClass=person)(uid={{user}}))"
search_as = {{ name = "{searcher}", password_file = "searcher.txt" }}
attributes = {{ name = "uid", email = "mail", first_name = "givenName", last_name = "sn" }}
groups = {{ filter = "(member={{dn}})", base = "ou=groups,{base}", nested = true }}

[directory.direct]
create = true
[directory.direct.ldap]
servers = ["{secure}"]
ca = "ca.pem"
base = "ou=people,{base}"
bind = "uid={{user}},ou=people,{base}"
attributes = {{ subject = "uid" }}

[directory.known]
[directory.known.ldap]
servers = ["{secure}"]
ca = "ca.pem"
base = "ou=people,{base}"
bind = "uid={{user}},ou=people,{base}"

[directory.strangers]
[directory.strangers.ldap]
servers = ["{secure}"]
base = "ou=people,{base}"
bind = "uid={{user}},ou=people,{base}"

[directory.stripped]
[directory.stripped.ldap]
servers = ["ldap://localhost:{stripping}"]
start_tls = true
ca = "ca.pem"
base = "ou=people,{base}"
bind = "uid={{user}},ou=people,{base}"

[directory.portal]
create = true
remember = "1ms"
timeout = "10s"
roles = {{ staff = ["ROLE_STAFF"] }}
[directory.portal.http]
url = "http://127.0.0.1:{portal}/login"
authorization_file = "portal.txt"
wrong = [401]
id = "/user/id"
groups = "/groups"
attributes = {{ name = "/user/name", email = "/user/mail", customer = "/user/customer" }}

[lockout]
address_failures = 100000
failures = 1000
"""

API = """dialect = "voltmx"
deployment = "onprem"
at = ["/"]
[[api.directory]]
name = "corp"
[[api.directory]]
name = "corp"
provider = "AD"
domain = "CORP"
[[api.directory]]
name = "direct"
provider = "AD"
domain = "LAB"
[[api.directory]]
name = "known"
provider = "Known"
[[api.directory]]
name = "strangers"
provider = "Strangers"
[[api.directory]]
name = "stripped"
provider = "Stripped"
[[api.directory]]
name = "portal"
provider = "Portal"
[[api.route]]
at = "/**"
allow = "authenticated"
"""


class Stripping(threading.Thread):
    """Whoever stands between and takes StartTLS out: says no to it, and notes what it is told."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = b""
        self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            connection.settimeout(5)
            try:
                self.heard += connection.recv(4096)
                # ExtendedResponse, protocolError
                connection.sendall(bytes.fromhex("300c02010178070a010204000400"))
                while received := connection.recv(4096):
                    self.heard += received
            except OSError:
                pass
            finally:
                connection.close()


class Portal(http.server.BaseHTTPRequestHandler):
    """A login service; the user says how it misbehaves."""

    protocol_version = "HTTP/1.1"
    asked = []

    def do_POST(self):  # the name is http.server's
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Portal.asked.append((self.path, self.headers["Authorization"], sorted(body)))
        user = body["user"]
        if user == "slow":
            time.sleep(15)
        if user == "moved":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        code = {"broken": 500}.get(user, 200 if body["password"] == "portalpw" else 401)
        profile = {"id": f"id-{user.lower()}", "name": user.lower(), "mail": f"{user}@x.test", "customer": 4711}
        document = {"user": profile, "groups": ["staff", "administrator"]}
        if user == "endless":
            document["filling"] = "x" * 5_000_000
        if user == "nobody":
            document = {}
        answer = json.dumps(document).encode() if code == 200 else b""
        self.send_response(code)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        try:
            self.wfile.write(answer)
        except OSError:
            pass

    def do_GET(self):  # the name is http.server's
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


entries = [
    person("alice", "alicepw", mail="alice@example.test", givenName="Alice"),
    person("bob", "bobpw"),
    person("twin", "twinpw"),
    f"dn: uid=twin,ou=groups,{BASE}\nobjectClass: inetOrgPerson\nuid: twin\ncn: twin\nsn: twin\nuserPassword: twinpw\n",
    *(person(name, "loadpw") for name in PEOPLE),
    group("agents", "uid=alice,ou=people"),
    group("staff", "cn=agents,ou=groups"),
    group("others", "uid=bob,ou=people"),
]
slapd = Slapd(*entries).__enter__()
stripping = Stripping()
portal = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal)
threading.Thread(target=portal.serve_forever, daemon=True).start()
config = API + DIRECTORY.format(
    base=BASE,
    url=slapd.url,
    secure=slapd.secure,
    searcher=SEARCHER,
    dead=free_port(),
    stripping=stripping.port,
    portal=portal.server_port,
)
files = {
    "ca.pem": (slapd.path / "ca.pem").read_bytes(),
    "searcher.txt": SEARCHER_PASSWORD.encode() + b"\n",
    "portal.txt": b"Bearer the-gate-itself\n",
}
gate = Served(config, files).__enter__()
gate.add_user("local", "local password")
http_session = requests.Session()


def login(user, password, provider="AD", domain="CORP"):
    body = {"userid": user, "password": password, "provider": provider, "domain": domain}
    body = {name: value for name, value in body.items() if value is not None}
    url = gate.addresses["main"] + "/authService/accounts/login"
    return http_session.post(url, json=body, timeout=TIMEOUT_SECS)


def told(user, password):
    """What the service behind the gate is told of who comes with Basic."""
    answer = http_session.get(gate.addresses["main"] + "/api/v1/x", auth=(user, password), timeout=TIMEOUT_SECS)
    assertion = status(answer, 200).json()["countersign-assertion"]
    return jwt.decode(assertion, options={"verify_signature": False})


def administration(path):
    return http_session.get(gate.addresses["administration"] + path, timeout=TIMEOUT_SECS).text


def logged(text):
    return any(text in line for line in list(gate.log))


@check("V13 V14 search-then-bind with StartTLS, past a dead server: an account is made, the profile is the directory's")
def searched():
    profile = status(login("alice", "alicepw"), 200).json()["profile"]
    same(profile, {"email": "alice@example.test", "userid": "alice", "firstname": "Alice", "lastname": "alice"})
    status(login("ALICE", "alicepw"), 200)


@check("a direct bind over ldaps; the same name in another domain is another person and gets no account of his")
def direct():
    status(login("bob", "bobpw", domain="LAB"), 200)
    status(login("bob", "wrong", domain="LAB"), 401)
    same(login("alice", "alicepw", domain="LAB").status_code, 401)


@check("V14 a provider without its domain, with another one, and a domain without a provider: Invalid Provider")
def providers():
    for provider, domain in (("AD", None), ("AD", "OTHER"), ("LDAP", None), (None, "CORP")):
        answer = status(login("alice", "alicepw", provider, domain), 401)
        same(answer.json()["errcode"], -7, (provider, domain))


@check("T-D12 no user writes a filter or a name; an empty password is nobody's: one answer for all, as for a wrong one")
def refused():
    wrong = status(login("alice", "wrong"), 401)
    users = ["*", "alice*", "alice)(uid=*", ")(uid=*", "*)(objectClass=*", "\\61lice", "", "nobody", "twin,ou=groups"]
    for user in users:
        answer = login(user, "alicepw")
        assert answer.status_code == 401, (user, answer.text)
        same(answer.content, wrong.content, user)
    same(login("alice\0", "alicepw").status_code, 400)
    for domain in ("CORP", "LAB"):
        same(status(login("alice", "", domain=domain), 401).content, wrong.content)
        answer = status(login(f"alice,ou=people,{BASE}", "alicepw", domain=domain), 401)
        same(answer.content, wrong.content)


@check("groups of groups give the named roles and no others")
def roles():
    same(sorted(told("alice", "alicepw")["roles"]), ["ROLE_AGENT", "ROLE_STAFF"])
    same(told("load1", "loadpw")["roles"], [])


@check("T-E5 a group that is taken away takes its roles along with the next check, and what was proven before")
def regrouped():
    claims = status(login("alice", "alicepw"), 200).json()["claims_token"]["value"]
    url, headers = gate.addresses["main"] + "/api/v1/x", {"X-VoltMX-Authorization": claims}
    status(http_session.get(url, headers=headers, timeout=TIMEOUT_SECS), 200)
    members = f"dn: cn=agents,ou=groups,{BASE}\nchangetype: modify\nreplace: member\nmember: %s,ou=people,{BASE}\n"
    slapd.change(members % "uid=bob")
    try:
        same(told("alice", "alicepw")["roles"], [])
        status(http_session.get(url, headers=headers, timeout=TIMEOUT_SECS), 401)
    finally:
        slapd.change(members % "uid=alice")


@check("an account with a password of its own stays the gate's, whatever the directory says of its name")
def own():
    same(told("local", "local password")["sub"], "local")
    slapd.change(f"dn: uid=local,ou=people,{BASE}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: local\n"
                 "cn: local\nsn: local\nuserPassword: elsewhere\n")
    status(login("local", "elsewhere"), 401)
    status(login("local", "elsewhere", None, None), 401)


@check("without `create` only who has an account gets in")
def unknown():
    status(login("load39", "loadpw", "Known", None), 401)


@check("P-LDAP3 whose certificate is not believed is not asked; StartTLS that is refused is no way to clear text: 503")
def private():
    same(login("alice", "alicepw", "Strangers", None).status_code, 503)
    same(login("alice", "alicepw", "Stripped", None).status_code, 503)
    assert b"alicepw" not in stripping.heard and b"1.3.6.1.4.1.1466.20037" in stripping.heard, stripping.heard


@check("a login service over HTTP: right, wrong, its profile, its groups by name; the gate proves itself to it")
def over_http():
    status(login("Carol", "portalpw", "Portal", None), 200)
    profile = status(login("carol", "portalpw", "Portal", None), 200).json()["profile"]
    same((profile["userid"], profile["email"]), ("carol", "carol@x.test"))
    status(login("carol", "wrong", "Portal", None), 401)
    same(Portal.asked[-1], ("/login", "Bearer the-gate-itself", ["password", "user"]))
    before = len(Portal.asked)
    status(login("carol", "", "Portal", None), 401)
    same(len(Portal.asked), before, "questions for an empty password")


@check("T-F2 a login service that breaks, sends elsewhere, never ends or names nobody: 503, and never a pass")
def misbehaving():
    for user in ("broken", "moved", "endless", "slow", "nobody"):
        same(login(user, "portalpw", "Portal", None).status_code, 503, user)


@check("T-F1 a directory that is down: 503 with the cause in the log, local accounts unaffected; it comes back by itself")
def down():
    status(login("alice", "alicepw"), 200)
    slapd.stop()
    try:
        same(login("alice", "alicepw").status_code, 503)
        same(login("alice", "wrong").status_code, 503)
        same(told("local", "local password")["sub"], "local")
        assert any("a directory does not answer" in line and "corp" in line for line in list(gate.log)), gate.log
        assert "directory corp is down: " in administration("/ready"), administration("/ready")
        assert 'countersign_directory_up{directory="corp"} 0' in administration("/metrics")
    finally:
        slapd.start()
    # Until it is asked anew, the gate may take it for one that is down.
    until = time.monotonic() + 30
    while login("alice", "alicepw").status_code == 503 and time.monotonic() < until:
        time.sleep(0.1)
    status(login("alice", "alicepw"), 200)
    assert "corp" not in administration("/ready"), administration("/ready")
    assert 'countersign_directory_up{directory="corp"} 1' in administration("/metrics")


@check("a log-in costs at most 1.3 x the same bind by ldapwhoami")
def cost():
    def took(run):
        begun = time.perf_counter()
        assert run()
        return (time.perf_counter() - begun) * 1000

    # The first log-in of a name makes an account; that is not what is compared.
    for name in PEOPLE:
        status(login(name, "loadpw"), 200)
    # In turns, so that what else the machine does falls on both.
    pairs = [
        (
            took(lambda: login(name, "loadpw").status_code == 200),
            took(lambda: slapd.whoami(f"uid={name},ou=people,{BASE}", "loadpw") == 0),
        )
        for name in PEOPLE
    ]
    gate_ms, tool_ms = (statistics.median(times) for times in zip(*pairs))
    print(f"   log-in {gate_ms:.2f} ms, ldapwhoami {tool_ms:.2f} ms: {gate_ms / tool_ms:.2f}")
    assert gate_ms <= 1.3 * tool_ms, (gate_ms, tool_ms)


@check("T-F3 no password and no secret of the gate's own is in its log")
def silent():
    for secret in ("alicepw", "bobpw", "portalpw", SEARCHER_PASSWORD, "the-gate-itself", "elsewhere"):
        assert not logged(secret), secret
    assert not logged(base64.b64encode(b"alice:alicepw").decode())


gate.__exit__()
portal.shutdown()
slapd.__exit__()
check.finish()
