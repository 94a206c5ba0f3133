"""Python requests against `countersign guard`: one command in front of somebody's own service, and no file."""

import http.server
import json
import os
import subprocess
import tempfile
import threading

import jwt
import requests

from gate import TIMEOUT_SECS, Checks, Echo, same, status

check = Checks()
service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=service.serve_forever, daemon=True).start()
folder = tempfile.TemporaryDirectory()

command = [os.environ["COUNTERSIGN"], "guard", f"http://127.0.0.1:{service.server_port}", "--dialect", "genesys"]
options = ["--listen", "127.0.0.1:0", "--data", folder.name, "--output", "json"]
guard = subprocess.Popen(command + options, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
shown = json.loads(guard.stdout.readline())
account = (shown["accounts"][0]["user"], shown["accounts"][0]["password"])


def get(**options):
    return requests.get(f"{shown['base_url']}/anything", timeout=TIMEOUT_SECS, **options)


@check("whoever proves who he is reaches the service, which gets an assertion and no password")
def admitted():
    told = status(get(auth=account), 200).json()
    assert "authorization" not in told, told
    assertion = told["countersign-assertion"]
    key = jwt.PyJWKClient(f"{shown['administration']}/jwks/assertion").get_signing_key_from_jwt(assertion)
    claims = jwt.decode(assertion, key, algorithms=["EdDSA"], audience=shown["name"])
    same(claims["sub"], account[0])


@check("nobody else does, and nobody can bring an assertion of his own")
def refused():
    status(get(), 403)
    status(get(auth=(account[0], "wrong")), 403)
    status(get(headers={"Countersign-Assertion": "abc"}), 403)
    told = status(get(auth=account, headers={"Countersign-Assertion": "abc", "countersign_assertion": "abc"}), 200).json()
    assert told["countersign-assertion"].count(".") == 2 and "countersign_assertion" not in told, told


@check("it says that it is ready, and stops cleanly on SIGTERM")
def stops():
    status(requests.get(f"{shown['administration']}/ready", timeout=TIMEOUT_SECS), 200)
    guard.terminate()
    same(guard.wait(TIMEOUT_SECS), 0)


guard.kill()
service.shutdown()
folder.cleanup()
check.finish()
