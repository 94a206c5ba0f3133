"""Python requests against `egain`: logins in JSON and XML, header sessions, logout, hello, refusals byte for byte."""

import contextlib

import requests

from gate import TIMEOUT_SECS, Checks, Demo, same, status

AUTHORING_XML = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?> '
    '<Error xmlns="http://bindings.egain.com/ws/model/v12/gen/platform"> '
    "<message>User could not be authenticated. Invalid session ID.</message> </Error>"
)
INTERACTION_XML = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes" ?> '
    '<error xmlns="http://bindings.egain.com/ws/model/v12/gen/common"> <code>401-101</code> '
    "<developerMessage>Invalid or expired 'X-egain-session' header provided. New login is required."
    "</developerMessage> </error>"
)
INTERACTION_JSON = (
    '{"code":"401-101","developerMessage":"Invalid or expired \'X-egain-session\' header provided. '
    'New login is required."}'
)

check = Checks()
api = Demo().api("activities")
user, password = api.login("users")


def call(method, path, **options):
    return requests.request(method, api.base + path, timeout=TIMEOUT_SECS, allow_redirects=False, **options)


def login(query="?forceLogin=yes", **options):
    body = options or {"json": {"userName": user, "password": password}}
    return call("POST", f"/ws/v12/authentication/user/login{query}", **body)


def logout(session):
    return call("DELETE", "/ws/v12/authentication/user/logout", headers={"X-egain-session": session})


@contextlib.contextmanager
def session(**options):
    """A session that is logged out at the end, so that the limit of five stays out of the way."""
    value = status(login(**options), 204).headers["X-egain-session"]
    yield value
    logout(value)


def activities(**headers):
    return call("GET", f"/ws/v12/interaction/activity?assignedTo={user}", headers=headers)


@check("E3 E4 login with JSON: 204, no body, a session id of 36 characters in the header")
def login_json():
    answer = status(login(), 204)
    same((answer.content, len(answer.headers["x-EGAIN-session"])), (b"", 36))
    assert "set-cookie" not in answer.headers, answer.headers
    logout(answer.headers["X-egain-session"])


@check("login with XML, with and without a declaration")
def login_xml():
    xml = (
        '<login xmlns="http://bindings.egain.com/ws/model/v12/gen/platform">'
        f"<userName>{user}</userName><password>{password}</password></login>"
    )
    for declaration in ("", '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'):
        headers = {"Content-Type": "application/xml", "Accept": "application/xml"}
        with session(data=declaration + xml, headers=headers) as value:
            same(len(value), 36)


@check("login with `username`, as one vendor's SDK writes it; with both spellings: 400")
def login_spellings():
    with session(json={"username": user, "password": password}):
        pass
    status(login(json={"userName": user, "username": user, "password": password}), 400)


@check("E1 E5 E7 E24 E25 the header session lists activities, in any case, and is repeated in the answer")
def header_session():
    with session() as value:
        for name in ("X-egain-session", "x-egain-session", "X-EGAIN-SESSION"):
            headers = {name: value, "Accept": "application/json", "Accept-Language": "en-US"}
            answer = status(activities(**headers), 200)
            same(answer.headers["X-egain-session"], value)
            same([activity["id"] for activity in answer.json()["activity"]], [1000, 1011, 1015])


@check("XML is what a client gets that does not say")
def default_xml():
    with session() as value:
        answer = status(activities(**{"X-egain-session": value, "Accept": None}), 200)
        assert answer.text.startswith("<activities "), answer.text


@check("Bearer with the session id works as well")
def bearer():
    with session() as value:
        status(activities(Authorization=f"Bearer {value}", Accept="application/json"), 200)


@check("E8 E10 no session: 401 with the Interaction APIs' XML, byte for byte")
def interaction_xml():
    answer = status(activities(Accept=None), 401)
    same(answer.text, INTERACTION_XML)
    assert answer.headers["content-type"].startswith("application/xml"), answer.headers
    assert "www-authenticate" not in answer.headers, answer.headers


@check("E10 the JSON twin, byte for byte")
def interaction_json():
    same(status(activities(Accept="application/json"), 401).text, INTERACTION_JSON)


@check("E9 no session: 401 with the authoring APIs' XML, byte for byte, and its JSON twin")
def authoring():
    same(status(call("GET", "/ws/v12/kb/article", headers={"Accept": None}), 401).text, AUTHORING_XML)
    answer = status(call("GET", "/ws/v12/kb/article", headers={"Accept": "application/json"}), 401)
    same(answer.text, '{"message":"User could not be authenticated. Invalid session ID."}')


@check("an unknown session id: the same 401")
def unknown():
    headers = {"X-egain-session": "c0ffee00-1111-2222-3333-444455556666", "Accept": None}
    same(status(activities(**headers), 401).text, INTERACTION_XML)


