"""gzip and zstd, packed as the name of a file asks for it."""

from ..errors import OutputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


def packer(path: str) -> "Any":
    """What packs a file of this name (compress, flush), None for one that stays as it is.

    `.gz` and `.zst`; OutputError where this Python cannot.
    """
    if path.endswith(".gz"):
        import zlib

        return zlib.compressobj(wbits=31)
    if path.endswith(".zst"):
        return _zstd()
    return None


def pack(pieces: "Iterable[bytes]", packer: "Any") -> "Iterator[bytes]":
    """The pieces, packed."""
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _zstd() -> "Any":
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
