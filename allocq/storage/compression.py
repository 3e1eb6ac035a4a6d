"""Compresses and decompresses gzip and zstd."""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from ..errors import FormatError, OutputError, SourceError, UsageError

_CHUNK = 1 << 16
_WINDOW_BITS = 25  # what zstd -20 needs; the decompressor holds a window in memory
_SIP = 64  # packed bytes; a block of zstd takes 4 at least and unpacks to 128 KiB at most
MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""The first bytes of gzip and zstd files."""
_OTHER_PACKING = (
    *(".7z", ".br", ".bz", ".bz2", ".gzip", ".lz", ".lz4", ".lzma", ".lzo", ".rar", ".tar"),
    *(".tbz", ".tbz2", ".tgz", ".txz", ".tzst", ".xz", ".z", ".zip", ".zstd"),
)
_OTHER_FORMATS = (".csv", ".html", ".json", ".jsonl", ".md", ".parquet", ".tsv", ".xml", ".yaml")
LEAST, RATIO = 64 << 20, 100
"""A file may unpack to LEAST bytes, and a larger one to RATIO times its size."""


class _Unpacker(Protocol):
    """One member of a file. eof: its end was reached; unused: the packed bytes behind that."""

    eof: bool
    unused: bytes

    def pieces(self, packed: bytes) -> Iterator[bytes]: ...


class _Damaged(Exception):
    """The data are not what they should be; str() says how, if that is known."""


def unpack(first: bytes, fd: int, path: str) -> Iterator[bytes]:
    """Decompress `first`, the start of a gzip or zstd file, and the rest of `fd`, in small pieces.

    path: for messages. SourceError if this Python cannot read zstd, FormatError if the data is
    damaged, truncated, or unpacks to far more than a listing would.
    """
    gzip = first[:2] == MAGIC[0]
    new: Callable[[], _Unpacker] = _Gzip if gzip else _zstd
    try:
        unpacker = new()
    except ImportError:
        raise SourceError(
            f"{path}: this Python cannot read zstd",
            f"zstd -dc {path} | allocq query, or use Python 3.14, or pip install 'allocq[zstd]'",
        ) from None
    taken, given = len(first), 0
    packed = first
    while packed:
        try:
            for piece in unpacker.pieces(packed):
                given += len(piece)
                if given > max(LEAST, RATIO * taken):
                    raise _bomb(path, gzip)
                yield piece
        except _Damaged as damage:
            words = str(damage) or "the compressed data is damaged"
            raise FormatError(f"{path}: {words}") from None
        packed = unpacker.unused
        if not packed:
            packed = _read(fd, path)
            taken += len(packed)
        if unpacker.eof:
            while gzip and packed and not packed.strip(b"\0"):  # zeros up to a tape's block
                packed = _read(fd, path)
            packed = packed.lstrip(b"\0") if gzip else packed
            if not packed:
                return
            unpacker = new()
    raise FormatError(f"{path}: the compressed data is truncated")


def _read(fd: int, path: str) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None


def _bomb(path: str, gzip: bool) -> FormatError:
    tool = "gzip" if gzip else "zstd"
    return FormatError(
        f"{path} unpacks to more than {RATIO} times its size, as no listing does",
        f"if that is expected: {tool} -dc FILE | allocq ... --source -",
    )


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(31)
        self.eof = False
        self.unused = b""

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        while packed and not self.eof:
            try:
                piece = self._stream.decompress(packed, _CHUNK)
            except zlib.error:
                raise _Damaged from None
            packed = self._stream.unconsumed_tail
            self.eof, self.unused = self._stream.eof, self._stream.unused_data
            if piece:
                yield piece


def _zstd() -> _Unpacker:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        import zstandard  # type: ignore[import-not-found,unused-ignore]

        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_BITS)
        return _Zstd(unpacker.decompressobj(), zstandard.ZstdError)
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_BITS}
    return _Zstd(zstd.ZstdDecompressor(options=options), zstd.ZstdError)


class _Zstd:
    """In sips: the package zstandard has no bound on what one call gives."""

    def __init__(self, stream: Any, error: type[Exception]) -> None:
        self._stream = stream
        self._error = error
        self.eof = False
        self.unused = b""

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        for at in range(0, len(packed), _SIP):
            try:
                piece = self._stream.decompress(packed[at : at + _SIP])
            except self._error as error:
                large = "too much memory" in str(error)
                words = f"it takes more than {1 << _WINDOW_BITS - 20}M of memory to unpack"
                raise _Damaged(words if large else "") from None
            if piece:
                yield piece
            if self._stream.eof:
                self.eof = True
                self.unused = self._stream.unused_data + packed[at + _SIP :]
                return


def packer(path: str, format: str = "") -> Any:
    """A compressor (compress, flush) for a `.gz` or `.zst` file, None for other names.

    format: what it will hold, if not a snapshot. UsageError for a suffix that promises another
    kind of file, OutputError if this Python cannot write zstd.
    """
    name = path.rpartition("/")[2].lower()
    suffix = name[name.rindex(".") :] if "." in name[1:] else ""
    _check_format(path, name, format)
    if format == "parquet" and suffix in (".gz", ".zst"):
        raise UsageError(f"cannot write {path}: Parquet is compressed in itself", f"omit {suffix}")
    if suffix == ".gz" and not name.endswith(".tar.gz"):
        return zlib.compressobj(wbits=31)
    if suffix == ".zst" and not name.endswith(".tar.zst"):
        return _zstd_packer()
    if suffix in _OTHER_PACKING or suffix in (".gz", ".zst"):
        raise UsageError(f"cannot write {path}: only .gz and .zst compress", "name the file .gz")
    return None


def _check_format(path: str, name: str, format: str) -> None:
    """UsageError for the suffix of another format, also in front of that of a compression."""
    name = name.removesuffix(".gz").removesuffix(".zst")
    promised = next((each for each in _OTHER_FORMATS if name[1:].endswith(each)), f".{format}")
    if promised == f".{format}":
        return
    if format:
        raise UsageError(
            f"cannot write {path}: the answer is {format}, not {promised[1:]}",
            "choose the format with --format, or name the file otherwise",
        )
    raise UsageError(
        f"cannot write {path}: a snapshot is text, not {promised[1:]}",
        "name the file .txt or .gz, or see allocq query --format",
    )


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
