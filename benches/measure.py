"""What is measured: CPU of processes, answers of loads."""

import os
import pathlib
import re
import statistics
import subprocess
import sys

PROXY_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 64
# Of a load at a fixed rate: far from what any of the peers can do, so that nobody queues.
FIXED_RATE = 2000


def on(core, first=True):
    """Runs a command on one core, and before everything else that the machine does, where that may be asked.

    Not `first`: with the priorities that its threads give themselves, which real-time scheduling would hide.
    """
    return [*(["chrt", "--rr", "10"] if first and os.geteuid() == 0 else []), "taskset", "-c", core]


def cpu_secs(pid):
    """User and system time of all threads of a process, to the nanosecond."""
    threads = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def resident_kib(pid):
    """Resident memory of a process."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def worker_of(process):
    """The process that does the work: an nginx's or HAProxy's one child, or the process itself."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else process.pid


def wrk(url, secs, wanted, headers=(), script=None, arguments=()):
    """How many requests were answered over HTTP/1.1 within that time, and how many each second.

    All answers must be as `wanted`: `2xx`, or not.
    """
    command = [*on(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{secs}s", "--timeout", "10s"]
    for header in headers:
        command += ["-H", header]
    command += ["-s", str(script)] if script else []
    command += [url, *(["--", *map(str, arguments)] if arguments else [])]
    said = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    answered = int(re.search(r"(\d+) requests in", said)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    refused = int(refused[1]) if refused else 0
    if "Socket errors" in said or refused != (0 if wanted == "2xx" else answered):
        sys.exit(f"{url} was not answered as it should be:\n{said}")
    return answered, float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def h2load(url, secs, headers):
    """The same over HTTP/2, as many streams as connections elsewhere."""
    command = [*on(LOAD_CORE), "h2load", "-t1", "-c8", f"-m{CONNECTIONS // 8}", f"-D{secs}", "--warm-up-time=0"]
    for header in headers:
        command += ["-H", header]
    said = subprocess.run([*command, url], check=True, text=True, stdout=subprocess.PIPE).stdout
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    answered, *others = map(int, statuses.groups())
    if not answered or any(others):
        sys.exit(f"{url} was not answered as it should be:\n{said}")
    return answered, answered / secs


def latencies_ms(url, secs, headers, folder):
    """Median and 99th percentile at a fixed rate, over HTTP/1.1."""
    log = folder / "latencies"
    log.unlink(missing_ok=True)
    command = [*on(LOAD_CORE), "h2load", "--h1", "-t1", "-c16", f"--rps={FIXED_RATE / 16}", f"-D{secs}"]
    for header in headers:
        command += ["-H", header]
    subprocess.run([*command, f"--log-file={log}", url], check=True, stdout=subprocess.DEVNULL)
    took = sorted(int(line.split()[2]) / 1000 for line in log.read_text().splitlines())
    return statistics.median(took), took[len(took) * 99 // 100]
