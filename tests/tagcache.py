"""The tag cache's file as core/cache.c keeps it, once more in plain Python: to forge one."""

from __future__ import annotations

import struct

FORMAT = b"# allocq-names 2"
COSTS = ("call", "compare", "step", "sum", "tag", "text")
LARGEST = 64 << 20
_SEED = 0x9E3779B97F4A7C15
_MULTIPLIER = 0xFF51AFD7ED558CCD
_MASK = (1 << 64) - 1


def hash_of(seed: int, data: bytes) -> int:
    """aq_hash() of core/memory.c."""
    found = seed ^ len(data)
    padded = data + bytes(-len(data) % 8)
    for (word,) in struct.iter_unpack("=Q", padded):
        found = (found ^ word) * _MULTIPLIER & _MASK
        found ^= found >> 32
    return found


def sealed(head: bytes, text: bytes) -> bytes:
    """A file with this head, which has no hash yet, and a hash that is right."""
    return b"%s hash=%016x\n%s" % (head, hash_of(hash_of(_SEED, head), text), text)


def parted(data: bytes) -> tuple[bytes, bytes]:
    """The head without its hash, and the text."""
    head, _, text = data.partition(b"\n")
    return head.partition(b" hash=")[0], text


def costs_in(data: bytes) -> dict[str, int]:
    """What a file says that asking costs."""
    words = parted(data)[0].decode().split()
    found = dict(word.split("=") for word in words if "=" in word)
    return {name: int(found[name]) for name in COSTS}
