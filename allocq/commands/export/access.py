"""Who may ask: certificates for TLS, names and passwords."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import SourceError, UsageError
from .requests import Request

if TYPE_CHECKING:
    import ssl

_LARGEST = 1 << 20


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

    for path in (files.certificate, files.key, files.client_authority):
        if path is not None:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise SourceError(f"cannot read {path}: {error.strerror}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise SourceError(
            f"{files.certificate} and {files.key} are no certificate and its key: {_words(error)}",
            "both must be PEM files, the key without a password",
        ) from None
    if files.client_authority is not None:
        try:
            context.load_verify_locations(files.client_authority)
        except (ssl.SSLError, OSError) as error:
            raise SourceError(
                f"{files.client_authority} holds no certificate: {_words(error)}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).replace("_", " ").lower()


class Passwords:
    """Names and passwords for HTTP's basic authentication, from a file with a line NAME:PASSWORD
    for each; # begins a comment. SourceError, UsageError."""

    def __init__(self, path: str) -> None:
        self._known = [line.encode() for line in _lines(path)]
        if not self._known:
            raise UsageError(f"{path} names nobody", "write a line NAME:PASSWORD")
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
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LARGEST)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"others can read {path} or write to it", f"chmod 600 {path}")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
