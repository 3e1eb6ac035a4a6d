"""An object store as the place to ship to. The only importer of obstore (extra `ship`)."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from ...errors import MissingExtraError, OutputError, UsageError
from ..parquet.arrow import quiet
from ..parquet.folder import Fill
from ..parquet.reading import Content
from ..parquet.schema import partition

_CONNECT, _REQUEST, _ALL = timedelta(seconds=5), timedelta(seconds=60), timedelta(seconds=90)
_RETRIES = 4
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
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        _check_endpoint(endpoint)
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        if endpoint:
            self.name += f" at {endpoint.rstrip('/')}"
        self._shown = f"s3://{bucket}"
        self._prefix = f"{prefix}/" if prefix else ""
        self._obstore = _obstore()
        from obstore.store import S3Store

        with self._failures():
            self._store = S3Store(
                bucket,
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
        """The same unless it is there already."""
        with self._failures():
            try:
                self._obstore.head(self._store, self._path(hour, name))
            except FileNotFoundError:
                pass
            else:
                return
        self.put(hour, name, fill)

    def samples(self, hour: datetime, host: str) -> set[Content]:
        """None: who may write objects need not be allowed to read them."""
        return set()

    def lacks(self, hour: datetime, host: str) -> bool:
        """Never: it is not looked for, as who may only write may not."""
        return False

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
        if isinstance(error, exceptions.PermissionDeniedError) or "AccessDenied" in words:
            return OutputError(
                f"cannot write {self._shown}: permission denied",
                "check what AWS_ACCESS_KEY_ID may do there",
            )
        if isinstance(error, exceptions.UnauthenticatedError):
            return OutputError(
                f"cannot write {self._shown}: the credentials are not accepted",
                "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        if isinstance(error, FileNotFoundError):
            return OutputError(f"cannot write {self._shown}: no such bucket", "create it")
        return OutputError(f"cannot write {self._shown}: {_reason(words)}")


_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_REASONS = (
    (r"169\.254\.169\.254|credential", "no credentials: set AWS_ACCESS_KEY_ID and the others"),
    (r"dns error|failed to lookup", "the name of the server is not known"),
    (r"[Cc]onnection ?[Rr]efused", "connection refused"),
    (r"[Cc]onnection ?([Rr]eset|closed)|IncompleteMessage", "the connection was lost"),
    (r"[Nn]etwork ?(is )?[Uu]nreachable|[Nn]o route to host", "the server cannot be reached"),
    (r"[Cc]ertificate|InvalidMessage|Tls|TLS", "the server cannot be trusted, or speaks no TLS"),
    (r"timed out|TimedOut|Timeout|timeout", "no answer in time"),
)


def _reason(words: str) -> str:
    """What a long message of the store says."""
    status = _STATUS.search(words)
    if status:
        return f"the server says {status[1].strip()}"
    words = words.replace("retry_timeout", "")
    for pattern, reason in _REASONS:
        if re.search(pattern, words):
            return reason
    line = words.splitlines()[0] if words else "unknown error"
    return line[:200]


def _check_endpoint(endpoint: str) -> None:
    if not endpoint:
        return
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not endpoint.isprintable() or " " in endpoint:
        raise UsageError(
            "AWS_ENDPOINT_URL is no address of a server", "use http://HOST:PORT or https://HOST"
        )


def _obstore() -> Any:
    try:
        import obstore
    except ImportError:
        raise MissingExtraError(
            "shipping to an object store needs obstore, which is not installed",
            "pip install 'allocq[ship]'",
        ) from None
    return obstore
