"""An uncompressed cpio archive (newc), which a kernel takes as its initrd."""

from __future__ import annotations

from collections.abc import Mapping

DIRECTORY, PROGRAM, FILE = 0o040755, 0o100755, 0o100644


def archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Of the mode and the content by name."""
    whole = {**files, "TRAILER!!!": (FILE, b"")}
    return b"".join(_entry(name.encode(), *file) for name, file in whole.items())


def _entry(name: bytes, mode: int, data: bytes) -> bytes:
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name + b"\0"
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
