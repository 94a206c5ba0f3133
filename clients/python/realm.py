"""A throwaway realm of Kerberos: MIT's KDC in a temporary folder, the users alice and mallory, and HTTP/localhost.

Needs Debian's krb5-kdc, krb5-admin-server and krb5-user.
"""

import os
import pathlib
import socket
import subprocess
import tempfile
import time

from gate import TIMEOUT_SECS, free_port

REALM = "EXAMPLE.TEST"


class Realm:
    """Runs it as a context manager; `environment` is what its users' programs need."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        port = free_port()
        at = pathlib.Path(self.folder.name)
        (at / "krb5.conf").write_text(
            f"[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\ndns_lookup_realm = false\nrdns = false\n"
            f"dns_canonicalize_hostname = false\nudp_preference_limit = 1\n[realms]\n{REALM} = {{\n"
            f" kdc = 127.0.0.1:{port}\n}}\n[domain_realm]\nlocalhost = {REALM}\n"
        )
        (at / "kdc.conf").write_text(
            f"[kdcdefaults]\nkdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}\n[realms]\n{REALM} = {{\n"
            f" database_name = {at}/principal\n key_stash_file = {at}/stash\n"
            " supported_enctypes = aes256-cts-hmac-sha1-96:normal\n}\n"
        )
        self.keytab = at / "http.keytab"
        self.environment = os.environ | {
            "PATH": os.environ["PATH"] + ":/usr/sbin",
            "KRB5_CONFIG": str(at / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(at / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{at}/cache",
            "KRB5RCACHENAME": f"file2:{at}/replays",
        }
        self.run("kdb5_util", "create", "-s", "-r", REALM, "-P", "masterpw")
        for query in (
            "addprinc -pw alicepw alice",
            "addprinc -pw mallorypw mallory",
            "addprinc -randkey HTTP/localhost",
            f"ktadd -k {self.keytab} HTTP/localhost",
        ):
            self.run("kadmin.local", "-q", query)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.kdc = subprocess.Popen(["krb5kdc", "-n"], env=self.environment, **quiet)
        until = time.monotonic() + TIMEOUT_SECS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return self
            except OSError:
                if time.monotonic() > until:
                    raise

    def run(self, *command, said=""):
        subprocess.run(command, input=said, text=True, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def log_in(self, user, password):
        """Lets a user log in at his desk."""
        self.run("kinit", user, said=password + "\n")

    def __exit__(self, *_):
        self.kdc.kill()
        self.kdc.wait()
        self.folder.cleanup()
