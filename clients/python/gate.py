"""What the programs of this folder share: the running demo, and checks that print one line each."""

import http.server
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

# Well above what a debug build on a busy machine takes for a login.
TIMEOUT_SECS = 120


GIVEN = set()


def free_port():
    """A port of loopback that nobody listens on, none given before, and none that the system gives away by itself."""
    for _ in range(100):
        port = random.randrange(10_000, 30_000)
        if port in GIVEN:
            continue
        GIVEN.add(port)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


class Api:
    """One API of the demo: where it is, who can log in, what other secrets there are."""

    def __init__(self, shown):
        self.base = shown["base_url"]
        self.secrets = shown["secrets"]
        self.accounts = shown["accounts"]

    def login(self, kind, at=0):
        """User and password of an account."""
        account = [account for account in self.accounts if account["kind"] == kind][at]
        return account["user"], account["password"]


class Demo:
    """The demo that runs, by the document that it printed."""

    def __init__(self):
        with open(os.environ["DEMO"], encoding="utf-8") as file:
            self.document = json.loads(file.readline())

    @property
    def administration(self):
        """Where health, metrics and keys are."""
        return self.document["administration"]

    def api(self, name):
        """One API by its name."""
        return Api(next(api for api in self.document["apis"] if api["name"] == name))


class Checks:
    """Runs what it decorates at once; says how it went."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def __call__(self, name):
        def run(function):
            try:
                function()
            except Exception as error:  # one check's trouble is not the next one's
                self.failed += 1
                print(f"FAIL {name}: {type(error).__name__}: {error}")
                if not isinstance(error, AssertionError):
                    print("   " + traceback.format_exc().strip().replace("\n", "\n   "))
            else:
                self.passed += 1
                print(f"ok {name}")
            return function

        return run

    def finish(self):
        """Prints the sum and ends the program."""
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)


def same(found, wanted, what=""):
    """Fails unless both are equal, and shows both."""
    assert found == wanted, f"{what or 'found'}: {found!r}, not {wanted!r}"


def status(answer, wanted):
    """Fails unless an answer of `requests` has that status; shows its body."""
    assert answer.status_code == wanted, f"{answer.request.method} {answer.url}: {answer.status_code}, not {wanted}: {answer.text!r}"
    return answer


class Served:
    """A gate of its own, by `countersign serve` with a configuration that is written for it; a context manager.

    `api` is the TOML below `[[api]]`, without name, listeners and upstream; files are written beside it. Behind the
    gate stands a service that answers every request with the headers that reached it, as JSON, or what `service` is.
    What the gate said in its log is in `log`.
    """

    service = None

    def __init__(self, api, files=None):
        self.api, self.files = api, files or {}
        self.log = []

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.service or Echo)
        threading.Thread(target=self.upstream.serve_forever, daemon=True).start()
        for name, content in self.files.items():
            pathlib.Path(self.folder.name, name).write_bytes(content)
        config = pathlib.Path(self.folder.name, "countersign.toml")
        config.write_text(
            '[administration]\nlisten = "127.0.0.1:0"\n[log]\nformat = "json"\naccess = false\n'
            '[[listener]]\nname = "main"\naddress = "127.0.0.1:0"\n'
            f'[[api]]\nname = "served"\nupstream = "http://127.0.0.1:{self.upstream.server_port}"\n{self.api}',
            encoding="utf-8",
        )
        self.config = str(config)
        command = [os.environ["COUNTERSIGN"], "serve", "--config", self.config]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, encoding="utf-8", **pipes)
        self.addresses, said = {}, []
        while len(self.addresses) < 2:
            line = self.process.stderr.readline()
            if not line:
                self.__exit__()
                raise RuntimeError("the gate did not start; it said:\n" + "".join(said))
            said.append(line)
            if "listener.address" in line:
                line = json.loads(line)
                self.addresses[line.get("listener.name", "administration")] = "http://" + line["listener.address"]
        self.log.extend(said)
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def listen(self):
        """Keeps what the gate says."""
        for line in self.process.stderr:
            self.log.append(line)

    def add_user(self, name, password, *options):
        """Adds an account while the gate runs, as an operator does."""
        command = [os.environ["COUNTERSIGN"], "user", "add", name, "--password-stdin", "--config", self.config, *options]
        subprocess.run(command, input=password + "\n", text=True, check=True, stdout=subprocess.DEVNULL)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(TIMEOUT_SECS)
        self.upstream.shutdown()
        self.folder.cleanup()


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers that reached it; names in lower case."""

    protocol_version = "HTTP/1.1"
    body = None

    def do_GET(self):  # the name is http.server's
        told = {name.lower(): value for name, value in self.headers.items()}
        if self.body is not None:
            told["body"] = self.body
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):  # the name is http.server's
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.do_GET()

    def log_message(self, *_):
        pass
