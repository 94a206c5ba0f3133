"""Python requests against `superoffice`: every way in, onsite and online, and what each deployment refuses."""

import re

import requests

from gate import TIMEOUT_SECS, Checks, Demo, same, status

check = Checks()
demo = Demo()
onsite, online = demo.api("crm"), demo.api("crm-online")
user, password = onsite.login("users")
app_token = online.secrets["app_token"]

REFUSED = {
    "Error": True,
    "ErrorType": "SoAuthenticationException",
    "ErrorMessage": "Authentication failed",
    "ErrorSource": "SuperOffice.Services.Implementation",
}


def call(api, method, path, **options):
    headers = {"Accept": "application/json", **options.pop("headers", {})}
    url = api.base + path
    return requests.request(method, url, timeout=TIMEOUT_SECS, allow_redirects=False, headers=headers, **options)


def contact(api, **headers):
    return call(api, "GET", "/api/v1/Contact/2", headers=headers)


def sign_in(api):
    """A browser's session: its cookies, and the value of the hidden field."""
    browser = requests.Session()
    form = {"userName": user, "password": password}
    answer = browser.post(f"{api.base}/login", data=form, timeout=TIMEOUT_SECS, allow_redirects=False)
    status(answer, 303)
    page = status(browser.get(f"{api.base}/login/home", timeout=TIMEOUT_SECS), 200).text
    return browser, re.search(r'id="XSRF_TOKEN" name="XSRF_TOKEN" value="([^"]+)"', page)[1]


def ticket():
    answer = call(onsite, "POST", "/api/v1/Agents/User/CreateTicket", json={"userName": user, "password": password})
    return status(answer, 200).json()


def online_ticket():
    browser, token = sign_in(online)
    url = f"{online.base}/api/v1/User/currentTicket"
    return status(browser.get(url, headers={"X-XSRF-TOKEN": token}, timeout=TIMEOUT_SECS), 200).json()


@check("S3 S11 Basic onsite")
def basic():
    answer = call(onsite, "GET", "/api/v1/Contact/2", auth=(user, password))
    same(status(answer, 200).json()["ContactId"], 2)


@check("S10 S12 Basic online: 401, although the password is right")
def basic_online():
    status(call(online, "GET", "/api/v1/Contact/2", auth=(user, password)), 401)


@check("S4 S13 S17 SOTicket onsite, the scheme word in any case; the value is a ticket's")
def tickets():
    value = ticket()
    assert re.fullmatch(r"7T:[A-Za-z0-9+/]+=*", value), value
    for word in ("SOTicket", "SoTicket", "SOTICKET"):
        status(contact(onsite, Authorization=f"{word} {value}"), 200)


@check("S19 a ticket that was base64-encoded once more: 401")
def encoded_twice():
    import base64

    value = base64.b64encode(ticket().encode()).decode()
    same(status(contact(onsite, Authorization=f"SOTicket {value}"), 401).json(), REFUSED)


@check("S15 S16 online the ticket needs the application's token: missing and wrong are refused")
def application():
    value = online_ticket()
    authorization = {"Authorization": f"SOTicket {value}"}
    status(contact(online, **authorization, **{"SO-AppToken": app_token}), 200)
    status(contact(online, **authorization), 401)
    status(contact(online, **authorization, **{"SO-AppToken": app_token[:-1] + "0"}), 401)


@check("S5 S7 Bearer online; the same token onsite: 401")
def bearer():
    headers = {"Authorization": f"SOTicket {online_ticket()}", "SO-AppToken": app_token}
    value = status(call(online, "POST", "/api/v1/Agents/User/GetAccessToken", headers=headers), 200).json()
    assert value.startswith("8A:Cust26759."), value
    status(contact(online, Authorization=f"Bearer {value}"), 200)
    status(contact(onsite, Authorization=f"Bearer {value}"), 401)


