"""Who may ask: certificates for TLS, names and passwords."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import SourceError, UsageError
from ...host.opening import open_at_once
from .requests import Request

if TYPE_CHECKING:
    import ssl

_LARGEST = 1 << 20
_CERTIFICATE = re.compile(rb"^-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----", re.M)
_KEY = re.compile(rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----", re.M)
_PEM = "each must be a PEM file, which has a line -----BEGIN ...-----, the key without a password"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files: the server's certificate and its key, and the authority that must have signed those of
    clients (None: clients need none)."""

    certificate: str
    key: str
    client_authority: str | None = None


def tls_context(files: Certificates) -> ssl.SSLContext:
    """TLS as prometheus-client's own server sets it up. SourceError."""
    import ssl

    _check_pem(files.certificate, _CERTIFICATE, "certificate")
    _check_pem(files.key, _KEY, "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        _check_certificates(files.certificate)
        raise SourceError(
            f"{files.certificate} and {files.key} are not a certificate and its key: "
            + _words(error, f"{files.key} is damaged, or of a kind that OpenSSL does not read"),
            _PEM,
        ) from None
    if files.client_authority is not None:
        _check_pem(files.client_authority, _CERTIFICATE, "certificate")
        _check_certificates(files.client_authority)
        context.load_verify_locations(files.client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check_pem(path: str, begin: re.Pattern[bytes], what: str) -> None:
    """SourceError if a file holds nothing that begins so."""
    if not begin.search(_content(path)[0]):
        raise SourceError(f"{path} has no {what} in PEM format", _PEM)


def _check_certificates(path: str) -> None:
    """SourceError if OpenSSL cannot read them."""
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise SourceError(
            f"{path} holds no certificate: {_words(error, 'the data is damaged')}", _PEM
        ) from None


def _no_password() -> str:
    raise ValueError("the key has a password")


def _words(error: Exception, unsaid: str) -> str:
    """Why, as OpenSSL says it; `unsaid` where it only says in which of its parts."""
    import ssl

    reason = getattr(error, "reason", None)
    if isinstance(error, ssl.SSLError) and not reason:
        return unsaid
    return str(reason or getattr(error, "strerror", None) or error).replace("_", " ").lower()


def _content(path: str) -> tuple[bytes, int]:
    """What a file holds, and its mode. SourceError, also for what may block or never ends."""
    try:
        # Opening a device may do something to it.
        _check_regular(path, os.stat(path))
        with open(path, "rb", buffering=0, opener=open_at_once) as file:
            status = os.fstat(file.fileno())
            _check_regular(path, status)
            data = bytearray()
            while len(data) <= _LARGEST and (piece := os.read(file.fileno(), 1 << 16)):
                data += piece
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise SourceError(f"cannot read {path}: larger than 1 MiB")
    return bytes(data), status.st_mode


def _check_regular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"cannot read {path}: not a regular file")


class Passwords:
    """Names and passwords for HTTP's basic authentication, from a file with a line NAME:PASSWORD
    for each; # begins a comment. SourceError, UsageError."""

    def __init__(self, path: str) -> None:
        self._known = [line.encode() for line in _lines(path)]
        if not self._known:
            raise UsageError(f"{path} has no names", "write a line NAME:PASSWORD")
        if any(line.find(b":") < 1 or line.endswith(b":") for line in self._known):
            raise UsageError(f"{path}: a line is not NAME:PASSWORD")

    def admit(self, request: Request) -> bool:
        """Does the request have one of them?"""
        scheme, _, word = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(word.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        # Each is compared, so that the time tells nothing.
        return sum(hmac.compare_digest(given, known) for known in self._known) > 0


def _lines(path: str) -> list[str]:
    data, mode = _content(path)
    if mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"others can read {path} or write to it", f"chmod 600 {path}")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
