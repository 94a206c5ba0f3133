"""The gate and its peers, each on one core with one worker, each with its access log as it comes."""

import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import seed
from measure import LOAD_CORE, PROXY_CORE, on

START_SECS = 120
BODY_BYTES = 1024
PORTS = {
    "origin": 18081, "nginx": 18080, "nginx_tls": 18443, "gate": 18082, "gate_tls": 18444,
    "administration": 18083, "haproxy": 18084, "haproxy_jwt": 18085, "envoy_jwt": 18086,
}
ROUTES_FEW, ROUTES_MANY = 10, 10_000

ORIGIN = """
worker_processes 1; daemon off; pid {folder}/origin.pid; error_log {folder}/origin-error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/origin-body;
    server {{
        listen 127.0.0.1:{origin};
        location / {{ default_type text/plain; return 200 "{body}"; }}
    }}
}}
"""

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/nginx-access.log; keepalive_requests 1000000000;
    client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
    upstream service {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{nginx};
        listen 127.0.0.1:{nginx_tls} ssl http2;
        ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.key; ssl_protocols TLSv1.3;
        http2_max_requests 1000000000;
        location / {{ proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 2000
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 60s
    timeout server 60s
backend service
    http-reuse always
    server origin 127.0.0.1:{origin}
frontend plain
    bind 127.0.0.1:{haproxy}
    default_backend service
frontend jwt
    bind 127.0.0.1:{haproxy_jwt}
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.iss') -m str {issuer} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.aud') -m str {audience} }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{folder}/issuer.pem") 1 }}
    default_backend service
"""

GATE = """
[administration]
listen = "127.0.0.1:{administration}"
[[listener]]
name = "main"
address = "127.0.0.1:{gate}"
[[listener]]
name = "tls"
address = "127.0.0.1:{gate_tls}"
tls = {{ certificate = "{folder}/tls.pem", key = "{folder}/tls.key" }}
[[api]]
name = "console"
dialect = "egain"
at = ["/system"]
upstream = "http://127.0.0.1:{origin}"
[[api.route]]
at = "GET /ws/{{ver}}/**/hello"
allow = "anonymous"
[[api.route]]
at = "/**"
allow = "authenticated"
[[api]]
name = "shop"
dialect = "enactor"
at = ["/shop"]
upstream = "http://127.0.0.1:{origin}"
issuers = {{ "{issuer}" = {{ pem_file = "{folder}/issuer.pem" }} }}
[[api.route]]
at = "/**"
allow = "authenticated"
[[api]]
name = "crm"
dialect = "superoffice"
at = ["/crm"]
upstream = "http://127.0.0.1:{origin}"
[[api.route]]
at = "/**"
allow = "authenticated"
[[api]]
name = "apps"
dialect = "voltmx"
at = ["/apps"]
upstream = "http://127.0.0.1:{origin}"
[[api.route]]
at = "/**"
allow = "authenticated"
"""

API = """
[[api]]
name = "{name}"
dialect = "egain"
at = ["/{name}"]
upstream = "http://127.0.0.1:{origin}"
"""

ROUTE = """
[[api.route]]
at = "GET /ws/v12/part{number}/{{id}}/activity"
allow = "authenticated"
"""


def envoy(names):
    """Envoy's configuration: `jwt_authn` with its cache on."""
    jwt = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"issuer": {
            "issuer": seed.ISSUER, "audiences": [seed.AUDIENCE], "local_jwks": {"inline_string": names["jwks"]},
            "jwt_cache_config": {"jwt_cache_size": 100_000},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
    }
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    log = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": f"{names['folder']}/envoy-access.log",
    }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in", "access_log": [{"name": "log", "typed_config": log}],
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}],
        }]},
        "http_filters": [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": jwt},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": names[port]}}  # noqa: E731
    endpoint = {"endpoint": {"address": address("origin")}}
    return {"static_resources": {
        "listeners": [{
            "name": "jwt", "address": address("envoy_jwt"),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }],
        "clusters": [{
            "name": "service", "type": "STATIC",
            "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }],
    }}


class Keep(urllib.request.HTTPRedirectHandler):
    """Does not follow redirects."""

    def redirect_request(self, *_):
        return None


def ask(url, data=None, headers=()):
    """Status and headers of an answer."""
    try:
        request = urllib.request.Request(url, data=data, headers=dict(headers))
        with urllib.request.build_opener(Keep).open(request, timeout=START_SECS) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def wait_for(url, wanted=None):
    """Returns once something answers there, as wanted."""
    deadline = time.monotonic() + START_SECS
    while True:
        try:
            status, _ = ask(url)
            if wanted is None or status == wanted:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(url)
        time.sleep(0.02)


class Peers:
    """Processes that are stopped when the run ends, however it does."""

    def __init__(self, folder, gate):
        self.folder, self.gate, self.running = folder, gate, []
        self.key = seed.rsa_key()
        (folder / "issuer.pem").write_bytes(seed.public_pem(self.key))
        seed.certificate(folder)
        self.names = {
            **PORTS, "folder": folder, "body": "x" * BODY_BYTES, "issuer": seed.ISSUER, "audience": seed.AUDIENCE,
            "jwks": json.dumps(seed.jwks(self.key)),
        }

    def write(self, name, text):
        """Writes a file of configuration."""
        file = self.folder / name
        file.write_text(text.format(**self.names), encoding="utf-8")
        return file

    def start(self, name, command, core=PROXY_CORE, first=True):
        """Starts a process on one core; what it says goes to a file."""
        log = open(self.folder / f"{name}.log", "ab")
        process = subprocess.Popen([*on(core, first), *map(str, command)], stdout=log, stderr=log)
        self.running.append(process)
        return process

    def empty_logs(self):
        """Empties what all have logged: in a file that grows for ever, whoever says more pays for more memory that the
        machine has not used before."""
        for log in self.folder.glob("*.log"):
            os.truncate(log, 0)

    def start_origin(self):
        self.start("origin", ["nginx", "-c", self.write("origin.conf", ORIGIN)], LOAD_CORE)
        wait_for(f"http://127.0.0.1:{PORTS['origin']}/")

    def start_nginx(self, first=True):
        process = self.start("nginx", ["nginx", "-c", self.write("nginx.conf", NGINX)], first=first)
        wait_for(f"http://127.0.0.1:{PORTS['nginx']}/")
        return process

    def start_haproxy(self):
        process = self.start("haproxy", ["haproxy", "-db", "-f", self.write("haproxy.cfg", HAPROXY)])
        wait_for(f"http://127.0.0.1:{PORTS['haproxy']}/")
        return process

    def start_envoy(self, binary):
        file = self.folder / "envoy.json"
        file.write_text(json.dumps(envoy(self.names)))
        process = self.start("envoy", [binary, "--concurrency", "1", "--disable-hot-restart", "-l", "warn", "-c", file])
        wait_for(f"http://127.0.0.1:{PORTS['envoy_jwt']}/")
        return process

    def configure_gate(self):
        """Writes its files: three APIs to compare with others, and with two more that differ in the number of routes."""
        origin = PORTS["origin"]
        text = GATE.format(**self.names)
        (self.folder / "plain.toml").write_text(text, encoding="utf-8")
        for name, routes in (("few", ROUTES_FEW), ("many", ROUTES_MANY)):
            text += API.format(name=name, origin=origin)
            text += "".join(ROUTE.format(number=number) for number in range(routes))
        file = self.folder / "gate.toml"
        file.write_text(text, encoding="utf-8")
        return file

    def start_gate(self, file="gate.toml", first=True):
        """Starts it; the process, and how long it took until it listened and until it had loaded all sessions."""
        began = time.monotonic()
        process = self.start("gate", [self.gate, "serve", "--config", self.folder / file], first=first)
        wait_for(f"http://127.0.0.1:{PORTS['administration']}/live")
        listening = time.monotonic() - began
        wait_for(f"http://127.0.0.1:{PORTS['administration']}/ready", 200)
        return process, listening, time.monotonic() - began

    def add_user(self, name, password):
        """Adds an account through the running gate."""
        command = [self.gate, "user", "add", name, "--password-stdin", "--config", self.folder / "gate.toml"]
        subprocess.run(command, input=password + "\n", text=True, check=True, stdout=subprocess.DEVNULL)

    def stop(self, process):
        """Stops one."""
        process.terminate()
        process.wait()
        self.running.remove(process)

    def stop_all(self):
        """Stops all."""
        for process in reversed(list(self.running)):
            self.stop(process)


def gate_url(path, port="gate", scheme="http"):
    """An address of the gate."""
    return f"{scheme}://127.0.0.1:{PORTS[port]}{path}"
