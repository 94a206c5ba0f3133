"""What one log-in by Kerberos costs: the gate's whole CPU for a request, and the call of GSSAPI in it.

    python3 benches/kerberos.py [REQUESTS]         COUNTERSIGN=… names a build

Both check tickets with the same keytab and a replay cache. The call is measured by itself, in a program that does
nothing else; the gate's requests all come on one connection that says that others may use it (`Via`), so that each is
checked. CPU is what the kernel counted for all threads of the process, in user and system mode. A request without
credentials (401) shows what the gate spends on HTTP alone, one with a password that it remembers what it spends on
forwarding: what a ticket costs beyond that and beyond the call is the gate's own share of the log-in.
"""

import ctypes
import http.client
import os
import pathlib
import sys
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "clients/python"), str(ROOT / "benches")]
os.environ.setdefault("COUNTERSIGN", str(ROOT / "target/debug/countersign"))

from gate import Served  # noqa: E402
from realm import REALM, Realm  # noqa: E402
from wire import Spent  # noqa: E402

REQUESTS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
API = """
dialect = "superoffice"
at = ["/"]
enable = ["negotiate"]
[api.kerberos]
keytab = "http.keytab"
realms = ["{realm}"]
create = {{}}
[[api.route]]
at = "/**"
allow = "authenticated"
"""


def call_us(ticket, keytab, tokens):
    """Microseconds of CPU of one `gss_accept_sec_context`."""
    class KeyValue(ctypes.Structure):
        _fields_ = [("key", ctypes.c_char_p), ("value", ctypes.c_char_p)]

    class KeyValueSet(ctypes.Structure):
        _fields_ = [("count", ctypes.c_uint32), ("elements", ctypes.POINTER(KeyValue))]

    gssapi, minor, credential = ticket.gssapi, ctypes.c_uint32(), ctypes.c_void_p()
    entry = KeyValue(b"keytab", f"FILE:{keytab}".encode())
    store = KeyValueSet(1, ctypes.pointer(entry))
    major = gssapi.gss_acquire_cred_from(
        ctypes.byref(minor), None, 0, None, 2, ctypes.byref(store), ctypes.byref(credential), None, None
    )
    ticket.checked(major, minor, "gss_acquire_cred_from")
    spent = 0
    for token in tokens:
        given, _held = ticket.buffer(token)
        context, answer = ctypes.c_void_p(), ticket.Buffer(0, None)
        source, flags = ctypes.c_void_p(), ctypes.c_uint32()
        begun = time.thread_time_ns()
        major = gssapi.gss_accept_sec_context(
            ctypes.byref(minor), ctypes.byref(context), credential, ctypes.byref(given), None, ctypes.byref(source),
            None, ctypes.byref(answer), ctypes.byref(flags), None, None,
        )
        spent += time.thread_time_ns() - begun
        ticket.checked(major, minor, "gss_accept_sec_context")
        gssapi.gss_delete_sec_context(ctypes.byref(minor), ctypes.byref(context), None)
    return spent / 1000 / len(tokens)


def gate_us(served, headers, wanted):
    """Microseconds of the gate's CPU for one request with each of these headers."""
    address = urllib.parse.urlsplit(served.addresses["main"])
    connection = http.client.HTTPConnection(address.hostname, address.port)
    spent = Spent(served.process.pid)
    for header in headers:
        connection.request("GET", "/api/v1/Contact/2", headers=header)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == wanted, answer.status
    return spent.us() / len(headers)


def main():
    with Realm() as realm:
        realm.log_in("alice", "alicepw")
        os.environ.update({name: value for name, value in realm.environment.items() if name.startswith("KRB5")})
        import base64

        import ticket

        made = [ticket.token("HTTP@localhost") for _ in range(2 * REQUESTS)]
        with Served(API.format(realm=REALM), {"http.keytab": realm.keytab.read_bytes()}) as served:
            via = {"Via": "1.1 bench"}
            shown = [via | {"Authorization": f"Negotiate {base64.b64encode(token).decode()}"} for token in made[:REQUESTS]]
            gate_us(served, [via] * 100, 401)
            bare = gate_us(served, [via] * REQUESTS, 401)
            served.add_user("bob", "open sesame 7")
            basic = via | {"Authorization": "Basic " + base64.b64encode(b"bob:open sesame 7").decode()}
            gate_us(served, [basic] * 100, 200)
            known = gate_us(served, [basic] * REQUESTS, 200)
            whole = gate_us(served, shown, 200)
        call = call_us(ticket, realm.keytab, made[REQUESTS:])
    print(f"gate, whole request with a ticket   {whole:8.1f} us")
    print(f"gssapi, the call by itself          {call:8.1f} us")
    print(f"gate, with a remembered password    {known:8.1f} us")
    print(f"gate, a refusal without credentials {bare:8.1f} us")
    print(f"the gate's own share of a log-in    {whole - known - call:8.1f} us, {(whole - known - call) / call:.2f} of the call")


main()