@check("S2 nothing presented: 401 with the error object, and Basic as challenge onsite only")
def nothing():
    answer = status(contact(onsite), 401)
    same(answer.json(), REFUSED)
    assert answer.headers["www-authenticate"].startswith("Basic realm="), answer.headers
    same(status(contact(online), 401).json(), REFUSED)


@check("S20-S24 session and X-XSRF-TOKEN: field and cookie hold the same value, and it is needed on GET too")
def session():
    for api in (onsite, online):
        browser, token = sign_in(api)
        same(browser.cookies["XSRF-TOKEN"], token)
        url = f"{api.base}/api/v1/Contact/2"
        same(status(browser.get(url, headers={"X-XSRF-TOKEN": token}, timeout=TIMEOUT_SECS), 200).json()["ContactId"], 2)
        for headers in ({}, {"X-XSRF-TOKEN": token[:-1] + "!"}):
            answer = status(browser.get(url, headers=headers, timeout=TIMEOUT_SECS), 401)
            assert "www-authenticate" not in answer.headers, "a browser would show a dialog"


@check("S30 after sign-out session and token are dead")
def sign_out():
    browser, token = sign_in(onsite)
    cookies = browser.cookies.get_dict()
    form = {"XSRF_TOKEN": token}
    answer = browser.post(f"{onsite.base}/login/out", data=form, timeout=TIMEOUT_SECS, allow_redirects=False)
    status(answer, 303)
    answer = call(onsite, "GET", "/api/v1/Contact/2", cookies=cookies, headers={"X-XSRF-TOKEN": token})
    status(answer, 401)


@check("a wrong Authorization is refused even beside a good session")
def program_decides():
    browser, token = sign_in(onsite)
    headers = {"X-XSRF-TOKEN": token, "Authorization": "SOTicket 7T:abc123=="}
    status(browser.get(f"{onsite.base}/api/v1/Contact/2", headers=headers, timeout=TIMEOUT_SECS), 401)


@check("S1 agents are protected alike; contact/2 is Contact/2")
def agents():
    path = "/api/v1/Agents/Contact/GetContactEntity?contactEntityId=2"
    same(status(call(onsite, "POST", path, auth=(user, password)), 200).json()["ContactId"], 2)
    status(call(onsite, "POST", path), 401)
    status(call(onsite, "GET", "/api/v1/contact/2", auth=(user, password)), 200)
    status(call(onsite, "GET", "/api/v1/contact/2"), 401)


@check("currentPrincipal tells who is asking")
def principal():
    found = status(call(onsite, "GET", "/api/v1/User/currentPrincipal", auth=(user, password)), 200).json()
    same((found["UserName"], found["AssociateId"], found["ContactId"]), (user, 5, 2))


@check("a new password ends the other tickets and sessions; the old one is refused")
def password_change():
    name, old = onsite.login("users", 1)
    login = {"userName": name, "password": old}
    path = "/api/v1/Agents/User/CreateTicket"
    values = [status(call(onsite, "POST", path, json=login), 200).json() for _ in range(2)]
    headers, others = ({"Authorization": f"SOTicket {value}"} for value in values)
    path = "/api/v1/Agents/User/ChangeOwnPassword"
    change = {"oldPassword": "wrong", "newPassword": "correct horse battery"}
    same(status(call(onsite, "POST", path, headers=headers, json=change), 200).json(), False)
    change = {"oldPassword": old, "newPassword": "correct horse battery"}
    same(status(call(onsite, "POST", path, headers=headers, json=change), 200).json(), True)
    status(contact(onsite, **headers), 200)
    status(contact(onsite, **others), 401)
    status(call(onsite, "GET", "/api/v1/Contact/2", auth=(name, old)), 401)
    status(call(onsite, "GET", "/api/v1/Contact/2", auth=(name, "correct horse battery")), 200)


@check("the service's own 404 passes unchanged")
def not_found():
    answer = status(call(onsite, "GET", "/api/v1/Contact/99999", auth=(user, password)), 404)
    same(answer.json()["ErrorType"], "SoNotFoundException")


check.finish()
