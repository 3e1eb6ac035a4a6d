"""gzip and zstd: packed as the name of a file asks for it, unpacked as they come."""

import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import FormatError, OutputError, SourceError

_CHUNK = 1 << 16
MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""What gzip and zstd files begin with."""


def unpack(first: bytes, fd: int, path: str) -> Iterator[bytes]:
    """The bytes behind `first`, which begins a gzip or zstd file, and the rest of `fd`.

    path: what to call it. SourceError where Python cannot, FormatError where the data are damaged
    or cut off.
    """
    new = _gzip if first[:2] == b"\x1f\x8b" else _zstd
    try:
        decompressor, damaged = new()
    except ImportError:
        raise SourceError(
            f"{path} is zstd, which this Python cannot read",
            "Python 3.14 can; else pip install 'allocq[zstd]'",
        ) from None
    packed = first
    while packed:
        try:
            piece = decompressor.decompress(packed)
        except damaged:
            raise FormatError(f"{path}: the compressed data are damaged") from None
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
    raise FormatError(f"{path}: the compressed data are cut off")


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
    """What packs a file of this name (compress, flush), None for one that stays as it is.

    `.gz` and `.zst`; OutputError where this Python cannot.
    """
    if path.endswith(".gz"):
        return zlib.compressobj(wbits=31)
    if path.endswith(".zst"):
        return _zstd_packer()
    return None


def pack(pieces: Iterable[bytes], packer: Any) -> Iterator[bytes]:
    """The pieces, packed."""
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
            "Python 3.14 can; else pip install 'allocq[zstd]', or name the file .gz",
        ) from None
