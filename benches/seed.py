"""What the gate is filled with before it is measured: sessions and keys in its store, signed tokens, a certificate."""

import base64
import datetime
import hashlib
import hmac
import ipaddress
import json
import random
import sqlite3
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

SESSIONS_PER_ACCOUNT = 10
FIRST_ACCOUNT = 100_000
# Above all accounts with sessions.
FIRST_APPLICATION = 100_000_000
ISSUER, AUDIENCE = "http://www.enactor.co/", "client"
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SESSION = 0  # a token's kind
ACCOUNT = (
    "id kind name name_folded subject full_name first_name last_name email roles keys password_hash password_due disabled "
    "proofs_from created_at updated_at"
).split()
KEY = "id digest api word account label description created_at updated_at".split()
TOKEN = "digest api word kind account issued_at used_at idle_secs ends_at proven_at family spent".split()


def guid(api, number):
    """The value of a session, made from its number."""
    text = hashlib.sha256(f"{api} {number}".encode()).hexdigest()[:32]
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def csrf_token(key, api, value):
    """The token that belongs to a session: as `derive.rs` makes it, 43 letters."""
    parts = b"".join(len(part).to_bytes(4, "big") + part for part in (b"csrf", api.encode(), value.encode()))
    drawn = b"".join(hmac.digest(key, at.to_bytes(4, "big") + parts, "sha256") for at in (1, 2))
    return "".join(chr(LETTERS[byte % 64]) for byte in drawn[:43])


def derivation_key(store):
    """The key of the store that tokens are derived with."""
    with sqlite3.connect(store) as database:
        return database.execute("SELECT value FROM meta WHERE name = 'derivation key'").fetchone()[0]


def insert(table, columns):
    """The statement that adds a row."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def accounts(store, sessions):
    """Writes accounts for so many sessions, ten each; they have the password of the account that is there."""
    def rows():
        for number in range(-(-sessions // SESSIONS_PER_ACCOUNT)):
            yield account(FIRST_ACCOUNT + number, "users", f"user{number}", password)

    with sqlite3.connect(store) as database:
        password = database.execute("SELECT password_hash FROM accounts WHERE name = 'bench'").fetchone()[0]
        database.executemany(insert("accounts", ACCOUNT), rows())


def account(number, kind, name, password):
    """A row of an account."""
    return (number, kind, name, name, name, f"Name of {name}", "Name", name, f"{name}@example.com", '["agent"]', "{}",
            password, 0, 0, 0, 0, 0)


def keys(store, api, count):
    """Writes applications with an API key each."""
    now = int(time.time() * 1000)

    def made(number):
        digest = hashlib.sha256(f"{api}\0key\0{guid(api, number)}".encode()).digest()
        return (number.to_bytes(12, "big"), digest, api, "key", FIRST_APPLICATION + number, "", "", now, now)

    with sqlite3.connect(store) as database:
        applications = (account(FIRST_APPLICATION + at, "applications", f"application{at}", None) for at in range(count))
        database.executemany(insert("accounts", ACCOUNT), applications)
        database.executemany(insert("keys", KEY), map(made, range(count)))


def sessions(store, counts, idle_secs=1800):
    """Writes sessions, so many of each API as `counts` says, ten an account."""
    now = int(time.time())

    def tokens(api, count):
        for number in range(count):
            digest = hashlib.sha256(f"{api}\0session\0{guid(api, number)}".encode()).digest()
            account = FIRST_ACCOUNT + number // SESSIONS_PER_ACCOUNT
            yield digest, api, "session", SESSION, account, now, now, idle_secs, now + 43200, now, 0, 0

    with sqlite3.connect(store) as database:
        # Ten million digests, in no order: pages that are written again and again stay in memory.
        database.execute("PRAGMA cache_size = -2000000")
        for api, count in counts.items():
            database.executemany(insert("tokens", TOKEN), tokens(api, count))


def draws(count, of, seed=1):
    """Numbers below `of` as requests draw them: by Zipf's law, the exponent 1, in no order of rank."""
    source = random.Random(seed)
    total, cumulative = 0.0, []
    for rank in range(1, of + 1):
        total += 1 / rank
        cumulative.append(total)
    ranks = source.choices(range(of), cum_weights=cumulative, k=count)
    # An odd factor that shares no divisor with the usual powers of ten: neighbours in rank are not in memory.
    return [rank * 7_368_787 % of for rank in ranks]


def rsa_key():
    """A key for tokens, of the size that issuers use."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(key):
    """Its public half."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def jwks(key):
    """The same as a key set."""
    numbers = key.public_key().public_numbers()
    encode = lambda number: base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))  # noqa: E731
    return {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "n": encode(numbers.n), "e": encode(numbers.e)}]}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def tokens(key, customers):
    """Signed tokens, one for each of these numbers of customers; no two are alike."""
    now = int(time.time())
    head = base64url(json.dumps({"alg": "RS256"}).encode())
    for at, number in enumerate(customers):
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(number), "jti": str(at), "iat": now, "exp": now + 7200}
        signed = f"{head}.{base64url(json.dumps(claims).encode())}"
        yield f"{signed}.{base64url(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def certificate(folder):
    """A certificate for this machine; the files of certificate, key, and both."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.pem").write_bytes(made.public_bytes(pem))
    (folder / "tls.key").write_bytes(private)
