"""Python 3 and httplib2 against `genesys`: exactly the calls of the program in the vendor's document.

The whole Set-Cookie value goes back as Cookie, header names are looked up in lower case, every body is parsed as
JSON before the status is looked at, and httplib2 keeps its HTTP cache.
"""

import base64
import json
import tempfile

import httplib2

from gate import TIMEOUT_SECS, Checks, Demo, same

CONTACT_CENTER_USERS = [
    {
        "userName": "bobp@redwings.com",
        "firstName": "Bob",
        "lastName": "Probert",
        "password": "a password of Bob's",
        "phoneNumber": "5019",
        "role": "ROLE_AGENT",
    }
]

X_CSRF_HEADER = "x-csrf-header"
X_CSRF_TOKEN = "x-csrf-token"

check = Checks()
api = Demo().api("contact-centre")


class Script:
    """The document's program: its state, its headers, its calls."""

    def __init__(self, user, password):
        self.user, self.password = user, password
        self.jsessionid = None
        self.csrf_header_name = None
        self.csrf_token_value = None
        self.cache = tempfile.TemporaryDirectory()
        self.http = httplib2.Http(self.cache.name, timeout=TIMEOUT_SECS)

    def create_request_headers(self):
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": "Basic " + credentials}
        if self.jsessionid:
            headers["Cookie"] = self.jsessionid
        if self.csrf_header_name and self.csrf_token_value:
            headers[self.csrf_header_name] = self.csrf_token_value
        return headers

    def post(self, uri, content):
        body = json.dumps(content, sort_keys=True, indent=4)
        headers, content = self.http.request(uri, "POST", body=body, headers=self.create_request_headers())
        return headers, json.loads(content)

    def get(self, uri):
        headers, content = self.http.request(uri, "GET", headers=self.create_request_headers())
        if headers["set-cookie"]:
            self.jsessionid = headers["set-cookie"]
        response = json.loads(content)
        if X_CSRF_HEADER in headers:
            self.csrf_header_name = headers[X_CSRF_HEADER]
        if X_CSRF_TOKEN in headers:
            self.csrf_token_value = headers[X_CSRF_TOKEN]
        return headers, response

    def get_token(self):
        headers, response = self.get(f"{api.base}/diagnostics/version")
        same(headers["status"], "200", response)
        return headers, response

    def create_user(self, info):
        user = {
            "userName": info["userName"],
            "password": info["password"],
            "firstName": info["firstName"],
            "lastName": info["lastName"],
            "roles": [info["role"]],
        }
        headers, response = self.post(f"{api.base}/users", user)
        same(headers["status"], "200", response)
        return response["id"]

    def assign_device_to_user(self, user_id, phone_number):
        device = {"phoneNumber": phone_number}
        headers, response = self.post(f"{api.base}/users/{user_id}/devices", device)
        same(headers["status"], "200", response)
        return response["id"]


agent, admin = api.login("users", 0), api.login("users", 1)
script = Script(*admin)
user_ids = []


@check("G37 GET diagnostics/version with Basic answers JSON, a cookie and the pair")
def version():
    headers, response = script.get_token()
    same(response["statusCode"], 0)
    assert script.jsessionid.startswith("JSESSIONID="), script.jsessionid
    assert "Path=/" in script.jsessionid, script.jsessionid
    same(script.csrf_header_name, "X-CSRF-TOKEN")
    same(len(script.csrf_token_value), 36, script.csrf_token_value)


@check("G45 the answer with the token is never taken from httplib2's cache")
def uncached():
    headers, _ = script.get_token()
    assert not headers.fromcache, "it came from the cache"
    assert "no-store" in headers["cache-control"], headers["cache-control"]


@check("G39 G40 G44 the whole Set-Cookie value, the token and Basic create a user: 200 and an id")
def users():
    for info in CONTACT_CENTER_USERS:
        user_ids.append(script.create_user(info))


@check("G41 the user gets a device: 200 and an id")
def devices():
    for user_id, info in zip(user_ids, CONTACT_CENTER_USERS, strict=True):
        assert script.assign_device_to_user(user_id, info["phoneNumber"])


@check("G43 the same user again: 403, and still JSON")
def duplicate():
    headers, response = script.post(f"{api.base}/users", {**CONTACT_CENTER_USERS[0], "roles": ["ROLE_AGENT"]})
    same((headers["status"], response["statusCode"]), ("403", 18), response)


@check("G3 G8 one pair serves any number of calls, also after more GETs")
def lasting():
    token, cookie = script.csrf_token_value, script.jsessionid.split(";")[0]
    script.get_token()
    same(script.csrf_token_value, token, "the token")
    same(script.jsessionid.split(";")[0], cookie, "the cookie")
    for name in ("one", "two"):
        info = {**CONTACT_CENTER_USERS[0], "userName": f"{name}@redwings.com"}
        assert script.create_user(info)


def refused(change):
    """A fresh script that is changed after its GET, and what its POST gets."""
    other = Script(*admin)
    other.get_token()
    change(other)
    headers, response = other.post(f"{api.base}/me", {"operationName": "Ready"})
    same(headers["status"], "403", response)
    same(response, {"statusCode": 3, "statusMessage": "Missing or invalid Csrf token"})


@check("G10 no token: 403 Missing or invalid Csrf token")
def without_token():
    refused(lambda other: setattr(other, "csrf_token_value", None))


@check("G11 a wrong token: the same 403")
def wrong_token():
    refused(lambda other: setattr(other, "csrf_token_value", "4a92be65-ec55-4aa2-b9df-9518fd870f2f"))


@check("G13 no cookie store: the same 403, although the token is right")
def without_cookie():
    refused(lambda other: setattr(other, "jsessionid", None))


@check("G14 another session's token: the same 403")
def foreign_token():
    foreign = Script(*agent)
    foreign.get_token()
    refused(lambda other: setattr(other, "csrf_token_value", foreign.csrf_token_value))


@check("G46 an agent may not create users")
def agents():
    other = Script(*agent)
    other.get_token()
    headers, response = other.post(f"{api.base}/users", {**CONTACT_CENTER_USERS[0], "roles": ["ROLE_AGENT"]})
    same((headers["status"], response["statusCode"]), ("403", 5), response)


@check("a wrong password on a GET: 403 Access denied, as JSON")
def wrong_password():
    other = Script(admin[0], "wrong")
    headers, content = other.http.request(f"{api.base}/me", "GET", headers=other.create_request_headers())
    same((headers["status"], json.loads(content)), ("403", {"statusCode": 20, "statusMessage": "Access denied"}))
    assert "www-authenticate" not in headers, headers


@check("G26 EndContactCenterSession ends the session: its cookie and token are refused")
def end():
    other = Script(*agent)
    other.get_token()
    headers, response = other.post(f"{api.base}/me", {"operationName": "EndContactCenterSession"})
    same((headers["status"], response), ("200", {"statusCode": 0}))
    headers, response = other.post(f"{api.base}/me", {"operationName": "Ready"})
    same((headers["status"], response["statusMessage"]), ("403", "Missing or invalid Csrf token"))


check.finish()