@check("E6 hello needs no session, and only hello")
def hello():
    status(call("GET", "/ws/v12/interaction/hello"), 200)
    status(call("GET", "/ws/v12/interaction/hello/more"), 401)
    status(call("GET", "/ws/v12/interaction/nothello"), 401)


@check("user logout: 204, the id repeated; the session is dead at once")
def logged_out():
    value = login().headers["X-egain-session"]
    answer = status(logout(value), 204)
    same(answer.headers["X-egain-session"], value)
    same(status(activities(**{"X-egain-session": value, "Accept": None}), 401).text, INTERACTION_XML)
    same(status(logout(value), 401).text, AUTHORING_XML)


@check("E11 after a 401 a login gives a working session, a stale header or cookie notwithstanding")
def again():
    body = {"userName": user, "password": password}
    stale = "c0ffee00-1111-2222-3333-444455556666"
    headers = {"X-egain-session": stale, "Cookie": f"X-egain-session={stale}"}
    with session(json=body, headers=headers) as value:
        status(activities(**{"X-egain-session": value}), 200)


@check("a wrong password: 401 in the family's shape; nothing tells an unknown user from a wrong password")
def wrong():
    answers = [login(json={"userName": name, "password": "wrong"}, headers={"Accept": "application/json"}) for name in (user, "nobody")]
    for answer in answers:
        status(answer, 401)
    same(answers[0].text, answers[1].text)


@check("the sixth session is refused, unless it is forced; then the earliest ends")
def limit():
    other, secret = api.login("users", 1)
    body = {"json": {"userName": other, "password": secret}}
    sessions = [status(login("", **body), 204).headers["X-egain-session"] for _ in range(5)]
    status(login("", **body), 403)
    sessions.append(status(login("?forceLogin=Yes", **body), 204).headers["X-egain-session"])
    statuses = [activities(**{"X-egain-session": value}).status_code for value in sessions]
    same(statuses, [401, 200, 200, 200, 200, 200])


@check("E16 E17 the console's cookie needs the token in the header, GET included; a cookie is not it")
def console():
    browser = requests.Session()
    form = {"userName": user, "password": password, "forceLogin": "yes"}
    url = f"{api.base}/web/login"
    answer = browser.post(url, data=form, timeout=TIMEOUT_SECS, allow_redirects=False)
    status(answer, 303)
    token = browser.cookies["X-egain-csrf"]
    url = f"{api.base}/ws/v12/interaction/activity?assignedTo={user}"
    status(browser.get(url, timeout=TIMEOUT_SECS), 403)
    status(browser.get(url, timeout=TIMEOUT_SECS, headers={"X-egain-csrf": token[:-1] + "!"}), 403)
    answer = status(browser.get(url, timeout=TIMEOUT_SECS, headers={"X-egain-csrf": token}), 200)
    assert "x-egain-session" not in answer.headers, "script could read the id of an HttpOnly cookie"
    status(browser.post(f"{api.base}/web/logout", timeout=TIMEOUT_SECS, headers={"X-egain-csrf": token}), 204)
    # The client forgot the cookie as it was told; send it all the same.
    status(activities(**{"X-egain-session": "none", "X-egain-csrf": token}), 401)


@check("a client application gets a token with its key and secret, uses it and revokes it")
def client_application():
    credentials = api.login("clients")
    path = "/ws/v19/clientapplications/authentication/oauth2"
    answer = status(call("POST", f"{path}/token", auth=credentials, data={"grant_type": "client_credentials"}), 200).json()
    same(answer["token_type"], "Bearer")
    headers = {"Authorization": f"Bearer {answer['access_token']}", "Accept": "application/json"}
    status(activities(**headers), 200)
    status(call("POST", f"{path}/revoke", headers=headers), 204)
    status(activities(**headers), 401)
    status(call("POST", f"{path}/token", auth=(credentials[0], "wrong"), data={"grant_type": "client_credentials"}), 401)


@check("a customer's session: login 204, logout 200")
def customer():
    name, secret = api.login("customers")
    path = "/ws/v15/context/authentication/user"
    answer = status(call("POST", f"{path}/login", json={"userName": name, "password": secret}), 204)
    headers = {"X-egain-session": answer.headers["X-egain-session"]}
    status(activities(**headers), 401)
    status(call("POST", f"{path}/logout", headers=headers), 200)
    status(call("POST", f"{path}/logout", headers=headers), 401)


@check("composite calls, whose nested requests would pass by every rule, are refused")
def composite():
    with session() as value:
        status(call("POST", "/ws/v12/composite", headers={"X-egain-session": value}, json={}), 403)


check.finish()
