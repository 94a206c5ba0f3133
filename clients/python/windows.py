"""NTLM as curl, requests_ntlm and pyspnego speak it, against a gate whose accounts opted in."""

import base64
import pathlib
import subprocess
import tempfile

import requests
import spnego
from requests_ntlm import HttpNtlmAuth

from gate import TIMEOUT_SECS, Checks, Served, same, status
from slapd import authority

USER, PASSWORD = "alice", "open sesame 7"
API = """
dialect = "superoffice"
at = ["/"]
enable = ["ntlm", "negotiate"]
[api.ntlm]
domain = "CORP"
dns_domain = "corp.test"
[[api.route]]
at = "/**"
allow = "authenticated"
"""
PATH = "/api/v1/Contact/2"

check = Checks()
served = Served(API)


def curl(*arguments, scheme="--ntlm", user=USER, password=PASSWORD, times=1):
    """The statuses of curl's requests, one connection for all."""
    url = f"{served.addresses['main']}{PATH}"
    command = ["curl", "-s", scheme, "-u", f"{user}:{password}", "--max-time", str(TIMEOUT_SECS), *arguments]
    for _ in range(times):
        command += ["-o", "/dev/null", "-w", "%{http_code} ", url]
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False).stdout.split()


def session(user=USER, password=PASSWORD):
    """A session of requests that answers NTLM's challenges."""
    session = requests.Session()
    session.auth = HttpNtlmAuth(user, password)
    return session


def get(session, **options):
    return session.get(f"{served.addresses['main']}{PATH}", timeout=TIMEOUT_SECS, **options)


def by_spnego(protocol, password=PASSWORD, word="Negotiate"):
    """The statuses of an exchange that pyspnego drives, and whether it believes the gate."""
    client = spnego.client(USER, password, hostname="localhost", service="http", protocol=protocol)
    session, statuses, token = requests.Session(), [], None
    for _ in range(4):
        token = client.step(token)
        if token is None:
            break
        answer = get(session, headers={"Authorization": f"{word} {base64.b64encode(token).decode()}"})
        statuses.append(answer.status_code)
        # A message for the client stands alone; a refusal lists all challenges, joined by commas.
        challenge = answer.headers.get("WWW-Authenticate", "")
        token = None if "," in challenge else base64.b64decode(challenge.removeprefix(word)) or None
        if answer.status_code == 200:
            if token:
                client.step(token)
            break
        if not token:
            break
    return statuses, client.complete


with served:
    served.add_user(USER, PASSWORD, "--keep-for", "ntlm")
    served.add_user("bob", PASSWORD)

    @check("curl --ntlm gets in, with GET and POST, and again on the same connection")
    def curl_right():
        same(curl(), ["200"])
        same(curl("--data", "x=" + "y" * 1000), ["200"])
        same(curl(times=3), ["200", "200", "200"])
        same(curl(user="CORP\\alice"), ["200"])

    @check("curl --ntlm is refused with a wrong password, an unknown user, and an account that did not opt in")
    def curl_wrong():
        same(curl(password="open sesame 8"), ["401"])
        same(curl(user="nobody"), ["401"])
        same(curl(user="bob"), ["401"])

    @check("requests_ntlm gets in, with GET and POST, and by its domain's name")
    def requests_right():
        one = session()
        told = status(get(one), 200).json()
        assert "authorization" not in told and told["countersign-assertion"], told
        status(get(one), 200)
        status(one.post(f"{served.addresses['main']}{PATH}", data=b"z" * 2000, timeout=TIMEOUT_SECS), 200)
        status(get(session("CORP\\alice")), 200)
        status(get(session("alice@corp.test")), 200)

    @check("requests_ntlm is refused with a wrong password")
    def requests_wrong():
        status(get(session(password="open sesame 8")), 401)
        status(get(session("bob")), 401)

    @check("NTLM in SPNEGO gets in, signed, and the gate's own signature is believed")
    def spnego_right():
        statuses, complete = by_spnego("negotiate")
        same(statuses[-1], 200)
        assert complete, "pyspnego waits for more"
        statuses, _ = by_spnego("ntlm", word="NTLM")
        same(statuses, [401, 200])

    @check("NTLM in SPNEGO is refused with a wrong password")
    def spnego_wrong():
        statuses, _ = by_spnego("negotiate", password="open sesame 8")
        same(statuses[-1], 401)

    @check("curl --negotiate without a ticket, and garbage, are refused, and Basic is still offered")
    def garbage():
        same(curl(scheme="--negotiate", user="", password=""), ["401"])
        for value in ("Negotiate garbage", "Negotiate YIIB", "NTLM garbage", "NTLM TlRMTVNTUAADAAAA"):
            answer = status(get(requests, headers={"Authorization": value}), 401)
            assert "Basic" in answer.headers["WWW-Authenticate"], answer.headers

def bound(binding):
    """A gate with TLS that demands that of channel bindings; the folder with its authority."""
    folder = tempfile.TemporaryDirectory()
    authority(folder.name)
    files = {name: pathlib.Path(folder.name, name).read_bytes() for name in ("ca.pem", "server.pem", "server.key")}
    listener = '[[listener]]\nname = "tls"\naddress = "127.0.0.1:0"\ntls = { certificate = "server.pem", key = "server.key" }\n'
    own = API.replace('dns_domain = "corp.test"', f'dns_domain = "corp.test"\nchannel_binding = "{binding}"')
    return Served(own + listener, files), folder


@check("T-D13 requests_ntlm over TLS: the channel binding that it sends is looked at as is demanded")
def binding():
    for demand, without, wrong in (("off", 200, 200), ("if-present", 200, 401), ("required", 401, 401)):
        gate, folder = bound(demand)
        with gate, folder:
            gate.add_user(USER, PASSWORD, "--keep-for", "ntlm")
            url = gate.addresses["tls"].replace("http://", "https://") + PATH

            def shown(auth):
                one = requests.Session()
                one.auth = auth
                return one.get(url, verify=f"{folder.name}/ca.pem", timeout=TIMEOUT_SECS).status_code

            same(shown(HttpNtlmAuth(USER, PASSWORD)), 200, demand)
            same(shown(HttpNtlmAuth(USER, "open sesame 8")), 401, demand)
            same(shown(HttpNtlmAuth(USER, PASSWORD, send_cbt=False)), without, demand)
            # Somebody between has another certificate, and the client binds its proof to that.
            false_one = HttpNtlmAuth(USER, PASSWORD)
            false_one._get_server_cert = lambda *_: bytes(32)
            same(shown(false_one), wrong, demand)


@check("P-NTLM4 where exchanges must be signed, requests_ntlm and SPNEGO get in, and curl, which cannot sign, does not")
def signed():
    global served
    with Served(API.replace('domain = "CORP"\n', 'domain = "CORP"\nmic = "required"\n', 1)) as served:
        served.add_user(USER, PASSWORD, "--keep-for", "ntlm")
        status(get(session()), 200)
        status(get(session(password="open sesame 8")), 401)
        same(by_spnego("negotiate")[0][-1], 200)
        same(curl(), ["401"])


check.finish()
