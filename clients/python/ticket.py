"""Prints a token of Kerberos in SPNEGO for a service, in base64: `ticket.py HTTP@host [APPLICATION_DATA_IN_HEX]`.

Calls MIT's GSSAPI as a client of it does (RFC 2744), with the ticket of whoever is logged in; the second argument is the
application data of channel bindings, which no curl of Debian sends.
"""

import base64
import ctypes
import sys

gssapi = ctypes.CDLL("libgssapi_krb5.so.2")


class Oid(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("elements", ctypes.c_char_p)]


class Buffer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]


class Bindings(ctypes.Structure):
    _fields_ = [
        ("initiator_addrtype", ctypes.c_uint32),
        ("initiator_address", Buffer),
        ("acceptor_addrtype", ctypes.c_uint32),
        ("acceptor_address", Buffer),
        ("application_data", Buffer),
    ]


def buffer(text):
    """A buffer and what it points to, which must live as long."""
    held = ctypes.create_string_buffer(text, len(text))
    return Buffer(len(text), ctypes.cast(held, ctypes.c_void_p)), held


SPNEGO = Oid(6, b"\x2b\x06\x01\x05\x05\x02")
HOST_BASED_SERVICE = Oid(10, b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04")
MUTUAL = 2


def checked(major, minor, what):
    if major & 0xFFFF0000:
        sys.exit(f"{what}: {major:#x}, {minor.value}")


def token(target, application_data=None):
    """The first token of an exchange with a service."""
    minor = ctypes.c_uint32()
    service, _service = buffer(target.encode())
    name = ctypes.c_void_p()
    major = gssapi.gss_import_name(
        ctypes.byref(minor), ctypes.byref(service), ctypes.byref(HOST_BASED_SERVICE), ctypes.byref(name)
    )
    checked(major, minor, "gss_import_name")
    bindings = None
    if application_data:
        data, _data = buffer(application_data)
        bindings = ctypes.byref(Bindings(0, Buffer(0, None), 0, Buffer(0, None), data))
    context, made = ctypes.c_void_p(), Buffer(0, None)
    major = gssapi.gss_init_sec_context(
        ctypes.byref(minor), None, ctypes.byref(context), name, ctypes.byref(SPNEGO), MUTUAL, 0, bindings, None, None,
        ctypes.byref(made), None, None,
    )
    checked(major, minor, "gss_init_sec_context")
    return ctypes.string_at(made.value, made.length)


if __name__ == "__main__":
    print(base64.b64encode(token(sys.argv[1], bytes.fromhex("".join(sys.argv[2:])))).decode())
