"""An object store as the place to ship to. The only importer of obstore (extra `ship`)."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from ...errors import FormatError, MissingExtraError, OutputError, UsageError
from ..parquet.arrow import quiet
from ..parquet.folder import Fill
from ..parquet.reading import Content, parts_of, samples_of
from ..parquet.schema import SUFFIX, name_prefix, partition

_CONNECT, _REQUEST, _ALL = timedelta(seconds=5), timedelta(seconds=60), timedelta(seconds=30)
_RETRIES = 4
_T = TypeVar("_T")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


class Objects:
    """A bucket of an S3 store, and a prefix in it. Endpoint, region and credentials come from the
    environment, as AWS_ENDPOINT_URL and the others. UsageError, MissingExtraError."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:
            raise UsageError(f"invalid address '{url}'", "use s3://BUCKET/PREFIX") from None
        bucket, prefix = parts.netloc, parts.path.strip("/")
        if parts.query or parts.fragment or "@" in bucket:
            raise UsageError(
                "an s3:// address has a bucket and a prefix only",
                "credentials are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        if not _BUCKET.fullmatch(bucket):
            raise UsageError(f"invalid bucket name '{bucket}'", "use s3://BUCKET/PREFIX")
        if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
            raise UsageError(f"invalid prefix '{prefix}'", "use s3://BUCKET/PREFIX")
        endpoint = _endpoint()
        _check_settings()
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        if endpoint:
            self.name += f" at {endpoint.rstrip('/')}"
        self._shown = f"s3://{bucket}"
        self._prefix = f"{prefix}/" if prefix else ""
        self._obstore = _obstore()
        from obstore import exceptions
        from obstore.store import S3Store

        self._error = exceptions.BaseError
        with self._failures():
            self._store = S3Store(
                bucket,
                config={"endpoint": endpoint} if endpoint else {},
                client_options={
                    "connect_timeout": _CONNECT,
                    "timeout": _REQUEST,
                    "allow_http": endpoint.startswith("http://"),
                },
                retry_config={"max_retries": _RETRIES, "retry_timeout": _ALL},
            )

    def close(self) -> None:
        """Nothing is left open."""

    def put(self, hour: datetime, name: str, fill: Fill) -> None:
        """Write an object, which appears whole or not at all. OutputError."""
        file = io.BytesIO()
        fill(file)
        with self._failures():
            self._obstore.put(
                self._store, self._path(hour, name), file.getvalue(), use_multipart=False
            )

    def put_again(self, hour: datetime, name: str, fill: Fill) -> None:
        """The same unless it is there already, perhaps joined with others."""
        with self._failures():
            # Who may not look puts the same object once more, under the same name.
            if self._unless_denied(lambda: self._has(hour, name)):
                return
        self.put(hour, name, fill)

    def samples(self, hour: datetime, host: str) -> set[Content] | None:
        """The samples of a host and an hour that it has, None if it may not be read; damaged
        objects have none. OutputError."""

        def read() -> set[Content]:
            found: set[Content] = set()
            for path in self._paths(hour, name_prefix(host, hour)):
                with contextlib.suppress(FormatError, FileNotFoundError):
                    found |= samples_of(self._opened(path), path, host)
            return found

        with self._failures():
            return self._unless_denied(read)

    def lacks(self, hour: datetime, host: str) -> bool:
        """Has it no object of a host and an hour? False if it may not be read. OutputError."""
        with self._failures():
            there = self._unless_denied(lambda: any(self._paths(hour, name_prefix(host, hour))))
        return there is False

    def _unless_denied(self, read: Callable[[], _T]) -> _T | None:
        """What is read, None for whom the store does not let read."""
        try:
            return read()
        except self._error as error:
            words = str(error)
            status = _STATUS.search(words)
            if _code(words) == "AccessDenied" or (status and status[1].startswith(("401", "403"))):
                return None
            raise

    def _has(self, hour: datetime, name: str) -> bool:
        stem = name.removesuffix(SUFFIX).rpartition(".")[0]
        found = list(self._paths(hour, f"{stem}."))
        if self._path(hour, name) in found:
            return True
        for path in found:
            with contextlib.suppress(FormatError, FileNotFoundError):
                if name in parts_of(self._opened(path), path)[1]:
                    return True
        return False

    def _paths(self, hour: datetime, prefix: str) -> Iterator[str]:
        """The objects of an hour whose names begin so. Only they are asked for, of perhaps those of
        thousands of hosts: a store lists its objects in the order of their names."""
        begin = self._path(hour, prefix)
        folder = begin.removesuffix(prefix)
        for some in self._obstore.list(self._store, folder, offset=begin, chunk_size=1000):
            for each in some:
                path = str(each["path"])
                if not path.startswith(begin):
                    return
                if path.endswith(SUFFIX):
                    yield path

    def _opened(self, path: str) -> IO[bytes]:
        """FileNotFoundError if it was removed since it was listed."""
        return io.BytesIO(self._obstore.get(self._store, path).bytes())

    def _path(self, hour: datetime, name: str) -> str:
        return f"{self._prefix}{'/'.join(partition(hour))}/{name}"

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Whatever goes wrong, in one line and without credentials."""
        try:
            with quiet():
                yield
        except (MemoryError, OutputError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # obstore panics about some values of AWS_*
            raise self._in_words(error) from None

    def _in_words(self, error: BaseException) -> OutputError:
        from obstore import exceptions

        words = str(error)
        reason, hint = _CODES.get(_code(words), ("", ""))
        if reason:
            pass
        elif isinstance(error, exceptions.PermissionDeniedError):
            reason, hint = _CODES["AccessDenied"]
        elif isinstance(error, exceptions.UnauthenticatedError):
            reason = "the credentials are not accepted"
            hint = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        elif isinstance(error, FileNotFoundError):
            reason, hint = _CODES["NoSuchBucket"]
        else:
            reason, hint = _reason(words)
        return OutputError(f"cannot write {self._shown}: {reason}", hint)


_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>", re.ASCII)
_ELSEWHERE = (
    "the bucket is in another region, or at another server",
    "check AWS_REGION and AWS_ENDPOINT_URL",
)
_EXPIRED = (
    "permission denied: the session token is invalid or has expired",
    "get new credentials; AWS_SESSION_TOKEN is for temporary ones only",
)
_NO_STORE = ("the server does not answer as an S3 store does", "check AWS_ENDPOINT_URL")
_CODES: Mapping[str, tuple[str, str]] = {
    "AccessDenied": ("permission denied", "check what AWS_ACCESS_KEY_ID may do there"),
    "AllAccessDisabled": ("permission denied", "check what AWS_ACCESS_KEY_ID may do there"),
    "InvalidAccessKeyId": (
        "permission denied: the access key is not known there",
        "check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL",
    ),
    "SignatureDoesNotMatch": (
        "permission denied: the two keys do not belong together",
        "check AWS_SECRET_ACCESS_KEY",
    ),
    "ExpiredToken": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": (
        "this machine's clock and the server's are too far apart",
        "set the clock of this machine",
    ),
    "RequestExpired": (
        "this machine's clock and the server's are too far apart",
        "set the clock of this machine",
    ),
    "NoSuchBucket": ("no such bucket", "create it"),
    "PermanentRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
}
"""What the codes of S3 mean, and what to do."""
_MACHINE = r"169\.254\.169\.254|/latest/(api/token|meta-data)"
"""Where a machine of AWS asks for its own credentials."""
_REASONS = (
    (_MACHINE + r"|credential",
     "no credentials: set AWS_ACCESS_KEY_ID and the others"),
    (r"dns error|failed to lookup", "the name of the server is not known"),
    (r"[Cc]onnection ?[Rr]efused", "connection refused"),
    (r"[Nn]etwork ?(is )?[Uu]nreachable|[Nn]o route to host", "the server cannot be reached"),
    (r"[Cc]ertificate|InvalidMessage|Tls|TLS", "the server cannot be trusted, or speaks no TLS"),
    (r"[Cc]onnection ?([Rr]eset|closed)|IncompleteMessage", "the connection was lost"),
    (r"timed out|TimedOut|Timeout|timeout", "no answer in time"),
)  # fmt: skip
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def _code(words: str) -> str:
    found = _CODE.search(words)
    return found[1] if found else ""


def _reason(words: str) -> tuple[str, str]:
    """What a long message of the store says, and what to do."""
    if "without LOCATION" in words:
        return _ELSEWHERE
    words = words.replace("retry_timeout", "")
    status = _STATUS.search(words)
    if status and not re.search(_MACHINE, words):
        return f"the server says {status[1].strip()}", ""
    for pattern, reason in _REASONS:
        if re.search(pattern, words):
            return reason, _look_at_proxies()
    if re.search(
        r"header missing|redirect|Parse\(|list response|invalid .*response|[Xx]ml", words, re.I
    ):
        return _NO_STORE
    if "Generic Config error" in words or "Invalid encryption type" in words:
        return _setting(words), ""
    line = words.splitlines()[0] if words else "unknown error"
    return re.sub(r"^Generic \w+ error: ", "", line)[:200], ""


def _look_at_proxies() -> str:
    used = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    return f"it is asked through a proxy, as {used[0]} says" if used else ""


def _setting(words: str) -> str:
    """Which variable has a value that obstore rejects; the value is not repeated."""
    for name, value in sorted(os.environ.items()):
        if name.startswith("AWS_") and name not in _KEYS and value and value in words:
            return f"{name} has an invalid value"
    return "a variable AWS_... has an invalid value"


_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def _check_settings() -> None:
    """UsageError for credentials and regions that cannot be any, which are not repeated."""
    for name in (*_KEYS, *_REGIONS):
        value = os.environ.get(name)
        if value == "":
            raise UsageError(f"{name} is empty", "set it, or unset it")
        if value and not (value.isascii() and value.isprintable() and " " not in value):
            raise UsageError(f"{name} has a blank or another character that it cannot have")
        if value and name in _REGIONS and not _REGION.fullmatch(value):
            raise UsageError(f"{name} is not a region", "use one like us-east-1")
    for name, other in (_KEYS[:2], _KEYS[1::-1]):
        if os.environ.get(name) and not os.environ.get(other):
            raise UsageError(f"{name} is set, and {other} is not", "set both, or neither")


def _endpoint() -> str:
    """The address of the server, "" for AWS's own. UsageError."""
    name = next((name for name in _ENDPOINTS if os.environ.get(name)), "")
    endpoint = os.environ.get(name, "")
    if not endpoint:
        return ""
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        good = good and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good or not endpoint.isprintable() or " " in endpoint:
        raise UsageError(f"{name} is not a server address", "use http://HOST:PORT or https://HOST")
    if "@" in parts.netloc:
        raise UsageError(
            f"{name} has credentials in it",
            "credentials are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    return endpoint


def _obstore() -> Any:
    try:
        import obstore
    except ImportError:
        raise MissingExtraError(
            "shipping to an object store needs obstore, which is not installed",
            "pip install 'allocq[ship]'",
        ) from None
    return obstore
