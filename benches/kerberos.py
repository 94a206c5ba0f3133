"""What one log-in by Kerberos costs the gate: the call of GSSAPI, and what the gate does around it.

    .cache/venv/bin/python benches/kerberos.py [REQUESTS]        COUNTERSIGN=… names a build; `clients/run` makes the venv

A request with a ticket, a request of a session and GSSAPI by itself, in turns, as often as there are rounds. The requests
come on a connection that others may use (`Via`), so that each ticket is checked; dialect, upstream and route are the same.
CPU is what the kernel counted for all threads of the gate's process; for GSSAPI, for the thread of a program that does
nothing else, with the same keytab and a replay cache: `gss_accept_sec_context`, the client's name, and giving all back.
That is measured twice: one call after the other, and with a request of a session between two calls, so that its code and
data are as far from the processor as they are in the gate. What a ticket costs beyond a request of a session and beyond
such a call is the gate's own share of the log-in.
"""

import base64
import ctypes
import os
import statistics
import sys
import time

from wire import PATH, Quick, Spent, Wire, spread

from realm import REALM, Realm

ROUNDS = 15
API = f"""disable = ["digest", "bearer"]
[api.kerberos]
keytab = "http.keytab"
realms = ["{REALM}"]
create = {{}}
"""
VIA = "Via: 1.1 bench\r\n"


class Acceptor:
    """GSSAPI with a keytab."""

    def __init__(self, ticket, keytab):
        class KeyValue(ctypes.Structure):
            _fields_ = [("key", ctypes.c_char_p), ("value", ctypes.c_char_p)]

        class KeyValueSet(ctypes.Structure):
            _fields_ = [("count", ctypes.c_uint32), ("elements", ctypes.POINTER(KeyValue))]

        self.ticket, self.minor, self.credential = ticket, ctypes.c_uint32(), ctypes.c_void_p()
        entry = KeyValue(b"keytab", f"FILE:{keytab}".encode())
        store = KeyValueSet(1, ctypes.pointer(entry))
        major = ticket.gssapi.gss_acquire_cred_from(
            ctypes.byref(self.minor), None, 0, None, 2, ctypes.byref(store), ctypes.byref(self.credential), None, None
        )
        ticket.checked(major, self.minor, "gss_acquire_cred_from")

    def us(self, tokens, between=lambda: None):
        """Microseconds of CPU of one log-in."""
        gssapi, minor, spent = self.ticket.gssapi, ctypes.byref(self.minor), 0
        for token in tokens:
            between()
            given, _held = self.ticket.buffer(token)
            context, answer, name = ctypes.c_void_p(), self.ticket.Buffer(0, None), self.ticket.Buffer(0, None)
            source, flags = ctypes.c_void_p(), ctypes.c_uint32()
            begun = time.thread_time_ns()
            major = gssapi.gss_accept_sec_context(
                minor, ctypes.byref(context), self.credential, ctypes.byref(given), None, ctypes.byref(source), None,
                ctypes.byref(answer), ctypes.byref(flags), None, None,
            )
            self.ticket.checked(major, self.minor, "gss_accept_sec_context")
            gssapi.gss_display_name(minor, source, ctypes.byref(name), None)
            gssapi.gss_release_name(minor, ctypes.byref(source))
            gssapi.gss_release_buffer(minor, ctypes.byref(answer))
            gssapi.gss_delete_sec_context(minor, ctypes.byref(context), None)
            spent += time.thread_time_ns() - begun
            assert ctypes.string_at(name.value, name.length) == f"alice@{REALM}".encode()
            gssapi.gss_release_buffer(minor, ctypes.byref(name))
        return spent / 1000 / len(tokens)


def gate_us(gate, wire, lines):
    """Microseconds of the gate's CPU for one request with each of these lines."""
    spent = Spent(gate.process.pid)
    for line in lines:
        _took, head = wire.ask(VIA + line)
        assert head.split()[1] == "200", head
    return spent.us() / len(lines)


def measure(requests=120):
    """Rows of each round, in microseconds: a ticket, a session, GSSAPI one call after the other, and in between."""
    with Realm() as realm:
        realm.log_in("alice", "alicepw")
        os.environ.update({name: value for name, value in realm.environment.items() if name.startswith("KRB5")})
        import ticket

        acceptor = Acceptor(ticket, realm.keytab)
        with Quick(API, {"http.keytab": realm.keytab.read_bytes()}) as gate:
            session = f"X-Session: {gate.session()}\r\n"
            wire = Wire(gate.addresses["main"], PATH)
            for number in range(-1, ROUNDS):
                tokens = [ticket.token("HTTP@localhost") for _ in range(3 * requests)]
                shown = [f"Authorization: Negotiate {base64.b64encode(token).decode()}\r\n" for token in tokens[:requests]]
                row = (
                    gate_us(gate, wire, shown),
                    gate_us(gate, wire, [session] * requests),
                    acceptor.us(tokens[requests:2 * requests]),
                    acceptor.us(tokens[2 * requests:], lambda: wire.ask(session)),
                )
                if number >= 0:
                    yield row


def summary(rows):
    """The medians, and the gate's own share of each round to the call in between."""
    shares = [(whole - known - call) / call for whole, known, _, call in rows]
    return [statistics.median(column) for column in zip(*rows)], shares


if __name__ == "__main__":
    (whole, known, hot, call), shares = summary(list(measure(*map(int, sys.argv[1:2]))))
    print(f"a request with a ticket             {whole:8.1f} us")
    print(f"a request of a session              {known:8.1f} us")
    print(f"gssapi, one call after the other    {hot:8.1f} us")
    print(f"gssapi, requests in between         {call:8.1f} us")
    print(f"the gate's own share of a log-in    {whole - known - call:8.1f} us, {spread(shares)} of that")
