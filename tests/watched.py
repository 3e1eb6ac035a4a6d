"""Recordings with known values, and a kernel whose counters a test sets, for `allocq top`."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import simulated
from oracle import Tag

from allocq.storage.recording.counters import Counters
from allocq.storage.recording.sample import Moment, Sample
from allocq.storage.recording.writer import Writer

START = 1_760_000_000
NANOSECONDS = 1_000_000_000

PIPE = "fs/pipe.c:158 func:alloc_pipe"
SLAB = "mm/slub.c:10 func:alloc_slab_page"
XFS = "fs/xfs/xfs_buf.c:20 [xfs] func:xfs_buf_alloc"
TWIN = "mm/util.c:5 func:twin"
IDLE = "kernel/fork.c:30 func:dup_task"


def record(
    folder: Path, samples: Sequence[Mapping[str, int]], boots: Sequence[str] = (), seconds: int = 10
) -> None:
    """Write samples: bytes by subject; calls are bytes / 64. A boot name for each, or one for all.
    A subject that ends in blanks is a twin of the one without."""
    writer = Writer(folder, {"host": "testbox"})
    begun: dict[str, int] = {}
    for number, sizes in enumerate(samples):
        boot = boots[number] if boots else "boot-a"
        moment = START + number * seconds
        since = moment - begun.setdefault(boot, moment - seconds)
        subjects = [name.rstrip().encode("utf-8", "surrogateescape") for name in sizes]
        values = list(sizes.values())
        writer.append(
            Sample(
                Moment(
                    moment * NANOSECONDS, since * NANOSECONDS, boot, "7.3.4", "ioctl", 1, True, True
                ),
                subjects,
                Counters.of(values, [size // 64 for size in values], [0] * len(values)),
                {},
            )
        )
    writer.close()


class Kernel:
    """A simulated kernel; `set` changes its counters while it is watched."""

    def __init__(self, folder: Path) -> None:
        self.shim, _ = simulated.build(folder)
        self.folder = folder / "kernel"
        self._tags: list[Tag] = []

    def boot(self, tags: Sequence[Tag]) -> None:
        """Begin with these tags."""
        self._tags = list(tags)
        simulated.write(self.folder, tags, 1)

    def set(self, sizes: Mapping[str, int]) -> None:
        """Change bytes by function, in place: it is mapped by who watches."""
        new = []
        with open(self.folder / "tags", "r+b", buffering=0) as file:
            for at, tag in enumerate(self._tags):
                size = sizes.get(tag.function, tag.bytes)
                new.append(tag._replace(bytes=size))
                # struct allocinfo_tag_data: 200 bytes of names, then the bytes.
                file.seek(16 + 224 * at + 200)
                file.write(struct.pack("=Q", size % (1 << 64)))
        self._tags = new
        self.write_text()

    def write_text(self, tags: Sequence[Tag] | None = None) -> None:
        """The text again, with other tags if they are given: a module came or went."""
        lines = b"".join(simulated._line(tag) + b"\n" for tag in (tags or self._tags))
        text = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n" + lines
        passing = self.folder / "text.new"
        passing.write_bytes(text)
        data = passing.read_bytes()
        with open(self.folder / "text", "r+b", buffering=0) as file:
            file.write(data)
            os.ftruncate(file.fileno(), len(data))

    @property
    def environment(self) -> dict[str, str]:
        """What makes it the kernel of a process."""
        (self.folder / "allocq").mkdir(exist_ok=True)
        return {"LD_PRELOAD": str(self.shim), "SIMULATED_KERNEL": str(self.folder)}
