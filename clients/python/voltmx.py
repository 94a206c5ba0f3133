"""Python requests against `voltmx`: claims and refresh tokens, the OAuth pair, app API keys, the device token."""

import json
import time

import requests

from gate import TIMEOUT_SECS, Checks, Demo, same, status

# As the vendor's document writes it: the parameter twice.
JSON = "application/json;charset=UTF-8;charset=UTF-8"

check = Checks()
api = Demo().api("engagement")
user, password = api.login("users")


def call(method, path, **options):
    return requests.request(method, api.base + path, timeout=TIMEOUT_SECS, allow_redirects=False, **options)


def login(path="/authService/accounts/login", **fields):
    body = json.dumps({"userid": user, "password": password, **fields})
    return call("POST", path, data=body, headers={"Content-Type": JSON})


def applications(**headers):
    return call("GET", "/api/v1/applications", headers={"Content-Type": JSON, **headers})


def claims():
    return {"X-VoltMX-Authorization": status(login(), 200).json()["claims_token"]["value"]}


@check("V6 V7 V16-V19 login: profile, refresh token, claims token with an expiry in milliseconds")
def logged_in():
    answer = status(login(), 200).json()
    same(sorted(answer), ["claims_token", "profile", "refresh_token"])
    same(sorted(answer["profile"]), ["email", "firstname", "lastname", "userid"])
    same(answer["profile"]["userid"], user)
    left = answer["claims_token"]["exp"] / 1000 - time.time()
    assert 3500 < left <= 3600, f"{left} s left"


@check("V10 V25 login with a form, on premises and at /login")
def forms():
    for path in ("/authService/accounts/login", "/login"):
        answer = call("POST", path, data={"userid": user, "password": password})
        assert status(answer, 200).json()["claims_token"]["value"]


@check("V20 V21 the claims token admits")
def claims_token():
    same(status(applications(**claims()), 200).json()["requestedBy"], user)


@check("V1-V5 Basic admits; a wrong password gets 401 and the challenge")
def basic():
    status(call("GET", "/api/v1/applications", auth=(user, password)), 200)
    answer = status(call("GET", "/api/v1/applications", auth=(user, "open sesame")), 401)
    same(answer.text, "Unauthorized request")
    assert answer.headers["www-authenticate"].startswith("Basic realm="), answer.headers


@check("V11 V15 wrong password, missing password, a provider nobody configured")
def bad_logins():
    for fields, code in (({"password": "wrong"}, -4), ({"password": None}, -4), ({"provider": "AD"}, -7)):
        answer = status(login(**fields), 401).json()
        same((answer["errcode"], answer["httpStatusCode"]), (code, 401), fields)


def refresh(token):
    return call("POST", "/claims", headers={"Authorization": token})


@check("V22 the refresh token, without a scheme word, gives new tokens; it rotates")
def refreshed():
    token = status(login(), 200).json()["refresh_token"]
    for _ in range(3):
        answer = status(refresh(token), 200).json()
        assert answer["refresh_token"] != token, "it did not rotate"
        token = answer["refresh_token"]
        status(applications(**{"X-VoltMX-Authorization": answer["claims_token"]["value"]}), 200)


@check("two refreshes at once, as phones do them, get the same successor")
def refreshed_twice():
    token = status(login(), 200).json()["refresh_token"]
    one, two = (status(refresh(token), 200).json()["refresh_token"] for _ in range(2))
    same(one, two)


@check("an unknown refresh token, one with a scheme word, a claims token in its place: 401")
def not_refreshed():
    answer = status(login(), 200).json()
    for token in ("x" * 64, f"Bearer {answer['refresh_token']}", answer["claims_token"]["value"]):
        status(refresh(token), 401)


@check("logout with the claims token, without a scheme word: 200, empty; it is refused from then on")
def logout():
    token = claims()["X-VoltMX-Authorization"]
    same(status(call("POST", "/logout", headers={"Authorization": token}), 200).content, b"")
    status(applications(**{"X-VoltMX-Authorization": token}), 401)


@check("no credential, an unknown claims token: 401 Unauthorized request")
def unknown():
    for headers in ({}, {"X-VoltMX-Authorization": "x" * 64}):
        same(status(applications(**headers), 401).text, "Unauthorized request")


def pair():
    credentials = api.login("oauth-clients")
    headers = {"Content-Type": "application/json;charset=UTF-8;charset=UTF8"}
    return status(call("GET", "/api/v1/oauth/accesstoken", auth=credentials, headers=headers), 200).json()


