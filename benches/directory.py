"""How long a log-in by LDAP takes, and the same bind by `ldapwhoami` in a loop.

    .cache/venv/bin/python benches/directory.py [LOG-INS]        COUNTERSIGN=… names a build; `clients/run` makes the venv

Both ask the same slapd over TLS for the same person, in turns. The gate searches him, binds him, and opens a session; it
keeps its connections. `ldapwhoami` is a process and a connection each time, which is what a service without a gate in
front starts from. Times are a client's, from the request to the whole answer.
"""

import json
import statistics
import subprocess
import sys
import time

from wire import PASSWORD, PATH, USER, Quick, Wire

from slapd import BASE, SEARCHER, SEARCHER_PASSWORD, Slapd, person

WARM_UP = 5
API = 'disable = ["negotiate", "digest", "bearer"]\n[[api.directory]]\nname = "corp"\n'
DIRECTORY = f"""
[directory.corp]
create = true
[directory.corp.ldap]
servers = ["{{server}}"]
ca = "ca.pem"
base = "ou=people,{BASE}"
filter = "(uid={{{{user}}}})"
search_as = {{{{ name = "{SEARCHER}", password_file = "searcher.txt" }}}}
"""


def measure(logins=200):
    """Medians in milliseconds: a log-in at the gate, `ldapwhoami`; and the ratio of each pair."""
    log_in = json.dumps({"user": USER, "password": PASSWORD}).encode()
    with Slapd(person(USER, PASSWORD)) as slapd:
        files = {"ca.pem": (slapd.path / "ca.pem").read_bytes(), "searcher.txt": SEARCHER_PASSWORD.encode()}
        with Quick(API, files, DIRECTORY.format(server=slapd.secure)) as gate:
            wire = Wire(gate.addresses["main"], PATH)
            command = ["ldapwhoami", "-x", "-H", f"ldaps://127.0.0.1:{slapd.ports[1]}"]
            command += ["-D", f"uid={USER},ou=people,{BASE}", "-w", PASSWORD]
            environment = {"LDAPTLS_CACERT": str(slapd.path / "ca.pem"), "PATH": "/usr/bin:/bin"}
            found = []
            for number in range(-WARM_UP, logins):
                took, head = wire.ask("Content-Type: application/json\r\n", "POST", "/login", log_in)
                assert head.split()[1] == "200", head
                begun = time.perf_counter_ns()
                subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
                if number >= 0:
                    found.append((took / 1e6, (time.perf_counter_ns() - begun) / 1e6))
    gate_ms, other_ms = (statistics.median(column) for column in zip(*found))
    return gate_ms, other_ms, gate_ms / other_ms


if __name__ == "__main__":
    own, other, ratio = measure(*map(int, sys.argv[1:2]))
    print(f"a log-in at the gate   {own:8.2f} ms")
    print(f"ldapwhoami             {other:8.2f} ms")
    print(f"ratio                  {ratio:8.2f}")
