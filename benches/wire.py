"""What the programs of this folder share that ask one request after the other."""

import pathlib
import re
import socket
import time
import urllib.parse


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
    """A connection that asks for one path again and again."""

    def __init__(self, address, path):
        at = urllib.parse.urlsplit(address)
        self.path, self.host = path, at.netloc
        self.socket = socket.create_connection((at.hostname, at.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, fields=""):
        """Asks with these lines; nanoseconds, and the head of the answer."""
        request = f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\n{fields}\r\n".encode()
        begun = time.perf_counter_ns()
        self.socket.sendall(request)
        received = b""
        while True:
            received += self.socket.recv(65536)
            head, end, body = received.partition(b"\r\n\r\n")
            if end and len(body) >= int(re.search(rb"(?i)content-length: (\d+)", head).group(1)):
                took = time.perf_counter_ns() - begun
                return took, head.decode("latin-1")
