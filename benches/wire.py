"""What the programs of this folder share that ask one request after the other.

They need the environment that `clients/run` makes; `COUNTERSIGN` names another build than the release build.
"""

import os
import pathlib
import re
import socket
import statistics
import sys
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "clients/python"))
os.environ.setdefault("COUNTERSIGN", str(ROOT / "target/release/countersign"))

from gate import Echo, Served  # noqa: E402

USER, PASSWORD = "till", "a password of till's"
ISSUER = "https://issuer.example"
PATH = "/orders/1"
# One dialect with every scheme that is measured, so that nothing but the scheme differs.
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
[credential.negotiate]
scheme = "negotiate"
from = "authorization Negotiate"
[credential.login]
scheme = "password"
from = {{ user = "body user", password = "body password" }}
[surface.all]
at = "/**"
accepts = ["session", "digest", "bearer", "negotiate"]
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
ROUTE = '[[api.route]]\nat = "/**"\nallow = "authenticated"\n'


def spread(values):
    """The median with the quartiles, as text."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


class Service(Echo):
    """Answers at once, and always the same."""

    disable_nagle_algorithm = True

    def do_GET(self):  # the name is http.server's
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Quick(Served):
    """A gate before that, with the dialect above."""

    service = Service

    def __init__(self, api, files, tables=""):
        files = {"bench.toml": DIALECT.encode(), **files}
        super().__init__(f'dialect = "./bench.toml"\nat = ["/"]\n{api}{ROUTE}{tables}', files)

    def session(self):
        """A session of the user, who is added."""
        import requests

        self.add_user(USER, PASSWORD, "--keep-for", "digest")
        log_in = {"user": USER, "password": PASSWORD}
        return requests.post(self.addresses["main"] + "/login", json=log_in, timeout=30).text


class Spent:
    """The CPU that a process takes from now on, in all its threads."""

    def __init__(self, pid):
        self.pid = pid
        self.before = self.threads()

    def threads(self):
        """Nanoseconds by thread."""
        taken = {}
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            try:
                taken[task.name] = int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass  # it has just ended
        return taken

    def us(self):
        """Microseconds so far; what a thread took that has ended meanwhile is not among them."""
        return sum(now - self.before.get(thread, 0) for thread, now in self.threads().items()) / 1000


class Wire:
    """A connection that asks again and again, for one path unless it is told another."""

    def __init__(self, address, path):
        at = urllib.parse.urlsplit(address)
        self.path, self.host = path, at.netloc
        self.socket = socket.create_connection((at.hostname, at.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, fields="", method="GET", path=None, body=b""):
        """Asks with these lines; nanoseconds, and the head of the answer."""
        if body:
            fields += f"Content-Length: {len(body)}\r\n"
        request = f"{method} {path or self.path} HTTP/1.1\r\nHost: {self.host}\r\n{fields}\r\n".encode() + body
        begun = time.perf_counter_ns()
        self.socket.sendall(request)
        received = b""
        while True:
            received += self.socket.recv(65536)
            head, end, body = received.partition(b"\r\n\r\n")
            if end and len(body) >= int(re.search(rb"(?i)content-length: (\d+)", head).group(1)):
                took = time.perf_counter_ns() - begun
                return took, head.decode("latin-1")
