"""Chromium proves by Kerberos who its user is, without asking him: MIT's KDC, and the ticket of a log-in to the desktop.

Chromium loads GSSAPI only where its network service is not in a sandbox, and leaves that at the first start after a site
asked for Negotiate: a browser is started twice with one profile, as a user's is sooner or later.
"""

import html
import json
import os
import pathlib
import re
import subprocess
import tempfile

import jwt

from gate import TIMEOUT_SECS, Checks, Served, same
from realm import REALM, Realm

check = Checks()
API = f"""
dialect = "superoffice"
at = ["/"]
enable = ["negotiate"]
[api.kerberos]
keytab = "http.keytab"
realms = ["{REALM}"]
[[api.route]]
at = "/**"
allow = "authenticated"
"""
# As the policy AuthServerAllowlist says it for a company's desktops.
ALLOWED = "--auth-server-allowlist=localhost"


def page(realm, url, *flags):
    """What the browser shows of the second start: the text of the page; empty for a refusal."""
    with tempfile.TemporaryDirectory() as profile:
        command = [os.environ.get("CHROMIUM", "/usr/bin/chromium"), "--headless=new", "--no-sandbox", "--disable-gpu"]
        command += ["--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}", *flags]
        for _ in range(2):
            shown = subprocess.run(
                [*command, "--dump-dom", url], env=realm.environment, capture_output=True, text=True, timeout=4 * TIMEOUT_SECS
            )
        assert "received_http_auth_negotiate_headers" in pathlib.Path(profile, "Local State").read_text(encoding="utf-8")
    found = re.search(r"<pre>(.*)</pre>", shown.stdout, re.S)
    return html.unescape(found.group(1)) if found else ""


with Realm() as realm, Served(API, {"http.keytab": realm.keytab.read_bytes()}) as gate:
    gate.add_user("alice", "no password that she types")
    url = gate.addresses["main"].replace("127.0.0.1", "localhost") + "/api/v1/Contact/2"

    @check("S6 Chromium gets in with the ticket of its user's log-in; nobody is asked, and no proof reaches the service")
    def right():
        realm.log_in("alice", "alicepw")
        told = json.loads(page(realm, url, ALLOWED))
        claims = jwt.decode(told["countersign-assertion"], options={"verify_signature": False})
        same((claims["sub"], claims["scheme"]), ("alice", "negotiate"))
        assert "authorization" not in told, told

    @check("S6 a site that the policy does not name gets no proof: refused")
    def not_allowed():
        same(page(realm, url), "")

    @check("S6 somebody of the realm who has no account here: refused")
    def stranger():
        realm.log_in("mallory", "mallorypw")
        same(page(realm, url, ALLOWED), "")

    @check("S6 nobody logged in to the desktop: refused")
    def nobody():
        realm.run("kdestroy")
        same(page(realm, url, ALLOWED), "")


check.finish()