@check("V27-V31 the OAuth pair: exactly two members; both as headers admit")
def oauth():
    found = pair()
    same(sorted(found), ["AccessSecret", "AccessToken"])
    status(applications(**found), 200)
    status(call("POST", "/vpns/api/v1/messages/push", headers=found, json={}), 200)


@check("V30 one half, a wrong half, halves of two pairs: 401")
def halves():
    one, two = pair(), pair()
    for headers in (
        {"AccessToken": one["AccessToken"]},
        {"AccessSecret": one["AccessSecret"]},
        {**one, "AccessSecret": two["AccessSecret"]},
        {**one, "AccessToken": "x" * 43},
    ):
        status(applications(**headers), 401)


@check("V27 users and OAuth clients are two stores: neither password works in the other's place")
def stores():
    status(call("GET", "/api/v1/oauth/accesstoken", auth=(user, password)), 401)
    status(call("GET", "/api/v1/applications", auth=api.login("oauth-clients")), 401)


SUBSCRIPTION = {"subscriptionService": {"subscribe": {"sid": "1", "appId": "demo-app", "deviceId": "7"}}}


@check("V32 V33 the device token opens device-side APIs and nothing else")
def device():
    headers = {"X-Device-AuthToken": api.secrets["device_token"]}
    status(call("POST", "/api/v1/subscribers", headers=headers, json=SUBSCRIPTION), 200)
    status(call("POST", "/api/v1/subscribers", json=SUBSCRIPTION), 401)
    status(call("POST", "/api/v1/subscribers", headers={"X-Device-AuthToken": "1234abc"}, json=SUBSCRIPTION), 401)
    status(applications(**headers), 401)


@check("V34 the demo's app API key admits")
def key():
    status(applications(**{"X-VoltMX-App-API-Key": api.secrets["api_key"]}), 200)


@check("V35-V37 an app API key's life: add, show, modify, refresh, delete")
def key_life():
    admin = claims()

    def keys(method, path="", headers=admin, **options):
        return call(method, f"/api/v1/applications/key{path}", headers=headers, **options)

    form = {"appId": "demo-app", "neverExpires": "true", "description": "first"}
    answer = status(keys("POST", data=form), 200).json()
    same(answer["message"], "App API key Added successfully")
    value = answer["id"]
    own = {"X-VoltMX-App-API-Key": value}
    status(applications(**own), 200)

    shown = status(keys("GET", f"/{value}"), 200).json()["result"]
    same((shown["appAPIKey"], shown["description"], shown["neverExpires"]), (value, "first", True))
    change = {"description": "second", "expiresOn": "12/31/2099 23:59:59"}
    same(status(keys("POST", f"/{value}", data=change), 200).json()["message"], "App API key updated successfully")
    shown = status(keys("GET", f"/{value}", headers=own), 200).json()["result"]
    same((shown["description"], shown["neverExpires"]), ("second", False))
    assert shown["expiresOn"].startswith("12/31/2099 23:59:59"), shown

    fresh = status(keys("POST", f"/{value}/refresh"), 200).json()["id"]
    assert fresh != value, "the value did not change"
    status(applications(**own), 401)
    own = {"X-VoltMX-App-API-Key": fresh}
    status(applications(**own), 200)

    second = status(keys("POST", data=form), 200).json()["id"]
    same(status(keys("DELETE", f"/{fresh}"), 200).json()["message"], "App API key deleted successfully")
    status(applications(**own), 401)
    status(applications(**{"X-VoltMX-App-API-Key": second}), 200)
    status(keys("GET", f"/{fresh}"), 400)
    status(keys("POST", data={"appId": "nobody's"}), 400)


@check("two programs' credentials in one request: 400")
def two():
    status(call("GET", "/api/v1/applications", auth=(user, password), headers=claims()), 400)


@check("X-HTTP-Method-Override changes nothing that the rules see")
def override():
    headers = {**claims(), "X-HTTP-Method-Override": "DELETE"}
    answer = status(call("GET", f"/api/v1/applications/key/{api.secrets['api_key']}", headers=headers), 200)
    same(answer.json()["result"]["appAPIKey"], api.secrets["api_key"])
    status(applications(**{"X-VoltMX-App-API-Key": api.secrets["api_key"]}), 200)


check.finish()
