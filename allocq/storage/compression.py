"""Compresses and decompresses gzip and zstd."""

import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import FormatError, OutputError, SourceError

_CHUNK = 1 << 16
MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""The first bytes of gzip and zstd files."""


def unpack(first: bytes, fd: int, path: str) -> Iterator[bytes]:
    """Decompress `first`, the start of a gzip or zstd file, and the rest of `fd`.

    path: for messages. SourceError if this Python cannot read zstd, FormatError if the data is
    damaged or truncated.
    """
    new = _gzip if first[:2] == b"\x1f\x8b" else _zstd
    try:
        decompressor, damaged = new()
    except ImportError:
        raise SourceError(
            f"{path}: this Python cannot read zstd",
            "use Python 3.14, or pip install 'allocq[zstd]'",
        ) from None
    packed = first
    while packed:
        try:
            piece = decompressor.decompress(packed)
        except damaged:
            raise FormatError(f"{path}: the compressed data is damaged") from None
        if piece:
            yield piece
        packed = b""
        if decompressor.eof:
            packed = decompressor.unused_data
            decompressor, damaged = new()
            if packed:
                continue
            if not (packed := os.read(fd, _CHUNK)):
                return
        else:
            packed = os.read(fd, _CHUNK)
    raise FormatError(f"{path}: the compressed data is truncated")


def _gzip() -> tuple[Any, type[Exception]]:
    return zlib.decompressobj(31), zlib.error


def _zstd() -> tuple[Any, type[Exception]]:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]

        return zstd.ZstdDecompressor(), zstd.ZstdError
    except ImportError:
        pass
    import zstandard  # type: ignore[import-not-found,unused-ignore]

    return zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError


def packer(path: str) -> Any:
    """A compressor (compress, flush) for a `.gz` or `.zst` file, None for other names.

    OutputError if this Python cannot write zstd.
    """
    if path.endswith(".gz"):
        return zlib.compressobj(wbits=31)
    if path.endswith(".zst"):
        return _zstd_packer()
    return None


def pack(pieces: Iterable[bytes], packer: Any) -> Iterator[bytes]:
    """The pieces, compressed."""
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _zstd_packer() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]

        return zstd.ZstdCompressor()
    except ImportError:
        pass
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]

        return zstandard.ZstdCompressor().compressobj()
    except ImportError:
        raise OutputError(
            "this Python cannot write zstd",
            "use Python 3.14, pip install 'allocq[zstd]', or name the file .gz",
        ) from None
